/* Schedule-Free AdamW with the step size of Prodigy (schedule_free_prodigy in the submissions of MLCommons's AlgoPerf,
 * 2024). schedule_free.h describes x, y and z, and prodigy.h the estimate d. Here the distance from the start is that
 * of z, d' is the new d, and there is no mean of g:
 *     ρ = d γ
 *     r ← √β2 r + d/d⁰ ρ ⟨g, θ⁰ - z⟩,   s ← √β2 s + d/d⁰ ρ g,   d' from r and ‖s‖₁
 *     v ← β2 v + (1 - β2) d² g²
 *     u = ρ (d' g/(√v + d' ε) + λ x)
 *     z ← z - u,   x ← (1 - c) x + c z,   y = β1 x + (1 - β1) z
 */
#include <swale/kernel.h>
#include <swale/kernel_blocks.h>
#include <swale/kernel_roots.h>
#include <swale/kernel_second_moments.h>
#include <swale/second_moments.h>
#include "optim/rules/prodigy.h"
#include "optim/rules/schedule_free.h"

#if SW_KERNEL_FIRST
typedef struct schedule_free_prodigy_options {
    double lr, beta1, beta2, eps, eps_in_root, weight_decay;
    prodigy_estimate estimate;
    schedule_free_options free;
} schedule_free_prodigy_options;
typedef struct schedule_free_prodigy_slots {
    void *z, *v, *v_f64, *s, *start; /* v_f64 replaces v for a small ε (second_moments.h); θ⁰ */
} schedule_free_prodigy_slots;
typedef struct schedule_free_prodigy_coefficients {
    schedule_free_coefficients free;
    prodigy_coefficients prodigy;
    double rate; /* the factor of g/(√(v + eps_inside) + eps_outside) in u, for v/d² of the slot */
    double eps_inside, eps_outside;
    double decay; /* the factor of x in u */
} schedule_free_prodigy_coefficients;
#endif

#if SW_KERNEL_PASS

SW_K_INLINE void SW_K(free_prodigy_add)(real g, real s, real away, real keep, real fresh, double *inner, double *norm) {
    const real next = keep * s + fresh * g;
    *inner += (double)g * (double)away;
    *norm += (double)(next < 0 ? -next : next);
}

/* SW_LANES elements */
SW_K_INLINE void SW_K(free_prodigy_add_lanes)(const real *restrict g, const real *restrict z, const real *restrict s,
                                              const real *restrict start, real keep, real fresh, double *restrict inner,
                                              double *restrict norm) {
    SW_OVER_LANES
    for (int j = 0; j < SW_LANES; j++)
        SW_K(free_prodigy_add)(g[j], s[j], start[j] - z[j], keep, fresh, &inner[j], &norm[j]);
}

/* ⟨g, θ⁰ - z⟩, and ‖s‖₁ of the s that the update will store. Short vectors have a separate loop without prefetching,
 * which takes registers. */
static void SW_K(schedule_free_prodigy_measure)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *p = args;
    const prodigy_coefficients *c = &SW_STEP_COEFFICIENTS(p, schedule_free_prodigy_coefficients)->prodigy;
    const schedule_free_prodigy_slots *slots = SW_STEP_SLOTS(p, schedule_free_prodigy_slots);
    const real *restrict g = p->g, *restrict z = slots->z, *restrict s = slots->s, *restrict start = slots->start;
    const real keep = (real)c->s_keep, fresh = (real)c->s_fresh;
    prodigy_sums *total = (void *)sums;
    double inner[SW_LANES] = {0}, norm[SW_LANES] = {0}, all_inner = 0, all_norm = 0;
    int64_t i = begin;
    if (c->waits != 0)
        return;
    if (p->count >= SW_LONG_VECTOR && sw_cpu_needs_prefetch())
        for (; i + SW_LANES <= end; i += SW_LANES) {
            SW_FETCH_AHEAD(g, i, SW_LANES);
            SW_FETCH_AHEAD(z, i, SW_LANES);
            SW_FETCH_AHEAD(s, i, SW_LANES);
            SW_FETCH_AHEAD(start, i, SW_LANES);
            SW_K(free_prodigy_add_lanes)(g + i, z + i, s + i, start + i, keep, fresh, inner, norm);
        }
    for (; i + SW_LANES <= end; i += SW_LANES)
        SW_K(free_prodigy_add_lanes)(g + i, z + i, s + i, start + i, keep, fresh, inner, norm);
    for (int j = 0; i < end; i++, j++)
        SW_K(free_prodigy_add)(g[i], s[i], start[i] - z[i], keep, fresh, &inner[j], &norm[j]);
    SW_ADD_LANES(double, all_inner, inner);
    SW_ADD_LANES(double, all_norm, norm);
    total->inner += c->inner_unit * all_inner;
    total->norm += c->unit * all_norm;
}

