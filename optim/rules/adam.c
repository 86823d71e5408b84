/* Adam (Kingma, Ba, ICLR 2015):
 *     g ← g + λθ
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     θ ← θ - η/(1 - β1ᵗ) · m / (√(v/(1 - β2ᵗ)) + ε)
 * The file also has the loop for all rules with the equations of adam.h.
 */
#include <swale/kernel.h>
#include <swale/kernel_blocks.h>
#include <swale/kernel_roots.h>
#include <swale/kernel_second_moments.h>
#include "optim/rules/adam.h"

#if SW_KERNEL_PASS

/* A step with denominator on n ≤ SW_BLOCK_LENGTH elements. */
SW_K_INLINE void SW_K(adam_block)(const sw_step *s, int64_t n, real *restrict x, const real *restrict gradient,
                                  real *restrict m, real *restrict v) {
    const adam_options *o = SW_STEP_OPTIONS(s, adam_options);
    const adam_coefficients *c = SW_STEP_COEFFICIENTS(s, adam_coefficients);
    const real beta1 = (real)o->beta1, beta2 = (real)o->beta2, phi = (real)c->phi,
               one_minus_beta2 = (real)(1 - o->beta2), a = (real)(c->a * c->inverse_scale),
               b = (real)(c->b * c->inverse_scale), eps_outside = (real)(c->eps_outside * c->inverse_scale),
               eps_inside = (real)c->eps_inside, l2 = (real)c->l2, shrink = (real)c->shrink;
    _Alignas(64) real numerator[SW_BLOCK_LENGTH], root[SW_BLOCK_LENGTH];
    for (int64_t i = 0; i < n; i++) {
        const real g = gradient[i] + l2 * x[i];
        m[i] = beta1 * m[i] + phi * g;
        v[i] = beta2 * v[i] + (one_minus_beta2 * g) * g;
        numerator[i] = a * m[i] + b * g;
        root[i] = v[i] + eps_inside;
    }
    SW_K(sw_k_roots)(root, n);
    for (int64_t i = 0; i < n; i++)
        x[i] = shrink * x[i] - numerator[i] / (root[i] + eps_outside);
}

static void SW_K(adam)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const adam_options *o = SW_STEP_OPTIONS(s, adam_options);
    const adam_coefficients *c = SW_STEP_COEFFICIENTS(s, adam_coefficients);
    const adam_slots *slots = SW_STEP_SLOTS(s, adam_slots);
    real *restrict x = s->x, *restrict m = slots->m, *restrict v = slots->v;
    const real *restrict gradient = s->g;
    const real beta1 = (real)o->beta1, beta2 = (real)o->beta2, phi = (real)c->phi,
               one_minus_beta2 = (real)(1 - o->beta2), a = (real)c->a, b = (real)c->b, l2 = (real)c->l2,
               shrink = (real)c->shrink;
    (void)sums;
    if (!v) {
        for (int64_t i = begin; i < end; i++) {
            const real g = gradient[i] + l2 * x[i];
            m[i] = beta1 * m[i] + phi * g;
            x[i] = shrink * x[i] - (a * m[i] + b * g);
        }
    } else if (c->no_denominator != 0) {
        for (int64_t i = begin; i < end; i++) {
            const real g = gradient[i] + l2 * x[i];
            m[i] = beta1 * m[i] + phi * g;
            v[i] = beta2 * v[i] + (one_minus_beta2 * g) * g;
            x[i] = shrink * x[i] - (a * m[i] + b * g);
        }
    } else {
        SW_BY_BLOCKS(s, begin, end, SW_K(adam_block)(s, n, x + begin, gradient + begin, m + begin, v + begin));
    }
}

SW_SECOND_MOMENT_KERNELS(adam, adam_slots, v, v_f64, 1)

#else

#include <swale/reach.h>

const sw_kernels swo_adam_kernels = SW_KERNEL_TABLE(adam_update);

bool swo_adam_in_f64(const double *option) {
    const adam_options *o = SW_OPTIONS_AS(option, adam_options);
    return sw_means_need_f64(o->eps, o->eps_in_root != 0, 1 - o->beta2, 2);
}

bool swo_adam_needs_v(const double *option, sw_dtype type) {
    return type != SW_F32 || !swo_adam_in_f64(option);
}

bool swo_adam_needs_v_f64(const double *option, sw_dtype type) {
    return !swo_adam_needs_v(option, type);
}

const sw_slot swo_adam_slot_table[] = {{.name = "m"},
                                       {.name = "v", .needed_by = swo_adam_needs_v},
                                       {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = swo_adam_needs_v_f64},
                                       {0}};
SW_MATCH_SLOTS(adam_slots, swo_adam_slot_table);

