/* A header with a kernel that squares each element. See test_kernel_headers.c. */
#define SW_KERNEL_FILE "kernels_squared.h"
#define SW_KERNEL_HEADER
#include <swale/kernel.h>
#if SW_KERNEL_PASS
static void SW_K(squared)(void *args, int64_t begin, int64_t end, double *sums) {
    real *x = args;
    (void)sums;
    SW_INDEPENDENT
    for (int64_t i = begin; i < end; i++)
        x[i] = x[i] * x[i];
}
#else
static const sw_kernels kernels_squared = SW_KERNEL_TABLE(squared);
#endif
