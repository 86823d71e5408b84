/* Layer and RMS normalization: x is [rows, n], and each row is normalized.
 *
 * As in channel_norm.c, the deviations are taken from a shift s, about the mean, and the error of the shift is
 * corrected: m = s + Σ(x - s)/n, and Σ (x - m)² = Σ (x - s)² - (Σ(x - s))²/n. RMS normalization has s = m = 0. */
#include <swale/kernel.h>
#include <swale/extend.h>
#include <swale/normalization.h>

#include "core/ops/norm_inputs.h"

#if SW_KERNEL_FIRST
enum { BLOCK = 2 * SW_TILE, MOST_ROWS = 64, LEAST_ROWS = 8 };
/* Rows that are processed together, step by step, so that the sums, divisions and roots of short rows do not wait for
 * one another: at most TOGETHER, with about FEW elements, which stay in the cache. */
enum { TOGETHER = 16, FEW = 4096 };

typedef struct layer_args {
    const void *x, *dy, *weight, *bias;
    void *out;               /* y or dx */
    void *moments;           /* [rows, 3]: s, scale and shift with x̂ = (x - s) scale + shift */
    void *d_weight, *d_bias; /* [blocks, n]: the sums of a block of rows */
    int64_t rows, n, per_block;
    double eps;
    bool centered;
} layer_args;

/* Σ one and Σ two for j in [0, n), in expressions that contain j, in SW_LANES lanes, which are added in f64 after
 * SW_TILE elements. The lanes are added in halves, which compile to vector instructions. */
#define ROW_SUMS(n, first, one, second, two)                              \
    do {                                                                  \
        first = 0, second = 0;                                            \
        for (int64_t at_ = 0; at_ < (n);) {                               \
            const int64_t end_ = (n)-at_ < SW_TILE ? (n) : at_ + SW_TILE; \
            real a_[SW_LANES] = {0}, b_[SW_LANES] = {0};                  \
            for (; at_ + SW_LANES <= end_; at_ += SW_LANES) {             \
                SW_OVER_LANES                                             \
                for (int64_t i_ = 0; i_ < SW_LANES; i_++) {               \
                    const int64_t j = at_ + i_;                           \
                    a_[i_] += one;                                        \
                    b_[i_] += two;                                        \
                }                                                         \
            }                                                             \
            for (int64_t j = at_; j < end_; j++) {                        \
                a_[j - at_] += one;                                       \
                b_[j - at_] += two;                                       \
            }                                                             \
            first += (double)SW_K(layer_add_lanes)(a_);                   \
            second += (double)SW_K(layer_add_lanes)(b_);                  \
            at_ = end_;                                                   \
        }                                                                 \
    } while (0)
#endif

#if SW_KERNEL_PASS

