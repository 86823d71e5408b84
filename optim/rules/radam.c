/* RAdam (Liu et al., ICLR 2020), as torch.optim.RAdam defines it: no denominator while the variance of
 * 1/√v is intractable, then a rectified denominator. ρ∞ = 2/(1 - β2) - 1, ρₜ = ρ∞ - 2t β2ᵗ/(1 - β2ᵗ):
 *     g ← g + λθ, or θ ← (1 - ηλ) θ if decoupled
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     ρₜ > 5:   θ ← θ - η/(1 - β1ᵗ) · rₜ √(1 - β2ᵗ) · m / (√v + ε)
 *               rₜ = √[ (ρₜ - 4)(ρₜ - 2) ρ∞ / ((ρ∞ - 4)(ρ∞ - 2) ρₜ) ]
 *     else:     θ ← θ - η/(1 - β1ᵗ) · m
 */
#include "optim/rules/adam.h"

typedef struct radam_options {
    adam_options adam;
    double decoupled;
} radam_options;

static sw_status radam_begin(sw_step *s) {
    const radam_options *o = SW_STEP_OPTIONS(s, radam_options);
    adam_coefficients *c = SW_STEP_COEFFICIENTS(s, adam_coefficients);
    const double beta2 = o->adam.beta2, t = (double)s->step, beta2_t = pow(beta2, t);
    const double rho_inf = 2 / (1 - beta2) - 1, rho = rho_inf - 2 * t * beta2_t / (1 - beta2_t);
    swo_adam_begin(s, o->decoupled != 0);
    swo_adam_root(s, 1, 2); /* ε is added to √v without its correction */
    c->no_denominator = rho > 5 ? 0 : 1;
    if (rho > 5)
        c->a *= sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho) * (1 - beta2_t));
    return swo_adam_check(s, "radam");
}

static const sw_option radam_option_table[] = {
    ADAM_OPTIONS(1e-3, 0, DECAY_IN_GRADIENT),
    {.name = "decoupled", .kind = SW_OPTION_BOOL, .help = "decoupled weight decay, as in AdamW"},
    {0}};
SW_MATCH_OPTIONS(radam_options, radam_option_table);

const sw_rule swo_radam = {.size = sizeof(sw_rule),
                           .name = "radam",
                           .summary = "Adam with a rectified denominator, and none in the first steps",
                           .source = "Liu et al., ICLR 2020",
                           .options = radam_option_table,
                           .slots = swo_adam_slot_table,
                           .flags = SW_RULE_LINEAR,
                           .begin = radam_begin,
                           .update = &swo_adam_kernels,
                           .reach = swo_adam_reach};
