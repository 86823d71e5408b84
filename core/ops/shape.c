/* Operations on the shape of one tensor: reshape and detach, which copy no data; transpose, permute, slice, expand.
 * Concatenation and splitting are in concat.c, flip and roll in flip.c. */
#include <swale/copy.h>
#include <swale/extend.h>

/* ---- reshape ---- */

typedef struct reshape_attributes {
    int rank;
    int64_t shape[SW_MAX_RANK];
} reshape_attributes;

static sw_status reshape_shape(sw_call *c) {
    const reshape_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    int64_t shape[SW_MAX_RANK] = {0}, known = 1, count;
    int open = -1;
    for (int i = 0; i < a->rank; i++) {
        shape[i] = a->shape[i];
        if (shape[i] == -1 && open < 0) {
            open = i;
            shape[i] = 1;
        }
    }
    for (int i = 0; i < a->rank; i++)
        if (shape[i] < 0)
            return sw_fail(SW_ERR_SHAPE,
                           "reshape: %s cannot become %s: one length may be -1, the others "
                           "not below 0",
                           sw_shape_text(x->rank, x->shape), sw_shape_text(a->rank, a->shape));
    SW_TRY(sw_shape_count(a->rank, shape, &known));
    if (open >= 0)
        shape[open] = known > 0 ? x->count / known : 0;
    SW_TRY(sw_shape_count(a->rank, shape, &count));
    if (count != x->count || (open >= 0 && known == 0))
        return sw_fail(SW_ERR_SHAPE, "reshape: %s has %lld element%s and cannot become %s",
                       sw_shape_text(x->rank, x->shape), (long long)x->count, x->count == 1 ? "" : "s",
                       sw_shape_text(a->rank, a->shape));
    return sw_call_set_shape(c, x->type, a->rank, shape);
}

static sw_status view_vjp(sw_call *c) {
    sw_call_pass_grad(c, 0);
    return SW_OK;
}

static const sw_op reshape_op = {
    .size = sizeof(sw_op), .name = "reshape", .shape = reshape_shape, .vjp = view_vjp, .is_view = true};

static sw_tensor reshape_apply(const sw_op *op, sw_tensor x, int rank, const int64_t *shape) {
    reshape_attributes a = {.rank = rank};
    if (rank < 0 || rank > SW_MAX_RANK || (rank && !shape)) {
        sw_fail(SW_ERR_SHAPE, "%s: a tensor has 0 to %d axes, not %d", op->name, SW_MAX_RANK, rank);
        return (sw_tensor){0};
    }
    for (int i = 0; i < rank; i++)
        a.shape[i] = shape[i];
    return sw_apply(op, &a, sizeof a, 1, &x);
}

sw_tensor sw_reshape(sw_tensor x, int rank, const int64_t *shape) {
    return reshape_apply(&reshape_op, x, rank, shape);
}

/* ---- detach ---- */

static sw_status view_shape_like_input(sw_call *c) {
    return sw_call_set_shape_like(c, 0);
}

static const sw_op detach_op = {
    .size = sizeof(sw_op), .name = "detach", .shape = view_shape_like_input, .is_view = true};

sw_tensor sw_detach(sw_tensor t) {
    return sw_apply(&detach_op, NULL, 0, 1, &t);
}

/* ---- transpose and permute: axis i of the result is axis axes[i] of x ---- */

typedef struct permute_attributes {
    int count;
    int axes[SW_MAX_RANK];
} permute_attributes;

/* Checks the axes and sets them, counted from the start. */
static sw_status permute_axes(const sw_call *c, int axes[SW_MAX_RANK]) {
    const permute_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    bool seen[SW_MAX_RANK] = {false};
    if (a->count != x->rank)
        return sw_fail(SW_ERR_SHAPE, "permute: %d axes for %s, which has %d; all are needed, each once", a->count,
                       sw_shape_text(x->rank, x->shape), x->rank);
    for (int i = 0; i < a->count; i++) {
        SW_TRY(sw_call_axis(c, a->axes[i], &axes[i]));
        if (seen[axes[i]])
            return sw_fail(SW_ERR_ARGUMENT,
                           "permute: axis %d of %s is given twice; all are needed, each "
                           "once",
                           axes[i], sw_shape_text(x->rank, x->shape));
        seen[axes[i]] = true;
    }
    return SW_OK;
}

