/* The arguments of a rule's functions in a step (rule_step.h). */
#include "optim/rule_step.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/stored_gradient.h"

/* ---- Slots ---- */

void *swo_slot_at(const sw_optim *o, const swo_group *group, int i, int64_t at) {
    if (!group->slot[i])
        return NULL;
    return group->slot[i] + (size_t)at * swo_slot_size(&group->rule->slots[i], o->type);
}

int swo_slot_parts(const swo_group *group, int i) {
    if (!group->slot[i] || group->rule->slots[i].valid_by_scalars)
        return 0;
    return group->whole[i] ? 1 : group->sized[i] ? group->params : group->stretches;
}

const char *swo_slot_part(const sw_optim *o, const swo_group *group, int i, int part, int64_t *count) {
    const size_t size = swo_slot_size(&group->rule->slots[i], o->type);
    if (group->whole[i]) {
        *count = group->slot_count[i];
        return group->slot[i];
    }
    if (!group->sized[i]) {
        *count = group->stretch[part].count;
        return group->slot[i] + (size_t)group->stretch[part].slot * size;
    }
    *count = group->param[part]->frozen ? 0 : group->sized[i][part + 1] - group->sized[i][part];
    return group->slot[i] + (size_t)group->sized[i][part] * size;
}

/* ---- Steps ---- */

/* Sets each member in the struct of the caller. To initialize so large a struct as a whole, or to copy one that was
 * just written, would take longer than a small step. */
void swo_stretch_step(sw_optim *o, swo_group *group, const swo_stretch *at, const void *g, sw_step *s) {
    const size_t from = (size_t)at->offset * swo_size(o);
    const sw_slot *slots = group->rule->slots;
    s->step = o->steps + 1;
    s->option = group->effective;
    s->scalar = group->scalar;
    s->coefficient = group->coefficient;
    s->type = o->type;
    s->count = at->count;
    s->x = swo_x_at(o, at->offset);
    s->g = g && !swo_gradient_is_stored(o) ? (const char *)g + from : NULL;
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        s->slot[i] = NULL;
    for (int i = 0; slots && slots[i].name; i++)
        s->slot[i] = swo_slot_at(o, group, i, group->whole[i] ? 0 : at->slot);
    s->out = o->point ? (char *)o->point + from : NULL;
    s->param = NULL;
    s->workspace = o->workspace;
    s->frozen_set = 0;
    s->x_written = false;
    s->x_low = o->x_low ? (char *)o->x_low + from : NULL;
    s->group = NULL;
}

void swo_group_step(sw_optim *o, swo_group *group, const void *g, sw_step *s) {
    const swo_stretch none = {0};
    swo_stretch_step(o, group, &none, g, s);
}

void swo_param_step(sw_optim *o, swo_group *group, int k, const void *g, sw_step *s) {
    const swo_stretch at = {group->param[k]->offset, group->param[k]->count, group->slot_at[k]};
    swo_stretch_step(o, group, &at, g, s);
    s->param = group->param[k];
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        if (group->sized[i])
            s->slot[i] = swo_slot_at(o, group, i, group->sized[i][k]);
    swo_set_tensor_gradient(o, g, s);
}
