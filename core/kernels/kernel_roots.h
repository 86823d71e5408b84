/* Roots of the elements of an array, for kernels: square roots, v^(2/3), p-th roots, and quotients of square roots.
 * Include this header after kernel.h, at the top of the file (not inside `#if SW_KERNEL_PASS`).
 *
 * Square roots: the divider of the processor computes them too, and a square root takes it as long as a division.
 * Therefore a loop with divisions and square roots waits for the divider most of the time. On AVX-512, for f32, every
 * second vector is computed by multiplications instead, from the processor's estimate y of 1/√v (Markstein, IBM J. Res.
 * Dev. 34, 1990). The divider and the multipliers are then busy for about the same time:
 *     s = v y, h = y/2;   r = ½ - s h, s ← s + s r, h ← h + h r;   s ← s + h (v - s²)
 * The result is the correctly rounded root, as that of sqrt, so that all levels give the same bits.
 * tests/optim/rules/test_roots.c tests every float. For v below 2^-100, v - s² is not a normal number. For such v, and
 * for 0, ∞ and NaN, the code uses sqrt.
 */

#ifndef SWALE_KERNEL_ROOTS_H
#define SWALE_KERNEL_ROOTS_H
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#endif

#if SW_KERNEL_PASS && !defined(SW_KERNEL_HAS_ROOTS)
#define SW_KERNEL_HAS_ROOTS

#if SW_KERNEL_AVX512 && SW_KERNEL_F32
/* The square roots of 16 numbers in [2^-100, ∞), computed by multiplications. */
static inline __m512 SW_K(sw_k_root_by_products)(__m512 v) {
    const __m512 half = _mm512_set1_ps(0.5f), y = _mm512_rsqrt14_ps(v);
    __m512 s = _mm512_mul_ps(v, y), h = _mm512_mul_ps(y, half);
    const __m512 r = _mm512_fnmadd_ps(s, h, half);
    s = _mm512_fmadd_ps(s, r, s);
    h = _mm512_fmadd_ps(h, r, h);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(s, s, v), h, s);
}

/* Whether all 16 numbers are in [2^-100, ∞). The comparison of their bits also excludes negative numbers and NaN. */
static inline bool SW_K(sw_k_root_range)(__m512 v) {
    const __m512i low = _mm512_set1_epi32(0x0D800000), length = _mm512_set1_epi32(0x7F800000 - 0x0D800000);
    return _mm512_cmplt_epu32_mask(_mm512_sub_epi32(_mm512_castps_si512(v), low), length) == 0xFFFF;
}
#endif

/* v ← √v for n numbers */
SW_K_INLINE void SW_K(sw_k_roots)(real *v, int64_t n) {
    int64_t i = 0;
#if SW_KERNEL_AVX512 && SW_KERNEL_F32
    for (; i + 32 <= n; i += 32) {
        const __m512 a = _mm512_loadu_ps(v + i), b = _mm512_loadu_ps(v + i + 16);
        const bool products = SW_K(sw_k_root_range)(a);
        _mm512_storeu_ps(v + i, products ? SW_K(sw_k_root_by_products)(a) : _mm512_sqrt_ps(a));
        _mm512_storeu_ps(v + i + 16, _mm512_sqrt_ps(b));
    }
#endif
    for (; i < n; i++)
        v[i] = SW_R(sqrt)(v[i]);
}

/* An approximation of v^(-1/3), with a relative error of at most 3.5 % (f32) or 3e-5 (f64). The bits of a positive
 * floating-point number, read as an integer, are close to a linear function of its logarithm. Therefore the bits of the
 * result are about a constant minus a third of the bits of v. Vector instructions before AVX-512 convert only 32-bit
 * integers to floating point; therefore the upper 32 bits of an f64 are converted through the mantissa of 2^52. */
