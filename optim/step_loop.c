/* Many steps in one loop, if the estimator has one and the rest of the pipeline is only the rule sgd and an average. */
#include "optim/step_loop.h"
#include "optim/average_step.h"
#include "optim/bounds.h"
#include "optim/convergence.h"
#include "optim/loss_scale.h"
#include "optim/optimizer.h"
#include "optim/plain_sgd.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Whether the average is a running mean in slot 0. */
static bool loop_average_is_running(const sw_optim *o) {
    const sw_average *a = o->average;
    return a->size >= offsetof(sw_average, weight) + sizeof a->weight && a->weight && o->average_slot[0];
}

/* A loop does not check that x remains within f16, the type of the copy that leaves read. */
static bool loop_is_possible(const sw_optim *o) {
    return sw_params_storage(o->params) != SW_F16 && o->estimate->e.runs &&
           SWO_ESTIMATOR_HAS(o->estimate->e.method, run) && !o->estimate->inner && !(o->clip > 0) && !o->search &&
           !o->schedules && !o->norms && !o->rules_point && !o->rules_accepted &&
           (!o->average || loop_average_is_running(o)) && swo_rules_are_plain(o);
}

/* ---- Functions that the loop calls ---- */

/* The first member must be sw_estimate_run: step_loop_of casts its address. */
typedef struct step_loop {
    sw_estimate_run run;
    sw_optim *o;
    sw_status (*took)(void *user, double loss, double weight);
    void *user;
    double scalar[SW_MAX_SCALARS], average_scalar[SW_MAX_SCALARS]; /* before the step */
} step_loop;

static step_loop *step_loop_of(sw_estimate_run *run) {
    return (step_loop *)(void *)run;
}

void sw_run_begin_step(sw_estimate_run *run) {
    step_loop *r = step_loop_of(run);
    sw_optim *o = r->o;
    sw_estimate *e = &o->estimate->e;
    e->step = o->steps + 1;
    e->draws = o->draws + 1;
    memcpy(r->scalar, o->estimate->scalar, sizeof r->scalar);
    if (run->mean)
        memcpy(r->average_scalar, o->average_scalar, sizeof r->average_scalar);
}

void sw_run_undo_step(sw_estimate_run *run) {
    step_loop *r = step_loop_of(run);
    memcpy(r->o->estimate->scalar, r->scalar, sizeof r->scalar);
    if (run->mean)
        memcpy(r->o->average_scalar, r->average_scalar, sizeof r->average_scalar);
}

sw_status sw_run_end_step(sw_estimate_run *run, int64_t samples, double loss) {
    step_loop *r = step_loop_of(run);
    r->o->steps++;
    r->o->draws++;
    r->o->samples += samples;
    run->done++;
    return r->took(r->user, loss, (double)samples);
}

bool sw_run_average_weight(sw_estimate_run *run, double *weight) {
    step_loop *r = step_loop_of(run);
    sw_optim *o = r->o;
    const sw_average *a = o->average;
    *weight = 0;
    if (!run->mean)
        return true;
    memcpy(o->average_scalar, r->average_scalar, sizeof r->average_scalar); /* the loop may call this twice in a step */
    sw_step s = swo_average_step(o, o->steps + 1);
    const sw_status status = a->begin ? a->begin(&s) : SW_OK;
    bool finite = true;
    for (int i = 0; a->scalars && a->scalars[i]; i++)
        finite &= isfinite(o->average_scalar[i]) != 0;
    *weight = status == SW_OK ? a->weight(o->average_coefficient) : 0;
    return (status == SW_OK && finite && *weight > 0 && *weight <= 1) || status == SW_SKIPPED;
}

/* ---- The loop ---- */

sw_status swo_step_loop(sw_optim *o, int64_t most, sw_status (*took)(void *user, double loss, double weight),
                        void *user, int64_t *done) {
    step_loop loop = {.run = {.most = most}, .o = o, .took = took, .user = user};
    *done = 0;
    if (most < 1 || !o->objective || sw_error() || !loop_is_possible(o) || !swo_plain_stretches(o, &loop.run))
        return SW_OK;
    for (int i = 0; i < sw_params_count(o->params); i++)
        if (o->frozen[i] != sw_params_at(o->params, i)->frozen)
            return SW_OK;
    SW_TRY(swo_prepare_average(o));
    if (o->average && o->any_infinite) /* only the pipeline excludes infinite frozen parameters from the average */
        return SW_OK;
    swo_estimate *e = o->estimate;
    SW_TRY(swo_options_in_steps(o, e->e.method->name, e->e.method->options, &e->values, 0, e->resolved));
    if (swo_x_is_written(o))
        swo_estimator_reset_converged(o);
    swo_x_low(o);                           /* sets it to 0 if the program has written to x */
    const bool flushes = o->type == SW_F64; /* in f32, glm_loop.c does this for each update of x */
    const unsigned mode = flushes ? sw_subnormals_flush() : 0;
    if (o->average) {
        loop.run.mean = o->average_slot[0];
        loop.run.mean_low = o->average_slot[1];
    }
    e->e.x_written = swo_x_is_written(o);
    sw_status status = e->e.method->run(&e->e, &loop.run);
    *done = loop.run.done;
    if (flushes)
        sw_subnormals_restore(mode);
    if (*done > 0) {
        o->skipped_in_a_row = 0;
        o->loss_scale.trial_overflow = false;
        swo_loss_scale_update(o, SW_OK, *done);
        sw_params_mark_changed(o->params);
        o->seen = sw_params_version(o->params);
        o->x_written = 0;
        swo_bounds_forget(o);
        o->norm = NAN;
    }
    return status;
}

/* ---- For programs ---- */

static sw_status loop_add_loss(void *user, double loss, double weight) {
    return isnan(loss) ? SW_OK : sw_loss_mean_add_part(user, loss, weight);
}

sw_status sw_optim_minimize_steps(sw_optim *o, const sw_objective *objective, int64_t steps, double *value) {
    sw_loss_mean mean = {0};
    sw_status status = SW_OK;
    if (value)
        *value = NAN;
    if (steps < 1)
        return sw_fail(SW_ERR_ARGUMENT, "optim_minimize_steps: %lld steps; 1 or more is needed", (long long)steps);
    while (steps > 0 && status == SW_OK) {
        int64_t done;
        double loss;
        /* The pipeline takes the last step, so that the accessors return the values of a step. */
        if (o && (status = swo_step_loop(o, o->objective == objective ? steps - 1 : 0, loop_add_loss, &mean, &done)) !=
                     SW_OK)
            break;
        steps -= o ? done : 0;
        status = sw_optim_minimize(o, objective, &loss);
        if (status == SW_OK)
            status = loop_add_loss(&mean, loss, sw_optim_loss_weight(o));
        steps--;
    }
    if (value)
        *value = sw_loss_mean_value(&mean);
    return status;
}
