/* Reverse mode: one loop over the tape from the last node to the first. The engine accumulates gradients; the vjp of
 * an operation only stores them. */
#include <swale/reduce_kernels.h>
#include <swale/text.h>

#include "core/base/allocation.h"
#include "core/base/error_state.h"
#include "core/kernels/axpy.h"
#include "core/params/gradient.h"
#include "core/tape/check.h"
#include "core/tape/engine.h"
#include "core/params/vector.h"

#include <string.h>
#include <math.h>

/* ---- Functions that a vjp calls ---- */

bool sw_call_wants_grad(const sw_call *call, int input) {
    const swi_engine *e = call->engine;
    return (e->input[input]->flags & SWI_NEEDS_GRAD) != 0;
}

static size_t view_bytes(const sw_view *v) {
    return (size_t)v->count * swi_size(v->type);
}

/* The view whose shape and type the gradient of this input has when a vjp returns it: the output's if the operation
 * broadcasts, else the input's. */
static const sw_view *gradient_form(const sw_call *call, int input) {
    return call->op->broadcasts ? call->out : call->in[input];
}

/* The gradient block for a contribution to a parameter. The first contribution of a pass counts the pass in the block.
 * Therefore the block of a model that the loss does not reach (for example behind sw_detach) does not change. Returns
 * NULL and sets *status after an error. */
static sw_gradient *gradient_block(const sw_tape *tape, const swi_node *leaf, sw_status *status) {
    swi_binding *b = &tape->binding[leaf->binding];
    sw_gradient *g = b->g;
    if (b->added == tape->backward && b->counted == g->serial && !g->fresh)
        return g;
    if (b->counted_pass != tape->pass || b->counted != g->serial || g->fresh) {
        const int64_t samples = tape->sample_count ? tape->sample_count : 1;
        *status = swi_gradient_open(g, "backward", tape->weight, samples);
        if (*status != SW_OK)
            return NULL;
        b->counted = g->serial;
        b->counted_pass = tape->pass;
        b->weight = tape->weight.value;
        b->weight_stated = tape->weight_stated;
    } else if (tape->weight_stated && b->weight != tape->weight.value) {
        if (g->many_parts) {
            *status = swi_weight_refuse("backward", g->weight, g->weight);
            return NULL;
        }
        g->mixed_weights = b->weight_stated; /* a penalty without a weight gets the weight of the loss */
        if (!b->weight_stated) {
            g->weight = tape->weight;
            g->unit = tape->weight.value;
            b->weight = tape->weight.value;
            b->weight_stated = true;
        }
    }
    b->added = tape->backward;
    return g;
}

/* The memory in the gradient block in which the first contribution to a parameter can be stored directly; NULL if it
 * must be added. The caller must fill the memory, because later contributions (also of the same call) add to it.
 * Therefore it is not for operations that may run backward into parameters before their vjp fills it. */
static void *gradient_place(const swi_node *leaf, swi_engine *e) {
    const sw_tape *tape = e->tape;
    sw_gradient *g = gradient_block(tape, leaf, &e->failure);
    if (!g)
        return NULL;
    if (g->written[leaf->param->index] || g->type != leaf->view.type || swi_gradient_is_sum_in_f32(g) ||
        (e->node->flags & SWI_USES_PARAMS) ||
        swi_gradient_factor(g, tape->binding[leaf->binding].weight, tape->loss_scale) != 1)
        return NULL;
    g->written[leaf->param->index] = 1;
    return (char *)g->data + (size_t)leaf->param->offset * swi_size(leaf->view.type);
}

void *sw_call_grad(sw_call *call, int input) {
    swi_engine *e = call->engine;
    if (e->state[input] == SWI_DIRECT || e->state[input] == SWI_TEMPORARY)
        return e->target[input];
    if (swi_mark_is_open(call)) {
        e->failure = SW_ERR_STATE;
        return NULL;
    }
    swi_node *node = e->input[input];
    const sw_view *form = gradient_form(call, input);
    void *place = NULL;
    if (form->count == node->view.count && (node->flags & SWI_NEEDS_GRAD)) {
        if (node->flags & SWI_PARAM)
            place = gradient_place(node, e);
        else if (!node->grad) {
            place = node->grad = swi_arena_alloc(&e->tape->arena, view_bytes(&node->view));
            e->failure = place ? e->failure : SW_ERR_MEMORY;
        }
    }
    e->state[input] = place ? SWI_DIRECT : SWI_TEMPORARY;
    if (!place && e->failure == SW_OK) {
        place = swi_arena_alloc(&e->tape->arena, view_bytes(form));
        e->failure = place ? SW_OK : SW_ERR_MEMORY;
    }
    e->target[input] = place;
    return place;
}

