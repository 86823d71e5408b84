/* SAG, the stochastic average gradient (M. Schmidt, N. Le Roux, F. Bach, Minimizing finite sums with the
 * stochastic average gradient, 2013):
 *     g = (d + t)/m,  t = w_r (∇f_r(x) - y_r),  d = Σ w_r y_r
 * which is the mean of the latest gradients of all rows, with m their weight; see gradient_table.h for the names. The
 * estimate is biased, and its variance converges to 0: with a constant step x converges to the minimum at a linear
 * rate.
 *
 * lr=auto is 1/L or another multiple (step=), with L given or measured. The theorem is for init=centered step=1/(16L).
 * For the mean iterate, use the average polyak. */
#include "optim/estimators/estimators.h"
#include "optim/estimators/gradient_table.h"

static const sw_option sag_options[] = {TABLE_OPTIONS(
    FROM_AUTO, ONE_L,
    "seen: y = 0, and m is the weight of the samples seen; zero: y = 0, and m is that of all samples; full: a full "
    "pass in the first step; centered: full, minus the mean; sgd: n steps of SGD, then as zero; auto: full if the "
    "samples of a generalized linear model are in memory and x is not 0, else seen")};
SW_MATCH_OPTIONS(swo_table_options, sag_options);

static int64_t sag_size(const sw_slot_sizes *s) {
    return swo_table_size("sag", s);
}
static const sw_slot sag_slots[] = {TABLE_SLOTS(sag_size)};
SW_MATCH_SLOTS(swo_table_slots, sag_slots);

/* g = fresh·t + old·d with fresh = old = 1/m; with init=sgd, g = t/w_r until all rows have been visited. */
static void sag_factors(const sw_estimate *e, const swo_visit *v, double *fresh, double *old) {
    const bool sgd = swo_table_sgd(e);
    *fresh = swo_table_part(1, sgd ? v->weight : swo_table_divisor(e, v));
    *old = sgd ? 0 : *fresh;
}

/* Because SAG is biased, longer steps would lead away from the minimum again. L therefore decays slowly. */
static const swo_table_kind sag_kind = {
    .stream = "sag", .init_auto = FROM_SEEN, .over_seen = true, .half_life_of_l = 8, .factors = sag_factors};

static sw_status sag_start(sw_estimate *e) {
    return swo_table_start(e, &sag_kind);
}

static sw_status sag_estimate(sw_estimate *e, const void *x, void *g) {
    swo_visit v;
    double fresh, old;
    SW_TRY(swo_table_visit(e, x, &v));
    sag_factors(e, &v, &fresh, &old);
    sw_vector_axpby(e->type, e->dim, fresh, v.change, old, old != 0 ? swo_table_slots_of(e)->sum : NULL, g);
    return swo_table_test_tolerance(e, x, g);
}

const sw_estimator swo_sag = {.size = sizeof(sw_estimator),
                              .name = "sag",
                              .summary = "the mean of the latest gradients of all rows, of which a step updates one",
                              .source = "Schmidt, Le Roux, Bach 2013",
                              .options = sag_options,
                              .slots = sag_slots,
                              .scalars = swo_table_scalar_names,
                              .flags = SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_ONCE | SW_ESTIMATOR_OWN_IDS,
                              .start = sag_start,
                              .sample = swo_table_sample,
                              .cost = "1 gradient of a row; where L is measured, in a fourth of the steps another "
                                      "(two if the model is not linear)",
                              .estimate = sag_estimate,
                              .commit = swo_table_commit,
                              .added_scalars = TABLE_ADDED_SCALARS,
                              .whole_scalars = TABLE_WHOLE_SCALARS,
                              .choose_batch = swo_table_choose_batch,
                              .lr_with = swo_table_step_size_with,
                              .fits = swo_table_fits,
                              .run = swo_table_run};
