/* The test whether second moments in f32 are precise enough for an ε. */
#include <swale/second_moments.h>

#include <math.h>

/* If (1 - β) g² is subnormal and treated as zero, a step loses less than 2^-126 of v. Over all steps, divided by
 * 1 - βᵗ, the loss is less than 2^-126/fresh. The error of the denominator v^(1/p) + ε is at most the p-th root of this
 * number; with ε in the root, the error of v + ε is at most this number. An error of 2^-15 ε is allowed. This is about
 * the rounding error of a mean over 1/fresh = 1000 steps, with an error of 2^-24 v in each. */
bool sw_squares_need_f64(double eps, bool in_root, double fresh, double p) {
    return (in_root ? eps * 0x1p-15 : pow(eps * 0x1p-15, p)) * fresh < 0x1p-126;
}

/* A mean in f32 does not change if fresh (g² - v) is below half a unit in the last place of v, and the rounding error
 * of β in f32 is up to 2^-25. At fresh = 2^-16 either error is about 2^-8 of a step. Below that the mean is f64. */
bool sw_means_need_f64(double eps, bool in_root, double fresh, double p) {
    return fresh < 0x1p-16 || sw_squares_need_f64(eps, in_root, fresh, p);
}

sw_status sw_second_moments_check(const sw_step *s, const char *rule, double eps, bool needs_f64,
                                  const void *slot_f64) {
    if (!needs_f64 || s->type != SW_F32 || slot_f64)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT,
                   "rule %s: the second moments of step %lld, with eps = %g, are not precise enough in f32, which the "
                   "options of this optimizer selected: make it with the smallest eps and the longest mean of the run",
                   rule, (long long)s->step, eps);
}
