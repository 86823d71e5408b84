/* Tapes: an append-only list of nodes in the order of creation, which is a topological order. */
#include <swale/memory.h>
#include <swale/text.h>

#include "core/base/allocation.h"
#include "core/kernels/dispatch.h"
#include "core/params/gradient.h"
#include "core/tape/node.h"
#include "core/params/vector.h"

#include <string.h>
#include <math.h>
#include <stdatomic.h>

sw_tape *sw_tape_new(void) {
    sw_tape *tape = swi_check_environment() == SW_OK ? sw_alloc(sizeof *tape) : NULL;
    if (!tape)
        return NULL;
    tape->switches = SW_RECORD | SW_TRAIN;
    tape->pass = swi_next_id();
    tape->loss_weight = NAN;
    return tape;
}

void sw_tape_free(sw_tape *tape) {
    if (!tape || !sw_may_free(tape, "tape"))
        return;
    for (uint32_t i = 0; i < tape->blocks; i++)
        sw_free(tape->block[i]);
    sw_free(tape->block);
    for (int i = 0; i < tape->bindings; i++)
        sw_free(tape->binding[i].leaf);
    sw_free(tape->binding);
    swi_arena_free(&tape->arena);
    swi_run_deferred(tape);
    sw_free(tape->deferred);
    sw_free(tape);
}

void sw_tape_reset(sw_tape *tape) {
    if (!tape)
        return;
    tape->count = 0;
    tape->floor = 0;
    tape->random_calls = 0;
    tape->samples = NULL;
    tape->sample_count = 0;
    tape->layer = NULL;
    tape->stash = NULL;
    tape->draw++;
    tape->pass = swi_next_id();
    swi_arena_reset(&tape->arena);
    if (tape->deferred_count)
        swi_run_deferred(tape);
}

void sw_tape_set_switch(sw_tape *tape, unsigned switches, bool on) {
    if (tape)
        tape->switches = on ? tape->switches | switches : tape->switches & ~switches;
}

bool sw_tape_switch(const sw_tape *tape, sw_switch which) {
    return tape && (tape->switches & (unsigned)which) != 0;
}

sw_status sw_tape_set_sample_ids(sw_tape *tape, const int64_t *ids, int64_t count) {
    if (!tape)
        return sw_fail(SW_ERR_ARGUMENT, "samples: the tape is NULL");
    if (count < 0)
        return sw_fail(SW_ERR_ARGUMENT, "samples: a count of %lld", (long long)count);
    if (count > 0 && !ids)
        return sw_fail(SW_ERR_ARGUMENT, "samples: the ids are NULL");
    int64_t *copy = swi_arena_alloc(&tape->arena, (size_t)count * sizeof *copy);
    if (!copy)
        return SW_ERR_MEMORY;
    if (count)
        memcpy(copy, ids, (size_t)count * sizeof *copy);
    tape->samples = copy;
    tape->sample_count = count;
    return SW_OK;
}

void sw_tape_set_draw(sw_tape *tape, uint64_t draw) {
    if (tape)
        tape->draw = draw;
}

uint64_t sw_tape_draw(const sw_tape *tape) {
    return tape ? tape->draw : 0;
}

void sw_tape_set_seed(sw_tape *tape, uint64_t seed) {
    if (tape)
        tape->seed = seed;
}

uint64_t sw_tape_random_key(sw_tape *tape, uint64_t site) {
    uint64_t key = swi_mix(tape->seed);
    key = swi_mix(key ^ tape->draw);
    key = swi_mix(key ^ site);
    return swi_mix(key ^ tape->random_calls++);
}

const int64_t *sw_tape_sample_ids(const sw_tape *tape, int64_t rows) {
    return tape->samples && tape->sample_count == rows ? tape->samples : NULL;
}

const char *sw_tape_set_layer(sw_tape *tape, const char *name) {
    if (!tape)
        return NULL;
    const char *before = tape->layer;
    tape->layer = name;
    return before;
}

size_t sw_tape_peak_bytes(const sw_tape *tape) {
    return tape ? tape->arena.peak : 0;
}

size_t sw_tape_held_bytes(const sw_tape *tape) {
    return tape ? swi_arena_held(&tape->arena) + (size_t)tape->blocks * SWI_NODES * sizeof(swi_node) : 0;
}

/* ---- Marks ---- */

