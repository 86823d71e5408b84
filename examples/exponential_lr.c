/* Shows that an exponentially growing learning rate without weight decay is the same method as a constant one with
 * weight decay, if the loss does not depend on the length of the weights (Li, Arora, ICLR 2020).
 *
 * Batch normalization behind each linear layer makes a network scale invariant: L(c w) = L(w) for every c > 0, hence
 * the gradient at c w is that at w divided by c. SGD with momentum γ, learning rate η and weight decay λ follows
 *
 *     w(t+1) = (1 + γ - λη) w(t) - γ w(t-1) - η ∇L(w(t))
 *
 * Let a be the larger root of a² - (1 + γ - λη) a + γ = 0. Then u(t) = a^(-t) w(t) follows
 *
 *     u(t+1) = u(t) + γ a^-2 (u(t) - u(t-1)) - η a^(-2t-1) ∇L(u(t)),
 *
 * which is SGD with the same momentum, no weight decay, and the learning rate η a^(-2t-1). Both networks have the same
 * loss after each step, except for rounding. The two runs begin with w(-1) = w(0)/a and u(-1) = u(0) = w(0): the
 * momentum of the first one is not 0.
 *
 * A third run shows what rounding does: it is the first one, with first weights that differ in the last bit. */
#include "cli.h"
#include "curves.h"
#include <swale/swale.h>

enum { FEATURES = 2, CLASSES = 3, MOST_STEPS = 2000, TOP = 40, SIDE = 250 };
enum { DECAY, GROWTH, CONTROL, RUNS };

static int64_t steps = 300, samples = 300, width = 32, batch = 60;
static double lr = 0.1, decay = 0.005, momentum = 0.9;
static bool faithful;

static const cli_option options[] = {
    {"--steps", "N", CLI_COUNT, &steps, 2, MOST_STEPS, "steps of each run (300)"},
    {"--samples", "N", CLI_COUNT, &samples, 30, 100000, "points of three spirals (300)"},
    {"--width", "N", CLI_COUNT, &width, 1, 4096, "units of the two hidden layers (32)"},
    {"--batch", "N", CLI_COUNT, &batch, 2, 10000, "samples in a step (60)"},
    {"--lr", "X", CLI_REAL, &lr, 1e-6, 100, "constant learning rate (0.1)"},
    {"--decay", "X", CLI_REAL, &decay, 0, 1, "weight decay beside it (0.005)"},
    {"--momentum", "X", CLI_REAL, &momentum, 0, 0.999, "momentum of all runs (0.9)"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0, "300 steps with momentum 0.9, which are the defaults"},
    CLI_COMMON("of the points, the first weights and the batches (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (exponential_lr.png)")};
static const cli_program program = {.name = "exponential_lr",
                                    .example = "exponential_lr --momentum 0 --out exponential_lr.png",
                                    .options = options,
                                    .out = "exponential_lr.png",
                                    .numbers = true};

/* The larger root of a² - (1 + γ - λη) a + γ; NaN if the roots are not real. */
static double shrink_factor(void) {
    const double b = 1 + momentum - decay * lr;
    return (b + sqrt(b * b - 4 * momentum)) / 2;
}

/* ---- Runs ---- */

typedef struct run {
    curve *loss, *rate, *norm;
    double first_norm, last_norm;
} run;

/* Linear layers without bias, each followed by batch normalization without weight and bias. ε is so small that it does
 * not disturb the invariance: 1e-200 is lost when it is added to a variance. */
static sw_module *make_network(sw_model *model) {
    const sw_batch_norm_options how =
        SW_OPTIONS(sw_batch_norm_options, .eps = 1e-200, .no_weight = true, .no_bias = true, .no_statistics = true);
    return sw_nn_sequential(
        model, sw_nn_linear_no_bias(model, FEATURES, width), sw_nn_batch_norm_with_options(model, width, &how),
        sw_nn_relu(model), sw_nn_linear_no_bias(model, width, width), sw_nn_batch_norm_with_options(model, width, &how),
        sw_nn_relu(model), sw_nn_linear_no_bias(model, width, CLASSES),
        sw_nn_batch_norm_with_options(model, CLASSES, &how), NULL);
}

