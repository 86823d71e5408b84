/* Layers against hand-computed numbers and central differences: activations, linear without bias, flatten, reshape,
 * residual. */
#include "helpers.h"

/* ---- Activations ---- */

static double relu_of(double x) {
    return x > 0 ? x : 0;
}
static double sigmoid_of(double x) {
    return 1 / (1 + exp(-x));
}
static double leaky_of(double x) {
    return x > 0 ? x : 0.125 * x;
}
static double elu_of(double x) {
    return x > 0 ? x : 1.5 * expm1(x);
}
static double silu_of(double x) {
    return x * sigmoid_of(x);
}
static double softplus_of(double x) {
    return log1p(exp(x));
}
static double gelu_of(double x) {
    return x * erfc(-x / sqrt(2)) / 2;
}
static double gelu_tanh_of(double x) {
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

static sw_module *make_leaky(sw_model *m) {
    return sw_nn_leaky_relu(m, 0.125);
}
static sw_module *make_elu(sw_model *m) {
    return sw_nn_elu(m, 1.5);
}

static const struct {
    const char *name;
    make_root make;
    double (*of)(double x);
} activations[] = {
    {"relu", sw_nn_relu, relu_of},
    {"tanh", sw_nn_tanh, tanh},
    {"sigmoid", sw_nn_sigmoid, sigmoid_of},
    {"leaky_relu", make_leaky, leaky_of},
    {"elu", make_elu, elu_of},
    {"silu", sw_nn_silu, silu_of},
    {"softplus", sw_nn_softplus, softplus_of},
    {"gelu", sw_nn_gelu, gelu_of},
    {"gelu_tanh", sw_nn_gelu_tanh, gelu_tanh_of},
};

/* Values up to 4: the operations' own tests bound their error below 8 ulp, 8·2^-24·4 in f32. */
static const double few_ulp[2] = {8 * 0x1p-24 * 4, 8 * 0x1p-53 * 4};

static void test_activations_give_the_plain_values(void **state) {
    (void)state;
    enum { ROWS = 3, COLUMNS = 5 };
    static const int64_t shape[] = {ROWS, COLUMNS};
    double in[ROWS * COLUMNS], out[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++)
        in[i] = 0.5 * (i - 7) + 0.25; /* none at the kink */
    for (size_t k = 0; k < sizeof activations / sizeof *activations; k++) {
        for (int i = 0; i < ROWS * COLUMNS; i++)
            out[i] = activations[k].of(in[i]);
        for (int t = 0; t < 2; t++) {
            sw_model *model = sw_model_new(both_types[t], 1);
            sw_model_set_input_shape(model, 1, shape + 1);
            sw_module *layer = activations[k].make(model);
            built(model, sw_nn_sequential(model, layer, NULL));
            char name[64];
            snprintf(name, sizeof name, "%s1", activations[k].name);
            assert_string_equal(layer->name, name);
            assert_true(layer->out.rank == 1 && layer->out.length[0] == COLUMNS);
            sw_tape *tape = sw_tape_new();
            expect_values(sw_forward(layer, tensor_of(tape, both_types[t], 2, shape, in)), 2, shape, out, few_ulp[t]);
            sw_tape_free(tape);
            if (t == 1) {
                sw_array x = test_array(SW_F64, 2, shape);
                memcpy(x.data, in, sizeof in);
                check_gradients(layer, &x);
                test_array_free(&x);
            }
            sw_model_free(model);
        }
    }
}

static void test_softmax_gives_the_plain_values(void **state) {
    (void)state;
    static const int64_t shape[] = {2, 3, 2};
    for (int axis = -2; axis <= 2; axis++)
        for (int log_of = 0; axis != 0 && log_of < 2; log_of++) {
            sw_model *model = sw_model_new(SW_F64, 1);
            sw_model_set_input_shape(model, 2, shape + 1);
            sw_module *layer = log_of ? sw_nn_log_softmax(model, axis) : sw_nn_softmax(model, axis);
            built(model, layer);
            sw_array x = test_filled(SW_F64, 3, shape, -3, 3, 5);
            double expected[12];
            int length = axis == 1 || axis == -2 ? 3 : 2, step = length == 3 ? 2 : 1;
            for (int i = 0; i < 12; i++) {
                int first = i - i / step % length * step;
                double sum = 0;
                for (int j = 0; j < length; j++)
                    sum += exp(test_get(&x, first + j * step));
                expected[i] = log_of ? test_get(&x, i) - log(sum) : exp(test_get(&x, i)) / sum;
            }
            sw_tape *tape = sw_tape_new();
            /* Values up to 7; a dozen roundings of at most 2^-53·8 each. */
            expect_values(sw_forward(layer, sw_input(tape, x)), 3, shape, expected, 12 * 0x1p-53 * 8);
            sw_tape_free(tape);
            check_gradients(layer, &x);
            test_array_free(&x);
            sw_model_free(model);
        }
}

static void test_activation_is_chosen_by_name(void **state) {
    (void)state;
    static const char *const names[] = {"relu",     "tanh", "sigmoid",   "leaky_relu", "elu",        "silu",
                                        "softplus", "gelu", "gelu_tanh", "softmax",    "log_softmax"};
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *list[sizeof names / sizeof *names];
    int count = sizeof names / sizeof *names;
    for (int i = 0; i < count; i++) {
        list[i] = sw_nn_activation(model, names[i]);
        assert_string_equal(list[i]->name, names[i]);
    }
    built(model, sw_nn_sequential_array(model, count, list));
    sw_tape *tape = sw_tape_new();
    const double in[2] = {-2, 1}, leaky[2] = {-0.02, 1}, elu[2] = {expm1(-2), 1};
    expect_values(sw_forward(list[3], tensor_of(tape, SW_F64, SW_SHAPE(1, 2), in)), SW_SHAPE(1, 2), leaky, 0);
    expect_values(sw_forward(list[4], tensor_of(tape, SW_F64, SW_SHAPE(1, 2), in)), SW_SHAPE(1, 2), elu, few_ulp[1]);
    sw_tape_free(tape);
    sw_model_free(model);
    model = sw_model_new(SW_F64, 1);
    assert_null(sw_model_build(model, sw_nn_activation(model, "softplux")));
    expect_error(SW_ERR_ARGUMENT, "activation: there is no softplux, did you mean softplus?");
    sw_nn_activation(model, NULL);
    expect_error(SW_ERR_ARGUMENT, "activation: there is no NULL");
    sw_model_free(model);
}

/* ---- linear without bias, flatten, reshape ---- */

static void test_linear_without_bias_gives_the_plain_values(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_model *model = sw_model_new(both_types[t], 1);
        sw_module *layer = sw_nn_linear_no_bias(model, 3, 2);
        sw_params *p = built(model, layer);
        assert_int_equal(sw_params_dim(p), 6);
        assert_int_equal(sw_params_count(p), 1);
        set_values(p, "linear1.weight", (const double[]){1, -2, 0.5, 3, 0, -1});
        sw_tape *tape = sw_tape_new();
        sw_fail(SW_ERR_IO, "of long ago"); /* is not taken for a bias that failed */
        sw_tensor y = sw_forward(layer, tensor_of(tape, both_types[t], SW_SHAPE(1, 3), (const double[]){2, 1, 4}));
        expect_error(SW_ERR_IO, "of long ago");
        expect_values(y, SW_SHAPE(1, 2), (const double[]){2, 2}, 0);
        sw_tape_free(tape);
        if (t == 1) {
            sw_array x = test_filled(SW_F64, SW_SHAPE(4, 3), -1, 1, 9);
            check_gradients(layer, &x);
            test_array_free(&x);
        }
        sw_model_free(model);
    }
}

