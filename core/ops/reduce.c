/* Reductions along axes: sum, mean, var, std, max, min, norm, logsumexp. They use the folds of reduce_kernels.h. */
#include <swale/kernel.h>
#include <swale/extend.h>

#include "core/ops/shared.h"

#if SW_KERNEL_FIRST
typedef struct output_args {
    const void *x, *second;
    void *out;
    double number;
} output_args;
#endif

#if SW_KERNEL_PASS

/* Kernels over the outputs, which run between and after folds. out may be x or second. */
#define ON_OUTPUTS(name, expression)                                               \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const output_args *s = args;                                               \
        const real *p = s->x, *q = s->second ? s->second : s->x;                   \
        real *out = s->out;                                                        \
        const real a = (real)s->number;                                            \
        (void)sums, (void)a;                                                       \
        SW_INDEPENDENT                                                             \
        for (int64_t i = begin; i < end; i++) {                                    \
            const real v = p[i], w = q[i];                                         \
            (void)w;                                                               \
            out[i] = expression;                                                   \
        }                                                                          \
    }
ON_OUTPUTS(from_below, v == -(real)INFINITY ? 0 : v)
ON_OUTPUTS(divisor, v == 0 || v == (real)INFINITY ? 1 : v)
ON_OUTPUTS(log_plus, w + SW_K(sw_k_log_any)(v))
ON_OUTPUTS(root_times, w *SW_R(sqrt)(v))
ON_OUTPUTS(power_times, w *SW_K(sw_k_power)(v, s->number, 0))
ON_OUTPUTS(root, SW_R(sqrt)(v))
ON_OUTPUTS(over_root, w == 0 ? 0 : v / (w * a))
ON_OUTPUTS(over_number, v / a)
ON_OUTPUTS(over, v / w)

#else /* ---- once ---- */

static const sw_kernels from_below_kernels = SW_KERNEL_TABLE(from_below), divisor_kernels = SW_KERNEL_TABLE(divisor),
                        log_plus_kernels = SW_KERNEL_TABLE(log_plus), root_times_kernels = SW_KERNEL_TABLE(root_times),
                        power_times_kernels = SW_KERNEL_TABLE(power_times), root_kernels = SW_KERNEL_TABLE(root),
                        over_root_kernels = SW_KERNEL_TABLE(over_root),
                        over_number_kernels = SW_KERNEL_TABLE(over_number), over_kernels = SW_KERNEL_TABLE(over);

static sw_status reduce_shape(sw_call *c) {
    SW_TRY(sw_call_check_float(c));
    return swi_reduction_shape(c, sw_call_result_type(c));
}

/* The shape of max and min: an error if an output has no element to choose. */
static sw_status extreme_shape(sw_call *c) {
    const sw_view *x = c->in[0];
    SW_TRY(reduce_shape(c));
    if (x->count > 0 || c->out->count == 0)
        return SW_OK;
    int axis = 0;
    while (x->shape[axis] != 0)
        axis++;
    return sw_fail(SW_ERR_SHAPE, "%s: axis %d of %s has length 0: there is no element to choose", c->op->name, axis,
                   sw_shape_text(x->rank, x->shape));
}

static sw_fold_job reduce_job(const sw_call *c, const void *m, double factor, double divisor) {
    return (sw_fold_job){
        .type = c->in[0]->type, .x = c->in[0]->data, .m = m, .out = c->out->data, .factor = factor, .divisor = divisor};
}

/* Allocates one number of the compute type for each output, for the duration of the call. */
static void *reduce_outputs_scratch(sw_call *c) {
    return sw_call_scratch(c, (size_t)c->out->count * sw_dtype_size(sw_dtype_compute(c->out->type)));
}

static void reduce_run_outputs(const sw_call *c, const sw_kernels *kernels, output_args args) {
    sw_kernel_run(kernels, sw_dtype_compute(c->out->type), &args, c->out->count);
}

