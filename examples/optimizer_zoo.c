/* Which rule would you take? All rules that are registered, on Fashion-MNIST with 784-100-10, on equal budgets:
 * each is tuned by the same quasirandom search over the ranges of its own table, on 55,000 pictures for training
 * and 5,000 for choosing; the best setting then runs with other seeds, and is judged by the test set. */
#include "cli.h"
#include "curves.h"
#include <swale.h>

enum { MOST = 64, DIMS = 10, SEEDS = 16 };

static const char *out = "optimizer_zoo.png", *data, *only;
static int64_t seed = 1, trials = 8, epochs = 3, seeds = 3, threads;
static bool help, quick;

static const cli_option options[] = {
    {"--data", "DIR", CLI_TEXT, &data, 0, 0, "folder of the four IDX files (default: searched for)"},
    {"--rules", "A,B,...", CLI_TEXT, &only, 0, 0, "these alone (all)"},
    {"--trials", "N", CLI_COUNT, &trials, 1, 1000, "settings that are tried of each rule (8)"},
    {"--epochs", "N", CLI_COUNT, &epochs, 1, 1000, "of each run (3)"},
    {"--seeds", "N", CLI_COUNT, &seeds, 1, SEEDS, "runs of the best setting (3)"},
    {"--quick", NULL, CLI_FLAG, &quick, 0, 0, "2 trials, 1 epoch, 1 seed"},
    {"--seed", "N", CLI_COUNT, &seed, 0, 9e15, "of the search, initial values and order (1)"},
    {"--threads", "N", CLI_COUNT, &threads, 1, 64, "threads (all processors); same results for all"},
    {"--out", "FILE.png", CLI_TEXT, &out, 0, 0, "the picture; every trial goes to FILE.csv (optimizer_zoo.png)"},
    {"--help", NULL, CLI_FLAG, &help, 0, 0, "this text"},
    {0}};

/* ---- Halton's points, as in the AlgoPerf benchmark: large primes, digits shuffled, shifted at random ---- */

/* The i-th number of dimension d, in [0, 1). */
static double halton(int d, int64_t i) {
    static const int prime[DIMS] = {997, 991, 983, 977, 971, 967, 953, 947, 941, 937};
    const int base = prime[d];
    int digit[1000] = {0};
    char site[32];
    snprintf(site, sizeof site, "halton %d", d);
    sw_rng rng = {.key = sw_rng_key((uint64_t)seed, site)};
    for (int k = 0; k < base; k++)
        digit[k] = k;
    for (int k = base - 1; k > 1; k--) { /* 0 stays: numbers end */
        const int j = 1 + (int)sw_rng_below(&rng, (uint64_t)k), other = digit[j];
        digit[j] = digit[k];
        digit[k] = other;
    }
    double value = sw_rng_uniform(&rng), scale = 1;
    for (i += 100; i > 0; i /= base) { /* the first hundred are too regular */
        scale /= base;
        value += digit[i % base] * scale;
    }
    return value - floor(value);
}

/* "adam lr=0.00123 beta1=0.91 …": each option that the table wants tuned, at the trial's point. */
static void make_spec(const sw_rule *rule, int64_t trial, char *spec, size_t size) {
    size_t at = (size_t)snprintf(spec, size, "%s", rule->name);
    int d = 0;
    for (const sw_option *o = rule->options; o && o->name && d < DIMS && at < size; o++) {
        if (!(o->search_low < o->search_high))
            continue;
        const double u = halton(d++, trial);
        double value = o->search_log ? o->search_low * pow(o->search_high / o->search_low, u)
                                     : o->search_low + u * (o->search_high - o->search_low);
        if (o->kind != SW_OPTION_REAL)
            value = rint(value);
        at += (size_t)snprintf(spec + at, size - at, " %s=%.4g", o->name, value);
    }
}

/* ---- Runs ---- */

