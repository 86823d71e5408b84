/* LAWA (Kaddour 2022; Sanyal et al. 2023): the mean of the last k snapshots of x, taken
 * at regular intervals, as soon as there are k. */
#include <swale/kernel.h>
#include <swale/average.h>

#if SW_KERNEL_FIRST
typedef struct lawa_queue_options {
    double length, start, every;
} lawa_queue_options;
typedef struct lawa_queue_slots {
    void *queue; /* [length, dim] */
} lawa_queue_slots;
typedef struct lawa_queue_coefficients {
    double place; /* the index of the next snapshot, which replaces the oldest */
} lawa_queue_coefficients;
enum { MEAN_BLOCK = 256 }; /* elements whose sums fit in the first-level cache */
#endif

#if SW_KERNEL_PASS

static void SW_K(lawa_queue_push)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const int64_t place = (int64_t)SW_STEP_COEFFICIENTS(s, lawa_queue_coefficients)->place;
    real *snapshot = (real *)SW_STEP_SLOTS(s, lawa_queue_slots)->queue + place * s->count;
    (void)sums;
    memcpy(snapshot + begin, (const real *)s->x + begin, (size_t)(end - begin) * sizeof *snapshot);
}

/* q₀ + Σ (q_j - q₀)/k: the mean of equal snapshots is exactly that snapshot. The sum, of up to 1e6 terms, is in f64. */
static void SW_K(lawa_queue_mean)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const double length = SW_STEP_OPTIONS(s, lawa_queue_options)->length, inverse_k = 1 / length;
    const real *restrict q = SW_STEP_SLOTS(s, lawa_queue_slots)->queue;
    real *restrict out = s->out;
    const int64_t k = (int64_t)length, dim = s->count;
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
            out[at + i] = (real)((double)q[at + i] + inverse_k * sum[i]);
    }
}

#else

static const sw_kernels lawa_queue_push_kernels = SW_KERNEL_TABLE(lawa_queue_push),
                        lawa_queue_mean_kernels = SW_KERNEL_TABLE(lawa_queue_mean);

/* clang-format off */
static const sw_option lawa_queue_option_table[] = {
    {.name = "length", .kind = SW_OPTION_INTEGER, .value = 10, .low = 1, .high = 1e6,
     .help = "k, the number of snapshots"},
    {.name = "start", .kind = SW_OPTION_DURATION, .value = 2, .unit = '%',
     .help = "first step at which a snapshot is taken"},
    {.name = "every", .kind = SW_OPTION_DURATION, .value = 0.2, .unit = '%', .open = SW_OPEN_LOW,
     .help = "a snapshot is taken at multiples of this number of steps"},
    {0}};
/* clang-format on */

static int64_t lawa_queue_count(const sw_slot_sizes *sizes) {
    const int64_t length = (int64_t)SW_OPTIONS_AS(sizes->option, lawa_queue_options)->length;
    return sizes->dim > INT64_MAX / length ? -1 : sizes->dim * length;
}

static const sw_slot lawa_queue_slot_table[] = {{.name = "queue", .count = lawa_queue_count}, {0}};
typedef struct lawa_queue_scalars {
    double count; /* the number of all snapshots taken, including those that were replaced */
} lawa_queue_scalars;
static const char *const lawa_queue_scalar_names[] = {"count", NULL};
SW_MATCH_OPTIONS(lawa_queue_options, lawa_queue_option_table);
SW_MATCH_SLOTS(lawa_queue_slots, lawa_queue_slot_table);
SW_MATCH_SCALARS(lawa_queue_scalars, lawa_queue_scalar_names);

/* The point is computed from a sum of k - 1 differences of two snapshots. */
static void lawa_queue_reach(const sw_step *s, sw_bounds *b) {
    double *queue = &SW_SLOT_BOUND(b, lawa_queue_slots, queue);
    *queue = hypot(*queue, b->x);
    b->largest += 2 * SW_STEP_OPTIONS(s, lawa_queue_options)->length * *queue;
}

static sw_status lawa_queue_begin(sw_step *s) {
    const lawa_queue_options *o = SW_STEP_OPTIONS(s, lawa_queue_options);
    lawa_queue_scalars *scalars = SW_STEP_SCALARS(s, lawa_queue_scalars);
    if (!sw_duration_is_due(s->step, o->start, o->every))
        return SW_SKIPPED;
    SW_STEP_COEFFICIENTS(s, lawa_queue_coefficients)->place = fmod(scalars->count++, o->length);
    return SW_OK;
}

static sw_status lawa_queue_point_begin(sw_step *s) {
    return SW_STEP_SCALARS(s, lawa_queue_scalars)->count < SW_STEP_OPTIONS(s, lawa_queue_options)->length ? SW_SKIPPED
                                                                                                          : SW_OK;
}

const sw_average swo_lawa_queue = {.size = sizeof(sw_average),
                                   .name = "lawa_queue",
                                   .summary = "the mean of the latest snapshots",
                                   .source = "Kaddour 2022; Ajroldi et al., AlgoPerf 2024",
                                   .options = lawa_queue_option_table,
                                   .slots = lawa_queue_slot_table,
                                   .scalars = lawa_queue_scalar_names,
                                   .begin = lawa_queue_begin,
                                   .update = &lawa_queue_push_kernels,
                                   .point_begin = lawa_queue_point_begin,
                                   .point = &lawa_queue_mean_kernels,
                                   .reach = lawa_queue_reach};

#endif
