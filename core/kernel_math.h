/* Part of kernel.h: branch-free functions that compilers turn into vector code, for `real`. No libm.
 *
 * One polynomial carries exp, expm1, tanh, sigmoid: with x = k ln 2 + r, |r| ≤ ln 2 / 2,
 *     e^r - 1 = r + r²/2! + … , cut where the next term is below 2^-26 (f32) or 2^-56 (f64).
 * The logarithm: x = 2^k m, m in [√½, √2), s = (m-1)/(m+1), log m = 2 (s + s³/3 + s⁵/5 + …).
 * Largest errors found by tests/core/test_kernels.c, which asserts bounds a little above them, in
 * units in the last place (every 97th float of the range; 400,000 doubles):
 *              exp   expm1 of x ≤ 0   tanh   sigmoid   log    log1p
 *     f32     1.00       0.87         2.49     2.28    0.87    1.29
 *     f64     1.00       1.10         2.49     2.24    0.86    1.27
 */

#if SW_KERNEL_F32
#define SW_K_UINT uint32_t
#define SW_K_MAGIC 12582912.0f /* 1.5·2^23: adding it rounds to an integer in the low bits */
#define SW_K_MANTISSA 23
#define SW_K_BIAS 127u
#else
#define SW_K_UINT uint64_t
#define SW_K_MAGIC 6755399441055744.0 /* 1.5·2^52 */
#define SW_K_MANTISSA 52
#define SW_K_BIAS 1023u
#endif

static inline SW_K_UINT SW_K(sw_k_bits)(real x) {
    SW_K_UINT u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline real SW_K(sw_k_from_bits)(SW_K_UINT u) {
    real x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* 2^k for an integer k in the range of normal exponents, given as k + SW_K_MAGIC. */
static inline real SW_K(sw_k_exp2_of)(real k_plus_magic) {
    return SW_K(sw_k_from_bits)((SW_K(sw_k_bits)(k_plus_magic) + SW_K_BIAS) << SW_K_MANTISSA);
}

/* k and e^r - 1 with x = k ln 2 + r. x within ±2^9 (f32), ±2^12 (f64). */
static inline real SW_K(sw_k_reduce)(real x, real *k) {
#if SW_KERNEL_F32
    const real log2e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
#else
    const real log2e = 1.4426950408889634, ln2_high = 6.93147180369123816490e-01,
               ln2_low = 1.90821492927058770002e-10;
#endif
    real n = (x * log2e + SW_K_MAGIC) - SW_K_MAGIC;
    real r = (x - n * ln2_high) - n * ln2_low;
    *k = n;
#if SW_KERNEL_F32
    real p = 1 / SW_R(5040.0);
    p = p * r + 1 / SW_R(720.0);
#else
    real p = 1 / 6227020800.0;
    p = p * r + 1 / 479001600.0;
    p = p * r + 1 / 39916800.0;
    p = p * r + 1 / 3628800.0;
    p = p * r + 1 / 362880.0;
    p = p * r + 1 / 40320.0;
    p = p * r + 1 / 5040.0;
    p = p * r + 1 / 720.0;
#endif
    p = p * r + 1 / SW_R(120.0);
    p = p * r + 1 / SW_R(24.0);
    p = p * r + 1 / SW_R(6.0);
    p = p * r + SW_R(0.5);
    return r + (r * r) * p;
}

/* e^x; 0 and ∞ beyond the range; NaN stays NaN. */
static inline real SW_K(sw_k_exp)(real x) {
#if SW_KERNEL_F32
    const real low = -104, high = 89;
#else
    const real low = -746, high = 710;
#endif
    real y = x < low ? low : x;
    y = y > high ? high : y;
    real k, em1 = SW_K(sw_k_reduce)(y, &k);
    /* 2^k in two factors, so that neither leaves the normal range and the last product rounds once. */
    real half = (k * SW_R(0.5) + SW_K_MAGIC) - SW_K_MAGIC;
    real a = SW_K(sw_k_exp2_of)(half + SW_K_MAGIC);
    real b = SW_K(sw_k_exp2_of)((k - half) + SW_K_MAGIC);
    return (1 + em1) * a * b;
}

/* e^x - 1 for x ≤ 0, exact to rounding near 0. */
static inline real SW_K(sw_k_expm1_negative)(real x) {
    real y = x < -60 ? (real)-60 : x; /* e^-60 is below half an ulp of 1 in both types */
    real k, em1 = SW_K(sw_k_reduce)(y, &k);
    real s = SW_K(sw_k_exp2_of)(k + SW_K_MAGIC);
    return s * em1 + (s - 1);
}

static inline real SW_K(sw_k_tanh)(real x) {
    real a = x < 0 ? -x : x;
    real e = SW_K(sw_k_expm1_negative)(-2 * a); /* tanh a = (1 - e^-2a) / (1 + e^-2a) */
    real t = (0 - e) / (2 + e); /* not -e: tanh 0 is not -0 */
    return x < 0 ? -t : t;
}

static inline real SW_K(sw_k_sigmoid)(real x) {
    real a = x < 0 ? x : -x;
    real e = SW_K(sw_k_exp)(a); /* never overflows */
    return (x < 0 ? e : 1) / (1 + e);
}

/* log of a positive normal number; NaN stays NaN. */
static inline real SW_K(sw_k_log)(real x) {
    const real sqrt_half = SW_R(0.70710678118654752440);
    SW_K_UINT u = SW_K(sw_k_bits)(x) - SW_K(sw_k_bits)(sqrt_half);
    /* The exponent as a float by the magic number: an unsigned field, then the bias off. */
    SW_K_UINT field = (u + ((SW_K_UINT)SW_K_BIAS << SW_K_MANTISSA)) >> SW_K_MANTISSA;
    real k = SW_K(sw_k_from_bits)(SW_K(sw_k_bits)(SW_K_MAGIC) + field) - (SW_K_MAGIC + SW_K_BIAS);
    real m = SW_K(sw_k_from_bits)((u & (((SW_K_UINT)1 << SW_K_MANTISSA) - 1)) +
                                  SW_K(sw_k_bits)(sqrt_half));
    real f = m - 1, s = f / (2 + f), z = s * s;
#if SW_KERNEL_F32
    const real ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    real p = 1 / SW_R(9.0);
#else
    const real ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    real p = 1 / 21.0;
    p = p * z + 1 / 19.0;
    p = p * z + 1 / 17.0;
    p = p * z + 1 / 15.0;
    p = p * z + 1 / 13.0;
    p = p * z + 1 / 11.0;
    p = p * z + 1 / 9.0;
#endif
    p = p * z + 1 / SW_R(7.0);
    p = p * z + 1 / SW_R(5.0);
    p = p * z + 1 / SW_R(3.0);
    /* log m = f - s (f - 2 z p): 2 s = f - s f, so the large part f is exact. */
    real y = k * ln2_high + (f - (s * (f - 2 * z * p) - k * ln2_low));
    return x == x ? y : x;
}

/* log(1 + y) for y in [0, 1]: the rounding of 1 + y is put back to first order. */
static inline real SW_K(sw_k_log1p)(real y) {
    real u = 1 + y;
    return SW_K(sw_k_log)(u) + (y - (u - 1)) / u;
}

#undef SW_K_UINT
#undef SW_K_MAGIC
#undef SW_K_MANTISSA
#undef SW_K_BIAS