static double norm_of(const double *x, int64_t dim) {
    double square = 0;
    for (int64_t i = 0; i < dim; i++)
        square += x[i] * x[i];
    return sqrt(square);
}

/* Sets the momentum that the run has if w(-1) = w(0)/a: m = (w(-1) - w(0))/η. */
static void set_momentum(sw_optim *optim, const sw_params *params, const double *x, double a) {
    for (int i = 0; i < sw_params_count(params); i++) {
        const sw_param *p = sw_params_at(params, i);
        const sw_array m = sw_optim_param_slot(optim, p, "momentum");
        const double *w = x + p->offset;
        double *to = m.data;
        for (int64_t k = 0; to && k < sw_array_count(&m); k++)
            to[k] = (1 / a - 1) * w[k] / lr;
    }
}

static void train(int kind, const sw_source *source, run *r) {
    const double a = shrink_factor();
    char rule[128], schedule[64], estimator[64];
    const bool grows = kind == GROWTH;
    snprintf(rule, sizeof rule, "sgd lr=%.17g momentum=%.17g weight_decay=%.17g", grows ? lr / a : lr, momentum,
             grows ? 0 : decay);
    snprintf(schedule, sizeof schedule, "exponential factor=%.17g", 1 / (a * a));
    snprintf(estimator, sizeof estimator, "minibatch batch=%lld", (long long)batch);
    sw_model *model = sw_model_new(SW_F64, (uint64_t)cli.seed);
    sw_params *params = sw_model_build(model, make_network(model));
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .estimator = estimator, .rule = rule,
                                            .schedule = grows ? schedule : "constant", .seed = (uint64_t)cli.seed);
    sw_optim *optim = sw_error() ? NULL : sw_optim_new_with_options(params, &how);
    const sw_objective *f = sw_error() ? NULL : sw_model_objective(model, source, sw_cross_entropy);
    double *x = sw_error() ? NULL : sw_params_x(params);
    const int64_t dim = sw_error() ? 0 : sw_params_dim(params);
    for (int64_t i = 0; kind == CONTROL && x && i < dim; i++)
        x[i] *= i % 2 ? 1 + 0x1p-52 : 1 - 0x1p-52;
    if (x)
        sw_params_mark_changed(params);
    if (x && !grows && momentum > 0)
        set_momentum(optim, params, x, a);
    r->first_norm = x ? norm_of(x, dim) : 0;
    for (int64_t t = 0; x && t < steps && !sw_error(); t++) {
        double loss = NAN;
        curve_add(r->norm, (double)t, norm_of(x, dim));
        sw_optim_minimize(optim, f, &loss);
        curve_add(r->loss, (double)t, loss);
        curve_add(r->rate, (double)t, sw_error() ? 0 : sw_optim_option(optim, 0, "lr"));
    }
    r->last_norm = x ? norm_of(x, dim) : 0;
    sw_optim_free(optim), sw_model_free(model);
}

/* ---- Results ---- */

/* The largest relative difference of two curves; `gap` gets all of them. */
static double compare(const curve *one, const curve *other, curve *gap) {
    double worst = 0;
    for (int i = 0; i < one->n && i < other->n; i++) {
        const double d = fabs(one->y[i] - other->y[i]) / fabs(one->y[i]);
        curve_add(gap, one->x[i], fmax(d, 1e-17));
        worst = d > worst || isnan(d) ? d : worst;
    }
    return worst;
}

