/* Models: layers declared by a program, built once. */
#include "internal.h"

#include <stdio.h>

static sw_tensor nothing(sw_module *module, sw_tensor x) {
    (void)module, (void)x;
    return (sw_tensor){0};
}

static const sw_module_type placeholder_type = {
    .size = sizeof(sw_module_type), .name = "placeholder", .forward = nothing};

sw_model *sw_model_new(sw_dtype type, uint64_t seed) {
    sw_model *model = sw_alloc(sizeof *model);
    if (!model)
        return NULL;
    model->params = sw_params_new(type, seed);
    if (!model->params) {
        sw_free(model);
        return NULL;
    }
    model->placeholder = (sw_module){.type = &placeholder_type, .model = model, .name = "?", .named = true};
    model->input.rank = -1;
    return model;
}

void sw_model_free(sw_model *model) {
    if (!model)
        return;
    for (int i = 0; i < model->modules; i++) {
        sw_module *m = model->module[i];
        if (m->type->free)
            m->type->free(m);
        sw_free(m->data);
        sw_free(m->child);
        sw_free((void *)(uintptr_t)m->name);
        sw_free(m);
    }
    sw_free(model->module);
    while (model->objectives) {
        swn_objective *next = model->objectives->next;
        sw_free(model->objectives);
        model->objectives = next;
    }
    sw_tape_free(model->tape);
    sw_free(model->ids);
    sw_params_free(model->params);
    sw_free(model);
}

sw_status sw_model_input(sw_model *model, int rank, const int64_t *shape) {
    if (!model)
        return sw_fail(SW_ERR_ARGUMENT, "model_input: the model is NULL");
    sw_array check = sw_array_of(model, SW_F32, rank, shape);
    if (!check.data)
        return sw_error_status();
    model->input.rank = rank;
    for (int i = 0; i < rank; i++)
        model->input.length[i] = shape[i];
    return SW_OK;
}

/* ---- Layers ---- */

sw_module *sw_module_failed(sw_model *model) {
    if (!model)
        return NULL;
    model->failed = true;
    return &model->placeholder;
}

/* "linear1": the kind and how many there are of it. */
static char *numbered_name(sw_model *model, const char *kind) {
    enum { KINDS = sizeof model->kind / sizeof *model->kind };
    int i = 0;
    while (i < model->kinds && strcmp(model->kind[i].name, kind) != 0)
        i++;
    if (i == KINDS) { /* all further kinds share the last counter: names stay unique by the number */
        i = KINDS - 1;
    } else if (i == model->kinds) {
        model->kind[model->kinds++].name = kind;
    }
    char name[64];
    snprintf(name, sizeof name, "%.48s%d", kind, ++model->kind[i].count);
    return sw_strdup(name);
}

sw_module *sw_module_new(sw_model *model, const sw_module_type *type, size_t bytes) {
    if (!type || !type->name || !type->forward) {
        sw_fail(SW_ERR_ARGUMENT, "a layer needs a type with a name and a forward function");
        return sw_module_failed(model);
    }
    if (!model) {
        sw_fail(SW_ERR_ARGUMENT, "%s: the model is NULL", type->name);
        return NULL;
    }
    if (model->root) {
        sw_fail(SW_ERR_STATE, "%s: the model is built already", type->name);
        return sw_module_failed(model);
    }
    if (model->modules == model->capacity) {
        int capacity = model->capacity ? 2 * model->capacity : 8;
        sw_module **more = sw_alloc_array(capacity, sizeof *more);
        if (!more)
            return sw_module_failed(model);
        if (model->modules)
            memcpy(more, model->module, (size_t)model->modules * sizeof *more);
        sw_free(model->module);
        model->module = more;
        model->capacity = capacity;
    }
    sw_module *module = sw_alloc(sizeof *module);
    void *data = sw_alloc(bytes);
    char *name = sw_strdup(type->name); /* numbered when it is built */
    if (!module || !data || !name) {
        sw_free(module);
        sw_free(data);
        sw_free(name);
        return sw_module_failed(model);
    }
    *module = (sw_module){.type = type, .model = model, .name = name, .data = data};
    module->out.rank = -1;
    model->module[model->modules++] = module;
    return module;
}

sw_module *sw_module_name(sw_module *module, const char *name) {
    if (!module || module == &module->model->placeholder)
        return module;
    if (module->built || !name || !*name || strlen(name) > 100) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: %s", module->name,
                module->built ? "it is built, and keeps its name"
                              : "a name of 1 to 100 characters is needed");
        return sw_module_failed(module->model);
    }
    char *copy = sw_strdup(name);
    if (!copy)
        return sw_module_failed(module->model);
    sw_free((void *)(uintptr_t)module->name);
    module->name = copy;
    module->named = true;
    return module;
}

sw_module *sw_module_init(sw_module *module, sw_init init) {
    if (module)
        module->init = init;
    return module;
}

sw_status sw_module_add(sw_module *module, sw_module *child) {
    if (!module || !child)
        return sw_fail(SW_ERR_ARGUMENT, "a layer to be added is NULL");
    if (child->model != module->model)
        return sw_fail(SW_ERR_ARGUMENT, "layer %s belongs to another model", child->name);
    if (child == &module->model->placeholder)
        return sw_error() ? sw_error_status()
                          : sw_fail(SW_ERR_STATE, "layer %s: a layer in it could not be made", module->name);
    for (const sw_module *up = module; up; up = up->parent)
        if (up == child)
            return sw_fail(SW_ERR_ARGUMENT, "layer %s cannot be part of itself", child->name);
    if (child->parent)
        return sw_fail(SW_ERR_ARGUMENT, "layer %s is part of a layer already", child->name);
    sw_module **more = sw_alloc_array(module->children + 1, sizeof *more);
    if (!more)
        return SW_ERR_MEMORY;
    if (module->children)
        memcpy(more, module->child, (size_t)module->children * sizeof *more);
    sw_free(module->child);
    module->child = more;
    more[module->children++] = child;
    child->parent = module;
    return SW_OK;
}

