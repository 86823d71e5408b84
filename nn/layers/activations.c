/* Activation layers: operations without parameters. */
#include <swale/extend.h>
#include <swale/nn.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct activation {
    double number; /* slope, alpha */
    int axis;
} activation;

#define NUMBER(m) (((const activation *)(m)->data)->number)
#define AXIS(m) (((const activation *)(m)->data)->axis)

static void activation_describe_slope(const sw_module *m, char *text, size_t bytes) {
    sw_format(text, bytes, "slope %g", NUMBER(m));
}

static void activation_describe_alpha(const sw_module *m, char *text, size_t bytes) {
    sw_format(text, bytes, "alpha %g", NUMBER(m));
}

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

/* The table: name, call, build, describe. */
#define ACTIVATIONS(X)                                                                  \
    X(relu, sw_relu(x), NULL, NULL)                                                     \
    X(tanh, sw_tanh(x), NULL, NULL)                                                     \
    X(sigmoid, sw_sigmoid(x), NULL, NULL)                                               \
    X(leaky_relu, sw_leaky_relu(x, NUMBER(m)), NULL, activation_describe_slope)         \
    X(elu, sw_elu(x, NUMBER(m)), NULL, activation_describe_alpha)                       \
    X(silu, sw_silu(x), NULL, NULL)                                                     \
    X(softplus, sw_softplus(x), NULL, NULL)                                             \
    X(gelu, sw_gelu(x), NULL, NULL)                                                     \
    X(gelu_tanh, sw_gelu_tanh(x), NULL, NULL)                                           \
    X(softmax, sw_softmax(x, AXIS(m)), activation_build_axis, activation_describe_axis) \
    X(log_softmax, sw_log_softmax(x, AXIS(m)), activation_build_axis, activation_describe_axis)

#define FORWARD(name, call, build, describe)                     \
    static sw_tensor name##_forward(sw_module *m, sw_tensor x) { \
        (void)m;                                                 \
        return call;                                             \
    }
ACTIVATIONS(FORWARD)

/* clang-format off */
#define TYPE(id, call, build_function, describe_function)                            \
    {.size = sizeof(sw_module_type), .name = #id, .build = (build_function),         \
     .forward = id##_forward, .describe = (describe_function)},
/* clang-format on */
static const sw_module_type activation_types[] = {ACTIVATIONS(TYPE)};

#define INDEX(name, call, build, describe) index_##name,
enum { ACTIVATIONS(INDEX) COUNT };

static sw_module *activation_new(sw_model *model, int index, double number, int axis) {
    if (!isfinite(number)) {
        sw_fail(SW_ERR_ARGUMENT, "%s: %g is not finite", activation_types[index].name, number);
        return sw_module_fail(model);
    }
    sw_module *m = sw_module_new(model, &activation_types[index], sizeof(activation));
    if (sw_module_is(m, &activation_types[index]))
        *(activation *)m->data = (activation){number, axis};
    return m;
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
    for (int i = 0; i < COUNT; i++) {
        names[i] = activation_types[i].name;
        if (name && strcmp(name, names[i]) == 0)
            return activation_new(model, i, i == index_leaky_relu ? 0.01 : 1, -1);
    }
    sw_fail(SW_ERR_ARGUMENT, "activation: there is no %s%s", name ? name : "NULL",
            name ? sw_suggest(name, COUNT, names) : "");
    return sw_module_fail(model);
}
