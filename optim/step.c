/* One step: the pipeline that optim.h describes. No other file depends on its order. */
#include "optim/average_step.h"
#include "optim/binding.h"
#include "optim/bounds.h"
#include "optim/finite.h"
#include "optim/frozen.h"
#include "optim/loss_scale.h"
#include "optim/method_status.h"
#include "optim/norms.h"
#include "optim/optimizer.h"
#include "optim/penalty.h"
#include "optim/plain_sgd.h"
#include "optim/rollback.h"
#include "optim/rule_hooks.h"
#include "optim/run_rules.h"
#include "optim/search_step.h"
#include "optim/skipped_steps.h"
#include "optim/step_options.h"
#include "optim/stored_gradient.h"
#include "optim/stretches.h"
#include "optim/vector_step.h"

#include "core/params/gradient.h"
#include "core/params/vector.h"

#include <math.h>
#include <string.h>

/* ---- The estimator ---- */

static sw_status step_sample(sw_optim *o, swo_estimate *e) {
    sw_estimate *s = &e->e;
    s->step = o->steps + 1; // NOLINT(clang-analyzer-core.NullDereference): bound, so not NULL
    s->draw = sw_rng_key(o->seed + 0x9E3779B97F4A7C15u * o->draws, "draw");
    s->draws = o->draws;
    s->x_written = swo_x_is_written(o);
    s->value = s->weight = e->norm = NAN;
    if (e->inner) {
        s->lr = NAN; /* that of the inner estimator, which may change from step to step */
        SW_TRY(step_sample(o, e->inner));
    }
    if (s->method->sample)
        return swo_skipped_by(o, SW_SKIP_SAMPLE, s->method->name,
                              swo_method_status("estimator", s->method->name, "sample", true, s->method->sample(s)));
    if (e->inner) {
        s->ids = s->inner->ids;
        s->count = s->inner->count;
        s->draw = s->inner->draw;
    } else if (s->sampler) {
        s->count = sw_sampler_next(s->sampler, &s->ids);
    } else { /* without batches: all samples */
        s->ids = NULL;
        s->count = s->n;
    }
    return SW_OK;
}

static void step_prefetch(const sw_optim *o) {
    const int64_t *ids;
    int64_t count;
    if (o->objective->prefetch && o->estimate->e.sampler && (count = sw_sampler_peek(o->estimate->e.sampler, &ids)) > 0)
        o->objective->prefetch(o->objective->user, ids, count);
}

static sw_status step_commit(swo_estimate *e) {
    if (e->inner)
        SW_TRY(step_commit(e->inner));
    sw_status status = e->e.method->commit ? e->e.method->commit(&e->e) : SW_OK;
    return status == SW_SKIPPED ? sw_fail(SW_ERR_STATE,
                                          "estimator %s: commit cannot skip a step that "
                                          "was taken",
                                          e->e.method->name)
                                : swo_method_status("estimator", e->e.method->name, "commit", false, status);
}

/* An estimator inside a wrapper is checked with the norm of its estimate, because the gradient of the step is that of
 * the wrapper. */
static sw_status step_fits(const sw_optim *o, swo_estimate *e) {
    if (e->inner)
        SW_TRY(step_fits(o, e->inner));
    if (!SWO_ESTIMATOR_HAS(e->e.method, fits))
        return SW_OK;
    const double norm = e == o->estimate ? o->norm : isnan(e->norm) ? INFINITY : e->norm;
    return swo_method_status("estimator", e->e.method->name, "fits", false, e->e.method->fits(&e->e, norm));
}

static void step_call_skipped(sw_optim *o, swo_estimate *e) {
    if (e->inner)
        step_call_skipped(o, e->inner);
    e->e.skip_cause = o->skip_cause;
    if (SWO_ESTIMATOR_HAS(e->e.method, skipped))
        e->e.method->skipped(&e->e);
}

/* Scalars are those before the step. Returns SW_SKIPPED, or an error of a method's `skipped`. */
static sw_status step_skipped(sw_optim *o) {
    const uint64_t failures = sw_failure_count();
    step_call_skipped(o, o->estimate);
    sw_status status = sw_failure_count() != failures ? sw_last_failure() : swo_check_estimates(o);
    if (status == SW_OK)
        return SW_SKIPPED;
    swo_rollback_scalars(o, true);
    return status;
}

/* ---- From the final gradient on ---- */

static void step_gradient_is_wide(sw_optim *o) {
    o->g_type = o->type;
    o->g_factor = 1;
}

/* The gradient for a step of a hand-written loop: that of the block, or a copy in the type of x if a part of the step
 * needs one. NULL and an error. */
static void *step_gradient(sw_optim *o, sw_gradient *gradient) {
    void *g = swi_gradient_data(gradient);
    o->g_type = sw_gradient_type(gradient);
    o->g_factor = swo_stored_factor(gradient);
    if (!swo_gradient_is_stored(o) || !swo_needs_wide_gradient(o))
        return g;
    void *wide = swo_wide_gradient(o);
    if (wide)
        swo_read_gradient(o, g, 0, o->dim, wide);
    step_gradient_is_wide(o);
    return wide;
}

