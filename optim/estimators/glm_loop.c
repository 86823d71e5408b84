/* The parts of loops over many steps. They do the work of the pipeline for the rule sgd, and omit those parts of the
 * pipeline that would have no effect.
 *
 * The pipeline refuses a step that would make x or the sum d infinite. Here the loop tracks bounds of their norms: with
 * t the change, ‖t‖ ≤ R Σ|c_i|, where R is the norm of the largest row, ‖d'‖ ≤ ‖d‖ + ‖t‖ and
 * ‖x'‖ ≤ |1 - lr λ| ‖x‖ + lr ‖g‖. If these bounds are near the largest number of the type, the loop ends, and the
 * pipeline checks the vectors themselves.
 *
 * In f32, x is stored in two numbers, so that rounding errors do not accumulate; single steps do the same (swo_x_low).
 * Over dense rows, the result of a loop is bit-for-bit that of single steps. Over sparse rows, x is updated lazily
 * (swo_glm_lazy), and brought up to date at the end of the loop. The result then equals that of single steps up to
 * rounding, and its bits depend on the steps at which loops end. sw_train ends loops at fixed steps.
 *
 * An average of averages/running.c is updated with x: in each step, or lazily for sparse rows. It is between its old
 * value and x, which bounds it. */
#include "optim/estimators/glm_loop.h"

#include "optim/estimators/lipschitz_constants.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* If scale or kept is below these limits, the loop brings x and its average up to date: v = x/scale and E = e/kept grow
 * as scale and kept become smaller. The terms that are added to E are rounded relative to the largest scale since the
 * last update, so that they lose digits as the scale becomes smaller. */
static const double LEAST_SCALE = 1e-6, LEAST_SCALE_OF_AVERAGE = 0.0625;
static const double LEAST_KEPT[] = {[SW_F32] = 1e-20, [SW_F64] = 1e-200};

/* The memory has, in this order: losses, in f64; z, v and two more vectors; c; blocks of large batches. */
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

int64_t swo_x_low_size(const sw_slot_sizes *s) {
    return s->type == SW_F32 && s->features > 0 ? s->dim : 0;
}

sw_status swo_use_samples(sw_estimate *e, void *x_low) {
    e->runs = true;
    e->x_low = e->type == SW_F32 ? x_low : NULL;
    return swo_keep_squares(e);
}

/* Whether updates are lazy. This requires sparse rows, and weights that are not frozen and all have the same
 * options. */
static bool glm_loop_is_lazy(const swo_glm_loop *loop) {
    const sw_objective *f = loop->e->objective;
    return f->glm->sparse && loop->segment[0].offset == 0 && loop->segment[0].count == f->outputs * f->features &&
           loop->segment[0].moves;
}

/* Assigns the memory, which the estimator keeps between loops: records and sums of steps, then numbers, stamps and
 * columns, [features] of each. */
static sw_status glm_loop_use_memory(swo_glm_loop *loop) {
    enum { ROOM = 16384, FEATURES_PER_STEP = 64 }; /* all columns are brought up to date after `room` recorded steps */
    swo_glm_lazy *lazy = &loop->lazy;
    const int64_t features = loop->e->objective->features, least = features / FEATURES_PER_STEP,
                  room = least > ROOM ? least : ROOM, records = room * (int64_t)(sizeof *lazy->record / sizeof(double)),
                  sums = (room + 1) * (int64_t)(sizeof *lazy->sums / sizeof(double)),
                  weights = (room + 1) * (int64_t)(sizeof *lazy->weights / sizeof(double)),
                  columns = (features * (int64_t)sizeof(int32_t) + 7) / 8;
    const int64_t all = records + sums + weights + 2 * features + columns;
    double *memory = sw_estimate_memory(loop->e, GLM_MEMORY_LAZY, (size_t)all * sizeof *memory);
    if (!memory)
        return SW_ERR_MEMORY;
    lazy->room = room;
    lazy->record = (swo_glm_record *)(void *)memory;
    lazy->sums = (swo_glm_sums *)(void *)(memory + records);
    lazy->sums[0] = (swo_glm_sums){0};
    lazy->weights = (swo_glm_weights *)(void *)(memory + records + sums);
    lazy->weights[0] = (swo_glm_weights){0};
    lazy->then = memory + records + sums + weights;
    lazy->stamp = (int64_t *)(void *)(lazy->then + features);
    lazy->touched = (int32_t *)(void *)(lazy->stamp + features);
    memset(lazy->then, 0, (size_t)features * sizeof *lazy->then);
    if (loop->batch > 1) /* with batch 1 the stamps are not used; untouched pages take no memory */
        memset(lazy->stamp, 0, (size_t)features * sizeof *lazy->stamp);
    return SW_OK;
}

