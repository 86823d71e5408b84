/* Matrix products and the linear layer in f16 and bf16: sums in f32, in the order that gemm.h defines, and one
 * rounding, also where products are added to a bias or over a batch. */
#include "support.h"

#include "op_table.h"

#include "core/kernels/product_reference.h"
#include "half_cases.h"

extern atomic_int swi_level; /* see core/kernels/dispatch.h */

/* ---- linear ---- */

/* The product that `p` describes, in plain C, with the numbers of `bias` in each row of C if it is not NULL. */
static sw_array plain_product(sw_dtype type, const sw_product *p, const sw_array *bias, int rank,
                              const int64_t *shape) {
    sw_array c = test_array(type, rank, shape), before = test_array(type, rank, shape);
    for (int64_t m = 0; m < p->M; m++)
        for (int64_t n = 0; n < p->N; n++) {
            if (bias)
                ((uint16_t *)before.data)[m * p->ldc + n] = ((const uint16_t *)bias->data)[n];
            reference_element(p, before.data, m, n, (uint16_t *)c.data + m * p->ldc + n);
        }
    test_array_free(&before);
    return c;
}

/* Without gaps between rows. */
static void set_operands(sw_product *p, int64_t M, int64_t N, int64_t K, const void *A, const void *B) {
    p->M = M;
    p->N = p->ldc = N;
    p->K = K;
    p->A = A;
    p->B = B;
    p->lda = p->a_transposed ? M : K;
    p->ldb = p->b_transposed ? K : N;
}

static void check_linear(sw_dtype type, int64_t batch, int64_t time, int64_t in, int64_t out, bool with_bias) {
    sw_tape *tape = sw_tape_new();
    op_case c = {.op = &(op_entry){.label = with_bias ? "linear with bias" : "linear"}, .in[0].type = type};
    sw_array x = test_filled(type, SW_SHAPE(batch, time, in), -2, 2, 1),
             w = test_filled(type, SW_SHAPE(out, in), -2, 2, 2), b = test_filled(type, SW_SHAPE(out), -2, 2, 3),
             d = test_filled(type, SW_SHAPE(batch, time, out), -1, 1, 4);
    const sw_tensor tx = sw_variable(tape, x), tw = sw_variable(tape, w), tb = sw_variable(tape, b),
                    y = sw_linear(tx, tw, with_bias ? tb : (sw_tensor){0});
    assert_ok(sw_backward_from(y, d));
    const int64_t rows = batch * time;
    const sw_product all = {.size = sizeof all, .a_type = type, .b_type = type, .c_type = type, .alpha = 1};
    sw_product forward = all, dw = all, dx = all;
    forward.b_transposed = true;
    forward.beta = with_bias;
    set_operands(&forward, rows, out, in, x.data, w.data);
    dw.a_transposed = true;
    set_operands(&dw, out, in, rows, d.data, x.data);
    set_operands(&dx, rows, in, out, d.data, w.data);
    sw_array expected[3] = {plain_product(type, &forward, with_bias ? &b : NULL, 3, d.shape),
                            plain_product(type, &dw, NULL, 2, w.shape), plain_product(type, &dx, NULL, 3, x.shape)};
    const sw_array got[3] = {sw_value(y), sw_grad(tw), sw_grad(tx)};
    for (int i = 0; i < 3; i++) {
        half_expect_equal(&c,
                          i == 0   ? "value"
                          : i == 1 ? "gradient of the weight"
                                   : "gradient of x",
                          &got[i], &expected[i]);
        test_array_free(&expected[i]);
    }
    if (with_bias) { /* the sum over the rows in f32, rounded once */
        sw_array wide = half_widened(&d), sum = test_array(SW_F32, 1, b.shape);
        sw_sum_to_shape(SW_F32, 3, wide.shape, wide.data, 1, sum.shape, sum.data, 1, true);
        sw_array db = half_rounded(type, &sum), g = sw_grad(tb);
        half_expect_equal(&c, "gradient of the bias", &g, &db);
        test_array_free(&wide), test_array_free(&sum), test_array_free(&db);
    }
    test_array_free(&x), test_array_free(&w), test_array_free(&b), test_array_free(&d);
    sw_tape_free(tape);
    expect_no_error();
}

static void test_linear_rounds_once(void **state) {
    (void)state;
    static const int64_t shapes[][4] = {{1, 1, 1, 1},     {1, 1, 70, 40}, {7, 3, 33, 17},
                                        {64, 1, 300, 10}, {5, 5, 257, 1}, {2, 1, 1, 100},
                                        {3, 2, 0, 5},     {0, 2, 3, 4},   {13, 1, 48, 32}};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int bias = 0; bias < 2; bias++)
                check_linear(half_types[k], shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], bias);
}

