/* SVRG, the stochastic variance-reduced gradient (R. Johnson, T. Zhang, NIPS 2013):
 *     g = ∇f_B(x) - α (∇f_B(w) - ∇f(w))    for α = 1: ∇f(w) + ∇f_B(x) - ∇f_B(w)
 * w a snapshot of x, taken anew every `period` steps with its full gradient. α = 1 is unbiased; for deep
 * networks a smaller α that goes to 0 (Yin et al., A coefficient makes SVRG effective, 2023) takes less of
 * a correction that is no longer of this x.
 *
 * The last batch of an epoch may have few samples. Its part ∇f_B(x) - ∇f_B(w) is multiplied by c = |B| R/n, R batches an
 * epoch, so that each sample counts alike, and the mean over the batches is ∇f(x). Of losses that are sums, c = R.
 *
 * The snapshot is the iterate at the end of a period, one of its iterates by lot, or their mean. x itself
 * goes on from where it is (Allen-Zhu, Yuan, ICML 2016), since estimators do not move it.
 *
 * The correction's mean over B is 0 only if the full gradient saw the same dropout masks and augmentation:
 * with replay=period one draw of random numbers serves a whole period (Defazio, Bottou, 2018, "locking");
 * with replay=step each step has its own draw, the same for x and w. Running statistics see x only. Where batches
 * weigh differently (ignored ids, class weights) ∇f_B is the batch's own mean and ∇f that by weight: the fixed point
 * is the minimum of f all the same, but g is unbiased only at x = w.
 *
 * Of a generalized linear model (sw_objective) ∇f_i(w) = s_i a_iᵀ: the n·outputs numbers s_i are kept, and the gradient
 * at w is not evaluated again.
 *
 * lr=auto takes 1/L or another (step=; theorems want less, 1/(3L) say, of the L of the rows). L is given, that of the
 * rows (lipschitz=auto), or measured on the way: for convex f_B it is at least ‖Δg‖²/⟨Δg, x - w⟩, Δg = ∇f_B(x) - ∇f_B(w), for others
 * ‖Δg‖/‖x - w‖.
 */
#define SW_KERNEL_FILE "estimators/svrg.c"
#include "kernel.h"

#ifndef SVRG_ARGS
#define SVRG_ARGS
typedef struct svrg_args {
    void *g;
    const void *there, *full;
    double alpha, part; /* α, c */
} svrg_args;
#endif

#if SW_KERNEL_PASS

/* g ← (1 - α) g + α (c (g - there) + full) */
static void SW_K(correct)(void *args, int64_t begin, int64_t end, double *sums) {
    const svrg_args *s = args;
    real *restrict g = s->g;
    const real *restrict there = s->there, *restrict full = s->full;
    const real alpha = (real)s->alpha, part = (real)s->part, rest = 1 - alpha;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        g[i] = rest * g[i] + alpha * (part * (g[i] - there[i]) + full[i]);
}

#else

#include "glm_loop.h"
#include "smoothness.h"

#include <math.h>

static const sw_kernels correct_kernels = SW_KERNEL_TABLE(correct);

enum { BATCH, ORDER, PERIOD, SNAPSHOT, ALPHA, OVER, REPLAY, STEP, LIPSCHITZ };
enum { LAST, RANDOM, MEAN };                  /* SNAPSHOT */
enum { ONE_3L, ONE_L, ONE_2L, ONE_4L };       /* STEP */
enum { POINT, FULL, NEXT, NEXT_LOW, TABLE, X_LOW }; /* slots */
enum { SINCE, INNER, DRAW_HIGH, DRAW_LOW, FROZEN, L, STORED, L_LEAST, L_TIMES }; /* scalars */
enum { THERE, DERIVATIVES, DIFFERENCE, BATCH_GRADIENT }; /* scratch of evaluations on a tape */
enum { VISIT_S, VISIT_T, VISIT_WORK, VISIT_ENTRY, DIRECTION }; /* of samples in memory; the first three as in loops */

