/* Compares two initializations of deep plain networks with ReLU, without normalization and residual connections:
 *
 *     Xavier   Var w = 2/(inputs + outputs)    Glorot, Bengio, AISTATS 2010: keeps the size of linear layers
 *     He       Var w = 2/inputs                He, Zhang, Ren, Sun, ICCV 2015: ReLU halves the mean square
 *
 * In layers of equal width, Xavier's initialization therefore divides the mean square of the activations, and that of
 * the gradients, by 2 in each layer. The program trains networks of 22 and 30 layers of width 100 on Fashion-MNIST by
 * SGD 0.01 with momentum 0.9, and measures the activations of the first weights. */
#include "cli.h"
#include "stored.h"
#include <swale/swale.h>

enum { PIXELS = 784, CLASSES = 10, MOST_LAYERS = 64, MOST_SEEDS = 10, MEASURED = 512 /* pictures */ };
enum { HE, XAVIER, METHODS, DEPTHS = 2, RUNS = METHODS * DEPTHS };

static const char *data;
static int64_t samples = 12800, epochs = 8, batch = 128, width = 100, seeds = 2;
static double lr = 0.01;
static bool faithful;

static const cli_option options[] = {
    {"--samples", "N", CLI_COUNT, &samples, MEASURED, 60000, "training pictures (12800)"},
    {"--epochs", "N", CLI_COUNT, &epochs, 1, 1000, "epochs of each run (8)"},
    {"--batch", "N", CLI_COUNT, &batch, 1, 10000, "samples in a step (128)"},
    {"--width", "N", CLI_COUNT, &width, 1, 4096, "units of each hidden layer (100)"},
    {"--lr", "X", CLI_REAL, &lr, 1e-9, 100, "learning rate of SGD with momentum 0.9 (0.01)"},
    {"--seeds", "N", CLI_COUNT, &seeds, 1, MOST_SEEDS, "runs of each network (2)"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0, "all 60000 pictures, 5 epochs, 3 seeds"},
    {"--data", "DIR", CLI_DATA, &data, 0, 0, "folder of the four IDX files (default: searched for)"},
    STORED_FROM,
    CLI_COMMON("of the first run: initial weights, order (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (initialization.png)")};
static const cli_program program = {.name = "initialization",
                                    .example = "initialization --epochs 20 --out initialization.png",
                                    .options = options,
                                    .out = "initialization.png",
                                    .numbers = true};

static const int depth[DEPTHS] = {22, 30};
static const char *const method_name[METHODS] = {"he", "xavier"};

/* ---- Networks ---- */

typedef struct network {
    sw_model *model;
    sw_params *params;
    sw_module *layer[2 * MOST_LAYERS]; /* linear and ReLU alternately; the last one is linear */
    int layers;
} network;

static void network_make(network *n, int method, int linear_layers, uint64_t seed) {
    *n = (network){.model = sw_model_new(SW_F32, seed)};
    sw_model_set_init(n->model, method == HE ? sw_init_he_normal(sqrt(2)) : sw_init_xavier_normal(1));
    for (int i = 0; i < linear_layers; i++) {
        const bool last = i == linear_layers - 1;
        n->layer[n->layers++] = sw_nn_linear(n->model, i == 0 ? PIXELS : width, last ? CLASSES : width);
        if (!last)
            n->layer[n->layers++] = sw_nn_relu(n->model);
    }
    n->params = sw_model_build(n->model, sw_nn_sequential_array(n->model, n->layers, n->layer));
}

