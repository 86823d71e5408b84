/* Losses: values and gradients of cross-entropy with all its options against plain long double loops,
 * the other losses by element, extremes, and every mistake in the options. */
#include "support.h"

#include <swale/extend.h>

static const sw_reduction reductions[3] = {SW_MEAN, SW_SUM, SW_NONE};

/* ---- Cross-entropy by its definition ---- */

enum { ROWS = 6, MOST = 80 };

typedef struct expected {
    long double loss[ROWS], dz[ROWS][MOST], dt[ROWS][MOST], divisor;
} expected;

/* t: [ROWS, k]; ids NULL for soft targets */
static void define(expected *e, int k, const sw_array *z, const sw_array *t, const int32_t *ids,
                   const sw_cross_entropy_options *o) {
    const long double smoothing = (long double)o->label_smoothing;
    memset(e, 0, sizeof *e);
    for (int r = 0; r < ROWS; r++) {
        long double max = -HUGE_VALL, total = 0, weight = 0, q[MOST], w[MOST], log_p[MOST];
        if (ids && o->ignore && ids[r] == o->ignored_id)
            continue;
        for (int c = 0; c < k; c++)
            max = fmaxl(max, (long double)test_get(z, r * k + c));
        for (int c = 0; c < k; c++)
            total += expl((long double)test_get(z, r * k + c) - max);
        for (int c = 0; c < k; c++) {
            long double own = ids ? (c == ids[r]) : (long double)test_get(t, r * k + c);
            w[c] = o->class_weights ? (long double)o->class_weights[c] : 1;
            q[c] = w[c] * ((1 - smoothing) * own + smoothing / k);
            log_p[c] = (long double)test_get(z, r * k + c) - max - logl(total);
            weight += q[c];
            e->loss[r] -= q[c] == 0 ? 0 : q[c] * log_p[c];
            e->dt[r][c] = w[c] == 0 ? 0 : -(1 - smoothing) * w[c] * log_p[c];
        }
        for (int c = 0; c < k; c++)
            e->dz[r][c] = expl(log_p[c]) * weight - q[c];
        e->divisor += ids ? w[ids[r]] : 1;
    }
}

/* |z| ≤ 5, w ≤ 3, K ≤ 80: log p ≤ 10 + log 80 < 15, so a row's sum of weights times log p, whose weights
 * add up to at most 3·80 (targets below 1), is below 3600; it and the derivatives (below 240) err by at
 * most (K + 16) roundings of the terms, and a sum of six rows by six times that. */
static double tolerance(sw_dtype type, int k) {
    return (type == SW_F32 ? 0x1p-24 : 0x1p-53) * (k + 16) * 3600 * ROWS;
}

static void expect_near(double got, long double right, double by) {
    if (!(fabsl((long double)got - right) <= (long double)by))
        fail_msg("%.17g, not %.17Lg (within %g)", got, right, by);
}

