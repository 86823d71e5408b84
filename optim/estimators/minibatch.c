/* Mini-batch gradient: g = 1/|B| Σ_{i in B} ∇f_i(x), where B is the next batch of the sampler. */
#include "optim/estimators/estimators.h"

static const sw_option minibatch_options[] = {BATCH_ROWS, SHARDS_ROW, {0}};

static sw_status minibatch_start(sw_estimate *e) {
    e->passes_g = true;
    return SW_OK;
}

static sw_status minibatch_estimate(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
}

const sw_estimator swo_minibatch = {.size = sizeof(sw_estimator),
                                    .name = "minibatch",
                                    .summary = "the mean gradient of a batch",
                                    .source = "Robbins, Monro 1951",
                                    .options = minibatch_options,
                                    .flags = SW_ESTIMATOR_DIRECT,
                                    .cost = "1 gradient of a batch",
                                    .start = minibatch_start,
                                    .estimate = minibatch_estimate};
