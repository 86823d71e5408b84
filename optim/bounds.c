/* Bounds of the 2-norms of x and of the vectors of state, which a method's `reach` updates in each step: it
 * computes a bound of the new x from the equation of the method, for example ‖x‖ + η‖g‖, and a bound of the
 * intermediate results of its loop. If all these are far below the largest number of the type, the step cannot
 * overflow.
 *
 * A bound need not be tight, because useful numbers are more than 30 powers of 10 below the largest number of f32. */
#include "optim/bounds.h"
#include "optim/finite.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/rule_step.h"
#include "optim/stored_gradient.h"

#include <float.h>
#include <math.h>

static double bounds_limit(sw_dtype type) {
    return type == SW_F32 ? FLT_MAX / 4 : type == SW_F64 ? DBL_MAX / 4 : INFINITY;
}

bool swo_rule_has_reach(const sw_rule *r) {
    return r->unit != SW_UNIT_VECTOR && SWO_RULE_HAS(r, reach);
}

static bool bounds_average_has_reach(const sw_average *a) {
    return a->size >= offsetof(sw_average, reach) + sizeof a->reach && a->reach;
}

void swo_bounds_forget(sw_optim *o) {
    for (int i = 0; i < o->groups; i++)
        o->group[i].bounds_known = false;
    o->average_bounds_known = false;
}

static bool bounds_fit(const sw_bounds *b, sw_dtype type, const sw_slot *slots) {
    bool fits = b->x <= bounds_limit(type) && b->largest <= bounds_limit(type);
    for (int i = 0; slots && slots[i].name; i++)
        fits &= b->slot[i] <= bounds_limit(swo_slot_type(&slots[i], type));
    return fits;
}

static void bounds_add_rounding(sw_bounds *b) {
    b->x *= SWO_ROUNDING;
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        b->slot[i] *= SWO_ROUNDING;
}

/* ---- Groups ---- */

/* Excludes frozen parameters: a step neither changes nor reads them, and one may be an attention mask with -Inf. When a
 * parameter is no longer frozen, swo_plan_stretches discards the bounds. */
static void bounds_read_group(sw_optim *o, swo_group *group) {
    const sw_slot *slots = group->rule->slots;
    sw_bounds *b = &group->bounds;
    b->x = 0;
    for (int k = 0; k < group->stretches; k++)
        b->x = hypot(b->x, swo_vector_bound(o->type, swo_x_at(o, group->stretch[k].offset), group->stretch[k].count));
    for (int i = 0; slots && slots[i].name; i++) {
        b->slot[i] = 0;
        for (int k = 0; k < swo_slot_parts(group, i); k++) {
            int64_t count;
            const char *part = swo_slot_part(o, group, i, k, &count);
            b->slot[i] = hypot(b->slot[i], swo_vector_bound(swo_slot_type(&slots[i], o->type), part, count));
        }
    }
    group->bounds_known = true;
}

/* Whether the bounds show that the step of the rule does not overflow. `after` receives the bounds after the step. */
static bool bounds_group_is_safe(sw_optim *o, swo_group *group, sw_step *s, sw_bounds *after) {
    *after = group->bounds;
    after->count = s->count = group->dim;
    after->g = (o->clip > 0 && o->norm > o->clip ? o->clip : o->norm) * SWO_ROUNDING;
    after->largest = 0;
    group->rule->reach(s, after);
    bounds_add_rounding(after);
    return after->x <= swo_largest_in_copy(o) && bounds_fit(after, o->type, group->rule->slots);
}

bool swo_bounds_of_group(sw_optim *o, swo_group *group, const void *g, double *x) {
    sw_bounds after;
    sw_step s;
    swo_group_step(o, group, g, &s);
    bool safe = group->bounds_known && bounds_group_is_safe(o, group, &s, &after);
    if (!safe) {
        bounds_read_group(o, group);
        safe = bounds_group_is_safe(o, group, &s, &after);
    }
    group->bounds = after;
    group->bounds_known = safe; /* otherwise they are computed again before the next step */
    *x = safe ? after.x : INFINITY;
    return safe;
}

/* ---- The average ---- */

static void bounds_read_average(sw_optim *o) {
    const sw_slot *slots = o->average->slots;
    for (int i = 0; slots && slots[i].name; i++)
        o->average_bounds.slot[i] = o->average_slot[i] ? swo_vector_bound(swo_slot_type(&slots[i], o->type),
                                                                          o->average_slot[i], o->average_count[i])
                                                       : 0;
    o->average_bounds_known = true;
}

static bool bounds_average_is_safe(sw_optim *o, double x, sw_bounds *after) {
    const sw_step s = {.step = o->steps + 1, .option = o->average_option, .type = o->type, .count = o->dim};
    *after = o->average_bounds;
    after->count = o->dim;
    after->x = x;
    after->largest = 0;
    o->average->reach(&s, after);
    bounds_add_rounding(after);
    return bounds_fit(after, o->type, o->average->slots);
}

void swo_bounds_of_average(sw_optim *o, double x) {
    o->average_checked = false;
    if (!o->average)
        return;
    x = hypot(x, hypot(o->frozen_norm, o->buffer_norm)); /* frozen parameters before this step, buffers after it */
    sw_bounds after;
    bool safe = bounds_average_has_reach(o->average) && isfinite(x);
    if (safe && !(o->average_bounds_known && bounds_average_is_safe(o, x, &after))) {
        bounds_read_average(o);
        safe = bounds_average_is_safe(o, x, &after);
    }
    o->average_checked = !safe;
    o->average_bounds_known = safe;
    if (safe)
        o->average_bounds = after;
}
