/* The layers of convolutions: parameters, fans, shapes, names, printed descriptions, and every message. Their values
 * are in test_torch_layers.c. */
#include "helpers.h"

static sw_model *model_of(int rank, const int64_t *shape) {
    sw_model *model = sw_model_new(SW_F32, 1);
    if (rank > 0)
        assert_ok(sw_model_set_input_shape(model, rank, shape));
    return model;
}

static const sw_param *param_of(sw_params *params, const char *name, int rank, const int64_t *shape) {
    const sw_param *p = sw_params_find(params, name);
    if (!p)
        fail_msg("there is no parameter %s", name);
    assert_true(sw_shape_equal(p->rank, p->shape, rank, shape));
    return p;
}

/* ---- Parameters and shapes ---- */

/* fan_in and fan_out are those of nn.init._calculate_fan_in_and_fan_out for the weight in PyTorch's order. */
static void test_parameters_have_the_shapes_and_fans_of_torch(void **state) {
    (void)state;
    sw_model *model = model_of(SW_SHAPE(9, 8, 6));
    sw_module *conv = sw_nn_conv2d_with_options(model, 0, 4, 3, 2, &SW_OPTIONS(sw_conv_options, .groups = 2)),
              *back = sw_nn_conv2d_transposed_with_options(
                  model, 4, 10, 3, 5, &SW_OPTIONS(sw_conv_options, .groups = 2, .stride = {2, 2}, .no_bias = true));
    sw_params *p = built(model, sw_nn_sequential(model, conv, back));
    assert_int_equal(sw_params_count(p), 3);
    const sw_param *w = param_of(p, "conv1.weight", SW_SHAPE(4, 3, 2, 3)), *b = param_of(p, "conv1.bias", SW_SHAPE(4));
    assert_true(w->role == SW_ROLE_WEIGHT && w->fan_in == 3 * 2 * 3 && w->fan_out == 4 * 3 * 2);
    assert_true(b->role == SW_ROLE_BIAS && b->fan_in == w->fan_in && b->fan_out == w->fan_out);
    /* He: uniform within √(6/fan_in); the bias is 0 */
    const sw_array values = sw_param_value(w), bias = sw_param_value(b);
    double most = 0;
    for (int64_t i = 0; i < w->count; i++)
        most = fmax(most, fabs(test_get(&values, i)));
    assert_true(most <= sqrt(6.0 / 18) && most > 0.9 * sqrt(6.0 / 18));
    for (int64_t i = 0; i < b->count; i++)
        assert_true(test_get(&bias, i) == 0);
    w = param_of(p, "conv_transposed1.weight", SW_SHAPE(4, 3, 5, 5));
    assert_true(w->fan_in == 3 * 5 * 5 && w->fan_out == 4 * 3 * 5);
    assert_true(sw_shape_equal(conv->out.rank, conv->out.length, SW_SHAPE(7, 7, 4)));
    assert_true(sw_shape_equal(back->out.rank, back->out.length, SW_SHAPE(15, 17, 10)));
    sw_model_free(model);
}

static void expect_description(sw_module *m, const char *text) {
    char own[200];
    m->type->describe(m, own, sizeof own);
    assert_string_equal(own, text);
}

static void test_descriptions_for_print(void **state) {
    (void)state;
    sw_model *model = model_of(SW_SHAPE(20, 20, 6));
    sw_module *a = sw_nn_conv2d(model, 0, 16, 5);
    sw_module *b = sw_nn_conv2d_with_options(model, 16, 16, 3, 1,
                                             &SW_OPTIONS(sw_conv_options, .stride = {2, 1}, .padding = {1, 1},
                                                         .dilation = {2, 2}, .groups = 16, .no_bias = true));
    sw_module *c = sw_nn_conv2d_transposed_with_options(
        model, 16, 8, 4, 4, &SW_OPTIONS(sw_conv_options, .stride = {2, 2}, .output_padding = {1, 0}));
    built(model, sw_nn_sequential(model, a, b, c));
    expect_description(a, "kernel 5x5, 6 to 16");
    expect_description(b, "kernel 3x1, 16 to 16, stride 2x1, padding 1, dilation 2, 16 groups, no bias");
    expect_description(c, "transposed 4x4, 16 to 8, stride 2, output padding 1x0");
    sw_model_free(model);
    model = model_of(SW_SHAPE(20, 6));
    a = sw_nn_conv1d_with_options(model, 6, 16, 5, &SW_OPTIONS(sw_conv_options, .stride = {3}, .same = true));
    built(model, a);
    expect_description(a, "kernel 5, 6 to 16, stride 3, same");
    sw_model_free(model);
}

