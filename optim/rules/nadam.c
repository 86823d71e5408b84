/* NAdam (Dozat 2016), as torch.optim.NAdam defines it: Adam with Nesterov's look ahead and a momentum
 * that grows, μₜ = β1 (1 - ½·0.96^(ψt)), Πₜ = μ₁ μ₂ … μₜ:
 *     g ← g + λθ, or θ ← (1 - ηλ) θ if decoupled
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     θ ← θ - η [ (1 - μₜ)/(1 - Πₜ) g + μₜ₊₁/(1 - Πₜ₊₁) m ] / (√(v/(1 - β2ᵗ)) + ε)
 */
#include "optim/rules/adam.h"

#include <math.h>

enum { MOMENTUM_DECAY = ADAM_OPTIONS, DECOUPLED };
enum { PRODUCT }; /* scalars */

static double momentum(const double *o, double t) {
    return o[BETA1] * (1 - 0.5 * pow(0.96, t * o[MOMENTUM_DECAY]));
}

static sw_status begin(sw_step *s) {
    const double *o = s->option, t = (double)s->step;
    const double mu = momentum(o, t), next = momentum(o, t + 1);
    s->scalar[PRODUCT] = (s->step == 1 ? 1 : s->scalar[PRODUCT]) * mu;
    swo_adam_begin(s, o[DECOUPLED] != 0);
    s->coefficient[ALONG_G] = o[LR] * (1 - mu) / (1 - s->scalar[PRODUCT]);
    s->coefficient[ALONG_M] = o[LR] * next / (1 - s->scalar[PRODUCT] * next);
    return swo_adam_check(s, "nadam");
}

static const sw_option options[] = {
    ADAM_OPTION_ROWS(2e-3, 0, DECAY_IN_GRADIENT),
    {.name = "momentum_decay", .value = 0.004, .low = 0, .high = 1e3, .help = "ψ, of the growing momentum"},
    {.name = "decoupled", .kind = SW_OPTION_BOOL, .help = "decay as in AdamW"},
    {0}};
static const char *const scalars[] = {"product", NULL};

const sw_rule swo_nadam = {.size = sizeof(sw_rule),
                           .name = "nadam",
                           .summary = "Adam with Nesterov's look ahead, momentum that grows",
                           .source = "Dozat, ICLR workshop 2016",
                           .options = options,
                           .slots = swo_adam_slots,
                           .scalars = scalars,
                           .flags = SW_RULE_LINEAR,
                           .begin = begin,
                           .update = &swo_adam_kernels,
                           .reach = swo_adam_reach};
