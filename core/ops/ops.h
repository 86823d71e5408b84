/* Operations on tensors. */
#ifndef SWALE_OPS_H
#define SWALE_OPS_H

#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Element types of the inputs must agree: f32 or f64. Broadcasting is NumPy's: shapes are aligned
 * at their last axes, and an axis of length 1, or a missing one, repeats.
 *
 * At ±∞ a value and a derivative are their limits: silu(-∞) is 0 with derivative 0, cross-entropy of a logit ∞ at
 * the right class is 0. Where there is no limit (∞ - ∞, 0·∞, sin ∞) they are NaN.
 *
 * NaN is never lost: a result that depends on a NaN is NaN, and so is the derivative by an input wherever it
 * depends on a NaN. A derivative that does not depend on the input (of sums, sw_scale, sw_neg, shapes, sw_pow
 * with exponent 0 or 1, of a product by one of its factors) keeps its value at NaN. In a reduction or a row
 * operation one NaN makes the derivatives of its whole group NaN. The exceptions: sw_pow(NaN, 0) = 1, as C's
 * pow; comparisons give 0; sw_argmax counts NaN as largest; sw_where takes nothing from the side that was not
 * chosen; what sw_dropout drops is 0; where a class has weight 0 or a row is ignored, it adds nothing.
 *
 * Every operation returns a handle of its own, also where it changes nothing, so that either side can be released.
 *
 * Sums of f32 (reductions, losses, gradients of broadcast, of gathers and of biases) keep a relative error of 1e-5
 * for any length if the terms have one sign. For products see sw_gemm (extend.h). Two sums have no such
 * bound, because they add in plain f32: the gradients of a tensor that many operations use, and products over
 * broadcast batch axes. */

SW_API sw_tensor sw_add(sw_tensor a, sw_tensor b); /* a + b, broadcasting */
SW_API sw_tensor sw_sub(sw_tensor a, sw_tensor b); /* a - b, broadcasting */
SW_API sw_tensor sw_mul(sw_tensor a, sw_tensor b); /* a · b by element, broadcasting */
SW_API sw_tensor sw_div(sw_tensor a, sw_tensor b); /* a / b, broadcasting */
/* The larger, the smaller; broadcasting; NaN if one is NaN. Equal ones share the gradient in halves. */
SW_API sw_tensor sw_maximum(sw_tensor a, sw_tensor b);
SW_API sw_tensor sw_minimum(sw_tensor a, sw_tensor b);
SW_API sw_tensor sw_scale(sw_tensor a, double factor);
SW_API sw_tensor sw_neg(sw_tensor x);
SW_API sw_tensor sw_exp(sw_tensor x);
SW_API sw_tensor sw_log(sw_tensor x);  /* -∞ at 0, NaN below */
SW_API sw_tensor sw_sqrt(sw_tensor x); /* derivative ∞ at 0; NaN below */
SW_API sw_tensor sw_abs(sw_tensor x);  /* derivative 0 at 0 */
SW_API sw_tensor sw_sin(sw_tensor x);  /* radians */
SW_API sw_tensor sw_cos(sw_tensor x);
/* x^exponent with the corners of C's pow; the exponent is finite. Within 0.51 (f32) and 0.56 (f64) units in the
 * last place, so exact wherever the exact result is a number of the type: 2³ = 8. Derivative
 * exponent · x^(exponent - 1), within 1.7 units; 0 everywhere for the exponent 0. */
SW_API sw_tensor sw_pow(sw_tensor x, double exponent);
/* Into [low, high]; derivative 1 inside and at the ends, 0 outside. */
SW_API sw_tensor sw_clamp(sw_tensor x, double low, double high);
/* [..., m, k] [..., k, n] → [..., m, n]; the axes before the last two are broadcast. */
SW_API sw_tensor sw_matmul(sw_tensor a, sw_tensor b);
/* The same with the last two axes of either side exchanged: a as [..., k, m], b as [..., n, k]. No copy. */
SW_API sw_tensor sw_matmul_transposed(sw_tensor a, sw_tensor b, bool transpose_a, bool transpose_b);
/* x [batch, in], weight [out, in], bias [out] or null tensor → x weightᵀ + bias [batch, out]. A null bias
 * while an error is pending gives a null tensor: it may be the one that failed. */
