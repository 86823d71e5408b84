/* Layers: linear, dropout, flatten, reshape. */
#include "nn/internal.h"

#include <math.h>
#include <stdio.h>

/* ---- linear ---- */

typedef struct linear {
    int64_t inputs, outputs;
    bool has_bias;
    sw_param *weight, *bias;
} linear;

static sw_status linear_build(sw_module *m, sw_sample_shape *shape) {
    linear *l = m->data;
    bool known = shape->rank >= 0;
    if (known && shape->rank != 1)
        return sw_fail(SW_ERR_SHAPE, "layer %s: takes vectors; what comes in is %s for each sample", m->name,
                       sw_shape_text(shape->rank, shape->length));
    if (l->inputs == 0) {
        if (!known)
            return sw_fail(SW_ERR_SHAPE,
                           "layer %s: the number of inputs is not known; give it, or "
                           "sw_model_set_input_shape",
                           m->name);
        l->inputs = shape->length[0];
    }
    if (known && shape->length[0] != l->inputs)
        return sw_fail(SW_ERR_SHAPE, "layer %s: takes %lld inputs, but %lld come in", m->name, (long long)l->inputs,
                       (long long)shape->length[0]);
    sw_param_options weight = {.size = sizeof weight,
                               .role = SW_ROLE_WEIGHT,
                               .fan_in = l->inputs,
                               .fan_out = l->outputs,
                               .init = sw_init_he_uniform(sqrt(2))};
    sw_param_options bias = {.size = sizeof bias, .role = SW_ROLE_BIAS, .fan_in = l->inputs, .fan_out = l->outputs};
    l->weight = sw_module_add_param(m, "weight", 2, (int64_t[]){l->outputs, l->inputs}, &weight);
    if (l->has_bias)
        l->bias = sw_module_add_param(m, "bias", 1, &l->outputs, &bias);
    if (!l->weight || (l->has_bias && !l->bias))
        return sw_last_failure();
    *shape = (sw_sample_shape){.rank = 1, .length = {l->outputs}};
    return SW_OK;
}

static sw_tensor linear_forward(sw_module *m, sw_tensor x) {
    const linear *l = m->data;
    const sw_tensor none = {0}, weight = sw_param_use(x.tape, l->weight);
    if (!l->has_bias) /* sw_linear would take an error kept from before for the bias's */
        return sw_matmul_transposed(x, weight, false, true);
    return sw_linear(x, weight, sw_is_null(weight) ? none : sw_param_use(x.tape, l->bias));
}

static void linear_describe(const sw_module *m, char *text, size_t bytes) {
    const linear *l = m->data;
    snprintf(text, bytes, "linear %lld to %lld%s", (long long)l->inputs, (long long)l->outputs,
             l->has_bias ? "" : ", no bias");
}

static const sw_module_type linear_type = {.size = sizeof(sw_module_type),
                                           .name = "linear",
                                           .build = linear_build,
                                           .forward = linear_forward,
                                           .describe = linear_describe};

bool swn_is_linear(const sw_module *m, int64_t *inputs, int64_t *outputs, bool *bias) {
    if (!swn_is(m, &linear_type))
        return false;
    const linear *l = m->data;
    *inputs = l->inputs;
    *outputs = l->outputs;
    *bias = l->has_bias;
    return true;
}

static sw_module *linear_new(sw_model *model, int64_t inputs, int64_t outputs, bool has_bias) {
    if (inputs < 0 || outputs < 1) {
        sw_fail(SW_ERR_ARGUMENT,
                "linear: %lld inputs and %lld outputs; inputs 0 (open) or more, "
                "outputs 1 or more are needed",
                (long long)inputs, (long long)outputs);
        return sw_module_fail(model);
    }
    sw_module *m = sw_module_new(model, &linear_type, sizeof(linear));
    if (swn_is(m, &linear_type))
        *(linear *)m->data = (linear){.inputs = inputs, .outputs = outputs, .has_bias = has_bias};
    return m;
}

sw_module *sw_nn_linear(sw_model *model, int64_t inputs, int64_t outputs) {
    return linear_new(model, inputs, outputs, true);
}

sw_module *sw_nn_linear_no_bias(sw_model *model, int64_t inputs, int64_t outputs) {
    return linear_new(model, inputs, outputs, false);
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
    sw_format(text, bytes, "dropout %g", ((const dropout *)m->data)->p);
}

