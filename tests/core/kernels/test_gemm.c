/* sw_gemm against sums in long double: every transposition and type, sizes around every change of tiles, rows with a
 * larger stride, alpha and beta, and a reduced dimension of 0. */
#define _DEFAULT_SOURCE
#include "support.h"

#include <float.h>

#include <swale/extend.h>
#include "core/kernels/blas_core.h"
#include "core/kernels/dispatch.h"

typedef struct product {
    sw_dtype type;
    bool ta, tb;
    int64_t M, N, K, extra; /* extra: elements between the rows of all three */
    double alpha, beta;
} product;

static const double gap = -12345; /* what lies between the rows of C */

/* A matrix as stored, [rows, width + extra], NaN between the rows: it must not be read. */
static sw_array stored(sw_dtype type, int64_t rows, int64_t width, int64_t extra, uint64_t seed) {
    sw_array a = test_filled(type, SW_SHAPE(rows, width + extra), -1, 1, seed);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = width; k < width + extra; k++)
            test_set(&a, r * (width + extra) + k, (double)NAN);
    return a;
}

static void check_element(const product *p, const sw_array *a, int64_t lda, const sw_array *b, int64_t ldb,
                          const sw_array *before, const sw_array *c, int64_t ldc, int64_t m, int64_t n) {
    long double sum = 0, size = 0;
    for (int64_t k = 0; k < p->K; k++) {
        long double term = (long double)test_get(a, p->ta ? k * lda + m : m * lda + k) *
                           (long double)test_get(b, p->tb ? n * ldb + k : k * ldb + n);
        sum += term;
        size += fabsl(term);
    }
    long double old = p->beta == 0 ? 0 : (long double)test_get(before, m * ldc + n);
    long double expected = (long double)p->alpha * sum + (long double)p->beta * old;
    /* K products and K sums in any order, times alpha, beta times the old value, and their sum:
     * (K + 3) roundings of at most u·(|alpha|·Σ|terms| + |beta·old|) each. */
    long double unit = p->type == SW_F32 ? 0x1p-24L : 0x1p-53L;
    long double tolerance =
        (long double)(p->K + 3) * unit * (fabsl((long double)p->alpha) * size + fabsl((long double)p->beta * old));
    long double got = (long double)test_get(c, m * ldc + n);
    if (!(fabsl(got - expected) <= tolerance))
        fail_msg("%s, op(A) %c op(B) %c, %lld x %lld x %lld, alpha %g, beta %g: C[%lld,%lld] is "
                 "%.17Lg, not %.17Lg",
                 sw_dtype_name(p->type), p->ta ? 't' : 'n', p->tb ? 't' : 'n', (long long)p->M, (long long)p->N,
                 (long long)p->K, p->alpha, p->beta, (long long)m, (long long)n, got, expected);
}

static void check(product p) {
    int64_t lda = (p.ta ? p.M : p.K) + p.extra, ldb = (p.tb ? p.K : p.N) + p.extra, ldc = p.N + p.extra;
    sw_array a = stored(p.type, p.ta ? p.K : p.M, lda - p.extra, p.extra, 1);
    sw_array b = stored(p.type, p.tb ? p.N : p.K, ldb - p.extra, p.extra, 2);
    sw_array c = test_filled(p.type, SW_SHAPE(p.M, ldc), -1, 1, 3);
    sw_array before = test_filled(p.type, SW_SHAPE(p.M, ldc), -1, 1, 3);
    for (int64_t m = 0; m < p.M; m++)
        for (int64_t n = 0; n < ldc; n++)
            if (n >= p.N)
                test_set(&c, m * ldc + n, gap);
            else if (p.beta == 0)
                test_set(&c, m * ldc + n, (double)NAN); /* beta = 0 must not read it */
    sw_gemm(p.type, p.ta, p.tb, p.M, p.N, p.K, p.alpha, a.data, lda, b.data, ldb, p.beta, c.data, ldc);
    for (int64_t m = 0; m < p.M; m++)
        for (int64_t n = 0; n < ldc; n++)
            if (n < p.N)
                assert_true(!isnan(test_get(&c, m * ldc + n))); /* every tile was computed */
            else
                assert_true(test_get(&c, m * ldc + n) == gap); /* and nothing beside them */
    bool all = p.M * p.N * p.K <= 300000;
    uint64_t seed = 7;
    if (all) {
        for (int64_t m = 0; m < p.M; m++)
            for (int64_t n = 0; n < p.N; n++)
                check_element(&p, &a, lda, &b, ldb, &before, &c, ldc, m, n);
    } else {
        for (int64_t i = 0; i < (p.M > p.N ? p.M : p.N); i++) /* every row and every column */
            check_element(&p, &a, lda, &b, ldb, &before, &c, ldc, i % p.M,
                          p.M > p.N ? (int64_t)(test_random(&seed) % (uint64_t)p.N) : i);
    }
    test_array_free(&a);
    test_array_free(&b);
    test_array_free(&c);
    test_array_free(&before);
}

