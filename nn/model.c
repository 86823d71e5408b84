/* Models: a program declares layers and builds them once. */
#include <swale/extend.h>

#include "nn/model.h"
#include "nn/model_objective.h"

#include <string.h>

sw_model *sw_model_new(sw_dtype type, uint64_t seed) {
    return sw_model_new_with_options(&SW_OPTIONS(sw_params_options, .type = type, .seed = seed));
}

sw_model *sw_model_new_with_options(const sw_params_options *options) {
    sw_model *model = sw_alloc(sizeof *model);
    if (!model)
        return NULL;
    model->params = sw_params_new_with_options(options);
    if (!model->params) {
        sw_free(model);
        return NULL;
    }
    model->most_params = -1;
    model->placeholder = (sw_module){.type = &swn_placeholder_type, .model = model, .name = "?", .named = true};
    for (int i = 0; i < SW_MAX_INPUTS; i++)
        model->input[i].rank = -1;
    atomic_flag_clear_explicit(&model->evaluating, memory_order_release);
    return model;
}

void sw_model_free(sw_model *model) {
    if (!model || !sw_may_free(model, "model"))
        return;
    for (int i = 0; i < model->modules; i++)
        swn_module_free(model->module[i]);
    sw_free(model->module);
    swn_free_objectives(model);
    sw_tape_free(model->tape);
    sw_free(model->ids);
    sw_state_free(model->state);
    sw_free(model->generated);
    sw_free(model->candidates);
    sw_params_free(model->params);
    sw_free(model);
}

static sw_status model_check_open(const sw_model *model, const char *what) {
    return model->root ? sw_fail(SW_ERR_STATE, "%s: the model is built already", what) : SW_OK;
}

sw_status sw_model_set_input_shape(sw_model *model, int rank, const int64_t *shape) {
    if (!model)
        return sw_fail(SW_ERR_ARGUMENT, "model_set_input_shape: the model is NULL");
    SW_TRY(model_check_open(model, "model_set_input_shape"));
    sw_array check = sw_array_view(model, SW_F32, rank, shape);
    if (!check.data)
        return sw_last_failure();
    model->input[0].rank = rank;
    for (int i = 0; i < rank; i++)
        model->input[0].length[i] = shape[i];
    model->input[0].spatial = rank >= 3 ? rank - 1 : 0; /* pictures */
    model->inputs = 1;
    return SW_OK;
}

sw_status sw_model_set_input_shapes(sw_model *model, int count, const sw_sample_shape *shapes) {
    if (!model || !shapes)
        return sw_fail(SW_ERR_ARGUMENT, "model_set_input_shapes: the %s NULL", model ? "shapes are" : "model is");
    SW_TRY(model_check_open(model, "model_set_input_shapes"));
    if (count < 1 || count > SW_MAX_INPUTS)
        return sw_fail(SW_ERR_ARGUMENT, "model_set_input_shapes: %d inputs; 1 to %d are possible", count,
                       SW_MAX_INPUTS);
    for (int i = 0; i < count; i++)
        if (shapes[i].rank >= 0 && !sw_array_view(model, SW_F32, shapes[i].rank, shapes[i].length).data)
            return sw_last_failure();
    for (int i = 0; i < count; i++) {
        model->input[i] = (sw_sample_shape){.rank = shapes[i].rank};
        model->input[i].spatial = shapes[i].rank >= 3 ? shapes[i].rank - 1 : 0; /* pictures */
        memcpy(model->input[i].length, shapes[i].length, sizeof shapes[i].length);
    }
    model->inputs = count;
    return SW_OK;
}

sw_status sw_model_set_role_init(sw_model *model, sw_role role, sw_init init) {
    if (!model)
        return sw_fail(SW_ERR_ARGUMENT, "model_set_init: the model is NULL");
    if ((unsigned)role >= SWN_ROLES)
        return sw_fail(SW_ERR_ARGUMENT, "model_set_init: %d is not a role", (int)role);
    SW_TRY(model_check_open(model, "model_set_init"));
    if (!init.fill)
        return sw_fail(SW_ERR_ARGUMENT, "model_set_init: the initial values have no fill function");
    model->init[role] = init;
    return SW_OK;
}

sw_status sw_model_set_init(sw_model *model, sw_init init) {
    return sw_model_set_role_init(model, SW_ROLE_WEIGHT, init);
}

/* ---- Build ---- */

/* Gives the last weight the role SW_ROLE_HEAD, because rules for hidden matrices do not apply to it. A tied weight
 * keeps the role of the other layer's weight. */
static void model_mark_head(sw_params *params) {
    for (int i = sw_params_count(params) - 1; i >= 0; i--) {
        sw_param *p = sw_params_at(params, i);
        if (p->buffer)
            continue;
        if (p->role == SW_ROLE_WEIGHT && !p->tied)
            sw_param_set_role(p, SW_ROLE_HEAD);
        if (p->role == SW_ROLE_HEAD || (p->tied && p->rank > 1))
            return;
    }
}

sw_status swn_model_declare(sw_model *model, sw_module *root) {
    model->root = root;
    sw_sample_shape shape = model->input[0];
    const sw_status status = model->inputs > 1 ? sw_module_build_many(root, model->inputs, model->input, &shape)
                                               : sw_module_build(root, &shape);
    if (status == SW_OK)
        model_mark_head(model->params);
    else
        model->failed = true;
    return status;
}

sw_params *swn_model_finish(sw_model *model) {
    if (sw_params_build(model->params) == SW_OK)
        return model->params;
    model->failed = true;
    return NULL;
}

sw_params *sw_model_build(sw_model *model, sw_module *root) {
    if (!model) { /* a message that is pending from an earlier error gives the reason */
        sw_fail(SW_ERR_ARGUMENT, "model_build: the model is NULL");
        return NULL;
    }
    if (!model->root && (model->failed || !root || root == &model->placeholder)) {
        sw_fail(SW_ERR_STATE, "model_build: creating a layer failed earlier");
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
    return swn_model_declare(model, root) == SW_OK ? swn_model_finish(model) : NULL;
}

/* ---- For files ---- */

sw_status swn_check_built(const sw_model *model, const char *what) {
    if (sw_model_params(model))
        return SW_OK;
    if (sw_error() && (!model || model->failed)) /* the pending message gives the reason */
        return sw_last_failure();
    return sw_fail(SW_ERR_STATE, "%s: the model is %s", what, model ? "not built" : "NULL");
}
