/* One step: the pipeline that optim.h describes, and the only place that knows its order. */
#include "optim/internal.h"

#include <float.h>
#include <math.h>

/* ---- Stretches ---- */

/* Runs of neighbors of one group that are not frozen. */
sw_status swo_plan_stretches(sw_optim *o) {
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        group->stretches = 0;
        for (int k = 0; k < group->params; k++) {
            const sw_param *p = group->param[k];
            swo_stretch *last = group->stretches ? &group->stretch[group->stretches - 1] : NULL;
            if (p->frozen || p->count == 0)
                continue;
            if (last && last->offset + last->count == p->offset && last->slot + last->count == group->slot_at[k])
                last->count += p->count;
            else
                group->stretch[group->stretches++] = (swo_stretch){p->offset, p->count, group->slot_at[k]};
        }
    }
    for (int i = 0; i < sw_params_count(o->params); i++)
        o->frozen[i] = sw_params_at(o->params, i)->frozen;
    swo_guard_forget(o);
    o->frozen_known = false;
    return SW_OK;
}

static void look_for_frozen(sw_optim *o) {
    for (int i = 0; i < sw_params_count(o->params); i++)
        if (o->frozen[i] != sw_params_at(o->params, i)->frozen) {
            swo_plan_stretches(o);
            return;
        }
}

/* ---- Options of this step ---- */

sw_status swo_in_steps(const sw_optim *o, const char *name, const sw_option *table, const swo_values *values, int first,
                       double *out) {
    for (int i = 0; table && table[i].name; i++) {
        int at = first + i;
        out[at] = values->value[at];
        if (table[i].kind == SW_OPTION_DURATION)
            SW_TRY(swo_steps(name, values->value[at], values->unit[at], o->total, o->per_epoch, &out[at]));
    }
    return SW_OK;
}

static sw_status resolve(sw_optim *o, swo_schedule *s) {
    const sw_option *table = s->method->options;
    SW_TRY(swo_in_steps(o, s->method->name, table, &s->values, 0, s->resolved));
    SW_TRY(swo_in_steps(o, s->method->name, swo_schedule_options, &s->values, swo_count(table), s->resolved));
    const sw_schedule_common *common = SW_OPTIONS_AS(s->resolved + swo_count(table), sw_schedule_common);
    if (s->method->needs_total && o->total <= 0 && !(common->over > 0))
        return sw_fail(SW_ERR_STATE,
                       "schedule %s needs the length of the run: set the optimizer's "
                       "steps",
                       s->method->name);
    return SW_OK;
}

static double factor(const sw_optim *o, const swo_schedule *s) {
    const sw_schedule_common *common = SW_OPTIONS_AS(s->resolved + swo_count(s->method->options), sw_schedule_common);
    const double warmup = sw_duration_whole_steps(common->warmup);
    double t = (double)o->steps, total = common->over;
    if (t < warmup)
        return (t + 1) / warmup;
    if (!(total > 0))
        total = o->total > 0 ? fmax((double)o->total - warmup, 0) : 0;
    return s->method->factor(s->resolved, t - warmup, total);
}

/* A learning rate may grow as it likes; a decay of 1 or an ε of 0 would end in NaN. */
static sw_status check_scaled(const sw_optim *o, const swo_group *group, const double *factors) {
    for (int k = 0; k < o->schedules; k++) {
        const char *on = o->schedule[k].on;
        const int at = swo_index(group->rule->options, on);
        if (at >= 0 && !(fabs(group->effective[at]) <= (o->type == SW_F32 ? FLT_MAX : DBL_MAX)))
            return sw_fail(SW_ERR_NONFINITE,
                           "rule %s: %s is %g in step %lld, which %s cannot hold: schedule %s "
                           "multiplied it by %g",
                           group->rule->name, on, group->effective[at], (long long)o->steps + 1, sw_dtype_name(o->type),
                           o->schedule[k].method->name, factors[k]);
        if (at < 0 || strcmp(on, "lr") == 0)
            continue;
        const sw_option *option = &group->rule->options[at];
        if (!swo_in_range(option, group->effective[at]))
            return sw_fail(SW_ERR_ARGUMENT,
                           "rule %s: %s = %g in step %lld, scaled by the schedule, is "
                           "outside %s",
                           group->rule->name, on, group->effective[at], (long long)o->steps + 1,
                           swo_range_text(option));
    }
    return SW_OK;
}

