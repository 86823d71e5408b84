/* Attention beyond the table in op_table.h: random shapes and options against the formula in attention.h and its
 * derivative, causality, queries that continue cached keys, dropout, queries that see no key, options out of range. */
#include "support.h"

#include "core/kernels/attention_short.h"

#include <swale/dry_run.h>
#include <swale/extend.h>

/* ---- The formula, in f64 ---- */

typedef struct trial {
    sw_attention_options options;
    int64_t batch, heads, queries, keys, features, values; /* features and values of a head */
    sw_array q, k, v, mask, padding, dout;
    sw_array out, dq, dk, dv, dmask; /* of the formula */
} trial;

static int64_t between(uint64_t *seed, int64_t least, int64_t most) {
    return least + (int64_t)(test_random(seed) % (uint64_t)(most - least + 1));
}

static trial trial_new(sw_dtype type, uint64_t *seed) {
    trial t = {.options = {.size = sizeof t.options},
               .batch = between(seed, 1, 2),
               .heads = between(seed, 1, 3),
               .queries = between(seed, 1, 150),
               .keys = between(seed, 1, 100),
               .features = between(seed, 1, 20),
               .values = between(seed, 1, 35)};
    const int64_t B = t.batch, Q = t.queries, K = t.keys, H = t.heads;
    t.options.heads = (int)H;
    t.options.scale = test_random(seed) % 2 ? test_uniform(seed, -1, 1) : 0;
    t.options.causal = test_random(seed) % 2 == 0;
    t.options.first_position = t.options.causal && test_random(seed) % 2 ? between(seed, 0, 40) : 0;
    t.q = test_filled(type, SW_SHAPE(B, Q, H * t.features), -1, 1, test_random(seed));
    t.k = test_filled(type, SW_SHAPE(B, K, H * t.features), -1, 1, test_random(seed));
    t.v = test_filled(type, SW_SHAPE(B, K, H * t.values), -1, 1, test_random(seed));
    t.dout = test_filled(type, SW_SHAPE(B, Q, H * t.values), -1, 1, test_random(seed));
    const uint64_t kind = test_random(seed) % 3, shape = test_random(seed) % 8;
    if (kind > 0) /* each axis may have length 1 */
        t.mask = test_filled(kind == 1 ? SW_U8 : type,
                             SW_SHAPE(B, shape & 1 ? H : 1, shape & 2 ? Q : 1, shape & 4 ? K : 1), -1, 1, 3);
    for (int64_t i = 0; kind == 1 && i < sw_array_count(&t.mask); i++)
        test_set(&t.mask, i, (double)(test_random(seed) % 2));
    if (test_random(seed) % 2) {
        t.padding = test_array(SW_U8, SW_SHAPE(B, K));
        for (int64_t i = 0; i < B * K; i++)
            test_set(&t.padding, i, (double)(test_random(seed) % 3 == 0));
    }
    t.out = test_array(SW_F64, SW_SHAPE(B, Q, H * t.values));
    t.dq = test_array(SW_F64, SW_SHAPE(B, Q, H * t.features));
    t.dk = test_array(SW_F64, SW_SHAPE(B, K, H * t.features));
    t.dv = test_array(SW_F64, SW_SHAPE(B, K, H * t.values));
    if (kind == 2)
        t.dmask = test_array(SW_F64, t.mask.rank, t.mask.shape);
    return t;
}

static void trial_free(trial *t) {
    sw_array *all[] = {&t->q,   &t->k,  &t->v,  &t->mask, &t->padding, &t->dout,
                       &t->out, &t->dq, &t->dk, &t->dv,   &t->dmask};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->data)
            test_array_free(all[i]);
}

static void add_to(const sw_array *a, int64_t at, double x) {
    test_set(a, at, test_get(a, at) + x);
}

/* The element of the mask for a score. */
static int64_t mask_at(const trial *t, int64_t b, int64_t h, int64_t i, int64_t j) {
    const int64_t *n = t->mask.shape, index[4] = {b, h, i, j};
    int64_t at = 0;
    for (int axis = 0; axis < 4; axis++)
        at = at * n[axis] + (n[axis] == 1 ? 0 : index[axis]);
    return at;
}

