/* A part of half_wide.c: panels of floats from operands of one type, and the conversion of sums to one type. It is
 * included for each storage type and level, and therefore has no include guard. */
#include "core/kernels/half_vectors.h"

#if SW_KERNEL_F32

#if WIDE_LEVEL == 2
/* `count` <= 16 numbers as floats; the rest of the 16 is 0. */
SW_K_INLINE __m512 SW_K(wide_read)(const stored *from, int64_t count) {
    const __mmask16 mask = (__mmask16)((1u << count) - 1);
#if SW_KERNEL_HALF
    return SW_K(half_load16)(_mm256_maskz_loadu_epi16(mask, from));
#else
    return _mm512_maskz_loadu_ps(mask, from);
#endif
}
#endif

#if WIDE_LEVEL != 2
/* Converts `count` < 16 numbers in blocks of constant length; the rest of the 16 becomes 0. The numbers are not
 * copied to a buffer first: a load that is wider than the stores before it waits until they have reached the cache. */
SW_K_INLINE void SW_K(wide_short_group)(const stored *restrict from, int64_t count, float *restrict to) {
    int64_t j = 0;
    for (int i = 0; i < SWI_GROUP; i++)
        to[i] = 0;
#if defined(HALF_F16C)
    if (j + 8 <= count) {
        _mm256_storeu_ps(to, SW_K(half_load8)(from));
        j += 8;
    }
    if (j + 4 <= count) {
        _mm_storeu_ps(to + j, _mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)(const void *)(from + j))));
        j += 4;
    }
    if (j + 2 <= count) {
        int pair;
        memcpy(&pair, from + j, sizeof pair);
        _mm_storel_pi((__m64 *)(void *)(to + j), _mm_cvtph_ps(_mm_cvtsi32_si128(pair)));
        j += 2;
    }
#else
    if (j + 8 <= count) {
        for (int i = 0; i < 8; i++)
            to[i] = SW_LOAD(from, i);
        j += 8;
    }
    if (j + 4 <= count) {
        for (int i = 0; i < 4; i++)
            to[j + i] = SW_LOAD(from, j + i);
        j += 4;
    }
#endif
    for (; j < count; j++)
        to[j] = SW_LOAD(from, j);
}
#endif

/* Converts `count` <= 16 numbers; the rest of the 16 becomes 0. */
SW_K_INLINE void SW_K(wide_group)(const stored *restrict from, int64_t count, float *restrict to) {
#if WIDE_LEVEL == 2
    _mm512_storeu_ps(to, SW_K(wide_read)(from, count));
#else
    if (count < SWI_GROUP) {
        SW_K(wide_short_group)(from, count, to);
        return;
    }
#if defined(HALF_F16C)
    _mm256_storeu_ps(to, SW_K(half_load8)(from));
    _mm256_storeu_ps(to + 8, SW_K(half_load8)(from + 8));
#else
    for (int j = 0; j < SWI_GROUP; j++)
        to[j] = SW_LOAD(from, j);
#endif
#endif
}

/* A copy from rows to rows. The panel has room for whole groups; the elements after the last term are 0. */
static void SW_K(wide_a_rows)(const void *from, int64_t ld, int64_t terms, int64_t count, void *panel) {
    for (int64_t i = 0; i < count; i++) {
        const stored *row = (const stored *)from + i * ld;
        float *to = (float *)panel + i * SWI_WIDE_STEP;
        int64_t k = 0;
        for (; k + SWI_GROUP <= terms; k += SWI_GROUP) /* a constant count needs no mask */
            SW_K(wide_group)(row + k, SWI_GROUP, to + k);
        if (k < terms + terms % 2)
            SW_K(wide_group)(row + k, terms - k, to + k);
    }
    if (count % 2)
        memset((float *)panel + count * SWI_WIDE_STEP, 0, sizeof(float) * SWI_WIDE_STEP);
}