static bool has_durations(const sw_option *table) {
    for (int i = 0; table && table[i].name; i++)
        if (table[i].kind == SW_OPTION_DURATION)
            return true;
    return false;
}

static bool is_on_lr(const swo_schedule *s) {
    return strcmp(s->on, "lr") == 0;
}

/* All but the step size, which the estimator may have yet to propose. If the step is skipped, the step size stays
 * that of the last one. */
static sw_status options_but_lr(sw_optim *o, double factors[SWO_SCHEDULES]) {
    for (int k = 0; k < o->schedules; k++)
        if (!is_on_lr(&o->schedule[k])) {
            SW_TRY(resolve(o, &o->schedule[k]));
            factors[k] = factor(o, &o->schedule[k]);
        }
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        const sw_option *table = group->rule->options;
        if (group->settled)
            continue;
        group->lr = swo_index(table, "lr");
        const double lr = group->lr >= 0 ? group->effective[group->lr] : NAN;
        SW_TRY(swo_in_steps(o, group->rule->name, table, &group->base, 0, group->effective));
        if (group->lr >= 0)
            group->effective[group->lr] = lr;
        group->settled = o->schedules == 0 && !has_durations(table);
        for (int k = 0; k < o->schedules; k++) {
            const int at = is_on_lr(&o->schedule[k]) ? -1 : swo_index(table, o->schedule[k].on);
            if (at >= 0)
                group->effective[at] *= factors[k];
        }
        group->computed = true;
        group->penalty = swo_group_penalty_now(group);
    }
    return SW_OK;
}

/* Before the estimate, which may ask for them, where they are not those of the last step. */
static sw_status penalties_now(sw_optim *o) {
    double factors[SWO_SCHEDULES];
    bool others = false;
    for (int k = 0; k < o->schedules; k++)
        others |= !is_on_lr(&o->schedule[k]);
    for (int i = 0; i < o->groups; i++)
        others |= !o->group[i].computed;
    return others ? options_but_lr(o, factors) : SW_OK;
}

sw_status swo_options_now(sw_optim *o) {
    double factors[SWO_SCHEDULES];
    SW_TRY(options_but_lr(o, factors));
    for (int k = 0; k < o->schedules; k++)
        if (is_on_lr(&o->schedule[k])) {
            SW_TRY(resolve(o, &o->schedule[k]));
            factors[k] = factor(o, &o->schedule[k]);
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
            if (is_on_lr(&o->schedule[k]))
                group->effective[lr] *= factors[k];
        SW_TRY(check_scaled(o, group, factors));
    }
    return SW_OK;
}

/* ---- Rules ---- */

static void *slot_at(const sw_optim *o, const swo_group *group, int i, int64_t at) {
    if (!group->slot[i])
        return NULL;
    return group->slot[i] + (size_t)at * swo_slot_size(&group->rule->slots[i], o->type);
}

/* Member by member, where it is used: an initializer of so large a struct, or a copy of one just written, costs more than
 * a small step. */
static void step_of(sw_optim *o, swo_group *group, const swo_stretch *at, const void *g, sw_step *s) {
    const size_t from = (size_t)at->offset * swo_size(o);
    const sw_slot *slots = group->rule->slots;
    s->step = o->steps + 1;
    s->option = group->effective;
    s->scalar = group->scalar;
    s->coefficient = group->coefficient;
    s->type = o->type;
    s->count = at->count;
    s->x = (char *)sw_params_x(o->params) + from;
    s->g = g ? (const char *)g + from : NULL;
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        s->slot[i] = NULL;
    for (int i = 0; slots && slots[i].name; i++)
        s->slot[i] = slot_at(o, group, i, at->slot);
    s->out = o->point ? (char *)o->point + from : NULL;
    s->param = NULL;
    s->workspace = o->workspace;
    s->x_low = o->x_low ? (char *)o->x_low + from : NULL;
}

