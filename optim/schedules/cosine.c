/* Schedules made of half cosine waves (Loshchilov, Hutter, SGDR, ICLR 2017): one over the run, one after
 * each restart, one in each cycle. */
#include "optim/methods.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

/* From 1 at part = 0 down to low at part = 1. */
static double half_wave(double low, double part) {
    return low + (1 - low) * 0.5 * (1 + cos(PI * part));
}

/* ---- final + (1 - final)·½(1 + cos(π t/T)) ---- */

enum { FINAL };
/* clang-format off */
static const sw_option cosine_options[] = {
    {.name = "final", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1,
     .help = "the factor at the end of the run"},
    {0}};
/* clang-format on */

static double cosine(const double *option, double t, double total) {
    return half_wave(option[FINAL], total > 0 && t < total ? t / total : 1);
}

const sw_schedule swo_cosine = {.size = sizeof(sw_schedule),
                                .name = "cosine",
                                .summary = "half a cosine wave from 1 to final",
                                .source = "Loshchilov, Hutter, ICLR 2017",
                                .options = cosine_options,
                                .factor = cosine,
                                .needs_total = true};

/* ---- Warm restarts: cycle i, of T0·mᶦ steps, falls from 1 to final ---- */

enum { PERIOD, GROWTH, LOW };
/* clang-format off */
static const sw_option restarts_options[] = {
    {.name = "period", .kind = SW_OPTION_DURATION, .value = 10, .unit = '%', .open = SW_OPEN_LOW,
     .help = "T0, length of the first cycle"},
    {.name = "growth", .kind = SW_OPTION_REAL, .value = 1, .low = 1, .high = 1e3,
     .help = "Tmult: each cycle's length over that of the one before"},
    {.name = "final", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1,
     .help = "the factor at the end of a cycle"},
    {0}};
/* clang-format on */

/* Where cycle i begins: T0 (1 + m + … + mᶦ⁻¹). */
static double beginning(double period, double growth, double i) {
    return growth == 1 ? period * i : period * (pow(growth, i) - 1) / (growth - 1);
}

static double restarts(const double *option, double t, double total) {
    (void)total;
    const double T0 = option[PERIOD], m = option[GROWTH];
    double i = m == 1 ? swo_periods(t, T0) : floor(log1p(t / T0 * (m - 1)) / log(m));
    if (t < swo_exact_steps(beginning(T0, m, i))) /* rounding at the seam */
        i--;
    else if (t >= swo_exact_steps(beginning(T0, m, i + 1)))
        i++;
    const double begin = swo_exact_steps(beginning(T0, m, i));
    return half_wave(option[LOW], (t - begin) / (beginning(T0, m, i + 1) - begin));
}

const sw_schedule swo_restarts = {.size = sizeof(sw_schedule),
                                  .name = "restarts",
                                  .summary = "SGDR: a cosine wave that starts again, period by period",
                                  .source = "Loshchilov, Hutter, ICLR 2017",
                                  .options = restarts_options,
                                  .factor = restarts};

/* ---- c cycles of length T/c: linearly from low to 1, then a half wave down to low ---- */

enum { CYCLES, RISE, ENDS };
/* clang-format off */
static const sw_option cycles_options[] = {
    {.name = "cycles", .kind = SW_OPTION_INTEGER, .value = 1, .low = 1, .high = 1e6,
     .help = "c, in the run"},
    {.name = "rise", .kind = SW_OPTION_REAL, .value = 0.05, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "part of a cycle that rises"},
    {.name = "low", .kind = SW_OPTION_REAL, .value = 1e-10, .low = 0, .high = 1,
     .help = "the factor at both ends of a cycle"},
    {0}};
/* clang-format on */

static double cosine_cycles(const double *option, double t, double total) {
    if (!(t < total))
        return option[ENDS];
    const double low = option[ENDS], length = total / option[CYCLES], rise = option[RISE] * length;
    const double u = fmax(t - swo_periods(t, length) * length, 0);
    return u < rise ? low + (1 - low) * (u / rise) : half_wave(low, (u - rise) / (length - rise));
}

const sw_schedule swo_cosine_cycles = {.size = sizeof(sw_schedule),
                                       .name = "cosine_cycles",
                                       .summary = "cycles of a linear rise and half a cosine wave down",
                                       .source = "Cyclic LR, AlgoPerf 2024",
                                       .options = cycles_options,
                                       .factor = cosine_cycles,
                                       .needs_total = true};
