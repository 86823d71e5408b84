/* Row operations, reductions and losses of f16 and bf16. The value has the bits of the operation in f32 on the same
 * numbers: in f32 where the result is f32, else rounded once. The gradients have those of the operation in f32, rounded
 * once. The reference is therefore the operation in f32; if the result has 16 bits, its value is replaced by the
 * rounded one before the backward, because the vjp of softmax, max and min reads it. */
#include "support.h"

#include <swale/extend.h>

#include "levels.h"

static const sw_dtype halves[2] = {SW_F16, SW_BF16};
enum { MOST_INPUTS = 2 };

/* ---- The operations ---- */

typedef enum second_input { NONE, IDS, SAME } second_input;

static sw_tensor softmax_last(sw_tensor x, sw_tensor y) {
    (void)y;
    return sw_softmax(x, -1);
}
static sw_tensor softmax_first(sw_tensor x, sw_tensor y) {
    (void)y;
    return sw_softmax(x, 0);
}
static sw_tensor log_softmax_last(sw_tensor x, sw_tensor y) {
    (void)y;
    return sw_log_softmax(x, -1);
}
static sw_tensor log_softmax_first(sw_tensor x, sw_tensor y) {
    (void)y;
    return sw_log_softmax(x, 0);
}
#define REDUCE(name, call)                            \
    static sw_tensor name(sw_tensor x, sw_tensor y) { \
        (void)y;                                      \
        return call;                                  \
    }
REDUCE(sum_all, sw_sum(x))
REDUCE(mean_all, sw_mean(x))
REDUCE(sum_rows, sw_sum_over(x, SW_AXES(-1), false))
REDUCE(sum_columns, sw_sum_over(x, SW_AXES(0), true))
REDUCE(mean_rows, sw_mean_over(x, SW_AXES(-1), true))
REDUCE(mean_columns, sw_mean_over(x, SW_AXES(0), false))
REDUCE(var_rows, sw_var_over(x, SW_AXES(-1), false, 1))
REDUCE(var_columns, sw_var_over(x, SW_AXES(0), false, 0))
REDUCE(std_rows, sw_std_over(x, SW_AXES(-1), false, 1))
REDUCE(std_columns, sw_std_over(x, SW_AXES(0), false, 0.5))
REDUCE(max_rows, sw_max_over(x, SW_AXES(-1), false))
REDUCE(min_columns, sw_min_over(x, SW_AXES(0), false))
REDUCE(norm_1, sw_norm_over(x, 1, SW_AXES(-1), false))
REDUCE(norm_2, sw_norm_over(x, 2, SW_AXES(0), false))
REDUCE(norm_2_rows, sw_norm_over(x, 2, SW_AXES(-1), false))
REDUCE(norm_3, sw_norm_over(x, 3, SW_AXES(-1), false))
REDUCE(norm_3_columns, sw_norm_over(x, 3, SW_AXES(0), false))
REDUCE(norm_largest, sw_norm_over(x, (double)INFINITY, SW_AXES(-1), false))
REDUCE(logsumexp_rows, sw_logsumexp_over(x, SW_AXES(-1), false))
REDUCE(logsumexp_columns, sw_logsumexp_over(x, SW_AXES(0), true))