/* What has no stretch: begin and decide are of the group as a whole. */
void swo_whole(sw_optim *o, swo_group *group, const void *g, sw_step *s) {
    const swo_stretch none = {0};
    step_of(o, group, &none, g, s);
}

/* Of slots that start as x, also if x was set after the optimizer was made; undo: as before that. */
static void first_values(sw_optim *o, swo_group *group, bool undo) {
    const sw_slot *slots = group->rule->slots;
    size_t size = swo_size(o);
    for (int i = 0; slots && slots[i].name; i++)
        for (int k = 0; group->slot[i] && slots[i].start == SW_START_X && k < group->params; k++) {
            char *slot = group->slot[i] + (size_t)group->slot_at[k] * size;
            const sw_param *p = group->param[k];
            const char *x = (const char *)sw_params_x(o->params) + (size_t)p->offset * size;
            if (undo)
                memset(slot, 0, (size_t)p->count * size);
            else
                memcpy(slot, x, (size_t)p->count * size);
        }
}

/* Of begin and decide, which may skip the step. */
static sw_status rule_returned(sw_optim *o, const sw_rule *rule, const char *function, sw_status status) {
    return swo_skip_by(o, SWO_SKIP_RULE, rule->name, swo_returned("rule", rule->name, function, true, status));
}

static sw_status measure(sw_optim *o, const void *g) {
    bool any = false;
    double sums[SW_MAX_SUMS], total[64][SW_MAX_SUMS];
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        const sw_rule *rule = group->rule;
        if (i < 64)
            memset(total[i], 0, sizeof total[i]);
        for (int k = 0; rule->measure && k < group->stretches; k++) {
            sw_step s;
            step_of(o, group, &group->stretch[k], g, &s);
            sw_kernel_run_sums(rule->measure, o->type, &s, s.count, rule->sums, sums);
            for (int j = 0; j < rule->sums && i < 64; j++)
                total[i][j] += sums[j];
        }
        any |= rule->decide != NULL;
    }
    for (int i = 0; any && i < o->groups; i++) {
        const sw_rule *rule = o->group[i].rule;
        memset(sums, 0, sizeof sums);
        for (int k = 0; k < o->groups && k < 64; k++) /* all groups of this rule, in order */
            for (int j = 0; o->group[k].rule == rule && j < rule->sums; j++)
                sums[j] += total[k][j];
        if (rule->decide) {
            sw_step s;
            swo_whole(o, &o->group[i], g, &s);
            SW_TRY(rule_returned(o, rule, "decide", rule->decide(&s, sums)));
        }
    }
    return SW_OK;
}

static sw_status update(sw_optim *o, swo_group *group, const void *g) {
    const sw_rule *rule = group->rule;
    if (rule->unit == SW_UNIT_ELEMENT) {
        for (int k = 0; k < group->stretches; k++) {
            sw_step s;
            step_of(o, group, &group->stretch[k], g, &s);
            sw_kernel_run(rule->update, o->type, &s, s.count);
        }
        return SW_OK;
    }
    for (int k = 0; k < group->params; k++) {
        const sw_param *p = group->param[k];
        if (p->frozen)
            continue;
        const swo_stretch at = {p->offset, p->count, group->slot_at[k]};
        sw_step s;
        step_of(o, group, &at, g, &s);
        s.param = p;
        for (int i = 0; i < SW_MAX_SLOTS; i++)
            if (group->sized[i])
                s.slot[i] = slot_at(o, group, i, group->sized[i][k]);
        sw_status status = rule->tensor(&s);
        if (status == SW_SKIPPED)
            return sw_fail(SW_ERR_STATE, "rule %s: only begin and decide may skip a step", rule->name);
        SW_TRY(swo_returned("rule", rule->name, "tensor", false, status));
    }
    return SW_OK;
}

