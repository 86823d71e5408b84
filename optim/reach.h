/* For the rules' `reach`: see sw_bounds in optim.h and guard.c. */
#ifndef SWALE_REACH_H
#define SWALE_REACH_H

#include <swale/optim.h>

#include <math.h>

/* Rules that divide g by √v of the same step, v ≥ (1 - β) g², cannot go far: |g|/√v ≤ 1/√(1 - β) for each element,
 * unless g² is so small that it is flushed to zero. Then |g| < √(4·least/(1 - β)), least the smallest normal number,
 * and the denominator is still at least `floor`, that of v = 0. The 2-norm over `count` elements. */
static inline double swo_normalized(const sw_bounds *b, sw_dtype type, double fresh, double floor) {
    const double least = type == SW_F32 ? 0x1p-126 : 0x1p-1022;
    return sqrt((double)b->count) * (1 / sqrt(fresh) + sqrt(4 * least / fresh) / floor);
}

/* The smaller of two bounds; one that is NaN, as 0·∞, says nothing. */
static inline double swo_tighter(double a, double b) {
    return b < a || !(a == a) ? b : a;
}

#endif
