/* NAdam (Dozat 2016), as torch.optim.NAdam defines it: Adam with Nesterov's momentum, which
 * grows: μₜ = β1 (1 - ½·0.96^(ψt)), Πₜ = μ₁ μ₂ … μₜ:
 *     g ← g + λθ, or θ ← (1 - ηλ) θ if decoupled
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     θ ← θ - η [ (1 - μₜ)/(1 - Πₜ) g + μₜ₊₁/(1 - Πₜ₊₁) m ] / (√(v/(1 - β2ᵗ)) + ε)
 */
#include "optim/rules/adam.h"

typedef struct nadam_options {
    adam_options adam;
    double momentum_decay, decoupled;
} nadam_options;
typedef struct nadam_scalars {
    double product; /* Πₜ */
} nadam_scalars;

/* μₜ */
static double nadam_mu(const nadam_options *o, double t) {
    return o->adam.beta1 * (1 - 0.5 * pow(0.96, t * o->momentum_decay));
}

static sw_status nadam_begin(sw_step *s) {
    const nadam_options *o = SW_STEP_OPTIONS(s, nadam_options);
    nadam_scalars *scalars = SW_STEP_SCALARS(s, nadam_scalars);
    adam_coefficients *c = SW_STEP_COEFFICIENTS(s, adam_coefficients);
    const double lr = o->adam.lr, t = (double)s->step, mu = nadam_mu(o, t), next_mu = nadam_mu(o, t + 1);
    scalars->product = (s->step == 1 ? 1 : scalars->product) * mu;
    swo_adam_begin(s, o->decoupled != 0);
    c->b = lr * (1 - mu) / (1 - scalars->product);
    c->a = lr * next_mu / (1 - scalars->product * next_mu);
    return swo_adam_check(s, "nadam");
}

static const sw_option nadam_option_table[] = {
    ADAM_OPTIONS(2e-3, 0, DECAY_IN_GRADIENT),
    {.name = "momentum_decay",
     .value = 0.004,
     .low = 0,
     .high = 1e3,
     .help = "ψ, the rate at which the momentum grows"},
    {.name = "decoupled", .kind = SW_OPTION_BOOL, .help = "decoupled weight decay, as in AdamW"},
    {0}};
static const char *const nadam_scalar_names[] = {"product", NULL};
SW_MATCH_SCALARS(nadam_scalars, nadam_scalar_names);
SW_MATCH_OPTIONS(nadam_options, nadam_option_table);

const sw_rule swo_nadam = {.size = sizeof(sw_rule),
                           .name = "nadam",
                           .summary = "Adam with Nesterov's momentum, which grows",
                           .source = "Dozat, ICLR workshop 2016",
                           .options = nadam_option_table,
                           .slots = swo_adam_slot_table,
                           .scalars = nadam_scalar_names,
                           .flags = SW_RULE_LINEAR,
                           .begin = nadam_begin,
                           .update = &swo_adam_kernels,
                           .reach = swo_adam_reach};
