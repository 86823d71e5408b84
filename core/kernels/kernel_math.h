/* A part of kernel.h: mathematical functions of `real`, for kernels. They have no branches and do not call libm, so
 * that compilers can vectorize them. Call them by SW_K: `SW_K(sw_k_exp)(x)`.
 *
 * exp, expm1, tanh and sigmoid use one polynomial: with x = k ln 2 + r, |r| ≤ ln 2 / 2,
 *     e^r - 1 = r + r²/2! + … , truncated when the next term is below 2^-26 (f32) or 2^-56 (f64).
 * The logarithm uses x = 2^k m, m in [√½, √2), s = (m-1)/(m+1), log m = 2 (s + s³/3 + s⁵/5 + …).
 * sw_k_power computes powers; its comment states the error.
 *
 * The largest errors that tests/core/kernels/test_kernels.c found, in units in the last place (every 97th float of the
 * range; 400,000 doubles). The test asserts bounds that are slightly larger:
 *              exp   expm1 of x ≤ 0   tanh   sigmoid   log    log1p
 *     f32     1.00       0.87         2.49     2.28    0.87    1.29
 *     f64     1.00       1.10         2.49     2.24    0.86    1.27
 *           log_any  softplus  sin   cos (|x| ≤ 100)   erf   normal  log1p_any  expm1
 *     f32     1.01      1.88   0.50  0.50              2.01   6.31      1.44     1.73
 *     f64     0.86      1.94   1.43  1.40              2.04   5.30      1.43     1.85
 * sw_k_round, sw_k_floor and sw_k_ceil are exact.
 */

#if SW_KERNEL_F32
#define SW_K_UINT uint32_t
#define SW_K_MAGIC 12582912.0f /* 1.5·2^23: adding it rounds to an integer, which the low bits of the sum hold */
#define SW_K_MANTISSA 23
#define SW_K_BIAS 127u
#else
#define SW_K_UINT uint64_t
#define SW_K_MAGIC 6755399441055744.0 /* 1.5·2^52 */
#define SW_K_MANTISSA 52
#define SW_K_BIAS 1023u
#endif

/* The bits of a number */
static inline SW_K_UINT SW_K(sw_k_bits)(real x) {
    SW_K_UINT u;
    memcpy(&u, &x, sizeof u);
    return u;
}

