/* FISTA (A. Beck, M. Teboulle, SIAM J. Imaging Sci. 2, 2009): Nesterov's accelerated gradient with a prox (prox.h).
 * The parameters are y, where the gradient is taken; the slot x has the iterates, with exact zeros, and is the point.
 *     x' = prox_{ηh}(y - η (g + λy))
 *     t' = (1 + √(1 + 4t²))/2,   β = (t - 1)/t'         t = 1 at first
 *     y  ← x' + β (x' - x),   x ← x',   t ← t'
 * F(x) - F* ≤ 2 ‖x⁰ - x*‖²/(η (k + 1)²) after k steps of a constant η ≤ 1/L.
 *
 * restart: where ⟨y - x', x' - x⟩ > 0, over all groups of this rule, the momentum points uphill: β = 0, and t is 1
 * again (B. O'Donoghue, E. Candès, Found. Comput. Math. 15, 2015, the gradient scheme).
 * mu: for an f whose Hessian is at least μ, β = (1 - √(ημ))/(1 + √(ημ)) (Nesterov, Introductory lectures, 2004).
 * The scalar residual is ‖(y - x')/η‖ over all groups of this rule: 0 at the minimum of F alone.
 */
#include <swale/kernel.h>
#include "optim/rules/prox.h"

#if SW_KERNEL_FIRST
enum { LR, WEIGHT_DECAY, MU, RESTART, PROX };
enum { THRESHOLD, PER_LR, BETA }; /* η λ₁; 1/η; of this step */
enum { UPHILL, SQUARE, SUMS };    /* ⟨(y - x')/η, x' - x⟩; ‖(y - x')/η‖² */
#endif

#if SW_KERNEL_PASS

typedef struct SW_K(fista_step) {
    real lr, decay, threshold, low, high;
    double per_lr;
} SW_K(fista_step);

static inline SW_K(fista_step) SW_K(fista_step_of)(const sw_step *s) {
    return (SW_K(fista_step)){.lr = (real)s->option[LR],
                              .decay = (real)s->option[WEIGHT_DECAY],
                              .threshold = (real)s->coefficient[THRESHOLD],
                              .low = (real)prox_low(s->option + PROX),
                              .high = (real)prox_high(s->option + PROX),
                              .per_lr = s->coefficient[PER_LR]};
}

/* x' */
static inline real SW_K(fista_next)(SW_K(fista_step) f, real y, real g) {
    return SW_K(prox)(y - f.lr * (g + f.decay * y), f.threshold, f.low, f.high);
}

static inline void SW_K(fista_sums)(SW_K(fista_step) f, real y, real g, real x, double *uphill, double *square) {
    const real next = SW_K(fista_next)(f, y, g);
    const double along = (double)(y - next) * f.per_lr;
    *uphill += along * (double)(next - x);
    *square += along * along;
}

static void SW_K(fista_measure)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const real *restrict y = s->x, *restrict g = s->g, *restrict x = s->slot[0];
    const SW_K(fista_step) f = SW_K(fista_step_of)(s);
    double uphill[SW_LANES] = {0}, square[SW_LANES] = {0};
    int64_t i = begin;
    for (; i + SW_LANES <= end; i += SW_LANES) {
        SW_OVER_LANES
        for (int j = 0; j < SW_LANES; j++)
            SW_K(fista_sums)(f, y[i + j], g[i + j], x[i + j], &uphill[j], &square[j]);
    }
    for (int j = 0; i < end; i++, j++)
        SW_K(fista_sums)(f, y[i], g[i], x[i], &uphill[j], &square[j]);
    SW_ADD_LANES(double, sums[UPHILL], uphill);
    SW_ADD_LANES(double, sums[SQUARE], square);
}

static void SW_K(fista)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict y = s->x, *restrict x = s->slot[0];
    const real *restrict g = s->g;
    const SW_K(fista_step) f = SW_K(fista_step_of)(s);
    const real beta = (real)s->coefficient[BETA];
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real next = SW_K(fista_next)(f, y[i], g[i]);
        y[i] = next + beta * (next - x[i]);
        x[i] = next;
    }
}

