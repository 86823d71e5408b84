/* Averages kept in one vector, e ← e + w (θ - e), which differ in w and in when they move:
 *     ema       every step, w = 1 - β; without bias (1 - β)/(1 - βᵗ)
 *     lawa_ema  the same at fewer steps, from the first of them on (w = 1 there)
 *     polyak    every step from a start on, w = 1/k at the k-th: the mean
 *     swa       the mean at fewer steps
 * In f32 a second vector holds what e lacks to the exact sum (compensated.h): with w = 1e-6 e alone would stand still.
 * A step then reads θ, e and the second vector and writes the latter two: 20 bytes a parameter instead of 12.
 */
#include <swale/kernel.h>
#include <swale/kernel_compensated.h>

#if SW_KERNEL_FIRST
enum { WEIGHT };
#endif

#if SW_KERNEL_PASS

static void SW_K(running)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    SW_K(move_mean)(s->x, s->slot[0], s->slot[1], (real)s->coefficient[WEIGHT], begin, end);
}

#else

#include "optim/methods.h"

#include <math.h>

static const sw_kernels kernels = SW_KERNEL_TABLE(running);
static const char *const scalars[] = {"count", NULL};
enum { COUNT };

bool swo_average_due(int64_t step, double start, double every) {
    double period = fmax(swo_whole_steps(every), 1);
    return (double)step >= swo_whole_steps(start) && fmod((double)step, period) == 0;
}

/* e + w (θ - e) lies between e and θ. */
static void running_reach(const sw_step *s, sw_bounds *b) {
    (void)s;
    b->largest += 2 * (b->slot[0] + b->slot[1] + b->x);
    b->slot[0] = fmax(b->slot[0], b->x);
    b->slot[1] = b->slot[0]; /* far less: what half a unit in the last place is */
}

const sw_average swo_none = {
    .size = sizeof(sw_average), .name = "none", .summary = "the last iterate", .reach = running_reach};

/* Before anything was averaged the point is the last iterate. */
static sw_status after_the_first(sw_step *s) {
    return s->scalar[COUNT] > 0 ? SW_OK : SW_SKIPPED;
}

/* The second vector: of f32 alone. An average in f64 loses at most 1e-16 of itself in a step. */
static int64_t low_count(const sw_slot_sizes *sizes) {
    return sizes->type == SW_F32 ? sizes->dim : 0;
}

/* ---- ema ---- */

enum { DECAY, DEBIAS };
/* clang-format off */
static const sw_option ema_options[] = {
    {.name = "decay", .kind = SW_OPTION_REAL, .value = 0.999, .low = 0, .high = 1,
     .open = SW_OPEN_HIGH, .help = "weight of the past"},
    {.name = "debias", .kind = SW_OPTION_BOOL, .value = 0,
     .help = "divide by 1 - decay^t: the start has no weight"},
    {0}};
/* clang-format on */
static const sw_slot ema_slots[] = {
    {.name = "ema", .start = SW_START_X}, {.name = "ema_low", .count = low_count, .added = true}, {0}};

static sw_status ema_begin(sw_step *s) {
    double decay = s->option[DECAY];
    s->coefficient[WEIGHT] = 1 - decay;
    if (s->option[DEBIAS] != 0) /* e_t/(1-βᵗ) from a zero start, as a running mean */
        s->coefficient[WEIGHT] = (1 - decay) / (1 - pow(decay, (double)s->step));
    return SW_OK;
}

const sw_average swo_ema = {.size = sizeof(sw_average),
                            .name = "ema",
                            .summary = "exponential moving average of the iterates",
                            .source = "Polyak, Juditsky 1992; Kingma, Ba 2015, section 7",
                            .options = ema_options,
                            .slots = ema_slots,
                            .begin = ema_begin,
                            .update = &kernels,
                            .reach = running_reach};

/* ---- lawa_ema ---- */

