/* Runs folds and spreads (reduce_kernels.h): the loops over blocks, folds and tiles. Elements in f16 and bf16 are
 * converted to f32 in pieces on the stack, for the kernels of f32. A piece of a fold ends where these kernels add a
 * partial sum to the sum in f64, so that the result has the bits of a fold of the whole matrix in f32. */
#include <swale/reduce_kernels.h>

#include "core/base/element.h"
#include "core/kernels/convert.h"
#include "core/kernels/dispatch.h"

#include <math.h>

enum { WIDE = SW_FOLD_WIDE, WIDTH = SW_FOLD_WIDTH, GROUP = SW_FOLD_GROUP };

static int64_t fold_at_least_one(int64_t n) {
    return n < 1 ? 1 : n;
}

static int64_t fold_at_most(int64_t n, int64_t most) {
    return n < most ? n : most;
}

static const void *fold_shifted(const void *data, int64_t elements, int64_t size) {
    return data ? (const char *)data + elements * size : NULL;
}

/* ---- Folds ---- */

enum { MOST_PARTS = 16, PARTIAL = 2048 };

typedef struct fold_walk {
    const sw_fold_axes *axes;
    const sw_fold_job *job;
    sw_kernel *kernel;
    void (*run)(const struct fold_walk *w, const sw_fold_args *args, int64_t count); /* f16, bf16: runs the kernel */
    sw_dtype result;                                                                 /* the type of the results */
    double start;                                                                    /* of a sum or a largest value */
    int64_t size, number;    /* bytes of an element of x, and of m and low */
    int64_t grain, pieces;   /* outputs of a piece; pieces of a block */
    int64_t units, per_tile; /* the pieces of all blocks; the pieces of a tile */
    int64_t parts;           /* if > 1: the number of parts into which the elements of an output are divided */
    double *partial;         /* [parts, outputs] */
} fold_walk;

/* Stores results in f16 or bf16: the bits of a result in f32 that is rounded. */
static void fold_finish_half(const fold_walk *w, int64_t first, int64_t count, const double *to) {
    const sw_fold_job *job = w->job;
    for (int64_t i = first; i < first + count; i++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): count is at least 1 */
        const float value = (float)(to[i - first] * job->factor / job->divisor),
                    before = job->add ? (float)sw_load_element(w->result, job->out, i) : 0;
        sw_store_element(w->result, job->out, i, (double)(job->add ? before + value : value));
    }
}

static void fold_finish(const fold_walk *w, int64_t first, int64_t count, const double *to) {
    const sw_fold_job *job = w->job;
    if (sw_dtype_is_16_bit(w->result)) {
        fold_finish_half(w, first, count, to);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        const double value = to[i] * job->factor / job->divisor;
        if (w->result == SW_F32) {
            float *out = (float *)job->out + first + i;
            *out = job->add ? *out + (float)value : (float)value;
            if (job->rest)
                ((float *)job->rest)[first + i] = (float)(value - (double)*out);
        } else {
            double *out = (double *)job->out + first + i;
            *out = job->add ? *out + value : value;
            if (job->rest)
                ((double *)job->rest)[first + i] = 0;
        }
    }
}

/* The rows of one matrix in f16 or bf16: several rows at a time, or a long row in pieces of SW_TILE elements. A rest
 * shorter than WIDE belongs to the last piece, because the kernel adds rows shorter than WIDE in another order. */
static void fold_half_rows(const fold_walk *w, const sw_fold_args *whole, int64_t count) {
    enum { MOST = SW_TILE + WIDE };
    float x[MOST];
    const uint16_t *from = whole->x;
    const sw_dtype type = w->job->type;
    const int64_t n = whole->length, rows = n < MOST ? MOST / n : 1;
    sw_fold_args s = *whole;
    s.x = x;
    for (int64_t row = 0; row < count; row += rows) {
        const int64_t some = fold_at_most(count - row, rows);
        s.m = fold_shifted(whole->m, row, sizeof(float));
        s.low = fold_shifted(whole->low, row, sizeof(float));
        s.to = whole->to + row;
        for (int64_t first = 0; first < n; first += s.length) {
            s.length = s.stride = n - first < MOST ? n - first : SW_TILE;
            swi_convert_rows_from_half(type, some, s.length, from + row * whole->stride + first, whole->stride, x);
            w->kernel(&s, 0, some, NULL);
        }
    }
}

