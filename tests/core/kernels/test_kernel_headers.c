/* Several files of kernels in one: two headers, and a kernel in this file. Each is compiled for both types and every
 * level. */
#include <swale/kernel.h>
#if SW_KERNEL_PASS
static void SW_K(exponential)(void *args, int64_t begin, int64_t end, double *sums) {
    real *x = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        x[i] = SW_K(sw_k_exp)(x[i]);
}
#else
#include "kernels_twice.h"
#include "kernels_squared.h"
#include "support.h"

static const sw_kernels kernels_exponential = SW_KERNEL_TABLE(exponential);

static void test_kernels_of_several_headers_are_kept_apart(void **state) {
    (void)state;
    enum { N = 37 };
    for (int type = 0; type < 2; type++)
        for (int level = 0; level <= sw_cpu_level(); level++) {
            float f[3][N];
            double d[3][N];
            const sw_kernels *const kernels[3] = {&kernels_twice, &kernels_squared, &kernels_exponential};
            for (int k = 0; k < 3; k++) {
                for (int i = 0; i < N; i++)
                    d[k][i] = f[k][i] = (float)(i - 20) / 8;
                (*kernels[k])[type][level](type ? (void *)d[k] : (void *)f[k], 0, N, NULL);
            }
            for (int i = 0; i < N; i++) {
                const double x = (i - 20) / 8.0, of[3] = {2 * x, x * x, exp(x)};
                for (int k = 0; k < 3; k++) /* exact but for the exponential: 1 ulp of f32 is 2^-23 */
                    assert_true(fabs((type ? d[k][i] : (double)f[k][i]) - of[k]) <=
                                (k < 2 ? 0 : of[k] * (type ? 0x1p-51 : 0x1p-22)));
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kernels_of_several_headers_are_kept_apart)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
