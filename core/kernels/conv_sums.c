/* Tiles of sums in registers, for the forward pass and the gradient of the input. */
#if defined(__x86_64__)
#include "core/kernels/half_transpose.h"
#endif
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

/* The sums of fewer outputs than lanes. A separate function, because the call of memcpy would need the registers. */
static __attribute__((noinline)) void SW_K(conv_write_part)(const swi_conv_sums *s, int64_t first, int pixels,
                                                            const VECTOR *sum, int vectors) {
    for (int p = 0; p < pixels; p++)
        memcpy((real *)s->y + s->y_origin[first + p], sum + p * vectors, sizeof(real) * (size_t)s->outputs);
}

/* `pixels` and `vectors` are constants in each call. */
SW_K_INLINE void SW_K(conv_write)(const swi_conv_sums *s, int64_t first, int pixels, VECTOR sum[][2], int vectors) {
    if (s->outputs == vectors * LANES) {
        CONV_UNROLL
        for (int p = 0; p < pixels; p++) {
            real *y = (real *)s->y + s->y_origin[first + p];
            for (int v = 0; v < vectors; v++)
                STORE(y + v * LANES, sum[p][v]);
        }
        return;
    }
    VECTOR all[2 * ONE];
    CONV_UNROLL
    for (int p = 0; p < pixels; p++)
        for (int v = 0; v < vectors; v++)
            all[p * vectors + v] = sum[p][v];
    SW_K(conv_write_part)(s, first, pixels, all, vectors);
}

/* `pixels` and `vectors` are constants in each call. */
SW_K_INLINE void SW_K(conv_tile)(const swi_conv_sums *s, int64_t first, int pixels, int vectors) {
    VECTOR sum[ONE][2];
    const real *x[ONE];
    CONV_UNROLL
    for (int p = 0; p < pixels; p++) {
        x[p] = (const real *)s->x + s->x_origin[first + p];
        const real *start = s->add ? (const real *)s->y + s->y_origin[first + p] : (const real *)s->start;
        for (int v = 0; v < vectors; v++)
            sum[p][v] = LOAD(start + v * LANES);
    }
    for (int64_t segment = 0; segment < s->segments; segment++) {
        const real *w = (const real *)s->w + segment * s->step * vectors * LANES;
        const int64_t *offset = s->offset + segment * s->step;
        for (const int64_t *end = offset + s->length; offset < end; offset++, w += vectors * LANES) {
            const VECTOR w0 = LOAD(w), w1 = vectors == 2 ? LOAD(w + LANES) : w0;
            CONV_RELOAD(x, pixels);
            CONV_UNROLL
            for (int p = 0; p < pixels; p++) {
                const VECTOR element = BROADCAST(x[p][*offset]);
                sum[p][0] = FMA(element, w0, sum[p][0]);
                if (vectors == 2)
                    sum[p][1] = FMA(element, w1, sum[p][1]);
            }
        }
    }
    SW_K(conv_write)(s, first, pixels, sum, vectors);
}

SW_K_INLINE void SW_K(conv_paired_tile)(const swi_conv_sums *s, int64_t first, int pixels) {
    VECTOR sum[TWO][2];
    const real *x[TWO];
    CONV_UNROLL
    for (int p = 0; p < pixels; p++) {
        x[p] = (const real *)s->x + s->x_origin[first + p];
        sum[p][0] = sum[p][1] = (VECTOR){0};
    }
    for (int64_t segment = 0; segment < s->segments; segment++) {
        const real *w = (const real *)s->w + segment * s->step * LANES;
        const int64_t *offset = s->offset + segment * s->step;
        for (const int64_t *end = offset + s->length; offset < end; offset += 2, w += 2 * LANES) {
            const VECTOR w0 = LOAD(w), w1 = LOAD(w + LANES);
            CONV_UNROLL
            for (int p = 0; p < pixels; p++) {
                const VECTOR pair = BROADCAST_PAIR(x[p] + *offset);
                sum[p][0] = FMA(pair, w0, sum[p][0]);
                sum[p][1] = FMA(pair, w1, sum[p][1]);
            }
        }
    }
    const VECTOR start = LOAD(s->start);
    CONV_UNROLL
    for (int p = 0; p < pixels; p++)
        sum[p][0] = start + (EVEN(sum[p][0], sum[p][1]) + ODD(sum[p][0], sum[p][1]));
    SW_K(conv_write)(s, first, pixels, sum, 1);
}