/* Weights 0.5, 1, 1.5, 0.5, … of all classes; the test uses at most this number. */
enum { MOST_CLASSES = 4200, IGNORED = -7 };
static const double *class_weights(void) {
    static double w[MOST_CLASSES];
    for (int i = 0; i < MOST_CLASSES; i++)
        w[i] = 0.5 + 0.5 * (i % 3);
    return w;
}
static sw_tensor ce_with(sw_tensor x, sw_tensor y, sw_reduction reduction, bool ignore) {
    const sw_array z = sw_value(x);
    if (!z.data)
        return x; /* an allocation has failed */
    return sw_cross_entropy_with_options(
        x, y,
        &SW_OPTIONS(sw_cross_entropy_options, .reduction = reduction, .label_smoothing = 0.1, .ignore = ignore,
                    .ignored_id = IGNORED, .class_weights = class_weights(), .classes = (int)z.shape[z.rank - 1]));
}
static sw_tensor ce_plain(sw_tensor x, sw_tensor y) {
    return sw_cross_entropy_with_options(x, y,
                                         &SW_OPTIONS(sw_cross_entropy_options, .ignore = true, .ignored_id = IGNORED));
}
static sw_tensor ce_weighted(sw_tensor x, sw_tensor y) {
    return ce_with(x, y, SW_MEAN, true);
}
static sw_tensor ce_weighted_each(sw_tensor x, sw_tensor y) {
    return ce_with(x, y, SW_NONE, true);
}
static sw_tensor ce_soft_weighted(sw_tensor x, sw_tensor y) {
    return ce_with(x, y, SW_SUM, false);
}
static sw_tensor ce_soft_each(sw_tensor x, sw_tensor y) {
    return ce_with(x, y, SW_NONE, false);
}
#define LOSS_WITH(loss, options, name, how)                                            \
    static sw_tensor name(sw_tensor x, sw_tensor y) {                                  \
        return loss##_with_options(x, y, &SW_OPTIONS(options, .reduction = SW_##how)); \
    }
LOSS_WITH(sw_mse, sw_loss_options, mse_each, NONE)
LOSS_WITH(sw_l1, sw_loss_options, l1_sum, SUM)
LOSS_WITH(sw_hinge, sw_loss_options, hinge_each, NONE)
LOSS_WITH(sw_bce_with_logits, sw_bce_options, bce_sum, SUM)
LOSS_WITH(sw_kl_div, sw_loss_options, kl_each, NONE)
LOSS_WITH(sw_kl_div, sw_loss_options, kl_sum, SUM)
static sw_tensor huber_each(sw_tensor x, sw_tensor y) {
    return sw_huber_with_options(x, y, &SW_OPTIONS(sw_huber_options, .reduction = SW_NONE, .delta = 0.3));
}

