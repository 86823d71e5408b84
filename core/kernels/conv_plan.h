/* The plan of a convolution's forward pass or input gradient: taps, phases, items (see conv_sums.h). It follows from
 * the shape, never from the number of threads. */
#ifndef SWALE_KERNELS_CONV_PLAN_H
#define SWALE_KERNELS_CONV_PLAN_H

#include "core/kernels/conv_sums.h"

/* One axis, rows or columns, of the picture that is read and of the result. The pixels first + apart i of the result,
 * i < grid, are pixels i of phase `first`. Their taps lie in the picture from step i + low to step i + low + extent. */
typedef struct swi_conv_axis {
    int64_t picture, result;
    int64_t phases, apart; /* the pixels of a phase are `apart` from one another in the result */
    int64_t grid;          /* the pixels of the longest phase */
    int64_t step, low, extent;
    int64_t part; /* the pixels of the grid in an item */
    int64_t copy; /* the length of the copy for an item, or of the picture if it is read directly */
} swi_conv_axis;

/* The taps of a pixel along an axis that lie in the picture: first, first + 1, …, end - 1 of its phase. */
typedef struct swi_conv_taps {
    int64_t first, end;
} swi_conv_taps;

/* Neighboring pixels of a phase along an axis with the same taps. */
typedef struct swi_conv_run {
    int64_t first, count;
    swi_conv_taps taps;
} swi_conv_run;

typedef struct swi_conv_phase {
    int64_t first[2], grid[2];    /* of each axis: see swi_conv_axis */
    int64_t taps[2];              /* along each axis */
    int64_t terms, first_term;    /* of one output; of all phases before */
    int64_t *source, *offset;     /* of each term: the place in w, the offset in the picture */
    int64_t *x_origin, *y_origin; /* of each pixel of an item */
    swi_conv_run *run[2];         /* in_place: along each axis */
    int64_t runs[2];
} swi_conv_phase;

/* What a plan is for. In the gradient of the weights, the items are those of the forward pass, and no weights are
 * packed. SWI_CONV_WEIGHTS_COPY: with a copy of the picture in any case. */
typedef enum swi_conv_purpose {
    SWI_CONV_FORWARD,
    SWI_CONV_INPUT,
    SWI_CONV_WEIGHTS,
    SWI_CONV_WEIGHTS_COPY
} swi_conv_purpose;

typedef struct swi_conv_plan {
    const sw_conv *conv;
    swi_conv_purpose purpose;
    bool direct; /* no tap lies outside of the picture, so that it need not be copied */
    /* Tiles have the same pixel of several samples, and omit its taps outside of the picture. An item has whole
     * samples, whose copies have no zeros around them; its origins are those of its samples. */
    bool by_pixel;
    /* As `direct`, but taps outside of the picture are omitted. The pixels of an item, which has whole samples, are
     * divided into rectangles with the same taps: those of a run of rows and a run of columns. */
    bool in_place;
    bool too_large; /* of the gradient of the weights: copies would have too many zeros; there are no items */
    /* There is one item, whose parts pack the blocks of weights that they use, which then stay in the cache. */
    bool packs_blocks;
    int64_t sample_copy; /* elements from the copy of one sample to the next */
    swi_conv_axis axis[2];
    int64_t size;                          /* of an element in bytes */
    int64_t channels, outputs;             /* of the picture, of the result */
    int64_t group_channels, group_outputs; /* of one group */
    int64_t padded_outputs;                /* group_outputs, rounded up to whole registers */
    int64_t first_paired;                  /* the outputs of a group from this one on have paired terms */
    int64_t samples, items, parts;         /* samples of an item; items; parts of the blocks of outputs */
    int64_t terms, phases;                 /* of all phases */
    swi_conv_phase *phase;
    void *packed, *start;   /* the weights and the bias in blocks */
    swi_conv_taps *taps[2]; /* by_pixel: of each row and column of the result */
} swi_conv_plan;

swi_conv_plan swi_conv_plan_new(const sw_conv *conv, swi_conv_purpose purpose);
/* Of a depthwise convolution: without a copy of the picture, with the lists of `by_pixel`, without packed weights. An
 * item is `part` rows of the result, not of the grid, of one sample. There are pixels and channels. */
swi_conv_plan swi_conv_plan_depthwise(const sw_conv *conv, swi_conv_purpose purpose);
size_t swi_conv_plan_bytes(const swi_conv_plan *plan);      /* of the memory for swi_conv_plan_fill */
size_t swi_conv_plan_copy_bytes(const swi_conv_plan *plan); /* of the copy of an item; 0: none */
/* Of that copy and, behind it, a block of packed weights. */
size_t swi_conv_plan_worker_bytes(const swi_conv_plan *plan);
/* Makes the lists of the phases in `memory`. */
void swi_conv_plan_fill(swi_conv_plan *plan, void *memory);

/* An error unless there are `needed` bytes of scratch. */
sw_status swi_conv_check_scratch(const void *scratch, size_t bytes, size_t needed);

/* ---- Items (conv_items.c) ---- */

typedef struct swi_conv_range {
    int64_t begin, length;
} swi_conv_range;
typedef struct swi_conv_item {
    int64_t index[2];             /* of its part of each axis */
    swi_conv_range sample, at[2]; /* samples; pixels of the grid along each axis */
} swi_conv_item;
swi_conv_item swi_conv_item_at(const swi_conv_plan *plan, int64_t index);
/* Where the taps of the item's pixels begin: in the picture, or in `copy`, to which its part of the picture is copied
 * with zeros around it. */
const char *swi_conv_item_picture(const swi_conv_plan *plan, const swi_conv_item *item, const char *picture,
                                  char *copy);
/* What item `index` reads of an array with the pixels [batch, axis[0], axis[1]] of `pixel` bytes: of the picture, or of
 * the result. Nothing if there is no such item. */
swi_conv_ahead swi_conv_item_ahead(const swi_conv_plan *plan, int64_t index, bool result, const char *array,
                                   int64_t pixel);
/* The pixels of a phase along an axis that belong to an item; the length may be 0 or less. */
swi_conv_range swi_conv_item_phase(const swi_conv_plan *plan, const swi_conv_item *item, const swi_conv_phase *phase,
                                   int axis);

#endif
