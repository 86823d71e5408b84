/* Kernels of the gradients of pooling. If windows do not overlap, each window writes its positions of dx, and the gap
 * after it. Otherwise each position adds the terms of the windows that contain it, in the order of the windows. */
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

/* The places of the largest elements of a block of windows. */
SW_K_INLINE void SW_K(pool_load_places)(const pool_args *s, int64_t at, POOL_UINT *place, const int width) {
    if (s->wide_places) {
        const uint32_t *from = (const uint32_t *)s->place + at;
        POOL_OVER_BLOCK
        for (int j = 0; j < width; j++)
            place[j] = from[j];
    } else {
        const uint8_t *from = (const uint8_t *)s->place + at;
        POOL_OVER_BLOCK
        for (int j = 0; j < width; j++)
            place[j] = from[j];
    }
}

/* ---- Windows that do not overlap ---- */

/* A block of channels of one window. dx is its first position in x. */
SW_K_INLINE void SW_K(pool_window_block)(const pool_args *s, real *dx, int64_t rows, int64_t columns, uint32_t first,
                                         double scale, int64_t at, const int width, const bool average) {
    const int64_t right = s->channels, down = s->width.length * s->channels;
    const real *dy = (const real *)s->in + at;
    real g[POOL_BLOCK];
    POOL_UINT place[POOL_BLOCK];
    POOL_OVER_BLOCK
    for (int j = 0; j < width; j++)
        g[j] = average ? (real)((double)dy[j] * scale) : dy[j];
    if (!average)
        SW_K(pool_load_places)(s, at, place, width);
    for (int64_t h = 0; h < rows; h++)
        for (int64_t w = 0; w < columns; w++) {
            const POOL_UINT element = first + (POOL_UINT)(h * s->width.window + w);
            real *to = dx + h * down + w * right;
            POOL_OVER_BLOCK
            for (int j = 0; j < width; j++)
                to[j] = average || place[j] == element ? g[j] : 0;
        }
}

/* The zeros after the `rows` x `columns` positions of a window, in a region of `all_rows` x `all_columns`. */
static void SW_K(pool_fill_gap)(real *dx, int64_t down, int64_t channels, int64_t rows, int64_t columns,
                                int64_t all_rows, int64_t all_columns) {
    for (int64_t h = 0; h < all_rows; h++) {
        const int64_t begin = h < rows ? columns : 0;
        memset(dx + h * down + begin * channels, 0, (size_t)((all_columns - begin) * channels) * sizeof(real));
    }
}

SW_K_INLINE void SW_K(pool_disjoint_rows)(const pool_args *s, int64_t begin, int64_t end, const int width,
                                          const bool average) {
    const int64_t channels = s->channels, down = s->width.length * channels;
    for (int64_t row = begin; row < end; row++) {
        const int64_t n = row / s->height.out, i = row % s->height.out;
        const pool_part rows = pool_part_of(&s->height, i);
        const int64_t all_rows =
            (i + 1 < s->height.out ? pool_part_of(&s->height, i + 1).begin : s->height.length) - rows.begin;
        real *line = (real *)s->out + (n * s->height.length + rows.begin) * down;
        for (int64_t j = 0; j < s->width.out; j++) {
            const pool_part columns = pool_part_of(&s->width, j);
            const int64_t all_columns =
                (j + 1 < s->width.out ? pool_part_of(&s->width, j + 1).begin : s->width.length) - columns.begin;
            const uint32_t first = (uint32_t)(rows.first * s->width.window + columns.first);
            const double scale = average ? pool_scale(s, i, j) : 0;
            real *dx = line + columns.begin * channels;
            for (int64_t c = 0; c < channels; c += width) {
                const int64_t k = c + width <= channels ? c : channels - width;
                const int64_t at = (row * s->width.out + j) * channels + k;
                if (rows.count == 2 && columns.count == 2) /* the usual case, whose loops are unrolled */
                    SW_K(pool_window_block)(s, dx + k, 2, 2, first, scale, at, width, average);
                else
                    SW_K(pool_window_block)
                (s, dx + k, rows.count, columns.count, first, scale, at, width, average);
            }
            if (all_rows > rows.count || all_columns > columns.count)
                SW_K(pool_fill_gap)(dx, down, channels, rows.count, columns.count, all_rows, all_columns);
        }
    }
}

SW_K_INLINE void SW_K(pool_max_disjoint_rows)(const pool_args *s, int64_t begin, int64_t end, const int width) {
    SW_K(pool_disjoint_rows)(s, begin, end, width, false);
}

SW_K_INLINE void SW_K(pool_avg_disjoint_rows)(const pool_args *s, int64_t begin, int64_t end, const int width) {
    SW_K(pool_disjoint_rows)(s, begin, end, width, true);
}

static void SW_K(pool_max_disjoint)(void *args, int64_t begin, int64_t end, double *sums) {
    const pool_args s = *(const pool_args *)args;
    (void)sums;
    begin *= s.rows_per_item;
    end *= s.rows_per_item;
    POOL_RUN_BLOCKS(SW_K(pool_max_disjoint_rows), &s, begin, end);
}

