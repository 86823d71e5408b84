/* Distributed Shampoo (Anil et al. 2020; Shi et al. 2023), as its PyTorch implementation and the submission to AlgoPerf
 * define it. A parameter is taken in the order of PyTorch's files, without axes of length 1. Axes are merged from the
 * left while their product is at most `block`, and the tensor is divided into blocks of at most that length along each
 * mode. For each block with n modes and the gradient G:
 *     G ← G + λX                                               unless decoupled
 *     Lₖ ← β2 Lₖ + (1 - β2) Gₖ Gₖᵀ   for each mode k            β2 = 1: Lₖ ← Lₖ + Gₖ Gₖᵀ
 *     V ← γ V + (1 - γ) G²                                     γ = grafting_beta2
 *     M ← β1 M + (1 - β1) G;   M̂ = M/(1 - β1ᵗ);   with nadam  M̂ = (β1 M + (1 - β1) G)/(1 - β1ᵗ)
 *     A = M̂/(√(V/(1 - γᵗ)) + ε_grafting)                       grafting=adam
 *     D = M̂ ×₁ P₁ … ×ₙ Pₙ,   Pₖ = (Lₖ/(1 - β2ᵗ) + εI)^(-1/2n)
 *     D ← D ‖A‖/(‖D‖ + 1e-16);   before step `start`  D = A
 *     D ← D + λX                                               if decoupled
 *     B ← μ B + D;   D ← B, or D + μ B with nesterov           ema_momentum: D has the factor 1 - μ in both
 *     X ← X - η D
 * grafting=rmsprop leaves out the correction 1 - γᵗ, adagrad has V ← V + G² and no correction, sgd has A = M̂, and
 * none leaves D as it is, with D = M̂ before `start`. Without bias_correction all three corrections are 1.
 * The roots Pₖ are computed at step `start`, and then every `period` steps. m, v and momentum hold the blocks one after
 * the other, each in row-major order.
 */
#include <swale/kernel.h>
#include <swale/kernel_roots.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct distributed_options {
    double lr, beta1, beta2, eps, weight_decay, decoupled, momentum, nesterov, ema_momentum, nadam, grafting,
        grafting_beta2, grafting_eps, bias_correction, block, merge, period, start, spread;
} distributed_options;
enum { GRAFTING_ADAM, GRAFTING_RMSPROP, GRAFTING_ADAGRAD, GRAFTING_SGD, GRAFTING_NONE };
typedef struct distributed_slots {
    void *factors, *roots, *m, *v, *momentum, *failures;
} distributed_slots;
typedef struct distributed_scalars {
    double failed_roots; /* the number of roots that could not be computed; the previous ones were used */
} distributed_scalars;
typedef struct distributed_coefficients {
    double m_scale;       /* 1/(1 - β1ᵗ) */
    double factor_scale;  /* 1 - β2ᵗ */
    double v_keep, v_add; /* V ← v_keep V + v_add G² */
    double v_scale;       /* 1/√(1 - γᵗ) */
    double step_scale;    /* 1, or 1 - μ with ema_momentum */
} distributed_coefficients;
/* For the kernels: vectors of a block. */
typedef struct distributed_vectors {
    const sw_step *step;
    void *g, *x, *m, *v, *momentum, *m_hat, *graft, *d;
    double scale; /* of d */
} distributed_vectors;
static void distributed_count_failures(const sw_step *step);
#endif

#if SW_KERNEL_PASS

/* The new gradient, moments and M̂. */
static void SW_K(distributed_moments)(void *args, int64_t begin, int64_t end, double *sums) {
    const distributed_vectors *b = args;
    const distributed_options *o = SW_STEP_OPTIONS(b->step, distributed_options);
    const distributed_coefficients *c = SW_STEP_COEFFICIENTS(b->step, distributed_coefficients);
    real *restrict g = b->g, *restrict m = b->m, *restrict v = b->v, *restrict m_hat = b->m_hat;
    const real *restrict x = b->x;
    const real beta1 = (real)o->beta1, one_minus_beta1 = (real)(1 - o->beta1), m_scale = (real)c->m_scale,
               v_keep = (real)c->v_keep, v_add = (real)c->v_add,
               lambda = (real)(o->decoupled != 0 ? 0 : o->weight_decay);
    (void)sums;
    if (lambda != 0)
        for (int64_t i = begin; i < end; i++)
            g[i] += lambda * x[i];
    if (v)
        for (int64_t i = begin; i < end; i++)
            v[i] = v_keep * v[i] + (v_add * g[i]) * g[i];
    if (!m)
        memcpy(m_hat + begin, g + begin, (size_t)(end - begin) * sizeof(real));
    else if (o->nadam != 0)
        for (int64_t i = begin; i < end; i++) {
            m[i] = beta1 * m[i] + one_minus_beta1 * g[i];
            m_hat[i] = m_scale * (beta1 * m[i] + one_minus_beta1 * g[i]);
        }
    else
        for (int64_t i = begin; i < end; i++) {
            m[i] = beta1 * m[i] + one_minus_beta1 * g[i];
            m_hat[i] = m_scale * m[i];
        }
}