sw_mark sw_tape_mark(sw_tape *tape) {
    sw_mark mark = {0};
    if (!tape)
        return mark;
    mark.slot = tape->count;
    mark.random_calls = tape->random_calls;
    swi_stash *stash = swi_arena_stash(&tape->arena);
    if (!stash)
        return mark; /* its pass is none: refused by rewind */
    stash->slot = tape->count;
    stash->samples = tape->samples;
    stash->sample_count = tape->sample_count;
    stash->below = tape->stash;
    tape->stash = stash;
    mark.lists = stash;
    mark.chunk = tape->arena.current; /* after the stash, which stays */
    mark.used = tape->arena.used;
    mark.pass = tape->pass;
    return mark;
}

static bool mark_is_stale(const sw_tape *tape, const sw_mark *mark) {
    if (!tape || mark->pass != tape->pass || mark->slot > tape->count)
        return true;
    const swi_stash *s = tape->stash;
    while (s && s != mark->lists)
        s = s->below;
    return !s || s->slot != mark->slot;
}

sw_status sw_tape_rewind(sw_tape *tape, sw_mark mark) {
    if (mark_is_stale(tape, &mark))
        return sw_fail(SW_ERR_STATE, "rewind: the mark is not of this pass of the tape");
    if (mark.slot < tape->floor)
        return sw_fail(SW_ERR_STATE, "rewind: the mark is older than the backward that is under way");
    /* What the segment's nodes were going to read in older nodes, they will not read. */
    for (uint32_t slot = tape->count; slot-- > mark.slot;) {
        swi_node *node = swi_at(tape, slot);
        if ((node->flags & (SWI_NEEDS_GRAD | SWI_RETIRED)) == SWI_NEEDS_GRAD && node->op)
            for (int i = 0; i < node->inputs; i++) {
                swi_node *root = swi_inputs(node)[i]->root;
                if (swi_reads(node->op, i) && root->slot < mark.slot)
                    root->readers--;
            }
        if (node->op && node->op->is_view && !(node->flags & SWI_RELEASED) && node->root->slot < mark.slot)
            node->root->readers--;
    }
    /* Gradients at older tensors may lie in memory that goes now: all are forgotten. Inside a vjp there
     * are none: backward refuses them. */
    for (uint32_t slot = 0; tape->floor == 0 && slot < mark.slot; slot++) {
        swi_node *node = swi_at(tape, slot);
        node->grad = NULL;
        node->kept = NULL;
    }
    tape->count = mark.slot;
    tape->random_calls = mark.random_calls;
    tape->stash = mark.lists;
    tape->samples = tape->stash->samples;
    tape->sample_count = tape->stash->sample_count;
    swi_arena_unstash(&tape->arena, tape->stash, mark.chunk, mark.used);
    return SW_OK;
}

void sw_tape_rewind_random(sw_tape *tape, sw_mark mark) {
    if (!mark_is_stale(tape, &mark))
        tape->random_calls = mark.random_calls;
}

/* ---- Nodes ---- */

/* What no pass needs, and a program without sw_tape_reset reaches: nodes; or a GiB in use on a tape whose
 * parameters moved so often that nearly all of it can no longer be differentiated. */
enum { MOST_NODES = 1 << 24, MOST_MOVES = 100 };
#define MOST_BYTES_AFTER_MOVES ((size_t)1 << 30)

sw_status swi_more_nodes(sw_tape *tape) {
    if (tape->blocks >= MOST_NODES / SWI_NODES)
        return sw_fail(SW_ERR_STATE,
                       "tape: %u tensors since the last reset, and %zu MiB: call sw_tape_reset after each "
                       "step or evaluation",
                       tape->count, sw_tape_held_bytes(tape) >> 20);
    if (tape->blocks == tape->block_capacity) {
        uint32_t capacity = tape->block_capacity ? 2 * tape->block_capacity : 16;
        swi_node **block = sw_alloc(capacity * sizeof *block);
        if (!block)
            return SW_ERR_MEMORY;
        if (tape->blocks)
            memcpy(block, tape->block, tape->blocks * sizeof *block);
        sw_free(tape->block);
        tape->block = block;
        tape->block_capacity = capacity;
    }
    swi_node *nodes = swi_alloc_raw(SWI_NODES * sizeof *nodes);
    if (!nodes)
        return SW_ERR_MEMORY;
    tape->block[tape->blocks++] = nodes;
    return SW_OK;
}

