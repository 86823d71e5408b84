/* Products of bf16 by the tile registers of AMX-BF16, in the order SW_BF16_TILES (gemm.h).
 *
 * A tile register has 16 rows of 64 bytes. tdpbf16ps adds the product of 16 rows of A and 16 columns of B, of 32 terms
 * each, to [16, 16] sums. B is in lines of pairs of terms, as in half_bf16.c, and so needs no other panel. For each sum
 * the instruction adds the products of the even terms in one chain and those of the odd terms in another; it then adds
 * the two sums to each other, and the result to the sum in the register (Intel 64 and IA-32 Architectures Software
 * Developer's Manual, TDPBF16PS). tests/core/kernels/test_half_product.c compares this with plain C.
 *
 * Panels end with a multiple of 32 terms, of which the last ones are 0. Rows of A beyond the last one are not set,
 * because their sums are not read. */
#include "core/kernels/bf16_order.h"
#include "core/kernels/half_product.h"

#if SWI_AMX_COMPILES

#include "core/kernels/half_bf16_panels.h"

#define AMX_TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16")))

/* The operand of ldtilecfg for palette 1: 16 rows of 64 bytes in each of the eight registers. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_configuration = {
    .palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
_Static_assert(sizeof amx_configuration == 64, "its size for ldtilecfg");

AMX_TARGET static void amx_begin(void) {
    _tile_loadconfig(&amx_configuration);
}

/* Afterwards the registers are in their initial state, which a context switch need not save. */
AMX_TARGET static void amx_end(void) {
    _tile_release();
}

/* ---- Panels ---- */

static inline int64_t amx_pairs(int64_t terms) {
    return (terms + SWI_TILE_TERMS - 1) / SWI_TILE_TERMS * (SWI_TILE_TERMS / 2);
}

BF16_INLINE void amx_rows_to_rows(const void *from, int64_t ld, int64_t terms, int64_t count, bool wide, void *panel) {
    for (int64_t i = 0; i < count; i++) {
        uint32_t *to = (uint32_t *)panel + i * SWI_PAIR_STEP;
        int64_t k = 0;
        for (; k + 32 <= terms; k += 32)
            _mm512_storeu_si512(to + k / 2, bf16_load32(from, i * ld + k, 32, wide));
        if (k < terms)
            _mm512_storeu_si512(to + k / 2, bf16_load32(from, i * ld + k, terms - k, wide));
    }
}

/* A copy from lines to rows: blocks of 32 terms and 16 columns become 16 rows. */
BF16_INLINE void amx_lines_to_rows(const void *from, int64_t ld, int64_t terms, int64_t count, bool wide, void *panel) {
    for (int64_t c = 0; c < count; c += SWI_GROUP) {
        const int64_t columns = count - c < SWI_GROUP ? count - c : SWI_GROUP;
        for (int64_t k = 0; k < terms; k += SWI_TILE_TERMS) {
            __m512i line[16];
            BF16_UNROLL
            for (int i = 0; i < 16; i++) {
                const int64_t t = k + 2 * i;
                line[i] = t < terms ? bf16_pair_lines(from, t * ld + c, ld, t + 1 < terms, columns, wide)
                                    : _mm512_setzero_si512();
            }
            swi_half_transpose(line);
            uint32_t *to = (uint32_t *)panel + c * SWI_PAIR_STEP + k / 2;
            BF16_UNROLL
            for (int i = 0; i < 16; i++)
                _mm512_storeu_si512(to + i * SWI_PAIR_STEP, line[i]);
        }
    }
}

#define AMX_PACK(name, call)                                                                                \
    BF16_TARGET static void name(const void *from, int64_t ld, int64_t terms, int64_t count, void *panel) { \
        call;                                                                                               \
    }
AMX_PACK(amx_a_rows, amx_rows_to_rows(from, ld, terms, count, false, panel))
AMX_PACK(amx_a_rows_f32, amx_rows_to_rows(from, ld, terms, count, true, panel))
AMX_PACK(amx_a_lines, amx_lines_to_rows(from, ld, terms, count, false, panel))
AMX_PACK(amx_a_lines_f32, amx_lines_to_rows(from, ld, terms, count, true, panel))
AMX_PACK(amx_b_rows, bf16_strips_of_rows(from, ld, terms, amx_pairs(terms), count, false, panel))
AMX_PACK(amx_b_rows_f32, bf16_strips_of_rows(from, ld, terms, amx_pairs(terms), count, true, panel))
AMX_PACK(amx_b_lines, bf16_strips_of_lines(from, ld, terms, amx_pairs(terms), count, false, panel))
AMX_PACK(amx_b_lines_f32, bf16_strips_of_lines(from, ld, terms, amx_pairs(terms), count, true, panel))

/* ---- Sums ---- */

enum {
    A_BYTES = SWI_PAIR_STEP * 4, /* of a row of A */
    B_BYTES = SWI_STRIP * 4,     /* of a line of B */
    STEP_BYTES = B_BYTES * SWI_TILE_TERMS / 2
};

