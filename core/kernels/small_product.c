/* Products of small matrices: see small_product.h. A block of rows × vectors of C is kept in registers, while one
 * vector of B after the other is multiplied by numbers of A. B is read in place if its rows are rows of the product;
 * a transposed B is copied to a panel first. If C has at most four columns, a vector holds parts of several rows. */
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <swale/kernel.h>

#include "core/kernels/dispatch.h"
#include "core/kernels/matrix_vector.h"
#include "core/kernels/small_product.h"

/* Unrolls loops with constant bounds, so that the sums stay in registers. */
#if defined(__clang__)
#define SMALL_UNROLL _Pragma("unroll")
#else
#define SMALL_UNROLL _Pragma("GCC unroll 8")
#endif

#if SW_KERNEL_FIRST
enum {
    PART = 256,   /* terms that are added in one chain; small_product.h states it */
    PANEL = 4096, /* elements of a panel of B */
    SUMS = 4096,  /* elements of C whose sums are in a separate array */
    PADDING = 16  /* columns of a panel are a multiple of it: the largest vector */
};

/* One operand: element (i, k) of op(A), or (k, j) of op(B), is `data` plus i + k·ld in lines, and i·ld + k in rows. */
typedef struct small_operand {
    const void *data;
    int64_t ld;
} small_operand;

/* The columns [0, n) of all rows, n at most two vectors: a strip. */
typedef struct small_strip {
    const void *a, *b, *bias; /* bias NULL: none */
    void *to;
    int64_t lda, ldb, ldt, M, n, terms;
    bool add; /* the sums are added to what is there */
} small_strip;

typedef struct small_args {
    const sw_product *p;
    bool lines;   /* A is transposed: consecutive rows are adjacent */
    bool panel;   /* B is transposed: it is copied */
    bool swapped; /* the sums are those of the transposed product; M, N, A and B are exchanged in the members below */
    bool direct;  /* the sums are the result, but for the bias */
    int64_t M, N;
    small_operand a, b;
} small_args;

typedef struct bias_args {
    const void *bias;
    void *C;
    int64_t columns, ldc;
} bias_args;
#endif

#if SW_KERNEL_PASS

#include "core/kernels/fused_vectors.h"

#if FUSED_LEVEL > 0

/* Rows of C that are computed at a time. */
#define SMALL_ROWS (FUSED_LEVEL == 2 ? 8 : 6)

/* Stores the first n elements, those of the mask. A masked store of AVX2 takes many times as long as other stores on
 * some processors. */
SW_K_INLINE void SW_K(small_store_part)(real *to, FUSED_VECTOR v, int64_t n, FUSED_MASK mask) {
#if FUSED_LEVEL == 2
    (void)n;
    FUSED_I(mask_storeu)(to, mask, v);
#else
    real all[FUSED_WIDTH];
    (void)mask;
    FUSED_I(storeu)(all, v);
    for (int64_t i = 0; i < n; i++)
        to[i] = all[i];
#endif
}

/* Computes the rows of a strip from row m on, as many as are a multiple of `rows`; returns the first that is left. This
 * is inlined in functions for constant numbers. */
