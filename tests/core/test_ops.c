/* Every operation, from one table: gradients against central differences in f64, f32 against f64,
 * and values against a plain computation. Then the test of the test: wrong derivatives must fail.
 */
#include "support.h"

#include "extend.h"

/* ---- The table ---- */

typedef enum kind {
    REAL,  /* uniform in ±2 */
    AWAY,  /* the same, at least 0.1 from 0: no difference quotient across relu's kink */
    POSITIVE, /* uniform in (0.1, 2.1) */
    FIXED, /* like REAL, and never with gradient */
    UNIT,  /* uniform in (0, 1) */
    IDS    /* i32, below the last length of input 0 */
} kind;

/* Called with f64 tensors for gradients and with f32 ones for rounding. */
typedef struct op_entry {
    const char *name;
    sw_function build;
    int inputs;
    kind kinds[3];
    const char *shapes; /* "[4,3][3] …": as many in each case as there are inputs */
} op_entry;

#define BUILD2(name)                                                                   \
    static sw_tensor build_##name(void *user, sw_tape *tape, const sw_tensor *in) {    \
        (void)user, (void)tape;                                                        \
        return sw_##name(in[0], in[1]);                                                \
    }
#define BUILD1(name)                                                                   \
    static sw_tensor build_##name(void *user, sw_tape *tape, const sw_tensor *in) {    \
        (void)user, (void)tape;                                                        \
        return sw_##name(in[0]);                                                       \
    }
BUILD2(add)
BUILD2(sub)
BUILD2(mul)
BUILD2(matmul)
BUILD2(cross_entropy)
BUILD2(mse)
BUILD2(bce_with_logits)
BUILD2(div)
BUILD2(maximum)
BUILD2(minimum)
BUILD1(neg)
BUILD1(exp)
BUILD1(log)
BUILD1(sqrt)
BUILD1(abs)
BUILD1(sin)
BUILD1(cos)
BUILD1(sigmoid)
BUILD1(silu)
BUILD1(softplus)
BUILD1(gelu)
BUILD1(gelu_tanh)
BUILD1(relu)
BUILD1(tanh)
BUILD1(sum)
BUILD1(mean)

static sw_tensor build_scale(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_scale(in[0], -1.75);
}
#define BUILD_NUMBER(label, call)                                                      \
    static sw_tensor build_##label(void *user, sw_tape *tape, const sw_tensor *in) {   \
        (void)user, (void)tape;                                                        \
        return call;                                                                   \
    }
BUILD_NUMBER(leaky_relu, sw_leaky_relu(in[0], 0.1))
BUILD_NUMBER(elu, sw_elu(in[0], 1.3))
BUILD_NUMBER(clamp, sw_clamp(in[0], -1.03, 0.97))
BUILD_NUMBER(square, sw_pow(in[0], 2))
BUILD_NUMBER(cube, sw_pow(in[0], 3))
BUILD_NUMBER(inverse, sw_pow(in[0], -1))
BUILD_NUMBER(root, sw_pow(in[0], 0.3))
static sw_tensor build_linear(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_linear(in[0], in[1], (sw_tensor){0});
}
static sw_tensor build_linear_bias(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_linear(in[0], in[1], in[2]);
}
static sw_tensor build_reshape(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_reshape(in[0], SW_SHAPE(-1));
}
static sw_tensor build_dropout(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_dropout(in[0], 0.4, 7);
}
/* detach(b) is read and gets nothing */
static sw_tensor build_detach(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_mul(in[0], sw_detach(sw_tanh(in[1])));
}
/* Intermediates whose vjp hands the cotangent on, each used several times. */
static sw_tensor build_passes(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    sw_tensor h = sw_add(in[0], in[1]);
    sw_tensor flat = sw_reshape(h, SW_SHAPE(-1)), again = sw_reshape(flat, SW_SHAPE(2, -1));
    sw_tensor twice = sw_add(h, h), thrice = sw_add(twice, sw_reshape(flat, SW_SHAPE(2, -1)));
    return sw_add(sw_mul(sw_add(thrice, again), h), sw_sub(again, sw_add(again, twice)));
}
/* One tensor as both inputs of an op, and in two ops. */
static sw_tensor build_shared(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    sw_tensor x = in[0], square = sw_mul(x, x), product = sw_matmul(x, x);
    sw_tensor none = sw_mse(x, x), own = sw_linear(x, x, (sw_tensor){0});
    return sw_add(sw_add(sw_sub(square, sw_tanh(x)), sw_add(product, x)),
                  sw_add(none, sw_mul(own, sw_sub(x, x))));
}
static sw_tensor build_bce_shared(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_bce_with_logits(in[0], in[0]);
}
/* A reduced gradient beside a stored one, for the same tensor. */
static sw_tensor build_row_and_whole(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_add(sw_mul(in[0], in[1]), sw_sub(in[1], sw_mul(in[1], in[0])));
}
static sw_tensor build_identity(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return in[0];
}

