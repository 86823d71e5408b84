/* RAdam (Liu et al., ICLR 2020), as torch.optim.RAdam defines it: no denominator while the variance of
 * 1/√v is not tractable, then a rectified one. ρ∞ = 2/(1 - β2) - 1, ρₜ = ρ∞ - 2t β2ᵗ/(1 - β2ᵗ):
 *     g ← g + λθ, or θ ← (1 - ηλ) θ if decoupled
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     ρₜ > 5:   θ ← θ - η/(1 - β1ᵗ) · rₜ √(1 - β2ᵗ) · m / (√v + ε)
 *               rₜ = √[ (ρₜ - 4)(ρₜ - 2) ρ∞ / ((ρ∞ - 4)(ρ∞ - 2) ρₜ) ]
 *     else:     θ ← θ - η/(1 - β1ᵗ) · m
 */
#include "optim/rules/adam.h"

#include <math.h>

enum { DECOUPLED = ADAM_OPTIONS };

static sw_status begin(sw_step *s) {
    const double beta2 = s->option[BETA2], t = (double)s->step, power = pow(beta2, t);
    const double most = 2 / (1 - beta2) - 1, rho = most - 2 * t * power / (1 - power);
    double *c = s->coefficient;
    swo_adam_begin(s, s->option[DECOUPLED] != 0);
    swo_adam_root(s, 1, 2); /* ε is added to √v without its correction */
    c[PLAIN] = rho > 5 ? 0 : 1;
    if (rho > 5)
        c[ALONG_M] *= sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho) * (1 - power));
    return swo_adam_check(s, "radam");
}

static const sw_option options[] = {ADAM_OPTION_ROWS(1e-3, 0, DECAY_IN_GRADIENT),
                                    {.name = "decoupled", .kind = SW_OPTION_BOOL, .help = "decay as in AdamW"},
                                    {0}};

const sw_rule swo_radam = {.size = sizeof(sw_rule),
                           .name = "radam",
                           .summary = "Adam that waits for its denominator, rectified",
                           .source = "Liu et al., ICLR 2020",
                           .options = options,
                           .slots = swo_adam_slots,
                           .flags = SW_RULE_LINEAR,
                           .begin = begin,
                           .update = &swo_adam_kernels,
                           .reach = swo_adam_reach};
