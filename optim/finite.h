/* Checks for Inf and NaN. */
#ifndef SWALE_OPTIM_FINITE_H
#define SWALE_OPTIM_FINITE_H

#include <swale/optim.h>

/* Rounding in one step, relative to the bound: a norm of f32 is summed in at most 64 additions a lane and tile,
 * each of 2^-24 and together below 2^-17; a handful of roundings of an update are less. */
static const double SWO_ROUNDING = 1 + 0x1p-16;

/* A bound of the 2-norm; INFINITY where it is no number. Whole numbers are always finite. */
double swo_vector_bound(sw_dtype type, const void *v, int64_t count);
bool swo_vector_is_finite(sw_dtype type, const void *v, int64_t count);
bool swo_element_is_finite(sw_dtype type, const void *v, int64_t i);
/* True if all is finite in `after` that is so in `before`. */
bool swo_no_new_infinity(sw_dtype type, int64_t count, const void *before, const void *after);

/* An error that names the scalar or coefficient that is not finite. */
sw_status swo_check_scalars(const sw_optim *o, const char *kind, const char *method, const char *const *names,
                            const double *values);
sw_status swo_check_coefficients(const sw_optim *o, const char *kind, const char *method, const double *values);
/* Scalars and proposed step sizes of the estimator and those inside it. */
sw_status swo_check_estimates(const sw_optim *o);

/* The error of a step that would make a vector infinite: x, a state, x of a parameter. */
sw_status swo_refuse_vector(const sw_optim *o, const char *kind, const char *method, const char *what, const char *of,
                            const char *param);

#endif