/* graft ← M̂/(√(V/(1 - γᵗ)) + ε) */
static void SW_K(distributed_graft)(void *args, int64_t begin, int64_t end, double *sums) {
    const distributed_vectors *b = args;
    const distributed_options *o = SW_STEP_OPTIONS(b->step, distributed_options);
    const distributed_coefficients *c = SW_STEP_COEFFICIENTS(b->step, distributed_coefficients);
    const real *restrict m_hat = b->m_hat, *restrict v = b->v, scale = (real)c->v_scale, eps = (real)o->grafting_eps;
    real *restrict graft = b->graft;
    (void)sums;
    memcpy(graft + begin, v + begin, (size_t)(end - begin) * sizeof(real));
    SW_K(sw_k_roots)(graft + begin, end - begin);
    for (int64_t i = begin; i < end; i++)
        graft[i] = m_hat[i] / (scale * graft[i] + eps);
}

/* The decay, the momentum, and x ← x - η d. */
static void SW_K(distributed_move)(void *args, int64_t begin, int64_t end, double *sums) {
    const distributed_vectors *b = args;
    const distributed_options *o = SW_STEP_OPTIONS(b->step, distributed_options);
    const distributed_coefficients *c = SW_STEP_COEFFICIENTS(b->step, distributed_coefficients);
    const real *restrict d = b->d;
    real *restrict x = b->x, *restrict momentum = b->momentum;
    const real lr = (real)o->lr, mu = (real)o->momentum, add = (real)c->step_scale, scale = (real)b->scale,
               lambda = (real)(o->decoupled != 0 ? o->weight_decay : 0);
    (void)sums;
    if (!momentum)
        for (int64_t i = begin; i < end; i++)
            x[i] -= lr * (scale * d[i] + lambda * x[i]);
    else if (o->nesterov != 0)
        for (int64_t i = begin; i < end; i++) {
            const real step = add * (scale * d[i] + lambda * x[i]);
            momentum[i] = mu * momentum[i] + step;
            x[i] -= lr * (step + mu * momentum[i]);
        }
    else
        for (int64_t i = begin; i < end; i++) {
            momentum[i] = mu * momentum[i] + add * (scale * d[i] + lambda * x[i]);
            x[i] -= lr * momentum[i];
        }
}

/* For `accepted`, once for each parameter. */
static void SW_K(distributed_accepted)(void *args, int64_t begin, int64_t end, double *sums) {
    (void)end, (void)sums;
    if (begin == 0)
        distributed_count_failures(args);
}

#else

#include <swale/reach.h>
#include "optim/rules/preconditioner.h"

static const sw_kernels distributed_moments_kernels = SW_KERNEL_TABLE(distributed_moments),
                        distributed_graft_kernels = SW_KERNEL_TABLE(distributed_graft),
                        distributed_move_kernels = SW_KERNEL_TABLE(distributed_move),
                        distributed_accepted_kernels = SW_KERNEL_TABLE(distributed_accepted);

static swo_modes distributed_modes(const sw_param *p, const double *option) {
    const distributed_options *o = SW_OPTIONS_AS(option, distributed_options);
    return swo_modes_of_file_order(p, o->merge != 0 ? (int64_t)o->block : 0, (int64_t)o->block);
}

