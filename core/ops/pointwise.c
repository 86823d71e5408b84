/* Elementwise functions of one number, and div, maximum, minimum. Activations are in activation.c. */
#include <swale/kernel.h>
#include <swale/unary.h>
#include <swale/extend.h>

#include "core/ops/shared.h"

#if SW_KERNEL_PASS

SW_UNARY(neg, -v)
SW_UNARY(exp, SW_K(sw_k_exp)(v))
SW_UNARY(log, SW_K(sw_k_log_any)(v))
SW_UNARY(sqrt, SW_R(sqrt)(v))
SW_UNARY(abs, SW_R(fabs)(v))
SW_UNARY(clamp, v<a ? a : v> b ? b : v)
SW_UNARY(log1p, SW_K(sw_k_log1p_any)(v))
SW_UNARY(expm1, SW_K(sw_k_expm1)(v))
SW_UNARY(erf, SW_K(sw_k_erf)(v))
SW_UNARY(sign, v > 0 ? 1 : v < 0 ? -1 : v)
SW_UNARY(floor, SW_K(sw_k_floor)(v))
SW_UNARY(ceil, SW_K(sw_k_ceil)(v))
SW_UNARY(round, SW_K(sw_k_round)(v))
SW_UNARY(trunc, SW_R(copysign)(SW_K(sw_k_floor)(SW_R(fabs)(v)), v))

/* g is the cotangent, and v an element of the input unless the comment says otherwise. */
SW_UNARY(neg_vjp, -g)
SW_UNARY(exp_vjp, g *v)                             /* v: the output */
SW_UNARY(log_vjp, v >= 0 ? g / (v + 0) : (real)NAN) /* v + 0 is 0 for v = -0, so that g / -0 cannot occur */
SW_UNARY(sqrt_vjp, g *SW_R(0.5) / (v + 0))          /* v: the output; v + 0 as in log_vjp */
SW_UNARY(abs_vjp, v > 0 ? g : v < 0 ? -g : v * 0)   /* 0 at 0; NaN for NaN */
SW_UNARY(clamp_vjp, v<a || v> b ? 0 : v == v ? g : v)
SW_UNARY(log1p_vjp, v >= -1 ? g / (v + 1) : (real)NAN)
SW_UNARY(expm1_vjp, g *SW_K(sw_k_exp)(v)) /* not from the output, which is -1 in all digits for v below -17 or -37 */
SW_UNARY(step_vjp, 0)                     /* of functions that are constant between their steps */

/* 2/√π e^(-v²). |v| is limited, because ∞ - ∞ would be NaN; at 40 the result is 0. */
static inline real SW_K(erf_slope)(real v) {
    const real a = SW_R(fabs)(v);
    return SW_R(1.12837916709551257390) * SW_K(sw_k_gauss)(a > 40 ? (real)40 : a, 1);
}
SW_UNARY(erf_vjp, g *SW_K(erf_slope)(v))

/* sin and cos of numbers outside the range of the polynomials, which are rare, are computed one by one by libm. */
static inline void SW_K(far_angles)(const sw_unary_args *s, int64_t begin, int64_t end, int quarter, bool derivative) {
    const stored *x = s->x, *dy = s->dy;
    stored *out = s->out;
    for (int64_t i = begin; i < end; i++)
        if (!(SW_LOAD(x, i) <= 1000000 && SW_LOAD(x, i) >= -1000000)) {
            double y = quarter ? cos((double)SW_LOAD(x, i)) : sin((double)SW_LOAD(x, i));
            SW_STORE(out, i, (real)(derivative ? (quarter ? y : -y) * (double)SW_LOAD(dy, i) : y));
        }
}

#define ANGLE(name, expression, quarter, derivative)                               \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const sw_unary_args *s = args;                                             \
        const stored *restrict p = s->x, *restrict q = s->dy;                      \
        stored *restrict out = s->out;                                             \
        int64_t far = 0;                                                           \
        (void)sums, (void)q;                                                       \
        for (int64_t i = begin; i < end; i++) {                                    \
            const real v = SW_LOAD(p, i), g = q ? SW_LOAD(q, i) : 0;               \
            (void)g;                                                               \
            far += !(v <= 1000000 && v >= -1000000);                               \
            SW_STORE(out, i, expression);                                          \
        }                                                                          \
        if (far)                                                                   \
            SW_K(far_angles)(s, begin, end, quarter, derivative);                  \
    }
