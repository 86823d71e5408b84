/* Sums of squares whose range is that of f64. Included after kernel.h, in every pass. */
#include <swale/kernel_rows.h>

#if SW_KERNEL_PASS && !defined(SW_KERNEL_HAS_SQUARES)
#define SW_KERNEL_HAS_SQUARES

/* Σ g² of n elements in f64, where squares of f32 neither overflow nor vanish. */
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

/* The same, from sums of squares in `real` where those keep their digits: faster. */
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
