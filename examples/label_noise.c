/* How much do wrong labels harm SGD and SAM (Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization, ICLR
 * 2021), and which norm of SAM's ball is the best? The paper's table of label noise, on a small network: a fraction of
 * the training labels is wrong, 20, 40, 60 and 80 %, and the error is that on test pictures with true labels.
 *
 *     SGD
 *     SAM   the gradient at the point x + e, |e|_p <= rho, where the first-order model of the loss is largest
 *
 * for p = 1, 2 and infinity. The balls are the largest ones in the ball of radius rho of the 2-norm. The network has
 * two convolutions 3x3 with average pooling and two linear layers; --faithful gives it 16 and 32 channels and 64 units,
 * which are 105,866 parameters, and all pictures. */
#include "cli.h"
#include "stored.h"
#include <swale/swale.h>

enum { SIDE = 28, CLASSES = 10, BATCH = 25, MOST_SEEDS = 10 };
enum { SGD, SAM_1, SAM_2, SAM_INF, METHODS };
enum { FRACTIONS = 4 };
static const char *const method_name[METHODS] = {"SGD", "SAM, p = 1", "SAM, p = 2", "SAM, p = ∞"};
static const char *const method_key[METHODS] = {"sgd", "sam_1", "sam_2", "sam_inf"};
static const double p_norm[METHODS] = {0, 1, 2, INFINITY};

static const char *data;
static int64_t samples = 500, test_samples = 1000, channels = 4, hidden = 32, epochs = 40, seeds = 1;
static double lr = 0.05, rho = 0.1, wrong;
static bool faithful;

static const cli_option options[] = {
    {"--samples", "N", CLI_COUNT, &samples, BATCH, 60000, "training pictures (500)"},
    {"--test", "N", CLI_COUNT, &test_samples, 50, 10000, "test pictures (1000)"},
    {"--channels", "N", CLI_COUNT, &channels, 1, 256, "channels of the first convolution; the second has 2N (4)"},
    {"--hidden", "N", CLI_COUNT, &hidden, 1, 4096, "units of the hidden linear layer (32)"},
    {"--epochs", "N", CLI_COUNT, &epochs, 1, 1000, "epochs with batches of 25 (40)"},
    {"--lr", "LR", CLI_REAL, &lr, 1e-6, 10, "learning rate, with momentum 0.9 and cosine decay (0.05)"},
    {"--rho", "RHO", CLI_REAL, &rho, 1e-4, 10, "radius of SAM in the 2-norm (0.1)"},
    {"--seeds", "N", CLI_COUNT, &seeds, 1, MOST_SEEDS, "runs of each method and fraction (1)"},
    {"--wrong", "P", CLI_REAL, &wrong, 0, 0.9, "only this fraction of wrong labels; 0: 0.2, 0.4, 0.6 and 0.8 (0)"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0, "60000 and 10000 pictures, 16 channels, 64 units, 3 seeds"},
    {"--data", "DIR", CLI_DATA, &data, 0, 0, "folder of the four IDX files (default: searched for)"},
    STORED_FROM,
    CLI_COMMON("of the first run: labels, initial weights, order (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (label_noise.png)")};
static const cli_program program = {.name = "label_noise",
                                    .example = "label_noise --rho 0.02 --out label_noise.png",
                                    .options = options,
                                    .out = "label_noise.png",
                                    .numbers = true};

static int fraction_count(void) {
    return wrong > 0 ? 1 : FRACTIONS;
}

static double fraction(int k) {
    static const double all[FRACTIONS] = {0.2, 0.4, 0.6, 0.8};
    return wrong > 0 ? wrong : all[k];
}

/* ---- Data ---- */

/* The first pictures, [28, 28, 1]; the labels of a part `share` of them, chosen at random, are wrong. */
static sw_source *mislabeled(const sw_source *from, double share, uint64_t seed) {
    const sw_arrays_options how = SW_OPTIONS(sw_arrays_options, .classes = CLASSES, .copy = true);
    sw_array x = sw_array_new(SW_F32, SW_SHAPE(samples, SIDE, SIDE, 1)), y = sw_array_new(SW_I32, SW_SHAPE(samples));
    int64_t *ids = sw_alloc_array(samples, sizeof *ids);
    sw_source *source = NULL;
    sw_rng rng = {.key = sw_rng_key(seed, "labels")};
    for (int64_t i = 0; ids && i < samples; i++)
        ids[i] = i;
    if (!sw_error() && sw_source_gather(from, SW_F32, 0, ids, samples, x.data, y.data) == SW_OK) {
        int32_t *label = y.data;
        for (int64_t i = 0; i < samples; i++)
            if (sw_rng_uniform(&rng) < share)
                label[i] = (label[i] + 1 + (int32_t)sw_rng_below(&rng, CLASSES - 1)) % CLASSES;
        source = sw_arrays(&x, &y, &how);
    }
    sw_array_free(&x), sw_array_free(&y), sw_free(ids);
    return source;
}

