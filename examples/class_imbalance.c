/* Why is Adam ahead of gradient descent on language? Kunstner et al., Heavy-Tailed Class Imbalance and Why Adam
 * Outperforms Gradient Descent on Language Models, NeurIPS 2024: because most words are rare. The program repeats their
 * smallest example, in which nothing else of a language is left: a linear model whose classes have very different
 * frequencies, trained on all samples in each step.
 *
 *     m = 7; group i < m has 2^i classes of 2^(m - i) samples: 127 classes, 896 samples
 *     x ~ U[0, 1] in d = 1024 dimensions, independent of the class; d > n, so that a perfect fit exists
 *
 * These are the sizes of --faithful; by default m = 6 (63 classes, 384 samples) and d = 512. Each method has the
 * best of several learning rates, by the loss at the end. The loss is shown for each group. For comparison, the
 * same is done with as many balanced classes, 127 of 7 or 8 samples.
 *
 * Then the program does the same with a text: an embedding and a linear layer predict each of its first words from the
 * word before it. The words are sorted by frequency and divided into groups of about equally many samples. The features
 * of a word begin with U[0, 1], as x above. */
#include "cli.h"

#include "corpus.h"
#include "stored.h"
#include "words.h"
#include <swale/swale.h>

enum { GD, ADAM, METHODS, MOST_GROUPS = 10, MOST_RATES = 9 };
enum { IMBALANCED, BALANCED, TEXT, TABLES };
enum { TEXT_GROUPS = 6, CHUNK = 1024 /* samples whose losses are computed at once */ };

static int64_t groups = 6, dim = 512, steps = 30, words_most = 2048, width = 32, word_steps = 50;
static double momentum = 0.9;
static const char *text;
static bool centered, faithful;

static const cli_option options[] = {
    {"--groups", "N", CLI_COUNT, &groups, 2, MOST_GROUPS, "groups of classes, m (6)"},
    {"--dim", "N", CLI_COUNT, &dim, 1, 100000, "dimensions of x, d (512)"},
    {"--steps", "N", CLI_COUNT, &steps, 2, 2000, "steps of each run (30)"},
    {"--momentum", "X", CLI_REAL, &momentum, 0, 0.999, "momentum of both methods (0.9)"},
    {"--text", "FILE", CLI_INPUT, &text, 0, 0, "a text, plain or gzip (the fortunes of the Debian package)"},
    {"--words", "N", CLI_COUNT, &words_most, 2, 1e7, "words of the text (2048)"},
    {"--width", "N", CLI_COUNT, &width, 1, 65536, "features of a word (32)"},
    {"--word-steps", "N", CLI_COUNT, &word_steps, 2, 100000, "steps of each run on the words (50)"},
    {"--centered", NULL, CLI_FLAG, &centered, 0, 0, "features of words begin with N(0, 1) instead of U[0, 1]"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0, "7 groups in 1024 dimensions, 30 steps; 4096 words"},
    STORED_FROM,
    CLI_COMMON("of the samples (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (class_imbalance.png)")};
static const cli_program program = {.name = "class_imbalance",
                                    .example = "class_imbalance --faithful --out class_imbalance.png",
                                    .options = options,
                                    .out = "class_imbalance.png",
                                    .numbers = true};

/* ---- The samples ---- */

typedef struct table {
    int64_t n, classes, steps;
    int groups;
    bool words;     /* x has ids of words, else vectors */
    double rate[2]; /* the smallest learning rate that is tried, by method */
    sw_array x, y;  /* f32 [n, dim] or i32 [n]; i32 [n] */
    int *group;     /* [n]: of each sample; balanced classes: 0 */
    int64_t classes_of_group[MOST_GROUPS];
    sw_source *source;
} table;

static void table_free(table *t) {
    sw_source_free(t->source);
    sw_array_free(&t->x), sw_array_free(&t->y), sw_free(t->group);
}