/* n ≤ SW_BLOCK_LENGTH elements */
SW_K_INLINE void SW_K(schedule_free_prodigy_block)(const sw_step *p, int64_t n, real *restrict y,
                                                   const real *restrict g, real *restrict z, real *restrict v,
                                                   real *restrict s) {
    const schedule_free_prodigy_coefficients *c = SW_STEP_COEFFICIENTS(p, schedule_free_prodigy_coefficients);
    const real v_keep = (real)c->prodigy.keep_v,
               v_fresh = (real)(1 - SW_STEP_OPTIONS(p, schedule_free_prodigy_options)->beta2),
               s_keep = (real)c->prodigy.s_keep, s_fresh = (real)c->prodigy.s_fresh, rate = (real)c->rate,
               eps_inside = (real)c->eps_inside, eps_outside = (real)c->eps_outside, decay = (real)c->decay,
               to_x = (real)c->free.to_x, toward = (real)c->free.toward, beyond = (real)c->free.beyond;
    _Alignas(64) real root[SW_BLOCK_LENGTH];
    for (int64_t i = 0; i < n; i++) {
        v[i] = v_keep * v[i] + (v_fresh * g[i]) * g[i];
        s[i] = s_keep * s[i] + s_fresh * g[i];
        root[i] = v[i] + eps_inside;
    }
    SW_K(sw_k_roots)(root, n);
    for (int64_t i = 0; i < n; i++) {
        const real x = y[i] + to_x * (z[i] - y[i]);
        const real u = rate * g[i] / (root[i] + eps_outside) + decay * x;
        y[i] = y[i] + toward * (z[i] - y[i]) - beyond * u;
        z[i] -= u;
    }
}

static void SW_K(schedule_free_prodigy)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *p = args;
    const schedule_free_prodigy_slots *slots = SW_STEP_SLOTS(p, schedule_free_prodigy_slots);
    real *restrict y = p->x, *restrict z = slots->z, *restrict v = slots->v, *restrict s = slots->s;
    const real *restrict g = p->g;
    (void)sums;
    if (SW_STEP_COEFFICIENTS(p, schedule_free_prodigy_coefficients)->prodigy.waits != 0)
        return;
    SW_BY_BLOCKS(p, begin, end,
                 SW_K(schedule_free_prodigy_block)(p, n, y + begin, g + begin, z + begin, v + begin, s + begin));
}

SW_SECOND_MOMENT_KERNELS(schedule_free_prodigy, schedule_free_prodigy_slots, v, v_f64, 1)

#else

#include <swale/reach.h>

static const sw_kernels schedule_free_prodigy_measure_kernels = SW_KERNEL_TABLE(schedule_free_prodigy_measure),
                        schedule_free_prodigy_kernels = SW_KERNEL_TABLE(schedule_free_prodigy_update);

typedef struct schedule_free_prodigy_scalars {
    schedule_free_scalars free;
    prodigy_scalars prodigy;
} schedule_free_prodigy_scalars;

