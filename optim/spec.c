/* The parser of specs such as "adamw lr=1e-3 weight_decay=0.01", which uses the tables of the methods. */
#include "optim/spec.h"
#include "optim/option_table.h"
#include "optim/registry.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Words ---- */

static const char *spec_skip_blanks(const char *text) {
    while (*text == ' ' || *text == '\t' || *text == '\n')
        text++;
    return text;
}

static const char *spec_word_end(const char *text) {
    while (*text && *text != ' ' && *text != '\t' && *text != '\n')
        text++;
    return text;
}

const char *swo_spec_word(const char *text, char name[64]) {
    text = spec_skip_blanks(text);
    const char *end = spec_word_end(text);
    size_t length = (size_t)(end - text) < 63 ? (size_t)(end - text) : 63;
    memcpy(name, text, length);
    name[length] = 0;
    return end;
}

/* ---- One value ---- */

/* The index of `word` in "a|b|c", or -1. */
static int spec_choice_index(const char *choices, const char *word) {
    size_t length = strlen(word);
    int i = 0;
    for (const char *at = choices; at && *at; i++) {
        const char *end = strchr(at, '|');
        size_t n = end ? (size_t)(end - at) : strlen(at);
        if (n == length && strncmp(at, word, n) == 0)
            return i;
        at = end ? end + 1 : NULL;
    }
    return -1;
}

static sw_status spec_parse_value(const char *method, const sw_option *o, const char *word, double *value, char *unit) {
    char *end;
    double v = sw_parse_number(word, &end);
    bool number = end != word && !isnan(v);
    *unit = 's';
    switch (o->kind) {
    case SW_OPTION_BOOL:
        if (strcmp(word, "true") == 0 || strcmp(word, "1") == 0)
            *value = 1;
        else if (strcmp(word, "false") == 0 || strcmp(word, "0") == 0)
            *value = 0;
        else
            return sw_fail(SW_ERR_ARGUMENT, "%s: %s=%s; true or false is needed", method, o->name, word);
        return SW_OK;
    case SW_OPTION_CHOICE: {
        int i = spec_choice_index(o->choices, word);
        if (i < 0)
            return sw_fail(SW_ERR_ARGUMENT, "%s: %s=%s; one of %s is needed", method, o->name, word, o->choices);
        *value = i;
        return SW_OK;
    }
    case SW_OPTION_DURATION:
        if (number && strcmp(end, "%") == 0)
            *unit = '%';
        else if (number && strcmp(end, "ep") == 0)
            *unit = 'e';
        else
            number = number && *end == 0;
        if (!number || !(v >= 0) || isinf(v) || (*unit == '%' && v > 100))
            return sw_fail(SW_ERR_ARGUMENT,
                           "%s: %s=%s; steps (500), a percentage of the run (10%%) or epochs (3ep) are needed", method,
                           o->name, word);
        if ((o->open & SW_OPEN_LOW) && v == 0)
            return sw_fail(SW_ERR_ARGUMENT, "%s: %s=%s; more than 0 is needed", method, o->name, word);
        if (*unit == 's' && v > 0 && v < 1)
            return sw_fail(SW_ERR_ARGUMENT, "%s: %s=%s is less than a step; a percentage of the run is written %s=%g%%",
                           method, o->name, word, o->name, 100 * v);
        *value = v;
        return SW_OK;
    default: break;
    }
    if ((strcmp(o->name, "lr") == 0 || (o->open & SW_OPTION_AUTO)) && strcmp(word, "auto") == 0) {
        *value = NAN; /* the estimator proposes or determines the value */
        return SW_OK;
    }
    if (!number || *end != 0)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %s=%s is not a number", method, o->name, word);
    if (o->kind == SW_OPTION_INTEGER && v != floor(v))
        return sw_fail(SW_ERR_ARGUMENT, "%s: %s=%s is not a whole number", method, o->name, word);
    if (!swo_option_in_range(o, v))
        return sw_fail(SW_ERR_ARGUMENT, "%s: %s=%s is outside %s", method, o->name, word, swo_option_range_text(o));
    *value = v;
    return SW_OK;
}

/* ---- Unknown options ---- */

/* "sgd, rmsprop": the rules that have this option; "" if none has. */
static void spec_list_rules_with(const char *option, char *list, size_t size) {
    const void *rules[SWO_METHODS];
    const int n = swo_method_list(SWO_RULE, rules, SWO_METHODS);
    size_t at = 0;
    list[0] = 0;
    for (int i = 0; i < n && at < size; i++)
        if (swo_option_index(((const sw_rule *)rules[i])->options, option) >= 0)
            at += (size_t)snprintf(list + at, size - at, "%s%s", at ? ", " : "", ((const sw_rule *)rules[i])->name);
}

/* Options that users of other libraries may expect of a rule or an estimator, and the corresponding options of
 * swale. */