swi_node *swi_node_of(sw_tensor t) {
    if (!t.tape) {
        if (!sw_error())
            sw_fail(SW_ERR_ARGUMENT, "a null tensor was used");
        return NULL;
    }
    swi_node *node = t.slot < t.tape->count ? swi_at(t.tape, t.slot) : NULL;
    if (!node || node->generation != t.generation) {
        sw_fail(SW_ERR_STATE, "a tensor was used after its tape was reset");
        return NULL;
    }
    if (node->flags & SWI_RELEASED) {
        sw_fail(SW_ERR_STATE, "a tensor was used after sw_release (a sequential releases what passes "
                              "between its layers)");
        return NULL;
    }
    return node;
}

void sw_release(sw_tensor t) {
    swi_node *node = t.tape ? swi_node_of(t) : NULL;
    if (!node || (node->flags & SWI_PARAM) || (t.tape->switches & SW_KEEP))
        return; /* a parameter's leaf is everybody's */
    node->flags |= SWI_RELEASED;
    if (node->root == node)
        swi_settle(t.tape, node);
    else
        swi_drop_reader(t.tape, node); /* a living view counts as a reader of its root */
}

/* ---- Leaves and readers ---- */

static sw_tensor tape_leaf(sw_tape *tape, const sw_array *array, unsigned flags) {
    sw_tensor null = {0};
    uint32_t slot;
    swi_node *node = swi_new_node(tape, &slot);
    if (!node)
        return null;
    int64_t *shape = swi_arena_alloc(&tape->arena, (size_t)array->rank * sizeof *shape);
    if (!shape)
        return null;
    for (int i = 0; i < array->rank; i++)
        shape[i] = array->shape[i];
    node->view = (sw_view){
        .data = array->data, .shape = shape, .rank = array->rank, .type = array->type, .count = sw_array_count(array)};
    node->flags = (uint16_t)(SWI_LEAF | flags);
    return (sw_tensor){tape, slot, node->generation};
}

static bool tape_check_type(sw_dtype type, const char *what) {
    if ((unsigned)type <= SW_U8)
        return true;
    if (type == SW_I64)
        sw_fail(SW_ERR_TYPE, "%s: i64 is for files; i32 is needed", what);
    else
        sw_fail(SW_ERR_TYPE, "%s: %d is no element type", what, (int)type);
    return false;
}

static bool tape_check_array(const sw_tape *tape, const sw_array *array, const char *what) {
    int64_t count;
    if (!tape) {
        sw_fail(SW_ERR_ARGUMENT, "%s: the tape is NULL", what);
        return false;
    }
    if (sw_shape_count(array->rank, array->shape, &count) != SW_OK)
        return false;
    if (!tape_check_type(array->type, what))
        return false;
    if (!array->data && count > 0) {
        sw_fail(SW_ERR_ARGUMENT, "%s: the array has no data", what);
        return false;
    }
    return true;
}

sw_tensor sw_input(sw_tape *tape, sw_array array) {
    if (!tape_check_array(tape, &array, "input"))
        return (sw_tensor){0};
    return tape_leaf(tape, &array, 0);
}

sw_tensor sw_input_copy(sw_tape *tape, sw_array array) {
    if (!tape_check_array(tape, &array, "input_copy"))
        return (sw_tensor){0};
    sw_tensor t = sw_empty(tape, array.type, array.rank, array.shape);
    if (t.tape && array.data)
        memcpy(swi_at(tape, t.slot)->view.data, array.data, (size_t)sw_array_count(&array) * swi_size(array.type));
    return t;
}

sw_tensor sw_variable(sw_tape *tape, sw_array array) {
    if (!tape_check_array(tape, &array, "variable"))
        return (sw_tensor){0};
    if (array.type != SW_F32 && array.type != SW_F64) {
        sw_fail(SW_ERR_TYPE, "variable: %s has no gradient; f32 or f64 is needed", sw_dtype_name(array.type));
        return (sw_tensor){0};
    }
    return tape_leaf(tape, &array, SWI_NEEDS_GRAD | SWI_RETAIN);
}

sw_tensor sw_empty(sw_tape *tape, sw_dtype type, int rank, const int64_t *shape) {
    sw_array array = {.type = type, .rank = rank};
    int64_t count;
    if (!tape) {
        sw_fail(SW_ERR_ARGUMENT, "buffer: the tape is NULL");
        return (sw_tensor){0};
    }
    if (!tape_check_type(type, "buffer"))
        return (sw_tensor){0};
    if (sw_shape_count(rank, shape, &count) != SW_OK)
        return (sw_tensor){0};
    for (int i = 0; i < rank; i++)
        array.shape[i] = shape[i];
    array.data = swi_arena_alloc(&tape->arena, (size_t)count * swi_size(type));
    if (!array.data)
        return (sw_tensor){0};
    return tape_leaf(tape, &array, SWI_OWNS);
}

