/* What sw_forward and sw_module_state need of a state (state.c). */
#ifndef SWALE_TAPE_STATE_MEMORY_H
#define SWALE_TAPE_STATE_MEMORY_H

#include <swale/state.h>

/* Begin and end a call of sw_forward, which may be inside another one. The outermost one is a pass. `outer` passes the
 * outer call from one function to the other. An error if the tape records, or if an earlier pass failed;
 * swi_state_leave must not be called then. */
sw_status swi_state_enter(sw_state *state, const sw_tape *tape, uint64_t *outer);
void swi_state_leave(sw_state *state, uint64_t outer, bool good);

/* The memory of the layer `owner` of the parameters with this id: see sw_module_state. `name` is that of the layer, for
 * messages. */
void *swi_state_memory(sw_state *state, const void *owner, uint64_t id, const char *name, int64_t batch, size_t bytes);

#endif
