/* Where is Adam ahead of stochastic gradient descent? The program trains three networks with both methods, each with
 * the best of several learning rates, and shows the training loss:
 *
 *   - cnn: a convolutional network on Fashion-MNIST, where both methods are said to be equally good;
 *   - gpt: a small transformer that predicts the characters of a text, where Adam is said to be ahead;
 *   - attention: linear attention that learns linear regression in context (in_context.h), which is said to show the
 *     advantage of Adam without a language (K. Ahn et al., Linear attention is (maybe) all you need, ICLR 2024).
 *
 * The rate is chosen by the loss of one seed, on a grid of factors √10, and between its best point and the two next to
 * it. Other seeds repeat the run with this rate. A loss is the mean over the batches of the last tenth of the steps.
 * SGD has momentum 0.9. Adam has β2 = 0.999; for `attention` it has β2 = 0.9, and gradients are clipped to the norm 1,
 * as in the program of the paper's authors. The rate is constant in a run. */
#include "cli.h"

#include "corpus.h"
#include "in_context.h"
#include "stored.h"
#include <swale/swale.h>

enum { CNN, GPT, ATTENTION, TASKS };
enum { SGD, ADAM, METHODS };
enum { MEAN, LEAST, LARGEST, CURVES }; /* over the seeds */
enum { MOST_RATES = 12, MOST_SEEDS = 32, POINTS = 50 /* of a curve */, MOST_PROMPTS = 50000 };
enum { PROMPT = 20, DIM = 5 }; /* known points of a prompt, dimensions */

static const char *data, *text, *only;
static int64_t samples = 2000, channels = 8, steps = 300, prompt_steps = 600, prompts_batch = 100, layers = 2,
               width = 32, block = 32, rates = 5, seeds = 6;
static bool faithful;

static const cli_option options[] = {
    {"--only", "cnn|gpt|attention", CLI_TEXT, &only, 0, 0, "train this network alone (all)"},
    {"--steps", "N", CLI_COUNT, &steps, 1, 1e6, "steps of cnn and gpt (300)"},
    {"--prompt-steps", "N", CLI_COUNT, &prompt_steps, 1, 1e6, "steps of attention (600)"},
    {"--rates", "N", CLI_COUNT, &rates, 1, MOST_RATES, "learning rates of the grid, each √10 times the last (5)"},
    {"--seeds", "N", CLI_COUNT, &seeds, 1, MOST_SEEDS, "runs with the best rate (6)"},
    {"--samples", "N", CLI_COUNT, &samples, 10, 60000, "cnn: training pictures (2000)"},
    {"--channels", "N", CLI_COUNT, &channels, 1, 64, "cnn: channels of the first convolution (8)"},
    {"--text", "FILE", CLI_INPUT, &text, 0, 0, "gpt: a text, plain or gzip (the fortunes of the Debian package)"},
    {"--layers", "N", CLI_COUNT, &layers, 1, 64, "gpt: blocks (2)"},
    {"--width", "N", CLI_COUNT, &width, 4, 4096, "gpt: features of a character, a multiple of 4 (32)"},
    {"--block", "N", CLI_COUNT, &block, 1, 4096, "gpt: characters of a sample (32)"},
    {"--prompts", "N", CLI_COUNT, &prompts_batch, 1, MOST_PROMPTS, "attention: prompts of a step (100)"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0, "larger networks, longer runs, six seeds"},
    {"--data", "DIR", CLI_DATA, &data, 0, 0, "folder of the four IDX files (default: searched for)"},
    STORED_FROM,
    CLI_COMMON("of initial weights and samples (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (adam_gap.png)")};
static const cli_program program = {.name = "adam_gap",
                                    .example = "adam_gap --only attention --seeds 6 --out adam_gap.png",
                                    .options = options,
                                    .out = "adam_gap.png",
                                    .numbers = true};

static const char *const task_name[TASKS] = {"cnn", "gpt", "attention"};
static const char *const method_name[METHODS] = {"sgd", "adam"};
static const char *const kind_name[CURVES] = {"mean", "least", "largest"};

/* The results. */
static struct result {
    double rate[METHODS]; /* 0: the task was not run */
    double loss[METHODS][CURVES], ratio[CURVES];
    curve curve[METHODS][CURVES];
} results[TASKS];

/* ---- Tasks: data, network, settings ---- */

