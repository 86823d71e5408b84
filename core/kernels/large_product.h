/* Products of large matrices in f32, without OpenBLAS, with scratch for copies of parts of A and B. */
#ifndef SWALE_KERNELS_LARGE_PRODUCT_H
#define SWALE_KERNELS_LARGE_PRODUCT_H

#include <swale/gemm.h>

/* Whether swi_large_product can compute a product with M, N and K > 0. It depends on the lengths, on alpha and beta,
 * and on whether AVX-512 is in use. */
bool swi_large_product_fits(const sw_product *product);
/* The bytes of its scratch (sw_product.scratch) with which all threads can work. */
size_t swi_large_product_scratch(const sw_product *product);
/* The bytes of a scratch with which up to eight threads can work: one for each 2.5e7 multiplications. They depend on
 * the processor, the lengths, alpha and beta alone, for functions whose caller may change the number of threads or the
 * level between the allocation and the call. 0 if the product cannot be computed on this processor. */
size_t swi_large_product_workspace(const sw_product *product);

/* What is added to a symmetric result: C = alpha op(A) op(B) + beta D + shift I. */
typedef struct swi_large_sum {
    const float *D; /* [M,N], symmetric, not C; NULL: none, and alpha is 1 */
    int64_t ldd;
    float alpha, beta, shift;
} swi_large_sum;

/* Computes a product for which swi_large_product_fits, and which has scratch. gemm.h states the order of the additions,
 * which does not depend on the number of threads.
 *
 * If the result is `symmetric`, only the elements on and below the diagonal are computed; those above are copies.
 * Unlike sw_product_run, the function accepts this for operands in f32. beta of the product must be 0 then. `sum` is
 * NULL, or what is added: the result is then round(round(alpha C[m,n]) + round(beta D[m,n])), plus `shift` on the
 * diagonal.
 *
 * If the product is rounded to bf16, it has the bits of sw_product_run with the order SW_BF16_PAIRS.
 *
 * An error (SW_ERR_ARGUMENT) if the scratch is too small for one thread. */
sw_status swi_large_product(const sw_product *product, const swi_large_sum *sum);

#endif
