/* The first sw_optim_minimize: the estimator meets its objective. And what estimators call. */
#include "optim/internal.h"
#include "optim/methods.h"

#include <math.h>

void swo_free_estimate(swo_estimate *e) {
    while (e) {
        swo_estimate *inner = e->inner;
        for (int i = 0; i < SW_MAX_SLOTS; i++)
            sw_free(e->e.slot[i]);
        for (int i = 0; i < SWO_SCRATCH; i++)
            sw_free(e->scratch[i]);
        sw_free(e->squares);
        sw_free(e->lazy);
        sw_free(e->ids);
        if (!inner) /* a wrapper borrows its inner one's sampler */
            sw_sampler_free(e->e.sampler);
        sw_free(e);
        e = inner;
    }
}

static sw_status make_slots(swo_estimate *e, const sw_objective *f) {
    const sw_slot *slots = e->e.method->slots;
    sw_slot_sizes sizes = {.n = e->e.n, .dim = e->e.dim, .option = e->e.option, .type = e->e.type};
    if (sw_objective_is_glm(f)) {
        sizes.features = f->features;
        sizes.outputs = f->outputs;
    }
    for (int i = 0; slots && slots[i].name; i++) {
        if (!swo_slot_needed(&slots[i], e->e.option, e->e.type))
            continue;
        const uint64_t failures = sw_failure_count();
        int64_t count = slots[i].count ? slots[i].count(&sizes) : e->e.dim;
        if (count < 0)
            return sw_failure_count() != failures ? sw_last_failure()
                                                  : sw_fail(SW_ERR_ARGUMENT, "estimator %s: slot %s has no size",
                                                            e->e.method->name, slots[i].name);
        if (slots[i].start == SW_START_X && count != e->e.dim)
            return sw_fail(SW_ERR_ARGUMENT,
                           "estimator %s: slot %s starts as a copy of x, which has %lld elements, and "
                           "its count gives it %lld",
                           e->e.method->name, slots[i].name, (long long)e->e.dim, (long long)count);
        size_t size = swo_slot_size(&slots[i], e->e.type);
        e->e.slot[i] = sw_alloc_array(count, size);
        if (!e->e.slot[i])
            return SW_ERR_MEMORY;
        if (slots[i].start == SW_START_X)
            memcpy(e->e.slot[i], sw_params_x(e->e.params), (size_t)count * size);
        e->slot_count[i] = count;
        e->bytes += (size_t)count * size;
    }
    return SW_OK;
}

static sw_status make_sampler(sw_optim *o, swo_estimate *e) {
    const sw_option *options = e->e.method->options;
    int batch = swo_index(options, "batch"), order = swo_index(options, "order");
    if (batch < 0 || (e->e.method->flags & SW_ESTIMATOR_OWN_IDS))
        return SW_OK;
    sw_order how = order < 0 ? SW_SHUFFLE : (sw_order)(int)e->e.option[order];
    e->e.sampler = sw_sampler_new(e->e.n, (int64_t)e->e.option[batch], how, o->seed);
    return e->e.sampler ? SW_OK : SW_ERR_MEMORY;
}

static bool any_auto(const sw_optim *o) {
    for (int i = 0; i < o->groups; i++) {
        int lr = swo_index(o->group[i].rule->options, "lr");
        if (lr >= 0 && isnan(o->group[i].base.value[lr]))
            return true;
    }
    return false;
}

/* Durations in steps as far as they are known: the length of the run may come later. */
static sw_status first_options(const sw_optim *o, swo_estimate *e) {
    const sw_option *table = e->e.method->options;
    swo_values values = e->values;
    for (int i = 0; i < swo_count(table); i++)
        if (values.unit[i] == '%' && o->total <= 0) {
            values.unit[i] = 's';
            values.value[i] = NAN;
        }
    return swo_in_steps(o, e->e.method->name, table, &values, 0, e->resolved);
}

/* Chooses the batch where the option is 0. Over dense rows in memory, small batches take less time per sample than
 * single samples, and more epochs; measured on data of 178 to 100,000 samples. Over sparse rows a step costs
 * O(nonzeros), and batches gain nothing. On a tape a row of the table is one sample by default. The value then counts
 * as given. */