/* The number with these bits */
static inline real SW_K(sw_k_from_bits)(SW_K_UINT u) {
    real x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* x rounded to an integer, to the even one in the middle of two. The sign of x is kept, on 0 too; NaN for NaN. Numbers
 * from 2^23 (f32) or 2^52 (f64) on are integers; adding this number to a smaller one rounds it. */
static inline real SW_K(sw_k_round)(real x) {
#if SW_KERNEL_F32
    const real whole = 8388608.0f;
#else
    const real whole = 4503599627370496.0;
#endif
    const real a = SW_R(fabs)(x), r = (a + whole) - whole;
    return SW_R(copysign)(a < whole ? r : a, x);
}

/* The largest integer that is not above x, and the smallest that is not below x; as sw_k_round for 0 and NaN */
static inline real SW_K(sw_k_floor)(real x) {
    const real r = SW_K(sw_k_round)(x);
    return r > x ? r - 1 : r;
}
static inline real SW_K(sw_k_ceil)(real x) {
    const real r = SW_K(sw_k_round)(x);
    return SW_R(copysign)(r < x ? r + 1 : r, x); /* the sign of x for a result of -0 */
}

/* 2^k for an integer k in the range of normal exponents, given as k + SW_K_MAGIC. */
static inline real SW_K(sw_k_exp2_of)(real k_plus_magic) {
    return SW_K(sw_k_from_bits)((SW_K(sw_k_bits)(k_plus_magic) + SW_K_BIAS) << SW_K_MANTISSA);
}

/* Returns e^r - 1 and sets *k, where x = k ln 2 + r, for |x| ≤ 2^9 (f32) or 2^12 (f64) */
static inline real SW_K(sw_k_reduce)(real x, real *k) {
#if SW_KERNEL_F32
    const real log2e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
#else
    const real log2e = 1.4426950408889634, ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
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

/* e^x; 0 and ∞ outside of the range of the type; NaN for NaN */
static inline real SW_K(sw_k_exp)(real x) {
#if SW_KERNEL_F32
    const real low = -104, high = 89;
#else
    const real low = -746, high = 710;
#endif
    real y = x < low ? low : x;
    y = y > high ? high : y;
    real k, em1 = SW_K(sw_k_reduce)(y, &k);
    /* 2^k is the product of two factors, so that neither leaves the normal range and only the last product is
     * rounded. */
    real half = (k * SW_R(0.5) + SW_K_MAGIC) - SW_K_MAGIC;
    real a = SW_K(sw_k_exp2_of)(half + SW_K_MAGIC);
    real b = SW_K(sw_k_exp2_of)((k - half) + SW_K_MAGIC);
    return (1 + em1) * a * b;
}

/* e^x - 1 for x ≤ 0, without cancellation near 0 */
static inline real SW_K(sw_k_expm1_negative)(real x) {
    real y = x < -60 ? (real)-60 : x; /* e^-60 is below half an ulp of 1 in both types */
    real k, em1 = SW_K(sw_k_reduce)(y, &k);
    real s = SW_K(sw_k_exp2_of)(k + SW_K_MAGIC);
    return s * em1 + (s - 1);
}

/* e^x - 1 for every x, without cancellation near 0: (e^r - 1) 2^k + (2^k - 1). 2^k is the product of a and b as in
 * sw_k_exp, and the sum is computed divided by b, so that it does not overflow before the result does. */
static inline real SW_K(sw_k_expm1)(real x) {
#if SW_KERNEL_F32
    const real high = 89;
#else
    const real high = 710;
#endif
    real y = x < -60 ? (real)-60 : x; /* as in sw_k_expm1_negative */
    y = y > high ? high : y;
    real k, em1 = SW_K(sw_k_reduce)(y, &k);
    real half = (k * SW_R(0.5) + SW_K_MAGIC) - SW_K_MAGIC;
    real a = SW_K(sw_k_exp2_of)(half + SW_K_MAGIC);
    real b = SW_K(sw_k_exp2_of)((k - half) + SW_K_MAGIC), inverse = SW_K(sw_k_exp2_of)((half - k) + SW_K_MAGIC);
    y = (a * em1 + (a - inverse)) * b;
    return x == 0 ? x : y; /* 0 keeps its sign */
}

/* tanh x; -1 and 1 for large |x|; NaN for NaN */
static inline real SW_K(sw_k_tanh)(real x) {
    real a = x < 0 ? -x : x;
    real e = SW_K(sw_k_expm1_negative)(-2 * a); /* tanh a = (1 - e^-2a) / (1 + e^-2a) */
    real t = (0 - e) / (2 + e);                 /* 0 - e and not -e, so that tanh 0 is 0 and not -0 */
    return x < 0 ? -t : t;
}

/* 1 / (1 + e^-x); NaN for NaN */
static inline real SW_K(sw_k_sigmoid)(real x) {
    real a = x < 0 ? x : -x;
    real e = SW_K(sw_k_exp)(a); /* a ≤ 0: no overflow */
    return (x < 0 ? e : 1) / (1 + e);
}

/* log x of a positive normal number; NaN for NaN */
static inline real SW_K(sw_k_log)(real x) {
    const real sqrt_half = SW_R(0.70710678118654752440);
    SW_K_UINT u = SW_K(sw_k_bits)(x) - SW_K(sw_k_bits)(sqrt_half);
    /* The exponent is converted to `real` by the magic number: as an unsigned field, from which the bias is
     * subtracted. */
    SW_K_UINT field = (u + ((SW_K_UINT)SW_K_BIAS << SW_K_MANTISSA)) >> SW_K_MANTISSA;
    real k = SW_K(sw_k_from_bits)(SW_K(sw_k_bits)(SW_K_MAGIC) + field) - (SW_K_MAGIC + SW_K_BIAS);
    real m = SW_K(sw_k_from_bits)((u & (((SW_K_UINT)1 << SW_K_MANTISSA) - 1)) + SW_K(sw_k_bits)(sqrt_half));
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
    /* log m = f - s (f - 2 z p), because 2 s = f - s f. The large part f is exact. */
    real y = k * ln2_high + (f - (s * (f - 2 * z * p) - k * ln2_low));
    return x == x ? y : x;
}

/* log(1 + y) for y in [0, 1]; the rounding error of 1 + y is corrected to first order */
static inline real SW_K(sw_k_log1p)(real y) {
    real u = 1 + y;
    return SW_K(sw_k_log)(u) + (y - (u - 1)) / u;
}

/* log x for every x, including subnormal numbers: -∞ for 0, NaN for negative numbers and NaN */
static inline real SW_K(sw_k_log_any)(real x) {
#if SW_KERNEL_F32
    const real least = 1.17549435e-38f, up = 16777216.0f, down = 16.635532333438686f; /* 2^24 */
#else
    const real least = 2.2250738585072014e-308, up = 18014398509481984.0, down = 37.429947750237048; /* 2^54 */
#endif
    const bool small = x < least;
    real y = SW_K(sw_k_log)(small ? x * up : x) - (small ? down : 0);
    y = x == 0 ? -(real)INFINITY : y;
    y = x < 0 ? (real)NAN : y;
    return x == (real)INFINITY || x != x ? x : y;
}

/* log(1 + x) for every x: -∞ for -1, NaN for smaller numbers and NaN. With u = 1 + x, rounded, and the rounding error c
 * of u, which is computed exactly, it is log(u + c) = log u + c/u to first order. */
static inline real SW_K(sw_k_log1p_any)(real x) {
    const real u = 1 + x, c = x < 1 ? x - (u - 1) : 1 - (u - x);
    real y = SW_K(sw_k_log)(u) + c / u;
    y = x == -1 ? -(real)INFINITY : y;
    y = x < -1 ? (real)NAN : y;
    y = x == (real)INFINITY ? x : y;
    return x == 0 ? x : y; /* 0 keeps its sign */
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|) */
static inline real SW_K(sw_k_softplus)(real x) {
    return (x > 0 ? x : x == x ? 0 : x) + SW_K(sw_k_log1p)(SW_K(sw_k_exp)(x < 0 ? x : -x));
}

/* sin(angle + quarter·π/2) for |angle| ≤ 10^6. Both types compute in f64: n = round(x/(π/2)), r = x - n π/2 with π/2 in
 * three parts of 33 bits (Cody, Waite 1980), and Taylor's series for |r| ≤ π/4, truncated below 2^-56. */
static inline real SW_K(sw_k_sin_cos)(real angle, int quarter) {
    const double magic = 6755399441055744.0, x = (double)angle;
    const double shifted = x * 0.63661977236758134308 + magic, n = shifted - magic;
    double r = x - n * 1.57079632673412561417e+00;
    r = r - n * 6.07710050630396597660e-11;
    r = r - n * 2.02226624879595063154e-21;
    uint64_t q;
    memcpy(&q, &shifted, sizeof q);
    q += (uint64_t)quarter;
    const double z = r * r;
    double s = 1 / 355687428096000.0, c = -1 / 6402373705728000.0;
    s = s * z - 1 / 1307674368000.0;
    s = s * z + 1 / 6227020800.0;
    s = s * z - 1 / 39916800.0;
    s = s * z + 1 / 362880.0;
    s = s * z - 1 / 5040.0;
    s = s * z + 1 / 120.0;
    s = s * z - 1 / 6.0;
    s = r + r * z * s;
    c = c * z + 1 / 20922789888000.0;
    c = c * z - 1 / 87178291200.0;
    c = c * z + 1 / 479001600.0;
    c = c * z - 1 / 3628800.0;
    c = c * z + 1 / 40320.0;
    c = c * z - 1 / 720.0;
    c = c * z + 1 / 24.0;
    c = 1 - (0.5 * z - z * z * c);
    const double y = q & 1 ? c : s;
    return (real)(q & 2 ? -y : y);
}

/* sin x for x in radians, |x| ≤ 10^6 */
static inline real SW_K(sw_k_sin)(real x) {
    return SW_K(sw_k_sin_cos)(x, 0);
}

/* cos x for x in radians, |x| ≤ 10^6 */
static inline real SW_K(sw_k_cos)(real x) {
    return SW_K(sw_k_sin_cos)(x, 1);
}

/* ---- Powers. The functions for f32 compute in f64, those for f64 in pairs of f64 whose sum is the number. ---- */

/* a·b = result + *low, exactly, for |a|, |b| < 2^996 (Dekker 1971, with Veltkamp's splitting) */
static inline double SW_K(sw_k_product)(double a, double b, double *low) {
    const double ca = 134217729.0 * a, cb = 134217729.0 * b; /* 2^27 + 1 */
    const double ah = ca - (ca - a), al = a - ah, bh = cb - (cb - b), bl = b - bh, p = a * b;
    *low = ((ah * bh - p) + (ah * bl + al * bh)) + al * bl;
    return p;
}

/* (a + a_low)(b + b_low) = result + *low, with a relative error of the order 2^-106 */
static inline double SW_K(sw_k_pair_product)(double a, double a_low, double b, double b_low, double *low) {
    double rest;
    const double p = SW_K(sw_k_product)(a, b, &rest), q = rest + (a * b_low + a_low * b), high = p + q;
    *low = q - (high - p);
    return high;
}

/* Returns m in [√½, √2) and sets *k, where x = 2^k m, for a normal x > 0 */
static inline double SW_K(sw_k_split)(double x, double *k) {
    const double sqrt_half = 0.70710678118654752440, magic = 6755399441055744.0;
    const uint64_t one = (uint64_t)1 << 52;
    uint64_t u, base, shift;
    memcpy(&u, &x, sizeof u);
    memcpy(&base, &sqrt_half, sizeof base);
    memcpy(&shift, &magic, sizeof shift);
    u -= base;
    shift += (u + 1023 * one) / one; /* the exponent, converted to f64 as in sw_k_log */
    double field, m;
    memcpy(&field, &shift, sizeof field);
    *k = field - (magic + 1023);
    u = (u & (one - 1)) + base;
    memcpy(&m, &u, sizeof m);
    return m;
}

/* log(x / 2^down) = result + *low for a normal x > 0 and an integer `down`. With s = (m-1)/(m+1) and z = s² ≤ 0.0295,
 * log m = 2 s + 2 s z (1/3 + z (1/5 + z (1/7 + …))). In f64 the series is truncated at a relative error below 2^-70;
 * the rounding errors of the inner terms are below 2^-66. */
SW_K_INLINE double SW_K(sw_k_log_pair)(double x, double down, double *low) {
    const double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    double k, m = SW_K(sw_k_split)(x, &k);
    const double f = m - 1, d = m + 1;
    k -= down;
#if SW_KERNEL_F32
    const double s = f / d, z = s * s;
    double p = 1 / 19.0;
    p = p * z + 1 / 17.0;
    p = p * z + 1 / 15.0;
    p = p * z + 1 / 13.0;
    p = p * z + 1 / 11.0;
    p = p * z + 1 / 9.0;
    p = p * z + 1 / 7.0;
    p = p * z + 1 / 5.0;
    p = p * z + 1 / 3.0;
    *low = 0;
    return k * ln2_high + (2 * (s + s * z * p) + k * ln2_low);
#else
    const double d_low = m - (d - 1), s = f / d;
    double rest, z_low, p_low;
    const double back = SW_K(sw_k_product)(s, d, &rest);
    const double s_low = (((f - back) - rest) - s * d_low) / d;
    const double z = SW_K(sw_k_pair_product)(s, s_low, s, s_low, &z_low);
    double q = 1 / 27.0;
    q = q * z + 1 / 25.0;
    q = q * z + 1 / 23.0;
    q = q * z + 1 / 21.0;
    q = q * z + 1 / 19.0;
    q = q * z + 1 / 17.0;
    q = q * z + 1 / 15.0;
    q = q * z + 1 / 13.0;
    q = q * z + 1 / 11.0;
    q = q * z + 1 / 9.0;
    q = q * z + 1 / 7.0;
    const double fifth = 0.2, fifth_low = -1.1102230246251565e-17, third = 1 / 3.0, third_low = 1.850371707708594e-17;
    const double zq = z * q, a = fifth + zq, a_low = (zq - (a - fifth)) + fifth_low;
    double p = SW_K(sw_k_pair_product)(z, z_low, a, a_low, &p_low);
    const double b = third + p, b_low = ((p - (b - third)) + p_low) + third_low;
    p = SW_K(sw_k_pair_product)(z, z_low, b, b_low, &p_low);
    p = SW_K(sw_k_pair_product)(2 * s, 2 * s_low, p, p_low, &p_low);
    const double h = 2 * s + p, h_low = ((p - (h - 2 * s)) + 2 * s_low) + p_low;
    const double t = k * ln2_high, high = t + h, rounding = h - (high - t); /* |t| > |h|, or t = 0 */
    const double under = rounding + (h_low + k * ln2_low), y = high + under;
    *low = under - (y - high);
    return y;
#endif
}

/* 2^n in f64 for an integer n in the range of normal exponents */
static inline double SW_K(sw_k_two_to)(double n) {
    const double shifted = n + 6755399441055744.0;
    double y;
    uint64_t u;
    memcpy(&u, &shifted, sizeof u);
    u = (u + 1023) << 52;
    memcpy(&y, &u, sizeof y);
    return y;
}

/* e^(t + low) for t in [-746, 710] and a small `low`. In f64 the sum before the last is kept as a pair, so that the
 * value that is rounded to the result is within 0.06 ulp of the exact value. */
SW_K_INLINE double SW_K(sw_k_exp_pair)(double t, double low) {
    const double log2e = 1.4426950408889634, ln2_high = 6.93147180369123816490e-01,
                 ln2_low = 1.90821492927058770002e-10, magic = 6755399441055744.0;
    const double n = (t * log2e + magic) - magic;
    const double a = t - n * ln2_high, b = n * ln2_low, r = a - b, r_low = ((a - r) - b) + low;
#if SW_KERNEL_F32
    double p = 1 / 39916800.0;
#else
    double p = 1 / 6227020800.0;
    p = p * r + 1 / 479001600.0;
    p = p * r + 1 / 39916800.0;
#endif
    p = p * r + 1 / 3628800.0;
    p = p * r + 1 / 362880.0;
    p = p * r + 1 / 40320.0;
    p = p * r + 1 / 5040.0;
    p = p * r + 1 / 720.0;
    p = p * r + 1 / 120.0;
    p = p * r + 1 / 24.0;
    p = p * r + 1 / 6.0;
#if SW_KERNEL_F32
    p = p * r + 0.5;
    (void)r_low;
    return (1 + (r + (r * r) * p)) * SW_K(sw_k_two_to)(n);
#else
    double square_low;
    const double square = SW_K(sw_k_product)(r, r, &square_low), half = 0.5 * square;
    const double cube = r * square * p; /* r³/3! + … */
    const double c = r + half, c_low = (half - (c - r)) + (0.5 * square_low + r_low * (1 + (c + cube)));
    const double v = 1 + c, v_low = ((c - (v - 1)) + c_low) + cube, y = v + v_low;
    /* 2^n is the product of two factors, so that only the last product is rounded. */
    const double first = (n * 0.5 + magic) - magic;
    return y * SW_K(sw_k_two_to)(first) * SW_K(sw_k_two_to)(n - first);
#endif
}

/* x^(e + e_low) for x ≥ 0 and 0 < |e| ≤ 2^64 (for larger |e| every result except 1^e is 0 or ∞). The error is at most
 * 0.51 (f32) and 0.56 (f64) ulp; therefore the result is exact if the exact value is a number of the type. e_low, which
 * only f64 uses, is the rounding error of e. For x = 0 and ∞ the results are those of C's pow; NaN for NaN. */
SW_K_INLINE real SW_K(sw_k_power)(real x, double e, double e_low) {
    double low;
#if SW_KERNEL_F32
    const double least = -200, greatest = 100; /* bounds of the exponent, at which the result is 0 and ∞ */
    const double rest = 0, t = e * SW_K(sw_k_log_pair)((double)x, 0, &low);
    (void)e_low;
#else
    const double least = -746, greatest = 709.9;
    const bool small = x < 2.2250738585072014e-308;
    double rest;
    const double high = SW_K(sw_k_log_pair)(small ? x * 18014398509481984.0 : x, small ? 54 : 0, &low),
                 t = SW_K(sw_k_product)(e, high, &rest);
    rest += e * low + e_low * high;
#endif
    const double all = x == 0 ? -(double)INFINITY * e : x == (real)INFINITY ? (double)INFINITY * e : t;
    const double bounded = all < least ? least : all > greatest ? greatest : all;
    const real y = (real)SW_K(sw_k_exp_pair)(bounded, bounded == t ? rest : 0);
    return x == x ? y : x;
}

/* erf(x) for |x| ≤ 1. The polynomials of this function and of sw_k_erfcx were fitted at Chebyshev points in arithmetic
 * with 40 digits. Their relative errors are 1.4e-9 and 7.6e-10 (f32), 2e-19 and 4e-19 (f64). */
static inline real SW_K(sw_k_erf_small)(real x) {
    const real t = 2 * x * x - 1;
#if SW_KERNEL_F32
    const real p[] = {0.96546873863755107612f,    -0.1405360972815370692f,   0.019852497722779588874f,
                      -0.0022854195288923048908f, 0.0002175119897573919265f, -0.000017669080811751212167f,
                      1.2316401734510411824e-6f};
#else
    const real p[] = {0.96546873866986730832,     -0.14053608902271711934,   0.019852496688983707237,
                      -0.0022854855611441132101,  0.00021751715604160107223, -0.000017537169441124825434,
                      1.223382738352400957e-6,    -7.5115692866008896341e-8, 4.1158005976649594445e-9,
                      -2.0352284048994670436e-10, 9.1676067460694449031e-12, -3.8078827395263412615e-13,
                      1.4548170759606790085e-14};
#endif
    enum { TERMS = sizeof p / sizeof *p };
    real y = p[TERMS - 1];
    SW_UNROLLED
    for (int i = TERMS - 2; i >= 0; i--)
        y = y * t + p[i];
    return x * y;
}

/* e^(x²) erfc(x) for x in [1, 28] (f32: [1, 12]) */
static inline real SW_K(sw_k_erfcx)(real x) {
    const real t = (x - 3) / (x + 3);
#if SW_KERNEL_F32
    const real s = t * 1.8181818181818181818f - 0.090909090909090909091f;
    const real p[] = {1.0312746860882059712f,     -0.45465265883087244197f,   0.16498878436099309129f,
                      -0.047788689627678483381f,  0.010321066460940632342f,   -0.0013606365349498779375f,
                      -5.9086119255244520474e-6f, 0.00004243186287858222408f, -4.8188873544833807867e-6f,
                      -9.4159207418747266702e-7f};
#else
    const real s = t * 1.5308641975308641975 - 0.23456790123456790123;
    const real p[] = {
        0.95145226597068219861,      -0.47211236278516297171,   0.1977266549430369413,     -0.067882444534372969641,
        0.018008414533143970797,     -0.0031605345283267602798, 0.00012517713940393040316, 0.0001105715809147692704,
        -0.000026636641997125102771, -1.9033092688519239598e-6, 1.8187180431420450293e-6,  -5.7604084293479421316e-8,
        -1.2013247073497324119e-7,   1.0130772513970033265e-8,  8.9206751875865729326e-9,  -8.6744086395141710155e-10,
        -7.5536043872079124453e-10,  5.1767430019176208228e-11, 6.5998117808857108151e-11, -9.2817054986755940382e-13,
        -4.2198910832004238059e-12,  -1.6255052686974948711e-13};
#endif
    enum { TERMS = sizeof p / sizeof *p };
    real y = p[TERMS - 1];
    SW_UNROLLED
    for (int i = TERMS - 2; i >= 0; i--)
        y = y * s + p[i];
    return y / (x + 3);
}

/* e^(-c x²) for c = 1 or ½, as e^(-c h²) e^(-c (x-h)(x+h)), where h has half of the bits of x, so that h² is exact */
static inline real SW_K(sw_k_gauss)(real x, real c) {
#if SW_KERNEL_F32
    const real h = SW_K(sw_k_from_bits)(SW_K(sw_k_bits)(x) & 0xFFFFF000u);
#else
    const real h = SW_K(sw_k_from_bits)(SW_K(sw_k_bits)(x) & 0xFFFFFFFFF8000000u);
#endif
    return SW_K(sw_k_exp)(-c * (h * h)) * SW_K(sw_k_exp)(-c * ((x - h) * (x + h)));
}

/* erf x = 2/√π ∫ e^(-t²) dt from 0 to x; NaN for NaN */
static inline real SW_K(sw_k_erf)(real x) {
    const real a = x < 0 ? -x : x;
    const real b = a < 1 ? 1 : a > 7 ? (real)7 : a;
    const real large = 1 - SW_K(sw_k_gauss)(b, 1) * SW_K(sw_k_erfcx)(b);
    const real small = SW_K(sw_k_erf_small)(a > 1 ? (real)1 : x);
    return a <= 1 ? small : x < 0 ? -large : x == x ? large : x;
}

/* The distribution function of the standard normal distribution, ½ erfc(-x/√2), with a small relative error also in its
 * lower tail; NaN for NaN */
static inline real SW_K(sw_k_normal)(real x) {
    const real u = -x * SW_R(0.70710678118654752440), a = u < 0 ? -u : u;
#if SW_KERNEL_F32
    const real most = 12;
#else
    const real most = 28;
#endif
    const real b = a < 1 ? 1 : a > most ? most : a, ax = x < 0 ? -x : x;
    const real tail = SW_R(0.5) * SW_K(sw_k_gauss)(ax > 40 ? (real)40 : ax, SW_R(0.5)) * SW_K(sw_k_erfcx)(b);
    const real middle = SW_R(0.5) - SW_R(0.5) * SW_K(sw_k_erf_small)(a > 1 ? (real)1 : u);
    return a <= 1 ? middle : u > 0 ? tail : u == u ? 1 - tail : u;
}

#undef SW_K_UINT
#undef SW_K_MAGIC
#undef SW_K_MANTISSA
#undef SW_K_BIAS