/* A layer whose input is not known works if its inputs are given, as in a composed layer with a given output. */
static void test_inputs_may_be_given_without_a_shape(void **state) {
    (void)state;
    sw_model *model = model_of(0, NULL);
    sw_module *conv = sw_nn_conv2d(model, 2, 3, 2);
    built(model, sw_nn_sequential(model, conv));
    assert_int_equal(conv->out.rank, -1);
    sw_tape *tape = sw_tape_new();
    for (int side = 2; side < 5; side++) {
        const sw_array y = sw_value(sw_forward(conv, sw_empty(tape, SW_F32, SW_SHAPE(1, side, side, 2))));
        expect_no_error();
        assert_true(sw_shape_equal(y.rank, y.shape, SW_SHAPE(1, side - 1, side - 1, 3)));
    }
    sw_tape_free(tape);
    sw_model_free(model);
}

/* As of any other layer: a pending error of something else does not make a forward fail. */
static void test_pending_error_does_not_stop_a_layer_without_bias(void **state) {
    (void)state;
    sw_model *model = model_of(SW_SHAPE(5, 5, 2));
    sw_module *conv = sw_nn_conv2d_with_options(model, 2, 3, 2, 2, &SW_OPTIONS(sw_conv_options, .no_bias = true));
    built(model, conv);
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_empty(tape, SW_F32, SW_SHAPE(1, 5, 5, 2));
    sw_fail(SW_ERR_STATE, "something else");
    assert_false(sw_is_null(sw_forward(conv, x)));
    expect_error(SW_ERR_STATE, "something else");
    sw_tape_free(tape);
    sw_model_free(model);
}

/* The weights of a model in bf16: the input is converted, and the result is bf16. */
static void test_input_is_converted_to_the_type_of_the_weights(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_BF16, 1);
    assert_ok(sw_model_set_input_shape(model, SW_SHAPE(5, 5, 2)));
    sw_module *conv = sw_nn_conv2d(model, 2, 3, 2);
    built(model, conv);
    sw_array x = test_filled(SW_F32, SW_SHAPE(2, 5, 5, 2), -1, 1, 3);
    sw_tape *tape = sw_tape_new();
    const sw_array y = sw_value(sw_forward(conv, sw_input(tape, x)));
    expect_no_error();
    assert_int_equal(y.type, SW_BF16);
    assert_true(sw_shape_equal(y.rank, y.shape, SW_SHAPE(2, 4, 4, 3)));
    test_array_free(&x);
    sw_tape_free(tape);
    sw_model_free(model);
}

/* ---- A pass ---- */

/* A network of the three layers: whether its build, forward and backward succeed. */
static bool build_and_run(const void *user) {
    const sw_dtype type = *(const sw_dtype *)user;
    sw_model *model = sw_model_new(type, 1);
    sw_tape *tape = sw_tape_new();
    sw_model_set_input_shape(model, SW_SHAPE(4, 8, 2));
    sw_module *root = sw_nn_sequential(
        model, sw_nn_conv2d(model, 0, 4, 3), sw_nn_relu(model), sw_nn_conv2d_transposed(model, 0, 3, 2),
        sw_nn_reshape(model, SW_SHAPE(21, 3)),
        sw_nn_conv1d_with_options(model, 0, 2, 3, &SW_OPTIONS(sw_conv_options, .stride = {2}, .groups = 1)));
    sw_params *params = sw_model_build(model, root);
    const sw_tensor x = tape ? sw_empty(tape, SW_F32, SW_SHAPE(3, 4, 8, 2)) : (sw_tensor){0};
    bool good = params && !sw_is_null(x);
    if (good)
        good = sw_backward(sw_sum(sw_forward(root, x))) == SW_OK;
    sw_tape_free(tape);
    sw_model_free(model);
    return good;
}

static void test_every_failed_allocation_is_an_error(void **state) {
    (void)state;
    static const sw_dtype types[] = {SW_F32, SW_BF16}; /* in bf16 the input is converted */
    for (int i = 0; i < 2; i++)
        expect_failed_allocations(build_and_run, &types[i], 40);
}

/* ---- Mistakes ---- */

static void expect_no_layer(sw_module *(*make)(sw_model *m), int rank, const int64_t *shape, sw_status status,
                            const char *message) {
    sw_model *model = model_of(rank, shape);
    assert_null(sw_model_build(model, make(model)));
    expect_error(status, message);
    sw_model_free(model);
}

#define MAKE(name, call)                         \
    static sw_module *make_##name(sw_model *m) { \
        return call;                             \
    }
