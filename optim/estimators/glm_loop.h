/* Loops over many steps of an estimator on samples in memory, with the rule sgd: what sag, saga and svrg share. */
#ifndef SWALE_ESTIMATORS_GLM_LOOP_H
#define SWALE_ESTIMATORS_GLM_LOOP_H

#include "../internal.h"
#include "glm_steps.h"

typedef struct swo_glm_loop {
    sw_estimate *e;
    swo_glm_segment segment[SWO_PLAIN];
    bool automatic[SWO_PLAIN];     /* lr is what the estimator proposes */
    swo_glm_visit visit;
    swo_glm_move move;
    int64_t batch;                 /* samples in a step, at most */
    double row_norm;               /* R: of the largest [a_i, 1] */
    double x_bound, d_bound, most; /* of ‖x‖ and ‖d‖; what both stay below */
    double nearest;                /* a bound of the norm of what is nearest to 0 in the rule's box */
    swo_glm_lazy lazy;
    void *mean, *mean_low;         /* the average of x, and what it lacks (f32); NULL: there is none */
    double w, mean_bound;          /* the weight of x after this step in it; of its norm */
    double average_scalar[SW_MAX_SCALARS]; /* of the average, before this step */
} swo_glm_loop;

/* Elements of room for a visit, and where its parts are. */
int64_t swo_glm_work(const sw_estimate *e, int64_t batch);
void swo_glm_use_work(const sw_estimate *e, int64_t batch, swo_glm_visit *visit, void *room);

/* Which parameters are frozen. */
void swo_glm_see_frozen(const sw_estimate *e, swo_glm_visit *visit);
/* Takes scratch 0 to 2. x moves along fresh·t + old·d; d_low NULL: d stays. */
sw_status swo_glm_loop_begin(swo_glm_loop *loop, sw_estimate *e, const swo_plain_rules *rules, int64_t batch, void *d,
                             void *d_low);
/* The row was visited, and the estimator's lr and the factors are set: moves x and d. *taken is false where the step is
 * the pipeline's to take, or must be tried again because sparse rows were brought up to date (swo_glm_loop_again). */
void swo_glm_loop_move(swo_glm_loop *loop, bool *taken);
/* After a step that was not taken: whether it may be tried again. */
bool swo_glm_loop_again(swo_glm_loop *loop);
/* Afterwards, and where x is to be read: it is up to date. */
void swo_glm_loop_end(swo_glm_loop *loop);

#endif
