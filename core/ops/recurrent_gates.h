/* One step of an LSTM or a GRU for one sample, without the products: the gates, the new state, and their gradients
 * (recurrent_gates.c). */
#ifndef SWALE_OPS_RECURRENT_GATES_H
#define SWALE_OPS_RECURRENT_GATES_H

#include <swale/parallel.h>

/* All vectors have `hidden` elements, unless a comment states another number, in the type of the kernel.
 *
 * A row of four vectors holds what the gradient needs: i, f, g, o of an LSTM; r, z, n and q = W_hn h + b_hn of a
 * GRU. */
typedef struct swi_gates {
    int64_t hidden;
    void *row;         /* [4 hidden] */
    const void *added; /* forward: W_i x + b_i, [4 hidden] or [3 hidden], which may be in `row`; NULL for 0 */
    const void *input; /* forward: W_h h + b_h, [4 hidden] or [3 hidden] */
    const void *h_before, *c_before; /* the state before the step */
    void *h, *c;                     /* forward: the state after the step */
    void *out;                       /* forward: another place for h, or NULL */
    /* Backward: */
    const void *dh_product; /* the part of dh that goes through W_h; NULL after the last step */
    const void *dh_added;   /* the gradient of h from the result of this step; or NULL */
    const void *dc_added;   /* that of c; or NULL */
    void *dh, *dc; /* the gradient of the state after the step without these parts, which becomes that of the state
                    * before it without the part through W_h */
    void *d_row;   /* [4 hidden]: the gradients before the nonlinearities, i, f, g, o or r, z, n, q */
} swi_gates;

/* args: swi_gates; begin and end are ignored */
extern const sw_kernels swi_lstm_forward_kernels, swi_lstm_backward_kernels, swi_gru_forward_kernels,
    swi_gru_backward_kernels;

#endif
