/* Groups of parameters, each with a rule: "role=weight rank=2: sgd lr=0.1; name=head.*: adam; sgd lr=0.01". */
#include "optim/groups.h"
#include "optim/method_status.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/registry.h"
#include "optim/rule_fits.h"
#include "optim/rule_parts.h"
#include "optim/selector.h"
#include "optim/spec.h"
#include "optim/stretches.h"
#include "optim/vector_step.h"

#include <string.h>

/* ---- Specs ---- */

/* The error for text that is not the name of a rule: an option, or selectors without a colon. */
static sw_status group_fail_name(const char *text, const char *word) {
    const size_t length = swo_selector_length(text), blanks = strspn(text, " \t\n");
    if (length == 0)
        return sw_fail(SW_ERR_ARGUMENT, "rule: the name of the rule is missing before %s", word);
    return sw_fail(SW_ERR_ARGUMENT, "rule: a colon is missing after %.*s", (int)(length - blanks), text + blanks);
}

static sw_status group_parse(swo_group *group, const char *text, size_t length) {
    char spec[512], name[64];
    if (length >= sizeof spec)
        return sw_fail(SW_ERR_ARGUMENT, "rule: the spec is too long");
    memcpy(spec, text, length);
    spec[length] = 0;
    char *rule = spec, *colon = strchr(spec, ':');
    if (colon) {
        *colon = 0;
        group->selector = swo_selector_new(spec);
        if (!group->selector)
            return sw_last_failure();
        rule = colon + 1;
    }
    const char *options = swo_spec_word(rule, name);
    if (strchr(name, '=') && !strchr(name, ','))
        return group_fail_name(rule, name);
    group->rule = swo_method_find(SWO_RULE, name);
    if (!group->rule)
        return sw_last_failure();
    SW_TRY(swo_spec_parse("rule", name, group->rule->options, NULL, options, &group->base));
    return group->rule->check ? swo_method_status("rule", name, "check", false, group->rule->check(group->base.value))
                              : SW_OK;
}

static const char *group_name(const swo_group *group) {
    return group->selector ? group->selector : "the other parameters";
}

/* An error if two groups of a rule have different values of an option that they must share. */
static sw_status group_check_shared(const swo_group *a, const swo_group *b) {
    const sw_option *option = a->rule->options;
    for (int i = 0; option && option[i].name; i++) {
        const double x = a->base.value[i], y = b->base.value[i];
        const bool or_zero = option[i].open & SW_OPTION_SHARED_OR_ZERO;
        if (!(option[i].open & SW_OPTION_SHARED) && !or_zero)
            continue;
        if ((x == y && a->base.unit[i] == b->base.unit[i]) || (or_zero && (x == 0 || y == 0)))
            continue;
        return sw_fail(SW_ERR_ARGUMENT,
                       "rule %s: %s = %g for %s, and %g for %s; the rule computes one step for all of its groups, and "
                       "needs the same value%s in each of them",
                       a->rule->name, option[i].name, x, group_name(a), y, group_name(b), or_zero ? ", or 0," : "");
    }
    return SW_OK;
}

static sw_status groups_check_shared(const sw_optim *o) {
    for (int i = 0; i < o->groups; i++)
        for (int k = 0; k < i; k++)
            if (o->group[i].rule == o->group[k].rule)
                SW_TRY(group_check_shared(&o->group[k], &o->group[i]));
    return SW_OK;
}

sw_status swo_groups_parse(sw_optim *o, const char *spec) {
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
        SW_TRY(group_parse(&o->group[o->groups++], at, length));
        at = end ? end + 1 : NULL;
    }
    return groups_check_shared(o);
}

/* ---- Parameters and slots ---- */

/* The index of the group that a parameter belongs to; -1: none. */
static int group_index_of(const sw_optim *o, const sw_param *p) {
    for (int i = 0; i < o->groups; i++)
        if (swo_selector_matches(o->group[i].selector, p))
            return i;
    return -1;
}

