/* Compares all registered rules on Fashion-MNIST with 784-100-10 and equal budgets. Each rule is tuned by the same
 * quasirandom search over the ranges in its table, with 55,000 pictures for training and 5,000 for validation. The
 * best setting is then trained with other seeds and evaluated on the test set. */
#include "cli.h"
#include "curves.h"
#include "search.h"
#include <swale/swale.h>

enum { MOST = 64, SEEDS = 16, HUES = 8 };

static const char *data, *only;
static int64_t trials = 8, epochs = 3, seeds = 3;
static bool quick;

static const cli_option options[] = {
    {"--data", "DIR", CLI_DATA, &data, 0, 0, "folder of the four IDX files (default: searched for)"},
    {"--rules", "A,B,...", CLI_TEXT, &only, 0, 0, "rules to compare (all)"},
    {"--trials", "N", CLI_COUNT, &trials, 1, 1000, "settings to try for each rule (8)"},
    {"--epochs", "N", CLI_COUNT, &epochs, 1, 1000, "epochs of each run (3)"},
    {"--seeds", "N", CLI_COUNT, &seeds, 1, SEEDS, "runs of the best setting (3)"},
    {"--quick", NULL, CLI_FLAG, &quick, 0, 0, "2 trials, 1 epoch, 1 seed"},
    CLI_COMMON("of the search, initial values and order (1)", "FILE.png", CLI_PICTURE,
               "the picture; every trial goes to FILE.csv (optimizer_zoo.png)")};
static const cli_program program = {.name = "optimizer_zoo",
                                    .example = "optimizer_zoo --rules sgd,adam,lion --trials 4 --out zoo.png",
                                    .options = options,
                                    .out = "optimizer_zoo.png",
                                    .numbers = true};

/* ---- Runs ---- */

typedef struct entry {
    const sw_rule *rule;
    char spec[SEARCH_SPEC];                           /* the best spec so far */
    sw_evaluation chosen;                             /* on the 5,000 pictures for validation */
    double accuracy[SEEDS], mean, low, high, seconds; /* on the test set; seconds per epoch */
    int runs;
} entry;

static entry zoo[MOST];
static curve by_step[MOST], by_second[MOST];

typedef struct watcher {
    curve *step, *second;
    double loss; /* the smoothed loss */
} watcher;

static sw_status watch(void *user, sw_train_state *state) {
    watcher *w = user;
    if (!w->step || isnan(state->loss))
        return SW_OK;
    w->loss = state->step == 1 ? state->loss : w->loss + 0.02 * (state->loss - w->loss);
    if (state->step % 20 == 0) {
        curve_add(w->step, (double)state->step, w->loss);
        curve_add(w->second, state->seconds, w->loss);
    }
    return SW_OK;
}

/* Trains once. False if the setting diverged, which is not an error. */
static bool run(const char *spec, uint64_t its_seed, const sw_source *train, const sw_source *judge, watcher *w,
                sw_evaluation *result, double *seconds) {
    sw_train_result trained = {0};
    sw_model *model = sw_model_new(SW_F32, its_seed);
    sw_params *params = sw_model_build(model, sw_nn_sequential(model, sw_nn_linear(model, 784, 100), sw_nn_relu(model),
                                                               sw_nn_linear(model, 100, 10), NULL));
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .rule = spec, .seed = its_seed);
    sw_optim *optim = sw_error() ? NULL : sw_optim_new_with_options(params, &how);
    const sw_objective *f = sw_error() ? NULL : sw_model_objective(model, train, sw_cross_entropy);
    const sw_train_options length = {
        .size = sizeof length, .epochs = epochs, .user = w, .log = watch, .stop = &cli_signal};
    if (!sw_error() && sw_train(f, optim, &length, &trained) == SW_OK)
        sw_model_evaluate(model, sw_optim_point(optim), judge, sw_cross_entropy, result);
    *seconds = trained.seconds;
    const bool diverged = sw_error_status() == SW_ERR_NONFINITE;
    if (diverged)
        sw_clear_error();
    sw_optim_free(optim), sw_model_free(model);
    return !diverged && !sw_error() && !cli_signal;
}

/* Adds a line to the table for each trial, and replaces the file, so that an interrupted search leaves all complete
 * trials. `lost`: the last attempt failed, which does not end the search. */