static const sw_module_type dropout_type = {.size = sizeof(sw_module_type),
                                            .name = "dropout",
                                            .build = dropout_build,
                                            .forward = dropout_forward,
                                            .describe = dropout_describe};

sw_module *sw_nn_dropout(sw_model *model, double p) {
    if (!(p >= 0 && p < 1)) {
        sw_fail(SW_ERR_ARGUMENT, "dropout: p = %g is outside [0, 1)", p);
        return sw_module_fail(model);
    }
    sw_module *m = sw_module_new(model, &dropout_type, sizeof(dropout));
    if (swn_is(m, &dropout_type))
        ((dropout *)m->data)->p = p;
    return m;
}

/* ---- flatten, reshape ---- */

static int64_t elements(const sw_sample_shape *s) {
    int64_t count = 1;
    for (int i = 0; i < s->rank; i++)
        count *= s->length[i];
    return count;
}

static sw_tensor reshape_to(sw_tensor x, const sw_sample_shape *sample) {
    int64_t shape[SW_MAX_RANK + 1] = {sw_value(x).shape[0]};
    for (int i = 0; i < sample->rank; i++)
        shape[i + 1] = sample->length[i];
    return sw_reshape(x, sample->rank + 1, shape);
}

static sw_status flatten_build(sw_module *m, sw_sample_shape *shape) {
    (void)m;
    if (shape->rank >= 0)
        *shape = (sw_sample_shape){.rank = 1, .length = {elements(shape)}};
    return SW_OK;
}

static sw_tensor flatten_forward(sw_module *m, sw_tensor x) {
    sw_array a = sw_value(x);
    if (a.rank < 1) {
        sw_fail(SW_ERR_SHAPE, "layer %s: a scalar comes in; [batch, ...] is needed", m->name);
        return (sw_tensor){0};
    }
    sw_sample_shape flat = {.rank = 1, .length = {1}};
    for (int i = 1; i < a.rank; i++)
        flat.length[0] *= a.shape[i];
    return reshape_to(x, &flat);
}

static const sw_module_type flatten_type = {
    .size = sizeof(sw_module_type), .name = "flatten", .build = flatten_build, .forward = flatten_forward};

sw_module *sw_nn_flatten(sw_model *model) {
    return sw_module_new(model, &flatten_type, 0);
}

static sw_status reshape_build(sw_module *m, sw_sample_shape *shape) {
    const sw_sample_shape *to = m->data;
    if (shape->rank >= 0 && elements(shape) != elements(to))
        return sw_fail(SW_ERR_SHAPE, "layer %s: a sample %s has %lld elements and cannot become %s", m->name,
                       sw_shape_text(shape->rank, shape->length), (long long)elements(shape),
                       sw_shape_text(to->rank, to->length));
    *shape = *to;
    return SW_OK;
}

static sw_tensor reshape_forward(sw_module *m, sw_tensor x) {
    if (sw_value(x).rank < 1) {
        sw_fail(SW_ERR_SHAPE, "layer %s: a scalar comes in; [batch, ...] is needed", m->name);
        return (sw_tensor){0};
    }
    return reshape_to(x, m->data);
}

static const sw_module_type reshape_type = {
    .size = sizeof(sw_module_type), .name = "reshape", .build = reshape_build, .forward = reshape_forward};

bool swn_is_reshaping(const sw_module *m) {
    return swn_is(m, &flatten_type) || swn_is(m, &reshape_type);
}

sw_module *sw_nn_reshape(sw_model *model, int rank, const int64_t *shape) {
    if (rank >= SW_MAX_RANK || !sw_array_view(model, SW_F32, rank, shape).data) {
        if (rank >= SW_MAX_RANK)
            sw_fail(SW_ERR_SHAPE, "reshape: a sample has at most %d axes, not %d", SW_MAX_RANK - 1, rank);
        else if (!model)
            sw_fail(SW_ERR_ARGUMENT, "reshape: the model is NULL");
        return sw_module_fail(model);
    }
    sw_module *m = sw_module_new(model, &reshape_type, sizeof(sw_sample_shape));
    if (swn_is(m, &reshape_type)) {
        sw_sample_shape *to = m->data;
        to->rank = rank;
        for (int i = 0; i < rank; i++)
            to->length[i] = shape[i];
    }
    return m;
}
