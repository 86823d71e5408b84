/* Recognizes rules that are sgd without momentum: x - lr (g + λx), or the prox of that, and nothing else. Estimators
 * can take many such steps in one loop, and x can be stored in two numbers. */
#include "optim/plain_sgd.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include <swale/prox.h>

#include <math.h>
#include <string.h>

/* The value of an option, or `otherwise` if the rule has no such option. */
static double plain_option(const swo_group *group, const char *name, double otherwise) {
    const int at = swo_option_index(group->rule->options, name);
    return at >= 0 ? group->base.value[at] : otherwise;
}

static bool plain_is_rule(const swo_group *group) {
    return (group->rule->flags & SW_RULE_PROXIMAL_SGD) && plain_option(group, "momentum", 0) == 0;
}

bool swo_rules_are_plain(const sw_optim *o) {
    for (int i = 0; i < o->groups; i++)
        if (!plain_is_rule(&o->group[i]))
            return false;
    return true;
}

static const swo_group *plain_group_of(const sw_optim *o, const sw_param *p) {
    for (int i = 0; i < o->groups; i++)
        for (int k = 0; k < o->group[i].params; k++)
            if (o->group[i].param[k] == p)
                return &o->group[i];
    return NULL;
}

bool swo_plain_stretches(const sw_optim *o, sw_estimate_run *run) {
    int64_t at = 0;
    run->stretches = 0;
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const sw_param *p = sw_params_at(o->params, i);
        const swo_group *group = p->tied || p->count == 0 ? NULL : plain_group_of(o, p);
        if (p->tied || p->count == 0)
            continue;
        if (!group || p->offset != at || run->stretches == SW_MAX_STRETCHES)
            return false;
        const sw_prox_options options = {.l1 = plain_option(group, "l1", 0),
                                         .nonnegative = plain_option(group, "nonnegative", 0),
                                         .low = plain_option(group, "low", -(double)INFINITY),
                                         .high = plain_option(group, "high", (double)INFINITY)},
                              *prox = &options;
        run->stretch[run->stretches++] = (sw_run_stretch){.offset = p->offset,
                                                          .count = p->count,
                                                          .lr = plain_option(group, "lr", 0),
                                                          .decay = plain_option(group, "weight_decay", 0),
                                                          .moves = !p->frozen,
                                                          .proximal = sw_prox_is_used(prox),
                                                          .l1 = prox->l1,
                                                          .low = sw_prox_low(prox),
                                                          .high = sw_prox_high(prox)};
        at += p->count;
    }
    return at == o->dim;
}

void *swo_x_low(sw_optim *o) {
    void *x_low = o->estimate->e.x_low;
    if (!o->objective || !x_low)
        return NULL;
    const bool kept = !o->search && !o->estimate->inner && swo_rules_are_plain(o);
    if (!kept || o->seen != sw_params_version(o->params))
        memset(x_low, 0, (size_t)o->dim * sw_dtype_size(o->type));
    return kept ? x_low : NULL;
}
