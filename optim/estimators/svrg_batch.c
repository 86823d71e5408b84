/* A batch of SVRG: its number of samples, its part of an epoch, and whether it begins a period (svrg.h). */
#include "optim/estimators/svrg.h"

#include <math.h>

/* The period in steps. It may be larger than any int64_t; then there is only one snapshot. */
static double svrg_period(const sw_estimate *e) {
    const swo_svrg_options *o = swo_svrg_options_of(e);
    return ceil(o->period > 0 ? o->period : 2 * (double)e->n / fmin(o->batch, (double)e->n));
}

/* The full gradient is 0 for parameters that were frozen when it was computed, so that a change of the frozen
 * parameters requires another snapshot. */
bool swo_svrg_due(const sw_estimate *e) {
    const swo_svrg_scalars *s = swo_svrg_scalars_of(e);
    return s->since == 0 || (double)(e->step - s->since) >= svrg_period(e) || s->frozen != sw_estimate_frozen_set(e);
}

int64_t swo_svrg_batch(const sw_estimate *e) {
    const double batch = swo_svrg_options_of(e)->batch;
    return batch < (double)e->n ? (int64_t)batch : e->n;
}

double swo_svrg_part(const sw_estimate *e) {
    if (e->weight == SW_SUMMED)
        return e->per_epoch > 0 ? (double)e->per_epoch : (double)e->n / (double)e->count;
    return e->per_epoch > 0 ? (double)e->count * (double)e->per_epoch / (double)e->n : 1;
}
