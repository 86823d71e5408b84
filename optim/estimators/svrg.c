/* SVRG, the stochastic variance-reduced gradient (R. Johnson, T. Zhang, NIPS 2013):
 *     g = ∇f_B(x) - α (∇f_B(w) - ∇f(w))    for α = 1: ∇f(w) + ∇f_B(x) - ∇f_B(w)
 * w is a snapshot of x, which is taken every `period` steps together with its full gradient. α = 1 is unbiased. For
 * deep networks, a smaller α that decreases to 0 (Yin et al., A coefficient makes SVRG effective, 2023) reduces the
 * weight of an outdated correction.
 *
 * The last batch of an epoch may have fewer samples. Its part ∇f_B(x) - ∇f_B(w) is multiplied by c = |B| R/n, with R
 * batches per epoch, so that each sample has the same weight and the mean over the batches is ∇f(x). For losses that
 * are sums, c = R.
 *
 * The snapshot is the iterate at the end of a period, a random one of its iterates, or their mean. x is not reset to
 * the snapshot (Allen-Zhu, Yuan, ICML 2016), because estimators do not change x.
 *
 * The mean of the correction over B is 0 only if the full gradient used the same dropout masks and augmentation. With
 * replay=period, one draw of random numbers is used for a whole period (Defazio, Bottou, 2018, "locking"). With
 * replay=step, each step has a different draw, the same for x and w. Running statistics are updated at x only. If
 * batches have different weights (ignored ids, class weights), ∇f_B is the mean over the batch and ∇f the mean by
 * weight. The fixed point is then still the minimum of f, but g is unbiased only at x = w.
 *
 * For a generalized linear model (sw_objective), ∇f_i(w) = s_i a_iᵀ: the n·outputs numbers s_i are stored, and the
 * gradient at w is not evaluated again.
 *
 * lr=auto is 1/L or another step size (step=; theorems need smaller ones, such as 1/(3L), with L of the rows). L is
 * given, computed from the rows (lipschitz=auto), or measured during the run: with Δg = ∇f_B(x) - ∇f_B(w), L is at
 * least ‖Δg‖²/⟨Δg, x - w⟩ if f_B is convex, and at least ‖Δg‖/‖x - w‖ for any f_B. See svrg_step_size.c.
 */
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct svrg_args {
    void *g;
    const void *there, *full;
    double alpha, part; /* α, c */
} svrg_args;
#endif

#if SW_KERNEL_PASS

/* g ← (1 - α) g + α (c (g - there) + full) */
static void SW_K(svrg_correct)(void *args, int64_t begin, int64_t end, double *sums) {
    const svrg_args *s = args;
    real *restrict g = s->g;
    const real *restrict there = s->there, *restrict full = s->full;
    const real alpha = (real)s->alpha, part = (real)s->part, rest = 1 - alpha;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        g[i] = rest * g[i] + alpha * (part * (g[i] - there[i]) + full[i]);
}

#else

#include "optim/estimators/svrg.h"
#include "optim/estimators/estimators.h"
#include "optim/estimators/lipschitz_constants.h"

#include <math.h>

static const sw_kernels correct_kernels = SW_KERNEL_TABLE(svrg_correct);

