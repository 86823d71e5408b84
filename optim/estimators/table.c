/* The table of SAG and SAGA; see table.h. M. Schmidt, N. Le Roux, F. Bach, Minimizing finite sums with the
 * stochastic average gradient, 2013, sections 4.3 to 4.8: sums over the samples seen, backtracking,
 * non-uniform sampling, mini-batches. */
#include "table.h"

#include "../internal.h"
#include "tree.h"

#include <float.h>
#include <math.h>

const char *const swo_table_scalars[] = {"seen", "samples_seen", "filled",      "L",      "L_row",
                                         "norm", "converged",    "excess_seen", "excess", NULL};

enum { IDS_MORE = 3 }; /* what stands after the ids of a step: see swo_table_sample and note_search */
/* Scratch: from estimate to commit, and for the search. */
enum { NEW_ENTRY, CHANGE, WORK, ROW_GRADIENT };

/* ---- Sizes ---- */

static int64_t batch_of(int64_t n, const double *option) {
    return option[BATCH] < (double)n ? (int64_t)option[BATCH] : n;
}

static int64_t rows_of(int64_t n, const double *option) {
    int64_t batch = batch_of(n, option);
    return (n + batch - 1) / batch;
}

int64_t swo_table_size(const char *method, const sw_slot_sizes *s) {
    const bool glm = s->features > 0;
    const int64_t rows = glm ? s->n : rows_of(s->n, s->option), width = glm ? s->outputs : s->dim;
    const double bytes = (double)rows * (double)width * (double)sw_dtype_size(s->type);
    if (bytes > s->option[TABLE_LIMIT] * 0x1p20) {
        sw_fail(SW_ERR_ARGUMENT, "estimator %s: the table of %lld rows of %lld %s needs %.0f bytes, and "
                                 "table_limit is %g MiB; %s", method, (long long)rows, (long long)width,
                sw_dtype_name(s->type), bytes, s->option[TABLE_LIMIT],
                glm ? "raise it" : "raise it, take a larger batch (one row each), or give the objective "
                                   "rows and head, if it is a generalised linear model");
        return -1;
    }
    return rows * width;
}

int64_t swo_table_order(const sw_slot_sizes *s) {
    const int64_t rows = rows_of(s->n, s->option);
    if (rows <= INT32_MAX)
        return rows;
    sw_fail(SW_ERR_ARGUMENT, "estimator: a table of %lld rows; at most %d, take a larger batch",
            (long long)rows, INT32_MAX);
    return -1;
}

int64_t swo_table_tree(const sw_slot_sizes *s) {
    return swo_tree_count(rows_of(s->n, s->option));
}

bool swo_table_by_lipschitz(const double *option) {
    return option[SAMPLING] == BY_LIPSCHITZ;
}

bool swo_table_centred(const double *option) {
    return option[INIT] == CENTRED;
}

static int64_t rows(const sw_estimate *e) {
    return rows_of(e->n, e->option);
}

/* Elements of the table for each sample (generalised linear models) or row. */
static bool is_glm(const sw_estimate *e) {
    return sw_objective_is_glm(e->objective);
}

static void *entry_at(const sw_estimate *e, int64_t row) {
    int64_t at = is_glm(e) ? row * batch_of(e->n, e->option) * e->objective->outputs : row * e->dim;
    return (char *)e->slot[TABLE] + (size_t)at * sw_dtype_size(e->type);
}

static int64_t entry_count(const sw_estimate *e, int64_t samples) {
    return is_glm(e) ? samples * e->objective->outputs : e->dim;
}

/* ---- The step size ---- */

static double mean_l(const sw_estimate *e) {
    const double sum = e->scalar[SEEN] > 0 ? swo_tree_sum(e->slot[TREE]) : 0; /* 0 also if all weigh nothing */
    return sum > 0 ? sum / e->scalar[SEEN] : e->scalar[L];
}

/* Of the smoothness that steps meet: max L_i for uniform draws. Rows drawn half uniformly and half by L_i
 * meet the harmonic mean of max L_i and of the mean, those not yet seen the maximum. */
