/* Products of operands in f16, bf16 and f32 by panels of floats, for every level. See half_product.h for the panels. */
#define SW_KERNEL_16_BIT
#if defined(__x86_64__)
#include "core/kernels/half_transpose.h"
#endif
#include <swale/kernel.h>

#include "core/kernels/convert.h"
#include "core/kernels/half_product.h"

/* The level of this pass: 0, 1, 2. */
#define WIDE_JOIN(a, b) a##b
#define WIDE_NUMBER(level) WIDE_JOIN(WIDE_, level)
#define WIDE_baseline 0
#define WIDE_avx2 1
#define WIDE_avx512 2
#define WIDE_f16c 1 /* avx2 with F16C */
#define WIDE_LEVEL WIDE_NUMBER(SW_KERNEL_LEVEL)
/* Whether this is the pass for bf16. */
#define WIDE_PASS_OF(type) WIDE_pass_##type
#define WIDE_PASS(type) WIDE_PASS_OF(type)
#define WIDE_pass_bf16 1

/* Unrolls loops with constant bounds, so that the sums stay in registers. */
#if defined(__clang__)
#define WIDE_UNROLL _Pragma("unroll")
#else
#define WIDE_UNROLL _Pragma("GCC unroll 16")
#endif

#if SW_KERNEL_FIRST
/* How products are added: rounded first, or not rounded, in one of the two orders of gemm.h. */
typedef enum wide_mode { WIDE_ROUNDED, WIDE_PAIRS, WIDE_TILES, WIDE_MODES } wide_mode;
#endif

#if SW_KERNEL_PASS

#include "core/kernels/half_panels.h"

/* ---- Sums ---- */

#if SW_KERNEL_F32 && !SW_KERNEL_HALF

#if WIDE_LEVEL == 2
#define WIDE_VECTOR __m512
#define WIDE_WIDTH 16
#define WIDE_ROWS 12
#define WIDE_SET1 _mm512_set1_ps
#define WIDE_ZERO _mm512_setzero_ps
#define WIDE_READ _mm512_loadu_ps
#define WIDE_WRITE _mm512_storeu_ps
#define WIDE_ADD _mm512_add_ps
#define WIDE_MUL _mm512_mul_ps
#define WIDE_FMA _mm512_fmadd_ps
#elif WIDE_LEVEL == 1
#define WIDE_VECTOR __m256
#define WIDE_WIDTH 8
#define WIDE_ROWS 6
#define WIDE_SET1 _mm256_set1_ps
#define WIDE_ZERO _mm256_setzero_ps
#define WIDE_READ _mm256_loadu_ps
#define WIDE_WRITE _mm256_storeu_ps
#define WIDE_ADD _mm256_add_ps
#define WIDE_MUL _mm256_mul_ps
#define WIDE_FMA _mm256_fmadd_ps
#endif

#if WIDE_LEVEL > 0

/* [rows, vectors] sums in registers. Element (row, k) of A is at row * row_step + k * k_step. The second term of a pair
 * comes first. */
SW_K_INLINE void SW_K(wide_block)(const float *a, int64_t row_step, int64_t k_step, const float *b, int64_t terms,
                                  int rows, int vectors, bool fused, float *sums, int64_t ld, bool add) {
    WIDE_VECTOR sum[WIDE_ROWS][2];
    WIDE_UNROLL
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2; v++)
            sum[r][v] = WIDE_ZERO();
    for (int64_t k = 0; k < terms; k += 2) {
        WIDE_UNROLL
        for (int odd = 1; odd >= 0; odd--) {
            const float *line = b + (k + odd) * SWI_STRIP, *column = a + (k + odd) * k_step;
            const WIDE_VECTOR b0 = WIDE_READ(line), b1 = vectors == 2 ? WIDE_READ(line + WIDE_WIDTH) : b0;
            WIDE_UNROLL
            for (int r = 0; r < rows; r++) {
                const WIDE_VECTOR x = WIDE_SET1(column[r * row_step]);
                sum[r][0] = fused ? WIDE_FMA(x, b0, sum[r][0]) : WIDE_ADD(sum[r][0], WIDE_MUL(x, b0));
                if (vectors == 2)
                    sum[r][1] = fused ? WIDE_FMA(x, b1, sum[r][1]) : WIDE_ADD(sum[r][1], WIDE_MUL(x, b1));
            }
        }
    }
    WIDE_UNROLL
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            float *s = sums + r * ld + v * WIDE_WIDTH;
            WIDE_WRITE(s, add ? WIDE_ADD(WIDE_READ(s), sum[r][v]) : sum[r][v]);
        }
}