/* size[i] = the root of the mean square of the activations after layer i, of hidden layers behind ReLU. */
static void measure_activations(const network *n, const sw_source *source, double *size) {
    int64_t ids[MEASURED];
    sw_batch b;
    sw_tape *tape = sw_tape_new();
    for (int64_t i = 0; i < MEASURED; i++)
        ids[i] = i;
    if (sw_error() || sw_source_batch(source, tape, SW_F32, ids, MEASURED, &b) != SW_OK) {
        sw_tape_free(tape);
        return;
    }
    sw_tensor h = b.x;
    for (int i = 0, linear = 0; i < n->layers; i++) {
        h = sw_forward(n->layer[i], h);
        if (i % 2 == 0 && i + 1 < n->layers) /* ReLU follows */
            continue;
        const sw_array value = sw_value(h);
        const float *v = value.data; /* NULL after an error */
        const int64_t count = v ? sw_array_count(&value) : 1;
        double square = 0;
        for (int64_t k = 0; v && k < count; k++)
            square += (double)v[k] * (double)v[k];
        size[linear++] = sqrt(square / (double)count);
    }
    sw_tape_free(tape);
}

/* ---- Runs ---- */

/* The run of a depth and a method is depth * METHODS + method. Losses are means over the seeds, activations those of
 * the first one; the loss at the end and the test accuracy have a point for each seed. */
static curve losses[RUNS], sizes[RUNS], last_losses[RUNS], accuracies[RUNS];

typedef struct recorder {
    curve *losses;
    bool first; /* of the seeds: it makes the points */
    int at;
    double last;
} recorder;

static sw_status record_loss(void *user, sw_train_state *state) {
    recorder *r = user;
    if (r->first)
        curve_add(r->losses, (double)state->step, 0);
    if (r->at < r->losses->n)
        r->losses->y[r->at++] += state->mean_loss / (double)seeds;
    r->last = state->mean_loss;
    return SW_OK;
}

static void train(int run, int64_t seed, const sw_source *training, const sw_source *test) {
    const int layers = depth[run / METHODS];
    char rule[64], estimator[64];
    network n;
    snprintf(rule, sizeof rule, "sgd lr=%.17g momentum=0.9", lr);
    snprintf(estimator, sizeof estimator, "minibatch batch=%lld", (long long)batch);
    network_make(&n, run % METHODS, layers, (uint64_t)(cli.seed + seed));
    if (seed == 0 && !sw_error()) {
        double size[MOST_LAYERS] = {0};
        measure_activations(&n, training, size);
        for (int i = 0; i < layers; i++)
            curve_add(&sizes[run], i + 1, size[i]);
    }
    const sw_optim_options how =
        SW_OPTIONS(sw_optim_options, .estimator = estimator, .rule = rule, .seed = (uint64_t)(cli.seed + seed));
    sw_optim *optim = sw_error() ? NULL : sw_optim_new_with_options(n.params, &how);
    const sw_objective *f = sw_error() ? NULL : sw_model_objective(n.model, training, sw_cross_entropy);
    recorder r = {.losses = &losses[run], .first = seed == 0};
    const int64_t all = epochs * ((samples + batch - 1) / batch), every = (all + 49) / 50;
    sw_evaluation end = {0};
    if (!sw_error())
        sw_train(f, optim,
                 &SW_OPTIONS(sw_train_options, .steps = all / every * every, .user = &r, .evaluate = record_loss,
                             .evaluate_every = every, .stop = &cli_signal),
                 NULL);
    if (!sw_error() && !cli_signal && sw_model_evaluate(n.model, NULL, test, sw_cross_entropy, &end) == SW_OK) {
        curve_add(&last_losses[run], (double)(cli.seed + seed), r.last);
        curve_add(&accuracies[run], (double)(cli.seed + seed), end.accuracy);
        cli_note("%s, %d layers, seed %lld: loss %.4f, test accuracy %.4f\n", method_name[run % METHODS], layers,
                 (long long)cli.seed + (long long)seed, r.last, end.accuracy);
    }
    sw_optim_free(optim), sw_model_free(n.model);
}

/* ---- Results ---- */

/* Prints the mean, the least and the largest of the values. */
static void print_spread(const char *name, int run, const curve *c) {
    double mean = 0, low = INFINITY, high = -INFINITY;
    for (int i = 0; i < c->n; i++) {
        mean += c->y[i] / c->n;
        low = fmin(low, c->y[i]), high = fmax(high, c->y[i]);
    }
    printf("%s_%d_%s %.4f\n%s_%d_%s_least %.4f\n%s_%d_%s_largest %.4f\n", method_name[run % METHODS],
           depth[run / METHODS], name, mean, method_name[run % METHODS], depth[run / METHODS], name, low,
           method_name[run % METHODS], depth[run / METHODS], name, high);
}

