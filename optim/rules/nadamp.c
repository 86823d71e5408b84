/* NadamP, of the AlgoPerf competition 2024: NadamW with another root in the denominator,
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     θ ← (1 - ηλ) θ - η/(1 - β1ᵗ) · (β1 m + (1 - β1) g) / ((v/(1 - β2ᵗ))^(1/p) + ε)
 * p = 2 is NadamW. Another root is e^(log(v)/p): its relative error in f32 is up to 88/p·2^-24 and some
 * units in the last place, the rounding of the logarithm. It sees no v below the smallest normal number.
 */
#define SW_KERNEL_FILE "rules/nadamp.c"
#include "kernel.h"
#include "adam.h"

#ifndef NADAMP_OPTIONS
#define NADAMP_OPTIONS
enum { POWER = ADAM_OPTIONS };
#endif

#if SW_KERNEL_PASS

static inline real SW_K(root)(real v, real exponent) {
#if SW_KERNEL_F32
    const real least = 1.17549435e-38f;
#else
    const real least = 2.2250738585072014e-308;
#endif
    return SW_K(sw_k_exp)(exponent * SW_K(sw_k_log)(v > least ? v : least));
}

static void SW_K(nadamp)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict x = s->x;
    const real *restrict g = s->g;
    real *restrict m = s->slot[0], *restrict v = s->slot[1];
    const real beta1 = (real)s->option[BETA1], beta2 = (real)s->option[BETA2],
               fresh1 = (real)s->coefficient[FRESH], fresh2 = (real)(1 - s->option[BETA2]),
               a = (real)s->coefficient[ALONG_M], b = (real)s->coefficient[ALONG_G],
               scale = (real)s->coefficient[V_SCALE], inside = (real)s->coefficient[INSIDE],
               outside = (real)s->coefficient[OUTSIDE], shrink = (real)s->coefficient[SHRINK],
               exponent = (real)(1 / s->option[POWER]);
    (void)sums;
    if (s->option[POWER] == 2) {
        for (int64_t i = begin; i < end; i++) {
            m[i] = beta1 * m[i] + fresh1 * g[i];
            v[i] = beta2 * v[i] + fresh2 * (g[i] * g[i]);
            x[i] = shrink * x[i] -
                   (a * m[i] + b * g[i]) / (SW_R(sqrt)(v[i] * scale + inside) + outside);
        }
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        m[i] = beta1 * m[i] + fresh1 * g[i];
        v[i] = beta2 * v[i] + fresh2 * (g[i] * g[i]);
        x[i] = shrink * x[i] -
               (a * m[i] + b * g[i]) / (SW_K(root)(v[i] * scale + inside, exponent) + outside);
    }
}

#else

static const sw_kernels kernels = SW_KERNEL_TABLE(nadamp);

static sw_status begin(sw_step *s) {
    swo_nadamw_begin(s);
    return SW_OK;
}

static const sw_option options[] = {
    ADAM_OPTION_ROWS(1e-3, 0.01, DECAY_DECOUPLED),
    {.name = "p", .value = 1.5, .low = 1, .high = 4, .help = "the root taken of v; 2: NadamW",
     .search_low = 1.5, .search_high = 2},
    {0}};

const sw_rule swo_nadamp = {.size = sizeof(sw_rule), .name = "nadamp",
                            .summary = "NadamW with a p-th root in the denominator",
                            .source = "Kasimbeg et al., AlgoPerf, ICLR 2025", .options = options,
                            .slots = swo_adam_slots, .flags = SW_RULE_LINEAR, .begin = begin,
                            .update = &kernels};

#endif