/* The products of every second one of `terms` terms, added in one chain. Where terms are missing, 0 is added. */
SW_K_INLINE void SW_K(wide_chain)(const float *a, int64_t row_step, int64_t k_step, const float *b, int64_t terms,
                                  int rows, int vectors, WIDE_VECTOR sum[WIDE_ROWS][2]) {
    WIDE_UNROLL
    for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = WIDE_ZERO();
    for (int64_t k = 0; k < terms; k += 2) {
        const float *line = b + k * SWI_STRIP, *column = a + k * k_step;
        const WIDE_VECTOR b0 = WIDE_READ(line), b1 = vectors == 2 ? WIDE_READ(line + WIDE_WIDTH) : b0;
        WIDE_UNROLL
        for (int r = 0; r < rows; r++) {
            const WIDE_VECTOR x = WIDE_SET1(column[r * row_step]);
            sum[r][0] = WIDE_FMA(x, b0, sum[r][0]);
            if (vectors == 2)
                sum[r][1] = WIDE_FMA(x, b1, sum[r][1]);
        }
    }
    if (terms == SWI_TILE_TERMS)
        return;
    WIDE_UNROLL
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sum[r][v] = WIDE_ADD(sum[r][v], WIDE_ZERO());
}

/* The same block in the order SW_BF16_TILES. */
SW_K_INLINE void SW_K(wide_tile_block)(const float *a, int64_t row_step, int64_t k_step, const float *b, int64_t terms,
                                       int rows, int vectors, float *sums, int64_t ld, bool add) {
    for (int64_t k = 0; k < terms; k += SWI_TILE_TERMS, add = true) {
        const int64_t some = terms - k < SWI_TILE_TERMS ? terms - k : SWI_TILE_TERMS;
        const float *x = a + k * k_step, *y = b + k * SWI_STRIP;
        WIDE_VECTOR odd[WIDE_ROWS][2], sum[WIDE_ROWS][2];
        SW_K(wide_chain)(x + k_step, row_step, k_step, y + SWI_STRIP, some, rows, vectors, odd);
        SW_K(wide_chain)(x, row_step, k_step, y, some, rows, vectors, sum);
        WIDE_UNROLL
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++) {
                float *s = sums + r * ld + v * WIDE_WIDTH;
                const WIDE_VECTOR before = add ? WIDE_READ(s) : WIDE_ZERO();
                WIDE_WRITE(s, WIDE_ADD(before, WIDE_ADD(sum[r][v], odd[r][v])));
            }
    }
}

SW_K_INLINE void SW_K(wide_rows)(const float *a, int64_t row_step, int64_t k_step, const float *b, int64_t terms,
                                 int rows, int vectors, wide_mode mode, float *sums, int64_t ld, bool add) {
#define WIDE_CASE(count)                                                                                    \
    if (mode == WIDE_TILES)                                                                                 \
        SW_K(wide_tile_block)(a, row_step, k_step, b, terms, count, vectors, sums, ld, add);                \
    else                                                                                                    \
        SW_K(wide_block)(a, row_step, k_step, b, terms, count, vectors, mode == WIDE_PAIRS, sums, ld, add); \
    break
    switch (rows) {
#if WIDE_ROWS == 12
    case 12: WIDE_CASE(12);
    case 10: WIDE_CASE(10);
    case 8: WIDE_CASE(8);
#endif
    case 6: WIDE_CASE(6);
    case 4: WIDE_CASE(4);
    default: WIDE_CASE(2);
    }
#undef WIDE_CASE
}

/* A strip of 32 columns in blocks of two vectors; with AVX-512 a single group is one vector. */
SW_K_INLINE void SW_K(wide_micro)(const float *a, int64_t row_step, int64_t k_step, const float *b, int64_t terms,
                                  int rows, int groups, wide_mode mode, float *sums, int64_t ld, bool add) {
    for (int r = 0; r < rows; r += WIDE_ROWS) {
        const int some = rows - r < WIDE_ROWS ? rows - r : WIDE_ROWS;
        const float *x = a + r * row_step;
        float *s = sums + r * ld;
#if WIDE_WIDTH == 16
        if (groups == 1)
            SW_K(wide_rows)(x, row_step, k_step, b, terms, some, 1, mode, s, ld, add);
        else
            SW_K(wide_rows)(x, row_step, k_step, b, terms, some, 2, mode, s, ld, add);
#else
        for (int c = 0; c < groups * SWI_GROUP; c += 2 * WIDE_WIDTH)
            SW_K(wide_rows)(x, row_step, k_step, b + c, terms, some, 2, mode, s + c, ld, add);
#endif
    }
}

