/* The table of SAG and SAGA; see table.h. M. Schmidt, N. Le Roux, F. Bach, Minimizing finite sums with the
 * stochastic average gradient, 2013, sections 4.3 to 4.8: sums over the samples seen, an estimate of L,
 * non-uniform sampling, mini-batches. */
#include "optim/estimators/table.h"

#include "optim/internal.h"
#include "optim/estimators/smoothness.h"
#include "optim/estimators/tree.h"

#include <float.h>
#include <math.h>

const char *const swo_table_scalars[] = {"seen",      "samples_seen", "filled", "L",     "L_row", "norm",
                                         "converged", "excess_seen",  "excess", "ratio", NULL};

enum { IDS_MORE = 2 }; /* what stands after the ids of a step: see swo_table_sample */
/* Scratch: from estimate to commit, and for the search. */
enum { NEW_ENTRY, CHANGE, WORK, ROW_GRADIENT };

static double penalty_of(const sw_estimate *e) {
    return swo_estimate_of_const(e)->penalty;
}

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
        sw_fail(SW_ERR_ARGUMENT,
                "estimator %s: the table of %lld rows of %lld %s needs %.0f bytes, and "
                "table_limit is %g MiB; %s",
                method, (long long)rows, (long long)width, sw_dtype_name(s->type), bytes, s->option[TABLE_LIMIT],
                glm ? "raise it"
                    : "raise it, take a larger batch (one row each), or give the objective "
                      "rows and head, if it is a generalized linear model");
        return -1;
    }
    return rows * width;
}

int64_t swo_table_order(const sw_slot_sizes *s) {
    const int64_t rows = rows_of(s->n, s->option);
    if (rows <= INT32_MAX)
        return rows;
    sw_fail(SW_ERR_ARGUMENT, "estimator: a table of %lld rows; at most %d, take a larger batch", (long long)rows,
            INT32_MAX);
    return -1;
}

int64_t swo_table_tree(const sw_slot_sizes *s) {
    return swo_tree_count(rows_of(s->n, s->option));
}

bool swo_table_by_lipschitz(const double *option) {
    return option[SAMPLING] == BY_LIPSCHITZ;
}

bool swo_table_centered(const double *option) {
    return option[INIT] == CENTERD;
}

static int64_t rows(const sw_estimate *e) {
    return rows_of(e->n, e->option);
}

int64_t swo_table_batch(const sw_estimate *e) {
    return batch_of(e->n, e->option);
}

int64_t swo_table_rows(const sw_estimate *e) {
    return rows(e);
}

/* init=auto is seen or zero, until a first full pass is done. */
static int init_of(const sw_estimate *e) {
    const int init = (int)e->option[INIT];
    return init != FROM_AUTO        ? init
           : e->scalar[FILLED] != 0 ? FROM_FULL
           : e->method == &swo_sag  ? FROM_SEEN
                                    : FROM_ZERO;
}

/* Whether the first step begins with a full pass. Near a minimum, where x is from an earlier fit, that is worth its price. */
static bool starts_full(const sw_estimate *e, const void *x) {
    double norm;
    if (e->scalar[FILLED] != 0)
        return false;
    if (e->option[INIT] != FROM_AUTO)
        return e->option[INIT] == FROM_FULL || e->option[INIT] == CENTERD;
    return e->objective->glm && e->scalar[SEEN] == 0 && sw_vector_norm(e->type, e->dim, x, &norm) == SW_OK && norm > 0;
}

/* Elements of the table for each sample (generalized linear models) or row. */
static bool is_glm(const sw_estimate *e) {
    return sw_objective_is_glm(e->objective);
}

static void *entry_at(const sw_estimate *e, int64_t row) {
    int64_t at = is_glm(e) ? row * batch_of(e->n, e->option) * e->objective->outputs : row * e->dim;
    return (char *)e->slot[TABLE] + (size_t)at * sw_dtype_size(e->type);
}

void *swo_table_entry(const sw_estimate *e, int64_t row) {
    return entry_at(e, row);
}

static int64_t entry_count(const sw_estimate *e, int64_t samples) {
    return is_glm(e) ? samples * e->objective->outputs : e->dim;
}

/* ---- The step size ---- */