static void test_flatten_and_reshape_keep_the_order(void **state) {
    (void)state;
    static const int64_t shape[] = {2, 3, 4, 5};
    sw_array x = test_filled(SW_F64, 4, shape, -1, 1, 2);
    for (int known = 0; known < 2; known++) {
        sw_model *model = sw_model_new(SW_F64, 1);
        if (known)
            sw_model_set_input_shape(model, 3, shape + 1);
        sw_module *flat = sw_nn_flatten(model), *back = sw_nn_reshape(model, 2, (const int64_t[]){5, 12}),
                  *scalar = sw_nn_sequential(model, flat, back, NULL);
        built(model, scalar);
        assert_int_equal(flat->out.rank, known ? 1 : -1);
        assert_int_equal(flat->out.length[0], known ? 60 : 0);
        assert_true(back->out.rank == 2 && back->out.length[0] == 5 && back->out.length[1] == 12);
        sw_tape *tape = sw_tape_new();
        expect_values(sw_forward(flat, sw_input(tape, x)), SW_SHAPE(2, 60), x.data, 0);
        expect_values(sw_forward(scalar, sw_input(tape, x)), SW_SHAPE(2, 5, 12), x.data, 0);
        /* No samples; a sample without axes; a scalar is none. */
        expect_values(sw_forward(flat, sw_empty(tape, SW_F64, SW_SHAPE(0, 3, 4))), SW_SHAPE(0, 12), NULL, 0);
        expect_values(sw_forward(flat, tensor_of(tape, SW_F64, SW_SHAPE(2), x.data)), SW_SHAPE(2, 1), x.data, 0);
        assert_true(sw_is_null(sw_forward(flat, sw_constant(tape, SW_F64, 1))));
        expect_error(SW_ERR_SHAPE, "layer flatten1: the input is a scalar; [batch, ...] is needed");
        assert_true(sw_is_null(sw_forward(back, sw_constant(tape, SW_F64, 1))));
        expect_error(SW_ERR_SHAPE, "layer reshape1: the input is a scalar; [batch, ...] is needed");
        sw_tape_free(tape);
        sw_array small = test_filled(SW_F64, SW_SHAPE(2, 60), -1, 1, 4);
        check_gradients(back, &small);
        check_gradients(flat, &small);
        test_array_free(&small);
        sw_model_free(model);
    }
    test_array_free(&x);
}

