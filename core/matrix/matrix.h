/* Functions of matrices for optimization methods: symmetric products, eigendecompositions, orthonormal vectors and
 * inverse roots, in f32 and f64.
 *
 * Matrices are row-major and contiguous unless a function takes a distance of rows (lda). A function allocates nothing:
 * the caller gives it `work`, aligned to SW_ALIGNMENT, of as many bytes as the function ..._work returns (SIZE_MAX if
 * the number overflows). Functions may be called by several threads at the same time, also from work items (parallel.h)
 * and from parts of rules. Results have the same bits for every number of threads. LAPACK and the matrix products are
 * those of OpenBLAS; therefore bits may differ between processors and versions of OpenBLAS.
 *
 * In a dry run (dry_run.h) nothing is computed, results are undefined, and the outcome is SW_MATRIX_OK. */
#ifndef SWALE_MATRIX_H
#define SWALE_MATRIX_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a computation ended. If the caller passes a place for it, a numerical failure is not an error: the function
 * returns SW_OK, raises no error, writes the outcome, and leaves its results as they were, so that a method can keep
 * the previous ones. If the caller passes NULL, the failure is an error with a message: SW_ERR_NONFINITE for
 * SW_MATRIX_NOT_FINITE, otherwise SW_ERR_ARGUMENT. Wrong arguments and lack of memory are errors in both cases. */
typedef enum sw_matrix_outcome {
    SW_MATRIX_OK = 0,
    SW_MATRIX_NOT_FINITE,    /* the matrix, or the result, holds NaN or Inf */
    SW_MATRIX_NOT_SYMMETRIC, /* see sw_symmetric_eigen */
    SW_MATRIX_NOT_CONVERGED, /* LAPACK or the iteration ended without reaching the result */
    SW_MATRIX_NOT_POSITIVE   /* an inverse root does not exist: an eigenvalue is 0 or negative */
} sw_matrix_outcome;

/* C = alpha A Aᵀ + beta C with A [n,k], or, if transposed, C = alpha Aᵀ A + beta C with A [k,n]; C is [n,n]. lda and
 * ldc are the distances of rows, in elements. All of C is written and is exactly symmetric; with beta other than 0,
 * only its lower triangle (column <= row) is read. C must not overlap A. With beta = 0, C is not read.
 *
 * About half of the multiplications of sw_gemm are done. Threads share tiles, which depend on n and k alone. Products
 * with n·n·k up to 4 million, for which this is not faster, and products of f32 with k above 16384, whose sums sw_gemm
 * adds in parts, are computed by sw_gemm. Accuracy and errors are those of sw_gemm. */
SW_API sw_status sw_symmetric_product(sw_dtype type, bool transposed, int64_t n, int64_t k, double alpha, const void *A,
                                      int64_t lda, double beta, void *C, int64_t ldc);

/* A = Σ_i values[i] v_i v_iᵀ, the eigendecomposition of a symmetric matrix A [n,n]: values [n] in ascending order, and
 * v_i, of length 1, in row i of vectors [n,n]. `vectors` may be A. Two computations with equal A give equal signs of
 * v_i. By LAPACK's divide and conquer method (syevd).
 *
 * A is symmetric if no element differs from its mirror image by more than √ε times the largest element, where ε is
 * 2^-23 or 2^-52. Then (A + Aᵀ)/2 is used. A larger difference is SW_MATRIX_NOT_SYMMETRIC. n is at most 32000.
 *
 * Accuracy: the computed decomposition is that of A + E with ‖E‖ of the order of n ε ‖A‖ at most. The relative error of
 * an eigenvalue far below ‖A‖ may therefore be large. */
SW_API sw_status sw_symmetric_eigen(sw_dtype type, int64_t n, const void *A, void *values, void *vectors, void *work,
                                    sw_matrix_outcome *outcome);
SW_API size_t sw_symmetric_eigen_work(sw_dtype type, int64_t n);

/* Replaces the rows of A [count, length], count <= length, by orthonormal rows q_0, q_1, …: those of the Gram-Schmidt
 * process. q_i is orthogonal to the earlier rows of A, and ⟨q_i, a_i⟩ >= 0. In other words, the columns of Aᵀ are
 * replaced by Q of Aᵀ = QR, where the diagonal of R is not negative. If rows of A are linearly dependent, the result
 * contains arbitrary orthonormal rows in their place. By LAPACK's Householder reflections (geqrf and orgqr); the rows
 * are orthonormal to rounding for every A. lda is the distance of rows. The only failure is SW_MATRIX_NOT_FINITE.
 * length and 64 count must be below 2^31. */
