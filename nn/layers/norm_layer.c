/* What the layers of normalizations share (norm_layer.h). */
#include "nn/layers/norm_layer.h"

#include <swale/extend.h>

sw_status swn_norm_set_features(const sw_module *m, const sw_sample_shape *shape, int64_t *features) {
    const int last = shape->rank - 1;
    if (shape->rank == 0)
        return sw_fail(SW_ERR_SHAPE, "layer %s: its input has scalar samples; samples [..., features] are needed",
                       m->name);
    if (shape->rank < 0)
        return *features > 0 ? SW_OK
                             : sw_fail(SW_ERR_SHAPE,
                                       "layer %s: the number of features is not known; give it, or "
                                       "sw_model_set_input_shape",
                                       m->name);
    if (*features == 0)
        *features = shape->length[last];
    if (shape->length[last] == *features)
        return SW_OK;
    return sw_fail(SW_ERR_SHAPE,
                   "layer %s: takes %lld feature%s, but its input has %lld, the last axis of samples %s%s", m->name,
                   (long long)*features, *features == 1 ? "" : "s", (long long)shape->length[last],
                   sw_shape_text(shape->rank, shape->length),
                   shape->rank > 1 && shape->length[0] == *features ? " (move the channels to the last axis?)" : "");
}

sw_status swn_norm_add_params(sw_module *m, int rank, const int64_t *shape, sw_file_order order, bool has_weight,
                              bool has_bias, swn_norm_params *to) {
    const sw_param_options weight = {.size = sizeof weight,
                                     .role = SW_ROLE_NORM,
                                     .init = sw_init_constant(1),
                                     .channels_first = order},
                           bias = {.size = sizeof bias, .role = SW_ROLE_BIAS, .channels_first = order};
    if (has_weight)
        to->weight = sw_module_add_param(m, "weight", rank, shape, &weight);
    if (has_bias)
        to->bias = sw_module_add_param(m, "bias", rank, shape, &bias);
    return (to->weight || !has_weight) && (to->bias || !has_bias) ? SW_OK : sw_last_failure();
}

swn_norm_tensors swn_norm_use(const swn_norm_params *p, sw_tensor x) {
    swn_norm_tensors t = {.x = x};
    if (p->weight)
        t.weight = sw_param_use(x.tape, p->weight);
    if (p->bias)
        t.bias = sw_param_use(x.tape, p->bias);
    if ((p->weight && sw_is_null(t.weight)) || (p->bias && sw_is_null(t.bias)))
        t.x = (sw_tensor){0};
    else if (p->weight || p->bias)
        t.x = sw_module_cast(x, p->weight ? t.weight : t.bias);
    return t;
}

sw_tensor swn_norm_finish(const swn_norm_tensors *t, sw_tensor x, sw_tensor y) {
    if (!sw_is_null(t->x) && t->x.slot != x.slot && !sw_is_null(y))
        sw_release(t->x); /* no other handle exists */
    return y;
}
