/* Bindings: the vector that the parameter leaves of a tape read, and the gradient block that they write. */
#include <swale/memory.h>
#include <swale/text.h>

#include "core/kernels/axpy.h"
#include "core/params/gradient.h"
#include "core/params/vector.h"
#include "core/tape/node.h"

/* If the parameters have changed this often since the last reset while the tape uses this much memory, the program has
 * forgotten to reset the tape: nearly all of its nodes can no longer be differentiated. */
enum { MOST_CHANGES = 100 };
#define MOST_BYTES_AFTER_CHANGES ((size_t)1 << 30)

swi_binding *swi_binding_of(sw_tape *tape, sw_params *params) {
    swi_binding *place = NULL;
    for (int i = 0; i < tape->bindings; i++) {
        swi_binding *b = &tape->binding[i];
        if (b->params == params && b->id == params->id)
            return b;
        if (b->params == params)
            place = b; /* the binding of a freed set, whose address the new set has */
    }
    void *leaf = sw_alloc_for(SW_ACCOUNT_TAPE, (size_t)params->count * sizeof *place->leaf);
    if (!leaf)
        return NULL;
    if (!place) {
        if (sw_grow_array_for(SW_ACCOUNT_TAPE, &tape->binding, &tape->binding_capacity, tape->bindings, 2,
                              sizeof *tape->binding) != SW_OK) {
            sw_free(leaf);
            return NULL;
        }
        place = &tape->binding[tape->bindings++];
    } else {
        sw_free(place->leaf);
        sw_free(place->copy);
    }
    *place = (swi_binding){.params = params, .id = params->id, .x = params->x, .g = params->gradient, .leaf = leaf};
    return place;
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
    swi_binding *b = binding_open(tape, params, "tape_bind");
    if (!b)
        return sw_last_failure();
    if (g && g->params != params)
        return sw_fail(SW_ERR_ARGUMENT, "tape_bind: the gradient block belongs to other parameters");
    if (g && !g->data)
        return sw_fail(SW_ERR_STATE, "tape_bind: the gradient view has no vector (call sw_gradient_set_data)");
    b->x = x ? x : params->x;
    b->g = g ? g : params->gradient;
    return SW_OK;
}

sw_status sw_tape_freeze(sw_tape *tape, sw_params *params, bool frozen) {
    swi_binding *b = binding_open(tape, params, "tape_freeze");
    if (!b)
        return sw_last_failure();
    b->frozen = frozen;
    return SW_OK;
}

/* The memory of the current pass, without memory that the tape keeps from earlier passes and rewound segments. */
static size_t tape_bytes_in_use(const sw_tape *tape) {
    return tape->arena.live + (size_t)tape->count * sizeof(swi_node);
}

/* Returns false and records an error if the program has forgotten to reset the tape: see MOST_CHANGES. */
static bool binding_check_changes(const sw_tape *tape, swi_binding *b, const sw_params *params) {
    if (b->pass != tape->pass)
        b->changes = 0;
    else if (b->version != params->version)
        b->changes++;
    b->version = params->version;
    if (b->changes < MOST_CHANGES || tape_bytes_in_use(tape) < MOST_BYTES_AFTER_CHANGES)
        return true;
    sw_fail(SW_ERR_STATE,
            "tape: the parameters have changed %lld times since the last reset, and %zu MiB of the tape are in "
            "use: call sw_tape_reset after each step",
            (long long)b->changes, tape_bytes_in_use(tape) >> 20);
    return false;
}

uint64_t swi_sum_versions(const sw_tape *tape, uint64_t sets) {
    uint64_t sum = 0;
    for (int i = 0; i < tape->bindings && i < SWI_SETS - 1; i++) {
        const swi_binding *b = &tape->binding[i];
        if ((sets >> i & 1) != 0 && b->x == b->params->x)
            sum += b->params->version;
    }
    return sum;
}

/* For an operation with reads_params, which may be under way. */
static sw_tensor binding_use_leaf(sw_tape *tape, const swi_binding *b, const swi_node *leaf) {
    const int index = (int)(b - tape->binding);
    tape->used.flags |= leaf->flags;
    tape->used.sets |= (uint64_t)1 << (index < SWI_SETS ? index : SWI_SETS - 1);
    return (sw_tensor){tape, leaf->slot, leaf->generation};
}

/* The vector that the leaf of a parameter reads: x, or a copy in the storage type. The copy of the parameters' vector x
 * belongs to the set, and the copy of another vector to the binding. There the elements of a parameter are converted
 * when its leaf is made, because the program may write to the vector whenever no leaf reads it, also between a mark and
 * a rewind. NULL and an error if there is not enough memory. */
static const void *binding_leaves(swi_binding *b, const sw_param *param) {
    const sw_params *p = b->params;
    if (p->storage == p->type || param->buffer) /* a buffer is not rounded */
        return b->x;
    if (b->x == p->x)
        return p->copy;
    if (!b->copy && !(b->copy = sw_alloc_array_named(SW_ACCOUNT_PARAMETERS, "leaves", sw_dtype_name(p->storage),
                                                     swi_params_trained(p), swi_size(p->storage))))
        return NULL;
    swi_narrow(p->storage, param->count, (const float *)b->x + param->offset, /* 16-bit types are those of f32 */
               (uint16_t *)b->copy + param->offset);
    return b->copy;
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
        return binding_use_leaf(tape, b, swi_at(tape, slot));
    const void *leaves = binding_check_changes(tape, b, params) ? binding_leaves(b, param) : NULL;
    swi_node *node = leaves ? swi_new_node(tape, &slot) : NULL;
    if (!node)
        return (sw_tensor){0};
    const sw_dtype type = param->buffer ? params->type : params->storage;
    node->view = (sw_view){.data = (char *)(uintptr_t)leaves + (size_t)param->offset * swi_size(type),
                           .shape = param->shape,
                           .rank = param->rank,
                           .count = param->count,
                           .type = type};
    node->flags =
        (uint16_t)(SWI_LEAF | SWI_PARAM | (param->frozen || b->frozen ? 0 : SWI_NEEDS_GRAD) | swi_16_bit_flag(type));
    node->param = param;
    node->binding = (uint32_t)(b - tape->binding);
    b->pass = tape->pass;
    node->version = params->version;
    b->leaf[param->index].slot = slot;
    b->leaf[param->index].generation = node->generation;
    return binding_use_leaf(tape, b, node);
}
