/* Sets the buffers of a model to the statistics of the data at a point that training did not go through. */
#include <swale/extend.h>
#include <swale/sampler.h>

#include "nn/evaluation.h"
#include "nn/model.h"

#include <math.h>
#include <stddef.h>

enum { RECALIBRATE_BATCH = 64 };

typedef struct recalibration {
    sw_model *model;
    const sw_source *source;
    sw_gradient *pool; /* receives the statistics; nothing is recorded, so that it holds no gradient */
    sw_sampler *order; /* each of its batches is an epoch */
    const void *x;
    int64_t parts; /* batches of an epoch; their sizes differ by at most 1, so that the last one is not small */
} recalibration;

static sw_status recalibrate_batch(const recalibration *r, const int64_t *ids, int64_t part, uint64_t epoch) {
    sw_tape *tape = r->model->tape;
    const int64_t n = r->source->n, first = n / r->parts * part + (part < n % r->parts ? part : n % r->parts);
    const int64_t count = n / r->parts + (part < n % r->parts);
    sw_batch batch;
    sw_tape_reset(tape);
    sw_tape_set_draw(tape, epoch);
    SW_TRY(sw_tape_bind(tape, r->model->params, r->x, r->pool));
    SW_TRY(sw_source_batch(r->source, tape, sw_params_type(r->model->params), ids + first, count, &batch));
    const uint64_t failures = sw_failure_count();
    if (sw_is_null(sw_forward(r->model->root, batch.x)))
        return sw_fail_unless_since(failures, SW_ERR_USER, "model_recalibrate: the output is a null tensor");
    return SW_OK;
}

static sw_status recalibrate_batches(const recalibration *r, int64_t batches) {
    const int64_t *ids = NULL;
    sw_tape *tape = r->model->tape;
    sw_status status = SW_OK;
    const uint64_t draw = sw_tape_draw(tape);
    sw_tape_set_switch(tape, SW_TRAIN | SW_UPDATE_BUFFERS, true);
    for (int64_t i = 0; i < batches && status == SW_OK; i++) {
        if (i % r->parts == 0)
            sw_sampler_next(r->order, &ids);
        status = recalibrate_batch(r, ids, i % r->parts, (uint64_t)(i / r->parts));
    }
    sw_tape_set_switch(tape, SW_TRAIN | SW_UPDATE_BUFFERS, false);
    sw_tape_reset(tape);
    sw_tape_set_draw(tape, draw);
    const sw_status unbound = sw_tape_bind(tape, r->model->params, NULL, NULL);
    return status == SW_OK ? unbound : status;
}

static sw_status recalibrate_check(const sw_model *model, const sw_source *source, sw_recalibrate_options *o,
                                   const sw_recalibrate_options *given) {
    if (!model || !source)
        return sw_fail(SW_ERR_ARGUMENT, "model_recalibrate: the %s is NULL", model ? "source" : "model");
    if (source->n < 1)
        return sw_fail(SW_ERR_ARGUMENT, "model_recalibrate: the source has no samples");
    if (given)
        SW_TRY(sw_options_copy("model_recalibrate", "sw_recalibrate_options", o, sizeof *o, given,
                               offsetof(sw_recalibrate_options, batch)));
    if (o->batch < 0 || o->batches < 0)
        return sw_fail(SW_ERR_ARGUMENT, "model_recalibrate: %s = %lld; it must not be negative",
                       o->batch < 0 ? "batch" : "batches", (long long)(o->batch < 0 ? o->batch : o->batches));
    return SW_OK;
}

sw_status sw_model_recalibrate(sw_model *model, void *x, const sw_source *source,
                               const sw_recalibrate_options *options) {
    sw_recalibrate_options o = {.size = sizeof o};
    SW_TRY(recalibrate_check(model, source, &o, options));
    SW_TRY(swn_evaluation_begin("model_recalibrate", model));
    const int64_t batch = o.batch > 0 ? o.batch : RECALIBRATE_BATCH;
    if (x == sw_params_x(model->params))
        x = NULL;
    recalibration r = {.model = model,
                       .source = source,
                       .pool = sw_gradient_new(model->params),
                       .order = sw_sampler_new(source->n, source->n, SW_SHUFFLE, o.seed),
                       .x = x,
                       .parts = (source->n - 1) / batch + 1};
    sw_status status = !r.pool || !r.order ? sw_last_failure()
                       : sw_params_buffer_dim(model->params) == 0
                           ? SW_OK
                           : recalibrate_batches(&r, o.batches ? o.batches : r.parts);
    if (status == SW_OK)
        status = sw_gradient_commit_buffers(r.pool, x, 1);
    sw_sampler_free(r.order);
    sw_gradient_free(r.pool);
    swn_evaluation_end(model);
    return status;
}
