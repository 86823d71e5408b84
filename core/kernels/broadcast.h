/* Loops over two operands that are broadcast to one shape.
 *
 * The element of the output at index (i_0, i_1, …) of a plan lies at offset Σ i_k·out_stride[k]; the elements of the
 * operands lie at Σ i_k·a_stride[k] and Σ i_k·b_stride[k]. All arrays are row-major; strides count elements.
 */
#ifndef SWALE_BROADCAST_H
#define SWALE_BROADCAST_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A plan: the axes of the output, from the last axis to the first. A stride of 0 means that the operand repeats along
 * the axis. Two neighboring axes are joined to one if each operand repeats along both or along neither of them. Axes of
 * length 1 are left out, but at least one axis remains. */
typedef struct sw_broadcast {
    int axes;
    int64_t length[SW_MAX_RANK], a_stride[SW_MAX_RANK], b_stride[SW_MAX_RANK], out_stride[SW_MAX_RANK];
} sw_broadcast;
/* Makes the plan for operands a and b whose shapes can be broadcast to `shape` (this is not checked). */
SW_API sw_broadcast sw_broadcast_plan(int rank, const int64_t *shape, int a_rank, const int64_t *a_shape, int b_rank,
                                      const int64_t *b_shape);

#ifdef __cplusplus
}
#endif
#endif
