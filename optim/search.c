/* A step whose length a line search chooses; the searches are in searches/. */
#include "optim/internal.h"

#include <math.h>

sw_status swo_make_slots_before(sw_optim *o) {
    const int64_t slots = (int64_t)o->groups * SW_MAX_SLOTS;
    if (!o->slot_before && !(o->slot_before = sw_alloc_array(slots, sizeof *o->slot_before)))
        return SW_ERR_MEMORY;
    for (int i = 0; i < o->groups * SW_MAX_SLOTS; i++) {
        const swo_group *group = &o->group[i / SW_MAX_SLOTS];
        if (!group->slot[i % SW_MAX_SLOTS] || o->slot_before[i])
            continue;
        o->slot_before[i] = sw_alloc_array(group->slot_count[i % SW_MAX_SLOTS],
                                           swo_slot_size(&group->rule->slots[i % SW_MAX_SLOTS], o->type));
        if (!o->slot_before[i])
            return SW_ERR_MEMORY;
    }
    return SW_OK;
}

sw_status swo_make_search(sw_optim *o) {
    void **vector[] = {&o->x_before, &o->direction, &o->trial, &o->trial_gradient};
    for (size_t i = 0; i < sizeof vector / sizeof *vector; i++)
        if (!(*vector[i] = sw_alloc_array(o->dim, swo_size(o))))
            return SW_ERR_MEMORY;
    return swo_make_slots_before(o);
}

/* Copies the rules' slots aside, or back. */
void swo_keep_slots(sw_optim *o, bool restore) {
    for (int i = 0; i < o->groups; i++)
        for (int s = 0; s < SW_MAX_SLOTS; s++) {
            char *slot = o->group[i].slot[s], *aside = o->slot_before[i * SW_MAX_SLOTS + s];
            if (slot)
                memcpy(restore ? slot : aside, restore ? aside : slot,
                       (size_t)o->group[i].slot_count[s] * swo_slot_size(&o->group[i].rule->slots[s], o->type));
        }
}

/* x moves along the rule's direction by what the search chooses. */
sw_status swo_search(sw_optim *o, const void *g) {
    size_t bytes = (size_t)o->dim * swo_size(o);
    void *x = sw_params_x(o->params);
    double lr[SWO_GROUPS] = {0}, largest = 0;
    memcpy(o->x_before, x, bytes);
    swo_keep_slots(o, false);
    for (int i = 0; i < o->groups; i++) {
        int at = swo_index(o->group[i].rule->options, "lr");
        lr[i] = at >= 0 ? o->group[i].effective[at] : 1;
        largest = lr[i] > largest ? lr[i] : largest;
    }
    for (int i = 0; i < o->groups; i++) { /* the step at lr = 1 is the direction */
        int at = swo_index(o->group[i].rule->options, "lr");
        if (at >= 0)
            o->group[i].effective[at] = largest > 0 ? lr[i] / largest : 1;
    }
    sw_status status = swo_run_rules(o, g);
    sw_vector_axpby(o->type, o->dim, 1, x, -1, o->x_before, o->direction);
    swo_zero_frozen(o, o->direction); /* also where they hold Inf, and the difference is NaN */
    memcpy(x, o->x_before, bytes);
    for (int i = 0; i < o->groups; i++) {
        int at = swo_index(o->group[i].rule->options, "lr");
        if (at >= 0)
            o->group[i].effective[at] = lr[i];
    }
    double slope = sw_vector_dot(o->type, o->dim, g, o->direction), alpha = 0;
    sw_search s = {.option = o->search_option,
                   .scalar = o->search_scalar,
                   .value = o->estimate->e.value,
                   .slope = slope,
                   .initial = largest,
                   .optim = o};
    swo_guard_forget(o);
    if (status == SW_OK && slope == 0)
        return SW_OK; /* a stationary point: x stays */
    if (status == SW_OK && !(slope < 0))
        status = sw_fail(SW_ERR_STATE,
                         "line search %s: the rule's direction does not go down (slope "
                         "%g)",
                         o->search->name, slope);
    if (status == SW_OK)
        status =
            swo_skip_by(o, SWO_SKIP_SEARCH, o->search->name,
                        swo_returned("line search", o->search->name, "search", true, o->search->search(&s, &alpha)));
    if (status == SW_OK) {
        sw_vector_axpby(o->type, o->dim, 1, o->x_before, alpha, o->direction, x);
        status = swo_guard_search(o);
    }
    if (status != SW_OK) {
        memcpy(x, o->x_before, bytes);
        swo_keep_slots(o, true);
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
    if (!slope) /* in the parts in which sw_estimate_gradient takes all samples */
        return sw_objective_value_chunked(e->objective, e->tape, o->trial, e->ids, e->count, e->ids ? e->count : 0,
                                          e->draw, value);
    sw_status status = sw_estimate_gradient(e, o->trial, e->ids, e->count, value, o->trial_gradient);
    if (status != SW_OK && status != SW_SKIPPED)
        return status;
    *slope = sw_vector_dot(o->type, o->dim, o->trial_gradient, o->direction);
    return SW_OK;
}
