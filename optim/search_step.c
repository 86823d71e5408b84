/* A step whose length a line search chooses. The line searches are in searches/. */
#include "optim/search_step.h"
#include "optim/bounds.h"
#include "optim/frozen.h"
#include "optim/guard.h"
#include "optim/method_status.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/penalty.h"
#include "optim/rollback.h"
#include "optim/run_rules.h"
#include "optim/skipped_steps.h"
#include "optim/vector_step.h"

#include "core/tape/node.h"

#include <math.h>
#include <string.h>

sw_status swo_search_alloc(sw_optim *o) {
    void **vector[] = {&o->x_before, &o->direction, &o->trial, &o->trial_gradient};
    static const char *const name[] = {"x", "direction", "trial", "trial_gradient"};
    for (size_t i = 0; i < sizeof vector / sizeof *vector; i++)
        if (!(*vector[i] = sw_alloc_array_named(SW_ACCOUNT_TEMPORARIES, "search", name[i], o->dim, swo_size(o))))
            return SW_ERR_MEMORY;
    return swo_rollback_alloc_slots(o);
}

/* The learning rate of the group in this step; NULL if its rule has no option lr. */
static double *search_lr_of(swo_group *group) {
    const int at = swo_option_index(group->rule->options, "lr");
    return at >= 0 ? &group->effective[at] : NULL;
}

/* The direction is the step of the rules with each learning rate divided by the largest. x keeps its value; slots and
 * scalars change. */
static sw_status search_find_direction(sw_optim *o, const void *g, double *largest) {
    double lr[SWO_GROUPS] = {0}, *of;
    *largest = 0;
    for (int i = 0; i < o->groups; i++) {
        lr[i] = (of = search_lr_of(&o->group[i])) ? *of : 1;
        *largest = lr[i] > *largest ? lr[i] : *largest;
    }
    for (int i = 0; i < o->groups; i++)
        if ((of = search_lr_of(&o->group[i])))
            *of = *largest > 0 ? lr[i] / *largest : 1;
    sw_status status = swo_run_rules(o, g);
    void *x = sw_params_x(o->params);
    sw_vector_axpby(o->type, o->dim, 1, x, -1, o->x_before, o->direction);
    swo_zero_frozen(o, o->direction); /* if they contain Inf, the difference is NaN */
    memcpy(x, o->x_before, (size_t)o->dim * swo_size(o));
    for (int i = 0; i < o->groups && status == SW_OK; i++)
        if (swo_vector_is(&o->group[i])) /* exact; the difference of x would be rounded */
            swo_vector_move(o, &o->group[i], *largest > 0 ? lr[i] / *largest : 1, o->direction);
    for (int i = 0; i < o->groups; i++)
        if ((of = search_lr_of(&o->group[i])))
            *of = lr[i];
    return status;
}

/* ---- The objective along the direction ---- */

void swo_search_keep_gradient(sw_optim *o, const void *g) {
    if (o->true_known || !(o->estimate->flags & SW_ESTIMATOR_DIRECT))
        return;
    memcpy(o->trial_gradient, g, (size_t)o->dim * swo_size(o));
    o->true_value = o->estimate->e.value;
    o->true_known = true;
}

/* Value and slope at x. g: the gradient that the rules received. */
static sw_status search_start(sw_optim *o, const void *g, double *value, double *slope) {
    sw_estimate *e = &o->estimate->e;
    const void *gradient = g;
    *value = e->value;
    if (!o->true_known && !(o->estimate->flags & SW_ESTIMATOR_DIRECT)) { /* a wrapper that did not evaluate at x */
        SW_TRY(sw_estimate_gradient(e, o->x_before, e->ids, e->count, &o->true_value, o->trial_gradient));
        o->true_known = true;
    }
    if (o->true_known) {
        gradient = o->trial_gradient;
        *value = o->true_value;
    }
    *slope = sw_vector_dot(o->type, o->dim, gradient, o->direction);
    *value += swo_penalty_at(o, o->x_before, o->direction, slope);
    return SW_OK;
}