MAKE(open, sw_nn_conv2d(m, 0, 4, 3))
MAKE(of_three, sw_nn_conv2d(m, 3, 4, 3))
MAKE(of_one, sw_nn_conv2d(m, 1, 4, 3))
MAKE(signal, sw_nn_conv1d(m, 3, 4, 3))
MAKE(dilated, sw_nn_conv2d_with_options(m, 3, 4, 3, 3, &SW_OPTIONS(sw_conv_options, .dilation = {4, 1})))
MAKE(open_groups, sw_nn_conv2d_with_options(m, 0, 4, 3, 3, &SW_OPTIONS(sw_conv_options, .groups = 2)))
MAKE(open_three_groups, sw_nn_conv2d_with_options(m, 0, 4, 3, 3, &SW_OPTIONS(sw_conv_options, .groups = 3)))
MAKE(of_five, sw_nn_conv2d(m, 0, 4, 5))
MAKE(groups, sw_nn_conv2d_with_options(m, 3, 4, 3, 3, &SW_OPTIONS(sw_conv_options, .groups = 2)))
MAKE(negative, sw_nn_conv2d(m, -1, 4, 3))
MAKE(no_outputs, sw_nn_conv2d_transposed(m, 3, 0, 3))
MAKE(no_kernel, sw_nn_conv1d(m, 3, 4, 0))
MAKE(flat_kernel, sw_nn_conv2d_with_options(m, 3, 4, 3, 0, NULL))
MAKE(stride, sw_nn_conv2d_with_options(m, 3, 4, 3, 3, &SW_OPTIONS(sw_conv_options, .stride = {1, -2})))
MAKE(huge, sw_nn_conv2d_with_options(m, 3, INT32_MAX, INT32_MAX, INT32_MAX, &SW_OPTIONS(sw_conv_options, .same = true)))

static void test_mistakes_are_explained(void **state) {
    (void)state;
    expect_no_layer(make_open, 0, NULL, SW_ERR_SHAPE,
                    "layer conv1: the number of inputs is not known; give it, or sw_model_set_input_shape");
    expect_no_layer(make_open, SW_SHAPE(784), SW_ERR_SHAPE,
                    "layer conv1: its input has samples [784]; pictures [height, width, channels] are needed (make "
                    "them from vectors with sw_nn_reshape, or use sw_fashion_mnist_pictures?)");
    expect_no_layer(
        make_open, SW_SHAPE(28, 28), SW_ERR_SHAPE,
        "layer conv1: its input has samples [28,28]; pictures [height, width, channels] are needed (add the "
        "axis of one channel with sw_nn_reshape?)");
    expect_no_layer(
        make_signal, SW_SHAPE(28), SW_ERR_SHAPE,
        "layer conv1: its input has samples [28]; signals [length, channels] are needed (add the axis of one "
        "channel with sw_nn_reshape?)");
    expect_no_layer(make_open, SW_SHAPE(28, 28, 0), SW_ERR_SHAPE,
                    "layer conv1: its input has samples [28,28,0] without channels; 1 or more are needed");
    expect_no_layer(make_of_three, SW_SHAPE(28, 28, 1), SW_ERR_SHAPE,
                    "layer conv1: takes 3 channels, but its input has 1, the last axis of samples [28,28,1]");
    expect_no_layer(make_of_three, SW_SHAPE(3, 32, 32), SW_ERR_SHAPE,
                    "layer conv1: takes 3 channels, but its input has 32, the last axis of samples [3,32,32] (move the "
                    "channels to the last axis?)");
    expect_no_layer(
        make_of_three, SW_SHAPE(8, 2, 3), SW_ERR_SHAPE,
        "layer conv1: axis 1 of [8,2,3] has 2 elements with padding 0, but a kernel of 3 with dilation 1 spans "
        "3; a smaller kernel or more padding is needed");
    expect_no_layer(
        make_dilated, SW_SHAPE(8, 8, 3), SW_ERR_SHAPE,
        "layer conv1: axis 0 of [8,8,3] has 8 elements with padding 0, but a kernel of 3 with dilation 4 spans "
        "9; a smaller kernel or more padding is needed");
    expect_no_layer(make_open_groups, SW_SHAPE(8, 8, 5), SW_ERR_SHAPE,
                    "layer conv1: 5 inputs and 4 outputs in 2 groups; both must be multiples of the groups");
    expect_no_layer(make_open_three_groups, SW_SHAPE(8, 8, 3), SW_ERR_SHAPE,
                    "conv2d: 4 outputs in 3 groups; they must be a multiple of the groups");
    expect_no_layer(
        make_of_five, SW_SHAPE(3, 32, 31), SW_ERR_SHAPE,
        "layer conv1: axis 0 of [3,32,31] has 3 elements with padding 0, but a kernel of 5 with dilation 1 spans "
        "5; a smaller kernel or more padding is needed (move the channels to the last axis?)");
    expect_no_layer(make_of_one, SW_SHAPE(8, 8, 3), SW_ERR_SHAPE,
                    "layer conv1: takes 1 channel, but its input has 3, the last axis of samples [8,8,3]");
    expect_no_layer(
        make_of_three, SW_SHAPE(1, 2, 3), SW_ERR_SHAPE,
        "layer conv1: axis 0 of [1,2,3] has 1 element with padding 0, but a kernel of 3 with dilation 1 spans "
        "3; a smaller kernel or more padding is needed");
    expect_no_layer(make_groups, SW_SHAPE(8, 8, 3), SW_ERR_SHAPE,
                    "conv2d: 3 inputs and 4 outputs in 2 groups; both must be multiples of the groups");
    expect_no_layer(
        make_negative, SW_SHAPE(8, 8, 3), SW_ERR_ARGUMENT,
        "conv2d: -1 inputs, 4 outputs and a kernel [3,3]; inputs 0 (open) or more, outputs and lengths of the "
        "kernel 1 or more are needed, all below 2^31");
    expect_no_layer(make_no_outputs, SW_SHAPE(8, 8, 3), SW_ERR_ARGUMENT,
                    "conv2d_transposed: 3 inputs, 0 outputs and a kernel [3,3]; inputs 0 (open) or more, outputs and "
                    "lengths of the kernel 1 or more are needed, all below 2^31");
    expect_no_layer(make_no_kernel, SW_SHAPE(8, 3), SW_ERR_ARGUMENT,
                    "conv1d: 3 inputs, 4 outputs and a kernel [0]; inputs 0 (open) or more, outputs and lengths of the "
                    "kernel 1 or more are needed, all below 2^31");
    expect_no_layer(
        make_flat_kernel, SW_SHAPE(8, 8, 3), SW_ERR_ARGUMENT,
        "conv2d: 3 inputs, 4 outputs and a kernel [3,0]; inputs 0 (open) or more, outputs and lengths of the "
        "kernel 1 or more are needed, all below 2^31");
    expect_no_layer(
        make_stride, SW_SHAPE(8, 8, 3), SW_ERR_ARGUMENT,
        "conv2d: stride [1,-2]; 1 to 2147483647 along each axis, or [0,0] for the default [1,1], is needed");
}

