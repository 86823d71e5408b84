/* Composed layers: a function calls other layers. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/child_list.h"

#include <stdio.h>
#include <string.h>

typedef struct compose {
    sw_module_type type; /* with the name `kind` of the caller */
    char kind[50];
    void *user;
    bool out_given;
    sw_sample_shape out;
} compose;

static sw_status compose_build_unknown(sw_module *m) {
    for (int i = 0; i < m->children; i++)
        if (!m->child[i]->built) {
            sw_sample_shape unknown = {.rank = -1};
            SW_TRY(sw_module_build(m->child[i], &unknown));
        }
    return SW_OK;
}

static sw_status compose_build(sw_module *m, sw_sample_shape *shape) {
    const compose *c = m->data;
    if (c->out_given) {
        *shape = c->out;
        return compose_build_unknown(m);
    }
    SW_TRY(sw_module_trace(m, shape));
    return compose_build_unknown(m);
}

static void compose_describe(const sw_module *m, char *text, size_t bytes) {
    snprintf(text, bytes, "composed of %d", m->children);
}

/* Makes the layer, without inner layers. */
static sw_module *compose_new(sw_model *model, const char *kind, sw_tensor (*forward)(sw_module *, sw_tensor),
                              const sw_compose_options *given) {
    sw_compose_options options = {.size = sizeof options};
    if (given && sw_options_copy("compose", "sw_compose_options", &options, sizeof options, given,
                                 offsetof(sw_compose_options, user)) != SW_OK)
        return sw_module_fail(model);
    if (!kind || !*kind || strlen(kind) >= sizeof((compose *)0)->kind - 1 || !forward) {
        sw_fail(SW_ERR_ARGUMENT, "compose: %s",
                forward ? "a kind of 1 to 48 characters is needed" : "the forward function is NULL");
        return sw_module_fail(model);
    }
    const sw_module_type type = {.size = sizeof type,
                                 .name = kind,
                                 .build = compose_build,
                                 .forward = forward,
                                 .describe = compose_describe,
                                 .name_space = true,
                                 .takes_ids = options.takes_ids};
    sw_module *m = sw_module_new(model, &type, sizeof(compose));
    if (!sw_module_is(m, &type))
        return m;
    compose *c = m->data;
    c->type = type;
    snprintf(c->kind, sizeof c->kind, "%s", kind);
    c->type.name = c->kind;
    c->user = options.user;
    c->out_given = options.out != NULL;
    if (options.out)
        c->out = *options.out;
    m->type = &c->type;
    return m;
}

sw_module *sw_nn_compose_with_options(sw_model *model, const char *kind,
                                      sw_tensor (*forward)(sw_module *self, sw_tensor x), int count,
                                      sw_module *const *modules, const sw_compose_options *options) {
    sw_module *m = compose_new(model, kind, forward, options);
    return m && m->type->build == compose_build ? swn_add_children(m, count, modules) : m;
}

sw_module *sw_nn_compose_listed(sw_model *model, const char *kind, sw_tensor (*forward)(sw_module *self, sw_tensor x),
                                int count, sw_module *const *modules) {
    return sw_nn_compose_with_options(model, kind, forward, swn_child_count(count, modules), modules, NULL);
}

sw_module *(sw_nn_compose)(sw_model *model, const char *kind, sw_tensor (*forward)(sw_module *self, sw_tensor x), ...) {
    sw_module *m = compose_new(model, kind, forward, NULL);
    if (!m || m->type->build != compose_build)
        return m;
    va_list list;
    va_start(list, forward);
    m = swn_add_child_list(m, list);
    va_end(list);
    return m;
}

void *sw_module_user(const sw_module *module) {
    return module && module->type->build == compose_build ? ((const compose *)module->data)->user : NULL;
}
