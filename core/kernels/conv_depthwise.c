/* Kernels of depthwise convolutions. See conv_depthwise.h. */
#include <swale/kernel.h>

#include "core/kernels/conv_depthwise.h"

#if SW_KERNEL_PASS

#include "core/kernels/conv_vector.h"

/* The most sums of a tile, each in a register. */
#define DEPTHWISE 12

/* The first channel of vector v. */
SW_K_INLINE int64_t SW_K(depthwise_channel)(int64_t channels, int64_t v) {
    return v * LANES + LANES <= channels ? v * LANES : channels - LANES;
}

/* The sums of `pixels` pixels from `first` on in a row, for the channels from c on. `pixels` is a constant in each
 * call. */
SW_K_INLINE void SW_K(depthwise_tile)(const swi_depthwise_sums *s, int64_t row, int64_t first, int64_t c, int pixels) {
    const swi_depthwise_taps *taps = &s->taps;
    VECTOR sum[DEPTHWISE];
    const real *x[DEPTHWISE];
    const VECTOR start = s->start ? LOAD((const real *)s->start + c) : (VECTOR){0};
    CONV_UNROLL
    for (int p = 0; p < pixels; p++) {
        x[p] = (const real *)s->x + row * s->x_row + (first + p) * s->x_step + c;
        sum[p] = start;
    }
    for (int64_t segment = 0; segment < taps->segments; segment++) {
        const int64_t *offset = taps->offset + segment * taps->step;
        const real *w = (const real *)s->w + segment * taps->step * taps->channels + c;
        for (const int64_t *end = offset + taps->length; offset < end; offset++, w += taps->channels) {
            const VECTOR weights = LOAD(w);
            CONV_UNROLL
            for (int p = 0; p < pixels; p++)
                sum[p] = FMA(LOAD(x[p] + *offset), weights, sum[p]);
        }
    }
    real *y = (real *)s->y + row * s->y_row + first * s->y_step + c;
    CONV_UNROLL
    for (int p = 0; p < pixels; p++)
        STORE(y + p * s->y_step, sum[p]);
}

/* Adds to the sums of the terms from first to first + terms - 1, for vector v of the channels. */
SW_K_INLINE void SW_K(depthwise_weights_tile)(const swi_depthwise_weights *s, int64_t first, int64_t v, int terms) {
    const swi_depthwise_taps *taps = &s->taps;
    const int64_t c = SW_K(depthwise_channel)(taps->channels, v);
    VECTOR sum[DEPTHWISE];
    const real *x[DEPTHWISE], *dy = (const real *)s->dy + c;
    real *to[DEPTHWISE];
    int64_t in_segment = first % taps->length, term = first / taps->length * taps->step + in_segment;
    CONV_UNROLL
    for (int t = 0; t < terms; t++) {
        x[t] = (const real *)s->x + taps->offset[term] + c;
        to[t] = (real *)s->sum + term * s->sum_step + v * LANES;
        sum[t] = LOAD(to[t]);
        const bool last = ++in_segment == taps->length;
        term += last ? taps->step - taps->length + 1 : 1;
        in_segment = last ? 0 : in_segment;
    }
    for (int64_t r = 0; r < s->rows; r++, dy += s->y_row - s->pixels * s->y_step)
        for (int64_t p = 0, i = r * s->x_row; p < s->pixels; p++, i += s->x_step, dy += s->y_step) {
            const VECTOR gradient = LOAD(dy);
            CONV_UNROLL
            for (int t = 0; t < terms; t++)
                sum[t] = FMA(LOAD(x[t] + i), gradient, sum[t]);
        }
    CONV_UNROLL
    for (int t = 0; t < terms; t++)
        STORE(to[t], sum[t]);
}

/* One function for each size of a tile: the compiler then assigns registers for each of them. */
#define DEPTHWISE_TILE(count)                                                                                    \
    static __attribute__((noinline)) void SW_K(depthwise_tile_##count)(const swi_depthwise_sums *s, int64_t row, \
                                                                       int64_t first, int64_t c) {               \
        SW_K(depthwise_tile)(s, row, first, c, count);                                                           \
    }                                                                                                            \
    static __attribute__((noinline)) void SW_K(depthwise_weights_tile_##count)(const swi_depthwise_weights *s,   \
                                                                               int64_t first, int64_t v) {       \
        SW_K(depthwise_weights_tile)(s, first, v, count);                                                        \
    }
#define DEPTHWISE_NAMES(name)                                                                                       \
    SW_K(name##_1), SW_K(name##_2), SW_K(name##_3), SW_K(name##_4), SW_K(name##_5), SW_K(name##_6), SW_K(name##_7), \
        SW_K(name##_8), SW_K(name##_9), SW_K(name##_10), SW_K(name##_11), SW_K(name##_12)
DEPTHWISE_TILE(1)
DEPTHWISE_TILE(2)
DEPTHWISE_TILE(3)
DEPTHWISE_TILE(4)
DEPTHWISE_TILE(5)
DEPTHWISE_TILE(6)
DEPTHWISE_TILE(7)
DEPTHWISE_TILE(8)
DEPTHWISE_TILE(9)
DEPTHWISE_TILE(10)
DEPTHWISE_TILE(11)
DEPTHWISE_TILE(12)

/* Tiles of nearly equal numbers of pixels. All channels of a tile are computed before the next tile, so that memory is
 * read in order. */
static void SW_K(depthwise_sums)(void *args, int64_t begin, int64_t end, double *sums) {
    static void (*const tile[DEPTHWISE])(const swi_depthwise_sums *, int64_t, int64_t,
                                         int64_t) = {DEPTHWISE_NAMES(depthwise_tile)};
    const swi_depthwise_sums *s = args;
    const int64_t tiles = (s->pixels + DEPTHWISE - 1) / DEPTHWISE;
    (void)sums;
    for (int64_t r = 0; r < s->rows; r++) {
        for (int64_t i = 0; i < tiles; i++) {
            const int64_t first = sw_part_begin(s->pixels, tiles, i),
                          count = sw_part_begin(s->pixels, tiles, i + 1) - first;
            for (int64_t v = begin; v < end; v++)
                tile[count - 1](s, r, first, SW_K(depthwise_channel)(s->taps.channels, v));
        }
    }
}

static void SW_K(depthwise_weights)(void *args, int64_t begin, int64_t end, double *sums) {
    static void (*const tile[DEPTHWISE])(const swi_depthwise_weights *, int64_t,
                                         int64_t) = {DEPTHWISE_NAMES(depthwise_weights_tile)};
    const swi_depthwise_weights *s = args;
    const int64_t terms = s->taps.segments * s->taps.length, tiles = (terms + DEPTHWISE - 1) / DEPTHWISE;
    (void)sums;
    for (int64_t v = begin; v < end; v++)
        for (int64_t i = 0; i < tiles; i++) {
            const int64_t first = sw_part_begin(terms, tiles, i), count = sw_part_begin(terms, tiles, i + 1) - first;
            tile[count - 1](s, first, v);
        }
}

#else

const sw_kernels swi_depthwise_sums_kernels = SW_KERNEL_TABLE(depthwise_sums);
const sw_kernels swi_depthwise_weights_kernels = SW_KERNEL_TABLE(depthwise_weights);

#endif
