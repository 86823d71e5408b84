/* Operations on tensors: arithmetic, activations, reductions, comparisons, shapes, gathering, dropout and losses.
 *
 *     sw_tensor z = sw_linear(x, weight, bias);
 *     sw_tensor loss = sw_cross_entropy(sw_relu(z), ids);
 *
 * Every operation returns a new tensor on the tape of its inputs, also if it changes nothing, so that input and output
 * can be released separately. It returns a null tensor if an input is null, and after an error (error.h).
 *
 * The inputs of an operation have one floating-point type, unless its comment states otherwise, and so has the result.
 * f16 and bf16 are storage types: the operation computes and adds in f32 and rounds each result and each gradient once.
 * (The gradient of an operand that sw_mul, sw_div, sw_pow_tensor, sw_maximum or sw_minimum broadcasts is a sum of
 * rounded terms, as in PyTorch. A gradient that is computed from the result, as that of sw_tanh, is computed from the
 * rounded result.)
 * Inputs in f16, bf16 and f32 may be combined; then the result is f32. f64 is not combined with other types (sw_cast).
 * For inputs in f16 and bf16, these results are f32:
 *   - sw_sum, sw_mean, sw_prod, sw_sum_over, sw_mean_over, sw_prod_over, sw_var_over, sw_std_over, sw_norm_over,
 *     sw_logsumexp_over and sw_accuracy;
 *   - sw_log_softmax;
 *   - all losses, also without reduction (sw_loss_with_weight keeps the type).
 * They may be beyond the range of f16 (a sum above 65504), or need more digits than 16 bits have (a mean loss that
 * changes by 1/1000 of its value). Layers with parameters convert their input to the type of their weights, so that a
 * result in f32 does not make the rest of a network f32 (sw_module_cast in module.h).
 *
 * Broadcasting is as in NumPy: shapes are aligned at their last axes, and an axis of length 1 repeats, as does a
 * missing one.
 *
 * At ±∞ the value and the derivative are their limits: silu(-∞) is 0 with derivative 0; the cross-entropy of a logit ∞
 * at the right class is 0. If there is no limit (∞ - ∞, 0·∞, sin ∞), they are NaN.
 *
 * NaN propagates: a result that depends on a NaN is NaN, and so is the derivative by an input wherever it depends on a
 * NaN. A derivative that does not depend on the input (that of sums, sw_scale, sw_neg, sw_floor and the like, shape
 * operations, sw_pow with exponent 0 or 1, and of a product by one of its factors) keeps its value at NaN. In a
 * reduction or a row operation, one NaN makes the derivatives of its whole group NaN. The exceptions are:
 *   - NaN⁰ = 1 in sw_pow and sw_pow_tensor, where 1^NaN = 1 too, as in C's pow;
 *   - comparisons return 0 for NaN, but sw_not_equal returns 1; in logic, NaN is true;
 *   - sw_argmax, sw_argsort, sw_sort and sw_top_k treat NaN as the largest element, sw_argmin as the smallest;
 *   - sw_where ignores the operand that was not selected;
 *   - elements that sw_dropout drops are 0;
 *   - in a loss, a class of weight 0 and an ignored row contribute nothing.
 *
 * Sums of f32 (reductions, losses, gradients of broadcasts, of gathers and of biases) have a relative error of at most
 * 1e-5 for any length if the terms have one sign. For matrix products see sw_gemm (gemm.h). Two kinds of sums have no
 * such bound, because they are computed in f32: the gradient of a tensor that many operations use, and products over
 * broadcast batch axes.
 */
#ifndef SWALE_OPS_H
#define SWALE_OPS_H

#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Arithmetic, activations and matrix products ---- */

SW_API sw_tensor sw_add(sw_tensor a, sw_tensor b); /* a + b, broadcasting */
SW_API sw_tensor sw_sub(sw_tensor a, sw_tensor b); /* a - b, broadcasting */
SW_API sw_tensor sw_mul(sw_tensor a, sw_tensor b); /* a · b element by element, broadcasting */
SW_API sw_tensor sw_div(sw_tensor a, sw_tensor b); /* a / b, broadcasting */
/* The larger or the smaller of two elements, broadcasting; NaN if one is NaN. If the elements are equal, each gets half
 * of the gradient. */
