/* The average's part of a step. */
#ifndef SWALE_OPTIM_AVERAGE_STEP_H
#define SWALE_OPTIM_AVERAGE_STEP_H

#include <swale/optim.h>

/* What the average sees of the step that it follows. */
sw_step swo_average_step(sw_optim *o, int64_t step);
/* Its options with durations in steps. */
sw_status swo_average_options(sw_optim *o);
/* Before a step, and before a loop of steps: the average's options in steps, which frozen parameters are infinite, and
 * its first values. */
sw_status swo_prepare_average(sw_optim *o);
/* After the rules. Where o->average_checked says so, an update that ends in Inf or NaN undoes the step. */
sw_status swo_update_average(sw_optim *o);

#endif
