/* Calls of operations in f32 for inputs in f16 and bf16: of operations without kernels for these types, and of all
 * operations if the types of their inputs differ. Forward reads copies of the inputs in f32, and its result is rounded.
 * The vjp reads copies of the values in vjp_reads and of the cotangent, and the gradients are rounded. Only values in
 * 16 bits remain on the tape in between.
 *
 * The node of such a call holds an internal operation, which calls the original one. The engine runs it like any other
 * one, so that calls in one type, f32 for example, take no additional time. */
#include <swale/status.h>

#include "core/base/error_state.h"
#include "core/kernels/convert.h"
#include "core/tape/engine.h"

#include <string.h>

typedef struct widened_op {
    sw_op op; /* sw_call.op points to it */
    const sw_op *inner;
    bool narrows; /* the result of `inner` is f32 and is rounded */
    /* Between shape and forward: the inputs as `inner` reads them, [inputs]. */
    const sw_view **in;
    sw_view *view;
} widened_op;

static widened_op *widened_of(const sw_call *call) {
    return (widened_op *)(uintptr_t)call->op;
}

static size_t widened_bytes(const sw_view *v) {
    return (size_t)v->count * sizeof(float);
}

/* ---- Types ---- */

/* Whether the floating-point inputs have different types. */
static bool widened_types_differ(int count, const sw_view *const *in, sw_dtype *first) {
    bool found = false, differ = false;
    *first = count ? in[0]->type : SW_F32;
    for (int i = 0; i < count; i++) {
        if (!sw_dtype_is_float(in[i]->type))
            continue;
        differ |= found && in[i]->type != *first;
        *first = found ? *first : in[i]->type;
        found = true;
    }
    return differ;
}

static sw_dtype widened_result_type(const sw_op *op, int count, const sw_view *const *in) {
    const bool f32_result = op->size > offsetof(sw_op, f32_result) && op->f32_result;
    sw_dtype type;
    if (widened_types_differ(count, in, &type) || (f32_result && sw_dtype_is_16_bit(type)))
        return SW_F32;
    return type;
}

sw_dtype sw_call_result_type(const sw_call *call) {
    return widened_result_type(call->op, call->inputs, call->in);
}

/* f64 is not combined with other types, because a result in f32 would lose its digits without notice. */
static sw_status widened_refuse_f64(const sw_op *op, int count, const sw_view *const *in) {
    int wide = 0, half = 0;
    while (wide < count && in[wide]->type != SW_F64)
        wide++;
    if (wide == count)
        return SW_OK;
    while (!sw_dtype_is_16_bit(in[half]->type))
        half++;
    return sw_fail(SW_ERR_TYPE, "%s: input %d is f64 and input %d is %s; convert one of them (sw_cast)", op->name, wide,
                   half, sw_dtype_name(in[half]->type));
}

/* ---- Copies in f32 ---- */

/* to ← v in f32, with memory of the arena */
static sw_status widened_view(sw_tape *tape, const sw_view *v, sw_view *to) {
    *to = *v;
    to->type = SW_F32;
    to->data = swi_arena_alloc(&tape->arena, widened_bytes(v));
    if (!to->data)
        return SW_ERR_MEMORY;
    swi_convert_from_half(v->type, v->count, v->data, to->data);
    return SW_OK;
}

static void widened_release(sw_tape *tape, sw_view *view) {
    if (view->data)
        swi_arena_release(&tape->arena, view->data, widened_bytes(view));
    view->data = NULL;
}

/* ---- Forward ---- */

/* The call of the inner operation that corresponds to `call`. */
static sw_call widened_call(const sw_call *call, const sw_view *const *in, sw_view *out) {
    sw_call inner = *call;
    inner.op = widened_of(call)->inner;
    inner.in = in;
    inner.out = out;
    return inner;
}

static void widened_release_inputs(const sw_call *call) {
    const widened_op *w = widened_of(call);
    for (int i = 0; i < call->inputs; i++)
        widened_release(call->tape, &w->view[i]);
}

