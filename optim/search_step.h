/* A step whose length a line search chooses. */
#ifndef SWALE_OPTIM_SEARCH_STEP_H
#define SWALE_OPTIM_SEARCH_STEP_H

#include <swale/optim.h>

/* Allocates the vectors of the line search. */
sw_status swo_search_alloc(sw_optim *o);
/* Keeps g for the slope, if it is the gradient of the loss. Call it before g is clipped. */
void swo_search_keep_gradient(sw_optim *o, const void *g);
/* Takes a step along the direction of the rules, with the length that the search chooses. */
sw_status swo_search_step(sw_optim *o, const void *g);

#endif