/* The slot has one element for each element of the group, or the number that `count` returns for each parameter. */
static sw_status group_make_slot(sw_optim *o, swo_group *group, int i) {
    const sw_slot *slot = &group->rule->slots[i];
    group->slot_count[i] = group->dim;
    if (slot->count && swo_vector_is(group)) {
        const sw_slot_sizes sizes = {.dim = group->dim, .option = group->base.value, .type = o->type};
        group->slot_count[i] = slot->count(&sizes);
        group->whole[i] = true;
        if (group->slot_count[i] < 0)
            return sw_fail(SW_ERR_ARGUMENT, "rule %s: slot %s has no size: its count returned %lld", group->rule->name,
                           slot->name, (long long)group->slot_count[i]);
    } else if (slot->count) {
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
    group->slot[i] = sw_alloc_array_named(SW_ACCOUNT_OPTIMIZER, group->rule->name, slot->name, group->slot_count[i],
                                          swo_slot_size(slot, o->type));
    return group->slot[i] ? SW_OK : SW_ERR_MEMORY;
}

static sw_status group_fill(sw_optim *o, int index) {
    swo_group *group = &o->group[index];
    int all = sw_params_count(o->params);
    group->optim = o;
    group->param = sw_alloc_array(all, sizeof *group->param);
    group->slot_at = sw_alloc_array(all, sizeof *group->slot_at);
    group->stretch = sw_alloc_array(all, sizeof *group->stretch);
    if (!group->param || !group->slot_at || !group->stretch)
        return SW_ERR_MEMORY;
    for (int i = 0; i < all; i++) {
        sw_param *p = sw_params_at(o->params, i);
        if (p->tied || p->buffer || group_index_of(o, p) != index)
            continue;
        group->slot_at[group->params] = group->dim;
        group->param[group->params++] = p;
        group->dim += p->count;
    }
    if (group->params == 0)
        return sw_fail(SW_ERR_ARGUMENT, "rule: %s%s%s has no parameters: %s", group->selector ? group->selector : "",
                       group->selector ? ": " : "", group->rule->name,
                       group->selector                  ? "no remaining parameter matches"
                       : index > 0                      ? "earlier groups contain all of them"
                       : sw_params_count(o->params) > 0 ? "all of them are buffers"
                                                        : "none was declared");
    SW_TRY(swo_rule_fits(o, group)); /* before the sizes of slots, which may depend on a shape that is checked here */
    const sw_slot *slots = group->rule->slots;
    for (int i = 0; slots && slots[i].name; i++)
        if (swo_slot_needed(&slots[i], group->base.value, o->type))
            SW_TRY(group_make_slot(o, group, i));
    return swo_parts_list(o, group);
}

/* The largest workspace that a call of the rule needs. */
static size_t group_workspace(const sw_optim *o, const swo_group *group) {
    const sw_rule *rule = group->rule;
    size_t most = 0, sum = 0;
    for (int k = 0; k < group->params; k++) {
        const sw_param *p = group->param[k];
        size_t bytes = rule->workspace ? rule->workspace(p, o->type) : 0;
        if (SWO_RULE_HAS(rule, tensor_workspace)) {
            const size_t with_options = rule->tensor_workspace(p, group->base.value, o->type);
            bytes = with_options > bytes ? with_options : bytes;
        }
        most = bytes > most ? bytes : most;
        sum += bytes;
    }
    return swo_vector_is(group) ? sum : most;
}

sw_status swo_groups_fill(sw_optim *o) {
    size_t workspace = 0;
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const sw_param *p = sw_params_at(o->params, i);
        if (!p->tied && !p->buffer && group_index_of(o, p) < 0)
            return sw_fail(SW_ERR_ARGUMENT, "rule: parameter %s (%s) belongs to no group", p->name,
                           sw_role_name(p->role));
    }
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        SW_TRY(group_fill(o, i));
        o->rules_point |= group->rule->point != NULL;
        o->rules_parts |= group->parts > 0;
        o->rules_accepted |= SWO_RULE_HAS(group->rule, accepted);
        const size_t bytes = group_workspace(o, group);
        workspace = bytes > workspace ? bytes : workspace;
        if (swo_vector_is(group))
            SW_TRY(swo_vector_alloc(o, group));
    }
    if (workspace && !(o->workspace = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, workspace)))
        return SW_ERR_MEMORY;
    o->workspace_bytes = workspace;
    SW_TRY(swo_parts_reserve(o));
    o->frozen = sw_alloc((size_t)sw_params_count(o->params) * sizeof *o->frozen);
    o->infinite = sw_alloc((size_t)sw_params_count(o->params) * sizeof *o->infinite);
    if (!o->frozen || !o->infinite)
        return SW_ERR_MEMORY;
    swo_plan_stretches(o);
    return SW_OK;
}

void swo_groups_free(sw_optim *o) {
    for (int i = 0; i < o->groups; i++) {
        swo_group *group = &o->group[i];
        for (int s = 0; s < SW_MAX_SLOTS; s++)
            sw_free(group->slot[s]), sw_free(group->sized[s]);
        swo_vector_free(group);
        sw_free(group->stretch);
        sw_free(group->part);
        sw_free(group->param);
        sw_free(group->slot_at);
        sw_free(group->selector);
    }
    sw_free(o->group);
}
