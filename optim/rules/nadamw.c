/* NadamW as AlgoPerf's baseline defines it: AdamW whose direction looks ahead once more,
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     θ ← (1 - ηλ) θ - η/(1 - β1ᵗ) · (β1 m + (1 - β1) g) / (√(v/(1 - β2ᵗ)) + ε)
 */
#include "optim/rules/adam.h"

void swo_nadamw_begin(sw_step *s) {
    swo_adam_begin(s, true);
    const double corrected = s->coefficient[ALONG_M]; /* η/(1 - β1ᵗ) */
    s->coefficient[ALONG_M] = corrected * s->option[BETA1];
    s->coefficient[ALONG_G] = corrected * (1 - s->option[BETA1]);
}

static sw_status begin(sw_step *s) {
    swo_nadamw_begin(s);
    return swo_adam_check(s, "nadamw");
}

static const sw_option options[] = {ADAM_OPTION_ROWS(1e-3, 0.01, DECAY_DECOUPLED), {0}};

const sw_rule swo_nadamw = {.size = sizeof(sw_rule),
                            .name = "nadamw",
                            .summary = "AdamW with Nesterov's look ahead",
                            .source = "Dozat 2016; Dahl et al., AlgoPerf, 2023",
                            .options = options,
                            .slots = swo_adam_slots,
                            .flags = SW_RULE_LINEAR,
                            .begin = begin,
                            .update = &swo_adam_kernels,
                            .reach = swo_adam_reach};
