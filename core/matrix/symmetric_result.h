/* Products whose result is symmetric. */
#ifndef SWALE_MATRIX_SYMMETRIC_RESULT_H
#define SWALE_MATRIX_SYMMETRIC_RESULT_H

#include <swale/array.h>

/* C = A B [n,n] for symmetric A and B [n,n] that commute, such as two polynomials of one symmetric matrix; B must be
 * exactly symmetric. From n = 256 on, only the blocks on and below the diagonal are computed, and those above it are
 * always copies, so that C is exactly symmetric. The bits depend on n alone, and not on the number of threads. */
sw_status swi_symmetric_result(sw_dtype type, int64_t n, const void *A, int64_t lda, const void *B, int64_t ldb,
                               void *C, int64_t ldc);

#endif
