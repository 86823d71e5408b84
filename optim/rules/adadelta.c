/* Adadelta (Zeiler 2012):
 *     g ← g + λθ
 *     v ← ρ v + (1 - ρ) g²
 *     d = √(a + ε)/√(v + ε) · g         or (√a + ε)/(√v + ε) · g without eps_in_root
 *     a ← ρ a + (1 - ρ) d²
 *     θ ← θ - η d
 */
#define SW_KERNEL_FILE "rules/adadelta.c"
#include "kernel.h"
#include "../methods.h"

#ifndef ADADELTA_OPTIONS
#define ADADELTA_OPTIONS
enum { LR, RHO, EPS, EPS_IN_ROOT, WEIGHT_DECAY };
#endif

#if SW_KERNEL_PASS

static void SW_K(adadelta)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict x = s->x;
    const real *restrict gradient = s->g;
    real *restrict v = s->slot[0], *restrict a = s->slot[1];
    const real lr = (real)s->option[LR], rho = (real)s->option[RHO], fresh = (real)(1 - s->option[RHO]),
               decay = (real)s->option[WEIGHT_DECAY], eps = (real)s->option[EPS],
               inside = s->option[EPS_IN_ROOT] != 0 ? eps : 0, outside = eps - inside;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real g = gradient[i] + decay * x[i];
        v[i] = rho * v[i] + fresh * (g * g);
        const real d = (SW_R(sqrt)(a[i] + inside) + outside) / (SW_R(sqrt)(v[i] + inside) + outside) * g;
        a[i] = rho * a[i] + fresh * (d * d);
        x[i] -= lr * d;
    }
}

#else

static const sw_kernels kernels = SW_KERNEL_TABLE(adadelta);

static const sw_option options[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 1e6, .help = "η; the method itself wants none",
     .search_low = 1e-2, .search_high = 10, .search_log = true},
    {.name = "rho", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "ρ, decay of both means",
     .search_low = 0.8, .search_high = 0.99},
    {.name = "eps", .value = 1e-6, .low = 1e-30, .high = 1,
     .help = "ε; it is also where the first steps come from", .search_low = 1e-8, .search_high = 1e-4,
     .search_log = true},
    EPS_IN_ROOT_ROW(1),
    WEIGHT_DECAY_ROW,
    {0}};
static const sw_slot slots[] = {{.name = "v"}, {.name = "a"}, {0}};

const sw_rule swo_adadelta = {.size = sizeof(sw_rule), .name = "adadelta",
                              .summary = "steps in the units of the parameters, no learning rate",
                              .source = "Zeiler 2012, arXiv 1212.5701", .options = options, .slots = slots,
                              .flags = SW_RULE_LINEAR, .update = &kernels};

#endif
