/* Models: the shapes, names and roles that the build determines, the printed table, and errors. */
#include "helpers.h"

static void test_open_inputs_are_inferred(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_int_equal(sw_model_set_input_shape(model, 1, (const int64_t[]){7}), SW_OK);
    sw_module *root = sw_nn_sequential(model, sw_nn_dropout(model, 0.5), sw_nn_linear(model, 0, 5), sw_nn_relu(model),
                                       sw_nn_linear(model, 0, 3), NULL);
    sw_params *p = built(model, root);
    assert_int_equal(sw_params_dim(p), 7 * 5 + 5 + 5 * 3 + 3);
    const sw_param *w = sw_params_find(p, "linear1.weight");
    assert_true(w->shape[0] == 5 && w->shape[1] == 7 && w->fan_in == 7 && w->fan_out == 5);
    sw_model_free(model);
}

/* The options are those of the parameters; a storage type that these do not take is an error of the model too. */
static void test_model_has_the_options_of_its_parameters(void **state) {
    (void)state;
    sw_model *model = sw_model_new_with_options(&SW_OPTIONS(sw_params_options, .type = SW_F64, .seed = 5));
    const sw_params *p = built(model, sw_nn_linear(model, 2, 3));
    assert_true(sw_params_type(p) == SW_F64 && sw_params_storage(p) == SW_F64 && sw_params_seed(p) == 5);
    sw_model *same = sw_model_new(SW_F64, 5);
    const sw_params *q = built(same, sw_nn_linear(same, 2, 3));
    assert_memory_equal(sw_params_x(p), sw_params_x(q), (size_t)sw_params_dim(p) * sizeof(double));
    sw_model_free(model);
    sw_model_free(same);
    model = sw_model_new_with_options(&SW_OPTIONS(sw_params_options, .storage = SW_BF16));
    same = sw_model_new(SW_BF16, 0);
    p = built(model, sw_nn_linear(model, 2, 3));
    q = built(same, sw_nn_linear(same, 2, 3));
    assert_true(sw_params_type(p) == SW_F32 && sw_params_storage(p) == SW_BF16);
    assert_true(sw_params_type(q) == SW_F32 && sw_params_storage(q) == SW_BF16);
    assert_memory_equal(sw_params_x(p), sw_params_x(q), (size_t)sw_params_dim(p) * sizeof(float));
    sw_model_free(model);
    sw_model_free(same);
    assert_null(sw_model_new_with_options(&SW_OPTIONS(sw_params_options, .type = SW_F64, .storage = SW_F16)));
    expect_error(SW_ERR_TYPE, "parameters: storage f16 for parameters in f64; f64 is needed");
}

static void test_parameters_have_names_and_roles(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *root = sw_nn_sequential(model, sw_nn_linear(model, 2, 2), sw_nn_relu(model),
                                       sw_module_set_name(sw_nn_linear(model, 2, 2), "middle"),
                                       sw_nn_linear(model, 2, 2), sw_nn_relu(model), NULL);
    sw_params *p = built(model, root);
    static const char *const names[] = {"linear1.weight", "linear1.bias",   "middle.weight",
                                        "middle.bias",    "linear2.weight", "linear2.bias"};
    static const sw_role roles[] = {SW_ROLE_WEIGHT, SW_ROLE_BIAS, SW_ROLE_WEIGHT,
                                    SW_ROLE_BIAS,   SW_ROLE_HEAD, SW_ROLE_BIAS};
    assert_int_equal(sw_params_count(p), 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(sw_params_at(p, i)->name, names[i]);
        assert_int_equal(sw_params_at(p, i)->role, roles[i]);
    }
    sw_model_free(model);
}

/* More kinds of layers than there are counters: names stay unique. */
static void test_names_of_many_kinds_of_layers_are_unique(void **state) {
    (void)state;
    enum { KINDS = 40 };
    static sw_module_type type[KINDS];
    static char name[KINDS][16];
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *list[2 * KINDS];
    for (int i = 0; i < 2 * KINDS; i++) {
        int k = i % KINDS;
        snprintf(name[k], sizeof name[k], "kind_%c%c", 'a' + k / 26, 'a' + k % 26);
        type[k] = (sw_module_type){.size = sizeof type[k], .name = name[k], .forward = as_it_is};
        list[i] = sw_module_new(model, &type[k], 0);
    }
    built(model, sw_nn_sequential_array(model, 2 * KINDS, list));
    for (int i = 0; i < 2 * KINDS; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(list[i]->name, list[j]->name);
    sw_model_free(model);
}

static void test_model_is_printed(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 42);
    assert_string_equal(print_of(model), ""); /* nothing to tell before the build */
    sw_module *hidden =
        sw_nn_sequential(model, sw_nn_linear(model, 784, 100), sw_nn_relu(model), sw_nn_dropout(model, 0.25), NULL);
    built(model, sw_nn_sequential(model, hidden, sw_nn_linear(model, 100, 10), NULL));
    assert_string_equal(print_of(model), "layer                                          output       parameters\n"
                                         "sequential1                                    [10]                  0\n"
                                         "  sequential2                                  [100]                 0\n"
                                         "    linear1           linear 784 to 100        [100]             78500\n"
                                         "    relu1                                      [100]                 0\n"
                                         "    dropout1          dropout 0.25             [100]                 0\n"
                                         "  linear2             linear 100 to 10         [10]               1010\n"
                                         "total                 f32                                        79510\n");
    sw_model_print(NULL, stdout);
    sw_model_print(model, NULL);
    sw_model_free(model);
}

