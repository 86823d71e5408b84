/* Sums of powers for norms, and their gradients (reduce_kernels.h).
 *
 * A power takes a hundred instructions or more. Therefore one loop for each type and level computes the powers of
 * contiguous numbers and writes them to a buffer, which the other loops read. In the loops of the macros of
 * reduce_kernels.c, gcc would not vectorize the power (in f64, and in rows of f32) and would need twice the time to
 * compile. Sums are added in the order of reduce_kernels.c. */
#include <swale/kernel.h>
#include <swale/extend.h>

#include "core/ops/shared.h"

#if SW_KERNEL_FIRST
enum { WIDE = SW_FOLD_WIDE, WIDTH = SW_FOLD_WIDTH, GROUP = SW_FOLD_GROUP };
#endif

#if SW_KERNEL_PASS

/* term[i] = (|x[i]|/m[i])^p, where ∞/∞ = 1 */
static __attribute__((noinline)) void SW_K(power_terms)(const real *restrict x, const real *restrict m, double p,
                                                        int64_t n, real *restrict term) {
    for (int64_t i = 0; i < n; i++) {
        const real v = SW_R(fabs)(x[i]);
        term[i] = SW_K(sw_k_power)(v == m[i] ? 1 : v / m[i], p, 0);
    }
}

static inline void SW_K(power_repeat)(real value, int64_t n, real *to) {
    for (int64_t i = 0; i < n; i++)
        to[i] = value;
}

/* Writes n numbers to `to` repeatedly, as often as they fit in WIDTH. */
static inline void SW_K(power_repeat_row)(const real *row, int64_t n, real *to) {
    for (int64_t i = 0; i + n <= WIDTH; i += n)
        memcpy(to + i, row, (size_t)n * sizeof *to);
}

/* ---- Sums ---- */

/* Rows shorter than WIDE: each is added in order. As many rows are processed together as fit in the buffers. */
static void SW_K(power_sum_short)(const sw_fold_args *s, int64_t begin, int64_t end) {
    const real *m = s->m;
    real copy[WIDTH], each_m[WIDTH], term[WIDTH];
    const int64_t n = s->length, most = WIDTH / n;
    for (int64_t row = begin; row < end; row += most) {
        const int64_t rows = end - row < most ? end - row : most;
        const real *x = (const real *)s->x + row * s->stride;
        for (int64_t r = 0; r < rows; r++)
            SW_K(power_repeat)(m[row + r], n, each_m + r * n);
        for (int64_t r = 0; n < s->stride && r < rows; r++) /* without the elements between the rows */
            memcpy(copy + r * n, x + r * s->stride, (size_t)n * sizeof *copy);
        SW_K(power_terms)(n < s->stride ? copy : x, each_m, s->p, rows * n, term);
        for (int64_t r = 0; r < rows; r++) {
            real sum = 0;
            for (int64_t j = 0; j < n; j++)
                sum += term[r * n + j];
            s->to[row + r] += (double)sum;
        }
    }
}

/* Returns `total` plus the sum of the terms of x [n], which is added in lanes. n is at most SW_TILE. */
static double SW_K(power_sum_tile)(double total, const real *x, const real *each_m, double p, int64_t n) {
    real term[WIDTH], lane[SW_LANES] = {0};
    for (int64_t first = 0; first < n; first += WIDTH) {
        const int64_t count = n - first < WIDTH ? n - first : WIDTH;
        int64_t j = 0;
        SW_K(power_terms)(x + first, each_m, p, count, term);
        for (; j + SW_LANES <= count; j += SW_LANES) {
            SW_OVER_LANES
            for (int i = 0; i < SW_LANES; i++)
                lane[i] += term[j + i];
        }
        for (int i = 0; j < count; i++, j++)
            lane[i] += term[j];
    }
    for (int i = 0; i < SW_LANES; i++)
        total += (double)lane[i];
    return total;
}

static void SW_K(power_sum_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_fold_args *s = args;
    const real *m = s->m;
    real each_m[WIDTH];
    (void)sums;
    if (s->length < WIDE) {
        SW_K(power_sum_short)(s, begin, end);
        return;
    }
    for (int64_t row = begin; row < end; row++) {
        const real *x = (const real *)s->x + row * s->stride;
        SW_K(power_repeat)(m[row], WIDTH, each_m);
        for (int64_t first = 0; first < s->length; first += SW_TILE) {
            const int64_t count = s->length - first < SW_TILE ? s->length - first : SW_TILE;
            s->to[row] = SW_K(power_sum_tile)(s->to[row], x + first, each_m, s->p, count);
        }
    }
}

