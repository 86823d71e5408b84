/* Every operation, from the table in op_table.h: gradients against central differences in f64, f32 against f64,
 * mistakes, failing allocations, and values against a simple computation. Then a test of the test: wrong derivatives
 * must fail. */
#include "support.h"

#include "op_table.h"

/* ---- Gradients of all, each input with and without gradient ---- */

static void test_gradients_agree_with_differences(void **state) {
    (void)state;
    int checks = 0;
    for (int o = 0; op_at(o); o++) {
        op_case c = {.op = op_at(o)};
        const char *at = c.op->shapes;
        while (op_next(&at, SW_F64, &c)) {
            unsigned fixed = 0, all = (1u << c.op->inputs) - 1;
            for (int i = 0; i < c.op->inputs; i++)
                if (!op_has_gradient(c.op->kinds[i]))
                    fixed |= 1u << i;
            for (unsigned mask = 0; mask <= all && !(c.op->flags & NO_GRADIENT); mask++) {
                if ((mask & fixed) != fixed)
                    continue;
                /* A difference quotient of step 1e-6 errs by h²|f'''|/6 < 1e-11 and by rounding,
                 * 2^-52·|f|/h < 1e-8 for |f| up to 40: the defaults 1e-7 and 1e-6 leave room. */
                sw_gradcheck_options options = {.size = sizeof options, .seed = 5 + mask, .no_grad = mask};
                double worst = -1;
                sw_status status = sw_gradcheck(c.op->build, NULL, c.op->inputs, c.in, &options, &worst);
                if (mask == all) { /* nothing has a gradient */
                    assert_int_equal(status, SW_ERR_STATE);
                    sw_clear_error();
                    continue;
                }
                if (status != SW_OK)
                    fail_msg("%s, case %d, mask %u: %s", c.op->label, c.number, mask, sw_error());
                assert_true(worst >= 0 && worst <= 1);
                checks++;
            }
            op_free(&c);
        }
        assert_true(c.number > 1);
    }
    assert_true(checks > 250); /* the table was read to its end */
}

/* ---- f32 against f64 ---- */

/* Inputs are below 2.1, so a term of a sum is below 2.1² < 5 (below 2.1³ < 10 in "passes" and
 * "shared", whose sums are short). L terms in any order err by at most u·(L + 8)·Σ|terms|, with
 * u = 2^-24 and 8 for the roundings inside a term; Σ|terms| ≤ 10·L. L: the elements of the longest
 * array at hand. */
static void expect_close(const op_case *c, const sw_array *narrow, const sw_array *wide, double L) {
    assert_int_equal(narrow->rank, wide->rank);
    double tolerance = 0x1p-24 * (L + 8) * 10 * L;
    for (int64_t i = 0; i < sw_array_count(wide); i++) {
        double a = test_get(narrow, i), b = test_get(wide, i);
        if (!(fabs(a - b) <= tolerance || (isnan(a) && isnan(b)) || a == b))
            fail_msg("%s, case %d, element %lld: f32 %.9g, f64 %.9g", c->op->label, c->number, (long long)i, a, b);
    }
}

static void test_f32_agrees_with_f64(void **state) {
    (void)state;
    sw_tape *t32 = sw_tape_new(), *t64 = sw_tape_new();
    for (int o = 0; op_at(o); o++) {
        op_case c32 = {.op = op_at(o)}, c64 = {.op = op_at(o)};
        const char *at32 = c32.op->shapes, *at64 = c64.op->shapes;
        while (op_next(&at64, SW_F64, &c64) && op_next(&at32, SW_F32, &c32)) {
            sw_tensor in32[OP_INPUTS], in64[OP_INPUTS];
            sw_array out32 = sw_value(op_run(&c32, t32, in32, true)), out64 = sw_value(op_run(&c64, t64, in64, true));
            expect_no_error();
            double longest = fmax(1, (double)sw_array_count(&out64));
            for (int i = 0; i < c64.op->inputs; i++)
                longest = fmax(longest, (double)sw_array_count(&c64.in[i]));
            if (out64.type == SW_F64)
                assert_int_equal(out32.type, SW_F32);
            else /* ids and masks do not depend on the type */
                assert_int_equal(out32.type, out64.type);
            expect_close(&c64, &out32, &out64, longest);
            for (int i = 0; i < c64.op->inputs; i++) {
                if (!op_has_gradient(c64.op->kinds[i]))
                    continue;
                sw_array g32 = sw_grad(in32[i]), g64 = sw_grad(in64[i]);
                assert_int_equal(g32.data != NULL, g64.data != NULL);
                assert_true(g64.data != NULL || c64.op->flags & NO_GRADIENT);
                if (g64.data)
                    expect_close(&c64, &g32, &g64, longest);
            }
            op_free(&c32);
            op_free(&c64);
        }
    }
    sw_tape_free(t32);
    sw_tape_free(t64);
}

