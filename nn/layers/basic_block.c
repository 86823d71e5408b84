/* The basic block of residual networks: two convolutions 3×3, and a connection past them. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"
#include "nn/layers/child_list.h"

/* The layers of a block, in the order of PyTorch's state_dict. The last two are the shortcut, which a block whose input
 * and output have equal shapes does not have. */
enum { CONV1, NORM1, CONV2, NORM2, WITHOUT_SHORTCUT, SHORTCUT_CONV = WITHOUT_SHORTCUT, SHORTCUT_NORM, WITH_SHORTCUT };

static sw_status basic_block_build(sw_module *m, sw_sample_shape *shape) {
    sw_sample_shape shortcut = *shape;
    for (int i = CONV1; i <= NORM2; i++)
        SW_TRY(sw_module_build(m->child[i], shape));
    for (int i = SHORTCUT_CONV; i < m->children; i++)
        SW_TRY(sw_module_build(m->child[i], &shortcut));
    if (shortcut.rank >= 0 && !sw_shape_equal(shortcut.rank, shortcut.length, shape->rank, shape->length))
        return sw_fail(
            SW_ERR_SHAPE, "layer %s: the convolutions make %s, and the shortcut makes %s; the shapes must be equal",
            m->name, sw_shape_text(shape->rank, shape->length), sw_shape_text(shortcut.rank, shortcut.length));
    return SW_OK;
}

/* Calls a layer and releases its input, to which no other handle exists. */
static sw_tensor basic_block_pass(sw_module *layer, sw_tensor x) {
    const sw_tensor y = sw_forward(layer, x);
    if (!sw_is_null(y) && !swn_same_tensor(x, y))
        sw_release(x);
    return y;
}

static sw_tensor basic_block_relu(sw_tensor x) {
    const sw_tensor y = sw_relu(x);
    if (!sw_is_null(y))
        sw_release(x);
    return y;
}

static sw_tensor basic_block_forward(sw_module *m, sw_tensor x) {
    sw_tensor y = basic_block_relu(basic_block_pass(m->child[NORM1], sw_forward(m->child[CONV1], x)));
    y = basic_block_pass(m->child[NORM2], basic_block_pass(m->child[CONV2], y));
    sw_tensor shortcut = x;
    if (m->children == WITH_SHORTCUT)
        shortcut = basic_block_pass(m->child[SHORTCUT_NORM], sw_forward(m->child[SHORTCUT_CONV], x));
    const sw_tensor sum = sw_add(y, shortcut);
    if (sw_is_null(sum))
        return sum;
    sw_release(y);
    if (!swn_same_tensor(shortcut, x))
        sw_release(shortcut);
    return basic_block_relu(sum);
}

static void basic_block_describe(const sw_module *m, char *text, size_t bytes) {
    sw_format(text, bytes, "%s", m->children == WITH_SHORTCUT ? "shortcut by a convolution" : "shortcut by the input");
}

static sw_status basic_block_save(const sw_module *m, sw_description *to) {
    (void)m, (void)to;
    return SW_OK;
}

static sw_module *basic_block_new(sw_model *model, int count, sw_module *const *layers) {
    sw_module *m = sw_module_new(model, &swn_basic_block_type, 0);
    return sw_module_is(m, &swn_basic_block_type) ? swn_add_children(m, count, layers) : m;
}

static sw_module *basic_block_restore(sw_model *model, const sw_description *from) {
    int count;
    sw_module *const *layers = sw_description_layers(from, &count);
    if (count == WITHOUT_SHORTCUT || count == WITH_SHORTCUT)
        return basic_block_new(model, count, layers);
    sw_fail(SW_ERR_FORMAT, "%d inner layers; %d or %d are needed", count, WITHOUT_SHORTCUT, WITH_SHORTCUT);
    return sw_module_fail(model);
}

const sw_module_type swn_basic_block_type = {.size = sizeof(sw_module_type),
                                             .name = "basic_block",
                                             .build = basic_block_build,
                                             .forward = basic_block_forward,
                                             .describe = basic_block_describe,
                                             .name_space = true,
                                             .save = basic_block_save,
                                             .restore = basic_block_restore};

static sw_module *basic_block_conv(sw_model *model, const char *name, int64_t inputs, int64_t outputs, int64_t kernel,
                                   int64_t stride) {
    const sw_conv_options options =
        SW_OPTIONS(sw_conv_options, .stride = {stride, stride}, .padding = {kernel / 2, kernel / 2}, .no_bias = true);
    sw_module *conv = sw_nn_conv2d_with_options(model, inputs, outputs, kernel, kernel, &options);
    return sw_module_set_name(conv, name);
}

static sw_module *basic_block_norm(sw_model *model, const char *name, int64_t features) {
    return sw_module_set_name(sw_nn_batch_norm(model, features), name);
}

sw_module *sw_nn_basic_block(sw_model *model, int64_t inputs, int64_t outputs, int64_t stride) {
    if (inputs < 1 || outputs < 1 || stride < 1) {
        sw_fail(SW_ERR_ARGUMENT, "basic_block: %lld inputs, %lld outputs, stride %lld; 1 or more are needed",
                (long long)inputs, (long long)outputs, (long long)stride);
        return sw_module_fail(model);
    }
    sw_module *layers[WITH_SHORTCUT];
    layers[CONV1] = basic_block_conv(model, "conv1", inputs, outputs, 3, stride);
    layers[NORM1] = basic_block_norm(model, "bn1", outputs);
    layers[CONV2] = basic_block_conv(model, "conv2", outputs, outputs, 3, 1);
    layers[NORM2] = basic_block_norm(model, "bn2", outputs);
    const bool shortcut = stride != 1 || inputs != outputs;
    if (shortcut) {
        layers[SHORTCUT_CONV] = basic_block_conv(model, "downsample.0", inputs, outputs, 1, stride);
        layers[SHORTCUT_NORM] = basic_block_norm(model, "downsample.1", outputs);
    }
    return basic_block_new(model, shortcut ? WITH_SHORTCUT : WITHOUT_SHORTCUT, layers);
}
