/* sw_symmetric_eigen and sw_orthonormalize: their definitions, checked in long double; matrices with known eigenvalues;
 * failures; threads. */
#include "support.h"

#include "core/matrix/matrices.h"

/* ---- Eigendecompositions ---- */

/* Eigenvalues from -1 to 2, two of them equal. */
static sw_array known_matrix(sw_dtype type, int64_t n, long double **values, long double **vectors) {
    *vectors = random_orthogonal(n, 5);
    *values = malloc((size_t)(n + 1) * sizeof **values);
    for (int64_t i = 0; i < n; i++)
        (*values)[i] = n == 1 ? 2 : -1 + 3 * (long double)i / (long double)(n - 1);
    if (n > 2)
        (*values)[1] = (*values)[0];
    long double *a = with_eigenvalues(n, *values, *vectors);
    sw_array A = rounded(type, n, n, a);
    free(a);
    return A;
}

/* A v = λ v and VVᵀ = I within c n ε ‖A‖; λ against the known eigenvalues: by Weyl's theorem they move by at most the
 * norm of the rounding of A, n ε ‖A‖, and of LAPACK's error. ‖A‖ = 2; c = 4 in each. */
static void check_eigen(sw_dtype type, int64_t n, bool in_place) {
    long double *known, *q;
    sw_array A = known_matrix(type, n, &known, &q), values = test_array(type, SW_SHAPE(n));
    sw_array vectors = test_array(type, SW_SHAPE(n, n));
    void *work = workspace(sw_symmetric_eigen_work(type, n));
    long double *a = widened(&A);
    if (in_place)
        memcpy(vectors.data, A.data, test_bytes(&A));
    assert_ok(sw_symmetric_eigen(type, n, in_place ? vectors.data : A.data, values.data, vectors.data, work, NULL));
    const double tolerance = 8 * (double)(n > 0 ? n : 1) * unit[type];
    long double *v = widened(&vectors);
    for (int64_t i = 0; i < n; i++) {
        assert_at_most(fabs((double)((long double)test_get(&values, i) - known[i])), tolerance);
        for (int64_t j = 0; j < n; j++) {
            long double product = 0, dot = 0;
            for (int64_t k = 0; k < n; k++) {
                product += a[j * n + k] * v[i * n + k];
                dot += v[i * n + k] * v[j * n + k];
            }
            const double residual = (double)(product - (long double)test_get(&values, i) * v[i * n + j]);
            assert_at_most(fabs(residual), tolerance);
            assert_at_most(fabs((double)(dot - (i == j))), tolerance);
        }
    }
    free(a);
    free(v);
    free(known);
    free(q);
    free(work);
    test_array_free(&A);
    test_array_free(&values);
    test_array_free(&vectors);
}