/* The intrinsics need constant numbers of registers. Registers 0 to 3 have the sums, 4 and 5 A, 6 and 7 B. The loads
 * are between the products, so that they are executed at the same time. */
AMX_TARGET static void amx_sums_2x2(const char *a, const char *b, int64_t terms, float *sums, int64_t ld, bool add) {
    float *const lower = sums + 16 * ld;
    const int64_t row = ld * (int64_t)sizeof *sums;
    if (add) {
        _tile_loadd(0, sums, row);
        _tile_loadd(1, sums + 16, row);
        _tile_loadd(2, lower, row);
        _tile_loadd(3, lower + 16, row);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t k = 0; k < terms; k += SWI_TILE_TERMS, a += 64, b += STEP_BYTES) {
        _tile_loadd(6, b, B_BYTES);
        _tile_loadd(4, a, A_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + 64, B_BYTES);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + 16 * A_BYTES, A_BYTES);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, row);
    _tile_stored(1, sums + 16, row);
    _tile_stored(2, lower, row);
    _tile_stored(3, lower + 16, row);
}

AMX_TARGET static void amx_sums_1x2(const char *a, const char *b, int64_t terms, float *sums, int64_t ld, bool add) {
    const int64_t row = ld * (int64_t)sizeof *sums;
    if (add) {
        _tile_loadd(0, sums, row);
        _tile_loadd(1, sums + 16, row);
    } else {
        _tile_zero(0);
        _tile_zero(1);
    }
    for (int64_t k = 0; k < terms; k += SWI_TILE_TERMS, a += 64, b += STEP_BYTES) {
        _tile_loadd(6, b, B_BYTES);
        _tile_loadd(4, a, A_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + 64, B_BYTES);
        _tile_dpbf16ps(1, 4, 7);
    }
    _tile_stored(0, sums, row);
    _tile_stored(1, sums + 16, row);
}

AMX_TARGET static void amx_sums_2x1(const char *a, const char *b, int64_t terms, float *sums, int64_t ld, bool add) {
    float *const lower = sums + 16 * ld;
    const int64_t row = ld * (int64_t)sizeof *sums;
    if (add) {
        _tile_loadd(0, sums, row);
        _tile_loadd(2, lower, row);
    } else {
        _tile_zero(0);
        _tile_zero(2);
    }
    for (int64_t k = 0; k < terms; k += SWI_TILE_TERMS, a += 64, b += STEP_BYTES) {
        _tile_loadd(6, b, B_BYTES);
        _tile_loadd(4, a, A_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a + 16 * A_BYTES, A_BYTES);
        _tile_dpbf16ps(2, 5, 6);
    }
    _tile_stored(0, sums, row);
    _tile_stored(2, lower, row);
}

AMX_TARGET static void amx_sums_1x1(const char *a, const char *b, int64_t terms, float *sums, int64_t ld, bool add) {
    const int64_t row = ld * (int64_t)sizeof *sums;
    if (add)
        _tile_loadd(0, sums, row);
    else
        _tile_zero(0);
    for (int64_t k = 0; k < terms; k += SWI_TILE_TERMS, a += 64, b += STEP_BYTES) {
        _tile_loadd(6, b, B_BYTES);
        _tile_loadd(4, a, A_BYTES);
        _tile_dpbf16ps(0, 4, 6);
    }
    _tile_stored(0, sums, row);
}

static void amx_micro(const void *a, const void *b, int64_t terms, int rows, int groups, float *sums, int64_t ld,
                      bool add) {
    if (rows > 16 && groups == 2)
        amx_sums_2x2(a, b, terms, sums, ld, add);
    else if (rows > 16)
        amx_sums_2x1(a, b, terms, sums, ld, add);
    else if (groups == 2)
        amx_sums_1x2(a, b, terms, sums, ld, add);
    else
        amx_sums_1x1(a, b, terms, sums, ld, add);
}

bool swi_half_amx_kernels(const swi_half_operands *o, swi_half_kernels *kernels) {
    static swi_half_pack *const a[2][2] = {{amx_a_rows, amx_a_rows_f32}, {amx_a_lines, amx_a_lines_f32}},
                                *const b[2][2] = {{amx_b_lines, amx_b_lines_f32}, {amx_b_rows, amx_b_rows_f32}};
    kernels->a = a[o->a_transposed][o->a_is_f32];
    kernels->b = b[o->b_transposed][o->b_is_f32];
    kernels->micro = amx_micro;
    kernels->begin = amx_begin;
    kernels->end = amx_end;
    kernels->term_bytes = sizeof(uint16_t);
    kernels->term_multiple = SWI_TILE_TERMS;
    kernels->block_rows = SWI_TILE_ROWS;
    kernels->row_multiple = SWI_TILE_ROWS;
    kernels->rounds = true;
    return true;
}

#else

bool swi_half_amx_kernels(const swi_half_operands *operands, swi_half_kernels *kernels) {
    (void)operands, (void)kernels;
    return false;
}

#endif
