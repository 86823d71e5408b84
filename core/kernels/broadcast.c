/* Loops over operands that are broadcast to one shape. */

#include <swale/broadcast.h>

static int64_t broadcast_length(int rank, const int64_t *shape, int out_rank, int axis) {
    int input_axis = axis - (out_rank - rank);
    return input_axis < 0 ? 1 : shape[input_axis];
}

sw_broadcast sw_broadcast_plan(int rank, const int64_t *shape, int a_rank, const int64_t *a_shape, int b_rank,
                               const int64_t *b_shape) {
    sw_broadcast l = {0};
    int64_t a_step = 1, b_step = 1, step = 1;
    bool a_before = false, b_before = false;
    for (int axis = rank - 1; axis >= 0; axis--) { /* the plan holds the axes from the last to the first */
        int64_t n = shape[axis];
        int64_t na = broadcast_length(a_rank, a_shape, rank, axis), nb = broadcast_length(b_rank, b_shape, rank, axis);
        bool a_repeats = na == 1 && n != 1, b_repeats = nb == 1 && n != 1;
        if (n != 1) {
            if (l.axes && a_repeats == a_before && b_repeats == b_before) {
                l.length[l.axes - 1] *= n;
            } else {
                l.length[l.axes] = n;
                l.a_stride[l.axes] = a_repeats ? 0 : a_step;
                l.b_stride[l.axes] = b_repeats ? 0 : b_step;
                l.out_stride[l.axes++] = step;
            }
            a_before = a_repeats;
            b_before = b_repeats;
        }
        a_step *= na;
        b_step *= nb;
        step *= n;
    }
    if (!l.axes) {
        l.axes = 1;
        l.length[0] = 1;
    }
    return l;
}
