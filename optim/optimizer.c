/* Creates an optimizer from specs, and frees it. */
#include "optim/optimizer.h"
#include "optim/groups.h"
#include "optim/loss_scale.h"
#include "optim/loss_scale_spec.h"
#include "optim/method_status.h"
#include "optim/norms.h"
#include "optim/option_table.h"
#include "optim/registry.h"
#include "optim/search_step.h"
#include "optim/spec.h"
#include "optim/stored_gradient.h"

#include <math.h>
#include <string.h>

/* ---- Schedules and line searches ---- */

/* Removes "on=NAME", which may be at any position, from the options of a schedule. */
static sw_status schedule_take_on(char *text, char on[64]) {
    bool taken = false;
    memcpy(on, "lr", sizeof "lr");
    for (char *p = text; (p = strstr(p, "on=")) != NULL; p++) {
        if (p != text && !strchr(" \t\n", p[-1]))
            continue;
        const char *end = swo_spec_word(p + 3, on);
        if (!*on)
            return sw_fail(SW_ERR_ARGUMENT, "schedule: on= needs the name of an option");
        if (taken)
            return sw_fail(SW_ERR_ARGUMENT,
                           "schedule: on= is given twice; separate the schedules of several options by ;");
        taken = true;
        memset(p, ' ', (size_t)(end - p));
    }
    return SW_OK;
}

/* An error if no rule has the option `on`, or if it is not a real number. */
static sw_status schedule_check_on(const sw_optim *o, const char *on) {
    const char *names[4 * SW_MAX_OPTIONS]; /* candidates for a suggestion */
    int count = 0;
    bool found = false;
    for (int i = 0; i < o->groups; i++) {
        const sw_option *table = o->group[i].rule->options;
        int at = swo_option_index(table, on);
        for (int k = 0; k < swo_option_count(table) && count < 4 * SW_MAX_OPTIONS; k++)
            if (table[k].kind == SW_OPTION_REAL)
                names[count++] = table[k].name;
        if (at >= 0 && table[at].kind != SW_OPTION_REAL)
            return sw_fail(SW_ERR_ARGUMENT, "schedule: %s of rule %s is not a real number and cannot be scaled", on,
                           o->group[i].rule->name);
        found |= at >= 0;
    }
    if (!found)
        return sw_fail(SW_ERR_ARGUMENT, "schedule: no rule of this optimizer has an option %s%s", on,
                       sw_suggest(on, count, names));
    return SW_OK;
}

static sw_status search_parse(sw_optim *o, const sw_line_search *search, const char *options) {
    if (o->search)
        return sw_fail(SW_ERR_ARGUMENT, "schedule: two line searches");
    o->search = search;
    SW_TRY(swo_spec_parse("line search", search->name, search->options, NULL, options, &o->search_values));
    return search->check
               ? swo_method_status("line search", search->name, "check", false, search->check(o->search_values.value))
               : SW_OK;
}

static sw_status schedule_parse(sw_optim *o, const char *text, size_t length) {
    char spec[512], name[64], on[64];
    if (length >= sizeof spec)
        return sw_fail(SW_ERR_ARGUMENT, "schedule: the spec is too long");
    memcpy(spec, text, length);
    spec[length] = 0;
    SW_TRY(schedule_take_on(spec, on));
    const char *options = swo_spec_word(spec, name);
    const sw_line_search *search = swo_method_lookup(SWO_SEARCH, name);
    if (search)
        return search_parse(o, search, options);
    const sw_schedule *method = swo_method_find(SWO_SCHEDULE, name);
    if (!method)
        return sw_last_failure();
    if (o->schedules == SWO_SCHEDULES)
        return sw_fail(SW_ERR_ARGUMENT, "schedule: at most %d", SWO_SCHEDULES);
    swo_schedule *s = &o->schedule[o->schedules++];
    s->method = method;
    memcpy(s->on, on, sizeof on);
    SW_TRY(swo_spec_parse("schedule", name, method->options, swo_schedule_options, options, &s->values));
    return schedule_check_on(o, on);
}

/* Returns NULL if the step of the rule is linear in its learning rate; else the reason, or "" if the rule gives
 * none. */
static const char *search_why_not_linear(const swo_group *group) {
    const sw_rule *r = group->rule;
    if (!(r->flags & SW_RULE_LINEAR))
        return "";
    return SWO_RULE_HAS(r, not_linear) ? r->not_linear(group->base.value) : NULL;
}

static sw_status schedules_parse(sw_optim *o, const char *spec) {
    for (const char *at = spec; at;) {
        const char *end = strchr(at, ';');
        SW_TRY(schedule_parse(o, at, end ? (size_t)(end - at) : strlen(at)));
        at = end ? end + 1 : NULL;
    }
    if (!o->search)
        return SW_OK;
    for (int i = 0; i < o->schedules; i++)
        if (strcmp(o->schedule[i].on, "lr") == 0)
            return sw_fail(SW_ERR_ARGUMENT, "line search %s: it determines lr, so that schedule %s cannot scale it",
                           o->search->name, o->schedule[i].method->name);
    for (int i = 0; i < o->groups; i++) {
        const char *why = search_why_not_linear(&o->group[i]);
        if (why)
            return sw_fail(SW_ERR_ARGUMENT,
                           "line search %s: the step of rule %s is not its learning rate times a direction%s%s; use "
                           "a schedule, or another rule, such as lbfgs",
                           o->search->name, o->group[i].rule->name, *why ? ": " : "", why);
    }
    return swo_search_alloc(o);
}

