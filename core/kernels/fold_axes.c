/* The axes of a reduction: the order in which the elements of a shape with folded and kept axes are visited
 * (reduce_kernels.h). */
#include <swale/broadcast.h>
#include <swale/reduce_kernels.h>

sw_fold_axes sw_fold_axes_of(int rank, const int64_t *shape, int to_rank, const int64_t *to_shape) {
    sw_fold_axes a = {.outputs = 1, .count = 1, .rows = 1, .length = 1, .blocks = 1, .folds = 1};
    int64_t all = 1;
    for (int i = 0; i < to_rank; i++)
        a.outputs *= to_shape[i];
    for (int i = 0; i < rank; i++)
        all *= shape[i];
    a.count = a.outputs ? all / a.outputs : 0;
    if (all == 0)
        return a;
    sw_broadcast l = sw_broadcast_plan(rank, shape, to_rank, to_shape, to_rank, to_shape);
    a.across = l.a_stride[0] != 0;
    a.length = l.length[0];
    if (l.axes > 1)
        a.rows = l.length[1];
    for (int i = 2; i < l.axes; i++) {
        if (l.a_stride[i]) {
            a.kept_length[a.kept] = l.length[i];
            a.kept_stride[a.kept++] = l.out_stride[i];
            a.blocks *= l.length[i];
        } else {
            a.folded_length[a.folded] = l.length[i];
            a.folded_stride[a.folded++] = l.out_stride[i];
            a.folds *= l.length[i];
        }
    }
    return a;
}
