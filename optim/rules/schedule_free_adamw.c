/* Schedule-Free AdamW (Defazio et al., NeurIPS 2024). schedule_free.h describes x, y and z:
 *     v ← β2 v + (1 - β2) g²
 *     u = γ (g/(√(v/(1 - β2ᵏ)) + ε) + λ y)
 *     z ← z - u,   x ← (1 - c) x + c z,   y = β1 x + (1 - β1) z
 *
 * correction=step: u = γ √(1 - β2ᵏ) (g/(√v + ε) + λ y), where γ in the weights of the mean is that without the root.
 * decay_at=x: the decay is λ x, with x before the step. With both, and r = 0.75, it is the winner of AlgoPerf's
 * self-tuning track (schedule_free_adamw in the submissions of MLCommons, 2024).
 */
#include <swale/kernel.h>
#include <swale/kernel_blocks.h>
#include <swale/kernel_roots.h>
#include <swale/kernel_second_moments.h>
#include <swale/second_moments.h>
#include "optim/rules/schedule_free.h"

#if SW_KERNEL_FIRST
typedef struct schedule_free_adamw_options {
    double lr, beta1, beta2, eps, eps_in_root, weight_decay;
    schedule_free_options free;
    double correction, decay_at;
} schedule_free_adamw_options;
typedef struct schedule_free_adamw_slots {
    void *z, *v, *v_f64; /* v_f64 replaces v for a small ε (second_moments.h) */
} schedule_free_adamw_slots;
typedef struct schedule_free_adamw_coefficients {
    schedule_free_coefficients free;
    double rate;                    /* the factor of g/(√(v + eps_inside) + eps_outside) in u */
    double eps_inside, eps_outside; /* both for v without bias correction */
    double decay;                   /* the factor of y, or x, in u */
    double decay_to_x;              /* 0: y; 1 - 1/β1: x */
} schedule_free_adamw_coefficients;
#endif

#if SW_KERNEL_PASS

/* n ≤ SW_BLOCK_LENGTH elements */
SW_K_INLINE void SW_K(schedule_free_adamw_block)(const sw_step *s, int64_t n, real *restrict y, const real *restrict g,
                                                 real *restrict z, real *restrict v) {
    const schedule_free_adamw_options *o = SW_STEP_OPTIONS(s, schedule_free_adamw_options);
    const schedule_free_adamw_coefficients *c = SW_STEP_COEFFICIENTS(s, schedule_free_adamw_coefficients);
    const real beta2 = (real)o->beta2, one_minus_beta2 = (real)(1 - o->beta2), rate = (real)c->rate,
               eps_inside = (real)c->eps_inside, eps_outside = (real)c->eps_outside, decay = (real)c->decay,
               decay_to_x = (real)c->decay_to_x, toward = (real)c->free.toward, beyond = (real)c->free.beyond;
    _Alignas(64) real root[SW_BLOCK_LENGTH];
    for (int64_t i = 0; i < n; i++) {
        v[i] = beta2 * v[i] + (one_minus_beta2 * g[i]) * g[i];
        root[i] = v[i] + eps_inside;
    }
    SW_K(sw_k_roots)(root, n);
    for (int64_t i = 0; i < n; i++) {
        const real decayed = y[i] + decay_to_x * (z[i] - y[i]);
        const real u = rate * g[i] / (root[i] + eps_outside) + decay * decayed;
        y[i] = y[i] + toward * (z[i] - y[i]) - beyond * u;
        z[i] -= u;
    }
}

static void SW_K(schedule_free_adamw)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const schedule_free_adamw_slots *slots = SW_STEP_SLOTS(s, schedule_free_adamw_slots);
    real *restrict y = s->x, *restrict z = slots->z, *restrict v = slots->v;
    const real *restrict g = s->g;
    (void)sums;
    SW_BY_BLOCKS(s, begin, end, SW_K(schedule_free_adamw_block)(s, n, y + begin, g + begin, z + begin, v + begin));
}

SW_SECOND_MOMENT_KERNELS(schedule_free_adamw, schedule_free_adamw_slots, v, v_f64, 1)

#else

#include <swale/reach.h>

static const sw_kernels schedule_free_adamw_kernels = SW_KERNEL_TABLE(schedule_free_adamw_update);

static bool schedule_free_adamw_in_f64(const double *option) {
    const schedule_free_adamw_options *o = SW_OPTIONS_AS(option, schedule_free_adamw_options);
    return sw_means_need_f64(o->eps, o->eps_in_root != 0, 1 - o->beta2, 2);
}

static bool schedule_free_adamw_needs_v(const double *option, sw_dtype type) {
    return type != SW_F32 || !schedule_free_adamw_in_f64(option);
}

static bool schedule_free_adamw_needs_v_f64(const double *option, sw_dtype type) {
    return !schedule_free_adamw_needs_v(option, type);
}

