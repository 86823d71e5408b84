/* Refuses parameters that a rule cannot update, when the optimizer is made. */
#include "optim/rule_fits.h"

#include <stdio.h>
#include <string.h>

/* What `fits` said of the parameters of a group. */
typedef struct fits_answers {
    int refused[SW_MAX_RANK + 1], taken[SW_MAX_RANK + 1]; /* parameters by rank */
    const sw_param *first;                                /* that is refused */
    sw_error_list reasons;
    int count;
} fits_answers;

static void fits_ask(const sw_optim *o, const swo_group *group, fits_answers *a) {
    for (int k = 0; k < group->params; k++) {
        const sw_param *p = group->param[k];
        char reason[256] = "";
        if (group->rule->fits(p, group->base.value, o->type, reason, sizeof reason)) {
            a->taken[p->rank]++;
            continue;
        }
        a->refused[p->rank]++;
        a->first = a->count++ ? a->first : p;
        sw_error_list_add(&a->reasons, "%.100s %s: %s", p->name, sw_shape_text(p->rank, p->shape),
                          *reason ? reason : "the rule gives no reason");
    }
}

/* A spec that gives the refused parameters to another rule: by rank if that tells them from the others, else by name. */
static void fits_print_remedy(const swo_group *group, const fits_answers *a, char *text, size_t size) {
    const char *name = group->rule->name, *selector = group->selector ? group->selector : "";
    int ranks = 0, rank = 0;
    bool apart = true;
    for (int r = 0; r <= SW_MAX_RANK; r++)
        if (a->taken[r]) {
            ranks++;
            rank = r;
            apart &= a->refused[r] == 0;
        }
    if (ranks == 0)
        snprintf(text, size, "choose another rule");
    else if (ranks == 1 && apart)
        snprintf(text, size, "give %s to another rule: \"%s%srank=%d: %s; adamw\"", a->count > 1 ? "them" : "it",
                 selector, *selector ? " " : "", rank, name);
    else
        snprintf(text, size, "give %s to another rule: \"name=%.100s: adamw; %s%s%s\"", a->count > 1 ? "them" : "it",
                 a->first->name, selector, *selector ? ": " : "", name);
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
    if (a.count == 1)
        return sw_fail(SW_ERR_ARGUMENT, "rule %s does not fit parameter %s; %s", group->rule->name,
                       sw_error_list_text(&a.reasons), remedy);
    return sw_fail(SW_ERR_ARGUMENT, "rule %s does not fit %d of its %d parameters: %s; %s", group->rule->name, a.count,
                   group->params, sw_error_list_text(&a.reasons), remedy);
}
