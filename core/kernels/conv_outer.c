/* Sums of outer products in registers, for the gradient of the weights. */
#include <swale/kernel.h>

#include "core/kernels/conv_outer.h"

#if SW_KERNEL_PASS

#include "core/kernels/conv_vector.h"

/* The most rows of a tile with one, two and three registers of columns. */
#undef OUTER_TWO
#undef OUTER_THREE
#define OUTER_ONE 12
#if CONV_LEVEL == 2
#define OUTER_TWO 12
#define OUTER_THREE 8
#else
#define OUTER_TWO 6
#define OUTER_THREE 4
#endif

/* Writes a row of sums, or adds it to the row. */
SW_K_INLINE void SW_K(outer_write)(real *out, const VECTOR *sum, int vectors, int64_t columns, bool add) {
    if (columns == vectors * LANES) {
        for (int v = 0; v < vectors; v++)
            if (add)
                STORE(out + v * LANES, LOAD(out + v * LANES) + sum[v]);
            else
                STORE(out + v * LANES, sum[v]);
    } else {
        VECTOR part[3] = {sum[0], vectors > 1 ? sum[1] : sum[0], vectors > 2 ? sum[2] : sum[0]}, old[3];
        memcpy(old, out, sizeof(real) * (size_t)columns);
        for (int v = 0; add && v < vectors; v++)
            part[v] += old[v];
        memcpy(out, part, sizeof(real) * (size_t)columns);
    }
}

/* The element of a term to which column c belongs. */
SW_K_INLINE int64_t SW_K(outer_column)(const swi_conv_outer *s, int64_t c) {
    return s->run ? c / s->run * s->run_step + c % s->run : c;
}

/* `rows`, `vectors` and `adjacent` are constants in each call. adjacent: without row_origin. `column` is the first of
 * the tile, which has at most vectors LANES columns; beyond the last of them, the tile reads numbers that it does not
 * use. */
SW_K_INLINE void SW_K(outer_tile)(const swi_conv_outer *s, int64_t first, int64_t column, int rows, int vectors,
                                  bool adjacent) {
    VECTOR sum[OUTER_ONE][3];
    const real *row[OUTER_ONE], *columns[3];
    const int64_t left = s->columns - column, count = left < vectors * LANES ? left : vectors * LANES;
    for (int v = 0; v < (adjacent ? vectors : 1); v++) {
        columns[v] = (const real *)s->vectors + (adjacent ? SW_K(outer_column)(s, column + v * LANES) : column);
        CONV_KEEP(columns[v]);
    }
    CONV_UNROLL
    for (int r = 0; r < rows; r++) {
        row[r] = (const real *)s->rows + (adjacent ? first : s->row_origin[first + r]);
        CONV_KEEP(row[r]);
        for (int v = 0; v < vectors; v++)
            sum[r][v] = (VECTOR){0};
    }
    for (const swi_conv_term *t = s->term, *end = t + s->terms; t < end; t++) {
        const int64_t offset = t->row, at = t->vector;
        const VECTOR c0 = LOAD(columns[0] + at),
                     c1 = vectors > 1 ? LOAD(adjacent ? columns[1] + at : columns[0] + LANES + at) : c0,
                     c2 = vectors > 2 ? LOAD(adjacent ? columns[2] + at : columns[0] + 2 * LANES + at) : c0;
        if (!adjacent)
            CONV_RELOAD(row, rows);
        CONV_UNROLL
        for (int r = 0; r < rows; r++) {
            const VECTOR element = BROADCAST(adjacent ? row[0][offset + r] : row[r][offset]);
            sum[r][0] = FMA(element, c0, sum[r][0]);
            if (vectors > 1)
                sum[r][1] = FMA(element, c1, sum[r][1]);
            if (vectors > 2)
                sum[r][2] = FMA(element, c2, sum[r][2]);
        }
    }
    CONV_UNROLL
    for (int r = 0; r < rows; r++)
        SW_K(outer_write)((real *)s->out + (first + r) * s->out_step + column, sum[r], vectors, count, s->add);
}

#define OUTER_TILE(rows, vectors)                                                                                     \
    static __attribute__((noinline)) void SW_K(outer_tile_##rows##_##vectors)(const swi_conv_outer *s, int64_t first, \
                                                                              int64_t column) {                       \
        SW_K(outer_tile)(s, first, column, rows, vectors, false);                                                     \
    }                                                                                                                 \
    static __attribute__((noinline)) void SW_K(outer_adjacent_##rows##_##vectors)(const swi_conv_outer *s,            \
                                                                                  int64_t first, int64_t column) {    \
        SW_K(outer_tile)(s, first, column, rows, vectors, true);                                                      \
    }
