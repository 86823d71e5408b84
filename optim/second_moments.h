/* Second moments of rules that divide by a root of them: in which type they are kept.
 *
 * Rules compute with subnormal numbers taken as zero, which is where squares of f32 end at |g| = 1e-19, while g itself
 * goes on to 1e-38: m/(√v + ε) would be m/ε there. That is harmless for ε well above 1e-19. For a smaller ε such rules
 * keep their second moments in f64, in slots with the suffix _f64 that take the place of those without it. Their kernels
 * are those of kernel_second_moments.h.
 */
#ifndef SWALE_SECOND_MOMENTS_H
#define SWALE_SECOND_MOMENTS_H

#include <swale/method.h>

#ifdef __cplusplus
extern "C" {
#endif

/* True if f32 is not enough for a sum of squares. The denominator is v^(1/p) + eps or, in_root, (v + eps)^(1/p). fresh: the
 * weight of one step in v, one over the number of steps. */
SW_API bool sw_squares_need_f64(double eps, bool in_root, double fresh, double p);
/* The same of a mean, v ← (1 - fresh) v + fresh g². Here `fresh` may also be so small that a mean in f32 would no longer
 * change: below 2^-16. */
SW_API bool sw_means_need_f64(double eps, bool in_root, double fresh, double p);
/* For `begin`: an error if a schedule has made eps or `fresh` so small that f64 is needed, and there is no slot_f64. */
SW_API sw_status sw_second_moments_check(const sw_step *step, const char *rule, double eps, bool needs_f64,
                                         const void *slot_f64);

#ifdef __cplusplus
}
#endif
#endif
