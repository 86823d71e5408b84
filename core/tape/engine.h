/* The state of one call of an operation. */
#ifndef SWALE_TAPE_ENGINE_H
#define SWALE_TAPE_ENGINE_H

#include "core/tape/node.h"

/* How a vjp has returned the gradient of an input: not yet, directly in the memory of the gradient, in temporary
 * memory, or as the cotangent (sw_call_pass_grad). */
enum { SWI_NOT_RETURNED = 0, SWI_DIRECT, SWI_TEMPORARY, SWI_PASSED };
/* sw_call.engine points to this struct. */
typedef struct swi_engine {
    sw_tape *tape;
    swi_node *node;
    swi_node *const *input;     /* [inputs] */
    unsigned char *state;       /* vjp: [inputs], SWI_NOT_RETURNED to SWI_PASSED */
    void **target;              /* vjp: [inputs], the memory that sw_call_grad returned */
    swi_mark_state *mark_state; /* the newest mark when the call began */
    int scratches;
    sw_status failure; /* vjp: the first failure of sw_call_grad */
    struct {
        void *memory;
        size_t bytes;
    } scratch[SWI_SCRATCH];
} swi_engine;

/* Releases the memory that sw_call_scratch allocated. */
static inline void swi_release_scratch(swi_engine *e) {
    for (int i = 0; i < e->scratches; i++)
        swi_arena_release(&e->tape->arena, e->scratch[i].memory, e->scratch[i].bytes);
    e->scratches = 0;
}

/* Runs backward from t. The cotangent is `scale` times that of the program. */
sw_status swi_backward_run(sw_tensor t, const void *cotangent, double scale, const char *what);

/* Inside a vjp: runs the vjps of a segment that it has recorded, from its result down. Reads the cotangent in place. No
 * effect if no gradient flows into the result. */
sw_status swi_backward_segment(sw_tape *tape, swi_node *result, void *cotangent);

/* For a call with an input in f16 or bf16: `op` if it takes these inputs itself, else an operation that calls `op` on
 * copies in f32 (widen.c). It is in the arena, so that it exists as long as its node. NULL after an error. */
const sw_op *swi_op_for_16_bit(sw_tape *tape, const sw_op *op, int count, const sw_view *const *in);
/* The name of the operation of sw_recompute, by which the engine recognizes it: it passes inputs of any types to a
 * function of the program. */
extern const char swi_recompute_name[];
/* After a vjp: adds what it has returned to the gradients of the inputs, and sums over broadcast axes. */
sw_status swi_collect_gradients(sw_tape *tape, swi_node *node, sw_call *call, swi_engine *e);

/* The error for memory that is requested after a mark. */
sw_status swi_refuse_after_mark(const sw_call *call);
/* Whether a mark was taken since the call began, which is an error. */
static inline bool swi_mark_is_open(const sw_call *call) {
    const swi_engine *e = call->engine;
    return e->mark_state != call->tape->mark_state && swi_refuse_after_mark(call) != SW_OK;
}

#endif
