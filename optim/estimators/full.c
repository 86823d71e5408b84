/* Full gradient: g = 1/n Σ ∇f_i(x) over all samples in every step, in chunks. With the rule sgd it is gradient
 * descent. The only noise is that of random operations such as dropout.
 *
 * lr=auto is 1/(L + λ), with the penalty λ that the rule adds and a Lipschitz constant L of ∇f. L is the option
 * lipschitz, or an estimate from the gradients of the steps. Between the point of the last gradient and this one, x
 * changed by Δx and g by Δg:
 *     ‖Δg‖/‖Δx‖ ≤ ℓ = ‖Δg‖²/⟨Δg, Δx⟩ ≤ L      for a convex f (Baillon, Haddad 1977; ‖Δg‖/‖Δx‖ ≤ L for all f)
 * L is the largest ℓ so far. It decays by half in HALF_LIFE steps, but not below the newest ℓ. All these are lower
 * bounds, so that the step may be too long for a direction in which x has hardly changed yet. Then x moves away from
 * the minimum in that direction. Its part of Δx grows from step to step, until ℓ is its curvature, and the step is
 * short enough. For an f that is not convex, ⟨Δg, Δx⟩ may be near 0 or negative. ℓ is therefore limited to
 * MOST_OF_RATIO ‖Δg‖/‖Δx‖.
 *
 * In the first step there is no Δx, and a second gradient is evaluated at x - t g. t is accepted if ‖Δg‖ is at least
 * √ε ‖g‖, so that rounding errors are negligible, and at most 2 ‖g‖, so that the curvature is that near x; otherwise
 * another t is tried. Then the gradient at the end of the step is evaluated. If it shows a larger curvature, L grows.
 *
 * All comparisons are relative: x, f and the data may have any scale. If f has random numbers, for example from
 * dropout, Δg is noise that does not become smaller with Δx, and L grows without limit: lr must be set in this case.
 */
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct secant_args {
    const void *x, *x_before, *g, *g_before;
} secant_args;
enum { MOVE_MOVE, SLOPE_MOVE, SLOPE_SLOPE, X_X, SECANT_SUMS }; /* ⟨Δx, Δx⟩, ⟨Δg, Δx⟩, ⟨Δg, Δg⟩, ⟨x, x⟩ */
#endif

#if SW_KERNEL_PASS

static void SW_K(full_secant)(void *args, int64_t begin, int64_t end, double *sums) {
    const secant_args *s = args;
    const real *x = s->x, *x_before = s->x_before, *g = s->g, *g_before = s->g_before;
    for (int64_t i = begin; i < end; i++) {
        const double move = (double)x[i] - (double)x_before[i], slope = (double)g[i] - (double)g_before[i];
        sums[MOVE_MOVE] += move * move;
        sums[SLOPE_MOVE] += slope * move;
        sums[SLOPE_SLOPE] += slope * slope;
        sums[X_X] += (double)x[i] * (double)x[i];
    }
}

#else

#include "optim/estimators/estimators.h"

#include <math.h>

static const sw_kernels secant_kernels = SW_KERNEL_TABLE(full_secant);

typedef struct full_options {
    double lipschitz, l2, shards;
} full_options;
typedef struct full_slots {
    void *last_x, *last_gradient; /* of the last step; `commit` copies the new ones from scratch 0 and 1 */
} full_slots;
enum { LAST_X, LAST_GRADIENT };
typedef struct full_scalars {
    double l;         /* L */
    int64_t measured; /* 1: L was measured from a Δx */
    int64_t seen;     /* 1: the slots contain x and the gradient of a step */
    int64_t frozen;   /* the set of frozen parameters in that step */
} full_scalars;
static const double HALF_LIFE = 100, MOST_OF_RATIO = 8, CONFIRMED = 1.25;
enum { TRIALS = 10, CONFIRMATIONS = 60 };

/* clang-format off */
static const sw_option full_option_table[] = {
    {.name = "lipschitz", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e300,
     .help = "L, the Lipschitz constant of the gradient; 0: measured if lr=auto"},
    {.name = "l2", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e300,
     .help = "the rule's weight_decay; not needed, and a different number is an error"},
    SHARDS_ROW,
    {0}};
/* clang-format on */

SW_MATCH_OPTIONS(full_options, full_option_table);

static const char *const full_scalar_names[] = {"L", "measured", "seen", "frozen", NULL};
SW_MATCH_SCALARS(full_scalars, full_scalar_names);
enum { FULL_ADDED_SCALARS = 4 };

/* full_start makes these slots if a rule has lr=auto. */
static bool full_never(const double *option) {
    (void)option;
    return false;
}
/* With `added`, a file of a run without these slots can be loaded by a run with lr=auto: `seen` is 0 in it. */
static const sw_slot full_slot_table[] = {{.name = "last_x", .needed = full_never, .added = true},
                                          {.name = "last_gradient", .needed = full_never, .added = true},
                                          {0}};
SW_MATCH_SLOTS(full_slots, full_slot_table);

