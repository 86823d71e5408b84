/* The proximal step of prox.h (Parikh, Boyd, Proximal algorithms, 2014, section 6), for each element:
 *     prox_{ηh}(v) = argmin over θ of ½ (θ - v)² + η h(θ) = clamp(soft(v, ηλ₁), low, high)
 *     soft(v, t) = v - clamp(v, -t, t)               exactly 0 where |v| ≤ t
 * The clamp is exact also where 0 is outside the box: ½ (θ - v)² + ηλ₁|θ| is a convex function of one number, whose
 * minimum over an interval is the number there that is next to its minimum over all numbers.
 *
 * Included after kernel.h, in every pass; includes kernel_compensated.h. */
#include <swale/kernel_compensated.h>

#if SW_KERNEL_PASS && !defined(SW_KERNEL_HAS_PROX)
#define SW_KERNEL_HAS_PROX

/* v, or the end of [low, high] that is next to it. NaN stays NaN. */
static inline real SW_K(sw_k_clamp)(real v, real low, real high) {
    const real raised = low > v ? low : v;
    return high < raised ? high : raised;
}

/* prox of v: threshold is ηλ₁. */
static inline real SW_K(sw_k_prox)(real v, real threshold, real low, real high) {
    return SW_K(sw_k_clamp)(v - SW_K(sw_k_clamp)(v, -threshold, threshold), low, high);
}

/* prox of a number in two parts, x + low */
static inline void SW_K(sw_k_prox_pair)(real *x, real *low, real threshold, real least, real most) {
    const real v = *x;
    if (v <= threshold && v >= -threshold) {
        *x = *low = 0;
    } else {
        SW_K(sw_k_compensated_add)(x, low, v > 0 ? -threshold : threshold);
    }
    if (*x <= least || *x >= most) {
        *x = *x <= least ? least : most;
        *low = 0;
    }
}

#endif
