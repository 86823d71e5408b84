/* Runs the rules of a step. */
#ifndef SWALE_OPTIM_RUN_RULES_H
#define SWALE_OPTIM_RUN_RULES_H

#include "optim/optimizer.h"

/* Calls begin, measure, decide and update of all groups, with the checks of guard.h. */
sw_status swo_run_rules(sw_optim *o, const void *g);
/* Whether all rules accept gradients of a type. */
bool swo_rules_read(const sw_optim *o, sw_dtype type);
/* The vector for a gradient in the type of x, if the block has another type. NULL after an error. */
void *swo_wide_gradient(sw_optim *o);
/* Only scalars that the table names are saved. Writing to others is an error. */
sw_status swo_rules_check_scalars(const swo_group *group);

#endif
