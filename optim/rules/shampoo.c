/* Shampoo (Gupta, Koren, Singer, ICML 2018) for matrices G [rows, columns]. A parameter of rank 3 or more is the matrix
 * [shape[0], product of the others], a parameter of rank 0 or 1 a vector g, for which Shampoo is AdaGrad with a full
 * matrix:
 *     G ← G + λW
 *     L ← L + G Gᵀ,   R ← R + Gᵀ G                                 for β = 1
 *     L ← β L + (1 - β) G Gᵀ,   R ← β R + (1 - β) Gᵀ G             for β < 1
 *     D = (εI + L)^(-1/4) G (εI + R)^(-1/4),   d = (εI + L)^(-1/2) g for a vector
 *     W ← W - η D,   with momentum  M ← μ M + D,  W ← W - η M
 * The roots are computed in the first step and in every `period`-th step, and used in the steps between. The paper has
 * period 1. Old roots are too large for a direction in which gradients were small before, above all in the first steps.
 * Therefore, in the steps between,
 *     D ← D min(1, s/σ)
 * where σ is (a lower bound of) the largest singular value of D, and s the largest one that new roots allow: 1, or
 * (1 - β)^(-1/2) for β < 1. A side longer than max_dim has only the diagonal of its factor, as the paper proposes for
 * large dimensions.
 */
#include <swale/kernel.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct shampoo_options {
    double lr, beta, eps, weight_decay, momentum, max_dim, period, spread;
} shampoo_options;
typedef struct shampoo_slots {
    void *factors, *roots, *m, *failures;
} shampoo_slots;
typedef struct shampoo_scalars {
    double failed_roots; /* the number of roots that could not be computed; the previous ones were used */
} shampoo_scalars;
/* For the kernels: vectors of a parameter. */
typedef struct shampoo_vectors {
    const void *g, *d;
    void *x, *m, *sum;
    double lr, weight_decay, momentum;
} shampoo_vectors;
/* For the kernel of squares: D [rows, columns], and squares [rows]. */
typedef struct shampoo_rows {
    const void *D;
    double *squares;
    int64_t columns;
} shampoo_rows;
static void shampoo_count_failures(const sw_step *step);
#endif

#if SW_KERNEL_PASS

/* sum ← g + λ x */
static void SW_K(shampoo_decay)(void *args, int64_t begin, int64_t end, double *sums) {
    const shampoo_vectors *v = args;
    const real *restrict g = v->g, *restrict x = v->x, lambda = (real)v->weight_decay;
    real *restrict sum = v->sum;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        sum[i] = g[i] + lambda * x[i];
}

/* m ← μ m + d, x ← x - η m; without m, x ← x - η d */
static void SW_K(shampoo_move)(void *args, int64_t begin, int64_t end, double *sums) {
    const shampoo_vectors *v = args;
    const real *restrict d = v->d, lr = (real)v->lr, mu = (real)v->momentum;
    real *restrict x = v->x, *restrict m = v->m;
    (void)sums;
    if (m)
        for (int64_t i = begin; i < end; i++) {
            m[i] = mu * m[i] + d[i];
            x[i] -= lr * m[i];
        }
    else
        for (int64_t i = begin; i < end; i++)
            x[i] -= lr * d[i];
}

/* squares[i] ← Σ_j D[i,j]² */
static void SW_K(shampoo_row_squares)(void *args, int64_t begin, int64_t end, double *sums) {
    const shampoo_rows *a = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real *row = (const real *)a->D + i * a->columns;
        double lane[SW_LANES] = {0};
        int64_t j = 0;
        for (; j + SW_LANES <= a->columns; j += SW_LANES) {
            SW_OVER_LANES
            for (int k = 0; k < SW_LANES; k++)
                lane[k] += (double)row[j + k] * (double)row[j + k];
        }
        for (int k = 0; j < a->columns; j++, k++)
            lane[k] += (double)row[j] * (double)row[j];
        a->squares[i] = 0;
        SW_ADD_LANES(double, a->squares[i], lane);
    }
}