SW_API sw_tensor sw_maximum(sw_tensor a, sw_tensor b);
SW_API sw_tensor sw_minimum(sw_tensor a, sw_tensor b);
SW_API sw_tensor sw_scale(sw_tensor a, double factor); /* factor · a */
SW_API sw_tensor sw_neg(sw_tensor x);                  /* -x */
SW_API sw_tensor sw_exp(sw_tensor x);                  /* e^x */
SW_API sw_tensor sw_log(sw_tensor x);                  /* natural logarithm; -∞ at 0, NaN for negative x */
SW_API sw_tensor sw_sqrt(sw_tensor x);                 /* √x, derivative ∞ at 0; NaN for negative x */
SW_API sw_tensor sw_abs(sw_tensor x);                  /* |x|, derivative 0 at 0 */
SW_API sw_tensor sw_sin(sw_tensor x);                  /* sin x, x in radians */
SW_API sw_tensor sw_cos(sw_tensor x);                  /* cos x, x in radians */
/* x^exponent, in special cases as C's pow; the exponent must be finite. The error is at most 0.51 (f32) and 0.56 (f64)
 * units in the last place, so that the result is exact if the exact value is a number of the type: 2³ = 8. The
 * derivative is exponent · x^(exponent - 1), with an error of at most 1.7 units in the last place; 0 everywhere for the
 * exponent 0. */
SW_API sw_tensor sw_pow(sw_tensor x, double exponent);
/* base^exponent, broadcasting; value and error as sw_pow, for any exponent. The derivative by the base is exponent ·
 * base^(exponent - 1), 0 for the exponent 0. The derivative by the exponent is the result times log base: NaN for a
 * negative base, and 0 for the base 0 with an exponent ≥ 0. */
SW_API sw_tensor sw_pow_tensor(sw_tensor base, sw_tensor exponent);
/* log(1 + x) and e^x - 1, without cancellation near 0. log(1 + x) is -∞ at -1 with derivative ∞, and NaN below. The
 * largest errors that tests found are 1.44 and 1.85 units in the last place. */
SW_API sw_tensor sw_log1p(sw_tensor x);
SW_API sw_tensor sw_expm1(sw_tensor x);
/* The error function 2/√π ∫ e^(-t²) dt from 0 to x; the largest error that tests found is 2.04 units in the last
 * place. */
SW_API sw_tensor sw_erf(sw_tensor x);
/* Functions whose derivative is 0 everywhere. sw_round rounds a number in the middle of two integers to the even one:
 * 2.5 → 2. */
SW_API sw_tensor sw_sign(sw_tensor x);  /* -1, 0 or 1 */
SW_API sw_tensor sw_floor(sw_tensor x); /* the largest integer ≤ x */
SW_API sw_tensor sw_ceil(sw_tensor x);  /* the smallest integer ≥ x */
SW_API sw_tensor sw_round(sw_tensor x); /* the nearest integer */
SW_API sw_tensor sw_trunc(sw_tensor x); /* x rounded toward 0 */
/* Limits x to [low, high], low ≤ high; derivative 1 inside and at the ends, 0 outside. */
SW_API sw_tensor sw_clamp(sw_tensor x, double low, double high);
/* The matrix product: a [..., m, k], b [..., k, n] → [..., m, n]; the axes before the last two are broadcast. */
SW_API sw_tensor sw_matmul(sw_tensor a, sw_tensor b);
/* The matrix product of transposes, without a copy: a is [..., k, m] if transpose_a, b is [..., n, k] if
 * transpose_b. */
SW_API sw_tensor sw_matmul_transposed(sw_tensor a, sw_tensor b, bool transpose_a, bool transpose_b);
/* x weightᵀ + bias: x [batch, ..., in], weight [out, in], bias [out] or the null tensor → [batch, ..., out]. The axes
 * between are rows like the batch: values and gradients are those of x reshaped to [rows, in], bit for bit. If the bias
 * is null while an error is pending, the result is a null tensor, because the bias may be the tensor that failed. */