static double smoothness(const sw_estimate *e) {
    const double l2 = e->option[L2], n = (double)rows(e);
    const double most = (e->option[LIPSCHITZ] > 0 ? e->option[LIPSCHITZ] : e->scalar[L]) + l2;
    if (e->option[SAMPLING] != BY_LIPSCHITZ)
        return most;
    const double seen = e->scalar[SEEN] / n;
    return 1 / ((1 - seen) / most + seen * 0.5 * (1 / most + 1 / (mean_l(e) + l2)));
}

static double step_size(const sw_estimate *e) {
    const double l = smoothness(e), mu = (double)rows(e) * e->option[L2];
    switch ((int)e->option[STEP]) {
    case ONE_L: return 1 / l;
    case TWO_L_MU: return 2 / (l + mu);
    case ONE_3L: return 1 / (3 * l);
    case ONE_2L_MU: return 1 / (2 * l + fmin(2 * mu, l));
    default: return 1 / (16 * l);
    }
}

static swo_visit this_visit(sw_estimate *e);

/* The sum after this step must be a number: d' = d + t.
 *
 * By elements, d and t of opposite signs cannot overflow. Of equal signs they add up in g as well: SAG's
 * g = (d + t)/m with m ≤ W, SAGA's g = t/(W p) + d/W with p ≤ 1, so that |d'| ≤ 2W|g| ≤ 2W‖g‖. While init=sgd has
 * rows that were not visited g = t/w, and d is not in it: there |t| ≤ w‖g‖, and an eighth of the largest number is
 * left for all steps of that time together, n of them at most. A generalized linear model's t is not 0 where g is,
 * at frozen parameters. Where none of that bounds the sum it is taken on trial. */
static sw_status table_fits(sw_estimate *e, double norm) {
    const swo_visit v = this_visit(e); /* what visit asked for is there */
    const double whole = fmax(swo_table_whole(e, &v), swo_table_divisor(e, &v)),
                 most = e->type == SW_F32 ? FLT_MAX : DBL_MAX;
    bool safe = swo_table_sgd(e) ? v.weight * norm <= most / (8 * (double)rows(e)) : 2 * whole * norm <= most / 2;
    for (int i = 0; is_glm(e) && safe && i < sw_params_count(e->params); i++)
        safe = !sw_params_at(e->params, i)->frozen;
    if (safe)
        return SW_OK;
    void *sum = sw_estimate_scratch(e, WORK, 0), *change = sw_estimate_scratch(e, CHANGE, 0);
    double after;
    if (!sum || !change)
        return SW_ERR_MEMORY;
    swo_combine(e->type, e->dim, 1, e->slot[SUM], 1, change, sum);
    if (swo_check(e->type, e->dim, sum, &after) == SW_OK && after <= most / 4)
        return SW_OK;
    return sw_fail(SW_ERR_NONFINITE, "estimator %s: step %lld would make its sum of gradients Inf or NaN (the gradient's "
                                     "norm is %g): it is not taken, and x is as before",
                   e->method->name, (long long)e->step, norm);
}

sw_status swo_table_start(sw_estimate *e) {
    int32_t *order = e->slot[ORDER];
    ((swo_estimate *)(void *)e)->fits = table_fits;
    if (e->option[SAMPLING] == BY_LIPSCHITZ && e->option[LIPSCHITZ] > 0)
        return sw_fail(SW_ERR_ARGUMENT,
                       "estimator %s: sampling=lipschitz finds an L_i for each row by itself; "
                       "lipschitz=%g leaves it nothing to find",
                       e->method->name, e->option[LIPSCHITZ]);
    e->per_epoch = rows(e);
    for (int64_t i = 0; i < rows(e); i++)
        order[i] = (int32_t)i;
    e->scalar[L] = e->option[LIPSCHITZ] > 0 ? e->option[LIPSCHITZ] : 1; /* a first guess */
    e->lr = step_size(e);
    return SW_OK;
}

