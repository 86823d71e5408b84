/* SOAP (Vyas et al., ICLR 2025): Adam in the eigenbasis of Shampoo's factors. A parameter G of rank 2 or more is a
 * tensor; mode k is its axis k, and Gₖ is G with the indices of this axis as rows. For a matrix, the two modes give the
 * bases Q₁ of G Gᵀ and Q₂ of Gᵀ G. With t counted from the second step:
 *     G' ← G, rotated by Q₁, …, Qₙ                               for a matrix Q₁ᵀ G Q₂
 *     m ← β1 m + (1 - β1) G',   v ← β2 v + (1 - β2) G'²
 *     D ← m/(√v + ε), rotated back                               for a matrix Q₁ D Q₂ᵀ
 *     θ ← (1 - ηλ) (θ - η √(1 - β2ᵗ)/(1 - β1ᵗ) D)
 *     Lₖ ← β Lₖ + (1 - β) Gₖ Gₖᵀ
 *     every `period` steps: the columns of Qₖ in the order of diag(Qₖᵀ Lₖ Qₖ), the largest first, and v alike;
 *         Qₖ ← Q of the QR decomposition of Lₖ Qₖ, and m is rotated from the old basis to the new one
 * The first step computes the Lₖ and the eigenvectors Qₖ, and does not change θ. An axis of more than max_dim elements
 * is not rotated. Vectors and scalars have Adam's step without a rotation. Axes are not merged: a kernel of a
 * convolution has a basis for each of its four axes. */
#include <swale/kernel.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct soap_options {
    double lr, beta1, beta2, shampoo_beta, eps, weight_decay, max_dim, precondition_1d, period, spread;
} soap_options;
typedef struct soap_slots {
    void *m, *v;    /* in the rotated coordinates */
    void *factors;  /* the Lₖ, one after the other */
    void *bases;    /* the Qₖ, one after the other; row i is an eigenvector */
    void *failures; /* how many bases could not be computed */
} soap_slots;
typedef struct soap_scalars {
    double failed_roots; /* Σ failures; the previous bases were used */
} soap_scalars;
/* For the kernels: vectors of a parameter. */
typedef struct soap_vectors {
    const void *g;
    void *x, *m, *v, *d;
    double beta1, beta2, eps, rate, shrink;
} soap_vectors;
static void soap_count_failures(const sw_step *step);
#endif

#if SW_KERNEL_PASS

/* m ← β1 m + (1 - β1) g, v ← β2 v + (1 - β2) g², d ← m/(√v + ε). d may be g. */
static void SW_K(soap_adam)(void *args, int64_t begin, int64_t end, double *sums) {
    const soap_vectors *s = args;
    const real beta1 = (real)s->beta1, beta2 = (real)s->beta2, eps = (real)s->eps, phi1 = (real)(1 - s->beta1),
               phi2 = (real)(1 - s->beta2);
    const real *g = s->g;
    real *restrict m = s->m, *restrict v = s->v, *d = s->d;
    (void)sums;
    SW_INDEPENDENT
    for (int64_t i = begin; i < end; i++) {
        m[i] = beta1 * m[i] + phi1 * g[i];
        v[i] = beta2 * v[i] + phi2 * g[i] * g[i];
        d[i] = m[i] / (SW_R(sqrt)(v[i]) + eps);
    }
}

/* x ← (1 - ηλ) (x - rate d) */
static void SW_K(soap_move)(void *args, int64_t begin, int64_t end, double *sums) {
    const soap_vectors *s = args;
    const real rate = (real)s->rate, shrink = (real)s->shrink;
    const real *restrict d = s->d;
    real *restrict x = s->x;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        x[i] = shrink * (x[i] - rate * d[i]);
}

/* For `accepted`, once for each parameter. */
static void SW_K(soap_accepted)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)end, (void)sums;
    if (begin == 0)
        soap_count_failures(args);
}

#else

#include "optim/rules/preconditioner.h"
#include <swale/dry_run.h>

