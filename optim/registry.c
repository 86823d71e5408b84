/* Methods by name: the library's own, and those that programs register. */
#include "internal.h"
#include "methods.h"

#include <pthread.h>
#include <stdio.h>

const char *const swo_kind_names[SWO_KINDS] = {"estimator", "rule", "schedule", "line search",
                                               "average"};

static const void *const built_in[SWO_KINDS][32] = {
    [SWO_ESTIMATOR] = {&swo_minibatch, &swo_full, &swo_sag, &swo_saga, &swo_svrg, &swo_sam, &swo_asam},
    [SWO_RULE] = {&swo_sgd, &swo_adam, &swo_adamw},
    [SWO_SCHEDULE] = {&swo_constant, &swo_cosine},
    [SWO_SEARCH] = {NULL},
    [SWO_AVERAGE] = {&swo_none, &swo_ema},
};

enum { REGISTERED = 64 };
static const void *registered[SWO_KINDS][REGISTERED];
static int registered_count[SWO_KINDS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* All descriptions begin alike: size, name. */
static const char *name_of(const void *method) {
    return ((const sw_rule *)method)->name;
}

static int list_locked(swo_kind kind, const void *list[], int capacity) {
    int n = 0;
    for (int i = 0; built_in[kind][i] && n < capacity; i++)
        list[n++] = built_in[kind][i];
    for (int i = 0; i < registered_count[kind] && n < capacity; i++)
        list[n++] = registered[kind][i];
    return n;
}

int swo_methods(swo_kind kind, const void *list[], int capacity) {
    pthread_mutex_lock(&mutex);
    int n = list_locked(kind, list, capacity);
    pthread_mutex_unlock(&mutex);
    return n;
}

enum { MOST = 32 + REGISTERED };

const void *swo_lookup(swo_kind kind, const char *name) {
    const void *list[MOST];
    int n = name ? swo_methods(kind, list, MOST) : 0;
    for (int i = 0; i < n; i++)
        if (strcmp(name_of(list[i]), name) == 0)
            return list[i];
    return NULL;
}

const void *swo_find(swo_kind kind, const char *name) {
    const void *method = swo_lookup(kind, name);
    if (!method) {
        const void *list[MOST];
        const char *names[MOST];
        int n = swo_methods(kind, list, MOST);
        for (int i = 0; i < n; i++)
            names[i] = name_of(list[i]);
        if (*name)
            sw_fail(SW_ERR_ARGUMENT, "there is no %s %s%s", swo_kind_names[kind], name,
                    sw_suggest(name, n, names));
        else
            sw_fail(SW_ERR_ARGUMENT, "the name of the %s is missing", swo_kind_names[kind]);
    }
    return method;
}

static sw_status enter(swo_kind kind, const void *method) {
    if (!method || !name_of(method) || !*name_of(method))
        return sw_fail(SW_ERR_ARGUMENT, "register: the %s has no name", swo_kind_names[kind]);
    if (*(const size_t *)method == 0)
        return sw_fail(SW_ERR_ARGUMENT, "register: %s %s: its size must be sizeof of its type",
                       swo_kind_names[kind], name_of(method));
    const void *list[MOST];
    sw_status status = SW_OK;
    bool again = false;
    pthread_mutex_lock(&mutex);
    int n = list_locked(kind, list, MOST);
    for (int i = 0; i < n && status == SW_OK; i++) {
        again |= list[i] == method; /* harmless */
        if (list[i] != method && strcmp(name_of(list[i]), name_of(method)) == 0)
            status = sw_fail(SW_ERR_ARGUMENT, "register: the name %s is taken by another %s",
                             name_of(method), swo_kind_names[kind]);
    }
    if (status == SW_OK && !again && registered_count[kind] == REGISTERED)
        status = sw_fail(SW_ERR_ARGUMENT, "register: at most %d methods of a kind", REGISTERED);
    else if (status == SW_OK && !again)
        registered[kind][registered_count[kind]++] = method;
    pthread_mutex_unlock(&mutex);
    return status;
}

static sw_status check_tables(swo_kind kind, const char *name, const sw_option *options, const sw_slot *slots,
                              const char *const *scalars) {
    int n = 0;
    while (slots && slots[n].name)
        n++;
    if (swo_count(options) > SW_MAX_OPTIONS || n > SW_MAX_SLOTS ||
        swo_scalars(scalars) > SW_MAX_SCALARS)
        return sw_fail(SW_ERR_ARGUMENT, "register: %s has more than %d options, %d slots or %d scalars",
                       name, SW_MAX_OPTIONS, SW_MAX_SLOTS, SW_MAX_SCALARS);
    for (int i = 0; i < n; i++) /* estimators: the size is known, and looked at, when it is bound */
        if (slots[i].start == SW_START_X &&
            (slots[i].type != SW_SLOT_REAL || (slots[i].count && kind != SWO_ESTIMATOR)))
            return sw_fail(SW_ERR_ARGUMENT, "register: slot %s of %s %s starts as a copy of x and must be "
                                            "like it", slots[i].name, swo_kind_names[kind], name);
    return SW_OK;
}

int swo_scalars(const char *const *names) {
    int n = 0;
    while (names && names[n])
        n++;
    return n;
}

sw_status sw_register_rule(const sw_rule *r) {
    if (r && r->unit == SW_UNIT_ELEMENT ? !r->update : r && !r->tensor)
        return sw_fail(SW_ERR_ARGUMENT, "register: rule %s has no %s", r->name,
                       r->unit == SW_UNIT_ELEMENT ? "update" : "tensor");
    for (int i = 0; r && r->unit == SW_UNIT_ELEMENT && r->slots && r->slots[i].name; i++)
        if (r->slots[i].count || (r->slots[i].type && r->slots[i].start == SW_START_X))
            return sw_fail(SW_ERR_ARGUMENT, "register: slot %s of rule %s: a size of its own needs unit "
                                            "TENSOR", r->slots[i].name, r->name);
    if (r && (r->sums < 0 || r->sums > SW_MAX_SUMS))
        return sw_fail(SW_ERR_ARGUMENT, "register: rule %s has %d sums; 0 to %d are possible", r->name,
                       r->sums, SW_MAX_SUMS);
    if (r)
        SW_TRY(check_tables(SWO_RULE, r->name, r->options, r->slots, r->scalars));
    return enter(SWO_RULE, r);
}

sw_status sw_register_estimator(const sw_estimator *e) {
    if (e && !e->estimate)
        return sw_fail(SW_ERR_ARGUMENT, "register: estimator %s has no estimate", e->name);
    if (e)
        SW_TRY(check_tables(SWO_ESTIMATOR, e->name, e->options, e->slots, e->scalars));
    return enter(SWO_ESTIMATOR, e);
}

sw_status sw_register_schedule(const sw_schedule *s) {
    if (s && !s->factor)
        return sw_fail(SW_ERR_ARGUMENT, "register: schedule %s has no factor", s->name);
    return enter(SWO_SCHEDULE, s);
}

sw_status sw_register_line_search(const sw_line_search *s) {
    if (s && !s->search)
        return sw_fail(SW_ERR_ARGUMENT, "register: line search %s has no search", s->name);
    if (s)
        SW_TRY(check_tables(SWO_SEARCH, s->name, s->options, NULL, s->scalars));
    return enter(SWO_SEARCH, s);
}

sw_status sw_register_average(const sw_average *a) {
    if (a)
        SW_TRY(check_tables(SWO_AVERAGE, a->name, a->options, a->slots, a->scalars));
    return enter(SWO_AVERAGE, a);
}

const sw_rule *sw_rule_find(const char *name) {
    return swo_lookup(SWO_RULE, name);
}

const sw_estimator *sw_estimator_find(const char *name) {
    return swo_lookup(SWO_ESTIMATOR, name);
}

/* ---- The list ---- */

static void print_default(FILE *to, const sw_option *o) {
    if (o->kind == SW_OPTION_CHOICE) {
        const char *at = o->choices;
        for (int i = 0; i < (int)o->value && at; i++)
            at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL;
        fprintf(to, "%.*s", at ? (int)strcspn(at, "|") : 0, at ? at : "");
    } else if (o->kind == SW_OPTION_SPEC) {
        fprintf(to, "minibatch");
    } else {
        fprintf(to, "%g", o->value);
    }
}

static void print_options(FILE *to, const sw_option *table) {
    for (int i = 0; table && table[i].name; i++) {
        const sw_option *o = &table[i];
        fprintf(to, "      %s=", o->name);
        print_default(to, o);
        if (o->kind == SW_OPTION_CHOICE)
            fprintf(to, "  (%s)", o->choices);
        else if (o->kind == SW_OPTION_REAL || o->kind == SW_OPTION_INTEGER)
            fprintf(to, "  %c%g, %g%c", o->open & SW_OPEN_LOW ? '(' : '[', o->low, o->high,
                    o->open & SW_OPEN_HIGH ? ')' : ']');
        fprintf(to, "  %s\n", o->help ? o->help : "");
    }
}

typedef struct heading {
    const char *summary, *source;
    const sw_option *options;
} heading;

static heading heading_of(swo_kind kind, const void *method) {
#define HEADING(type) ((heading){((const type *)method)->summary, ((const type *)method)->source, \
                                 ((const type *)method)->options})
    switch (kind) {
    case SWO_ESTIMATOR: return HEADING(sw_estimator);
    case SWO_RULE: return HEADING(sw_rule);
    case SWO_SCHEDULE: return HEADING(sw_schedule);
    case SWO_SEARCH: return HEADING(sw_line_search);
    default: return HEADING(sw_average);
    }
#undef HEADING
}

void sw_optim_list(FILE *to) {
    const void *list[MOST];
    for (int kind = 0; to && kind < SWO_KINDS; kind++) {
        int n = swo_methods((swo_kind)kind, list, MOST);
        if (!n)
            continue;
        fprintf(to, "%ss\n", swo_kind_names[kind]);
        for (int i = 0; i < n; i++) {
            heading h = heading_of((swo_kind)kind, list[i]);
            fprintf(to, "  %-12s %s", name_of(list[i]), h.summary ? h.summary : "");
            if (h.source)
                fprintf(to, "  [%s]", h.source);
            fputc('\n', to);
            print_options(to, h.options);
            if (kind == SWO_SCHEDULE)
                print_options(to, swo_schedule_options);
        }
    }
}
