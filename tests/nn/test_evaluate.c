/* sw_model_evaluate against an evaluation sample by sample: losses and accuracies, the state that it does not change,
 * and the arguments that it refuses. */
#include "cloud.h"

/* One sample at a time, in f64 arithmetic on top of the model's outputs. */
static sw_evaluation by_hand(sw_model *model, const void *x, const cloud *c) {
    sw_evaluation e = {0, 0};
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_TRAIN, false);
    for (int64_t id = 0; id < c->source.n; id++, sw_tape_reset(tape)) {
        sw_batch b;
        sw_tape_reset(tape);
        assert_int_equal(sw_tape_bind(tape, sw_model_params(model), x, NULL), SW_OK);
        assert_int_equal(sw_source_batch(&c->source, tape, sw_params_type(sw_model_params(model)), &id, 1, &b), SW_OK);
        sw_array z = sw_value(sw_forward(sw_model_root(model), b.x));
        double sum = 0;
        int best = 0, target = (int)(id % CLASSES);
        for (int k = 0; k < CLASSES; k++) {
            sum += exp(test_get(&z, k));
            if (test_get(&z, k) > test_get(&z, best))
                best = k;
        }
        e.loss += log(sum) - test_get(&z, target);
        e.accuracy += best == target;
    }
    sw_tape_free(tape);
    e.loss /= (double)c->source.n;
    e.accuracy /= (double)c->source.n;
    return e;
}

static void test_evaluation_agrees_with_single_samples(void **state) {
    (void)state;
    const int64_t sizes[] = {1, 999, 1000, 2345}; /* batches are of 1000 */
    for (int t = 0; t < 2; t++) {
        sw_model *model = classifier(both_types[t]);
        sw_params *p = sw_model_params(model);
        size_t bytes = (size_t)sw_params_dim(p) * sw_dtype_size(both_types[t]);
        void *elsewhere = malloc(bytes);
        assert_non_null(elsewhere);
        memset(elsewhere, 0, bytes);
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            cloud c = cloud_of(sizes[k]);
            sw_evaluation e, hand = by_hand(model, NULL, &c);
            assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &e), SW_OK);
            /* Losses are about 1, their sum f64: each is off by a few 6e-8 in f32; in f64 the sums
             * of 2345 are off by as many times 1.1e-16 at worst. */
            assert_true(fabs(e.loss - hand.loss) <= (t == 0 ? 5e-7 : 3e-13));
            /* Equal logits to a rounding are not to be expected: exactly the same hits. */
            assert_true(fabs(e.accuracy - hand.accuracy) <= (t == 0 ? 1.0 / 2345 : 0) + 1e-15);
            /* At another point: all parameters 0, so that all classes are alike and class 0 is
             * first. */
            assert_int_equal(sw_model_evaluate(model, elsewhere, &c.source, sw_cross_entropy, &e), SW_OK);
            if (!(fabs(e.loss - log(CLASSES)) <= (t == 0 ? 5e-7 : 3e-13)))
                fail_msg("%s, %d samples: %.3g away", sw_dtype_name(both_types[t]), (int)sizes[k],
                         e.loss - log(CLASSES));
            assert_true(fabs(e.accuracy - (double)((sizes[k] + 2) / 3) / (double)sizes[k]) <= 1e-15);
        }
        free(elsewhere);
        sw_model_free(model);
    }
}

static void test_evaluation_changes_nothing(void **state) {
    (void)state;
    sw_model *model = classifier(SW_F64);
    sw_params *p = sw_model_params(model);
    cloud c = cloud_of(50);
    sw_evaluation first, again;
    size_t bytes = (size_t)sw_params_dim(p) * sizeof(double);
    uint64_t x = test_hash(TEST_HASH, sw_params_x(p), bytes);
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &first), SW_OK);
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &again), SW_OK);
    assert_true(first.loss == again.loss && first.accuracy == again.accuracy); /* no dropout */
    assert_true(x == test_hash(TEST_HASH, sw_params_x(p), bytes));
    assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
    sw_model_free(model);
}