/* The output or its cotangent in the compute type: a copy of 16-bit numbers, else the numbers themselves. NULL and an
 * error if there is not enough memory. */
static const void *reduce_wide_outputs(sw_call *c, const void *numbers) {
    if (sw_dtype_is_computed(c->out->type))
        return numbers;
    void *wide = reduce_outputs_scratch(c);
    if (wide)
        sw_vector_convert(c->out->type, c->out->count, numbers, SW_F32, wide);
    return wide;
}

/* Computes the gradient of the input by a spread. */
static sw_status reduce_spread(sw_call *c, const sw_spread *way, sw_spread_args args) {
    sw_fold_axes axes = swi_reduction_axes(c);
    args.x = way == &sw_spread_copies ? NULL : c->in[0]->data;
    args.out = sw_call_grad(c, 0);
    if (!args.out)
        return SW_ERR_MEMORY;
    sw_spread_run(way, &axes, c->in[0]->type, &args);
    return SW_OK;
}

static void *reduce_cotangent_over(sw_call *c, double divisor) {
    void *h = reduce_outputs_scratch(c);
    if (h)
        reduce_run_outputs(c, &over_number_kernels, (output_args){.x = c->cotangent, .out = h, .number = divisor});
    return h;
}

/* dy divided by the number of elements (with `absolute`, of absolute values) that equal the output `y`, because they
 * share the gradient evenly. */
static void *reduce_cotangent_shared(sw_call *c, const void *y, bool absolute) {
    sw_fold_axes axes = swi_reduction_axes(c);
    const void *dy = reduce_wide_outputs(c, c->cotangent);
    void *h = reduce_outputs_scratch(c);
    if (!dy || !h)
        return NULL;
    sw_fold_job job = reduce_job(c, y, 1, 1);
    job.out = h;
    job.p = absolute;
    sw_fold_run(&sw_fold_equal_sum, &axes, &job);
    reduce_run_outputs(c, &over_kernels, (output_args){.x = dy, .second = h, .out = h});
    return h;
}

/* ---- sum, mean ---- */

static sw_status sum_forward(sw_call *c) {
    sw_fold_axes axes = swi_reduction_axes(c);
    sw_fold_job job = reduce_job(c, NULL, 1, 1);
    sw_fold_run(&sw_fold_sum, &axes, &job);
    return SW_OK;
}

static sw_status sum_vjp(sw_call *c) {
    return reduce_spread(c, &sw_spread_copies, (sw_spread_args){.h = c->cotangent});
}

static sw_status mean_forward(sw_call *c) {
    sw_fold_axes axes = swi_reduction_axes(c);
    sw_fold_job job = reduce_job(c, NULL, 1, (double)axes.count);
    sw_fold_run(&sw_fold_sum, &axes, &job);
    return SW_OK;
}

static sw_status mean_vjp(sw_call *c) {
    sw_fold_axes axes = swi_reduction_axes(c);
    void *h = reduce_cotangent_over(c, (double)axes.count);
    return h ? reduce_spread(c, &sw_spread_copies, (sw_spread_args){.h = h}) : SW_ERR_MEMORY;
}

/* ---- var ---- */

/* The divisor of Σ (x - mean)²; 0 if there are too few elements, or none. */
static double var_degrees(const sw_call *c, const sw_fold_axes *axes) {
    const swi_reduction *a = c->attributes;
    const double n = (double)axes->count - a->correction;
    return n > 0 && axes->count > 0 ? n : 0;
}

/* Saves the means and their rounding errors, so that x - mean has a small error even if the mean is large compared with
 * the deviations. */
static sw_status var_forward(sw_call *c) {
    sw_fold_axes axes = swi_reduction_axes(c);
    size_t bytes = (size_t)c->out->count * sw_dtype_size(c->out->type);
    char *mean = sw_call_save(c, 2 * bytes);
    if (!mean)
        return SW_ERR_MEMORY;
    sw_fold_job job = reduce_job(c, NULL, 1, (double)axes.count);
    job.out = mean;
    job.rest = mean + bytes;
    sw_fold_run(&sw_fold_wide_sum, &axes, &job);
    job = reduce_job(c, mean, 1, var_degrees(c, &axes));
    job.low = mean + bytes;
    sw_fold_run(&sw_fold_square_deviation_sum, &axes, &job);
    return SW_OK;
}

