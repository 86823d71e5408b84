/* Preconditioners of the matrix rules (Shampoo, CASPR, SOAP). A block G of a parameter is a tensor with modes of
 * lengths d₁, …, dₙ. Mode k has a factor Lₖ [dₖ,dₖ], the sum or mean of Gₖ Gₖᵀ over the steps, where Gₖ is G with mode
 * k as rows and all others as columns. Roots Pₖ of the factors are computed every few steps, and the block is
 * multiplied by them along all modes: for a matrix, P₁ G P₂.
 *
 * Products have the same bits on one thread and on several, so that it does not matter whether blocks share the threads
 * (`part` of a rule), or the products of one large block after the other do (`tensor` of a rule). */
#include "optim/rules/preconditioner.h"

#include <swale/dry_run.h>
#include <swale/reach.h>

#include <math.h>
#include <string.h>

/* ---- Elements ---- */

static void *element_at(sw_dtype type, const void *v, int64_t i) {
    return (char *)(uintptr_t)v + (size_t)i * sw_dtype_size(type);
}

static double element_get(sw_dtype type, const void *v, int64_t i) {
    return type == SW_F32 ? (double)((const float *)v)[i] : ((const double *)v)[i];
}

static void element_set(sw_dtype type, void *v, int64_t i, double value) {
    if (type == SW_F32)
        ((float *)v)[i] = (float)value;
    else
        ((double *)v)[i] = value;
}

/* ---- One mode ---- */

/* A block as [before, d, after] around a mode. */
typedef struct mode_view {
    int64_t before, d, after;
} mode_view;

static mode_view mode_view_of(const swo_block *b, int mode) {
    mode_view v = {1, b->length[mode], 1};
    for (int k = 0; k < mode; k++)
        v.before *= b->length[k];
    for (int k = mode + 1; k < b->order; k++)
        v.after *= b->length[k];
    return v;
}

int64_t swo_mode_factor_count(const swo_block *b, int mode) {
    return b->full[mode] ? b->length[mode] * b->length[mode] : b->length[mode];
}

/* The diagonal of G_k G_kᵀ: sums of squares. */
static void mode_add_diagonal(sw_dtype type, mode_view v, double decay, double weight, const void *G, void *factor) {
    for (int64_t i = 0; i < v.d; i++) {
        double sum = 0;
        for (int64_t j = 0; j < v.before; j++)
            for (int64_t k = 0; k < v.after; k++) {
                const double g = element_get(type, G, (j * v.d + i) * v.after + k);
                sum += g * g;
            }
        element_set(type, factor, i, (decay > 0 ? decay * element_get(type, factor, i) : 0) + weight * sum);
    }
}

/* factor ← decay factor + weight g gᵀ, [n,n]: one pass over memory. */
#define MODE_ADD_OUTER(real)                                                                               \
    for (int64_t i = 0; i < n; i++) {                                                                      \
        const real *v = g, g_i = v[i];                                                                     \
        real *row = (real *)factor + i * n;                                                                \
        for (int64_t j = 0; j < n; j++)                                                                    \
            row[j] = (decay > 0 ? (real)decay * row[j] : 0) + (real)weight * (g_i * v[j]); /* symmetric */ \
    }

static void mode_add_outer(sw_dtype type, int64_t n, double decay, double weight, const void *g, void *factor) {
    if (type == SW_F32)
        MODE_ADD_OUTER(float)
    else
        MODE_ADD_OUTER(double)
}

sw_status swo_factor_update(sw_dtype type, const swo_block *b, int mode, double decay, double weight, const void *G,
                            void *factor) {
    const mode_view v = mode_view_of(b, mode);
    if (sw_dry_run() && (!b->full[mode] || v.before * v.after == 1))
        return SW_OK;
    if (!b->full[mode]) {
        mode_add_diagonal(type, v, decay, weight, G, factor);
        return SW_OK;
    }
    if (v.before == 1 && v.after == 1) {
        mode_add_outer(type, v.d, decay, weight, G, factor);
        return SW_OK;
    }
    if (v.after == 1)
        return sw_symmetric_product(type, true, v.d, v.before, weight, G, v.d, decay, factor, v.d);
    for (int64_t i = 0; i < v.before; i++)
        SW_TRY(sw_symmetric_product(type, false, v.d, v.after, weight, element_at(type, G, i * v.d * v.after), v.after,
                                    i == 0 ? decay : 1, factor, v.d));
    return SW_OK;
}

