/* The options of convolutions, and the lengths of their results, for operations (conv.h) and layers (nn.h). */
#ifndef SWALE_CONV_OPTIONS_H
#define SWALE_CONV_OPTIONS_H

#include <swale/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Pairs are along H and W, and both numbers are given: a padding of {1} is one along H alone. For sw_conv1d the first
 * number is along L, and the second must be 0. Every number is at most 2^31 - 1. */
typedef struct sw_conv_options {
    size_t size;         /* sizeof(sw_conv_options) */
    int64_t stride[2];   /* the distance of two positions of the kernel, ≥ 1; {0, 0}: {1, 1} */
    int64_t padding[2];  /* zeros before the first element of each axis, and as many after the last; ≥ 0 */
    bool same;           /* in place of padding: see sw_conv_out_length; not for a transposed convolution */
    int64_t dilation[2]; /* the distance of two elements of the kernel, ≥ 1; {0, 0}: {1, 1} */
    int64_t groups;      /* ≥ 1, must divide the numbers of input and output channels; 0: 1 */
    /* Of a transposed convolution: elements that are added after the last one of each axis. Several lengths of the
     * input of a convolution give the same length of its output; this number chooses among them. It must be below the
     * stride or below the dilation. */
    int64_t output_padding[2];
    bool no_bias; /* there is no bias: the parameter of a layer, or the tensor of an operation */
} sw_conv_options;

/* What a convolution computes, for the functions below. */
typedef enum sw_conv_kind { SW_CONV1D, SW_CONV2D, SW_CONV2D_TRANSPOSED } sw_conv_kind;

/* Checks options (NULL: the defaults), and writes them to *all with the defaults filled in. An error (SW_ERR_ARGUMENT),
 * whose message begins with `who`, if a number is out of range. For SW_CONV1D the pairs of *all are those of a
 * picture of height 1: {1, stride}, {0, padding} and so on. */
SW_API sw_status sw_conv_options_check(const char *who, sw_conv_kind kind, const sw_conv_options *options,
                                       sw_conv_options *all);

/* Computes *out, the length of the result of a convolution along one axis: 0 (H) or 1 (W, and L). `options` are those
 * of sw_conv_options_check. `shape` is that of the input, [..., H, W, C] or [..., L, C], with or without the batch;
 * below, `length` is its length along this axis. `kernel` is the length of the weight along this axis. The kernel spans
 * s = dilation (kernel - 1) + 1 elements of the input. *before becomes the number of zeros before the first element;
 * before may be NULL.
 *
 *     with padding p    ⌊(length + 2p - s) / stride⌋ + 1
 *     with same         ⌈length / stride⌉, with max(0, (result - 1) stride + s - length) zeros, one more after than
 *                       before if their number is odd; for stride 1 as PyTorch's padding="same"
 *     transposed        (length - 1) stride - 2p + s + output_padding
 *
 * An error (SW_ERR_SHAPE), whose message begins with `who`, if the padded input is shorter than s, if the result of a
 * transposed convolution would have no element, if the kernel is below 1, and for lengths above 2^31 - 1. */
SW_API sw_status sw_conv_out_length(const char *who, sw_conv_kind kind, const sw_conv_options *options, int axis,
                                    int rank, const int64_t *shape, int64_t kernel, int64_t *out, int64_t *before);

#ifdef __cplusplus
}
#endif
#endif
