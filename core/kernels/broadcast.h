/* Loops over operands that are broadcast to one shape. */
#ifndef SWALE_BROADCAST_H
#define SWALE_BROADCAST_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Axes of a shape from the last, neighbors joined where two operands that are broadcast to it go on or
 * repeat (stride 0) alike; those of length 1 are left out. */
typedef struct sw_broadcast {
    int axes;
    int64_t length[SW_MAX_RANK], a_stride[SW_MAX_RANK], b_stride[SW_MAX_RANK], out_stride[SW_MAX_RANK];
} sw_broadcast;
SW_API sw_broadcast sw_broadcast_plan(int rank, const int64_t *shape, int a_rank, const int64_t *a_shape, int b_rank,
                                      const int64_t *b_shape);

#ifdef __cplusplus
}
#endif
#endif
