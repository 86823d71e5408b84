/* The parts of convolutions: each computes a checked convolution outside of a dry run. */
#ifndef SWALE_KERNELS_CONV_SHARED_H
#define SWALE_KERNELS_CONV_SHARED_H

#include <swale/conv_kernels.h>

/* The forward pass, and the gradient of the input: picture is x or dy, result is y or dx (conv_windows.c). */
size_t swi_conv_windows_scratch(const sw_conv *conv, bool gradient);
/* Whether its items are whole samples, so that conv->samples can be used. */
bool swi_conv_windows_by_samples(const sw_conv *conv, bool gradient);
sw_status swi_conv_windows(const sw_conv *conv, bool gradient, const void *picture, const void *w, const void *bias,
                           void *result, void *scratch, size_t bytes);

/* The gradient of the weights (conv_weights.c). */
size_t swi_conv_weights_scratch(const sw_conv *conv);
bool swi_conv_weights_by_samples(const sw_conv *conv); /* as swi_conv_windows_by_samples */
sw_status swi_conv_weights(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch, size_t bytes);
/* The same without zeros around the pictures, tap by tap (conv_weights_taps.c). */
size_t swi_conv_weights_taps_scratch(const sw_conv *conv);
sw_status swi_conv_weights_taps(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch,
                                size_t bytes);

#endif