static const sw_option options[] = {
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 0, .low = 0, .high = 1e9,
     .help = "samples in a step; 0: 64, or 1 if the samples of a generalized linear model are in memory, and sparse",
     .search_low = 16, .search_high = 512, .search_log = true},
    ORDER_ROW,
    {.name = "period", .kind = SW_OPTION_DURATION, .value = 0,
     .help = "from snapshot to snapshot; 0: 2n samples"},
    {.name = "snapshot", .kind = SW_OPTION_CHOICE, .choices = "last|random|mean",
     .help = "which iterate of the period it is"},
    {.name = "alpha", .kind = SW_OPTION_REAL, .value = 1, .low = 0, .high = 1,
     .help = "how much of the correction is taken"},
    {.name = "over", .kind = SW_OPTION_DURATION, .value = 0,
     .help = "alpha falls to 0 in this time; 0: it stays"},
    {.name = "replay", .kind = SW_OPTION_CHOICE, .choices = "period|step",
     .help = "how long dropout and augmentation draw the same numbers"},
    {.name = "step", .kind = SW_OPTION_CHOICE, .value = ONE_L, .choices = "1/(3L)|1/L|1/(2L)|1/(4L)",
     .help = "what lr=auto is, with the penalty in L"},
    {.name = "lipschitz", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e300, .open = SW_OPTION_AUTO,
     .help = "L of a batch's gradient; auto: from the rows of a generalized linear model with a known loss; 0: "
             "measured if lr=auto"},
    {0}};

static bool has_next(const double *option) {
    return option[SNAPSHOT] != LAST;
}

static bool has_mean(const double *option) {
    return option[SNAPSHOT] == MEAN;
}

/* `since`: the step that took the snapshot, 0 for none. `inner`: steps since then. The draw of the
 * period in two halves, each exact in f64. `frozen`: which parameters were, as a number. `stored`: whether `table` holds
 * the derivatives at the snapshot. `L_least`: what L is at least, by the snapshot. `L_times`:
 * what L is times in the step size. */
static const char *const scalars[] = {"since", "inner", "draw_high", "draw_low", "frozen", "L", "stored", "L_least",
                                      "L_times", NULL};

static int64_t table_size(const sw_slot_sizes *s) {
    return s->features > 0 ? s->n * s->outputs : 0;
}

/* What x of f32 lacks, for loops over many steps. */
static int64_t x_low_size(const sw_slot_sizes *s) {
    return s->type == SW_F32 && s->features > 0 ? s->dim : 0;
}

static const sw_slot slots[] = {{.name = "snapshot"}, {.name = "full"},
                                {.name = "next", .needed = has_next},
                                {.name = "next_low", .needed = has_mean, .added = true},
                                {.name = "table", .count = table_size, .added = true},
                                {.name = "x_low", .count = x_low_size, .added = true}, {0}};

static double period(const sw_estimate *e) {
    if (e->option[PERIOD] > 0)
        return ceil(e->option[PERIOD]);
    return ceil(2 * (double)e->n / fmin(e->option[BATCH], (double)e->n));
}

/* A bit for each parameter, and after the 52nd a hash of them. */
static double frozen(const sw_estimate *e) {
    const uint64_t prime = 9007199254740881u; /* the largest below 2^53 */
    uint64_t bits = 0;
    for (int i = 0; i < sw_params_count(e->params); i++)
        bits = (2 * bits + sw_params_at(e->params, i)->frozen) % prime;
    return (double)bits;
}

/* The full gradient knows nothing of what was frozen when it was taken. */
static bool due(const sw_estimate *e) {
    return e->scalar[SINCE] == 0 || (double)e->step - e->scalar[SINCE] >= period(e) ||
           e->scalar[FROZEN] != frozen(e);
}

static double alpha(const sw_estimate *e) {
    const double over = e->option[OVER], rest = over > 0 ? 1 - (double)(e->step - 1) / over : 1;
    return e->option[ALPHA] * (rest > 0 ? rest : 0);
}

