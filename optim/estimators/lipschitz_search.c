/* L of SAG and SAGA, and the step sizes (gradient_table.h; Schmidt, Le Roux, Bach 2013, sections 4.5 and 4.6). */
#include "optim/estimators/gradient_table.h"

#include "optim/estimators/lipschitz_constants.h"
#include "optim/estimators/sum_tree.h"

#include <math.h>
#include <string.h>

static bool table_draws_by_l(const sw_estimate *e) {
    return swo_table_options_of(e)->sampling == BY_LIPSCHITZ;
}

/* ---- The step size ---- */

/* L as given by an option, or as found so far. */
static double table_largest_l(const sw_estimate *e) {
    return swo_known_l(e, swo_table_options_of(e)->lipschitz, swo_table_scalars_of(e)->l);
}

static double table_mean_l(const sw_estimate *e) {
    const swo_table_scalars *s = swo_table_scalars_of(e);
    const double sum =
        s->seen > 0 ? swo_sum_tree_sum(swo_table_slots_of(e)->tree) : 0; /* also 0 if all weights are 0 */
    return sum > 0 ? sum / (double)s->seen : s->l;
}

/* The smoothness that determines the step size, including the penalty l2. For uniform draws it is max L_i. If rows are
 * drawn half uniformly and half by L_i, it is the harmonic mean of max L_i and of the mean of L_i; for rows that have
 * not been seen it is the maximum. */
static double table_smoothness(const sw_estimate *e, double l2) {
    const double n = (double)swo_table_rows(e), most = table_largest_l(e) + l2;
    if (!table_draws_by_l(e))
        return most;
    const double seen = (double)swo_table_scalars_of(e)->seen / n;
    return 1 / ((1 - seen) / most + seen * 0.5 * (1 / most + 1 / (table_mean_l(e) + l2)));
}

double swo_table_step_size_with(const sw_estimate *e, double l2) {
    const double l = table_smoothness(e, l2), mu = (double)swo_table_rows(e) * l2;
    if (!(table_largest_l(e) > 0)) /* all gradients were 0 so far: x does not change */
        return 0;
    switch ((int)swo_table_options_of(e)->step) {
    case ONE_L: return 1 / l;
    case TWO_L_MU: return 2 / (l + mu);
    case ONE_3L: return 1 / (3 * l);
    case ONE_2L_MU: return 1 / (2 * l + fmin(2 * mu, l));
    default: return 1 / (16 * l);
    }
}

double swo_table_step_size(const sw_estimate *e) {
    return swo_table_step_size_with(e, e->penalty);
}

/* ---- L before the first step ---- */

/* lipschitz=auto: a row's L is at most the mean of those of its samples. */
static sw_status table_l_from_rows(sw_estimate *e) {
    const int64_t batch = swo_table_batch(e), rows = swo_table_rows(e);
    double most = 0, curvature;
    SW_TRY(swo_head_curvature(e, &curvature));
    for (int64_t row = 0; row < rows; row++) {
        const int64_t first = row * batch, count = e->n - first < batch ? e->n - first : batch;
        double sum = 0;
        for (int64_t i = first; i < first + count; i++)
            sum += swo_sample_l(e, i, curvature);
        most = fmax(most, (double)rows / (double)e->n * sum); /* the L of (R w_r/W) f_r */
    }
    swo_table_scalars_of(e)->l = swo_glm_own_of(e)->l_of_rows = most;
    return SW_OK;
}

sw_status swo_table_first_l(sw_estimate *e) {
    const double given = swo_table_options_of(e)->lipschitz;
    if (isnan(given))
        return table_l_from_rows(e);
    swo_table_scalars_of(e)->l = given; /* 0: the first visits find one */
    return SW_OK;
}

/* ---- L from the curvatures of visits ---- */

bool swo_table_searches(const sw_estimate *e) {
    return table_draws_by_l(e) || (e->wants_lr && swo_table_options_of(e)->lipschitz == 0);
}

/* A curvature costs another gradient. It is measured at about the first two visits to each row, then in every fourth
 * step. Draws by L_i need it at each visit. */
bool swo_table_measures(const sw_estimate *e, bool first, int64_t step) {
    return swo_table_searches(e) && (first || step <= 2 * swo_table_rows(e) || step % 4 == 0 || table_draws_by_l(e));
}

