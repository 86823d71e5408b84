/* Matrix products of operands in f16 and bf16: the interface between the driver (half_product.c) and the kernels of
 * each instruction set (half_wide.c, half_bf16.c, half_amx.c). gemm.h defines the order of the additions.
 *
 * The reduced dimension is cut into parts of SWI_PART terms. For one part, a block of op(A) and a block of op(B) are
 * copied into panels:
 *
 *     A, at most SWI_MICRO_ROWS rows    as rows: element (row, k) is at row * step + k; for an A that is not transposed
 *                                       as lines: it is at k * SWI_GROUP + row; for a transposed A
 *     B, strips of SWI_STRIP columns    strip after strip, without gaps; in a strip element (k, column) is at
 *                                       k * SWI_STRIP + column
 *
 * An element of a panel is a float (half_wide.c), or a pair of bf16 with the terms 2k (lower half) and 2k + 1 of the
 * part (half_bf16.c, half_amx.c, where A always is as rows). Panels end with an even number of terms, or in half_amx.c
 * with a multiple of 32; terms beyond those of the part are 0. Columns beyond the last one are 0. */
#ifndef SWALE_KERNELS_HALF_PRODUCT_H
#define SWALE_KERNELS_HALF_PRODUCT_H

#include <swale/gemm.h>

enum {
    SWI_PART = 256,       /* terms that are added in one chain; gemm.h states it */
    SWI_TILE_TERMS = 32,  /* terms of a step of SW_BF16_TILES; gemm.h states it */
    SWI_LONG_SUM = 16384, /* sums of more terms add their parts in f64; gemm.h states it */
    SWI_MICRO_ROWS = 12,  /* rows of C that are computed at a time; an even number … */
    SWI_TILE_ROWS = 32,   /* … and in tile registers */
    SWI_FEW = 2,          /* rows of A for which B is not copied */
    SWI_GROUP = 16,       /* columns of one vector of AVX-512 */
    SWI_STRIP = 2 * SWI_GROUP,
    /* The distance from one row of A to the next, in panels of floats and of pairs. It is not a power of 2, so that the
     * rows lie in different sets of the cache. */
    SWI_WIDE_STEP = SWI_PART + SWI_GROUP,
    SWI_PAIR_STEP = SWI_PART / 2 + SWI_GROUP,
    SWI_A_BYTES = SWI_TILE_ROWS * SWI_PAIR_STEP * 4, /* of a panel of A, in every form */
    SWI_B_BYTES = 64 << 10                           /* of a panel of B */
};
_Static_assert(SWI_A_BYTES >= SWI_MICRO_ROWS * SWI_WIDE_STEP * 4, "a panel of A has room for rows");
_Static_assert(SWI_A_BYTES >= SWI_GROUP * SWI_PART * 4, "a panel of A has room for lines");

/* Copies `count` vectors of `terms` <= SWI_PART numbers, the rows of a block of A or the columns of a block of B.
 * Number k of vector i is from[i * ld + k] for a copy from rows, and from[k * ld + i] for a copy from lines. */
typedef void swi_half_pack(const void *from, int64_t ld, int64_t terms, int64_t count, void *panel);
/* Computes sums of one part, [rows, groups * SWI_GROUP], from one panel of A and one strip of B. `terms` and `rows` are
 * even. Stores them at sums, whose rows are `ld` apart, or adds them if `add`. */
typedef void swi_half_micro(const void *a, const void *b, int64_t terms, int rows, int groups, float *sums, int64_t ld,
                            bool add);
/* As swi_half_micro, for `rows` <= SWI_FEW rows in a panel of floats, and for `count` columns, which are rows of `b` in
 * memory with the distance b_ld: each number of B is used so few times that a copy in a panel would cost more. */
typedef void swi_half_few(const void *b, int64_t b_ld, int64_t terms, int64_t count, const void *a, int rows,
                          float *sums, int64_t ld, bool add);
/* c[j] ← alpha sums[j] + beta c[j], rounded to the type of C */
typedef void swi_half_output(const float *sums, int64_t count, float alpha, float beta, void *c);

/* The kernels for one product. */
typedef struct swi_half_kernels {
    swi_half_pack *a, *b;
    swi_half_micro *micro;
    swi_half_few *few; /* NULL, or to be used instead of b and micro */
    swi_half_output *output;
    void (*begin)(void), (*end)(void); /* NULL, or to be called before and after the others by a thread */
    int64_t term_bytes;                /* of a term of one column in a panel of B */
    int64_t term_multiple;             /* panels end with a multiple of so many terms, */
    int64_t row_multiple;              /* blocks of rows with a multiple of so many rows, … */
    int64_t block_rows;                /* … of which there are at most so many */
    bool rounds;                       /* a and b round operands in f32 themselves */
} swi_half_kernels;

/* How the operands of a product of bf16 lie in memory. */
typedef struct swi_half_operands {
    bool a_transposed, b_transposed;
    bool a_is_f32, b_is_f32; /* in f32, to be rounded; else in bf16 */
} swi_half_operands;

/* Panels of floats, for every level. `fused`: a product is not rounded before it is added. `tiles`: in the order
 * SW_BF16_TILES, else in that of pairs. */
void swi_half_wide_kernels(const sw_product *p, bool fused, bool tiles, swi_half_kernels *kernels);
/* The instructions for bf16 in vectors, in the order SW_BF16_PAIRS: replaces all kernels but `output`; not to be called
 * if there is `few`. Does nothing on processors other than x86-64. */
void swi_half_bf16_kernels(const swi_half_operands *operands, swi_half_kernels *kernels);
/* The same in tiles, in the order SW_BF16_TILES. Returns false, and does nothing, if the compiler has no intrinsics for
 * AMX. */
bool swi_half_amx_kernels(const swi_half_operands *operands, swi_half_kernels *kernels);

/* Rounds a block of f32, whose rows are ld apart, to `type`, f16 or bf16; the rows of `to` are contiguous. Subnormal
 * numbers become 0 (half_round.c). */
void swi_half_round(sw_dtype type, const float *from, int64_t ld, int64_t rows, int64_t width, uint16_t *to);

/* Computes a checked product with M, N >= 1 of which not all operands have a compute type, or f32 operands are rounded.
 */
void swi_half_product(const sw_product *p);

#endif
