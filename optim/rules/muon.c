/* Muon (Jordan et al. 2024): the momentum of a matrix is orthogonalized, so that all directions of a step have about
 * the same length. For a matrix θ [rows, columns], where a convolution [out, kh, kw, in] is [out, kh·kw·in]:
 *     θ ← (1 - ηλ) θ, or g ← g + λθ if not decoupled
 *     m ← μ m + (1 - μ) g
 *     u ← μ m + (1 - μ) g with Nesterov's momentum, else m
 *     O ← Newton-Schulz(u)                  near UVᵀ, where u = USVᵀ: see newton_schulz.h
 *     θ ← θ - η s O
 * scale=keller (Jordan's code):        s = √max(1, rows/columns)
 * scale=moonshot (Liu et al. 2025):    s = 0.2 √max(rows, columns): the root mean square of sO is that of a step of
 * AdamW
 *
 * Orthogonalization is meant for hidden layers. All other parameters are updated by AdamW in the same group: vectors,
 * and, unless route=matrices, embeddings and the matrix of the last layer (role=head). Its learning rate is
 * adamw_lr_ratio·η, so that schedules and line searches act on both.
 */
#include <swale/kernel.h>
#include <swale/matrix_shape.h>
#include <swale/newton_schulz.h>
#include "optim/rules/adam.h"

#if SW_KERNEL_FIRST
typedef struct muon_options {
    double lr, momentum, nesterov, weight_decay, decoupled, scale, route, ns_steps, ns_a, ns_b, ns_c, eps, products,
        lr_ratio, beta1, beta2, adamw_eps;
} muon_options;
/* m is Muon's momentum, or AdamW's mean of g; v and v_f64 are AdamW's second moments, as in adam.h. */
typedef adam_slots muon_slots;
/* AdamW's coefficients, which its loop reads, are the first. */
typedef struct muon_coefficients {
    adam_coefficients adamw;
    double l2, shrink; /* λ in the gradient; the factor 1 - ηλ of θ */
} muon_coefficients;

/* The arguments of the kernels: a matrix, and its coefficients. */
typedef struct muon_matrix {
    const sw_step *step;
    void *update;  /* u, and later O */
    double length; /* η s */
} muon_matrix;
#endif

#if SW_KERNEL_PASS

/* m ← μ m + (1 - μ) g; u */
static void SW_K(muon_momentum)(void *args, int64_t begin, int64_t end, double *sums) {
    const muon_matrix *a = args;
    const muon_options *o = SW_STEP_OPTIONS(a->step, muon_options);
    const real *restrict x = a->step->x, *restrict gradient = a->step->g;
    real *restrict m = SW_STEP_SLOTS(a->step, muon_slots)->m, *restrict u = a->update;
    const real mu = (real)o->momentum, one_minus_mu = (real)(1 - o->momentum),
               l2 = (real)SW_STEP_COEFFICIENTS(a->step, muon_coefficients)->l2;
    (void)sums;
    if (o->nesterov != 0) {
        for (int64_t i = begin; i < end; i++) {
            const real g = one_minus_mu * (gradient[i] + l2 * x[i]);
            m[i] = mu * m[i] + g;
            u[i] = mu * m[i] + g;
        }
    } else {
        for (int64_t i = begin; i < end; i++) {
            m[i] = mu * m[i] + one_minus_mu * (gradient[i] + l2 * x[i]);
            u[i] = m[i];
        }
    }
}

/* θ ← (1 - ηλ) θ - η s O */
static void SW_K(muon_move)(void *args, int64_t begin, int64_t end, double *sums) {
    const muon_matrix *a = args;
    real *restrict x = a->step->x;
    const real *restrict update = a->update;
    const real shrink = (real)SW_STEP_COEFFICIENTS(a->step, muon_coefficients)->shrink, length = (real)a->length;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        x[i] = shrink * x[i] - length * update[i];
}

#else

static const sw_kernels muon_momentum_kernels = SW_KERNEL_TABLE(muon_momentum),
                        muon_move_kernels = SW_KERNEL_TABLE(muon_move);

enum { SCALE_KELLER, SCALE_MOONSHOT };
enum { ROUTE_HIDDEN, ROUTE_MATRICES };
enum { PRODUCTS_F32, PRODUCTS_BF16 };
/* Multiplications of one product from which on threads share the products of a matrix. Smaller matrices are processed
 * in parallel, each by one thread. The bits are the same. */
static const double MUON_LARGE = 0x1p26;
static const double MUON_DIVERGED = 100; /* a larger singular value of a step is refused */

/* ---- Routing ---- */

/* Whether the parameter is updated by Muon; else by AdamW. */
static bool muon_takes(const sw_param *p, const double *option) {
    const bool hidden = p->role == SW_ROLE_WEIGHT || p->role == SW_ROLE_OTHER;
    return p->rank >= 2 && (hidden || SW_OPTIONS_AS(option, muon_options)->route == ROUTE_MATRICES);
}

