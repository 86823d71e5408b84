/* The layers of pooling: shapes, names, printed descriptions, failing allocations, and every message. Their values are
 * in test_torch_layers.c. */
#include "helpers.h"

#include <swale/optim.h>

static sw_model *model_of(int rank, const int64_t *shape) {
    sw_model *model = sw_model_new(SW_F32, 1);
    if (rank > 0)
        assert_ok(sw_model_set_input_shape(model, rank, shape));
    return model;
}

static void expect_layer(const sw_module *m, const char *name, const char *description, int rank,
                         const int64_t *shape) {
    char own[200];
    assert_string_equal(m->name, name);
    m->type->describe(m, own, sizeof own);
    assert_string_equal(own, description);
    if (!sw_shape_equal(m->out.rank, m->out.length, rank, shape))
        fail_msg("%s: %s", name, sw_shape_text(m->out.rank, m->out.length));
}

static void test_names_descriptions_and_shapes_of_pictures(void **state) {
    (void)state;
    sw_model *m = model_of(SW_SHAPE(61, 48, 6));
    sw_module *list[] = {
        sw_nn_max_pool2d(m, 2),
        sw_nn_avg_pool2d(m, 2),
        sw_nn_max_pool2d_with_options(
            m, 3, 2,
            &SW_OPTIONS(sw_pool_options, .stride = {2, 1}, .padding = {1, 1}, .dilation = {1, 2}, .ceil_mode = true)),
        sw_nn_avg_pool2d_with_options(m, 1, 2, &SW_OPTIONS(sw_pool_options, .exclude_padding = true)),
        sw_nn_adaptive_max_pool2d(m, 4, 7),
        sw_nn_adaptive_avg_pool2d(m, 2, 3),
        sw_nn_global_avg_pool2d(m),
    };
    built(m, sw_nn_sequential_array(m, 7, list));
    expect_layer(list[0], "max_pool1", "window 2x2", SW_SHAPE(30, 24, 6));
    expect_layer(list[1], "avg_pool1", "window 2x2", SW_SHAPE(15, 12, 6));
    expect_layer(list[2], "max_pool2", "window 3x2, stride 2x1, padding 1, dilation 1x2, ceil mode",
                 SW_SHAPE(8, 12, 6));
    expect_layer(list[3], "avg_pool2", "window 1x2, without padding", SW_SHAPE(8, 6, 6));
    expect_layer(list[4], "adaptive_max_pool1", "result 4x7", SW_SHAPE(4, 7, 6));
    expect_layer(list[5], "adaptive_avg_pool1", "result 2x3", SW_SHAPE(2, 3, 6));
    expect_layer(list[6], "global_avg_pool1", "mean of each channel", SW_SHAPE(6));
    sw_model_free(m);
}

static void test_names_descriptions_and_shapes_of_sequences(void **state) {
    (void)state;
    sw_model *m = model_of(SW_SHAPE(61, 6));
    sw_module *list[] = {
        sw_nn_max_pool1d(m, 3),
        sw_nn_avg_pool1d(m, 2),
        sw_nn_max_pool1d_with_options(m, 3, &SW_OPTIONS(sw_pool_options, .stride = {1}, .dilation = {2})),
        sw_nn_avg_pool1d_with_options(m, 3, &SW_OPTIONS(sw_pool_options, .stride = {2}, .padding = {1})),
    };
    built(m, sw_nn_sequential_array(m, 4, list));
    expect_layer(list[0], "max_pool1", "window 3", SW_SHAPE(20, 6));
    expect_layer(list[1], "avg_pool1", "window 2", SW_SHAPE(10, 6));
    expect_layer(list[2], "max_pool2", "window 3, stride 1, dilation 2", SW_SHAPE(6, 6));
    expect_layer(list[3], "avg_pool2", "window 3, stride 2, padding 1", SW_SHAPE(3, 6));
    sw_model_free(m);
    m = model_of(SW_SHAPE(4, 5, 3));
    list[0] = sw_nn_global_max_pool2d(m);
    built(m, list[0]);
    expect_layer(list[0], "global_max_pool1", "largest of each channel", SW_SHAPE(3));
    sw_model_free(m);
}

