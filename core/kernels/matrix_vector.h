/* Products of a matrix, of which the rows are contiguous, and a vector, in f32 and f64. */
#ifndef SWALE_KERNELS_MATRIX_VECTOR_H
#define SWALE_KERNELS_MATRIX_VECTOR_H

#include <swale/array.h>

/* y[i · y_step] = alpha Σ_k x[i · ldx + k] v[k] + beta y[i · y_step] + bias[i · bias_step] */
typedef struct swi_matrix_vector {
    sw_dtype type;
    int64_t rows, terms; /* i < rows, k < terms */
    const void *x, *v, *bias;
    void *y;
    int64_t ldx, y_step, bias_step;
    double alpha, beta; /* with beta = 0, y is not read */
} swi_matrix_vector;

/* Computes the product on the calling thread; returns false, and does nothing, if the processor has no fused
 * multiply-additions.
 *
 * The terms are added in 32 (f64: 16) lanes, k in lane k modulo 32, by fused multiply-additions. Then the lanes are
 * joined: lane i and i + 16, i and i + 8, and so on. The result is rounded again by alpha (unless it is 1), by beta·y
 * (unless beta is 0) and by the bias. Therefore it has the same bits on avx2 and avx512. */
bool swi_matrix_vector_run(const swi_matrix_vector *product);

#endif
