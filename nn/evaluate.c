/* The loss and accuracy of a model over a data source. */
#include <swale/extend.h>

#include "nn/evaluation.h"
#include "nn/model.h"

#include <math.h>

sw_status swn_evaluation_begin(const char *who, sw_model *model) {
    if (!sw_model_params(model))
        return sw_fail(SW_ERR_STATE, "%s: the model is not built", who);
    if (atomic_flag_test_and_set_explicit(&model->evaluating, memory_order_acquire))
        return sw_fail(SW_ERR_STATE,
                       "%s: the model is being evaluated already, by another thread or by the function that "
                       "calls this one; give each thread a model, or a tape and sw_forward",
                       who);
    if (!model->tape) {
        model->tape = sw_tape_new();
        sw_tape_set_switch(model->tape, SW_RECORD | SW_TRAIN, false);
    }
    if (!model->ids)
        model->ids = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, SWN_BATCH, sizeof *model->ids);
    if (model->tape && model->ids)
        return SW_OK;
    swn_evaluation_end(model);
    return SW_ERR_MEMORY;
}

void swn_evaluation_end(sw_model *model) {
    atomic_flag_clear_explicit(&model->evaluating, memory_order_release);
}

sw_status swn_evaluation_batch(sw_model *model, const sw_source *source, int64_t first, int64_t count,
                               sw_batch *batch) {
    for (int64_t i = 0; i < count; i++)
        model->ids[i] = first + i;
    return sw_source_batch_with_draw(source, model->tape, sw_params_type(model->params), 0, model->ids, count, batch);
}

/* Sums so far: the mean loss; correct targets; targets with the id of a class; samples whose targets are ids and whose
 * outputs have a row of classes for each target. */
typedef struct tally {
    sw_loss_mean loss;
    int64_t correct, with_class, samples;
} tally;

/* Counts the targets whose class has the largest output of a row. In contrast to sw_accuracy, an id that is not that of
 * a class is not counted and is not an error, because a loss may ignore it. A row with a NaN is not correct. */
static void tally_rows(tally *t, sw_array z, sw_array best, sw_array y) {
    const int64_t classes = z.shape[z.rank - 1], rows = sw_array_count(&y);
    const int32_t *at = best.data, *id = y.data;
    for (int64_t i = 0; i < rows; i++) {
        if (id[i] < 0 || id[i] >= classes)
            continue;
        int64_t k = i * classes + at[i];
        const bool nan = isnan(sw_load_element(z.type, z.data, k));
        t->correct += at[i] == id[i] && !nan;
        t->with_class++;
    }
    t->samples += y.shape[0];
}

static sw_status evaluate_batch(sw_model *model, const sw_source *source, sw_loss loss, int64_t first, int64_t count,
                                tally *t) {
    sw_batch batch;
    SW_TRY(swn_evaluation_batch(model, source, first, count, &batch));
    const uint64_t failures = sw_failure_count();
    sw_tensor z = sw_forward(model->root, batch.x);
    sw_tensor mean = loss(z, batch.y);
    if (sw_is_null(mean))
        return sw_fail_unless_since(failures, SW_ERR_USER, "model_evaluate: the loss is a null tensor");
    SW_TRY(sw_loss_mean_add(&t->loss, mean));
    sw_array out = sw_value(z), y = sw_value(batch.y);
    if (y.type != SW_I32 || y.rank < 1 || out.rank < 1 || out.shape[out.rank - 1] < 2 ||
        !sw_shape_equal(out.rank - 1, out.shape, y.rank, y.shape))
        return SW_OK;
    sw_array best = sw_value(sw_argmax(z, -1, false));
    if (!best.data)
        return sw_last_failure();
    tally_rows(t, out, best, y);
    return SW_OK;
}

/* The number of samples of a batch: few if each has many targets, because every target has a row of outputs. */
static int64_t evaluate_samples(const sw_source *source) {
    int64_t targets = 1;
    for (int i = 0; source->y_type == SW_I32 && i < source->y_rank; i++)
        targets *= source->y_shape[i];
    return targets > 1 ? SWN_BATCH / targets + (targets > SWN_BATCH) : SWN_BATCH;
}

sw_status sw_model_evaluate(sw_model *model, const void *x, const sw_source *source, sw_loss loss,
                            sw_evaluation *result) {
    if (!result)
        return sw_fail(SW_ERR_ARGUMENT, "model_evaluate: the result is NULL");
    *result = (sw_evaluation){NAN, NAN};
    if (source && source->n < 1)
        return sw_fail(SW_ERR_ARGUMENT, "model_evaluate: the source has no samples");
    if (!model || !source || !loss)
        return sw_fail(SW_ERR_ARGUMENT, "model_evaluate: the %s is NULL",
                       !model    ? "model"
                       : !source ? "source"
                                 : "loss");
    SW_TRY(swn_evaluation_begin("model_evaluate", model));
    tally t = {0};
    sw_status status = SW_OK;
    const int64_t samples = evaluate_samples(source);
    for (int64_t first = 0; first < source->n && status == SW_OK; first += samples) {
        int64_t count = source->n - first < samples ? source->n - first : samples;
        sw_tape_reset(model->tape);
        status = sw_tape_bind(model->tape, model->params, x, NULL);
        if (status == SW_OK)
            status = evaluate_batch(model, source, loss, first, count, &t);
    }
    sw_tape_reset(model->tape);
    swn_evaluation_end(model);
    if (status == SW_OK) {
        result->loss = sw_loss_mean_value(&t.loss);
        if (source->classes && t.samples == source->n && t.with_class > 0)
            result->accuracy = (double)t.correct / (double)t.with_class;
    }
    return status;
}
