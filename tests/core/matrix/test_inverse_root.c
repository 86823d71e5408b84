/* sw_inverse_root: matrices whose roots are known, by both methods; the condition 1e10; roots of singular matrices; the
 * polar factor by two fourth roots; failures; threads. */
#include "support.h"

#include "core/matrix/matrices.h"

/* Eigenvalues from `least` to 1, spaced geometrically. */
static sw_array spread_matrix(sw_dtype type, int64_t n, long double least, long double **values, long double **q) {
    *q = random_orthogonal(n, 11);
    *values = malloc((size_t)(n + 1) * sizeof **values);
    for (int64_t i = 0; i < n; i++)
        (*values)[i] = powl(least, n == 1 ? 1 : 1 - (long double)i / (long double)(n - 1));
    long double *a = with_eigenvalues(n, *values, *q);
    sw_array A = rounded(type, n, n, a);
    free(a);
    return A;
}

static sw_array root_of(const sw_array *A, const sw_root_options *o, sw_root_report *report) {
    const int64_t n = A->shape[0];
    sw_array root = test_array(A->type, SW_SHAPE(n, n));
    void *work = workspace(sw_inverse_root_work(A->type, n, o));
    assert_ok(sw_inverse_root(A->type, n, A->data, o, root.data, work, report));
    free(work);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            assert_true(test_get(&root, i * n + j) == test_get(&root, j * n + i)); /* exactly symmetric, not NaN */
    return root;
}

/* max |P^r (A + ridge I) - I| in long double. */
static double residual(const sw_array *A, const sw_array *P, int order, double ridge) {
    const int64_t n = A->shape[0];
    long double *p = widened(P), *product = widened(A);
    for (int64_t i = 0; i < n; i++)
        product[i * n + i] += (long double)ridge;
    for (int k = 0; k < order; k++) {
        long double *next = long_product(n, n, n, p, product);
        free(product);
        product = next;
    }
    double worst = 0;
    for (int64_t i = 0; i < n * n; i++)
        worst = fmax(worst, fabs((double)(product[i] - (i % (n + 1) == 0))));
    free(p);
    free(product);
    return worst;
}

/* With condition κ, an error of n ε ‖A‖ of the decomposition (or of r products in each Newton iteration) changes
 * P^r (A + ridge I) by at most about r n ε κ; 4 of them. Newton: its tolerance on max |M - I| in addition, n elements
 * in a row. `wide`: only the rounding of the root. */
static void check_root(sw_dtype type, int64_t n, int order, double least, double ridge, sw_root_method method,
                       bool wide) {
    long double *values, *q;
    sw_array A = spread_matrix(type, n, (long double)least, &values, &q);
    const sw_root_options o = {.size = sizeof o, .order = order, .ridge = ridge, .method = method, .wide = wide};
    sw_root_report report = {.size = sizeof report};
    sw_array P = root_of(&A, &o, &report);
    assert_int_equal(report.outcome, SW_MATRIX_OK);
    const double condition = 1 / (least + ridge);
    double tolerance = (wide ? 2 : 4 * (double)n) * order * unit[type] * condition;
    if (method == SW_ROOT_NEWTON) {
        assert_true(report.error <= 1e-6 && report.iterations < 100);
        tolerance += (double)n * 1e-6;
    } else {
        assert_at_most(fabs(report.largest - 1), (double)n * unit[type]);
        assert_at_most(fabs(report.least - least), (double)n * unit[type]);
    }
    assert_at_most(residual(&A, &P, order, ridge), tolerance);
    free(values);
    free(q);
    test_array_free(&A);
    test_array_free(&P);
}

static void test_roots_are_right(void **state) {
    (void)state;
    static const int orders[] = {1, 2, 3, 4, 6};
    for (int method = SW_ROOT_EIGEN; method <= SW_ROOT_NEWTON; method++)
        for (int i = 0; i < 5; i++)
            for (int type = SW_F32; type <= SW_F64; type++) {
                check_root((sw_dtype)type, 1, orders[i], 1, 0, (sw_root_method)method, false);
                check_root((sw_dtype)type, 2, orders[i], 0.1, 0, (sw_root_method)method, false);
                check_root((sw_dtype)type, 24, orders[i], 0.01, 0, (sw_root_method)method, false);
                check_root((sw_dtype)type, 24, orders[i], 0.001, 0.01, (sw_root_method)method, false);
            }
}

