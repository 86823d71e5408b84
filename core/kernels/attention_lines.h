/* Operations on vectors and lines of a strip, for attention_tiles.c. Include it in each pass of kernel.h, after
 * conv_vector.h; there is no include guard. */

/* ---- Vectors ---- */

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

/* ---- Lines ---- */

/* The first n elements become -∞; n ≤ STRIP. */
static void SW_K(attention_hide)(real *line, int64_t n) {
    for (int64_t l = 0; l < n; l++)
        line[l] = -(real)INFINITY;
}

/* Copies of rows to and from scratch, as swi_attention_load and swi_attention_store. */
static void SW_K(attention_load)(sw_dtype type, int64_t rows, int64_t n, const void *from, int64_t row, real *to,
                                 int64_t line) {
    if (sw_dtype_is_16_bit(type) || n != line) {
        swi_attention_load(type, rows, n, from, row, to, line);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < n; c += LANES)
            STORE(to + i * line + c, LOAD((const real *)from + i * row + c));
}

static void SW_K(attention_store)(sw_dtype type, int64_t rows, int64_t n, const real *from, int64_t line, void *to,
                                  int64_t row) {
    if (sw_dtype_is_16_bit(type) || n != line) {
        swi_attention_store(type, rows, n, from, line, to, row);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < n; c += LANES)
            STORE((real *)to + i * row + c, LOAD(from + i * line + c));
}

/* One block of SW_K(attention_turn): [BLOCK, BLOCK]. */
#undef BLOCK
#if SW_KERNEL_F32 && SW_KERNEL_AVX512
#define BLOCK 16
SW_K_INLINE void SW_K(attention_turn_block)(const real *from, int64_t line, real *to) {
    __m512i r[BLOCK];
    CONV_UNROLL
    for (int i = 0; i < BLOCK; i++)
        r[i] = _mm512_loadu_si512(from + i * line);
    swi_half_transpose(r);
    CONV_UNROLL
    for (int i = 0; i < BLOCK; i++)
        _mm512_storeu_si512(to + i * STRIP, r[i]);
}
#elif SW_KERNEL_F32 && defined(__x86_64__)
#define BLOCK 4
SW_K_INLINE void SW_K(attention_turn_block)(const real *from, int64_t line, real *to) {
    swi_half_transpose4(from, line, to, STRIP);
}
#else
#define BLOCK 4
SW_K_INLINE void SW_K(attention_turn_block)(const real *from, int64_t line, real *to) {
    for (int r = 0; r < BLOCK; r++)
        for (int c = 0; c < BLOCK; c++)
            to[c * STRIP + r] = from[r * line + c];
}
#endif

/* to[c][r] = factor·from[r][c] for `rows` rows of `line` elements, a multiple of GROUP. Rows are added to a multiple of
 * GROUP, in which all elements are 0. */
static void SW_K(attention_turn)(int64_t rows, real *from, int64_t line, real factor, real *to) {
    const int64_t columns = swi_attention_padded(rows);
    memset(from + rows * line, 0, (size_t)((columns - rows) * line) * sizeof(real));
    for (int64_t r = 0; r < columns; r += BLOCK)
        for (int64_t c = 0; c < line; c += BLOCK)
            SW_K(attention_turn_block)(from + r * line + c, line, to + c * STRIP + r);
    for (int64_t c = 0; c < line && factor != 1; c++)
        for (real *at = to + c * STRIP, *end = at + columns; at < end; at += LANES)
            STORE(at, LOAD(at) * factor);
}
