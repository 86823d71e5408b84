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

/* Converts `count` <= 16 numbers; the rest of the 16 becomes 0. */
SW_K_INLINE void SW_K(wide_group)(const stored *restrict from, int64_t count, float *restrict to) {
#if WIDE_LEVEL == 2
    _mm512_storeu_ps(to, SW_K(wide_read)(from, count));
#else
    stored x[SWI_GROUP] = {0};
    if (count < SWI_GROUP) {
        for (int64_t j = 0; j < count; j++)
            x[j] = from[j];
        from = x;
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
        for (int64_t k = 0; k < terms + terms % 2; k += SWI_GROUP)
            SW_K(wide_group)(row + k, terms - k < SWI_GROUP ? terms - k : SWI_GROUP, to + k);
    }
    if (count % 2)
        memset((float *)panel + count * SWI_WIDE_STEP, 0, sizeof(float) * SWI_WIDE_STEP);
}

/* A copy from lines to lines whose distance is `width`. */
SW_K_INLINE void SW_K(wide_lines)(const stored *from, int64_t ld, int64_t terms, int64_t count, float *to, int width) {
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

/* `count` rows become the columns of one group. */
SW_K_INLINE void SW_K(wide_turn)(const stored *from, int64_t ld, int64_t terms, int64_t count, float *to) {
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

static void SW_K(wide_output)(const float *sums, int64_t count, float alpha, float beta, void *c) {
    stored *restrict out = c;
    int64_t j = 0;
#if WIDE_LEVEL == 2 && SW_KERNEL_HALF
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
#endif
    if (beta == 0)
        for (; j < count; j++)
            SW_STORE(out, j, alpha * sums[j]);
    else
        for (; j < count; j++)
            SW_STORE(out, j, alpha * sums[j] + beta * SW_LOAD(out, j));
}

#endif
