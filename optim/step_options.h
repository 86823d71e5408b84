/* The rules' options in a step: schedules, durations, lr=auto. */
#ifndef SWALE_OPTIM_STEP_OPTIONS_H
#define SWALE_OPTIM_STEP_OPTIONS_H

#include <swale/optim.h>

/* The effective options of the coming step. */
sw_status swo_step_options(sw_optim *o);
/* All but the step size, before the estimate, which may ask for penalties; only where they may differ from those of the
 * last step. */
sw_status swo_step_options_before_estimate(sw_optim *o);

#endif
