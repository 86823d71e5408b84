/* Panels of pairs of bf16 (half_product.h), from operands in bf16 or f32, by the instructions of AVX512-BF16. Operands
 * in f32 are rounded to bf16; vcvtne2ps2bf16 replaces subnormal numbers by 0. `wide`: the operand is f32. Include it on
 * x86-64 only. */
#ifndef SWALE_KERNELS_HALF_BF16_PANELS_H
#define SWALE_KERNELS_HALF_BF16_PANELS_H

#include "core/kernels/half_transpose.h"

#include <string.h>

#define BF16_TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define BF16_INLINE static inline __attribute__((always_inline)) BF16_TARGET

#if defined(__clang__)
#define BF16_UNROLL _Pragma("unroll")
#else
#define BF16_UNROLL _Pragma("GCC unroll 16")
#endif

/* `count` <= 32 numbers from number `at` on; the rest of the 32 is 0. */
BF16_INLINE __m512i bf16_load32(const void *from, int64_t at, int64_t count, bool wide) {
    const __mmask32 mask = count >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << count) - 1;
    if (!wide)
        return _mm512_maskz_loadu_epi16(mask, (const uint16_t *)from + at);
    const float *x = (const float *)from + at;
    if (count >= 32) /* a constant count needs no mask */
        return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x));
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps((__mmask16)(mask >> 16), x + (count > 16 ? 16 : 0)),
                                        _mm512_maskz_loadu_ps((__mmask16)mask, x));
}

/* `count` <= 16 numbers from number `at` on; the rest of the 16 is 0. */
BF16_INLINE __m256i bf16_load16(const void *from, int64_t at, int64_t count, bool wide) {
    const __mmask16 mask = (__mmask16)((1u << count) - 1);
    if (wide)
        return (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, (const float *)from + at));
    return _mm256_maskz_loadu_epi16(mask, (const uint16_t *)from + at);
}

/* A line of `count` <= 16 pairs from two lines, of which the second is 0 if it does not exist. */
BF16_INLINE __m512i bf16_pair_lines(const void *from, int64_t at, int64_t ld, bool both, int64_t count, bool wide) {
    const __m256i even = bf16_load16(from, at, count, wide),
                  odd = bf16_load16(from, both ? at + ld : at, both ? count : 0, wide);
    return _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
}

/* A copy from lines to lines: two lines become one line of pairs. `width` is the distance of lines of pairs, `pairs`
 * their number, of which the last may have no terms. */
BF16_INLINE void bf16_lines(const void *from, int64_t at, int64_t ld, int64_t terms, int64_t pairs, int64_t count,
                            bool wide, uint32_t *to, int width) {
    int64_t i = 0;
    if (count == SWI_GROUP) /* a constant count needs no mask */
        for (; 2 * i + 2 <= terms; i++)
            _mm512_storeu_si512(to + i * width, bf16_pair_lines(from, at + 2 * i * ld, ld, true, SWI_GROUP, wide));
    for (; 2 * i < terms; i++)
        _mm512_storeu_si512(to + i * width,
                            bf16_pair_lines(from, at + 2 * i * ld, ld, 2 * i + 2 <= terms, count, wide));
    for (; i < pairs; i++)
        _mm512_storeu_si512(to + i * width, _mm512_setzero_si512());
}

/* The strips of a panel of B from lines. */
BF16_INLINE void bf16_strips_of_lines(const void *from, int64_t ld, int64_t terms, int64_t pairs, int64_t count,
                                      bool wide, uint32_t *to) {
    for (int64_t c = 0; c < count; c += SWI_GROUP)
        bf16_lines(from, c, ld, terms, pairs, count - c < SWI_GROUP ? count - c : SWI_GROUP, wide,
                   to + c / SWI_STRIP * SWI_STRIP * pairs + c % SWI_STRIP, SWI_STRIP);
}

/* At most 16 rows, from number `at` on, become the columns of one group. */
BF16_INLINE void bf16_turn(const void *from, int64_t at, int64_t ld, int64_t terms, int64_t pairs, int64_t count,
                           bool wide, uint32_t *to) {
    for (int64_t k = 0; k < terms; k += 2 * SWI_GROUP) {
        const int64_t some = terms - k < 2 * SWI_GROUP ? terms - k : 2 * SWI_GROUP;
        __m512i row[16];
        if (count == SWI_GROUP && some == 2 * SWI_GROUP) {
            BF16_UNROLL
            for (int i = 0; i < 16; i++)
                row[i] = bf16_load32(from, at + i * ld + k, 2 * SWI_GROUP, wide);
        } else {
            BF16_UNROLL
            for (int i = 0; i < 16; i++)
                row[i] = bf16_load32(from, at + (i < count ? i : 0) * ld + k, i < count ? some : 0, wide);
        }
        swi_half_transpose(row);
        uint32_t *line = to + k / 2 * SWI_STRIP;
        const int64_t lines = pairs - k / 2 < SWI_GROUP ? pairs - k / 2 : SWI_GROUP;
        BF16_UNROLL
        for (int i = 0; i < 16; i++)
            if (i < lines)
                _mm512_storeu_si512(line + i * SWI_STRIP, row[i]);
    }
}

/* The strips of a panel of B from rows. */
BF16_INLINE void bf16_strips_of_rows(const void *from, int64_t ld, int64_t terms, int64_t pairs, int64_t count,
                                     bool wide, uint32_t *to) {
    for (int64_t c = 0; c < count; c += SWI_GROUP)
        bf16_turn(from, c * ld, ld, terms, pairs, count - c < SWI_GROUP ? count - c : SWI_GROUP, wide,
                  to + c / SWI_STRIP * SWI_STRIP * pairs + c % SWI_STRIP);
}

#endif