static void mode_scale(sw_dtype type, mode_view v, const void *P, const void *G, void *out) {
    if (sw_dry_run())
        return;
    for (int64_t j = 0; j < v.before * v.d; j++) {
        const double p = element_get(type, P, j % v.d);
        for (int64_t k = j * v.after; k < (j + 1) * v.after; k++)
            element_set(type, out, k, p * element_get(type, G, k));
    }
}

sw_status swo_mode_product(sw_dtype type, const swo_block *b, int mode, bool transposed, const void *P, const void *G,
                           void *out) {
    const mode_view v = mode_view_of(b, mode);
    if (!b->full[mode]) {
        mode_scale(type, v, P, G, out);
        return SW_OK;
    }
    if (v.after == 1)
        return sw_gemm(type, false, !transposed, v.before, v.d, v.d, 1, G, v.d, P, v.d, 0, out, v.d);
    for (int64_t i = 0; i < v.before; i++)
        SW_TRY(sw_gemm(type, transposed, false, v.d, v.after, v.d, 1, P, v.d, element_at(type, G, i * v.d * v.after),
                       v.after, 0, element_at(type, out, i * v.d * v.after), v.after));
    return SW_OK;
}

sw_status swo_precondition(sw_dtype type, const swo_block *b, const void *roots, const void *G, void *first,
                           void *second, void **result) {
    void *to = G == first ? second : first;
    for (int k = 0; k < b->order; k++) {
        SW_TRY(swo_mode_product(type, b, k, false, roots, G, to));
        roots = element_at(type, roots, swo_mode_factor_count(b, k));
        G = *result = to;
        to = to == first ? second : first;
    }
    return SW_OK;
}

/* ---- Roots ---- */

static size_t roots_work_of_mode(sw_dtype type, const swo_block *b, int mode, const sw_root_options *root) {
    return b->full[mode] ? swo_aligned(sw_inverse_root_work(type, b->length[mode], root)) : 0;
}

size_t swo_roots_work(sw_dtype type, const swo_block *b, const sw_root_options *root, bool parallel) {
    size_t most = 0;
    for (int k = 0; k < b->order; k++) {
        const size_t bytes = roots_work_of_mode(type, b, k, root);
        most = bytes > most ? bytes : most;
    }
    return parallel ? (most + SW_ALIGNMENT) * (size_t)b->order : most;
}

bool swo_roots_exist(sw_dtype type, const swo_block *b, const void *roots) {
    return b->count == 0 || sw_dry_run() || element_get(type, roots, 0) != 0; /* the diagonal of a root is above 0 */
}

void swo_roots_set_identity(sw_dtype type, const swo_block *b, void *roots) {
    if (sw_dry_run())
        return;
    for (int k = 0; k < b->order; k++) {
        const int64_t d = b->length[k], count = swo_mode_factor_count(b, k);
        for (int64_t i = 0; i < count; i++)
            element_set(type, roots, i, !b->full[k] || i % (d + 1) == 0);
        roots = element_at(type, roots, count);
    }
}

/* A diagonal; false if an element has no root. `root` may be `factor`. */
static bool roots_of_diagonal(sw_dtype type, int64_t d, const void *factor, const swo_root_rule *rule, void *root) {
    double largest = 0;
    for (int64_t i = 0; i < d; i++)
        largest = fmax(largest, element_get(type, factor, i));
    const double ridge = rule->root.ridge * (rule->root.ridge_relative ? largest : 1);
    if (!(ridge > 0) || !isfinite(largest))
        return false;
    for (int64_t i = 0; i < d; i++)
        element_set(type, root, i, rule->scale * pow(element_get(type, factor, i) + ridge, -1.0 / rule->root.order));
    return true;
}

static void roots_scale(sw_dtype type, int64_t count, double scale, void *root) {
    for (int64_t i = 0; i < count && scale != 1; i++)
        element_set(type, root, i, scale * element_get(type, root, i));
}

typedef struct roots_call {
    sw_dtype type;
    const swo_block *block;
    const char *factors;
    const swo_root_rule *rule;
    char *roots;
    double *largest;
    bool failed[SW_MAX_RANK];
} roots_call;

