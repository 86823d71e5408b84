/* The hooks of rules that follow a step. */
#ifndef SWALE_OPTIM_RULE_HOOKS_H
#define SWALE_OPTIM_RULE_HOOKS_H

#include <swale/optim.h>

/* `accepted` of all groups, at the end of a step, whose gradient was g. */
sw_status swo_rules_accepted(sw_optim *o, const void *g);
/* `adopted` of all groups: x is now this vector. After an error x, slots and scalars are as before. */
sw_status swo_rules_adopt(sw_optim *o, const void *point);

#endif
