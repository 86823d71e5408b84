/* Additions by ids in f16 and bf16. The sums have the bits of those in f32 (index_kernels.c), rounded once: terms are
 * added in the order of the ids, in f32, or in f64 if an element has more than SWI_GATHER_OFTEN terms. Only rows that
 * occur among the ids have sums, so that a large table with few ids needs little memory. */
#include <swale/extend.h>

#include "core/ops/shared.h"

#include <string.h>

enum { BUFFER = 512 }; /* the elements that are converted at a time */

static int64_t lesser(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static const void *half_at(const void *data, int64_t index) {
    return (const uint16_t *)data + index;
}

/* `columns` of each of `rows` rows of length `inner`, converted to f32 in a buffer of `columns` columns. */
static void half_load_rows(sw_dtype type, const void *from, int64_t rows, int64_t columns, int64_t inner, float *to) {
    if (columns == inner) {
        sw_vector_convert(type, rows * columns, from, SW_F32, to);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        sw_vector_convert(type, columns, half_at(from, i * inner), SW_F32, to + i * columns);
}

/* The number of rows of such a buffer. */
static int64_t half_rows(int64_t columns) {
    return columns < BUFFER ? BUFFER / columns : 1;
}

/* ---- Whole rows ---- */

enum { COLUMNS = 64 }; /* of a tile */

typedef struct rows_sums {
    sw_dtype type;
    const void *part, *base;            /* [m, inner], [n, inner] or NULL */
    void *whole;                        /* [n, inner] */
    float *sum;                         /* [places, inner]: of the rows that occur */
    double *wide;                       /* [oftens, inner]: of the rows that occur often */
    const int32_t *ids, *place, *often; /* ids [m]; place [n], -1: none; often [places], -1: none */
    int64_t n, m, inner, places, oftens;
} rows_sums;

/* The sums begin with the base, or with 0. */
static void rows_sums_begin(const rows_sums *s, int64_t begin, int64_t columns) {
    for (int64_t row = 0; row < s->n; row++) {
        const int32_t place = s->place[row];
        if (place < 0)
            continue;
        float *sum = s->sum + place * s->inner + begin;
        if (s->base)
            sw_vector_convert(s->type, columns, half_at(s->base, row * s->inner + begin), SW_F32, sum);
        else
            memset(sum, 0, (size_t)columns * sizeof *sum);
        if (s->often[place] >= 0)
            for (int64_t k = 0; k < columns; k++)
                s->wide[s->often[place] * s->inner + begin + k] = (double)sum[k];
    }
}

static void rows_sums_add(const rows_sums *s, int64_t id, int64_t begin, int64_t columns, const float *restrict term) {
    const int32_t place = s->place[id], often = s->often[place];
    if (often < 0 || !s->wide) {
        float *restrict sum = s->sum + place * s->inner + begin;
        for (int64_t k = 0; k < columns; k++)
            sum[k] += term[k];
    } else {
        double *restrict wide = s->wide + often * s->inner + begin;
        for (int64_t k = 0; k < columns; k++)
            wide[k] += (double)term[k];
    }
}

static void rows_sums_store(const rows_sums *s, int64_t begin, int64_t columns) {
    for (int64_t row = 0; row < s->n; row++) {
        uint16_t *to = (uint16_t *)s->whole + row * s->inner + begin;
        const int32_t place = s->place[row];
        if (place < 0 && s->base)
            memcpy(to, half_at(s->base, row * s->inner + begin), (size_t)columns * sizeof *to);
        else if (place < 0)
            memset(to, 0, (size_t)columns * sizeof *to);
        if (place < 0)
            continue;
        float *sum = s->sum + place * s->inner + begin;
        if (s->often[place] >= 0)
            for (int64_t k = 0; k < columns; k++)
                sum[k] = (float)s->wide[s->often[place] * s->inner + begin + k];
        sw_vector_convert(SW_F32, columns, sum, s->type, to);
    }
}

static void rows_sums_tile(void *args, int64_t tile) {
    const rows_sums *s = args;
    const int64_t begin = tile * COLUMNS, columns = lesser(COLUMNS, s->inner - begin), rows = half_rows(columns);
    float buffer[BUFFER];
    rows_sums_begin(s, begin, columns);
    for (int64_t j = 0; j < s->m; j += rows) {
        const int64_t some = lesser(rows, s->m - j);
        half_load_rows(s->type, half_at(s->part, j * s->inner + begin), some, columns, s->inner, buffer);
        for (int64_t i = 0; i < some; i++)
            rows_sums_add(s, s->ids[j + i], begin, columns, buffer + i * columns);
    }
    rows_sums_store(s, begin, columns);
}

/* Gives each row that occurs a place among the sums, and those that occur often a place among the sums in f64. */
static sw_status rows_sums_find(sw_call *c, rows_sums *s) {
    int32_t *place = sw_call_scratch(c, (size_t)s->n * sizeof *place);
    if (!place)
        return SW_ERR_MEMORY;
    memset(place, 0, (size_t)s->n * sizeof *place);
    for (int64_t j = 0; j < s->m; j++) {
        if (s->ids[j] < 0 || s->ids[j] >= s->n) /* in a dry run */
            continue;
        int32_t *count = &place[s->ids[j]];
        s->places += *count == 0;
        *count += *count <= SWI_GATHER_OFTEN;
    }
    int32_t *often = sw_call_scratch(c, (size_t)s->places * sizeof *often), next = 0;
    if (!often)
        return SW_ERR_MEMORY;
    for (int64_t row = 0; row < s->n; row++) {
        const int32_t count = place[row];
        if (count > 0)
            often[next] = count > SWI_GATHER_OFTEN ? (int32_t)s->oftens++ : -1;
        place[row] = count > 0 ? next++ : -1;
    }
    s->place = place;
    s->often = often;
    return SW_OK;
}

sw_status swi_gather_add_rows_half(sw_call *c, const swi_gather *g, const void *base, const void *part, void *whole) {
    rows_sums s = {.type = g->type,
                   .part = part,
                   .base = base,
                   .whole = whole,
                   .ids = g->ids,
                   .n = g->n,
                   .m = g->m,
                   .inner = g->inner};
    if (g->n * g->inner == 0)
        return SW_OK;
    SW_TRY(rows_sums_find(c, &s));
    s.sum = sw_call_scratch(c, (size_t)s.places * (size_t)s.inner * sizeof *s.sum);
    if (!s.sum)
        return SW_ERR_MEMORY;
    if (s.oftens) {
        s.wide = sw_call_scratch(c, (size_t)s.oftens * (size_t)s.inner * sizeof *s.wide);
        if (!s.wide)
            return SW_ERR_MEMORY;
    }
    const int64_t tiles = (s.inner + COLUMNS - 1) / COLUMNS;
    if (sw_dry_run())
        return SW_OK;
    if ((s.m + s.n) * s.inner < SW_SERIAL)
        for (int64_t t = 0; t < tiles; t++)
            rows_sums_tile(&s, t);
    else
        sw_parallel(rows_sums_tile, &s, tiles);
    return SW_OK;
}

/* ---- One element for each id ---- */

/* The most columns of a unit; the most sums of a unit, unless one column has more. */
enum { UNIT_COLUMNS = 256, UNIT_SUMS = 1 << 18 };

typedef struct each_sums {
    sw_dtype type;
    bool wide;               /* the sums are f64, else f32 */
    const void *part, *base; /* [outer, m, inner], as the ids; [outer, n, inner] or NULL */
    void *whole;             /* [outer, n, inner] */
    const int32_t *ids;
    int64_t n, m, inner;
    int64_t columns, blocks, units; /* columns of a unit; units of a matrix, of all matrices */
    int64_t lanes, sum_bytes;       /* a lane processes consecutive units with the same memory for sums */
    char *sums;                     /* [lanes]: each [n, columns] */
} each_sums;

/* Adds the terms of `rows` rows of the ids, which are `inner` apart. */
static void each_sums_add(const each_sums *s, const int32_t *ids, int64_t rows, int64_t columns, const float *term,
                          void *sums) {
    float *sum = sums;
    double *wide = sums;
    for (int64_t j = 0; j < rows; j++)
        for (int64_t k = 0; k < columns; k++) {
            const int64_t at = ids[j * s->inner + k] * columns + k;
            if (s->wide)
                wide[at] += (double)term[j * columns + k];
            else
                sum[at] += term[j * columns + k];
        }
}

/* Rounds `count` sums, which begin with number `at`. */
static void each_sums_round(const each_sums *s, const void *sums, int64_t at, int64_t count, void *to) {
    if (!s->wide) {
        sw_vector_convert(SW_F32, count, (const float *)sums + at, s->type, to);
        return;
    }
    float buffer[BUFFER];
    for (int64_t i = 0; i < count; i += BUFFER) {
        const int64_t some = lesser(BUFFER, count - i);
        for (int64_t k = 0; k < some; k++)
            buffer[k] = (float)((const double *)sums)[at + i + k];
        sw_vector_convert(SW_F32, some, buffer, s->type, (uint16_t *)to + i);
    }
}

/* Sets the sums of a unit, [n, columns], to the base from element `at` on. */
static void each_sums_begin(const each_sums *s, int64_t at, int64_t columns, void *sums) {
    const int64_t rows = half_rows(columns);
    float buffer[BUFFER] = {0};
    double *wide = sums;
    if (!s->wide) {
        half_load_rows(s->type, half_at(s->base, at), s->n, columns, s->inner, sums);
        return;
    }
    for (int64_t i = 0; i < s->n; i += rows) {
        const int64_t some = lesser(rows, s->n - i);
        half_load_rows(s->type, half_at(s->base, at + i * s->inner), some, columns, s->inner, buffer);
        for (int64_t k = 0; k < some * columns; k++)
            wide[i * columns + k] = (double)buffer[k];
    }
}

static void each_sums_unit(const each_sums *s, int64_t unit, void *sums) {
    const int64_t begin = unit % s->blocks * s->columns, columns = lesser(s->columns, s->inner - begin),
                  from = unit / s->blocks * s->m * s->inner + begin, to = unit / s->blocks * s->n * s->inner + begin,
                  rows = half_rows(columns);
    float buffer[BUFFER];
    if (s->base)
        each_sums_begin(s, to, columns, sums);
    else
        memset(sums, 0, (size_t)(s->n * columns) * (s->wide ? sizeof(double) : sizeof(float)));
    for (int64_t j = 0; j < s->m; j += rows) {
        const int64_t some = lesser(rows, s->m - j);
        half_load_rows(s->type, half_at(s->part, from + j * s->inner), some, columns, s->inner, buffer);
        each_sums_add(s, s->ids + from + j * s->inner, some, columns, buffer, sums);
    }
    if (columns == s->inner) {
        each_sums_round(s, sums, 0, s->n * columns, (uint16_t *)s->whole + to);
        return;
    }
    for (int64_t i = 0; i < s->n; i++)
        each_sums_round(s, sums, i * columns, columns, (uint16_t *)s->whole + to + i * s->inner);
}

static void each_sums_lane(void *args, int64_t lane) {
    const each_sums *s = args;
    const int64_t begin = sw_part_begin(s->units, s->lanes, lane), end = sw_part_begin(s->units, s->lanes, lane + 1);
    for (int64_t unit = begin; unit < end; unit++)
        each_sums_unit(s, unit, s->sums + lane * s->sum_bytes);
}

sw_status swi_gather_add_half(sw_call *c, const swi_gather *g, const void *base, const void *part, void *whole) {
    const int64_t outer = g->outer, inner = g->inner;
    each_sums s = {.type = g->type,
                   .part = part,
                   .base = base,
                   .whole = whole,
                   .ids = g->ids,
                   .n = g->n,
                   .m = g->m,
                   .inner = inner,
                   .lanes = 1};
    if (outer * g->n * inner == 0)
        return SW_OK;
    s.wide = s.m > SWI_GATHER_OFTEN && !g->unique;
    const int64_t most = UNIT_SUMS / s.n < 1 ? 1 : lesser(UNIT_SUMS / s.n, UNIT_COLUMNS);
    s.columns = lesser(inner, most);
    s.blocks = (inner + s.columns - 1) / s.columns;
    s.units = outer * s.blocks;
    if (outer * inner * (s.m + s.n) >= SW_SERIAL)
        s.lanes = lesser(sw_threads(), s.units);
    const int64_t bytes = s.n * s.columns * (int64_t)(s.wide ? sizeof(double) : sizeof(float));
    s.sum_bytes = (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT; /* two lanes share no cache line */
    s.sums = sw_call_scratch(c, (size_t)(s.lanes * s.sum_bytes));
    if (!s.sums)
        return SW_ERR_MEMORY;
    if (sw_dry_run())
        return SW_OK;
    if (s.lanes == 1)
        each_sums_lane(&s, 0);
    else
        sw_parallel(each_sums_lane, &s, s.lanes);
    return SW_OK;
}
