/* Many steps in one loop, where the estimator has one and the pipeline would do nothing but the rule sgd and an
 * average. */
#include "optim/step_loop.h"
#include "optim/average_step.h"
#include "optim/bounds.h"
#include "optim/convergence.h"
#include "optim/optimizer.h"
#include "optim/plain_sgd.h"

#include <math.h>

static bool loop_is_possible(const sw_optim *o) {
    return o->estimate->run && !o->estimate->inner && !(o->clip > 0) && !o->search && !o->schedules && !o->norms &&
           !o->rules_point && (!o->average || o->average->weight) && swo_rules_are_plain(o);
}

sw_status swo_step_loop(sw_optim *o, int64_t most, sw_status (*took)(void *user, double loss, double weight),
                        void *user, int64_t *done) {
    swo_plain_rules rules = {.took = took, .user = user};
    *done = 0;
    if (most < 1 || !o->objective || sw_error() || !loop_is_possible(o) || !swo_plain_stretches(o, &rules))
        return SW_OK;
    for (int i = 0; i < sw_params_count(o->params); i++)
        if (o->frozen[i] != sw_params_at(o->params, i)->frozen)
            return SW_OK;
    SW_TRY(swo_prepare_average(o));
    if (o->average && o->any_infinite) /* the pipeline keeps such a frozen parameter out of the average */
        return SW_OK;
    swo_estimate *e = o->estimate;
    SW_TRY(swo_options_in_steps(o, e->e.method->name, e->e.method->options, &e->values, 0, e->resolved));
    if (o->seen != sw_params_version(o->params))
        swo_estimator_reset_converged(o);
    swo_x_low(o);                           /* 0, if x was written from outside */
    const bool flushes = o->type == SW_F64; /* in f32 each move by itself (glm_loop.c) */
    const unsigned mode = flushes ? sw_subnormals_flush() : 0;
    sw_status status = e->run(&e->e, &rules, most, done);
    if (flushes)
        sw_subnormals_restore(mode);
    if (*done > 0) {
        o->skipped_in_a_row = 0;
        sw_params_mark_changed(o->params);
        o->seen = sw_params_version(o->params);
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
        return sw_fail(SW_ERR_ARGUMENT, "minimize_steps: %lld steps; 1 or more is needed", (long long)steps);
    while (steps > 0 && status == SW_OK) {
        int64_t done;
        double loss;
        /* The last step is the pipeline's, so that what can be asked of a step can be asked of it. */
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