static void test_evaluation_without_classes_has_no_accuracy(void **state) {
    (void)state;
    sw_model *model = classifier(SW_F64);
    cloud c = cloud_of(40);
    c.source.y_type = SW_F64;
    c.source.classes = 0;
    c.source.y_rank = 1;
    c.source.y_shape[0] = CLASSES;
    sw_evaluation e;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_mse, &e), SW_OK);
    assert_true(isfinite(e.loss) && isnan(e.accuracy));
    sw_model_free(model);
}

static sw_tensor nothing_like_classes(sw_module *module, sw_tensor x) {
    (void)module;
    return sw_reshape(x, SW_SHAPE(-1, 1, 1));
}

static sw_tensor mean_of(sw_tensor z, sw_tensor y) {
    (void)y;
    return sw_mean(z);
}

static sw_tensor one_score(sw_module *module, sw_tensor x) {
    (void)module;
    return sw_mean_over(x, 1, (int[]){1}, true); /* [batch, 1] */
}

/* With one class, every id 0 would count as correct. */
static void test_evaluation_of_one_class_has_no_accuracy(void **state) {
    (void)state;
    static const sw_module_type type = {.size = sizeof type, .name = "score", .forward = one_score};
    sw_model *model = sw_model_new(SW_F64, 1);
    built(model, sw_module_new(model, &type, 0));
    cloud c = cloud_of(40);
    sw_evaluation e;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, mean_of, &e), SW_OK);
    assert_true(isfinite(e.loss) && isnan(e.accuracy));
    sw_model_free(model);
}

/* Outputs that are not [batch, classes] have no accuracy; 0 would be a claim. */
static void test_evaluation_of_other_outputs_has_no_accuracy(void **state) {
    (void)state;
    static const sw_module_type type = {.size = sizeof type, .name = "odd", .forward = nothing_like_classes};
    sw_model *model = sw_model_new(SW_F64, 1);
    built(model, sw_module_new(model, &type, 0));
    cloud c = cloud_of(40);
    sw_evaluation e;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, mean_of, &e), SW_OK);
    assert_true(isfinite(e.loss) && isnan(e.accuracy));
    sw_model_free(model);
}

static sw_status draw_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                             void *x, void *y) {
    const sw_array out = {.data = x, .type = type}, target = {.data = y, .type = type};
    for (int64_t i = 0; i < count; i++) {
        test_set(&out, i, (double)(draw * 7 + (uint64_t)ids[i]));
        test_set(&target, i, 0);
    }
    (void)source;
    return SW_OK;
}

/* What is random in a source is that of draw 0, so that an evaluation can be compared with another. */
static void test_evaluation_uses_draw_0(void **state) {
    (void)state;
    const sw_source source = {.size = sizeof source,
                              .n = 3,
                              .x_rank = 1,
                              .x_shape = {1},
                              .y_rank = 1,
                              .y_shape = {1},
                              .y_type = SW_F64,
                              .gather = draw_gather};
    sw_model *model = sw_model_new(SW_F64, 1);
    built(model, sw_nn_sequential(model, NULL));
    for (int again = 0; again < 2; again++) {
        sw_evaluation e;
        assert_int_equal(sw_model_evaluate(model, NULL, &source, sw_l1, &e), SW_OK);
        assert_true(e.loss == 1);
    }
    sw_model_free(model);
}