static sw_status sample(sw_estimate *e) {
    e->count = sw_sampler_next(e->sampler, &e->ids);
    if (e->option[REPLAY] != 0)
        return SW_OK;
    if (due(e)) {
        e->scalar[DRAW_HIGH] = (double)(e->draw >> 32);
        e->scalar[DRAW_LOW] = (double)(uint32_t)e->draw;
    }
    e->draw = (uint64_t)e->scalar[DRAW_HIGH] << 32 | (uint64_t)e->scalar[DRAW_LOW];
    return SW_OK;
}

/* ---- Generalized linear models ---- */

static bool is_glm(const sw_estimate *e) {
    return sw_objective_is_glm(e->objective);
}

static int64_t batch_of(const sw_estimate *e) {
    return e->option[BATCH] < (double)e->n ? (int64_t)e->option[BATCH] : e->n;
}

static void *table_at(const sw_estimate *e, int64_t id) {
    return (char *)e->slot[TABLE] + (size_t)(id * e->objective->outputs) * sw_dtype_size(e->type);
}

/* table ← the derivatives at the snapshot; full ← 1/W Σ s_i a_i, W the weight of all (1 of a sum), unless it is NULL */
static sw_status store_derivatives(sw_estimate *e, void *full) {
    enum { CHUNK = 1000 };
    int64_t *ids = sw_alloc_array(CHUNK, sizeof *ids);
    sw_status status = ids ? SW_OK : SW_ERR_MEMORY;
    double whole = 0;
    for (int64_t first = 0; first < e->n && status == SW_OK; first += CHUNK) {
        const int64_t count = e->n - first < CHUNK ? e->n - first : CHUNK;
        for (int64_t i = 0; i < count; i++)
            ids[i] = first + i;
        status = sw_estimate_glm(e, e->slot[POINT], ids, count, NULL, table_at(e, first));
        if (status == SW_OK)
            whole = sw_tape_loss_weight(e->tape) == SW_SUMMED ? SW_SUMMED : whole + sw_tape_loss_weight(e->tape);
        if (status == SW_OK && full)
            status = sw_estimate_glm_combine(e, ids, count, table_at(e, first), first > 0, full);
    }
    sw_free(ids);
    if (status == SW_OK && full)
        swo_combine(e->type, e->dim, swo_mean_factor(whole), full, 0, NULL, full);
    if (status == SW_OK)
        e->scalar[STORED] = 1;
    return status;
}

/* ---- L ---- */

static bool searches(const sw_estimate *e) {
    return e->wants_lr && e->option[LIPSCHITZ] == 0;
}

static sw_status svrg_run(sw_estimate *e, const swo_plain_rules *rules, int64_t most, int64_t *done);

/* Of parameters whose penalty is l2. */
static double step_size_with(const sw_estimate *e, double l2) {
    const double found = e->option[LIPSCHITZ] > 0 ? e->option[LIPSCHITZ] : e->scalar[L],
                 l = (found + l2) * fmax(e->scalar[L_TIMES], 1);
    if (!(found > 0)) /* no gradient yet */
        return 0;
    switch ((int)e->option[STEP]) {
    case ONE_L: return 1 / l;
    case ONE_2L: return 1 / (2 * l);
    case ONE_4L: return 1 / (4 * l);
    default: return 1 / (3 * l);
    }
}

static double step_size(const sw_estimate *e) {
    return step_size_with(e, ((const swo_estimate *)(const void *)e)->penalty);
}

static sw_status start(sw_estimate *e) {
    ((swo_estimate *)(void *)e)->lr_with = step_size_with;
    if (e->objective->glm) {
        SW_TRY(swo_keep_squares(e));
        ((swo_estimate *)(void *)e)->run = svrg_run;
        ((swo_estimate *)(void *)e)->x_low = e->type == SW_F32 ? e->slot[X_LOW] : NULL;
    }
    e->scalar[L] = e->option[LIPSCHITZ];
    if (!isnan(e->option[LIPSCHITZ])) {
        e->lr = step_size(e);
        return SW_OK;
    }
    /* The expected smoothness of a batch without replacement (Gower, Loizou, Richtarik et al., ICML 2019), f's own L
     * being at most the mean of the L_i. */
    double curvature, sum = 0, most = 0;
    const double n = (double)e->n, b = fmin(e->option[BATCH], n);
    SW_TRY(swo_head_curvature(e, &curvature));
    for (int64_t i = 0; i < e->n; i++) {
        const double l = swo_sample_l(e, i, curvature);
        sum += l;
        most = fmax(most, l);
    }
    e->scalar[L] = n > 1 ? n * (b - 1) / (b * (n - 1)) * (sum / n) + (n - b) / (b * (n - 1)) * most : most;
    e->lr = step_size(e);
    return SW_OK;
}