static void compare(sw_dtype type, int k, bool soft, const sw_cross_entropy_options *options) {
    sw_array z = test_filled(type, SW_SHAPE(2, 3, k), -5, 5, (uint64_t)k),
             t = test_filled(type, SW_SHAPE(2, 3, k), 0, 1, 100);
    int32_t ids[ROWS] = {0, k - 1, 2 % k, 1 % k, k / 2, 2 % k};
    if (options->ignore && options->ignored_id < 0)
        ids[1] = ids[4] = options->ignored_id;
    static expected e;
    define(&e, k, &z, &t, soft ? NULL : ids, options);
    const double by = tolerance(type, k), cotangent[ROWS] = {1, -0.5, 2, 0.25, -1, 0.75};
    sw_tape *tape = sw_tape_new();
    for (int i = 0; i < 3; i++) {
        sw_cross_entropy_options own = *options;
        own.reduction = reductions[i];
        sw_tape_reset(tape);
        sw_tensor tz = sw_variable(tape, z);
        sw_tensor target = soft ? sw_variable(tape, t) : sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(2, 3)));
        sw_tensor loss = sw_cross_entropy_with_options(tz, target, &own);
        expect_no_error();
        sw_array out = sw_value(loss);
        const bool each = own.reduction == SW_NONE;
        assert_int_equal(out.rank, each ? 2 : 0);
        long double divisor = own.reduction == SW_MEAN ? e.divisor : 1, sum = 0;
        assert_true(divisor > 0);
        for (int r = 0; r < ROWS; r++) {
            sum += e.loss[r];
            if (each)
                expect_near(test_get(&out, r), e.loss[r], by);
        }
        if (!each)
            expect_near(test_get(&out, 0), sum / divisor, by / (double)divisor);
        sw_array dy = test_array(type, out.rank, out.shape);
        for (int r = 0; r < (each ? ROWS : 1); r++)
            test_set(&dy, r, cotangent[r]);
        assert_int_equal(sw_backward_from(loss, dy), SW_OK);
        sw_array dz = sw_grad(tz), dt = soft ? sw_grad(target) : (sw_array){0};
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < k; c++) {
                long double g = (long double)cotangent[each ? r : 0] / divisor;
                expect_near(test_get(&dz, r * k + c), g * e.dz[r][c], 2 * by);
                if (soft)
                    expect_near(test_get(&dt, r * k + c), g * e.dt[r][c], 2 * by);
            }
        test_array_free(&dy);
    }
    sw_tape_free(tape);
    test_array_free(&z);
    test_array_free(&t);
}

static void test_cross_entropy_gives_the_plain_values(void **state) {
    (void)state;
    double weights[MOST]; /* exact in f32; one is 0 */
    for (int c = 0; c < MOST; c++)
        weights[c] = c == 3 ? 0 : 0.25 * (1 + c % 12);
    static const int classes[] = {2, 3, 5, 31, 63, 64, 80}; /* on both sides of where lanes begin */
    static const double smoothing[] = {0, 0.1, 1};
    for (int type = SW_F32; type <= SW_F64; type++)
        for (size_t k = 0; k < sizeof classes / sizeof *classes; k++)
            for (int s = 0; s < 3; s++)
                for (int weighted = 0; weighted < 2; weighted++)
                    for (int ignore = 0; ignore < 4; ignore++) { /* no, a class, -100, soft targets */
                        const sw_cross_entropy_options options = {.size = sizeof options,
                                                                  .label_smoothing = smoothing[s],
                                                                  .ignore = ignore == 1 || ignore == 2,
                                                                  .ignored_id = ignore == 1   ? 2
                                                                                : ignore == 2 ? -100
                                                                                              : 0,
                                                                  .class_weights = weighted ? weights : NULL,
                                                                  .classes = weighted ? classes[k] : 0};
                        compare((sw_dtype)type, classes[k], ignore == 3, &options);
                    }
}

/* The weights are copied: they may change before backward. */
static void test_cross_entropy_copies_its_weights(void **state) {
    (void)state;
    const double z[3] = {0.5, -1, 2};
    double weights[3] = {1, 2, 3}, g[2][3];
    const int32_t id = 1;
    for (int change = 0; change < 2; change++) {
        const sw_cross_entropy_options options = {.size = sizeof options,
                                                  .reduction = SW_SUM,
                                                  .class_weights = weights,
                                                  .classes = 3,
                                                  .label_smoothing = 0.2};
        sw_tape *tape = sw_tape_new();
        sw_tensor t = sw_variable(tape, sw_array_view(z, SW_F64, SW_SHAPE(1, 3)));
        sw_tensor loss =
            sw_cross_entropy_with_options(t, sw_input(tape, sw_array_view(&id, SW_I32, SW_SHAPE(1))), &options);
        if (change)
            weights[0] = weights[1] = weights[2] = 1e9;
        assert_int_equal(sw_backward(loss), SW_OK);
        memcpy(g[change], sw_grad(t).data, sizeof g[change]);
        sw_tape_free(tape);
    }
    assert_memory_equal(g[0], g[1], sizeof g[0]);
}

