/* Declarations that the files of SVRG share: svrg.c has the method, svrg_in_memory.c the code for samples in memory,
 * svrg_step_size.c that for lr=auto, and svrg_batch.c the samples of a step. */
#ifndef SWALE_ESTIMATORS_SVRG_H
#define SWALE_ESTIMATORS_SVRG_H

#include "optim/estimators/glm_loop.h"

typedef struct swo_svrg_options {
    double batch, order, period, snapshot, alpha, over, replay, step, lipschitz, shards;
} swo_svrg_options;
enum { LAST, RANDOM, MEAN };            /* snapshot */
enum { REPLAY_PERIOD, REPLAY_STEP };    /* replay */
enum { ONE_3L, ONE_L, ONE_2L, ONE_4L }; /* step */

typedef struct swo_svrg_slots {
    void *snapshot, *full; /* w, ∇f(w) */
    void *next, *next_low; /* the next snapshot, and its low-order part; NULL with snapshot=last */
    void *table;           /* of a generalized linear model: the derivatives at the snapshot, [n, outputs] */
    void *x_low;           /* the low-order part of x in f32 */
} swo_svrg_slots;

typedef struct swo_svrg_scalars {
    int64_t since;               /* the step that took the snapshot; 0: none */
    int64_t inner;               /* the number of steps since then */
    int64_t draw_high, draw_low; /* `draw` of the period in two halves, each below 2^32 */
    int64_t frozen;              /* the set of frozen parameters when the snapshot was taken */
    double l;                    /* L */
    int64_t table_filled;        /* 1: `table` holds the derivatives at the snapshot */
    double l_least;              /* a lower bound of L, from the snapshot (swo_least_l) */
    double divisor;              /* lr=auto is divided by this number, which is at least 1 (swo_svrg_adapt) */
} swo_svrg_scalars;

static inline const swo_svrg_options *swo_svrg_options_of(const sw_estimate *e) {
    return SW_OPTIONS_AS(e->option, swo_svrg_options);
}
static inline const swo_svrg_slots *swo_svrg_slots_of(const sw_estimate *e) {
    return SW_STEP_SLOTS(e, swo_svrg_slots);
}
static inline swo_svrg_scalars *swo_svrg_scalars_of(const sw_estimate *e) {
    return SW_SCALARS_AS(e->scalar, swo_svrg_scalars);
}

enum { THERE, DERIVATIVES, DIFFERENCE, BATCH_GRADIENT };       /* scratch of evaluations on a tape */
enum { VISIT_S, VISIT_T, VISIT_WORK, VISIT_ENTRY, DIRECTION }; /* of samples in memory; the first three as in loops */

/* ---- svrg_batch.c ---- */

/* Whether the next step takes a snapshot. */
bool swo_svrg_due(const sw_estimate *e);
/* The largest number of samples in a batch. */
int64_t swo_svrg_batch(const sw_estimate *e);
/* c = |B| R/n (svrg.c), or 1 if there are no epochs. For a loss that is a sum: R, or n/|B| if there are no epochs. */
double swo_svrg_part(const sw_estimate *e);

/* ---- svrg_step_size.c ---- */

/* Whether L is measured during the run; whether it is measured in this step. */
bool swo_svrg_searches(const sw_estimate *e);
bool swo_svrg_measures(const sw_estimate *e);
/* The value of lr=auto, and that for parameters with the penalty l2. */
double swo_svrg_step_size_with(const sw_estimate *e, double l2);
double swo_svrg_step_size(const sw_estimate *e);
/* Computes L for lipschitz=auto. */
sw_status swo_svrg_l_of_rows(sw_estimate *e);
/* L ← max(met, L times its decay, L_least), where `met` is a measured curvature. */
void swo_svrg_take_l(sw_estimate *e, double met);
/* Updates L from Δg = g_x - g_w. */
sw_status swo_svrg_note_curvature(sw_estimate *e, const void *x, const void *g, const void *difference);
/* Copies the gradient of the batch, with which swo_svrg_measure_ahead measures the curvature along the step g. */
sw_status swo_svrg_keep_batch_gradient(sw_estimate *e, const void *g);
sw_status swo_svrg_measure_ahead(sw_estimate *e, const void *x, const void *g);
/* Updates the divisor of lr. before, after: the slopes of the objective along the line from a snapshot to the next one,
 * at its two ends. */
void swo_svrg_adapt(sw_estimate *e, double before, double after);

/* ---- svrg_in_memory.c ---- */

/* The derivatives of a sample at the snapshot. */
void *swo_svrg_entry(const sw_estimate *e, int64_t id);
/* Fills the table with the derivatives of all samples at the snapshot. Unless `full` is NULL, full ← 1/W Σ s_i a_i,
 * where W is the weight of all samples, or 1 if the loss is a sum. */
sw_status swo_svrg_store(sw_estimate *e, void *full);
/* Computes g = α (c/|B| t + full) + (1 - α)/|B| Σ s_i a_i over samples in memory, and sets lr. */
sw_status swo_svrg_estimate_in_memory(sw_estimate *e, const void *x, void *g, double alpha);
sw_status swo_svrg_run(sw_estimate *e, sw_estimate_run *run);

#endif
