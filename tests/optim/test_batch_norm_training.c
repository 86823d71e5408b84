/* The layer of batch normalization in training and evaluation, beside PyTorch: losses, running statistics, parameters,
 * and gradients in evaluation, after 100 steps. What must not change running statistics does not: evaluation, skipped
 * steps, passes with SW_UPDATE_BUFFERS off, recomputation, which leave the same bits. (SAM's second pass and other
 * methods: test_prototypes_batch_norm.c.) Then frozen layers, 16 bits, and mistakes. */
#include "support.h"

#include <swale/extend.h>
#include <swale/nn.h>
#include <swale/optim.h>

#include "golden/torch_norms.h"

/* Each of 100 steps repeats a few hundred roundings of numbers of order 1, which the training does not amplify here:
 * 1e-9 leaves room for 100·300·2^-53 = 3.3e-12 and a growth by two orders of magnitude. */
static const double tolerance = 1e-9;

enum { NORMS = sizeof torch_norms / sizeof *torch_norms, MOST = 1024 };

typedef enum interference { NOTHING_ELSE, EVALUATION, SKIPPED, SECOND_PASS, RECOMPUTED, INTERFERENCES } interference;

typedef struct run {
    const struct torch_norm *golden;
    sw_model *model;
    sw_params *params;
    sw_module *norm;
    sw_optim *optim;
    sw_tape *tape;
    double loss[NORM_STEPS];
} run;

static run run_new(const struct torch_norm *golden, sw_dtype type, bool recomputed) {
    run r = {.golden = golden, .model = sw_model_new(type, 1), .tape = sw_tape_new()};
    const sw_batch_norm_options options = {
        .size = sizeof options, .eps = golden->eps, .momentum = golden->momentum, .cumulative = golden->momentum == 0};
    assert_int_equal(sw_model_set_input_shape(r.model, golden->rank - 1, golden->shape + 1), SW_OK);
    r.norm = sw_nn_batch_norm_with_options(r.model, 0, &options);
    sw_module *middle = sw_nn_sequential(r.model, r.norm, sw_nn_tanh(r.model));
    r.params = sw_model_build(r.model, sw_nn_sequential(r.model, sw_nn_linear(r.model, 0, NORM_HIDDEN),
                                                        recomputed ? sw_nn_recompute(r.model, middle) : middle,
                                                        sw_nn_linear(r.model, NORM_HIDDEN, NORM_OUTPUTS)));
    if (!r.params)
        fail_msg("%s", sw_error());
    const int64_t trained = sw_params_dim(r.params) - sw_params_buffer_dim(r.params);
    const sw_array x = sw_array_view(sw_params_x(r.params), sw_params_type(r.params), 1, &trained);
    test_fill(&x, -0.6, 0.6, 22);
    sw_params_mark_changed(r.params);
    r.optim = sw_optim_new(r.params, "sgd lr=0.2");
    assert_true(r.tape && r.optim && norm_rate == 0.2);
    return r;
}

static void run_free(run *r) {
    sw_optim_free(r->optim);
    sw_tape_free(r->tape);
    sw_model_free(r->model);
}

/* The output for the inputs that `seed` gives; *x receives the variable of the inputs. */
static sw_tensor run_forward(const run *r, uint64_t seed, sw_array *data, sw_tensor *x) {
    const sw_dtype type = sw_params_type(r->params);
    *data = test_filled(type, r->golden->rank, r->golden->shape, -2, 3, seed);
    *x = sw_variable(r->tape, *data);
    return sw_forward(sw_model_root(r->model), *x);
}

/* A pass of training, with the loss times `scale`. */
static double run_pass(run *r, int step, double scale) {
    sw_array data;
    sw_tensor x;
    sw_tape_reset(r->tape);
    sw_tensor y = run_forward(r, 1000 + (uint64_t)step, &data, &x);
    const sw_array out = sw_value(y);
    sw_array target = test_filled(out.type, out.rank, out.shape, -1, 1, 2000 + (uint64_t)step);
    sw_tensor loss = sw_mse(y, sw_input(r->tape, target));
    const double value = sw_item(loss);
    assert_int_equal(sw_backward(scale == 1 ? loss : sw_scale(loss, scale)), SW_OK);
    sw_tape_reset(r->tape);
    test_array_free(&data);
    test_array_free(&target);
    return value;
}

static void run_evaluation(const run *r) {
    sw_array data;
    sw_tensor x;
    sw_tape_reset(r->tape);
    sw_tape_set_switch(r->tape, SW_TRAIN, false);
    assert_false(sw_is_null(run_forward(r, 3000, &data, &x)));
    sw_tape_reset(r->tape);
    sw_tape_set_switch(r->tape, SW_TRAIN, true);
    test_array_free(&data);
}

