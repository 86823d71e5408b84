/* Products of small matrices and of vectors have the bits that small_product.h and matrix_vector.h define, on every
 * level with fused multiply-additions: every transposition, lengths around the blocks of the kernels, gaps between
 * rows, alpha, beta and bias. */
#include "support.h"

#include <math.h>

#include <swale/extend.h>
#include "core/kernels/matrix_vector.h"
#include "core/kernels/small_product.h"
#include "core/ops/levels.h"

enum { PART = 256 };

static const double gap = -12345; /* what lies between the rows of C */

/* A matrix as stored, [rows, width + extra], NaN between the rows: it must not be read. */
static sw_array stored(sw_dtype type, int64_t rows, int64_t width, int64_t extra, uint64_t seed) {
    sw_array a = test_filled(type, SW_SHAPE(rows, width + extra), -1, 1, seed);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = width; k < width + extra; k++)
            test_set(&a, r * (width + extra) + k, (double)NAN);
    return a;
}

/* The sum of one element in the type of the product: in parts, or in lanes for a product with a vector. */
#define REFERENCE(name, real, fused, LANES)                                             \
    static real name##_sum(const sw_product *p, int64_t m, int64_t n) {                 \
        const real *A = p->A, *B = p->B;                                                \
        const bool vector = p->M == 1 || p->N == 1;                                     \
        volatile real sum = 0, lane[LANES] = {0};                                       \
        real part = 0;                                                                  \
        for (int64_t k = 0; k < p->K; k++) {                                            \
            const real a = p->a_transposed ? A[k * p->lda + m] : A[m * p->lda + k],     \
                       b = p->b_transposed ? B[n * p->ldb + k] : B[k * p->ldb + n];     \
            if (vector) {                                                               \
                lane[k % (LANES)] = fused(a, b, lane[k % (LANES)]);                     \
                continue;                                                               \
            }                                                                           \
            part = fused(a, b, part);                                                   \
            if ((k + 1) % PART == 0 || k + 1 == p->K) {                                 \
                sum = k < PART ? part : sum + part;                                     \
                part = 0;                                                               \
            }                                                                           \
        }                                                                               \
        for (int half = (LANES) / 2; vector && half > 0; half /= 2)                     \
            for (int i = 0; i < half; i++)                                              \
                lane[i] = lane[i] + lane[i + half];                                     \
        return vector ? lane[0] : sum;                                                  \
    }                                                                                   \
    static double name(const sw_product *p, const real *before, int64_t m, int64_t n) { \
        const real *bias = p->bias, alpha = (real)p->alpha, beta = (real)p->beta;       \
        volatile real scaled = name##_sum(p, m, n);                                     \
        if (p->alpha != 1)                                                              \
            scaled = alpha * scaled;                                                    \
        if (p->beta != 0) {                                                             \
            volatile real old = beta * before[m * p->ldc + n];                          \
            scaled = scaled + old;                                                      \
        }                                                                               \
        return (double)(bias ? scaled + bias[n] : scaled);                              \
    }
REFERENCE(reference_f32, float, fmaf, 32)
REFERENCE(reference_f64, double, fma, 16)

typedef struct sizes {
    int64_t M, N, K, extra;
} sizes;

/* Returns whether the product was computed. */
static bool check(sw_dtype type, sizes s, bool ta, bool tb, double alpha, double beta, bool with_bias) {
    const int64_t lda = (ta ? s.M : s.K) + s.extra, ldb = (tb ? s.K : s.N) + s.extra, ldc = s.N + s.extra;
    sw_array a = stored(type, ta ? s.K : s.M, lda - s.extra, s.extra, 1),
             b = stored(type, tb ? s.N : s.K, ldb - s.extra, s.extra, 2),
             bias = test_filled(type, SW_SHAPE(s.N), -1, 1, 4), c = test_filled(type, SW_SHAPE(s.M, ldc), -1, 1, 3),
             before = test_filled(type, SW_SHAPE(s.M, ldc), -1, 1, 3);
    for (int64_t i = 0; i < s.M * ldc; i++)
        if (i % ldc >= s.N || beta == 0) /* with beta = 0, C is not read */
            test_set(&c, i, i % ldc >= s.N ? gap : (double)NAN);
    const sw_product p = {.size = sizeof p,
                          .a_type = type,
                          .b_type = type,
                          .c_type = type,
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
                          .ldc = ldc,
                          .bias = with_bias ? bias.data : NULL};
    const bool computed = swi_small_product(&p);
    for (int64_t i = 0; computed && i < s.M * ldc; i++) {
        const int64_t m = i / ldc, n = i % ldc;
        const double expected = n >= s.N         ? gap
                                : type == SW_F32 ? reference_f32(&p, before.data, m, n)
                                                 : reference_f64(&p, before.data, m, n);
        if (test_get(&c, i) != expected)
            fail_msg(
                "%s, op(A) %c op(B) %c, %lld x %lld x %lld, alpha %g, beta %g, bias %d: C[%lld,%lld] is %.17g, not "
                "%.17g",
                sw_dtype_name(type), ta ? 't' : 'n', tb ? 't' : 'n', (long long)s.M, (long long)s.N, (long long)s.K,
                alpha, beta, with_bias, (long long)m, (long long)n, test_get(&c, i), expected);
    }
    test_array_free(&a);
    test_array_free(&b);
    test_array_free(&c);
    test_array_free(&bias);
    test_array_free(&before);
    return computed;
}

