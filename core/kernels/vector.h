/* Loops over whole vectors of floating-point numbers: norms, linear combinations, inner products. Sums are added in a
 * fixed order, so that results have the same bits for every number of threads. Threads share long vectors.
 */
#ifndef SWALE_VECTOR_H
#define SWALE_VECTOR_H

#include <swale/parallel.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Computes the 2-norm of x [n], without overflow, and checks for Inf and NaN in the same pass. Returns SW_SKIPPED,
 * without an error, if x holds one. */
SW_API sw_status sw_vector_norm(sw_dtype type, int64_t n, const void *x, double *norm);
/* The squares of the elements of a gradient, which functions add up while they write it (sw_call_squares in op.h). */
typedef struct sw_squares sw_squares;
/* Reports that `count` elements, which are part of that gradient, have their final values. The function reads them:
 * call it while they are in the cache. Several threads may report disjoint parts at the same time. No effect if
 * `squares` is NULL. */
SW_API void sw_squares_report(sw_squares *squares, const void *elements, int64_t count);
/* Computes the 2-norms of x [n] and of y [n] in one pass. */
SW_API void sw_vector_two_norms(sw_dtype type, int64_t n, const void *x, const void *y, double norm[2]);
/* The inner product ⟨x, y⟩, computed in f64. */
SW_API double sw_vector_dot(sw_dtype type, int64_t n, const void *x, const void *y);
/* out[i] = value */
SW_API void sw_vector_fill(sw_dtype type, int64_t n, double value, void *out);
/* to[i] = from[i], rounded once if the type of `to` has fewer digits. The vectors do not overlap. */
SW_API void sw_vector_convert(sw_dtype from_type, int64_t n, const void *from, sw_dtype to_type, void *to);
/* out = a x + b y. y may be NULL (a x alone); out may be x or y. */
SW_API void sw_vector_axpby(sw_dtype type, int64_t n, double a, const void *x, double b, const void *y, void *out);
/* For sums and means over many steps, stored in two vectors whose sum is the value: `sum` + `low` becomes
 * sum + low + a x; `mean` + `low` becomes (1 - w)(mean + low) + w x (low NULL: without compensation), in f32 or
 * f64. See kernel_compensated.h. */
SW_API void sw_vector_add_compensated(sw_dtype type, int64_t n, double a, const void *x, void *sum, void *low);
SW_API void sw_vector_mean_compensated(sw_dtype type, int64_t n, double w, const void *x, void *mean, void *low);

#ifdef __cplusplus
}
#endif
#endif
