/* Gathering by ids, and its gradient. Gradients of equal ids are added in the order of the ids for every number of
 * threads, because each element of a gradient belongs to one tile. In f32, sums of more than OFTEN terms are computed
 * in f64: a chain of 10^7 additions would have an error of 9 %. Gradients in f16 and bf16 are in gather_half.c. */
#include <swale/kernel.h>
#include <swale/extend.h>

#include "core/ops/shared.h"

#if SW_KERNEL_FIRST
/* Arrays [outer, n, inner] and [outer, m, inner]; ids [outer, m, inner], or [m] for whole rows. */
typedef struct index_args {
    const void *from;
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

/* As gather_add, with sums in f64. */
static void SW_K(gather_add_f64)(void *args, int64_t begin, int64_t end, double *sums) {
    const index_args *s = args;
    const int64_t at = s->outer_block * s->m * s->inner + begin, width = end - begin;
    const stored *x = (const stored *)s->from + at;
    stored *y = (stored *)s->to + s->outer_block * s->n * s->inner + begin;
    double *wide = s->wide;
    const int32_t *ids = s->ids + at;
    (void)sums;
    for (int64_t i = 0; i < s->n * width; i++)
        wide[i] = 0;
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

/* ---- Ids ---- */

static sw_status gather_check_ids_type(const sw_call *c) {
    if (c->in[1]->type != SW_I32)
        return sw_fail(SW_ERR_TYPE, "%s: the ids are %s; i32 is needed", c->op->name, sw_dtype_name(c->in[1]->type));
    return SW_OK;
}

static sw_status gather_check_ids(const sw_call *c, int64_t n) {
    const int32_t *ids = c->in[1]->data;
    const int64_t count = c->in[1]->count;
    int32_t low = 0, high = -1;
    for (int64_t i = 0; i < count; i++) {
        low = ids[i] < low ? ids[i] : low;
        high = ids[i] > high ? ids[i] : high;
    }
    if (low >= 0 && high < n)
        return SW_OK;
    int64_t i = 0;
    while (ids[i] >= 0 && ids[i] < n)
        i++;
    if (n == 0)
        return sw_fail(SW_ERR_ARGUMENT,
                       "%s: id %d at position %lld, but there is no element to gather in "
                       "%s",
                       c->op->name, ids[i], (long long)i, sw_shape_text(c->in[0]->rank, c->in[0]->shape));
    return sw_fail(SW_ERR_ARGUMENT, "%s: id %d at position %lld is outside 0 to %lld", c->op->name, ids[i],
                   (long long)i, (long long)(n - 1));
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
    if (outer * a->m * a->inner == 0)
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

/* ---- gather_rows: table [rows, ...] and ids → [ids..., ...] ---- */

static sw_status gather_rows_shape(sw_call *c) {
    const sw_view *table = c->in[0], *ids = c->in[1];
    const int rank = ids->rank + table->rank - 1;
    int64_t shape[2 * SW_MAX_RANK];
    SW_TRY(gather_check_ids_type(c));
    if (table->rank == 0)
        return sw_fail(SW_ERR_SHAPE, "gather_rows: the table is a scalar; [rows, ...] is needed");
    if (rank > SW_MAX_RANK)
        return sw_fail(SW_ERR_SHAPE, "gather_rows: rows of %s by ids %s make %d axes; at most %d",
                       sw_shape_text(table->rank, table->shape), sw_shape_text(ids->rank, ids->shape), rank,
                       SW_MAX_RANK);
    for (int i = 0; i < rank; i++)
        shape[i] = i < ids->rank ? ids->shape[i] : table->shape[i - ids->rank + 1];
    return sw_call_set_shape(c, table->type, rank, shape);
}

/* The number of elements in a row. */
static int64_t gather_row_length(const sw_view *table) {
    int64_t n = 1;
    for (int axis = 1; axis < table->rank; axis++)
        n *= table->shape[axis];
    return n;
}

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

static sw_status gather_rows_forward(sw_call *c) {
    const sw_view *table = c->in[0], *ids = c->in[1];
    const int64_t length = gather_row_length(table);
    SW_TRY(gather_check_ids(c, table->shape[0]));
    if (c->out->count == 0)
        return SW_OK;
    rows_copy r = {.from = table->data,
                   .to = c->out->data,
                   .ids = ids->data,
                   .count = ids->count,
                   .per_tile = 1 + (SW_TILE - 1) / length,
                   .bytes = (size_t)length * sw_dtype_size(table->type)};
    const int64_t tiles = (r.count + r.per_tile - 1) / r.per_tile;
    if (c->out->count < SW_SERIAL)
        for (int64_t t = 0; t < tiles; t++)
            gather_rows_copy_tile(&r, t);
    else
        sw_parallel(gather_rows_copy_tile, &r, tiles);
    return SW_OK;
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
        place[j->args.ids[i]] += place[j->args.ids[i]] <= OFTEN;
    for (int64_t i = 0; i < n; i++)
        place[i] = place[i] > OFTEN ? places++ : -1;
    if (!places)
        return SW_OK;
    const size_t bytes = (size_t)places * (size_t)j->args.inner * sizeof(double);
    j->args.wide = sw_call_scratch(c, bytes);
    if (!j->args.wide)
        return SW_ERR_MEMORY;
    memset(j->args.wide, 0, bytes);
    j->args.place = place;
    j->kernel = add_rows_often_kernels[SW_F32][sw_cpu_level()];
    return SW_OK;
}

static sw_status gather_rows_vjp(sw_call *c) {
    const sw_view *table = c->in[0], *ids = c->in[1];
    if (sw_dtype_is_16_bit(table->type))
        return swi_gather_rows_vjp_half(c);
    void *d = sw_call_grad(c, 0);
    if (!d)
        return SW_ERR_MEMORY;
    index_job j = {.args = {.from = c->cotangent,
                            .to = d,
                            .ids = ids->data,
                            .n = table->shape[0],
                            .m = ids->count,
                            .inner = gather_row_length(table)},
                   .kernel = add_rows_kernels[table->type][sw_cpu_level()]};
    if (table->type == SW_F32 && j.args.m > OFTEN && j.args.inner > 0)
        SW_TRY(gather_rows_frequent_sums(c, &j));
    sw_vector_fill(table->type, table->count, 0, d);
    gather_run_blocks(&j, gather_add_tile, 1, ROW_BLOCK);
    return SW_OK;
}

static const sw_op gather_rows_op = {.size = sizeof(sw_op),
                                     .name = "gather_rows",
                                     .shape = gather_rows_shape,
                                     .forward = gather_rows_forward,
                                     .vjp = gather_rows_vjp,
                                     .vjp_reads = SW_READS(1),
                                     .takes_16_bit = true};

sw_tensor sw_gather_rows(sw_tensor table, sw_tensor ids) {
    return sw_apply(&gather_rows_op, NULL, 0, 2, (sw_tensor[]){table, ids});
}

/* ---- gather: one element for each id ---- */

typedef struct gather_attributes {
    int axis;
} gather_attributes;

static sw_status gather_shape(sw_call *c) {
    const gather_attributes *a = c->attributes;
    const sw_view *x = c->in[0], *ids = c->in[1];
    const char *x_text = sw_shape_text(x->rank, x->shape), *text = sw_shape_text(ids->rank, ids->shape);
    int axis = 0;
    SW_TRY(gather_check_ids_type(c));
    SW_TRY(sw_call_axis(c, a->axis, &axis));
    if (ids->rank != x->rank)
        return sw_fail(SW_ERR_SHAPE, "gather: x %s and ids %s; they must have the same number of axes", x_text, text);
    for (int i = 0; i < x->rank; i++)
        if (i != axis && ids->shape[i] != x->shape[i])
            return sw_fail(SW_ERR_SHAPE,
                           "gather: x %s and ids %s: axis %d is %lld and %lld; all but axis %d "
                           "must be equal",
                           x_text, text, i, (long long)x->shape[i], (long long)ids->shape[i], axis);
    return sw_call_set_shape(c, x->type, ids->rank, ids->shape);
}

/* x as [outer, n, inner], ids and result as [outer, m, inner]. */
static index_job gather_job(const sw_call *c, int64_t *outer) {
    const gather_attributes *a = c->attributes;
    const sw_view *x = c->in[0], *ids = c->in[1];
    const int axis = a->axis < 0 ? a->axis + x->rank : a->axis;
    index_job j = {.args = {.ids = ids->data, .n = x->shape[axis], .m = ids->shape[axis], .inner = 1},
                   .size = sw_dtype_size(x->type)};
    *outer = 1;
    for (int i = 0; i < axis; i++)
        *outer *= x->shape[i];
    for (int i = axis + 1; i < x->rank; i++)
        j.args.inner *= x->shape[i];
    return j;
}

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

static sw_status gather_forward(sw_call *c) {
    int64_t outer;
    index_job j = gather_job(c, &outer);
    SW_TRY(gather_check_ids(c, j.args.n));
    j.args.from = c->in[0]->data;
    j.args.to = c->out->data;
    gather_run_blocks(&j, gather_copy_tile, outer, COLUMN_BLOCK);
    return SW_OK;
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
    if (w.lanes == 1)
        gather_add_wide_lane(&w, 0);
    else
        sw_parallel(gather_add_wide_lane, &w, w.lanes);
    return SW_OK;
}

static sw_status gather_vjp(sw_call *c) {
    const sw_view *x = c->in[0];
    int64_t outer;
    index_job j = gather_job(c, &outer);
    if (sw_dtype_is_16_bit(x->type))
        return swi_gather_vjp_half(c, outer, j.args.inner);
    j.args.from = c->cotangent;
    j.args.to = sw_call_grad(c, 0);
    if (!j.args.to)
        return SW_ERR_MEMORY;
    j.kernel = add_each_kernels[x->type][sw_cpu_level()];
    if (x->type == SW_F32 && j.args.m > OFTEN && x->count > 0)
        return gather_add_wide(c, &j, outer);
    sw_vector_fill(x->type, x->count, 0, j.args.to);
    gather_run_blocks(&j, gather_add_tile, outer, COLUMN_BLOCK);
    return SW_OK;
}

static const sw_op gather_op = {.size = sizeof(sw_op),
                                .name = "gather",
                                .shape = gather_shape,
                                .forward = gather_forward,
                                .vjp = gather_vjp,
                                .vjp_reads = SW_READS(1),
                                .takes_16_bit = true};

sw_tensor sw_gather(sw_tensor x, int axis, sw_tensor ids) {
    const gather_attributes a = {.axis = axis};
    return sw_apply(&gather_op, &a, sizeof a, 2, (sw_tensor[]){x, ids});
}

#endif