sw_squares *sw_call_squares(const sw_call *call, int input) {
    const swi_engine *e = call->engine;
    const swi_node *node = e->input[input];
    if (e->state[input] != SWI_DIRECT || !(node->flags & SWI_PARAM))
        return NULL;
    return e->tape->binding[node->binding].g->squares;
}

void sw_call_pass_grad(sw_call *call, int input) {
    swi_engine *e = call->engine;
    e->state[input] = SWI_PASSED;
}

/* ---- Accumulation ---- */

/* to ← a·sum of `from` over the axes in which v is broadcast, or to += a·sum. Sums of f16 and bf16 are computed in f32
 * and rounded once. */
static void gradient_reduce(const sw_view *form, const void *from, const sw_view *v, void *to, double a, bool store) {
    sw_sum_to_shape(v->type, form->rank, form->shape, from, v->rank, v->shape, to, a, store);
}

/* Adds a contribution, which has the shape of `form`, to the gradient block of a parameter. */
static sw_status gradient_add_parameter(sw_tape *tape, const swi_node *node, const sw_view *form, const void *from) {
    sw_status status = SW_OK;
    sw_gradient *g = gradient_block(tape, node, &status);
    if (!g)
        return status;
    const sw_view *v = &node->view;
    const sw_param *param = node->param;
    const double factor = swi_gradient_factor(g, tape->binding[node->binding].weight, tape->loss_scale);
    const bool store = !g->written[param->index];
    g->written[param->index] = 1;
    if (v->count == form->count) {
        return swi_gradient_add(g, param->offset, v->count, factor, v->type, from, store);
    } else if (!g->summed && factor != 0 && g->type == v->type && (store || sw_dtype_is_computed(g->type))) {
        void *to = (char *)g->data + (size_t)param->offset * swi_size(v->type);
        swi_gradient_touch(g, param->offset, v->count);
        gradient_reduce(form, from, v, to, factor, store);
    } else {
        void *part = swi_arena_alloc(&tape->arena, view_bytes(v));
        if (!part)
            return SW_ERR_MEMORY;
        gradient_reduce(form, from, v, part, 1, true);
        SW_TRY(swi_gradient_add(g, param->offset, v->count, factor, v->type, part, store));
        swi_arena_release(&tape->arena, part, view_bytes(v));
    }
    return SW_OK;
}

static sw_status gradient_add_any(sw_tape *tape, swi_node *node, const sw_view *form, const void *from) {
    const sw_view *v = &node->view;
    if (node->flags & SWI_PARAM)
        return gradient_add_parameter(tape, node, form, from);
    bool store = !node->grad;
    if (store) {
        node->grad = swi_arena_alloc(&tape->arena, view_bytes(v));
        if (!node->grad)
            return SW_ERR_MEMORY;
    }
    if (v->count != form->count)
        gradient_reduce(form, from, v, node->grad, 1, store);
    else
        swi_axpy(v->type, v->count, 1, from, node->grad, store);
    return SW_OK;
}

/* Adds a contribution, which has the shape of `form`, to the gradient of `node`. Two scalars in f32 are added at once,
 * because calls take longer than the addition. */
static inline sw_status gradient_add(sw_tape *tape, swi_node *node, const sw_view *form, const void *from) {
    const sw_view *v = &node->view;
    if (node->grad && v->count == 1 && form->count == 1 && v->type == SW_F32 && !(node->flags & SWI_PARAM)) {
        *(float *)node->grad += *(const float *)from;
        return SW_OK;
    }
    return gradient_add_any(tape, node, form, from);
}

/* Whether the cotangent is passed on to an input after number i too. *same: whether a later input is the tensor of
 * input i. */
static inline bool gradient_is_passed_later(const sw_call *call, const swi_engine *e, int i, bool *same) {
    bool later = false;
    *same = false;
    for (int k = i + 1; k < call->inputs; k++) {
        later |= e->state[k] == SWI_PASSED && (e->input[k]->flags & SWI_NEEDS_GRAD);
        *same |= e->input[k] == e->input[i];
    }
    return later;
}