/* ---- Every operation is in the table ---- */

static bool in_table(const char *name) {
    for (int o = 0; op_at(o); o++)
        if (strcmp(op_at(o)->function, name) == 0)
            return true;
    return false;
}

/* Returns the number of functions that a header declares; each must be in the table. */
static int expect_functions_in_table(const char *header) {
    static char text[1 << 17];
    FILE *file = fopen(header, "r"); /* tests run in the top folder */
    assert_non_null(file);
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = 0;
    const char *at = text;
    int found = 0;
    while ((at = strstr(at, "SW_API sw_")) != NULL) {
        char name[64];
        assert_int_equal(sscanf(at, "SW_API %*s sw_%63[a-z0-9_]", name), 1);
        if (!in_table(name))
            fail_msg("sw_%s is not in the table of operations (tests/core/ops/op_table.h)", name);
        at++;
        found++;
    }
    return found;
}

static void test_table_is_complete(void **state) {
    (void)state;
    assert_true(expect_functions_in_table("core/ops/ops.h") > 40);
    assert_true(expect_functions_in_table("core/ops/attention.h") >= 4);
    assert_true(expect_functions_in_table("core/ops/conv.h") >= 3);
    assert_true(expect_functions_in_table("core/ops/normalization.h") >= 6);
    assert_true(expect_functions_in_table("core/ops/pool.h") >= 8);
    assert_true(expect_functions_in_table("core/ops/recurrent.h") >= 4);
    for (int a = 0; op_at(a); a++) /* labels are keys */
        for (int b = 0; b < a; b++)
            if (strcmp(op_at(a)->label, op_at(b)->label) == 0)
                fail_msg("two entries are called %s", op_at(a)->label);
}

/* ---- Mistakes: a null tensor, two element types, a whole number for a real one, wrong shapes ---- */

static void test_operation_refuses_the_mistakes_of_its_entry(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    for (int o = 0; op_at(o); o++) {
        const op_entry *op = op_at(o);
        op_case c = {.op = op};
        const char *at = op->shapes;
        assert_true(op_next(&at, SW_F64, &c));
        for (int wrong = 0; wrong < op->inputs && !(op->flags & COMPOSED); wrong++) {
            sw_tape_reset(tape);
            sw_tensor in[OP_INPUTS];
            for (int i = 0; i < op->inputs; i++)
                in[i] = sw_input(tape, c.in[i]);
            in[wrong] = (sw_tensor){0};
            if (wrong < (op->flags & OPTIONAL ? 1 : 2)) { /* a third input may be left out */
                assert_true(sw_is_null(op->build(NULL, tape, in)));
                if (!sw_error())
                    fail_msg("%s: input %d may be null", op->label, wrong);
                sw_clear_error();
            }
            if (!op_has_gradient(op->kinds[wrong]))
                continue;
            sw_array narrow = test_array(op->inputs > 1 ? SW_F32 : SW_I32, c.in[wrong].rank, c.in[wrong].shape);
            bool other = false; /* another real input to disagree with */
            for (int i = 0; i < op->inputs; i++)
                other |= i != wrong && op_has_gradient(op->kinds[i]);
            in[wrong] = sw_input(tape, narrow);
            if (other) {
                assert_true(sw_is_null(op->build(NULL, tape, in)));
                if (sw_error_status() != SW_ERR_TYPE)
                    fail_msg("%s: f32 and f64 together give: %s", op->label, sw_error());
                sw_clear_error();
            }
            test_array_free(&narrow);
        }
        op_free(&c);
        for (int e = 0; e < OP_ERRORS && op->errors[e].shapes; e++) {
            op_case bad = {.op = op};
            at = op->errors[e].shapes;
            assert_true(op_next(&at, SW_F64, &bad));
            sw_tensor in[OP_INPUTS];
            if (!sw_is_null(op_run(&bad, tape, in, false)))
                fail_msg("%s takes %s", op->label, op->errors[e].shapes);
            expect_error(op->errors[e].status, op->errors[e].message);
            op_free(&bad);
        }
    }
    sw_tape_free(tape);
}

/* ---- Every allocation fails once: a null tensor, the reason, nothing lost ---- */

