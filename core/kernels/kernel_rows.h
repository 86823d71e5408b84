/* Kernels' loops over one row: its sum in a fixed order, its largest element. Included after kernel.h,
 * in every pass. */

#ifndef SWALE_ROW_H
#define SWALE_ROW_H
enum { SW_ROW_WIDE = 2 * SW_LANES }; /* rows as long as this are summed in lanes */

/* sum = Σ of an expression in j over [0, n); tiles of long rows are added in f64 */
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

#if SW_KERNEL_PASS
/* n ≥ 1. A NaN need not win: it shows in z - max. */
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

/* z - max, ≤ 0: exp cannot overflow. 0 for the largest, also where that is ∞: softmax of a row with one ∞ is 1
 * there and 0 elsewhere, and several share evenly. -∞ - (-∞), in a row that has nothing else, is NaN. */
static inline real SW_K(sw_k_below_max)(real z, real max) {
    return z == (real)INFINITY ? 0 : z - max;
}

/* That for a row. Returns max. */
static inline real SW_K(sw_k_row_shift)(const real *z, int64_t n, real *to) {
    const real max = SW_K(sw_k_row_max)(z, n);
    for (int64_t j = 0; j < n; j++)
        to[j] = SW_K(sw_k_below_max)(z[j], max);
    return max;
}
#endif
