/* Stretches of x. */
#ifndef SWALE_OPTIM_STRETCHES_H
#define SWALE_OPTIM_STRETCHES_H

#include <swale/optim.h>

/* The stretches of all groups, from the parameters that are frozen. Bounds of vectors are then read again. */
void swo_plan_stretches(sw_optim *o);
/* The same if a parameter was frozen or thawed since. */
void swo_update_stretches(sw_optim *o);

#endif
