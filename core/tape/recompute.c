/* Recomputation: an operation whose forward is a function of tensors, and whose vjp calls the function again to record
 * it, and runs backward through it. */
#include <swale/status.h>
#include <swale/text.h>

#include "core/base/dry_run_state.h"
#include "core/tape/engine.h"

#include <string.h>

/* The attributes of a segment, which the tape copies. The first call sets the members from `switches` on. */
typedef struct recompute {
    sw_function f;
    void *user;
    /* The state of the tape before the first call, for the second. */
    unsigned switches;
    uint32_t random_calls;
    uint64_t draw, seed;
    const int64_t *samples;
    int64_t sample_count;
    /* The result of the first call. */
    int64_t shape[SW_MAX_RANK];
    void *data;
    bool discarded; /* `data` is in memory that the rewind has freed, and to which nothing was written since */
    bool weighted;  /* it has a weight */
    swi_weight weight;
    swi_params_used used;
} recompute;

enum { MOST_INPUTS = 1024 }; /* each input is compared with those before it */

static recompute *recompute_of(const sw_call *call) {
    return (recompute *)(uintptr_t)call->attributes;
}

/* ---- The call of the function ---- */

static sw_tensor recompute_tensor(sw_tape *tape, const swi_node *node) {
    return (sw_tensor){tape, node->slot, node->generation};
}

/* The tensor that the function gets for an input: a leaf that reads the values in place. Its gradient is added to that
 * of the input directly, so that the contributions are added in the same order as without a segment. */
static swi_node *recompute_leaf(sw_tape *tape, swi_node *input, bool recording) {
    uint32_t slot;
    if (input->flags & SWI_PARAM)
        return input;
    swi_node *leaf = swi_new_node(tape, &slot);
    if (!leaf)
        return NULL;
    leaf->view = input->view;
    leaf->flags = (uint16_t)(SWI_LEAF | (input->flags & (SWI_WEIGHTED | SWI_16_BIT)));
    leaf->weight = input->flags & SWI_WEIGHTED ? input->weight : swi_plain_weight(0);
    if (recording && (input->flags & SWI_NEEDS_GRAD)) {
        leaf->flags |= SWI_NEEDS_GRAD | SWI_RETAIN;
        leaf->grad = input->grad;
    }
    return leaf;
}

/* The index of an input among those before it; its own if it is not among them. */
static int recompute_first(const swi_engine *e, int input) {
    int i = 0;
    while (e->input[i] != e->input[input])
        i++;
    return i;
}

/* Calls the function, and sets leaf[] to the nodes of its inputs. NULL after an error. */
static swi_node *recompute_run(const sw_call *call, swi_node **leaf, sw_tensor *x, bool recording) {
    const recompute *r = recompute_of(call);
    const swi_engine *e = call->engine;
    sw_tape *tape = call->tape;
    const uint32_t first = tape->count;
    for (int i = 0; i < call->inputs; i++) {
        const int same = recompute_first(e, i);
        leaf[i] = same < i ? leaf[same] : recompute_leaf(tape, e->input[i], recording);
        if (!leaf[i])
            return NULL;
        x[i] = recompute_tensor(tape, leaf[i]);
    }
    const uint64_t failures = sw_failure_count();
    const sw_tensor y = r->f(r->user, tape, x);
    if (sw_is_null(y)) {
        sw_fail_unless_since(failures, SW_ERR_USER, "recompute: the function returned a null tensor");
        return NULL;
    }
    swi_node *result = swi_node_of(y);
    if (result && (y.tape != tape || (result->slot < first && !(result->flags & SWI_PARAM)))) {
        sw_fail(SW_ERR_ARGUMENT, "recompute: the function returned a tensor that it has neither made nor received");
        return NULL;
    }
    return result;
}

/* ---- The first call ---- */

/* Copies what the tape must know of the result. */
static void recompute_describe(recompute *r, sw_call *call, const swi_node *y, uint32_t first) {
    *call->out = y->view;
    memcpy(r->shape, y->view.shape, (size_t)y->view.rank * sizeof *r->shape);
    call->out->shape = r->shape;
    call->out->data = NULL;
    ((const swi_engine *)call->engine)->node->flags |= y->flags & SWI_16_BIT;
    r->data = y->view.data;
    r->discarded = (y->root->flags & SWI_OWNS) && y->root->slot >= first;
    r->weighted = (y->flags & SWI_WEIGHTED) != 0;
    if (r->weighted)
        r->weight = y->weight;
}

