/* Least squares by the QR decomposition, with the least norm if there are several solutions; and the Chebyshev basis of
 * polynomials. In f64. Not part of the library. */
#ifndef SWALE_EXAMPLES_LEAST_NORM_H
#define SWALE_EXAMPLES_LEAST_NORM_H

#include <swale/extend.h>
#include <swale/matrix.h>

#include <string.h>

/* Memory for problems of at most `rows` equations with at most `columns` unknowns. */
typedef struct least_norm {
    double *Q, *L, *z;
    void *work;
} least_norm;

static inline void least_norm_free(least_norm *s) {
    sw_free(s->Q), sw_free(s->L), sw_free(s->z), sw_free(s->work);
    *s = (least_norm){0};
}

static inline sw_status least_norm_new(least_norm *s, int64_t rows, int64_t columns) {
    const int64_t least = rows < columns ? rows : columns;
    *s = (least_norm){0};
    s->Q = sw_alloc_array(rows * columns, sizeof *s->Q);
    s->L = s->Q ? sw_alloc_array(least * least, sizeof *s->L) : NULL;
    s->z = s->L ? sw_alloc_array(rows > columns ? rows : columns, sizeof *s->z) : NULL;
    s->work = s->z ? sw_alloc(sw_orthonormalize_work(SW_F64, least)) : NULL;
    if (!s->work)
        least_norm_free(s);
    return sw_error_status();
}

static inline sw_status least_norm_singular(int64_t i) {
    return sw_fail(SW_ERR_ARGUMENT, "least squares: row or column %lld depends on the earlier ones", (long long)i);
}

/* w [n] minimizes ‖A w - y‖ for A [m, n], y [m], and has the least norm of all minimizers. A must have full rank.
 *
 * m <= n: A = L Q with orthonormal rows of Q and a lower triangle L; w = Qᵀ L⁻¹ y.
 * m > n:  Aᵀ = L Q, hence A = Qᵀ Lᵀ;                                  w = L⁻ᵀ Q y.
 *
 * The relative error is of the order of ε times the condition of A, and for m > n also times its square and the
 * residual. A Aᵀ or AᵀA would square the condition in each case. */
static inline sw_status least_norm_solve(const least_norm *s, int64_t m, int64_t n, const double *A, const double *y,
                                         double *w) {
    const bool wide = m <= n;
    const int64_t rank = wide ? m : n, length = wide ? n : m;
    double *const L = s->L, *const Q = s->Q, *const z = wide ? s->z : w;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            Q[wide ? i * n + j : j * m + i] = A[i * n + j];
    if (sw_orthonormalize(SW_F64, rank, length, Q, length, s->work, NULL) != SW_OK)
        return sw_error_status();
    sw_gemm(SW_F64, !wide, true, rank, rank, length, 1, A, n, Q, length, 0, L, rank);
    if (wide) {
        for (int64_t i = 0; i < rank; i++) {
            double sum = y[i];
            for (int64_t k = 0; k < i; k++)
                sum -= L[i * rank + k] * z[k];
            if (L[i * rank + i] == 0)
                return least_norm_singular(i);
            z[i] = sum / L[i * rank + i];
        }
        sw_gemm(SW_F64, true, false, n, 1, rank, 1, Q, n, z, 1, 0, w, 1);
        return sw_error_status();
    }
    sw_gemm(SW_F64, false, false, rank, 1, length, 1, Q, length, y, 1, 0, z, 1);
    for (int64_t i = rank - 1; i >= 0; i--) {
        for (int64_t k = i + 1; k < rank; k++)
            z[i] -= L[k * rank + i] * z[k];
        if (L[i * rank + i] == 0)
            return least_norm_singular(i);
        z[i] /= L[i * rank + i];
    }
    return sw_error_status();
}

/* row [degree + 1] = T_0(x), …, T_degree(x) */
static inline void chebyshev_row(int degree, double x, double *row) {
    row[0] = 1;
    if (degree > 0)
        row[1] = x;
    for (int k = 2; k <= degree; k++)
        row[k] = 2 * x * row[k - 1] - row[k - 2];
}

static inline double chebyshev_value(int degree, double x, const double *w) {
    double before = 1, now = x, sum = w[0];
    for (int k = 1; k <= degree; k++) {
        sum += w[k] * now;
        const double next = 2 * x * now - before;
        before = now, now = next;
    }
    return sum;
}

#endif
