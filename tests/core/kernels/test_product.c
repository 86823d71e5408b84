/* Products of operands in several storage types have the bits of a reference in plain C: every combination of types,
 * transpositions, gaps between rows, alpha and beta; errors. Sizes and extreme numbers are in test_half_product.c. */
#include "product_reference.h"

#include <cblas.h>

static const sw_dtype small_types[3] = {SW_F32, SW_F16, SW_BF16};
static const double gap = 0.125; /* the numbers between the rows of C, which every type can represent */

typedef struct sizes {
    int64_t M, N, K, extra;
} sizes;

static sw_array matrix(sw_dtype type, int64_t rows, int64_t width, int64_t extra, uint64_t seed) {
    sw_array a = test_filled(type, SW_SHAPE(rows, width + extra), -1, 1, seed);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = width; k < width + extra; k++)
            test_set(&a, r * (width + extra) + k, (double)NAN); /* must not be read */
    return a;
}

static void check(sizes s, const sw_dtype types[3], bool ta, bool tb, double alpha, double beta) {
    const int64_t lda = (ta ? s.M : s.K) + s.extra, ldb = (tb ? s.K : s.N) + s.extra, ldc = s.N + s.extra;
    sw_array a = matrix(types[0], ta ? s.K : s.M, lda - s.extra, s.extra, 1),
             b = matrix(types[1], tb ? s.N : s.K, ldb - s.extra, s.extra, 2),
             c = matrix(types[2], s.M, s.N, s.extra, 3), before = test_array(types[2], SW_SHAPE(s.M, ldc));
    for (int64_t i = 0; i < s.M; i++)
        for (int64_t j = 0; j < ldc; j++)
            if (j >= s.N || beta == 0) /* with beta = 0, C is not read */
                test_set(&c, i * ldc + j, j >= s.N ? gap : (double)NAN);
    memcpy(before.data, c.data, (size_t)(s.M * ldc) * sw_dtype_size(types[2]));
    const sw_product p = {.size = sizeof p,
                          .a_type = types[0],
                          .b_type = types[1],
                          .c_type = types[2],
                          .a_transposed = ta,
                          .b_transposed = tb,
                          .M = s.M,
                          .N = s.N,
                          .K = s.K,
                          .alpha = alpha,
                          .beta = beta,
                          .A = a.data,
                          .B = b.data,
                          .C = c.data,
                          .lda = lda,
                          .ldb = ldb,
                          .ldc = ldc};
    assert_int_equal(sw_product_run(&p), SW_OK);
    const bool computed = types[0] == types[1] && types[0] == types[2] && sw_dtype_is_computed(types[0]);
    if (computed) /* the same call */
        assert_int_equal(
            sw_gemm(types[0], ta, tb, s.M, s.N, s.K, alpha, a.data, lda, b.data, ldb, beta, before.data, ldc), SW_OK);
    for (int64_t i = 0; i < s.M; i++)
        for (int64_t j = 0; j < ldc; j++) {
            double expected = j < s.N ? NAN : gap;
            if (j < s.N && computed) {
                expected = test_get(&before, i * ldc + j);
            } else if (j < s.N) {
                uint64_t element = 0;
                reference_element(&p, before.data, i, j, &element);
                expected = sw_element_to_number(types[2], &element, 0);
            }
            assert_true(test_get(&c, i * ldc + j) == expected);
        }
    free(a.data), free(b.data), free(c.data), free(before.data);
}

static void test_products_of_stored_types(void **state) {
    (void)state;
    static const sizes all[] = {{1, 9, 5, 0}, {7, 1, 13, 2}, {5, 6, 7, 3}, {33, 65, 40, 0}, {4, 3, 0, 1}, {0, 3, 2, 0}};
    for (int k = 0; k < 27; k++) {
        const sw_dtype types[3] = {small_types[k / 9], small_types[k / 3 % 3], small_types[k % 3]};
        for (size_t s = 0; s < sizeof all / sizeof *all; s++)
            for (int form = 0; form < 4; form++) {
                check(all[s], types, form & 1, form & 2, 1, 0);
                check(all[s], types, form & 1, form & 2, -0.75, 0.5);
            }
    }
    for (int form = 0; form < 4; form++)
        check((sizes){9, 17, 11, 2}, (const sw_dtype[]){SW_F64, SW_F64, SW_F64}, form & 1, form & 2, 2, -1);
    expect_no_error();
}

