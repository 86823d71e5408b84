/* The options of rules with a proximal step. These rules minimize F = f + h, where the gradient is that of f and
 *     h(θ) = λ₁ ‖θ‖₁ if low ≤ θ ≤ high, else ∞      (λ₁: the option l1; nonnegative: low is 0 at least)
 * by steps that end with prox_{ηh} (kernel_prox.h).
 */
#ifndef SWALE_PROX_H
#define SWALE_PROX_H

#include <swale/method.h>

#include <math.h>

/* The options of SW_PROX_OPTIONS, in this order. */
typedef struct sw_prox_options {
    double l1, nonnegative, low, high;
} sw_prox_options;
/* clang-format off */
#define SW_PROX_OPTIONS                                                                                        \
    {.name = "l1", .value = 0, .low = 0, .high = (double)INFINITY, .open = SW_OPEN_HIGH,                       \
     .help = "λ₁ of the penalty λ₁‖θ‖₁, by a proximal step: zeros are exact"},                                 \
    {.name = "nonnegative", .kind = SW_OPTION_BOOL, .help = "θ ≥ 0, by a proximal step"},                      \
    {.name = "low", .value = -(double)INFINITY, .low = -(double)INFINITY, .high = (double)INFINITY,            \
     .open = SW_OPEN_HIGH, .help = "θ ≥ low, by a proximal step"},                                             \
    {.name = "high", .value = (double)INFINITY, .low = -(double)INFINITY, .high = (double)INFINITY,            \
     .open = SW_OPEN_LOW, .help = "θ ≤ high, by a proximal step"}
/* clang-format on */

/* The lower bound of the elements; -INFINITY if there is none. */
static inline double sw_prox_low(const sw_prox_options *o) {
    return o->nonnegative != 0 && !(o->low > 0) ? 0 : o->low;
}

/* The upper bound of the elements; INFINITY if there is none. */
static inline double sw_prox_high(const sw_prox_options *o) {
    return o->high;
}

/* Whether there is a lower or an upper bound. */
static inline bool sw_prox_has_box(const sw_prox_options *o) {
    return !isinf(sw_prox_low(o)) || !isinf(sw_prox_high(o));
}

/* Whether h differs from 0. */
static inline bool sw_prox_is_used(const sw_prox_options *o) {
    return o->l1 != 0 || sw_prox_has_box(o);
}

/* An error if the box is empty or lr is negative. For `check`, and also for `begin`, because schedules scale
 * options. */
static inline sw_status sw_prox_check(const char *rule, const sw_prox_options *o, double lr) {
    if (!(sw_prox_low(o) <= sw_prox_high(o)))
        return sw_fail(SW_ERR_ARGUMENT, "%s: no number lies between low = %g and high = %g%s", rule, sw_prox_low(o),
                       sw_prox_high(o), o->nonnegative != 0 ? " (nonnegative makes low at least 0)" : "");
    if (lr < 0)
        return sw_fail(SW_ERR_ARGUMENT, "%s: lr = %g; a proximal step needs 0 or more", rule, lr);
    return SW_OK;
}

/* A bound of ‖prox(v)‖ over `count` elements, given a bound v of ‖v‖. If 0 is in the box, prox moves elements toward 0;
 * otherwise it may also move them to the bound that is nearest to 0. */
static inline double sw_prox_bound(const sw_prox_options *o, double v, int64_t count) {
    const double low = sw_prox_low(o), high = sw_prox_high(o), n = sqrt((double)count);
    const double inside = n * fmax(fabs(low), fabs(high)), nearest = n * fmax(fmax(low, -high), 0);
    return fmin(v + nearest, inside);
}

#endif