/* A copy from lines to lines whose distance is `width`. */
SW_K_INLINE void SW_K(wide_lines)(const stored *from, int64_t ld, int64_t terms, int64_t count, float *to, int width) {
    if (count == SWI_GROUP) /* a constant count needs no mask */
        for (int64_t k = 0; k < terms; k++)
            SW_K(wide_group)(from + k * ld, SWI_GROUP, to + k * width);
    else
        for (int64_t k = 0; k < terms; k++)
            SW_K(wide_group)(from + k * ld, count, to + k * width);
    if (terms % 2)
        memset(to + terms * width, 0, sizeof(float) * SWI_GROUP);
}

static void SW_K(wide_a_lines)(const void *from, int64_t ld, int64_t terms, int64_t count, void *panel) {
    SW_K(wide_lines)(from, ld, terms, count, panel, SWI_GROUP);
}

static void SW_K(wide_b_lines)(const void *from, int64_t ld, int64_t terms, int64_t count, void *panel) {
    for (int64_t c = 0; c < count; c += SWI_GROUP) {
        const int64_t some = count - c < SWI_GROUP ? count - c : SWI_GROUP;
        float *to = (float *)panel + c / SWI_STRIP * SWI_STRIP * (terms + terms % 2) + c % SWI_STRIP;
        SW_K(wide_lines)((const stored *)from + c, ld, terms, some, to, SWI_STRIP);
    }
}

/* `some` numbers of each of `count` rows become `lines` = some + some % 2 lines, SWI_STRIP apart, of one group. */
SW_K_INLINE void SW_K(wide_turn_block)(const stored *from, int64_t ld, int64_t some, int64_t count, float *to) {
    const int64_t lines = some + some % 2;
#if WIDE_LEVEL == 2
    __m512i r[SWI_GROUP];
    WIDE_UNROLL
    for (int i = 0; i < SWI_GROUP; i++)
        r[i] = _mm512_castps_si512(SW_K(wide_read)(from + (i < count ? i : 0) * ld, i < count ? some : 0));
    swi_half_transpose(r);
    WIDE_UNROLL
    for (int j = 0; j < SWI_GROUP; j++)
        if (j < lines)
            _mm512_storeu_si512(to + j * SWI_STRIP, r[j]);
#else
    float block[SWI_GROUP][SWI_GROUP] __attribute__((aligned(SW_ALIGNMENT))) = {{0}};
    for (int64_t i = 0; i < count; i++)
        SW_K(wide_group)(from + i * ld, some, block[i]);
#if WIDE_LEVEL == 1
    if (lines == SWI_GROUP) {
        for (int i = 0; i < SWI_GROUP; i += 8)
            for (int j = 0; j < SWI_GROUP; j += 8)
                swi_half_transpose8(&block[i][j], to + j * SWI_STRIP + i);
        return;
    }
#endif
    for (int64_t j = 0; j < lines; j++)
        for (int i = 0; i < SWI_GROUP; i++)
            to[j * SWI_STRIP + i] = block[i][j];
#endif
}

#if WIDE_LEVEL == 2 && WIDE_PASS(SW_KERNEL_TYPE)
/* The same for bf16 in half of the instructions: pairs of terms are exchanged as elements of 32 bits, and each half of
 * a pair is the upper half of an f32. */
SW_K_INLINE void SW_K(wide_turn_pairs)(const stored *from, int64_t ld, int64_t some, int64_t count, float *to) {
    const __mmask32 mask = some == 2 * SWI_GROUP ? ~(__mmask32)0 : ((__mmask32)1 << some) - 1;
    __m512i r[SWI_GROUP];
    WIDE_UNROLL
    for (int i = 0; i < SWI_GROUP; i++)
        r[i] = _mm512_maskz_loadu_epi16(i < count ? mask : 0, from + (i < count ? i : 0) * ld);
    swi_half_transpose(r);
    WIDE_UNROLL
    for (int j = 0; j < SWI_GROUP; j++)
        if (2 * j < some) {
            _mm512_storeu_si512(to + 2 * j * SWI_STRIP, _mm512_slli_epi32(r[j], 16));
            _mm512_storeu_si512(to + (2 * j + 1) * SWI_STRIP,
                                _mm512_and_si512(r[j], _mm512_set1_epi32((int)0xFFFF0000u)));
        }
}
#endif