#define BROADCASTS                                                                              \
    "[4,3][4,3] [4,3][3] [3][4,3] [4,1][3] [3][4,1] [1][2,3,4] [2,3,4][1] [2,1,4][3,1] [][] "   \
    "[][2,2] [2,2][] [1][1] [1,1][1] [2,3,4][2,1,1] [2,1,4][2,3,1] [2,3,4][3,1] [0,3][3] "      \
    "[3][0,3] [2,0][1] [0][1] [2,1,3,1,2][1,4,1,2,2] [1,1,1,1,1,1,1,2][2,1,1,1,1,1,1,1] "       \
    "[3,1,1][1,1,5] [5][5] [3,4][1,4] [3,1][3,4]"
#define SHAPES "[] [1] [5] [4,3] [2,3,4] [0] [0,3] [1,1,1] [37]"

static const op_entry ops[] = {
    {"add", build_add, 2, {REAL, REAL}, BROADCASTS},
    {"sub", build_sub, 2, {REAL, REAL}, BROADCASTS},
    {"mul", build_mul, 2, {REAL, REAL}, BROADCASTS},
    {"scale", build_scale, 1, {REAL}, SHAPES},
    {"matmul",
     build_matmul,
     2,
     {REAL, REAL},
     "[2,3][3,4] [1,1][1,1] [5,1][1,2] [1,7][7,1] [0,3][3,2] [2,0][0,3] [2,3][3,0] [3,3][3,3]"},
    {"linear",
     build_linear,
     2,
     {REAL, REAL},
     "[2,3][4,3] [1,1][1,1] [0,3][2,3] [2,0][3,0] [5,4][1,4]"},
    {"linear with bias",
     build_linear_bias,
     3,
     {REAL, REAL, REAL},
     "[2,3][4,3][4] [1,1][1,1][1] [0,3][2,3][2] [2,0][3,0][3] [5,4][1,4][1] [3,2][0,2][0]"},
    {"div", build_div, 2, {REAL, AWAY}, BROADCASTS},
    {"maximum", build_maximum, 2, {REAL, REAL}, BROADCASTS},
    {"minimum", build_minimum, 2, {REAL, REAL}, BROADCASTS},
    {"neg", build_neg, 1, {REAL}, SHAPES},
    {"exp", build_exp, 1, {REAL}, SHAPES},
    {"log", build_log, 1, {POSITIVE}, SHAPES},
    {"sqrt", build_sqrt, 1, {POSITIVE}, SHAPES},
    {"abs", build_abs, 1, {AWAY}, SHAPES},
    {"sin", build_sin, 1, {REAL}, SHAPES},
    {"cos", build_cos, 1, {REAL}, SHAPES},
    {"sigmoid", build_sigmoid, 1, {REAL}, SHAPES},
    {"silu", build_silu, 1, {REAL}, SHAPES},
    {"softplus", build_softplus, 1, {REAL}, SHAPES},
    {"gelu", build_gelu, 1, {REAL}, SHAPES},
    {"gelu_tanh", build_gelu_tanh, 1, {REAL}, SHAPES},
    {"leaky_relu", build_leaky_relu, 1, {AWAY}, SHAPES},
    {"elu", build_elu, 1, {AWAY}, SHAPES},
    {"clamp", build_clamp, 1, {AWAY}, SHAPES},
    {"pow 2", build_square, 1, {REAL}, SHAPES},
    {"pow 3", build_cube, 1, {AWAY}, SHAPES},
    {"pow -1", build_inverse, 1, {AWAY}, SHAPES},
    {"pow 0.3", build_root, 1, {POSITIVE}, SHAPES},
    {"relu", build_relu, 1, {AWAY}, SHAPES},
    {"tanh", build_tanh, 1, {REAL}, SHAPES},
    {"sum", build_sum, 1, {REAL}, SHAPES},
    {"mean", build_mean, 1, {REAL}, SHAPES},
    {"reshape", build_reshape, 1, {REAL}, SHAPES},
    {"dropout", build_dropout, 1, {REAL}, SHAPES " [3,130] [130,3]"},
    {"cross_entropy",
     build_cross_entropy,
     2,
     {REAL, IDS},
     "[4,3][4] [1,1][1] [5,1][5] [1,7][1] [0,3][0] [0,0][0] [9,33][9]"},
    {"mse", build_mse, 2, {REAL, REAL}, "[4,3][4,3] [][] [1][1] [0][0] [2,3,4][2,3,4] [70][70]"},
    {"bce_with_logits",
     build_bce_with_logits,
     2,
     {REAL, UNIT},
     "[4,3][4,3] [][] [1][1] [0][0] [2,3,4][2,3,4] [70][70]"},
    {"detach", build_detach, 2, {REAL, FIXED}, "[4,3][4,3] [][] [4,3][3] [0][1]"},
    {"passes", build_passes, 2, {REAL, REAL}, "[2,3][2,3] [2,1][2,1] [2,3][3] [1][2,2] [2,0][2,0]"},
    {"shared", build_shared, 1, {REAL}, "[3,3] [1,1] [2,2] [0,0]"},
    {"bce shared", build_bce_shared, 1, {UNIT}, "[4,3] [] [35]"},
    {"row and whole", build_row_and_whole, 2, {REAL, REAL}, "[4,3][3] [2,2][] [2,3,2][3,1] [1][2]"},
    {"identity", build_identity, 1, {REAL}, "[3] []"},
};
enum { OPS = sizeof ops / sizeof *ops };

