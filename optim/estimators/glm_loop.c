/* Parts of loops over many steps: what the pipeline does for the rule sgd, without the parts of it that would do nothing.
 *
 * The pipeline refuses a step that would make x or the sum d infinite. Here bounds of their norms are carried along: with
 * t the change, ‖t‖ ≤ R Σ|c_i|, R the largest row, ‖d'‖ ≤ ‖d‖ + ‖t‖ and ‖x'‖ ≤ |1 - lr λ| ‖x‖ + lr ‖g‖. Where they come
 * near the end of the type the loop ends, and the pipeline looks at the vectors themselves.
 *
 * In f32 x is kept in two numbers, so that its rounding does not add up; there the bits of single steps are others.
 * Of sparse rows x is updated lazily (swo_glm_lazy), and brought up to date at the end of the loop. There x equals that of
 * single steps up to rounding, and its bits depend on where loops end. sw_train ends them at fixed steps. */
#include "glm_loop.h"

#include "smoothness.h"

#include <float.h>
#include <math.h>

static const double LEAST_SCALE = 1e-6; /* below it v is brought up to date: v is as large as x over the scale */

/* In this order: losses, in f64; z, v and two more; c; blocks of large batches. */
int64_t swo_glm_work(const sw_estimate *e, int64_t batch) {
    const int64_t outputs = e->objective->outputs;
    return 2 * batch + 3 * batch * outputs + 2 * outputs +
           (batch > GLM_BLOCK ? 2 * outputs * e->objective->features : 0);
}

void swo_glm_use_work(const sw_estimate *e, int64_t batch, swo_glm_visit *visit, void *room) {
    const int64_t outputs = e->objective->outputs;
    const size_t size = sw_dtype_size(e->type);
    visit->losses = room;
    visit->work = (char *)room + (size_t)batch * sizeof(double);
    visit->c = (char *)visit->work + (size_t)(2 * batch * outputs + 2 * outputs) * size;
    visit->blocks = (char *)visit->c + (size_t)(batch * outputs) * size;
}

void swo_glm_see_frozen(const sw_estimate *e, swo_glm_visit *visit) {
    const int64_t weights = e->objective->outputs * e->objective->features;
    visit->weights_rest = visit->bias_rests = true;
    for (int i = 0; i < sw_params_count(e->params); i++) {
        const sw_param *p = sw_params_at(e->params, i);
        if (p->frozen || p->tied || p->count == 0)
            continue;
        if (p->offset < weights)
            visit->weights_rest = false;
        if (p->offset + p->count > weights)
            visit->bias_rests = false;
    }
}

/* Where one number stands for the weights that a row does not have. */
static bool glm_loop_is_lazy(const swo_glm_loop *loop) {
    const sw_objective *f = loop->e->objective;
    return f->glm->sparse && loop->segment[0].offset == 0 && loop->segment[0].count == f->outputs * f->features &&
           loop->segment[0].moves && isinf(loop->segment[0].low) && isinf(loop->segment[0].high);
}

enum { HISTORY = 16384 }; /* proximal steps; then x is brought up to date */

/* From the estimator's own memory, which is kept: the history, then [features] numbers, stamps, and columns. */
static sw_status glm_loop_make_lazy(swo_glm_loop *loop) {
    swo_estimate *own = (swo_estimate *)(void *)loop->e;
    const int64_t features = loop->e->objective->features, history = 4 * (HISTORY + 1),
                  columns = (features * (int64_t)sizeof(int32_t) + 7) / 8;
    if (!own->lazy && !(own->lazy = sw_alloc_array(history + 2 * features + columns, sizeof(double))))
        return SW_ERR_MEMORY;
    double *memory = own->lazy;
    loop->lazy = (swo_glm_lazy){.scale = 1, .proximal = loop->segment[0].proximal, .l1 = loop->segment[0].l1,
                                .room = HISTORY, .part = memory, .part_sum = memory + (HISTORY + 1),
                                .along = memory + 2 * (HISTORY + 1), .along_sum = memory + 3 * (HISTORY + 1)};
    loop->lazy.part_sum[0] = loop->lazy.along_sum[0] = 0;
    loop->lazy.then = memory + history;
    loop->lazy.stamp = (int64_t *)(void *)(loop->lazy.then + features);
    loop->lazy.touched = (int32_t *)(void *)(loop->lazy.stamp + features);
    memset(loop->lazy.then, 0, (size_t)features * (sizeof(double) + sizeof(int64_t)));
    loop->visit.lazy = loop->move.lazy = &loop->lazy;
    loop->visit.weights = loop->move.x;
    loop->visit.d = loop->move.d;
    loop->visit.x_low = loop->move.x_low;
    if (loop->batch == 1 || !loop->visit.t) {
        loop->visit.t = NULL;
    } else {
        memset(loop->visit.t, 0, (size_t)loop->e->dim * sw_dtype_size(loop->e->type));
        loop->move.row_t = loop->visit.t;
    }
    loop->move.t = NULL;
    return SW_OK;
}

