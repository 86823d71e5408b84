/* Norms that steps record. */
#ifndef SWALE_OPTIM_NORMS_H
#define SWALE_OPTIM_NORMS_H

#include <swale/optim.h>

/* Call them before and after the rules of a step. They do nothing if norms are not recorded. */
void swo_norms_before(sw_optim *o);
void swo_norms_after(sw_optim *o, const void *g);
void swo_norms_free(sw_optim *o);
size_t swo_norms_bytes(const sw_optim *o);

#endif
