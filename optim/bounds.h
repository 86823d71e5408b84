/* Bounds of the norms of x and of the vectors of state. */
#ifndef SWALE_OPTIM_BOUNDS_H
#define SWALE_OPTIM_BOUNDS_H

#include "optim/optimizer.h"

bool swo_rule_has_reach(const sw_rule *rule);
/* Discards all bounds; the next step computes them from the vectors. */
void swo_bounds_forget(sw_optim *o);
/* Updates the bounds of a group, whose rule has `reach`, for the coming step. Returns false if they do not exclude an
 * overflow. *x receives the bound of x after the step, or INFINITY if there is none. */
bool swo_bounds_of_group(sw_optim *o, swo_group *group, const void *g, double *x);
/* The same for the average; x is the bound after the step of the rules. Sets o->average_checked. */
void swo_bounds_of_average(sw_optim *o, double x);

#endif
