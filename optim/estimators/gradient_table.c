/* The table of SAG and SAGA: its size, a visit to a row, and its end (gradient_table.h). */
#include "optim/estimators/gradient_table.h"

#include "optim/estimators/lipschitz_constants.h"
#include "optim/estimators/sum_tree.h"

#include <float.h>
#include <math.h>
#include <string.h>

const char *const swo_table_scalar_names[] = {"seen",      "samples_seen", "filled", "L",     "L_row", "norm",
                                              "converged", "excess_seen",  "excess", "ratio", NULL};
_Static_assert(sizeof(swo_table_scalars) == sizeof swo_table_scalar_names - sizeof(char *), "a name for each scalar");

/* ---- Sizes ---- */

static int64_t table_batch_of(int64_t n, const double *option) {
    const double batch = SW_OPTIONS_AS(option, swo_table_options)->batch;
    return batch < (double)n ? (int64_t)batch : n;
}

static int64_t table_rows_of(int64_t n, const double *option) {
    const int64_t batch = table_batch_of(n, option);
    return (n + batch - 1) / batch;
}

int64_t swo_table_size(const char *method, const sw_slot_sizes *s) {
    const bool glm = s->features > 0;
    const double limit = SW_OPTIONS_AS(s->option, swo_table_options)->table_limit;
    const int64_t rows = glm ? s->n : table_rows_of(s->n, s->option), width = glm ? s->outputs : s->dim;
    const double bytes = (double)rows * (double)width * (double)sw_dtype_size(s->type);
    if (bytes > limit * 0x1p20) {
        sw_fail(SW_ERR_ARGUMENT,
                "estimator %s: the table of %lld rows of %lld %s needs %.0f bytes, and "
                "table_limit is %g MiB; %s",
                method, (long long)rows, (long long)width, sw_dtype_name(s->type), bytes, limit,
                glm ? "raise it"
                    : "raise it, take a larger batch (one row each), or give the objective "
                      "rows and head, if it is a generalized linear model");
        return -1;
    }
    return rows * width;
}

int64_t swo_table_order(const sw_slot_sizes *s) {
    const int64_t rows = table_rows_of(s->n, s->option);
    if (rows <= INT32_MAX)
        return rows;
    sw_fail(SW_ERR_ARGUMENT, "estimator: a table of %lld rows; at most %d, take a larger batch", (long long)rows,
            INT32_MAX);
    return -1;
}

int64_t swo_table_tree(const sw_slot_sizes *s) {
    return swo_sum_tree_count(table_rows_of(s->n, s->option));
}

bool swo_table_by_lipschitz(const double *option) {
    return SW_OPTIONS_AS(option, swo_table_options)->sampling == BY_LIPSCHITZ;
}

bool swo_table_centered(const double *option) {
    return SW_OPTIONS_AS(option, swo_table_options)->init == CENTERED;
}

/* Over dense rows in memory, small batches need less time per sample than single samples, but more epochs. The choice
 * is from measurements with 178 to 100,000 samples. Over sparse rows a step costs O(nonzeros), and batches have no
 * advantage. On a tape, a row of the table is one sample. */
int64_t swo_table_choose_batch(const sw_estimate *e) {
    enum { ROWS = 64, MOST = 64 };
    const sw_glm_data *data = e->objective->glm;
    int64_t batch = 1;
    while (data && !data->sparse && 2 * batch <= MOST && 2 * batch * ROWS <= e->n)
        batch *= 2;
    return batch;
}

/* Whether the first step begins with a full pass. This saves time if x is near the minimum, because it is the result of
 * an earlier fit. */
static bool table_starts_full(const sw_estimate *e, const void *x) {
    const int init = (int)swo_table_options_of(e)->init;
    double norm;
    if (swo_table_scalars_of(e)->filled != 0)
        return false;
    if (init != FROM_AUTO)
        return init == FROM_FULL || init == CENTERED;
    return e->objective->glm && swo_table_scalars_of(e)->seen == 0 &&
           sw_vector_norm(e->type, e->dim, x, &norm) == SW_OK && norm > 0;
}

/* ---- The start ---- */