/* ---- residual ---- */

static void test_residual_adds_its_input(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *root = sw_nn_residual(
        model, sw_nn_sequential(model, sw_nn_linear(model, 0, 2), sw_nn_tanh(model), sw_nn_linear(model, 2, 3), NULL));
    sw_model_set_input_shape(model, 1, (const int64_t[]){3});
    sw_params *p = built(model, root);
    assert_string_equal(root->name, "residual1");
    set_values(p, "linear1.weight", (const double[]){1, 0, 0, 0, 1, 0});
    set_values(p, "linear1.bias", (const double[]){0, 0});
    set_values(p, "linear2.weight", (const double[]){1, 0, 0, 2, 1, 1});
    set_values(p, "linear2.bias", (const double[]){0, 0, 7});
    const double in[3] = {0.5, -1, 3}, a = tanh(0.5), b = tanh(-1);
    sw_tape *tape = sw_tape_new();
    /* Numbers up to 10, six roundings. */
    expect_values(sw_forward(root, tensor_of(tape, SW_F64, SW_SHAPE(1, 3), in)), SW_SHAPE(1, 3),
                  (const double[]){0.5 + a, -1 + 2 * b, 3 + a + b + 7}, 6 * 0x1p-53 * 10);
    sw_tape_free(tape);
    sw_array x = test_filled(SW_F64, SW_SHAPE(4, 3), -1, 1, 9);
    check_gradients(root, &x);
    test_array_free(&x);
    sw_model_free(model);
    /* x + x, where f is the identity and returns the very tensor. */
    model = sw_model_new(SW_F64, 1);
    root = sw_nn_residual(model, sw_nn_sequential(model, NULL));
    built(model, root);
    tape = sw_tape_new();
    sw_tensor y = tensor_of(tape, SW_F64, SW_SHAPE(1, 3), in);
    expect_values(sw_forward(root, y), SW_SHAPE(1, 3), (const double[]){1, -2, 6}, 0);
    expect_values(y, SW_SHAPE(1, 3), in, 0);
    sw_tape_free(tape);
    sw_model_free(model);
}

static void test_residual_of_another_shape_is_refused(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *root = sw_nn_residual(model, sw_nn_linear(model, 3, 1));
    built(model, root); /* the build does not know the shapes; forward checks the tensors */
    sw_tape *tape = sw_tape_new();
    assert_true(sw_is_null(sw_forward(root, sw_empty(tape, SW_F32, SW_SHAPE(2, 3)))));
    expect_error(SW_ERR_SHAPE, "layer residual1: x [2,3] and f(x) [2,1]; equal shapes are needed");
    sw_tape_free(tape);
    sw_model_free(model);
}

