/* Transformations of Winograd's minimal filtering. See conv_winograd.h. They are sums of a few elements without fused
 * operations, so that their bits are equal on every level. Loops are over vectors of channels, of which there are at
 * least as many as a register has lanes; the last vector may overlap the one before. */
#include <swale/kernel.h>

#include "core/kernels/conv_winograd.h"

#if SW_KERNEL_PASS

#include "core/kernels/conv_vector.h"

#define WINOGRAD_CHANNELS(c, n) \
    for (int64_t c##_ = 0, c = 0; c##_ < (n); c##_ += LANES, c = c##_ + LANES <= (n) ? c##_ : (n)-LANES)
/* The panels of a plane; `at` is where a tile's channels `first`, first + 1, … begin in plane 0. */
#define WINOGRAD_PANELS(first, at, tile, s)                             \
    real *at = (real *)(s)->planes + ((tile) - (s)->first) * (s)->each; \
    for (int64_t first = 0; first < (s)->channels; first += (s)->each, at += (s)->panel)

/* The addresses of the pixels of a tile of size × size. */
SW_K_INLINE void SW_K(winograd_pixels)(const swi_winograd_tiles *s, int64_t tile, int size, const real **pixel) {
    const int64_t n = tile / (s->rows * s->columns), row = tile / s->columns % s->rows * 2 + s->low[0],
                  column = tile % s->columns * 2 + s->low[1];
    for (int i = 0; i < size; i++)
        for (int k = 0; k < size; k++) {
            const int64_t h = row + i, w = column + k;
            const bool inside = h >= 0 && h < s->height && w >= 0 && w < s->width;
            pixel[i * size + k] =
                inside ? (const real *)s->picture + ((n * s->height + h) * s->width + w) * s->pixel : s->zero;
        }
}

/* One dimension of Bᵀ d: four elements that are `step` apart. */
SW_K_INLINE void SW_K(winograd_input_4)(VECTOR *d, int step) {
    const VECTOR d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    d[0] = d0 - d2;
    d[step] = d1 + d2;
    d[2 * step] = d2 - d1;
    d[3 * step] = d1 - d3;
}

static void SW_K(winograd_input)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_winograd_tiles *s = args;
    (void)sums;
    for (int64_t t = begin; t < end; t++) {
        const real *pixel[16];
        SW_K(winograd_pixels)(s, t, 4, pixel);
        WINOGRAD_PANELS(first, to, t, s)
        WINOGRAD_CHANNELS(c, s->each) {
            VECTOR d[16];
            CONV_UNROLL
            for (int i = 0; i < 16; i++)
                d[i] = LOAD(pixel[i] + first + c);
            CONV_UNROLL
            for (int i = 0; i < 4; i++)
                SW_K(winograd_input_4)(d + i, 4);
            CONV_UNROLL
            for (int i = 0; i < 4; i++)
                SW_K(winograd_input_4)(d + 4 * i, 1);
            CONV_UNROLL
            for (int i = 0; i < 16; i++)
                STORE(to + i * s->plane + c, d[i]);
        }
    }
}

static void SW_K(winograd_output)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_winograd_tiles *s = args;
    (void)sums;
    for (int64_t t = begin; t < end; t++) {
        const real *pixel[4];
        SW_K(winograd_pixels)(s, t, 2, pixel);
        WINOGRAD_PANELS(first, from, t, s)
        WINOGRAD_CHANNELS(c, s->each) {
            VECTOR half[2][4];
            const VECTOR bias = LOAD((const real *)s->bias + first + c);
            CONV_UNROLL
            for (int k = 0; k < 4; k++) {
                const VECTOR m0 = LOAD(from + k * s->plane + c), m1 = LOAD(from + (4 + k) * s->plane + c),
                             m2 = LOAD(from + (8 + k) * s->plane + c), m3 = LOAD(from + (12 + k) * s->plane + c);
                half[0][k] = m0 + m1 + m2;
                half[1][k] = m1 - m2 - m3;
            }
            CONV_UNROLL
            for (int i = 0; i < 2; i++) {
                const VECTOR *m = half[i];
                if (pixel[2 * i] != s->zero)
                    STORE(pixel[2 * i] + first + c, bias + (m[0] + m[1] + m[2]));
                if (pixel[2 * i + 1] != s->zero)
                    STORE(pixel[2 * i + 1] + first + c, bias + (m[1] - m[2] - m[3]));
            }
        }
    }
}

static void SW_K(winograd_gradient)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_winograd_tiles *s = args;
    (void)sums;
    for (int64_t t = begin; t < end; t++) {
        const real *pixel[4];
        SW_K(winograd_pixels)(s, t, 2, pixel);
        WINOGRAD_PANELS(first, to, t, s)
        WINOGRAD_CHANNELS(c, s->each) {
            VECTOR row[4][2];
            CONV_UNROLL
            for (int k = 0; k < 2; k++) {
                const VECTOR d0 = LOAD(pixel[k] + first + c), d1 = LOAD(pixel[2 + k] + first + c);
                row[0][k] = d0;
                row[1][k] = d0 + d1;
                row[2][k] = d0 - d1;
                row[3][k] = -d1;
            }
            CONV_UNROLL
            for (int i = 0; i < 4; i++) {
                real *row_to = to + 4 * i * s->plane + c;
                STORE(row_to, row[i][0]);
                STORE(row_to + s->plane, row[i][0] + row[i][1]);
                STORE(row_to + 2 * s->plane, row[i][0] - row[i][1]);
                STORE(row_to + 3 * s->plane, -row[i][1]);
            }
        }
    }
}

