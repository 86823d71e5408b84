/* Ensures that x and the states are finite after SW_OK. */
#ifndef SWALE_OPTIM_GUARD_H
#define SWALE_OPTIM_GUARD_H

#include <swale/optim.h>

/* Call them before the updates (but after begin and decide), and after the updates, with their status. */
sw_status swo_guard_before(sw_optim *o, const void *g);
sw_status swo_guard_after(sw_optim *o, sw_status status);
/* Call it after a line search. */
sw_status swo_guard_search(sw_optim *o);

#endif