/* The scores of one query; -∞ for keys that it does not see. */
static void formula_scores(const trial *t, int64_t b, int64_t h, int64_t i, double scale, double *score) {
    const int64_t d = t->features, H = t->heads;
    for (int64_t j = 0; j < t->keys; j++) {
        score[j] = 0;
        for (int64_t c = 0; c < d; c++)
            score[j] += scale * test_get(&t->q, ((b * t->queries + i) * H + h) * d + c) *
                        test_get(&t->k, ((b * t->keys + j) * H + h) * d + c);
        const double mask = t->mask.data ? test_get(&t->mask, mask_at(t, b, h, i, j)) : 0;
        if (t->mask.data && t->mask.type != SW_U8)
            score[j] += mask;
        if ((t->mask.data && t->mask.type == SW_U8 && mask == 0) ||
            (t->options.causal && j > t->options.first_position + i) ||
            (t->padding.data && test_get(&t->padding, b * t->keys + j) != 0))
            score[j] = -INFINITY;
    }
}

static void softmax(int64_t n, double *x) {
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++)
        max = fmax(max, x[j]);
    for (int64_t j = 0; j < n; j++)
        sum += x[j] = isinf(max) ? 0 : exp(x[j] - max);
    for (int64_t j = 0; j < n; j++)
        x[j] = sum > 0 ? x[j] / sum : 0;
}

/* One query: its result, and its terms of the gradients. */
static void formula_query(const trial *t, int64_t b, int64_t h, int64_t i) {
    double p[128], slope[128], total = 0;
    const int64_t d = t->features, e = t->values, H = t->heads, q = ((b * t->queries + i) * H + h) * d,
                  o = ((b * t->queries + i) * H + h) * e;
    const double scale = t->options.scale != 0 ? t->options.scale : 1 / sqrt((double)d);
    formula_scores(t, b, h, i, scale, p);
    softmax(t->keys, p);
    for (int64_t j = 0; j < t->keys; j++) {
        const int64_t v = ((b * t->keys + j) * H + h) * e;
        slope[j] = 0;
        for (int64_t c = 0; c < e; c++) {
            add_to(&t->out, o + c, p[j] * test_get(&t->v, v + c));
            add_to(&t->dv, v + c, p[j] * test_get(&t->dout, o + c));
            slope[j] += test_get(&t->v, v + c) * test_get(&t->dout, o + c);
        }
        total += p[j] * slope[j];
    }
    for (int64_t j = 0; j < t->keys; j++) {
        const int64_t k = ((b * t->keys + j) * H + h) * d;
        slope[j] = p[j] * (slope[j] - total);
        if (t->dmask.data)
            add_to(&t->dmask, mask_at(t, b, h, i, j), slope[j]);
        for (int64_t c = 0; c < d; c++) {
            add_to(&t->dq, q + c, scale * slope[j] * test_get(&t->k, k + c));
            add_to(&t->dk, k + c, scale * slope[j] * test_get(&t->q, q + c));
        }
    }
}

/* Numbers are below 1; a sum has at most 150·2·3·100 terms, below 35 each (the gradient of a mask of one element, each
 * with some 100 roundings). Their sum of absolute values is far smaller, because probabilities add up to 1: at most
 * 900·35. 2^-53·200·900·35 = 7e-10 and 2^-24·200·900·35 = 0.38 are bounds of the worst case; roundings are
 * independent, so that errors are of the order of the square root of their number: 1e-12 and 5e-4. */
static void expect_near(const char *what, int round, const sw_array *own, const sw_array *expected) {
    const double tolerance = own->type == SW_F64 ? 1e-12 : 5e-4;
    assert_int_equal(sw_array_count(own), sw_array_count(expected));
    for (int64_t i = 0; i < sw_array_count(expected); i++)
        if (!(fabs(test_get(own, i) - test_get(expected, i)) <= tolerance))
            fail_msg("round %d, %s, element %lld: %.17g, the formula gives %.17g", round, what, (long long)i,
                     test_get(own, i), test_get(expected, i));
}

