/* CASPR with adaptive scaling (Duvvuri, Devvrit, Anil, Hsieh, Dhillon, ICLR 2024), as the submission to AlgoPerf
 * defines it. A parameter of rank 2 or more is the matrix [shape[0], product of the others], in blocks of at most
 * `block` rows and columns. For each block G [rows, columns], from L = ridge I, R = I, P = Q = I:
 *     c = tr(P (L° + ridge λmax(L°) I) P)/rows in the next step after a new P, otherwise 1
 *     L ← β2 L + (1 - β2) G Gᵀ
 *     R ← β2 c R + (1 - β2) (P G)ᵀ (P G)/rows                      β2 = 1: sums, L + G Gᵀ and c R + (P G)ᵀ (P G)/rows
 *     P ← (L + ridge λmax(L) I)^(-1/2),  Q ← (R + ridge λmax(R) I)^(-1/2)    every `period` steps
 * L° is the L from which the P before the new one was computed. c adjusts the scale of R, which was computed with that
 * P, to the new P. If P cannot be computed, the previous one stays together with its L. For the whole parameter:
 *     M ← β1 M + (1 - β1) G,   V ← β2 V + (1 - β2) G²
 *     M̂ = (β1 M + (1 - β1) G)/(1 - β1ᵗ), without nesterov M/(1 - β1ᵗ)
 *     A = M̂/(√(V/(1 - β2ᵗ)) + ε)                                     the step of NadamW
 *     U = A before step `start`; then P M̂ Q of each block, together multiplied by ‖A‖/‖U‖
 *     X ← X - η (U + λX)
 * Parameters of rank 0 and 1, and matrices with more than max_dim rows or columns, always have U = A. Roots are
 * computed by eigendecompositions, which are several times faster here and more accurate than the coupled Newton
 * iteration of the submission (root=newton). If the error of that iteration is above `tolerance`, the previous root
 * stays.
 *
 * Roots have no useful bound: they may be as large as (ridge λmax)^(-1/2) for any λmax > 0, after many steps with small
 * gradients. `reach` therefore needs the norms of the present roots, which the pipeline reads again in each step in
 * which new ones are possible. If P M̂ Q overflows, it is computed again from a smaller multiple of M̂: its length does
 * not matter.
 */
#include <swale/kernel.h>
#include <swale/kernel_roots.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct caspr_options {
    double lr, beta1, beta2, eps, weight_decay, nesterov, ridge, root, tolerance, iterations, block, max_dim, period,
        start, spread;
} caspr_options;
enum { ROOT_EIGEN, ROOT_NEWTON };
typedef struct caspr_slots {
    void *m, *v, *factors, *roots, *previous, *largest, *failures;
} caspr_slots;
typedef struct caspr_scalars {
    double failed_roots; /* the number of roots that could not be computed; the previous ones were used */
} caspr_scalars;
typedef struct caspr_coefficients {
    double m_scale;       /* 1/(1 - β1ᵗ) */
    double v_keep, v_add; /* V ← v_keep V + v_add G² */
    double v_scale;       /* 1/√(1 - β2ᵗ) */
} caspr_coefficients;
/* For the kernels: vectors of a parameter. */
typedef struct caspr_vectors {
    const sw_step *step;
    void *m_hat, *u;
    double scale; /* of u */
} caspr_vectors;
static void caspr_count_failures(const sw_step *step);
#endif

#if SW_KERNEL_PASS

