/* Products C = A·op(B) + bias of a few rows with a matrix that is multiplied many times, as the weights of a recurrent
 * network at every step. op(B) is copied once to panels, which the products read in order, so that a product of 8 rows
 * is as fast as a large one. In f32 and f64. */
#ifndef SWALE_PACKED_PRODUCT_H
#define SWALE_PACKED_PRODUCT_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The length of the rows of C for N columns: N rounded up to whole registers. The product writes all of a row; the
 * elements after the first N are undefined. */
SW_API int64_t sw_packed_columns(sw_dtype type, int64_t N);
/* The bytes of the panels of a matrix op(B) [K, N]. */
SW_API size_t sw_packed_bytes(sw_dtype type, int64_t K, int64_t N);
/* Copies op(B) [K, N], the transpose of B if `transposed`, to panels, aligned to SW_ALIGNMENT. Their order depends on
 * the level of the kernels (sw_cpu_level). ldb is the distance of the rows of B in elements. Threads share the work. */
SW_API void sw_packed_fill(sw_dtype type, bool transposed, int64_t K, int64_t N, const void *B, int64_t ldb,
                           void *panels);
/* C [M, N] = A [M, K] · op(B) + bias, computed by the calling thread, without other memory. lda >= K; ldc >=
 * sw_packed_columns; `bias` has N elements, or is NULL. An element of C is computed as follows: every 256 terms are
 * added in order by fused multiply-additions (at level baseline by rounded products), beginning with 0; these sums are
 * added in order, and then the bias. The bits do not depend on M.
 * |error of a sum| <= (256 + K/256) u Σ|a||b|, where u is 2^-24 or 2^-53. */
SW_API void sw_packed_product(sw_dtype type, int64_t M, int64_t N, int64_t K, const void *A, int64_t lda,
                              const void *panels, const void *bias, void *C, int64_t ldc);

#ifdef __cplusplus
}
#endif
#endif
