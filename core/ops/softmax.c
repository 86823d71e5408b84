/* Softmax and log softmax along an axis. x is treated as [outer, n, inner]; rows are contiguous if inner is 1. The
 * largest element is subtracted first, so that exp cannot overflow. */
#include <swale/kernel.h>
#include <swale/kernel_rows.h>
#include <swale/extend.h>

#include "core/ops/shared.h"

#if SW_KERNEL_FIRST
typedef struct softmax_args {
    const void *x;  /* forward: the input; vjp: the output */
    const void *dy; /* vjp */
    void *out;
    int64_t n, inner;
    bool logarithm;
} softmax_args;

enum { STRIP = 128 }; /* the number of columns that are processed together */
#endif

#if SW_KERNEL_PASS

static void SW_K(softmax_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    const softmax_args *s = args;
    const int64_t n = s->n;
    const real *x = s->x;
    real *out = s->out;
    (void)sums;
    for (int64_t row = begin; row < end; row++)
        SW_K(sw_k_row_shift)(x + row * n, n, out + row * n);
    for (int64_t i = begin * n; i < end * n; i++)
        out[i] = SW_K(sw_k_exp)(out[i]);
    for (int64_t row = begin; row < end; row++) {
        real *to = out + row * n, total;
        SW_ROW_SUM(total, n, to[j]);
        if (s->logarithm) {
            const real log_total = SW_K(sw_k_log)(total); /* 1 ≤ total ≤ n */
            SW_K(sw_k_row_shift)(x + row * n, n, to);
            for (int64_t j = 0; j < n; j++)
                to[j] -= log_total;
        } else {
            const real scale = 1 / total;
            for (int64_t j = 0; j < n; j++)
                to[j] *= scale;
        }
    }
}

/* dx = p (dy - Σ dy p); for the logarithm y: dx = dy - e^y Σ dy */
static void SW_K(softmax_rows_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const softmax_args *s = args;
    const int64_t n = s->n;
    const real *restrict x = s->x, *restrict dy = s->dy;
    real *restrict out = s->out;
    (void)sums;
    if (s->logarithm)
        for (int64_t i = begin * n; i < end * n; i++)
            out[i] = SW_K(sw_k_exp)(x[i]);
    for (int64_t row = begin; row < end; row++) {
        const real *y = x + row * n, *g = dy + row * n;
        real *to = out + row * n, total;
        if (s->logarithm) {
            SW_ROW_SUM(total, n, g[j]);
            for (int64_t j = 0; j < n; j++)
                to[j] = g[j] - to[j] * total;
        } else {
            SW_ROW_SUM(total, n, g[j] * y[j]);
            for (int64_t j = 0; j < n; j++)
                to[j] = y[j] * (g[j] - total);
        }
    }
}

/* Processes the strips [begin, end). A strip is STRIP columns, or the remaining ones, of one matrix [n, inner]. Sums
 * are added in f64. */
static void SW_K(softmax_columns)(void *args, int64_t begin, int64_t end, double *sums) {
    const softmax_args *s = args;
    const int64_t n = s->n, inner = s->inner, strips = (inner + STRIP - 1) / STRIP;
    (void)sums;
    for (int64_t strip = begin; strip < end; strip++) {
        const int64_t at = strip % strips * STRIP, base = strip / strips * n * inner + at,
                      width = inner - at < STRIP ? inner - at : STRIP;
        const real *restrict x = (const real *)s->x + base;
        real *restrict out = (real *)s->out + base;
        real max[STRIP];
        double total[STRIP];
        for (int64_t i = 0; i < width; i++) {
            max[i] = x[i];
            total[i] = 0;
        }
        for (int64_t j = 1; j < n; j++)
            for (int64_t i = 0; i < width; i++)
                max[i] = x[j * inner + i] > max[i] ? x[j * inner + i] : max[i];
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < width; i++) {
                const real e = SW_K(sw_k_exp)(SW_K(sw_k_below_max)(x[j * inner + i], max[i]));
                out[j * inner + i] = e;
                total[i] += (double)e;
            }
        real last[STRIP]; /* log total, or 1 / total */
        for (int64_t i = 0; i < width; i++)
            last[i] = s->logarithm ? SW_K(sw_k_log)((real)total[i]) : 1 / (real)total[i];
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < width; i++) {
                const int64_t k = j * inner + i;
                out[k] = s->logarithm ? SW_K(sw_k_below_max)(x[k], max[i]) - last[i] : out[k] * last[i];
            }
    }
}

