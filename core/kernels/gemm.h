/* Matrix products. */
#ifndef SWALE_GEMM_H
#define SWALE_GEMM_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* C = alpha·op(A)·op(B) + beta·C, row-major, in f32 or f64. op(A) is [M,K], op(B) is [K,N], C is [M,N]; op(X) is the
 * transpose of X if X_transposed, else X. lda, ldb and ldc are the distances of rows in memory, in elements. Lengths
 * and strides are below 2^31. With beta = 0, C is not read. With K = 0 the result is beta·C, and 0 for beta = 0.
 *
 * C is divided into tiles, which threads share. OpenBLAS computes each tile on one thread. The tiles depend only on M,
 * N, K, the transpositions and the kernels that OpenBLAS uses on this processor, so that the result has the same bits
 * for every number of threads.
 *
 * Accuracy: in f32, sums with more than 16384 terms are computed in parts, which are added in f64. The relative error
 * is 1e-5 for terms of one sign and any K. Shorter sums are left to OpenBLAS, with an error of at most K 2^-24 Σ|a||b|.
 *
 * Errors: SW_ERR_MEMORY, without a change of C, if OpenBLAS cannot get the 128 MiB of address space that it needs, or
 * if there is no memory for the partial sums of long sums. If there is not enough address space for every thread, the
 * calling thread computes all tiles. */
SW_API sw_status sw_gemm(sw_dtype type, bool a_transposed, bool b_transposed, int64_t M, int64_t N, int64_t K,
                         double alpha, const void *A, int64_t lda, const void *B, int64_t ldb, double beta, void *C,
                         int64_t ldc);

/* A product C = alpha·op(A)·op(B) + beta·C whose operands have storage types of their own, with the lengths of
 * sw_gemm. */
typedef struct sw_product {
    size_t size;                     /* sizeof(sw_product) */
    sw_dtype a_type, b_type, c_type; /* all f64; or each f32, f16 or bf16 */
    bool a_transposed, b_transposed;
    int64_t M, N, K;
    double alpha, beta;
    const void *A, *B;
    void *C;
    int64_t lda, ldb, ldc;
} sw_product;
/* Computes a product in the compute type of its operands. The result is that of sw_gemm for the same numbers in this
 * type; C is rounded once. Operands in f16 and bf16 are converted as a whole, in memory of SW_ACCOUNT_TEMPORARIES.
 *
 * Errors: SW_ERR_TYPE for other types; SW_ERR_MEMORY as in sw_gemm, also if there is no memory for the converted
 * operands. C is unchanged then. */
SW_API sw_status sw_product_run(const sw_product *product);

#ifdef __cplusplus
}
#endif
#endif