/* (L/c + εI)^(-1/2n) = c^(1/2n) (L + cε I)^(-1/2n), where c is the correction 1 - β2ᵗ. */
static swo_root_rule distributed_root(const distributed_options *o, int order, double correction) {
    const sw_root_options root = {
        .size = sizeof root, .order = 2 * order, .ridge = o->eps * correction, .shift_negative = true};
    return (swo_root_rule){root, pow(correction, 0.5 / order)};
}

static sw_status distributed_begin(sw_step *s) {
    const distributed_options *o = SW_STEP_OPTIONS(s, distributed_options);
    distributed_coefficients *c = SW_STEP_COEFFICIENTS(s, distributed_coefficients);
    const double t = (double)s->step, gamma = o->grafting_beta2;
    const bool corrects = o->bias_correction != 0, sums = o->grafting == GRAFTING_ADAGRAD;
    c->m_scale = corrects ? 1 / (1 - pow(o->beta1, t)) : 1;
    c->factor_scale = corrects && o->beta2 < 1 ? 1 - pow(o->beta2, t) : 1;
    c->v_keep = sums ? 1 : gamma;
    c->v_add = sums ? 1 : 1 - gamma;
    c->v_scale = corrects && o->grafting == GRAFTING_ADAM ? 1 / sqrt(1 - pow(gamma, t)) : 1;
    c->step_scale = o->ema_momentum != 0 ? 1 - o->momentum : 1;
    return SW_OK;
}

/* ---- Memory of a step ---- */

typedef struct distributed_work {
    void *g, *x, *one, *other, *roots;
    int64_t *table;
    size_t bytes;
} distributed_work;

static distributed_work distributed_work_in(void *base, const swo_block *b, const double *option, sw_dtype type,
                                            bool large) {
    const swo_root_rule rule = distributed_root(SW_OPTIONS_AS(option, distributed_options), b->order, 1);
    const size_t vector = (size_t)b->count * sw_dtype_size(type);
    swo_memory memory = {base, 0};
    distributed_work w = {.g = swo_memory_take(&memory, vector),
                          .x = swo_memory_take(&memory, vector),
                          .one = swo_memory_take(&memory, vector),
                          .other = swo_memory_take(&memory, vector),
                          .roots = swo_memory_take(&memory, swo_roots_work(type, b, &rule.root, large)),
                          .table = swo_memory_take(&memory, (size_t)swo_block_table(b) * sizeof(int64_t))};
    w.bytes = memory.bytes;
    return w;
}

static size_t distributed_bytes(const sw_param *p, const double *option, sw_dtype type, bool large) {
    const swo_modes modes = distributed_modes(p, option);
    if (swo_block_count(&modes) == 0 || swo_blocks_are_large(&modes) != large)
        return 0;
    const swo_block b = swo_block_at(&modes, 0); /* no other is larger */
    return distributed_work_in(NULL, &b, option, type, large).bytes;
}

static size_t distributed_part_workspace(const sw_param *p, const double *option, sw_dtype type) {
    return distributed_bytes(p, option, type, false);
}

static size_t distributed_tensor_workspace(const sw_param *p, const double *option, sw_dtype type) {
    return distributed_bytes(p, option, type, true);
}

/* ---- A step of a block ---- */

static void *distributed_at(const sw_step *s, void *slot, int64_t at) {
    return slot ? (char *)slot + (size_t)at * sw_dtype_size(s->type) : NULL;
}

/* Lₖ for each mode, and Pₖ if it is time. */
static sw_status distributed_update_roots(const sw_step *s, const swo_modes *modes, const swo_block *b,
                                          const distributed_work *w, bool large) {
    const distributed_options *o = SW_STEP_OPTIONS(s, distributed_options);
    const distributed_slots *slots = SW_STEP_SLOTS(s, distributed_slots);
    const double correction = SW_STEP_COEFFICIENTS(s, distributed_coefficients)->factor_scale;
    char *factors = distributed_at(s, slots->factors, b->factor_at), *factor = factors,
         *roots = distributed_at(s, slots->roots, b->factor_at);
    for (int k = 0; k < b->order; k++) {
        SW_TRY(swo_factor_update(s->type, b, k, o->beta2, o->beta2 == 1 ? 1 : 1 - o->beta2, w->g, factor));
        factor += (size_t)swo_mode_factor_count(b, k) * sw_dtype_size(s->type);
    }
    const bool missing = s->step > (int64_t)o->start && !swo_roots_exist(s->type, b, roots);
    if (!missing && !swo_refresh_is_due(s->step, s->param, b, swo_block_count(modes), (int64_t)o->start,
                                        (int64_t)o->period, o->spread != 0))
        return SW_OK;
    const swo_root_rule rule = distributed_root(o, b->order, correction);
    return swo_roots_refresh(s->type, b, factors, &rule, roots, (int32_t *)slots->failures + b->index, NULL, w->roots,
                             large);
}

