/* Copies of parts of the operands of a large product in f32 (large_product.c), in the form of half_product.h: blocks of
 * SWI_MICRO_ROWS rows of op(A), and strips of SWI_STRIP columns of op(B). */
#ifndef SWALE_KERNELS_LARGE_PANELS_H
#define SWALE_KERNELS_LARGE_PANELS_H

#include "core/kernels/half_product.h"

enum { SWI_LARGE_BLOCK = SWI_A_BYTES / (int)sizeof(float) /* floats from one block of A to the next */ };

/* Both functions copy `terms` <= SWI_PART terms from term k on. If the product is rounded to bf16, the copies are
 * rounded, subnormal numbers become 0, the two terms of each pair are exchanged, and a missing last term is 0. A loop
 * over the terms then adds in the order SW_BF16_PAIRS (gemm.h). For processors with AVX-512. */

/* Rows [first, end) of op(A). */
void swi_large_pack_a(const sw_product *p, int64_t first, int64_t end, int64_t k, int64_t terms, float *to);
/* Columns [n0, n0 + n) of op(B). */
void swi_large_pack_b(const sw_product *p, int64_t n0, int64_t n, int64_t k, int64_t terms, float *to);

#endif
