/* Vectors with fused multiply-additions, for the passes f32 and f64 of kernel.h at the levels avx2 and avx512. There is
 * no include guard: include it in each pass, after <immintrin.h> at the start of the file.
 *
 *     FUSED_LEVEL            1 for avx2, 2 for avx512; 0 for other passes, for which nothing else is defined
 *     FUSED_WIDTH            elements of a vector
 *     FUSED_VECTOR           its type
 *     FUSED_I(name)          the intrinsic, like _mm256_fmadd_ps for FUSED_I(fmadd)
 *     FUSED_MASK             the type of a mask, which SW_K(fused_mask)(n) returns for the first n elements
 *     FUSED_LOAD_PART(p, m)  reads the elements of a mask; the others are 0, and need not exist in memory
 */
#undef FUSED_WIDTH
#undef FUSED_VECTOR
#undef FUSED_MASK
#undef FUSED_I
#undef FUSED_LOAD_PART

#define FUSED_JOIN(a, b) a##b
#define FUSED_NUMBER(level) FUSED_JOIN(FUSED_, level)
#define FUSED_baseline 0
#define FUSED_avx2 1
#define FUSED_avx512 2
#define FUSED_LEVEL FUSED_NUMBER(SW_KERNEL_LEVEL)

#if FUSED_LEVEL == 2
#define FUSED_LOAD_PART(p, mask) FUSED_I(maskz_loadu)(mask, p)
#if SW_KERNEL_F32
#define FUSED_WIDTH 16
#define FUSED_VECTOR __m512
#define FUSED_MASK __mmask16
#define FUSED_I(name) _mm512_##name##_ps
#else
#define FUSED_WIDTH 8
#define FUSED_VECTOR __m512d
#define FUSED_MASK __mmask8
#define FUSED_I(name) _mm512_##name##_pd
#endif
#elif FUSED_LEVEL == 1
#define FUSED_MASK __m256i
#define FUSED_LOAD_PART(p, mask) FUSED_I(maskload)(p, mask)
#if SW_KERNEL_F32
#define FUSED_WIDTH 8
#define FUSED_VECTOR __m256
#define FUSED_I(name) _mm256_##name##_ps
#else
#define FUSED_WIDTH 4
#define FUSED_VECTOR __m256d
#define FUSED_I(name) _mm256_##name##_pd
#endif
#endif

#if FUSED_LEVEL > 0
SW_K_INLINE FUSED_MASK SW_K(fused_mask)(int64_t n) {
#if FUSED_LEVEL == 2
    return (FUSED_MASK)((1u << n) - 1);
#elif SW_KERNEL_F32
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
#else
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
#endif
}
#endif
