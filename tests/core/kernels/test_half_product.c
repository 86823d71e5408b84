/* Products of f16 and bf16 have the bits of a reference in plain C, on every level and with the instructions for bf16:
 * sizes at which blocks, panels, tiles and parts end; transpositions; numbers near and outside the limits. */
#include "product_reference.h"

#include "core/kernels/dispatch.h"
#include "core/kernels/half_product.h"

static const sw_dtype types[3] = {SW_F32, SW_F16, SW_BF16};

/* Selects the kernels of this processor, one after the other: the baseline, and each higher level without and with the
 * instructions that are not part of a level. */
static bool use_kernels(int index) {
    static int best = -1;
    if (best < 0)
        best = sw_cpu_level();
    const bool more = index <= 2 * best;
    atomic_store(&swi_level, more ? (index + 1) / 2 : best);
    atomic_store(&swi_instructions, more && index % 2 == 1 ? 0 : swi_cpu_instructions());
    return more;
}

/* ---- Numbers ---- */

typedef enum numbers { ORDINARY, ANY_BITS, SMALL_PRODUCTS, LARGE_PRODUCTS } numbers;

/* Fills n elements. ANY_BITS: all patterns, among them Inf, NaN and subnormal numbers. SMALL_PRODUCTS: products and
 * sums around 2^-126. LARGE_PRODUCTS: around 2^128, of both signs. */
static void fill(sw_dtype type, void *data, int64_t n, numbers kind, uint64_t *seed) {
    for (int64_t i = 0; i < n; i++) {
        const uint64_t bits = test_random(seed);
        double x = (double)(int64_t)(bits % 512) / 256 - 1;
        if (kind == SMALL_PRODUCTS || kind == LARGE_PRODUCTS) {
            const int exponent = (int)(bits >> 40 & 7) - 4 + (kind == SMALL_PRODUCTS ? -62 : 64);
            x = ldexp(x, type == SW_F16 ? (int)(bits >> 40 & 7) : exponent);
        } else if (kind == ANY_BITS && type != SW_F32) {
            ((uint16_t *)data)[i] = (uint16_t)(bits >> 20);
            continue;
        } else if (kind == ORDINARY) {
            x = test_uniform(seed, -1, 1);
        }
        sw_number_to_float(type, data, i, x);
    }
}

typedef struct matrices {
    sw_product p;
    sw_array a, b, c, before;
} matrices;

static matrices matrices_new(sw_dtype a_type, sw_dtype b_type, sw_dtype c_type, int form, int64_t M, int64_t N,
                             int64_t K, numbers kind, uint64_t seed) {
    const bool ta = form & 1, tb = form & 2;
    matrices m = {.a = test_array(a_type, SW_SHAPE(ta ? K : M, (ta ? M : K) + 1)),
                  .b = test_array(b_type, SW_SHAPE(tb ? N : K, (tb ? K : N) + 2)),
                  .c = test_array(c_type, SW_SHAPE(M, N + 3)),
                  .before = test_array(c_type, SW_SHAPE(M, N + 3))};
    fill(a_type, m.a.data, sw_array_count(&m.a), kind, &seed);
    fill(b_type, m.b.data, sw_array_count(&m.b), kind, &seed);
    fill(c_type, m.c.data, sw_array_count(&m.c), ORDINARY, &seed);
    memcpy(m.before.data, m.c.data, (size_t)sw_array_count(&m.c) * sw_dtype_size(c_type));
    m.p = (sw_product){.size = sizeof m.p,
                       .a_type = a_type,
                       .b_type = b_type,
                       .c_type = c_type,
                       .a_transposed = ta,
                       .b_transposed = tb,
                       .M = M,
                       .N = N,
                       .K = K,
                       .alpha = 1,
                       .A = m.a.data,
                       .B = m.b.data,
                       .C = m.c.data,
                       .lda = m.a.shape[1],
                       .ldb = m.b.shape[1],
                       .ldc = m.c.shape[1]};
    return m;
}

static void matrices_free(matrices *m) {
    free(m->a.data), free(m->b.data), free(m->c.data), free(m->before.data);
}

