/* A segment of a computation that is not kept but computed again inside the vjp, written against the public headers. It
 * takes and gives one tensor of one shape, and uses parameters of the small model. Included after support.h. */
#ifndef TEST_CORE_SEGMENT_H
#define TEST_CORE_SEGMENT_H

#include "small_model.h"
#include "small_ops.h"

typedef sw_tensor (*segment)(const model *m, sw_tape *tape, sw_tensor x);
typedef struct recompute_attributes {
    segment f;
    const model *m;
} recompute_attributes;

static inline sw_status recompute_forward(sw_call *call) {
    const recompute_attributes *a = call->attributes;
    sw_tape *tape = call->tape;
    const sw_view *in = call->in[0];
    sw_mark *mark = sw_call_save(call, sizeof *mark);
    if (!mark)
        return SW_ERR_MEMORY;
    bool record = sw_tape_switch(tape, SW_RECORD);
    *mark = sw_tape_mark(tape);
    sw_tape_set_switch(tape, SW_RECORD, false);
    sw_tensor x = sw_input(tape, sw_array_view(in->data, in->type, in->rank, in->shape));
    sw_array y = sw_value(a->f(a->m, tape, x));
    sw_tape_set_switch(tape, SW_RECORD, record);
    if (!y.data)
        return sw_error_status();
    memcpy(call->out->data, y.data, (size_t)call->out->count * sw_dtype_size(y.type));
    sw_mark after = *mark;
    after.random_calls = sw_tape_mark(tape).random_calls;
    SW_TRY(sw_tape_rewind(tape, *mark));
    sw_tape_rewind_random(tape, after); /* later random ops count the segment's */
    return SW_OK;
}

static inline sw_status recompute_vjp(sw_call *call) {
    const recompute_attributes *a = call->attributes;
    sw_tape *tape = call->tape;
    const sw_view *in = call->in[0];
    void *dx = sw_call_wants_grad(call, 0) ? sw_call_grad(call, 0) : NULL; /* before the mark: it must stay */
    if (sw_call_wants_grad(call, 0) && !dx)
        return SW_ERR_MEMORY;
    sw_mark mark = sw_tape_mark(tape);
    sw_tape_rewind_random(tape, *(const sw_mark *)call->saved);
    sw_tensor x = sw_variable(tape, sw_array_view(in->data, in->type, in->rank, in->shape));
    sw_tensor y = a->f(a->m, tape, x);
    SW_TRY(sw_backward_from(y, sw_array_view(call->cotangent, call->out->type, call->out->rank, call->out->shape)));
    if (dx)
        memcpy(dx, sw_grad(x).data, (size_t)in->count * sw_dtype_size(in->type));
    return sw_tape_rewind(tape, mark);
}

static const sw_op recompute_op = {.size = sizeof(sw_op),
                                   .name = "recompute",
                                   .shape = like_input,
                                   .forward = recompute_forward,
                                   .vjp = recompute_vjp,
                                   .vjp_reads = SW_READS(0),
                                   .reads_params = true};

static inline sw_tensor recompute(const model *m, segment f, sw_tensor x) {
    const recompute_attributes a = {f, m};
    return sw_apply(&recompute_op, &a, sizeof a, 1, &x);
}

#endif
