/* Sequences of ids that a network continues: text from a language model. */
#ifndef SWALE_GENERATE_H
#define SWALE_GENERATE_H

#include <swale/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Options of sw_generate. */
typedef struct sw_generate_options {
    size_t size; /* sizeof(sw_generate_options) */
    /* The logits are divided by it before the softmax. 0: the most likely id, the first of equal ones, without random
     * numbers. */
    double temperature;
    int64_t top_k; /* draw from the k most likely ids; 0: from all */
    /* Draw from the fewest most likely ids whose probabilities add up to at least top_p, 0 < top_p ≤ 1 (nucleus
     * sampling: A. Holtzman et al., ICLR 2020). The probabilities are those after temperature and top_k. 0: 1. */
    double top_p;
    uint64_t seed; /* of the random numbers; equal arguments give equal ids */
    /* The largest number of ids that the network gets at once. 0: the length of its learned positions
     * (sw_nn_position), or any number if it has none. */
    int64_t length;
    /* Compute every id from the whole sequence, without a state. Networks with a layer that does not continue sequences
     * (`continues` in module.h) are always computed in this way. */
    bool plain;
    /* Called with each new id. If it returns false, no further id is generated. NULL: none. */
    bool (*token)(void *user, int32_t id);
    void *user;
} sw_generate_options;

/* Continues a prompt of 1 or more ids by `count` ids, which are written to out[count]; *made, unless made is NULL, is
 * the number of them, which is below `count` only after an error or if `token` has returned false. The network takes
 * ids [1, time] and returns logits [1, time, vocabulary] or, of the last position alone, [1, vocabulary]. It runs as in
 * evaluation, without dropout. options NULL: the defaults.
 *
 *     int32_t prompt[] = {1, 2, 3}, out[100];
 *     sw_generate(net, 3, prompt, 100, out, NULL,
 *                 &SW_OPTIONS(sw_generate_options, .temperature = 0.8, .top_k = 200, .seed = 1));
 *
 * The network computes each position once, and keeps what later positions need in a state (state.h), until the sequence
 * has `length` ids. From then on it gets the last `length` ids for every new id, at the positions from 0 on, as nanoGPT
 * does; each id then takes as long as a prompt of that length.
 *
 * The same threads as for sw_predict (nn.h) may call it. From the second call on it allocates no memory, unless the
 * sequence is longer. */
SW_API sw_status sw_generate(sw_model *model, int64_t prompt_count, const int32_t *prompt, int64_t count, int32_t *out,
                             int64_t *made, const sw_generate_options *options);

#ifdef __cplusplus
}
#endif
#endif