SW_API sw_tensor sw_linear(sw_tensor x, sw_tensor weight, sw_tensor bias);
SW_API sw_tensor sw_relu(sw_tensor x); /* max(x, 0); derivative 0 at 0; NaN stays NaN */
SW_API sw_tensor sw_tanh(sw_tensor x);
SW_API sw_tensor sw_sigmoid(sw_tensor x);                  /* 1 / (1 + e^-x) */
SW_API sw_tensor sw_leaky_relu(sw_tensor x, double slope); /* x, or slope·x below 0 (often 0.01) */
SW_API sw_tensor sw_elu(sw_tensor x, double alpha);        /* x, or alpha (e^x - 1) below 0 (often 1) */
SW_API sw_tensor sw_silu(sw_tensor x);                     /* x σ(x) */
SW_API sw_tensor sw_softplus(sw_tensor x);                 /* log(1 + e^x) */
SW_API sw_tensor sw_gelu(sw_tensor x);      /* x Φ(x), Φ the normal distribution (Hendrycks, Gimpel 2016) */
SW_API sw_tensor sw_gelu_tanh(sw_tensor x); /* ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), ibid. */

/* ---- Reductions. `axes`: `count` different axes, negative ones counted from the end: SW_AXES(-1),
 * SW_AXES(0, 2); SW_ALL_AXES for all. keepdim: they stay, with length 1. ---- */
#define SW_AXES(...)                                                         \
    (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)), (const int[]) { \
        __VA_ARGS__                                                          \
    }
#define SW_ALL_AXES (-1), ((const int *)0)

SW_API sw_tensor sw_sum(sw_tensor x);  /* of all elements, a scalar; 0 for none */
SW_API sw_tensor sw_mean(sw_tensor x); /* of all elements, a scalar; NaN for none */
/* The same over some axes. */
SW_API sw_tensor sw_sum_over(sw_tensor x, int count, const int *axes, bool keepdim);
SW_API sw_tensor sw_mean_over(sw_tensor x, int count, const int *axes, bool keepdim);
/* Σ (x - mean)² / (n - correction), in two passes; correction 0 (population) or 1 (sample). NaN where
 * n ≤ correction. */
SW_API sw_tensor sw_var_over(sw_tensor x, int count, const int *axes, bool keepdim, int correction);
/* The largest, the smallest; NaN if one is NaN, with gradient NaN for all; equal ones share the gradient evenly. An
 * axis of length 0 is an error unless nothing is asked for. */
SW_API sw_tensor sw_max_over(sw_tensor x, int count, const int *axes, bool keepdim);
SW_API sw_tensor sw_min_over(sw_tensor x, int count, const int *axes, bool keepdim);
/* (Σ |x|^p)^(1/p) for p ≥ 1, max |x| for p = INFINITY; scaled, so that nothing overflows on the way.
 * Derivative 0 where the norm is 0; where it is ∞, the sign at infinite elements and 0 at the others. */
SW_API sw_tensor sw_norm_over(sw_tensor x, double p, int count, const int *axes, bool keepdim);
/* log Σ e^x, without overflow; -∞ for none. The derivative is sw_softmax, and does not change if a constant
 * is added to x; 0 where all are -∞. */
SW_API sw_tensor sw_logsumexp_over(sw_tensor x, int count, const int *axes, bool keepdim);

/* e^x / Σ e^x along an axis (negative: from the end), without overflow; and its logarithm. A single ∞ has
 * probability 1; several ∞ have equal probabilities; rows that hold only -∞ give NaN. */
SW_API sw_tensor sw_softmax(sw_tensor x, int axis);
SW_API sw_tensor sw_log_softmax(sw_tensor x, int axis);

/* Where along an axis the largest element is, i32; the first of equal ones; NaN counts as largest. The
 * axis goes unless keepdim. No gradient. */
SW_API sw_tensor sw_argmax(sw_tensor x, int axis, bool keepdim);
/* Accuracy, the fraction of rows whose largest score is at its id: scores [..., classes], ids i32 [...]; a
 * scalar of the scores' type, NaN for no rows. A row with a NaN is a miss. No gradient. */
SW_API sw_tensor sw_accuracy(sw_tensor scores, sw_tensor ids);

