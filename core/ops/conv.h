/* Convolutions. Pictures and signals have their channels last, [N,H,W,C] and [N,L,C], so that the numbers of a pixel
 * are adjacent in memory.
 *
 *     sw_tensor y = sw_conv2d(x, weight, bias, &SW_OPTIONS(sw_conv_options, .stride = {2, 2}, .padding = {1, 1}));
 *
 * As in PyTorch, the kernel is not mirrored (a cross-correlation), and pixels outside of the picture are 0. The
 * conventions of ops.h apply to types and null tensors. f16 and bf16 are computed in f32 and rounded once. The results
 * have the same bits for every number of threads, and on the levels avx2 and avx512 of sw_cpu_name. They differ in the
 * last digits at level baseline, which has no fused multiply-add.
 *
 * A result that depends on a NaN is NaN. Some convolutions in f32, f16 and bf16 with kernels 3×3 are computed by
 * Winograd's algorithm (conv_kernels.h has the conditions). There, a NaN or an infinity also reaches neighboring
 * results that do not depend on it, and a result can be NaN in place of ∞. */
#ifndef SWALE_CONV_H
#define SWALE_CONV_H

#include <swale/conv_options.h>
#include <swale/pool_options.h>
#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* x [N,H,W,C], weight [out,kh,kw,C/groups], bias [out] or the null tensor → y [N,H',W',out]:
 *
 *     y[n,i,j,o] = bias[o] + Σ x[n, i·stride + u·dilation - before, j·stride + v·dilation - before, c] weight[o,u,v,c]
 *
 * over u < kh, v < kw and the channels c of the group of o. (The index c of the weight is 0 for the first channel of
 * the group.) The channels and the outputs are divided into `groups` parts of equal length, and part g of the outputs
 * reads part g of the channels. If `groups` equals C, the convolution is depthwise. sw_conv_out_length (conv_options.h)
 * computes H', W' and `before`. options NULL: stride 1, no padding.
 *
 * If the bias is null while an error is pending, the result is a null tensor, because the bias may be the tensor that
 * failed. With the option no_bias there is no bias, and the operation works while an error is pending. */
SW_API sw_tensor sw_conv2d(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_conv_options *options);
/* The same for signals: x [N,L,C], weight [out,k,C/groups], bias [out] or the null tensor → [N,L',out]. */
SW_API sw_tensor sw_conv1d(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_conv_options *options);
/* The transposed convolution: x [N,H,W,in], weight [in,kh,kw,out/groups], bias [out] or the null tensor →
 * [N,H',W',out], with H' and W' from sw_conv_out_length. It is the gradient by the input of sw_conv2d with the same
 * weight and options, for the cotangent x, plus the bias: each element of x adds the kernel, multiplied by this
 * element, to the result, and the kernels of neighboring elements are `stride` apart. */
SW_API sw_tensor sw_conv2d_transposed(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_conv_options *options);

/* sw_conv2d and the pool of its result, x [N,H,W,C] → [N,out_height,out_width,out], with the bits in f32 and
 * f64 of
 *
 *     sw_max_pool2d(sw_conv2d(x, weight, bias, options), window_height, window_width, pool)
 *
 * and the same with sw_avg_pool2d (pool.h); the option `relu` of the pool is an activation between the two. The result
 * of the convolution is not stored, but processed by samples in the cache, which saves memory and time. (It is stored
 * if an average pool has the option relu and windows that overlap or have more than 4 elements.) f16 and bf16 are
 * rounded once, after the pool. */
SW_API sw_tensor sw_conv2d_max_pool2d(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_conv_options *options,
                                      int64_t window_height, int64_t window_width, const sw_pool_options *pool);
SW_API sw_tensor sw_conv2d_avg_pool2d(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_conv_options *options,
                                      int64_t window_height, int64_t window_width, const sw_pool_options *pool);

#ifdef __cplusplus
}
#endif
#endif