/* ---- Cases from the table ---- */

typedef struct op_case {
    const op_entry *op;
    int number; /* of the case within the entry */
    sw_array in[3];
} op_case;

static double draw(kind k, uint64_t *seed) {
    double x = test_uniform(seed, -2, 2);
    if (k == AWAY)
        return x < 0 ? x - 0.1 : x + 0.1;
    if (k == POSITIVE)
        return fabs(x) + 0.1;
    return k == UNIT ? 0.05 + 0.225 * (x + 2) : x;
}

/* Reads the next group of shapes; false at the end. Values are exact in f32. */
static bool next_case(const char **at, sw_dtype type, op_case *c) {
    uint64_t seed = 1000 + (uint64_t)c->number++;
    for (int i = 0; i < c->op->inputs; i++) {
        int64_t shape[SW_MAX_RANK];
        int rank = 0;
        while (**at == ' ')
            ++*at;
        if (**at == 0) {
            assert_int_equal(i, 0); /* no group is cut short */
            return false;
        }
        assert_int_equal(*(*at)++, '[');
        while (**at != ']') {
            char *end;
            shape[rank++] = strtoll(*at, &end, 10);
            *at = end + (*end == ',');
        }
        ++*at;
        kind k = c->op->kinds[i];
        c->in[i] = test_array(k == IDS ? SW_I32 : type, rank, shape);
        for (int64_t j = 0; j < sw_array_count(&c->in[i]); j++) {
            const sw_array *first = &c->in[0];
            if (k == IDS)
                test_set(&c->in[i], j,
                         (double)(test_random(&seed) % (uint64_t)first->shape[first->rank - 1]));
            else
                test_set(&c->in[i], j, (double)(float)draw(k, &seed));
        }
    }
    return true;
}

static void free_case(op_case *c) {
    for (int i = 0; i < c->op->inputs; i++)
        test_array_free(&c->in[i]);
}

/* ---- Gradients of all, each input with and without gradient ---- */

