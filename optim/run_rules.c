/* Runs the rules of a step: begin, measure, decide, update. */
#include "optim/run_rules.h"
#include "optim/finite.h"
#include "optim/guard.h"
#include "optim/method_status.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/rule_parts.h"
#include "optim/rule_step.h"
#include "optim/skipped_steps.h"
#include "optim/stored_gradient.h"
#include "optim/vector_step.h"

#include <string.h>

/* The status of begin or decide, which may skip the step. */
static sw_status rules_status(sw_optim *o, const sw_rule *rule, const char *function, sw_status status) {
    return swo_skipped_by(o, SW_SKIP_RULE, rule->name, swo_method_status("rule", rule->name, function, true, status));
}

static sw_status rules_measure(sw_optim *o, const void *g) {
    bool any = false;
    double sums[SW_MAX_SUMS], total[64][SW_MAX_SUMS];
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        const sw_rule *rule = group->rule;
        if (i < 64)
            memset(total[i], 0, sizeof total[i]);
        for (int k = 0; rule->measure && k < group->stretches; k++) {
            sw_step s;
            swo_stretch_step(o, group, &group->stretch[k], g, &s);
            swo_run_measure(o, group, &s, group->stretch[k].offset, g, sums);
            for (int j = 0; j < rule->sums && i < 64; j++)
                total[i][j] += sums[j];
        }
        any |= rule->decide != NULL;
    }
    for (int i = 0; any && i < o->groups; i++) {
        const sw_rule *rule = o->group[i].rule;
        memset(sums, 0, sizeof sums);
        for (int k = 0; k < o->groups && k < 64; k++) /* the sums of all groups with this rule, in order */
            for (int j = 0; o->group[k].rule == rule && j < rule->sums; j++)
                sums[j] += total[k][j];
        if (rule->decide) {
            sw_step s;
            swo_group_step(o, &o->group[i], g, &s);
            SW_TRY(rules_status(o, rule, "decide", rule->decide(&s, sums)));
        }
    }
    return SW_OK;
}

/* After the update of a rule whose unit is not ELEMENT. */
static void rules_update_copy(const sw_optim *o, const swo_group *group) {
    for (int k = 0; k < group->stretches && !o->search; k++)
        swo_update_copy(o, group->stretch[k].offset, group->stretch[k].count);
}

static sw_status rules_update_group(sw_optim *o, swo_group *group, const void *g) {
    const sw_rule *rule = group->rule;
    if (rule->unit == SW_UNIT_VECTOR) {
        SW_TRY(swo_vector_find_direction(o, group, g));
        SW_TRY(swo_check_scalars(o, "rule", rule->name, rule->scalars, group->scalar));
        SW_TRY(swo_rules_check_scalars(group));
        if (!o->search) /* a line search moves x itself */
            swo_vector_move(o, group, group->lr >= 0 ? group->effective[group->lr] : 1, sw_params_x(o->params));
        rules_update_copy(o, group);
        return SW_OK;
    }
    if (rule->unit == SW_UNIT_ELEMENT) {
        for (int k = 0; k < group->stretches; k++) {
            sw_step s;
            swo_stretch_step(o, group, &group->stretch[k], g, &s);
            swo_run_update(o, group, &s, group->stretch[k].offset, g);
        }
        return SW_OK;
    }
    for (int k = 0; rule->tensor && k < group->params; k++) {
        if (group->param[k]->frozen)
            continue;
        sw_step s;
        swo_param_step(o, group, k, g, &s);
        sw_status status = rule->tensor(&s);
        if (status == SW_SKIPPED)
            return sw_fail(SW_ERR_STATE, "rule %s: only begin and decide may skip a step", rule->name);
        SW_TRY(swo_method_status("rule", rule->name, "tensor", false, status));
    }
    SW_TRY(swo_parts_run(o, group, g));
    rules_update_copy(o, group);
    return SW_OK;
}

static sw_status rules_check_scalars(const swo_group *group) {
    for (int i = swo_scalar_count(group->rule->scalars); i < SW_MAX_SCALARS; i++)
        if (group->scalar[i] != 0)
            return sw_fail(SW_ERR_STATE,
                           "rule %s writes scalar %d, which its table does not name: it would not be "
                           "saved",
                           group->rule->name, i);
    return SW_OK;
}

sw_status swo_rules_check_scalars(const swo_group *group) {
    return rules_check_scalars(group);
}

static sw_status rules_run_flushed(sw_optim *o, const void *g) {
    for (int i = 0; i < o->groups; i++) {
        const sw_rule *rule = o->group[i].rule;
        sw_step s;
        swo_group_step(o, &o->group[i], g, &s);
        if (rule->begin)
            SW_TRY(rules_status(o, rule, "begin", rule->begin(&s)));
    }
    SW_TRY(rules_measure(o, g));
    for (int i = 0; i < o->groups; i++)
        SW_TRY(rules_check_scalars(&o->group[i]));
    SW_TRY(swo_guard_before(o, g));
    sw_status status = SW_OK;
    for (int i = 0; i < o->groups && status == SW_OK; i++)
        status = rules_update_group(o, &o->group[i], g);
    return swo_guard_after(o, status);
}

sw_status swo_run_rules(sw_optim *o, const void *g) {
    if (o->rules_parts)
        SW_TRY(swo_parts_reserve(o));
    unsigned mode = sw_subnormals_flush(); /* decaying moments would become subnormal numbers, which are slow */
    sw_status status = rules_run_flushed(o, g);
    sw_subnormals_restore(mode);
    return status;
}
