/* The kernels of reductions and of their gradients (reduce_kernels.h). */
#include <swale/kernel.h>
#include <swale/reduce_kernels.h>

#if SW_KERNEL_FIRST
enum { WIDE = SW_FOLD_WIDE, WIDTH = SW_FOLD_WIDTH, GROUP = SW_FOLD_GROUP };
_Static_assert(WIDE % SW_LANES == 0 && WIDTH % SW_LANES == 0, "whole blocks of lanes");
#define SUM(a, b) ((a) + (b))
#define LARGEST(a, b) ((((b) > (a)) | ((b) != (b))) ? (b) : (a)) /* NaN if a or b is NaN */
#endif

#if SW_KERNEL_PASS

/* Joins the lanes in f64. Not inlined, because it would be a large part of the code of every kernel. */
#define TOTAL(JOIN, lanes) TOTAL_OF(JOIN, lanes)
#define TOTAL_OF(JOIN, lanes)                                                                    \
    static __attribute__((noinline)) double SW_K(JOIN##_##lanes)(double total, const lanes *x) { \
        for (int i = 0; i < SW_LANES; i++)                                                       \
            total = JOIN(total, (double)x[i]);                                                   \
        return total;                                                                            \
    }
TOTAL(SUM, real)
TOTAL(LARGEST, real)
#if SW_KERNEL_F32
TOTAL(SUM, double)
#endif

/* Defines the kernels NAME_rows and NAME_columns from an expression in v, m, low and p, whose values are joined by SUM
 * or LARGEST in the type `lanes`. The order depends only on [rows, length]. columns: the macro that
 * defines NAME_columns. */
#define FOLD(name, JOIN, start, lanes, columns, expression)                   \
    static inline lanes SW_K(name##_of)(real v, real m, real low, double p) { \
        (void)m, (void)low, (void)p;                                          \
        return (lanes)(expression);                                           \
    }                                                                         \
    FOLD_SHORT(name, JOIN, start, lanes)                                      \
    FOLD_ROWS(name, JOIN, start, lanes)                                       \
    columns(name, JOIN, start, lanes)

