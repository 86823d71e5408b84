/* Copies of arrays with their axes in another order, into given memory. */
#ifndef SWALE_BASE_ARRAY_PERMUTE_H
#define SWALE_BASE_ARRAY_PERMUTE_H

#include <swale/array.h>

/* Writes the elements of the array to `to`, as sw_array_permute does. `axes` holds each of the array's axes once, from
 * 0. It cannot fail. */
void swi_array_permute_to(const sw_array *array, const int *axes, void *to);

#endif