sw_status swo_table_start(sw_estimate *e, const swo_table_kind *kind) {
    const swo_table_options *option = swo_table_options_of(e);
    const swo_table_slots *slots = swo_table_slots_of(e);
    const int64_t rows = table_rows_of(e->n, e->option);
    int32_t *order = slots->order;
    swo_table_own *own = e->own = sw_estimate_memory(e, GLM_MEMORY_OWN, sizeof *own);
    if (!own)
        return SW_ERR_MEMORY;
    own->kind = kind;
    own->batch = table_batch_of(e->n, e->option);
    own->rows = rows;
    if (option->sampling == BY_LIPSCHITZ && option->lipschitz != 0)
        return sw_fail(
            SW_ERR_ARGUMENT,
            "estimator %s: sampling=lipschitz measures an L_i for each row, and cannot be combined with lipschitz=%g",
            e->method->name, option->lipschitz);
    e->per_epoch = rows;
    for (int64_t i = 0; i < rows; i++)
        order[i] = (int32_t)i;
    if (e->objective->glm)
        SW_TRY(swo_use_samples(e, slots->x_low));
    SW_TRY(sw_estimate_check_penalty(e, option->l2));
    SW_TRY(swo_table_first_l(e));
    e->lr = swo_table_step_size(e);
    return SW_OK;
}

/* ---- A visit ---- */

static swo_visit table_visit_of(sw_estimate *e) {
    swo_visit v = {.row = swo_table_sampled_row(e),
                   .samples = e->count,
                   .weight = e->weight,
                   .first = swo_table_sampled_place(e) >= 0};
    v.entry = sw_estimate_scratch(e, TABLE_NEW_ENTRY, swo_table_entry_count(e, v.samples));
    v.change = v.entry ? sw_estimate_scratch(e, TABLE_CHANGE, 0) : NULL;
    return v;
}

/* At the first visit to a row with init=centered: t ← t + w_r ∇f(x⁰), because the entry in the table does not contain
 * ∇f(x⁰). */
static void table_add_center(sw_estimate *e, const swo_visit *v) {
    if (v->first && swo_table_options_of(e)->init == CENTERED)
        sw_vector_axpby(e->type, e->dim, 1, v->change, v->weight, swo_table_slots_of(e)->center, v->change);
}

/* g_r = 1/w_r Σ s_i a_i and t = Σ (s_i - y_i) a_i */
static sw_status table_visit_glm(sw_estimate *e, const void *x, swo_visit *v, void **row_gradient) {
    const int64_t count = swo_table_entry_count(e, v->samples);
    void *c = sw_estimate_scratch(e, TABLE_WORK, count > e->dim ? count : e->dim);
    if (!c)
        return SW_ERR_MEMORY;
    SW_TRY(sw_estimate_glm_derivatives(e, x, e->ids, e->count, &e->value, v->entry));
    v->weight = e->weight;
    SW_TRY(swo_table_check_weight(e, v->weight));
    if (swo_table_searches(e)) {
        *row_gradient = sw_estimate_scratch(e, TABLE_ROW_GRADIENT, 0);
        if (!*row_gradient)
            return SW_ERR_MEMORY;
        sw_vector_axpby(e->type, count, v->weight > 0 ? 1 / v->weight : 0, v->entry, 0, NULL, c);
        SW_TRY(sw_estimate_glm_combine(e, e->ids, e->count, c, 0, *row_gradient));
        sw_estimate_zero_frozen(e, *row_gradient);
    }
    sw_vector_axpby(e->type, count, 1, v->entry, -1, swo_table_entry(e, v->row), c);
    return sw_estimate_glm_combine(e, e->ids, e->count, c, 0, v->change);
}

/* t = w_r (g_r - y_r) */
static sw_status table_visit_row(sw_estimate *e, const void *x, swo_visit *v) {
    SW_TRY(sw_estimate_gradient(e, x, e->ids, e->count, &e->value, v->entry));
    const double w = v->weight = e->weight;
    SW_TRY(swo_table_check_weight(e, w));
    sw_vector_axpby(e->type, e->dim, w, v->entry, -w, swo_table_entry(e, v->row), v->change);
    return SW_OK;
}

/* A visit to samples in memory, without a tape. */
static sw_status table_visit_in_memory(sw_estimate *e, const void *x, swo_visit *v) {
    const int64_t outputs = e->objective->outputs, numbers = v->samples * outputs, batch = swo_table_batch(e);
    char *work = sw_estimate_scratch(e, TABLE_WORK, swo_glm_work(e, batch));
    if (!work)
        return SW_ERR_MEMORY;
    swo_glm_visit visit = {.f = e->objective,
                           .x = x,
                           .first = v->row * batch,
                           .count = v->samples,
                           .entry = swo_table_entry(e, v->row),
                           .s = v->entry,
                           .t = v->change,
                           .squares = swo_squares(e),
                           .l = swo_table_l_before(e, v),
                           .measure = swo_table_measures(e, v->first, e->step)};
    double norm;
    swo_find_frozen_parts(e, &visit.weights_frozen, &visit.bias_frozen);
    swo_glm_use_work(e, batch, &visit, work);
    swo_glm_visit_row(e->type, &visit);
    e->value = visit.loss / (double)v->samples;
    v->weight = e->weight = (double)v->samples;
    SW_TRY(sw_vector_norm(e->type, numbers, v->entry, &norm));
    table_add_center(e, v);
    return visit.measure ? swo_table_take_curvature(e, v, visit.curvature) : SW_OK;
}