/* The moments, M̂, and u = A. */
static void SW_K(caspr_moments)(void *args, int64_t begin, int64_t end, double *sums) {
    const caspr_vectors *a = args;
    const caspr_options *o = SW_STEP_OPTIONS(a->step, caspr_options);
    const caspr_coefficients *c = SW_STEP_COEFFICIENTS(a->step, caspr_coefficients);
    const caspr_slots *slots = SW_STEP_SLOTS(a->step, caspr_slots);
    const real *restrict g = a->step->g;
    real *restrict m = slots->m, *restrict v = slots->v, *restrict m_hat = a->m_hat, *restrict u = a->u;
    const real beta1 = (real)o->beta1, one_minus_beta1 = (real)(1 - o->beta1), v_keep = (real)c->v_keep,
               v_add = (real)c->v_add, of_m = (real)(o->nesterov != 0 ? c->m_scale * o->beta1 : c->m_scale),
               of_g = (real)(o->nesterov != 0 ? c->m_scale * (1 - o->beta1) : 0), v_scale = (real)c->v_scale,
               eps = (real)o->eps;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i];
        v[i] = v_keep * v[i] + (v_add * g[i]) * g[i];
        m_hat[i] = of_m * m[i] + of_g * g[i];
        u[i] = v[i];
    }
    SW_K(sw_k_roots)(u + begin, end - begin);
    for (int64_t i = begin; i < end; i++)
        u[i] = m_hat[i] / (v_scale * u[i] + eps);
}

/* x ← x - η (scale u + λx) */
static void SW_K(caspr_move)(void *args, int64_t begin, int64_t end, double *sums) {
    const caspr_vectors *a = args;
    const caspr_options *o = SW_STEP_OPTIONS(a->step, caspr_options);
    const real *restrict u = a->u, lr = (real)o->lr, scale = (real)a->scale, lambda = (real)o->weight_decay;
    real *restrict x = a->step->x;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        x[i] -= lr * (scale * u[i] + lambda * x[i]);
}

/* For `accepted`, once for each parameter. */
static void SW_K(caspr_accepted)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)end, (void)sums;
    if (begin == 0)
        caspr_count_failures(args);
}

#else

#include <swale/dry_run.h>
#include <swale/vector.h>
#include "optim/rules/preconditioner.h"

static const sw_kernels caspr_moments_kernels = SW_KERNEL_TABLE(caspr_moments),
                        caspr_move_kernels = SW_KERNEL_TABLE(caspr_move),
                        caspr_accepted_kernels = SW_KERNEL_TABLE(caspr_accepted);

/* The blocks of a parameter; none if it has the step of NadamW. */
static swo_modes caspr_modes(const sw_param *p, const double *option, int64_t *blocks) {
    const caspr_options *o = SW_OPTIONS_AS(option, caspr_options);
    const swo_modes modes = swo_modes_of_matrix(p, (int64_t)o->block, (int64_t)o->block);
    const bool fits =
        modes.order == 2 && modes.length[0] <= (int64_t)o->max_dim && modes.length[1] <= (int64_t)o->max_dim;
    *blocks = fits ? swo_block_count(&modes) : 0;
    return modes;
}

static bool caspr_is_large(const sw_param *p, const double *option) {
    int64_t blocks;
    const swo_modes modes = caspr_modes(p, option, &blocks);
    return blocks > 0 ? swo_blocks_are_large(&modes) : p->count >= SW_SERIAL;
}

static swo_root_rule caspr_root(const caspr_options *o) {
    const sw_root_options root = {.size = sizeof root,
                                  .order = 2,
                                  .ridge = o->ridge,
                                  .ridge_relative = true,
                                  .shift_negative = true, /* by rounding errors */
                                  .method = o->root == ROOT_EIGEN ? SW_ROOT_EIGEN : SW_ROOT_NEWTON,
                                  .iterations = (int)o->iterations,
                                  .acceptable = o->tolerance};
    return (swo_root_rule){root, 1};
}

static sw_status caspr_begin(sw_step *s) {
    const caspr_options *o = SW_STEP_OPTIONS(s, caspr_options);
    caspr_coefficients *c = SW_STEP_COEFFICIENTS(s, caspr_coefficients);
    const double t = (double)s->step;
    c->m_scale = 1 / (1 - pow(o->beta1, t));
    c->v_keep = o->beta2;
    c->v_add = o->beta2 == 1 ? 1 : 1 - o->beta2;
    c->v_scale = o->beta2 == 1 ? 1 : 1 / sqrt(1 - pow(o->beta2, t));
    return SW_OK;
}

