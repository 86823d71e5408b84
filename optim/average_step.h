/* The update of the average in a step. */
#ifndef SWALE_OPTIM_AVERAGE_STEP_H
#define SWALE_OPTIM_AVERAGE_STEP_H

#include <swale/optim.h>

/* The argument of the functions of the average after the step with this number. */
sw_step swo_average_step(sw_optim *o, int64_t step);
/* Computes its options, with durations in steps. */
sw_status swo_average_options(sw_optim *o);
/* Call it before a step, and before a loop of steps. It computes the options of the average in steps and finds the
 * frozen parameters with Inf or NaN; before the first step it also initializes the slots. */
sw_status swo_prepare_average(sw_optim *o);
/* Call it after the rules. If o->average_checked and the result contains Inf or NaN, the step is undone. */
sw_status swo_update_average(sw_optim *o);

#endif
