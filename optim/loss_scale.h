/* The loss scale of an optimizer's parameters, from step to step. */
#ifndef SWALE_OPTIM_LOSS_SCALE_H
#define SWALE_OPTIM_LOSS_SCALE_H

#include <swale/optim.h>

/* The range of sw_params_set_loss_scale. */
#define SWO_LEAST_SCALE 0x1p-24
#define SWO_MOST_SCALE 0x1p24

/* Sets the scale of the parameters to the first one of the spec. */
void swo_loss_scale_start(const sw_optim *o);
/* After `steps` steps that ended with this status: doubles the scale, or halves it. */
void swo_loss_scale_update(sw_optim *o, sw_status status, int64_t steps);
/* Sets a dynamic scale to that of a file, after swo_walk_copy. */
void swo_loss_scale_load(sw_optim *o);
/* Whether a scale is valid, and a number of clean steps. */
bool swo_loss_scale_fits(double scale, double clean);

#endif
