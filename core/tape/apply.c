/* Runs and records an operation: the forward half of the contract in op.h. */
#include <swale/text.h>

#include "core/base/error_state.h"
#include "core/tape/check.h"
#include "core/tape/engine.h"

#include <string.h>
#include <stdio.h>

static void apply_name_layer(const sw_tape *tape) {
    if (tape->layer) {
        char prefix[128];
        snprintf(prefix, sizeof prefix, "layer %s: ", tape->layer);
        swi_error_prefix(prefix);
    }
}

/* Runs forward of an operation with reads_params, which may be a segment. Records which parameters it uses, including
 * those of nested operations, and whether the output needs a gradient. It is a separate function, so that other
 * operations do not pay for this. */
static sw_status apply_forward_with_params(swi_node *node, sw_call *call) {
    sw_tape *tape = call->tape;
    const swi_params_used outer = tape->used;
    if (!node->op->vjp)
        return sw_fail(SW_ERR_ARGUMENT, "%s: an operation with reads_params needs a vjp", node->op->name);
    tape->used = (swi_params_used){0};
    const swi_mark_state *mark_state = tape->mark_state;
    const sw_status status = node->op->forward(call);
    swi_forget_marks(tape, mark_state);
    const swi_params_used used = tape->used;
    node->flags |= SWI_USES_PARAMS;
    if ((!used.sets || (used.flags & SWI_NEEDS_GRAD)) && (tape->switches & SW_RECORD))
        node->flags |= SWI_NEEDS_GRAD;
    node->sets = used.sets;
    node->version = swi_sum_versions(tape, used.sets);
    tape->used = (swi_params_used){outer.flags | used.flags, outer.sets | used.sets};
    return status;
}

static inline sw_status apply_run(swi_node *node, sw_call *call, swi_engine *engine) {
    const sw_op *op = node->op;
    sw_status status = op->shape(call);
    if (status != SW_OK)
        return swi_returned("operation", op->name, "shape", status);
    if (!node->view.shape)
        return sw_fail(SW_ERR_STATE, "%s: its shape function did not set the output", op->name);
    if (op->is_view) {
        if (swi_reads_params(op))
            return sw_fail(SW_ERR_ARGUMENT, "%s: an operation with reads_params cannot be a view", op->name);
        node->root = engine->input[0]->root;
        node->root->readers++;
        node->view.data = call->in[0]->data;
        return SW_OK;
    }
    size_t bytes = (size_t)node->view.count * swi_size(node->view.type);
    node->view.data = swi_arena_alloc(&engine->tape->arena, bytes);
    if (!node->view.data)
        return SW_ERR_MEMORY;
    node->flags |= SWI_OWNS;
    status = swi_reads_params(op) ? apply_forward_with_params(node, call) : op->forward(call);
    if (engine->scratches)
        swi_release_scratch(engine);
    return status == SW_OK ? SW_OK : swi_returned("operation", op->name, "forward", status);
}

/* Records the error of an input that cannot be used. Does nothing if an error is pending. */
static void apply_refuse_input(const sw_op *op, const sw_tape *tape, int index, sw_tensor t) {
    char prefix[96];
    if (swi_pending_status != SW_OK)
        return;
    if (!t.tape) {
        sw_fail(SW_ERR_ARGUMENT, "%s: input %d is a null tensor", op->name, index);
    } else if (t.tape != tape) {
        sw_fail(SW_ERR_ARGUMENT, "%s: inputs 0 and %d are on different tapes", op->name, index);
    } else {
        swi_node_of(t); /* stale or released */
        snprintf(prefix, sizeof prefix, "%s: input %d: ", op->name, index);
        swi_error_prefix(prefix);
    }
    apply_name_layer(tape);
}

static void apply_count_readers(const swi_node *node) {
    const sw_op *op = node->op;
    swi_node *const *input = swi_inputs(node);
    for (int i = 0, count = node->inputs; i < count; i++)
        if (swi_reads(op, i))
            input[i]->root->readers++;
    if (op->vjp_reads & SW_READS_OUT)
        node->root->readers++;
}

