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
    sw_tape *tape = swi_check_environment() == SW_OK ? sw_alloc_for(SW_ACCOUNT_TAPE, sizeof *tape) : NULL;
    if (!tape)
        return NULL;
    tape->switches = SW_RECORD | SW_TRAIN | SW_UPDATE_BUFFERS;
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
    for (int i = 0; i < tape->bindings; i++) {
        sw_free(tape->binding[i].leaf);
        sw_free(tape->binding[i].copy);
    }
    sw_free(tape->binding);
    swi_arena_free(&tape->arena);
    swi_run_deferred(tape);
    sw_free(tape->deferred);
    swi_free_activations(tape);
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
    tape->mark_state = NULL;
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
        return sw_fail(SW_ERR_ARGUMENT, "tape_set_sample_ids: the tape is NULL");
    if (count < 0)
        return sw_fail(SW_ERR_ARGUMENT, "tape_set_sample_ids: a count of %lld", (long long)count);
    if (count > 0 && !ids)
        return sw_fail(SW_ERR_ARGUMENT, "tape_set_sample_ids: the ids are NULL");
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
    tape->random_keys++;
    return swi_mix(key ^ tape->random_calls++);
}

const int64_t *sw_tape_sample_ids(const sw_tape *tape, int64_t rows) {
    return tape->samples && tape->sample_count == rows ? tape->samples : NULL;
}

const int64_t *sw_tape_row_samples(const sw_tape *tape, int64_t rows, int64_t *rows_per_sample) {
    const bool whole = tape->samples && tape->sample_count > 0 && rows > 0 && rows % tape->sample_count == 0;
    *rows_per_sample = whole ? rows / tape->sample_count : 1;
    return whole ? tape->samples : NULL;
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

size_t sw_tape_touched_bytes(const sw_tape *tape) {
    return tape ? tape->arena.highest : 0;
}

size_t sw_tape_held_bytes(const sw_tape *tape) {
    return tape ? swi_arena_held(&tape->arena) + (size_t)tape->blocks * SWI_NODES * sizeof(swi_node) : 0;
}

size_t sw_tape_capacity_bytes(const sw_tape *tape) {
    return tape ? swi_arena_held(&tape->arena) : 0;
}

size_t sw_tape_high_water_bytes(const sw_tape *tape) {
    return tape ? swi_arena_most_used(&tape->arena) : 0;
}

size_t sw_tape_live_set_bytes(const sw_tape *tape) {
    return tape ? swi_arena_most_live(&tape->arena) : 0;
}

/* ---- Marks ---- */

sw_mark sw_tape_mark(sw_tape *tape) {
    sw_mark mark = {0};
    if (!tape)
        return mark;
    mark.slot = tape->count;
    mark.random_calls = tape->random_calls;
    swi_mark_state *state = swi_arena_save(&tape->arena);
    if (!state)
        return mark; /* its pass is 0, so that sw_tape_rewind fails */
    state->slot = tape->count;
    state->samples = tape->samples;
    state->sample_count = tape->sample_count;
    state->backward = tape->backward;
    state->previous = tape->mark_state;
    tape->mark_state = state;
    mark.state = state;
    mark.pass = tape->pass;
    return mark;
}

static bool mark_is_stale(const sw_tape *tape, const sw_mark *mark) {
    if (!tape || mark->pass != tape->pass || mark->slot > tape->count)
        return true;
    const swi_mark_state *s = tape->mark_state;
    while (s && s != mark->state)
        s = s->previous;
    return !s || s->slot != mark->slot;
}

/* The nodes from a slot on are no longer readers of older nodes. */
static void tape_drop_readers(sw_tape *tape, uint32_t from) {
    for (uint32_t slot = tape->count; slot-- > from;) {
        swi_node *node = swi_at(tape, slot);
        if ((node->flags & (SWI_NEEDS_GRAD | SWI_RETIRED)) == SWI_NEEDS_GRAD && node->op)
            for (int i = 0; i < node->inputs; i++) {
                swi_node *root = swi_inputs(node)[i]->root;
                if (swi_reads(node->op, i) && root->slot < from)
                    root->readers--;
            }
        if (node->op && node->op->is_view && !(node->flags & SWI_RELEASED) && node->root->slot < from)
            node->root->readers--;
    }
}

sw_status sw_tape_rewind(sw_tape *tape, sw_mark mark) {
    if (mark_is_stale(tape, &mark))
        return sw_fail(SW_ERR_STATE, "tape_rewind: the mark is not of this pass of the tape");
    if (mark.slot < tape->floor)
        return sw_fail(SW_ERR_STATE, "tape_rewind: the mark is older than the backward that is under way");
    const swi_mark_state *state = tape->mark_state = mark.state;
    tape_drop_readers(tape, mark.slot);
    /* A backward since the mark may have put gradients of older tensors in memory that is freed now, so all of them are
     * discarded. Inside a vjp there are none, because node_check_inside (backward.c) refuses them. */
    for (uint32_t slot = 0; tape->floor == 0 && state->backward != tape->backward && slot < mark.slot; slot++) {
        swi_node *node = swi_at(tape, slot);
        node->grad = NULL;
        node->kept = NULL;
    }
    tape->count = mark.slot;
    tape->random_calls = mark.random_calls;
    tape->samples = state->samples;
    tape->sample_count = state->sample_count;
    swi_arena_restore(&tape->arena, state);
    return SW_OK;
}

void swi_forget_marks(sw_tape *tape, const swi_mark_state *last) {
    while (tape->mark_state && tape->mark_state != last) {
        swi_mark_state *state = tape->mark_state;
        tape->mark_state = state->previous;
        swi_arena_forget(&tape->arena, state);
    }
}

void sw_tape_rewind_random(sw_tape *tape, sw_mark mark) {
    if (tape && mark.pass == tape->pass)
        tape->random_calls = mark.random_calls;
}

/* ---- Nodes ---- */

/* More nodes than any pass needs. A program that forgets sw_tape_reset reaches this number. */
enum { MOST_NODES = 1 << 24 };

sw_status swi_more_nodes(sw_tape *tape) {
    if (tape->blocks >= MOST_NODES / SWI_NODES)
        return sw_fail(SW_ERR_STATE,
                       "tape: %u tensors since the last reset, and %zu MiB: call sw_tape_reset after each "
                       "step or evaluation",
                       tape->count, sw_tape_held_bytes(tape) >> 20);
    if (tape->blocks == tape->block_capacity) {
        const uint32_t capacity = tape->block_capacity ? 2 * tape->block_capacity : 16;
        SW_TRY(sw_resize_array_for(SW_ACCOUNT_TAPE, &tape->block, tape->blocks, capacity, sizeof *tape->block));
        tape->block_capacity = capacity;
    }
    swi_node *nodes = swi_alloc_raw(SW_ACCOUNT_TAPE, SWI_NODES * sizeof *nodes);
    if (!nodes)
        return SW_ERR_MEMORY;
    tape->block[tape->blocks++] = nodes;
    return SW_OK;
}
