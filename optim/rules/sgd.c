/* SGD with momentum (Polyak 1964), as torch.optim.SGD defines it:
 *     g ← g + λθ
 *     m ← g on the first step, then μ m + (1 - τ) g
 *     θ ← θ - η (g + μ m)  if nesterov,  else θ - η m;  without momentum θ - η g
 *
 * With l1 or a box (kernel_prox.h) it is the proximal gradient method, where λθ of weight_decay belongs to the gradient
 * of f:
 *     θ ← prox_{ηh}(θ - η g)
 * and with momentum iPiano (Ochs, Chen, Brox, Pock, SIAM J. Imaging Sci. 7, 2014), which converges for
 * η < 2 (1 - μ)/L, even if f is not convex:
 *     θ' = prox_{ηh}(θ - η g + μ (θ - θ before))
 * In PyTorch's variables, in which m is the last change of θ divided by -η:
 *     m ← μ m + g,   v = θ - η m,   θ ← prox_{ηh}(v),   m ← m + (v - θ)/η
 * Without the last update, m would contain changes that the prox has undone, and h would have a smaller weight than f:
 * the minimum would be that of f + (1 - μ) h. With a box and gradients of batches it is the method of Mai and Johansson
 * (ICML 2020). With nesterov, θ would be the extrapolated point, to which the prox does not apply: use fista for that
 * method.
 */
#include <swale/kernel.h>
#include <swale/kernel_prox.h>
#include <swale/prox.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct sgd_options {
    double lr, momentum, dampening, nesterov, weight_decay;
    sw_prox_options prox;
} sgd_options;
typedef struct sgd_slots {
    void *m;
} sgd_slots;
typedef struct sgd_coefficients {
    double proximal;  /* 1 if h is not 0, else 0 */
    double threshold; /* η λ₁ */
    double inverse_lr;
} sgd_coefficients;
#endif

#if SW_KERNEL_PASS

static void SW_K(sgd_with_prox)(const sw_step *s, int64_t begin, int64_t end) {
    const sgd_options *o = SW_STEP_OPTIONS(s, sgd_options);
    const sgd_coefficients *c = SW_STEP_COEFFICIENTS(s, sgd_coefficients);
    real *restrict x = s->x, *restrict m = SW_STEP_SLOTS(s, sgd_slots)->m;
    const real *restrict gradient = s->g;
    const real lr = (real)o->lr, mu = (real)o->momentum, weight_decay = (real)o->weight_decay,
               inverse_lr = (real)c->inverse_lr, threshold = (real)c->threshold, low = (real)sw_prox_low(&o->prox),
               high = (real)sw_prox_high(&o->prox);
    if (!m) {
        for (int64_t i = begin; i < end; i++)
            x[i] = SW_K(sw_k_prox)(x[i] - lr * (gradient[i] + weight_decay * x[i]), threshold, low, high);
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        const real g = gradient[i] + weight_decay * x[i];
        const real along = mu * m[i] + g, v = x[i] - lr * along;
        x[i] = SW_K(sw_k_prox)(v, threshold, low, high);
        m[i] = along + (v - x[i]) * inverse_lr;
    }
}

/* x + x_low ← prox(x + x_low - lr g): without x_low, the short steps near a minimum would be lost when x is rounded. */
static void SW_K(sgd_in_two_numbers)(const sw_step *s, int64_t begin, int64_t end) {
    const sgd_options *o = SW_STEP_OPTIONS(s, sgd_options);
    const sgd_coefficients *c = SW_STEP_COEFFICIENTS(s, sgd_coefficients);
    real *restrict x = s->x, *restrict x_low = s->x_low;
    const real *restrict gradient = s->g;
    const real lr = (real)o->lr, weight_decay = (real)o->weight_decay, threshold = (real)c->threshold,
               low = (real)sw_prox_low(&o->prox), high = (real)sw_prox_high(&o->prox);
    if (c->proximal == 0) {
        for (int64_t i = begin; i < end; i++)
            SW_K(sw_k_compensated_add)(&x[i], &x_low[i], -lr * (gradient[i] + weight_decay * x[i]));
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        const real along = lr * (gradient[i] + weight_decay * x[i]), v = x[i] - along;
        if (v - v == 0) {
            SW_K(sw_k_compensated_add)(&x[i], &x_low[i], -along);
            SW_K(sw_k_prox_pair)(&x[i], &x_low[i], threshold, low, high);
        } else { /* v is infinite, but low or high may limit it */
            x[i] = SW_K(sw_k_prox)(v, threshold, low, high);
            x_low[i] = 0;
        }
    }
}