/* ---- What is refused ---- */

/* As refused, and the model stays unusable. */
static void build_refused(make_root make, sw_status status, const char *message) {
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_null(sw_model_build(model, make(model)));
    expect_error(status, message);
    assert_null(sw_model_params(model));
    /* Asked again, it does not become right. */
    assert_null(sw_model_build(model, sw_nn_relu(model)));
    assert_non_null(sw_error());
    sw_clear_error();
    sw_model_free(model);
}

static sw_module *unknown_inputs(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_relu(m), sw_nn_linear(m, 0, 3), NULL);
}
static sw_module *mismatch(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_linear(m, 3, 4), sw_nn_linear(m, 5, 2), NULL);
}
static sw_module *pictures(sw_model *m) {
    sw_model_set_input_shape(m, 2, (const int64_t[]){28, 28});
    return sw_nn_linear(m, 784, 2);
}
static sw_module *numbers(sw_model *m) {
    sw_model_set_input_shape(m, 0, NULL);
    return sw_nn_linear(m, 0, 2);
}
static sw_module *bad_linear(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_linear(m, -3, 4), sw_nn_relu(m), NULL);
}
static sw_module *no_outputs(sw_model *m) {
    return sw_nn_linear(m, 3, 0);
}
static sw_module *bad_dropout(sw_model *m) {
    return sw_nn_sequential(m, sw_module_set_name(sw_nn_dropout(m, 1), "name"), sw_nn_linear(m, 2, 2), NULL);
}
static sw_module *nan_dropout(sw_model *m) {
    return sw_module_set_init(sw_nn_dropout(m, (double)fabsf(NAN)), sw_init_zeros());
}
static sw_module *twice(sw_model *m) {
    sw_module *l = sw_nn_linear(m, 2, 2);
    return sw_nn_sequential(m, l, l, NULL);
}
static sw_module *same_name(sw_model *m) {
    return sw_nn_sequential(m, sw_module_set_name(sw_nn_linear(m, 2, 2), "a"),
                            sw_module_set_name(sw_nn_linear(m, 2, 2), "a"), NULL);
}
static sw_module *null_in_list(sw_model *m) {
    sw_module *list[2] = {sw_nn_relu(m), NULL};
    return sw_nn_sequential_array(m, 2, list);
}

static void test_model_refuses_layers_that_do_not_fit(void **state) {
    (void)state;
    build_refused(unknown_inputs, SW_ERR_SHAPE,
                  "layer linear1: the number of inputs is not known; give it, or sw_model_set_input_shape");
    build_refused(mismatch, SW_ERR_SHAPE, "layer linear2: takes 5 inputs, but its input has 4 features");
    build_refused(pictures, SW_ERR_SHAPE,
                  "layer linear1: takes 784 inputs, but its input has 28 features, the last axis of samples [28,28] "
                  "(flatten them with "
                  "sw_nn_flatten?)");
    build_refused(numbers, SW_ERR_SHAPE,
                  "layer linear1: its input has scalar samples; samples [..., inputs] are needed");
    build_refused(bad_linear, SW_ERR_ARGUMENT,
                  "linear: -3 inputs and 4 outputs; inputs 0 (open) or more, "
                  "outputs 1 or more are needed");
    build_refused(no_outputs, SW_ERR_ARGUMENT,
                  "linear: 3 inputs and 0 outputs; inputs 0 (open) or more, "
                  "outputs 1 or more are needed");
    build_refused(bad_dropout, SW_ERR_ARGUMENT, "dropout: p = 1 is outside [0, 1)");
    build_refused(nan_dropout, SW_ERR_ARGUMENT, "dropout: p = nan is outside [0, 1)");
    build_refused(twice, SW_ERR_ARGUMENT, "layer linear is part of a layer already");
    build_refused(same_name, SW_ERR_ARGUMENT, "layer a: another layer has this name");
    build_refused(null_in_list, SW_ERR_ARGUMENT, "sequential: layer 2 of 2 is NULL");
}