static void expect_formula(sw_dtype type, int rounds, uint64_t seed) {
    sw_tape *tape = sw_tape_new();
    for (int round = 0; round < rounds; round++) {
        trial t = trial_new(type, &seed);
        for (int64_t n = 0; n < t.batch * t.heads * t.queries; n++)
            formula_query(&t, n / t.queries / t.heads, n / t.queries % t.heads, n % t.queries);
        const sw_tensor q = sw_variable(tape, t.q), k = sw_variable(tape, t.k), v = sw_variable(tape, t.v);
        if (t.mask.data)
            t.options.mask = t.dmask.data ? sw_variable(tape, t.mask) : sw_input(tape, t.mask);
        if (t.padding.data)
            t.options.key_padding = sw_input(tape, t.padding);
        const sw_tensor y = sw_attention(q, k, v, &t.options);
        assert_ok(sw_backward_from(y, t.dout));
        const sw_array out = sw_value(y), dq = sw_grad(q), dk = sw_grad(k), dv = sw_grad(v);
        expect_near("the result", round, &out, &t.out);
        expect_near("the gradient of the queries", round, &dq, &t.dq);
        expect_near("the gradient of the keys", round, &dk, &t.dk);
        expect_near("the gradient of the values", round, &dv, &t.dv);
        if (t.dmask.data) {
            const sw_array dmask = sw_grad(t.options.mask);
            expect_near("the gradient of the mask", round, &dmask, &t.dmask);
        }
        sw_tape_reset(tape);
        trial_free(&t);
    }
    sw_tape_free(tape);
}

/* Some calls have more than one strip of queries and few heads, whose queries are divided into several work items. */
static void test_random_calls_agree_with_the_formula(void **state) {
    (void)state;
    expect_formula(SW_F64, 60, 1);
    expect_formula(SW_F32, 60, 2);
}

/* ---- Packed arrays ---- */

static void test_packed_call_has_the_bits_of_the_separate_one(void **state) {
    (void)state;
    enum { B = 2, T = 37, W = 24 };
    const sw_attention_options *o = &SW_OPTIONS(sw_attention_options, .heads = 3, .causal = true, .dropout = 0.2);
    sw_array x = test_filled(SW_F32, SW_SHAPE(B, T, 3 * W), -1, 1, 1),
             dout = test_filled(SW_F32, SW_SHAPE(B, T, W), -1, 1, 2), value[2], gradient[2];
    sw_tape *tape[2];
    for (int packed = 0; packed < 2; packed++) {
        tape[packed] = sw_tape_new();
        const sw_tensor in = sw_variable(tape[packed], x);
        sw_tensor part[3];
        assert_ok(sw_split(in, -1, 3, NULL, part));
        const sw_tensor y = packed ? sw_attention_packed(in, o) : sw_attention(part[0], part[1], part[2], o);
        assert_ok(sw_backward_from(y, dout));
        value[packed] = sw_value(y);
        gradient[packed] = sw_grad(in);
    }
    assert_memory_equal(value[0].data, value[1].data, test_bytes(&value[0]));
    assert_memory_equal(gradient[0].data, gradient[1].data, test_bytes(&gradient[0]));
    sw_tape_free(tape[0]), sw_tape_free(tape[1]);
    test_array_free(&x), test_array_free(&dout);
}

/* ---- Short sequences ---- */

enum { SHORT_ARRAYS = 4 }; /* the result, and the gradients by q, k and v */

/* A call of 2 heads. Keys that are padded, none of them here, are not for the kernels of short sequences. */
static void short_call(sw_tape *tape, const sw_array in[4], bool causal, bool tiles, unsigned inputs,
                       sw_array found[SHORT_ARRAYS]) {
    sw_array none = test_array(SW_U8, SW_SHAPE(in[1].shape[0], in[1].shape[1]));
    sw_tensor part[3];
    for (int i = 0; i < 3; i++)
        part[i] = inputs >> i & 1 ? sw_input_copy(tape, in[i]) : sw_variable(tape, in[i]);
    const sw_tensor y = sw_attention(part[0], part[1], part[2],
                                     &SW_OPTIONS(sw_attention_options, .heads = 2, .causal = causal, .scale = 0.7,
                                                 .key_padding = tiles ? sw_input_copy(tape, none) : (sw_tensor){0}));
    assert_ok(sw_backward_from(y, in[3]));
    found[0] = sw_value(y);
    for (int i = 0; i < 3; i++)
        found[1 + i] = inputs >> i & 1 ? sw_value(part[i]) : sw_grad(part[i]);
    test_array_free(&none);
}

