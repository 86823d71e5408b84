/* Layers: creating, adding to another layer, building, freeing. */
#include <swale/extend.h>

#include "core/base/error_state.h"
#include "nn/model.h"
#include "nn/module_build.h"
#include "nn/module_settings.h"
#include "nn/module_type.h"

#include <string.h>

sw_module *sw_module_new(sw_model *model, const sw_module_type *type, size_t bytes) {
    if (!type || !type->size || !type->name || (!type->forward && !SWN_TYPE_MEMBER(type, forward_many))) {
        sw_fail(SW_ERR_ARGUMENT, "a layer needs a type with a size, a name and a forward function");
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
    sw_free(m->every_in);
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

/* ---- Build ---- */

sw_status swn_check_inputs(const sw_module *m, int count) {
    const bool many = SWN_TYPE_MEMBER(m->type, forward_many) != NULL;
    const int given_least = many ? m->type->least_inputs : 1, given_most = many ? m->type->most_inputs : 1,
              least = given_least > 0 ? given_least : 1,
              most = given_most > 0 && given_most < SW_MAX_INPUTS ? given_most : SW_MAX_INPUTS;
    if (count >= least && count <= most)
        return SW_OK;
    if (least == most)
        return sw_fail(SW_ERR_ARGUMENT, "layer %s: takes %d input%s, not %d", m->name, least, least > 1 ? "s" : "",
                       count);
    return sw_fail(SW_ERR_ARGUMENT, "layer %s: takes %d to %d inputs, not %d", m->name, least, most, count);
}

/* `in` may be the shapes that the layer already has. */
static sw_status module_set_inputs(sw_module *m, int count, const sw_sample_shape *in) {
    sw_sample_shape *copy = NULL;
    if (count > 1) {
        copy = sw_alloc_array(count, sizeof *copy);
        if (!copy)
            return SW_ERR_MEMORY;
        memcpy(copy, in, (size_t)count * sizeof *copy);
    }
    m->in = in[0];
    m->inputs = count;
    sw_free(m->every_in);
    m->every_in = copy;
    return SW_OK;
}

/* What the type's own function makes of the inputs. */
static sw_status module_run_build(sw_module *m, int count, const sw_sample_shape *in, sw_sample_shape *out) {
    const sw_module_type *type = m->type;
    sw_status status = SW_OK;
    *out = in[0];
    if (!SWN_TYPE_MEMBER(type, forward_many)) {
        status = type->build ? type->build(m, out) : SW_OK;
    } else if (type->build_many) {
        *out = (sw_sample_shape){.rank = -1};
        status = type->build_many(m, count, in, out);
    }
    return status == SW_OK
               ? SW_OK
               : sw_fail(status, "layer %s: build returned status %d without a message", m->name, (int)status);
}

/* Layers compute with the lengths of their input, whose product must not overflow. */
static sw_status module_check_output(const sw_module *m, const sw_sample_shape *out) {
    char prefix[256];
    int64_t elements;
    const bool had_error = sw_error() != NULL;
    if (out->rank < 0 || sw_shape_count(out->rank, out->length, &elements) == SW_OK)
        return SW_OK;
    sw_format(prefix, sizeof prefix, "layer %s: samples of its output: ", m->name);
    if (!had_error)
        swi_error_prefix(prefix);
    return sw_last_failure();
}

sw_status sw_module_build_many(sw_module *module, int count, const sw_sample_shape *in, sw_sample_shape *out) {
    if (!module || !in || !out)
        return sw_fail(SW_ERR_ARGUMENT, "module_build: the %s is NULL", module ? "shape" : "layer");
    SW_TRY(swn_check_inputs(module, count));
    SW_TRY(swn_settle_name(module));
    SW_TRY(module_set_inputs(module, count, in));
    sw_sample_shape result;
    SW_TRY(module_run_build(module, count, module->every_in ? module->every_in : &module->in, &result));
    SW_TRY(module_check_output(module, &result));
    SW_TRY(swn_settle_frozen(module));
    SW_TRY(swn_check_settings_used(module));
    *out = module->out = result;
    module->built = true;
    return SW_OK;
}

/* Of a layer of several inputs about which nothing is known, each is unknown. */
sw_status sw_module_build(sw_module *module, sw_sample_shape *shape) {
    if (!module || !shape)
        return sw_fail(SW_ERR_ARGUMENT, "module_build: the %s is NULL", module ? "shape" : "layer");
    if (shape->rank >= 0 || !SWN_TYPE_MEMBER(module->type, forward_many) || module->type->least_inputs < 2)
        return sw_module_build_many(module, 1, shape, shape);
    sw_sample_shape unknown[SW_MAX_INPUTS];
    const int count = module->type->least_inputs < SW_MAX_INPUTS ? module->type->least_inputs : SW_MAX_INPUTS;
    for (int i = 0; i < count; i++)
        unknown[i] = (sw_sample_shape){.rank = -1};
    return sw_module_build_many(module, count, unknown, shape);
}