static void test_gradients(void **state) {
    (void)state;
    int checks = 0;
    for (int o = 0; o < OPS; o++) {
        op_case c = {.op = &ops[o]};
        const char *at = c.op->shapes;
        while (next_case(&at, SW_F64, &c)) {
            unsigned fixed = 0, all = (1u << c.op->inputs) - 1;
            for (int i = 0; i < c.op->inputs; i++)
                if (c.op->kinds[i] == FIXED || c.op->kinds[i] == IDS)
                    fixed |= 1u << i;
            for (unsigned mask = 0; mask <= all; mask++) {
                if ((mask & fixed) != fixed)
                    continue;
                /* A difference quotient of step 1e-6 errs by h²|f'''|/6 < 1e-11 and by rounding,
                 * 2^-52·|f|/h < 1e-8 for |f| up to 40: the defaults 1e-7 and 1e-6 leave room. */
                sw_gradcheck_options options = {.size = sizeof options, .seed = 5 + mask,
                                                .no_grad = mask};
                double worst = -1;
                sw_status status = sw_gradcheck(c.op->build, NULL, c.op->inputs, c.in, &options,
                                                &worst);
                if (mask == all) { /* nothing has a gradient */
                    assert_int_equal(status, SW_ERR_STATE);
                    sw_clear_error();
                    continue;
                }
                if (status != SW_OK)
                    fail_msg("%s, case %d, mask %u: %s", c.op->name, c.number, mask, sw_error());
                assert_true(worst >= 0 && worst <= 1);
                checks++;
            }
            free_case(&c);
        }
        assert_true(c.number > 1);
    }
    assert_true(checks > 250); /* the table was read to its end */
}

/* ---- f32 against f64 ---- */

static void run_case(const op_case *c, sw_tensor *in, sw_tape *tape, sw_array *out) {
    sw_tape_reset(tape);
    sw_tape_set_draw(tape, 3);
    for (int i = 0; i < c->op->inputs; i++)
        in[i] = c->op->kinds[i] == IDS || c->op->kinds[i] == FIXED ? sw_input(tape, c->in[i])
                                                                   : sw_variable(tape, c->in[i]);
    sw_tensor y = c->op->build(NULL, tape, in);
    *out = sw_value(y);
    expect_no_error();
    sw_array cotangent = test_filled(out->type, out->rank, out->shape, -1, 1, 77);
    assert_int_equal(sw_backward_from(y, cotangent), SW_OK);
    test_array_free(&cotangent);
}

/* Inputs are below 2.1, so a term of a sum is below 2.1² < 5 (below 2.1³ < 10 in "passes" and
 * "shared", whose sums are short). L terms in any order err by at most u·(L + 8)·Σ|terms|, with
 * u = 2^-24 and 8 for the roundings inside a term; Σ|terms| ≤ 10·L. L: the elements of the longest
 * array at hand. */
static void expect_close(const op_case *c, const sw_array *narrow, const sw_array *wide, double L) {
    assert_int_equal(narrow->rank, wide->rank);
    double tolerance = 0x1p-24 * (L + 8) * 10 * L;
    for (int64_t i = 0; i < sw_array_count(wide); i++) {
        double a = test_get(narrow, i), b = test_get(wide, i);
        if (!(fabs(a - b) <= tolerance || (isnan(a) && isnan(b))))
            fail_msg("%s, case %d, element %lld: f32 %.9g, f64 %.9g", c->op->name, c->number,
                     (long long)i, a, b);
    }
}

