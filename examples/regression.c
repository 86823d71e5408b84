/* Fits a curve to noisy points, and estimates the uncertainty of the network.
 *
 * Dropout stays active after training, so that each pass uses a different part of the network. Near the data all
 * passes agree; far from the data they differ. Mean and standard deviation of many passes are the prediction and its
 * uncertainty (Gal, Ghahramani, Dropout as a Bayesian approximation, ICML 2016). */
#include "cli.h"
#include "plot.h"
#include <swale/swale.h>

enum { GRID = 281 }; /* GRID: points of the curve */

static int64_t samples = 80, steps = 2000, passes = 500;
static double dropout = 0.1;

static const cli_option options[] = {
    {"--samples", "N", CLI_COUNT, &samples, 2, 10000, "training points (80)"},
    {"--steps", "N", CLI_COUNT, &steps, 1, 1e6, "steps of AdamW, with 40 points each (2000)"},
    {"--dropout", "P", CLI_REAL, &dropout, 0, 0.9, "probability that a unit is dropped (0.1)"},
    {"--passes", "N", CLI_COUNT, &passes, 2, 100000, "forward passes for mean and spread (500)"},
    CLI_COMMON("of data, initial weights and dropout (1)", "FILE.png", CLI_PICTURE, "the picture (regression.png)")};
static const cli_program program = {.name = "regression",
                                    .example = "regression --dropout 0.2 --out regression.png",
                                    .options = options,
                                    .out = "regression.png"};

static double truth(double x) {
    return sin(3 * x);
}

static bool has_data(double x) {
    return fabs(x) >= 0.5 && fabs(x) <= 1.3;
}

/* Makes noisy points near the curve in two intervals; there are none between and outside them. */
static sw_source *make_samples(double *x, double *y) {
    sw_rng rng = {.key = sw_rng_key((uint64_t)cli.seed, "samples")};
    for (int64_t i = 0; i < samples; i++) {
        const double u = sw_rng_uniform(&rng);
        x[i] = (i % 2 ? 1 : -1) * (0.5 + 0.8 * u);
        y[i] = truth(x[i]) + 0.1 * sw_rng_normal(&rng);
    }
    const sw_array inputs = sw_array_view(x, SW_F64, SW_SHAPE(samples, 1));
    const sw_array targets = sw_array_view(y, SW_F64, SW_SHAPE(samples, 1));
    return sw_arrays(&inputs, &targets, NULL);
}

/* Computes mean and standard deviation of `passes` outputs at each point of x [GRID]. */
static void ask_often(sw_module *net, double *x, double *mean, double *deviation) {
    sw_tape *tape = sw_tape_new();
    /* no gradients are needed; SW_TRAIN stays on, so that dropout is active */
    sw_tape_set_switch(tape, SW_RECORD, false);
    sw_tape_set_seed(tape, (uint64_t)cli.seed);
    double sum[GRID] = {0}, squares[GRID] = {0};
    for (int64_t pass = 0; pass < passes && !sw_error(); pass++) {
        const double *y = sw_value(sw_forward(net, sw_input(tape, sw_array_view(x, SW_F64, SW_SHAPE(GRID, 1))))).data;
        for (int i = 0; y && i < GRID; i++) {
            sum[i] += y[i];
            squares[i] += y[i] * y[i];
        }
        sw_tape_reset(tape); /* the next pass drops other units */
    }
    for (int i = 0; i < GRID; i++) {
        mean[i] = sum[i] / (double)passes;
        const double variance = squares[i] / (double)passes - mean[i] * mean[i];
        deviation[i] = variance > 0 ? sqrt(variance) : 0;
    }
    sw_tape_free(tape);
}

static void draw(double *x, const double *mean, const double *deviation, const double *data_x, const double *data_y) {
    double low[GRID], high[GRID], exact[GRID];
    const unsigned twice = color_mix(PLOT_WHITE, PLOT_SKY, 0.25), once = color_mix(twice, PLOT_SKY, 0.35);
    plot p = plot_new(800, 480);
    plot_panel(&p, 70, 40, 700, 380, x[0], x[GRID - 1], -2, 2.5);
    plot_axes(&p, "a fit and its uncertainty by dropout", "x", "y");
    for (int width = 2; width >= 1; width--) {
        for (int i = 0; i < GRID; i++) {
            low[i] = mean[i] - width * deviation[i];
            high[i] = mean[i] + width * deviation[i];
            exact[i] = truth(x[i]);
        }
        plot_band(&p, GRID, x, low, high, PLOT_SKY, width == 2 ? 0.25 : 0.35);
    }
    plot_curve(&p, GRID, x, exact, 1.2, PLOT_GRAY);
    plot_curve(&p, GRID, x, mean, 2.4, PLOT_BLUE);
    for (int64_t i = 0; i < samples; i++)
        plot_point(&p, data_x[i], data_y[i], 3, PLOT_RED);
    const legend_entry entry[] = {{"training samples", PLOT_RED, 3, LEGEND_POINT, {0}},
                                  {"mean of the passes", PLOT_BLUE, 2.4, LEGEND_LINE, {0}},
                                  {"1 standard deviation", once, 0, LEGEND_AREA, {0}},
                                  {"2 standard deviations", twice, 0, LEGEND_AREA, {0}},
                                  {"sin 3x, the truth", PLOT_GRAY, 1.2, LEGEND_LINE, {0}}};
    plot_legend(&p, sizeof entry / sizeof *entry, entry);
    plot_save(&p, cli.out);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    cli_check_files();
    static double data_x[10000], data_y[10000];
    double x[GRID], mean[GRID], deviation[GRID], loss = 0;

    sw_source *source = make_samples(data_x, data_y);
    sw_model *model = sw_model_new(SW_F64, (uint64_t)cli.seed);
    sw_module *net = sw_nn_sequential(model, sw_nn_linear(model, 1, 64), sw_nn_relu(model),
                                      sw_nn_dropout(model, dropout), sw_nn_linear(model, 64, 64), sw_nn_relu(model),
                                      sw_nn_dropout(model, dropout), sw_nn_linear(model, 64, 1), NULL);
    const sw_optim_options how =
        SW_OPTIONS(sw_optim_options, .estimator = "minibatch batch=40", .rule = "adamw lr=3e-3", .schedule = "cosine",
                   .seed = (uint64_t)cli.seed, .total_steps = steps);
    sw_optim *optim = sw_optim_new_with_options(sw_model_build(model, net), &how);
    const sw_objective *f = sw_model_objective(model, source, sw_mse);
    for (int64_t step = 0; step < steps && !sw_error(); step++)
        sw_optim_minimize(optim, f, &loss);

    for (int i = 0; i < GRID; i++)
        x[i] = -2 + 4.0 * i / (GRID - 1);
    ask_often(net, x, mean, deviation);
    /* error: of the mean, against the true function; spread: near the data, and far from them */
    double error = 0, spread[2] = {0};
    int points[2] = {0};
    for (int i = 0; i < GRID; i++) {
        const bool far = !has_data(x[i]);
        spread[far] += deviation[i];
        error += far ? 0 : fabs(mean[i] - truth(x[i]));
        points[far]++;
    }
    if (!sw_error()) {
        printf("error %.4f\ndeviation_near_data %.4f\ndeviation_elsewhere %.4f\n", error / points[0],
               spread[0] / points[0], spread[1] / points[1]);
        cli_flush();
    }
    draw(x, mean, deviation, data_x, data_y);
    if (!sw_error())
        printf("picture %s\n", cli.out);
    sw_optim_free(optim), sw_model_free(model), sw_source_free(source);
    return cli_end(0);
}