static void SW_K(softmax_columns_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const softmax_args *s = args;
    const int64_t n = s->n, inner = s->inner, strips = (inner + STRIP - 1) / STRIP;
    const bool logarithm = s->logarithm;
    (void)sums;
    for (int64_t strip = begin; strip < end; strip++) {
        const int64_t at = strip % strips * STRIP, base = strip / strips * n * inner + at,
                      width = inner - at < STRIP ? inner - at : STRIP;
        const real *restrict y = (const real *)s->x + base, *restrict g = (const real *)s->dy + base;
        real *restrict out = (real *)s->out + base;
        double total[STRIP] = {0};
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < width; i++) {
                const int64_t k = j * inner + i;
                total[i] += logarithm ? (double)g[k] : (double)g[k] * (double)y[k];
            }
        real sum[STRIP];
        for (int64_t i = 0; i < width; i++)
            sum[i] = (real)total[i];
        for (int64_t j = 0; j < n; j++) {
            const real *from = y + j * inner, *cotangent = g + j * inner;
            real *to = out + j * inner;
            if (logarithm)
                for (int64_t i = 0; i < width; i++)
                    to[i] = cotangent[i] - SW_K(sw_k_exp)(from[i]) * sum[i];
            else
                for (int64_t i = 0; i < width; i++)
                    to[i] = from[i] * (cotangent[i] - sum[i]);
        }
    }
}

#else /* ---- once ---- */

static const sw_kernels rows_kernels = SW_KERNEL_TABLE(softmax_rows),
                        rows_vjp_kernels = SW_KERNEL_TABLE(softmax_rows_vjp),
                        columns_kernels = SW_KERNEL_TABLE(softmax_columns),
                        columns_vjp_kernels = SW_KERNEL_TABLE(softmax_columns_vjp);

typedef struct softmax_attributes {
    int axis;
    bool logarithm;
} softmax_attributes;

static sw_status softmax_shape(sw_call *c) {
    const softmax_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    int axis;
    SW_TRY(sw_call_check_float(c));
    SW_TRY(sw_call_axis(c, a->axis, &axis));
    const sw_dtype type = sw_call_result_type(c);
    return type == x->type ? sw_call_set_shape_like(c, 0) : sw_call_set_shape(c, type, x->rank, x->shape);
}

/* ---- f16 and bf16 ---- */

/* A run over the columns of matrices [n, inner]. The type of x and dy, or that of out, may be f32. */
typedef struct half_strips {
    softmax_args args;
    sw_kernel *kernel;
    sw_dtype from, to; /* the types of x and dy, and of out */
    int64_t width;     /* the columns of a strip */
} half_strips;

/* Copies a strip of columns to f32, runs the kernel on it, and rounds the results. */
static sw_status softmax_half_strip(void *args, int64_t item, sw_worker *worker) {
    const half_strips *s = args;
    const int64_t n = s->args.n, inner = s->args.inner, strips = (inner + s->width - 1) / s->width,
                  at = item % strips * s->width, base = item / strips * n * inner + at,
                  width = inner - at < s->width ? inner - at : s->width;
    const bool whole = width == inner; /* the rows follow one another: one conversion for all of them */
    const int64_t rows = whole ? 1 : n, count = whole ? n * width : width;
    float *x = worker->scratch, *out = x + n * s->width, *dy = s->args.dy ? out + n * s->width : NULL;
    const size_t from = sw_dtype_size(s->from), to = sw_dtype_size(s->to);
    for (int64_t j = 0; j < rows; j++) {
        const size_t first = (size_t)(base + j * inner);
        sw_vector_convert(s->from, count, (const char *)s->args.x + first * from, SW_F32, x + j * width);
        if (s->args.dy)
            sw_vector_convert(s->from, count, (const char *)s->args.dy + first * from, SW_F32, dy + j * width);
    }
    softmax_args strip = s->args;
    strip.x = x;
    strip.dy = dy;
    strip.out = out;
    strip.inner = width;
    s->kernel(&strip, 0, 1, NULL);
    for (int64_t j = 0; j < rows; j++)
        sw_vector_convert(SW_F32, count, out + j * width, s->to, (char *)s->args.out + (size_t)(base + j * inner) * to);
    return SW_OK;
}