static double glm_loop_rounded(const swo_glm_loop *loop, double bound) {
    return loop->e->type == SW_F32 ? (double)(float)bound : bound;
}

static sw_status glm_loop_make_lazy(swo_glm_loop *loop) {
    const swo_glm_segment *weights = &loop->segment[0];
    const bool boxed = !isinf(weights->low) || !isinf(weights->high);
    loop->lazy = (swo_glm_lazy){.scale = 1,
                                .kept = 1,
                                .recorded = weights->proximal || loop->mean,
                                .proximal = weights->proximal,
                                .boxed = boxed,
                                .l1 = weights->l1,
                                .decay = weights->decay,
                                .low = glm_loop_rounded(loop, weights->low),
                                .high = glm_loop_rounded(loop, weights->high),
                                .mean = loop->mean,
                                .mean_low = loop->mean_low,
                                /* a few roundings of f64, or of two numbers of f32 */
                                .near = loop->e->type == SW_F64 ? 0x1p-50 : 0x1p-44};
    SW_TRY(glm_loop_use_memory(loop));
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

static void glm_loop_take_rules(swo_glm_loop *loop) {
    const sw_estimate_run *run = loop->run;
    for (int i = 0; i < run->stretches; i++) {
        swo_glm_segment *s = &loop->segment[i];
        *s = (swo_glm_segment){.offset = run->stretch[i].offset,
                               .count = run->stretch[i].count,
                               .lr = run->stretch[i].lr,
                               .decay = run->stretch[i].decay,
                               .moves = run->stretch[i].moves,
                               .proximal = run->stretch[i].proximal,
                               .l1 = run->stretch[i].l1,
                               .low = run->stretch[i].low,
                               .high = run->stretch[i].high};
        loop->automatic[i] = isnan(s->lr);
        if (s->proximal)
            loop->nearest += sqrt((double)s->count) * fmax(fmax(s->low, -s->high), 0);
    }
    loop->move.segment = loop->segment;
    loop->move.segments = run->stretches;
}

/* Sets the average that is updated with x, and a bound of its norm. */
static void glm_loop_set_average(swo_glm_loop *loop) {
    double norm[2];
    loop->mean = loop->run->mean;
    loop->mean_low = loop->run->mean_low;
    if (!loop->mean)
        return;
    sw_vector_two_norms(loop->e->type, loop->e->dim, loop->mean, loop->mean_low ? loop->mean_low : loop->mean, norm);
    loop->mean_bound = norm[0] + norm[1];
}

sw_status swo_glm_loop_begin(swo_glm_loop *loop, sw_estimate *e, sw_estimate_run *run, int64_t batch, void *d,
                             void *d_low) {
    void *x = sw_params_x(e->params), *s = sw_estimate_scratch(e, 0, batch * e->objective->outputs),
         *t = sw_estimate_scratch(e, 1, 0), *work = sw_estimate_scratch(e, 2, swo_glm_work(e, batch));
    double norm[2];
    if (!s || !t || !work)
        return SW_ERR_MEMORY;
    *loop = (swo_glm_loop){.e = e,
                           .run = run,
                           .batch = batch,
                           .row_norm = swo_glm_own_of(e)->largest_row,
                           .most = e->type == SW_F32 ? FLT_MAX / 16 : DBL_MAX / 16};
    loop->visit = (swo_glm_visit){.following = -1,
                                  .f = e->objective,
                                  .x = x,
                                  .s = s,
                                  .squares = swo_squares(e),
                                  .t = batch == 1 && e->objective->glm->dense ? NULL : t};
    swo_glm_use_work(e, batch, &loop->visit, work);
    swo_find_frozen_parts(e, &loop->visit.weights_frozen, &loop->visit.bias_frozen);
    loop->move = (swo_glm_move){
        .f = e->objective, .x = x, .d = d, .d_low = d_low, .t = loop->visit.t, .c = loop->visit.c, .x_low = e->x_low};
    glm_loop_take_rules(loop);
    glm_loop_set_average(loop);
    sw_vector_two_norms(e->type, e->dim, x, d, norm);
    loop->x_bound = norm[0];
    loop->d_bound = norm[1];
    return glm_loop_is_lazy(loop) ? glm_loop_make_lazy(loop) : SW_OK;
}

/* Whether v, E and their sums remain finite and precise in the coming step; x: a bound of ‖x‖ after the step. */
static bool glm_loop_lazy_fits(const swo_glm_loop *loop, double x) {
    const swo_glm_lazy *lazy = &loop->lazy;
    const double scale = lazy->scale * (1 - loop->segment[0].lr * loop->segment[0].decay),
                 kept = lazy->kept * (loop->w < 1 ? 1 - loop->w : 1);
    if (lazy->recorded && lazy->steps == lazy->room)
        return false;
    if (!(scale > LEAST_SCALE) || (lazy->mean && lazy->scale < 1 && scale < LEAST_SCALE_OF_AVERAGE))
        return false;
    return x / scale < loop->most && kept > LEAST_KEPT[loop->e->type] && loop->mean_bound / kept < loop->most;
}

/* Whether the bounds show that x, its average and d remain finite. */
static bool glm_loop_fits(swo_glm_loop *loop) {
    const int64_t numbers = loop->visit.count * loop->e->objective->outputs;
    double changes = 0, lr = 0, keep = 0;
    for (int64_t i = 0; i < numbers; i++)
        changes += fabs(sw_load_element(loop->e->type, loop->visit.c, i));
    for (int i = 0; i < loop->move.segments; i++) {
        lr = fmax(lr, loop->segment[i].lr);
        keep = fmax(keep, fabs(1 - loop->segment[i].lr * loop->segment[i].decay));
    }
    const double t = loop->row_norm * changes, g = loop->move.fresh * t + loop->move.old * loop->d_bound,
                 x = keep * loop->x_bound + lr * g + loop->nearest, d = loop->d_bound + (loop->move.d_low ? t : 0);
    if (!(isfinite(loop->visit.loss) && lr * 2 < loop->most && g < loop->most && x < loop->most && d < loop->most))
        return false;
    loop->mean_bound = loop->mean ? fmax(loop->mean_bound, x) : 0;
    if (loop->mean_bound >= loop->most || (loop->visit.lazy && !glm_loop_lazy_fits(loop, x)))
        return false;
    loop->x_bound = x;
    loop->d_bound = d;
    return true;
}

/* Updates the average after x; if weights are lazy, only the average of the biases. */
static void glm_loop_move_average(swo_glm_loop *loop) {
    const sw_estimate *e = loop->e;
    const int64_t first = loop->visit.lazy ? loop->segment[0].count : 0;
    const size_t at = (size_t)first * sw_dtype_size(e->type);
    sw_vector_mean_compensated(e->type, e->dim - first, loop->w, (const char *)loop->move.x + at,
                               (char *)loop->mean + at, loop->mean_low ? (char *)loop->mean_low + at : NULL);
    if (loop->visit.lazy && loop->w == 1)
        swo_glm_flush(e->type, &loop->move, true);
}

/* The value of lr=auto for parameters with this penalty. */
static double glm_loop_lr(const sw_estimate *e, double penalty) {
    return penalty != e->penalty ? e->method->lr_with(e, penalty) : e->lr;
}

void swo_glm_loop_move(swo_glm_loop *loop, bool *taken) {
    for (int i = 0; i < loop->move.segments; i++)
        if (loop->automatic[i])
            loop->segment[i].lr = glm_loop_lr(loop->e, loop->segment[i].decay);
    *taken = sw_run_average_weight(loop->run, &loop->w) && glm_loop_fits(loop);
    loop->lazy.w = loop->w < 1 ? loop->w : 0;
    if (!*taken)
        return;
    /* Subnormal numbers are flushed to zero as in the rules and the average of a single step. In f64 the caller does
     * this for the whole loop, which takes less time; in f32 that would set squares of small features to zero. */
    const bool flushes = loop->e->type == SW_F32;
    const unsigned mode = flushes ? sw_subnormals_flush() : 0;
    swo_glm_move_x(loop->e->type, &loop->move);
    if (loop->w > 0)
        glm_loop_move_average(loop);
    if (flushes)
        sw_subnormals_restore(mode);
}

bool swo_glm_loop_again(swo_glm_loop *loop) {
    if (loop->move.row_t) /* reset the change of the step that was not taken */
        memset(loop->move.row_t, 0, (size_t)loop->e->dim * sw_dtype_size(loop->e->type));
    if (!loop->visit.lazy || (loop->lazy.scale == 1 && loop->lazy.steps == 0))
        return false;
    swo_glm_loop_end(loop);
    return true;
}

void swo_glm_loop_end(swo_glm_loop *loop) {
    if (loop->visit.lazy)
        swo_glm_flush(loop->e->type, &loop->move, false);
}
