/* Products whose result is symmetric. */
#ifndef SWALE_MATRIX_SYMMETRIC_RESULT_H
#define SWALE_MATRIX_SYMMETRIC_RESULT_H

#include <swale/array.h>

/* C = alpha·op(A)·op(B) + beta·C as sw_gemm, for a product that is known to be symmetric, such as X Xᵀ or a product of
 * two polynomials of one symmetric matrix; with beta ≠ 0, C is symmetric too. op(A) is [n,k], op(B) is [k,n], C is
 * [n,n]. From n = SYMMETRIC_LEAST on, only the blocks on and below the diagonal are computed, and those above it are
 * copies; C is then exactly symmetric. The bits depend on n and k alone, and not on the number of threads. */
enum { SWI_SYMMETRIC_LEAST = 256 };
sw_status swi_symmetric_result(sw_dtype type, bool a_transposed, bool b_transposed, int64_t n, int64_t k, double alpha,
                               const void *A, int64_t lda, const void *B, int64_t ldb, double beta, void *C,
                               int64_t ldc);

#endif