/* dx = (x - mean) h, with a number h for each output. The derivative through the mean is 0: Σ (x - mean) = 0. */
static sw_status var_spread(sw_call *c, const void *h) {
    const char *mean = c->saved;
    const char *rest = mean + (size_t)c->out->count * sw_dtype_size(c->out->type);
    return h ? reduce_spread(c, &sw_spread_deviations, (sw_spread_args){.y = mean, .low = rest, .h = h})
             : SW_ERR_MEMORY;
}

/* h = 2 dy / (n - correction) */
static sw_status var_vjp(sw_call *c) {
    const sw_fold_axes axes = swi_reduction_axes(c);
    return var_spread(c, reduce_cotangent_over(c, var_degrees(c, &axes) / 2));
}

/* ---- std ---- */

static sw_status std_forward(sw_call *c) {
    SW_TRY(var_forward(c));
    reduce_run_outputs(c, &root_kernels, (output_args){.x = c->out->data, .out = c->out->data});
    return SW_OK;
}

/* h = dy / (std (n - correction)), 0 where std is 0 */
static sw_status std_vjp(sw_call *c) {
    const sw_fold_axes axes = swi_reduction_axes(c);
    void *h = reduce_outputs_scratch(c);
    if (h)
        reduce_run_outputs(
            c, &over_root_kernels,
            (output_args){.x = c->cotangent, .second = c->out->data, .out = h, .number = var_degrees(c, &axes)});
    return var_spread(c, h);
}

/* ---- max, min ---- */

static sw_status extreme_forward(sw_call *c, double sign) {
    sw_fold_axes axes = swi_reduction_axes(c);
    sw_fold_job job = reduce_job(c, NULL, sign, 1);
    const bool half = sw_dtype_is_16_bit(c->out->type);
    job.p = sign;
    if (half)
        job.out = reduce_outputs_scratch(c);
    if (!job.out)
        return SW_ERR_MEMORY;
    sw_fold_run(&sw_fold_largest, &axes, &job);
    if (half) /* exact: one of the elements */
        sw_vector_convert(SW_F32, c->out->count, job.out, c->out->type, c->out->data);
    return SW_OK;
}

static sw_status max_forward(sw_call *c) {
    return extreme_forward(c, 1);
}

static sw_status min_forward(sw_call *c) {
    return extreme_forward(c, -1);
}

static sw_status extreme_vjp(sw_call *c) {
    const void *y = reduce_wide_outputs(c, c->out->data);
    void *h = y ? reduce_cotangent_shared(c, y, false) : NULL;
    return h ? reduce_spread(c, &sw_spread_chosen, (sw_spread_args){.y = y, .h = h}) : SW_ERR_MEMORY;
}

/* ---- norm ---- */

/* With m = max |x|: m (Σ (|x|/m)^p)^(1/p), where the sum is between 1 and n. */
static sw_status norm_forward(sw_call *c) {
    const swi_reduction *a = c->attributes;
    sw_fold_axes axes = swi_reduction_axes(c);
    void *m = reduce_outputs_scratch(c);
    if (!m)
        return SW_ERR_MEMORY;
    sw_fold_job job = reduce_job(c, NULL, 1, 1);
    if (a->p == 1) {
        sw_fold_run(&sw_fold_abs_sum, &axes, &job);
        return SW_OK;
    }
    if (axes.count == 0 || a->p == (double)INFINITY) {
        sw_fold_run(axes.count == 0 ? &sw_fold_sum : &sw_fold_largest_abs, &axes, &job);
        return SW_OK;
    }
    job.out = m;
    sw_fold_run(&sw_fold_largest_abs, &axes, &job);
    reduce_run_outputs(c, &divisor_kernels, (output_args){.x = m, .out = m});
    job = reduce_job(c, m, 1, 1);
    job.p = a->p < 0x1p64 ? a->p : 0x1p64; /* the largest exponent of sw_k_power; a larger one gives the same sum */
    sw_fold_run(a->p == 2 ? &sw_fold_square_sum : &swi_power_sum, &axes, &job);
    reduce_run_outputs(c, a->p == 2 ? &root_times_kernels : &power_times_kernels,
                       (output_args){.x = c->out->data, .second = m, .out = c->out->data, .number = 1 / a->p});
    return SW_OK;
}

