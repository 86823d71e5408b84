/* Activation layers: operations without parameters. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct activation {
    double number; /* slope, alpha */
    int axis;
} activation;

#define NUMBER(m) (((const activation *)(m)->data)->number)
#define AXIS(m) (((const activation *)(m)->data)->axis)

static void activation_describe_axis(const sw_module *m, char *text, size_t bytes) {
    snprintf(text, bytes, "axis %d", AXIS(m));
}

static sw_status activation_build_axis(sw_module *m, sw_sample_shape *shape) {
    int axis = AXIS(m);
    if (shape->rank >= 0 && (axis < -shape->rank - 1 || axis > shape->rank))
        return sw_fail(SW_ERR_SHAPE, "layer %s: axis %d of a batch of samples %s is outside %d to %d", m->name, axis,
                       sw_shape_text(shape->rank, shape->length), -shape->rank - 1, shape->rank);
    return SW_OK;
}

/* The table: name, call, the name of its setting ("axis", or that of a number; NULL: no setting), build, describe. */
#define ACTIVATIONS(X)                                                                          \
    X(relu, sw_relu(x), NULL, NULL, NULL)                                                       \
    X(tanh, sw_tanh(x), NULL, NULL, NULL)                                                       \
    X(sigmoid, sw_sigmoid(x), NULL, NULL, NULL)                                                 \
    X(leaky_relu, sw_leaky_relu(x, NUMBER(m)), "slope", NULL, activation_describe_number)       \
    X(elu, sw_elu(x, NUMBER(m)), "alpha", NULL, activation_describe_number)                     \
    X(silu, sw_silu(x), NULL, NULL, NULL)                                                       \
    X(softplus, sw_softplus(x), NULL, NULL, NULL)                                               \
    X(gelu, sw_gelu(x), NULL, NULL, NULL)                                                       \
    X(gelu_tanh, sw_gelu_tanh(x), NULL, NULL, NULL)                                             \
    X(softmax, sw_softmax(x, AXIS(m)), "axis", activation_build_axis, activation_describe_axis) \
    X(log_softmax, sw_log_softmax(x, AXIS(m)), "axis", activation_build_axis, activation_describe_axis)

#define SETTING(name, call, setting, build, describe) setting,
static const char *const activation_settings[] = {ACTIVATIONS(SETTING)};

static const char *activation_setting(const sw_module *m) {
    return activation_settings[m->type - swn_activation_types];
}

static void activation_describe_number(const sw_module *m, char *text, size_t bytes) {
    sw_format(text, bytes, "%s %g", activation_setting(m), NUMBER(m));
}

static bool activation_has_axis(const char *setting) {
    return strcmp(setting, "axis") == 0;
}

static sw_status activation_save(const sw_module *m, sw_description *to) {
    const char *setting = activation_setting(m);
    if (!setting)
        return SW_OK;
    return activation_has_axis(setting) ? sw_description_set_integer(to, setting, AXIS(m))
                                        : sw_description_set_number(to, setting, NUMBER(m));
}

static sw_module *activation_restore(sw_model *model, const sw_description *from);

#define FORWARD(name, call, setting, build, describe)            \
    static sw_tensor name##_forward(sw_module *m, sw_tensor x) { \
        (void)m;                                                 \
        return call;                                             \
    }
ACTIVATIONS(FORWARD)

/* clang-format off */
#define TYPE(id, call, setting, build_function, describe_function)                   \
    {.size = sizeof(sw_module_type), .name = #id, .build = (build_function),         \
     .forward = id##_forward, .describe = (describe_function),                       \
     .save = activation_save, .restore = activation_restore,                         \
     .continues = (build_function) == NULL /* an axis may be that of the positions */},
/* clang-format on */
const sw_module_type swn_activation_types[] = {ACTIVATIONS(TYPE)};

#define INDEX(name, call, setting, build, describe) index_##name,
enum { ACTIVATIONS(INDEX) COUNT };
const int swn_activation_count = COUNT;

static sw_module *activation_new(sw_model *model, int index, double number, int axis) {
    if (!isfinite(number)) {
        sw_fail(SW_ERR_ARGUMENT, "%s: %g is not finite", swn_activation_types[index].name, number);
        return sw_module_fail(model);
    }
    sw_module *m = sw_module_new(model, &swn_activation_types[index], sizeof(activation));
    if (sw_module_is(m, &swn_activation_types[index]))
        *(activation *)m->data = (activation){number, axis};
    return m;
}

static int activation_index(const char *name) {
    int index = 0;
    while (index < COUNT && strcmp(swn_activation_types[index].name, name) != 0)
        index++;
    return index;
}

static sw_module *activation_restore(sw_model *model, const sw_description *from) {
    const int index = activation_index(sw_description_type(from));
    const char *setting = activation_settings[index];
    double number = 0;
    int64_t axis = 0;
    if (setting &&
        (activation_has_axis(setting) ? sw_description_integer(from, setting, -SW_MAX_RANK, SW_MAX_RANK, &axis)
                                      : sw_description_number(from, setting, -HUGE_VAL, HUGE_VAL, &number)) != SW_OK)
        return sw_module_fail(model);
    return activation_new(model, index, number, (int)axis);
}

bool swn_is_relu(const sw_module *module) {
    return module->type == &swn_activation_types[index_relu];
}

sw_module *sw_nn_relu(sw_model *model) {
    return activation_new(model, index_relu, 0, 0);
}

sw_module *sw_nn_tanh(sw_model *model) {
    return activation_new(model, index_tanh, 0, 0);
}

sw_module *sw_nn_sigmoid(sw_model *model) {
    return activation_new(model, index_sigmoid, 0, 0);
}

sw_module *sw_nn_leaky_relu(sw_model *model, double slope) {
    return activation_new(model, index_leaky_relu, slope, 0);
}

sw_module *sw_nn_elu(sw_model *model, double alpha) {
    return activation_new(model, index_elu, alpha, 0);
}

sw_module *sw_nn_silu(sw_model *model) {
    return activation_new(model, index_silu, 0, 0);
}

sw_module *sw_nn_softplus(sw_model *model) {
    return activation_new(model, index_softplus, 0, 0);
}

sw_module *sw_nn_gelu(sw_model *model) {
    return activation_new(model, index_gelu, 0, 0);
}

sw_module *sw_nn_gelu_tanh(sw_model *model) {
    return activation_new(model, index_gelu_tanh, 0, 0);
}

sw_module *sw_nn_softmax(sw_model *model, int axis) {
    return activation_new(model, index_softmax, 0, axis);
}

sw_module *sw_nn_log_softmax(sw_model *model, int axis) {
    return activation_new(model, index_log_softmax, 0, axis);
}

sw_module *sw_nn_activation(sw_model *model, const char *name) {
    const char *names[COUNT];
    const int index = name ? activation_index(name) : COUNT;
    if (index < COUNT)
        return activation_new(model, index, index == index_leaky_relu ? 0.01 : 1, -1);
    for (int i = 0; i < COUNT; i++)
        names[i] = swn_activation_types[i].name;
    sw_fail(SW_ERR_ARGUMENT, "activation: there is no %s%s", name ? name : "NULL",
            name ? sw_suggest(name, COUNT, names) : "");
    return sw_module_fail(model);
}
