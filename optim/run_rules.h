/* The rules of a step. */
#ifndef SWALE_OPTIM_RUN_RULES_H
#define SWALE_OPTIM_RUN_RULES_H

#include <swale/optim.h>

/* begin, measure, decide and update of all groups, guarded. */
sw_status swo_run_rules(sw_optim *o, const void *g);

#endif