/* ---- Who is next ---- */

/* λ stands beside each L_i. Of the weights L_i + λ, the λ are as good as a uniform draw. */
static int64_t draw_seen(const sw_estimate *e, sw_rng *rng, int64_t uniform) {
    const int32_t *order = e->slot[ORDER];
    const double sum = swo_tree_sum(e->slot[TREE]), seen = e->scalar[SEEN],
                 by_l = sum > 0 ? 0.5 * sum / (sum + seen * e->option[L2]) : 0;
    if (sw_rng_uniform(rng) >= by_l)
        return order[uniform];
    return swo_tree_draw(e->slot[TREE], rows(e), sw_rng_uniform(rng));
}

static double probability_of(const sw_estimate *e, int64_t row, bool first) {
    const double n = (double)rows(e), seen = e->scalar[SEEN], l2 = e->option[L2];
    if (e->option[SAMPLING] != BY_LIPSCHITZ || first)
        return 1 / n;
    const double sum = swo_tree_sum(e->slot[TREE]) + seen * l2;
    const double share = sum > 0 ? (swo_tree_get(e->slot[TREE], rows(e), row) + l2) / sum : 1 / seen;
    return seen / n * 0.5 * (1 / seen + share);
}

bool swo_table_sgd(const sw_estimate *e) {
    return e->option[INIT] == FROM_SGD && e->scalar[SEEN] < (double)rows(e);
}

/* After the ids stand the row and, for its first visit, its place in the order (else -1). */
sw_status swo_table_sample(sw_estimate *e) {
    const int64_t batch = batch_of(e->n, e->option), all = rows(e), seen = (int64_t)e->scalar[SEEN];
    const int32_t *order = e->slot[ORDER];
    sw_rng rng = {.key = sw_rng_key(e->draw, "table")};
    int64_t *ids = sw_estimate_ids(e, batch + IDS_MORE);
    if (!ids)
        return SW_ERR_MEMORY;
    int64_t place = swo_table_sgd(e) ? seen + (int64_t)sw_rng_below(&rng, (uint64_t)(all - seen))
                                     : (int64_t)sw_rng_below(&rng, (uint64_t)all);
    int64_t row = order[place];
    if (place < seen && e->option[SAMPLING] == BY_LIPSCHITZ)
        row = draw_seen(e, &rng, place);
    e->count = e->n - row * batch < batch ? e->n - row * batch : batch;
    for (int64_t i = 0; i < e->count; i++)
        ids[i] = row * batch + i;
    ids[e->count] = row;
    ids[e->count + 1] = place < seen ? -1 : place;
    ids[e->count + 2] = false;
    e->ids = ids;
    return SW_OK;
}

/* ---- The first table ---- */

/* Sums have no weight to divide by, and a table is of means. */
static sw_status check_weight(const sw_estimate *e, double weight) {
    if (weight != SW_SUMMED)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT, "estimator %s: the loss is a sum over the samples (SW_SUM); a table needs "
                                    "means (SW_MEAN)", e->method->name);
}

/* Of `samples` samples that were evaluated last. */
static sw_status add_weight(sw_estimate *e, int64_t samples) {
    const double weight = sw_tape_loss_weight(e->tape);
    e->scalar[EXCESS] += weight - (double)samples;
    return check_weight(e, weight);
}

static sw_status fill_glm(sw_estimate *e, const void *x) {
    enum { CHUNK = 1000 };
    int64_t *ids = sw_alloc_array(CHUNK, sizeof *ids);
    sw_status status = ids ? SW_OK : SW_ERR_MEMORY;
    for (int64_t first = 0; first < e->n && status == SW_OK; first += CHUNK) {
        int64_t count = e->n - first < CHUNK ? e->n - first : CHUNK;
        void *s = (char *)e->slot[TABLE] + (size_t)(first * e->objective->outputs) * sw_dtype_size(e->type);
        for (int64_t i = 0; i < count; i++)
            ids[i] = first + i;
        status = sw_estimate_glm(e, x, ids, count, NULL, s);
        if (status == SW_OK)
            status = sw_estimate_glm_combine(e, ids, count, s, 1, e->slot[SUM]);
        if (status == SW_OK)
            status = add_weight(e, count);
    }
    sw_free(ids);
    return status;
}