/* `count` rows become the columns of one group. */
SW_K_INLINE void SW_K(wide_turn)(const stored *from, int64_t ld, int64_t terms, int64_t count, float *to) {
#if WIDE_LEVEL == 2 && WIDE_PASS(SW_KERNEL_TYPE)
    for (int64_t k = 0; k < terms; k += 2 * SWI_GROUP)
        SW_K(wide_turn_pairs)
    (from + k, ld, terms - k < 2 * SWI_GROUP ? terms - k : 2 * SWI_GROUP, count, to + k * SWI_STRIP);
    return;
#endif
    for (int64_t k = 0; k < terms; k += SWI_GROUP)
        SW_K(wide_turn_block)(from + k, ld, terms - k < SWI_GROUP ? terms - k : SWI_GROUP, count, to + k * SWI_STRIP);
}

static void SW_K(wide_b_rows)(const void *from, int64_t ld, int64_t terms, int64_t count, void *panel) {
    for (int64_t c = 0; c < count; c += SWI_GROUP) {
        const int64_t some = count - c < SWI_GROUP ? count - c : SWI_GROUP;
        float *to = (float *)panel + c / SWI_STRIP * SWI_STRIP * (terms + terms % 2) + c % SWI_STRIP;
        SW_K(wide_turn)((const stored *)from + c * ld, ld, terms, some, to);
    }
}

#if WIDE_LEVEL == 2 && SW_KERNEL_HALF
/* The terms of a block of wide_few; those of one register of B. */
#if WIDE_PASS(SW_KERNEL_TYPE)
#define FEW_TERMS (2 * SWI_GROUP)
#else
#define FEW_TERMS SWI_GROUP
#endif

/* odd[r] += Σ a[r][k] b[column][k] for k < lines, an even number, the second term of each pair first. `some`, at most
 * FEW_TERMS, terms and `count` columns of B are read. With `even`, for bf16, the first terms of all pairs are added to
 * even[r] instead. */
SW_K_INLINE void SW_K(wide_few_block)(const stored *b, int64_t ld, int64_t some, int64_t lines, int64_t count,
                                      const float *a, int rows, __m512 odd[SWI_FEW], __m512 *even) {
    const __mmask32 mask = some == 2 * SWI_GROUP ? ~(__mmask32)0 : ((__mmask32)1 << some) - 1;
    __m512i r[SWI_GROUP];
    WIDE_UNROLL
    for (int i = 0; i < SWI_GROUP; i++) {
        const stored *row = b + (i < count ? i : 0) * ld;
#if WIDE_PASS(SW_KERNEL_TYPE)
        r[i] = _mm512_maskz_loadu_epi16(i < count ? mask : 0, row);
#else
        r[i] = _mm512_castps_si512(SW_K(half_load16)(_mm256_maskz_loadu_epi16((__mmask16)(i < count ? mask : 0), row)));
#endif
    }
    swi_half_transpose(r);
    WIDE_UNROLL
    for (int i = 0; i < SWI_GROUP; i++) {
#if WIDE_PASS(SW_KERNEL_TYPE) /* a register has pairs of terms */
        if (2 * i >= lines)
            continue;
        const __m512 first = _mm512_castsi512_ps(_mm512_slli_epi32(r[i], 16)),
                     second = _mm512_castsi512_ps(_mm512_and_si512(r[i], _mm512_set1_epi32((int)0xFFFF0000u)));
        for (int row = 0; row < rows; row++) {
            const float *x = a + row * SWI_WIDE_STEP + 2 * i;
            __m512 *sum = even ? &even[row] : &odd[row];
            odd[row] = _mm512_fmadd_ps(_mm512_set1_ps(x[1]), second, odd[row]);
            *sum = _mm512_fmadd_ps(_mm512_set1_ps(x[0]), first, *sum);
        }
#else
        const int k = i ^ 1;
        if (k >= lines)
            continue;
        for (int row = 0; row < rows; row++)
            odd[row] = _mm512_fmadd_ps(_mm512_set1_ps(a[row * SWI_WIDE_STEP + k]), _mm512_castsi512_ps(r[k]), odd[row]);
        (void)even;
#endif
    }
}