/* ---- No rows, and rows that do not count ---- */

static void test_cross_entropy_of_ignored_samples_is_zero(void **state) {
    (void)state;
    const float z[6] = {1, 2, 3, (float)NAN, 5, 6}; /* what is ignored may be anything */
    const int32_t ids[2] = {-1, -1};
    const double weights[3] = {1, 2, 3};
    sw_tape *tape = sw_tape_new();
    for (int i = 0; i < 3; i++)
        for (int kind = 0; kind < 4; kind++) {
            const sw_cross_entropy_options options = {.size = sizeof options,
                                                      .reduction = reductions[i],
                                                      .ignore = true,
                                                      .ignored_id = -1,
                                                      .label_smoothing = kind & 1 ? 0.1 : 0,
                                                      .class_weights = kind & 2 ? weights : NULL,
                                                      .classes = kind & 2 ? 3 : 0};
            sw_tape_reset(tape);
            sw_tensor t = sw_variable(tape, sw_array_view(z, SW_F32, SW_SHAPE(2, 3)));
            sw_tensor loss =
                sw_cross_entropy_with_options(t, sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(2))), &options);
            sw_array out = sw_value(loss);
            const float ones[2] = {1, 1};
            for (int64_t r = 0; r < sw_array_count(&out); r++)
                assert_true(reductions[i] == SW_MEAN ? isnan(test_get(&out, r)) : test_get(&out, r) == 0);
            assert_int_equal(sw_backward_from(loss, sw_array_view(ones, SW_F32, out.rank, out.shape)), SW_OK);
            sw_array g = sw_grad(t);
            for (int j = 0; j < 6; j++)
                assert_true(test_get(&g, j) == 0);
        }
    sw_tape_free(tape);
}

/* ---- Extremes ---- */

/* Impossible classes, logit -∞: probability 0, no gradient, and a loss that does not see them unless
 * they are the target. Three classes remain as the first, at 1e4, -1e4 and 1e4: p = ½, 0, ½. */
static void test_cross_entropy_ignores_impossible_classes(void **state) {
    (void)state;
    const double infinity = (double)INFINITY, w[5] = {1, 1, 1, 0, 0};
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int kind = 0; kind < 4; kind++) { /* ids, soft, soft with weights and smoothing, ids so */
            const bool soft = kind == 1 || kind == 2, full = kind >= 2;
            sw_array z = test_array((sw_dtype)type, SW_SHAPE(1, 5)), t = test_array((sw_dtype)type, SW_SHAPE(1, 5));
            const double values[5] = {1e4, -1e4, 1e4, -infinity, -infinity};
            for (int c = 0; c < 5; c++)
                test_set(&z, c, values[c]);
            test_set(&t, 0, 1);
            const int32_t id = 0;
            const sw_cross_entropy_options options = {.size = sizeof options,
                                                      .reduction = SW_SUM,
                                                      .label_smoothing = full ? 0.25 : 0,
                                                      .class_weights = full ? w : NULL,
                                                      .classes = full ? 5 : 0};
            sw_tape *tape = sw_tape_new();
            sw_tensor tz = sw_variable(tape, z);
            sw_tensor target = soft ? sw_variable(tape, t) : sw_input(tape, sw_array_view(&id, SW_I32, SW_SHAPE(1)));
            sw_tensor loss = sw_cross_entropy_with_options(tz, target, &options);
            expect_no_error();
            /* Smoothing ¼ over 5: q = (0.8, 0.05, 0.05); -log p = log 2, 2e4 + log 2, log 2. A few
             * roundings of numbers up to 1e3, and of 2e4 before it is multiplied. */
            const double log2 = log(2), unit = type ? 0x1p-53 : 0x1p-24,
                         right = full ? 0.85 * log2 + 0.05 * (2e4 + log2) : log2;
            expect_near(sw_item(loss), (long double)right, unit * (full ? 2e4 : 4));
            assert_int_equal(sw_backward(loss), SW_OK);
            sw_array g = sw_grad(tz);
            const double plain[5] = {-0.5, 0, 0.5, 0, 0}, all[5] = {0.45 - 0.8, -0.05, 0.45 - 0.05, 0, 0};
            for (int c = 0; c < 5; c++)
                expect_near(test_get(&g, c), (long double)(full ? all : plain)[c], 8 * unit);
            if (soft) { /* -(1-ε) w log p: ∞ for an impossible class, 0 for one without weight */
                g = sw_grad(target);
                const double ease = full ? 0.75 : 1;
                expect_near(test_get(&g, 0), (long double)(ease * log2), 8 * unit);
                expect_near(test_get(&g, 1), (long double)(ease * (2e4 + log2)), 4e4 * unit);
                assert_true(test_get(&g, 3) == (full ? 0 : infinity));
            }
            sw_tape_free(tape);
            test_array_free(&z);
            test_array_free(&t);
        }
}