/* ---- Estimators ---- */

/* The flags of a wrapper. Those about the gradient also depend on the inner estimator. */
static unsigned estimator_wrapper_flags(const sw_estimator *wrapper, unsigned inner) {
    const unsigned of_gradient = SW_ESTIMATOR_DIRECT | SW_ESTIMATOR_EXACT,
                   claimed = wrapper->estimate ? wrapper->flags & of_gradient : of_gradient;
    return (wrapper->flags & ~of_gradient) | (claimed & inner);
}

static sw_status estimator_parse(const char *spec, swo_estimate **made, int depth, const swo_wrapper *outer) {
    char name[64];
    const char *options = swo_spec_word(spec, name);
    const sw_estimator *method = swo_method_find(SWO_ESTIMATOR, name);
    if (!method)
        return sw_last_failure();
    if (depth > 4)
        return sw_fail(SW_ERR_ARGUMENT, "estimator: wrappers inside wrappers, more than 4 deep");
    swo_estimate *e = *made = sw_alloc(sizeof *e);
    if (!e)
        return SW_ERR_MEMORY;
    e->e.method = method;
    SW_TRY(swo_spec_check_inner(name, method->options, outer, options));
    SW_TRY(swo_spec_parse("estimator", name, method->options, NULL, options, &e->values));
    memcpy(e->resolved, e->values.value, sizeof e->resolved);
    e->e.option = e->resolved;
    e->e.scalar = e->scalar;
    e->e.lr = e->e.value = e->e.weight = NAN;
    e->flags = method->flags;
    if (method->flags & SW_ESTIMATOR_WRAPPER) {
        const swo_wrapper wrapper = {name, method->options, outer};
        SW_TRY(estimator_parse(e->values.spec[0] ? e->values.spec : "minibatch", &e->inner, depth + 1, &wrapper));
        e->e.inner = &e->inner->e;
        e->flags = estimator_wrapper_flags(method, e->inner->flags);
        for (const swo_estimate *in = e->inner; in && (method->flags & SW_ESTIMATOR_AGAIN); in = in->inner)
            if (in->e.method->flags & SW_ESTIMATOR_ONCE)
                return sw_fail(SW_ERR_ARGUMENT,
                               "estimator %s of=%s: %s evaluates more than once per step, but the tables of %s allow "
                               "one evaluation",
                               name, in->e.method->name, name, in->e.method->name);
    }
    return SW_OK;
}

/* The default depends on the rules, so that they must be parsed first. */
static sw_status estimator_parse_outer(sw_optim *o, const char *spec) {
    const sw_rule *exact = NULL;
    for (int i = 0; i < o->groups; i++)
        if (o->group[i].rule->flags & SW_RULE_EXACT_GRADIENT)
            exact = o->group[i].rule;
    SW_TRY(estimator_parse(spec ? spec : exact ? "full" : "minibatch", &o->estimate, 0, NULL));
    const sw_estimator *method = o->estimate->e.method;
    if (exact && !(o->estimate->flags & SW_ESTIMATOR_EXACT))
        return sw_fail(SW_ERR_ARGUMENT,
                       "rule %s: errors of gradients accumulate in its steps, and the gradients of estimator %s are "
                       "not exact; use estimator full, or another rule",
                       exact->name, method->name);
    return SW_OK;
}

/* The trials of a line search evaluate the samples of the step. Therefore the gradient of the innermost estimator must
 * depend on these samples alone. A wrapper may change the direction. */
static sw_status search_check_estimator(const sw_optim *o) {
    const swo_estimate *e = o->estimate;
    while (e->inner)
        e = e->inner;
    if (e->flags & SW_ESTIMATOR_DIRECT)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT,
                   "line search %s: the gradient of estimator %s is not that of the "
                   "loss which the search would evaluate",
                   o->search->name, e->e.method->name);
}

/* ---- Averages ---- */

static sw_status average_make_slots(sw_optim *o) {
    const sw_slot *slots = o->average->slots;
    for (int i = 0; slots && slots[i].name; i++) {
        if (!swo_slot_needed(&slots[i], o->average_values.value, o->type))
            continue;
        const sw_slot_sizes sizes = {.dim = o->dim, .option = o->average_values.value, .type = o->type};
        o->average_count[i] = slots[i].count ? slots[i].count(&sizes) : o->dim;
        if (o->average_count[i] < 0)
            return sw_fail(SW_ERR_ARGUMENT, "average %s: slot %s has no size", o->average->name, slots[i].name);
        if (o->average_count[i] == 0 && slots[i].count)
            continue;
        o->average_slot[i] = sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, o->average->name, slots[i].name,
                                                  o->average_count[i], swo_slot_size(&slots[i], o->type));
        if (!o->average_slot[i])
            return SW_ERR_MEMORY;
    }
    return SW_OK;
}

