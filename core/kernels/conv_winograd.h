/* Winograd's minimal filtering F(2×2, 3×3) for convolutions with 3 × 3 kernels and stride 1, in f32 (A. Lavin and S.
 * Gray, "Fast algorithms for convolutional neural networks", 2016). Four outputs, a tile, need 16 products instead of
 * 36. With a tile d [4,4] of the picture, a kernel g [3,3] and the matrices
 *
 *     Bᵀ = 1  0 -1  0        G = 1    0    0        Aᵀ = 1  1  1  0
 *          0  1  1  0            1/2  1/2  1/2           0  1 -1 -1
 *          0 -1  1  0            1/2 -1/2  1/2
 *          0  1  0 -1            0    0    1
 *
 * the outputs are Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A, summed over the channels in the brackets: 16 matrix products. The
 * gradient of g is Gᵀ [(A dy Aᵀ) ⊙ (Bᵀ d B)] G. The 16 elements of a transformed tile are in 16 planes of [tiles,
 * channels]. */
#ifndef SWALE_KERNELS_CONV_WINOGRAD_H
#define SWALE_KERNELS_CONV_WINOGRAD_H

#include "core/kernels/conv_plan.h"

/* Tiles of a picture, numbered by sample, row and column. A pixel outside of the picture is 0. */
typedef struct swi_winograd_tiles {
    const void *picture; /* [batch, height, width, pixel], from its first channel on; for _output it is written */
    int64_t height, width, pixel;
    int64_t channels;      /* at most `pixel` */
    int64_t rows, columns; /* of tiles, in a sample */
    int64_t low[2];        /* row and column of the picture at which tile 0 begins; 0 for _output and _gradient */
    void *planes;          /* tile `first` is the first of each plane */
    int64_t first, plane;  /* elements from one plane to the next */
    int64_t each, panel;   /* a plane consists of panels [tiles, each] for `each` channels; elements of a panel */
    const void *zero;      /* `channels` zeros */
    const void *bias;      /* _output: added; may be `zero` */
} swi_winograd_tiles;
/* begin, end: tiles */
extern const sw_kernels swi_winograd_input_kernels;    /* planes from tiles [4,4] whose distance is 2: Bᵀ d B */
extern const sw_kernels swi_winograd_output_kernels;   /* tiles [2,2] from planes: Aᵀ m A + bias */
extern const sw_kernels swi_winograd_gradient_kernels; /* planes from tiles [2,2]: A dy Aᵀ */

/* Some channels of kernels [outputs, 3, 3, inputs] and their 16 planes, which have `row` elements for each output.
 * begin, end: outputs. */
typedef struct swi_winograd_weights {
    const void *w; /* from the first channel on; written by the second */
    void *planes;
    int64_t inputs, channels;
    int64_t row, plane; /* elements from one output, and from one plane, to the next */
} swi_winograd_weights;
extern const sw_kernels swi_winograd_weights_kernels;          /* planes from w: G g Gᵀ */
extern const sw_kernels swi_winograd_weights_gradient_kernels; /* w from planes: Gᵀ u G */

/* ---- Shapes ---- */

/* Whether the type, the kernel, the stride, the dilation and the groups allow it. */
bool swi_winograd_has_kernel(const sw_conv *conv);
/* The pixels of the tiles of a picture, relative to those of the picture. */
double swi_winograd_outside(int64_t height, int64_t width);
/* The tiles on both sides, without memory: what is read, x or dy, and what is written; in the gradient of the weights,
 * x and dy. */
void swi_winograd_sides(const sw_conv *conv, swi_conv_purpose purpose, swi_winograd_tiles *from,
                        swi_winograd_tiles *to);
/* Plane i of the weights of the forward pass is this plane of the kernels turned by 180 degrees, and the reverse. */
int64_t swi_winograd_turned(int64_t plane);

/* ---- Convolutions (conv_winograd_run.c) ---- */

/* Whether a convolution is computed in this way: by its shape alone. */
bool swi_winograd_fits(const sw_conv *conv, swi_conv_purpose purpose);
size_t swi_winograd_scratch(const sw_conv *conv, swi_conv_purpose purpose);
/* As the functions of conv_shared.h. */
sw_status swi_winograd_windows(const sw_conv *conv, bool gradient, const void *picture, const void *w, const void *bias,
                               void *result, void *scratch, size_t bytes);
sw_status swi_winograd_weights_gradient(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch,
                                        size_t bytes);

/* ---- With many channels (conv_winograd_wide.c) ---- */

bool swi_winograd_wide_fits(const sw_conv *conv, swi_conv_purpose purpose);
size_t swi_winograd_wide_scratch(const sw_conv *conv, swi_conv_purpose purpose);
sw_status swi_winograd_wide_windows(const sw_conv *conv, bool gradient, const void *picture, const void *w,
                                    const void *bias, void *result, void *scratch, size_t bytes);
sw_status swi_winograd_wide_weights_gradient(const sw_conv *conv, const void *x, const void *dy, void *dw,
                                             void *scratch, size_t bytes);

#endif