static void test_cross_entropy_shows_a_nan_logit(void **state) {
    (void)state;
    for (int k = 3; k < 100; k += 32)
        for (int where = 0; where < k; where++) {
            sw_array z = test_filled(SW_F32, SW_SHAPE(1, k), -1, 1, 3), zeros = test_array(SW_F32, SW_SHAPE(1, k));
            const int32_t id = 0;
            test_set(&z, where, (double)NAN);
            sw_tape *tape = sw_tape_new();
            sw_tensor t = sw_input(tape, z), none = sw_input(tape, zeros),
                      ids = sw_input(tape, sw_array_view(&id, SW_I32, SW_SHAPE(1)));
            const sw_cross_entropy_options smooth = {.size = sizeof smooth, .label_smoothing = 1};
            assert_true(isnan(sw_item(sw_cross_entropy(t, ids))));
            assert_true(isnan(sw_item(sw_cross_entropy(t, none)))); /* even where the target is 0 */
            assert_true(isnan(sw_item(sw_cross_entropy_with_options(t, ids, &smooth))));
            assert_true(isnan(sw_item(sw_l1(t, none))));
            assert_true(isnan(sw_item(sw_huber(none, t))));
            assert_true(isnan(sw_item(sw_hinge(t, t))));
            assert_true(isnan(sw_item(sw_kl_div(t, none))));
            assert_true(isnan(sw_item(sw_kl_div(none, t))));
            expect_no_error();
            sw_tape_free(tape);
            test_array_free(&z);
            test_array_free(&zeros);
        }
}

/* ---- Losses by element ---- */

typedef sw_tensor (*loss_function)(sw_tensor, sw_tensor, const sw_loss_options *);
static sw_tensor huber(sw_tensor p, sw_tensor t, const sw_loss_options *o) {
    return sw_huber_with_options(p, t, &SW_OPTIONS(sw_huber_options, .delta = 0.75, .reduction = o->reduction));
}

static sw_tensor bce(sw_tensor p, sw_tensor t, const sw_loss_options *o) {
    return sw_bce_with_logits_with_options(p, t, &SW_OPTIONS(sw_bce_options, .reduction = o->reduction));
}

static long double mse_of(long double p, long double t) {
    return (p - t) * (p - t);
}
static long double l1_of(long double p, long double t) {
    return fabsl(p - t);
}
static long double huber_of(long double p, long double t) {
    long double a = fabsl(p - t);
    return a <= 0.75L ? a * a / 2 : 0.75L * (a - 0.375L);
}
static long double hinge_of(long double p, long double t) {
    return fmaxl(0, 1 - t * p);
}
static long double bce_of(long double p, long double t) {
    return fmaxl(p, 0) - t * p + log1pl(expl(-fabsl(p)));
}
static long double kl_of(long double q, long double t) {
    return t == 0 ? 0 : t * (logl(t) - q);
}

