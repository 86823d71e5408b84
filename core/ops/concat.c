/* Concatenation, stacking, splitting and padding. */
#include <swale/copy.h>
#include <swale/extend.h>

/* ---- concat and stack: parts [outer, length·inner] in a result [outer, Σ lengths·inner] ---- */

typedef struct join_attributes {
    int axis;
} join_attributes;

static sw_status concat_shape(sw_call *c) {
    const join_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    int64_t shape[SW_MAX_RANK];
    int axis = 0;
    SW_TRY(sw_call_check_equal_types(c, 0));
    SW_TRY(sw_call_axis(c, a->axis, &axis));
    for (int k = 0; k < x->rank; k++)
        shape[k] = x->shape[k];
    for (int i = 1; i < c->inputs; i++) {
        const sw_view *v = c->in[i];
        if (v->rank != x->rank)
            return sw_fail(SW_ERR_SHAPE,
                           "concat: inputs 0 and %d are %s and %s; they must have the "
                           "same number of axes",
                           i, sw_shape_text(x->rank, x->shape), sw_shape_text(v->rank, v->shape));
        for (int k = 0; k < x->rank; k++)
            if (k != axis && v->shape[k] != x->shape[k])
                return sw_fail(SW_ERR_SHAPE,
                               "concat: inputs 0 and %d are %s and %s: axis %d is %lld and "
                               "%lld; all but axis %d must be equal",
                               i, sw_shape_text(x->rank, x->shape), sw_shape_text(v->rank, v->shape), k,
                               (long long)x->shape[k], (long long)v->shape[k], axis);
        if (__builtin_add_overflow(shape[axis], v->shape[axis], &shape[axis]))
            return sw_fail(SW_ERR_SHAPE, "concat: axis %d of the result is too long", axis);
    }
    return sw_call_set_shape(c, x->type, x->rank, shape);
}

static sw_status stack_shape(sw_call *c) {
    const join_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    const int rank = x->rank + 1, axis = a->axis < 0 ? a->axis + rank : a->axis;
    int64_t shape[SW_MAX_RANK];
    SW_TRY(sw_call_check_equal_types(c, 0));
    if (rank > SW_MAX_RANK)
        return sw_fail(SW_ERR_SHAPE, "stack: %s has %d axes; there is no room for another",
                       sw_shape_text(x->rank, x->shape), x->rank);
    if (axis < 0 || axis >= rank)
        return sw_fail(SW_ERR_SHAPE, "stack: new axis %d for %s; it may be %d to %d", a->axis,
                       sw_shape_text(x->rank, x->shape), -rank, rank - 1);
    for (int i = 1; i < c->inputs; i++) {
        const sw_view *v = c->in[i];
        if (!sw_shape_equal(v->rank, v->shape, x->rank, x->shape))
            return sw_fail(SW_ERR_SHAPE, "stack: inputs 0 and %d are %s and %s; the shapes must be equal", i,
                           sw_shape_text(x->rank, x->shape), sw_shape_text(v->rank, v->shape));
    }
    for (int k = 0; k < rank; k++)
        shape[k] = k < axis ? x->shape[k] : k == axis ? c->inputs : x->shape[k - 1];
    return sw_call_set_shape(c, x->type, rank, shape);
}

/* The result as [outer, Σ lengths·inner]. Each input is a part of it; the first call of join_set_part completes the
 * first one. */
static sw_part join_first_part(const sw_call *c) {
    const join_attributes *a = c->attributes;
    const sw_view *y = c->out;
    const int axis = a->axis < 0 ? a->axis + y->rank : a->axis;
    sw_part p = {.rank = 2, .shape = {1, 1}};
    for (int k = 0; k < y->rank; k++)
        p.shape[k >= axis] *= y->shape[k];
    p.length[0] = p.shape[0];
    return p;
}

static void join_set_part(const sw_call *c, int i, sw_part *p) {
    p->length[1] = p->shape[0] ? c->in[i]->count / p->shape[0] : 0;
}