static void choose_batch(swo_estimate *e, const sw_objective *f) {
    enum { ROWS = 64, MOST = 64 };
    const int at = swo_index(e->e.method->options, "batch");
    const bool table = e->e.method == &swo_sag || e->e.method == &swo_saga, sparse = f->glm && f->glm->sparse;
    double batch = table || sparse ? 1 : MOST;
    e->chose_batch = at >= 0 && e->values.value[at] == 0 && (table || e->e.method == &swo_svrg);
    if (!e->chose_batch)
        return;
    while (table && f->glm && !sparse && 2 * batch <= MOST && 2 * batch * ROWS <= (double)f->n)
        batch *= 2;
    e->values.value[at] = e->resolved[at] = batch;
}

static sw_status start(sw_optim *o, swo_estimate *e, const sw_objective *f) {
    if (e->inner)
        SW_TRY(start(o, e->inner, f));
    e->e.objective = f;
    e->e.params = o->params;
    e->e.tape = o->tape;
    e->e.type = o->type;
    e->e.n = f->n;
    e->e.dim = o->dim;
    e->e.optim = o;
    e->e.seed = o->seed;
    e->e.step = 1;
    choose_batch(e, f);
    if (e->inner)
        e->e.sampler = e->inner->e.sampler;
    else
        SW_TRY(make_sampler(o, e));
    e->e.wants_lr = any_auto(o);
    e->penalty = swo_penalty(o);
    if (e->inner)
        e->e.lr = e->inner->e.lr;
    e->e.per_epoch = e->inner ? e->inner->e.per_epoch : e->e.sampler ? sw_sampler_steps_per_epoch(e->e.sampler) : 0;
    o->per_epoch = e->e.per_epoch;
    SW_TRY(first_options(o, e));
    SW_TRY(make_slots(e, f));
    if (e->e.method->start)
        SW_TRY(swo_returned("estimator", e->e.method->name, "start", false, e->e.method->start(&e->e)));
    o->per_epoch = e->e.per_epoch;
    return SW_OK;
}

/* What `start` has set, for a bind that fails. */
static void forget_start(swo_estimate *e) {
    if (e->chose_batch)
        e->values.value[swo_index(e->e.method->options, "batch")] = 0;
    sw_free(e->squares);
    sw_free(e->lazy);
    e->squares = e->lazy = NULL;
    e->lazy_bytes = 0;
    e->x_low = NULL;
    e->run = NULL;
    e->fits = NULL;
    e->lr_with = NULL;
    memset(e->scalar, 0, sizeof e->scalar);
    e->e.lr = NAN;
}

sw_status swo_bind(sw_optim *o, const sw_objective *f) {
    if (!f)
        return sw_fail(SW_ERR_ARGUMENT, "minimize: the objective is NULL");
    if (o->objective == f)
        return SW_OK;
    if (o->objective)
        return sw_fail(SW_ERR_STATE, "minimize: the optimizer is bound to another objective");
    if (f->params != o->params)
        return sw_fail(SW_ERR_ARGUMENT, "minimize: the objective is of other parameters");
    if (f->n < 1)
        return sw_fail(SW_ERR_ARGUMENT, "minimize: an objective of %lld samples", (long long)f->n);
    SW_TRY(sw_objective_check(f));
    if (!sw_optim_tape(o))
        return SW_ERR_MEMORY;
    if (!o->view && !(o->view = sw_gradient_view(o->params)))
        return SW_ERR_MEMORY;
    for (int i = 0; i < o->groups; i++)
        o->group[i].penalty = swo_group_penalty(&o->group[i]);
    sw_status status = start(o, o->estimate, f);
    if (status != SW_OK) { /* as if it had not been tried */
        for (swo_estimate *e = o->estimate; e; e = e->inner) {
            for (int i = 0; i < SW_MAX_SLOTS; i++) {
                sw_free(e->e.slot[i]);
                e->e.slot[i] = NULL;
            }
            if (!e->inner)
                sw_sampler_free(e->e.sampler);
            e->e.sampler = NULL;
            e->bytes = 0;
            forget_start(e);
        }
        return status;
    }
    o->objective = f;
    return SW_OK;
}

sw_tape *sw_optim_tape(sw_optim *o) {
    if (!o)
        sw_fail(SW_ERR_ARGUMENT, "tape: the optimizer is NULL");
    else if (!o->tape)
        o->tape = sw_tape_new();
    return o ? o->tape : NULL;
}