/* As given, or as found. */
static double largest_l(const sw_estimate *e) {
    return swo_known_l(e, e->option[LIPSCHITZ], e->scalar[L]);
}

static double mean_l(const sw_estimate *e) {
    const double sum = e->scalar[SEEN] > 0 ? swo_tree_sum(e->slot[TREE]) : 0; /* 0 also if all weigh nothing */
    return sum > 0 ? sum / e->scalar[SEEN] : e->scalar[L];
}

/* Of the smoothness that steps meet: max L_i for uniform draws. Rows drawn half uniformly and half by L_i
 * meet the harmonic mean of max L_i and of the mean, those not yet seen the maximum. */
static double smoothness(const sw_estimate *e, double l2) {
    const double n = (double)rows(e), most = largest_l(e) + l2;
    if (e->option[SAMPLING] != BY_LIPSCHITZ)
        return most;
    const double seen = e->scalar[SEEN] / n;
    return 1 / ((1 - seen) / most + seen * 0.5 * (1 / most + 1 / (mean_l(e) + l2)));
}

/* Of parameters whose penalty is l2. */
static double step_size_with(const sw_estimate *e, double l2) {
    const double l = smoothness(e, l2), mu = (double)rows(e) * l2;
    if (!(largest_l(e) > 0)) /* no row had a gradient yet: nothing moves */
        return 0;
    switch ((int)e->option[STEP]) {
    case ONE_L: return 1 / l;
    case TWO_L_MU: return 2 / (l + mu);
    case ONE_3L: return 1 / (3 * l);
    case ONE_2L_MU: return 1 / (2 * l + fmin(2 * mu, l));
    default: return 1 / (16 * l);
    }
}

static double step_size(const sw_estimate *e) {
    return step_size_with(e, penalty_of(e));
}

static swo_visit this_visit(sw_estimate *e);
static double weight_seen(const sw_estimate *e, const swo_visit *v);

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
    sw_vector_axpby(e->type, e->dim, 1, e->slot[SUM], 1, change, sum);
    if (sw_vector_norm(e->type, e->dim, sum, &after) == SW_OK && after <= most / 4)
        return SW_OK;
    return sw_fail(SW_ERR_NONFINITE,
                   "estimator %s: step %lld would make its sum of gradients Inf or NaN (the gradient's "
                   "norm is %g): it is not taken, and x is as before",
                   e->method->name, (long long)e->step, norm);
}

/* lipschitz=auto: a row's L is at most the mean of those of its samples. */
static sw_status l_from_rows(sw_estimate *e) {
    const int64_t batch = batch_of(e->n, e->option);
    double most = 0, curvature;
    SW_TRY(swo_head_curvature(e, &curvature));
    for (int64_t row = 0; row < rows(e); row++) {
        const int64_t first = row * batch, count = e->n - first < batch ? e->n - first : batch;
        double sum = 0;
        for (int64_t i = first; i < first + count; i++)
            sum += swo_sample_l(e, i, curvature);
        most = fmax(most, (double)rows(e) / (double)e->n * sum); /* of (R w_r/W) f_r */
    }
    e->scalar[L] = swo_estimate_of(e)->l_of_rows = most;
    return SW_OK;
}

static sw_status first_l(sw_estimate *e) {
    if (isnan(e->option[LIPSCHITZ]))
        return l_from_rows(e);
    e->scalar[L] = e->option[LIPSCHITZ]; /* 0: the first visits find one */
    return SW_OK;
}

sw_status swo_table_start(sw_estimate *e) {
    int32_t *order = e->slot[ORDER];
    swo_estimate_of(e)->fits = table_fits;
    swo_estimate_of(e)->lr_with = step_size_with;
    if (e->option[SAMPLING] == BY_LIPSCHITZ && e->option[LIPSCHITZ] != 0)
        return sw_fail(SW_ERR_ARGUMENT,
                       "estimator %s: sampling=lipschitz finds an L_i for each row by itself; "
                       "lipschitz=%g leaves it nothing to find",
                       e->method->name, e->option[LIPSCHITZ]);
    e->per_epoch = rows(e);
    for (int64_t i = 0; i < rows(e); i++)
        order[i] = (int32_t)i;
    if (e->objective->glm)
        SW_TRY(swo_use_samples(e, swo_table_run, e->slot[X_LOW]));
    SW_TRY(swo_check_l2(e, e->option[L2]));
    SW_TRY(first_l(e));
    e->lr = step_size(e);
    return SW_OK;
}