static void test_evaluation_refuses_wrong_calls(void **state) {
    (void)state;
    sw_model *model = classifier(SW_F64), *unbuilt = sw_model_new(SW_F64, 1);
    cloud c = cloud_of(2000);
    sw_evaluation e = {1, 1};
    assert_int_equal(sw_model_evaluate(NULL, NULL, &c.source, sw_cross_entropy, &e), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_evaluate: the model is NULL");
    assert_true(isnan(e.loss) && isnan(e.accuracy));
    assert_int_equal(sw_model_evaluate(model, NULL, NULL, sw_cross_entropy, &e), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_evaluate: the source is NULL");
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, NULL, &e), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_evaluate: the loss is NULL");
    assert_int_equal(sw_model_evaluate(unbuilt, NULL, &c.source, sw_cross_entropy, &e), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "model_evaluate: the model is not built");
    assert_null(sw_model_objective(model, NULL, sw_cross_entropy));
    expect_error(SW_ERR_ARGUMENT, "model_objective: the source is NULL");
    assert_null(sw_model_objective(unbuilt, &c.source, sw_cross_entropy));
    expect_error(SW_ERR_STATE, "model_objective: the model is not built");
    c.fails = true; /* in the second batch */
    assert_int_not_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &e), SW_OK);
    /* The reader's own words are lost where a worker thread met the error: the status is not. */
    assert_int_equal(sw_error_status(), SW_ERR_IO);
    sw_clear_error();
    assert_true(isnan(e.loss) && isnan(e.accuracy));
    c.fails = false;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &e), SW_OK);
    /* No targets to compare with. */
    c.source.y_rank = -1;
    assert_int_not_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &e), SW_OK);
    assert_non_null(sw_error());
    assert_true(isnan(e.loss));
    sw_clear_error();
    sw_model_free(model);
    sw_model_free(unbuilt);
}

static void test_objective_equals_evaluation(void **state) {
    (void)state;
    sw_model *model = classifier(SW_F64);
    cloud c = cloud_of(300);
    const sw_objective *f = sw_model_objective(model, &c.source, sw_cross_entropy);
    assert_ptr_equal(sw_model_objective(model, &c.source, sw_cross_entropy), f);
    assert_ptr_not_equal(sw_model_objective(model, &c.source, sw_mse), f);
    assert_non_null(f);
    assert_int_equal(f->n, 300);
    assert_ptr_equal(f->params, sw_model_params(model));
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_TRAIN, false);
    sw_evaluation e;
    double value;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &e), SW_OK);
    assert_int_equal(sw_objective_value(f, tape, NULL, NULL, 300, 1, &value), SW_OK);
    assert_true(fabs(value - e.loss) <= 1e-15);
    sw_tape_free(tape);
    sw_model_free(model);
}

static void test_evaluation_needs_samples_and_a_result(void **state) {
    (void)state;
    sw_model *model = classifier(SW_F32);
    cloud c = cloud_of(10);
    sw_evaluation e = {7, 7};
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_evaluate: the result is NULL");
    c.source.n = 0;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &e), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_evaluate: the source has no samples");
    assert_true(isnan(e.loss) && isnan(e.accuracy));
    sw_model_free(model);
}

static void test_evaluation_keeps_an_error_pending_before(void **state) {
    (void)state;
    sw_model *model = classifier(SW_F32);
    cloud c = cloud_of(10);
    sw_evaluation fresh, late;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &fresh), SW_OK);
    sw_fail(SW_ERR_IO, "of long ago");
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &late), SW_OK);
    expect_error(SW_ERR_IO, "of long ago");
    assert_true(late.loss == fresh.loss && late.accuracy == fresh.accuracy);
    sw_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_evaluation_agrees_with_single_samples),
        TEST(test_evaluation_changes_nothing),
        TEST(test_evaluation_without_classes_has_no_accuracy),
        TEST(test_evaluation_of_other_outputs_has_no_accuracy),
        TEST(test_evaluation_of_one_class_has_no_accuracy),
        TEST(test_evaluation_uses_draw_0),
        TEST(test_evaluation_refuses_wrong_calls),
        TEST(test_objective_equals_evaluation),
        TEST(test_evaluation_needs_samples_and_a_result),
        TEST(test_evaluation_keeps_an_error_pending_before),
    };
    return cmocka_run_group_tests_name("evaluate", tests, NULL, NULL);
}
