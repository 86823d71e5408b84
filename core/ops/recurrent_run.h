/* The computations of LSTM and GRU over sequences, and their gradients (recurrent_run.c). */
#ifndef SWALE_OPS_RECURRENT_RUN_H
#define SWALE_OPS_RECURRENT_RUN_H

#include <swale/op.h>
#include <swale/recurrent.h>

/* A call whose shapes have been checked. Inputs: x, weight_ih, weight_hh, and those of the optional ones that are not
 * -1. */
typedef struct swi_recurrent {
    bool lstm, reverse;
    sw_recurrent_result result;
    sw_dtype type;
    int64_t batch, time, inputs, hidden;
    int64_t gates;                              /* blocks of `hidden` rows in the weights: 4 of an LSTM, 3 of a GRU */
    int64_t state;                              /* elements of a state */
    int bias_ih, bias_hh, first_state, lengths; /* numbers of inputs, or -1 */
} swi_recurrent;

sw_status swi_recurrent_forward(sw_call *call, const swi_recurrent *recurrent);
sw_status swi_recurrent_vjp(sw_call *call, const swi_recurrent *recurrent);

#endif
