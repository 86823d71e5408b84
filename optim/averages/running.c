/* Averages kept in one vector, e ← e + w (θ - e), which differ in w and in the steps at which they are updated:
 *     ema       every step, w = 1 - β; with debias (1 - β)/(1 - βᵗ)
 *     lawa_ema  the same at regular intervals; w = 1 at the first of these steps
 *     polyak    every step beginning with a start, w = 1/k at the k-th: the mean
 *     swa       the mean at regular intervals
 * In f32 a second vector holds the rounding error of e (kernel_compensated.h): with w = 1e-6, e alone would not change.
 * A step then reads θ, e and the second vector, and writes e and the second vector: 20 bytes per parameter instead of
 * 12.
 */
#include <swale/kernel.h>
#include <swale/kernel_compensated.h>
#include <swale/average.h>

#if SW_KERNEL_FIRST
typedef struct running_slots {
    void *mean, *low;
} running_slots;
typedef struct running_coefficients {
    double weight; /* w */
} running_coefficients;
#endif

#if SW_KERNEL_PASS

static void SW_K(running)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const running_slots *slots = SW_STEP_SLOTS(s, running_slots);
    const real weight = (real)SW_STEP_COEFFICIENTS(s, running_coefficients)->weight;
    (void)sums;
    SW_K(sw_k_move_mean)(s->x, slots->mean, slots->low, weight, begin, end);
}

#else

static const sw_kernels running_kernels = SW_KERNEL_TABLE(running);

typedef struct running_scalars {
    double count; /* the number of iterates in the average */
} running_scalars;
static const char *const running_scalar_names[] = {"count", NULL};
SW_MATCH_SCALARS(running_scalars, running_scalar_names);

/* e + w (θ - e) lies between e and θ. */
static void running_reach(const sw_step *s, sw_bounds *b) {
    double *mean = &SW_SLOT_BOUND(b, running_slots, mean), *low = &SW_SLOT_BOUND(b, running_slots, low);
    (void)s;
    b->largest += 2 * (*mean + *low + b->x);
    *mean = fmax(*mean, b->x);
    *low = *mean; /* a generous bound: it is at most half a unit in the last place of e */
}

static double running_weight(const double *coefficient) {
    return SW_OPTIONS_AS(coefficient, running_coefficients)->weight;
}

const sw_average swo_none = {
    .size = sizeof(sw_average), .name = "none", .summary = "the last iterate", .reach = running_reach};

/* While the average contains no iterate, the point is x. */
static sw_status running_point_begin(sw_step *s) {
    return SW_STEP_SCALARS(s, running_scalars)->count > 0 ? SW_OK : SW_SKIPPED;
}

/* Only averages in f32 need the second vector. The rounding error of one in f64 is at most 1e-16 of it in a step. */
static int64_t running_low_count(const sw_slot_sizes *sizes) {
    return sizes->type == SW_F32 ? sizes->dim : 0;
}

/* ---- ema ---- */

typedef struct ema_options {
    double decay, debias;
} ema_options;
/* clang-format off */
static const sw_option ema_option_table[] = {
    {.name = "decay", .kind = SW_OPTION_REAL, .value = 0.999, .low = 0, .high = 1,
     .open = SW_OPEN_HIGH, .help = "β, the weight of the previous average"},
    {.name = "debias", .kind = SW_OPTION_BOOL, .value = 0,
     .help = "divide by 1 - decay^t, so that the initial x has no weight"},
    {0}};
/* clang-format on */
static const sw_slot ema_slot_table[] = {
    {.name = "ema", .start = SW_START_X}, {.name = "ema_low", .count = running_low_count, .added = true}, {0}};

SW_MATCH_OPTIONS(ema_options, ema_option_table);
SW_MATCH_SLOTS(running_slots, ema_slot_table);

static sw_status ema_begin(sw_step *s) {
    const ema_options *o = SW_STEP_OPTIONS(s, ema_options);
    running_coefficients *c = SW_STEP_COEFFICIENTS(s, running_coefficients);
    c->weight = 1 - o->decay;
    if (o->debias != 0) /* as a running mean, this is e_t/(1 - βᵗ) with e_0 = 0 */
        c->weight = (1 - o->decay) / (1 - pow(o->decay, (double)s->step));
    return SW_OK;
}

const sw_average swo_ema = {.size = sizeof(sw_average),
                            .name = "ema",
                            .summary = "exponential moving average of the iterates",
                            .source = "Polyak, Juditsky 1992; Kingma, Ba 2015, section 7",
                            .options = ema_option_table,
                            .slots = ema_slot_table,
                            .begin = ema_begin,
                            .update = &running_kernels,
                            .weight = running_weight,
                            .reach = running_reach};

