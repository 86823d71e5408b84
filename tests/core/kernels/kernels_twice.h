/* A header with a kernel that doubles each element. See test_kernel_headers.c. */
#define SW_KERNEL_FILE "kernels_twice.h"
#define SW_KERNEL_HEADER
#include <swale/kernel.h>
#if SW_KERNEL_PASS
static void SW_K(twice)(void *args, int64_t begin, int64_t end, double *sums) {
    real *x = args;
    (void)sums;
    SW_INDEPENDENT
    for (int64_t i = begin; i < end; i++)
        x[i] = 2 * x[i];
}
#else
static const sw_kernels kernels_twice = SW_KERNEL_TABLE(twice);
#endif
