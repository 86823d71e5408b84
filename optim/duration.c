/* Conversion of durations to steps, which may have a fraction: see method.h. */
#include <swale/method.h>

#include <math.h>

/* The relative difference from an integer up to which a product or quotient of durations is taken as that integer. It
 * is the result of at most three roundings, each of 2^-53; 2^-50 is 8 of them, and far below the distance of two
 * different quotients t/length, which is at least 1/(100 steps). */
static const double DURATION_ROUNDING = 0x1p-50;

double sw_duration_exact_steps(double steps) {
    const double whole = round(steps);
    return fabs(steps - whole) <= DURATION_ROUNDING * whole ? whole : steps;
}

double sw_duration_whole_steps(double steps) {
    return ceil(sw_duration_exact_steps(steps));
}

double sw_duration_periods(double t, double length) {
    return floor(sw_duration_exact_steps(t / length));
}

bool sw_duration_is_due(int64_t step, double start, double every) {
    const double period = fmax(sw_duration_whole_steps(every), 1);
    return (double)step >= sw_duration_whole_steps(start) && fmod((double)step, period) == 0;
}