static void test_operation_survives_every_failed_allocation(void **state) {
    (void)state;
    static test_allocator allocator;
    test_allocator_install(&allocator);
    for (int o = 0; op_at(o); o++) {
        op_case c = {.op = op_at(o)};
        const char *at = c.op->big ? c.op->big : c.op->shapes; /* large: the arena must grow */
        assert_true(op_next(&at, SW_F64, &c));
        for (long long k = 1;; k++) {
            assert_true(k < 100);
            test_allocator_fail(&allocator, 0, false);
            sw_tape *tape = sw_tape_new();
            assert_non_null(tape);
            test_allocator_fail(&allocator, k, false);
            sw_tensor in[OP_INPUTS];
            sw_tensor y = op_run(&c, tape, in, true);
            bool failed = atomic_load(&allocator.failed) > 0;
            if (sw_is_null(y) != failed || failed != (sw_error_status() == SW_ERR_MEMORY))
                fail_msg("%s: allocation %lld failed: %s", c.op->label, k, sw_error());
            sw_clear_error();
            sw_tape_free(tape);
            if (!failed)
                break;
        }
        assert_int_equal(atomic_load(&allocator.live), 0);
        op_free(&c);
    }
    sw_set_allocator(NULL);
}

/* ---- Values against plain loops ---- */

/* Element `flat` of the output's index in an array broadcast to it. */
static double broadcast_get(const sw_array *a, const sw_array *out, int64_t flat) {
    int64_t at = 0, stride = 1;
    for (int axis = out->rank - 1, own = a->rank - 1; own >= 0; axis--, own--) {
        int64_t index = flat % out->shape[axis];
        flat /= out->shape[axis];
        at += (a->shape[own] == 1 ? 0 : index) * stride;
        stride *= a->shape[own];
    }
    return test_get(a, at);
}

/* Random shapes of up to 5 axes, each axis kept, 1 or missing in front on either side. */
static void test_broadcasting_gives_the_plain_values(void **state) {
    (void)state;
    uint64_t seed = 4;
    sw_tape *tape = sw_tape_new();
    for (int round = 0; round < 400; round++) {
        int64_t full[5], shape[2][5];
        int rank = (int)(test_random(&seed) % 6), ranks[2];
        for (int i = 0; i < rank; i++)
            full[i] = 1 + (int64_t)(test_random(&seed) % 5) * (test_random(&seed) % 4 != 0);
        sw_array in[2];
        for (int k = 0; k < 2; k++) {
            ranks[k] = rank - (rank ? (int)(test_random(&seed) % ((uint64_t)rank + 1)) : 0);
            for (int i = 0; i < ranks[k]; i++)
                shape[k][i] = test_random(&seed) % 3 ? full[rank - ranks[k] + i] : 1;
            in[k] = test_filled(SW_F64, ranks[k], shape[k], -2, 2, test_random(&seed));
        }
        sw_tensor a = sw_input(tape, in[0]), b = sw_input(tape, in[1]);
        sw_array sum = sw_value(sw_add(a, b)), difference = sw_value(sw_sub(a, b)), product = sw_value(sw_mul(a, b));
        expect_no_error();
        assert_int_equal(sum.rank, ranks[0] > ranks[1] ? ranks[0] : ranks[1]);
        for (int64_t i = 0; i < sw_array_count(&sum); i++) {
            double x = broadcast_get(&in[0], &sum, i), y = broadcast_get(&in[1], &sum, i);
            assert_true(test_get(&sum, i) == x + y); /* one rounding: the same bits */
            assert_true(test_get(&difference, i) == x - y);
            assert_true(test_get(&product, i) == x * y);
        }
        test_array_free(&in[0]);
        test_array_free(&in[1]);
        sw_tape_reset(tape);
    }
    sw_tape_free(tape);
}

/* Products of at most 7 terms below 4: both orders of summation err by at most 7·28·2^-53. */
static const double product_tolerance = 7 * 28 * 2 * 0x1p-53;

