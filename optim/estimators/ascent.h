/* The code that SAM and ASAM share: the gradient at x + ε, where ε of size ρ increases the loss most, to first
 * order. */
#ifndef SWALE_ESTIMATORS_ASCENT_H
#define SWALE_ESTIMATORS_ASCENT_H

#include <swale/estimator.h>

/* Finds max |v_i| over dim elements, exactly, and the smallest i with this value. Uses scratch 1. */
sw_status swo_largest(sw_estimate *e, const void *v, double *largest, int64_t *index);

/* ‖v/largest‖, in the 2-norm: between 1 and √dim. */
double swo_norm_over(const sw_estimate *e, const void *v, double largest);

/* A function that writes x + ε to `out`, given the inner estimate g at x, or sets *flat if ε is 0. */
typedef sw_status swo_ascend(sw_estimate *e, const void *x, const void *g, void *out, bool *flat);
/* Computes g at x, then g at x + ε, which is in scratch 0. It does not write to x, so that nothing has to be restored.
 * If ε is 0, the result is g at x. */
sw_status swo_ascent(sw_estimate *e, const void *x, void *g, swo_ascend *ascend);

#endif