SW_API sw_tensor sw_linear(sw_tensor x, sw_tensor weight, sw_tensor bias);
SW_API sw_tensor sw_relu(sw_tensor x);                     /* max(x, 0), derivative 0 at 0; NaN for NaN */
SW_API sw_tensor sw_tanh(sw_tensor x);                     /* tanh x */
SW_API sw_tensor sw_sigmoid(sw_tensor x);                  /* 1 / (1 + e^-x) */
SW_API sw_tensor sw_leaky_relu(sw_tensor x, double slope); /* x for x ≥ 0, else slope·x; often 0.01 */
SW_API sw_tensor sw_elu(sw_tensor x, double alpha);        /* x for x ≥ 0, else alpha (e^x - 1); often 1 */
SW_API sw_tensor sw_silu(sw_tensor x);                     /* x / (1 + e^-x) */
SW_API sw_tensor sw_softplus(sw_tensor x);                 /* log(1 + e^x) */
SW_API sw_tensor sw_gelu(sw_tensor x);      /* x Φ(x), Φ the normal distribution function (Hendrycks, Gimpel 2016) */
SW_API sw_tensor sw_gelu_tanh(sw_tensor x); /* ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), from the same paper */
SW_API sw_tensor sw_squared_relu(sw_tensor x); /* max(x, 0)² (D. So et al., Primer, 2021); NaN for NaN */
/* SwiGLU: x [..., 2n] → [..., n], silu of the first n elements of each row times the last n (N. Shazeer, GLU variants
 * improve transformer, 2020). */
SW_API sw_tensor sw_swiglu(sw_tensor x);

/* ---- Reductions. The axes to reduce are `count` different axes; negative axes count from the end. Write SW_AXES(-1),
 * SW_AXES(0, 2), or SW_ALL_AXES. With keepdim the reduced axes remain, with length 1; else they are removed. ---- */
/* Two arguments, the number of axes and their array: sw_sum_over(x, SW_AXES(0, 2), false). C only. */
#define SW_AXES(...)                                                         \
    (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)), (const int[]) { \
        __VA_ARGS__                                                          \
    }
/* In place of SW_AXES: all axes. */
#define SW_ALL_AXES (-1), ((const int *)0)

SW_API sw_tensor sw_sum(sw_tensor x);  /* the sum of all elements, a scalar; 0 if there is no element */
SW_API sw_tensor sw_mean(sw_tensor x); /* the mean of all elements, a scalar; NaN if there is no element */
/* The sum or the mean over some axes. */
SW_API sw_tensor sw_sum_over(sw_tensor x, int count, const int *axes, bool keepdim);
SW_API sw_tensor sw_mean_over(sw_tensor x, int count, const int *axes, bool keepdim);
/* The product of all elements, a scalar, or of those along some axes; 1 if there is no element. The elements are
 * multiplied in their order, in f64, and the result is rounded once. The derivative by an element is the product of all
 * others: of those before it, rounded to the type of x, times those after it. It is correct even if elements are 0,
 * because it is not computed by a division. */
SW_API sw_tensor sw_prod(sw_tensor x);
SW_API sw_tensor sw_prod_over(sw_tensor x, int count, const int *axes, bool keepdim);
/* The variance Σ (x - mean)² / (n - correction), computed in two passes, and its root, the standard deviation. The
 * correction is a finite number, usually 0 (population) or 1 (sample). If n ≤ correction, the divisor is taken as 0:
 * the result is ∞, or NaN if all elements are equal. If there is no element, the result is NaN. The derivative of the
 * standard deviation is 0 where it is 0. */
SW_API sw_tensor sw_var_over(sw_tensor x, int count, const int *axes, bool keepdim, double correction);
SW_API sw_tensor sw_std_over(sw_tensor x, int count, const int *axes, bool keepdim, double correction);
/* The largest or the smallest element; NaN, with gradient NaN for all elements, if one is NaN. Equal elements share the
 * gradient evenly. A reduced axis of length 0 is an error unless the result has no elements. */
SW_API sw_tensor sw_max_over(sw_tensor x, int count, const int *axes, bool keepdim);
SW_API sw_tensor sw_min_over(sw_tensor x, int count, const int *axes, bool keepdim);
/* The p-norm (Σ |x|^p)^(1/p) for p ≥ 1, max |x| for p = INFINITY. Elements are scaled, so that intermediate results do
 * not overflow. The derivative is 0 if the norm is 0; if the norm is ∞, it is the sign at infinite elements and 0 at
 * the others. */
SW_API sw_tensor sw_norm_over(sw_tensor x, double p, int count, const int *axes, bool keepdim);
/* log Σ e^x, without overflow; -∞ if there is no element. The derivative is the softmax e^x / Σ e^x, which does not
 * change if a constant is added to x; it is 0 if all elements are -∞. */
SW_API sw_tensor sw_logsumexp_over(sw_tensor x, int count, const int *axes, bool keepdim);