/* ---- Runs ---- */

static sw_model *network_make(uint64_t seed) {
    const sw_conv_options same = SW_OPTIONS(sw_conv_options, .same = true);
    sw_model *m = sw_model_new(SW_F32, seed);
    /* With smaller weights, SAM does not leave the plateau on which the network predicts the same for all pictures. */
    sw_model_set_init(m, sw_init_he_normal(sqrt(2)));
    sw_model_set_input_shape(m, SW_SHAPE(SIDE, SIDE, 1));
    sw_model_build(m, sw_nn_sequential(m, sw_nn_conv2d_with_options(m, 1, channels, 3, 3, &same), sw_nn_relu(m),
                                       sw_nn_avg_pool2d(m, 2),
                                       sw_nn_conv2d_with_options(m, channels, 2 * channels, 3, 3, &same), sw_nn_relu(m),
                                       sw_nn_avg_pool2d(m, 2), sw_nn_flatten(m),
                                       sw_nn_linear(m, 7 * 7 * 2 * channels, hidden), sw_nn_relu(m),
                                       sw_nn_linear(m, hidden, CLASSES), NULL));
    return m;
}

/* The radius of the largest ball of the p-norm in the ball of radius rho of the 2-norm, for d parameters. */
static double ball_radius(double p, double d) {
    return p <= 2 ? rho : rho * pow(d, 1 / p - 0.5);
}

static sw_optim *optimizer_make(sw_params *params, int method, uint64_t seed) {
    char estimator[128], rule[64];
    const double d = (double)sw_params_dim(params);
    snprintf(rule, sizeof rule, "sgd lr=%.17g momentum=0.9", lr);
    snprintf(estimator, sizeof estimator, "sam rho=%.17g p=%.17g of=minibatch batch=%d", ball_radius(p_norm[method], d),
             p_norm[method], BATCH);
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .rule = rule, .schedule = "cosine", .seed = seed,
                                            .estimator = method == SGD ? strstr(estimator, "minibatch") : estimator,
                                            .total_steps = epochs * ((samples + BATCH - 1) / BATCH));
    return sw_optim_new_with_options(params, &how);
}

/* Of each fraction and method: the error on test pictures by epoch, and the accuracy on the training labels at the end;
 * means over the seeds. */
static curve errors[FRACTIONS * METHODS];
static double training_accuracy[FRACTIONS * METHODS], deviation[FRACTIONS * METHODS];
static char deviation_name[FRACTIONS * METHODS][48], training_name[FRACTIONS * METHODS][48];

static void name_results(void) {
    static const unsigned color[METHODS] = {PLOT_RED, PLOT_ORANGE, PLOT_BLUE, PLOT_GREEN};
    for (int i = 0; i < fraction_count() * METHODS; i++) {
        const int m = i % METHODS, percent = (int)(100 * fraction(i / METHODS) + 0.5);
        errors[i].name = method_name[m], errors[i].color = color[m], errors[i].width = 1.8;
        snprintf(errors[i].key, sizeof errors[i].key, "%s_error_%d", method_key[m], percent);
        snprintf(deviation_name[i], sizeof deviation_name[i], "%s_error_%d_deviation", method_key[m], percent);
        snprintf(training_name[i], sizeof training_name[i], "%s_training_%d", method_key[m], percent);
    }
}

/* Trains once. Adds the error to each point of the curve; the first run makes the points. Returns the last error. */
static double train(const sw_source *training, const sw_source *test, int method, int run, int index,
                    cli_progress *progress) {
    const uint64_t seed = (uint64_t)(cli.seed + run);
    const int64_t steps = (samples + BATCH - 1) / BATCH, every = 1 + (epochs - 1) / 20;
    const int64_t before = ((int64_t)run * fraction_count() * METHODS + index) * epochs;
    const int64_t all = seeds * fraction_count() * METHODS;
    sw_model *model = network_make(seed);
    sw_optim *optim = sw_error() ? NULL : optimizer_make(sw_model_params(model), method, seed);
    const sw_objective *f = sw_error() ? NULL : sw_model_objective(model, training, sw_cross_entropy);
    sw_evaluation e = {0};
    double loss = NAN;
    int point = 0;
    for (int64_t epoch = 1; epoch <= epochs && !sw_error() && !cli_signal; epoch++) {
        for (int64_t step = 0; step < steps && !sw_error() && !cli_signal; step++)
            sw_optim_minimize(optim, f, &loss);
        cli_progress_draw(progress, method_name[method], epoch, epochs, before + epoch, all * epochs, loss);
        if (sw_error() || (epoch % every != 0 && epoch != epochs))
            continue;
        sw_model_evaluate(model, NULL, test, sw_cross_entropy, &e);
        if (run == 0)
            curve_add(&errors[index], (double)epoch, 0);
        errors[index].y[point++] += (1 - e.accuracy) / (double)seeds;
    }
    const double error = 1 - e.accuracy;
    if (!sw_error()) {
        sw_model_evaluate(model, NULL, training, sw_cross_entropy, &e);
        training_accuracy[index] += e.accuracy / (double)seeds;
    }
    sw_optim_free(optim), sw_model_free(model);
    return error;
}

