/* Schedules that only decrease or only increase: step, exponential, and powers of the remaining or of the elapsed
 * time. */
#include <swale/schedule.h>

#include <math.h>

/* ---- γ^⌊t/every⌋ ---- */

typedef struct step_options {
    double every, factor;
} step_options;
/* clang-format off */
static const sw_option step_option_table[] = {
    {.name = "every", .kind = SW_OPTION_DURATION, .value = 30, .unit = '%', .open = SW_OPEN_LOW,
     .help = "time between two drops"},
    {.name = "factor", .kind = SW_OPTION_REAL, .value = 0.1, .low = 0, .high = 1e6, .open = SW_OPEN_LOW,
     .help = "γ, the factor of each drop"},
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(step_options, step_option_table);

static double step_factor(const double *option, double t, double total) {
    (void)total;
    const step_options *o = SW_OPTIONS_AS(option, step_options);
    return pow(o->factor, sw_duration_periods(t, o->every));
}

const sw_schedule swo_step = {.size = sizeof(sw_schedule),
                              .name = "step",
                              .summary = "drops by a factor at regular intervals",
                              .options = step_option_table,
                              .factor = step_factor};

/* ---- γ^(t/per), limited by a bound. γ > 1: if the output of a network does not depend on the scale of its weights
 * (normalization), a growing learning rate is equivalent to weight decay: γ = a⁻², where a is the larger root of
 * x² - (1 + μ - λη) x + μ = 0, with momentum μ and decay λ (Li, Arora 2020). ---- */

typedef struct exponential_options {
    double factor, per, bound;
} exponential_options;
/* clang-format off */
static const sw_option exponential_option_table[] = {
    {.name = "factor", .kind = SW_OPTION_REAL, .value = 0.999, .low = 0, .high = 1e6, .open = SW_OPEN_LOW,
     .help = "γ, the factor; above 1: growth"},
    {.name = "per", .kind = SW_OPTION_DURATION, .value = 1, .open = SW_OPEN_LOW,
     .help = "time in which the result changes by γ"},
    {.name = "bound", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e300,
     .help = "lower bound (γ > 1: upper bound) of the result; 0: no bound"},
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(exponential_options, exponential_option_table);

static double exponential_factor(const double *option, double t, double total) {
    (void)total;
    const exponential_options *o = SW_OPTIONS_AS(option, exponential_options);
    const double factor = pow(o->factor, t / o->per);
    if (o->factor > 1) /* without a bound, the factor is limited to 1e300, so that it is finite */
        return fmin(factor, o->bound > 0 ? o->bound : 1e300);
    return fmax(factor, o->bound);
}

const sw_schedule swo_exponential = {.size = sizeof(sw_schedule),
                                     .name = "exponential",
                                     .summary = "exponential decay or growth",
                                     .source = "growing: Li, Arora, ICLR 2020",
                                     .options = exponential_option_table,
                                     .factor = exponential_factor};

/* ---- final + (1 - final)(1 - t/T)^p ---- */

typedef struct linear_options {
    double final;
} linear_options;
typedef struct polynomial_options {
    double final, power;
} polynomial_options;
#define FINAL_OPTION                                                                \
    {                                                                               \
        .name = "final", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e6, \
        .help = "the factor at the end of the run"                                  \
    }
static const sw_option linear_option_table[] = {FINAL_OPTION, {0}};
/* clang-format off */
static const sw_option polynomial_option_table[] = {
    FINAL_OPTION,
    {.name = "power", .kind = SW_OPTION_REAL, .value = 2, .low = 0, .high = 100, .open = SW_OPEN_LOW,
     .help = "p, the power of the remaining time"},
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(linear_options, linear_option_table);
SW_MATCH_OPTIONS(polynomial_options, polynomial_option_table);

/* 1 - t/T, the fraction of the run that is left. */
static double linear_time_left(double t, double total) {
    return total > 0 && t < total ? 1 - t / total : 0;
}

static double linear_factor(const double *option, double t, double total) {
    const linear_options *o = SW_OPTIONS_AS(option, linear_options);
    return o->final + (1 - o->final) * linear_time_left(t, total);
}

static double polynomial_factor(const double *option, double t, double total) {
    const polynomial_options *o = SW_OPTIONS_AS(option, polynomial_options);
    return o->final + (1 - o->final) * pow(linear_time_left(t, total), o->power);
}

const sw_schedule swo_linear = {.size = sizeof(sw_schedule),
                                .name = "linear",
                                .summary = "a straight line from 1 to final",
                                .options = linear_option_table,
                                .factor = linear_factor,
                                .needs_total = true};
const sw_schedule swo_polynomial = {.size = sizeof(sw_schedule),
                                    .name = "polynomial",
                                    .summary = "from 1 to final as a power of the remaining time",
                                    .options = polynomial_option_table,
                                    .factor = polynomial_factor,
                                    .needs_total = true};

/* ---- (1 + t/s)^-p ---- */

typedef struct inverse_sqrt_options {
    double scale;
} inverse_sqrt_options;
typedef struct inverse_time_options {
    double scale, power;
} inverse_time_options;
static const sw_option inverse_sqrt_option_table[] = {
    {.name = "scale",
     .kind = SW_OPTION_DURATION,
     .value = 0,
     .help = "s, the time in which the factor falls to 1/√2; 0: the warm-up, or 1 step"},
    {0}};
/* clang-format off */
static const sw_option inverse_time_option_table[] = {
    {.name = "scale", .kind = SW_OPTION_DURATION, .value = 1, .open = SW_OPEN_LOW,
     .help = "s, the time in which the factor falls to 2^-p"},
    {.name = "power", .kind = SW_OPTION_REAL, .value = 1, .low = 0, .high = 10, .open = SW_OPEN_LOW,
     .help = "p; in (1/2, 1] the conditions of Robbins and Monro hold"},
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(inverse_sqrt_options, inverse_sqrt_option_table);
SW_MATCH_OPTIONS(inverse_time_options, inverse_time_option_table);

/* If s is the length W of the warm-up, the factor is √(W/t) with t counted from the start of the run. */
static double inverse_sqrt_factor(const double *option, double t, double total) {
    (void)total;
    const inverse_sqrt_options *o = SW_OPTIONS_AS(option, inverse_sqrt_options);
    const double warmup = SW_OPTIONS_AS(option + SW_FIELDS(inverse_sqrt_options), sw_schedule_common)->warmup;
    const double scale = o->scale > 0 ? o->scale : warmup > 0 ? warmup : 1;
    return 1 / sqrt(1 + t / scale);
}

static double inverse_time_factor(const double *option, double t, double total) {
    (void)total;
    const inverse_time_options *o = SW_OPTIONS_AS(option, inverse_time_options);
    return pow(1 + t / o->scale, -o->power);
}

const sw_schedule swo_inverse_sqrt = {.size = sizeof(sw_schedule),
                                      .name = "inverse_sqrt",
                                      .summary = "1/√(1 + t/scale)",
                                      .source = "Vaswani et al., NeurIPS 2017",
                                      .options = inverse_sqrt_option_table,
                                      .factor = inverse_sqrt_factor};
const sw_schedule swo_inverse_time = {.size = sizeof(sw_schedule),
                                      .name = "inverse_time",
                                      .summary = "(1 + t/scale)^-power",
                                      .source = "Robbins, Monro 1951",
                                      .options = inverse_time_option_table,
                                      .factor = inverse_time_factor};
