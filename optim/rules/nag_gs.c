/* NAG-GS (Leplat, Merkulov, Katrutsa, Bershatsky, Oseledets 2022): the accelerated gradient flow, discretized
 * by Gauss-Seidel steps. As in the authors' code, each step ends the previous iteration and begins the next:
 *     v ← (γ v + η μ θ - η g)/(η μ + γ)          from the second step on; v = θ before
 *     θ ← θ + (v - θ) η/(1 + η)
 *     γ ← (η μ + γ)/(1 + η)
 */
#include <swale/kernel.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct nag_gs_options {
    double lr, mu, gamma;
} nag_gs_options;
typedef struct nag_gs_slots {
    void *v;
} nag_gs_slots;
/* The coefficients of v ← of_v v + of_x θ - of_g g,  θ ← θ + toward (v - θ). */
typedef struct nag_gs_coefficients {
    double of_v, of_x, of_g, toward;
} nag_gs_coefficients;
#endif

#if SW_KERNEL_PASS

static void SW_K(nag_gs)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const nag_gs_coefficients *c = SW_STEP_COEFFICIENTS(s, nag_gs_coefficients);
    real *restrict x = s->x, *restrict v = SW_STEP_SLOTS(s, nag_gs_slots)->v;
    const real *restrict g = s->g;
    const real of_v = (real)c->of_v, of_x = (real)c->of_x, of_g = (real)c->of_g, toward = (real)c->toward;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        v[i] = of_v * v[i] + of_x * x[i] - of_g * g[i];
        x[i] += toward * (v[i] - x[i]);
    }
}

#else

static const sw_kernels nag_gs_kernels = SW_KERNEL_TABLE(nag_gs);

typedef struct nag_gs_scalars {
    double gamma;
} nag_gs_scalars;
static const char *const nag_gs_scalar_names[] = {"gamma", NULL};
SW_MATCH_SCALARS(nag_gs_scalars, nag_gs_scalar_names);

static sw_status nag_gs_begin(sw_step *s) {
    const nag_gs_options *o = SW_STEP_OPTIONS(s, nag_gs_options);
    nag_gs_scalars *scalars = SW_STEP_SCALARS(s, nag_gs_scalars);
    nag_gs_coefficients *c = SW_STEP_COEFFICIENTS(s, nag_gs_coefficients);
    const bool first = s->step == 1;
    const double lr = o->lr, mu = o->mu, gamma = first ? o->gamma : scalars->gamma;
    c->of_v = first ? 1 : gamma / (lr * mu + gamma);
    c->of_x = first ? 0 : lr * mu / (lr * mu + gamma);
    c->of_g = first ? 0 : lr / (lr * mu + gamma);
    c->toward = lr / (1 + lr);
    scalars->gamma = (lr * mu + gamma) / (1 + lr);
    return SW_OK;
}

static void nag_gs_reach(const sw_step *s, sw_bounds *b) {
    const nag_gs_coefficients *c = SW_STEP_COEFFICIENTS(s, nag_gs_coefficients);
    double *v = &SW_SLOT_BOUND(b, nag_gs_slots, v);
    *v = fabs(c->of_v) * *v + fabs(c->of_x) * b->x + fabs(c->of_g) * b->g;
    b->largest += *v + b->x + fabs(c->of_v) + fabs(c->of_x) + fabs(c->of_g) + fabs(c->toward);
    b->x = fabs(1 - c->toward) * b->x + fabs(c->toward) * *v;
}

/* clang-format off */
static const sw_option nag_gs_option_table[] = {
    {.name = "lr", .value = 0.05, .low = 0, .high = 1e6, .help = "η, the time step",
     .search_low = 1e-3, .search_high = 1, .search_log = true},
    {.name = "mu", .value = 1, .low = 0, .high = 1e6, .help = "μ, strong convexity",
     .search_low = 1e-2, .search_high = 1e2, .search_log = true},
    {.name = "gamma", .value = 1.5, .low = 0, .high = 1e6, .open = SW_OPEN_LOW,
     .help = "γ₀, the initial γ, which converges to μ", .search_low = 1e-2, .search_high = 1e2, .search_log = true},
    {0}};
/* clang-format on */
static const sw_slot nag_gs_slot_table[] = {{.name = "v", .start = SW_START_X}, {0}};
SW_MATCH_OPTIONS(nag_gs_options, nag_gs_option_table);
SW_MATCH_SLOTS(nag_gs_slots, nag_gs_slot_table);

const sw_rule swo_nag_gs = {.size = sizeof(sw_rule),
                            .name = "nag_gs",
                            .summary = "accelerated gradient flow, discretized by Gauss-Seidel steps",
                            .source = "Leplat et al. 2022, arXiv 2209.14937",
                            .options = nag_gs_option_table,
                            .slots = nag_gs_slot_table,
                            .scalars = nag_gs_scalar_names,
                            .begin = nag_gs_begin,
                            .update = &nag_gs_kernels,
                            .reach = nag_gs_reach};

#endif