double swo_table_l_before(const sw_estimate *e, const swo_visit *v) {
    if (!table_draws_by_l(e))
        return swo_table_scalars_of(e)->l;
    return v->first ? table_mean_l(e) : swo_sum_tree_get(swo_table_slots_of(e)->tree, swo_table_rows(e), v->row);
}

/* The factor R w_r/W of row r in f = 1/R Σ (R w_r/W) f_r over R rows. The last row may have few samples, and then has a
 * small weight. As long as SAG divides by the weight of the rows that it has seen, R and W are those of these rows. */
static double table_row_factor(const sw_estimate *e, const swo_visit *v) {
    const bool seen = swo_table_kind_of(e)->over_seen && swo_table_init(e) == FROM_SEEN;
    const double count =
        seen ? (double)(swo_table_scalars_of(e)->seen + (v->first ? 1 : 0)) : (double)swo_table_rows(e);
    return swo_table_sgd(e) ? 1 : count * v->weight / (seen ? swo_table_weight_seen(e, v) : swo_table_whole(e, v));
}

/* For uniform draws, L is the largest measured curvature, with a decay that halves it in `half_life_of_l` epochs of
 * measured rows, or in 256 rows if that is more. For draws by L_i, each row has its L_i: the curvature measured at a
 * visit, but at least half of the previous L_i. L is the largest of them, with the same decay. L is at least the
 * measured curvature, so that 1/L does not grow to ∞. */
sw_status swo_table_take_curvature(sw_estimate *e, const swo_visit *v, double curvature) {
    swo_table_scalars *s = swo_table_scalars_of(e);
    const double met = curvature * table_row_factor(e, v), rows = (double)swo_table_rows(e),
                 epochs = swo_table_kind_of(e)->half_life_of_l;
    const bool by_row = table_draws_by_l(e), found = met > 0;
    if (!isfinite(met * rows)) /* the sum in the tree must be finite */
        return sw_fail(SW_ERR_NONFINITE,
                       "estimator %s: the curvature of row %lld is %g in step %lld: the step is not "
                       "taken",
                       e->method->name, (long long)v->row, met, (long long)e->step);
    s->l_row = !by_row ? met
               : found ? fmax(met, v->first ? 0 : swo_table_l_before(e, v) / 2)
                       : swo_table_l_before(e, v);
    if (found)
        s->l = fmax(met, s->l * exp2(-1 / fmax(epochs * rows, 256)));
    return SW_OK;
}

/* ---- Measurements on the tape ---- */

/* Measures the curvature along the step. For a linear model the change t shows the largest curvature. But the loss of a
 * network may be flat or have negative curvature along t, and be steep along the step: without this measurement lr
 * would grow until x diverges. */
static sw_status table_measure_ahead(sw_estimate *e, const void *x, const void *row_gradient, const swo_visit *v,
                                     double *curvature) {
    double fresh = 0, old = 0, ahead;
    void *step = sw_estimate_scratch(e, TABLE_WORK, e->dim);
    if (!step)
        return SW_ERR_MEMORY;
    swo_table_kind_of(e)->factors(e, v, &fresh, &old);
    sw_vector_axpby(e->type, e->dim, fresh, v->change, old, swo_table_slots_of(e)->sum, step);
    sw_estimate_zero_frozen(e, step);
    SW_TRY(swo_curvature(e, x, row_gradient, step, fmax(*curvature, swo_table_l_before(e, v)), &ahead));
    *curvature = fmax(*curvature, ahead);
    return SW_OK;
}

sw_status swo_table_measure_row(sw_estimate *e, const void *x, const void *row_gradient, const swo_visit *v) {
    double curvature = 0;
    void *change = sw_estimate_scratch(e, TABLE_WORK, e->dim);
    if (!change)
        return SW_ERR_MEMORY;
    memcpy(change, v->change, (size_t)e->dim * sw_dtype_size(e->type));
    sw_estimate_zero_frozen(e, change); /* the table may hold gradients of parameters that were frozen later */
    SW_TRY(swo_curvature(e, x, row_gradient, change, swo_table_l_before(e, v), &curvature));
    if (!swo_table_is_glm(e))
        SW_TRY(table_measure_ahead(e, x, row_gradient, v, &curvature));
    return swo_table_take_curvature(e, v, curvature);
}
