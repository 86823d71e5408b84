/* Layers of several inputs: counts, shapes and element types, mistakes, and allocations that fail in the build. */
#include "helpers.h"

/* x0 + W1 x1 + …: input i has 3 + i features. */
static sw_tensor join_forward(sw_module *self, int count, const sw_tensor *x) {
    sw_tensor y = x[0];
    for (int i = 1; i < count; i++)
        y = sw_add(y, sw_forward(sw_module_child(self, i - 1), x[i]));
    return y;
}

static sw_module *join(sw_model *m, int inputs, int optional) {
    sw_module *list[SW_MAX_INPUTS];
    for (int i = 0; i < inputs - 1; i++)
        list[i] = sw_nn_linear(m, 4 + i, 3);
    return sw_nn_compose_many(m, "join", inputs, join_forward, inputs - 1, list,
                              &SW_OPTIONS(sw_compose_options, .optional_inputs = optional));
}

static void set_shapes(sw_model *m, int count) {
    sw_sample_shape shapes[SW_MAX_INPUTS];
    for (int i = 0; i < count; i++)
        shapes[i] = (sw_sample_shape){.rank = 1, .length = {3 + i}};
    assert_ok(sw_model_set_input_shapes(m, count, shapes));
}

/* Inputs of a built layer, [2, 3], [2, 4], … */
static void inputs_on(sw_tape *tape, int count, sw_tensor *x) {
    static const double zeros[2 * (3 + SW_MAX_INPUTS)];
    for (int i = 0; i < count; i++)
        x[i] = tensor_of(tape, SW_F64, SW_SHAPE(2, 3 + i), zeros);
}

static void test_number_of_inputs_is_checked(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F64, 1);
    set_shapes(m, 3);
    sw_module *root = join(m, 3, 1);
    built(m, root);
    sw_tape *tape = sw_tape_new(), *other = sw_tape_new();
    sw_tensor x[4];
    inputs_on(tape, 4, x);
    assert_false(sw_is_null(sw_forward_many(root, 2, x)));
    assert_false(sw_is_null(sw_forward_many(root, 3, x)));
    assert_true(sw_is_null(sw_forward_many(root, 4, x)));
    expect_error(SW_ERR_ARGUMENT, "layer join1: takes 2 to 3 inputs, not 4");
    assert_true(sw_is_null(sw_forward(root, x[0])));
    expect_error(SW_ERR_ARGUMENT, "layer join1: takes 2 to 3 inputs, not 1");
    assert_true(sw_is_null(sw_forward_many(root, 0, x)));
    expect_error(SW_ERR_ARGUMENT, "layer join1: takes 2 to 3 inputs, not 0");
    /* A layer of one input. */
    sw_module *linear = sw_module_child(root, 0);
    assert_false(sw_is_null(sw_forward_many(linear, 1, x + 1)));
    assert_true(sw_is_null(sw_forward_many(linear, 2, x)));
    expect_error(SW_ERR_ARGUMENT, "layer join1.linear1: takes 1 input, not 2");
    sw_sample_shape two[2] = {{.rank = 1, .length = {3}}, {.rank = 1, .length = {3}}}, out;
    assert_int_equal(sw_module_build_many(linear, 2, two, &out), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "layer join1.linear1: takes 1 input, not 2");
    /* Null tensors, and another tape. */
    assert_true(sw_is_null(sw_forward_many(root, 2, (sw_tensor[]){x[0], {0}})));
    expect_error(SW_ERR_ARGUMENT, "forward: input 1 of layer join1 is null");
    assert_true(sw_is_null(sw_forward_many(NULL, 2, x)));
    expect_error(SW_ERR_ARGUMENT, "forward: the layer is NULL");
    assert_true(sw_is_null(sw_forward_many(root, 2, NULL)));
    expect_error(SW_ERR_ARGUMENT, "forward: the inputs are NULL");
    sw_tensor mixed[2] = {x[0], sw_constant(other, SW_F64, 1)};
    assert_true(sw_is_null(sw_forward_many(root, 2, mixed)));
    expect_error(SW_ERR_ARGUMENT, "forward: inputs 0 and 1 of layer join1 are on different tapes");
    sw_fail(SW_ERR_IO, "of long ago"); /* the cause of a null tensor */
    assert_true(sw_is_null(sw_forward_many(root, 2, (sw_tensor[]){x[0], {0}})));
    expect_error(SW_ERR_IO, "of long ago");
    sw_tape_free(tape);
    sw_tape_free(other);
    sw_model_free(m);
}

