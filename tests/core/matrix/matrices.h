/* Matrices with known decompositions for the tests of matrix functions: products with Householder reflections
 * H = I - 2 u uᵀ/‖u‖², in long double. Include it after support.h. */
#ifndef TEST_CORE_MATRICES_H
#define TEST_CORE_MATRICES_H

#include <swale/extend.h>

static const double unit[2] = {0x1p-23, 0x1p-52};

/* Row i of the result [n,n] is row i of H2 H1, where the u are random. */
static inline long double *random_orthogonal(int64_t n, uint64_t seed) {
    long double *q = calloc((size_t)(n * n + 1), sizeof *q), *u = malloc((size_t)(n + 1) * sizeof *u);
    for (int64_t i = 0; i < n; i++)
        q[i * n + i] = 1;
    for (int turn = 0; turn < 2; turn++) {
        long double size = 0;
        for (int64_t i = 0; i < n; i++) {
            u[i] = (long double)test_uniform(&seed, -1, 1);
            size += u[i] * u[i];
        }
        for (int64_t j = 0; j < n; j++) {
            long double along = 0;
            for (int64_t i = 0; i < n; i++)
                along += u[i] * q[i * n + j];
            for (int64_t i = 0; i < n; i++)
                q[i * n + j] -= 2 * along / size * u[i];
        }
    }
    free(u);
    return q;
}

/* Σ_i values[i] q_i q_iᵀ for the rows q_i of q. */
static inline long double *with_eigenvalues(int64_t n, const long double *values, const long double *q) {
    long double *a = calloc((size_t)(n * n + 1), sizeof *a);
    for (int64_t k = 0; k < n; k++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                a[i * n + j] += values[k] * q[k * n + i] * q[k * n + j];
    return a;
}

static inline sw_array rounded(sw_dtype type, int64_t rows, int64_t columns, const long double *from) {
    sw_array a = test_array(type, SW_SHAPE(rows, columns));
    for (int64_t i = 0; i < rows * columns; i++)
        test_set(&a, i, (double)from[i]);
    return a;
}

/* C [m,n] = A [m,k] B [k,n]. */
static inline long double *long_product(int64_t m, int64_t n, int64_t k, const long double *A, const long double *B) {
    long double *C = calloc((size_t)(m * n + 1), sizeof *C);
    for (int64_t i = 0; i < m; i++)
        for (int64_t l = 0; l < k; l++)
            for (int64_t j = 0; j < n; j++)
                C[i * n + j] += A[i * k + l] * B[l * n + j];
    return C;
}

static inline long double *widened(const sw_array *a) {
    const int64_t n = sw_array_count(a);
    long double *w = malloc((size_t)(n + 1) * sizeof *w);
    for (int64_t i = 0; i < n; i++)
        w[i] = (long double)test_get(a, i);
    return w;
}

static inline void *workspace(size_t bytes) {
    assert_true(bytes < SIZE_MAX);
    void *work = aligned_alloc(SW_ALIGNMENT, bytes);
    assert_non_null(work);
    memset(work, 0xA5, bytes);
    return work;
}

static inline double largest_difference(const sw_array *a, const long double *expected) {
    double worst = 0;
    for (int64_t i = 0; i < sw_array_count(a); i++) {
        const double d = fabs((double)((long double)test_get(a, i) - expected[i]));
        worst = d <= worst ? worst : d; /* NaN stays */
    }
    return worst;
}

#define assert_at_most(value, bound)                                                           \
    do {                                                                                       \
        const double value_ = (value), bound_ = (bound);                                       \
        if (!(value_ <= bound_))                                                               \
            fail_msg("%s is %.3g, at most %s = %.3g allowed", #value, value_, #bound, bound_); \
    } while (0)

#endif
