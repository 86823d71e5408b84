/* The terms that rules add to the objective. */
#ifndef SWALE_OPTIM_PENALTY_H
#define SWALE_OPTIM_PENALTY_H

#include "optim/optimizer.h"

/* The largest weight_decay in the specs of the rules that add it to the gradient. */
double swo_penalty(const sw_optim *o);
double swo_group_penalty(const swo_group *group);
/* The same after the schedules of the current step (between steps: of the last step), over the groups that are not
 * completely frozen. */
double swo_penalty_in_step(const sw_optim *o);
double swo_group_penalty_in_step(const swo_group *group);
/* The value of lr=auto for parameters with this penalty. */
double swo_lr_for(const sw_optim *o, double penalty);
/* The penalty λ/2 ‖x‖² of this step, frozen parameters excluded. Unless slope is NULL, adds its derivative along d. */
double swo_penalty_at(const sw_optim *o, const void *x, const void *d, double *slope);
bool swo_adds_to_objective(const sw_optim *o); /* a penalty, l1 or bounds */
/* As sw_estimate_penalized_norm (estimator.h). */
sw_status swo_penalized_norm(sw_optim *o, const void *x, void *g, double *norm);

#endif
