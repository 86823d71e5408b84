/* SVRG, the stochastic variance-reduced gradient (R. Johnson, T. Zhang, NIPS 2013):
 *     g = ∇f_B(x) - α (∇f_B(w) - ∇f(w))
 * w a snapshot of x, taken anew every `period` steps with its full gradient. α = 1 is unbiased; for deep
 * networks a smaller α that goes to 0 (Yin et al., A coefficient makes SVRG effective, 2023) takes less of
 * a correction that is no longer of this x.
 *
 * The snapshot is the iterate at the end of a period, one of its iterates by lot, or their mean. x itself
 * goes on from where it is (Allen-Zhu, Yuan, ICML 2016), since estimators do not move it.
 *
 * The correction's mean over B is 0 only if the full gradient saw the same dropout masks and augmentation:
 * with replay=period one draw of random numbers serves a whole period (Defazio, Bottou, 2018, "locking");
 * with replay=step each step has its own draw, the same for x and w. Running statistics see x only. Where batches
 * weigh differently (ignored ids, class weights) ∇f_B is the batch's own mean and ∇f that by weight: the fixed point
 * is the minimum of f all the same, but g is unbiased only at x = w.
 */
#define SW_KERNEL_FILE "estimators/svrg.c"
#include "kernel.h"

#ifndef SVRG_ARGS
#define SVRG_ARGS
typedef struct svrg_args {
    void *g;
    const void *there, *full;
    double alpha;
} svrg_args;
#endif

#if SW_KERNEL_PASS

/* g ← g - α (there - full) */
static void SW_K(correct)(void *args, int64_t begin, int64_t end, double *sums) {
    const svrg_args *s = args;
    real *restrict g = s->g;
    const real *restrict there = s->there, *restrict full = s->full;
    const real alpha = (real)s->alpha;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        g[i] -= alpha * (there[i] - full[i]);
}

#else

#include "../internal.h"
#include "../methods.h"

#include <math.h>

static const sw_kernels correct_kernels = SW_KERNEL_TABLE(correct);

enum { BATCH, ORDER, PERIOD, SNAPSHOT, ALPHA, OVER, REPLAY };
enum { LAST, RANDOM, MEAN };                  /* SNAPSHOT */
enum { POINT, FULL, NEXT, NEXT_LOW };         /* slots */
enum { SINCE, INNER, DRAW_HIGH, DRAW_LOW, FROZEN }; /* scalars */

static const sw_option options[] = {
    BATCH_ROWS,
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
    {0}};

static bool has_next(const double *option) {
    return option[SNAPSHOT] != LAST;
}

static bool has_mean(const double *option) {
    return option[SNAPSHOT] == MEAN;
}

/* `since`: the step that took the snapshot, 0 for none. `inner`: steps since then. The draw of the
 * period in two halves, each exact in f64. `frozen`: which parameters were, as a number. */
static const char *const scalars[] = {"since", "inner", "draw_high", "draw_low", "frozen", NULL};
static const sw_slot slots[] = {{.name = "snapshot"}, {.name = "full"},
                                {.name = "next", .needed = has_next},
                                {.name = "next_low", .needed = has_mean, .added = true}, {0}};

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

static sw_status refresh(sw_estimate *e, const void *x) {
    const bool chosen = e->slot[NEXT] && e->scalar[SINCE] > 0;
    memcpy(e->slot[POINT], chosen ? e->slot[NEXT] : x, (size_t)e->dim * sw_dtype_size(e->type));
    SW_TRY(sw_estimate_gradient(e, e->slot[POINT], NULL, e->n, NULL, e->slot[FULL]));
    e->scalar[SINCE] = (double)e->step; /* a skip takes it back: then both are built again */
    e->scalar[INNER] = 0;
    e->scalar[FROZEN] = frozen(e);
    return SW_OK;
}

static sw_status estimate(sw_estimate *e, const void *x, void *g) {
    void *there = sw_estimate_scratch(e, 0, 0);
    svrg_args args = {.g = g, .there = there, .full = e->slot[FULL], .alpha = alpha(e)};
    if (!there)
        return SW_ERR_MEMORY;
    if (args.alpha == 0)
        return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
    if (due(e))
        SW_TRY(refresh(e, x));
    SW_TRY(sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g));
    SW_TRY(sw_estimate_gradient(e, e->slot[POINT], e->ids, e->count, NULL, there));
    sw_run(&correct_kernels, e->type, &args, e->dim);
    return SW_OK;
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
                               .scalars = scalars, .flags = SW_ESTIMATOR_OBJECTIVE, .sample = sample,
                               .cost = "2 gradients of a batch, and one of all n samples every period",
                               .estimate = estimate, .commit = commit};

#endif
