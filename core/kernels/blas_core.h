/* The kernels that OpenBLAS chooses for this processor. */
#ifndef SWALE_KERNELS_BLAS_CORE_H
#define SWALE_KERNELS_BLAS_CORE_H

#include <stdbool.h>

/* The core that OpenBLAS should use instead of `core` on a processor with these instructions; NULL if `core` is
 * right. */
const char *swi_better_core(const char *core, bool avx2, bool avx512);
/* If OpenBLAS chose the wrong core, makes it choose again. Returns whether it then chose the better core. */
bool swi_choose_core(void);
/* Whether the program has no other thread, which could be inside OpenBLAS. */
bool swi_may_choose_core(void);
/* Whether OpenBLAS has a kernel for small matrices. The first call sets up OpenBLAS (blas_call.c). */
bool swi_blas_small_kernel(void);
const char *swi_blas_config(void);

#endif
