/* Shows double descent (Belkin, Hsu, Ma, Mandal, PNAS 2019): the test error falls, rises up to the interpolation
 * threshold, where the model has just enough parameters to fit the training data exactly, and falls again beyond it.
 *   1. Polynomials in the Chebyshev basis, fitted to 50 points of sin(4.5 x) with noise of deviation 0.25 by least
 *      squares; beyond degree 49, by the fit with the least norm of the coefficients. Medians of several noises.
 *   2. Networks with one hidden layer of growing width, trained on a few pictures of Fashion-MNIST with the squared
 *      loss, with true labels and with some wrong ones. Ten outputs for each of n pictures: the threshold is where the
 *      number of parameters is about 10 n. */
#include "cli.h"

#include "least_norm.h"
#include "stored.h"
#include <swale/swale.h>

enum { POINTS = 50, MOST_DEGREE = 400, MOST_SETS = 100, GRID = 1001, SHOWN = 3 };
enum { WIDE = 28, PIXELS = WIDE * WIDE, CLASSES = 10, MOST_SEEDS = 10, NOISES = 2 };
enum { TRAIN_MEDIAN, TEST_MEDIAN, TEST_LOW, TEST_HIGH, POLYNOMIAL_CURVES };

static const char *data, *rule = "lbfgs lr=1";
static int64_t degrees = 100, sets = 20, samples = 200, test_samples = 2000, steps = 1000, seeds = 2, widest = 150,
               pool = 4;
static double noise = 0.25, wrong = 0.2;
static bool faithful, no_networks;

static const cli_option options[] = {
    {"--degrees", "N", CLI_COUNT, &degrees, 2, MOST_DEGREE, "the largest degree of the polynomials (100)"},
    {"--sets", "N", CLI_COUNT, &sets, 1, MOST_SETS, "noises of the points (20)"},
    {"--noise", "X", CLI_REAL, &noise, 0, 100, "standard deviation of this noise (0.25)"},
    {"--samples", "N", CLI_COUNT, &samples, 10, 60000, "training pictures (200)"},
    {"--pool", "N", CLI_COUNT, &pool, 1, WIDE, "side of the squares of pixels that are averaged; divides 28 (4)"},
    {"--test", "N", CLI_COUNT, &test_samples, 10, 10000, "test pictures (2000)"},
    {"--wrong", "P", CLI_REAL, &wrong, 0, 0.9, "fraction of wrong labels in the second half of the runs (0.2)"},
    {"--widest", "N", CLI_COUNT, &widest, 1, 4096, "the largest width of the hidden layer (150)"},
    {"--steps", "N", CLI_COUNT, &steps, 1, 1e6, "steps of each network, each with all pictures (1000)"},
    {"--rule", "SPEC", CLI_TEXT, &rule, 0, 0, "rule of the networks, with a Wolfe line search (lbfgs lr=1)"},
    {"--seeds", "N", CLI_COUNT, &seeds, 1, MOST_SEEDS, "runs of each network (2)"},
    {"--no-networks", NULL, CLI_FLAG, &no_networks, 0, 0, "only the polynomials, which need no data set"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0, "1000 pictures, pool 2, width up to 200, 2000 steps, 3 seeds"},
    {"--data", "DIR", CLI_DATA, &data, 0, 0, "folder of the four IDX files (default: searched for)"},
    STORED_FROM,
    CLI_COMMON("of the noises, labels and initial weights (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (double_descent.png)")};
static const cli_program program = {.name = "double_descent",
                                    .example = "double_descent --no-networks --out double_descent.png",
                                    .options = options,
                                    .out = "double_descent.png",
                                    .numbers = true};

/* ---- 1. Polynomials ---- */

/* POLYNOMIAL_CURVES, then training and test error of the networks for each noise. */
static curve curves[POLYNOMIAL_CURVES + 2 * NOISES];
static curve points, fits[SHOWN]; /* of the first set: x and y; coefficients by index */
static curve *const networks = curves + POLYNOMIAL_CURVES;