/* If the rows are short and contiguous, several rows are processed together. */
static void SW_K(power_sum_columns)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_fold_args *s = args;
    real each_m[WIDTH], term[WIDTH], group[WIDTH];
    (void)sums;
    for (int64_t first = begin; first < end; first += WIDTH) {
        const int64_t n = end - first < WIDTH ? end - first : WIDTH, most = n == s->stride ? WIDTH / n : 1;
        const real *x = (const real *)s->x + first;
        SW_K(power_repeat_row)((const real *)s->m + first, n, each_m);
        for (int64_t r = 0; r < s->rows;) {
            const int64_t last = s->rows - r < GROUP ? s->rows : r + GROUP;
            SW_K(power_repeat)(0, n, group);
            while (r < last) {
                const int64_t rows = last - r < most ? last - r : most;
                SW_K(power_terms)(x + r * s->stride, each_m, s->p, rows * n, term);
                for (int64_t k = 0; k < rows; k++, r++)
                    for (int64_t i = 0; i < n; i++)
                        group[i] += term[k * n + i];
            }
            for (int64_t i = 0; i < n; i++)
                s->to[first + i] += (double)group[i];
        }
    }
}

/* ---- Gradients ---- */

/* out = h sign(x) (|x|/y)^p, 0 for y = 0, NaN if x is NaN. n is at most WIDTH. */
static void SW_K(powers_strip)(const real *x, const real *y, const real *h, double p, int64_t n, real *out) {
    real term[WIDTH];
    SW_K(power_terms)(x, y, p, n, term);
    SW_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        const real t = term[i] * h[i];
        out[i] = y[i] == 0 ? 0 : x[i] > 0 ? t : x[i] < 0 ? -t : x[i];
    }
}

/* For short contiguous rows the numbers of the outputs are repeated for each element, so that the loop is long. */
static void SW_K(powers_short)(const sw_spread_args *s, int64_t begin, int64_t end) {
    const real *y = s->y, *h = s->h;
    real each_y[WIDTH], each_h[WIDTH];
    const int64_t n = s->length, most = WIDTH / n;
    for (int64_t row = begin; row < end; row += most) {
        const int64_t rows = end - row < most ? end - row : most;
        for (int64_t r = 0; r < rows; r++) {
            SW_K(power_repeat)(y[row + r], n, each_y + r * n);
            SW_K(power_repeat)(h[row + r], n, each_h + r * n);
        }
        SW_K(powers_strip)((const real *)s->x + row * n, each_y, each_h, s->p, rows * n, (real *)s->out + row * n);
    }
}

static void SW_K(powers_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_spread_args *s = args;
    const int64_t n = s->length, most = n < WIDTH ? n : WIDTH;
    real each_y[WIDTH], each_h[WIDTH];
    (void)sums;
    if (n < WIDE && n == s->stride) {
        SW_K(powers_short)(s, begin, end);
        return;
    }
    for (int64_t row = begin; row < end; row++) {
        const int64_t at = row * s->stride;
        SW_K(power_repeat)(((const real *)s->y)[row], most, each_y);
        SW_K(power_repeat)(((const real *)s->h)[row], most, each_h);
        for (int64_t j = 0; j < n; j += WIDTH)
            SW_K(powers_strip)
        ((const real *)s->x + at + j, each_y, each_h, s->p, n - j < WIDTH ? n - j : WIDTH, (real *)s->out + at + j);
    }
}

static void SW_K(powers_columns)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_spread_args *s = args;
    const real *x = s->x;
    real *out = s->out, each_y[WIDTH], each_h[WIDTH];
    (void)sums;
    for (int64_t first = 0; first < s->length; first += WIDTH) {
        const int64_t n = s->length - first < WIDTH ? s->length - first : WIDTH, most = n == s->stride ? WIDTH / n : 1;
        SW_K(power_repeat_row)((const real *)s->y + first, n, each_y);
        SW_K(power_repeat_row)((const real *)s->h + first, n, each_h);
        for (int64_t row = begin; row < end; row += most) {
            const int64_t at = row * s->stride + first, rows = end - row < most ? end - row : most;
            SW_K(powers_strip)(x + at, each_y, each_h, s->p, rows * n, out + at);
        }
    }
}

#else

const sw_fold swi_power_sum = {SW_KERNEL_TABLE(power_sum_rows), SW_KERNEL_TABLE(power_sum_columns), false};
const sw_spread swi_powers = {SW_KERNEL_TABLE(powers_rows), SW_KERNEL_TABLE(powers_columns)};

#endif
