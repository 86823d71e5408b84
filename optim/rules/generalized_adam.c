/* Generalized Adam, of the AlgoPerf competition 2024: NadamW with parts that can be disabled.
 *     by default:                      nadamw
 *     without nesterov:                θ ← (1 - ηλ) θ - η m / (√(v/(1 - β2ᵗ)) + ε), m without correction
 *     with disable_preconditioning:    m ← β1 m + g;  θ ← (1 - ηλ) θ - η (g + β1 m), no v;
 *                                      only η m without nesterov: heavy ball
 */
#include "optim/rules/adam.h"

typedef struct generalized_adam_options {
    adam_options adam;
    double nesterov, disable_preconditioning;
} generalized_adam_options;

static sw_status generalized_adam_begin(sw_step *s) {
    const generalized_adam_options *o = SW_STEP_OPTIONS(s, generalized_adam_options);
    adam_coefficients *c = SW_STEP_COEFFICIENTS(s, adam_coefficients);
    const double lr = o->adam.lr, beta1 = o->adam.beta1;
    const bool nesterov = o->nesterov != 0;
    swo_nadamw_begin(s);
    if (o->disable_preconditioning != 0) {
        c->phi = 1;
        c->a = nesterov ? lr * beta1 : lr;
        c->b = nesterov ? lr : 0;
        return SW_OK;
    }
    if (!nesterov) {
        c->a = lr;
        c->b = 0;
    }
    return swo_adam_check(s, "generalized_adam");
}

static bool generalized_adam_preconditions(const double *option) {
    return SW_OPTIONS_AS(option, generalized_adam_options)->disable_preconditioning == 0;
}

static const sw_option generalized_adam_option_table[] = {
    ADAM_OPTIONS(1e-3, 0.01, DECAY_DECOUPLED),
    {.name = "nesterov", .kind = SW_OPTION_BOOL, .value = 1, .help = "Nesterov's momentum"},
    {.name = "disable_preconditioning",
     .kind = SW_OPTION_BOOL,
     .help = "SGD with momentum, without v and the denominator"},
    {0}};
static const sw_slot generalized_adam_slot_table[] = {
    {.name = "m"},
    {.name = "v", .needed = generalized_adam_preconditions, .needed_by = swo_adam_needs_v},
    {.name = "v_f64", .type = SW_SLOT_F64, .needed = generalized_adam_preconditions, .needed_by = swo_adam_needs_v_f64},
    {0}};
SW_MATCH_OPTIONS(generalized_adam_options, generalized_adam_option_table);
SW_MATCH_SLOTS(adam_slots, generalized_adam_slot_table);

const sw_rule swo_generalized_adam = {.size = sizeof(sw_rule),
                                      .name = "generalized_adam",
                                      .summary = "NadamW with parts that can be disabled",
                                      .source = "Kasimbeg et al., AlgoPerf, ICLR 2025",
                                      .options = generalized_adam_option_table,
                                      .slots = generalized_adam_slot_table,
                                      .flags = SW_RULE_LINEAR,
                                      .begin = generalized_adam_begin,
                                      .update = &swo_adam_kernels,
                                      .reach = swo_adam_reach};
