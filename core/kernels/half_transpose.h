/* The transposition of blocks of 32-bit elements: 16 × 16 for AVX-512, 8 × 8 for AVX2, 4 × 4 for every x86-64. Include
 * it on x86-64 only. */
#ifndef SWALE_KERNELS_HALF_TRANSPOSE_H
#define SWALE_KERNELS_HALF_TRANSPOSE_H

#include "core/kernels/half_product.h"

#include <immintrin.h>

/* r[i] is row i before the call, and column i after it. */
static inline __attribute__((always_inline, target("avx512f"))) void swi_half_transpose(__m512i r[16]) {
    __m512i t[16];
#if defined(__clang__)
#pragma unroll
#else
#pragma GCC unroll 4
#endif
    for (int i = 0; i < 16; i += 4) {
        t[0] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
        t[2] = _mm512_unpacklo_epi32(r[i + 2], r[i + 3]);
        t[3] = _mm512_unpackhi_epi32(r[i + 2], r[i + 3]);
        /* r[i + j]: columns j, 4 + j, 8 + j and 12 + j of the rows i to i + 3 */
        r[i] = _mm512_unpacklo_epi64(t[0], t[2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[0], t[2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[1], t[3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[1], t[3]);
    }
#if defined(__clang__)
#pragma unroll
#else
#pragma GCC unroll 4
#endif
    for (int j = 0; j < 4; j++) { /* 0x88 takes the first and third quarter of both, 0xDD the second and fourth */
        const __m512i upper = _mm512_shuffle_i32x4(r[j], r[4 + j], 0x88),
                      lower = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0x88),
                      upper_odd = _mm512_shuffle_i32x4(r[j], r[4 + j], 0xDD),
                      lower_odd = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0xDD);
        t[j] = _mm512_shuffle_i32x4(upper, lower, 0x88);
        t[8 + j] = _mm512_shuffle_i32x4(upper, lower, 0xDD);
        t[4 + j] = _mm512_shuffle_i32x4(upper_odd, lower_odd, 0x88);
        t[12 + j] = _mm512_shuffle_i32x4(upper_odd, lower_odd, 0xDD);
    }
    for (int i = 0; i < 16; i++)
        r[i] = t[i];
}

/* The distance of rows is SWI_GROUP in `from`, and SWI_STRIP in `to`. */
static inline __attribute__((always_inline, target("avx2"))) void swi_half_transpose8(const float *from, float *to) {
    __m256 r[8];
    for (int i = 0; i < 8; i += 2) {
        const __m256 even = _mm256_loadu_ps(from + i * SWI_GROUP), odd = _mm256_loadu_ps(from + (i + 1) * SWI_GROUP);
        r[i] = _mm256_unpacklo_ps(even, odd);
        r[i + 1] = _mm256_unpackhi_ps(even, odd);
    }
    for (int half = 0; half < 2; half++)
        for (int j = 0; j < 2; j++) { /* columns 2 half + j and 4 + 2 half + j, of the first and the last four rows */
            const __m256 a = r[half], b = r[2 + half], c = r[4 + half], d = r[6 + half];
            const __m256 first = j ? _mm256_shuffle_ps(a, b, 0xEE) : _mm256_shuffle_ps(a, b, 0x44),
                         last = j ? _mm256_shuffle_ps(c, d, 0xEE) : _mm256_shuffle_ps(c, d, 0x44);
            float *column = to + (2 * half + j) * SWI_STRIP;
            _mm256_storeu_ps(column, _mm256_permute2f128_ps(first, last, 0x20));
            _mm256_storeu_ps(column + 4 * SWI_STRIP, _mm256_permute2f128_ps(first, last, 0x31));
        }
}

/* Rows are from_ld and to_ld apart. */
static inline void swi_half_transpose4(const float *from, int64_t from_ld, float *to, int64_t to_ld) {
    __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + from_ld), c = _mm_loadu_ps(from + 2 * from_ld),
           d = _mm_loadu_ps(from + 3 * from_ld);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(to, a);
    _mm_storeu_ps(to + to_ld, b);
    _mm_storeu_ps(to + 2 * to_ld, c);
    _mm_storeu_ps(to + 3 * to_ld, d);
}

#endif