static sw_status fill_rows(sw_estimate *e, const void *x) {
    const int64_t batch = batch_of(e->n, e->option);
    int64_t *ids = sw_alloc_array(batch, sizeof *ids);
    sw_status status = ids ? SW_OK : SW_ERR_MEMORY;
    for (int64_t row = 0; row < rows(e) && status == SW_OK; row++) {
        int64_t count = e->n - row * batch < batch ? e->n - row * batch : batch;
        for (int64_t i = 0; i < count; i++)
            ids[i] = row * batch + i;
        status = sw_estimate_gradient(e, x, ids, count, NULL, entry_at(e, row));
        if (status == SW_OK)
            status = add_weight(e, count);
        swo_add_compensated(e->type, e->dim, sw_tape_loss_weight(e->tape), entry_at(e, row), e->slot[SUM],
                            e->slot[SUM_LOW]);
    }
    sw_free(ids);
    return status;
}

/* y_r ← ∇f_r(x⁰). With init=centred the theorem's y_r ← ∇f_r(x⁰) - ∇f(x⁰), whose sum is 0: a generalised
 * linear model's table cannot hold the second term, so that `centre` has it and each row's first visit
 * makes up for it. */
static sw_status fill(sw_estimate *e, const void *x) {
    const size_t bytes = (size_t)e->dim * sw_dtype_size(e->type);
    memset(e->slot[SUM], 0, bytes);
    memset(e->slot[SUM_LOW], 0, bytes);
    e->scalar[EXCESS] = 0;
    SW_TRY(is_glm(e) ? fill_glm(e, x) : fill_rows(e, x));
    const double whole = (double)e->n + e->scalar[EXCESS];
    if (!(whole > 0))
        return sw_fail(SW_ERR_ARGUMENT, "estimator %s: the weights of all samples add up to 0 (are all of them "
                                        "ignored?)", e->method->name);
    if (e->option[INIT] == CENTRED) {
        swo_combine(e->type, e->dim, 1 / whole, e->slot[SUM], 0, NULL, e->slot[CENTRE]);
        memset(e->slot[SUM], 0, bytes);
        memset(e->slot[SUM_LOW], 0, bytes);
    }
    e->scalar[FILLED] = 1; /* a skip takes it back: then all is built again */
    return SW_OK;
}

/* ---- Backtracking ---- */

/* Doubles *l until f_r(x - g/l) ≤ f_r(x) - ‖g‖²/(2l). *found is false where g is too small to tell. */
static sw_status search(sw_estimate *e, const void *x, const void *g, double *l, bool *found) {
    const double slack = 4 * (e->type == SW_F32 ? 0x1p-23 : 0x1p-52) * fabs(e->value); /* of rounding */
    void *trial = sw_estimate_scratch(e, WORK, 0);
    double norm, value;
    if (!trial)
        return SW_ERR_MEMORY;
    SW_TRY(swo_check(e->type, e->dim, g, &norm));
    const double square = norm * norm;
    *found = square > 1.49e-8;
    for (int doublings = 0; *found && doublings < 100; doublings++) {
        swo_combine(e->type, e->dim, 1, x, -1 / *l, g, trial);
        SW_TRY(sw_estimate_value(e, trial, e->ids, e->count, &value));
        if (value <= e->value - square / (2 * *l) + slack) /* not so for NaN */
            break;
        *l *= 2;
    }
    return SW_OK;
}

/* After the ids, the row and its place stands whether the search could tell something in this step. */
static void note_search(sw_estimate *e, bool found) {
    int64_t *ids = sw_estimate_ids(e, e->count + IDS_MORE); /* there since `sample` */
    if (ids)
        ids[e->count + 2] = found;
}

