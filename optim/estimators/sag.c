/* SAG, the stochastic average gradient (M. Schmidt, N. Le Roux, F. Bach, Minimizing finite sums with the
 * stochastic average gradient, 2013):
 *     g = (d + t)/m,  t = w_r (∇f_r(x) - y_r),  d = Σ w_r y_r
 * the mean of the gradients that were seen last, m their weight; see table.h for the names. Biased, and
 * its variance goes to 0: with a constant step it converges to the minimum at a linear rate.
 *
 * The step size: lr=auto takes 1/L or another (step=), L given or searched for. The theorem has
 * init=centered step=1/(16L). For the mean iterate, take average=polyak: it is the average's to say which
 * point is evaluated. */
#include "optim/estimators/table.h"

#include "optim/internal.h"

static const sw_option options[] = {TABLE_OPTIONS(
    FROM_AUTO, ONE_L,
    "y = 0 and m the samples seen so far; y = 0 and m = n; a full pass first; the same less its "
    "mean; n steps of SGD, m = n then; seen, or full if the samples of a generalized linear model are in memory "
    "and x is not 0")};

static int64_t size(const sw_slot_sizes *s) {
    return swo_table_size("sag", s);
}
static const sw_slot slots[] = {TABLE_SLOTS(size)};

void swo_sag_factors(const sw_estimate *e, const swo_visit *v, double *fresh, double *old) {
    const bool sgd = swo_table_sgd(e);
    *fresh = swo_table_part(1, sgd ? v->weight : swo_table_divisor(e, v));
    *old = sgd ? 0 : *fresh;
}

static sw_status estimate(sw_estimate *e, const void *x, void *g) {
    swo_visit v;
    double fresh, old;
    SW_TRY(swo_table_visit(e, x, &v));
    swo_sag_factors(e, &v, &fresh, &old);
    sw_vector_axpby(e->type, e->dim, fresh, v.change, old, old != 0 ? e->slot[SUM] : NULL, g);
    return swo_table_judge(e, x, g);
}

const sw_estimator swo_sag = {.size = sizeof(sw_estimator),
                              .name = "sag",
                              .summary = "the mean of the gradients seen last, one row of them new",
                              .source = "Schmidt, Le Roux, Bach 2013",
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
