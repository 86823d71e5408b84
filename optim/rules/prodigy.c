/* Prodigy (Mishchenko, Defazio, ICML 2024): AdamW with the learning rate d η, where d is an estimate of the distance
 * from the start to a solution. η is 1 in general, or a schedule that begins at 1. prodigy.h describes d, d', ρ and s:
 *     g ← g + λθ                                 if not decoupled
 *     ρ = d η                                    with use_bias_correction d η √(1 - β2ᵏ)/(1 - β1ᵏ)
 *     m ← β1 m + (1 - β1) d g
 *     v ← β2 v + (1 - β2) d² g²
 *     s ← √β2 s + d/d⁰ ρ g                       with safeguard_warmup √β2 s + d²/d⁰ g
 *     d' from r and ‖s‖₁
 *     θ ← (1 - λρ) θ - ρ m/(√v + d' ε)           λ = 0 if not decoupled
 * The file also has the functions of prodigy.h.
 */
#include <swale/kernel.h>
#include <swale/kernel_blocks.h>
#include <swale/kernel_roots.h>
#include <swale/kernel_second_moments.h>
#include "optim/rules/adam.h"
#include "optim/rules/prodigy.h"

#if SW_KERNEL_FIRST
typedef struct prodigy_options {
    adam_options adam;
    prodigy_estimate estimate;
    double use_bias_correction, safeguard_warmup, decoupled;
} prodigy_options;
typedef struct prodigy_slots {
    adam_slots adam;
    void *s, *start; /* θ⁰ */
} prodigy_slots;
/* For a step in the slots' units: g ← g + l2 θ, m ← keep β1 m + ϕ g, θ ← shrink θ - a m/(√(v + eps_inside) +
 * eps_outside) */
typedef struct prodigy_step_coefficients {
    adam_coefficients adam;
    prodigy_coefficients prodigy;
} prodigy_step_coefficients;
#endif

#if SW_KERNEL_PASS

SW_K_INLINE void SW_K(prodigy_add)(real g, real s, real away, real keep, real fresh, double *inner, double *norm) {
    const real next = keep * s + fresh * g;
    *inner += (double)g * (double)away;
    *norm += (double)(next < 0 ? -next : next);
}

/* SW_LANES elements */
SW_K_INLINE void SW_K(prodigy_add_lanes)(const real *restrict x, const real *restrict g, const real *restrict s,
                                         const real *restrict start, real l2, real keep, real fresh,
                                         double *restrict inner, double *restrict norm) {
    SW_OVER_LANES
    for (int j = 0; j < SW_LANES; j++)
        SW_K(prodigy_add)(g[j] + l2 * x[j], s[j], start[j] - x[j], keep, fresh, &inner[j], &norm[j]);
}

/* ⟨g, θ⁰ - θ⟩, and ‖s‖₁ of the s that the update will store. Short vectors have a separate loop without prefetching,
 * which takes registers. */
static void SW_K(prodigy_measure)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *p = args;
    const prodigy_step_coefficients *c = SW_STEP_COEFFICIENTS(p, prodigy_step_coefficients);
    const prodigy_slots *slots = SW_STEP_SLOTS(p, prodigy_slots);
    const real *restrict x = p->x, *restrict g = p->g, *restrict s = slots->s, *restrict start = slots->start;
    const real l2 = (real)c->adam.l2, keep = (real)c->prodigy.s_keep, fresh = (real)c->prodigy.s_fresh;
    prodigy_sums *total = (void *)sums;
    double inner[SW_LANES] = {0}, norm[SW_LANES] = {0}, all_inner = 0, all_norm = 0;
    int64_t i = begin;
    if (c->prodigy.waits != 0)
        return;
    if (p->count >= SW_LONG_VECTOR && sw_cpu_needs_prefetch())
        for (; i + SW_LANES <= end; i += SW_LANES) {
            SW_FETCH_AHEAD(x, i, SW_LANES);
            SW_FETCH_AHEAD(g, i, SW_LANES);
            SW_FETCH_AHEAD(s, i, SW_LANES);
            SW_FETCH_AHEAD(start, i, SW_LANES);
            SW_K(prodigy_add_lanes)(x + i, g + i, s + i, start + i, l2, keep, fresh, inner, norm);
        }
    for (; i + SW_LANES <= end; i += SW_LANES)
        SW_K(prodigy_add_lanes)(x + i, g + i, s + i, start + i, l2, keep, fresh, inner, norm);
    for (int j = 0; i < end; i++, j++)
        SW_K(prodigy_add)(g[i] + l2 * x[i], s[i], start[i] - x[i], keep, fresh, &inner[j], &norm[j]);
    SW_ADD_LANES(double, all_inner, inner);
    SW_ADD_LANES(double, all_norm, norm);
    total->inner += c->prodigy.inner_unit * all_inner;
    total->norm += c->prodigy.unit * all_norm;
}