/* The columns of one matrix in f16 or bf16: up to 128 at a time, and of these a multiple of GROUP rows. */
static void fold_half_columns(const fold_walk *w, const sw_fold_args *whole, int64_t count) {
    enum { MOST_COLUMNS = 128, MOST = MOST_COLUMNS * GROUP };
    float x[MOST];
    const uint16_t *from = whole->x;
    const sw_dtype type = w->job->type;
    sw_fold_args s = *whole;
    s.x = x;
    for (int64_t column = 0; column < count; column += MOST_COLUMNS) {
        const int64_t columns = fold_at_most(count - column, MOST_COLUMNS), rows = MOST_COLUMNS / columns * GROUP;
        s.m = fold_shifted(whole->m, column, sizeof(float));
        s.low = fold_shifted(whole->low, column, sizeof(float));
        s.to = whole->to + column;
        s.length = s.stride = columns;
        for (int64_t row = 0; row < whole->rows; row += rows) {
            s.rows = fold_at_most(whole->rows - row, rows);
            swi_convert_rows_from_half(type, s.rows, columns, from + row * whole->stride + column, whole->stride, x);
            w->kernel(&s, 0, columns, NULL);
        }
    }
}

/* Folds one part of the elements of one piece of a block. The folds are divided into parts if there are many of them,
 * else each matrix. */
static void fold_piece(const fold_walk *w, int64_t unit, int64_t part) {
    const sw_fold_axes *a = w->axes;
    const sw_fold_job *job = w->job;
    const int64_t block = unit / w->pieces, begin = unit % w->pieces * w->grain,
                  folds = a->across ? a->length : a->rows, inner = a->across ? a->rows : a->length,
                  count = folds - begin < w->grain ? folds - begin : w->grain, first = block * folds + begin;
    const bool by_folds = a->folds >= MOST_PARTS;
    const int64_t f0 = by_folds ? a->folds * part / w->parts : 0,
                  f1 = by_folds ? a->folds * (part + 1) / w->parts : a->folds,
                  i0 = by_folds ? 0 : inner * part / w->parts, i1 = by_folds ? inner : inner * (part + 1) / w->parts;
    double sums[WIDTH], *to = w->parts > 1 ? w->partial + part * a->outputs + first : sums;
    for (int64_t i = 0; i < count; i++)
        to[i] = w->start;
    int64_t base = sw_fold_offset(block, a->kept, a->kept_length, a->kept_stride) +
                   (a->across ? begin + i0 * a->length : begin * a->length + i0);
    sw_fold_args args = {.m = fold_shifted(job->m, first, w->number),
                         .low = fold_shifted(job->low, first, w->number),
                         .to = to,
                         .p = job->p,
                         .rows = a->across ? i1 - i0 : a->rows,
                         .length = a->across ? a->length : i1 - i0,
                         .stride = a->length};
    for (int64_t f = f0; f < f1; f++) {
        int64_t at = base + sw_fold_offset(f, a->folded, a->folded_length, a->folded_stride);
        args.x = fold_shifted(job->x, at, w->size);
        if (w->run)
            w->run(w, &args, count);
        else
            w->kernel(&args, 0, count, NULL);
    }
    if (w->parts <= 1)
        fold_finish(w, first, count, to);
}

static void fold_tile(void *args, int64_t tile) {
    const fold_walk *w = args;
    if (w->parts > 1) {
        fold_piece(w, tile / w->parts, tile % w->parts);
        return;
    }
    int64_t end = (tile + 1) * w->per_tile;
    for (int64_t unit = tile * w->per_tile; unit < end && unit < w->units; unit++)
        fold_piece(w, unit, 0);
}

