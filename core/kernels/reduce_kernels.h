/* Reductions. Folding: many elements along some axes become one number each (a sum, the largest, …), and the way
 * back, where each element is made from its group's numbers. All reductions are made of the two. */
#ifndef SWALE_REDUCE_KERNELS_H
#define SWALE_REDUCE_KERNELS_H

#include <swale/parallel.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SW_FOLD_GROUPS = SW_MAX_RANK / 2 };

/* Sizes that decide in which order a sum is added; of a file with kernels. */
enum {
    SW_FOLD_WIDE = 64,   /* rows as long as this are folded in lanes */
    SW_FOLD_WIDTH = 256, /* columns at a time, and outputs in a tile */
    SW_FOLD_GROUP = 64   /* elements that are added in the element type before f64 takes over */
};

/* A shape of which some axes are folded, neighbors of one kind joined: blocks × folds matrices
 * [rows, length]. Every block has outputs of its own; the matrices of its folds are folded together. */
typedef struct sw_fold_axes {
    int64_t outputs, count; /* count: elements for each output */
    int64_t rows, length;
    bool across; /* a matrix's rows are folded into one; else each row into one number */
    int64_t blocks, folds;
    int kept, folded; /* axes behind blocks and folds, from the last */
    int64_t kept_length[SW_FOLD_GROUPS], kept_stride[SW_FOLD_GROUPS];
    int64_t folded_length[SW_FOLD_GROUPS], folded_stride[SW_FOLD_GROUPS];
} sw_fold_axes;

/* To a shape that is aligned at the last axes; those in which it is 1 or missing are folded. */
SW_API sw_fold_axes sw_fold_axes_of(int rank, const int64_t *shape, int to_rank, const int64_t *to_shape);

/* Arguments of the kernels. Folding: columns or rows [begin, end) of [rows, length]. */
typedef struct sw_fold_args {
    const void *x, *m, *low; /* m, low: numbers of the output that the fold reads, or NULL */
    double *to;              /* what they are folded into, one for each output */
    int64_t rows, length, stride;
    double p;
} sw_fold_args;
/* The way back: rows [begin, end). */
typedef struct sw_spread_args {
    const void *x, *y, *low, *h; /* y, low, h: numbers of the output */
    void *out;
    int64_t length, stride;
    double p;
} sw_spread_args;

typedef struct sw_fold {
    sw_kernels rows, columns;
    bool largest; /* of what the kernel forms; else their sum */
} sw_fold;
typedef struct sw_spread {
    sw_kernels rows, columns;
} sw_spread;

/* Of an element v and its output's numbers m and low: */
SW_API extern const sw_fold sw_fold_sum, /* v */
    sw_fold_wide_sum,                    /* v, summed in f64 */
    sw_fold_abs_sum,                     /* |v| */
    sw_fold_square_deviation_sum,        /* (v - m - low)² */
    sw_fold_square_sum,                  /* (v/m)² */
    sw_fold_exp_sum,                     /* e^(v-m), 1 for v = ∞ */
    sw_fold_equal_sum,                   /* 1 where v (|v| for p = 1, not 0) = m, or both are NaN; else 0 */
    sw_fold_largest,                     /* p v, for p = 1 or -1; NaN if one is NaN */
    sw_fold_largest_abs;                 /* |v|, likewise */
/* Of an element v and its output's numbers y, low and h: */
SW_API extern const sw_spread sw_spread_copies, /* h */
    sw_spread_signs,                            /* h sign v */
    sw_spread_deviations,                       /* (v - y - low) h */
    sw_spread_chosen,                           /* h where v = y, else 0; NaN for y = NaN */
    sw_spread_abs_chosen,                       /* h sign v where |v| = y, else 0; NaN for y = NaN */
    sw_spread_directions,                       /* h v/y, 0 for y = 0, ∞/∞ = 1 */
    sw_spread_exponentials;                     /* h e^(v-y), h for v = ∞ */

/* out = factor·fold(x) / divisor, worked out in f64 and rounded once, or out += that if `add`. `rest`,
 * if not NULL, gets what the rounding left. m, low, out, rest: [outputs]. */
typedef struct sw_fold_job {
    sw_dtype type;
    const void *x, *m, *low;
    void *out, *rest;
    double p, factor, divisor;
    bool add;
} sw_fold_job;
SW_API void sw_fold_run(const sw_fold *fold, const sw_fold_axes *axes, const sw_fold_job *job);
/* out, as large as x, from x and y, low, h [outputs]. What a spread does not read may be NULL. */
SW_API void sw_spread_run(const sw_spread *spread, const sw_fold_axes *axes, sw_dtype type, const sw_spread_args *args);

/* Sums src over the axes in which dst (aligned at the last axes) is 1 or missing.
 * dst = a·sum, or dst += a·sum. */
SW_API void sw_sum_to_shape(sw_dtype type, int src_rank, const int64_t *src_shape, const void *src, int dst_rank,
                            const int64_t *dst_shape, void *dst, double a, bool store);

#ifdef __cplusplus
}
#endif
#endif
