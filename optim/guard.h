/* Nothing becomes Inf or NaN under SW_OK. */
#ifndef SWALE_OPTIM_GUARD_H
#define SWALE_OPTIM_GUARD_H

#include <swale/optim.h>

/* Before the updates, once begin and decide are done; and after them, with their status. */
sw_status swo_guard_before(sw_optim *o, const void *g);
sw_status swo_guard_after(sw_optim *o, sw_status status);
/* After a line search. */
sw_status swo_guard_search(sw_optim *o);

#endif