static void test_eigen_decomposes(void **state) {
    (void)state;
    static const int64_t sizes[] = {0, 1, 2, 3, 16, 17, 31, 64, 100};
    for (int type = SW_F32; type <= SW_F64; type++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            check_eigen((sw_dtype)type, sizes[i], i % 2 == 1);
}

/* Matrices whose elements are near the limits of the type; LAPACK scales them. */
static void test_eigen_of_extreme_matrices(void **state) {
    (void)state;
    void *work = workspace(sw_symmetric_eigen_work(SW_F64, 2));
    static const double scales[] = {1e30, 1e-30, 1e37, 1e-37};
    for (int i = 0; i < 4; i++) {
        float a[4] = {(float)scales[i], (float)scales[i], (float)scales[i], (float)scales[i]}, w[2], v[4];
        assert_ok(sw_symmetric_eigen(SW_F32, 2, a, w, v, work, NULL));
        assert_at_most(fabs((double)w[1] / (2 * scales[i]) - 1), 8 * unit[SW_F32]);
        assert_at_most(fabs((double)w[0] / scales[i]), 8 * unit[SW_F32]);
        assert_at_most(fabs(fabs((double)v[2]) - sqrt(0.5)), 8 * unit[SW_F32]);
    }
    const double zeros[4] = {0};
    double w[2] = {1, 1}, v[4];
    assert_ok(sw_symmetric_eigen(SW_F64, 2, zeros, w, v, work, NULL));
    assert_true(w[0] == 0 && w[1] == 0 && fabs(v[0] * v[3] - v[1] * v[2]) == 1);
    free(work);
}

/* Differences of rounding are repaired: the result is that of (A + Aᵀ)/2. √ε is 3.5e-4 in f32. */
static void test_eigen_repairs_rounding(void **state) {
    (void)state;
    void *work = workspace(sw_symmetric_eigen_work(SW_F32, 2));
    const float a[4] = {1, 0.5003f, 0.5f, 1}, mean[4] = {1, 0.5003f / 2 + 0.25f, 0.5003f / 2 + 0.25f, 1};
    float w[2], v[4], expected[2], vectors[4];
    assert_ok(sw_symmetric_eigen(SW_F32, 2, a, w, v, work, NULL));
    assert_ok(sw_symmetric_eigen(SW_F32, 2, mean, expected, vectors, work, NULL));
    assert_memory_equal(w, expected, sizeof w);
    assert_memory_equal(v, vectors, sizeof v);
    free(work);
}

static void test_eigen_failures(void **state) {
    (void)state;
    void *work = workspace(sw_symmetric_eigen_work(SW_F64, 3));
    double a[9] = {1, 2, 3, 2, 4, 5, 3, 5, 6}, w[3] = {7, 7, 7}, v[9] = {7, 7};
    sw_matrix_outcome outcome;
    a[5] = a[7] = (double)NAN;
    assert_ok(sw_symmetric_eigen(SW_F64, 3, a, w, v, work, &outcome));
    assert_int_equal(outcome, SW_MATRIX_NOT_FINITE);
    assert_true(w[0] == 7 && w[2] == 7 && v[0] == 7 && v[1] == 7);
    assert_int_equal(sw_symmetric_eigen(SW_F64, 3, a, w, v, work, NULL), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "symmetric eigendecomposition: element [1,2] is nan");
    a[5] = a[7] = -(double)INFINITY;
    assert_int_equal(sw_symmetric_eigen(SW_F64, 3, a, w, v, work, NULL), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "symmetric eigendecomposition: element [1,2] is -inf");
    a[5] = 5;
    a[7] = 4;
    assert_ok(sw_symmetric_eigen(SW_F64, 3, a, w, v, work, &outcome));
    assert_int_equal(outcome, SW_MATRIX_NOT_SYMMETRIC);
    assert_true(w[0] == 7 && v[0] == 7);
    assert_int_equal(sw_symmetric_eigen(SW_F64, 3, a, w, v, work, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "symmetric eigendecomposition: the matrix is not symmetric: element [2,1] is 4, and "
                                  "[1,2] is 5 (pass (A + A^T)/2 if that is meant)");
    assert_int_equal(sw_symmetric_eigen(SW_BF16, 3, a, w, v, work, &outcome), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "symmetric eigendecomposition: the type is bf16, expected f32 or f64");
    assert_int_equal(sw_symmetric_eigen(SW_F64, -1, a, w, v, work, &outcome), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "symmetric eigendecomposition: n is -1, which is negative");
    assert_int_equal(sw_symmetric_eigen(SW_F64, 50000, a, w, v, work, &outcome), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "symmetric eigendecomposition: n is 50000, at most 32000 is possible (divide the "
                                  "matrix into blocks)");
    assert_true(sw_symmetric_eigen_work(SW_F64, 50000) == SIZE_MAX);
    free(work);
}

/* ---- Orthonormal rows ---- */

static void check_orthonormal(sw_dtype type, int64_t count, int64_t length, int64_t extra, bool dependent) {
    const int64_t lda = length + extra;
    sw_array A = test_filled(type, SW_SHAPE(count > 0 ? count : 1, lda), -1, 1, 9);
    if (dependent) /* row 1 = row 0, row 2 = 0 */
        for (int64_t j = 0; j < length; j++) {
            test_set(&A, lda + j, test_get(&A, j));
            test_set(&A, 2 * lda + j, 0);
        }
    long double *a = widened(&A);
    void *work = workspace(sw_orthonormalize_work(type, count));
    assert_ok(sw_orthonormalize(type, count, length, A.data, lda, work, NULL));
    long double *q = widened(&A);
    /* Householder's Q is orthonormal, and QR = A, within c n ε (Higham, Accuracy and Stability, section 19.3); the rows
     * have norms of at most √length. */
    const double tolerance = 4 * (double)length * unit[type], scaled = tolerance * sqrt((double)length);
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; j < count; j++) {
            long double dot = 0, along = 0;
            for (int64_t k = 0; k < length; k++) {
                dot += q[i * lda + k] * q[j * lda + k];
                along += q[i * lda + k] * a[j * lda + k];
            }
            assert_at_most(fabs((double)(dot - (i == j))), tolerance);
            if (j < i)
                assert_at_most(fabs((double)along), scaled);
            else if (i == j)
                assert_at_most(-(double)along, dependent ? scaled : 0);
        }
        for (int64_t k = 0; k < length; k++) { /* a_i is in the span of q_0, …, q_i */
            long double rest = a[i * lda + k];
            for (int64_t j = 0; j <= i; j++) {
                long double along = 0;
                for (int64_t l = 0; l < length; l++)
                    along += q[j * lda + l] * a[i * lda + l];
                rest -= along * q[j * lda + k];
            }
            assert_at_most(fabs((double)rest), scaled);
        }
        for (int64_t k = length; k < lda; k++)
            assert_true(q[i * lda + k] == a[i * lda + k]);
    }
    free(a);
    free(q);
    free(work);
    test_array_free(&A);
}