typedef struct entry {
    const sw_rule *rule;
    char spec[512];       /* the best so far */
    sw_evaluation chosen; /* on the 5,000 */
    double accuracy[SEEDS], mean, low, high, seconds; /* on the test set; seconds of an epoch */
    int runs;
} entry;

static entry zoo[MOST];
static curve by_step[MOST], by_second[MOST];

typedef struct watcher {
    curve *step, *second;
    double loss; /* smoothed */
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

/* One run; false if it came to nothing (the setting diverged), which is no error. */
static bool run(const char *spec, uint64_t its_seed, const sw_source *train, const sw_source *judge, watcher *w,
                sw_evaluation *result, double *seconds) {
    sw_train_result trained = {0};
    sw_model *model = sw_model_new(SW_F32, its_seed);
    sw_params *params = sw_model_build(model, sw_nn_sequential(model, sw_nn_linear(model, 784, 100), sw_nn_relu(model),
                                                               sw_nn_linear(model, 100, 10), NULL));
    const sw_optim_options how = {.size = sizeof how, .rule = spec, .seed = its_seed};
    sw_optim *optim = sw_error() ? NULL : sw_optim_create(params, &how);
    const sw_objective *f = sw_error() ? NULL : sw_model_objective(model, train, sw_cross_entropy);
    const sw_train_options length = {.size = sizeof length, .epochs = epochs, .user = w, .log = watch,
                                     .stop = &cli_signal};
    if (!sw_error() && sw_train(f, optim, &length, &trained) == SW_OK)
        sw_model_evaluate(model, sw_optim_point(optim), judge, sw_cross_entropy, result);
    *seconds = trained.seconds;
    bool diverged = sw_error() && trained.reason == SW_TRAIN_SKIPPED;
    if (diverged)
        sw_clear_error();
    sw_optim_free(optim), sw_model_free(model);
    return !diverged && !sw_error() && !cli_signal;
}

static void tune(entry *e, sw_source *const *part, FILE *csv) {
    e->chosen.accuracy = -1;
    for (int64_t t = 0; t < trials && !sw_error() && !cli_signal; t++) {
        char spec[512];
        double seconds;
        watcher none = {0};
        sw_evaluation now = {.loss = (double)NAN, .accuracy = (double)NAN};
        make_spec(e->rule, t, spec, sizeof spec);
        bool good = run(spec, (uint64_t)seed, part[0], part[1], &none, &now, &seconds);
        fprintf(csv, "%s,%lld,\"%s\",%.6f,%.4f\n", e->rule->name, (long long)t, spec, now.loss, now.accuracy);
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
        if (!run(e->spec, (uint64_t)(seed + 1 + k), train, test, &w, &now, &time))
            continue;
        e->accuracy[e->runs++] = now.accuracy;
        sum += now.accuracy, seconds += time;
        e->low = now.accuracy < e->low ? now.accuracy : e->low;
        e->high = now.accuracy > e->high ? now.accuracy : e->high;
    }
    e->mean = e->runs ? sum / e->runs : 0;
    e->seconds = e->runs ? seconds / e->runs / (double)epochs : 0;
}

/* ---- What comes of it ---- */

/* The rules that --rules asks for, or all; a name that is none ends the program. */
static int choose(void) {
    const char *names[MOST];
    int count = 0, rules = 0;
    for (; sw_rule_at(count) && count < MOST; count++)
        names[count] = sw_rule_at(count)->name;
    bool asked[MOST] = {false};
    for (const char *at = only; at && *at; at += strcspn(at, ","), at += *at == ',') {
        char word[64];
        int i = 0;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, ","), at);
        while (i < count && strcmp(names[i], word) != 0)
            i++;
        if (i == count) {
            fprintf(stderr, "optimizer_zoo: --rules: there is no rule %s%s\n", word, sw_suggest(word, count, names));
            exit(2);
        }
        asked[i] = true;
    }
    for (int i = 0; i < count; i++)
        if (asked[i] || !only || !*only) {
            zoo[rules].rule = sw_rule_at(i);
            by_step[rules++].name = names[i];
        }
    return rules;
}