static bool apply_check(const sw_op *op, const void *attributes, size_t bytes, int count, const sw_tensor *inputs) {
    if (!op || op->size < SWI_LEAST_OP_SIZE || !op->shape || (!op->forward && !op->is_view) || (bytes && !attributes)) {
        sw_fail(SW_ERR_ARGUMENT,
                "%s: an operation needs its size, a shape rule and a forward "
                "function, and its attributes must not be NULL",
                op && op->name ? op->name : "apply");
        return false;
    }
    if (count < 1 || count > SWI_MOST || !inputs || !inputs[0].tape) {
        if (count > SWI_MOST)
            sw_fail(SW_ERR_ARGUMENT, "%s: %d inputs; at most %d", op->name, count, SWI_MOST);
        else if (count < 1 || !inputs)
            sw_fail(SW_ERR_ARGUMENT, "%s: an operation needs an input", op->name);
        else if (swi_pending_status == SW_OK)
            sw_fail(SW_ERR_ARGUMENT, "%s: input 0 is a null tensor", op->name);
        return false;
    }
    return true;
}

/* The operation to run if an input is f16 or bf16; NULL after an error. */
static const sw_op *apply_choose_for_16_bit(const sw_op *op, sw_tape *tape, int count, const sw_view *const *in) {
    const bool had_error = swi_pending_status != SW_OK;
    const sw_op *run = swi_op_for_16_bit(tape, op, count, in);
    if (!run && !had_error)
        apply_name_layer(tape);
    return run;
}

/* Sets the nodes of the inputs and their views, and *needs to the union of their flags. Returns the operation to run;
 * NULL after an error. */
static inline const sw_op *apply_set_inputs(const sw_op *op, sw_tape *tape, int count, const sw_tensor *inputs,
                                            const sw_view **in, swi_node **from, unsigned *needs) {
    const uint32_t slot = tape->count - 1; /* the slot of the node that reads the inputs */
    unsigned flags = 0;
    for (int i = 0; i < count; i++) {
        sw_tensor t = inputs[i];
        swi_node *input = t.tape == tape && t.slot < slot ? swi_at(tape, t.slot) : NULL;
        if (!input || input->generation != t.generation || (input->flags & SWI_RELEASED)) {
            apply_refuse_input(op, tape, i, t);
            return NULL;
        }
        in[i] = &input->view;
        from[i] = input;
        flags |= input->flags;
    }
    *needs = flags;
    return flags & SWI_16_BIT ? apply_choose_for_16_bit(op, tape, count, in) : op;
}

/* What most nodes do not inherit: the weight of a loss, and 16-bit elements. */
static void apply_inherit(swi_node *node, unsigned needs) {
    if (needs & SWI_WEIGHTED)
        swi_inherit_weight(node);
    node->flags = (uint16_t)((node->flags & ~(unsigned)SWI_16_BIT) | swi_16_bit_flag(node->view.type));
}

/* Sets the node's copy of the attributes; false and an error if there is not enough memory. */
static inline bool apply_copy_attributes(swi_node *node, sw_tape *tape, const void *attributes, size_t bytes) {
    if (bytes == sizeof node->two && !swi_reads_params(node->op)) {
        node->attributes = memcpy(node->two, attributes, sizeof node->two);
        return true;
    }
    void *copy = swi_arena_alloc(&tape->arena, bytes);
    if (copy)
        node->attributes = memcpy(copy, attributes, bytes);
    return copy != NULL;
}

/* After forward: sets the flags of the node, given the union of the flags of its inputs, and counts its vjp as a reader
 * of the values in vjp_reads. */
static void apply_record(sw_tape *tape, swi_node *node, unsigned needs) {
    const sw_op *op = node->op;
    needs |= node->flags; /* SWI_NEEDS_GRAD of apply_forward_with_params */
    if (needs & (SWI_WEIGHTED | SWI_16_BIT))
        apply_inherit(node, needs);
    if ((needs & SWI_NEEDS_GRAD) && !op->vjp && !op->is_view)
        node->flags |= SWI_CUT;
    if ((needs & SWI_NEEDS_GRAD) && op->vjp && (tape->switches & SW_RECORD)) {
        node->flags |= SWI_NEEDS_GRAD;
        if (op->vjp_reads)
            apply_count_readers(node);
        if (tape->switches & SW_KEEP) {
            node->flags |= SWI_RETAIN;
            node->kept = NULL;
        }
    } else if (node->saved) {
        swi_arena_release(&tape->arena, node->saved, node->saved_bytes); /* no vjp will run */
        node->saved = NULL;
    }
}

