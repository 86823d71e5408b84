/* The product in f32 or f64 that sw_gemm and sw_product_run share. */
#ifndef SWALE_KERNELS_PRODUCT_GEMM_H
#define SWALE_KERNELS_PRODUCT_GEMM_H

#include <swale/gemm.h>

/* As sw_gemm. squares: NULL, or C is reported to it (see sw_product). */
sw_status swi_gemm(sw_dtype type, bool a_transposed, bool b_transposed, int64_t M, int64_t N, int64_t K, double alpha,
                   const void *A, int64_t lda, const void *B, int64_t ldb, double beta, void *C, int64_t ldc,
                   sw_squares *squares);

#endif
