/* Orthogonalization by Newton-Schulz iterations: the formulas are in newton_schulz.h.
 *
 * The direct form needs, for X [n, m] with n ≤ m, the products A = XXᵀ and A², whose results are symmetric, and one
 * full product with X in each iteration: n²m/2 + n³/2 + n²m multiplications.
 *
 * The Gram form multiplies in [n, n] alone. With P = aI + bA + cA², the next X is PX, so that the next A is PAP, and
 * after some iterations X is QX, where Q is the product of all P. All are polynomials of the first A: they commute, and
 * all products are symmetric, which halves them. Each iteration but the last needs A², PQ, AP and P(AP), hence 2n³
 * multiplications, and n²m/2 + n²m are needed once.
 *
 * Rounding errors in the Gram form: an eigenvalue of A that should be 0 is ±δ, with δ near the rounding error of the
 * products, and is multiplied by a² in each iteration. Far below 0, the polynomial would grow without bound. Therefore
 * A is computed again from X after GRAM iterations, where a negative eigenvalue is at most a^(2·(GRAM - 1)) δ: 2e4 δ,
 * or 1e-3 in f32. With products in bf16 and 5 iterations, singular values of matrices near rank 1 would grow to 1e4;
 * after GRAM_BF16 iterations, an eigenvalue of -140 δ is still harmless. The order matters too: in AP², errors between
 * the largest eigenvalue and 0 would grow by a², and not by a as in P(AP). */
#include <swale/gemm.h>
#include <swale/matrix.h>
#include <swale/memory.h>
#include <swale/newton_schulz.h>
#include <swale/status.h>
#include <swale/vector.h>

#include "core/base/dry_run_state.h"
#include "core/kernels/dispatch.h"
#include "core/kernels/large_product.h"
#include "core/matrix/square.h"
#include "core/matrix/symmetric_result.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { GRAM = 5, GRAM_BF16 = 3 }; /* iterations of the Gram form between products with X */

static const sw_newton_schulz_options JORDAN = {
    .size = sizeof(sw_newton_schulz_options), .iterations = 5, .a = 3.4445, .b = -4.7750, .c = 2.0315};

/* X is [rows, columns]; n is the shorter side. */
typedef struct iteration {
    sw_dtype type;
    int64_t rows, columns, n;
    bool tall, gram, bf16;
    int iterations;
    double a, b, c;
    char *square[4]; /* [n, n] each; the direct form has two */
    void *scratch;   /* of swi_large_product */
    size_t scratch_bytes;
} iteration;

/* ---- Matrices ---- */

