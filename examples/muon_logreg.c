/* Compares Muon with AdamW on logistic regression whose weight is stored as a matrix:
 *
 *     z_i = sum W_jk x_i,10j+k
 *     x_i ~ N(0, I) in 100 dimensions, w ~ N(0, I), y_i ~ Bernoulli(sigma(<w, x_i>)), i < 5000
 *
 * The 100 weights are W [10, 10], so that Muon, which orthogonalizes the momentum of a matrix, can update them. Its
 * learning rate of 0.02 is the length of every singular value of a step, and a step of AdamW changes each weight by
 * about the learning rate. At 3e-4, which is common for large networks, AdamW makes little progress in 15 epochs.
 * Therefore the learning rates of both are swept too: the right panel has the accuracy after the last epoch for
 * each. */
#include "cli.h"
#include "curves.h"
#include <swale/swale.h>

enum { N = 5000, SIDE = 10, D = SIDE * SIDE, BATCH = 128, MOST_EPOCHS = 200 };
enum { RATES = 17 }; /* four in each factor of 10, from 1e-4 to 1 */

static int64_t epochs = 15;

typedef struct method {
    const char *name, *result, *rule;
    double lr;
    unsigned color;
} method;
static const method methods[] = {
    {"Muon, 0.02", "muon_train_accuracy", "muon momentum=0.95 decoupled=false weight_decay=0.01", 0.02, PLOT_BLUE},
    {"AdamW, 3e-4", "adamw_train_accuracy", "adamw beta1=0.9 beta2=0.95 weight_decay=0.01", 3e-4, PLOT_RED}};
enum { METHODS = sizeof methods / sizeof *methods, ADAMW = 1 };

static const cli_option options[] = {
    {"--epochs", "N", CLI_COUNT, &epochs, 1, MOST_EPOCHS, "passes over the samples in each run (15)"},
    CLI_COMMON("of the samples, the first weights and the batches (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (muon_logreg.png)")};
static const cli_program program = {.name = "muon_logreg",
                                    .example = "muon_logreg --epochs 30 --out muon_logreg.png",
                                    .options = options,
                                    .out = "muon_logreg.png",
                                    .numbers = true};

/* ---- The problem ---- */

static double x[N][D], y[N]; /* y is 0 or 1 */
static double true_accuracy;

/* The fraction of the samples that the weights classify correctly. */
static double accuracy_of(const double *w) {
    int correct = 0;
    for (int i = 0; i < N; i++) {
        double z = 0;
        for (int j = 0; j < D; j++)
            z += w[j] * x[i][j];
        correct += (z > 0) == (y[i] > 0.5);
    }
    return (double)correct / N;
}

static void make_samples(void) {
    sw_source *source = sw_logistic_samples(
        &SW_OPTIONS(sw_logistic_samples_options, .n = N, .features = D, .seed = (uint64_t)cli.seed));
    for (int64_t i = 0; i < N && !sw_error(); i++) {
        sw_source_gather(source, SW_F64, 0, &i, 1, x[i], &y[i]);
        y[i] = y[i] > 0 ? 1 : 0;
    }
    if (!sw_error())
        true_accuracy = accuracy_of(sw_true_weights(source));
    sw_source_free(source);
}

static sw_tensor loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    sw_tensor rows = sw_empty(tape, SW_F64, SW_SHAPE(count, D)), labels = sw_empty(tape, SW_F64, SW_SHAPE(count, 1));
    double *to = sw_value(rows).data, *label = sw_value(labels).data;
    for (int64_t i = 0; to && label && i < count; i++) {
        memcpy(to + i * D, x[ids[i]], sizeof x[0]);
        label[i] = y[ids[i]];
    }
    sw_tensor w = sw_reshape(sw_param_use(tape, sw_params_at(user, 0)), SW_SHAPE(1, D));
    return sw_bce_with_logits(sw_linear(rows, w, (sw_tensor){0}), labels);
}

/* ---- A run ---- */

static sw_params *make_params(void) {
    const sw_param_options weight = SW_OPTIONS(sw_param_options, .role = SW_ROLE_WEIGHT,
                                               .init = sw_init_normal(0, 0.01), .fan_in = D, .fan_out = 1);
    sw_params *params = sw_params_new(SW_F64, (uint64_t)cli.seed);
    sw_params_add(params, "w", SW_SHAPE(SIDE, SIDE), &weight);
    sw_params_build(params);
    return params;
}

