/* The type in which rules store second moments, if they divide by a root of them.
 *
 * Rules treat subnormal numbers as zero. In f32 the square of g is therefore zero for |g| below 1e-19, while g itself
 * can be as small as 1e-38, and m/(√v + ε) would be m/ε. This has no effect if ε is far above 1e-19. For a smaller ε
 * such rules store their second moments in f64, in slots with the suffix _f64, which replace those without it. The
 * kernels of these rules are those of kernel_second_moments.h.
 */
#ifndef SWALE_SECOND_MOMENTS_H
#define SWALE_SECOND_MOMENTS_H

#include <swale/method.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether a sum of squares needs f64. The denominator is v^(1/p) + eps, or (v + eps)^(1/p) if in_root. fresh: the
 * weight of one step in v, which is 1 divided by the number of steps. */
SW_API bool sw_squares_need_f64(double eps, bool in_root, double fresh, double p);
/* Whether a mean, v ← (1 - fresh) v + fresh g², needs f64: for the same reason, or because `fresh` is below 2^-16, so
 * that a mean in f32 would no longer change. */
SW_API bool sw_means_need_f64(double eps, bool in_root, double fresh, double p);
/* For `begin`: an error if f64 is needed (because a schedule made eps or `fresh` too small) and slot_f64 is NULL. */
SW_API sw_status sw_second_moments_check(const sw_step *step, const char *rule, double eps, bool needs_f64,
                                         const void *slot_f64);

#ifdef __cplusplus
}
#endif
#endif
