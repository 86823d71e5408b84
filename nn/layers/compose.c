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

static sw_status compose_build_many(sw_module *m, int count, const sw_sample_shape *in, sw_sample_shape *out) {
    const compose *c = m->data;
    if (c->out_given)
        *out = c->out;
    else
        SW_TRY(sw_module_trace_many(m, count, in, out));
    return compose_build_unknown(m);
}

static void compose_describe(const sw_module *m, char *text, size_t bytes) {
    snprintf(text, bytes, "composed of %d", m->children);
}

/* Makes the layer, without inner layers. `type` has the functions; its name is the kind. */
static sw_module *compose_new(sw_model *model, sw_module_type type, const sw_compose_options *given) {
    sw_compose_options options = {.size = sizeof options};
    if (given && sw_options_copy("compose", "sw_compose_options", &options, sizeof options, given,
                                 offsetof(sw_compose_options, user)) != SW_OK)
        return sw_module_fail(model);
    if (!type.name || !*type.name || strlen(type.name) >= sizeof((compose *)0)->kind - 1 ||
        (!type.forward && !type.forward_many)) {
        sw_fail(SW_ERR_ARGUMENT, "compose: %s",
                type.forward || type.forward_many ? "a kind of 1 to 48 characters is needed"
                                                  : "the forward function is NULL");
        return sw_module_fail(model);
    }
    type.size = sizeof type;
    type.build = compose_build;
    type.describe = compose_describe;
    type.name_space = true;
    type.takes_ids = options.takes_ids;
    type.id_inputs = options.id_inputs;
    type.mask_inputs = options.mask_inputs;
    type.save = options.save;
    type.continues = options.continues;
    type.least_inputs = type.most_inputs - options.optional_inputs;
    sw_module *m = sw_module_new(model, &type, sizeof(compose));
    if (!sw_module_is(m, &type))
        return m;
    compose *c = m->data;
    c->type = type;
    snprintf(c->kind, sizeof c->kind, "%s", type.name);
    c->type.name = c->kind;
    c->user = options.user;
    c->out_given = options.out != NULL;
    if (options.out)
        c->out = *options.out;
    m->type = &c->type;
    return m;
}

static bool compose_is(const sw_module *m) {
    return m && m->type->build == compose_build;
}

sw_module *sw_nn_compose_with_options(sw_model *model, const char *kind,
                                      sw_tensor (*forward)(sw_module *self, sw_tensor x), int count,
                                      sw_module *const *modules, const sw_compose_options *options) {
    sw_module *m = compose_new(model, (sw_module_type){.name = kind, .forward = forward}, options);
    return compose_is(m) ? swn_add_children(m, count, modules) : m;
}

sw_module *sw_nn_compose_many(sw_model *model, const char *kind, int inputs,
                              sw_tensor (*forward)(sw_module *self, int count, const sw_tensor *x), int modules_count,
                              sw_module *const *modules, const sw_compose_options *options) {
    const int optional =
        options && options->size > offsetof(sw_compose_options, optional_inputs) ? options->optional_inputs : 0;
    if (inputs < 1 || inputs > SW_MAX_INPUTS || optional < 0 || optional >= inputs) {
        sw_fail(SW_ERR_ARGUMENT,
                "compose: %d inputs, of which %d are optional; 1 to %d, one of them not optional, are "
                "possible",
                inputs, optional, SW_MAX_INPUTS);
        return sw_module_fail(model);
    }
    const sw_module_type type = {
        .name = kind, .build_many = compose_build_many, .forward_many = forward, .most_inputs = inputs};
    sw_module *m = compose_new(model, type, options);
    return compose_is(m) ? swn_add_children(m, modules_count, modules) : m;
}

sw_module *sw_nn_compose_listed(sw_model *model, const char *kind, sw_tensor (*forward)(sw_module *self, sw_tensor x),
                                int count, sw_module *const *modules) {
    return sw_nn_compose_with_options(model, kind, forward, swn_child_count(count, modules), modules, NULL);
}

sw_module *(sw_nn_compose)(sw_model *model, const char *kind, sw_tensor (*forward)(sw_module *self, sw_tensor x), ...) {
    sw_module *m = compose_new(model, (sw_module_type){.name = kind, .forward = forward}, NULL);
    if (!compose_is(m))
        return m;
    va_list list;
    va_start(list, forward);
    m = swn_add_child_list(m, list);
    va_end(list);
    return m;
}

void *sw_module_user(const sw_module *module) {
    return compose_is(module) ? ((const compose *)module->data)->user : NULL;
}
