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
/* The vjps of gather_rows, and of gather along an axis of which x is [outer, n, inner], for f16 and bf16
 * (gather_half.c). An element with more than SWI_GATHER_OFTEN terms is summed in f64. */
enum { SWI_GATHER_OFTEN = 256 };
sw_status swi_gather_rows_vjp_half(sw_call *call);
sw_status swi_gather_vjp_half(sw_call *call, int64_t outer, int64_t inner);
/* Runs a kernel on rows of f16 or bf16, with scratch of the call if the rows are long. */
static inline sw_status swi_call_wide_rows(sw_call *call, const sw_wide_rows *job, double *sum) {
    const size_t bytes = sw_wide_rows_scratch(job);
    return sw_wide_rows_run(job, sum, bytes ? sw_call_scratch(call, bytes) : NULL, bytes);
}
/* The fold Σ (|v|/m)^p, and the spread h sign(v) (|v|/y)^p, which is 0 for y = 0 and takes ∞/∞ as 1 (power_norm.c). */
extern const sw_fold swi_power_sum;
extern const sw_spread swi_powers;

#endif