/* ---- Memory of a step ---- */

typedef struct caspr_work {
    void *m_hat, *u;       /* of the parameter */
    void *g, *one, *other; /* of a block */
    void *product;         /* [rows, rows] */
    void *roots;
    int64_t *table;
    size_t bytes;
} caspr_work;

static caspr_work caspr_work_in(void *base, const sw_param *p, const double *option, sw_dtype type, bool large) {
    int64_t blocks;
    const swo_modes modes = caspr_modes(p, option, &blocks);
    const size_t size = sw_dtype_size(type), whole = (size_t)p->count * size;
    swo_memory memory = {base, 0};
    caspr_work w = {.m_hat = swo_memory_take(&memory, whole), .u = swo_memory_take(&memory, whole)};
    if (blocks > 0) {
        const swo_block b = swo_block_at(&modes, 0); /* no other is larger */
        const swo_root_rule rule = caspr_root(SW_OPTIONS_AS(option, caspr_options));
        const size_t vector = (size_t)b.count * size;
        w.g = swo_memory_take(&memory, vector);
        w.one = swo_memory_take(&memory, vector);
        w.other = swo_memory_take(&memory, vector);
        w.product = swo_memory_take(&memory, (size_t)(b.length[0] * b.length[0]) * size);
        w.roots = swo_memory_take(&memory, swo_roots_work(type, &b, &rule.root, large));
        w.table = swo_memory_take(&memory, (size_t)swo_block_table(&b) * sizeof(int64_t));
    }
    w.bytes = memory.bytes;
    return w;
}

static size_t caspr_part_workspace(const sw_param *p, const double *option, sw_dtype type) {
    return caspr_is_large(p, option) ? 0 : caspr_work_in(NULL, p, option, type, false).bytes;
}

static size_t caspr_tensor_workspace(const sw_param *p, const double *option, sw_dtype type) {
    return caspr_is_large(p, option) ? caspr_work_in(NULL, p, option, type, true).bytes : 0;
}

/* ---- A block ---- */

/* The state of a block. */
typedef struct caspr_block {
    swo_block at;
    int64_t rows, columns;
    void *L, *R, *P, *previous; /* P: P and Q; previous: L° */
    double *largest;            /* λmax(L) of a new P to which R is not adjusted yet, otherwise 0; λmax(L°) */
    int32_t *failures;
} caspr_block;

static caspr_block caspr_block_at(const sw_step *s, const swo_modes *modes, int64_t index) {
    const caspr_slots *slots = SW_STEP_SLOTS(s, caspr_slots);
    const size_t size = sw_dtype_size(s->type);
    caspr_block b = {.at = swo_block_at(modes, index),
                     .largest = (double *)slots->largest + 2 * index,
                     .failures = (int32_t *)slots->failures + index};
    b.rows = b.at.length[0];
    b.columns = b.at.length[1];
    const int64_t across = (modes->length[1] - 1) / modes->block + 1, above = index / across * across,
                  left = above * modes->block * modes->block + (index - above) * b.rows * b.rows;
    b.L = (char *)slots->factors + (size_t)b.at.factor_at * size;
    b.R = (char *)b.L + (size_t)(b.rows * b.rows) * size;
    b.P = (char *)slots->roots + (size_t)b.at.factor_at * size;
    b.previous = (char *)slots->previous + (size_t)left * size;
    return b;
}

/* P = Q = R = I, L = L° = ridge I; initially all are 0. */
static void caspr_start(const sw_step *s, const caspr_block *b) {
    if (swo_roots_exist(s->type, &b->at, b->P))
        return;
    b->largest[1] = SW_STEP_OPTIONS(s, caspr_options)->ridge;
    swo_roots_set_identity(s->type, &b->at, b->P);
    swo_roots_set_identity(s->type, &b->at, b->L);
    sw_vector_axpby(s->type, b->rows * b->rows, b->largest[1], b->L, 0, NULL, b->L);
    memcpy(b->previous, b->L, (size_t)(b->rows * b->rows) * sw_dtype_size(s->type));
}

