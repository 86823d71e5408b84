/* Gathering by ids: whole rows, and one element for each id. The loops are in index_kernels.c.
 *
 * In a dry run ids may be results of operations that have not run. Therefore nothing depends on their values. */
#include <swale/extend.h>

#include "core/ops/shared.h"

#include <string.h>

/* ---- Ids ---- */

sw_status swi_call_check_ids_type(const sw_call *c, int input) {
    const sw_dtype type = c->in[input]->type;
    return type == SW_I32 ? SW_OK
                          : sw_fail(SW_ERR_TYPE, "%s: the ids are %s; i32 is needed", c->op->name, sw_dtype_name(type));
}

sw_status swi_call_check_ids(const sw_call *c, int input, int64_t n) {
    const int32_t *ids = c->in[input]->data;
    const int64_t count = c->in[input]->count;
    int32_t low = 0, high = -1;
    if (sw_dry_run())
        return SW_OK;
    for (int64_t i = 0; i < count; i++) {
        low = ids[i] < low ? ids[i] : low;
        high = ids[i] > high ? ids[i] : high;
    }
    if (low >= 0 && high < n)
        return SW_OK;
    int64_t i = 0;
    while (ids[i] >= 0 && ids[i] < n)
        i++;
    if (n == 0)
        return sw_fail(SW_ERR_ARGUMENT,
                       "%s: id %d at position %lld, but there is no element to gather in "
                       "%s",
                       c->op->name, ids[i], (long long)i, sw_shape_text(c->in[0]->rank, c->in[0]->shape));
    return sw_fail(SW_ERR_ARGUMENT, "%s: id %d at position %lld is outside 0 to %lld", c->op->name, ids[i],
                   (long long)i, (long long)(n - 1));
}

/* ---- gather_rows: table [rows, ...] and ids → [ids..., ...] ---- */

static sw_status gather_rows_shape(sw_call *c) {
    const sw_view *table = c->in[0], *ids = c->in[1];
    const int rank = ids->rank + table->rank - 1;
    int64_t shape[2 * SW_MAX_RANK];
    SW_TRY(swi_call_check_ids_type(c, 1));
    if (table->rank == 0)
        return sw_fail(SW_ERR_SHAPE, "%s: the table is a scalar; [rows, ...] is needed", c->op->name);
    if (rank > SW_MAX_RANK)
        return sw_fail(SW_ERR_SHAPE, "%s: rows of %s by ids %s make %d axes; at most %d", c->op->name,
                       sw_shape_text(table->rank, table->shape), sw_shape_text(ids->rank, ids->shape), rank,
                       SW_MAX_RANK);
    for (int i = 0; i < rank; i++)
        shape[i] = i < ids->rank ? ids->shape[i] : table->shape[i - ids->rank + 1];
    return sw_call_set_shape(c, table->type, rank, shape);
}

swi_gather swi_gather_of_rows(const sw_view *table, const sw_view *ids) {
    swi_gather g = {
        .type = table->type, .ids = ids->data, .outer = 1, .n = table->shape[0], .m = ids->count, .inner = 1};
    for (int axis = 1; axis < table->rank; axis++)
        g.inner *= table->shape[axis];
    return g;
}

static sw_status gather_rows_forward(sw_call *c) {
    const swi_gather g = swi_gather_of_rows(c->in[0], c->in[1]);
    SW_TRY(swi_call_check_ids(c, 1, g.n));
    swi_gather_take_rows(&g, c->in[0]->data, c->out->data);
    return SW_OK;
}

static sw_status gather_rows_vjp(sw_call *c) {
    const swi_gather g = swi_gather_of_rows(c->in[0], c->in[1]);
    void *d = sw_call_grad(c, 0);
    return d ? swi_gather_add_rows(c, &g, NULL, c->cotangent, d) : SW_ERR_MEMORY;
}

static const sw_op gather_rows_op = {.size = sizeof(sw_op),
                                     .name = "gather_rows",
                                     .shape = gather_rows_shape,
                                     .forward = gather_rows_forward,
                                     .vjp = gather_rows_vjp,
                                     .vjp_reads = SW_READS(1),
                                     .takes_16_bit = true};

sw_tensor sw_gather_rows(sw_tensor table, sw_tensor ids) {
    return sw_apply(&gather_rows_op, NULL, 0, 2, (sw_tensor[]){table, ids});
}

/* ---- gather_rows_with_padding: one row has no gradient ---- */

typedef struct padding_attributes {
    int64_t id;
} padding_attributes;

