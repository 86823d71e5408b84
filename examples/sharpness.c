/* Compares the minima that SGD and SAM (Foret, Kleiner, Mobahi, Neyshabur, ICLR 2021) find on a few pictures of
 * Fashion-MNIST, many of which have a wrong label. A network that fits all labels has also learned the wrong ones.
 *
 * SAM takes the gradient at the point of largest loss nearby. The flatness of the minimum is measured on the whole
 * training set, by two numbers that do not use SAM's first-order step:
 *
 *     sharpness   max f(x + e) - f(x) over |e| <= rho, by projected gradient ascent from several points
 *     eigenvalue  the largest of the Hessian H, by the Lanczos method with H v = (g(x + h v) - g(x - h v))/(2h)
 *
 * The program also measures the accuracy on test pictures with true labels. The network has one hidden layer, or, with
 * --channels, two convolutions. The activation is tanh, because a loss with ReLU has kinks, which would disturb the
 * differences of gradients. All numbers are f64, so that h can be small. */
#include "cnn.h"
#include "stored.h"

enum {
    SIDE = 28,
    PIXELS = SIDE * SIDE,
    CLASSES = 10,
    MOST_SEEDS = 10,
    SLICE = 30 /* SLICE: points on each side of the minimum */
};

static const char *data;
static int64_t seeds = 3, samples = 2000, test_samples = 5000, hidden = 64, channels, epochs = 60;
static double wrong = 0.4, lr = 0.02, rho = 0.2, p_norm = 2;

static const cli_option options[] = {
    {"--samples", "N", CLI_COUNT, &samples, 100, 60000, "training pictures (2000)"},
    {"--test", "N", CLI_COUNT, &test_samples, 100, 10000, "test pictures (5000)"},
    {"--wrong", "P", CLI_REAL, &wrong, 0, 0.9, "fraction of training labels that are wrong (0.4)"},
    {"--hidden", "N", CLI_COUNT, &hidden, 1, 1000, "units of the hidden layer (64)"},
    {"--channels", "N", CLI_COUNT, &channels, 0, 64,
     "a convolutional network with N and 2N channels in place of the hidden layer (0: none)"},
    {"--epochs", "N", CLI_COUNT, &epochs, 1, 1000, "epochs with batches of 50 (60)"},
    {"--lr", "LR", CLI_REAL, &lr, 1e-6, 10, "learning rate of both methods, with momentum 0.9 and cosine decay (0.02)"},
    {"--rho", "RHO", CLI_REAL, &rho, 1e-3, 10, "radius of SAM and of the sharpness (0.2)"},
    {"--p", "P", CLI_REAL, &p_norm, 1, INFINITY,
     "p-norm of SAM's ball, also inf; it fits the 2-norm ball of --rho (2)"},
    {"--seeds", "N", CLI_COUNT, &seeds, 1, MOST_SEEDS, "runs of each method (3)"},
    {"--data", "DIR", CLI_DATA, &data, 0, 0, "folder of the four IDX files (default: searched for)"},
    STORED_FROM,
    CLI_COMMON("of the first run: labels, initial weights, order (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (sharpness.png)")};
static const cli_program program = {.name = "sharpness",
                                    .example = "sharpness --rho 0.1 --out sharpness.png",
                                    .options = options,
                                    .out = "sharpness.png",
                                    .numbers = true};

/* Makes the data: the first pictures, some of them with a wrong label. */
static sw_source *mislabeled(const sw_source *from, uint64_t run) {
    const sw_arrays_options how = SW_OPTIONS(sw_arrays_options, .classes = CLASSES, .copy = true);
    sw_array x = channels ? sw_array_new(SW_F64, SW_SHAPE(samples, SIDE, SIDE, 1))
                          : sw_array_new(SW_F64, SW_SHAPE(samples, PIXELS)),
             y = sw_array_new(SW_I32, SW_SHAPE(samples));
    int64_t *ids = sw_alloc_array(samples, sizeof *ids);
    sw_source *source = NULL;
    sw_rng rng = {.key = sw_rng_key(run, "labels")};
    for (int64_t i = 0; ids && i < samples; i++)
        ids[i] = i;
    if (!sw_error() && sw_source_gather(from, SW_F64, 0, ids, samples, x.data, y.data) == SW_OK) {
        int32_t *label = y.data;
        for (int64_t i = 0; i < samples; i++)
            if (sw_rng_uniform(&rng) < wrong)
                label[i] = (label[i] + 1 + (int32_t)sw_rng_below(&rng, CLASSES - 1)) % CLASSES;
        source = sw_arrays(&x, &y, &how);
    }
    sw_array_free(&x), sw_array_free(&y), sw_free(ids);
    return source;
}

/* ---- Runs ---- */

enum { SGD, SAM, METHODS };
enum { ACCURACY, LOSS, SHARPNESS, EIGENVALUE, RESULTS };
static const char *const result_name[RESULTS] = {"accuracy", "loss", "sharpness", "eigenvalue"};
/* Of each method and measure, by run. */
static curve results[METHODS * RESULTS];

