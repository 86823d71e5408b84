/* Restores scalars, x and the slots of the rules after a failed step. */
#include "optim/rollback.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"

#include "core/params/vector.h"

#include <string.h>

/* ---- Numbers ---- */

/* Saves or restores the options and coefficients of the last step, for functions that run between steps. */
static void rollback_last_step(swo_group *g, bool restore) {
    if (!restore) {
        memcpy(g->last_effective, g->effective, sizeof g->effective);
        memcpy(g->last_coefficient, g->coefficient, sizeof g->coefficient);
        g->last_computed = g->computed;
    } else {
        memcpy(g->effective, g->last_effective, sizeof g->effective);
        memcpy(g->coefficient, g->last_coefficient, sizeof g->coefficient);
        g->computed = g->last_computed;
        g->settled = false; /* the next step computes its own */
    }
}

/* Saves or restores the options of the last step, if this step computes them again. */
static void rollback_options(swo_group *g, bool restore) {
    if (!restore) {
        g->options_kept = !g->settled;
        if (!g->options_kept)
            return;
        memcpy(g->last_effective, g->effective, sizeof g->effective);
        g->last_computed = g->computed;
    } else if (g->options_kept) {
        memcpy(g->effective, g->last_effective, sizeof g->effective);
        g->computed = g->last_computed;
        g->settled = false;
    }
}

void swo_rollback_scalars(sw_optim *o, bool restore) {
    *(restore ? &o->norm : &o->saved_norm) = restore ? o->saved_norm : o->norm;
    for (int i = 0; i < o->groups; i++) {
        swo_group *g = &o->group[i];
        memcpy(restore ? g->scalar : g->saved, restore ? g->saved : g->scalar, sizeof g->scalar);
        if (swo_reads_last_step(g))
            rollback_last_step(g, restore);
        else
            rollback_options(g, restore);
    }
    for (swo_estimate *e = o->estimate; e; e = e->inner) {
        memcpy(restore ? e->scalar : e->saved, restore ? e->saved : e->scalar, sizeof e->scalar);
        *(restore ? &e->e.lr : &e->saved_lr) = restore ? e->saved_lr : e->e.lr;
    }
    memcpy(restore ? o->search_scalar : o->search_saved, restore ? o->search_saved : o->search_scalar,
           sizeof o->search_scalar);
    memcpy(restore ? o->average_scalar : o->average_saved, restore ? o->average_saved : o->average_scalar,
           sizeof o->average_scalar);
}

/* ---- Vectors ---- */

/* Initializes slots before the first step, because x may have been set after the optimizer was made. */
static void rollback_start_group(sw_optim *o, swo_group *group, bool undo) {
    const sw_slot *slots = group->rule->slots;
    size_t size = swo_size(o);
    for (int i = 0; slots && slots[i].name; i++)
        for (int k = 0; group->slot[i] && slots[i].start == SW_START_X && k < group->params; k++) {
            char *slot = group->slot[i] + (size_t)group->slot_at[k] * size;
            const sw_param *p = group->param[k];
            const char *x = swo_x_at(o, p->offset);
            if (undo)
                memset(slot, 0, (size_t)p->count * size);
            else
                memcpy(slot, x, (size_t)p->count * size);
        }
}

void swo_start_slots(sw_optim *o, bool undo) {
    for (int i = 0; i < o->groups && o->steps == 0; i++)
        rollback_start_group(o, &o->group[i], undo);
}

sw_status swo_rollback_alloc_slots(sw_optim *o) {
    const int64_t slots = (int64_t)o->groups * SW_MAX_SLOTS;
    if (!o->slot_before &&
        !(o->slot_before = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, slots, sizeof *o->slot_before)))
        return SW_ERR_MEMORY;
    for (int i = 0; i < o->groups * SW_MAX_SLOTS; i++) {
        const swo_group *group = &o->group[i / SW_MAX_SLOTS];
        if (!group->slot[i % SW_MAX_SLOTS] || o->slot_before[i])
            continue;
        const sw_slot *slot = &group->rule->slots[i % SW_MAX_SLOTS];
        if (slot->valid_by_scalars)
            continue;
        o->slot_before[i] = sw_alloc_array_named(SW_ACCOUNT_TEMPORARIES, "undo", slot->name,
                                                 group->slot_count[i % SW_MAX_SLOTS], swo_slot_size(slot, o->type));
        if (!o->slot_before[i])
            return SW_ERR_MEMORY;
    }
    return SW_OK;
}

void swo_rollback_slots(sw_optim *o, bool restore) {
    for (int i = 0; i < o->groups; i++)
        for (int s = 0; s < SW_MAX_SLOTS; s++) {
            char *slot = o->group[i].slot[s], *aside = o->slot_before[i * SW_MAX_SLOTS + s];
            if (slot && aside)
                memcpy(restore ? slot : aside, restore ? aside : slot,
                       (size_t)o->group[i].slot_count[s] * swo_slot_size(&o->group[i].rule->slots[s], o->type));
        }
}

sw_status swo_rollback_save(sw_optim *o) {
    if (!o->x_before && !(o->x_before = sw_alloc_array_named(SW_ACCOUNT_TEMPORARIES, "undo", "x", o->dim, swo_size(o))))
        return SW_ERR_MEMORY;
    SW_TRY(swo_rollback_alloc_slots(o));
    memcpy(o->x_before, sw_params_x(o->params), (size_t)o->dim * swo_size(o));
    swo_rollback_slots(o, false);
    o->has_copies = true;
    return SW_OK;
}

void swo_rollback_restore(sw_optim *o) {
    memcpy(sw_params_x(o->params), o->x_before, (size_t)o->dim * swo_size(o));
    swi_params_renew_copy(o->params);
    if (o->x_low)
        memset(o->x_low, 0, (size_t)o->dim * swo_size(o));
    swo_rollback_slots(o, true);
}