/* What is kept in a scalar that the table does not name would be lost when the state is saved. */
static sw_status look_for_undeclared(const swo_group *group) {
    for (int i = swo_scalars(group->rule->scalars); i < SW_MAX_SCALARS; i++)
        if (group->scalar[i] != 0)
            return sw_fail(SW_ERR_STATE,
                           "rule %s writes scalar %d, which its table does not name: it would not be "
                           "saved",
                           group->rule->name, i);
    return SW_OK;
}

static sw_status run_rules_flushed(sw_optim *o, const void *g) {
    for (int i = 0; i < o->groups; i++) {
        const sw_rule *rule = o->group[i].rule;
        sw_step s;
        swo_whole(o, &o->group[i], g, &s);
        if (rule->begin)
            SW_TRY(rule_returned(o, rule, "begin", rule->begin(&s)));
    }
    SW_TRY(measure(o, g));
    for (int i = 0; i < o->groups; i++)
        SW_TRY(look_for_undeclared(&o->group[i]));
    SW_TRY(swo_guard_before(o, g));
    sw_status status = SW_OK;
    for (int i = 0; i < o->groups && status == SW_OK; i++)
        status = update(o, &o->group[i], g);
    return swo_guard_after(o, status);
}

sw_status swo_run_rules(sw_optim *o, const void *g) {
    unsigned mode = sw_subnormals_flush(); /* moments decay into subnormal numbers and stay there */
    sw_status status = run_rules_flushed(o, g);
    sw_subnormals_restore(mode);
    return status;
}

/* ---- Average ---- */

sw_step swo_average_step(sw_optim *o, int64_t step) {
    sw_step s = {.step = step,
                 .option = o->average_option,
                 .scalar = o->average_scalar,
                 .coefficient = o->average_coefficient,
                 .type = o->type,
                 .count = o->dim,
                 .x = sw_params_x(o->params),
                 .out = o->point};
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        s.slot[i] = o->average_slot[i];
    return s;
}

static sw_status average_options(sw_optim *o) {
    return swo_in_steps(o, o->average->name, o->average->options, &o->average_values, 0, o->average_option);
}

static sw_status update_average(sw_optim *o) {
    const sw_average *a = o->average;
    sw_step s = swo_average_step(o, o->steps + 1);
    sw_status status = a->begin ? a->begin(&s) : SW_OK;
    if (status == SW_SKIPPED)
        return SW_OK;
    SW_TRY(swo_returned("average", a->name, "begin", true, status));
    SW_TRY(swo_guard_scalars(o, "average", a->name, a->scalars, o->average_scalar));
    SW_TRY(swo_guard_coefficients(o, "average", a->name, o->average_coefficient));
    if (a->update) {
        const unsigned mode = sw_subnormals_flush();
        sw_kernel_run(a->update, o->type, &s, s.count);
        sw_subnormals_restore(mode);
        swo_guard_clear_infinite(o);
    }
    return SW_OK;
}

static sw_status move_average(sw_optim *o) {
    if (!o->average)
        return SW_OK;
    if (!o->average_checked)
        return update_average(o);
    SW_TRY(swo_guard_keep_average(o));
    return swo_guard_average_after(o, update_average(o));
}

/* An average starts from where the first step does, also if x was set after the optimizer was made. */
static void first_average(sw_optim *o) {
    const sw_slot *slots = o->average->slots;
    for (int i = 0; slots && slots[i].name; i++)
        if (o->average_slot[i] && slots[i].start == SW_START_X)
            memcpy(o->average_slot[i], sw_params_x(o->params), (size_t)o->dim * swo_size(o));
    swo_guard_clear_infinite(o);
}

sw_status swo_prepare_average(sw_optim *o) {
    if (o->seen != sw_params_version(o->params) || o->steps == 0)
        o->frozen_known = false;
    if (!o->average)
        return SW_OK;
    SW_TRY(average_options(o));
    if (!o->frozen_known)
        swo_guard_read_frozen(o);
    if (o->steps == 0)
        first_average(o);
    return SW_OK;
}

