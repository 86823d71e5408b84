/* AMSGrad (Reddi, Kale, Kumar, ICLR 2018): Adam with a denominator that never falls.
 *     g ← g + λθ
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     v̂ ← max(v̂, v)
 *     θ ← θ - η/(1 - β1ᵗ) · m / (√(v̂/(1 - β2ᵗ)) + ε)
 * That is torch's, correction=after: the bias is taken out after the maximum. before: v̂ ← max(v̂,
 * v/(1 - β2ᵗ)), and √v̂ (optax). none: no correction of v, nor of m (the paper).
 */
#define SW_KERNEL_FILE "rules/amsgrad.c"
#include "kernel.h"
#include "adam.h"

#ifndef AMSGRAD_OPTIONS
#define AMSGRAD_OPTIONS
enum { CORRECTION = ADAM_OPTIONS };
enum { AFTER, BEFORE, NONE };
enum { FIRST_SCALE = ADAM_COEFFICIENTS }; /* of v in the maximum */
#endif

#if SW_KERNEL_PASS

static void SW_K(amsgrad)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict x = s->x;
    const real *restrict gradient = s->g;
    real *restrict m = s->slot[0], *restrict v = s->slot[1], *restrict largest = s->slot[2];
    const real beta1 = (real)s->option[BETA1], beta2 = (real)s->option[BETA2],
               fresh1 = (real)s->coefficient[FRESH], fresh2 = (real)(1 - s->option[BETA2]),
               a = (real)s->coefficient[ALONG_M], first = (real)s->coefficient[FIRST_SCALE],
               scale = (real)s->coefficient[ROOT_SCALE], inside = (real)s->coefficient[INSIDE],
               outside = (real)s->coefficient[OUTSIDE], l2 = (real)s->coefficient[L2];
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real g = gradient[i] + l2 * x[i];
        m[i] = beta1 * m[i] + fresh1 * g;
        v[i] = beta2 * v[i] + (fresh2 * g) * g;
        const real now = first * v[i], before = largest[i];
        largest[i] = now > before ? now : before;
        x[i] -= a * m[i] / (SW_R(sqrt)(largest[i] + inside) * scale + outside);
    }
}

#else

static const sw_kernels kernels = SW_KERNEL_TABLE(amsgrad);

static sw_status begin(sw_step *s) {
    double *c = s->coefficient;
    swo_adam_begin(s, false);
    c[FIRST_SCALE] = s->option[CORRECTION] == BEFORE ? 1 / (1 - pow(s->option[BETA2], (double)s->step)) : 1;
    if (s->option[CORRECTION] != AFTER)
        swo_adam_root(s, 1, 2);
    if (s->option[CORRECTION] == NONE)
        c[ALONG_M] = s->option[LR];
    return SW_OK;
}

static const sw_option options[] = {
    ADAM_OPTION_ROWS(1e-3, 0, DECAY_IN_GRADIENT),
    {.name = "correction", .kind = SW_OPTION_CHOICE, .choices = "after|before|none",
     .help = "of the bias: after the maximum, before it, or none, also of m"},
    {0}};
static const sw_slot slots[] = {{.name = "m"}, {.name = "v"}, {.name = "v_max"}, {0}};

const sw_rule swo_amsgrad = {.size = sizeof(sw_rule), .name = "amsgrad",
                             .summary = "Adam with a denominator that never falls",
                             .source = "Reddi, Kale, Kumar, ICLR 2018", .options = options, .slots = slots,
                             .flags = SW_RULE_LINEAR, .begin = begin, .update = &kernels};

#endif