static inline real SW_K(sw_k_inverse_cube_root)(real v) {
#if SW_KERNEL_F32
    const real leading = (real)(int32_t)SW_K(sw_k_bits)(v);
    return SW_K(sw_k_from_bits)((uint32_t)(int32_t)(1419899904.0f - leading * (1 / 3.0f)));
#else
    const real start = 1430188287.16, unit = 4503599627370496.0;
    const real leading = SW_K(sw_k_from_bits)(SW_K(sw_k_bits)(unit) | SW_K(sw_k_bits)(v) >> 32) - unit;
    const real guess = start - leading * (1 / 3.0) + unit;
    const real y = SW_K(sw_k_from_bits)((SW_K(sw_k_bits)(guess) - SW_K(sw_k_bits)(unit)) << 32);
    const real h = 1 - (v * y) * (y * y);
    return y + y * (h * (1 / 3.0 + h * (2 / 9.0 + h * (14 / 81.0))));
#endif
}

/* (1 - h)^(-1/3) - 1. In f32 for |h| ≤ 0.103, with an error of at most 9e-8; in f64 by the series, for |h| ≤ 1e-4. */
static inline real SW_K(sw_k_inverse_cube_root_near_1)(real h) {
#if SW_KERNEL_F32
    const real c1 = 0.333329139f, c2 = 0.222215569f, c3 = 0.174468768f, c4 = 0.145823882f;
#else
    const real c1 = 1 / 3.0, c2 = 2 / 9.0, c3 = 14 / 81.0, c4 = 35 / 243.0;
#endif
    return h * (c1 + h * (c2 + h * (c3 + h * c4)));
}

/* v^(2/3) = w (1 - h)^(-1/3) with w = v y, h = 1 - v y³ and y ≈ v^(-1/3). The result is 0 for v = 0, and ∞ or -∞ for
 * v = ∞. The largest relative error that was measured is 2.2e-7 in f32 (every number of 20 octaves, and many others)
 * and 2.3e-16 in f64. */
static inline real SW_K(sw_k_two_thirds_power)(real v) {
    const real y = SW_K(sw_k_inverse_cube_root)(v), w = v * y;
    return w + w * SW_K(sw_k_inverse_cube_root_near_1)(1 - w * (y * y));
}

/* Limits v ≥ 0 to the range of normal numbers: returns the smallest normal number for 0 and subnormal numbers, and the
 * largest finite number for ∞. */
static inline real SW_K(sw_k_normal_number)(real v) {
#if SW_KERNEL_F32
    const real least = 1.17549435e-38f, most = 3.4028234e38f;
#else
    const real least = 2.2250738585072014e-308, most = 1.7976931348623157e308;
#endif
    v = v > least ? v : least;
    return v < most ? v : most;
}

/* v ← v^(1/p) for n numbers v ≥ 0 and p ≥ 1. p = 2 and p = 1.5 use the fast functions above. For other p, v is limited
 * to the normal numbers (sw_k_normal_number), and sw_k_power computes the root. */
SW_K_INLINE void SW_K(sw_k_pth_roots)(real *restrict v, int64_t n, double p) {
    const double exponent = 1 / p;
    if (p == 2) {
        SW_K(sw_k_roots)(v, n);
        return;
    }
    if (p == 1.5)
        for (int64_t i = 0; i < n; i++)
            v[i] = SW_K(sw_k_two_thirds_power)(v[i]);
    else
        for (int64_t i = 0; i < n; i++)
            v[i] = SW_K(sw_k_power)(SW_K(sw_k_normal_number)(v[i]), exponent, 0);
}

/* v[i] ← √(a[i] + eps)/√(b[i] + eps) for n elements. On entry v[i] is the quotient (a[i] + eps)/(b[i] + eps). The
 * caller computes it in a loop with other work, during which the divisions take no additional time. The result is the
 * root of the quotient. If that root is below the root of the smallest normal number, the quotient may be subnormal and
 * inaccurate, and the result is the quotient of the two roots instead. */
SW_K_INLINE void SW_K(sw_k_root_quotients)(const real *restrict a, const real *restrict b, real eps, int64_t n,
                                           real *restrict v) {
#if SW_KERNEL_F32
    const real least = 0x1p-63f; /* root of the smallest normal number */
#else
    const real least = 0x1p-511;
#endif
    int tiny = 0;
    SW_K(sw_k_roots)(v, n);
    for (int64_t i = 0; i < n; i++)
        tiny |= v[i] < least;
    for (int64_t i = 0; tiny && i < n; i++)
        if (v[i] < least)
            v[i] = SW_R(sqrt)(a[i] + eps) / SW_R(sqrt)(b[i] + eps);
}

#endif
