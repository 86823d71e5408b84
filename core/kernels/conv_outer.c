/* Sums of outer products in registers, for the gradient of the weights. */
#include <swale/kernel.h>

#include "core/kernels/conv_outer.h"

#if SW_KERNEL_FIRST
enum { LINE = 64 };

/* The lines that a tile prefetches: one before every `every` terms. */
typedef struct outer_fetch {
    const char *at;
    int64_t every;
} outer_fetch;

/* The next lines of `ahead` for a tile of `terms` terms. Runs are prefetched at once. */
static inline outer_fetch outer_fetch_next(swi_conv_ahead *ahead, const swi_conv_outer *s) {
    if (ahead && ahead->run)
        swi_conv_fetch(ahead);
    if (!ahead || ahead->run || ahead->bytes <= 0)
        return (outer_fetch){(const char *)s->term, s->terms};
    const int64_t bytes = ahead->step < ahead->bytes ? ahead->step : ahead->bytes, lines = (bytes + LINE - 1) / LINE,
                  every = (s->terms + lines - 1) / lines, fetched = (s->terms + every - 1) / every * LINE;
    const outer_fetch fetch = {ahead->at, every};
    ahead->at += fetched;
    ahead->bytes -= fetched;
    return fetch;
}
#endif

#if SW_KERNEL_PASS

#include "core/kernels/conv_vector.h"

/* The most rows of a tile with one, two and three registers of columns. */
#undef OUTER_TWO
#undef OUTER_THREE
#define OUTER_ONE 12
/* The most rows and columns of a window whose taps all have a register. */
#define OUTER_TAPS 5
#if CONV_LEVEL == 2
#define OUTER_TWO 12
#define OUTER_THREE 8
#else
#define OUTER_TWO 6
#define OUTER_THREE 4
#endif

/* Rows with fewer columns than the registers have. A separate function, because the calls of memcpy would need the
 * registers. */
static __attribute__((noinline)) void SW_K(outer_write_part)(const swi_conv_outer *s, real *out, int rows,
                                                             const VECTOR sum[][3], int vectors, int64_t columns) {
    for (int r = 0; r < rows; r++, out += s->out_step) {
        VECTOR part[3], old[3];
        memcpy(part, sum[r], sizeof(VECTOR) * (size_t)vectors);
        memcpy(old, out, sizeof(real) * (size_t)columns);
        for (int v = 0; s->add && v < vectors; v++)
            part[v] += old[v];
        memcpy(out, part, sizeof(real) * (size_t)columns);
    }
}

/* Writes the rows of a tile, or adds them. */
SW_K_INLINE void SW_K(outer_write)(const swi_conv_outer *s, real *out, int rows, VECTOR sum[][3], int vectors,
                                   int64_t columns) {
    const int64_t step = s->out_step;
    if (columns != vectors * LANES) {
        VECTOR all[OUTER_ONE][3];
        CONV_UNROLL
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                all[r][v] = sum[r][v];
        SW_K(outer_write_part)(s, out, rows, all, vectors, columns);
        return;
    }
    if (s->add) {
        CONV_UNROLL
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] = LOAD(out + r * step + v * LANES) + sum[r][v];
    }
    CONV_UNROLL
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            STORE(out + r * step + v * LANES, sum[r][v]);
}

/* The element of a term to which column c belongs. */
SW_K_INLINE int64_t SW_K(outer_column)(const swi_conv_outer *s, int64_t c) {
    return s->run ? c / s->run * s->run_step + c % s->run : c;
}

/* `rows`, `vectors` and `adjacent` are constants in each call. adjacent: without row_origin. `column` is the first of
 * the tile, which has at most vectors LANES columns; beyond the last of them, the tile reads numbers that it does not
 * use. A line is prefetched before every fetch.every terms. */
