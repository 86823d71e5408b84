/* FISTA (A. Beck, M. Teboulle, SIAM J. Imaging Sci. 2, 2009): Nesterov's accelerated gradient with a prox
 * (kernel_prox.h). The parameters are y, at which the gradient is evaluated. The slot x has the iterates, with exact
 * zeros, and is the point of evaluation.
 *     x' = prox_{ηh}(y - η (g + λy))
 *     t' = (1 + √(1 + 4t²))/2,   β = (t - 1)/t'         t = 1 at first
 *     y  ← x' + β (x' - x),   x ← x',   t ← t'
 * F(x) - F* ≤ 2 ‖x⁰ - x*‖²/(η (k + 1)²) after k steps of a constant η ≤ 1/L.
 *
 * restart: if ⟨y - x', x' - x⟩ > 0, over all groups of this rule, the momentum points uphill: β = 0, and t is reset
 * to 1 (B. O'Donoghue, E. Candès, Found. Comput. Math. 15, 2015, the gradient scheme).
 * mu: for an f whose Hessian is at least μ, β = (1 - √(ημ))/(1 + √(ημ)) (Nesterov, Introductory lectures, 2004).
 * The scalar residual is ‖(y - x')/η‖ over all groups of this rule: 0 only at the minimum of F.
 */
#include <swale/kernel.h>
#include <swale/kernel_prox.h>
#include <swale/prox.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct fista_options {
    double lr, weight_decay, mu, restart;
    sw_prox_options prox;
} fista_options;
typedef struct fista_slots {
    void *x;
} fista_slots;
typedef struct fista_coefficients {
    double threshold; /* η λ₁ */
    double inverse_lr;
    double beta; /* β of this step */
} fista_coefficients;
typedef struct fista_sums {
    double uphill; /* ⟨(y - x')/η, x' - x⟩ */
    double square; /* ‖(y - x')/η‖² */
} fista_sums;
#endif

#if SW_KERNEL_PASS

typedef struct SW_K(fista_step) {
    real lr, weight_decay, threshold, low, high;
    double inverse_lr;
} SW_K(fista_step);

static inline SW_K(fista_step) SW_K(fista_step_of)(const sw_step *s) {
    const fista_options *o = SW_STEP_OPTIONS(s, fista_options);
    const fista_coefficients *c = SW_STEP_COEFFICIENTS(s, fista_coefficients);
    return (SW_K(fista_step)){.lr = (real)o->lr,
                              .weight_decay = (real)o->weight_decay,
                              .threshold = (real)c->threshold,
                              .low = (real)sw_prox_low(&o->prox),
                              .high = (real)sw_prox_high(&o->prox),
                              .inverse_lr = c->inverse_lr};
}

/* x' */
static inline real SW_K(fista_next)(SW_K(fista_step) f, real y, real g) {
    return SW_K(sw_k_prox)(y - f.lr * (g + f.weight_decay * y), f.threshold, f.low, f.high);
}

static inline void SW_K(fista_add)(SW_K(fista_step) f, real y, real g, real x, double *uphill, double *square) {
    const real next = SW_K(fista_next)(f, y, g);
    const double along = (double)(y - next) * f.inverse_lr;
    *uphill += along * (double)(next - x);
    *square += along * along;
}

static void SW_K(fista_measure)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const real *restrict y = s->x, *restrict x = SW_STEP_SLOTS(s, fista_slots)->x;
    const real *restrict g = s->g;
    const SW_K(fista_step) f = SW_K(fista_step_of)(s);
    fista_sums *total = (void *)sums;
    double uphill[SW_LANES] = {0}, square[SW_LANES] = {0};
    int64_t i = begin;
    for (; i + SW_LANES <= end; i += SW_LANES) {
        SW_OVER_LANES
        for (int j = 0; j < SW_LANES; j++)
            SW_K(fista_add)(f, y[i + j], g[i + j], x[i + j], &uphill[j], &square[j]);
    }
    for (int j = 0; i < end; i++, j++)
        SW_K(fista_add)(f, y[i], g[i], x[i], &uphill[j], &square[j]);
    SW_ADD_LANES(double, total->uphill, uphill);
    SW_ADD_LANES(double, total->square, square);
}

static void SW_K(fista)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    real *restrict y = s->x, *restrict x = SW_STEP_SLOTS(s, fista_slots)->x;
    const real *restrict g = s->g;
    const SW_K(fista_step) f = SW_K(fista_step_of)(s);
    const real beta = (real)SW_STEP_COEFFICIENTS(s, fista_coefficients)->beta;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real next = SW_K(fista_next)(f, y[i], g[i]);
        y[i] = next + beta * (next - x[i]);
        x[i] = next;
    }
}

static void SW_K(fista_point)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const real *x = SW_STEP_SLOTS(s, fista_slots)->x;
    (void)sums;
    memcpy((real *)s->out + begin, x + begin, (size_t)(end - begin) * sizeof(real));
}