static const sw_kernels soap_adam_kernels = SW_KERNEL_TABLE(soap_adam), soap_move_kernels = SW_KERNEL_TABLE(soap_move),
                        soap_accepted_kernels = SW_KERNEL_TABLE(soap_accepted);

/* ---- Modes ---- */

/* The parameter as one block: its axes, without those of length 1; none if it has no elements. full[k]: the mode has a
 * basis. */
static swo_block soap_block(const sw_param *p, const double *option) {
    const soap_options *o = SW_OPTIONS_AS(option, soap_options);
    swo_block b = {.count = p->count, .whole = true};
    for (int i = 0; i < p->rank; i++)
        if (p->count > 0 && p->shape[i] != 1) {
            b.length[b.order] = p->shape[i];
            b.full[b.order++] = (double)p->shape[i] <= o->max_dim && (p->rank >= 2 || o->precondition_1d != 0);
        }
    return b;
}

/* The elements of the bases of the modes before `mode`. */
static int64_t soap_basis_at(const swo_block *b, int mode) {
    int64_t at = 0;
    for (int k = 0; k < mode; k++)
        at += b->full[k] ? b->length[k] * b->length[k] : 0;
    return at;
}

static void *soap_basis(const sw_step *s, const swo_block *b, int mode, void *first) {
    return (char *)first + (size_t)soap_basis_at(b, mode) * sw_dtype_size(s->type);
}

static double soap_number(sw_dtype type, const void *v, int64_t i) {
    return type == SW_F32 ? (double)((const float *)v)[i] : ((const double *)v)[i];
}

/* Whether the bases were computed: their slot is zeros otherwise, and a row of a basis is not 0. */
static bool soap_has_bases(const sw_step *s, const swo_block *b) {
    const void *bases = SW_STEP_SLOTS(s, soap_slots)->bases;
    if (sw_dry_run())
        return true;
    for (int k = 0; k < b->order; k++)
        for (int64_t i = 0; b->full[k] && i < b->length[k]; i++)
            if (soap_number(s->type, soap_basis(s, b, k, (void *)(uintptr_t)bases), i) != 0)
                return true;
    return soap_basis_at(b, b->order) == 0;
}

/* ---- Memory of a step ---- */

typedef struct soap_rank {
    double size; /* of an eigenvalue, as estimated */
    int64_t row;
} soap_rank;

typedef struct soap_work {
    void *one, *other;      /* vectors of the parameter's size */
    void *product, *sorted; /* matrices of a mode */
    soap_rank *rank;        /* [d] */
    void *lapack;
    size_t bytes;
} soap_work;

static soap_work soap_work_in(void *base, const swo_block *b, sw_dtype type) {
    const size_t size = sw_dtype_size(type), vector = (size_t)b->count * size;
    size_t matrix = 0, ranks = 0, lapack = 0;
    for (int k = 0; k < b->order; k++)
        if (b->full[k]) {
            const size_t d = (size_t)b->length[k], eigen = sw_symmetric_eigen_work(type, b->length[k]),
                         rows = sw_orthonormalize_work(type, b->length[k]);
            matrix = d * d * size > matrix ? d * d * size : matrix;
            ranks = d * sizeof(soap_rank) > ranks ? d * sizeof(soap_rank) : ranks;
            lapack = eigen > lapack ? eigen : lapack;
            lapack = rows > lapack ? rows : lapack;
        }
    swo_memory memory = {base, 0};
    soap_work w = {.one = swo_memory_take(&memory, vector),
                   .other = swo_memory_take(&memory, vector),
                   .product = swo_memory_take(&memory, matrix),
                   .sorted = swo_memory_take(&memory, matrix),
                   .rank = swo_memory_take(&memory, ranks),
                   .lapack = swo_memory_take(&memory, lapack)};
    w.bytes = memory.bytes;
    return w;
}

/* ---- Rotations ---- */