/* Newton's root itself has the error n ε κ ‖root‖, which is that of a change of A by n ε ‖A‖, but for a large condition
 * P^r A deviates from I by more than with SW_ROOT_EIGEN. */
static void check_newton_error(int64_t n, int order, double least, double ridge) {
    long double *values, *q;
    sw_array A = spread_matrix(SW_F64, n, (long double)least, &values, &q);
    const sw_root_options o = {.size = sizeof o, .order = order, .ridge = ridge, .method = SW_ROOT_NEWTON};
    sw_array P = root_of(&A, &o, NULL);
    for (int64_t i = 0; i < n; i++)
        values[i] = powl(values[i] + (long double)ridge, -1 / (long double)order);
    long double *expected = with_eigenvalues(n, values, q);
    assert_at_most(largest_difference(&P, expected) / (double)values[0],
                   4 * (double)n * unit[SW_F64] / (least + ridge));
    free(values);
    free(q);
    free(expected);
    test_array_free(&A);
    test_array_free(&P);
}

/* In f64 the matrix itself; the smallest eigenvalue of its rounding to f32 is not known, so that the ridge must exceed
 * the rounding errors. */
static void test_roots_of_ill_conditioned_matrices(void **state) {
    (void)state;
    for (int order = 2; order <= 4; order += 2) {
        check_root(SW_F64, 24, order, 1e-10, 0, SW_ROOT_EIGEN, false);
        check_root(SW_F64, 24, order, 1e-10, 1e-12, SW_ROOT_EIGEN, false);
        check_newton_error(24, order, 1e-10, 1e-10);
        check_root(SW_F32, 24, order, 1e-10, 1e-4, SW_ROOT_EIGEN, false);
        check_root(SW_F32, 24, order, 1e-10, 1e-6, SW_ROOT_EIGEN, true);
        check_root(SW_F32, 24, order, 1e-10, 1e-6, SW_ROOT_NEWTON, true);
    }
}

/* In f32 with `wide`, the root of the rounded matrix is computed in f64 and rounded once. */
static void test_wide_roots_are_rounded_once(void **state) {
    (void)state;
    long double *values, *q;
    sw_array A = spread_matrix(SW_F32, 20, 1e-10L, &values, &q);
    long double *a = widened(&A);
    sw_array A64 = rounded(SW_F64, 20, 20, a);
    const sw_root_options o = {.size = sizeof o, .order = 4, .ridge = 1e-7, .shift_negative = true, .wide = true};
    sw_array P = root_of(&A, &o, NULL), P64 = root_of(&A64, &o, NULL);
    for (int64_t i = 0; i < 400; i++)
        assert_true(test_get(&P, i) == (double)(float)test_get(&P64, i));
    free(a);
    free(values);
    free(q);
    test_array_free(&A);
    test_array_free(&A64);
    test_array_free(&P);
    test_array_free(&P64);
}

/* A factor of CASPR in f32: P = A + ridge λmax I with A of rank n/2. If the products were not exactly symmetric, M and
 * H^-2 P would drift apart while the smallest eigenvalues grow: 100 iterations, after which R P R differs from I by 5.
 * The rounding of A changes an element of R P R by 2^-24 λmax ‖R‖² = 2^-24/ridge = 0.06; twice as much is allowed. */