static curve *result_of(int method, int measure) {
    return &results[method * RESULTS + measure];
}

/* Curves: the accuracy of each method on test and training pictures, means over the seeds; and slices along the
 * sharpest direction for each method and run. */
enum { SLICES = 2 * METHODS, CURVES = SLICES + METHODS * MOST_SEEDS };
static curve curves[CURVES];
static char curve_name[CURVES][48];

static void clear_results(void) {
    static const char *const method[METHODS] = {"SGD", "SAM"};
    static const unsigned dark[METHODS] = {PLOT_RED, PLOT_BLUE}, light[METHODS] = {PLOT_ORANGE, PLOT_SKY};
    for (int i = 0; i < CURVES; i++) {
        const int m = i % METHODS;
        const bool training = i / METHODS == 1;
        if (i < SLICES)
            snprintf(curve_name[i], sizeof curve_name[i], "%s, %s", method[m], training ? "training" : "test");
        else
            snprintf(curve_name[i], sizeof curve_name[i], "%s, rise of run %d", method[m], (i - SLICES) / METHODS + 1);
        curves[i] =
            (curve){.name = curve_name[i], .color = training ? light[m] : dark[m], .width = i < METHODS ? 2.4 : 1.4};
    }
    for (int i = 0; i < METHODS * RESULTS; i++) {
        results[i] = (curve){.name = result_name[i % RESULTS]};
        snprintf(results[i].key, sizeof results[i].key, "%s, %s of each run", method[i / RESULTS],
                 result_name[i % RESULTS]);
    }
}

static void list_results(stored *s) {
    stored_curves(s, METHODS * RESULTS, 1, results);
    stored_curves(s, SLICES + METHODS * (int)seeds, 1, curves);
}

/* Measures the landscape around the end of a run. The ascent of the sharpness also starts along the sharpest direction,
 * in which the loss is recorded. */
static void measure(const sw_objective *f, int method, int run) {
    const uint64_t seed = (uint64_t)(cli.seed + run);
    double eigenvalue = NAN, rise = NAN, along[2 * SLICE + 1], loss[2 * SLICE + 1] = {0};
    double *v = sw_alloc_array(sw_params_dim(f->params), sizeof *v);
    sw_landscape *l = sw_landscape_new(f, NULL, NULL);
    for (int i = 0; i <= 2 * SLICE; i++)
        along[i] = 3 * rho * (i - SLICE) / SLICE;
    if (!sw_error()) {
        const sw_eigenvalues_options lanczos = SW_OPTIONS(sw_eigenvalues_options, .products = 100, .seed = seed);
        const sw_sharpness_options ball = SW_OPTIONS(sw_sharpness_options, .radius = rho, .seed = seed, .direction = v);
        sw_landscape_eigenvalues(l, 1, &lanczos, &eigenvalue, v, NULL);
        sw_landscape_sharpness(l, &ball, &rise);
        sw_landscape_line(l, v, 2 * SLICE + 1, along, loss);
    }
    curve_add(result_of(method, EIGENVALUE), run + 1, eigenvalue);
    curve_add(result_of(method, SHARPNESS), run + 1, rise);
    curve_add(result_of(method, LOSS), run + 1, loss[SLICE]);
    for (int i = 0; i <= 2 * SLICE && !sw_error(); i++)
        curve_add(&curves[SLICES + METHODS * run + method], along[i], loss[i] - loss[SLICE]);
    sw_landscape_free(l), sw_free(v);
}

/* Adds a point to a curve. The first run makes the points, the others add to their means. */
static double look(sw_model *model, const sw_source *source, curve *c, int64_t epoch, int run) {
    sw_evaluation e = {0};
    sw_model_evaluate(model, NULL, source, sw_cross_entropy, &e);
    if (run == 0)
        curve_add(c, (double)epoch, 0);
    for (int i = 0; i < c->n; i++)
        c->y[i] += c->x[i] == (double)epoch ? e.accuracy / (double)seeds : 0;
    return e.accuracy;
}

/* The radius of SAM's ball in the p-norm, the largest one that is part of the ball of radius rho in the 2-norm: rho for
 * p <= 2, and rho d^(1/p - 1/2) for p >= 2 and d parameters. */
static double sam_radius(const sw_params *params) {
    return p_norm <= 2 ? rho : rho * pow((double)sw_params_dim(params), 1 / p_norm - 0.5);
}

/* Both networks are smooth functions of their parameters. */
static sw_model *network_new(uint64_t seed) {
    if (channels)
        return cnn_new(
            &(cnn_options){.channels = channels, .average = true, .smooth = true, .type = SW_F64, .seed = seed});
    sw_model *model = sw_model_new(SW_F64, seed);
    sw_model_build(model, sw_nn_sequential(model, sw_nn_linear(model, PIXELS, hidden), sw_nn_tanh(model),
                                           sw_nn_linear(model, hidden, CLASSES), NULL));
    return model;
}

