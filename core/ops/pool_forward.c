/* Kernels of pooling: the largest or the mean element of each window. */
#include <swale/kernel.h>
#include <swale/extend.h>

#include "core/ops/pool_blocks.h"

#if SW_KERNEL_PASS

#define POOL_BLOCK (64 / (int)sizeof(real)) /* channels of a whole block */
#if SW_KERNEL_F32                           /* an unsigned integer of the size of an element */
#define POOL_UINT uint32_t
#else
#define POOL_UINT uint64_t
#endif

/* A block of channels of one window. x is its first position in the picture, element `first` of the window. The result
 * is element `at` of y. */
SW_K_INLINE void SW_K(pool_max_block)(const pool_args *s, const real *x, int64_t rows, int64_t columns, uint32_t first,
                                      int64_t at, const int width) {
    const int64_t right = s->width.dilation * s->channels, down = s->height.dilation * s->width.length * s->channels;
    real most[POOL_BLOCK];
    POOL_UINT place[POOL_BLOCK];
    POOL_OVER_BLOCK
    for (int j = 0; j < width; j++) {
        most[j] = x[j];
        place[j] = first;
    }
    for (int64_t h = 0; h < rows; h++)
        for (int64_t w = 0; w < columns; w++) {
            const real *p = x + h * down + w * right;
            const POOL_UINT element = first + (POOL_UINT)(h * s->width.window + w);
            POOL_OVER_BLOCK
            for (int j = 0; j < width; j++) {
                const real v = p[j];
                const bool take = (v > most[j]) | (v != v);
                most[j] = take ? v : most[j];
                place[j] = take ? element : place[j];
            }
        }
    real *y = (real *)s->out + at;
    POOL_OVER_BLOCK
    for (int j = 0; j < width; j++)
        y[j] = most[j];
    if (s->wide_places) {
        uint32_t *to = (uint32_t *)s->place + at;
        POOL_OVER_BLOCK
        for (int j = 0; j < width; j++)
            to[j] = (uint32_t)place[j];
    } else {
        uint8_t *to = (uint8_t *)s->place + at;
        POOL_OVER_BLOCK
        for (int j = 0; j < width; j++)
            to[j] = (uint8_t)place[j];
    }
}

/* A pixel without an element of x in its window. */
static void SW_K(pool_max_nothing)(const pool_args *s, int64_t at) {
    for (int64_t c = 0; c < s->channels; c++) {
        ((real *)s->out)[at + c] = -(real)INFINITY;
        if (s->wide_places)
            ((uint32_t *)s->place)[at + c] = 0;
        else
            ((uint8_t *)s->place)[at + c] = 0;
    }
}

SW_K_INLINE void SW_K(pool_max_rows)(const pool_args *s, int64_t begin, int64_t end, const int width) {
    const int64_t channels = s->channels;
    for (int64_t row = begin; row < end; row++) {
        const int64_t n = row / s->height.out;
        const pool_part rows = pool_part_of(&s->height, row % s->height.out);
        const real *line = (const real *)s->in + (n * s->height.length + rows.begin) * s->width.length * channels;
        for (int64_t j = 0; j < s->width.out; j++) {
            const pool_part columns = pool_part_of(&s->width, j);
            const int64_t at = (row * s->width.out + j) * channels;
            const uint32_t first = (uint32_t)(rows.first * s->width.window + columns.first);
            if (rows.count < 1 || columns.count < 1) {
                SW_K(pool_max_nothing)(s, at);
                continue;
            }
            for (int64_t c = 0; c < channels; c += width) {
                const int64_t k = c + width <= channels ? c : channels - width;
                const real *x = line + columns.begin * channels + k;
                if (rows.count == 2 && columns.count == 2) /* the usual case, whose loops are unrolled */
                    SW_K(pool_max_block)(s, x, 2, 2, first, at + k, width);
                else
                    SW_K(pool_max_block)(s, x, rows.count, columns.count, first, at + k, width);
            }
        }
    }
}

static void SW_K(pool_max)(void *args, int64_t begin, int64_t end, double *sums) {
    const pool_args s = *(const pool_args *)args;
    (void)sums;
    begin *= s.rows_per_item;
    end *= s.rows_per_item;
    POOL_RUN_BLOCKS(SW_K(pool_max_rows), &s, begin, end);
}

/* A sum of at most POOL_PIECE elements is computed in the element type, the sum of these sums in f64. */
SW_K_INLINE void SW_K(pool_avg_block)(const pool_args *s, const real *x, int64_t rows, int64_t columns, double scale,
                                      int64_t at, const int width) {
    const int64_t right = s->channels, down = s->width.length * s->channels;
    double total[POOL_BLOCK];
    POOL_OVER_BLOCK
    for (int j = 0; j < width; j++)
        total[j] = 0;
    for (int64_t h = 0; h < rows; h++)
        for (int64_t w = 0; w < columns; w += POOL_PIECE) {
            const int64_t piece = columns - w < POOL_PIECE ? columns - w : POOL_PIECE;
            const real *p = x + h * down + w * right;
            real part[POOL_BLOCK];
            POOL_OVER_BLOCK
            for (int j = 0; j < width; j++)
                part[j] = p[j];
            for (int64_t v = 1; v < piece; v++) {
                POOL_OVER_BLOCK
                for (int j = 0; j < width; j++)
                    part[j] += p[v * right + j];
            }
            POOL_OVER_BLOCK
            for (int j = 0; j < width; j++)
                total[j] += (double)part[j];
        }
    real *y = (real *)s->out + at;
    POOL_OVER_BLOCK
    for (int j = 0; j < width; j++)
        y[j] = (real)(total[j] * scale);
}

SW_K_INLINE void SW_K(pool_avg_rows)(const pool_args *s, int64_t begin, int64_t end, const int width) {
    const int64_t channels = s->channels;
    for (int64_t row = begin; row < end; row++) {
        const int64_t n = row / s->height.out, i = row % s->height.out;
        const pool_part rows = pool_part_of(&s->height, i);
        const real *line = (const real *)s->in + (n * s->height.length + rows.begin) * s->width.length * channels;
        for (int64_t j = 0; j < s->width.out; j++) {
            const pool_part columns = pool_part_of(&s->width, j);
            const double scale = pool_scale(s, i, j);
            for (int64_t c = 0; c < channels; c += width) {
                const int64_t k = c + width <= channels ? c : channels - width;
                const int64_t at = (row * s->width.out + j) * channels + k;
                const real *x = line + columns.begin * channels + k;
                if (rows.count == 2 && columns.count == 2)
                    SW_K(pool_avg_block)(s, x, 2, 2, scale, at, width);
                else
                    SW_K(pool_avg_block)(s, x, rows.count, columns.count, scale, at, width);
            }
        }
    }
}

static void SW_K(pool_avg)(void *args, int64_t begin, int64_t end, double *sums) {
    const pool_args s = *(const pool_args *)args;
    (void)sums;
    begin *= s.rows_per_item;
    end *= s.rows_per_item;
    POOL_RUN_BLOCKS(SW_K(pool_avg_rows), &s, begin, end);
}

#undef POOL_BLOCK
#undef POOL_UINT

#else /* ---- once ---- */

const sw_kernels swi_pool_max = SW_KERNEL_TABLE(pool_max), swi_pool_avg = SW_KERNEL_TABLE(pool_avg);

#endif
