/* Checks for Inf and NaN. */
#ifndef SWALE_OPTIM_FINITE_H
#define SWALE_OPTIM_FINITE_H

#include <swale/optim.h>

/* The rounding error of one step, relative to the bound. A norm in f32 takes at most 64 additions per lane and tile,
 * each with an error of 2^-24, together below 2^-17; the few roundings of an update add less than that. */
static const double SWO_ROUNDING = 1 + 0x1p-16;

/* A bound of the 2-norm; INFINITY if the vector contains Inf or NaN. Integers are always finite. */
double swo_vector_bound(sw_dtype type, const void *v, int64_t count);
bool swo_vector_is_finite(sw_dtype type, const void *v, int64_t count);
bool swo_element_is_finite(sw_dtype type, const void *v, int64_t i);
/* Whether all elements of `after` are finite whose elements in `before` are finite. */
bool swo_no_new_infinity(sw_dtype type, int64_t count, const void *before, const void *after);

/* An error that names the scalar or coefficient that is not finite. */
sw_status swo_check_scalars(const sw_optim *o, const char *kind, const char *method, const char *const *names,
                            const double *values);
sw_status swo_check_coefficients(const sw_optim *o, const char *kind, const char *method, const double *values);
/* Checks the scalars and proposed step sizes of the estimator and its inner ones. */
sw_status swo_check_estimates(const sw_optim *o);

/* Records the error of a step that would make a vector infinite: x, a state, or x of a parameter. */
sw_status swo_refuse_vector(const sw_optim *o, const char *kind, const char *method, const char *what, const char *of,
                            const char *param);

#endif
