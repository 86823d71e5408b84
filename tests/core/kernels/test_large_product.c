/* Products of large matrices in f32 have the bits that gemm.h defines, for every number of threads. */
#include "support.h"

#include <math.h>

#include <swale/extend.h>
#include "core/kernels/large_product.h"
#include "core/kernels/squares.h"
#include "core/ops/levels.h"

enum { PART = 256 };

static const float gap = -12345; /* the numbers between the rows of C */

typedef struct sizes {
    int64_t M, N, K, extra; /* extra: the distance between rows */
} sizes;

typedef struct large_case {
    sw_product p;
    sw_array a, b, bias, before; /* before: C with beta = 1 */
} large_case;

/* A matrix as stored, [rows, width + extra], NaN between the rows: it must not be read. */
static sw_array stored(int64_t rows, int64_t width, int64_t extra, uint64_t seed) {
    sw_array a = test_filled(SW_F32, SW_SHAPE(rows, width + extra), -1, 1, seed);
    for (int64_t i = 0; i < rows * (width + extra); i++)
        if (i % (width + extra) >= width)
            ((float *)a.data)[i] = NAN;
    return a;
}

static large_case case_new(sizes s, bool ta, bool tb, double beta, bool with_bias) {
    large_case c = {.a = stored(ta ? s.K : s.M, ta ? s.M : s.K, s.extra, 1),
                    .b = stored(tb ? s.N : s.K, tb ? s.K : s.N, s.extra, 2),
                    .bias = test_filled(SW_F32, SW_SHAPE(s.N), -1, 1, 4),
                    .before = test_filled(SW_F32, SW_SHAPE(s.M, s.N + s.extra), -1, 1, 3)};
    c.p = (sw_product){.size = sizeof(sw_product),
                       .a_type = SW_F32,
                       .b_type = SW_F32,
                       .c_type = SW_F32,
                       .a_transposed = ta,
                       .b_transposed = tb,
                       .M = s.M,
                       .N = s.N,
                       .K = s.K,
                       .alpha = 1,
                       .beta = beta,
                       .A = c.a.data,
                       .B = c.b.data,
                       .lda = (ta ? s.M : s.K) + s.extra,
                       .ldb = (tb ? s.K : s.N) + s.extra,
                       .ldc = s.N + s.extra,
                       .bias = with_bias ? c.bias.data : NULL};
    return c;
}

static void case_free(large_case *c) {
    test_array_free(&c->a);
    test_array_free(&c->b);
    test_array_free(&c->bias);
    test_array_free(&c->before);
}

/* One element by the definition. */
static float reference(const large_case *c, int64_t m, int64_t n) {
    const sw_product *p = &c->p;
    const float *A = p->A, *B = p->B;
    volatile float sum = p->beta == 0 ? 0 : ((const float *)c->before.data)[m * p->ldc + n];
    float part = 0;
    for (int64_t k = 0; k < p->K; k++) {
        part = fmaf(p->a_transposed ? A[k * p->lda + m] : A[m * p->lda + k],
                    p->b_transposed ? B[n * p->ldb + k] : B[k * p->ldb + n], part);
        if ((k + 1) % PART == 0 || k + 1 == p->K) {
            sum = k < PART && p->beta == 0 ? part : sum + part;
            part = 0;
        }
    }
    return p->bias ? sum + ((const float *)p->bias)[n] : sum;
}

/* Runs the product in a new C. Between the rows of C nothing is written. */
static sw_array case_run(large_case *c) {
    const sw_product *p = &c->p;
    sw_array result = test_filled(SW_F32, SW_SHAPE(p->M, p->ldc), -1, 1, 3);
    for (int64_t i = 0; i < p->M * p->ldc; i++)
        if (i % p->ldc >= p->N || p->beta == 0) /* with beta = 0, C is not read */
            ((float *)result.data)[i] = i % p->ldc >= p->N ? gap : NAN;
    const size_t bytes = sw_product_scratch(p);
    sw_array scratch = sw_array_new(SW_U8, SW_SHAPE((int64_t)bytes));
    assert_true(bytes > 0);
    c->p.C = result.data;
    c->p.scratch = scratch.data;
    c->p.scratch_bytes = bytes;
    assert_int_equal(sw_product_run(p), SW_OK);
    sw_array_free(&scratch);
    return result;
}

