/* What rules add to the objective: the penalty λ/2 ‖x‖² that they state as weight_decay, l1, bounds; for whoever has to
 * know of it. */
#include "internal.h"

#include <math.h>

double swo_group_penalty(const swo_group *group) {
    const int at = group->rule->flags & SW_RULE_PENALTY ? swo_index(group->rule->options, "weight_decay") : -1;
    return at >= 0 ? group->base.value[at] : 0;
}

static double option_of(const swo_group *group, const char *name, double otherwise) {
    const int at = swo_index(group->rule->options, name);
    return at >= 0 ? group->base.value[at] : otherwise;
}

/* Of a proximal step. */
typedef struct bounds {
    double l1, low, high;
} bounds;

static bool bounds_of(const swo_group *group, bounds *b) {
    *b = (bounds){option_of(group, "l1", 0), option_of(group, "low", -INFINITY), option_of(group, "high", INFINITY)};
    if (option_of(group, "nonnegative", 0) != 0)
        b->low = fmax(b->low, 0);
    return b->l1 > 0 || isfinite(b->low) || isfinite(b->high);
}

/* The subgradient of f + h of least absolute value, g that of f: 0 where x is a minimum. */
static double least_subgradient(const bounds *b, double x, double g) {
    const double low = g - b->l1, high = g + b->l1; /* what g + h' is between, at a kink */
    double r = x > 0 ? high : x < 0 ? low : low > 0 ? low : high < 0 ? high : 0;
    if (x <= b->low && r > 0)
        r = 0;
    if (x >= b->high && r < 0)
        r = 0;
    return r;
}

static void take_subgradients(const sw_optim *o, const swo_group *group, const bounds *b, const void *x, void *g) {
    for (int k = 0; k < group->stretches; k++)
        for (int64_t i = group->stretch[k].offset; i < group->stretch[k].offset + group->stretch[k].count; i++)
            if (o->type == SW_F32)
                ((float *)g)[i] = (float)least_subgradient(b, (double)((const float *)x)[i], (double)((float *)g)[i]);
            else
                ((double *)g)[i] = least_subgradient(b, ((const double *)x)[i], ((double *)g)[i]);
}

double swo_penalty(const sw_optim *o) {
    double most = 0;
    for (int i = 0; i < o->groups; i++)
        most = swo_group_penalty(&o->group[i]) > most ? swo_group_penalty(&o->group[i]) : most;
    return most;
}

double swo_lr_for(const sw_optim *o, double penalty) {
    const swo_estimate *e = o->estimate;
    return e->lr_with && penalty != e->penalty ? e->lr_with(&e->e, penalty) : e->e.lr;
}

bool swo_adds_to_objective(const sw_optim *o) {
    bounds b;
    for (int i = 0; i < o->groups; i++)
        if (swo_group_penalty(&o->group[i]) > 0 || bounds_of(&o->group[i], &b))
            return true;
    return false;
}

sw_status swo_penalized_norm(sw_optim *o, const void *x, void *g, double *norm) {
    const size_t size = swo_size(o);
    for (int i = 0; i < o->groups; i++) {
        const swo_group *group = &o->group[i];
        const double decay = swo_group_penalty(group);
        bounds b;
        for (int k = 0; k < group->stretches && decay > 0; k++) {
            const size_t at = (size_t)group->stretch[k].offset * size;
            swo_combine(o->type, group->stretch[k].count, 1, (char *)g + at, decay, (const char *)x + at, (char *)g + at);
        }
        if (bounds_of(group, &b))
            take_subgradients(o, group, &b, x, g);
    }
    swo_zero_frozen(o, g);
    return swo_check(o->type, o->dim, g, norm);
}

sw_status swo_check_l2(const sw_estimate *e, double l2) {
    const double penalty = ((const swo_estimate *)(const void *)e)->penalty;
    if (l2 == 0 || l2 == penalty)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT, "estimator %s: l2=%g, but weight_decay of the rule is %g; state the penalty once, as "
                                    "weight_decay (sgd weight_decay=%g), and leave l2 out",
                   e->method->name, l2, penalty, l2);
}
