/* Frozen layers, whose parameters get no gradient and no update. */
#include <swale/extend.h>

#include "nn/model.h"
#include "nn/module_build.h"

static const sw_param *untied_param(const sw_param *param) {
    return param->tied ? param->tied : param;
}

/* Whether the build of a layer that has this parameter froze it. */
static bool is_kept_frozen(const sw_model *model, const sw_param *param) {
    for (int i = 0; i < model->modules; i++) {
        const sw_module *m = model->module[i];
        for (int k = 0; m->kept_frozen && k < m->params; k++)
            if (m->kept_frozen[k] && untied_param(m->param[k]) == untied_param(param))
                return true;
    }
    return false;
}

sw_module *sw_module_freeze(sw_module *module, bool frozen) {
    if (!module)
        return NULL;
    module->frozen = frozen;
    for (int i = 0; i < module->params; i++)
        if (frozen || !is_kept_frozen(module->model, module->param[i]))
            sw_param_freeze(module->param[i], frozen);
    for (int i = 0; i < module->children; i++)
        sw_module_freeze(module->child[i], frozen);
    return module;
}

/* A tied parameter that was already frozen was frozen through the other layer. */
sw_status swn_settle_frozen(sw_module *module) {
    for (int i = 0; i < module->params; i++) {
        const sw_param *param = module->param[i];
        if (!param->tied && param->frozen && !param->buffer) {
            if (!module->kept_frozen && !(module->kept_frozen = sw_alloc((size_t)module->params)))
                return SW_ERR_MEMORY;
            module->kept_frozen[i] = true;
        }
    }
    for (int i = 0; module->frozen && i < module->params; i++)
        sw_param_freeze(module->param[i], true);
    return SW_OK;
}
