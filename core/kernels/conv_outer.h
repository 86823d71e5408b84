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
    /* Not 0: `rows` are panels of swi_conv_panels with this width, `panel_step` elements from one to the next; the
     * first begins with row `begin`. There is no row_origin, and the row of a term is its index times the width. */
    int64_t panel, panel_step;
    /* Not 0: the rows are those of a window with one channel, `taps` in each row of the window, which are neighbors:
     * row_origin[r + 1] = row_origin[r] + 1. So are the terms of a row of pixels, `term_run` of them: the next term has
     * row + 1 and vector + columns. */
    int64_t taps, term_run;
} swi_conv_outer;
enum { SWI_CONV_SLACK = 16 };
extern const sw_kernels swi_conv_outer_kernels; /* args: swi_conv_outer; begin, end: rows */

/* Copies the elements rows[origin[t] + r] to panels [tiles, terms, width], one for the rows of each tile. If terms are
 * far from one another in memory, the elements of a tile are in as many sets of the first-level cache as a panel fills,
 * but in fewer of them. The origins are in increasing order. */
typedef struct swi_conv_panels {
    const void *rows;
    void *panels;
    const int64_t *origin;
    int64_t terms, width;
} swi_conv_panels;
extern const sw_kernels swi_conv_panels_kernels; /* begin, end: rows */
/* The width of the panels for outer products with this number of columns: the most rows of a tile. */
int64_t swi_conv_panel_width(int64_t columns, sw_dtype type, int level);

#endif