/* For `accepted`, once for each parameter. */
static void SW_K(shampoo_accepted)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)end, (void)sums;
    if (begin == 0)
        shampoo_count_failures(args);
}

#else

#include <swale/dry_run.h>
#include <swale/vector.h>
#include "optim/rules/preconditioner.h"

static const sw_kernels shampoo_decay_kernels = SW_KERNEL_TABLE(shampoo_decay),
                        shampoo_move_kernels = SW_KERNEL_TABLE(shampoo_move),
                        shampoo_row_squares_kernels = SW_KERNEL_TABLE(shampoo_row_squares),
                        shampoo_accepted_kernels = SW_KERNEL_TABLE(shampoo_accepted);

static swo_modes shampoo_modes(const sw_param *p, const double *option) {
    return swo_modes_of_matrix(p, INT64_MAX, (int64_t)SW_OPTIONS_AS(option, shampoo_options)->max_dim);
}

static swo_root_rule shampoo_root(const shampoo_options *o, int order) {
    return (swo_root_rule){
        {.size = sizeof(sw_root_options), .order = 2 * order, .ridge = o->eps, .shift_negative = true}, .scale = 1};
}

/* ---- Memory of a step: vectors of the parameter's size, and that of the roots ---- */

typedef struct shampoo_work {
    void *gradient, *one, *other, *roots, *column, *row;
    double *squares;
    size_t bytes;
} shampoo_work;

/* The rows of D; a vector is one row. */
static int64_t shampoo_rows_of(const swo_block *b) {
    return b->order == 1 ? 1 : b->length[0];
}

static shampoo_work shampoo_work_in(void *base, const swo_block *b, const double *option, sw_dtype type,
                                    bool parallel) {
    const shampoo_options *o = SW_OPTIONS_AS(option, shampoo_options);
    const swo_root_rule rule = shampoo_root(o, b->order);
    const size_t vector = (size_t)b->count * sw_dtype_size(type), rows = (size_t)shampoo_rows_of(b);
    swo_memory memory = {base, 0};
    shampoo_work w = {.gradient = swo_memory_take(&memory, vector),
                      .one = swo_memory_take(&memory, vector),
                      .other = swo_memory_take(&memory, vector),
                      .roots = swo_memory_take(&memory, swo_roots_work(type, b, &rule.root, parallel)),
                      .column = swo_memory_take(&memory, rows * sw_dtype_size(type)),
                      .row = swo_memory_take(&memory, vector / rows),
                      .squares = swo_memory_take(&memory, rows * sizeof(double))};
    w.bytes = memory.bytes;
    return w;
}

static size_t shampoo_bytes(const sw_param *p, const double *option, sw_dtype type, bool large) {
    const swo_modes modes = shampoo_modes(p, option);
    if (swo_block_count(&modes) == 0 || swo_blocks_are_large(&modes) != large)
        return 0;
    const swo_block b = swo_block_at(&modes, 0);
    return shampoo_work_in(NULL, &b, option, type, large).bytes;
}

static size_t shampoo_part_workspace(const sw_param *p, const double *option, sw_dtype type) {
    return shampoo_bytes(p, option, type, false);
}

static size_t shampoo_tensor_workspace(const sw_param *p, const double *option, sw_dtype type) {
    return shampoo_bytes(p, option, type, true);
}

/* ---- Factors and roots ---- */

/* L ← L + G Gᵀ and R ← R + Gᵀ G, or means. */
static sw_status shampoo_update_factors(const sw_step *s, const swo_block *b, const void *G) {
    const shampoo_options *o = SW_STEP_OPTIONS(s, shampoo_options);
    char *factor = SW_STEP_SLOTS(s, shampoo_slots)->factors;
    for (int k = 0; k < b->order; k++) {
        SW_TRY(swo_factor_update(s->type, b, k, o->beta, o->beta == 1 ? 1 : 1 - o->beta, G, factor));
        factor += (size_t)swo_mode_factor_count(b, k) * sw_dtype_size(s->type);
    }
    return SW_OK;
}