static void short_compare(sw_dtype type, int64_t batch, int64_t length, bool causal, unsigned inputs) {
    enum { FEATURES = 32, VALUES = 48, HEADS = 2 };
    sw_array in[4];
    for (int i = 0; i < 4; i++)
        in[i] = test_filled(type, SW_SHAPE(batch, length, HEADS * (i < 2 ? FEATURES : VALUES)), -2, 2, 5 + (uint64_t)i);
    test_set(&in[0], 3, 1e9); /* some probabilities are 0 and 1 */
    sw_array found[2][SHORT_ARRAYS];
    sw_tape *tape[2];
    for (int tiles = 0; tiles < 2; tiles++) {
        tape[tiles] = sw_tape_new();
        short_call(tape[tiles], in, causal, tiles, inputs, found[tiles]);
    }
    for (int i = 0; i < SHORT_ARRAYS; i++)
        assert_memory_equal(found[0][i].data, found[1][i].data, test_bytes(&found[0][i]));
    for (int i = 0; i < 4; i++)
        test_array_free(&in[i]);
    sw_tape_free(tape[0]), sw_tape_free(tape[1]);
}

/* The kernels of short sequences, whose lanes are samples, have the bits of those whose lanes are queries, also where
 * the last group of samples is not full, and where some inputs need no gradient. */
static void test_short_sequences_have_the_bits_of_tiles(void **state) {
    (void)state;
    static const int64_t batches[] = {8, 16, 19, 33};
    sw_attention_problem problem = {.type = SW_F32, .batch = 8, .heads = 2, .features = 32, .values = 48};
    for (int64_t length = 1; length <= 5; length++) { /* else the tiles would be compared with themselves */
        problem.queries = problem.keys = length;
        assert_true(swi_short_fits(&problem) == (length >= 2 && length <= 4));
    }
    for (sw_dtype type = SW_F32; type <= SW_F64; type++)
        for (int64_t length = 1; length <= 5; length++)
            for (int causal = 0; causal < 2; causal++)
                for (size_t b = 0; b < sizeof batches / sizeof *batches; b++)
                    short_compare(type, batches[b], length, causal, b < 3 ? 0 : 1 + (unsigned)length);
}

/* ---- Causality ---- */

enum { LENGTH = 75, WIDTH = 12 };

static sw_array causal_value(sw_tape *tape, const sw_array *q, const sw_array *k, const sw_array *v, int64_t first) {
    const sw_array y =
        sw_value(sw_attention(sw_input(tape, *q), sw_input(tape, *k), sw_input(tape, *v),
                              &SW_OPTIONS(sw_attention_options, .heads = 2, .causal = true, .first_position = first)));
    expect_no_error();
    return y;
}

/* The queries from `first` on give the bits of all queries together. Keys after the last query are not read. */
static void test_continued_queries_have_the_bits_of_all_queries(void **state) {
    (void)state;
    sw_array q = test_filled(SW_F32, SW_SHAPE(1, LENGTH, WIDTH), -1, 1, 1),
             k = test_filled(SW_F32, SW_SHAPE(1, LENGTH, WIDTH), -1, 1, 2),
             v = test_filled(SW_F32, SW_SHAPE(1, LENGTH, WIDTH), -1, 1, 3);
    sw_tape *tape = sw_tape_new();
    const sw_array all = causal_value(tape, &q, &k, &v, 0);
    for (int64_t first = 0; first < LENGTH; first += 7)
        for (int64_t count = 1; first + count <= LENGTH; count += 9) {
            const sw_array some = sw_array_view((float *)q.data + first * WIDTH, SW_F32, SW_SHAPE(1, count, WIDTH));
            sw_array kept_k = test_filled(SW_F32, SW_SHAPE(1, LENGTH, WIDTH), -1, 1, 2),
                     kept_v = test_filled(SW_F32, SW_SHAPE(1, LENGTH, WIDTH), -1, 1, 3);
            for (int64_t i = (first + count) * WIDTH; i < LENGTH * WIDTH; i++) {
                test_set(&kept_k, i, NAN);
                test_set(&kept_v, i, NAN);
            }
            const sw_array y = causal_value(tape, &some, &kept_k, &kept_v, first);
            assert_memory_equal(y.data, (float *)all.data + first * WIDTH, test_bytes(&y));
            test_array_free(&kept_k);
            test_array_free(&kept_v);
        }
    sw_tape_free(tape);
    test_array_free(&q), test_array_free(&k), test_array_free(&v);
}

/* ---- Dropout ---- */