void swo_adam_root(sw_step *s, double correction, double p) {
    const adam_options *o = SW_STEP_OPTIONS(s, adam_options);
    adam_coefficients *c = SW_STEP_COEFFICIENTS(s, adam_coefficients);
    const bool in_root = o->eps_in_root != 0;
    c->root_scale = p == 2 ? sqrt(1 / correction) : pow(1 / correction, 1 / p);
    c->inverse_scale = 1 / c->root_scale;
    c->eps_inside = in_root ? o->eps * correction : 0;
    c->eps_outside = in_root ? 0 : o->eps;
}

void swo_adam_begin(sw_step *s, bool decoupled) {
    const adam_options *o = SW_STEP_OPTIONS(s, adam_options);
    adam_coefficients *c = SW_STEP_COEFFICIENTS(s, adam_coefficients);
    const double t = (double)s->step;
    c->a = o->lr / (1 - pow(o->beta1, t));
    c->b = 0;
    c->phi = 1 - o->beta1;
    swo_adam_root(s, 1 - pow(o->beta2, t), 2);
    c->l2 = decoupled ? 0 : o->weight_decay;
    c->shrink = decoupled ? 1 - o->lr * o->weight_decay : 1;
    c->no_denominator = 0;
}

sw_status swo_adam_check(const sw_step *s, const char *rule) {
    return sw_second_moments_check(s, rule, SW_STEP_OPTIONS(s, adam_options)->eps, swo_adam_in_f64(s->option),
                                   SW_STEP_SLOTS(s, adam_slots)->v_f64);
}

/* R bounds |m|/√v. With m' = β1 m + ϕ g and v' = β2 v + (1 - β2) g², the Cauchy-Schwarz inequality gives R'² = β1²
 * R²/β2 + ϕ²/(1 - β2). If g² was flushed to zero, m has an additional part, of which `rest` is a bound. If there is no
 * v, or the previous steps are not known, only the smallest denominator bounds the step. */
void swo_adam_reach_with(const sw_step *s, sw_bounds *b, double *v) {
    const adam_options *o = SW_STEP_OPTIONS(s, adam_options);
    const adam_coefficients *c = SW_STEP_COEFFICIENTS(s, adam_coefficients);
    const double beta1 = o->beta1, beta2 = o->beta2, one_minus_beta2 = 1 - beta2, n = sqrt((double)b->count);
    double *m = &SW_SLOT_BOUND(b, adam_slots, m);
    const double g = b->g + fabs(c->l2) * b->x;
    *m = beta1 * *m + fabs(c->phi) * g;
    const double numerator = fabs(c->a) * *m + fabs(c->b) * g;
    double far = numerator;
    b->largest += numerator + fabs(c->a) + fabs(c->b) + fabs(c->l2) + fabs(c->shrink) + fabs(c->root_scale);
    if (v) {
        const double least = sqrt(c->eps_inside) * c->root_scale + c->eps_outside;
        *v = beta2 * *v + one_minus_beta2 * g * g;
        b->largest += sqrt(*v) * c->root_scale;
        b->own = beta2 > 0
                     ? sqrt(beta1 * beta1 * b->own * b->own / beta2 + c->phi * c->phi / one_minus_beta2) * (1 + 1e-6)
                     : INFINITY;
        const double of_g = sw_bound_normalized(b, s->type, one_minus_beta2, least),
                     rest = (b->own + 1) * (of_g - sqrt((double)b->count / one_minus_beta2)), of_m = n * b->own + rest;
        if (c->no_denominator == 0)
            far = sw_bound_tighter(numerator / least, fabs(c->a) * of_m + fabs(c->b) * of_g);
    }
    b->x = fabs(c->shrink) * b->x + far;
}

void swo_adam_reach(const sw_step *s, sw_bounds *b) {
    const adam_slots *slots = SW_STEP_SLOTS(s, adam_slots);
    swo_adam_reach_with(s, b,
                        slots->v       ? &SW_SLOT_BOUND(b, adam_slots, v)
                        : slots->v_f64 ? &SW_SLOT_BOUND(b, adam_slots, v_f64)
                                       : NULL);
}

static sw_status adam_begin(sw_step *s) {
    swo_adam_begin(s, false);
    return swo_adam_check(s, "adam");
}

static const sw_option adam_option_table[] = {ADAM_OPTIONS(1e-3, 0, DECAY_IN_GRADIENT), {0}};
SW_MATCH_OPTIONS(adam_options, adam_option_table);

const sw_rule swo_adam = {.size = sizeof(sw_rule),
                          .name = "adam",
                          .summary = "adaptive moments",
                          .source = "Kingma, Ba, ICLR 2015",
                          .options = adam_option_table,
                          .slots = swo_adam_slot_table,
                          .flags = SW_RULE_LINEAR,
                          .begin = adam_begin,
                          .update = &swo_adam_kernels,
                          .reach = swo_adam_reach};

#endif
