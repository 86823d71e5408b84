/* Memory that an operation requests: for the duration of a call, and from forward to vjp. */
#include "core/tape/engine.h"

sw_status swi_refuse_after_mark(const sw_call *call) {
    return sw_fail(SW_ERR_STATE,
                   "%s: memory for a cotangent, scratch or saved values must be requested "
                   "before sw_tape_mark, because the rewind discards it",
                   call->op->name);
}

void *sw_call_save(sw_call *call, size_t bytes) {
    swi_engine *e = call->engine;
    if (swi_mark_is_open(call))
        return NULL;
    if (e->node->saved && bytes > e->node->saved_bytes) {
        sw_fail(SW_ERR_STATE, "%s: %zu bytes to save after %zu", call->op->name, bytes, e->node->saved_bytes);
        return NULL;
    }
    if (!e->node->saved) {
        e->node->saved = swi_arena_alloc(&call->tape->arena, bytes);
        e->node->saved_bytes = bytes;
    }
    call->saved = e->node->saved;
    return call->saved;
}

void *sw_call_scratch(sw_call *call, size_t bytes) {
    swi_engine *e = call->engine;
    if (swi_mark_is_open(call))
        return NULL;
    if (e->scratches == (int)(sizeof e->scratch / sizeof *e->scratch)) {
        sw_fail(SW_ERR_STATE, "%s: too many scratch blocks in one call", call->op->name);
        return NULL;
    }
    void *memory = swi_arena_alloc(&call->tape->arena, bytes);
    if (memory) {
        e->scratch[e->scratches].memory = memory;
        e->scratch[e->scratches++].bytes = bytes;
    }
    return memory;
}