typedef struct row_case {
    const char *name;
    sw_tensor (*build)(sw_tensor x, sw_tensor y);
    second_input second;
    bool keeps_type; /* the result has 16 bits; else it is f32 */
} row_case;
#define ROW(name, second, keeps) \
    { #name, name, second, keeps }
static const row_case cases[] = {
    ROW(softmax_last, NONE, true),
    ROW(softmax_first, NONE, true),
    ROW(log_softmax_last, NONE, false),
    ROW(log_softmax_first, NONE, false),
    ROW(sum_all, NONE, false),
    ROW(mean_all, NONE, false),
    ROW(sum_rows, NONE, false),
    ROW(sum_columns, NONE, false),
    ROW(mean_rows, NONE, false),
    ROW(mean_columns, NONE, false),
    ROW(var_rows, NONE, false),
    ROW(var_columns, NONE, false),
    ROW(std_rows, NONE, false),
    ROW(std_columns, NONE, false),
    ROW(max_rows, NONE, true),
    ROW(min_columns, NONE, true),
    ROW(norm_1, NONE, false),
    ROW(norm_2, NONE, false),
    ROW(norm_2_rows, NONE, false),
    ROW(norm_3, NONE, false),
    ROW(norm_3_columns, NONE, false),
    ROW(norm_largest, NONE, false),
    ROW(logsumexp_rows, NONE, false),
    ROW(logsumexp_columns, NONE, false),
    {"cross_entropy of ids without options", sw_cross_entropy, IDS, false},
    ROW(ce_plain, IDS, false),
    ROW(ce_weighted, IDS, false),
    ROW(ce_weighted_each, IDS, false),
    {"cross_entropy of distributions", sw_cross_entropy, SAME, false},
    ROW(ce_soft_weighted, SAME, false),
    ROW(ce_soft_each, SAME, false),
    {"mse", sw_mse, SAME, false},
    ROW(mse_each, SAME, false),
    {"l1", sw_l1, SAME, false},
    ROW(l1_sum, SAME, false),
    {"huber", sw_huber, SAME, false},
    ROW(huber_each, SAME, false),
    {"hinge", sw_hinge, SAME, false},
    ROW(hinge_each, SAME, false),
    {"bce_with_logits", sw_bce_with_logits, SAME, false},
    ROW(bce_sum, SAME, false),
    {"kl_div", sw_kl_div, SAME, false},
    ROW(kl_each, SAME, false),
    ROW(kl_sum, SAME, false),
};
enum { CASES = sizeof cases / sizeof *cases };

/* Few rows; rows of a plain cross-entropy and longer ones; several tiles; more elements than one thread computes alone;
 * rows longer than the block on the stack, also more of them than are added together; three axes; axes of length 1; no
 * rows. */
typedef struct row_shape {
    int rank;
    int64_t shape[3];
} row_shape;
static const row_shape shapes[] = {{2, {3, 5}},    {2, {64, 10}},   {2, {7, 70}},     {2, {300, 40}},  {2, {1100, 20}},
                                   {2, {3, 4100}}, {2, {66, 4099}}, {3, {3, 7, 150}}, {3, {9, 2, 33}}, {2, {400, 90}},
                                   {2, {1, 6}},    {2, {5, 1}},     {2, {1, 1}},      {2, {0, 4}}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* ---- One pass ---- */

/* Numbers of a case in a 16-bit type and in f32. */
typedef struct inputs {
    sw_array x[2], y[2]; /* [0]: 16 bits, [1]: f32; y: float or ids */
} inputs;

static sw_array in_both(sw_array *wide, sw_dtype type, const row_shape *s, double low, double high, uint64_t seed) {
    sw_array half = test_filled(type, s->rank, s->shape, low, high, seed);
    *wide = test_array(SW_F32, s->rank, s->shape);
    sw_vector_convert(type, sw_array_count(&half), half.data, SW_F32, wide->data);
    return half;
}

static inputs inputs_new(const row_case *c, const row_shape *s, sw_dtype type) {
    inputs in = {0};
    in.x[0] = in_both(&in.x[1], type, s, -3, 3, 11);
    if (c->second == SAME) {
        in.y[0] = in_both(&in.y[1], type, s, 0, 1, 12);
    } else if (c->second == IDS) {
        in.y[0] = test_array(SW_I32, s->rank - 1, s->shape);
        for (int64_t i = 0, n = sw_array_count(&in.y[0]); i < n; i++)
            ((int32_t *)in.y[0].data)[i] =
                c->build != sw_cross_entropy && i % 5 == 4 ? IGNORED : (int32_t)(i * 7 % s->shape[s->rank - 1]);
        in.y[1] = in.y[0];
    }
    return in;
}

static void inputs_free(const row_case *c, inputs *in) {
    for (int i = 0; i < 2; i++) {
        test_array_free(&in->x[i]);
        if (c->second == SAME || (c->second == IDS && i == 0))
            test_array_free(&in->y[i]);
    }
}

typedef struct pass {
    sw_array out, grad[MOST_INPUTS]; /* in the memory of the tape */
    int inputs;                      /* that have a gradient */
} pass;

/* The elements of `half` are those of `wide` in its type. */
static void expect_rounded(const char *name, const char *what, const sw_array *wide, const sw_array *half) {
    assert_int_equal(sw_array_count(half), sw_array_count(wide));
    for (int64_t i = 0, n = sw_array_count(half); i < n; i++) {
        const double v = test_get(wide, i);
        uint64_t expected = 0, got = 0; /* room for an element of each type */
        sw_store_scalar(half->type, &expected, v);
        memcpy(&got, (char *)half->data + (size_t)i * sw_dtype_size(half->type), sw_dtype_size(half->type));
        if (got != expected && !(isnan(v) && isnan(test_get(half, i))))
            fail_msg("%s, %s, %s, level %d, shape %s: element %d is %.9g, not %.9g", name, what,
                     sw_dtype_name(half->type), sw_cpu_level(), sw_shape_text(half->rank, half->shape), (int)i,
                     test_get(half, i), v);
    }
}

/* Runs forward and backward. `rounded` is the pass in 16 bits, if this is the reference in f32: then its value must be
 * that of the reference, rounded, and replaces it in the backward. Returns the status of the backward. */
static sw_status pass_run(sw_tape *tape, const row_case *c, sw_array x, sw_array y, const pass *rounded, pass *p) {
    const sw_tensor a = sw_variable(tape, x);
    const sw_tensor b = c->second == NONE ? a : c->second == IDS ? sw_input(tape, y) : sw_variable(tape, y);
    const sw_tensor out = c->build(a, b);
    if (sw_is_null(out))
        return SW_ERR_MEMORY;
    p->out = sw_value(out);
    const int64_t n = sw_array_count(&p->out);
    if (rounded)
        expect_rounded(c->name, "value", &p->out, &rounded->out);
    if (rounded && rounded->out.type != SW_F32)
        sw_vector_convert(rounded->out.type, n, rounded->out.data, SW_F32, p->out.data);
    const sw_dtype type = rounded ? rounded->out.type : p->out.type; /* so that both cotangents are equal */
    const sw_tensor seed = sw_empty(tape, p->out.type, p->out.rank, p->out.shape);
    if (sw_is_null(seed))
        return SW_ERR_MEMORY;
    const sw_array cotangent = sw_value(seed);
    for (int64_t i = 0; i < n; i++) {
        uint64_t state = (uint64_t)i + 5;
        uint64_t element; /* room for an element of each type */
        sw_store_scalar(type, &element, test_uniform(&state, -2, 2));
        sw_store_element(cotangent.type, cotangent.data, i, sw_load_scalar(type, &element));
    }
    const sw_status status = sw_backward_from(out, cotangent);
    if (status != SW_OK)
        return status;
    p->inputs = c->second == SAME ? 2 : 1;
    p->grad[0] = sw_grad(a);
    p->grad[1] = sw_grad(b);
    return SW_OK;
}

static void expect_equal_passes(const row_case *c, const pass *wide, const pass *half) {
    assert_int_equal(half->out.type, c->keeps_type ? half->grad[0].type : SW_F32);
    for (int i = 0; i < half->inputs; i++)
        expect_rounded(c->name, i ? "gradient of the target" : "gradient", &wide->grad[i], &half->grad[i]);
}

/* ---- Bits ---- */

/* The long rows are computed by operations along the last axis only: the others would repeat the work of test_stored_
 * reductions for a second each. Cross-entropy refuses one class. */
static bool skipped(const row_case *c, const row_shape *s) {
    if (s->shape[s->rank - 1] == 1 && (strncmp(c->name, "cross_entropy", 13) == 0 || strncmp(c->name, "ce_", 3) == 0))
        return true;
    return s->shape[0] == 66 && c->second == NONE && strstr(c->name, "soft") == NULL;
}

static void compare_with_f32(void) {
    sw_tape *tape[2] = {sw_tape_new(), sw_tape_new()};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < CASES; i++)
            for (int s = 0; s < SHAPES; s++) {
                const row_case *c = &cases[i];
                if (skipped(c, &shapes[s]) || (shapes[s].shape[0] == 0 && strncmp(c->name, "min", 3) == 0))
                    continue;
                inputs in = inputs_new(c, &shapes[s], halves[k]);
                pass half, wide;
                assert_ok(pass_run(tape[0], c, in.x[0], in.y[0], NULL, &half));
                assert_ok(pass_run(tape[1], c, in.x[1], in.y[1], &half, &wide));
                expect_equal_passes(c, &wide, &half);
                sw_tape_reset(tape[0]);
                sw_tape_reset(tape[1]);
                inputs_free(c, &in);
            }
    sw_tape_free(tape[0]);
    sw_tape_free(tape[1]);
    expect_no_error();
}

static void test_results_have_the_bits_of_f32(void **state) {
    (void)state;
    each_level(compare_with_f32);
}

/* Every pattern: subnormal numbers, ±∞ and NaN in x, and again in the targets. */
static void test_every_pattern(void **state) {
    (void)state;
    const row_shape s = {2, {1024, 64}};
    sw_tape *tape[2] = {sw_tape_new(), sw_tape_new()};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < CASES; i++)
            for (int in_target = 0; in_target < (cases[i].second == SAME ? 2 : 1); in_target++) {
                const row_case *c = &cases[i];
                inputs in = inputs_new(c, &s, halves[k]);
                sw_array *to = in_target ? in.y : in.x;
                for (int n = 0; n < 65536; n++)
                    ((uint16_t *)to[0].data)[n] = (uint16_t)(n * 25173 + 13849); /* each pattern once, in any order */
                sw_vector_convert(halves[k], 65536, to[0].data, SW_F32, to[1].data);
                pass half, wide;
                assert_ok(pass_run(tape[0], c, in.x[0], in.y[0], NULL, &half));
                assert_ok(pass_run(tape[1], c, in.x[1], in.y[1], &half, &wide));
                expect_equal_passes(c, &wide, &half);
                sw_tape_reset(tape[0]);
                sw_tape_reset(tape[1]);
                inputs_free(c, &in);
            }
    sw_tape_free(tape[0]);
    sw_tape_free(tape[1]);
    expect_no_error();
}

