/* Random ids with the probabilities that logits give. */
#include "nn/draw_id.h"

#include <swale/extend.h>

#include <math.h>
#include <stdlib.h>

/* Descending, and equal values in the order of their ids. */
static int candidate_compare(const void *a, const void *b) {
    const swn_candidate *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value ? 1 : -1) : x->id < y->id ? -1 : 1;
}

/* Reads the logits, and returns the index of the largest one, the first of equal ones. */
static int64_t draw_read(const sw_array *logits, int64_t first, int64_t count, swn_candidate *candidates) {
    int64_t best = 0;
    for (int64_t i = 0; i < count; i++) {
        const double value = sw_load_element(logits->type, logits->data, first + i);
        if (isnan(value) || value == INFINITY) {
            sw_fail(SW_ERR_NONFINITE, "generate: the logit of id %lld is %g", (long long)i, value);
            return -1;
        }
        candidates[i] = (swn_candidate){value, (int32_t)i};
        if (value > candidates[best].value)
            best = i;
    }
    if (candidates[best].value == -INFINITY) {
        sw_fail(SW_ERR_NONFINITE, "generate: all logits are -inf");
        return -1;
    }
    return best;
}

/* The number of the most likely candidates, which are the first, whose values add up to at least p of all. */
static int64_t draw_nucleus(const swn_candidate *candidates, int64_t count, double p, double *sum) {
    const double least = p * *sum;
    double part = 0;
    int64_t kept = 0;
    while (kept < count && (kept == 0 || part < least))
        part += candidates[kept++].value;
    *sum = part;
    return kept;
}

int64_t swn_draw_id(const sw_array *logits, int64_t first, int64_t count, const sw_generate_options *options,
                    sw_rng *rng, swn_candidate *candidates) {
    const int64_t best = draw_read(logits, first, count, candidates);
    if (best < 0 || options->temperature == 0)
        return best;
    const double largest = candidates[best].value;
    const bool few = options->top_k > 0 && options->top_k<count, nucleus = options->top_p> 0 && options->top_p < 1;
    if (few || nucleus)
        qsort(candidates, (size_t)count, sizeof *candidates, candidate_compare);
    if (few)
        count = options->top_k;
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += candidates[i].value = exp((candidates[i].value - largest) / options->temperature);
    if (nucleus)
        count = draw_nucleus(candidates, count, options->top_p, &sum);
    double left = sw_rng_uniform(rng) * sum;
    int64_t last = 0; /* the last one with a probability above 0, for roundings of the sum */
    for (int64_t i = 0; i < count; i++) {
        if (candidates[i].value <= 0)
            continue;
        last = i;
        left -= candidates[i].value;
        if (left < 0)
            break;
    }
    return candidates[last].id;
}