static void tune(entry *e, sw_source *const *part, output *csv, bool *lost) {
    e->chosen.accuracy = -1;
    for (int64_t t = 0; t < trials && !sw_error() && !cli_signal; t++) {
        char spec[SEARCH_SPEC];
        double seconds;
        watcher none = {0};
        sw_evaluation now = {.loss = (double)NAN, .accuracy = (double)NAN};
        search_spec(e->rule, search_fixed(e->rule), t, (uint64_t)cli.seed, spec, sizeof spec);
        bool good = run(spec, (uint64_t)cli.seed, part[0], part[1], &none, &now, &seconds);
        if (cli_signal || sw_error())
            return;
        fprintf(csv->file, "%s,%lld,\"%s\",%.6f,%.4f\n", e->rule->name, (long long)t, spec, now.loss, now.accuracy);
        cli_tolerate(output_save(csv), lost);
        if (good && now.accuracy > e->chosen.accuracy) {
            e->chosen = now;
            snprintf(e->spec, sizeof e->spec, "%s", spec);
        }
    }
}

static void judge(entry *e, int i, const sw_source *train, const sw_source *test) {
    double sum = 0, seconds = 0, time = 0;
    e->low = 1, e->high = 0;
    for (int64_t k = 0; k < seeds && *e->spec && !sw_error() && !cli_signal; k++) {
        sw_evaluation now = {0};
        watcher w = {k == 0 ? &by_step[i] : NULL, &by_second[i], 0};
        if (!run(e->spec, (uint64_t)(cli.seed + 1 + k), train, test, &w, &now, &time))
            continue;
        e->accuracy[e->runs++] = now.accuracy;
        sum += now.accuracy, seconds += time;
        e->low = now.accuracy < e->low ? now.accuracy : e->low;
        e->high = now.accuracy > e->high ? now.accuracy : e->high;
    }
    e->mean = e->runs ? sum / e->runs : 0;
    e->seconds = e->runs ? seconds / e->runs / (double)epochs : 0;
}

/* ---- Results ---- */

/* Selects the rules of --rules, or all rules; an unknown name ends the program. */
static int choose(void) {
    const char *names[MOST];
    int count = 0, rules = 0;
    const sw_rule *rule[MOST];
    for (int i = 0; sw_rule_at(i) && count < MOST; i++)
        if (!(sw_rule_at(i)->flags & SW_RULE_EXACT_GRADIENT)) { /* it needs the gradient of all samples */
            rule[count] = sw_rule_at(i);
            names[count] = rule[count]->name;
            count++;
        }
    bool asked[MOST] = {false};
    for (const char *at = only; at && *at; at += strcspn(at, ","), at += *at == ',') {
        char word[64];
        int i = 0;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, ","), at);
        while (i < count && strcmp(names[i], word) != 0)
            i++;
        if (i == count && sw_rule_find(word))
            cli_fail(2, "--rules: %s needs the gradient of all samples, and these runs take batches", word);
        if (i == count)
            cli_fail(2, "--rules: there is no rule %s%s", word, sw_suggest(word, count, names));
        asked[i] = true;
    }
    for (int i = 0; i < count; i++)
        if (asked[i] || !only || !*only) {
            zoo[rules].rule = rule[i];
            by_step[rules++].name = names[i];
        }
    return rules;
}

static int by_mean(const void *a, const void *b) {
    const double x = (*(const entry *const *)a)->mean, y = (*(const entry *const *)b)->mean;
    return (x < y) - (x > y);
}

