/* Attention of short sequences (attention_short.c). */
#ifndef SWALE_KERNELS_ATTENTION_SHORT_H
#define SWALE_KERNELS_ATTENTION_SHORT_H

#include "core/kernels/attention_tiles.h"

enum {
    SWI_SHORT_MOST = 4,      /* positions */
    SWI_SHORT_GROUP = 16,    /* samples of an item: the most lanes of a register */
    SWI_SHORT_FEATURES = 256 /* of features and values together, so that the arrays of an item stay in the cache */
};

/* Whether the kernels compute this problem: f32 or f64; as many queries as keys, 2 to 4; multiples of
 * SWI_ATTENTION_GROUP as numbers of features and values, at most SWI_SHORT_FEATURES together; at least half a group of
 * samples; no mask or padding, except a causal mask from position 0 on; no dropout. */
bool swi_short_fits(const sw_attention_problem *problem);
/* The scratch of an item. */
size_t swi_short_bytes(const sw_attention_problem *problem);
/* args: items, whose `begin` and `end` are samples, at most SWI_SHORT_GROUP. */
extern const sw_kernels swi_short_forward_kernels, swi_short_backward_kernels;

#endif
