/* The product in f32 or f64 that sw_gemm and sw_product_run share. */
#ifndef SWALE_KERNELS_PRODUCT_GEMM_H
#define SWALE_KERNELS_PRODUCT_GEMM_H

#include <swale/gemm.h>

/* Computes a product whose operands have one type, f32 or f64. All members are set. */
sw_status swi_gemm(const sw_product *product);

#endif
