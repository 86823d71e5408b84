/* The objective of a model: f_i(x) = loss(model(x_i), y_i). */
#include <swale/extend.h>

#include "nn/model.h"
#include "nn/model_objective.h"

static bool objective_same_tensor(sw_tensor a, sw_tensor b) {
    return a.tape == b.tape && a.slot == b.slot && a.generation == b.generation;
}

static sw_tensor objective_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const swn_objective *o = user;
    sw_batch batch;
    if (sw_source_batch(o->source, tape, sw_params_type(o->model->params), ids, count, &batch) != SW_OK)
        return (sw_tensor){0};
    const sw_tensor prediction = sw_forward(o->model->root, batch.x), loss = o->loss(prediction, batch.y);
    /* No other handle exists, unless a function has returned what it received. */
    if (sw_is_live(prediction) && !objective_same_tensor(prediction, batch.x) &&
        !objective_same_tensor(prediction, loss))
        sw_release(prediction);
    return loss;
}

static void objective_prefetch(void *user, const int64_t *ids, int64_t count) {
    const swn_objective *o = user;
    if (o->source->prefetch)
        o->source->prefetch(o->source, ids, count);
}

const sw_objective *sw_model_objective(sw_model *model, const sw_source *source, sw_loss loss) {
    if (!model || !source || !loss) {
        sw_fail(SW_ERR_ARGUMENT, "model_objective: the %s is NULL", !model ? "model" : !source ? "source" : "loss");
        return NULL;
    }
    if (!sw_model_params(model)) {
        sw_fail(SW_ERR_STATE, "model_objective: the model is not built");
        return NULL;
    }
    for (swn_objective *o = model->objectives; o; o = o->next)
        if (o->source == source && o->loss == loss && o->objective.n == source->n)
            return &o->objective;
    swn_objective *o = sw_alloc(sizeof *o);
    if (!o)
        return NULL;
    *o = (swn_objective){.model = model, .source = source, .loss = loss, .next = model->objectives};
    o->objective = (sw_objective){.size = sizeof(sw_objective),
                                  .n = source->n,
                                  .params = model->params,
                                  .user = o,
                                  .loss = objective_loss,
                                  .prefetch = objective_prefetch,
                                  .fixed = source->fixed};
    swn_recognize_linear_model(o);
    sw_source_retain(&o->hold, source);
    model->objectives = o;
    return &o->objective;
}

void swn_free_objectives(sw_model *model) {
    while (model->objectives) {
        swn_objective *next = model->objectives->next;
        sw_source_release(&model->objectives->hold);
        sw_free(model->objectives);
        model->objectives = next;
    }
}
