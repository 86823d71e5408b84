/* Loops of rules that divide by a root, a block of elements at a time. Included after kernel.h, in every pass.
 *
 * Roots. The processor's divider takes them too, and as slowly: a loop that needs both does nothing but wait for
 * it. On AVX-512, every other vector of f32 has its roots from the estimate y of 1/√v by multiplications
 * (Markstein, IBM J. Res. Dev. 34, 1990), so that divider and multipliers are busy for about as long:
 *     s = v y, h = y/2;   r = ½ - s h, s ← s + s r, h ← h + h r;   s ← s + h (v - s²)
 * The result is the rounded exact root, that is sqrt's: all levels have the same bits. tests/optim/test_roots.c
 * tries every float. Below 2^-100 v - s² leaves the normal numbers; there, and for 0, ∞ and NaN, sqrt is asked.
 *
 * Memory. Divisions are so slow that the processor does not come to the loads of later blocks while it waits for
 * them: where vectors are too long for the cache, these are fetched ahead. It takes 15 % off a step of Adam.
 */

#ifndef SWALE_RULES_BLOCKS_H
#define SWALE_RULES_BLOCKS_H
enum {
    BLOCK_LENGTH = 64,
    FAR_VECTOR = 1 << 18, /* elements of a vector that does not stay in the cache until the next step */
    FETCHED_AHEAD = 2048  /* bytes */
};

/* Calls of a block's function for [begin, end) of a step: with n = BLOCK_LENGTH, a constant there, and with
 * n < BLOCK_LENGTH for the rest. Two loops, for fetch_ahead takes registers. */
#define BY_BLOCKS(step, begin, end, call)                                \
    do {                                                                 \
        const int64_t whole_ = (end) - ((end) - (begin)) % BLOCK_LENGTH; \
        if ((step)->count >= FAR_VECTOR)                                 \
            for (; begin < whole_; begin += BLOCK_LENGTH) {              \
                const int64_t n = BLOCK_LENGTH;                          \
                SW_K(fetch_ahead)(step, begin);                          \
                call;                                                    \
            }                                                            \
        for (; begin < whole_; begin += BLOCK_LENGTH) {                  \
            const int64_t n = BLOCK_LENGTH;                              \
            call;                                                        \
        }                                                                \
        if (begin < (end)) {                                             \
            const int64_t n = (end) - (begin);                           \
            call;                                                        \
        }                                                                \
    } while (0)
/* Second moments: of f64 in one of two slots. Kernels of f32 have gone another way where it is the second. */
#define SQUARES(step, slot_, slot_f64) ((step)->slot[(step)->slot[slot_] || SW_KERNEL_F32 ? slot_ : slot_f64])
#define BLOCK_FUNCTION static inline __attribute__((always_inline)) void

#include <swale/optim.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#endif

#if SW_KERNEL_PASS

/* Has the cache fetch what a later block needs: its own loads would wait for the divisions of those before.
 * Inlined, or gcc takes a function that does nothing else for one without effect. */
BLOCK_FUNCTION SW_K(fetch_ahead)(const sw_step *s, int64_t begin) {
    const void *const vector[] = {s->x, s->g, s->slot[0], s->slot[1], s->slot[2]};
    enum { BYTES = BLOCK_LENGTH * (int)sizeof(real) };
    if ((s->count - begin) * (int64_t)sizeof(real) < FETCHED_AHEAD + BYTES)
        return; /* the end */
    for (size_t k = 0; k < sizeof vector / sizeof *vector; k++)
        for (int at = 0; vector[k] && at < BYTES; at += 64)
            __builtin_prefetch((const char *)vector[k] + begin * (int64_t)sizeof(real) + FETCHED_AHEAD + at);
}

/* Rules of f32 whose second moments are f64 (methods.h): the kernel of f64 works on blocks that are converted, so that
 * it is the rule of f64 but for the rounding of x and of the slots that are f32. It is compiled in the pass after the
 * one for f32, and called by this name there. */
#if SW_KERNEL_F32
#undef F64_KERNEL
#define F64_KERNEL(name) SW_K_NAME(name, f64, SW_KERNEL_LEVEL)
#else
enum { SW_K(F64_BLOCK) = 256, SW_K(F32_SLOTS) = 2 };

/* f64: a bit for each slot that is f64. At most two slots are f32. */
static inline void SW_K(on_f64)(const sw_step *s, int64_t begin, int64_t end, unsigned f64, sw_kernel *kernel) {
    double x[SW_K(F64_BLOCK)], g[SW_K(F64_BLOCK)], slot[SW_K(F32_SLOTS)][SW_K(F64_BLOCK)];
    for (; begin < end; begin += SW_K(F64_BLOCK)) {
        const int64_t n = end - begin < SW_K(F64_BLOCK) ? end - begin : SW_K(F64_BLOCK);
        float *to[1 + SW_K(F32_SLOTS)] = {(float *)s->x + begin};
        double *from[1 + SW_K(F32_SLOTS)] = {x};
        int vectors = 1;
        sw_step block = *s;
        for (int k = 0; k < SW_MAX_SLOTS; k++) {
            if (s->slot[k] && f64 >> k & 1) {
                block.slot[k] = (double *)s->slot[k] + begin;
            } else if (s->slot[k]) {
                to[vectors] = (float *)s->slot[k] + begin;
                block.slot[k] = from[vectors] = slot[vectors - 1];
                vectors++;
            }
        }
        for (int64_t i = 0; i < n; i++)
            g[i] = (double)((const float *)s->g)[begin + i];
        for (int k = 0; k < vectors; k++)
            for (int64_t i = 0; i < n; i++)
                from[k][i] = (double)to[k][i];
        block.x = x;
        block.g = g;
        block.count = n;
        kernel(&block, 0, n, NULL);
        for (int k = 0; k < vectors; k++)
            for (int64_t i = 0; i < n; i++)
                to[k][i] = (float)from[k][i];
    }
}
#endif

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
