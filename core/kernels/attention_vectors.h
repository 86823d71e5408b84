/* Operations on vectors for the kernels of attention. Include it in each pass of kernel.h, after conv_vector.h; it has
 * no include guard. */

#undef UINT
#undef MAGIC
#undef MANTISSA
#undef EXPONENT_OF_1
#if SW_KERNEL_F32
#define UINT uint32_t
#define MAGIC 12582912.0f /* 1.5·2^23: adding it rounds to an integer, which the low bits of the sum hold */
#define MANTISSA 23
#define EXPONENT_OF_1 127u
#else
#define UINT uint64_t
#define MAGIC 6755399441055744.0 /* 1.5·2^52 */
#define MANTISSA 52
#define EXPONENT_OF_1 1023u
#endif
typedef UINT SW_K(attention_bits) __attribute__((vector_size(16 << CONV_LEVEL)));
#undef BITS
#undef SELECT
#undef ABSOLUTE
#define BITS SW_K(attention_bits)
#undef LARGER
/* a where the comparison is true, else b. LARGER(a, b): a where a > b, else b. */
#define SELECT(comparison, a, b) SW_K(attention_select)((BITS)(comparison), a, b)
#define ABSOLUTE(x) ((VECTOR)((BITS)(x) & ~((BITS){0} + ((UINT)1 << (8 * sizeof(real) - 1)))))

SW_K_INLINE VECTOR SW_K(attention_select)(BITS mask, VECTOR a, VECTOR b) {
    return (VECTOR)((mask & (BITS)a) | (~mask & (BITS)b));
}
#if CONV_LEVEL == 2 && SW_KERNEL_F32
#define LARGER(a, b) ((VECTOR)_mm512_max_ps((__m512)(a), (__m512)(b)))
#elif CONV_LEVEL == 2
#define LARGER(a, b) ((VECTOR)_mm512_max_pd((__m512d)(a), (__m512d)(b)))
#elif CONV_LEVEL == 1 && SW_KERNEL_F32
#define LARGER(a, b) ((VECTOR)_mm256_max_ps((__m256)(a), (__m256)(b)))
#elif CONV_LEVEL == 1
#define LARGER(a, b) ((VECTOR)_mm256_max_pd((__m256d)(a), (__m256d)(b)))
#else
#define LARGER(a, b) SELECT((a) > (b), a, b)
#endif

/* e^x for x ≤ 0, where results below the smallest normal number are 0; NaN for NaN. The method and the polynomials are
 * those of sw_k_exp (kernel_math.h), with fused multiply-adds. */
SW_K_INLINE VECTOR SW_K(attention_exp)(VECTOR x) {
#if SW_KERNEL_F32
    const real least = SW_R(-87.3), log2e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    static const real factor[] = {1 / SW_R(5040.0), 1 / SW_R(720.0), 1 / SW_R(120.0),
                                  1 / SW_R(24.0),   1 / SW_R(6.0),   SW_R(0.5)};
#else
    const real least = -708.3, log2e = 1.4426950408889634, ln2_high = 6.93147180369123816490e-01,
               ln2_low = 1.90821492927058770002e-10;
    static const real factor[] = {1 / 6227020800.0, 1 / 479001600.0, 1 / 39916800.0, 1 / 3628800.0,
                                  1 / 362880.0,     1 / 40320.0,     1 / 5040.0,     1 / 720.0,
                                  1 / 120.0,        1 / 24.0,        1 / 6.0,        0.5};
#endif
    const VECTOR magic = BROADCAST(MAGIC), shifted = FMA(x, BROADCAST(log2e), magic), n = shifted - magic;
    const VECTOR r = FMA(n, BROADCAST(-ln2_low), FMA(n, BROADCAST(-ln2_high), x));
    VECTOR p = BROADCAST(factor[0]);
    CONV_UNROLL
    for (size_t i = 1; i < sizeof factor / sizeof *factor; i++)
        p = FMA(p, r, BROADCAST(factor[i]));
    const VECTOR em1 = FMA(r * r, p, r), power = (VECTOR)(((BITS)shifted + EXPONENT_OF_1) << MANTISSA);
    return SELECT(x < least, (VECTOR){0}, FMA(em1, power, power));
}
