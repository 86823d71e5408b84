/* A trial step on copies: a step that would make x or a state infinite is refused before x changes.
 *
 * Whether a step overflows depends on the rule, its options and its state, and the exact answer is the step itself.
 * The trial costs about three steps and some tiles of memory. It is made only if bounds.c does not exclude an
 * overflow: with very large gradients, parameters or step sizes. */
#include "optim/trial_step.h"
#include "optim/bounds.h"
#include "optim/finite.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/rule_parts.h"
#include "optim/stored_gradient.h"

#include <stdio.h>
#include <string.h>

/* ---- Copies ---- */

/* Copies of a part of x, of the gradient and of a group's slots (one tile or one parameter), and of the group's scalars
 * and coefficients. */
typedef struct trial_copy {
    void *x, *g, *slot[SW_MAX_SLOTS];
    int64_t slot_count[SW_MAX_SLOTS];
    double scalar[SW_MAX_SCALARS], coefficient[SW_MAX_COEFFICIENTS];
} trial_copy;

static void trial_free(trial_copy *c) {
    sw_free(c->x);
    sw_free(c->g);
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        sw_free(c->slot[i]);
    *c = (trial_copy){0};
}

static sw_status trial_alloc(trial_copy *c, const sw_optim *o, const swo_group *group, int64_t count,
                             const int64_t slot_count[SW_MAX_SLOTS]) {
    *c = (trial_copy){.x = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, count, swo_size(o))};
    if (c->x)
        c->g = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, count, swo_size(o));
    bool all = c->g != NULL;
    for (int i = 0; i < SW_MAX_SLOTS && all; i++)
        if (group->slot[i]) {
            c->slot[i] = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, slot_count[i],
                                            swo_slot_size(&group->rule->slots[i], o->type));
            all = c->slot[i] != NULL;
        }
    if (!all)
        trial_free(c);
    return all ? SW_OK : SW_ERR_MEMORY;
}

/* Copies x from `offset` and slot i from slot_at[i]. Returns the argument of a step on the copies. */
static sw_step trial_step(trial_copy *c, const sw_optim *o, swo_group *group, const void *g, int64_t offset,
                          int64_t count, const int64_t slot_at[SW_MAX_SLOTS]) {
    const size_t size = swo_size(o);
    sw_step s = {.step = o->steps + 1,
                 .option = group->effective,
                 .scalar = c->scalar,
                 .coefficient = c->coefficient,
                 .type = o->type,
                 .count = count,
                 .x = c->x,
                 .g = c->g,
                 .workspace = o->workspace};
    memcpy(c->scalar, group->scalar, sizeof c->scalar);
    memcpy(c->coefficient, group->coefficient, sizeof c->coefficient);
    memcpy(c->x, swo_x_at(o, offset), (size_t)count * size);
    swo_read_gradient(o, g, offset, count, c->g);
    for (int i = 0; i < SW_MAX_SLOTS; i++) {
        if (!group->slot[i])
            continue;
        const size_t width = swo_slot_size(&group->rule->slots[i], o->type);
        memcpy(c->slot[i], group->slot[i] + (size_t)slot_at[i] * width, (size_t)c->slot_count[i] * width);
        s.slot[i] = c->slot[i];
    }
    return s;
}

/* ---- Inf and NaN in the copies ---- */

/* The index of the first Inf or NaN; -1: none. Integers are always finite. */
static int64_t trial_first_not_finite(sw_dtype type, const void *v, int64_t n) {
    for (int64_t i = 0; i < n && sw_dtype_is_float(type); i++)
        if (!swo_element_is_finite(type, v, i))
            return i;
    return -1;
}

static const sw_param *trial_param_at(const swo_group *group, int64_t offset) {
    for (int k = 0; k < group->params; k++)
        if (offset >= group->param[k]->offset && offset < group->param[k]->offset + group->param[k]->count)
            return group->param[k];
    return NULL;
}

static sw_status trial_refuse(const sw_optim *o, const swo_group *group, const char *what, int64_t offset) {
    const sw_param *p = trial_param_at(group, offset);
    const char *name = p ? p->name : "?", *method = group->rule->name;
    const long long step = (long long)o->steps + 1;
    if (o->norm > (o->type == SW_F32 ? 0x1p44 : 0x1p480)) /* the square of such a norm is near the largest number */
        return sw_fail(SW_ERR_NONFINITE,
                       "rule %s: step %lld would make %s of parameter %s Inf or NaN: the gradient's norm is %g, too "
                       "large for this rule in %s; x is unchanged (if the loss has grown, use a smaller lr; otherwise "
                       "clip the gradient, scale the loss down, or use f64)",
                       method, step, what, name, o->norm, sw_dtype_name(o->type));
    return sw_fail(SW_ERR_NONFINITE,
                   "rule %s: step %lld would make %s of parameter %s Inf or NaN: it has grown over many steps; x "
                   "is unchanged (the gradient's norm is %g; a smaller lr, or weight_decay, is needed)",
                   method, step, what, name, o->norm);
}

