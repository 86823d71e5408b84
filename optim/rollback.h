/* Copies that undo a step. */
#ifndef SWALE_OPTIM_ROLLBACK_H
#define SWALE_OPTIM_ROLLBACK_H

#include <swale/optim.h>

/* Copies scalars, proposed step sizes and the norm of the gradient before each step, or restores them. */
void swo_rollback_scalars(sw_optim *o, bool restore);
/* Before the first step: copies x to the slots that start as x; with undo, sets them to zero again. */
void swo_start_slots(sw_optim *o, bool undo);

/* Allocates memory for copies of the slots of the rules, if there is none; copies the slots, or restores them. */
sw_status swo_rollback_alloc_slots(sw_optim *o);
void swo_rollback_slots(sw_optim *o, bool restore);
/* Copies x and the slots, or restores them. */
sw_status swo_rollback_save(sw_optim *o);
void swo_rollback_restore(sw_optim *o);

#endif
