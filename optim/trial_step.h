/* A step on copies. */
#ifndef SWALE_OPTIM_TRIAL_STEP_H
#define SWALE_OPTIM_TRIAL_STEP_H

#include <swale/optim.h>

/* The updates of rules with a `reach` on copies: SW_ERR_NONFINITE if they would make a state or x Inf or NaN; the
 * message names it. Begin and decide are done. */
sw_status swo_try_rules(sw_optim *o, const void *g);

#endif
