/* What SAM and ASAM share: the gradient at x + ε, ε the worst of size ρ to first order. */
#ifndef SWALE_ESTIMATORS_ASCENT_H
#define SWALE_ESTIMATORS_ASCENT_H

#include <swale/estimator.h>

/* max |v_i| over dim elements, exactly, and the lowest i where it is taken. Takes scratch 1. */
sw_status swo_largest(sw_estimate *e, const void *v, double *largest, int64_t *index);

/* ‖v/largest‖, in the 2-norm: between 1 and √dim. */
double swo_norm_over(const sw_estimate *e, const void *v, double largest);

/* Writes x + ε to out for the inner estimate g at x, or sets *flat where ε is 0. */
typedef sw_status swo_ascend(sw_estimate *e, const void *x, const void *g, void *out, bool *flat);
/* g at x, then g at x + ε, which takes scratch 0: x itself is never written, so that there is nothing to
 * restore. Where ε is 0, the first stands for both. */
sw_status swo_ascent(sw_estimate *e, const void *x, void *g, swo_ascend *ascend);

#endif