/* Sets the axes of a transposition: the given two are exchanged. */
static sw_status transpose_axes(const sw_call *c, int axes[SW_MAX_RANK]) {
    const permute_attributes *a = c->attributes;
    int first = 0, second = 0;
    SW_TRY(sw_call_axis(c, a->axes[0], &first));
    SW_TRY(sw_call_axis(c, a->axes[1], &second));
    for (int i = 0; i < c->in[0]->rank; i++)
        axes[i] = i == first ? second : i == second ? first : i;
    return SW_OK;
}

static const sw_op transpose_op;

static sw_status permute_order(const sw_call *c, int axes[SW_MAX_RANK]) {
    return c->op == &transpose_op ? transpose_axes(c, axes) : permute_axes(c, axes);
}

static sw_status permute_shape(sw_call *c) {
    const sw_view *x = c->in[0];
    int axes[SW_MAX_RANK];
    int64_t shape[SW_MAX_RANK];
    SW_TRY(permute_order(c, axes));
    for (int i = 0; i < x->rank; i++)
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.ArraySubscript): the shape rule saw all axes */
        shape[i] = x->shape[axes[i]];
    return sw_call_set_shape(c, x->type, x->rank, shape);
}

/* Writes the result in order and reads x with permuted strides. */
static sw_status permute_forward(sw_call *c) {
    const sw_view *x = c->in[0], *y = c->out;
    int axes[SW_MAX_RANK];
    int64_t stride[SW_MAX_RANK];
    sw_box b = {.axes = x->rank};
    SW_TRY(permute_order(c, axes));
    sw_strides(x->rank, x->shape, stride);
    sw_strides(y->rank, y->shape, b.stride[1]);
    for (int i = 0; i < x->rank; i++) {
        b.length[i] = y->shape[i];
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.ArraySubscript): the shape rule saw all axes */
        b.stride[0][i] = stride[axes[i]];
    }
    sw_box_copy(sw_dtype_size(x->type), b, x->data, y->data);
    return SW_OK;
}

/* Writes the gradient of x in order and reads the cotangent with permuted strides. */
static sw_status permute_vjp(sw_call *c) {
    const sw_view *x = c->in[0], *y = c->out;
    void *dx = sw_call_grad(c, 0);
    int axes[SW_MAX_RANK];
    int64_t stride[SW_MAX_RANK];
    sw_box b = {.axes = x->rank};
    if (!dx)
        return SW_ERR_MEMORY;
    SW_TRY(permute_order(c, axes));
    sw_strides(y->rank, y->shape, stride);
    sw_strides(x->rank, x->shape, b.stride[1]);
    for (int i = 0; i < x->rank; i++) {
        b.length[i] = x->shape[i];
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.ArraySubscript): the shape rule saw all axes */
        b.stride[0][axes[i]] = stride[i];
    }
    sw_box_copy(sw_dtype_size(x->type), b, c->cotangent, dx);
    return SW_OK;
}

static const sw_op transpose_op = {.size = sizeof(sw_op),
                                   .name = "transpose",
                                   .shape = permute_shape,
                                   .forward = permute_forward,
                                   .vjp = permute_vjp,
                                   .takes_16_bit = true};
static const sw_op permute_op = {.size = sizeof(sw_op),
                                 .name = "permute",
                                 .shape = permute_shape,
                                 .forward = permute_forward,
                                 .vjp = permute_vjp,
                                 .takes_16_bit = true};

sw_tensor sw_transpose(sw_tensor x, int axis_a, int axis_b) {
    const permute_attributes a = {.count = 2, .axes = {axis_a, axis_b}};
    return sw_apply(&transpose_op, &a, sizeof a, 1, &x);
}

sw_tensor sw_permute(sw_tensor x, int count, const int *axes) {
    permute_attributes a = {.count = count};
    if (count < 0 || count > SW_MAX_RANK || (count && !axes)) {
        sw_fail(SW_ERR_ARGUMENT,
                count > 0 && !axes ? "permute: %d axes, but their numbers are NULL"
                                   : "permute: %d axes; SW_AXES(...) is needed",
                count);
        return (sw_tensor){0};
    }
    for (int i = 0; i < count; i++)
        a.axes[i] = axes[i];
    return sw_apply(&permute_op, &a, sizeof a, 1, &x);
}

/* ---- slice ---- */

typedef struct slice_attributes {
    int axis;
    int64_t begin, end, step;
} slice_attributes;

static int64_t slice_from_start(int64_t position, int64_t length) {
    return position == SW_END ? length : position < 0 ? position + length : position;
}

