/* The order, in files with channels first, of parameters behind flattened samples: which layers keep it, which end it,
 * and where it is not known. */
#define _GNU_SOURCE
#include "nn/helpers.h"

#include "files.h"

enum { H = 2, W = 3, C = 4, N = H * W * C, OUT = 2 };

/* Builds a model for inputs of this shape (rank -1: not known) whose last layer is linear, and returns the order of its
 * weight [OUT, features]. */
static sw_file_order order_of(sw_model *m, sw_module *root, int rank, const int64_t *shape) {
    if (rank >= 0)
        assert_ok(sw_model_set_input_shape(m, rank, shape));
    sw_params *p = built(m, root);
    const sw_param *last = NULL;
    for (int i = 0; i < sw_params_count(p); i++)
        if (sw_params_at(p, i)->rank == 2)
            last = sw_params_at(p, i);
    const sw_file_order order = last->channels_first;
    sw_model_free(m);
    return order;
}

/* The columns of [OUT, lengths..., c] become those of [OUT, c, lengths...]. */
static void expect_moved(sw_file_order o, int rank, const int64_t *sample) {
    assert_int_equal(o.rank, rank + 1);
    assert_true(o.view[0] == OUT && sw_shape_equal(rank, o.view + 1, rank, sample));
    assert_true(o.axes[0] == 0 && o.axes[1] == rank);
    for (int i = 2; i <= rank; i++)
        assert_int_equal(o.axes[i], i - 1);
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= sample[i];
    assert_true(sw_shape_equal(o.file_rank, o.file_shape, 2, (int64_t[]){OUT, count}));
}

#define PICTURE SW_SHAPE(H, W, C)

static sw_module *head(sw_model *m) {
    return sw_nn_linear(m, 0, OUT);
}

static sw_module *flat_then(sw_model *m, sw_module *between) {
    return sw_nn_sequential(m, sw_nn_flatten(m), between, head(m));
}

static void test_elementwise_layers_keep_the_order(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F32, 1);
    expect_moved(order_of(m, sw_nn_sequential(m, sw_nn_relu(m), sw_nn_flatten(m), head(m)), PICTURE), PICTURE);
    m = sw_model_new(SW_F32, 1);
    expect_moved(order_of(m, flat_then(m, sw_nn_dropout(m, 0.5)), PICTURE), PICTURE);
    m = sw_model_new(SW_F32, 1);
    expect_moved(order_of(m, flat_then(m, sw_nn_flatten(m)), PICTURE), PICTURE);
    m = sw_model_new(SW_F32, 1);
    expect_moved(order_of(m, flat_then(m, sw_nn_recompute(m, sw_nn_gelu(m))), PICTURE), PICTURE);
    m = sw_model_new(SW_F32, 1);
    expect_moved(order_of(m, flat_then(m, sw_nn_residual(m, sw_nn_tanh(m))), PICTURE), PICTURE);
    m = sw_model_new(SW_F32, 1);
    expect_moved(order_of(m, sw_nn_sequential(m, sw_nn_reshape(m, SW_SHAPE(N)), head(m)), PICTURE), PICTURE);
    m = sw_model_new(SW_F32, 1); /* a vector that becomes a picture */
    expect_moved(order_of(m, sw_nn_sequential(m, sw_nn_reshape(m, PICTURE), flat_then(m, sw_nn_relu(m))), SW_SHAPE(N)),
                 PICTURE);
    m = sw_model_new(SW_F32, 1); /* a linear layer on each pixel */
    expect_moved(order_of(m, sw_nn_sequential(m, sw_nn_linear(m, 0, 5), flat_then(m, sw_nn_relu(m))), PICTURE),
                 SW_SHAPE(H, W, 5));
    expect_no_error();
}

