/* The spec of the loss scale. */
#ifndef SWALE_OPTIM_LOSS_SCALE_SPEC_H
#define SWALE_OPTIM_LOSS_SCALE_SPEC_H

#include <swale/optim.h>

/* The options of "dynamic". */
extern const sw_option swo_loss_scale_options[];

/* Reads the spec (NULL: the default) into o->loss_scale. */
sw_status swo_loss_scale_parse(sw_optim *o, const char *spec);

#endif
