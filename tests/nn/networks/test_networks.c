/* The networks and the basic block: shapes, values against operations, memory, messages, files, wrong calls. */
#define _GNU_SOURCE
#include "nn/helpers.h"

#include "nn/torch_fill.h"

static sw_model *picture_model(sw_dtype type, const int64_t sample[3]) {
    sw_model *m = sw_model_new(type, 3);
    assert_ok(sw_model_set_input_shape(m, 3, sample));
    return m;
}

static const sw_sample_shape *output_of(const sw_module *root, int index) {
    return &sw_module_child(root, index)->out;
}

static void expect_shape(const sw_sample_shape *s, int rank, const int64_t *length) {
    assert_true(sw_shape_equal(s->rank, s->length, rank, length));
}

/* ---- Shapes, parameters ---- */

static void test_lenet_has_the_usual_shapes(void **state) {
    (void)state;
    sw_model *m = picture_model(SW_F32, (int64_t[]){28, 28, 1});
    sw_module *root = sw_nn_lenet(m, 10);
    sw_params *p = built(m, root);
    assert_int_equal(sw_params_dim(p), 16 * 26 + 32 * 401 + 128 * 513 + 10 * 129);
    expect_shape(output_of(root, 0), SW_SHAPE(24, 24, 16));
    expect_shape(output_of(root, 2), SW_SHAPE(12, 12, 16));
    expect_shape(output_of(root, 5), SW_SHAPE(4, 4, 32));
    expect_shape(&root->out, SW_SHAPE(10));
    assert_int_equal(sw_params_find(p, "fc2.weight")->role, SW_ROLE_HEAD);
    sw_model_free(m);
    m = picture_model(SW_F32, (int64_t[]){16, 16, 3});
    root = sw_nn_lenet(m, 2);
    built(m, root);
    expect_shape(output_of(root, 5), SW_SHAPE(1, 1, 32));
    sw_model_free(m);
    expect_no_error();
}

static void test_resnets_have_the_usual_shapes(void **state) {
    (void)state;
    sw_model *m = picture_model(SW_F32, (int64_t[]){32, 32, 3});
    sw_module *root = sw_nn_resnet(m, 20, 16, 10);
    sw_params *p = built(m, root);
    /* 19 convolutions 3x3 and 2 of 1x1; the numbers of the paper, 0.27M, with shortcuts by convolutions */
    assert_int_equal(sw_params_dim(p) - sw_params_buffer_dim(p), 272474);
    expect_shape(output_of(root, 2), SW_SHAPE(32, 32, 16));
    expect_shape(output_of(root, 5), SW_SHAPE(32, 32, 16));
    expect_shape(output_of(root, 8), SW_SHAPE(16, 16, 32));
    expect_shape(output_of(root, 11), SW_SHAPE(8, 8, 64));
    expect_shape(output_of(root, 12), SW_SHAPE(64));
    assert_true(sw_params_find(p, "layer3.2.bn2.running_var")->buffer);
    assert_null(sw_params_find(p, "layer1.0.downsample.0.weight"));
    assert_int_equal(sw_params_find(p, "fc.weight")->role, SW_ROLE_HEAD);
    sw_model_free(m);
    m = picture_model(SW_F32, (int64_t[]){224, 224, 3});
    root = sw_nn_resnet18(m, 1000);
    p = built(m, root);
    assert_int_equal(sw_params_dim(p) - sw_params_buffer_dim(p), 11689512); /* torchvision's number */
    expect_shape(output_of(root, 0), SW_SHAPE(112, 112, 64));
    expect_shape(output_of(root, 3), SW_SHAPE(56, 56, 64));
    expect_shape(output_of(root, 11), SW_SHAPE(7, 7, 512));
    sw_model_free(m);
    m = picture_model(SW_F32, (int64_t[]){224, 224, 3});
    p = built(m, sw_nn_resnet34(m, 1000));
    assert_int_equal(sw_params_dim(p) - sw_params_buffer_dim(p), 21797672);
    sw_model_free(m);
    expect_no_error();
}