/* The probabilities with dropout: v is the unit matrix. ids and rows of the batch are given by `order`. */
static sw_array dropped(sw_tape *tape, int count, const int64_t *order, int64_t keys) {
    enum { DIM = 40 };
    sw_array q = test_array(SW_F64, SW_SHAPE(count, 35, 4)), k = test_array(SW_F64, SW_SHAPE(count, keys, 4)),
             v = test_array(SW_F64, SW_SHAPE(count, keys, 2 * DIM));
    for (int64_t b = 0; b < count; b++)
        for (int64_t j = 0; j < keys; j++)
            for (int64_t h = 0; h < 2; h++)
                test_set(&v, (b * keys + j) * 2 * DIM + h * DIM + j, 1);
    assert_ok(sw_tape_set_sample_ids(tape, order, count));
    sw_tape_set_draw(tape, 4);
    const sw_tensor y = sw_attention(sw_variable(tape, q), sw_input(tape, k), sw_input(tape, v),
                                     &SW_OPTIONS(sw_attention_options, .heads = 2, .dropout = 0.25, .site = 7));
    const sw_array value = sw_value(y);
    expect_no_error();
    test_array_free(&q), test_array_free(&k), test_array_free(&v); /* only the value is read from here on */
    return value;
}

static void test_dropout_depends_on_the_sample_alone(void **state) {
    (void)state;
    enum { ROW = 2 * 40, QUERIES = 35 };
    sw_tape *tapes[3];
    for (int i = 0; i < 3; i++) {
        tapes[i] = sw_tape_new();
        sw_tape_set_seed(tapes[i], 11);
    }
    const sw_array a = dropped(tapes[0], 3, (const int64_t[]){5, 8, 1}, 40),
                   b = dropped(tapes[1], 2, (const int64_t[]){1, 5}, 40),
                   c = dropped(tapes[2], 1, (const int64_t[]){5}, 20);
    int64_t zeros = 0;
    for (int64_t i = 0; i < QUERIES * ROW; i++) {
        const double x = test_get(&a, i);
        assert_true(x == test_get(&b, QUERIES * ROW + i)); /* sample 5 */
        assert_true(test_get(&a, 2 * QUERIES * ROW + i) == test_get(&b, i));
        assert_true(x == 0 || fabs(x - 1 / (40 * 0.75)) < 1e-15);
        if (i % 40 < 20) /* of fewer keys, the same are dropped */
            assert_true((x == 0) == (test_get(&c, i) == 0));
        zeros += x == 0;
    }
    /* A share of 0.25 of n = 2800, with a standard deviation of √(n·0.25·0.75) = 23: six of them. */
    assert_true(labs(zeros - QUERIES * ROW / 4) < 6 * 23);
    for (int i = 0; i < 3; i++)
        sw_tape_free(tapes[i]);
}

/* ---- Two backward passes ---- */

static void test_gradients_of_two_passes_are_added(void **state) {
    (void)state;
    const double tolerance = 6 * 16 * 0x1p-53; /* six terms, three of each pass, whose sums are below 16 */
    sw_array x = test_filled(SW_F64, SW_SHAPE(2, 5, 4), -1, 1, 1),
             dout = test_filled(SW_F64, SW_SHAPE(2, 5, 4), -1, 1, 2);
    for (int kind = 0; kind < 3; kind++) {
        double once[40];
        sw_tape *tape = sw_tape_new();
        const sw_tensor q = sw_variable(tape, x);
        const sw_tensor y = kind == 0
                                ? sw_attention(q, q, q, NULL)
                                : sw_linear_attention(q, q, q,
                                                      &SW_OPTIONS(sw_linear_attention_options, .causal = kind == 2,
                                                                  .map = SW_MAP_ELU, .normalized = true));
        for (int pass = 1; pass <= 2; pass++) {
            assert_ok(sw_backward_from(y, dout));
            const sw_array gradient = sw_grad(q);
            for (int i = 0; i < 40; i++) {
                if (pass == 1)
                    once[i] = test_get(&gradient, i);
                assert_true(fabs(test_get(&gradient, i) - pass * once[i]) <= tolerance);
            }
        }
        sw_tape_free(tape);
    }
    test_array_free(&x), test_array_free(&dout);
}

/* ---- Queries that see no key ---- */

