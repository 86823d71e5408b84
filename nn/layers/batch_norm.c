/* The layer of batch normalization, for vectors, sequences and pictures alike. Its running statistics are buffers. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"
#include "nn/layers/norm_layer.h"

#include <string.h>

typedef struct batch_norm {
    int64_t features;              /* 0: open */
    sw_batch_norm_options options; /* those of the operation have the buffers after the build */
    swn_norm_params params;
} batch_norm;

static sw_status batch_norm_add_buffers(sw_module *m, sw_file_order order) {
    batch_norm *b = m->data;
    sw_batch_norm_options *o = &b->options;
    const sw_param_options mean = {.size = sizeof mean, .role = SW_ROLE_NORM, .buffer = true, .channels_first = order},
                           variance = {.size = sizeof variance,
                                       .role = SW_ROLE_NORM,
                                       .init = sw_init_constant(1),
                                       .buffer = true,
                                       .channels_first = order},
                           count = {.size = sizeof count, .role = SW_ROLE_NORM, .buffer = true};
    o->mean = sw_module_add_param(m, "running_mean", 1, &b->features, &mean);
    o->variance = sw_module_add_param(m, "running_var", 1, &b->features, &variance);
    if (o->cumulative)
        o->count = sw_module_add_param(m, "num_batches_tracked", 0, NULL, &count);
    return o->mean && o->variance && (o->count || !o->cumulative) ? SW_OK : sw_last_failure();
}

static sw_status batch_norm_build(sw_module *m, sw_sample_shape *shape) {
    batch_norm *b = m->data;
    const sw_batch_norm_options *o = &b->options;
    SW_TRY(swn_norm_set_features(m, shape, &b->features));
    const sw_file_order order = sw_sample_channels_first(shape, 1, &b->features, 0);
    SW_TRY(swn_norm_add_params(m, 1, &b->features, order, !o->no_weight, !o->no_bias, &b->params));
    return o->no_statistics ? SW_OK : batch_norm_add_buffers(m, order);
}

static sw_tensor batch_norm_forward(sw_module *m, sw_tensor x) {
    const batch_norm *b = m->data;
    const swn_norm_tensors t = swn_norm_use(&b->params, x);
    sw_batch_norm_options o = b->options;
    o.evaluate = m->frozen;
    return swn_norm_finish(&t, x, sw_batch_norm(t.x, t.weight, t.bias, &o));
}

static void batch_norm_describe(const sw_module *m, char *text, size_t bytes) {
    const batch_norm *b = m->data;
    const sw_batch_norm_options *o = &b->options;
    sw_format(text, bytes, "%lld features", (long long)b->features);
    size_t at = strlen(text);
    if (o->eps > 0)
        sw_format(text + at, bytes - at, ", eps %g", o->eps);
    at = strlen(text);
    if (o->momentum > 0)
        sw_format(text + at, bytes - at, ", momentum %g", o->momentum);
    at = strlen(text);
    sw_format(text + at, bytes - at, "%s%s%s%s", o->cumulative ? ", cumulative" : "", o->no_weight ? ", no weight" : "",
              o->no_bias ? ", no bias" : "", o->no_statistics ? ", no statistics" : "");
}

static sw_status batch_norm_save(const sw_module *m, sw_description *to) {
    const batch_norm *b = m->data;
    const sw_batch_norm_options *o = &b->options;
    SW_TRY(sw_description_set_integer(to, "features", b->features));
    SW_TRY(sw_description_set_number(to, "eps", o->eps));
    SW_TRY(sw_description_set_number(to, "momentum", o->momentum));
    SW_TRY(sw_description_set_integer(to, "cumulative", o->cumulative));
    SW_TRY(sw_description_set_integer(to, "weight", !o->no_weight));
    SW_TRY(sw_description_set_integer(to, "bias", !o->no_bias));
    return sw_description_set_integer(to, "statistics", !o->no_statistics);
}

static sw_module *batch_norm_restore(sw_model *model, const sw_description *from) {
    sw_batch_norm_options o = {.size = sizeof o};
    int64_t features, cumulative, weight, bias, statistics;
    if (sw_description_integer(from, "features", 0, INT32_MAX, &features) != SW_OK ||
        sw_description_number(from, "eps", 0, 1e300, &o.eps) != SW_OK ||
        sw_description_number(from, "momentum", 0, 1, &o.momentum) != SW_OK ||
        sw_description_integer(from, "cumulative", 0, 1, &cumulative) != SW_OK ||
        sw_description_integer(from, "weight", 0, 1, &weight) != SW_OK ||
        sw_description_integer(from, "bias", 0, 1, &bias) != SW_OK ||
        sw_description_integer(from, "statistics", 0, 1, &statistics) != SW_OK)
        return sw_module_fail(model);
    o.cumulative = cumulative != 0;
    o.no_weight = weight == 0;
    o.no_bias = bias == 0;
    o.no_statistics = statistics == 0;
    return sw_nn_batch_norm_with_options(model, features, &o);
}

const sw_module_type swn_batch_norm_type = {.size = sizeof(sw_module_type),
                                            .name = "batch_norm",
                                            .build = batch_norm_build,
                                            .forward = batch_norm_forward,
                                            .describe = batch_norm_describe,
                                            .save = batch_norm_save,
                                            .restore = batch_norm_restore};

static sw_status batch_norm_check(int64_t features, const sw_batch_norm_options *o) {
    if (features < 0 || features > INT32_MAX)
        return sw_fail(SW_ERR_ARGUMENT, "batch_norm: %lld features; 0 (open) to 2^31 - 1 are needed",
                       (long long)features);
    if (!(o->eps >= 0 && o->eps <= 1e300))
        return sw_fail(SW_ERR_ARGUMENT,
                       "batch_norm: eps = %g; a finite number of at least 0 is needed (0: the default)", o->eps);
    if (!(o->momentum >= 0 && o->momentum <= 1))
        return sw_fail(SW_ERR_ARGUMENT, "batch_norm: momentum = %g is outside [0, 1]", o->momentum);
    if (o->mean || o->variance || o->count || o->evaluate)
        return sw_fail(SW_ERR_ARGUMENT, "batch_norm: mean, variance, count and evaluate are options of the operation; "
                                        "the layer makes its running statistics itself (leave them out)");
    if (o->no_statistics && (o->cumulative || o->momentum > 0))
        return sw_fail(SW_ERR_ARGUMENT,
                       "batch_norm: without running statistics, cumulative and momentum have no meaning");
    if (o->cumulative && o->momentum > 0)
        return sw_fail(SW_ERR_ARGUMENT, "batch_norm: cumulative, and momentum = %g: give one of the two", o->momentum);
    return SW_OK;
}

sw_module *sw_nn_batch_norm_with_options(sw_model *model, int64_t features, const sw_batch_norm_options *options) {
    sw_batch_norm_options o = {.size = sizeof o};
    if (options && sw_options_copy("batch_norm", "sw_batch_norm_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return sw_module_fail(model);
    if (batch_norm_check(features, &o) != SW_OK)
        return sw_module_fail(model);
    sw_module *m = sw_module_new(model, &swn_batch_norm_type, sizeof(batch_norm));
    if (sw_module_is(m, &swn_batch_norm_type))
        *(batch_norm *)m->data = (batch_norm){.features = features, .options = o};
    return m;
}

sw_module *sw_nn_batch_norm(sw_model *model, int64_t features) {
    return sw_nn_batch_norm_with_options(model, features, NULL);
}
