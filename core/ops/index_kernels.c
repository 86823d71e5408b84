/* Taking elements by ids, and the transpose, the addition by ids, which is the gradient of a gather and the forward of
 * a scatter. Terms of equal ids are added in the order of the ids for every number of threads, because each element of
 * a sum belongs to one tile. In f32, sums of more than OFTEN terms are computed in f64: a chain of 10^7 additions would
 * have an error of 9 %. Sums in f16 and bf16 are in gather_half.c. */
#include <swale/kernel.h>
#include <swale/extend.h>

#include "core/ops/shared.h"

#if SW_KERNEL_FIRST
/* Arrays [outer, n, inner] and [outer, m, inner]; ids [outer, m, inner], or [m] for whole rows. */
typedef struct index_args {
    const void *from;
    const void *base; /* of gather_add_f64: to which the terms are added; NULL: 0 */
    void *to;
    const int32_t *ids;
    int64_t n, m, inner, outer_block; /* outer_block: the index in `outer` */
    const int32_t *place; /* [n]: index in `wide` of the row's sum; -1 for a row with at most OFTEN terms; or NULL */
    double *wide;         /* sums in f64: [places, inner]; for gather [n, columns of the block] */
} index_args;
enum { OFTEN = SWI_GATHER_OFTEN };
#endif

#if SW_KERNEL_PASS

/* to[ids[j]] += from[j] for the columns [begin, end) of all rows. */
static void SW_K(gather_rows_add)(void *args, int64_t begin, int64_t end, double *sums) {
    const index_args *s = args;
    (void)sums;
    for (int64_t j = 0; j < s->m; j++) {
        const stored *restrict x = (const stored *)s->from + j * s->inner;
        stored *restrict y = (stored *)s->to + s->ids[j] * s->inner;
        for (int64_t k = begin; k < end; k++)
            SW_STORE(y, k, SW_LOAD(y, k) + SW_LOAD(x, k));
    }
}

/* As gather_rows_add, if some rows have a sum in f64. */
static void SW_K(gather_rows_add_often)(void *args, int64_t begin, int64_t end, double *sums) {
    const index_args *s = args;
    (void)sums;
    for (int64_t row = 0; row < s->n; row++)
        for (int64_t k = begin; s->place[row] >= 0 && k < end; k++)
            s->wide[s->place[row] * s->inner + k] = (double)SW_LOAD((const stored *)s->to, row * s->inner + k);
    for (int64_t j = 0; j < s->m; j++) {
        const stored *restrict x = (const stored *)s->from + j * s->inner;
        stored *restrict y = (stored *)s->to + s->ids[j] * s->inner;
        const int32_t place = s->place[s->ids[j]];
        if (place < 0) {
            for (int64_t k = begin; k < end; k++)
                SW_STORE(y, k, SW_LOAD(y, k) + SW_LOAD(x, k));
        } else {
            double *restrict wide = s->wide + place * s->inner;
            for (int64_t k = begin; k < end; k++)
                wide[k] += (double)SW_LOAD(x, k);
        }
    }
    for (int64_t row = 0; row < s->n; row++)
        for (int64_t k = begin; s->place[row] >= 0 && k < end; k++)
            SW_STORE((stored *)s->to, row * s->inner + k, (real)s->wide[s->place[row] * s->inner + k]);
}

/* to[ids[j][k]][k] += from[j][k] for the columns [begin, end) of one matrix. */
static void SW_K(gather_add)(void *args, int64_t begin, int64_t end, double *sums) {
    const index_args *s = args;
    const int64_t at = s->outer_block * s->m * s->inner;
    const stored *x = (const stored *)s->from + at;
    stored *y = (stored *)s->to + s->outer_block * s->n * s->inner;
    const int32_t *ids = s->ids + at;
    (void)sums;
    for (int64_t j = 0; j < s->m; j++)
        for (int64_t k = begin; k < end; k++) {
            const int64_t at_y = ids[j * s->inner + k] * s->inner + k;
            SW_STORE(y, at_y, SW_LOAD(y, at_y) + SW_LOAD(x, j * s->inner + k));
        }
}