sw_tensor sw_apply(const sw_op *op, const void *attributes, size_t bytes, int count, const sw_tensor *inputs) {
    const sw_tensor null = {0};
    if (!apply_check(op, attributes, bytes, count, inputs))
        return null;
    sw_tape *tape = inputs[0].tape;
    const sw_view *few[SWI_FEW], **in = few;
    uint32_t slot;
    swi_node **many = NULL;
    if (count > SWI_FEW) {
        in = swi_arena_alloc(&tape->arena, (size_t)count * sizeof *in);
        many = swi_arena_alloc(&tape->arena, (size_t)count * sizeof *many);
        if (!in || !many)
            return null;
    }
    swi_node *node = swi_new_node(tape, &slot);
    if (!node)
        return null;
    swi_node **from = many ? many : node->few;
    unsigned needs;
    const sw_op *run = apply_set_inputs(op, tape, count, inputs, in, from, &needs);
    if (!run) {
        tape->count = slot;
        return null;
    }
    node->op = run;
    node->many = many;
    node->inputs = (uint16_t)count;
    if (bytes && !apply_copy_attributes(node, tape, attributes, bytes)) {
        tape->count = slot;
        return null;
    }
    swi_engine engine;
    engine.tape = tape;
    engine.node = node;
    engine.input = from;
    engine.scratches = 0;
    engine.mark_state = tape->mark_state;
    sw_call call = {.op = run,
                    .tape = tape,
                    .attributes = node->attributes,
                    .inputs = count,
                    .in = in,
                    .out = &node->view,
                    .engine = &engine};
    bool had_error = swi_pending_status != SW_OK;
    if (apply_run(node, &call, &engine) != SW_OK || ((tape->switches & SW_CHECK) && swi_check_result(node) != SW_OK)) {
        if (!had_error)
            apply_name_layer(tape);
        tape->count = slot;
        return null;
    }
    apply_record(tape, node, needs);
    if (many)
        swi_arena_release(&tape->arena, (void *)in, (size_t)count * sizeof *in);
    return (sw_tensor){tape, slot, node->generation};
}

/* ---- Functions that an operation calls ---- */

/* Sets SWI_16_BIT of the output by its type. */
static inline void call_note_type(sw_call *call, sw_dtype type) {
    swi_engine *e = call->engine;
    e->node->flags |= (uint16_t)swi_16_bit_flag(type);
}

sw_status sw_call_set_shape(sw_call *call, sw_dtype type, int rank, const int64_t *shape) {
    int64_t count;
    SW_TRY(sw_shape_count(rank, shape, &count));
    int64_t *copy = swi_arena_alloc(&call->tape->arena, (size_t)rank * sizeof *copy);
    if (!copy)
        return SW_ERR_MEMORY;
    for (int i = 0; i < rank; i++)
        copy[i] = shape[i];
    *call->out = (sw_view){.shape = copy, .rank = rank, .type = type, .count = count};
    call_note_type(call, type);
    return SW_OK;
}

sw_status sw_call_set_shape_like(sw_call *call, int input) {
    const sw_view *like = call->in[input];
    *call->out = (sw_view){.shape = like->shape, .rank = like->rank, .type = like->type, .count = like->count};
    return SW_OK;
}

static sw_status call_fail_types(const sw_call *call, int i, int j) {
    const sw_dtype a = call->in[i]->type, b = call->in[j]->type;
    return sw_fail(SW_ERR_TYPE, "%s: input %d is %s and input %d is %s; %s", call->op->name, i, sw_dtype_name(a), j,
                   sw_dtype_name(b),
                   sw_dtype_is_float(a) && sw_dtype_is_float(b) ? "convert one of them (sw_cast)" : "they must agree");
}

sw_status sw_call_check_real(sw_call *call) {
    unsigned types = 0;
    for (int i = 0; i < call->inputs; i++)
        types |= 1u << call->in[i]->type;
    if (types == 1u << SW_F32 || types == 1u << SW_F64)
        return SW_OK;
    for (int i = 0; i < call->inputs; i++) {
        sw_dtype type = call->in[i]->type;
        if (swi_16_bit_flag(type)) /* the engine has passed it on because of takes_16_bit */
            return sw_fail(SW_ERR_TYPE,
                           "%s: input %d is %s; an operation with takes_16_bit calls sw_call_check_float in its shape "
                           "function, not sw_call_check_real",
                           call->op->name, i, sw_dtype_name(type));
        if (!sw_dtype_is_float(type))
            return sw_fail(SW_ERR_TYPE, "%s: input %d is %s; f32, f64, f16 or bf16 is needed", call->op->name, i,
                           sw_dtype_name(type));
        if (type != call->in[0]->type)
            return call_fail_types(call, 0, i);
    }
    return SW_OK;
}