static const void *check_point(const sw_optim *o, const char *kind, const char *method) {
    if (swo_no_new_infinity(o->type, o->dim, sw_params_x(o->params), o->point))
        return o->point;
    sw_fail(SW_ERR_NONFINITE, "%s %s: the point to evaluate at holds Inf or NaN after step %lld", kind, method,
            (long long)o->steps);
    return NULL;
}

/* Where a frozen parameter is not finite the average has 0, and the point is x. */
static const void *average_point(sw_optim *o) {
    const sw_average *a = o->average;
    const size_t bytes = (size_t)o->dim * swo_size(o);
    if (average_options(o) != SW_OK)
        return NULL;
    sw_step s = swo_average_step(o, o->steps);
    sw_status status = a->point_begin ? a->point_begin(&s) : SW_OK;
    status = swo_returned("average", a->name, "point_begin", true, status);
    if (status == SW_SKIPPED || (status == SW_OK && !a->point && !o->average_slot[0]))
        return sw_params_x(o->params);
    if (status != SW_OK)
        return NULL;
    if (!o->frozen_known || o->seen != sw_params_version(o->params))
        swo_guard_read_frozen(o);
    if (!a->point && !o->any_infinite)
        return o->average_slot[0];
    if (!o->point && !(o->point = sw_alloc(bytes)))
        return NULL;
    if (a->point)
        sw_kernel_run(a->point, o->type, &s, s.count);
    else
        memcpy(o->point, o->average_slot[0], bytes);
    swo_guard_point_as_x(o, o->point);
    return check_point(o, "average", a->name);
}

const void *sw_optim_point(sw_optim *o) {
    if (!o)
        return NULL;
    void *x = sw_params_x(o->params);
    if (o->steps == 0)
        return x;
    if (o->average)
        return average_point(o);
    if (!o->rules_point)
        return x;
    memcpy(o->point, x, (size_t)o->dim * swo_size(o));
    for (int i = 0; i < o->groups; i++)
        for (int k = 0; o->group[i].rule->point && k < o->group[i].stretches; k++) {
            sw_step s;
            step_of(o, &o->group[i], &o->group[i].stretch[k], NULL, &s);
            s.step = o->steps; /* of the step that was taken last */
            sw_kernel_run(o->group[i].rule->point, o->type, &s, s.count);
        }
    return check_point(o, "rule", o->group[0].rule->name);
}

sw_status sw_optim_adopt_point(sw_optim *o) {
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "optim_adopt_point: the optimizer is NULL");
    const void *point = sw_optim_point(o);
    void *x = sw_params_x(o->params);
    if (!point)
        return sw_last_failure();
    if (point != x) {
        memcpy(x, point, (size_t)o->dim * swo_size(o));
        sw_params_mark_changed(o->params);
    }
    return SW_OK;
}

/* ---- The step ---- */

static void remember(sw_optim *o, bool restore) {
    *(restore ? &o->norm : &o->saved_norm) = restore ? o->saved_norm : o->norm;
    for (int i = 0; i < o->groups; i++) {
        swo_group *g = &o->group[i];
        memcpy(restore ? g->scalar : g->saved, restore ? g->saved : g->scalar, sizeof g->scalar);
    }
    for (swo_estimate *e = o->estimate; e; e = e->inner) {
        memcpy(restore ? e->scalar : e->saved, restore ? e->saved : e->scalar, sizeof e->scalar);
        *(restore ? &e->e.lr : &e->saved_lr) = restore ? e->saved_lr : e->e.lr;
    }
    memcpy(restore ? o->search_scalar : o->search_saved, restore ? o->search_saved : o->search_scalar,
           sizeof o->search_scalar);
    memcpy(restore ? o->average_scalar : o->average_saved, restore ? o->average_saved : o->average_scalar,
           sizeof o->average_scalar);
}