static double truth(double x) {
    return sin(4.5 * x);
}

static int compare_numbers(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct polynomials {
    double x[POINTS], y[MOST_SETS][POINTS];
    double train[MOST_DEGREE + 1][MOST_SETS], test[MOST_DEGREE + 1][MOST_SETS]; /* mean squares; test: to the truth */
} polynomials;

/* The degree of a fit that is drawn. */
static int shown_degree(int k) {
    static const int degree[SHOWN] = {6, 30, MOST_DEGREE};
    return degrees < degree[k] ? (int)degrees : degree[k];
}

static void polynomial_fit(polynomials *p, int degree, const least_norm *memory) {
    static double A[POINTS * (MOST_DEGREE + 1)], w[MOST_DEGREE + 1];
    for (int i = 0; i < POINTS; i++)
        chebyshev_row(degree, p->x[i], &A[i * (degree + 1)]);
    for (int64_t set = 0; set < sets; set++) {
        double train = 0, test = 0;
        if (least_norm_solve(memory, POINTS, degree + 1, A, p->y[set], w) != SW_OK)
            return;
        for (int i = 0; i < POINTS; i++)
            train += pow(chebyshev_value(degree, p->x[i], w) - p->y[set][i], 2) / POINTS;
        for (int i = 0; i < GRID; i++) {
            const double x = -1 + 2.0 * i / (GRID - 1);
            test += pow(chebyshev_value(degree, x, w) - truth(x), 2) / GRID;
        }
        p->train[degree][set] = train, p->test[degree][set] = test;
        for (int k = 0; k < SHOWN && set == 0; k++)
            for (int i = 0; i <= degree && shown_degree(k) == degree; i++)
                curve_add(&fits[k], i, w[i]);
    }
}

static void fit_polynomials(void) {
    static polynomials fitted;
    polynomials *const p = &fitted;
    curve *const c = curves;
    sw_rng rng = {.key = sw_rng_key((uint64_t)cli.seed, "points")};
    least_norm memory;
    for (int i = 0; i < POINTS; i++)
        p->x[i] = -1 + 2.0 * i / (POINTS - 1);
    for (int64_t set = 0; set < sets; set++)
        for (int i = 0; i < POINTS; i++)
            p->y[set][i] = truth(p->x[i]) + noise * sw_rng_normal(&rng);
    for (int i = 0; i < POINTS; i++)
        curve_add(&points, p->x[i], p->y[0][i]);
    least_norm_new(&memory, POINTS, degrees + 1);
    for (int degree = 0; degree <= degrees && !sw_error(); degree++) {
        polynomial_fit(p, degree, &memory);
        qsort(p->train[degree], (size_t)sets, sizeof(double), compare_numbers);
        qsort(p->test[degree], (size_t)sets, sizeof(double), compare_numbers);
        curve_add(&c[TRAIN_MEDIAN], degree, fmax(p->train[degree][sets / 2], 1e-30));
        curve_add(&c[TEST_MEDIAN], degree, p->test[degree][sets / 2]);
        curve_add(&c[TEST_LOW], degree, p->test[degree][0]);
        curve_add(&c[TEST_HIGH], degree, p->test[degree][sets - 1]);
    }
    least_norm_free(&memory);
}

/* The index of the least (sign 1) or largest (sign -1) y with first <= x < end. */
static int extreme(const curve *c, double first, double end, int sign) {
    int best = -1;
    for (int i = 0; i < c->n; i++)
        if (c->x[i] >= first && c->x[i] < end && (best < 0 || sign * c->y[i] < sign * c->y[best]))
            best = i;
    return best < 0 ? 0 : best;
}

static void print_polynomials(const curve *c) {
    const curve *test = &c[TEST_MEDIAN];
    const int peak = extreme(test, 0, INFINITY, -1), first = extreme(test, 0, POINTS, 1),
              second = extreme(test, POINTS, INFINITY, 1);
    printf("polynomial_best_degree %d\npolynomial_best_error %.4g\n", first, test->y[first]);
    printf("polynomial_peak_degree %d\npolynomial_peak_error %.4g\n", peak, test->y[peak]);
    if (second >= POINTS)
        printf("polynomial_second_best_degree %d\npolynomial_second_best_error %.4g\n", second, test->y[second]);
    printf("polynomial_last_error %.4g\npolynomial_last_train_error %.4g\n", test->y[test->n - 1],
           c[TRAIN_MEDIAN].y[test->n - 1]);
}

/* ---- 2. Networks ---- */

static int64_t features(void) {
    return (WIDE / pool) * (WIDE / pool);
}

/* The width at which the network has as many parameters as there are numbers to fit. */
static double threshold(void) {
    return (double)(samples * CLASSES - CLASSES) / (double)(features() + 1 + CLASSES);
}

/* The mean of each square of pool x pool pixels, divided by about the root mean square of all pixels. */
static void pool_picture(const double *from, double *to) {
    const int64_t side = WIDE / pool;
    for (int64_t i = 0; i < WIDE * WIDE; i++)
        to[i / WIDE / pool * side + i % WIDE / pool] += from[i] / (0.45 * (double)(pool * pool));
}

/* x [count, features] and y [count, 10], 1 at the class and 0 elsewhere; a fraction `share` of the labels is wrong. */
static sw_source *make_targets(const sw_source *from, int64_t count, double share, uint64_t seed) {
    sw_array raw = sw_array_new(SW_F64, SW_SHAPE(count, PIXELS)), x = sw_array_new(SW_F64, SW_SHAPE(count, features())),
             labels = sw_array_new(SW_I32, SW_SHAPE(count)), y = sw_array_new(SW_F64, SW_SHAPE(count, CLASSES));
    int64_t *ids = sw_alloc_array(count, sizeof *ids);
    sw_source *source = NULL;
    sw_rng rng = {.key = sw_rng_key(seed, "labels")};
    for (int64_t i = 0; ids && i < count; i++)
        ids[i] = i;
    if (!sw_error() && sw_source_gather(from, SW_F64, 0, ids, count, raw.data, labels.data) == SW_OK) {
        double *to = y.data;
        for (int64_t i = 0; i < count; i++) {
            int32_t label = ((const int32_t *)labels.data)[i];
            if (sw_rng_uniform(&rng) < share)
                label = (label + 1 + (int32_t)sw_rng_below(&rng, CLASSES - 1)) % CLASSES;
            for (int32_t k = 0; k < CLASSES; k++)
                to[i * CLASSES + k] = k == label;
            pool_picture((const double *)raw.data + i * PIXELS, (double *)x.data + i * features());
        }
        source = sw_arrays(&x, &y, &SW_OPTIONS(sw_arrays_options, .copy = true));
    }
    sw_array_free(&raw), sw_array_free(&x), sw_array_free(&labels), sw_array_free(&y), sw_free(ids);
    return source;
}

/* Adds the errors of one run, as means over the seeds, to the last points of the curves: training, test. */
static void train_network(int64_t width, uint64_t seed, const sw_source *training, const sw_source *test, curve *c) {
    sw_model *model = sw_model_new(SW_F64, seed);
    sw_params *params =
        sw_model_build(model, sw_nn_sequential(model, sw_nn_linear(model, features(), width), sw_nn_tanh(model),
                                               sw_nn_linear(model, width, CLASSES), NULL));
    const sw_optim_options how =
        SW_OPTIONS(sw_optim_options, .estimator = "full", .rule = rule, .seed = seed, .schedule = "wolfe guess=lr");
    sw_optim *optim = sw_error() ? NULL : sw_optim_new_with_options(params, &how);
    const sw_objective *f = sw_error() ? NULL : sw_model_objective(model, training, sw_mse);
    sw_evaluation fit = {0}, result = {0};
    sw_train_result trained = {0};
    if (!sw_error() &&
        sw_train(f, optim, &SW_OPTIONS(sw_train_options, .steps = steps, .most_skipped = 1, .stop = &cli_signal),
                 &trained) != SW_OK &&
        trained.reason == SW_TRAIN_SKIPPED)
        sw_clear_error(); /* the line search found no lower loss: only rounding is left */
    if (!sw_error() && !cli_signal) {
        sw_model_evaluate(model, NULL, training, sw_mse, &fit);
        sw_model_evaluate(model, NULL, test, sw_mse, &result);
        c[0].y[c[0].n - 1] += CLASSES * fit.loss / (double)seeds; /* the squared distance of a sample */
        c[1].y[c[1].n - 1] += CLASSES * result.loss / (double)seeds;
        cli_note("width %lld: training error %.3g, test error %.3g\n", (long long)width, CLASSES * fit.loss,
                 CLASSES * result.loss);
    }
    sw_optim_free(optim), sw_model_free(model);
}

/* The next width: all up to 12, then about a quarter more each. */
static int64_t next_width(int64_t width) {
    return width < 12 ? width + 1 : width + width / 4;
}

/* c: training and test error for each noise. */
static void train_networks(curve *c) {
    sw_source *from[2] = {sw_fashion_mnist(data, SW_TRAINING), NULL}, *test = NULL;
    from[1] = sw_error() ? NULL : sw_fashion_mnist(data, SW_TEST);
    test = sw_error() ? NULL : make_targets(from[1], test_samples, 0, 0);
    cli_catch_signals();
    for (int k = 0; k < NOISES; k++)
        for (int64_t width = 1; width <= widest && !sw_error() && !cli_signal; width = next_width(width)) {
            curve_add(&c[2 * k], (double)width, 0), curve_add(&c[2 * k + 1], (double)width, 0);
            for (int64_t i = 0; i < seeds && !sw_error() && !cli_signal; i++) {
                const uint64_t seed = (uint64_t)(cli.seed + i);
                sw_source *training = make_targets(from[0], samples, k ? wrong : 0, seed);
                train_network(width, seed, training, test, c + 2 * k);
                sw_source_free(training);
            }
        }
    cli_release_signals();
    sw_source_free(test), sw_source_free(from[0]), sw_source_free(from[1]);
}

static void print_networks(const curve *c) {
    static const char *const name[NOISES] = {"clean", "noisy"};
    printf("threshold_width %.1f\n", threshold());
    for (int k = 0; k < NOISES; k++) {
        const curve *test = &c[2 * k + 1];
        const int peak = extreme(test, 3, INFINITY, -1), first = extreme(test, 0, test->x[peak], 1);
        printf("%s_peak_width %g\n%s_peak_error %.4f\n", name[k], test->x[peak], name[k], test->y[peak]);
        printf("%s_best_error_before_peak %.4f\n%s_last_error %.4f\n", name[k], test->y[first], name[k],
               test->y[test->n - 1]);
    }
}

/* ---- The picture ---- */

static void draw_fits(plot *p) {
    static const unsigned color[SHOWN] = {PLOT_GREEN, PLOT_RED, PLOT_BLUE};
    static char name[SHOWN][32];
    legend_entry entry[SHOWN + 1] = {{"sin 4.5x", PLOT_GRAY, 2, LEGEND_LINE, {0}}};
    double x[GRID], y[GRID];
    plot_panel(p, 60, 40, 300, 320, -1, 1, -2.5, 2.5);
    plot_axes(p, "polynomials through 50 points", "x", "y");
    for (int k = -1; k < SHOWN; k++) {
        for (int i = 0; i < GRID; i++) {
            x[i] = -1 + 2.0 * i / (GRID - 1);
            const double v = k < 0 ? truth(x[i]) : chebyshev_value(fits[k].n - 1, x[i], fits[k].y);
            y[i] = fmin(fmax(v, -20), 20);
        }
        plot_curve(p, GRID, x, y, k < 0 ? 2.4 : 1.4, k < 0 ? PLOT_GRAY : color[k]);
        if (k >= 0) {
            snprintf(name[k], sizeof name[k], "degree %d", fits[k].n - 1);
            entry[k + 1] = (legend_entry){name[k], color[k], 2, LEGEND_LINE, {0}};
        }
    }
    for (int i = 0; i < points.n; i++)
        plot_point(p, points.x[i], points.y[i], 2.4, PLOT_BLACK);
    plot_legend(p, SHOWN + 1, entry);
}

static void draw(void) {
    const curve *c = curves;
    plot p = plot_new(no_networks ? 760 : 1180, 420);
    const double line[2] = {POINTS - 1, POINTS - 1}, wide[2] = {threshold(), threshold()}, high[2] = {1e-4, 1e6};
    draw_fits(&p);
    plot_panel(&p, 450, 40, 290, 320, 0, (double)degrees, 1e-3, 1e5);
    plot_logarithmic(&p, false, true);
    plot_axes(&p, "mean squared error", "degree", "");
    plot_curve(&p, 2, line, high, 1, PLOT_GRAY);
    plot_band(&p, c[TEST_LOW].n, c[TEST_LOW].x, c[TEST_LOW].y, c[TEST_HIGH].y, PLOT_SKY, 0.4);
    curves_draw(&p, TEST_MEDIAN + 1, c);
    curves_legend(&p, TEST_MEDIAN + 1, c);
    if (!no_networks) {
        plot_panel(&p, 850, 40, 310, 320, 1, fmax((double)widest, 2), 1e-3, 1e3);
        plot_logarithmic(&p, true, true);
        plot_axes(&p, "networks: squared error of a picture", "width", "");
        plot_curve(&p, 2, wide, high, 1, PLOT_GRAY);
        curves_draw(&p, 2 * NOISES, networks);
        curves_legend(&p, 2 * NOISES, networks);
    }
    plot_save(&p, cli.out);
}

/* ---- The program ---- */

static void clear_results(void) {
    static const char *const name[] = {"training", "test", "least test error",       "largest test error",
                                       "training", "test", "training, wrong labels", "test, wrong labels"};
    static const unsigned color[] = {PLOT_ORANGE, PLOT_BLUE, PLOT_SKY,    PLOT_SKY,
                                     PLOT_SKY,    PLOT_BLUE, PLOT_ORANGE, PLOT_RED};
    for (int i = 0; i < POLYNOMIAL_CURVES + 2 * NOISES; i++) {
        curves[i] = (curve){.name = name[i], .color = color[i], .width = 1.8};
        snprintf(curves[i].key, sizeof curves[i].key, "%s, %s", i < POLYNOMIAL_CURVES ? "polynomials" : "networks",
                 name[i]);
    }
    points = (curve){.name = "points"};
    for (int k = 0; k < SHOWN; k++) {
        fits[k] = (curve){.name = "fit"};
        snprintf(fits[k].key, sizeof fits[k].key, "coefficients %d", k + 1);
    }
}

static void list_results(stored *s) {
    stored_curves(s, 1, 1, &points);
    stored_curves(s, SHOWN, 1, fits);
    stored_curves(s, POLYNOMIAL_CURVES, 1, curves);
    stored_curves(s, 2 * NOISES, no_networks ? 0 : 1, networks);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (faithful)
        samples = 1000, pool = 2, widest = 200, steps = 2000, seeds = 3, degrees = 100, sets = 20, noise = 0.25;
    if (WIDE % pool)
        cli_fail(2, "--pool %lld: a divisor of %d is needed", (long long)pool, WIDE);
    cli_check_files();
    clear_results();
    if (cli.from)
        stored_load(list_results);
    else
        fit_polynomials();
    if (!sw_error())
        print_polynomials(curves);
    cli_flush();
    if (!sw_error() && !no_networks && !cli.from)
        train_networks(networks);
    if (!sw_error() && !cli_signal) {
        if (!no_networks)
            print_networks(networks);
        cli_flush();
        draw();
        stored_save(list_results);
        if (!sw_error())
            printf("picture %s\n", cli.out);
    }
    return cli_end(cli_exit_code());
}
