/* SAG and SAGA over samples in memory, many steps in one loop: what the pipeline does for the rule sgd, without the parts
 * of it that would do nothing. In f64 every number is computed as there, so that runs of any length have the same bits.
 *
 * The pipeline refuses a step that would make x or the sum d infinite. Here bounds of their norms are carried along: with
 * t the change, ‖t‖ ≤ R Σ|c_i|, R the largest row, ‖d'‖ ≤ ‖d‖ + ‖t‖ and ‖x'‖ ≤ |1 - lr λ| ‖x‖ + lr ‖g‖. Where they come
 * near the end of the type the loop ends, and the pipeline looks at the vectors themselves.
 *
 * In f32 x is kept in two numbers, so that its rounding does not add up; there the bits of single steps are others.
 * Of sparse rows x is updated lazily (swo_glm_lazy), and brought up to date at the end of the loop. There x equals that of
 * single steps up to rounding, and its bits depend on where loops end. sw_train ends them at fixed steps. */
#include "../internal.h"
#include "glm_steps.h"
#include "table.h"
#include "tree.h"

#include <float.h>
#include <math.h>

static const double LEAST_SCALE = 1e-6; /* below it v is brought up to date: v is as large as x over the scale */

typedef struct table_run {
    sw_estimate *e;
    const swo_plain_rules *rules;
    swo_glm_segment segment[SWO_PLAIN];
    bool automatic[SWO_PLAIN];
    swo_glm_visit visit;
    swo_glm_move move;
    void (*factors)(const sw_estimate *e, const swo_visit *v, double *fresh, double *old);
    int64_t outputs, batch, rows, judges_every;
    uint64_t key;
    bool by_row;              /* the tree has an L for each row */
    double row_norm;          /* R */
    double x_bound, d_bound, most;
    double nearest;           /* a bound of the norm of what is nearest to 0 in the box */
    swo_glm_lazy lazy;
} table_run;

/* Where one number stands for the weights that a row does not have. */
static bool table_run_is_lazy(const table_run *r) {
    const sw_objective *f = r->e->objective;
    return f->glm->sparse && r->segment[0].offset == 0 && r->segment[0].count == f->outputs * f->features &&
           r->segment[0].moves && !r->segment[0].proximal;
}

/* From the estimator's own memory, which is kept: [features] numbers then, stamps, and columns. */
static sw_status table_run_make_lazy(table_run *r) {
    swo_estimate *own = (swo_estimate *)(void *)r->e;
    const int64_t features = r->e->objective->features;
    if (!own->lazy && !(own->lazy = sw_alloc_array(features, 2 * sizeof(int64_t) + sizeof(int32_t))))
        return SW_ERR_MEMORY;
    r->lazy.scale = 1;
    r->lazy.then = own->lazy;
    r->lazy.stamp = (int64_t *)(void *)(r->lazy.then + features);
    r->lazy.touched = (int32_t *)(void *)(r->lazy.stamp + features);
    memset(r->lazy.then, 0, (size_t)features * (sizeof(double) + sizeof(int64_t)));
    r->visit.lazy = r->move.lazy = &r->lazy;
    r->visit.weights = r->move.x;
    r->visit.d = r->move.d;
    r->visit.x_low = r->move.x_low;
    if (r->batch == 1) {
        r->visit.t = NULL;
    } else {
        memset(r->visit.t, 0, (size_t)r->e->dim * sw_dtype_size(r->e->type));
        r->move.row_t = r->visit.t;
    }
    r->move.t = NULL;
    return SW_OK;
}

static double largest_row(const sw_estimate *e) {
    const double *squares = ((swo_estimate *)(void *)e)->squares;
    double most = 0;
    for (int64_t i = 0; i < e->n; i++)
        most = squares[i] > most ? squares[i] : most;
    return sqrt(most + 1);
}

static sw_status table_run_begin(table_run *r) {
    sw_estimate *e = r->e;
    void *work = sw_estimate_scratch(e, 2, swo_table_work(e)), *s = sw_estimate_scratch(e, 0, r->batch * r->outputs), *t = sw_estimate_scratch(e, 1, 0);
    double norm[2];
    if (!work || !s || !t)
        return SW_ERR_MEMORY;
    const bool sample_alone = r->batch == 1 && e->objective->glm->dense;
    r->visit = (swo_glm_visit){.f = e->objective, .x = sw_params_x(e->params), .s = s,
                               .t = sample_alone ? NULL : t, .squares = ((swo_estimate *)(void *)e)->squares};
    swo_table_use_work(e, &r->visit, work);
    r->move = (swo_glm_move){.f = e->objective, .x = sw_params_x(e->params), .d = e->slot[SUM],
                             .d_low = e->slot[SUM_LOW], .x_low = e->type == SW_F32 ? e->slot[X_LOW] : NULL, .t = r->visit.t, .c = r->visit.c, .segment = r->segment,
                             .segments = r->rules->stretches};
    for (int i = 0; i < r->rules->stretches; i++) {
        r->segment[i] = (swo_glm_segment){.offset = r->rules->stretch[i].offset, .count = r->rules->stretch[i].count,
                                          .lr = r->rules->stretch[i].lr, .decay = r->rules->stretch[i].decay,
                                          .moves = r->rules->stretch[i].moves,
                                          .proximal = r->rules->stretch[i].proximal, .l1 = r->rules->stretch[i].l1,
                                          .low = r->rules->stretch[i].low, .high = r->rules->stretch[i].high};
        r->automatic[i] = isnan(r->rules->stretch[i].lr);
        if (r->segment[i].proximal)
            r->nearest += sqrt((double)r->segment[i].count) * fmax(fmax(r->segment[i].low, -r->segment[i].high), 0);
    }
    r->row_norm = largest_row(e);
    r->most = e->type == SW_F32 ? FLT_MAX / 16 : DBL_MAX / 16;
    swo_norms(e->type, e->dim, r->move.x, r->move.d, norm);
    r->x_bound = norm[0];
    r->d_bound = norm[1];
    return table_run_is_lazy(r) ? table_run_make_lazy(r) : SW_OK;
}

