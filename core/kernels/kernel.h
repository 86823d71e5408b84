/* Kernels written once: for every element type, and for baseline, AVX2 and AVX-512.
 *
 * A file with kernels looks like this:
 *
 *     #include <swale/kernel.h>
 *     #include <swale/rule.h>   headers whose types the kernels need
 *
 *     #if SW_KERNEL_FIRST
 *       ... types and constants that kernels share with the rest of the file; optional ...
 *     #endif
 *
 *     #if SW_KERNEL_PASS
 *       ... kernels: functions of type sw_kernel named SW_K(name), computing in `real` ...
 *     #else
 *       ... the rest of the file, where SW_KERNEL_TABLE(name) is an initializer for sw_kernels ...
 *     #endif
 *
 * The header includes the file again, once for each element type and level. In each of these passes SW_KERNEL_PASS is
 * 1, SW_K(name) is a name for that type and level, and the compiler uses the instruction set of that level. In the
 * first pass SW_KERNEL_FIRST is 1. SW_KERNEL_F32 (whether `real` is float) and SW_KERNEL_AVX512 are 1 or 0, for code
 * that is needed for one type or level only. The compiler must be able to include the file by the name that it was
 * given: compile with -I. (the folder in which the compiler runs).
 *
 * The type of a pass is a storage type: elements have the type `stored` in memory, and computations use the type
 * `real`. In the passes for f32 and f64 the two are the same. A file that defines SW_KERNEL_16_BIT before its first
 * #include has two more passes, for f16 and bf16, where stored is uint16_t, real is float, and SW_KERNEL_HALF is 1:
 *
 *     pass     f32      f64      f16        bf16
 *     stored   float    double   uint16_t   uint16_t
 *     real     float    double   float      float
 *
 * A kernel reads elements with SW_LOAD(p, i), which returns a `real`, and writes them with SW_STORE(p, i, value), which
 * rounds:
 *
 *     static void SW_K(square)(void *args, int64_t begin, int64_t end, double *sums) {
 *         const square_args *s = args;
 *         const stored *x = s->x;
 *         stored *out = s->out;
 *         for (int64_t i = begin; i < end; i++) {
 *             const real v = SW_LOAD(x, i);
 *             SW_STORE(out, i, v * v);
 *         }
 *     }
 *
 * In the passes for f32 and f64 these are p[i] and p[i] = value, and compile to the same instructions. Vectors that are
 * kept in the compute type are declared `real`, for example sums. All kernels of a file with SW_KERNEL_16_BIT, and of
 * the headers that it includes, must be written in this way. Rules need no such passes: the pipeline of a step converts
 * the gradient.
 *
 * A header can contain kernels too. It is written like such a file, without an include guard, and begins with
 *
 *     #define SW_KERNEL_HEADER
 *     #define SW_KERNEL_FILE "this_header.h"
 *
 * A source file may include several such headers, one after the other. A source file that itself contains kernels
 * includes them in its #else part, because the compiler reads the part before it again for each type and level.
 *
 * To get equal bits on every level, compile with -O3 -fno-math-errno -fno-trapping-math -ffp-contract=off, never with
 * -ffast-math; use SW_LANES partial sums in a reduction; use conditional expressions (`a > b ? a : b`) and the sw_k_
 * functions of kernel_math.h instead of libm.
 */

/* The passes run when this header is included for the first time, and again for each header with kernels that includes
 * it later, when SW_KERNEL_PASS is 0. */
#if !defined(SW_KERNEL_PASS) || (defined(SW_KERNEL_FILE) && !SW_KERNEL_PASS)
#undef SW_KERNEL_PASS
#ifndef SWALE_KERNEL_H
#define SWALE_KERNEL_H
#include <swale/extend.h>
#include <math.h>
#include <string.h>

#if defined(__FAST_MATH__)
#error "swale kernels must not be compiled with -ffast-math"
#endif
#if defined(__OPTIMIZE__) && !defined(__NO_MATH_ERRNO__)
#warning "compile kernels with -fno-math-errno: a square root is 29 times slower without it"
#endif

enum { SW_LANES = 32 }; /* the number of partial sums in a reduction, on every level */

/* Write this before a loop whose iterations are independent even if two of its pointers are equal (out = a). The
 * compiler then omits the check for overlapping arrays. */
#if defined(__clang__)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define SW_INDEPENDENT /* clang does not vectorize instrumented loops, and would print a warning */
#else
#define SW_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#endif
#else
#define SW_INDEPENDENT _Pragma("GCC ivdep")
#endif
/* Write this before the loop over SW_LANES partial sums. Without it clang unrolls the loop first, and does not
 * vectorize the result. */
