/* Whether second moments of f32 are precise enough for an ε; see methods.h. */
#include "../methods.h"

#include <math.h>

/* A step loses less than 2^-126 of v where (1 - β) g² is subnormal and taken as zero; over all steps, divided by
 * 1 - βᵗ, it is less than 2^-126/fresh. The denominator (v + …)^(1/p) + ε is then off by at most the p-th root of that,
 * or inside the root by that itself beside ε. 2^-15 of ε is allowed: about what the rounding of a mean over 1/fresh =
 * 1000 steps, 2^-24 of v in each of them, may sum to. */
bool swo_squares_in_f64(double eps, bool in_root, double fresh, double p) {
    return (in_root ? eps * 0x1p-15 : pow(eps * 0x1p-15, p)) * fresh < 0x1p-126;
}

sw_status swo_check_squares(const sw_step *s, const char *rule, double eps, bool in_f64, int slot) {
    if (!in_f64 || s->type != SW_F32 || s->slot[slot])
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT, "rule %s: eps = %g in step %lld is too small for squares of f32, and this "
                                    "optimizer was made with options for which v is f32: make it with the smallest "
                                    "eps that it is to have", rule, eps, (long long)s->step);
}
