/* A model of one linear layer on samples in memory is a generalized linear model: tables of n·outputs numbers, the
 * gradients of the loss. Other models, and random samples, are not recognized as such. */
#include "support.h"

#include <swale/datasets.h>
#include <swale/nn.h>
#include <swale/optim.h>

#include <math.h>

enum { N = 40, D = 6, K = 3 };

static double x_of[N * D], y_of[N * K];
static float x_f32[N * D];
static int32_t label[N];

static int make_data(void **state) {
    uint64_t seed = 5;
    (void)state;
    for (int i = 0; i < N * D; i++) {
        x_of[i] = test_uniform(&seed, -1, 1);
        x_f32[i] = (float)x_of[i];
    }
    for (int i = 0; i < N * K; i++)
        y_of[i] = test_uniform(&seed, -1, 1);
    for (int i = 0; i < N; i++)
        label[i] = i % K;
    return 0;
}

static sw_source *classes_source(sw_dtype type) {
    const sw_array x = sw_array_view(type == SW_F64 ? (void *)x_of : x_f32, type, SW_SHAPE(N, D)),
                   y = sw_array_view(label, SW_I32, SW_SHAPE(N));
    sw_source *s = sw_arrays(&x, &y, &(sw_arrays_options){.size = sizeof(sw_arrays_options), .classes = K});
    assert_non_null(s);
    return s;
}

static sw_source *real_source(void) {
    const sw_array x = sw_array_view(x_of, SW_F64, SW_SHAPE(N, D)), y = sw_array_view(y_of, SW_F64, SW_SHAPE(N, K));
    sw_source *s = sw_arrays(&x, &y, NULL);
    assert_non_null(s);
    return s;
}

static sw_model *linear_model(sw_dtype type, bool bias, bool flattened) {
    sw_model *m = sw_model_new(type, 3);
    sw_module *linear = bias ? sw_nn_linear(m, D, K) : sw_nn_linear_no_bias(m, D, K);
    assert_non_null(sw_model_build(m, flattened ? sw_nn_sequential(m, sw_nn_flatten(m), linear) : linear));
    return m;
}

static sw_tensor own_loss(sw_tensor z, sw_tensor y) {
    return sw_mse(z, y);
}

/* Whether it is one, and whether its loss is known. The derivatives and gradients are those of the loss on the tape. */
static void expect(sw_model *m, const sw_source *source, sw_loss loss, bool glm, bool known) {
    const sw_objective *f = sw_model_objective(m, source, loss);
    assert_non_null(f);
    assert_int_equal(sw_objective_is_glm(f), glm);
    assert_int_equal(f->glm != NULL, known);
    if (!glm)
        return;
    sw_params *p = sw_model_params(m);
    const sw_dtype type = sw_params_type(p);
    sw_tape *tape = sw_tape_new();
    sw_gradient *g = sw_gradient_new(p);
    static const int64_t ids[] = {3, 0, 17, 39, 8, 8, 21, 30, 2, 1, 5};
    double s[11 * K], back[D * K + K], value, same;
    assert_ok(sw_objective_gradient(f, tape, NULL, ids, 11, 0, &value, g));
    assert_ok(sw_objective_glm_derivatives(f, tape, NULL, ids, 11, 0, &same, s));
    /* Sums of 11 × 6 products of numbers below 4. */
    const double allowed = 66 * 4 * (type == SW_F32 ? 0x1p-22 : 0x1p-51);
    assert_true(fabs(value - same) <= allowed);
    assert_ok(sw_objective_glm_combine(f, tape, ids, 11, s, 0, back));
    for (int64_t j = 0; j < sw_params_dim(p); j++)
        assert_true(fabs(vec_get(type, sw_gradient_data(g), j) - vec_get(type, back, j) / 11) <= allowed);
    sw_gradient_free(g);
    sw_tape_free(tape);
}

static void test_model_of_one_linear_layer_is_a_glm(void **state) {
    (void)state;
    for (int t = 0; t < 8; t++) {
        const sw_dtype type = t & 1 ? SW_F32 : SW_F64;
        sw_model *m = linear_model(type, t & 2, t & 4);
        sw_source *classes = classes_source(type), *other = classes_source(type == SW_F32 ? SW_F64 : SW_F32),
                  *real = real_source();
        expect(m, classes, sw_cross_entropy, true, true);
        expect(m, other, sw_cross_entropy, true, false); /* converted on the way */
        expect(m, real, sw_mse, true, type == SW_F64);
        expect(m, real, sw_huber, true, type == SW_F64);
        expect(m, real, own_loss, true, false);
        sw_model_free(m);
        sw_source_free(classes);
        sw_source_free(other);
        sw_source_free(real);
    }
}

