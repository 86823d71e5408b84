/* Panels of large products: see large_panels.h. */
#include "core/kernels/large_panels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

enum { LINES_AHEAD = 8 /* that are prefetched while others are copied */, SOME_LINES = 8 };

#define PANELS_TARGET __attribute__((target("avx2,fma,avx512f")))
#define PANELS_INLINE static inline __attribute__((always_inline)) PANELS_TARGET

/* ---- Rounding ---- */

/* 16 numbers, rounded to the nearest bf16, ties to even. Subnormal numbers become 0 first. */
PANELS_INLINE __m512 panels_round(const float *from) {
    const __m512 x = _mm512_loadu_ps(from);
    const __m512i bits = _mm512_castps_si512(x), upper = _mm512_set1_epi32((int)0xFFFF0000u),
                  odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1)),
                  half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF));
    __m512i rounded = _mm512_and_si512(_mm512_add_epi32(bits, half), upper);
    rounded = _mm512_mask_and_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q),
                                    _mm512_or_si512(bits, _mm512_set1_epi32(0x00400000)), upper); /* NaN stays NaN */
    rounded = _mm512_mask_and_epi32(rounded, _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7F800000)), bits,
                                    _mm512_set1_epi32((int)0x80000000u));
    return _mm512_castsi512_ps(rounded);
}

/* Rounds `pairs` pairs of lines of `vectors` vectors, and exchanges the two lines of a pair. */
PANELS_TARGET static void panels_round_lines(float *line, int64_t pairs, int vectors) {
    for (int64_t i = 0; i < pairs; i++, line += 2 * vectors * SWI_GROUP)
        for (int v = 0; v < vectors; v++) {
            float *first = line + v * SWI_GROUP, *second = first + vectors * SWI_GROUP;
            const __m512 even = panels_round(first), odd = panels_round(second);
            _mm512_storeu_ps(first, odd);
            _mm512_storeu_ps(second, even);
        }
}

/* Rounds a row, and exchanges the two terms of each pair. */
PANELS_TARGET static void panels_round_row(float *row, int64_t terms) {
    for (int64_t k = 0; k < terms; k += SWI_GROUP)
        _mm512_storeu_ps(row + k, _mm512_permute_ps(panels_round(row + k), 0xB1));
}

/* ---- A ---- */

static void panels_copy_rows_of_a(const sw_product *p, int64_t first, int64_t end, int64_t k, int64_t terms,
                                  float *to) {
    for (int64_t r = first; r < end; r++) {
        float *row = to + (r - first) / SWI_MICRO_ROWS * SWI_LARGE_BLOCK + (r - first) % SWI_MICRO_ROWS * SWI_WIDE_STEP;
        memcpy(row, (const float *)p->A + r * p->lda + k, (size_t)terms * sizeof(float));
        if (p->rounded_to != SW_BF16)
            continue;
        if (terms % 2)
            row[terms] = 0;
        panels_round_row(row, terms);
    }
}

/* All blocks of a line at a time, because lines may be in different pages. */
static void panels_copy_lines_of_a(const sw_product *p, int64_t first, int64_t end, int64_t k, int64_t terms,
                                   float *to) {
    for (int64_t i = 0; i < terms; i++) {
        const float *from = (const float *)p->A + (k + i) * p->lda + first, *next = from + LINES_AHEAD * p->lda;
        float *line = to + i * SWI_GROUP;
        for (int64_t left = end - first; left > 0;
             left -= SWI_MICRO_ROWS, from += SWI_MICRO_ROWS, line += SWI_LARGE_BLOCK) {
            if (i + LINES_AHEAD < terms)
                _mm_prefetch((const char *)(next + (end - first - left)), _MM_HINT_T0);
            if (left >= SWI_MICRO_ROWS) /* a constant count needs no loop */
                memcpy(line, from, SWI_MICRO_ROWS * sizeof(float));
            else
                memcpy(line, from, (size_t)left * sizeof(float));
        }
    }
}

void swi_large_pack_a(const sw_product *p, int64_t first, int64_t end, int64_t k, int64_t terms, float *to) {
    if (!p->a_transposed) {
        panels_copy_rows_of_a(p, first, end, k, terms, to);
        return;
    }
    panels_copy_lines_of_a(p, first, end, k, terms, to);
    for (int64_t r = first; r < end && p->rounded_to == SW_BF16; r += SWI_MICRO_ROWS, to += SWI_LARGE_BLOCK) {
        if (terms % 2)
            memset(to + terms * SWI_GROUP, 0, SWI_GROUP * sizeof(float));
        panels_round_lines(to, (terms + 1) / 2, 1);
    }
}

/* ---- B ---- */

/* A few lines at a time, because they may be in different pages. */
static void panels_copy_lines_of_b(const sw_product *p, int64_t n0, int64_t n, int64_t k, int64_t terms, float *to) {
    const int64_t even = terms + terms % 2;
    for (int64_t i = 0; i < terms; i += SOME_LINES)
        for (int64_t c = 0; c < n; c += SWI_STRIP)
            for (int64_t line = i; line < i + SOME_LINES && line < terms; line++) {
                const float *from = (const float *)p->B + (k + line) * p->ldb + n0 + c;
                float *at = to + c * even + line * SWI_STRIP;
                if (n - c >= SWI_STRIP) /* a constant count needs no loop */
                    memcpy(at, from, SWI_STRIP * sizeof(float));
                else
                    memcpy(at, from, (size_t)(n - c) * sizeof(float));
            }
}

void swi_large_pack_b(const sw_product *p, int64_t n0, int64_t n, int64_t k, int64_t terms, float *to) {
    const int64_t even = terms + terms % 2;
    swi_half_kernels panels;
    if (p->b_transposed) {
        swi_half_wide_kernels(p, true, false, &panels);
        panels.b((const float *)p->B + n0 * p->ldb + k, p->ldb, terms, n, to);
    } else {
        panels_copy_lines_of_b(p, n0, n, k, terms, to);
    }
    for (int64_t c = 0; c < n && p->rounded_to == SW_BF16; c += SWI_STRIP) {
        float *strip = to + c * even;
        if (terms % 2)
            memset(strip + terms * SWI_STRIP, 0, SWI_STRIP * sizeof(float));
        panels_round_lines(strip, even / 2, 2);
    }
}

#endif
