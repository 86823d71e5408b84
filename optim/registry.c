/* Methods by name: those of the library and those that programs register. */
#include "optim/registry.h"
#include "optim/builtin_methods.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

const char *const swo_kind_names[SWO_KINDS] = {"estimator", "rule", "schedule", "line search", "average"};

#define DECLARE_ESTIMATOR(name) extern const sw_estimator swo_##name;
#define DECLARE_RULE(name) extern const sw_rule swo_##name;
#define DECLARE_SCHEDULE(name) extern const sw_schedule swo_##name;
#define DECLARE_LINE_SEARCH(name) extern const sw_line_search swo_##name;
#define DECLARE_AVERAGE(name) extern const sw_average swo_##name;
SWO_BUILTIN_ESTIMATORS(DECLARE_ESTIMATOR)
SWO_BUILTIN_RULES(DECLARE_RULE)
SWO_BUILTIN_SCHEDULES(DECLARE_SCHEDULE)
SWO_BUILTIN_LINE_SEARCHES(DECLARE_LINE_SEARCH)
SWO_BUILTIN_AVERAGES(DECLARE_AVERAGE)

#define ADDRESS(name) &swo_##name,
static const void *const built_in[SWO_KINDS][SWO_METHODS / 2] = {
    [SWO_ESTIMATOR] = {SWO_BUILTIN_ESTIMATORS(ADDRESS)}, [SWO_RULE] = {SWO_BUILTIN_RULES(ADDRESS)},
    [SWO_SCHEDULE] = {SWO_BUILTIN_SCHEDULES(ADDRESS)},   [SWO_SEARCH] = {SWO_BUILTIN_LINE_SEARCHES(ADDRESS)},
    [SWO_AVERAGE] = {SWO_BUILTIN_AVERAGES(ADDRESS)},
};

enum { REGISTERED = SWO_METHODS / 2 };
static const void *registered[SWO_KINDS][REGISTERED];
/* Increased under the mutex, after the entry is written. Lookups need no mutex, so that they work in a child of fork,
 * which may inherit a locked mutex. */