SW_API sw_status sw_orthonormalize(sw_dtype type, int64_t count, int64_t length, void *A, int64_t lda, void *work,
                                   sw_matrix_outcome *outcome);
SW_API size_t sw_orthonormalize_work(sw_dtype type, int64_t count);

/* ---- Inverse roots ---- */

typedef enum sw_root_method {
    SW_ROOT_EIGEN = 0, /* by the eigendecomposition: any symmetric matrix */
    SW_ROOT_NEWTON     /* by the coupled Newton iteration: positive definite matrices */
} sw_root_method;

/* The options of sw_inverse_root; zeros are the defaults. */
typedef struct sw_root_options {
    size_t size;         /* sizeof(sw_root_options) */
    int order;           /* r in (A + ridge I)^(-1/r): 1 or more; 0: 2 */
    double ridge;        /* 0 or more */
    bool ridge_relative; /* `ridge` is multiplied by the largest eigenvalue of A */
    /* First A becomes A - min(λ, 0) I, where λ is the smallest eigenvalue. */
    bool shift_negative;
    /* Eigenvalues of at most cutoff times the largest one become 0 in the root, instead of λ^(-1/r). They are compared
     * before the ridge is added. SW_ROOT_EIGEN only. */
    bool pseudo;
    double cutoff; /* 0: n ε, with the ε of sw_symmetric_eigen and of the type in which the root is computed */
    sw_root_method method;
    bool wide;         /* for f32: compute in f64, and round the root. About 1.5 times the time, twice the work */
    int iterations;    /* SW_ROOT_NEWTON: the largest number of iterations; 0: 100 */
    double tolerance;  /* SW_ROOT_NEWTON: ends when the error is at most this; 0: 1e-6 */
    double acceptable; /* SW_ROOT_NEWTON: a final error above this is SW_MATRIX_NOT_CONVERGED; 0: 0.1. So is, with
                        * ridge_relative or shift_negative, a root of twice the norm that the least eigenvalue allows */
} sw_root_options;

/* The report of sw_inverse_root. */
typedef struct sw_root_report {
    size_t size; /* sizeof(sw_root_report); the caller sets it */
    sw_matrix_outcome outcome;
    double least, largest; /* the extreme eigenvalues of A, before shift and ridge; NaN if they were not computed */
    double error;          /* SW_ROOT_NEWTON: the final max |M - I|; otherwise 0 */
    int iterations;        /* SW_ROOT_NEWTON: the number of iterations; otherwise 0 */
} sw_root_report;

/* root = (A + ridge I)^(-1/order) for a symmetric matrix A [n,n]; symmetric and of the type of A. `root` may be A.
 * `options` may be NULL: the inverse square root. `report` NULL: failures are errors (see sw_matrix_outcome).
 * Differences between A and Aᵀ are treated as by sw_symmetric_eigen, and n is at most 32000.
 *
 * SW_ROOT_EIGEN: root = Σ_i (λ_i + ridge)^(-1/r) v_i v_iᵀ. If an eigenvalue with its ridge is 0 or negative, and is not
 * left out by `pseudo`, the outcome is SW_MATRIX_NOT_POSITIVE.
 *
 * SW_ROOT_NEWTON, for P = A + ridge I, by products of matrices alone (Guo and Higham, A Schur-Newton method for the
 * matrix pth root and its inverse, 2006; with the scaling of Anil et al., Scalable second order optimization for deep
 * learning, 2021):
 *
 *     z = (1 + r) / (2 ‖P‖_F);   M = z P;   H = z^(1/r) I
 *     until max |M - I| <= tolerance:
 *         T = ((1 + r) I - M) / r;   M = T^r M;   H = H T
 *     root = (H + Hᵀ)/2
 *
 * The iteration also ends if only rounding errors are left, which in f32 may exceed the tolerance, or if the error
 * grows by more than a fifth; then the previous H is used. The error of the root is of the order of n ε κ ‖root‖, where
 * κ is the condition of P. All products are exactly symmetric, and half of them are computed. In f32, with a condition
 * of 1e6, SW_ROOT_EIGEN is about six times as fast for n = 1024. */
SW_API sw_status sw_inverse_root(sw_dtype type, int64_t n, const void *A, const sw_root_options *options, void *root,
                                 void *work, sw_root_report *report);
SW_API size_t sw_inverse_root_work(sw_dtype type, int64_t n, const sw_root_options *options);

#ifdef __cplusplus
}
#endif
#endif
