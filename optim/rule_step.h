/* What a rule's functions see of a step. */
#ifndef SWALE_OPTIM_RULE_STEP_H
#define SWALE_OPTIM_RULE_STEP_H

#include "optim/optimizer.h"

/* Element `at` of the group's slot i, or NULL. */
void *swo_slot_at(const sw_optim *o, const swo_group *group, int i, int64_t at);
/* The parts of a slot that belong to parameters which are not frozen: how many, and each with its elements. */
int swo_slot_parts(const swo_group *group, int i);
const char *swo_slot_part(const sw_optim *o, const swo_group *group, int i, int part, int64_t *count);

/* The step at a stretch; and of the group as a whole, without vectors but with its slots: what begin, decide and reach
 * see. */
void swo_stretch_step(sw_optim *o, swo_group *group, const swo_stretch *at, const void *g, sw_step *step);
void swo_group_step(sw_optim *o, swo_group *group, const void *g, sw_step *step);

#endif