/* A type that takes any number, and one of one input: sw_forward and sw_forward_many give the same. */
static sw_tensor any_forward(sw_module *m, int count, const sw_tensor *x) {
    (void)m;
    return count > 1 ? sw_add(x[0], x[count - 1]) : x[0];
}
static const sw_module_type any_type = {.size = sizeof(sw_module_type), .name = "any", .forward_many = any_forward};

static void test_type_without_limits_takes_any_number(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F64, 1);
    sw_module *root = sw_module_new(m, &any_type, 0);
    sw_model_set_input_shape(m, 1, (const int64_t[]){2});
    built(m, root);
    assert_true(root->out.rank == 1 && root->out.length[0] == 2 && root->inputs == 1);
    sw_tape *tape = sw_tape_new();
    const double values[2] = {1, 2};
    sw_tensor x[SW_MAX_INPUTS + 1];
    for (int i = 0; i <= SW_MAX_INPUTS; i++)
        x[i] = tensor_of(tape, SW_F64, SW_SHAPE(1, 2), values);
    expect_values(sw_forward(root, x[0]), SW_SHAPE(1, 2), values, 0);
    expect_values(sw_forward_many(root, SW_MAX_INPUTS, x), SW_SHAPE(1, 2), (const double[]){2, 4}, 0);
    assert_true(sw_is_null(sw_forward_many(root, SW_MAX_INPUTS + 1, x)));
    expect_error(SW_ERR_ARGUMENT, "layer any1: takes 1 to 16 inputs, not 17");
    sw_tape_free(tape);
    sw_model_free(m);
}

/* A layer without parameters may be built again: for other numbers of inputs, and for those that it has. */
static void test_layers_can_be_built_again(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F64, 1);
    sw_module *layer = sw_module_new(m, &any_type, 0);
    const sw_sample_shape shapes[3] = {
        {.rank = 1, .length = {2}}, {.rank = 1, .length = {3}}, {.rank = 2, .length = {1, 4}}};
    sw_sample_shape out, one = shapes[2];
    assert_ok(sw_module_build_many(layer, 3, shapes, &out));
    assert_true(layer->inputs == 3 && layer->every_in[2].rank == 2 && layer->in.length[0] == 2);
    assert_ok(sw_module_build_many(layer, 2, layer->every_in, &out));
    assert_true(layer->inputs == 2 && layer->every_in[1].length[0] == 3 && out.length[0] == 2);
    assert_ok(sw_module_build(layer, &one));
    assert_true(layer->inputs == 1 && !layer->every_in && layer->in.rank == 2 && one.length[1] == 4);
    sw_model_free(m);
}

/* ---- Ids among the inputs ---- */

static sw_tensor label_forward(sw_module *self, int count, const sw_tensor *x) {
    (void)count;
    return sw_add(x[0], sw_forward(sw_module_child(self, 0), x[1]));
}

static void test_inputs_can_be_ids(void **state) {
    (void)state;
    for (int said = 0; said < 2; said++) {
        sw_model *m = sw_model_new(SW_F64, 1);
        const sw_sample_shape shapes[2] = {{.rank = 1, .length = {3}}, {.rank = 0, .length = {0}}};
        sw_model_set_input_shapes(m, 2, shapes);
        sw_module *table = sw_nn_embedding(m, 5, 3);
        sw_module *root = sw_nn_compose_many(m, "labeled", 2, label_forward, 1, &table,
                                             &SW_OPTIONS(sw_compose_options, .id_inputs = said ? 2 : 0));
        built(m, root); /* an embedding takes real ids too */
        sw_tape *tape = sw_tape_new();
        const double ids[2] = {4, 0}, zeros[6] = {0};
        sw_tensor x[2] = {tensor_of(tape, SW_F64, SW_SHAPE(2, 3), zeros), tensor_of(tape, SW_I32, SW_SHAPE(2), ids)};
        const sw_array w = sw_param_value(sw_module_find_param(table, "weight"));
        double expected[6];
        for (int i = 0; i < 6; i++)
            expected[i] = test_get(&w, (i < 3 ? 4 : 0) * 3 + i % 3);
        expect_values(sw_forward_many(root, 2, x), SW_SHAPE(2, 3), expected, 0);
        sw_tape_free(tape);
        sw_model_free(m);
    }
}

