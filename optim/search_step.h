/* A step whose length a line search chooses. */
#ifndef SWALE_OPTIM_SEARCH_STEP_H
#define SWALE_OPTIM_SEARCH_STEP_H

#include <swale/optim.h>

/* Its vectors. */
sw_status swo_search_alloc(sw_optim *o);
/* x moves along the rules' direction by what the search chooses. */
sw_status swo_search_step(sw_optim *o, const void *g);

#endif
