/* The axes of a call: of reductions, and of other operations that take SW_AXES(...). */
#include <swale/extend.h>

#include "core/ops/shared.h"

sw_status swi_call_axes(const sw_call *c, int count, const int *axes, bool chosen[SW_MAX_RANK]) {
    const sw_view *x = c->in[0];
    for (int i = 0; i < SW_MAX_RANK; i++)
        chosen[i] = count == -1;
    for (int i = 0; i < count; i++) {
        int axis = 0;
        SW_TRY(sw_call_axis(c, axes[i], &axis));
        if (chosen[axis])
            return sw_fail(SW_ERR_ARGUMENT, "%s: axis %d of %s is given twice", c->op->name, axis,
                           sw_shape_text(x->rank, x->shape));
        chosen[axis] = true;
    }
    return SW_OK;
}

bool swi_axes_are_valid(const char *who, int count, const int *axes) {
    if (count >= -1 && count <= SW_MAX_RANK && (count <= 0 || axes))
        return true;
    sw_fail(SW_ERR_ARGUMENT,
            count > 0 && !axes ? "%s: %d axes, but their numbers are NULL"
                               : "%s: %d axes; SW_AXES(...) or SW_ALL_AXES is needed",
            who, count);
    return false;
}

sw_fold_axes swi_reduction_axes(const sw_call *c) {
    const swi_reduction *a = c->attributes;
    const sw_view *x = c->in[0];
    int64_t kept[SW_MAX_RANK];
    bool reduced[SW_MAX_RANK];
    swi_call_axes(c, a->count, a->axes, reduced); /* which the shape rule has checked */
    for (int i = 0; i < x->rank; i++)
        kept[i] = reduced[i] ? 1 : x->shape[i];
    return sw_fold_axes_of(x->rank, x->shape, x->rank, kept);
}

sw_status swi_reduction_shape(sw_call *c, sw_dtype type) {
    const swi_reduction *a = c->attributes;
    const sw_view *x = c->in[0];
    bool reduced[SW_MAX_RANK];
    int64_t shape[SW_MAX_RANK];
    int rank = 0;
    SW_TRY(swi_call_axes(c, a->count, a->axes, reduced));
    for (int i = 0; i < x->rank; i++)
        if (!reduced[i])
            shape[rank++] = x->shape[i];
        else if (a->keepdim)
            shape[rank++] = 1;
    return sw_call_set_shape(c, type, rank, shape);
}

sw_tensor swi_reduction_apply(const sw_op *op, sw_tensor x, int count, const int *axes, swi_reduction a) {
    if (!swi_axes_are_valid(op->name, count, axes))
        return (sw_tensor){0};
    a.count = count;
    for (int i = 0; i < count; i++)
        a.axes[i] = axes[i];
    return sw_apply(op, &a, sizeof a, 1, &x);
}
