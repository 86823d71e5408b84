/* Constants of pool_forward.c and pool_vjp.c. Their kernels process the channels of a pixel in blocks of a constant
 * length, whose loops compile to a few vector instructions. The last block overlaps the one before it if the number of
 * channels is not a multiple of the length. */
#ifndef SWALE_OPS_POOL_BLOCKS_H
#define SWALE_OPS_POOL_BLOCKS_H

#include "core/ops/pool_window.h"

enum {
    POOL_SHORT = 4, /* the length of a block for fewer channels than a whole block; single channels below that */
    POOL_PIECE = 32 /* elements that are added in the element type before their sum is added in f64 */
};

/* Write this before a loop over a block. GCC would unroll the loop first, and not vectorize the result. */
#if defined(__clang__)
#define POOL_OVER_BLOCK
#else
#define POOL_OVER_BLOCK _Pragma("GCC unroll 1")
#endif

/* Runs `rows`, a function whose last argument is the constant length of a block, for any number of channels. */
#define POOL_RUN_BLOCKS(rows, s, begin, end)  \
    do {                                      \
        if ((s)->channels >= POOL_BLOCK)      \
            rows(s, begin, end, POOL_BLOCK);  \
        else if ((s)->channels >= POOL_SHORT) \
            rows(s, begin, end, POOL_SHORT);  \
        else                                  \
            rows(s, begin, end, 1);           \
    } while (0)

#endif