/* ---- Who is next ---- */

/* λ stands beside each L_i. Of the weights L_i + λ, the λ are as good as a uniform draw. */
static int64_t draw_seen(const sw_estimate *e, sw_rng *rng, int64_t uniform) {
    const int32_t *order = e->slot[ORDER];
    const double sum = swo_tree_sum(e->slot[TREE]), seen = e->scalar[SEEN],
                 by_l = sum > 0 ? 0.5 * sum / (sum + seen * penalty_of(e)) : 0;
    if (sw_rng_uniform(rng) >= by_l)
        return order[uniform];
    return swo_tree_draw(e->slot[TREE], rows(e), sw_rng_uniform(rng));
}

double swo_table_probability(const sw_estimate *e, int64_t row, bool first) {
    const double n = (double)rows(e), seen = e->scalar[SEEN], l2 = penalty_of(e);
    if (e->option[SAMPLING] != BY_LIPSCHITZ || first)
        return 1 / n;
    const double sum = swo_tree_sum(e->slot[TREE]) + seen * l2;
    const double share = sum > 0 ? (swo_tree_get(e->slot[TREE], rows(e), row) + l2) / sum : 1 / seen;
    return seen / n * 0.5 * (1 / seen + share);
}

bool swo_table_sgd(const sw_estimate *e) {
    return e->option[INIT] == FROM_SGD && e->scalar[SEEN] < (double)rows(e);
}

/* Draw number k is made of the blocks 2k and 2k + 1 of a stream of the table's own. */
static sw_rng rng_of_draw(uint64_t key, uint64_t draw) {
    return (sw_rng){.key = key, .position = 8 * draw};
}

int64_t swo_table_draw(const sw_estimate *e, uint64_t key, uint64_t draw, int64_t *place) {
    const int64_t all = rows(e), seen = (int64_t)e->scalar[SEEN];
    const int32_t *order = e->slot[ORDER];
    sw_rng rng = rng_of_draw(key, draw);
    *place = swo_table_sgd(e) ? seen + (int64_t)sw_rng_below(&rng, (uint64_t)(all - seen))
                              : (int64_t)sw_rng_below(&rng, (uint64_t)all);
    int64_t row = order[*place];
    if (*place < seen && e->option[SAMPLING] == BY_LIPSCHITZ)
        row = draw_seen(e, &rng, *place);
    *place = *place < seen ? -1 : *place;
    return row;
}

int64_t swo_table_uniform(const sw_estimate *e, uint64_t key, uint64_t draw) {
    sw_rng rng = rng_of_draw(key, draw);
    return (int64_t)sw_rng_below(&rng, (uint64_t)rows(e));
}

uint64_t swo_table_key(const sw_estimate *e) {
    return sw_rng_key(e->seed, e->method->name);
}

/* After the ids stand the row and its place. */
sw_status swo_table_sample(sw_estimate *e) {
    const int64_t batch = batch_of(e->n, e->option);
    const sw_optim *o = e->optim;
    int64_t *ids = sw_estimate_ids(e, batch + IDS_MORE), place;
    if (!ids)
        return SW_ERR_MEMORY;
    const int64_t row = swo_table_draw(e, swo_table_key(e), o->draws, &place);
    e->count = e->n - row * batch < batch ? e->n - row * batch : batch;
    for (int64_t i = 0; i < e->count; i++)
        ids[i] = row * batch + i;
    ids[e->count] = row;
    ids[e->count + 1] = place;
    e->ids = ids;
    return SW_OK;
}

/* ---- L ---- */

bool swo_table_searches(const sw_estimate *e) {
    return e->option[SAMPLING] == BY_LIPSCHITZ || (e->wants_lr && e->option[LIPSCHITZ] == 0);
}

/* Each row at its first two visits or so, then one in four: a curvature costs another gradient. Draws by L_i want one at
 * each visit. */
bool swo_table_measures(const sw_estimate *e, bool first, int64_t step) {
    return swo_table_searches(e) &&
           (first || step <= 2 * rows(e) || step % 4 == 0 || e->option[SAMPLING] == BY_LIPSCHITZ);
}