static inline __attribute__((always_inline)) sw_status gradients_collect(sw_tape *tape, swi_node *node, sw_call *call,
                                                                         swi_engine *e) {
    swi_node *receiver = NULL; /* the input that gets the memory of the cotangent as its gradient, at the end */
    for (int i = 0; i < call->inputs; i++) {
        swi_node *input = e->input[i];
        if (!(input->flags & SWI_NEEDS_GRAD)) { /* the vjp did not call sw_call_wants_grad */
            if (e->state[i] == SWI_TEMPORARY)
                swi_arena_release(&tape->arena, e->target[i], view_bytes(gradient_form(call, i)));
            continue;
        }
        switch (e->state[i]) {
        case SWI_NOT_RETURNED:
            return sw_fail(SW_ERR_STATE, "%s: its vjp returned no gradient for input %d", node->op->name, i);
        case SWI_DIRECT: break;
        case SWI_TEMPORARY: {
            const sw_view *form = gradient_form(call, i);
            SW_TRY(gradient_add(tape, input, form, e->target[i]));
            swi_arena_release(&tape->arena, e->target[i], view_bytes(form));
            break;
        }
        default: /* SWI_PASSED */
            if (!call->op->broadcasts && input->view.count != call->out->count)
                return sw_fail(SW_ERR_SHAPE, "%s: its vjp passed the cotangent %s on to input %d of shape %s",
                               node->op->name, sw_shape_text(call->out->rank, call->out->shape), i,
                               sw_shape_text(input->view.rank, input->view.shape));
            if (input->view.type != call->out->type)
                return sw_fail(SW_ERR_TYPE, "%s: its vjp passed the %s cotangent on to input %d, which is %s",
                               node->op->name, sw_dtype_name(call->out->type), i, sw_dtype_name(input->view.type));
            if (!receiver && !(input->flags & SWI_PARAM) && !input->grad && node->grad &&
                input->view.count == call->out->count && !(node->flags & SWI_RETAIN)) {
                bool same;
                if (!gradient_is_passed_later(call, e, i, &same)) {
                    input->grad = node->grad;
                    node->grad = NULL;
                    break;
                }
                if (!same) { /* later contributions to the same input must be added after this one */
                    receiver = input;
                    break;
                }
            }
            SW_TRY(gradient_add(tape, input, call->op->broadcasts ? call->out : &input->view, call->cotangent));
        }
    }
    if (receiver) {
        receiver->grad = node->grad;
        node->grad = NULL;
    }
    return SW_OK;
}

sw_status swi_collect_gradients(sw_tape *tape, swi_node *node, sw_call *call, swi_engine *e) {
    return gradients_collect(tape, node, call, e);
}

/* An error if an earlier backward has released values that the vjp reads, or what forward saved. */
static sw_status node_check_values(const swi_node *node) {
    unsigned freed = node->root->flags & (node->op->vjp_reads & SW_READS_OUT ? ~0u : 0);
    for (int i = 0; i < node->inputs; i++)
        if (swi_reads(node->op, i))
            freed |= swi_inputs(node)[i]->root->flags;
    if (freed & SWI_FREED || node->flags & SWI_UNSAVED)
        return sw_fail(SW_ERR_STATE,
                       "%s: an earlier backward has released its values; add the losses "
                       "and run backward once",
                       node->op->name);
    return SW_OK;
}

/* Leaves read the parameters in place. After a step between forward and backward, the gradient would combine values at
 * two different points. */
static bool parameter_has_changed(const sw_tape *tape, const swi_node *leaf) {
    const swi_binding *b = &tape->binding[leaf->binding];
    return b->x == b->params->x && leaf->version != b->params->version;
}

static sw_status node_input_views(const sw_tape *tape, const swi_node *node, const sw_view **in) {
    for (int i = 0; i < node->inputs; i++) {
        const swi_node *input = swi_inputs(node)[i];
        in[i] = &input->view;
        if ((input->flags & SWI_PARAM) && parameter_has_changed(tape, input))
            return sw_fail(SW_ERR_STATE,
                           "backward: parameter %s has changed since %s read it; reset the "
                           "tape and record the loss again",
                           input->param->name, node->op->name);
    }
    return SW_OK;
}

/* For a node whose vjp has run before, or uses parameters that are not among the inputs. */
static sw_status node_check_special(const sw_tape *tape, const swi_node *node) {
    if ((node->flags & SWI_USES_PARAMS) && node->version != swi_sum_versions(tape, node->sets))
        return sw_fail(
            SW_ERR_STATE,
            "backward: parameters that %s uses have changed since its forward; reset the tape and record the "
            "loss again",
            node->op->name);
    return node->flags & SWI_RETIRED ? node_check_values(node) : SW_OK;
}