static bool schedule_free_prodigy_in_f64(const double *option) {
    const schedule_free_prodigy_options *o = SW_OPTIONS_AS(option, schedule_free_prodigy_options);
    return sw_means_need_f64(o->eps, o->eps_in_root != 0, 1 - o->beta2, 2);
}

static bool schedule_free_prodigy_needs_v(const double *option, sw_dtype type) {
    return type != SW_F32 || !schedule_free_prodigy_in_f64(option);
}

static bool schedule_free_prodigy_needs_v_f64(const double *option, sw_dtype type) {
    return !schedule_free_prodigy_needs_v(option, type);
}

static sw_status schedule_free_prodigy_check(const double *option) {
    if (!isnan(SW_OPTIONS_AS(option, schedule_free_prodigy_options)->lr))
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT,
                   "schedule_free_prodigy: lr=auto; the rule finds its step size itself: leave lr at 1");
}

static sw_status schedule_free_prodigy_begin(sw_step *p) {
    const schedule_free_prodigy_options *o = SW_STEP_OPTIONS(p, schedule_free_prodigy_options);
    schedule_free_prodigy_coefficients *c = SW_STEP_COEFFICIENTS(p, schedule_free_prodigy_coefficients);
    schedule_free_prodigy_scalars *scalars = SW_STEP_SCALARS(p, schedule_free_prodigy_scalars);
    const double gamma = swo_schedule_free_rate(p, &o->free, scalars->prodigy.k + 1);
    swo_prodigy_begin(&o->estimate, o->beta2, gamma, gamma, &scalars->prodigy, &c->prodigy);
    c->free.gamma = gamma;
    return sw_second_moments_check(p, "schedule_free_prodigy", o->eps, schedule_free_prodigy_in_f64(p->option),
                                   SW_STEP_SLOTS(p, schedule_free_prodigy_slots)->v_f64);
}

/* With d' = d growth and v = d² w, where w is the slot: d' g/(√v + d' ε) = growth g/(√w + growth ε). */
static sw_status schedule_free_prodigy_decide(sw_step *p, const double *sums) {
    const schedule_free_prodigy_options *o = SW_STEP_OPTIONS(p, schedule_free_prodigy_options);
    schedule_free_prodigy_coefficients *c = SW_STEP_COEFFICIENTS(p, schedule_free_prodigy_coefficients);
    schedule_free_prodigy_scalars *scalars = SW_STEP_SCALARS(p, schedule_free_prodigy_scalars);
    swo_prodigy_decide(&o->estimate, o->beta2, sums, &scalars->prodigy, &c->prodigy);
    if (c->prodigy.waits != 0)
        return SW_OK;
    const double growth = c->prodigy.growth;
    const bool in_root = o->eps_in_root != 0;
    swo_schedule_free_weigh(p, &o->free, scalars->prodigy.k, c->free.gamma);
    c->rate = c->prodigy.rho * growth;
    c->eps_inside = in_root ? o->eps * growth * growth : 0;
    c->eps_outside = in_root ? 0 : o->eps * growth;
    c->decay = c->prodigy.rho * o->weight_decay;
    return SW_OK;
}

static void schedule_free_prodigy_reach(const sw_step *p, sw_bounds *b) {
    const schedule_free_prodigy_options *o = SW_STEP_OPTIONS(p, schedule_free_prodigy_options);
    const schedule_free_prodigy_coefficients *c = SW_STEP_COEFFICIENTS(p, schedule_free_prodigy_coefficients);
    if (c->prodigy.waits != 0)
        return;
    const double least = sqrt(c->eps_inside) + c->eps_outside, one_minus_beta2 = 1 - o->beta2,
                 z = SW_SLOT_BOUND(b, schedule_free_prodigy_slots, z), x = b->x + fabs(c->free.to_x) * (z + b->x);
    double *s = &SW_SLOT_BOUND(b, schedule_free_prodigy_slots, s),
           *v = SW_STEP_SLOTS(p, schedule_free_prodigy_slots)->v
                    ? &SW_SLOT_BOUND(b, schedule_free_prodigy_slots, v)
                    : &SW_SLOT_BOUND(b, schedule_free_prodigy_slots, v_f64);
    *s = c->prodigy.s_keep * *s + fabs(c->prodigy.s_fresh) * b->g;
    *v = c->prodigy.keep_v * *v + one_minus_beta2 * b->g * b->g;
    b->largest +=
        *s + fabs(c->prodigy.s_fresh) + sqrt(*v) + fabs(c->rate) * (1 + b->g) + fabs(c->decay) + x + c->eps_outside;
    const double of_g = sw_bound_tighter(b->g / least, sw_bound_normalized(b, p->type, one_minus_beta2, least));
    swo_schedule_free_reach(p, b, fabs(c->rate) * of_g + fabs(c->decay) * x);
}

