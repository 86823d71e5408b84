/* Adam (Kingma, Ba, ICLR 2015) and AdamW (Loshchilov, Hutter, ICLR 2019):
 *     Adam: g ← g + λθ;   AdamW: θ ← (1 - ηλ) θ
 *     m ← β1 m + (1 - β1) g
 *     v ← β2 v + (1 - β2) g²
 *     θ ← θ - η/(1 - β1ᵗ) · m / (√v/√(1 - β2ᵗ) + ε)
 */
#define SW_KERNEL_FILE "rules/adam.c"
#include "kernel.h"
#include "../optim.h"

#ifndef ADAM_OPTIONS
#define ADAM_OPTIONS
enum { LR, BETA1, BETA2, EPS, WEIGHT_DECAY };
enum { STEP_SIZE, ROOT_SCALE, L2, SHRINK }; /* what the loop needs, worked out once a step */
#endif

#if SW_KERNEL_PASS

static void SW_K(adam)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict x = s->x;
    const real *restrict gradient = s->g;
    real *restrict m = s->slot[0], *restrict v = s->slot[1];
    const real beta1 = (real)s->option[BETA1], beta2 = (real)s->option[BETA2],
               eps = (real)s->option[EPS], step_size = (real)s->coefficient[STEP_SIZE],
               root_scale = (real)s->coefficient[ROOT_SCALE], l2 = (real)s->coefficient[L2],
               shrink = (real)s->coefficient[SHRINK], rest1 = (real)(1 - s->option[BETA1]),
               rest2 = (real)(1 - s->option[BETA2]);
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real g = gradient[i] + l2 * x[i];
        m[i] = beta1 * m[i] + rest1 * g;
        v[i] = beta2 * v[i] + rest2 * (g * g);
        x[i] = shrink * x[i] - step_size * m[i] / (SW_R(sqrt)(v[i]) * root_scale + eps);
    }
}

#else

#include "../methods.h"

static const sw_kernels kernels = SW_KERNEL_TABLE(adam);

#define ADAM_OPTIONS_WITH(decay, decay_help)                                                       \
    {.name = "lr", .value = 1e-3, .low = 0, .high = 1e6, .help = "learning rate",                  \
     .search_low = 1e-4, .search_high = 1e-1, .search_log = true},                                 \
    {.name = "beta1", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH,                     \
     .help = "decay of the mean of g"},                                                            \
    {.name = "beta2", .value = 0.999, .low = 0, .high = 1, .open = SW_OPEN_HIGH,                   \
     .help = "decay of the mean of g²"},                                                           \
    {.name = "eps", .value = 1e-8, .low = 0, .high = 1, .help = "ε, outside the root"},            \
    {.name = "weight_decay", .value = decay, .low = 0, .high = 1e6, .help = decay_help},           \
    {0}

static const sw_option adam_options[] = {ADAM_OPTIONS_WITH(0, "λ, added to the gradient")};
static const sw_option adamw_options[] = {ADAM_OPTIONS_WITH(0.01, "λ, decoupled: θ ← (1 - ηλ) θ")};
static const sw_slot slots[] = {{.name = "m"}, {.name = "v"}, {0}};

static void begin(sw_step *s) {
    const double *o = s->option;
    s->coefficient[STEP_SIZE] = o[LR] / (1 - pow(o[BETA1], (double)s->step));
    s->coefficient[ROOT_SCALE] = 1 / sqrt(1 - pow(o[BETA2], (double)s->step));
    s->coefficient[L2] = 0;
    s->coefficient[SHRINK] = 1;
}

static sw_status adam_begin(sw_step *s) {
    begin(s);
    s->coefficient[L2] = s->option[WEIGHT_DECAY];
    return SW_OK;
}

static sw_status adamw_begin(sw_step *s) {
    begin(s);
    s->coefficient[SHRINK] = 1 - s->option[LR] * s->option[WEIGHT_DECAY];
    return SW_OK;
}

const sw_rule swo_adam = {.size = sizeof(sw_rule), .name = "adam",
                          .summary = "adaptive moments", .source = "Kingma, Ba, ICLR 2015",
                          .options = adam_options, .slots = slots, .flags = SW_RULE_LINEAR,
                          .begin = adam_begin, .update = &kernels, .cost = 7};
const sw_rule swo_adamw = {.size = sizeof(sw_rule), .name = "adamw",
                           .summary = "Adam with decoupled weight decay",
                           .source = "Loshchilov, Hutter, ICLR 2019", .options = adamw_options,
                           .slots = slots, .flags = SW_RULE_LINEAR, .begin = adamw_begin,
                           .update = &kernels, .cost = 7};

#endif
