/* Many steps in one loop, where the estimator has one and the pipeline would do nothing but the rule sgd and an
 * average. */
#include "optim/internal.h"
#include <swale/prox.h>

#include <math.h>

static double option_of(const swo_group *group, const char *name) {
    const int at = swo_index(group->rule->options, name);
    return at >= 0 ? group->base.value[at] : 0;
}

/* x - lr (g + λx), or prox of that, and nothing else. */
static bool rule_is_plain(const swo_group *group) {
    return (group->rule->flags & SW_RULE_PROXIMAL_SGD) && option_of(group, "momentum") == 0;
}

static bool rules_are_plain(const sw_optim *o) {
    for (int i = 0; i < o->groups; i++)
        if (!rule_is_plain(&o->group[i]))
            return false;
    return true;
}

static bool optim_is_plain(const sw_optim *o) {
    return o->estimate->run && !o->estimate->inner && !(o->clip > 0) && !o->search && !o->schedules && !o->watch &&
           !o->rules_point && (!o->average || o->average->weight) && rules_are_plain(o);
}

void *swo_x_low(sw_optim *o) {
    swo_estimate *e = o->estimate;
    if (!o->objective || !e->x_low)
        return NULL;
    const bool kept = !o->search && !e->inner && rules_are_plain(o);
    if (!kept || o->seen != sw_params_version(o->params))
        memset(e->x_low, 0, (size_t)o->dim * swo_size(o));
    return kept ? e->x_low : NULL;
}

static const swo_group *group_of(const sw_optim *o, const sw_param *p) {
    for (int i = 0; i < o->groups; i++)
        for (int k = 0; k < o->group[i].params; k++)
            if (o->group[i].param[k] == p)
                return &o->group[i];
    return NULL;
}

/* x from its begin to its end; false: there are too many stretches, or elements of no group. */
static bool stretches_of(const sw_optim *o, swo_plain_rules *rules) {
    int64_t at = 0;
    rules->stretches = 0;
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const sw_param *p = sw_params_at(o->params, i);
        const swo_group *group = p->tied || p->count == 0 ? NULL : group_of(o, p);
        if (p->tied || p->count == 0)
            continue;
        if (!group || p->offset != at || rules->stretches == SWO_PLAIN)
            return false;
        rules->stretch[rules->stretches].offset = p->offset;
        rules->stretch[rules->stretches].count = p->count;
        rules->stretch[rules->stretches].lr = option_of(group, "lr");
        rules->stretch[rules->stretches].decay = option_of(group, "weight_decay");
        const sw_prox_options *prox =
            SW_OPTIONS_AS(group->base.value + swo_index(group->rule->options, "l1"), sw_prox_options);
        rules->stretch[rules->stretches].proximal = sw_prox_is_used(prox);
        rules->stretch[rules->stretches].l1 = prox->l1;
        rules->stretch[rules->stretches].low = sw_prox_low(prox);
        rules->stretch[rules->stretches].high = sw_prox_high(prox);
        rules->stretch[rules->stretches++].moves = !p->frozen;
        at += p->count;
    }
    return at == o->dim;
}

bool swo_average_weight(sw_optim *o, double *weight) {
    const sw_average *a = o->average;
    sw_step s = swo_average_step(o, o->steps + 1);
    const sw_status status = a->begin(&s);
    bool finite = true;
    for (int i = 0; a->scalars && a->scalars[i]; i++)
        finite &= isfinite(o->average_scalar[i]) != 0;
    *weight = status == SW_OK ? a->weight(o->average_coefficient) : 0;
    return (status == SW_OK && finite && *weight > 0 && *weight <= 1) || status == SW_SKIPPED;
}

sw_status swo_plain_run(sw_optim *o, int64_t most, sw_status (*took)(void *user, double loss, double weight),
                        void *user, int64_t *done) {
    swo_plain_rules rules = {.took = took, .user = user};
    *done = 0;
    if (most < 1 || !o->objective || sw_error() || !optim_is_plain(o) || !stretches_of(o, &rules))
        return SW_OK;
    for (int i = 0; i < sw_params_count(o->params); i++)
        if (o->frozen[i] != sw_params_at(o->params, i)->frozen)
            return SW_OK;
    SW_TRY(swo_prepare_average(o));
    if (o->average && o->any_infinite) /* the pipeline keeps such a frozen parameter out of the average */
        return SW_OK;
    swo_estimate *e = o->estimate;
    SW_TRY(swo_in_steps(o, e->e.method->name, e->e.method->options, &e->values, 0, e->resolved));
    if (o->seen != sw_params_version(o->params))
        swo_reset_converged(o);
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
        swo_guard_forget(o);
        o->norm = NAN;
    }
    return status;
}

/* ---- For programs ---- */

static sw_status add_loss(void *user, double loss, double weight) {
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
        if (o &&
            (status = swo_plain_run(o, o->objective == objective ? steps - 1 : 0, add_loss, &mean, &done)) != SW_OK)
            break;
        steps -= o ? done : 0;
        status = sw_optim_minimize(o, objective, &loss);
        if (status == SW_OK)
            status = add_loss(&mean, loss, sw_optim_loss_weight(o));
        steps--;
    }
    if (value)
        *value = sw_loss_mean_value(&mean);
    return status;
}