/* Sample i belongs to group i / 2^m, and there to a class of 2^(m - group) samples. */
static void table_make_vectors(table *t, bool balanced) {
    sw_rng rng = {.key = sw_rng_key((uint64_t)cli.seed, "samples")};
    const int64_t group_size = (int64_t)1 << groups;
    *t = (table){.n = groups * group_size,
                 .classes = group_size - 1,
                 .groups = balanced ? 1 : (int)groups,
                 .steps = steps,
                 .rate = {1e-3, 1e-4}};
    t->x = sw_array_new(SW_F32, SW_SHAPE(t->n, dim)), t->y = sw_array_new(SW_I32, SW_SHAPE(t->n));
    t->group = sw_alloc_array(t->n, sizeof *t->group);
    if (sw_error())
        return;
    for (int64_t i = 0; i < t->n * dim; i++)
        ((float *)t->x.data)[i] = (float)sw_rng_uniform(&rng);
    for (int64_t i = 0; i < t->n; i++) {
        const int64_t group = i / group_size, of_class = group_size >> group;
        t->group[i] = balanced ? 0 : (int)group;
        ((int32_t *)t->y.data)[i] =
            (int32_t)(balanced ? i % t->classes : ((int64_t)1 << group) - 1 + i % group_size / of_class);
    }
}

/* The sample i is the word i + 1 of the text, to be predicted from the word i. A class belongs to the group in which
 * the middle of its samples lies, if the samples are sorted by class and divided into equal parts. */
static void table_make_words(table *t, const words *w) {
    *t = (table){.n = w->n - 1,
                 .classes = w->classes,
                 .groups = TEXT_GROUPS,
                 .words = true,
                 .steps = word_steps,
                 .rate = {1e-2, 1e-4}};
    t->x = sw_array_new(SW_I32, SW_SHAPE(t->n)), t->y = sw_array_new(SW_I32, SW_SHAPE(t->n));
    t->group = sw_alloc_array(t->n, sizeof *t->group);
    int *group_of_class = sw_alloc_array(w->classes, sizeof *group_of_class);
    int64_t before = 0;
    for (int64_t k = 0; !sw_error() && k < w->classes; before += w->count[k++]) {
        group_of_class[k] = (int)((2 * before + w->count[k]) * TEXT_GROUPS / (2 * w->n));
        t->classes_of_group[group_of_class[k]]++;
    }
    for (int64_t i = 0; !sw_error() && i < t->n; i++) {
        ((int32_t *)t->x.data)[i] = w->id[i], ((int32_t *)t->y.data)[i] = w->id[i + 1];
        t->group[i] = group_of_class[w->id[i + 1]];
    }
    sw_free(group_of_class);
}

static void table_read_words(table *t) {
    corpus c = {0};
    words w = {0};
    if ((text ? corpus_append(&c, text) : corpus_read_fortunes(&c)) == SW_OK &&
        words_read(&w, c.text, c.bytes, words_most) == SW_OK) {
        if (w.classes < 2)
            sw_fail(SW_ERR_FORMAT, "%s: %lld words, %lld of them different; at least 2 different ones are needed",
                    text ? text : "the fortunes", (long long)w.n, (long long)w.classes);
        else
            table_make_words(t, &w);
    }
    words_free(&w), corpus_free(&c);
}

static void table_make(table *t, int kind) {
    if (kind == TEXT)
        table_read_words(t);
    else
        table_make_vectors(t, kind == BALANCED);
    if (!sw_error())
        t->source = sw_arrays(&t->x, &t->y, &SW_OPTIONS(sw_arrays_options, .classes = (int)t->classes));
}

/* ---- Runs ---- */

typedef struct outcome {
    double rate, loss;
    curve whole, group[MOST_GROUPS];
} outcome;

/* The results of a table. */
typedef struct experiment {
    int groups;
    int64_t steps;
    double classes, samples_of_group[MOST_GROUPS], classes_of_group[MOST_GROUPS];
    outcome best[METHODS];
} experiment;

static experiment experiments[TABLES];

