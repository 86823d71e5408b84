/* Trains a multilayer perceptron on Fashion-MNIST with any estimator, rule, schedule and average. */
#include "cli.h"

#include <swale.h>
#include <sys/stat.h>

enum { MAX_LAYERS = 16 };

typedef struct settings {
    const char *data, *hidden, *estimator, *rule, *schedule, *average, *dtype, *out;
    int64_t epochs, batch, seed, threads;
    double clip, dropout;
    bool quiet, verify, list, help, version;
} settings;

static settings s = {.hidden = "100", .rule = "adam lr=1e-3", .schedule = "constant",
                     .average = "none", .dtype = "f32", .epochs = 10, .seed = 1};

static const cli_option options[] = {
    {"--data", "DIR", CLI_TEXT, &s.data, 0, 0, "folder of the four IDX files (default: searched for)"},
    {"--hidden", "N,N,...", CLI_TEXT, &s.hidden, 0, 0, "units of the hidden layers (100); 0: none"},
    {"--epochs", "N", CLI_COUNT, &s.epochs, 0, 1e6, "passes over the training set (10)"},
    {"--batch", "N", CLI_COUNT, &s.batch, 1, 60000, "samples in a step (64)"},
    {"--estimator", "SPEC", CLI_TEXT, &s.estimator, 0, 0, "where gradients come from (minibatch)"},
    {"--rule", "SPEC", CLI_TEXT, &s.rule, 0, 0, "how parameters move (adam lr=1e-3)"},
    {"--schedule", "SPEC", CLI_TEXT, &s.schedule, 0, 0, "how options change (constant)"},
    {"--average", "SPEC", CLI_TEXT, &s.average, 0, 0, "which point is evaluated (none)"},
    {"--clip", "X", CLI_REAL, &s.clip, 0, 1e30, "largest norm of the gradient (0: no limit)"},
    {"--dropout", "P", CLI_REAL, &s.dropout, 0, 0.999, "after each hidden layer (0)"},
    {"--dtype", "f32|f64", CLI_TEXT, &s.dtype, 0, 0, "type of parameters and activations (f32)"},
    {"--seed", "N", CLI_COUNT, &s.seed, 0, 9e15, "of initial values, order and dropout (1)"},
    {"--threads", "N", CLI_COUNT, &s.threads, 1, 64, "threads (all processors); same results for all"},
    {"--out", "DIR", CLI_TEXT, &s.out, 0, 0, "write metrics.csv there"},
    {"--verify", NULL, CLI_FLAG, &s.verify, 0, 0, "check the data by SHA-256 first"},
    {"--quiet", NULL, CLI_FLAG, &s.quiet, 0, 0, "results only"},
    {"--list", NULL, CLI_FLAG, &s.list, 0, 0, "every estimator, rule, schedule and average"},
    {"--help", NULL, CLI_FLAG, &s.help, 0, 0, "this text"},
    {"--version", NULL, CLI_FLAG, &s.version, 0, 0, "versions of library, compiler and BLAS"},
    {0}};

typedef struct run {
    sw_source *train, *test;
    sw_model *model;
    const sw_objective *objective;
    sw_optim *optim;
    FILE *csv;
    double *seconds; /* of each epoch, training only */
    int64_t epochs;  /* done */
    double train_loss;
    sw_evaluation result;
} run;

static void usage(void) {
    printf("example: fashion_mnist --hidden 100 --epochs 10 --rule \"adamw lr=1e-3\" "
           "--schedule \"cosine warmup=5%%\"\n\n");
    cli_print_options(options, stdout);
    printf("\nAt the end stdout holds lines \"name value\". Specs are a name and options, name=value; "
           "see --list.\n");
}

/* ---- Model ---- */

/* "100,50" to layers; a mistake exits with 2. */
static int parse_hidden(int64_t units[MAX_LAYERS]) {
    int count = 0;
    const char *at = s.hidden;
    if (strcmp(at, "0") == 0)
        return 0;
    for (;;) {
        char *end;
        long long n = strtoll(at, &end, 10);
        if (end == at || n < 1 || n > 1000000 || (*end && *end != ',') || count == MAX_LAYERS) {
            fprintf(stderr, "fashion_mnist: --hidden %s: up to %d numbers of units, 100,50 for example\n",
                    s.hidden, MAX_LAYERS);
            exit(2);
        }
        units[count++] = n;
        if (!*end)
            return count;
        at = end + 1;
    }
}