static sw_status roots_of_mode(void *args, int64_t mode, sw_worker *worker) {
    roots_call *c = args;
    const swo_block *b = c->block;
    const int64_t d = b->length[mode];
    int64_t at = 0;
    for (int k = 0; k < (int)mode; k++)
        at += swo_mode_factor_count(b, k);
    const void *factor = element_at(c->type, c->factors, at);
    void *root = element_at(c->type, c->roots, at);
    if (!b->full[mode]) {
        c->failed[mode] = !roots_of_diagonal(c->type, d, factor, c->rule, root);
        return SW_OK;
    }
    sw_root_report report = {.size = sizeof report};
    SW_TRY(sw_inverse_root(c->type, d, factor, &c->rule->root, root, worker->scratch, &report));
    c->failed[mode] = report.outcome != SW_MATRIX_OK;
    if (c->failed[mode])
        return SW_OK;
    roots_scale(c->type, d * d, c->rule->scale, root);
    if (c->largest)
        c->largest[mode] = report.largest;
    return SW_OK;
}

sw_status swo_roots_refresh(sw_dtype type, const swo_block *b, const void *factors, const swo_root_rule *rule,
                            void *roots, int32_t *failures, double *largest, void *work, bool parallel) {
    if (sw_dry_run())
        return SW_OK;
    roots_call c = {type, b, factors, rule, roots, largest, {false}};
    const size_t bytes = swo_roots_work(type, b, &rule->root, false);
    if (!swo_roots_exist(type, b, roots))
        swo_roots_set_identity(type, b, roots);
    if (parallel && bytes > 0)
        SW_TRY(sw_parallel_items_with_scratch(roots_of_mode, &c, b->order, bytes, work,
                                              swo_roots_work(type, b, &rule->root, true)));
    else
        for (int k = 0; k < b->order; k++)
            SW_TRY(roots_of_mode(&c, k, &(sw_worker){.size = sizeof(sw_worker), .count = 1, .scratch = work}));
    for (int k = 0; k < b->order; k++)
        *failures += c.failed[k] && *failures < INT32_MAX;
    return SW_OK;
}

double swo_norm(sw_dtype type, int64_t n, const void *v) {
    double norm = 0;
    return n == 0 || sw_vector_norm(type, n, v, &norm) == SW_OK ? norm : INFINITY;
}

double swo_failures_sum(const swo_modes *modes, const int32_t *failures) {
    double sum = 0;
    for (int64_t i = 0, blocks = swo_block_count(modes); i < blocks; i++)
        sum += failures[i];
    return sum;
}

/* ---- When roots are computed ---- */

bool swo_refresh_is_due(int64_t step, const sw_param *param, const swo_block *block, int64_t blocks, int64_t start,
                        int64_t period, bool spread) {
    if (step <= start)
        return step == start;
    if (!spread)
        return step % period == 0;
    /* Blocks of a parameter are spread evenly. Parameters begin at multiples of 0.618 periods, the golden ratio, so
     * that those of any number of parameters are spread too. 40503 is 0.618 · 2^16. */
    const int64_t of_block = block->index * period / blocks,
                  of_param = ((int64_t)param->index * 40503 & 0xffff) * period >> 16;
    return (step - start + of_block + of_param) % period == 0;
}

/* ---- Bounds ---- */

/* As in adam.c: R² = β1² R²/keep + (1 - β1)²/fresh for R ≥ |M|/√V. */
double swo_normalized_bound(sw_bounds *b, sw_dtype type, double beta1, double keep, double fresh, double eps,
                            double m_scale, double m_hat) {
    const double phi = 1 - beta1, square = beta1 * beta1 * b->own * b->own / keep + phi * phi / fresh;
    b->own = keep > 0 ? sqrt(square) * (1 + 1e-6) : INFINITY;
    const double of_g = sw_bound_normalized(b, type, fresh, eps),
                 rest = (b->own + 1) * (of_g - sqrt((double)b->count / fresh)),
                 of_m = sqrt((double)b->count) * b->own + rest;
    return sw_bound_tighter(m_hat / eps, m_scale * (of_m + phi * of_g));
}

/* ---- Cost ---- */

/* A product of mode k has d·count multiplications, and a symmetric product half as many. An eigendecomposition and the
 * product for the root take as long as about 10 d³ of a product. */
double swo_block_cost(const swo_block *b, double period) {
    double cost = (double)b->count;
    for (int k = 0; k < b->order; k++) {
        const double d = (double)b->length[k];
        cost += b->full[k] ? 1.5 * d * (double)b->count + 10 * d * d * d / period : 2 * (double)b->count;
    }
    return cost;
}

bool swo_blocks_are_large(const swo_modes *modes) {
    const double large = 0x1p25; /* a millisecond or two, in which threads can be woken often */
    if (swo_block_count(modes) == 0)
        return false;
    const swo_block first = swo_block_at(modes, 0); /* no other is larger */
    return swo_block_cost(&first, INFINITY) > large;
}