/* ---- Comparisons and choice, broadcasting ---- */
/* u8: 1 where it holds, else 0. No gradient. */
SW_API sw_tensor sw_greater(sw_tensor a, sw_tensor b);
SW_API sw_tensor sw_less(sw_tensor a, sw_tensor b);
SW_API sw_tensor sw_equal(sw_tensor a, sw_tensor b);
/* a where the condition (u8 or i32) is not 0, else b. Each gets the gradient where it was taken: an
 * Inf or NaN in the other one's place does no harm. */
SW_API sw_tensor sw_where(sw_tensor condition, sw_tensor a, sw_tensor b);

/* ---- Shape. Negative axes count from the end. f32 and f64, with gradients; i32 and u8 without. ---- */
/* The same elements in another shape; one length may be -1 and is worked out. No copy. */
SW_API sw_tensor sw_reshape(sw_tensor x, int rank, const int64_t *shape);
/* Exchanges two axes. */
SW_API sw_tensor sw_transpose(sw_tensor x, int axis_a, int axis_b);
/* Axis i of the result is axis axes[i] of x: sw_permute(x, SW_AXES(1, 2, 0)). All axes, each once. */
SW_API sw_tensor sw_permute(sw_tensor x, int count, const int *axes);
/* Elements begin to end - 1 along an axis. Negative ones count from the end; SW_END is the end. Outside
 * of the axis, or end < begin: an error. */
#define SW_END INT64_MAX
SW_API sw_tensor sw_slice(sw_tensor x, int axis, int64_t begin, int64_t end);
/* One after the other along an axis; the other lengths are equal: sw_concat(SW_TENSORS(a, b, c), -1). */
#define SW_TENSORS(...)                                                                        \
    (int)(sizeof((const sw_tensor[]){__VA_ARGS__}) / sizeof(sw_tensor)), (const sw_tensor[]) { \
        __VA_ARGS__                                                                            \
    }
SW_API sw_tensor sw_concat(int count, const sw_tensor *parts, int axis);
/* Along a new axis, of equal shapes. */
SW_API sw_tensor sw_stack(int count, const sw_tensor *parts, int axis);
/* Parts of the given lengths (NULL: `count` equal ones), which add up to the axis. All parts are null
 * after an error. */
SW_API sw_status sw_split(sw_tensor x, int axis, int count, const int64_t *lengths, sw_tensor *parts);
/* before[i] and after[i] elements of `value` around axis i; `rank` of each, x's rank; none negative. */
SW_API sw_tensor sw_pad(sw_tensor x, int rank, const int64_t *before, const int64_t *after, double value);
/* Repeated to the shape, as broadcasting does; -1: the length that is there. */
SW_API sw_tensor sw_expand(sw_tensor x, int rank, const int64_t *shape);

/* ---- Gathering by ids (i32). An id out of range is an error that names it. ---- */
/* table [rows, ...], ids of any shape → [ids..., ...]: an embedding. Rows asked for several times add
 * up their gradients, in the order of the ids. */
SW_API sw_tensor sw_gather_rows(sw_tensor table, sw_tensor ids);
/* out[i][j][k] = x[i][ids[i][j][k]][k] for axis 1, and so on. ids has x's rank and, but for the axis,
 * x's lengths. */
SW_API sw_tensor sw_gather(sw_tensor x, int axis, sw_tensor ids);

/* Each element is dropped with probability p in [0, 1), the rest scaled by 1/(1-p) (Srivastava et
 * al., JMLR 2014). A view of x unless SW_TRAIN and p > 0. The mask depends on the tape's seed and draw, on
 * `site`, on how many random ops came before on this pass, and, if axis 0 is as long as the list
 * given to sw_tape_set_sample_ids, on the sample's id; otherwise on the row's number. */
SW_API sw_tensor sw_dropout(sw_tensor x, double p, uint64_t site);

/* ---- Losses. The short forms are means, and fit sw_loss (nn.h). ---- */
typedef enum sw_reduction {
    SW_MEAN = 0,
    SW_SUM, /* parts add up; a sum that is then scaled to a mean says so by sw_loss_with_weight */
    SW_NONE /* one number for each element, or for each sample where the loss is one of rows */
} sw_reduction;

