/* Reductions over axes, as two operations. A fold combines the elements along some axes to one number for each output
 * (a sum, the largest element, …). A spread is the counterpart for gradients: it computes each element from the numbers
 * of the output to which the element belongs. The reductions of ops.h and their gradients consist of folds and spreads.
 *
 *     sw_fold_axes axes = sw_fold_axes_of(2, shape, 2, (int64_t[]){1, shape[1]});       // over axis 0
 *     sw_fold_job job = {.type = SW_F32, .x = x, .out = out, .factor = 1, .divisor = 1};
 *     sw_fold_run(&sw_fold_sum, &axes, &job);
 */
#ifndef SWALE_REDUCE_KERNELS_H
#define SWALE_REDUCE_KERNELS_H

#include <swale/parallel.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Axes ---- */

enum { SW_FOLD_GROUPS = SW_MAX_RANK / 2 };

/* Sizes that determine the order in which a sum is added, for files with fold kernels. */
enum {
    SW_FOLD_WIDE = 64,   /* rows of at least this length are folded in SW_LANES lanes */
    SW_FOLD_WIDTH = 256, /* columns that are folded together, and outputs in a tile */
    SW_FOLD_GROUP = 64   /* elements that are added in the element type before their sum is added in f64 */
};

/* A shape of which some axes are folded and the others are kept, as blocks × folds matrices [rows, length]. Neighboring
 * axes of one kind are joined. Each block has separate outputs, one for each column or one for each row of a matrix. An
 * output combines the elements of its column or row in all matrices of the block. */
typedef struct sw_fold_axes {
    int64_t outputs, count; /* count: the number of elements that each output combines */
    int64_t rows, length;
    bool across; /* an output combines a column of each matrix; else a row */
    int64_t blocks, folds;
    int kept, folded; /* the numbers of axes below, over which blocks and folds extend; last axis first */
    int64_t kept_length[SW_FOLD_GROUPS], kept_stride[SW_FOLD_GROUPS];
    int64_t folded_length[SW_FOLD_GROUPS], folded_stride[SW_FOLD_GROUPS];
} sw_fold_axes;

/* The axes of a reduction from `shape` to `to_shape`, which is aligned at the last axes. An axis is folded if it has
 * length 1 in to_shape or is missing there. */
SW_API sw_fold_axes sw_fold_axes_of(int rank, const int64_t *shape, int to_rank, const int64_t *to_shape);

/* The offset, in elements, of the block or the fold with this index, which counts in the order of the elements: `axes`,
 * `length` and `stride` are kept, kept_length and kept_stride, or folded, folded_length and folded_stride. */
static inline int64_t sw_fold_offset(int64_t index, int axes, const int64_t *length, const int64_t *stride) {
    int64_t at = 0;
    for (int i = 0; i < axes; i++) {
        at += index % length[i] * stride[i];
        index /= length[i];
    }
    return at;
}

/* ---- Kernels ---- */

/* Arguments of a fold kernel. It folds the columns or rows [begin, end) of one matrix [rows, length]. */
typedef struct sw_fold_args {
    const void *x, *m, *low;      /* x: the matrix; m, low: numbers of the outputs that the kernel reads, or NULL */
    double *to;                   /* one number for each output, which the kernel combines with the elements */
    int64_t rows, length, stride; /* stride: from row to row of x, in elements */
    double p;                     /* a parameter of the expression */
} sw_fold_args;
/* Arguments of a spread kernel. It computes the rows [begin, end) of one matrix. */
typedef struct sw_spread_args {
    const void *x, *y, *low, *h; /* x: the elements; y, low, h: numbers of the outputs */
    void *out;                   /* the results, one for each element */
    int64_t length, stride;      /* stride: from row to row of x and out, in elements */
    double p;                    /* a parameter of the expression */
} sw_spread_args;

/* The kernels of a fold. */
typedef struct sw_fold {
    sw_kernels rows, columns;
    bool largest; /* the result is the largest value of the expression; else the sum of its values */
} sw_fold;
/* The kernels of a spread. */
typedef struct sw_spread {
    sw_kernels rows, columns;
} sw_spread;

/* The folds, with the expression that each one adds or of which it takes the largest value. v is an element; m and low
 * are numbers of its output. */
SW_API extern const sw_fold sw_fold_sum, /* v */
    sw_fold_wide_sum,                    /* v, summed in f64 */
    sw_fold_abs_sum,                     /* |v| */
    sw_fold_square_deviation_sum,        /* (v - m - low)² */
    sw_fold_square_sum,                  /* (v/m)² */
    sw_fold_exp_sum,                     /* e^(v-m), 1 for v = ∞ */
    sw_fold_equal_sum,                   /* 1 if v = m (p = 0) or |v| = m (p = 1), or if both are NaN; else 0 */
    sw_fold_largest,                     /* the largest p v, for p = 1 or -1; NaN if one is NaN */
    sw_fold_largest_abs;                 /* the largest |v|; NaN if one is NaN */
/* The spreads, with the expression for each element. v is the element; y, low and h are numbers of its output. */
SW_API extern const sw_spread sw_spread_copies, /* h */
    sw_spread_signs,                            /* h sign v */
    sw_spread_deviations,                       /* (v - y - low) h */
    sw_spread_chosen,                           /* h where v = y, else 0; NaN for y = NaN */
    sw_spread_abs_chosen,                       /* h sign v where |v| = y, else 0; NaN for y = NaN */
    sw_spread_directions,                       /* h v/y, 0 for y = 0, ∞/∞ = 1 */
    sw_spread_exponentials;                     /* h e^(v-y), h for v = ∞ */

/* ---- Runs ---- */

/* A fold to run: out = factor·fold(x)/divisor, computed in f64 and rounded once. With `add` the result is added to out.
 * `rest`, if not NULL, receives the rounding error of out, for a job without `add`. m, low, out and rest have [outputs]
 * elements of the compute type of `type` (sw_dtype_compute), so that they are f32 for f16 and bf16. */
typedef struct sw_fold_job {
    sw_dtype type; /* of x: f32, f64, f16 or bf16 */
    const void *x, *m, *low;
    void *out, *rest;
    double p, factor, divisor;
    bool add;
} sw_fold_job;
/* Runs a fold. Threads share the work; the order of additions depends only on the shape, so that the result has the
 * same bits for every number of threads. For f16 and bf16, pieces of x are converted to f32 on the stack, and the
 * kernels for f32 fold them. The result has the bits of the fold of x in f32. For a custom fold, whose kernel may
 * add in another order, this holds if a matrix has at most SW_TILE elements. */
SW_API void sw_fold_run(const sw_fold *fold, const sw_fold_axes *axes, const sw_fold_job *job);
/* Runs a spread: computes args->out, of the size of x, from x and y, low, h [outputs]. The arrays that the spread does
 * not read may be NULL; args->length and args->stride are ignored. `type` is that of x and out; y, low and h have its
 * compute type. For f16 and bf16, the kernels for f32 compute each element, which is rounded once. */
SW_API void sw_spread_run(const sw_spread *spread, const sw_fold_axes *axes, sw_dtype type, const sw_spread_args *args);

/* Sums src over the axes in which dst (aligned at the last axes) has length 1 or which it does not have. If `store`,
 * dst = a·sum; else dst += a·sum. Both have the type `type`; for f16 and bf16, dst is computed in f32 and rounded once
 * when it is stored. */
SW_API void sw_sum_to_shape(sw_dtype type, int src_rank, const int64_t *src_shape, const void *src, int dst_rank,
                            const int64_t *dst_shape, void *dst, double a, bool store);

#ifdef __cplusplus
}
#endif
#endif