static atomic_int registered_count[SWO_KINDS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of registrations */

/* The structs of all kinds of methods begin with the same members: size, name. */
static const char *registry_name(const void *method) {
    return ((const sw_rule *)method)->name;
}

int swo_method_list(swo_kind kind, const void *list[], int capacity) {
    const int count = atomic_load_explicit(&registered_count[kind], memory_order_acquire);
    int n = 0;
    for (int i = 0; built_in[kind][i] && n < capacity; i++)
        list[n++] = built_in[kind][i];
    for (int i = 0; i < count && n < capacity; i++)
        list[n++] = registered[kind][i];
    return n;
}

const void *swo_method_lookup(swo_kind kind, const char *name) {
    const void *list[SWO_METHODS];
    int n = name ? swo_method_list(kind, list, SWO_METHODS) : 0;
    for (int i = 0; i < n; i++)
        if (strcmp(registry_name(list[i]), name) == 0)
            return list[i];
    return NULL;
}

/* Adds the names of a kind to those that are in the list, and returns how many there are. */
static int registry_add_names(swo_kind kind, int n, const char *names[]) {
    const void *list[SWO_METHODS];
    const int more = swo_method_list(kind, list, SWO_METHODS);
    for (int i = 0; i < more; i++)
        names[n + i] = registry_name(list[i]);
    return n + more;
}

/* "; known are sgd, adam, …" */
static void registry_print_names(int n, const char *const names[], char *text, size_t size) {
    size_t at = 0;
    for (int i = 0; i < n && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "; known are ", names[i]);
}

/* The error for a name that no method of this kind has. It may be a method of another kind, contain a comma instead of
 * a blank, or be misspelled. */
static sw_status registry_fail_unknown(swo_kind kind, const char *name) {
    static const char *const a_kind[SWO_KINDS] = {"an estimator", "a rule", "a schedule", "a line search",
                                                  "an average"};
    static const char *const member[SWO_KINDS] = {"estimator", "rule", "schedule", "schedule", "average"};
    const char *names[2 * SWO_METHODS];
    char known[1024] = "";
    if (!*name)
        return sw_fail(SW_ERR_ARGUMENT, "the name of the %s is missing", swo_kind_names[kind]);
    if (strchr(name, ','))
        return sw_fail(SW_ERR_ARGUMENT, "%s %s: a name and its options are separated by blanks, not by commas",
                       swo_kind_names[kind], name);
    for (int k = 0; k < SWO_KINDS; k++)
        if (swo_method_lookup((swo_kind)k, name))
            return sw_fail(SW_ERR_ARGUMENT, "%s is %s, not %s: give it as .%s of sw_optim_options", name, a_kind[k],
                           a_kind[kind], member[k]);
    int n = registry_add_names(kind, 0, names);
    if (kind == SWO_SCHEDULE) /* a line search may be given there, too */
        n = registry_add_names(SWO_SEARCH, n, names);
    const char *nearest = sw_suggest(name, n, names);
    if (!*nearest)
        registry_print_names(n, names, known, sizeof known);
    return sw_fail(SW_ERR_ARGUMENT, "there is no %s %s%s", swo_kind_names[kind], name, *nearest ? nearest : known);
}

const void *swo_method_find(swo_kind kind, const char *name) {
    const void *method = swo_method_lookup(kind, name);
    if (!method)
        registry_fail_unknown(kind, name);
    return method;
}

/* Called first: other checks ignore the members of a method with size 0, and would report a missing function. */
static sw_status registry_check_head(swo_kind kind, const void *method) {
    static const char *const type[SWO_KINDS] = {"sw_estimator", "sw_rule", "sw_schedule", "sw_line_search",
                                                "sw_average"};
    if (!method || !registry_name(method) || !*registry_name(method))
        return sw_fail(SW_ERR_ARGUMENT, "register: the %s has no name", swo_kind_names[kind]);
    if (*(const size_t *)method == 0)
        return sw_fail(SW_ERR_ARGUMENT, "register: %s %s: its size is 0; it must be sizeof(%s)", swo_kind_names[kind],
                       registry_name(method), type[kind]);
    return SW_OK;
}

static sw_status registry_add(swo_kind kind, const void *method) {
    const void *list[SWO_METHODS];
    sw_status status = SW_OK;
    bool again = false;
    pthread_mutex_lock(&mutex);
    int n = swo_method_list(kind, list, SWO_METHODS);
    for (int i = 0; i < n && status == SW_OK; i++) {
        again |= list[i] == method; /* to register a method twice is allowed */
        if (list[i] != method && strcmp(registry_name(list[i]), registry_name(method)) == 0)
            status = sw_fail(SW_ERR_ARGUMENT, "register: the name %s is taken by another %s", registry_name(method),
                             swo_kind_names[kind]);
    }
    const int count = atomic_load_explicit(&registered_count[kind], memory_order_relaxed);
    if (status == SW_OK && !again && count == REGISTERED) {
        status = sw_fail(SW_ERR_ARGUMENT, "register: at most %d methods of a kind", REGISTERED);
    } else if (status == SW_OK && !again) {
        registered[kind][count] = method;
        atomic_store_explicit(&registered_count[kind], count + 1, memory_order_release);
    }
    pthread_mutex_unlock(&mutex);
    return status;
}

/* Errors in the tables that would otherwise appear only when a spec is parsed or the state is saved. */
static sw_status registry_check_names(swo_kind kind, const char *name, const sw_option *options, const sw_slot *slots) {
    if (name && name[strcspn(name, " \t\n;:=,")])
        return sw_fail(
            SW_ERR_ARGUMENT,
            "register: the name of %s %s contains a blank or one of ; : = , which separate the parts of a spec",
            swo_kind_names[kind], name);
    for (int i = 0; options && options[i].name; i++) {
        const sw_option *o = &options[i];
        const bool number = o->kind == SW_OPTION_REAL || o->kind == SW_OPTION_INTEGER;
        if (number && !isnan(o->value) && !swo_option_in_range(o, o->value))
            return sw_fail(SW_ERR_ARGUMENT, "register: option %s of %s %s is %g by default, outside its range %s",
                           o->name, swo_kind_names[kind], name, o->value, swo_option_range_text(o));
        for (int k = 0; k < i; k++)
            if (strcmp(options[k].name, o->name) == 0)
                return sw_fail(SW_ERR_ARGUMENT, "register: %s %s has two options %s", swo_kind_names[kind], name,
                               o->name);
    }
    for (int i = 0; slots && slots[i].name; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(slots[k].name, slots[i].name) == 0)
                return sw_fail(SW_ERR_ARGUMENT, "register: %s %s has two slots %s", swo_kind_names[kind], name,
                               slots[i].name);
    return SW_OK;
}

static sw_status registry_check_tables(swo_kind kind, const char *name, const sw_option *options, const sw_slot *slots,
                                       const char *const *scalars) {
    int n = 0;
    while (slots && slots[n].name)
        n++;
    if (swo_option_count(options) > SW_MAX_OPTIONS || n > SW_MAX_SLOTS || swo_scalar_count(scalars) > SW_MAX_SCALARS)
        return sw_fail(SW_ERR_ARGUMENT, "register: %s has more than %d options, %d slots or %d scalars", name,
                       SW_MAX_OPTIONS, SW_MAX_SLOTS, SW_MAX_SCALARS);
    SW_TRY(registry_check_names(kind, name, options, slots));
    for (int i = 0; slots && i < n; i++) /* the sizes for estimators are checked when they are bound */
        if (slots[i].start == SW_START_X &&
            (slots[i].type != SW_SLOT_REAL || (slots[i].count && kind != SWO_ESTIMATOR)))
            return sw_fail(SW_ERR_ARGUMENT,
                           "register: slot %s of %s %s starts as a copy of x and must have the type and size of x",
                           slots[i].name, swo_kind_names[kind], name);
    return SW_OK;
}

/* An error unless the rule has the functions of its unit that update parameters. */
static sw_status registry_check_update(const sw_rule *r) {
    const bool part = SWO_RULE_HAS(r, part), parts = SWO_RULE_HAS(r, parts);
    if (part != parts)
        return sw_fail(SW_ERR_ARGUMENT, "register: rule %s has %s; an update in parts needs both", r->name,
                       part ? "part, but not parts" : "parts, but not part");
    if (part && r->unit != SW_UNIT_TENSOR)
        return sw_fail(SW_ERR_ARGUMENT, "register: rule %s has parts, which need unit TENSOR", r->name);
    const char *missing = NULL;
    switch (r->unit) {
    case SW_UNIT_ELEMENT: missing = r->update ? NULL : "update"; break;
    case SW_UNIT_TENSOR: missing = r->tensor || part ? NULL : "tensor or part"; break;
    case SW_UNIT_VECTOR: missing = SWO_RULE_HAS(r, vector) ? NULL : "vector"; break;
    default: missing = "unit of sw_unit"; break;
    }
    return missing ? sw_fail(SW_ERR_ARGUMENT, "register: rule %s has no %s", r->name, missing) : SW_OK;
}

sw_status sw_rule_register(const sw_rule *r) {
    SW_TRY(registry_check_head(SWO_RULE, r));
    SW_TRY(registry_check_update(r));
    for (int i = 0; r->unit == SW_UNIT_ELEMENT && r->slots && r->slots[i].name; i++)
        if (r->slots[i].count || (r->slots[i].type && r->slots[i].start == SW_START_X))
            return sw_fail(SW_ERR_ARGUMENT, "register: slot %s of rule %s: count requires unit TENSOR or VECTOR",
                           r->slots[i].name, r->name);
    for (int i = 0; r->unit != SW_UNIT_VECTOR && r->slots && r->slots[i].name; i++)
        if (r->slots[i].valid_by_scalars)
            return sw_fail(SW_ERR_ARGUMENT, "register: slot %s of rule %s: valid_by_scalars requires unit VECTOR",
                           r->slots[i].name, r->name);
    for (int i = 0; (r->measure || r->point) && r->slots && r->slots[i].name; i++)
        if (r->slots[i]
                .count) /* a stretch contains many parameters, and the offsets in such a slot differ from those in x */
            return sw_fail(SW_ERR_ARGUMENT,
                           "register: slot %s of rule %s: its count cannot be combined with measure and point, which "
                           "process many parameters per call; tensor processes one",
                           r->slots[i].name, r->name);
    if (r->sums < 0 || r->sums > SW_MAX_SUMS)
        return sw_fail(SW_ERR_ARGUMENT, "register: rule %s has %d sums; 0 to %d are possible", r->name, r->sums,
                       SW_MAX_SUMS);
    SW_TRY(registry_check_tables(SWO_RULE, r->name, r->options, r->slots, r->scalars));
    return registry_add(SWO_RULE, r);
}

sw_status sw_estimator_register(const sw_estimator *e) {
    SW_TRY(registry_check_head(SWO_ESTIMATOR, e));
    if (!e->estimate && !(e->flags & SW_ESTIMATOR_WRAPPER))
        return sw_fail(SW_ERR_ARGUMENT, "register: estimator %s has no estimate", e->name);
    SW_TRY(registry_check_tables(SWO_ESTIMATOR, e->name, e->options, e->slots, e->scalars));
    return registry_add(SWO_ESTIMATOR, e);
}

sw_status sw_schedule_register(const sw_schedule *s) {
    SW_TRY(registry_check_head(SWO_SCHEDULE, s));
    if (!s->factor)
        return sw_fail(SW_ERR_ARGUMENT, "register: schedule %s has no factor", s->name);
    SW_TRY(registry_check_tables(SWO_SCHEDULE, s->name, s->options, NULL, NULL));
    return registry_add(SWO_SCHEDULE, s);
}

sw_status sw_line_search_register(const sw_line_search *s) {
    SW_TRY(registry_check_head(SWO_SEARCH, s));
    if (!s->search)
        return sw_fail(SW_ERR_ARGUMENT, "register: line search %s has no search", s->name);
    SW_TRY(registry_check_tables(SWO_SEARCH, s->name, s->options, NULL, s->scalars));
    return registry_add(SWO_SEARCH, s);
}

sw_status sw_average_register(const sw_average *a) {
    SW_TRY(registry_check_head(SWO_AVERAGE, a));
    SW_TRY(registry_check_tables(SWO_AVERAGE, a->name, a->options, a->slots, a->scalars));
    return registry_add(SWO_AVERAGE, a);
}

const sw_rule *sw_rule_find(const char *name) {
    return swo_method_lookup(SWO_RULE, name);
}

const sw_estimator *sw_estimator_find(const char *name) {
    return swo_method_lookup(SWO_ESTIMATOR, name);
}

static const void *registry_at(swo_kind kind, int index) {
    const void *list[SWO_METHODS];
    const int n = swo_method_list(kind, list, SWO_METHODS);
    return index >= 0 && index < n ? list[index] : NULL;
}

const sw_rule *sw_rule_at(int index) {
    return registry_at(SWO_RULE, index);
}

const sw_estimator *sw_estimator_at(int index) {
    return registry_at(SWO_ESTIMATOR, index);
}

const sw_schedule *sw_schedule_at(int index) {
    return registry_at(SWO_SCHEDULE, index);
}

const sw_line_search *sw_line_search_at(int index) {
    return registry_at(SWO_SEARCH, index);
}

const sw_average *sw_average_at(int index) {
    return registry_at(SWO_AVERAGE, index);
}
