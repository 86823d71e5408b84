/* SVRG over samples in memory: it stores the derivatives at the snapshot in a table, uses no tape, and takes many
 * steps in one loop. */
#include "optim/estimators/svrg.h"

#include "optim/estimators/lipschitz_constants.h"

#include <math.h>
#include <string.h>

void *swo_svrg_entry(const sw_estimate *e, int64_t id) {
    return (char *)swo_svrg_slots_of(e)->table + (size_t)(id * e->objective->outputs) * sw_dtype_size(e->type);
}

sw_status swo_svrg_store(sw_estimate *e, void *full) {
    enum { CHUNK = 1000 };
    int64_t ids[CHUNK];
    sw_status status = SW_OK;
    double whole = 0;
    for (int64_t first = 0; first < e->n && status == SW_OK; first += CHUNK) {
        const int64_t count = e->n - first < CHUNK ? e->n - first : CHUNK;
        for (int64_t i = 0; i < count; i++)
            ids[i] = first + i;
        status =
            sw_estimate_glm_derivatives(e, swo_svrg_slots_of(e)->snapshot, ids, count, NULL, swo_svrg_entry(e, first));
        if (status == SW_OK)
            whole = sw_tape_loss_weight(e->tape) == SW_SUMMED ? SW_SUMMED : whole + sw_tape_loss_weight(e->tape);
        if (status == SW_OK && full)
            status = sw_estimate_glm_combine(e, ids, count, swo_svrg_entry(e, first), first > 0, full);
    }
    if (status == SW_OK && full)
        sw_vector_axpby(e->type, e->dim, swo_mean_factor(whole), full, 0, NULL, full);
    if (status == SW_OK)
        swo_svrg_scalars_of(e)->table_filled = 1;
    return status;
}

/* The factor of t in g, c/|B|. */
static double svrg_fresh_part(const sw_estimate *e) {
    return swo_svrg_part(e) / (double)e->count;
}

/* Measures the curvature along |B| times the step, for α = 1: |B| (c/|B| t + ∇f(w)) */
static sw_status svrg_measure_step(sw_estimate *e, swo_glm_visit *visit) {
    const double n = (double)e->count;
    void *t = visit->t, *direction = sw_estimate_scratch(e, DIRECTION, 0);
    if (!direction)
        return SW_ERR_MEMORY;
    sw_vector_axpby(e->type, e->dim, n * svrg_fresh_part(e), t, n, swo_svrg_slots_of(e)->full, direction);
    sw_estimate_zero_frozen(e, direction);
    visit->t = direction;
    swo_glm_measure(e->type, visit);
    visit->t = t;
    return SW_OK;
}

/* Visits the samples of the step: computes s and t = Σ (s_i(x) - s_i(w)) [a_i, 1], and L if this step measures it. L is
 * measured along the change t, which shows the largest curvature best, or along the step, which must not be too long.
 * Single steps and loops share this function, so that a run does not depend on which steps a loop takes. */
static sw_status svrg_visit_batch(sw_estimate *e, swo_glm_visit *visit) {
    const int64_t outputs = e->objective->outputs;
    const size_t row = (size_t)outputs * sw_dtype_size(e->type);
    char *entry = sw_estimate_scratch(e, VISIT_ENTRY, swo_svrg_batch(e) * outputs);
    if (!entry)
        return SW_ERR_MEMORY;
    const bool early = e->step <= 2 * e->per_epoch, unbounded = sw_head_curvature(e->objective->glm->head) == 0,
               ahead = swo_svrg_measures(e) && (early || unbounded || e->step % 8 == 0) && e->objective->glm->dense;
    for (int64_t i = 0; i < e->count; i++)
        memcpy(entry + (size_t)i * row, swo_svrg_entry(e, e->ids[i]), row);
    visit->entry = entry;
    visit->ids = e->ids;
    visit->count = e->count;
    visit->measure = swo_svrg_measures(e) && (early || unbounded || !ahead);
    visit->l = swo_svrg_scalars_of(e)->l;
    swo_glm_visit_row(e->type, visit);
    double met = visit->curvature;
    if (ahead) {
        visit->l = fmax(visit->l, met);
        SW_TRY(svrg_measure_step(e, visit));
        met = fmax(met, visit->curvature);
    }
    met *= swo_svrg_part(e);
    if (met > 0 && isfinite(met))
        swo_svrg_take_l(e, met);
    e->lr = swo_svrg_step_size(e);
    return SW_OK;
}