/* n ≤ SW_BLOCK_LENGTH elements */
SW_K_INLINE void SW_K(prodigy_block)(const sw_step *p, int64_t n, real *restrict x, const real *restrict gradient,
                                     real *restrict m, real *restrict v, real *restrict s) {
    const adam_options *o = SW_STEP_OPTIONS(p, adam_options);
    const prodigy_step_coefficients *c = SW_STEP_COEFFICIENTS(p, prodigy_step_coefficients);
    const real m_keep = (real)(o->beta1 * c->prodigy.keep), v_keep = (real)c->prodigy.keep_v,
               s_keep = (real)c->prodigy.s_keep, m_fresh = (real)c->adam.phi, v_fresh = (real)(1 - o->beta2),
               s_fresh = (real)c->prodigy.s_fresh, rho = (real)c->adam.a, eps_inside = (real)c->adam.eps_inside,
               eps_outside = (real)c->adam.eps_outside, l2 = (real)c->adam.l2, shrink = (real)c->adam.shrink;
    _Alignas(64) real numerator[SW_BLOCK_LENGTH], root[SW_BLOCK_LENGTH];
    for (int64_t i = 0; i < n; i++) {
        const real g = gradient[i] + l2 * x[i];
        m[i] = m_keep * m[i] + m_fresh * g;
        v[i] = v_keep * v[i] + (v_fresh * g) * g;
        s[i] = s_keep * s[i] + s_fresh * g;
        numerator[i] = rho * m[i];
        root[i] = v[i] + eps_inside;
    }
    SW_K(sw_k_roots)(root, n);
    for (int64_t i = 0; i < n; i++)
        x[i] = shrink * x[i] - numerator[i] / (root[i] + eps_outside);
}

static void SW_K(prodigy)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *p = args;
    const prodigy_slots *slots = SW_STEP_SLOTS(p, prodigy_slots);
    real *restrict x = p->x, *restrict m = slots->adam.m, *restrict v = slots->adam.v, *restrict s = slots->s;
    const real *restrict g = p->g;
    (void)sums;
    if (SW_STEP_COEFFICIENTS(p, prodigy_step_coefficients)->prodigy.waits != 0)
        return;
    SW_BY_BLOCKS(p, begin, end, SW_K(prodigy_block)(p, n, x + begin, g + begin, m + begin, v + begin, s + begin));
}

SW_SECOND_MOMENT_KERNELS(prodigy, prodigy_slots, adam.v, adam.v_f64, 1)

#else

#include <swale/reach.h>

/* ---- For both Prodigy rules ---- */

void swo_prodigy_begin(const prodigy_estimate *o, double beta2, double eta, double s_rate, prodigy_scalars *scalars,
                       prodigy_coefficients *c) {
    if (scalars->d == 0) /* the first step */
        scalars->d = scalars->d_max = scalars->d_of_state = o->d0;
    const double d = scalars->d;
    c->rho = d * eta;
    c->keep = scalars->d_of_state / d;
    c->keep_v = beta2 * c->keep * c->keep;
    c->s_keep = sqrt(beta2) * c->keep * c->keep;
    c->s_fresh = s_rate;
    c->unit = d * (d / o->d0);
    c->inner_unit = d / o->d0 * c->rho;
    c->growth = 1;
    c->waits = eta == 0;
}

void swo_prodigy_decide(const prodigy_estimate *o, double beta2, const double *sums, prodigy_scalars *scalars,
                        prodigy_coefficients *c) {
    const prodigy_sums *total = (const void *)sums;
    const double before = scalars->d;
    if (!(total->norm > 0)) {
        c->waits = 1;
        return;
    }
    scalars->numerator = sqrt(beta2) * scalars->numerator + total->inner;
    const double estimate = o->d_coef * scalars->numerator / total->norm;
    if (scalars->d == o->d0)
        scalars->d = fmax(scalars->d, estimate);
    scalars->d_max = fmax(scalars->d_max, estimate);
    scalars->d = fmin(scalars->d_max, scalars->d * o->growth_rate);
    scalars->k++;
    c->growth = scalars->d / before;
    if (c->waits == 0)
        scalars->d_of_state = before;
}

/* ---- Prodigy ---- */

static const sw_kernels prodigy_measure_kernels = SW_KERNEL_TABLE(prodigy_measure),
                        prodigy_kernels = SW_KERNEL_TABLE(prodigy_update);

static sw_status prodigy_check(const double *option) {
    if (!isnan(SW_OPTIONS_AS(option, adam_options)->lr))
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT, "prodigy: lr=auto; the rule finds its step size itself: leave lr at 1");
}

static sw_status prodigy_begin(sw_step *p) {
    const prodigy_options *o = SW_STEP_OPTIONS(p, prodigy_options);
    prodigy_step_coefficients *c = SW_STEP_COEFFICIENTS(p, prodigy_step_coefficients);
    prodigy_scalars *scalars = SW_STEP_SCALARS(p, prodigy_scalars);
    const double k = scalars->k + 1,
                 bias = o->use_bias_correction != 0 ? sqrt(1 - pow(o->adam.beta2, k)) / (1 - pow(o->adam.beta1, k)) : 1,
                 eta = o->adam.lr * bias;
    swo_prodigy_begin(&o->estimate, o->adam.beta2, eta, o->safeguard_warmup != 0 ? 1 : eta, scalars, &c->prodigy);
    swo_adam_begin(p, o->decoupled != 0);
    c->adam.a = c->prodigy.rho;
    c->adam.shrink = o->decoupled != 0 ? 1 - c->prodigy.rho * o->adam.weight_decay : 1;
    return swo_adam_check(p, "prodigy");
}

