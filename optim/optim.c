/* Making an optimizer from specs, and what it tells about itself. */
#include "optim/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

size_t swo_size(const sw_optim *o) {
    return sw_dtype_size(o->type);
}

/* ---- Selectors: role=R, name=PATTERN, rank=N ---- */

static bool matches(const char *pattern, const char *text) {
    if (*pattern == 0)
        return *text == 0;
    if (*pattern == '*')
        return matches(pattern + 1, text) || (*text && matches(pattern, text + 1));
    return *text && (*pattern == '?' || *pattern == *text) && matches(pattern + 1, text + 1);
}

static bool selects(const char *selector, const sw_param *p) {
    if (!selector)
        return true;
    if (strncmp(selector, "role=", 5) == 0)
        return strcmp(selector + 5, sw_role_name(p->role)) == 0;
    if (strncmp(selector, "name=", 5) == 0)
        return matches(selector + 5, p->name);
    return selector[5] - '0' == p->rank; /* rank=, one digit: check_selector */
}

static sw_status check_selector(const char *selector) {
    if (strncmp(selector, "name=", 5) == 0 && selector[5])
        return SW_OK;
    if (strncmp(selector, "rank=", 5) == 0 && selector[5] >= '0' && selector[5] <= '8' && !selector[6])
        return SW_OK;
    if (strncmp(selector, "role=", 5) == 0) {
        const char *names[SW_ROLE_OTHER + 1];
        for (int r = 0; r <= SW_ROLE_OTHER; r++) {
            names[r] = sw_role_name((sw_role)r);
            if (strcmp(names[r], selector + 5) == 0)
                return SW_OK;
        }
        return sw_fail(SW_ERR_ARGUMENT, "rule: there is no role %s%s", selector + 5,
                       sw_suggest(selector + 5, SW_ROLE_OTHER + 1, names));
    }
    return sw_fail(SW_ERR_ARGUMENT,
                   "rule: a group is chosen by role=R, name=PATTERN or rank=N, not by "
                   "%s",
                   selector);
}

/* ---- Rules and their groups ---- */

static sw_status parse_group(swo_group *group, const char *text, size_t length) {
    char spec[512], name[64];
    if (length >= sizeof spec)
        return sw_fail(SW_ERR_ARGUMENT, "rule: the spec is too long");
    memcpy(spec, text, length);
    spec[length] = 0;
    char *rule = spec, *colon = strchr(spec, ':');
    if (colon) {
        char word[64];
        *colon = 0;
        const char *rest = swo_name(spec, word);
        char more[64];
        swo_name(rest, more);
        if (*more)
            return sw_fail(SW_ERR_ARGUMENT, "rule: one selector is expected before the colon, not %s", spec);
        SW_TRY(check_selector(word));
        group->selector = sw_strdup(word);
        if (!group->selector)
            return SW_ERR_MEMORY;
        rule = colon + 1;
    }
    const char *options = swo_name(rule, name);
    if (strchr(name, '=') && !strchr(name, ','))
        return sw_fail(SW_ERR_ARGUMENT,
                       strncmp(name, "role=", 5) == 0 || strncmp(name, "name=", 5) == 0 ||
                               strncmp(name, "rank=", 5) == 0
                           ? "rule: a colon is missing after %s"
                           : "rule: the name of the rule is missing before %s",
                       name);
    group->rule = swo_find(SWO_RULE, name);
    if (!group->rule)
        return sw_last_failure();
    SW_TRY(swo_parse("rule", name, group->rule->options, NULL, options, &group->base));
    return group->rule->check ? swo_returned("rule", name, "check", false, group->rule->check(group->base.value))
                              : SW_OK;
}

static sw_status parse_rules(sw_optim *o, const char *spec) {
    int groups = 1;
    for (const char *p = spec; *p; p++)
        groups += *p == ';';
    if (groups > SWO_GROUPS)
        return sw_fail(SW_ERR_ARGUMENT, "rule: at most %d groups", SWO_GROUPS);
    o->group = sw_alloc_array(groups, sizeof *o->group);
    if (!o->group)
        return SW_ERR_MEMORY;
    for (const char *at = spec; at;) {
        const char *end = strchr(at, ';');
        size_t length = end ? (size_t)(end - at) : strlen(at);
        SW_TRY(parse_group(&o->group[o->groups++], at, length));
        at = end ? end + 1 : NULL;
    }
    return SW_OK;
}

