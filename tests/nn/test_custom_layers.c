/* A custom layer with inner layers; every allocation fails in turn while a model with it is built and evaluated. */
#include "cloud.h"
#include "residual.h"
#include "scale_layer.h"

static void test_custom_layer_gives_the_plain_values(void **state) {
    (void)state;
    int freed = 0;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *block = residual_new(model, sw_nn_linear(model, 2, 2), &freed);
    sw_params *p = built(model, sw_nn_sequential(model, sw_nn_linear(model, 3, 2), block, sw_nn_relu(model), NULL));
    set_values(p, "linear1.weight", small_weight);
    set_values(p, "linear1.bias", small_bias);
    set_values(p, "linear2.weight", (const double[]){1, 2, 3, 4});
    set_values(p, "linear2.bias", (const double[]){0, 1});
    set_values(p, "residual1.scale", (const double[]){2, -1});
    sw_tape *tape = sw_tape_new();
    sw_tensor y = sw_forward(sw_model_root(model), rows_of(tape, SW_F64, 2, 3, small_points));
    /* Row 1: {2.5, -2} through linear2 {-1.5, 0.5}: {2.5 - 3, -2 - 0.5}. Row 2: {-5.5, -9} →
     * {-23.5, -51.5}: {-5.5 - 47, -9 + 51.5}. */
    const double expected[4] = {0, 0, 0, 42.5};
    assert_values(y, expected, 4, 0);
    assert_non_null(strstr(print_of(model),
                           "\n  residual1           x + f(x), 1 inside       [2]                   2\n"
                           "    linear2           linear 2 to 2            [2]                   6\n"));
    assert_int_equal(sw_params_find(p, "residual1.scale")->role, SW_ROLE_NORM);
    sw_tape_free(tape);
    sw_model_free(model);
    assert_int_equal(freed, 1);
}

static char *text_of(const char *path) {
    FILE *f = fopen(path, "rb"); /* tests run in the top folder */
    if (!f)
        fail_msg("%s cannot be read", path);
    char *text = calloc(1, 1 << 16);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    return text;
}

/* nn/README.md quotes scale_layer.h exactly. */
static void test_readme_shows_a_layer_with_a_parameter(void **state) {
    (void)state;
    char *readme = text_of("nn/README.md"), *layer = text_of("tests/nn/scale_layer.h");
    const char *at = strstr(readme, layer);
    assert_non_null(at);
    assert_memory_equal(at - 5, "```c\n", 5);
    assert_memory_equal(at + strlen(layer), "```", 3);
    free(readme);
    free(layer);
}

static void test_layer_with_a_parameter_gives_the_plain_values(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_model_set_input_shape(model, 1, (const int64_t[]){3});
    sw_params *p = built(model, scale_layer(model));
    sw_tape *tape = sw_tape_new();
    sw_tensor y = sw_forward(sw_model_root(model), rows_of(tape, SW_F64, 2, 3, small_points));
    assert_values(y, small_points, 6, 0); /* the factors are 1 at first */
    set_values(p, "scale1.factor", (const double[]){2, 0, -1});
    sw_tape_reset(tape);
    double expected[6];
    for (int i = 0; i < 6; i++)
        expected[i] = small_points[i] * (const double[]){2, 0, -1}[i % 3];
    y = sw_forward(sw_model_root(model), rows_of(tape, SW_F64, 2, 3, small_points));
    assert_values(y, expected, 6, 0);
    sw_tape_free(tape);
    sw_model_free(model);
    model = sw_model_new(SW_F64, 1);
    sw_model_set_input_shape(model, 0, NULL);
    assert_null(sw_model_build(model, scale_layer(model)));
    expect_error(SW_ERR_SHAPE, "layer scale1: a sample is one number; features are needed");
    sw_model_free(model);
    model = sw_model_new(SW_F64, 1);
    assert_null(sw_model_build(model, scale_layer(model)));
    expect_error(SW_ERR_SHAPE, "layer scale1: the number of features is not known (sw_model_set_input_shape?)");
    sw_model_free(model);
}

static void test_custom_layer_that_fails_is_reported(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *block = residual_new(model, sw_nn_linear(model, 2, 3), NULL);
    sw_model_set_input_shape(model, 1, (const int64_t[]){2});
    assert_null(sw_model_build(model, block));
    expect_error(SW_ERR_SHAPE, "layer residual1: in and out differ");
    sw_model_free(model);
    model = sw_model_new(SW_F64, 1);
    assert_null(sw_model_build(model, residual_new(model, NULL, NULL)));
    expect_error(SW_ERR_ARGUMENT, "a layer to be added is NULL");
    sw_model_free(model);
}

/* ---- Every allocation fails in turn ---- */

static bool build_and_evaluate(const void *user) {
    const cloud *c = user;
    sw_evaluation e;
    sw_model *model = sw_model_new(SW_F64, 7);
    sw_module *block = residual_new(model, sw_nn_linear(model, 8, 8), NULL);
    sw_module *root = sw_nn_sequential(model, sw_module_set_name(sw_nn_linear(model, FEATURES, 8), "first"),
                                       sw_nn_relu(model), block, sw_nn_dropout(model, 0.5), sw_nn_linear(model, 8, 8),
                                       sw_nn_relu(model), sw_nn_linear(model, 8, CLASSES), NULL);
    sw_params *p = sw_model_build(model, root);
    bool good = p && sw_model_objective(model, &c->source, sw_cross_entropy) &&
                sw_model_evaluate(model, NULL, &c->source, sw_cross_entropy, &e) == SW_OK;
    sw_model_free(model);
    return good;
}

static void test_building_and_evaluating_survive_every_failed_allocation(void **state) {
    (void)state;
    const cloud c = cloud_of(30);
    expect_failed_allocations(build_and_evaluate, &c, 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_custom_layer_gives_the_plain_values),
        TEST(test_custom_layer_that_fails_is_reported),
        TEST(test_readme_shows_a_layer_with_a_parameter),
        TEST(test_layer_with_a_parameter_gives_the_plain_values),
        TEST(test_building_and_evaluating_survive_every_failed_allocation),
    };
    return cmocka_run_group_tests_name("custom_layers", tests, NULL, NULL);
}