static void check_all_forms(int64_t M, int64_t N, int64_t K, int64_t extra, double alpha, double beta) {
    for (int form = 0; form < 8; form++)
        check((product){.type = (sw_dtype)(form & 1),
                        .ta = form & 2,
                        .tb = form & 4,
                        .M = M,
                        .N = N,
                        .K = K,
                        .extra = extra,
                        .alpha = alpha,
                        .beta = beta});
}

static void test_small_products_are_right(void **state) {
    (void)state;
    static const int64_t lengths[] = {1, 2, 3, 7, 16, 17};
    for (int m = 0; m < 6; m++)
        for (int n = 0; n < 6; n++)
            for (int k = 0; k < 6; k++)
                check_all_forms(lengths[m], lengths[n], lengths[k], (m + n + k) % 3, 1, 0);
}

static void test_alpha_and_beta_are_applied(void **state) {
    (void)state;
    static const double numbers[] = {0, 1, -1, 0.7};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            check_all_forms(5, 9, 7, 0, numbers[i], numbers[j]);
            check_all_forms(33, 40, 21, 4, numbers[i], numbers[j]);
            check_all_forms(70, 130, 150, 0, numbers[i], numbers[j]); /* above a million: in tiles */
        }
}

/* Around M·N·K = 1e6 and 4e6, K = 128, 64 rows, columns in sixteens, 96 to be halved, two to eight tiles of
 * 190 and 1.2e7 each, 1e8 in all. */
static void test_products_around_tile_choices_are_right(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {
        {100, 100, 100},  {100, 101, 100},  {64, 100, 784}, {100, 784, 64},  {63, 101, 783},  {65, 99, 785},
        {64, 10, 100},    {1, 2000, 600},   {2000, 1, 600}, {1, 1, 2000003}, {2, 5, 150000},  {129, 257, 127},
        {129, 257, 128},  {129, 257, 129},  {500, 500, 33}, {64, 15, 1100},  {64, 17, 1100},  {300, 16, 300},
        {1000, 130, 100}, {130, 1000, 200}, {7, 30000, 20}, {30000, 7, 20},  {255, 513, 511}, {95, 96, 500},
        {96, 95, 500},    {95, 95, 500},    {101, 97, 450}, {379, 200, 320}, {380, 200, 320}, {200, 761, 320},
        {1521, 110, 580},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_all_forms(sizes[i][0], sizes[i][1], sizes[i][2], i % 3 == 1 ? 5 : 0, 1, (double)(i % 2));
    check_all_forms(400, 510, 500, 0, 1, 0);
}

/* A sum of nothing: beta·C, and 0 for beta = 0 even where C holds NaN. No A, no B. */
static void test_empty_sums_scale_c_by_beta(void **state) {
    (void)state;
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int form = 0; form < 4; form++)
            for (int b = 0; b < 3; b++) {
                const double betas[3] = {0, 1, -0.5};
                sw_array c = test_array((sw_dtype)type, SW_SHAPE(3, 6));
                for (int i = 0; i < 18; i++)
                    test_set(&c, i, b == 0 ? (double)NAN : 2 + i);
                for (int r = 0; r < 3; r++)
                    test_set(&c, r * 6 + 5, gap);
                sw_gemm((sw_dtype)type, form & 1, form & 2, 3, 5, 0, 1, NULL, 1, NULL, 5, betas[b], c.data, 6);
                for (int i = 0; i < 18; i++)
                    assert_true(test_get(&c, i) == (i % 6 == 5 ? gap : b == 0 ? 0 : betas[b] * (2 + i)));
                test_array_free(&c);
            }
}