static inline real SW_K(layer_add_lanes)(real *lane) {
    for (int i = 0; i < SW_LANES / 2; i++)
        lane[i] += lane[i + SW_LANES / 2];
    for (int i = 0; i < SW_LANES / 4; i++)
        lane[i] += lane[i + SW_LANES / 4];
    for (int i = 0; i < SW_LANES / 8; i++)
        lane[i] += lane[i + SW_LANES / 8];
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

/* The rows that are processed together. */
static inline int64_t SW_K(layer_together)(int64_t n) {
    const int64_t rows = FEW / n;
    return rows < 1 ? 1 : rows < TOGETHER ? rows : TOGETHER;
}

/* Computes s, scale and shift of `rows` rows, at most TOGETHER. */
static inline void SW_K(layer_moments)(const layer_args *a, const real *x, int64_t rows, real *moments) {
    const int64_t n = a->n;
    double deviations[TOGETHER], squares[TOGETHER];
    real s[TOGETHER] = {0};
    for (int64_t r = 0; a->centered && r < rows; r++) {
        const real *row = x + r * n;
        double sum, unused;
        ROW_SUMS(n, sum, row[j], unused, 0);
        (void)unused;
        s[r] = (real)(sum / (double)n);
    }
    for (int64_t r = 0; r < rows; r++) {
        const real *row = x + r * n, shift = s[r];
        ROW_SUMS(n, deviations[r], row[j] - shift, squares[r], (row[j] - shift) * (row[j] - shift));
    }
    for (int64_t r = 0; r < rows; r++) {
        const double rest = a->centered ? deviations[r] / (double)n : 0,
                     variance = squares[r] / (double)n - rest * rest,
                     scale = 1 / sqrt((variance < 0 ? 0 : variance) + a->eps);
        moments[3 * r] = s[r];
        moments[3 * r + 1] = (real)scale;
        moments[3 * r + 2] = (real)(-rest * scale);
    }
}

static inline void SW_K(layer_row)(const layer_args *a, const real *x, const real *moments, real *y) {
    const int64_t n = a->n;
    const real *weight = a->weight, *bias = a->bias, s = moments[0], scale = moments[1], shift = moments[2];
    if (weight && bias) {
        SW_INDEPENDENT
        for (int64_t j = 0; j < n; j++)
            y[j] = ((x[j] - s) * scale + shift) * weight[j] + bias[j];
    } else if (weight) {
        SW_INDEPENDENT
        for (int64_t j = 0; j < n; j++)
            y[j] = ((x[j] - s) * scale + shift) * weight[j];
    } else {
        SW_INDEPENDENT
        for (int64_t j = 0; j < n; j++)
            y[j] = (x[j] - s) * scale + shift;
    }
    if (bias && !weight)
        for (int64_t j = 0; j < n; j++)
            y[j] += bias[j];
}

/* Rows [begin, end) */
static void SW_K(layer_forward)(void *args, int64_t begin, int64_t end, double *sums) {
    const layer_args *a = args;
    const int64_t n = a->n, together = SW_K(layer_together)(n);
    (void)sums;
    for (int64_t first = begin; first < end; first += together) {
        const int64_t rows = end - first < together ? end - first : together;
        const real *x = (const real *)a->x + first * n;
        real *y = (real *)a->out + first * n, *moments = (real *)a->moments + 3 * first;
        SW_K(layer_moments)(a, x, rows, moments);
        for (int64_t r = 0; r < rows; r++)
            SW_K(layer_row)(a, x + r * n, moments + 3 * r, y + r * n);
    }
}

/* The sums of a row for its gradient, Σ g/n and Σ g x̂/n with g = dy · weight. */
typedef struct SW_K(layer_sums) {
    real one, slope;
} SW_K(layer_sums);

static inline SW_K(layer_sums)
    SW_K(layer_row_sums)(const layer_args *a, const real *x, const real *dy, const real *moments) {
    const int64_t n = a->n;
    const real *weight = a->weight, s = moments[0], scale = moments[1], shift = moments[2];
    double along_one, along_x;
    if (weight)
        ROW_SUMS(n, along_one, dy[j] * weight[j], along_x, (dy[j] * weight[j]) * ((x[j] - s) * scale + shift));
    else
        ROW_SUMS(n, along_one, dy[j], along_x, dy[j] * ((x[j] - s) * scale + shift));
    return (SW_K(layer_sums)){.one = a->centered ? (real)(along_one / (double)n) : 0,
                              .slope = (real)(along_x / (double)n)};
}

/* dx = scale (g - Σ g/n - x̂ Σ g x̂/n); RMS normalization has no term Σ g/n. */
static inline void SW_K(layer_row_gradient)(const layer_args *a, SW_K(layer_sums) sums, const real *x, const real *dy,
                                            const real *moments, real *dx) {
    const int64_t n = a->n;
    const real *weight = a->weight, s = moments[0], scale = moments[1], shift = moments[2], one = sums.one,
               slope = sums.slope;
    if (weight) {
        SW_INDEPENDENT
        for (int64_t j = 0; j < n; j++)
            dx[j] = ((dy[j] * weight[j] - one) - ((x[j] - s) * scale + shift) * slope) * scale;
    } else {
        SW_INDEPENDENT
        for (int64_t j = 0; j < n; j++)
            dx[j] = ((dy[j] - one) - ((x[j] - s) * scale + shift) * slope) * scale;
    }
}

/* dx of `rows` rows, at most TOGETHER. */
static inline void SW_K(layer_rows_gradient)(const layer_args *a, const real *x, const real *dy, const real *moments,
                                             int64_t rows, real *dx) {
    SW_K(layer_sums) sums[TOGETHER];
    for (int64_t r = 0; r < rows; r++)
        sums[r] = SW_K(layer_row_sums)(a, x + r * a->n, dy + r * a->n, moments + 3 * r);
    for (int64_t r = 0; r < rows; r++)
        SW_K(layer_row_gradient)(a, sums[r], x + r * a->n, dy + r * a->n, moments + 3 * r, dx + r * a->n);
}

/* Adds a row to the gradients of weight and bias, each unless it is NULL. */
static inline void SW_K(layer_row_weights)(const layer_args *a, const real *x, const real *dy, const real *moments,
                                           real *d_weight, real *d_bias) {
    const int64_t n = a->n;
    const real s = moments[0], scale = moments[1], shift = moments[2];
    if (d_weight) {
        SW_INDEPENDENT
        for (int64_t j = 0; j < n; j++)
            d_weight[j] += dy[j] * ((x[j] - s) * scale + shift);
    }
    if (d_bias) {
        SW_INDEPENDENT
        for (int64_t j = 0; j < n; j++)
            d_bias[j] += dy[j];
    }
}

/* Blocks [begin, end) of per_block rows */
static void SW_K(layer_gradient)(void *args, int64_t begin, int64_t end, double *sums) {
    const layer_args *a = args;
    const int64_t n = a->n, together = SW_K(layer_together)(n);
    (void)sums;
    for (int64_t block = begin; block < end; block++) {
        const int64_t first = block * a->per_block, left = a->rows - first,
                      last = first + (left < a->per_block ? left : a->per_block);
        real *d_weight = a->d_weight ? (real *)a->d_weight + block * n : NULL,
             *d_bias = a->d_bias ? (real *)a->d_bias + block * n : NULL;
        if (d_weight)
            memset(d_weight, 0, (size_t)n * sizeof *d_weight);
        if (d_bias)
            memset(d_bias, 0, (size_t)n * sizeof *d_bias);
        for (int64_t row = first; row < last; row += together) {
            const int64_t rows = last - row < together ? last - row : together;
            const real *x = (const real *)a->x + row * n, *dy = (const real *)a->dy + row * n,
                       *moments = (const real *)a->moments + 3 * row;
            if (a->out)
                SW_K(layer_rows_gradient)(a, x, dy, moments, rows, (real *)a->out + row * n);
            for (int64_t r = 0; r < rows && (d_weight || d_bias); r++)
                SW_K(layer_row_weights)(a, x + r * n, dy + r * n, moments + 3 * r, d_weight, d_bias);
        }
    }
}

#else /* ---- once ---- */

static const sw_kernels forward_kernels = SW_KERNEL_TABLE(layer_forward),
                        gradient_kernels = SW_KERNEL_TABLE(layer_gradient);

static const double layer_eps = 1e-5, rms_eps[] = {[SW_F32] = 0x1p-23, [SW_F64] = 0x1p-52};

typedef struct layer_attributes {
    swi_norm_inputs inputs;
    int axes;
    double eps;
} layer_attributes;

/* Sets rows and n from the shape of x. */
static layer_args layer_args_of(const sw_call *c) {
    const layer_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    layer_args args = {.x = x->data, .weight = swi_norm_data(c, swi_norm_weight(&a->inputs)), .n = 1};
    for (int i = x->rank - a->axes; i < x->rank; i++)
        args.n *= x->shape[i];
    args.rows = args.n ? x->count / args.n : 0;
    args.per_block = args.n * MOST_ROWS < BLOCK ? MOST_ROWS : args.n * LEAST_ROWS > BLOCK ? LEAST_ROWS : BLOCK / args.n;
    return args;
}

static sw_status layer_shape(sw_call *c) {
    const layer_attributes *a = c->attributes;
    SW_TRY(sw_call_check_real(c));
    SW_TRY(swi_norm_check_eps(c, a->eps));
    SW_TRY(swi_norm_check(c, &a->inputs, a->axes));
    return sw_call_set_shape_like(c, 0);
}

static sw_status layer_run_forward(sw_call *c, bool centered, double eps) {
    const layer_attributes *a = c->attributes;
    layer_args args = layer_args_of(c);
    const sw_dtype type = c->out->type;
    if (c->out->count == 0)
        return SW_OK;
    args.moments = sw_call_save(c, 3 * (size_t)args.rows * sw_dtype_size(type));
    if (!args.moments)
        return SW_ERR_MEMORY;
    args.bias = swi_norm_data(c, swi_norm_bias(&a->inputs));
    args.out = c->out->data;
    args.centered = centered;
    args.eps = a->eps > 0 ? a->eps : eps;
    sw_kernel_run_rows(forward_kernels[type][sw_cpu_level()], &args, args.rows, args.n, NULL);
    return SW_OK;
}

static sw_status layer_norm_forward(sw_call *c) {
    return layer_run_forward(c, true, layer_eps);
}

static sw_status rms_norm_forward(sw_call *c) {
    return layer_run_forward(c, false, rms_eps[c->out->type]);
}

static sw_status layer_run_vjp(sw_call *c, bool centered) {
    const layer_attributes *a = c->attributes;
    layer_args args = layer_args_of(c);
    const sw_dtype type = c->out->type;
    const int64_t blocks = (args.rows + args.per_block - 1) / args.per_block;
    void *d_weight, *d_bias;
    SW_TRY(swi_norm_gradient(c, 0, &args.out));
    SW_TRY(swi_norm_gradient(c, swi_norm_weight(&a->inputs), &d_weight));
    SW_TRY(swi_norm_gradient(c, swi_norm_bias(&a->inputs), &d_bias));
    const size_t bytes = (size_t)(blocks * args.n) * sw_dtype_size(type);
    args.d_weight = d_weight ? sw_call_scratch(c, bytes) : NULL;
    args.d_bias = d_bias ? sw_call_scratch(c, bytes) : NULL;
    if ((d_weight && !args.d_weight) || (d_bias && !args.d_bias))
        return SW_ERR_MEMORY;
    args.dy = c->cotangent;
    args.moments = c->saved;
    args.centered = centered;
    if (c->out->count > 0)
        sw_kernel_run_rows(gradient_kernels[type][sw_cpu_level()], &args, blocks, args.per_block * args.n, NULL);
    if (d_weight)
        sw_sum_to_shape(type, 2, (int64_t[]){blocks, args.n}, args.d_weight, 1, &args.n, d_weight, 1, true);
    if (d_bias)
        sw_sum_to_shape(type, 2, (int64_t[]){blocks, args.n}, args.d_bias, 1, &args.n, d_bias, 1, true);
    return SW_OK;
}

static sw_status layer_norm_vjp(sw_call *c) {
    return layer_run_vjp(c, true);
}

static sw_status rms_norm_vjp(sw_call *c) {
    return layer_run_vjp(c, false);
}

static const sw_op layer_norm_op = {.size = sizeof(sw_op),
                                    .name = "layer_norm",
                                    .shape = layer_shape,
                                    .forward = layer_norm_forward,
                                    .vjp = layer_norm_vjp,
                                    .vjp_reads = SW_READS(0) | SW_READS(1)};
static const sw_op rms_norm_op = {.size = sizeof(sw_op),
                                  .name = "rms_norm",
                                  .shape = layer_shape,
                                  .forward = rms_norm_forward,
                                  .vjp = rms_norm_vjp,
                                  .vjp_reads = SW_READS(0) | SW_READS(1)};

sw_tensor sw_layer_norm_over(sw_tensor x, int axes, sw_tensor weight, sw_tensor bias, double eps) {
    layer_attributes a = {.axes = axes, .eps = eps};
    return swi_norm_apply(&layer_norm_op, &a.inputs, sizeof a, x, weight, bias);
}

sw_tensor sw_layer_norm(sw_tensor x, sw_tensor weight, sw_tensor bias, double eps) {
    return sw_layer_norm_over(x, 1, weight, bias, eps);
}

sw_tensor sw_rms_norm_over(sw_tensor x, int axes, sw_tensor weight, double eps) {
    layer_attributes a = {.axes = axes, .eps = eps};
    return swi_norm_apply(&rms_norm_op, &a.inputs, sizeof a, x, weight, (sw_tensor){0});
}

sw_tensor sw_rms_norm(sw_tensor x, sw_tensor weight, double eps) {
    return sw_rms_norm_over(x, 1, weight, eps);
}

#endif