static void test_products_give_the_plain_values(void **state) {
    (void)state;
    enum { M = 5, K = 7, N = 4 };
    sw_array a = test_filled(SW_F64, SW_SHAPE(M, K), -2, 2, 1), b = test_filled(SW_F64, SW_SHAPE(K, N), -2, 2, 2),
             w = test_filled(SW_F64, SW_SHAPE(N, K), -2, 2, 3), bias = test_filled(SW_F64, SW_SHAPE(N), -2, 2, 4);
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_input(tape, a), weight = sw_input(tape, w);
    sw_array product = sw_value(sw_matmul(x, sw_input(tape, b))),
             plain = sw_value(sw_linear(x, weight, (sw_tensor){0})),
             with = sw_value(sw_linear(x, weight, sw_input(tape, bias)));
    expect_no_error();
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            double ab = 0, aw = 0;
            for (int k = 0; k < K; k++) {
                ab += test_get(&a, m * K + k) * test_get(&b, k * N + n);
                aw += test_get(&a, m * K + k) * test_get(&w, n * K + k);
            }
            assert_true(fabs(test_get(&product, m * N + n) - ab) <= product_tolerance);
            assert_true(fabs(test_get(&plain, m * N + n) - aw) <= product_tolerance);
            assert_true(fabs(test_get(&with, m * N + n) - (aw + test_get(&bias, n))) <= product_tolerance);
        }
    sw_tape_free(tape);
    test_array_free(&a);
    test_array_free(&b);
    test_array_free(&w);
    test_array_free(&bias);
}

/* Axes between the batch and the inputs are rows: the same bits as with the input reshaped to rows. */
static void test_linear_takes_any_axes_as_rows(void **state) {
    (void)state;
    enum { A = 7, B = 5, C = 3, IN = 33, OUT = 17, ALL_ROWS = A * B * C };
    for (int t = SW_F32; t <= SW_F64; t++)
        for (int has_bias = 0; has_bias < 2; has_bias++) {
            const sw_dtype type = (sw_dtype)t;
            sw_array x = test_filled(type, SW_SHAPE(A, B, C, IN), -2, 2, 1),
                     w = test_filled(type, SW_SHAPE(OUT, IN), -2, 2, 2), b = test_filled(type, SW_SHAPE(OUT), -2, 2, 3),
                     d = test_filled(type, SW_SHAPE(A, B, C, OUT), -2, 2, 4),
                     x_rows = sw_array_view(x.data, type, SW_SHAPE(ALL_ROWS, IN)),
                     d_rows = sw_array_view(d.data, type, SW_SHAPE(ALL_ROWS, OUT));
            sw_tape *tape = sw_tape_new();
            sw_tensor in[2][3], y[2];
            for (int rows = 0; rows < 2; rows++) {
                in[rows][0] = sw_variable(tape, rows ? x_rows : x);
                in[rows][1] = sw_variable(tape, w);
                in[rows][2] = has_bias ? sw_variable(tape, b) : (sw_tensor){0};
                y[rows] = sw_linear(in[rows][0], in[rows][1], in[rows][2]);
                assert_ok(sw_backward_from(y[rows], rows ? d_rows : d));
            }
            sw_array own = sw_value(y[0]), plain = sw_value(y[1]);
            assert_true(sw_shape_equal(own.rank, own.shape, 4, (const int64_t[]){A, B, C, OUT}));
            assert_memory_equal(own.data, plain.data, test_bytes(&plain));
            for (int i = 0; i < 2 + has_bias; i++) {
                own = sw_grad(in[0][i]);
                plain = sw_grad(in[1][i]);
                assert_int_equal(test_bytes(&own), test_bytes(&plain));
                assert_memory_equal(own.data, plain.data, test_bytes(&plain));
            }
            expect_no_error();
            sw_tape_free(tape);
            test_array_free(&x);
            test_array_free(&w);
            test_array_free(&b);
            test_array_free(&d);
        }
}

