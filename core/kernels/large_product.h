/* Products of large matrices in f32, without OpenBLAS, with scratch for copies of parts of A and B. */
#ifndef SWALE_KERNELS_LARGE_PRODUCT_H
#define SWALE_KERNELS_LARGE_PRODUCT_H

#include <swale/gemm.h>

/* Whether swi_large_product can compute a product with M, N and K > 0. It depends on the lengths, on alpha and beta,
 * and on whether AVX-512 is in use. */
bool swi_large_product_fits(const sw_product *product);
/* The bytes of its scratch (sw_product.scratch) with which all threads can work. */
size_t swi_large_product_scratch(const sw_product *product);
/* Computes a product for which swi_large_product_fits, and which has scratch. gemm.h states the order of the additions,
 * which does not depend on the number of threads. An error (SW_ERR_ARGUMENT) if the scratch is too small for one
 * thread. */
sw_status swi_large_product(const sw_product *product);

#endif
