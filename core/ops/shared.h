/* What operations of several files share. */
#ifndef SWALE_OPS_SHARED_H
#define SWALE_OPS_SHARED_H

#include <swale/op.h>
#include <swale/ops.h>
#include <swale/reduce_kernels.h>

/* a + b and a·b (arithmetic.c) */
extern const sw_kernels swi_add_kernels, swi_mul_kernels;
/* An error unless it is one of the three. (loss.c) */
sw_status swi_check_reduction(const sw_call *call, sw_reduction reduction);
/* As sw_linear without a bias, also while an error is pending, where sw_linear takes a null bias for one that
 * failed. (linear.c) */
sw_tensor swi_linear_no_bias(sw_tensor x, sw_tensor weight);
/* Σ (|v|/m)^p, and back h sign(v) (|v|/y)^p, 0 for y = 0, ∞/∞ = 1. (power_norm.c) */
extern const sw_fold swi_power_sum;
extern const sw_spread swi_powers;

#endif
