/* Conversions of vectors between f32 and the 16-bit types, at the speed of the memory: by AVX-512, by F16C and AVX2,
 * and elsewhere by loops over SW_LOAD and SW_STORE. All give the same bits.
 *
 * A vector that is too long for the caches is written by non-temporal stores. Ordinary ones would first read the memory
 * that they write, which takes as long as reading the source. */
#define SW_KERNEL_16_BIT
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <swale/kernel.h>

#include "core/kernels/dispatch.h"
#include "core/kernels/convert.h"

#if SW_KERNEL_FIRST
typedef struct convert_args {
    const void *from;
    void *to;
    bool stream; /* non-temporal stores; tiles of `to` begin at a cache line */
} convert_args;
enum { CONVERT_BLOCK = 32 }; /* numbers converted at a time: a line of 16-bit numbers */
#endif

#if SW_KERNEL_PASS

#if SW_KERNEL_HALF

#include "core/kernels/half_vectors.h"

static void SW_K(convert_wide)(void *args, int64_t begin, int64_t end, double *sums) {
    const convert_args *s = args;
    const stored *restrict from = s->from;
    float *restrict to = s->to;
    int64_t i = begin;
    (void)sums;
#if SW_KERNEL_AVX512
    for (; i + CONVERT_BLOCK <= end; i += CONVERT_BLOCK) {
        const __m512 low = SW_K(half_load16)(_mm256_loadu_si256((const __m256i *)(const void *)(from + i))),
                     high = SW_K(half_load16)(_mm256_loadu_si256((const __m256i *)(const void *)(from + i + 16)));
        if (s->stream) {
            _mm512_stream_ps(to + i, low);
            _mm512_stream_ps(to + i + 16, high);
        } else {
            _mm512_storeu_ps(to + i, low);
            _mm512_storeu_ps(to + i + 16, high);
        }
    }
    for (; i < end; i += 16) {
        const __mmask16 mask = (__mmask16)(end - i < 16 ? (1u << (end - i)) - 1 : 0xFFFF);
        _mm512_mask_storeu_ps(to + i, mask, SW_K(half_load16)(_mm256_maskz_loadu_epi16(mask, from + i)));
    }
    if (s->stream)
        _mm_sfence();
#else
    for (; i < end; i++)
        to[i] = SW_LOAD(from, i);
#endif
}

static void SW_K(convert_narrow)(void *args, int64_t begin, int64_t end, double *sums) {
    const convert_args *s = args;
    const float *restrict from = s->from;
    stored *restrict to = s->to;
    int64_t i = begin;
    (void)sums;
#if SW_KERNEL_AVX512
    for (; i + CONVERT_BLOCK <= end; i += CONVERT_BLOCK) {
        const __m512i both = SW_K(half_store32)(_mm512_loadu_ps(from + i), _mm512_loadu_ps(from + i + 16));
        if (s->stream)
            _mm512_stream_si512((void *)(to + i), both);
        else
            _mm512_storeu_si512(to + i, both);
    }
    for (; i < end; i += 16) {
        const __mmask16 mask = (__mmask16)(end - i < 16 ? (1u << (end - i)) - 1 : 0xFFFF);
        _mm256_mask_storeu_epi16(to + i, mask, SW_K(half_store16)(_mm512_maskz_loadu_ps(mask, from + i)));
    }
    if (s->stream)
        _mm_sfence();
#else
    for (; i < end; i++)
        SW_STORE(to, i, from[i]);
#endif
}

#endif

#else /* ---- once ---- */

#if defined(__x86_64__)

/* ---- AVX2 ---- */

#define CONVERT_AVX2 __attribute__((target("avx2,f16c")))

/* Loads eight numbers as f32; the results are those of half.h. */
static inline __attribute__((always_inline)) CONVERT_AVX2 __m256 convert_load8(sw_dtype type, const uint16_t *from) {
    const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)from);
    return type == SW_F16 ? _mm256_cvtph_ps(x) : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}

