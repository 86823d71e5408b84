/* Bounds of x and of the vectors of state. */
#ifndef SWALE_OPTIM_BOUNDS_H
#define SWALE_OPTIM_BOUNDS_H

#include "optim/optimizer.h"

bool swo_rule_has_reach(const sw_rule *rule);
/* Vectors are to be read again for the next bounds. */
void swo_bounds_forget(sw_optim *o);
/* Carries the group's bounds through the coming step, whose rule has a `reach`. False: they do not exclude an overflow.
 * *x: the bound of x after the step, INFINITY where there is none. */
bool swo_bounds_of_group(sw_optim *o, swo_group *group, const void *g, double *x);
/* The same for the average; x: the bound after the rules' step. Sets o->average_checked. */
void swo_bounds_of_average(sw_optim *o, double x);

#endif