static sw_status node_backward(sw_tape *tape, swi_node *node) {
    if (node->flags & (SWI_RETIRED | SWI_USES_PARAMS))
        SW_TRY(node_check_special(tape, node));
    const sw_view *few[SWI_FEW], **in = few;
    unsigned char few_states[SWI_FEW] = {0};
    void *few_targets[SWI_FEW], *many = NULL;
    swi_engine e;
    e.tape = tape;
    e.node = node;
    e.input = swi_inputs(node);
    e.state = few_states;
    e.target = few_targets;
    e.scratches = 0;
    e.failure = SW_OK;
    e.mark_state = tape->mark_state;
    size_t many_bytes = 0;
    if (node->inputs > SWI_FEW) {
        const size_t n = (size_t)node->inputs;
        many_bytes = n * (sizeof *in + sizeof *few_targets + 1);
        many = swi_arena_alloc(&tape->arena, many_bytes);
        if (!many)
            return SW_ERR_MEMORY;
        in = many;
        e.target = (void **)(void *)(in + n);
        e.state = (unsigned char *)(e.target + n);
        memset(e.state, 0, n);
    }
    SW_TRY(node_input_views(tape, node, in));
    sw_call call = {.op = node->op,
                    .tape = tape,
                    .attributes = node->attributes,
                    .inputs = node->inputs,
                    .in = in,
                    .out = &node->view,
                    .saved = node->saved,
                    .cotangent = node->grad,
                    .engine = &e};
    if (tape->poison_unread)
        SW_TRY(swi_poison_unread(tape, node, in, &call));
    const bool checking = (tape->switches & SW_CHECK) != 0;
    bool cotangent_has_inf = false;
    if (checking)
        SW_TRY(swi_check_cotangent(node, &cotangent_has_inf));
    uint32_t floor = tape->floor;
    tape->floor = tape->count; /* a backward inside the vjp processes only the nodes that the vjp records */
    const char *layer = tape->layer;
    tape->layer = node->layer;
    sw_status status = node->op->vjp(&call);
    if (status != SW_OK)
        status = swi_returned("operation", node->op->name, "vjp", status);
    if (e.failure != SW_OK) /* the vjp may have returned another status */
        status = e.failure;
    if (tape->mark_state != e.mark_state)
        swi_forget_marks(tape, e.mark_state);
    if (status == SW_OK)
        status = gradients_collect(tape, node, &call, &e);
    if (status == SW_OK && checking)
        status = swi_check_gradients(tape, node, cotangent_has_inf);
    tape->layer = layer;
    tape->floor = floor;
    swi_release_scratch(&e);
    if (many)
        swi_arena_release(&tape->arena, many, many_bytes);
    return status;
}

/* For SWI_RETAIN: adds the gradient to those of earlier passes. Returns whether its memory is kept for that. */
static bool node_keep_gradient(const sw_tape *tape, swi_node *node) {
    const double unscale = tape->floor ? 1 : 1 / tape->loss_scale; /* a vjp sees the scaled gradients */
    if (node->kept) {
        swi_axpy(node->view.type, node->view.count, unscale, node->grad, node->kept, false);
        return false;
    }
    node->kept = node->grad;
    if (unscale != 1)
        swi_axpy(node->view.type, node->view.count, unscale, node->kept, node->kept, true);
    return true;
}

/* After the vjp of a node, releases its cotangent, what forward saved if the program has released the output, and the
 * values that only this vjp was going to read. */
static void node_retire(sw_tape *tape, swi_node *node) {
    if (node->grad) {
        if (!(node->flags & SWI_RETAIN) || !node_keep_gradient(tape, node))
            swi_arena_release(&tape->arena, node->grad, view_bytes(&node->view));
        node->grad = NULL;
    }
    /* A few numbers are kept, so that a second backward remains possible where nothing else was released. */
    if (node->saved && (node->flags & SWI_RELEASED) && node->saved_bytes > SW_ALIGNMENT) {
        swi_arena_release(&tape->arena, node->saved, node->saved_bytes);
        node->saved = NULL;
        node->flags |= SWI_UNSAVED | (node->op->vjp_reads ? 0 : SWI_RETIRED);
    }
    if (node->op->vjp_reads && !(node->flags & SWI_RETIRED)) {
        node->flags |= SWI_RETIRED;
        for (int i = 0; i < node->inputs; i++)
            if (swi_reads(node->op, i))
                swi_drop_reader(tape, swi_inputs(node)[i]);
        if (node->op->vjp_reads & SW_READS_OUT)
            swi_drop_reader(tape, node);
    }
}

/* ---- Gradient blocks at the start and the end of a pass ---- */

