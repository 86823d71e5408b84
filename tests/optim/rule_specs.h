/* Specs for tests that run every rule, made from the tables of the rules: each rule with default options, and with each
 * option at a value other than the default. */
#ifndef TEST_RULE_SPECS_H
#define TEST_RULE_SPECS_H

#include "helpers.h"

enum { RULE_SPECS = 400, RULE_SPEC_LENGTH = 256 };
typedef struct rule_specs {
    char text[RULE_SPECS][RULE_SPEC_LENGTH];
    int count;
} rule_specs;

static inline void rule_specs_add(rule_specs *specs, const char *spec) {
    assert_true(specs->count < RULE_SPECS && strlen(spec) < RULE_SPEC_LENGTH);
    snprintf(specs->text[specs->count++], RULE_SPEC_LENGTH, "%s", spec);
}

/* The rule that a spec selects. */
static inline const sw_rule *rule_of_spec(const char *spec) {
    char name[64];
    assert_int_equal(sscanf(spec, "%63s", name), 1);
    const sw_rule *rule = sw_rule_find(name);
    assert_non_null(rule);
    return rule;
}

static inline bool has_option(const sw_rule *rule, const char *name) {
    for (const sw_option *o = rule->options; o && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return true;
    return false;
}

/* A value that is far from the default: an end of the range for tuning, or a number of ordinary size. */
static inline double other_value(const sw_option *o) {
    if (o->kind == SW_OPTION_BOOL)
        return o->value == 0;
    if (o->search_low < o->search_high) {
        const double up = o->search_log ? log(o->search_high / o->value) : o->search_high - o->value,
                     down = o->search_log ? log(o->value / o->search_low) : o->value - o->search_low;
        return o->value > 0 && down > up ? o->search_low : o->search_high;
    }
    if (isinf(o->value))
        return o->value < 0 ? -0.25 : 0.25;
    if (o->value != 0)
        return 2 * o->value <= o->high ? 2 * o->value : o->value / 2;
    return fmin(0.5, o->high / 2);
}

/* Adds the spec unless the rule refuses it because the option needs other options. */
static inline void rule_specs_try(rule_specs *specs, const char *spec) {
    sw_params *p = small_params(SW_F64);
    sw_optim *o = sw_optim_new(p, spec);
    if (o)
        rule_specs_add(specs, spec);
    sw_clear_error();
    sw_optim_free(o);
    sw_params_free(p);
}

/* Adds a spec for each choice except the default, or for one other value. */
static inline void rule_specs_add_option(rule_specs *specs, const sw_rule *rule, const sw_option *o) {
    char spec[RULE_SPEC_LENGTH];
    /* With Prodigy's default d0, the steps are so small at first that rounding errors of x hide them. */
    const char *more = has_option(rule, "d0") && strcmp(o->name, "d0") != 0 ? " d0=0.02" : "";
    if (o->kind != SW_OPTION_CHOICE) {
        snprintf(spec, sizeof spec, "%s %s=%.17g%s", rule->name, o->name, other_value(o), more);
        rule_specs_try(specs, spec);
        return;
    }
    int number = 0;
    for (const char *choice = o->choices; *choice; number++) {
        const int length = (int)strcspn(choice, "|");
        snprintf(spec, sizeof spec, "%s %s=%.*s", rule->name, o->name, length, choice);
        if (number != (int)o->value)
            rule_specs_try(specs, spec);
        choice += length + (choice[length] == '|');
    }
}

/* Adds each registered rule with each of its options. `switches`: only options that are off by default, or that select
 * among loops or states. */
static inline void rule_specs_add_all(rule_specs *specs, bool switches) {
    const sw_rule *rule;
    for (int r = 0; (rule = sw_rule_at(r)) != NULL; r++) {
        rule_specs_add(specs, rule->name);
        for (const sw_option *o = rule->options; o && o->name; o++) {
            const bool is_switch = o->kind != SW_OPTION_REAL || o->value == 0 || isinf(o->value);
            if (is_switch || !switches)
                rule_specs_add_option(specs, rule, o);
        }
    }
}

#endif
