/* AMSGrad (Reddi, Kale, Kumar, ICLR 2018): Adam with a denominator that never decreases.
 *     g ← g + λθ, or θ ← (1 - ηλ) θ if decoupled (torch.optim.AdamW with amsgrad=True)
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     v̂ ← max(v̂, v)
 *     θ ← θ - η/(1 - β1ᵗ) · m / (√(v̂/(1 - β2ᵗ)) + ε)
 * This is PyTorch's version, correction=after: the bias is corrected after the maximum. before: v̂ ← max(v̂,
 * v/(1 - β2ᵗ)), and √v̂ (optax). none: neither v nor m is corrected (the paper).
 */
#include <swale/kernel.h>
#include <swale/kernel_second_moments.h>
#include "optim/rules/adam.h"

#if SW_KERNEL_FIRST
typedef struct amsgrad_options {
    adam_options adam;
    double correction, decoupled;
} amsgrad_options;
enum { CORRECTION_AFTER, CORRECTION_BEFORE, CORRECTION_NONE };
typedef struct amsgrad_slots {
    void *m, *v, *v_max, *v_f64, *v_max_f64;
} amsgrad_slots;
typedef struct amsgrad_coefficients {
    adam_coefficients adam;
    double v_scale; /* the factor of v in the maximum */
} amsgrad_coefficients;
#endif

#if SW_KERNEL_PASS

static void SW_K(amsgrad)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const adam_options *o = SW_STEP_OPTIONS(s, adam_options);
    const amsgrad_coefficients *c = SW_STEP_COEFFICIENTS(s, amsgrad_coefficients);
    const amsgrad_slots *slots = SW_STEP_SLOTS(s, amsgrad_slots);
    real *restrict x = s->x, *restrict m = slots->m, *restrict v = slots->v, *restrict v_max = slots->v_max;
    const real *restrict gradient = s->g;
    const real beta1 = (real)o->beta1, beta2 = (real)o->beta2, one_minus_beta1 = (real)c->adam.phi,
               one_minus_beta2 = (real)(1 - o->beta2), step_size = (real)c->adam.a, v_scale = (real)c->v_scale,
               root_scale = (real)c->adam.root_scale, eps_inside = (real)c->adam.eps_inside,
               eps_outside = (real)c->adam.eps_outside, l2 = (real)c->adam.l2, shrink = (real)c->adam.shrink;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real g = gradient[i] + l2 * x[i];
        m[i] = beta1 * m[i] + one_minus_beta1 * g;
        v[i] = beta2 * v[i] + (one_minus_beta2 * g) * g;
        const real now = v_scale * v[i], before = v_max[i];
        v_max[i] = now > before ? now : before;
        x[i] = shrink * x[i] - step_size * m[i] / (SW_R(sqrt)(v_max[i] + eps_inside) * root_scale + eps_outside);
    }
}

SW_SECOND_MOMENT_KERNELS(amsgrad, amsgrad_slots, v, v_f64, 2)

#else

static const sw_kernels amsgrad_kernels = SW_KERNEL_TABLE(amsgrad_update);

static void amsgrad_reach(const sw_step *s, sw_bounds *b) {
    const amsgrad_coefficients *c = SW_STEP_COEFFICIENTS(s, amsgrad_coefficients);
    const bool in_f64 = SW_STEP_SLOTS(s, amsgrad_slots)->v == NULL;
    double *v = in_f64 ? &SW_SLOT_BOUND(b, amsgrad_slots, v_f64) : &SW_SLOT_BOUND(b, amsgrad_slots, v);
    double *v_max = in_f64 ? &SW_SLOT_BOUND(b, amsgrad_slots, v_max_f64) : &SW_SLOT_BOUND(b, amsgrad_slots, v_max);
    swo_adam_reach_with(s, b, v);
    *v_max = fmax(*v_max, c->v_scale * *v);
    b->largest += c->v_scale * *v + sqrt(*v_max) * c->adam.root_scale;
}

static sw_status amsgrad_begin(sw_step *s) {
    const amsgrad_options *o = SW_STEP_OPTIONS(s, amsgrad_options);
    amsgrad_coefficients *c = SW_STEP_COEFFICIENTS(s, amsgrad_coefficients);
    const int correction = (int)o->correction;
    swo_adam_begin(s, o->decoupled != 0);
    c->v_scale = correction == CORRECTION_BEFORE ? 1 / (1 - pow(o->adam.beta2, (double)s->step)) : 1;
    if (correction != CORRECTION_AFTER)
        swo_adam_root(s, 1, 2);
    if (correction == CORRECTION_NONE)
        c->adam.a = o->adam.lr;
    return sw_second_moments_check(s, "amsgrad", o->adam.eps, swo_adam_in_f64(s->option),
                                   SW_STEP_SLOTS(s, amsgrad_slots)->v_f64);
}

static const sw_option amsgrad_option_table[] = {
    ADAM_OPTIONS(1e-3, 0, "λ, added to the gradient; decoupled: θ ← (1 - ηλ) θ"),
    {.name = "correction",
     .kind = SW_OPTION_CHOICE,
     .choices = "after|before|none",
     .help = "bias correction of v after or before the maximum; none: neither v nor m is corrected"},
    {.name = "decoupled", .kind = SW_OPTION_BOOL, .help = "θ ← (1 - ηλ) θ instead of g ← g + λθ"},
    {0}};
static const sw_slot amsgrad_slot_table[] = {
    {.name = "m"},
    {.name = "v", .needed_by = swo_adam_needs_v},
    {.name = "v_max", .needed_by = swo_adam_needs_v},
    {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = swo_adam_needs_v_f64},
    {.name = "v_max_f64", .type = SW_SLOT_F64, .needed_by = swo_adam_needs_v_f64},
    {0}};
SW_MATCH_OPTIONS(amsgrad_options, amsgrad_option_table);
SW_MATCH_SLOTS(amsgrad_slots, amsgrad_slot_table);

const sw_rule swo_amsgrad = {.size = sizeof(sw_rule),
                             .name = "amsgrad",
                             .summary = "Adam with a denominator that never decreases",
                             .source = "Reddi, Kale, Kumar, ICLR 2018",
                             .options = amsgrad_option_table,
                             .slots = amsgrad_slot_table,
                             .flags = SW_RULE_LINEAR,
                             .begin = amsgrad_begin,
                             .update = &amsgrad_kernels,
                             .reach = amsgrad_reach};

#endif