static void test_scalar_operations_give_the_plain_values(void **state) {
    (void)state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(6, 5), -2, 2, 8), y = test_filled(SW_F64, SW_SHAPE(6, 5), 0, 1, 9);
    int32_t ids[6] = {0, 4, 2, 2, 1, 3};
    sw_tape *tape = sw_tape_new();
    sw_tensor tx = sw_input(tape, x), ty = sw_input(tape, y),
              tid = sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(6)));
    long double sum = 0, mse = 0, bce = 0, ce = 0;
    for (int r = 0; r < 6; r++) {
        long double total = 0;
        for (int c = 0; c < 5; c++) {
            long double z = (long double)test_get(&x, r * 5 + c), t = (long double)test_get(&y, r * 5 + c);
            sum += z;
            mse += (z - t) * (z - t);
            bce += log1pl(expl(z)) - t * z;
            total += expl(z);
        }
        ce += logl(total) - (long double)test_get(&x, r * 5 + ids[r]);
    }
    /* 30 terms below 16, each with an error of a few 2^-53, and a mean over them. */
    const double tolerance = 30 * 16 * 8 * 0x1p-53;
    assert_true(fabs(sw_item(sw_sum(tx)) - (double)sum) <= tolerance);
    assert_true(fabs(sw_item(sw_mean(tx)) - (double)(sum / 30)) <= tolerance);
    assert_true(fabs(sw_item(sw_mse(tx, ty)) - (double)(mse / 30)) <= tolerance);
    assert_true(fabs(sw_item(sw_bce_with_logits(tx, ty)) - (double)(bce / 30)) <= tolerance);
    assert_true(fabs(sw_item(sw_cross_entropy(tx, tid)) - (double)(ce / 6)) <= tolerance);
    sw_array t = sw_value(sw_tanh(tx)), s = sw_value(sw_scale(tx, 3)), d = sw_value(sw_detach(tx));
    for (int i = 0; i < 30; i++) {
        assert_true(fabs(test_get(&t, i) - tanh(test_get(&x, i))) <= 4 * 0x1p-53); /* 4 ulp of 1 */
        assert_true(test_get(&s, i) == 3 * test_get(&x, i));
        assert_true(test_get(&d, i) == test_get(&x, i));
    }
    assert_true(d.data == x.data);
    assert_true(sw_item(sw_constant(tape, SW_F64, 0.1)) == 0.1);
    assert_true(sw_item(sw_constant(tape, SW_F32, 0.1)) == (double)0.1f);
    assert_true(sw_item(sw_constant(tape, SW_I32, -7)) == -7);
    assert_true(sw_item(sw_constant(tape, SW_U8, 200)) == 200);
    expect_no_error();
    sw_tape_free(tape);
    test_array_free(&x);
    test_array_free(&y);
}

/* Empty sums, and the mean of nothing. */
static void test_empty_sums_and_means_are_defined(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    sw_tensor none = sw_empty(tape, SW_F32, SW_SHAPE(0, 3));
    sw_tensor ids = sw_empty(tape, SW_I32, SW_SHAPE(0));
    assert_true(sw_item(sw_sum(none)) == 0);
    assert_true(isnan(sw_item(sw_mean(none))));
    assert_true(isnan(sw_item(sw_mse(none, none))));
    assert_true(isnan(sw_item(sw_cross_entropy(none, ids))));
    /* An empty product is a matrix of zeros. */
    sw_array zeros =
        sw_value(sw_matmul(sw_empty(tape, SW_F64, SW_SHAPE(2, 0)), sw_empty(tape, SW_F64, SW_SHAPE(0, 3))));
    for (int i = 0; i < 6; i++)
        assert_true(test_get(&zeros, i) == 0);
    expect_no_error();
    sw_tape_free(tape);
}

/* ---- Extremes ---- */

/* Logits of ±1e4: e^z overflows, the loss must not. For [a, -a], id 1 the loss is 2a to rounding.
 */
static void test_cross_entropy_of_extreme_logits_is_exact(void **state) {
    (void)state;
    for (int type = SW_F32; type <= SW_F64; type++) {
        sw_array z = test_array((sw_dtype)type, SW_SHAPE(3, 2)), y = test_array((sw_dtype)type, SW_SHAPE(3, 2));
        const double values[6] = {1e4, -1e4, -1e4, 1e4, 1e4, 1e4}, targets[6] = {0, 1, 1, 1, 0, 0};
        for (int i = 0; i < 6; i++) {
            test_set(&z, i, values[i]);
            test_set(&y, i, targets[i]);
        }
        int32_t ids[3] = {1, 1, 0};
        sw_tape *tape = sw_tape_new();
        sw_tensor t = sw_variable(tape, z);
        sw_tensor loss = sw_cross_entropy(t, sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(3))));
        /* rows: 2e4, 0, log 2; the error: an ulp of 2e4 in the element type */
        assert_true(fabs(sw_item(loss) - (2e4 + log(2)) / 3) <= 2e4 * (type ? 0x1p-52 : 0x1p-23));
        assert_int_equal(sw_backward(loss), SW_OK);
        sw_array g = sw_grad(t);
        /* (softmax - one-hot)/3, each entry with one rounding */
        const double expected[6] = {1. / 3, -1. / 3, 0, 0, -1. / 6, 1. / 6};
        for (int i = 0; i < 6; i++)
            assert_true(fabs(test_get(&g, i) - expected[i]) <= (type ? 0x1p-53 : 0x1p-24));
        sw_tensor u = sw_variable(tape, z), bce = sw_bce_with_logits(u, sw_input(tape, y));
        /* terms: 1e4, 1e4, 1e4, 0, 1e4, 1e4 */
        assert_true(fabs(sw_item(bce) - 5e4 / 6) <= 5e4 * (type ? 0x1p-52 : 0x1p-23));
        assert_int_equal(sw_backward(bce), SW_OK);
        g = sw_grad(u);
        const double sign[6] = {1, -1, -1, 0, 1, 1};
        for (int i = 0; i < 6; i++)
            assert_true(fabs(test_get(&g, i) - sign[i] / 6) <= (type ? 0x1p-53 : 0x1p-24));
        expect_no_error();
        sw_tape_free(tape);
        test_array_free(&z);
        test_array_free(&y);
    }
}