static void check_element(const matrices *m, int64_t i, int64_t j, const void *expected) {
    const size_t size = sw_dtype_size(m->p.c_type);
    const char *got = (const char *)m->c.data + (size_t)(i * m->p.ldc + j) * size;
    if (memcmp(got, expected, size) == 0 ||
        (reference_is_nan(m->p.c_type, got) && reference_is_nan(m->p.c_type, expected)))
        return;
    fail_msg("%s%s x %s%s to %s, %lld x %lld x %lld, %s: C[%lld,%lld] is %.9g, not %.9g", sw_dtype_name(m->p.a_type),
             m->p.a_transposed ? "'" : "", sw_dtype_name(m->p.b_type), m->p.b_transposed ? "'" : "",
             sw_dtype_name(m->p.c_type), (long long)m->p.M, (long long)m->p.N, (long long)m->p.K, sw_cpu_name(),
             (long long)i, (long long)j, sw_element_to_number(m->p.c_type, got, 0),
             sw_element_to_number(m->p.c_type, expected, 0));
}

/* Compares, on every level, all elements of small products, or one element of each row and column of large ones, and
 * the memory between the rows. */
static void check_order(matrices *m) {
    const int64_t M = m->p.M, N = m->p.N, longest = M > N ? M : N;
    const bool all = (double)M * (double)N * (double)m->p.K < 12000;
    const int64_t count = all ? M * N : longest;
    const size_t size = sw_dtype_size(m->p.c_type), bytes = (size_t)sw_array_count(&m->c) * size;
    char *expected = calloc((size_t)count, size);
    assert_non_null(expected);
    for (int kernels = 0; use_kernels(kernels); kernels++) {
        memcpy(m->c.data, m->before.data, bytes);
        assert_int_equal(sw_product_run(&m->p), SW_OK);
        for (int64_t e = 0; e < count; e++) {
            const int64_t i = all ? e / N : e % M, j = all ? e % N : (e * 7 + e / M) % N;
            if (kernels == 0 || m->p.order == SW_BF16_DEFAULT) /* the default depends on the kernels */
                reference_element(&m->p, m->before.data, i, j, expected + (size_t)e * size);
            check_element(m, i, j, expected + (size_t)e * size);
        }
        for (int64_t i = 0; i < M; i++) {
            const size_t gap = (size_t)(i * m->p.ldc + N) * size;
            assert_memory_equal((char *)m->c.data + gap, (char *)m->before.data + gap, 3 * size);
        }
    }
    free(expected);
}

/* The same in both orders, if the types have two. */
static void check(matrices *m) {
    m->p.order = SW_BF16_TILES;
    if (reference_tiles(&m->p))
        check_order(m);
    m->p.order = SW_BF16_PAIRS;
    check_order(m);
}

static void check_all_types(int64_t M, int64_t N, int64_t K, numbers kind) {
    for (int k = 1; k < 9; k++)
        for (int form = 0; form < 4; form++) {
            matrices m =
                matrices_new(types[k / 3], types[k % 3], SW_F32, form, M, N, K, kind, (uint64_t)(97 * k + form));
            check(&m);
            matrices_free(&m);
        }
}

/* ---- Tests ---- */

static void test_small_sizes(void **state) {
    (void)state;
    static const int64_t lengths[] = {1, 2, 3, 13, 17, 33};
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++)
            check_all_types(lengths[i], lengths[j], lengths[(i + 3 * j) % 5], ORDINARY);
}

/* Parts of 256 terms, groups of 16 and strips of 32 columns, panels of 64 and 128, blocks of 12 rows, tiles of 256, and
 * tiles that are cut smaller because there are few. */
static void test_large_sizes(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{5, 40, 255},   {5, 40, 256},   {6, 40, 257},   {25, 65, 512},  {24, 64, 513},
                                       {23, 129, 30},  {37, 127, 31},  {257, 20, 40},  {256, 128, 64}, {40, 300, 31},
                                       {64, 100, 784}, {100, 784, 64}, {513, 33, 258}, {1, 300, 300},  {300, 1, 300},
                                       {1, 100, 785},  {2, 65, 513},   {2, 33, 31},    {700, 16, 20},  {20, 330, 20}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_all_types(sizes[i][0], sizes[i][1], sizes[i][2], ORDINARY);
}