/* L_r of the row before its visit, 0 if it is not known. */
double swo_table_l_before(const sw_estimate *e, const swo_visit *v) {
    if (e->option[SAMPLING] != BY_LIPSCHITZ)
        return e->scalar[L];
    return v->first ? mean_l(e) : swo_tree_get(e->slot[TREE], rows(e), v->row);
}

/* f = 1/R Σ (R w_r/W) f_r over R rows: the last one may have few samples, and weighs little then. While SAG divides by the
 * weight of the rows that it has seen, R and W are those of these rows. */
static double share_of(const sw_estimate *e, const swo_visit *v) {
    const bool seen = e->method == &swo_sag && init_of(e) == FROM_SEEN;
    const double count = seen ? e->scalar[SEEN] + (v->first ? 1 : 0) : (double)rows(e);
    return swo_table_sgd(e) ? 1 : count * v->weight / (seen ? weight_seen(e, v) : swo_table_whole(e, v));
}

/* Uniform draws: L is the largest curvature measured, less a decay that halves it in `epochs` of measured rows, or in
 * 256 rows if that is more. SAG takes more epochs: it is biased, and longer steps would take it away from the minimum
 * again. Draws by L_i: each row has its L_i, which is the curvature measured at a visit, but at least half of what it
 * was. L is the largest of them, with the same decay. The curvature measured bounds L from below, so that 1/L does not
 * grow to ∞. */
sw_status swo_table_take_curvature(sw_estimate *e, const swo_visit *v, double curvature) {
    const double met = curvature * share_of(e, v);
    const bool by_row = e->option[SAMPLING] == BY_LIPSCHITZ, found = met > 0;
    const double epochs = e->method == &swo_sag ? 8 : 2;
    if (!isfinite(met * (double)rows(e))) /* the tree adds them up */
        return sw_fail(SW_ERR_NONFINITE,
                       "estimator %s: the curvature of row %lld is %g in step %lld: the step is not "
                       "taken",
                       e->method->name, (long long)v->row, met, (long long)e->step);
    e->scalar[L_ROW] = !by_row ? met
                       : found ? fmax(met, v->first ? 0 : swo_table_l_before(e, v) / 2)
                               : swo_table_l_before(e, v);
    if (found)
        e->scalar[L] = fmax(met, e->scalar[L] * exp2(-1 / fmax(epochs * (double)rows(e), 256)));
    return SW_OK;
}

/* ---- A visit ---- */

/* g_r = 1/w_r Σ s_i a_i and t = Σ (s_i - y_i) a_i */
static sw_status visit_glm(sw_estimate *e, const void *x, swo_visit *v, void **row_gradient) {
    const int64_t count = entry_count(e, v->samples);
    void *c = sw_estimate_scratch(e, WORK, count > e->dim ? count : e->dim);
    if (!c)
        return SW_ERR_MEMORY;
    SW_TRY(sw_estimate_glm_derivatives(e, x, e->ids, e->count, &e->value, v->entry));
    v->weight = e->weight;
    SW_TRY(swo_table_check_weight(e, v->weight));
    if (swo_table_searches(e)) {
        *row_gradient = sw_estimate_scratch(e, ROW_GRADIENT, 0);
        if (!*row_gradient)
            return SW_ERR_MEMORY;
        sw_vector_axpby(e->type, count, v->weight > 0 ? 1 / v->weight : 0, v->entry, 0, NULL, c);
        SW_TRY(sw_estimate_glm_combine(e, e->ids, e->count, c, 0, *row_gradient));
        swo_zero_frozen(e->optim, *row_gradient);
    }
    sw_vector_axpby(e->type, count, 1, v->entry, -1, entry_at(e, v->row), c);
    return sw_estimate_glm_combine(e, e->ids, e->count, c, 0, v->change);
}

static sw_status visit_row(sw_estimate *e, const void *x, swo_visit *v) {
    SW_TRY(sw_estimate_gradient(e, x, e->ids, e->count, &e->value, v->entry));
    const double w = v->weight = e->weight;
    SW_TRY(swo_table_check_weight(e, w));
    sw_vector_axpby(e->type, e->dim, w, v->entry, -w, entry_at(e, v->row), v->change);
    return SW_OK;
}