static sw_status norm_vjp(sw_call *c) {
    const swi_reduction *a = c->attributes;
    if (a->p == 1)
        return reduce_spread(c, &sw_spread_signs, (sw_spread_args){.h = c->cotangent});
    if (a->p == (double)INFINITY) {
        void *h = reduce_cotangent_shared(c, c->out->data, true);
        return h ? reduce_spread(c, &sw_spread_abs_chosen, (sw_spread_args){.y = c->out->data, .h = h}) : SW_ERR_MEMORY;
    }
    return reduce_spread(
        c, a->p == 2 ? &sw_spread_directions : &swi_powers,
        (sw_spread_args){.y = c->out->data, .h = c->cotangent, .p = a->p < 0x1p64 ? a->p - 1 : 0x1p64});
}

/* ---- logsumexp ---- */

/* m + log T with T = Σ e^(x-m), where m is the largest element, or 0 if that is -∞. m and T are saved. The derivative
 * is the softmax e^(x-m) / T; e^(x-result) would also have the rounding error of the result. */
static sw_status logsumexp_forward(sw_call *c) {
    sw_fold_axes axes = swi_reduction_axes(c);
    const size_t bytes = (size_t)c->out->count * sw_dtype_size(c->out->type);
    char *m = sw_call_save(c, 2 * bytes);
    if (!m)
        return SW_ERR_MEMORY;
    char *total = m + bytes;
    sw_fold_job job = reduce_job(c, NULL, 1, 1);
    job.p = 1;
    job.out = m;
    sw_fold_run(&sw_fold_largest, &axes, &job);
    reduce_run_outputs(c, &from_below_kernels, (output_args){.x = m, .out = m});
    job = reduce_job(c, m, 1, 1);
    job.out = total;
    sw_fold_run(&sw_fold_exp_sum, &axes, &job);
    reduce_run_outputs(c, &log_plus_kernels, (output_args){.x = total, .second = m, .out = c->out->data});
    return SW_OK;
}

static sw_status logsumexp_vjp(sw_call *c) {
    const char *m = c->saved, *total = m + (size_t)c->out->count * sw_dtype_size(c->out->type);
    void *h = reduce_outputs_scratch(c);
    if (!h)
        return SW_ERR_MEMORY;
    reduce_run_outputs(c, &divisor_kernels, (output_args){.x = total, .out = h}); /* T = 0: all are -∞ */
    reduce_run_outputs(c, &over_kernels, (output_args){.x = c->cotangent, .second = h, .out = h});
    return reduce_spread(c, &sw_spread_exponentials, (sw_spread_args){.y = m, .h = h});
}

/* ---- The operations ---- */

#define REDUCTION(fn, text, shape_rule, forward_of, vjp_of, reads, in_f32) \
    static const sw_op fn##_op = {.size = sizeof(sw_op),                   \
                                  .name = text,                            \
                                  .shape = shape_rule,                     \
                                  .forward = forward_of,                   \
                                  .vjp = vjp_of,                           \
                                  .vjp_reads = reads,                      \
                                  .takes_16_bit = true,                    \
                                  .f32_result = in_f32};
