/* The layers of convolutions: conv (conv1d and conv2d) and conv_transposed. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"
#include "nn/layers/channel_hint.h"
#include "nn/layers/pairs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct conv {
    sw_conv_kind kind;
    int axes;                 /* along which the kernel moves */
    int64_t inputs, outputs;  /* channels; inputs 0: open */
    int64_t kernel[2];        /* [axes] */
    sw_conv_options complete; /* of sw_conv_options_check, where pairs of conv1d are {along H, along L} */
    sw_conv_options options;  /* the same for the operation, where pairs of conv1d are {along L, 0} */
    sw_param *weight, *bias;
} conv;

/* ---- Build ---- */

static sw_status conv_check_groups(const char *who, const conv *l) {
    const int64_t groups = l->complete.groups;
    if (l->inputs % groups == 0 && l->outputs % groups == 0)
        return SW_OK;
    if (l->inputs == 0) /* open */
        return sw_fail(SW_ERR_SHAPE, "%s: %lld outputs in %lld groups; they must be a multiple of the groups", who,
                       (long long)l->outputs, (long long)groups);
    return sw_fail(SW_ERR_SHAPE,
                   "%s: %lld inputs and %lld outputs in %lld groups; both must be multiples of the groups", who,
                   (long long)l->inputs, (long long)l->outputs, (long long)groups);
}

static sw_status conv_fail_inputs(const sw_module *m, const sw_sample_shape *shape) {
    const conv *l = m->data;
    const char *text = sw_shape_text(shape->rank, shape->length);
    if (shape->rank != l->axes + 1)
        return sw_fail(SW_ERR_SHAPE, "layer %s: its input has samples %s; %s are needed%s", m->name, text,
                       l->axes == 1 ? "signals [length, channels]" : "pictures [height, width, channels]",
                       swn_channel_hint(l->axes, shape->rank));
    return sw_fail(SW_ERR_SHAPE,
                   "layer %s: takes %lld channel%s, but its input has %lld, the last axis of samples %s%s", m->name,
                   (long long)l->inputs, l->inputs == 1 ? "" : "s", (long long)shape->length[l->axes], text,
                   shape->length[0] == l->inputs ? " (move the channels to the last axis?)" : "");
}

/* Pictures [1,n,n] and [3,n,n] are refused if the number of inputs is open: it would be n, the width of pictures with
 * channels first, and the layer would act on an axis of pixels without a message. */
static sw_status conv_check_order(const sw_module *m, const sw_sample_shape *shape) {
    const int64_t *length = shape->length;
    if (shape->rank != 3 || !sw_seems_channels_first(3, length) || length[1] != length[2] ||
        (length[0] != 1 && length[0] != 3))
        return SW_OK;
    return sw_fail(SW_ERR_SHAPE,
                   "layer %s: samples %s seem to be [channels, height, width], but the channels are the last axis "
                   "(reorder the axes with sw_array_permute; if there are %lld channels, give the number of inputs)",
                   m->name, sw_shape_text(3, length), (long long)length[2]);
}

/* The number of inputs is the length of the last axis. */
static sw_status conv_set_inputs(const sw_module *m, const sw_sample_shape *shape) {
    conv *l = m->data;
    if (shape->rank < 0 && l->inputs == 0)
        return sw_fail(SW_ERR_SHAPE,
                       "layer %s: the number of inputs is not known; give it, or sw_model_set_input_shape", m->name);
    if (shape->rank >= 0 && shape->rank != l->axes + 1)
        return conv_fail_inputs(m, shape);
    if (l->inputs == 0) {
        SW_TRY(conv_check_order(m, shape));
        l->inputs = shape->length[l->axes];
    }
    if (l->inputs == 0)
        return sw_fail(SW_ERR_SHAPE, "layer %s: its input has samples %s without channels; 1 or more are needed",
                       m->name, sw_shape_text(shape->rank, shape->length));
    return shape->rank >= 0 && shape->length[l->axes] != l->inputs ? conv_fail_inputs(m, shape) : SW_OK;
}

/* The shape of a sample of the output; unknown if that of the input is. */
static sw_status conv_set_output(const char *who, const conv *l, sw_sample_shape *shape) {
    sw_sample_shape out = {.rank = l->axes + 1, .spatial = l->axes};
    if (shape->rank < 0)
        return SW_OK;
    for (int i = 0; i < l->axes; i++)
        SW_TRY(sw_conv_out_length(who, l->kind, &l->complete, i + 2 - l->axes, shape->rank, shape->length, l->kernel[i],
                                  &out.length[i], NULL));
    out.length[l->axes] = l->outputs;
    *shape = out;
    return SW_OK;
}

