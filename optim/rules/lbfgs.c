/* L-BFGS (D. Liu, J. Nocedal, On the limited memory BFGS method for large scale optimization, Mathematical Programming
 * 45, 1989; J. Nocedal, S. Wright, Numerical Optimization, 2006, algorithms 7.4 and 7.5):
 *     s = θ - θ before,  y = g - g before              g includes the decay, λθ
 *     the pair (s, y) is kept if ⟨s, y⟩ > curvature ‖s‖ ‖y‖; the newest `history` pairs are stored
 *     q ← g
 *     from the newest pair to the oldest:  αᵢ = ⟨sᵢ, q⟩/⟨sᵢ, yᵢ⟩,  q ← q - αᵢ yᵢ
 *     q ← ⟨s, y⟩/⟨y, y⟩ q                             of the newest pair
 *     from the oldest pair to the newest:  β = ⟨yᵢ, q⟩/⟨sᵢ, yᵢ⟩,  q ← q + (αᵢ - β) sᵢ
 *     θ ← θ - η q                                     η = 1, or the length that a line search chooses
 * Without a pair, q = min(1, 1/‖g‖₁) g, as in the first step of torch.optim.LBFGS, or with first=l2 q = g/‖g‖₂, as in
 * scipy's L-BFGS-B. PyTorch leaves out pairs with ⟨s, y⟩ ≤ 1e-10, and therefore all pairs near a minimum; the test here
 * does not depend on the scale of f and θ.
 *
 * The pairs are rows of a ring buffer with one spare row, in which the next pair is computed. Therefore a pair that is
 * not kept overwrites no other pair, and a step that is not taken does not change the valid rows. If the program has
 * written to θ, or if other parameters are frozen than in the last step, all pairs are dropped.
 */
#include <swale/kernel.h>
#include <swale/kernel_blocks.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct lbfgs_pair {
    const void *x, *g;
    void *x_last, *g_last, *s, *y;
} lbfgs_pair;
typedef struct lbfgs_products {
    double sy, yy, ss;
} lbfgs_products;
typedef struct lbfgs_sum {
    const void *add, *with; /* with NULL: no inner product */
    void *q;
    double weight, scale;
    bool fetch;
} lbfgs_sum;
#endif

#if SW_KERNEL_PASS

/* n ≤ SW_LANES elements */
SW_K_INLINE void SW_K(lbfgs_pair_block)(int64_t n, const real *restrict x, const real *restrict g,
                                        real *restrict x_last, real *restrict g_last, real *restrict s,
                                        real *restrict y, double *restrict sy, double *restrict yy,
                                        double *restrict ss) {
    for (int64_t j = 0; j < n; j++) {
        s[j] = x[j] - x_last[j];
        y[j] = g[j] - g_last[j];
        x_last[j] = x[j];
        g_last[j] = g[j];
        sy[j] += (double)s[j] * (double)y[j];
        yy[j] += (double)y[j] * (double)y[j];
        ss[j] += (double)s[j] * (double)s[j];
    }
}

/* s ← x - x_last, y ← g - g_last, x_last ← x, g_last ← g; the products of s and y. One pass instead of nine: a history
 * does not stay in the cache. */
static void SW_K(lbfgs_new_pair)(void *args, int64_t begin, int64_t end, double *sums) {
    const lbfgs_pair *a = args;
    const real *x = a->x, *g = a->g;
    real *x_last = a->x_last, *g_last = a->g_last, *s = a->s, *y = a->y;
    lbfgs_products *total = (void *)sums;
    double sy[SW_LANES] = {0}, yy[SW_LANES] = {0}, ss[SW_LANES] = {0};
    int64_t i = begin;
    for (; i + SW_LANES <= end; i += SW_LANES)
        SW_K(lbfgs_pair_block)(SW_LANES, x + i, g + i, x_last + i, g_last + i, s + i, y + i, sy, yy, ss);
    SW_K(lbfgs_pair_block)(end - i, x + i, g + i, x_last + i, g_last + i, s + i, y + i, sy, yy, ss);
    SW_ADD_LANES(double, total->sy, sy);
    SW_ADD_LANES(double, total->yy, yy);
    SW_ADD_LANES(double, total->ss, ss);
}