/* |B| R/n, but for batches without an epoch; R of a loss that is a sum over its samples. */
static double part_of_batch(const sw_estimate *e) {
    if (e->weight == SW_SUMMED)
        return e->per_epoch > 0 ? (double)e->per_epoch : (double)e->n / (double)e->count;
    return e->per_epoch > 0 ? (double)e->count * (double)e->per_epoch / (double)e->n : 1;
}

/* What L is times after each step in which it was measured: it falls by half in two epochs of these. */
static double decay_of_l(const sw_estimate *e) {
    return exp2(-1 / fmax(2 * (double)e->per_epoch, 256));
}

static void take_l(sw_estimate *e, double met) {
    e->scalar[L] = fmax(fmax(met, e->scalar[L] * decay_of_l(e)), e->scalar[L_LEAST]);
}

/* L ← max(L less a little, what Δg = g_x - g_w shows).  Nothing shows where Δg is
 * rounding error, or where f_B bends down. */
static sw_status note_curvature(sw_estimate *e, const void *x, const void *g, const void *difference) {
    const double root = e->type == SW_F32 ? 0x1p-12 : 0x1p-26;
    void *way = sw_estimate_scratch(e, THERE, 0);
    double g_norm, change, distance;
    if (!way)
        return SW_ERR_MEMORY;
    swo_combine(e->type, e->dim, 1, x, -1, e->slot[POINT], way);
    swo_zero_frozen(e->optim, way);
    if (swo_check(e->type, e->dim, g, &g_norm) != SW_OK || swo_check(e->type, e->dim, difference, &change) != SW_OK ||
        swo_check(e->type, e->dim, way, &distance) != SW_OK)
        return SW_OK;
    /* Where f_B may bend down, a change across the way says nothing of the curvature along it. */
    const double along = swo_inner(e->optim, difference, way),
                 met = part_of_batch(e) * change * (is_glm(e) ? change / along : 1 / distance);
    if (change > root * g_norm && along > 16 * root * change * distance && isfinite(met))
        take_l(e, met);
    return SW_OK;
}

/* A curvature costs another gradient: in the first two epochs at each step, then at one in four. Few samples say little of
 * the others, and a loss whose curvature has no bound may turn steep within a step: there each step counts. */
static bool measures(const sw_estimate *e) {
    const bool unbounded = e->objective->glm && sw_head_curvature(e->objective->glm->head) == 0;
    return searches(e) && (e->step <= 2 * e->per_epoch || e->step % 4 == 0 || e->scalar[L] == 0 || e->count <= 4 ||
                           unbounded);
}

/* Memory for the gradient of the batch, where a measurement needs it. */
static sw_status keep_batch_gradient(sw_estimate *e, const void *g) {
    void *kept = sw_estimate_scratch(e, BATCH_GRADIENT, 0);
    if (!kept)
        return SW_ERR_MEMORY;
    memcpy(kept, g, (size_t)e->dim * sw_dtype_size(e->type));
    return SW_OK;
}

/* Along the step that is about to be taken, g: from the snapshot on ∇f(w) is most of it, of which Δg says nothing. */
static sw_status measure_ahead(sw_estimate *e, const void *x, const void *g) {
    double met;
    SW_TRY(swo_curvature(e, x, sw_estimate_scratch(e, BATCH_GRADIENT, 0), g, e->scalar[L], &met));
    met *= part_of_batch(e);
    if (met > e->scalar[L] && isfinite(met))
        e->scalar[L] = met;
    return SW_OK;
}