static void test_other_models_are_no_glm(void **state) {
    (void)state;
    sw_source *classes = classes_source(SW_F64);
    sw_model *m = sw_model_new(SW_F64, 3);
    assert_non_null(sw_model_build(m, sw_nn_sequential(m, sw_nn_linear(m, D, 4), sw_nn_linear(m, 4, K))));
    expect(m, classes, sw_cross_entropy, false, false);
    sw_model_free(m);
    m = sw_model_new(SW_F64, 3);
    assert_non_null(sw_model_build(m, sw_nn_sequential(m, sw_nn_dropout(m, 0.5), sw_nn_linear(m, D, K))));
    expect(m, classes, sw_cross_entropy, false, false);
    sw_model_free(m);
    /* Samples with chance in them. */
    m = linear_model(SW_F64, true, false);
    int64_t odd[N];
    for (int i = 0; i < N; i++)
        odd[i] = (7 * i) % N;
    sw_source *part = sw_subset(classes, odd, N, NULL);
    assert_non_null(part);
    expect(m, part, sw_cross_entropy, true, false); /* fixed, but in another order than in memory */
    sw_source chance = *classes;
    chance.fixed = false;
    chance.free = NULL;
    expect(m, &chance, sw_cross_entropy, false, false);
    sw_model_free(m);
    sw_source_free(part);
    sw_source_free(classes);
}

/* Outputs of a linear layer over samples with several axes are not rows of a loss, although one of the axes may be of
 * length 1: with [1, inputs] the number of elements is that of a vector. */
static void test_linear_layer_over_several_axes_is_no_glm(void **state) {
    (void)state;
    const sw_array x = sw_array_view(x_of, SW_F64, SW_SHAPE(N, 1, D)), y = sw_array_view(y_of, SW_F64, SW_SHAPE(N, K)),
                   y_axes = sw_array_view(y_of, SW_F64, SW_SHAPE(N, 1, K));
    sw_source *rows = sw_arrays(&x, &y, NULL), *axes = sw_arrays(&x, &y_axes, NULL);
    for (int t = 0; t < 4; t++) {
        const bool known = t & 1, flattened = t & 2;
        sw_model *m = sw_model_new(SW_F64, 3);
        if (known)
            sw_model_set_input_shape(m, SW_SHAPE(1, D));
        sw_module *linear = sw_nn_linear(m, D, K);
        assert_non_null(sw_model_build(m, flattened ? sw_nn_sequential(m, sw_nn_flatten(m), linear) : linear));
        expect(m, flattened ? rows : axes, sw_mse, flattened, flattened);
        sw_evaluation e;
        assert_ok(sw_model_evaluate(m, NULL, flattened ? rows : axes, sw_mse, &e));
        assert_true(isfinite(e.loss));
        sw_model_free(m);
    }
    sw_source_free(rows);
    sw_source_free(axes);
}

/* The table holds n·outputs numbers, and sw_train ends at the minimum. */
static void test_glm_of_a_model_trains_to_the_minimum(void **state) {
    (void)state;
    sw_model *m = linear_model(SW_F64, true, false);
    sw_source *classes = classes_source(SW_F64);
    const sw_objective *f = sw_model_objective(m, classes, sw_cross_entropy);
    sw_optim *o =
        sw_optim_new_with_options(sw_model_params(m), &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                          .estimator = "saga tol=1e-9",
                                                                          .rule = "sgd lr=auto weight_decay=0.05"});
    sw_train_result r;
    assert_ok(sw_train(f, o, &(sw_train_options){.size = sizeof(sw_train_options), .epochs = 3000}, &r));
    assert_int_equal(r.reason, SW_TRAIN_TOLERANCE);
    const sw_array table = sw_optim_slot(o, "table");
    assert_int_equal(sw_array_count(&table), N * K);
    sw_optim_free(o);
    sw_model_free(m);
    sw_source_free(classes);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model_of_one_linear_layer_is_a_glm),
                                       cmocka_unit_test(test_other_models_are_no_glm),
                                       cmocka_unit_test(test_linear_layer_over_several_axes_is_no_glm),
                                       cmocka_unit_test(test_glm_of_a_model_trains_to_the_minimum)};
    return cmocka_run_group_tests(tests, make_data, NULL);
}
