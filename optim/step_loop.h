/* Many steps in one loop of the estimator. */
#ifndef SWALE_OPTIM_STEP_LOOP_H
#define SWALE_OPTIM_STEP_LOOP_H

#include <swale/optim.h>

/* Takes up to `most` steps, if the estimator has such a loop and the rest of the pipeline would have no effect; else
 * none. Calls `took` after each step. *done receives the number of steps taken. */
sw_status swo_step_loop(sw_optim *o, int64_t most, sw_status (*took)(void *user, double loss, double weight),
                        void *user, int64_t *done);

#endif
