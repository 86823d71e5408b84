/* The layers: linear, relu, dropout, sequential. */
#include "internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- linear ---- */

typedef struct linear {
    int64_t inputs, outputs;
    sw_param *weight, *bias;
} linear;

static sw_status linear_build(sw_module *m, sw_sample_shape *shape) {
    linear *l = m->data;
    bool known = shape->rank >= 0;
    if (known && shape->rank != 1)
        return sw_fail(SW_ERR_SHAPE, "layer %s: takes vectors; what comes in is %s for each sample",
                       m->name, sw_shape_text(shape->rank, shape->length));
    if (l->inputs == 0) {
        if (!known)
            return sw_fail(SW_ERR_SHAPE, "layer %s: the number of inputs is not known; give it, or "
                                         "sw_model_input", m->name);
        l->inputs = shape->length[0];
    }
    if (known && shape->length[0] != l->inputs)
        return sw_fail(SW_ERR_SHAPE, "layer %s: takes %lld inputs, but %lld come in", m->name,
                       (long long)l->inputs, (long long)shape->length[0]);
    sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT, .fan_in = l->inputs,
                               .fan_out = l->outputs,
                               .init = m->init.fill ? m->init : sw_init_he_uniform(sqrt(2))};
    sw_param_options bias = {.size = sizeof bias, .role = SW_ROLE_BIAS, .fan_in = l->inputs,
                             .fan_out = l->outputs};
    l->weight = sw_module_param(m, "weight", 2, (int64_t[]){l->outputs, l->inputs}, &weight);
    l->bias = sw_module_param(m, "bias", 1, &l->outputs, &bias);
    if (!l->weight || !l->bias)
        return sw_error_status();
    *shape = (sw_sample_shape){.rank = 1, .length = {l->outputs}};
    return SW_OK;
}

static sw_tensor linear_forward(sw_module *m, sw_tensor x) {
    const linear *l = m->data;
    return sw_linear(x, sw_param_use(x.tape, l->weight), sw_param_use(x.tape, l->bias));
}

static void linear_describe(const sw_module *m, char *text, size_t bytes) {
    const linear *l = m->data;
    snprintf(text, bytes, "linear %lld to %lld", (long long)l->inputs, (long long)l->outputs);
}

static const sw_module_type linear_type = {.size = sizeof(sw_module_type), .name = "linear",
                                           .build = linear_build, .forward = linear_forward,
                                           .describe = linear_describe};

sw_module *sw_nn_linear(sw_model *model, int64_t inputs, int64_t outputs) {
    if (inputs < 0 || outputs < 1) {
        sw_fail(SW_ERR_ARGUMENT, "linear: %lld inputs and %lld outputs; inputs 0 (open) or more, "
                                 "outputs 1 or more are needed", (long long)inputs,
                (long long)outputs);
        return sw_module_failed(model);
    }
    sw_module *m = sw_module_new(model, &linear_type, sizeof(linear));
    if (m && m->type == &linear_type)
        *(linear *)m->data = (linear){.inputs = inputs, .outputs = outputs};
    return m;
}

/* ---- relu ---- */

static sw_tensor relu_forward(sw_module *m, sw_tensor x) {
    (void)m;
    return sw_relu(x);
}

static const sw_module_type relu_type = {.size = sizeof(sw_module_type), .name = "relu",
                                         .forward = relu_forward};

sw_module *sw_nn_relu(sw_model *model) {
    return sw_module_new(model, &relu_type, 0);
}

/* ---- dropout ---- */

typedef struct dropout {
    double p;
    uint64_t site;
} dropout;

static sw_status dropout_build(sw_module *m, sw_sample_shape *shape) {
    (void)shape;
    dropout *d = m->data;
    d->site = sw_rng_key(sw_params_seed(m->model->params), m->name);
    return SW_OK;
}

static sw_tensor dropout_forward(sw_module *m, sw_tensor x) {
    const dropout *d = m->data;
    return sw_dropout(x, d->p, d->site);
}

static void dropout_describe(const sw_module *m, char *text, size_t bytes) {
    snprintf(text, bytes, "dropout %g", ((const dropout *)m->data)->p);
}

static const sw_module_type dropout_type = {.size = sizeof(sw_module_type), .name = "dropout",
                                            .build = dropout_build, .forward = dropout_forward,
                                            .describe = dropout_describe};

sw_module *sw_nn_dropout(sw_model *model, double p) {
    if (!(p >= 0 && p < 1)) {
        sw_fail(SW_ERR_ARGUMENT, "dropout: p = %g is outside [0, 1)", p);
        return sw_module_failed(model);
    }
    sw_module *m = sw_module_new(model, &dropout_type, sizeof(dropout));
    if (m && m->type == &dropout_type)
        ((dropout *)m->data)->p = p;
    return m;
}

/* ---- sequential ---- */

static sw_status sequential_build(sw_module *m, sw_sample_shape *shape) {
    for (int i = 0; i < m->children; i++)
        SW_TRY(sw_module_build(m->child[i], shape));
    return SW_OK;
}

static bool same(sw_tensor a, sw_tensor b) {
    return a.tape == b.tape && a.slot == b.slot && a.generation == b.generation;
}

static sw_tensor sequential_forward(sw_module *m, sw_tensor x) {
    sw_tensor at = x;
    for (int i = 0; i < m->children && !sw_is_null(at); i++) {
        sw_tensor next = sw_forward(m->child[i], at);
        /* Nobody else has a handle on what passes between two layers; the input is the caller's. */
        if (!same(at, x) && !same(at, next))
            sw_release(at);
        at = next;
    }
    return at;
}

static const sw_module_type sequential_type = {.size = sizeof(sw_module_type),
                                               .name = "sequential", .build = sequential_build,
                                               .forward = sequential_forward};

sw_module *sw_nn_sequential_of(sw_model *model, int count, sw_module *const *modules) {
    sw_module *m = sw_module_new(model, &sequential_type, 0);
    if (!m || m->type != &sequential_type)
        return m;
    if (count > 0 && !modules) {
        sw_fail(SW_ERR_ARGUMENT, "sequential: the list of layers is NULL");
        return sw_module_failed(model);
    }
    for (int i = 0; i < count; i++)
        if (sw_module_add(m, modules[i]) != SW_OK)
            return sw_module_failed(model);
    return m;
}

sw_module *sw_nn_sequential(sw_model *model, ...) {
    sw_module *m = sw_module_new(model, &sequential_type, 0);
    if (!m || m->type != &sequential_type)
        return m;
    va_list list;
    va_start(list, model);
    sw_module *child;
    sw_status status = SW_OK;
    while (status == SW_OK && (child = va_arg(list, sw_module *)) != NULL)
        status = sw_module_add(m, child);
    va_end(list);
    return status == SW_OK ? m : sw_module_failed(model);
}