/* Neighbors in a picture with one channel share most of their elements. `pixels` and `taps` are constants. */
SW_K_INLINE void SW_K(conv_row_tile)(const swi_conv_sums *s, int64_t first, int pixels, int taps) {
    VECTOR sum[ONE][2];
    const real *x = (const real *)s->x + s->x_origin[first], *w = s->w;
    CONV_UNROLL
    for (int p = 0; p < pixels; p++)
        sum[p][0] = LOAD(s->start);
    for (int64_t t = 0; t < s->length; t += taps, w += taps * LANES) {
        const real *from = x + s->offset[t];
        CONV_UNROLL
        for (int v = 0; v < taps; v++) {
            const VECTOR weights = LOAD(w + v * LANES);
            CONV_UNROLL
            for (int p = 0; p < pixels; p++)
                sum[p][0] = FMA(BROADCAST(from[p + v]), weights, sum[p][0]);
        }
    }
    SW_K(conv_write)(s, first, pixels, sum, 1);
}

/* One function for each size of a tile: the compiler then assigns registers for each of them. */
#define CONV_TILE(pixels, vectors)                                                                     \
    static __attribute__((noinline)) void SW_K(conv_tile_##pixels##_##vectors)(const swi_conv_sums *s, \
                                                                               int64_t first) {        \
        SW_K(conv_tile)(s, first, pixels, vectors);                                                    \
    }
#define CONV_PAIRED(pixels)                                                                                   \
    static __attribute__((noinline)) void SW_K(conv_paired_##pixels)(const swi_conv_sums *s, int64_t first) { \
        SW_K(conv_paired_tile)(s, first, pixels);                                                             \
    }
#define CONV_ROW(pixels)                                                                                       \
    static __attribute__((noinline)) void SW_K(conv_row_##pixels##_3)(const swi_conv_sums *s, int64_t first) { \
        SW_K(conv_row_tile)(s, first, pixels, 3);                                                              \
    }                                                                                                          \
    static __attribute__((noinline)) void SW_K(conv_row_##pixels##_5)(const swi_conv_sums *s, int64_t first) { \
        SW_K(conv_row_tile)(s, first, pixels, 5);                                                              \
    }
#define CONV_ROW_NAME(pixels, taps) SW_K(conv_row_##pixels##_##taps)
#define CONV_ROW_NAMES(taps)                                                                            \
    CONV_ROW_NAME(1, taps), CONV_ROW_NAME(2, taps), CONV_ROW_NAME(3, taps), CONV_ROW_NAME(4, taps),     \
        CONV_ROW_NAME(5, taps), CONV_ROW_NAME(6, taps), CONV_ROW_NAME(7, taps), CONV_ROW_NAME(8, taps), \
        CONV_ROW_NAME(9, taps), CONV_ROW_NAME(10, taps), CONV_ROW_NAME(11, taps), CONV_ROW_NAME(12, taps)
#define CONV_NAME(pixels, vectors) SW_K(conv_tile_##pixels##_##vectors)
#define CONV_NAMES_6(vectors)                                                                                          \
    CONV_NAME(1, vectors), CONV_NAME(2, vectors), CONV_NAME(3, vectors), CONV_NAME(4, vectors), CONV_NAME(5, vectors), \
        CONV_NAME(6, vectors)
#define CONV_NAMES_12(vectors)                                                                  \
    CONV_NAMES_6(vectors), CONV_NAME(7, vectors), CONV_NAME(8, vectors), CONV_NAME(9, vectors), \
        CONV_NAME(10, vectors), CONV_NAME(11, vectors), CONV_NAME(12, vectors)
#define CONV_PAIRED_6                                                                                        \
    SW_K(conv_paired_1), SW_K(conv_paired_2), SW_K(conv_paired_3), SW_K(conv_paired_4), SW_K(conv_paired_5), \
        SW_K(conv_paired_6)