static void test_query_without_keys_has_the_result_0(void **state) {
    (void)state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(1, 3, 4), -1, 1, 1), mask = test_filled(SW_F64, SW_SHAPE(3, 3), 0, 0, 1),
             dout = test_filled(SW_F64, SW_SHAPE(1, 3, 4), -1, 1, 2);
    for (int i = 3; i < 6; i++)
        test_set(&mask, i, -INFINITY);
    sw_tape *tape = sw_tape_new();
    const sw_tensor q = sw_variable(tape, x), m = sw_variable(tape, mask),
                    y = sw_attention(q, sw_input(tape, x), sw_input(tape, x),
                                     &SW_OPTIONS(sw_attention_options, .mask = m));
    assert_ok(sw_backward_from(y, dout));
    const sw_array out = sw_value(y), dq = sw_grad(q), dm = sw_grad(m);
    for (int i = 0; i < 12; i++) {
        assert_true((test_get(&out, i) == 0) == (i / 4 == 1));
        assert_true((test_get(&dq, i) == 0) == (i / 4 == 1));
    }
    for (int i = 0; i < 9; i++)
        assert_true((test_get(&dm, i) == 0) == (i / 3 == 1));
    sw_tape_free(tape);
    test_array_free(&x), test_array_free(&mask), test_array_free(&dout);
}

/* ---- Mistakes ---- */

static void expect_refused(sw_tensor y, sw_status status, const char *message) {
    assert_true(sw_is_null(y));
    expect_error(status, message);
}

static void test_options_out_of_range_are_refused(void **state) {
    (void)state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(1, 2, 4), -1, 1, 1), wrong = test_array(SW_I32, SW_SHAPE(2, 2)),
             narrow = test_array(SW_F32, SW_SHAPE(2, 2));
    sw_tape *tape = sw_tape_new();
    const sw_tensor q = sw_input(tape, x), ids = sw_input(tape, wrong), f32 = sw_input(tape, narrow);
#define REFUSED(status, message, ...) \
    expect_refused(sw_attention(q, q, q, &SW_OPTIONS(sw_attention_options, __VA_ARGS__)), status, message)
    REFUSED(SW_ERR_ARGUMENT, "attention: -1 heads; 1 or more are needed (0: 1)", .heads = -1);
    REFUSED(SW_ERR_ARGUMENT, "attention: scale inf; a finite number is needed (0: 1/√(features of a head))",
            .scale = INFINITY);
    REFUSED(SW_ERR_ARGUMENT, "attention: first_position -1; 0 to 2147483647 is needed", .first_position = -1);
    REFUSED(SW_ERR_ARGUMENT, "attention: first_position 2 without causal; set causal, or leave it out",
            .first_position = 2);
    REFUSED(SW_ERR_ARGUMENT, "attention: dropout = 1 is outside [0, 1)", .dropout = 1);
    REFUSED(SW_ERR_TYPE, "attention: the mask is i32 and input 0 is f64; u8, or the type of input 0, is needed",
            .mask = ids);
    REFUSED(SW_ERR_TYPE, "attention: the mask is f32 and input 0 is f64; u8, or the type of input 0, is needed",
            .mask = f32);
    REFUSED(SW_ERR_TYPE, "attention: the key padding is i32; u8 is needed", .key_padding = ids);
#undef REFUSED
#define REFUSED(message, ...)                                                                           \
    expect_refused(sw_linear_attention(q, q, q, &SW_OPTIONS(sw_linear_attention_options, __VA_ARGS__)), \
                   SW_ERR_ARGUMENT, message)
    REFUSED("linear_attention: -1 heads; 1 or more are needed (0: 1)", .heads = -1);
    REFUSED("linear_attention: scale nan; a finite number is needed (0: 1)", .scale = NAN);
    REFUSED("linear_attention: map 7; SW_MAP_IDENTITY or SW_MAP_ELU is needed", .map = (sw_feature_map)7);
    REFUSED("linear_attention: result 2; SW_LINEAR_OUTPUTS or SW_LINEAR_STATE is needed",
            .result = (sw_linear_result)2);
    REFUSED("linear_attention: normalized without SW_MAP_ELU; sums of other weights may be 0", .normalized = true);
    REFUSED("linear_attention: scale 2 and normalized, which removes it; give one of them", .normalized = true,
            .map = SW_MAP_ELU, .scale = 2);
#undef REFUSED
#define REFUSED(message, ...) \
    expect_refused(sw_rotary(q, &SW_OPTIONS(sw_rotary_options, __VA_ARGS__)), SW_ERR_ARGUMENT, message)
    REFUSED("rotary: -1 heads; 1 or more are needed (0: 1)", .heads = -1);
    REFUSED("rotary: base 0.5; a finite number from 1 on is needed (0: 10000)", .base = 0.5);
    REFUSED("rotary: first_position -1; 0 to 1000000 is needed", .first_position = -1);
    REFUSED("rotary: input [1,2,4] at first_position 1000000; the last position must be at most 1000000",
            .first_position = 1000000);
