/* Trains a network on a table: a CSV file whose rows are features and, in the last column, a class (a whole number or
 * a name). The program splits the rows, trains until the validation loss no longer decreases, saves the best weights
 * together with the means and deviations for the normalization, and predicts the class of a row with the saved file. */
#include "cli.h"
#include <swale/swale.h>

enum { HIDDEN = 32 };

static const char iris[] = "examples/iris.csv";
static const char *csv = iris, *delimiter = ",", *load, *row;
static int64_t epochs = 200, patience = 20;

static const cli_option options[] = {
    {"--csv", "FILE", CLI_INPUT, &csv, 0, 0, "numbers, the last of each row a class (examples/iris.csv)"},
    {"--delimiter", "C", CLI_TEXT, &delimiter, 0, 0, "character between two numbers of the table, or tab (,)"},
    {"--epochs", "N", CLI_COUNT, &epochs, 1, 1e6, "maximum number of epochs (200)"},
    {"--patience", "N", CLI_COUNT, &patience, 1, 1e6, "epochs without a better validation loss (20)"},
    {"--load", "FILE", CLI_INPUT, &load, 0, 0, "use a file that --out wrote, without training; needs --predict"},
    {"--predict", "X,X,...", CLI_TEXT, &row, 0, 0, "features of a row; prints the predicted class"},
    CLI_COMMON("of split, initial weights and order (1)", "FILE", CLI_OUTPUT,
               "the network and its normalization (own_data.safetensors)")};
static const cli_program program = {.name = "own_data",
                                    .example = "own_data --csv examples/iris.csv --predict 5.1,3.5,1.4,0.2",
                                    .options = options,
                                    .out = "own_data.safetensors"};

static sw_model *network_new(int64_t features, int64_t classes) {
    sw_model *model = sw_model_new(SW_F32, (uint64_t)cli.seed);
    sw_model_build(model, sw_nn_sequential(model, sw_nn_linear(model, features, HIDDEN), sw_nn_relu(model),
                                           sw_nn_linear(model, HIDDEN, classes), NULL));
    return model;
}

/* ---- Training, with early stopping ---- */

typedef struct watch {
    sw_model *model;
    const sw_source *validation;
    float *best; /* the weights with the lowest validation loss */
    double lowest;
    int64_t since;
} watch;

static sw_status watch_epoch(void *user, sw_train_state *state) {
    watch *w = user;
    sw_evaluation result;
    SW_TRY(sw_model_evaluate(w->model, state->point, w->validation, sw_cross_entropy, &result));
    w->since++;
    if (result.loss < w->lowest) {
        memcpy(w->best, state->point, sizeof *w->best * (size_t)sw_params_dim(sw_model_params(w->model)));
        w->lowest = result.loss;
        w->since = 0;
    }
    state->stop = w->since >= patience;
    return SW_OK;
}

/* Trains, and leaves the best weights in the model. False if there are none, after an error or an early Ctrl-C. */
static bool network_train(sw_model *model, const sw_source *data, const sw_source *validation,
                          sw_train_result *result) {
    sw_params *params = sw_model_params(model);
    const size_t bytes = sizeof(float) * (size_t)sw_params_dim(params);
    watch w = {.model = model, .validation = validation, .best = sw_alloc(bytes), .lowest = INFINITY};
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .estimator = "minibatch batch=16",
                                            .seed = (uint64_t)cli.seed, .rule = "adamw lr=1e-2 weight_decay=0.01");
    sw_optim *optim = sw_optim_new_with_options(params, &how);
    const sw_train_options until = {
        .size = sizeof until, .epochs = epochs, .evaluate = watch_epoch, .user = &w, .stop = &cli_signal};
    cli_catch_signals();
    if (w.best)
        sw_train(sw_model_objective(model, data, sw_cross_entropy), optim, &until, result);
    cli_release_signals();
    const bool learned = w.best && w.lowest < INFINITY;
    if (learned) {
        memcpy(sw_params_x(params), w.best, bytes);
        sw_params_mark_changed(params);
    } else if (!cli_signal && !sw_error()) {
        sw_fail(SW_ERR_NONFINITE, "no epoch had a finite validation loss");
    }
    sw_optim_free(optim), sw_free(w.best);
    return learned && !sw_error();
}

/* ---- Files ---- */

