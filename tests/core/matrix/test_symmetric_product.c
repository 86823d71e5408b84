/* sw_symmetric_product against sums in long double: both forms, sizes around every choice of tiles, strides, alpha and
 * beta; exact symmetry; threads. */
#include "support.h"

#include "core/matrix/matrices.h"
#include "core/matrix/symmetric_result.h"

typedef struct form {
    sw_dtype type;
    bool transposed;
    int64_t n, k, extra; /* extra: elements between the rows */
    double alpha, beta;
} form;

static const double gap = -12345;

static void check_element(const form *f, const sw_array *a, int64_t lda, const sw_array *before, const sw_array *c,
                          int64_t ldc, int64_t i, int64_t j) {
    long double sum = 0, size = 0;
    for (int64_t k = 0; k < f->k; k++) {
        const long double term = (long double)test_get(a, f->transposed ? k * lda + i : i * lda + k) *
                                 (long double)test_get(a, f->transposed ? k * lda + j : j * lda + k);
        sum += term;
        size += fabsl(term);
    }
    const int64_t low = i > j ? i * ldc + j : j * ldc + i;
    const long double old = f->beta == 0 ? 0 : (long double)test_get(before, low);
    const long double expected = (long double)f->alpha * sum + (long double)f->beta * old;
    /* (k + 3) roundings of at most u (|alpha| Σ|terms| + |beta old|), as for sw_gemm. */
    const long double tolerance = (long double)(f->k + 3) * (long double)unit[f->type] / 2 *
                                  (fabsl((long double)f->alpha) * size + fabsl((long double)f->beta * old));
    const long double got = (long double)test_get(c, i * ldc + j);
    if (!(fabsl(got - expected) <= tolerance))
        fail_msg("%s%s, n %lld, k %lld, alpha %g, beta %g: C[%lld,%lld] is %.17Lg, not %.17Lg", sw_dtype_name(f->type),
                 f->transposed ? " transposed" : "", (long long)f->n, (long long)f->k, f->alpha, f->beta, (long long)i,
                 (long long)j, got, expected);
}

static void check(form f) {
    const int64_t rows = f.transposed ? f.k : f.n, width = f.transposed ? f.n : f.k;
    const int64_t lda = width + f.extra, ldc = f.n + f.extra;
    sw_array a = test_filled(f.type, SW_SHAPE(rows, lda), -1, 1, 1);
    sw_array c = test_filled(f.type, SW_SHAPE(f.n, ldc), -1, 1, 3);
    for (int64_t i = 0; i < f.n; i++)
        for (int64_t j = 0; j < ldc; j++)
            if (j >= f.n)
                test_set(&c, i * ldc + j, gap);
            else if (f.beta == 0 || j > i)
                test_set(&c, i * ldc + j, (double)NAN); /* must not be read */
    sw_array before = test_array(f.type, SW_SHAPE(f.n, ldc));
    memcpy(before.data, c.data, test_bytes(&c));
    assert_ok(sw_symmetric_product(f.type, f.transposed, f.n, f.k, f.alpha, a.data, lda, f.beta, c.data, ldc));
    uint64_t seed = 7;
    const bool all = (double)f.n * (double)f.n * (double)f.k <= 1e6;
    for (int64_t i = 0; i < f.n; i++) {
        for (int64_t j = 0; j < f.n; j++) {
            assert_true(test_get(&c, i * ldc + j) == test_get(&c, j * ldc + i)); /* and not NaN */
            if (all)
                check_element(&f, &a, lda, &before, &c, ldc, i, j);
        }
        for (int64_t j = f.n; j < ldc; j++)
            assert_true(test_get(&c, i * ldc + j) == gap);
        check_element(&f, &a, lda, &before, &c, ldc, i, i);
        check_element(&f, &a, lda, &before, &c, ldc, i, (int64_t)(test_random(&seed) % (uint64_t)f.n));
    }
    test_array_free(&a);
    test_array_free(&c);
    test_array_free(&before);
}

static void check_forms(int64_t n, int64_t k, int64_t extra, double alpha, double beta) {
    for (int i = 0; i < 4; i++)
        check((form){(sw_dtype)(i & 1), i & 2, n, k, extra, alpha, beta});
}

