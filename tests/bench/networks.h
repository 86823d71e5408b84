/* The convolutional networks of the benchmarks. Samples are pictures [28, 28, 1].
 *
 *     lenet     5×5 valid 16, max pool 2, 5×5 valid 32, max pool 2, 128, 10
 *     average   3×3 same 16, average pool 2, 3×3 same 32, average pool 2, 64, 10
 *     resnet8   3×3 same 16, batch norm; blocks of 16, 32 and 64 channels with batch norm, the last two with stride 2;
 *               global average, 10 (He et al., CVPR 2016, for CIFAR, with n = 1)
 */
#ifndef SWALE_BENCH_NETWORKS_H
#define SWALE_BENCH_NETWORKS_H

#include <string.h>
#include <swale/swale.h>

static inline sw_module *bench_conv(sw_model *m, int outputs, int kernel, int stride, bool same, bool bias) {
    return sw_nn_conv2d_with_options(
        m, 0, outputs, kernel, kernel,
        &SW_OPTIONS(sw_conv_options, .stride = {stride, stride}, .same = same, .no_bias = !bias));
}

static inline sw_module *bench_lenet(sw_model *m) {
    return sw_nn_sequential(m, bench_conv(m, 16, 5, 1, false, true), sw_nn_relu(m), sw_nn_max_pool2d(m, 2),
                            bench_conv(m, 32, 5, 1, false, true), sw_nn_relu(m), sw_nn_max_pool2d(m, 2),
                            sw_nn_flatten(m), sw_nn_linear(m, 0, 128), sw_nn_relu(m), sw_nn_linear(m, 0, 10));
}

static inline sw_module *bench_average(sw_model *m) {
    return sw_nn_sequential(m, bench_conv(m, 16, 3, 1, true, true), sw_nn_relu(m), sw_nn_avg_pool2d(m, 2),
                            bench_conv(m, 32, 3, 1, true, true), sw_nn_relu(m), sw_nn_avg_pool2d(m, 2),
                            sw_nn_flatten(m), sw_nn_linear(m, 0, 64), sw_nn_relu(m), sw_nn_linear(m, 0, 10));
}

static inline sw_module *bench_network(sw_model *m, const char *name) {
    if (strcmp(name, "lenet") == 0)
        return bench_lenet(m);
    if (strcmp(name, "average") == 0)
        return bench_average(m);
    return sw_nn_resnet(m, 8, 16, 10);
}

/* The same for samples that are vectors, as those of sw_fashion_mnist. */
static inline sw_module *bench_network_of_vectors(sw_model *m, const char *name) {
    const int64_t features = 784, picture[3] = {28, 28, 1};
    sw_model_set_input_shape(m, 1, &features);
    return sw_nn_sequential(m, sw_nn_reshape(m, 3, picture), bench_network(m, name));
}

#endif