/* Rounds eight f32, none of which is a NaN, to bf16 numbers in 32-bit elements. */
static inline __attribute__((always_inline)) CONVERT_AVX2 __m256i convert_round8(__m256 x) {
    const __m256i u = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    return _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7FFF)), odd), 16);
}
/* The same for elements that are NaN. */
static inline __attribute__((always_inline)) CONVERT_AVX2 __m256i convert_quiet8(__m256 x) {
    return _mm256_or_si256(_mm256_srli_epi32(_mm256_castps_si256(x), 16), _mm256_set1_epi32(0x40));
}

/* Rounds sixteen f32 to the 16-bit type. */
static inline __attribute__((always_inline)) CONVERT_AVX2 __m256i convert_narrow16(sw_dtype type, const float *from) {
    if (type == SW_BF16) {
        const __m256 x = _mm256_loadu_ps(from), y = _mm256_loadu_ps(from + 8);
        __m256i u = convert_round8(x), v = convert_round8(y);
        if (_mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_UNORD_Q))) {
            u = _mm256_blendv_epi8(u, convert_quiet8(x), _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
            v = _mm256_blendv_epi8(v, convert_quiet8(y), _mm256_castps_si256(_mm256_cmp_ps(y, y, _CMP_UNORD_Q)));
        }
        return _mm256_permute4x64_epi64(_mm256_packus_epi32(u, v), 0xD8); /* packus works within each half */
    }
    const __m128i low = _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                  high = _mm256_cvtps_ph(_mm256_loadu_ps(from + 8), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

static inline __attribute__((always_inline)) CONVERT_AVX2 int64_t convert_wide_blocks(sw_dtype type,
                                                                                      const convert_args *s,
                                                                                      int64_t begin, int64_t end) {
    const uint16_t *from = s->from;
    float *to = s->to;
    int64_t i = begin;
    for (; i + CONVERT_BLOCK <= end; i += CONVERT_BLOCK)
        for (int j = 0; j < CONVERT_BLOCK; j += 8) {
            const __m256 x = convert_load8(type, from + i + j);
            if (s->stream)
                _mm256_stream_ps(to + i + j, x);
            else
                _mm256_storeu_ps(to + i + j, x);
        }
    for (; i + 8 <= end; i += 8)
        _mm256_storeu_ps(to + i, convert_load8(type, from + i));
    return i;
}

static inline __attribute__((always_inline)) CONVERT_AVX2 int64_t convert_narrow_blocks(sw_dtype type,
                                                                                        const convert_args *s,
                                                                                        int64_t begin, int64_t end) {
    const float *from = s->from;
    uint16_t *to = s->to;
    int64_t i = begin;
    for (; i + CONVERT_BLOCK <= end; i += CONVERT_BLOCK)
        for (int j = 0; j < CONVERT_BLOCK; j += 16) {
            const __m256i x = convert_narrow16(type, from + i + j);
            if (s->stream)
                _mm256_stream_si256((__m256i *)(void *)(to + i + j), x);
            else
                _mm256_storeu_si256((__m256i *)(void *)(to + i + j), x);
        }
    for (; i + 16 <= end; i += 16)
        _mm256_storeu_si256((__m256i *)(void *)(to + i), convert_narrow16(type, from + i));
    return i;
}

/* A kernel that converts blocks of numbers. The kernel of the level converts the last ones. */
#define CONVERT_KERNEL(name, type, blocks, rest)                                          \
    CONVERT_AVX2 static void name(void *args, int64_t begin, int64_t end, double *sums) { \
        const convert_args *s = args;                                                     \
        rest(args, blocks(type, s, begin, end), end, sums);                               \
        if (s->stream)                                                                    \
            _mm_sfence();                                                                 \
    }
CONVERT_KERNEL(convert_wide_by_f16c, SW_F16, convert_wide_blocks, convert_wide_f16_avx2)
CONVERT_KERNEL(convert_wide_by_shift, SW_BF16, convert_wide_blocks, convert_wide_bf16_avx2)
CONVERT_KERNEL(convert_narrow_by_f16c, SW_F16, convert_narrow_blocks, convert_narrow_f16_avx2)
CONVERT_KERNEL(convert_narrow_by_shift, SW_BF16, convert_narrow_blocks, convert_narrow_bf16_avx2)

/* [type][level], in [0] without the kernels of this section, and in [1] with them. */
#define CONVERT_TABLE(name, f16_avx2, bf16_avx2)                                                 \
    {                                                                                            \
        [SW_F16] = {SW_K_JOIN(name, f16, baseline), f16_avx2, SW_K_JOIN(name, f16, avx512)},     \
        [SW_BF16] = {SW_K_JOIN(name, bf16, baseline), bf16_avx2, SW_K_JOIN(name, bf16, avx512)}, \
    }
static const sw_kernels wide_kernels[2] = {CONVERT_TABLE(convert_wide, convert_wide_f16_avx2, convert_wide_bf16_avx2),
                                           CONVERT_TABLE(convert_wide, convert_wide_by_f16c, convert_wide_by_shift)};
static const sw_kernels narrow_kernels[2] = {
    CONVERT_TABLE(convert_narrow, convert_narrow_f16_avx2, convert_narrow_bf16_avx2),
    CONVERT_TABLE(convert_narrow, convert_narrow_by_f16c, convert_narrow_by_shift)};

#else

#define CONVERT_TABLE(name) \
    { [SW_F16] = SW_KERNEL_ROW(name, f16), [SW_BF16] = SW_KERNEL_ROW(name, bf16) }
static const sw_kernels wide_kernels[1] = {CONVERT_TABLE(convert_wide)};
static const sw_kernels narrow_kernels[1] = {CONVERT_TABLE(convert_narrow)};

#endif

/* ---- Dispatch ---- */

static void convert_run(const sw_kernels tables[], sw_dtype type, int64_t n, const void *from, void *to, size_t size) {
    /* If `to` has more bytes than this, caches would not keep them until they are read. */
    enum { LONG = 16 << 20 };
    convert_args args = {.from = from, .to = to};
#if defined(__x86_64__)
    args.stream = (size_t)n * size >= LONG && (uintptr_t)to % SW_ALIGNMENT == 0;
#else
    (void)size;
#endif
    swi_run(&tables[swi_cpu_has(SWI_CPU_F16C) ? 1 : 0], type, &args, n);
}

void swi_convert_from_half(sw_dtype type, int64_t n, const void *from, float *to) {
    convert_run(wide_kernels, type, n, from, to, sizeof(float));
}

void swi_convert_to_half(sw_dtype type, int64_t n, const float *from, void *to) {
    convert_run(narrow_kernels, type, n, from, to, sizeof(uint16_t));
}

/* The kernel for n elements, which is called directly for each of many short rows. */
static sw_kernel *convert_kernel(const sw_kernels tables[], sw_dtype type) {
    return tables[swi_cpu_has(SWI_CPU_F16C) ? 1 : 0][type][swi_cpu_level()];
}

void swi_convert_rows_from_half(sw_dtype type, int64_t rows, int64_t n, const void *from, int64_t stride, float *to) {
    if (n == stride || rows == 1) {
        swi_convert_from_half(type, rows * n, from, to);
        return;
    }
    sw_kernel *kernel = convert_kernel(wide_kernels, type);
    for (int64_t row = 0; row < rows; row++) {
        convert_args args = {.from = (const uint16_t *)from + row * stride, .to = to + row * n};
        kernel(&args, 0, n, NULL);
    }
}

void swi_convert_rows_to_half(sw_dtype type, int64_t rows, int64_t n, const float *from, void *to, int64_t stride) {
    if (n == stride || rows == 1) {
        swi_convert_to_half(type, rows * n, from, to);
        return;
    }
    sw_kernel *kernel = convert_kernel(narrow_kernels, type);
    for (int64_t row = 0; row < rows; row++) {
        convert_args args = {.from = from + row * n, .to = (uint16_t *)to + row * stride};
        kernel(&args, 0, n, NULL);
    }
}

#endif
