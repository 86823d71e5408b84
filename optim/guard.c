/* After SW_OK, all numbers of a run are finite: a step that would produce Inf or NaN is refused, and x does not change.
 *
 * The pass that computes the norm of the gradient also checks the gradient. Scalars, coefficients and step sizes are
 * few numbers, and are checked in each step (finite.c). To check x and the vectors of state would need another pass
 * over memory. Instead the optimizer keeps a bound of the 2-norm of each (bounds.c). The norm of the gradient, the
 * options and the coefficients are finite, and sums and products of finite numbers are NaN only after an Inf. Finite
 * bounds therefore exclude both.
 *
 *   - Bounds hold from the first step on. They are computed from the vectors before the first step, and again after the
 *     program has written to x, after loading, and when a bound has become too large to exclude an overflow.
 *   - If the new bounds are still too large, the step is tried on copies (trial_step.c), which is exact.
 *   - A rule or an average without `reach`, and an average after such a step, are checked after the step. If they
 *     contain Inf or NaN, x and the states are restored from copies (rollback.c).
 *
 * The copy of x in f16 or bf16 is included: a step that would make an element of it infinite is refused.
 *
 * A frozen parameter may contain Inf (frozen.c). The bounds of the rules exclude frozen parameters. Checks of whole
 * vectors refuse only elements that were finite before the step.
 *
 * Estimators check their tables themselves (sw_estimator.fits). Their gradients, scalars and step sizes are checked
 * here. */
#include "optim/guard.h"
#include "optim/bounds.h"
#include "optim/finite.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/rollback.h"
#include "optim/rule_step.h"
#include "optim/stored_gradient.h"
#include "optim/trial_step.h"

#include <math.h>

static sw_status guard_numbers(const sw_optim *o) {
    for (int i = 0; i < o->groups; i++) {
        const swo_group *group = &o->group[i];
        SW_TRY(swo_check_scalars(o, "rule", group->rule->name, group->rule->scalars, group->scalar));
        SW_TRY(swo_check_coefficients(o, "rule", group->rule->name, group->coefficient));
    }
    return SW_OK;
}

sw_status swo_guard_before(sw_optim *o, const void *g) {
    bool any = false, copies = false;
    double x = 0;
    SW_TRY(guard_numbers(o));
    o->has_copies = o->search != NULL; /* a line search makes these copies itself */
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        double bound = INFINITY;
        if (!swo_rule_has_reach(group->rule))
            copies = true;
        else
            any |= !swo_bounds_of_group(o, group, g, &bound);
        x = hypot(x, bound);
    }
    if (any)
        SW_TRY(swo_try_rules(o, g));
    swo_bounds_of_average(o, o->search ? INFINITY : x);
    return (copies || o->average_checked) && !o->search ? swo_rollback_save(o) : SW_OK;
}

/* Checks x and the states after the step of a rule without `reach`. */
static sw_status guard_check_group(sw_optim *o, const swo_group *group) {
    const sw_slot *slots = group->rule->slots;
    for (int k = 0; k < group->params; k++) {
        const sw_param *p = group->param[k];
        if (!p->frozen && !swo_vector_is_finite(o->type, swo_x_at(o, p->offset), p->count))
            return swo_refuse_vector(o, "rule", group->rule->name, "x", " of parameter ", p->name);
        if (!p->frozen)
            SW_TRY(swo_check_range_of_copy(o, "rule", group->rule->name, p, swo_x_at(o, p->offset), p->count));
    }
    for (int i = 0; slots && slots[i].name; i++)
        for (int k = 0; k < swo_slot_parts(group, i); k++) {
            int64_t count;
            const char *part = swo_slot_part(o, group, i, k, &count);
            if (!swo_vector_is_finite(swo_slot_type(&slots[i], o->type), part, count))
                return swo_refuse_vector(o, "rule", group->rule->name, "its state ", slots[i].name, "");
        }
    return SW_OK;
}

sw_status swo_guard_after(sw_optim *o, sw_status status) {
    for (int i = 0; i < o->groups && status == SW_OK; i++)
        if (!swo_rule_has_reach(o->group[i].rule))
            status = guard_check_group(o, &o->group[i]);
    if (status != SW_OK && o->has_copies)
        swo_rollback_restore(o);
    return status;
}

/* Checks x and the scalars after a line search, which moves x along the direction of the rules. */
sw_status swo_guard_search(sw_optim *o) {
    swo_bounds_forget(o);
    if (!swo_no_new_infinity(o->type, o->dim, o->x_before, sw_params_x(o->params)))
        return swo_refuse_vector(o, "line search", o->search->name, "x", "", "");
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const sw_param *p = sw_params_at(o->params, i);
        if (!p->frozen && !p->tied)
            SW_TRY(swo_check_range_of_copy(o, "line search", o->search->name, p, swo_x_at(o, p->offset), p->count));
    }
    return swo_check_scalars(o, "line search", o->search->name, o->search->scalars, o->search_scalar);
}