static void test_newton_is_accurate_for_singular_factors(void **state) {
    (void)state;
    enum { N = 300, RANK = N / 2 };
    const double ridge = 1e-6;
    uint64_t seed = 9;
    sw_array G = test_array(SW_F32, SW_SHAPE(RANK, N)), A = test_array(SW_F32, SW_SHAPE(N, N)),
             R = test_array(SW_F32, SW_SHAPE(N, N));
    for (int64_t i = 0; i < RANK * N; i++)
        test_set(&G, i, test_uniform(&seed, -1, 1) * exp(-6.0 * (double)(i % N) / N));
    assert_ok(sw_symmetric_product(SW_F32, true, N, RANK, 1, G.data, N, 0, A.data, N));
    const sw_root_options o = {
        .size = sizeof o, .order = 2, .ridge = ridge, .ridge_relative = true, .method = SW_ROOT_NEWTON};
    void *work = sw_alloc(sw_inverse_root_work(SW_F32, N, &o));
    sw_root_report report = {.size = sizeof report};
    assert_non_null(work);
    assert_ok(sw_inverse_root(SW_F32, N, A.data, &o, R.data, work, &report));
    assert_int_equal(report.outcome, SW_MATRIX_OK);
    assert_true(report.iterations < 40);
    double *P = calloc(N * N, sizeof *P), *root = calloc(N * N, sizeof *root), *PR = calloc(N * N, sizeof *PR),
           worst = 0;
    for (int64_t i = 0; i < N * N; i++) {
        P[i] = test_get(&A, i) + (i % (N + 1) == 0 ? ridge * report.largest : 0);
        root[i] = test_get(&R, i);
    }
    assert_ok(sw_gemm(SW_F64, false, false, N, N, N, 1, P, N, root, N, 0, PR, N));
    assert_ok(sw_gemm(SW_F64, false, false, N, N, N, 1, root, N, PR, N, 0, P, N));
    for (int64_t i = 0; i < N * N; i++)
        worst = fmax(worst, fabs(P[i] - (i % (N + 1) == 0)));
    assert_at_most(worst, 2 * 0x1p-24 / ridge);
    free(P);
    free(root);
    free(PR);
    sw_free(work);
    test_array_free(&G);
    test_array_free(&A);
    test_array_free(&R);
}

/* In f32 the error of a large matrix stays above the tolerance: the iteration ends nevertheless. 22 iterations suffice
 * for a condition of 100: M grows from 1/100 to 1 by (3/2)² in an iteration, which takes 6, and squares its error in 5.
 */
static void test_newton_ends_at_the_rounding_errors(void **state) {
    (void)state;
    long double *values, *q;
    sw_array A = spread_matrix(SW_F32, 150, 0.01L, &values, &q);
    const sw_root_options o = {.size = sizeof o, .method = SW_ROOT_NEWTON, .tolerance = 1e-9};
    sw_root_report report = {.size = sizeof report};
    sw_array P = root_of(&A, &o, &report);
    assert_true(report.iterations <= 22 && report.error > 1e-9);
    assert_at_most(residual(&A, &P, 2, 0), 4 * 2 * 150 * unit[SW_F32] * 100);
    free(values);
    free(q);
    test_array_free(&A);
    test_array_free(&P);
}

/* Negative eigenvalues: A - λ_min I + ridge; a relative ridge is a multiple of the largest eigenvalue, after the shift.
 */
static void test_shift_and_relative_ridge(void **state) {
    (void)state;
    for (int method = SW_ROOT_EIGEN; method <= SW_ROOT_NEWTON; method++) {
        const int64_t n = 6;
        long double *q = random_orthogonal(n, 3), values[6] = {-0.5L, 0, 0.1L, 0.2L, 0.3L, 1.5L};
        long double *a = with_eigenvalues(n, values, q), roots[6];
        for (int i = 0; i < 6; i++)
            roots[i] = powl(values[i] + 0.5L + 0.02L, -0.25L); /* 0.01 (1.5 + 0.5) */
        long double *expected = with_eigenvalues(n, roots, q);
        sw_array A = rounded(SW_F64, n, n, a);
        const sw_root_options o = {.size = sizeof o,
                                   .order = 4,
                                   .ridge = 0.01,
                                   .ridge_relative = true,
                                   .shift_negative = true,
                                   .method = (sw_root_method)method,
                                   .tolerance = 1e-13};
        sw_array P = root_of(&A, &o, NULL);
        /* The root of 0.02 has the derivative 0.25·0.02^-1.25 = 33; n ε of A, doubled. Newton: 40 products, 1e-13 n. */
        assert_at_most(largest_difference(&P, expected), method == SW_ROOT_EIGEN ? 1e-13 : 1e-11);
        free(q);
        free(a);
        free(expected);
        test_array_free(&A);
        test_array_free(&P);
    }
}

/* A ridge far below the shift: the least eigenvalue becomes the ridge. LAPACK's eigenvalues of diag(1e4, -1e-3) have
 * errors of 1e4 ε, but their difference from the shift is exact; the eigenvectors are unit vectors to a few ε. */
static void test_ridge_far_below_the_shift(void **state) {
    (void)state;
    sw_array A = test_array(SW_F64, SW_SHAPE(2, 2));
    const double values[4] = {1e4, 0, 0, -1e-3};
    memcpy(A.data, values, sizeof values);
    for (int i = 0; i < 2; i++) {
        const double ridge = i == 0 ? 1e-18 : 1e-20;
        const sw_root_options o = {.size = sizeof o, .order = 2, .ridge = ridge, .shift_negative = true};
        sw_array P = root_of(&A, &o, NULL);
        assert_at_most(fabs(test_get(&P, 3) * sqrt(ridge) - 1), 1e-14);
        test_array_free(&P);
    }
    test_array_free(&A);
}