/* Some elements in all parts of C, and those at the ends of rows and of columns. */
static void check_elements(const large_case *c, const sw_array *result) {
    const sw_product *p = &c->p;
    for (int64_t i = 0; i < p->M * p->ldc; i++) {
        const int64_t m = i / p->ldc, n = i % p->ldc;
        const float found = ((const float *)result->data)[i];
        if (n >= p->N
                ? found != gap
                : (i % 97 == 0 || m == 0 || m == p->M - 1 || n == 0 || n == p->N - 1) && found != reference(c, m, n))
            fail_msg("op(A) %c op(B) %c, %lld x %lld x %lld, beta %g: C[%lld,%lld] is %.9g, not %.9g",
                     p->a_transposed ? 't' : 'n', p->b_transposed ? 't' : 'n', (long long)p->M, (long long)p->N,
                     (long long)p->K, p->beta, (long long)m, (long long)n, (double)found,
                     (double)(n < p->N ? reference(c, m, n) : gap));
    }
}

static void check_case(sizes s, bool ta, bool tb, double beta, bool with_bias) {
    large_case c = case_new(s, ta, tb, beta, with_bias);
    assert_true(swi_large_product_fits(&c.p) == (sw_cpu_level() == 2));
    static const int threads[] = {1, 2, 3};
    sw_array first = {0};
    for (size_t i = 0; sw_cpu_level() == 2 && i < sizeof threads / sizeof *threads; i++) {
        sw_set_threads(threads[i]);
        sw_array result = case_run(&c);
        if (i == 0) {
            check_elements(&c, &result);
            first = result;
            continue;
        }
        assert_memory_equal(first.data, result.data, (size_t)(s.M * c.p.ldc) * sizeof(float));
        test_array_free(&result);
    }
    if (first.data)
        test_array_free(&first);
    case_free(&c);
}

static void check_all(void) {
    check_case((sizes){300, 607, 300, 3}, false, true, 0, true);
    check_case((sizes){163, 1200, 513, 0}, true, false, 0, false);
    check_case((sizes){257, 640, 384, 1}, false, false, 1, false);
    check_case((sizes){1541, 128, 257, 0}, true, true, 1, false);
    check_case((sizes){128, 4097, 129, 0}, false, true, 0, false);
    check_case((sizes){128, 512, 1024, 0}, false, false, 0, true); /* rows of A that are 4096 bytes apart are copied */
}

static void test_large_products_have_defined_bits(void **state) {
    (void)state;
    const int before = sw_threads();
    each_level(check_all);
    sw_set_threads(before);
}

static void test_squares_are_reported(void **state) {
    (void)state;
    const int before = sw_threads();
    for (int threads = 1; threads <= 2; threads++) {
        large_case c = case_new((sizes){700, 300, 300, 0}, true, false, 0, false);
        sw_array y = sw_array_new(SW_F32, SW_SHAPE(700, 300));
        double reported, whole;
        sw_squares *squares = swi_squares_new(SW_F32, 700 * 300);
        sw_set_threads(threads);
        swi_squares_begin(squares, y.data);
        c.p.C = y.data;
        c.p.squares = squares;
        c.p.scratch_bytes = sw_product_scratch(&c.p);
        c.p.scratch = sw_alloc(c.p.scratch_bytes + 1);
        assert_int_equal(sw_product_run(&c.p), SW_OK);
        int known = 0;
        for (int64_t i = 0; i < squares->tiles; i++)
            known += squares->known[i];
        assert_true(sw_cpu_level() == 0 || known > squares->tiles / 2);
        assert_int_equal(swi_squares_norm(squares, y.data, &reported), SW_OK);
        assert_int_equal(sw_vector_norm(SW_F32, 700 * 300, y.data, &whole), SW_OK);
        assert_true(reported == whole);
        swi_squares_free(squares);
        sw_free(c.p.scratch);
        sw_array_free(&y);
        case_free(&c);
    }
    sw_set_threads(before);
}