/* ---- The basic block ---- */

/* A batch norm with running statistics, of x in channels. */
static sw_tensor normalized(const sw_params *p, const char *name, sw_tensor x) {
    char full[64];
    sw_tensor part[4];
    static const char *const suffix[4] = {"running_mean", "running_var", "weight", "bias"};
    for (int i = 0; i < 4; i++) {
        snprintf(full, sizeof full, "%s.%s", name, suffix[i]);
        part[i] = sw_param_use(x.tape, sw_params_find(p, full));
    }
    const sw_tensor root = sw_sqrt(sw_add(part[1], sw_constant(x.tape, SW_F64, 1e-5)));
    return sw_add(sw_mul(sw_div(sw_sub(x, part[0]), root), part[2]), part[3]);
}

static sw_tensor convolved(const sw_params *p, const char *name, sw_tensor x, int64_t stride, int64_t padding) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    return sw_conv2d(
        x, sw_param_use(x.tape, sw_params_find(p, full)), (sw_tensor){0},
        &SW_OPTIONS(sw_conv_options, .stride = {stride, stride}, .padding = {padding, padding}, .no_bias = true));
}

/* The block against its definition, in evaluation; with a shortcut by a convolution, because of the stride or because
 * of the channels, and without one. */
static void test_basic_block_is_its_definition(void **state) {
    (void)state;
    static const int64_t cases[][3] = {{3, 3, 1}, {3, 4, 1}, {3, 3, 2}, {2, 4, 3}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const int64_t inputs = cases[k][0], outputs = cases[k][1], stride = cases[k][2];
        sw_model *m = picture_model(SW_F64, (int64_t[]){5, 6, inputs});
        sw_module *block = sw_module_set_name(sw_nn_basic_block(m, inputs, outputs, stride), "b");
        sw_params *p = built(m, block);
        torch_fill(p, 8);
        sw_tape *tape = sw_tape_new();
        sw_tape_set_switch(tape, SW_TRAIN, false);
        sw_array a = test_filled(SW_F64, SW_SHAPE(2, 5, 6, inputs), -1, 1, 9);
        const sw_tensor x = sw_input(tape, a), y = sw_forward(block, x);
        sw_tensor h = sw_relu(normalized(p, "b.bn1", convolved(p, "b.conv1", x, stride, 1)));
        h = normalized(p, "b.bn2", convolved(p, "b.conv2", h, 1, 1));
        const bool shortcut = stride != 1 || inputs != outputs;
        h = sw_relu(
            sw_add(h, shortcut ? normalized(p, "b.downsample.1", convolved(p, "b.downsample.0", x, stride, 0)) : x));
        expect_no_error();
        const sw_array one = sw_value(y), other = sw_value(h);
        assert_true(sw_shape_equal(one.rank, one.shape, other.rank, other.shape));
        for (int64_t i = 0; i < sw_array_count(&one); i++)
            assert_true(fabs(test_get(&one, i) - test_get(&other, i)) < 1e-12);
        sw_tape_free(tape);
        test_array_free(&a);
        sw_model_free(m);
    }
}

/* Blocks release their intermediate tensors: in a pass that is not recorded, four of them need no more memory than
 * two. (The input of the first one is not on the tape.) */
