/* Every layer acts on the last axis, that of features and channels: the output of a layer for pictures [batch, height,
 * width, channels] is its output for the pixels [batch·height·width, channels]. */
#include "helpers.h"

enum { BATCH = 2, HEIGHT = 3, WIDTH = 4, CHANNELS = 5, PIXELS = BATCH * HEIGHT * WIDTH };

static sw_module *make_linear(sw_model *m) {
    return sw_nn_linear(m, 0, 6);
}
static sw_module *make_linear_no_bias(sw_model *m) {
    return sw_nn_linear_no_bias(m, 0, 6);
}
static sw_module *make_residual(sw_model *m) {
    return sw_nn_residual(m, sw_nn_sequential(m, sw_nn_linear(m, 0, CHANNELS), sw_nn_softmax(m, -1), NULL));
}
static sw_module *make_dropout(sw_model *m) {
    return sw_nn_dropout(m, 0.5); /* off in an evaluation; its masks by sample are those of test_dropout */
}

#define NAMED(name)                              \
    static sw_module *make_##name(sw_model *m) { \
        return sw_nn_activation(m, #name);       \
    }
NAMED(relu)
NAMED(tanh)
NAMED(sigmoid)
NAMED(leaky_relu)
NAMED(elu)
NAMED(silu)
NAMED(softplus)
NAMED(gelu)
NAMED(gelu_tanh)
NAMED(softmax)
NAMED(log_softmax)

static const make_root layers[] = {make_linear,   make_linear_no_bias, make_residual,   make_dropout, make_relu,
                                   make_tanh,     make_sigmoid,        make_leaky_relu, make_elu,     make_silu,
                                   make_softplus, make_gelu,           make_gelu_tanh,  make_softmax, make_log_softmax};

/* Values and gradients, in one model. The rows are the same in both cases, and so are all bits. */
static void check_layer(make_root make, sw_dtype type) {
    sw_model *model = sw_model_new(type, 3);
    sw_model_set_input_shape(model, SW_SHAPE(HEIGHT, WIDTH, CHANNELS));
    sw_module *layer = make(model);
    sw_params *params = built(model, sw_nn_sequential(model, layer, NULL));
    assert_int_equal(layer->out.rank, 3);
    sw_array in = test_filled(type, 4, (int64_t[]){BATCH, HEIGHT, WIDTH, CHANNELS}, -2, 2, 7);
    const sw_array rows = sw_array_view(in.data, type, SW_SHAPE(PIXELS, CHANNELS));
    sw_tape *tape[2] = {sw_tape_new(), sw_tape_new()};
    sw_array y[2], dx[2], cotangent[2], dw[2];
    const size_t bytes = (size_t)sw_params_dim(params) * sw_dtype_size(type);
    for (int i = 0; i < 2; i++) {
        sw_tape_set_switch(tape[i], SW_TRAIN, false);
        sw_tensor x = sw_variable(tape[i], i ? rows : in), out = sw_forward(layer, x);
        expect_no_error();
        y[i] = sw_value(out);
        cotangent[i] = test_filled(type, y[i].rank, y[i].shape, -1, 1, 9);
        sw_gradient_make_fresh(sw_params_gradient(params));
        assert_int_equal(sw_backward_from(out, cotangent[i]), SW_OK);
        dx[i] = sw_grad(x);
        dw[i] = test_array(type, 1, (int64_t[]){sw_params_dim(params)});
        memcpy(dw[i].data, sw_gradient_data(sw_params_gradient(params)), bytes);
    }
    const int64_t features = y[1].shape[1];
    assert_true(sw_shape_equal(y[0].rank, y[0].shape, SW_SHAPE(BATCH, HEIGHT, WIDTH, features)));
    assert_int_equal(y[1].shape[0], PIXELS);
    assert_memory_equal(y[0].data, y[1].data, test_bytes(&y[1]));
    assert_memory_equal(dx[0].data, dx[1].data, test_bytes(&in));
    assert_memory_equal(dw[0].data, dw[1].data, bytes);
    for (int i = 0; i < 2; i++) {
        test_array_free(&cotangent[i]);
        test_array_free(&dw[i]);
        sw_tape_free(tape[i]);
    }
    test_array_free(&in);
    sw_model_free(model);
}

static void test_pictures_are_rows_of_pixels(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof layers / sizeof *layers; k++)
        for (int t = 0; t < 2; t++)
            check_layer(layers[k], both_types[t]);
}

/* An embedding appends the axis of the features, and the losses and accuracy of classes read theirs from it. */
static void test_classes_and_embeddings_are_on_the_last_axis(void **state) {
    (void)state;
    double scores[PIXELS * CHANNELS];
    int32_t ids[PIXELS];
    uint64_t seed = 1;
    for (int i = 0; i < PIXELS * CHANNELS; i++)
        scores[i] = test_uniform(&seed, -2, 2);
    for (int i = 0; i < PIXELS; i++)
        ids[i] = i * 3 % CHANNELS;
    sw_tape *tape = sw_tape_new();
    sw_tensor z[2] = {sw_input(tape, sw_array_view(scores, SW_F64, SW_SHAPE(BATCH, HEIGHT, WIDTH, CHANNELS))),
                      sw_input(tape, sw_array_view(scores, SW_F64, SW_SHAPE(PIXELS, CHANNELS)))};
    sw_tensor t[2] = {sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(BATCH, HEIGHT, WIDTH))),
                      sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(PIXELS)))};
    assert_true(sw_item(sw_cross_entropy(z[0], t[0])) == sw_item(sw_cross_entropy(z[1], t[1])));
    assert_true(sw_item(sw_accuracy(z[0], t[0])) == sw_item(sw_accuracy(z[1], t[1])));
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *embedding = sw_nn_embedding(model, CHANNELS, 3);
    built(model, embedding);
    const sw_array e = sw_value(sw_forward(embedding, t[0])), f = sw_value(sw_forward(embedding, t[1]));
    expect_no_error();
    assert_true(sw_shape_equal(e.rank, e.shape, SW_SHAPE(BATCH, HEIGHT, WIDTH, 3)));
    assert_memory_equal(e.data, f.data, test_bytes(&f));
    sw_tape_free(tape);
    sw_model_free(model);
}

static sw_module *linear_of_three(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(3, 32, 16));
    return sw_nn_linear(m, 3, 8);
}

static void test_channels_first_are_refused_with_a_hint(void **state) {
    (void)state;
    refused(
        linear_of_three, SW_ERR_SHAPE,
        "layer linear1: takes 3 inputs, but its input has 16 features, the last axis of samples [3,32,16] (move the "
        "channels to the last axis?)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_pictures_are_rows_of_pixels),
        TEST(test_classes_and_embeddings_are_on_the_last_axis),
        TEST(test_channels_first_are_refused_with_a_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