static void run_interfere(run *r, interference kind) {
    if (kind == EVALUATION)
        run_evaluation(r);
    if (kind == SKIPPED) {
        run_pass(r, 500, (double)INFINITY);
        assert_int_equal(sw_optim_step(r->optim), SW_SKIPPED);
    }
    if (kind == SECOND_PASS) {
        sw_tape_set_switch(r->tape, SW_UPDATE_BUFFERS, false);
        run_pass(r, 600, 1);
        sw_tape_set_switch(r->tape, SW_UPDATE_BUFFERS, true);
        sw_gradient_make_fresh(sw_params_gradient(r->params));
    }
}

static void run_train(run *r, interference kind) {
    for (int step = 0; step < NORM_STEPS; step++) {
        if (step % 3 == 1)
            run_interfere(r, kind);
        r->loss[step] = run_pass(r, step, 1);
        if (sw_optim_step(r->optim) != SW_OK)
            fail_msg("%s, step %d: %s", r->golden->label, step, sw_error());
    }
}

/* Compares numbers with the next `count` of the fixture, relative to the largest of them. */
static void compare(const run *r, const char *what, const double *own, const double **expected, int count) {
    double worst = 0, scale = 0;
    for (int i = 0; i < count; i++) {
        worst = fmax(worst, fabs(own[i] - (*expected)[i]));
        scale = fmax(scale, fabs((*expected)[i]));
        assert_true(isfinite(own[i]));
    }
    if (!(worst <= tolerance * scale))
        fail_msg("%s, %s: %.3g away from PyTorch's %.3g", r->golden->label, what, worst, scale);
    *expected += count;
}

static void compare_array(const run *r, const char *what, sw_array own, const double **expected) {
    double wide[MOST];
    const int count = (int)sw_array_count(&own);
    assert_true(own.data && count <= MOST);
    for (int i = 0; i < count; i++)
        wide[i] = test_get(&own, i);
    compare(r, what, wide, expected, count);
}

static void compare_evaluation(const run *r, const double **expected) {
    sw_array data;
    sw_tensor x;
    sw_tape_reset(r->tape);
    sw_tape_set_switch(r->tape, SW_TRAIN, false);
    sw_tensor y = run_forward(r, 3000, &data, &x);
    compare_array(r, "output in evaluation", sw_value(y), expected);
    const sw_array out = sw_value(y);
    sw_array cotangent = test_filled(out.type, out.rank, out.shape, -1, 1, 4000);
    assert_int_equal(sw_backward_from(y, cotangent), SW_OK);
    compare_array(r, "gradient of the input", sw_grad(x), expected);
    for (int i = 0; i < sw_params_count(r->params); i++)
        if (!sw_params_at(r->params, i)->buffer)
            compare_array(r, sw_params_at(r->params, i)->name, sw_param_grad(sw_params_at(r->params, i)), expected);
    test_array_free(&data);
    test_array_free(&cotangent);
}

static void test_training_agrees_with_torch(void **state) {
    (void)state;
    for (int g = 0; g < NORMS; g++) {
        run r = run_new(&torch_norms[g], SW_F64, false);
        const double *expected = torch_norm_numbers + torch_norms[g].at;
        run_train(&r, NOTHING_ELSE);
        compare(&r, "loss", r.loss, &expected, NORM_STEPS);
        compare_array(&r, "mean", sw_param_value(sw_params_find(r.params, "batch_norm1.running_mean")), &expected);
        compare_array(&r, "variance", sw_param_value(sw_params_find(r.params, "batch_norm1.running_var")), &expected);
        for (int i = 0; i < sw_params_count(r.params); i++)
            if (!sw_params_at(r.params, i)->buffer)
                compare_array(&r, sw_params_at(r.params, i)->name, sw_param_value(sw_params_at(r.params, i)),
                              &expected);
        const sw_param *count = sw_params_find(r.params, "batch_norm1.num_batches_tracked");
        assert_true((count != NULL) == (torch_norms[g].momentum == 0));
        if (count) {
            const sw_array steps = sw_param_value(count);
            assert_true(test_get(&steps, 0) == NORM_STEPS);
        }
        compare_evaluation(&r, &expected);
        assert_ptr_equal(expected, torch_norm_numbers +
                                       (g + 1 < NORMS ? torch_norms[g + 1].at
                                                      : (int)(sizeof torch_norm_numbers / sizeof *torch_norm_numbers)));
        run_free(&r);
    }
}

