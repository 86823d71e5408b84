/* What rules with a proximal step share. They minimize F = f + h, where the gradient is that of f and
 *     h(θ) = λ₁ ‖θ‖₁ if low ≤ θ ≤ high, else ∞      (λ₁: the option l1; nonnegative: low is 0 at least)
 * by steps that end with (Parikh, Boyd, Proximal algorithms, 2014, section 6)
 *     prox_{ηh}(v) = argmin over θ of ½ (θ - v)² + η h(θ) = clamp(soft(v, ηλ₁), low, high)
 *     soft(v, t) = v - clamp(v, -t, t)               exactly 0 where |v| ≤ t
 * for each element. The clamp is exact also where 0 is outside the box: ½ (θ - v)² + ηλ₁|θ| is a convex function
 * of one number, whose minimum over an interval is the number there that is next to its minimum over all numbers.
 *
 * Included after kernel.h, in every pass. */
#include <swale/kernel_compensated.h>

#ifndef SWALE_RULES_PROX_H
#define SWALE_RULES_PROX_H

#include <swale/optim.h>

#include <math.h>

/* The options, in this order: functions get a pointer to the first. */
enum { PROX_L1, PROX_NONNEGATIVE, PROX_LOW, PROX_HIGH, PROX_OPTIONS };
/* clang-format off */
#define PROX_ROWS                                                                                              \
    {.name = "l1", .value = 0, .low = 0, .high = (double)INFINITY, .open = SW_OPEN_HIGH,                       \
     .help = "λ₁ of the penalty λ₁‖θ‖₁, by a proximal step: zeros are exact"},                                 \
    {.name = "nonnegative", .kind = SW_OPTION_BOOL, .help = "θ ≥ 0, by a proximal step"},                      \
    {.name = "low", .value = -(double)INFINITY, .low = -(double)INFINITY, .high = (double)INFINITY,            \
     .open = SW_OPEN_HIGH, .help = "θ ≥ low, by a proximal step"},                                             \
    {.name = "high", .value = (double)INFINITY, .low = -(double)INFINITY, .high = (double)INFINITY,            \
     .open = SW_OPEN_LOW, .help = "θ ≤ high, by a proximal step"}
/* clang-format on */

static inline double prox_low(const double *option) {
    return option[PROX_NONNEGATIVE] != 0 && !(option[PROX_LOW] > 0) ? 0 : option[PROX_LOW];
}

static inline double prox_high(const double *option) {
    return option[PROX_HIGH];
}

static inline bool prox_has_box(const double *option) {
    return !isinf(prox_low(option)) || !isinf(prox_high(option));
}

/* Whether h is anything but 0. */
static inline bool prox_is_used(const double *option) {
    return option[PROX_L1] != 0 || prox_has_box(option);
}

/* Of what a schedule has made of the options, too. */
static inline sw_status prox_check(const char *rule, const double *option, double lr) {
    if (!(prox_low(option) <= prox_high(option)))
        return sw_fail(SW_ERR_ARGUMENT, "%s: no number lies between low = %g and high = %g%s", rule, prox_low(option),
                       prox_high(option), option[PROX_NONNEGATIVE] != 0 ? " (nonnegative makes low at least 0)" : "");
    if (lr < 0)
        return sw_fail(SW_ERR_ARGUMENT, "%s: lr = %g; a proximal step needs 0 or more", rule, lr);
    return SW_OK;
}

/* A bound of ‖prox(v)‖ over `count` elements, from one of ‖v‖. Elements come nearer to 0, if 0 is in the box;
 * otherwise they may come as far as its nearer end. */
static inline double prox_reach(const double *option, double v, int64_t count) {
    const double low = prox_low(option), high = prox_high(option), n = sqrt((double)count);
    const double inside = n * fmax(fabs(low), fabs(high)), nearest = n * fmax(fmax(low, -high), 0);
    return fmin(v + nearest, inside);
}

#endif

#if SW_KERNEL_PASS

/* NaN stays NaN. */
static inline real SW_K(clamp)(real v, real low, real high) {
    const real raised = low > v ? low : v;
    return high < raised ? high : raised;
}

static inline real SW_K(prox)(real v, real threshold, real low, real high) {
    return SW_K(clamp)(v - SW_K(clamp)(v, -threshold, threshold), low, high);
}

/* prox of a number in two parts, x + low */
static inline void SW_K(prox_pair)(real *x, real *low, real threshold, real least, real most) {
    const real v = *x;
    if (v <= threshold && v >= -threshold) {
        *x = *low = 0;
    } else {
        SW_K(compensated_add)(x, low, v > 0 ? -threshold : threshold);
    }
    if (*x <= least || *x >= most) {
        *x = *x <= least ? least : most;
        *low = 0;
    }
}

#endif