static sw_status shampoo_update_roots(const sw_step *s, const swo_block *b, void *work, bool large) {
    const shampoo_options *o = SW_STEP_OPTIONS(s, shampoo_options);
    const shampoo_slots *slots = SW_STEP_SLOTS(s, shampoo_slots);
    const swo_root_rule rule = shampoo_root(o, b->order);
    return swo_roots_refresh(s->type, b, slots->factors, &rule, slots->roots, slots->failures, NULL, work, large);
}

static bool shampoo_is_due(const sw_step *s, const swo_modes *modes, const swo_block *b) {
    const shampoo_options *o = SW_STEP_OPTIONS(s, shampoo_options);
    return !swo_roots_exist(s->type, b, SW_STEP_SLOTS(s, shampoo_slots)->roots) ||
           swo_refresh_is_due(s->step, s->param, b, swo_block_count(modes), 1, (int64_t)o->period, o->spread != 0);
}

/* ---- Old roots ---- */

/* The largest 2-norm of a row of D [rows, columns], and the row. squares [rows] is memory. */
static double shampoo_longest_row(sw_dtype type, int64_t rows, int64_t columns, const void *D, double *squares,
                                  const void **row) {
    shampoo_rows args = {D, squares, columns};
    int64_t at = 0;
    sw_kernel_run_rows(shampoo_row_squares_kernels[type][sw_cpu_level()], &args, rows, columns, NULL);
    for (int64_t i = 1; i < rows; i++)
        at = squares[i] > squares[at] ? i : at;
    *row = (const char *)D + (size_t)(at * columns) * sw_dtype_size(type);
    return sqrt(squares[at]);
}

/* A lower bound of the largest singular value of D [rows, columns]: the largest norm of a row, improved by two steps of
 * the power method that begin with this row. */
static sw_status shampoo_singular_value(sw_dtype type, int64_t rows, int64_t columns, const void *D,
                                        const shampoo_work *w, double *sigma) {
    const void *row;
    *sigma = shampoo_longest_row(type, rows, columns, D, w->squares, &row);
    for (int k = 0; k < 2 && *sigma > 0 && isfinite(*sigma); k++) {
        SW_TRY(sw_gemm(type, false, false, rows, 1, columns, 1 / *sigma, D, columns, row, 1, 0, w->column, 1));
        *sigma = swo_norm(type, rows, w->column); /* row/σ has the length 1, and the norms do not decrease */
        if (!(*sigma > 0))
            break;
        SW_TRY(sw_gemm(type, true, false, columns, 1, rows, 1 / *sigma, D, columns, w->column, 1, 0, w->row, 1));
        *sigma = swo_norm(type, columns, w->row);
        row = w->row;
    }
    return SW_OK;
}

/* s: from L ≥ (1 - β) GGᵀ and R ≥ (1 - β) GᵀG follows that no singular value is larger than for
 * ((1 - β) GGᵀ)^(-1/4) G ((1 - β) GᵀG)^(-1/4) = (1 - β)^(-1/2) UVᵀ. The diagonal of A ≥ 0, [n,n], is ≥ A/n. */
static double shampoo_most(const swo_block *b, double beta) {
    double most = beta == 1 ? 1 : 1 / sqrt(1 - beta);
    for (int k = 0; k < b->order; k++)
        most *= b->full[k] ? 1 : pow((double)b->length[k], 0.5 / b->order);
    return most;
}

/* D ← D min(1, s/σ) */
static sw_status shampoo_limit(const sw_step *s, const swo_block *b, const shampoo_work *w, void *D) {
    const double most = shampoo_most(b, SW_STEP_OPTIONS(s, shampoo_options)->beta);
    const int64_t rows = shampoo_rows_of(b);
    double sigma = 0;
    if (sw_dry_run())
        return SW_OK;
    SW_TRY(shampoo_singular_value(s->type, rows, b->count / rows, D, w, &sigma));
    if (sigma > most)
        sw_vector_axpby(s->type, b->count, most / sigma, D, 0, NULL, D);
    return SW_OK;
}

/* ---- A step ---- */