/* A NaN anywhere in the logits must show in the loss: wherever it is, whatever the id. */
static void test_cross_entropy_shows_a_nan_anywhere(void **state) {
    (void)state;
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int where = 0; where < 40; where++)
            for (int32_t id = 0; id < 40; id += 13) {
                sw_array z = test_filled((sw_dtype)type, SW_SHAPE(1, 40), -1, 1, 3),
                         y = test_filled((sw_dtype)type, SW_SHAPE(1, 40), 0, 1, 4);
                test_set(&z, where, (double)NAN);
                sw_tape *tape = sw_tape_new();
                sw_tensor t = sw_input(tape, z), target = sw_input(tape, y);
                sw_tensor ids = sw_input(tape, sw_array_view(&id, SW_I32, SW_SHAPE(1)));
                assert_true(isnan(sw_item(sw_cross_entropy(t, ids))));
                assert_true(isnan(sw_item(sw_bce_with_logits(t, target))));
                assert_true(isnan(sw_item(sw_mse(t, target))));
                assert_true(isnan(sw_item(sw_sum(sw_relu(t)))));
                assert_true(isnan(sw_item(sw_mean(sw_tanh(t)))));
                sw_tape_free(tape);
                test_array_free(&z);
                test_array_free(&y);
            }
    expect_no_error();
}

/* ---- The kink of relu: derivative 0 at 0, and 0 on the left ---- */

static void test_relu_has_derivative_zero_at_zero(void **state) {
    (void)state;
    const double x[6] = {-1, -0.0, 0.0, 1e-300, 3, -1e-300};
    const double expected[6] = {0, 0, 0, 1, 1, 0};
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_variable(tape, sw_array_view(x, SW_F64, SW_SHAPE(6)));
    assert_int_equal(sw_backward(sw_sum(sw_relu(t))), SW_OK);
    sw_array g = sw_grad(t);
    for (int i = 0; i < 6; i++)
        assert_true(test_get(&g, i) == expected[i]);
    sw_tape_free(tape);
}

static void test_detach_gives_no_gradient(void **state) {
    (void)state;
    const double x[3] = {2, -3, 5};
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_variable(tape, sw_array_view(x, SW_F64, SW_SHAPE(3)));
    assert_int_equal(sw_backward(sw_sum(sw_mul(t, sw_detach(t)))), SW_OK);
    sw_array g = sw_grad(t);
    for (int i = 0; i < 3; i++)
        assert_true(test_get(&g, i) == x[i]); /* not 2x */
    sw_tape_free(tape);
}

/* ---- Wrong derivatives must be found ---- */

typedef enum wrongness {
    RIGHT,
    FLIPPED_SIGN,
    NO_FACTOR,
    GIVES_NONE,
    WRONG_SIZE,
    WRONG_TYPE,
    FAILS,
    ASKS_FOR_ALL
} wrongness;

static sw_status triple_shape(sw_call *call) {
    if (*(const wrongness *)call->attributes == WRONG_SIZE)
        return sw_call_set_shape(call, SW_F64, 0, NULL);
    return sw_call_set_shape_like(call, 0);
}

static sw_status triple_forward(sw_call *call) { /* 3 a b */
    const double *a = call->in[0]->data, *b = call->in[1]->data;
    double *out = call->out->data;
    for (int64_t i = 0; i < call->out->count; i++)
        out[i] = 3 * a[i] * b[i];
    return SW_OK;
}

static sw_status triple_vjp(sw_call *call) {
    wrongness wrong = *(const wrongness *)call->attributes;
    if (wrong == WRONG_SIZE) {
        sw_call_pass_grad(call, 0);
        sw_call_pass_grad(call, 1);
        return SW_OK;
    }
    if (wrong == FAILS)
        return sw_fail(SW_ERR_USER, "triple: no luck");
    for (int i = 0; i < 2; i++) {
        if ((!sw_call_wants_grad(call, i) && wrong != ASKS_FOR_ALL) || (i == 1 && wrong == GIVES_NONE))
            continue;
        const double *dy = call->cotangent, *other = call->in[1 - i]->data;
        double *d = sw_call_grad(call, i);
        if (!d)
            return SW_ERR_MEMORY;
        double factor = wrong == NO_FACTOR && i == 1 ? 1 : wrong == FLIPPED_SIGN && i == 1 ? -3 : 3;
        for (int64_t j = 0; j < call->out->count; j++)
            d[j] = factor * dy[j] * other[j];
    }
    return SW_OK;
}

