/* Mini-batch: g = 1/|B| Σ_{i in B} ∇f_i(x), B the next batch of a shuffled epoch. */
#include "../methods.h"

#include <math.h>

static const sw_option options[] = {
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 64, .low = 1, .high = 1e9,
     .help = "samples in a step", .search_low = 16, .search_high = 512, .search_log = true},
    {.name = "order", .kind = SW_OPTION_CHOICE, .value = SW_SHUFFLE,
     .choices = "shuffle|sequential|replacement", .help = "how samples are drawn"},
    {0}};

static sw_status estimate(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
}

const sw_estimator swo_minibatch = {.size = sizeof(sw_estimator), .name = "minibatch",
                                    .summary = "the mean gradient of a batch",
                                    .source = "Robbins, Monro 1951", .options = options,
                                    .flags = SW_ESTIMATOR_DIRECT, .cost = "1 gradient of a batch",
                                    .estimate = estimate};