static sw_params *make_model(run *r) {
    int64_t units[MAX_LAYERS], inputs = 784;
    int layers = parse_hidden(units), count = 0;
    sw_module *module[3 * MAX_LAYERS + 1];
    if (strcmp(s.dtype, "f32") != 0 && strcmp(s.dtype, "f64") != 0) {
        fprintf(stderr, "fashion_mnist: --dtype %s: f32 or f64 is needed\n", s.dtype);
        exit(2);
    }
    r->model = sw_model_new(strcmp(s.dtype, "f64") == 0 ? SW_F64 : SW_F32, (uint64_t)s.seed);
    for (int i = 0; i < layers; i++) {
        module[count++] = sw_nn_linear(r->model, inputs, units[i]);
        module[count++] = sw_nn_relu(r->model);
        if (s.dropout > 0)
            module[count++] = sw_nn_dropout(r->model, s.dropout);
        inputs = units[i];
    }
    module[count++] = sw_nn_linear(r->model, inputs, 10);
    return sw_model_build(r->model, sw_nn_sequential_of(r->model, count, module));
}

/* --batch goes into the estimator's spec, before an inner one's. */
static void estimator_spec(char *spec, size_t size) {
    const char *estimator = s.estimator ? s.estimator : "minibatch";
    estimator += strspn(estimator, " ");
    size_t name = strcspn(estimator, " ");
    if (s.batch && strstr(estimator, "batch=")) {
        fprintf(stderr, "fashion_mnist: the batch is given by --batch and by --estimator\n");
        exit(2);
    }
    if (s.batch)
        snprintf(spec, size, "%.*s batch=%lld%s", (int)name, estimator, (long long)s.batch,
                 estimator + name);
    else
        snprintf(spec, size, "%s", estimator);
}

static bool set_up(run *r) {
    char estimator[512];
    estimator_spec(estimator, sizeof estimator);
    sw_params *params = make_model(r); /* mistakes show before files are read */
    const sw_optim_options how = {.size = sizeof how, .estimator = estimator, .rule = s.rule,
                                  .schedule = s.schedule, .average = s.average, .clip = s.clip,
                                  .seed = (uint64_t)s.seed};
    r->optim = sw_optim_create(params, &how);
    if (!r->optim)
        return false;
    if (s.verify && sw_fashion_mnist_verify(s.data) != SW_OK)
        return false;
    r->train = sw_fashion_mnist(s.data, SW_TRAINING);
    r->test = sw_fashion_mnist(s.data, SW_TEST);
    if (!r->train || !r->test)
        return false;
    r->objective = sw_model_objective(r->model, r->train, sw_cross_entropy);
    return r->objective != NULL;
}

static bool open_csv(run *r) {
    char path[4096];
    if (!s.out)
        return true;
    snprintf(path, sizeof path, "%s/metrics.csv", s.out);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0; /* the folder and those it is in */
        mkdir(path, 0777);
        *slash = '/';
    }
    if (!(r->csv = fopen(path, "w"))) {
        fprintf(stderr, "fashion_mnist: %s: %s\n", path, strerror(errno));
        return false;
    }
    fprintf(r->csv, "epoch,steps,skipped,seconds,train_loss,test_loss,test_accuracy,gradient_norm\n");
    return true;
}

