/* Steps of rules of unit VECTOR.
 *
 * The rule receives the parameters of its group as vectors without gaps. If the group is one contiguous range of x,
 * these vectors are x and g themselves. Otherwise, if parameters of other groups lie between those of this group, or if
 * some are frozen, they are copies, in which the elements of frozen parameters are 0. In both cases their layout is
 * that of the group's slots, so that a history stays valid while parameters are frozen, and sums use the same tiles. */
#include "optim/vector_step.h"
#include "optim/finite.h"
#include "optim/frozen.h"
#include "optim/method_status.h"
#include "optim/rule_step.h"

#include <string.h>

/* ---- Memory ---- */

static char *vector_new(const sw_optim *o, const swo_group *group, const char *name) {
    return sw_alloc_array_named(SW_ACCOUNT_TEMPORARIES, group->rule->name, name, group->dim, swo_size(o));
}

sw_status swo_vector_alloc(const sw_optim *o, swo_group *group) {
    group->direction = vector_new(o, group, "direction");
    return group->direction ? SW_OK : SW_ERR_MEMORY;
}

void swo_vector_free(swo_group *group) {
    sw_free(group->direction);
    sw_free(group->packed_x);
    sw_free(group->packed_g);
}

size_t swo_vector_bytes(const sw_optim *o, const swo_group *group) {
    const int vectors = (group->direction != NULL) + (group->packed_x != NULL) + (group->packed_g != NULL);
    return (size_t)vectors * (size_t)group->dim * swo_size(o);
}

/* ---- x and g without gaps ---- */

/* Copies the group's elements from a vector with the layout of x. */
static void vector_pack(const sw_optim *o, const swo_group *group, const void *from, char *to) {
    const size_t size = swo_size(o);
    memset(to, 0, (size_t)group->dim * size);
    for (int k = 0; k < group->stretches; k++) {
        const swo_stretch *s = &group->stretch[k];
        memcpy(to + (size_t)s->slot * size, (const char *)from + (size_t)s->offset * size, (size_t)s->count * size);
    }
}

/* g NULL: there is none. */
static sw_status vector_pack_both(sw_optim *o, swo_group *group, const void *g, sw_step *s) {
    if (!group->packed_x && !(group->packed_x = vector_new(o, group, "x")))
        return SW_ERR_MEMORY;
    if (g && !group->packed_g && !(group->packed_g = vector_new(o, group, "g")))
        return SW_ERR_MEMORY;
    vector_pack(o, group, sw_params_x(o->params), group->packed_x);
    s->x = group->packed_x;
    if (!g)
        return SW_OK;
    vector_pack(o, group, g, group->packed_g);
    s->g = group->packed_g;
    return SW_OK;
}

/* As sw_estimate_frozen_set, for the parameters of the group. */
static int64_t vector_frozen_set(const swo_group *group) {
    int64_t set = 0;
    for (int k = 0; k < group->params; k++)
        set = swo_frozen_set_add(set, group->param[k]->frozen);
    return set;
}

sw_status swo_vector_step(sw_optim *o, swo_group *group, const void *g, sw_step *s) {
    const swo_stretch whole = {group->stretches > 0 ? group->stretch[0].offset : 0, group->dim, 0};
    swo_stretch_step(o, group, &whole, g, s);
    s->out = group->direction;
    s->x_low = NULL;
    s->frozen_set = vector_frozen_set(group);
    s->x_written = o->x_written != 0 || group->missed != 0;
    return group->stretches > 0 && group->stretch[0].count == group->dim ? SW_OK : vector_pack_both(o, group, g, s);
}

/* ---- A step ---- */

sw_status swo_vector_find_direction(sw_optim *o, swo_group *group, const void *g) {
    const sw_rule *rule = group->rule;
    const size_t size = swo_size(o);
    sw_step s;
    if (group->stretches == 0) /* all frozen */
        return SW_OK;
    SW_TRY(swo_vector_step(o, group, g, &s));
    SW_TRY(swo_method_status("rule", rule->name, "vector", false, rule->vector(&s)));
    for (int k = 0; k < group->stretches; k++)
        if (!swo_vector_is_finite(o->type, group->direction + (size_t)group->stretch[k].slot * size,
                                  group->stretch[k].count))
            return swo_refuse_vector(o, "rule", rule->name, "its direction", "", "");
    return SW_OK;
}

void swo_vector_move(const sw_optim *o, const swo_group *group, double lr, void *to) {
    const size_t size = swo_size(o);
    for (int k = 0; k < group->stretches; k++) {
        const swo_stretch *s = &group->stretch[k];
        char *at = (char *)to + (size_t)s->offset * size;
        sw_vector_axpby(o->type, s->count, 1, at, lr, group->direction + (size_t)s->slot * size, at);
    }
}

void swo_vector_taken(const sw_optim *o) {
    for (int i = 0; i < o->groups; i++)
        o->group[i].missed = swo_vector_is(&o->group[i]) && o->group[i].stretches == 0;
}

/* ---- For rules ---- */

double sw_step_dot(const sw_step *step, const void *a, const void *b) {
    return sw_vector_dot(step->type, step->count, a, b);
}

void sw_step_axpy(const sw_step *step, double alpha, const void *x, void *y) {
    sw_vector_axpby(step->type, step->count, 1, y, alpha, x, y);
}

void sw_step_scale(const sw_step *step, double alpha, const void *x, void *y) {
    sw_vector_axpby(step->type, step->count, alpha, x, 0, NULL, y);
}

void *sw_step_row(const sw_step *step, void *slot, int64_t i) {
    return (char *)slot + (size_t)(i * step->count) * sw_dtype_size(step->type);
}