static void test_products_are_right(void **state) {
    (void)state;
    /* Around the change to tiles at n·n·k = 4e6; tiles with a short last row; long rows; one tile with k > n. */
    static const int64_t sizes[][2] = {{1, 1},      {1, 50},     {2, 3},     {17, 5},    {33, 64},
                                       {158, 158},  {159, 159},  {160, 160}, {161, 400}, {513, 31},
                                       {15, 18000}, {16, 15700}, {200, 101}, {300, 64}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_forms(sizes[i][0], sizes[i][1], 0, 1, 0);
        check_forms(sizes[i][0], sizes[i][1], 3, 1, 1);
    }
    check_forms(170, 170, 2, -0.7, 0);
    check_forms(170, 170, 2, 0.05, 0.95);
    check_forms(20, 20, 1, 0.05, 0.95);
    check((form){SW_F32, false, 790, 810, 1, 0.5, 0.5}); /* four rows of tiles */
    check((form){SW_F64, true, 800, 790, 0, 1, 0});
    check((form){SW_F32, true, 170, 20000, 0, 1, 0}); /* sums that sw_gemm divides into parts */
}

/* k = 0 and alpha = 0: beta C, from the lower triangle; 0 for beta = 0 even where C holds NaN. */
static void test_empty_sums_scale_c(void **state) {
    (void)state;
    double c[4] = {1, (double)NAN, 2, 3};
    assert_ok(sw_symmetric_product(SW_F64, false, 2, 0, 1, NULL, 1, 0.5, c, 2));
    assert_true(c[0] == 0.5 && c[1] == 1 && c[2] == 1 && c[3] == 1.5);
    c[2] = (double)NAN;
    assert_ok(sw_symmetric_product(SW_F64, true, 2, 0, 1, NULL, 2, 0, c, 2));
    assert_true(c[0] == 0 && c[1] == 0 && c[2] == 0 && c[3] == 0);
    assert_ok(sw_symmetric_product(SW_F32, true, 0, 5, 1, NULL, 1, 0, NULL, 1));
}

static void test_wrong_arguments_are_refused(void **state) {
    (void)state;
    double a[6] = {1, 2, 3, 4, 5, 6}, c[4];
    assert_int_equal(sw_symmetric_product(SW_F64, false, 2, 3, 1, a, 2, 0, c, 2), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT,
                 "symmetric product: n = 2, k = 3, lda = 2, ldc = 2; lda must be at least 3, the columns "
                 "of A, and ldc at least n");
    assert_int_equal(sw_symmetric_product(SW_BF16, false, 2, 3, 1, a, 3, 0, c, 2), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "symmetric product: the type is bf16, expected f32 or f64");
}

static void test_bits_do_not_depend_on_threads(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{100, 100}, {170, 300}, {800, 800}};
    static const int threads[] = {1, 2, 3, 8};
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int s = 0; s < 3; s++) {
            const int64_t n = sizes[s][0], k = sizes[s][1];
            sw_array a = test_filled((sw_dtype)type, SW_SHAPE(n, k), -1, 1, 1);
            sw_array c = test_array((sw_dtype)type, SW_SHAPE(n, n));
            uint64_t first = 0;
            for (int t = 0; t < 4; t++) {
                assert_ok(sw_set_threads(threads[t]));
                assert_ok(sw_symmetric_product((sw_dtype)type, false, n, k, 1, a.data, k, 0, c.data, n));
                const uint64_t hash = test_hash(TEST_HASH, c.data, test_bytes(&c));
                first = t == 0 ? hash : first;
                assert_true(hash == first);
            }
            assert_ok(sw_set_threads(2));
            test_array_free(&a);
            test_array_free(&c);
        }
}

/* A dry run counts n (n + 1) k flops for both functions, whether blocks or the whole product would be computed. */
static void test_dry_runs_count_half_of_a_product(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 64, 255, 256, 513};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t n = sizes[i];
        const double flops = (double)(n * (n + 1) * n);
        assert_ok(sw_dry_run_begin());
        double *A = sw_alloc_array(n * n, sizeof *A), *C = sw_alloc_array(n * n, sizeof *C);
        assert_ok(sw_symmetric_product(SW_F64, false, n, n, 1, A, n, 0, C, n));
        assert_true(sw_dry_run_flops() == flops);
        assert_ok(swi_symmetric_result(SW_F64, n, A, n, A, n, C, n));
        assert_true(sw_dry_run_flops() == 2 * flops);
        sw_free(A), sw_free(C);
        sw_dry_run_end();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products_are_right),
        cmocka_unit_test(test_empty_sums_scale_c),
        cmocka_unit_test(test_wrong_arguments_are_refused),
        cmocka_unit_test(test_bits_do_not_depend_on_threads),
        cmocka_unit_test(test_dry_runs_count_half_of_a_product),
    };
    return cmocka_run_group_tests_name("symmetric_product", tests, test_clear, test_no_error_left);
}