static void train(const sw_source *training, const sw_source *test, int method, int run, cli_progress *progress) {
    enum { BATCH = 50 };
    char estimator[128], rule[64], what[32];
    const int64_t steps = (samples + BATCH - 1) / BATCH, all = METHODS * seeds * epochs;
    const int64_t before = (METHODS * run + method) * epochs, every = 1 + (epochs - 1) / 30;
    double loss = NAN, accuracy = NAN;
    snprintf(rule, sizeof rule, "sgd lr=%.17g momentum=0.9", lr);
    snprintf(what, sizeof what, "%s %d", method == SAM ? "SAM" : "SGD", run + 1);
    sw_model *model = network_new((uint64_t)(cli.seed + run));
    sw_params *params = sw_error() ? NULL : sw_model_params(model);
    snprintf(estimator, sizeof estimator, "sam rho=%.17g p=%.17g of=minibatch batch=%d",
             params ? sam_radius(params) : 0, p_norm, BATCH);
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .rule = rule, .schedule = "cosine",
                                            .estimator = method == SAM ? estimator : strstr(estimator, "minibatch"),
                                            .seed = (uint64_t)(cli.seed + run), .total_steps = epochs * steps);
    sw_optim *optim = sw_error() ? NULL : sw_optim_new_with_options(params, &how);
    const sw_objective *f = sw_error() ? NULL : sw_model_objective(model, training, sw_cross_entropy);
    for (int64_t epoch = 0; epoch <= epochs && !sw_error(); epoch++) {
        for (int64_t step = 0; epoch > 0 && step < steps && !sw_error(); step++)
            sw_optim_minimize(optim, f, &loss);
        if (epoch % every == 0 || epoch == epochs) {
            look(model, training, &curves[METHODS + method], epoch, run);
            accuracy = look(model, test, &curves[method], epoch, run);
        }
        cli_progress_draw(progress, what, epoch, epochs, before + epoch, all, loss);
    }
    curve_add(result_of(method, ACCURACY), run + 1, accuracy);
    if (!sw_error())
        measure(f, method, run);
    sw_optim_free(optim), sw_model_free(model);
}

/* ---- Results ---- */

static void draw(void) {
    double most = 0;
    for (int i = SLICES; i < SLICES + METHODS * seeds; i++)
        for (int k = 0; k < curves[i].n; k++)
            most = isfinite(curves[i].y[k]) ? fmax(most, curves[i].y[k]) : most;
    most = most > 0 ? most : 1;
    plot p = plot_new(1000, 420);
    plot_panel(&p, 70, 40, 420, 320, 0, (double)epochs, 0, 1);
    plot_axes(&p, "mean accuracy of the runs", "epoch", "accuracy");
    curves_draw(&p, 2 * METHODS, curves);
    curves_legend(&p, 2 * METHODS, curves);
    plot_panel(&p, 570, 40, 410, 320, -3 * rho, 3 * rho, -0.02 * most, 1.1 * most);
    plot_axes(&p, "loss along the sharpest direction, each run", "distance", "rise of the loss");
    const legend_entry entry[METHODS] = {{"SGD", PLOT_RED, 2.4, LEGEND_LINE, {0}},
                                         {"SAM", PLOT_BLUE, 2.4, LEGEND_LINE, {0}}};
    curves_draw(&p, METHODS * (int)seeds, curves + SLICES);
    plot_legend(&p, METHODS, entry);
    plot_save(&p, cli.out);
}

/* Prints the mean over the runs and their standard deviation (0 for one run). */
static void print_results(void) {
    for (int r = 0; r < RESULTS; r++)
        for (int m = 0; m < METHODS; m++) {
            const curve *c = result_of(m, r);
            double mean = 0, square = 0;
            for (int i = 0; i < c->n; i++)
                mean += c->y[i] / c->n;
            for (int i = 0; i < c->n; i++)
                square += (c->y[i] - mean) * (c->y[i] - mean);
            const char *const name = m == SAM ? "sam" : "sgd";
            printf("%s_%s %.4f\n%s_%s_deviation %.4f\n", name, result_name[r], mean, name, result_name[r],
                   c->n > 1 ? sqrt(square / (c->n - 1)) : 0);
        }
    cli_flush();
}

static void train_all(void) {
    cli_progress progress = cli_progress_start();
    sw_source *(*const read)(const char *, sw_data_split) = channels ? sw_fashion_mnist_pictures : sw_fashion_mnist;
    sw_source *training = read(data, SW_TRAINING);
    sw_source *every = sw_error() ? NULL : read(data, SW_TEST);
    sw_source *test = sw_error() ? NULL : sw_take(every, test_samples, NULL);
    for (int run = 0; run < seeds && !sw_error(); run++) {
        sw_source *source = mislabeled(training, (uint64_t)(cli.seed + run));
        for (int method = 0; method < METHODS && !sw_error(); method++)
            train(source, test, method, run, &progress);
        sw_source_free(source);
    }
    if (progress.live)
        cli_progress_line(&progress, "");
    sw_source_free(test), sw_source_free(every), sw_source_free(training);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    cli_check_files();
    clear_results();
    if (cli.from)
        stored_load(list_results);
    else
        train_all();
    if (!sw_error()) {
        print_results();
        draw();
        stored_save(list_results);
    }
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