static void test_shape_of_the_input_need_not_be_known(void **state) {
    (void)state;
    sw_model *model = model_of(0, NULL);
    sw_module *pool = sw_nn_max_pool2d(model, 2), *mean = sw_nn_global_avg_pool2d(model);
    built(model, sw_nn_sequential(model, pool, mean));
    assert_int_equal(pool->out.rank, -1);
    sw_tape *tape = sw_tape_new();
    for (int side = 2; side < 6; side++) {
        const sw_array y = sw_value(sw_forward(pool, sw_empty(tape, SW_F32, SW_SHAPE(1, side, side, 2))));
        expect_no_error();
        assert_true(sw_shape_equal(y.rank, y.shape, SW_SHAPE(1, side / 2, side / 2, 2)));
    }
    assert_true(sw_is_null(sw_forward(pool, sw_empty(tape, SW_F32, SW_SHAPE(1, 1, 3, 2)))));
    expect_error(SW_ERR_SHAPE, "layer max_pool1: max_pool2d: a window that spans 2×2 is larger than the padded picture "
                               "1×3; choose a smaller one");
    sw_tape_free(tape);
    sw_model_free(model);
}

/* ---- After a ReLU ---- */

/* The value and the gradient of x of a chain whose first layers may be a ReLU and a pool. */
static void run_chain(sw_module *const *layers, int count, bool in_sequence, sw_module *chain, const sw_array *x,
                      sw_tape *tape, sw_array *y, sw_array *dx) {
    const sw_tensor in = sw_variable(tape, *x);
    sw_tensor out = in;
    if (in_sequence)
        out = sw_forward(chain, in);
    else
        for (int i = 0; i < count; i++)
            out = sw_forward(layers[i], out);
    expect_no_error();
    assert_ok(sw_backward(sw_sum(sw_mul(out, out))));
    *y = sw_value(out);
    *dx = sw_grad(in);
}

/* A sequential layer computes a ReLU and a pool at once. The results, names and the description do not change. */
static void test_relu_before_a_pool_is_part_of_it(void **state) {
    (void)state;
    sw_model *m = model_of(SW_SHAPE(9, 8, 5));
    sw_module *layers[] = {
        sw_nn_relu(m),
        sw_nn_max_pool2d_with_options(m, 3, 2, &SW_OPTIONS(sw_pool_options, .stride = {1, 2}, .padding = {1, 0})),
        sw_nn_relu(m),
        sw_nn_avg_pool2d(m, 2),
        sw_nn_relu(m),
        sw_nn_relu(m),
        sw_nn_global_avg_pool2d(m),
    };
    enum { LAYERS = sizeof layers / sizeof *layers };
    sw_module *chain = sw_nn_sequential_array(m, LAYERS, layers);
    built(m, chain);
    expect_layer(layers[1], "max_pool1", "window 3x2, stride 1x2, padding 1x0", SW_SHAPE(9, 4, 5));
    sw_array x = test_filled(SW_F32, SW_SHAPE(3, 9, 8, 5), -2, 1, 4), y[2], dx[2];
    sw_tape *tape[2] = {sw_tape_new(), sw_tape_new()};
    for (int k = 0; k < 2; k++)
        run_chain(layers, LAYERS, k == 1, chain, &x, tape[k], &y[k], &dx[k]);
    assert_memory_equal(y[0].data, y[1].data, test_bytes(&y[0]));
    assert_memory_equal(dx[0].data, dx[1].data, test_bytes(&dx[0]));
    assert_true(sw_tape_peak_bytes(tape[1]) < sw_tape_peak_bytes(tape[0])); /* it was one operation */
    test_array_free(&x);
    for (int k = 0; k < 2; k++)
        sw_tape_free(tape[k]);
    sw_model_free(m);
}

