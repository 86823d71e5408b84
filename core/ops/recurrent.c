/* LSTM and GRU over sequences, and their cells: options, shapes, the operations. recurrent_run.c computes them. */
#include <swale/extend.h>

#include "core/ops/recurrent_run.h"

typedef struct recurrent_attributes {
    bool lstm, cell, reverse;
    sw_recurrent_result result;
    int bias_ih, bias_hh, state, lengths; /* numbers of inputs, or -1 */
} recurrent_attributes;

static const char *const lstm_gates = "4·hidden", *const gru_gates = "3·hidden";

/* ---- Shapes ---- */

static sw_status recurrent_check_types(sw_call *c, const recurrent_attributes *a) {
    const sw_dtype type = c->in[0]->type;
    if (a->lengths >= 0 && c->in[a->lengths]->type != SW_I32)
        return sw_fail(SW_ERR_TYPE, "%s: the lengths are %s; i32 is needed", c->op->name,
                       sw_dtype_name(c->in[a->lengths]->type));
    for (int i = 0; i < c->inputs; i++) {
        if (i == a->lengths)
            continue;
        if (c->in[i]->type != SW_F32 && c->in[i]->type != SW_F64)
            return sw_fail(SW_ERR_TYPE, "%s: input %d is %s; f32, f64, f16 or bf16 is needed", c->op->name, i,
                           sw_dtype_name(c->in[i]->type));
        if (c->in[i]->type != type)
            return sw_fail(SW_ERR_TYPE, "%s: input 0 is %s and input %d is %s; convert one of them (sw_cast)",
                           c->op->name, sw_dtype_name(type), i, sw_dtype_name(c->in[i]->type));
    }
    return SW_OK;
}

/* An error unless an optional input has this shape. */
static sw_status recurrent_check_input(const sw_call *c, int input, const char *name, int rank, const int64_t *shape) {
    if (input < 0 || sw_shape_equal(c->in[input]->rank, c->in[input]->shape, rank, shape))
        return SW_OK;
    return sw_fail(SW_ERR_SHAPE, "%s: %s %s; %s is needed, for input %s and weight_hh %s", c->op->name, name,
                   sw_shape_text(c->in[input]->rank, c->in[input]->shape), sw_shape_text(rank, shape),
                   sw_shape_text(c->in[0]->rank, c->in[0]->shape), sw_shape_text(c->in[2]->rank, c->in[2]->shape));
}

static sw_status recurrent_check_weights(const sw_call *c, const recurrent_attributes *a) {
    const sw_view *x = c->in[0], *ih = c->in[1], *hh = c->in[2];
    const char *const gates = a->lstm ? lstm_gates : gru_gates;
    const int rank = a->cell ? 2 : 3;
    if (x->rank != rank || ih->rank != 2 || hh->rank != 2)
        return sw_fail(SW_ERR_SHAPE, "%s: input %s, weights %s and %s; %s, [%s,inputs] and [%s,hidden] are needed%s",
                       c->op->name, sw_shape_text(x->rank, x->shape), sw_shape_text(ih->rank, ih->shape),
                       sw_shape_text(hh->rank, hh->shape), a->cell ? "[batch,inputs]" : "[batch,time,inputs]", gates,
                       gates, !a->cell && x->rank == 2 ? " (add the axis of the batch or of time: sw_reshape?)" : "");
    const int64_t rows = (a->lstm ? 4 : 3) * hh->shape[1];
    if (hh->shape[1] > INT32_MAX / 4 || hh->shape[0] != rows)
        return sw_fail(SW_ERR_SHAPE, "%s: weight_hh %s; [%s,hidden] is needed", c->op->name,
                       sw_shape_text(2, hh->shape), gates);
    if (ih->shape[0] != rows)
        return sw_fail(SW_ERR_SHAPE, "%s: weight_ih %s and weight_hh %s; axis 0 must have equal lengths (%s)",
                       c->op->name, sw_shape_text(2, ih->shape), sw_shape_text(2, hh->shape), gates);
    if (ih->shape[1] != x->shape[rank - 1])
        return sw_fail(SW_ERR_SHAPE,
                       "%s: input %s and weight_ih %s; axis %d of the input (%lld) must equal axis 1 of the weight "
                       "(%lld)",
                       c->op->name, sw_shape_text(rank, x->shape), sw_shape_text(2, ih->shape), rank - 1,
                       (long long)x->shape[rank - 1], (long long)ih->shape[1]);
    return SW_OK;
}

static swi_recurrent recurrent_of(const sw_call *c) {
    const recurrent_attributes *a = c->attributes;
    const int64_t *x = c->in[0]->shape, hidden = c->in[2]->shape[1];
    return (swi_recurrent){.lstm = a->lstm,
                           .reverse = a->reverse,
                           .result = a->result,
                           .type = c->in[0]->type,
                           .batch = x[0],
                           .time = a->cell ? 1 : x[1],
                           .inputs = x[a->cell ? 1 : 2],
                           .hidden = hidden,
                           .gates = a->lstm ? 4 : 3,
                           .state = a->lstm ? 2 * hidden : hidden,
                           .bias_ih = a->bias_ih,
                           .bias_hh = a->bias_hh,
                           .first_state = a->state,
                           .lengths = a->lengths};
}

