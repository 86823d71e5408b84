/* The keys and values of earlier positions, which attention layers keep in the state of a tape (key_value_cache.c). */
#ifndef SWALE_NN_KEY_VALUE_CACHE_H
#define SWALE_NN_KEY_VALUE_CACHE_H

#include <swale/nn.h>

/* Keys and values [batch, capacity, features] as tensors that read the state in place, of which the first `positions`
 * and those of this pass are set. The tensors are null after an error. */
typedef struct swn_cached {
    int64_t positions; /* of the passes before this one */
    sw_tensor keys, values;
} swn_cached;

/* The number of positions of the earlier passes of a sequence; -1 after an error. */
int64_t swn_cache_positions(const sw_module *m, sw_tape *tape, int64_t batch);
/* Appends the keys and values of this pass, [batch, time, features] each. */
swn_cached swn_cache_append(const sw_module *m, sw_tensor keys, sw_tensor values);

#endif
