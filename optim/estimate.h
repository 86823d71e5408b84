/* The estimator of an optimizer, with what the pipeline keeps for it. */
#ifndef SWALE_OPTIM_ESTIMATE_H
#define SWALE_OPTIM_ESTIMATE_H

#include "optim/option_values.h"

enum { SWO_SCRATCH = 7 }; /* four vectors for methods, three for estimators/smoothness.c */

struct swo_plain_rules;
typedef sw_status swo_run(sw_estimate *e, const struct swo_plain_rules *rules, int64_t most, int64_t *done);

typedef struct swo_estimate {
    sw_estimate e; /* first: what methods see */
    swo_values values;
    double resolved[SW_MAX_OPTIONS]; /* with durations in steps: e.option */
    double scalar[SW_MAX_SCALARS], saved[SW_MAX_SCALARS], saved_lr;
    size_t bytes;
    void *scratch[SWO_SCRATCH];
    int64_t room[SWO_SCRATCH], slot_count[SW_MAX_SLOTS];
    int64_t *ids, ids_room;
    struct swo_estimate *inner;
    /* Before the rules change x: whether the tables can take this step, whose gradient has the norm. NULL: yes. */
    sw_status (*fits)(sw_estimate *e, double norm);
    double penalty; /* the largest weight_decay of rules that add it to the gradient; 0: none */
    /* Optional: the step size that e.lr is, for parameters with another penalty. Curvatures of the loss and of the
     * penalty add up separately for each group, so that the step of a free intercept is not limited by the penalty of
     * the weights. */
    double (*lr_with)(const sw_estimate *e, double penalty);
    /* Optional: up to `most` steps in one loop, equal to that many ordinary ones up to rounding. It may end before any
     * step, which an ordinary step then takes, or refuses. */
    swo_run *run;
    double *squares;    /* [n]: ‖a_i‖² of samples in memory, or NULL */
    double l_of_rows;   /* lipschitz=auto: L of the rows; not from files, whose run may have had another option */
    double largest_row; /* with them: √(max ‖a_i‖² + 1) */
    bool chose_batch;   /* batch=0 was replaced when the objective was bound */
    void *lazy;         /* memory of loops over sparse rows, or NULL */
    size_t lazy_bytes;
    void *x_low; /* [dim], a slot of the method: the low-order part of x in f32 (swo_x_low), or NULL */
} swo_estimate;

/* The whole of an estimate whose public part methods see. */
static inline swo_estimate *swo_estimate_of(sw_estimate *e) {
    return (swo_estimate *)(void *)e;
}
static inline const swo_estimate *swo_estimate_of_const(const sw_estimate *e) {
    return (const swo_estimate *)(const void *)e;
}

/* With those inside it. */
void swo_estimate_free(swo_estimate *e);

#endif