/* The bits after 100 steps do not depend on what happens between them, in f32 and f64, nor on the threads. */
static void test_statistics_move_by_steps_alone(void **state) {
    (void)state;
    const int threads = sw_threads();
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int g = 0; g < NORMS; g++) {
            run plain = run_new(&torch_norms[g], (sw_dtype)type, false);
            const size_t bytes = (size_t)sw_params_dim(plain.params) * sw_dtype_size((sw_dtype)type);
            run_train(&plain, NOTHING_ELSE);
            for (int kind = EVALUATION; kind < INTERFERENCES; kind++) {
                run r = run_new(&torch_norms[g], (sw_dtype)type, kind == RECOMPUTED);
                assert_int_equal(sw_set_threads(1 + kind % 3), SW_OK);
                run_train(&r, (interference)kind);
                if (memcmp(sw_params_x(r.params), sw_params_x(plain.params), bytes) != 0)
                    fail_msg("%s, interference %d: other bits", torch_norms[g].label, kind);
                assert_memory_equal(r.loss, plain.loss, sizeof r.loss);
                run_free(&r);
            }
            run_free(&plain);
        }
    assert_int_equal(sw_set_threads(threads), SW_OK);
}

/* A frozen layer normalizes by its running statistics while the rest trains, and they do not change. */
static void test_frozen_layer_uses_its_statistics(void **state) {
    (void)state;
    run r = run_new(&torch_norms[0], SW_F64, false);
    run_pass(&r, 0, 1);
    assert_int_equal(sw_optim_step(r.optim), SW_OK);
    sw_module_freeze(r.norm, true);
    const sw_array mean = sw_param_value(sw_params_find(r.params, "batch_norm1.running_mean"));
    const double before = test_get(&mean, 0);
    double y[2] = {0};
    for (int train = 0; train < 2; train++) {
        sw_array data;
        sw_tensor x;
        sw_tape_reset(r.tape);
        sw_tape_set_switch(r.tape, SW_TRAIN, train == 1);
        const sw_array out = sw_value(run_forward(&r, 5, &data, &x));
        y[train] = test_get(&out, 3);
        test_array_free(&data);
    }
    assert_true(y[0] == y[1] && y[0] != 0);
    run_pass(&r, 1, 1);
    assert_int_equal(sw_optim_step(r.optim), SW_OK);
    assert_true(test_get(&mean, 0) == before && before != 0);
    run_free(&r);
}

/* ---- Statistics of f16 and bf16 ---- */

/* The statistics are those of the 16-bit numbers, without another rounding: the buffers are f32. */
static void test_statistics_of_16_bits_are_f32(void **state) {
    (void)state;
    enum { ROWS = 40, WIDTH = 3 };
    const sw_dtype types[] = {SW_F16, SW_BF16};
    for (int t = 0; t < 2; t++) {
        sw_model *model = sw_model_new(types[t], 1);
        sw_params *params = sw_model_build(model, sw_nn_batch_norm(model, WIDTH));
        assert_non_null(params);
        sw_array x = test_filled(types[t], SW_SHAPE(ROWS, WIDTH), 100, 101, 9);
        sw_tape *tape = sw_tape_new();
        assert_int_equal(sw_value(sw_forward(sw_model_root(model), sw_input(tape, x))).type, types[t]);
        assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(params), NULL, 1), SW_OK);
        const sw_array mean = sw_param_value(sw_params_find(params, "batch_norm1.running_mean")),
                       variance = sw_param_value(sw_params_find(params, "batch_norm1.running_var"));
        assert_int_equal(mean.type, SW_F32);
        for (int c = 0; c < WIDTH; c++) {
            double sum = 0, squares = 0;
            for (int i = 0; i < ROWS; i++)
                sum += test_get(&x, i * WIDTH + c);
            for (int i = 0; i < ROWS; i++)
                squares += (test_get(&x, i * WIDTH + c) - sum / ROWS) * (test_get(&x, i * WIDTH + c) - sum / ROWS);
            /* The sums of deviations have a relative error of at most (40/4 + 4) 2^-24, the buffer of 2^-24. */
            assert_true(fabs(test_get(&mean, c) - sum / ROWS) <= 0x1p-24 * 101 + 14 * 0x1p-24);
            assert_true(fabs(test_get(&variance, c) - squares / (ROWS - 1)) <= 16 * 0x1p-24 * squares / (ROWS - 1));
        }
        sw_tape_free(tape);
        test_array_free(&x);
        sw_model_free(model);
    }
}

/* ---- Mistakes ---- */