/* Rotates G by the bases of all modes, forward or back. *result is G, or one of the two vectors of w. */
static sw_status soap_rotate(const sw_step *s, const swo_block *b, const soap_work *w, bool back, void *G,
                             void **result) {
    *result = G;
    for (int k = 0; k < b->order; k++) {
        if (!b->full[k])
            continue;
        void *to = *result == w->one ? w->other : w->one;
        SW_TRY(swo_mode_product(s->type, b, k, back, soap_basis(s, b, k, SW_STEP_SLOTS(s, soap_slots)->bases), *result,
                                to));
        *result = to;
    }
    return SW_OK;
}

/* v ← v with the indices of a mode in the order of w->rank. */
static void soap_permute(const sw_step *s, const swo_block *b, int mode, const soap_work *w) {
    const int64_t size = (int64_t)sw_dtype_size(s->type), d = b->length[mode];
    int64_t after = size, before = 1;
    for (int k = 0; k < mode; k++)
        before *= b->length[k];
    for (int k = mode + 1; k < b->order; k++)
        after *= b->length[k];
    char *v = SW_STEP_SLOTS(s, soap_slots)->v, *to = w->one;
    for (int64_t i = 0; i < before; i++)
        for (int64_t j = 0; j < d; j++)
            memcpy(to + (i * d + j) * after, v + (i * d + w->rank[j].row) * after, (size_t)after);
    memcpy(v, to, (size_t)(b->count * size));
}

/* ---- Factors and bases ---- */

static sw_status soap_update_factors(const sw_step *s, const swo_block *b) {
    const soap_options *o = SW_STEP_OPTIONS(s, soap_options);
    const double beta = o->shampoo_beta >= 0 ? o->shampoo_beta : o->beta2;
    for (int k = 0; k < b->order; k++)
        if (b->full[k])
            SW_TRY(swo_factor_update(s->type, b, k, beta, 1 - beta, s->g,
                                     soap_basis(s, b, k, SW_STEP_SLOTS(s, soap_slots)->factors)));
    return SW_OK;
}

static void soap_count_failure(const sw_step *s) {
    int32_t *failures = SW_STEP_SLOTS(s, soap_slots)->failures;
    *failures += *failures < INT32_MAX;
}

/* The first bases: eigenvectors, or the identity if they cannot be computed. */
static sw_status soap_first_basis(const sw_step *s, const swo_block *b, int mode, const soap_work *w) {
    const int64_t d = b->length[mode];
    void *basis = soap_basis(s, b, mode, SW_STEP_SLOTS(s, soap_slots)->bases);
    sw_matrix_outcome outcome;
    SW_TRY(sw_symmetric_eigen(s->type, d, soap_basis(s, b, mode, SW_STEP_SLOTS(s, soap_slots)->factors), w->rank, basis,
                              w->lapack, &outcome));
    if (outcome == SW_MATRIX_OK)
        return SW_OK;
    soap_count_failure(s);
    for (int64_t i = 0; i < d; i++)
        if (s->type == SW_F32)
            ((float *)basis)[i * d + i] = 1;
        else
            ((double *)basis)[i * d + i] = 1;
    return SW_OK;
}

/* Sorts the rows of a basis by diag(Qᵀ L Q), the largest first, where product = Qᵀ L. The order changes little from one
 * time to the next, so that insertion is fast. */
static void soap_sort(sw_dtype type, int64_t d, const void *basis, const soap_work *w) {
    const size_t row = (size_t)d * sw_dtype_size(type);
    for (int64_t i = 0; i < d; i++) {
        const soap_rank r = {
            sw_vector_dot(type, d, (const char *)basis + (size_t)i * row, (char *)w->product + (size_t)i * row), i};
        int64_t at = i;
        for (; at > 0 && w->rank[at - 1].size < r.size; at--)
            w->rank[at] = w->rank[at - 1];
        w->rank[at] = r;
    }
    for (int64_t i = 0; i < d; i++)
        memcpy((char *)w->sorted + (size_t)i * row, (char *)w->product + (size_t)w->rank[i].row * row, row);
}

/* One step of the power iteration: Q ← Q of the QR decomposition of L Q, with sorted columns. If it fails, everything
 * stays as it was. */