/* √(v/q + e) + ε = (√(v + e q) + ε √q)/√q with q = 1 - β2ᵏ: no intermediate result is larger than v. */
static sw_status schedule_free_adamw_begin(sw_step *s) {
    const schedule_free_adamw_options *o = SW_STEP_OPTIONS(s, schedule_free_adamw_options);
    schedule_free_adamw_coefficients *c = SW_STEP_COEFFICIENTS(s, schedule_free_adamw_coefficients);
    const double k = (double)s->step, q = 1 - pow(o->beta2, k), gamma = swo_schedule_free_rate(s, &o->free, k);
    const bool in_step = o->correction != 0, in_root = o->eps_in_root != 0;
    swo_schedule_free_weigh(s, &o->free, k, gamma);
    c->rate = gamma * sqrt(q);
    c->eps_inside = !in_root ? 0 : in_step ? o->eps : o->eps * q;
    c->eps_outside = in_root ? 0 : in_step ? o->eps : o->eps * sqrt(q);
    c->decay = (in_step ? c->rate : gamma) * o->weight_decay;
    c->decay_to_x = o->decay_at != 0 ? c->free.to_x : 0;
    return sw_second_moments_check(s, "schedule_free_adamw", o->eps, schedule_free_adamw_in_f64(s->option),
                                   SW_STEP_SLOTS(s, schedule_free_adamw_slots)->v_f64);
}

static void schedule_free_adamw_reach(const sw_step *s, sw_bounds *b) {
    const schedule_free_adamw_options *o = SW_STEP_OPTIONS(s, schedule_free_adamw_options);
    const schedule_free_adamw_coefficients *c = SW_STEP_COEFFICIENTS(s, schedule_free_adamw_coefficients);
    const double least = sqrt(c->eps_inside) + c->eps_outside, one_minus_beta2 = 1 - o->beta2,
                 z = SW_SLOT_BOUND(b, schedule_free_adamw_slots, z), decayed = b->x + fabs(c->decay_to_x) * (z + b->x);
    double *v = SW_STEP_SLOTS(s, schedule_free_adamw_slots)->v ? &SW_SLOT_BOUND(b, schedule_free_adamw_slots, v)
                                                               : &SW_SLOT_BOUND(b, schedule_free_adamw_slots, v_f64);
    *v = o->beta2 * *v + one_minus_beta2 * b->g * b->g;
    b->largest += sqrt(*v) + fabs(c->rate) * b->g + fabs(c->decay) + decayed;
    const double of_g = sw_bound_tighter(b->g / least, sw_bound_normalized(b, s->type, one_minus_beta2, least));
    swo_schedule_free_reach(s, b, fabs(c->rate) * of_g + fabs(c->decay) * decayed);
}

/* clang-format off */
static const sw_option schedule_free_adamw_option_table[] = {
    {.name = "lr", .value = 2.5e-3, .low = 0, .high = 1e6, .help = "learning rate of z, γ after the warm-up",
     .search_low = 1e-4, .search_high = 1e-1, .search_log = true},
    SCHEDULE_FREE_BETA("beta1"),
    {.name = "beta2", .value = 0.999, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "decay of the mean of g²", .search_low = 0.95, .search_high = 0.9999},
    {.name = "eps", .value = 1e-8, .low = 1e-30, .high = 1, .help = "ε of the denominator",
     .search_low = 1e-10, .search_high = 1e-4, .search_log = true},
    SW_OPTION_EPS_IN_ROOT(0),
    {.name = "weight_decay", .value = 0, .low = 0, .high = 1e6, .help = "λ, decoupled",
     .search_low = 1e-5, .search_high = 0.5, .search_log = true},
    SCHEDULE_FREE_OPTIONS(0, 2, 0),
    {.name = "correction", .kind = SW_OPTION_CHOICE, .choices = "root|step", .high = 1,
     .help = "bias correction of v: in the root, or as a factor of the step"},
    {.name = "decay_at", .kind = SW_OPTION_CHOICE, .choices = "y|x", .high = 1, .help = "the point that decays"},
    {0}};
/* clang-format on */
static const sw_slot schedule_free_adamw_slot_table[] = {
    {.name = "z", .start = SW_START_X},
    {.name = "v", .needed_by = schedule_free_adamw_needs_v},
    {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = schedule_free_adamw_needs_v_f64},
    {0}};
static const char *const schedule_free_adamw_scalar_names[] = {SCHEDULE_FREE_SCALARS, NULL};
SW_MATCH_OPTIONS(schedule_free_adamw_options, schedule_free_adamw_option_table);
SW_MATCH_SLOTS(schedule_free_adamw_slots, schedule_free_adamw_slot_table);
SW_MATCH_SCALARS(schedule_free_scalars, schedule_free_adamw_scalar_names);

const sw_rule swo_schedule_free_adamw = {.size = sizeof(sw_rule),
                                         .name = "schedule_free_adamw",
                                         .summary = "AdamW that is evaluated at a mean of its iterates; no schedule",
                                         .source = "Defazio et al., NeurIPS 2024",
                                         .options = schedule_free_adamw_option_table,
                                         .slots = schedule_free_adamw_slot_table,
                                         .scalars = schedule_free_adamw_scalar_names,
                                         .begin = schedule_free_adamw_begin,
                                         .update = &schedule_free_adamw_kernels,
                                         .point = &swo_schedule_free_point,
                                         .reach = schedule_free_adamw_reach,
                                         .adopted = swo_schedule_free_adopted};

#endif