ANGLE(sin, SW_K(sw_k_sin)(v), 0, false)
ANGLE(cos, SW_K(sw_k_cos)(v), 1, false)
ANGLE(sin_vjp, g *SW_K(sw_k_cos)(v), 1, true)
ANGLE(cos_vjp, -g *SW_K(sw_k_sin)(v), 0, true)
#undef ANGLE

SW_BINARY(div, a / b)
SW_BINARY_VJP(div_vjp, -(g *a) / b)                /* a: the output */
SW_BINARY(maximum, a > b ? a : b >= a ? b : a + b) /* a + b is NaN if a or b is NaN */
SW_BINARY(minimum, a < b ? a : b <= a ? b : a + b)
/* The gradient of a in a maximum: g times 1, 0, ½ if a = b, or NaN if a or b is NaN. */
SW_BINARY_VJP(maximum_vjp, (a > b ? 1 : a < b ? 0 : a == b ? SW_R(0.5) : a + b) * g)

#else /* ---- once ---- */

#include <math.h>

SW_UNARY_OP(neg, 0)
SW_UNARY_OP(exp, SW_READS_OUT)
SW_UNARY_OP(log, SW_READS(0))
SW_UNARY_OP(sqrt, SW_READS_OUT)
SW_UNARY_OP(abs, SW_READS(0))
SW_UNARY_OP(sin, SW_READS(0))
SW_UNARY_OP(cos, SW_READS(0))
SW_UNARY_OP(clamp, SW_READS(0))
SW_UNARY_OP(log1p, SW_READS(0))
SW_UNARY_OP(expm1, SW_READS(0))
SW_UNARY_OP(erf, SW_READS(0))

sw_tensor sw_neg(sw_tensor x) {
    return sw_apply_unary(&neg_op, x, 0, 0);
}

sw_tensor sw_exp(sw_tensor x) {
    return sw_apply_unary(&exp_op, x, 0, 0);
}

sw_tensor sw_log(sw_tensor x) {
    return sw_apply_unary(&log_op, x, 0, 0);
}

sw_tensor sw_sqrt(sw_tensor x) {
    return sw_apply_unary(&sqrt_op, x, 0, 0);
}

sw_tensor sw_abs(sw_tensor x) {
    return sw_apply_unary(&abs_op, x, 0, 0);
}

sw_tensor sw_sin(sw_tensor x) {
    return sw_apply_unary(&sin_op, x, 0, 0);
}

sw_tensor sw_cos(sw_tensor x) {
    return sw_apply_unary(&cos_op, x, 0, 0);
}

sw_tensor sw_clamp(sw_tensor x, double low, double high) {
    if (!(low <= high)) {
        sw_fail(SW_ERR_ARGUMENT, "clamp: from %g to %g", low, high);
        return (sw_tensor){0};
    }
    return sw_apply_unary(&clamp_op, x, low, high);
}

sw_tensor sw_log1p(sw_tensor x) {
    return sw_apply_unary(&log1p_op, x, 0, 0);
}

sw_tensor sw_expm1(sw_tensor x) {
    return sw_apply_unary(&expm1_op, x, 0, 0);
}

sw_tensor sw_erf(sw_tensor x) {
    return sw_apply_unary(&erf_op, x, 0, 0);
}

/* ---- sign, floor, ceil, round, trunc ---- */

static const sw_kernels step_vjp_kernels = SW_KERNEL_TABLE(step_vjp);

static sw_status step_vjp(sw_call *c) {
    return sw_unary_vjp(c, &step_vjp_kernels);
}

#define STEP_OP(fn)                                             \
    static const sw_kernels fn##_kernels = SW_KERNEL_TABLE(fn); \
    static sw_status fn##_forward(sw_call *c) {                 \
        return sw_unary_forward(c, &fn##_kernels);              \
    }                                                           \
    static const sw_op fn##_op = {.size = sizeof(sw_op),        \
                                  .name = #fn,                  \
                                  .shape = sw_unary_shape,      \
                                  .forward = fn##_forward,      \
                                  .vjp = step_vjp,              \
                                  .takes_16_bit = true};        \
    sw_tensor sw_##fn(sw_tensor x) {                            \
        return sw_apply_unary(&fn##_op, x, 0, 0);               \
    }
