/* Recomputed layers: networks of segments train to the bits of plain ones, with every kind of estimator, with dropout
 * and running statistics, on any number of threads; several inputs; files; names; what takes no memory after the first
 * step. */
#define _GNU_SOURCE
#include "../cloud.h"

#include "batch_norm.h"
#include "files.h"

#include <swale/extend.h>
#include <swale/optim.h>
#include <swale/train.h>

enum { WIDTH = 16, SAMPLES = 60 };
typedef enum kind { PLAIN, LAYERS, EVERY_2, EVERY_4, NESTED, KINDS } kind;

/* Running statistics are reported in the first pass of a segment, and not in the second. */
static sw_module *block(sw_model *model, int64_t inputs, int64_t outputs) {
    return sw_nn_sequential(model, sw_nn_linear(model, inputs, WIDTH), sw_nn_tanh(model), batch_norm_new(model, 0.1),
                            sw_nn_dropout(model, 0.25), sw_nn_linear_no_bias(model, WIDTH, outputs), sw_nn_gelu(model));
}

static sw_module *maybe(sw_model *model, bool yes, sw_module *inside) {
    return yes ? sw_nn_recompute(model, inside) : inside;
}

/* The same layers, with the same names, in every kind. */
static sw_module *layers_of(sw_model *model, kind how) {
    const bool each = how == LAYERS || how == NESTED;
    sw_module *list[4];
    list[0] = maybe(model, each, block(model, FEATURES, WIDTH));
    list[1] = sw_nn_residual(model, maybe(model, each, block(model, WIDTH, WIDTH)));
    list[2] = maybe(model, each, sw_nn_residual(model, block(model, WIDTH, WIDTH)));
    list[3] = sw_nn_linear(model, WIDTH, CLASSES);
    const int every = how == EVERY_2 ? 2 : how == EVERY_4 ? 4 : 0;
    sw_module *all =
        sw_nn_sequential_with_options(model, 4, list, &SW_OPTIONS(sw_sequential_options, .recompute = every));
    return maybe(model, how == NESTED, all);
}

static sw_model *network(sw_dtype type, kind how) {
    sw_model *model = sw_model_new(type, 11);
    sw_model_set_input_shape(model, 1, (const int64_t[]){FEATURES});
    built(model, layers_of(model, how));
    return model;
}

/* ---- Training ---- */

static uint64_t hash_of_params(const sw_model *model) {
    const sw_params *p = sw_model_params(model);
    return test_hash(TEST_HASH, sw_params_x(p), (size_t)sw_params_dim(p) * sw_dtype_size(sw_params_type(p)));
}

static uint64_t trained(sw_dtype type, kind how, const char *estimator, const char *rule) {
    cloud c = cloud_of(SAMPLES);
    sw_model *model = network(type, how);
    const sw_objective *f = sw_model_objective(model, &c.source, sw_cross_entropy);
    sw_optim *o = sw_optim_new_with_options(
        sw_model_params(model), &SW_OPTIONS(sw_optim_options, .estimator = estimator, .rule = rule, .average = "ema"));
    assert_ok(sw_train(f, o, &SW_OPTIONS(sw_train_options, .epochs = 3), NULL));
    const uint64_t hash = hash_of_params(model);
    sw_optim_free(o);
    sw_model_free(model);
    return hash;
}

static const char *const methods[][2] = {{"minibatch batch=16", "adamw lr=0.01"},
                                         {"minibatch batch=16 shards=4", "sgd lr=0.1 momentum=0.9"},
                                         {"sam rho=0.05 of=minibatch batch=16", "sgd lr=0.1 momentum=0.9"},
                                         {"svrg batch=16", "sgd lr=0.05"},
                                         {"full", "sgd lr=0.1"}};
enum { METHODS = sizeof methods / sizeof *methods };

static void test_recomputed_networks_train_to_the_same_bits(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < METHODS; i++) {
            const uint64_t plain = trained(both_types[t], PLAIN, methods[i][0], methods[i][1]);
            for (kind how = LAYERS; how < KINDS; how++)
                if (trained(both_types[t], how, methods[i][0], methods[i][1]) != plain)
                    fail_msg("%s, %s, kind %d: other bits", sw_dtype_name(both_types[t]), methods[i][0], (int)how);
        }
}

static void test_bits_do_not_depend_on_threads(void **state) {
    (void)state;
    const uint64_t alone = trained(SW_F32, NESTED, methods[1][0], methods[1][1]);
    for (int threads = 2; threads <= 8; threads *= 2) {
        sw_set_threads(threads);
        assert_true(trained(SW_F32, NESTED, methods[1][0], methods[1][1]) == alone);
        assert_true(trained(SW_F32, EVERY_2, methods[1][0], methods[1][1]) == alone);
    }
    sw_set_threads(1);
}