typedef struct task {
    int kind;
    int64_t steps, batch;
    double rate[METHODS]; /* the smallest rate that is tried */
    double beta2, clip;
    sw_tensor (*loss)(sw_tensor, sw_tensor);
    const sw_source *source;
    sw_source *pictures, *some; /* owned */
    corpus corpus;
} task;

static void task_free(task *t) {
    sw_source_free(t->some), sw_source_free(t->pictures);
    corpus_free(&t->corpus);
}

static void task_make(task *t, int kind) {
    *t = (task){
        .kind = kind, .steps = kind == ATTENTION ? prompt_steps : steps, .beta2 = 0.999, .loss = sw_cross_entropy};
    if (kind == CNN) {
        t->batch = 64, t->rate[SGD] = 3e-3, t->rate[ADAM] = 3e-4;
        t->pictures = sw_fashion_mnist_pictures(data, SW_TRAINING);
        t->source = t->some = sw_error() ? NULL : sw_take(t->pictures, samples, NULL);
    } else if (kind == GPT) {
        t->batch = 16, t->rate[SGD] = 1e-2, t->rate[ADAM] = 3e-4;
        if (corpus_read(&t->corpus, &(corpus_options){.text = text, .block = block}))
            t->source = t->corpus.train;
    } else {
        t->batch = prompts_batch, t->rate[SGD] = 1e-2, t->rate[ADAM] = 3e-3;
        t->beta2 = 0.9, t->clip = 1, t->loss = sw_mse;
        const int64_t n = t->steps * t->batch < MOST_PROMPTS ? t->steps * t->batch : MOST_PROMPTS;
        t->source = t->some = prompts_new(n, PROMPT, DIM, (uint64_t)cli.seed);
    }
}

static sw_module *cnn_layers(sw_model *m) {
    const sw_conv_options same = SW_OPTIONS(sw_conv_options, .same = true);
    sw_model_set_input_shape(m, SW_SHAPE(28, 28, 1));
    return sw_nn_sequential(m, sw_nn_conv2d_with_options(m, 1, channels, 3, 3, &same), sw_nn_relu(m),
                            sw_nn_avg_pool2d(m, 2), sw_nn_conv2d_with_options(m, channels, 2 * channels, 3, 3, &same),
                            sw_nn_relu(m), sw_nn_avg_pool2d(m, 2), sw_nn_flatten(m),
                            sw_nn_linear(m, 7 * 7 * 2 * channels, 64), sw_nn_relu(m), sw_nn_linear(m, 64, 10), NULL);
}

static sw_model *task_model(const task *t, uint64_t seed) {
    sw_model *m = sw_model_new(SW_F32, seed);
    if (t->kind == CNN)
        sw_model_build(m, cnn_layers(m));
    else if (t->kind == GPT)
        sw_model_build(m, sw_nn_gpt(m, &SW_OPTIONS(sw_gpt_options, .vocabulary = t->source->classes, .length = block,
                                                   .layers = (int)layers, .heads = 4, .width = width)));
    else
        in_context_build(m, PROMPT, DIM, 3);
    return m;
}

/* ---- Runs ---- */

typedef struct run {
    double loss, point[POINTS]; /* infinite if the run diverged */
} run;

typedef struct outcome {
    double rate;
    run run[MOST_SEEDS];
} outcome;

static int64_t points_of(const task *t) {
    return t->steps < POINTS ? t->steps : POINTS;
}

/* The first step that counts for the next point, or for the end of a run of `steps` steps. */
static int64_t step_of_point(const task *t, int64_t point) {
    return point * t->steps / points_of(t);
}

/* Point k is the mean loss of the batches since the point before it. */
static void run_train(const task *t, int method, double rate, uint64_t seed, run *r) {
    char rule[128], estimator[64];
    snprintf(rule, sizeof rule, method == ADAM ? "adam lr=%.17g beta2=%.17g" : "sgd lr=%.17g momentum=0.9", rate,
             t->beta2);
    snprintf(estimator, sizeof estimator, "minibatch batch=%lld", (long long)t->batch);
    sw_model *m = task_model(t, seed);
    const sw_optim_options how =
        SW_OPTIONS(sw_optim_options, .estimator = estimator, .rule = rule, .clip = t->clip, .seed = seed);
    sw_optim *optim = sw_error() ? NULL : sw_optim_new_with_options(sw_model_params(m), &how);
    const sw_objective *f = sw_error() ? NULL : sw_model_objective(m, t->source, t->loss);
    const int64_t tail = (t->steps + 9) / 10;
    bool diverged = false;
    r->loss = 0;
    for (int64_t point = 0; point < points_of(t); point++) {
        const int64_t end = step_of_point(t, point + 1);
        double sum = 0;
        for (int64_t step = step_of_point(t, point); step < end && !diverged && !sw_error(); step++) {
            double loss = NAN;
            diverged = sw_optim_minimize(optim, f, &loss) == SW_ERR_NONFINITE || !isfinite(loss);
            sum += loss;
            r->loss += step >= t->steps - tail ? loss / (double)tail : 0;
        }
        r->point[point] = diverged ? INFINITY : sum / (double)(end - step_of_point(t, point));
    }
    if (diverged) {
        r->loss = INFINITY;
        if (sw_error_status() == SW_ERR_NONFINITE)
            sw_clear_error();
    }
    sw_optim_free(optim), sw_model_free(m);
}