/* The parameters after some steps of a network with convolutions, ReLUs and pools, layer by layer or as one sequential
 * layer, which computes a convolution, a ReLU and a pool at once; and the most memory of the tape. */
static sw_array train_pools(sw_dtype type, bool in_sequence, bool recomputed, int threads, int64_t *peak) {
    enum { LAYERS = 10, STEPS = 3 };
    sw_model *m = sw_model_new(type, 3);
    assert_ok(sw_model_set_input_shape(m, SW_SHAPE(12, 12, 2)));
    const sw_conv_options same = {.size = sizeof same, .same = true};
    sw_module *layers[LAYERS] = {sw_nn_conv2d_with_options(m, 0, 16, 3, 3, &same),
                                 sw_nn_relu(m),
                                 sw_nn_avg_pool2d(m, 2),
                                 sw_nn_conv2d_with_options(m, 0, 5, 3, 3, &same),
                                 sw_nn_relu(m),
                                 sw_nn_max_pool2d(m, 2),
                                 sw_nn_conv2d(m, 0, 3, 2),
                                 sw_nn_max_pool2d(m, 2),
                                 sw_nn_flatten(m),
                                 sw_nn_linear(m, 0, 4)};
    /* Segments of two layers end between a convolution and its pool. */
    sw_module *chain = sw_nn_sequential_with_options(
        m, LAYERS, layers, &SW_OPTIONS(sw_sequential_options, .recompute = recomputed ? 2 : 0));
    sw_params *params = built(m, chain);
    sw_optim *optim = sw_optim_new(params, "adamw lr=1e-2");
    sw_tape *tape = sw_tape_new();
    sw_array x = test_filled(type, SW_SHAPE(20, 12, 12, 2), -1, 1, 4),
             target = test_filled(type, SW_SHAPE(20, 4), 0, 1, 5);
    sw_set_threads(threads);
    for (int step = 0; step < STEPS; step++) {
        sw_tensor y = sw_input(tape, x);
        if (in_sequence)
            y = sw_forward(chain, y);
        else
            for (int i = 0; i < LAYERS; i++)
                y = sw_forward(layers[i], y);
        assert_ok(sw_backward(sw_mse(y, sw_input(tape, target))));
        assert_ok(sw_optim_step(optim));
        *peak = (int64_t)sw_tape_peak_bytes(tape);
        sw_tape_reset(tape);
    }
    sw_set_threads(1);
    expect_no_error();
    const int64_t dim = sw_params_dim(params);
    sw_array copy = test_array(sw_params_type(params), 1, &dim);
    memcpy(copy.data, sw_params_x(params), test_bytes(&copy));
    test_array_free(&x);
    test_array_free(&target);
    sw_tape_free(tape);
    sw_optim_free(optim);
    sw_model_free(m);
    return copy;
}

static void test_convolution_before_a_pool_has_the_same_bits(void **state) {
    (void)state;
    static const sw_dtype types[] = {SW_F32, SW_F64, SW_BF16};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        int64_t apart_peak, peak;
        sw_array apart = train_pools(types[k], false, false, 1, &apart_peak);
        for (int i = 0; i < 4; i++) {
            sw_array joined = train_pools(types[k], true, i == 3, i + 1, &peak);
            assert_memory_equal(apart.data, joined.data, test_bytes(&apart));
            assert_true(peak < apart_peak);
            test_array_free(&joined);
        }
        test_array_free(&apart);
    }
}

/* ---- A pass ---- */

