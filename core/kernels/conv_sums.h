/* Convolutions in two steps: a plan, which follows from the shape alone, and sums of products over windows.
 *
 * The forward pass and the gradient of the input are the same computation: each pixel of a grid sums, over some taps,
 * the channels of a picture at the pixel's origin plus an offset, times weights.
 *
 *                     picture    grid                taps of a pixel
 *     forward         x          pixels of y         all (u, v)
 *     input gradient  dy         pixels of dx        the (u, v) through which dx reaches a pixel of dy
 *
 * In the input gradient of a convolution with stride s, pixels whose row and column are equal modulo s have the same
 * taps. They are one phase; the forward pass has one phase. A picture with zeros around it is copied with them to
 * scratch, by parts (items), so that no tap needs a condition. */
#ifndef SWALE_KERNELS_CONV_SUMS_H
#define SWALE_KERNELS_CONV_SUMS_H

#include <swale/conv_kernels.h>
#include <swale/parallel.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* The names of the levels as numbers, for conv_vector.h. A register has 16 << level bytes. */
#define CONV_baseline 0
#define CONV_avx2 1
#define CONV_avx512 2

/* The memory that the next item reads, or that this item writes later. It is prefetched to the second-level cache,
 * `step` bytes after each tile, while the sums of this item are computed. Otherwise the copy of the next picture and
 * the first pass over it would wait for the memory. The bytes are contiguous, or in runs of `run` bytes, each of which
 * ends `gap` bytes before the next. */
typedef struct swi_conv_ahead {
    const char *at;
    int64_t bytes, step;
    int64_t run, gap, left; /* left: of the present run; run 0: the bytes are contiguous */
} swi_conv_ahead;
static inline void swi_conv_fetch(swi_conv_ahead *ahead) {
    enum { LINE = 64 };
    for (int64_t fetched = 0; ahead->bytes > 0 && fetched < ahead->step; fetched += LINE) {
        __builtin_prefetch(ahead->at, 0, 2);
        ahead->at += LINE;
        ahead->bytes -= LINE;
        ahead->left -= LINE;
        if (ahead->run && ahead->left <= 0) {
            ahead->at += ahead->gap;
            ahead->left = ahead->run;
        }
    }
}

/* Some pixels and one block of at most two registers of outputs:
 *
 *     y[y_origin[p] + o] = start[o] + Σ_t x[x_origin[p] + offset[t]] w[t][o]     o < outputs
 *
 * w is packed as [terms][lanes], or [terms][2 lanes] with more outputs than lanes; start has as many elements. The
 * terms are those of `segments` segments of `length` terms, whose first terms are `step` apart. The sum of each element
 * is one chain in the order of the terms, which begins with start[o].
 *
 * paired: for at most `lanes` outputs. An element of x for one register of outputs is a load for each product, and
 * loads would limit the speed. Therefore two terms, whose elements of x are neighbors, are broadcast together. w is
 * packed as [terms / 2][lanes][2], and there are two chains for each element, whose sums are added to start[o]. */
typedef struct swi_conv_sums {
    const void *x, *w, *start;
    void *y;
    const int64_t *x_origin, *y_origin, *offset;
    int64_t segments, length, step, outputs;
    bool paired;
    bool add; /* the sums begin with y instead of start; not with paired, taps, or outputs that do not fill registers */
    /* taps 3 or 5: the terms are `taps` neighbors in each row of a window, at most `lanes` outputs, and the pixels are
     * rows of `row` neighbors. Other numbers: nothing is known. */
    int64_t taps, row;
    swi_conv_ahead *ahead; /* or NULL */
} swi_conv_sums;
extern const sw_kernels swi_conv_sums_kernels; /* args: swi_conv_sums; begin, end: pixels */

/* The blocks of the outputs of a group: two registers each, and one register each for outputs with paired terms. */
typedef struct swi_conv_block {
    int64_t first, outputs;
    bool paired;
} swi_conv_block;
/* The first output with paired terms. The same at every level: outputs after the last whole pair of the largest
 * registers, if they fit in one, and if the terms come in pairs of neighbors. */
int64_t swi_conv_first_paired(int64_t outputs, int64_t neighbors, sw_dtype type);
int64_t swi_conv_blocks(int64_t outputs, int64_t first_paired, int64_t lanes);
swi_conv_block swi_conv_block_at(int64_t outputs, int64_t first_paired, int64_t lanes, int64_t index);

/* Packs blocks of weights for the sums: element (t, o) of group g is w[g group_step + source[t] + o output_step].
 * Outputs after the last of a group are 0. */
typedef struct swi_conv_pack {
    const void *w;
    void *packed;
    const int64_t *source;
    int64_t terms, outputs, group_step, output_step; /* outputs of a group; steps in w */
    int64_t first_paired;                            /* the outputs from this one on are packed for paired terms */
} swi_conv_pack;
extern const sw_kernels swi_conv_pack_kernels; /* begin, end: registers, of all groups */

#endif
