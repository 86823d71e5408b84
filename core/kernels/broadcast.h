/* Loops over operands that are broadcast to one shape. */
#ifndef SWALE_KERNELS_BROADCAST_H
#define SWALE_KERNELS_BROADCAST_H

#include <swale/op.h>
#include <swale/unary.h>

/* Axes of a shape from the last, neighbors joined where two operands that are broadcast to it go on or
 * repeat (stride 0) alike; those of length 1 are left out. */
typedef struct swi_broadcast {
    int axes;
    int64_t length[SW_MAX_RANK], a_stride[SW_MAX_RANK], b_stride[SW_MAX_RANK], out_stride[SW_MAX_RANK];
} swi_broadcast;
swi_broadcast swi_broadcast_plan(int rank, const int64_t *shape, int a_rank, const int64_t *a_shape, int b_rank,
                                 const int64_t *b_shape);
/* out = a ∘ b over the shape of out, a and b broadcast to it. */
void sw_binary_run(const sw_kernels *kernels, const sw_view *a, const sw_view *b, const sw_view *out);

#endif
