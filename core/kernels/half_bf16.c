/* Products of bf16 by the instruction that multiplies pairs of them (AVX512-BF16). half_product.h describes the panels.
 *
 * vdpbf16ps computes sum + a1 b1, then + a0 b0, for pairs (a0, a1) and (b0, b1). Each of the two is rounded once, to
 * the nearest f32, and subnormal numbers are 0 (Intel 64 and IA-32 Architectures Software Developer's Manual,
 * VDPBF16PS). A fused multiply-add of f32 between sw_subnormals_flush and sw_subnormals_restore has the same bits. */
#include "core/kernels/half_product.h"

#include <string.h>

#if !defined(__x86_64__)

void swi_half_bf16_kernels(const sw_product *p, swi_half_kernels *kernels) {
    (void)p, (void)kernels;
}

#else

#include "core/kernels/half_transpose.h"

#define BF16_TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define BF16_INLINE static inline __attribute__((always_inline)) BF16_TARGET

#if defined(__clang__)
#define BF16_UNROLL _Pragma("unroll")
#else
#define BF16_UNROLL _Pragma("GCC unroll 16")
#endif

/* ---- Panels ---- */

/* A copy from rows to rows: two consecutive terms of a row already are a pair. */
BF16_TARGET static void bf16_a_rows(const void *from, int64_t ld, int64_t terms, int64_t count, void *panel) {
    for (int64_t i = 0; i < count + count % 2; i++) {
        uint16_t *to = (uint16_t *)panel + 2 * i * SWI_PAIR_STEP;
        if (i == count) {
            memset(to, 0, sizeof *to * (size_t)(terms + 1));
            break;
        }
        memcpy(to, (const uint16_t *)from + i * ld, sizeof *to * (size_t)terms);
        to[terms] = 0; /* there is room for it */
    }
}

/* A copy from lines to lines: two lines become one line of pairs. `width` is the distance of lines of pairs. */
BF16_INLINE void bf16_lines(const uint16_t *from, int64_t ld, int64_t terms, int64_t count, uint32_t *to, int width) {
    const __mmask16 all = (__mmask16)((1u << count) - 1);
    for (int64_t k = 0; k < terms; k += 2) {
        const __m256i even = _mm256_maskz_loadu_epi16(all, from + k * ld),
                      odd = _mm256_maskz_loadu_epi16(k + 1 < terms ? all : 0, from + (k + 1 < terms ? k + 1 : k) * ld);
        _mm512_storeu_si512(to + k / 2 * width, _mm512_or_si512(_mm512_cvtepu16_epi32(even),
                                                                _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16)));
    }
}

BF16_TARGET static void bf16_a_lines(const void *from, int64_t ld, int64_t terms, int64_t count, void *panel) {
    bf16_lines(from, ld, terms, count, panel, SWI_GROUP);
}

BF16_TARGET static void bf16_b_lines(const void *from, int64_t ld, int64_t terms, int64_t count, void *panel) {
    uint32_t *to = panel;
    for (int64_t c = 0; c < count; c += SWI_GROUP)
        bf16_lines((const uint16_t *)from + c, ld, terms, count - c < SWI_GROUP ? count - c : SWI_GROUP,
                   to + c / SWI_STRIP * SWI_STRIP * ((terms + 1) / 2) + c % SWI_STRIP, SWI_STRIP);
}

/* At most 16 rows become the columns of one group. */
BF16_INLINE void bf16_turn(const uint16_t *from, int64_t ld, int64_t terms, int64_t count, uint32_t *to) {
    for (int64_t k = 0; k < terms; k += 2 * SWI_GROUP) {
        const int64_t some = terms - k < 2 * SWI_GROUP ? terms - k : 2 * SWI_GROUP;
        const __mmask32 mask = some == 32 ? ~(__mmask32)0 : ((__mmask32)1 << some) - 1;
        __m512i row[16];
        BF16_UNROLL
        for (int i = 0; i < 16; i++)
            row[i] = _mm512_maskz_loadu_epi16(i < count ? mask : 0, from + (i < count ? i : 0) * ld + k);
        swi_half_transpose(row);
        uint32_t *line = to + k / 2 * SWI_STRIP;
        const int64_t pairs = (some + 1) / 2;
        BF16_UNROLL
        for (int i = 0; i < 16; i++)
            if (i < pairs)
                _mm512_storeu_si512(line + i * SWI_STRIP, row[i]);
    }
}

