/* Layers: creating, adding to another layer, building, freeing. */
#include <swale/extend.h>

#include "nn/model.h"
#include "nn/module_build.h"
#include "nn/module_settings.h"

#include <string.h>

sw_module *sw_module_new(sw_model *model, const sw_module_type *type, size_t bytes) {
    if (!type || !type->name || !type->forward) {
        sw_fail(SW_ERR_ARGUMENT, "a layer needs a type with a name and a forward function");
        return sw_module_fail(model);
    }
    if (!model) {
        sw_fail(SW_ERR_ARGUMENT, "%s: the model is NULL", type->name);
        return NULL;
    }
    if (model->root) {
        sw_fail(SW_ERR_STATE, "%s: the model is built already", type->name);
        return sw_module_fail(model);
    }
    if (sw_grow_array(&model->module, &model->capacity, model->modules, 8, sizeof *model->module) != SW_OK)
        return sw_module_fail(model);
    sw_module *module = sw_alloc(sizeof *module);
    void *data = sw_alloc(bytes);
    char *name = sw_strdup(type->name); /* the build adds the number */
    if (!module || !data || !name) {
        sw_free(module);
        sw_free(data);
        sw_free(name);
        return sw_module_fail(model);
    }
    *module = (sw_module){.type = type, .model = model, .name = name, .data = data};
    module->in.rank = module->out.rank = -1;
    model->module[model->modules++] = module;
    return module;
}

void swn_module_free(sw_module *m) {
    if (m->type->free)
        m->type->free(m);
    swn_free_settings(m);
    sw_free(m->data);
    sw_free(m->child);
    sw_free(m->param);
    sw_free(m->kept_frozen);
    sw_free((void *)(uintptr_t)m->name);
    sw_free(m);
}

sw_status sw_module_add_child(sw_module *module, sw_module *child) {
    if (!module || !child)
        return sw_fail(SW_ERR_ARGUMENT, "a layer to be added is NULL");
    if (child->model != module->model)
        return sw_fail(SW_ERR_ARGUMENT, "layer %s belongs to another model", child->name);
    if (child == &module->model->placeholder)
        return sw_error() ? sw_last_failure()
                          : sw_fail(SW_ERR_STATE, "layer %s: creating an inner layer failed earlier", module->name);
    for (const sw_module *up = module; up; up = up->parent)
        if (up == child)
            return sw_fail(SW_ERR_ARGUMENT, "layer %s cannot be part of itself", child->name);
    if (child->parent)
        return sw_fail(SW_ERR_ARGUMENT, "layer %s is part of a layer already", child->name);
    SW_TRY(sw_resize_array(&module->child, module->children, module->children + 1, sizeof *module->child));
    module->child[module->children++] = child;
    child->parent = module;
    return SW_OK;
}

sw_module *sw_module_child(const sw_module *module, int index) {
    return module && index >= 0 && index < module->children ? module->child[index] : NULL;
}

sw_status sw_module_build(sw_module *module, sw_sample_shape *shape) {
    if (!module || !shape)
        return sw_fail(SW_ERR_ARGUMENT, "module_build: the %s is NULL", module ? "shape" : "layer");
    SW_TRY(swn_settle_name(module));
    module->in = *shape;
    if (module->type->build) {
        sw_status status = module->type->build(module, shape);
        if (status != SW_OK)
            return sw_fail(status, "layer %s: build returned status %d without a message", module->name, (int)status);
    }
    SW_TRY(swn_settle_frozen(module));
    SW_TRY(swn_check_settings_used(module));
    module->out = *shape;
    module->built = true;
    return SW_OK;
}