static void test_long_sums(void **state) {
    (void)state;
    check_all_types(3, 18, 16384, ORDINARY);
    check_all_types(3, 18, 16385, ORDINARY);
    check_all_types(1, 40, 16385, ORDINARY);
    matrices m = matrices_new(SW_BF16, SW_BF16, SW_BF16, 2, 130, 40, 17001, ORDINARY, 4); /* more than one tile */
    check(&m);
    matrices_free(&m);
}

static void test_extreme_numbers(void **state) {
    (void)state;
    for (int kind = ANY_BITS; kind <= LARGE_PRODUCTS; kind++) {
        check_all_types(40, 64, 2, (numbers)kind);
        check_all_types(13, 33, 9, (numbers)kind);
        check_all_types(1, 35, 9, (numbers)kind);
        check_all_types(2, 20, 300, (numbers)kind);
        check_all_types(12, 32, 300, (numbers)kind);
    }
}

/* Operands in f32 that are rounded to 16 bits, alone and beside operands in 16 bits. The sizes end panels, strips and
 * blocks; some make the transposed product faster, and some have one or two rows. */
static void test_rounded_operands(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{13, 33, 9},   {40, 65, 258}, {37, 130, 31},
                                       {270, 20, 40}, {1, 35, 300},  {2, 40, 33}};
    static const sw_dtype operands[5][2] = {
        {SW_F32, SW_F32}, {SW_F32, SW_BF16}, {SW_BF16, SW_F32}, {SW_F32, SW_F16}, {SW_F16, SW_F32}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int k = 0; k < 40; k++)
            for (int kind = ORDINARY; kind <= LARGE_PRODUCTS; kind++) {
                if (kind != ORDINARY && i > 1)
                    continue;
                const sw_dtype *type = operands[k / 8];
                matrices m = matrices_new(type[0], type[1], SW_F32, k % 4, sizes[i][0], sizes[i][1], sizes[i][2],
                                          (numbers)kind, (uint64_t)(k + 50 * kind));
                m.p.rounded_to = k / 4 % 2 ? SW_F16 : SW_BF16;
                check(&m);
                matrices_free(&m);
            }
}

/* Numbers in f32 around those that become 0 or Inf, or lie between two bf16. */
static void test_rounding_of_f32(void **state) {
    (void)state;
    static const uint32_t bits[] = {0,          0x80000000, 1,          0x007FFFFF, 0x807FFFFF, 0x00800000,
                                    0x00808000, 0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0x7F7F7FFF,
                                    0x7F7F8000, 0x7F800000, 0xFF800000, 0x477FEFFF, 0x477FF000, 0x33000000,
                                    0x33000001, 0x33C00000, 0x387FE000, 0x387FF000, 0x38800000, 0xB8801000};
    enum { COUNT = sizeof bits / sizeof *bits };
    for (int k = 0; k < 8; k++) {
        matrices m = matrices_new(SW_F32, SW_F32, SW_F32, k % 4, COUNT, 40, 1, ORDINARY, 1);
        m.p.rounded_to = k / 4 ? SW_F16 : SW_BF16;
        for (int i = 0; i < COUNT; i++)
            ((float *)m.a.data)[m.p.a_transposed ? i : i * m.p.lda] = sw_f32_from_bits(bits[i]);
        for (int64_t i = 0; i < sw_array_count(&m.b); i++)
            ((float *)m.b.data)[i] = 1;
        check(&m);
        matrices_free(&m);
    }
}

