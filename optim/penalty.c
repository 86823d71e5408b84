/* The terms that rules add to the objective: the penalty λ/2 ‖x‖² of weight_decay, l1, bounds. */
#include "optim/penalty.h"
#include "optim/frozen.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"

#include <math.h>

/* The index of an option that adds a term to the objective; -1 if the rule has none or adds nothing to the
 * objective. */
static int penalty_index(const swo_group *group, const char *name) {
    return group->rule->flags & SW_RULE_PENALTY ? swo_option_index(group->rule->options, name) : -1;
}

double swo_group_penalty(const swo_group *group) {
    const int at = penalty_index(group, "weight_decay");
    return at >= 0 ? group->base.value[at] : 0;
}

double swo_penalty(const sw_optim *o) {
    double most = 0;
    for (int i = 0; i < o->groups; i++)
        most = fmax(most, swo_group_penalty(&o->group[i]));
    return most;
}

/* The value after schedules, if the options of a step have been computed. */
static double penalty_option(const swo_group *group, const char *name, double otherwise) {
    const int at = penalty_index(group, name);
    return at < 0 ? otherwise : group->computed ? group->effective[at] : group->base.value[at];
}

double swo_group_penalty_in_step(const swo_group *group) {
    return penalty_option(group, "weight_decay", 0);
}

static bool penalty_group_moves(const swo_group *group) {
    for (int k = 0; k < group->params; k++)
        if (!group->param[k]->frozen)
            return true;
    return false;
}

double swo_penalty_in_step(const sw_optim *o) {
    double most = 0;
    for (int i = 0; i < o->groups; i++)
        if (penalty_group_moves(&o->group[i]))
            most = fmax(most, swo_group_penalty_in_step(&o->group[i]));
    return most;
}

double swo_lr_for(const sw_optim *o, double penalty) {
    const sw_estimate *e = &o->estimate->e;
    while (e->inner && !SWO_ESTIMATOR_HAS(e->method, lr_with) && e->lr == e->inner->lr)
        e = e->inner; /* a wrapper uses the step size of the inner estimator */
    return o->objective && SWO_ESTIMATOR_HAS(e->method, lr_with) && penalty != e->penalty
               ? e->method->lr_with(e, penalty)
               : e->lr;
}

double swo_penalty_at(const sw_optim *o, const void *x, const void *d, double *slope) {
    double value = 0;
    for (int i = 0; i < o->groups; i++) {
        const swo_group *group = &o->group[i];
        const double decay = swo_group_penalty_in_step(group);
        for (int k = 0; decay > 0 && k < group->stretches; k++) {
            const int64_t count = group->stretch[k].count;
            const size_t at = (size_t)group->stretch[k].offset * swo_size(o);
            const char *here = (const char *)x + at;
            value += decay / 2 * sw_vector_dot(o->type, count, here, here);
            if (slope)
                *slope += decay * sw_vector_dot(o->type, count, here, (const char *)d + at);
        }
    }
    return value;
}

/* ---- l1 and bounds ---- */

/* l1 and the bounds of a proximal step. */
typedef struct penalty_box {
    double l1, low, high;
} penalty_box;

/* Rounds low and high to the type of x, as the kernel of the step does, because x may be equal to them. */
static bool penalty_box_of(sw_dtype type, const swo_group *group, penalty_box *b) {
    *b = (penalty_box){.l1 = penalty_option(group, "l1", 0),
                       .low = penalty_option(group, "low", -INFINITY),
                       .high = penalty_option(group, "high", INFINITY)};
    if (penalty_option(group, "nonnegative", 0) != 0)
        b->low = fmax(b->low, 0);
    if (type == SW_F32) {
        b->low = (double)(float)b->low;
        b->high = (double)(float)b->high;
    }
    return b->l1 > 0 || isfinite(b->low) || isfinite(b->high);
}

/* The subgradient of f + h of least absolute value, given the gradient g of f. It is 0 at a minimum. Outside the box
 * there is no subgradient, and the result is INFINITY. */
static double penalty_subgradient(const penalty_box *b, double x, double g) {
    const double low = g - b->l1, high = g + b->l1; /* the subgradients at x = 0 are [low, high] */
    double r = x > 0 ? high : x < 0 ? low : low > 0 ? low : high < 0 ? high : 0;
    if (x < b->low || x > b->high)
        return INFINITY;
    if (x == b->low && r > 0)
        r = 0;
    if (x == b->high && r < 0)
        r = 0;
    return r;
}

/* Adds the subgradients of one parameter. Returns false if x is outside the box. */
static bool penalty_add_subgradients(sw_dtype type, const sw_param *p, const penalty_box *b, const void *x, void *g) {
    for (int64_t i = p->offset; i < p->offset + p->count; i++) {
        const double at = sw_load_element(type, x, i), slope = sw_load_element(type, g, i),
                     r = penalty_subgradient(b, at, slope);
        if (isinf(r) && isfinite(slope))
            return false;
        sw_store_element(type, g, i, r);
    }
    return true;
}

bool swo_adds_to_objective(const sw_optim *o) {
    penalty_box b;
    for (int i = 0; i < o->groups; i++)
        if (swo_group_penalty_in_step(&o->group[i]) > 0 || penalty_box_of(o->type, &o->group[i], &b))
            return true;
    return false;
}

/* Returns false if x is outside the box. It does not use the stretches, which are those of the last step, because the
 * set of frozen parameters may have changed since. */
static bool penalty_add_group(const sw_optim *o, const swo_group *group, const void *x, void *g) {
    const double decay = swo_group_penalty_in_step(group);
    penalty_box b;
    const bool bounded = penalty_box_of(o->type, group, &b);
    for (int k = 0; k < group->params; k++) {
        const sw_param *p = group->param[k];
        const size_t at = (size_t)p->offset * swo_size(o);
        if (p->frozen)
            continue;
        if (decay > 0)
            sw_vector_axpby(o->type, p->count, 1, (char *)g + at, decay, (const char *)x + at, (char *)g + at);
        if (bounded && !penalty_add_subgradients(o->type, p, &b, x, g))
            return false;
    }
    return true;
}

sw_status swo_penalized_norm(sw_optim *o, const void *x, void *g, double *norm) {
    bool inside = true;
    for (int i = 0; i < o->groups && inside; i++)
        inside = penalty_add_group(o, &o->group[i], x, g);
    swo_zero_frozen(o, g);
    SW_TRY(sw_vector_norm(o->type, o->dim, g, norm));
    if (!inside)
        *norm = INFINITY;
    return SW_OK;
}
