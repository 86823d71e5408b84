/* A custom layer with inner layers: x + f(x)·scale. */
#ifndef TEST_NN_RESIDUAL_H
#define TEST_NN_RESIDUAL_H

#include "helpers.h"

typedef struct residual {
    sw_param *scale;
    int *freed;
} residual;

static inline sw_status residual_build(sw_module *m, sw_sample_shape *shape) {
    residual *r = m->data;
    sw_sample_shape inside = *shape;
    for (int i = 0; i < m->children; i++)
        SW_TRY(sw_module_build(m->child[i], &inside));
    if (inside.rank != shape->rank || inside.length[0] != shape->length[0])
        return sw_fail(SW_ERR_SHAPE, "layer %s: in and out differ", m->name);
    const sw_param_options options = {.size = sizeof options, .role = SW_ROLE_NORM};
    r->scale = sw_module_add_param(m, "scale", 1, shape->length, &options);
    return r->scale ? SW_OK : sw_error_status();
}

static inline sw_tensor residual_forward(sw_module *m, sw_tensor x) {
    const residual *r = m->data;
    sw_tensor y = x;
    for (int i = 0; i < m->children; i++)
        y = sw_forward(m->child[i], y);
    return sw_add(x, sw_mul(y, sw_param_use(x.tape, r->scale)));
}

static inline void residual_describe(const sw_module *m, char *text, size_t bytes) {
    snprintf(text, bytes, "x + f(x), %d inside", m->children);
}

static inline void residual_free(sw_module *m) {
    const residual *r = m->data;
    if (r->freed)
        ++*r->freed;
}

static const sw_module_type residual_type = {.size = sizeof(sw_module_type),
                                             .name = "residual",
                                             .build = residual_build,
                                             .forward = residual_forward,
                                             .describe = residual_describe,
                                             .free = residual_free};

static inline sw_module *residual_new(sw_model *model, sw_module *inside, int *freed) {
    sw_module *m = sw_module_new(model, &residual_type, sizeof(residual));
    if (!m || m->type != &residual_type)
        return m;
    ((residual *)m->data)->freed = freed;
    return sw_module_add_child(m, inside) == SW_OK ? m : sw_module_fail(model);
}

#endif