static bool search_found(const sw_estimate *e) {
    return e->ids[e->count + 2] != 0;
}

/* Uniform draws: one L for all, which sinks by half in an epoch of steps whose search could tell something (commit).
 * Otherwise one for each row, half of what it was at each visit, and L their largest, which sinks likewise. */
static sw_status find_l(sw_estimate *e, const void *x, const swo_visit *v, const void *g) {
    const bool own = e->option[SAMPLING] == BY_LIPSCHITZ;
    const double before = !own       ? e->scalar[L]
                          : v->first ? mean_l(e)
                                     : swo_tree_get(e->slot[TREE], rows(e), v->row);
    /* What f has of a row is w_r/W of it, against 1/n of each sample. */
    const double heavy = v->weight / (double)v->samples / (swo_table_whole(e, v) / (double)e->n);
    double l = (own && !v->first ? before / 2 : before) / heavy;
    bool found;
    SW_TRY(search(e, x, g, &l, &found));
    l = found ? l * heavy : before;
    if (!isfinite(l * (double)rows(e))) /* the tree adds them up */
        return sw_fail(SW_ERR_NONFINITE, "estimator %s: the Lipschitz constant of row %lld was doubled up to %g in step "
                                         "%lld, and the loss still does not fall as it should: the step is not taken",
                       e->method->name, (long long)v->row, l, (long long)e->step);
    note_search(e, found);
    e->scalar[L_ROW] = l;
    e->scalar[L] = own ? fmax(e->scalar[L], l) : l;
    return SW_OK;
}

/* ---- A visit ---- */

static bool searches(const sw_estimate *e) {
    return e->option[SAMPLING] == BY_LIPSCHITZ || (e->wants_lr && e->option[LIPSCHITZ] == 0);
}

/* g_r = 1/w_r Σ s_i a_i and t = Σ (s_i - y_i) a_i */
static sw_status visit_glm(sw_estimate *e, const void *x, swo_visit *v, void **row_gradient) {
    const int64_t count = entry_count(e, v->samples);
    void *c = sw_estimate_scratch(e, WORK, count > e->dim ? count : e->dim);
    if (!c)
        return SW_ERR_MEMORY;
    SW_TRY(sw_estimate_glm(e, x, e->ids, e->count, &e->value, v->entry));
    v->weight = e->weight;
    SW_TRY(check_weight(e, v->weight));
    if (searches(e)) {
        *row_gradient = sw_estimate_scratch(e, ROW_GRADIENT, 0);
        if (!*row_gradient)
            return SW_ERR_MEMORY;
        swo_combine(e->type, count, v->weight > 0 ? 1 / v->weight : 0, v->entry, 0, NULL, c);
        SW_TRY(sw_estimate_glm_combine(e, e->ids, e->count, c, 0, *row_gradient));
        swo_zero_frozen(e->optim, *row_gradient);
    }
    swo_combine(e->type, count, 1, v->entry, -1, entry_at(e, v->row), c);
    return sw_estimate_glm_combine(e, e->ids, e->count, c, 0, v->change);
}

static sw_status visit_row(sw_estimate *e, const void *x, swo_visit *v) {
    SW_TRY(sw_estimate_gradient(e, x, e->ids, e->count, &e->value, v->entry));
    const double w = v->weight = e->weight;
    SW_TRY(check_weight(e, w));
    swo_combine(e->type, e->dim, w, v->entry, -w, entry_at(e, v->row), v->change);
    return SW_OK;
}

static swo_visit this_visit(sw_estimate *e) {
    swo_visit v = {.row = e->ids[e->count], .samples = e->count, .weight = e->weight,
                   .first = e->ids[e->count + 1] >= 0};
    v.entry = sw_estimate_scratch(e, NEW_ENTRY, entry_count(e, v.samples));
    v.change = v.entry ? sw_estimate_scratch(e, CHANGE, 0) : NULL;
    return v;
}

