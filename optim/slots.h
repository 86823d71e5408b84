/* State by name. */
#ifndef SWALE_OPTIM_SLOTS_H
#define SWALE_OPTIM_SLOTS_H

#include "optim/optimizer.h"

/* Slot s of the group's parameter k: in its shape, or a vector where the rule gives the slot's size. */
sw_array swo_param_slot(const sw_optim *o, const swo_group *g, int k, int s);

/* A slot as a vector; data NULL: it is not there. */
sw_array swo_slot_vector(const sw_optim *o, const sw_slot *slot, void *data, int64_t count);

#endif