sw_tensor sw_constant(sw_tape *tape, sw_dtype type, double value) {
    sw_tensor t = sw_empty(tape, type, 0, NULL);
    if (!t.tape || sw_number_to_element("constant", type, value, swi_at(tape, t.slot)->view.data) == SW_OK)
        return t;
    return (sw_tensor){0};
}

bool sw_is_null(sw_tensor t) {
    return t.tape == NULL;
}

bool sw_is_live(sw_tensor t) {
    if (!t.tape || t.slot >= t.tape->count)
        return false;
    const swi_node *node = swi_at(t.tape, t.slot);
    return node->generation == t.generation && !(node->flags & SWI_RELEASED);
}

sw_array swi_array_of(const swi_node *node, void *data) {
    sw_array a = {.data = data, .type = node->view.type, .rank = node->view.rank};
    for (int i = 0; i < a.rank; i++)
        a.shape[i] = node->view.shape[i];
    return a;
}

sw_array sw_value(sw_tensor t) {
    const swi_node *node = swi_node_of(t);
    return node ? swi_array_of(node, node->view.data) : (sw_array){0};
}

double sw_item(sw_tensor t) {
    const swi_node *node = swi_node_of(t);
    if (!node)
        return NAN;
    if (node->view.count != 1) {
        sw_fail(SW_ERR_SHAPE, "item: one element is needed, the shape is %s",
                sw_shape_text(node->view.rank, node->view.shape));
        return NAN;
    }
    switch (node->view.type) {
    case SW_F32: return (double)*(const float *)node->view.data;
    case SW_F64: return *(const double *)node->view.data;
    case SW_I32: return *(const int32_t *)node->view.data;
    case SW_U8: return *(const uint8_t *)node->view.data;
    case SW_I64: break; /* not on tapes */
    }
    return NAN;
}

sw_array swi_gradient_at(const sw_tape *tape, const swi_node *node) {
    void *data = node->op ? node->flags & SWI_RETAIN ? node->kept : NULL : node->grad;
    if (node->flags & SWI_PARAM) {
        sw_gradient *g = tape->binding[node->binding].g;
        swi_gradient_close(g);
        data = !(node->flags & SWI_NEEDS_GRAD) || g->fresh
                   ? NULL
                   : (char *)g->data + (size_t)node->param->offset * swi_size(node->view.type);
    }
    return swi_array_of(node, data);
}

sw_array sw_grad(sw_tensor t) {
    const swi_node *node = swi_node_of(t);
    return node ? swi_gradient_at(t.tape, node) : (sw_array){0};
}

sw_tensor sw_retain_grad(sw_tensor t) {
    swi_node *node = t.tape ? swi_node_of(t) : NULL;
    if (!node)
        return (sw_tensor){0};
    if (!(node->flags & SWI_RETAIN))
        node->kept = NULL;
    node->flags |= SWI_RETAIN;
    return t;
}

/* ---- Bindings ---- */

swi_binding *swi_binding_of(sw_tape *tape, sw_params *params) {
    swi_binding *free_place = NULL;
    for (int i = 0; i < tape->bindings; i++) {
        swi_binding *b = &tape->binding[i];
        if (b->params == params && b->id == params->id)
            return b;
        if (b->params == params)
            free_place = b; /* of a set that was freed and whose address came back */
    }
    void *leaf = sw_alloc((size_t)params->count * sizeof *free_place->leaf);
    if (!leaf)
        return NULL;
    if (!free_place) {
        if (tape->bindings == tape->binding_capacity) {
            int capacity = tape->binding_capacity ? 2 * tape->binding_capacity : 2;
            swi_binding *more = sw_alloc((size_t)capacity * sizeof *more);
            if (!more) {
                sw_free(leaf);
                return NULL;
            }
            if (tape->bindings)
                memcpy(more, tape->binding, (size_t)tape->bindings * sizeof *more);
            sw_free(tape->binding);
            tape->binding = more;
            tape->binding_capacity = capacity;
        }
        free_place = &tape->binding[tape->bindings++];
    } else {
        sw_free(free_place->leaf);
    }
    *free_place =
        (swi_binding){.params = params, .id = params->id, .x = params->x, .g = params->gradient, .leaf = leaf};
    return free_place;
}