/* ---- Names and files ---- */

static void test_segments_change_no_names_of_parameters(void **state) {
    (void)state;
    sw_model *plain = network(SW_F32, PLAIN);
    for (kind how = LAYERS; how < KINDS; how++) {
        sw_model *model = network(SW_F32, how);
        const sw_params *a = sw_model_params(plain), *b = sw_model_params(model);
        assert_int_equal(sw_params_count(a), sw_params_count(b));
        for (int i = 0; i < sw_params_count(a); i++)
            assert_string_equal(sw_params_at(a, i)->name, sw_params_at(b, i)->name);
        assert_true(hash_of_params(model) == hash_of_params(plain));
        sw_model_free(model);
    }
    sw_model_free(plain);
}

static sw_module *described(sw_model *model, bool segments) {
    sw_module *list[5] = {sw_nn_linear(model, FEATURES, WIDTH), sw_nn_tanh(model),
                          maybe(model, segments, sw_nn_residual(model, sw_nn_linear(model, WIDTH, WIDTH))),
                          sw_nn_dropout(model, 0.2), sw_nn_linear(model, WIDTH, CLASSES)};
    return sw_nn_sequential_with_options(model, 5, list,
                                         &SW_OPTIONS(sw_sequential_options, .recompute = segments ? 3 : 0));
}

/* A network from a file trains as the one that was saved, in segments; a network that was saved without segments loads
 * into one with segments. */
static void test_segments_are_restored_from_files(void **state) {
    (void)state;
    const char *file = path_of("net");
    sw_model *model = sw_model_new(SW_F32, 11);
    sw_model_set_input_shape(model, 1, (const int64_t[]){FEATURES});
    built(model, described(model, true));
    assert_ok(sw_model_save(model, file));
    sw_model *restored = sw_model_new_from_file(file);
    expect_no_error();
    char *text = sw_model_description(model), *again = sw_model_description(restored);
    assert_string_equal(text, again);
    assert_non_null(strstr(text, "\"settings\":{\"recompute\":3}"));
    assert_non_null(strstr(text, "\"type\":\"recompute\""));
    sw_free(text);
    sw_free(again);
    sw_array x = test_filled(SW_F32, SW_SHAPE(400, FEATURES), -1, 1, 2);
    uint64_t hash[2];
    size_t peak[2];
    for (int i = 0; i < 2; i++) {
        const sw_model *m = i ? restored : model;
        sw_tape *tape = sw_tape_new();
        assert_ok(sw_backward(sw_mean(sw_forward(sw_model_root(m), sw_input(tape, x)))));
        sw_params *p = sw_model_params(m);
        hash[i] = test_hash(TEST_HASH, sw_gradient_data(sw_params_gradient(p)), (size_t)sw_params_dim(p) * 4);
        peak[i] = sw_tape_peak_bytes(tape);
        sw_tape_free(tape);
    }
    assert_true(hash[0] == hash[1] && peak[0] == peak[1]);
    sw_model *plain = sw_model_new(SW_F32, 1);
    sw_model_set_input_shape(plain, 1, (const int64_t[]){FEATURES});
    built(plain, described(plain, false));
    assert_ok(sw_model_load(plain, file));
    assert_true(hash_of_params(plain) == hash_of_params(model));
    sw_model_free(plain);
    sw_model_free(model);
    sw_model_free(restored);
    test_array_free(&x);
    remove_file(file);
}

static void test_mistakes_have_messages(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_nn_recompute(model, NULL);
    expect_error(SW_ERR_ARGUMENT, "a layer to be added is NULL");
    sw_module *one[1] = {sw_nn_relu(model)};
    sw_nn_sequential_with_options(model, 1, one, &SW_OPTIONS(sw_sequential_options, .recompute = -1));
    expect_error(SW_ERR_ARGUMENT, "sequential: recompute is -1; at least 0 is needed");
    const sw_sequential_options no_size = {0};
    sw_nn_sequential_with_options(model, 1, one, &no_size);
    expect_error(SW_ERR_ARGUMENT, "sequential: options.size is 0; sizeof(sw_sequential_options) is 16");
    sw_model_free(model);
}

/* ---- Several inputs ---- */

