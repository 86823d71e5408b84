/* Normalization: batch, layer, group and RMS normalization.
 *
 *     sw_tensor y = sw_layer_norm(x, weight, bias, 0);
 *
 * Each operation subtracts the mean m of a group of elements of x and divides by their standard deviation:
 *
 *     y = (x - m) / √(v + ε) · weight + bias,   v = Σ (x - m)² / k   for a group of k elements
 *
 * RMS normalization subtracts no mean: m is 0, and there is no bias.
 *
 * Channels are the last axis (PyTorch has them in axis 1). A null tensor as weight means 1, and as bias 0. If one of
 * them is null while an error is pending, the result is a null tensor, because it may be the tensor that failed. The
 * result has the shape of x. Empty inputs give empty results, and zeros as the gradients of weight and bias.
 *
 * eps is ε, finite and ≥ 0; 0 means the default of PyTorch: 1e-5, and for RMS normalization the distance from 1 to the
 * next number of the type in which it is computed, 2^-23 (f32, f16, bf16) or 2^-52 (f64).
 *
 * f32 and f64 are computed natively. f16 and bf16 are converted to f32, and results and gradients are rounded once.
 * Statistics are combined in f64: the variance of f32 has a relative error below 1e-5, even if the mean is large
 * compared with the deviation. Results have the same bits for every number of threads and on every instruction set. */
#ifndef SWALE_NORMALIZATION_H
#define SWALE_NORMALIZATION_H

#include <swale/params.h>
#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Over the last axes of each sample ---- */

/* Layer normalization over the last axis: x [..., n], weight and bias [n]. J. Ba, J. Kiros, G. Hinton, Layer
 * normalization, 2016. */
SW_API sw_tensor sw_layer_norm(sw_tensor x, sw_tensor weight, sw_tensor bias, double eps);
/* Layer normalization over the last `axes` axes together, at least 1; weight and bias have their shape. */
SW_API sw_tensor sw_layer_norm_over(sw_tensor x, int axes, sw_tensor weight, sw_tensor bias, double eps);
/* RMS normalization over the last axis: x / √(Σ x²/n + ε) · weight. x [..., n], weight [n]. B. Zhang, R. Sennrich, Root
 * mean square layer normalization, NeurIPS 2019. */
SW_API sw_tensor sw_rms_norm(sw_tensor x, sw_tensor weight, double eps);
/* RMS normalization over the last `axes` axes together, at least 1; weight has their shape. */
SW_API sw_tensor sw_rms_norm_over(sw_tensor x, int axes, sw_tensor weight, double eps);

/* ---- Over the positions of each channel ---- */

/* Group normalization: x [batch, ..., channels], weight and bias [channels]. The channels are divided into `groups`
 * groups of neighbors; each group of a sample is normalized over all positions and its channels. groups 1 is layer
 * normalization over all axes but the batch, groups = channels is instance normalization. Y. Wu, K. He, Group
 * normalization, ECCV 2018. An error (SW_ERR_SHAPE) if `groups` does not divide the channels. */
SW_API sw_tensor sw_group_norm(sw_tensor x, int64_t groups, sw_tensor weight, sw_tensor bias, double eps);

/* Options of batch normalization, for the operation and for the layer sw_nn_batch_norm (nn.h). */
typedef struct sw_batch_norm_options {
    size_t size; /* sizeof(sw_batch_norm_options) */
    double eps;  /* 0: 1e-5 */
    /* The weight of the batch in the running statistics, 0 to 1, as PyTorch defines it:
     * running ← (1 - momentum)·running + momentum·batch. 0: 0.1, the default of PyTorch. */
    double momentum;
    /* The operation: the buffers of the running statistics, [channels], both or none. NULL: the statistics of the batch
     * normalize in evaluation too. */
    sw_param *mean, *variance;
    /* The operation: a buffer that counts the steps, []. Not NULL: the running statistics are the plain average over
     * the steps (PyTorch's momentum=None), and momentum is ignored. */
    sw_param *count;
    /* The operation: uses the running statistics even while SW_TRAIN is on, as for a frozen layer. */
    bool evaluate;
    /* The layer: the plain average over the steps, with the buffer num_batches_tracked. */
    bool cumulative;
    bool no_weight, no_bias; /* the layer: has no weight, no bias */
    bool no_statistics;      /* the layer: has no running statistics (track_running_stats=False in PyTorch) */
} sw_batch_norm_options;

/* Batch normalization: x [batch, ..., channels], weight and bias [channels]. S. Ioffe, C. Szegedy, Batch normalization,
 * ICML 2015.
 *   - While SW_TRAIN is on: each channel is normalized over the batch and all positions, k values. It reports the mean
 *     and the variance for the running statistics (sw_tape_put_moments, op.h), the variance with the divisor k - 1, as
 *     PyTorch does. The running statistics change when a step commits them (see "Buffers" in params.h). An error
 *     (SW_ERR_SHAPE) if there is only one value per channel, whose variance would be 0.
 *   - Otherwise: y = (x - mean) / √(variance + ε) · weight + bias with the running statistics.
 * options NULL: the defaults, without running statistics. */
SW_API sw_tensor sw_batch_norm(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_batch_norm_options *options);

#ifdef __cplusplus
}
#endif
#endif
