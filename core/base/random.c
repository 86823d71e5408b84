/* Philox4x32-10: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2,
 * 3", SC 2011. The known-answer vectors of the authors' Random123 are in the tests. */
#include <swale/random.h>

#include "core/base/allocation.h"

#include <math.h>

void sw_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4]) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint64_t swi_mix(uint64_t z) { /* the finalizer of splitmix64 */
    z += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint64_t sw_rng_key(uint64_t seed, const char *site) {
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */
    for (const char *p = site; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001B3u;
    return swi_mix(swi_mix(seed) ^ hash);
}

uint32_t sw_rng_next(sw_rng *rng) {
    uint64_t block = rng->position / 4;
    uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), 0, 0}, out[4];
    sw_philox(rng->key, counter, out);
    return out[rng->position++ % 4];
}

/* The next two numbers of the stream as one, the first in the upper half. If both are in one block, the block is
 * computed only once. */
static uint64_t rng_next_pair(sw_rng *rng) {
    const uint64_t block = rng->position / 4;
    uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), 0, 0}, out[4];
    const unsigned at = (unsigned)(rng->position % 4);
    if (at == 3) {
        const uint64_t high = sw_rng_next(rng);
        return high << 32 | sw_rng_next(rng);
    }
    sw_philox(rng->key, counter, out);
    rng->position += 2;
    return (uint64_t)out[at] << 32 | out[at + 1];
}

double sw_rng_uniform(sw_rng *rng) {
    return (double)(rng_next_pair(rng) >> 11) * 0x1p-53;
}

double sw_rng_normal(sw_rng *rng) {
    double u = 1 - sw_rng_uniform(rng), v = sw_rng_uniform(rng); /* u in (0, 1] */
    return sqrt(-2 * log(u)) * cos(6.283185307179586477 * v);
}

uint64_t sw_rng_below(sw_rng *rng, uint64_t bound) {
    /* Numbers of the last, incomplete interval of length `bound` are rejected, so that the result is unbiased. */
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound, draw;
    do
        draw = rng_next_pair(rng);
    while (draw >= limit);
    return draw % bound;
}