BF16_TARGET static void bf16_b_rows(const void *from, int64_t ld, int64_t terms, int64_t count, void *panel) {
    uint32_t *to = panel;
    for (int64_t c = 0; c < count; c += SWI_GROUP)
        bf16_turn((const uint16_t *)from + c * ld, ld, terms, count - c < SWI_GROUP ? count - c : SWI_GROUP,
                  to + c / SWI_STRIP * SWI_STRIP * ((terms + 1) / 2) + c % SWI_STRIP);
}

/* ---- Sums ---- */

/* [rows, groups * 16] sums in registers. Pair (row, k) of A is at row * row_step + k * k_step. */
BF16_INLINE void bf16_block(const int32_t *a, int64_t row_step, int64_t k_step, const int32_t *b, int64_t pairs,
                            int rows, int groups, float *sums, int64_t ld, bool add) {
    __m512 sum[SWI_MICRO_ROWS][2];
    BF16_UNROLL
    for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < pairs; k++) {
        const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b + k * SWI_STRIP),
                       b1 = groups == 2 ? (__m512bh)_mm512_loadu_si512(b + k * SWI_STRIP + SWI_GROUP) : b0;
        BF16_UNROLL
        for (int r = 0; r < rows; r++) {
            const __m512bh x = (__m512bh)_mm512_set1_epi32(a[r * row_step + k * k_step]);
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, b0);
            if (groups == 2)
                sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, b1);
        }
    }
    BF16_UNROLL
    for (int r = 0; r < rows; r++)
        for (int g = 0; g < groups; g++) {
            float *s = sums + r * ld + g * SWI_GROUP;
            _mm512_storeu_ps(s, add ? _mm512_add_ps(_mm512_loadu_ps(s), sum[r][g]) : sum[r][g]);
        }
}

BF16_INLINE void bf16_rows(const int32_t *a, int64_t row_step, int64_t k_step, const int32_t *b, int64_t pairs,
                           int rows, int groups, float *sums, int64_t ld, bool add) {
    switch (rows) {
    case 12: bf16_block(a, row_step, k_step, b, pairs, 12, groups, sums, ld, add); break;
    case 10: bf16_block(a, row_step, k_step, b, pairs, 10, groups, sums, ld, add); break;
    case 8: bf16_block(a, row_step, k_step, b, pairs, 8, groups, sums, ld, add); break;
    case 6: bf16_block(a, row_step, k_step, b, pairs, 6, groups, sums, ld, add); break;
    case 4: bf16_block(a, row_step, k_step, b, pairs, 4, groups, sums, ld, add); break;
    default: bf16_block(a, row_step, k_step, b, pairs, 2, groups, sums, ld, add); break;
    }
}

BF16_TARGET static void bf16_micro_rows(const void *a, const void *b, int64_t terms, int rows, int groups, float *sums,
                                        int64_t ld, bool add) {
    if (groups == 2)
        bf16_rows(a, SWI_PAIR_STEP, 1, b, terms / 2, rows, 2, sums, ld, add);
    else
        bf16_rows(a, SWI_PAIR_STEP, 1, b, terms / 2, rows, 1, sums, ld, add);
}

BF16_TARGET static void bf16_micro_lines(const void *a, const void *b, int64_t terms, int rows, int groups, float *sums,
                                         int64_t ld, bool add) {
    if (groups == 2)
        bf16_rows(a, 1, SWI_GROUP, b, terms / 2, rows, 2, sums, ld, add);
    else
        bf16_rows(a, 1, SWI_GROUP, b, terms / 2, rows, 1, sums, ld, add);
}

void swi_half_bf16_kernels(const sw_product *p, swi_half_kernels *kernels) {
    kernels->a = p->a_transposed ? bf16_a_lines : bf16_a_rows;
    kernels->b = p->b_transposed ? bf16_b_rows : bf16_b_lines;
    kernels->micro = p->a_transposed ? bf16_micro_lines : bf16_micro_rows;
    kernels->term_bytes = sizeof(uint16_t);
}

#endif
