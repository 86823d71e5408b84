/* Prints the list of all methods with the contents of their tables. */
#include "optim/loss_scale_spec.h"
#include "optim/option_table.h"
#include "optim/option_values.h"
#include "optim/registry.h"

#include <stdio.h>
#include <string.h>

/* ---- Options ---- */

static void list_print_default(FILE *to, const sw_option *o) {
    if (o->kind == SW_OPTION_CHOICE) {
        const char *at = o->choices;
        for (int i = 0; i < (int)o->value && at; i++)
            at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL;
        fprintf(to, "%.*s", at ? (int)strcspn(at, "|") : 0, at ? at : "");
    } else if (o->kind == SW_OPTION_SPEC) {
        fprintf(to, "minibatch");
    } else if (o->kind == SW_OPTION_BOOL) {
        fprintf(to, o->value != 0 ? "true" : "false");
    } else {
        fprintf(to, "%g%s", o->value, o->unit == '%' ? "%" : o->unit == 'e' ? "ep" : "");
    }
}

static void list_print_options(FILE *to, const sw_option *table) {
    for (int i = 0; table && table[i].name; i++) {
        const sw_option *o = &table[i];
        fprintf(to, "      %s=", o->name);
        list_print_default(to, o);
        if (o->kind == SW_OPTION_CHOICE || o->kind == SW_OPTION_BOOL)
            fprintf(to, "  (%s)", o->kind == SW_OPTION_BOOL ? "true|false" : o->choices);
        else if (o->kind == SW_OPTION_DURATION)
            fprintf(to, "  (steps, %% or ep)");
        else if (o->kind == SW_OPTION_REAL || o->kind == SW_OPTION_INTEGER)
            fprintf(to, "  %c%g, %g%c", o->open & SW_OPEN_LOW ? '(' : '[', o->low, o->high,
                    o->open & SW_OPEN_HIGH ? ')' : ']');
        fprintf(to, "  %s", o->help ? o->help : "");
        if (o->search_low < o->search_high)
            fprintf(to, "; search %g to %g%s", o->search_low, o->search_high, o->search_log ? ", log" : "");
        fputc('\n', to);
    }
}

/* ---- State and memory traffic, in bytes per parameter ---- */

/* For slots with `count`, the size for this matrix is printed; for rules of unit VECTOR, the size for a group with as
 * many elements. */
enum { SIDE = 1000 };
static const sw_param matrix = {
    .name = "matrix", .rank = 2, .shape = {SIDE, SIDE}, .count = (int64_t)SIDE * SIDE, .fan_in = SIDE, .fan_out = SIDE};

static double list_slot_bytes(const sw_slot *slot, const double *option, const sw_param *param) {
    const sw_slot_sizes sizes = {.dim = matrix.count, .param = param, .option = option, .type = SW_F32};
    const int64_t count = slot->count ? slot->count(&sizes) : matrix.count;
    return count < 0 ? 0 : (double)count * (double)swo_slot_size(slot, SW_F32) / (double)matrix.count;
}

/* Whether the size of a slot depends on the objective. Such a slot of an estimator is a table, and its size is not
 * printed. */
static bool list_is_table(swo_kind kind, const sw_slot *slot) {
    return kind == SWO_ESTIMATOR && slot->count;
}

/* The bytes of the slot that this one replaces, as v_f64 replaces v (second_moments.h); 0 if it replaces none. */
static double list_replaced_bytes(const sw_slot *slots, const sw_slot *slot, const double *option,
                                  const sw_param *param) {
    const size_t length = strlen(slot->name);
    if (length < 4 || strcmp(slot->name + length - 4, "_f64") != 0)
        return 0;
    for (int i = 0; slots[i].name; i++)
        if (strlen(slots[i].name) == length - 4 && strncmp(slots[i].name, slot->name, length - 4) == 0)
            return list_slot_bytes(&slots[i], option, param);
    return 0;
}

/* Prints "state 4 to 12 bytes a parameter: v, mean, momentum; a step moves 20". The range is from the slots that the
 * default options need to all slots. */
static void list_print_state(FILE *to, swo_kind kind, const sw_option *options, const sw_slot *slots, double cost,
                             sw_unit unit) {
    const sw_param *param = unit == SW_UNIT_VECTOR ? NULL : &matrix;
    double value[SW_MAX_OPTIONS] = {0}, least = 0, most = 0;
    bool sized = false;
    for (int i = 0; i < swo_option_count(options) && i < SW_MAX_OPTIONS; i++)
        value[i] = options[i].value;
    for (int i = 0; slots && slots[i].name; i++) {
        if (list_is_table(kind, &slots[i]))
            continue;
        const double bytes = list_slot_bytes(&slots[i], value, param);
        most += bytes - list_replaced_bytes(slots, &slots[i], value, param);
        least += swo_slot_needed(&slots[i], value, SW_F32) ? bytes : 0;
        sized |= slots[i].count && (kind == SWO_RULE || bytes != (double)swo_slot_size(&slots[i], SW_F32));
    }
    fprintf(to, "      state %.3g", least);
    if (most > least)
        fprintf(to, " to %.3g", most);
    fprintf(to, " bytes a parameter%s",
            !sized || kind != SWO_RULE ? ""
            : param                    ? " of a 1000 x 1000 matrix"
                                       : " of a group of 1000000");
    for (int i = 0; slots && slots[i].name; i++)
        fprintf(to, "%s%s%s", i ? ", " : ": ", slots[i].name, list_is_table(kind, &slots[i]) ? " (a table)" : "");
    const double x = kind == SWO_RULE ? 3 * sizeof(float) : sizeof(float); /* an average only reads x */
    if (kind == SWO_AVERAGE && sized)                                      /* one vector of several is written */
        fprintf(to, "; a step that takes one moves %.3g", 2 * x);
    else if (kind != SWO_ESTIMATOR && (kind == SWO_RULE || least > 0))
        fprintf(to, "; a step moves %.3g", cost > 0 ? cost * (double)sizeof(float) : x + 2 * least);
    fputc('\n', to);
}

