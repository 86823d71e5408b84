/* Kernels of pooling: the largest or the mean element of each window. */
#include <swale/kernel.h>
#include <swale/extend.h>

#include "core/ops/pool_window.h"

#if SW_KERNEL_PASS

#include "core/ops/pool_vector.h"

/* Calls the function for blocks of `lanes`, a constant. */
SW_K_INLINE void SW_K(pool_max_block)(const pool_args *s, const real *x, int64_t rows, int64_t columns, POOL_INT first,
                                      int64_t at, const int lanes) {
    if (lanes == POOL_WHOLE)
        SW_K(pool_max_block_whole)(s, x, rows, columns, first, at);
    else if (lanes == POOL_SHORT)
        SW_K(pool_max_block_short)(s, x, rows, columns, first, at);
    else
        SW_K(pool_max_block_single)(s, x, rows, columns, first, at);
}

SW_K_INLINE void SW_K(pool_avg_block)(const pool_args *s, const real *x, int64_t rows, int64_t columns, int64_t divisor,
                                      int64_t at, const int lanes) {
    if (lanes == POOL_WHOLE)
        SW_K(pool_avg_block_whole)(s, x, rows, columns, divisor, at);
    else if (lanes == POOL_SHORT)
        SW_K(pool_avg_block_short)(s, x, rows, columns, divisor, at);
    else
        SW_K(pool_avg_block_single)(s, x, rows, columns, divisor, at);
}

SW_K_INLINE void SW_K(pool_save_signs)(const pool_args *s, const real *x, int64_t rows, int64_t columns, int64_t first,
                                       int64_t at, const int lanes) {
    if (lanes == POOL_WHOLE)
        SW_K(pool_save_signs_whole)(s, x, rows, columns, first, at);
    else if (lanes == POOL_SHORT)
        SW_K(pool_save_signs_short)(s, x, rows, columns, first, at);
    else
        SW_K(pool_save_signs_single)(s, x, rows, columns, first, at);
}

/* A pixel whose window has no element of x. */
static void SW_K(pool_max_nothing)(const pool_args *s, int64_t at) {
    for (int64_t c = 0; c < s->channels; c++) {
        ((real *)s->out)[at + c] = -(real)INFINITY;
        if (s->wide_places)
            ((uint32_t *)s->place)[at + c] = 0;
        else
            ((uint8_t *)s->place)[at + c] = 0;
    }
}

SW_K_INLINE void SW_K(pool_rows)(const pool_args *s, int64_t begin, int64_t end, const int lanes, const bool average) {
    const int64_t channels = s->channels;
    for (int64_t row = begin; row < end; row++) {
        const int64_t n = row / s->height.out, i = row - n * s->height.out;
        const pool_part rows = pool_part_of(&s->height, i);
        const real *line = (const real *)s->in + (n * s->height.length + rows.begin) * s->width.length * channels;
        for (int64_t j = 0; j < s->width.out; j++) {
            const pool_part columns = pool_part_of(&s->width, j);
            const int64_t at = (row * s->width.out + j) * channels, divisor = average ? pool_divisor_of(s, i, j) : 0;
            const POOL_INT first = (POOL_INT)(rows.first * s->width.window + columns.first);
            const bool usual = rows.count == 2 && columns.count == 2; /* loops over two are unrolled */
            if (rows.count < 1 || columns.count < 1) {
                SW_K(pool_max_nothing)(s, at);
                continue;
            }
            for (int64_t c = 0; c < channels; c += lanes) {
                const int64_t k = c + lanes <= channels ? c : channels - lanes;
                const real *x = line + columns.begin * channels + k;
                if (average && usual && s->place)
                    SW_K(pool_save_signs)(s, x, 2, 2, first, at + k, lanes);
                else if (average && s->place)
                    SW_K(pool_save_signs)(s, x, rows.count, columns.count, first, at + k, lanes);
                if (average && usual)
                    SW_K(pool_avg_block)(s, x, 2, 2, divisor, at + k, lanes);
                else if (average)
                    SW_K(pool_avg_block)(s, x, rows.count, columns.count, divisor, at + k, lanes);
                else if (usual)
                    SW_K(pool_max_block)(s, x, 2, 2, first, at + k, lanes);
                else
                    SW_K(pool_max_block)(s, x, rows.count, columns.count, first, at + k, lanes);
            }
        }
    }
}

SW_K_INLINE void SW_K(pool_max_rows)(const pool_args *s, int64_t begin, int64_t end, const int lanes) {
    SW_K(pool_rows)(s, begin, end, lanes, false);
}

SW_K_INLINE void SW_K(pool_avg_rows)(const pool_args *s, int64_t begin, int64_t end, const int lanes) {
    SW_K(pool_rows)(s, begin, end, lanes, true);
}

static void SW_K(pool_max)(void *args, int64_t begin, int64_t end, double *sums) {
    const pool_args s = *(const pool_args *)args; /* a copy: bytes that are stored cannot change it */
    (void)sums;
    POOL_RUN(SW_K(pool_max_rows), &s, begin * s.rows_per_item, end * s.rows_per_item);
}

static void SW_K(pool_avg)(void *args, int64_t begin, int64_t end, double *sums) {
    const pool_args s = *(const pool_args *)args;
    (void)sums;
    POOL_RUN(SW_K(pool_avg_rows), &s, begin * s.rows_per_item, end * s.rows_per_item);
}

#else /* ---- once ---- */

const sw_kernels swi_pool_max = SW_KERNEL_TABLE(pool_max), swi_pool_avg = SW_KERNEL_TABLE(pool_avg);

#endif