/* c = tr(P (L° + ridge λmax(L°) I) P)/rows; then L° ← L. tr(P A P) is the inner product of P and A P. */
static sw_status caspr_change_of_scale(const sw_step *s, const caspr_block *b, const caspr_work *w, double *c) {
    const double ridge = SW_STEP_OPTIONS(s, caspr_options)->ridge;
    const int64_t n = b->rows;
    SW_TRY(sw_gemm(s->type, false, false, n, n, n, 1, b->previous, n, b->P, n, 0, w->product, n));
    if (sw_dry_run())
        return SW_OK;
    const double trace = sw_vector_dot(s->type, n * n, b->P, w->product) +
                         ridge * b->largest[1] * sw_vector_dot(s->type, n * n, b->P, b->P);
    *c = fmax(trace, 0) / (double)n;
    memcpy(b->previous, b->L, (size_t)(n * n) * sw_dtype_size(s->type));
    b->largest[1] = b->largest[0];
    b->largest[0] = 0;
    return SW_OK;
}

static bool caspr_is_due(const sw_step *s, const caspr_block *b, int64_t blocks, int64_t step) {
    const caspr_options *o = SW_STEP_OPTIONS(s, caspr_options);
    return step >= 1 && swo_refresh_is_due(step, s->param, &b->at, blocks, 0, (int64_t)o->period, o->spread != 0);
}

/* L, R, and P and Q if it is time. w->g is the block of the gradient. */
static sw_status caspr_update_roots(const sw_step *s, const caspr_block *b, int64_t blocks, const caspr_work *w,
                                    bool large) {
    const caspr_options *o = SW_STEP_OPTIONS(s, caspr_options);
    const double weight = o->beta2 == 1 ? 1 : 1 - o->beta2;
    caspr_start(s, b);
    double c = 1, largest[2] = {0, 0};
    if (sw_dry_run() ? caspr_is_due(s, b, blocks, s->step - 1) : b->largest[0] > 0)
        SW_TRY(caspr_change_of_scale(s, b, w, &c));
    SW_TRY(swo_factor_update(s->type, &b->at, 0, o->beta2, weight, w->g, b->L));
    SW_TRY(swo_mode_product(s->type, &b->at, 0, false, b->P, w->g, w->one));
    SW_TRY(swo_factor_update(s->type, &b->at, 1, o->beta2 * c, weight / (double)b->rows, w->one, b->R));
    if (!caspr_is_due(s, b, blocks, s->step))
        return SW_OK;
    const swo_root_rule rule = caspr_root(o);
    SW_TRY(swo_roots_refresh(s->type, &b->at, b->L, &rule, b->P, b->failures, largest, w->roots, large));
    b->largest[0] = largest[0];
    return SW_OK;
}

/* ---- A parameter ---- */

static sw_status caspr_precondition(const sw_step *s, const swo_modes *modes, int64_t blocks, const caspr_work *w) {
    for (int64_t i = 0; i < blocks; i++) {
        const caspr_block b = caspr_block_at(s, modes, i);
        void *u = NULL;
        swo_block_gather(s->type, modes, &b.at, w->m_hat, w->one, w->table);
        SW_TRY(swo_precondition(s->type, &b.at, b.P, w->one, w->one, w->other, &u));
        swo_block_scatter(s->type, modes, &b.at, u, w->u, w->table);
    }
    return SW_OK;
}

/* v ← 2^exponent v */
static void caspr_multiply(const sw_step *s, double exponent, void *v) {
    while (exponent != 0) {
        const double part = fmax(-100, fmin(exponent, 100));
        sw_vector_axpby(s->type, s->count, exp2(part), v, 0, NULL, v);
        exponent -= part;
    }
}