static void try_rate(const task *t, int method, double rate, outcome *best) {
    run now;
    run_train(t, method, rate, (uint64_t)cli.seed, &now);
    if (!sw_error())
        cli_note("%s, %s, rate %.3g: loss %.4f\n", task_name[t->kind], method_name[method], rate, now.loss);
    if (best->rate <= 0 || now.loss < best->run[0].loss)
        best->rate = rate, best->run[0] = now;
}

/* Finds the best rate with the first seed: on a grid of factors √10, and then between its best rate and the two next to
 * it. Trains with it from the other seeds. */
static void tune(const task *t, int method, outcome *best) {
    best->rate = 0;
    for (int64_t i = 0; i < rates && !sw_error(); i++)
        try_rate(t, method, t->rate[method] * pow(10, (double)i / 2), best);
    const double middle = best->rate;
    for (int i = -1; i <= 1 && !sw_error() && rates > 1; i += 2)
        try_rate(t, method, middle * pow(10, i / 4.0), best);
    for (int64_t i = 1; i < seeds && !sw_error(); i++)
        run_train(t, method, best->rate, (uint64_t)(cli.seed + i), &best->run[i]);
}

/* ---- Results ---- */

static void statistics(int64_t count, const double *value, double out[CURVES]) {
    out[MEAN] = 0, out[LEAST] = INFINITY, out[LARGEST] = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        out[MEAN] += value[i] / (double)count;
        out[LEAST] = fmin(out[LEAST], value[i]), out[LARGEST] = fmax(out[LARGEST], value[i]);
    }
}

/* Fills in the results of a method. A curve has the points at which the loss of every seed is finite. */
static void collect(const task *t, int method, const outcome *o, struct result *r) {
    double value[MOST_SEEDS], s[CURVES];
    r->rate[method] = o->rate;
    for (int64_t i = 0; i < seeds; i++)
        value[i] = o->run[i].loss;
    statistics(seeds, value, r->loss[method]);
    for (int64_t point = 0; point < points_of(t); point++) {
        for (int64_t i = 0; i < seeds; i++)
            value[i] = o->run[i].point[point];
        statistics(seeds, value, s);
        for (int k = 0; k < CURVES && isfinite(s[MEAN]); k++)
            curve_add(&r->curve[method][k], (double)(step_of_point(t, point) + step_of_point(t, point + 1)) / 2, s[k]);
    }
}

static void run_task(int kind) {
    static outcome o[METHODS];
    double ratio[MOST_SEEDS];
    task t;
    task_make(&t, kind);
    for (int m = 0; m < METHODS && !sw_error(); m++) {
        tune(&t, m, &o[m]);
        if (!sw_error())
            collect(&t, m, &o[m], &results[kind]);
    }
    for (int64_t i = 0; i < seeds; i++)
        ratio[i] = o[SGD].run[i].loss / o[ADAM].run[i].loss;
    statistics(seeds, ratio, results[kind].ratio);
    task_free(&t);
}

static void list_results(stored *s) {
    static char rate[TASKS][METHODS][32], loss[TASKS][METHODS][CURVES][32], ratio[TASKS][CURVES][32];
    for (int i = 0; i < TASKS; i++) {
        struct result *const r = &results[i];
        for (int k = 0; k < CURVES; k++) {
            snprintf(ratio[i][k], sizeof ratio[i][k], "%s, ratio, %s", task_name[i], kind_name[k]);
            stored_number(s, ratio[i][k], &r->ratio[k]);
        }
        for (int m = 0; m < METHODS; m++) {
            snprintf(rate[i][m], sizeof rate[i][m], "%s, %s, rate", task_name[i], method_name[m]);
            stored_number(s, rate[i][m], &r->rate[m]);
            for (int k = 0; k < CURVES; k++) {
                char *const name = loss[i][m][k];
                snprintf(name, sizeof loss[i][m][k], "%s, %s, loss, %s", task_name[i], method_name[m], kind_name[k]);
                stored_number(s, name, &r->loss[m][k]);
                curve *const c = &r->curve[m][k];
                snprintf(c->key, sizeof c->key, "%s, %s, %s", task_name[i], method_name[m], kind_name[k]);
                stored_curves(s, 1, 0, c);
            }
        }
    }
}

