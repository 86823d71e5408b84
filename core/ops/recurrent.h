/* Recurrent networks over sequences: LSTM (Hochreiter, Schmidhuber, Neural Computation 1997; with the forget gate of
 * Gers et al., 2000) and GRU (Cho et al., EMNLP 2014). Sequences are [batch, time, features].
 *
 *     sw_tensor y = sw_lstm(x, weight_ih, weight_hh,
 *                           &SW_OPTIONS(sw_recurrent_options, .bias_ih = bias_ih, .bias_hh = bias_hh));
 *
 * The equations, the order of the gates and the two biases are PyTorch's. With the hidden state h and the cell state c
 * of the step before, and rows i, f, g, o (or r, z, n) of the weights and the biases:
 *
 *     LSTM   i = σ(W_ii x + b_ii + W_hi h + b_hi)            GRU   r = σ(W_ir x + b_ir + W_hr h + b_hr)
 *            f = σ(W_if x + b_if + W_hf h + b_hf)                  z = σ(W_iz x + b_iz + W_hz h + b_hz)
 *            g = tanh(W_ig x + b_ig + W_hg h + b_hg)               n = tanh(W_in x + b_in + r (W_hn h + b_hn))
 *            o = σ(W_io x + b_io + W_ho h + b_ho)                  h' = (1 - z) n + z h
 *            c' = f c + i g,  h' = o tanh(c')
 *
 * The state of a sample is the vector [h] of a GRU and the vector [h, c] of an LSTM: one tensor, which a program can
 * take from one call to the next. To train on a long text in windows, it passes the last state of a window, detached,
 * to the next one (truncated backpropagation through time).
 *
 * The conventions of ops.h apply to types and null tensors. f16 and bf16 are computed in f32 and rounded once. The
 * results have the same bits for every number of threads, and on the levels avx2 and avx512 of sw_cpu_name; level
 * baseline has no fused multiply-addition. The steps of a sample do not depend on the other samples of its batch, but
 * products of another number of rows may be rounded differently. */
#ifndef SWALE_RECURRENT_H
#define SWALE_RECURRENT_H

#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the result of a recurrent operation holds. `state` is hidden, and 2·hidden for an LSTM. */
typedef enum sw_recurrent_result {
    SW_RECURRENT_OUTPUTS = 0, /* h after each step, [batch, time, hidden] */
    SW_RECURRENT_STATES,      /* the state after each step, [batch, time, state] */
    SW_RECURRENT_LAST         /* the state after the last step of each sample, [batch, state] */
} sw_recurrent_result;

/* Options of the operations below. If a tensor among them is null while an error is pending, the result is a null
 * tensor, because that tensor may be the one that failed. */
typedef struct sw_recurrent_options {
    size_t size;                /* sizeof(sw_recurrent_options) */
    sw_tensor bias_ih, bias_hh; /* [gates·hidden]: 4·hidden of an LSTM, 3·hidden of a GRU; null: 0 */
    sw_tensor state;            /* before the first step, [batch, state]; null: 0 */
    /* i32 [batch], from 0 to time; null: all samples have `time` steps. A sample ends after its length: later steps do
     * not change its state, and their outputs and states in the result are 0 (as in PyTorch's packed sequences). The
     * later elements of x get the gradient 0. They must be finite, because they are multiplied by 0. */
    sw_tensor lengths;
    /* Each sample is read from its last step to its first. The result of a step is still at its place in time. */
    bool reverse;
    sw_recurrent_result result;
} sw_recurrent_options;

/* x [batch, time, inputs], weight_ih [4·hidden, inputs], weight_hh [4·hidden, hidden]. options NULL: no bias, the state
 * 0, all steps, forward, outputs. */
SW_API sw_tensor sw_lstm(sw_tensor x, sw_tensor weight_ih, sw_tensor weight_hh, const sw_recurrent_options *options);
/* x [batch, time, inputs], weight_ih [3·hidden, inputs], weight_hh [3·hidden, hidden]. */
SW_API sw_tensor sw_gru(sw_tensor x, sw_tensor weight_ih, sw_tensor weight_hh, const sw_recurrent_options *options);

/* One step: x [batch, inputs] and the state of the options → the next state, [batch, 2·hidden] for an LSTM (the first
 * half is the output h) and [batch, hidden] for a GRU. The options lengths, reverse and result must not be set. */
SW_API sw_tensor sw_lstm_cell(sw_tensor x, sw_tensor weight_ih, sw_tensor weight_hh,
                              const sw_recurrent_options *options);
SW_API sw_tensor sw_gru_cell(sw_tensor x, sw_tensor weight_ih, sw_tensor weight_hh,
                             const sw_recurrent_options *options);

#ifdef __cplusplus
}
#endif
#endif
