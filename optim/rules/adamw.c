/* AdamW (Loshchilov, Hutter, ICLR 2019): Adam with a weight decay that the denominator does not scale:
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     θ ← (1 - ηλ) θ - η/(1 - β1ᵗ) · m / (√(v/(1 - β2ᵗ)) + ε)
 */
#include "optim/rules/adam.h"

static sw_status adamw_begin(sw_step *s) {
    swo_adam_begin(s, true);
    return swo_adam_check(s, "adamw");
}

static const sw_option adamw_option_table[] = {ADAM_OPTIONS(1e-3, 0.01, DECAY_DECOUPLED), {0}};
SW_MATCH_OPTIONS(adam_options, adamw_option_table);

const sw_rule swo_adamw = {.size = sizeof(sw_rule),
                           .name = "adamw",
                           .summary = "Adam with decoupled weight decay",
                           .source = "Loshchilov, Hutter, ICLR 2019",
                           .options = adamw_option_table,
                           .slots = swo_adam_slot_table,
                           .flags = SW_RULE_LINEAR,
                           .begin = adamw_begin,
                           .update = &swo_adam_kernels,
                           .reach = swo_adam_reach};
