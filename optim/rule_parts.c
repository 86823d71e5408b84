/* Parts of parameters: the work items of rules that update a parameter in independent blocks.
 *
 * The parts of all parameters of a group are one list, so that many small matrices keep all threads busy, as one large
 * matrix does. The list is sorted by cost: expensive parts begin early, so that the threads end at about the same time.
 * Results do not depend on the order, because no part reads what another part writes. */
#include "optim/rule_parts.h"
#include "optim/method_status.h"
#include "optim/rule_step.h"

#include <stdlib.h>
#include <string.h>

/* ---- The list ---- */

static int64_t parts_of_param(const sw_optim *o, const swo_group *group, int k) {
    return group->rule->parts(group->param[k], group->base.value, o->type);
}

static double parts_cost_of(const sw_optim *o, const swo_group *group, int k, int64_t part, int64_t parts) {
    const sw_param *p = group->param[k];
    return SWO_RULE_HAS(group->rule, part_cost) ? group->rule->part_cost(p, group->base.value, o->type, part)
                                                : (double)p->count / (double)parts;
}

/* The most expensive part first; among equal costs, that of the first parameter. A cost of NaN counts as 0. */
static int parts_compare(const void *a, const void *b) {
    const swo_part *p = a, *q = b;
    if (p->cost != q->cost)
        return p->cost > q->cost ? -1 : 1;
    if (p->param != q->param)
        return p->param < q->param ? -1 : 1;
    return p->part < q->part ? -1 : p->part > q->part;
}

static sw_status parts_count(const sw_optim *o, swo_group *group) {
    for (int k = 0; k < group->params; k++) {
        const int64_t parts = parts_of_param(o, group, k);
        if (parts < 0 || parts > INT64_MAX / (int64_t)sizeof *group->part - group->parts)
            return sw_fail(SW_ERR_ARGUMENT, "rule %s: parts returned %lld for parameter %s; 0 or more are needed",
                           group->rule->name, (long long)parts, group->param[k]->name);
        group->parts += parts;
    }
    return SW_OK;
}

sw_status swo_parts_list(const sw_optim *o, swo_group *group) {
    if (!SWO_RULE_HAS(group->rule, part))
        return SW_OK;
    SW_TRY(parts_count(o, group));
    group->part = sw_alloc_array(group->parts, sizeof *group->part);
    if (!group->part)
        return SW_ERR_MEMORY;
    int64_t at = 0;
    for (int k = 0; k < group->params; k++) {
        const int64_t parts = parts_of_param(o, group, k);
        for (int64_t i = 0; i < parts && at < group->parts; i++) {
            const double cost = parts_cost_of(o, group, k, i, parts);
            group->part[at++] = (swo_part){.cost = cost > 0 ? cost : 0, .part = i, .param = k};
            group->parts_cost += cost > 0 ? cost : 0;
        }
        if (SWO_RULE_HAS(group->rule, part_workspace)) {
            const size_t bytes = group->rule->part_workspace(group->param[k], group->base.value, o->type);
            group->part_bytes = bytes > group->part_bytes ? bytes : group->part_bytes;
        }
    }
    group->parts = at;
    if (group->part_bytes == 0)
        group->part_bytes = 1; /* so that scratch for one worker limits the call to one worker */
    qsort(group->part, (size_t)group->parts, sizeof *group->part, parts_compare);
    return SW_OK;
}

/* ---- Running them ---- */

/* For little work there is scratch for one worker, so that this thread does all of it: waking other threads would take
 * longer. */
static size_t parts_scratch(const swo_group *group) {
    return sw_parallel_scratch(group->parts_cost < SW_SERIAL ? 1 : group->parts, group->part_bytes);
}

sw_status swo_parts_reserve(sw_optim *o) {
    size_t bytes = 0;
    for (int i = 0; i < o->groups; i++)
        if (o->group[i].parts > 0) {
            const size_t needed = parts_scratch(&o->group[i]);
            bytes = needed > bytes ? needed : bytes;
        }
    if (bytes <= o->workspace_bytes)
        return SW_OK;
    void *workspace = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, bytes);
    if (!workspace)
        return SW_ERR_MEMORY;
    sw_free(o->workspace);
    o->workspace = workspace;
    o->workspace_bytes = bytes;
    return SW_OK;
}

typedef struct parts_run {
    sw_optim *o;
    swo_group *group;
    const void *g;
    /* For swo_parts_run_on, in place of the members above: the step, and its parameter. */
    const sw_step *step;
    int param;
} parts_run;

static bool parts_differ(const double *a, const double *b, int count) {
    bool differ = false;
    for (int i = 0; i < count; i++)
        differ |= a[i] != b[i];
    return differ;
}

/* Because other parts may be running, the part receives copies of the scalars and coefficients, which are finite; it is
 * an error if it writes to them. */
static sw_status parts_call(const sw_rule *rule, sw_step *s, int64_t part, sw_worker *worker) {
    double scalar[SW_MAX_SCALARS], coefficient[SW_MAX_COEFFICIENTS];
    const double *scalar_before = s->scalar, *coefficient_before = s->coefficient;
    memcpy(scalar, s->scalar, sizeof scalar);
    memcpy(coefficient, s->coefficient, sizeof coefficient);
    s->scalar = scalar;
    s->coefficient = coefficient;
    s->workspace = worker->scratch;
    const sw_status status = rule->part(s, part, worker);
    if (status == SW_SKIPPED)
        return sw_fail(SW_ERR_STATE, "rule %s: only begin and decide may skip a step", rule->name);
    SW_TRY(swo_method_status("rule", rule->name, "part", false, status));
    if (parts_differ(scalar, scalar_before, SW_MAX_SCALARS) ||
        parts_differ(coefficient, coefficient_before, SW_MAX_COEFFICIENTS))
        return sw_fail(SW_ERR_STATE,
                       "rule %s: part %lld of parameter %s writes a scalar or a coefficient, which all parts share: "
                       "only begin and decide may write them",
                       rule->name, (long long)part, s->param->name);
    return SW_OK;
}

static sw_status parts_item(void *args, int64_t item, sw_worker *worker) {
    const parts_run *r = args;
    const swo_part *at = &r->group->part[item];
    sw_step s;
    if (r->step ? at->param != r->param : r->group->param[at->param]->frozen)
        return SW_OK;
    if (r->step)
        s = *r->step;
    else
        swo_param_step(r->o, r->group, at->param, r->g, &s);
    return parts_call(r->group->rule, &s, at->part, worker);
}

sw_status swo_parts_run(sw_optim *o, swo_group *group, const void *g) {
    parts_run r = {.o = o, .group = group, .g = g};
    if (group->parts == 0)
        return SW_OK;
    const size_t bytes = parts_scratch(group); /* more than there is, if another thread has set the number of threads */
    return sw_parallel_items_with_scratch(parts_item, &r, group->parts, group->part_bytes, o->workspace,
                                          bytes < o->workspace_bytes ? bytes : o->workspace_bytes);
}

sw_status swo_parts_run_on(const sw_optim *o, const swo_group *group, int k, const sw_step *step) {
    parts_run r = {.group = (swo_group *)(uintptr_t)group, .step = step, .param = k};
    if (group->parts == 0)
        return SW_OK;
    return sw_parallel_items_with_scratch(parts_item, &r, group->parts, group->part_bytes, o->workspace,
                                          sw_parallel_scratch(1, group->part_bytes));
}