static void train_all(void) {
    const int count = fraction_count() * METHODS;
    static double last[FRACTIONS * METHODS][MOST_SEEDS];
    cli_progress progress = cli_progress_start();
    name_results();
    sw_source *from = sw_fashion_mnist_pictures(data, SW_TRAINING);
    sw_source *every = sw_error() ? NULL : sw_fashion_mnist_pictures(data, SW_TEST);
    sw_source *test = sw_error() ? NULL : sw_take(every, test_samples, NULL);
    cli_catch_signals();
    for (int run = 0; run < seeds && !sw_error() && !cli_signal; run++)
        for (int k = 0; k < fraction_count() && !sw_error() && !cli_signal; k++) {
            sw_source *training = mislabeled(from, fraction(k), (uint64_t)(cli.seed + run));
            for (int m = 0; m < METHODS && !sw_error() && !cli_signal; m++)
                last[k * METHODS + m][run] = train(training, test, m, run, k * METHODS + m, &progress);
            sw_source_free(training);
        }
    cli_release_signals();
    if (progress.live)
        cli_progress_line(&progress, "");
    for (int i = 0; i < count && !sw_error() && !cli_signal; i++) {
        double square = 0;
        for (int run = 0; run < seeds; run++)
            square += pow(last[i][run] - errors[i].y[errors[i].n - 1], 2);
        deviation[i] = seeds > 1 ? sqrt(square / (double)(seeds - 1)) : 0;
    }
    sw_source_free(test), sw_source_free(every), sw_source_free(from);
}

/* ---- Results ---- */

static void list_results(stored *s) {
    name_results();
    stored_curves(s, fraction_count() * METHODS, 1, errors);
    for (int i = 0; i < fraction_count() * METHODS; i++) {
        stored_number(s, deviation_name[i], &deviation[i]);
        stored_number(s, training_name[i], &training_accuracy[i]);
    }
}

static double last_error(int k, int method) {
    const curve *c = &errors[k * METHODS + method];
    return c->y[c->n - 1];
}

static void print_results(void) {
    for (int i = 0; i < fraction_count() * METHODS; i++) {
        printf("%s %.4f\n", errors[i].key, last_error(i / METHODS, i % METHODS));
        if (seeds > 1)
            printf("%s %.4f\n", deviation_name[i], deviation[i]);
        printf("%s %.4f\n", training_name[i], training_accuracy[i]);
    }
    cli_flush();
}

static void draw(void) {
    const int count = fraction_count(), shown = count > 1; /* 40 %, or the only fraction */
    char title[64];
    plot p = plot_new(1000, 420);
    plot_panel(&p, 70, 40, 400, 320, 0, 1, 0, 1);
    plot_axes(&p, "error on true labels after the training", "fraction of wrong labels", "error");
    for (int m = METHODS - 1; m >= 0; m--) {
        double x[FRACTIONS], y[FRACTIONS];
        for (int k = 0; k < count; k++)
            x[k] = fraction(k), y[k] = last_error(k, m);
        plot_curve(&p, count, x, y, 1.8, errors[m].color);
        for (int k = 0; k < count; k++)
            plot_point(&p, x[k], y[k], 3.5, errors[m].color);
    }
    curves_legend(&p, METHODS, errors);
    snprintf(title, sizeof title, "error during the training, %g %% wrong labels", 100 * fraction(shown));
    plot_panel(&p, 560, 40, 410, 320, 0, (double)epochs, 0, 1);
    plot_axes(&p, title, "epoch", "error");
    curves_draw(&p, METHODS, errors + shown * METHODS);
    curves_legend(&p, METHODS, errors + shown * METHODS);
    plot_save(&p, cli.out);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (faithful)
        samples = 60000, test_samples = 10000, channels = 16, hidden = 64, seeds = 3;
    cli_check_files();
    if (cli.from)
        stored_load(list_results);
    else
        train_all();
    if (!sw_error() && !cli_signal) {
        print_results();
        draw();
        stored_save(list_results);
    }
    if (!sw_error() && !cli_signal)
        printf("picture %s\n", cli.out);
    return cli_end(cli_exit_code());
}