/* The type that the run at the build gives to an input. */
static sw_dtype traced_types[2];
static sw_tensor types_forward(sw_module *self, int count, const sw_tensor *x) {
    (void)self;
    for (int i = 0; i < count; i++)
        traced_types[i] = sw_value(x[i]).type;
    return x[0];
}

static void test_ids_are_ids_in_the_run_at_the_build(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F32, 1);
    set_shapes(m, 2);
    built(m,
          sw_nn_compose_many(m, "types", 2, types_forward, 0, NULL, &SW_OPTIONS(sw_compose_options, .id_inputs = 2)));
    assert_true(traced_types[0] == SW_F32 && traced_types[1] == SW_I32);
    sw_model_free(m);
}

/* The scores where a mask of bytes, which is equal for all samples, is not 0; elsewhere -1. */
static sw_tensor masked_forward(sw_module *self, int count, const sw_tensor *x) {
    (void)count;
    sw_tensor score = sw_forward(sw_module_child(self, 0), x[0]);
    return sw_where(x[1], score, sw_constant(score.tape, SW_F64, -1));
}

static void test_inputs_can_be_masks(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F64, 1);
    const sw_sample_shape shapes[2] = {{.rank = 1, .length = {3}}, {.rank = 1, .length = {3}}};
    sw_model_set_input_shapes(m, 2, shapes);
    sw_module *relu = sw_nn_relu(m);
    sw_module *root =
        sw_nn_compose_many(m, "masked", 2, masked_forward, 1, &relu, &SW_OPTIONS(sw_compose_options, .mask_inputs = 2));
    built(m, root); /* sw_where would refuse a real condition */
    assert_int_equal(root->out.length[0], 3);
    sw_tape *tape = sw_tape_new();
    const double values[6] = {1, 2, 3, -4, 5, 6}, mask[3] = {1, 0, 7}, expected[6] = {1, -1, 3, 0, -1, 6};
    sw_tensor x[2] = {tensor_of(tape, SW_F64, SW_SHAPE(2, 3), values), tensor_of(tape, SW_U8, SW_SHAPE(1, 3), mask)};
    expect_values(sw_forward_many(root, 2, x), SW_SHAPE(2, 3), expected, 0);
    sw_tape_free(tape);
    sw_model_free(m);
}

/* ---- Mistakes in the build ---- */

static sw_tensor twice_forward(sw_module *self, int count, const sw_tensor *x) {
    (void)count;
    sw_forward_many(sw_module_child(self, 0), 2, x);
    return sw_forward_many(sw_module_child(self, 0), 3, x);
}
static sw_tensor swapped_forward(sw_module *self, int count, const sw_tensor *x) {
    (void)count;
    sw_forward_many(sw_module_child(self, 0), 2, x);
    return sw_forward_many(sw_module_child(self, 0), 2, (sw_tensor[]){x[0], x[2]});
}
static sw_module *around(sw_model *m, sw_tensor (*forward)(sw_module *, int, const sw_tensor *)) {
    set_shapes(m, 3);
    sw_module *inside = join(m, 3, 1);
    return sw_nn_compose_many(m, "around", 3, forward, 1, &inside, NULL);
}
static sw_module *called_twice(sw_model *m) {
    return around(m, twice_forward);
}
static sw_module *swapped(sw_model *m) {
    return around(m, swapped_forward);
}
static sw_module *one_shape(sw_model *m) {
    sw_model_set_input_shape(m, 1, (const int64_t[]){3});
    return join(m, 2, 0);
}
static sw_module *many_shapes(sw_model *m) {
    set_shapes(m, 2);
    return sw_nn_linear(m, 3, 3);
}
static sw_module *no_shapes(sw_model *m) {
    return join(m, 2, 0);
}
static sw_module *no_function(sw_model *m) {
    return sw_nn_compose_many(m, "odd", 2, NULL, 0, NULL, NULL);
}
static sw_module *no_inputs(sw_model *m) {
    return sw_nn_compose_many(m, "odd", 0, join_forward, 0, NULL, NULL);
}
static sw_module *all_optional(sw_model *m) {
    return sw_nn_compose_many(m, "odd", 2, join_forward, 0, NULL,
                              &SW_OPTIONS(sw_compose_options, .optional_inputs = 2));
}
static sw_module *no_forward_at_all(sw_model *m) {
    static const sw_module_type type = {.size = sizeof(sw_module_type), .name = "odd"};
    return sw_module_new(m, &type, 0);
}
static sw_status says_nothing(sw_module *m, int count, const sw_sample_shape *in, sw_sample_shape *out) {
    (void)m, (void)count, (void)in, (void)out;
    return SW_OK;
}
static sw_status fails_silently(sw_module *m, int count, const sw_sample_shape *in, sw_sample_shape *out) {
    (void)m, (void)count, (void)in, (void)out;
    return SW_ERR_USER;
}
static sw_module *silent_failure(sw_model *m) {
    static const sw_module_type type = {
        .size = sizeof(sw_module_type), .name = "odd", .build_many = fails_silently, .forward_many = any_forward};
    return sw_module_new(m, &type, 0);
}
static sw_module *silent_inside(sw_model *m) {
    static const sw_module_type type = {
        .size = sizeof(sw_module_type), .name = "odd", .build_many = says_nothing, .forward_many = any_forward};
    set_shapes(m, 3);
    sw_module *inside = sw_module_new(m, &type, 0);
    return sw_nn_compose_many(m, "around", 3, swapped_forward, 1, &inside, NULL);
}

