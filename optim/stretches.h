/* Stretches: contiguous ranges of x that one loop of a rule can process. */
#ifndef SWALE_OPTIM_STRETCHES_H
#define SWALE_OPTIM_STRETCHES_H

#include <swale/optim.h>

/* Computes the stretches of all groups, which omit frozen parameters, and discards the bounds of vectors. */
void swo_plan_stretches(sw_optim *o);
/* Computes the stretches again if the set of frozen parameters has changed. */
void swo_update_stretches(sw_optim *o);

#endif