static const full_options *full_options_of(const sw_estimate *e) {
    return SW_OPTIONS_AS(e->option, full_options);
}

static const full_slots *full_slots_of(const sw_estimate *e) {
    return SW_STEP_SLOTS(e, full_slots);
}

static full_scalars *full_scalars_of(const sw_estimate *e) {
    return SW_SCALARS_AS(e->scalar, full_scalars);
}

static double full_step_size(const sw_estimate *e, double l) {
    return 1 / (l + sw_estimate_penalty_now(e));
}

static sw_status full_start(sw_estimate *e) {
    const full_options *o = full_options_of(e);
    e->per_epoch = 1;
    SW_TRY(sw_estimate_check_penalty(e, o->l2));
    if (o->lipschitz > 0)
        e->lr = full_step_size(e, o->lipschitz);
    e->passes_g = !e->wants_lr || o->lipschitz > 0;
    if (e->passes_g)
        return SW_OK;
    SW_TRY(sw_estimate_make_slot(e, LAST_X));
    return sw_estimate_make_slot(e, LAST_GRADIENT);
}

/* ---- Secants ---- */

/* Computes the sums without frozen parameters, which may contain Inf. */
static void full_secant_of(const sw_estimate *e, const void *x, const void *x_before, const void *g,
                           const void *g_before, double sums[SECANT_SUMS]) {
    memset(sums, 0, SECANT_SUMS * sizeof *sums);
    for (int k = 0; k < sw_params_count(e->params); k++) {
        const sw_param *p = sw_params_at(e->params, k);
        const size_t at = (size_t)p->offset * sw_dtype_size(e->type);
        secant_args args = {(const char *)x + at, (const char *)x_before + at, (const char *)g + at,
                            (const char *)g_before + at};
        double part[SECANT_SUMS];
        if (p->frozen || p->tied)
            continue;
        sw_kernel_run_sums(&secant_kernels, e->type, &args, p->count, SECANT_SUMS, part);
        for (int i = 0; i < SECANT_SUMS; i++)
            sums[i] += part[i];
    }
}

/* ℓ, or 0 if it is not finite. */
static double full_curvature_of(const double sums[SECANT_SUMS]) {
    const double ratio = sqrt(sums[SLOPE_SLOPE] / sums[MOVE_MOVE]);
    const double convex = sums[SLOPE_SLOPE] / sums[SLOPE_MOVE],
                 l = sums[SLOPE_MOVE] > 0 ? fmin(convex, MOST_OF_RATIO * ratio) : ratio;
    return isfinite(l) ? l : 0;
}

static double full_epsilon(const sw_estimate *e) {
    return e->type == SW_F32 ? 0x1p-23 : 0x1p-52;
}

/* Updates L. If Δx is near the rounding error of x, Δg is near that of g, and their quotient is noise and is not
 * used. */
static void full_measure(sw_estimate *e, const void *x, const void *g) {
    full_scalars *s = full_scalars_of(e);
    double sums[SECANT_SUMS];
    full_secant_of(e, x, full_slots_of(e)->last_x, g, full_slots_of(e)->last_gradient, sums);
    const double l = full_curvature_of(sums), least = pow(full_epsilon(e), 4.0 / 3);
    if (!(l > 0 && sums[MOVE_MOVE] > least * sums[X_X]))
        return;
    s->l = s->measured != 0 ? fmax(l, s->l * exp2(-1 / HALF_LIFE)) : l;
    s->measured = 1;
}

/* ---- The first step ---- */

static bool full_is_positive(double t) {
    return t > 0 && isfinite(t);
}

/* The first t: x - t g is near x, or, if x = 0, it is the point at which f would be 0 if it were linear. */
static double full_first_trial(const sw_estimate *e, const void *x, const void *g, double norm) {
    double sums[SECANT_SUMS];
    full_secant_of(e, x, x, g, g, sums);
    const double near_x = sqrt(sums[X_X]) / norm / 64, to_zero = fabs(e->value) / norm / norm;
    return full_is_positive(near_x)     ? near_x
           : full_is_positive(to_zero)  ? to_zero
           : full_is_positive(1 / norm) ? 1 / norm
                                        : 1;
}

/* Measures L from a gradient at x - t g. If it cannot be measured, for example if f is linear, L is 1/t with the first
 * t. */