/* d and its factor `scale`, from m_hat. */
static sw_status distributed_direction(const sw_step *s, const swo_block *b, const distributed_work *w,
                                       distributed_vectors *v) {
    const distributed_options *o = SW_STEP_OPTIONS(s, distributed_options);
    const bool starts = s->step >= (int64_t)o->start;
    double graft = 0;
    v->scale = 1;
    v->d = v->m_hat;
    if (v->v) {
        v->graft = v->d = w->other;
        sw_kernel_run(&distributed_graft_kernels, s->type, v, b->count);
    }
    if (!starts)
        return SW_OK;
    if (o->grafting != GRAFTING_NONE)
        graft = swo_norm(s->type, b->count, v->d);
    SW_TRY(swo_precondition(s->type, b, distributed_at(s, SW_STEP_SLOTS(s, distributed_slots)->roots, b->factor_at),
                            v->m_hat, w->one, w->other, &v->d));
    if (o->grafting != GRAFTING_NONE)
        v->scale = graft / (swo_norm(s->type, b->count, v->d) + 1e-16);
    return SW_OK;
}

static sw_status distributed_update(const sw_step *s, const swo_modes *modes, int64_t index, bool large) {
    const distributed_slots *slots = SW_STEP_SLOTS(s, distributed_slots);
    const swo_block b = swo_block_at(modes, index);
    const distributed_work w = distributed_work_in(s->workspace, &b, s->option, s->type, large);
    distributed_vectors v = {.step = s,
                             .g = w.g,
                             .x = w.x,
                             .m = distributed_at(s, slots->m, b.at),
                             .v = distributed_at(s, slots->v, b.at),
                             .momentum = distributed_at(s, slots->momentum, b.at),
                             .m_hat = w.one};
    swo_block_gather(s->type, modes, &b, s->g, w.g, w.table);
    swo_block_gather(s->type, modes, &b, s->x, w.x, w.table);
    sw_kernel_run(&distributed_moments_kernels, s->type, &v, b.count);
    SW_TRY(distributed_update_roots(s, modes, &b, &w, large));
    SW_TRY(distributed_direction(s, &b, &w, &v));
    sw_kernel_run(&distributed_move_kernels, s->type, &v, b.count);
    swo_block_scatter(s->type, modes, &b, w.x, s->x, w.table);
    return SW_OK;
}

/* Small blocks are parts, and share the threads. Large ones are updated one after the other, and threads share their
 * products. */
static int64_t distributed_parts(const sw_param *p, const double *option, sw_dtype type) {
    const swo_modes modes = distributed_modes(p, option);
    (void)type;
    return swo_blocks_are_large(&modes) ? 0 : swo_block_count(&modes);
}

static double distributed_part_cost(const sw_param *p, const double *option, sw_dtype type, int64_t part) {
    const swo_modes modes = distributed_modes(p, option);
    const swo_block b = swo_block_at(&modes, part);
    (void)type;
    return swo_block_cost(&b, SW_OPTIONS_AS(option, distributed_options)->period);
}

static sw_status distributed_part(sw_step *s, int64_t part, sw_worker *worker) {
    const swo_modes modes = distributed_modes(s->param, s->option);
    (void)worker;
    return distributed_update(s, &modes, part, false);
}

static sw_status distributed_tensor(sw_step *s) {
    const swo_modes modes = distributed_modes(s->param, s->option);
    for (int64_t i = 0, blocks = swo_block_count(&modes); i < blocks && swo_blocks_are_large(&modes); i++)
        SW_TRY(distributed_update(s, &modes, i, true));
    return SW_OK;
}

static void distributed_count_failures(const sw_step *s) {
    const swo_modes modes = distributed_modes(s->param, s->option);
    SW_STEP_SCALARS(s, distributed_scalars)->failed_roots +=
        swo_failures_sum(&modes, SW_STEP_SLOTS(s, distributed_slots)->failures);
}

