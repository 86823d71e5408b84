/* Vectors of one register for the kernels of convolutions, by type and level. Include it in each pass of kernel.h,
 * after conv_sums.h; there is no include guard. */
#define CONV_JOIN(a, b) a##b
#define CONV_LEVEL_OF(level) CONV_JOIN(CONV_, level)
#define CONV_LEVEL CONV_LEVEL_OF(SW_KERNEL_LEVEL)

typedef real SW_K(conv_vector) __attribute__((vector_size(16 << CONV_LEVEL), aligned(sizeof(real)), may_alias));
#define VECTOR SW_K(conv_vector)
#define LANES ((16 << CONV_LEVEL) / (int)sizeof(real))
#define LOAD(from) (*(const VECTOR *)(const void *)(from))
#define STORE(to, vector) (*(VECTOR *)(void *)(to) = (vector))
#define BROADCAST(x) ((x) - (VECTOR){0}) /* x - 0 has the bits of x, and compiles to a broadcast */
#if defined(__clang__)
#define CONV_UNROLL _Pragma("unroll")
#else
#define CONV_UNROLL _Pragma("GCC unroll 16")
#endif

/* FMA(a, b, c) = a b + c, rounded once on avx2 and avx512. */
#undef FMA
#if CONV_LEVEL == 2 && SW_KERNEL_F32
#define FMA(a, b, c) ((VECTOR)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#elif CONV_LEVEL == 2
#define FMA(a, b, c) ((VECTOR)_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c)))
#elif CONV_LEVEL == 1 && SW_KERNEL_F32
#define FMA(a, b, c) ((VECTOR)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#elif CONV_LEVEL == 1
#define FMA(a, b, c) ((VECTOR)_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c)))
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif
