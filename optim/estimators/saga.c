/* SAGA (A. Defazio, F. Bach, S. Lacoste-Julien, NIPS 2014):
 *     g = t/(W p_r) + d/W,  t = w_r (∇f_r(x) - y_r),  d = Σ w_r y_r
 * with d from before the visit, p_r the probability of row r; see table.h for the names. For whatever
 * table, the mean of g over the draw of r is ∇f(x), also under non-uniform sampling; init=seen divides d
 * by the weight seen so far (as scikit-learn does), which is not unbiased until all have been. */
#include "table.h"

#include "../internal.h"

static const sw_option options[] = {TABLE_OPTIONS(
    FROM_ZERO, ONE_3L,
    "y = 0 and d over the samples seen so far; y = 0; a full pass first; the same less its mean; "
    "n steps of SGD")};

static int64_t size(const sw_slot_sizes *s) {
    return swo_table_size("saga", s);
}
static const sw_slot slots[] = {TABLE_SLOTS(size)};

static sw_status estimate(sw_estimate *e, const void *x, void *g) {
    swo_visit v;
    SW_TRY(swo_table_visit(e, x, &v));
    const bool sgd = swo_table_sgd(e);
    const double whole = swo_table_whole(e, &v),
                 new_weight = swo_table_part(1, sgd ? v.weight : whole * v.probability),
                 old_weight = swo_table_part(1, swo_table_divisor(e, &v));
    swo_combine(e->type, e->dim, new_weight, v.change, sgd ? 0 : old_weight, sgd ? NULL : e->slot[SUM], g);
    return swo_table_judge(e, x, g);
}

const sw_estimator swo_saga = {.size = sizeof(sw_estimator), .name = "saga",
                               .summary = "SAG without bias: the new row's change in full",
                               .source = "Defazio, Bach, Lacoste-Julien, NIPS 2014", .options = options,
                               .slots = slots, .scalars = swo_table_scalars,
                               .flags = SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_ONCE | SW_ESTIMATOR_OWN_IDS,
                               .start = swo_table_start, .sample = swo_table_sample,
                               .cost = "1 gradient of a row, and a value or more where L is searched for",
                               .estimate = estimate, .commit = swo_table_commit,
                              .added_scalars = ADDED_SCALARS};