/* Sets the gradient of parameters that no pass has reached to zero. */
static void gradient_fill_unreached(sw_gradient *g) {
    const sw_params *params = g->params;
    for (int i = 0; i < params->count; i++) {
        const sw_param *p = params->list[i];
        if (!g->written[i] && !p->tied)
            swi_gradient_fill_zero(g, p->offset, p->count);
        g->written[i] = 1;
    }
}

static void gradients_finish(sw_tape *tape, bool complete) {
    for (int i = 0; i < tape->bindings; i++) {
        swi_binding *b = &tape->binding[i];
        if (b->pass != tape->pass || b->frozen || b->g->fresh || b->counted_pass != tape->pass ||
            b->counted != b->g->serial)
            continue;
        if (complete)
            gradient_fill_unreached(b->g);
        else
            sw_gradient_make_fresh(b->g); /* the gradient is incomplete */
    }
}

/* The rewind in a vjp frees memory that was allocated after the mark, which must therefore not hold the gradient of an
 * older tensor. Gradients of parameters are not in the arena. */
static sw_status node_check_inside(const swi_node *node, uint32_t floor, const char *what) {
    for (int i = 0; i < node->inputs; i++) {
        const swi_node *input = swi_inputs(node)[i];
        if (input->slot < floor && !(input->flags & SWI_PARAM) && (input->flags & SWI_NEEDS_GRAD))
            return sw_fail(SW_ERR_STATE,
                           "%s: inside a vjp, %s reads a tensor from before it that needs a gradient; "
                           "the segment must take it as a sw_variable, or as an input of sw_recompute",
                           what, node->op->name);
    }
    return SW_OK;
}

/* ---- Entry ---- */

/* Runs the vjps from the last node, whose cotangent is set, down to the first that the current vjp has recorded
 * (outside of a vjp, of the tape). With another status than SW_OK, discards gradients, because the next backward must
 * not find incomplete ones. */
static sw_status backward_nodes(sw_tape *tape, uint32_t last, sw_status status, const char *what) {
    const uint32_t floor = tape->floor;
    for (uint32_t slot = last + 1; slot-- > floor;) {
        swi_node *node = swi_at(tape, slot);
        if (!node->grad || !node->op)
            continue;
        if (status != SW_OK) {
            node->grad = NULL;
            continue;
        }
        if (floor)
            status = node_check_inside(node, floor, what);
        if (status == SW_OK)
            status = node_backward(tape, node);
        node_retire(tape, node);
    }
    for (uint32_t slot = floor; status != SW_OK && slot < last; slot++)
        if (!swi_at(tape, slot)->op)
            swi_at(tape, slot)->grad = NULL; /* the gradient of a variable is incomplete */
    return status;
}

sw_status swi_backward_run(sw_tensor t, const void *cotangent, double scale, const char *what) {
    sw_tape *tape = t.tape;
    swi_node *node = swi_at(tape, t.slot);
    if (node->flags & SWI_CUT)
        return sw_fail(SW_ERR_STATE, "%s: operation %s has no derivative", what, node->op->name);
    if (!(node->flags & SWI_NEEDS_GRAD))
        return sw_fail(SW_ERR_STATE,
                       "%s: nothing the tensor depends on needs a gradient (recording off, or all "
                       "parameters frozen?)",
                       what);
    bool top = tape->floor == 0;
    if (t.slot < tape->floor)
        return sw_fail(SW_ERR_STATE, "%s: inside a vjp, backward accepts only tensors that the vjp has recorded", what);
    if (top) {
        tape->weight = swi_node_weight(tape, node);
        tape->weight_stated = (node->flags & SWI_WEIGHTED) != 0;
        tape->backward = swi_next_id();
        tape->loss_scale = scale;
        SW_TRY(tape->switches & SW_MEASURE ? swi_measure_activations(tape) : SW_OK);
    }
    sw_status status = gradient_add(tape, node, &node->view, cotangent);
    if (node->op || status != SW_OK)
        status = backward_nodes(tape, t.slot, status, what);
    if (top)
        gradients_finish(tape, status == SW_OK);
    return status;
}

sw_status swi_backward_segment(sw_tape *tape, swi_node *result, void *cotangent) {
    if (!(result->flags & SWI_NEEDS_GRAD))
        return SW_OK;
    if (!result->op)
        return gradient_add(tape, result, &result->view, cotangent);
    result->flags |= SWI_RETAIN; /* so that its memory is neither released nor passed on */
    result->kept = NULL;
    result->grad = cotangent;
    return backward_nodes(tape, result->slot, SW_OK, "backward");
}