static void print_results(void) {
    for (int run = 0; run < RUNS; run++) {
        const curve *c = &sizes[run];
        /* of the hidden layers, from the first one to the last one */
        const double ratio = pow(c->y[c->n - 2] / c->y[0], 1.0 / (c->n - 2));
        printf("%s_%d_first_activation %.4g\n%s_%d_last_activation %.4g\n%s_%d_factor_per_layer %.4f\n",
               method_name[run % METHODS], depth[run / METHODS], c->y[0], method_name[run % METHODS],
               depth[run / METHODS], c->y[c->n - 2], method_name[run % METHODS], depth[run / METHODS], ratio);
        print_spread("loss", run, &last_losses[run]);
        print_spread("accuracy", run, &accuracies[run]);
    }
}

static void draw(void) {
    plot p = plot_new(1240, 420);
    const int deep = METHODS; /* the first run of the deeper networks */
    plot_panel(&p, 80, 40, 320, 320, 1, depth[1], 1e-6, 10);
    plot_logarithmic(&p, false, true);
    plot_axes(&p, "activations before training, 30 layers", "layer", "root mean square");
    curves_draw(&p, METHODS, sizes + deep);
    curves_legend(&p, METHODS, sizes + deep);
    for (int d = 0; d < DEPTHS; d++) {
        char title[32];
        const curve *c = losses + METHODS * d;
        snprintf(title, sizeof title, "%d layers", depth[d]);
        plot_panel(&p, 490 + 380 * d, 40, 320, 320, 0, c->n ? c->x[c->n - 1] : 1, 0, 2.5);
        plot_axes(&p, title, "steps", d == 0 ? "training loss" : "");
        curves_draw(&p, METHODS, c);
        curves_legend(&p, METHODS, c);
    }
    plot_save(&p, cli.out);
}

/* ---- The program ---- */

static void clear_results(void) {
    static const char *const label[METHODS] = {"He", "Xavier"};
    static const unsigned color[METHODS] = {PLOT_RED, PLOT_BLUE};
    static const char *const what[] = {"loss", "activation", "loss at the end", "test accuracy"};
    curve *const all[] = {losses, sizes, last_losses, accuracies};
    for (int k = 0; k < 4; k++)
        for (int run = 0; run < RUNS; run++) {
            curve *c = &all[k][run];
            *c = (curve){.name = label[run % METHODS], .color = color[run % METHODS], .width = 2};
            snprintf(c->key, sizeof c->key, "%s, %d layers, %s", c->name, depth[run / METHODS], what[k]);
        }
}

static void list_results(stored *s) {
    stored_curves(s, RUNS, 1, losses);
    stored_curves(s, RUNS, 3, sizes);
    stored_curves(s, RUNS, 1, last_losses);
    stored_curves(s, RUNS, 1, accuracies);
}

static void train_all(void) {
    sw_source *every = sw_fashion_mnist(data, SW_TRAINING), *test = sw_error() ? NULL : sw_fashion_mnist(data, SW_TEST);
    sw_source *training = sw_error() ? NULL : sw_take(every, samples, NULL);
    cli_catch_signals();
    for (int run = 0; run < RUNS; run++)
        for (int64_t seed = 0; seed < seeds && !sw_error() && !cli_signal; seed++)
            train(run, seed, training, test);
    cli_release_signals();
    sw_source_free(test), sw_source_free(training), sw_source_free(every);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (faithful)
        samples = 60000, epochs = 5, seeds = 3;
    cli_check_files();
    clear_results();
    if (cli.from)
        stored_load(list_results);
    else
        train_all();
    if (!sw_error() && !cli_signal) {
        print_results();
        cli_flush();
        draw();
        stored_save(list_results);
        if (!sw_error())
            printf("picture %s\n", cli.out);
    }
    return cli_end(cli_exit_code());
}
