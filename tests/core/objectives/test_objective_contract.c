/* Evaluations of an objective that are refused (incomplete linear models, a loss on another tape), and the state that
 * an evaluation does not change (the caller's bindings, an error that was pending before). */
#include "support.h"

#include "helpers.h"

typedef struct other_tape {
    sw_params *params;
    sw_tape *elsewhere;
} other_tape;

static sw_tensor loss_elsewhere(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const other_tape *o = user;
    (void)tape, (void)ids, (void)count;
    return sw_sum(use_vector(o->elsewhere, o->params));
}

static void test_objective_refuses_a_loss_on_another_tape(void **state) {
    sw_tape *tape = *state;
    static const char *const text = "objective: the loss is not on the tape that the objective received";
    other_tape o = {vector_params("w", 1, 2, 3), sw_tape_new()};
    const sw_objective f = {.size = sizeof f, .n = 4, .params = o.params, .user = &o, .loss = loss_elsewhere};
    sw_gradient *g = sw_params_gradient(o.params);
    double value;
    assert_int_equal(sw_objective_value(&f, tape, NULL, NULL, 4, 1, &value), SW_ERR_USER);
    expect_error(SW_ERR_USER, text);
    assert_int_equal(sw_objective_gradient(&f, tape, NULL, NULL, 4, 1, &value, g), SW_ERR_USER);
    expect_error(SW_ERR_USER, text);
    assert_int_equal(sw_objective_gradient_chunked(&f, tape, NULL, NULL, 4, 2, 1, &value, g), SW_ERR_USER);
    expect_error(SW_ERR_USER, text);
    sw_tape_free(o.elsewhere);
    sw_params_free(o.params);
}

static const double rows_data[4][2] = {{1, 2}, {-1, 0.5}, {3, 1}, {0.25, -2}};

static sw_tensor glm_rows(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    (void)user;
    sw_tensor a = sw_empty(tape, SW_F64, SW_SHAPE(count, 2));
    double *to = sw_value(a).data;
    for (int64_t i = 0; i < 2 * count; i++)
        to[i] = rows_data[ids[i / 2]][i % 2];
    return a;
}

static sw_tensor glm_head(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count) {
    (void)user, (void)tape, (void)ids, (void)count;
    return sw_mean(sw_tanh(z));
}

static void test_objective_refuses_an_incomplete_glm(void **state) {
    sw_tape *tape = *state;
    sw_params *p = vector_params("w", 0.5, -0.25, 1), *q = vector_params("w", 1, 2, 3);
    const sw_objective good = {.size = sizeof good,
                               .n = 4,
                               .params = p,
                               .features = 2,
                               .outputs = 1,
                               .bias = true,
                               .rows = glm_rows,
                               .head = glm_head};
    sw_gradient *g = sw_params_gradient(p);
    sw_objective bad[4] = {good, good, good, good};
    static const char *const needed = "objective: it is not a generalized linear model: rows and "
                                      "head or glm, features and outputs are needed";
    bad[0].rows = NULL;
    bad[1].features = 0;
    bad[2].outputs = 0;
    bad[3].bias = false;
    double value, s[4];
    for (int i = 0; i < 4; i++) {
        sw_status status = i == 3 ? SW_ERR_SHAPE : SW_ERR_ARGUMENT;
        const char *text = i < 3 ? needed
                                 : "objective: 3 parameters; a generalized linear model of 2 "
                                   "features and 1 outputs has 2";
#define REFUSED(call)                     \
    do {                                  \
        assert_int_equal((call), status); \
        expect_error(status, text);       \
    } while (0)
        REFUSED(sw_objective_value(&bad[i], tape, NULL, NULL, 4, 1, &value));
        REFUSED(sw_objective_gradient(&bad[i], tape, NULL, NULL, 4, 1, &value, g));
        REFUSED(sw_objective_gradient_chunked(&bad[i], tape, NULL, NULL, 4, 2, 1, &value, g));
        REFUSED(sw_objective_glm_derivatives(&bad[i], tape, NULL, NULL, 4, 1, &value, s));
        REFUSED(sw_objective_glm_combine(&bad[i], tape, NULL, 4, s, 0, sw_gradient_data(g)));
    }
    const sw_status status = SW_ERR_ARGUMENT;
    const char *text = "objective: the gradient block belongs to other parameters";
    sw_gradient *foreign = sw_params_gradient(q);
    REFUSED(sw_objective_gradient(&good, tape, NULL, NULL, 4, 1, &value, foreign));
    REFUSED(sw_objective_gradient_chunked(&good, tape, NULL, NULL, 4, 2, 1, &value, foreign));
#undef REFUSED
    /* And the complete one works, its gradient by hand. */
    assert_int_equal(sw_objective_gradient(&good, tape, NULL, NULL, 4, 1, &value, g), SW_OK);
    double expected[3] = {0}, mean = 0;
    for (int i = 0; i < 4; i++) {
        double t = tanh(0.5 * rows_data[i][0] - 0.25 * rows_data[i][1] + 1);
        mean += t / 4;
        expected[0] += (1 - t * t) * rows_data[i][0] / 4;
        expected[1] += (1 - t * t) * rows_data[i][1] / 4;
        expected[2] += (1 - t * t) / 4;
    }
    assert_true(fabs(value - mean) <= 1e-14);
    assert_near(gradient_of(p), expected, 3);
    sw_params_free(p);
    sw_params_free(q);
}

