/* Operations that move no number: reshape and detach; and those that sum them: sum and mean. */
#include "internal.h"

#include <math.h>

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
            return sw_fail(SW_ERR_SHAPE, "reshape: %s cannot become %s: one length may be -1, the others "
                                         "not below 0",
                           sw_shape_text(x->rank, x->shape), sw_shape_text(a->rank, a->shape));
    SW_TRY(swi_count(a->rank, shape, &known));
    if (open >= 0)
        shape[open] = known > 0 ? x->count / known : 0;
    SW_TRY(swi_count(a->rank, shape, &count));
    if (count != x->count || (open >= 0 && known == 0))
        return sw_fail(SW_ERR_SHAPE, "reshape: %s has %lld elements and cannot become %s",
                       sw_shape_text(x->rank, x->shape), (long long)x->count,
                       sw_shape_text(a->rank, a->shape));
    return sw_shape_set(c, x->type, a->rank, shape);
}

static sw_status pass_vjp(sw_call *c) {
    sw_pass(c, 0);
    return SW_OK;
}

static const sw_op reshape_op = {.size = sizeof(sw_op), .name = "reshape", .shape = reshape_shape,
                                 .vjp = pass_vjp, .is_view = true};

sw_tensor sw_reshape(sw_tensor x, int rank, const int64_t *shape) {
    reshape_attributes a = {.rank = rank};
    if (rank < 0 || rank > SW_MAX_RANK || (rank && !shape)) {
        sw_fail(SW_ERR_SHAPE, "reshape: a tensor has 0 to %d axes, not %d", SW_MAX_RANK, rank);
        return (sw_tensor){0};
    }
    for (int i = 0; i < rank; i++)
        a.shape[i] = shape[i];
    return sw_apply(&reshape_op, &a, sizeof a, 1, &x);
}

/* ---- detach ---- */

static sw_status like_input(sw_call *c) {
    return sw_shape_like(c, 0);
}

static const sw_op detach_op = {.size = sizeof(sw_op), .name = "detach", .shape = like_input,
                                .is_view = true};

sw_tensor sw_detach(sw_tensor t) {
    return sw_apply(&detach_op, NULL, 0, 1, &t);
}

/* ---- sum and mean of all elements ---- */

static sw_status scalar_shape(sw_call *c) {
    SW_TRY(sw_check_real(c));
    return sw_shape_set(c, c->in[0]->type, 0, NULL);
}

static sw_status sum_forward(sw_call *c) {
    swi_store_scalar(c->out, swi_total(c->in[0]->type, c->in[0]->count, c->in[0]->data));
    return SW_OK;
}

static sw_status mean_forward(sw_call *c) {
    const sw_view *x = c->in[0];
    swi_store_scalar(c->out, x->count ? swi_total(x->type, x->count, x->data) / (double)x->count : (double)NAN);
    return SW_OK;
}

static sw_status spread(sw_call *c, double factor) {
    const sw_view *x = c->in[0];
    void *dx = sw_cotangent(c, 0);
    if (!dx)
        return SW_ERR_MEMORY;
    swi_fill(x->type, x->count, swi_load_scalar(x->type, c->cotangent) * factor, dx);
    return SW_OK;
}

static sw_status sum_vjp(sw_call *c) {
    return spread(c, 1);
}

static sw_status mean_vjp(sw_call *c) {
    return spread(c, 1 / (double)c->in[0]->count);
}

static const sw_op sum_op = {.size = sizeof(sw_op), .name = "sum", .shape = scalar_shape,
                             .forward = sum_forward, .vjp = sum_vjp};
static const sw_op mean_op = {.size = sizeof(sw_op), .name = "mean", .shape = scalar_shape,
                              .forward = mean_forward, .vjp = mean_vjp};

sw_tensor sw_sum(sw_tensor x) {
    return sw_apply(&sum_op, NULL, 0, 1, &x);
}

sw_tensor sw_mean(sw_tensor x) {
    return sw_apply(&mean_op, NULL, 0, 1, &x);
}