/* ---- The estimate ---- */

/* The slope of the objective at the snapshot along `way`, penalties and bounds included; NaN outside the bounds. */
static sw_status slope_along(sw_estimate *e, const void *way, double *slope) {
    void *g = sw_estimate_scratch(e, DIFFERENCE, 0);
    double norm;
    if (!g)
        return SW_ERR_MEMORY;
    memcpy(g, e->slot[FULL], (size_t)e->dim * sw_dtype_size(e->type));
    *slope = swo_penalized_norm(e->optim, e->slot[POINT], g, &norm) == SW_OK && isfinite(norm)
                 ? swo_inner(e->optim, g, way)
                 : NAN;
    return SW_OK;
}

/* Within a period x comes to a minimum but for noise, whose variance is ∝ lr. If the way from one snapshot to the next
 * leads past the minimum along that way (the objective rises at its end) noise is more than what was still to go, and
 * steps become shorter; if it ends before the minimum, longer, up to 1/L. So where samples are many and κ is small a
 * period gains an order of magnitude, and where steps of 1/L do not come far they stay. */
static void adapt_step_size(sw_estimate *e, double before, double after) {
    static const double SHORT_OF = 0.1, MOST = 64;
    double *times = &e->scalar[L_TIMES];
    *times = fmax(*times, 1);
    if (before >= 0 || after > 0)
        *times = fmin(2 * *times, MOST);
    else if (after < SHORT_OF * before)
        *times = fmax(*times / 2, 1);
}

static sw_status take_snapshot(sw_estimate *e, const void *point) {
    memcpy(e->slot[POINT], point, (size_t)e->dim * sw_dtype_size(e->type));
    if (is_glm(e))
        SW_TRY(store_derivatives(e, e->slot[FULL]));
    else
        SW_TRY(sw_estimate_gradient(e, e->slot[POINT], NULL, e->n, NULL, e->slot[FULL]));
    swo_zero_frozen(e->optim, e->slot[FULL]);
    if (e->objective->glm && searches(e)) {
        e->scalar[L_LEAST] = swo_least_l(e, e->slot[TABLE], fmin(e->option[BATCH], (double)e->n));
        e->scalar[L] = fmax(e->scalar[L], e->scalar[L_LEAST]);
    }
    return SW_OK;
}

static sw_status refresh(sw_estimate *e, const void *x) {
    const void *next = e->slot[NEXT] && e->scalar[SINCE] > 0 ? e->slot[NEXT] : x;
    double before, after;
    if (searches(e) && e->scalar[SINCE] > 0 && e->scalar[INNER] > 0) {
        void *way = sw_estimate_scratch(e, THERE, 0);
        if (!way)
            return SW_ERR_MEMORY;
        swo_combine(e->type, e->dim, 1, next, -1, e->slot[POINT], way);
        swo_zero_frozen(e->optim, way);
        SW_TRY(slope_along(e, way, &before));
        SW_TRY(take_snapshot(e, next));
        SW_TRY(slope_along(e, way, &after));
        adapt_step_size(e, before, after);
    } else {
        SW_TRY(take_snapshot(e, next));
    }
    e->scalar[SINCE] = (double)e->step; /* a skip takes it back: then both are built again */
    e->scalar[INNER] = 0;
    e->scalar[FROZEN] = frozen(e);
    return SW_OK;
}