static void test_layers_of_several_inputs_refuse_mistakes(void **state) {
    (void)state;
    refused(called_twice, SW_ERR_SHAPE, "layer around1: its forward calls layer around1.join1 with 2 and 3 inputs");
    refused(swapped, SW_ERR_SHAPE, "layer around1: its forward calls layer around1.join1 with samples [4] and [5]");
    refused(one_shape, SW_ERR_ARGUMENT, "layer join: takes 2 inputs, not 1");
    refused(many_shapes, SW_ERR_ARGUMENT, "layer linear: takes 1 input, not 2");
    refused(no_shapes, SW_ERR_SHAPE,
            "layer join1: the shape of its input is not known (call sw_model_set_input_shapes)");
    refused(no_function, SW_ERR_ARGUMENT, "compose: the forward function is NULL");
    refused(no_inputs, SW_ERR_ARGUMENT,
            "compose: 0 inputs, of which 0 are optional; 1 to 16, one of them not optional, are possible");
    refused(all_optional, SW_ERR_ARGUMENT,
            "compose: 2 inputs, of which 2 are optional; 1 to 16, one of them not optional, are possible");
    refused(no_forward_at_all, SW_ERR_ARGUMENT, "a layer needs a type with a size, a name and a forward function");
    refused(silent_failure, SW_ERR_USER, "layer odd1: build returned status 11 without a message");
    refused(silent_inside, SW_ERR_SHAPE, "layer around1.odd1: its build function does not set the shape of the output");
}

