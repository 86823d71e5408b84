/* Several vectors of the parameters of an objective as the parameters of another objective, for the files of this
 * folder: the bends of a curve, and the origin and the directions of a plane. */
#ifndef SWALE_OPTIM_LANDSCAPE_VECTORS_H
#define SWALE_OPTIM_LANDSCAPE_VECTORS_H

#include <swale/params.h>

/* Adds all parameters of `from` to `to`, except buffers and tied names, in their order, with their roles and shapes:
 * "PREFIX.linear1.weight". What is frozen in `from` is frozen in `to`. */
sw_status swo_vectors_add(sw_params *to, const sw_params *from, const char *prefix);
/* Allocates a vector of all parameters of `from`, and copies `values` to it (NULL: zeros). NULL without memory. */
void *swo_vectors_copy(const sw_params *from, const void *values);

#endif
