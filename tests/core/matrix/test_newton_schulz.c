/* Newton-Schulz iterations against their formula in plain loops of doubles, and against the theory: singular vectors
 * stay, and each singular value σ becomes aσ + bσ³ + cσ⁵. */
#include "support.h"

#include <swale/extend.h>
#include <swale/newton_schulz.h>
#include "core/ops/levels.h"

enum { MOST = 640 * 640 };
static const double JORDAN[3] = {3.4445, -4.7750, 2.0315};

static const sw_dtype both_types[2] = {SW_F32, SW_F64};

/* X with a random spectrum; values that f32 can represent. */
static void draw(int64_t count, uint64_t seed, double scale, double *x) {
    for (int64_t i = 0; i < count; i++)
        x[i] = (double)(float)(scale * test_uniform(&seed, -1, 1));
}

/* result [rows, columns] in doubles. In place if the program asks for it. */
static sw_status run(sw_dtype type, int64_t rows, int64_t columns, const double *x,
                     const sw_newton_schulz_options *options, bool in_place, double *result) {
    const size_t size = sw_dtype_size(type), bytes = (size_t)(rows * columns) * size;
    void *X = sw_alloc(bytes + 1), *out = in_place ? X : sw_alloc(bytes + 1),
         *work = sw_alloc(sw_newton_schulz_work(type, rows, columns, options) + 1);
    assert_true(X && out && work);
    memset(work, 0xff, sw_newton_schulz_work(type, rows, columns, options)); /* NaN */
    for (int64_t i = 0; i < rows * columns; i++)
        vec_set(type, X, i, x[i]);
    const sw_status status = sw_newton_schulz(type, rows, columns, X, options, out, work);
    for (int64_t i = 0; i < rows * columns; i++) {
        result[i] = vec_get(type, out, i);
        const double after = vec_get(type, X, i);
        assert_true(in_place || after == x[i] || !isfinite(x[i]) || (type == SW_F32 && after == (double)(float)x[i]));
    }
    sw_free(work);
    if (!in_place)
        sw_free(out);
    sw_free(X);
    return status;
}

/* The formula: X ← aX + b (XXᵀ)X + c (XXᵀ)²X, in the orientation in which it is given. */
static void reference(int64_t rows, int64_t columns, const double *x, int iterations, double eps, double *X) {
    static double A[MOST], Y[MOST], Z[MOST];
    double norm = 0;
    for (int64_t i = 0; i < rows * columns; i++)
        norm += x[i] * x[i];
    for (int64_t i = 0; i < rows * columns; i++)
        X[i] = norm == 0 ? 0 : x[i] / (sqrt(norm) + eps);
    for (int step = 0; step < iterations; step++) {
        memset(A, 0, (size_t)(rows * rows) * sizeof *A);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < rows; j++)
                for (int64_t k = 0; k < columns; k++)
                    A[i * rows + j] += X[i * columns + k] * X[j * columns + k];
        memset(Y, 0, (size_t)(rows * columns) * sizeof *Y);
        memset(Z, 0, (size_t)(rows * columns) * sizeof *Z);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t k = 0; k < rows; k++)
                for (int64_t j = 0; j < columns; j++)
                    Y[i * columns + j] += A[i * rows + k] * X[k * columns + j];
        for (int64_t i = 0; i < rows; i++)
            for (int64_t k = 0; k < rows; k++)
                for (int64_t j = 0; j < columns; j++)
                    Z[i * columns + j] += A[i * rows + k] * Y[k * columns + j];
        for (int64_t i = 0; i < rows * columns; i++)
            X[i] = JORDAN[0] * X[i] + JORDAN[1] * Y[i] + JORDAN[2] * Z[i];
    }
}

/* Q = 1 - 2vvᵀ/‖v‖², which is orthogonal: its columns are the singular vectors of test matrices. The first one is a
 * random vector d, for v = e₁ - d. */
static void reflection(int64_t n, uint64_t seed, double *Q) {
    double v[640], norm = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        v[i] = test_uniform(&seed, -1, 1);
        norm += v[i] * v[i];
    }
    for (int64_t i = 0; i < n; i++) {
        v[i] = (i == 0) - v[i] / sqrt(norm);
        square += v[i] * v[i];
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            Q[i * n + j] = (i == j) - 2 * v[i] * v[j] / square;
}

