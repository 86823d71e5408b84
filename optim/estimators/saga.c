/* SAGA (A. Defazio, F. Bach, S. Lacoste-Julien, NIPS 2014):
 *     g = t/(W p_r) + d/W,  t = w_r (∇f_r(x) - y_r),  d = Σ w_r y_r
 * with d from before the visit, p_r the probability of row r; see table.h for the names. For whatever
 * table, the mean of g over the draw of r is ∇f(x), also under non-uniform sampling; init=seen divides d
 * by the weight seen so far (as scikit-learn does), which is not unbiased until all have been. */
#include "optim/estimators/table.h"

#include "optim/internal.h"

static const sw_option options[] = {TABLE_OPTIONS(
    FROM_AUTO, ONE_2L_MU,
    "y = 0 and d over the samples seen so far; y = 0; a full pass first; the same less its mean; "
    "n steps of SGD; zero, or full if the samples of a generalized linear model are in memory and x is not 0")};

static int64_t size(const sw_slot_sizes *s) {
    return swo_table_size("saga", s);
}
static const sw_slot slots[] = {TABLE_SLOTS(size)};

void swo_saga_factors(const sw_estimate *e, const swo_visit *v, double *fresh, double *old) {
    const bool sgd = swo_table_sgd(e);
    *fresh = swo_table_part(1, sgd ? v->weight : swo_table_whole(e, v) * v->probability);
    *old = sgd ? 0 : swo_table_part(1, swo_table_divisor(e, v));
}

static sw_status estimate(sw_estimate *e, const void *x, void *g) {
    swo_visit v;
    double fresh, old;
    SW_TRY(swo_table_visit(e, x, &v));
    swo_saga_factors(e, &v, &fresh, &old);
    sw_vector_axpby(e->type, e->dim, fresh, v.change, old, old != 0 ? e->slot[SUM] : NULL, g);
    return swo_table_judge(e, x, g);
}

const sw_estimator swo_saga = {.size = sizeof(sw_estimator),
                               .name = "saga",
                               .summary = "SAG without bias: the new row's change in full",
                               .source = "Defazio, Bach, Lacoste-Julien, NIPS 2014",
                               .options = options,
                               .slots = slots,
                               .scalars = swo_table_scalars,
                               .flags = SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_ONCE | SW_ESTIMATOR_OWN_IDS,
                               .start = swo_table_start,
                               .sample = swo_table_sample,
                               .cost = "1 gradient of a row; where L is measured, in a fourth of the steps another "
                                       "(two if the model is not linear)",
                               .estimate = estimate,
                               .commit = swo_table_commit,
                               .added_scalars = ADDED_SCALARS};