/* Whether at least one element (any), or every element (all), is not 0: u8, 1 for true or 0 for false. NaN counts as
 * true. If there is no element, any is 0 and all is 1. x may also be i32 or u8. No gradient. */
SW_API sw_tensor sw_any_over(sw_tensor x, int count, const int *axes, bool keepdim);
SW_API sw_tensor sw_all_over(sw_tensor x, int count, const int *axes, bool keepdim);

/* Cumulative sums and products along an axis, y_i = Σ_{j ≤ i} x_j and y_i = Π_{j ≤ i} x_j, in the shape of x. They are
 * computed in f64, and each element is rounded once: the error of a sum is at most that of the rounding plus n 2^-53
 * Σ |x_j| for n terms. The derivative of a product is computed as that of sw_prod. */
SW_API sw_tensor sw_cumsum(sw_tensor x, int axis);
SW_API sw_tensor sw_cumprod(sw_tensor x, int axis);

/* e^x / Σ e^x along an axis (negative: from the end), without overflow; and its logarithm. One ∞ has probability 1;
 * several ∞ have equal probabilities; for rows that hold only -∞ the result is NaN. */
SW_API sw_tensor sw_softmax(sw_tensor x, int axis);
SW_API sw_tensor sw_log_softmax(sw_tensor x, int axis);

/* The index of the largest or the smallest element along an axis, i32; that of the first if several are equal. A NaN
 * counts as the largest, and in sw_argmin as the smallest element. The axis is removed unless keepdim. An axis of
 * length 0 is an error unless the result has no elements. No gradient. */
SW_API sw_tensor sw_argmax(sw_tensor x, int axis, bool keepdim);
SW_API sw_tensor sw_argmin(sw_tensor x, int axis, bool keepdim);
/* The ids (i32) of the elements along an axis in ascending or descending order, in the shape of x. Equal elements keep
 * their order, and -0 equals 0. A NaN is larger than all numbers. x may also be i32 or u8. No gradient. */
SW_API sw_tensor sw_argsort(sw_tensor x, int axis, bool descending);
/* The elements of x in the order of sw_argsort. If `ids` is not NULL, *ids becomes the result of sw_argsort. The
 * gradient of each element of the result is that of the element of x from which it was taken. After an error both
 * tensors are null. */
SW_API sw_tensor sw_sort(sw_tensor x, int axis, bool descending, sw_tensor *ids);
/* The k largest elements along an axis in descending order or, if `smallest`, the k smallest in ascending order, for
 * 0 ≤ k ≤ the length of the axis. Of equal elements, the first are chosen. `ids` and the gradient are as in sw_sort.
 * For k up to 1/16 of the length, the axis is not sorted, and this takes about one pass over x. */
SW_API sw_tensor sw_top_k(sw_tensor x, int64_t k, int axis, bool smallest, sw_tensor *ids);
/* The accuracy: the fraction of rows in which the largest score is that of the row's class id. scores [..., classes],
 * ids i32 [...] → a scalar of the scores' type (f32 for f16 and bf16), NaN if there is no row. A row with a NaN counts
 * as wrong. No gradient. */
SW_API sw_tensor sw_accuracy(sw_tensor scores, sw_tensor ids);

/* ---- Comparisons, logic and selection, broadcasting. The results of comparisons and logic are u8, 1 or 0, without
 * gradient. The operands are of one type: floating-point, i32 or u8. ---- */
SW_API sw_tensor sw_greater(sw_tensor a, sw_tensor b);       /* a > b */
SW_API sw_tensor sw_less(sw_tensor a, sw_tensor b);          /* a < b */
SW_API sw_tensor sw_equal(sw_tensor a, sw_tensor b);         /* a = b */
SW_API sw_tensor sw_greater_equal(sw_tensor a, sw_tensor b); /* a ≥ b */
SW_API sw_tensor sw_less_equal(sw_tensor a, sw_tensor b);    /* a ≤ b */
SW_API sw_tensor sw_not_equal(sw_tensor a, sw_tensor b);     /* a ≠ b */
/* Logic, element by element: 0 is false, every other number is true, and so is NaN. */
SW_API sw_tensor sw_logical_and(sw_tensor a, sw_tensor b);
SW_API sw_tensor sw_logical_or(sw_tensor a, sw_tensor b);
SW_API sw_tensor sw_logical_xor(sw_tensor a, sw_tensor b); /* whether exactly one of the two is true */
SW_API sw_tensor sw_logical_not(sw_tensor x);
/* a if the condition (u8 or i32) is not 0, else b. An operand gets a gradient only where it was selected, so that an
 * Inf or NaN in the operand that was not selected has no effect. */