/* Which group takes a parameter; -1: none. */
static int group_of(const sw_optim *o, const sw_param *p) {
    for (int i = 0; i < o->groups; i++)
        if (selects(o->group[i].selector, p))
            return i;
    return -1;
}

bool swo_slot_needed(const sw_slot *slot, const double *option, sw_dtype type) {
    return (!slot->needed || slot->needed(option)) && (!slot->needed_by || slot->needed_by(option, type));
}

size_t swo_slot_size(const sw_slot *slot, sw_dtype type) {
    return sw_dtype_size(swo_slot_type(slot, type));
}

sw_dtype swo_slot_type(const sw_slot *slot, sw_dtype type) {
    switch (slot->type) {
    case SW_SLOT_F32: return SW_F32;
    case SW_SLOT_F64: return SW_F64;
    case SW_SLOT_I32: return SW_I32;
    case SW_SLOT_U8: return SW_U8;
    default: return type;
    }
}

/* One element for each of the group's, or what the rule asks for each parameter. */
static sw_status make_slot(sw_optim *o, swo_group *group, int i) {
    const sw_slot *slot = &group->rule->slots[i];
    group->slot_count[i] = group->dim;
    if (slot->count) {
        int64_t *bound = group->sized[i] = sw_alloc_array(group->params + 1, sizeof *bound);
        if (!bound)
            return SW_ERR_MEMORY;
        for (int k = 0; k < group->params; k++) {
            const sw_slot_sizes sizes = {
                .dim = group->param[k]->count, .param = group->param[k], .option = group->base.value, .type = o->type};
            int64_t count = slot->count(&sizes);
            if (count < 0 || count > INT64_MAX / 64 - bound[k])
                return sw_fail(SW_ERR_ARGUMENT, "rule %s: slot %s of %s has no size", group->rule->name, slot->name,
                               group->param[k]->name);
            bound[k + 1] = bound[k] + count;
        }
        group->slot_count[i] = bound[group->params];
    }
    group->slot[i] = sw_alloc_array(group->slot_count[i], swo_slot_size(slot, o->type));
    return group->slot[i] ? SW_OK : SW_ERR_MEMORY;
}

static sw_status fill_group(sw_optim *o, int index) {
    swo_group *group = &o->group[index];
    int all = sw_params_count(o->params);
    group->param = sw_alloc_array(all, sizeof *group->param);
    group->slot_at = sw_alloc_array(all, sizeof *group->slot_at);
    group->stretch = sw_alloc_array(all, sizeof *group->stretch);
    if (!group->param || !group->slot_at || !group->stretch)
        return SW_ERR_MEMORY;
    for (int i = 0; i < all; i++) {
        sw_param *p = sw_params_at(o->params, i);
        if (p->tied || group_of(o, p) != index)
            continue;
        group->slot_at[group->params] = group->dim;
        group->param[group->params++] = p;
        group->dim += p->count;
    }
    if (group->params == 0)
        return sw_fail(SW_ERR_ARGUMENT, "rule: %s%s%s has no parameters: none fits%s",
                       group->selector ? group->selector : "", group->selector ? ": " : "", group->rule->name,
                       group->selector ? "" : " what earlier groups left");
    const sw_slot *slots = group->rule->slots;
    for (int i = 0; slots && slots[i].name; i++)
        if (swo_slot_needed(&slots[i], group->base.value, o->type))
            SW_TRY(make_slot(o, group, i));
    return SW_OK;
}

static sw_status fill_groups(sw_optim *o) {
    size_t workspace = 0;
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const sw_param *p = sw_params_at(o->params, i);
        if (!p->tied && group_of(o, p) < 0)
            return sw_fail(SW_ERR_ARGUMENT, "rule: no group takes parameter %s (%s)", p->name, sw_role_name(p->role));
    }
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        SW_TRY(fill_group(o, i));
        o->rules_point |= group->rule->point != NULL;
        for (int k = 0; group->rule->workspace && k < group->params; k++) {
            size_t bytes = group->rule->workspace(group->param[k], o->type);
            workspace = bytes > workspace ? bytes : workspace;
        }
    }
    o->workspace_bytes = workspace;
    if (workspace && !(o->workspace = sw_alloc(workspace)))
        return SW_ERR_MEMORY;
    o->frozen = sw_alloc((size_t)sw_params_count(o->params) * sizeof *o->frozen);
    o->infinite = sw_alloc((size_t)sw_params_count(o->params) * sizeof *o->infinite);
    return o->frozen && o->infinite ? swo_plan_stretches(o) : SW_ERR_MEMORY;
}