/* The vector for the gradient of an estimator: that of the block, if it is f16 or bf16 and the estimator does not read
 * it, else one in the type of x. The vectors of shards are in the type of x, and so are the gradients of objectives
 * without a tape. NULL and an error. */
static void *step_gradient_of_estimator(sw_optim *o, sw_gradient *gradient) {
    const swo_estimate *e = o->estimate;
    step_gradient_is_wide(o);
    if (sw_gradient_type(gradient) == o->type)
        return swi_gradient_data(gradient);
    if (!e->e.passes_g || e->inner || e->shards > 1 || !o->objective->loss || swo_needs_wide_gradient(o))
        return swo_wide_gradient(o);
    o->g_type = sw_gradient_type(gradient);
    return swi_gradient_data(gradient);
}

/* g ← g·clip/‖g‖. For a very large g, or a small clip, the norm may overflow or the factor underflow: g is first
 * multiplied by a power of 2. A gradient in 16 bits is multiplied when it is read. */
static sw_status step_clip(sw_optim *o, void *g) {
    double norm = o->norm;
    if (swo_gradient_is_stored(o)) {
        o->g_factor *= o->clip / norm;
        return SW_OK;
    }
    if (norm > 0x1p100) {
        sw_vector_axpby(o->type, o->dim, 0x1p-80, g, 0, NULL, g);
        SW_TRY(sw_vector_norm(o->type, o->dim, g, &norm));
    }
    if (o->clip / norm < 0x1p-100 && norm > 1) { /* 2^100 at most */
        const double down = ldexp(1, -ilogb(norm));
        sw_vector_axpby(o->type, o->dim, down, g, 0, NULL, g);
        norm *= down;
    }
    sw_vector_axpby(o->type, o->dim, o->clip / norm, g, 0, NULL, g);
    return SW_OK;
}

/* Computes the norm for a tolerance, before x changes. */
static sw_status step_penalized_norm(sw_optim *o, const void *g) {
    o->penalized_norm = o->norm;
    if (!swo_adds_to_objective(o))
        return SW_OK;
    void *all = sw_estimate_scratch(&o->estimate->e, 5, o->dim);
    if (!all)
        return SW_ERR_MEMORY;
    swo_read_gradient(o, g, 0, o->dim, all);
    if (swo_penalized_norm(o, sw_params_x(o->params), all, &o->penalized_norm) != SW_OK)
        o->penalized_norm = INFINITY;
    return SW_OK;
}

/* Updates the buffers. The pending reports were checked before anything changed. */
static sw_status step_commit_buffers(sw_optim *o) {
    if (sw_params_buffer_dim(o->params) == 0)
        return SW_OK;
    SW_TRY(sw_gradient_commit_buffers(sw_params_gradient(o->params), sw_params_x(o->params), NAN));
    if (o->average && o->any_infinite) /* a buffer that was infinite may be finite now */
        swo_frozen_read(o);
    return SW_OK;
}

/* Takes the rest of a step, from the combined gradient on. */
static sw_status step_update(sw_optim *o, void *g) {
    if (isnan(o->norm)) /* g is a combination of several gradients, which may overflow */
        SW_TRY(swo_gradient_norm(o, g, 0, o->dim, &o->norm));
    swo_update_stretches(o);
    SW_TRY(swo_step_options(o));
    if (o->wants_penalized)
        SW_TRY(step_penalized_norm(o, g));
    if (o->clip > 0 && o->norm > o->clip) {
        if (o->search)
            swo_search_keep_gradient(o, g);
        SW_TRY(step_clip(o, g));
    }
    SW_TRY(swo_prepare_average(o)); /* reports wrong options before x changes */
    SW_TRY(sw_gradient_check_buffers(sw_params_gradient(o->params), NULL, NAN, o->average ? &o->buffer_norm : NULL));
    swo_start_slots(o, false);
    if (o->objective)
        SW_TRY(step_fits(o, o->estimate));
    o->x_low = swo_x_low(o);
    if (o->seen != sw_params_version(o->params) || o->steps == 0)
        swo_bounds_forget(o); /* the program has written to x, or swo_start_slots to the states */
    if (o->seen != sw_params_version(o->params) && o->steps > 0)
        o->x_written = 1;
    swi_params_count_change(o->params);
    o->seen = sw_params_version(o->params);
    swo_norms_before(o);
    const sw_status status = o->search ? swo_search_step(o, g) : swo_run_rules(o, g);
    if (o->search || status != SW_OK) /* otherwise the updates of the rules have written the copy */
        swi_params_renew_copy(o->params);
    SW_TRY(status);
    SW_TRY(step_commit_buffers(o));
    swo_norms_after(o, g);
    SW_TRY(swo_update_average(o)); /* it may refuse the step, and tables cannot be restored: so it comes first */
    if (o->objective) {
        SW_TRY(step_commit(o->estimate));
        SW_TRY(swo_check_estimates(o));
    }
    if (o->rules_accepted)
        SW_TRY(swo_rules_accepted(o, g));
    swo_vector_taken(o);
    o->x_written = 0;
    o->steps++;
    return SW_OK;
}

