/* Full gradient: g = 1/n Σ ∇f_i(x), all samples in every step, in chunks. With a rule it is gradient
 * descent; the only noise left is that of dropout and the like. */
#include "../methods.h"

static sw_status start(sw_estimate *e) {
    e->per_epoch = 1;
    return SW_OK;
}

/* Without a `sample` of its own and without batches, ids is NULL and count n. */
static sw_status estimate(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
}

const sw_estimator swo_full = {.size = sizeof(sw_estimator), .name = "full",
                               .summary = "the gradient of all samples", .source = "Cauchy 1847",
                               .flags = SW_ESTIMATOR_DIRECT, .start = start,
                               .cost = "1 gradient of all n samples", .estimate = estimate};