static void test_input_shapes_are_checked(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F32, 1);
    const sw_sample_shape good = {.rank = 1, .length = {3}}, negative = {.rank = 2, .length = {3, -1}},
                          deep = {.rank = SW_MAX_RANK + 1};
    assert_int_equal(sw_model_set_input_shapes(NULL, 1, &good), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_set_input_shapes: the model is NULL");
    assert_int_equal(sw_model_set_input_shapes(m, 1, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_set_input_shapes: the shapes are NULL");
    assert_int_equal(sw_model_set_input_shapes(m, 17, &good), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_set_input_shapes: 17 inputs; 1 to 16 are possible");
    assert_int_equal(sw_model_set_input_shapes(m, 1, &negative), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "axis 1 of [3,-1] is negative");
    assert_int_equal(sw_model_set_input_shapes(m, 1, &deep), SW_ERR_SHAPE);
    sw_clear_error();
    assert_ok(sw_model_set_input_shapes(m, 1, &good));
    sw_module *root = sw_nn_linear(m, 0, 2);
    built(m, root);
    assert_int_equal(root->in.length[0], 3);
    /* After the build, shapes would no longer be those of the network. */
    assert_int_equal(sw_model_set_input_shapes(m, 1, &good), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "model_set_input_shapes: the model is built already");
    assert_int_equal(sw_model_set_input_shape(m, SW_SHAPE(4)), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "model_set_input_shape: the model is built already");
    sw_model_free(m);
}

/* sw_predict does not convert ids, also for a layer whose other inputs are left out: f32 cannot represent every id. */
static sw_dtype type_of_ids;
static sw_tensor ids_forward(sw_module *self, int count, const sw_tensor *x) {
    (void)count;
    type_of_ids = sw_value(x[0]).type;
    return sw_forward(sw_module_child(self, 0), x[0]);
}

static void test_predict_keeps_ids(void **state) {
    (void)state;
    const int32_t numbers[3] = {1, 2, 299};
    const uint8_t bytes[3] = {4, 0, 255};
    const sw_array x[2] = {sw_array_view(numbers, SW_I32, SW_SHAPE(1, 3)), sw_array_view(bytes, SW_U8, SW_SHAPE(1, 3))};
    sw_model *m = sw_model_new(SW_F32, 1);
    sw_model_set_input_shape(m, SW_SHAPE(3));
    sw_module *table = sw_nn_embedding(m, 300, 1);
    built(m, sw_nn_compose_many(m, "rows", 2, ids_forward, 1, &table,
                                &SW_OPTIONS(sw_compose_options, .optional_inputs = 1, .id_inputs = 1)));
    for (int i = 0; i < 2; i++) {
        sw_array y = {0};
        assert_ok(sw_predict(m, &x[i], &y));
        assert_int_equal(type_of_ids, SW_I32);
        for (int64_t k = 0; k < 3; k++)
            assert_true(test_get(&y, k) ==
                        test_get(&(sw_array){.data = sw_param_value(table->param[0]).data, .type = SW_F32},
                                 i ? bytes[k] : numbers[k]));
        sw_array_free(&y);
    }
    sw_model_free(m);
}

/* Where the output is given, nothing runs: the layers inside are built for inputs that are not known, as many as they
 * need at least. */
static void test_given_output_builds_layers_of_unknown_inputs(void **state) {
    (void)state;
    static const sw_module_type type = {.size = sizeof(sw_module_type),
                                        .name = "pair",
                                        .forward_many = any_forward,
                                        .least_inputs = 2,
                                        .most_inputs = 3};
    sw_model *m = sw_model_new(SW_F32, 1);
    const sw_sample_shape out = {.rank = 1, .length = {3}};
    sw_module *inside = sw_module_new(m, &type, 0);
    sw_module *root =
        sw_nn_compose_many(m, "around", 2, join_forward, 1, &inside, &SW_OPTIONS(sw_compose_options, .out = &out));
    built(m, root);
    assert_true(inside->built && inside->inputs == 2 && inside->in.rank == -1 && inside->out.rank == -1);
    assert_int_equal(root->out.length[0], 3);
    sw_model_free(m);
}

/* ---- Every allocation fails in turn ---- */

static sw_tensor inner_forward(sw_module *self, int count, const sw_tensor *x) {
    return sw_forward_many(sw_module_child(self, 0), count, x);
}

static bool build_and_run(const void *user) {
    (void)user;
    sw_model *m = sw_model_new(SW_F64, 7);
    if (m)
        set_shapes(m, 3);
    sw_module *inside = m ? join(m, 3, 1) : NULL,
              *root = sw_nn_compose_many(m, "around", 3, inner_forward, 1, &inside, NULL);
    bool good = sw_model_build(m, root) != NULL;
    sw_tape *tape = good ? sw_tape_new() : NULL;
    const double zeros[2 * 5] = {0};
    sw_tensor x[3] = {{0}};
    for (int i = 0; tape && i < 3; i++)
        x[i] = sw_input(tape, sw_array_view(zeros, SW_F64, SW_SHAPE(2, 3 + i)));
    good = tape && !sw_is_null(sw_forward_many(root, 3, x));
    sw_tape_free(tape);
    sw_model_free(m);
    return good;
}

static void test_building_survives_every_failed_allocation(void **state) {
    (void)state;
    expect_failed_allocations(build_and_run, NULL, 30);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_number_of_inputs_is_checked),
        TEST(test_type_without_limits_takes_any_number),
        TEST(test_layers_can_be_built_again),
        TEST(test_inputs_can_be_ids),
        TEST(test_inputs_can_be_masks),
        TEST(test_ids_are_ids_in_the_run_at_the_build),
        TEST(test_layers_of_several_inputs_refuse_mistakes),
        TEST(test_input_shapes_are_checked),
        TEST(test_predict_keeps_ids),
        TEST(test_given_output_builds_layers_of_unknown_inputs),
        TEST(test_building_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