static uint64_t hash_of_pass(const pass *p) {
    uint64_t hash = test_hash(TEST_HASH, p->out.data, test_bytes(&p->out));
    for (int i = 0; i < p->inputs; i++)
        hash = test_hash(hash, p->grad[i].data, test_bytes(&p->grad[i]));
    return hash;
}

static void test_equal_bits_for_every_number_of_threads(void **state) {
    (void)state;
    static const row_shape large[] = {{2, {700, 60}}, {2, {66, 4099}}, {3, {40, 30, 33}}};
    sw_tape *tape = sw_tape_new();
    for (int i = 0; i < CASES; i++)
        for (int s = 0; s < 3; s++) {
            const row_case *c = &cases[i];
            inputs in = inputs_new(c, &large[s], SW_BF16);
            uint64_t hash[4];
            for (int t = 0; t < 4 && !skipped(c, &large[s]); t++) {
                pass p;
                sw_set_threads(1 << t);
                assert_ok(pass_run(tape, c, in.x[0], in.y[0], NULL, &p));
                hash[t] = hash_of_pass(&p);
                assert_true(hash[t] == hash[0]);
                sw_tape_reset(tape);
            }
            inputs_free(c, &in);
        }
    sw_set_threads(1);
    sw_tape_free(tape);
    expect_no_error();
}