static void SW_K(sgd)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const sgd_options *o = SW_STEP_OPTIONS(s, sgd_options);
    real *restrict x = s->x, *restrict m = SW_STEP_SLOTS(s, sgd_slots)->m;
    const real *restrict gradient = s->g;
    const real lr = (real)o->lr, mu = (real)o->momentum, weight_decay = (real)o->weight_decay;
    const real one_minus_tau = s->step == 1 ? 1 : 1 - (real)o->dampening;
    (void)sums;
    if (s->x_low) {
        SW_K(sgd_in_two_numbers)(s, begin, end);
    } else if (SW_STEP_COEFFICIENTS(s, sgd_coefficients)->proximal != 0) {
        SW_K(sgd_with_prox)(s, begin, end);
    } else if (!m) {
        for (int64_t i = begin; i < end; i++)
            x[i] -= lr * (gradient[i] + weight_decay * x[i]);
    } else if (o->nesterov != 0) {
        for (int64_t i = begin; i < end; i++) {
            const real g = gradient[i] + weight_decay * x[i];
            m[i] = mu * m[i] + one_minus_tau * g;
            x[i] -= lr * (g + mu * m[i]);
        }
    } else {
        for (int64_t i = begin; i < end; i++) {
            const real g = gradient[i] + weight_decay * x[i];
            m[i] = mu * m[i] + one_minus_tau * g;
            x[i] -= lr * m[i];
        }
    }
}

#else

#include <swale/reach.h>

static const sw_kernels sgd_kernels = SW_KERNEL_TABLE(sgd);

/* clang-format off */
static const sw_option sgd_option_table[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "learning rate",
     .search_low = 1e-3, .search_high = 1, .search_log = true},
    {.name = "momentum", .value = 0, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "μ",
     .search_low = 0, .search_high = 0.99},
    {.name = "dampening", .value = 0, .low = 0, .high = 1, .help = "τ"},
    {.name = "nesterov", .kind = SW_OPTION_BOOL, .help = "Nesterov's momentum"},
    SW_OPTION_WEIGHT_DECAY_UP_TO(1e300), /* as large as the squares of the data */
    SW_PROX_OPTIONS,
    {0}};
/* clang-format on */

static sw_status sgd_check(const double *option) {
    const sgd_options *o = SW_OPTIONS_AS(option, sgd_options);
    if (o->nesterov != 0 && (o->momentum == 0 || o->dampening != 0))
        return sw_fail(SW_ERR_ARGUMENT, "sgd: nesterov needs momentum and no dampening");
    if (!sw_prox_is_used(&o->prox))
        return SW_OK;
    if (o->nesterov != 0)
        return sw_fail(SW_ERR_ARGUMENT,
                       "sgd: nesterov with l1 or a box: its parameters would be the extrapolated point, which has no "
                       "exact zeros; use rule fista, which is Nesterov's method with l1 and boxes");
    if (o->dampening != 0)
        return sw_fail(SW_ERR_ARGUMENT,
                       "sgd: dampening = %g with l1 or a box would take the gradient of a smaller "
                       "f, but all of the penalty; use a smaller lr instead",
                       o->dampening);
    return sw_prox_check("sgd", &o->prox, o->lr);
}

static const char *sgd_not_linear(const double *option) {
    return sw_prox_is_used(&SW_OPTIONS_AS(option, sgd_options)->prox)
               ? "the proximal step of l1, nonnegative, low and high is not linear in lr"
               : NULL;
}