/* U diag(sigma) Vᵀ [rows, columns] for n = min(rows, columns) singular values. */
static void compose(int64_t rows, int64_t columns, const double *sigma, double *x) {
    static double U[MOST], V[MOST];
    const int64_t n = rows < columns ? rows : columns;
    reflection(rows, 11, U);
    reflection(columns, 12, V);
    memset(x, 0, (size_t)(rows * columns) * sizeof *x);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t j = 0; j < columns; j++)
                x[i * columns + j] += U[i * rows + k] * sigma[k] * V[j * columns + k];
}

static double map(double sigma, int iterations) {
    for (int i = 0; i < iterations; i++)
        sigma = JORDAN[0] * sigma + JORDAN[1] * pow(sigma, 3) + JORDAN[2] * pow(sigma, 5);
    return sigma;
}

static double largest_difference(int64_t count, const double *a, const double *b) {
    double most = 0;
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(a[i] - b[i]) <= most)) /* NaN stays */
            most = fabs(a[i] - b[i]);
    return most;
}

/* In the Gram form, an error δ of an eigenvalue of A near 0 is multiplied by a² = 11.9 in each of up to 4 iterations,
 * and then changes aX + bAX by 4.775·1.2·11.9⁴ δ = 1.1e5 δ. In the direct form it is multiplied by a only. Because
 * ‖X‖_F ≤ 1 at first, the rounding of A has a norm of at most one unit of the type, which is δ. */
static double tolerance(sw_dtype type) {
    return 1.1e5 * (type == SW_F32 ? 0x1p-24 : 0x1p-53);
}

/* ---- Tests ---- */