/* The elements of few outputs with many elements are divided into parts, whose number depends only on the shape. */
static int64_t fold_parts(const sw_fold_axes *a, int64_t units) {
    const int64_t work = a->outputs * a->count, inner = a->across ? a->rows : a->length;
    if (work < 2 * SW_SERIAL || units >= MOST_PARTS / 2)
        return 1;
    int64_t parts = a->folds >= MOST_PARTS ? a->folds : inner / (a->across ? GROUP : SW_TILE / 4);
    parts = parts > MOST_PARTS ? MOST_PARTS : parts;
    parts = parts > PARTIAL / a->outputs ? PARTIAL / a->outputs : parts;
    return fold_at_least_one(parts > work / SW_SERIAL * 4 ? work / SW_SERIAL * 4 : parts);
}

/* Runs a fold whose results have the type `result`. */
static void fold_run(const sw_fold *fold, const sw_fold_axes *a, const sw_fold_job *job, sw_dtype result) {
    double partial[PARTIAL];
    if (swi_dry_run())
        return;
    const int64_t folds = a->across ? a->length : a->rows, work = a->outputs * a->count;
    const sw_dtype compute = sw_dtype_compute(job->type);
    fold_walk w = {.axes = a,
                   .job = job,
                   .result = result,
                   .size = (int64_t)swi_size(job->type),
                   .number = (int64_t)swi_size(compute),
                   .partial = partial,
                   .kernel = (a->across ? fold->columns : fold->rows)[compute][swi_cpu_level()],
                   .start = fold->largest ? -(double)INFINITY : 0};
    if (work == 0) {
        for (int64_t i = 0; i < a->outputs; i++)
            fold_finish(&w, i, 1, &w.start);
        return;
    }
    if (compute != job->type)
        w.run = a->across ? fold_half_columns : fold_half_rows;
    w.grain = a->across ? WIDTH : fold_at_least_one(SW_TILE / a->count);
    w.grain = w.grain > WIDTH ? WIDTH : w.grain;
    w.pieces = (folds + w.grain - 1) / w.grain;
    w.units = a->blocks * w.pieces;
    w.parts = fold_parts(a, w.units);
    w.per_tile = w.parts > 1 ? 1 : fold_at_least_one(SW_TILE * w.units / work);
    int64_t tiles = w.parts > 1 ? w.units * w.parts : (w.units + w.per_tile - 1) / w.per_tile;
    if (work < SW_SERIAL)
        for (int64_t t = 0; t < tiles; t++)
            fold_tile(&w, t);
    else
        sw_parallel(fold_tile, &w, tiles);
    if (w.parts <= 1)
        return;
    for (int64_t part = 1; part < w.parts; part++)
        for (int64_t i = 0; i < a->outputs; i++) {
            /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): written by the tiles */
            const double total = partial[i], more = partial[part * a->outputs + i];
            partial[i] = !fold->largest ? total + more : more > total || isnan(more) ? more : total;
        }
    fold_finish(&w, 0, a->outputs, partial);
}

void sw_fold_run(const sw_fold *fold, const sw_fold_axes *axes, const sw_fold_job *job) {
    fold_run(fold, axes, job, sw_dtype_compute(job->type));
}

void sw_sum_to_shape(sw_dtype type, int src_rank, const int64_t *src_shape, const void *src, int dst_rank,
                     const int64_t *dst_shape, void *dst, double a, bool store) {
    sw_fold_axes axes = sw_fold_axes_of(src_rank, src_shape, dst_rank, dst_shape);
    sw_fold_job job = {.type = type, .x = src, .out = dst, .factor = a, .divisor = 1, .add = !store};
    fold_run(&sw_fold_sum, &axes, &job, type);
}

/* ---- Spreads ---- */

typedef struct spread_walk {
    const sw_fold_axes *axes;
    const sw_spread_args *args;
    sw_kernel *kernel;
    sw_dtype type;
    int64_t size, number;               /* bytes of an element, and of y, low and h */
    int64_t rows, columns, down, along; /* a matrix consists of down × along pieces [rows, columns] */
    int64_t units, per_tile;
} spread_walk;