/* g = 1/w Σ ((1 - α + αc) s_i(x) - αc s_i(w)) a_i + α full, w the weight of the batch */
static sw_status estimate_glm(sw_estimate *e, const void *x, void *g, double much) {
    const int64_t outputs = e->objective->outputs, numbers = e->count * outputs;
    const size_t row = (size_t)outputs * sw_dtype_size(e->type);
    char *s = sw_estimate_scratch(e, DERIVATIVES, 2 * numbers), *y = s ? s + (size_t)e->count * row : NULL;
    if (!s)
        return SW_ERR_MEMORY;
    if (e->scalar[STORED] == 0)
        SW_TRY(store_derivatives(e, NULL));
    SW_TRY(sw_estimate_glm(e, x, e->ids, e->count, &e->value, s));
    for (int64_t i = 0; i < e->count; i++)
        memcpy(y + (size_t)i * row, table_at(e, e->ids[i]), row);
    const double part = swo_mean_factor(e->weight);
    if (searches(e)) {
        void *difference = sw_estimate_scratch(e, DIFFERENCE, numbers > e->dim ? numbers : e->dim);
        if (!difference)
            return SW_ERR_MEMORY;
        swo_combine(e->type, numbers, part, s, 0, NULL, difference);
        SW_TRY(sw_estimate_glm_combine(e, e->ids, e->count, difference, 0, g)); /* ∇f_B(x) */
        swo_zero_frozen(e->optim, g);
        SW_TRY(keep_batch_gradient(e, g));
        void *change = sw_estimate_scratch(e, THERE, numbers > e->dim ? numbers : e->dim);
        if (!change)
            return SW_ERR_MEMORY;
        swo_combine(e->type, numbers, part, s, -part, y, change);
        SW_TRY(sw_estimate_glm_combine(e, e->ids, e->count, change, 0, difference));
        swo_zero_frozen(e->optim, difference);
        SW_TRY(note_curvature(e, x, g, difference));
    }
    const double c = much * part_of_batch(e);
    swo_combine(e->type, numbers, (1 - much + c) * part, s, -c * part, y, s);
    memcpy(g, e->slot[FULL], (size_t)e->dim * sw_dtype_size(e->type));
    return sw_estimate_glm_combine(e, e->ids, e->count, s, much, g);
}

/* c/|B|: what t counts for in g */
static double fresh_part(const sw_estimate *e) {
    return part_of_batch(e) / (double)e->count;
}

/* Along |B| times the step, for α = 1: |B| (c/|B| t + ∇f(w)) */
static sw_status measure_step(sw_estimate *e, swo_glm_visit *visit) {
    const double n = (double)e->count;
    void *t = visit->t, *direction = sw_estimate_scratch(e, DIRECTION, 0);
    if (!direction)
        return SW_ERR_MEMORY;
    swo_combine(e->type, e->dim, n * fresh_part(e), t, n, e->slot[FULL], direction);
    swo_zero_frozen(e->optim, direction);
    visit->t = direction;
    swo_glm_measure(e->type, visit);
    visit->t = t;
    return SW_OK;
}

/* The step's samples: s, t = Σ (s_i(x) - s_i(w)) [a_i, 1], and L where it is measured: along the change t, which shows the
 * largest curvature best, or along the step, which must not go too far. Single steps and loops share it, so that a
 * run does not depend on who takes which. */
static sw_status visit_batch(sw_estimate *e, swo_glm_visit *visit) {
    const int64_t outputs = e->objective->outputs;
    const size_t row = (size_t)outputs * sw_dtype_size(e->type);
    char *entry = sw_estimate_scratch(e, VISIT_ENTRY, batch_of(e) * outputs);
    if (!entry)
        return SW_ERR_MEMORY;
    const bool early = e->step <= 2 * e->per_epoch,
               unbounded = sw_head_curvature(e->objective->glm->head) == 0,
               ahead = measures(e) && (early || unbounded || e->step % 8 == 0) && e->objective->glm->dense;
    for (int64_t i = 0; i < e->count; i++)
        memcpy(entry + (size_t)i * row, table_at(e, e->ids[i]), row);
    visit->entry = entry;
    visit->ids = e->ids;
    visit->count = e->count;
    visit->measure = measures(e) && (early || unbounded || !ahead);
    visit->l = e->scalar[L];
    swo_glm_visit_row(e->type, visit);
    double met = visit->curvature;
    if (ahead) {
        visit->l = fmax(visit->l, met);
        SW_TRY(measure_step(e, visit));
        met = fmax(met, visit->curvature);
    }
    met *= part_of_batch(e);
    if (met > 0 && isfinite(met))
        take_l(e, met);
    e->lr = step_size(e);
    return SW_OK;
}

