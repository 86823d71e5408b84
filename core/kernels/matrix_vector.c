/* Products of a matrix and a vector: see matrix_vector.h. One row follows the other, because the processor fetches one
 * stream from the second-level cache faster than several. */
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <swale/kernel.h>

#include "core/kernels/dispatch.h"
#include "core/kernels/matrix_vector.h"

#if SW_KERNEL_PASS

#include "core/kernels/fused_vectors.h"

#if FUSED_LEVEL > 0

/* Vectors of all lanes: 2 or 4. */
#define VECTOR_COUNT (SW_KERNEL_F32 ? 32 / FUSED_WIDTH : 16 / FUSED_WIDTH)

/* The sum of all lanes. */
#if SW_KERNEL_F32
SW_K_INLINE real SW_K(vector_join)(const FUSED_VECTOR *lane) {
#if FUSED_LEVEL == 2
    const __m512 s = _mm512_add_ps(lane[0], lane[1]);
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
#else
    const __m256 eight = _mm256_add_ps(_mm256_add_ps(lane[0], lane[2]), _mm256_add_ps(lane[1], lane[3]));
#endif
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1)),
                 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
#else
SW_K_INLINE real SW_K(vector_join)(const FUSED_VECTOR *lane) {
#if FUSED_LEVEL == 2
    const __m512d s = _mm512_add_pd(lane[0], lane[1]);
    const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(s), _mm512_extractf64x4_pd(s, 1));
#else
    const __m256d four = _mm256_add_pd(_mm256_add_pd(lane[0], lane[2]), _mm256_add_pd(lane[1], lane[3]));
#endif
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}
#endif

static void SW_K(vector_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    enum { LANES = VECTOR_COUNT * FUSED_WIDTH };
    const swi_matrix_vector *s = args;
    const real *v = s->v, *bias = s->bias, alpha = (real)s->alpha, beta = (real)s->beta;
    const int64_t whole = s->terms / LANES * LANES;
    (void)sums;
    for (int64_t row = begin; row < end; row++) {
        const real *x = (const real *)s->x + row * s->ldx;
        real *y = (real *)s->y + row * s->y_step;
        FUSED_VECTOR lane[VECTOR_COUNT];
        for (int i = 0; i < VECTOR_COUNT; i++)
            lane[i] = FUSED_I(setzero)();
        for (int64_t k = 0; k < whole; k += LANES)
            for (int i = 0; i < VECTOR_COUNT; i++)
                lane[i] = FUSED_I(fmadd)(FUSED_I(loadu)(x + k + i * FUSED_WIDTH),
                                         FUSED_I(loadu)(v + k + i * FUSED_WIDTH), lane[i]);
        for (int i = 0; whole < s->terms && i < VECTOR_COUNT; i++) {
            const int64_t left = s->terms - whole - i * FUSED_WIDTH, n = left < 0 ? 0 : left;
            const FUSED_MASK mask = SW_K(fused_mask)(n < FUSED_WIDTH ? n : FUSED_WIDTH);
            const int64_t at = whole + (n ? i * FUSED_WIDTH : 0);
            lane[i] = FUSED_I(fmadd)(FUSED_LOAD_PART(x + at, mask), FUSED_LOAD_PART(v + at, mask), lane[i]);
        }
        const real sum = SW_K(vector_join)(lane), scaled = alpha == 1 ? sum : alpha * sum,
                   total = beta == 0 ? scaled : scaled + beta * *y;
        *y = bias ? total + bias[row * s->bias_step] : total;
    }
}

#undef VECTOR_COUNT
#endif

#else /* ---- once ---- */

#if defined(__x86_64__)

static sw_kernel *const vector_kernels[2][SW_LEVELS] = {
    [SW_F32] = {NULL, vector_rows_f32_avx2, vector_rows_f32_avx512},
    [SW_F64] = {NULL, vector_rows_f64_avx2, vector_rows_f64_avx512}};

bool swi_matrix_vector_run(const swi_matrix_vector *product) {
    sw_kernel *const kernel = vector_kernels[product->type][swi_cpu_level()];
    if (kernel)
        kernel((void *)(uintptr_t)product, 0, product->rows, NULL);
    return kernel != NULL;
}

#else

bool swi_matrix_vector_run(const swi_matrix_vector *product) {
    (void)product;
    return false;
}

#endif
#endif
