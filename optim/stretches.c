/* Computes the stretches of all groups (stretches.h). */
#include "optim/stretches.h"
#include "optim/bounds.h"
#include "optim/optimizer.h"

void swo_plan_stretches(sw_optim *o) {
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        group->stretches = 0;
        for (int k = 0; k < group->params; k++) {
            const sw_param *p = group->param[k];
            swo_stretch *last = group->stretches ? &group->stretch[group->stretches - 1] : NULL;
            if (p->frozen || p->count == 0)
                continue;
            if (last && last->offset + last->count == p->offset && last->slot + last->count == group->slot_at[k])
                last->count += p->count;
            else
                group->stretch[group->stretches++] = (swo_stretch){p->offset, p->count, group->slot_at[k]};
        }
    }
    for (int i = 0; i < sw_params_count(o->params); i++)
        o->frozen[i] = sw_params_at(o->params, i)->frozen;
    swo_bounds_forget(o);
    o->frozen_known = false;
}

void swo_update_stretches(sw_optim *o) {
    for (int i = 0; i < sw_params_count(o->params); i++)
        if (o->frozen[i] != sw_params_at(o->params, i)->frozen) {
            swo_plan_stretches(o);
            return;
        }
}