static void test_other_samples_have_the_order_of_pytorch(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F32, 1);
    assert_int_equal(order_of(m, flat_then(m, sw_nn_relu(m)), SW_SHAPE(H, W)).rank, 0); /* no channels */
    m = sw_model_new(SW_F32, 1);
    assert_int_equal(order_of(m, flat_then(m, sw_nn_relu(m)), SW_SHAPE(H, W, 1)).rank, 0);
    m = sw_model_new(SW_F32, 1);
    assert_int_equal(order_of(m, flat_then(m, sw_nn_relu(m)), SW_SHAPE(1, 1, C)).rank, 0);
    m = sw_model_new(SW_F32, 1);
    assert_int_equal(order_of(m, flat_then(m, sw_nn_linear(m, 0, 5)), PICTURE).rank, 0);
    m = sw_model_new(SW_F32, 1); /* tokens */
    sw_module *tokens = sw_nn_reshape(m, SW_SHAPE(H * W, C));
    assert_int_equal(order_of(m, sw_nn_sequential(m, tokens, sw_nn_flatten(m), head(m)), PICTURE).rank, 0);
    m = sw_model_new(SW_F32, 1);
    sw_module *words = sw_nn_embedding(m, 10, 3);
    assert_int_equal(order_of(m, sw_nn_sequential(m, words, sw_nn_flatten(m), head(m)), SW_SHAPE(H, W)).rank, 0);
    m = sw_model_new(SW_F32, 1); /* no flatten, and unknown samples */
    assert_int_equal(order_of(m, sw_nn_sequential(m, sw_nn_linear(m, 7, 5), sw_nn_relu(m), head(m)), -1, NULL).rank, 0);
    expect_no_error();
}

/* A layer of sequences as a convolution is: the channels are last, and PyTorch has them first. */
static sw_status sequence_build(sw_module *m, sw_sample_shape *shape) {
    (void)m;
    *shape = (sw_sample_shape){.rank = 2, .length = {W, C}, .spatial = 1};
    return SW_OK;
}

static sw_tensor sequence_forward(sw_module *m, sw_tensor x) {
    (void)m;
    return sw_reshape(x, 3, (int64_t[]){sw_value(x).shape[0], W, C});
}

static const sw_module_type sequence_type = {
    .size = sizeof(sw_module_type), .name = "sequence", .build = sequence_build, .forward = sequence_forward};

static void test_channels_of_sequences_move_too(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F32, 1);
    sw_module *first = sw_module_new(m, &sequence_type, 0);
    expect_moved(order_of(m, sw_nn_sequential(m, first, flat_then(m, sw_nn_relu(m))), SW_SHAPE(W * C)), SW_SHAPE(W, C));
    expect_no_error();
}

static void test_order_is_not_known_without_the_sample(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F32, 1);
    sw_module *given = sw_nn_linear(m, N, OUT);
    assert_int_equal(order_of(m, sw_nn_sequential(m, sw_nn_flatten(m), sw_nn_relu(m), given), -1, NULL).rank, -1);
    m = sw_model_new(SW_F32, 1);
    given = sw_nn_linear(m, N, OUT);
    assert_int_equal(order_of(m, sw_nn_sequential(m, sw_nn_reshape(m, SW_SHAPE(N)), given), -1, NULL).rank, -1);
    m = sw_model_new(SW_F32, 1); /* the outputs of f are added to a flattened sample */
    sw_module *f = sw_nn_residual(m, sw_nn_linear(m, 0, N));
    assert_int_equal(order_of(m, flat_then(m, f), PICTURE).rank, -1);
    expect_no_error();
}

/* ---- Composed layers ---- */

static sw_tensor call_in_order(sw_module *self, sw_tensor x) {
    for (int i = 0; i < self->children; i++)
        x = sw_forward(sw_module_child(self, i), x);
    return x;
}

static sw_tensor flat_relu_linear(sw_module *self, sw_tensor x) {
    const sw_tensor flat = sw_forward(sw_module_child(self, 0), sw_add(x, x));
    return sw_forward(sw_module_child(self, 1), sw_relu(flat));
}

static sw_tensor crop_flat_linear(sw_module *self, sw_tensor x) {
    const sw_tensor rows = sw_slice(x, 1, 0, 1);
    return sw_forward(sw_module_child(self, 1), sw_forward(sw_module_child(self, 0), rows));
}

static sw_tensor reshape_linear(sw_module *self, sw_tensor x) {
    const sw_tensor flat = sw_reshape(x, 2, (int64_t[]){sw_value(x).shape[0], N});
    return sw_forward(sw_module_child(self, 1), sw_forward(sw_module_child(self, 0), flat));
}