static const char *spec_option_hint(const char *word, bool rule) {
    static const struct {
        const char *word, *of_rule, *of_estimator;
    } known[] = {
        {"l2", ": the penalty is weight_decay", NULL},
        {"alpha", ": the penalty is weight_decay", NULL},
        {"C", ": C of n samples is weight_decay=1/(C n)", ": C of n samples is weight_decay=1/(C n) of the rule"},
        {"penalty", ": penalties are weight_decay, and l1 of sgd and fista", ": penalties are options of the rule"},
        {"lr", NULL, ": it is an option of the rule, as in \"sgd lr=auto\""},
        {"weight_decay", NULL, ": it is an option of the rule"},
        {"tol", ": sw_train has a tolerance", ": sw_train has a tolerance"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(word, known[i].word) == 0)
            return rule ? known[i].of_rule : known[i].of_estimator;
    return NULL;
}

/* Names that options have in PyTorch and in the authors' code of some methods. The hint is given if the method has the
 * option. */
static const char *spec_other_name(const char *word, const sw_option *table, const sw_option *more) {
    static const struct {
        const char *word, *option, *hint;
    } known[] = {{"learning_rate", "lr", ": it is called lr"},
                 {"wd", "weight_decay", ": it is called weight_decay"},
                 {"lambda", "weight_decay", ": it is called weight_decay"},
                 {"epsilon", "eps", ": it is called eps"},
                 {"betas", "beta1", ": they are beta1 and beta2"},
                 {"betas", "adamw_beta1", ": they are adamw_beta1 and adamw_beta2"},
                 {"warmup_steps", "warmup", ": it is called warmup, and is in steps (100), % or ep"},
                 {"adamw_lr", "adamw_lr_ratio", ": it is adamw_lr_ratio times lr"},
                 {"adjust_lr_fn", "scale", ": \"original\" is scale=keller, \"match_rms_adamw\" is scale=moonshot"},
                 {"ns_coefficients", "ns_a", ": they are ns_a, ns_b and ns_c"},
                 {"precondition_frequency", "period", ": it is called period"},
                 {"start_preconditioning_step", "start", ": it is called start"},
                 {"max_preconditioner_dim", "block", ": it is called block"},
                 {"max_precond_dim", "max_dim", ": it is called max_dim"},
                 {"history_size", "history", ": it is called history"},
                 {"max_iter", "history", ": sw_train has a number of steps"},
                 {"tolerance_grad", "history", ": sw_train has a tolerance"},
                 {"line_search_fn", "history", ": give .schedule = \"wolfe guess=lr\" in sw_optim_options"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(word, known[i].word) == 0 &&
            (swo_option_index(table, known[i].option) >= 0 || swo_option_index(more, known[i].option) >= 0))
            return known[i].hint;
    return NULL;
}

/* Members of sw_optim_options, which concern all rules and estimators and are therefore not their options, and what a
 * program may expect there because other libraries have it. */
static const char *spec_member_hint(const char *word) {
    static const char *const members[] = {"clip", "loss_scale", "schedule", "average", "estimator"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (strcmp(word, members[i]) == 0)
            return ": it is a member of sw_optim_options";
    return strcmp(word, "dtype") == 0 ? ": the type is that of the parameters" : NULL;
}

static sw_status spec_fail_unknown(const char *kind, const char *method, const sw_option *table, const sw_option *more,
                                   const char *word) {
    const char *names[2 * SW_MAX_OPTIONS];
    int count = 0;
    for (int i = 0; table && table[i].name && count < SW_MAX_OPTIONS; i++)
        names[count++] = table[i].name;
    for (int i = 0; more && more[i].name && count < 2 * SW_MAX_OPTIONS; i++)
        names[count++] = more[i].name;
    const char *nearest = sw_suggest(word, count, names);
    char list[600] = "";
    size_t at = 0;
    const bool rule = strcmp(kind, swo_kind_names[SWO_RULE]) == 0,
               decays = swo_option_index(table, "weight_decay") >= 0;
    const char *known = rule || strcmp(kind, swo_kind_names[SWO_ESTIMATOR]) == 0 ? spec_option_hint(word, rule) : NULL;
    if (rule)
        spec_list_rules_with(word, list, sizeof list);
    if (*list)
        return sw_fail(SW_ERR_ARGUMENT, "%s %s has no option %s, which is an option of %s", kind, method, word, list);
    if (spec_other_name(word, table, more))
        return sw_fail(SW_ERR_ARGUMENT, "%s %s has no option %s%s", kind, method, word,
                       spec_other_name(word, table, more));
    if (spec_member_hint(word))
        return sw_fail(SW_ERR_ARGUMENT, "%s %s has no option %s%s", kind, method, word, spec_member_hint(word));
    if (known && (decays || !rule || strcmp(word, "tol") == 0))
        return sw_fail(SW_ERR_ARGUMENT, "%s %s has no option %s%s", kind, method, word, known);
    for (int i = 0; i < count && at < sizeof list; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "; it has ", names[i]);
    return sw_fail(SW_ERR_ARGUMENT, "%s %s has no option %s%s", kind, method, word,
                   *nearest || count == 0 ? nearest : list);
}

/* An error for commas between options: "lr=1e-3,beta1=0.9", "nesterov,lr=0.1", "lr=0.1, momentum=0.9". In these cases
 * the comma is followed by the name of an option, by a word with an =, or by nothing. */
static sw_status spec_check_commas(const char *method, const sw_option *table, const sw_option *more, const char *text,
                                   const char *end) {
    const size_t length = (size_t)(end - text);
    const char *comma = memchr(text, ',', length);
    char name[64] = "";
    if (!comma)
        return SW_OK;
    const size_t left = (size_t)(end - comma) - 1, named = strcspn(comma + 1, ",= \t\n");
    if (named < sizeof name)
        memcpy(name, comma + 1, named);
    if (left > 0 && !memchr(comma, '=', left + 1) && swo_option_index(table, name) < 0 &&
        swo_option_index(more, name) < 0)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT, "%s: %.*s: options are separated by blanks, not by commas", method,
                   (int)(length < 200 ? length : 200), text);
}

/* ---- A spec ---- */

sw_status swo_spec_parse(const char *kind, const char *method, const sw_option *table, const sw_option *more,
                         const char *text, swo_values *out) {
    int first = swo_option_count(table), all = first + swo_option_count(more);
    if (all > SW_MAX_OPTIONS)
        return sw_fail(SW_ERR_ARGUMENT, "%s %s has more than %d options", kind, method, SW_MAX_OPTIONS);
    unsigned given = 0;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < all && i < SW_MAX_OPTIONS; i++) {
        out->value[i] = (i < first ? table[i] : more[i - first]).value;
        char unit = (i < first ? table[i] : more[i - first]).unit;
        out->unit[i] = (char)(unit ? unit : 's');
    }
    for (text = spec_skip_blanks(text); *text; text = spec_skip_blanks(text)) {
        const char *end = spec_word_end(text);
        const char *equals = memchr(text, '=', (size_t)(end - text));
        char key[64], word[256];
        SW_TRY(spec_check_commas(method, table, more, text, end));
        size_t key_length = (size_t)((equals ? equals : end) - text);
        if (key_length >= sizeof key)
            return sw_fail(SW_ERR_ARGUMENT, "%s %s: an option's name is too long", kind, method);
        memcpy(key, text, key_length);
        key[key_length] = 0;
        int i = swo_option_index(table, key), j = swo_option_index(more, key);
        if (i < 0 && j < 0)
            return spec_fail_unknown(kind, method, table, more, key);
        const sw_option *o = i >= 0 ? &table[i] : &more[j];
        int at = i >= 0 ? i : first + j;
        if (given & 1u << at)
            return sw_fail(SW_ERR_ARGUMENT, "%s: %s is given twice", method, key);
        given |= 1u << at;
        if (o->kind == SW_OPTION_SPEC && equals)
            end = equals + strlen(equals); /* the rest of the text is the inner spec */
        size_t length = equals ? (size_t)(end - equals) - 1 : 0;
        if (length >= sizeof word)
            return sw_fail(SW_ERR_ARGUMENT, "%s %s: the value of %s is too long", kind, method, key);
        memcpy(word, equals ? equals + 1 : "", length);
        word[length] = 0;
        if (o->kind == SW_OPTION_SPEC && equals)
            memcpy(out->spec, word, length + 1);
        else if (!equals && o->kind == SW_OPTION_BOOL)
            out->value[at] = 1;
        else if (!equals)
            return sw_fail(SW_ERR_ARGUMENT, "%s: %s needs a value: %s=…", method, key, key);
        else
            SW_TRY(spec_parse_value(method, o, word, &out->value[at], &out->unit[at]));
        text = end;
    }
    return SW_OK;
}

sw_status swo_spec_check_inner(const char *name, const sw_option *table, const swo_wrapper *outer, const char *text) {
    for (text = spec_skip_blanks(text); *text; text = spec_skip_blanks(text)) {
        char key[64];
        text = swo_spec_word(text, key);
        key[strcspn(key, "=")] = 0;
        const int at = swo_option_index(table, key);
        if (at >= 0 && table[at].kind == SW_OPTION_SPEC)
            return SW_OK; /* the rest is the spec of another wrapper, which checks it */
        for (const swo_wrapper *w = outer; at < 0 && w; w = w->outer)
            if (swo_option_index(w->options, key) >= 0)
                return sw_fail(SW_ERR_ARGUMENT,
                               "estimator %s has no option %s, which is an option of %s: write %s before of=, because "
                               "all options after of= belong to %s",
                               name, key, w->name, key, name);
    }
    return SW_OK;
}
