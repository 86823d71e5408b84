/* Runs the rules of a step. */
#ifndef SWALE_OPTIM_RUN_RULES_H
#define SWALE_OPTIM_RUN_RULES_H

#include <swale/optim.h>

/* Calls begin, measure, decide and update of all groups, with the checks of guard.h. */
sw_status swo_run_rules(sw_optim *o, const void *g);

#endif