/* Elements of a tile may belong to several parameters. */
static sw_status trial_check_copy(const trial_copy *c, const sw_optim *o, const swo_group *group, int64_t offset,
                                  int64_t count) {
    for (int k = 0; k < group->params; k++) {
        const sw_param *p = group->param[k];
        const int64_t begin = p->offset > offset ? p->offset : offset,
                      end = p->offset + p->count < offset + count ? p->offset + p->count : offset + count;
        if (begin < end)
            SW_TRY(swo_check_range_of_copy(o, "rule", group->rule->name, p, (const float *)c->x + (begin - offset),
                                           end - begin));
    }
    return SW_OK;
}

/* offset: the index in x of the first element of the copy. The elements of a slot with `count` all belong to the
 * parameter at this offset. */
static sw_status trial_check(const trial_copy *c, const sw_optim *o, const swo_group *group, int64_t offset,
                             int64_t count) {
    for (int i = 0; i < SW_MAX_SLOTS; i++) {
        if (!c->slot[i])
            continue;
        const sw_slot *slot = &group->rule->slots[i];
        const int64_t at = trial_first_not_finite(swo_slot_type(slot, o->type), c->slot[i], c->slot_count[i]);
        if (at >= 0) {
            char what[100];
            snprintf(what, sizeof what, "the state %.64s", slot->name);
            return trial_refuse(o, group, what, offset + (at < count ? at : 0));
        }
    }
    const int64_t at = trial_first_not_finite(o->type, c->x, count);
    if (at >= 0)
        return trial_refuse(o, group, "the value", offset + at);
    return trial_check_copy(c, o, group, offset, count);
}

/* ---- The trial ---- */

static sw_status trial_run_elements(const sw_optim *o, swo_group *group, const void *g) {
    trial_copy c;
    int64_t tile[SW_MAX_SLOTS];
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        tile[i] = SW_TILE;
    SW_TRY(trial_alloc(&c, o, group, SW_TILE, tile));
    sw_status status = SW_OK;
    for (int k = 0; k < group->stretches; k++) {
        const swo_stretch *whole = &group->stretch[k];
        for (int64_t first = 0; first < whole->count && status == SW_OK; first += SW_TILE) {
            const int64_t count = whole->count - first < SW_TILE ? whole->count - first : SW_TILE;
            int64_t slot_at[SW_MAX_SLOTS];
            for (int i = 0; i < SW_MAX_SLOTS; i++) {
                slot_at[i] = whole->slot + first;
                c.slot_count[i] = count;
            }
            sw_step s = trial_step(&c, o, group, g, whole->offset + first, count, slot_at);
            (*group->rule->update)[o->type][sw_cpu_level()](&s, 0, count, NULL);
            status = trial_check(&c, o, group, whole->offset + first, count);
        }
    }
    trial_free(&c);
    return status;
}

static sw_status trial_run_tensor(const sw_optim *o, swo_group *group, const void *g, int k) {
    const sw_param *p = group->param[k];
    trial_copy c;
    int64_t at[SW_MAX_SLOTS], count[SW_MAX_SLOTS];
    for (int i = 0; i < SW_MAX_SLOTS; i++) {
        at[i] = group->sized[i] ? group->sized[i][k] : group->slot_at[k];
        count[i] = group->sized[i] ? group->sized[i][k + 1] - group->sized[i][k] : p->count;
    }
    SW_TRY(trial_alloc(&c, o, group, p->count, count));
    memcpy(c.slot_count, count, sizeof count);
    sw_step s = trial_step(&c, o, group, g, p->offset, p->count, at);
    s.param = p;
    sw_status status = group->rule->tensor ? group->rule->tensor(&s) : SW_OK;
    if (status == SW_OK)
        status = swo_parts_run_on(o, group, k, &s);
    if (status == SW_OK)
        status = trial_check(&c, o, group, p->offset, p->count);
    trial_free(&c);
    return status == SW_SKIPPED ? SW_OK : status; /* the real step reports that it may not be skipped there */
}

sw_status swo_try_rules(sw_optim *o, const void *g) {
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        if (!swo_rule_has_reach(group->rule))
            continue; /* guard.c checks it after the step */
        if (group->rule->unit == SW_UNIT_ELEMENT) {
            SW_TRY(trial_run_elements(o, group, g));
            continue;
        }
        for (int k = 0; k < group->params; k++)
            if (!group->param[k]->frozen && group->param[k]->count > 0)
                SW_TRY(trial_run_tensor(o, group, g, k));
    }
    return SW_OK;
}
