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
 * word before it. The words are sorted by frequency and divided into groups of about equally many samples. */
#include "cli.h"

#include "corpus.h"
#include "curves.h"
#include "words.h"
#include <swale/swale.h>

enum { MOST_GROUPS = 10, GD, ADAM, METHODS = 2, MOST_RATES = 9 };
enum { IMBALANCED, BALANCED, TEXT, TABLES };
enum { TEXT_GROUPS = 6, CHUNK = 1024 /* samples whose losses are computed at once */ };

static int64_t groups = 6, dim = 512, steps = 30, words_most = 4096, width = 32, word_steps = 100;
static double momentum = 0.9;
static const char *text;
static bool faithful;

static const cli_option options[] = {
    {"--groups", "N", CLI_COUNT, &groups, 2, MOST_GROUPS, "groups of classes, m (6)"},
    {"--dim", "N", CLI_COUNT, &dim, 1, 100000, "dimensions of x, d (512)"},
    {"--steps", "N", CLI_COUNT, &steps, 2, 2000, "steps of each run (30)"},
    {"--momentum", "X", CLI_REAL, &momentum, 0, 0.999, "momentum of both methods (0.9)"},
    {"--text", "FILE", CLI_INPUT, &text, 0, 0, "a text, plain or gzip (the fortunes of the Debian package)"},
    {"--words", "N", CLI_COUNT, &words_most, 2, 1e7, "words of the text (4096)"},
    {"--width", "N", CLI_COUNT, &width, 1, 65536, "features of a word (32)"},
    {"--word-steps", "N", CLI_COUNT, &word_steps, 2, 100000, "steps of each run on the words (100)"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0, "7 groups in 1024 dimensions, 30 steps"},
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
    bool words;         /* x has ids of words, else vectors */
    double rate[2];     /* the smallest learning rate that is tried, by method */
    sw_array x, y;      /* f32 [n, dim] or i32 [n]; i32 [n] */
    int *group;         /* [n]: of each sample; balanced classes: 0 */
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
    *t = (table){.n = groups * group_size, .classes = group_size - 1, .groups = balanced ? 1 : (int)groups,
                 .steps = steps, .rate = {1e-3, 1e-4}};
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
    *t = (table){.n = w->n - 1, .classes = w->classes, .groups = TEXT_GROUPS, .words = true, .steps = word_steps,
                 .rate = {1e-1, 1e-4}};
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
        if (w.n < 2)
            sw_fail(SW_ERR_FORMAT, "%s: %lld words; at least 2 are needed", text ? text : "the fortunes",
                    (long long)w.n);
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

/* A table after training, for the results. */
typedef struct experiment {
    int groups;
    int64_t n, classes, steps, classes_of_group[MOST_GROUPS];
    outcome best[METHODS];
} experiment;

/* The linear layer begins with zeros. */
static sw_model *network_new(const table *t) {
    sw_model *model = sw_model_new(SW_F32, (uint64_t)cli.seed);
    sw_module *linear = sw_nn_linear(model, t->words ? width : dim, t->classes);
    sw_module_set_init(linear, sw_init_zeros());
    sw_model_build(model,
                   t->words ? sw_nn_sequential(model, sw_nn_embedding(model, t->classes, width), linear, NULL) : linear);
    return model;
}

/* The negative log-probability of a class. */
static double cross_entropy(const float *logit, int64_t classes, int32_t y) {
    double most = (double)logit[0], sum = 0; /* 1 at least: the largest term */
    for (int64_t k = 0; k < classes; k++)
        most = fmax(most, (double)logit[k]);
    for (int64_t k = 0; k < classes; k++)
        sum += exp((double)logit[k] - most);
    return log(fmax(sum, 1)) + most - (double)logit[y];
}

/* The mean losses of the groups, and of all samples, at the parameters of the model. */
static double group_losses(sw_model *model, const table *t, sw_tape *tape, double *loss) {
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
            const sw_array z = sw_value(sw_forward(sw_model_root(model), b.x));
            const float *logit = z.data; /* [rows, classes]; NULL after an error */
            for (int64_t i = first; logit && i < first + rows; i++, logit += t->classes) {
                const double of_sample = cross_entropy(logit, t->classes, ((const int32_t *)t->y.data)[i]);
                loss[t->group[i]] += of_sample, count[t->group[i]]++, all += of_sample;
            }
        }
        sw_tape_reset(tape);
    }
    for (int k = 0; k < t->groups; k++)
        loss[k] /= count[k] ? (double)count[k] : 1;
    return all / (double)t->n;
}

/* Trains with one learning rate. Infinite loss: it diverged. */
static void train(const table *t, int method, double rate, outcome *o) {
    char rule[96];
    const int64_t every = (t->steps + 74) / 75;
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
    o->loss = isnan(o->loss) ? INFINITY : o->loss;
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
        const double rate = t->rate[method == ADAM] * pow(10, decade) * (i % 2 ? 3 : 1);
        reset_curves(&now);
        const double start = cli_now();
        train(t, method, rate, &now);
        cli_note("%s, rate %g: loss %.4f  %.1fs\n", method == ADAM ? "Adam" : "GD", rate, now.loss, cli_now()-start);
        if (now.loss < best->loss)
            *best = now;
    }
}
int main(int argc, char **argv) {
    static experiment e[TABLES];
    cli_start(&program, argc, argv);
    for (int i = getenv("ONLY") ? TEXT : 0; i < TABLES && !sw_error(); i++) {
        table t = {0};
        table_make(&t, i);
        for (int m = 0; m < METHODS && !sw_error(); m++) {
            outcome *o = &e[i].best[m];
            tune(&t, m ? ADAM : GD, o);
            printf("table %d method %d n %lld classes %lld rate %g loss %g\n", i, m, (long long)t.n, (long long)t.classes, o->rate, o->loss);
            for (int k = 0; k < t.groups; k++)
                printf("   %lld %g\n", (long long)t.classes_of_group[k], o->group[k].y[o->group[k].n-1]);
        }
        table_free(&t);
    }
    return cli_end(0);
}