static void test_basic_block_releases_its_tensors(void **state) {
    (void)state;
    size_t peak[2];
    for (int k = 0; k < 2; k++) {
        const int blocks = k ? 4 : 2;
        sw_model *m = picture_model(SW_F32, (int64_t[]){16, 16, 8});
        sw_module *list[4];
        for (int i = 0; i < blocks; i++)
            list[i] = sw_nn_basic_block(m, 8, 8, 1);
        sw_module *root = sw_nn_sequential_array(m, blocks, list);
        built(m, root);
        sw_tape *tape = sw_tape_new();
        sw_tape_set_switch(tape, SW_RECORD | SW_TRAIN, false);
        sw_array a = test_filled(SW_F32, SW_SHAPE(4, 16, 16, 8), -1, 1, 9);
        assert_false(sw_is_null(sw_forward(root, sw_input(tape, a))));
        peak[k] = sw_tape_peak_bytes(tape);
        sw_tape_free(tape);
        test_array_free(&a);
        sw_model_free(m);
    }
    const size_t activation = 4 * 16 * 16 * 8 * sizeof(float);
    assert_true(peak[0] >= 3 * activation && peak[1] < peak[0] + activation / 4);
    expect_no_error();
}

/* ---- Files ---- */

static void test_descriptions_restore_the_networks(void **state) {
    (void)state;
    for (int k = 0; k < 3; k++) {
        sw_model *m = picture_model(SW_F32, (int64_t[]){32, 32, 3});
        built(m, k == 0   ? sw_nn_lenet(m, 10)
                 : k == 1 ? sw_nn_resnet(m, 8, 4, 10)
                          : sw_nn_resnet_with_options(m, 18, 2, 10, &SW_OPTIONS(sw_resnet_options, .imagenet = true)));
        char *text = sw_model_description(m);
        assert_non_null(text);
        sw_model *again = sw_model_new_from_description(text);
        assert_non_null(again);
        char *same = sw_model_description(again);
        assert_string_equal(text, same);
        sw_free(text);
        sw_free(same);
        sw_model_free(m);
        sw_model_free(again);
    }
    expect_no_error();
}

static void test_wrong_blocks_in_descriptions_are_refused(void **state) {
    (void)state;
    sw_model *model = sw_model_new_from_description(
        "{\"format\":1,\"inputs\":[[4,4,2]],\"parameters\":{},\"root\":{\"layers\":[{\"name\":\"relu1\",\"type\":"
        "\"relu\"}],\"name\":\"b\",\"type\":\"basic_block\"},\"seed\":\"1\",\"type\":\"f32\"}");
    assert_null(model);
    expect_error(SW_ERR_FORMAT, "layer b: 1 inner layers; 4 or 6 are needed");
    static const char *const relu = "{\"name\":\"relu%d\",\"type\":\"relu\"}%s";
    char layers[400] = "", text[800];
    for (int i = 1; i <= 5; i++)
        snprintf(layers + strlen(layers), sizeof layers - strlen(layers), relu, i, ",");
    snprintf(text, sizeof text,
             "{\"format\":1,\"inputs\":[[4,4,2]],\"parameters\":{},\"root\":{\"layers\":[%s{\"name\":\"f\",\"type\":"
             "\"flatten\"}],\"name\":\"b\",\"type\":\"basic_block\"},\"seed\":\"1\",\"type\":\"f32\"}",
             layers);
    assert_null(sw_model_new_from_description(text));
    expect_error(SW_ERR_SHAPE,
                 "layer b: the convolutions make [4,4,2], and the shortcut makes [32]; the shapes must be equal");
}

/* ---- Mistakes ---- */

static void expect_refused(sw_model *m, sw_module *root, sw_status status, const char *message) {
    if (root)
        assert_null(sw_model_build(m, root));
    expect_error(status, message);
    sw_model_free(m);
}

