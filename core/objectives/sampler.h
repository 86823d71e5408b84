/* The order of samples: shuffled epochs, or independent draws. */
#ifndef SWALE_SAMPLER_H
#define SWALE_SAMPLER_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which samples come next: seeded, its state a few numbers. */
typedef enum sw_order {
    SW_SHUFFLE = 0, /* every sample once an epoch, in a new order each epoch */
    SW_SEQUENTIAL,
    SW_WITH_REPLACEMENT /* independent draws */
} sw_order;
typedef struct sw_sampler sw_sampler;
/* n ≥ 1 samples, 1 ≤ batch; the last batch of an epoch holds what is left over. */
SW_API sw_sampler *sw_sampler_new(int64_t n, int64_t batch, sw_order order, uint64_t seed);
SW_API void sw_sampler_free(sw_sampler *sampler);
/* The next batch: its size; *ids until the next call. Starts a new epoch by itself. */
SW_API int64_t sw_sampler_next(sw_sampler *sampler, const int64_t **ids);
/* The batch after that one, without going there; 0 at the end of the epoch. For prefetching. */
SW_API int64_t sw_sampler_peek(const sw_sampler *sampler, const int64_t **ids);
SW_API int64_t sw_sampler_steps_per_epoch(const sw_sampler *sampler);
SW_API int64_t sw_sampler_epoch(const sw_sampler *sampler); /* of the batch given last, from 0 */
SW_API bool sw_sampler_at_end(const sw_sampler *sampler);   /* that batch was its epoch's last */
/* How many samples of that epoch have been given, 0 to n. With the epoch it is the sampler's whole state:
 * a new sampler of equal n, batch, order and seed continues from there after sw_sampler_seek. */
SW_API int64_t sw_sampler_position(const sw_sampler *sampler);
/* Goes to where `position` samples of `epoch` (from 0) have been given. A position is a multiple of the
 * batch or n; others, and negative numbers, are errors, and the sampler stays where it is. */
SW_API sw_status sw_sampler_seek(sw_sampler *sampler, int64_t epoch, int64_t position);

#ifdef __cplusplus
}
#endif
#endif
