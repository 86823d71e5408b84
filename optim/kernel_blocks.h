/* Loops of rules over blocks of elements. Include this file after kernel.h, in every pass. A rule with divisions and
 * roots computes the numerators and radicands of a block, then all roots (kernel_roots.h), then the quotients.
 *
 * Divisions are slow, and while the processor waits for them it does not issue the loads of later blocks. If the
 * vectors are too long for the cache, the loop therefore prefetches later blocks on processors where this shortens a
 * step (sw_cpu_needs_prefetch).
 */

#ifndef SWALE_KERNEL_BLOCKS_H
#define SWALE_KERNEL_BLOCKS_H
#include <swale/method.h>

enum {
    SW_BLOCK_LENGTH = 64,
    SW_LONG_VECTOR = 1 << 18, /* elements of a vector that does not stay in the cache until the next step */
    SW_FETCHED_AHEAD = 2048   /* the distance of prefetching, in bytes */
};

/* Prefetches `elements` of a vector, SW_FETCHED_AHEAD bytes after element i. It must be a macro: gcc removes calls of
 * functions that only prefetch. */
#define SW_FETCH_AHEAD(vector, i, elements)                                          \
    for (int64_t at_ = 0; at_ < (int64_t)((elements) * sizeof *(vector)); at_ += 64) \
    __builtin_prefetch((const char *)((vector) + (i)) + SW_FETCHED_AHEAD + at_)

/* Executes `call` for each block of [begin, end). `call` uses `begin` as the index of the first element of the block
 * and n as its length, which is the constant SW_BLOCK_LENGTH, and less for the last block. Short vectors have a
 * separate loop without sw_k_fetch_ahead, which takes registers. */
#define SW_BY_BLOCKS(step, begin, end, call)                                \
    do {                                                                    \
        const int64_t whole_ = (end) - ((end) - (begin)) % SW_BLOCK_LENGTH; \
        if ((step)->count >= SW_LONG_VECTOR && sw_cpu_needs_prefetch())     \
            for (; begin < whole_; begin += SW_BLOCK_LENGTH) {              \
                const int64_t n = SW_BLOCK_LENGTH;                          \
                SW_K(sw_k_fetch_ahead)(step, begin);                        \
                call;                                                       \
            }                                                               \
        for (; begin < whole_; begin += SW_BLOCK_LENGTH) {                  \
            const int64_t n = SW_BLOCK_LENGTH;                              \
            call;                                                           \
        }                                                                   \
        if (begin < (end)) {                                                \
            const int64_t n = (end) - (begin);                              \
            call;                                                           \
        }                                                                   \
    } while (0)
#endif

#if SW_KERNEL_PASS && !defined(SW_KERNEL_HAS_BLOCKS)
#define SW_KERNEL_HAS_BLOCKS

/* Prefetches the elements of a later block, whose loads would otherwise wait for the divisions of earlier blocks. It
 * must be inlined: gcc treats a function that only prefetches as one without effect, and removes the call. */
SW_K_INLINE void SW_K(sw_k_fetch_ahead)(const sw_step *s, int64_t begin) {
    const void *const vector[] = {s->x, s->g, s->slot[0], s->slot[1], s->slot[2], s->slot[3]};
    enum { BYTES = SW_BLOCK_LENGTH * (int)sizeof(real) };
    if ((s->count - begin) * (int64_t)sizeof(real) < SW_FETCHED_AHEAD + BYTES)
        return; /* there is no later block */
    for (size_t k = 0; k < sizeof vector / sizeof *vector; k++)
        for (int at = 0; vector[k] && at < BYTES; at += 64)
            __builtin_prefetch((const char *)vector[k] + begin * (int64_t)sizeof(real) + SW_FETCHED_AHEAD + at);
}

#endif
