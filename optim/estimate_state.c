/* Further functions for estimators (see estimate.c for evaluations): memory, frozen parameters, penalties. */
#include "optim/estimate.h"
#include "optim/frozen.h"
#include "optim/penalty.h"

void *sw_estimate_memory(sw_estimate *e, int index, size_t bytes) {
    swo_estimate *s = swo_estimate_of(e);
    if (index < 0 || index >= SWO_MEMORIES) {
        sw_fail(SW_ERR_ARGUMENT, "estimate_memory: %d is outside 0 to %d", index, SWO_MEMORIES - 1);
        return NULL;
    }
    if (!s->memory[index] || s->memory_bytes[index] != bytes) {
        void *fresh = sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, e->method->name, "memory", 1, bytes);
        if (!fresh)
            return NULL;
        sw_free(s->memory[index]);
        s->memory[index] = fresh;
        s->memory_bytes[index] = bytes;
    }
    return s->memory[index];
}

void sw_estimate_zero_frozen(const sw_estimate *e, void *g) {
    swo_zero_frozen(e->optim, g);
}

int64_t sw_estimate_frozen_set(const sw_estimate *e) {
    int64_t set = 0;
    for (int i = 0; i < sw_params_count(e->params); i++)
        set = swo_frozen_set_add(set, sw_params_at(e->params, i)->frozen);
    return set;
}

double sw_estimate_penalty_now(const sw_estimate *e) {
    return swo_penalty_in_step(e->optim);
}

sw_status sw_estimate_penalized_norm(sw_estimate *e, const void *x, void *g, double *norm) {
    return swo_penalized_norm(e->optim, x, g, norm);
}

sw_status sw_estimate_check_penalty(const sw_estimate *e, double l2) {
    if (l2 == 0 || l2 == e->penalty)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT,
                   "estimator %s: l2=%g, but weight_decay of the rule is %g; state the penalty once, as "
                   "weight_decay (sgd weight_decay=%g), and leave l2 out",
                   e->method->name, l2, e->penalty, l2);
}
