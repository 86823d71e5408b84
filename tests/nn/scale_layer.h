#include <swale/swale.h>

typedef struct scale {
    sw_param *factor; /* [features] */
} scale;

/* shape: that of a sample, without the batch; the layer does not change it. */
static sw_status scale_build(sw_module *m, sw_sample_shape *shape) {
    scale *s = m->data;
    if (shape->rank < 1) /* -1: the shape is not known */
        return sw_fail(SW_ERR_SHAPE, "layer %s: %s", m->name,
                       shape->rank < 0 ? "the number of features is not known (sw_model_set_input_shape?)"
                                       : "a sample is one number; features are needed");
    const sw_param_options ones = SW_OPTIONS(sw_param_options, .role = SW_ROLE_OTHER, .init = sw_init_constant(1));
    s->factor = sw_module_add_param(m, "factor", 1, &shape->length[shape->rank - 1], &ones);
    return s->factor ? SW_OK : sw_error_status();
}

/* [batch, ..., features] → the same */
static sw_tensor scale_forward(sw_module *m, sw_tensor x) {
    const scale *s = m->data;
    return sw_mul(x, sw_param_use(x.tape, s->factor));
}

static const sw_module_type scale_type = {
    .size = sizeof(sw_module_type), .name = "scale", .build = scale_build, .forward = scale_forward};

static inline sw_module *scale_layer(sw_model *model) {
    return sw_module_new(model, &scale_type, sizeof(scale));
}