static sw_status average_fail_point(const sw_optim *o, const char *name) {
    int i = 0;
    while (!o->group[i].rule->point)
        i++;
    return sw_fail(SW_ERR_ARGUMENT,
                   "average %s: rule %s determines the point of evaluation itself; omit the average, or choose another "
                   "rule",
                   name, o->group[i].rule->name);
}

static sw_status average_parse(sw_optim *o, const char *spec) {
    char name[64];
    const char *options = swo_spec_word(spec, name);
    o->average = swo_method_find(SWO_AVERAGE, name);
    if (!o->average)
        return sw_last_failure();
    SW_TRY(swo_spec_parse("average", name, o->average->options, NULL, options, &o->average_values));
    if (strcmp(o->average->name, "none") == 0)
        o->average = NULL;
    else if (o->rules_point)
        return average_fail_point(o, name);
    if (o->average)
        SW_TRY(average_make_slots(o));
    if (o->rules_point || (o->average && o->average->point)) {
        o->point = sw_alloc_array_named(SW_ACCOUNT_TEMPORARIES, "point", "x", o->dim, swo_size(o));
        if (!o->point)
            return SW_ERR_MEMORY;
    }
    return SW_OK;
}

/* ---- The optimizer ---- */

static sw_status optim_fill(sw_optim *o, const sw_optim_options *options) {
    SW_TRY(swo_groups_parse(o, options->rule ? options->rule : "sgd"));
    SW_TRY(swo_groups_fill(o));
    if (options->schedule)
        SW_TRY(schedules_parse(o, options->schedule));
    SW_TRY(estimator_parse_outer(o, options->estimator));
    if (o->search)
        SW_TRY(search_check_estimator(o));
    SW_TRY(swo_tensor_gradient_alloc(o)); /* after the schedules, because it depends on the line search */
    SW_TRY(average_parse(o, options->average ? options->average : "none"));
    if (!(options->clip >= 0) || isinf(options->clip))
        return sw_fail(SW_ERR_ARGUMENT, "clip = %g; 0 (none) or more is needed", options->clip);
    SW_TRY(swo_loss_scale_parse(o, options->loss_scale));
    if (options->total_steps < 0)
        return sw_fail(SW_ERR_ARGUMENT, "total_steps = %lld; 0 (not known) or more is needed",
                       (long long)options->total_steps);
    o->clip = options->clip;
    o->seed = options->seed;
    o->total = options->total_steps;
    o->length = o->total ? SWO_LENGTH_PROGRAM : SWO_LENGTH_NONE;
    o->norm = o->loss_weight = NAN;
    return SW_OK;
}

sw_optim *sw_optim_new_with_options(sw_params *params, const sw_optim_options *options) {
    if (!params) { /* if an error is already pending, sw_fail keeps it */
        sw_fail(SW_ERR_ARGUMENT, "optimizer: the parameters are NULL (is the model built?)");
        return NULL;
    }
    if (!sw_params_built(params)) {
        sw_fail(SW_ERR_STATE, "optimizer: the parameters are not built");
        return NULL;
    }
    sw_optim *o = sw_alloc(sizeof *o);
    if (!o)
        return NULL;
    o->params = params;
    o->type = o->g_type = sw_params_type(params);
    o->g_factor = 1;
    o->dim = sw_params_dim(params);
    sw_optim_options filled = {.size = sizeof filled};
    sw_status status = SW_OK;
    if (options)
        status = sw_options_copy("optimizer", "sw_optim_options", &filled, sizeof filled, options,
                                 offsetof(sw_optim_options, estimator) + sizeof(char *));
    if (status != SW_OK || optim_fill(o, &filled) != SW_OK) {
        sw_optim_free(o);
        return NULL;
    }
    swo_loss_scale_start(o);
    return o;
}

sw_optim *sw_optim_new(sw_params *params, const char *rule) {
    const sw_optim_options options = {.size = sizeof options, .rule = rule};
    return sw_optim_new_with_options(params, &options);
}

void sw_optim_free(sw_optim *o) {
    if (!o || !sw_may_free(o, "optim"))
        return;
    swo_groups_free(o);
    sw_free(o->frozen);
    sw_free(o->infinite);
    sw_free(o->workspace);
    sw_free(o->x_before);
    sw_free(o->direction);
    sw_free(o->trial);
    sw_free(o->trial_gradient);
    swo_stored_gradient_free(o);
    for (int i = 0; o->slot_before && i < o->groups * SW_MAX_SLOTS; i++)
        sw_free(o->slot_before[i]);
    sw_free(o->slot_before);
    swo_estimate_free(o->estimate);
    sw_tape_free(o->tape);
    sw_gradient_free(o->view);
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        sw_free(o->average_slot[i]), sw_free(o->average_before[i]);
    sw_free(o->point);
    swo_norms_free(o);
    sw_free(o);
}