static void SW_K(fista_point)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    memcpy((real *)s->out + begin, (const real *)s->slot[0] + begin, (size_t)(end - begin) * sizeof(real));
}

#else

#include "optim/methods.h"

#include <float.h>

static const sw_kernels measure_kernels = SW_KERNEL_TABLE(fista_measure), kernels = SW_KERNEL_TABLE(fista),
                        point_kernels = SW_KERNEL_TABLE(fista_point);

enum { T, RESIDUAL }; /* scalars */
static const char *const scalars[] = {"t", "residual", NULL};

static sw_status fista_check(const double *option) {
    return prox_check("fista", option + PROX, option[LR]);
}

static sw_status fista_begin(sw_step *s) {
    const double lr = s->option[LR], least = s->type == SW_F32 ? 0x1p-126 : 0x1p-1022;
    if (s->step == 1)
        s->scalar[T] = 1;
    s->coefficient[THRESHOLD] = lr * s->option[PROX + PROX_L1];
    s->coefficient[PER_LR] = lr >= least ? 1 / lr : 0;
    return prox_check("fista", s->option + PROX, lr);
}

/* An lr above 1/μ is one of an L that is not yet known (lr=auto): β = 0 is the strongly convex limit. */
static sw_status fista_decide(sw_step *s, const double *sums) {
    const double root = sqrt(fmin(s->option[LR] * s->option[MU], 1));
    double t = s->scalar[T], beta;
    const bool restarts = s->option[RESTART] != 0 && sums[UPHILL] > 0;
    if (restarts)
        t = 1;
    s->scalar[T] = (1 + sqrt(1 + 4 * t * t)) / 2;
    beta = s->option[MU] > 0 ? (1 - root) / (1 + root) : (t - 1) / s->scalar[T];
    s->coefficient[BETA] = restarts ? 0 : beta;
    s->scalar[RESIDUAL] = fmin(sqrt(sums[SQUARE]), DBL_MAX); /* also where squares have no number */
    return SW_OK;
}

static void fista_reach(const sw_step *s, sw_bounds *b) {
    const double *o = s->option, *c = s->coefficient, lr = o[LR], before = b->slot[0];
    const double g = b->g + o[WEIGHT_DECAY] * b->x, v = b->x + lr * g;
    b->slot[0] = prox_reach(o + PROX, v, b->count);
    b->x = b->slot[0] + c[BETA] * (b->slot[0] + before);
    b->largest += lr + o[WEIGHT_DECAY] + g + lr * g + v + c[THRESHOLD] + b->slot[0] + before;
}

/* clang-format off */
static const sw_option options[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "η, learning rate, at most 1/L; auto: 1/L",
     .search_low = 1e-3, .search_high = 1, .search_log = true},
    WEIGHT_DECAY_UP_TO(1e300), /* as large as the squares of the data */
    {.name = "mu", .value = 0, .low = 0, .high = 1e300,
     .help = "μ, strong convexity of f with weight_decay, for a constant momentum; 0: it grows"},
    {.name = "restart", .kind = SW_OPTION_BOOL, .value = 1, .help = "momentum begins anew where it points uphill"},
    PROX_ROWS,
    {0}};
/* clang-format on */
static const sw_slot slots[] = {{.name = "x", .start = SW_START_X}, {0}};

const sw_rule swo_fista = {.size = sizeof(sw_rule),
                           .name = "fista",
                           .summary = "accelerated proximal gradient for l1 and boxes; Nesterov's without them",
                           .source = "Beck, Teboulle 2009; O'Donoghue, Candès 2015",
                           .options = options,
                           .slots = slots,
                           .check = fista_check,
                           .scalars = scalars,
                           .flags = SW_RULE_EXACT_GRADIENT | SW_RULE_PENALTY,
                           .begin = fista_begin,
                           .measure = &measure_kernels,
                           .sums = SUMS,
                           .decide = fista_decide,
                           .update = &kernels,
                           .point = &point_kernels,
                           .cost = 8,
                           .reach = fista_reach};

#endif