SW_K_INLINE int64_t SW_K(small_rows)(const small_strip *s, int64_t m, bool lines, int rows, int vectors) {
    const real *const b = s->b, *const bias = s->bias;
    const int64_t lda = s->lda, ldb = s->ldb, terms = s->terms, last = s->n - (vectors - 1) * FUSED_WIDTH;
    const FUSED_MASK mask = SW_K(fused_mask)(last);
    for (; m + rows <= s->M; m += rows) {
        const real *a = (const real *)s->a + (lines ? m : m * lda), *line = b;
        FUSED_VECTOR sum[SMALL_ROWS][2];
        SMALL_UNROLL
        for (int r = 0; r < rows; r++)
            sum[r][0] = sum[r][1] = FUSED_I(setzero)();
        for (int64_t k = 0; k < terms; k++, line += ldb, a += lines ? lda : 1) {
            const FUSED_VECTOR b0 = vectors == 2 ? FUSED_I(loadu)(line) : FUSED_LOAD_PART(line, mask),
                               b1 = vectors == 2 ? FUSED_LOAD_PART(line + FUSED_WIDTH, mask) : b0;
            SMALL_UNROLL
            for (int r = 0; r < rows; r++) {
                const FUSED_VECTOR x = FUSED_I(set1)(a[lines ? r : r * lda]);
                sum[r][0] = FUSED_I(fmadd)(x, b0, sum[r][0]);
                if (vectors == 2)
                    sum[r][1] = FUSED_I(fmadd)(x, b1, sum[r][1]);
            }
        }
        real *const to = (real *)s->to + m * s->ldt;
        if (s->add) {
            SMALL_UNROLL
            for (int r = 0; r < rows; r++)
                for (int v = 0; v < vectors; v++) {
                    const real *c = to + r * s->ldt + v * FUSED_WIDTH;
                    const FUSED_VECTOR before = v + 1 < vectors ? FUSED_I(loadu)(c) : FUSED_LOAD_PART(c, mask);
                    sum[r][v] = FUSED_I(add)(before, sum[r][v]);
                }
        }
        if (bias) {
            const FUSED_VECTOR bias0 = vectors == 2 ? FUSED_I(loadu)(bias) : FUSED_LOAD_PART(bias, mask),
                               bias1 = vectors == 2 ? FUSED_LOAD_PART(bias + FUSED_WIDTH, mask) : bias0;
            SMALL_UNROLL
            for (int r = 0; r < rows; r++) {
                sum[r][0] = FUSED_I(add)(sum[r][0], bias0);
                sum[r][1] = FUSED_I(add)(sum[r][1], bias1);
            }
        }
        if (last == FUSED_WIDTH) {
            SMALL_UNROLL
            for (int r = 0; r < rows; r++)
                for (int v = 0; v < vectors; v++)
                    FUSED_I(storeu)(to + r * s->ldt + v * FUSED_WIDTH, sum[r][v]);
        } else {
            SMALL_UNROLL
            for (int r = 0; r < rows; r++) {
                if (vectors == 2)
                    FUSED_I(storeu)(to + r * s->ldt, sum[r][0]);
                SW_K(small_store_part)(to + r * s->ldt + (vectors - 1) * FUSED_WIDTH, sum[r][vectors - 1], last, mask);
            }
        }
    }
    return m;
}

#if FUSED_WIDTH > 4

/* At most four columns: a vector holds four columns of QUADS rows. */
enum { SW_K(QUADS) = FUSED_WIDTH / 4 };

#if SW_KERNEL_F32
#define QUAD_LOAD(p, n) _mm_maskload_ps(p, _mm_cmpgt_epi32(_mm_set1_epi32((int)(n)), _mm_setr_epi32(0, 1, 2, 3)))
#else
#define QUAD_LOAD(p, n) _mm256_maskload_pd(p, _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)))
#endif
#if FUSED_LEVEL == 2 && SW_KERNEL_F32
#define QUAD_SPREAD(q) _mm512_broadcast_f32x4(q)
#define QUAD_TAKE(v, j) _mm512_permute_ps(v, (j)*0x55)
#elif FUSED_LEVEL == 2
#define QUAD_SPREAD(q) _mm512_broadcast_f64x4(q)
#define QUAD_TAKE(v, j) _mm512_permutex_pd(v, (j)*0x55)
#else
#define QUAD_SPREAD(q) _mm256_set_m128(q, q)
#define QUAD_TAKE(v, j) _mm256_permute_ps(v, (j)*0x55)
#endif

/* The first n, at most four, numbers of QUADS rows. */
SW_K_INLINE FUSED_VECTOR SW_K(quad_rows)(const real *a, int64_t lda, int64_t n) {
#if FUSED_LEVEL == 2 && SW_KERNEL_F32
    __m512 v = _mm512_castps128_ps512(QUAD_LOAD(a, n));
    v = _mm512_insertf32x4(v, QUAD_LOAD(a + lda, n), 1);
    v = _mm512_insertf32x4(v, QUAD_LOAD(a + 2 * lda, n), 2);
    return _mm512_insertf32x4(v, QUAD_LOAD(a + 3 * lda, n), 3);
#elif FUSED_LEVEL == 2
    return _mm512_insertf64x4(_mm512_castpd256_pd512(QUAD_LOAD(a, n)), QUAD_LOAD(a + lda, n), 1);
#else
    return _mm256_set_m128(QUAD_LOAD(a + lda, n), QUAD_LOAD(a, n));
#endif
}