#else

#include <float.h>

static const sw_kernels fista_measure_kernels = SW_KERNEL_TABLE(fista_measure), fista_kernels = SW_KERNEL_TABLE(fista),
                        fista_point_kernels = SW_KERNEL_TABLE(fista_point);

typedef struct fista_scalars {
    double t, residual;
} fista_scalars;
static const char *const fista_scalar_names[] = {"t", "residual", NULL};
SW_MATCH_SCALARS(fista_scalars, fista_scalar_names);

static sw_status fista_check(const double *option) {
    const fista_options *o = SW_OPTIONS_AS(option, fista_options);
    return sw_prox_check("fista", &o->prox, o->lr);
}

static sw_status fista_begin(sw_step *s) {
    const fista_options *o = SW_STEP_OPTIONS(s, fista_options);
    fista_coefficients *c = SW_STEP_COEFFICIENTS(s, fista_coefficients);
    const double least = s->type == SW_F32 ? 0x1p-126 : 0x1p-1022;
    if (s->step == 1)
        SW_STEP_SCALARS(s, fista_scalars)->t = 1;
    c->threshold = o->lr * o->prox.l1;
    c->inverse_lr = o->lr >= least ? 1 / o->lr : 0;
    return sw_prox_check("fista", &o->prox, o->lr);
}

/* If lr is above 1/μ, L is not yet known (lr=auto). β is then 0, its value at lr = 1/μ. */
static sw_status fista_decide(sw_step *s, const double *sums) {
    const fista_options *o = SW_STEP_OPTIONS(s, fista_options);
    const fista_sums *total = (const void *)sums;
    fista_scalars *scalars = SW_STEP_SCALARS(s, fista_scalars);
    const double root = sqrt(fmin(o->lr * o->mu, 1));
    const bool restarts = o->restart != 0 && total->uphill > 0;
    const double t = restarts ? 1 : scalars->t, next_t = (1 + sqrt(1 + 4 * t * t)) / 2;
    const double beta = o->mu > 0 ? (1 - root) / (1 + root) : (t - 1) / next_t;
    SW_STEP_COEFFICIENTS(s, fista_coefficients)->beta = restarts ? 0 : beta;
    scalars->t = next_t;
    scalars->residual = fmin(sqrt(total->square), DBL_MAX); /* finite even if the sum of squares overflows */
    return SW_OK;
}

static void fista_reach(const sw_step *s, sw_bounds *b) {
    const fista_options *o = SW_STEP_OPTIONS(s, fista_options);
    const fista_coefficients *c = SW_STEP_COEFFICIENTS(s, fista_coefficients);
    double *x = &SW_SLOT_BOUND(b, fista_slots, x);
    const double lr = o->lr, x_before = *x, g = b->g + o->weight_decay * b->x, v = b->x + lr * g;
    *x = sw_prox_bound(&o->prox, v, b->count);
    b->x = *x + c->beta * (*x + x_before);
    b->largest += lr + o->weight_decay + g + lr * g + v + c->threshold + *x + x_before;
}

/* clang-format off */
static const sw_option fista_option_table[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "η, learning rate, at most 1/L; auto: 1/L",
     .search_low = 1e-3, .search_high = 1, .search_log = true},
    SW_OPTION_WEIGHT_DECAY_UP_TO(1e300), /* as large as the squares of the data */
    {.name = "mu", .value = 0, .low = 0, .high = 1e300,
     .help = "μ, strong convexity of f including weight_decay, for a constant momentum; 0: the momentum grows"},
    {.name = "restart", .kind = SW_OPTION_BOOL, .value = 1, .help = "reset the momentum if it points uphill"},
    SW_PROX_OPTIONS,
    {0}};
/* clang-format on */
static const sw_slot fista_slot_table[] = {{.name = "x", .start = SW_START_X}, {0}};
SW_MATCH_OPTIONS(fista_options, fista_option_table);
SW_MATCH_SLOTS(fista_slots, fista_slot_table);

const sw_rule swo_fista = {.size = sizeof(sw_rule),
                           .name = "fista",
                           .summary = "accelerated proximal gradient for l1 and boxes; else Nesterov's",
                           .source = "Beck, Teboulle 2009; O'Donoghue, Candès 2015",
                           .options = fista_option_table,
                           .slots = fista_slot_table,
                           .check = fista_check,
                           .scalars = fista_scalar_names,
                           .flags = SW_RULE_EXACT_GRADIENT | SW_RULE_PENALTY,
                           .begin = fista_begin,
                           .measure = &fista_measure_kernels,
                           .sums = SW_FIELDS(fista_sums),
                           .decide = fista_decide,
                           .update = &fista_kernels,
                           .point = &fista_point_kernels,
                           .cost = 8,
                           .reach = fista_reach};

#endif
