/* Settings of layers before the build: names, initial values, ties. */
#include <swale/extend.h>

#include "nn/model.h"
#include "nn/module_settings.h"

#include <string.h>

/* Whether the settings of a module can still be changed. If not, *result is what the caller returns. */
static bool module_is_open(sw_module *module, const char *what, sw_module **result) {
    *result = module;
    if (!module || module == &module->model->placeholder)
        return false;
    if (module->built) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: it is built already, so that its %s cannot change", module->name, what);
        *result = sw_module_fail(module->model);
        return false;
    }
    return true;
}

sw_module *sw_module_set_name(sw_module *module, const char *name) {
    sw_module *result;
    if (!module_is_open(module, "name", &result))
        return result;
    if (!name || !*name || strlen(name) > 100) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: a name of 1 to 100 characters is needed", module->name);
        return sw_module_fail(module->model);
    }
    char *copy = sw_strdup(name);
    if (!copy)
        return sw_module_fail(module->model);
    sw_free((void *)(uintptr_t)module->name);
    module->name = copy;
    module->named = true;
    return module;
}

sw_module_setting *swn_find_setting(const sw_module *module, const char *suffix) {
    sw_module_setting *s = module->settings;
    while (s && strcmp(s->suffix, suffix) != 0)
        s = s->next;
    return s;
}

/* The setting for a parameter; creates it if there is none. */
static sw_module_setting *module_setting(sw_module *module, const char *suffix) {
    if (!suffix || !*suffix) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: the suffix of the parameter is missing", module->name);
        return NULL;
    }
    sw_module_setting *s = swn_find_setting(module, suffix);
    if (s)
        return s;
    s = sw_alloc(sizeof *s);
    char *copy = sw_strdup(suffix);
    if (!s || !copy) {
        sw_free(s);
        sw_free(copy);
        return NULL;
    }
    s->suffix = copy;
    s->next = module->settings;
    module->settings = s;
    return s;
}

static sw_module *fail_tied_init(sw_module *module, const char *suffix) {
    sw_fail(SW_ERR_ARGUMENT, "layer %s: a tied %s has the initial values of the other layer's parameter", module->name,
            suffix);
    return sw_module_fail(module->model);
}

sw_module *sw_module_set_param_init(sw_module *module, const char *suffix, sw_init init) {
    sw_module *result;
    if (!module_is_open(module, "initial values", &result))
        return result;
    if (!init.fill) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: the initial values have no fill function", module->name);
        return sw_module_fail(module->model);
    }
    sw_module_setting *s = module_setting(module, suffix);
    if (!s)
        return sw_module_fail(module->model);
    if (s->other)
        return fail_tied_init(module, suffix);
    s->init = init;
    return module;
}

sw_module *sw_module_set_init(sw_module *module, sw_init init) {
    return sw_module_set_param_init(module, "weight", init);
}

sw_module *sw_module_tie_param(sw_module *module, const char *suffix, sw_module *other, const char *other_suffix) {
    sw_module *result;
    if (!module_is_open(module, "ties", &result))
        return result;
    if (!other || other == &other->model->placeholder || other == module || other->model != module->model ||
        !other_suffix || !*other_suffix) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: it can only be tied to another layer of its model%s", module->name,
                other && other->model == module->model ? "" : " (got NULL or a layer of another model)");
        return sw_module_fail(module->model);
    }
    sw_module_setting *s = module_setting(module, suffix);
    char *copy = s ? sw_strdup(other_suffix) : NULL;
    if (!copy)
        return sw_module_fail(module->model);
    sw_free(s->other_suffix);
    s->other_suffix = copy;
    s->other = other;
    return s->init.fill ? fail_tied_init(module, suffix) : module;
}

sw_module *sw_module_tie(sw_module *module, sw_module *other) {
    return sw_module_tie_param(module, "weight", other, "weight");
}

static sw_status module_fail_unused(const sw_module *m, const sw_module_setting *s) {
    enum { MOST = 32 };
    const char *names[MOST];
    int count = 0;
    for (; count < m->params && count < MOST; count++)
        names[count] = m->param[count]->name + strlen(m->name) + 1;
    return sw_fail(SW_ERR_ARGUMENT, "layer %s: it has no parameter %s, which is %s%s", m->name, s->suffix,
                   s->other ? "tied" : "given initial values", sw_suggest(s->suffix, count, names));
}

sw_status swn_check_settings_used(const sw_module *module) {
    for (const sw_module_setting *s = module->settings; s; s = s->next)
        if (!s->used)
            return module_fail_unused(module, s);
    return SW_OK;
}

void swn_free_settings(sw_module *m) {
    while (m->settings) {
        sw_module_setting *next = m->settings->next;
        sw_free(m->settings->suffix);
        sw_free(m->settings->other_suffix);
        sw_free(m->settings);
        m->settings = next;
    }
}