static swo_visit this_visit(sw_estimate *e) {
    swo_visit v = {
        .row = e->ids[e->count], .samples = e->count, .weight = e->weight, .first = e->ids[e->count + 1] >= 0};
    v.entry = sw_estimate_scratch(e, NEW_ENTRY, entry_count(e, v.samples));
    v.change = v.entry ? sw_estimate_scratch(e, CHANGE, 0) : NULL;
    return v;
}

/* Samples in memory: without a tape. */
static sw_status visit_known(sw_estimate *e, const void *x, swo_visit *v) {
    const int64_t outputs = e->objective->outputs, numbers = v->samples * outputs;
    char *work = sw_estimate_scratch(e, WORK, swo_glm_work(e, batch_of(e->n, e->option)));
    if (!work)
        return SW_ERR_MEMORY;
    swo_glm_visit visit = {.f = e->objective,
                           .x = x,
                           .first = v->row * batch_of(e->n, e->option),
                           .count = v->samples,
                           .entry = entry_at(e, v->row),
                           .s = v->entry,
                           .t = v->change,
                           .squares = swo_squares(e),
                           .l = swo_table_l_before(e, v),
                           .measure = swo_table_measures(e, v->first, e->step)};
    double norm;
    swo_find_rests(e, &visit.weights_rest, &visit.bias_rests);
    swo_glm_use_work(e, batch_of(e->n, e->option), &visit, work);
    swo_glm_visit_row(e->type, &visit);
    e->value = visit.loss / (double)v->samples;
    v->weight = e->weight = (double)v->samples;
    SW_TRY(sw_vector_norm(e->type, numbers, v->entry, &norm));
    if (v->first && e->option[INIT] == CENTERD)
        sw_vector_axpby(e->type, e->dim, 1, v->change, v->weight, e->slot[CENTER], v->change);
    return visit.measure ? swo_table_take_curvature(e, v, visit.curvature) : SW_OK;
}

void swo_table_factors(const sw_estimate *e, const swo_visit *v, double *fresh, double *old) {
    if (e->method == &swo_sag)
        swo_sag_factors(e, v, fresh, old);
    else
        swo_saga_factors(e, v, fresh, old);
}

/* Measures the curvature along the step. For a linear model the change t shows the largest curvature, but the loss of a
 * network may be flat or bent down along t, and steep along the step: lr would grow until x diverges. */
static sw_status measure_ahead(sw_estimate *e, const void *x, const void *row_gradient, const swo_visit *v,
                               double *curvature) {
    double fresh = 0, old = 0, ahead;
    void *step = sw_estimate_scratch(e, WORK, e->dim);
    if (!step)
        return SW_ERR_MEMORY;
    swo_table_factors(e, v, &fresh, &old);
    sw_vector_axpby(e->type, e->dim, fresh, v->change, old, e->slot[SUM], step);
    swo_zero_frozen(e->optim, step);
    SW_TRY(swo_curvature(e, x, row_gradient, step, fmax(*curvature, swo_table_l_before(e, v)), &ahead));
    *curvature = fmax(*curvature, ahead);
    return SW_OK;
}

/* On the tape: the curvature takes another gradient of the row, or two. */
static sw_status visit_on_tape(sw_estimate *e, const void *x, swo_visit *v) {
    void *row_gradient = v->entry;
    double curvature = 0;
    SW_TRY(is_glm(e) ? visit_glm(e, x, v, &row_gradient) : visit_row(e, x, v));
    if (swo_table_measures(e, v->first, e->step) && v->weight > 0) {
        void *change = sw_estimate_scratch(e, WORK, e->dim);
        if (!change)
            return SW_ERR_MEMORY;
        memcpy(change, v->change, (size_t)e->dim * sw_dtype_size(e->type));
        swo_zero_frozen(e->optim, change); /* the table may hold gradients of parameters that were frozen later */
        SW_TRY(swo_curvature(e, x, row_gradient, change, swo_table_l_before(e, v), &curvature));
        if (!is_glm(e))
            SW_TRY(measure_ahead(e, x, row_gradient, v, &curvature));
        SW_TRY(swo_table_take_curvature(e, v, curvature));
    }
    if (v->first && e->option[INIT] == CENTERD)
        sw_vector_axpby(e->type, e->dim, 1, v->change, v->weight, e->slot[CENTER], v->change);
    return SW_OK;
}