static sw_status commit(swo_estimate *e) {
    if (e->inner)
        SW_TRY(commit(e->inner));
    sw_status status = e->e.method->commit ? e->e.method->commit(&e->e) : SW_OK;
    return status == SW_SKIPPED ? sw_fail(SW_ERR_STATE,
                                          "estimator %s: commit cannot skip a step that "
                                          "was taken",
                                          e->e.method->name)
                                : swo_returned("estimator", e->e.method->name, "commit", false, status);
}

/* g ← g·clip/‖g‖. Of a huge one the norm may be no number of f64, nor the factor one of f32, which may also be so if
 * clip is small: g is made smaller first, by a power of 2. */
static sw_status clip(sw_optim *o, void *g) {
    double norm = o->norm;
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

/* For a tolerance, before anything moves. */
static sw_status measure_penalized(sw_optim *o, const void *g) {
    o->penalized_norm = o->norm;
    if (!swo_adds_to_objective(o))
        return SW_OK;
    void *all = sw_estimate_scratch(&o->estimate->e, 5, o->dim);
    if (!all)
        return SW_ERR_MEMORY;
    memcpy(all, g, (size_t)o->dim * swo_size(o));
    if (swo_penalized_norm(o, sw_params_x(o->params), all, &o->penalized_norm) != SW_OK)
        o->penalized_norm = INFINITY;
    return SW_OK;
}

/* From the final gradient on. */
static sw_status move(sw_optim *o, void *g) {
    if (isnan(o->norm)) /* combined from several gradients, which may be too large together */
        SW_TRY(sw_vector_norm(o->type, o->dim, g, &o->norm));
    look_for_frozen(o);
    SW_TRY(swo_options_now(o));
    if (o->wants_penalized)
        SW_TRY(measure_penalized(o, g));
    if (o->clip > 0) {
        if (o->norm > o->clip)
            SW_TRY(clip(o, g));
    }
    SW_TRY(swo_prepare_average(o)); /* what is wrong with its options shows before anything moves */
    for (int i = 0; i < o->groups && o->steps == 0; i++)
        first_values(o, &o->group[i], false);
    for (swo_estimate *e = o->estimate; e; e = e->inner)
        if (e->fits)
            SW_TRY(e->fits(&e->e, o->norm));
    o->x_low = swo_x_low(o);
    if (o->seen != sw_params_version(o->params) || o->steps == 0)
        swo_guard_forget(o); /* x was written from outside, states from first_values */
    sw_params_mark_changed(o->params);
    o->seen = sw_params_version(o->params);
    swo_watch_before(o);
    SW_TRY(o->search ? swo_search(o, g) : swo_run_rules(o, g));
    swo_watch_after(o, g);
    SW_TRY(move_average(o)); /* before the tables, which cannot be put back: it may refuse the step */
    if (o->objective) {
        SW_TRY(commit(o->estimate));
        SW_TRY(swo_guard_estimators(o));
    }
    o->steps++;
    return SW_OK;
}

static sw_status finish(sw_optim *o, sw_status status) {
    if (status != SW_OK) {
        remember(o, true);
        swo_guard_forget(o);
        for (int i = 0; i < o->groups && o->steps == 0; i++)
            first_values(o, &o->group[i], true);
    }
    return swo_count_skipped(o, status);
}

sw_status sw_optim_step(sw_optim *o) {
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "step: the optimizer is NULL");
    if (sw_error()) /* what was recorded since it failed is not to be trusted */
        return sw_error_status();
    for (const swo_estimate *e = o->estimate; e; e = e->inner)
        if ((e->e.method->flags & (SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_WRAPPER)) || o->search)
            return sw_fail(SW_ERR_STATE,
                           "step: %s evaluates the objective by itself: call "
                           "sw_optim_minimize instead",
                           o->search ? o->search->name : e->e.method->name);
    sw_gradient *gradient = sw_params_gradient(o->params);
    if (sw_gradient_is_fresh(gradient))
        return sw_fail(SW_ERR_STATE, "step: there is no gradient; run sw_backward first");
    void *g = sw_gradient_data(gradient);
    remember(o, false);
    o->skip_cause = SWO_SKIP_GRADIENT; /* unless another one is noted */
    swo_zero_frozen(o, g);             /* sw_backward may have written them before they were frozen */
    sw_status status = sw_vector_norm(o->type, o->dim, g, &o->norm);
    if (status == SW_OK)
        status = move(o, g);
    sw_gradient_make_fresh(gradient);
    return finish(o, status);
}

