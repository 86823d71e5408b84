/* The proximal step of prox.h (Parikh, Boyd, Proximal algorithms, 2014, section 6), for each element:
 *     prox_{ηh}(v) = argmin over θ of ½ (θ - v)² + η h(θ) = clamp(soft(v, ηλ₁), low, high)
 *     soft(v, t) = v - clamp(v, -t, t)               exactly 0 if |v| ≤ t
 * The formula is exact even if 0 is outside the box: ½ (θ - v)² + ηλ₁|θ| is a convex function of one variable, and its
 * minimum over an interval is the point of the interval that is nearest to its minimum over all numbers.
 *
 * Include this file after kernel.h, in every pass. It includes kernel_compensated.h. */
#include <swale/kernel_compensated.h>

#if SW_KERNEL_PASS && !defined(SW_KERNEL_HAS_PROX)
#define SW_KERNEL_HAS_PROX

/* Returns v, or the nearest bound if v is outside [low, high]. NaN for NaN. */
static inline real SW_K(sw_k_clamp)(real v, real low, real high) {
    const real raised = low > v ? low : v;
    return high < raised ? high : raised;
}

/* prox_{ηh}(v), with threshold = ηλ₁. */
static inline real SW_K(sw_k_prox)(real v, real threshold, real low, real high) {
    return SW_K(sw_k_clamp)(v - SW_K(sw_k_clamp)(v, -threshold, threshold), low, high);
}

/* prox_{ηh} of a number in two parts, x + low, with threshold = ηλ₁ and the box [least, most]. */
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
