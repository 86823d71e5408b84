/* Activation functions. ops.h gives their formulas and sources. */
#include <swale/kernel.h>
#include <swale/unary.h>
#include <swale/extend.h>

#if SW_KERNEL_FIRST
typedef struct swiglu_args {
    const void *x, *dy; /* [rows, 2n] and, of the gradient, [rows, n] */
    void *out;          /* [rows, n], or the gradient [rows, 2n] */
    int64_t n;
} swiglu_args;
#endif

#if SW_KERNEL_PASS

SW_UNARY(relu, v < 0 ? 0 : v)
SW_UNARY(relu_vjp, v > 0 ? g : v + 0) /* v: the output, 0, -0 or NaN where it is not above 0 */
SW_UNARY(tanh, SW_K(sw_k_tanh)(v))
SW_UNARY(tanh_vjp, g *(1 - v * v)) /* v: the output */
SW_UNARY(sigmoid, SW_K(sw_k_sigmoid)(v))
SW_UNARY(sigmoid_vjp, g *v *(1 - v)) /* v: the output */
SW_UNARY(leaky_relu, v < 0 ? a * v : v)
SW_UNARY(leaky_relu_vjp, v > 0 ? g : v <= 0 ? a * g : v)
SW_UNARY(elu, v < 0 ? a * SW_K(sw_k_expm1_negative)(v < 0 ? v : 0) : v)
/* The test is v > 0 in both places, so that a NaN goes through the exponential and the result is NaN. */
SW_UNARY(elu_vjp, v > 0 ? g : g * a * SW_K(sw_k_exp)(v > 0 ? 0 : v))
SW_UNARY(silu, v < -1000 ? 0 : v * SW_K(sw_k_sigmoid)(v)) /* avoids -∞·0 */
SW_UNARY(softplus, SW_K(sw_k_softplus)(v))
SW_UNARY(softplus_vjp, g *SW_K(sw_k_sigmoid)(v))

/* s + v s (1 - s). For |v| > 1000 the second term is 0; v is limited, because ∞·0 would be NaN. */
static inline real SW_K(silu_slope)(real v) {
    const real s = SW_K(sw_k_sigmoid)(v), b = v > 1000 ? (real)1000 : v < -1000 ? (real)-1000 : v;
    return s + b * s * (1 - s);
}
SW_UNARY(silu_vjp, g *SW_K(silu_slope)(v))
SW_UNARY(squared_relu, v < 0 ? 0 : v * v)
SW_UNARY(squared_relu_vjp, v > 0 ? 2 * v * g : v < 0 ? 0 : v) /* NaN for NaN */

/* Rows [begin, end) of SwiGLU, and of its gradient. */
static void SW_K(swiglu)(void *args, int64_t begin, int64_t end, double *sums) {
    const swiglu_args *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real *restrict gate = (const real *)s->x + i * 2 * s->n, *restrict value = gate + s->n;
        real *restrict out = (real *)s->out + i * s->n;
        for (int64_t j = 0; j < s->n; j++)
            out[j] = (gate[j] < -1000 ? 0 : gate[j] * SW_K(sw_k_sigmoid)(gate[j])) * value[j];
    }
}

static void SW_K(swiglu_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const swiglu_args *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real *restrict gate = (const real *)s->x + i * 2 * s->n, *restrict value = gate + s->n,
                             *restrict dy = (const real *)s->dy + i * s->n;
        real *restrict d_gate = (real *)s->out + i * 2 * s->n, *restrict d_value = d_gate + s->n;
        for (int64_t j = 0; j < s->n; j++) {
            d_gate[j] = dy[j] * value[j] * SW_K(silu_slope)(gate[j]);
            d_value[j] = dy[j] * (gate[j] < -1000 ? 0 : gate[j] * SW_K(sw_k_sigmoid)(gate[j]));
        }
    }
}

/* v Φ(v), with derivative Φ(v) + v φ(v). Below -40 both are 0; v is limited, because -∞·0 would be NaN. */
static inline real SW_K(gelu_slope)(real v) {
    const real a = v < 0 ? -v : v, b = a > 40 ? (real)40 : a;
    const real density = SW_R(0.39894228040143267794) * SW_K(sw_k_gauss)(b, SW_R(0.5));
    return SW_K(sw_k_normal)(v) + (v < 0 ? -b : b) * density + (v - v);
}
SW_UNARY(gelu, v < -40 ? 0 : v * SW_K(sw_k_normal)(v))
SW_UNARY(gelu_vjp, v > 40 ? g : v < -40 ? 0 : g * SW_K(gelu_slope)(v))