/* The shape of the weight, and its fans by PyTorch's rule: the products of all lengths but the first, and but the
 * second in PyTorch's order, which is the last here. */
static sw_status conv_weight_shape(const char *who, const conv *l, int64_t *shape, sw_param_options *options) {
    const int rank = l->axes + 2;
    const bool transposed = l->kind == SW_CONV2D_TRANSPOSED;
    double elements = 1;
    shape[0] = transposed ? l->inputs : l->outputs;
    for (int i = 0; i < l->axes; i++)
        shape[i + 1] = l->kernel[i];
    shape[rank - 1] = (transposed ? l->outputs : l->inputs) / l->complete.groups;
    for (int i = 0; i < rank; i++)
        elements *= fmax(1, (double)shape[i]);
    if (elements > 0x1p60)
        return sw_fail(SW_ERR_SHAPE, "%s: a weight %s has too many elements", who, sw_shape_text(rank, shape));
    options->fan_in = options->fan_out = 1;
    for (int i = 0; i < rank; i++) {
        options->fan_in *= i > 0 ? shape[i] : 1;
        options->fan_out *= i < rank - 1 ? shape[i] : 1;
    }
    return SW_OK;
}

static sw_status conv_build(sw_module *m, sw_sample_shape *shape) {
    conv *l = m->data;
    char who[300];
    int64_t lengths[4];
    snprintf(who, sizeof who, "layer %s", m->name);
    SW_TRY(conv_set_inputs(m, shape));
    SW_TRY(conv_check_groups(who, l));
    SW_TRY(conv_set_output(who, l, shape));
    sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT, .init = sw_init_he_uniform(sqrt(2))};
    SW_TRY(conv_weight_shape(who, l, lengths, &weight));
    const sw_param_options bias = {
        .size = sizeof bias, .role = SW_ROLE_BIAS, .fan_in = weight.fan_in, .fan_out = weight.fan_out};
    weight.channels_first = sw_channels_first(l->axes + 2, lengths, 1);
    l->weight = sw_module_add_param(m, "weight", l->axes + 2, lengths, &weight);
    if (!l->options.no_bias)
        l->bias = sw_module_add_param(m, "bias", 1, &l->outputs, &bias);
    return l->weight && (l->options.no_bias || l->bias) ? SW_OK : sw_last_failure();
}

/* ---- Forward ---- */

/* The operation of a layer on x, the weight and the bias; with a pool, if it is not NULL. */
static sw_tensor conv_operation(const conv *l, const swn_pool_windows *pool, sw_tensor x, sw_tensor w, sw_tensor bias) {
    static sw_tensor (*const functions[])(sw_tensor, sw_tensor, sw_tensor, const sw_conv_options *) = {
        [SW_CONV1D] = sw_conv1d, [SW_CONV2D] = sw_conv2d, [SW_CONV2D_TRANSPOSED] = sw_conv2d_transposed};
    if (!pool)
        return functions[l->kind](x, w, bias, &l->options);
    return (pool->average ? sw_conv2d_avg_pool2d : sw_conv2d_max_pool2d)(x, w, bias, &l->options, pool->window[0],
                                                                         pool->window[1], &pool->options);
}

sw_tensor swn_conv_pool(sw_module *m, const swn_pool_windows *pool, sw_tensor x) {
    const conv *l = m->data;
    const sw_tensor none = {0}, weight = sw_param_use(x.tape, l->weight), in = sw_module_cast(x, weight),
                    bias = l->bias && !sw_is_null(weight) ? sw_param_use(x.tape, l->bias) : none,
                    y = conv_operation(l, pool, in, weight, bias);
    if (in.slot != x.slot && !sw_is_null(y))
        sw_release(in); /* no other handle exists */
    return y;
}

static sw_tensor conv_forward(sw_module *m, sw_tensor x) {
    return swn_conv_pool(m, NULL, x);
}

/* With 16-bit weights the layers round the result of the convolution, which one operation would not. */
bool swn_conv_takes_pool(const sw_module *module) {
    if (module->type != &swn_conv_type || !module->built)
        return false;
    const conv *l = module->data;
    return l->kind == SW_CONV2D && !sw_dtype_is_16_bit(sw_param_stored_value(l->weight).type);
}