static size_t aligned(size_t bytes) {
    return (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

static size_t iteration_bytes(const iteration *s, int64_t rows, int64_t columns) {
    return aligned((size_t)rows * (size_t)columns * sw_dtype_size(s->type));
}

static void copy_square(const iteration *s, const void *from, void *to) {
    sw_vector_convert(s->type, s->n * s->n, from, s->type, to);
}

/* M ← M + aI */
static void add_to_diagonal(const iteration *s, void *M) {
    for (int64_t i = 0; i < s->n; i++) {
        if (s->type == SW_F32)
            ((float *)M)[i * (s->n + 1)] += (float)s->a;
        else
            ((double *)M)[i * (s->n + 1)] += s->a;
    }
}

/* C ← op(A) op(B); the caller sets the other members. */
static sw_product product_of(const iteration *s, int64_t M, int64_t N, int64_t K, const void *A, int64_t lda,
                             const void *B, int64_t ldb, void *C, int64_t ldc) {
    return (sw_product){.size = sizeof(sw_product),
                        .a_type = s->type,
                        .b_type = s->type,
                        .c_type = s->type,
                        .M = M,
                        .N = N,
                        .K = K,
                        .alpha = 1,
                        .A = A,
                        .B = B,
                        .C = C,
                        .lda = lda,
                        .ldb = ldb,
                        .ldc = ldc,
                        .scratch = s->scratch,
                        .scratch_bytes = s->scratch_bytes,
                        .rounded_to = s->bf16 ? SW_BF16 : SW_F32};
}

/* A ← XXᵀ or XᵀX */
static sw_product gram_product(const iteration *s, const void *X, void *A) {
    sw_product p = product_of(s, s->n, s->n, s->tall ? s->rows : s->columns, X, s->columns, X, s->columns, A, s->n);
    p.a_transposed = s->tall;
    p.b_transposed = !s->tall;
    p.symmetric = true;
    return p;
}

/* C ← A B for symmetric A and B [n, n] that commute. */
static sw_product square_product(const iteration *s, const void *A, const void *B, void *C) {
    sw_product p = product_of(s, s->n, s->n, s->n, A, s->n, B, s->n, C, s->n);
    p.symmetric = true;
    return p;
}

/* result ← P X or X P */
static sw_product x_product(const iteration *s, const void *P, const void *X, void *result) {
    return s->tall ? product_of(s, s->rows, s->n, s->n, X, s->n, P, s->n, result, s->n)
                   : product_of(s, s->n, s->columns, s->n, P, s->n, X, s->columns, result, s->columns);
}

/* Whether products of bf16 may be computed by the multiply-additions of f32, because other instructions are slower. */
static bool bf16_by_f32(void) {
    return !swi_cpu_has(SWI_CPU_BF16) && !swi_cpu_has(SWI_CPU_AMX);
}

/* Whether swi_large_product computes a product. */
static bool is_large(const iteration *s, const sw_product *p) {
    const bool fits = s->type == SW_F32 && !swi_dry_run() && swi_large_product_fits(p);
    return fits && (!s->bf16 || (bf16_by_f32() && sw_bf16_order_used() == SW_BF16_PAIRS));
}

/* C ← A B for symmetric A and B [n, n] that commute. Except in swi_large_product, products with Bᵀ = B are faster. */
static sw_status multiply_squares(const iteration *s, const void *A, const void *B, void *C) {
    sw_product p = square_product(s, A, B, C);
    if (is_large(s, &p))
        return swi_large_product(&p, NULL);
    p.b_transposed = true;
    if (s->bf16)
        return sw_product_run(&p);
    if (A == B)
        return sw_symmetric_product(s->type, false, s->n, s->n, 1, A, s->n, 0, C, s->n);
    return swi_symmetric_result(s->type, s->n, A, s->n, B, s->n, C, s->n);
}

/* A ← XXᵀ or XᵀX */
static sw_status multiply_gram(const iteration *s, const void *X, void *A) {
    const sw_product p = gram_product(s, X, A);
    if (is_large(s, &p))
        return swi_large_product(&p, NULL);
    return s->bf16 ? sw_product_run(&p) : sw_symmetric_product(s->type, s->tall, s->n, p.K, 1, X, p.lda, 0, A, s->n);
}

/* result ← P X or X P */
static sw_status multiply_x(const iteration *s, const void *P, const void *X, void *result) {
    const sw_product p = x_product(s, P, X, result);
    return is_large(s, &p) ? swi_large_product(&p, NULL) : sw_product_run(&p);
}

/* P ← aI + bA + cA² */
static sw_status polynomial(const iteration *s, const void *A, void *P) {
    const int64_t n = s->n;
    sw_product p = square_product(s, A, A, P);
    if (is_large(s, &p)) {
        const swi_large_sum sum = {A, n, (float)s->c, (float)s->b, (float)s->a};
        return swi_large_product(&p, &sum);
    }
    copy_square(s, A, P);
    p.b_transposed = true;
    p.alpha = s->c;
    p.beta = s->b;
    SW_TRY(s->bf16 ? sw_product_run(&p) : sw_symmetric_product(s->type, false, n, n, s->c, A, n, s->b, P, n));
    add_to_diagonal(s, P);
    return SW_OK;
}

/* to ← X/(‖X‖_F + ε), in two steps if the factor or its inverse is outside the range of the type. */
static sw_status normalize(const iteration *s, const void *X, double eps, void *to) {
    const int64_t count = s->rows * s->columns;
    const int most = s->type == SW_F32 ? 100 : 900;
    double norm;
    if (sw_vector_norm(s->type, count, X, &norm) != SW_OK)
        return sw_fail(SW_ERR_NONFINITE,
                       "newton_schulz: the matrix [%lld, %lld] contains Inf or NaN; its elements must be finite",
                       (long long)s->rows, (long long)s->columns);
    const double factor = norm > 0 ? 1 / (norm + eps) : 0;
    const int exponent = factor > 0 ? ilogb(factor) : 0;
    if (exponent >= -most && exponent <= most) {
        sw_vector_axpby(s->type, count, factor, X, 0, NULL, to);
        return SW_OK;
    }
    sw_vector_axpby(s->type, count, ldexp(1, exponent / 2), X, 0, NULL, to);
    sw_vector_axpby(s->type, count, ldexp(factor, -(exponent / 2)), to, 0, NULL, to);
    return SW_OK;
}

/* ---- The two forms ---- */

/* One iteration. */
static sw_status iterate_directly(const iteration *s, const void *X, void *result) {
    void *A = s->square[0], *P = s->square[1];
    SW_TRY(multiply_gram(s, X, A));
    SW_TRY(polynomial(s, A, P));
    return multiply_x(s, P, X, result);
}

/* `count` iterations. */
static sw_status iterate_on_gram(const iteration *s, int count, const void *X, void *result) {
    void *A = s->square[0], *P = s->square[1], *Q = s->square[2], *product = s->square[3];
    SW_TRY(multiply_gram(s, X, A));
    for (int k = 0; k < count; k++) {
        SW_TRY(polynomial(s, A, P));
        if (k == 0) {
            copy_square(s, P, Q);
        } else {
            SW_TRY(multiply_squares(s, P, Q, product)); /* Q ← P Q */
            void *other = Q;
            Q = product;
            product = other;
        }
        if (k + 1 < count) {
            SW_TRY(multiply_squares(s, A, P, product)); /* A ← P A P */
            SW_TRY(multiply_squares(s, P, product, A));
        }
    }
    return multiply_x(s, Q, X, result);
}

/* Iterations of which the result of each is the X of the next, in `result` and `other` by turns, so that the last
 * result is in `result`. */
static sw_status iterate(const iteration *s, const void *X, double eps, void *result, void *other) {
    const int step = !s->gram ? 1 : s->bf16 ? GRAM_BF16 : GRAM, rounds = (s->iterations + step - 1) / step;
    void *now = rounds % 2 == 0 ? result : other, *next = rounds % 2 == 0 ? other : result;
    SW_TRY(normalize(s, X, eps, now));
    for (int done = 0; done < s->iterations; done += step) {
        const int count = s->iterations - done < step ? s->iterations - done : step;
        SW_TRY(s->gram ? iterate_on_gram(s, count, now, next) : iterate_directly(s, now, next));
        void *last = now;
        now = next;
        next = last;
    }
    return SW_OK;
}

/* ---- The interface ---- */

static sw_status iteration_options(const sw_newton_schulz_options *given, sw_newton_schulz_options *o) {
    *o = JORDAN;
    if (!given)
        return SW_OK;
    SW_TRY(sw_options_copy("newton_schulz", "sw_newton_schulz_options", o, sizeof *o, given,
                           offsetof(sw_newton_schulz_options, eps) + sizeof o->eps));
    if (o->iterations == 0)
        o->iterations = JORDAN.iterations;
    if (o->a == 0 && o->b == 0 && o->c == 0) {
        o->a = JORDAN.a;
        o->b = JORDAN.b;
        o->c = JORDAN.c;
    }
    if (o->iterations < 0 || !(o->eps >= 0) || !isfinite(o->a + o->b + o->c))
        return sw_fail(SW_ERR_ARGUMENT,
                       "newton_schulz: iterations = %d, a = %g, b = %g, c = %g, eps = %g; iterations and eps must be 0 "
                       "or more, and the coefficients finite",
                       o->iterations, o->a, o->b, o->c, o->eps);
    return SW_OK;
}

/* The direct form costs 3nm/2 + n²/2 in an iteration, times n, and the Gram form 2n². The Gram form is chosen from 2:1
 * on: in f32 its products in [n, n] are smaller, and therefore slower. */
static iteration iteration_for(sw_dtype type, int64_t rows, int64_t columns, const sw_newton_schulz_options *o) {
    iteration s = {.type = type, .rows = rows, .columns = columns, .tall = rows > columns, .iterations = o->iterations};
    const int64_t longest = s.tall ? rows : columns;
    s.n = s.tall ? columns : rows;
    s.bf16 = o->products == SW_BF16;
    s.gram = longest >= 2 * s.n && o->iterations > 1;
    s.a = o->a;
    s.b = o->b;
    s.c = o->c;
    return s;
}

/* The bytes of the scratch: those of the product that needs most. */
static size_t iteration_scratch(const iteration *s) {
    const sw_product p[] = {gram_product(s, NULL, NULL), square_product(s, NULL, NULL, NULL),
                            x_product(s, NULL, NULL, NULL)};
    size_t most = 0;
    for (int i = 0; i < 3 && s->type == SW_F32 && (!s->bf16 || bf16_by_f32()); i++) {
        const size_t bytes = swi_large_product_workspace(&p[i]);
        most = bytes > most ? bytes : most;
    }
    return aligned(most);
}

size_t sw_newton_schulz_work(sw_dtype type, int64_t rows, int64_t columns, const sw_newton_schulz_options *options) {
    sw_newton_schulz_options o;
    if (iteration_options(options, &o) != SW_OK)
        return 0;
    const iteration s = iteration_for(type, rows, columns, &o);
    return iteration_bytes(&s, rows, columns) + (s.gram ? 4 : 2) * iteration_bytes(&s, s.n, s.n) +
           iteration_scratch(&s);
}

sw_status sw_newton_schulz(sw_dtype type, int64_t rows, int64_t columns, const void *X,
                           const sw_newton_schulz_options *options, void *result, void *work) {
    sw_newton_schulz_options o;
    if (!sw_dtype_is_computed(type))
        return sw_fail(SW_ERR_TYPE, "newton_schulz: the type is %s; f32 or f64 is needed", sw_dtype_name(type));
    SW_TRY(iteration_options(options, &o));
    if (o.products != SW_F32 && !(o.products == SW_BF16 && type == SW_F32))
        return sw_fail(SW_ERR_TYPE, "newton_schulz: products in %s of a matrix in %s; bf16 with f32 is possible",
                       sw_dtype_name(o.products), sw_dtype_name(type));
    if (rows < 0 || columns < 0)
        return sw_fail(SW_ERR_ARGUMENT, "newton_schulz: a matrix of %lld rows and %lld columns", (long long)rows,
                       (long long)columns);
    if (rows == 0 || columns == 0)
        return SW_OK;
    if (!swi_dry_run())
        SW_TRY(swi_matrix_pointers("newton_schulz", X, result, work, "sw_newton_schulz_work"));
    iteration s = iteration_for(type, rows, columns, &o);
    char *at = (char *)work + iteration_bytes(&s, rows, columns);
    for (int i = 0; i < (s.gram ? 4 : 2); i++, at += iteration_bytes(&s, s.n, s.n))
        s.square[i] = at;
    s.scratch_bytes = iteration_scratch(&s);
    s.scratch = s.scratch_bytes ? at : NULL;
    return iterate(&s, X, o.eps, result, work);
}