sw_status sw_call_check_float(sw_call *call) {
    unsigned types = 0;
    for (int i = 0; i < call->inputs; i++)
        types |= 1u << call->in[i]->type;
    if (types < 1u << SW_FLOAT_TYPES && (types & (types - 1)) == 0) /* one floating-point type */
        return SW_OK;
    for (int i = 0; i < call->inputs; i++)
        if (!sw_dtype_is_float(call->in[i]->type))
            return sw_fail(SW_ERR_TYPE, "%s: input %d is %s; f32, f64, f16 or bf16 is needed", call->op->name, i,
                           sw_dtype_name(call->in[i]->type));
    return sw_call_check_equal_types(call, 0);
}

sw_status sw_call_check_equal_types(const sw_call *call, int first) {
    for (int i = first + 1; i < call->inputs; i++)
        if (call->in[i]->type != call->in[first]->type)
            return call_fail_types(call, first, i);
    return SW_OK;
}

sw_status sw_call_set_shape_broadcast(sw_call *call) {
    SW_TRY(sw_call_check_real(call));
    return sw_call_set_shape_broadcast_of(call, call->in[0]->type);
}

sw_status sw_call_set_shape_broadcast_of(sw_call *call, sw_dtype type) {
    const sw_view *a = call->in[0];
    bool same = true;
    for (int i = 1; i < call->inputs && same; i++) {
        const sw_view *b = call->in[i];
        same = a->rank == b->rank &&
               (a->shape == b->shape || memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0);
    }
    if (same) {
        SW_TRY(sw_call_set_shape_like(call, 0));
        call->out->type = type;
        call_note_type(call, type);
        return SW_OK;
    }
    int64_t shape[SW_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < call->inputs; i++)
        if (call->in[i]->rank > rank)
            rank = call->in[i]->rank;
    for (int axis = 1; axis <= rank; axis++) { /* counted from the last axis */
        int64_t length = 1;
        int from = 0;
        for (int i = 0; i < call->inputs; i++) {
            const sw_view *v = call->in[i];
            int64_t input_length = axis <= v->rank ? v->shape[v->rank - axis] : 1;
            if (input_length == 1 || input_length == length)
                continue;
            if (length != 1) {
                const sw_view *u = call->in[from];
                return sw_fail(SW_ERR_SHAPE,
                               "%s: %s and %s do not broadcast: %lld against %lld in axis %d from "
                               "the end; they must be equal, or one of them 1",
                               call->op->name, sw_shape_text(u->rank, u->shape), sw_shape_text(v->rank, v->shape),
                               (long long)length, (long long)input_length, axis);
            }
            length = input_length;
            from = i;
        }
        shape[rank - axis] = length;
    }
    return sw_call_set_shape(call, type, rank, shape);
}

sw_status sw_call_axis(const sw_call *c, int axis, int *from_start) {
    const sw_view *x = c->in[0];
    if (x->rank == 0)
        return sw_fail(SW_ERR_SHAPE, "%s: axis %d of a scalar, which has none", c->op->name, axis);
    if (axis < -x->rank || axis >= x->rank)
        return sw_fail(SW_ERR_SHAPE, "%s: axis %d of %s; its axes are %d to %d", c->op->name, axis,
                       sw_shape_text(x->rank, x->shape), -x->rank, x->rank - 1);
    *from_start = axis < 0 ? axis + x->rank : axis;
    return SW_OK;
}

const sw_view *sw_tensor_view(sw_tensor x, const char *who, int input) {
    const bool had_error = swi_pending_status != SW_OK;
    if (!x.tape) {
        if (!had_error)
            sw_fail(SW_ERR_ARGUMENT, "%s: input %d is a null tensor", who, input);
        return NULL;
    }
    const swi_node *node = swi_node_of(x);
    if (!node && !had_error) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%.40s: input %d: ", who, input);
        swi_error_prefix(prefix);
    }
    return node ? &node->view : NULL;
}
