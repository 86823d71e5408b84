/* Binds an optimizer to its objective, at the first sw_optim_minimize: the estimator gets its objective, sampler and
 * tables. */
#include "optim/binding.h"
#include "optim/method_status.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/penalty.h"

#include <math.h>
#include <string.h>

static sw_status binding_make_slot(swo_estimate *e, int i) {
    const sw_slot *slot = &e->e.method->slots[i];
    const sw_objective *f = e->e.objective;
    sw_slot_sizes sizes = {.n = e->e.n, .dim = e->e.dim, .option = e->e.option, .type = e->e.type};
    if (sw_objective_is_glm(f)) {
        sizes.features = f->features;
        sizes.outputs = f->outputs;
    }
    const uint64_t failures = sw_failure_count();
    const int64_t count = slot->count ? slot->count(&sizes) : e->e.dim;
    if (count < 0)
        return sw_failure_count() != failures
                   ? sw_last_failure()
                   : sw_fail(SW_ERR_ARGUMENT, "estimator %s: slot %s has no size", e->e.method->name, slot->name);
    if (slot->start == SW_START_X && count != e->e.dim)
        return sw_fail(SW_ERR_ARGUMENT,
                       "estimator %s: slot %s starts as a copy of x, which has %lld elements, and "
                       "its count gives it %lld",
                       e->e.method->name, slot->name, (long long)e->e.dim, (long long)count);
    const size_t size = swo_slot_size(slot, e->e.type);
    e->e.slot[i] = sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, e->e.method->name, slot->name, count, size);
    if (!e->e.slot[i])
        return SW_ERR_MEMORY;
    if (slot->start == SW_START_X)
        memcpy(e->e.slot[i], sw_params_x(e->e.params), (size_t)count * size);
    e->slot_count[i] = count;
    e->bytes += (size_t)count * size;
    return SW_OK;
}

static sw_status binding_make_slots(swo_estimate *e) {
    const sw_slot *slots = e->e.method->slots;
    for (int i = 0; slots && slots[i].name; i++)
        if (swo_slot_needed(&slots[i], e->e.option, e->e.type))
            SW_TRY(binding_make_slot(e, i));
    return SW_OK;
}

sw_status sw_estimate_make_slot(sw_estimate *e, int slot) {
    const sw_slot *slots = e->method->slots;
    int count = 0;
    while (slots && slots[count].name)
        count++;
    if (slot < 0 || slot >= count || e->slot[slot])
        return sw_fail(SW_ERR_ARGUMENT, "estimate_make_slot: estimator %s has no slot %d that can be made",
                       e->method->name, slot);
    return binding_make_slot(swo_estimate_of(e), slot);
}

static sw_status binding_make_sampler(sw_optim *o, swo_estimate *e) {
    const sw_option *options = e->e.method->options;
    int batch = swo_option_index(options, "batch"), at = swo_option_index(options, "order");
    if (batch < 0 || (e->e.method->flags & SW_ESTIMATOR_OWN_IDS))
        return SW_OK;
    sw_order order = at < 0 ? SW_SHUFFLE : (sw_order)(int)e->e.option[at];
    e->e.sampler = sw_sampler_new(e->e.n, (int64_t)e->e.option[batch], order, o->seed);
    return e->e.sampler ? SW_OK : SW_ERR_MEMORY;
}

/* Allocates the memory for evaluations in shards, if the estimator has the option. */
static sw_status binding_make_shards(swo_estimate *e) {
    const int at = swo_option_index(e->e.method->options, "shards");
    e->shards = at >= 0 ? (int64_t)e->e.option[at] : 0;
    if (e->shards < 2)
        return SW_OK;
    e->shard_work_count = sw_shard_levels(e->shards) * e->e.dim;
    e->shard_work = sw_alloc_array_for(SW_ACCOUNT_GRADIENTS, e->shard_work_count, sw_dtype_size(e->e.type));
    return e->shard_work ? SW_OK : SW_ERR_MEMORY;
}

static bool binding_any_auto(const sw_optim *o) {
    for (int i = 0; i < o->groups; i++) {
        int lr = swo_option_index(o->group[i].rule->options, "lr");
        if (lr >= 0 && isnan(o->group[i].base.value[lr]))
            return true;
    }
    return false;
}

/* Computes the options with durations in steps. The length of the run may not be known yet: such durations are NaN. */
static sw_status binding_first_options(const sw_optim *o, swo_estimate *e) {
    const sw_option *table = e->e.method->options;
    swo_values values = e->values;
    for (int i = 0; i < swo_option_count(table); i++)
        if (values.unit[i] == '%' && o->total <= 0) {
            values.unit[i] = 's';
            values.value[i] = NAN;
        }
    return swo_options_in_steps(o, e->e.method->name, table, &values, 0, e->resolved);
}