typedef struct square {
    sw_params *params;
    bool fails;
} square;

static sw_tensor square_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const square *s = user;
    (void)ids, (void)count;
    sw_tensor w = use_vector(tape, s->params);
    return s->fails ? (sw_tensor){0} : sw_sum(sw_mul(w, w));
}

/* What the caller had bound before an objective was evaluated is bound after it, also if it
 * failed. */
static void test_objective_restores_the_callers_bindings(void **state) {
    sw_tape *tape = *state;
    square s = {vector_params("w", 1, 2, 3), false};
    sw_objective f = {.size = sizeof f, .n = 4, .params = s.params, .user = &s, .loss = square_loss};
    sw_objective glm = {.size = sizeof glm,
                        .n = 4,
                        .params = s.params,
                        .features = 2,
                        .outputs = 1,
                        .bias = true,
                        .rows = glm_rows,
                        .head = glm_head};
    double bound[3] = {10, 20, 30}, other[3] = {5, 5, 5}, value, scores[4];
    sw_gradient *mine = sw_gradient_new(s.params), *theirs = sw_gradient_new(s.params);
    assert_int_equal(sw_tape_bind(tape, s.params, bound, mine), SW_OK);
    for (int k = 0; k < 12; k++) {
        s.fails = k % 2;
        if (k / 2 == 0)
            sw_objective_value(&f, tape, other, NULL, 4, 1, &value);
        else if (k / 2 == 1)
            sw_objective_gradient(&f, tape, other, NULL, 4, 1, &value, theirs);
        else if (k / 2 == 2)
            sw_objective_gradient_chunked(&f, tape, other, NULL, 4, 2, 1, &value, theirs);
        else if (k / 2 == 3)
            sw_objective_glm_derivatives(&glm, tape, other, NULL, 4, 1, &value, scores);
        else if (k / 2 == 4)
            sw_objective_glm_combine(&glm, tape, NULL, 4, scores, 0, sw_gradient_data(theirs));
        else
            sw_objective_gradient(&glm, tape, other, NULL, 4, 1, &value, theirs);
        if (!s.fails)
            expect_no_error();
        sw_clear_error();
        sw_tensor w = use_vector(tape, s.params);
        assert_ptr_equal(sw_value(w).data, bound);
        sw_gradient_make_fresh(mine);
        assert_int_equal(sw_backward(sw_sum(sw_mul(w, w))), SW_OK);
        assert_near(sw_gradient_data(mine), (double[]){20, 40, 60}, 3);
        sw_tape_reset(tape);
    }
    assert_true(sw_gradient_is_fresh(sw_params_gradient(s.params))); /* nothing went there */
    sw_gradient_free(mine);
    sw_gradient_free(theirs);
    sw_params_free(s.params);
}

/* ---- Errors that were pending before ---- */

static sw_tensor product(void *user, sw_tape *tape, const sw_tensor *inputs) {
    (void)user, (void)tape;
    return sw_sum(sw_mul(inputs[0], inputs[1]));
}

static void test_objective_keeps_an_error_pending_before(void **state) {
    sw_tape *tape = *state;
    square s = {vector_params("w", 1, 2, 3), false};
    const sw_objective f = {.size = sizeof f, .n = 4, .params = s.params, .user = &s, .loss = square_loss};
    double value = 0, a[3] = {1, 2, 3}, b[3] = {4, 5, 6};
    const sw_array inputs[2] = {sw_array_view(a, SW_F64, SW_SHAPE(3)), sw_array_view(b, SW_F64, SW_SHAPE(3))};
    sw_fail(SW_ERR_IO, "of long ago");
    assert_int_equal(sw_objective_value(&f, tape, NULL, NULL, 4, 1, &value), SW_OK);
    assert_true(value == 14);
    value = 0;
    assert_int_equal(sw_objective_gradient(&f, tape, NULL, NULL, 4, 1, &value, sw_params_gradient(s.params)), SW_OK);
    assert_true(value == 14);
    assert_int_equal(sw_gradcheck(product, NULL, 2, inputs, NULL, NULL), SW_OK);
    expect_error(SW_ERR_IO, "of long ago"); /* and it is still there */
    sw_params_free(s.params);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, tape_setup, tape_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_objective_refuses_a_loss_on_another_tape),
        TEST(test_objective_refuses_an_incomplete_glm),
        TEST(test_objective_restores_the_callers_bindings),
        TEST(test_objective_keeps_an_error_pending_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