static sw_status recompute_first_call(recompute *r, sw_call *call, swi_node **leaf, sw_tensor *x) {
    sw_tape *tape = call->tape;
    const sw_mark mark = sw_tape_mark(tape);
    if (!mark.state)
        return SW_ERR_MEMORY;
    const swi_params_used outer = tape->used;
    tape->used = (swi_params_used){0};
    tape->switches &= ~(unsigned)SW_RECORD;
    const uint32_t first = tape->count;
    const swi_node *y = recompute_run(call, leaf, x, false);
    if (y)
        recompute_describe(r, call, y, first);
    tape->switches = r->switches;
    tape->draw = r->draw;
    tape->seed = r->seed;
    r->used = tape->used;
    if (!r->used.sets) /* no parameters, rather than unknown ones */
        r->used.sets = (uint64_t)1 << (SWI_SETS - 1);
    tape->used = outer;
    const uint32_t random_calls = tape->random_calls;
    const sw_status status = sw_tape_rewind(tape, mark);
    tape->random_calls = random_calls; /* later operations count those of the segment */
    return y ? status : sw_last_failure();
}

/* The shape of the result is known only after the call. The result is moved out of the memory that is discarded:
 * nothing is written there before the engine has allocated the output and forward has moved it. */
static sw_status recompute_shape(sw_call *call) {
    recompute *r = recompute_of(call);
    const swi_engine *e = call->engine;
    sw_tape *tape = call->tape;
    r->switches = tape->switches;
    r->random_calls = tape->random_calls;
    r->draw = tape->draw;
    r->seed = tape->seed;
    r->samples = tape->samples;
    r->sample_count = tape->sample_count;
    const size_t n = (size_t)call->inputs, leaf_bytes = n * sizeof(swi_node *),
                 bytes = leaf_bytes + n * sizeof(sw_tensor);
    char *list = swi_arena_alloc(&tape->arena, bytes);
    if (!list)
        return SW_ERR_MEMORY;
    sw_tensor *x = (void *)list;
    const sw_status status = recompute_first_call(r, call, (swi_node **)(void *)(x + n), x);
    swi_forget_marks(tape, e->mark_state);
    swi_arena_release(&tape->arena, list, bytes);
    return status;
}

static sw_status recompute_forward(sw_call *call) {
    const recompute *r = recompute_of(call);
    swi_node *node = ((const swi_engine *)call->engine)->node;
    const size_t bytes = swi_dry_run() ? 0 : (size_t)call->out->count * swi_size(call->out->type);
    if (bytes && r->discarded)
        swi_arena_move(call->out->data, r->data, bytes);
    else if (bytes)
        memcpy(call->out->data, r->data, bytes);
    call->tape->used = r->used;
    if (r->weighted) {
        node->weight = r->weight;
        node->flags |= SWI_WEIGHTED;
    }
    return SW_OK;
}

/* ---- The second call ---- */

static size_t node_bytes(const swi_node *node) {
    return (size_t)node->view.count * swi_size(node->view.type);
}

/* What the second call needs for each input. */
typedef struct recompute_input {
    void *place; /* memory for the gradient, if it must be allocated before the segment */
    bool wanted; /* the segment makes the gradient, rather than adds to it */
} recompute_input;

/* Sets `wanted`, and allocates memory for the gradients. A single gradient is moved after the rewind instead, so that
 * there is no memory for it while the segment is recomputed. */
static sw_status recompute_prepare(const sw_call *call, recompute_input *in, int *single) {
    const swi_engine *e = call->engine;
    int wanted = 0;
    for (int i = 0; i < call->inputs; i++) {
        const swi_node *input = e->input[i];
        if (input->flags & SWI_NEEDS_GRAD)
            e->state[i] = SWI_DIRECT;
        in[i] = (recompute_input){.wanted = (input->flags & (SWI_NEEDS_GRAD | SWI_PARAM)) == SWI_NEEDS_GRAD &&
                                            !input->grad && recompute_first(e, i) == i};
        wanted += in[i].wanted;
        if (in[i].wanted)
            *single = i;
    }
    if (wanted <= 1)
        return SW_OK;
    *single = -1;
    for (int i = 0; i < call->inputs; i++)
        if (in[i].wanted && !(in[i].place = swi_arena_alloc(&call->tape->arena, node_bytes(e->input[i]))))
            return SW_ERR_MEMORY;
    return SW_OK;
}

