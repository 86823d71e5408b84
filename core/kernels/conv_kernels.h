/* Convolutions of pictures with channels last, for operations that need them (conv.h has the operations on a tape).
 *
 * A convolution with stride s, dilation d and b zeros before each axis, where a pixel outside of x is 0:
 *
 *     y[n,i,j,o] = bias[o] + Σ x[n, i s + u d - b, j s + v d - b, first(o) + c] w[o,u,v,c]
 *
 * over u < kernel_height, v < kernel_width, c < inputs / groups. first(o) is the first input channel of the group of o.
 */
#ifndef SWALE_CONV_KERNELS_H
#define SWALE_CONV_KERNELS_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Takes or gives y [samples, out_height, out_width, outputs] of the samples first, first + 1, …: see sw_conv. */
typedef void sw_conv_samples(void *args, int64_t first, int64_t samples, void *y);

/* The shape of a convolution. All lengths may be 0, except for those of the kernel and the groups, which are >= 1. */
typedef struct sw_conv {
    size_t size;                            /* sizeof(sw_conv) */
    sw_dtype type;                          /* of all arrays: f32 or f64 */
    int64_t batch, height, width, inputs;   /* x [batch, height, width, inputs] */
    int64_t out_height, out_width, outputs; /* y [batch, out_height, out_width, outputs] */
    int64_t kernel_height, kernel_width;    /* w [outputs, kernel_height, kernel_width, inputs / groups] */
    int64_t stride[2], dilation[2];         /* along H and W, >= 1 */
    int64_t before[2];                      /* zeros before H and W, >= 0. There are as many zeros after them as the
                                             * output needs; where it needs fewer, the last rows of x are not used. */
    int64_t groups;                         /* divides inputs and outputs */
    /* Not NULL: y, or dy, is not an array (the argument is ignored), but exists for a few samples at a time, so that it
     * stays in the cache. sw_conv_forward calls the function with the results of some samples, which it reads; the
     * gradients call it to make it write dy of some samples. Each sample is in one call. Calls run in parallel. If the
     * convolution does not process whole samples one after the other, which depends on its shape, there is one array of
     * all samples in the scratch. */
    sw_conv_samples *samples;
    void *samples_args;
} sw_conv;

/* Each function computes one of the three products of a convolution and overwrites its result, the last array:
 *
 *     sw_conv_forward          y from x, w and bias [outputs], which may be NULL
 *     sw_conv_input_gradient   dx from w and dy
 *     sw_conv_weight_gradient  dw from x and dy
 *
 * `scratch` has at least the bytes that the _scratch function returns for the same convolution, and is aligned to
 * SW_ALIGNMENT; `bytes` is its size. The number of bytes depends on sw_threads(). Nothing is allocated.
 *
 * Convolutions in f32 with 3 × 3 kernels, stride 1, dilation 1, one group, and 32 or more inputs and outputs are
 * computed by Winograd's minimal filtering if the shape makes it faster. Its rounding errors are not larger, but a NaN
 * or an infinity in x reaches all pixels of y in the same 2 × 2 tile, and a NaN can take the place of an infinity. The
 * same is true for the gradients.
 *
 * The results have the same bits for every number of threads, and on the levels avx2 and avx512 of sw_cpu_name, where
 * multiplications and additions are fused. At level baseline they are not, so that the last digits differ.
 *
 * Errors: SW_ERR_ARGUMENT for a struct or scratch of the wrong size, SW_ERR_TYPE for another type. */
SW_API sw_status sw_conv_forward(const sw_conv *conv, const void *x, const void *w, const void *bias, void *y,
                                 void *scratch, size_t bytes);
SW_API sw_status sw_conv_input_gradient(const sw_conv *conv, const void *w, const void *dy, void *dx, void *scratch,
                                        size_t bytes);
SW_API sw_status sw_conv_weight_gradient(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch,
                                         size_t bytes);
SW_API size_t sw_conv_forward_scratch(const sw_conv *conv);
SW_API size_t sw_conv_input_gradient_scratch(const sw_conv *conv);
SW_API size_t sw_conv_weight_gradient_scratch(const sw_conv *conv);

#ifdef __cplusplus
}
#endif
#endif