/* clang-format off */
static const sw_option svrg_options[] = {
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 0, .low = 0, .high = 1e9,
     .help = "samples in a step; 0: 64, or 1 for sparse rows of a generalized linear model in memory",
     .search_low = 16, .search_high = 512, .search_log = true},
    ORDER_ROW,
    {.name = "period", .kind = SW_OPTION_DURATION, .value = 0,
     .help = "time between snapshots; 0: 2n samples"},
    {.name = "snapshot", .kind = SW_OPTION_CHOICE, .choices = "last|random|mean",
     .help = "the iterate of the period that becomes the snapshot"},
    {.name = "alpha", .kind = SW_OPTION_REAL, .value = 1, .low = 0, .high = 1,
     .help = "factor of the correction"},
    {.name = "over", .kind = SW_OPTION_DURATION, .value = 0,
     .help = "time in which alpha falls to 0; 0: alpha is constant"},
    {.name = "replay", .kind = SW_OPTION_CHOICE, .choices = "period|step",
     .help = "time for which dropout and augmentation draw the same numbers"},
    {.name = "step", .kind = SW_OPTION_CHOICE, .value = ONE_L, .choices = "1/(3L)|1/L|1/(2L)|1/(4L)",
     .help = "the step size for lr=auto; L includes the penalty"},
    {.name = "lipschitz", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e300, .open = SW_OPTION_AUTO,
     .help = "L of a batch's gradient; auto: from the rows of a generalized linear model with a known loss; 0: "
             "measured if lr=auto"},
    SHARDS_ROW,
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(swo_svrg_options, svrg_options);

static bool svrg_has_next(const double *option) {
    return SW_OPTIONS_AS(option, swo_svrg_options)->snapshot != LAST;
}

static bool svrg_has_mean(const double *option) {
    return SW_OPTIONS_AS(option, swo_svrg_options)->snapshot == MEAN;
}

static int64_t svrg_table_size(const sw_slot_sizes *s) {
    return s->features > 0 ? s->n * s->outputs : 0;
}

static const sw_slot svrg_slots[] = {{.name = "snapshot"},
                                     {.name = "full"},
                                     {.name = "next", .needed = svrg_has_next},
                                     {.name = "next_low", .needed = svrg_has_mean, .added = true},
                                     {.name = "table", .count = svrg_table_size, .added = true},
                                     {.name = "x_low", .count = swo_x_low_size, .added = true},
                                     {0}};
SW_MATCH_SLOTS(swo_svrg_slots, svrg_slots);

static const char *const svrg_scalars[] = {"since", "inner",  "draw_high", "draw_low", "frozen",
                                           "L",     "stored", "L_least",   "divisor",  NULL};
SW_MATCH_SCALARS(swo_svrg_scalars, svrg_scalars);
enum { SVRG_ADDED_SCALARS = 4 };
#define SVRG_WHOLE(field) SW_WHOLE_SCALAR(swo_svrg_scalars, field)
#define SVRG_WHOLE_SCALARS                                                                                       \
    (SVRG_WHOLE(since) | SVRG_WHOLE(inner) | SVRG_WHOLE(draw_high) | SVRG_WHOLE(draw_low) | SVRG_WHOLE(frozen) | \
     SVRG_WHOLE(table_filled))

/* Over sparse rows in memory a step costs O(nonzeros), and batches have no advantage. */
static int64_t svrg_choose_batch(const sw_estimate *e) {
    return e->objective->glm && e->objective->glm->sparse ? 1 : 64;
}

static bool svrg_is_glm(const sw_estimate *e) {
    return sw_objective_is_glm(e->objective);
}

/* α of this step */
static double svrg_alpha(const sw_estimate *e) {
    const swo_svrg_options *o = swo_svrg_options_of(e);
    const double rest = o->over > 0 ? 1 - (double)(e->step - 1) / o->over : 1;
    return o->alpha * (rest > 0 ? rest : 0);
}

static sw_status svrg_sample(sw_estimate *e) {
    swo_svrg_scalars *s = swo_svrg_scalars_of(e);
    e->count = sw_sampler_next(e->sampler, &e->ids);
    if (swo_svrg_options_of(e)->replay == REPLAY_STEP)
        return SW_OK;
    if (swo_svrg_due(e)) {
        s->draw_high = (int64_t)(e->draw >> 32);
        s->draw_low = (int64_t)(uint32_t)e->draw;
    }
    e->draw = (uint64_t)s->draw_high << 32 | (uint64_t)s->draw_low;
    return SW_OK;
}

