/* Products of small matrices in f32 and f64, without OpenBLAS, whose calls take longer than such a product. */
#ifndef SWALE_KERNELS_SMALL_PRODUCT_H
#define SWALE_KERNELS_SMALL_PRODUCT_H

#include <swale/gemm.h>

/* Computes a product in f32 or f64, whose operands have one type, on the calling thread, if its lengths permit it and
 * the processor has fused multiply-additions; otherwise it returns false and does nothing. Whether it does depends on
 * nothing else.
 *
 * A product with one row or one column is computed as in matrix_vector.h. In others, every 256 terms are added in order
 * by fused multiply-additions, beginning with 0, and these sums are added in order. The result is rounded again by
 * alpha (unless it is 1), by beta·C (unless beta is 0) and by the bias. Therefore it has the same bits on avx2 and
 * avx512.
 * |error of a sum| <= (256 + K/256) u Σ|a||b|, where u is 2^-24 or 2^-53. */
bool swi_small_product(const sw_product *product);

/* C += bias, in each row of C[rows, columns]. */
void swi_add_bias(sw_dtype type, int64_t rows, int64_t columns, const void *bias, void *C, int64_t ldc);

#endif
