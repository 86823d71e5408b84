/* Subnormal numbers: every thread keeps them, except between sw_subnormals_flush and sw_subnormals_restore, where they
 * are zero in all threads. */
#include <swale/kernel.h>

#ifndef TEST_FLUSH_ARGS
#define TEST_FLUSH_ARGS
typedef struct half_args {
    const void *x;
    void *y;
} half_args;
#endif

#if SW_KERNEL_PASS

static void SW_K(half)(void *args, int64_t begin, int64_t end, double *sums) {
    const half_args *s = args;
    const real *restrict x = s->x;
    real *restrict y = s->y;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        y[i] = x[i] * (real)0.5;
}

#else /* ---- once ---- */

#include "support.h"

#include <float.h>

static const sw_kernels half_kernels = SW_KERNEL_TABLE(half);

/* Halves of the least normal number: zero where subnormal numbers are flushed. */
static void halves(sw_dtype type, const sw_array *x, const sw_array *y, bool flush) {
    half_args args = {x->data, y->data};
    memset(y->data, 0xFF, test_bytes(y));
    unsigned mode = flush ? sw_subnormals_flush() : 0;
    sw_kernel_run(&half_kernels, type, &args, sw_array_count(x));
    if (flush)
        sw_subnormals_restore(mode); /* before the comparison, for which they would be zero too */
    double least = type == SW_F32 ? (double)FLT_MIN : DBL_MIN;
    for (int64_t i = 0, n = sw_array_count(x); i < n; i++) {
        double v = test_get(y, i);
        if (!(flush ? v == 0 : v == least / 2))
            fail_msg("%s, element %d: %g", sw_dtype_name(type), (int)i, v);
    }
}

static void test_subnormals_are_flushed_in_all_threads(void **state) {
    (void)state;
#if !defined(__x86_64__) && !defined(__aarch64__)
    print_message("test_flush: this processor is not asked to flush\n");
    skip();
#endif
    enum { N = 100000 };
    for (int t = SW_F32; t <= SW_F64; t++)
        for (int threads = 1; threads <= 4; threads += 3) {
            sw_array x = test_array((sw_dtype)t, SW_SHAPE(N)), y = test_array((sw_dtype)t, SW_SHAPE(N));
            for (int64_t i = 0; i < N; i++)
                test_set(&x, i, t == SW_F32 ? (double)FLT_MIN : DBL_MIN);
            assert_int_equal(sw_set_threads(threads), SW_OK);
            for (int i = 0; i < 20; i++) { /* whichever threads take part */
                halves((sw_dtype)t, &x, &y, false);
                halves((sw_dtype)t, &x, &y, true);
            }
            halves((sw_dtype)t, &x, &y, false);
            test_array_free(&x);
            test_array_free(&y);
        }
    assert_int_equal(sw_set_threads(1), SW_OK);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_subnormals_are_flushed_in_all_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
