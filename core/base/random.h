/* Random numbers: the counter-based generator Philox, and streams of numbers from it.
 *
 *     sw_rng rng = {.key = sw_rng_key(seed, "my_method")};
 *     double u = sw_rng_uniform(&rng);
 *
 * Equal keys give equal streams, on every machine (sw_rng_normal: up to the rounding of the C library's log and cos).
 */
#ifndef SWALE_RANDOM_H
#define SWALE_RANDOM_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011): computes 128 random bits from a key and a counter. It keeps no
 * state. */
SW_API void sw_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4]);
/* Computes a key from a seed and the name of the place that draws the numbers, so that streams of different places are
 * independent. */
SW_API uint64_t sw_rng_key(uint64_t seed, const char *site);

/* A stream of random numbers. These two numbers are its whole state, so that it can be copied or saved. */
typedef struct sw_rng {
    uint64_t key;
    uint64_t position; /* 32-bit words drawn so far */
} sw_rng;
SW_API uint32_t sw_rng_next(sw_rng *rng);                  /* 32 random bits */
SW_API double sw_rng_uniform(sw_rng *rng);                 /* uniform in [0, 1), 53 random bits */
SW_API double sw_rng_normal(sw_rng *rng);                  /* normal with mean 0 and variance 1 (Box-Muller) */
SW_API uint64_t sw_rng_below(sw_rng *rng, uint64_t bound); /* uniform over 0..bound-1, without bias; bound ≥ 1 */

#ifdef __cplusplus
}
#endif
#endif