/* ½ v (1 + tanh u) = v σ(2u) = v / (1 + e^(-2u)) with u = √(2/π) (v + 0.044715 v³). The last form is used, because
 * 1 + tanh u loses all digits for large negative v. e^(-2u) is 2^t with t = -2u log₂ e, by the polynomial of
 * sw_k_reduce in powers of 2: about half of the operations of sw_k_sigmoid. Below GELU_LEAST the value is 0, where the
 * exact one is above -2e-37 (f32) or -7e-301 (f64). Above GELU_LEAST, t < GELU_MOST. */
#if SW_KERNEL_F32
#define GELU_LEAST SW_R(-10.0)
#define GELU_MOST SW_R(126.0)
#define GELU_MAGIC SW_R(12583039.0) /* 1.5·2^23 + 127: the low bits of the sum with n are the exponent of 2^n */
#define GELU_MANTISSA 23
#else
#define GELU_LEAST SW_R(-21.0)
#define GELU_MOST SW_R(1022.0)
#define GELU_MAGIC SW_R(6755399441056767.0) /* 1.5·2^52 + 1023 */
#define GELU_MANTISSA 52
#endif

static inline real SW_K(gelu_exponent)(real v) {
    return v * (SW_R(-2.30220819814432488913) + SW_R(-0.102943239580023487418) * (v * v));
}

/* 2^t for |t| ≤ GELU_MOST; t = n + r with |r| ≤ ½ */
static inline real SW_K(gelu_power)(real t) {
    const real exponent = t + GELU_MAGIC, r = t - (exponent - GELU_MAGIC);
#if SW_KERNEL_F32
    real p = SW_R(0.00001525273380405984028);
    p = p * r + SW_R(0.000154035303933816099544);
#else
    real p = 1.36914888539041288809e-12;
    p = p * r + 2.5678435993488205142e-11;
    p = p * r + 4.4455382718708114976e-10;
    p = p * r + 7.05491162080112332988e-9;
    p = p * r + 1.01780860092396997275e-7;
    p = p * r + 0.00000132154867901443094884;
    p = p * r + 0.00001525273380405984028;
    p = p * r + 0.000154035303933816099544;
#endif
    p = p * r + SW_R(0.00133335581464284434234);
    p = p * r + SW_R(0.00961812910762847716198);
    p = p * r + SW_R(0.0555041086648215799531);
    p = p * r + SW_R(0.240226506959100712334);
    p = p * r + SW_R(0.693147180559945309417);
    return SW_K(sw_k_from_bits)(SW_K(sw_k_bits)(exponent) << GELU_MANTISSA) * (1 + r * p);
}

/* t, with |t| limited to GELU_MOST. If the result could be a constant, compilers would branch. */
static inline real SW_K(gelu_bounded)(real t) {
    const real a = SW_R(fabs)(t);
    return SW_R(copysign)(a > GELU_MOST ? GELU_MOST : a, t);
}

/* σ(2u) and its derivative: s + v s (1 - s) 2u' = s (1 + v 2u' s e) with e = e^(-2u) */
static inline real SW_K(gelu_tanh_of)(real v) {
    const real e = SW_K(gelu_power)(SW_K(gelu_bounded)(SW_K(gelu_exponent)(v)));
    return v / (1 + e);
}
static inline real SW_K(gelu_tanh_slope)(real v) {
    const real e = SW_K(gelu_power)(SW_K(gelu_bounded)(SW_K(gelu_exponent)(v))), s = 1 / (1 + e),
               du = SW_R(1.59576912160573071176) + SW_R(0.214064448817800746329) * (v * v);
    return s * (1 + v * du * (s * e));
}
SW_UNARY(gelu_tanh, v < GELU_LEAST ? 0 : SW_K(gelu_tanh_of)(v))
SW_UNARY(gelu_tanh_vjp, v > 40 ? g : v < GELU_LEAST ? 0 : g * SW_K(gelu_tanh_slope)(v))
#undef GELU_LEAST
#undef GELU_MOST
#undef GELU_MAGIC
#undef GELU_MANTISSA

#else /* ---- once ---- */

#include <math.h>