/* The linear layer begins with zeros. */
static sw_model *network_new(const table *t) {
    sw_model *model = sw_model_new(SW_F32, (uint64_t)cli.seed);
    sw_module *linear = sw_nn_linear(model, t->words ? width : dim, t->classes), *root = linear;
    sw_module_set_init(linear, sw_init_zeros());
    if (t->words) {
        sw_module *embedding = sw_nn_embedding(model, t->classes, width);
        sw_module_set_init(embedding, centered ? sw_init_normal(0, 1) : sw_init_uniform(0, 1));
        root = sw_nn_sequential(model, embedding, linear, NULL);
    }
    sw_model_build(model, root);
    return model;
}

/* The mean losses of the groups, and of all samples, at the parameters of the model. */
static double group_losses(sw_model *model, const table *t, sw_tape *tape, double *loss) {
    const sw_cross_entropy_options each = SW_OPTIONS(sw_cross_entropy_options, .reduction = SW_NONE);
    sw_batch b;
    double all = 0;
    int64_t count[MOST_GROUPS] = {0}, ids[CHUNK];
    for (int k = 0; k < t->groups; k++)
        loss[k] = 0;
    for (int64_t first = 0; first < t->n && !sw_error(); first += CHUNK) {
        const int64_t rows = t->n - first < CHUNK ? t->n - first : CHUNK;
        for (int64_t i = 0; i < rows; i++)
            ids[i] = first + i;
        if (sw_source_batch(t->source, tape, SW_F32, ids, rows, &b) == SW_OK) {
            const sw_tensor z = sw_forward(sw_model_root(model), b.x);
            const float *of_sample = sw_value(sw_cross_entropy_with_options(z, b.y, &each)).data; /* [rows] */
            for (int64_t i = 0; of_sample && i < rows; i++) {
                const int group = t->group[first + i];
                loss[group] += (double)of_sample[i], count[group]++, all += (double)of_sample[i];
            }
        }
        sw_tape_reset(tape);
    }
    for (int k = 0; k < t->groups; k++)
        loss[k] = count[k] ? loss[k] / (double)count[k] : NAN; /* a short text may leave a group without samples */
    return all / (double)t->n;
}

/* Trains with one learning rate. Infinite loss: it diverged. */
static void train(const table *t, int method, double rate, outcome *o) {
    char rule[96];
    const int64_t every = t->words ? (t->steps + 24) / 25 : (t->steps + 74) / 75;
    snprintf(rule, sizeof rule, method == ADAM ? "adam lr=%.17g beta1=%.17g" : "sgd lr=%.17g momentum=%.17g", rate,
             momentum);
    sw_model *model = network_new(t);
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .estimator = "full", .rule = rule);
    sw_optim *optim = sw_error() ? NULL : sw_optim_new_with_options(sw_model_params(model), &how);
    const sw_objective *f = sw_error() ? NULL : sw_model_objective(model, t->source, sw_cross_entropy);
    sw_tape *tape = sw_tape_new();
    if (!sw_error())
        sw_tape_set_switch(tape, SW_RECORD, false);
    o->rate = rate, o->loss = INFINITY;
    for (int64_t step = 0; step <= t->steps && !sw_error(); step++) {
        double loss[MOST_GROUPS];
        if (step % every == 0 || step == t->steps) {
            o->loss = group_losses(model, t, tape, loss);
            if (!isfinite(o->loss))
                break;
            curve_add(&o->whole, (double)step, o->loss);
            for (int k = 0; k < t->groups; k++)
                curve_add(&o->group[k], (double)step, loss[k]);
        }
        if (step < t->steps)
            sw_optim_minimize(optim, f, NULL);
    }
    if (sw_error_status() == SW_ERR_NONFINITE) {
        o->loss = INFINITY;
        sw_clear_error();
    }
    o->loss = isfinite(o->loss) ? o->loss : INFINITY;
    sw_tape_free(tape), sw_optim_free(optim), sw_model_free(model);
}

static void reset_curves(outcome *o) {
    o->whole.n = 0;
    for (int k = 0; k < MOST_GROUPS; k++)
        o->group[k].n = 0;
}

