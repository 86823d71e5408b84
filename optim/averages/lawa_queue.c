/* LAWA (Kaddour 2022; Sanyal et al. 2023): the mean of the last k snapshots of x, one at every so many-th
 * step, as soon as there are k. */
#include <swale/kernel.h>
#include <swale/optim.h>

#if SW_KERNEL_FIRST
enum { LENGTH, START, EVERY };
enum { PLACE };
enum { MEAN_BLOCK = 256 }; /* elements whose sums stay in the first cache */
#endif

#if SW_KERNEL_PASS

static void SW_K(push)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *snapshot = (real *)s->slot[0] + (int64_t)s->coefficient[PLACE] * s->count;
    (void)sums;
    memcpy(snapshot + begin, (const real *)s->x + begin, (size_t)(end - begin) * sizeof *snapshot);
}

/* q₀ + Σ (q_j - q₀)/k: equal snapshots give themselves, bit for bit. The sum is of f64: it may have 1e6 terms. */
static void SW_K(mean)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const real *restrict q = s->slot[0];
    real *restrict out = s->out;
    const int64_t k = (int64_t)s->option[LENGTH], dim = s->count;
    const double share = 1 / s->option[LENGTH];
    double sum[MEAN_BLOCK];
    (void)sums;
    for (int64_t at = begin; at < end; at += MEAN_BLOCK) {
        const int64_t n = end - at < MEAN_BLOCK ? end - at : MEAN_BLOCK;
        for (int64_t i = 0; i < n; i++)
            sum[i] = 0;
        for (int64_t j = 1; j < k; j++)
            for (int64_t i = 0; i < n; i++)
                sum[i] += (double)q[j * dim + at + i] - (double)q[at + i];
        for (int64_t i = 0; i < n; i++)
            out[at + i] = (real)((double)q[at + i] + share * sum[i]);
    }
}

#else

#include "optim/methods.h"

#include <math.h>

static const sw_kernels push_kernels = SW_KERNEL_TABLE(push), mean_kernels = SW_KERNEL_TABLE(mean);

/* clang-format off */
static const sw_option options[] = {
    {.name = "length", .kind = SW_OPTION_INTEGER, .value = 10, .low = 1, .high = 1e6,
     .help = "k, snapshots in the queue"},
    {.name = "start", .kind = SW_OPTION_DURATION, .value = 2, .unit = '%',
     .help = "first step of which one may be taken"},
    {.name = "every", .kind = SW_OPTION_DURATION, .value = 0.2, .unit = '%', .open = SW_OPEN_LOW,
     .help = "taken at steps that are multiples of this"},
    {0}};
/* clang-format on */

static int64_t queue_count(const sw_slot_sizes *sizes) {
    const int64_t length = (int64_t)sizes->option[LENGTH];
    return sizes->dim > INT64_MAX / length ? -1 : sizes->dim * length;
}

static const sw_slot slots[] = {{.name = "queue", .count = queue_count}, {0}};
static const char *const scalars[] = {"count", NULL}; /* snapshots taken, those that are gone included */
enum { COUNT };

/* The point adds up k - 1 differences of two snapshots. */
static void lawa_reach(const sw_step *s, sw_bounds *b) {
    b->slot[0] = hypot(b->slot[0], b->x);
    b->largest += 2 * s->option[LENGTH] * b->slot[0];
}

static sw_status begin(sw_step *s) {
    if (!swo_average_due(s->step, s->option[START], s->option[EVERY]))
        return SW_SKIPPED;
    s->coefficient[PLACE] = fmod(s->scalar[COUNT]++, s->option[LENGTH]); /* over the oldest */
    return SW_OK;
}

static sw_status full(sw_step *s) {
    return s->scalar[COUNT] < s->option[LENGTH] ? SW_SKIPPED : SW_OK;
}

const sw_average swo_lawa_queue = {.size = sizeof(sw_average),
                                   .name = "lawa_queue",
                                   .summary = "the mean of the latest snapshots",
                                   .source = "Kaddour 2022; Ajroldi et al., AlgoPerf 2024",
                                   .options = options,
                                   .slots = slots,
                                   .scalars = scalars,
                                   .begin = begin,
                                   .update = &push_kernels,
                                   .point_begin = full,
                                   .point = &mean_kernels,
                                   .reach = lawa_reach};

#endif
