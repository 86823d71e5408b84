/* Refuses parameters that a rule cannot update, when the optimizer is made. */
#include "optim/rule_fits.h"

#include <stdio.h>
#include <string.h>

/* The results of `fits` for the parameters of a group. */
typedef struct fits_answers {
    int refused[SW_MAX_RANK + 1], taken[SW_MAX_RANK + 1]; /* parameters by rank */
    char names[400];                                      /* "name=a: adamw; " for each that is refused */
    bool more;                                            /* names has no room for others */
    sw_error_list reasons;
    char reason[256]; /* the first reason */
    bool differ;      /* there are several reasons */
    int count;
} fits_answers;

static void fits_add_name(fits_answers *a, const char *name) {
    const size_t used = strlen(a->names), room = sizeof a->names - used;
    a->more |= (size_t)snprintf(a->names + used, room, "name=%s: adamw; ", name) >= room;
    if (a->more)
        a->names[used] = 0;
}

static void fits_ask(const sw_optim *o, const swo_group *group, fits_answers *a) {
    for (int k = 0; k < group->params; k++) {
        const sw_param *p = group->param[k];
        char reason[256] = "";
        if (group->rule->fits(p, group->base.value, o->type, reason, sizeof reason)) {
            a->taken[p->rank]++;
            continue;
        }
        a->refused[p->rank]++;
        a->differ |= a->count > 0 && strcmp(a->reason, reason) != 0;
        if (a->count++ == 0)
            memcpy(a->reason, reason, sizeof reason);
        fits_add_name(a, p->name);
        sw_error_list_add(&a->reasons, "%.100s %s: %s", p->name, sw_shape_text(p->rank, p->shape),
                          *reason ? reason : "the rule gives no reason");
    }
}

/* "rank=0: adamw; " for each rank that is refused, in the group. */
static void fits_print_ranks(const fits_answers *a, const char *selector, char *text, size_t size) {
    size_t used = 0;
    for (int r = 0; r <= SW_MAX_RANK && used < size; r++)
        if (a->refused[r])
            used +=
                (size_t)snprintf(text + used, size - used, "%s%srank=%d: adamw; ", selector, *selector ? " " : "", r);
}

/* Proposes a spec that gives the refused parameters to another rule: by rank if no rank has both refused and accepted
 * parameters, otherwise by name. */
static void fits_print_remedy(const swo_group *group, const fits_answers *a, char *text, size_t size) {
    const char *name = group->rule->name, *selector = group->selector ? group->selector : "";
    char others[600] = "";
    int ranks = 0, rank = 0;
    bool separable = true;
    for (int r = 0; r <= SW_MAX_RANK; r++)
        if (a->taken[r]) {
            ranks++;
            rank = r;
            separable &= a->refused[r] == 0;
        }
    if (ranks == 0) {
        snprintf(text, size, "choose another rule");
        return;
    }
    const char *them = a->count > 1 ? "them" : "it";
    if (ranks == 1 && separable) {
        snprintf(text, size, "give %s to another rule: \"%s%srank=%d: %s; adamw\"", them, selector,
                 *selector ? " " : "", rank, name);
        return;
    }
    if (separable && a->count > 1)
        fits_print_ranks(a, selector, others, sizeof others);
    else
        snprintf(others, sizeof others, "%s%s", a->names, a->more ? "…; " : "");
    snprintf(text, size, "give %s to another rule: \"%s%s%s%s\"", them, others, selector, *selector ? ": " : "", name);
}

sw_status swo_rule_fits(const sw_optim *o, const swo_group *group) {
    fits_answers a = {0};
    char remedy[1024];
    if (!SWO_RULE_HAS(group->rule, fits))
        return SW_OK;
    fits_ask(o, group, &a);
    if (a.count == 0)
        return SW_OK;
    fits_print_remedy(group, &a, remedy, sizeof remedy);
    if (a.count > 1 && a.count == group->params && !a.differ && *a.reason)
        return sw_fail(SW_ERR_ARGUMENT, "rule %s fits none of its %d parameters: %s; otherwise, choose another rule",
                       group->rule->name, group->params, a.reason);
    if (a.count == 1)
        return sw_fail(SW_ERR_ARGUMENT, "rule %s does not fit parameter %s; %s", group->rule->name,
                       sw_error_list_text(&a.reasons), remedy);
    return sw_fail(SW_ERR_ARGUMENT, "rule %s does not fit %d of its %d parameters: %s; %s", group->rule->name, a.count,
                   group->params, sw_error_list_text(&a.reasons), remedy);
}
