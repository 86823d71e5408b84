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
#undef CONV_UNROLL
#if defined(__clang__)
/* With sanitizers, clang takes minutes for the checks of unrolled loops. */
#if __has_feature(undefined_behavior_sanitizer) || __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CONV_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define CONV_UNROLL _Pragma("unroll")
#endif
#else
#define CONV_UNROLL _Pragma("GCC unroll 16")
#endif

/* BROADCAST_PAIR(from): from[0], from[1], from[0], … EVEN(a, b), ODD(a, b): every second element of a and then of b. */
#undef EVEN
#undef ODD
#undef BROADCAST_PAIR
#if CONV_LEVEL == 2 && SW_KERNEL_F32
#define BROADCAST_PAIR(from) ((VECTOR)_mm512_broadcastsd_pd(_mm_load_sd((const double *)(const void *)(from))))
#elif CONV_LEVEL == 2
#define BROADCAST_PAIR(from) ((VECTOR)_mm512_broadcast_f64x2(_mm_loadu_pd(from)))
#elif CONV_LEVEL == 1 && SW_KERNEL_F32
#define BROADCAST_PAIR(from) ((VECTOR)_mm256_broadcast_sd((const double *)(const void *)(from)))
#elif CONV_LEVEL == 1
#define BROADCAST_PAIR(from) ((VECTOR)_mm256_broadcast_pd((const __m128d *)(const void *)(from)))
#elif SW_KERNEL_F32
#define BROADCAST_PAIR(from) ((VECTOR){(from)[0], (from)[1], (from)[0], (from)[1]})
#else
#define BROADCAST_PAIR(from) LOAD(from)
#endif
#if CONV_LEVEL == 2 && SW_KERNEL_F32
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#elif (CONV_LEVEL == 2) || (CONV_LEVEL == 1 && SW_KERNEL_F32)
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#elif CONV_LEVEL == 1 || SW_KERNEL_F32
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#else
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3)
#endif

/* Keeps the compiler from joining a pointer with other terms of an address, for which it would need more registers. */
#define CONV_KEEP(pointer) __asm__("" : "+r"(pointer))

/* A tile has a pointer for each pixel or row, and the general registers do not suffice for more than CONV_POINTERS of
 * them. CONV_RELOAD makes the compiler load the others from the stack in every iteration. Otherwise it keeps some of
 * them in vector registers, and the instructions that move them back take the place of multiplications. */
#define CONV_POINTERS 8
#define CONV_RELOAD(pointer, count)                      \
    do {                                                 \
        CONV_UNROLL                                      \
        for (int p_ = CONV_POINTERS; p_ < (count); p_++) \
            __asm__("" : "+m"((pointer)[p_]));           \
    } while (0)

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