/* Sums in f32: in 16 bits 1 + 1 + … would stop at 256 (bf16) and 2048 (f16). */
static void test_sums_are_computed_in_f32(void **state) {
    (void)state;
    enum { TERMS = 20001 };
    for (int k = 1; k < 3; k++) {
        sw_array ones = test_array(small_types[k], SW_SHAPE(TERMS));
        float c = 0;
        for (int i = 0; i < TERMS; i++)
            test_set(&ones, i, 1);
        assert_int_equal(sw_product_run(&(sw_product){.size = sizeof(sw_product),
                                                      .a_type = small_types[k],
                                                      .b_type = small_types[k],
                                                      .c_type = SW_F32,
                                                      .M = 1,
                                                      .N = 1,
                                                      .K = TERMS,
                                                      .alpha = 1,
                                                      .A = ones.data,
                                                      .B = ones.data,
                                                      .C = &c,
                                                      .lda = TERMS,
                                                      .ldb = 1,
                                                      .ldc = 1}),
                         SW_OK);
        assert_true(c == TERMS);
        free(ones.data);
    }
}

static void test_threads_do_not_change_bits(void **state) {
    (void)state;
    enum { SIDE = 150 };
    sw_array a = matrix(SW_BF16, SIDE, SIDE, 0, 4), b = matrix(SW_F16, SIDE, SIDE, 0, 5);
    uint16_t c[2][SIDE * SIDE];
    const int before = sw_threads();
    for (int k = 0; k < 2; k++) {
        assert_int_equal(sw_set_threads(k ? 4 : 1), SW_OK);
        assert_int_equal(sw_product_run(&(sw_product){.size = sizeof(sw_product),
                                                      .a_type = SW_BF16,
                                                      .b_type = SW_F16,
                                                      .c_type = SW_BF16,
                                                      .M = SIDE,
                                                      .N = SIDE,
                                                      .K = SIDE,
                                                      .alpha = 1,
                                                      .A = a.data,
                                                      .B = b.data,
                                                      .C = c[k],
                                                      .lda = SIDE,
                                                      .ldb = SIDE,
                                                      .ldc = SIDE}),
                         SW_OK);
    }
    assert_int_equal(sw_set_threads(before), SW_OK);
    assert_memory_equal(c[0], c[1], sizeof c[0]);
    free(a.data), free(b.data);
}

/* With a bias: what the product gives without it, plus the bias; in 16 bits what it gives for a C that holds the bias.
 */
static void check_bias(sizes s, const sw_dtype types[3], bool ta, bool tb) {
    const int64_t lda = (ta ? s.M : s.K) + s.extra, ldb = (tb ? s.K : s.N) + s.extra, ldc = s.N + s.extra;
    const bool first = sw_dtype_is_16_bit(types[2]);
    sw_array a = matrix(types[0], ta ? s.K : s.M, lda - s.extra, s.extra, 1),
             b = matrix(types[1], tb ? s.N : s.K, ldb - s.extra, s.extra, 2), bias = matrix(types[2], 1, s.N, 0, 3),
             c[2] = {matrix(types[2], s.M, s.N, s.extra, 4), matrix(types[2], s.M, s.N, s.extra, 5)};
    for (int64_t i = 0; first && i < s.M * s.N; i++)
        test_set(&c[1], i / s.N * ldc + i % s.N, test_get(&bias, i % s.N));
    for (int k = 0; k < 2; k++)
        assert_ok(sw_product_run(&(sw_product){.size = sizeof(sw_product),
                                               .a_type = types[0],
                                               .b_type = types[1],
                                               .c_type = types[2],
                                               .a_transposed = ta,
                                               .b_transposed = tb,
                                               .M = s.M,
                                               .N = s.N,
                                               .K = s.K,
                                               .alpha = 0.75,
                                               .beta = first && k == 1,
                                               .A = a.data,
                                               .B = b.data,
                                               .C = c[k].data,
                                               .lda = lda,
                                               .ldb = ldb,
                                               .ldc = ldc,
                                               .bias = k == 0 ? bias.data : NULL}));
    for (int64_t i = 0; i < s.M * s.N; i++) {
        const int64_t at = i / s.N * ldc + i % s.N;
        const double product = test_get(&c[1], at), number = test_get(&bias, i % s.N);
        const double sum = first                ? product
                           : types[2] == SW_F32 ? (double)((float)product + (float)number)
                                                : product + number;
        assert_true(test_get(&c[0], at) == sum);
    }
    free(a.data), free(b.data), free(bias.data), free(c[0].data), free(c[1].data);
}