static const struct {
    loss_function apply;
    long double (*of)(long double p, long double t);
    bool rows;
} losses[] = {{sw_mse_with_options, mse_of, false},
              {sw_l1_with_options, l1_of, false},
              {huber, huber_of, false},
              {sw_hinge_with_options, hinge_of, false},
              {bce, bce_of, false},
              {sw_kl_div_with_options, kl_of, true}};
enum { LOSSES = sizeof losses / sizeof *losses };

static void test_losses_give_the_plain_values(void **state) {
    (void)state;
    enum { R = 5, K = 41 };
    for (int type = SW_F32; type <= SW_F64; type++) {
        sw_array p = test_filled((sw_dtype)type, SW_SHAPE(R, K), -3, 3, 1),
                 t = test_filled((sw_dtype)type, SW_SHAPE(R, K), 0, 1, 2);
        for (int i = 0; i < R * K; i += 7)
            test_set(&t, i, i % 2);
        sw_tape *tape = sw_tape_new();
        for (int l = 0; l < LOSSES; l++)
            for (int i = 0; i < 3; i++) {
                sw_array out = sw_value(losses[l].apply(sw_input(tape, p), sw_input(tape, t),
                                                        &SW_OPTIONS(sw_loss_options, .reduction = reductions[i])));
                expect_no_error();
                const int each = reductions[i] == SW_NONE ? (losses[l].rows ? K : 1) : R * K;
                assert_int_equal(sw_array_count(&out) * each, R * K);
                long double divisor = reductions[i] != SW_MEAN ? 1 : losses[l].rows ? R : R * K;
                for (int64_t j = 0; j < sw_array_count(&out); j++) {
                    long double sum = 0;
                    for (int64_t m = j * each; m < (j + 1) * each; m++)
                        sum += losses[l].of((long double)test_get(&p, m), (long double)test_get(&t, m));
                    /* Terms below 16 with up to 8 roundings each, added in at most `each` more. */
                    double unit = type ? 0x1p-53 : 0x1p-24;
                    expect_near(test_get(&out, j), sum / divisor, unit * 16 * each * (8 + each) / (double)divisor);
                }
            }
        sw_tape_free(tape);
        test_array_free(&p);
        test_array_free(&t);
    }
}