/* A network with pools: whether its build, forward and backward succeed. */
static bool build_and_run(const void *user) {
    const sw_dtype type = *(const sw_dtype *)user;
    sw_model *model = sw_model_new(type, 1);
    sw_tape *tape = sw_tape_new();
    sw_model_set_input_shape(model, SW_SHAPE(9, 9, 2));
    sw_module *root = sw_nn_sequential(
        model, sw_nn_conv2d(model, 0, 4, 2), sw_nn_max_pool2d(model, 2),
        sw_nn_avg_pool2d_with_options(model, 2, 2, &SW_OPTIONS(sw_pool_options, .stride = {1, 1})),
        sw_nn_adaptive_max_pool2d(model, 2, 2), sw_nn_global_avg_pool2d(model), sw_nn_linear(model, 0, 3));
    sw_params *params = sw_model_build(model, root);
    const sw_tensor x = tape ? sw_empty(tape, SW_F32, SW_SHAPE(3, 9, 9, 2)) : (sw_tensor){0};
    bool good = params && !sw_is_null(x);
    if (good)
        good = sw_backward(sw_sum(sw_forward(root, x))) == SW_OK;
    sw_tape_free(tape);
    sw_model_free(model);
    return good;
}

static void test_every_failed_allocation_is_an_error(void **state) {
    (void)state;
    static const sw_dtype types[] = {SW_F32, SW_BF16};
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
#define OPTIONS(...) &SW_OPTIONS(sw_pool_options, __VA_ARGS__)
MAKE(of_five, sw_nn_max_pool2d(m, 5))
MAKE(of_sequences, sw_nn_avg_pool1d(m, 5))
MAKE(global, sw_nn_global_avg_pool2d(m))
MAKE(padded, sw_nn_max_pool2d_with_options(m, 5, 3, OPTIONS(.padding = {1, 0})))
MAKE(dilated, sw_nn_max_pool2d_with_options(m, 3, 3, OPTIONS(.dilation = {3, 1})))
MAKE(no_window, sw_nn_avg_pool2d(m, 0))
MAKE(flat_window, sw_nn_max_pool2d_with_options(m, 2, -1, NULL))
MAKE(stride, sw_nn_max_pool2d_with_options(m, 2, 2, OPTIONS(.stride = {2, 0})))
MAKE(negative_padding, sw_nn_max_pool2d_with_options(m, 2, 2, OPTIONS(.padding = {0, -1})))
MAKE(much_padding, sw_nn_avg_pool2d_with_options(m, 3, 2, OPTIONS(.padding = {2, 0})))
MAKE(dilated_mean, sw_nn_avg_pool2d_with_options(m, 2, 2, OPTIONS(.dilation = {1, 2})))
MAKE(second_axis, sw_nn_max_pool1d_with_options(m, 2, OPTIONS(.stride = {1, 1})))
MAKE(sequence_padding, sw_nn_max_pool1d_with_options(m, 2, OPTIONS(.padding = {2})))
MAKE(no_result, sw_nn_adaptive_avg_pool2d(m, 3, 0))
MAKE(old_options, sw_nn_max_pool2d_with_options(m, 2, 2, &(sw_pool_options){.size = 8}))
MAKE(huge, sw_nn_max_pool2d_with_options(m, 1 << 16, 1 << 16, NULL))

static void test_mistakes_are_explained(void **state) {
    (void)state;
    expect_no_layer(make_of_five, SW_SHAPE(784), SW_ERR_SHAPE,
                    "layer max_pool1: its input has samples [784]; pictures [height, width, channels] are needed (make "
                    "them from vectors with sw_nn_reshape, or use sw_fashion_mnist_pictures?)");
    expect_no_layer(make_of_five, SW_SHAPE(3, 32, 32), SW_ERR_SHAPE,
                    "layer max_pool1: a window that spans 5×5 is larger than the padded picture 3×32; choose a smaller "
                    "one (move the channels to the last axis?)");
    expect_no_layer(
        make_of_five, SW_SHAPE(28, 28), SW_ERR_SHAPE,
        "layer max_pool1: its input has samples [28,28]; pictures [height, width, channels] are needed (add "
        "the axis of one channel with sw_nn_reshape?)");
    expect_no_layer(make_of_sequences, SW_SHAPE(28, 28, 1), SW_ERR_SHAPE,
                    "layer avg_pool1: its input has samples [28,28,1]; sequences [length, channels] are needed");
    expect_no_layer(
        make_global, SW_SHAPE(3), SW_ERR_SHAPE,
        "layer global_avg_pool1: its input has samples [3]; pictures [height, width, channels] are needed (make "
        "them from vectors with sw_nn_reshape, or use sw_fashion_mnist_pictures?)");
    expect_no_layer(make_of_five, SW_SHAPE(4, 6, 2), SW_ERR_SHAPE,
                    "layer max_pool1: a window that spans 5×5 is larger than the padded picture 4×6; choose a smaller "
                    "one");
    expect_no_layer(make_padded, SW_SHAPE(2, 6, 2), SW_ERR_SHAPE,
                    "layer max_pool1: a window that spans 5×3 is larger than the padded picture 4×6; choose a smaller "
                    "one");
    expect_no_layer(make_dilated, SW_SHAPE(6, 6, 2), SW_ERR_SHAPE,
                    "layer max_pool1: a window that spans 7×3 is larger than the padded picture 6×6; choose a smaller "
                    "one");
    expect_no_layer(
        make_of_sequences, SW_SHAPE(4, 2), SW_ERR_SHAPE,
        "layer avg_pool1: a window that spans 5 is larger than the padded sequence 4; choose a smaller one");
    expect_no_layer(make_of_five, SW_SHAPE(0, 6, 2), SW_ERR_ARGUMENT,
                    "layer max_pool1: a picture of 0×6; 1 to 2^31 - 1 along each axis is needed");
}

static void test_mistakes_in_options_are_explained(void **state) {
    (void)state;
    static const struct {
        sw_module *(*make)(sw_model *m);
        const char *message;
    } mistakes[] = {
        {make_no_window, "avg_pool2d: window 0×0; 1 to 2^31 - 1 along each axis is needed"},
        {make_flat_window, "max_pool2d: window 2×-1; 1 to 2^31 - 1 along each axis is needed"},
        {make_stride, "max_pool2d: stride 2×0; 1 to 2^31 - 1, or 0 along all axes for the window, is needed"},
        {make_negative_padding, "max_pool2d: padding 0×-1; 0 to 2^31 - 1 is needed"},
        {make_much_padding, "avg_pool2d: padding 2×0 of a window 3×2; at most half of the window is possible"},
        {make_dilated_mean, "avg_pool2d: dilation 1×2; only max pools have one"},
        {make_second_axis, "max_pool1d: stride, padding or dilation of a second axis; the second number must be 0, "
                           "because there is one axis"},
        {make_sequence_padding, "max_pool1d: padding 2 of a window 2; at most half of the window is possible"},
        {make_no_result, "adaptive_avg_pool2d: a result of 3×0; 1 to 2^31 - 1 along each axis is needed"},
        {make_huge, "max_pool2d: window 65536×65536; at most 2^31 - 1 elements are possible"},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++)
        expect_no_layer(mistakes[i].make, 0, NULL, SW_ERR_ARGUMENT, mistakes[i].message);
    char message[100];
    snprintf(message, sizeof message, "max_pool2d: options.size is 8; sizeof(sw_pool_options) is %zu",
             sizeof(sw_pool_options));
    expect_no_layer(make_old_options, 0, NULL, SW_ERR_ARGUMENT, message);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_names_descriptions_and_shapes_of_pictures),
        TEST(test_names_descriptions_and_shapes_of_sequences),
        TEST(test_shape_of_the_input_need_not_be_known),
        TEST(test_relu_before_a_pool_is_part_of_it),
        TEST(test_convolution_before_a_pool_has_the_same_bits),
        TEST(test_every_failed_allocation_is_an_error),
        TEST(test_mistakes_are_explained),
        TEST(test_mistakes_in_options_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
