/* Many steps in one loop of the estimator. */
#ifndef SWALE_OPTIM_STEP_LOOP_H
#define SWALE_OPTIM_STEP_LOOP_H

#include <swale/optim.h>

/* Up to `most` steps, where the estimator has such a loop and the pipeline would do nothing else. took: after each. */
sw_status swo_step_loop(sw_optim *o, int64_t most, sw_status (*took)(void *user, double loss, double weight),
                        void *user, int64_t *done);

#endif
