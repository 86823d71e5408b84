/* Steps of rules of unit VECTOR: a direction for all parameters of a group, and the update of x along it. */
#ifndef SWALE_OPTIM_VECTOR_STEP_H
#define SWALE_OPTIM_VECTOR_STEP_H

#include "optim/optimizer.h"

/* Whether the rule is of unit VECTOR. */
static inline bool swo_vector_is(const swo_group *group) {
    return group->rule->unit == SW_UNIT_VECTOR;
}

/* Allocates the group's direction. */
sw_status swo_vector_alloc(const sw_optim *o, swo_group *group);
void swo_vector_free(swo_group *group);
/* Bytes of the direction and of copies. */
size_t swo_vector_bytes(const sw_optim *o, const swo_group *group);

/* The step for all parameters of the group, with vectors without gaps, as the rule's functions receive it. g may be
 * NULL. */
sw_status swo_vector_step(sw_optim *o, swo_group *group, const void *g, sw_step *step);
/* Runs the rule, which computes the group's direction and updates its slots. x does not change. An error if the
 * direction contains Inf or NaN. */
sw_status swo_vector_find_direction(sw_optim *o, swo_group *group, const void *g);
/* to ← to + lr d, where `to` has the layout of x; frozen parameters are left out. */
void swo_vector_move(const sw_optim *o, const swo_group *group, double lr, void *to);
/* Notes which groups a step that was taken has left out. */
void swo_vector_taken(const sw_optim *o);

#endif