static sw_status soap_next_basis(const sw_step *s, const swo_block *b, int mode, const soap_work *w) {
    const soap_slots *slots = SW_STEP_SLOTS(s, soap_slots);
    const int64_t d = b->length[mode];
    const size_t matrix = (size_t)(d * d) * sw_dtype_size(s->type);
    void *basis = soap_basis(s, b, mode, slots->bases), *factor = soap_basis(s, b, mode, slots->factors);
    sw_matrix_outcome outcome;
    SW_TRY(sw_gemm(s->type, false, false, d, d, d, 1, basis, d, factor, d, 0, w->product, d));
    if (sw_dry_run()) { /* the two products of m below */
        sw_dry_run_count_product(b->count, d, 1);
        sw_dry_run_count_product(b->count, d, 1);
        return SW_OK;
    }
    soap_sort(s->type, d, basis, w);
    SW_TRY(sw_orthonormalize(s->type, d, d, w->sorted, d, w->lapack, &outcome));
    if (outcome != SW_MATRIX_OK) {
        soap_count_failure(s);
        return SW_OK;
    }
    soap_permute(s, b, mode, w);
    SW_TRY(swo_mode_product(s->type, b, mode, true, basis, slots->m, w->one));
    SW_TRY(swo_mode_product(s->type, b, mode, false, w->sorted, w->one, slots->m));
    memcpy(basis, w->sorted, matrix);
    return SW_OK;
}

static int soap_modes_with_basis(const swo_block *b) {
    int modes = 0;
    for (int k = 0; k < b->order; k++)
        modes += b->full[k];
    return modes;
}

/* With `spread`, the bases of a parameter are computed in different steps. */
static sw_status soap_update_bases(const sw_step *s, const swo_block *b, const soap_work *w) {
    const soap_options *o = SW_STEP_OPTIONS(s, soap_options);
    const int modes = soap_modes_with_basis(b);
    swo_block mode = {0};
    for (int k = 0; k < b->order; k++)
        if (b->full[k]) {
            if (swo_refresh_is_due(s->step - 1, s->param, &mode, modes, 0, (int64_t)o->period, o->spread != 0))
                SW_TRY(soap_next_basis(s, b, k, w));
            mode.index++;
        }
    return SW_OK;
}

/* ---- A step ---- */

static sw_status soap_start(const sw_step *s, const swo_block *b, const soap_work *w) {
    SW_TRY(soap_update_factors(s, b));
    for (int k = 0; k < b->order; k++)
        if (b->full[k])
            SW_TRY(soap_first_basis(s, b, k, w));
    return SW_OK;
}

static sw_status soap_update(const sw_step *s) {
    const soap_options *o = SW_STEP_OPTIONS(s, soap_options);
    const soap_slots *slots = SW_STEP_SLOTS(s, soap_slots);
    const swo_block b = soap_block(s->param, s->option);
    const soap_work w = soap_work_in(s->workspace, &b, s->type);
    const double t = (double)(s->step - 1);
    if (s->step == 1 || !soap_has_bases(s, &b))
        return soap_start(s, &b, &w);
    void *rotated, *d;
    SW_TRY(soap_rotate(s, &b, &w, false, (void *)(uintptr_t)s->g, &rotated));
    soap_vectors v = {.g = rotated,
                      .x = s->x,
                      .m = slots->m,
                      .v = slots->v,
                      .d = rotated == s->g ? w.one : rotated,
                      .beta1 = o->beta1,
                      .beta2 = o->beta2,
                      .eps = o->eps,
                      .rate = o->lr * sqrt(1 - pow(o->beta2, t)) / (1 - pow(o->beta1, t)),
                      .shrink = 1 - o->lr * o->weight_decay};
    sw_kernel_run(&soap_adam_kernels, s->type, &v, s->count);
    SW_TRY(soap_rotate(s, &b, &w, true, v.d, &d));
    v.d = d;
    sw_kernel_run(&soap_move_kernels, s->type, &v, s->count);
    SW_TRY(soap_update_factors(s, &b));
    return soap_update_bases(s, &b, &w);
}