#if defined(__clang__)
#define SW_OVER_LANES _Pragma("clang loop unroll(disable)")
#else
#define SW_OVER_LANES
#endif
/* Write this before a loop with a constant number of iterations, at most 32, that is inside a loop over elements. gcc
 * vectorizes the outer loop only if the inner one is unrolled, and without it unrolls at most 16 iterations. */
#if defined(__clang__)
#define SW_UNROLLED _Pragma("clang loop unroll(full)")
#else
#define SW_UNROLLED _Pragma("GCC unroll 32")
#endif
/* The end of a reduction: total += Σ lane[j] for j < SW_LANES. `lane` is an array of partial sums of any type, and the
 * additions are done in `type`. There are four chains of additions, because in one chain each addition would wait for
 * the one before. */
#define SW_ADD_LANES(type, total, lane)                           \
    do {                                                          \
        type four_[4] = {0};                                      \
        for (int j_ = 0; j_ < SW_LANES; j_ += 4)                  \
            for (int k_ = 0; k_ < 4; k_++)                        \
                four_[k_] += (type)(lane)[j_ + k_];               \
        (total) += (four_[0] + four_[1]) + (four_[2] + four_[3]); \
    } while (0)
/* For functions that compilers would not inline, because they are large. A loop that contains a call is not
 * vectorized. */
#define SW_K_INLINE static inline __attribute__((always_inline))
#define SW_K_JOIN(name, type, level) name##_##type##_##level
#define SW_K_NAME(name, type, level) SW_K_JOIN(name, type, level)
#define SW_K(name) SW_K_NAME(name, SW_KERNEL_TYPE, SW_KERNEL_LEVEL)
#if defined(__x86_64__)
#define SW_KERNEL_ROW(name, type) \
    { SW_K_JOIN(name, type, baseline), SW_K_JOIN(name, type, avx2), SW_K_JOIN(name, type, avx512) }
#else
#define SW_KERNEL_ROW(name, type) \
    { SW_K_JOIN(name, type, baseline), SW_K_JOIN(name, type, baseline), SW_K_JOIN(name, type, baseline) }
#endif
#if defined(SW_KERNEL_16_BIT)
#define SW_KERNEL_TABLE(name) \
    { SW_KERNEL_ROW(name, f32), SW_KERNEL_ROW(name, f64), SW_KERNEL_ROW(name, f16), SW_KERNEL_ROW(name, bf16) }
#else
#define SW_KERNEL_TABLE(name) \
    { SW_KERNEL_ROW(name, f32), SW_KERNEL_ROW(name, f64) }
#endif
#endif /* SWALE_KERNEL_H */

#if defined(SW_KERNEL_FILE) && !defined(SW_KERNEL_HEADER)
/* A file that was copied and still has the SW_KERNEL_FILE of the original would compile the kernels of the original. */
_Static_assert(sizeof(__BASE_FILE__) >= sizeof(SW_KERNEL_FILE) &&
                   __builtin_strcmp(&__BASE_FILE__[sizeof(__BASE_FILE__) - sizeof(SW_KERNEL_FILE)], SW_KERNEL_FILE) ==
                       0,
               "SW_KERNEL_FILE is not this file's name; a header with kernels defines SW_KERNEL_HEADER");
#elif !defined(SW_KERNEL_FILE) && !__has_include(__BASE_FILE__)
#error "this file includes itself for each instruction set: compile it with -I., or #define SW_KERNEL_FILE as its name"
#endif

#undef SW_KERNEL_FIRST
#define SW_KERNEL_FIRST 1
#define SW_KERNEL_PASS 1
#define SW_KERNEL_AVX512 0

#define SW_KERNEL_LEVEL baseline
#include <swale/kernel_types.h>
#undef SW_KERNEL_LEVEL

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define SW_KERNEL_LEVEL avx2
#include <swale/kernel_types.h>
#undef SW_KERNEL_LEVEL
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#endif
#define SW_KERNEL_LEVEL avx512
#undef SW_KERNEL_AVX512
#define SW_KERNEL_AVX512 1
#include <swale/kernel_types.h>
#undef SW_KERNEL_LEVEL
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif /* __x86_64__ */

#undef SW_KERNEL_AVX512
#undef SW_KERNEL_FIRST
#define SW_KERNEL_FIRST 0
#undef SW_KERNEL_PASS
#define SW_KERNEL_PASS 0
#undef SW_KERNEL_FILE
#undef SW_KERNEL_HEADER
#define SW_KERNEL_MATH_IS_THERE
#endif