/* Saves the label of a class, as it is in the table, under the key "class0", "class1", … */
static const char *class_key(int class) {
    static char key[32];
    snprintf(key, sizeof key, "class%d", class);
    return key;
}

static void file_write(const sw_model *model, const sw_source *data, int64_t features, double *mean, double *std) {
    sw_archive *a = sw_archive_new();
    for (int c = 0; c < data->classes; c++)
        sw_archive_set_text(a, class_key(c), data->class_names[c]);
    sw_params_pack(sw_model_params(model), a, "network.");
    sw_archive_put(a, "mean", sw_array_view(mean, SW_F64, SW_SHAPE(features)));
    sw_archive_put(a, "std", sw_array_view(std, SW_F64, SW_SHAPE(features)));
    if (!sw_error())
        sw_archive_save(a, cli.out);
    sw_archive_free(a);
}

/* ---- The table ---- */

/* Replaces the advice of sw_csv, which names members of its options, by advice for the command line. */
static void table_explain_error(void) {
    static const char *const advice[][2] = {
        {" (option allow_nonfinite)", " (remove the row)"},
        {" (SW_CSV_REAL is for real targets)", " (the last column must be a class)"},
        {"option delimiter)", "--delimiter)"}};
    char message[1024];
    const sw_status status = sw_error_status();
    for (size_t i = 0; i < sizeof advice / sizeof *advice; i++) {
        const char *text = sw_error(), *at = strstr(text, advice[i][0]);
        if (!at)
            continue;
        snprintf(message, sizeof message, "%.*s%s%s", (int)(at - text), text, advice[i][1], at + strlen(advice[i][0]));
        sw_clear_error();
        sw_fail(status, "%s", message);
    }
}

static sw_source *table_read(void) {
    const sw_csv_options columns = SW_OPTIONS(sw_csv_options, .target = SW_CSV_CLASS_IDS,
                                              .delimiter = strcmp(delimiter, "tab") == 0 ? '\t' : *delimiter);
    sw_source *all = sw_csv(csv, &columns);
    if (!all)
        table_explain_error();
    else if (all->classes < 2)
        sw_fail(SW_ERR_ARGUMENT, "%s: every row has class %s; two classes or more are needed in the last column", csv,
                all->class_names[0]);
    return all;
}

/* Splits the rows by 0.6, 0.2 and 0.2, with the classes in equal proportions. */
static bool table_split(sw_source *all, sw_source *part[3]) {
    const double fractions[] = {0.6, 0.2, 0.2};
    const sw_split_options how =
        SW_OPTIONS(sw_split_options, .fractions = fractions, .stratified = true, .seed = (uint64_t)cli.seed);
    const sw_status status = sw_split_source(all, 3, &how, part);
    if (status == SW_ERR_ARGUMENT) {
        sw_clear_error();
        sw_fail(status, "%s: %lld rows are too few: 0.6, 0.2 and 0.2 of them are for training, validation and test",
                csv, (long long)all->n);
    }
    return status == SW_OK;
}

static void table_learn(void) {
    sw_source *part[3] = {0};
    sw_source *all = table_read();
    const int64_t features = all ? all->x_shape[0] : 0;
    if (sw_error() || !table_split(all, part)) {
        sw_source_free(all);
        return;
    }
    double *mean = sw_alloc_array(features, sizeof *mean);
    double *std = sw_alloc_array(features, sizeof *std);
    sw_moments(part[0], SW_PER_FEATURE, mean, std); /* moments of the training rows only */
    const sw_normalize_options same = SW_OPTIONS(sw_normalize_options, .mean = mean, .std = std, .owns_source = true);
    for (int i = 0; i < 3; i++)
        part[i] = sw_normalize(part[i], &same);
    sw_model *model = network_new(features, all->classes);
    sw_train_result result = {0};
    sw_evaluation validation, test;
    const bool learned = network_train(model, part[0], part[1], &result);
    if (learned) {
        sw_model_evaluate(model, NULL, part[1], sw_cross_entropy, &validation);
        sw_model_evaluate(model, NULL, part[2], sw_cross_entropy, &test);
    }
    if (cli_signal)
        cli_say("interrupted%s", learned ? "; the best weights until then are kept" : "");
    if (learned && !sw_error()) {
        printf("epochs %.0f\nvalidation_loss %.4f\nvalidation_accuracy %.4f\ntest_accuracy %.4f\n", result.epochs,
               validation.loss, validation.accuracy, test.accuracy);
        cli_flush();
        file_write(model, all, features, mean, std);
        if (!sw_error())
            printf("file %s\n", cli.out);
    }
    sw_model_free(model), sw_free(mean), sw_free(std);
    for (int i = 0; i < 3; i++)
        sw_source_free(part[i]);
    sw_source_free(all);
}