SW_API sw_tensor sw_where(sw_tensor condition, sw_tensor a, sw_tensor b);

/* ---- Shapes and types. Negative axes count from the end. Tensors may be of a floating-point type, with gradients, or
 * i32 and u8, without. ---- */
/* The same elements in another shape, without a copy. One length may be -1; it is computed from the others. */
SW_API sw_tensor sw_reshape(sw_tensor x, int rank, const int64_t *shape);
/* Exchanges two axes (copies). */
SW_API sw_tensor sw_transpose(sw_tensor x, int axis_a, int axis_b);
/* Axis i of the result is axis axes[i] of x: sw_permute(x, SW_AXES(1, 2, 0)). `axes` holds each axis once. */
SW_API sw_tensor sw_permute(sw_tensor x, int count, const int *axes);
/* As `end` of sw_slice: the end of the axis. */
#define SW_END INT64_MAX
/* The elements begin to end - 1 along an axis. Negative positions count from the end; SW_END is the end. A position
 * outside of the axis, and end < begin, are errors. */
SW_API sw_tensor sw_slice(sw_tensor x, int axis, int64_t begin, int64_t end);
/* As sw_slice, but only the elements begin, begin + step, begin + 2·step, … below the end; step ≥ 1. */
SW_API sw_tensor sw_slice_with_step(sw_tensor x, int axis, int64_t begin, int64_t end, int64_t step);
/* Reverses the order of the elements along some axes: sw_flip(x, SW_AXES(1)), SW_ALL_AXES. */
SW_API sw_tensor sw_flip(sw_tensor x, int count, const int *axes);
/* Moves the elements along an axis of length n by `shift` places; those beyond the end continue at the beginning, so
 * that element i becomes element (i + shift) mod n. shift may be negative, and may be larger than n. */
SW_API sw_tensor sw_roll(sw_tensor x, int64_t shift, int axis);
/* Two arguments, the number of tensors and their array: sw_concat(SW_TENSORS(a, b, c), -1). C only. */
#define SW_TENSORS(...)                                                                        \
    (int)(sizeof((const sw_tensor[]){__VA_ARGS__}) / sizeof(sw_tensor)), (const sw_tensor[]) { \
        __VA_ARGS__                                                                            \
    }
/* Concatenates tensors along an axis. All other axes must have equal lengths. */
SW_API sw_tensor sw_concat(int count, const sw_tensor *parts, int axis);
/* Joins tensors of equal shapes along a new axis of length `count`; `axis` is its place in the result. */
SW_API sw_tensor sw_stack(int count, const sw_tensor *parts, int axis);
/* Splits x along an axis into `count` parts of the given lengths (NULL: equal lengths), which must add up to the length
 * of the axis. After an error all parts are null tensors. */
SW_API sw_status sw_split(sw_tensor x, int axis, int count, const int64_t *lengths, sw_tensor *parts);
/* Adds before[i] and after[i] elements `value` at the two ends of axis i. `rank` is the rank of x; the numbers must not
 * be negative. */
SW_API sw_tensor sw_pad(sw_tensor x, int rank, const int64_t *before, const int64_t *after, double value);
/* x in the type f32, f64, f16 or bf16; other types are an error (SW_ERR_TYPE). Each number is rounded once, to the
 * nearest number of the type, and becomes ±∞ if it is beyond the range. The gradient is converted to the type of x. If
 * x has the type already, the result is a view of x. x may be i32 or u8 too, without gradient. */
SW_API sw_tensor sw_cast(sw_tensor x, sw_dtype type);
/* Repeats x to the shape, as broadcasting does. A length of -1 keeps the length of x. */
SW_API sw_tensor sw_expand(sw_tensor x, int rank, const int64_t *shape);

/* ---- Gathering and adding by ids (i32). An id out of range is an error that names the id and its position. ---- */
/* Gathers rows, as an embedding does: table [rows, ...], ids of any shape → [ids..., ...]. The gradients of a row that
 * is gathered several times are added in the order of the ids. */