/* d: D, in the memory of the step. */
static sw_status shampoo_direction(const sw_step *s, const swo_modes *modes, const swo_block *b, const shampoo_work *w,
                                   const void *G, bool large, void **d) {
    const shampoo_slots *slots = SW_STEP_SLOTS(s, shampoo_slots);
    const int32_t *failures = slots->failures, before = *failures;
    const bool due = shampoo_is_due(s, modes, b);
    SW_TRY(shampoo_update_factors(s, b, G));
    if (due)
        SW_TRY(shampoo_update_roots(s, b, w->roots, large));
    SW_TRY(swo_precondition(s->type, b, slots->roots, G, w->one, w->other, d));
    return due && *failures == before ? SW_OK : shampoo_limit(s, b, w, *d);
}

static sw_status shampoo_update(const sw_step *s, bool large) {
    const shampoo_options *o = SW_STEP_OPTIONS(s, shampoo_options);
    const shampoo_slots *slots = SW_STEP_SLOTS(s, shampoo_slots);
    const swo_modes modes = shampoo_modes(s->param, s->option);
    const swo_block b = swo_block_at(&modes, 0);
    const shampoo_work w = shampoo_work_in(s->workspace, &b, s->option, s->type, large);
    shampoo_vectors v = {.g = s->g,
                         .x = s->x,
                         .m = slots->m,
                         .sum = w.gradient,
                         .lr = o->lr,
                         .weight_decay = o->weight_decay,
                         .momentum = o->momentum};
    if (o->weight_decay != 0) {
        sw_kernel_run(&shampoo_decay_kernels, s->type, &v, s->count);
        v.g = w.gradient;
    }
    void *d = NULL;
    SW_TRY(shampoo_direction(s, &modes, &b, &w, v.g, large, &d));
    v.d = d;
    sw_kernel_run(&shampoo_move_kernels, s->type, &v, s->count);
    return SW_OK;
}

/* Small matrices are one part each, and share the threads. Large ones are updated one after the other, and threads
 * share their products. */
static int64_t shampoo_parts(const sw_param *p, const double *option, sw_dtype type) {
    const swo_modes modes = shampoo_modes(p, option);
    (void)type;
    return swo_blocks_are_large(&modes) ? 0 : swo_block_count(&modes);
}

static double shampoo_part_cost(const sw_param *p, const double *option, sw_dtype type, int64_t part) {
    const swo_modes modes = shampoo_modes(p, option);
    const swo_block b = swo_block_at(&modes, part);
    (void)type;
    return swo_block_cost(&b, SW_OPTIONS_AS(option, shampoo_options)->period);
}

static sw_status shampoo_part(sw_step *s, int64_t part, sw_worker *worker) {
    (void)part, (void)worker;
    return shampoo_update(s, false);
}

static sw_status shampoo_tensor(sw_step *s) {
    const swo_modes modes = shampoo_modes(s->param, s->option);
    return swo_blocks_are_large(&modes) ? shampoo_update(s, true) : SW_OK;
}

static void shampoo_count_failures(const sw_step *s) {
    const swo_modes modes = shampoo_modes(s->param, s->option);
    SW_STEP_SCALARS(s, shampoo_scalars)->failed_roots +=
        swo_failures_sum(&modes, SW_STEP_SLOTS(s, shampoo_slots)->failures);
}

static sw_status shampoo_accept(sw_step *s) {
    SW_STEP_SCALARS(s, shampoo_scalars)->failed_roots = 0;
    return sw_step_run_with_frozen(s, &shampoo_accepted_kernels);
}

/* A root of εI + L with L ≥ 0 has no eigenvalue above ε^(-1/4), or ε^(-1/2) for a vector. Therefore ‖D‖ ≤ ‖G‖/√ε. Roots
 * that do not exist yet or could not be computed are the identity. The norm of the roots of all parameters is at most
 * that number times the root of the number of their rows. */