#define CONV_PAIRED_12                                                                                  \
    CONV_PAIRED_6, SW_K(conv_paired_7), SW_K(conv_paired_8), SW_K(conv_paired_9), SW_K(conv_paired_10), \
        SW_K(conv_paired_11), SW_K(conv_paired_12)
CONV_TILE(1, 1)
CONV_TILE(2, 1)
CONV_TILE(3, 1)
CONV_TILE(4, 1)
CONV_TILE(5, 1)
CONV_TILE(6, 1)
CONV_TILE(7, 1)
CONV_TILE(8, 1)
CONV_TILE(9, 1)
CONV_TILE(10, 1)
CONV_TILE(11, 1)
CONV_TILE(12, 1)
CONV_TILE(1, 2)
CONV_TILE(2, 2)
CONV_TILE(3, 2)
CONV_TILE(4, 2)
CONV_TILE(5, 2)
CONV_TILE(6, 2)
CONV_PAIRED(1)
CONV_PAIRED(2)
CONV_PAIRED(3)
CONV_PAIRED(4)
CONV_PAIRED(5)
CONV_PAIRED(6)
CONV_ROW(1)
CONV_ROW(2)
CONV_ROW(3)
CONV_ROW(4)
CONV_ROW(5)
CONV_ROW(6)
CONV_ROW(7)
CONV_ROW(8)
CONV_ROW(9)
CONV_ROW(10)
CONV_ROW(11)
CONV_ROW(12)
#undef CONV_NAMES
#if TWO == 12
CONV_TILE(7, 2)
CONV_TILE(8, 2)
CONV_TILE(9, 2)
CONV_TILE(10, 2)
CONV_TILE(11, 2)
CONV_TILE(12, 2)
CONV_PAIRED(7)
CONV_PAIRED(8)
CONV_PAIRED(9)
CONV_PAIRED(10)
CONV_PAIRED(11)
CONV_PAIRED(12)
#define CONV_NAMES                            \
    {CONV_NAMES_12(1)}, {CONV_NAMES_12(2)}, { \
        CONV_PAIRED_12                        \
    }
#else
#define CONV_NAMES                           \
    {CONV_NAMES_12(1)}, {CONV_NAMES_6(2)}, { \
        CONV_PAIRED_6                        \
    }
#endif

/* Tiles of nearly equal size, of all pixels or of each row of them. */
static void SW_K(conv_sums)(void *args, int64_t begin, int64_t end, double *sums) {
    static void (*const tile[5][ONE])(const swi_conv_sums *,
                                      int64_t) = {CONV_NAMES, {CONV_ROW_NAMES(3)}, {CONV_ROW_NAMES(5)}};
    static const int64_t most[5] = {ONE, TWO, TWO, ONE, ONE};
    const swi_conv_sums *s = args;
    const int kind = s->taps == 3 ? 3 : s->taps == 5 ? 4 : s->paired ? 2 : s->outputs > LANES;
    const int64_t n = kind >= 3 ? s->row : end - begin, tiles = (n + most[kind] - 1) / most[kind],
                  pixels = tiles ? n / tiles : 0, longer = tiles ? n % tiles : 0;
    (void)sums;
    for (int64_t first = begin; first < end;)
        for (int64_t i = 0; i < tiles; i++) {
            const int64_t count = pixels + (i < longer);
            tile[kind][count - 1](s, first);
            first += count;
            if (s->ahead)
                swi_conv_fetch(s->ahead);
        }
}

/* Where a register of packed weights begins, and how its elements lie there. Without pairs of terms, two registers of a
 * group are a block. */
typedef struct SW_K(conv_packed) {
    const real *from;
    real *to;
    int64_t count, step; /* outputs; elements from one term, or pair of terms, to the next */
    bool paired;
} SW_K(conv_packed);