static void SW_K(winograd_weights)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_winograd_weights *s = args;
    const real half = (real)0.5;
    (void)sums;
    for (int64_t o = begin; o < end; o++)
        WINOGRAD_CHANNELS(c, s->channels) {
            const real *w = (const real *)s->w + o * 9 * s->inputs + c;
            real *planes = (real *)s->planes + o * s->row + c;
            VECTOR g[4][3];
            for (int k = 0; k < 3; k++) {
                const VECTOR g0 = LOAD(w + k * s->inputs), g1 = LOAD(w + (3 + k) * s->inputs),
                             g2 = LOAD(w + (6 + k) * s->inputs);
                g[0][k] = g0;
                g[1][k] = half * (g0 + g2 + g1);
                g[2][k] = half * (g0 + g2 - g1);
                g[3][k] = g2;
            }
            for (int i = 0; i < 4; i++) {
                real *to = planes + 4 * i * s->plane;
                STORE(to, g[i][0]);
                STORE(to + s->plane, half * (g[i][0] + g[i][2] + g[i][1]));
                STORE(to + 2 * s->plane, half * (g[i][0] + g[i][2] - g[i][1]));
                STORE(to + 3 * s->plane, g[i][2]);
            }
        }
}

static void SW_K(winograd_weights_gradient)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_winograd_weights *s = args;
    const int64_t plane = s->plane;
    const real half = (real)0.5;
    (void)sums;
    for (int64_t o = begin; o < end; o++)
        WINOGRAD_CHANNELS(c, s->channels) {
            const real *planes = (const real *)s->planes + o * s->row + c;
            real *w = (real *)s->w + o * 9 * s->inputs + c;
            VECTOR u[3][4];
            for (int k = 0; k < 4; k++) {
                const VECTOR u0 = LOAD(planes + k * plane), u1 = LOAD(planes + (4 + k) * plane),
                             u2 = LOAD(planes + (8 + k) * plane), u3 = LOAD(planes + (12 + k) * plane);
                u[0][k] = u0 + half * (u1 + u2);
                u[1][k] = half * (u1 - u2);
                u[2][k] = half * (u1 + u2) + u3;
            }
            for (int i = 0; i < 3; i++) {
                STORE(w + 3 * i * s->inputs, u[i][0] + half * (u[i][1] + u[i][2]));
                STORE(w + (3 * i + 1) * s->inputs, half * (u[i][1] - u[i][2]));
                STORE(w + (3 * i + 2) * s->inputs, half * (u[i][1] + u[i][2]) + u[i][3]);
            }
        }
}

#else

const sw_kernels swi_winograd_input_kernels = SW_KERNEL_TABLE(winograd_input);
const sw_kernels swi_winograd_output_kernels = SW_KERNEL_TABLE(winograd_output);
const sw_kernels swi_winograd_gradient_kernels = SW_KERNEL_TABLE(winograd_gradient);
const sw_kernels swi_winograd_weights_kernels = SW_KERNEL_TABLE(winograd_weights);
const sw_kernels swi_winograd_weights_gradient_kernels = SW_KERNEL_TABLE(winograd_weights_gradient);

/* ---- Shapes ---- */

double swi_winograd_outside(int64_t height, int64_t width) {
    const int64_t rows = (height + 1) / 2 * 2, columns = (width + 1) / 2 * 2;
    return (double)(rows * columns) / (double)(height * width);
}

bool swi_winograd_has_kernel(const sw_conv *c) {
    return c->type == SW_F32 && c->groups == 1 && c->kernel_height == 3 && c->kernel_width == 3 && c->stride[0] == 1 &&
           c->stride[1] == 1 && c->dilation[0] == 1 && c->dilation[1] == 1 && c->height > 0 && c->width > 0 &&
           c->out_height > 0 && c->out_width > 0;
}

void swi_winograd_sides(const sw_conv *c, swi_conv_purpose purpose, swi_winograd_tiles *from, swi_winograd_tiles *to) {
    const bool gradient = purpose == SWI_CONV_INPUT;
    const swi_winograd_tiles x = {.height = c->height, .width = c->width, .pixel = c->inputs, .channels = c->inputs},
                             y = {.height = c->out_height,
                                  .width = c->out_width,
                                  .pixel = c->outputs,
                                  .channels = c->outputs};
    *from = gradient ? y : x;
    *to = gradient ? x : y;
    for (int axis = 0; axis < 2; axis++)
        from->low[axis] = gradient ? c->before[axis] - 2 : -c->before[axis];
    from->rows = to->rows = (to->height + 1) / 2;
    from->columns = to->columns = (to->width + 1) / 2;
}

int64_t swi_winograd_turned(int64_t plane) {
    static const int64_t turned[4] = {3, 1, 2, 0};
    return turned[plane / 4] * 4 + turned[plane % 4];
}

#endif
