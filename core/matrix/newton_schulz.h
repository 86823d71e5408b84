/* Orthogonalization of a matrix by Newton-Schulz iterations. */
#ifndef SWALE_NEWTON_SCHULZ_H
#define SWALE_NEWTON_SCHULZ_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zeros select the values of K. Jordan (Muon, 2024). */
typedef struct sw_newton_schulz_options {
    size_t size;       /* sizeof(sw_newton_schulz_options) */
    int iterations;    /* 1 or more; 0: 5 */
    double a, b, c;    /* the polynomial; all 0: 3.4445, -4.7750, 2.0315 */
    double eps;        /* ε, added to the norm; 0 or more */
    sw_dtype products; /* SW_F32 (0): of the type of X; SW_BF16, for X in f32: see below */
} sw_newton_schulz_options;

/* With n = min(rows, columns), computes from X [rows, columns], row-major without gaps, in f32 or f64:
 *
 *     X ← X/(‖X‖_F + ε)
 *     in each iteration:  A = XXᵀ if rows ≤ columns, else XᵀX     [n, n]
 *                         X ← aX + (bA + cA²)X, or X ← aX + X(bA + cA²)
 *
 * and writes the result, [rows, columns], which may be X itself. An iteration keeps the singular vectors of X, and maps
 * each singular value σ to aσ + bσ³ + cσ⁵. With the default values and 5 iterations, the singular values of the result
 * are between 0.68 and 1.14 if those of X are at least 0.01 ‖X‖_F, and the result is therefore near UVᵀ, where X = USVᵀ
 * (Bernstein, Newhouse 2024; Jordan 2024). A matrix of zeros remains zeros, also for ε = 0.
 *
 * Wide and tall matrices are not multiplied in every iteration: because all factors are polynomials of the first A, the
 * product of the factors is computed in [n, n], and X is multiplied once for every 5 iterations (3 with products in
 * bf16). The result is the same up to rounding.
 *
 * With products = SW_BF16, factors are rounded to bf16 in each product, and sums are added in f32 (`rounded_to` in
 * gemm.h); X itself is in f32 between iterations. The result then differs by 1 to 3 % in the Frobenius norm, which does
 * not matter to Muon. This is faster on processors with AMX-BF16 and on AMD's with AVX512-BF16. Elsewhere products of
 * bf16 take as long as those of f32, and the rounding a few percent.
 *
 * `work` has sw_newton_schulz_work bytes, aligned to SW_ALIGNMENT; this number does not depend on the number of
 * threads. Nothing is allocated. Threads share the products of large matrices. The result has the same bits for every
 * number of threads.
 *
 * Errors: SW_ERR_TYPE for other types; SW_ERR_ARGUMENT for options outside of their ranges; SW_ERR_NONFINITE if X holds
 * Inf or NaN; SW_ERR_MEMORY as in sw_gemm. */
SW_API sw_status sw_newton_schulz(sw_dtype type, int64_t rows, int64_t columns, const void *X,
                                  const sw_newton_schulz_options *options, void *result, void *work);
SW_API size_t sw_newton_schulz_work(sw_dtype type, int64_t rows, int64_t columns,
                                    const sw_newton_schulz_options *options);

#ifdef __cplusplus
}
#endif
#endif
