/* SGD with momentum (Polyak 1964), as torch.optim.SGD defines it:
 *     g ← g + λθ
 *     m ← g on the first step, then μ m + (1 - τ) g
 *     θ ← θ - η (g + μ m)  if nesterov,  θ - η m  else;  without momentum θ - η g
 */
#define SW_KERNEL_FILE "rules/sgd.c"
#include "kernel.h"
#include "../optim.h"

#ifndef SGD_OPTIONS
#define SGD_OPTIONS
enum { LR, MOMENTUM, DAMPENING, NESTEROV, WEIGHT_DECAY };
#endif

#if SW_KERNEL_PASS

static void SW_K(sgd)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict x = s->x;
    const real *restrict gradient = s->g;
    real *restrict m = s->slot[0];
    const real lr = (real)s->option[LR], mu = (real)s->option[MOMENTUM],
               decay = (real)s->option[WEIGHT_DECAY];
    const real fresh = s->step == 1 ? 1 : 1 - (real)s->option[DAMPENING];
    (void)sums;
    if (!m) {
        for (int64_t i = begin; i < end; i++)
            x[i] -= lr * (gradient[i] + decay * x[i]);
    } else if (s->option[NESTEROV] != 0) {
        for (int64_t i = begin; i < end; i++) {
            const real g = gradient[i] + decay * x[i];
            m[i] = mu * m[i] + fresh * g;
            x[i] -= lr * (g + mu * m[i]);
        }
    } else {
        for (int64_t i = begin; i < end; i++) {
            const real g = gradient[i] + decay * x[i];
            m[i] = mu * m[i] + fresh * g;
            x[i] -= lr * m[i];
        }
    }
}

#else

#include "../methods.h"

#include <math.h>

static const sw_kernels kernels = SW_KERNEL_TABLE(sgd);

static const sw_option options[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "learning rate",
     .search_low = 1e-3, .search_high = 1, .search_log = true},
    {.name = "momentum", .value = 0, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "μ",
     .search_low = 0, .search_high = 0.99},
    {.name = "dampening", .value = 0, .low = 0, .high = 1, .help = "τ"},
    {.name = "nesterov", .kind = SW_OPTION_BOOL, .help = "look ahead along the momentum"},
    WEIGHT_DECAY_ROW,
    {0}};

static sw_status check(const double *option) {
    if (option[NESTEROV] != 0 && (option[MOMENTUM] == 0 || option[DAMPENING] != 0))
        return sw_fail(SW_ERR_ARGUMENT, "sgd: nesterov needs momentum and no dampening");
    return SW_OK;
}

static void sgd_reach(const sw_step *s, sw_bounds *b) {
    const double *o = s->option, lr = fabs(o[LR]), g = b->g + o[WEIGHT_DECAY] * b->x;
    if (s->slot[0]) {
        const double m = o[MOMENTUM] * b->slot[0] + g, along = o[NESTEROV] != 0 ? g + o[MOMENTUM] * m : m;
        b->slot[0] = m;
        b->x += lr * along;
    } else {
        b->x = fabs(1 - o[LR] * o[WEIGHT_DECAY]) * b->x + lr * b->g;
    }
    b->largest += lr + o[WEIGHT_DECAY] + g + lr * g;
}

static bool has_momentum(const double *option) {
    return option[MOMENTUM] != 0;
}

static const sw_slot slots[] = {{.name = "momentum", .needed = has_momentum}, {0}};

const sw_rule swo_sgd = {.size = sizeof(sw_rule), .name = "sgd",
                         .summary = "stochastic gradient descent, momentum, Nesterov",
                         .source = "Robbins, Monro 1951; Polyak 1964; Sutskever et al. 2013",
                         .options = options, .slots = slots, .check = check,
                         .flags = SW_RULE_LINEAR, .update = &kernels, .reach = sgd_reach};

#endif