static const sw_op triple_op = {.size = sizeof(sw_op),
                                .name = "triple",
                                .shape = triple_shape,
                                .forward = triple_forward,
                                .vjp = triple_vjp,
                                .vjp_reads = SW_READS(0) | SW_READS(1)};

static sw_tensor build_triple(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)tape;
    return sw_apply(&triple_op, user, sizeof(wrongness), 2, in);
}

static void test_wrong_derivatives_are_found(void **state) {
    (void)state;
    static const struct {
        wrongness wrong;
        sw_status status;
        const char *text; /* NULL: any */
    } cases[] = {
        {RIGHT, SW_OK, NULL},
        {ASKS_FOR_ALL, SW_OK, NULL},
        {FLIPPED_SIGN, SW_ERR_GRADIENT, NULL},
        {NO_FACTOR, SW_ERR_GRADIENT, NULL},
        {GIVES_NONE, SW_ERR_STATE, "triple: its vjp returned no gradient for input 1"},
        {WRONG_SIZE, SW_ERR_SHAPE, "triple: its vjp passed the cotangent [] on to input 0 of shape [2,3]"},
        {FAILS, SW_ERR_USER, "triple: no luck"},
    };
    sw_array in[2] = {test_filled(SW_F64, SW_SHAPE(2, 3), 0.5, 2, 1), test_filled(SW_F64, SW_SHAPE(2, 3), 0.5, 2, 2)};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wrongness wrong = cases[i].wrong;
        double worst = -1;
        sw_status status = sw_gradcheck(build_triple, &wrong, 2, in, NULL, &worst);
        assert_int_equal(status, cases[i].status);
        if (cases[i].status == SW_OK)
            expect_no_error();
        else
            assert_int_equal(sw_error_status(), cases[i].status);
        if (cases[i].status == SW_ERR_GRADIENT) {
            /* The flaw is in input 1, and its first element shows it. */
            assert_memory_equal(sw_error(), "gradcheck: input 1, element 0: analytic ", 40);
            assert_true(worst > 1e5);
        }
        if (cases[i].text)
            assert_string_equal(sw_error(), cases[i].text);
        sw_clear_error();
        /* If the gradient of input 1 is not needed, its fault does not show. */
        if (wrong == FLIPPED_SIGN || wrong == GIVES_NONE) {
            const sw_gradcheck_options only_first = {.size = sizeof only_first, .no_grad = 2};
            assert_int_equal(sw_gradcheck(build_triple, &wrong, 2, in, &only_first, NULL), SW_OK);
        }
    }
    test_array_free(&in[0]);
    test_array_free(&in[1]);
}

/* The difference quotient moves the data and puts them back, bit for bit. */
static void test_gradcheck_restores_the_data(void **state) {
    (void)state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(4, 3), -2, 2, 5);
    uint64_t before = test_hash(TEST_HASH, x.data, test_bytes(&x));
    assert_int_equal(sw_gradcheck(build_tanh, NULL, 1, &x, NULL, NULL), SW_OK);
    assert_true(before == test_hash(TEST_HASH, x.data, test_bytes(&x)));
    sw_array narrow = test_filled(SW_F32, SW_SHAPE(3), -2, 2, 5);
    assert_int_equal(sw_gradcheck(build_tanh, NULL, 1, &narrow, NULL, NULL), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "gradcheck: the result is f32; f64 is needed (give the inputs in f64)");
    test_array_free(&x);
    test_array_free(&narrow);
}

/* A vjp that passes on a cotangent of another element type. */
static sw_status cast_shape(sw_call *call) {
    return sw_call_set_shape(call, SW_F64, call->in[0]->rank, call->in[0]->shape);
}
static sw_status cast_forward(sw_call *call) {
    for (int64_t i = 0; i < call->out->count; i++)
        ((double *)call->out->data)[i] = (double)((const float *)call->in[0]->data)[i];
    return SW_OK;
}
static sw_status cast_vjp(sw_call *call) {
    sw_call_pass_grad(call, 0);
    return SW_OK;
}
static const sw_op cast_op = {
    .size = sizeof(sw_op), .name = "cast", .shape = cast_shape, .forward = cast_forward, .vjp = cast_vjp};