static sw_status table_visit_on_tape(sw_estimate *e, const void *x, swo_visit *v) {
    void *row_gradient = v->entry;
    SW_TRY(swo_table_is_glm(e) ? table_visit_glm(e, x, v, &row_gradient) : table_visit_row(e, x, v));
    if (swo_table_measures(e, v->first, e->step) && v->weight > 0)
        SW_TRY(swo_table_measure_row(e, x, row_gradient, v));
    table_add_center(e, v);
    return SW_OK;
}

sw_status swo_table_visit(sw_estimate *e, const void *x, swo_visit *visit) {
    if (table_starts_full(e, x))
        SW_TRY(swo_table_fill(e, x));
    swo_visit v = table_visit_of(e);
    if (!v.change)
        return SW_ERR_MEMORY;
    v.probability = swo_table_probability(e, v.row, v.first);
    swo_table_scalars_of(e)->l_row = 0;
    SW_TRY(e->objective->glm ? table_visit_in_memory(e, x, &v) : table_visit_on_tape(e, x, &v));
    e->lr = swo_table_step_size(e);
    *visit = v;
    return SW_OK;
}

/* ---- The end of a visit ---- */

/* Checks that the sum after this step, d' = d + t, is finite.
 *
 * Elements of d and t with opposite signs cannot overflow. If the signs are equal, the same sum is a part of g: for SAG
 * g = (d + t)/m with m ≤ W, for SAGA g = t/(W p) + d/W with p ≤ 1, so that |d'| ≤ 2W|g| ≤ 2W‖g‖. With init=sgd, until
 * all rows have been visited, g = t/w does not contain d. Then |t| ≤ w‖g‖, and the sum over these steps, of which there
 * are at most n, may be up to an eighth of the largest number. For a generalized linear model, t is not 0 at frozen
 * parameters, although g is. If none of these bounds applies, the sum is computed and checked. */
sw_status swo_table_fits(sw_estimate *e, double norm) {
    const swo_visit v = table_visit_of(e); /* what visit asked for is there */
    const double whole = fmax(swo_table_whole(e, &v), swo_table_divisor(e, &v)),
                 most = e->type == SW_F32 ? FLT_MAX : DBL_MAX;
    bool safe =
        swo_table_sgd(e) ? v.weight * norm <= most / (8 * (double)swo_table_rows(e)) : 2 * whole * norm <= most / 2;
    for (int i = 0; swo_table_is_glm(e) && safe && i < sw_params_count(e->params); i++)
        safe = !sw_params_at(e->params, i)->frozen;
    if (safe)
        return SW_OK;
    void *sum = sw_estimate_scratch(e, TABLE_WORK, 0), *change = sw_estimate_scratch(e, TABLE_CHANGE, 0);
    double after;
    if (!sum || !change)
        return SW_ERR_MEMORY;
    sw_vector_axpby(e->type, e->dim, 1, swo_table_slots_of(e)->sum, 1, change, sum);
    if (sw_vector_norm(e->type, e->dim, sum, &after) == SW_OK && after <= most / 4)
        return SW_OK;
    return sw_fail(SW_ERR_NONFINITE,
                   "estimator %s: step %lld would make its sum of gradients Inf or NaN (the gradient's "
                   "norm is %g): the step is refused, and x is unchanged",
                   e->method->name, (long long)e->step, norm);
}

/* y_r ← g_r, d ← d + t */
sw_status swo_table_commit(sw_estimate *e) {
    const swo_table_slots *slots = swo_table_slots_of(e);
    const swo_visit v = table_visit_of(e); /* what visit asked for is there */
    memcpy(swo_table_entry(e, v.row), v.entry, (size_t)swo_table_entry_count(e, v.samples) * sw_dtype_size(e->type));
    const unsigned mode = sw_subnormals_flush();
    sw_vector_add_compensated(e->type, e->dim, 1, v.change, slots->sum, slots->sum_low);
    sw_subnormals_restore(mode);
    if (v.first)
        swo_table_mark_seen(e, &v, swo_table_sampled_place(e));
    if (slots->tree)
        swo_sum_tree_set(slots->tree, swo_table_rows(e), v.row, swo_table_scalars_of(e)->l_row);
    return SW_OK;
}
