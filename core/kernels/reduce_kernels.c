/* The kernels of reductions and of their gradients (reduce_kernels.h), and the loops over blocks, folds and tiles. */
#include <swale/kernel.h>
#include <swale/reduce_kernels.h>

#include "core/base/element.h"
#include "core/kernels/dispatch.h"

#if SW_KERNEL_FIRST
enum { WIDE = SW_FOLD_WIDE, WIDTH = SW_FOLD_WIDTH, GROUP = SW_FOLD_GROUP };
_Static_assert(WIDE % SW_LANES == 0 && WIDTH % SW_LANES == 0, "whole blocks of lanes");
#define SUM(a, b) ((a) + (b))
#define LARGEST(a, b) ((((b) > (a)) | ((b) != (b))) ? (b) : (a)) /* NaN if a or b is NaN */
#endif

#if SW_KERNEL_PASS

/* Joins the lanes in f64. Not inlined, because it would be a large part of the code of every kernel. */
#define TOTAL(JOIN, lanes) TOTAL_OF(JOIN, lanes)
#define TOTAL_OF(JOIN, lanes)                                                                    \
    static __attribute__((noinline)) double SW_K(JOIN##_##lanes)(double total, const lanes *x) { \
        for (int i = 0; i < SW_LANES; i++)                                                       \
            total = JOIN(total, (double)x[i]);                                                   \
        return total;                                                                            \
    }
TOTAL(SUM, real)
TOTAL(LARGEST, real)
#if SW_KERNEL_F32
TOTAL(SUM, double)
#endif

/* Defines the kernels NAME_rows and NAME_columns from an expression in v, m, low and p, whose values are joined by SUM
 * or LARGEST in the type `lanes`. The order depends only on [rows, length]. quick: see FOLD_COLUMNS. */
#define FOLD(name, JOIN, start, lanes, quick, expression)                     \
    static inline lanes SW_K(name##_of)(real v, real m, real low, double p) { \
        (void)m, (void)low, (void)p;                                          \
        return (lanes)(expression);                                           \
    }                                                                         \
    FOLD_SHORT(name, JOIN, start, lanes)                                      \
    FOLD_ROWS(name, JOIN, start, lanes)                                       \
    FOLD_COLUMNS(name, JOIN, start, lanes, quick)

