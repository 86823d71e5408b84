/* Evaluations for estimators: gradients and losses. */
#include "optim/estimate.h"
#include "optim/frozen.h"
#include "optim/method_status.h"
#include "optim/optimizer.h"
#include "optim/stored_gradient.h"

#include "core/params/gradient.h"

#include <math.h>
#include <string.h>

/* The number of samples that are evaluated at once if an estimator evaluates all samples. */
enum { ALL_IN_CHUNKS = 1000 };

void swo_estimate_free(swo_estimate *e) {
    while (e) {
        swo_estimate *inner = e->inner;
        for (int i = 0; i < SW_MAX_SLOTS; i++)
            sw_free(e->e.slot[i]);
        for (int i = 0; i < SWO_SCRATCH; i++)
            sw_free(e->scratch[i]);
        for (int i = 0; i < SWO_MEMORIES; i++)
            sw_free(e->memory[i]);
        sw_free(e->shard_work);
        sw_free(e->ids);
        if (!inner) /* a wrapper uses the sampler of its inner one */
            sw_sampler_free(e->e.sampler);
        sw_free(e);
        e = inner;
    }
}

/* ---- Gradients and losses ---- */

/* Whether these are the samples of the step that follow those of the previous call, so that each sample is reported
 * once. */
static bool estimate_is_first(const sw_estimate *e, const int64_t *ids, int64_t count) {
    const int64_t before = ((const sw_optim *)e->optim)->statistics_of;
    if (before + count > e->count)
        return false;
    return e->ids ? ids == e->ids + before : !ids && before == 0;
}

/* The shards of an estimator; those of a wrapper are those of its inner estimator. False: there is one shard. */
static bool estimate_shards(sw_estimate *e, const int64_t *ids, sw_shard_options *how) {
    const swo_estimate *s = swo_estimate_of(e);
    while (s->shards < 2 && s->inner)
        s = s->inner;
    *how = SW_OPTIONS(sw_shard_options, .shards = s->shards, .chunk = ids ? 0 : ALL_IN_CHUNKS, .work = s->shard_work);
    return s->shards > 1;
}

static sw_status estimate_gradient_of(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value,
                                      sw_gradient *g) {
    sw_shard_options how;
    if (estimate_shards(e, ids, &how))
        return sw_objective_gradient_sharded(e->objective, e->tape, x, ids, count, &how, e->draw, value, g);
    return ids ? sw_objective_gradient(e->objective, e->tape, x, ids, count, e->draw, value, g)
               : sw_objective_gradient_chunked(e->objective, e->tape, x, NULL, count, ALL_IN_CHUNKS, e->draw, value, g);
}

/* Keeps the gradient of the loss for the slope of a line search, if a wrapper changes the gradient that the rules
 * receive. */
static void estimate_keep_gradient(sw_optim *o, const void *x, const int64_t *ids, int64_t count, double value,
                                   const void *g) {
    const swo_estimate *outer = o->estimate;
    if (!o->search || o->true_known || (outer->flags & SW_ESTIMATOR_DIRECT) || x != sw_params_x(o->params) ||
        ids != outer->e.ids || count != outer->e.count)
        return;
    memcpy(o->trial_gradient, g, (size_t)o->dim * swo_size(o));
    o->true_value = value;
    o->true_known = true;
}

/* Checks the gradient. Objectives without a tape also write the elements of frozen parameters. */
static sw_status estimate_check(sw_estimate *e, sw_gradient *block) {
    sw_optim *o = e->optim;
    swo_zero_frozen_in(o, block);
    if (block == o->view)
        return swi_gradient_norm(block, &e->gradient_norm);
    o->g_factor = swo_stored_factor(block);
    return swo_block_norm(o, block, &e->gradient_norm);
}

/* Whether the gradient of all samples at x is known from the last trial of the line search. */
static bool estimate_is_kept(sw_estimate *e, const void *x, const int64_t *ids, int64_t count) {
    const sw_optim *o = e->optim;
    const swo_kept_gradient *k = &o->kept;
    return k->valid && e == &o->estimate->e && x == sw_params_x(o->params) && !ids && count == e->n &&
           k->version == sw_params_version(o->params) && k->frozen == sw_estimate_frozen_set(e);
}

static void estimate_read_kept(sw_estimate *e, double *value, void *g) {
    const sw_optim *o = e->optim;
    memcpy(g, o->trial_gradient, (size_t)o->dim * swo_size(o));
    *value = o->kept.value;
    if (value == &e->value)
        e->weight = o->kept.weight;
    e->gradient_norm = o->kept.norm;
}

sw_status sw_estimate_gradient(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value,
                               void *g) {
    sw_optim *o = e->optim;
    double ignored;
    if (estimate_is_kept(e, x, ids, count)) {
        estimate_read_kept(e, value ? value : &ignored, g);
        return SW_OK;
    }
    sw_gradient *own = sw_params_gradient(o->params);
    sw_gradient *block = swo_gradient_is_stored(o) && g == swi_gradient_data(own) ? own : o->view;
    if (block == o->view)
        sw_gradient_set_data(o->view, g);
    if (!value)
        value = &ignored;
    const bool update = estimate_is_first(e, ids, count);
    sw_tape_set_switch(e->tape, SW_UPDATE_BUFFERS, update);
    sw_status status = estimate_gradient_of(e, x, ids, count, value, block);
    sw_tape_set_switch(e->tape, SW_UPDATE_BUFFERS, false);
    SW_TRY(status);
    if (update) {
        o->statistics_of += count;
        if (block == o->view) /* the view drops its reports at the next gradient */
            SW_TRY(sw_gradient_add_statistics(own, o->view));
    }
    if (value == &e->value)
        e->weight = sw_gradient_weight(block);
    SW_TRY(estimate_check(e, block));
    estimate_keep_gradient(o, x, ids, count, *value, g);
    return SW_OK;
}

