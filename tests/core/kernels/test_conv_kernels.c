/* Convolutions and their gradients: against sums of products in f64, with a bound on the error of each element, for
 * random shapes: strides, dilations, paddings, groups, all numbers of channels; equal bits for every number of threads,
 * and on avx2 and avx512. */
#include "support.h"

#include "conv_case.h"

static int64_t between(uint64_t *state, int64_t low, int64_t high) {
    return low + (int64_t)(test_random(state) % (uint64_t)(high - low + 1));
}

/* The length of the output of one axis, at least 1: the padding grows until the kernel fits. `padding` is that before
 * the axis. */
static int64_t out_length(int64_t length, int64_t kernel, int64_t stride, int64_t dilation, int64_t *before,
                          int64_t after) {
    const int64_t span = (kernel - 1) * dilation + 1;
    if (length + *before + after < span)
        *before = span - length - after;
    return (length + *before + after - span) / stride + 1;
}

static sw_conv random_conv(uint64_t *state) {
    const int64_t groups = between(state, 0, 2) ? 1 : between(state, 1, 5), depth = between(state, 0, 3);
    sw_conv c = {
        .size = sizeof c,
        .batch = between(state, 0, 2) ? between(state, 1, 5) : between(state, 8, 27),
        .height = between(state, 1, 12),
        .width = between(state, 1, 20),
        .inputs = groups * between(state, 1, depth ? 12 : 70),
        .outputs = groups * between(state, 1, depth ? 24 : 70),
        .kernel_height = between(state, 1, 5),
        .kernel_width = between(state, 1, 5),
        .stride = {between(state, 0, 1) ? 1 : between(state, 1, 6), between(state, 0, 1) ? 1 : between(state, 1, 6)},
        .dilation = {between(state, 0, 2) ? 1 : between(state, 1, 3), between(state, 0, 2) ? 1 : between(state, 1, 3)},
        .before = {between(state, 0, 6), between(state, 0, 6)},
        .groups = groups};
    if (between(state, 0, 1)) /* "valid", or few zeros */
        c.before[0] = c.before[1] = between(state, 0, 1);
    if (between(state, 0, 7) == 0) { /* depthwise */
        c.groups = c.inputs = between(state, 1, 70);
        c.outputs = c.inputs * between(state, 1, 2);
    }
    c.out_height =
        out_length(c.height, c.kernel_height, c.stride[0], c.dilation[0], &c.before[0], between(state, 0, 3));
    c.out_width = out_length(c.width, c.kernel_width, c.stride[1], c.dilation[1], &c.before[1], between(state, 0, 3));
    return c;
}

static void test_random_shapes(void **test_state) {
    (void)test_state;
    uint64_t state = 18;
    for (int i = 0; i < 200; i++)
        compare_shape(random_conv(&state), (uint64_t)i);
}

/* Every number of channels up to more than two blocks, and the shapes of common networks, in a batch of more samples
 * than parts of a sum. */
static void test_channels_and_networks(void **test_state) {
    (void)test_state;
    for (int64_t channels = 1; channels <= 70; channels++)
        compare_shape(plain_conv(2, 5, 6, channels, 71 - channels, 3, 1, 1), (uint64_t)channels);
    static const int64_t networks[][7] = {
        /* batch, size, inputs, outputs, kernel, stride, zeros */
        {19, 28, 1, 16, 5, 1, 0}, {19, 12, 16, 32, 5, 1, 0}, {19, 14, 16, 32, 3, 1, 1}, {19, 14, 16, 32, 3, 2, 1},
        {2, 14, 32, 64, 1, 2, 0}, {1, 7, 64, 64, 3, 1, 1},   {1, 40, 3, 64, 7, 2, 3}};
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        const int64_t *n = networks[i];
        compare_shape(plain_conv(n[0], n[1], n[1], n[2], n[3], n[4], n[5], n[6]), (uint64_t)i);
    }
}

/* One channel: the gradient of the weights has tiles with all taps of a window. Items have several samples, some of the
 * rows of a sample, or parts of a row; a last item is smaller; outputs do not fill a register. */