static sw_module *bad_slope(sw_model *m) {
    return sw_nn_leaky_relu(m, INFINITY);
}
static sw_module *bad_axis(sw_model *m) {
    sw_model_set_input_shape(m, 1, (const int64_t[]){3});
    return sw_nn_softmax(m, 2);
}
static sw_module *bad_reshape(sw_model *m) {
    sw_model_set_input_shape(m, 1, (const int64_t[]){3});
    return sw_nn_reshape(m, 2, (const int64_t[]){2, 2});
}
static sw_module *negative_reshape(sw_model *m) {
    return sw_nn_reshape(m, 2, (const int64_t[]){2, -2});
}
static sw_module *deep_reshape(sw_model *m) {
    return sw_nn_reshape(m, 8, (const int64_t[]){1, 1, 1, 1, 1, 1, 1, 1});
}
static sw_module *bad_residual(sw_model *m) {
    sw_model_set_input_shape(m, 1, (const int64_t[]){3});
    return sw_nn_residual(m, sw_nn_linear(m, 0, 2));
}
static sw_module *empty_residual(sw_model *m) {
    return sw_nn_residual(m, NULL);
}
static sw_module *no_bias_no_outputs(sw_model *m) {
    return sw_nn_linear_no_bias(m, 3, 0);
}
static sw_module *reshape_of_one(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_linear(m, 3, 1), sw_nn_reshape(m, SW_SHAPE(2, 2)), NULL);
}
static sw_module *linear_of_one(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_linear(m, 3, 3), sw_nn_linear(m, 1, 2), NULL);
}
static sw_module *negative_list(sw_model *m) {
    return sw_nn_sequential_array(m, -1, NULL);
}
static sw_module *null_list(sw_model *m) {
    return sw_nn_sequential_array(m, 1, NULL);
}

static void test_layers_refuse_wrong_arguments(void **state) {
    (void)state;
    refused(bad_slope, SW_ERR_ARGUMENT, "leaky_relu: inf is not finite");
    refused(bad_axis, SW_ERR_SHAPE, "layer softmax1: axis 2 of a batch of samples [3] is outside -2 to 1");
    refused(bad_reshape, SW_ERR_SHAPE, "layer reshape1: a sample [3] has 3 elements and cannot become [2,2]");
    refused(reshape_of_one, SW_ERR_SHAPE, "layer reshape1: a sample [1] has 1 element and cannot become [2,2]");
    refused(linear_of_one, SW_ERR_SHAPE, "layer linear2: takes 1 input, but its input has 3 features");
    refused(negative_reshape, SW_ERR_SHAPE, "axis 1 of [2,-2] is negative");
    refused(deep_reshape, SW_ERR_SHAPE, "reshape: a sample has at most 7 axes, not 8");
    refused(bad_residual, SW_ERR_SHAPE,
            "layer residual1: the input is [3], and layer linear1 returns [2]; "
            "x + f(x) needs equal shapes");
    refused(empty_residual, SW_ERR_ARGUMENT, "a layer to be added is NULL");
    refused(no_bias_no_outputs, SW_ERR_ARGUMENT,
            "linear: 3 inputs and 0 outputs; inputs 0 (open) or more, "
            "outputs 1 or more are needed");
    refused(negative_list, SW_ERR_ARGUMENT, "sequential: the list of layers has a negative length");
    refused(null_list, SW_ERR_ARGUMENT, "sequential: the list of layers is NULL");
    assert_null(sw_nn_reshape(NULL, 1, (const int64_t[]){1}));
    expect_error(SW_ERR_ARGUMENT, "reshape: the model is NULL");
    assert_null(sw_nn_gelu(NULL));
    expect_error(SW_ERR_ARGUMENT, "gelu: the model is NULL");
    assert_null(sw_nn_residual(NULL, NULL));
    expect_error(SW_ERR_ARGUMENT, "residual: the model is NULL");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_activations_give_the_plain_values),    TEST(test_softmax_gives_the_plain_values),
        TEST(test_activation_is_chosen_by_name),         TEST(test_linear_without_bias_gives_the_plain_values),
        TEST(test_flatten_and_reshape_keep_the_order),   TEST(test_residual_adds_its_input),
        TEST(test_residual_of_another_shape_is_refused), TEST(test_layers_refuse_wrong_arguments),
    };
    return cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