static sw_status distributed_accept(sw_step *s) {
    SW_STEP_SCALARS(s, distributed_scalars)->failed_roots = 0;
    return sw_step_run_with_frozen(s, &distributed_accepted_kernels);
}

/* ---- Bounds ---- */

/* Roots of L/c + εI with L ≥ 0 have eigenvalues of at most ε^(-1/2n), so that ‖D‖ ≤ ‖M̂‖/√ε. Roots that could not be
 * computed may be the identity. */
static void distributed_reach(const sw_step *s, sw_bounds *bounds) {
    const distributed_options *o = SW_STEP_OPTIONS(s, distributed_options);
    const distributed_coefficients *c = SW_STEP_COEFFICIENTS(s, distributed_coefficients);
    double *factors = &SW_SLOT_BOUND(bounds, distributed_slots, factors),
           *roots = &SW_SLOT_BOUND(bounds, distributed_slots, roots), *m = &SW_SLOT_BOUND(bounds, distributed_slots, m),
           *v = &SW_SLOT_BOUND(bounds, distributed_slots, v),
           *momentum = &SW_SLOT_BOUND(bounds, distributed_slots, momentum);
    const double g = bounds->g + (o->decoupled != 0 ? 0 : o->weight_decay * bounds->x),
                 weight = o->beta2 == 1 ? 1 : 1 - o->beta2, root = fmax(1, 1 / sqrt(o->eps));
    *m = o->beta1 * *m + (1 - o->beta1) * g;
    const double m_hat = c->m_scale * (*m + g), preconditioned = m_hat * root;
    double d = o->grafting == GRAFTING_NONE ? preconditioned : m_hat;
    if (SW_STEP_SLOTS(s, distributed_slots)->v) {
        *v = c->v_keep * *v + c->v_add * g * g;
        d = swo_normalized_bound(bounds, s->type, o->beta1, c->v_keep, c->v_add, o->grafting_eps, c->m_scale, m_hat);
    }
    *factors = o->beta2 * *factors + SW_MAX_RANK * weight * g * g;
    *roots = hypot(*roots, 2 * root * sqrt(SW_MAX_RANK * (double)bounds->count));
    bounds->largest += preconditioned + d * 1e16 + g * g + *factors + *roots + *v * c->v_scale + o->lr + c->m_scale;
    d += o->decoupled != 0 ? o->weight_decay * bounds->x : 0;
    if (o->momentum != 0) {
        *momentum = o->momentum * *momentum + c->step_scale * d;
        d = c->step_scale * d + *momentum;
    }
    bounds->largest += d;
    bounds->x += o->lr * d;
}

/* ---- State and options ---- */

static int64_t distributed_factor_count(const sw_slot_sizes *sizes) {
    const swo_modes modes = distributed_modes(sizes->param, sizes->option);
    return swo_factor_count(&modes);
}

static int64_t distributed_block_count(const sw_slot_sizes *sizes) {
    const swo_modes modes = distributed_modes(sizes->param, sizes->option);
    return swo_block_count(&modes);
}

static int64_t distributed_element_count(const sw_slot_sizes *sizes) {
    return sizes->dim;
}

static bool distributed_has_m(const double *option) {
    return SW_OPTIONS_AS(option, distributed_options)->beta1 != 0;
}

static bool distributed_has_v(const double *option) {
    return SW_OPTIONS_AS(option, distributed_options)->grafting < GRAFTING_SGD;
}

static bool distributed_has_momentum(const double *option) {
    return SW_OPTIONS_AS(option, distributed_options)->momentum != 0;
}

static sw_status distributed_check(const double *option) {
    const distributed_options *o = SW_OPTIONS_AS(option, distributed_options);
    if (o->momentum == 0 && (o->nesterov != 0 || o->ema_momentum != 0))
        return sw_fail(SW_ERR_ARGUMENT, "distributed_shampoo: %s needs momentum above 0 (momentum=0.9?)",
                       o->nesterov != 0 ? "nesterov" : "ema_momentum");
    if (o->beta1 == 0 && o->nadam != 0)
        return sw_fail(SW_ERR_ARGUMENT, "distributed_shampoo: nadam needs beta1 above 0 (beta1=0.9?)");
    return SW_OK;
}

