/* Access to the state of an optimizer by name: slots and scalars. */
#include "optim/slots.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"

#include <math.h>
#include <string.h>

sw_array swo_param_slot(const sw_optim *o, const swo_group *g, int k, int s) {
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
                if (strcmp(slots[s].name, slot) == 0 && g->slot[s] && !g->whole[s])
                    return swo_param_slot(o, g, k, s);
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

sw_array swo_slot_vector(const sw_optim *o, const sw_slot *slot, void *data, int64_t count) {
    return data ? sw_array_view(data, swo_slot_type(slot, o->type), 1, &count) : (sw_array){0};
}

sw_array sw_optim_slot(const sw_optim *o, const char *slot) {
    for (const swo_estimate *e = o && slot ? o->estimate : NULL; e; e = e->inner) {
        int i = slot_index(e->e.method->slots, slot);
        if (i >= 0)
            return swo_slot_vector(o, &e->e.method->slots[i], e->e.slot[i], e->slot_count[i]);
    }
    int i = o && slot && o->average ? slot_index(o->average->slots, slot) : -1;
    return i >= 0 ? swo_slot_vector(o, &o->average->slots[i], o->average_slot[i], o->average_count[i]) : (sw_array){0};
}

sw_array sw_optim_group_slot(const sw_optim *o, int group, const char *slot) {
    if (!o || !slot || group < 0 || group >= o->groups)
        return (sw_array){0};
    const swo_group *g = &o->group[group];
    const int i = slot_index(g->rule->slots, slot);
    return i >= 0 && g->whole[i] ? swo_slot_vector(o, &g->rule->slots[i], g->slot[i], g->slot_count[i]) : (sw_array){0};
}

static bool scalar_find(const char *const *names, const double *values, uint32_t whole, const char *name, double *out) {
    for (int i = 0; names && names[i]; i++)
        if (strcmp(names[i], name) == 0) {
            *out = swo_scalar(values, whole, i);
            return true;
        }
    return false;
}

double sw_optim_scalar(const sw_optim *o, int group, const char *name) {
    double value = NAN;
    if (!o || group >= o->groups)
        return NAN;
    if (group >= 0) {
        scalar_find(o->group[group].rule->scalars, o->group[group].scalar, 0, name, &value);
        return value;
    }
    for (const swo_estimate *e = o->estimate; e; e = e->inner)
        if (scalar_find(e->e.method->scalars, e->scalar, swo_whole_scalars(e->e.method), name, &value))
            return value;
    if (o->search && scalar_find(o->search->scalars, o->search_scalar, 0, name, &value))
        return value;
    if (o->average)
        scalar_find(o->average->scalars, o->average_scalar, 0, name, &value);
    return value;
}
