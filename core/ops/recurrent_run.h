/* LSTM and GRU over sequences. The samples of a batch are divided into blocks of rows, and each block runs all of its
 * steps on one thread, so that threads need not wait for one another at every step: a product with weights that are
 * packed once for all steps, and then the gates of each row. The gradients of the weights are products over all steps,
 * after them. The blocks depend on the shapes alone. Forward saves, for each sample and step, the gates and the state
 * before the step. There are three forms:
 *
 *   - joined, for an LSTM whose weights fit in the second-level cache: the product of a step is that of [x, h] with
 *     [W_ih, W_hh], and backward has one for dx and one for dh. The saved row before a step is [x, h]. Saved rows are
 *     in the order in which they are used, [step, sample] in each block, so that the products of a step read them in
 *     place.
 *   - otherwise the products with the inputs of all steps are one product before the steps, whose result is in the rows
 *     of the gates until the steps replace it, and dx is one product after them.
 *   - a step that is alone, as that of a cell, does not pack weights: W_hh h is one product of the whole batch. */
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
