/* Binding of the estimator to the objective. */
#ifndef SWALE_OPTIM_BINDING_H
#define SWALE_OPTIM_BINDING_H

#include <swale/optim.h>

sw_status swo_bind_objective(sw_optim *o, const sw_objective *objective);

#endif
