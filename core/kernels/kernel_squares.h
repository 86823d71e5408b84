/* Sums of squares of f32 or f64 numbers. They do not overflow or underflow in f32, because they are computed in f64 if
 * necessary. Include this header after kernel.h, at the top of the file (not inside `#if SW_KERNEL_PASS`). */
#include <swale/kernel_rows.h>

#if SW_KERNEL_PASS && !defined(SW_KERNEL_HAS_SQUARES)
#define SW_KERNEL_HAS_SQUARES

/* Σ g² over n elements, computed in f64, in which squares of f32 numbers neither overflow nor become 0. */
static inline double SW_K(sw_k_sum_squares_f64)(const real *g, int64_t n) {
    double lane[SW_LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + SW_LANES <= n; i += SW_LANES) {
        SW_OVER_LANES
        for (int j = 0; j < SW_LANES; j++)
            lane[j] += (double)g[i + j] * (double)g[i + j];
    }
    for (int j = 0; i < n; i++, j++)
        lane[j] += (double)g[i] * (double)g[i];
    SW_ADD_LANES(double, sum, lane);
    return sum;
}

/* Σ g² over n elements. This is faster than sw_k_sum_squares_f64: it adds the squares of each tile in `real`, and
 * computes a tile in f64 only if its sum is near the limits of f32. */
static inline double SW_K(sw_k_sum_squares)(const real *g, int64_t n) {
    double sum = 0;
    for (int64_t begin = 0; begin < n; begin += SW_TILE) {
        const real *part = g + begin;
        const int64_t length = n - begin < SW_TILE ? n - begin : SW_TILE;
        real square;
        SW_ROW_SUM(square, length, part[j] * part[j]);
        const bool kept = !SW_KERNEL_F32 || (square > SW_R(1e-28) && square < SW_R(1e38));
        sum += kept ? (double)square : SW_K(sw_k_sum_squares_f64)(part, length);
    }
    return sum;
}

#endif