/* The sums of a strip of `count` columns. Two groups take turns, because each addition waits for the one before. */
SW_K_INLINE void SW_K(wide_few_strip)(const stored *b, int64_t ld, int64_t terms, int64_t count, const float *a,
                                      int rows, float *sums, int64_t sums_ld, bool add) {
    const __m512 zero = _mm512_setzero_ps();
    __m512 sum[2][SWI_FEW] = {{zero, zero}, {zero, zero}};
    for (int64_t k = 0; k < terms; k += FEW_TERMS) {
        const int64_t some = terms - k < FEW_TERMS ? terms - k : FEW_TERMS, lines = some + some % 2;
        for (int g = 0; g < 2; g++) {
            const int64_t columns = count - g * SWI_GROUP < SWI_GROUP ? count - g * SWI_GROUP : SWI_GROUP;
            const stored *from = b + g * SWI_GROUP * ld + k;
            if (columns > 0 && some == FEW_TERMS)
                SW_K(wide_few_block)(from, ld, FEW_TERMS, FEW_TERMS, columns, a + k, rows, sum[g], NULL);
            else if (columns > 0)
                SW_K(wide_few_block)(from, ld, some, lines, columns, a + k, rows, sum[g], NULL);
        }
    }
    for (int g = 0; g * SWI_GROUP < count; g++)
        for (int row = 0; row < rows; row++) {
            float *s = sums + row * sums_ld + g * SWI_GROUP;
            _mm512_storeu_ps(s, add ? _mm512_add_ps(_mm512_loadu_ps(s), sum[g][row]) : sum[g][row]);
        }
}

static void SW_K(wide_few)(const void *b, int64_t ld, int64_t terms, int64_t count, const void *a, int rows,
                           float *sums, int64_t sums_ld, bool add) {
    for (int64_t c = 0; c < count; c += SWI_STRIP) {
        const int64_t some = count - c < SWI_STRIP ? count - c : SWI_STRIP;
        if (rows == 1)
            SW_K(wide_few_strip)((const stored *)b + c * ld, ld, terms, some, a, 1, sums + c, sums_ld, add);
        else
            SW_K(wide_few_strip)((const stored *)b + c * ld, ld, terms, some, a, 2, sums + c, sums_ld, add);
    }
}

#if WIDE_PASS(SW_KERNEL_TYPE)
/* The same in the order SW_BF16_TILES. */
SW_K_INLINE void SW_K(wide_few_tile_strip)(const stored *b, int64_t ld, int64_t terms, int64_t count, const float *a,
                                           int rows, float *sums, int64_t sums_ld, bool add) {
    const __m512 zero = _mm512_setzero_ps();
    for (int64_t k = 0; k < terms; k += FEW_TERMS, add = true) {
        const int64_t some = terms - k < FEW_TERMS ? terms - k : FEW_TERMS, lines = some + some % 2;
        for (int g = 0; g * SWI_GROUP < count; g++) {
            const int64_t columns = count - g * SWI_GROUP < SWI_GROUP ? count - g * SWI_GROUP : SWI_GROUP;
            const stored *from = b + g * SWI_GROUP * ld + k;
            __m512 odd[SWI_FEW] = {zero, zero}, even[SWI_FEW] = {zero, zero};
            if (some == FEW_TERMS)
                SW_K(wide_few_block)(from, ld, FEW_TERMS, FEW_TERMS, columns, a + k, rows, odd, even);
            else
                SW_K(wide_few_block)(from, ld, some, lines, columns, a + k, rows, odd, even);
            for (int row = 0; row < rows; row++) {
                float *s = sums + row * sums_ld + g * SWI_GROUP;
                if (some < FEW_TERMS) /* the products of missing terms turn -0 into 0 */
                    odd[row] = _mm512_add_ps(odd[row], zero), even[row] = _mm512_add_ps(even[row], zero);
                _mm512_storeu_ps(s, _mm512_add_ps(add ? _mm512_loadu_ps(s) : zero, _mm512_add_ps(even[row], odd[row])));
            }
        }
    }
}