/* ---- Schedules and line searches ---- */

/* Takes "on=NAME" out of a schedule's options, where it may stand anywhere. */
static sw_status take_on(char *text, char on[64]) {
    bool taken = false;
    memcpy(on, "lr", sizeof "lr");
    for (char *p = text; (p = strstr(p, "on=")) != NULL; p++) {
        if (p != text && !strchr(" \t\n", p[-1]))
            continue;
        const char *end = swo_name(p + 3, on);
        if (!*on)
            return sw_fail(SW_ERR_ARGUMENT, "schedule: on= needs the name of an option");
        if (taken)
            return sw_fail(SW_ERR_ARGUMENT, "schedule: two on= in one; schedules of other options follow a ;");
        taken = true;
        memset(p, ' ', (size_t)(end - p));
    }
    return SW_OK;
}

static sw_status parse_schedule(sw_optim *o, const char *text, size_t length) {
    char spec[512], name[64], on[64];
    if (length >= sizeof spec)
        return sw_fail(SW_ERR_ARGUMENT, "schedule: the spec is too long");
    memcpy(spec, text, length);
    spec[length] = 0;
    SW_TRY(take_on(spec, on));
    const char *options = swo_name(spec, name);
    const sw_line_search *search = swo_lookup(SWO_SEARCH, name);
    if (search) {
        if (o->search)
            return sw_fail(SW_ERR_ARGUMENT, "schedule: two line searches");
        o->search = search;
        SW_TRY(swo_parse("line search", name, search->options, NULL, options, &o->search_values));
        return search->check ? swo_returned("line search", name, "check", false, search->check(o->search_values.value))
                             : SW_OK;
    }
    const sw_schedule *method = swo_find(SWO_SCHEDULE, name);
    if (!method)
        return sw_last_failure();
    if (o->schedules == SWO_SCHEDULES)
        return sw_fail(SW_ERR_ARGUMENT, "schedule: at most %d", SWO_SCHEDULES);
    swo_schedule *s = &o->schedule[o->schedules++];
    s->method = method;
    memcpy(s->on, on, sizeof on);
    SW_TRY(swo_parse("schedule", name, method->options, swo_schedule_options, options, &s->values));
    const char *names[4 * SW_MAX_OPTIONS]; /* what on= could have named */
    int count = 0;
    bool found = false;
    for (int i = 0; i < o->groups; i++) {
        const sw_option *table = o->group[i].rule->options;
        int at = swo_index(table, on);
        for (int k = 0; k < swo_count(table) && count < 4 * SW_MAX_OPTIONS; k++)
            if (table[k].kind == SW_OPTION_REAL)
                names[count++] = table[k].name;
        if (at >= 0 && table[at].kind != SW_OPTION_REAL)
            return sw_fail(SW_ERR_ARGUMENT, "schedule: %s of rule %s is no real number to be scaled", on,
                           o->group[i].rule->name);
        found |= at >= 0;
    }
    if (!found)
        return sw_fail(SW_ERR_ARGUMENT, "schedule: no rule here has an option %s%s", on, sw_suggest(on, count, names));
    return SW_OK;
}

static const char *why_not_linear(const swo_group *group) {
    const sw_rule *r = group->rule;
    if (!(r->flags & SW_RULE_LINEAR))
        return "";
    const bool may_say = r->size >= offsetof(sw_rule, not_linear) + sizeof r->not_linear && r->not_linear;
    return may_say ? r->not_linear(group->base.value) : NULL;
}

