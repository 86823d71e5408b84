/* Lion (Chen et al., NeurIPS 2023): the sign of a mean of gradients, with one vector of state.
 *     u = sign(β1 m + (1 - β1) g)         sign 0 = 0
 *     θ ← θ - η (u + λθ)
 *     m ← β2 m + (1 - β2) g
 */
#include <swale/kernel.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct lion_options {
    double lr, beta1, beta2, weight_decay;
} lion_options;
typedef struct lion_slots {
    void *m;
} lion_slots;
#endif

#if SW_KERNEL_PASS

static void SW_K(lion)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const lion_options *o = SW_STEP_OPTIONS(s, lion_options);
    real *restrict x = s->x, *restrict m = SW_STEP_SLOTS(s, lion_slots)->m;
    const real *restrict g = s->g;
    const real lr = (real)o->lr, beta1 = (real)o->beta1, beta2 = (real)o->beta2, one_minus_beta1 = (real)(1 - o->beta1),
               one_minus_beta2 = (real)(1 - o->beta2), shrink = (real)(1 - o->lr * o->weight_decay);
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real mean = beta1 * m[i] + one_minus_beta1 * g[i];
        x[i] = shrink * x[i] - (mean > 0 ? lr : mean < 0 ? -lr : 0);
        m[i] = beta2 * m[i] + one_minus_beta2 * g[i];
    }
}

#else

static const sw_kernels lion_kernels = SW_KERNEL_TABLE(lion);

static void lion_reach(const sw_step *s, sw_bounds *b) {
    const lion_options *o = SW_STEP_OPTIONS(s, lion_options);
    double *m = &SW_SLOT_BOUND(b, lion_slots, m);
    const double lr = fabs(o->lr), shrink = fabs(1 - o->lr * o->weight_decay);
    b->largest += lr + shrink + *m + b->g;
    b->x = shrink * b->x + lr * sqrt((double)b->count);
    *m = o->beta2 * *m + (1 - o->beta2) * b->g;
}

/* clang-format off */
static const sw_option lion_option_table[] = {
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
static const sw_slot lion_slot_table[] = {{.name = "m"}, {0}};
SW_MATCH_OPTIONS(lion_options, lion_option_table);
SW_MATCH_SLOTS(lion_slots, lion_slot_table);

const sw_rule swo_lion = {.size = sizeof(sw_rule),
                          .name = "lion",
                          .summary = "steps by the sign of a mean of gradients",
                          .source = "Chen et al., NeurIPS 2023",
                          .options = lion_option_table,
                          .slots = lion_slot_table,
                          .flags = SW_RULE_LINEAR,
                          .update = &lion_kernels,
                          .reach = lion_reach};

#endif