/* Folds short rows, each in order, in a lane for each of SW_LANES rows. Returns the first row that is left. */
#define FOLD_SHORT(name, JOIN, start, lanes)                                                            \
    static int64_t SW_K(name##_short)(const sw_fold_args *s, int64_t begin, int64_t end) {              \
        const real *x = s->x, *m = s->m ? s->m : s->x, *low = s->low ? s->low : s->x;                   \
        const double p = s->p;                                                                          \
        const int64_t n = s->length, stride = s->stride;                                                \
        int64_t row = begin;                                                                            \
        for (; row + SW_LANES <= end; row += SW_LANES) {                                                \
            lanes lane[SW_LANES];                                                                       \
            const real *from = x + row * stride;                                                        \
            for (int i = 0; i < SW_LANES; i++)                                                          \
                lane[i] = start;                                                                        \
            for (int64_t j = 0; j < n; j++)                                                             \
                for (int i = 0; i < SW_LANES; i++) {                                                    \
                    const lanes f = SW_K(name##_of)(from[i * stride + j], m[row + i], low[row + i], p); \
                    lane[i] = JOIN(lane[i], f);                                                         \
                }                                                                                       \
            for (int i = 0; i < SW_LANES; i++)                                                          \
                s->to[row + i] = JOIN(s->to[row + i], (double)lane[i]);                                 \
        }                                                                                               \
        return row;                                                                                     \
    }

#define FOLD_ROWS(name, JOIN, start, lanes)                                               \
    static void SW_K(name##_rows)(void *args, int64_t begin, int64_t end, double *sums) { \
        const sw_fold_args *s = args;                                                     \
        const real *m = s->m ? s->m : s->x, *low = s->low ? s->low : s->x;                \
        const double p = s->p;                                                            \
        const int64_t n = s->length;                                                      \
        (void)sums;                                                                       \
        if (n < WIDE)                                                                     \
            begin = SW_K(name##_short)(s, begin, end);                                    \
        for (int64_t row = begin; row < end; row++) {                                     \
            const real *x = (const real *)s->x + row * s->stride;                         \
            const real a = m[row], b = low[row];                                          \
            double total = s->to[row];                                                    \
            lanes lane[SW_LANES];                                                         \
            if (n < WIDE) {                                                               \
                lane[0] = start;                                                          \
                for (int64_t j = 0; j < n; j++) {                                         \
                    const lanes f = SW_K(name##_of)(x[j], a, b, p);                       \
                    lane[0] = JOIN(lane[0], f);                                           \
                }                                                                         \
                total = JOIN(total, (double)lane[0]);                                     \
            }                                                                             \
            for (int64_t first = 0; n >= WIDE && first < n; first += SW_TILE) {           \
                const int64_t last = n - first < SW_TILE ? n : first + SW_TILE;           \
                int64_t j = first;                                                        \
                for (int i = 0; i < SW_LANES; i++)                                        \
                    lane[i] = start;                                                      \
                for (; j + SW_LANES <= last; j += SW_LANES)                               \
                    for (int i = 0; i < SW_LANES; i++) {                                  \
                        const lanes f = SW_K(name##_of)(x[j + i], a, b, p);               \
                        lane[i] = JOIN(lane[i], f);                                       \
                    }                                                                     \
                for (int i = 0; j < last; i++, j++) {                                     \
                    const lanes f = SW_K(name##_of)(x[j], a, b, p);                       \
                    lane[i] = JOIN(lane[i], f);                                           \
                }                                                                         \
                total = SW_K(JOIN##_##lanes)(total, lane);                                \
            }                                                                             \
            s->to[row] = total;                                                           \
        }                                                                                 \
    }

/* Folds LANES columns of the rows [r, last), at most GROUP, four at a time, so that the partial results stay in
 * registers and their chain of operations is short. */
#define FOLD_LANES(name, JOIN, start, lanes, LANES)                                                                \
    static inline void SW_K(name##_lanes##LANES)(const sw_fold_args *s, int64_t column, int64_t r, int64_t last) { \
        const real *a = (const real *)(s->m ? s->m : s->x) + column,                                               \
                   *b = (const real *)(s->low ? s->low : s->x) + column;                                           \
        const double p = s->p;                                                                                     \
        lanes group[LANES];                                                                                        \
        for (int i = 0; i < LANES; i++)                                                                            \
            group[i] = start;                                                                                      \
        for (; r + 4 <= last; r += 4) {                                                                            \
            const real *x = (const real *)s->x + r * s->stride + column;                                           \
            const real *y = x + s->stride, *z = y + s->stride, *w = z + s->stride;                                 \
            for (int i = 0; i < LANES; i++) {                                                                      \
                const lanes f0 = SW_K(name##_of)(x[i], a[i], b[i], p), f1 = SW_K(name##_of)(y[i], a[i], b[i], p),  \
                            f2 = SW_K(name##_of)(z[i], a[i], b[i], p), f3 = SW_K(name##_of)(w[i], a[i], b[i], p);  \
                const lanes f01 = JOIN(f0, f1), f23 = JOIN(f2, f3), f = JOIN(f01, f23);                            \
                group[i] = JOIN(group[i], f);                                                                      \
            }                                                                                                      \
        }                                                                                                          \
        for (; r < last; r++) {                                                                                    \
            const real *x = (const real *)s->x + r * s->stride + column;                                           \
            for (int i = 0; i < LANES; i++) {                                                                      \
                const lanes f = SW_K(name##_of)(x[i], a[i], b[i], p);                                              \
                group[i] = JOIN(group[i], f);                                                                      \
            }                                                                                                      \
        }                                                                                                          \
        for (int i = 0; i < LANES; i++)                                                                            \
            s->to[column + i] = JOIN(s->to[column + i], (double)group[i]);                                         \
    }

/* For a cheap expression (`quick`). */
#define FOLD_QUICK_COLUMNS(name, JOIN, start, lanes)                                         \
    FOLD_LANES(name, JOIN, start, lanes, 32)                                                 \
    FOLD_LANES(name, JOIN, start, lanes, 8)                                                  \
    FOLD_LANES(name, JOIN, start, lanes, 4)                                                  \
    FOLD_LANES(name, JOIN, start, lanes, 1)                                                  \
    static void SW_K(name##_columns)(void *args, int64_t begin, int64_t end, double *sums) { \
        const sw_fold_args *s = args;                                                        \
        (void)sums;                                                                          \
        for (int64_t first = begin; first < end; first += WIDTH) {                           \
            const int64_t columns = end - first < WIDTH ? end : first + WIDTH;               \
            for (int64_t r = 0; r < s->rows; r += GROUP) {                                   \
                const int64_t last = s->rows - r < GROUP ? s->rows : r + GROUP;              \
                int64_t column = first;                                                      \
                for (; column + 32 <= columns; column += 32)                                 \
                    SW_K(name##_lanes32)(s, column, r, last);                                \
                for (; column + 8 <= columns; column += 8)                                   \
                    SW_K(name##_lanes8)(s, column, r, last);                                 \
                for (; column + 4 <= columns; column += 4)                                   \
                    SW_K(name##_lanes4)(s, column, r, last);                                 \
                for (; column < columns; column++)                                           \
                    SW_K(name##_lanes1)(s, column, r, last);                                 \
            }                                                                                \
        }                                                                                    \
    }

#define FOLD_COLUMNS(name, JOIN, start, lanes)                                               \
    static void SW_K(name##_columns)(void *args, int64_t begin, int64_t end, double *sums) { \
        const sw_fold_args *s = args;                                                        \
        const real *m = s->m ? s->m : s->x, *low = s->low ? s->low : s->x;                   \
        const double p = s->p;                                                               \
        lanes group[WIDTH];                                                                  \
        (void)sums;                                                                          \
        for (int64_t first = begin; first < end; first += WIDTH) {                           \
            const int64_t n = end - first < WIDTH ? end - first : WIDTH;                     \
            const real *a = m + first, *b = low + first;                                     \
            double *to = s->to + first;                                                      \
            for (int64_t r = 0; r < s->rows;) {                                              \
                const int64_t last = s->rows - r < GROUP ? s->rows : r + GROUP;              \
                for (int64_t i = 0; i < n; i++)                                              \
                    group[i] = start;                                                        \
                for (; r < last; r++) {                                                      \
                    const real *x = (const real *)s->x + r * s->stride + first;              \
                    for (int64_t i = 0; i < n; i++) {                                        \
                        const lanes f = SW_K(name##_of)(x[i], a[i], b[i], p);                \
                        group[i] = JOIN(group[i], f);                                        \
                    }                                                                        \
                }                                                                            \
                for (int64_t i = 0; i < n; i++)                                              \
                    to[i] = JOIN(to[i], (double)group[i]);                                   \
            }                                                                                \
        }                                                                                    \
    }

#define LEAST (-(real)INFINITY)
/* Whether v and m are equal or both NaN. */
static inline bool SW_K(fold_same)(real v, real m) {
    return (v == m) | ((v != v) & (m != m));
}
FOLD(sum, SUM, 0, real, FOLD_QUICK_COLUMNS, v)
FOLD(wide_sum, SUM, 0, double, FOLD_QUICK_COLUMNS, v)
FOLD(abs_sum, SUM, 0, real, FOLD_COLUMNS, v < 0 ? -v : v)
FOLD(square_deviation_sum, SUM, 0, real, FOLD_COLUMNS, ((v - m) - low) * ((v - m) - low))
FOLD(square_sum, SUM, 0, real, FOLD_COLUMNS, (v / m) * (v / m))
FOLD(exp_sum, SUM, 0, real, FOLD_COLUMNS, v == (real)INFINITY ? 1 : SW_K(sw_k_exp)(v - m))
FOLD(equal_sum, SUM, 0, real, FOLD_COLUMNS, SW_K(fold_same)(v *(real)p < 0 ? -v : v, m) ? 1 : 0)
FOLD(largest, LARGEST, LEAST, real, FOLD_COLUMNS, v *(real)p)
FOLD(largest_abs, LARGEST, LEAST, real, FOLD_COLUMNS, v < 0 ? -v : v)

/* Defines the kernels NAME_rows and NAME_columns from an expression in v, y, low, h and p. For short contiguous rows
 * the numbers of the outputs are repeated for each element, so that one long loop processes several rows. */
#define SPREAD(name, expression)                                                                          \
    static inline real SW_K(name##_of)(real v, real y, real low, real h, double p) {                      \
        (void)v, (void)y, (void)low, (void)h, (void)p;                                                    \
        return expression;                                                                                \
    }                                                                                                     \
    static void SW_K(name##_short)(const sw_spread_args *s, int64_t begin, int64_t end) {                 \
        const real *x = s->x ? s->x : s->out, *y = s->y ? s->y : s->h, *low = s->low ? s->low : s->h;     \
        const real *h = s->h;                                                                             \
        const double p = s->p;                                                                            \
        real *out = s->out;                                                                               \
        real each_y[WIDTH], each_low[WIDTH], each_h[WIDTH];                                               \
        const int64_t n = s->length, most = WIDTH / n;                                                    \
        for (int64_t row = begin; row < end; row += most) {                                               \
            const int64_t rows = end - row < most ? end - row : most;                                     \
            for (int64_t r = 0; r < rows; r++)                                                            \
                for (int64_t j = 0; j < n; j++) {                                                         \
                    each_y[r * n + j] = y[row + r];                                                       \
                    each_low[r * n + j] = low[row + r];                                                   \
                    each_h[r * n + j] = h[row + r];                                                       \
                }                                                                                         \
            SW_INDEPENDENT                                                                                \
            for (int64_t i = 0; i < rows * n; i++)                                                        \
                out[row * n + i] = SW_K(name##_of)(x[row * n + i], each_y[i], each_low[i], each_h[i], p); \
        }                                                                                                 \
    }                                                                                                     \
    static void SW_K(name##_rows)(void *args, int64_t begin, int64_t end, double *sums) {                 \
        const sw_spread_args *s = args;                                                                   \
        const real *y = s->y ? s->y : s->h, *low = s->low ? s->low : s->h, *h = s->h;                     \
        const double p = s->p;                                                                            \
        (void)sums;                                                                                       \
        if (s->length < WIDE && s->length == s->stride) {                                                 \
            SW_K(name##_short)(s, begin, end);                                                            \
            return;                                                                                       \
        }                                                                                                 \
        for (int64_t row = begin; row < end; row++) {                                                     \
            const real *x = (const real *)(s->x ? s->x : s->out) + row * s->stride;                       \
            real *out = (real *)s->out + row * s->stride;                                                 \
            const real a = y[row], b = low[row], g = h[row];                                              \
            SW_INDEPENDENT                                                                                \
            for (int64_t i = 0; i < s->length; i++)                                                       \
                out[i] = SW_K(name##_of)(x[i], a, b, g, p);                                               \
        }                                                                                                 \
    }                                                                                                     \
    static void SW_K(name##_columns)(void *args, int64_t begin, int64_t end, double *sums) {              \
        const sw_spread_args *s = args;                                                                   \
        const real *y = s->y ? s->y : s->h, *low = s->low ? s->low : s->h, *h = s->h;                     \
        const double p = s->p;                                                                            \
        (void)sums;                                                                                       \
        for (int64_t row = begin; row < end; row++) {                                                     \
            const real *x = (const real *)(s->x ? s->x : s->out) + row * s->stride;                       \
            real *out = (real *)s->out + row * s->stride;                                                 \
            SW_INDEPENDENT                                                                                \
            for (int64_t i = 0; i < s->length; i++)                                                       \
                out[i] = SW_K(name##_of)(x[i], y[i], low[i], h[i], p);                                    \
        }                                                                                                 \
    }

static inline real SW_K(spread_with_sign)(real v, real h) {
    return v > 0 ? h : v < 0 ? -h : v; /* NaN for NaN */
}
SPREAD(copies, h)
SPREAD(signs, SW_K(spread_with_sign)(v, h))
SPREAD(deviations, ((v - y) - low) * h)
SPREAD(chosen, v == y ? h : y == y ? 0 : y)
SPREAD(abs_chosen, SW_R(fabs)(v) == y ? SW_K(spread_with_sign)(v, h) : y == y ? 0 : y)
SPREAD(directions, y == 0 ? 0 : SW_R(fabs)(v) == y ? SW_K(spread_with_sign)(v, h) : (v / y) * h)
SPREAD(exponentials, v == (real)INFINITY ? h : SW_K(sw_k_exp)(v - y) * h)

#else /* ---- once ---- */

#define FOLD_TABLE(name, is_largest) \
    const sw_fold sw_fold_##name = {SW_KERNEL_TABLE(name##_rows), SW_KERNEL_TABLE(name##_columns), is_largest};
FOLD_TABLE(sum, false)
FOLD_TABLE(wide_sum, false)
FOLD_TABLE(abs_sum, false)
FOLD_TABLE(square_deviation_sum, false)
FOLD_TABLE(square_sum, false)
FOLD_TABLE(exp_sum, false)
FOLD_TABLE(equal_sum, false)
FOLD_TABLE(largest, true)
FOLD_TABLE(largest_abs, true)

#define SPREAD_TABLE(name) \
    const sw_spread sw_spread_##name = {SW_KERNEL_TABLE(name##_rows), SW_KERNEL_TABLE(name##_columns)};
SPREAD_TABLE(copies)
SPREAD_TABLE(signs)
SPREAD_TABLE(deviations)
SPREAD_TABLE(chosen)
SPREAD_TABLE(abs_chosen)
SPREAD_TABLE(directions)
SPREAD_TABLE(exponentials)

#endif