static void test_f32_against_f64(void **state) {
    (void)state;
    sw_tape *t32 = sw_tape_new(), *t64 = sw_tape_new();
    for (int o = 0; o < OPS; o++) {
        op_case c32 = {.op = &ops[o]}, c64 = {.op = &ops[o]};
        const char *at32 = ops[o].shapes, *at64 = ops[o].shapes;
        while (next_case(&at64, SW_F64, &c64) && next_case(&at32, SW_F32, &c32)) {
            sw_tensor in32[3], in64[3];
            sw_array out32, out64;
            double longest = 1;
            run_case(&c32, in32, t32, &out32);
            run_case(&c64, in64, t64, &out64);
            for (int i = 0; i < ops[o].inputs; i++)
                longest = fmax(longest, (double)sw_array_count(&c64.in[i]));
            longest = fmax(longest, (double)sw_array_count(&out64));
            assert_int_equal(out32.type, SW_F32);
            assert_int_equal(out64.type, SW_F64);
            expect_close(&c64, &out32, &out64, longest);
            for (int i = 0; i < ops[o].inputs; i++) {
                sw_array g32 = sw_grad_of(in32[i]), g64 = sw_grad_of(in64[i]);
                assert_int_equal(g32.data != NULL, g64.data != NULL);
                if (g64.data)
                    expect_close(&c64, &g32, &g64, longest);
            }
            free_case(&c32);
            free_case(&c64);
        }
    }
    sw_tape_free(t32);
    sw_tape_free(t64);
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
static void test_broadcast_values(void **state) {
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
        sw_array sum = sw_value(sw_add(a, b)), difference = sw_value(sw_sub(a, b)),
                 product = sw_value(sw_mul(a, b));
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

static void test_product_values(void **state) {
    (void)state;
    enum { M = 5, K = 7, N = 4 };
    sw_array a = test_filled(SW_F64, SW_SHAPE(M, K), -2, 2, 1),
             b = test_filled(SW_F64, SW_SHAPE(K, N), -2, 2, 2),
             w = test_filled(SW_F64, SW_SHAPE(N, K), -2, 2, 3),
             bias = test_filled(SW_F64, SW_SHAPE(N), -2, 2, 4);
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
            assert_true(fabs(test_get(&with, m * N + n) - (aw + test_get(&bias, n))) <=
                        product_tolerance);
        }
    sw_tape_free(tape);
    test_array_free(&a);
    test_array_free(&b);
    test_array_free(&w);
    test_array_free(&bias);
}

static void test_scalar_values(void **state) {
    (void)state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(6, 5), -2, 2, 8),
             y = test_filled(SW_F64, SW_SHAPE(6, 5), 0, 1, 9);
    int32_t ids[6] = {0, 4, 2, 2, 1, 3};
    sw_tape *tape = sw_tape_new();
    sw_tensor tx = sw_input(tape, x), ty = sw_input(tape, y),
              tid = sw_input(tape, sw_array_of(ids, SW_I32, SW_SHAPE(6)));
    long double sum = 0, mse = 0, bce = 0, ce = 0;
    for (int r = 0; r < 6; r++) {
        long double total = 0;
        for (int c = 0; c < 5; c++) {
            long double z = (long double)test_get(&x, r * 5 + c),
                        t = (long double)test_get(&y, r * 5 + c);
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
static void test_empty(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    sw_tensor none = sw_buffer(tape, SW_F32, SW_SHAPE(0, 3));
    sw_tensor ids = sw_buffer(tape, SW_I32, SW_SHAPE(0));
    assert_true(sw_item(sw_sum(none)) == 0);
    assert_true(isnan(sw_item(sw_mean(none))));
    assert_true(isnan(sw_item(sw_mse(none, none))));
    assert_true(isnan(sw_item(sw_cross_entropy(none, ids))));
    /* An empty product is a matrix of zeros. */
    sw_array zeros = sw_value(sw_matmul(sw_buffer(tape, SW_F64, SW_SHAPE(2, 0)),
                                        sw_buffer(tape, SW_F64, SW_SHAPE(0, 3))));
    for (int i = 0; i < 6; i++)
        assert_true(test_get(&zeros, i) == 0);
    expect_no_error();
    sw_tape_free(tape);
}

/* ---- Extremes ---- */

/* Logits of ±1e4: e^z overflows, the loss must not. For [a, -a], id 1 the loss is 2a to rounding.
 */
static void test_extreme_logits(void **state) {
    (void)state;
    for (int type = SW_F32; type <= SW_F64; type++) {
        sw_array z = test_array((sw_dtype)type, SW_SHAPE(3, 2)),
                 y = test_array((sw_dtype)type, SW_SHAPE(3, 2));
        const double values[6] = {1e4, -1e4, -1e4, 1e4, 1e4, 1e4}, targets[6] = {0, 1, 1, 1, 0, 0};
        for (int i = 0; i < 6; i++) {
            test_set(&z, i, values[i]);
            test_set(&y, i, targets[i]);
        }
        int32_t ids[3] = {1, 1, 0};
        sw_tape *tape = sw_tape_new();
        sw_tensor t = sw_variable(tape, z);
        sw_tensor loss = sw_cross_entropy(t, sw_input(tape, sw_array_of(ids, SW_I32, SW_SHAPE(3))));
        /* rows: 2e4, 0, log 2; the error: an ulp of 2e4 in the element type */
        assert_true(fabs(sw_item(loss) - (2e4 + log(2)) / 3) <= 2e4 * (type ? 0x1p-52 : 0x1p-23));
        assert_int_equal(sw_backward(loss), SW_OK);
        sw_array g = sw_grad_of(t);
        /* (softmax - one-hot)/3, each entry with one rounding */
        const double expected[6] = {1. / 3, -1. / 3, 0, 0, -1. / 6, 1. / 6};
        for (int i = 0; i < 6; i++)
            assert_true(fabs(test_get(&g, i) - expected[i]) <= (type ? 0x1p-53 : 0x1p-24));
        sw_tensor u = sw_variable(tape, z), bce = sw_bce_with_logits(u, sw_input(tape, y));
        /* terms: 1e4, 1e4, 1e4, 0, 1e4, 1e4 */
        assert_true(fabs(sw_item(bce) - 5e4 / 6) <= 5e4 * (type ? 0x1p-52 : 0x1p-23));
        assert_int_equal(sw_backward(bce), SW_OK);
        g = sw_grad_of(u);
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
static void test_nan_is_seen(void **state) {
    (void)state;
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int where = 0; where < 40; where++)
            for (int32_t id = 0; id < 40; id += 13) {
                sw_array z = test_filled((sw_dtype)type, SW_SHAPE(1, 40), -1, 1, 3),
                         y = test_filled((sw_dtype)type, SW_SHAPE(1, 40), 0, 1, 4);
                test_set(&z, where, (double)NAN);
                sw_tape *tape = sw_tape_new();
                sw_tensor t = sw_input(tape, z), target = sw_input(tape, y);
                sw_tensor ids = sw_input(tape, sw_array_of(&id, SW_I32, SW_SHAPE(1)));
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

static void test_relu_kink(void **state) {
    (void)state;
    const double x[6] = {-1, -0.0, 0.0, 1e-300, 3, -1e-300};
    const double expected[6] = {0, 0, 0, 1, 1, 0};
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_variable(tape, sw_array_of(x, SW_F64, SW_SHAPE(6)));
    assert_int_equal(sw_backward(sw_sum(sw_relu(t))), SW_OK);
    sw_array g = sw_grad_of(t);
    for (int i = 0; i < 6; i++)
        assert_true(test_get(&g, i) == expected[i]);
    sw_tape_free(tape);
}

static void test_detach_gives_no_gradient(void **state) {
    (void)state;
    const double x[3] = {2, -3, 5};
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_variable(tape, sw_array_of(x, SW_F64, SW_SHAPE(3)));
    assert_int_equal(sw_backward(sw_sum(sw_mul(t, sw_detach(t)))), SW_OK);
    sw_array g = sw_grad_of(t);
    for (int i = 0; i < 3; i++)
        assert_true(test_get(&g, i) == x[i]); /* not 2x */
    sw_tape_free(tape);
}

/* ---- Wrong derivatives must be found ---- */

typedef enum wrongness {
    RIGHT, FLIPPED_SIGN, NO_FACTOR, NO_GRADIENT, WRONG_SIZE, WRONG_TYPE, FAILS, ASKS_FOR_ALL
} wrongness;

static sw_status triple_shape(sw_call *call) {
    if (*(const wrongness *)call->attributes == WRONG_SIZE)
        return sw_shape_set(call, SW_F64, 0, NULL);
    return sw_shape_like(call, 0);
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
        sw_pass(call, 0);
        sw_pass(call, 1);
        return SW_OK;
    }
    if (wrong == FAILS)
        return sw_fail(SW_ERR_USER, "triple: no luck");
    for (int i = 0; i < 2; i++) {
        if ((!sw_wants(call, i) && wrong != ASKS_FOR_ALL) || (i == 1 && wrong == NO_GRADIENT))
            continue;
        const double *dy = call->cotangent, *other = call->in[1 - i]->data;
        double *d = sw_cotangent(call, i);
        if (!d)
            return SW_ERR_MEMORY;
        double factor = wrong == NO_FACTOR && i == 1 ? 1 : wrong == FLIPPED_SIGN && i == 1 ? -3 : 3;
        for (int64_t j = 0; j < call->out->count; j++)
            d[j] = factor * dy[j] * other[j];
    }
    return SW_OK;
}

static const sw_op triple_op = {.size = sizeof(sw_op), .name = "triple", .shape = triple_shape,
                                .forward = triple_forward, .vjp = triple_vjp,
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
        {NO_GRADIENT, SW_ERR_STATE, "triple: its vjp returned no gradient for input 1"},
        {WRONG_SIZE, SW_ERR_SHAPE,
         "triple: its vjp passed the cotangent [] on to input 0 of shape [2,3]"},
        {FAILS, SW_ERR_USER, "triple: no luck"},
    };
    sw_array in[2] = {test_filled(SW_F64, SW_SHAPE(2, 3), 0.5, 2, 1),
                      test_filled(SW_F64, SW_SHAPE(2, 3), 0.5, 2, 2)};
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
        /* Where nobody asks for input 1, its flaw is nobody's. */
        if (wrong == FLIPPED_SIGN || wrong == NO_GRADIENT) {
            const sw_gradcheck_options only_first = {.size = sizeof only_first, .no_grad = 2};
            assert_int_equal(sw_gradcheck(build_triple, &wrong, 2, in, &only_first, NULL), SW_OK);
        }
    }
    test_array_free(&in[0]);
    test_array_free(&in[1]);
}

/* The difference quotient moves the data and puts them back, bit for bit. */
static void test_gradcheck_restores(void **state) {
    (void)state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(4, 3), -2, 2, 5);
    uint64_t before = test_hash(TEST_HASH, x.data, test_bytes(&x));
    assert_int_equal(sw_gradcheck(build_tanh, NULL, 1, &x, NULL, NULL), SW_OK);
    assert_true(before == test_hash(TEST_HASH, x.data, test_bytes(&x)));
    sw_array narrow = test_filled(SW_F32, SW_SHAPE(3), -2, 2, 5);
    assert_int_equal(sw_gradcheck(build_tanh, NULL, 1, &narrow, NULL, NULL), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "gradcheck: the result is f32; f64 is needed");
    test_array_free(&x);
    test_array_free(&narrow);
}

/* A vjp that passes on a cotangent of another element type. */
static sw_status cast_shape(sw_call *call) {
    return sw_shape_set(call, SW_F64, call->in[0]->rank, call->in[0]->shape);
}
static sw_status cast_forward(sw_call *call) {
    for (int64_t i = 0; i < call->out->count; i++)
        ((double *)call->out->data)[i] = (double)((const float *)call->in[0]->data)[i];
    return SW_OK;
}
static sw_status cast_vjp(sw_call *call) {
    sw_pass(call, 0);
    return SW_OK;
}
static const sw_op cast_op = {.size = sizeof(sw_op), .name = "cast", .shape = cast_shape,
                              .forward = cast_forward, .vjp = cast_vjp};

static void test_wrong_type_is_found(void **state) {
    (void)state;
    const float x[3] = {1, 2, 3};
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_variable(tape, sw_array_of(x, SW_F32, SW_SHAPE(3)));
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
            total += ((const double *)call->in[i]->data)[j] *
                     ((const double *)call->in[(i + 1) % call->inputs]->data)[j];
        ((double *)call->out->data)[j] = total;
    }
    return SW_OK;
}
static sw_status blend_vjp(sw_call *call) {
    int n = call->inputs;
    for (int i = 0; i < n; i++) {
        if (!sw_wants(call, i))
            continue;
        double *d = sw_cotangent(call, i);
        if (!d)
            return SW_ERR_MEMORY;
        for (int64_t j = 0; j < call->out->count; j++)
            d[j] = ((const double *)call->cotangent)[j] *
                   (((const double *)call->in[(i + 1) % n]->data)[j] +
                    ((const double *)call->in[(i + n - 1) % n]->data)[j]);
    }
    return SW_OK;
}
static const sw_op blend_op = {.size = sizeof(sw_op), .name = "blend",
                               .shape = sw_shape_broadcast, .forward = blend_forward,
                               .vjp = blend_vjp, .vjp_reads = ~SW_READS_OUT};

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

static void test_many_inputs(void **state) {
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
        cmocka_unit_test_setup(test_gradients, test_clear),
        cmocka_unit_test_setup(test_f32_against_f64, test_clear),
        cmocka_unit_test_setup(test_broadcast_values, test_clear),
        cmocka_unit_test_setup(test_product_values, test_clear),
        cmocka_unit_test_setup(test_scalar_values, test_clear),
        cmocka_unit_test_setup(test_empty, test_clear),
        cmocka_unit_test_setup(test_extreme_logits, test_clear),
        cmocka_unit_test_setup(test_nan_is_seen, test_clear),
        cmocka_unit_test_setup(test_relu_kink, test_clear),
        cmocka_unit_test_setup(test_detach_gives_no_gradient, test_clear),
        cmocka_unit_test_setup(test_wrong_derivatives_are_found, test_clear),
        cmocka_unit_test_setup(test_gradcheck_restores, test_clear),
        cmocka_unit_test_setup(test_wrong_type_is_found, test_clear),
        cmocka_unit_test_setup(test_many_inputs, test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