#define OTHER_FILE "%s: was not written by own_data --out; --load needs such a file"

/* Loads a file with the arrays of file_write; NULL after an error. */
static sw_archive *file_load(const char *path) {
    static const char *const names[] = {"network.linear1.weight", "network.linear2.weight", "mean", "std"};
    sw_archive *a = sw_archive_load(path);
    bool complete = true;
    for (size_t i = 0; a && i < sizeof names / sizeof *names; i++)
        complete = complete && sw_archive_has(a, names[i]);
    if (complete)
        return a;
    sw_fail(SW_ERR_FORMAT, OTHER_FILE, path);
    sw_archive_free(a);
    return NULL;
}

/* ---- Prediction for a row ---- */

/* Parses exactly `count` numbers that are separated by commas. */
static bool row_read(const char *text, int64_t count, double *x) {
    for (int64_t i = 0; i < count; i++) {
        char *end;
        x[i] = sw_parse_number(text, &end);
        if (end == text || *end != (i + 1 < count ? ',' : 0) || !isfinite(x[i]))
            return sw_fail(SW_ERR_ARGUMENT, "--predict %s: %lld numbers between commas are needed", row,
                           (long long)count),
                   false;
        text = end + 1;
    }
    return true;
}

static void row_predict(const char *path) {
    sw_archive *a = file_load(path);
    const sw_array first = sw_archive_get(a, "network.linear1.weight"), mean = sw_archive_get(a, "mean"),
                   last = sw_archive_get(a, "network.linear2.weight"), std = sw_archive_get(a, "std");
    const int64_t features = sw_array_count(&mean);
    if (!sw_error() && (first.rank != 2 || last.rank != 2 || first.shape[1] != features || mean.type != SW_F64 ||
                        std.type != SW_F64 || sw_array_count(&std) != features))
        sw_fail(SW_ERR_FORMAT, OTHER_FILE, path);
    sw_model *model = sw_error() ? NULL : network_new(features, last.shape[0]);
    double *values = sw_alloc_array(features + 1, sizeof *values);
    sw_array x = sw_array_view(values, SW_F64, SW_SHAPE(1, features)), y = {0};
    const sw_normalize_options same =
        SW_OPTIONS(sw_normalize_options, .mean = mean.data, .std = std.data, .owns_source = true);
    sw_source *question = NULL;
    if (model && values && sw_params_unpack(sw_model_params(model), a, "network.") == SW_OK &&
        row_read(row, features, values) && (question = sw_normalize(sw_arrays(&x, NULL, NULL), &same)) &&
        sw_predict_source(model, question, &y) == SW_OK) {
        const float *score = y.data;
        int best = 0;
        for (int c = 1; c < last.shape[0]; c++)
            best = score[c] > score[best] ? c : best;
        const char *label = sw_archive_text(a, class_key(best));
        printf("class %s\n", label ? label : class_key(best) + strlen("class"));
    }
    sw_array_free(&y), sw_source_free(question), sw_free(values), sw_model_free(model), sw_archive_free(a);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (load && !row)
        cli_fail(2, "--load needs --predict");
    if (strlen(delimiter) != 1 && strcmp(delimiter, "tab") != 0)
        cli_fail(2, "--delimiter %s: one character, or tab, is needed", delimiter);
    if (load && cli.out != program.out)
        cli_fail(2, "--load trains nothing, and there is nothing to write to --out %s", cli.out);
    if (!load && csv == iris && access(csv, F_OK) != 0)
        cli_fail(1, "%s does not exist: run own_data in swale's source folder, or use --csv FILE", csv);
    if (load)
        csv = cli.out = NULL;
    cli_check_files();
    if (!load)
        table_learn();
    if (row && !sw_error() && !cli_signal)
        row_predict(load ? load : cli.out);
    return cli_end(cli_exit_code());
}
