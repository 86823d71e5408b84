/* Rounds blocks of f32 to f16 or bf16, before they are copied to panels (half_product.h). */
#define SW_KERNEL_16_BIT
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <swale/kernel.h>

#include "core/kernels/half_product.h"

#if SW_KERNEL_PASS

#if SW_KERNEL_HALF

#include "core/kernels/half_vectors.h"

/* A subnormal number becomes 0, as in the instructions that round f32 to bf16. */
SW_K_INLINE float SW_K(round_flushed)(float x) {
    const uint32_t u = sw_f32_bits(x);
    return sw_f32_from_bits(u & 0x7F800000u ? u : u & 0x80000000u);
}

static void SW_K(round_block)(const float *from, int64_t ld, int64_t rows, int64_t width, uint16_t *to) {
    for (int64_t i = 0; i < rows; i++) {
        const float *restrict x = from + i * ld;
        uint16_t *restrict y = to + i * width;
        int64_t j = 0;
#if SW_KERNEL_AVX512
        for (; j < width; j += SWI_GROUP) {
            const __mmask16 mask = (__mmask16)(width - j < SWI_GROUP ? (1u << (width - j)) - 1 : 0xFFFF);
            const __m512 loaded = _mm512_maskz_loadu_ps(mask, x + j);
            const __mmask16 normal = _mm512_test_epi32_mask(_mm512_castps_si512(loaded), _mm512_set1_epi32(0x7F800000));
            const __m512i sign = _mm512_and_si512(_mm512_castps_si512(loaded), _mm512_set1_epi32((int)0x80000000u));
            const __m512i flushed = _mm512_mask_mov_epi32(sign, normal, _mm512_castps_si512(loaded));
            _mm256_mask_storeu_epi16(y + j, mask, SW_K(half_store16)(_mm512_castsi512_ps(flushed)));
        }
#endif
        for (; j < width; j++)
            SW_STORE(y, j, SW_K(round_flushed)(x[j]));
    }
}

#endif

#else

#include "core/kernels/dispatch.h"

void swi_half_round(sw_dtype type, const float *from, int64_t ld, int64_t rows, int64_t width, uint16_t *to) {
    typedef void round_kernel(const float *from, int64_t ld, int64_t rows, int64_t width, uint16_t *to);
    static round_kernel *const kernels[SW_FLOAT_TYPES][SW_LEVELS] = {
        [SW_F16] = SW_KERNEL_ROW(round_block, f16), [SW_BF16] = SW_KERNEL_ROW(round_block, bf16)};
    kernels[type][swi_cpu_level()](from, ld, rows, width, to);
}

#endif