#undef WIDE_VECTOR
#undef WIDE_WIDTH
#undef WIDE_ROWS
#undef WIDE_SET1
#undef WIDE_ZERO
#undef WIDE_READ
#undef WIDE_WRITE
#undef WIDE_ADD
#undef WIDE_MUL
#undef WIDE_FMA

#else

/* sum + a b with one rounding. The product of two numbers of at most 11 digits is exact in f64, and therefore the sum
 * of this product and an f32, rounded to f64 and then to f32, is the nearest f32, because 53 >= 2 · 24 + 2 (Figueroa,
 * When is double rounding innocuous?, 1995). */
SW_K_INLINE float SW_K(wide_fused)(float a, float b, float sum) {
#if defined(__FP_FAST_FMAF)
    return __builtin_fmaf(a, b, sum);
#else
    return (float)((double)sum + (double)a * (double)b);
#endif
}

/* [16] sums of one row. */
SW_K_INLINE void SW_K(wide_chains)(const float *a, int64_t k_step, const float *b, int64_t terms, bool fused,
                                   float *sums, bool add) {
    float sum[SWI_GROUP] = {0};
    for (int64_t i = 0; i < terms; i++) {
        const int64_t k = i ^ 1;
        const float x = a[k * k_step], *line = b + k * SWI_STRIP;
        for (int j = 0; j < SWI_GROUP; j++)
            sum[j] = fused ? SW_K(wide_fused)(x, line[j], sum[j]) : sum[j] + x * line[j];
    }
    for (int j = 0; j < SWI_GROUP; j++)
        sums[j] = add ? sums[j] + sum[j] : sum[j];
}

/* The same in the order SW_BF16_TILES. */
SW_K_INLINE void SW_K(wide_tile_chains)(const float *a, int64_t k_step, const float *b, int64_t terms, float *sums,
                                        bool add) {
    for (int64_t from = 0; from < terms; from += SWI_TILE_TERMS, add = true) {
        const int64_t end = terms - from < SWI_TILE_TERMS ? terms : from + SWI_TILE_TERMS;
        float sum[2][SWI_GROUP] = {{0}, {0}}; /* of the even and the odd terms */
        for (int64_t k = from; k < end; k++) {
            const float x = a[k * k_step], *line = b + k * SWI_STRIP;
            for (int j = 0; j < SWI_GROUP; j++)
                sum[k % 2][j] = SW_K(wide_fused)(x, line[j], sum[k % 2][j]);
        }
        const float missing = 0; /* turns -0 into 0, as the products of missing terms do */
        for (int j = 0; j < SWI_GROUP; j++) {
            if (end - from < SWI_TILE_TERMS)
                sum[0][j] += missing, sum[1][j] += missing;
            sums[j] = (add ? sums[j] : 0) + (sum[0][j] + sum[1][j]);
        }
    }
}

SW_K_INLINE void SW_K(wide_micro)(const float *a, int64_t row_step, int64_t k_step, const float *b, int64_t terms,
                                  int rows, int groups, wide_mode mode, float *sums, int64_t ld, bool add) {
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < groups * SWI_GROUP; c += SWI_GROUP) {
            const float *x = a + r * row_step;
            float *s = sums + r * ld + c;
            if (mode == WIDE_TILES)
                SW_K(wide_tile_chains)(x, k_step, b + c, terms, s, add);
            else
                SW_K(wide_chains)(x, k_step, b + c, terms, mode == WIDE_PAIRS, s, add);
        }
}

#endif

#define WIDE_MICRO(name, row_step, k_step, mode)                                                                       \
    static void SW_K(name)(const void *a, const void *b, int64_t terms, int rows, int groups, float *sums, int64_t ld, \
                           bool add) {                                                                                 \
        SW_K(wide_micro)(a, row_step, k_step, b, terms, rows, groups, mode, sums, ld, add);                            \
    }
WIDE_MICRO(wide_rows_rounded, SWI_WIDE_STEP, 1, WIDE_ROUNDED)
WIDE_MICRO(wide_lines_rounded, 1, SWI_GROUP, WIDE_ROUNDED)
WIDE_MICRO(wide_rows_pairs, SWI_WIDE_STEP, 1, WIDE_PAIRS)
WIDE_MICRO(wide_lines_pairs, 1, SWI_GROUP, WIDE_PAIRS)
WIDE_MICRO(wide_rows_tiles, SWI_WIDE_STEP, 1, WIDE_TILES)
WIDE_MICRO(wide_lines_tiles, 1, SWI_GROUP, WIDE_TILES)
#undef WIDE_MICRO