/* In f16, 60000 + 5536 + 2 rounds to ∞ only at the end, and 65504 + 65504 - 65504 is finite, because sums are f32. */
static void test_sums_beyond_f16_are_finite(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    sw_array x = test_array(SW_F16, SW_SHAPE(1, 3)), w = test_array(SW_F16, SW_SHAPE(2, 3)),
             b = test_array(SW_F16, SW_SHAPE(2));
    for (int i = 0; i < 3; i++)
        test_set(&x, i, 1);
    const double weights[6] = {65504, 65504, -1, 65504, 1024, 0}, biases[2] = {-65504, 0};
    for (int i = 0; i < 6; i++)
        test_set(&w, i, weights[i]);
    for (int i = 0; i < 2; i++)
        test_set(&b, i, biases[i]);
    const sw_array y = sw_value(sw_linear(sw_input(tape, x), sw_input(tape, w), sw_input(tape, b)));
    assert_true(test_get(&y, 0) == 65504); /* 65503 rounds to a multiple of 32 */
    assert_true(test_get(&y, 1) == (double)INFINITY);
    expect_no_error();
    sw_tape_free(tape);
    test_array_free(&x), test_array_free(&w), test_array_free(&b);
}

/* ---- matmul ---- */

/* The largest error of one rounding to the type: half of the spacing of its numbers at |x|, which is 2^-24 for f16
 * below 2^-14. */
static double rounding(sw_dtype type, double x) {
    const double relative = type == SW_F16 ? 0x1p-11 : 0x1p-8;
    return fmax(relative * fabs(x), type == SW_F16 ? 0x1p-25 : 0);
}

/* Compares a result in 16 bits with f64 on the same numbers. `sums`: that of the absolute values of all terms. The sum
 * has an error of (256 + K/256) 2^-24 sums (gemm.h), with K <= 1000 terms in at most 12 products, whose sums are added
 * in f32; and it is rounded once. */
static void expect_one_rounding(const op_case *c, const char *what, const sw_array *got, const sw_array *exact,
                                const sw_array *sums) {
    for (int64_t i = 0; i < sw_array_count(exact); i++) {
        const double x = test_get(exact, i), most = (256 + 4 + 12) * 0x1p-24 * test_get(sums, i);
        if (!(fabs(test_get(got, i) - x) <= rounding(got->type, fabs(x) + most) + most))
            fail_msg("%s, case %d, %s in %s, element %lld: %g, not %g", c->op->label, c->number, what,
                     sw_dtype_name(got->type), (long long)i, test_get(got, i), x);
    }
}

static sw_array converted(const sw_array *a, sw_dtype type, bool absolute) {
    sw_array copy = test_array(type, a->rank, a->shape);
    for (int64_t i = 0; i < sw_array_count(a); i++)
        test_set(&copy, i, absolute ? fabs(test_get(a, i)) : test_get(a, i));
    return copy;
}

static void check_product(const op_case *c, sw_tape *const tape[3]) {
    sw_array in[3][OP_INPUTS], d[3];
    sw_tensor leaf[3][OP_INPUTS];
    sw_array out = sw_value(half_run(c, tape[0], c->in, leaf[0], NULL, NULL)), value[3];
    d[0] = half_cotangent(out.type, &out);
    for (int k = 0; k < 3; k++) { /* in 16 bits; in f64; in f64 with absolute values */
        d[k] = k ? converted(&d[0], SW_F64, k == 2) : d[0];
        for (int i = 0; i < c->op->inputs; i++)
            in[k][i] = k ? converted(&c->in[i], SW_F64, k == 2) : c->in[i];
        value[k] = sw_value(half_run(c, tape[k], in[k], leaf[k], &d[k], NULL));
    }
    expect_one_rounding(c, "value", &value[0], &value[1], &value[2]);
    for (int i = 0; i < c->op->inputs; i++) {
        const sw_array g[3] = {sw_grad(leaf[0][i]), sw_grad(leaf[1][i]), sw_grad(leaf[2][i])};
        assert_int_equal(g[0].type, out.type);
        expect_one_rounding(c, i ? "gradient 1" : "gradient 0", &g[0], &g[1], &g[2]);
        test_array_free(&in[1][i]);
        test_array_free(&in[2][i]);
    }
    for (int k = 0; k < 3; k++)
        test_array_free(&d[k]);
}

static bool is_product(const op_entry *op) {
    return (strncmp(op->function, "matmul", 6) == 0 || strcmp(op->function, "linear") == 0) && !(op->flags & COMPOSED);
}