static void test_wrong_networks_are_refused(void **state) {
    (void)state;
    static const int depths[] = {2, 6, 9, 10, 1208, -4};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        char text[100];
        snprintf(text, sizeof text, "resnet: depth %d; 6n + 2 is needed: 8, 14, 20, …, 1202", depths[i]);
        sw_model *m = sw_model_new(SW_F32, 1);
        expect_refused(m, sw_nn_resnet(m, depths[i], 16, 10), SW_ERR_ARGUMENT, text);
    }
    sw_model *m = sw_model_new(SW_F32, 1);
    expect_refused(m, sw_nn_resnet_with_options(m, 20, 16, 10, &SW_OPTIONS(sw_resnet_options, .imagenet = true)),
                   SW_ERR_ARGUMENT, "resnet: depth 20; 18 or 34 is needed with the option imagenet");
    m = sw_model_new(SW_F32, 1);
    expect_refused(m, sw_nn_resnet(m, 8, 0, 10), SW_ERR_ARGUMENT, "resnet: width 0; 1 to 1048576 is needed");
    m = sw_model_new(SW_F32, 1);
    expect_refused(m, sw_nn_resnet(m, 8, 16, 0), SW_ERR_ARGUMENT, "resnet: 0 classes; 1 or more are needed");
    m = picture_model(SW_F32, (int64_t[]){28, 28, 1});
    expect_refused(m, sw_nn_lenet(m, 0), SW_ERR_ARGUMENT, "lenet: 0 classes; 1 or more are needed");
    m = sw_model_new(SW_F32, 1);
    expect_refused(m, sw_nn_resnet_with_options(m, 8, 16, 10, &SW_OPTIONS(sw_resnet_options, .inputs = -1)),
                   SW_ERR_ARGUMENT, "resnet: -1 inputs; 0 (open) to 2^31 - 1 are needed");
    m = picture_model(SW_F32, (int64_t[]){3, 32, 32});
    expect_refused(
        m, sw_nn_resnet(m, 8, 16, 10), SW_ERR_SHAPE,
        "layer conv1: samples [3,32,32] seem to be [channels, height, width], but the channels are the last "
        "axis (reorder the axes with sw_array_permute; if there are 32 channels, give the number of inputs)");
    m = picture_model(SW_F32, (int64_t[]){3, 32, 32});
    built(m, sw_nn_resnet_with_options(m, 8, 16, 10, &SW_OPTIONS(sw_resnet_options, .inputs = 32)));
    sw_model_free(m);
    m = sw_model_new(SW_F32, 1);
    expect_refused(m, sw_nn_basic_block(m, 3, 0, 1), SW_ERR_ARGUMENT,
                   "basic_block: 3 inputs, 0 outputs, stride 1; 1 or more are needed");
    m = picture_model(SW_F32, (int64_t[]){8, 8, 3});
    expect_refused(m, sw_nn_basic_block(m, 4, 4, 1), SW_ERR_SHAPE,
                   "layer basic_block1.conv1: takes 4 channels, but its input has 3, the last axis of samples [8,8,3]");
    m = picture_model(SW_F32, (int64_t[]){8, 8, 3});
    sw_module *two =
        sw_nn_sequential(m, sw_nn_resnet(m, 8, 4, 3), sw_nn_reshape(m, SW_SHAPE(1, 1, 3)), sw_nn_resnet(m, 8, 4, 3));
    expect_refused(m, two, SW_ERR_ARGUMENT, "layer conv1: another layer has this name");
    assert_null(sw_nn_resnet(NULL, 8, 4, 3));
    expect_error(SW_ERR_ARGUMENT, "conv: the model is NULL");
}

static bool build_resnet(const void *user) {
    (void)user;
    sw_model *m = sw_model_new(SW_F32, 1);
    const bool good = m && sw_model_set_input_shape(m, SW_SHAPE(8, 8, 1)) == SW_OK &&
                      sw_model_build(m, sw_nn_resnet(m, 8, 2, 3)) != NULL;
    sw_model_free(m);
    return good;
}

static void test_networks_survive_failed_allocations(void **state) {
    (void)state;
    expect_failed_allocations(build_resnet, NULL, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_lenet_has_the_usual_shapes),        TEST(test_resnets_have_the_usual_shapes),
        TEST(test_basic_block_is_its_definition),     TEST(test_basic_block_releases_its_tensors),
        TEST(test_descriptions_restore_the_networks), TEST(test_wrong_blocks_in_descriptions_are_refused),
        TEST(test_wrong_networks_are_refused),        TEST(test_networks_survive_failed_allocations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