static sw_status join_forward(sw_call *c) {
    sw_part p = join_first_part(c);
    for (int i = 0; i < c->inputs; i++) {
        join_set_part(c, i, &p);
        sw_part_write(sw_dtype_size(c->out->type), &p, c->in[i]->data, c->out->data);
        p.begin[1] += p.length[1];
    }
    return SW_OK;
}

static sw_status join_vjp(sw_call *c) {
    sw_part p = join_first_part(c);
    for (int i = 0; i < c->inputs; i++) {
        join_set_part(c, i, &p);
        if (sw_call_wants_grad(c, i)) {
            void *d = sw_call_grad(c, i);
            if (!d)
                return SW_ERR_MEMORY;
            sw_part_read(sw_dtype_size(c->out->type), &p, c->cotangent, d);
        }
        p.begin[1] += p.length[1];
    }
    return SW_OK;
}

static const sw_op concat_op = {.size = sizeof(sw_op),
                                .name = "concat",
                                .shape = concat_shape,
                                .forward = join_forward,
                                .vjp = join_vjp,
                                .takes_16_bit = true};
static const sw_op stack_op = {.size = sizeof(sw_op),
                               .name = "stack",
                               .shape = stack_shape,
                               .forward = join_forward,
                               .vjp = join_vjp,
                               .takes_16_bit = true};

sw_tensor sw_concat(int count, const sw_tensor *parts, int axis) {
    const join_attributes a = {.axis = axis};
    return sw_apply(&concat_op, &a, sizeof a, count, parts);
}

sw_tensor sw_stack(int count, const sw_tensor *parts, int axis) {
    const join_attributes a = {.axis = axis};
    return sw_apply(&stack_op, &a, sizeof a, count, parts);
}

/* ---- split, by slices ---- */

/* Checks the axis and all lengths before the first slice is recorded. Sets *length to the length of equal parts. */
static sw_status split_check(const sw_view *x, int axis, int count, const int64_t *lengths, int64_t *length) {
    const int at = axis < 0 ? axis + x->rank : axis;
    const char *text = sw_shape_text(x->rank, x->shape);
    int64_t total = 0;
    if (x->rank == 0)
        return sw_fail(SW_ERR_SHAPE, "split: axis %d of a scalar, which has none", axis);
    if (at < 0 || at >= x->rank)
        return sw_fail(SW_ERR_SHAPE, "split: axis %d of %s; its axes are %d to %d", axis, text, -x->rank, x->rank - 1);
    const int64_t n = x->shape[at];
    *length = n / count;
    if (!lengths && n % count != 0)
        return sw_fail(SW_ERR_SHAPE, "split: axis %d of %s cannot become %d equal parts; give lengths", at, text,
                       count);
    for (int i = 0; lengths && i < count; i++) {
        if (lengths[i] < 0)
            return sw_fail(SW_ERR_SHAPE, "split: length %d is %lld; it must not be negative", i, (long long)lengths[i]);
        total = lengths[i] > n - total ? n + 1 : total + lengths[i];
        if (total > n)
            break;
    }
    if (lengths && total != n)
        return sw_fail(SW_ERR_SHAPE, "split: %d lengths add up to %s than axis %d of %s, which is %lld", count,
                       total > n ? "more" : "less", at, text, (long long)n);
    return SW_OK;
}

sw_status sw_split(sw_tensor x, int axis, int count, const int64_t *lengths, sw_tensor *parts) {
    if (count < 1 || !parts)
        return sw_fail(SW_ERR_ARGUMENT,
                       parts ? "split: %d parts; at least one is needed" : "split: the place for %d parts is NULL",
                       count);
    for (int i = 0; i < count; i++)
        parts[i] = (sw_tensor){0};
    const sw_view *view = sw_tensor_view(x, "split", 0);
    if (!view)
        return sw_last_failure();
    int64_t begin = 0, length = 0;
    SW_TRY(split_check(view, axis, count, lengths, &length));
    for (int i = 0; i < count; i++) {
        const int64_t end = begin + (lengths ? lengths[i] : length);
        parts[i] = sw_slice(x, axis, begin, end);
        if (sw_is_null(parts[i])) {
            for (int k = 0; k < i; k++)
                parts[k] = (sw_tensor){0};
            return sw_last_failure();
        }
        begin = end;
    }
    return SW_OK;
}

