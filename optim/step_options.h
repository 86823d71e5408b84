/* The options of the rules in a step: schedules, durations, lr=auto. */
#ifndef SWALE_OPTIM_STEP_OPTIONS_H
#define SWALE_OPTIM_STEP_OPTIONS_H

#include <swale/optim.h>

/* Computes the effective options of the coming step. */
sw_status swo_step_options(sw_optim *o);
/* Computes all options except lr, before the estimate, which may read the penalties. Does nothing for options that
 * cannot differ from those of the last step. */
sw_status swo_step_options_before_estimate(sw_optim *o);

#endif
