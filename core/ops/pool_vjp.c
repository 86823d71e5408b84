/* Kernels of the gradients of pooling. If windows do not overlap, each window writes its positions of dx, and the gap
 * after it. Otherwise each position adds the terms of the windows that contain it, in the order of the windows. */
#include <swale/kernel.h>
#include <swale/extend.h>

#include "core/ops/pool_window.h"

#if SW_KERNEL_PASS

#include "core/ops/pool_vector.h"

/* Calls function_whole, function_short and function_single for all channels, which `c` counts; no blocks overlap. */
#define POOL_FOR_BLOCKS(channels, function, ...)              \
    do {                                                      \
        int64_t c = 0;                                        \
        for (; c + POOL_WHOLE <= (channels); c += POOL_WHOLE) \
            SW_K(function##_whole)(__VA_ARGS__);              \
        for (; c + POOL_SHORT <= (channels); c += POOL_SHORT) \
            SW_K(function##_short)(__VA_ARGS__);              \
        for (; c < (channels); c++)                           \
            SW_K(function##_single)(__VA_ARGS__);             \
    } while (0)

/* Applies the gradient of max(x, 0) to `rows` x `columns` positions from dx. */
static void SW_K(pool_mask)(const pool_args *s, real *dx, int64_t rows, int64_t columns) {
    const int64_t count = columns * s->channels, down = s->width.length * s->channels;
    for (int64_t h = 0; h < rows; h++)
        POOL_FOR_BLOCKS(count, pool_mask_block, s, dx + h * down + c);
}

/* ---- Windows that do not overlap ---- */

/* One position of a window, or 2 x 2 positions, for blocks of `lanes`, a constant. */
SW_K_INLINE void SW_K(pool_term_block)(const pool_args *s, real *dx, int64_t at, int64_t element, real factor,
                                       const int lanes, const bool average) {
    if (lanes == POOL_WHOLE)
        SW_K(pool_term_block_whole)(s, dx, at, element, factor, false, average);
    else if (lanes == POOL_SHORT)
        SW_K(pool_term_block_short)(s, dx, at, element, factor, false, average);
    else
        SW_K(pool_term_block_single)(s, dx, at, element, factor, false, average);
}

SW_K_INLINE void SW_K(pool_four_block)(const pool_args *s, real *dx, POOL_INT first, real factor, int64_t at,
                                       const int lanes, const bool average) {
    if (lanes == POOL_WHOLE)
        SW_K(pool_four_block_whole)(s, dx, first, factor, at, average);
    else if (lanes == POOL_SHORT)
        SW_K(pool_four_block_short)(s, dx, first, factor, at, average);
    else
        SW_K(pool_four_block_single)(s, dx, first, factor, at, average);
}

/* The positions of a window. Its rows are written one after the other, because positions that are far apart may be in
 * few sets of the cache. */
SW_K_INLINE void SW_K(pool_window_positions)(const pool_args *s, real *dx, pool_part rows, pool_part columns,
                                             real factor, int64_t at, const int lanes, const bool average) {
    const int64_t channels = s->channels, down = s->width.length * channels;
    for (int64_t h = 0; h < rows.count; h++)
        for (int64_t w = 0; w < columns.count; w++) {
            const int64_t element = (rows.first + h) * s->width.window + columns.first + w;
            for (int64_t c = 0; c < channels; c += lanes) {
                const int64_t k = c + lanes <= channels ? c : channels - lanes;
                SW_K(pool_term_block)(s, dx + h * down + w * channels + k, at + k, element, factor, lanes, average);
            }
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

/* The number of positions from the beginning of window i to that of the next one, or to the end. */
SW_K_INLINE int64_t SW_K(pool_region)(const pool_axis *a, int64_t i, int64_t begin) {
    return (i + 1 < a->out ? (i + 1) * a->stride - a->padding : a->length) - begin;
}

SW_K_INLINE void SW_K(pool_disjoint_rows)(const pool_args *s, int64_t begin, int64_t end, const int lanes,
                                          const bool average) {
    const int64_t channels = s->channels, down = s->width.length * channels;
    for (int64_t row = begin; row < end; row++) {
        const int64_t n = row / s->height.out, i = row - n * s->height.out;
        const pool_part rows = pool_part_of(&s->height, i);
        const int64_t all_rows = SW_K(pool_region)(&s->height, i, rows.begin);
        real *line = (real *)s->out + (n * s->height.length + rows.begin) * down;
        for (int64_t j = 0; j < s->width.out; j++) {
            const pool_part columns = pool_part_of(&s->width, j);
            const int64_t all_columns = SW_K(pool_region)(&s->width, j, columns.begin),
                          at = (row * s->width.out + j) * channels;
            const POOL_INT first = (POOL_INT)(rows.first * s->width.window + columns.first);
            const real factor = average ? (real)pool_factor(s, i, j) : 1;
            real *dx = line + columns.begin * channels;
            const bool usual = rows.count == 2 && columns.count == 2; /* one block for four positions */
            if (!usual)
                SW_K(pool_window_positions)(s, dx, rows, columns, factor, at, lanes, average);
            else
                for (int64_t c = 0; c < channels; c += lanes) {
                    const int64_t k = c + lanes <= channels ? c : channels - lanes;
                    SW_K(pool_four_block)(s, dx + k, first, factor, at + k, lanes, average);
                }
            if (all_rows > rows.count || all_columns > columns.count)
                SW_K(pool_fill_gap)(dx, down, channels, rows.count, columns.count, all_rows, all_columns);
            if (s->x && !(usual && all_rows == 2 && all_columns == 2))
                SW_K(pool_mask)(s, dx, all_rows, all_columns);
        }
    }
}

SW_K_INLINE void SW_K(pool_max_disjoint_rows)(const pool_args *s, int64_t begin, int64_t end, const int lanes) {
    SW_K(pool_disjoint_rows)(s, begin, end, lanes, false);
}

SW_K_INLINE void SW_K(pool_avg_disjoint_rows)(const pool_args *s, int64_t begin, int64_t end, const int lanes) {
    SW_K(pool_disjoint_rows)(s, begin, end, lanes, true);
}

static void SW_K(pool_max_disjoint)(void *args, int64_t begin, int64_t end, double *sums) {
    const pool_args s = *(const pool_args *)args;
    (void)sums;
    POOL_RUN(SW_K(pool_max_disjoint_rows), &s, begin * s.rows_per_item, end * s.rows_per_item);
}

static void SW_K(pool_avg_disjoint)(void *args, int64_t begin, int64_t end, double *sums) {
    const pool_args s = *(const pool_args *)args;
    (void)sums;
    POOL_RUN(SW_K(pool_avg_disjoint_rows), &s, begin * s.rows_per_item, end * s.rows_per_item);
}

/* ---- Windows that overlap ---- */

/* Adds the terms of few windows to the gradient of a position. */
SW_K_INLINE void SW_K(pool_add_terms)(const pool_args *s, const pool_position *p, real *dx, const bool average) {
    const int64_t channels = s->channels;
    bool add = false;
    for (int64_t i = p->rows.first; i <= p->rows.last; i++) {
        const int64_t row = pool_element(&s->height, i, p->h);
        for (int64_t j = p->columns.first; j <= p->columns.last && row >= 0; j++) {
            const int64_t column = pool_element(&s->width, j, p->w), element = row * s->width.window + column,
                          at = ((p->n * s->height.out + i) * s->width.out + j) * channels;
            const real factor = average ? (real)pool_factor(s, i, j) : 1;
            if (column < 0)
                continue;
            POOL_FOR_BLOCKS(channels, pool_term_block, s, dx + c, at + c, element, factor, add, average);
            add = true;
        }
    }
    if (!add)
        memset(dx, 0, (size_t)channels * sizeof *dx);
}

SW_K_INLINE void SW_K(pool_overlapping)(const pool_args *s, int64_t begin, int64_t end, const bool average) {
    const int64_t channels = s->channels;
    for (int64_t row = begin; row < end; row++) {
        pool_position p = {.n = row / s->height.length, .h = row % s->height.length};
        p.rows = pool_windows_of(&s->height, p.h);
        for (p.w = 0; p.w < s->width.length; p.w++) {
            real *dx = (real *)s->out + (row * s->width.length + p.w) * channels;
            p.columns = pool_windows_of(&s->width, p.w);
            if ((p.rows.last - p.rows.first + 1) * (p.columns.last - p.columns.first + 1) <= POOL_PIECE)
                SW_K(pool_add_terms)(s, &p, dx, average);
            else
                POOL_FOR_BLOCKS(channels, pool_sum_block, s, &p, c, dx + c, average);
            if (s->x)
                SW_K(pool_mask)(s, dx, 1, 1);
        }
    }
}

static void SW_K(pool_max_overlapping)(void *args, int64_t begin, int64_t end, double *sums) {
    const pool_args s = *(const pool_args *)args;
    (void)sums;
    SW_K(pool_overlapping)(&s, begin * s.rows_per_item, end * s.rows_per_item, false);
}

static void SW_K(pool_avg_overlapping)(void *args, int64_t begin, int64_t end, double *sums) {
    const pool_args s = *(const pool_args *)args;
    (void)sums;
    SW_K(pool_overlapping)(&s, begin * s.rows_per_item, end * s.rows_per_item, true);
}

#else /* ---- once ---- */

const sw_kernels swi_pool_max_disjoint = SW_KERNEL_TABLE(pool_max_disjoint),
                 swi_pool_avg_disjoint = SW_KERNEL_TABLE(pool_avg_disjoint),
                 swi_pool_max_overlapping = SW_KERNEL_TABLE(pool_max_overlapping),
                 swi_pool_avg_overlapping = SW_KERNEL_TABLE(pool_avg_overlapping);

#endif
