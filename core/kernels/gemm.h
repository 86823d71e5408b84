/* Products of matrices. */
#ifndef SWALE_GEMM_H
#define SWALE_GEMM_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* C[M,N] = alpha·op(A)·op(B) + beta·C, row-major, in f32 or f64, through OpenBLAS on one thread for
 * each tile; tiles depend on M, N, K and the transpositions alone, and threads share them. lda, ldb,
 * ldc: elements between rows as stored. K = 0 gives beta·C, and 0 for beta = 0. Lengths and strides
 * below 2^31. In f32, sums longer than 16384 are made of parts that are added in f64: a relative error of 1e-5 for
 * terms of one sign and any K. Shorter ones are OpenBLAS's, with an error of at most K 2^-24 Σ|a||b|.
 * SW_ERR_MEMORY, with C as it was, if OpenBLAS cannot have the 128 MiB of address space that
 * it needs. If there is not enough address space for every thread, the calling thread computes all tiles. */
SW_API sw_status sw_gemm(sw_dtype type, bool a_transposed, bool b_transposed, int64_t M, int64_t N, int64_t K,
                         double alpha, const void *A, int64_t lda, const void *B, int64_t ldb, double beta, void *C,
                         int64_t ldc);

#ifdef __cplusplus
}
#endif
#endif
