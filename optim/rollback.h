/* Copies that undo a step. */
#ifndef SWALE_OPTIM_ROLLBACK_H
#define SWALE_OPTIM_ROLLBACK_H

#include <swale/optim.h>

/* Scalars, proposed step sizes and the gradient's norm: copied aside before each step, or back. */
void swo_rollback_scalars(sw_optim *o, bool restore);
/* Slots that start as x: x into them before the first step; undo: zeros, as before that. */
void swo_start_slots(sw_optim *o, bool undo);

/* Room for copies of the rules' slots, if there is none; the slots copied there, or back. */
sw_status swo_rollback_alloc_slots(sw_optim *o);
void swo_rollback_slots(sw_optim *o, bool restore);
/* x and the slots. */
sw_status swo_rollback_save(sw_optim *o);
void swo_rollback_restore(sw_optim *o);

#endif
