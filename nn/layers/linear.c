/* The linear layer: x Wᵀ + b. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"

#include <math.h>
#include <stdio.h>

typedef struct linear {
    int64_t inputs, outputs;
    bool has_bias, file_transposed;
    sw_param *weight, *bias;
} linear;

static sw_status linear_fail_inputs(const sw_module *m, const sw_sample_shape *shape) {
    const long long inputs = ((const linear *)m->data)->inputs, features = shape->length[shape->rank - 1];
    const char *hint =
        shape->length[0] == inputs ? "move the channels to the last axis?" : "flatten them with sw_nn_flatten?";
    if (shape->rank == 1)
        return sw_fail(SW_ERR_SHAPE, "layer %s: takes %lld input%s, but its input has %lld feature%s", m->name, inputs,
                       inputs == 1 ? "" : "s", features, features == 1 ? "" : "s");
    return sw_fail(SW_ERR_SHAPE,
                   "layer %s: takes %lld input%s, but its input has %lld feature%s, the last axis of samples %s (%s)",
                   m->name, inputs, inputs == 1 ? "" : "s", features, features == 1 ? "" : "s",
                   sw_shape_text(shape->rank, shape->length), hint);
}

/* The number of inputs is the length of the last axis. */
static sw_status linear_set_inputs(sw_module *m, const sw_sample_shape *shape) {
    linear *l = m->data;
    const bool known = shape->rank >= 0;
    if (shape->rank == 0)
        return sw_fail(SW_ERR_SHAPE, "layer %s: its input has scalar samples; samples [..., inputs] are needed",
                       m->name);
    if (l->inputs == 0 && !known)
        return sw_fail(SW_ERR_SHAPE,
                       "layer %s: the number of inputs is not known; give it, or "
                       "sw_model_set_input_shape",
                       m->name);
    if (l->inputs == 0)
        l->inputs = shape->length[shape->rank - 1];
    return known && shape->length[shape->rank - 1] != l->inputs ? linear_fail_inputs(m, shape) : SW_OK;
}

/* The order of the weight [outputs, inputs] in files with channels first. */
static sw_file_order linear_file_order(const linear *l, const sw_sample_shape *in) {
    const int64_t shape[2] = {l->outputs, l->inputs};
    sw_file_order order = sw_sample_channels_first(in, 2, shape, 1);
    if (l->file_transposed)
        order = order.rank == 0 ? (sw_file_order){.rank = 2, .view = {l->outputs, l->inputs}, .axes = {1, 0}}
                                : (sw_file_order){.rank = -1}; /* no module of PyTorch has both */
    return order;
}

static sw_status linear_build(sw_module *m, sw_sample_shape *shape) {
    linear *l = m->data;
    SW_TRY(linear_set_inputs(m, shape));
    const int64_t weight_shape[2] = {l->outputs, l->inputs};
    sw_param_options weight = {.size = sizeof weight,
                               .role = SW_ROLE_WEIGHT,
                               .fan_in = l->inputs,
                               .fan_out = l->outputs,
                               .init = sw_init_he_uniform(sqrt(2)),
                               .channels_first = linear_file_order(l, shape)};
    sw_param_options bias = {.size = sizeof bias, .role = SW_ROLE_BIAS, .fan_in = l->inputs, .fan_out = l->outputs};
    l->weight = sw_module_add_param(m, "weight", 2, weight_shape, &weight);
    if (l->has_bias)
        l->bias = sw_module_add_param(m, "bias", 1, &l->outputs, &bias);
    if (!l->weight || (l->has_bias && !l->bias))
        return sw_last_failure();
    if (shape->rank < 0) /* the usual case */
        *shape = (sw_sample_shape){.rank = 1};
    shape->length[shape->rank - 1] = l->outputs;
    shape->flattened_rank = 0; /* the outputs have no channels */
    return SW_OK;
}