/* A = g gᵀ of rank 1, and its pseudo root ‖g‖^(-2/r) ggᵀ/‖g‖²; a matrix of zeros has the root 0. */
static void test_pseudo_roots_of_singular_matrices(void **state) {
    (void)state;
    const int64_t n = 12;
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int order = 1; order <= 4; order++) {
            sw_array g = test_filled((sw_dtype)type, SW_SHAPE(n, 1), -1, 1, 21),
                     A = test_array((sw_dtype)type, SW_SHAPE(n, n));
            long double size = 0, expected[144];
            for (int64_t i = 0; i < n; i++)
                size += (long double)test_get(&g, i) * (long double)test_get(&g, i);
            for (int64_t i = 0; i < n * n; i++) {
                const long double product = (long double)test_get(&g, i / n) * (long double)test_get(&g, i % n);
                test_set(&A, i, (double)product);
                expected[i] = product / size * powl(size, -1.0L / order);
            }
            const sw_root_options o = {.size = sizeof o, .order = order, .pseudo = true};
            sw_array P = root_of(&A, &o, NULL);
            /* The eigenvector and eigenvalue of an isolated eigenvalue have the error n ε; ‖root‖ is about 1. */
            assert_at_most(largest_difference(&P, expected), 4 * (double)n * unit[type]);
            memset(A.data, 0, test_bytes(&A));
            sw_array zero = root_of(&A, &o, NULL);
            for (int64_t i = 0; i < n * n; i++)
                assert_true(test_get(&zero, i) == 0);
            test_array_free(&g);
            test_array_free(&A);
            test_array_free(&P);
            test_array_free(&zero);
        }
}

/* (GGᵀ)^(-1/4) G (GᵀG)^(-1/4) = U Vᵀ for G = U S Vᵀ, where one of the two products is singular. */
static void check_polar_factor(int64_t m, int64_t n) {
    const int64_t rank = m < n ? m : n;
    long double *u = random_orthogonal(m, 31), *v = random_orthogonal(n, 32);
    long double *g = calloc((size_t)(m * n), sizeof *g), *uv = calloc((size_t)(m * n), sizeof *uv);
    for (int64_t k = 0; k < rank; k++) {
        const long double s = 0.05L + 2 * (long double)k / (long double)rank;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                g[i * n + j] += s * u[k * m + i] * v[k * n + j];
                uv[i * n + j] += u[k * m + i] * v[k * n + j];
            }
    }
    sw_array G = rounded(SW_F64, m, n, g), L = test_array(SW_F64, SW_SHAPE(m, m)),
             R = test_array(SW_F64, SW_SHAPE(n, n));
    assert_ok(sw_symmetric_product(SW_F64, false, m, n, 1, G.data, n, 0, L.data, m));
    assert_ok(sw_symmetric_product(SW_F64, true, n, m, 1, G.data, n, 0, R.data, n));
    const sw_root_options o = {.size = sizeof o, .order = 4, .pseudo = true};
    sw_array P = root_of(&L, &o, NULL), Q = root_of(&R, &o, NULL);
    long double *p = widened(&P), *q = widened(&Q), *pg = long_product(m, n, m, p, g),
                *pgq = long_product(m, n, n, pg, q);
    double worst = 0;
    for (int64_t i = 0; i < m * n; i++)
        worst = fmax(worst, fabs((double)(pgq[i] - uv[i])));
    assert_at_most(worst, 1e-6);
    long double *all[] = {u, v, g, uv, p, q, pg, pgq};
    for (int i = 0; i < 8; i++)
        free(all[i]);
    test_array_free(&G);
    test_array_free(&L);
    test_array_free(&R);
    test_array_free(&P);
    test_array_free(&Q);
}

static void test_two_fourth_roots_give_the_polar_factor(void **state) {
    (void)state;
    check_polar_factor(32, 16);
    check_polar_factor(64, 64);
    check_polar_factor(16, 48);
    check_polar_factor(128, 32);
}

/* ---- Failures ---- */