/* Cross-entropy of softmax(logits), logits [..., classes], against
 *   ids i32 [...]:               log Σ exp(z) - z[id]
 *   distributions [..., classes] of the logits' type (soft targets): -Σ_c t_c log softmax(z)_c
 * The mean is over all rows. */
SW_API sw_tensor sw_cross_entropy(sw_tensor logits, sw_tensor target);
typedef struct sw_cross_entropy_options {
    size_t size; /* sizeof(sw_cross_entropy_options) */
    sw_reduction reduction;
    /* ε in [0, 1]: the target becomes (1 - ε) t + ε/classes (Szegedy et al., CVPR 2016). */
    double label_smoothing;
    /* Rows whose id is `ignored_id` count as nothing: loss 0, no gradient, not in the mean. */
    bool ignore;
    int32_t ignored_id;
    /* w, one for each class, ≥ 0, or NULL: each class's term is multiplied by w_c. The mean of ids is then
     * Σ loss / Σ w[id] as in PyTorch; that of distributions stays one over the rows. Copied. */
    const double *class_weights;
    int classes; /* how many class_weights there are */
} sw_cross_entropy_options;
/* options NULL: as sw_cross_entropy. SW_NONE gives [...]. The mean over no rows is NaN. */
SW_API sw_tensor sw_cross_entropy_with_options(sw_tensor logits, sw_tensor target,
                                               const sw_cross_entropy_options *options);

typedef struct sw_loss_options {
    size_t size; /* sizeof(sw_loss_options) */
    sw_reduction reduction;
} sw_loss_options;
/* Of prediction p and target t, equal shapes, by element. The short form is the mean over all elements, as is
 * options NULL in the long one. */
SW_API sw_tensor sw_mse(sw_tensor prediction, sw_tensor target); /* (p - t)² */
SW_API sw_tensor sw_mse_with_options(sw_tensor prediction, sw_tensor target, const sw_loss_options *options);
SW_API sw_tensor sw_l1(sw_tensor prediction, sw_tensor target); /* |p - t|, derivative 0 at 0 */
SW_API sw_tensor sw_l1_with_options(sw_tensor prediction, sw_tensor target, const sw_loss_options *options);
typedef struct sw_huber_options {
    size_t size; /* sizeof(sw_huber_options) */
    sw_reduction reduction;
    double delta; /* δ > 0; 0: 1 */
} sw_huber_options;
/* ½ d² for |d| ≤ δ, else δ (|d| - ½ δ), d = p - t; the short form has δ = 1 (Huber 1964) */
SW_API sw_tensor sw_huber(sw_tensor prediction, sw_tensor target);
SW_API sw_tensor sw_huber_with_options(sw_tensor prediction, sw_tensor target, const sw_huber_options *options);
/* max(0, 1 - t s); derivative 0 at the kink. Targets must be -1 or 1: that is not checked. */
SW_API sw_tensor sw_hinge(sw_tensor score, sw_tensor target);
SW_API sw_tensor sw_hinge_with_options(sw_tensor score, sw_tensor target, const sw_loss_options *options);
/* log(1 + exp z) - y z for targets y in [0, 1] */
SW_API sw_tensor sw_bce_with_logits(sw_tensor logits, sw_tensor target);
SW_API sw_tensor sw_bce_with_logits_with_options(sw_tensor logits, sw_tensor target, const sw_loss_options *options);
/* Kullback-Leibler divergence of log-probabilities q from probabilities t along the last axis:
 * Σ_c t_c (log t_c - q_c), 0 where t_c = 0. One number a row; the mean is over the rows, as the
 * definition has it (PyTorch's "batchmean" for two axes). The derivative by t_c is 0 where t_c = 0. */
SW_API sw_tensor sw_kl_div(sw_tensor log_prediction, sw_tensor target);
SW_API sw_tensor sw_kl_div_with_options(sw_tensor log_prediction, sw_tensor target, const sw_loss_options *options);

/* The same value and gradient as `loss`, a tensor with one element, with another weight in means over parts
 * (see there): finite and at least 0, or SW_SUMMED. For losses that a program puts together itself. */
SW_API sw_tensor sw_loss_with_weight(sw_tensor loss, double weight);

#ifdef __cplusplus
}
#endif
#endif