/* Finds the best of the learning rates, each about three times the previous one. */
static void tune(const table *t, int method, outcome *best) {
    static outcome now;
    best->loss = INFINITY;
    for (int i = 0; i < MOST_RATES && !sw_error(); i++) {
        const int decade = i / 2;
        const double rate = t->rate[method] * pow(10, decade) * (i % 2 ? 3 : 1);
        reset_curves(&now);
        train(t, method, rate, &now);
        cli_note("%s, rate %g: loss %.4f\n", method == ADAM ? "Adam" : "GD", rate, now.loss);
        if (now.loss < best->loss)
            *best = now;
    }
}
/* The numbers of groups and steps follow from the options. */
static void experiment_clear(experiment *e, int kind) {
    memset(e, 0, sizeof *e);
    e->groups = kind == TEXT ? TEXT_GROUPS : kind == BALANCED ? 0 : (int)groups;
    e->steps = kind == TEXT ? word_steps : steps;
}

static void experiment_run(experiment *e, int kind) {
    table t = {0};
    table_make(&t, kind);
    experiment_clear(e, kind);
    e->classes = (double)t.classes;
    for (int64_t i = 0; !sw_error() && i < t.n; i++)
        e->samples_of_group[t.group[i]]++;
    for (int k = 0; k < t.groups; k++)
        e->classes_of_group[k] = (double)t.classes_of_group[k];
    for (int m = 0; m < METHODS && !sw_error(); m++)
        tune(&t, m, &e->best[m]);
    table_free(&t);
}

/* ---- Results ---- */

static const char *const result_name[TABLES][METHODS] = {
    {"gd", "adam"}, {"balanced_gd", "balanced_adam"}, {"text_gd", "text_adam"}};

static void list_outcome(stored *s, const char *name, experiment *e, outcome *o, char names[2][32]) {
    snprintf(names[0], sizeof names[0], "%s_rate", name), stored_number(s, names[0], &o->rate);
    snprintf(names[1], sizeof names[1], "%s_loss", name), stored_number(s, names[1], &o->loss);
    snprintf(o->whole.key, sizeof o->whole.key, "%s, all samples", name);
    stored_curves(s, 1, 1, &o->whole);
    for (int k = 0; k < e->groups; k++)
        snprintf(o->group[k].key, sizeof o->group[k].key, "%s, group %d", name, k + 1);
    stored_curves(s, e->groups, 1, o->group);
}

static void list_results(stored *s) {
    static char name[TABLES][METHODS][2][32], of_group[TEXT_GROUPS][2][32];
    if (cli.from)
        for (int i = 0; i < TABLES; i++)
            experiment_clear(&experiments[i], i);
    experiment *const e = &experiments[TEXT];
    stored_number(s, "text_words", &e->classes);
    for (int k = 0; k < TEXT_GROUPS; k++) {
        snprintf(of_group[k][0], sizeof of_group[k][0], "text_words_of_group_%d", k + 1);
        snprintf(of_group[k][1], sizeof of_group[k][1], "text_samples_of_group_%d", k + 1);
        stored_number(s, of_group[k][0], &e->classes_of_group[k]);
        stored_number(s, of_group[k][1], &e->samples_of_group[k]);
    }
    for (int i = 0; i < TABLES; i++)
        for (int m = 0; m < METHODS; m++)
            list_outcome(s, result_name[i][m], &experiments[i], &experiments[i].best[m], name[i][m]);
}

static double last_loss(const outcome *o, int group) {
    return o->group[group].n > 0 ? o->group[group].y[o->group[group].n - 1] : INFINITY;
}