SW_API sw_tensor sw_gather_rows(sw_tensor table, sw_tensor ids);
/* As sw_gather_rows, but the gradient of the row `padding_id` of the table is 0; padding_id is 0 to rows - 1. */
SW_API sw_tensor sw_gather_rows_with_padding(sw_tensor table, sw_tensor ids, int64_t padding_id);
/* Gathers elements along an axis: out[i][j][k] = x[i][ids[i][j][k]][k] for axis 1, and in the same way for other axes.
 * ids has the rank of x and, except for the axis, its lengths. */
SW_API sw_tensor sw_gather(sw_tensor x, int axis, sw_tensor ids);
/* A copy of x to which values are added at the places that ids give along an axis, the transpose of sw_gather: for axis
 * 1, values[i][j][k] is added to out[i][ids[i][j][k]][k]. ids and values have equal shapes: those of x, except for the
 * length of the axis. Values with equal ids are added in the order of the ids. x and the values get gradients. */
SW_API sw_tensor sw_scatter_add(sw_tensor x, int axis, sw_tensor ids, sw_tensor values);
/* Adds whole rows, the transpose of sw_gather_rows: table [rows, ...], ids of any shape, values [ids..., ...] → the
 * shape of the table. For example, with a table of zeros [groups, ...] and the group of each row as ids, the result is
 * the sum of the rows of each group. */
SW_API sw_tensor sw_scatter_add_rows(sw_tensor table, sw_tensor ids, sw_tensor values);
/* The one-hot vectors of class ids, i32 or u8: [...] → [..., classes] in the given type, 1 at the id and 0 elsewhere.
 * No gradient. */
SW_API sw_tensor sw_one_hot(sw_tensor ids, int64_t classes, sw_dtype type);

/* ---- Dropout ---- */
/* Sets each element to 0 with probability p in [0, 1) and multiplies the others by 1/(1-p) (Srivastava et al., JMLR
 * 2014). If SW_TRAIN is off or p = 0, the result is a view of x. The mask depends on the tape's seed and draw, on
 * `site` (the number of a layer), and on the number of earlier random operations in this pass. If the length of axis 0
 * is a multiple of the number of ids given to sw_tape_set_sample_ids, it also depends on the sample's id and on the
 * position within the sample: [batch, time, features] and its reshape [batch·time, features] have the same mask
 * (sw_tape_row_samples in op.h). Otherwise each row counts as a sample whose id is the row number. */
SW_API sw_tensor sw_dropout(sw_tensor x, double p, uint64_t site);

/* ---- Losses. The functions without options return means; they can be used as sw_loss (nn.h). ---- */
/* How the losses of the elements or samples are combined. */
typedef enum sw_reduction {
    SW_MEAN = 0,
    SW_SUM, /* the sum. A program that scales the sum to a mean calls sw_loss_with_weight */
    SW_NONE /* no reduction: one number per element, or per row for cross-entropy and sw_kl_div */
} sw_reduction;

/* Cross-entropy of softmax(logits), logits [..., classes], against
 *   - ids i32 [...]: log Σ exp(z) - z[id];
 *   - distributions [..., classes] of the logits' type (soft targets): -Σ_c t_c log softmax(z)_c.
 * The result is the mean over all rows. One class is an error, because the loss would be 0 for any logit. */
SW_API sw_tensor sw_cross_entropy(sw_tensor logits, sw_tensor target);
/* Options of sw_cross_entropy_with_options. */
typedef struct sw_cross_entropy_options {
    size_t size; /* sizeof(sw_cross_entropy_options) */
    sw_reduction reduction;
    /* ε in [0, 1]: the target t is replaced by (1 - ε) t + ε/classes (Szegedy et al., CVPR 2016). */
    double label_smoothing;
    /* If true, rows with the id `ignored_id` have loss 0 and no gradient, and are not counted in the mean. Needs
     * ids. */
    bool ignore;
    int32_t ignored_id;
    /* w ≥ 0, one for each class, or NULL: the term of each class is multiplied by w_c. The mean for ids is then
     * Σ loss / Σ w[id], as in PyTorch; for distributions it remains the mean over the rows. Copied. */
    const double *class_weights;
    int classes; /* the number of class_weights */
} sw_cross_entropy_options;
/* As sw_cross_entropy, with options (NULL: the defaults). With SW_NONE the result has the shape [...]. The mean over no
 * rows is NaN. */
SW_API sw_tensor sw_cross_entropy_with_options(sw_tensor logits, sw_tensor target,
                                               const sw_cross_entropy_options *options);

