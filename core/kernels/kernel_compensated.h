/* Compensated sums and means: a value is stored as two numbers, high + low, with |low| at most half a unit in the last
 * place of high. In f32 that is a precision of about 48 bits. A running mean in one f32 stops changing when its change
 * is below half a unit in the last place: for example w (x - mean) with w = 1e-6 and x - mean = 0.05, for a mean near
 * 1. Include this header after kernel.h, at the top of the file (not inside `#if SW_KERNEL_PASS`).
 */

#if SW_KERNEL_PASS && !defined(SW_KERNEL_HAS_COMPENSATED)
#define SW_KERNEL_HAS_COMPENSATED

/* high + low ← high + low + t, without a branch: Knuth's exact sum of high and t, then Dekker's sum of the result and
 * low. The only rounding errors are the one in t and one that is as small as a rounding error of low. If |low| is at
 * most 2^-60 |high|, low becomes 0, because it would otherwise decay to subnormal numbers, which are slow. */
static inline __attribute__((always_inline)) void SW_K(sw_k_compensated_add)(real *high, real *low, real t) {
    const real sum = *high + t, back = sum - *high;
    const real error = (*high - (sum - back)) + (t - back);
    const real rest = *low + error, total = sum + rest, left = rest - (total - sum);
    const real size = left < 0 ? -left : left, least = (total < 0 ? -total : total) * SW_R(0x1p-60);
    *high = total;
    *low = size > least ? left : 0;
}

/* mean ← mean + w (x - mean) for the elements [begin, end). With `low`, the mean is the pair mean + low; low NULL:
 * without compensation. */
static inline void SW_K(sw_k_move_mean)(const real *restrict x, real *restrict mean, real *restrict low, real w,
                                        int64_t begin, int64_t end) {
    if (w == 1) { /* the mean is x; mean + 1·(x - mean) would be rounded */
        memcpy(mean + begin, x + begin, (size_t)(end - begin) * sizeof *mean);
        if (low)
            memset(low + begin, 0, (size_t)(end - begin) * sizeof *low);
    } else if (low) {
        for (int64_t i = begin; i < end; i++)
            SW_K(sw_k_compensated_add)(&mean[i], &low[i], w * ((x[i] - mean[i]) - low[i]));
    } else {
        for (int64_t i = begin; i < end; i++)
            mean[i] += w * (x[i] - mean[i]);
    }
}

#endif
