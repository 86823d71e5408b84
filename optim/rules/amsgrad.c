/* AMSGrad (Reddi, Kale, Kumar, ICLR 2018): Adam with a denominator that never falls.
 *     g ← g + λθ
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     v̂ ← max(v̂, v)
 *     θ ← θ - η/(1 - β1ᵗ) · m / (√(v̂/(1 - β2ᵗ)) + ε)
 * That is torch's, correction=after: the bias is taken out after the maximum. before: v̂ ← max(v̂,
 * v/(1 - β2ᵗ)), and √v̂ (optax). none: no correction of v, nor of m (the paper).
 */
#include <swale/kernel.h>
#include "optim/rules/adam.h"
#include "optim/rules/blocks.h"

#if SW_KERNEL_FIRST
enum { CORRECTION = ADAM_OPTIONS };
enum { AFTER, BEFORE, NONE };
enum { FIRST_SCALE = ADAM_COEFFICIENTS };         /* of v in the maximum */
enum { AMS_V_MAX = 2, AMS_V_F64, AMS_V_MAX_F64 }; /* slots after m and v */
#endif

#if SW_KERNEL_PASS

#if SW_KERNEL_F32
static void F64_KERNEL(amsgrad_f32)(void *args, int64_t begin, int64_t end, double *sums);
#endif

static void SW_K(amsgrad)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict x = s->x;
    const real *restrict gradient = s->g;
    real *restrict m = s->slot[M], *restrict v = SQUARES(s, V, AMS_V_F64),
                   *restrict largest = SQUARES(s, AMS_V_MAX, AMS_V_MAX_F64);
    const real beta1 = (real)s->option[BETA1], beta2 = (real)s->option[BETA2], fresh1 = (real)s->coefficient[FRESH],
               fresh2 = (real)(1 - s->option[BETA2]), a = (real)s->coefficient[ALONG_M],
               first = (real)s->coefficient[FIRST_SCALE], scale = (real)s->coefficient[ROOT_SCALE],
               inside = (real)s->coefficient[INSIDE], outside = (real)s->coefficient[OUTSIDE],
               l2 = (real)s->coefficient[L2];
    (void)sums;
#if SW_KERNEL_F32
    if (s->slot[AMS_V_F64]) {
        F64_KERNEL(amsgrad_f32)(args, begin, end, sums);
        return;
    }
#endif
    for (int64_t i = begin; i < end; i++) {
        const real g = gradient[i] + l2 * x[i];
        m[i] = beta1 * m[i] + fresh1 * g;
        v[i] = beta2 * v[i] + (fresh2 * g) * g;
        const real now = first * v[i], before = largest[i];
        largest[i] = now > before ? now : before;
        x[i] -= a * m[i] / (SW_R(sqrt)(largest[i] + inside) * scale + outside);
    }
}

#if !SW_KERNEL_F32
/* Parameters of f32, second moments of f64. */
static void SW_K(amsgrad_f32)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)sums;
    SW_K(on_f64)(args, begin, end, 1u << AMS_V_F64 | 1u << AMS_V_MAX_F64, SW_K(amsgrad));
}
#endif

#else

static const sw_kernels kernels = SW_KERNEL_TABLE(amsgrad);

static void amsgrad_reach(const sw_step *s, sw_bounds *b) {
    const bool in_f64 = s->slot[V] == NULL;
    const int of_v = in_f64 ? AMS_V_F64 : V, of_max = in_f64 ? AMS_V_MAX_F64 : AMS_V_MAX;
    swo_adam_reach_with(s, b, AMS_V_F64);
    b->slot[of_max] = fmax(b->slot[of_max], s->coefficient[FIRST_SCALE] * b->slot[of_v]);
    b->largest += s->coefficient[FIRST_SCALE] * b->slot[of_v] + sqrt(b->slot[of_max]) * s->coefficient[ROOT_SCALE];
}

static sw_status begin(sw_step *s) {
    double *c = s->coefficient;
    swo_adam_begin(s, false);
    c[FIRST_SCALE] = s->option[CORRECTION] == BEFORE ? 1 / (1 - pow(s->option[BETA2], (double)s->step)) : 1;
    if (s->option[CORRECTION] != AFTER)
        swo_adam_root(s, 1, 2);
    if (s->option[CORRECTION] == NONE)
        c[ALONG_M] = s->option[LR];
    return swo_check_squares(s, "amsgrad", s->option[EPS], swo_adam_in_f64(s->option), AMS_V_F64);
}

static const sw_option options[] = {ADAM_OPTION_ROWS(1e-3, 0, DECAY_IN_GRADIENT),
                                    {.name = "correction",
                                     .kind = SW_OPTION_CHOICE,
                                     .choices = "after|before|none",
                                     .help = "of the bias: after the maximum, before it, or none, also of m"},
                                    {0}};
static const sw_slot slots[] = {{.name = "m"},
                                {.name = "v", .needed_by = swo_adam_needs_v},
                                {.name = "v_max", .needed_by = swo_adam_needs_v},
                                {.name = "v_f64", .type = SW_SLOT_F64, .needed_by = swo_adam_needs_v_f64},
                                {.name = "v_max_f64", .type = SW_SLOT_F64, .needed_by = swo_adam_needs_v_f64},
                                {0}};

const sw_rule swo_amsgrad = {.size = sizeof(sw_rule),
                             .name = "amsgrad",
                             .summary = "Adam with a denominator that never falls",
                             .source = "Reddi, Kale, Kumar, ICLR 2018",
                             .options = options,
                             .slots = slots,
                             .flags = SW_RULE_LINEAR,
                             .begin = begin,
                             .update = &kernels,
                             .reach = amsgrad_reach};

#endif
