/* The table of SAG and SAGA after a first full pass: init=full and init=centered. */
#include "optim/estimators/gradient_table.h"

#include <string.h>

/* A loss that is a sum has no weight, but the table needs means. */
sw_status swo_table_check_weight(const sw_estimate *e, double weight) {
    if (weight != SW_SUMMED)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT,
                   "estimator %s: the loss is a sum over the samples (SW_SUM); a table needs "
                   "means (SW_MEAN)",
                   e->method->name);
}

/* Adds the weight of the `samples` samples that were evaluated last. */
static sw_status table_add_weight(sw_estimate *e, int64_t samples) {
    const double weight = sw_tape_loss_weight(e->tape);
    swo_table_scalars_of(e)->excess += weight - (double)samples;
    return swo_table_check_weight(e, weight);
}

static sw_status table_fill_glm(sw_estimate *e, const void *x) {
    enum { CHUNK = 1000 };
    int64_t ids[CHUNK];
    sw_status status = SW_OK;
    for (int64_t first = 0; first < e->n && status == SW_OK; first += CHUNK) {
        int64_t count = e->n - first < CHUNK ? e->n - first : CHUNK;
        void *s =
            (char *)swo_table_slots_of(e)->table + (size_t)(first * e->objective->outputs) * sw_dtype_size(e->type);
        for (int64_t i = 0; i < count; i++)
            ids[i] = first + i;
        status = sw_estimate_glm_derivatives(e, x, ids, count, NULL, s);
        if (status == SW_OK)
            status = sw_estimate_glm_combine(e, ids, count, s, 1, swo_table_slots_of(e)->sum);
        if (status == SW_OK)
            status = table_add_weight(e, count);
    }
    return status;
}

static sw_status table_fill_rows(sw_estimate *e, const void *x) {
    const int64_t batch = swo_table_batch(e);
    int64_t *ids = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, batch, sizeof *ids);
    sw_status status = ids ? SW_OK : SW_ERR_MEMORY;
    for (int64_t row = 0; row < swo_table_rows(e) && status == SW_OK; row++) {
        int64_t count = e->n - row * batch < batch ? e->n - row * batch : batch;
        for (int64_t i = 0; i < count; i++)
            ids[i] = row * batch + i;
        status = sw_estimate_gradient(e, x, ids, count, NULL, swo_table_entry(e, row));
        if (status == SW_OK)
            status = table_add_weight(e, count);
        sw_vector_add_compensated(e->type, e->dim, sw_tape_loss_weight(e->tape), swo_table_entry(e, row),
                                  swo_table_slots_of(e)->sum, swo_table_slots_of(e)->sum_low);
    }
    sw_free(ids);
    return status;
}

/* y_r ← ∇f_r(x⁰). With init=centered it is y_r ← ∇f_r(x⁰) - ∇f(x⁰), as in the theorem, with the sum 0. The table of a
 * generalized linear model cannot contain the second term. It is stored in `center`, and added at the first visit to
 * each row. */
sw_status swo_table_fill(sw_estimate *e, const void *x) {
    const size_t bytes = (size_t)e->dim * sw_dtype_size(e->type);
    const swo_table_slots *slots = swo_table_slots_of(e);
    swo_table_scalars *scalars = swo_table_scalars_of(e);
    memset(slots->sum, 0, bytes);
    memset(slots->sum_low, 0, bytes);
    scalars->excess = 0;
    SW_TRY(sw_objective_is_glm(e->objective) ? table_fill_glm(e, x) : table_fill_rows(e, x));
    const double whole = (double)e->n + scalars->excess;
    if (!(whole > 0))
        return sw_fail(SW_ERR_ARGUMENT,
                       "estimator %s: the weights of all samples add up to 0 (are all of them "
                       "ignored?)",
                       e->method->name);
    if (swo_table_options_of(e)->init == CENTERED) {
        sw_vector_axpby(e->type, e->dim, 1 / whole, slots->sum, 0, NULL, slots->center);
        memset(slots->sum, 0, bytes);
        memset(slots->sum_low, 0, bytes);
    }
    scalars->filled = 1; /* a skipped step restores 0, and the table is then filled again */
    return SW_OK;
}