static sw_status svrg_start(sw_estimate *e) {
    const double lipschitz = swo_svrg_options_of(e)->lipschitz, shards = swo_svrg_options_of(e)->shards;
    if (shards > 1 && svrg_is_glm(e))
        return sw_fail(
            SW_ERR_ARGUMENT,
            "svrg: shards=%g for a generalized linear model, whose batches are combined from derivatives and "
            "not from gradients; leave shards out",
            shards);
    e->own = sw_estimate_memory(e, GLM_MEMORY_OWN, sizeof(swo_glm_own));
    if (!e->own)
        return SW_ERR_MEMORY;
    if (e->objective->glm)
        SW_TRY(swo_use_samples(e, swo_svrg_slots_of(e)->x_low));
    swo_svrg_scalars_of(e)->l = lipschitz;
    if (isnan(lipschitz))
        SW_TRY(swo_svrg_l_of_rows(e));
    e->lr = swo_svrg_step_size(e);
    return SW_OK;
}

/* ---- The snapshot ---- */

/* Computes the slope of the objective at the snapshot along `way`, including penalties and bounds; NaN if the snapshot
 * is outside the bounds. */
static sw_status svrg_slope_along(sw_estimate *e, const void *way, double *slope) {
    const swo_svrg_slots *slots = swo_svrg_slots_of(e);
    void *g = sw_estimate_scratch(e, DIFFERENCE, 0);
    double norm;
    if (!g)
        return SW_ERR_MEMORY;
    memcpy(g, slots->full, (size_t)e->dim * sw_dtype_size(e->type));
    *slope = sw_estimate_penalized_norm(e, slots->snapshot, g, &norm) == SW_OK && isfinite(norm)
                 ? sw_vector_dot(e->type, e->dim, g, way)
                 : NAN;
    return SW_OK;
}

/* Sets w to the point, and computes ∇f(w). */
static sw_status svrg_take_snapshot(sw_estimate *e, const void *point) {
    const swo_svrg_slots *slots = swo_svrg_slots_of(e);
    swo_svrg_scalars *s = swo_svrg_scalars_of(e);
    memcpy(slots->snapshot, point, (size_t)e->dim * sw_dtype_size(e->type));
    if (svrg_is_glm(e))
        SW_TRY(swo_svrg_store(e, slots->full));
    else
        SW_TRY(sw_estimate_gradient(e, slots->snapshot, NULL, e->n, NULL, slots->full));
    sw_estimate_zero_frozen(e, slots->full);
    if (e->objective->glm && swo_svrg_searches(e)) {
        s->l_least = swo_least_l(e, slots->table, fmin(swo_svrg_options_of(e)->batch, (double)e->n));
        s->l = fmax(s->l, s->l_least);
    }
    return SW_OK;
}

/* Whether x has changed by more than its rounding error. It has not if all steps were skipped, or if the snapshot is a
 * minimum. */
static bool svrg_change_exceeds_rounding(const sw_estimate *e, const void *x, const void *way) {
    const double least = e->type == SW_F32 ? 0x1p-20 : 0x1p-46;
    double whole, norm;
    return sw_vector_norm(e->type, e->dim, x, &whole) == SW_OK &&
           sw_vector_norm(e->type, e->dim, way, &norm) == SW_OK && norm > least * whole;
}

/* Takes a new snapshot, and updates the divisor of lr from the line between the last snapshot and this one. */
static sw_status svrg_refresh(sw_estimate *e, const void *x) {
    const swo_svrg_slots *slots = swo_svrg_slots_of(e);
    swo_svrg_scalars *s = swo_svrg_scalars_of(e);
    const void *next = slots->next && s->since > 0 ? slots->next : x;
    double before, after;
    if (swo_svrg_searches(e) && s->since > 0 && s->inner > 0) {
        void *way = sw_estimate_scratch(e, THERE, 0);
        if (!way)
            return SW_ERR_MEMORY;
        sw_vector_axpby(e->type, e->dim, 1, next, -1, slots->snapshot, way);
        sw_estimate_zero_frozen(e, way);
        const bool adapts = svrg_change_exceeds_rounding(e, next, way);
        SW_TRY(svrg_slope_along(e, way, &before));
        SW_TRY(svrg_take_snapshot(e, next));
        SW_TRY(svrg_slope_along(e, way, &after));
        if (adapts)
            swo_svrg_adapt(e, before, after);
    } else {
        SW_TRY(svrg_take_snapshot(e, next));
    }
    s->since = e->step; /* a skipped step restores `since`, and w and ∇f(w) are then computed again */
    s->inner = 0;
    s->frozen = sw_estimate_frozen_set(e);
    return SW_OK;
}