static sw_status parse_schedules(sw_optim *o, const char *spec) {
    for (const char *at = spec; at;) {
        const char *end = strchr(at, ';');
        SW_TRY(parse_schedule(o, at, end ? (size_t)(end - at) : strlen(at)));
        at = end ? end + 1 : NULL;
    }
    if (!o->search)
        return SW_OK;
    for (int i = 0; i < o->schedules; i++)
        if (strcmp(o->schedule[i].on, "lr") == 0)
            return sw_fail(SW_ERR_ARGUMENT, "line search %s: it chooses what schedule %s would scale, lr",
                           o->search->name, o->schedule[i].method->name);
    for (int i = 0; i < o->groups; i++) {
        const char *why = why_not_linear(&o->group[i]);
        if (why)
            return sw_fail(SW_ERR_ARGUMENT,
                           "line search %s: the step of rule %s is not its learning "
                           "rate times a direction%s%s",
                           o->search->name, o->group[i].rule->name, *why ? ": " : "", why);
    }
    return swo_make_search(o);
}

/* ---- Estimators ---- */

static sw_status parse_estimator(const char *spec, swo_estimate **made, int depth, const swo_wrapper *outer) {
    char name[64];
    const char *options = swo_name(spec, name);
    const sw_estimator *method = swo_find(SWO_ESTIMATOR, name);
    if (!method)
        return sw_last_failure();
    if (depth > 4)
        return sw_fail(SW_ERR_ARGUMENT, "estimator: wrappers inside wrappers, more than 4 deep");
    swo_estimate *e = *made = sw_alloc(sizeof *e);
    if (!e)
        return SW_ERR_MEMORY;
    e->e.method = method;
    SW_TRY(swo_check_inner(name, method->options, outer, options));
    SW_TRY(swo_parse("estimator", name, method->options, NULL, options, &e->values));
    memcpy(e->resolved, e->values.value, sizeof e->resolved);
    e->e.option = e->resolved;
    e->e.scalar = e->scalar;
    e->e.lr = e->e.value = e->e.weight = NAN;
    if (method->flags & SW_ESTIMATOR_WRAPPER) {
        const swo_wrapper own = {name, method->options, outer};
        SW_TRY(parse_estimator(e->values.spec[0] ? e->values.spec : "minibatch", &e->inner, depth + 1, &own));
        e->e.inner = &e->inner->e;
        for (const swo_estimate *in = e->inner; in && (method->flags & SW_ESTIMATOR_AGAIN); in = in->inner)
            if (in->e.method->flags & SW_ESTIMATOR_ONCE)
                return sw_fail(SW_ERR_ARGUMENT,
                               "estimator %s of=%s: %s evaluates more than once a step, "
                               "and the tables of %s take one evaluation",
                               name, in->e.method->name, name, in->e.method->name);
    }
    return SW_OK;
}

/* The default depends on the rules, which are parsed before. */
static sw_status parse_outer_estimator(sw_optim *o, const char *spec) {
    const sw_rule *exact = NULL;
    for (int i = 0; i < o->groups; i++)
        if (o->group[i].rule->flags & SW_RULE_EXACT_GRADIENT)
            exact = o->group[i].rule;
    SW_TRY(parse_estimator(spec ? spec : exact ? "full" : "minibatch", &o->estimate, 0, NULL));
    const sw_estimator *method = o->estimate->e.method;
    if (exact && !(method->flags & SW_ESTIMATOR_EXACT))
        return sw_fail(SW_ERR_ARGUMENT,
                       "rule %s: its momentum adds up the errors of gradients, and those of "
                       "estimator %s are not exact; take estimator full, or another rule",
                       exact->name, method->name);
    return SW_OK;
}

/* ---- Averages ---- */

static sw_status parse_average(sw_optim *o, const char *spec) {
    char name[64];
    const char *options = swo_name(spec, name);
    o->average = swo_find(SWO_AVERAGE, name);
    if (!o->average)
        return sw_last_failure();
    SW_TRY(swo_parse("average", name, o->average->options, NULL, options, &o->average_values));
    if (strcmp(o->average->name, "none") == 0) {
        o->average = NULL;
    } else if (o->rules_point) {
        return sw_fail(SW_ERR_ARGUMENT, "average %s: a rule here has a point of its own to evaluate at", name);
    }
    const sw_slot *slots = o->average ? o->average->slots : NULL;
    for (int i = 0; slots && slots[i].name; i++) {
        if (!swo_slot_needed(&slots[i], o->average_values.value, o->type))
            continue;
        const sw_slot_sizes sizes = {.dim = o->dim, .option = o->average_values.value, .type = o->type};
        o->average_count[i] = slots[i].count ? slots[i].count(&sizes) : o->dim;
        if (o->average_count[i] < 0)
            return sw_fail(SW_ERR_ARGUMENT, "average %s: slot %s has no size", name, slots[i].name);
        if (o->average_count[i] == 0 && slots[i].count)
            continue;
        o->average_slot[i] = sw_alloc_array(o->average_count[i], swo_slot_size(&slots[i], o->type));
        if (!o->average_slot[i])
            return SW_ERR_MEMORY;
    }
    if (o->rules_point || (o->average && o->average->point)) {
        o->point = sw_alloc_array(o->dim, swo_size(o));
        if (!o->point)
            return SW_ERR_MEMORY;
    }
    return SW_OK;
}

