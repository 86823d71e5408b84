/* Generalized Adam, of the AlgoPerf competition 2024: NadamW of which parts can be left out.
 *     as it is:                        nadamw
 *     without nesterov:                θ ← (1 - ηλ) θ - η m / (√(v/(1 - β2ᵗ)) + ε), m as it is
 *     with disable_preconditioning:    m ← β1 m + g;  θ ← (1 - ηλ) θ - η (g + β1 m), no v;
 *                                      η m alone without nesterov: heavy ball
 */
#include "optim/rules/adam.h"

enum { NESTEROV = ADAM_OPTIONS, DISABLE_PRECONDITIONING };

static sw_status begin(sw_step *s) {
    const double *o = s->option;
    double *c = s->coefficient;
    swo_nadamw_begin(s);
    if (o[DISABLE_PRECONDITIONING] != 0) {
        c[FRESH] = 1;
        c[ALONG_M] = o[NESTEROV] != 0 ? o[LR] * o[BETA1] : o[LR];
        c[ALONG_G] = o[NESTEROV] != 0 ? o[LR] : 0;
    } else if (o[NESTEROV] == 0) {
        c[ALONG_M] = o[LR];
        c[ALONG_G] = 0;
    }
    return o[DISABLE_PRECONDITIONING] != 0 ? SW_OK : swo_adam_check(s, "generalized_adam");
}

static bool preconditions(const double *option) {
    return option[DISABLE_PRECONDITIONING] == 0;
}

static const sw_option options[] = {
    ADAM_OPTION_ROWS(1e-3, 0.01, DECAY_DECOUPLED),
    {.name = "nesterov", .kind = SW_OPTION_BOOL, .value = 1, .help = "look ahead along m"},
    {.name = "disable_preconditioning", .kind = SW_OPTION_BOOL, .help = "no denominator, no v: momentum"},
    {0}};
static const sw_slot slots[] = {
    {.name = "m"},
    {.name = "v", .needed = preconditions, .needed_by = swo_adam_needs_v},
    {.name = "v_f64", .type = SW_SLOT_F64, .needed = preconditions, .needed_by = swo_adam_needs_v_f64},
    {0}};

const sw_rule swo_generalized_adam = {.size = sizeof(sw_rule),
                                      .name = "generalized_adam",
                                      .summary = "NadamW of which parts can be left out",
                                      .source = "Kasimbeg et al., AlgoPerf, ICLR 2025",
                                      .options = options,
                                      .slots = slots,
                                      .flags = SW_RULE_LINEAR,
                                      .begin = begin,
                                      .update = &swo_adam_kernels,
                                      .reach = swo_adam_reach};
