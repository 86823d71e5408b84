/* Bounds for the function `reach` of rules: see sw_bounds. */
#ifndef SWALE_REACH_H
#define SWALE_REACH_H

#include <swale/method.h>

#include <math.h>

/* For rules that divide g by √v of the same step: a bound of the 2-norm of g/(√v + …) over all elements of the group.
 * With v ≥ fresh·g², where fresh is the weight of g² in v (1 - β2, or 1 in a sum), |g|/√v ≤ 1/√fresh for each element,
 * unless g² is so small that it is flushed to zero. Then |g| < √(4·least/fresh), where least is the smallest normal
 * number, and the denominator is still at least `floor`, its value at v = 0. */
static inline double sw_bound_normalized(const sw_bounds *bounds, sw_dtype type, double fresh, double floor) {
    const double least = type == SW_F32 ? 0x1p-126 : 0x1p-1022;
    return sqrt((double)bounds->count) * (1 / sqrt(fresh) + sqrt(4 * least / fresh) / floor);
}

/* The smaller of two bounds of the same quantity. A bound that is NaN, such as 0·∞, is ignored. */
static inline double sw_bound_tighter(double a, double b) {
    return b < a || !(a == a) ? b : a;
}

#endif