STEP_OP(sign)
STEP_OP(floor)
STEP_OP(ceil)
STEP_OP(round)
STEP_OP(trunc)

/* ---- div, maximum, minimum ---- */

static const sw_kernels div_kernels = SW_KERNEL_TABLE(div), div_vjp_kernels = SW_KERNEL_TABLE(div_vjp),
                        maximum_kernels = SW_KERNEL_TABLE(maximum), minimum_kernels = SW_KERNEL_TABLE(minimum),
                        maximum_vjp_kernels = SW_KERNEL_TABLE(maximum_vjp);

/* Sets views of the cotangent and of the memory for the gradient of an input, both in the shape of the output. */
static sw_status binary_vjp_views(sw_call *c, int input, sw_view *dy, sw_view *d) {
    *dy = *d = *c->out;
    dy->data = (void *)(uintptr_t)c->cotangent;
    d->data = sw_call_grad(c, input);
    return d->data ? SW_OK : SW_ERR_MEMORY;
}

static sw_status div_forward(sw_call *c) {
    sw_binary_run(&div_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

/* da = dy / b, db = -dy y / b */
static sw_status div_vjp(sw_call *c) {
    sw_view dy, d;
    if (sw_call_wants_grad(c, 0)) {
        SW_TRY(binary_vjp_views(c, 0, &dy, &d));
        sw_binary_run(&div_kernels, &dy, c->in[1], &d);
    }
    if (sw_call_wants_grad(c, 1)) {
        SW_TRY(binary_vjp_views(c, 1, &dy, &d));
        sw_binary_run_vjp(&div_vjp_kernels, c->out, c->in[1], &dy, &d);
    }
    return SW_OK;
}

/* The input that was chosen gets the cotangent; if both are equal, each gets half of it. */
static sw_status choice_vjp(sw_call *c, int larger) {
    sw_view dy, d;
    for (int i = 0; i < 2; i++) {
        if (!sw_call_wants_grad(c, i))
            continue;
        SW_TRY(binary_vjp_views(c, i, &dy, &d));
        const sw_view *a = c->in[i == larger ? 0 : 1], *b = c->in[i == larger ? 1 : 0];
        sw_binary_run_vjp(&maximum_vjp_kernels, a, b, &dy, &d);
    }
    return SW_OK;
}

static sw_status maximum_forward(sw_call *c) {
    sw_binary_run(&maximum_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

static sw_status maximum_vjp(sw_call *c) {
    return choice_vjp(c, 0);
}

static sw_status minimum_forward(sw_call *c) {
    sw_binary_run(&minimum_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

static sw_status minimum_vjp(sw_call *c) {
    return choice_vjp(c, 1);
}

static const sw_op div_op = {.size = sizeof(sw_op),
                             .name = "div",
                             .shape = sw_binary_shape,
                             .forward = div_forward,
                             .vjp = div_vjp,
                             .broadcasts = true,
                             .vjp_reads = SW_READS(1) | SW_READS_OUT,
                             .takes_16_bit = true};
static const sw_op maximum_op = {.size = sizeof(sw_op),
                                 .name = "maximum",
                                 .shape = sw_binary_shape,
                                 .forward = maximum_forward,
                                 .vjp = maximum_vjp,
                                 .broadcasts = true,
                                 .vjp_reads = SW_READS(0) | SW_READS(1),
                                 .takes_16_bit = true};
static const sw_op minimum_op = {.size = sizeof(sw_op),
                                 .name = "minimum",
                                 .shape = sw_binary_shape,
                                 .forward = minimum_forward,
                                 .vjp = minimum_vjp,
                                 .broadcasts = true,
                                 .vjp_reads = SW_READS(0) | SW_READS(1),
                                 .takes_16_bit = true};

sw_tensor sw_div(sw_tensor a, sw_tensor b) {
    return sw_apply(&div_op, NULL, 0, 2, (sw_tensor[]){a, b});
}

sw_tensor sw_maximum(sw_tensor a, sw_tensor b) {
    return sw_apply(&maximum_op, NULL, 0, 2, (sw_tensor[]){a, b});
}

sw_tensor sw_minimum(sw_tensor a, sw_tensor b) {
    return sw_apply(&minimum_op, NULL, 0, 2, (sw_tensor[]){a, b});
}

#endif