/* Values and derivatives by p and t at corners and at 1e4; all are exact in both types. */
static void test_losses_are_exact_at_their_corners(void **state) {
    (void)state;
    const double infinity = (double)INFINITY;
    enum { MSE, L1, HUBER, HINGE, BCE, KL };
    const struct {
        int loss;
        double p, t, value, dp, dt;
    } cases[] = {
        {MSE, 1e4, -1e4, 4e8, 4e4, -4e4},
        {L1, 2, 2, 0, 0, 0},
        {L1, 1e4, -1e4, 2e4, 1, -1},
        {L1, -1e4, 1e4, 2e4, -1, 1},
        {HUBER, 0.75, 0, 0.28125, 0.75, -0.75},
        {HUBER, 3, 3, 0, 0, 0},
        {HUBER, -1e4, 0, 7499.71875, -0.75, 0.75},
        {HUBER, infinity, 0, infinity, 0.75, -0.75},
        {HINGE, 1, 1, 0, 0, 0},
        {HINGE, -1, -1, 0, 0, 0},
        {HINGE, 1e4, 1, 0, 0, 0},
        {HINGE, -1e4, 1, 10001, -1, 1e4},
        {HINGE, 1e4, -1, 10001, 1, -1e4},
        {BCE, 1e4, 1, 0, 0, -1e4},
        {BCE, -1e4, 1, 1e4, -1, 1e4},
        {BCE, -1e4, 0, 0, 0, 1e4},
        {BCE, 1e4, 0, 1e4, 1, -1e4},
        {KL, -infinity, 0, 0, 0, 0},
        {KL, -1e4, 1, 1e4, -1, 10001},
        {KL, 0, 1, 0, -1, 1},
        {KL, -infinity, 1, infinity, -1, infinity},
    };
    for (int type = SW_F32; type <= SW_F64; type++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            for (int reduction = 0; reduction < 3; reduction++) {
                sw_array p = test_array((sw_dtype)type, SW_SHAPE(1)), t = test_array((sw_dtype)type, SW_SHAPE(1)),
                         one = test_array((sw_dtype)type, SW_SHAPE(1));
                test_set(&p, 0, cases[i].p);
                test_set(&t, 0, cases[i].t);
                test_set(&one, 0, 1);
                sw_tape *tape = sw_tape_new();
                sw_tensor tp = sw_variable(tape, p), tt = sw_variable(tape, t);
                sw_tensor y = losses[cases[i].loss].apply(
                    tp, tt, &SW_OPTIONS(sw_loss_options, .reduction = reductions[reduction]));
                assert_true(sw_item(y) == cases[i].value);
                assert_int_equal(sw_backward(y), SW_OK);
                sw_array dp = sw_grad(tp), dt = sw_grad(tt);
                if (test_get(&dp, 0) != cases[i].dp || test_get(&dt, 0) != cases[i].dt)
                    fail_msg("case %d: dp %g, dt %g", (int)i, test_get(&dp, 0), test_get(&dt, 0));
                sw_tape_free(tape);
                test_array_free(&p);
                test_array_free(&t);
                test_array_free(&one);
            }
}

/* ---- Mistakes in the options ---- */

static void test_cross_entropy_refuses_wrong_options(void **state) {
    (void)state;
    const float z[6] = {1, 2, 3, 4, 5, 6};
    const double good[3] = {1, 0, 2}, negative[3] = {1, -0.5, 1}, nan[3] = {1, 1, (double)NAN},
                 infinite[3] = {(double)INFINITY, 1, 1};
    int32_t ids[2] = {0, 2};
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_variable(tape, sw_array_view(z, SW_F32, SW_SHAPE(2, 3))),
              id = sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(2))),
              bytes = sw_empty(tape, SW_U8, SW_SHAPE(2, 3)), wide = sw_empty(tape, SW_F64, SW_SHAPE(2, 3));
