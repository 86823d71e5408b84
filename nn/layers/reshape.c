/* Layers that change the shape of samples: flatten and reshape. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"

static int64_t sample_elements(const sw_sample_shape *s) {
    int64_t count = 1;
    for (int i = 0; i < s->rank; i++)
        count *= s->length[i];
    return count;
}

static sw_tensor reshape_batch(sw_tensor x, const sw_sample_shape *sample) {
    int64_t shape[SW_MAX_RANK + 1] = {sw_value(x).shape[0]};
    for (int i = 0; i < sample->rank; i++)
        shape[i + 1] = sample->length[i];
    return sw_reshape(x, sample->rank + 1, shape);
}

/* The vector that a sample becomes. */
static sw_sample_shape sample_flattened(const sw_sample_shape *from) {
    if (from->rank < 0)
        return (sw_sample_shape){.rank = -1, .flattened_rank = -1};
    if (from->rank == 1)
        return *from;
    sw_sample_shape flat = {.rank = 1, .length = {sample_elements(from)}, .spatial = from->spatial};
    flat.flattened_rank = from->spatial > 0 ? from->rank : 0;
    for (int i = 0; i < flat.flattened_rank; i++)
        flat.flattened[i] = from->length[i];
    return flat;
}

static sw_status flatten_build(sw_module *m, sw_sample_shape *shape) {
    (void)m;
    *shape = sample_flattened(shape);
    return SW_OK;
}

static sw_tensor flatten_forward(sw_module *m, sw_tensor x) {
    sw_array a = sw_value(x);
    if (a.rank < 1) {
        sw_fail(SW_ERR_SHAPE, "layer %s: the input is a scalar; [batch, ...] is needed", m->name);
        return (sw_tensor){0};
    }
    sw_sample_shape flat = {.rank = 1, .length = {1}};
    for (int i = 1; i < a.rank; i++)
        flat.length[0] *= a.shape[i];
    return reshape_batch(x, &flat);
}

static sw_status flatten_save(const sw_module *m, sw_description *to) {
    (void)m, (void)to;
    return SW_OK;
}

static sw_module *flatten_restore(sw_model *model, const sw_description *from) {
    (void)from;
    return sw_nn_flatten(model);
}

const sw_module_type swn_flatten_type = {.size = sizeof(sw_module_type),
                                         .name = "flatten",
                                         .build = flatten_build,
                                         .forward = flatten_forward,
                                         .is_reshape = true,
                                         .save = flatten_save,
                                         .restore = flatten_restore};

sw_module *sw_nn_flatten(sw_model *model) {
    return sw_module_new(model, &swn_flatten_type, 0);
}

static sw_status reshape_build(sw_module *m, sw_sample_shape *shape) {
    const sw_sample_shape *to = m->data;
    if (shape->rank >= 0 && sample_elements(shape) != sample_elements(to))
        return sw_fail(SW_ERR_SHAPE, "layer %s: a sample %s has %lld element%s and cannot become %s", m->name,
                       sw_shape_text(shape->rank, shape->length), (long long)sample_elements(shape),
                       sample_elements(shape) == 1 ? "" : "s", sw_shape_text(to->rank, to->length));
    *shape = to->rank == 1 ? sample_flattened(shape) : *to;
    if (shape->rank < 0) { /* of the input nothing is known */
        shape->rank = 1;
        shape->length[0] = to->length[0];
    }
    return SW_OK;
}

static sw_tensor reshape_forward(sw_module *m, sw_tensor x) {
    if (sw_value(x).rank < 1) {
        sw_fail(SW_ERR_SHAPE, "layer %s: the input is a scalar; [batch, ...] is needed", m->name);
        return (sw_tensor){0};
    }
    return reshape_batch(x, m->data);
}

static sw_status reshape_save(const sw_module *m, sw_description *to) {
    const sw_sample_shape *shape = m->data;
    return sw_description_set_integers(to, "shape", shape->rank, shape->length);
}

static sw_module *reshape_restore(sw_model *model, const sw_description *from) {
    int64_t shape[SW_MAX_RANK];
    int rank;
    if (sw_description_integers(from, "shape", 0, INT64_MAX, SW_MAX_RANK - 1, &rank, shape) != SW_OK)
        return sw_module_fail(model);
    return sw_nn_reshape(model, rank, shape);
}

const sw_module_type swn_reshape_type = {.size = sizeof(sw_module_type),
                                         .name = "reshape",
                                         .build = reshape_build,
                                         .forward = reshape_forward,
                                         .is_reshape = true,
                                         .save = reshape_save,
                                         .restore = reshape_restore};

sw_module *sw_nn_reshape(sw_model *model, int rank, const int64_t *shape) {
    if (rank >= SW_MAX_RANK || !sw_array_view(model, SW_F32, rank, shape).data) {
        if (rank >= SW_MAX_RANK)
            sw_fail(SW_ERR_SHAPE, "reshape: a sample has at most %d axes, not %d", SW_MAX_RANK - 1, rank);
        else if (!model)
            sw_fail(SW_ERR_ARGUMENT, "reshape: the model is NULL");
        return sw_module_fail(model);
    }
    sw_module *m = sw_module_new(model, &swn_reshape_type, sizeof(sw_sample_shape));
    if (sw_module_is(m, &swn_reshape_type)) {
        sw_sample_shape *to = m->data;
        to->rank = rank;
        to->spatial = rank >= 3 ? rank - 1 : 0; /* pictures */
        for (int i = 0; i < rank; i++)
            to->length[i] = shape[i];
    }
    return m;
}