static sw_status full_probe(sw_estimate *e, const void *x, const void *g, double norm) {
    full_scalars *s = full_scalars_of(e);
    const double least = sqrt(full_epsilon(e));
    void *there = sw_estimate_scratch(e, 0, 0), *slope = sw_estimate_scratch(e, 1, 0);
    double t = full_first_trial(e, x, g, norm), too_short = 0, too_long = INFINITY;
    if (!there || !slope)
        return SW_ERR_MEMORY;
    s->l = 1 / t;
    for (int i = 0; i < TRIALS && full_is_positive(t); i++) {
        double sums[SECANT_SUMS], change = INFINITY; /* ‖Δg‖/‖g‖ */
        sw_vector_axpby(e->type, e->dim, 1, x, -t, g, there);
        const sw_status status = sw_estimate_gradient(e, there, NULL, e->n, NULL, slope);
        if (status != SW_OK && status != SW_SKIPPED)
            return status;
        if (status == SW_OK) {
            full_secant_of(e, there, x, slope, g, sums);
            change = sqrt(sums[SLOPE_SLOPE]) / norm;
            const double l = full_curvature_of(sums);
            if (l > 0 && change >= least) {
                s->l = l;
                s->measured = 1;
            }
        }
        if (change >= least && change <= 2)
            return SW_OK;
        if (change < least) {
            too_short = t;
            t *= fmin(1 / change, 1 / least);
        } else {
            too_long = t;
            t *= fmax(isfinite(change) ? 1 / change : 0, least);
        }
        if (!(t > too_short && t < too_long))
            t = sqrt(too_short) * sqrt(too_long);
    }
    return SW_OK;
}

/* The step of 1/(L + λ) may be longer than the trial, and lead to a point where the curvature is much larger, as for
 * e^x. L therefore grows, at most by a factor of 2 per trial, until it is at least the curvature over its step. */
static sw_status full_confirm(sw_estimate *e, const void *x, const void *g) {
    full_scalars *s = full_scalars_of(e);
    void *there = sw_estimate_scratch(e, 0, 0), *slope = sw_estimate_scratch(e, 1, 0);
    if (!there || !slope)
        return SW_ERR_MEMORY;
    for (int i = 0; i < CONFIRMATIONS && s->measured != 0; i++) {
        double sums[SECANT_SUMS], met = INFINITY;
        sw_vector_axpby(e->type, e->dim, 1, x, -full_step_size(e, s->l), g, there);
        const sw_status status = sw_estimate_gradient(e, there, NULL, e->n, NULL, slope);
        if (status != SW_OK && status != SW_SKIPPED)
            return status;
        if (status == SW_OK) {
            full_secant_of(e, there, x, slope, g, sums);
            met = full_curvature_of(sums);
        }
        if (met <= CONFIRMED * s->l)
            break;
        s->l = fmin(met, 2 * s->l);
    }
    return SW_OK;
}

/* ---- The estimate ---- */

static sw_status full_propose(sw_estimate *e, const void *x, const void *g) {
    full_scalars *s = full_scalars_of(e);
    const size_t bytes = (size_t)e->dim * sw_dtype_size(e->type);
    const int64_t frozen = sw_estimate_frozen_set(e);
    const double norm = e->gradient_norm;
    if (s->l == 0 && norm > 0) {
        SW_TRY(full_probe(e, x, g, norm));
        SW_TRY(full_confirm(e, x, g));
    } else if (s->seen != 0 && s->frozen == frozen)
        full_measure(e, x, g);
    e->gradient_norm = norm;                        /* the norm of g, not that of a trial */
    e->lr = s->l > 0 ? full_step_size(e, s->l) : 1; /* 1 if the gradient is 0 */
    void *x_copy = sw_estimate_scratch(e, LAST_X, 0), *g_copy = sw_estimate_scratch(e, LAST_GRADIENT, 0);
    if (!x_copy || !g_copy)
        return SW_ERR_MEMORY;
    memcpy(x_copy, x, bytes);
    memcpy(g_copy, g, bytes);
    return SW_OK;
}

/* ids is NULL and count is n, because the estimator has neither `sample` nor batches. */
static sw_status full_estimate(sw_estimate *e, const void *x, void *g) {
    SW_TRY(sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g));
    if (full_options_of(e)->lipschitz > 0)
        e->lr = full_step_size(e, full_options_of(e)->lipschitz);
    return full_slots_of(e)->last_x ? full_propose(e, x, g) : SW_OK;
}

static sw_status full_commit(sw_estimate *e) {
    full_scalars *s = full_scalars_of(e);
    const size_t bytes = (size_t)e->dim * sw_dtype_size(e->type);
    for (int i = 0; i < 2 && e->slot[i]; i++)
        memcpy(e->slot[i], sw_estimate_scratch(e, i, 0), bytes); /* `estimate` has written them */
    s->seen = full_slots_of(e)->last_x != NULL;
    s->frozen = sw_estimate_frozen_set(e);
    return SW_OK;
}

const sw_estimator swo_full = {.size = sizeof(sw_estimator),
                               .name = "full",
                               .summary = "the gradient of all samples",
                               .source = "Cauchy 1847",
                               .options = full_option_table,
                               .slots = full_slot_table,
                               .scalars = full_scalar_names,
                               .flags = SW_ESTIMATOR_DIRECT | SW_ESTIMATOR_EXACT,
                               .start = full_start,
                               .cost = "1 gradient of all n samples; lr=auto: 1 more, or a few, in the first step",
                               .estimate = full_estimate,
                               .commit = full_commit,
                               .added_scalars = FULL_ADDED_SCALARS,
                               .whole_scalars = SW_WHOLE_SCALAR(full_scalars, measured) |
                                                SW_WHOLE_SCALAR(full_scalars, seen) |
                                                SW_WHOLE_SCALAR(full_scalars, frozen)};

#endif