static sw_module *composed(sw_model *m, sw_tensor (*forward)(sw_module *self, sw_tensor x)) {
    return sw_nn_compose(m, "block", forward, sw_nn_flatten(m), head(m));
}

/* Layers that a function calls, with operations between them; and a composed layer around a composed one. */
static void test_composed_layers_keep_the_order(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F32, 1);
    expect_moved(order_of(m, composed(m, call_in_order), PICTURE), PICTURE);
    m = sw_model_new(SW_F32, 1);
    expect_moved(order_of(m, composed(m, flat_relu_linear), PICTURE), PICTURE);
    m = sw_model_new(SW_F32, 1);
    expect_moved(order_of(m, composed(m, crop_flat_linear), PICTURE), SW_SHAPE(1, W, C));
    m = sw_model_new(SW_F32, 1);
    expect_moved(order_of(m, sw_nn_compose(m, "outer", call_in_order, composed(m, flat_relu_linear)), PICTURE),
                 PICTURE);
    m = sw_model_new(SW_F32, 1); /* an operation flattens: nothing says that it was a picture */
    assert_int_equal(order_of(m, composed(m, reshape_linear), PICTURE).rank, -1);
    m = sw_model_new(SW_F32, 1);
    sw_module *block = sw_nn_compose(m, "block", call_in_order, sw_nn_flatten(m));
    expect_moved(order_of(m, sw_nn_sequential(m, block, head(m)), PICTURE), PICTURE);
    expect_no_error();
}

static bool build_composed(const void *user) {
    (void)user;
    sw_model *m = sw_model_new(SW_F32, 1);
    bool good = m && sw_model_set_input_shape(m, PICTURE) == SW_OK &&
                sw_model_build(m, sw_nn_compose(m, "outer", call_in_order, composed(m, flat_relu_linear))) != NULL;
    sw_model_free(m);
    return good;
}

static void test_composed_build_survives_failed_allocations(void **state) {
    (void)state;
    expect_failed_allocations(build_composed, NULL, 20);
}

/* ---- Files ---- */

static sw_model *picture_model(uint64_t seed) {
    sw_model *m = sw_model_new(SW_F64, seed);
    assert_ok(sw_model_set_input_shape(m, PICTURE));
    built(m, sw_nn_sequential(m, sw_nn_linear(m, 0, C), flat_then(m, sw_nn_relu(m))));
    return m;
}

/* The linear layer of the file computes with pictures [c,h,w] what that of the model computes with [h,w,c]; and the
 * file makes the model again. */
static void test_saved_weight_fits_channels_first(void **state) {
    (void)state;
    const char *path = path_of("model");
    sw_model *one = picture_model(1), *two = picture_model(2);
    assert_ok(sw_model_save_with_options(one, path, &SW_OPTIONS(sw_save_options, .channels_first = true)));
    sw_archive *a = sw_archive_load(path);
    const double *there = sw_archive_get(a, "linear2.weight").data,
                 *here = sw_param_value(sw_params_find(sw_model_params(one), "linear2.weight")).data;
    for (int o = 0; o < OUT; o++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                for (int c = 0; c < C; c++)
                    assert_true(there[o * N + (c * H + y) * W + x] == here[o * N + (y * W + x) * C + c]);
    sw_archive_free(a);
    const size_t size = (size_t)sw_params_dim(sw_model_params(one)) * sizeof(double);
    assert_ok(sw_model_load_with_options(two, path, &SW_OPTIONS(sw_load_options, .channels_first = true)));
    assert_memory_equal(sw_params_x(sw_model_params(one)), sw_params_x(sw_model_params(two)), size);
    sw_model *again = sw_model_new_from_file(path); /* the text of the file gives the order */
    assert_non_null(again);
    assert_memory_equal(sw_params_x(sw_model_params(one)), sw_params_x(sw_model_params(again)), size);
    sw_model_free(one);
    sw_model_free(two);
    sw_model_free(again);
    remove_file(path);
    expect_no_error();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_elementwise_layers_keep_the_order), TEST(test_other_samples_have_the_order_of_pytorch),
        TEST(test_channels_of_sequences_move_too),    TEST(test_order_is_not_known_without_the_sample),
        TEST(test_composed_layers_keep_the_order),    TEST(test_composed_build_survives_failed_allocations),
        TEST(test_saved_weight_fits_channels_first),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
