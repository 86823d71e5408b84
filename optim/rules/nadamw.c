/* NadamW as AlgoPerf's baseline defines it: AdamW with Nesterov's momentum:
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     θ ← (1 - ηλ) θ - η/(1 - β1ᵗ) · (β1 m + (1 - β1) g) / (√(v/(1 - β2ᵗ)) + ε)
 */
#include "optim/rules/adam.h"

void swo_nadamw_begin(sw_step *s) {
    const adam_options *o = SW_STEP_OPTIONS(s, adam_options);
    adam_coefficients *c = SW_STEP_COEFFICIENTS(s, adam_coefficients);
    swo_adam_begin(s, true);
    const double step_size = c->a; /* η/(1 - β1ᵗ) */
    c->a = step_size * o->beta1;
    c->b = step_size * (1 - o->beta1);
}

static sw_status nadamw_begin(sw_step *s) {
    swo_nadamw_begin(s);
    return swo_adam_check(s, "nadamw");
}

static const sw_option nadamw_option_table[] = {ADAM_OPTIONS(1e-3, 0.01, DECAY_DECOUPLED), {0}};
SW_MATCH_OPTIONS(adam_options, nadamw_option_table);

const sw_rule swo_nadamw = {.size = sizeof(sw_rule),
                            .name = "nadamw",
                            .summary = "AdamW with Nesterov's momentum",
                            .source = "Dozat 2016; Dahl et al., AlgoPerf, 2023",
                            .options = nadamw_option_table,
                            .slots = swo_adam_slot_table,
                            .flags = SW_RULE_LINEAR,
                            .begin = nadamw_begin,
                            .update = &swo_adam_kernels,
                            .reach = swo_adam_reach};
