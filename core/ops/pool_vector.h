/* Vectors of channels for the kernels of pooling. Include it in each pass of kernel.h; there is no include guard.
 *
 * The kernels process the channels of a pixel in blocks: of a whole register if there are as many channels, else of 16
 * bytes or of one channel. The last block overlaps the one before it if the channels are not a multiple. pool_block.h
 * has the functions for a block, and is included for each kind of block. */
#define POOL_JOIN(a, b) a##b
#define POOL_LEVEL_baseline 0
#define POOL_LEVEL_avx2 1
#define POOL_LEVEL_avx512 2
#define POOL_LEVEL_OF(level) POOL_JOIN(POOL_LEVEL_, level)
#define POOL_LEVEL POOL_LEVEL_OF(SW_KERNEL_LEVEL)

/* The channels of a block. */
#define POOL_WHOLE ((16 << POOL_LEVEL) / (int)sizeof(real))
#define POOL_SHORT (16 / (int)sizeof(real))
#define POOL_SINGLE 1

/* Integers of the size of an element: masks, and places in windows. */
#undef POOL_INT
#if SW_KERNEL_F32
#define POOL_INT int32_t
#else
#define POOL_INT int64_t
#endif
#define POOL_VECTOR_TYPES(name, bytes)                                                                    \
    typedef real SW_K(pool_##name) __attribute__((vector_size(bytes), aligned(sizeof(real)), may_alias)); \
    typedef POOL_INT SW_K(pool_##name##_ints) __attribute__((vector_size(bytes), aligned(sizeof(real)), may_alias));
POOL_VECTOR_TYPES(whole, 16 << POOL_LEVEL)
POOL_VECTOR_TYPES(short, 16)
typedef real SW_K(pool_single);
typedef POOL_INT SW_K(pool_single_ints);
#define POOL_WHOLE_INTS SW_K(pool_whole_ints)
#define POOL_SHORT_INTS SW_K(pool_short_ints)
#define POOL_SINGLE_INTS SW_K(pool_single_ints)

/* Stores places, which are below 256, as bytes, and loads them. */
SW_K_INLINE void SW_K(pool_store_bytes_short)(uint8_t *to, const POOL_SHORT_INTS *place) {
#if defined(__x86_64__)
    __m128i x = (__m128i)*place;
#if !SW_KERNEL_F32
    x = _mm_shuffle_epi32(x, 0x08); /* the lower halves */
#endif
    x = _mm_packs_epi32(x, x);
    const int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(x, x));
    memcpy(to, &bytes, POOL_SHORT);
#else
    for (int l = 0; l < POOL_SHORT; l++)
        to[l] = (uint8_t)(*place)[l];
#endif
}

SW_K_INLINE void SW_K(pool_load_bytes_short)(const uint8_t *from, POOL_SHORT_INTS *place) {
#if defined(__x86_64__)
    const __m128i zero = _mm_setzero_si128();
    int bytes = 0;
    memcpy(&bytes, from, POOL_SHORT);
    __m128i x = _mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), zero), zero);
#if !SW_KERNEL_F32
    x = _mm_unpacklo_epi32(x, zero);
#endif
    *place = (POOL_SHORT_INTS)x;
#else
    for (int l = 0; l < POOL_SHORT; l++)
        (*place)[l] = from[l];
#endif
}

SW_K_INLINE void SW_K(pool_store_bytes_whole)(uint8_t *to, const POOL_WHOLE_INTS *place) {
#if POOL_LEVEL == 2 && SW_KERNEL_F32
    _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtepi32_epi8((__m512i)*place));
#elif POOL_LEVEL == 2
    _mm_storel_epi64((__m128i *)(void *)to, _mm512_cvtepi64_epi8((__m512i)*place));
#elif POOL_LEVEL == 1 && SW_KERNEL_F32
    const __m256i low = _mm256_set1_epi32(0x0C080400), bytes = _mm256_shuffle_epi8((__m256i)*place, low);
    _mm_storel_epi64((__m128i *)(void *)to,
                     _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)));
#elif POOL_LEVEL == 1
    const __m256i low = _mm256_set1_epi16(0x0800), bytes = _mm256_shuffle_epi8((__m256i)*place, low);
    const int four =
        _mm_cvtsi128_si32(_mm_unpacklo_epi16(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)));
    memcpy(to, &four, sizeof four);
#else
    SW_K(pool_store_bytes_short)(to, (const POOL_SHORT_INTS *)place);
#endif
}

SW_K_INLINE void SW_K(pool_load_bytes_whole)(const uint8_t *from, POOL_WHOLE_INTS *place) {
#if POOL_LEVEL == 2 && SW_KERNEL_F32
    *place = (POOL_WHOLE_INTS)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
#elif POOL_LEVEL == 2
    *place = (POOL_WHOLE_INTS)_mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(const void *)from));
#elif POOL_LEVEL == 1 && SW_KERNEL_F32
    *place = (POOL_WHOLE_INTS)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from));
#elif POOL_LEVEL == 1
    int four;
    memcpy(&four, from, sizeof four);
    *place = (POOL_WHOLE_INTS)_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four));
#else
    SW_K(pool_load_bytes_short)(from, (POOL_SHORT_INTS *)place);
#endif
}

SW_K_INLINE void SW_K(pool_store_bytes_single)(uint8_t *to, const POOL_SINGLE_INTS *place) {
    *to = (uint8_t)*place;
}

SW_K_INLINE void SW_K(pool_load_bytes_single)(const uint8_t *from, POOL_SINGLE_INTS *place) {
    *place = *from;
}

/* Runs `rows`, a function whose last argument is the constant number of channels in a block. */
#define POOL_RUN(rows, s, begin, end)         \
    do {                                      \
        if ((s)->channels >= POOL_WHOLE)      \
            rows(s, begin, end, POOL_WHOLE);  \
        else if ((s)->channels >= POOL_SHORT) \
            rows(s, begin, end, POOL_SHORT);  \
        else                                  \
            rows(s, begin, end, POOL_SINGLE); \
    } while (0)

#define POOL_BLOCK_IS_SINGLE 0
#define POOL_BLOCK whole
#include "core/ops/pool_block.h"
#undef POOL_BLOCK
#define POOL_BLOCK short
#include "core/ops/pool_block.h"
#undef POOL_BLOCK
#undef POOL_BLOCK_IS_SINGLE
#define POOL_BLOCK_IS_SINGLE 1
#define POOL_BLOCK single
#include "core/ops/pool_block.h"
#undef POOL_BLOCK
#undef POOL_BLOCK_IS_SINGLE
