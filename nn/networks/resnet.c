/* Residual networks of basic blocks (K. He, X. Zhang, S. Ren, J. Sun: Deep residual learning for image recognition,
 * CVPR 2016): for small pictures, and for ImageNet. */
#include <swale/extend.h>
#include <swale/nn.h>

enum { MOST_STAGES = 4, STEM_LAYERS = 4, HEAD_LAYERS = 2, MOST_DEPTH = 1202 };

/* The number of blocks in each stage, and of stages. */
typedef struct resnet_stages {
    int count, blocks[MOST_STAGES];
} resnet_stages;

static sw_status resnet_find_stages(int depth, bool imagenet, resnet_stages *stages) {
    if (imagenet) {
        *stages = (resnet_stages){4, {2, 2, 2, 2}};
        if (depth == 34)
            *stages = (resnet_stages){4, {3, 4, 6, 3}};
        return depth == 18 || depth == 34
                   ? SW_OK
                   : sw_fail(SW_ERR_ARGUMENT, "resnet: depth %d; 18 or 34 is needed with the option imagenet", depth);
    }
    if (depth < 8 || depth > MOST_DEPTH || depth % 6 != 2)
        return sw_fail(SW_ERR_ARGUMENT, "resnet: depth %d; 6n + 2 is needed: 8, 14, 20, …, %d", depth, MOST_DEPTH);
    const int n = depth / 6;
    *stages = (resnet_stages){3, {n, n, n}};
    return SW_OK;
}

static sw_module *resnet_stem_conv(sw_model *model, int64_t width, const sw_resnet_options *o) {
    const bool imagenet = o->imagenet;
    const int64_t kernel = imagenet ? 7 : 3, stride = imagenet ? 2 : 1;
    const sw_conv_options options =
        SW_OPTIONS(sw_conv_options, .stride = {stride, stride}, .padding = {kernel / 2, kernel / 2}, .no_bias = true);
    sw_module *conv = sw_nn_conv2d_with_options(model, o->inputs, width, kernel, kernel, &options);
    return sw_module_set_name(conv, "conv1");
}

/* Writes the first layers to the list, and returns their number. */
static int resnet_stem(sw_model *model, int64_t width, const sw_resnet_options *o, sw_module **list) {
    int count = 0;
    list[count++] = resnet_stem_conv(model, width, o);
    list[count++] = sw_module_set_name(sw_nn_batch_norm(model, width), "bn1");
    list[count++] = sw_nn_relu(model);
    if (o->imagenet)
        list[count++] = sw_nn_max_pool2d_with_options(
            model, 3, 3, &SW_OPTIONS(sw_pool_options, .stride = {2, 2}, .padding = {1, 1}));
    return count;
}

/* Writes the blocks to the list, and returns their number. The width doubles, and height and width of the pictures are
 * halved, from stage to stage. *outputs becomes the width of the last one. */
static int resnet_blocks(sw_model *model, const resnet_stages *stages, int64_t width, sw_module **list,
                         int64_t *outputs) {
    int count = 0;
    int64_t inputs = width;
    for (int stage = 0; stage < stages->count; stage++) {
        *outputs = width << stage;
        for (int i = 0; i < stages->blocks[stage]; i++) {
            char name[32];
            sw_format(name, sizeof name, "layer%d.%d", stage + 1, i);
            sw_module *block = sw_nn_basic_block(model, inputs, *outputs, stage > 0 && i == 0 ? 2 : 1);
            list[count++] = sw_module_set_name(block, name);
            inputs = *outputs;
        }
    }
    return count;
}

static sw_status resnet_check_sizes(int64_t width, int64_t classes, int64_t inputs) {
    enum { MOST_WIDTH = 1 << 20 };
    if (width < 1 || width > MOST_WIDTH)
        return sw_fail(SW_ERR_ARGUMENT, "resnet: width %lld; 1 to %d is needed", (long long)width, MOST_WIDTH);
    if (classes < 1)
        return sw_fail(SW_ERR_ARGUMENT, "resnet: %lld classes; 1 or more are needed", (long long)classes);
    if (inputs < 0 || inputs > INT32_MAX)
        return sw_fail(SW_ERR_ARGUMENT, "resnet: %lld inputs; 0 (open) to 2^31 - 1 are needed", (long long)inputs);
    return SW_OK;
}

sw_module *sw_nn_resnet_with_options(sw_model *model, int depth, int64_t width, int64_t classes,
                                     const sw_resnet_options *options) {
    sw_resnet_options o = {.size = sizeof o};
    resnet_stages stages = {0};
    if (options && sw_options_copy("resnet", "sw_resnet_options", &o, sizeof o, options,
                                   offsetof(sw_resnet_options, imagenet)) != SW_OK)
        return sw_module_fail(model);
    if (resnet_find_stages(depth, o.imagenet, &stages) != SW_OK)
        return sw_module_fail(model);
    if (resnet_check_sizes(width, classes, o.inputs) != SW_OK)
        return sw_module_fail(model);
    int blocks = 0, count = 0;
    for (int stage = 0; stage < stages.count; stage++)
        blocks += stages.blocks[stage];
    sw_module **list = sw_alloc_array(STEM_LAYERS + blocks + HEAD_LAYERS, sizeof *list);
    if (!list)
        return sw_module_fail(model);
    int64_t outputs = 0;
    count += resnet_stem(model, width, &o, list);
    count += resnet_blocks(model, &stages, width, list + count, &outputs);
    list[count++] = sw_nn_global_avg_pool2d(model);
    list[count++] = sw_module_set_name(sw_nn_linear(model, outputs, classes), "fc");
    sw_module *root = sw_nn_sequential_array(model, count, list);
    sw_free(list);
    return root;
}

sw_module *sw_nn_resnet(sw_model *model, int depth, int64_t width, int64_t classes) {
    return sw_nn_resnet_with_options(model, depth, width, classes, NULL);
}

sw_module *sw_nn_resnet18(sw_model *model, int64_t classes) {
    return sw_nn_resnet_with_options(model, 18, 64, classes, &SW_OPTIONS(sw_resnet_options, .imagenet = true));
}

sw_module *sw_nn_resnet34(sw_model *model, int64_t classes) {
    return sw_nn_resnet_with_options(model, 34, 64, classes, &SW_OPTIONS(sw_resnet_options, .imagenet = true));
}
