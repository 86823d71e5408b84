/* Orthonormal rows, by LAPACK's QR decomposition.
 *
 * The rows of a row-major matrix are the columns of a column-major one, which LAPACK decomposes in place. */
#include <swale/blas.h>
#include <swale/status.h>
#include <swale/vector.h>

#include "core/base/dry_run_state.h"
#include "core/matrix/square.h"

#include <limits.h>
#include <math.h>

/* LAPACK: A = QR, and Q from its reflectors. */
extern void sgeqrf_(const int *m, const int *n, float *a, const int *lda, float *tau, float *work, const int *lwork,
                    int *info);
extern void dgeqrf_(const int *m, const int *n, double *a, const int *lda, double *tau, double *work, const int *lwork,
                    int *info);
extern void sorgqr_(const int *m, const int *n, const int *k, float *a, const int *lda, const float *tau, float *work,
                    const int *lwork, int *info);
extern void dorgqr_(const int *m, const int *n, const int *k, double *a, const int *lda, const double *tau,
                    double *work, const int *lwork, int *info);

static const char orthonormalize_name[] = "orthonormal rows";

enum { BLOCK = 64 }; /* block size of LAPACK, which determines its workspace */

/* tau and the signs of the diagonal of R; the workspace of LAPACK. */
size_t sw_orthonormalize_work(sw_dtype type, int64_t count) {
    return swi_work_bytes(2 * (double)count, sw_dtype_size(type)) +
           swi_work_bytes(BLOCK * (double)count, sw_dtype_size(type));
}

static double orthonormalize_element(sw_dtype type, const void *A, int64_t i) {
    return type == SW_F32 ? (double)((const float *)A)[i] : ((const double *)A)[i];
}

static sw_matrix_outcome orthonormalize_check(sw_dtype type, int64_t count, int64_t length, const void *A, int64_t lda,
                                              int64_t *row) {
    for (int64_t i = 0; i < count; i++) {
        double norm;
        *row = i;
        if (sw_vector_norm(type, length, (const char *)A + i * lda * (int64_t)sw_dtype_size(type), &norm) != SW_OK)
            return SW_MATRIX_NOT_FINITE;
    }
    return SW_MATRIX_OK;
}

static sw_status orthonormalize_arguments(sw_dtype type, int64_t count, int64_t length, int64_t lda) {
    if (type != SW_F32 && type != SW_F64)
        return sw_fail(SW_ERR_TYPE, "%s: the type is %s, expected f32 or f64", orthonormalize_name,
                       sw_dtype_name(type));
    if (count < 0 || count > length || lda < length)
        return sw_fail(SW_ERR_ARGUMENT,
                       "%s: %lld rows of length %lld at a distance of %lld; expected at most as many rows as their "
                       "length, and a distance of at least the length",
                       orthonormalize_name, (long long)count, (long long)length, (long long)lda);
    if (lda > INT_MAX || count > INT_MAX / BLOCK)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %lld rows at a distance of %lld are too large for LAPACK",
                       orthonormalize_name, (long long)count, (long long)lda);
    return SW_OK;
}

/* LAPACK's A = QR with the signs of the diagonal of R; then Q. */
static void orthonormalize_call(sw_dtype type, int m, int n, void *A, int lda, void *tau, void *sign, void *work) {
    const int lwork = n * BLOCK;
    int info = 0; /* not 0 only if an argument is invalid */
    sw_blas_call call = sw_blas_enter();
    if (type == SW_F32)
        sgeqrf_(&m, &n, A, &lda, tau, work, &lwork, &info);
    else
        dgeqrf_(&m, &n, A, &lda, tau, work, &lwork, &info);
    for (int64_t j = 0; j < n; j++) {
        const double s = orthonormalize_element(type, A, j * lda + j) < 0 ? -1 : 1;
        if (type == SW_F32)
            ((float *)sign)[j] = (float)s;
        else
            ((double *)sign)[j] = s;
    }
    if (type == SW_F32)
        sorgqr_(&m, &n, &n, A, &lda, tau, work, &lwork, &info);
    else
        dorgqr_(&m, &n, &n, A, &lda, tau, work, &lwork, &info);
    sw_blas_leave(call);
}

sw_status sw_orthonormalize(sw_dtype type, int64_t count, int64_t length, void *A, int64_t lda, void *work,
                            sw_matrix_outcome *outcome) {
    SW_TRY(orthonormalize_arguments(type, count, length, lda));
    if (outcome)
        *outcome = SW_MATRIX_OK;
    if (count == 0 || swi_dry_run())
        return SW_OK;
    int64_t row;
    SW_TRY(swi_matrix_pointers(orthonormalize_name, A, A, work, "sw_orthonormalize_work"));
    const sw_matrix_outcome result = orthonormalize_check(type, count, length, A, lda, &row);
    if (result != SW_MATRIX_OK) {
        if (outcome)
            *outcome = result;
        return outcome
                   ? SW_OK
                   : sw_fail(SW_ERR_NONFINITE, "%s: row %lld holds NaN or Inf", orthonormalize_name, (long long)row);
    }
    if (sw_blas_ready(1) == 0)
        return SW_ERR_MEMORY;
    const int64_t size = (int64_t)sw_dtype_size(type);
    char *tau = work, *sign = tau + count * size, *rest = tau + swi_work_bytes(2 * (double)count, (size_t)size);
    orthonormalize_call(type, (int)length, (int)count, A, (int)lda, tau, sign, rest);
    for (int64_t i = 0; i < count; i++)
        if (orthonormalize_element(type, sign, i) < 0) {
            void *q = (char *)A + i * lda * size;
            sw_vector_axpby(type, length, -1, q, 0, NULL, q);
        }
    return SW_OK;
}
