/* Products of bf16 by the instruction that multiplies pairs of them (AVX512-BF16). half_product.h describes the panels.
 *
 * vdpbf16ps computes sum + a1 b1, then + a0 b0, for pairs (a0, a1) and (b0, b1). Each of the two is rounded once, to
 * the nearest f32, and subnormal numbers are 0 (Intel 64 and IA-32 Architectures Software Developer's Manual,
 * VDPBF16PS). A fused multiply-add of f32 between sw_subnormals_flush and sw_subnormals_restore has the same bits. */
#include "core/kernels/half_product.h"

#if !defined(__x86_64__)

void swi_half_bf16_kernels(const swi_half_operands *operands, swi_half_kernels *kernels) {
    (void)operands, (void)kernels;
}

#else

#include "core/kernels/half_bf16_panels.h"

/* ---- Panels ---- */

/* A copy from rows to rows: two consecutive terms of a row already are a pair. */
BF16_INLINE void bf16_rows_to_rows(const void *from, int64_t ld, int64_t terms, int64_t count, bool wide, void *panel) {
    for (int64_t i = 0; i < count + count % 2; i++) {
        uint32_t *to = (uint32_t *)panel + i * SWI_PAIR_STEP; /* there is room for whole vectors */
        for (int64_t k = 0; k < terms; k += 32)
            _mm512_storeu_si512(to + k / 2,
                                i < count ? bf16_load32(from, i * ld + k, terms - k, wide) : _mm512_setzero_si512());
    }
}

#define BF16_PACK(name, call)                                                                               \
    BF16_TARGET static void name(const void *from, int64_t ld, int64_t terms, int64_t count, void *panel) { \
        call;                                                                                               \
    }
BF16_PACK(bf16_a_rows, bf16_rows_to_rows(from, ld, terms, count, false, panel))
BF16_PACK(bf16_a_rows_f32, bf16_rows_to_rows(from, ld, terms, count, true, panel))
BF16_PACK(bf16_a_lines, bf16_lines(from, 0, ld, terms, 0, count, false, panel, SWI_GROUP))
BF16_PACK(bf16_a_lines_f32, bf16_lines(from, 0, ld, terms, 0, count, true, panel, SWI_GROUP))
BF16_PACK(bf16_b_rows, bf16_strips_of_rows(from, ld, terms, (terms + 1) / 2, count, false, panel))
BF16_PACK(bf16_b_rows_f32, bf16_strips_of_rows(from, ld, terms, (terms + 1) / 2, count, true, panel))
BF16_PACK(bf16_b_lines, bf16_strips_of_lines(from, ld, terms, (terms + 1) / 2, count, false, panel))
BF16_PACK(bf16_b_lines_f32, bf16_strips_of_lines(from, ld, terms, (terms + 1) / 2, count, true, panel))

/* ---- Sums ---- */

/* [rows, groups * 16] sums in registers. Pair (row, k) of A is at row * row_step + k * k_step. */
BF16_INLINE void bf16_block(const int32_t *a, int64_t row_step, int64_t k_step, const int32_t *b, int64_t pairs,
                            int rows, int groups, float *sums, int64_t ld, bool add) {
    __m512 sum[SWI_MICRO_ROWS][2];
    BF16_UNROLL
    for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < pairs; k++) {
        const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b + k * SWI_STRIP),
                       b1 = groups == 2 ? (__m512bh)_mm512_loadu_si512(b + k * SWI_STRIP + SWI_GROUP) : b0;
        BF16_UNROLL
        for (int r = 0; r < rows; r++) {
            const __m512bh x = (__m512bh)_mm512_set1_epi32(a[r * row_step + k * k_step]);
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, b0);
            if (groups == 2)
                sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, b1);
        }
    }
    BF16_UNROLL
    for (int r = 0; r < rows; r++)
        for (int g = 0; g < groups; g++) {
            float *s = sums + r * ld + g * SWI_GROUP;
            _mm512_storeu_ps(s, add ? _mm512_add_ps(_mm512_loadu_ps(s), sum[r][g]) : sum[r][g]);
        }
}

BF16_INLINE void bf16_rows(const int32_t *a, int64_t row_step, int64_t k_step, const int32_t *b, int64_t pairs,
                           int rows, int groups, float *sums, int64_t ld, bool add) {
    switch (rows) {
    case 12: bf16_block(a, row_step, k_step, b, pairs, 12, groups, sums, ld, add); break;
    case 10: bf16_block(a, row_step, k_step, b, pairs, 10, groups, sums, ld, add); break;
    case 8: bf16_block(a, row_step, k_step, b, pairs, 8, groups, sums, ld, add); break;
    case 6: bf16_block(a, row_step, k_step, b, pairs, 6, groups, sums, ld, add); break;
    case 4: bf16_block(a, row_step, k_step, b, pairs, 4, groups, sums, ld, add); break;
    default: bf16_block(a, row_step, k_step, b, pairs, 2, groups, sums, ld, add); break;
    }
}

BF16_TARGET static void bf16_micro_rows(const void *a, const void *b, int64_t terms, int rows, int groups, float *sums,
                                        int64_t ld, bool add) {
    if (groups == 2)
        bf16_rows(a, SWI_PAIR_STEP, 1, b, terms / 2, rows, 2, sums, ld, add);
    else
        bf16_rows(a, SWI_PAIR_STEP, 1, b, terms / 2, rows, 1, sums, ld, add);
}

BF16_TARGET static void bf16_micro_lines(const void *a, const void *b, int64_t terms, int rows, int groups, float *sums,
                                         int64_t ld, bool add) {
    if (groups == 2)
        bf16_rows(a, 1, SWI_GROUP, b, terms / 2, rows, 2, sums, ld, add);
    else
        bf16_rows(a, 1, SWI_GROUP, b, terms / 2, rows, 1, sums, ld, add);
}

void swi_half_bf16_kernels(const swi_half_operands *o, swi_half_kernels *kernels) {
    static swi_half_pack *const a[2][2] = {{bf16_a_rows, bf16_a_rows_f32}, {bf16_a_lines, bf16_a_lines_f32}},
                                *const b[2][2] = {{bf16_b_lines, bf16_b_lines_f32}, {bf16_b_rows, bf16_b_rows_f32}};
    kernels->a = a[o->a_transposed][o->a_is_f32];
    kernels->b = b[o->b_transposed][o->b_is_f32];
    kernels->micro = o->a_transposed ? bf16_micro_lines : bf16_micro_rows;
    kernels->term_bytes = sizeof(uint16_t);
    kernels->rounds = true;
}

#endif
