/* 16 numbers of a 16-bit type in registers of AVX-512, for the passes f16 and bf16 of kernel.h. There is no include
 * guard: include it in each pass. The results are those of SW_LOAD and SW_STORE. */
#if SW_KERNEL_AVX512 && SW_KERNEL_HALF

/* Whether this is the pass for f16. */
#define half_pass_f16 1
#define HALF_PASS_JOIN(a, b) a##b
#define HALF_PASS(type) HALF_PASS_JOIN(half_pass_, type)

#if HALF_PASS(SW_KERNEL_TYPE)
SW_K_INLINE __m512 SW_K(half_load16)(__m256i x) {
    return _mm512_cvtph_ps(x);
}
SW_K_INLINE __m256i SW_K(half_store16)(__m512 x) {
    return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
#else
SW_K_INLINE __m512 SW_K(half_load16)(__m256i x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}
/* sw_bf16_from_f32. The instruction vcvtneps2bf16 would flush subnormal numbers. */
SW_K_INLINE __m256i SW_K(half_store16)(__m512 x) {
    const __m512i u = _mm512_castps_si512(x), upper = _mm512_srli_epi32(u, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i nearest = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7FFF)), odd);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(
        _mm512_mask_or_epi32(_mm512_srli_epi32(nearest, 16), nan, upper, _mm512_set1_epi32(0x40)));
}
#endif

/* Two groups of 16 numbers. */
SW_K_INLINE __m512i SW_K(half_store32)(__m512 low, __m512 high) {
#if !HALF_PASS(SW_KERNEL_TYPE)
    if (_mm512_cmp_ps_mask(low, high, _CMP_UNORD_Q) == 0) { /* no NaN: only the upper halves of the sums are needed */
        const __m512i half = _mm512_set1_epi32(0x7FFF), one = _mm512_set1_epi32(1);
        const __m512i u = _mm512_castps_si512(low), v = _mm512_castps_si512(high);
        const __m512i u_odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), one),
                      v_odd = _mm512_and_si512(_mm512_srli_epi32(v, 16), one);
        const __m512i upper = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29,
                                               27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
        return _mm512_permutex2var_epi16(_mm512_add_epi32(_mm512_add_epi32(u, half), u_odd), upper,
                                         _mm512_add_epi32(_mm512_add_epi32(v, half), v_odd));
    }
#endif
    return _mm512_inserti64x4(_mm512_castsi256_si512(SW_K(half_store16)(low)), SW_K(half_store16)(high), 1);
}

#undef half_pass_f16
#undef HALF_PASS_JOIN
#undef HALF_PASS
#endif

#if defined(HALF_F16C) /* in the pass of half_wide.c for F16C */
SW_K_INLINE __m256 SW_K(half_load8)(const uint16_t *from) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from));
}
SW_K_INLINE void SW_K(half_store8)(uint16_t *to, __m256 x) {
    _mm_storeu_si128((__m128i *)(void *)to, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#endif
