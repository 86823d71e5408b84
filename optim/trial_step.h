/* A trial step on copies. */
#ifndef SWALE_OPTIM_TRIAL_STEP_H
#define SWALE_OPTIM_TRIAL_STEP_H

#include <swale/optim.h>

/* Runs the updates of the rules with `reach` on copies, after begin and decide. SW_ERR_NONFINITE if they would make x
 * or a state Inf or NaN; the message names it. */
sw_status swo_try_rules(sw_optim *o, const void *g);

#endif
