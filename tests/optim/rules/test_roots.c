/* kernel_roots.h: square roots by multiplications are the correctly rounded roots, on every level and for every
 * number. */
#include <swale/kernel.h>
#include <swale/kernel_roots.h>

#if SW_KERNEL_FIRST
/* Numbers of `type` from the one with the bits `first` on, `stride` apart in their bits. */
typedef struct roots_args {
    uint64_t first, stride;
    double error; /* of the estimate, relative */
} roots_args;
enum { CHUNK = 1024 }; /* and less at the end */
#endif

#if SW_KERNEL_PASS

#if SW_KERNEL_F32
#define UINT uint32_t
#else
#define UINT uint64_t
#endif

static inline real SW_K(number)(const roots_args *s, int64_t i) {
    return SW_K(sw_k_from_bits)((UINT)(s->first + (uint64_t)i * s->stride));
}

/* sums[0]: how many roots of numbers [begin, end) have not the bits of sqrt's. */
static void SW_K(wrong_roots)(void *args, int64_t begin, int64_t end, double *sums) {
    const roots_args *s = args;
    for (; begin < end; begin += CHUNK) {
        const int64_t n = end - begin < CHUNK ? end - begin : CHUNK;
        real v[CHUNK], exact[CHUNK];
        int64_t wrong = 0;
        for (int64_t i = 0; i < n; i++) {
            v[i] = SW_K(number)(s, begin + i);
            exact[i] = SW_R(sqrt)(v[i]);
        }
        SW_K(sw_k_roots)(v, n);
        for (int64_t i = 0; i < n; i++)
            wrong += SW_K(sw_k_bits)(v[i]) != SW_K(sw_k_bits)(exact[i]) && (v[i] == v[i] || exact[i] == exact[i]);
        sums[0] += (double)wrong;
    }
}

/* The same of the formula by itself, from the best estimate of 1/√v made worse by a factor 1 + error. */
static void SW_K(wrong_products)(void *args, int64_t begin, int64_t end, double *sums) {
    const roots_args *s = args;
    int64_t wrong = 0;
    for (int64_t i = begin; i < end; i++) {
        const real v = SW_K(number)(s, i), exact = SW_R(sqrt)(v), y = (real)((1 + s->error) / sqrt((double)v));
        real root = v * y, h = y * SW_R(0.5);
        const real r = SW_R(fma)(-root, h, SW_R(0.5));
        root = SW_R(fma)(root, r, root);
        h = SW_R(fma)(h, r, h);
        root = SW_R(fma)(SW_R(fma)(-root, root, v), h, root);
        wrong += root != exact;
    }
    sums[0] += (double)wrong;
}
#undef UINT

#else /* ---- once ---- */

#include "support.h"

static const sw_kernels wrong_roots = SW_KERNEL_TABLE(wrong_roots), wrong_products = SW_KERNEL_TABLE(wrong_products);

/* Of n numbers. */
static double count(const sw_kernels *kernels, sw_dtype type, uint64_t first, uint64_t stride, int64_t n,
                    double error) {
    roots_args args = {first, stride, error};
    double wrong;
    sw_kernel_run_sums(kernels, type, &args, n, 1, &wrong);
    return wrong;
}

/* Once as rules compute, with subnormal numbers as 0. */
static void test_root_of_every_float_is_exact(void **state) {
    (void)state;
    const int64_t positive = INT64_C(1) << 31;
    assert_true(count(&wrong_roots, SW_F32, 0, 7, positive / 7, 0) == 0);
    const unsigned mode = sw_subnormals_flush();
    /* Of 32 neighbors the first 16 have their roots by products: each number once there, once in the others. */
    const double all = count(&wrong_roots, SW_F32, 0, 1, positive, 0),
                 shifted = count(&wrong_roots, SW_F32, 16, 1, positive - 16, 0),
                 negative = count(&wrong_roots, SW_F32, (uint64_t)positive, 97, positive / 97, 0);
    sw_subnormals_restore(mode);
    assert_true(all == 0 && shifted == 0 && negative == 0);
}

/* Large and small, 0, ∞ and NaN side by side. */
static void test_roots_of_mixed_vectors_are_exact(void **state) {
    (void)state;
    assert_true(count(&wrong_roots, SW_F32, 1, 2654435769, 1 << 24, 0) == 0);
    for (uint64_t k = 0; k < 32; k++) /* powers of 2: 0 and ∞ at every place of a vector, among normal numbers */
        assert_true(count(&wrong_roots, SW_F32, k << 23, 1 << 23, 1 << 9, 0) == 0);
    assert_true(count(&wrong_roots, SW_F64, 1, 0x9E3779B97F4A7C15, 1 << 20, 0) == 0);
}

/* Processors differ in their estimates, which are promised within 2^-14. [1, 4) stands for all: a factor of 4
 * changes exponents alone. Where there is no fused multiplication the formula is not used. */
static void test_roots_are_exact_for_any_estimate(void **state) {
    (void)state;
    static const double error[] = {-1, -0.5, -0.01, 0, 0.01, 0.5, 1};
    for (size_t i = 0; sw_cpu_level() > 0 && i < sizeof error / sizeof *error; i++)
        assert_true(count(&wrong_products, SW_F32, 0x3F800000, 1, 1 << 24, error[i] * 0x1p-14) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_root_of_every_float_is_exact, test_clear),
        cmocka_unit_test_setup(test_roots_of_mixed_vectors_are_exact, test_clear),
        cmocka_unit_test_setup(test_roots_are_exact_for_any_estimate, test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