static void test_rows_become_orthonormal(void **state) {
    (void)state;
    for (int type = SW_F32; type <= SW_F64; type++) {
        check_orthonormal((sw_dtype)type, 0, 3, 0, false);
        check_orthonormal((sw_dtype)type, 1, 1, 2, false);
        check_orthonormal((sw_dtype)type, 1, 7, 0, false);
        check_orthonormal((sw_dtype)type, 5, 5, 3, false);
        check_orthonormal((sw_dtype)type, 20, 31, 1, false);
        check_orthonormal((sw_dtype)type, 40, 40, 0, false);
        check_orthonormal((sw_dtype)type, 6, 9, 0, true);
    }
}

static void test_orthonormalize_failures(void **state) {
    (void)state;
    void *work = workspace(sw_orthonormalize_work(SW_F64, 3));
    double a[6] = {1, 2, 3, 4, (double)INFINITY, 6};
    sw_matrix_outcome outcome;
    assert_ok(sw_orthonormalize(SW_F64, 2, 3, a, 3, work, &outcome));
    assert_int_equal(outcome, SW_MATRIX_NOT_FINITE);
    assert_true(a[0] == 1 && a[5] == 6);
    assert_int_equal(sw_orthonormalize(SW_F64, 2, 3, a, 3, work, NULL), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "orthonormal rows: row 1 holds NaN or Inf");
    assert_int_equal(sw_orthonormalize(SW_F64, 3, 2, a, 2, work, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "orthonormal rows: 3 rows of length 2 at a distance of 2; expected at most as many "
                                  "rows as their length, and a distance of at least the length");
    assert_int_equal(sw_orthonormalize(SW_I32, 1, 1, a, 1, work, NULL), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "orthonormal rows: the type is i32, expected f32 or f64");
    assert_int_equal(sw_orthonormalize(SW_F64, 1, 2, a, 2, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "orthonormal rows: work is NULL (allocate it by sw_alloc, as many bytes as "
                                  "sw_orthonormalize_work returns)");
    double value;
    assert_int_equal(sw_symmetric_eigen(SW_F64, 1, a, NULL, a, work, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "symmetric eigendecomposition: the matrix or the place for the result is NULL");
    assert_int_equal(sw_symmetric_eigen(SW_F64, 1, a, &value, a, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "symmetric eigendecomposition: work is NULL (allocate it by sw_alloc, as many bytes "
                                  "as sw_symmetric_eigen_work returns)");
    free(work);
}

/* ---- Threads ---- */

enum { SIZE = 130, ITEMS = 3 };
typedef struct shared {
    const sw_array *A;
    char *values, *vectors;
    size_t work;
    uint64_t hash[ITEMS];
} shared;

static sw_status eigen_item(void *args, int64_t item, sw_worker *worker) {
    shared *s = args;
    const sw_dtype type = s->A->type;
    const size_t size = sw_dtype_size(type);
    char *values = s->values + (size_t)item * SIZE * size, *vectors = s->vectors + (size_t)item * SIZE * SIZE * size;
    SW_TRY(sw_symmetric_eigen(type, SIZE, s->A->data, values, vectors, worker->scratch, NULL));
    s->hash[item] = test_hash(test_hash(TEST_HASH, values, SIZE * size), vectors, SIZE * SIZE * size);
    SW_TRY(sw_orthonormalize(type, SIZE, SIZE, memcpy(vectors, s->A->data, SIZE * SIZE * size), SIZE, worker->scratch,
                             NULL));
    s->hash[item] = test_hash(s->hash[item], vectors, SIZE * SIZE * size);
    return SW_OK;
}

/* Equal bits on any number of threads, and from work items that run at the same time. */
static void test_bits_do_not_depend_on_threads(void **state) {
    (void)state;
    static const int threads[] = {1, 2, 3, 8};
    for (int type = SW_F32; type <= SW_F64; type++) {
        long double *known, *q;
        sw_array A = known_matrix((sw_dtype)type, SIZE, &known, &q);
        shared s = {.A = &A,
                    .values = malloc(ITEMS * SIZE * sizeof(double)),
                    .vectors = malloc(ITEMS * SIZE * SIZE * sizeof(double)),
                    .work = sw_symmetric_eigen_work((sw_dtype)type, SIZE)};
        uint64_t first = 0;
        for (int t = 0; t < 4; t++) {
            assert_ok(sw_set_threads(threads[t]));
            assert_ok(sw_parallel_items(eigen_item, &s, ITEMS, s.work));
            first = t == 0 ? s.hash[0] : first;
            for (int i = 0; i < ITEMS; i++)
                assert_true(s.hash[i] == first);
        }
        assert_ok(sw_set_threads(2));
        free(s.values);
        free(s.vectors);
        free(known);
        free(q);
        test_array_free(&A);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eigen_decomposes),
        cmocka_unit_test(test_eigen_of_extreme_matrices),
        cmocka_unit_test(test_eigen_repairs_rounding),
        cmocka_unit_test(test_eigen_failures),
        cmocka_unit_test(test_rows_become_orthonormal),
        cmocka_unit_test(test_orthonormalize_failures),
        cmocka_unit_test(test_bits_do_not_depend_on_threads),
    };
    return cmocka_run_group_tests_name("eigen", tests, test_clear, test_no_error_left);
}
