/* Random numbers: Philox, and streams over it. */
#ifndef SWALE_RANDOM_H
#define SWALE_RANDOM_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Philox4x32-10 (Salmon et al., SC 2011): a counter goes in, 128 random bits come out. */
SW_API void sw_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4]);
/* A key for a named place that draws numbers: seed and name, well mixed. */
SW_API uint64_t sw_rng_key(uint64_t seed, const char *site);

/* A stream over Philox: the whole state is these numbers. */
typedef struct sw_rng {
    uint64_t key;
    uint64_t position; /* 32-bit words drawn so far */
} sw_rng;
SW_API uint32_t sw_rng_next(sw_rng *rng);
SW_API double sw_rng_uniform(sw_rng *rng);                 /* [0, 1), 53 bits */
SW_API double sw_rng_normal(sw_rng *rng);                  /* mean 0, variance 1 (Box-Muller) */
SW_API uint64_t sw_rng_below(sw_rng *rng, uint64_t bound); /* 0..bound-1, unbiased; bound ≥ 1 */

#ifdef __cplusplus
}
#endif
#endif
