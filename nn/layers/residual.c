/* The residual layer: x + f(x). */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"
#include "nn/layers/child_list.h"

static sw_status residual_build(sw_module *m, sw_sample_shape *shape) {
    const sw_sample_shape in = *shape;
    SW_TRY(sw_module_build(m->child[0], shape));
    if (in.rank >= 0 && !sw_shape_equal(in.rank, in.length, shape->rank, shape->length))
        return sw_fail(SW_ERR_SHAPE,
                       "layer %s: the input is %s, and layer %s returns %s; x + f(x) needs equal "
                       "shapes",
                       m->name, sw_shape_text(in.rank, in.length), m->child[0]->name,
                       sw_shape_text(shape->rank, shape->length));
    if (in.flattened_rank && !shape->flattened_rank)
        shape->flattened_rank = -1; /* PyTorch's f has its outputs in the order of x, which its layers cannot know */
    return SW_OK;
}

static sw_tensor residual_forward(sw_module *m, sw_tensor x) {
    sw_tensor y = sw_forward(m->child[0], x);
    if (sw_is_null(y))
        return y;
    sw_array a = sw_value(x), b = sw_value(y);
    if (!sw_shape_equal(a.rank, a.shape, b.rank, b.shape)) { /* the build may not know the shapes */
        sw_fail(SW_ERR_SHAPE, "layer %s: x %s and f(x) %s; equal shapes are needed", m->name,
                sw_shape_text(a.rank, a.shape), sw_shape_text(b.rank, b.shape));
        return (sw_tensor){0};
    }
    sw_tensor sum = sw_add(x, y);
    if (!swn_same_tensor(x, y) && !sw_is_null(sum))
        sw_release(y); /* no other handle exists */
    return sum;
}

static sw_status residual_save(const sw_module *m, sw_description *to) {
    (void)m, (void)to;
    return SW_OK;
}

static sw_module *residual_restore(sw_model *model, const sw_description *from) {
    int count;
    sw_module *const *layers = sw_description_layers(from, &count);
    if (count == 1)
        return sw_nn_residual(model, layers[0]);
    sw_fail(SW_ERR_FORMAT, "%d inner layers; 1 is needed", count);
    return sw_module_fail(model);
}

const sw_module_type swn_residual_type = {.size = sizeof(sw_module_type),
                                          .name = "residual",
                                          .build = residual_build,
                                          .forward = residual_forward,
                                          .save = residual_save,
                                          .restore = residual_restore,
                                          .continues = true};

sw_module *sw_nn_residual(sw_model *model, sw_module *f) {
    sw_module *m = sw_module_new(model, &swn_residual_type, 0);
    return sw_module_is(m, &swn_residual_type) ? swn_add_children(m, 1, &f) : m;
}