static void SW_K(wide_few_tiles)(const void *b, int64_t ld, int64_t terms, int64_t count, const void *a, int rows,
                                 float *sums, int64_t sums_ld, bool add) {
    for (int64_t c = 0; c < count; c += SWI_STRIP) {
        const int64_t some = count - c < SWI_STRIP ? count - c : SWI_STRIP;
        if (rows == 1)
            SW_K(wide_few_tile_strip)((const stored *)b + c * ld, ld, terms, some, a, 1, sums + c, sums_ld, add);
        else
            SW_K(wide_few_tile_strip)((const stored *)b + c * ld, ld, terms, some, a, 2, sums + c, sums_ld, add);
    }
}
#endif
#undef FEW_TERMS
#endif

static void SW_K(wide_output)(const float *sums, int64_t count, float alpha, float beta, void *c) {
    stored *restrict out = c;
    int64_t j = 0;
#if WIDE_LEVEL == 2 && SW_KERNEL_HALF
    for (; beta == 0 && j + SWI_STRIP <= count; j += SWI_STRIP) {
        const __m512 low = _mm512_mul_ps(_mm512_set1_ps(alpha), _mm512_loadu_ps(sums + j)),
                     high = _mm512_mul_ps(_mm512_set1_ps(alpha), _mm512_loadu_ps(sums + j + SWI_GROUP));
        _mm512_storeu_si512(out + j, SW_K(half_store32)(low, high));
    }
    for (; j < count; j += SWI_GROUP) {
        const __mmask16 mask = (__mmask16)(count - j < SWI_GROUP ? (1u << (count - j)) - 1 : 0xFFFF);
        __m512 x = _mm512_mul_ps(_mm512_set1_ps(alpha), _mm512_maskz_loadu_ps(mask, sums + j));
        if (beta != 0) {
            const __m512 old = SW_K(half_load16)(_mm256_maskz_loadu_epi16(mask, out + j));
            x = _mm512_add_ps(x, _mm512_mul_ps(_mm512_set1_ps(beta), old));
        }
        _mm256_mask_storeu_epi16(out + j, mask, SW_K(half_store16)(x));
    }
#elif defined(HALF_F16C)
    for (; j + 8 <= count; j += 8) {
        __m256 x = _mm256_mul_ps(_mm256_set1_ps(alpha), _mm256_loadu_ps(sums + j));
        if (beta != 0)
            x = _mm256_add_ps(x, _mm256_mul_ps(_mm256_set1_ps(beta), SW_K(half_load8)(out + j)));
        SW_K(half_store8)(out + j, x);
    }
#elif WIDE_LEVEL == 1 && WIDE_PASS(SW_KERNEL_TYPE)
    float block[256];
    for (int64_t some; beta == 0 && j < count; j += some) { /* swi_convert_to_half is faster than SW_STORE */
        some = count - j < 256 ? count - j : 256;
        for (int64_t i = 0; i < some; i++)
            block[i] = alpha * sums[j + i];
        swi_convert_to_half(SW_BF16, some, block, out + j);
    }
#endif
    if (beta == 0)
        for (; j < count; j++)
            SW_STORE(out, j, alpha * sums[j]);
    else
        for (; j < count; j++)
            SW_STORE(out, j, alpha * sums[j] + beta * SW_LOAD(out, j));
}

#endif
