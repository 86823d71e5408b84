/* The rules' options in a step: durations in steps, lr=auto, and the factors of schedules. */
#include "optim/step_options.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/penalty.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- Schedules ---- */

static sw_status schedule_resolve(sw_optim *o, swo_schedule *s) {
    const sw_option *table = s->method->options;
    SW_TRY(swo_options_in_steps(o, s->method->name, table, &s->values, 0, s->resolved));
    SW_TRY(swo_options_in_steps(o, s->method->name, swo_schedule_options, &s->values, swo_option_count(table),
                                s->resolved));
    const sw_schedule_common *common = SW_OPTIONS_AS(s->resolved + swo_option_count(table), sw_schedule_common);
    if (s->method->needs_total && o->total <= 0 && !(common->over > 0))
        return sw_fail(SW_ERR_STATE, "schedule %s needs the length of the run: set total_steps of the optimizer",
                       s->method->name);
    return SW_OK;
}

static double schedule_factor(const sw_optim *o, const swo_schedule *s) {
    const sw_schedule_common *common =
        SW_OPTIONS_AS(s->resolved + swo_option_count(s->method->options), sw_schedule_common);
    const double warmup = sw_duration_whole_steps(common->warmup);
    double t = (double)o->steps, total = common->over;
    if (t < warmup)
        return (t + 1) / warmup;
    if (!(total > 0))
        total = o->total > 0 ? fmax((double)o->total - warmup, 0) : 0;
    return s->method->factor(s->resolved, t - warmup, total);
}

static bool schedule_is_on_lr(const swo_schedule *s) {
    return strcmp(s->on, "lr") == 0;
}

/* Checks the ranges of scaled options: a decay of 1 or an ε of 0 would lead to NaN. A learning rate may have any
 * value. */
static sw_status schedule_check_scaled(const sw_optim *o, const swo_group *group, const double *factors) {
    for (int k = 0; k < o->schedules; k++) {
        const char *on = o->schedule[k].on;
        const int at = swo_option_index(group->rule->options, on);
        if (at >= 0 && !(fabs(group->effective[at]) <= (o->type == SW_F32 ? FLT_MAX : DBL_MAX)))
            return sw_fail(SW_ERR_NONFINITE,
                           "rule %s: %s is %g in step %lld, which is outside the range of %s: schedule %s "
                           "multiplied it by %g",
                           group->rule->name, on, group->effective[at], (long long)o->steps + 1, sw_dtype_name(o->type),
                           o->schedule[k].method->name, factors[k]);
        if (at < 0 || strcmp(on, "lr") == 0)
            continue;
        const sw_option *option = &group->rule->options[at];
        if (!swo_option_in_range(option, group->effective[at]))
            return sw_fail(SW_ERR_ARGUMENT,
                           "rule %s: %s = %g in step %lld, scaled by the schedule, is "
                           "outside %s",
                           group->rule->name, on, group->effective[at], (long long)o->steps + 1,
                           swo_option_range_text(option));
    }
    return SW_OK;
}

/* ---- Options ---- */

static bool options_have_durations(const sw_option *table) {
    for (int i = 0; table && table[i].name; i++)
        if (table[i].kind == SW_OPTION_DURATION)
            return true;
    return false;
}

/* Computes all options except lr, which the estimator may not have proposed yet. If the step is skipped, lr remains
 * that of the last step. */
static sw_status options_without_lr(sw_optim *o, double factors[SWO_SCHEDULES]) {
    for (int k = 0; k < o->schedules; k++)
        if (!schedule_is_on_lr(&o->schedule[k])) {
            SW_TRY(schedule_resolve(o, &o->schedule[k]));
            factors[k] = schedule_factor(o, &o->schedule[k]);
        }
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        const sw_option *table = group->rule->options;
        if (group->settled)
            continue;
        group->lr = swo_option_index(table, "lr");
        const double lr = group->lr >= 0 ? group->effective[group->lr] : NAN;
        SW_TRY(swo_options_in_steps(o, group->rule->name, table, &group->base, 0, group->effective));
        if (group->lr >= 0)
            group->effective[group->lr] = lr;
        group->settled = o->schedules == 0 && !options_have_durations(table);
        for (int k = 0; k < o->schedules; k++) {
            const int at = schedule_is_on_lr(&o->schedule[k]) ? -1 : swo_option_index(table, o->schedule[k].on);
            if (at >= 0)
                group->effective[at] *= factors[k];
        }
        group->computed = true;
        group->penalty = swo_group_penalty_in_step(group);
    }
    return SW_OK;
}

sw_status swo_step_options_before_estimate(sw_optim *o) {
    double factors[SWO_SCHEDULES] = {0};
    bool others = false;
    for (int k = 0; k < o->schedules; k++)
        others |= !schedule_is_on_lr(&o->schedule[k]);
    for (int i = 0; i < o->groups; i++)
        others |= !o->group[i].computed;
    return others ? options_without_lr(o, factors) : SW_OK;
}

sw_status swo_step_options(sw_optim *o) {
    double factors[SWO_SCHEDULES] = {0};
    SW_TRY(options_without_lr(o, factors));
    for (int k = 0; k < o->schedules; k++)
        if (schedule_is_on_lr(&o->schedule[k])) {
            SW_TRY(schedule_resolve(o, &o->schedule[k]));
            factors[k] = schedule_factor(o, &o->schedule[k]);
        }
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        const int lr = group->lr;
        if (lr >= 0)
            group->effective[lr] = group->base.value[lr];
        if (lr >= 0 && isnan(group->base.value[lr])) {
            group->effective[lr] = swo_lr_for(o, group->penalty);
            if (isnan(group->effective[lr]))
                return sw_fail(SW_ERR_ARGUMENT,
                               "rule %s: lr=auto, but estimator %s proposes no step "
                               "size",
                               group->rule->name, o->estimate->e.method->name);
        }
        for (int k = 0; k < o->schedules && lr >= 0; k++)
            if (schedule_is_on_lr(&o->schedule[k]))
                group->effective[lr] *= factors[k];
        SW_TRY(schedule_check_scaled(o, group, factors));
    }
    return SW_OK;
}