static void test_empty_products_write_nothing(void **state) {
    (void)state;
    double one = 1, c = 5;
    sw_gemm(SW_F64, false, false, 0, 4, 3, 1, &one, 3, &one, 4, 0, &c, 4);
    sw_gemm(SW_F64, false, false, 4, 0, 3, 1, &one, 3, &one, 1, 0, &c, 1);
    sw_gemm(SW_F32, true, true, 0, 0, 0, 1, NULL, 1, NULL, 1, 0, NULL, 1);
    assert_true(c == 5);
}

/* OpenBLAS has returned zeros for some sizes on some processors: K ones times ones are exactly K.
 */
static void test_products_of_ones_are_exact(void **state) {
    (void)state;
    float *ones = malloc(512 * 512 * sizeof *ones), *c = malloc(512 * 512 * sizeof *c);
    double *ones64 = malloc(512 * 512 * sizeof *ones64), *c64 = malloc(512 * 512 * sizeof *c64);
    for (int i = 0; i < 512 * 512; i++)
        ones64[i] = ones[i] = 1;
    for (int size = 1; size <= 512; size += size < 70 ? 1 : 63)
        for (int form = 0; form < 4; form++) {
            sw_gemm(SW_F32, form & 1, form & 2, size, size, size, 1, ones, size, ones, size, 0, c, size);
            sw_gemm(SW_F64, form & 1, form & 2, size, size, size, 1, ones64, size, ones64, size, 0, c64, size);
            for (int i = 0; i < size * size; i++)
                assert_true(c[i] == (float)size && c64[i] == (double)size);
        }
    free(ones);
    free(ones64);
    free(c);
    free(c64);
}

/* ---- OpenBLAS's choice of kernels (blas_core.c) ---- */

extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));

static void test_openblas_core_is_chosen_by_processor(void **state) {
    (void)state;
    assert_string_equal(swi_better_core("Prescott", true, true), "SkylakeX");
    assert_string_equal(swi_better_core("Prescott", true, false), "Haswell");
    assert_string_equal(swi_better_core("Nehalem", true, false), "Haswell");
    assert_string_equal(swi_better_core("Barcelona", true, true), "SkylakeX");
    assert_null(swi_better_core("Prescott", false, false));
    static const char *const fine[] = {
        "Haswell", "Zen", "Excavator", "SkylakeX", "Cooperlake", "SapphireRapids", "one of the future", "armv8"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        assert_null(swi_better_core(fine[i], true, true));
}

/* What main found. A user's own choice would be left alone. */
static void test_openblas_core_suits_this_processor(void **state) {
    (void)state;
    if (getenv("OPENBLAS_CORETYPE"))
        skip();
    const int level = swi_cpu_best();
    assert_null(swi_better_core(sw_blas_core(), level >= 1, level >= 2));
}

static int choose_well(void **state) {
    (void)state;
    unsetenv("OPENBLAS_CORETYPE");
    swi_choose_core();
    return 0;
}

/* OpenBLAS made to take this processor for an old one, and had choose again. */
static void test_openblas_chooses_its_core_again(void **state) {
    (void)state;
    if (!gotoblas_dynamic_init || getenv("OPENBLAS_CORETYPE") || swi_cpu_best() < 1)
        skip();
    assert_int_equal(setenv("OPENBLAS_CORETYPE", "Nehalem", 1), 0);
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    assert_string_equal(sw_blas_core(), "Nehalem");
    assert_false(swi_choose_core()); /* as the user wants it */
    unsetenv("OPENBLAS_CORETYPE");
    assert_true(swi_choose_core());
    assert_string_equal(sw_blas_core(), swi_better_core("Nehalem", true, swi_cpu_best() >= 2));
    assert_null(getenv("OPENBLAS_CORETYPE"));
    assert_false(swi_choose_core());
    test_small_products_are_right(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_small_products_are_right, test_clear),
        cmocka_unit_test_setup(test_alpha_and_beta_are_applied, test_clear),
        cmocka_unit_test_setup(test_products_around_tile_choices_are_right, test_clear),
        cmocka_unit_test_setup(test_empty_sums_scale_c_by_beta, test_clear),
        cmocka_unit_test_setup(test_empty_products_write_nothing, test_clear),
        cmocka_unit_test_setup(test_products_of_ones_are_exact, test_clear),
        cmocka_unit_test_setup(test_openblas_core_is_chosen_by_processor, test_clear),
        cmocka_unit_test_setup(test_openblas_core_suits_this_processor, test_clear),
        cmocka_unit_test_setup_teardown(test_openblas_chooses_its_core_again, test_clear, choose_well),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sw_set_threads(1);
    return failed;
}