REDUCTION(sum, "sum", reduce_shape, sum_forward, sum_vjp, 0, true)
REDUCTION(mean, "mean", reduce_shape, mean_forward, mean_vjp, 0, true)
REDUCTION(sum_over, "sum_over", reduce_shape, sum_forward, sum_vjp, 0, true)
REDUCTION(mean_over, "mean_over", reduce_shape, mean_forward, mean_vjp, 0, true)
REDUCTION(var_over, "var_over", reduce_shape, var_forward, var_vjp, SW_READS(0), true)
REDUCTION(std_over, "std_over", reduce_shape, std_forward, std_vjp, SW_READS(0) | SW_READS_OUT, true)
REDUCTION(max_over, "max_over", extreme_shape, max_forward, extreme_vjp, SW_READS(0) | SW_READS_OUT, false)
REDUCTION(min_over, "min_over", extreme_shape, min_forward, extreme_vjp, SW_READS(0) | SW_READS_OUT, false)
REDUCTION(norm_over, "norm_over", reduce_shape, norm_forward, norm_vjp, SW_READS(0) | SW_READS_OUT, true)
REDUCTION(logsumexp_over, "logsumexp_over", reduce_shape, logsumexp_forward, logsumexp_vjp, SW_READS(0), true)

sw_tensor sw_sum(sw_tensor x) {
    return swi_reduction_apply(&sum_op, x, SW_ALL_AXES, (swi_reduction){0});
}

sw_tensor sw_mean(sw_tensor x) {
    return swi_reduction_apply(&mean_op, x, SW_ALL_AXES, (swi_reduction){0});
}

sw_tensor sw_sum_over(sw_tensor x, int count, const int *axes, bool keepdim) {
    return swi_reduction_apply(&sum_over_op, x, count, axes, (swi_reduction){.keepdim = keepdim});
}

sw_tensor sw_mean_over(sw_tensor x, int count, const int *axes, bool keepdim) {
    return swi_reduction_apply(&mean_over_op, x, count, axes, (swi_reduction){.keepdim = keepdim});
}

static sw_tensor var_apply(const sw_op *op, sw_tensor x, int count, const int *axes, bool keepdim, double correction) {
    if (!isfinite(correction)) {
        sw_fail(SW_ERR_ARGUMENT, "%s: correction %g; a finite number is needed (0: population, 1: sample)", op->name,
                correction);
        return (sw_tensor){0};
    }
    return swi_reduction_apply(op, x, count, axes, (swi_reduction){.keepdim = keepdim, .correction = correction});
}

sw_tensor sw_var_over(sw_tensor x, int count, const int *axes, bool keepdim, double correction) {
    return var_apply(&var_over_op, x, count, axes, keepdim, correction);
}

sw_tensor sw_std_over(sw_tensor x, int count, const int *axes, bool keepdim, double correction) {
    return var_apply(&std_over_op, x, count, axes, keepdim, correction);
}

sw_tensor sw_max_over(sw_tensor x, int count, const int *axes, bool keepdim) {
    return swi_reduction_apply(&max_over_op, x, count, axes, (swi_reduction){.keepdim = keepdim});
}

sw_tensor sw_min_over(sw_tensor x, int count, const int *axes, bool keepdim) {
    return swi_reduction_apply(&min_over_op, x, count, axes, (swi_reduction){.keepdim = keepdim});
}

sw_tensor sw_norm_over(sw_tensor x, double p, int count, const int *axes, bool keepdim) {
    if (!(p >= 1)) {
        sw_fail(SW_ERR_ARGUMENT, "norm_over: p is %g; 1 to INFINITY is needed", p);
        return (sw_tensor){0};
    }
    if (p > 1e20) /* n^(1/p) is rounded to 1, so that the norm is max |x| */
        p = (double)INFINITY;
    return swi_reduction_apply(&norm_over_op, x, count, axes, (swi_reduction){.keepdim = keepdim, .p = p});
}

sw_tensor sw_logsumexp_over(sw_tensor x, int count, const int *axes, bool keepdim) {
    return swi_reduction_apply(&logsumexp_over_op, x, count, axes, (swi_reduction){.keepdim = keepdim});
}

#endif