/* q ← scale (q + weight v), and ⟨w, q⟩ */
static void SW_K(lbfgs_add)(void *args, int64_t begin, int64_t end, double *sums) {
    const lbfgs_sum *a = args;
    const real *restrict v = a->add, *restrict w = a->with, weight = (real)a->weight, scale = (real)a->scale;
    real *restrict q = a->q;
    double lane[SW_LANES] = {0};
    const bool fetch = a->fetch;
    int64_t i = begin;
    for (; w && i + SW_LANES <= end; i += SW_LANES) {
        real sum[SW_LANES];
        if (fetch) {
            SW_FETCH_AHEAD(v, i, SW_LANES);
            SW_FETCH_AHEAD(w, i, SW_LANES);
        }
        SW_OVER_LANES
        for (int j = 0; j < SW_LANES; j++)
            q[i + j] = sum[j] = scale * (q[i + j] + weight * v[i + j]);
        SW_OVER_LANES
        for (int j = 0; j < SW_LANES; j++)
            lane[j] += (double)sum[j] * (double)w[i + j];
    }
    for (int64_t j = i; j < end; j++)
        q[j] = scale * (q[j] + weight * v[j]);
    if (!w)
        return;
    for (int j = 0; i < end; i++, j++)
        lane[j] += (double)q[i] * (double)w[i];
    SW_ADD_LANES(double, sums[0], lane);
}

static void SW_K(lbfgs_one_norm)(void *args, int64_t begin, int64_t end, double *sums) {
    const real *v = args;
    double lane[SW_LANES] = {0};
    int64_t i = begin;
    for (; i + SW_LANES <= end; i += SW_LANES) {
        SW_OVER_LANES
        for (int j = 0; j < SW_LANES; j++)
            lane[j] += (double)(v[i + j] < 0 ? -v[i + j] : v[i + j]);
    }
    for (int j = 0; i < end; i++, j++)
        lane[j] += (double)(v[i] < 0 ? -v[i] : v[i]);
    SW_ADD_LANES(double, sums[0], lane);
}

#else

#include <math.h>

static const sw_kernels lbfgs_one_norm_kernels = SW_KERNEL_TABLE(lbfgs_one_norm),
                        lbfgs_new_pair_kernels = SW_KERNEL_TABLE(lbfgs_new_pair),
                        lbfgs_add_kernels = SW_KERNEL_TABLE(lbfgs_add);

enum { LBFGS_MOST = 100 };
enum { FIRST_L1, FIRST_L2 };

typedef struct lbfgs_options {
    double lr, history, weight_decay, curvature, first;
} lbfgs_options;
typedef struct lbfgs_slots {
    void *x_last, *g_last; /* θ and g of the last step */
    void *s, *y;           /* rows of pairs */
    void *sy;              /* ⟨s, y⟩ of each row */
} lbfgs_slots;
typedef struct lbfgs_scalars {
    double pairs, next, gamma; /* stored pairs; the spare row; ⟨s, y⟩/⟨y, y⟩ of the newest pair */
    double known, frozen;      /* 1: x_last and g_last are those of the last step; the set of parameters that were
                                * frozen in it */
    double left_out;           /* pairs that were not kept */
} lbfgs_scalars;

static int64_t lbfgs_rows(const sw_slot_sizes *sizes) {
    return (int64_t)SW_OPTIONS_AS(sizes->option, lbfgs_options)->history + 1;
}

static int64_t lbfgs_ring(const sw_slot_sizes *sizes) {
    return lbfgs_rows(sizes) * sizes->dim;
}

/* ---- The pairs ---- */

/* The row of the pair that is k pairs older than the newest one. */
static int64_t lbfgs_row(const sw_step *step, int k) {
    const int64_t rows = (int64_t)SW_STEP_OPTIONS(step, lbfgs_options)->history + 1;
    return ((int64_t)SW_STEP_SCALARS(step, lbfgs_scalars)->next + rows - 1 - k) % rows;
}