static sw_status recurrent_shape(sw_call *c) {
    const recurrent_attributes *a = c->attributes;
    SW_TRY(recurrent_check_types(c, a));
    SW_TRY(recurrent_check_weights(c, a));
    const swi_recurrent r = recurrent_of(c);
    const int64_t bias = r.gates * r.hidden, state[2] = {r.batch, r.state};
    const bool steps = r.result != SW_RECURRENT_LAST && !a->cell;
    SW_TRY(recurrent_check_input(c, a->bias_ih, "bias_ih", 1, &bias));
    SW_TRY(recurrent_check_input(c, a->bias_hh, "bias_hh", 1, &bias));
    SW_TRY(recurrent_check_input(c, a->state, "state", 2, state));
    SW_TRY(recurrent_check_input(c, a->lengths, "lengths", 1, &r.batch));
    if (r.inputs > INT32_MAX || (r.batch && r.time > INT32_MAX / r.batch))
        return sw_fail(SW_ERR_SHAPE, "%s: input %s has more than %d steps in all, or inputs of a step", c->op->name,
                       sw_shape_text(c->in[0]->rank, c->in[0]->shape), INT32_MAX);
    const int64_t shape[3] = {r.batch, steps ? r.time : r.state, r.result == SW_RECURRENT_OUTPUTS ? r.hidden : r.state};
    return sw_call_set_shape(c, r.type, steps ? 3 : 2, shape);
}

/* ---- The operations ---- */

static sw_status recurrent_check_lengths(const sw_call *c, const swi_recurrent *r) {
    if (r->lengths < 0 || sw_dry_run())
        return SW_OK;
    const int32_t *length = c->in[r->lengths]->data;
    for (int64_t i = 0; i < r->batch; i++)
        if (length[i] < 0 || length[i] > r->time)
            return sw_fail(SW_ERR_ARGUMENT, "%s: length %d of sample %lld; 0 to %lld are possible", c->op->name,
                           length[i], (long long)i, (long long)r->time);
    return SW_OK;
}

static sw_status recurrent_forward(sw_call *c) {
    const swi_recurrent r = recurrent_of(c);
    SW_TRY(recurrent_check_lengths(c, &r));
    return swi_recurrent_forward(c, &r);
}

static sw_status recurrent_vjp(sw_call *c) {
    const swi_recurrent r = recurrent_of(c);
    return swi_recurrent_vjp(c, &r);
}

/* The optional inputs are 3 to 6 at most. */
#define RECURRENT(id)                                                                                                \
    static const sw_op id##_op = {.size = sizeof(sw_op),                                                             \
                                  .name = #id,                                                                       \
                                  .shape = recurrent_shape,                                                          \
                                  .forward = recurrent_forward,                                                      \
                                  .vjp = recurrent_vjp,                                                              \
                                  .vjp_reads = SW_READS(0) | SW_READS(1) | SW_READS(2) | SW_READS(3) | SW_READS(4) | \
                                               SW_READS(5) | SW_READS(6)};
RECURRENT(lstm)
RECURRENT(gru)
RECURRENT(lstm_cell)
RECURRENT(gru_cell)

static sw_status recurrent_check_options(const char *who, bool cell, const sw_recurrent_options *o) {
    if ((unsigned)o->result > SW_RECURRENT_LAST)
        return sw_fail(SW_ERR_ARGUMENT, "%s: result %d; SW_RECURRENT_OUTPUTS, _STATES or _LAST is needed", who,
                       (int)o->result);
    if (cell && (!sw_is_null(o->lengths) || o->reverse || o->result != SW_RECURRENT_OUTPUTS))
        return sw_fail(SW_ERR_ARGUMENT, "%s: lengths, reverse or result; only sequences have these options", who);
    return SW_OK;
}

static sw_tensor recurrent_apply(const sw_op *op, recurrent_attributes a, sw_tensor x, sw_tensor weight_ih,
                                 sw_tensor weight_hh, const sw_recurrent_options *given) {
    sw_recurrent_options o = {.size = sizeof o};
    if (given && sw_options_copy(op->name, "sw_recurrent_options", &o, sizeof o, given, sizeof o) != SW_OK)
        return (sw_tensor){0};
    if (recurrent_check_options(op->name, a.cell, &o) != SW_OK)
        return (sw_tensor){0};
    const sw_tensor optional[4] = {o.bias_ih, o.bias_hh, o.state, o.lengths};
    int *const number[4] = {&a.bias_ih, &a.bias_hh, &a.state, &a.lengths}, count = 3;
    sw_tensor in[7] = {x, weight_ih, weight_hh};
    a.reverse = o.reverse;
    a.result = a.cell ? SW_RECURRENT_LAST : o.result;
    for (int i = 0; i < 4; i++) {
        *number[i] = sw_is_null(optional[i]) ? -1 : count;
        if (!sw_is_null(optional[i]))
            in[count++] = optional[i];
        else if (given && (i < 3 || !a.cell) && sw_error() != NULL)
            return (sw_tensor){0}; /* it may be null because it has failed */
    }
    return sw_apply(op, &a, sizeof a, count, in);
}

sw_tensor sw_lstm(sw_tensor x, sw_tensor weight_ih, sw_tensor weight_hh, const sw_recurrent_options *options) {
    return recurrent_apply(&lstm_op, (recurrent_attributes){.lstm = true}, x, weight_ih, weight_hh, options);
}

sw_tensor sw_gru(sw_tensor x, sw_tensor weight_ih, sw_tensor weight_hh, const sw_recurrent_options *options) {
    return recurrent_apply(&gru_op, (recurrent_attributes){.lstm = false}, x, weight_ih, weight_hh, options);
}

sw_tensor sw_lstm_cell(sw_tensor x, sw_tensor weight_ih, sw_tensor weight_hh, const sw_recurrent_options *options) {
    return recurrent_apply(&lstm_cell_op, (recurrent_attributes){.lstm = true, .cell = true}, x, weight_ih, weight_hh,
                           options);
}

sw_tensor sw_gru_cell(sw_tensor x, sw_tensor weight_ih, sw_tensor weight_hh, const sw_recurrent_options *options) {
    return recurrent_apply(&gru_cell_op, (recurrent_attributes){.cell = true}, x, weight_ih, weight_hh, options);
}
