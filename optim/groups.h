/* Groups of parameters, each with a rule. */
#ifndef SWALE_OPTIM_GROUPS_H
#define SWALE_OPTIM_GROUPS_H

#include <swale/optim.h>

/* Makes the groups from a spec such as "role=weight: sgd lr=0.1; adam", without parameters. */
sw_status swo_groups_parse(sw_optim *o, const char *spec);
/* Assigns the parameters to the groups, and makes the slots. */
sw_status swo_groups_fill(sw_optim *o);
void swo_groups_free(sw_optim *o);

#endif
