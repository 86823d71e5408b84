/* Writes the specs of an optimizer as text for files. They determine the meaning of its state. */
#include "optim/spec_text.h"
#include "optim/optimizer.h"

#include <stdio.h>
#include <string.h>

/* Whether an earlier version had this default, where the method now chooses a value. Files of that version omit the
 * option if it had the default. */
static bool text_is_former_default(const char *method, const sw_option *option, double value) {
    static const struct {
        const char *method, *option;
        double value;
    } former[] = {
        {"sag", "batch", 1}, {"saga", "batch", 1}, {"svrg", "batch", 64}, {"sag", "init", 0}, {"saga", "init", 1}};
    for (size_t i = 0; i < sizeof former / sizeof *former; i++)
        if (strcmp(method, former[i].method) == 0 && strcmp(option->name, former[i].option) == 0)
            return value == former[i].value;
    return false;
}

/* Prints a method with its options that are integers or choices and differ from the defaults: "sgd nesterov=1". */
static void text_print_method(char *out, size_t size, const char *name, const sw_option *table,
                              const swo_values *values) {
    size_t at = (size_t)snprintf(out, size, "%s", name);
    for (int i = 0; table && table[i].name && at < size; i++) {
        const bool says =
            table[i].kind == SW_OPTION_INTEGER || table[i].kind == SW_OPTION_BOOL || table[i].kind == SW_OPTION_CHOICE;
        if (says && values->value[i] != table[i].value && !text_is_former_default(name, &table[i], values->value[i]))
            at += (size_t)sw_format(out + at, size - at, " %s=%.17g", table[i].name, values->value[i]);
    }
}

enum { METHOD_TEXT = 1536 };

static char *text_of_rules(const sw_optim *o) {
    const size_t size = (size_t)o->groups * METHOD_TEXT;
    char *text = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, size);
    for (int i = 0; text && i < o->groups; i++) {
        const swo_group *g = &o->group[i];
        size_t at = strlen(text);
        at += (size_t)snprintf(text + at, size - at, "%s%s%s", i ? "; " : "", g->selector ? g->selector : "",
                               g->selector ? ": " : "");
        text_print_method(text + at, size - at, g->rule->name, g->rule->options, &g->base);
    }
    return text;
}

static char *text_of_estimator(const sw_optim *o) {
    enum { DEPTH = 6 };
    const size_t size = (size_t)DEPTH * METHOD_TEXT;
    char *text = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, size);
    for (const swo_estimate *e = o->estimate; text && e; e = e->inner) {
        const size_t at = strlen(text);
        text_print_method(text + at, size - at, e->e.method->name, e->e.method->options, &e->values);
        if (e->inner)
            snprintf(text + strlen(text), size - strlen(text), " of=");
    }
    return text;
}

static char *text_of_average(const sw_optim *o) {
    char *text = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, METHOD_TEXT);
    if (text && o->average)
        text_print_method(text, METHOD_TEXT, o->average->name, o->average->options, &o->average_values);
    else if (text)
        snprintf(text, METHOD_TEXT, "none");
    return text;
}

static char *text_of_search(const sw_optim *o) {
    char *text = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, METHOD_TEXT);
    if (text && o->search)
        text_print_method(text, METHOD_TEXT, o->search->name, o->search->options, &o->search_values);
    else if (text)
        snprintf(text, METHOD_TEXT, "none");
    return text;
}

const swo_spec_text swo_spec_texts[SWO_SPEC_TEXTS] = {
    {"optim.rule", text_of_rules},
    {"optim.estimator", text_of_estimator},
    {"optim.average", text_of_average},
    {"optim.line_search", text_of_search},
};
