/* Runs the rules of a step. */
#ifndef SWALE_OPTIM_RUN_RULES_H
#define SWALE_OPTIM_RUN_RULES_H

#include "optim/optimizer.h"

/* Calls begin, measure, decide and update of all groups, with the checks of guard.h. */
sw_status swo_run_rules(sw_optim *o, const void *g);
/* Only scalars that the table names are saved. Writing to others is an error. */
sw_status swo_rules_check_scalars(const swo_group *group);

#endif