static const sw_option distributed_option_table[] = {
    SWO_OPTION_LR(1e-3),
    SWO_OPTION_BETA1,
    SWO_OPTION_BETA2("the means of GGᵀ"),
    {.name = "eps",
     .value = 1e-8,
     .low = 1e-20,
     .high = 1e3,
     .help = "ε, added to the diagonals of the factors",
     .search_low = 1e-12,
     .search_high = 1e-4,
     .search_log = true},
    {.name = "weight_decay",
     .value = 0,
     .low = 0,
     .high = 1e6,
     .help = "λ",
     .search_low = 1e-5,
     .search_high = 0.5,
     .search_log = true},
    {.name = "decoupled",
     .kind = SW_OPTION_BOOL,
     .value = 1,
     .help = "decoupled weight decay: θ ← (1 - ηλ) θ; otherwise λθ is added to the gradient"},
    SWO_OPTION_MOMENTUM,
    {.name = "nesterov", .kind = SW_OPTION_BOOL, .help = "Nesterov's form of the momentum"},
    {.name = "ema_momentum", .kind = SW_OPTION_BOOL, .help = "momentum is a mean of the steps, not a sum"},
    {.name = "nadam", .kind = SW_OPTION_BOOL, .help = "Nesterov's form of the mean of G"},
    {.name = "grafting",
     .kind = SW_OPTION_CHOICE,
     .choices = "adam|rmsprop|adagrad|sgd|none",
     .help = "the method that determines the length of the step of a block"},
    {.name = "grafting_beta2",
     .value = 0.999,
     .low = 0,
     .high = 0.9999,
     .help = "γ, decay of the mean of G² of the grafted method"},
    {.name = "grafting_eps",
     .value = 1e-8,
     .low = 1e-12,
     .high = 1,
     .help = "ε of the denominator of the grafted method",
     .search_low = 1e-10,
     .search_high = 1e-4,
     .search_log = true},
    {.name = "bias_correction", .kind = SW_OPTION_BOOL, .value = 1, .help = "divide means by 1 - βᵗ"},
    {.name = "block",
     .kind = SW_OPTION_INTEGER,
     .value = 1024,
     .low = 1,
     .high = 8192,
     .help = "largest length of a block, and of merged axes"},
    {.name = "merge", .kind = SW_OPTION_BOOL, .value = 1, .help = "merge axes whose product is at most block"},
    SWO_OPTION_PERIOD(100),
    SWO_OPTION_START(100),
    SWO_OPTION_SPREAD,
    {0}};
static const sw_slot distributed_slot_table[] = {
    {.name = "factors", .count = distributed_factor_count},
    {.name = "roots", .count = distributed_factor_count},
    {.name = "m", .count = distributed_element_count, .needed = distributed_has_m},
    {.name = "v", .count = distributed_element_count, .needed = distributed_has_v},
    {.name = "momentum", .count = distributed_element_count, .needed = distributed_has_momentum},
    {.name = "failures", .type = SW_SLOT_I32, .count = distributed_block_count},
    {0}};
static const char *const distributed_scalar_names[] = {"failed_roots", NULL};
SW_MATCH_OPTIONS(distributed_options, distributed_option_table);
SW_MATCH_SLOTS(distributed_slots, distributed_slot_table);
SW_MATCH_SCALARS(distributed_scalars, distributed_scalar_names);

const sw_rule swo_distributed_shampoo = {.size = sizeof(sw_rule),
                                         .name = "distributed_shampoo",
                                         .summary = "Shampoo in blocks with grafting and rare roots",
                                         .source = "Anil et al. 2020; Shi et al., arXiv 2309.06497",
                                         .options = distributed_option_table,
                                         .slots = distributed_slot_table,
                                         .check = distributed_check,
                                         .scalars = distributed_scalar_names,
                                         .unit = SW_UNIT_TENSOR,
                                         .flags = SW_RULE_LINEAR,
                                         .begin = distributed_begin,
                                         .tensor = distributed_tensor,
                                         .reach = distributed_reach,
                                         .parts = distributed_parts,
                                         .part = distributed_part,
                                         .part_workspace = distributed_part_workspace,
                                         .part_cost = distributed_part_cost,
                                         .accepted = distributed_accept,
                                         .tensor_workspace = distributed_tensor_workspace};

#endif