/* Stores the sums of QUADS rows. */
SW_K_INLINE void SW_K(quad_store)(const small_strip *s, int64_t m, FUSED_VECTOR sum) {
    real *const to = (real *)s->to + m * s->ldt;
    const real *bias = s->bias;
    if (s->n == 4 && s->ldt == 4) { /* the rows follow one another */
        sum = s->add ? FUSED_I(add)(FUSED_I(loadu)(to), sum) : sum;
        FUSED_I(storeu)(to, bias ? FUSED_I(add)(sum, QUAD_SPREAD(QUAD_LOAD(bias, 4))) : sum);
        return;
    }
    real all[FUSED_WIDTH];
    FUSED_I(storeu)(all, sum);
    for (int r = 0; r < SW_K(QUADS); r++)
        for (int64_t n = 0; n < s->n; n++) {
            real *c = to + r * s->ldt + n;
            const real v = s->add ? *c + all[4 * r + n] : all[4 * r + n];
            *c = bias ? v + bias[n] : v;
        }
}

/* As small_rows, for groups of QUADS rows. */
SW_K_INLINE int64_t SW_K(quad_groups)(const small_strip *s, int64_t m, int groups) {
    const int64_t lda = s->lda, ldb = s->ldb, columns = s->n;
    for (; m + groups * SW_K(QUADS) <= s->M; m += groups * SW_K(QUADS)) {
        const real *a = (const real *)s->a + m * lda, *b = s->b;
        FUSED_VECTOR x[4], sum[4];
        SMALL_UNROLL
        for (int g = 0; g < groups; g++)
            sum[g] = FUSED_I(setzero)();
        for (int64_t left = s->terms; left > 0; left -= 4, a += 4, b += 4 * ldb) {
            SMALL_UNROLL
            for (int g = 0; g < groups; g++)
                x[g] = SW_K(quad_rows)(a + g * SW_K(QUADS) * lda, lda, left);
#define QUAD_TERM(j)                                                         \
    if (left > (j)) {                                                        \
        const FUSED_VECTOR w = QUAD_SPREAD(QUAD_LOAD(b + (j)*ldb, columns)); \
        SMALL_UNROLL                                                         \
        for (int g = 0; g < groups; g++)                                     \
            sum[g] = FUSED_I(fmadd)(QUAD_TAKE(x[g], j), w, sum[g]);          \
    }
            QUAD_TERM(0)
            QUAD_TERM(1)
            QUAD_TERM(2)
            QUAD_TERM(3)
#undef QUAD_TERM
        }
        SMALL_UNROLL
        for (int g = 0; g < groups; g++)
            SW_K(quad_store)(s, m + g * SW_K(QUADS), sum[g]);
    }
    return m;
}

static __attribute__((noinline)) int64_t SW_K(small_quads)(const small_strip *s) {
    return SW_K(quad_groups)(s, SW_K(quad_groups)(s, 0, 4), 1);
}

#undef QUAD_LOAD
#undef QUAD_SPREAD
#undef QUAD_TAKE
#endif

/* Each block size is a separate function, because the variables of one block fill the registers. */
#define SMALL_FORM(name, lines, rows, vectors)                                                     \
    static __attribute__((noinline)) int64_t SW_K(small_##name)(const small_strip *s, int64_t m) { \
        return SW_K(small_rows)(s, m, lines, rows, vectors);                                       \
    }
