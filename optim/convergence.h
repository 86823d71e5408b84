/* The test whether x is a minimum. */
#ifndef SWALE_OPTIM_CONVERGENCE_H
#define SWALE_OPTIM_CONVERGENCE_H

#include <swale/optim.h>

/* Computes the norm of the gradient of all samples at x, including the penalty. INFINITY if it contains Inf or NaN. */
sw_status swo_full_gradient_norm(sw_optim *o, const sw_objective *f, double *norm);
/* The tolerance of the estimator's test, as in "sag tol=1e-8"; 0 if it has none. */
double swo_estimator_tolerance(const sw_optim *o);
/* Whether x has passed that test; and a function that clears the result until the next test. */
bool swo_estimator_converged(const sw_optim *o);
void swo_estimator_reset_converged(sw_optim *o);

#endif
