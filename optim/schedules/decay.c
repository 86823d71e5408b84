/* Schedules that go one way: by steps, exponentially, along a power of the time that is left or of the time
 * that has passed. */
#include "optim/methods.h"

#include <math.h>

/* ---- γ^⌊t/every⌋ ---- */

enum { EVERY, STEP_FACTOR };
/* clang-format off */
static const sw_option step_options[] = {
    {.name = "every", .kind = SW_OPTION_DURATION, .value = 30, .unit = '%', .open = SW_OPEN_LOW,
     .help = "between two drops"},
    {.name = "factor", .kind = SW_OPTION_REAL, .value = 0.1, .low = 0, .high = 1e6, .open = SW_OPEN_LOW,
     .help = "γ, of each drop"},
    {0}};
/* clang-format on */

static double step(const double *option, double t, double total) {
    (void)total;
    return pow(option[STEP_FACTOR], swo_periods(t, option[EVERY]));
}

const sw_schedule swo_step = {.size = sizeof(sw_schedule),
                              .name = "step",
                              .summary = "drops by a factor every so often",
                              .options = step_options,
                              .factor = step};

/* ---- γ^(t/per), up to a bound. γ > 1: where weights lose their scale (a network with normalization), a
 * growing learning rate is weight decay by another name: γ = a⁻², a the larger root of
 * x² - (1 + μ - λη) x + μ = 0, with momentum μ and decay λ. ---- */

enum { EXP_FACTOR, PER, BOUND };
/* clang-format off */
static const sw_option exponential_options[] = {
    {.name = "factor", .kind = SW_OPTION_REAL, .value = 0.999, .low = 0, .high = 1e6, .open = SW_OPEN_LOW,
     .help = "γ; above 1 it grows"},
    {.name = "per", .kind = SW_OPTION_DURATION, .value = 1, .open = SW_OPEN_LOW,
     .help = "how long it takes to change by γ"},
    {.name = "bound", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e300,
     .help = "neither below (γ > 1: above) this; 0: none"},
    {0}};
/* clang-format on */

static double exponential(const double *option, double t, double total) {
    (void)total;
    const double factor = pow(option[EXP_FACTOR], t / option[PER]), bound = option[BOUND];
    if (option[EXP_FACTOR] > 1) /* without a bound it ends at the largest number, not at infinity */
        return fmin(factor, bound > 0 ? bound : 1e300);
    return fmax(factor, bound);
}

const sw_schedule swo_exponential = {.size = sizeof(sw_schedule),
                                     .name = "exponential",
                                     .summary = "falls, or grows, by a constant factor",
                                     .source = "growing: Li, Arora, ICLR 2020",
                                     .options = exponential_options,
                                     .factor = exponential};

/* ---- final + (1 - final)(1 - t/T)^p ---- */

enum { FINAL, POWER };
#define FINAL_OPTION                                                                \
    {                                                                               \
        .name = "final", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e6, \
        .help = "the factor at the end of the run"                                  \
    }
static const sw_option linear_options[] = {FINAL_OPTION, {0}};
/* clang-format off */
static const sw_option polynomial_options[] = {
    FINAL_OPTION,
    {.name = "power", .kind = SW_OPTION_REAL, .value = 2, .low = 0, .high = 100, .open = SW_OPEN_LOW,
     .help = "p, of the time that is left"},
    {0}};
/* clang-format on */

static double left(double t, double total) {
    return total > 0 && t < total ? 1 - t / total : 0;
}

static double linear(const double *option, double t, double total) {
    return option[FINAL] + (1 - option[FINAL]) * left(t, total);
}

static double polynomial(const double *option, double t, double total) {
    return option[FINAL] + (1 - option[FINAL]) * pow(left(t, total), option[POWER]);
}

const sw_schedule swo_linear = {.size = sizeof(sw_schedule),
                                .name = "linear",
                                .summary = "a straight line from 1 to final",
                                .options = linear_options,
                                .factor = linear,
                                .needs_total = true};
const sw_schedule swo_polynomial = {.size = sizeof(sw_schedule),
                                    .name = "polynomial",
                                    .summary = "from 1 to final along a power of the time that is left",
                                    .options = polynomial_options,
                                    .factor = polynomial,
                                    .needs_total = true};

/* ---- (1 + t/s)^-p ---- */

enum { SCALE, TIME_POWER, SCALE_WARMUP = 1 };
static const sw_option inverse_sqrt_options[] = {
    {.name = "scale",
     .kind = SW_OPTION_DURATION,
     .value = 0,
     .help = "s, the time in which it falls to 1/√2; 0: the warm-up, or 1 step"},
    {0}};
/* clang-format off */
static const sw_option inverse_time_options[] = {
    {.name = "scale", .kind = SW_OPTION_DURATION, .value = 1, .open = SW_OPEN_LOW,
     .help = "s, the time in which it falls to 2^-p"},
    {.name = "power", .kind = SW_OPTION_REAL, .value = 1, .low = 0, .high = 10, .open = SW_OPEN_LOW,
     .help = "p; sums converge as Robbins and Monro ask for in (1/2, 1]"},
    {0}};
/* clang-format on */

/* With s the warm-up's length W it goes on as √(W/t), t from the start of the run. */
static double inverse_sqrt(const double *option, double t, double total) {
    (void)total;
    const double warmup = option[SCALE_WARMUP];
    const double scale = option[SCALE] > 0 ? option[SCALE] : warmup > 0 ? warmup : 1;
    return 1 / sqrt(1 + t / scale);
}

static double inverse_time(const double *option, double t, double total) {
    (void)total;
    return pow(1 + t / option[SCALE], -option[TIME_POWER]);
}

const sw_schedule swo_inverse_sqrt = {.size = sizeof(sw_schedule),
                                      .name = "inverse_sqrt",
                                      .summary = "1/√(1 + t/scale)",
                                      .source = "Vaswani et al., NeurIPS 2017",
                                      .options = inverse_sqrt_options,
                                      .factor = inverse_sqrt};
const sw_schedule swo_inverse_time = {.size = sizeof(sw_schedule),
                                      .name = "inverse_time",
                                      .summary = "(1 + t/scale)^-power",
                                      .source = "Robbins, Monro 1951",
                                      .options = inverse_time_options,
                                      .factor = inverse_time};