/* ---- The estimate ---- */

/* g = 1/w Σ ((1 - α + αc) s_i(x) - αc s_i(w)) a_i + α full, where w is the weight of the batch */
static sw_status svrg_estimate_glm(sw_estimate *e, const void *x, void *g, double much) {
    const int64_t outputs = e->objective->outputs, numbers = e->count * outputs;
    const size_t row = (size_t)outputs * sw_dtype_size(e->type);
    char *s = sw_estimate_scratch(e, DERIVATIVES, 2 * numbers), *y = s ? s + (size_t)e->count * row : NULL;
    if (!s)
        return SW_ERR_MEMORY;
    if (swo_svrg_scalars_of(e)->table_filled == 0)
        SW_TRY(swo_svrg_store(e, NULL));
    SW_TRY(sw_estimate_glm_derivatives(e, x, e->ids, e->count, &e->value, s));
    for (int64_t i = 0; i < e->count; i++)
        memcpy(y + (size_t)i * row, swo_svrg_entry(e, e->ids[i]), row);
    const double part = swo_mean_factor(e->weight);
    if (swo_svrg_searches(e)) {
        void *difference = sw_estimate_scratch(e, DIFFERENCE, numbers > e->dim ? numbers : e->dim);
        if (!difference)
            return SW_ERR_MEMORY;
        sw_vector_axpby(e->type, numbers, part, s, 0, NULL, difference);
        SW_TRY(sw_estimate_glm_combine(e, e->ids, e->count, difference, 0, g)); /* ∇f_B(x) */
        sw_estimate_zero_frozen(e, g);
        SW_TRY(swo_svrg_keep_batch_gradient(e, g));
        void *change = sw_estimate_scratch(e, THERE, numbers > e->dim ? numbers : e->dim);
        if (!change)
            return SW_ERR_MEMORY;
        sw_vector_axpby(e->type, numbers, part, s, -part, y, change);
        SW_TRY(sw_estimate_glm_combine(e, e->ids, e->count, change, 0, difference));
        sw_estimate_zero_frozen(e, difference);
        SW_TRY(swo_svrg_note_curvature(e, x, g, difference));
    }
    const double c = much * swo_svrg_part(e);
    sw_vector_axpby(e->type, numbers, (1 - much + c) * part, s, -c * part, y, s);
    memcpy(g, swo_svrg_slots_of(e)->full, (size_t)e->dim * sw_dtype_size(e->type));
    return sw_estimate_glm_combine(e, e->ids, e->count, s, much, g);
}

/* g = ∇f_B(x) - α (∇f_B(w) - full) */
static sw_status svrg_estimate_on_tape(sw_estimate *e, const void *x, void *g, double much) {
    void *there = sw_estimate_scratch(e, THERE, 0);
    svrg_args args = {.g = g, .there = there, .full = swo_svrg_slots_of(e)->full, .alpha = much};
    if (!there)
        return SW_ERR_MEMORY;
    SW_TRY(sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g));
    args.part = swo_svrg_part(e); /* the weight of the loss, which it needs, is known here */
    if (swo_svrg_searches(e))
        SW_TRY(swo_svrg_keep_batch_gradient(e, g));
    SW_TRY(sw_estimate_gradient(e, swo_svrg_slots_of(e)->snapshot, e->ids, e->count, NULL, there));
    if (swo_svrg_searches(e)) {
        void *difference = sw_estimate_scratch(e, DIFFERENCE, 0), *keep = sw_estimate_scratch(e, DERIVATIVES, 0);
        if (!difference || !keep)
            return SW_ERR_MEMORY;
        memcpy(keep, there, (size_t)e->dim * sw_dtype_size(e->type));
        sw_vector_axpby(e->type, e->dim, 1, g, -1, there, difference);
        SW_TRY(swo_svrg_note_curvature(e, x, g, difference));
        args.there = keep;
    }
    sw_kernel_run(&correct_kernels, e->type, &args, e->dim);
    return SW_OK;
}