#define WITH(...) (&(const sw_cross_entropy_options){.size = sizeof(sw_cross_entropy_options), __VA_ARGS__})
#define WRONG(tensor, status, text)      \
    do {                                 \
        assert_true(sw_is_null(tensor)); \
        expect_error(status, text);      \
    } while (0)
    WRONG(sw_cross_entropy_with_options(t, id, WITH(.reduction = (sw_reduction)3)), SW_ERR_ARGUMENT,
          "cross_entropy: reduction 3; SW_MEAN, SW_SUM or SW_NONE is needed");
    WRONG(sw_cross_entropy_with_options(t, id, WITH(.label_smoothing = 1.5)), SW_ERR_ARGUMENT,
          "cross_entropy: label_smoothing is 1.5; it must be in [0, 1]");
    WRONG(sw_cross_entropy_with_options(t, id, WITH(.label_smoothing = -0.1)), SW_ERR_ARGUMENT,
          "cross_entropy: label_smoothing is -0.1; it must be in [0, 1]");
    assert_true(sw_is_null(sw_cross_entropy_with_options(t, id, WITH(.label_smoothing = (double)NAN))));
    assert_int_equal(sw_error_status(), SW_ERR_ARGUMENT);
    sw_clear_error();
    WRONG(sw_cross_entropy_with_options(t, t, WITH(.ignore = true)), SW_ERR_ARGUMENT,
          "cross_entropy: ignore needs class ids; the target is f32");
    WRONG(sw_cross_entropy_with_options(t, id, WITH(.class_weights = good, .classes = 2)), SW_ERR_SHAPE,
          "cross_entropy: 2 class weights for 3 classes");
    WRONG(sw_cross_entropy_with_options(t, id, WITH(.class_weights = negative, .classes = 3)), SW_ERR_ARGUMENT,
          "cross_entropy: the weight of class 1 is -0.5; it must be ≥ 0 and finite");
    assert_true(sw_is_null(sw_cross_entropy_with_options(t, id, WITH(.class_weights = nan, .classes = 3))));
    assert_int_equal(sw_error_status(), SW_ERR_ARGUMENT);
    sw_clear_error();
    WRONG(sw_cross_entropy_with_options(t, id, WITH(.class_weights = infinite, .classes = 3)), SW_ERR_ARGUMENT,
          "cross_entropy: the weight of class 0 is inf; it must be ≥ 0 and finite");
    WRONG(sw_cross_entropy_with_options(t, id, &(const sw_cross_entropy_options){.size = 8}), SW_ERR_ARGUMENT,
          "cross_entropy: options.size is 8; sizeof(sw_cross_entropy_options) is 48");
    WRONG(sw_cross_entropy(t, bytes), SW_ERR_TYPE,
          "cross_entropy: the target is u8; class ids in i32 or distributions in f32, the logits' type, "
          "are needed");
    WRONG(sw_cross_entropy(t, wide), SW_ERR_TYPE,
          "cross_entropy: the target is f64; class ids in i32 or distributions in f32, the logits' type, "
          "are needed");
    ids[1] = -7; /* out of range, unless it is the one to be ignored */
    WRONG(sw_cross_entropy_with_options(t, id, WITH(.ignore = true, .ignored_id = -8)), SW_ERR_ARGUMENT,
          "cross_entropy: id -7 in row 1 is outside 0 to 2");
    assert_false(sw_is_null(sw_cross_entropy_with_options(t, id, WITH(.ignore = true, .ignored_id = -7))));
    WRONG(sw_mse_with_options(t, t, &SW_OPTIONS(sw_loss_options, .reduction = (sw_reduction)-1)), SW_ERR_ARGUMENT,
          "mse: reduction -1; SW_MEAN, SW_SUM or SW_NONE is needed");
    WRONG(sw_kl_div_with_options(t, t, &SW_OPTIONS(sw_loss_options, .reduction = (sw_reduction)7)), SW_ERR_ARGUMENT,
          "kl_div: reduction 7; SW_MEAN, SW_SUM or SW_NONE is needed");
    assert_false(sw_is_null(sw_huber_with_options(t, t, &SW_OPTIONS(sw_huber_options, .delta = 0)))); /* 1 */
    WRONG(sw_huber_with_options(t, t, &SW_OPTIONS(sw_huber_options, .delta = -1, .reduction = SW_MEAN)),
          SW_ERR_ARGUMENT, "huber: delta is -1; it must be above 0");
    assert_true(sw_is_null(
        sw_huber_with_options(t, t, &SW_OPTIONS(sw_huber_options, .delta = (double)NAN, .reduction = SW_MEAN))));
    sw_clear_error();
    sw_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_cross_entropy_gives_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_cross_entropy_copies_its_weights, test_clear),
        cmocka_unit_test_setup(test_cross_entropy_of_ignored_samples_is_zero, test_clear),
        cmocka_unit_test_setup(test_cross_entropy_ignores_impossible_classes, test_clear),
        cmocka_unit_test_setup(test_cross_entropy_shows_a_nan_logit, test_clear),
        cmocka_unit_test_setup(test_losses_give_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_losses_are_exact_at_their_corners, test_clear),
        cmocka_unit_test_setup(test_cross_entropy_refuses_wrong_options, test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