/* Ends a step. The gradient block is made fresh for the next step. */
static sw_status step_finish(sw_optim *o, sw_status status) {
    sw_gradient_make_fresh(sw_params_gradient(o->params));
    if (status != SW_OK) {
        swo_rollback_scalars(o, true);
        swo_bounds_forget(o);
        swo_start_slots(o, true);
        o->kept.valid = false;
    }
    if (status == SW_SKIPPED && o->objective)
        status = step_skipped(o);
    swo_loss_scale_update(o, status, 1);
    return swo_count_skipped(o, status);
}

/* ---- For programs ---- */

/* Computes the norm of the gradient. A parameter may have been frozen after sw_backward. The program may have written
 * to the block, if it has a pointer to its elements; g may also be a copy. */
static sw_status step_check_gradient(sw_optim *o, sw_gradient *block, void *g) {
    if (block->exposed || g != block->data) {
        swo_zero_frozen_of(o, o->g_type, g);
        return swo_gradient_norm(o, g, 0, o->dim, &o->norm);
    }
    swo_zero_frozen_in(o, block);
    return swo_block_norm(o, block, &o->norm);
}

static sw_status step_check_by_hand(const sw_optim *o) {
    if (sw_error()) /* operations that were recorded after the error are not valid */
        return sw_error_status();
    for (const swo_estimate *e = o->estimate; e; e = e->inner)
        if ((e->e.method->flags & (SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_WRAPPER)) || o->search)
            return sw_fail(SW_ERR_STATE,
                           "optim_step: %s evaluates the objective itself: call "
                           "sw_optim_minimize instead",
                           o->search ? o->search->name : e->e.method->name);
    return sw_gradient_is_fresh(sw_params_gradient(o->params))
               ? sw_fail(SW_ERR_STATE, "optim_step: there is no gradient; run sw_backward first")
               : SW_OK;
}

sw_status sw_optim_step(sw_optim *o) {
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "optim_step: the optimizer is NULL");
    sw_gradient *gradient = sw_params_gradient(o->params);
    sw_status status = step_check_by_hand(o);
    void *g = status == SW_OK ? step_gradient(o, gradient) : NULL;
    if (status != SW_OK) {
        sw_gradient_drop_statistics(gradient);
        return status;
    }
    if (!g) { /* as after any other step that fails */
        sw_gradient_make_fresh(gradient);
        return SW_ERR_MEMORY;
    }
    swo_rollback_scalars(o, false);
    o->skip_cause = SW_SKIP_GRADIENT; /* unless another cause is recorded */
    o->loss_scale.trial_overflow = false;
    status = step_check_gradient(o, gradient, g);
    if (status == SW_OK)
        status = step_update(o, g);
    return step_finish(o, status);
}

sw_status sw_optim_minimize(sw_optim *o, const sw_objective *objective, double *value) {
    if (value)
        *value = NAN;
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "optim_minimize: the optimizer is NULL");
    if (sw_error())
        return sw_error_status();
    SW_TRY(swo_bind_objective(o, objective));
    sw_estimate *e = &o->estimate->e;
    sw_gradient *gradient = sw_params_gradient(o->params);
    void *g = step_gradient_of_estimator(o, gradient);
    if (!g)
        return SW_ERR_MEMORY;
    for (swo_estimate *s = o->estimate; s; s = s->inner)
        SW_TRY(swo_options_in_steps(o, s->e.method->name, s->e.method->options, &s->values, 0, s->resolved));
    if (o->search)
        SW_TRY(swo_options_in_steps(o, o->search->name, o->search->options, &o->search_values, 0, o->search_option));
    swo_rollback_scalars(o, false);
    sw_status status = swo_step_options_before_estimate(o);
    if (status != SW_OK) {
        swo_rollback_scalars(o, true);
        return status;
    }
    o->skip_cause = SW_SKIP_GRADIENT; /* unless another one is noted */
    o->loss_scale.trial_overflow = false;
    o->draws++;
    status = step_sample(o, o->estimate);
    if (status != SW_OK)
        return step_finish(o, status);
    o->samples += e->count; // NOLINT(clang-analyzer-core.NullDereference): bound, so not NULL
    o->norm = NAN;
    sw_gradient_drop_statistics(gradient); /* of passes that the program itself ran */
    o->statistics_of = 0;
    o->true_known = false;
    status = swo_estimate_compute(e, sw_params_x(o->params), g);
    if (value)
        *value = e->value;
    o->loss_weight = isnan(e->weight) ? (double)e->count : e->weight;
    if (status == SW_OK)
        status = swo_check_estimates(o);
    if (status == SW_OK) {
        if (o->estimate->flags & SW_ESTIMATOR_DIRECT)
            o->norm = e->gradient_norm;
        else /* tables and snapshots may contain gradients of parameters that were frozen later */
            swo_zero_frozen_of(o, o->g_type, g);
        step_prefetch(o);
        status = step_update(o, g);
    }
    return step_finish(o, status);
}

double sw_optim_loss_weight(const sw_optim *o) {
    return o ? o->loss_weight : NAN;
}

double sw_optim_gradient_norm(const sw_optim *o) {
    return o ? o->norm : NAN;
}