static double muon_products(const sw_param *p) {
    const sw_matrix_shape shape = sw_matrix_shape_of(p);
    return (double)p->count * (double)(shape.rows < shape.columns ? shape.rows : shape.columns);
}

static bool muon_is_large(const sw_param *p) {
    return muon_products(p) >= MUON_LARGE;
}

/* ---- Matrices ---- */

static sw_newton_schulz_options muon_newton_schulz(const double *option) {
    const muon_options *o = SW_OPTIONS_AS(option, muon_options);
    return (sw_newton_schulz_options){.size = sizeof(sw_newton_schulz_options),
                                      .iterations = (int)o->ns_steps,
                                      .a = o->ns_a,
                                      .b = o->ns_b,
                                      .c = o->ns_c,
                                      .eps = o->eps,
                                      .products = o->products == PRODUCTS_BF16 ? SW_BF16 : SW_F32};
}

/* s */
static double muon_scale(const muon_options *o, sw_matrix_shape shape) {
    const double rows = (double)shape.rows, columns = (double)shape.columns;
    return o->scale == SCALE_KELLER ? sqrt(fmax(1, rows / columns)) : 0.2 * sqrt(fmax(rows, columns));
}

static size_t muon_update_bytes(const sw_param *p, sw_dtype type) {
    return ((size_t)p->count * sw_dtype_size(type) + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

/* The update of a matrix, and the memory of the iterations. */
static size_t muon_bytes(const sw_param *p, const double *option, sw_dtype type) {
    const sw_matrix_shape shape = sw_matrix_shape_of(p);
    const sw_newton_schulz_options how = muon_newton_schulz(option);
    return muon_update_bytes(p, type) + sw_newton_schulz_work(type, shape.rows, shape.columns, &how);
}

static sw_status muon_update_matrix(const sw_step *s) {
    const muon_options *o = SW_STEP_OPTIONS(s, muon_options);
    const sw_matrix_shape shape = sw_matrix_shape_of(s->param);
    const sw_newton_schulz_options how = muon_newton_schulz(s->option);
    muon_matrix a = {.step = s, .update = s->workspace, .length = o->lr * muon_scale(o, shape)};
    sw_kernel_run(&muon_momentum_kernels, s->type, &a, s->count);
    SW_TRY(sw_newton_schulz(s->type, shape.rows, shape.columns, a.update, &how, a.update,
                            (char *)s->workspace + muon_update_bytes(s->param, s->type)));
    sw_kernel_run(&muon_move_kernels, s->type, &a, s->count);
    return SW_OK;
}

/* ---- Other parameters ---- */

static adam_options muon_adamw_options(const double *option) {
    const muon_options *o = SW_OPTIONS_AS(option, muon_options);
    return (adam_options){.lr = o->lr_ratio * o->lr,
                          .beta1 = o->beta1,
                          .beta2 = o->beta2,
                          .eps = o->adamw_eps,
                          .weight_decay = o->weight_decay};
}

/* The step as that of AdamW: the slots and the first coefficients are AdamW's. */
static sw_step muon_adamw_step(const sw_step *s, const adam_options *options) {
    sw_step adamw = *s;
    adamw.option = (const double *)(const void *)options;
    return adamw;
}

static sw_status muon_begin(sw_step *s) {
    const muon_options *o = SW_STEP_OPTIONS(s, muon_options);
    muon_coefficients *c = SW_STEP_COEFFICIENTS(s, muon_coefficients);
    const adam_options options = muon_adamw_options(s->option);
    sw_step adamw = muon_adamw_step(s, &options);
    const bool decoupled = o->decoupled != 0;
    c->l2 = decoupled ? 0 : o->weight_decay;
    c->shrink = decoupled ? 1 - o->lr * o->weight_decay : 1;
    swo_adam_begin(&adamw, decoupled);
    return swo_adam_check(&adamw, "muon");
}

/* ---- A step ---- */

static sw_status muon_tensor(sw_step *s) {
    if (s->count == 0)
        return SW_OK;
    if (muon_takes(s->param, s->option))
        return muon_is_large(s->param) ? muon_update_matrix(s) : SW_OK;
    const adam_options options = muon_adamw_options(s->option);
    sw_step adamw = muon_adamw_step(s, &options);
    sw_kernel_run(&swo_adam_kernels, s->type, &adamw, s->count);
    return SW_OK;
}

static size_t muon_tensor_workspace(const sw_param *p, const double *option, sw_dtype type) {
    return muon_takes(p, option) && muon_is_large(p) ? muon_bytes(p, option, type) : 0;
}

static int64_t muon_parts(const sw_param *p, const double *option, sw_dtype type) {
    (void)type;
    return p->count > 0 && muon_takes(p, option) && !muon_is_large(p) ? 1 : 0;
}

static sw_status muon_part(sw_step *s, int64_t part, sw_worker *worker) {
    (void)part, (void)worker;
    return muon_update_matrix(s);
}

static size_t muon_part_workspace(const sw_param *p, const double *option, sw_dtype type) {
    return muon_parts(p, option, type) > 0 ? muon_bytes(p, option, type) : 0;
}

/* Three products in each iteration. */
static double muon_part_cost(const sw_param *p, const double *option, sw_dtype type, int64_t part) {
    (void)type, (void)part;
    return 3 * SW_OPTIONS_AS(option, muon_options)->ns_steps * muon_products(p);
}

/* ---- Bounds ---- */

/* The largest singular value after the iterations. At first it is at most 1. The polynomial p(σ) = aσ + bσ³ + cσ⁵ has
 * its largest absolute value in [0, σ] at σ or where p' = a + 3bσ² + 5cσ⁴ = 0. */
static double muon_largest_singular_value(const muon_options *o) {
    const double a = o->ns_a, b = o->ns_b, c = o->ns_c, root = sqrt(fmax(9 * b * b - 20 * a * c, 0));
    const double square[] = {(-3 * b - root) / (10 * c), (-3 * b + root) / (10 * c), -a / (3 * b)};
    double most = 1;
    for (int k = 0; k < (int)o->ns_steps && most < 0x1p100; k++) {
        const double end = most;
        most = fabs(a * end + b * pow(end, 3) + c * pow(end, 5));
        for (int i = 0; i < 3; i++) {
            const double sigma = sqrt(square[i]); /* NaN if there is none */
            if (sigma < end)
                most = fmax(most, fabs(a * sigma + b * pow(sigma, 3) + c * pow(sigma, 5)));
        }
        most *= 1.01; /* rounding */
    }
    return most;
}

/* With σ the largest singular value of O, ‖sO‖_F ≤ σ √rows for keller, and ≤ 0.2 σ √(rows·columns) for moonshot, so
 * that both are at most σ √count in a group. Elements of AdamW and of Muon have different decays. */
static void muon_reach(const sw_step *s, sw_bounds *b) {
    const muon_options *o = SW_STEP_OPTIONS(s, muon_options);
    const muon_coefficients *c = SW_STEP_COEFFICIENTS(s, muon_coefficients);
    const adam_options options = muon_adamw_options(s->option);
    const sw_step adamw = muon_adamw_step(s, &options);
    double *m = &SW_SLOT_BOUND(b, muon_slots, m);
    const double g = b->g + c->l2 * b->x, m_before = *m, x_before = b->x, sigma = muon_largest_singular_value(o),
                 far = o->lr * sigma * sqrt((double)b->count);
    swo_adam_reach(&adamw, b);
    *m = fmax(o->momentum, o->beta1) * m_before + (1 - fmin(o->momentum, o->beta1)) * g;
    b->largest += *m + g + far + fabs(c->shrink) +
                  (fabs(o->ns_a) + fabs(o->ns_b) + fabs(o->ns_c)) * (1 + pow(sigma, 4)) * (1 + sigma);
    b->x = fmax(b->x, fabs(c->shrink) * x_before) + far;
}

/* ---- The rule ---- */

static sw_status muon_check(const double *option) {
    const muon_options *o = SW_OPTIONS_AS(option, muon_options);
    const double sigma = muon_largest_singular_value(o);
    if (o->ns_a == 0 && o->ns_b == 0 && o->ns_c == 0) /* sw_newton_schulz would use its defaults */
        return sw_fail(SW_ERR_ARGUMENT,
                       "muon: ns_a, ns_b and ns_c are all 0, and matrices would not move (omit them for "
                       "the default coefficients)");
    if (!(sigma <= MUON_DIVERGED))
        return sw_fail(
            SW_ERR_ARGUMENT,
            "muon: Newton-Schulz iterations with ns_a = %g, ns_b = %g, ns_c = %g diverge: after ns_steps = %d "
            "a singular value may be %.3g (the default coefficients keep all of them below 1.3)",
            o->ns_a, o->ns_b, o->ns_c, (int)o->ns_steps, sigma);
    return SW_OK;
}

/* bf16 has 8 binary digits. In f64, products of such numbers are a mistake. */
static bool muon_fits(const sw_param *p, const double *option, sw_dtype type, char *reason, size_t bytes) {
    const bool fits = type == SW_F32 || SW_OPTIONS_AS(option, muon_options)->products != PRODUCTS_BF16;
    (void)p;
    if (!fits)
        sw_format(reason, bytes, "products=bf16 is for parameters in f32, f16 or bf16, and not in %s (omit products)",
                  sw_dtype_name(type));
    return fits;
}

static bool muon_needs_v(const double *option, sw_dtype type) {
    const adam_options options = muon_adamw_options(option);
    return swo_adam_needs_v((const double *)(const void *)&options, type);
}

static bool muon_needs_v_f64(const double *option, sw_dtype type) {
    return !muon_needs_v(option, type);
}

static int64_t muon_count_of_v(const sw_slot_sizes *sizes) {
    return muon_takes(sizes->param, sizes->option) ? 0 : sizes->dim;
}

/* clang-format off */
static const sw_option muon_option_table[] = {
    {.name = "lr", .value = 0.02, .low = 0, .high = 1e6, .help = "η, learning rate",
     .search_low = 1e-3, .search_high = 1e-1, .search_log = true},
    {.name = "momentum", .value = 0.95, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "μ, decay of the mean of g",
     .search_low = 0.8, .search_high = 0.98},
    {.name = "nesterov", .kind = SW_OPTION_BOOL, .value = 1, .help = "Nesterov's momentum"},
    {.name = "weight_decay", .value = 0, .low = 0, .high = 1e6, .help = "λ, of all parameters of the group",
     .search_low = 1e-4, .search_high = 1, .search_log = true},
    {.name = "decoupled", .kind = SW_OPTION_BOOL, .value = 1,
     .help = "θ ← (1 - ηλ) θ; if false, λθ is added to the gradient"},
    {.name = "scale", .kind = SW_OPTION_CHOICE, .choices = "keller|moonshot",
     .help = "factor of a matrix: √max(1, rows/columns), or 0.2 √max(rows, columns)"},
    {.name = "route", .kind = SW_OPTION_CHOICE, .choices = "hidden|matrices",
     .help = "hidden: AdamW updates vectors, embeddings and the last layer; matrices: only vectors. A group without a "
             "matrix for Muon is updated by AdamW alone"},
    {.name = "ns_steps", .kind = SW_OPTION_INTEGER, .value = 5, .low = 1, .high = 100,
     .help = "Newton-Schulz iterations"},
    {.name = "ns_a", .value = 3.4445, .low = -1e3, .high = 1e3, .help = "coefficient of X"},
    {.name = "ns_b", .value = -4.7750, .low = -1e3, .high = 1e3, .help = "coefficient of XXᵀX"},
    {.name = "ns_c", .value = 2.0315, .low = -1e3, .high = 1e3, .help = "coefficient of (XXᵀ)²X"},
    {.name = "eps", .value = 1e-7, .low = 0, .high = 1, .help = "ε, added to the norm of the momentum"},
    {.name = "products", .kind = SW_OPTION_CHOICE, .choices = "f32|bf16",
     .help = "the iterations multiply numbers in the type of θ, or numbers rounded to bf16"},
    {.name = "adamw_lr_ratio", .value = 0.015, .low = 0, .high = 1e6,
     .help = "AdamW's learning rate divided by η; 0.015·0.02 is 3e-4",
     .search_low = 1e-3, .search_high = 1, .search_log = true},
    {.name = "adamw_beta1", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "AdamW's decay of the mean of g"},
    {.name = "adamw_beta2", .value = 0.95, .low = 0, .high = 1, .open = SW_OPEN_HIGH,
     .help = "AdamW's decay of the mean of g²"},
    {.name = "adamw_eps", .value = 1e-10, .low = 1e-30, .high = 1, .help = "AdamW's ε",
     .search_low = 1e-12, .search_high = 1e-6, .search_log = true},
    {0}};
/* clang-format on */
static const sw_slot muon_slot_table[] = {
    {.name = "m"},
    {.name = "v", .count = muon_count_of_v, .needed_by = muon_needs_v},
    {.name = "v_f64", .type = SW_SLOT_F64, .count = muon_count_of_v, .needed_by = muon_needs_v_f64},
    {0}};
SW_MATCH_OPTIONS(muon_options, muon_option_table);
SW_MATCH_SLOTS(muon_slots, muon_slot_table);

const sw_rule swo_muon = {.size = sizeof(sw_rule),
                          .name = "muon",
                          .summary = "orthogonalized momentum for hidden matrices, AdamW for the rest",
                          .source = "Jordan 2024; Liu et al., arXiv 2502.16982",
                          .options = muon_option_table,
                          .slots = muon_slot_table,
                          .check = muon_check,
                          .unit = SW_UNIT_TENSOR,
                          .flags = SW_RULE_LINEAR,
                          .begin = muon_begin,
                          .tensor = muon_tensor,
                          .fits = muon_fits,
                          .tensor_workspace = muon_tensor_workspace,
                          .parts = muon_parts,
                          .part = muon_part,
                          .part_workspace = muon_part_workspace,
                          .part_cost = muon_part_cost,
                          .reach = muon_reach};

#endif