/* ---- Range ---- */

static void test_sums_beyond_f16_are_finite(void **state) {
    sw_tape *tape = *state;
    enum { N = 50 };
    uint16_t x[N], zero[N] = {0};
    for (int i = 0; i < N; i++)
        x[i] = sw_f16_from_f32(60000);
    const sw_tensor t = sw_variable(tape, sw_array_view(x, SW_F16, SW_SHAPE(N))),
                    u = sw_input(tape, sw_array_view(zero, SW_F16, SW_SHAPE(N)));
    /* 60000 is an f16 number (a multiple of 32), and all sums below are exact in f32. */
    assert_true(sw_item(sw_sum(t)) == N * 60000.0);
    assert_true(sw_item(sw_mean(t)) == 60000);
    assert_true(sw_item(sw_norm_over(t, 1, SW_ALL_AXES, false)) == N * 60000.0);
    assert_true(sw_item(sw_max_over(t, SW_ALL_AXES, false)) == 60000);
    /* 60000² = 3.6e9 = 2^7 · 28125000 needs 25 bits, so that it is rounded; each addition of the 32 lanes is too. */
    const double mse = sw_item(sw_mse(t, u));
    assert_true(fabs(mse - 3.6e9) <= 3.6e9 * 8 * 0x1p-24);
    /* The gradient of the mean loss, 2·60000/50 = 2400, is an f16 number, although that of the sum, 120000, is not. */
    assert_ok(sw_backward(sw_mse(t, u)));
    const sw_array g = sw_grad(t);
    assert_int_equal(g.type, SW_F16);
    for (int i = 0; i < N; i++)
        assert_true(test_get(&g, i) == 2400);
    /* A logit of 60000 among zeros: the loss of another class is 60000, its probability 0. */
    uint16_t z[N] = {x[0]};
    const int32_t id = 3;
    const sw_tensor logits = sw_variable(tape, sw_array_view(z, SW_F16, SW_SHAPE(1, N)));
    const sw_tensor loss = sw_cross_entropy(logits, sw_input(tape, sw_array_view(&id, SW_I32, SW_SHAPE(1))));
    assert_true(sw_item(loss) == 60000);
    expect_no_error();
}

