/* SGD with momentum (Polyak 1964), as torch.optim.SGD defines it:
 *     g ← g + λθ
 *     m ← g on the first step, then μ m + (1 - τ) g
 *     θ ← θ - η (g + μ m)  if nesterov,  θ - η m  else;  without momentum θ - η g
 *
 * With l1 or a box (prox.h) it is the proximal gradient method, the λθ of weight_decay being f's:
 *     θ ← prox_{ηh}(θ - η g)
 * and with momentum iPiano (Ochs, Chen, Brox, Pock, SIAM J. Imaging Sci. 7, 2014), which converges for
 * η < 2 (1 - μ)/L, also where f is not convex:
 *     θ' = prox_{ηh}(θ - η g + μ (θ - θ before))
 * in torch's terms, in which m is the last move over -η:
 *     m ← μ m + g,   v = θ - η m,   θ ← prox_{ηh}(v),   m ← m + (v - θ)/η
 * Without the last of these m would remember moves that the prox has taken back, and h would weigh less than f:
 * the minimum would be that of f + (1 - μ) h. With a box and gradients of batches
 * it is the method of Mai and Johansson (ICML 2020).
 * nesterov keeps as θ the point that looks ahead, which the prox does not see: fista is that method.
 */
#include <swale/kernel.h>
#include "optim/rules/prox.h"

#if SW_KERNEL_FIRST
enum { LR, MOMENTUM, DAMPENING, NESTEROV, WEIGHT_DECAY, PROX };
enum { PROXIMAL, THRESHOLD, PER_LR }; /* whether there is an h; η λ₁; 1/η */
#endif

#if SW_KERNEL_PASS

static void SW_K(sgd_with_prox)(const sw_step *s, int64_t begin, int64_t end) {
    real *restrict x = s->x;
    const real *restrict gradient = s->g;
    real *restrict m = s->slot[0];
    const real lr = (real)s->option[LR], mu = (real)s->option[MOMENTUM], decay = (real)s->option[WEIGHT_DECAY],
               per_lr = (real)s->coefficient[PER_LR], threshold = (real)s->coefficient[THRESHOLD],
               low = (real)prox_low(s->option + PROX), high = (real)prox_high(s->option + PROX);
    if (!m) {
        for (int64_t i = begin; i < end; i++)
            x[i] = SW_K(prox)(x[i] - lr * (gradient[i] + decay * x[i]), threshold, low, high);
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        const real g = gradient[i] + decay * x[i];
        const real along = mu * m[i] + g, v = x[i] - lr * along;
        x[i] = SW_K(prox)(v, threshold, low, high);
        m[i] = along + (v - x[i]) * per_lr;
    }
}

/* x + x_low ← prox(x + x_low - lr g): without x_low, the short steps near a minimum would be lost when x is rounded. */
static void SW_K(sgd_in_two_numbers)(const sw_step *s, int64_t begin, int64_t end) {
    real *restrict x = s->x, *restrict x_low = s->x_low;
    const real *restrict gradient = s->g;
    const real lr = (real)s->option[LR], decay = (real)s->option[WEIGHT_DECAY],
               threshold = (real)s->coefficient[THRESHOLD], low = (real)prox_low(s->option + PROX),
               high = (real)prox_high(s->option + PROX);
    if (s->coefficient[PROXIMAL] == 0) {
        for (int64_t i = begin; i < end; i++)
            SW_K(compensated_add)(&x[i], &x_low[i], -lr * (gradient[i] + decay * x[i]));
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        const real along = lr * (gradient[i] + decay * x[i]), v = x[i] - along;
        if (v - v == 0) {
            SW_K(compensated_add)(&x[i], &x_low[i], -along);
            SW_K(prox_pair)(&x[i], &x_low[i], threshold, low, high);
        } else { /* infinite: the bounds may make it finite */
            x[i] = SW_K(prox)(v, threshold, low, high);
            x_low[i] = 0;
        }
    }
}