#define OUTER_NAME(name, rows, vectors) SW_K(outer_##name##_##rows##_##vectors)
#define OUTER_NAMES_4(name, vectors)                                                          \
    OUTER_NAME(name, 1, vectors), OUTER_NAME(name, 2, vectors), OUTER_NAME(name, 3, vectors), \
        OUTER_NAME(name, 4, vectors)
#define OUTER_NAMES_6(name, vectors) \
    OUTER_NAMES_4(name, vectors), OUTER_NAME(name, 5, vectors), OUTER_NAME(name, 6, vectors)
#define OUTER_NAMES_8(name, vectors) \
    OUTER_NAMES_6(name, vectors), OUTER_NAME(name, 7, vectors), OUTER_NAME(name, 8, vectors)
#define OUTER_NAMES_12(name, vectors)                                                          \
    OUTER_NAMES_8(name, vectors), OUTER_NAME(name, 9, vectors), OUTER_NAME(name, 10, vectors), \
        OUTER_NAME(name, 11, vectors), OUTER_NAME(name, 12, vectors)
OUTER_TILE(1, 1)
OUTER_TILE(2, 1)
OUTER_TILE(3, 1)
OUTER_TILE(4, 1)
OUTER_TILE(5, 1)
OUTER_TILE(6, 1)
OUTER_TILE(7, 1)
OUTER_TILE(8, 1)
OUTER_TILE(9, 1)
OUTER_TILE(10, 1)
OUTER_TILE(11, 1)
OUTER_TILE(12, 1)
OUTER_TILE(1, 2)
OUTER_TILE(2, 2)
OUTER_TILE(3, 2)
OUTER_TILE(4, 2)
OUTER_TILE(5, 2)
OUTER_TILE(6, 2)
OUTER_TILE(1, 3)
OUTER_TILE(2, 3)
OUTER_TILE(3, 3)
OUTER_TILE(4, 3)
#undef OUTER_NAMES
#if CONV_LEVEL == 2
OUTER_TILE(7, 2)
OUTER_TILE(8, 2)
OUTER_TILE(9, 2)
OUTER_TILE(10, 2)
OUTER_TILE(11, 2)
OUTER_TILE(12, 2)
OUTER_TILE(5, 3)
OUTER_TILE(6, 3)
OUTER_TILE(7, 3)
OUTER_TILE(8, 3)
#define OUTER_NAMES(name)                                   \
    {OUTER_NAMES_12(name, 1)}, {OUTER_NAMES_12(name, 2)}, { \
        OUTER_NAMES_8(name, 3)                              \
    }
#else
#define OUTER_NAMES(name)                                  \
    {OUTER_NAMES_12(name, 1)}, {OUTER_NAMES_6(name, 2)}, { \
        OUTER_NAMES_4(name, 3)                             \
    }
#endif

/* The tiles of some columns: their operands stay in the cache for all rows. An odd number of registers is divided into
 * one block of three and blocks of two, because a tile with one register needs a broadcast for each product. */
static void SW_K(conv_outer)(void *args, int64_t begin, int64_t end, double *sums) {
    static void (*const tile[2][3][OUTER_ONE])(const swi_conv_outer *, int64_t, int64_t) = {{OUTER_NAMES(tile)},
                                                                                            {OUTER_NAMES(adjacent)}};
    static const int64_t most[3] = {OUTER_ONE, OUTER_TWO, OUTER_THREE};
    const swi_conv_outer *s = args;
    (void)sums;
    for (int64_t column = 0; column < s->columns;) {
        const int64_t registers = (s->columns - column + LANES - 1) / LANES,
                      block = registers == 1                    ? 1
                              : registers == 3 || registers % 2 ? 3
                                                                : 2,
                      tiles = (end - begin + most[block - 1] - 1) / most[block - 1];
        for (int64_t i = 0; i < tiles; i++) {
            const int64_t first = sw_part_begin(end - begin, tiles, i),
                          rows = sw_part_begin(end - begin, tiles, i + 1) - first;
            tile[!s->row_origin][block - 1][rows - 1](s, begin + first, column);
            if (s->ahead)
                swi_conv_fetch(s->ahead);
        }
        column += block * LANES;
    }
}

#else

const sw_kernels swi_conv_outer_kernels = SW_KERNEL_TABLE(conv_outer);

#endif