/* ---- The functions ---- */

static void conv_set_options(conv *l) {
    sw_conv_options *o = &l->options;
    int64_t *const pairs[] = {o->stride, o->padding, o->dilation};
    *o = l->complete;
    for (int i = 0; i < 3 && l->kind == SW_CONV1D; i++) {
        pairs[i][0] = pairs[i][1];
        pairs[i][1] = 0;
    }
}

static sw_status conv_check(const char *who, conv *l, const sw_conv_options *options) {
    bool possible = l->inputs >= 0 && l->inputs <= INT32_MAX && l->outputs >= 1 && l->outputs <= INT32_MAX;
    for (int i = 0; i < l->axes; i++)
        possible &= l->kernel[i] >= 1 && l->kernel[i] <= INT32_MAX;
    if (!possible)
        return sw_fail(SW_ERR_ARGUMENT,
                       "%s: %lld inputs, %lld outputs and a kernel %s; inputs 0 (open) or more, outputs and lengths of "
                       "the kernel 1 or more are needed, all below 2^31",
                       who, (long long)l->inputs, (long long)l->outputs, sw_shape_text(l->axes, l->kernel));
    SW_TRY(sw_conv_options_check(who, l->kind, options, &l->complete));
    conv_set_options(l);
    return conv_check_groups(who, l);
}

static sw_module *conv_new(sw_model *model, sw_conv_kind kind, int64_t inputs, int64_t outputs, const int64_t *kernel,
                           const sw_conv_options *options) {
    static const char *const who[] = {
        [SW_CONV1D] = "conv1d", [SW_CONV2D] = "conv2d", [SW_CONV2D_TRANSPOSED] = "conv2d_transposed"};
    const sw_module_type *type = kind == SW_CONV2D_TRANSPOSED ? &swn_conv_transposed_type : &swn_conv_type;
    conv l = {.kind = kind, .axes = kind == SW_CONV1D ? 1 : 2, .inputs = inputs, .outputs = outputs};
    for (int i = 0; i < l.axes; i++)
        l.kernel[i] = kernel[i];
    if (conv_check(who[kind], &l, options) != SW_OK)
        return sw_module_fail(model);
    sw_module *m = sw_module_new(model, type, sizeof l);
    if (sw_module_is(m, type))
        *(conv *)m->data = l;
    return m;
}

sw_module *sw_nn_conv1d(sw_model *model, int64_t inputs, int64_t outputs, int64_t kernel) {
    return conv_new(model, SW_CONV1D, inputs, outputs, &kernel, NULL);
}

sw_module *sw_nn_conv1d_with_options(sw_model *model, int64_t inputs, int64_t outputs, int64_t kernel,
                                     const sw_conv_options *options) {
    return conv_new(model, SW_CONV1D, inputs, outputs, &kernel, options);
}

sw_module *sw_nn_conv2d(sw_model *model, int64_t inputs, int64_t outputs, int64_t kernel) {
    return conv_new(model, SW_CONV2D, inputs, outputs, (int64_t[]){kernel, kernel}, NULL);
}

sw_module *sw_nn_conv2d_with_options(sw_model *model, int64_t inputs, int64_t outputs, int64_t kernel_height,
                                     int64_t kernel_width, const sw_conv_options *options) {
    return conv_new(model, SW_CONV2D, inputs, outputs, (int64_t[]){kernel_height, kernel_width}, options);
}

sw_module *sw_nn_conv2d_transposed(sw_model *model, int64_t inputs, int64_t outputs, int64_t kernel) {
    return conv_new(model, SW_CONV2D_TRANSPOSED, inputs, outputs, (int64_t[]){kernel, kernel}, NULL);
}

sw_module *sw_nn_conv2d_transposed_with_options(sw_model *model, int64_t inputs, int64_t outputs, int64_t kernel_height,
                                                int64_t kernel_width, const sw_conv_options *options) {
    return conv_new(model, SW_CONV2D_TRANSPOSED, inputs, outputs, (int64_t[]){kernel_height, kernel_width}, options);
}

/* ---- Descriptions ---- */