/* clang-format off */
static const sw_option schedule_free_prodigy_option_table[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 1e6, .open = SW_OPTION_SHARED_OR_ZERO,
     .help = "γ after the warm-up, factor of the step size d, near 1: with 1e-3 d does not grow; 0: the group does not "
             "move", .search_low = 0.1, .search_high = 10, .search_log = true},
    SCHEDULE_FREE_BETA("beta1"),
    {.name = "beta2", .value = 0.9955, .low = 0, .high = 1, .open = SW_OPEN_HIGH | SW_OPTION_SHARED,
     .help = "decay of the mean of g²; its root is that of the estimate of d", .search_low = 0.95,
     .search_high = 0.9999},
    {.name = "eps", .value = 1e-8, .low = 1e-30, .high = 1, .help = "ε of the denominator",
     .search_low = 1e-10, .search_high = 1e-4, .search_log = true},
    {.name = "eps_in_root", .kind = SW_OPTION_BOOL, .help = "√(v + d²ε) instead of √v + dε"},
    {.name = "weight_decay", .value = 0, .low = 0, .high = 1e6, .help = "λ, decoupled, at x",
     .search_low = 1e-5, .search_high = 0.5, .search_log = true},
    PRODIGY_ESTIMATE,
    SCHEDULE_FREE_OPTIONS(0.75, 0, SW_OPTION_SHARED),
    {0}};
/* clang-format on */
static const sw_slot schedule_free_prodigy_slot_table[] = {
    {.name = "z", .start = SW_START_X},
    {.name = "v", .needed_by = schedule_free_prodigy_needs_v},
    {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = schedule_free_prodigy_needs_v_f64},
    {.name = "s"},
    {.name = "start", .start = SW_START_X},
    {0}};
static const char *const schedule_free_prodigy_scalar_names[] = {SCHEDULE_FREE_SCALARS, PRODIGY_SCALARS, NULL};
SW_MATCH_OPTIONS(schedule_free_prodigy_options, schedule_free_prodigy_option_table);
SW_MATCH_SLOTS(schedule_free_prodigy_slots, schedule_free_prodigy_slot_table);
SW_MATCH_SCALARS(schedule_free_prodigy_scalars, schedule_free_prodigy_scalar_names);

const sw_rule swo_schedule_free_prodigy = {.size = sizeof(sw_rule),
                                           .name = "schedule_free_prodigy",
                                           .summary = "Schedule-Free AdamW that finds its step size",
                                           .source = "Kasimbeg et al., AlgoPerf, ICLR 2025",
                                           .options = schedule_free_prodigy_option_table,
                                           .slots = schedule_free_prodigy_slot_table,
                                           .check = schedule_free_prodigy_check,
                                           .scalars = schedule_free_prodigy_scalar_names,
                                           .begin = schedule_free_prodigy_begin,
                                           .measure = &schedule_free_prodigy_measure_kernels,
                                           .sums = SW_FIELDS(prodigy_sums),
                                           .decide = schedule_free_prodigy_decide,
                                           .update = &schedule_free_prodigy_kernels,
                                           .point = &swo_schedule_free_point,
                                           .cost = 13,
                                           .reach = schedule_free_prodigy_reach,
                                           .adopted = swo_schedule_free_adopted};

#endif
