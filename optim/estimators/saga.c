/* SAGA (A. Defazio, F. Bach, S. Lacoste-Julien, NIPS 2014):
 *     g = t/(W p_r) + d/W,  t = w_r (∇f_r(x) - y_r),  d = Σ w_r y_r
 * with d from before the visit, and p_r the probability of row r; see gradient_table.h for the names. For every table,
 * the expectation of g over the draw of r is ∇f(x), even if the draws are not uniform. init=seen divides d by the
 * weight seen so far (as scikit-learn does), which is biased until all rows have been visited. */
#include "optim/estimators/estimators.h"
#include "optim/estimators/gradient_table.h"

static const sw_option saga_options[] = {TABLE_OPTIONS(
    FROM_AUTO, ONE_2L_MU,
    "seen: y = 0, and d is divided by the weight of the samples seen; zero: y = 0; full: a full pass in the first "
    "step; centered: full, minus the mean; sgd: n steps of SGD, then as zero; auto: full if the samples of a "
    "generalized linear model are in memory and x is not 0, else zero")};
SW_MATCH_OPTIONS(swo_table_options, saga_options);

static int64_t saga_size(const sw_slot_sizes *s) {
    return swo_table_size("saga", s);
}
static const sw_slot saga_slots[] = {TABLE_SLOTS(saga_size)};
SW_MATCH_SLOTS(swo_table_slots, saga_slots);

/* g = fresh·t + old·d with fresh = 1/(W p_r), old = 1/W; with init=sgd, g = t/w_r until all rows have been visited. */
static void saga_factors(const sw_estimate *e, const swo_visit *v, double *fresh, double *old) {
    const bool sgd = swo_table_sgd(e);
    *fresh = swo_table_part(1, sgd ? v->weight : swo_table_whole(e, v) * v->probability);
    *old = sgd ? 0 : swo_table_part(1, swo_table_divisor(e, v));
}

static const swo_table_kind saga_kind = {
    .stream = "saga", .init_auto = FROM_ZERO, .half_life_of_l = 2, .factors = saga_factors};

static sw_status saga_start(sw_estimate *e) {
    return swo_table_start(e, &saga_kind);
}

static sw_status saga_estimate(sw_estimate *e, const void *x, void *g) {
    swo_visit v;
    double fresh, old;
    SW_TRY(swo_table_visit(e, x, &v));
    saga_factors(e, &v, &fresh, &old);
    sw_vector_axpby(e->type, e->dim, fresh, v.change, old, old != 0 ? swo_table_slots_of(e)->sum : NULL, g);
    return swo_table_test_tolerance(e, x, g);
}

const sw_estimator swo_saga = {.size = sizeof(sw_estimator),
                               .name = "saga",
                               .summary = "SAG with an unbiased estimate",
                               .source = "Defazio, Bach, Lacoste-Julien, NIPS 2014",
                               .options = saga_options,
                               .slots = saga_slots,
                               .scalars = swo_table_scalar_names,
                               .flags = SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_ONCE | SW_ESTIMATOR_OWN_IDS,
                               .start = saga_start,
                               .sample = swo_table_sample,
                               .cost = "1 gradient of a row; where L is measured, in a fourth of the steps another "
                                       "(two if the model is not linear)",
                               .estimate = saga_estimate,
                               .commit = swo_table_commit,
                               .added_scalars = TABLE_ADDED_SCALARS,
                               .whole_scalars = TABLE_WHOLE_SCALARS,
                               .choose_batch = swo_table_choose_batch,
                               .lr_with = swo_table_step_size_with,
                               .fits = swo_table_fits,
                               .run = swo_table_run};
