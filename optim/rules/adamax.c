/* Adamax (Kingma, Ba, ICLR 2015, section 7.1): Adam with the maximum norm,
 *     g ← g + λθ
 *     m ← β1 m + (1 - β1) g
 *     u ← max(β2 u, |g| + ε)
 *     θ ← θ - η/(1 - β1ᵗ) · m / u
 * There is no root for ε to be in: it stands where torch has it. */
#include <swale/kernel.h>
#include "optim/methods.h"

#if SW_KERNEL_FIRST
enum { LR, BETA1, BETA2, EPS, WEIGHT_DECAY };
enum { STEP_SIZE };
#endif

#if SW_KERNEL_PASS

static void SW_K(adamax)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict x = s->x;
    const real *restrict gradient = s->g;
    real *restrict m = s->slot[0], *restrict u = s->slot[1];
    const real beta1 = (real)s->option[BETA1], beta2 = (real)s->option[BETA2], fresh = (real)(1 - s->option[BETA1]),
               eps = (real)s->option[EPS], step_size = (real)s->coefficient[STEP_SIZE],
               decay = (real)s->option[WEIGHT_DECAY];
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real g = gradient[i] + decay * x[i];
        m[i] = beta1 * m[i] + fresh * g;
        const real before = beta2 * u[i], now = (g < 0 ? -g : g) + eps;
        u[i] = now > before ? now : before;
        x[i] -= step_size * m[i] / u[i];
    }
}

#else

#include "optim/reach.h"

static const sw_kernels kernels = SW_KERNEL_TABLE(adamax);

/* own: R with |m| ≤ R u. u is at least |g| + ε, and β2 times what it was: R' = β1 R/β2 + 1 - β1. */
static void adamax_reach(const sw_step *s, sw_bounds *b) {
    const double *o = s->option, n = sqrt((double)b->count), step_size = fabs(s->coefficient[STEP_SIZE]),
                 g = b->g + o[WEIGHT_DECAY] * b->x, m = o[BETA1] * b->slot[0] + (1 - o[BETA1]) * g;
    b->own = o[BETA2] > 0 ? (o[BETA1] * b->own / o[BETA2] + 1 - o[BETA1]) * (1 + 1e-6) : INFINITY;
    b->slot[0] = m;
    b->slot[1] = fmax(o[BETA2] * b->slot[1], g + n * o[EPS]);
    b->largest += step_size + step_size * m + g + o[WEIGHT_DECAY];
    b->x += step_size * swo_tighter(m / o[EPS], n * b->own);
}

static sw_status begin(sw_step *s) {
    s->coefficient[STEP_SIZE] = s->option[LR] / (1 - pow(s->option[BETA1], (double)s->step));
    return SW_OK;
}

/* clang-format off */
static const sw_option options[] = {
    {.name = "lr", .value = 2e-3, .low = 0, .high = 1e6, .help = "η, learning rate",
     .search_low = 1e-4, .search_high = 1e-1, .search_log = true},
    {.name = "beta1", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "decay of the mean of g", .search_low = 0.8, .search_high = 0.98},
    {.name = "beta2", .value = 0.999, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "decay of the largest |g|", .search_low = 0.95, .search_high = 0.9999},
    {.name = "eps", .value = 1e-8, .low = 1e-30, .high = 1, .help = "ε, added to |g|",
     .search_low = 1e-10, .search_high = 1e-4, .search_log = true},
    WEIGHT_DECAY_ROW,
    {0}};
/* clang-format on */
static const sw_slot slots[] = {{.name = "m"}, {.name = "u"}, {0}};

const sw_rule swo_adamax = {.size = sizeof(sw_rule),
                            .name = "adamax",
                            .summary = "Adam with the maximum norm",
                            .source = "Kingma, Ba, ICLR 2015",
                            .options = options,
                            .slots = slots,
                            .flags = SW_RULE_LINEAR,
                            .begin = begin,
                            .update = &kernels,
                            .reach = adamax_reach};

#endif