/* Trains from the same first weights, with the same batches. Returns the accuracy after the last epoch; c, if it is not
 * NULL, receives the accuracy before the first and after each. */
static double train(const char *rule, double lr, curve *c) {
    char spec[160];
    double accuracy = 0;
    sw_params *params = make_params();
    const sw_objective f = SW_OPTIONS(sw_objective, .n = N, .params = params, .user = params, .loss = loss);
    const int64_t steps = (N + BATCH - 1) / BATCH;
    snprintf(spec, sizeof spec, "%s lr=%.17g", rule, lr);
    sw_optim *optim = sw_error() ? NULL
                                 : sw_optim_new_with_options(params, &SW_OPTIONS(sw_optim_options, .rule = spec,
                                                                                 .estimator = "minibatch batch=128",
                                                                                 .seed = (uint64_t)cli.seed));
    for (int64_t epoch = 0; epoch <= epochs && !sw_error(); epoch++) {
        for (int64_t i = 0; epoch > 0 && i < steps; i++)
            sw_optim_minimize(optim, &f, NULL);
        accuracy = sw_error() ? 0 : accuracy_of(sw_params_x(params));
        if (c)
            curve_add(c, (double)epoch, accuracy);
    }
    sw_optim_free(optim), sw_params_free(params);
    return accuracy;
}

/* The accuracy for each learning rate; returns the index of the best. */
static int sweep(const char *rule, curve *c) {
    int best = 0;
    for (int k = 0; k < RATES && !sw_error(); k++) {
        const double lr = pow(10, -4 + k / 4.0);
        curve_add(c, lr, train(rule, lr, NULL));
        best = c->y[k] > c->y[best] ? k : best;
    }
    return best;
}

static void draw(curve *c, curve *swept) {
    plot p = plot_new(1040, 460);
    plot_panel(&p, 80, 40, 400, 360, 0, (double)epochs, 0.5, 1);
    plot_axes(&p, "accuracy on the training samples", "epoch", "accuracy");
    curves_draw(&p, METHODS + 1, c);
    curves_legend(&p, METHODS + 1, c);
    plot_panel(&p, 592, 40, 428, 360, 1e-4, 1, 0.5, 1);
    plot_logarithmic(&p, true, false);
    plot_axes(&p, "after the last epoch, by learning rate", "learning rate", "accuracy");
    curves_draw(&p, METHODS, swept);
    curves_legend(&p, METHODS, swept);
    plot_save(&p, cli.out);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    cli_check_files();
    static curve c[2 * METHODS + 1]; /* the two, AdamW with its best learning rate, and the two sweeps */
    curve *swept = c + METHODS + 1;
    char best_name[64];
    int best[METHODS] = {0};
    make_samples();
    for (int i = 0; i < METHODS; i++) {
        const method *m = &methods[i];
        c[i] = (curve){.name = m->name, .color = m->color, .width = 2};
        swept[i] = (curve){.name = i == ADAMW ? "AdamW" : "Muon", .color = m->color, .width = 2};
        train(m->rule, m->lr, &c[i]);
        best[i] = sweep(m->rule, &swept[i]);
    }
    if (sw_error())
        return cli_end(1);
    const double lr = swept[ADAMW].x[best[ADAMW]];
    snprintf(best_name, sizeof best_name, "AdamW, %.2g (best)", lr);
    c[METHODS] = (curve){.name = best_name, .color = PLOT_ORANGE, .width = 2};
    train(methods[ADAMW].rule, lr, &c[METHODS]);
    for (int i = 0; i < METHODS && !sw_error(); i++)
        printf("%s %.4f\n", methods[i].result, curve_end(&c[i], 1.0 / c[i].n));
    if (!sw_error())
        printf("adamw_swept_train_accuracy %.4f\nadamw_swept_lr %.4g\nmuon_swept_train_accuracy %.4f\nmuon_swept_lr "
               "%.4g\ntrue_weights_accuracy %.4f\n",
               swept[ADAMW].y[best[ADAMW]], lr, swept[0].y[best[0]], swept[0].x[best[0]], true_accuracy);
    cli_flush();
    draw(c, swept);
    curves_save(cli.out, "x", "accuracy", 2 * METHODS + 1, c);
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
