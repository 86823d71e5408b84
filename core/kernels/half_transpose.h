/* The transposition of a block of 16 × 16 elements of 32 bits, for AVX-512. Include it on x86-64 only. */
#ifndef SWALE_KERNELS_HALF_TRANSPOSE_H
#define SWALE_KERNELS_HALF_TRANSPOSE_H

#include <immintrin.h>

/* r[i] is row i before, and column i afterwards. */
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

#endif