/* `shape` may read the values of inputs, so that they are converted before it. */
static sw_status widened_shape(sw_call *call) {
    widened_op *w = widened_of(call);
    sw_view out = {0};
    sw_status status = SW_OK;
    for (int i = 0; status == SW_OK && i < call->inputs; i++) {
        const sw_view *v = call->in[i];
        w->in[i] = sw_dtype_is_16_bit(v->type) ? &w->view[i] : v;
        if (w->in[i] != v)
            status = widened_view(call->tape, v, &w->view[i]);
    }
    sw_call inner = widened_call(call, w->in, &out);
    if (status == SW_OK)
        status = w->inner->shape(&inner);
    if (status != SW_OK) {
        widened_release_inputs(call);
        return status;
    }
    const sw_dtype type = widened_result_type(w->inner, call->inputs, call->in);
    w->narrows = out.type == SW_F32 && sw_dtype_is_16_bit(type);
    *call->out = out;
    if (w->narrows)
        call->out->type = type;
    call->saved = inner.saved;
    return SW_OK;
}

static sw_status widened_forward(sw_call *call) {
    const widened_op *w = widened_of(call);
    swi_arena *arena = &call->tape->arena;
    sw_view out = *call->out;
    if (w->narrows) {
        out.type = SW_F32;
        out.data = swi_arena_alloc(arena, widened_bytes(&out));
        if (!out.data)
            return SW_ERR_MEMORY;
    }
    sw_call inner = widened_call(call, w->in, &out);
    const sw_status status = w->inner->forward(&inner);
    widened_release_inputs(call);
    if (!w->narrows)
        return status;
    if (status == SW_OK)
        swi_convert_to_half(call->out->type, out.count, out.data, call->out->data);
    widened_release(call->tape, &out);
    return status;
}

/* ---- The vjp ---- */

/* What the vjp of the inner operation reads and writes. An input in 16 bits is represented by a node that exists during
 * the call, in which the engine collects its gradient in f32. The other inputs are the nodes of the tape. */
typedef struct widened_pass {
    swi_node out;   /* the node of the call in f32, with its cotangent */
    swi_node *leaf; /* [inputs] */
    swi_node **input;
    const sw_view **in;
    void **target;
    unsigned char *state;
    size_t bytes; /* of the block with these arrays, which begins with `leaf` */
} widened_pass;

static sw_status widened_allocate(const sw_call *call, widened_pass *p) {
    const size_t n = (size_t)call->inputs, pointer = sizeof(void *);
    p->bytes = n * (sizeof *p->leaf + 3 * pointer + 1);
    p->leaf = swi_arena_alloc(&call->tape->arena, p->bytes);
    if (!p->leaf)
        return SW_ERR_MEMORY;
    p->input = (swi_node **)(void *)(p->leaf + n);
    p->in = (const sw_view **)(void *)(p->input + n);
    p->target = (void **)(void *)(p->in + n);
    p->state = (unsigned char *)(p->target + n);
    memset(p->state, SWI_NOT_RETURNED, n);
    return SW_OK;
}

/* Copies the values that the vjp reads. The others may have been released; the gradient check replaces them by NaN,
 * which it must also find here. */
static sw_status widened_prepare(const sw_call *call, widened_pass *p) {
    const widened_op *w = widened_of(call);
    const swi_engine *e = call->engine;
    sw_tape *tape = call->tape;
    const bool all = tape->poison_unread;
    for (int i = 0; i < call->inputs; i++) {
        const sw_view *v = call->in[i];
        swi_node *leaf = &p->leaf[i];
        p->input[i] = e->input[i];
        p->in[i] = v;
        if (!sw_dtype_is_16_bit(v->type))
            continue;
        *leaf = (swi_node){.view = *v, .flags = (uint16_t)(SWI_LEAF | (e->input[i]->flags & SWI_NEEDS_GRAD))};
        leaf->view.type = SW_F32;
        leaf->view.data = NULL;
        if (all || swi_reads(w->inner, i))
            SW_TRY(widened_view(tape, v, &leaf->view));
        p->input[i] = leaf;
        p->in[i] = &leaf->view;
    }
    p->out = *e->node;
    p->out.op = w->inner;
    p->out.view = *call->out;
    if (!w->narrows)
        return SW_OK;
    sw_view cotangent = *call->out, wide;
    p->out.view.type = SW_F32;
    p->out.view.data = NULL;
    if (all || (w->inner->vjp_reads & SW_READS_OUT))
        SW_TRY(widened_view(tape, call->out, &p->out.view));
    cotangent.data = e->node->grad;
    SW_TRY(widened_view(tape, &cotangent, &wide));
    p->out.grad = wide.data;
    p->out.flags &= (uint16_t)~SWI_RETAIN;
    return SW_OK;
}

/* Releases the copies of values, before the gradients are rounded. */
static void widened_release_values(const sw_call *call, widened_pass *p) {
    for (int i = 0; i < call->inputs; i++)
        if (p->input[i] == &p->leaf[i])
            widened_release(call->tape, &p->leaf[i].view);
    if (widened_of(call)->narrows)
        widened_release(call->tape, &p->out.view);
}

