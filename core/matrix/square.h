/* Functions that the files of this room share: loops over square matrices, the check of a matrix, eigenvalues in place.
 */
#ifndef SWALE_MATRIX_SQUARE_H
#define SWALE_MATRIX_SQUARE_H

#include <swale/error.h>
#include <swale/matrix.h>

/* The largest n for which LAPACK's workspace of eigendecompositions has less than 2^31 elements, rounded down. */
enum { SWI_LARGEST_SQUARE = 32000 };

/* 2^-23 or 2^-52. */
double swi_matrix_epsilon(sw_dtype type);
/* SW_OK if the type is f32 or f64 and 0 <= n <= largest; otherwise an error that begins with `what`. */
sw_status swi_square_arguments(const char *what, sw_dtype type, int64_t n, int64_t largest);
/* An error that begins with `what` if one of the two matrices or the workspace is NULL; `bytes` is the name of
 * the function that returns the size of the workspace. */
sw_status swi_matrix_pointers(const char *what, const void *A, const void *result, const void *work, const char *bytes);
/* Bytes of count elements of a type, rounded up to SW_ALIGNMENT; SIZE_MAX if that overflows. */
size_t swi_work_bytes(double count, size_t size);

/* Writes the outcome, or makes a failure an error whose message is `what` and then the reason; A is the matrix that
 * failed. */
sw_status swi_matrix_end(const char *what, sw_matrix_outcome result, sw_dtype type, int64_t n, const void *A,
                         sw_matrix_outcome *outcome);

/* Copies A [n,n] to `to`, which may have another type, and replaces differences of rounding between mirrored elements
 * by their mean. Returns SW_MATRIX_OK, NOT_FINITE or NOT_SYMMETRIC. */
sw_matrix_outcome swi_square_copy(sw_dtype type, int64_t n, const void *A, sw_dtype to_type, void *to);
/* Copies the lower triangle of C [n,n] to the upper triangle. */
void swi_square_mirror(sw_dtype type, int64_t n, void *C, int64_t ldc);
/* In a dry run: counts the multiplications of a symmetric result [n,n] of sums of k terms, half of 2 n (n + 1) k. */
void swi_symmetric_count(int64_t n, int64_t k);
/* Copies a block [rows, columns] of one triangle to its mirror image: to[j,i] = from[i,j]. */
void swi_transpose(sw_dtype type, int64_t rows, int64_t columns, const void *from, void *to, int64_t ld);
/* M = (M + Mᵀ)/2. */
void swi_square_average(sw_dtype type, int64_t n, void *M);
/* max |M - I|; Inf if M holds a NaN. */
double swi_identity_distance(sw_dtype type, int64_t n, const void *M);
/* M = a M + b I. */
void swi_square_shift(sw_dtype type, int64_t n, double a, double b, void *M);

/* Replaces the symmetric matrix V by its eigenvectors in rows, unless vectors is false (V is overwritten in any case).
 * `work` has swi_eigen_in_place_work bytes. May return NOT_CONVERGED. */
sw_status swi_eigen_in_place(sw_dtype type, int64_t n, bool vectors, void *V, void *values, void *work,
                             sw_matrix_outcome *result);
size_t swi_eigen_in_place_work(sw_dtype type, int64_t n);

#endif