static const int64_t shapes[][2] = {{1, 1},     {1, 7},     {7, 1},     {2, 3},    {5, 5},     {7, 3},
                                    {3, 7},     {33, 65},   {40, 100},  {100, 40}, {130, 130}, {256, 300},
                                    {300, 257}, {260, 600}, {380, 370}, {372, 744}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void test_iterations_are_those_of_the_formula(void **state) {
    static double x[MOST], expected[MOST], result[MOST];
    (void)state;
    for (int s = 0; s < SHAPES; s++)
        for (int iterations = 1; iterations <= (s < 9 ? 13 : 5); iterations += s < 9 ? 1 : 4) {
            const int64_t rows = shapes[s][0], columns = shapes[s][1];
            draw(rows * columns, 5, 1, x);
            reference(rows, columns, x, iterations, 1e-7, expected);
            for (int t = 0; t < 2; t++)
                for (int in_place = 0; in_place < 2; in_place++) {
                    const sw_newton_schulz_options o = {.size = sizeof o, .iterations = iterations, .eps = 1e-7};
                    assert_ok(run(both_types[t], rows, columns, x, &o, in_place, result));
                    const double apart = largest_difference(rows * columns, result, expected);
                    if (!(apart <= tolerance(both_types[t])))
                        fail_msg("%s [%d, %d], %d iterations: %g away", sw_dtype_name(both_types[t]), (int)rows,
                                 (int)columns, iterations, apart);
                }
        }
}

/* Singular values from 1 to 1e-5 of the largest: those of at least 0.01 of the norm are in [0.65, 1.25]. */
static void test_singular_values_follow_the_polynomial(void **state) {
    static const int64_t of[][2] = {{24, 24}, {24, 31}, {31, 24}, {24, 96}, {96, 24}, {280, 280}, {280, 600}};
    static double x[MOST], expected[MOST], result[MOST];
    (void)state;
    for (size_t s = 0; s < sizeof of / sizeof *of; s++) {
        const int64_t rows = of[s][0], columns = of[s][1], n = rows < columns ? rows : columns;
        double sigma[640], mapped[640], norm = 0;
        for (int64_t i = 0; i < n; i++) {
            sigma[i] = pow(10, -5 * (double)i / (double)(n - 1));
            norm += sigma[i] * sigma[i];
        }
        norm = sqrt(norm);
        for (int64_t i = 0; i < n; i++) {
            mapped[i] = map(sigma[i] / norm, 5);
            assert_true(sigma[i] < 0.01 * norm || (mapped[i] >= 0.65 && mapped[i] <= 1.25));
        }
        compose(rows, columns, sigma, x);
        compose(rows, columns, mapped, expected);
        for (int t = 0; t < 2; t++) {
            assert_ok(run(both_types[t], rows, columns, x, NULL, false, result));
            const double apart = largest_difference(rows * columns, result, expected);
            if (!(apart <= tolerance(both_types[t])))
                fail_msg("%s [%d, %d]: %g away", sw_dtype_name(both_types[t]), (int)rows, (int)columns, apart);
        }
    }
}

/* ‖result - expected‖_F/‖expected‖_F with products in bf16. */
static double error_in_bf16(int64_t rows, int64_t columns, const double *sigma) {
    static double x[MOST], expected[MOST], result[MOST];
    const sw_newton_schulz_options o = {.size = sizeof o, .products = SW_BF16};
    const int64_t n = rows < columns ? rows : columns;
    double norm = 0, mapped[640], error = 0, square = 0;
    for (int64_t i = 0; i < n; i++)
        norm += sigma[i] * sigma[i];
    for (int64_t i = 0; i < n; i++)
        mapped[i] = map(sigma[i] / sqrt(norm), 5);
    compose(rows, columns, sigma, x);
    compose(rows, columns, mapped, expected);
    assert_ok(run(SW_F32, rows, columns, x, &o, false, result));
    for (int64_t i = 0; i < rows * columns; i++) {
        error += (result[i] - expected[i]) * (result[i] - expected[i]);
        square += expected[i] * expected[i];
    }
    return sqrt(error / square);
}

/* A factor in bf16 has relative errors of up to 2^-9 = 0.002. Each of 5 iterations has three products, whose errors
 * change a singular value by up to a few times as much, with signs at random: 0.1 is ample where all singular values
 * are at least 0.01 of the norm. One singular value of 1 and many of 0.01 are the worst case of the Gram form. */
static void test_products_in_bf16(void **state) {
    static const int64_t of[][2] = {{60, 60}, {60, 240}, {240, 60}, {300, 640}};
    double sigma[640];
    (void)state;
    for (size_t s = 0; s < sizeof of / sizeof *of; s++)
        for (int spectrum = 0; spectrum < 3; spectrum++) {
            for (int i = 0; i < 640; i++)
                sigma[i] = spectrum == 0 ? 1 : spectrum == 1 ? (i == 0 ? 1 : 0.012) : 1 / (1 + 0.1 * i);
            const double error = error_in_bf16(of[s][0], of[s][1], sigma);
            if (!(error <= 0.1))
                fail_msg("[%d, %d], spectrum %d: %g away", (int)of[s][0], (int)of[s][1], spectrum, error);
        }
}

/* Zeros, rank 1, and numbers whose squares are outside the range of f32: the result depends on directions alone. */
static void test_extreme_matrices(void **state) {
    enum { ROWS = 9, COLUMNS = 20, COUNT = ROWS * COLUMNS };
    static const double scale[] = {1, 1e-30, 0x1p-140, 1e30, 1e37};
    double x[COUNT] = {0}, result[COUNT], expected[COUNT];
    (void)state;
    for (int t = 0; t < 2; t++) {
        assert_ok(run(both_types[t], ROWS, COLUMNS, x, NULL, false, result));
        for (int i = 0; i < COUNT; i++)
            assert_true(result[i] == 0);
    }
    for (int i = 0; i < COUNT; i++) /* rank 1, σ = ‖X‖_F: uvᵀ p(1) */
        x[i] = (double)(1 + i / COLUMNS) * (i % 2 ? -1 : 0.5);
    double norm = 0;
    for (int i = 0; i < COUNT; i++)
        norm += x[i] * x[i];
    for (int i = 0; i < COUNT; i++)
        expected[i] = x[i] / sqrt(norm) * map(1, 5);
    for (int t = 0; t < 2; t++)
        for (size_t k = 0; k < sizeof scale / sizeof *scale; k++) {
            double scaled[COUNT];
            for (int i = 0; i < COUNT; i++)
                scaled[i] = x[i] * scale[k];
            assert_ok(run(both_types[t], ROWS, COLUMNS, scaled, NULL, false, result));
            const double apart = largest_difference(COUNT, result, expected);
            if (!(apart <= tolerance(both_types[t]))) /* the numbers times 2^-140 are exact in f32 */
                fail_msg("%s, times %g: %g away", sw_dtype_name(both_types[t]), scale[k], apart);
        }
}

static void test_bits_are_equal_for_every_number_of_threads(void **state) {
    static double x[MOST], one[MOST], other[MOST];
    const int before = sw_threads();
    (void)state;
    for (int s = 0; s < SHAPES; s++)
        for (int t = 0; t < 2; t++)
            for (int threads = 1; threads <= 8; threads++) {
                const int64_t rows = shapes[s][0], columns = shapes[s][1];
                assert_ok(sw_set_threads(threads));
                draw(rows * columns, 6, 1, x);
                assert_ok(run(both_types[t], rows, columns, x, NULL, threads % 2, threads == 1 ? one : other));
                if (threads > 1)
                    assert_memory_equal(one, other, (size_t)(rows * columns) * sizeof *one);
            }
    assert_ok(sw_set_threads(before));
}

/* Products in bf16 of large matrices are computed by several kernels, which have the same bits. */
static void test_bits_in_bf16_are_equal_with_avx2_and_avx512(void **state) {
    static double x[MOST], one[MOST], other[MOST];
    const sw_newton_schulz_options o = {.size = sizeof o, .iterations = 2, .products = SW_BF16};
    const int level = sw_cpu_level();
    (void)state;
    for (int s = SHAPES - 2; s < SHAPES && level == 2 && sw_bf16_order_used() == SW_BF16_PAIRS; s++) {
        const int64_t rows = shapes[s][0], columns = shapes[s][1];
        draw(rows * columns, 6, 1, x);
        assert_ok(run(SW_F32, rows, columns, x, &o, false, one));
        atomic_store(&swi_level, 1);
        const sw_status status = run(SW_F32, rows, columns, x, &o, false, other);
        atomic_store(&swi_level, level);
        assert_ok(status);
        assert_memory_equal(one, other, (size_t)(rows * columns) * sizeof *one);
    }
}

/* The size of the workspace that a program has computed remains valid if it changes the number of threads. */
static void test_workspace_does_not_depend_on_threads(void **state) {
    const int before = sw_threads();
    (void)state;
    for (int s = 0; s < SHAPES; s++) {
        assert_ok(sw_set_threads(1));
        const size_t one = sw_newton_schulz_work(SW_F32, shapes[s][0], shapes[s][1], NULL);
        assert_ok(sw_set_threads(8));
        assert_true(one > 0 && sw_newton_schulz_work(SW_F32, shapes[s][0], shapes[s][1], NULL) == one);
    }
    assert_ok(sw_set_threads(before));
}

static void test_invalid_arguments_are_refused(void **state) {
    double x[6] = {1, 2, 3, 4, 5, NAN}, result[6];
    (void)state;
    sw_newton_schulz_options o = {.size = sizeof o};
    assert_int_equal(run(SW_F64, 2, 3, x, &o, false, result), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "newton_schulz: the matrix [2, 3] contains Inf or NaN; its elements must be finite");
    x[5] = 6;
    o.eps = -1;
    assert_int_equal(sw_newton_schulz(SW_F64, 2, 3, x, &o, result, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT,
                 "newton_schulz: iterations = 5, a = 3.4445, b = -4.775, c = 2.0315, eps = -1; iterations and eps must "
                 "be 0 or more, and the coefficients finite");
    o = (sw_newton_schulz_options){.size = sizeof o, .products = SW_BF16};
    assert_int_equal(sw_newton_schulz(SW_F64, 2, 3, x, &o, result, NULL), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "newton_schulz: products in bf16 of a matrix in f64; bf16 with f32 is possible");
    assert_int_equal(sw_newton_schulz(SW_BF16, 2, 3, x, NULL, result, NULL), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "newton_schulz: the type is bf16; f32 or f64 is needed");
    assert_ok(sw_newton_schulz(SW_F64, 0, 3, NULL, NULL, NULL, NULL));
    assert_int_equal(sw_newton_schulz(SW_F64, -2, 3, x, NULL, result, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "newton_schulz: a matrix of -2 rows and 3 columns");
    assert_int_equal(sw_newton_schulz(SW_F64, 2, 3, x, NULL, result, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "newton_schulz: work is NULL (allocate it by sw_alloc, as many bytes as "
                                  "sw_newton_schulz_work returns)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_iterations_are_those_of_the_formula, test_clear),
        cmocka_unit_test_teardown(test_singular_values_follow_the_polynomial, test_clear),
        cmocka_unit_test_teardown(test_products_in_bf16, test_clear),
        cmocka_unit_test_teardown(test_extreme_matrices, test_clear),
        cmocka_unit_test_teardown(test_bits_are_equal_for_every_number_of_threads, test_clear),
        cmocka_unit_test_teardown(test_bits_in_bf16_are_equal_with_avx2_and_avx512, test_clear),
        cmocka_unit_test_teardown(test_workspace_does_not_depend_on_threads, test_clear),
        cmocka_unit_test_teardown(test_invalid_arguments_are_refused, test_clear),
    };
    return cmocka_run_group_tests_name("newton_schulz", tests, NULL, NULL);
}