/* ---- Methods ---- */

typedef struct heading {
    const char *name, *summary, *source;
    const sw_option *options;
    const sw_slot *slots; /* NULL for kinds without slots */
    sw_unit unit;         /* of rules */
    double moves;         /* for rules: sw_rule.cost */
    const char *cost;     /* as text */
} heading;

static heading list_heading(swo_kind kind, const void *method) {
#define HEADING(type)                                                                 \
    .name = ((const type *)method)->name, .summary = ((const type *)method)->summary, \
    .source = ((const type *)method)->source, .options = ((const type *)method)->options
    switch (kind) {
    case SWO_ESTIMATOR:
        return (heading){HEADING(sw_estimator), .slots = ((const sw_estimator *)method)->slots,
                         .cost = ((const sw_estimator *)method)->cost};
    case SWO_RULE:
        return (heading){HEADING(sw_rule), .slots = ((const sw_rule *)method)->slots,
                         .unit = ((const sw_rule *)method)->unit, .moves = ((const sw_rule *)method)->cost};
    case SWO_SCHEDULE: return (heading){HEADING(sw_schedule)};
    case SWO_SEARCH: return (heading){HEADING(sw_line_search), .cost = ((const sw_line_search *)method)->cost};
    default: return (heading){HEADING(sw_average), .slots = ((const sw_average *)method)->slots};
    }
#undef HEADING
}

/* The form of the specs of each kind. */
static const char *const spec_forms[SWO_KINDS] = {
    [SWO_ESTIMATOR] = "    \"minibatch batch=64\"; around another: \"sam rho=0.05 of=svrg\"",
    [SWO_RULE] =
        ("    \"adamw lr=1e-3\"; groups of parameters: \"role=bias: sgd lr=0.1; adamw\". [a, b) contains a, not b;\n"
         "    search: the range for a search of hyperparameters, log: on a logarithmic scale. Bytes are for f32.\n"
         "    Bytes that a step moves: with the default options, without the check of the gradient for Inf and NaN"),
    [SWO_SCHEDULE] =
        ("    \"cosine warmup=5%\" multiplies the learning rate, or OPTION with on=OPTION; several: \"cosine; linear\n"
         "    final=0.5 on=momentum\". Durations: 500 (steps), 10% (of the run), 3ep (epochs)"),
    [SWO_SEARCH] = "    \"armijo\", in place of a schedule",
    [SWO_AVERAGE] = "    \"ema decay=0.999\"",
};

static void list_print_loss_scale(FILE *to) {
    fprintf(to,
            "loss scales\n    \"1024\": a constant power of 2; \"none\"; \"dynamic interval=1000\"\n"
            "  dynamic      halved by a step with Inf or NaN, doubled after many without  [Micikevicius et al., ICLR "
            "2018]\n");
    list_print_options(to, swo_loss_scale_options);
}

void sw_optim_list(FILE *to) {
    const void *list[SWO_METHODS];
    void *before = sw_locale_begin();
    for (int k = 0; to && k < SWO_KINDS; k++) {
        const swo_kind kind = (swo_kind)k;
        const int n = swo_method_list(kind, list, SWO_METHODS);
        if (n)
            fprintf(to, "%s%s\n%s\n", swo_kind_names[kind], kind == SWO_SEARCH ? "es" : "s", spec_forms[kind]);
        for (int i = 0; i < n; i++) {
            const heading h = list_heading(kind, list[i]);
            fprintf(to, "  %-12s %s", h.name, h.summary ? h.summary : "");
            if (h.source)
                fprintf(to, "  [%s]", h.source);
            fputc('\n', to);
            if (kind == SWO_RULE || kind == SWO_ESTIMATOR || kind == SWO_AVERAGE)
                list_print_state(to, kind, h.options, h.slots, h.moves, h.unit);
            if (h.cost)
                fprintf(to, "      cost: %s\n", h.cost);
            list_print_options(to, h.options);
            if (kind == SWO_SCHEDULE)
                list_print_options(to, swo_schedule_options);
        }
    }
    if (to)
        list_print_loss_scale(to);
    sw_locale_end(before);
}
