/* Parameters that are frozen. */
#ifndef SWALE_OPTIM_FROZEN_H
#define SWALE_OPTIM_FROZEN_H

#include <swale/optim.h>

/* Sets the elements of frozen parameters in g to 0, so that norms exclude them. */
void swo_zero_frozen(const sw_optim *o, void *g);
/* The same for a vector that may have another type than x. */
void swo_zero_frozen_of(const sw_optim *o, sw_dtype type, void *g);
/* The same for the elements of a gradient block. */
void swo_zero_frozen_in(const sw_optim *o, sw_gradient *block);

/* Adds the next parameter to a set of frozen parameters, which is an integer below 2^53 and begins with 0
 * (sw_estimate_frozen_set). */
static inline int64_t swo_frozen_set_add(int64_t set, bool frozen) {
    return (2 * set + frozen) % 9007199254740881; /* the largest prime below 2^53 */
}

/* Finds the frozen parameters with Inf or NaN, and a bound of the norm of the finite elements of frozen parameters. */
void swo_frozen_read(sw_optim *o);
/* For the elements of frozen parameters that are not finite: sets the states of the average to 0, or the point to x. */
void swo_frozen_clear_average(sw_optim *o);
void swo_frozen_copy_to_point(const sw_optim *o, void *point);

#endif