/* Passes on the cotangent itself, rather than its copy in f32, to inputs of the result's type. */
static void widened_pass_on(sw_call *call, widened_pass *p) {
    for (int i = 0; i < call->inputs; i++)
        if (p->state[i] == SWI_PASSED && call->in[i]->type == call->out->type &&
            call->in[i]->count == call->out->count && widened_of(call)->narrows && sw_call_wants_grad(call, i)) {
            sw_call_pass_grad(call, i);
            p->state[i] = SWI_DIRECT;
        }
}

/* Rounds the gradients. Those of other inputs than 16-bit ones have reached their nodes. */
static sw_status widened_round_gradients(sw_call *call, widened_pass *p) {
    swi_engine *e = call->engine;
    for (int i = 0; i < call->inputs; i++) {
        if (!sw_call_wants_grad(call, i) || e->state[i] == SWI_PASSED)
            continue;
        const sw_view *v = call->in[i];
        swi_node *leaf = &p->leaf[i];
        if (p->input[i] != leaf) {
            e->state[i] = SWI_DIRECT;
            continue;
        }
        void *to = sw_call_grad(call, i);
        if (!to)
            return sw_last_failure();
        swi_convert_to_half(v->type, v->count, leaf->grad, to);
        swi_arena_release(&call->tape->arena, leaf->grad, widened_bytes(v));
    }
    return SW_OK;
}

static sw_status widened_run(sw_call *call, widened_pass *p) {
    const widened_op *w = widened_of(call);
    swi_engine *outer = call->engine, e = {.tape = call->tape,
                                           .node = &p->out,
                                           .input = p->input,
                                           .state = p->state,
                                           .target = p->target,
                                           .mark_state = outer->mark_state};
    sw_call inner = widened_call(call, p->in, &p->out.view);
    inner.cotangent = p->out.grad;
    inner.engine = &e;
    sw_status status = w->inner->vjp(&inner);
    if (e.failure != SW_OK)
        status = e.failure;
    if (call->tape->mark_state != outer->mark_state)
        swi_forget_marks(call->tape, outer->mark_state);
    swi_release_scratch(&e);
    if (status != SW_OK)
        return status;
    widened_release_values(call, p);
    widened_pass_on(call, p);
    SW_TRY(swi_collect_gradients(call->tape, &p->out, &inner, &e));
    return widened_round_gradients(call, p);
}

static sw_status widened_vjp(sw_call *call) {
    const swi_engine *e = call->engine;
    widened_pass p;
    SW_TRY(widened_allocate(call, &p));
    SW_TRY(widened_prepare(call, &p));
    SW_TRY(widened_run(call, &p));
    if (!widened_of(call)->narrows)
        e->node->grad = p.out.grad; /* NULL if its memory has become that of an input's gradient */
    else if (p.out.grad)
        swi_arena_release(&call->tape->arena, p.out.grad, widened_bytes(call->out));
    swi_arena_release(&call->tape->arena, p.leaf, p.bytes);
    return SW_OK;
}

/* ---- The choice ---- */

const char swi_recompute_name[] = "recompute";

static bool widened_is_native(const sw_op *op, int count, const sw_view *const *in) {
    sw_dtype type;
    return op->is_view || op->name == swi_recompute_name ||
           (swi_takes_16_bit(op) && !widened_types_differ(count, in, &type));
}

const sw_op *swi_op_for_16_bit(sw_tape *tape, const sw_op *op, int count, const sw_view *const *in) {
    if (widened_is_native(op, count, in))
        return op;
    if (widened_refuse_f64(op, count, in) != SW_OK)
        return NULL;
    const size_t n = (size_t)count;
    widened_op *w = swi_arena_alloc(&tape->arena, sizeof *w + n * (sizeof *w->in + sizeof *w->view));
    if (!w)
        return NULL;
    *w = (widened_op){.inner = op, .view = (sw_view *)(void *)(w + 1)};
    w->in = (const sw_view **)(void *)(w->view + n);
    memset(w->view, 0, n * sizeof *w->view);
    memcpy(&w->op, op, op->size < sizeof *op ? op->size : sizeof *op);
    w->op.size = sizeof *op;
    w->op.shape = widened_shape;
    w->op.forward = widened_forward;
    w->op.vjp = op->vjp ? widened_vjp : NULL;
    w->op.broadcasts = false; /* gradients are summed over broadcast axes in f32 */
    return &w->op;
}