SW_K_INLINE void SW_K(outer_tile)(const swi_conv_outer *s, const real *from, int64_t first, int64_t column,
                                  outer_fetch fetch, int rows, int vectors, bool adjacent) {
    VECTOR sum[OUTER_ONE][3];
    const real *row[OUTER_ONE], *columns[3];
    const int64_t left = s->columns - column, count = left < vectors * LANES ? left : vectors * LANES;
    for (int v = 0; v < (adjacent ? vectors : 1); v++) {
        columns[v] = (const real *)s->vectors + (adjacent ? SW_K(outer_column)(s, column + v * LANES) : column);
        CONV_KEEP(columns[v]);
    }
    CONV_UNROLL
    for (int r = 0; r < rows; r++) {
        row[r] = from + (adjacent ? 0 : s->row_origin[first + r]);
        CONV_KEEP(row[r]);
        for (int v = 0; v < vectors; v++)
            sum[r][v] = (VECTOR){0};
    }
    const swi_conv_term *t = s->term, *stop = t;
    for (const swi_conv_term *end = t + s->terms; t < end; t++) {
        if (t == stop) {
            __builtin_prefetch(fetch.at, 0, 2);
            fetch.at += LINE;
            stop += fetch.every;
        }
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
    SW_K(outer_write)(s, (real *)s->out + first * s->out_step + column, rows, sum, vectors, count);
}

#define OUTER_TILE(rows, vectors)                                                                      \
    static __attribute__((noinline)) void SW_K(outer_tile_##rows##_##vectors)(                         \
        const swi_conv_outer *s, const real *from, int64_t first, int64_t column, outer_fetch fetch) { \
        SW_K(outer_tile)(s, from, first, column, fetch, rows, vectors, false);                         \
    }                                                                                                  \
    static __attribute__((noinline)) void SW_K(outer_adjacent_##rows##_##vectors)(                     \
        const swi_conv_outer *s, const real *from, int64_t first, int64_t column, outer_fetch fetch) { \
        SW_K(outer_tile)(s, from, first, column, fetch, rows, vectors, true);                          \
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

#if CONV_LEVEL == 2
/* All rows of a window of taps × taps, with one register of columns. A load for each product suffices, because the rows
 * of the window need one pointer each, and no list of terms is read. `taps` is a constant in each call. */
SW_K_INLINE void SW_K(outer_window)(const swi_conv_outer *s, outer_fetch fetch, int taps) {
    VECTOR sum[OUTER_TAPS][OUTER_TAPS][3];
    CONV_UNROLL
    for (int u = 0; u < taps; u++)
        CONV_UNROLL
    for (int v = 0; v < taps; v++)
        sum[u][v][0] = (VECTOR){0};
    int64_t stop = 0;
    for (int64_t t = 0; t < s->terms; t += s->term_run) {
        const real *row[OUTER_TAPS], *vector = (const real *)s->vectors + s->term[t].vector;
        for (; stop <= t; stop += fetch.every, fetch.at += LINE)
            __builtin_prefetch(fetch.at, 0, 2);
        for (int u = 0; u < taps; u++)
            row[u] = (const real *)s->rows + s->row_origin[u * taps] + s->term[t].row;
        for (int64_t i = 0; i < s->term_run; i++) {
            const VECTOR c = LOAD(vector);
            vector += s->columns;
            CONV_UNROLL
            for (int u = 0; u < taps; u++) {
                CONV_KEEP(row[u]); /* or elements are kept in registers for the next pixel */
                CONV_UNROLL
                for (int v = 0; v < taps; v++)
                    sum[u][v][0] = FMA(BROADCAST(row[u][v]), c, sum[u][v][0]);
                row[u]++;
            }
        }
    }
    CONV_UNROLL
    for (int u = 0; u < taps; u++)
        SW_K(outer_write)(s, (real *)s->out + u * taps * s->out_step, taps, sum[u], 1, s->columns);
}

static __attribute__((noinline)) void SW_K(outer_window_3)(const swi_conv_outer *s, outer_fetch fetch) {
    SW_K(outer_window)(s, fetch, 3);
}
static __attribute__((noinline)) void SW_K(outer_window_5)(const swi_conv_outer *s, outer_fetch fetch) {
    SW_K(outer_window)(s, fetch, 5);
}
#endif

/* The tiles of some columns: their operands stay in the cache for all rows. An odd number of registers is divided into
 * one block of three and blocks of two, because a tile with one register needs a broadcast for each product. */
static void SW_K(conv_outer)(void *args, int64_t begin, int64_t end, double *sums) {
    static void (*const tile[2][3][OUTER_ONE])(const swi_conv_outer *, const real *, int64_t, int64_t,
                                               outer_fetch) = {{OUTER_NAMES(tile)}, {OUTER_NAMES(adjacent)}};
    static const int64_t most[3] = {OUTER_ONE, OUTER_TWO, OUTER_THREE};
    const swi_conv_outer *s = args;
    (void)sums;
#if CONV_LEVEL == 2
    if (s->columns <= LANES && (s->taps == 3 || s->taps == 5) && begin == 0 && end == s->taps * s->taps) {
        (s->taps == 3 ? SW_K(outer_window_3) : SW_K(outer_window_5))(s, outer_fetch_next(s->ahead, s));
        return;
    }
#endif
    for (int64_t column = 0; column < s->columns;) {
        const int64_t registers = (s->columns - column + LANES - 1) / LANES,
                      block = registers == 1                    ? 1
                              : registers == 3 || registers % 2 ? 3
                                                                : 2,
                      rows = s->panel ? s->panel : most[block - 1], tiles = (end - begin + rows - 1) / rows;
        for (int64_t i = 0; i < tiles; i++) {
            const int64_t first = sw_part_begin(end - begin, tiles, i),
                          count = sw_part_begin(end - begin, tiles, i + 1) - first;
            const real *from = (const real *)s->rows + (s->panel         ? i * s->panel_step
                                                        : !s->row_origin ? begin + first
                                                                         : 0);
            tile[!s->row_origin][block - 1][count - 1](s, from, begin + first, column, outer_fetch_next(s->ahead, s));
        }
        column += block * LANES;
    }
}

/* `width` is a constant in each call. The last terms are copied without reading elements after the rows. */
SW_K_INLINE void SW_K(panel_fill)(const swi_conv_panels *s, const real *rows, real *to, int64_t count, int width) {
    const int64_t exact = s->terms > width ? s->terms - width : 0;
    for (int64_t t = 0; t < exact; t++)
        memcpy(to + t * width, rows + s->origin[t], sizeof(real) * (size_t)width);
    for (int64_t t = exact; t < s->terms; t++)
        memcpy(to + t * width, rows + s->origin[t], sizeof(real) * (size_t)count);
}

static void SW_K(conv_panels)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_conv_panels *s = args;
    const int64_t tiles = (end - begin + s->width - 1) / s->width;
    (void)sums;
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t first = sw_part_begin(end - begin, tiles, i),
                      count = sw_part_begin(end - begin, tiles, i + 1) - first;
        const real *rows = (const real *)s->rows + begin + first;
        real *to = (real *)s->panels + i * s->terms * s->width;
        if (s->width == OUTER_ONE)
            /* NOLINTNEXTLINE(bugprone-branch-clone): OUTER_TWO may be equal */
            SW_K(panel_fill)(s, rows, to, count, OUTER_ONE);
        else if (s->width == OUTER_TWO)
            SW_K(panel_fill)(s, rows, to, count, OUTER_TWO);
        else
            SW_K(panel_fill)(s, rows, to, count, OUTER_THREE);
    }
}

#else

const sw_kernels swi_conv_outer_kernels = SW_KERNEL_TABLE(conv_outer);
const sw_kernels swi_conv_panels_kernels = SW_KERNEL_TABLE(conv_panels);

int64_t swi_conv_panel_width(int64_t columns, sw_dtype type, int level) {
    const int64_t lanes = (16 << level) / (int64_t)sw_dtype_size(type), registers = (columns + lanes - 1) / lanes;
    return registers == 1 ? 12 : level == 2 ? (registers % 2 ? 8 : 12) : registers % 2 ? 4 : 6;
}

#endif