/* The ratio is the loss of SGD divided by that of Adam, seed by seed. */
static void print_results(void) {
    static const char *const suffix[CURVES] = {"", "_least", "_largest"};
    for (int i = 0; i < TASKS; i++) {
        const struct result *r = &results[i];
        for (int m = 0; m < METHODS && r->rate[SGD] > 0; m++) {
            printf("%s_%s_rate %.3g\n", task_name[i], method_name[m], r->rate[m]);
            for (int k = 0; k < CURVES; k++)
                printf("%s_%s_loss%s %.4f\n", task_name[i], method_name[m], suffix[k], r->loss[m][k]);
        }
        for (int k = 0; k < CURVES && r->rate[SGD] > 0; k++)
            printf("%s_ratio%s %.4f\n", task_name[i], suffix[k], r->ratio[k]);
    }
    cli_flush();
}

/* The losses of attention range over orders of magnitude. */
static void draw_task(plot *p, double left, const char *title, int kind) {
    const struct result *const r = &results[kind];
    double least = INFINITY, most = -INFINITY, last = 1;
    for (int m = 0; m < METHODS; m++)
        for (int k = 0; k < r->curve[m][MEAN].n; k++) {
            least = fmin(least, r->curve[m][LEAST].y[k]), most = fmax(most, r->curve[m][LARGEST].y[k]);
            last = fmax(last, r->curve[m][MEAN].x[k]);
        }
    if (!(least > 0 && least <= most)) /* both methods diverged */
        least = 0.1, most = 1;
    if (kind == ATTENTION)
        least /= 1.15, most *= 1.15;
    else {
        const double edge = fmax(0.05 * (most - least), 0.01 * most); /* the losses may all be equal */
        least = kind == CNN ? 0 : least - edge, most += edge;
    }
    plot_panel(p, left, 40, 240, 210, 0, last, least, most);
    if (kind == ATTENTION)
        plot_logarithmic(p, false, true);
    plot_axes(p, title, "steps", "loss");
    for (int m = 0; m < METHODS; m++) {
        const curve *c = r->curve[m];
        plot_band(p, c[MEAN].n, c[MEAN].x, c[LEAST].y, c[LARGEST].y, m ? PLOT_RED : PLOT_BLUE, 0.25);
        plot_curve(p, c[MEAN].n, c[MEAN].x, c[MEAN].y, 2, m ? PLOT_RED : PLOT_BLUE);
    }
    plot_legend(p, METHODS,
                (legend_entry[]){{"SGD", PLOT_BLUE, 2.6, LEGEND_LINE, {0}}, {"Adam", PLOT_RED, 2.6, LEGEND_LINE, {0}}});
}

static void draw(void) {
    static const char *const title[TASKS] = {"convolutional network", "transformer", "linear attention"};
    plot p = plot_new(940, 320);
    for (int i = 0, place = 0; i < TASKS; i++)
        if (results[i].rate[SGD] > 0)
            draw_task(&p, 60 + 310 * place++, title[i], i);
    plot_save(&p, cli.out);
}

static void read_options(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (faithful)
        samples = 10000, channels = 16, steps = 1000, prompt_steps = 2000, prompts_batch = 1000, layers = 4, width = 64,
        block = 64, rates = 5, seeds = 6;
    for (int i = 0; only && i <= TASKS; i++)
        if (i == TASKS)
            cli_fail(2, "--only %s: cnn, gpt or attention is needed", only);
        else if (strcmp(only, task_name[i]) == 0)
            break;
    if (width % 4)
        cli_fail(2, "--width %lld: a multiple of 4 is needed, which is the number of heads", (long long)width);
    cli_check_files();
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    memset(results, 0, sizeof results);
    if (cli.from)
        stored_load(list_results);
    for (int i = 0; i < TASKS && !cli.from && !sw_error(); i++)
        if (!only || strcmp(only, task_name[i]) == 0)
            run_task(i);
    if (!sw_error()) {
        print_results();
        draw();
        stored_save(list_results);
    }
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
