/* NadamP, of the AlgoPerf competition 2024: NadamW with a p-th root in the denominator:
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     θ ← (1 - ηλ) θ - η/(1 - β1ᵗ) · (β1 m + (1 - β1) g) / ((v/(1 - β2ᵗ))^(1/p) + ε)
 * p = 2 is NadamW. For p = 2 and p = 1.5, the values of the competition, there are fast roots (kernel_roots.h). Other
 * roots are computed by sw_k_power from v, clamped to the normal numbers: 0 has no logarithm, and in f32 g² is Inf if
 * |g| is above 1.8e19.
 */
#include <swale/kernel.h>
#include <swale/kernel_blocks.h>
#include <swale/kernel_roots.h>
#include <swale/kernel_second_moments.h>
#include "optim/rules/adam.h"

#if SW_KERNEL_FIRST
typedef struct nadamp_options {
    adam_options adam;
    double p;
} nadamp_options;
#endif

#if SW_KERNEL_PASS

SW_K_INLINE void SW_K(nadamp_block)(const sw_step *s, int64_t n, real *restrict x, const real *restrict g,
                                    real *restrict m, real *restrict v) {
    const nadamp_options *o = SW_STEP_OPTIONS(s, nadamp_options);
    const adam_coefficients *c = SW_STEP_COEFFICIENTS(s, adam_coefficients);
    const real beta1 = (real)o->adam.beta1, beta2 = (real)o->adam.beta2, one_minus_beta1 = (real)c->phi,
               one_minus_beta2 = (real)(1 - o->adam.beta2), a = (real)(c->a * c->inverse_scale),
               b = (real)(c->b * c->inverse_scale), eps_outside = (real)(c->eps_outside * c->inverse_scale),
               eps_inside = (real)c->eps_inside, shrink = (real)c->shrink;
    _Alignas(64) real numerator[SW_BLOCK_LENGTH], root[SW_BLOCK_LENGTH];
    for (int64_t i = 0; i < n; i++) {
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i];
        v[i] = beta2 * v[i] + (one_minus_beta2 * g[i]) * g[i];
        numerator[i] = a * m[i] + b * g[i];
        root[i] = v[i] + eps_inside;
    }
    SW_K(sw_k_pth_roots)(root, n, o->p);
    for (int64_t i = 0; i < n; i++)
        x[i] = shrink * x[i] - numerator[i] / (root[i] + eps_outside);
}

static void SW_K(nadamp)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const adam_slots *slots = SW_STEP_SLOTS(s, adam_slots);
    real *x = s->x, *m = slots->m, *v = slots->v;
    const real *g = s->g;
    (void)sums;
    SW_BY_BLOCKS(s, begin, end, SW_K(nadamp_block)(s, n, x + begin, g + begin, m + begin, v + begin));
}

SW_SECOND_MOMENT_KERNELS(nadamp, adam_slots, v, v_f64, 1)

#else

static const sw_kernels nadamp_kernels = SW_KERNEL_TABLE(nadamp_update);

/* For roots other than √, only the smallest denominator, that of v = 0, bounds the step. */
static void nadamp_reach(const sw_step *s, sw_bounds *b) {
    const nadamp_options *o = SW_STEP_OPTIONS(s, nadamp_options);
    const adam_coefficients *c = SW_STEP_COEFFICIENTS(s, adam_coefficients);
    double *m = &SW_SLOT_BOUND(b, adam_slots, m), *v = SW_STEP_SLOTS(s, adam_slots)->v
                                                           ? &SW_SLOT_BOUND(b, adam_slots, v)
                                                           : &SW_SLOT_BOUND(b, adam_slots, v_f64);
    const double least = (c->eps_inside > 0 ? pow(c->eps_inside, 1 / o->p) : 0) * c->root_scale + c->eps_outside;
    *m = o->adam.beta1 * *m + c->phi * b->g;
    *v = o->adam.beta2 * *v + b->g * b->g;
    const double numerator = fabs(c->a) * *m + fabs(c->b) * b->g;
    b->largest += numerator + fabs(c->a) + fabs(c->b) + fabs(c->shrink) + (*v + 1) * c->root_scale;
    b->x = fabs(c->shrink) * b->x + numerator / least;
}

static bool nadamp_in_f64(const double *option) {
    const nadamp_options *o = SW_OPTIONS_AS(option, nadamp_options);
    return sw_means_need_f64(o->adam.eps, o->adam.eps_in_root != 0, 1 - o->adam.beta2, o->p);
}

static bool nadamp_needs_v(const double *option, sw_dtype type) {
    return type != SW_F32 || !nadamp_in_f64(option);
}

static bool nadamp_needs_v_f64(const double *option, sw_dtype type) {
    return !nadamp_needs_v(option, type);
}

static sw_status nadamp_begin(sw_step *s) {
    const nadamp_options *o = SW_STEP_OPTIONS(s, nadamp_options);
    swo_nadamw_begin(s);
    swo_adam_root(s, 1 - pow(o->adam.beta2, (double)s->step), o->p);
    return sw_second_moments_check(s, "nadamp", o->adam.eps, nadamp_in_f64(s->option),
                                   SW_STEP_SLOTS(s, adam_slots)->v_f64);
}

/* clang-format off */
static const sw_option nadamp_option_table[] = {
    ADAM_OPTIONS(1e-3, 0.01, DECAY_DECOUPLED),
    {.name = "p", .value = 1.5, .low = 1, .high = 4, .help = "degree of the root of v; 2: NadamW",
     .search_low = 1.5, .search_high = 2},
    {0}};
/* clang-format on */
static const sw_slot nadamp_slot_table[] = {{.name = "m"},
                                            {.name = "v", .needed_by = nadamp_needs_v},
                                            {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = nadamp_needs_v_f64},
                                            {0}};
SW_MATCH_OPTIONS(nadamp_options, nadamp_option_table);
SW_MATCH_SLOTS(adam_slots, nadamp_slot_table);

const sw_rule swo_nadamp = {.size = sizeof(sw_rule),
                            .name = "nadamp",
                            .summary = "NadamW with a p-th root in the denominator",
                            .source = "Kasimbeg et al., AlgoPerf, ICLR 2025",
                            .options = nadamp_option_table,
                            .slots = nadamp_slot_table,
                            .flags = SW_RULE_LINEAR,
                            .begin = nadamp_begin,
                            .update = &nadamp_kernels,
                            .reach = nadamp_reach};

#endif
