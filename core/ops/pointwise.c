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

/* g is the cotangent, and v an element of the input unless the comment says otherwise. */
SW_UNARY(neg_vjp, -g)
SW_UNARY(exp_vjp, g *v)                             /* v: the output */
SW_UNARY(log_vjp, v >= 0 ? g / (v + 0) : (real)NAN) /* v + 0 is 0 for v = -0, so that g / -0 cannot occur */
SW_UNARY(sqrt_vjp, g *SW_R(0.5) / (v + 0))          /* v: the output; v + 0 as in log_vjp */
SW_UNARY(abs_vjp, v > 0 ? g : v < 0 ? -g : v * 0)   /* 0 at 0; NaN for NaN */
SW_UNARY(clamp_vjp, v<a || v> b ? 0 : v == v ? g : v)

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

/* v^(e + e_low) with the sign and the special cases of C's pow. `hole` is added for v < 0: it is 0 if the exponent is
 * an integer, else NaN. `sign` is v for odd exponents, else 0. Both are numbers, because gcc does not vectorize a loop
 * with a condition that is the same for all elements. */
static inline __attribute__((always_inline)) real SW_K(signed_power)(real v, double e, double e_low, real hole,
                                                                     real sign) {
    const real y = SW_K(sw_k_power)(SW_R(fabs)(v), e, e_low);
    const real z = ((v < 0) & (v > -(real)INFINITY)) ? y + hole : y;
    return SW_R(copysign)(z, sign);
}

static inline double SW_K(within_2_64)(double e) {
    return e > 0x1p64 ? 0x1p64 : e < -0x1p64 ? -0x1p64 : e; /* every double beyond ±2^64 is an even integer */
}

/* x^factor. `second` is 1 if the exponent is odd, 2 if it is even, and 0 if it is not an integer. */
static void SW_K(pow)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_unary_args *s = args;
    const stored *restrict p = s->x;
    stored *restrict out = s->out;
    const double e = SW_K(within_2_64)(s->factor);
    const real hole = s->second == 0 ? (real)NAN : 0;
    (void)sums;
    if (e == 0)
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, 1);
    else if (e == 2)
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, SW_LOAD(p, i) * SW_LOAD(p, i));
    else if (s->second == 1)
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, SW_K(signed_power)(SW_LOAD(p, i), e, 0, hole, SW_LOAD(p, i)));
    else
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, SW_K(signed_power)(SW_LOAD(p, i), e, 0, hole, 0));
}

/* e x^(e-1), where e - 1 = d + d_low exactly */
static void SW_K(pow_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_unary_args *s = args;
    const stored *restrict p = s->x, *restrict g = s->dy;
    stored *restrict out = s->out;
    const double e = s->factor, d = SW_K(within_2_64)(e - 1), part = d - e, d_low = (e - (d - part)) + (-1 - part);
    const real hole = s->second == 0 ? (real)NAN : 0;
    (void)sums;
    if (e == 0 || e == 1)
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, e == 0 ? 0 : SW_LOAD(g, i));
    else if (e == 2)
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, SW_LOAD(g, i) * (2 * SW_LOAD(p, i)));
    else if (s->second == 2)
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i,
                     SW_LOAD(g, i) *
                         (real)(e * (double)SW_K(signed_power)(SW_LOAD(p, i), d, d_low, hole, SW_LOAD(p, i))));
    else
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, SW_LOAD(g, i) * (real)(e * (double)SW_K(signed_power)(SW_LOAD(p, i), d, d_low, hole, 0)));
}

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
SW_UNARY_OP(pow, SW_READS(0))

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

sw_tensor sw_pow(sw_tensor x, double exponent) {
    if (!isfinite(exponent)) {
        sw_fail(SW_ERR_ARGUMENT, "pow: the exponent is %g", exponent);
        return (sw_tensor){0};
    }
    bool whole = exponent == floor(exponent), odd = whole && fmod(exponent, 2) != 0;
    return sw_apply_unary(&pow_op, x, exponent, odd ? 1 : whole ? 2 : 0);
}

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