/* Replaces batch=0 if the estimator has choose_batch. The option has this value from then on. */
static void binding_choose_batch(swo_estimate *e) {
    const int at = swo_option_index(e->e.method->options, "batch");
    e->chose_batch = at >= 0 && e->values.value[at] == 0 && SWO_ESTIMATOR_HAS(e->e.method, choose_batch);
    if (e->chose_batch)
        e->values.value[at] = e->resolved[at] = (double)e->e.method->choose_batch(&e->e);
}

static sw_status binding_start(sw_optim *o, swo_estimate *e, const sw_objective *f) {
    if (e->inner)
        SW_TRY(binding_start(o, e->inner, f));
    e->e.objective = f;
    e->e.params = o->params;
    e->e.tape = o->tape;
    e->e.type = o->type;
    e->e.n = f->n;
    e->e.dim = o->dim;
    e->e.optim = o;
    e->e.seed = o->seed;
    e->e.step = 1;
    binding_choose_batch(e);
    if (e->inner)
        e->e.sampler = e->inner->e.sampler;
    else
        SW_TRY(binding_make_sampler(o, e));
    e->e.wants_lr = binding_any_auto(o);
    e->e.penalty = swo_penalty(o);
    if (e->inner)
        e->e.lr = e->inner->e.lr;
    e->e.per_epoch = e->inner ? e->inner->e.per_epoch : e->e.sampler ? sw_sampler_steps_per_epoch(e->e.sampler) : 0;
    o->per_epoch = e->e.per_epoch;
    SW_TRY(binding_first_options(o, e));
    SW_TRY(binding_make_slots(e));
    SW_TRY(binding_make_shards(e));
    if (e->e.method->start)
        SW_TRY(swo_method_status("estimator", e->e.method->name, "start", false, e->e.method->start(&e->e)));
    o->per_epoch = e->e.per_epoch;
    return SW_OK;
}

/* Resets the members that `start` may have set, if binding fails. */
static void binding_undo_start(swo_estimate *e) {
    if (e->chose_batch)
        e->values.value[swo_option_index(e->e.method->options, "batch")] = 0;
    for (int i = 0; i < SWO_MEMORIES; i++) {
        sw_free(e->memory[i]);
        e->memory[i] = NULL;
        e->memory_bytes[i] = 0;
    }
    sw_free(e->shard_work);
    e->shard_work = NULL;
    e->shard_work_count = 0;
    e->e.own = e->e.x_low = NULL;
    e->e.runs = e->e.passes_g = false;
    memset(e->scalar, 0, sizeof e->scalar);
    e->e.lr = NAN;
}

sw_status swo_bind_objective(sw_optim *o, const sw_objective *f) {
    if (!f)
        return sw_fail(SW_ERR_ARGUMENT, "optim_bind: the objective is NULL");
    if (o->objective == f)
        return SW_OK;
    if (o->objective)
        return sw_fail(SW_ERR_STATE, "optim_bind: the optimizer is bound to another objective");
    if (f->params && f->params != o->params) /* sw_objective_check reports NULL */
        return sw_fail(SW_ERR_ARGUMENT, "optim_bind: the objective is of other parameters");
    if (f->n < 1)
        return sw_fail(SW_ERR_ARGUMENT, "optim_bind: the objective has %lld samples", (long long)f->n);
    SW_TRY(sw_objective_check(f));
    if (!sw_optim_tape(o))
        return SW_ERR_MEMORY;
    if (!o->view && !(o->view = sw_gradient_view(o->params)))
        return SW_ERR_MEMORY;
    for (int i = 0; i < o->groups; i++)
        o->group[i].penalty = swo_group_penalty(&o->group[i]);
    sw_status status = binding_start(o, o->estimate, f);
    if (status != SW_OK) { /* restore the state before the call */
        for (swo_estimate *e = o->estimate; e; e = e->inner) {
            for (int i = 0; i < SW_MAX_SLOTS; i++) {
                sw_free(e->e.slot[i]);
                e->e.slot[i] = NULL;
            }
            if (!e->inner)
                sw_sampler_free(e->e.sampler);
            e->e.sampler = NULL;
            e->bytes = 0;
            binding_undo_start(e);
        }
        return status;
    }
    o->objective = f;
    return SW_OK;
}

sw_tape *sw_optim_tape(sw_optim *o) {
    if (!o)
        sw_fail(SW_ERR_ARGUMENT, "optim_tape: the optimizer is NULL");
    else if (!o->tape && (o->tape = sw_tape_new()))
        sw_tape_set_switch(o->tape, SW_UPDATE_BUFFERS,
                           false); /* sw_estimate_gradient turns it on for one evaluation of a step */
    return o ? o->tape : NULL;
}

sw_status sw_optim_bind(sw_optim *o, const sw_objective *objective) {
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "optim_bind: the optimizer is NULL");
    return swo_bind_objective(o, objective);
}

int64_t sw_optim_steps_per_epoch(sw_optim *o, const sw_objective *f) {
    return o && swo_bind_objective(o, f) == SW_OK ? o->per_epoch : 0;
}