/* Predictions in 16 bits and targets in f32: the loss in f32; each gradient has the type of its input. */
static void test_targets_in_f32(void **state) {
    (void)state;
    const row_shape s = {2, {20, 30}};
    for (int i = 0; i < CASES; i++) {
        const row_case *c = &cases[i];
        if (c->second != SAME)
            continue;
        inputs in = inputs_new(c, &s, SW_F16);
        sw_tape *tape[2] = {sw_tape_new(), sw_tape_new()};
        pass mixed, wide;
        assert_ok(pass_run(tape[0], c, in.x[0], in.y[1], NULL, &mixed));
        assert_ok(pass_run(tape[1], c, in.x[1], in.y[1], &mixed, &wide));
        assert_int_equal(mixed.out.type, SW_F32);
        assert_int_equal(mixed.grad[0].type, SW_F16);
        assert_int_equal(mixed.grad[1].type, SW_F32);
        for (int k = 0; k < 2; k++)
            expect_rounded(c->name, "gradient with a target in f32", &wide.grad[k], &mixed.grad[k]);
        sw_tape_free(tape[0]);
        sw_tape_free(tape[1]);
        inputs_free(c, &in);
    }
    expect_no_error();
}

/* ---- Memory ---- */

static void test_no_allocation_after_the_first_pass(void **state) {
    (void)state;
    static test_allocator allocator;
    const row_shape large[] = {{2, {64, 10}}, {2, {5, 4100}}};
    test_allocator_install(&allocator);
    for (int i = 0; i < CASES; i++)
        for (int s = 0; s < 2; s++) {
            inputs in = inputs_new(&cases[i], &large[s], SW_F16);
            sw_tape *tape = sw_tape_new();
            for (int round = 0; round < 3; round++) {
                pass p;
                if (round == 2) /* the second pass may join the chunks of the first */
                    test_allocator_fail(&allocator, 0, false);
                assert_ok(pass_run(tape, &cases[i], in.x[0], in.y[0], NULL, &p));
                sw_tape_reset(tape);
            }
            if (atomic_load(&allocator.calls) != 0)
                fail_msg("%s allocates %lld times in the third pass", cases[i].name, atomic_load(&allocator.calls));
            sw_tape_free(tape);
            inputs_free(&cases[i], &in);
        }
    assert_int_equal(atomic_load(&allocator.live), 0);
    sw_set_allocator(NULL);
}

/* Only blocks are converted: with f32 copies of whole operands or gradients, a pass in 16 bits would need more memory
 * than a pass in f32, of which it needs less. */
static void test_no_operand_is_converted_as_a_whole(void **state) {
    (void)state;
    const row_shape s = {2, {64, 1600}};
    for (int i = 0; i < CASES; i++) {
        inputs in = inputs_new(&cases[i], &s, SW_BF16);
        size_t bytes[2];
        for (int wide = 0; wide < 2; wide++) {
            sw_tape *tape = sw_tape_new();
            pass p;
            assert_ok(pass_run(tape, &cases[i], in.x[wide], in.y[wide], NULL, &p));
            bytes[wide] = sw_tape_touched_bytes(tape);
            sw_tape_free(tape);
        }
        if (bytes[0] >= bytes[1])
            fail_msg("%s: %zu bytes in bf16, %zu in f32", cases[i].name, bytes[0], bytes[1]);
        inputs_free(&cases[i], &in);
    }
}