static void shampoo_reach(const sw_step *s, sw_bounds *bounds) {
    const shampoo_options *o = SW_STEP_OPTIONS(s, shampoo_options);
    const double g = bounds->g + o->weight_decay * bounds->x, weight = o->beta == 1 ? 1 : 1 - o->beta,
                 root = fmax(1, 1 / sqrt(o->eps)), d = g * root;
    double *factors = &SW_SLOT_BOUND(bounds, shampoo_slots, factors),
           *roots = &SW_SLOT_BOUND(bounds, shampoo_slots, roots), *m = &SW_SLOT_BOUND(bounds, shampoo_slots, m);
    *factors = o->beta * *factors + 2 * weight * g * g;
    *roots = hypot(*roots, 2 * root * sqrt(2 * (double)bounds->count));
    bounds->largest += d + g * g + o->lr + *factors + *roots;
    *m = o->momentum != 0 ? o->momentum * *m + d : d;
    bounds->x += o->lr * *m;
}

/* ---- State and options ---- */

static int64_t shampoo_factor_count(const sw_slot_sizes *sizes) {
    const swo_modes modes = shampoo_modes(sizes->param, sizes->option);
    return swo_factor_count(&modes);
}

static int64_t shampoo_block_count(const sw_slot_sizes *sizes) {
    const swo_modes modes = shampoo_modes(sizes->param, sizes->option);
    return swo_block_count(&modes);
}

static bool shampoo_has_momentum(const double *option) {
    return SW_OPTIONS_AS(option, shampoo_options)->momentum != 0;
}

static const sw_option shampoo_option_table[] = {
    {.name = "lr",
     .value = 0.1,
     .low = 0,
     .high = 1e6,
     .help = "η, learning rate",
     .search_low = 1e-4,
     .search_high = 1,
     .search_log = true},
    {.name = "beta", .value = 1, .low = 0, .high = 1, .help = "β, decay of the means L and R; 1: they are sums"},
    {.name = "eps",
     .value = 1e-6,
     .low = 1e-20,
     .high = 1e3,
     .help = "ε, added to the diagonals of L and R",
     .search_low = 1e-10,
     .search_high = 1e-2,
     .search_log = true},
    SW_OPTION_WEIGHT_DECAY,
    SWO_OPTION_MOMENTUM,
    {.name = "max_dim",
     .kind = SW_OPTION_INTEGER,
     .value = 2048,
     .low = 0,
     .high = 32000,
     .help = "rows or columns above which only the diagonal of a factor is used"},
    SWO_OPTION_PERIOD(1),
    SWO_OPTION_SPREAD,
    {0}};
static const sw_slot shampoo_slot_table[] = {{.name = "factors", .count = shampoo_factor_count},
                                             {.name = "roots", .count = shampoo_factor_count},
                                             {.name = "m", .needed = shampoo_has_momentum},
                                             {.name = "failures", .type = SW_SLOT_I32, .count = shampoo_block_count},
                                             {0}};
static const char *const shampoo_scalar_names[] = {"failed_roots", NULL};
SW_MATCH_OPTIONS(shampoo_options, shampoo_option_table);
SW_MATCH_SLOTS(shampoo_slots, shampoo_slot_table);
SW_MATCH_SCALARS(shampoo_scalars, shampoo_scalar_names);

const sw_rule swo_shampoo = {.size = sizeof(sw_rule),
                             .name = "shampoo",
                             .summary = "inverse roots of sums of GGᵀ and GᵀG, for each matrix",
                             .source = "Gupta, Koren, Singer, ICML 2018",
                             .options = shampoo_option_table,
                             .slots = shampoo_slot_table,
                             .scalars = shampoo_scalar_names,
                             .unit = SW_UNIT_TENSOR,
                             .flags = SW_RULE_LINEAR | SW_RULE_PENALTY,
                             .tensor = shampoo_tensor,
                             .reach = shampoo_reach,
                             .parts = shampoo_parts,
                             .part = shampoo_part,
                             .part_workspace = shampoo_part_workspace,
                             .part_cost = shampoo_part_cost,
                             .accepted = shampoo_accept,
                             .tensor_workspace = shampoo_tensor_workspace};

#endif