/* Small parameters are one part each, and share the threads. Large ones are updated one after the other, and threads
 * share their products. */
static bool soap_is_large(const swo_block *b) {
    const double large = 0x1p25;
    return swo_block_cost(b, INFINITY) > large;
}

static int64_t soap_parts(const sw_param *p, const double *option, sw_dtype type) {
    const swo_block b = soap_block(p, option);
    (void)type;
    return b.count > 0 && !soap_is_large(&b);
}

static double soap_part_cost(const sw_param *p, const double *option, sw_dtype type, int64_t part) {
    const swo_block b = soap_block(p, option);
    (void)type, (void)part;
    return 2 * swo_block_cost(&b, SW_OPTIONS_AS(option, soap_options)->period);
}

static sw_status soap_part(sw_step *s, int64_t part, sw_worker *worker) {
    (void)part, (void)worker;
    return soap_update(s);
}

static sw_status soap_tensor(sw_step *s) {
    const swo_block b = soap_block(s->param, s->option);
    return soap_is_large(&b) ? soap_update(s) : SW_OK;
}

static size_t soap_bytes(const sw_param *p, const double *option, sw_dtype type, bool large) {
    const swo_block b = soap_block(p, option);
    return soap_is_large(&b) == large ? soap_work_in(NULL, &b, type).bytes : 0;
}

static size_t soap_part_workspace(const sw_param *p, const double *option, sw_dtype type) {
    return soap_bytes(p, option, type, false);
}

static size_t soap_tensor_workspace(const sw_param *p, const double *option, sw_dtype type) {
    return soap_bytes(p, option, type, true);
}

static void soap_count_failures(const sw_step *s) {
    const int32_t *failures = SW_STEP_SLOTS(s, soap_slots)->failures;
    SW_STEP_SCALARS(s, soap_scalars)->failed_roots += *failures;
}

static sw_status soap_accept(sw_step *s) {
    SW_STEP_SCALARS(s, soap_scalars)->failed_roots = 0;
    return sw_step_run_with_frozen(s, &soap_accepted_kernels);
}

/* Rotations keep norms, up to rounding, which the factor `grown` covers. |D| ≤ |m|/ε. ‖Gₖ Gₖᵀ‖ ≤ ‖G‖² for each mode,
 * and the norm of a basis is the root of its number of rows, of which all modes of a parameter together have at most
 * SW_MAX_RANK for each element. */
static void soap_reach(const sw_step *s, sw_bounds *bounds) {
    const soap_options *o = SW_STEP_OPTIONS(s, soap_options);
    const double grown = 1 + 1e-3, beta = o->shampoo_beta >= 0 ? o->shampoo_beta : o->beta2, g = grown * bounds->g,
                 most = sqrt((double)SW_MAX_RANK);
    double *m = &SW_SLOT_BOUND(bounds, soap_slots, m), *v = &SW_SLOT_BOUND(bounds, soap_slots, v),
           *factors = &SW_SLOT_BOUND(bounds, soap_slots, factors), *bases = &SW_SLOT_BOUND(bounds, soap_slots, bases);
    *m = grown * (o->beta1 * *m + (1 - o->beta1) * g);
    *v = o->beta2 * *v + (1 - o->beta2) * g * g;
    *factors = beta * *factors + (1 - beta) * most * g * g * grown;
    *bases = fmax(*bases, grown * most * sqrt((double)bounds->count));
    const double d = *m / o->eps, x = bounds->x + o->lr / (1 - o->beta1) * d;
    bounds->largest += d + x + g * g + o->lr / (1 - o->beta1) + *factors * *bases;
    bounds->x = fmax(1, fabs(1 - o->lr * o->weight_decay)) * x;
}

/* ---- State and options ---- */

static int64_t soap_basis_count(const sw_slot_sizes *sizes) {
    const swo_block b = soap_block(sizes->param, sizes->option);
    return soap_basis_at(&b, b.order);
}

