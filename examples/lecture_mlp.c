/* Compares SGD, heavy ball, Nesterov's momentum and Adam as in the lecture: 784-100-10 with ELU on Fashion-MNIST,
 * with unscaled pixels from 0 to 255, batches of 1024, and ten epochs at learning rate 4e-4. The initial weights are
 * LeCun normal and the biases are zero, the same for all four methods. The incomplete last batch of an epoch is
 * dropped. */
#include "stored.h"
#include <swale/swale.h>

enum { METHODS = 4, CURVES = 4 };

static const char *data;
static int64_t epochs = 10, samples = 60000, test_samples = 10000;

static const cli_option options[] = {
    {"--data", "DIR", CLI_DATA, &data, 0, 0, "folder of the four IDX files (default: searched for)"},
    {"--epochs", "N", CLI_COUNT, &epochs, 1, 1000, "passes over the training set (10)"},
    {"--samples", "N", CLI_COUNT, &samples, 1024, 60000, "training pictures (60000)"},
    {"--test", "N", CLI_COUNT, &test_samples, 1, 10000, "test pictures (10000)"},
    STORED_FROM,
    CLI_COMMON("of initial values and order (1)", "FILE.png", CLI_PICTURE,
               "the picture; its numbers go to FILE.csv (lecture_mlp.png)")};
static const cli_program program = {.name = "lecture_mlp",
                                    .example = "lecture_mlp --epochs 10 --out lecture_mlp.png",
                                    .options = options,
                                    .out = "lecture_mlp.png",
                                    .numbers = true};

static const struct {
    const char *name, *rule;
    unsigned color;
} methods[METHODS] = {{"sgd", "sgd lr=4e-4", PLOT_GRAY},
                      {"momentum", "sgd lr=4e-4 momentum=0.8", PLOT_BLUE},
                      {"nesterov", "sgd lr=4e-4 momentum=0.8 nesterov", PLOT_GREEN},
                      {"adam", "adam lr=4e-4", PLOT_RED}};

/* For each method, by epoch from 0: losses, then accuracies; of the training set, then of the test set. */
enum { TRAIN_LOSS, TEST_LOSS, TRAIN_ACCURACY, TEST_ACCURACY };
static curve curves[CURVES][METHODS];

/* Scales pixels back to 0 to 255, the inputs of the network in the lecture; the source gives 0 to 1. */
static sw_status to_bytes(void *user, int64_t id, uint64_t draw, const double *in, double *to) {
    (void)user, (void)id, (void)draw;
    for (int i = 0; i < 784; i++)
        to[i] = rint(in[i] * 255);
    return SW_OK;
}

static sw_source *bytes_of(sw_data_split split, int64_t count) {
    const sw_wrap_options owns = SW_OPTIONS(sw_wrap_options, .owns_source = true);
    sw_source *all = sw_fashion_mnist(data, split), *first = all ? sw_take(all, count, &owns) : NULL;
    const sw_map_options how = SW_OPTIONS(sw_map_options, .owns_source = true);
    return first ? sw_map(first, to_bytes, NULL, &how) : NULL;
}

static sw_model *make_model(void) {
    sw_model *model = sw_model_new(SW_F32, (uint64_t)cli.seed);
    sw_model_set_init(model, sw_init_lecun_normal());
    sw_model_build(model, sw_nn_sequential(model, sw_nn_linear(model, 784, 100), sw_nn_elu(model, 1),
                                           sw_nn_linear(model, 100, 10), NULL));
    return model;
}

/* Adds the loss and accuracy on both sets to the curves of the method. */
static void note(sw_model *model, int m, double epoch, const sw_source *train, const sw_source *test) {
    sw_evaluation on_train = {0}, on_test = {0};
    sw_model_evaluate(model, NULL, train, sw_cross_entropy, &on_train);
    sw_model_evaluate(model, NULL, test, sw_cross_entropy, &on_test);
    curve_add(&curves[TRAIN_LOSS][m], epoch, on_train.loss);
    curve_add(&curves[TEST_LOSS][m], epoch, on_test.loss);
    curve_add(&curves[TRAIN_ACCURACY][m], epoch, on_train.accuracy);
    curve_add(&curves[TEST_ACCURACY][m], epoch, on_test.accuracy);
    cli_note("%s, epoch %g: train loss %.4f, test accuracy %.4f\n", methods[m].name, epoch, on_train.loss,
             on_test.accuracy);
}

