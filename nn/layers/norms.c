/* The layers of layer, RMS and group normalization. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"
#include "nn/layers/norm_layer.h"

#include <string.h>

typedef struct norm {
    int64_t features, groups; /* features: the length of the last axis; 0: open. groups: 0 unless group normalization */
    sw_norm_options options;
    swn_norm_params params;
} norm;

static int norm_axes(const norm *n) {
    return n->options.axes > 0 ? n->options.axes : 1;
}

static sw_status norm_check_groups(const char *who, int64_t groups, int64_t features) {
    return features % groups == 0
               ? SW_OK
               : sw_fail(SW_ERR_SHAPE, "%s: %lld features cannot be divided into %lld groups of equal size", who,
                         (long long)features, (long long)groups);
}

static sw_status norm_build(sw_module *m, sw_sample_shape *shape) {
    norm *n = m->data;
    const sw_norm_options *o = &n->options;
    const int axes = norm_axes(n);
    const bool has_bias = !o->no_bias && m->type != &swn_rms_norm_type;
    char who[300];
    if (axes > 1 && shape->rank < axes)
        return sw_fail(
            SW_ERR_SHAPE, "layer %s: normalizes the last %d axes, but the samples of its input are %s", m->name, axes,
            shape->rank < 0 ? "not known (sw_model_set_input_shape?)" : sw_shape_text(shape->rank, shape->length));
    SW_TRY(swn_norm_set_features(m, shape, &n->features));
    sw_format(who, sizeof who, "layer %s", m->name);
    if (n->groups)
        SW_TRY(norm_check_groups(who, n->groups, n->features));
    if (axes == 1)
        return swn_norm_add_params(m, 1, &n->features, sw_sample_channels_first(shape, 1, &n->features, 0),
                                   !o->no_weight, has_bias, &n->params);
    const int64_t *last = shape->length + shape->rank - axes;
    /* The channels of a sample [h, w, c] are the last axis here, and the first one in files of PyTorch. */
    return swn_norm_add_params(m, axes, last, sw_channels_first(axes, last, 0), !o->no_weight, has_bias, &n->params);
}

static sw_tensor layer_norm_forward(sw_module *m, sw_tensor x) {
    const norm *n = m->data;
    const swn_norm_tensors t = swn_norm_use(&n->params, x);
    return swn_norm_finish(&t, x, sw_layer_norm_over(t.x, norm_axes(n), t.weight, t.bias, n->options.eps));
}

static sw_tensor rms_norm_forward(sw_module *m, sw_tensor x) {
    const norm *n = m->data;
    const swn_norm_tensors t = swn_norm_use(&n->params, x);
    return swn_norm_finish(&t, x, sw_rms_norm_over(t.x, norm_axes(n), t.weight, n->options.eps));
}

static sw_tensor group_norm_forward(sw_module *m, sw_tensor x) {
    const norm *n = m->data;
    const swn_norm_tensors t = swn_norm_use(&n->params, x);
    return swn_norm_finish(&t, x, sw_group_norm(t.x, n->groups, t.weight, t.bias, n->options.eps));
}

static void norm_describe(const sw_module *m, char *text, size_t bytes) {
    const norm *n = m->data;
    const sw_norm_options *o = &n->options;
    sw_format(text, bytes, "%lld features", (long long)n->features);
    size_t at = strlen(text);
    if (n->groups)
        sw_format(text + at, bytes - at, " in %lld groups", (long long)n->groups);
    at = strlen(text);
    if (o->axes > 1)
        sw_format(text + at, bytes - at, ", %d axes", o->axes);
    at = strlen(text);
    if (o->eps > 0)
        sw_format(text + at, bytes - at, ", eps %g", o->eps);
    at = strlen(text);
    sw_format(text + at, bytes - at, "%s%s", o->no_weight ? ", no weight" : "", o->no_bias ? ", no bias" : "");
}

static sw_status norm_save(const sw_module *m, sw_description *to) {
    const norm *n = m->data;
    const sw_norm_options *o = &n->options;
    if (n->groups)
        SW_TRY(sw_description_set_integer(to, "groups", n->groups));
    else
        SW_TRY(sw_description_set_integer(to, "axes", norm_axes(n)));
    SW_TRY(sw_description_set_integer(to, "features", n->features));
    SW_TRY(sw_description_set_number(to, "eps", o->eps));
    SW_TRY(sw_description_set_integer(to, "weight", !o->no_weight));
    return m->type == &swn_rms_norm_type ? SW_OK : sw_description_set_integer(to, "bias", !o->no_bias);
}

