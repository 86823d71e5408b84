/* The test whether second moments in f32 are precise enough for an ε. */
#include <swale/second_moments.h>

#include <math.h>

/* A step loses less than 2^-126 of v where (1 - β) g² is subnormal and taken as zero; over all steps, divided by
 * 1 - βᵗ, it is less than 2^-126/fresh. The denominator (v + …)^(1/p) + ε is then off by at most the p-th root of that,
 * or inside the root by that itself beside ε. 2^-15 of ε is allowed: about what the rounding of a mean over 1/fresh =
 * 1000 steps, 2^-24 of v in each of them, may sum to. */
bool sw_squares_need_f64(double eps, bool in_root, double fresh, double p) {
    return (in_root ? eps * 0x1p-15 : pow(eps * 0x1p-15, p)) * fresh < 0x1p-126;
}

/* A mean in f32 stands still where fresh (g² - v) is below half a unit of v, and β, rounded to f32, is off by up to 2^-25:
 * at fresh = 2^-16 either is 2^-8 of v, 0.2 % of the step. Below that the mean is f64. */
bool sw_means_need_f64(double eps, bool in_root, double fresh, double p) {
    return fresh < 0x1p-16 || sw_squares_need_f64(eps, in_root, fresh, p);
}

sw_status sw_second_moments_check(const sw_step *s, const char *rule, double eps, bool needs_f64,
                                  const void *slot_f64) {
    if (!needs_f64 || s->type != SW_F32 || slot_f64)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT,
                   "rule %s: the second moments of step %lld, with eps = %g, are not precise enough in "
                   "f32, and this optimizer was made with options for which they are: make it with "
                   "the smallest eps and the longest mean that it is to have",
                   rule, (long long)s->step, eps);
}