/* As gather_add, with sums in f64, which begin with `base`. */
static void SW_K(gather_add_f64)(void *args, int64_t begin, int64_t end, double *sums) {
    const index_args *s = args;
    const int64_t at = s->outer_block * s->m * s->inner + begin, width = end - begin;
    const stored *x = (const stored *)s->from + at;
    const int64_t at_y = s->outer_block * s->n * s->inner + begin;
    const stored *base = s->base ? (const stored *)s->base + at_y : NULL;
    stored *y = (stored *)s->to + at_y;
    double *wide = s->wide;
    const int32_t *ids = s->ids + at;
    (void)sums;
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t k = 0; k < width; k++)
            wide[i * width + k] = base ? (double)SW_LOAD(base, i * s->inner + k) : 0;
    for (int64_t j = 0; j < s->m; j++)
        for (int64_t k = 0; k < width; k++)
            wide[ids[j * s->inner + k] * width + k] += (double)SW_LOAD(x, j * s->inner + k);
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t k = 0; k < width; k++)
            SW_STORE(y, i * s->inner + k, (real)wide[i * width + k]);
}

#else /* ---- once ---- */

static const sw_kernels add_rows_kernels = SW_KERNEL_TABLE(gather_rows_add),
                        add_rows_often_kernels = SW_KERNEL_TABLE(gather_rows_add_often),
                        add_each_kernels = SW_KERNEL_TABLE(gather_add),
                        add_each_wide_kernels = SW_KERNEL_TABLE(gather_add_f64);

/* Whether the row `id` exists. It may not in a dry run. */
static bool gather_has_row(const index_args *a, int32_t id) {
    return id >= 0 && id < a->n;
}

/* ---- Tiles: blocks of the columns [0, inner) of each of the `outer` matrices ---- */

typedef struct index_job {
    index_args args;
    sw_kernel *kernel;
    size_t size;
    int64_t width, blocks, units, per_tile; /* columns of a block; blocks of a matrix, of all matrices, of a tile */
} index_job;

/* A block has `width` columns with m elements each. A tile has at least about SW_TILE elements. */
static void gather_run_blocks(index_job *j, void (*work)(void *args, int64_t tile), int64_t outer, int64_t width) {
    const index_args *a = &j->args;
    if (outer * a->m * a->inner == 0 || sw_dry_run())
        return;
    if (outer * a->m * a->inner < SW_SERIAL)
        width = a->inner;
    j->width = width < a->inner ? width : a->inner;
    j->blocks = (a->inner + j->width - 1) / j->width;
    j->units = outer * j->blocks;
    j->per_tile = 1 + (SW_TILE - 1) / (j->width * a->m);
    const int64_t tiles = (j->units + j->per_tile - 1) / j->per_tile;
    if (outer * a->m * a->inner < SW_SERIAL)
        for (int64_t t = 0; t < tiles; t++)
            work(j, t);
    else
        sw_parallel(work, j, tiles);
}

/* Sets *args to the arguments of a unit (a block). Returns its first column, and sets *end to the column after its
 * last. */
static int64_t gather_unit_columns(const index_job *j, int64_t unit, index_args *args, int64_t *end) {
    const int64_t begin = unit % j->blocks * j->width;
    *args = j->args;
    args->outer_block = unit / j->blocks;
    *end = begin + j->width < args->inner ? begin + j->width : args->inner;
    return begin;
}

static void gather_add_tile(void *args, int64_t tile) {
    const index_job *j = args;
    for (int64_t u = tile * j->per_tile; u < (tile + 1) * j->per_tile && u < j->units; u++) {
        index_args unit;
        int64_t end;
        const int64_t begin = gather_unit_columns(j, u, &unit, &end);
        j->kernel(&unit, begin, end, NULL);
    }
}

/* Sets an array to its base, or to 0. */
static void gather_begin_sums(sw_dtype type, int64_t count, const void *base, void *to) {
    const sw_box all = {.axes = 1, .length = {count}, .stride = {{1}, {1}}};
    if (base)
        sw_box_copy(sw_dtype_size(type), all, base, to);
    else
        sw_vector_fill(type, count, 0, to);
}

static index_args gather_args(const swi_gather *g, const void *from, void *to) {
    return (index_args){.from = from, .to = to, .ids = g->ids, .n = g->n, .m = g->m, .inner = g->inner};
}