static void expect_outcome(const double *a, const sw_root_options *o, sw_matrix_outcome outcome, sw_status status,
                           const char *message) {
    void *work = workspace(sw_inverse_root_work(SW_F64, 2, o));
    double root[4] = {7, 7, 7, 7};
    sw_root_report report = {.size = sizeof report};
    assert_ok(sw_inverse_root(SW_F64, 2, a, o, root, work, &report));
    assert_int_equal(report.outcome, outcome);
    for (int i = 0; i < 4; i++)
        assert_true(root[i] == 7);
    assert_int_equal(sw_inverse_root(SW_F64, 2, a, o, root, work, NULL), status);
    expect_error(status, message);
    free(work);
}

static void test_failures_leave_the_root(void **state) {
    (void)state;
    const sw_root_options eigen = {.size = sizeof eigen, .order = 4};
    sw_root_options newton = {.size = sizeof newton, .order = 4, .method = SW_ROOT_NEWTON};
    for (int method = 0; method < 2; method++) {
        const sw_root_options *o = method ? &newton : &eigen;
        expect_outcome((const double[]){1, 0, 0, (double)NAN}, o, SW_MATRIX_NOT_FINITE, SW_ERR_NONFINITE,
                       "inverse root: element [1,1] is nan");
        expect_outcome(
            (const double[]){1, 0, 1, 2}, o, SW_MATRIX_NOT_SYMMETRIC, SW_ERR_ARGUMENT,
            "inverse root: the matrix is not symmetric: element [1,0] is 1, and [0,1] is 0 (pass (A + A^T)/2 "
            "if that is meant)");
    }
    expect_outcome((const double[]){1, 0, 0, 0}, &eigen, SW_MATRIX_NOT_POSITIVE, SW_ERR_ARGUMENT,
                   "inverse root: an eigenvalue is 0 or negative (use a larger ridge, shift_negative or pseudo)");
    expect_outcome((const double[]){1, 0, 0, -1}, &newton, SW_MATRIX_NOT_CONVERGED, SW_ERR_ARGUMENT,
                   "inverse root: no convergence (for an inverse root, use a larger ridge, or SW_ROOT_EIGEN)");
    expect_outcome((const double[]){0, 0, 0, 0}, &newton, SW_MATRIX_NOT_CONVERGED, SW_ERR_ARGUMENT,
                   "inverse root: no convergence (for an inverse root, use a larger ridge, or SW_ROOT_EIGEN)");
    newton.iterations = 2; /* needs 20 */
    expect_outcome((const double[]){1, 0, 0, 1e-4}, &newton, SW_MATRIX_NOT_CONVERGED, SW_ERR_ARGUMENT,
                   "inverse root: no convergence (for an inverse root, use a larger ridge, or SW_ROOT_EIGEN)");
    newton.iterations = 100;
    newton.acceptable = 1e-20;
    newton.tolerance = 1e-21;
    expect_outcome((const double[]){1, 0.3, 0.3, 1e-4 + 0.09}, &newton, SW_MATRIX_NOT_CONVERGED, SW_ERR_ARGUMENT,
                   "inverse root: no convergence (for an inverse root, use a larger ridge, or SW_ROOT_EIGEN)");
    /* In f64 the ridge vanishes in 1 + 2e-20. The eigenvalue of the root that belongs to 0 grows in each iteration, and
     * the error remains 0.5. */
    const sw_root_options singular = {.size = sizeof singular,
                                      .order = 2,
                                      .ridge = 1e-20,
                                      .ridge_relative = true,
                                      .shift_negative = true,
                                      .method = SW_ROOT_NEWTON,
                                      .acceptable = 1};
    expect_outcome((const double[]){1, 1, 1, 1}, &singular, SW_MATRIX_NOT_CONVERGED, SW_ERR_ARGUMENT,
                   "inverse root: no convergence (for an inverse root, use a larger ridge, or SW_ROOT_EIGEN)");
    /* The root of 1e-300 exceeds f64: (1e-300)^-2. */
    const sw_root_options tiny = {.size = sizeof tiny, .order = 1};
    expect_outcome((const double[]){1e-320, 0, 0, 1e-320}, &tiny, SW_MATRIX_NOT_FINITE, SW_ERR_NONFINITE,
                   "inverse root: the result is not finite (scale the matrix)");
}