/* Strips of long columns are narrower than STRIP, which limits their memory, but have at least half a cache line. */
static sw_status softmax_run_half_columns(sw_call *c, const softmax_args *args, sw_kernel *kernel, sw_dtype from,
                                          sw_dtype to, int64_t outer) {
    enum { LEAST = 16, MOST = 1 << 15 };
    const int64_t n = args->n, most = MOST / n / LEAST * LEAST,
                  width = most > STRIP ? STRIP
                          : most < 1   ? LEAST
                                       : most,
                  strips = (args->inner + width - 1) / width * outer;
    half_strips job = {.args = *args, .kernel = kernel, .from = from, .to = to, .width = width};
    const size_t worker = (args->dy ? 3 : 2) * (size_t)(n * width) * sizeof(float),
                 bytes = sw_parallel_scratch(strips, worker);
    void *scratch = sw_call_scratch(c, bytes);
    if (!scratch)
        return SW_ERR_MEMORY;
    return sw_parallel_items_with_scratch(softmax_half_strip, &job, strips, worker, scratch, bytes);
}

static sw_status softmax_run_half_rows(sw_call *c, const softmax_args *args, const sw_kernels *kernels, sw_dtype from,
                                       sw_dtype to, int64_t rows) {
    const sw_wide_array arrays[] = {sw_wide_array_of(offsetof(softmax_args, x), from, false, args->n),
                                    sw_wide_array_of(offsetof(softmax_args, dy), from, false, args->n),
                                    sw_wide_array_of(offsetof(softmax_args, out), to, true, args->n)};
    const sw_wide_rows job = {.size = sizeof job,
                              .kernels = kernels,
                              .args = args,
                              .bytes = sizeof *args,
                              .type = c->in[0]->type,
                              .array = arrays,
                              .arrays = 3,
                              .rows = rows,
                              .length = args->n};
    return swi_call_wide_rows(c, &job, NULL);
}

/* ---- Forward and vjp ---- */

/* Computes out, of type `to`, from x and dy, of type `from`. */
static sw_status softmax_run(sw_call *c, softmax_args args, sw_dtype from, sw_dtype to, const sw_kernels *rows,
                             const sw_kernels *columns) {
    const softmax_attributes *a = c->attributes;
    const sw_view *y = c->out;
    const bool half = sw_dtype_is_16_bit(c->in[0]->type);
    int axis = 0;
    if (y->count == 0 || sw_call_axis(c, a->axis, &axis) != SW_OK)
        return SW_OK;
    args.logarithm = a->logarithm;
    args.n = y->shape[axis];
    args.inner = 1;
    for (int i = axis + 1; i < y->rank; i++)
        args.inner *= y->shape[i];
    const int64_t outer = y->count / args.n / args.inner, level = sw_cpu_level();
    if (args.inner == 1) {
        if (half)
            return softmax_run_half_rows(c, &args, rows, from, to, outer);
        sw_kernel_run_rows((*rows)[y->type][level], &args, outer, args.n, NULL);
        return SW_OK;
    }
    if (half)
        return softmax_run_half_columns(c, &args, (*columns)[SW_F32][level], from, to, outer);
    const int64_t strips = (args.inner + STRIP - 1) / STRIP, width = args.inner < STRIP ? args.inner : STRIP;
    sw_kernel_run_rows((*columns)[y->type][level], &args, outer * strips, args.n * width, NULL);
    return SW_OK;
}

static sw_status softmax_forward(sw_call *c) {
    const softmax_args args = {.x = c->in[0]->data, .out = c->out->data};
    return softmax_run(c, args, c->in[0]->type, c->out->type, &rows_kernels, &columns_kernels);
}

static sw_status softmax_vjp(sw_call *c) {
    const softmax_args args = {.x = c->out->data, .dy = c->cotangent, .out = sw_call_grad(c, 0)};
    if (!args.out)
        return SW_ERR_MEMORY;
    return softmax_run(c, args, c->out->type, c->in[0]->type, &rows_vjp_kernels, &columns_vjp_kernels);
}

static const sw_op softmax_op = {.size = sizeof(sw_op),
                                 .name = "softmax",
                                 .shape = softmax_shape,
                                 .forward = softmax_forward,
                                 .vjp = softmax_vjp,
                                 .vjp_reads = SW_READS_OUT,
                                 .takes_16_bit = true};
static const sw_op log_softmax_op = {.size = sizeof(sw_op),
                                     .name = "log_softmax",
                                     .shape = softmax_shape,
                                     .forward = softmax_forward,
                                     .vjp = softmax_vjp,
                                     .vjp_reads = SW_READS_OUT,
                                     .takes_16_bit = true,
                                     .f32_result = true};

sw_tensor sw_softmax(sw_tensor x, int axis) {
    const softmax_attributes a = {.axis = axis};
    return sw_apply(&softmax_op, &a, sizeof a, 1, &x);
}

sw_tensor sw_log_softmax(sw_tensor x, int axis) {
    const softmax_attributes a = {.axis = axis, .logarithm = true};
    return sw_apply(&log_softmax_op, &a, sizeof a, 1, &x);
}

#endif
