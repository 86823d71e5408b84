/* The kernels that OpenBLAS chooses for this processor. */
#ifndef SWALE_KERNELS_BLAS_CORE_H
#define SWALE_KERNELS_BLAS_CORE_H

#include <stdbool.h>

/* The core that OpenBLAS should have chosen instead of `core`; NULL if its choice is well. */
const char *swi_better_core(const char *core, bool avx2, bool avx512);
/* Has it choose again where it should; whether it chose that. */
bool swi_choose_core(void);
/* Whether no thread of the program can be in OpenBLAS: there is none but this one. */
bool swi_may_choose_core(void);
/* Whether it has a kernel for small matrices. Readies it at the first call. (blas_call.c) */
bool swi_blas_small_kernel(void);
const char *swi_blas_config(void);

#endif