static void test_products_round_once(void **state) {
    (void)state;
    int checked = 0;
    sw_tape *const tape[3] = {sw_tape_new(), sw_tape_new(), sw_tape_new()};
    for (int o = 0; op_at(o); o++)
        for (int k = 0; k < 2 && is_product(op_at(o)); k++) {
            op_case c = {.op = op_at(o)};
            const char *at = c.op->shapes;
            while (op_next(&at, half_types[k], &c)) {
                check_product(&c, tape);
                op_free(&c);
                checked++;
            }
        }
    /* Batches whose gradients are sums over 12 products of 80 terms. */
    for (int k = 0; k < 2; k++)
        for (int o = 0; op_at(o); o++)
            if (strcmp(op_at(o)->label, "matmul") == 0) {
                op_case c = {.op = op_at(o),
                             .in = {test_filled(half_types[k], SW_SHAPE(3, 4, 80, 7), -2, 2, 1),
                                    test_filled(half_types[k], SW_SHAPE(1, 4, 7, 5), -2, 2, 2)}};
                check_product(&c, tape);
                test_array_free(&c.in[1]);
                c.in[1] = test_filled(half_types[k], SW_SHAPE(7, 5), -2, 2, 2);
                check_product(&c, tape);
                op_free(&c);
                c.in[0] = test_filled(half_types[k], SW_SHAPE(50, 301), -2, 2, 1);
                c.in[1] = test_filled(half_types[k], SW_SHAPE(301, 1), -2, 2, 2); /* a vector */
                check_product(&c, tape);
                op_free(&c);
            }
    assert_true(checked > 150);
    for (int k = 0; k < 3; k++)
        sw_tape_free(tape[k]);
}

/* ---- Levels, threads, allocations ---- */

static uint64_t hash_of(const op_case *c, sw_tape *tape) {
    sw_tensor leaf[OP_INPUTS];
    sw_array out = sw_value(half_run(c, tape, c->in, leaf, NULL, NULL)), d = half_cotangent(out.type, &out);
    uint64_t hash = test_hash(TEST_HASH, out.data, test_bytes(&out));
    half_run(c, tape, c->in, leaf, &d, NULL);
    for (int i = 0; i < c->op->inputs; i++) {
        const sw_array g = sw_grad(leaf[i]);
        hash = test_hash(hash, g.data, test_bytes(&g));
    }
    test_array_free(&d);
    return hash;
}

static void test_levels_and_threads_give_the_same_bits(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    const int best = sw_cpu_level(), threads = sw_threads();
    for (int o = 0; op_at(o); o++)
        for (int k = 0; k < 3 && is_product(op_at(o)); k++) { /* bf16 in both orders of additions */
            op_case c = {.op = op_at(o)};
            const char *at = c.op->big;
            assert_ok(sw_set_bf16_order(k == 2 ? SW_BF16_TILES : SW_BF16_PAIRS));
            assert_true(op_next(&at, half_types[k ? 1 : 0], &c));
            const uint64_t expected = hash_of(&c, tape);
            for (int level = 0; level <= best; level++) {
                atomic_store(&swi_level, level);
                if (hash_of(&c, tape) != expected)
                    fail_msg("%s: other bits at level %d", c.op->label, level);
            }
            for (int n = 1; n <= 8; n *= 2) {
                sw_set_threads(n);
                if (hash_of(&c, tape) != expected)
                    fail_msg("%s: other bits with %d threads", c.op->label, n);
            }
            sw_set_threads(threads);
            op_free(&c);
        }
    assert_ok(sw_set_bf16_order(SW_BF16_DEFAULT));
    sw_tape_free(tape);
}

/* A product in 16 bits needs no memory but that of its result; sums over a batch have temporary memory in f32. */
static void test_failed_allocations_are_errors(void **state) {
    (void)state;
    static test_allocator allocator;
    test_allocator_install(&allocator);
    sw_array x = test_filled(SW_BF16, SW_SHAPE(40, 30, 20), -2, 2, 1),
             y = test_filled(SW_BF16, SW_SHAPE(20, 300), -2, 2, 2),
             d = test_filled(SW_BF16, SW_SHAPE(40, 30, 300), -2, 2, 3);
    for (long long k = 1, failed = 1; failed; k++) {
        test_allocator_fail(&allocator, 0, false);
        sw_tape *tape = sw_tape_new();
        test_allocator_fail(&allocator, k, false);
        const sw_tensor a = sw_variable(tape, y), b = sw_variable(tape, x), z = sw_matmul(b, a);
        const sw_status status = sw_is_null(z) ? SW_ERR_MEMORY : sw_backward_from(z, d);
        failed = atomic_load(&allocator.failed);
        assert_int_equal(status, failed ? SW_ERR_MEMORY : SW_OK);
        assert_int_equal(sw_error_status(), status);
        sw_clear_error();
        if (!failed) { /* no allocation in the second pass */
            const long long calls = atomic_load(&allocator.calls);
            sw_tape_reset(tape);
            const sw_tensor again = sw_matmul(sw_variable(tape, x), sw_variable(tape, y));
            assert_ok(sw_backward_from(again, d));
            assert_true(atomic_load(&allocator.calls) == calls);
        }
        sw_tape_free(tape);
        assert_true(k < 100);
    }
    assert_int_equal(atomic_load(&allocator.live), 0);
    sw_set_allocator(NULL);
    test_array_free(&x), test_array_free(&y), test_array_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear_rounds_once), cmocka_unit_test(test_sums_beyond_f16_are_finite),
        cmocka_unit_test(test_products_round_once), cmocka_unit_test(test_levels_and_threads_give_the_same_bits),
        cmocka_unit_test(test_failed_allocations_are_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