static void test_vjp_of_another_type_is_refused(void **state) {
    (void)state;
    const float x[3] = {1, 2, 3};
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_variable(tape, sw_array_view(x, SW_F32, SW_SHAPE(3)));
    sw_tensor wide = sw_apply(&cast_op, NULL, 0, 1, &t);
    assert_int_equal(sw_backward(sw_sum(wide)), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "cast: its vjp passed the f64 cotangent on to input 0, which is f32");
    sw_tape_free(tape);
}

/* ---- An operation of very many inputs, all of which its vjp reads ---- */

enum { MANY = 40 };

static sw_status blend_forward(sw_call *call) { /* Σ_i x_i x_{i+1} by element */
    for (int64_t j = 0; j < call->out->count; j++) {
        double total = 0;
        for (int i = 0; i < call->inputs; i++)
            total +=
                ((const double *)call->in[i]->data)[j] * ((const double *)call->in[(i + 1) % call->inputs]->data)[j];
        ((double *)call->out->data)[j] = total;
    }
    return SW_OK;
}
static sw_status blend_vjp(sw_call *call) {
    int n = call->inputs;
    for (int i = 0; i < n; i++) {
        if (!sw_call_wants_grad(call, i))
            continue;
        double *d = sw_call_grad(call, i);
        if (!d)
            return SW_ERR_MEMORY;
        for (int64_t j = 0; j < call->out->count; j++)
            d[j] = ((const double *)call->cotangent)[j] * (((const double *)call->in[(i + 1) % n]->data)[j] +
                                                           ((const double *)call->in[(i + n - 1) % n]->data)[j]);
    }
    return SW_OK;
}
static const sw_op blend_op = {.size = sizeof(sw_op),
                               .name = "blend",
                               .shape = sw_call_set_shape_broadcast,
                               .forward = blend_forward,
                               .vjp = blend_vjp,
                               .vjp_reads = ~SW_READS_OUT};

/* The inputs of the op are released at once: only the readers' count keeps their values. */
static sw_tensor build_blend(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    sw_tensor h[MANY];
    for (int i = 0; i < MANY; i++)
        h[i] = sw_scale(in[i], 1 + i);
    sw_tensor out = sw_apply(&blend_op, NULL, 0, MANY, h);
    for (int i = 0; i < MANY; i++)
        sw_release(h[i]);
    return sw_tanh(sw_scale(sw_scale(out, 1e-4), 1)); /* takes memory, if some is free */
}

static void test_operation_takes_many_inputs(void **state) {
    (void)state;
    sw_array in[MANY];
    for (int i = 0; i < MANY; i++)
        in[i] = test_filled(SW_F64, SW_SHAPE(2), -1, 1, 50 + (uint64_t)i);
    if (sw_gradcheck(build_blend, NULL, MANY, in, NULL, NULL) != SW_OK)
        fail_msg("%s", sw_error());
    for (int i = 0; i < MANY; i++)
        test_array_free(&in[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_gradients_agree_with_differences, test_clear),
        cmocka_unit_test_setup(test_f32_agrees_with_f64, test_clear),
        cmocka_unit_test_setup(test_table_is_complete, test_clear),
        cmocka_unit_test_setup(test_operation_refuses_the_mistakes_of_its_entry, test_clear),
        cmocka_unit_test_setup(test_operation_survives_every_failed_allocation, test_clear),
        cmocka_unit_test_setup(test_broadcasting_gives_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_products_give_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_linear_takes_any_axes_as_rows, test_clear),
        cmocka_unit_test_setup(test_scalar_operations_give_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_empty_sums_and_means_are_defined, test_clear),
        cmocka_unit_test_setup(test_cross_entropy_of_extreme_logits_is_exact, test_clear),
        cmocka_unit_test_setup(test_cross_entropy_shows_a_nan_anywhere, test_clear),
        cmocka_unit_test_setup(test_relu_has_derivative_zero_at_zero, test_clear),
        cmocka_unit_test_setup(test_detach_gives_no_gradient, test_clear),
        cmocka_unit_test_setup(test_wrong_derivatives_are_found, test_clear),
        cmocka_unit_test_setup(test_gradcheck_restores_the_data, test_clear),
        cmocka_unit_test_setup(test_vjp_of_another_type_is_refused, test_clear),
        cmocka_unit_test_setup(test_operation_takes_many_inputs, test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