/* ---- Whole rows ---- */

typedef struct rows_copy {
    const char *from;
    char *to;
    const int32_t *ids;
    int64_t count, per_tile;
    size_t bytes; /* the size of a row */
} rows_copy;

static void gather_rows_copy_tile(void *args, int64_t tile) {
    const rows_copy *r = args;
    const int64_t end = (tile + 1) * r->per_tile;
    for (int64_t j = tile * r->per_tile; j < end && j < r->count; j++)
        memcpy(r->to + (size_t)j * r->bytes, r->from + (size_t)r->ids[j] * r->bytes, r->bytes);
}

void swi_gather_take_rows(const swi_gather *g, const void *whole, void *part) {
    if (g->m * g->inner == 0 || sw_dry_run())
        return;
    rows_copy r = {.from = whole,
                   .to = part,
                   .ids = g->ids,
                   .count = g->m,
                   .per_tile = 1 + (SW_TILE - 1) / g->inner,
                   .bytes = (size_t)g->inner * sw_dtype_size(g->type)};
    const int64_t tiles = (r.count + r.per_tile - 1) / r.per_tile;
    if (g->m * g->inner < SW_SERIAL)
        for (int64_t t = 0; t < tiles; t++)
            gather_rows_copy_tile(&r, t);
    else
        sw_parallel(gather_rows_copy_tile, &r, tiles);
}

enum { ROW_BLOCK = 64 }; /* the columns of a block, whose sums one thread computes */

/* Finds the rows that occur more than OFTEN times, and gives each a sum in f64. */
static sw_status gather_rows_frequent_sums(sw_call *c, index_job *j) {
    const int64_t n = j->args.n, m = j->args.m;
    int32_t *place = sw_call_scratch(c, (size_t)n * sizeof *place), places = 0;
    if (!place)
        return SW_ERR_MEMORY;
    memset(place, 0, (size_t)n * sizeof *place);
    for (int64_t i = 0; i < m; i++)
        if (gather_has_row(&j->args, j->args.ids[i]))
            place[j->args.ids[i]] += place[j->args.ids[i]] <= OFTEN;
    for (int64_t i = 0; i < n; i++)
        place[i] = place[i] > OFTEN ? places++ : -1;
    if (!places)
        return SW_OK;
    j->args.wide = sw_call_scratch(c, (size_t)places * (size_t)j->args.inner * sizeof(double));
    if (!j->args.wide)
        return SW_ERR_MEMORY;
    j->args.place = place;
    j->kernel = add_rows_often_kernels[SW_F32][sw_cpu_level()];
    return SW_OK;
}

sw_status swi_gather_add_rows(sw_call *c, const swi_gather *g, const void *base, const void *part, void *whole) {
    if (sw_dtype_is_16_bit(g->type))
        return swi_gather_add_rows_half(c, g, base, part, whole);
    index_job j = {.args = gather_args(g, part, whole), .kernel = add_rows_kernels[g->type][sw_cpu_level()]};
    if (g->type == SW_F32 && g->m > OFTEN && g->inner > 0)
        SW_TRY(gather_rows_frequent_sums(c, &j));
    gather_begin_sums(g->type, g->n * g->inner, base, whole);
    gather_run_blocks(&j, gather_add_tile, 1, ROW_BLOCK);
    return SW_OK;
}

/* ---- One element for each id ---- */

typedef uint8_t __attribute__((may_alias)) bits8;
typedef uint16_t __attribute__((may_alias)) bits16;
typedef uint32_t __attribute__((may_alias)) bits32;
typedef uint64_t __attribute__((may_alias)) bits64;

/* to[j][k] = from[ids[j][k]][k] */
#define TAKE_EACH(type)                                                             \
    static void take_each_##type(const index_args *s, int64_t begin, int64_t end) { \
        const int64_t at = s->outer_block * s->m * s->inner;                        \
        const type *x = (const type *)s->from + s->outer_block * s->n * s->inner;   \
        type *y = (type *)s->to + at;                                               \
        const int32_t *ids = s->ids + at;                                           \
        for (int64_t j = 0; j < s->m; j++)                                          \
            for (int64_t k = begin; k < end; k++)                                   \
                y[j * s->inner + k] = x[ids[j * s->inner + k] * s->inner + k];      \
    }