/* Chooses the step size along the direction; 0 at a stationary point. */
static sw_status search_choose(sw_optim *o, double value, double slope, double initial, double *alpha) {
    sw_search s = {.option = o->search_option,
                   .scalar = o->search_scalar,
                   .value = value,
                   .slope = slope,
                   .initial = initial,
                   .optim = o};
    if (!(slope < 0))
        return sw_fail(
            SW_ERR_STATE,
            "line search %s: the rule's direction is not a descent direction (slope %g): the objective would "
            "increase. Near a minimum, end the run at a larger tolerance; otherwise, set momentum=0, or use "
            "lbfgs or a schedule",
            o->search->name, slope);
    return swo_skipped_by(
        o, SW_SKIP_SEARCH, o->search->name,
        swo_method_status("line search", o->search->name, "search", true, o->search->search(&s, alpha)));
}

/* ---- The gradient of the last trial ---- */

/* Whether a gradient of all samples depends on x alone, apart from random operations. */
static bool search_is_exact(const sw_optim *o) {
    const sw_objective *f = o->objective;
    const swo_estimate *e = o->estimate;
    return f->size >= offsetof(sw_objective, fixed) + sizeof f->fixed && f->fixed && !e->inner && !e->e.ids &&
           e->e.count == e->e.n && (e->flags & SW_ESTIMATOR_DIRECT) && sw_params_buffer_dim(o->params) == 0 &&
           sw_params_storage(o->params) == o->type;
}

/* Describes the gradient of a trial, which is in trial_gradient. exact: it is finite, and no random operation was
 * computed. */
static void search_note_trial(sw_optim *o, double alpha, double value, bool exact) {
    o->kept = (swo_kept_gradient){.exact = exact && search_is_exact(o),
                                  .alpha = alpha,
                                  .value = value,
                                  .weight = sw_gradient_weight(o->view),
                                  .norm = o->estimate->e.gradient_norm};
}

/* After a step of length alpha: keeps the gradient of the last trial for the next step, if that trial was accepted. */
static void search_keep_trial(sw_optim *o, double alpha) {
    o->kept.valid = o->kept.exact && o->kept.alpha == alpha;
    o->kept.version = sw_params_version(o->params);
    o->kept.frozen = sw_estimate_frozen_set(&o->estimate->e);
}

sw_status swo_search_step(sw_optim *o, const void *g) {
    size_t bytes = (size_t)o->dim * swo_size(o);
    void *x = sw_params_x(o->params);
    double largest, value = NAN, slope = NAN, alpha = 0;
    o->kept = (swo_kept_gradient){0};
    memcpy(o->x_before, x, bytes);
    swo_rollback_slots(o, false);
    sw_status status = search_find_direction(o, g, &largest);
    swo_bounds_forget(o);
    if (status == SW_OK)
        status = search_start(o, g, &value, &slope);
    if (status == SW_OK && slope == 0)
        return SW_OK; /* at a stationary point, x does not change */
    if (status == SW_OK)
        status = search_choose(o, value, slope, largest, &alpha);
    if (status == SW_OK) {
        sw_vector_axpby(o->type, o->dim, 1, o->x_before, alpha, o->direction, x);
        status = swo_guard_search(o);
    }
    if (status == SW_OK)
        search_keep_trial(o, alpha);
    else {
        memcpy(x, o->x_before, bytes);
        swo_rollback_slots(o, true);
    }
    return status;
}

sw_status sw_search_eval(sw_search *search, double alpha, double *value, double *slope) {
    sw_optim *o = search->optim;
    sw_estimate *e = &o->estimate->e;
    *value = NAN;
    if (slope)
        *slope = NAN;
    sw_vector_axpby(o->type, o->dim, 1, o->x_before, alpha, o->direction, o->trial);
    const uint64_t random = o->tape->random_keys;
    const sw_status status = slope ? sw_estimate_gradient(e, o->trial, e->ids, e->count, value, o->trial_gradient)
                                   : sw_estimate_value(e, o->trial, e->ids, e->count, value);
    if (status != SW_OK && status != SW_SKIPPED)
        return status;
    o->loss_scale.trial_overflow |= status == SW_SKIPPED && isfinite(*value);
    if (slope)
        search_note_trial(o, alpha, *value, status == SW_OK && o->tape->random_keys == random);
    if (slope)
        *slope = sw_vector_dot(o->type, o->dim, o->trial_gradient, o->direction);
    *value += swo_penalty_at(o, o->trial, o->direction, slope);
    return SW_OK;
}