/* ---- pad ---- */

typedef struct pad_attributes {
    int rank;
    int64_t before[SW_MAX_RANK], after[SW_MAX_RANK];
    double value;
} pad_attributes;

/* x as a part of the result. */
static sw_status pad_part(const sw_call *c, sw_part *p) {
    const pad_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    if (a->rank != x->rank)
        return sw_fail(SW_ERR_SHAPE, "pad: lengths for %d axes; %s has %d", a->rank, sw_shape_text(x->rank, x->shape),
                       x->rank);
    *p = (sw_part){.rank = x->rank};
    for (int axis = 0; axis < x->rank; axis++) {
        const int64_t before = a->before[axis], after = a->after[axis];
        if (before < 0 || after < 0)
            return sw_fail(SW_ERR_SHAPE,
                           "pad: %lld before and %lld after axis %d of %s; the numbers must not be "
                           "negative (sw_slice removes elements)",
                           (long long)before, (long long)after, axis, sw_shape_text(x->rank, x->shape));
        p->begin[axis] = before;
        p->length[axis] = x->shape[axis];
        if (__builtin_add_overflow(before, after, &p->shape[axis]) ||
            __builtin_add_overflow(p->shape[axis], x->shape[axis], &p->shape[axis]))
            return sw_fail(SW_ERR_SHAPE, "pad: axis %d of the result is too long", axis);
    }
    return SW_OK;
}

static sw_status pad_value(const sw_call *c, void *element) {
    return sw_number_to_element("pad", c->in[0]->type, ((const pad_attributes *)c->attributes)->value, element);
}

static sw_status pad_shape(sw_call *c) {
    sw_part p;
    double element;
    SW_TRY(pad_part(c, &p));
    SW_TRY(pad_value(c, &element));
    return sw_call_set_shape(c, c->in[0]->type, p.rank, p.shape);
}

static sw_status pad_forward(sw_call *c) {
    const size_t size = sw_dtype_size(c->out->type);
    sw_part p;
    double element;
    SW_TRY(pad_part(c, &p));
    SW_TRY(pad_value(c, &element));
    sw_part_write(size, &p, c->in[0]->data, c->out->data);
    sw_part_fill_around(size, &p, &element, c->out->data);
    return SW_OK;
}

static sw_status pad_vjp(sw_call *c) {
    sw_part p;
    void *dx = sw_call_grad(c, 0);
    if (!dx)
        return SW_ERR_MEMORY;
    SW_TRY(pad_part(c, &p));
    sw_part_read(sw_dtype_size(c->out->type), &p, c->cotangent, dx);
    return SW_OK;
}

static const sw_op pad_op = {.size = sizeof(sw_op),
                             .name = "pad",
                             .shape = pad_shape,
                             .forward = pad_forward,
                             .vjp = pad_vjp,
                             .takes_16_bit = true};

sw_tensor sw_pad(sw_tensor x, int rank, const int64_t *before, const int64_t *after, double value) {
    pad_attributes a = {.rank = rank, .value = value};
    if (rank < 0 || rank > SW_MAX_RANK || (rank && (!before || !after))) {
        sw_fail(SW_ERR_ARGUMENT,
                rank > 0 && rank <= SW_MAX_RANK ? "pad: lengths for %d axes, but they are NULL"
                                                : "pad: lengths for %d axes; x's rank is needed",
                rank);
        return (sw_tensor){0};
    }
    for (int axis = 0; axis < rank; axis++) {
        a.before[axis] = before[axis];
        a.after[axis] = after[axis];
    }
    return sw_apply(&pad_op, &a, sizeof a, 1, &x);
}
