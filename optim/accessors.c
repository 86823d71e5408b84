/* Read access to an optimizer: counters, options, memory use. */
#include "optim/norms.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/step_options.h"
#include "optim/stored_gradient.h"
#include "optim/vector_step.h"

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

double sw_optim_loss_scale(const sw_optim *o) {
    return o ? sw_params_loss_scale(o->params) : NAN;
}

double sw_optim_epoch(const sw_optim *o) {
    if (sw_error()) /* no step would be taken: ends a loop over epochs that does not check sw_error */
        return INFINITY;
    return o && o->objective ? (double)o->samples / (double)o->objective->n : 0;
}

sw_status sw_optim_set_total_steps(sw_optim *o, int64_t steps) {
    if (!o)
        return sw_error() ? sw_error_status()
                          : sw_fail(SW_ERR_ARGUMENT, "optim_set_total_steps: the optimizer is NULL");
    if (steps < 0)
        return sw_fail(SW_ERR_ARGUMENT, "optim_set_total_steps: %lld steps", (long long)steps);
    o->total = steps;
    o->length = steps ? SWO_LENGTH_PROGRAM : SWO_LENGTH_NONE;
    return SW_OK;
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
    int i = name ? swo_option_index(g->rule->options, name) : -1;
    if (i < 0) {
        sw_fail(SW_ERR_ARGUMENT, "rule %s has no option %s", g->rule->name, name ? name : "NULL");
        return NAN;
    }
    /* Before the first step: the value that it will have then. */
    if (o->steps == 0 && swo_step_options((sw_optim *)(uintptr_t)o) != SW_OK)
        return NAN;
    return g->effective[i];
}

static size_t accessor_slot_bytes(const swo_group *group, int i, sw_dtype type) {
    return group->slot[i] ? (size_t)group->slot_count[i] * swo_slot_size(&group->rule->slots[i], type) : 0;
}

/* The slots of rules that are copied to undo a step. */
static size_t accessor_copied_bytes(const sw_optim *o) {
    size_t bytes = 0;
    for (int i = 0; i < o->groups; i++)
        for (int s = 0; s < SW_MAX_SLOTS; s++)
            if (o->group[i].slot[s] && !o->group[i].rule->slots[s].valid_by_scalars)
                bytes += accessor_slot_bytes(&o->group[i], s, o->type);
    return bytes;
}

sw_optim_memory sw_optim_bytes(const sw_optim *o) {
    sw_optim_memory m = {0};
    if (!o)
        return m;
    size_t size = swo_size(o), vector = (size_t)o->dim * size;
    for (int i = 0; i < o->groups; i++)
        for (int s = 0; s < SW_MAX_SLOTS; s++)
            if (o->group[i].slot[s])
                m.rule += accessor_slot_bytes(&o->group[i], s, o->type);
    for (const swo_estimate *e = o->estimate; e; e = e->inner) {
        m.estimator += e->bytes;
        for (int i = 0; i < SWO_SCRATCH; i++)
            m.work += (size_t)e->room[i] * size;
        for (int i = 0; i < SWO_MEMORIES; i++)
            m.work += e->memory_bytes[i];
        m.work += (size_t)e->shard_work_count * size;
    }
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        if (o->average_slot[i])
            m.average += (size_t)o->average_count[i] * swo_slot_size(&o->average->slots[i], o->type);
    if (o->search)
        m.work += 4 * vector +
                  accessor_copied_bytes(o); /* copies of x and the slots; direction; trial point and its gradient */
    else if (o->x_before)
        m.work += vector + accessor_copied_bytes(o); /* copies of x and the slots for the guard */
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        if (o->average_before[i])
            m.work += (size_t)o->average_count[i] * swo_slot_size(&o->average->slots[i], o->type);
    for (int i = 0; i < o->groups; i++)
        m.work += swo_vector_bytes(o, &o->group[i]);
    m.work += (o->point ? vector : 0) + swo_stored_gradient_bytes(o) + o->workspace_bytes + swo_norms_bytes(o);
    return m;
}
