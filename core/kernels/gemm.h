/* Matrix products. */
#ifndef SWALE_GEMM_H
#define SWALE_GEMM_H

#include <swale/array.h>
#include <swale/vector.h>

#ifdef __cplusplus
extern "C" {
#endif

/* C = alpha·op(A)·op(B) + beta·C, row-major, in f32 or f64. op(A) is [M,K], op(B) is [K,N], C is [M,N]; op(X) is the
 * transpose of X if X_transposed, else X. lda, ldb and ldc are the distances of rows in memory, in elements. Lengths
 * and strides are below 2^31. With beta = 0, C is not read. With K = 0 the result is beta·C, and 0 for beta = 0.
 *
 * C is divided into tiles, which threads share. OpenBLAS computes each tile on one thread. The tiles depend only on M,
 * N, K, the transpositions and the kernels that OpenBLAS uses on this processor, so that the result has the same bits
 * for every number of threads. Products of small matrices (M·N·K up to a million) are computed without OpenBLAS, in one
 * tile, if the processor has AVX2, because a call of OpenBLAS would take longer.
 *
 * Accuracy: in f32, sums with more than 16384 terms are computed in parts, which are added in f64. The relative error
 * is 1e-5 for terms of one sign and any K. Shorter sums have an error of at most K 2^-24 Σ|a||b|.
 *
 * Errors: SW_ERR_MEMORY, without a change of C, if OpenBLAS cannot get the 128 MiB of address space that it needs, or
 * if there is no memory for the partial sums of long sums. If there is not enough address space for every thread, the
 * calling thread computes all tiles. */
SW_API sw_status sw_gemm(sw_dtype type, bool a_transposed, bool b_transposed, int64_t M, int64_t N, int64_t K,
                         double alpha, const void *A, int64_t lda, const void *B, int64_t ldb, double beta, void *C,
                         int64_t ldc);

/* The order of the additions in products of two bf16 matrices. sw_product_run has the definitions. */
typedef enum sw_bf16_order {
    /* SW_BF16_TILES on processors with AMX-BF16, on which it is several times as fast, and SW_BF16_PAIRS on others. The
     * environment variable SW_BF16_PRODUCTS=pairs or tiles, or sw_set_bf16_order, selects one of them instead, so that
     * runs on different processors have equal bits. */
    SW_BF16_DEFAULT = 0,
    SW_BF16_PAIRS, /* the order of vdpbf16ps; the faster one on processors without AMX-BF16 */
    SW_BF16_TILES  /* the order of tdpbf16ps of AMX-BF16; elsewhere it has about 0.8 of the speed of SW_BF16_PAIRS */
} sw_bf16_order;
/* Sets the order that SW_BF16_DEFAULT stands for in this process; with SW_BF16_DEFAULT, the processor determines it
 * again. SW_BF16_PRODUCTS has no effect afterwards. It must not be called while another thread computes. Errors:
 * SW_ERR_ARGUMENT for another number. */
SW_API sw_status sw_set_bf16_order(sw_bf16_order order);
/* The order that SW_BF16_DEFAULT stands for: SW_BF16_PAIRS or SW_BF16_TILES. */
SW_API sw_bf16_order sw_bf16_order_used(void);

/* A product C = alpha·op(A)·op(B) + beta·C whose operands may have different storage types. The lengths are those of
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
    /* NULL, or the object of sw_call_squares if C is a gradient. Products in f32 and f64 report C to it if ldc = N. */
    SW_ADDED sw_squares *squares;
    /* NULL, or N numbers of the type of C, which are added to each row of the result; beta must be 0. In f32 and f64
     * they are added to the rounded product, in f16 and bf16 before the rounding to the type of C. */
    SW_ADDED const void *bias;
    /* NULL, or sw_product_scratch bytes, aligned to SW_ALIGNMENT, with which products of large matrices are faster. */
    SW_ADDED void *scratch;
    SW_ADDED size_t scratch_bytes;
    /* SW_F32 (0): no rounding. SW_BF16 or SW_F16: operands A and B in f32 are rounded to this type while they are
     * copied to the cache, and multiplied as operands in that type are. Subnormal numbers become 0. The copy costs
     * little, so that matrices in f32 are multiplied at the speed of 16-bit types. C keeps its type. */
    SW_ADDED sw_dtype rounded_to;
    /* The result is known to be symmetric, for example X Xᵀ, or a product of two powers of a symmetric matrix. Only the
     * elements on and below the diagonal are computed, which takes about half of the time; those above are copies, so
     * that C is exactly symmetric. M must equal N, and with beta != 0 C must be symmetric. Only for products with
     * operands in 16 bits or rounded to them, without a bias. */
    SW_ADDED bool symmetric;
    /* The order of the additions if A and B are bf16 or rounded to it. */
    SW_ADDED sw_bf16_order order;
} sw_product;
/* Computes a product in the compute type of its operands. If all three types are f32 and no operand is rounded, or all
 * are f64, the function calls sw_gemm. Otherwise A and B are converted to f32 block by block, and the sums are added in
 * f32 in a fixed order, so that C has the same bits for every number of threads and on every instruction set (except
 * for the sign and payload of a NaN). Nothing is allocated; each thread that computes uses less than 256 KiB of its
 * stack. One element of C is computed as follows, where round() is to the nearest f32:
 *
 *     for every 256 terms, in order:                            the last part may be shorter
 *         part = 0
 *         for every two terms (k, k + 1), in order:             a missing last term is 0
 *             part = round(part + op(A)[m,k+1] op(B)[k+1,n])    the second of the two first
 *             part = round(part + op(A)[m,k] op(B)[k,n])
 *         sum = part for the first part, else round(sum + part)
 *     C[m,n] = round(alpha sum), or round(round(alpha sum) + round(beta C[m,n])), rounded to the type of C
 *
 * If A and B are bf16 or rounded to it, this is the order SW_BF16_PAIRS. The order SW_BF16_TILES has the sum
 *
 *     sum = 0
 *     for every 32 terms, in order:                             missing last terms are 0
 *         even = odd = 0
 *         for every two terms (k, k + 1), in order:
 *             even = round(even + op(A)[m,k] op(B)[k,n])
 *             odd = round(odd + op(A)[m,k+1] op(B)[k+1,n])
 *         sum = round(sum + round(even + odd))
 *
 * With more than 16384 terms, `sum` is an f64, to which parts of 256 terms are added in either order, and is rounded to
 * f32 at the end. alpha and beta are rounded to f32. With alpha = 0, A and B are not read.
 *
 * Products of two 16-bit numbers are not rounded before they are added. They have at most 22 binary digits, so that
 * rounding would change only those outside the range of f32. In the loops, subnormal operands and results are replaced
 * by 0. This does not concern operands in f16, because a subnormal f16 is a normal f32. The instructions of AVX512-BF16
 * and AMX-BF16 do the same. On AArch64 a result that rounds up to 2^-126 may become 0 instead, and on processors other
 * than x86-64 and AArch64 subnormal numbers are kept. If A or B is f32 and not rounded, each product is rounded to f32
 * before it is added, and subnormal numbers are kept. Such products take up to twice the time, because they cannot use
 * fused multiply-additions.
 *
 * Accuracy: |error of sum| <= (256 + K/256) 2^-24 Σ|a||b|, and 257 · 2^-24 Σ|a||b| for more than 16384 terms; with
 * SW_BF16_TILES (18 + K/32) 2^-24 Σ|a||b|, and 27 · 2^-24 Σ|a||b|; rounded products add 2^-24 Σ|a||b|.
 *
 * Errors: SW_ERR_TYPE for other types; SW_ERR_SHAPE and SW_ERR_ARGUMENT for a `symmetric` that is refused;
 * SW_ERR_MEMORY as in sw_gemm, only if sw_gemm is called. C is unchanged then. */
SW_API sw_status sw_product_run(const sw_product *product);

/* The bytes of scratch for a product of large matrices at the present number of threads; 0 if the product uses none.
 * Reads the types, the transpositions, the lengths, alpha and beta. Operations get the memory by sw_call_scratch.
 *
 * Products in f32 use scratch if the kernels are those of AVX-512, M, N and K are at least 128, K at most 16384, M·N·K
 * at least 5e7 (8e6 if only B is transposed and K < 512), alpha is 1, beta is 0 or 1, and of the columns that are
 * computed, the next multiple of 32, at most a sixteenth is unused. With scratch, they are computed without OpenBLAS:
 * every 256 terms are added in order by fused multiply-additions, beginning with 0; these sums are added in order, for
 * beta = 1 to C; and the result is rounded again by the bias. Therefore C has the same bits for every number of
 * threads. |error of a sum| <= (256 + K/256) 2^-24 Σ|a||b|. On an Intel Xeon this takes up to 20 % less time than
 * OpenBLAS, and up to 40 % less for M·N·K below 5e7. */
SW_API size_t sw_product_scratch(const sw_product *product);

#ifdef __cplusplus
}
#endif
#endif