static void glm_loop_take_rules(swo_glm_loop *loop, const swo_plain_rules *rules) {
    for (int i = 0; i < rules->stretches; i++) {
        swo_glm_segment *s = &loop->segment[i];
        *s = (swo_glm_segment){.offset = rules->stretch[i].offset, .count = rules->stretch[i].count,
                               .lr = rules->stretch[i].lr, .decay = rules->stretch[i].decay,
                               .moves = rules->stretch[i].moves, .proximal = rules->stretch[i].proximal,
                               .l1 = rules->stretch[i].l1, .low = rules->stretch[i].low,
                               .high = rules->stretch[i].high};
        loop->automatic[i] = isnan(s->lr);
        if (s->proximal)
            loop->nearest += sqrt((double)s->count) * fmax(fmax(s->low, -s->high), 0);
    }
    loop->move.segment = loop->segment;
    loop->move.segments = rules->stretches;
}

sw_status swo_glm_loop_begin(swo_glm_loop *loop, sw_estimate *e, const swo_plain_rules *rules, int64_t batch, void *d,
                             void *d_low) {
    void *x = sw_params_x(e->params), *s = sw_estimate_scratch(e, 0, batch * e->objective->outputs),
         *t = sw_estimate_scratch(e, 1, 0), *work = sw_estimate_scratch(e, 2, swo_glm_work(e, batch));
    double norm[2];
    if (!s || !t || !work)
        return SW_ERR_MEMORY;
    *loop = (swo_glm_loop){.e = e, .batch = batch, .row_norm = ((swo_estimate *)(void *)e)->largest_row,
                           .most = e->type == SW_F32 ? FLT_MAX / 16 : DBL_MAX / 16};
    loop->visit = (swo_glm_visit){.f = e->objective, .x = x, .s = s, .squares = swo_squares(e),
                                  .t = batch == 1 && e->objective->glm->dense ? NULL : t};
    swo_glm_use_work(e, batch, &loop->visit, work);
    swo_glm_see_frozen(e, &loop->visit);
    loop->move = (swo_glm_move){.f = e->objective, .x = x, .d = d, .d_low = d_low, .t = loop->visit.t,
                                .c = loop->visit.c, .x_low = ((swo_estimate *)(void *)e)->x_low};
    glm_loop_take_rules(loop, rules);
    swo_norms(e->type, e->dim, x, d, norm);
    loop->x_bound = norm[0];
    loop->d_bound = norm[1];
    return glm_loop_is_lazy(loop) ? glm_loop_make_lazy(loop) : SW_OK;
}

/* Whether x and d stay finite, by the bounds. */
static bool glm_loop_fits(swo_glm_loop *loop) {
    const int64_t numbers = loop->visit.count * loop->e->objective->outputs;
    double changes = 0, lr = 0, keep = 0;
    for (int64_t i = 0; i < numbers; i++)
        changes += fabs(loop->e->type == SW_F32 ? (double)((const float *)loop->visit.c)[i]
                                                : ((const double *)loop->visit.c)[i]);
    for (int i = 0; i < loop->move.segments; i++) {
        lr = fmax(lr, loop->segment[i].lr);
        keep = fmax(keep, fabs(1 - loop->segment[i].lr * loop->segment[i].decay));
    }
    const double t = loop->row_norm * changes, g = loop->move.fresh * t + loop->move.old * loop->d_bound,
                 x = keep * loop->x_bound + lr * g + loop->nearest, d = loop->d_bound + (loop->move.d_low ? t : 0);
    if (loop->visit.lazy && loop->lazy.proximal && loop->lazy.steps == loop->lazy.room)
        return false;
    if (loop->visit.lazy && !(loop->lazy.scale * (1 - loop->segment[0].lr * loop->segment[0].decay) > LEAST_SCALE))
        return false;
    if (!(isfinite(loop->visit.loss) && lr * 2 < loop->most && g < loop->most && x < loop->most && d < loop->most))
        return false;
    loop->x_bound = x;
    loop->d_bound = d;
    return true;
}

void swo_glm_loop_move(swo_glm_loop *loop, bool *taken) {
    for (int i = 0; i < loop->move.segments; i++)
        if (loop->automatic[i])
            loop->segment[i].lr = swo_lr_for(loop->e->optim, loop->segment[i].decay);
    *taken = glm_loop_fits(loop);
    if (*taken)
        swo_glm_move_x(loop->e->type, &loop->move);
}

bool swo_glm_loop_again(swo_glm_loop *loop) {
    if (loop->move.row_t) /* the change of the step that was not taken */
        memset(loop->move.row_t, 0, (size_t)loop->e->dim * sw_dtype_size(loop->e->type));
    if (!loop->visit.lazy || (loop->lazy.scale == 1 && loop->lazy.steps == 0))
        return false;
    swo_glm_loop_end(loop);
    return true;
}

void swo_glm_loop_end(swo_glm_loop *loop) {
    if (loop->visit.lazy)
        swo_glm_flush(loop->e->type, &loop->move);
}
