/* The hooks of rules that follow a step: `accepted` after a step that was kept, `adopted` after the point of evaluation
 * was copied to x. */
#include "optim/rule_hooks.h"
#include "optim/bounds.h"
#include "optim/finite.h"
#include "optim/method_status.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/rollback.h"
#include "optim/rule_step.h"
#include "optim/run_rules.h"
#include "optim/stored_gradient.h"
#include "optim/stretches.h"
#include "optim/vector_step.h"

#include <math.h>
#include <string.h>

/* ---- Elements, for functions that are called for a whole group ---- */

static void hooks_run_tensors(sw_optim *o, swo_group *group, const sw_step *step, const sw_kernels *kernels,
                              const void *g, bool with_frozen) {
    for (int k = 0; k < group->params; k++) {
        sw_step s;
        if (group->param[k]->frozen && !with_frozen)
            continue;
        swo_param_step(o, group, k, g, &s);
        s.step = step->step;
        sw_kernel_run(kernels, o->type, &s, s.count);
    }
}

static void hooks_run(sw_optim *o, swo_group *group, const sw_step *step, const sw_kernels *kernels, const void *g) {
    for (int k = 0; k < group->stretches; k++) {
        sw_step s;
        swo_stretch_step(o, group, &group->stretch[k], g, &s);
        s.step = step->step;
        swo_run_elements(o, group, kernels, &s, group->stretch[k].offset, g);
    }
}

sw_status sw_step_run(const sw_step *step, const sw_kernels *kernels) {
    swo_group *group = step ? step->group : NULL;
    if (!group || !kernels)
        return sw_fail(SW_ERR_STATE,
                       "step_run: only `accepted` and `adopted` of a rule may run a kernel over the group");
    if (group->rule->unit == SW_UNIT_TENSOR)
        hooks_run_tensors(group->optim, group, step, kernels, group->optim->hook_gradient, false);
    else
        hooks_run(group->optim, group, step, kernels, group->optim->hook_gradient);
    return SW_OK;
}

sw_status sw_step_run_with_frozen(const sw_step *step, const sw_kernels *kernels) {
    swo_group *group = step ? step->group : NULL;
    if (!group || !kernels || group->rule->unit != SW_UNIT_TENSOR)
        return sw_fail(SW_ERR_STATE, "step_run_with_frozen: only `accepted` and `adopted` of a rule of unit TENSOR may "
                                     "run a kernel over all parameters of the group");
    hooks_run_tensors(group->optim, group, step, kernels, group->optim->hook_gradient, true);
    return SW_OK;
}

/* ---- What a hook has written ---- */

static sw_status hooks_check_slots(const sw_optim *o, const swo_group *group, const char *function) {
    const sw_slot *slots = group->rule->slots;
    for (int i = 0; slots && slots[i].name; i++)
        for (int k = 0; k < swo_slot_parts(group, i); k++) {
            int64_t count;
            const char *part = swo_slot_part(o, group, i, k, &count);
            if (!swo_vector_is_finite(swo_slot_type(&slots[i], o->type), part, count))
                return sw_fail(SW_ERR_NONFINITE, "rule %s: %s makes its state %s Inf or NaN", group->rule->name,
                               function, slots[i].name);
        }
    return SW_OK;
}

static sw_status hooks_check_scalars(const swo_group *group, const char *function) {
    const char *const *names = group->rule->scalars;
    for (int i = 0; names && names[i]; i++)
        if (!isfinite(group->scalar[i]))
            return sw_fail(SW_ERR_NONFINITE, "rule %s: %s makes %s %g", group->rule->name, function, names[i],
                           group->scalar[i]);
    return swo_rules_check_scalars(group);
}

static sw_status hooks_call(sw_optim *o, swo_group *group, sw_status (*hook)(sw_step *step), const char *function,
                            const void *g, int64_t step, bool reads_slots) {
    sw_step s;
    if (swo_vector_is(group))
        SW_TRY(swo_vector_step(o, group, g, &s));
    else
        swo_group_step(o, group, g, &s);
    s.step = step;
    s.group = group;
    o->hook_gradient = g;
    const unsigned mode = sw_subnormals_flush(); /* as in the step */
    const sw_status status = hook(&s);
    sw_subnormals_restore(mode);
    SW_TRY(swo_method_status("rule", group->rule->name, function, false, status));
    SW_TRY(hooks_check_scalars(group, function));
    return reads_slots ? hooks_check_slots(o, group, function) : SW_OK;
}

/* ---- A step that was kept ---- */

sw_status swo_rules_accepted(sw_optim *o, const void *g) {
    for (int i = 0; i < o->groups; i++) {
        const sw_rule *rule = o->group[i].rule;
        if (SWO_RULE_HAS(rule, accepted))
            SW_TRY(hooks_call(o, &o->group[i], rule->accepted, "accepted", g, o->steps + 1, !swo_rule_has_reach(rule)));
    }
    return SW_OK;
}

/* ---- A point that was adopted ---- */

static sw_status hooks_adopted(sw_optim *o) {
    for (int i = 0; i < o->groups; i++) {
        const sw_rule *rule = o->group[i].rule;
        if (SWO_RULE_HAS(rule, adopted))
            SW_TRY(hooks_call(o, &o->group[i], rule->adopted, "adopted", NULL, o->steps, true));
    }
    return SW_OK;
}

sw_status swo_rules_adopt(sw_optim *o, const void *point) {
    bool any = false;
    for (int i = 0; i < o->groups; i++)
        any |= SWO_RULE_HAS(o->group[i].rule, adopted);
    if (any) {
        swo_update_stretches(o); /* a parameter may have been frozen after the last step */
        swo_rollback_scalars(o, false);
        SW_TRY(swo_rollback_save(o));
    }
    memcpy(sw_params_x(o->params), point, (size_t)o->dim * swo_size(o));
    sw_params_mark_changed(o->params);
    const sw_status status = any ? hooks_adopted(o) : SW_OK;
    if (status != SW_OK) {
        swo_rollback_scalars(o, true);
        swo_rollback_restore(o);
    }
    return status;
}
