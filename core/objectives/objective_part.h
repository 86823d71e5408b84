/* Evaluations of a part of the samples, for the file that evaluates shards. */
#ifndef SWALE_OBJECTIVES_OBJECTIVE_PART_H
#define SWALE_OBJECTIVES_OBJECTIVE_PART_H

#include <swale/loss_mean.h>
#include <swale/objective.h>

/* An error unless the objective can be evaluated on the tape and, if g is not NULL, with this gradient block. Call it
 * before the functions below. */
sw_status swi_objective_check_call(const sw_objective *f, const sw_tape *tape, const sw_gradient *g);
/* As sw_objective_value_chunked, for `count` samples that begin at number `first` of ids, or, if ids is NULL, at sample
 * `first`. chunk > 0. Adds the loss to the mean. */
sw_status swi_objective_value_part(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                   int64_t first, int64_t count, int64_t chunk, uint64_t draw, sw_loss_mean *mean);
/* The same for sw_objective_gradient_chunked. Overwrites the gradient of g, and adds to its running statistics. */
sw_status swi_objective_gradient_part(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                      int64_t first, int64_t count, int64_t chunk, uint64_t draw, double *value,
                                      sw_gradient *g);
/* Sets sw_tape_loss_weight. The tape may be NULL. */
void swi_objective_store_weight(sw_tape *tape, double weight);

#endif
