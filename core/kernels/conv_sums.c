/* Tiles of sums in registers, for the forward pass and the gradient of the input. */
#include <swale/kernel.h>

#include "core/kernels/conv_sums.h"

#if SW_KERNEL_PASS

#include "core/kernels/conv_vector.h"

/* The most pixels of a tile with one and with two registers of outputs: the sums, the weights and a broadcast element
 * fill 32 registers of AVX-512, or 16. */
#define ONE 12
#undef TWO
#if CONV_LEVEL == 2
#define TWO 12
#else
#define TWO 6
#endif

SW_K_INLINE void SW_K(conv_write)(real *y, const VECTOR *sum, int vectors, int64_t outputs) {
    if (outputs == vectors * LANES) {
        for (int v = 0; v < vectors; v++)
            STORE(y + v * LANES, sum[v]);
    } else {
        const VECTOR part[2] = {sum[0], vectors == 2 ? sum[1] : sum[0]};
        memcpy(y, part, sizeof(real) * (size_t)outputs);
    }
}

/* `pixels` and `vectors` are constants in each call. */
SW_K_INLINE void SW_K(conv_tile)(const swi_conv_sums *s, int64_t first, int pixels, int vectors) {
    VECTOR sum[ONE][2];
    const real *x[ONE], *w = s->w;
    CONV_UNROLL
    for (int p = 0; p < pixels; p++) {
        x[p] = (const real *)s->x + s->x_origin[first + p];
        for (int v = 0; v < vectors; v++)
            sum[p][v] = LOAD((const real *)s->start + v * LANES);
    }
    for (int64_t t = 0; t < s->terms; t++, w += vectors * LANES) {
        const int64_t offset = s->offset[t];
        const VECTOR w0 = LOAD(w), w1 = vectors == 2 ? LOAD(w + LANES) : w0;
        CONV_UNROLL
        for (int p = 0; p < pixels; p++) {
            const VECTOR element = BROADCAST(x[p][offset]);
            sum[p][0] = FMA(element, w0, sum[p][0]);
            if (vectors == 2)
                sum[p][1] = FMA(element, w1, sum[p][1]);
        }
    }
    CONV_UNROLL
    for (int p = 0; p < pixels; p++)
        SW_K(conv_write)((real *)s->y + s->y_origin[first + p], sum[p], vectors, s->outputs);
}

/* One function for each size of a tile: the compiler then assigns registers for each of them. */
#define CONV_TILE(pixels, vectors)                                                                     \
    static __attribute__((noinline)) void SW_K(conv_tile_##pixels##_##vectors)(const swi_conv_sums *s, \
                                                                               int64_t first) {        \
        SW_K(conv_tile)(s, first, pixels, vectors);                                                    \
    }
#define CONV_TILES_6(vectors) \
    CONV_TILE(1, vectors)     \
    CONV_TILE(2, vectors) CONV_TILE(3, vectors) CONV_TILE(4, vectors) CONV_TILE(5, vectors) CONV_TILE(6, vectors)
#define CONV_TILES_12(vectors) \
    CONV_TILE(7, vectors)      \
    CONV_TILE(8, vectors) CONV_TILE(9, vectors) CONV_TILE(10, vectors) CONV_TILE(11, vectors) CONV_TILE(12, vectors)
#define CONV_NAMES_6(vectors)                                                              \
    SW_K(conv_tile_1_##vectors), SW_K(conv_tile_2_##vectors), SW_K(conv_tile_3_##vectors), \
        SW_K(conv_tile_4_##vectors), SW_K(conv_tile_5_##vectors), SW_K(conv_tile_6_##vectors)
#define CONV_NAMES_12(vectors)                                                             \
    SW_K(conv_tile_7_##vectors), SW_K(conv_tile_8_##vectors), SW_K(conv_tile_9_##vectors), \
        SW_K(conv_tile_10_##vectors), SW_K(conv_tile_11_##vectors), SW_K(conv_tile_12_##vectors)
CONV_TILES_6(1)
CONV_TILES_12(1)
CONV_TILES_6(2)
#undef CONV_NAMES_TWO
#if TWO == 12
CONV_TILES_12(2)
#define CONV_NAMES_TWO CONV_NAMES_6(2), CONV_NAMES_12(2)
#else
#define CONV_NAMES_TWO CONV_NAMES_6(2)
#endif

/* Tiles of nearly equal size. */
static void SW_K(conv_sums)(void *args, int64_t begin, int64_t end, double *sums) {
    static void (*const tile[2][ONE])(const swi_conv_sums *, int64_t) = {{CONV_NAMES_6(1), CONV_NAMES_12(1)},
                                                                         {CONV_NAMES_TWO}};
    static const int64_t most[2] = {ONE, TWO};
    const swi_conv_sums *s = args;
    const int two = s->outputs > LANES;
    const int64_t n = end - begin, tiles = (n + most[two] - 1) / most[two];
    (void)sums;
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t first = sw_part_begin(n, tiles, i), pixels = sw_part_begin(n, tiles, i + 1) - first;
        tile[two][pixels - 1](s, begin + first);
    }
}

/* The registers of a group: pairs of them are blocks. */
static void SW_K(conv_pack)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_conv_pack *s = args;
    const int64_t each = (s->outputs + LANES - 1) / LANES;
    (void)sums;
    for (int64_t r = begin; r < end; r++) {
        const int64_t group = r / each, vector = r % each, first = vector * LANES,
                      count = s->outputs - first < LANES ? s->outputs - first : LANES;
        const int64_t step = vector + 1 == each && vector % 2 == 0 ? LANES : 2 * LANES;
        const real *w = (const real *)s->w + group * s->group_step + first * s->output_step;
        real *to = (real *)s->packed + (group * each + vector / 2 * 2) * LANES * s->terms + vector % 2 * LANES;
        for (int64_t t = 0; t < s->terms; t++) {
            const real *from = w + s->source[t];
            for (int64_t o = 0; o < count; o++)
                to[t * step + o] = from[o * s->output_step];
            for (int64_t o = count; o < LANES; o++)
                to[t * step + o] = 0;
        }
    }
}

#else

const sw_kernels swi_conv_sums_kernels = SW_KERNEL_TABLE(conv_sums);
const sw_kernels swi_conv_pack_kernels = SW_KERNEL_TABLE(conv_pack);

#endif