static sw_tensor gated(sw_module *self, int count, const sw_tensor *x) {
    sw_tensor a = sw_forward(sw_module_child(self, 0), x[0]);
    sw_tensor b = sw_forward(sw_module_child(self, 1), x[1]);
    sw_tensor y = sw_mul(sw_mul(a, sw_sigmoid(b)), x[0]);
    return count == 3 ? sw_add(y, x[2]) : y;
}

static void test_layers_of_several_inputs_are_recomputed(void **state) {
    (void)state;
    sw_array x[3] = {test_filled(SW_F64, SW_SHAPE(7, 4), -1, 1, 2), test_filled(SW_F64, SW_SHAPE(7, 3), -1, 1, 3),
                     test_filled(SW_F64, SW_SHAPE(1, 4), -1, 1, 4)};
    uint64_t hash[2][2];
    for (int r = 0; r < 2; r++) {
        sw_model *model = sw_model_new(SW_F64, 1);
        const sw_sample_shape shapes[3] = {
            {.rank = 1, .length = {4}}, {.rank = 1, .length = {3}}, {.rank = 1, .length = {4}}};
        assert_ok(sw_model_set_input_shapes(model, 3, shapes));
        sw_module *list[2] = {sw_nn_linear(model, 0, 4), sw_nn_linear(model, 0, 4)};
        sw_module *root = sw_nn_compose_many(model, "gated", 3, gated, 2, list,
                                             &SW_OPTIONS(sw_compose_options, .optional_inputs = 1));
        built(model, maybe(model, r, root));
        sw_tape *tape = sw_tape_new();
        for (int count = 2; count <= 3; count++) {
            sw_params *p = sw_model_params(model);
            sw_tape_reset(tape);
            sw_gradient_make_fresh(sw_params_gradient(p));
            sw_tensor in[3];
            for (int i = 0; i < 3; i++)
                in[i] = sw_variable(tape, x[i]);
            assert_ok(sw_backward(sw_sum(sw_forward_many(sw_model_root(model), count, in))));
            uint64_t h = test_hash(TEST_HASH, sw_gradient_data(sw_params_gradient(p)),
                                   (size_t)sw_params_dim(p) * sizeof(double));
            for (int i = 0; i < count; i++)
                h = test_hash(h, sw_grad(in[i]).data, test_bytes(&x[i]));
            hash[r][count - 2] = h;
        }
        sw_tape_free(tape);
        sw_model_free(model);
    }
    assert_true(hash[0][0] == hash[1][0] && hash[0][1] == hash[1][1]);
    for (int i = 0; i < 3; i++)
        test_array_free(&x[i]);
}

/* An embedding in a segment is recognized as a layer that takes ids, and a single linear layer as a linear model. */
static void test_segments_are_looked_through(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    built(model, sw_nn_sequential(model, sw_nn_recompute(model, sw_nn_embedding(model, 9, 4)), sw_nn_flatten(model)));
    sw_array ids = test_array(SW_I32, SW_SHAPE(3, 1)), y = {0};
    assert_ok(sw_predict(model, &ids, &y));
    assert_int_equal(y.shape[1], 4);
    sw_array_free(&y);
    sw_model_free(model);
    test_array_free(&ids);
}

/* ---- Memory ---- */

static test_allocator allocator;

static void test_steps_allocate_nothing_after_the_first(void **state) {
    (void)state;
    test_allocator_install(&allocator);
    sw_array x = test_filled(SW_F32, SW_SHAPE(200, FEATURES), -1, 1, 2);
    for (kind how = PLAIN; how < KINDS; how++) {
        sw_model *model = network(SW_F32, how);
        sw_params *p = sw_model_params(model);
        sw_tape *tape = sw_tape_new();
        long long before = 0;
        for (int i = 0; i < 5; i++) {
            sw_gradient_make_fresh(sw_params_gradient(p));
            assert_ok(sw_backward(sw_mean(sw_forward(sw_model_root(model), sw_input(tape, x)))));
            sw_tape_reset(tape);
            if (i == 0)
                before = atomic_load(&allocator.calls);
        }
        assert_int_equal(atomic_load(&allocator.calls), before);
        sw_tape_free(tape);
        sw_model_free(model);
    }
    assert_int_equal(atomic_load(&allocator.live), 0);
    sw_set_allocator(NULL);
    test_array_free(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_recomputed_networks_train_to_the_same_bits),
        TEST(test_bits_do_not_depend_on_threads),
        TEST(test_segments_change_no_names_of_parameters),
        TEST(test_segments_are_restored_from_files),
        TEST(test_mistakes_have_messages),
        TEST(test_layers_of_several_inputs_are_recomputed),
        TEST(test_segments_are_looked_through),
        TEST(test_steps_allocate_nothing_after_the_first),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