static void test_a_bias_is_added_to_each_row(void **state) {
    (void)state;
    static const sw_dtype types[][3] = {{SW_F32, SW_F32, SW_F32},
                                        {SW_F64, SW_F64, SW_F64},
                                        {SW_F16, SW_F16, SW_F16},
                                        {SW_BF16, SW_F32, SW_BF16},
                                        {SW_F16, SW_BF16, SW_F32}};
    /* Small matrices, a vector, tiles of OpenBLAS, long sums, and sums without terms. */
    static const sizes all[] = {{5, 7, 9, 0},       {1, 70, 20, 0},   {30, 1, 20, 1}, {70, 130, 150, 3},
                                {300, 290, 280, 0}, {3, 4, 16500, 0}, {3, 5, 0, 2}};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            for (int form = 0; form < 4; form++)
                check_bias(all[i], types[t], form & 1, form & 2);
    expect_no_error();
}

static void test_wrong_products_are_refused(void **state) {
    (void)state;
    uint16_t m[4] = {0x3C00, 0x3C00, 0x3C00, 0x3C00}, c[4] = {1, 2, 3, 4};
    const sw_product right = {.size = sizeof right,
                              .a_type = SW_F16,
                              .b_type = SW_F16,
                              .c_type = SW_F16,
                              .M = 2,
                              .N = 2,
                              .K = 2,
                              .alpha = 1,
                              .beta = 1,
                              .A = m,
                              .B = m,
                              .C = c,
                              .lda = 2,
                              .ldb = 2,
                              .ldc = 2};
    sw_product wrong = right;
    assert_int_equal(sw_product_run(NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "product: it is NULL");
    wrong.size = 8;
    assert_int_equal(sw_product_run(&wrong), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "product: its size must be sizeof(sw_product)");
    wrong = right;
    wrong.b_type = SW_F64;
    assert_int_equal(sw_product_run(&wrong), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "product: A is f16 and B is f64; all three must be f64, or none");
    wrong = right;
    wrong.c_type = SW_I32;
    assert_int_equal(sw_product_run(&wrong), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "product: C is i32; f32, f64, f16 or bf16 is needed");
    wrong = right;
    wrong.bias = m;
    assert_int_equal(sw_product_run(&wrong), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "product: a bias and beta = 1; beta must be 0 with a bias");
    assert_memory_equal(c, ((const uint16_t[]){1, 2, 3, 4}), sizeof c);
}

static void test_wrong_members_for_rounding_and_symmetry_are_refused(void **state) {
    (void)state;
    float a[4] = {1, 1, 1, 1}, c[4] = {1, 2, 3, 4};
    const sw_product right = {.size = sizeof right,
                              .M = 2,
                              .N = 2,
                              .K = 2,
                              .alpha = 1,
                              .A = a,
                              .B = a,
                              .C = c,
                              .lda = 2,
                              .ldb = 2,
                              .ldc = 2,
                              .rounded_to = SW_BF16,
                              .symmetric = true};
    sw_product wrong = right;
    wrong.rounded_to = SW_I32;
    assert_int_equal(sw_product_run(&wrong), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "product: operands in f32 cannot be rounded to i32; rounded_to is for f32 operands, and "
                              "must be f16, bf16, or f32 for none");
    wrong = right;
    wrong.a_type = wrong.b_type = wrong.c_type = SW_F64;
    assert_int_equal(sw_product_run(&wrong), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "product: operands in f64 cannot be rounded to bf16; rounded_to is for f32 operands, and "
                              "must be f16, bf16, or f32 for none");
    wrong = right;
    wrong.N = 1;
    assert_int_equal(sw_product_run(&wrong), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "product: a symmetric result of 2 rows and 1 columns; M and N must be equal");
    wrong = right;
    wrong.bias = a;
    assert_int_equal(sw_product_run(&wrong), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "product: a symmetric result and a bias; the sum would not be symmetric");
    wrong = right;
    wrong.rounded_to = SW_F32;
    assert_int_equal(sw_product_run(&wrong), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "product: symmetric with all operands in f32; it needs operands in 16 bits or "
                                  "rounded_to (sw_symmetric_product computes A Aᵀ in f32 and f64)");
    assert_memory_equal(c, ((const float[]){1, 2, 3, 4}), sizeof c);
}

/* The panels are on the stack. */
static void test_products_allocate_nothing(void **state) {
    (void)state;
    test_allocator allocator;
    test_allocator_install(&allocator);
    for (int k = 0; k < 27; k++)
        check((sizes){3, 2, 16401, 1},
              (const sw_dtype[]){small_types[k / 9], small_types[k / 3 % 3], k ? small_types[k % 3] : SW_BF16}, k & 1,
              k & 2, 1, k & 4);
    sw_set_allocator(NULL);
    assert_true(atomic_load(&allocator.calls) == 0);
}

/* A dry run must not use the memory of large results: neither the bias nor a product without terms may write. */
static void test_a_dry_run_writes_nothing(void **state) {
    (void)state;
    const float bias[2] = {1, 2};
    const uint16_t half[4] = {0};
    float c[4] = {7, 7, 7, 7};
    sw_product p = {.size = sizeof p,
                    .a_type = SW_BF16,
                    .b_type = SW_BF16,
                    .c_type = SW_F32,
                    .M = 2,
                    .N = 2,
                    .K = 2,
                    .alpha = 1,
                    .A = half,
                    .lda = 2,
                    .B = half,
                    .ldb = 2,
                    .bias = bias,
                    .C = c,
                    .ldc = 2};
    assert_ok(sw_dry_run_begin());
    assert_ok(sw_product_run(&p));
    p.a_type = p.b_type = SW_F32;
    p.K = 0;
    assert_ok(sw_product_run(&p));
    assert_ok(sw_dry_run_end());
    for (int i = 0; i < 4; i++)
        assert_true(c[i] == 7);
}

/* This program uses nothing of the file whose constructor corrects OpenBLAS's choice of kernels. From the static
 * library it was not linked into such programs, and OpenBLAS took a newer processor for a Prescott, with a fifth of the
 * speed. */
static void test_openblas_has_the_kernels_of_the_processor(void **state) {
    (void)state;
    static const char *const before_avx2[] = {"Prescott", "Core2", "Penryn", "Nehalem", "Sandybridge", "Barcelona"};
    const float one = 1;
    float sum;
    assert_ok(sw_gemm(SW_F32, false, false, 1, 1, 1, 1, &one, 1, &one, 1, 0, &sum, 1));
    if (sw_cpu_level() == 0 || getenv("OPENBLAS_CORETYPE"))
        return;
    for (size_t i = 0; i < sizeof before_avx2 / sizeof *before_avx2; i++)
        assert_string_not_equal(openblas_get_corename(), before_avx2[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_openblas_has_the_kernels_of_the_processor),
                                       cmocka_unit_test(test_products_of_stored_types),
                                       cmocka_unit_test(test_sums_are_computed_in_f32),
                                       cmocka_unit_test(test_threads_do_not_change_bits),
                                       cmocka_unit_test(test_a_bias_is_added_to_each_row),
                                       cmocka_unit_test(test_wrong_products_are_refused),
                                       cmocka_unit_test(test_a_dry_run_writes_nothing),
                                       cmocka_unit_test(test_wrong_members_for_rounding_and_symmetry_are_refused),
                                       cmocka_unit_test(test_products_allocate_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