/* An exponent by which P M̂ Q of all blocks is multiplied to be below the largest number of the type. */
static double caspr_exponent(const sw_step *s, const swo_modes *modes, int64_t blocks, const caspr_work *w) {
    double most = 0;
    for (int64_t i = 0; i < blocks; i++) {
        const caspr_block b = caspr_block_at(s, modes, i);
        const int64_t left = b.rows * b.rows;
        const void *Q = (char *)b.P + (size_t)left * sw_dtype_size(s->type);
        most = fmax(most, logb(swo_norm(s->type, left, b.P)) + logb(swo_norm(s->type, b.columns * b.columns, Q)) + 2);
    }
    return (s->type == SW_F32 ? 124 : 1020) - most - logb(swo_norm(s->type, s->count, w->m_hat));
}

/* w->u ← P M̂ Q, times any number; *scale ← ‖A‖/‖U‖, where w->u is A before. */
static sw_status caspr_direction(const sw_step *s, const swo_modes *modes, int64_t blocks, const caspr_work *w,
                                 double *scale) {
    const double length = swo_norm(s->type, s->count, w->u);
    SW_TRY(caspr_precondition(s, modes, blocks, w));
    double norm = swo_norm(s->type, s->count, w->u);
    const double exponent = isinf(norm) ? caspr_exponent(s, modes, blocks, w) : 0;
    if (isinf(norm) && isfinite(exponent)) {
        caspr_multiply(s, exponent, w->m_hat);
        SW_TRY(caspr_precondition(s, modes, blocks, w));
        norm = swo_norm(s->type, s->count, w->u);
    }
    if (norm > 0 && length / norm > 0x1p100) { /* it may be no number of the type */
        caspr_multiply(s, 100, w->u);
        norm *= 0x1p100;
    }
    *scale = norm > 0 ? length / norm : 0;
    return SW_OK;
}

static sw_status caspr_update(const sw_step *s, bool large) {
    const caspr_work w = caspr_work_in(s->workspace, s->param, s->option, s->type, large);
    caspr_vectors v = {.step = s, .m_hat = w.m_hat, .u = w.u, .scale = 1};
    int64_t blocks;
    const swo_modes modes = caspr_modes(s->param, s->option, &blocks);
    sw_kernel_run(&caspr_moments_kernels, s->type, &v, s->count);
    for (int64_t i = 0; i < blocks; i++) {
        const caspr_block b = caspr_block_at(s, &modes, i);
        swo_block_gather(s->type, &modes, &b.at, s->g, w.g, w.table);
        SW_TRY(caspr_update_roots(s, &b, blocks, &w, large));
    }
    if (blocks > 0 && s->step >= (int64_t)SW_STEP_OPTIONS(s, caspr_options)->start)
        SW_TRY(caspr_direction(s, &modes, blocks, &w, &v.scale));
    sw_kernel_run(&caspr_move_kernels, s->type, &v, s->count);
    return SW_OK;
}

/* Small parameters are one part each, and share the threads. Large ones are updated one after the other, and threads
 * share their products. */
static int64_t caspr_parts(const sw_param *p, const double *option, sw_dtype type) {
    (void)type;
    return p->count > 0 && !caspr_is_large(p, option);
}

static double caspr_part_cost(const sw_param *p, const double *option, sw_dtype type, int64_t part) {
    int64_t blocks;
    const swo_modes modes = caspr_modes(p, option, &blocks);
    double cost = 10 * (double)p->count;
    (void)type, (void)part;
    for (int64_t i = 0; i < blocks; i++) {
        const swo_block b = swo_block_at(&modes, i);
        cost += swo_block_cost(&b, SW_OPTIONS_AS(option, caspr_options)->period);
    }
    return cost;
}

static sw_status caspr_part(sw_step *s, int64_t part, sw_worker *worker) {
    (void)part, (void)worker;
    return caspr_update(s, false);
}

static sw_status caspr_tensor(sw_step *s) {
    return s->count > 0 && caspr_is_large(s->param, s->option) ? caspr_update(s, true) : SW_OK;
}