static int by_mean(const void *a, const void *b) {
    const double x = ((const entry *)a)->mean, y = ((const entry *)b)->mean;
    return (x < y) - (x > y);
}

static void draw(int rules) {
    static const unsigned hue[8] = {PLOT_RED, PLOT_BLUE, PLOT_GREEN, PLOT_ORANGE, PLOT_PURPLE, PLOT_SKY, PLOT_BLACK,
                                    PLOT_GREY};
    double most = 1, last = 1;
    plot p = plot_new(1180, 440);
    for (int i = 0; i < rules; i++) {
        const int paler = i / 8; /* the hues come again */
        by_step[i].colour = by_second[i].colour = plot_mix(hue[i % 8], PLOT_WHITE, paler * 0.35);
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
            plot_curve(&p, c[i].n, c[i].x, c[i].y, c[i].width, c[i].colour);
        plot_frame(&p, PLOT_GREY);
    }
    plot_panel(&p, 980, 30, 190, 400, 0, 1, 0, 1);
    for (int i = 0; i < rules; i++)
        plot_key(&p, i, 2.5, by_step[i].colour, by_step[i].name);
    plot_save(&p, out);
}

int main(int argc, char **argv) {
    char path[4096];
    cli_parse(argc, argv, "optimizer_zoo", options);
    if (help)
        return cli_help("optimizer_zoo --rules sgd,adam,lion --trials 4 --out zoo.png", options), 0;
    if (quick)
        trials = 2, epochs = 1, seeds = 1;
    if (threads)
        sw_set_threads((int)threads);
    cli_catch_signals();
    const int rules = choose();
    curves_path(out, path);
    cli_check_output("optimizer_zoo", "--out", out);
    cli_check_output("optimizer_zoo", "--out", path);
    sw_source *test = sw_fashion_mnist(data, SW_TEST), *all = test ? sw_fashion_mnist(data, SW_TRAINING) : NULL;
    sw_source *part[2] = {0};
    const int64_t counts[2] = {55000, 5000};
    if (all)
        sw_split_source(all, 2, &(sw_split_options){sizeof(sw_split_options), .counts = counts, .own = true,
                                                    .seed = (uint64_t)seed}, part);
    FILE *csv = sw_error() ? NULL : fopen(path, "w");
    if (!csv && !sw_error())
        sw_fail(SW_ERR_IO, "%s: %s", path, strerror(errno));
    if (csv)
        fprintf(csv, "rule,trial,spec,validation_loss,validation_accuracy\n");
    for (int i = 0; i < rules && csv && !sw_error() && !cli_signal; i++) {
        tune(&zoo[i], part, csv);
        judge(&zoo[i], i, part[0], test);
        if (zoo[i].runs)
            fprintf(stderr, "%s: %.4f\n", zoo[i].rule->name, zoo[i].mean);
    }
    if (csv)
        fclose(csv);
    if (!sw_error())
        draw(rules);
    sw_source_free(part[0]), sw_source_free(part[1]), sw_source_free(test);
    if (sw_error())
        return fprintf(stderr, "optimizer_zoo: %s\n", sw_error()), 1;
    qsort(zoo, (size_t)rules, sizeof *zoo, by_mean); /* after the picture: its curves are in the old order */
    printf("rule test_accuracy low high seconds_per_epoch validation_accuracy spec\n");
    for (int i = 0; i < rules; i++)
        if (zoo[i].runs)
            printf("%s %.4f %.4f %.4f %.3f %.4f \"%s\"\n", zoo[i].rule->name, zoo[i].mean, zoo[i].low, zoo[i].high,
                   zoo[i].seconds, zoo[i].chosen.accuracy, zoo[i].spec);
    printf("picture %s\n", out);
    return cli_exit_code();
}