/* Folds short rows, each in order, in a lane for each of SW_LANES rows. Returns the first row that is left. */
#define FOLD_SHORT(name, JOIN, start, lanes)                                                                           \
    static int64_t SW_K(name##_short)(const sw_fold_args *s, int64_t begin, int64_t end) {                             \
        const stored *x = s->x, *m = s->m ? s->m : s->x, *low = s->low ? s->low : s->x;                                \
        const double p = s->p;                                                                                         \
        const int64_t n = s->length, stride = s->stride;                                                               \
        int64_t row = begin;                                                                                           \
        for (; row + SW_LANES <= end; row += SW_LANES) {                                                               \
            lanes lane[SW_LANES];                                                                                      \
            const stored *from = x + row * stride;                                                                     \
            for (int i = 0; i < SW_LANES; i++)                                                                         \
                lane[i] = start;                                                                                       \
            for (int64_t j = 0; j < n; j++)                                                                            \
                for (int i = 0; i < SW_LANES; i++) {                                                                   \
                    const lanes f =                                                                                    \
                        SW_K(name##_of)(SW_LOAD(from, i * stride + j), SW_LOAD(m, row + i), SW_LOAD(low, row + i), p); \
                    lane[i] = JOIN(lane[i], f);                                                                        \
                }                                                                                                      \
            for (int i = 0; i < SW_LANES; i++)                                                                         \
                s->to[row + i] = JOIN(s->to[row + i], (double)lane[i]);                                                \
        }                                                                                                              \
        return row;                                                                                                    \
    }

#define FOLD_ROWS(name, JOIN, start, lanes)                                               \
    static void SW_K(name##_rows)(void *args, int64_t begin, int64_t end, double *sums) { \
        const sw_fold_args *s = args;                                                     \
        const stored *m = s->m ? s->m : s->x, *low = s->low ? s->low : s->x;              \
        const double p = s->p;                                                            \
        const int64_t n = s->length;                                                      \
        (void)sums;                                                                       \
        if (n < WIDE)                                                                     \
            begin = SW_K(name##_short)(s, begin, end);                                    \
        for (int64_t row = begin; row < end; row++) {                                     \
            const stored *x = (const stored *)s->x + row * s->stride;                     \
            const real a = SW_LOAD(m, row), b = SW_LOAD(low, row);                        \
            double total = s->to[row];                                                    \
            lanes lane[SW_LANES];                                                         \
            if (n < WIDE) {                                                               \
                lane[0] = start;                                                          \
                for (int64_t j = 0; j < n; j++) {                                         \
                    const lanes f = SW_K(name##_of)(SW_LOAD(x, j), a, b, p);              \
                    lane[0] = JOIN(lane[0], f);                                           \
                }                                                                         \
                total = JOIN(total, (double)lane[0]);                                     \
            }                                                                             \
            for (int64_t first = 0; n >= WIDE && first < n; first += SW_TILE) {           \
                const int64_t last = n - first < SW_TILE ? n : first + SW_TILE;           \
                int64_t j = first;                                                        \
                for (int i = 0; i < SW_LANES; i++)                                        \
                    lane[i] = start;                                                      \
                for (; j + SW_LANES <= last; j += SW_LANES)                               \
                    for (int i = 0; i < SW_LANES; i++) {                                  \
                        const lanes f = SW_K(name##_of)(SW_LOAD(x, j + i), a, b, p);      \
                        lane[i] = JOIN(lane[i], f);                                       \
                    }                                                                     \
                for (int i = 0; j < last; i++, j++) {                                     \
                    const lanes f = SW_K(name##_of)(SW_LOAD(x, j), a, b, p);              \
                    lane[i] = JOIN(lane[i], f);                                           \
                }                                                                         \
                total = SW_K(JOIN##_##lanes)(total, lane);                                \
            }                                                                             \
            s->to[row] = total;                                                           \
        }                                                                                 \
    }

/* For a cheap expression (`quick`) four rows at a time: partial results are read and written a quarter as often. */
#define FOLD_COLUMNS(name, JOIN, start, lanes, quick)                                                     \
    static void SW_K(name##_columns)(void *args, int64_t begin, int64_t end, double *sums) {              \
        const sw_fold_args *s = args;                                                                     \
        const stored *m = s->m ? s->m : s->x, *low = s->low ? s->low : s->x;                              \
        const double p = s->p;                                                                            \
        lanes group[WIDTH];                                                                               \
        (void)sums;                                                                                       \
        for (int64_t first = begin; first < end; first += WIDTH) {                                        \
            const int64_t n = end - first < WIDTH ? end - first : WIDTH;                                  \
            const stored *a = m + first, *b = low + first;                                                \
            double *to = s->to + first;                                                                   \
            for (int64_t r = 0; r < s->rows;) {                                                           \
                const int64_t last = s->rows - r < GROUP ? s->rows : r + GROUP;                           \
                for (int64_t i = 0; i < n; i++)                                                           \
                    group[i] = start;                                                                     \
                for (; quick && r + 4 <= last; r += 4) {                                                  \
                    const stored *x = (const stored *)s->x + r * s->stride + first;                       \
                    const stored *y = x + s->stride, *z = y + s->stride, *w = z + s->stride;              \
                    for (int64_t i = 0; i < n; i++) {                                                     \
                        const lanes f0 = SW_K(name##_of)(SW_LOAD(x, i), SW_LOAD(a, i), SW_LOAD(b, i), p), \
                                    f1 = SW_K(name##_of)(SW_LOAD(y, i), SW_LOAD(a, i), SW_LOAD(b, i), p), \
                                    f2 = SW_K(name##_of)(SW_LOAD(z, i), SW_LOAD(a, i), SW_LOAD(b, i), p), \
                                    f3 = SW_K(name##_of)(SW_LOAD(w, i), SW_LOAD(a, i), SW_LOAD(b, i), p); \
                        const lanes f01 = JOIN(f0, f1), f23 = JOIN(f2, f3), f = JOIN(f01, f23);           \
                        group[i] = JOIN(group[i], f);                                                     \
                    }                                                                                     \
                }                                                                                         \
                for (; r < last; r++) {                                                                   \
                    const stored *x = (const stored *)s->x + r * s->stride + first;                       \
                    for (int64_t i = 0; i < n; i++) {                                                     \
                        const lanes f = SW_K(name##_of)(SW_LOAD(x, i), SW_LOAD(a, i), SW_LOAD(b, i), p);  \
                        group[i] = JOIN(group[i], f);                                                     \
                    }                                                                                     \
                }                                                                                         \
                for (int64_t i = 0; i < n; i++)                                                           \
                    to[i] = JOIN(to[i], (double)group[i]);                                                \
            }                                                                                             \
        }                                                                                                 \
    }

#define LEAST (-(real)INFINITY)
/* Whether v and m are equal or both NaN. */
static inline bool SW_K(fold_same)(real v, real m) {
    return (v == m) | ((v != v) & (m != m));
}
FOLD(sum, SUM, 0, real, true, v)
FOLD(wide_sum, SUM, 0, double, true, v)
FOLD(abs_sum, SUM, 0, real, false, v < 0 ? -v : v)
FOLD(square_deviation_sum, SUM, 0, real, false, ((v - m) - low) * ((v - m) - low))
FOLD(square_sum, SUM, 0, real, false, (v / m) * (v / m))
FOLD(exp_sum, SUM, 0, real, false, v == (real)INFINITY ? 1 : SW_K(sw_k_exp)(v - m))
FOLD(equal_sum, SUM, 0, real, false, SW_K(fold_same)(v *(real)p < 0 ? -v : v, m) ? 1 : 0)
FOLD(largest, LARGEST, LEAST, real, false, v *(real)p)
FOLD(largest_abs, LARGEST, LEAST, real, false, v < 0 ? -v : v)

/* Defines the kernels NAME_rows and NAME_columns from an expression in v, y, low, h and p. For short contiguous rows
 * the numbers of the outputs are repeated for each element, so that one long loop processes several rows. */
#define SPREAD(name, expression)                                                                                    \
    static inline real SW_K(name##_of)(real v, real y, real low, real h, double p) {                                \
        (void)v, (void)y, (void)low, (void)h, (void)p;                                                              \
        return expression;                                                                                          \
    }                                                                                                               \
    static void SW_K(name##_short)(const sw_spread_args *s, int64_t begin, int64_t end) {                           \
        const stored *x = s->x ? s->x : s->out, *y = s->y ? s->y : s->h, *low = s->low ? s->low : s->h;             \
        const stored *h = s->h;                                                                                     \
        const double p = s->p;                                                                                      \
        stored *out = s->out;                                                                                       \
        real each_y[WIDTH], each_low[WIDTH], each_h[WIDTH];                                                         \
        const int64_t n = s->length, most = WIDTH / n;                                                              \
        for (int64_t row = begin; row < end; row += most) {                                                         \
            const int64_t rows = end - row < most ? end - row : most;                                               \
            for (int64_t r = 0; r < rows; r++)                                                                      \
                for (int64_t j = 0; j < n; j++) {                                                                   \
                    each_y[r * n + j] = SW_LOAD(y, row + r);                                                        \
                    each_low[r * n + j] = SW_LOAD(low, row + r);                                                    \
                    each_h[r * n + j] = SW_LOAD(h, row + r);                                                        \
                }                                                                                                   \
            SW_INDEPENDENT                                                                                          \
            for (int64_t i = 0; i < rows * n; i++)                                                                  \
                SW_STORE(out, row *n + i,                                                                           \
                         SW_K(name##_of)(SW_LOAD(x, row * n + i), each_y[i], each_low[i], each_h[i], p));           \
        }                                                                                                           \
    }                                                                                                               \
    static void SW_K(name##_rows)(void *args, int64_t begin, int64_t end, double *sums) {                           \
        const sw_spread_args *s = args;                                                                             \
        const stored *y = s->y ? s->y : s->h, *low = s->low ? s->low : s->h, *h = s->h;                             \
        const double p = s->p;                                                                                      \
        (void)sums;                                                                                                 \
        if (s->length < WIDE && s->length == s->stride) {                                                           \
            SW_K(name##_short)(s, begin, end);                                                                      \
            return;                                                                                                 \
        }                                                                                                           \
        for (int64_t row = begin; row < end; row++) {                                                               \
            const stored *x = (const stored *)(s->x ? s->x : s->out) + row * s->stride;                             \
            stored *out = (stored *)s->out + row * s->stride;                                                       \
            const real a = SW_LOAD(y, row), b = SW_LOAD(low, row), g = SW_LOAD(h, row);                             \
            SW_INDEPENDENT                                                                                          \
            for (int64_t i = 0; i < s->length; i++)                                                                 \
                SW_STORE(out, i, SW_K(name##_of)(SW_LOAD(x, i), a, b, g, p));                                       \
        }                                                                                                           \
    }                                                                                                               \
    static void SW_K(name##_columns)(void *args, int64_t begin, int64_t end, double *sums) {                        \
        const sw_spread_args *s = args;                                                                             \
        const stored *y = s->y ? s->y : s->h, *low = s->low ? s->low : s->h, *h = s->h;                             \
        const double p = s->p;                                                                                      \
        (void)sums;                                                                                                 \
        for (int64_t row = begin; row < end; row++) {                                                               \
            const stored *x = (const stored *)(s->x ? s->x : s->out) + row * s->stride;                             \
            stored *out = (stored *)s->out + row * s->stride;                                                       \
            SW_INDEPENDENT                                                                                          \
            for (int64_t i = 0; i < s->length; i++)                                                                 \
                SW_STORE(out, i, SW_K(name##_of)(SW_LOAD(x, i), SW_LOAD(y, i), SW_LOAD(low, i), SW_LOAD(h, i), p)); \
        }                                                                                                           \
    }

static inline real SW_K(spread_with_sign)(real v, real h) {
    return v > 0 ? h : v < 0 ? -h : v; /* NaN for NaN */
}
SPREAD(copies, h)
SPREAD(signs, SW_K(spread_with_sign)(v, h))
SPREAD(deviations, ((v - y) - low) * h)
SPREAD(chosen, v == y ? h : y == y ? 0 : y)
SPREAD(abs_chosen, SW_R(fabs)(v) == y ? SW_K(spread_with_sign)(v, h) : y == y ? 0 : y)
SPREAD(directions, y == 0 ? 0 : SW_R(fabs)(v) == y ? SW_K(spread_with_sign)(v, h) : (v / y) * h)
SPREAD(exponentials, v == (real)INFINITY ? h : SW_K(sw_k_exp)(v - y) * h)

#else /* ---- once ---- */

#define FOLD_TABLE(name, is_largest) \
    const sw_fold sw_fold_##name = {SW_KERNEL_TABLE(name##_rows), SW_KERNEL_TABLE(name##_columns), is_largest};
FOLD_TABLE(sum, false)
FOLD_TABLE(wide_sum, false)
FOLD_TABLE(abs_sum, false)
FOLD_TABLE(square_deviation_sum, false)
FOLD_TABLE(square_sum, false)
FOLD_TABLE(exp_sum, false)
FOLD_TABLE(equal_sum, false)
FOLD_TABLE(largest, true)
FOLD_TABLE(largest_abs, true)

#define SPREAD_TABLE(name) \
    const sw_spread sw_spread_##name = {SW_KERNEL_TABLE(name##_rows), SW_KERNEL_TABLE(name##_columns)};
SPREAD_TABLE(copies)
SPREAD_TABLE(signs)
SPREAD_TABLE(deviations)
SPREAD_TABLE(chosen)
SPREAD_TABLE(abs_chosen)
SPREAD_TABLE(directions)
SPREAD_TABLE(exponentials)

/* The offset in x of the block or fold with this index. */
static int64_t fold_offset(int64_t index, int axes, const int64_t *length, const int64_t *stride) {
    int64_t at = 0;
    for (int i = 0; i < axes; i++) {
        at += index % length[i] * stride[i];
        index /= length[i];
    }
    return at;
}

static int64_t fold_at_least_one(int64_t n) {
    return n < 1 ? 1 : n;
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
    double start;
    int64_t size, grain, pieces; /* bytes of an element; outputs of a piece; pieces of a block */
    int64_t units, per_tile;     /* the pieces of all blocks; the pieces of a tile */
    int64_t parts;               /* if > 1: the number of parts into which the elements of an output are divided */
    double *partial;             /* [parts, outputs] */
} fold_walk;

/* Stores results of a fold in f16 or bf16, rounded once from f64. */
static void fold_finish_half(const sw_fold_job *job, int64_t first, int64_t count, const double *to) {
    for (int64_t i = 0; i < count; i++) {
        const double value = to[i] * job->factor / job->divisor;
        const double before = job->add ? sw_load_element(job->type, job->out, first + i) : 0;
        sw_store_element(job->type, job->out, first + i, before + value);
        if (job->rest)
            sw_store_element(job->type, job->rest, first + i, value - sw_load_element(job->type, job->out, first + i));
    }
}

static void fold_finish(const sw_fold_job *job, int64_t first, int64_t count, const double *to) {
    if (!sw_dtype_is_computed(job->type)) {
        fold_finish_half(job, first, count, to);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        const double value = to[i] * job->factor / job->divisor;
        if (job->type == SW_F32) {
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
    int64_t base = fold_offset(block, a->kept, a->kept_length, a->kept_stride) +
                   (a->across ? begin + i0 * a->length : begin * a->length + i0);
    sw_fold_args args = {.m = fold_shifted(job->m, first, w->size),
                         .low = fold_shifted(job->low, first, w->size),
                         .to = to,
                         .p = job->p,
                         .rows = a->across ? i1 - i0 : a->rows,
                         .length = a->across ? a->length : i1 - i0,
                         .stride = a->length};
    for (int64_t f = f0; f < f1; f++) {
        int64_t at = base + fold_offset(f, a->folded, a->folded_length, a->folded_stride);
        args.x = fold_shifted(job->x, at, w->size);
        w->kernel(&args, 0, count, NULL);
    }
    if (w->parts <= 1)
        fold_finish(job, first, count, to);
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

void sw_fold_run(const sw_fold *fold, const sw_fold_axes *a, const sw_fold_job *job) {
    double partial[PARTIAL];
    const int64_t folds = a->across ? a->length : a->rows, work = a->outputs * a->count;
    fold_walk w = {.axes = a,
                   .job = job,
                   .size = (int64_t)swi_size(job->type),
                   .partial = partial,
                   .kernel = (a->across ? fold->columns : fold->rows)[job->type][swi_cpu_level()],
                   .start = fold->largest ? -(double)INFINITY : 0};
    if (work == 0) {
        for (int64_t i = 0; i < a->outputs; i++)
            fold_finish(job, i, 1, &w.start);
        return;
    }
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
            const double more = partial[part * a->outputs + i];
            partial[i] = fold->largest ? LARGEST(partial[i], more) : SUM(partial[i], more);
        }
    fold_finish(job, 0, a->outputs, partial);
}

void sw_sum_to_shape(sw_dtype type, int src_rank, const int64_t *src_shape, const void *src, int dst_rank,
                     const int64_t *dst_shape, void *dst, double a, bool store) {
    sw_fold_axes axes = sw_fold_axes_of(src_rank, src_shape, dst_rank, dst_shape);
    sw_fold_job job = {.type = type, .x = src, .out = dst, .factor = a, .divisor = 1, .add = !store};
    sw_fold_run(&sw_fold_sum, &axes, &job);
}

/* ---- Spreads ---- */

typedef struct spread_walk {
    const sw_fold_axes *axes;
    const sw_spread_args *args;
    sw_kernel *kernel;
    int64_t size, rows, columns, down, along; /* a matrix consists of down × along pieces [rows, columns] */
    int64_t units, per_tile;
} spread_walk;

static void spread_piece(const spread_walk *w, int64_t unit) {
    const sw_fold_axes *a = w->axes;
    const int64_t column = unit % w->along * w->columns, row = unit / w->along % w->down * w->rows,
                  matrix = unit / w->along / w->down, block = matrix / a->folds,
                  rows = a->rows - row < w->rows ? a->rows - row : w->rows,
                  at = fold_offset(block, a->kept, a->kept_length, a->kept_stride) +
                       fold_offset(matrix % a->folds, a->folded, a->folded_length, a->folded_stride) + row * a->length +
                       column,
                  output = a->across ? block * a->length + column : block * a->rows + row;
    sw_spread_args args = *w->args;
    args.x = fold_shifted(args.x, at, w->size);
    args.out = (char *)args.out + at * w->size;
    args.y = fold_shifted(args.y, output, w->size);
    args.low = fold_shifted(args.low, output, w->size);
    args.h = fold_shifted(args.h, output, w->size);
    args.length = a->length - column < w->columns ? a->length - column : w->columns;
    args.stride = a->length;
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
    spread_walk w = {.axes = a,
                     .args = args,
                     .size = (int64_t)swi_size(type),
                     .kernel = (a->across ? spread->columns : spread->rows)[type][swi_cpu_level()]};
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

#endif