static sw_status sample(sw_optim *o, swo_estimate *e) {
    if (e->inner) // NOLINT(clang-analyzer-core.NullDereference): bound, so not NULL
        SW_TRY(sample(o, e->inner));
    sw_estimate *s = &e->e;
    s->step = o->steps + 1;
    s->draw = sw_rng_key(o->seed + 0x9E3779B97F4A7C15u * o->draws, "draw");
    s->value = s->weight = NAN;
    if (e->inner)
        s->lr = NAN; /* the inner one's, which may change from step to step */
    if (s->method->sample)
        return swo_skip_by(o, SWO_SKIP_SAMPLE, s->method->name,
                           swo_returned("estimator", s->method->name, "sample", true, s->method->sample(s)));
    if (e->inner) {
        s->ids = s->inner->ids;
        s->count = s->inner->count;
        s->draw = s->inner->draw;
    } else if (s->sampler) {
        s->count = sw_sampler_next(s->sampler, &s->ids);
    } else { /* no batches: all samples */
        s->ids = NULL;
        s->count = s->n;
    }
    return SW_OK;
}

static void prefetch(const sw_optim *o) {
    const int64_t *ids;
    int64_t count;
    if (o->objective->prefetch && o->estimate->e.sampler && (count = sw_sampler_peek(o->estimate->e.sampler, &ids)) > 0)
        o->objective->prefetch(o->objective->user, ids, count);
}

sw_status sw_optim_minimize(sw_optim *o, const sw_objective *objective, double *value) {
    if (value)
        *value = NAN;
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "minimize: the optimizer is NULL");
    if (sw_error())
        return sw_error_status();
    SW_TRY(swo_bind(o, objective));
    sw_estimate *e = &o->estimate->e;
    sw_gradient *gradient = sw_params_gradient(o->params);
    void *g = sw_gradient_data(gradient);
    for (swo_estimate *s = o->estimate; s; s = s->inner)
        SW_TRY(swo_in_steps(o, s->e.method->name, s->e.method->options, &s->values, 0, s->resolved));
    if (o->search)
        SW_TRY(swo_in_steps(o, o->search->name, o->search->options, &o->search_values, 0, o->search_option));
    SW_TRY(penalties_now(o));
    remember(o, false);
    o->skip_cause = SWO_SKIP_GRADIENT; /* unless another one is noted */
    o->draws++;
    sw_status status = sample(o, o->estimate);
    if (status != SW_OK)
        return finish(o, status);
    o->samples += e->count; // NOLINT(clang-analyzer-core.NullDereference): bound, so not NULL
    o->norm = NAN;
    o->statistics = true;
    status =
        swo_returned("estimator", e->method->name, "estimate", true, e->method->estimate(e, sw_params_x(o->params), g));
    if (value)
        *value = e->value;
    o->loss_weight = isnan(e->weight) ? (double)e->count : e->weight;
    if (status == SW_OK)
        status = swo_guard_estimators(o);
    if (status == SW_OK) {
        if (e->method->flags & SW_ESTIMATOR_DIRECT)
            o->norm = o->checked_norm;
        else /* tables and snapshots may be older than what is frozen now */
            swo_zero_frozen(o, g);
        prefetch(o);
        status = move(o, g);
    }
    sw_gradient_make_fresh(gradient);
    return finish(o, status);
}

double sw_optim_loss_weight(const sw_optim *o) {
    return o ? o->loss_weight : NAN;
}

double sw_optim_gradient_norm(const sw_optim *o) {
    return o ? o->norm : NAN;
}
