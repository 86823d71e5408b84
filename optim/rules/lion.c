/* Lion (Chen et al., NeurIPS 2023): the sign of a mean, one vector of state.
 *     u = sign(β1 m + (1 - β1) g)         sign 0 = 0
 *     θ ← θ - η (u + λθ)
 *     m ← β2 m + (1 - β2) g
 */
#include <swale/kernel.h>
#include "optim/methods.h"

#if SW_KERNEL_FIRST
enum { LR, BETA1, BETA2, WEIGHT_DECAY };
#endif

#if SW_KERNEL_PASS

static void SW_K(lion)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict x = s->x;
    const real *restrict g = s->g;
    real *restrict m = s->slot[0];
    const real lr = (real)s->option[LR], beta1 = (real)s->option[BETA1], beta2 = (real)s->option[BETA2],
               fresh1 = (real)(1 - s->option[BETA1]), fresh2 = (real)(1 - s->option[BETA2]),
               shrink = (real)(1 - s->option[LR] * s->option[WEIGHT_DECAY]);
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real mean = beta1 * m[i] + fresh1 * g[i];
        x[i] = shrink * x[i] - (mean > 0 ? lr : mean < 0 ? -lr : 0);
        m[i] = beta2 * m[i] + fresh2 * g[i];
    }
}

#else

static const sw_kernels kernels = SW_KERNEL_TABLE(lion);

static void lion_reach(const sw_step *s, sw_bounds *b) {
    const double *o = s->option, lr = fabs(o[LR]), shrink = fabs(1 - o[LR] * o[WEIGHT_DECAY]);
    b->largest += lr + shrink + b->slot[0] + b->g;
    b->x = shrink * b->x + lr * sqrt((double)b->count);
    b->slot[0] = o[BETA2] * b->slot[0] + (1 - o[BETA2]) * b->g;
}

/* clang-format off */
static const sw_option options[] = {
    {.name = "lr", .value = 1e-4, .low = 0, .high = 1e6, .help = "η, learning rate: the length of a step",
     .search_low = 1e-5, .search_high = 1e-2, .search_log = true},
    {.name = "beta1", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "weight of m in the direction", .search_low = 0.8, .search_high = 0.98},
    {.name = "beta2", .value = 0.99, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "decay of m",
     .search_low = 0.9, .search_high = 0.999},
    {.name = "weight_decay", .value = 0, .low = 0, .high = 1e6, .help = "λ, decoupled: θ ← (1 - ηλ) θ",
     .search_low = 1e-4, .search_high = 10, .search_log = true},
    {0}};
/* clang-format on */
static const sw_slot slots[] = {{.name = "m"}, {0}};

const sw_rule swo_lion = {.size = sizeof(sw_rule),
                          .name = "lion",
                          .summary = "the sign of a mean gradient",
                          .source = "Chen et al., NeurIPS 2023",
                          .options = options,
                          .slots = slots,
                          .flags = SW_RULE_LINEAR,
                          .update = &kernels,
                          .reach = lion_reach};

#endif
