/* Activation functions. ops.h gives their formulas and sources. */
#include <swale/kernel.h>
#include <swale/unary.h>
#include <swale/extend.h>

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

/* v Φ(v), with derivative Φ(v) + v φ(v). Below -40 both are 0; v is limited, because -∞·0 would be NaN. */
static inline real SW_K(gelu_slope)(real v) {
    const real a = v < 0 ? -v : v, b = a > 40 ? (real)40 : a;
    const real density = SW_R(0.39894228040143267794) * SW_K(sw_k_gauss)(b, SW_R(0.5));
    return SW_K(sw_k_normal)(v) + (v < 0 ? -b : b) * density + (v - v);
}
SW_UNARY(gelu, v < -40 ? 0 : v * SW_K(sw_k_normal)(v))
SW_UNARY(gelu_vjp, v > 40 ? g : v < -40 ? 0 : g * SW_K(gelu_slope)(v))

/* ½ v (1 + tanh u) = v σ(2u) with u = √(2/π) (v + 0.044715 v³). The second form is used, because 1 + tanh u loses all
 * digits for large negative v. The derivative is s + v s (1 - s) 2u' with s = σ(2u). */
static inline real SW_K(gelu_u)(real v) {
    return SW_R(0.79788456080286535588) * (v + SW_R(0.044715) * v * v * v);
}
static inline real SW_K(gelu_tanh_slope)(real v) {
    const real s = SW_K(sw_k_sigmoid)(2 * SW_K(gelu_u)(v));
    const real du = SW_R(0.79788456080286535588) * (1 + 3 * SW_R(0.044715) * v * v);
    return s + v * s * (1 - s) * 2 * du;
}
SW_UNARY(gelu_tanh, v < -40 ? 0 : v * SW_K(sw_k_sigmoid)(2 * SW_K(gelu_u)(v)))
SW_UNARY(gelu_tanh_vjp, v > 40 ? g : v < -40 ? 0 : g * SW_K(gelu_tanh_slope)(v))

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

#endif
