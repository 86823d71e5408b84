/* Moves along axes that change only the order of elements: flip and roll. */
#include <swale/copy.h>
#include <swale/extend.h>

#include "core/ops/shared.h"

static sw_status order_shape_like_input(sw_call *c) {
    return sw_call_set_shape_like(c, 0);
}

/* ---- flip ---- */

typedef struct flip_attributes {
    int count;
    int axes[SW_MAX_RANK];
} flip_attributes;

static sw_status flip_shape(sw_call *c) {
    const flip_attributes *a = c->attributes;
    bool chosen[SW_MAX_RANK];
    SW_TRY(swi_call_axes(c, a->count, a->axes, chosen));
    return order_shape_like_input(c);
}

/* Writes the result in order, and reads from the last element along the chosen axes backwards. */
static sw_status flip_copy(const sw_call *c, const void *from, void *to) {
    const flip_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    const int64_t size = (int64_t)sw_dtype_size(x->type);
    bool chosen[SW_MAX_RANK];
    int64_t first = 0;
    sw_box b = {.axes = x->rank};
    SW_TRY(swi_call_axes(c, a->count, a->axes, chosen));
    if (x->count == 0)
        return SW_OK;
    sw_strides(x->rank, x->shape, b.stride[0]);
    sw_strides(x->rank, x->shape, b.stride[1]);
    for (int i = 0; i < x->rank; i++) {
        b.length[i] = x->shape[i];
        if (chosen[i]) {
            first += (x->shape[i] - 1) * b.stride[0][i];
            b.stride[0][i] = -b.stride[0][i];
        }
    }
    sw_box_copy((size_t)size, b, (const char *)from + first * size, to);
    return SW_OK;
}

static sw_status flip_forward(sw_call *c) {
    return flip_copy(c, c->in[0]->data, c->out->data);
}

static sw_status flip_vjp(sw_call *c) {
    void *dx = sw_call_grad(c, 0);
    return dx ? flip_copy(c, c->cotangent, dx) : SW_ERR_MEMORY;
}

static const sw_op flip_op = {.size = sizeof(sw_op),
                              .name = "flip",
                              .shape = flip_shape,
                              .forward = flip_forward,
                              .vjp = flip_vjp,
                              .takes_16_bit = true};

sw_tensor sw_flip(sw_tensor x, int count, const int *axes) {
    flip_attributes a = {.count = count};
    if (!swi_axes_are_valid("flip", count, axes))
        return (sw_tensor){0};
    for (int i = 0; i < count; i++)
        a.axes[i] = axes[i];
    return sw_apply(&flip_op, &a, sizeof a, 1, &x);
}

/* ---- roll ---- */

typedef struct roll_attributes {
    int64_t shift;
    int axis;
} roll_attributes;

static sw_status roll_shape(sw_call *c) {
    const roll_attributes *a = c->attributes;
    int axis = 0;
    SW_TRY(sw_call_axis(c, a->axis, &axis));
    return order_shape_like_input(c);
}

/* Copies two parts of [outer, n·inner], by which all rows move; back: in the opposite direction. */
static sw_status roll_copy(const sw_call *c, bool back, const void *from, void *to) {
    const roll_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    const size_t size = sw_dtype_size(x->type);
    int axis = 0;
    SW_TRY(sw_call_axis(c, a->axis, &axis));
    if (x->count == 0)
        return SW_OK;
    const int64_t n = x->shape[axis], forth = (a->shift % n + n) % n, shift = back ? (n - forth) % n : forth;
    int64_t inner = 1;
    for (int i = axis + 1; i < x->rank; i++)
        inner *= x->shape[i];
    const int64_t row = n * inner, moved = shift * inner;
    sw_box b = {.axes = 2, .length = {x->count / row, row - moved}, .stride = {{row, 1}, {row, 1}}};
    sw_box_copy(size, b, from, (char *)to + (size_t)moved * size);
    b.length[1] = moved;
    sw_box_copy(size, b, (const char *)from + (size_t)(row - moved) * size, to);
    return SW_OK;
}

static sw_status roll_forward(sw_call *c) {
    return roll_copy(c, false, c->in[0]->data, c->out->data);
}

static sw_status roll_vjp(sw_call *c) {
    void *dx = sw_call_grad(c, 0);
    return dx ? roll_copy(c, true, c->cotangent, dx) : SW_ERR_MEMORY;
}

static const sw_op roll_op = {.size = sizeof(sw_op),
                              .name = "roll",
                              .shape = roll_shape,
                              .forward = roll_forward,
                              .vjp = roll_vjp,
                              .takes_16_bit = true};

sw_tensor sw_roll(sw_tensor x, int64_t shift, int axis) {
    const roll_attributes a = {.shift = shift, .axis = axis};
    return sw_apply(&roll_op, &a, sizeof a, 1, &x);
}