/* A Aᵀ, with the elements above the diagonal equal to those below. check() compares the former with their own sums. */
static void test_symmetric_results(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 5}, {2, 40}, {17, 9}, {33, 258}, {130, 40}, {300, 30}, {70, 16400}};
    const int before = sw_threads();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int k = 0; k < 24; k++) {
            const sw_dtype type = types[k % 3], c_type = types[k / 6 % 2 ? 0 : k % 3];
            const int64_t M = sizes[i][0], K = sizes[i][1];
            matrices m = matrices_new(type, type, c_type, k / 3 % 2 ? 1 : 2, M, M, K, ORDINARY, (uint64_t)k);
            m.p.symmetric = true;
            m.p.rounded_to = k % 6 < 3 ? SW_BF16 : SW_F16;
            m.p.B = m.p.A, m.p.ldb = m.p.lda;
            if (k >= 12) {
                m.p.alpha = -0.75, m.p.beta = 0.5;
                for (int64_t r = 0; r < M; r++)
                    for (int64_t c = 0; c < r; c++) {
                        const double x = test_get(&m.c, r * m.p.ldc + c);
                        test_set(&m.c, c * m.p.ldc + r, x), test_set(&m.before, c * m.p.ldc + r, x);
                    }
            }
            assert_int_equal(sw_set_threads(1 + k % 3), SW_OK);
            check(&m);
            matrices_free(&m);
        }
    assert_int_equal(sw_set_threads(before), SW_OK);
}

/* Half of an almost symmetric result is not computed: the lower one counts. */
static void test_symmetric_result_is_a_copy(void **state) {
    (void)state;
    matrices m = matrices_new(SW_F32, SW_F32, SW_F32, 0, 300, 300, 20, ORDINARY, 3);
    m.p.rounded_to = SW_BF16, m.p.symmetric = true;
    for (int kernels = 0; use_kernels(kernels); kernels++) {
        assert_int_equal(sw_product_run(&m.p), SW_OK);
        for (int64_t r = 0; r < 300; r++)
            for (int64_t c = 0; c <= r; c++) {
                float expected;
                reference_element(&m.p, m.before.data, r, c, &expected);
                assert_true(((float *)m.c.data)[r * m.p.ldc + c] == expected);
                assert_true(((float *)m.c.data)[c * m.p.ldc + r] == expected);
            }
    }
    matrices_free(&m);
}

/* Every rounding to the type of C, with alpha and beta, and results whose 16-bit form is subnormal. */
static void test_stored_results(void **state) {
    (void)state;
    static const double factors[][2] = {{1, 0}, {0, 1}, {0, 0}, {-0.75, 0.5}, {1e-5, 1}, {1e-6, 0}, {3, -1}};
    for (int k = 0; k < 27; k++)
        for (int f = 0; f < 7; f++)
            for (int narrow = 0; narrow < 2; narrow++) {
                if (k == 0)
                    continue;
                matrices m = matrices_new(types[k / 9], types[k / 3 % 3], types[k % 3], k % 4, 20, narrow ? 3 : 21, 15,
                                          ORDINARY, (uint64_t)k);
                m.p.alpha = factors[f][0], m.p.beta = factors[f][1];
                check(&m);
                matrices_free(&m);
            }
}

/* Sums that can be computed by hand. They depend on the order within a pair, on products that are not rounded, and on
 * subnormal numbers that are replaced by 0. */
