/* The state that layers keep from one forward pass to the next: the keys and values of earlier positions (a key-value
 * cache), the hidden state of a recurrent layer. With a state, a network computes a sequence in parts:
 *
 *     sw_state *state = sw_state_new();
 *     sw_tape_set_switch(tape, SW_RECORD | SW_TRAIN, false);
 *     sw_tape_set_state(tape, state);
 *     sw_tensor first = sw_forward(net, prompt);   // [batch, 5]: positions 0 to 4
 *     sw_tensor next = sw_forward(net, id);        // [batch, 1]: position 5, which sees the positions before it
 *     sw_state_reset(state);                       // the next call begins a new sequence
 *
 * The outputs are those of one forward pass of the whole sequence, up to rounding. Each call of sw_forward from the
 * program continues the sequence; layers that a layer calls belong to the same pass. sw_tape_reset does not change the
 * state. Layers get their memory by sw_module_state (module.h).
 */
#ifndef SWALE_STATE_H
#define SWALE_STATE_H

#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sw_state sw_state;

/* Makes a state in which no sequence has begun; NULL after an error. It may hold the states of any number of models. */
SW_API sw_state *sw_state_new(void);
/* Frees the state. Take it off the tapes before (sw_tape_set_state with NULL), unless they are not used again. Accepts
 * NULL. */
SW_API void sw_state_free(sw_state *state);
/* Ends the sequence: the next forward pass begins another one, which may have another batch size. The memory is kept,
 * so that the next sequence allocates none unless it is longer. */
SW_API void sw_state_reset(sw_state *state);
/* The bytes that layers keep in it. */
SW_API size_t sw_state_bytes(const sw_state *state);
/* Gives the tape a state, or with NULL none, as at first. The state must outlive its use by the tape. Only one thread
 * may use it at a time, so that each thread needs a tape and a state; a state may move from one tape to another.
 *
 * While the tape has a state, a call of sw_forward with SW_RECORD on is an error, because no gradient flows into
 * earlier passes. If a forward pass fails, some layers have continued and others have not; further passes are errors
 * then until sw_state_reset. */
SW_API sw_status sw_tape_set_state(sw_tape *tape, sw_state *state);
SW_API sw_state *sw_tape_state(const sw_tape *tape); /* NULL: none */

#ifdef __cplusplus
}
#endif
#endif
