/* The state of layers between forward passes. */
#include <swale/memory.h>
#include <swale/status.h>

#include "core/base/allocation.h"
#include "core/tape/node.h"
#include "core/tape/state_memory.h"

#include <string.h>

/* The memory of one layer; of one call of it, if a pass calls it several times. */
typedef struct state_entry {
    const void *owner;
    uint64_t id;       /* of the parameters of the owner's model, because another layer may get the owner's address */
    uint64_t pass;     /* the last pass that used it */
    uint64_t call;     /* the call of the layer in that pass */
    uint64_t sequence; /* the sequence whose contents it has */
    size_t bytes;      /* that the layer has asked for in this sequence */
    size_t capacity;
    char *memory;
} state_entry;

struct sw_state {
    state_entry *entry;
    int entries, capacity;
    int depth;               /* of calls of sw_forward */
    uint64_t calls, call;    /* the number of calls of sw_forward so far; the innermost one that is under way */
    uint64_t pass, sequence; /* both from 1, so that a new entry is of an earlier pass and sequence */
    int64_t batch;           /* of the sequence; -1: not known yet */
    bool failed;             /* a pass of the sequence failed */
};

sw_state *sw_state_new(void) {
    sw_state *state = sw_alloc(sizeof *state);
    if (state)
        *state = (sw_state){.pass = 1, .sequence = 1, .batch = -1};
    return state;
}

void sw_state_free(sw_state *state) {
    if (!state || !sw_may_free(state, "state"))
        return;
    for (int i = 0; i < state->entries; i++)
        sw_free(state->entry[i].memory);
    sw_free(state->entry);
    sw_free(state);
}

void sw_state_reset(sw_state *state) {
    if (!state)
        return;
    state->sequence++;
    state->batch = -1;
    state->failed = false;
}

size_t sw_state_bytes(const sw_state *state) {
    size_t bytes = 0;
    for (int i = 0; state && i < state->entries; i++)
        bytes += state->entry[i].capacity;
    return bytes;
}

sw_status sw_tape_set_state(sw_tape *tape, sw_state *state) {
    if (!tape)
        return sw_fail(SW_ERR_ARGUMENT, "tape_set_state: the tape is NULL");
    tape->state = state;
    return SW_OK;
}

sw_state *sw_tape_state(const sw_tape *tape) {
    return tape ? tape->state : NULL;
}

/* ---- Passes ---- */

sw_status swi_state_enter(sw_state *state, const sw_tape *tape, uint64_t *outer) {
    if (tape->switches & SW_RECORD)
        return sw_fail(SW_ERR_STATE, "forward: the tape has a state, through which no gradient flows (turn SW_RECORD "
                                     "off, or take the state off the tape by sw_tape_set_state)");
    if (state->failed && state->depth == 0)
        return sw_fail(SW_ERR_STATE, "forward: an earlier pass with this state failed, so that its layers are not at "
                                     "one position (call sw_state_reset)");
    if (state->depth++ == 0)
        state->pass++;
    *outer = state->call;
    state->call = ++state->calls;
    return SW_OK;
}

void swi_state_leave(sw_state *state, uint64_t outer, bool good) {
    state->depth--;
    state->call = outer;
    state->failed |= !good;
}

/* ---- Memory ---- */

/* The entry of this call of the layer: the one that it has used already, or else the first one of the layer that this
 * pass has not used. A new one if there is none; NULL after an error. */
static state_entry *state_find(sw_state *state, const void *owner, uint64_t id) {
    for (int i = 0; i < state->entries; i++) {
        state_entry *e = &state->entry[i];
        if (e->owner == owner && e->id == id && (e->pass != state->pass || e->call == state->call))
            return e;
    }
    if (sw_grow_array(&state->entry, &state->capacity, state->entries, 8, sizeof *state->entry) != SW_OK)
        return NULL;
    state->entry[state->entries] = (state_entry){.owner = owner, .id = id};
    return &state->entry[state->entries++];
}

/* Makes the memory at least `bytes` long; bytes that the sequence has not used are 0. */
static sw_status state_grow(state_entry *e, size_t bytes) {
    if (bytes > e->capacity) {
        SW_TRY(sw_resize_array(&e->memory, (int64_t)e->bytes, (int64_t)bytes, 1));
        e->capacity = bytes;
    } else {
        memset(e->memory + e->bytes, 0, bytes - e->bytes);
    }
    e->bytes = bytes;
    return SW_OK;
}

void *swi_state_memory(sw_state *state, const void *owner, uint64_t id, const char *name, int64_t batch, size_t bytes) {
    if (state->batch >= 0 && state->batch != batch) {
        sw_fail(SW_ERR_SHAPE,
                "layer %s: a batch of %lld, but the state has sequences of a batch of %lld (call sw_state_reset "
                "before another batch)",
                name, (long long)batch, (long long)state->batch);
        return NULL;
    }
    state_entry *e = state_find(state, owner, id);
    if (!e)
        return NULL;
    bytes += bytes == 0; /* the address of no bytes is valid, too */
    if (e->sequence != state->sequence)
        e->bytes = 0;
    if (bytes > e->bytes && state_grow(e, bytes) != SW_OK)
        return NULL;
    e->sequence = state->sequence;
    e->pass = state->pass;
    e->call = state->call;
    state->batch = batch;
    return e->memory;
}