static void conv_describe(const sw_module *m, char *text, size_t bytes) {
    const conv *l = m->data;
    const int first = 2 - l->axes; /* of a pair of the complete options */
    const sw_conv_options *o = &l->complete;
    char kernel[48];
    snprintf(kernel, sizeof kernel, l->axes == 1 ? "%lld" : "%lldx%lld", (long long)l->kernel[0],
             (long long)l->kernel[1]);
    snprintf(text, bytes, "%s %s, %lld to %lld", l->kind == SW_CONV2D_TRANSPOSED ? "transposed" : "kernel", kernel,
             (long long)l->inputs, (long long)l->outputs);
    swn_pair_describe(text, bytes, "stride", o->stride + first, l->axes, 1);
    swn_pair_describe(text, bytes, "padding", o->padding + first, l->axes, 0);
    swn_pair_describe(text, bytes, "dilation", o->dilation + first, l->axes, 1);
    swn_pair_describe(text, bytes, "output padding", o->output_padding + first, l->axes, 0);
    const size_t at = strlen(text);
    char groups[40] = "";
    if (o->groups > 1)
        snprintf(groups, sizeof groups, ", %lld groups", (long long)o->groups);
    snprintf(text + at, bytes - at, "%s%s%s", o->same ? ", same" : "", groups, o->no_bias ? ", no bias" : "");
}

static sw_status conv_save(const sw_module *m, sw_description *to) {
    const conv *l = m->data;
    const sw_conv_options *o = &l->complete;
    const int first = 2 - l->axes;
    if (l->kind == SW_CONV2D_TRANSPOSED)
        SW_TRY(sw_description_set_integers(to, "output_padding", 2, o->output_padding));
    else
        SW_TRY(sw_description_set_integer(to, "same", o->same));
    SW_TRY(sw_description_set_integer(to, "inputs", l->inputs));
    SW_TRY(sw_description_set_integer(to, "outputs", l->outputs));
    SW_TRY(sw_description_set_integers(to, "kernel", l->axes, l->kernel));
    SW_TRY(sw_description_set_integers(to, "stride", l->axes, o->stride + first));
    SW_TRY(sw_description_set_integers(to, "padding", l->axes, o->padding + first));
    SW_TRY(sw_description_set_integers(to, "dilation", l->axes, o->dilation + first));
    SW_TRY(sw_description_set_integer(to, "groups", o->groups));
    return sw_description_set_integer(to, "bias", !o->no_bias);
}

static sw_module *conv_restore(sw_model *model, const sw_description *from) {
    const bool transposed = strcmp(sw_description_type(from), swn_conv_transposed_type.name) == 0;
    sw_conv_options o = {.size = sizeof o};
    int64_t inputs, outputs, kernel[2] = {0}, same = 0, bias;
    const int axes = swn_pair_restore(from, "kernel", transposed ? 2 : 0, 1, kernel);
    if (axes == 0 || sw_description_integer(from, "inputs", 0, INT32_MAX, &inputs) != SW_OK ||
        sw_description_integer(from, "outputs", 1, INT32_MAX, &outputs) != SW_OK ||
        !swn_pair_restore(from, "stride", axes, 1, o.stride) ||
        !swn_pair_restore(from, "padding", axes, 0, o.padding) ||
        !swn_pair_restore(from, "dilation", axes, 1, o.dilation) ||
        sw_description_integer(from, "groups", 1, INT32_MAX, &o.groups) != SW_OK ||
        sw_description_integer(from, "bias", 0, 1, &bias) != SW_OK)
        return sw_module_fail(model);
    if (transposed ? !swn_pair_restore(from, "output_padding", 2, 0, o.output_padding)
                   : sw_description_integer(from, "same", 0, 1, &same) != SW_OK)
        return sw_module_fail(model);
    o.same = same != 0;
    o.no_bias = bias == 0;
    return conv_new(model,
                    transposed  ? SW_CONV2D_TRANSPOSED
                    : axes == 1 ? SW_CONV1D
                                : SW_CONV2D,
                    inputs, outputs, kernel, &o);
}

const sw_module_type swn_conv_type = {.size = sizeof(sw_module_type),
                                      .name = "conv",
                                      .build = conv_build,
                                      .forward = conv_forward,
                                      .describe = conv_describe,
                                      .save = conv_save,
                                      .restore = conv_restore};

const sw_module_type swn_conv_transposed_type = {.size = sizeof(sw_module_type),
                                                 .name = "conv_transposed",
                                                 .build = conv_build,
                                                 .forward = conv_forward,
                                                 .describe = conv_describe,
                                                 .save = conv_save,
                                                 .restore = conv_restore};