sw_status sw_estimate_value(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value) {
    sw_shard_options how;
    if (estimate_shards(e, ids, &how))
        return sw_objective_value_sharded(e->objective, e->tape, x, ids, count, &how, e->draw, value);
    return ids ? sw_objective_value(e->objective, e->tape, x, ids, count, e->draw, value)
               : sw_objective_value_chunked(e->objective, e->tape, x, NULL, count, ALL_IN_CHUNKS, e->draw, value);
}

sw_status sw_estimate_glm_derivatives(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value,
                                      void *s) {
    double norm;
    SW_TRY(sw_objective_glm_derivatives(e->objective, e->tape, x, ids, count, e->draw, value, s));
    if (value == &e->value)
        e->weight = sw_tape_loss_weight(e->tape);
    return sw_vector_norm(e->type, count * e->objective->outputs, s, &norm);
}

sw_status sw_estimate_glm_combine(sw_estimate *e, const int64_t *ids, int64_t count, const void *c, double beta,
                                  void *g) {
    return sw_objective_glm_combine(e->objective, e->tape, ids, count, c, beta, g);
}

/* Inside another wrapper, a wrapper with SW_ESTIMATOR_DIRECT states the gradient of the loss: the estimator inside it
 * may have computed in another scale. first: e->value is of this evaluation. */
static void estimate_keep_direct(sw_estimate *e, const void *x, const void *g, bool first) {
    sw_optim *o = e->optim;
    const swo_estimate *s = swo_estimate_of(e), *outer = o->estimate;
    if (!o->search || !o->true_known || !s->inner || !(s->flags & SW_ESTIMATOR_DIRECT) ||
        (outer->flags & SW_ESTIMATOR_DIRECT) || x != sw_params_x(o->params) || e->ids != outer->e.ids ||
        e->count != outer->e.count)
        return;
    memcpy(o->trial_gradient, g, (size_t)o->dim * swo_size(o));
    if (first)
        o->true_value = e->value;
}

sw_status swo_estimate_compute(sw_estimate *e, const void *x, void *g) {
    const bool first = isnan(e->value) != 0;
    SW_TRY(swo_method_status("estimator", e->method->name, "estimate", true,
                             e->method->estimate ? e->method->estimate(e, x, g) : sw_estimate_inner(e, x, g)));
    estimate_keep_direct(e, x, g, first);
    return SW_OK;
}

sw_status sw_estimate_inner(sw_estimate *e, const void *x, void *g) {
    sw_estimate *inner = e->inner;
    if (!inner)
        return sw_fail(SW_ERR_STATE,
                       "estimate_inner: estimator %s is not a wrapper: its flags need SW_ESTIMATOR_WRAPPER",
                       e->method->name);
    SW_TRY(swo_estimate_compute(inner, x, g));
    swo_zero_frozen(e->optim, g); /* tables and snapshots may hold gradients of parameters that were frozen later */
    double *norm = &swo_estimate_of(inner)->norm;
    if (SWO_ESTIMATOR_HAS(inner->method, fits) && sw_vector_norm(e->type, e->dim, g, norm) != SW_OK)
        *norm = INFINITY;
    e->gradient_norm = inner->gradient_norm;
    if (isnan(e->value)) {
        e->value = inner->value;
        e->weight = inner->weight;
    }
    if (isnan(e->lr))
        e->lr = inner->lr;
    return SW_OK;
}

/* ---- Memory ---- */

void *sw_estimate_scratch(sw_estimate *e, int index, int64_t count) {
    swo_estimate *s = swo_estimate_of(e);
    if (index < 0 || index >= SWO_SCRATCH || count < 0) {
        sw_fail(SW_ERR_ARGUMENT, "estimate_scratch: %d is outside 0 to %d", index, SWO_SCRATCH - 1);
        return NULL;
    }
    if (count == 0)
        count = e->dim;
    if (s->room[index] < count) {
        void *more =
            sw_alloc_array_named(SW_ACCOUNT_TEMPORARIES, e->method->name, "scratch", count, sw_dtype_size(e->type));
        if (!more)
            return NULL;
        if (s->scratch[index])
            memcpy(more, s->scratch[index], (size_t)s->room[index] * sw_dtype_size(e->type));
        sw_free(s->scratch[index]);
        s->scratch[index] = more;
        s->room[index] = count;
    }
    return s->scratch[index];
}

int64_t *sw_estimate_ids(sw_estimate *e, int64_t count) {
    swo_estimate *s = swo_estimate_of(e);
    if (s->ids_room < count || !s->ids) {
        int64_t *more = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, count, sizeof *more);
        if (!more)
            return NULL;
        sw_free(s->ids);
        s->ids = more;
        s->ids_room = count;
    }
    return s->ids;
}