sw_status swo_table_visit(sw_estimate *e, const void *x, swo_visit *visit) {
    if ((e->option[INIT] == FROM_FULL || e->option[INIT] == CENTRED) && e->scalar[FILLED] == 0)
        SW_TRY(fill(e, x));
    swo_visit v = this_visit(e);
    if (!v.change)
        return SW_ERR_MEMORY;
    v.probability = probability_of(e, v.row, v.first);
    void *row_gradient = v.entry;
    SW_TRY(is_glm(e) ? visit_glm(e, x, &v, &row_gradient) : visit_row(e, x, &v));
    if (v.first && e->option[INIT] == CENTRED)
        swo_combine(e->type, e->dim, 1, v.change, v.weight, e->slot[CENTRE], v.change);
    if (searches(e) && v.weight > 0)
        SW_TRY(find_l(e, x, &v, row_gradient));
    else
        e->scalar[L_ROW] = 0; /* of a row that weighs nothing */
    e->lr = step_size(e);
    *visit = v;
    return SW_OK;
}

static double weight_seen(const sw_estimate *e, const swo_visit *v) {
    return e->scalar[SAMPLES_SEEN] + e->scalar[EXCESS_SEEN] + (v->first ? v->weight : 0);
}

/* Before all rows were seen, n times the mean weight of a sample so far: n itself where no loss is weighted. */
double swo_table_whole(const sw_estimate *e, const swo_visit *v) {
    if (e->scalar[FILLED] != 0)
        return (double)e->n + e->scalar[EXCESS];
    const double samples = e->scalar[SAMPLES_SEEN] + (v->first ? (double)v->samples : 0);
    return (double)e->n * (weight_seen(e, v) / samples);
}

double swo_table_divisor(const sw_estimate *e, const swo_visit *v) {
    return e->option[INIT] == FROM_SEEN ? weight_seen(e, v) : swo_table_whole(e, v);
}

double swo_table_part(double weight, double whole) {
    return whole > 0 ? weight / whole : 0;
}

/* With weight decay in the rule, what goes to 0 is g + λx. */
sw_status swo_table_judge(sw_estimate *e, const void *x, const void *g) {
    if (e->option[TOL] == 0)
        return SW_OK;
    void *all = sw_estimate_scratch(e, WORK, 0);
    if (!all)
        return SW_ERR_MEMORY;
    swo_combine(e->type, e->dim, 1, g, e->option[L2], x, all);
    swo_zero_frozen(e->optim, all);
    SW_TRY(swo_check(e->type, e->dim, all, &e->scalar[NORM]));
    e->scalar[CONVERGED] = e->scalar[SEEN] == (double)rows(e) && e->scalar[NORM] <= e->option[TOL];
    return SW_OK;
}

static void mark_seen(sw_estimate *e, const swo_visit *v) {
    int32_t *order = e->slot[ORDER];
    const int64_t place = e->ids[e->count + 1], seen = (int64_t)e->scalar[SEEN];
    order[place] = order[seen];
    order[seen] = (int32_t)v->row;
    e->scalar[SEEN]++;
    e->scalar[SAMPLES_SEEN] += (double)v->samples;
    e->scalar[EXCESS_SEEN] += v->weight - (double)v->samples;
}

sw_status swo_table_commit(sw_estimate *e) {
    const swo_visit v = this_visit(e); /* what visit asked for is there */
    memcpy(entry_at(e, v.row), v.entry, (size_t)entry_count(e, v.samples) * sw_dtype_size(e->type));
    swo_add_compensated(e->type, e->dim, 1, v.change, e->slot[SUM], e->slot[SUM_LOW]);
    if (v.first)
        mark_seen(e, &v);
    if (e->slot[TREE])
        swo_tree_set(e->slot[TREE], rows(e), v.row, e->scalar[L_ROW]);
    if (searches(e) && search_found(e)) /* where nothing can push it up again it would sink to 0, and 1/L to ∞ */
        e->scalar[L] *= exp2(-1 / (double)rows(e));
    return SW_OK;
}
