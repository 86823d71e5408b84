/* Sums of outer products, for the gradient of the weights of a convolution. */
#ifndef SWALE_KERNELS_CONV_OUTER_H
#define SWALE_KERNELS_CONV_OUTER_H

#include "core/kernels/conv_sums.h"

typedef struct swi_conv_term {
    int64_t row, vector; /* offsets in elements */
} swi_conv_term;

/* Sums over terms t, which are pixels:
 *
 *     out[r out_step + c] = Σ_t rows[row_origin[r] + term[t].row] vectors[term[t].vector + c]     c < columns
 *
 * Without row_origin, it is r; then column c can also be element c / run · run_step + c % run of a term, where run
 * is a multiple of 64 bytes. If `add`, the sum is added to out, and otherwise stored. The sum of each element is one
 * chain in the order of the terms. SWI_CONV_SLACK elements after the last column of a term can be read; they may be
 * anything. */
typedef struct swi_conv_outer {
    const void *rows, *vectors;
    void *out;
    const int64_t *row_origin;
    const swi_conv_term *term;
    int64_t terms, columns, out_step;
    int64_t run, run_step; /* run 0: one run of all columns */
    bool add;
    swi_conv_ahead *ahead; /* or NULL */
} swi_conv_outer;
enum { SWI_CONV_SLACK = 16 };
extern const sw_kernels swi_conv_outer_kernels; /* args: swi_conv_outer; begin, end: rows */

#endif
