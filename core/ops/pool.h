/* Pooling: the largest or the mean element of each window of a picture [N,H,W,C] or a sequence [N,L,C], for each
 * channel. The results are those of PyTorch's functions with the same names, with channels last.
 *
 * All functions keep the type of x: f32, f64, f16 or bf16. Means of f16 and bf16 are computed in f32 and rounded once.
 * x may have no samples or no channels, but H, W and L must be at least 1. sw_pool_out_lengths (pool_options.h)
 * computes the lengths of the results, and states the errors. */
#ifndef SWALE_POOL_H
#define SWALE_POOL_H

#include <swale/pool_options.h>
#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The largest element of each window: [N,H,W,C] → [N,out_height,out_width,C]. Padding is never chosen. A dilated
 * window without any element in x gives -∞. The gradient of a window goes to its first largest element, in the order of
 * the rows. A NaN counts as the largest element; if a window has several NaN, the gradient goes to the last one.
 * options NULL: the defaults. */
SW_API sw_tensor sw_max_pool2d(sw_tensor x, int64_t window_height, int64_t window_width,
                               const sw_pool_options *options);
/* The mean of each window: [N,H,W,C] → [N,out_height,out_width,C]. options NULL: the defaults. */
SW_API sw_tensor sw_avg_pool2d(sw_tensor x, int64_t window_height, int64_t window_width,
                               const sw_pool_options *options);
/* The same for sequences: [N,L,C] → [N,out_length,C]. */
SW_API sw_tensor sw_max_pool1d(sw_tensor x, int64_t window, const sw_pool_options *options);
SW_API sw_tensor sw_avg_pool1d(sw_tensor x, int64_t window, const sw_pool_options *options);

/* Pooling to a given size: [N,H,W,C] → [N,out_height,out_width,C]. Window i along an axis of length n has the positions
 * ⌊i n / out⌋ to ⌈(i+1) n / out⌉ - 1. Both lengths are ≥ 1. */
SW_API sw_tensor sw_adaptive_max_pool2d(sw_tensor x, int64_t out_height, int64_t out_width);
SW_API sw_tensor sw_adaptive_avg_pool2d(sw_tensor x, int64_t out_height, int64_t out_width);

/* The largest or the mean element of each channel: [N,H,W,C] → [N,C]. */
SW_API sw_tensor sw_global_max_pool2d(sw_tensor x);
SW_API sw_tensor sw_global_avg_pool2d(sw_tensor x);

#ifdef __cplusplus
}
#endif
#endif