/* Samples in memory, without a tape: g = α (c/|B| t + full) + (1 - α)/|B| Σ s_i a_i */
static sw_status estimate_known(sw_estimate *e, const void *x, void *g, double much) {
    const int64_t batch = batch_of(e), numbers = batch * e->objective->outputs;
    void *s = sw_estimate_scratch(e, VISIT_S, numbers), *t = sw_estimate_scratch(e, VISIT_T, 0),
         *work = sw_estimate_scratch(e, VISIT_WORK, swo_glm_work(e, batch));
    if (!s || !t || !work)
        return SW_ERR_MEMORY;
    if (e->scalar[STORED] == 0)
        SW_TRY(store_derivatives(e, NULL));
    swo_glm_visit visit = {.f = e->objective, .x = x, .s = s, .t = t, .squares = swo_squares(e)};
    double norm;
    swo_glm_see_frozen(e, &visit);
    swo_glm_use_work(e, batch, &visit, work);
    const unsigned mode = sw_float_flush(); /* as in loops */
    const sw_status status = visit_batch(e, &visit);
    sw_float_restore(mode);
    SW_TRY(status);
    e->value = visit.loss / (double)e->count;
    e->weight = (double)e->count;
    SW_TRY(swo_check(e->type, e->count * e->objective->outputs, s, &norm));
    swo_combine(e->type, e->dim, much * fresh_part(e), t, much, e->slot[FULL], g);
    if (much == 1)
        return SW_OK;
    swo_combine(e->type, e->count * e->objective->outputs, (1 - much) / (double)e->count, s, 0, NULL, s);
    return sw_estimate_glm_combine(e, e->ids, e->count, s, 1, g);
}

/* g = ∇f_B(x) - α (∇f_B(w) - full) */
static sw_status estimate_on_tape(sw_estimate *e, const void *x, void *g, double much) {
    void *there = sw_estimate_scratch(e, THERE, 0);
    svrg_args args = {.g = g, .there = there, .full = e->slot[FULL], .alpha = much, .part = part_of_batch(e)};
    if (!there)
        return SW_ERR_MEMORY;
    SW_TRY(sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g));
    if (searches(e))
        SW_TRY(keep_batch_gradient(e, g));
    SW_TRY(sw_estimate_gradient(e, e->slot[POINT], e->ids, e->count, NULL, there));
    if (searches(e)) {
        void *difference = sw_estimate_scratch(e, DIFFERENCE, 0), *keep = sw_estimate_scratch(e, DERIVATIVES, 0);
        if (!difference || !keep)
            return SW_ERR_MEMORY;
        memcpy(keep, there, (size_t)e->dim * sw_dtype_size(e->type));
        swo_combine(e->type, e->dim, 1, g, -1, there, difference);
        SW_TRY(note_curvature(e, x, g, difference));
        args.there = keep;
    }
    sw_run(&correct_kernels, e->type, &args, e->dim);
    return SW_OK;
}

static sw_status estimate(sw_estimate *e, const void *x, void *g) {
    const double much = alpha(e);
    if (much == 0 && !searches(e))
        return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
    if (due(e))
        SW_TRY(refresh(e, x));
    if (e->objective->glm)
        return estimate_known(e, x, g, much);
    SW_TRY(is_glm(e) ? estimate_glm(e, x, g, much) : estimate_on_tape(e, x, g, much));
    if (measures(e))
        SW_TRY(measure_ahead(e, x, g));
    e->lr = step_size(e);
    return SW_OK;
}

/* ---- Many steps in one loop, over samples in memory ---- */