/* ---- Symmetric results, and sums with another matrix ---- */

typedef struct symmetric_case {
    int64_t n, k, extra;
    bool a_transposed, b_transposed;
    const swi_large_sum *sum; /* D is set by the test; NULL: none */
} symmetric_case;

/* An element on or below the diagonal by the definition. */
static float symmetric_reference(const large_case *c, const swi_large_sum *sum, int64_t m, int64_t n) {
    volatile float result = reference(c, m, n);
    if (sum && sum->D) {
        volatile float scaled = sum->alpha * result, added = sum->beta * sum->D[m * sum->ldd + n];
        result = scaled + added;
    }
    if (sum && m == n)
        result = result + sum->shift;
    return result;
}

/* Elements on and below the diagonal; those above it are copies, and nothing is written between the rows. */
static void check_symmetric_elements(const large_case *c, const swi_large_sum *sum, const float *C) {
    const int64_t n = c->p.M, ldc = c->p.ldc;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < ldc; j++) {
            const bool checked = (i * ldc + j) % 89 == 0 || i - j < 2 || i == n - 1 || j == 0;
            const float found = C[i * ldc + j], expected = j >= n    ? gap
                                                           : j > i   ? C[j * ldc + i]
                                                           : checked ? symmetric_reference(c, sum, i, j)
                                                                     : found;
            if (!(found == expected))
                fail_msg("n %lld, k %lld: C[%lld,%lld] is %.9g, not %.9g", (long long)n, (long long)c->p.K,
                         (long long)i, (long long)j, (double)found, (double)expected);
        }
}

/* The whole result, in a new C, for a scratch of `bytes` bytes. */
static sw_array symmetric_run(large_case *c, const swi_large_sum *sum, size_t bytes) {
    const sw_product *p = &c->p;
    sw_array result = test_filled(SW_F32, SW_SHAPE(p->M, p->ldc), -1, 1, 3);
    for (int64_t i = 0; i < p->M * p->ldc; i++)
        ((float *)result.data)[i] = i % p->ldc >= p->N ? gap : NAN;
    sw_array scratch = sw_array_new(SW_U8, SW_SHAPE((int64_t)bytes));
    memset(scratch.data, 0xff, bytes); /* NaN */
    c->p.C = result.data;
    c->p.scratch = scratch.data;
    c->p.scratch_bytes = bytes;
    assert_int_equal(swi_large_product(&c->p, sum), SW_OK);
    sw_array_free(&scratch);
    return result;
}

static void check_symmetric(symmetric_case s) {
    const int64_t n = s.n;
    large_case c = case_new((sizes){n, n, s.k, s.extra}, s.a_transposed, s.b_transposed, 0, false);
    c.p.symmetric = true;
    swi_large_sum sum = {0};
    if (s.sum) {
        sum = *s.sum;
        sum.D = sum.alpha != 0 ? (const float *)c.before.data : NULL;
        sum.ldd = n + s.extra;
    }
    const swi_large_sum *const added = s.sum ? &sum : NULL;
    sw_array first = {0};
    for (int threads = 1; threads <= 8; threads += threads < 4 ? 1 : 4) {
        sw_set_threads(threads);
        sw_array result = symmetric_run(&c, added, swi_large_product_workspace(&c.p));
        if (threads == 1) {
            check_symmetric_elements(&c, added, result.data);
            first = result;
            continue;
        }
        assert_memory_equal(first.data, result.data, (size_t)(n * c.p.ldc) * sizeof(float));
        test_array_free(&result);
    }
    test_array_free(&first);
    case_free(&c);
}