static int64_t soap_one(const sw_slot_sizes *sizes) {
    (void)sizes;
    return 1;
}

static sw_status soap_check(const double *option) {
    const soap_options *o = SW_OPTIONS_AS(option, soap_options);
    if (o->shampoo_beta < 0 && o->shampoo_beta != -1)
        return sw_fail(SW_ERR_ARGUMENT, "rule soap: shampoo_beta is %g, expected 0 to 1, or -1 for the value of beta2",
                       o->shampoo_beta);
    return SW_OK;
}

static const char *soap_not_linear(const double *option) {
    return SW_OPTIONS_AS(option, soap_options)->weight_decay != 0
               ? "its weight decay multiplies the step (weight_decay=0)"
               : NULL;
}

/* With a beta2 above 0.99998, means in f32 would no longer change; an eps below 1e-15 would need squares in f64 (see
 * second_moments.h). */
static const sw_option soap_option_table[] = {
    SWO_OPTION_LR(3e-3),
    {.name = "beta1",
     .value = 0.95,
     .low = 0,
     .high = 1,
     .open = SW_OPEN_HIGH,
     .help = "decay of the mean of G'",
     .search_low = 0.8,
     .search_high = 0.98},
    {.name = "beta2",
     .value = 0.95,
     .low = 0,
     .high = 0.99998,
     .help = "decay of the mean of G'²",
     .search_low = 0.9,
     .search_high = 0.999},
    {.name = "shampoo_beta",
     .value = -1,
     .low = -1,
     .high = 0.99998,
     .help = "β, decay of the means of GGᵀ; -1: beta2"},
    {.name = "eps",
     .value = 1e-8,
     .low = 1e-15,
     .high = 1,
     .help = "ε of the denominator",
     .search_low = 1e-10,
     .search_high = 1e-4,
     .search_log = true},
    {.name = "weight_decay",
     .value = 0.01,
     .low = 0,
     .high = 1e6,
     .help = "λ, decoupled: θ ← (1 - ηλ) θ after the step",
     .search_low = 1e-5,
     .search_high = 0.5,
     .search_log = true},
    {.name = "max_dim",
     .kind = SW_OPTION_INTEGER,
     .value = 10000,
     .low = 0,
     .high = 32000,
     .help = "longer axes are not rotated"},
    {.name = "precondition_1d", .kind = SW_OPTION_BOOL, .help = "rotate vectors too"},
    SWO_OPTION_PERIOD(10),
    SWO_OPTION_SPREAD,
    {0}};
static const sw_slot soap_slot_table[] = {{.name = "m"},
                                          {.name = "v"},
                                          {.name = "factors", .count = soap_basis_count},
                                          {.name = "bases", .count = soap_basis_count},
                                          {.name = "failures", .type = SW_SLOT_I32, .count = soap_one},
                                          {0}};
static const char *const soap_scalar_names[] = {"failed_roots", NULL};
SW_MATCH_OPTIONS(soap_options, soap_option_table);
SW_MATCH_SLOTS(soap_slots, soap_slot_table);
SW_MATCH_SCALARS(soap_scalars, soap_scalar_names);

const sw_rule swo_soap = {.size = sizeof(sw_rule),
                          .name = "soap",
                          .summary = "Adam in the eigenbasis of Shampoo's factors",
                          .source = "Vyas et al., ICLR 2025",
                          .options = soap_option_table,
                          .slots = soap_slot_table,
                          .check = soap_check,
                          .scalars = soap_scalar_names,
                          .unit = SW_UNIT_TENSOR,
                          .flags = SW_RULE_LINEAR,
                          .tensor = soap_tensor,
                          .reach = soap_reach,
                          .not_linear = soap_not_linear,
                          .parts = soap_parts,
                          .part = soap_part,
                          .part_workspace = soap_part_workspace,
                          .part_cost = soap_part_cost,
                          .accepted = soap_accept,
                          .tensor_workspace = soap_tensor_workspace};

#endif