sw_status sw_optim_bind(sw_optim *o, const sw_objective *objective) {
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "bind: the optimizer is NULL");
    return swo_bind(o, objective);
}

int64_t sw_optim_steps_per_epoch(sw_optim *o, const sw_objective *f) {
    return o && swo_bind(o, f) == SW_OK ? o->per_epoch : 0;
}

/* ---- What estimators call ---- */

void swo_zero_frozen(const sw_optim *o, void *g) {
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const sw_param *p = sw_params_at(o->params, i);
        if (p->frozen && !p->tied)
            memset((char *)g + (size_t)p->offset * swo_size(o), 0, (size_t)p->count * swo_size(o));
    }
}

sw_status sw_estimate_gradient(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value,
                               void *g) {
    sw_optim *o = e->optim;
    double ignored;
    sw_gradient_set_data(o->view, g);
    if (!value)
        value = &ignored;
    bool move = o->statistics && ids == e->ids;
    if (move)
        o->statistics = false;
    sw_tape_set_switch(e->tape, SW_UPDATE_BUFFERS, move);
    sw_status status =
        ids ? sw_objective_gradient(e->objective, e->tape, x, ids, count, e->draw, value, o->view)
            : sw_objective_gradient_chunked(e->objective, e->tape, x, NULL, count, 0, e->draw, value, o->view);
    sw_tape_set_switch(e->tape, SW_UPDATE_BUFFERS, false);
    SW_TRY(status);
    if (value == &e->value)
        e->weight = sw_gradient_weight(o->view);
    swo_zero_frozen(o, g); /* objectives without a tape know nothing of frozen parameters */
    return sw_vector_norm(o->type, o->dim, g, &o->checked_norm);
}

sw_status sw_estimate_value(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value) {
    return sw_objective_value(e->objective, e->tape, x, ids, count, e->draw, value);
}

sw_status sw_estimate_glm_derivatives(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value,
                                      void *s) {
    double norm;
    SW_TRY(sw_objective_glm_derivatives(e->objective, e->tape, x, ids, count, e->draw, value, s));
    if (value == &e->value)
        e->weight = sw_tape_loss_weight(e->tape);
    return sw_vector_norm(e->type, count * e->objective->outputs, s, &norm);
}

sw_status sw_estimate_inner(sw_estimate *e, const void *x, void *g) {
    sw_estimate *inner = e->inner;
    SW_TRY(swo_returned("estimator", inner->method->name, "estimate", true, inner->method->estimate(inner, x, g)));
    swo_zero_frozen(e->optim, g); /* tables and snapshots may hold gradients of parameters that were frozen later */
    if (isnan(e->value)) {
        e->value = inner->value;
        e->weight = inner->weight;
    }
    if (isnan(e->lr))
        e->lr = inner->lr;
    return SW_OK;
}

sw_status sw_estimate_glm_combine(sw_estimate *e, const int64_t *ids, int64_t count, const void *c, double beta,
                                  void *g) {
    return sw_objective_glm_combine(e->objective, e->tape, ids, count, c, beta, g);
}

/* sw_estimate is the first member of what the pipeline keeps. */
void *sw_estimate_scratch(sw_estimate *e, int index, int64_t count) {
    swo_estimate *s = swo_estimate_of(e);
    if (index < 0 || index >= SWO_SCRATCH || count < 0) {
        sw_fail(SW_ERR_ARGUMENT, "estimate_scratch: %d is outside 0 to %d", index, SWO_SCRATCH - 1);
        return NULL;
    }
    if (count == 0)
        count = e->dim;
    if (s->room[index] < count) {
        void *more = sw_alloc_array(count, sw_dtype_size(e->type));
        if (!more)
            return NULL;
        if (s->scratch[index])
            memcpy(more, s->scratch[index], (size_t)s->room[index] * sw_dtype_size(e->type));
        sw_free(s->scratch[index]);
        s->scratch[index] = more;
        s->room[index] = count;
    }
    return s->scratch[index];
}

int64_t *sw_estimate_ids(sw_estimate *e, int64_t count) {
    swo_estimate *s = swo_estimate_of(e);
    if (s->ids_room < count || !s->ids) {
        int64_t *more = sw_alloc_array(count, sizeof *more);
        if (!more)
            return NULL;
        sw_free(s->ids);
        s->ids = more;
        s->ids_room = count;
    }
    return s->ids;
}