static void test_symmetric_results_have_defined_bits(void **state) {
    const int before = sw_threads();
    const swi_large_sum polynomial = {.alpha = 2.0315f, .beta = -4.775f, .shift = 3.4445f}, shift = {.shift = 0.5f};
    (void)state;
    if (sw_cpu_level() < 2)
        return;
    /* One group of rows and a part; a last square of one row; two panels; a column of squares that is cut. */
    check_symmetric((symmetric_case){608, 160, 0, false, true, NULL});
    check_symmetric((symmetric_case){577, 257, 3, true, false, &polynomial});
    check_symmetric((symmetric_case){672, 300, 1, false, false, &shift});
    check_symmetric((symmetric_case){1021, 129, 0, true, true, &polynomial});
    check_symmetric((symmetric_case){191, 3000, 2, false, true, &polynomial});
    sw_set_threads(before);
}

/* ---- Operands that are rounded to bf16 ---- */

/* Some numbers whose rounding, or whose products, are special cases: ties, subnormal numbers, products that are
 * subnormal, and numbers that round to Inf. */
static void add_special_numbers(sw_array *a, int64_t period) {
    static const float special[] = {0x1.01p0f, 0x1.03p0f,   -0x1.01p-3f, 0x1p-130f,  -0x1.fffffep-127f,
                                    0x1p-70f,  0x1.81p-64f, -0.0f,       -0x1p-126f, 0x1.fep60f};
    float *x = a->data;
    for (int64_t i = 0; i * period < sw_array_count(a); i++)
        if (!isnan(x[i * period])) /* between the rows */
            x[i * period] = special[(size_t)i % (sizeof special / sizeof *special)];
}

static void check_rounded(sizes s, bool ta, bool tb, bool symmetric) {
    large_case c = case_new(s, ta, tb, 0, false);
    add_special_numbers(&c.a, 37);
    add_special_numbers(&c.b, 41);
    c.p.rounded_to = SW_BF16;
    c.p.order = SW_BF16_PAIRS;
    c.p.symmetric = symmetric;
    for (int threads = 1; threads <= 2; threads++) {
        sw_set_threads(threads);
        sw_array result = symmetric_run(&c, NULL, swi_large_product_workspace(&c.p)),
                 expected = test_filled(SW_F32, SW_SHAPE(s.M, c.p.ldc), gap, gap, 1);
        sw_product p = c.p;
        p.C = expected.data;
        assert_int_equal(sw_product_run(&p), SW_OK);
        for (int64_t i = 0; i < s.M * c.p.ldc; i++)
            assert_true(i % c.p.ldc >= s.N || memcmp((float *)result.data + i, (float *)expected.data + i, 4) == 0);
        test_array_free(&result);
        test_array_free(&expected);
    }
    case_free(&c);
}

static void test_rounded_products_have_the_bits_of_products_in_bf16(void **state) {
    const int before = sw_threads();
    (void)state;
    if (sw_cpu_level() < 2)
        return;
    check_rounded((sizes){300, 607, 301, 3}, false, true, false);
    check_rounded((sizes){163, 1200, 513, 0}, true, false, false);
    check_rounded((sizes){257, 640, 384, 1}, false, false, false);
    check_rounded((sizes){608, 608, 257, 0}, false, true, true);
    check_rounded((sizes){477, 477, 300, 2}, true, false, true);
    check_rounded((sizes){1021, 1021, 129, 0}, false, false, true);
    sw_set_threads(before);
}