#endif

#else /* ---- once ---- */

#include "core/kernels/dispatch.h"

/* ---- The panels of f16 again, for avx2 with F16C ---- */

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
#define SW_KERNEL_LEVEL f16c
#define SW_KERNEL_TYPE f16
#define SW_KERNEL_F32 1
#define SW_KERNEL_HALF 1
#define SW_KERNEL_AVX512 0
#define stored uint16_t
#define SW_LOAD(p, i) sw_f16_to_f32((p)[i])
#define SW_STORE(p, i, value) ((p)[i] = sw_f16_from_f32(value))
#define HALF_F16C 1
#include "core/kernels/half_panels.h"
#undef SW_KERNEL_LEVEL
#undef SW_KERNEL_TYPE
#undef SW_KERNEL_F32
#undef SW_KERNEL_HALF
#undef SW_KERNEL_AVX512
#undef stored
#undef SW_LOAD
#undef SW_STORE
#undef HALF_F16C
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static void wide_use_f16c(const sw_product *p, swi_half_kernels *kernels) {
    if (p->a_type == SW_F16)
        kernels->a = p->a_transposed ? wide_a_lines_f16_f16c : wide_a_rows_f16_f16c;
    if (p->b_type == SW_F16)
        kernels->b = p->b_transposed ? wide_b_rows_f16_f16c : wide_b_lines_f16_f16c;
    if (p->c_type == SW_F16)
        kernels->output = wide_output_f16_f16c;
}

#endif

/* ---- Tables ---- */

/* [type][level], for f32, f16 and bf16 */
#define WIDE_TABLE(name) \
    { [SW_F32] = SW_KERNEL_ROW(name, f32), [SW_F16] = SW_KERNEL_ROW(name, f16), [SW_BF16] = SW_KERNEL_ROW(name, bf16) }
typedef swi_half_pack *pack_table[SW_FLOAT_TYPES][SW_LEVELS];
static const pack_table a_rows = WIDE_TABLE(wide_a_rows), a_lines = WIDE_TABLE(wide_a_lines),
                        b_rows = WIDE_TABLE(wide_b_rows), b_lines = WIDE_TABLE(wide_b_lines);
static swi_half_output *const outputs[SW_FLOAT_TYPES][SW_LEVELS] = WIDE_TABLE(wide_output);
/* [A is in lines][mode][level] */
static swi_half_micro *const micros[2][WIDE_MODES][SW_LEVELS] = {
    {SW_KERNEL_ROW(wide_rows_rounded, f32), SW_KERNEL_ROW(wide_rows_pairs, f32), SW_KERNEL_ROW(wide_rows_tiles, f32)},
    {SW_KERNEL_ROW(wide_lines_rounded, f32), SW_KERNEL_ROW(wide_lines_pairs, f32),
     SW_KERNEL_ROW(wide_lines_tiles, f32)}};

/* For AVX-512. [in tiles][type] */
#if defined(__x86_64__)
static swi_half_few *const fews[2][SW_FLOAT_TYPES] = {
    {[SW_F16] = wide_few_f16_avx512, [SW_BF16] = wide_few_bf16_avx512}, {[SW_BF16] = wide_few_tiles_bf16_avx512}};
#else
static swi_half_few *const fews[2][SW_FLOAT_TYPES] = {{NULL}};
#endif

void swi_half_wide_kernels(const sw_product *p, bool fused, bool tiles, swi_half_kernels *kernels) {
    const int level = swi_cpu_level();
    const wide_mode mode = tiles ? WIDE_TILES : fused ? WIDE_PAIRS : WIDE_ROUNDED;
    *kernels = (swi_half_kernels){.a = (p->a_transposed ? a_lines : a_rows)[p->a_type][level],
                                  .b = (p->b_transposed ? b_rows : b_lines)[p->b_type][level],
                                  .micro = micros[p->a_transposed][mode][level],
                                  .output = outputs[p->c_type][level],
                                  .term_bytes = sizeof(float),
                                  .term_multiple = 2,
                                  .row_multiple = 2,
                                  .block_rows = SWI_MICRO_ROWS};
    if (level == 2 && fused && p->M <= SWI_FEW && p->b_transposed && !p->a_transposed)
        kernels->few = fews[tiles][p->b_type];
#if defined(__x86_64__)
    if (level == 1 && swi_cpu_has(SWI_CPU_F16C))
        wide_use_f16c(p, kernels);
#endif
}

#endif
