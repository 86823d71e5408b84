/* The state of one call of an operation. */
#ifndef SWALE_TAPE_ENGINE_H
#define SWALE_TAPE_ENGINE_H

#include "core/tape/node.h"

/* The state of one call behind sw_call.engine. */
enum { SWI_UNASKED = 0, SWI_DIRECT, SWI_TEMPORARY, SWI_PASSED };
typedef struct swi_engine {
    sw_tape *tape;
    swi_node *node;
    swi_node *const *input; /* [inputs] */
    unsigned char *state;   /* vjp: [inputs] */
    void **target;          /* vjp: [inputs] */
    swi_stash *stash;       /* of the newest mark when the call began */
    int scratches;
    sw_status failure; /* vjp: of sw_call_grad */
    struct {
        void *memory;
        size_t bytes;
    } scratch[SWI_SCRATCH];
} swi_engine;

/* Gives back what sw_call_scratch took. */
static inline void swi_release_scratch(swi_engine *e) {
    for (int i = 0; i < e->scratches; i++)
        swi_arena_release(&e->tape->arena, e->scratch[i].memory, e->scratch[i].bytes);
    e->scratches = 0;
}

/* An error if a mark was taken since the call began. */
sw_status swi_refuse_after_mark(const sw_call *call);
static inline bool swi_mark_is_open(const sw_call *call) {
    const swi_engine *e = call->engine;
    return e->stash != call->tape->stash && swi_refuse_after_mark(call) != SW_OK;
}

/* As sw_call_set_shape_broadcast, but the types of the inputs are not checked, and that of the output is given. */
sw_status sw_call_set_shape_broadcast_of(sw_call *call, sw_dtype type);

#endif