/* Options of sw_mse, sw_l1, sw_hinge and sw_kl_div.
 *
 * weight: a tensor that broadcasts to the shape of the prediction. The loss of each element is multiplied by its
 * weight. A weight is a constant: no gradient flows to it. As in PyTorch, the mean depends on the loss:
 *   - sw_mse, sw_l1 and sw_hinge: Σ w·loss / Σ w. The weight of this mean (loss_mean.h) is Σ w, which must not be
 *     negative.
 *   - sw_huber and sw_bce_with_logits: Σ w·loss / n for n elements. The weight of this mean is the number of rows.
 * sw_kl_div has no weights; multiply the rows that SW_NONE returns. */
typedef struct sw_loss_options {
    size_t size; /* sizeof(sw_loss_options) */
    sw_reduction reduction;
    sw_tensor weight; /* the null tensor: 1 */
} sw_loss_options;
/* Losses of each element, for a prediction p and a target t of equal shapes. The functions without options, and options
 * NULL, return the mean over all elements. If a tensor among the options is null while an error is pending, the result
 * is a null tensor, because that tensor may be the one that failed. */
SW_API sw_tensor sw_mse(sw_tensor prediction, sw_tensor target); /* (p - t)² */
SW_API sw_tensor sw_mse_with_options(sw_tensor prediction, sw_tensor target, const sw_loss_options *options);
SW_API sw_tensor sw_l1(sw_tensor prediction, sw_tensor target); /* |p - t|, derivative 0 at 0 */
SW_API sw_tensor sw_l1_with_options(sw_tensor prediction, sw_tensor target, const sw_loss_options *options);
/* Options of sw_huber_with_options. */
typedef struct sw_huber_options {
    size_t size; /* sizeof(sw_huber_options) */
    sw_reduction reduction;
    double delta;     /* δ > 0; 0: 1 */
    sw_tensor weight; /* as in sw_loss_options */
} sw_huber_options;
/* With d = p - t: ½ d² for |d| ≤ δ, else δ (|d| - ½ δ) (Huber 1964). sw_huber has δ = 1. */
SW_API sw_tensor sw_huber(sw_tensor prediction, sw_tensor target);
SW_API sw_tensor sw_huber_with_options(sw_tensor prediction, sw_tensor target, const sw_huber_options *options);
/* max(0, 1 - t s) for a score s; derivative 0 at t s = 1. Targets t must be -1 or 1, which is not checked. */
SW_API sw_tensor sw_hinge(sw_tensor score, sw_tensor target);
SW_API sw_tensor sw_hinge_with_options(sw_tensor score, sw_tensor target, const sw_loss_options *options);
/* Options of sw_bce_with_logits_with_options. */
typedef struct sw_bce_options {
    size_t size; /* sizeof(sw_bce_options) */
    sw_reduction reduction;
    sw_tensor weight; /* as in sw_loss_options */
    /* The weight q of the positive class, often (number of negatives)/(number of positives) for each output: a tensor
     * that broadcasts to the shape of the logits and gets no gradient. The loss for a logit z and a target y is then
     * (1 - y) z + (1 + (q - 1) y) log(1 + exp(-z)), which is q times as large for y = 1. The null tensor: 1. */
    sw_tensor pos_weight;
} sw_bce_options;
/* Binary cross-entropy: log(1 + exp z) - y z for logits z and targets y in [0, 1]. */
SW_API sw_tensor sw_bce_with_logits(sw_tensor logits, sw_tensor target);
SW_API sw_tensor sw_bce_with_logits_with_options(sw_tensor logits, sw_tensor target, const sw_bce_options *options);
/* The Kullback-Leibler divergence of log-probabilities q from probabilities t along the last axis:
 * Σ_c t_c (log t_c - q_c), where terms with t_c = 0 are 0. There is one number per row; the mean is over the rows
 * (PyTorch's "batchmean" for two axes). The derivative by t_c is 0 if t_c = 0. */
SW_API sw_tensor sw_kl_div(sw_tensor log_prediction, sw_tensor target);
SW_API sw_tensor sw_kl_div_with_options(sw_tensor log_prediction, sw_tensor target, const sw_loss_options *options);

/* Returns a tensor with the value and the gradient of `loss`, a tensor with one element, and with another weight in
 * means over parts (loss_mean.h): finite and at least 0, or SW_SUMMED. Use it for a loss that a program computes from
 * other operations. */
SW_API sw_tensor sw_loss_with_weight(sw_tensor loss, double weight);

#ifdef __cplusplus
}
#endif
#endif