/* Computes the pair of this step from g and from x_last and g_last, which it replaces. */
static void lbfgs_add_pair(sw_step *step, const void *g) {
    const lbfgs_options *o = SW_STEP_OPTIONS(step, lbfgs_options);
    lbfgs_scalars *scalars = SW_STEP_SCALARS(step, lbfgs_scalars);
    const lbfgs_slots *slots = SW_STEP_SLOTS(step, lbfgs_slots);
    const int64_t next = (int64_t)scalars->next;
    lbfgs_pair pair = {.x = step->x,
                       .g = g,
                       .x_last = slots->x_last,
                       .g_last = slots->g_last,
                       .s = sw_step_row(step, slots->s, next),
                       .y = sw_step_row(step, slots->y, next)};
    lbfgs_products p;
    sw_kernel_run_sums(&lbfgs_new_pair_kernels, step->type, &pair, step->count, SW_FIELDS(lbfgs_products),
                       (double *)&p);
    if (!(p.sy > o->curvature * sqrt(p.ss) * sqrt(p.yy))) {
        scalars->left_out++;
        return;
    }
    ((double *)slots->sy)[next] = p.sy;
    scalars->gamma = p.sy / p.yy;
    scalars->next = (double)((next + 1) % ((int64_t)o->history + 1));
    scalars->pairs += scalars->pairs < o->history;
}

/* Updates the pairs, x_last and g_last in a step with the gradient g. */
static void lbfgs_update_pairs(sw_step *step, const void *g) {
    lbfgs_scalars *scalars = SW_STEP_SCALARS(step, lbfgs_scalars);
    const lbfgs_slots *slots = SW_STEP_SLOTS(step, lbfgs_slots);
    if (step->x_written || scalars->frozen != (double)step->frozen_set)
        scalars->known = scalars->pairs = 0;
    if (scalars->known != 0)
        lbfgs_add_pair(step, g);
    else {
        sw_step_scale(step, 1, step->x, slots->x_last);
        sw_step_scale(step, 1, g, slots->g_last);
    }
    scalars->known = 1;
    scalars->frozen = (double)step->frozen_set;
}

/* ---- The direction ---- */

/* Row k of s or y, counted from the newest pair. */
static void *lbfgs_at(const sw_step *step, void *rows, int k) {
    return sw_step_row(step, rows, lbfgs_row(step, k));
}

/* q ← scale (q + weight v); returns ⟨w, q⟩, or 0 if w is NULL. */
static double lbfgs_add_and_multiply(const sw_step *step, void *q, double weight, const void *v, double scale,
                                     const void *w) {
    lbfgs_sum sum = {.add = v, .with = w, .q = q, .weight = weight, .scale = scale, .fetch = sw_cpu_needs_prefetch()};
    double product = 0;
    sw_kernel_run_sums(&lbfgs_add_kernels, step->type, &sum, step->count, 1, &product);
    return product;
}

/* Multiplies q by the negative inverse of the approximate Hessian: the two loops. The pass that changes q also computes
 * the next inner product. */
static void lbfgs_two_loops(sw_step *step, void *q) {
    const lbfgs_scalars *scalars = SW_STEP_SCALARS(step, lbfgs_scalars);
    const lbfgs_slots *slots = SW_STEP_SLOTS(step, lbfgs_slots);
    const double *sy = slots->sy;
    const int pairs = (int)scalars->pairs, oldest = pairs - 1;
    double alpha[LBFGS_MOST] = {0}, product = sw_step_dot(step, lbfgs_at(step, slots->s, 0), q);
    for (int k = 0; k < pairs; k++) {
        alpha[k] = product / sy[lbfgs_row(step, k)];
        product =
            lbfgs_add_and_multiply(step, q, -alpha[k], lbfgs_at(step, slots->y, k), k == oldest ? scalars->gamma : 1,
                                   k == oldest ? lbfgs_at(step, slots->y, oldest) : lbfgs_at(step, slots->s, k + 1));
    }
    for (int k = oldest; k >= 0; k--) {
        const double beta = product / sy[lbfgs_row(step, k)];
        product = lbfgs_add_and_multiply(step, q, alpha[k] - beta, lbfgs_at(step, slots->s, k), k == 0 ? -1 : 1,
                                         k == 0 ? NULL : lbfgs_at(step, slots->y, k - 1));
    }
}