static void SW_K(pool_avg_disjoint)(void *args, int64_t begin, int64_t end, double *sums) {
    const pool_args s = *(const pool_args *)args;
    (void)sums;
    begin *= s.rows_per_item;
    end *= s.rows_per_item;
    POOL_RUN_BLOCKS(SW_K(pool_avg_disjoint_rows), &s, begin, end);
}

/* ---- Windows that overlap ---- */

/* The sum over the windows around a position (h, w) of picture n, for a block of channels from channel k. Terms of one
 * row of windows are added in the element type, up to POOL_PIECE, and these sums in f64. */
SW_K_INLINE void SW_K(pool_position_block)(const pool_args *s, int64_t n, int64_t h, int64_t w, pool_windows rows,
                                           pool_windows columns, int64_t k, real *dx, const int width,
                                           const bool average) {
    double total[POOL_BLOCK];
    POOL_OVER_BLOCK
    for (int j = 0; j < width; j++)
        total[j] = 0;
    for (int64_t i = rows.first; i <= rows.last; i++) {
        const int64_t row = pool_element(&s->height, i, h);
        if (row < 0)
            continue;
        for (int64_t from = columns.first; from <= columns.last; from += POOL_PIECE) {
            const int64_t last = from + POOL_PIECE - 1 < columns.last ? from + POOL_PIECE - 1 : columns.last;
            real part[POOL_BLOCK];
            POOL_OVER_BLOCK
            for (int j = 0; j < width; j++)
                part[j] = 0;
            for (int64_t v = from; v <= last; v++) {
                const int64_t column = pool_element(&s->width, v, w);
                if (column < 0)
                    continue;
                const int64_t at = ((n * s->height.out + i) * s->width.out + v) * s->channels + k;
                const real *dy = (const real *)s->in + at;
                if (average) {
                    const double scale = pool_scale(s, i, v);
                    POOL_OVER_BLOCK
                    for (int j = 0; j < width; j++)
                        part[j] += (real)((double)dy[j] * scale);
                } else {
                    const POOL_UINT element = (POOL_UINT)(row * s->width.window + column);
                    POOL_UINT place[POOL_BLOCK];
                    SW_K(pool_load_places)(s, at, place, width);
                    POOL_OVER_BLOCK
                    for (int j = 0; j < width; j++)
                        part[j] += place[j] == element ? dy[j] : 0;
                }
            }
            POOL_OVER_BLOCK
            for (int j = 0; j < width; j++)
                total[j] += (double)part[j];
        }
    }
    POOL_OVER_BLOCK
    for (int j = 0; j < width; j++)
        dx[j] = (real)total[j];
}

SW_K_INLINE void SW_K(pool_overlapping_rows)(const pool_args *s, int64_t begin, int64_t end, const int width,
                                             const bool average) {
    const int64_t channels = s->channels;
    for (int64_t row = begin; row < end; row++) {
        const int64_t n = row / s->height.length, h = row % s->height.length;
        const pool_windows rows = pool_windows_of(&s->height, h);
        for (int64_t w = 0; w < s->width.length; w++) {
            const pool_windows columns = pool_windows_of(&s->width, w);
            real *dx = (real *)s->out + (row * s->width.length + w) * channels;
            for (int64_t c = 0; c < channels; c += width) {
                const int64_t k = c + width <= channels ? c : channels - width;
                SW_K(pool_position_block)(s, n, h, w, rows, columns, k, dx + k, width, average);
            }
        }
    }
}

SW_K_INLINE void SW_K(pool_max_overlapping_rows)(const pool_args *s, int64_t begin, int64_t end, const int width) {
    SW_K(pool_overlapping_rows)(s, begin, end, width, false);
}

SW_K_INLINE void SW_K(pool_avg_overlapping_rows)(const pool_args *s, int64_t begin, int64_t end, const int width) {
    SW_K(pool_overlapping_rows)(s, begin, end, width, true);
}

static void SW_K(pool_max_overlapping)(void *args, int64_t begin, int64_t end, double *sums) {
    const pool_args s = *(const pool_args *)args;
    (void)sums;
    begin *= s.rows_per_item;
    end *= s.rows_per_item;
    POOL_RUN_BLOCKS(SW_K(pool_max_overlapping_rows), &s, begin, end);
}

static void SW_K(pool_avg_overlapping)(void *args, int64_t begin, int64_t end, double *sums) {
    const pool_args s = *(const pool_args *)args;
    (void)sums;
    begin *= s.rows_per_item;
    end *= s.rows_per_item;
    POOL_RUN_BLOCKS(SW_K(pool_avg_overlapping_rows), &s, begin, end);
}

#undef POOL_BLOCK
#undef POOL_UINT

#else /* ---- once ---- */

const sw_kernels swi_pool_max_disjoint = SW_KERNEL_TABLE(pool_max_disjoint),
                 swi_pool_avg_disjoint = SW_KERNEL_TABLE(pool_avg_disjoint),
                 swi_pool_max_overlapping = SW_KERNEL_TABLE(pool_max_overlapping),
                 swi_pool_avg_overlapping = SW_KERNEL_TABLE(pool_avg_overlapping);

#endif