SW_K_INLINE SW_K(conv_packed) SW_K(conv_packed_at)(const swi_conv_pack *s, int64_t r) {
    const int64_t each = (s->outputs + LANES - 1) / LANES, group = r / each, vector = r % each, first = vector * LANES;
    const bool paired = first >= s->first_paired, alone = vector + 1 == each && vector % 2 == 0;
    return (SW_K(conv_packed)){.from = (const real *)s->w + group * s->group_step + first * s->output_step,
                               .to = (real *)s->packed +
                                     (group * each + (paired ? vector : vector / 2 * 2)) * LANES * s->terms +
                                     (paired ? 0 : vector % 2 * LANES),
                               .count = s->outputs - first < LANES ? s->outputs - first : LANES,
                               .step = alone && !paired ? LANES : 2 * LANES,
                               .paired = paired};
}

#if CONV_LEVEL == 2 && SW_KERNEL_F32
/* 16 terms, which are neighbors in w, of 16 outputs. */
SW_K_INLINE void SW_K(conv_pack_square)(const real *from, int64_t output_step, real *to, int64_t step) {
    __m512i r[16];
    CONV_UNROLL
    for (int o = 0; o < 16; o++)
        r[o] = _mm512_loadu_si512(from + o * output_step);
    swi_half_transpose(r);
    CONV_UNROLL
    for (int t = 0; t < 16; t++)
        _mm512_storeu_si512(to + t * step, r[t]);
}
#endif

/* In blocks of terms, so that neighbors in w are read together, whether they are terms or outputs. */
static void SW_K(conv_pack)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_conv_pack *s = args;
    enum { TERMS = 16 };
    (void)sums;
    for (int64_t first = 0; first < s->terms; first += TERMS)
        for (int64_t r = begin; r < end; r++) {
            const SW_K(conv_packed) to = SW_K(conv_packed_at)(s, r);
#if CONV_LEVEL == 2 && SW_KERNEL_F32
            if (!to.paired && to.count == TERMS && s->output_step > 1 && first + TERMS <= s->terms &&
                s->source[first + TERMS - 1] - s->source[first] == TERMS - 1) {
                SW_K(conv_pack_square)(to.from + s->source[first], s->output_step, to.to + first * to.step, to.step);
                continue;
            }
#endif
            for (int64_t t = first; t < s->terms && t < first + TERMS; t++) {
                const real *from = to.from + s->source[t];
                real *at = to.paired ? to.to + t / 2 * to.step + t % 2 : to.to + t * to.step;
                const int64_t apart = to.paired ? 2 : 1;
                if (s->output_step == 1 && apart == 1 && to.count == LANES) {
                    STORE(at, LOAD(from));
                    continue;
                }
                for (int64_t o = 0; o < to.count; o++)
                    at[o * apart] = from[o * s->output_step];
                for (int64_t o = to.count; o < LANES; o++)
                    at[o * apart] = 0;
            }
        }
}

#else

const sw_kernels swi_conv_sums_kernels = SW_KERNEL_TABLE(conv_sums);
const sw_kernels swi_conv_pack_kernels = SW_KERNEL_TABLE(conv_pack);

int64_t swi_conv_first_paired(int64_t outputs, int64_t neighbors, sw_dtype type) {
    const int64_t lanes = SW_ALIGNMENT / (int64_t)sw_dtype_size(type), tail = outputs % (2 * lanes);
    return outputs - (tail <= lanes && neighbors % 2 == 0 ? tail : 0);
}

int64_t swi_conv_blocks(int64_t outputs, int64_t first_paired, int64_t lanes) {
    return (first_paired + 2 * lanes - 1) / (2 * lanes) + (outputs - first_paired + lanes - 1) / lanes;
}

swi_conv_block swi_conv_block_at(int64_t outputs, int64_t first_paired, int64_t lanes, int64_t index) {
    const int64_t plain = (first_paired + 2 * lanes - 1) / (2 * lanes);
    const bool paired = index >= plain;
    const int64_t first = paired ? first_paired + (index - plain) * lanes : index * 2 * lanes,
                  most = paired ? lanes : 2 * lanes;
    return (swi_conv_block){
        .first = first, .outputs = outputs - first < most ? outputs - first : most, .paired = paired};
}

#endif
