/* Schedules of half cosine waves (Loshchilov, Hutter, SGDR, ICLR 2017): one wave over the run, one after each
 * restart, or one in each cycle. */
#include <swale/schedule.h>

#include <math.h>

static const double PI = 3.14159265358979323846;

/* Falls from 1 at part = 0 to low at part = 1. */
static double cosine_half_wave(double low, double part) {
    return low + (1 - low) * 0.5 * (1 + cos(PI * part));
}

/* ---- final + (1 - final)·½(1 + cos(π t/T)) ---- */

typedef struct cosine_options {
    double final;
} cosine_options;
/* clang-format off */
static const sw_option cosine_option_table[] = {
    {.name = "final", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1,
     .help = "the factor at the end of the run"},
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(cosine_options, cosine_option_table);

static double cosine_factor(const double *option, double t, double total) {
    const cosine_options *o = SW_OPTIONS_AS(option, cosine_options);
    return cosine_half_wave(o->final, total > 0 && t < total ? t / total : 1);
}

const sw_schedule swo_cosine = {.size = sizeof(sw_schedule),
                                .name = "cosine",
                                .summary = "half a cosine wave from 1 to final",
                                .source = "Loshchilov, Hutter, ICLR 2017",
                                .options = cosine_option_table,
                                .factor = cosine_factor,
                                .needs_total = true};

/* ---- Warm restarts: cycle i, of T0·mᶦ steps, falls from 1 to final ---- */

typedef struct restarts_options {
    double period, growth, final;
} restarts_options;
/* clang-format off */
static const sw_option restarts_option_table[] = {
    {.name = "period", .kind = SW_OPTION_DURATION, .value = 10, .unit = '%', .open = SW_OPEN_LOW,
     .help = "T0, the length of the first cycle"},
    {.name = "growth", .kind = SW_OPTION_REAL, .value = 1, .low = 1, .high = 1e3,
     .help = "Tmult, the ratio of the lengths of successive cycles"},
    {.name = "final", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1,
     .help = "the factor at the end of a cycle"},
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(restarts_options, restarts_option_table);

/* The step at which cycle i begins: T0 (1 + m + … + mᶦ⁻¹). */
static double restarts_begin(double T0, double m, double i) {
    return m == 1 ? T0 * i : T0 * (pow(m, i) - 1) / (m - 1);
}

static double restarts_factor(const double *option, double t, double total) {
    (void)total;
    const restarts_options *o = SW_OPTIONS_AS(option, restarts_options);
    const double T0 = o->period, m = o->growth;
    double i = m == 1 ? sw_duration_periods(t, T0) : floor(log1p(t / T0 * (m - 1)) / log(m));
    if (t < sw_duration_exact_steps(restarts_begin(T0, m, i))) /* rounding errors where two cycles meet */
        i--;
    else if (t >= sw_duration_exact_steps(restarts_begin(T0, m, i + 1)))
        i++;
    const double begin = sw_duration_exact_steps(restarts_begin(T0, m, i));
    return cosine_half_wave(o->final, (t - begin) / (restarts_begin(T0, m, i + 1) - begin));
}

const sw_schedule swo_restarts = {.size = sizeof(sw_schedule),
                                  .name = "restarts",
                                  .summary = "SGDR: half a cosine wave from 1 to final in each period",
                                  .source = "Loshchilov, Hutter, ICLR 2017",
                                  .options = restarts_option_table,
                                  .factor = restarts_factor};

/* ---- c cycles of length T/c: linearly from low to 1, then a half wave down to low ---- */

typedef struct cosine_cycles_options {
    double cycles, rise, low;
} cosine_cycles_options;
/* clang-format off */
static const sw_option cosine_cycles_option_table[] = {
    {.name = "cycles", .kind = SW_OPTION_INTEGER, .value = 1, .low = 1, .high = 1e6,
     .help = "c, the number of cycles in the run"},
    {.name = "rise", .kind = SW_OPTION_REAL, .value = 0.05, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "fraction of a cycle in which the factor rises"},
    {.name = "low", .kind = SW_OPTION_REAL, .value = 1e-10, .low = 0, .high = 1,
     .help = "the factor at both ends of a cycle"},
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(cosine_cycles_options, cosine_cycles_option_table);

static double cosine_cycles_factor(const double *option, double t, double total) {
    const cosine_cycles_options *o = SW_OPTIONS_AS(option, cosine_cycles_options);
    if (!(t < total))
        return o->low;
    const double low = o->low, length = total / o->cycles, rise = o->rise * length;
    const double u = fmax(t - sw_duration_periods(t, length) * length, 0);
    return u < rise ? low + (1 - low) * (u / rise) : cosine_half_wave(low, (u - rise) / (length - rise));
}

const sw_schedule swo_cosine_cycles = {.size = sizeof(sw_schedule),
                                       .name = "cosine_cycles",
                                       .summary = "cycles of a linear rise and half a cosine wave down",
                                       .source = "Cyclic LR, AlgoPerf 2024",
                                       .options = cosine_cycles_option_table,
                                       .factor = cosine_cycles_factor,
                                       .needs_total = true};