sw_param *sw_module_param(sw_module *module, const char *suffix, int rank, const int64_t *shape,
                          const sw_param_options *options) {
    char name[256];
    snprintf(name, sizeof name, "%s.%s", module->name, suffix);
    return sw_params_add(module->model->params, name, rank, shape, options);
}

/* Layers are numbered in the order in which they are built: compilers differ in the order in which
 * they evaluate the arguments of sw_nn_sequential(model, sw_nn_linear(…), sw_nn_linear(…), NULL). */
static sw_status name_it(sw_module *module) {
    if (module->named)
        return SW_OK;
    char *name = numbered_name(module->model, module->type->name);
    if (!name)
        return SW_ERR_MEMORY;
    sw_free((void *)(uintptr_t)module->name);
    module->name = name;
    module->named = true;
    return SW_OK;
}

sw_status sw_module_build(sw_module *module, sw_sample_shape *shape) {
    if (!module || !shape)
        return sw_fail(SW_ERR_ARGUMENT, "module_build: the %s is NULL", module ? "shape" : "layer");
    SW_TRY(name_it(module));
    if (module->type->build) {
        sw_status status = module->type->build(module, shape);
        if (status != SW_OK)
            return sw_fail(status, "layer %s: its build failed", module->name);
    }
    module->out = *shape;
    module->built = true;
    return SW_OK;
}

/* ---- Build ---- */

sw_params *sw_model_build(sw_model *model, sw_module *root) {
    if (!model) { /* what went wrong before says why, and is kept */
        sw_fail(SW_ERR_ARGUMENT, "model_build: the model is NULL");
        return NULL;
    }
    if (!model->root && (model->failed || !root || root == &model->placeholder)) {
        sw_fail(SW_ERR_STATE, "model_build: a layer could not be made");
        return NULL;
    }
    if (root->model != model) {
        sw_fail(SW_ERR_ARGUMENT, "model_build: layer %s belongs to another model", root->name);
        return NULL;
    }
    if (model->root) {
        sw_fail(SW_ERR_STATE, model->failed ? "model_build: an earlier build of the model failed"
                                            : "model_build: the model is built already");
        return NULL;
    }
    model->root = root;
    sw_sample_shape shape = model->input;
    if (sw_module_build(root, &shape) == SW_OK) {
        /* The last weight is the head: rules that treat hidden matrices apart want to know. */
        for (int i = sw_params_count(model->params) - 1; i >= 0; i--) {
            sw_param *p = sw_params_at(model->params, i);
            if (p->role == SW_ROLE_WEIGHT) {
                sw_param_set_role(p, SW_ROLE_HEAD);
                break;
            }
        }
        if (sw_params_build(model->params) == SW_OK)
            return model->params;
    }
    model->failed = true;
    return NULL;
}

sw_params *sw_model_params(const sw_model *model) {
    return model && sw_params_built(model->params) ? model->params : NULL;
}

sw_module *sw_model_root(const sw_model *model) {
    return model ? model->root : NULL;
}

sw_tensor sw_forward(sw_module *module, sw_tensor x) {
    if (!module || sw_is_null(x)) {
        if (!sw_error())
            sw_fail(SW_ERR_ARGUMENT, "forward: the %s is null", module ? "input" : "layer");
        return (sw_tensor){0};
    }
    if (!module->built) {
        sw_fail(SW_ERR_STATE, "forward: layer %s is not built: sw_model_build builds the root, a layer's "
                              "build its children by sw_module_build", module->name);
        return (sw_tensor){0};
    }
    const char *outer = sw_tape_layer(x.tape, module->name);
    sw_tensor y = module->type->forward(module, x);
    sw_tape_layer(x.tape, outer);
    return y;
}

/* ---- Print ---- */

static int64_t parameters_of(const sw_module *m) {
    const sw_params *params = m->model->params;
    size_t length = strlen(m->name);
    int64_t total = 0;
    for (int i = 0; i < sw_params_count(params); i++) {
        const sw_param *p = sw_params_at(params, i);
        if (!p->tied && strncmp(p->name, m->name, length) == 0 && p->name[length] == '.' &&
            !strchr(p->name + length + 1, '.'))
            total += p->count;
    }
    return total;
}

static void print_module(const sw_module *m, int depth, FILE *to) {
    char text[96] = "", shape[24 * (SW_MAX_RANK + 1)] = "?";
    if (m->type->describe)
        m->type->describe(m, text, sizeof text);
    if (m->out.rank >= 0)
        snprintf(shape, sizeof shape, "%s", sw_shape_text(m->out.rank, m->out.length));
    fprintf(to, "%*s%-*s  %-24s %-12s %10lld\n", 2 * depth, "", 20 - 2 * depth, m->name, text, shape,
            (long long)parameters_of(m));
    for (int i = 0; i < m->children; i++)
        print_module(m->child[i], depth + 1, to);
}

void sw_model_print(const sw_model *model, FILE *to) {
    if (!model || !model->root || !to)
        return;
    fprintf(to, "%-20s  %-24s %-12s %10s\n", "layer", "", "output", "parameters");
    print_module(model->root, 0, to);
    fprintf(to, "%-20s  %-24s %-12s %10lld\n", "total", sw_dtype_name(sw_params_type(model->params)),
            "", (long long)sw_params_dim(model->params));
}
