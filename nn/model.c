/* Models: layers declared by a program, built once. */
#include "nn/internal.h"

#include <stdio.h>

sw_model *sw_model_new(sw_dtype type, uint64_t seed) {
    sw_model *model = sw_alloc(sizeof *model);
    if (!model)
        return NULL;
    model->params = sw_params_new(type, seed);
    if (!model->params) {
        sw_free(model);
        return NULL;
    }
    model->placeholder = (sw_module){.type = &swn_placeholder_type, .model = model, .name = "?", .named = true};
    model->input.rank = -1;
    swn_evaluation_end(model); /* a flag that is clear */
    return model;
}

void sw_model_free(sw_model *model) {
    if (!model || !sw_may_free(model, "model"))
        return;
    for (int i = 0; i < model->modules; i++)
        swn_module_free(model->module[i]);
    sw_free(model->module);
    while (model->objectives) {
        swn_objective *next = model->objectives->next;
        sw_source_release(&model->objectives->hold);
        sw_free(model->objectives);
        model->objectives = next;
    }
    sw_tape_free(model->tape);
    sw_free(model->ids);
    sw_params_free(model->params);
    sw_free(model);
}

sw_status sw_model_set_input_shape(sw_model *model, int rank, const int64_t *shape) {
    if (!model)
        return sw_fail(SW_ERR_ARGUMENT, "model_input: the model is NULL");
    sw_array check = sw_array_view(model, SW_F32, rank, shape);
    if (!check.data)
        return sw_last_failure();
    model->input.rank = rank;
    for (int i = 0; i < rank; i++)
        model->input.length[i] = shape[i];
    return SW_OK;
}

sw_status sw_model_set_role_init(sw_model *model, sw_role role, sw_init init) {
    if (!model)
        return sw_fail(SW_ERR_ARGUMENT, "model_init: the model is NULL");
    if ((unsigned)role >= SWN_ROLES)
        return sw_fail(SW_ERR_ARGUMENT, "model_init: %d is no role", (int)role);
    if (model->root)
        return sw_fail(SW_ERR_STATE, "model_init: the model is built already");
    if (!init.fill)
        return sw_fail(SW_ERR_ARGUMENT, "model_init: the initial values have no fill function");
    model->init[role] = init;
    return SW_OK;
}

sw_status sw_model_set_init(sw_model *model, sw_init init) {
    return sw_model_set_role_init(model, SW_ROLE_WEIGHT, init);
}

/* ---- Build ---- */

/* The last weight is the head: rules that treat hidden matrices apart want to know. One that is another
 * layer's, tied, keeps that one's role. */
static void mark_head(sw_params *params) {
    for (int i = sw_params_count(params) - 1; i >= 0; i--) {
        sw_param *p = sw_params_at(params, i);
        if (p->role == SW_ROLE_WEIGHT && !p->tied)
            sw_param_set_role(p, SW_ROLE_HEAD);
        if (p->role == SW_ROLE_HEAD || (p->tied && p->rank > 1))
            return;
    }
}

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
        mark_head(model->params);
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

/* ---- Files ---- */

static sw_status check_built(const sw_model *model, const char *what) {
    if (sw_model_params(model))
        return SW_OK;
    if (sw_error() && (!model || model->failed)) /* what failed then says more */
        return sw_last_failure();
    return sw_fail(SW_ERR_STATE, "%s: the model is %s", what, model ? "not built" : "NULL");
}

sw_status sw_model_save(const sw_model *model, const char *path) {
    sw_status status = check_built(model, "model_save");
    return status == SW_OK ? sw_params_save(model->params, path) : status;
}

sw_status sw_model_load(sw_model *model, const char *path) {
    sw_status status = check_built(model, "model_load");
    return status == SW_OK ? sw_params_load(model->params, path) : status;
}

/* ---- Print ---- */

static int64_t parameters_of(const sw_module *m) {
    int64_t total = 0;
    for (int i = 0; i < m->params; i++)
        total += m->param[i]->tied ? 0 : m->param[i]->count;
    return total;
}

/* Widths of the columns, in characters: those of the longest entries, and no less than these. */
typedef struct print_columns {
    int name, text, shape;
} print_columns;

typedef struct print_row {
    char text[96], shape[24 * (SW_MAX_RANK + 1)];
} print_row;

static print_row row_of(const sw_module *m) {
    print_row row = {.text = "", .shape = "?"};
    if (m->type->describe)
        m->type->describe(m, row.text, sizeof row.text);
    if (m->out.rank >= 0)
        snprintf(row.shape, sizeof row.shape, "%s", sw_shape_text(m->out.rank, m->out.length));
    return row;
}

/* Characters of a UTF-8 text. */
static int text_width(const char *text) {
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static void widen(int *width, int needed) {
    *width = needed > *width ? needed : *width;
}

static void measure_columns(const sw_module *m, int depth, print_columns *c) {
    const print_row row = row_of(m);
    widen(&c->name, 2 * depth + text_width(m->name));
    widen(&c->text, text_width(row.text));
    widen(&c->shape, text_width(row.shape));
    for (int i = 0; i < m->children; i++)
        measure_columns(m->child[i], depth + 1, c);
}

static void print_padded(const char *text, int width, FILE *to) {
    fprintf(to, "%s%*s", text, width - text_width(text), "");
}

static void print_line(int depth, const char *name, const char *text, const char *shape, const print_columns *c,
                       FILE *to) {
    fprintf(to, "%*s", 2 * depth, "");
    print_padded(name, c->name - 2 * depth + 2, to);
    print_padded(text, c->text + 1, to);
    print_padded(shape, c->shape + 1, to);
}

static void print_module(const sw_module *m, int depth, const print_columns *c, FILE *to) {
    const print_row row = row_of(m);
    print_line(depth, m->name, row.text, row.shape, c, to);
    fprintf(to, "%10lld\n", (long long)parameters_of(m));
    for (int i = 0; i < m->children; i++)
        print_module(m->child[i], depth + 1, c, to);
}

void sw_model_print(const sw_model *model, FILE *to) {
    if (!model || !model->root || !to)
        return;
    void *before = sw_locale_begin(); /* also for what modules of the caller write */
    print_columns c = {20, 24, 12};
    measure_columns(model->root, 0, &c);
    print_line(0, "layer", "", "output", &c, to);
    fprintf(to, "%10s\n", "parameters");
    print_module(model->root, 0, &c, to);
    print_line(0, "total", sw_dtype_name(sw_params_type(model->params)), "", &c, to);
    fprintf(to, "%10lld\n", (long long)sw_params_dim(model->params));
    sw_locale_end(before);
}
