/* Folding: many elements along some axes become one number each (a sum, the largest, …), and the way
 * back, where each element is made from its group's numbers. All reductions are made of the two. */
#ifndef SWALE_FOLD_H
#define SWALE_FOLD_H

#include "internal.h"

enum { SWI_GROUPS = SW_MAX_RANK / 2 };

/* Sizes that decide in which order a sum is added; of a file with kernels. */
enum {
    SWI_FOLD_WIDE = 64,   /* rows as long as this are folded in lanes */
    SWI_FOLD_WIDTH = 256, /* columns at a time, and outputs in a tile */
    SWI_FOLD_GROUP = 64   /* elements that are added in the element type before f64 takes over */
};

/* A shape of which some axes are folded, neighbors of one kind joined: blocks × folds matrices
 * [rows, length]. Every block has outputs of its own; the matrices of its folds are folded together. */
typedef struct swi_axes {
    int64_t outputs, count; /* count: elements for each output */
    int64_t rows, length;
    bool across; /* a matrix's rows are folded into one; else each row into one number */
    int64_t blocks, folds;
    int kept, folded; /* axes behind blocks and folds, from the last */
    int64_t kept_length[SWI_GROUPS], kept_stride[SWI_GROUPS];
    int64_t folded_length[SWI_GROUPS], folded_stride[SWI_GROUPS];
} swi_axes;

/* To a shape that is aligned at the last axes; those in which it is 1 or missing are folded. */
swi_axes swi_axes_of(int rank, const int64_t *shape, int to_rank, const int64_t *to_shape);

/* Arguments of the kernels. Folding: columns or rows [begin, end) of [rows, length]. */
typedef struct swi_fold_args {
    const void *x, *m, *low; /* m, low: numbers of the output that the fold reads, or NULL */
    double *to;              /* what they are folded into, one for each output */
    int64_t rows, length, stride;
    double p;
} swi_fold_args;
/* The way back: rows [begin, end). */
typedef struct swi_spread_args {
    const void *x, *y, *low, *h; /* y, low, h: numbers of the output */
    void *out;
    int64_t length, stride;
    double p;
} swi_spread_args;

typedef struct swi_fold {
    sw_kernels rows, columns;
    bool largest; /* of what the kernel forms; else their sum */
} swi_fold;
typedef struct swi_spread {
    sw_kernels rows, columns;
} swi_spread;

/* Of an element v and its output's numbers m and low: */
extern const swi_fold swi_sum, /* v */
    swi_wide_sum,              /* v, summed in f64 */
    swi_abs_sum,               /* |v| */
    swi_square_deviation_sum,  /* (v - m - low)² */
    swi_square_sum,            /* (v/m)² */
    swi_power_sum,             /* (|v|/m)^p; power_norm.c */
    swi_exp_sum,               /* e^(v-m), 1 for v = ∞ */
    swi_equal_sum,             /* 1 where v (|v| for p = 1, not 0) = m, or both are NaN; else 0 */
    swi_largest,               /* p v, for p = 1 or -1; NaN if one is NaN */
    swi_largest_abs;           /* |v|, likewise */
/* Of an element v and its output's numbers y, low and h: */
extern const swi_spread swi_copies, /* h */
    swi_signs,                      /* h sign v */
    swi_deviations,                 /* (v - y - low) h */
    swi_chosen,                     /* h where v = y, else 0; NaN for y = NaN */
    swi_abs_chosen,                 /* h sign v where |v| = y, else 0; NaN for y = NaN */
    swi_directions,                 /* h v/y, 0 for y = 0, ∞/∞ = 1 */
    swi_powers,                     /* h sign(v) (|v|/y)^p, 0 for y = 0, ∞/∞ = 1; power_norm.c */
    swi_exponentials;               /* h e^(v-y), h for v = ∞ */

/* out = factor·fold(x) / divisor, worked out in f64 and rounded once, or out += that if `add`. `rest`,
 * if not NULL, gets what the rounding left. m, low, out, rest: [outputs]. */
typedef struct swi_fold_job {
    sw_dtype type;
    const void *x, *m, *low;
    void *out, *rest;
    double p, factor, divisor;
    bool add;
} swi_fold_job;
void swi_fold_run(const swi_fold *fold, const swi_axes *axes, const swi_fold_job *job);
/* out, as large as x, from x and y, low, h [outputs]. What a spread does not read may be NULL. */
void swi_spread_run(const swi_spread *spread, const swi_axes *axes, sw_dtype type, const swi_spread_args *args);

#endif