static void test_wrong_options_are_refused(void **state) {
    (void)state;
    double a[1] = {4}, root[1];
    void *work = workspace(sw_inverse_root_work(SW_F64, 1, NULL));
    static const struct {
        sw_root_options o;
        const char *message;
    } wrong[] = {
        {{.size = 8}, "inverse root: options.size is 8; sizeof(sw_root_options) is 72"},
        {{.size = sizeof(sw_root_options), .order = -1},
         "inverse root: order -1 and iterations 100, expected 1 or more"},
        {{.size = sizeof(sw_root_options), .ridge = -1},
         "inverse root: ridge -1, cutoff 0, tolerance 1e-06, acceptable 0.1; expected numbers that are not negative"},
        {{.size = sizeof(sw_root_options), .method = (sw_root_method)7},
         "inverse root: method 7, expected SW_ROOT_EIGEN or SW_ROOT_NEWTON"},
        {{.size = sizeof(sw_root_options), .pseudo = true, .method = SW_ROOT_NEWTON},
         "inverse root: pseudo needs the method SW_ROOT_EIGEN"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(sw_inverse_root(SW_F64, 1, a, &wrong[i].o, root, work, NULL), SW_ERR_ARGUMENT);
        expect_error(SW_ERR_ARGUMENT, wrong[i].message);
        assert_true(sw_inverse_root_work(SW_F64, 1, &wrong[i].o) == SIZE_MAX);
        sw_clear_error();
    }
    sw_root_report report = {0};
    assert_int_equal(sw_inverse_root(SW_F64, 1, a, NULL, root, work, &report), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "inverse root: report.size is 0; sizeof(sw_root_report) is 48");
    assert_ok(sw_inverse_root(SW_F64, 1, a, NULL, root, work, NULL));
    assert_at_most(fabs(root[0] - 0.5), 4 * unit[SW_F64]); /* the default is the inverse square root */
    assert_ok(sw_inverse_root(SW_F64, 0, NULL, NULL, NULL, work, NULL));
    assert_int_equal(sw_inverse_root(SW_F64, 1, a, NULL, root, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "inverse root: work is NULL (allocate it by sw_alloc, as many bytes as "
                                  "sw_inverse_root_work returns)");
    assert_int_equal(sw_inverse_root(SW_F64, 1, a, NULL, root, (char *)work + 8, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT,
                 "inverse root: work is not aligned to 64 bytes (allocate it by sw_alloc, as many bytes "
                 "as sw_inverse_root_work returns)");
    free(work);
}

static void test_bits_do_not_depend_on_threads(void **state) {
    (void)state;
    static const int threads[] = {1, 2, 3, 8};
    for (int form = 0; form < 6; form++) {
        const sw_dtype type = form % 2 ? SW_F64 : SW_F32;
        const sw_root_options o = {.size = sizeof o,
                                   .order = 4,
                                   .ridge = 0.01,
                                   .method = form / 2 == 0 ? SW_ROOT_EIGEN : SW_ROOT_NEWTON,
                                   .wide = form / 2 == 2};
        long double *values, *q;
        sw_array A = spread_matrix(type, 180, 0.01L, &values, &q);
        uint64_t first = 0;
        for (int t = 0; t < 4; t++) {
            assert_ok(sw_set_threads(threads[t]));
            sw_array P = root_of(&A, &o, NULL);
            const uint64_t hash = test_hash(TEST_HASH, P.data, test_bytes(&P));
            first = t == 0 ? hash : first;
            assert_true(hash == first);
            test_array_free(&P);
        }
        assert_ok(sw_set_threads(2));
        free(values);
        free(q);
        test_array_free(&A);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots_are_right),
        cmocka_unit_test(test_roots_of_ill_conditioned_matrices),
        cmocka_unit_test(test_wide_roots_are_rounded_once),
        cmocka_unit_test(test_newton_is_accurate_for_singular_factors),
        cmocka_unit_test(test_newton_ends_at_the_rounding_errors),
        cmocka_unit_test(test_shift_and_relative_ridge),
        cmocka_unit_test(test_ridge_far_below_the_shift),
        cmocka_unit_test(test_pseudo_roots_of_singular_matrices),
        cmocka_unit_test(test_two_fourth_roots_give_the_polar_factor),
        cmocka_unit_test(test_failures_leave_the_root),
        cmocka_unit_test(test_wrong_options_are_refused),
        cmocka_unit_test(test_bits_do_not_depend_on_threads),
    };
    return cmocka_run_group_tests_name("inverse_root", tests, test_clear, test_no_error_left);
}