static void test_one_value_per_channel_is_refused(void **state) {
    (void)state;
    run r = run_new(&torch_norms[2], SW_F64, false);
    sw_array x = test_filled(SW_F64, SW_SHAPE(1, NORM_INPUTS), -1, 1, 3);
    assert_true(sw_is_null(sw_forward(sw_model_root(r.model), sw_input(r.tape, x))));
    expect_error(SW_ERR_SHAPE, "layer batch_norm1: batch_norm: input [1,5] has 1 value per channel, whose variance is "
                               "0; training needs at least 2 (a larger batch, drop_last of sw_loader_options for a "
                               "smaller last batch, or evaluation with SW_TRAIN off?)");
    sw_tape_reset(r.tape);
    sw_tape_set_switch(r.tape, SW_TRAIN, false);
    assert_false(sw_is_null(sw_forward(sw_model_root(r.model), sw_input(r.tape, x))));
    expect_no_error();
    test_array_free(&x);
    run_free(&r);
}

static void test_options_of_the_operation_are_checked(void **state) {
    (void)state;
    sw_params *params = sw_params_new(SW_F64, 1);
    const sw_param_options buffer = {.size = sizeof buffer, .buffer = true};
    sw_param *mean = sw_params_add(params, "mean", SW_SHAPE(3), &buffer),
             *other = sw_params_add(params, "other", SW_SHAPE(2), &buffer);
    assert_int_equal(sw_params_build(params), SW_OK);
    sw_array data = test_filled(SW_F64, SW_SHAPE(4, 3), -1, 1, 3);
    const sw_tensor none = {0};
    const struct {
        sw_batch_norm_options options;
        sw_status status;
        const char *message;
    } cases[] = {
        {{.mean = mean}, SW_ERR_ARGUMENT, "batch_norm: running statistics need both a mean and a variance"},
        {{.count = mean}, SW_ERR_ARGUMENT, "batch_norm: running statistics need both a mean and a variance"},
        {{.momentum = 1.5}, SW_ERR_ARGUMENT, "batch_norm: momentum = 1.5 is outside [0, 1]"},
        {{.eps = -1},
         SW_ERR_ARGUMENT,
         "batch_norm: eps = -1; a finite number of at least 0 is needed (0: the default)"},
        {{.mean = mean, .variance = other},
         SW_ERR_SHAPE,
         "batch_norm: input [4,3] and running variance [2]; the buffer must be [3]"},
    };
    for (int train = 0; train < 2; train++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            sw_tape *tape = sw_tape_new();
            sw_batch_norm_options o = cases[i].options;
            o.size = sizeof o;
            sw_tape_set_switch(tape, SW_TRAIN, train == 1);
            assert_true(sw_is_null(sw_batch_norm(sw_input(tape, data), none, none, &o)));
            expect_error(cases[i].status, cases[i].message);
            sw_tape_free(tape);
        }
    test_array_free(&data);
    sw_params_free(params);
}

static void test_options_of_the_layer_are_checked(void **state) {
    (void)state;
    const sw_batch_norm_options both = {.size = sizeof both, .momentum = 0.5, .cumulative = true},
                                none = {.size = sizeof none, .cumulative = true, .no_statistics = true},
                                evaluate = {.size = sizeof evaluate, .evaluate = true}, small = {.size = 8};
    char size_message[100];
    snprintf(size_message, sizeof size_message, "batch_norm: options.size is 8; sizeof(sw_batch_norm_options) is %zu",
             sizeof(sw_batch_norm_options));
    const struct {
        const sw_batch_norm_options *options;
        const char *message;
    } cases[] = {
        {&both, "batch_norm: cumulative, and momentum = 0.5: give one of the two"},
        {&none, "batch_norm: without running statistics, cumulative and momentum have no meaning"},
        {&evaluate, "batch_norm: mean, variance, count and evaluate are options of the operation; the layer makes "
                    "its running statistics itself (leave them out)"},
        {&small, size_message},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sw_model *model = sw_model_new(SW_F32, 1);
        assert_null(sw_model_build(model, sw_nn_batch_norm_with_options(model, 3, cases[i].options)));
        expect_error(SW_ERR_ARGUMENT, cases[i].message);
        sw_model_free(model);
    }
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_null(sw_model_build(model, sw_nn_batch_norm(model, 0)));
    expect_error(SW_ERR_SHAPE, "layer batch_norm1: the number of features is not known; give it, or "
                               "sw_model_set_input_shape");
    sw_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_training_agrees_with_torch, test_clear),
        cmocka_unit_test_teardown(test_statistics_move_by_steps_alone, test_clear),
        cmocka_unit_test_teardown(test_frozen_layer_uses_its_statistics, test_clear),
        cmocka_unit_test_teardown(test_statistics_of_16_bits_are_f32, test_clear),
        cmocka_unit_test_teardown(test_one_value_per_channel_is_refused, test_clear),
        cmocka_unit_test_teardown(test_options_of_the_operation_are_checked, test_clear),
        cmocka_unit_test_teardown(test_options_of_the_layer_are_checked, test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
