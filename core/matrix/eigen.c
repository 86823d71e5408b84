/* Eigendecompositions of symmetric matrices, by LAPACK's divide and conquer method.
 *
 * A symmetric matrix is the same in row-major and in column-major order. LAPACK writes v_i to column i of a
 * column-major matrix, which is row i here. */
#include <swale/blas.h>
#include <swale/status.h>

#include "core/base/dry_run_state.h"
#include "core/matrix/square.h"

#include <string.h>

/* LAPACK: all eigenvalues, and with jobz "V" all eigenvectors. */
extern void ssyevd_(const char *jobz, const char *uplo, const int *n, float *a, const int *lda, float *w, float *work,
                    const int *lwork, int *iwork, const int *liwork, int *info);
extern void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w,
                    double *work, const int *lwork, int *iwork, const int *liwork, int *info);

static const char eigen_name[] = "symmetric eigendecomposition";

/* LAPACK's workspace: 1 + 6 n + 2 n² numbers and 3 + 5 n integers. */
static double eigen_numbers(int64_t n) {
    return 1 + 6 * (double)n + 2 * (double)n * (double)n;
}

static double eigen_integers(int64_t n) {
    return 3 + 5 * (double)n;
}

size_t swi_eigen_in_place_work(sw_dtype type, int64_t n) {
    return swi_work_bytes(eigen_numbers(n), sw_dtype_size(type)) + swi_work_bytes(eigen_integers(n), sizeof(int));
}

sw_status swi_eigen_in_place(sw_dtype type, int64_t n, bool vectors, void *V, void *values, void *work,
                             sw_matrix_outcome *result) {
    if (sw_blas_ready(1) == 0)
        return SW_ERR_MEMORY;
    const int size = (int)n, ld = n > 1 ? size : 1, lwork = (int)eigen_numbers(n), liwork = (int)eigen_integers(n);
    int *iwork = (int *)(void *)((char *)work + swi_work_bytes(eigen_numbers(n), sw_dtype_size(type))), info = 0;
    sw_blas_call call = sw_blas_enter();
    if (type == SW_F32)
        ssyevd_(vectors ? "V" : "N", "L", &size, V, &ld, values, work, &lwork, iwork, &liwork, &info);
    else
        dsyevd_(vectors ? "V" : "N", "L", &size, V, &ld, values, work, &lwork, iwork, &liwork, &info);
    sw_blas_leave(call);
    *result = info == 0 ? SW_MATRIX_OK : SW_MATRIX_NOT_CONVERGED;
    return SW_OK;
}

/* A copy of A, the eigenvalues, and the workspace of LAPACK. */
size_t sw_symmetric_eigen_work(sw_dtype type, int64_t n) {
    if (n > SWI_LARGEST_SQUARE)
        return SIZE_MAX;
    const size_t size = sw_dtype_size(type);
    return swi_work_bytes((double)n * (double)n, size) + swi_work_bytes((double)n, size) +
           swi_eigen_in_place_work(type, n);
}

sw_status sw_symmetric_eigen(sw_dtype type, int64_t n, const void *A, void *values, void *vectors, void *work,
                             sw_matrix_outcome *outcome) {
    SW_TRY(swi_square_arguments(eigen_name, type, n, SWI_LARGEST_SQUARE));
    if (outcome)
        *outcome = SW_MATRIX_OK;
    if (n == 0 || swi_dry_run())
        return SW_OK;
    SW_TRY(swi_matrix_pointers(eigen_name, A, values && vectors ? vectors : NULL, work, "sw_symmetric_eigen_work"));
    const size_t size = sw_dtype_size(type);
    char *V = work, *w = V + swi_work_bytes((double)(n * n), size), *rest = w + swi_work_bytes((double)n, size);
    sw_matrix_outcome result = swi_square_copy(type, n, A, type, V);
    if (result == SW_MATRIX_OK)
        SW_TRY(swi_eigen_in_place(type, n, true, V, w, rest, &result));
    if (result == SW_MATRIX_OK) {
        memcpy(vectors, V, (size_t)(n * n) * size);
        memcpy(values, w, (size_t)n * size);
    }
    return swi_matrix_end(eigen_name, result, type, n, A, outcome);
}
