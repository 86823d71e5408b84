/* Sums and means kept in two numbers, high + low, with |low| at most half a unit in the last place of high: about 48
 * bits in f32. A mean in f32 alone stands still as soon as its change is below half a unit: w (x - mean) with w = 1e-6
 * and a distance of 0.05, beside 1. Included after kernel.h, in every pass.
 */

#ifndef SWALE_COMPENSATED_H
#define SWALE_COMPENSATED_H
#include <swale/optim.h>
#endif

#if SW_KERNEL_PASS

/* high + low ← high + low + t, without a branch: Knuth's exact sum of high and t, then Dekker's of that and low. What
 * is rounded is t itself, and low, relative to low. Where low is below 2^-60 of high it becomes 0, since it would
 * otherwise decay into subnormal numbers, which are slow. */
static inline __attribute__((always_inline)) void SW_K(compensated_add)(real *high, real *low, real t) {
    const real sum = *high + t, back = sum - *high;
    const real error = (*high - (sum - back)) + (t - back);
    const real rest = *low + error, total = sum + rest, left = rest - (total - sum);
    const real size = left < 0 ? -left : left, least = (total < 0 ? -total : total) * SW_R(0x1p-60);
    *high = total;
    *low = size > least ? left : 0;
}

/* mean ← mean + w (x - mean) of elements [begin, end). low NULL: without compensation. */
static inline void SW_K(move_mean)(const real *restrict x, real *restrict mean, real *restrict low, real w,
                                   int64_t begin, int64_t end) {
    if (w == 1) { /* mean + 1·(x - mean) would round */
        memcpy(mean + begin, x + begin, (size_t)(end - begin) * sizeof *mean);
        if (low)
            memset(low + begin, 0, (size_t)(end - begin) * sizeof *low);
    } else if (low) {
        for (int64_t i = begin; i < end; i++)
            SW_K(compensated_add)(&mean[i], &low[i], w * ((x[i] - mean[i]) - low[i]));
    } else {
        for (int64_t i = begin; i < end; i++)
            mean[i] += w * (x[i] - mean[i]);
    }
}

#endif
