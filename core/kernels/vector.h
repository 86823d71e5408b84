/* Loops over whole vectors of f32 or f64: norms, combinations, inner products. Sums are added in a fixed order, so that
 * results have the same bits for every number of threads.
 */
#ifndef SWALE_VECTOR_H
#define SWALE_VECTOR_H

#include <swale/parallel.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The 2-norm of x [n], in one pass that also looks for Inf and NaN: SW_SKIPPED (and no error) if there is one. */
SW_API sw_status sw_vector_norm(sw_dtype type, int64_t n, const void *x, double *norm);
/* The 2-norms of x and of y, in one pass. */
SW_API void sw_vector_two_norms(sw_dtype type, int64_t n, const void *x, const void *y, double norm[2]);
/* ⟨x, y⟩, in f64 */
SW_API double sw_vector_dot(sw_dtype type, int64_t n, const void *x, const void *y);
/* out = a x + b y. y may be NULL (a x alone); out may be x or y. */
SW_API void sw_vector_axpby(sw_dtype type, int64_t n, double a, const void *x, double b, const void *y, void *out);
/* Sums and means over many steps, in two vectors: sum + low ← sum + low + a x, and mean + low ← (1 - w)(mean + low) + w x.
 * See kernel_compensated.h. */
SW_API void sw_vector_add_compensated(sw_dtype type, int64_t n, double a, const void *x, void *sum, void *low);
SW_API void sw_vector_mean_compensated(sw_dtype type, int64_t n, double w, const void *x, void *mean, void *low);

#ifdef __cplusplus
}
#endif
#endif
