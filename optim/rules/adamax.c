/* Adamax (Kingma, Ba, ICLR 2015, section 7.1): Adam with the maximum norm,
 *     g ← g + λθ
 *     m ← β1 m + (1 - β1) g
 *     u ← max(β2 u, |g| + ε)
 *     θ ← θ - η/(1 - β1ᵗ) · m / u
 * There is no root; ε has the same place as in PyTorch. */
#include <swale/kernel.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct adamax_options {
    double lr, beta1, beta2, eps, weight_decay;
} adamax_options;
typedef struct adamax_slots {
    void *m, *u;
} adamax_slots;
typedef struct adamax_coefficients {
    double step_size; /* η/(1 - β1ᵗ) */
} adamax_coefficients;
#endif

#if SW_KERNEL_PASS

static void SW_K(adamax)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const adamax_options *o = SW_STEP_OPTIONS(s, adamax_options);
    const adamax_slots *slots = SW_STEP_SLOTS(s, adamax_slots);
    real *restrict x = s->x, *restrict m = slots->m, *restrict u = slots->u;
    const real *restrict gradient = s->g;
    const real beta1 = (real)o->beta1, beta2 = (real)o->beta2, one_minus_beta1 = (real)(1 - o->beta1),
               eps = (real)o->eps, weight_decay = (real)o->weight_decay,
               step_size = (real)SW_STEP_COEFFICIENTS(s, adamax_coefficients)->step_size;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real g = gradient[i] + weight_decay * x[i];
        m[i] = beta1 * m[i] + one_minus_beta1 * g;
        const real before = beta2 * u[i], now = (g < 0 ? -g : g) + eps;
        u[i] = now > before ? now : before;
        x[i] -= step_size * m[i] / u[i];
    }
}

#else

#include <swale/reach.h>

static const sw_kernels adamax_kernels = SW_KERNEL_TABLE(adamax);

/* bounds->own is R with |m| ≤ R u. The new u is at least |g| + ε and at least β2 u, so that R' = β1 R/β2 + 1 - β1. */
static void adamax_reach(const sw_step *s, sw_bounds *b) {
    const adamax_options *o = SW_STEP_OPTIONS(s, adamax_options);
    const double step_size = fabs(SW_STEP_COEFFICIENTS(s, adamax_coefficients)->step_size), n = sqrt((double)b->count),
                 g = b->g + o->weight_decay * b->x;
    double *m = &SW_SLOT_BOUND(b, adamax_slots, m), *u = &SW_SLOT_BOUND(b, adamax_slots, u);
    b->own = o->beta2 > 0 ? (o->beta1 * b->own / o->beta2 + 1 - o->beta1) * (1 + 1e-6) : INFINITY;
    *m = o->beta1 * *m + (1 - o->beta1) * g;
    *u = fmax(o->beta2 * *u, g + n * o->eps);
    b->largest += step_size + step_size * *m + g + o->weight_decay;
    b->x += step_size * sw_bound_tighter(*m / o->eps, n * b->own);
}

static sw_status adamax_begin(sw_step *s) {
    const adamax_options *o = SW_STEP_OPTIONS(s, adamax_options);
    SW_STEP_COEFFICIENTS(s, adamax_coefficients)->step_size = o->lr / (1 - pow(o->beta1, (double)s->step));
    return SW_OK;
}

/* clang-format off */
static const sw_option adamax_option_table[] = {
    {.name = "lr", .value = 2e-3, .low = 0, .high = 1e6, .help = "η, learning rate",
     .search_low = 1e-4, .search_high = 1e-1, .search_log = true},
    {.name = "beta1", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "decay of the mean of g", .search_low = 0.8, .search_high = 0.98},
    {.name = "beta2", .value = 0.999, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "decay of the largest |g|", .search_low = 0.95, .search_high = 0.9999},
    {.name = "eps", .value = 1e-8, .low = 1e-30, .high = 1, .help = "ε, added to |g|",
     .search_low = 1e-10, .search_high = 1e-4, .search_log = true},
    SW_OPTION_WEIGHT_DECAY,
    {0}};
/* clang-format on */
static const sw_slot adamax_slot_table[] = {{.name = "m"}, {.name = "u"}, {0}};
SW_MATCH_OPTIONS(adamax_options, adamax_option_table);
SW_MATCH_SLOTS(adamax_slots, adamax_slot_table);

const sw_rule swo_adamax = {.size = sizeof(sw_rule),
                            .name = "adamax",
                            .summary = "Adam with the maximum norm",
                            .source = "Kingma, Ba, ICLR 2015",
                            .options = adamax_option_table,
                            .slots = adamax_slot_table,
                            .flags = SW_RULE_LINEAR,
                            .begin = adamax_begin,
                            .update = &adamax_kernels,
                            .reach = adamax_reach};

#endif