static sw_status sgd_begin(sw_step *s) {
    const sgd_options *o = SW_STEP_OPTIONS(s, sgd_options);
    sgd_coefficients *c = SW_STEP_COEFFICIENTS(s, sgd_coefficients);
    const double least = s->type == SW_F32 ? 0x1p-126 : 0x1p-1022;
    c->proximal = sw_prox_is_used(&o->prox);
    if (c->proximal == 0)
        return SW_OK;
    c->threshold = o->lr * o->prox.l1;
    c->inverse_lr = o->lr >= least ? 1 / o->lr : 0; /* with a smaller lr, only elements outside the box change */
    return sw_prox_check("sgd", &o->prox, o->lr);
}

/* There are two bounds of m, and the smaller one is used: it is the change of θ divided by η; and it is μ m + g, from
 * which the prox removes at most λ₁ in each element, and the part that leads out of the box. */
static void sgd_reach_with_prox(const sw_step *s, sw_bounds *b) {
    const sgd_options *o = SW_STEP_OPTIONS(s, sgd_options);
    const sgd_coefficients *c = SW_STEP_COEFFICIENTS(s, sgd_coefficients);
    const bool momentum = SW_STEP_SLOTS(s, sgd_slots)->m != NULL;
    double *m = &SW_SLOT_BOUND(b, sgd_slots, m);
    const double lr = o->lr, n = sqrt((double)b->count), before = b->x, g = b->g + o->weight_decay * b->x,
                 along = momentum ? o->momentum * *m + g : g, v = before + lr * along;
    b->x = sw_prox_bound(&o->prox, v, b->count);
    if (momentum)
        *m = sw_bound_tighter(along + n * o->prox.l1 + (sw_prox_has_box(&o->prox) ? (v + b->x) * c->inverse_lr : 0),
                              c->inverse_lr > 0 ? (before + b->x) * c->inverse_lr : INFINITY);
    b->largest += lr + o->weight_decay + g + along + v + c->threshold + (momentum ? c->inverse_lr : 0);
}

static void sgd_reach(const sw_step *s, sw_bounds *b) {
    const sgd_options *o = SW_STEP_OPTIONS(s, sgd_options);
    const double lr = fabs(o->lr), g = b->g + o->weight_decay * b->x;
    if (SW_STEP_COEFFICIENTS(s, sgd_coefficients)->proximal != 0) {
        sgd_reach_with_prox(s, b);
        return;
    }
    if (SW_STEP_SLOTS(s, sgd_slots)->m) {
        double *m = &SW_SLOT_BOUND(b, sgd_slots, m);
        *m = o->momentum * *m + g;
        b->x += lr * (o->nesterov != 0 ? g + o->momentum * *m : *m);
    } else {
        b->x = fabs(1 - o->lr * o->weight_decay) * b->x + lr * b->g;
    }
    b->largest += lr + o->weight_decay + g + lr * g;
}

static bool sgd_has_momentum(const double *option) {
    return SW_OPTIONS_AS(option, sgd_options)->momentum != 0;
}

static const sw_slot sgd_slot_table[] = {{.name = "momentum", .needed = sgd_has_momentum}, {0}};
SW_MATCH_OPTIONS(sgd_options, sgd_option_table);
SW_MATCH_SLOTS(sgd_slots, sgd_slot_table);

const sw_rule swo_sgd = {.size = sizeof(sw_rule),
                         .name = "sgd",
                         .summary = "stochastic gradient descent, momentum, Nesterov; l1 and boxes",
                         .source = "Robbins, Monro 1951; Polyak 1964; Sutskever 2013",
                         .options = sgd_option_table,
                         .slots = sgd_slot_table,
                         .check = sgd_check,
                         .flags = SW_RULE_LINEAR | SW_RULE_PENALTY | SW_RULE_PROXIMAL_SGD,
                         .begin = sgd_begin,
                         .update = &sgd_kernels,
                         .reach = sgd_reach,
                         .not_linear = sgd_not_linear};

#endif
