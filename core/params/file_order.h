/* Parameters in the order of files with channels first. */
#ifndef SWALE_PARAMS_FILE_ORDER_H
#define SWALE_PARAMS_FILE_ORDER_H

#include <swale/params.h>

/* Checks the order of a parameter of this shape, and sets file_rank and file_shape. An order that changes neither the
 * elements nor the shape becomes that of x (rank 0). */
sw_status swi_file_order_complete(const char *name, int rank, const int64_t *shape, sw_file_order *order);
/* The shape of a parameter in a file, with channels first or in the order of x. */
int swi_file_shape(const sw_param *param, bool channels_first, int64_t shape[SW_MAX_RANK]);
/* Copies count elements of a type between the order of x and that of a file with channels first. The parameter has such
 * an order (its rank is above 0). */
void swi_file_order_from_x(const sw_param *param, sw_dtype type, const void *from, void *to);
void swi_file_order_to_x(const sw_param *param, sw_dtype type, const void *from, void *to);

#endif
