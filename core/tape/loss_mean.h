/* The mean of a loss over samples that are processed in parts. */
#ifndef SWALE_LOSS_MEAN_H
#define SWALE_LOSS_MEAN_H

#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A mean over samples that are processed in parts (micro-batches, chunks, shards, batches of an evaluation) is
 * Σ weight·loss / Σ weight, where the weight of a part is the divisor of its mean. Each loss tensor has a weight:
 *   - the mean cross-entropy of ids has the number of rows that are not ignored, or the sum of their class weights;
 *   - another mean loss has the number of rows: the product of the lengths of all axes but the last. The length of the
 *     last axis must be the same in all parts. A vector counts as a batch of numbers, one in each row, except in
 *     sw_kl_div, where it is one row;
 *   - a loss with SW_SUM has the weight SW_SUMMED: the values of its parts are added;
 *   - a tensor that is computed from losses has their weight, so that a program may add a penalty or scale a loss;
 *   - any other tensor has the number of ids given to sw_tape_set_sample_ids, or 1 if there are none.
 * If a tensor combines losses with different weights, its parts can be averaged only if the ratio of these weights is
 * the same in all parts. Otherwise adding a part is an error.
 *
 * The contract of a custom loss with weights (class weights, ignored rows, padding). It computes
 *     loss = Σ_i w_i l_i / W,    W = Σ_i w_i,
 * over the rows of its part, and declares W:
 *   - an operation that is a loss calls sw_call_set_weight(call, W) in `forward` (op.h);
 *   - a loss that is composed of operations is the result of sw_loss_with_weight(loss, W) (ops.h);
 *   - an objective that is evaluated by `gradient` has the member `weight`, which returns W (objective.h).
 * A loss that is the sum Σ_i w_i l_i declares SW_SUMMED. W is finite and not negative. If it is 0, no row counts: the
 * value of the part (which may be NaN) and its gradient are ignored as soon as another part has a weight. If no part of
 * a step has a weight, the value is NaN, and the gradient is that of the loss: NaN of 0/0 skips the step, and a loss
 * that divides by 1 instead has the gradient 0. If W depends on random numbers (masked tokens), these must be a
 * function of the samples' ids and the draw. Under these conditions sw_backward over several passes, sw_loss_mean, the
 * functions of objective.h with any chunks and shards, sw_model_evaluate and the estimators compute the same mean, up
 * to rounding, however the samples are divided. If a loss declares no weight, but divides by another number than the
 * number of rows, its mean depends on how the samples are divided.
 */
#define SW_SUMMED (-1.0)
/* The weight of a loss; NaN and an error for a null or stale tensor. */
SW_API double sw_loss_weight(sw_tensor loss);
/* The mean of a loss over parts. Initialize it with {0}. Parts with weight 0 are ignored, whatever their value, because
 * a mean over no rows is NaN. */
typedef struct sw_loss_mean {
    double sum, weight; /* Σ value·weight/unit and Σ weight/unit */
    double unit;        /* the first weight above 0, or SW_SUMMED; 0: none so far */
    double mix;         /* identifies the ratio of the weights if the tensor combines several losses */
} sw_loss_mean;
/* Adds the value and the weight of a loss, which must be a tensor with one element. */
SW_API sw_status sw_loss_mean_add(sw_loss_mean *mean, sw_tensor loss);
/* The same from numbers: the weight is finite and at least 0, or SW_SUMMED. */
SW_API sw_status sw_loss_mean_add_part(sw_loss_mean *mean, double value, double weight);
/* The mean so far; for losses that are sums, the sum so far. NaN if the weights add up to 0. */
SW_API double sw_loss_mean_value(const sw_loss_mean *mean);

#ifdef __cplusplus
}
#endif
#endif
