/* Whether x is a minimum. */
#ifndef SWALE_OPTIM_CONVERGENCE_H
#define SWALE_OPTIM_CONVERGENCE_H

#include <swale/optim.h>

/* At x: the norm of the gradient of all samples with the penalty. INFINITY where it holds Inf or NaN. */
sw_status swo_full_gradient_norm(sw_optim *o, const sw_objective *f, double *norm);
/* The tolerance of the estimator's test, "sag tol=1e-8"; 0: it has none. */
double swo_estimator_tolerance(const sw_optim *o);
/* Whether that test has found x good enough; and that it has not, until it has tested x again. */
bool swo_estimator_converged(const sw_optim *o);
void swo_estimator_reset_converged(sw_optim *o);

#endif
