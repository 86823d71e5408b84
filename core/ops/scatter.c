/* Adding values at the places that ids name: the transpose of gathering. The loops are in index_kernels.c. */
#include <swale/extend.h>

#include "core/ops/shared.h"

enum { INTO, BY, VALUES }; /* the inputs */

/* The values have the type of the tensor to which they are added. */
static sw_status scatter_check_types(const sw_call *c) {
    const sw_view *x = c->in[INTO], *values = c->in[VALUES];
    SW_TRY(swi_call_check_ids_type(c, BY));
    if (!sw_dtype_is_float(x->type))
        return sw_fail(SW_ERR_TYPE, "%s: input 0 is %s; f32, f64, f16 or bf16 is needed", c->op->name,
                       sw_dtype_name(x->type));
    if (values->type != x->type)
        return sw_fail(SW_ERR_TYPE, "%s: inputs 0 and 2 are %s and %s; the types must be equal", c->op->name,
                       sw_dtype_name(x->type), sw_dtype_name(values->type));
    return SW_OK;
}

/* An error for ids if there is no element to which a value could be added. */
static sw_status scatter_check_length(const sw_call *c, int axis) {
    const sw_view *x = c->in[INTO];
    return x->shape[axis] > 0 || c->in[BY]->count == 0
               ? SW_OK
               : sw_fail(SW_ERR_SHAPE, "%s: axis %d of %s has length 0: there is no element to add to", c->op->name,
                         axis, sw_shape_text(x->rank, x->shape));
}

/* ---- scatter_add: one element for each id ---- */

typedef struct scatter_attributes {
    int axis;
} scatter_attributes;

static sw_status scatter_add_shape(sw_call *c) {
    const scatter_attributes *a = c->attributes;
    const sw_view *x = c->in[INTO], *ids = c->in[BY], *values = c->in[VALUES];
    const char *x_text = sw_shape_text(x->rank, x->shape), *text = sw_shape_text(ids->rank, ids->shape);
    int axis = 0;
    SW_TRY(scatter_check_types(c));
    SW_TRY(sw_call_axis(c, a->axis, &axis));
    if (!sw_shape_equal(ids->rank, ids->shape, values->rank, values->shape))
        return sw_fail(SW_ERR_SHAPE, "scatter_add: ids %s and values %s; the shapes must be equal", text,
                       sw_shape_text(values->rank, values->shape));
    if (ids->rank != x->rank)
        return sw_fail(SW_ERR_SHAPE, "scatter_add: x %s and ids %s; they must have the same number of axes", x_text,
                       text);
    for (int i = 0; i < x->rank; i++)
        if (i != axis && ids->shape[i] != x->shape[i])
            return sw_fail(SW_ERR_SHAPE,
                           "scatter_add: x %s and ids %s: axis %d is %lld and %lld; all but axis %d must be equal",
                           x_text, text, i, (long long)x->shape[i], (long long)ids->shape[i], axis);
    SW_TRY(scatter_check_length(c, axis));
    return sw_call_set_shape_like(c, INTO);
}

/* x as [outer, n, inner], ids and values as [outer, m, inner]. */
static swi_gather scatter_of(const sw_call *c) {
    const scatter_attributes *a = c->attributes;
    const sw_view *x = c->in[INTO];
    return swi_gather_along(x, c->in[BY], a->axis < 0 ? a->axis + x->rank : a->axis);
}

static sw_status scatter_add_forward(sw_call *c) {
    const swi_gather g = scatter_of(c);
    SW_TRY(swi_call_check_ids(c, BY, g.n));
    return swi_gather_add(c, &g, c->in[INTO]->data, c->in[VALUES]->data, c->out->data);
}

static sw_status scatter_add_vjp(sw_call *c) {
    if (sw_call_wants_grad(c, INTO))
        sw_call_pass_grad(c, INTO);
    if (!sw_call_wants_grad(c, VALUES))
        return SW_OK;
    const swi_gather g = scatter_of(c);
    void *d = sw_call_grad(c, VALUES);
    if (!d)
        return SW_ERR_MEMORY;
    swi_gather_take(&g, c->cotangent, d);
    return SW_OK;
}

static const sw_op scatter_add_op = {.size = sizeof(sw_op),
                                     .name = "scatter_add",
                                     .shape = scatter_add_shape,
                                     .forward = scatter_add_forward,
                                     .vjp = scatter_add_vjp,
                                     .vjp_reads = SW_READS(BY),
                                     .takes_16_bit = true};

sw_tensor sw_scatter_add(sw_tensor x, int axis, sw_tensor ids, sw_tensor values) {
    const scatter_attributes a = {.axis = axis};
    return sw_apply(&scatter_add_op, &a, sizeof a, 3, (sw_tensor[]){x, ids, values});
}

/* ---- scatter_add_rows: whole rows ---- */

static sw_status scatter_add_rows_shape(sw_call *c) {
    const sw_view *x = c->in[INTO], *ids = c->in[BY], *rows = c->in[VALUES];
    SW_TRY(scatter_check_types(c));
    if (x->rank == 0)
        return sw_fail(SW_ERR_SHAPE, "scatter_add_rows: the table is a scalar; [rows, ...] is needed");
    bool fits = rows->rank == ids->rank + x->rank - 1;
    for (int i = 0; fits && i < rows->rank; i++)
        fits = rows->shape[i] == (i < ids->rank ? ids->shape[i] : x->shape[i - ids->rank + 1]);
    if (!fits)
        return sw_fail(SW_ERR_SHAPE,
                       "scatter_add_rows: table %s, ids %s and values %s; [rows,...], [ids...] and [ids...,...] are "
                       "needed",
                       sw_shape_text(x->rank, x->shape), sw_shape_text(ids->rank, ids->shape),
                       sw_shape_text(rows->rank, rows->shape));
    SW_TRY(scatter_check_length(c, 0));
    return sw_call_set_shape_like(c, INTO);
}

static sw_status scatter_add_rows_forward(sw_call *c) {
    const swi_gather g = swi_gather_of_rows(c->in[INTO], c->in[BY]);
    SW_TRY(swi_call_check_ids(c, BY, g.n));
    return swi_gather_add_rows(c, &g, c->in[INTO]->data, c->in[VALUES]->data, c->out->data);
}

static sw_status scatter_add_rows_vjp(sw_call *c) {
    if (sw_call_wants_grad(c, INTO))
        sw_call_pass_grad(c, INTO);
    if (!sw_call_wants_grad(c, VALUES))
        return SW_OK;
    const swi_gather g = swi_gather_of_rows(c->in[INTO], c->in[BY]);
    void *d = sw_call_grad(c, VALUES);
    if (!d)
        return SW_ERR_MEMORY;
    swi_gather_take_rows(&g, c->cotangent, d);
    return SW_OK;
}

static const sw_op scatter_add_rows_op = {.size = sizeof(sw_op),
                                          .name = "scatter_add_rows",
                                          .shape = scatter_add_rows_shape,
                                          .forward = scatter_add_rows_forward,
                                          .vjp = scatter_add_rows_vjp,
                                          .vjp_reads = SW_READS(BY),
                                          .takes_16_bit = true};

sw_tensor sw_scatter_add_rows(sw_tensor table, sw_tensor ids, sw_tensor values) {
    return sw_apply(&scatter_add_rows_op, NULL, 0, 3, (sw_tensor[]){table, ids, values});
}