sw_status swo_svrg_estimate_in_memory(sw_estimate *e, const void *x, void *g, double alpha) {
    const int64_t batch = swo_svrg_batch(e), numbers = batch * e->objective->outputs;
    void *s = sw_estimate_scratch(e, VISIT_S, numbers), *t = sw_estimate_scratch(e, VISIT_T, 0),
         *work = sw_estimate_scratch(e, VISIT_WORK, swo_glm_work(e, batch));
    if (!s || !t || !work)
        return SW_ERR_MEMORY;
    if (swo_svrg_scalars_of(e)->table_filled == 0)
        SW_TRY(swo_svrg_store(e, NULL));
    swo_glm_visit visit = {.f = e->objective, .x = x, .s = s, .t = t, .squares = swo_squares(e)};
    double norm;
    swo_find_frozen_parts(e, &visit.weights_frozen, &visit.bias_frozen);
    swo_glm_use_work(e, batch, &visit, work);
    SW_TRY(svrg_visit_batch(e, &visit));
    e->value = visit.loss / (double)e->count;
    e->weight = (double)e->count;
    SW_TRY(sw_vector_norm(e->type, e->count * e->objective->outputs, s, &norm));
    sw_vector_axpby(e->type, e->dim, alpha * svrg_fresh_part(e), t, alpha, swo_svrg_slots_of(e)->full, g);
    if (alpha == 1)
        return SW_OK;
    sw_vector_axpby(e->type, e->count * e->objective->outputs, (1 - alpha) / (double)e->count, s, 0, NULL, s);
    return sw_estimate_glm_combine(e, e->ids, e->count, s, 1, g);
}

/* ---- Many steps in one loop, over samples in memory ---- */

/* Takes one step. *taken is false if the pipeline must take the step, or refuse it; the scalars are then restored. */
static sw_status svrg_loop_step(swo_glm_loop *loop, bool *taken) {
    sw_estimate *e = loop->e;
    SW_TRY(svrg_visit_batch(e, &loop->visit));
    loop->move.sample = e->ids[0];
    loop->move.fresh = svrg_fresh_part(e);
    loop->move.old = 1;
    swo_glm_loop_move(loop, taken);
    if (!*taken && swo_glm_loop_again(loop)) {
        swo_glm_visit_row(e->type, &loop->visit);
        swo_glm_loop_move(loop, taken);
    }
    if (!*taken) {
        sw_run_undo_step(loop->run);
        return SW_OK;
    }
    swo_svrg_scalars_of(e)->inner++;
    return sw_run_end_step(loop->run, e->count, loop->visit.loss / (double)e->count);
}

/* Takes steps up to the next one with a snapshot, which the pipeline takes. */
sw_status swo_svrg_run(sw_estimate *e, sw_estimate_run *run) {
    const swo_svrg_options *o = swo_svrg_options_of(e);
    const int64_t batch = swo_svrg_batch(e);
    swo_glm_loop loop;
    if (o->snapshot != LAST || o->alpha != 1 || o->over > 0 || swo_svrg_scalars_of(e)->table_filled == 0)
        return SW_OK;
    SW_TRY(swo_glm_loop_begin(&loop, e, run, batch, swo_svrg_slots_of(e)->full, NULL));
    if (!loop.visit.lazy) /* also with batch=1: svrg_measure_step adds ∇f(w), not a multiple of the row */
        loop.move.t = loop.visit.t = sw_estimate_scratch(e, VISIT_T, 0);
    sw_status status = SW_OK;
    bool taken = true;
    while (status == SW_OK && taken && run->done < run->most) {
        sw_run_begin_step(run);
        if (swo_svrg_due(e))
            break;
        const int64_t epoch = sw_sampler_epoch(e->sampler), position = sw_sampler_position(e->sampler);
        e->count = sw_sampler_next(e->sampler, &e->ids);
        const int64_t *ids;
        if (batch == 1 && loop.visit.lazy && sw_sampler_peek(e->sampler, &ids) > 0) {
            swo_glm_fetch(e->objective, ids[0]);
            loop.visit.following = ids[0];
        }
        status = svrg_loop_step(&loop, &taken);
        if (!taken && status == SW_OK) /* so that the pipeline draws this batch again */
            status = sw_sampler_seek(e->sampler, epoch, position);
    }
    swo_glm_loop_end(&loop);
    return status;
}