static void draw(int rules) {
    static const unsigned hue[HUES] = {PLOT_RED,    PLOT_BLUE, PLOT_GREEN, PLOT_ORANGE,
                                       PLOT_PURPLE, PLOT_SKY,  PLOT_BLACK, PLOT_GRAY};
    static const double dash[MOST / HUES][2] = {{0, 0}, {7, 4}, {2, 3}, {12, 3}, {4, 8}, {1, 6}, {18, 6}, {3, 1.5}};
    double most = 1, last = 1;
    legend_entry named[MOST];
    plot p = plot_new(1180, 440);
    for (int i = 0; i < rules; i++) {
        by_step[i].color = by_second[i].color = hue[i % HUES];
        by_step[i].width = by_second[i].width = 1.3;
        const curve *c = &by_second[i];
        most = c->n && c->x[c->n - 1] > most ? c->x[c->n - 1] : most;
        last = by_step[i].n && by_step[i].x[by_step[i].n - 1] > last ? by_step[i].x[by_step[i].n - 1] : last;
    }
    for (int panel = 0; panel < 2; panel++) {
        plot_panel(&p, panel ? 560 : 80, 40, 400, 340, 0, panel ? most : last, 0.2, 1.2);
        plot_axes(&p, panel ? "against time" : "against steps", panel ? "seconds" : "steps",
                  panel ? NULL : "training loss, smoothed");
        const curve *c = panel ? by_second : by_step;
        for (int i = rules - 1; i >= 0; i--)
            plot_dashed(&p, c[i].n, c[i].x, c[i].y, c[i].width, c[i].color, dash[i / HUES % (MOST / HUES)]);
        plot_frame(&p, PLOT_GRAY);
    }
    plot_panel(&p, 980, 30, 190, 400, 0, 1, 0, 1);
    for (int i = 0; i < rules; i++) {
        const double *gaps = dash[i / HUES % (MOST / HUES)];
        named[i] = (legend_entry){by_step[i].name, by_step[i].color, 1.8, LEGEND_LINE, {gaps[0], gaps[1]}};
    }
    plot_legend(&p, rules, named);
    plot_save(&p, cli.out);
}

static void search(int rules, sw_source *const *part, const sw_source *test) {
    output csv;
    char path[OUTPUT_PATH];
    bool lost = false;
    cli_numbers_path(cli.out, path);
    if (output_open(&csv, "%s", path))
        fprintf(csv.file, "rule,trial,spec,validation_loss,validation_accuracy\n");
    cli_catch_signals();
    for (int i = 0; i < rules && !sw_error() && !cli_signal; i++) {
        tune(&zoo[i], part, &csv, &lost);
        judge(&zoo[i], i, part[0], test);
        if (zoo[i].runs)
            cli_note("%s: %.4f\n", zoo[i].rule->name, zoo[i].mean);
    }
    cli_release_signals();
    if (lost)
        cli_tolerate(output_save(&csv), &lost);
    output_free(&csv);
}

static void print_results(int rules) {
    const entry *sorted[MOST] = {NULL};
    for (int i = 0; i < rules; i++)
        sorted[i] = &zoo[i];
    qsort(sorted, (size_t)rules, sizeof *sorted, by_mean);
    printf("rule test_accuracy low high seconds_per_epoch validation_accuracy spec\n");
    for (int i = 0; i < rules; i++) {
        const entry *e = sorted[i];
        if (e->runs)
            printf("%s %.4f %.4f %.4f %.3f %.4f \"%s\"\n", e->rule->name, e->mean, e->low, e->high, e->seconds,
                   e->chosen.accuracy, e->spec);
    }
    cli_flush();
}

/* Keep the picture of an earlier run instead of writing one without curves. */
static void say_nothing_was_completed(void) {
    if (cli_signal)
        cli_say("interrupted before the first rule was completed: %s was not written", cli.out);
    else
        sw_fail(SW_ERR_NONFINITE, "no rule has a setting that does not diverge: %s was not written", cli.out);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (quick)
        trials = 2, epochs = 1, seeds = 1;
    const int rules = choose();
    cli_check_files();
    sw_source *test = sw_fashion_mnist(data, SW_TEST), *all = test ? sw_fashion_mnist(data, SW_TRAINING) : NULL;
    sw_source *part[2] = {0};
    const int64_t counts[2] = {55000, 5000};
    if (all)
        sw_split_source(
            all, 2, &SW_OPTIONS(sw_split_options, .counts = counts, .owns_source = true, .seed = (uint64_t)cli.seed),
            part);
    if (!sw_error())
        search(rules, part, test);
    sw_source_free(part[0]), sw_source_free(part[1]), sw_source_free(test);
    int completed = 0;
    for (int i = 0; i < rules; i++)
        completed += zoo[i].runs > 0;
    if (completed > 0)
        print_results(rules);
    else if (!sw_error())
        say_nothing_was_completed();
    if (completed > 0 && !sw_error()) {
        draw(rules);
        if (!sw_error())
            printf("picture %s\n", cli.out);
    }
    return cli_end(cli_exit_code());
}