/* *taken is false where the step is the pipeline's to take, or to refuse: L is as before then. */
static sw_status svrg_run_step(swo_glm_loop *loop, const swo_plain_rules *rules, bool *taken) {
    sw_estimate *e = loop->e;
    sw_optim *o = e->optim;
    const double l_before = e->scalar[L];
    SW_TRY(visit_batch(e, &loop->visit));
    loop->move.sample = e->ids[0];
    loop->move.fresh = fresh_part(e);
    loop->move.old = 1;
    swo_glm_loop_move(loop, taken);
    if (!*taken && swo_glm_loop_again(loop)) {
        swo_glm_visit_row(e->type, &loop->visit);
        swo_glm_loop_move(loop, taken);
    }
    if (!*taken) {
        e->scalar[L] = l_before;
        return SW_OK;
    }
    e->scalar[INNER]++;
    o->steps++;
    o->draws++;
    o->samples += e->count;
    return rules->took(rules->user, loop->visit.loss / (double)e->count, (double)e->count);
}

/* Up to the step that takes a snapshot, which is the pipeline's. */
static sw_status svrg_run(sw_estimate *e, const swo_plain_rules *rules, int64_t most, int64_t *done) {
    sw_optim *o = e->optim;
    const int64_t batch = batch_of(e);
    swo_glm_loop loop;
    *done = 0;
    if (e->option[SNAPSHOT] != LAST || e->option[ALPHA] != 1 || e->option[OVER] > 0 || e->scalar[STORED] == 0)
        return SW_OK;
    SW_TRY(swo_glm_loop_begin(&loop, e, rules, batch, e->slot[FULL], NULL));
    if (!loop.visit.lazy) /* of one sample, too: the step that is measured is not along its row alone */
        loop.move.t = loop.visit.t = sw_estimate_scratch(e, VISIT_T, 0);
    sw_status status = SW_OK;
    bool taken = true;
    while (status == SW_OK && taken && *done < most) {
        e->step = o->steps + 1;
        if (due(e))
            break;
        const int64_t epoch = sw_sampler_epoch(e->sampler), position = sw_sampler_position(e->sampler);
        e->count = sw_sampler_next(e->sampler, &e->ids);
        status = svrg_run_step(&loop, rules, &taken);
        *done += taken;
        if (!taken && status == SW_OK) /* the batch is the pipeline's */
            status = sw_sampler_seek(e->sampler, epoch, position);
    }
    swo_glm_loop_end(&loop);
    return status;
}

/* Of a frozen parameter the mean is its value, which may be Inf: a difference of two such would be NaN. */
static void next_mean(sw_estimate *e, double weight, const void *x) {
    const size_t size = sw_dtype_size(e->type);
    swo_mean_compensated(e->type, e->dim, weight, x, e->slot[NEXT], e->slot[NEXT_LOW]);
    for (int i = 0; i < sw_params_count(e->params); i++) {
        const sw_param *p = sw_params_at(e->params, i);
        if (p->frozen && !p->tied)
            memcpy((char *)e->slot[NEXT] + (size_t)p->offset * size, (const char *)x + (size_t)p->offset * size,
                   (size_t)p->count * size);
    }
    swo_zero_frozen(e->optim, e->slot[NEXT_LOW]);
}

/* `next` is the mean of the period's iterates so far, or each of them with equal probability. */
static sw_status commit(sw_estimate *e) {
    const double k = ++e->scalar[INNER];
    const void *x = sw_params_x(e->params);
    sw_rng rng = {.key = sw_rng_key(e->seed ^ (uint64_t)e->step, "svrg")};
    if (e->option[SNAPSHOT] == MEAN)
        next_mean(e, 1 / k, x);
    else if (e->option[SNAPSHOT] == RANDOM && sw_rng_uniform(&rng) * k < 1)
        memcpy(e->slot[NEXT], x, (size_t)e->dim * sw_dtype_size(e->type));
    return SW_OK;
}

const sw_estimator swo_svrg = {.size = sizeof(sw_estimator), .name = "svrg",
                               .summary = "a batch's gradient, corrected by that at a snapshot",
                               .source = "Johnson, Zhang, NIPS 2013", .options = options, .slots = slots,
                               .scalars = scalars, .flags = SW_ESTIMATOR_OBJECTIVE, .start = start, .sample = sample,
                               .added_scalars = 4,
                               .cost = "2 gradients of a batch, and one of all n samples every period",
                               .estimate = estimate, .commit = commit};

#endif