static void print_results(void) {
    const experiment *const words_of = &experiments[TEXT];
    printf("text_words %.0f\n", words_of->classes);
    for (int k = 0; k < TEXT_GROUPS; k++)
        printf("text_words_of_group_%d %.0f\ntext_samples_of_group_%d %.0f\n", k + 1, words_of->classes_of_group[k],
               k + 1, words_of->samples_of_group[k]);
    for (int i = 0; i < TABLES; i++)
        for (int m = 0; m < METHODS; m++) {
            const char *name = result_name[i][m];
            const outcome *o = &experiments[i].best[m];
            printf("%s_rate %g\n%s_loss %.4f\n", name, o->rate, name, o->loss);
            for (int k = 0; k < experiments[i].groups; k++)
                if (i == TEXT)
                    printf("%s_loss_of_group_%d %.4f\n", name, k + 1, last_loss(o, k));
                else
                    printf("%s_loss_of_classes_with_%d_samples %.4f\n", name, 1 << (groups - k), last_loss(o, k));
        }
    cli_flush();
}

/* The end of the axis: above the loss of equal probabilities. */
static double loss_axis(int kind) {
    return 1.15 * log(kind == TEXT ? experiments[TEXT].classes : (double)(((int64_t)1 << groups) - 1));
}

static void draw_groups(plot *p, double left, double top, const char *title, int kind, int method) {
    static char name[MOST_GROUPS][32];
    static curve c[MOST_GROUPS];
    const experiment *const e = &experiments[kind];
    for (int k = 0; k < e->groups; k++) {
        c[k] = e->best[method].group[k];
        if (kind == TEXT)
            snprintf(name[k], sizeof name[k], "%.0f words", e->classes_of_group[k]);
        else
            snprintf(name[k], sizeof name[k], "%d samples", 1 << (groups - k));
        c[k].name = name[k], c[k].width = 1.8, c[k].color = color_viridis(0.9 * k / (double)(e->groups - 1));
    }
    plot_panel(p, left, top, 240, 210, 0, (double)e->steps, 0, loss_axis(kind));
    plot_axes(p, title, "steps", "loss");
    curves_draw(p, e->groups, c);
    curves_legend(p, e->groups, c);
}

static void draw_whole(plot *p, double top, const char *title, int kind) {
    const int shown = kind == TEXT ? METHODS : 2 * METHODS;
    plot_panel(p, 680, top, 240, 210, 0, (double)experiments[kind].steps, 0, loss_axis(kind));
    plot_axes(p, title, "steps", "");
    for (int i = 0; i < shown; i++) {
        const curve *c = &experiments[i < METHODS ? kind : BALANCED].best[i % METHODS].whole;
        plot_curve(p, c->n, c->x, c->y, i < METHODS ? 2.2 : 1.2, i % METHODS ? PLOT_RED : PLOT_BLUE);
    }
    plot_legend(p, shown,
                (legend_entry[]){{"GD", PLOT_BLUE, 2.6, LEGEND_LINE, {0}},
                                 {"Adam", PLOT_RED, 2.6, LEGEND_LINE, {0}},
                                 {"GD, balanced", PLOT_BLUE, 1.4, LEGEND_LINE, {0}},
                                 {"Adam, balanced", PLOT_RED, 1.4, LEGEND_LINE, {0}}});
}

static void draw(void) {
    plot p = plot_new(940, 735); /* legends are below the panels of each row */
    draw_groups(&p, 60, 40, "gradient descent, by class size", IMBALANCED, GD);
    draw_groups(&p, 370, 40, "Adam, by class size", IMBALANCED, ADAM);
    draw_whole(&p, 40, "all samples", IMBALANCED);
    draw_groups(&p, 60, 455, "a text: gradient descent", TEXT, GD);
    draw_groups(&p, 370, 455, "a text: Adam", TEXT, ADAM);
    draw_whole(&p, 455, "all words of the text", TEXT);
    plot_save(&p, cli.out);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (faithful)
        groups = 7, dim = 1024, steps = 30, words_most = 4096, word_steps = 50;
    cli_check_files();
    if (cli.from)
        stored_load(list_results);
    for (int i = TEXT; i >= 0 && !cli.from && !sw_error(); i--) /* a missing text is an error at once */
        experiment_run(&experiments[i], i);
    if (!sw_error()) {
        print_results();
        draw();
        stored_save(list_results);
    }
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
