/* Access to state by name. */
#ifndef SWALE_OPTIM_SLOTS_H
#define SWALE_OPTIM_SLOTS_H

#include "optim/optimizer.h"

/* Slot s of the group's parameter k, in the shape of the parameter, or as a vector if the slot has `count`. */
sw_array swo_param_slot(const sw_optim *o, const swo_group *g, int k, int s);

/* A slot as a vector; data is NULL if there is no such slot. */
sw_array swo_slot_vector(const sw_optim *o, const sw_slot *slot, void *data, int64_t count);

#endif