/* Square pictures with 1 or 3 channels first are refused where the layer would take the number of its inputs from them;
 * no other shape is. */
static void test_pictures_with_channels_first_are_refused(void **state) {
    (void)state;
    static const struct {
        int64_t sample[3];
        bool refused;
    } samples[] = {{{3, 32, 32}, true},  {{1, 28, 28}, true},  {{1, 8, 8}, true},    {{32, 32, 3}, false},
                   {{28, 28, 1}, false}, {{3, 7, 7}, false},   {{3, 3, 3}, false},   {{2, 32, 32}, false},
                   {{4, 32, 32}, false}, {{3, 32, 31}, false}, {{1, 128, 64}, false}};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        for (int transposed = 0; transposed < 2; transposed++)
            for (int open = 0; open < 2; open++) {
                const int64_t *s = samples[i].sample, inputs = open ? 0 : s[2];
                char message[300];
                sw_model *m = sw_model_new(SW_F32, 1);
                sw_model_set_input_shape(m, 3, s);
                const bool built = sw_model_build(m, transposed ? sw_nn_conv2d_transposed(m, inputs, 4, 1)
                                                                : sw_nn_conv2d(m, inputs, 4, 1)) != NULL;
                assert_int_equal(built, !samples[i].refused || !open);
                snprintf(message, sizeof message,
                         "layer conv%s1: samples [%d,%d,%d] seem to be [channels, height, width], but the channels are "
                         "the last axis (reorder the axes with sw_array_permute; if there are %d channels, give the "
                         "number of inputs)",
                         transposed ? "_transposed" : "", (int)s[0], (int)s[1], (int)s[2], (int)s[2]);
                if (!built)
                    expect_error(SW_ERR_SHAPE, message);
                expect_no_error();
                sw_model_free(m);
            }
}

/* A number of weights beyond 2^63 is an error, not an overflow. */
static void test_huge_kernel_is_refused(void **state) {
    (void)state;
    expect_no_layer(make_huge, SW_SHAPE(8, 8, 3), SW_ERR_SHAPE,
                    "layer conv1: a weight [2147483647,2147483647,2147483647,3] has too many elements");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_parameters_have_the_shapes_and_fans_of_torch),
        TEST(test_descriptions_for_print),
        TEST(test_inputs_may_be_given_without_a_shape),
        TEST(test_pending_error_does_not_stop_a_layer_without_bias),
        TEST(test_input_is_converted_to_the_type_of_the_weights),
        TEST(test_every_failed_allocation_is_an_error),
        TEST(test_mistakes_are_explained),
        TEST(test_pictures_with_channels_first_are_refused),
        TEST(test_huge_kernel_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
