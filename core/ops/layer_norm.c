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

/* Computes s, scale and shift of a row. */
static inline void SW_K(layer_moments)(const layer_args *a, const real *x, real *moments) {
    const int64_t n = a->n;
    double sum, deviations, squares, unused;
    real s = 0;
    if (a->centered) {
        ROW_SUMS(n, sum, x[j], unused, 0);
        s = (real)(sum / (double)n);
    }
    (void)unused;
    ROW_SUMS(n, deviations, x[j] - s, squares, (x[j] - s) * (x[j] - s));
    const double rest = a->centered ? deviations / (double)n : 0, variance = squares / (double)n - rest * rest,
                 scale = 1 / sqrt((variance < 0 ? 0 : variance) + a->eps);
    moments[0] = s;
    moments[1] = (real)scale;
    moments[2] = (real)(-rest * scale);
}

/* Rows [begin, end) */
static void SW_K(layer_forward)(void *args, int64_t begin, int64_t end, double *sums) {
    const layer_args *a = args;
    const int64_t n = a->n;
    const real *weight = a->weight, *bias = a->bias;
    (void)sums;
    for (int64_t row = begin; row < end; row++) {
        const real *x = (const real *)a->x + row * n;
        real *y = (real *)a->out + row * n, *moments = (real *)a->moments + 3 * row;
        SW_K(layer_moments)(a, x, moments);
        const real s = moments[0], scale = moments[1], shift = moments[2];
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
}

/* dx = scale (g - Σ g/n - x̂ Σ g x̂/n) with g = dy · weight; RMS normalization has no term Σ g/n. */
static inline void SW_K(layer_row_gradient)(const layer_args *a, const real *x, const real *dy, const real *moments,
                                            real *dx) {
    const int64_t n = a->n;
    const real *weight = a->weight, s = moments[0], scale = moments[1], shift = moments[2];
    double along_one, along_x;
    if (weight)
        ROW_SUMS(n, along_one, dy[j] * weight[j], along_x, (dy[j] * weight[j]) * ((x[j] - s) * scale + shift));
    else
        ROW_SUMS(n, along_one, dy[j], along_x, dy[j] * ((x[j] - s) * scale + shift));
    const real one = a->centered ? (real)(along_one / (double)n) : 0, slope = (real)(along_x / (double)n);
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

/* Blocks [begin, end) of per_block rows */
static void SW_K(layer_gradient)(void *args, int64_t begin, int64_t end, double *sums) {
    const layer_args *a = args;
    const int64_t n = a->n;
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
        for (int64_t row = first; row < last; row++) {
            const real *x = (const real *)a->x + row * n, *dy = (const real *)a->dy + row * n,
                       *moments = (const real *)a->moments + 3 * row, s = moments[0], scale = moments[1],
                       shift = moments[2];
            if (a->out)
                SW_K(layer_row_gradient)(a, x, dy, moments, (real *)a->out + row * n);
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
