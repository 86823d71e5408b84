/* The parts of parameters, which threads share. */
#ifndef SWALE_OPTIM_RULE_PARTS_H
#define SWALE_OPTIM_RULE_PARTS_H

#include "optim/optimizer.h"

/* Makes the list of the group's parts, if its rule updates parameters in parts. */
sw_status swo_parts_list(const sw_optim *o, swo_group *group);
/* Makes the workspace large enough for the parts of all groups with the present number of threads. It allocates only if
 * this number has changed. */
sw_status swo_parts_reserve(sw_optim *o);
/* Runs the parts of the group's parameters that are not frozen. */
sw_status swo_parts_run(sw_optim *o, swo_group *group, const void *g);
/* Runs the parts of parameter k with another step, one after the other. */
sw_status swo_parts_run_on(const sw_optim *o, const swo_group *group, int k, const sw_step *step);

#endif