/* ---- Training ---- */

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int64_t count) {
    if (count == 0)
        return 0;
    qsort(values, (size_t)count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* One epoch, or what a signal leaves of it; its mean loss. */
static bool train_epoch(run *r, int64_t steps, cli_progress *progress) {
    char desc[48];
    double sum = 0, value;
    int64_t done = 0, skipped_in_a_row = 0;
    snprintf(desc, sizeof desc, "epoch %lld/%lld", (long long)r->epochs + 1, (long long)s.epochs);
    for (int64_t i = 0; i < steps && !cli_signal; i++) {
        sw_status status = sw_optim_minimize(r->optim, r->objective, &value);
        if (status == SW_SKIPPED) {
            if (++skipped_in_a_row < 100)
                continue;
            fprintf(stderr, "fashion_mnist: 100 steps in a row had Inf or NaN in the gradient; a "
                            "smaller lr, or --clip, may help\n");
            return false;
        }
        if (status != SW_OK)
            return false;
        skipped_in_a_row = 0;
        sum += value;
        done++;
        if ((i & 15) == 15 || i + 1 == steps)
            cli_progress_draw(progress, desc, i + 1, steps, r->epochs * steps + i + 1,
                              s.epochs * steps, sum / (double)done);
    }
    r->train_loss = done ? sum / (double)done : (double)NAN;
    return true;
}

static bool evaluate(run *r, double seconds, cli_progress *progress) {
    const void *point = sw_optim_point(r->optim);
    if (!point || sw_model_evaluate(r->model, point, r->test, sw_cross_entropy, &r->result) != SW_OK)
        return false;
    char line[256];
    snprintf(line, sizeof line, "epoch %lld/%lld: %.3f s, train loss %.4f, test loss %.4f, test "
                                "accuracy %.4f", (long long)r->epochs, (long long)s.epochs, seconds,
             r->train_loss, r->result.loss, r->result.accuracy);
    cli_progress_line(progress, line);
    if (r->csv) {
        fprintf(r->csv, "%lld,%lld,%lld,%.6f,%.9g,%.9g,%.6f,%.9g\n", (long long)r->epochs,
                (long long)sw_optim_steps(r->optim), (long long)sw_optim_skipped(r->optim), seconds,
                r->train_loss, r->result.loss, r->result.accuracy, sw_optim_gradient_norm(r->optim));
        if (fflush(r->csv) != 0)
            return sw_fail(SW_ERR_IO, "metrics.csv could not be written"), false;
    }
    return true;
}

static bool train(run *r) {
    int64_t steps = sw_optim_steps_per_epoch(r->optim, r->objective);
    if (steps == 0)
        steps = 1; /* an estimator without batches: one step sees all */
    if (sw_error() || sw_optim_set_steps(r->optim, s.epochs * steps) != SW_OK)
        return false;
    r->seconds = calloc((size_t)s.epochs + 1, sizeof *r->seconds);
    if (!r->seconds)
        return sw_fail(SW_ERR_MEMORY, "out of memory"), false;
    cli_progress progress = cli_progress_start(s.quiet);
    while (r->epochs < s.epochs && !cli_signal) {
        double start = cli_now();
        if (!train_epoch(r, steps, &progress))
            return false;
        if (cli_signal)
            break; /* what is cut short is no epoch: neither counted nor timed */
        r->seconds[r->epochs] = cli_now() - start;
        r->epochs++;
        if (!evaluate(r, r->seconds[r->epochs - 1], &progress))
            return false;
    }
    return true;
}

static bool print_results(run *r) {
    sw_evaluation on_train;
    const void *point = sw_optim_point(r->optim);
    if (sw_model_evaluate(r->model, point, r->train, sw_cross_entropy, &on_train) != SW_OK ||
        sw_model_evaluate(r->model, point, r->test, sw_cross_entropy, &r->result) != SW_OK)
        return false;
    if (sw_optim_skipped(r->optim) && !s.quiet)
        fprintf(stderr, "%lld steps were skipped: Inf or NaN in the gradient\n",
                (long long)sw_optim_skipped(r->optim));
    printf("parameters %lld\n", (long long)sw_params_dim(sw_model_params(r->model)));
    printf("epochs %lld\n", (long long)r->epochs);
    printf("epoch_seconds %.4f\n", median(r->seconds, r->epochs));
    printf("train_loss %.6f\n", on_train.loss);
    printf("test_loss %.6f\n", r->result.loss);
    printf("test_accuracy %.4f\n", r->result.accuracy);
    return fflush(stdout) == 0;
}

int main(int argc, char **argv) {
    cli_parse(argc, argv, "fashion_mnist", options);
    if (s.help || s.list || s.version) {
        if (s.help)
            usage();
        else if (s.list)
            sw_optim_list(stdout);
        else
            printf("%s\n", sw_build_info());
        return 0;
    }
    run r = {0};
    if (s.threads)
        sw_set_threads((int)s.threads);
    bool good = set_up(&r) && open_csv(&r);
    if (good && !s.quiet) {
        fprintf(stderr, "seed %lld, %d threads, %s kernels, BLAS %s, data %s\n", (long long)s.seed,
                sw_threads(), sw_cpu_name(), sw_blas_core(), sw_fashion_mnist_directory(s.data));
        sw_model_print(r.model, stderr);
    }
    cli_catch_signals();
    good = good && train(&r) && print_results(&r);
    if (sw_error())
        fprintf(stderr, "fashion_mnist: %s\n", sw_error());
    if (r.csv)
        fclose(r.csv);
    free(r.seconds);
    sw_optim_free(r.optim);
    sw_model_free(r.model);
    sw_source_free(r.train);
    sw_source_free(r.test);
    return good ? cli_exit_code() : 1;
}