/* Whether the lengths are such that every form is computed without OpenBLAS. */
static bool always_small(sizes s) {
    return s.M * s.N <= 4096 && (s.K < PART ? s.K : PART) * ((s.N + 15) / 16 * 16) <= 4096;
}

static void check_all_forms(sizes s) {
    static const double numbers[][2] = {{1, 0}, {-0.7, 0}, {1, 0.3}, {0.9, -1}};
    for (int form = 0; form < 8; form++) {
        const double *ab = numbers[(s.M + s.N + s.K + form) % 4];
        const bool with_bias = ab[1] == 0 && (s.M + form) % 3 != 0,
                   computed = check((sw_dtype)(form & 1), s, form & 2, form & 4, ab[0], ab[1], with_bias);
        if (sw_cpu_level() == 0)
            assert_false(computed);
        else if (always_small(s))
            assert_true(computed);
    }
}

/* A row times a transposed matrix, or a matrix times a column, which is contiguous. */
static void check_vector(sizes s) {
    static const double numbers[][2] = {{1, 0}, {-0.7, 0}, {1, 0.3}};
    for (int i = 0; i < 6; i++) {
        const double *ab = numbers[i % 3];
        assert_true(check((sw_dtype)(i & 1), s, false, true, ab[0], ab[1], ab[1] == 0 && s.K % 3 != 0) ==
                    (sw_cpu_level() > 0));
    }
}

static void check_lengths(void) {
    static const int64_t rows[] = {2, 3, 5, 6, 8, 13, 31}, columns[] = {2, 3, 4, 7, 8, 9, 16, 17, 33, 50},
                         terms[] = {1, 2, 5, 16, 67};
    for (size_t m = 0; m < sizeof rows / sizeof *rows; m++)
        for (size_t n = 0; n < sizeof columns / sizeof *columns; n++)
            for (size_t k = 0; k < sizeof terms / sizeof *terms; k++)
                check_all_forms((sizes){rows[m], columns[n], terms[k], (int64_t)(m + n + k) % 3});
    for (int64_t k = 1; k < 72; k += k < 35 ? 1 : 9)
        for (int64_t n = 1; n < 4; n++) {
            check_vector((sizes){1, n, k, k % 2});
            check_vector((sizes){n, 1, k, k % 2});
        }
    check_vector((sizes){1, 100, 784, 0});
    check_vector((sizes){30, 1, 5000, 1});
    check_all_forms((sizes){9, 20, 255, 0});
    check_all_forms((sizes){17, 5, 256, 1});
    check_all_forms((sizes){6, 16, 257, 0});
    check_all_forms((sizes){5, 14, 700, 2});
    check_all_forms((sizes){300, 19, 40, 0});
    check_all_forms((sizes){20, 150, 30, 0});
    check_all_forms((sizes){70, 80, 90, 1});
}

static void test_small_products_have_defined_bits(void **state) {
    (void)state;
    each_level(check_lengths);
}

/* A NaN in a row of A reaches this row of C, and no other; infinities give what the sums give. */
static void check_special_numbers(void) {
    float a[3 * 5] = {0}, b[5 * 20], c[3 * 20];
    for (int i = 0; i < 5 * 20; i++)
        b[i] = 1;
    a[1 * 5 + 2] = NAN;
    a[2 * 5 + 4] = INFINITY;
    for (int tb = 0; tb < 2; tb++) {
        assert_ok(sw_gemm(SW_F32, false, tb, 3, 20, 5, 1, a, 5, b, tb ? 5 : 20, 0, c, 20));
        for (int n = 0; n < 20; n++)
            assert_true(c[n] == 0 && isnan(c[20 + n]) && c[40 + n] == INFINITY);
    }
}

static void test_special_numbers_stay_in_their_row(void **state) {
    (void)state;
    each_level(check_special_numbers);
}

/* Lengths for which OpenBLAS is called; a vector times a matrix whose columns are not contiguous. */
static void test_other_products_are_left_to_openblas(void **state) {
    (void)state;
    static const sizes cases[] = {{101, 100, 100, 0}, {200, 100, 50, 0}, {1, 50, 16385, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_false(check(SW_F32, cases[i], false, true, 1, 0, false));
    assert_false(check(SW_F32, (sizes){1, 20, 5, 0}, false, false, 1, 0, false));
    assert_false(check(SW_F32, (sizes){20, 1, 5, 1}, true, true, 1, 0, false));
    assert_false(check(SW_F64, (sizes){4, 5, 6, 0}, false, false, 0, 0, false)); /* A and B may hold NaN */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_products_have_defined_bits),
        cmocka_unit_test(test_special_numbers_stay_in_their_row),
        cmocka_unit_test(test_other_products_are_left_to_openblas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