/* The workspace depends on neither the threads nor the level, and suffices for one thread. */
static void test_workspace_depends_on_the_product_alone(void **state) {
    const int before = sw_threads(), level = sw_cpu_level();
    large_case c = case_new((sizes){400, 416, 400, 0}, false, false, 0, false);
    const size_t bytes = swi_large_product_workspace(&c.p);
    (void)state;
    assert_true(level < 2 || (bytes >= sw_product_scratch(&c.p) / (size_t)before && bytes % SW_ALIGNMENT == 0));
    for (int threads = 1; threads <= 3; threads++)
        for (int other = 0; other <= level; other++) {
            sw_set_threads(threads);
            atomic_store(&swi_level, other);
            assert_int_equal(swi_large_product_workspace(&c.p), bytes);
        }
    atomic_store(&swi_level, level);
    sw_set_threads(before);
    c.p.K = 200; /* too few multiplications */
    assert_int_equal(swi_large_product_workspace(&c.p), 0);
    case_free(&c);
}

/* Lengths, alpha and beta for which another function computes the product. */
static void test_other_products_do_not_fit(void **state) {
    (void)state;
    static const sizes short_side[] = {{127, 2000, 2000, 0}, {2000, 127, 2000, 0}, {2000, 2000, 127, 0},
                                       {150, 160, 2000, 0},  {2000, 130, 2000, 0}, {200, 200, 16385, 0}};
    for (size_t i = 0; i < sizeof short_side / sizeof *short_side; i++) {
        const sizes s = short_side[i];
        const sw_product p = {.size = sizeof p,
                              .a_type = SW_F32,
                              .b_type = SW_F32,
                              .c_type = SW_F32,
                              .M = s.M,
                              .N = s.N,
                              .K = s.K,
                              .alpha = 1};
        assert_false(swi_large_product_fits(&p));
        assert_int_equal(sw_product_scratch(&p), 0);
    }
    /* If B alone is transposed, smaller products fit, too. */
    sw_product transposed = {.size = sizeof transposed,
                             .a_type = SW_F32,
                             .b_type = SW_F32,
                             .c_type = SW_F32,
                             .b_transposed = true,
                             .M = 768,
                             .N = 128,
                             .K = 128,
                             .alpha = 1};
    assert_true(swi_large_product_fits(&transposed) == (sw_cpu_level() == 2));
    transposed.K = 512;
    assert_true(swi_large_product_fits(&transposed) == (sw_cpu_level() == 2)); /* 5.03e7 */
    transposed.M = 384;
    assert_false(swi_large_product_fits(&transposed));
    transposed.K = 128;
    transposed.M = 480;
    assert_false(swi_large_product_fits(&transposed));
    sw_product p = {.size = sizeof p,
                    .a_type = SW_F32,
                    .b_type = SW_F32,
                    .c_type = SW_F32,
                    .M = 512,
                    .N = 512,
                    .K = 512,
                    .alpha = 1};
    assert_true(swi_large_product_fits(&p) == (sw_cpu_level() == 2));
    float number = 0;
    p.scratch = &number; /* less than one thread needs */
    p.scratch_bytes = sizeof number;
    p.A = p.B = p.C = &number;
    p.lda = p.ldb = p.ldc = 512;
    if (sw_cpu_level() == 2) {
        assert_int_equal(sw_product_run(&p), SW_ERR_ARGUMENT);
        sw_clear_error();
    }
    p.alpha = 2;
    assert_false(swi_large_product_fits(&p));
    p.alpha = 1;
    p.beta = 0.5;
    assert_false(swi_large_product_fits(&p));
    p.beta = 0;
    p.a_type = p.b_type = p.c_type = SW_F64;
    assert_false(swi_large_product_fits(&p));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_products_have_defined_bits),
        cmocka_unit_test(test_squares_are_reported),
        cmocka_unit_test(test_symmetric_results_have_defined_bits),
        cmocka_unit_test(test_rounded_products_have_the_bits_of_products_in_bf16),
        cmocka_unit_test(test_workspace_depends_on_the_product_alone),
        cmocka_unit_test(test_other_products_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