static swi_binding *binding_open(sw_tape *tape, sw_params *params, const char *what) {
    if (!tape || !params) {
        sw_fail(SW_ERR_ARGUMENT, "%s: the %s is NULL", what, tape ? "parameter set" : "tape");
        return NULL;
    }
    if (!params->built) {
        sw_fail(SW_ERR_STATE, "%s: the parameters are not built", what);
        return NULL;
    }
    swi_binding *b = swi_binding_of(tape, params);
    if (b && b->pass == tape->pass) {
        sw_fail(SW_ERR_STATE, "%s: parameters are in use on the tape; reset it first", what);
        return NULL;
    }
    return b;
}

sw_status sw_tape_bind(sw_tape *tape, sw_params *params, const void *x, sw_gradient *g) {
    swi_binding *b = binding_open(tape, params, "bind");
    if (!b)
        return sw_last_failure();
    if (g && g->params != params)
        return sw_fail(SW_ERR_ARGUMENT, "bind: the gradient block belongs to other parameters");
    if (g && !g->data)
        return sw_fail(SW_ERR_STATE, "bind: the gradient view is not aimed at a vector");
    b->x = x ? x : params->x;
    b->g = g ? g : params->gradient;
    return SW_OK;
}

sw_status sw_tape_freeze(sw_tape *tape, sw_params *params, bool frozen) {
    swi_binding *b = binding_open(tape, params, "freeze");
    if (!b)
        return sw_last_failure();
    b->frozen = frozen;
    return SW_OK;
}

/* Without what the tape keeps from earlier passes and from segments that were rewound. */
static size_t tape_bytes_in_use(const sw_tape *tape) {
    return tape->arena.live + (size_t)tape->count * sizeof(swi_node);
}

/* Whether the leaf may be recorded: a tape that grows from step to step was not reset. */
static bool binding_check_moves(const sw_tape *tape, swi_binding *b, const sw_params *params) {
    if (b->pass != tape->pass)
        b->moves = 0;
    else if (b->version != params->version)
        b->moves++;
    b->version = params->version;
    if (b->moves < MOST_MOVES || tape_bytes_in_use(tape) < MOST_BYTES_AFTER_MOVES)
        return true;
    sw_fail(SW_ERR_STATE,
            "tape: the parameters have moved %lld times since the last reset, and %zu MiB of the tape are in "
            "use: call sw_tape_reset after each step",
            (long long)b->moves, tape_bytes_in_use(tape) >> 20);
    return false;
}

sw_tensor sw_param_use(sw_tape *tape, sw_param *param) {
    if (!tape || !param) {
        sw_fail(SW_ERR_ARGUMENT, "param_use: the %s is NULL", tape ? "parameter" : "tape");
        return (sw_tensor){0};
    }
    sw_params *params = param->owner;
    if (param->tied)
        param = param->tied;
    if (!params->built) {
        sw_fail(SW_ERR_STATE, "parameter %s is used before its set is built", param->name);
        return (sw_tensor){0};
    }
    swi_binding *b = swi_binding_of(tape, params);
    if (!b)
        return (sw_tensor){0};
    uint32_t slot = b->leaf[param->index].slot, generation = b->leaf[param->index].generation;
    if (generation && b->pass == tape->pass && slot < tape->count && swi_at(tape, slot)->generation == generation &&
        (swi_at(tape, slot)->version == params->version || b->x != params->x))
        return (sw_tensor){tape, slot, generation};
    swi_node *node = binding_check_moves(tape, b, params) ? swi_new_node(tape, &slot) : NULL;
    if (!node)
        return (sw_tensor){0};
    size_t size = swi_size(params->type);
    node->view = (sw_view){.data = (char *)(uintptr_t)b->x + (size_t)param->offset * size,
                           .shape = param->shape,
                           .rank = param->rank,
                           .count = param->count,
                           .type = params->type};
    node->flags = (uint16_t)(SWI_LEAF | SWI_PARAM | (param->frozen || b->frozen ? 0 : SWI_NEEDS_GRAD));
    node->param = param;
    node->binding = (uint32_t)(b - tape->binding);
    b->pass = tape->pass;
    node->version = params->version;
    b->leaf[param->index].slot = slot;
    b->leaf[param->index].generation = node->generation;
    return (sw_tensor){tape, slot, node->generation};
}
