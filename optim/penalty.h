/* What rules add to the objective. */
#ifndef SWALE_OPTIM_PENALTY_H
#define SWALE_OPTIM_PENALTY_H

#include "optim/optimizer.h"

/* The largest weight_decay of the rules that add it to the gradient: of the specs. */
double swo_penalty(const sw_optim *o);
double swo_group_penalty(const swo_group *group);
/* The same with the schedules of this step (after it: of the last one), over groups that are not frozen as a whole. */
double swo_penalty_in_step(const sw_optim *o);
double swo_group_penalty_in_step(const swo_group *group);
/* What lr=auto is for parameters with this penalty. */
double swo_lr_for(const sw_optim *o, double penalty);
bool swo_adds_to_objective(const sw_optim *o); /* a penalty, l1 or bounds */
/* g ← g + λx, with each group's λ, and of l1 and bounds the subgradient that is nearest to 0; 0 where frozen. And its
 * norm: INFINITY if x is outside the bounds. SW_SKIPPED: g holds Inf or NaN. */
sw_status swo_penalized_norm(sw_optim *o, const void *x, void *g, double *norm);

#endif
