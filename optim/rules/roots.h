/* Square roots, a block at a time, for rules that divide by them. Included after kernel.h, in every pass.
 *
 * The processor's divider takes roots too, and as slowly: a loop that needs both does nothing but wait for it.
 * On AVX-512, every other vector of f32 has its roots from the estimate y of 1/√v by multiplications
 * (Markstein, IBM J. Res. Dev. 34, 1990), so that divider and multipliers are busy for about as long:
 *     s = v y, h = y/2;   r = ½ - s h, s ← s + s r, h ← h + h r;   s ← s + h (v - s²)
 * The result is the rounded exact root, that is sqrt's: all levels have the same bits. tests/optim/test_roots.c
 * tries every float. Below 2^-100 v - s² leaves the normal numbers; there, and for 0, ∞ and NaN, sqrt is asked.
 */

#ifndef SWALE_RULES_ROOTS_H
#define SWALE_RULES_ROOTS_H
enum { ROOT_BLOCK = 64 };

/* Calls of a block's function for [begin, end): with n = ROOT_BLOCK, a constant there, and n < ROOT_BLOCK for
 * the rest. */
#define BY_BLOCKS(begin, end, call)                                \
    do {                                                           \
        for (; (end) - (begin) >= ROOT_BLOCK; begin += ROOT_BLOCK) { \
            const int64_t n = ROOT_BLOCK;                          \
            call;                                                  \
        }                                                          \
        if ((begin) < (end)) {                                     \
            const int64_t n = (end) - (begin);                     \
            call;                                                  \
        }                                                          \
    } while (0)
#define BLOCK_FUNCTION static inline __attribute__((always_inline)) void

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#endif

#if SW_KERNEL_PASS

#if SW_KERNEL_AVX512 && SW_KERNEL_F32
static inline __m512 SW_K(root_by_products)(__m512 v) {
    const __m512 half = _mm512_set1_ps(0.5f), y = _mm512_rsqrt14_ps(v);
    __m512 s = _mm512_mul_ps(v, y), h = _mm512_mul_ps(y, half);
    const __m512 r = _mm512_fnmadd_ps(s, h, half);
    s = _mm512_fmadd_ps(s, r, s);
    h = _mm512_fmadd_ps(h, r, h);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(s, s, v), h, s);
}

/* All in [2^-100, ∞), by their bits. */
static inline bool SW_K(all_within)(__m512 v) {
    const __m512i low = _mm512_set1_epi32(0x0D800000), length = _mm512_set1_epi32(0x7F800000 - 0x0D800000);
    return _mm512_cmplt_epu32_mask(_mm512_sub_epi32(_mm512_castps_si512(v), low), length) == 0xFFFF;
}
#endif

/* v ← √v of n numbers. */
static inline __attribute__((always_inline)) void SW_K(roots)(real *v, int64_t n) {
    int64_t i = 0;
#if SW_KERNEL_AVX512 && SW_KERNEL_F32
    for (; i + 32 <= n; i += 32) {
        const __m512 a = _mm512_loadu_ps(v + i), b = _mm512_loadu_ps(v + i + 16);
        const bool products = SW_K(all_within)(a);
        _mm512_storeu_ps(v + i, products ? SW_K(root_by_products)(a) : _mm512_sqrt_ps(a));
        _mm512_storeu_ps(v + i + 16, _mm512_sqrt_ps(b));
    }
#endif
    for (; i < n; i++)
        v[i] = SW_R(sqrt)(v[i]);
}

#endif