/* Sets the part of x that the slice is. */
static sw_status slice_part(const sw_call *c, sw_part *p) {
    const slice_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    int axis = 0;
    SW_TRY(sw_call_axis(c, a->axis, &axis));
    const int64_t n = x->shape[axis], begin = slice_from_start(a->begin, n), end = slice_from_start(a->end, n);
    if (begin < 0 || begin > n || end < 0 || end > n)
        return sw_fail(SW_ERR_SHAPE, "%s: %lld to %lld along axis %d of %s; positions are %lld to %lld", c->op->name,
                       (long long)(a->begin == SW_END ? n : a->begin), (long long)(a->end == SW_END ? n : a->end), axis,
                       sw_shape_text(x->rank, x->shape), (long long)-n, (long long)n);
    if (end < begin)
        return sw_fail(SW_ERR_SHAPE,
                       "%s: %lld to %lld along axis %d of %s; the end is before the "
                       "beginning",
                       c->op->name, (long long)begin, (long long)end, axis, sw_shape_text(x->rank, x->shape));
    *p = (sw_part){.rank = x->rank};
    for (int i = 0; i < x->rank; i++)
        p->shape[i] = p->length[i] = x->shape[i];
    p->begin[axis] = begin;
    p->length[axis] = end - begin;
    return SW_OK;
}

static sw_status slice_shape(sw_call *c) {
    sw_part p;
    SW_TRY(slice_part(c, &p));
    return sw_call_set_shape(c, c->in[0]->type, p.rank, p.length);
}

static sw_status slice_forward(sw_call *c) {
    sw_part p;
    SW_TRY(slice_part(c, &p));
    sw_part_read(sw_dtype_size(c->out->type), &p, c->in[0]->data, c->out->data);
    return SW_OK;
}

static sw_status slice_vjp(sw_call *c) {
    static const double zero = 0; /* all bits of every type are 0 */
    const size_t size = sw_dtype_size(c->out->type);
    sw_part p;
    void *dx = sw_call_grad(c, 0);
    if (!dx)
        return SW_ERR_MEMORY;
    SW_TRY(slice_part(c, &p));
    sw_part_write(size, &p, c->cotangent, dx);
    sw_part_fill_around(size, &p, &zero, dx);
    return SW_OK;
}

static const sw_op slice_op = {.size = sizeof(sw_op),
                               .name = "slice",
                               .shape = slice_shape,
                               .forward = slice_forward,
                               .vjp = slice_vjp,
                               .takes_16_bit = true};

sw_tensor sw_slice(sw_tensor x, int axis, int64_t begin, int64_t end) {
    const slice_attributes a = {.axis = axis, .begin = begin, .end = end};
    return sw_apply(&slice_op, &a, sizeof a, 1, &x);
}

/* ---- slice with a step ---- */

/* Sets *p to the part from which every step-th element is taken, b to the strides of these elements in x (operand 0)
 * and in the result (1), and *first to the first of them in x. */
static sw_status stepped_slice(const sw_call *c, sw_part *p, sw_box *b, int64_t *first) {
    const slice_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    int axis = 0;
    if (a->step < 1)
        return sw_fail(SW_ERR_ARGUMENT, "slice_with_step: step %lld; it must be at least 1 (sw_flip reverses an axis)",
                       (long long)a->step);
    SW_TRY(slice_part(c, p));
    SW_TRY(sw_call_axis(c, a->axis, &axis));
    p->length[axis] = p->length[axis] / a->step + (p->length[axis] % a->step != 0);
    *b = (sw_box){.axes = x->rank};
    sw_strides(x->rank, x->shape, b->stride[0]);
    sw_strides(x->rank, p->length, b->stride[1]);
    for (int i = 0; i < x->rank; i++)
        b->length[i] = p->length[i];
    *first = p->begin[axis] * b->stride[0][axis];
    if (p->length[axis] > 1) /* else the step may be beyond the axis */
        b->stride[0][axis] *= a->step;
    return SW_OK;
}

static sw_status stepped_slice_shape(sw_call *c) {
    sw_part p;
    sw_box b = {.axes = 0};
    int64_t first = 0;
    SW_TRY(stepped_slice(c, &p, &b, &first));
    return sw_call_set_shape(c, c->in[0]->type, p.rank, p.length);
}