/* Whether x and d stay finite, by the bounds. The step sizes are set. */
static bool table_run_fits(table_run *r, int64_t numbers) {
    double changes = 0, lr = 0, keep = 0;
    for (int64_t i = 0; i < numbers; i++) {
        const double c = r->e->type == SW_F32 ? (double)((const float *)r->visit.c)[i] : ((const double *)r->visit.c)[i];
        changes += fabs(c);
    }
    for (int i = 0; i < r->move.segments; i++) {
        lr = fmax(lr, r->segment[i].lr);
        keep = fmax(keep, fabs(1 - r->segment[i].lr * r->segment[i].decay));
    }
    const double t = r->row_norm * changes, g = r->move.fresh * t + r->move.old * r->d_bound,
                 x = keep * r->x_bound + lr * g + r->nearest, d = r->d_bound + t;
    if (r->visit.lazy && !(r->lazy.scale * (1 - r->segment[0].lr * r->segment[0].decay) > LEAST_SCALE))
        return false;
    if (!(isfinite(r->visit.loss) && lr * 2 < r->most && g < r->most && x < r->most && d < r->most))
        return false;
    r->x_bound = x;
    r->d_bound = d;
    return true;
}

/* One step; *taken is false where the pipeline is to take it. */
static sw_status table_run_step(table_run *r, sw_optim *o, bool *taken) {
    sw_estimate *e = r->e;
    int64_t place;
    double before[SW_MAX_SCALARS];
    *taken = false;
    memcpy(before, e->scalar, sizeof before);
    e->step = o->steps + 1;
    const int64_t row = swo_table_draw(e, r->key, o->draws + 1, &place), first = row * r->batch,
                  count = e->n - first < r->batch ? e->n - first : r->batch;
    swo_visit v = {.row = row, .samples = count, .weight = (double)count, .first = place >= 0,
                   .probability = r->by_row ? swo_table_probability(e, row, place >= 0) : 1 / (double)r->rows};
    void *entry = swo_table_entry(e, row);
    r->visit.first = r->move.sample = first;
    r->visit.count = count;
    r->visit.entry = entry;
    r->visit.measure = swo_table_measures(e, v.first, e->step);
    r->visit.l = r->visit.measure ? swo_table_l_before(e, &v) : 0;
    e->scalar[L_ROW] = 0;
    swo_glm_visit_row(e->type, &r->visit);
    if (r->visit.measure) {
        if (!isfinite(r->visit.curvature * (double)r->rows)) {
            memcpy(e->scalar, before, sizeof before);
            return SW_OK;
        }
        SW_TRY(swo_table_take_curvature(e, &v, r->visit.curvature));
    }
    e->lr = swo_table_step_size(e);
    r->factors(e, &v, &r->move.fresh, &r->move.old);
    for (int i = 0; i < r->move.segments; i++)
        if (r->automatic[i])
            r->segment[i].lr = e->lr;
    if (!table_run_fits(r, count * r->outputs)) {
        memcpy(e->scalar, before, sizeof before);
        return SW_OK;
    }
    swo_glm_move_x(e->type, &r->move);
    memcpy(entry, r->visit.s, (size_t)(count * r->outputs) * sw_dtype_size(e->type));
    if (v.first)
        swo_table_mark_seen(e, &v, place);
    if (r->by_row)
        swo_tree_set(e->slot[TREE], r->rows, row, e->scalar[L_ROW]);
    o->steps++;
    o->draws++;
    o->samples += count;
    *taken = true;
    return r->rules->took(r->rules->user, r->visit.loss / (double)count, (double)count);
}

sw_status swo_table_run(sw_estimate *e, const swo_plain_rules *rules, int64_t most, int64_t *done) {
    sw_optim *o = e->optim;
    table_run r = {.e = e, .rules = rules, .outputs = e->objective->outputs, .batch = swo_table_batch(e),
                   .rows = swo_table_rows(e), .judges_every = swo_table_judges_every(e), .key = swo_table_key(e),
                   .by_row = e->option[SAMPLING] == BY_LIPSCHITZ,
                   .factors = e->method == &swo_sag ? swo_sag_factors : swo_saga_factors};
    *done = 0;
    if (e->option[INIT] == CENTRED || (e->option[INIT] == FROM_FULL && e->scalar[FILLED] == 0))
        return SW_OK;
    SW_TRY(table_run_begin(&r));
    bool taken = true;
    sw_status status = SW_OK;
    while (status == SW_OK && taken && *done < most && !(r.judges_every > 0 && (o->steps + 1) % r.judges_every == 0)) {
        status = table_run_step(&r, o, &taken);
        *done += taken;
        if (!taken && r.move.row_t) /* the change of a step that was not taken */
            memset(r.move.row_t, 0, (size_t)e->dim * sw_dtype_size(e->type));
        if (status == SW_OK && !taken && r.visit.lazy && r.lazy.scale < 1) { /* once more from a scale of 1 */
            swo_glm_flush(e->type, &r.move);
            taken = true;
        }
    }
    if (r.visit.lazy)
        swo_glm_flush(e->type, &r.move);
    return status;
}