static double lbfgs_first_norm(const sw_step *step, void *q) {
    double norm = 0;
    if (SW_STEP_OPTIONS(step, lbfgs_options)->first == FIRST_L2)
        return sw_vector_norm(step->type, step->count, q, &norm) == SW_OK ? norm : (double)NAN;
    sw_kernel_run_sums(&lbfgs_one_norm_kernels, step->type, q, step->count, 1, &norm);
    return norm;
}

/* q ← -q/‖q‖, or with the 1-norm -q min(1, 1/‖q‖₁). */
static void lbfgs_first_direction(const sw_step *step, void *q) {
    const bool at_most_g = SW_STEP_OPTIONS(step, lbfgs_options)->first == FIRST_L1;
    double norm = lbfgs_first_norm(step, q);
    if (norm == 0 || (at_most_g && norm <= 1)) {
        sw_step_scale(step, -1, q, q);
        return;
    }
    if (norm > 1e30 || norm < 1e-30) { /* the norm may overflow, and 1/norm may be subnormal or overflow in f32 */
        sw_step_scale(step, norm > 1 ? 0x1p-100 : 0x1p100, q, q);
        norm = lbfgs_first_norm(step, q);
    }
    sw_step_scale(step, -1 / norm, q, q);
}

static sw_status lbfgs_vector(sw_step *step) {
    void *q = step->out;
    const double lambda = SW_STEP_OPTIONS(step, lbfgs_options)->weight_decay;
    sw_step_scale(step, 1, step->g, q);
    if (lambda != 0)
        sw_step_axpy(step, lambda, step->x, q);
    lbfgs_update_pairs(step, q);
    if (SW_STEP_SCALARS(step, lbfgs_scalars)->pairs > 0)
        lbfgs_two_loops(step, q);
    else
        lbfgs_first_direction(step, q);
    return SW_OK;
}

/* ---- Tables ---- */

/* clang-format off */
static const sw_option lbfgs_option_table[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 1e6, .help = "η, length of the step; 1 is that of Newton's method",
     .search_low = 1e-2, .search_high = 1, .search_log = true},
    {.name = "history", .kind = SW_OPTION_INTEGER, .value = 10, .low = 1, .high = LBFGS_MOST,
     .help = "the number of pairs", .search_low = 3, .search_high = 20},
    SW_OPTION_WEIGHT_DECAY_UP_TO(1e300), /* as large as the squares of the data */
    {.name = "curvature", .value = 1e-10, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "pairs with ⟨s, y⟩ up to this multiple of ‖s‖ ‖y‖ are left out"},
    {.name = "first", .kind = SW_OPTION_CHOICE, .choices = "l1|l2",
     .help = "the direction without a pair: -g min(1, 1/‖g‖₁), as in PyTorch, or -g/‖g‖₂, as in scipy"},
    {0}};
/* clang-format on */
static const sw_slot lbfgs_slot_table[] = {
    {.name = "x_last"},
    {.name = "g_last"},
    {.name = "s", .count = lbfgs_ring, .valid_by_scalars = true},
    {.name = "y", .count = lbfgs_ring, .valid_by_scalars = true},
    {.name = "sy", .type = SW_SLOT_F64, .count = lbfgs_rows, .valid_by_scalars = true},
    {0}};
static const char *const lbfgs_scalar_names[] = {"pairs", "next", "gamma", "known", "frozen", "left_out", NULL};
SW_MATCH_OPTIONS(lbfgs_options, lbfgs_option_table);
SW_MATCH_SLOTS(lbfgs_slots, lbfgs_slot_table);
SW_MATCH_SCALARS(lbfgs_scalars, lbfgs_scalar_names);

const sw_rule swo_lbfgs = {.size = sizeof(sw_rule),
                           .name = "lbfgs",
                           .summary = "limited-memory BFGS; use it with wolfe",
                           .source = "Liu, Nocedal 1989",
                           .options = lbfgs_option_table,
                           .slots = lbfgs_slot_table,
                           .scalars = lbfgs_scalar_names,
                           .unit = SW_UNIT_VECTOR,
                           .flags = SW_RULE_LINEAR | SW_RULE_PENALTY | SW_RULE_EXACT_GRADIENT,
                           .cost = 60,
                           .vector = lbfgs_vector};

#endif