#define SMALL_FORMS(rows)                    \
    SMALL_FORM(rows1_##rows, false, rows, 1) \
    SMALL_FORM(rows2_##rows, false, rows, 2) \
    SMALL_FORM(lines1_##rows, true, rows, 1) \
    SMALL_FORM(lines2_##rows, true, rows, 2)
#if FUSED_LEVEL == 2
SMALL_FORMS(8)
#else
SMALL_FORMS(6)
#endif
SMALL_FORMS(4)
SMALL_FORMS(2)
SMALL_FORMS(1)
#undef SMALL_FORM
#undef SMALL_FORMS

/* Copies a square of 4 × 4 f32 or 2 × 2 f64, transposed. */
SW_K_INLINE void SW_K(small_square)(const real *from, int64_t ldf, real *to, int64_t ldt) {
#if SW_KERNEL_F32
    __m128 r0 = _mm_loadu_ps(from), r1 = _mm_loadu_ps(from + ldf), r2 = _mm_loadu_ps(from + 2 * ldf),
           r3 = _mm_loadu_ps(from + 3 * ldf);
    _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
    _mm_storeu_ps(to, r0);
    _mm_storeu_ps(to + ldt, r1);
    _mm_storeu_ps(to + 2 * ldt, r2);
    _mm_storeu_ps(to + 3 * ldt, r3);
#else
    const __m128d r0 = _mm_loadu_pd(from), r1 = _mm_loadu_pd(from + ldf);
    _mm_storeu_pd(to, _mm_unpacklo_pd(r0, r1));
    _mm_storeu_pd(to + ldt, _mm_unpackhi_pd(r0, r1));
#endif
}

/* Copies from[rows, columns] transposed: to[columns, rows]. */
SW_K_INLINE void SW_K(small_transpose)(const real *from, int64_t ldf, int64_t rows, int64_t columns, real *to,
                                       int64_t ldt) {
    enum { SQUARE = SW_KERNEL_F32 ? 4 : 2 };
    const int64_t whole_rows = rows / SQUARE * SQUARE, whole_columns = columns / SQUARE * SQUARE;
    for (int64_t i = 0; i < whole_rows; i += SQUARE)
        for (int64_t j = 0; j < whole_columns; j += SQUARE)
            SW_K(small_square)(from + i * ldf + j, ldf, to + j * ldt + i, ldt);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; j++)
            to[j * ldt + i] = from[i * ldf + j];
}

/* The result from the sums, which are [M, N], or [N, M] of a swapped product. */
static void SW_K(small_finish)(const small_args *s, const real *sums) {
    const sw_product *p = s->p;
    const int64_t row = s->swapped ? 1 : p->N, column = s->swapped ? p->M : 1;
    const real *bias = p->bias, alpha = (real)p->alpha, beta = (real)p->beta;
    if (s->swapped && alpha == 1 && beta == 0 && !bias) {
        SW_K(small_transpose)(sums, p->M, p->N, p->M, p->C, p->ldc);
        return;
    }
    for (int64_t m = 0; m < p->M; m++)
        for (int64_t n = 0; n < p->N; n++) {
            real *c = (real *)p->C + m * p->ldc + n;
            real v = sums[m * row + n * column];
            v = alpha == 1 ? v : alpha * v;
            v = beta == 0 ? v : v + beta * *c;
            *c = bias ? v + bias[n] : v;
        }
}

/* All rows of a strip. */
static void SW_K(small_strip_run)(const small_strip *s, bool lines) {
    typedef int64_t form(const small_strip *, int64_t);
    enum { FORMS = 4 };
#if FUSED_LEVEL == 2
#define SMALL_ALL(name) \
    { SW_K(small_##name##_8), SW_K(small_##name##_4), SW_K(small_##name##_2), SW_K(small_##name##_1) }
#else
#define SMALL_ALL(name) \
    { SW_K(small_##name##_6), SW_K(small_##name##_4), SW_K(small_##name##_2), SW_K(small_##name##_1) }
#endif
    static form *const forms[2][2][FORMS] = {{SMALL_ALL(rows1), SMALL_ALL(rows2)},
                                             {SMALL_ALL(lines1), SMALL_ALL(lines2)}};
#undef SMALL_ALL
    form *const *f = forms[lines][s->n > FUSED_WIDTH];
    int64_t m = 0;
#if FUSED_WIDTH > 4
    if (s->n <= 4 && !lines)
        m = SW_K(small_quads)(s);
#endif
    for (; m < s->M; f++)
        m = (*f)(s, m);
}

static void SW_K(small_run)(void *args, int64_t begin, int64_t end, double *unused) {
    const small_args *s = args;
    const sw_product *p = s->p;
    _Alignas(SW_ALIGNMENT) real panel[PANEL], sums[SUMS];
    real *to = s->direct ? p->C : sums;
    (void)begin, (void)end, (void)unused;
    for (int64_t k = 0; k < p->K; k += PART) {
        const int64_t terms = p->K - k < PART ? p->K - k : PART;
        const real *b = (const real *)s->b.data + (s->panel ? k : k * s->b.ld),
                   *bias = s->direct && k + terms == p->K ? p->bias : NULL;
        small_strip strip = {.a = (const real *)s->a.data + (s->lines ? k * s->a.ld : k),
                             .lda = s->a.ld,
                             .ldb = s->b.ld,
                             .ldt = s->direct ? p->ldc : s->N,
                             .M = s->M,
                             .terms = terms,
                             .add = k > 0};
        if (s->panel) {
            strip.ldb = (s->N + PADDING - 1) / PADDING * PADDING;
            SW_K(small_transpose)(b, s->b.ld, s->N, terms, panel, strip.ldb);
            b = panel;
        }
        for (int64_t n = 0; n < s->N; n += 2 * FUSED_WIDTH) {
            strip.n = s->N - n < 2 * FUSED_WIDTH ? s->N - n : 2 * FUSED_WIDTH;
            strip.b = b + n;
            strip.bias = bias ? bias + n : NULL;
            strip.to = to + n;
            SW_K(small_strip_run)(&strip, s->lines);
        }
    }
    if (!s->direct)
        SW_K(small_finish)(s, sums);
}

#undef SMALL_ROWS
#endif

static void SW_K(bias_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    const bias_args *s = args;
    const real *restrict bias = s->bias;
    (void)sums;
    for (int64_t row = begin; row < end; row++) {
        real *restrict c = (real *)s->C + row * s->ldc;
        for (int64_t n = 0; n < s->columns; n++)
            c[n] += bias[n];
    }
}

#else /* ---- once ---- */

static const sw_kernels bias_kernels = SW_KERNEL_TABLE(bias_rows);

void swi_add_bias(sw_dtype type, int64_t rows, int64_t columns, const void *bias, void *C, int64_t ldc) {
    bias_args args = {.bias = bias, .C = C, .columns = columns, .ldc = ldc};
    bias_kernels[type][swi_cpu_level()](&args, 0, rows, NULL);
}

#if defined(__x86_64__)

/* No kernels for baseline, which has no fused multiply-addition. */
static sw_kernel *const small_kernels[2][SW_LEVELS] = {[SW_F32] = {NULL, small_run_f32_avx2, small_run_f32_avx512},
                                                       [SW_F64] = {NULL, small_run_f64_avx2, small_run_f64_avx512}};

enum { NARROW = 16 };                 /* columns: fewer would leave most of a vector unused */
enum { LONGEST = 16384 };             /* terms of a product with a vector: gemm.c divides longer sums */
static const double small_work = 1e6; /* the largest M·N·K */

/* Sets the members that say how the product is computed; false if it is not. */
static bool small_plan(const sw_product *p, small_args *s) {
    const bool in_lines = p->a_transposed, plain = p->alpha == 1 && p->beta == 0;
    *s = (small_args){.p = p,
                      .lines = in_lines,
                      .M = p->M,
                      .N = p->N,
                      .a = {p->A, p->lda},
                      .b = {p->B, p->ldb},
                      .swapped = in_lines && (p->b_transposed || (p->N < NARROW && p->M > p->N)),
                      .panel = p->b_transposed && !in_lines};
    if (s->swapped) { /* Cᵀ = op(B)ᵀ A */
        s->lines = !p->b_transposed;
        s->M = p->N;
        s->N = p->M;
        s->a = (small_operand){p->B, p->ldb};
        s->b = (small_operand){p->A, p->lda};
    }
    s->direct = plain && !s->swapped;
    const int64_t terms = p->K < PART ? p->K : PART, columns = (p->N + PADDING - 1) / PADDING * PADDING;
    return (s->direct || p->M * p->N <= SUMS) && (!s->panel || terms * columns <= PANEL);
}

/* One row or one column: a matrix with contiguous rows times a contiguous vector. */
static bool small_vector(const sw_product *p) {
    const bool row = p->M == 1, dots = row ? p->b_transposed : !p->a_transposed;
    const int64_t v_step = row ? (p->a_transposed ? p->lda : 1) : (p->b_transposed ? 1 : p->ldb);
    if (!dots || v_step != 1 || p->K > LONGEST)
        return false;
    const swi_matrix_vector product = {.type = p->c_type,
                                       .rows = row ? p->N : p->M,
                                       .terms = p->K,
                                       .x = row ? p->B : p->A,
                                       .v = row ? p->A : p->B,
                                       .bias = p->bias,
                                       .y = p->C,
                                       .ldx = row ? p->ldb : p->lda,
                                       .y_step = row ? 1 : p->ldc,
                                       .bias_step = row ? 1 : 0,
                                       .alpha = p->alpha,
                                       .beta = p->beta};
    return swi_matrix_vector_run(&product);
}

bool swi_small_product(const sw_product *p) {
    if (p->alpha == 0 || (double)p->M * (double)p->N * (double)p->K > small_work)
        return false;
    if (p->M == 1 || p->N == 1)
        return small_vector(p);
    sw_kernel *const kernel = small_kernels[p->c_type][swi_cpu_level()];
    small_args args;
    if (!kernel || !small_plan(p, &args))
        return false;
    kernel(&args, 0, 1, NULL);
    return true;
}

#else

bool swi_small_product(const sw_product *p) {
    (void)p;
    return false;
}

#endif
#endif