#undef REFUSED
    sw_tape_free(tape);
    test_array_free(&x), test_array_free(&wrong), test_array_free(&narrow);
}

/* ---- Dry runs ---- */

/* Forward has two products for each head: the scores, and the sum of the values. Backward computes the scores again,
 * and has two products for each of the forward ones. Masked scores count. */
static void test_dry_run_counts_the_products(void **state) {
    (void)state;
    enum { BATCH = 2, HEADS = 3, QUERIES = 5, KEYS = 7, D = 4, E = 6 };
    sw_array q = test_array(SW_F32, SW_SHAPE(BATCH, QUERIES, HEADS * D)),
             k = test_array(SW_F32, SW_SHAPE(BATCH, KEYS, HEADS * D)),
             v = test_array(SW_F32, SW_SHAPE(BATCH, KEYS, HEADS * E));
    const double scores = 2. * BATCH * HEADS * QUERIES * KEYS * D, sums = 2. * BATCH * HEADS * QUERIES * KEYS * E;
    for (int causal = 0; causal < 2; causal++) {
        assert_ok(sw_dry_run_begin());
        sw_tape *tape = sw_tape_new();
        const sw_tensor y = sw_attention(
            sw_variable(tape, q), sw_variable(tape, k), sw_variable(tape, v),
            &SW_OPTIONS(sw_attention_options, .heads = HEADS, .causal = causal == 1, .first_position = 2 * causal));
        const double forward = sw_dry_run_flops();
        assert_ok(sw_backward_from(y, sw_value(y)));
        const double both = sw_dry_run_flops();
        sw_tape_free(tape);
        assert_ok(sw_dry_run_end());
        assert_true(forward == scores + sums);
        assert_true(both == forward + 3 * scores + 2 * sums);
    }
    test_array_free(&q), test_array_free(&k), test_array_free(&v);
}

/* ---- Rotary positions ---- */

/* Products of rotated queries and keys depend on the distance of their positions alone. Angles are below 10^6, with an
 * error of 10^6·2^-53 = 1.1e-10; the products have 8 terms below 2. */
static void test_rotated_products_depend_on_the_distance(void **state) {
    (void)state;
    sw_array q = test_filled(SW_F64, SW_SHAPE(1, 1, 8), -1, 1, 1), k = test_filled(SW_F64, SW_SHAPE(1, 1, 8), -1, 1, 2);
    const int64_t first[] = {0, 5, 1000, 999990};
    double product[4];
    for (int i = 0; i < 4; i++) {
        sw_tape *tape = sw_tape_new();
        const sw_tensor a = sw_rotary(sw_input(tape, q), &SW_OPTIONS(sw_rotary_options, .first_position = first[i])),
                        b = sw_rotary(sw_input(tape, k),
                                      &SW_OPTIONS(sw_rotary_options, .first_position = first[i] + 7));
        product[i] = sw_item(sw_sum(sw_mul(a, b)));
        expect_no_error();
        sw_tape_free(tape);
    }
    for (int i = 1; i < 4; i++)
        assert_true(fabs(product[i] - product[0]) < 8 * 2 * 2.2e-10);
    test_array_free(&q), test_array_free(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_random_calls_agree_with_the_formula, test_no_error_left),
        cmocka_unit_test_teardown(test_packed_call_has_the_bits_of_the_separate_one, test_no_error_left),
        cmocka_unit_test_teardown(test_short_sequences_have_the_bits_of_tiles, test_no_error_left),
        cmocka_unit_test_teardown(test_continued_queries_have_the_bits_of_all_queries, test_no_error_left),
        cmocka_unit_test_teardown(test_dropout_depends_on_the_sample_alone, test_no_error_left),
        cmocka_unit_test_teardown(test_gradients_of_two_passes_are_added, test_no_error_left),
        cmocka_unit_test_teardown(test_query_without_keys_has_the_result_0, test_no_error_left),
        cmocka_unit_test_teardown(test_options_out_of_range_are_refused, test_no_error_left),
        cmocka_unit_test_teardown(test_dry_run_counts_the_products, test_no_error_left),
        cmocka_unit_test_teardown(test_rotated_products_depend_on_the_distance, test_no_error_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
