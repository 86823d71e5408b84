/* The arguments of a rule's functions in a step. */
#ifndef SWALE_OPTIM_RULE_STEP_H
#define SWALE_OPTIM_RULE_STEP_H

#include "optim/optimizer.h"

/* Element `at` of the group's slot i, or NULL. */
void *swo_slot_at(const sw_optim *o, const swo_group *group, int i, int64_t at);
/* The parts of a slot that belong to parameters which are not frozen: their number, and the address and length of
 * one. */
int swo_slot_parts(const swo_group *group, int i);
const char *swo_slot_part(const sw_optim *o, const swo_group *group, int i, int part, int64_t *count);

/* In all of these, step->g is NULL if the gradient is stored in 16 bits, except in swo_param_step: see
 * swo_set_tensor_gradient (stored_gradient.h). */
/* The argument for one stretch, and the argument of begin, decide and reach: for the whole group, without x and g but
 * with its slots. */
void swo_stretch_step(sw_optim *o, swo_group *group, const swo_stretch *at, const void *g, sw_step *step);
void swo_group_step(sw_optim *o, swo_group *group, const void *g, sw_step *step);
/* The step at the group's parameter k. */
void swo_param_step(sw_optim *o, swo_group *group, int k, const void *g, sw_step *step);

#endif