static void train(int m, const sw_source *set, const sw_source *test) {
    sw_model *model = make_model();
    sw_optim *optim = sw_error() ? NULL : sw_optim_new(sw_model_params(model), methods[m].rule);
    const sw_loader_options how = SW_OPTIONS(sw_loader_options, .seed = (uint64_t)cli.seed, .drop_last = true);
    sw_loader *loader = sw_error() ? NULL : sw_loader_new(set, 1024, &how);
    sw_tape *tape = sw_tape_new();
    note(model, m, 0, set, test);
    for (int64_t epoch = 1; epoch <= epochs && !sw_error() && !cli_signal; epoch++) {
        for (sw_batch b; !cli_signal && sw_loader_next(loader, tape, &b); sw_tape_reset(tape)) {
            sw_backward(sw_cross_entropy(sw_forward(sw_model_root(model), b.x), b.y));
            sw_optim_step(optim);
        }
        if (!cli_signal)
            note(model, m, (double)epoch, set, test);
    }
    sw_tape_free(tape), sw_loader_free(loader), sw_optim_free(optim), sw_model_free(model);
}

/* ---- The figure: loss and accuracy; training lines are thin, test lines thick ---- */

static void draw_panel(plot *p, double left, const char *title, int train_curve, double low, double high,
                       bool logarithmic) {
    legend_entry entry[METHODS];
    plot_panel(p, left, 40, 400, 320, 0, (double)epochs, low, high);
    plot_logarithmic(p, false, logarithmic);
    plot_axes(p, title, "epoch", logarithmic ? "loss" : "accuracy");
    for (int m = 0; m < METHODS; m++) {
        const curve *a = &curves[train_curve][m], *b = &curves[train_curve + 1][m];
        plot_curve(p, a->n, a->x, a->y, 1, methods[m].color);
        plot_curve(p, b->n, b->x, b->y, 2.4, methods[m].color);
        entry[m] = (legend_entry){methods[m].name, methods[m].color, 2.4, LEGEND_LINE, {0}};
    }
    plot_frame(p, PLOT_GRAY);
    plot_legend(p, METHODS, entry);
}

static void clear_results(void) {
    static char name[CURVES][METHODS][48];
    static const char *const what[CURVES] = {"train loss", "test loss", "train accuracy", "test accuracy"};
    for (int m = 0; m < METHODS; m++)
        for (int c = 0; c < CURVES; c++) {
            snprintf(name[c][m], sizeof name[c][m], "%s %s", methods[m].name, what[c]);
            curves[c][m] = (curve){.name = name[c][m]};
        }
}

/* A run that a signal has ended lacks methods. */
static void list_results(stored *s) {
    stored_curves(s, CURVES * METHODS, 0, curves[0]);
}

/* Whether all epochs of the method were trained, without a signal. */
static bool is_complete(int m) {
    return curves[TEST_ACCURACY][m].n == epochs + 1;
}

static void write_figure(void) {
    plot p = plot_new(1010, 420);
    draw_panel(&p, 80, "thick: test, thin: training", TRAIN_LOSS, 0.2, 200, true);
    draw_panel(&p, 580, "thick: test, thin: training", TRAIN_ACCURACY, 0.5, 1, false);
    plot_save(&p, cli.out);
    stored_save(list_results);
    if (!sw_error())
        printf("picture %s\n", cli.out);
}

static void train_all(void) {
    sw_source *set = bytes_of(SW_TRAINING, samples), *test = set ? bytes_of(SW_TEST, test_samples) : NULL;
    cli_catch_signals();
    for (int m = 0; m < METHODS && !sw_error() && !cli_signal; m++)
        train(m, set, test);
    cli_release_signals();
    sw_source_free(set), sw_source_free(test);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    cli_check_files();
    clear_results();
    if (cli.from)
        stored_load(list_results);
    else
        train_all();
    if (sw_error())
        return cli_end(1);
    for (int m = 0; m < METHODS; m++)
        if (is_complete(m))
            printf("%s_test_accuracy %.4f\n", methods[m].name, curves[TEST_ACCURACY][m].y[epochs]);
    cli_flush();
    if (is_complete(0) || cli.from)
        write_figure();
    else /* keep the files of an earlier run instead of writing an empty figure */
        cli_say("interrupted before the first method was completed: nothing was written");
    return cli_end(cli_exit_code());
}