/* Every allocation fails once: an error with a message, and no leak. Long rows need scratch. */
static void test_every_failed_allocation_is_an_error(void **state) {
    (void)state;
    static test_allocator allocator;
    const row_shape large[] = {{2, {64, 10}}, {2, {40, 4100}}};
    test_allocator_install(&allocator);
    for (int i = 0; i < CASES; i++)
        for (int s = 0; s < 2; s++) {
            inputs in = inputs_new(&cases[i], &large[s], SW_BF16);
            int failures = 0;
            for (long long k = 1;; k++) {
                pass p;
                test_allocator_fail(&allocator, k, false);
                sw_tape *tape = sw_tape_new();
                const sw_status status = tape ? pass_run(tape, &cases[i], in.x[0], in.y[0], NULL, &p) : SW_ERR_MEMORY;
                const bool failed = atomic_load(&allocator.failed) > 0;
                sw_tape_free(tape);
                if (!failed) {
                    assert_int_equal(status, SW_OK);
                    break;
                }
                failures++;
                assert_int_equal(status, SW_ERR_MEMORY);
                assert_non_null(sw_error());
                assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
                sw_clear_error();
            }
            assert_true(failures >= 2);
            inputs_free(&cases[i], &in);
        }
    test_allocator_fail(&allocator, 0, false);
    assert_int_equal(atomic_load(&allocator.live), 0);
    sw_set_allocator(NULL);
    expect_no_error();
}

/* ---- A custom reduction ---- */

/* The range max - min over all axes, by the folds of the library: it works on every storage type. */
static sw_status range_shape(sw_call *c) {
    SW_TRY(sw_call_check_float(c));
    return sw_call_set_shape(c, sw_dtype_compute(c->in[0]->type), 0, NULL);
}
static sw_status range_forward(sw_call *c) {
    const sw_view *x = c->in[0];
    const sw_fold_axes axes = sw_fold_axes_of(x->rank, x->shape, 0, NULL);
    sw_fold_job job = {.type = x->type, .x = x->data, .out = c->out->data, .p = 1, .factor = 1, .divisor = 1};
    sw_fold_run(&sw_fold_largest, &axes, &job);
    job.p = -1;
    job.add = true;
    sw_fold_run(&sw_fold_largest, &axes, &job);
    return SW_OK;
}
static const sw_op range_op = {
    .size = sizeof(sw_op), .name = "range", .shape = range_shape, .forward = range_forward, .takes_16_bit = true};

static void test_custom_reduction(void **state) {
    sw_tape *tape = *state;
    double expected = 0;
    for (int type = SW_F32; type <= SW_BF16; type++) {
        sw_array x = test_array((sw_dtype)type, SW_SHAPE(6, 7));
        for (int i = 0; i < 42; i++)
            test_set(&x, i, (i * 13 % 42 - 5) * 0.25);
        const sw_tensor t = sw_input(tape, x);
        const double range = sw_item(sw_apply(&range_op, NULL, 0, 1, &t));
        expected = type == SW_F32 ? range : expected;
        assert_true(range == 10.25 && range == expected);
        test_array_free(&x);
    }
    expect_no_error();
}

static int setup_tape(void **state) {
    *state = sw_tape_new();
    return *state ? 0 : -1;
}
static int teardown_tape(void **state) {
    sw_tape_free(*state);
    return sw_error() != NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_have_the_bits_of_f32),
        cmocka_unit_test(test_every_pattern),
        cmocka_unit_test(test_equal_bits_for_every_number_of_threads),
        cmocka_unit_test_setup_teardown(test_sums_beyond_f16_are_finite, setup_tape, teardown_tape),
        cmocka_unit_test(test_targets_in_f32),
        cmocka_unit_test(test_no_allocation_after_the_first_pass),
        cmocka_unit_test(test_no_operand_is_converted_as_a_whole),
        cmocka_unit_test(test_every_failed_allocation_is_an_error),
        cmocka_unit_test_setup_teardown(test_custom_reduction, setup_tape, teardown_tape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
