/* What the files of SVRG share: svrg.c, the method; svrg_known.c, samples in memory; svrg_step_size.c, lr=auto. */
#ifndef SWALE_ESTIMATORS_SVRG_H
#define SWALE_ESTIMATORS_SVRG_H

#include "optim/estimators/glm_loop.h"

enum { BATCH, ORDER, PERIOD, SNAPSHOT, ALPHA, OVER, REPLAY, STEP, LIPSCHITZ };
enum { LAST, RANDOM, MEAN };                                                     /* SNAPSHOT */
enum { ONE_3L, ONE_L, ONE_2L, ONE_4L };                                          /* STEP */
enum { POINT, FULL, NEXT, NEXT_LOW, TABLE, X_LOW };                              /* slots */
enum { SINCE, INNER, DRAW_HIGH, DRAW_LOW, FROZEN, L, STORED, L_LEAST, DIVISOR }; /* scalars */
enum { THERE, DERIVATIVES, DIFFERENCE, BATCH_GRADIENT };                         /* scratch of evaluations on a tape */
enum { VISIT_S, VISIT_T, VISIT_WORK, VISIT_ENTRY, DIRECTION }; /* of samples in memory; the first three as in loops */

/* Whether the next step takes a snapshot. */
bool swo_svrg_due(const sw_estimate *e);
/* Samples of a batch, at most. */
int64_t swo_svrg_batch(const sw_estimate *e);
/* |B| R/n, but for batches without an epoch; R of a loss that is a sum over its samples. */
double swo_svrg_part(const sw_estimate *e);

/* ---- svrg_step_size.c ---- */

/* Whether L is measured during the run, and whether in this step. */
bool swo_svrg_searches(const sw_estimate *e);
bool swo_svrg_measures(const sw_estimate *e);
/* lr=auto, of parameters whose penalty is l2. */
double swo_svrg_step_size_with(const sw_estimate *e, double l2);
double swo_svrg_step_size(const sw_estimate *e);
/* lipschitz=auto */
sw_status swo_svrg_l_of_rows(sw_estimate *e);
/* L ← max(met, L less its decay, L_least): met is a curvature that was measured */
void swo_svrg_take_l(sw_estimate *e, double met);
/* Updates L from Δg = g_x - g_w. */
sw_status swo_svrg_note_curvature(sw_estimate *e, const void *x, const void *g, const void *difference);
/* Keeps a copy of the batch's gradient, from which measure_ahead takes the curvature along the step g. */
sw_status swo_svrg_keep_batch_gradient(sw_estimate *e, const void *g);
sw_status swo_svrg_measure_ahead(sw_estimate *e, const void *x, const void *g);
/* Sets the divisor of lr. before, after: slopes of the objective along the way from a snapshot to the next, at both
 * ends. */
void swo_svrg_adapt(sw_estimate *e, double before, double after);

/* ---- svrg_known.c ---- */

/* The derivatives of a sample at the snapshot. */
void *swo_svrg_entry(const sw_estimate *e, int64_t id);
/* Fills the table with those of all samples; full ← 1/W Σ s_i a_i, W the weight of all (1 of a sum), unless it is
 * NULL. */
sw_status swo_svrg_store(sw_estimate *e, void *full);
/* g = α (c/|B| t + full) + (1 - α)/|B| Σ s_i a_i of samples in memory, alpha given; and lr. */
sw_status swo_svrg_estimate_known(sw_estimate *e, const void *x, void *g, double alpha);
sw_status swo_svrg_run(sw_estimate *e, const swo_plain_rules *rules, int64_t most, int64_t *done);

#endif
