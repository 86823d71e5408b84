/* The order of samples: shuffled epochs, epochs in order, or independent draws.
 *
 *     sw_sampler *sampler = sw_sampler_new(n, 64, SW_SHUFFLE, seed);
 *     const int64_t *ids;
 *     int64_t count = sw_sampler_next(sampler, &ids);
 *
 * Estimators and loaders contain a sampler; most programs need none.
 */
#ifndef SWALE_SAMPLER_H
#define SWALE_SAMPLER_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The order in which samples are drawn. An epoch always consists of n samples. */
typedef enum sw_order {
    SW_SHUFFLE = 0,     /* every sample once per epoch, in a new order in each epoch */
    SW_SEQUENTIAL,      /* every sample once per epoch, by id */
    SW_WITH_REPLACEMENT /* independent draws */
} sw_order;
typedef struct sw_sampler sw_sampler;
/* Makes a sampler for n ≥ 1 samples in batches of `batch` ≥ 1; the last batch of an epoch holds the remaining samples.
 * The order is a function of the seed and the epoch. NULL after an error. */
SW_API sw_sampler *sw_sampler_new(int64_t n, int64_t batch, sw_order order, uint64_t seed);
/* Frees the sampler. Accepts NULL. */
SW_API void sw_sampler_free(sw_sampler *sampler);
/* Returns the size of the next batch and sets *ids to its ids, which are valid until the next call. After the last
 * batch of an epoch it starts the next epoch. */
SW_API int64_t sw_sampler_next(sw_sampler *sampler, const int64_t **ids);
/* As sw_sampler_next, without advancing: the batch that the next call will return. 0 at the end of the epoch. For
 * prefetching. */
SW_API int64_t sw_sampler_peek(const sw_sampler *sampler, const int64_t **ids);
SW_API int64_t sw_sampler_steps_per_epoch(const sw_sampler *sampler); /* the number of batches in an epoch */
SW_API int64_t sw_sampler_epoch(const sw_sampler *sampler);           /* the epoch of the most recent batch, from 0 */
SW_API bool sw_sampler_at_end(const sw_sampler *sampler);             /* that batch was the last of its epoch */
/* The number of samples of that epoch that have been returned, 0 to n. Epoch and position are the whole state of a
 * sampler: a new sampler with equal n, batch, order and seed continues from there after sw_sampler_seek. */
SW_API int64_t sw_sampler_position(const sw_sampler *sampler);
/* Moves the sampler to the state in which `position` samples of `epoch` (from 0) have been returned. A position is a
 * multiple of the batch, or n. Other positions, and negative numbers, are errors and do not change the sampler. */
SW_API sw_status sw_sampler_seek(sw_sampler *sampler, int64_t epoch, int64_t position);

#ifdef __cplusplus
}
#endif
#endif