static void caspr_count_failures(const sw_step *s) {
    int64_t blocks;
    const swo_modes modes = caspr_modes(s->param, s->option, &blocks);
    if (blocks > 0)
        SW_STEP_SCALARS(s, caspr_scalars)->failed_roots +=
            swo_failures_sum(&modes, SW_STEP_SLOTS(s, caspr_slots)->failures);
}

static sw_status caspr_accept(sw_step *s) {
    SW_STEP_SCALARS(s, caspr_scalars)->failed_roots = 0;
    return sw_step_run_with_frozen(s, &caspr_accepted_kernels);
}

/* ---- Bounds ---- */

/* The largest eigenvalue of a root. λmax is at least the smallest positive number of the type: without a positive one
 * there is no new root. The factor 2 is that of sw_inverse_root for Newton's iteration. */
static double caspr_largest_root(const caspr_options *o, sw_dtype type) {
    return 2 / sqrt(o->ridge) * ldexp(1, type == SW_F32 ? 75 : 537);
}

/* The roots in `bounds` are those that R and c read. With A = L° + ridge λmax(L°) I, c ≤ tr(P A P) ≤ ‖P‖² ‖A‖. Blocks
 * whose first step it is begin with roots and factors of at most 1: their norm is at most n. U has the length of A. */
static void caspr_reach(const sw_step *s, sw_bounds *b) {
    const caspr_options *o = SW_STEP_OPTIONS(s, caspr_options);
    const caspr_coefficients *c = SW_STEP_COEFFICIENTS(s, caspr_coefficients);
    const double n = sqrt(2 * (double)b->count), weight = o->beta2 == 1 ? 1 : 1 - o->beta2, g = b->g;
    double *m = &SW_SLOT_BOUND(b, caspr_slots, m), *v = &SW_SLOT_BOUND(b, caspr_slots, v),
           *factors = &SW_SLOT_BOUND(b, caspr_slots, factors), *roots = &SW_SLOT_BOUND(b, caspr_slots, roots),
           *previous = &SW_SLOT_BOUND(b, caspr_slots, previous), *largest = &SW_SLOT_BOUND(b, caspr_slots, largest);
    const double P = hypot(*roots, n), L = hypot(*factors, n), A = hypot(*previous, n) + o->ridge * (*largest + 1),
                 change = 1.01 * P * P * A;
    *m = o->beta1 * *m + (1 - o->beta1) * g;
    *v = c->v_keep * *v + c->v_add * g * g;
    const double m_hat = c->m_scale * (*m + g),
                 d = swo_normalized_bound(b, s->type, o->beta1, c->v_keep, c->v_add, o->eps, c->m_scale, m_hat);
    *factors = o->beta2 * fmax(1, change) * L + weight * g * g * (1 + P * P);
    *roots = hypot(P, n * caspr_largest_root(o, s->type));
    *previous = hypot(*previous, L);
    *largest = 2 * *largest + 2 * *factors + o->ridge * n;
    b->largest +=
        P * A + P * g + change + *factors + m_hat + d + o->weight_decay * b->x + *v * c->v_scale + c->m_scale + o->lr;
    b->x = fmax(1, fabs(1 - o->lr * o->weight_decay)) * b->x + o->lr * d;
}

/* ---- State and options ---- */

static int64_t caspr_block_count(const sw_slot_sizes *sizes) {
    int64_t blocks;
    caspr_modes(sizes->param, sizes->option, &blocks);
    return blocks;
}

static int64_t caspr_largest_count(const sw_slot_sizes *sizes) {
    return 2 * caspr_block_count(sizes);
}

static int64_t caspr_factor_count(const sw_slot_sizes *sizes) {
    int64_t blocks;
    const swo_modes modes = caspr_modes(sizes->param, sizes->option, &blocks);
    return blocks ? swo_factor_count(&modes) : 0;
}