SW_UNARY_OP(relu, SW_READS_OUT)
SW_UNARY_OP(tanh, SW_READS_OUT)
SW_UNARY_OP(sigmoid, SW_READS_OUT)
SW_UNARY_OP(leaky_relu, SW_READS(0))
/* For slope 0 leaky_relu is relu; 0·(-∞) would be NaN. */
static const sw_op flat_leaky_relu_op = {.size = sizeof(sw_op),
                                         .name = "leaky_relu",
                                         .shape = sw_unary_shape,
                                         .forward = relu_forward,
                                         .vjp = relu_vjp,
                                         .vjp_reads = SW_READS_OUT,
                                         .takes_16_bit = true};
SW_UNARY_OP(elu, SW_READS(0))
SW_UNARY_OP(silu, SW_READS(0))
SW_UNARY_OP(softplus, SW_READS(0))
SW_UNARY_OP(gelu, SW_READS(0))
SW_UNARY_OP(gelu_tanh, SW_READS(0))
SW_UNARY_OP(squared_relu, SW_READS(0))

/* ---- SwiGLU ---- */

static const sw_kernels swiglu_kernels = SW_KERNEL_TABLE(swiglu), swiglu_vjp_kernels = SW_KERNEL_TABLE(swiglu_vjp);

static sw_status swiglu_shape(sw_call *c) {
    const sw_view *x = c->in[0];
    int64_t shape[SW_MAX_RANK];
    SW_TRY(sw_call_check_real(c));
    if (x->rank < 1 || x->shape[x->rank - 1] % 2 != 0)
        return sw_fail(SW_ERR_SHAPE, "swiglu: input %s; a last axis of even length is needed",
                       sw_shape_text(x->rank, x->shape));
    memcpy(shape, x->shape, sizeof(int64_t) * (size_t)x->rank);
    shape[x->rank - 1] /= 2;
    return sw_call_set_shape(c, x->type, x->rank, shape);
}

static void swiglu_run(const sw_call *c, const sw_kernels *kernels, const void *dy, void *out) {
    const int64_t n = c->out->shape[c->out->rank - 1];
    swiglu_args args = {.x = c->in[0]->data, .dy = dy, .out = out, .n = n};
    if (c->out->count > 0)
        sw_kernel_run_rows((*kernels)[c->out->type][sw_cpu_level()], &args, c->out->count / n, n, NULL);
}

static sw_status swiglu_forward(sw_call *c) {
    swiglu_run(c, &swiglu_kernels, NULL, c->out->data);
    return SW_OK;
}

static sw_status swiglu_vjp(sw_call *c) {
    void *dx = sw_call_grad(c, 0);
    if (!dx)
        return SW_ERR_MEMORY;
    swiglu_run(c, &swiglu_vjp_kernels, c->cotangent, dx);
    return SW_OK;
}

static const sw_op swiglu_op = {.size = sizeof(sw_op),
                                .name = "swiglu",
                                .shape = swiglu_shape,
                                .forward = swiglu_forward,
                                .vjp = swiglu_vjp,
                                .vjp_reads = SW_READS(0)};

/* ---- The functions ---- */

sw_tensor sw_relu(sw_tensor x) {
    return sw_apply_unary(&relu_op, x, 0, 0);
}

sw_tensor sw_tanh(sw_tensor x) {
    return sw_apply_unary(&tanh_op, x, 0, 0);
}

sw_tensor sw_sigmoid(sw_tensor x) {
    return sw_apply_unary(&sigmoid_op, x, 0, 0);
}

sw_tensor sw_leaky_relu(sw_tensor x, double slope) {
    return sw_apply_unary(slope == 0 ? &flat_leaky_relu_op : &leaky_relu_op, x, slope, 0);
}

sw_tensor sw_elu(sw_tensor x, double alpha) {
    return sw_apply_unary(&elu_op, x, alpha, 0);
}

sw_tensor sw_silu(sw_tensor x) {
    return sw_apply_unary(&silu_op, x, 0, 0);
}

sw_tensor sw_softplus(sw_tensor x) {
    return sw_apply_unary(&softplus_op, x, 0, 0);
}

sw_tensor sw_gelu(sw_tensor x) {
    return sw_apply_unary(&gelu_op, x, 0, 0);
}

sw_tensor sw_gelu_tanh(sw_tensor x) {
    return sw_apply_unary(&gelu_tanh_op, x, 0, 0);
}

sw_tensor sw_squared_relu(sw_tensor x) {
    return sw_apply_unary(&squared_relu_op, x, 0, 0);
}

sw_tensor sw_swiglu(sw_tensor x) {
    return sw_apply(&swiglu_op, NULL, 0, 1, &x);
}

#endif
