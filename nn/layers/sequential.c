/* The sequential layer: calls its layers one after the other. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"
#include "nn/layers/child_list.h"

static sw_status sequential_build(sw_module *m, sw_sample_shape *shape) {
    for (int i = 0; i < m->children; i++)
        SW_TRY(sw_module_build(m->child[i], shape));
    return SW_OK;
}

static sw_tensor sequential_forward(sw_module *m, sw_tensor x) {
    sw_tensor y = x;
    for (int i = 0; i < m->children && !sw_is_null(y); i++) {
        sw_tensor next = sw_forward(m->child[i], y);
        /* Releases the tensors between the layers, to which no other handle exists. The input belongs to the caller. */
        if (!swn_same_tensor(y, x) && !swn_same_tensor(y, next))
            sw_release(y);
        y = next;
    }
    return y;
}

static sw_status sequential_save(const sw_module *m, sw_description *to) {
    (void)m, (void)to;
    return SW_OK;
}

static sw_module *sequential_restore(sw_model *model, const sw_description *from) {
    int count;
    sw_module *const *layers = sw_description_layers(from, &count);
    return sw_nn_sequential_array(model, count, layers);
}

const sw_module_type swn_sequential_type = {.size = sizeof(sw_module_type),
                                            .name = "sequential",
                                            .build = sequential_build,
                                            .forward = sequential_forward,
                                            .is_chain = true,
                                            .save = sequential_save,
                                            .restore = sequential_restore};

sw_module *sw_nn_sequential_array(sw_model *model, int count, sw_module *const *modules) {
    sw_module *m = sw_module_new(model, &swn_sequential_type, 0);
    if (!sw_module_is(m, &swn_sequential_type))
        return m;
    return swn_add_children(m, count, modules);
}

sw_module *sw_nn_sequential_listed(sw_model *model, int count, sw_module *const *modules) {
    return sw_nn_sequential_array(model, swn_child_count(count, modules), modules);
}

sw_module *(sw_nn_sequential)(sw_model *model, ...) {
    sw_module *m = sw_module_new(model, &swn_sequential_type, 0);
    if (!sw_module_is(m, &swn_sequential_type))
        return m;
    va_list list;
    va_start(list, model);
    m = swn_add_child_list(m, list);
    va_end(list);
    return m;
}