/* Σ rows² over the blocks. */
static int64_t caspr_left_count(const sw_slot_sizes *sizes) {
    int64_t blocks, count = 0;
    const swo_modes modes = caspr_modes(sizes->param, sizes->option, &blocks);
    for (int64_t i = 0; i < blocks; i++) {
        const swo_block b = swo_block_at(&modes, i);
        count += b.length[0] * b.length[0];
    }
    return count;
}

/* clang-format off */
static const sw_option caspr_option_table[] = {
    SWO_OPTION_LR(1e-3),
    SWO_OPTION_BETA1,
    SWO_OPTION_BETA2("L, R and the mean of G²"),
    {.name = "eps", .value = 1e-8, .low = 1e-12, .high = 1, .help = "ε of NadamW's denominator",
     .search_low = 1e-10, .search_high = 1e-4, .search_log = true},
    {.name = "weight_decay", .value = 1e-4, .low = 0, .high = 1e6, .help = "λ, decoupled: θ ← (1 - ηλ) θ",
     .search_low = 1e-5, .search_high = 0.5, .search_log = true},
    {.name = "nesterov", .kind = SW_OPTION_BOOL, .value = 1, .help = "Nesterov's form of the mean of G"},
    {.name = "ridge", .value = 1e-6, .low = 1e-12, .high = 1,
     .help = "multiple of the largest eigenvalue that is added to the diagonals of L and R",
     .search_low = 1e-8, .search_high = 1e-3, .search_log = true},
    {.name = "root", .kind = SW_OPTION_CHOICE, .choices = "eigen|newton",
     .help = "roots by eigendecompositions, or by the coupled Newton iteration"},
    {.name = "tolerance", .value = 0.1, .low = 0, .high = 1, .open = SW_OPEN_LOW,
     .help = "root=newton: largest error of a new root"},
    {.name = "iterations", .kind = SW_OPTION_INTEGER, .value = 100, .low = 1, .high = 1e4,
     .help = "root=newton: most iterations for a root"},
    {.name = "block", .kind = SW_OPTION_INTEGER, .value = 1024, .low = 1, .high = 8192,
     .help = "largest number of rows and columns of a block"},
    {.name = "max_dim", .kind = SW_OPTION_INTEGER, .value = 40000, .low = 0, .high = 1e9,
     .help = "matrices with more rows or columns have the step of NadamW"},
    SWO_OPTION_PERIOD(20),
    SWO_OPTION_START(102),
    SWO_OPTION_SPREAD,
    {0}};
static const sw_slot caspr_slot_table[] = {
    {.name = "m"}, {.name = "v"},
    {.name = "factors", .count = caspr_factor_count}, {.name = "roots", .count = caspr_factor_count},
    {.name = "previous", .count = caspr_left_count},
    {.name = "largest", .type = SW_SLOT_F64, .count = caspr_largest_count},
    {.name = "failures", .type = SW_SLOT_I32, .count = caspr_block_count},
    {0}};
/* clang-format on */
static const char *const caspr_scalar_names[] = {"failed_roots", NULL};
SW_MATCH_OPTIONS(caspr_options, caspr_option_table);
SW_MATCH_SLOTS(caspr_slots, caspr_slot_table);
SW_MATCH_SCALARS(caspr_scalars, caspr_scalar_names);

const sw_rule swo_caspr = {.size = sizeof(sw_rule),
                           .name = "caspr",
                           .summary = "inverse root of the left factor, then of the right one, with NadamW's length",
                           .source = "Duvvuri et al., ICLR 2024",
                           .options = caspr_option_table,
                           .slots = caspr_slot_table,
                           .scalars = caspr_scalar_names,
                           .unit = SW_UNIT_TENSOR,
                           .flags = SW_RULE_LINEAR,
                           .begin = caspr_begin,
                           .tensor = caspr_tensor,
                           .reach = caspr_reach,
                           .parts = caspr_parts,
                           .part = caspr_part,
                           .part_workspace = caspr_part_workspace,
                           .part_cost = caspr_part_cost,
                           .accepted = caspr_accept,
                           .tensor_workspace = caspr_tensor_workspace};

#endif