static sw_module *norm_restore(sw_model *model, const sw_description *from) {
    const char *type = sw_description_type(from);
    const bool group = strcmp(type, swn_group_norm_type.name) == 0, rms = strcmp(type, swn_rms_norm_type.name) == 0;
    sw_norm_options o = {.size = sizeof o};
    int64_t features, groups = 0, axes = 0, weight, bias = 1;
    if (sw_description_integer(from, "features", 0, INT32_MAX, &features) != SW_OK ||
        sw_description_number(from, "eps", 0, 1e300, &o.eps) != SW_OK ||
        sw_description_integer(from, "weight", 0, 1, &weight) != SW_OK ||
        (!rms && sw_description_integer(from, "bias", 0, 1, &bias) != SW_OK))
        return sw_module_fail(model);
    if (group ? sw_description_integer(from, "groups", 1, INT32_MAX, &groups) != SW_OK
              : sw_description_integer(from, "axes", 1, SW_MAX_RANK, &axes) != SW_OK)
        return sw_module_fail(model);
    o.axes = axes > 1 ? (int)axes : 0;
    o.no_weight = weight == 0;
    o.no_bias = bias == 0;
    return group ? sw_nn_group_norm_with_options(model, groups, features, &o)
           : rms ? sw_nn_rms_norm_with_options(model, features, &o)
                 : sw_nn_layer_norm_with_options(model, features, &o);
}

#define NORM_TYPE(kind, by_position)                                          \
    const sw_module_type swn_##kind##_type = {.size = sizeof(sw_module_type), \
                                              .name = #kind,                  \
                                              .build = norm_build,            \
                                              .forward = kind##_forward,      \
                                              .describe = norm_describe,      \
                                              .save = norm_save,              \
                                              .restore = norm_restore,        \
                                              .continues = (by_position)};
NORM_TYPE(layer_norm, true) /* see swn_norm_continues */
NORM_TYPE(rms_norm, true)
NORM_TYPE(group_norm, false)

bool swn_norm_continues(const sw_module *m) {
    const bool norm_layer = m->type == &swn_layer_norm_type || m->type == &swn_rms_norm_type;
    return !norm_layer || norm_axes(m->data) == 1;
}

static sw_status norm_check(const sw_module_type *type, int64_t features, int64_t groups, const sw_norm_options *o) {
    const char *who = type->name;
    if (features < 0 || features > INT32_MAX)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %lld features; 0 (open) to 2^31 - 1 are needed", who, (long long)features);
    if (o->size < sizeof *o)
        return sw_fail(SW_ERR_ARGUMENT, "%s: the size of the options must be sizeof(sw_norm_options)", who);
    if (!(o->eps >= 0 && o->eps <= 1e300))
        return sw_fail(SW_ERR_ARGUMENT, "%s: eps = %g; a finite number of at least 0 is needed (0: the default)", who,
                       o->eps);
    if (type != &swn_group_norm_type)
        return o->axes >= 0 && o->axes < SW_MAX_RANK
                   ? SW_OK
                   : sw_fail(SW_ERR_ARGUMENT, "%s: %d axes; 1 to %d, or 0 for 1, are possible", who, o->axes,
                             SW_MAX_RANK - 1);
    if (groups < 1 || groups > INT32_MAX)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %lld groups; 1 or more are needed", who, (long long)groups);
    if (o->axes != 0)
        return sw_fail(SW_ERR_ARGUMENT, "%s: axes = %d; it normalizes over all positions, and has no such option", who,
                       o->axes);
    return norm_check_groups(who, groups, features);
}

static sw_module *norm_new(sw_model *model, const sw_module_type *type, int64_t features, int64_t groups,
                           const sw_norm_options *options) {
    const sw_norm_options defaults = {.size = sizeof defaults}, *o = options ? options : &defaults;
    if (norm_check(type, features, groups, o) != SW_OK)
        return sw_module_fail(model);
    sw_module *m = sw_module_new(model, type, sizeof(norm));
    if (sw_module_is(m, type))
        *(norm *)m->data = (norm){.features = features, .groups = groups, .options = *o};
    return m;
}

sw_module *sw_nn_layer_norm_with_options(sw_model *model, int64_t features, const sw_norm_options *options) {
    return norm_new(model, &swn_layer_norm_type, features, 0, options);
}

sw_module *sw_nn_layer_norm(sw_model *model, int64_t features) {
    return sw_nn_layer_norm_with_options(model, features, NULL);
}

sw_module *sw_nn_rms_norm_with_options(sw_model *model, int64_t features, const sw_norm_options *options) {
    return norm_new(model, &swn_rms_norm_type, features, 0, options);
}

sw_module *sw_nn_rms_norm(sw_model *model, int64_t features) {
    return sw_nn_rms_norm_with_options(model, features, NULL);
}

sw_module *sw_nn_group_norm_with_options(sw_model *model, int64_t groups, int64_t features,
                                         const sw_norm_options *options) {
    return norm_new(model, &swn_group_norm_type, features, groups, options);
}

sw_module *sw_nn_group_norm(sw_model *model, int64_t groups, int64_t features) {
    return sw_nn_group_norm_with_options(model, groups, features, NULL);
}