static sw_status gather_padded_shape(sw_call *c) {
    const padding_attributes *a = c->attributes;
    const sw_view *table = c->in[0];
    SW_TRY(gather_rows_shape(c));
    if (a->id < 0 || a->id >= table->shape[0])
        return sw_fail(SW_ERR_ARGUMENT, "%s: padding id %lld for table %s; it must be one of its rows", c->op->name,
                       (long long)a->id, sw_shape_text(table->rank, table->shape));
    return SW_OK;
}

static sw_status gather_padded_vjp(sw_call *c) {
    const padding_attributes *a = c->attributes;
    const swi_gather g = swi_gather_of_rows(c->in[0], c->in[1]);
    const size_t row = (size_t)g.inner * sw_dtype_size(g.type);
    char *d = sw_call_grad(c, 0);
    if (!d)
        return SW_ERR_MEMORY;
    SW_TRY(swi_gather_add_rows(c, &g, NULL, c->cotangent, d));
    if (!sw_dry_run())
        memset(d + (size_t)a->id * row, 0, row); /* all bits of every type are 0 */
    return SW_OK;
}

static const sw_op gather_rows_with_padding_op = {.size = sizeof(sw_op),
                                                  .name = "gather_rows_with_padding",
                                                  .shape = gather_padded_shape,
                                                  .forward = gather_rows_forward,
                                                  .vjp = gather_padded_vjp,
                                                  .vjp_reads = SW_READS(1),
                                                  .takes_16_bit = true};

sw_tensor sw_gather_rows_with_padding(sw_tensor table, sw_tensor ids, int64_t padding_id) {
    const padding_attributes a = {.id = padding_id};
    return sw_apply(&gather_rows_with_padding_op, &a, sizeof a, 2, (sw_tensor[]){table, ids});
}

/* ---- gather ---- */

typedef struct gather_attributes {
    int axis;
} gather_attributes;

static sw_status gather_shape(sw_call *c) {
    const gather_attributes *a = c->attributes;
    const sw_view *x = c->in[0], *ids = c->in[1];
    const char *x_text = sw_shape_text(x->rank, x->shape), *text = sw_shape_text(ids->rank, ids->shape);
    int axis = 0;
    SW_TRY(swi_call_check_ids_type(c, 1));
    SW_TRY(sw_call_axis(c, a->axis, &axis));
    if (ids->rank != x->rank)
        return sw_fail(SW_ERR_SHAPE, "gather: x %s and ids %s; they must have the same number of axes", x_text, text);
    for (int i = 0; i < x->rank; i++)
        if (i != axis && ids->shape[i] != x->shape[i])
            return sw_fail(SW_ERR_SHAPE,
                           "gather: x %s and ids %s: axis %d is %lld and %lld; all but axis %d "
                           "must be equal",
                           x_text, text, i, (long long)x->shape[i], (long long)ids->shape[i], axis);
    return sw_call_set_shape(c, x->type, ids->rank, ids->shape);
}

swi_gather swi_gather_along(const sw_view *x, const sw_view *ids, int axis) {
    swi_gather g = {
        .type = x->type, .ids = ids->data, .outer = 1, .n = x->shape[axis], .m = ids->shape[axis], .inner = 1};
    for (int i = 0; i < axis; i++)
        g.outer *= x->shape[i];
    for (int i = axis + 1; i < x->rank; i++)
        g.inner *= x->shape[i];
    return g;
}

/* x as [outer, n, inner], ids and result as [outer, m, inner]. */
static swi_gather gather_of(const sw_call *c) {
    const gather_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    return swi_gather_along(x, c->in[1], a->axis < 0 ? a->axis + x->rank : a->axis);
}

static sw_status gather_forward(sw_call *c) {
    const swi_gather g = gather_of(c);
    SW_TRY(swi_call_check_ids(c, 1, g.n));
    swi_gather_take(&g, c->in[0]->data, c->out->data);
    return SW_OK;
}

static sw_status gather_vjp(sw_call *c) {
    const swi_gather g = gather_of(c);
    void *d = sw_call_grad(c, 0);
    return d ? swi_gather_add(c, &g, NULL, c->cotangent, d) : SW_ERR_MEMORY;
}

static const sw_op gather_op = {.size = sizeof(sw_op),
                                .name = "gather",
                                .shape = gather_shape,
                                .forward = gather_forward,
                                .vjp = gather_vjp,
                                .vjp_reads = SW_READS(1),
                                .takes_16_bit = true};

sw_tensor sw_gather(sw_tensor x, int axis, sw_tensor ids) {
    const gather_attributes a = {.axis = axis};
    return sw_apply(&gather_op, &a, sizeof a, 2, (sw_tensor[]){x, ids});
}