static sw_tensor linear_forward(sw_module *m, sw_tensor x) {
    const linear *l = m->data;
    const sw_tensor none = {0}, weight = sw_param_use(x.tape, l->weight), in = sw_module_cast(x, weight);
    const sw_tensor y = l->has_bias ? sw_linear(in, weight, sw_is_null(weight) ? none : sw_param_use(x.tape, l->bias))
                                    /* sw_linear would take a null bias for the result of an error that is pending */
                                    : sw_matmul_transposed(in, weight, false, true);
    if (in.slot != x.slot && !sw_is_null(y))
        sw_release(in); /* no other handle exists */
    return y;
}

static void linear_describe(const sw_module *m, char *text, size_t bytes) {
    const linear *l = m->data;
    snprintf(text, bytes, "linear %lld to %lld%s", (long long)l->inputs, (long long)l->outputs,
             l->has_bias ? "" : ", no bias");
}

static void linear_sizes(const sw_module *m, int64_t *inputs, int64_t *outputs, bool *bias) {
    const linear *l = m->data;
    *inputs = l->inputs;
    *outputs = l->outputs;
    *bias = l->has_bias;
}

static sw_status linear_save(const sw_module *m, sw_description *to) {
    const linear *l = m->data;
    SW_TRY(sw_description_set_integer(to, "inputs", l->inputs));
    SW_TRY(sw_description_set_integer(to, "outputs", l->outputs));
    if (l->file_transposed)
        SW_TRY(sw_description_set_integer(to, "file_transposed", 1));
    return sw_description_set_integer(to, "bias", l->has_bias);
}

static sw_module *linear_restore(sw_model *model, const sw_description *from) {
    int64_t inputs, outputs, bias, transposed = 0;
    if (sw_description_integer(from, "inputs", 0, INT32_MAX, &inputs) != SW_OK ||
        sw_description_integer(from, "outputs", 1, INT32_MAX, &outputs) != SW_OK ||
        sw_description_integer(from, "bias", 0, 1, &bias) != SW_OK)
        return sw_module_fail(model);
    if (sw_description_has(from, "file_transposed") &&
        sw_description_integer(from, "file_transposed", 0, 1, &transposed) != SW_OK)
        return sw_module_fail(model);
    return sw_nn_linear_with_options(
        model, inputs, outputs,
        &SW_OPTIONS(sw_linear_options, .no_bias = bias == 0, .file_transposed = transposed != 0));
}

const sw_module_type swn_linear_type = {.size = sizeof(sw_module_type),
                                        .name = "linear",
                                        .build = linear_build,
                                        .forward = linear_forward,
                                        .describe = linear_describe,
                                        .linear_sizes = linear_sizes,
                                        .save = linear_save,
                                        .restore = linear_restore,
                                        .continues = true};

sw_module *sw_nn_linear_with_options(sw_model *model, int64_t inputs, int64_t outputs,
                                     const sw_linear_options *options) {
    sw_linear_options o = {.size = sizeof o};
    if (options && sw_options_copy("linear", "sw_linear_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return sw_module_fail(model);
    if (inputs < 0 || outputs < 1) {
        sw_fail(SW_ERR_ARGUMENT,
                "linear: %lld inputs and %lld outputs; inputs 0 (open) or more, "
                "outputs 1 or more are needed",
                (long long)inputs, (long long)outputs);
        return sw_module_fail(model);
    }
    sw_module *m = sw_module_new(model, &swn_linear_type, sizeof(linear));
    if (sw_module_is(m, &swn_linear_type))
        *(linear *)m->data = (linear){
            .inputs = inputs, .outputs = outputs, .has_bias = !o.no_bias, .file_transposed = o.file_transposed};
    return m;
}

sw_module *sw_nn_linear(sw_model *model, int64_t inputs, int64_t outputs) {
    return sw_nn_linear_with_options(model, inputs, outputs, NULL);
}

sw_module *sw_nn_linear_no_bias(sw_model *model, int64_t inputs, int64_t outputs) {
    return sw_nn_linear_with_options(model, inputs, outputs, &SW_OPTIONS(sw_linear_options, .no_bias = true));
}
