/* NAG-GS (Leplat, Merkulov, Katrutsa, Bershatsky, Oseledets 2022): the accelerated flow, integrated by
 * Gauss-Seidel. As the authors' code takes it, each step ends the iteration before and begins its own:
 *     v ← (γ v + η μ θ - η g)/(η μ + γ)          from the second step on; v = θ before
 *     θ ← θ + (v - θ) η/(1 + η)
 *     γ ← (η μ + γ)/(1 + η)
 */
#include <swale/kernel.h>
#include "optim/methods.h"

#if SW_KERNEL_FIRST
enum { LR, MU, GAMMA_START };
enum { OF_V, OF_X, OF_G, TOWARD };
#endif

#if SW_KERNEL_PASS

static void SW_K(nag_gs)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict x = s->x;
    const real *restrict g = s->g;
    real *restrict v = s->slot[0];
    const real of_v = (real)s->coefficient[OF_V], of_x = (real)s->coefficient[OF_X], of_g = (real)s->coefficient[OF_G],
               toward = (real)s->coefficient[TOWARD];
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        v[i] = of_v * v[i] + of_x * x[i] - of_g * g[i];
        x[i] += toward * (v[i] - x[i]);
    }
}

#else

#include <math.h>

static const sw_kernels kernels = SW_KERNEL_TABLE(nag_gs);

enum { GAMMA }; /* scalars */
static const char *const scalars[] = {"gamma", NULL};

static sw_status begin(sw_step *s) {
    const double lr = s->option[LR], mu = s->option[MU];
    const double gamma = s->step == 1 ? s->option[GAMMA_START] : s->scalar[GAMMA];
    const bool first = s->step == 1;
    s->coefficient[OF_V] = first ? 1 : gamma / (lr * mu + gamma);
    s->coefficient[OF_X] = first ? 0 : lr * mu / (lr * mu + gamma);
    s->coefficient[OF_G] = first ? 0 : lr / (lr * mu + gamma);
    s->coefficient[TOWARD] = lr / (1 + lr);
    s->scalar[GAMMA] = (lr * mu + gamma) / (1 + lr);
    return SW_OK;
}

static void nag_gs_reach(const sw_step *s, sw_bounds *b) {
    const double *c = s->coefficient;
    const double v = fabs(c[OF_V]) * b->slot[0] + fabs(c[OF_X]) * b->x + fabs(c[OF_G]) * b->g;
    b->largest += v + b->x + fabs(c[OF_V]) + fabs(c[OF_X]) + fabs(c[OF_G]) + fabs(c[TOWARD]);
    b->slot[0] = v;
    b->x = fabs(1 - c[TOWARD]) * b->x + fabs(c[TOWARD]) * v;
}

/* clang-format off */
static const sw_option options[] = {
    {.name = "lr", .value = 0.05, .low = 0, .high = 1e6, .help = "η, the step in time",
     .search_low = 1e-3, .search_high = 1, .search_log = true},
    {.name = "mu", .value = 1, .low = 0, .high = 1e6, .help = "μ, strong convexity",
     .search_low = 1e-2, .search_high = 1e2, .search_log = true},
    {.name = "gamma", .value = 1.5, .low = 0, .high = 1e6, .open = SW_OPEN_LOW,
     .help = "γ at the start; it tends to μ", .search_low = 1e-2, .search_high = 1e2, .search_log = true},
    {0}};
/* clang-format on */
static const sw_slot slots[] = {{.name = "v", .start = SW_START_X}, {0}};

const sw_rule swo_nag_gs = {.size = sizeof(sw_rule),
                            .name = "nag_gs",
                            .summary = "accelerated flow integrated by Gauss-Seidel",
                            .source = "Leplat et al. 2022, arXiv 2209.14937",
                            .options = options,
                            .slots = slots,
                            .scalars = scalars,
                            .begin = begin,
                            .update = &kernels,
                            .reach = nag_gs_reach};

#endif