/* Records the segment and runs backward through it. */
static sw_status recompute_second_call(const sw_call *call, swi_node **leaf, sw_tensor *x) {
    const recompute *r = recompute_of(call);
    const swi_engine *e = call->engine;
    sw_tape *tape = call->tape;
    const unsigned switches = tape->switches, debugging = SW_CHECK | SW_KEEP;
    const uint64_t draw = tape->draw, seed = tape->seed;
    tape->switches = (switches & debugging) | (r->switches & ~debugging) | SW_RECORD;
    tape->random_calls = r->random_calls;
    tape->draw = r->draw;
    tape->seed = r->seed;
    tape->samples = r->samples;
    tape->sample_count = r->sample_count;
    swi_node *y = recompute_run(call, leaf, x, true);
    sw_status status = y ? SW_OK : sw_last_failure();
    if (y && (y->view.type != call->out->type ||
              !sw_shape_equal(y->view.rank, y->view.shape, call->out->rank, call->out->shape)))
        status = sw_fail(SW_ERR_STATE,
                         "recompute: the result is %s, and was %s in the first call; the function must do "
                         "the same in both",
                         sw_shape_text(y->view.rank, y->view.shape), sw_shape_text(call->out->rank, call->out->shape));
    if (status == SW_OK)
        status = swi_backward_segment(tape, y, e->node->grad);
    tape->switches = switches;
    tape->draw = draw;
    tape->seed = seed;
    return status;
}

/* Gives the inputs the gradients that the segment has made. */
static sw_status recompute_finish(const sw_call *call, const recompute_input *in, swi_node *const *leaf, int single,
                                  void *gradient) {
    const swi_engine *e = call->engine;
    swi_arena *arena = &call->tape->arena;
    if (single >= 0 && gradient) {
        swi_node *input = e->input[single];
        if (!(input->grad = swi_arena_alloc(arena, node_bytes(input))))
            return SW_ERR_MEMORY;
        if (!swi_dry_run())
            swi_arena_move(input->grad, gradient, node_bytes(input));
    }
    for (int i = 0; i < call->inputs; i++)
        if (in[i].place && leaf[i])
            e->input[i]->grad = in[i].place;
        else if (in[i].place)
            swi_arena_release(arena, in[i].place, node_bytes(e->input[i]));
    return SW_OK;
}

static sw_status recompute_pass(sw_call *call, recompute_input *in, swi_node **leaf, sw_tensor *x) {
    const swi_engine *e = call->engine;
    sw_tape *tape = call->tape;
    int single = -1;
    SW_TRY(recompute_prepare(call, in, &single));
    const sw_mark mark = sw_tape_mark(tape);
    if (!mark.state)
        return SW_ERR_MEMORY;
    sw_status status = recompute_second_call(call, leaf, x);
    void *gradient = NULL;
    for (int i = 0; status == SW_OK && i < call->inputs; i++) {
        if (i == single)
            gradient = leaf[i]->grad;
        if (in[i].place && leaf[i]->grad)
            memcpy(in[i].place, leaf[i]->grad, swi_dry_run() ? 0 : node_bytes(leaf[i]));
        else
            leaf[i] = NULL; /* it has made no gradient */
    }
    const sw_status rewound = sw_tape_rewind(tape, mark);
    swi_forget_marks(tape, e->mark_state);
    status = status == SW_OK ? rewound : status;
    return status == SW_OK ? recompute_finish(call, in, leaf, single, gradient) : status;
}

static sw_status recompute_vjp(sw_call *call) {
    sw_tape *tape = call->tape;
    const size_t n = (size_t)call->inputs,
                 bytes = n * (sizeof(sw_tensor) + sizeof(recompute_input) + sizeof(swi_node *));
    char *list = swi_arena_alloc(&tape->arena, bytes);
    if (!list)
        return SW_ERR_MEMORY;
    sw_tensor *x = (void *)list;
    recompute_input *in = (void *)(x + n);
    const sw_status status = recompute_pass(call, in, (swi_node **)(void *)(in + n), x);
    swi_arena_release(&tape->arena, list, bytes);
    return status;
}

static const sw_op recompute_op = {.size = sizeof(sw_op),
                                   .name = swi_recompute_name,
                                   .shape = recompute_shape,
                                   .forward = recompute_forward,
                                   .vjp = recompute_vjp,
                                   .vjp_reads = ~SW_READS_OUT, /* every input */
                                   .reads_params = true,
                                   .takes_16_bit = true};

sw_tensor sw_recompute(sw_function f, void *user, int count, const sw_tensor *inputs) {
    if (!f || count > MOST_INPUTS) {
        if (f)
            sw_fail(SW_ERR_ARGUMENT, "recompute: %d inputs; at most %d", count, (int)MOST_INPUTS);
        else
            sw_fail(SW_ERR_ARGUMENT, "recompute: the function is NULL");
        return (sw_tensor){0};
    }
    const recompute r = {.f = f, .user = user};
    return sw_apply(&recompute_op, &r, sizeof r, count, inputs);
}