enum { LAWA_DECAY, LAWA_START, LAWA_EVERY };
/* clang-format off */
static const sw_option lawa_ema_options[] = {
    {.name = "decay", .kind = SW_OPTION_REAL, .value = 0.95, .low = 0, .high = 1,
     .open = SW_OPEN_HIGH, .help = "weight of the past"},
    {.name = "start", .kind = SW_OPTION_DURATION, .value = 2, .unit = '%', .help = "first step that counts"},
    {.name = "every", .kind = SW_OPTION_DURATION, .value = 0.5, .unit = '%', .open = SW_OPEN_LOW,
     .help = "steps that are multiples of this count"},
    {0}};
/* clang-format on */

static sw_status lawa_ema_begin(sw_step *s) {
    if (!swo_average_due(s->step, s->option[LAWA_START], s->option[LAWA_EVERY]))
        return SW_SKIPPED;
    s->coefficient[WEIGHT] = s->scalar[COUNT]++ > 0 ? 1 - s->option[LAWA_DECAY] : 1;
    return SW_OK;
}

const sw_average swo_lawa_ema = {.size = sizeof(sw_average),
                                 .name = "lawa_ema",
                                 .summary = "moving average of every so many-th iterate",
                                 .source = "Ajroldi et al., AlgoPerf 2024",
                                 .options = lawa_ema_options,
                                 .slots = ema_slots,
                                 .scalars = scalars,
                                 .begin = lawa_ema_begin,
                                 .update = &kernels,
                                 .reach = running_reach,
                                 .point_begin = after_the_first};

/* ---- polyak and swa ---- */

enum { START, EVERY };
static const sw_option polyak_options[] = {
    {.name = "start", .kind = SW_OPTION_DURATION, .value = 0, .help = "first step whose x counts"}, {0}};
/* clang-format off */
static const sw_option swa_options[] = {
    {.name = "start", .kind = SW_OPTION_DURATION, .value = 75, .unit = '%', .help = "first step that counts"},
    {.name = "every", .kind = SW_OPTION_DURATION, .value = 1, .unit = '%', .open = SW_OPEN_LOW,
     .help = "steps that are multiples of this count"},
    {0}};
/* clang-format on */
static const sw_slot mean_slots[] = {{.name = "mean"}, {.name = "mean_low", .count = low_count, .added = true}, {0}};

static sw_status mean(sw_step *s, double every) {
    if (!swo_average_due(s->step, s->option[START], every))
        return SW_SKIPPED;
    s->coefficient[WEIGHT] = 1 / ++s->scalar[COUNT];
    return SW_OK;
}

static sw_status polyak_begin(sw_step *s) {
    return mean(s, 1);
}

static sw_status swa_begin(sw_step *s) {
    return mean(s, s->option[EVERY]);
}

const sw_average swo_polyak = {.size = sizeof(sw_average),
                               .name = "polyak",
                               .summary = "the mean of all iterates from a step on",
                               .source = "Polyak, Juditsky 1992",
                               .options = polyak_options,
                               .slots = mean_slots,
                               .scalars = scalars,
                               .begin = polyak_begin,
                               .update = &kernels,
                               .reach = running_reach,
                               .point_begin = after_the_first};
const sw_average swo_swa = {.size = sizeof(sw_average),
                            .name = "swa",
                            .summary = "the mean of every so many-th iterate from a step on",
                            .source = "Izmailov et al., UAI 2018",
                            .options = swa_options,
                            .slots = mean_slots,
                            .scalars = scalars,
                            .begin = swa_begin,
                            .update = &kernels,
                            .reach = running_reach,
                            .point_begin = after_the_first};

bool swo_average_is_running(const sw_average *average) {
    return average == &swo_ema || average == &swo_lawa_ema || average == &swo_polyak || average == &swo_swa;
}

double swo_running_weight(const double *coefficient) {
    return coefficient[WEIGHT];
}

#endif
