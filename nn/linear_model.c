/* Recognizes a model of one linear layer as a generalized linear model: ∇f_i = s_i a_iᵀ, so that tables of gradients
 * need n·outputs numbers instead of n·dim. If core implements its loss, and the samples are in memory, the model is
 * evaluated without a tape. */
#include <swale/extend.h>

#include "nn/model.h"
#include "nn/model_objective.h"
#include "nn/module_type.h"

/* Finds the only layer with parameters, after layers that only change the shape of samples. NULL if the model has
 * another structure. */
static const sw_module *linear_model_layer(const sw_module *m) {
    const sw_module *found = NULL;
    while (m && SWN_TYPE_MEMBER(m->type, is_chain) && m->children == 1)
        m = m->child[0];
    if (!m || !SWN_TYPE_MEMBER(m->type, is_chain))
        return m;
    for (int i = 0; i < m->children; i++) {
        if (i < m->children - 1 && !SWN_TYPE_MEMBER(m->child[i]->type, is_reshape))
            return NULL;
        found = m->child[i];
    }
    return found;
}

/* Whether the layer's samples are vectors, so that its outputs are rows. If the build does not know their shape, they
 * are those of the source, or flat. */
static bool linear_model_takes_vectors(const swn_objective *o, const sw_module *linear) {
    if (linear->in.rank >= 0)
        return linear->in.rank == 1;
    const sw_module *chain = linear->parent;
    return o->source->x_rank == 1 || (chain && chain->children > 1);
}

/* the parameter vector must consist of W, then b */
static bool linear_model_is_whole(const sw_params *params, int64_t weights, int64_t biases) {
    return sw_params_count(params) == (biases ? 2 : 1) && sw_params_dim(params) == weights + biases &&
           sw_params_at(params, 0)->offset == 0 && sw_params_at(params, 0)->count == weights;
}

static sw_tensor linear_model_rows(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const swn_objective *o = user;
    const sw_dtype type = sw_params_type(o->model->params);
    sw_tensor rows = sw_empty(tape, type, 2, (int64_t[]){count, o->objective.features});
    if (sw_is_null(rows) ||
        sw_source_gather(o->source, type, sw_tape_draw(tape), ids, count, sw_value(rows).data, NULL) != SW_OK)
        return (sw_tensor){0};
    return rows;
}

static sw_tensor linear_model_head(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count) {
    const swn_objective *o = user;
    const sw_source *source = o->source;
    const sw_dtype type = source->y_type == SW_I32 ? SW_I32 : sw_params_type(o->model->params);
    int64_t shape[SW_MAX_RANK] = {count};
    if (source->y_rank < 0)
        return o->loss(z, (sw_tensor){0});
    for (int i = 0; i < source->y_rank; i++)
        shape[i + 1] = source->y_shape[i];
    sw_tensor y = sw_empty(tape, type, source->y_rank + 1, shape);
    if (sw_is_null(y) || sw_source_gather(source, sw_params_type(o->model->params), sw_tape_draw(tape), ids, count,
                                          NULL, sw_value(y).data) != SW_OK)
        return (sw_tensor){0};
    return o->loss(z, y);
}

/* Labels from 0 to outputs - 1, in memory. */
static bool linear_model_has_labels(const sw_source *source, int64_t outputs) {
    const sw_array *y = source->y_memory;
    if (!y || source->y_type != SW_I32 || y->type != SW_I32 || source->y_rank != 0)
        return false;
    for (int64_t i = 0; i < source->n; i++)
        if (((const int32_t *)y->data)[i] < 0 || ((const int32_t *)y->data)[i] >= outputs)
            return false;
    return true;
}

static bool linear_model_has_targets(const sw_source *source, sw_dtype type, int64_t outputs) {
    const sw_array *y = source->y_memory;
    return y && source->y_type != SW_I32 && y->type == type && source->y_rank == 1 && source->y_shape[0] == outputs;
}

/* Sets the loss and its targets; false if core does not implement the loss. sw_mse and sw_huber take the mean over the
 * outputs too. */
static bool linear_model_set_loss(swn_objective *o, sw_dtype type, int64_t outputs) {
    sw_glm_data *d = &o->data;
    *d = (sw_glm_data){.size = sizeof *d, .scale = 1, .delta = 1};
    if (o->loss == sw_cross_entropy && linear_model_has_labels(o->source, outputs)) {
        d->head = SW_HEAD_MULTINOMIAL;
        d->label = o->source->y_memory->data;
        return true;
    }
    if (!linear_model_has_targets(o->source, type, outputs) || (o->loss != sw_mse && o->loss != sw_huber))
        return false;
    d->head = o->loss == sw_mse ? SW_HEAD_SQUARED : SW_HEAD_HUBER;
    d->scale = (o->loss == sw_mse ? 2 : 1) / (double)outputs;
    d->target = o->source->y_memory->data;
    return true;
}

void swn_recognize_linear_model(swn_objective *o) {
    int64_t inputs, outputs, width = 1;
    bool bias;
    const sw_source *source = o->source;
    const sw_module *linear = linear_model_layer(o->model->root);
    const sw_dtype type = sw_params_type(o->model->params);
    if (source->size < offsetof(sw_source, x_type)) /* from an older program, without the following members */
        return;
    if (sw_source_x_type(source, type) == SW_I32)
        return;
    if (!linear || !SWN_TYPE_MEMBER(linear->type, linear_sizes) || !source->fixed)
        return;
    if (!linear_model_takes_vectors(o, linear))
        return;
    linear->type->linear_sizes(linear, &inputs, &outputs, &bias);
    if (!linear_model_is_whole(o->model->params, inputs * outputs, bias ? outputs : 0))
        return;
    for (int i = 0; i < source->x_rank; i++)
        width *= source->x_shape[i];
    if (width != inputs)
        return;
    o->objective.features = inputs;
    o->objective.outputs = outputs;
    o->objective.bias = bias;
    o->objective.rows = linear_model_rows;
    o->objective.head = linear_model_head;
    if (source->x_sparse ? source->x_sparse->type != type : !source->x_memory || source->x_memory->type != type)
        return;
    if (!linear_model_set_loss(o, type, outputs))
        return;
    o->data.sparse = source->x_sparse;
    o->data.dense = source->x_sparse ? NULL : source->x_memory->data;
    o->objective.glm = &o->data;
}
