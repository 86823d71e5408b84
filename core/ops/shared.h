/* Kernels and functions that several operation files use. */
#ifndef SWALE_OPS_SHARED_H
#define SWALE_OPS_SHARED_H

#include <swale/op.h>
#include <swale/ops.h>
#include <swale/reduce_kernels.h>
#include <swale/wide_rows.h>

/* a + b and a·b (arithmetic.c) */
extern const sw_kernels swi_add_kernels, swi_mul_kernels;
/* An error unless `reduction` is SW_MEAN, SW_SUM or SW_NONE (loss.c). */
sw_status swi_check_reduction(const sw_call *call, sw_reduction reduction);
/* As sw_linear without a bias. It works also while an error is pending, when sw_linear assumes that a null bias has
 * failed (linear.c). */
sw_tensor swi_linear_no_bias(sw_tensor x, sw_tensor weight);
/* Sets chosen[axis] for each axis of input 0 that SW_AXES(...) or SW_ALL_AXES names; an error if one is out of range or
 * given twice (reduce_axes.c). */
sw_status swi_call_axes(const sw_call *call, int count, const int *axes, bool chosen[SW_MAX_RANK]);
/* Whether these two arguments can be SW_AXES(...) or SW_ALL_AXES; if not, with an error of the function `who`. */
bool swi_axes_are_valid(const char *who, int count, const int *axes);

/* The attributes of a reduction along axes (reduce_axes.c). */
typedef struct swi_reduction {
    int count; /* of the axes; -1: all */
    int axes[SW_MAX_RANK];
    bool keepdim;
    double correction; /* var, std */
    double p;          /* norm */
} swi_reduction;
/* Sets the shape of the output, with this type; an error if the axes are wrong. */
sw_status swi_reduction_shape(sw_call *call, sw_dtype type);
/* The axes of a call whose shape rule is swi_reduction_shape. */
sw_fold_axes swi_reduction_axes(const sw_call *call);
/* Performs a reduction with these attributes and axes. */
sw_tensor swi_reduction_apply(const sw_op *op, sw_tensor x, int count, const int *axes, swi_reduction attributes);

/* Errors unless input `input` is i32, and unless its ids are 0 to n-1 (gather.c). The second function reads no ids in a
 * dry run, which may have computed them. */
sw_status swi_call_check_ids_type(const sw_call *call, int input);
sw_status swi_call_check_ids(const sw_call *call, int input, int64_t n);

/* Gathering along an axis and its transpose, the addition by ids: an array `whole` [outer, n, inner], and an array
 * `part` and ids [outer, m, inner] (index_kernels.c). */
typedef struct swi_gather {
    sw_dtype type;
    const int32_t *ids;
    int64_t outer, n, m, inner;
    bool unique; /* no element has two terms, so that no sum in f64 is needed */
} swi_gather;
/* For x and ids that agree except along `axis`; and for a table and ids of its rows (gather.c). */
swi_gather swi_gather_along(const sw_view *x, const sw_view *ids, int axis);
swi_gather swi_gather_of_rows(const sw_view *table, const sw_view *ids);
/* part[j][k] = whole[ids[j][k]][k], for every type. */
void swi_gather_take(const swi_gather *g, const void *whole, void *part);
/* whole[i][k] = base[i][k] + Σ part[j][k] over all j with ids[j][k] = i, in the order of j; base is NULL for 0. Scratch
 * of the call is used. The second function is for f16 and bf16 (gather_half.c). An element with more than
 * SWI_GATHER_OFTEN terms is summed in f64. */
enum { SWI_GATHER_OFTEN = 256 };
sw_status swi_gather_add(sw_call *call, const swi_gather *g, const void *base, const void *part, void *whole);
sw_status swi_gather_add_half(sw_call *call, const swi_gather *g, const void *base, const void *part, void *whole);
/* The same for whole rows: `whole` [n, inner], `part` [m, inner], ids [m]; outer is 1. */
void swi_gather_take_rows(const swi_gather *g, const void *whole, void *part);
sw_status swi_gather_add_rows(sw_call *call, const swi_gather *g, const void *base, const void *part, void *whole);
sw_status swi_gather_add_rows_half(sw_call *call, const swi_gather *g, const void *base, const void *part, void *whole);
/* Runs a kernel on rows of f16 or bf16, with scratch of the call if the rows are long. */
static inline sw_status swi_call_wide_rows(sw_call *call, const sw_wide_rows *job, double *sum) {
    const size_t bytes = sw_wide_rows_scratch(job);
    return sw_wide_rows_run(job, sum, bytes ? sw_call_scratch(call, bytes) : NULL, bytes);
}
/* The fold Σ (|v|/m)^p, and the spread h sign(v) (|v|/y)^p, which is 0 for y = 0 and takes ∞/∞ as 1 (power_norm.c). */
extern const sw_fold swi_power_sum;
extern const sw_spread swi_powers;

#endif