/* ---- lawa_ema ---- */

typedef struct lawa_ema_options {
    double decay, start, every;
} lawa_ema_options;
/* clang-format off */
static const sw_option lawa_ema_option_table[] = {
    {.name = "decay", .kind = SW_OPTION_REAL, .value = 0.95, .low = 0, .high = 1,
     .open = SW_OPEN_HIGH, .help = "β, the weight of the previous average"},
    {.name = "start", .kind = SW_OPTION_DURATION, .value = 2, .unit = '%', .help = "first step that is included"},
    {.name = "every", .kind = SW_OPTION_DURATION, .value = 0.5, .unit = '%', .open = SW_OPEN_LOW,
     .help = "steps at multiples of this number are included"},
    {0}};
/* clang-format on */

SW_MATCH_OPTIONS(lawa_ema_options, lawa_ema_option_table);

static sw_status lawa_ema_begin(sw_step *s) {
    const lawa_ema_options *o = SW_STEP_OPTIONS(s, lawa_ema_options);
    if (!sw_duration_is_due(s->step, o->start, o->every))
        return SW_SKIPPED;
    const bool first = !(SW_STEP_SCALARS(s, running_scalars)->count++ > 0);
    SW_STEP_COEFFICIENTS(s, running_coefficients)->weight = first ? 1 : 1 - o->decay;
    return SW_OK;
}

const sw_average swo_lawa_ema = {.size = sizeof(sw_average),
                                 .name = "lawa_ema",
                                 .summary = "moving average of the iterates at regular intervals",
                                 .source = "Ajroldi et al., AlgoPerf 2024",
                                 .options = lawa_ema_option_table,
                                 .slots = ema_slot_table,
                                 .scalars = running_scalar_names,
                                 .begin = lawa_ema_begin,
                                 .update = &running_kernels,
                                 .weight = running_weight,
                                 .reach = running_reach,
                                 .point_begin = running_point_begin};

/* ---- polyak and swa ---- */

typedef struct polyak_options {
    double start;
} polyak_options;
typedef struct swa_options {
    double start, every;
} swa_options;
static const sw_option polyak_option_table[] = {
    {.name = "start", .kind = SW_OPTION_DURATION, .value = 0, .help = "first step whose x is included"}, {0}};
/* clang-format off */
static const sw_option swa_option_table[] = {
    {.name = "start", .kind = SW_OPTION_DURATION, .value = 75, .unit = '%', .help = "first step that is included"},
    {.name = "every", .kind = SW_OPTION_DURATION, .value = 1, .unit = '%', .open = SW_OPEN_LOW,
     .help = "steps at multiples of this number are included"},
    {0}};
/* clang-format on */
static const sw_slot mean_slot_table[] = {
    {.name = "mean"}, {.name = "mean_low", .count = running_low_count, .added = true}, {0}};

SW_MATCH_OPTIONS(polyak_options, polyak_option_table);
SW_MATCH_OPTIONS(swa_options, swa_option_table);
SW_MATCH_SLOTS(running_slots, mean_slot_table);

static sw_status mean_begin(sw_step *s, double start, double every) {
    if (!sw_duration_is_due(s->step, start, every))
        return SW_SKIPPED;
    SW_STEP_COEFFICIENTS(s, running_coefficients)->weight = 1 / ++SW_STEP_SCALARS(s, running_scalars)->count;
    return SW_OK;
}

static sw_status polyak_begin(sw_step *s) {
    return mean_begin(s, SW_STEP_OPTIONS(s, polyak_options)->start, 1);
}

static sw_status swa_begin(sw_step *s) {
    const swa_options *o = SW_STEP_OPTIONS(s, swa_options);
    return mean_begin(s, o->start, o->every);
}

const sw_average swo_polyak = {.size = sizeof(sw_average),
                               .name = "polyak",
                               .summary = "the mean of all iterates after a number of steps",
                               .source = "Polyak, Juditsky 1992",
                               .options = polyak_option_table,
                               .slots = mean_slot_table,
                               .scalars = running_scalar_names,
                               .begin = polyak_begin,
                               .update = &running_kernels,
                               .weight = running_weight,
                               .reach = running_reach,
                               .point_begin = running_point_begin};
const sw_average swo_swa = {.size = sizeof(sw_average),
                            .name = "swa",
                            .summary = "the mean of the iterates at regular intervals after a number of steps",
                            .source = "Izmailov et al., UAI 2018",
                            .options = swa_option_table,
                            .slots = mean_slot_table,
                            .scalars = running_scalar_names,
                            .begin = swa_begin,
                            .update = &running_kernels,
                            .weight = running_weight,
                            .reach = running_reach,
                            .point_begin = running_point_begin};

#endif