/* ---- Create and free ---- */

static sw_status fill(sw_optim *o, const sw_optim_options *options) {
    SW_TRY(parse_rules(o, options->rule ? options->rule : "sgd"));
    SW_TRY(fill_groups(o));
    if (options->schedule)
        SW_TRY(parse_schedules(o, options->schedule));
    SW_TRY(parse_outer_estimator(o, options->estimator));
    if (o->search && !(o->estimate->e.method->flags & SW_ESTIMATOR_DIRECT))
        return sw_fail(SW_ERR_ARGUMENT,
                       "line search %s: the gradient of estimator %s is not that of the "
                       "loss which the search would evaluate",
                       o->search->name, o->estimate->e.method->name);
    SW_TRY(parse_average(o, options->average ? options->average : "none"));
    if (!(options->clip >= 0) || isinf(options->clip))
        return sw_fail(SW_ERR_ARGUMENT, "clip = %g; 0 (none) or more is needed", options->clip);
    if (options->total_steps < 0)
        return sw_fail(SW_ERR_ARGUMENT, "total_steps = %lld; 0 (not known) or more is needed",
                       (long long)options->total_steps);
    if (o->search && options->clip > 0)
        return sw_fail(SW_ERR_ARGUMENT,
                       "line search %s: its slopes are of the gradient as it is, not "
                       "clipped",
                       o->search->name);
    o->clip = options->clip;
    o->seed = options->seed;
    o->total = options->total_steps;
    o->length = o->total ? SWO_LENGTH_PROGRAM : SWO_LENGTH_NONE;
    o->norm = o->loss_weight = NAN;
    return SW_OK;
}

sw_optim *sw_optim_new_with_options(sw_params *params, const sw_optim_options *options) {
    if (!params) { /* what went wrong before says why, and is kept */
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
    o->type = sw_params_type(params);
    o->dim = sw_params_dim(params);
    sw_optim_options own = {.size = sizeof own};
    sw_status status = SW_OK;
    if (options)
        status = sw_options_copy("optimizer", "sw_optim_options", &own, sizeof own, options,
                                 offsetof(sw_optim_options, estimator) + sizeof(char *));
    if (status != SW_OK || fill(o, &own) != SW_OK) {
        sw_optim_free(o);
        return NULL;
    }
    return o;
}

sw_optim *sw_optim_new(sw_params *params, const char *rule) {
    const sw_optim_options options = {.size = sizeof options, .rule = rule};
    return sw_optim_new_with_options(params, &options);
}

void sw_optim_free(sw_optim *o) {
    if (!o || !sw_may_free(o, "optim"))
        return;
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        for (int s = 0; s < SW_MAX_SLOTS; s++)
            sw_free(group->slot[s]), sw_free(group->sized[s]);
        sw_free(group->stretch);
        sw_free(group->param);
        sw_free(group->slot_at);
        sw_free(group->selector);
    }
    sw_free(o->group);
    sw_free(o->frozen);
    sw_free(o->infinite);
    sw_free(o->workspace);
    sw_free(o->x_before);
    sw_free(o->direction);
    sw_free(o->trial);
    sw_free(o->trial_gradient);
    for (int i = 0; o->slot_before && i < o->groups * SW_MAX_SLOTS; i++)
        sw_free(o->slot_before[i]);
    sw_free(o->slot_before);
    swo_free_estimate(o->estimate);
    sw_tape_free(o->tape);
    sw_gradient_free(o->view);
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        sw_free(o->average_slot[i]), sw_free(o->average_before[i]);
    sw_free(o->point);
    swo_watch_free(o);
    sw_free(o);
}
