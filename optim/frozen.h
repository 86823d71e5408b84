/* Parameters that are frozen. */
#ifndef SWALE_OPTIM_FROZEN_H
#define SWALE_OPTIM_FROZEN_H

#include <swale/optim.h>

/* Zeros where parameters are frozen, which must not count in norms. */
void swo_zero_frozen(const sw_optim *o, void *g);

/* Reads which frozen parameters hold Inf or NaN, and a bound of the norm of the rest. */
void swo_frozen_read(sw_optim *o);
/* Where a frozen parameter is not finite: the average's states become 0; the point becomes x. */
void swo_frozen_clear_average(sw_optim *o);
void swo_frozen_copy_to_point(const sw_optim *o, void *point);

#endif