static void SW_K(sgd)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict x = s->x;
    const real *restrict gradient = s->g;
    real *restrict m = s->slot[0];
    const real lr = (real)s->option[LR], mu = (real)s->option[MOMENTUM], decay = (real)s->option[WEIGHT_DECAY];
    const real fresh = s->step == 1 ? 1 : 1 - (real)s->option[DAMPENING];
    (void)sums;
    if (s->x_low) {
        SW_K(sgd_in_two_numbers)(s, begin, end);
    } else if (s->coefficient[PROXIMAL] != 0) {
        SW_K(sgd_with_prox)(s, begin, end);
    } else if (!m) {
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

#include "optim/methods.h"
#include "optim/reach.h"

static const sw_kernels kernels = SW_KERNEL_TABLE(sgd);

/* clang-format off */
static const sw_option options[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "learning rate",
     .search_low = 1e-3, .search_high = 1, .search_log = true},
    {.name = "momentum", .value = 0, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "μ",
     .search_low = 0, .search_high = 0.99},
    {.name = "dampening", .value = 0, .low = 0, .high = 1, .help = "τ"},
    {.name = "nesterov", .kind = SW_OPTION_BOOL, .help = "look ahead along the momentum"},
    WEIGHT_DECAY_UP_TO(1e300), /* as large as the squares of the data */
    PROX_ROWS,
    {0}};
/* clang-format on */

static sw_status sgd_check(const double *option) {
    if (option[NESTEROV] != 0 && (option[MOMENTUM] == 0 || option[DAMPENING] != 0))
        return sw_fail(SW_ERR_ARGUMENT, "sgd: nesterov needs momentum and no dampening");
    if (!prox_is_used(option + PROX))
        return SW_OK;
    if (option[NESTEROV] != 0)
        return sw_fail(SW_ERR_ARGUMENT, "sgd: nesterov with l1 or a box: its parameters are the point that looks "
                                        "ahead, which would have no exact zeros; rule fista is Nesterov's method "
                                        "with both");
    if (option[DAMPENING] != 0)
        return sw_fail(SW_ERR_ARGUMENT,
                       "sgd: dampening = %g with l1 or a box would take the gradient of a smaller "
                       "f, but all of the penalty; use a smaller lr instead",
                       option[DAMPENING]);
    return prox_check("sgd", option + PROX, option[LR]);
}

static const char *sgd_not_linear(const double *option) {
    return prox_is_used(option + PROX) ? "the proximal step of l1, nonnegative, low and high bends it" : NULL;
}

static sw_status sgd_begin(sw_step *s) {
    const double *o = s->option, lr = o[LR], least = s->type == SW_F32 ? 0x1p-126 : 0x1p-1022;
    double *c = s->coefficient;
    c[PROXIMAL] = prox_is_used(o + PROX);
    if (c[PROXIMAL] == 0)
        return SW_OK;
    c[THRESHOLD] = lr * o[PROX + PROX_L1];
    c[PER_LR] = lr >= least ? 1 / lr : 0; /* a smaller lr moves nothing but what is outside the box */
    return prox_check("sgd", o + PROX, lr);
}

/* What m remembers is bounded in two ways: as the move over η, and as the sum of which the prox takes λ₁ of each
 * element and what is outside the box. */
static void sgd_reach_with_prox(const sw_step *s, sw_bounds *b) {
    const double *o = s->option, *c = s->coefficient, lr = o[LR], n = sqrt((double)b->count), before = b->x;
    const double g = b->g + o[WEIGHT_DECAY] * b->x, along = s->slot[0] ? o[MOMENTUM] * b->slot[0] + g : g,
                 v = before + lr * along;
    b->x = prox_reach(o + PROX, v, b->count);
    if (s->slot[0])
        b->slot[0] = swo_tighter(along + n * o[PROX + PROX_L1] + (prox_has_box(o + PROX) ? (v + b->x) * c[PER_LR] : 0),
                                 c[PER_LR] > 0 ? (before + b->x) * c[PER_LR] : INFINITY);
    b->largest += lr + o[WEIGHT_DECAY] + g + along + v + c[THRESHOLD] + (s->slot[0] ? c[PER_LR] : 0);
}

static void sgd_reach(const sw_step *s, sw_bounds *b) {
    const double *o = s->option, lr = fabs(o[LR]), g = b->g + o[WEIGHT_DECAY] * b->x;
    if (s->coefficient[PROXIMAL] != 0) {
        sgd_reach_with_prox(s, b);
        return;
    }
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

const sw_rule swo_sgd = {.size = sizeof(sw_rule),
                         .name = "sgd",
                         .summary = "stochastic gradient descent, momentum, Nesterov; l1 and boxes",
                         .source = "Robbins, Monro 1951; Polyak 1964; Sutskever et al. 2013",
                         .options = options,
                         .slots = slots,
                         .check = sgd_check,
                         .flags = SW_RULE_LINEAR | SW_RULE_PENALTY,
                         .begin = sgd_begin,
                         .update = &kernels,
                         .reach = sgd_reach,
                         .not_linear = sgd_not_linear};

#endif