static sw_status stepped_slice_forward(sw_call *c) {
    const size_t size = sw_dtype_size(c->out->type);
    sw_part p;
    sw_box b = {.axes = 0};
    int64_t first = 0;
    SW_TRY(stepped_slice(c, &p, &b, &first));
    if (c->out->count > 0)
        sw_box_copy(size, b, (const char *)c->in[0]->data + (size_t)first * size, c->out->data);
    return SW_OK;
}

static sw_status stepped_slice_vjp(sw_call *c) {
    static const double zero = 0; /* all bits of every type are 0 */
    const sw_view *x = c->in[0];
    const size_t size = sw_dtype_size(x->type);
    sw_part p;
    sw_box b = {.axes = 0};
    int64_t first = 0;
    char *dx = sw_call_grad(c, 0);
    if (!dx)
        return SW_ERR_MEMORY;
    SW_TRY(stepped_slice(c, &p, &b, &first));
    sw_box_fill(size, &zero, 1, &x->count, (const int64_t[]){1}, dx);
    for (int i = 0; i < b.axes; i++) {
        const int64_t step = b.stride[0][i];
        b.stride[0][i] = b.stride[1][i];
        b.stride[1][i] = step;
    }
    if (c->out->count > 0)
        sw_box_copy(size, b, c->cotangent, dx + (size_t)first * size);
    return SW_OK;
}

static const sw_op slice_with_step_op = {.size = sizeof(sw_op),
                                         .name = "slice_with_step",
                                         .shape = stepped_slice_shape,
                                         .forward = stepped_slice_forward,
                                         .vjp = stepped_slice_vjp,
                                         .takes_16_bit = true};

sw_tensor sw_slice_with_step(sw_tensor x, int axis, int64_t begin, int64_t end, int64_t step) {
    const slice_attributes a = {.axis = axis, .begin = begin, .end = end, .step = step};
    return sw_apply(&slice_with_step_op, &a, sizeof a, 1, &x);
}

/* ---- expand ---- */

static sw_status expand_shape(sw_call *c) {
    const reshape_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    int64_t shape[SW_MAX_RANK];
    for (int i = 0; i < a->rank || i < x->rank; i++) { /* i counts from the last axis */
        const int axis = a->rank - 1 - i;
        const int64_t length = i < x->rank ? x->shape[x->rank - 1 - i] : -1, asked = axis >= 0 ? a->shape[axis] : -1;
        const char *from = sw_shape_text(x->rank, x->shape), *to = sw_shape_text(a->rank, a->shape);
        if (axis < 0)
            return sw_fail(SW_ERR_SHAPE, "expand: %s cannot become %s, which has fewer axes", from, to);
        if (asked < 0 && (asked != -1 || length < 0))
            return sw_fail(SW_ERR_SHAPE,
                           "expand: %s cannot become %s: axis %d is %lld; a negative length "
                           "must be -1 and belong to an axis of the input",
                           from, to, axis, (long long)asked);
        if (asked >= 0 && length >= 0 && length != asked && length != 1)
            return sw_fail(SW_ERR_SHAPE,
                           "expand: %s cannot become %s: axis %d is %lld and would be %lld; "
                           "only an axis of length 1 repeats",
                           from, to, axis, (long long)length, (long long)asked);
        shape[axis] = asked == -1 ? length : asked;
    }
    return sw_call_set_shape(c, x->type, a->rank, shape);
}

static sw_status expand_forward(sw_call *c) {
    const sw_view *x = c->in[0], *y = c->out;
    int64_t stride[SW_MAX_RANK];
    sw_box b = {.axes = y->rank};
    sw_strides(x->rank, x->shape, stride);
    sw_strides(y->rank, y->shape, b.stride[1]);
    for (int i = 0; i < y->rank; i++) {
        const int length = i - (y->rank - x->rank);
        b.length[i] = y->shape[i];
        b.stride[0][i] = length < 0 || x->shape[length] == 1 ? 0 : stride[length];
    }
    sw_box_copy(sw_dtype_size(x->type), b, x->data, y->data);
    return SW_OK;
}

static const sw_op expand_op = {.size = sizeof(sw_op),
                                .name = "expand",
                                .shape = expand_shape,
                                .forward = expand_forward,
                                .vjp = view_vjp,
                                .broadcasts = true,
                                .takes_16_bit = true};

sw_tensor sw_expand(sw_tensor x, int rank, const int64_t *shape) {
    return reshape_apply(&expand_op, x, rank, shape);
}