static void draw(const curve *loss, const curve *gap, const curve *rate, const curve *norm) {
    const double last = (double)steps;
    plot p = plot_new(1335, 340);
    plot_panel(&p, 60, TOP, 250, SIDE, 0, last, 0, 1.5);
    plot_axes(&p, "loss of the batch", "step", "loss");
    plot_curve(&p, loss[DECAY].n, loss[DECAY].x, loss[DECAY].y, 5, PLOT_SKY);
    plot_curve(&p, loss[GROWTH].n, loss[GROWTH].x, loss[GROWTH].y, 1.4, PLOT_RED);
    plot_legend(&p, 2,
                (legend_entry[]){{loss[DECAY].name, PLOT_SKY, 5, LEGEND_LINE, {0}},
                                 {loss[GROWTH].name, PLOT_RED, 2, LEGEND_LINE, {0}}});
    plot_panel(&p, 400, TOP, 250, SIDE, 0, last, 1e-17, 1);
    plot_logarithmic(&p, false, true);
    plot_axes(&p, "relative difference of the losses", "step", "");
    curves_draw(&p, 2, gap);
    curves_legend(&p, 2, gap);
    plot_panel(&p, 730, TOP, 250, SIDE, 0, last, lr / 2, fmax(rate[GROWTH].y[rate[GROWTH].n - 1], lr) * 2);
    plot_logarithmic(&p, false, true);
    plot_axes(&p, "learning rate", "step", "");
    curves_draw(&p, 2, rate);
    curves_legend(&p, 2, rate);
    const double most = fmax(norm[GROWTH].y[norm[GROWTH].n - 1], norm[DECAY].y[0]);
    plot_panel(&p, 1060, TOP, 250, SIDE, 0, last, 1, 2 * most);
    plot_logarithmic(&p, false, true);
    plot_axes(&p, "norm of the weights", "step", "");
    curves_draw(&p, 2, norm);
    curves_legend(&p, 2, norm);
    plot_save(&p, cli.out);
}

int main(int argc, char **argv) {
    static const char *const run_name[RUNS] = {"decay, constant rate", "no decay, growing rate",
                                               "decay, other last bits"};
    static const char *const gap_name[2] = {"growing rate", "other last bits of the first weights"};
    static const char *const quantity[3] = {"loss", "rate", "norm"};
    static const unsigned color[RUNS] = {PLOT_BLUE, PLOT_RED, PLOT_GREEN};
    static curve c[3 * RUNS + 2], all[3 * RUNS + 2];
    static char full[3 * RUNS + 2][64];
    curve *const loss = c, *const rate = c + RUNS, *const norm = c + 2 * RUNS, *const gap = c + 3 * RUNS;
    run r[RUNS];
    cli_start(&program, argc, argv);
    if (faithful)
        steps = 300, momentum = 0.9;
    if (isnan(shrink_factor()) || shrink_factor() <= 0)
        cli_fail(2, "--decay %g with --lr %g and --momentum %g: a weight decay below %.3g is needed", decay, lr,
                 momentum, (1 - sqrt(momentum)) * (1 - sqrt(momentum)) / lr);
    cli_check_files();
    for (int i = 0; i < 3 * RUNS; i++)
        c[i] = (curve){.name = run_name[i % RUNS], .color = color[i % RUNS], .width = 1.8};
    for (int i = 0; i < 2; i++)
        gap[i] = (curve){.name = gap_name[i], .color = color[i + 1], .width = 1.8};
    sw_source *source =
        sw_spirals(&SW_OPTIONS(sw_spirals_options, .n = samples, .noise = 0.05, .seed = (uint64_t)cli.seed));
    for (int i = 0; i < RUNS && !sw_error(); i++) {
        r[i] = (run){.loss = &loss[i], .rate = &rate[i], .norm = &norm[i]};
        train(i, source, &r[i]);
    }
    sw_source_free(source);
    if (sw_error())
        return cli_end(1);
    const double worst = compare(&loss[DECAY], &loss[GROWTH], &gap[0]);
    const double control = compare(&loss[DECAY], &loss[CONTROL], &gap[1]);
    const double a = shrink_factor(), scale = pow(a, (double)-steps);
    printf("shrink_factor %.9f\nfirst_loss %.6f\nlast_loss %.6f\n", a, loss[DECAY].y[0], loss[DECAY].y[steps - 1]);
    printf("largest_loss_difference %.2e\nlargest_loss_difference_last_bits %.2e\n", worst, control);
    printf("last_rate %.6g\nnorm_ratio_error %.2e\n", rate[GROWTH].y[steps - 1],
           fabs(r[GROWTH].last_norm / r[DECAY].last_norm / scale - 1));
    cli_flush();
    draw(loss, gap, rate, norm);
    for (int i = 0; i < 3 * RUNS + 2; i++) {
        all[i] = c[i];
        snprintf(full[i], sizeof full[i], "%s: %s", i < 3 * RUNS ? quantity[i / RUNS] : "difference", c[i].name);
        all[i].name = full[i];
    }
    curves_save(cli.out, "step", "y", 3 * RUNS + 2, all);
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