static void test_order_of_a_pair(void **state) {
    (void)state;
    static const struct {
        double a[4], b[4];
        float sum;
    } cases[] = {
        {{0x1p-30, 1, 0, 0}, {1, 1, 0, 0}, 1},                         /* 1, then 1 + 2^-30 = 1 */
        {{0x1p-30, 1, 0, -1}, {1, 1, 0, 1}, 0},                        /* … - 1 */
        {{1, 0x1p-30, 0, -1}, {1, 1, 0, 1}, 0},                        /* 2^-30, then 1 */
        {{0x1p-30, 0, 1, -1}, {1, 0, 1, 1}, 0},                        /* 2^-30 - 1 = -1, + 1 */
        {{1, -1, 0x1p-30, 0}, {1, 1, 1, 0}, 0x1p-30f},                 /* -1 + 1 + 2^-30 */
        {{0x1p100, -0x1p100, 0, 0}, {0x1p28, 0x1p27, 0, 0}, 0x1p127f}, /* -2^127 + 2^128, whose product alone is Inf */
        {{0x1p-70, 0x1p-70, 0, 0}, {0x1p-70, 0x1p-70, 0, 0}, 0},       /* below 2^-126 */
        {{0x1p-63, 0, -0x1.8p-63, 0}, {0x1p-63, 0, 0x1p-63, 0}, 0},    /* 2^-126 - 1.5 · 2^-126 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        matrices m = matrices_new(SW_BF16, SW_BF16, SW_F32, 0, 1, 1, 4, ORDINARY, 1);
        m.p.ldb = 1;
        for (int k = 0; k < 4; k++) {
            test_set(&m.a, k, cases[i].a[k]);
            test_set(&m.b, k, cases[i].b[k]);
        }
        check(&m);
        assert_true(*(float *)m.c.data == cases[i].sum);
        matrices_free(&m);
    }
}

/* The same for SW_BF16_TILES: two chains, of even and odd terms, in each 32 terms. */
static void test_order_of_a_tile(void **state) {
    (void)state;
    static const struct {
        int k[4]; /* terms that are not 0 */
        double a[4];
        float sum;
    } cases[] = {
        {{0, 1, 2, 3}, {1, 0x1p-30, -1, 0}, 0x1p-30f},          /* 1 - 1, and 2^-30 in the other chain */
        {{0, 1, 2, 4}, {1, -1, 0x1p-30, 0}, 0},                 /* 1 + 2^-30 = 1, - 1 */
        {{0, 30, 31, 32}, {1, 0x1p-30, -1, 0x1p-30}, 0x1p-30f}, /* 1 - 1, then the next 32 */
        {{0, 32, 34, 64}, {1, -1, 0x1p-30, 0}, 0},              /* 1, then -1 + 2^-30 = -1 */
        {{0, 32, 64, 65}, {1, 0x1p-30, -1, 0}, 0},              /* 1 + 2^-30 = 1, - 1 */
        {{0, 32, 64, 66}, {-1, 1, 0x1p-30, 0}, 0x1p-30f},
        {{0, 255, 256, 300}, {1, -1, 0x1p-30, 0}, 0x1p-30f},
        {{0, 256, 257, 300}, {0x1p-30, 1, -1, 0}, 0x1p-30f}, /* 2^-30 + (1 - 1) */
    };
    enum { K = 301 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int kernels = 0; use_kernels(kernels); kernels++) {
            matrices m = matrices_new(SW_BF16, SW_BF16, SW_F32, 0, 3, 40, K, ORDINARY, 1);
            m.p.order = SW_BF16_TILES;
            memset(m.a.data, 0, (size_t)sw_array_count(&m.a) * 2);
            for (int64_t b = 0; b < sw_array_count(&m.b); b++)
                test_set(&m.b, b, 1);
            for (int64_t row = 0; row < 3; row++)
                for (int k = 0; k < 4; k++)
                    test_set(&m.a, row * m.p.lda + cases[i].k[k], cases[i].a[k]);
            assert_int_equal(sw_product_run(&m.p), SW_OK);
            for (int64_t c = 0; c < 120; c++)
                assert_true(((float *)m.c.data)[c / 40 * m.p.ldc + c % 40] == cases[i].sum);
            matrices_free(&m);
        }
}

/* A product without an order has that of the process, and one with an order keeps it. */
static void test_default_order(void **state) {
    (void)state;
    for (int set = SW_BF16_DEFAULT; set <= SW_BF16_TILES; set++)
        for (int order = SW_BF16_DEFAULT; order <= SW_BF16_TILES; order++) {
            matrices m = matrices_new(SW_BF16, SW_BF16, SW_F32, 0, 12, 35, 400, ORDINARY, 4);
            assert_int_equal(sw_set_bf16_order((sw_bf16_order)set), SW_OK);
            m.p.order = (sw_bf16_order)order;
            check_order(&m);
            matrices_free(&m);
        }
    assert_int_equal(sw_set_bf16_order(SW_BF16_DEFAULT), SW_OK);
}

/* The relative error of a part of 256 terms of one sign is at most 256 · 2^-24. The sum of parts adds 64 · 2^-24 in
 * f32, or 2^-24 in f64. In the order SW_BF16_TILES two chains of 16 terms and their sum have 17 · 2^-24; the 512 sums
 * of 16384 terms add as many, or those of parts of 256 terms 8. */
static void test_accuracy_of_sums(void **state) {
    (void)state;
    static const double bounds[2][2] = {{320, 257}, {18 + 512, 27}};
    for (int form = 0; form < 4; form++) {
        const bool long_sum = form % 2, tiles = form / 2;
        const int64_t K = long_sum ? 300000 : 16384;
        matrices m = matrices_new(SW_BF16, tiles ? SW_BF16 : SW_F16, SW_F32, 2, 2, 2, K, ORDINARY, 9);
        m.p.order = tiles ? SW_BF16_TILES : SW_BF16_PAIRS;
        for (int64_t i = 0; i < sw_array_count(&m.a); i++)
            test_set(&m.a, i, fabs(test_get(&m.a, i)));
        for (int64_t i = 0; i < sw_array_count(&m.b); i++)
            test_set(&m.b, i, fabs(test_get(&m.b, i)));
        assert_int_equal(sw_product_run(&m.p), SW_OK);
        double sum = 0;
        for (int64_t k = 0; k < K; k++)
            sum += test_get(&m.a, k) * test_get(&m.b, k);
        assert_true(fabs((double)*(float *)m.c.data - sum) <= bounds[tiles][long_sum] * 0x1p-24 * sum);
        matrices_free(&m);
    }
}

static void test_threads_do_not_change_bits(void **state) {
    (void)state;
    const int before = sw_threads();
    for (int k = 1; k < 9; k++)
        for (int form = 0; form < 4; form++) {
            matrices one = matrices_new(types[k / 3], types[k % 3], SW_BF16, form, 200, 170, 300, ORDINARY, 5);
            assert_int_equal(sw_set_threads(1), SW_OK);
            assert_int_equal(sw_product_run(&one.p), SW_OK);
            for (int threads = 2; threads <= 8; threads *= 2) {
                matrices many = matrices_new(types[k / 3], types[k % 3], SW_BF16, form, 200, 170, 300, ORDINARY, 5);
                assert_int_equal(sw_set_threads(threads), SW_OK);
                assert_int_equal(sw_product_run(&many.p), SW_OK);
                assert_memory_equal(one.c.data, many.c.data, (size_t)sw_array_count(&one.c) * 2);
                matrices_free(&many);
            }
            matrices_free(&one);
        }
    assert_int_equal(sw_set_threads(before), SW_OK);
}

/* The mode of the caller is the same afterwards, and does not change the bits of sums. */
static void test_mode_of_arithmetic_is_kept(void **state) {
    (void)state;
    const unsigned before = sw_subnormals_flush();
    sw_subnormals_restore(before);
    matrices m = matrices_new(SW_BF16, SW_BF16, SW_F32, 1, 30, 40, 50, SMALL_PRODUCTS, 3);
    check(&m);
    const unsigned again = sw_subnormals_flush();
    sw_subnormals_restore(again);
    assert_int_equal(before, again);
    volatile float tiny = 0x1p-126f;
    assert_true(tiny / 2 > 0);
    matrices_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_small_sizes),
                                       cmocka_unit_test(test_large_sizes),
                                       cmocka_unit_test(test_long_sums),
                                       cmocka_unit_test(test_extreme_numbers),
                                       cmocka_unit_test(test_rounded_operands),
                                       cmocka_unit_test(test_rounding_of_f32),
                                       cmocka_unit_test(test_symmetric_results),
                                       cmocka_unit_test(test_symmetric_result_is_a_copy),
                                       cmocka_unit_test(test_stored_results),
                                       cmocka_unit_test(test_order_of_a_pair),
                                       cmocka_unit_test(test_order_of_a_tile),
                                       cmocka_unit_test(test_default_order),
                                       cmocka_unit_test(test_accuracy_of_sums),
                                       cmocka_unit_test(test_threads_do_not_change_bits),
                                       cmocka_unit_test(test_mode_of_arithmetic_is_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