static void test_model_refuses_wrong_calls(void **state) {
    (void)state;
    assert_null(sw_model_build(NULL, NULL));
    expect_error(SW_ERR_ARGUMENT, "model_build: the model is NULL");
    assert_null(sw_model_new(SW_I32, 1));
    expect_error(SW_ERR_TYPE, "parameters are f32, f64, f16 or bf16, not i32");
    assert_null(sw_nn_linear(NULL, 2, 2));
    expect_error(SW_ERR_ARGUMENT, "linear: the model is NULL");
    assert_null(sw_nn_sequential(NULL, NULL));
    expect_error(SW_ERR_ARGUMENT, "sequential: the model is NULL");
    assert_int_equal(sw_model_set_input_shape(NULL, 1, (const int64_t[]){2}), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_set_input_shape: the model is NULL");
    assert_null(sw_model_params(NULL));
    assert_null(sw_model_root(NULL));
    assert_null(sw_module_set_name(NULL, "a"));
    assert_null(sw_module_set_init(NULL, sw_init_zeros()));
    sw_model_free(NULL);

    sw_model *one = sw_model_new(SW_F32, 1), *two = sw_model_new(SW_F32, 1);
    sw_module *foreign = sw_nn_linear(two, 2, 2);
    assert_null(sw_model_build(one, NULL));
    expect_error(SW_ERR_STATE, "model_build: creating a layer failed earlier");
    assert_null(sw_model_build(one, foreign));
    expect_error(SW_ERR_ARGUMENT, "model_build: layer linear belongs to another model");
    sw_module *root = sw_nn_linear(one, 2, 2);
    assert_int_equal(sw_model_set_input_shape(one, -1, NULL) == SW_OK, false);
    sw_clear_error();
    sw_params *p = built(one, root); /* none of these has spoilt it */
    assert_null(sw_model_build(one, root));
    expect_error(SW_ERR_STATE, "model_build: the model is built already");
    assert_ptr_equal(sw_model_params(one), p);
    sw_nn_relu(one); /* a layer too late */
    expect_error(SW_ERR_STATE, "relu: the model is built already");
    assert_ptr_equal(sw_model_params(one), p);
    sw_module *mixed = sw_nn_sequential(two, foreign, root, NULL);
    expect_error(SW_ERR_ARGUMENT, "layer linear1 belongs to another model");
    assert_null(sw_model_build(two, mixed));
    expect_error(SW_ERR_STATE, "model_build: creating a layer failed earlier");
    sw_model_free(one);
    sw_model_free(two);
}

static void test_forward_refuses_wrong_inputs(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *root = sw_nn_linear(model, 3, 2);
    sw_tape *tape = sw_tape_new();
    assert_true(sw_is_null(sw_forward(root, rows_of(tape, SW_F32, 2, 3, small_points)))); /* not built */
    assert_non_null(sw_error());
    sw_clear_error();
    sw_tape_reset(tape);
    built(model, root);
    assert_true(sw_is_null(sw_forward(NULL, rows_of(tape, SW_F32, 2, 3, small_points))));
    expect_error(SW_ERR_ARGUMENT, "forward: the layer is null");
    assert_true(sw_is_null(sw_forward(root, (sw_tensor){0})));
    expect_error(SW_ERR_ARGUMENT, "forward: the input is null");
    /* A batch of other vectors: the layer is named. */
    assert_true(sw_is_null(sw_forward(root, rows_of(tape, SW_F32, 3, 2, small_points))));
    assert_non_null(sw_error());
    assert_non_null(strstr(sw_error(), "linear1"));
    assert_non_null(strstr(sw_error(), "[3,2]"));
    assert_non_null(strstr(sw_error(), "[2,3]"));
    sw_clear_error();
    sw_tape_free(tape);
    sw_model_free(model);
}

/* ---- Names ---- */

/* Compilers differ in the order in which they make the arguments of sw_nn_sequential. */
static void test_names_do_not_depend_on_the_order_of_creation(void **state) {
    (void)state;
    sw_model *one = sw_model_new(SW_F64, 3), *two = sw_model_new(SW_F64, 3);
    enum { LAYERS = 5 };
    sw_module *forth[LAYERS], *back[LAYERS];
    for (int i = 0; i < LAYERS; i++)
        forth[i] = i % 2 ? sw_nn_relu(one) : sw_nn_linear(one, 4 + i, i == LAYERS - 1 ? 3 : 6 + i);
    for (int i = LAYERS - 1; i >= 0; i--)
        back[i] = i % 2 ? sw_nn_relu(two) : sw_nn_linear(two, 4 + i, i == LAYERS - 1 ? 3 : 6 + i);
    sw_params *p = built(one, sw_nn_sequential_array(one, LAYERS, forth)),
              *q = built(two, sw_nn_sequential_array(two, LAYERS, back));
    static const char *const names[LAYERS] = {"linear1", "relu1", "linear2", "relu2", "linear3"};
    for (int i = 0; i < LAYERS; i++) {
        assert_string_equal(forth[i]->name, names[i]);
        assert_string_equal(back[i]->name, names[i]);
    }
    assert_int_equal(sw_params_count(p), sw_params_count(q));
    for (int i = 0; i < sw_params_count(p); i++)
        assert_string_equal(sw_params_at(p, i)->name, sw_params_at(q, i)->name);
    assert_memory_equal(sw_params_x(p), sw_params_x(q), (size_t)sw_params_dim(p) * sizeof(double));
    sw_model_free(one);
    sw_model_free(two);
}

static void name_refused(const char *name) {
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *layer = sw_module_set_name(sw_nn_linear(model, 2, 2), name);
    expect_error(SW_ERR_ARGUMENT, "layer linear: a name of 1 to 100 characters is needed");
    assert_null(sw_model_build(model, layer)); /* the mistake is not forgotten */
    expect_error(SW_ERR_STATE, "model_build: creating a layer failed earlier");
    sw_model_free(model);
}

static void test_wrong_layer_names_are_refused(void **state) {
    (void)state;
    char name[102];
    memset(name, 'n', sizeof name);
    name[101] = 0;
    name_refused(NULL);
    name_refused("");
    name_refused(name);
    name[100] = 0; /* the longest there is */
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *layer = sw_module_set_name(sw_nn_linear(model, 2, 2), name);
    sw_params *p = built(model, layer);
    assert_string_equal(layer->name, name);
    assert_int_equal(strlen(sw_params_at(p, 0)->name), 100 + strlen(".weight"));
    sw_module_set_name(layer, "late");
    assert_non_null(strstr(sw_error(), ": it is built already, so that its name cannot change"));
    assert_int_equal(sw_error_status(), SW_ERR_ARGUMENT);
    sw_clear_error();
    assert_string_equal(layer->name, name);
    assert_ptr_equal(sw_model_params(model), p); /* nor has that spoilt the model */
    sw_model_free(model);
}

/* ---- Layers that do not fit together ---- */

static void test_layer_cannot_contain_itself(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *inner = sw_nn_sequential(model, sw_nn_relu(model), NULL), *outer = sw_nn_sequential(model, inner, NULL);
    assert_int_equal(sw_module_add_child(inner, inner), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "layer sequential cannot be part of itself");
    assert_int_equal(sw_module_add_child(inner, outer), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "layer sequential cannot be part of itself");
    assert_int_equal(sw_module_add_child(outer, inner), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "layer sequential is part of a layer already");
    assert_int_equal(sw_module_add_child(outer, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "a layer to be added is NULL");
    built(model, outer); /* as it was */
    sw_model_free(model);
}

static void test_incomplete_layer_type_is_refused(void **state) {
    (void)state;
    static const sw_module_type no_forward = {.size = sizeof(sw_module_type), .name = "odd"},
                                no_name = {.size = sizeof(sw_module_type), .forward = as_it_is},
                                no_size = {.name = "odd", .forward = as_it_is};
    const sw_module_type *const types[] = {NULL, &no_forward, &no_name, &no_size};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        sw_model *model = sw_model_new(SW_F32, 1);
        sw_module *layer = sw_module_new(model, types[i], 0);
        expect_error(SW_ERR_ARGUMENT, "a layer needs a type with a size, a name and a forward function");
        assert_null(sw_model_build(model, layer));
        expect_error(SW_ERR_STATE, "model_build: creating a layer failed earlier");
        sw_model_free(model);
    }
}

static void test_forward_of_an_unbuilt_layer_is_refused(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *layer = sw_module_set_name(sw_nn_linear(model, 3, 2), "early");
    sw_tape *tape = sw_tape_new();
    assert_true(sw_is_null(sw_forward(layer, rows_of(tape, SW_F32, 2, 3, small_points))));
    expect_error(SW_ERR_STATE, "forward: layer early is not built: sw_model_build builds the root, a layer's "
                               "build its children by sw_module_build");
    sw_tape_free(tape);
    sw_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_open_inputs_are_inferred),
        TEST(test_model_has_the_options_of_its_parameters),
        TEST(test_parameters_have_names_and_roles),
        TEST(test_names_of_many_kinds_of_layers_are_unique),
        TEST(test_model_is_printed),
        TEST(test_model_refuses_layers_that_do_not_fit),
        TEST(test_model_refuses_wrong_calls),
        TEST(test_forward_refuses_wrong_inputs),
        TEST(test_names_do_not_depend_on_the_order_of_creation),
        TEST(test_wrong_layer_names_are_refused),
        TEST(test_layer_cannot_contain_itself),
        TEST(test_incomplete_layer_type_is_refused),
        TEST(test_forward_of_an_unbuilt_layer_is_refused),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
