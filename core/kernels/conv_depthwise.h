/* Depthwise convolutions, whose groups have one input and one output channel each. Vectors are neighboring channels,
 * and a tap outside of the picture is omitted, so that pictures need no copy with zeros around them. */
#ifndef SWALE_KERNELS_CONV_DEPTHWISE_H
#define SWALE_KERNELS_CONV_DEPTHWISE_H

#include "core/kernels/conv_plan.h"

/* The terms t are those of `segments` segments of `length` terms, whose first terms are `step` apart. Vector v of the
 * channels begins at channel v LANES, except for the last, which ends at the last channel. There are at least LANES
 * channels. */
typedef struct swi_depthwise_taps {
    const int64_t *offset; /* of each term, in elements of the picture */
    int64_t segments, length, step, channels;
} swi_depthwise_taps;

/* The pixels (r, p) of a rectangle of the result that have the same taps:
 *
 *     y[r y_row + p y_step + c] = start[c] + Σ_t x[r x_row + p x_step + offset[t] + c] w[t channels + c]
 *
 * A tile has pixels of one row; rows and columns can change places. The sum of each element is one chain in the order
 * of the terms, which begins with start[c], or 0 if start is NULL. */
typedef struct swi_depthwise_sums {
    const void *x, *w, *start;
    void *y;
    int64_t rows, x_row, y_row;
    int64_t pixels, x_step, y_step;
    swi_depthwise_taps taps;
} swi_depthwise_sums;
extern const sw_kernels swi_depthwise_sums_kernels; /* begin, end: vectors of channels */

/* The gradient of the weights, over the pixels (r, p) of a rectangle of the result:
 *
 *     sum[t sum_step + v LANES + l] += Σ_r Σ_p x[r x_row + p x_step + offset[t] + c] dy[r y_row + p y_step + c]
 *
 * c is channel l of vector v. The sum of each element is one chain, row by row. */
typedef struct swi_depthwise_weights {
    const void *x, *dy;
    void *sum;
    int64_t rows, x_row, y_row;
    int64_t pixels, x_step, y_step, sum_step;
    swi_depthwise_taps taps;
} swi_depthwise_weights;
extern const sw_kernels swi_depthwise_weights_kernels; /* begin, end: vectors of channels */

/* ---- Convolutions (conv_depthwise_run.c) ---- */

/* Whether a convolution is computed in this way: by its shape alone. */
bool swi_depthwise_fits(const sw_conv *conv);
size_t swi_depthwise_scratch(const sw_conv *conv, swi_conv_purpose purpose);
/* As the functions of conv_shared.h. */
sw_status swi_depthwise_windows(const sw_conv *conv, bool gradient, const void *picture, const void *w,
                                const void *bias, void *result, void *scratch, size_t bytes);
sw_status swi_depthwise_weights_gradient(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch,
                                         size_t bytes);

#endif