static void test_windows_with_one_channel(void **test_state) {
    (void)test_state;
    static const int64_t shapes[][6] = {/* batch, height, width, outputs, kernel, zeros */
                                        {40, 11, 13, 16, 3, 1}, {17, 9, 8, 7, 5, 2},  {16, 45, 40, 3, 5, 2},
                                        {33, 3, 1301, 1, 3, 0}, {18, 6, 7, 17, 5, 0}, {20, 8, 8, 8, 3, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t *s = shapes[i];
        compare_shape(plain_conv(s[0], s[1], s[2], 1, s[3], s[4], 1, s[5]), 4 * i);
    }
}

/* Depthwise: every number of channels, kernels with more taps than a tile, pictures smaller than the kernel, few and
 * many items. */
static void test_depthwise_shapes(void **test_state) {
    (void)test_state;
    for (int64_t channels = 4; channels <= 70; channels++)
        compare_shape((sw_conv){.size = sizeof(sw_conv),
                                .batch = 3,
                                .height = 6,
                                .width = 9,
                                .inputs = channels,
                                .out_height = 6,
                                .out_width = 9,
                                .outputs = channels,
                                .kernel_height = 3,
                                .kernel_width = 3,
                                .stride = {1, 1},
                                .dilation = {1, 1},
                                .before = {1, 1},
                                .groups = channels},
                      (uint64_t)channels);
    uint64_t state = 19;
    for (int i = 0; i < 60; i++) {
        sw_conv c = random_conv(&state);
        c.inputs = c.outputs = c.groups = between(&state, 8, 100);
        c.height = between(&state, 1, 30);
        c.kernel_height = between(&state, 1, 7);
        c.out_height = out_length(c.height, c.kernel_height, c.stride[0], c.dilation[0], &c.before[0], 2);
        compare_shape(c, (uint64_t)i);
    }
}

/* Empty arrays: y is the bias where there are no terms, gradients are 0, and nothing is read. */
static void test_empty(void **test_state) {
    (void)test_state;
    const sw_conv base = {.size = sizeof base,
                          .batch = 2,
                          .height = 4,
                          .width = 4,
                          .inputs = 3,
                          .out_height = 3,
                          .out_width = 3,
                          .outputs = 5,
                          .kernel_height = 2,
                          .kernel_width = 2,
                          .stride = {1, 1},
                          .dilation = {1, 1},
                          .groups = 1};
    sw_conv c = base;
    c.batch = 0;
    compare_shape(c, 1);
    c = base;
    c.inputs = 0;
    compare_shape(c, 2);
    c = base;
    c.outputs = 0;
    compare_shape(c, 3);
    c = base;
    c.height = 0;
    c.out_height = 2;
    c.before[0] = 3;
    compare_shape(c, 4);
    c = base;
    c.out_width = 0;
    compare_shape(c, 5);
}

static void test_mistakes(void **test_state) {
    (void)test_state;
    sw_conv c = {.size = sizeof c - 1, .type = SW_F32};
    assert_int_equal(sw_conv_forward(&c, NULL, NULL, NULL, NULL, NULL, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "conv: its size must be sizeof(sw_conv)");
    assert_int_equal(sw_conv_input_gradient(NULL, NULL, NULL, NULL, NULL, 0), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "conv: it is NULL");
    c = (sw_conv){.size = sizeof c, .type = SW_F16};
    assert_int_equal(sw_conv_weight_gradient(&c, NULL, NULL, NULL, NULL, 0), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "conv: the type is f16; f32 or f64 is needed");
}

/* Zeros around a picture that would take more memory than there is: they are not copied. */
static void test_zeros_larger_than_any_memory(void **test_state) {
    (void)test_state;
    static const int64_t shapes[][6] = {/* batch, size, inputs and outputs of a group, groups, stride */
                                        {1, 1, 1, 1, 1, 1},
                                        {3, 5, 3, 20, 1, 1},
                                        {2, 4, 16, 33, 2, 1},
                                        {20, 3, 5, 8, 3, 1},
                                        {2, 4, 8, 8, 1, 1 << 30}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t *s = shapes[i], far = (int64_t)1 << 30, out = s[5] > 1 ? 3 : s[1];
        const sw_conv c = {.size = sizeof c,
                           .type = SW_F32,
                           .batch = s[0],
                           .height = s[1],
                           .width = s[1] + 1,
                           .inputs = s[2] * s[4],
                           .out_height = out,
                           .out_width = out + 1,
                           .outputs = s[3] * s[4],
                           .kernel_height = 3,
                           .kernel_width = 3,
                           .stride = {s[5], s[5]},
                           .dilation = {far, far},
                           .before = {far, far},
                           .groups = s[4]};
        for (int which = 0; which < 3; which++)
            assert_true(scratch_bytes(&c, which) < 1 << 20);
        compare_shape(c, 4 * i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_shapes),
                                       cmocka_unit_test(test_channels_and_networks),
                                       cmocka_unit_test(test_windows_with_one_channel),
                                       cmocka_unit_test(test_depthwise_shapes),
                                       cmocka_unit_test(test_empty),
                                       cmocka_unit_test(test_mistakes),
                                       cmocka_unit_test(test_zeros_larger_than_any_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