static sw_status svrg_estimate(sw_estimate *e, const void *x, void *g) {
    const double much = svrg_alpha(e);
    if (much == 0 && !swo_svrg_searches(e))
        return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
    if (swo_svrg_due(e))
        SW_TRY(svrg_refresh(e, x));
    if (e->objective->glm)
        return swo_svrg_estimate_in_memory(e, x, g, much);
    SW_TRY(svrg_is_glm(e) ? svrg_estimate_glm(e, x, g, much) : svrg_estimate_on_tape(e, x, g, much));
    if (swo_svrg_measures(e))
        SW_TRY(swo_svrg_measure_ahead(e, x, g));
    e->lr = swo_svrg_step_size(e);
    return SW_OK;
}

/* Updates the mean of the iterates. For a frozen parameter it is the value, which may be Inf: the difference of two
 * such values would be NaN. */
static void svrg_next_mean(sw_estimate *e, double weight, const void *x) {
    const swo_svrg_slots *slots = swo_svrg_slots_of(e);
    const size_t size = sw_dtype_size(e->type);
    sw_vector_mean_compensated(e->type, e->dim, weight, x, slots->next, slots->next_low);
    for (int i = 0; i < sw_params_count(e->params); i++) {
        const sw_param *p = sw_params_at(e->params, i);
        if (p->frozen && !p->tied)
            memcpy((char *)slots->next + (size_t)p->offset * size, (const char *)x + (size_t)p->offset * size,
                   (size_t)p->count * size);
    }
    sw_estimate_zero_frozen(e, slots->next_low);
}

/* Updates `next`: the mean of the iterates of the period, or one of them, each with equal probability. */
static sw_status svrg_commit(sw_estimate *e) {
    const double k = (double)++swo_svrg_scalars_of(e)->inner;
    const void *x = sw_params_x(e->params);
    sw_rng rng = {.key = sw_rng_key(e->seed ^ (uint64_t)e->step, "svrg")};
    if (swo_svrg_options_of(e)->snapshot == MEAN)
        svrg_next_mean(e, 1 / k, x);
    else if (swo_svrg_options_of(e)->snapshot == RANDOM && sw_rng_uniform(&rng) * k < 1)
        memcpy(swo_svrg_slots_of(e)->next, x, (size_t)e->dim * sw_dtype_size(e->type));
    return SW_OK;
}

const sw_estimator swo_svrg = {.size = sizeof(sw_estimator),
                               .name = "svrg",
                               .summary = "the gradient of a batch, corrected by its gradient at a snapshot",
                               .source = "Johnson, Zhang, NIPS 2013",
                               .options = svrg_options,
                               .slots = svrg_slots,
                               .scalars = svrg_scalars,
                               .flags = SW_ESTIMATOR_OBJECTIVE,
                               .start = svrg_start,
                               .sample = svrg_sample,
                               .added_scalars = SVRG_ADDED_SCALARS,
                               .cost = "2 gradients of a batch, and one of all n samples every period",
                               .estimate = svrg_estimate,
                               .commit = svrg_commit,
                               .whole_scalars = SVRG_WHOLE_SCALARS,
                               .choose_batch = svrg_choose_batch,
                               .lr_with = swo_svrg_step_size_with,
                               .run = swo_svrg_run};

#endif
