/* Parameters of layers: declared during the build, with the initial values and ties that the program has set. */
#include <swale/extend.h>

#include "nn/model.h"
#include "nn/module_build.h"
#include "nn/module_settings.h"

#include <stdio.h>
#include <string.h>

sw_param *sw_module_find_param(const sw_module *module, const char *suffix) {
    for (int i = 0; module && suffix && i < module->params; i++)
        if (strcmp(module->param[i]->name + strlen(module->name) + 1, suffix) == 0)
            return module->param[i];
    return NULL;
}

static sw_param *module_tie_param(sw_module *m, const char *name, const sw_module_setting *s, int rank,
                                  const int64_t *shape) {
    sw_param *target = sw_module_find_param(s->other, s->other_suffix);
    if (!target) {
        sw_fail(SW_ERR_STATE, "layer %s: its %s is tied to layer %s, which %s%s", m->name, s->suffix, s->other->name,
                s->other->built ? "has no " : "is built later: tie that layer to this one",
                s->other->built ? s->other_suffix : "");
        return NULL;
    }
    bool fits = rank == target->rank;
    for (int i = 0; i < rank; i++) {
        if (fits && shape[i] != target->shape[i]) {
            sw_fail(SW_ERR_SHAPE, "parameter %s: %s cannot be tied to %s %s: axis %d differs", name,
                    sw_shape_text(rank, shape), target->name, sw_shape_text(target->rank, target->shape), i);
            return NULL;
        }
    }
    if (!fits) {
        sw_fail(SW_ERR_SHAPE, "parameter %s: %s cannot be tied to %s %s: %d and %d axes", name,
                sw_shape_text(rank, shape), target->name, sw_shape_text(target->rank, target->shape), rank,
                target->rank);
        return NULL;
    }
    return sw_params_tie(m->model->params, name, target);
}

sw_status swn_check_size(const sw_model *model, const char *name, int rank, const int64_t *shape) {
    int64_t left = model->most_params, count;
    if (left < 0)
        return SW_OK;
    SW_TRY(sw_shape_count(rank, shape, &count));
    for (int i = 0; i < sw_params_count(model->params) && left >= 0; i++) {
        const sw_param *p = sw_params_at(model->params, i);
        left -= p->tied ? 0 : p->count;
    }
    return count <= left ? SW_OK
                         : sw_fail(SW_ERR_FORMAT,
                                   "the network has more parameters than the file has numbers, %lld; the first too "
                                   "many is %s %s",
                                   (long long)model->most_params, name, sw_shape_text(rank, shape));
}

static sw_param *module_declare_param(sw_module *m, const char *name, const sw_module_setting *s, int rank,
                                      const int64_t *shape, const sw_param_options *given) {
    sw_param_options options = {.size = sizeof options, .role = SW_ROLE_OTHER};
    if (given && sw_options_copy("parameter", "sw_param_options", &options, sizeof options, given,
                                 offsetof(sw_param_options, role)) != SW_OK)
        return NULL;
    options.size = sizeof options;
    if (s && s->init.fill)
        options.init = s->init;
    else if (!options.buffer && (unsigned)options.role < SWN_ROLES && m->model->init[options.role].fill)
        options.init = m->model->init[options.role];
    /* Checked at the declaration, because the build of a composed layer runs it, and allocates outputs as long as a
     * parameter has rows. */
    return swn_check_size(m->model, name, rank, shape) == SW_OK
               ? sw_params_add(m->model->params, name, rank, shape, &options)
               : NULL;
}

sw_param *sw_module_add_param(sw_module *module, const char *suffix, int rank, const int64_t *shape,
                              const sw_param_options *options) {
    char name[256];
    if (!module || !suffix || !*suffix || (rank > 0 && !shape)) {
        sw_fail(SW_ERR_ARGUMENT, "module_add_param: the %s is NULL", !module ? "layer" : suffix ? "shape" : "name");
        return NULL;
    }
    if (snprintf(name, sizeof name, "%s.%s", module->name, suffix) >= (int)sizeof name) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: the name of its %s is too long", module->name, suffix);
        return NULL;
    }
    if (sw_resize_array(&module->param, module->params, module->params + 1, sizeof *module->param) != SW_OK)
        return NULL;
    sw_module_setting *s = swn_find_setting(module, suffix);
    if (s)
        s->used = true;
    sw_param *param = s && s->other ? module_tie_param(module, name, s, rank, shape)
                                    : module_declare_param(module, name, s, rank, shape, options);
    if (!param)
        return NULL;
    module->param[module->params++] = param;
    return param;
}