static sw_status prodigy_decide(sw_step *p, const double *sums) {
    const prodigy_options *o = SW_STEP_OPTIONS(p, prodigy_options);
    prodigy_step_coefficients *c = SW_STEP_COEFFICIENTS(p, prodigy_step_coefficients);
    swo_prodigy_decide(&o->estimate, o->adam.beta2, sums, SW_STEP_SCALARS(p, prodigy_scalars), &c->prodigy);
    const double growth = c->prodigy.growth;
    const bool in_root = o->adam.eps_in_root != 0;
    c->adam.root_scale = c->adam.inverse_scale = 1;
    c->adam.eps_inside = in_root ? o->adam.eps * growth * growth : 0;
    c->adam.eps_outside = in_root ? 0 : o->adam.eps * growth;
    return SW_OK;
}

/* m and v are those of Adam in the slots' units, except that d'/d ≤ 1 makes them smaller. */
static void prodigy_reach(const sw_step *p, sw_bounds *b) {
    const prodigy_step_coefficients *c = SW_STEP_COEFFICIENTS(p, prodigy_step_coefficients);
    double *s = &SW_SLOT_BOUND(b, prodigy_slots, s);
    if (c->prodigy.waits != 0)
        return;
    *s = c->prodigy.s_keep * *s + fabs(c->prodigy.s_fresh) * (b->g + c->adam.l2 * b->x);
    b->largest += *s + fabs(c->prodigy.s_fresh);
    swo_adam_reach(p, b);
}

/* clang-format off */
static const sw_option prodigy_option_table[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 1e6, .open = SW_OPTION_SHARED_OR_ZERO,
     .help = "η, factor of the step size d, near 1: not a learning rate, and with 1e-3 d does not grow; 0: the group "
             "does not move",
     .search_low = 0.1, .search_high = 10, .search_log = true},
    {.name = "beta1", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH | SW_OPTION_SHARED,
     .help = "decay of the mean of g", .search_low = 0.8, .search_high = 0.98},
    {.name = "beta2", .value = 0.999, .low = 0, .high = 1, .open = SW_OPEN_HIGH | SW_OPTION_SHARED,
     .help = "decay of the mean of g²; its root is that of the estimate of d", .search_low = 0.95,
     .search_high = 0.9999},
    {.name = "eps", .value = 1e-8, .low = 1e-30, .high = 1, .help = "ε of the denominator",
     .search_low = 1e-10, .search_high = 1e-4, .search_log = true},
    {.name = "eps_in_root", .kind = SW_OPTION_BOOL, .help = "√(v + d²ε) instead of √v + dε"},
    {.name = "weight_decay", .value = 0, .low = 0, .high = 1e6, .help = "λ", .search_low = 1e-5, .search_high = 0.5,
     .search_log = true},
    PRODIGY_ESTIMATE,
    {.name = "use_bias_correction", .kind = SW_OPTION_BOOL, .open = SW_OPTION_SHARED,
     .help = "Adam's bias correction, as a factor of the step"},
    {.name = "safeguard_warmup", .kind = SW_OPTION_BOOL, .open = SW_OPTION_SHARED,
     .help = "s without the factor η, for schedules with a warm-up"},
    {.name = "decoupled", .kind = SW_OPTION_BOOL, .value = 1, .help = "θ ← (1 - d η λ) θ instead of g ← g + λθ"},
    {0}};
/* clang-format on */
static const sw_slot prodigy_slot_table[] = {{.name = "m"},
                                             {.name = "v", .needed_by = swo_adam_needs_v},
                                             {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = swo_adam_needs_v_f64},
                                             {.name = "s"},
                                             {.name = "start", .start = SW_START_X},
                                             {0}};
static const char *const prodigy_scalar_names[] = {PRODIGY_SCALARS, NULL};
SW_MATCH_OPTIONS(prodigy_options, prodigy_option_table);
SW_MATCH_SLOTS(prodigy_slots, prodigy_slot_table);
SW_MATCH_SCALARS(prodigy_scalars, prodigy_scalar_names);

const sw_rule swo_prodigy = {.size = sizeof(sw_rule),
                             .name = "prodigy",
                             .summary = "AdamW that finds its step size",
                             .source = "Mishchenko, Defazio, ICML 2024",
                             .options = prodigy_option_table,
                             .slots = prodigy_slot_table,
                             .check = prodigy_check,
                             .scalars = prodigy_scalar_names,
                             .begin = prodigy_begin,
                             .measure = &prodigy_measure_kernels,
                             .sums = SW_FIELDS(prodigy_sums),
                             .decide = prodigy_decide,
                             .update = &prodigy_kernels,
                             .cost = 13,
                             .reach = prodigy_reach};

#endif