/* A piece of a matrix in f16 or bf16, in smaller pieces that stay in the nearest cache. */
static void spread_half_piece(const spread_walk *w, const sw_spread_args *whole, int64_t count) {
    enum { MOST = 1024 };
    float x[MOST], out[MOST];
    const int64_t columns = whole->length < MOST ? whole->length : MOST, rows = MOST / columns, stride = whole->stride;
    const uint16_t *from = whole->x;
    uint16_t *to = whole->out;
    sw_spread_args s = *whole;
    s.x = from ? x : NULL;
    s.out = out;
    for (int64_t row = 0; row < count; row += rows) {
        const int64_t some = count - row < rows ? count - row : rows;
        for (int64_t column = 0; column < whole->length; column += columns) {
            const int64_t at = row * stride + column, output = w->axes->across ? column : row;
            s.length = s.stride = whole->length - column < columns ? whole->length - column : columns;
            s.y = fold_shifted(whole->y, output, sizeof(float));
            s.low = fold_shifted(whole->low, output, sizeof(float));
            s.h = fold_shifted(whole->h, output, sizeof(float));
            if (from)
                swi_convert_rows_from_half(w->type, some, s.length, from + at, stride, x);
            w->kernel(&s, 0, some, NULL);
            swi_convert_rows_to_half(w->type, some, s.length, out, to + at, stride);
        }
    }
}

static void spread_piece(const spread_walk *w, int64_t unit) {
    const sw_fold_axes *a = w->axes;
    const int64_t column = unit % w->along * w->columns, row = unit / w->along % w->down * w->rows,
                  matrix = unit / w->along / w->down, block = matrix / a->folds,
                  rows = a->rows - row < w->rows ? a->rows - row : w->rows,
                  at = sw_fold_offset(block, a->kept, a->kept_length, a->kept_stride) +
                       sw_fold_offset(matrix % a->folds, a->folded, a->folded_length, a->folded_stride) +
                       row * a->length + column,
                  output = a->across ? block * a->length + column : block * a->rows + row;
    sw_spread_args args = *w->args;
    args.x = fold_shifted(args.x, at, w->size);
    args.out = (char *)args.out + at * w->size;
    args.y = fold_shifted(args.y, output, w->number);
    args.low = fold_shifted(args.low, output, w->number);
    args.h = fold_shifted(args.h, output, w->number);
    args.length = a->length - column < w->columns ? a->length - column : w->columns;
    args.stride = a->length;
    if (w->number != w->size)
        spread_half_piece(w, &args, rows);
    else
        w->kernel(&args, 0, rows, NULL);
}

static void spread_tile(void *args, int64_t tile) {
    const spread_walk *w = args;
    int64_t end = (tile + 1) * w->per_tile;
    for (int64_t unit = tile * w->per_tile; unit < end && unit < w->units; unit++)
        spread_piece(w, unit);
}

void sw_spread_run(const sw_spread *spread, const sw_fold_axes *a, sw_dtype type, const sw_spread_args *args) {
    const int64_t work = a->outputs * a->count;
    if (work == 0)
        return;
    const sw_dtype compute = sw_dtype_compute(type);
    spread_walk w = {.axes = a,
                     .args = args,
                     .type = type,
                     .size = (int64_t)swi_size(type),
                     .number = (int64_t)swi_size(compute),
                     .kernel = (a->across ? spread->columns : spread->rows)[compute][swi_cpu_level()]};
    w.columns = a->length < 2 * SW_TILE ? a->length : SW_TILE;
    w.rows = fold_at_least_one(SW_TILE / w.columns);
    w.down = (a->rows + w.rows - 1) / w.rows;
    w.along = (a->length + w.columns - 1) / w.columns;
    w.units = a->blocks * a->folds * w.down * w.along;
    w.per_tile = fold_at_least_one(SW_TILE * w.units / work);
    int64_t tiles = (w.units + w.per_tile - 1) / w.per_tile;
    if (work < SW_SERIAL)
        for (int64_t t = 0; t < tiles; t++)
            spread_tile(&w, t);
    else
        sw_parallel(spread_tile, &w, tiles);
}
