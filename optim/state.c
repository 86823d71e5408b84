/* What an optimizer tells about itself: counters, options, state by name. */
#include "optim/internal.h"

#include <math.h>

int64_t sw_optim_total_steps(const sw_optim *o) {
    return o ? o->total : 0;
}

int64_t sw_optim_steps_taken(const sw_optim *o) {
    return o ? o->steps : 0;
}

int64_t sw_optim_steps_skipped(const sw_optim *o) {
    return o ? o->skipped : 0;
}

double sw_optim_epoch(const sw_optim *o) {
    if (sw_error()) /* no step is taken: a loop until some epoch, which never checks sw_error, ends too */
        return INFINITY;
    return o && o->objective ? (double)o->samples / (double)o->objective->n : 0;
}

sw_status sw_optim_set_total_steps(sw_optim *o, int64_t steps) {
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "set_total_steps: the optimizer is NULL");
    if (steps < 0)
        return sw_fail(SW_ERR_ARGUMENT, "set_total_steps: %lld steps", (long long)steps);
    o->total = steps;
    o->length = steps ? SWO_LENGTH_PROGRAM : SWO_LENGTH_NONE;
    return SW_OK;
}

double swo_frozen_set(const sw_params *params) {
    const uint64_t prime = 9007199254740881u; /* the largest below 2^53 */
    uint64_t bits = 0;
    for (int i = 0; i < sw_params_count(params); i++)
        bits = (2 * bits + sw_params_at(params, i)->frozen) % prime;
    return (double)bits;
}

int sw_optim_group_count(const sw_optim *o) {
    return o ? o->groups : 0;
}

double sw_optim_option(const sw_optim *o, int group, const char *name) {
    if (!o || group < 0 || group >= o->groups) {
        sw_fail(SW_ERR_ARGUMENT, "option: group %d of %d", group, sw_optim_group_count(o));
        return NAN;
    }
    const swo_group *g = &o->group[group];
    int i = name ? swo_index(g->rule->options, name) : -1;
    if (i < 0) {
        sw_fail(SW_ERR_ARGUMENT, "rule %s has no option %s", g->rule->name, name ? name : "NULL");
        return NAN;
    }
    /* Before the first step: what it would be in it. */
    if (o->steps == 0 && swo_options_now((sw_optim *)(uintptr_t)o) != SW_OK)
        return NAN;
    return g->effective[i];
}

sw_optim_memory sw_optim_bytes(const sw_optim *o) {
    sw_optim_memory m = {0};
    if (!o)
        return m;
    size_t size = swo_size(o), vector = (size_t)o->dim * size;
    for (int i = 0; i < o->groups; i++)
        for (int s = 0; s < SW_MAX_SLOTS; s++)
            if (o->group[i].slot[s])
                m.rule += (size_t)o->group[i].slot_count[s] * swo_slot_size(&o->group[i].rule->slots[s], o->type);
    for (const swo_estimate *e = o->estimate; e; e = e->inner) {
        m.estimator += e->bytes;
        for (int i = 0; i < SWO_SCRATCH; i++)
            m.work += (size_t)e->room[i] * size;
        m.work += e->squares ? (size_t)e->e.n * sizeof *e->squares : 0;
        m.work += e->lazy_bytes;
    }
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        if (o->average_slot[i])
            m.average += (size_t)o->average_count[i] * swo_slot_size(&o->average->slots[i], o->type);
    if (o->search)
        m.work += 4 * vector + m.rule; /* x, direction, trial, its gradient; slots aside */
    else if (o->x_before)
        m.work += vector + m.rule; /* x and slots aside, where the guard keeps them */
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        if (o->average_before[i])
            m.work += (size_t)o->average_count[i] * swo_slot_size(&o->average->slots[i], o->type);
    m.work += (o->point ? vector : 0) + o->workspace_bytes + swo_watch_bytes(o);
    return m;
}

sw_array swo_state_of(const sw_optim *o, const swo_group *g, int k, int s) {
    const sw_slot *slot = &g->rule->slots[s];
    const sw_param *p = g->param[k];
    size_t size = swo_slot_size(slot, o->type);
    sw_dtype type = swo_slot_type(slot, o->type);
    if (!g->sized[s])
        return sw_array_view(g->slot[s] + (size_t)g->slot_at[k] * size, type, p->rank, p->shape);
    int64_t count = g->sized[s][k + 1] - g->sized[s][k];
    return sw_array_view(g->slot[s] + (size_t)g->sized[s][k] * size, type, 1, &count);
}

sw_array sw_optim_param_slot(const sw_optim *o, const sw_param *param, const char *slot) {
    if (!o || !param || !slot)
        return (sw_array){0};
    if (param->tied)
        param = param->tied;
    for (int i = 0; i < o->groups; i++) {
        const swo_group *g = &o->group[i];
        for (int k = 0; k < g->params; k++) {
            const sw_slot *slots = g->rule->slots;
            for (int s = 0; g->param[k] == param && slots && slots[s].name; s++)
                if (strcmp(slots[s].name, slot) == 0 && g->slot[s])
                    return swo_state_of(o, g, k, s);
        }
    }
    return (sw_array){0};
}

static int slot_index(const sw_slot *slots, const char *name) {
    for (int i = 0; slots && slots[i].name; i++)
        if (strcmp(slots[i].name, name) == 0)
            return i;
    return -1;
}

static sw_array vector_of(const sw_optim *o, const sw_slot *slot, void *data, int64_t count) {
    return data ? sw_array_view(data, swo_slot_type(slot, o->type), 1, &count) : (sw_array){0};
}

sw_array sw_optim_slot(const sw_optim *o, const char *slot) {
    for (const swo_estimate *e = o && slot ? o->estimate : NULL; e; e = e->inner) {
        int i = slot_index(e->e.method->slots, slot);
        if (i >= 0)
            return vector_of(o, &e->e.method->slots[i], e->e.slot[i], e->slot_count[i]);
    }
    int i = o && slot && o->average ? slot_index(o->average->slots, slot) : -1;
    return i >= 0 ? vector_of(o, &o->average->slots[i], o->average_slot[i], o->average_count[i]) : (sw_array){0};
}

static bool scalar_of(const char *const *names, const double *values, const char *name, double *out) {
    for (int i = 0; names && names[i]; i++)
        if (strcmp(names[i], name) == 0) {
            *out = values[i];
            return true;
        }
    return false;
}

double sw_optim_scalar(const sw_optim *o, int group, const char *name) {
    double value = NAN;
    if (!o || group >= o->groups)
        return NAN;
    if (group >= 0) {
        scalar_of(o->group[group].rule->scalars, o->group[group].scalar, name, &value);
        return value;
    }
    for (const swo_estimate *e = o->estimate; e; e = e->inner)
        if (scalar_of(e->e.method->scalars, e->scalar, name, &value))
            return value;
    if (o->search && scalar_of(o->search->scalars, o->search_scalar, name, &value))
        return value;
    if (o->average)
        scalar_of(o->average->scalars, o->average_scalar, name, &value);
    return value;
}
