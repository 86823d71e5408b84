/* Loops of rules a block of elements at a time. Included after kernel.h, in every pass. A rule with divisions and roots
 * computes numerators and radicands of a block, then all roots (kernel_roots.h), then the quotients.
 *
 * Memory. Divisions are so slow that the processor does not come to the loads of later blocks while it waits for
 * them: where vectors are too long for the cache, these are fetched ahead. It takes 15 % off a step of Adam.
 */

#ifndef SWALE_KERNEL_BLOCKS_H
#define SWALE_KERNEL_BLOCKS_H
#include <swale/method.h>

enum {
    SW_BLOCK_LENGTH = 64,
    SW_LONG_VECTOR = 1 << 18, /* elements of a vector that does not stay in the cache until the next step */
    SW_FETCHED_AHEAD = 2048   /* bytes */
};

/* Calls of a block's function for [begin, end) of a step: with n = SW_BLOCK_LENGTH, a constant there, and with
 * n < SW_BLOCK_LENGTH for the rest. Two loops, for sw_k_fetch_ahead takes registers. `call` uses n, and begin as the
 * index of the block's first element. */
#define SW_BY_BLOCKS(step, begin, end, call)                                \
    do {                                                                    \
        const int64_t whole_ = (end) - ((end) - (begin)) % SW_BLOCK_LENGTH; \
        if ((step)->count >= SW_LONG_VECTOR)                                \
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

/* Has the cache fetch what a later block needs: its own loads would wait for the divisions of those before.
 * Inlined, or gcc takes a function that does nothing else for one without effect. */
SW_K_INLINE void SW_K(sw_k_fetch_ahead)(const sw_step *s, int64_t begin) {
    const void *const vector[] = {s->x, s->g, s->slot[0], s->slot[1], s->slot[2]};
    enum { BYTES = SW_BLOCK_LENGTH * (int)sizeof(real) };
    if ((s->count - begin) * (int64_t)sizeof(real) < SW_FETCHED_AHEAD + BYTES)
        return; /* the end */
    for (size_t k = 0; k < sizeof vector / sizeof *vector; k++)
        for (int at = 0; vector[k] && at < BYTES; at += 64)
            __builtin_prefetch((const char *)vector[k] + begin * (int64_t)sizeof(real) + SW_FETCHED_AHEAD + at);
}

#endif