TAKE_EACH(bits8)
TAKE_EACH(bits16)
TAKE_EACH(bits32)
TAKE_EACH(bits64)

static void gather_copy_tile(void *args, int64_t tile) {
    const index_job *j = args;
    for (int64_t u = tile * j->per_tile; u < (tile + 1) * j->per_tile && u < j->units; u++) {
        index_args unit;
        int64_t end;
        const int64_t begin = gather_unit_columns(j, u, &unit, &end);
        if (j->size == 1)
            take_each_bits8(&unit, begin, end);
        else if (j->size == 2)
            take_each_bits16(&unit, begin, end);
        else if (j->size == 4)
            take_each_bits32(&unit, begin, end);
        else
            take_each_bits64(&unit, begin, end);
    }
}

enum { COLUMN_BLOCK = 256 };

void swi_gather_take(const swi_gather *g, const void *whole, void *part) {
    index_job j = {.args = gather_args(g, whole, part), .size = sw_dtype_size(g->type)};
    gather_run_blocks(&j, gather_copy_tile, g->outer, COLUMN_BLOCK);
}

/* Sums in f64: each lane has memory for the sums of a block of columns. */
enum { WIDE_SUMS = 1 << 18 }; /* the number of sums in a lane (2 MiB), unless one column has more */

typedef struct wide_job {
    index_job job;
    int64_t lanes;
} wide_job;

/* Processes the units of one lane, which are consecutive. */
static void gather_add_wide_lane(void *args, int64_t lane) {
    const wide_job *w = args;
    const index_job *j = &w->job;
    for (int64_t u = lane * j->units / w->lanes; u < (lane + 1) * j->units / w->lanes; u++) {
        index_args unit;
        int64_t end;
        const int64_t begin = gather_unit_columns(j, u, &unit, &end);
        unit.wide += lane * unit.n * j->width;
        add_each_wide_kernels[SW_F32][sw_cpu_level()](&unit, begin, end, NULL);
    }
}

/* Computes the gradient with sums in f64 and writes all of `to`, which has at least one element. */
static sw_status gather_add_wide(sw_call *c, const index_job *job, int64_t outer) {
    wide_job w = {.job = *job, .lanes = 1};
    index_job *j = &w.job;
    const index_args *a = &j->args;
    const int64_t most = WIDE_SUMS / a->n < 1 ? 1 : WIDE_SUMS / a->n, block = most < COLUMN_BLOCK ? most : COLUMN_BLOCK;
    j->width = a->inner < block ? a->inner : block;
    j->blocks = (a->inner + j->width - 1) / j->width;
    j->units = outer * j->blocks;
    if (outer * a->m * a->inner >= SW_SERIAL)
        w.lanes = sw_threads() < j->units ? sw_threads() : j->units;
    j->args.wide = sw_call_scratch(c, (size_t)(w.lanes * a->n * j->width) * sizeof(double));
    if (!j->args.wide)
        return SW_ERR_MEMORY;
    if (sw_dry_run())
        return SW_OK;
    if (w.lanes == 1)
        gather_add_wide_lane(&w, 0);
    else
        sw_parallel(gather_add_wide_lane, &w, w.lanes);
    return SW_OK;
}

sw_status swi_gather_add(sw_call *c, const swi_gather *g, const void *base, const void *part, void *whole) {
    if (sw_dtype_is_16_bit(g->type))
        return swi_gather_add_half(c, g, base, part, whole);
    index_job j = {.args = gather_args(g, part, whole), .kernel = add_each_kernels[g->type][sw_cpu_level()]};
    const int64_t count = g->outer * g->n * g->inner;
    if (g->type == SW_F32 && g->m > OFTEN && count > 0 && !g->unique) {
        j.args.base = base;
        return gather_add_wide(c, &j, g->outer);
    }
    gather_begin_sums(g->type, count, base, whole);
    gather_run_blocks(&j, gather_add_tile, g->outer, COLUMN_BLOCK);
    return SW_OK;
}

#endif