double swo_table_step_size(const sw_estimate *e) {
    return step_size(e);
}

sw_status swo_table_visit(sw_estimate *e, const void *x, swo_visit *visit) {
    if (starts_full(e, x))
        SW_TRY(swo_table_fill(e, x));
    swo_visit v = this_visit(e);
    if (!v.change)
        return SW_ERR_MEMORY;
    v.probability = swo_table_probability(e, v.row, v.first);
    e->scalar[L_ROW] = 0;
    SW_TRY(e->objective->glm ? visit_known(e, x, &v) : visit_on_tape(e, x, &v));
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
    return init_of(e) == FROM_SEEN ? weight_seen(e, v) : swo_table_whole(e, v);
}

double swo_table_part(double weight, double whole) {
    return whole > 0 ? weight / whole : 0;
}

/* The estimate lags the gradient by what x moved in the last epochs: it may be above it, by a factor of 4 where convergence
 * is fast, or below. So it is checked eight times an epoch, and the true gradient decides, which costs as much as an epoch:
 * first where the estimate is ten times the tolerance, then where the gradient must be near it by the ratio that both had. */
int64_t swo_table_judges_every(const sw_estimate *e) {
    if (e->option[TOL] == 0)
        return 0;
    const int64_t eighth = rows(e) / 8;
    return eighth > 0 ? eighth : 1;
}

sw_status swo_table_judge(sw_estimate *e, const void *x, const void *g) {
    const int64_t every = swo_table_judges_every(e);
    if (every == 0)
        return SW_OK;
    void *all = sw_estimate_scratch(e, WORK, e->dim); /* in the first step, like all memory of a step */
    if (!all)
        return SW_ERR_MEMORY;
    const sw_optim *o = e->optim;
    if (o->seen != sw_params_version(e->params) || e->scalar[NORM] > e->option[TOL])
        e->scalar[CONVERGED] = 0; /* x was written from outside, or tol was larger in the file */
    if (e->step % every != 0 || (e->scalar[SEEN] < (double)rows(e) && e->scalar[FILLED] == 0))
        return SW_OK;
    double estimate, norm;
    e->scalar[CONVERGED] = 0;
    memcpy(all, g, (size_t)e->dim * sw_dtype_size(e->type));
    SW_TRY(swo_penalized_norm(e->optim, x, all, &estimate));
    if (isinf(estimate)) /* outside the bounds */
        return SW_OK;
    e->scalar[NORM] = estimate;
    const double ratio = e->scalar[RATIO] > 0 ? fmin(1.1 * e->scalar[RATIO], 10) : 10;
    if (estimate > fmax(ratio, 1) * e->option[TOL])
        return SW_OK;
    SW_TRY(sw_estimate_gradient(e, x, NULL, e->n, NULL, all));
    SW_TRY(swo_penalized_norm(e->optim, x, all, &norm));
    e->scalar[NORM] = norm;
    e->scalar[CONVERGED] = norm <= e->option[TOL];
    e->scalar[RATIO] = norm > 0 ? estimate / norm : 1;
    return SW_OK;
}

void swo_table_mark_seen(sw_estimate *e, const swo_visit *v, int64_t place) {
    int32_t *order = e->slot[ORDER];
    const int64_t seen = (int64_t)e->scalar[SEEN];
    order[place] = order[seen];
    order[seen] = (int32_t)v->row;
    e->scalar[SEEN]++;
    e->scalar[SAMPLES_SEEN] += (double)v->samples;
    e->scalar[EXCESS_SEEN] += v->weight - (double)v->samples;
}

sw_status swo_table_commit(sw_estimate *e) {
    const swo_visit v = this_visit(e); /* what visit asked for is there */
    memcpy(entry_at(e, v.row), v.entry, (size_t)entry_count(e, v.samples) * sw_dtype_size(e->type));
    const unsigned mode = sw_subnormals_flush();
    sw_vector_add_compensated(e->type, e->dim, 1, v.change, e->slot[SUM], e->slot[SUM_LOW]);
    sw_subnormals_restore(mode);
    if (v.first)
        swo_table_mark_seen(e, &v, e->ids[e->count + 1]);
    if (e->slot[TREE])
        swo_tree_set(e->slot[TREE], rows(e), v.row, e->scalar[L_ROW]);
    return SW_OK;
}
