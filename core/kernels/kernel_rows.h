/* Loops over one row, for kernels of softmax and similar operations: the sum in a fixed order, and the largest element.
 * Include this header after kernel.h, at the top of the file (not inside `#if SW_KERNEL_PASS`). */

#ifndef SWALE_ROW_H
#define SWALE_ROW_H
enum { SW_ROW_WIDE = 2 * SW_LANES }; /* rows of at least this length are summed in SW_LANES lanes */

/* sum = Σ expression for j in [0, n), where the expression contains j. The sums of the tiles of long rows are added in
 * f64. */
#define SW_ROW_SUM(sum, n, expression)                                            \
    do {                                                                          \
        sum = 0;                                                                  \
        if ((n) < SW_ROW_WIDE) {                                                  \
            for (int64_t j = 0; j < (n); j++)                                     \
                sum += expression;                                                \
        } else {                                                                  \
            double tiles_ = 0;                                                    \
            for (int64_t first = 0; first < (n);) {                               \
                const int64_t end_ = (n)-first < SW_TILE ? (n) : first + SW_TILE; \
                real lane[SW_LANES] = {0}, tile_ = 0;                             \
                for (; first + SW_LANES <= end_; first += SW_LANES) {             \
                    SW_OVER_LANES                                                 \
                    for (int i = 0; i < SW_LANES; i++) {                          \
                        const int64_t j = first + i;                              \
                        lane[i] += expression;                                    \
                    }                                                             \
                }                                                                 \
                for (int64_t j = first; j < end_; j++)                            \
                    lane[j - first] += expression;                                \
                SW_ADD_LANES(real, tile_, lane);                                  \
                tiles_ += (double)tile_;                                          \
                first = end_;                                                     \
            }                                                                     \
            sum = (real)tiles_;                                                   \
        }                                                                         \
    } while (0)
#endif

#if SW_KERNEL_PASS && !defined(SW_KERNEL_HAS_ROWS)
#define SW_KERNEL_HAS_ROWS
/* The largest of n ≥ 1 elements. If z contains a NaN, the result may be a number; z - max still contains the NaN. */
static inline real SW_K(sw_k_row_max)(const real *z, int64_t n) {
    real max = z[0];
    if (n < SW_ROW_WIDE) {
        for (int64_t j = 1; j < n; j++)
            max = z[j] > max ? z[j] : max;
        return max;
    }
    real lane[SW_LANES];
    for (int i = 0; i < SW_LANES; i++)
        lane[i] = z[i];
    int64_t first = SW_LANES;
    for (; first + SW_LANES <= n; first += SW_LANES) {
        SW_OVER_LANES
        for (int i = 0; i < SW_LANES; i++)
            lane[i] = z[first + i] > lane[i] ? z[first + i] : lane[i];
    }
    for (int64_t j = first; j < n; j++)
        lane[j - first] = z[j] > lane[j - first] ? z[j] : lane[j - first];
    for (int i = 0; i < SW_LANES; i++)
        max = lane[i] > max ? lane[i] : max;
    return max;
}

/* z - max, which is at most 0, so that exp cannot overflow; 0 for z = ∞. Therefore the softmax of a row with one ∞ is 1
 * at that element and 0 elsewhere, and several ∞ have equal probabilities. If all elements are -∞, the result is
 * NaN. */
static inline real SW_K(sw_k_below_max)(real z, real max) {
    return z == (real)INFINITY ? 0 : z - max;
}

/* Writes z - max (sw_k_below_max) for each of the n ≥ 1 elements of a row to `to`, which may be z. Returns max. */
static inline real SW_K(sw_k_row_shift)(const real *z, int64_t n, real *to) {
    const real max = SW_K(sw_k_row_max)(z, n);
    for (int64_t j = 0; j < n; j++)
        to[j] = SW_K(sw_k_below_max)(z[j], max);
    return max;
}
#endif
