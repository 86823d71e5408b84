/* Trains a multilayer perceptron, LeNet or a residual network on Fashion-MNIST with any estimator, rule, schedule and
 * average; saves it, resumes from a checkpoint, and classifies a picture. */
#include "cli.h"

#include <swale/swale.h>

typedef struct settings {
    const char *data, *model, *hidden, *estimator, *rule, *schedule, *average, *dtype, *loss_scale, *save, *save_dtype,
        *load, *checkpoint, *predict;
    int64_t depth, width, epochs, batch;
    double clip, dropout;
    bool verify, check, norms, memory, list;
} settings;

static settings asked = {
    .rule = "adam lr=1e-3", .schedule = "constant", .average = "none", .dtype = "f32", .epochs = -1};

static const cli_option options[] = {
    {"--data", "DIR", CLI_DATA, &asked.data, 0, 0, "folder of the four IDX files (default: searched for)"},
    {"--model", "mlp|lenet|resnet", CLI_TEXT, &asked.model, 0, 0,
     "a multilayer perceptron, LeNet, or a residual network (mlp; with --load that of the file)"},
    {"--hidden", "N,N,...", CLI_TEXT, &asked.hidden, 0, 0, "mlp: units of the hidden layers (100); 0: none"},
    {"--depth", "N", CLI_COUNT, &asked.depth, 8, 1202, "resnet: layers, 6n + 2 (8)"},
    {"--width", "N", CLI_COUNT, &asked.width, 1, 4096, "resnet: channels of the first layers (16)"},
    {"--epochs", "N", CLI_COUNT, &asked.epochs, 0, 1e6, "passes over the training set (10; with --load 0)"},
    {"--batch", "N", CLI_COUNT, &asked.batch, 1, 60000, "samples in a step (64)"},
    {"--estimator", "SPEC", CLI_TEXT, &asked.estimator, 0, 0, "estimator of the gradient (minibatch)"},
    {"--rule", "SPEC", CLI_TEXT, &asked.rule, 0, 0, "rule that updates the parameters (adam lr=1e-3)"},
    {"--schedule", "SPEC", CLI_TEXT, &asked.schedule, 0, 0,
     "schedule of the learning rate or another option (constant)"},
    {"--average", "SPEC", CLI_TEXT, &asked.average, 0, 0, "average of the iterates that is evaluated (none)"},
    {"--clip", "X", CLI_REAL, &asked.clip, 0, 1e30, "largest norm of the gradient (0: no limit)"},
    {"--dropout", "P", CLI_REAL, &asked.dropout, 0, 0.999, "mlp: probability of dropout after each hidden layer (0)"},
    {"--dtype", "f32|f16|bf16|f64", CLI_TEXT, &asked.dtype, 0, 0,
     "type of weights and activations (f32); f16 and bf16 with f32 masters"},
    {"--loss-scale", "SPEC", CLI_TEXT, &asked.loss_scale, 0, 0,
     "dynamic, a power of 2, or none: the loss scale (f16: dynamic; others: none)"},
    {"--save", "FILE", CLI_OUTPUT, &asked.save, 0, 0, "write the weights to this file at the end (safetensors)"},
    {"--save-dtype", "f16|bf16", CLI_TEXT, &asked.save_dtype, 0, 0,
     "with --save: round the weights to this type (default: f32, the masters, or f64)"},
    {"--load", "FILE", CLI_INPUT, &asked.load, 0, 0,
     "start from these weights; the file gives the model and its sizes"},
    {"--checkpoint", "FILE", CLI_OUTPUT, &asked.checkpoint, 0, 0,
     "save the state of the run to this file; resume from it if it exists"},
    {"--predict", "PICTURE", CLI_INPUT, &asked.predict, 0, 0, "classify a PNG or JPEG of any size"},
    {"--norms", NULL, CLI_FLAG, &asked.norms, 0, 0,
     "with --out: write norms of weights, gradients and updates by layer"},
    {"--memory", NULL, CLI_FLAG, &asked.memory, 0, 0,
     "print the bytes of parameters, optimizer, activations by layer, data and so on"},
    {"--check", NULL, CLI_FLAG, &asked.check, 0, 0,
     "stop at the first NaN or Inf and name the operation that produced it"},
    {"--verify", NULL, CLI_FLAG, &asked.verify, 0, 0, "check the data by SHA-256 first"},
    {"--list", NULL, CLI_FLAG, &asked.list, 0, 0, "print every estimator, rule, schedule and average"},
    CLI_COMMON("of initial values, order and dropout (1)", "DIR", CLI_FOLDER,
               "write metrics, run.json, curves and pictures to this folder")};

static void print_notes(void) {
    printf("\nThe results are lines \"name value\" on stdout; --memory adds a table of bytes, now and at most. A spec "
           "is a name and options, name=value; "
           "see --list.\n");
}

static const cli_program program = {
    .name = "fashion_mnist",
    .example = "fashion_mnist --hidden 100 --epochs 10 --rule \"adamw lr=1e-3\" --schedule \"cosine warmup=5%\" "
               "--save shoes.safetensors\n         fashion_mnist --load shoes.safetensors --predict photo.jpg",
    .options = options,
    .notes = print_notes};

#include "fashion_model.h"
#include "fashion_report.h"

typedef struct run {
    sw_source *train, *test;
    sw_model *model;
    const sw_objective *objective;
    sw_optim *optim;
    report report;
    history history;
    cli_progress progress;
    int64_t epochs; /* number of complete epochs of the whole run */
    sw_evaluation result;
    sw_array subject; /* the picture of --predict, 28 by 28 */
    bool usage;       /* the command line is wrong */
    struct {
        bool checkpoint, weights, report;
    } lost; /* true: the file could not be written, and this was reported */
} run;

/* ---- Preparation ---- */

/* The type of --save-dtype; 0: the type of the masters. */
static sw_dtype save_type(void) {
    return asked.save_dtype ? parse_type("--save-dtype", asked.save_dtype, 2, "f16 or bf16") : 0;
}

static bool make_model(run *r) {
    r->model = model_make();
    return r->model != NULL;
}

/* Inserts --batch into the spec of the estimator; for a wrapper (sam), into the spec of the innermost estimator. */
static void estimator_spec(char *spec, size_t size) {
    const char *outer = asked.estimator;
    outer += strspn(outer, " ");
    if (asked.batch && strstr(outer, "batch="))
        cli_fail(2, "the batch is given by --batch and by --estimator");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(outer, " "), outer);
    const sw_estimator *method = sw_estimator_find(name);
    bool wraps = method && method->flags & SW_ESTIMATOR_WRAPPER && !strstr(outer, " of=");
    /* The longest texts that are inserted below; the first is " batch=60000". */
    if (snprintf(spec, size, "%s%s", outer, wraps && asked.batch ? " of=minibatch" : "") + 16 > (int)size)
        cli_fail(2, "--estimator: a spec of %zu bytes is too long, about %zu are possible", strlen(outer), size - 32);
    if (!asked.batch)
        return;
    char *inner = spec, rest[512];
    for (char *of = strstr(spec, " of="); of; of = strstr(of + 1, " of="))
        inner = of + 4;
    inner += strcspn(inner, " ");
    snprintf(rest, sizeof rest, "%s", inner);
    snprintf(inner, size - (size_t)(inner - spec), " batch=%lld%s", (long long)asked.batch, rest);
}

static bool read_data(run *r) {
    if (asked.verify && sw_fashion_mnist_verify(asked.data) != SW_OK)
        return false;
    sw_source *(*const read)(const char *, sw_data_split) =
        model_takes_pictures(r->model) ? sw_fashion_mnist_pictures : sw_fashion_mnist;
    r->train = read(asked.data, SW_TRAINING);
    r->test = read(asked.data, SW_TEST);
    r->objective = sw_model_objective(r->model, r->train, sw_cross_entropy);
    return r->test && r->objective;
}

static bool make_optimizer(run *r) {
    char estimator[512];
    if (!asked.estimator) {
        asked.estimator = "minibatch";
        asked.batch = asked.batch ? asked.batch : 64;
    }
    estimator_spec(estimator, sizeof estimator);
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .estimator = estimator, .rule = asked.rule,
                                            .schedule = asked.schedule, .average = asked.average, .clip = asked.clip,
                                            .seed = (uint64_t)cli.seed, .loss_scale = asked.loss_scale);
    r->optim = sw_optim_new_with_options(sw_model_params(r->model), &how);
    r->usage = !r->optim && sw_error_status() != SW_ERR_MEMORY;
    if (r->optim && asked.check)
        sw_tape_set_switch(sw_optim_tape(r->optim), SW_CHECK, true);
    if (r->optim && asked.memory)
        sw_tape_set_switch(sw_optim_tape(r->optim), SW_MEASURE, true);
    return r->optim && (!asked.norms || sw_optim_record_norms(r->optim, true) == SW_OK);
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

static sw_status show(void *user, sw_train_state *state) {
    run *r = user;
    char desc[48];
    int64_t each = state->steps_per_epoch, in_epoch = state->step % each;
    if (in_epoch == 0)
        return SW_OK; /* the line of the epoch follows and has the same information */
    snprintf(desc, sizeof desc, "epoch %lld/%lld", (long long)state->epoch + 1, (long long)asked.epochs);
    cli_progress_draw(&r->progress, desc, in_epoch, each, state->step, state->total_steps, state->mean_loss);
    return SW_OK;
}

static sw_status save_checkpoint(run *r) {
    return cli_tolerate(history_save(&r->history, r->optim, asked.checkpoint), &r->lost.checkpoint);
}

static sw_status evaluate(void *user, sw_train_state *state) {
    run *r = user;
    SW_TRY(sw_model_evaluate(r->model, state->point, r->test, sw_cross_entropy, &r->result));
    r->epochs = state->epoch;
    char line[256];
    snprintf(line, sizeof line, "epoch %lld/%lld: %.3f s, train loss %.4f, test loss %.4f, test accuracy %.4f",
             (long long)r->epochs, (long long)asked.epochs, state->period_seconds, state->mean_loss, r->result.loss,
             r->result.accuracy);
    SW_TRY(history_add(&r->history, state, &r->result, asked.norms));
    if (asked.checkpoint)
        SW_TRY(save_checkpoint(r));
    const sw_status status = report_epoch(&r->report, &r->history, r->history.epochs - 1);
    cli_progress_line(&r->progress, line); /* printed after the report and the checkpoint were written */
    return status;
}

static sw_status note_seconds(void *user, sw_train_state *state) {
    run *r = user;
    r->history.now = state->period_seconds;
    return SW_OK;
}

static int64_t steps_of(const run *r) {
    return sw_optim_steps_taken(r->optim) + sw_optim_steps_skipped(r->optim);
}

/* The number of steps per epoch; 1 for an estimator without batches. */
static int64_t steps_of_epoch(const run *r) {
    const int64_t each = sw_optim_steps_per_epoch(r->optim, r->objective);
    return each > 0 ? each : 1;
}

/* A run whose checkpoint exists resumes from it. */
static bool resume(run *r) {
    history_start(&r->history, r->model);
    if (!asked.checkpoint || access(asked.checkpoint, F_OK) != 0)
        return true;
    const int64_t each = steps_of_epoch(r);
    /* The length of the run is that of the command line, not that of the file, with which a schedule would end too
     * early. */
    if (sw_error() || (asked.epochs > 0 && sw_optim_set_total_steps(r->optim, asked.epochs * each) != SW_OK) ||
        history_load(&r->history, r->optim, asked.checkpoint) != SW_OK)
        return false;
    r->epochs = steps_of(r) / each;
    cli_note("resuming from %s after %lld epochs and %lld steps\n", asked.checkpoint, (long long)r->epochs,
             (long long)(steps_of(r) % each));
    return true;
}

static void say_how_to_resume(const run *r) {
    fprintf(stderr, "%sinterrupted after %lld of %lld epochs and %lld steps; ", r->progress.live ? "\r\033[K" : "",
            (long long)r->epochs, (long long)asked.epochs, (long long)(steps_of(r) % steps_of_epoch(r)));
    if (asked.checkpoint)
        fprintf(stderr, "run the same command again to resume from %s\n", asked.checkpoint);
    else
        fprintf(stderr, "use --checkpoint FILE to make a run resumable\n");
}

static bool train(run *r) {
    r->progress = cli_progress_start();
    const sw_train_options how = SW_OPTIONS(sw_train_options, .epochs = asked.epochs, .user = r, .evaluate = evaluate,
                                            .log = note_seconds, .progress = show, .stop = &cli_signal);
    /* A run that was complete when its checkpoint was written has no steps left. */
    const int64_t left = asked.epochs > 0 ? sw_train_remaining(r->objective, r->optim, &how) : 0;
    if (left == 0 && r->epochs > 0)
        cli_note("the run is complete; give a larger --epochs to continue it\n");
    cli_catch_signals();
    const bool good = left == 0 || (left > 0 && sw_train(r->objective, r->optim, &how, NULL) == SW_OK);
    cli_release_signals();
    if (!good)
        return false;
    if (asked.checkpoint && (cli_signal || r->lost.checkpoint) && save_checkpoint(r) != SW_OK)
        return false;
    if (cli_signal)
        say_how_to_resume(r);
    return sw_optim_adopt_point(r->optim) == SW_OK; /* from here on, the model has the parameters that were evaluated */
}

/* The median of the seconds of an epoch, over the whole run; 0 if there was none. */
static double epoch_seconds(const history *h) {
    double *seconds = calloc((size_t)h->epochs + 1, sizeof *seconds);
    for (int64_t i = 0; seconds && i < h->epochs; i++)
        seconds[i] = h->row[i][SECONDS];
    const double middle = seconds ? median(seconds, h->epochs) : 0;
    free(seconds);
    return middle;
}

/* Prints where the memory of the run is. */
static void print_memory(run *r) {
    printf("bytes_per_parameter %.2f\n", sw_memory_per_parameter(sw_params_dim(sw_model_params(r->model))));
    sw_tape_memory_print(sw_optim_tape(r->optim), stdout);
    sw_memory_print(stdout);
}

static sw_status save_weights(const run *r) {
    const sw_save_options how = SW_OPTIONS(sw_save_options, .storage = save_type());
    return sw_model_save_with_options(r->model, asked.save, &how);
}

/* Prints the results, and then writes the files of the end. */
static bool finish(run *r) {
    sw_evaluation on_train;
    if (sw_model_evaluate(r->model, NULL, r->train, sw_cross_entropy, &on_train) != SW_OK ||
        sw_model_evaluate(r->model, NULL, r->test, sw_cross_entropy, &r->result) != SW_OK)
        return false;
    const long long skipped = sw_optim_steps_skipped(r->optim);
    if (skipped)
        cli_note("%lld %s skipped: Inf or NaN in the gradient\n", skipped, skipped == 1 ? "step was" : "steps were");
    const result results[] = {{"parameters", (double)sw_params_dim(sw_model_params(r->model)), 0},
                              {"epochs", (double)r->epochs, 0},
                              {"epoch_seconds", epoch_seconds(&r->history), 4},
                              {"train_loss", on_train.loss, 6},
                              {"test_loss", r->result.loss, 6},
                              {"test_accuracy", r->result.accuracy, 4},
                              {0}};
    for (const result *each = results; each->name; each++)
        printf("%s %.*f\n", each->name, each->digits, each->value);
    if (asked.loss_scale || strcmp(asked.dtype, "f16") == 0)
        printf("skipped %lld\nloss_scale %.9g\n", (long long)sw_optim_steps_skipped(r->optim),
               sw_optim_loss_scale(r->optim));
    if (asked.memory)
        print_memory(r);
    cli_flush();
    if (asked.save && cli_tolerate(save_weights(r), &r->lost.weights) != SW_OK)
        return false;
    return !cli.out ||
           cli_tolerate(report_end(&r->report, r->model, r->test, &r->history, results), &r->lost.report) == SW_OK;
}

static bool learn(run *r) {
    if (!make_optimizer(r))
        return false;
    report_check_files();
    if (!read_data(r) || !resume(r) || report_start(&r->report, &r->history) != SW_OK)
        return false;
    if (!cli.quiet) {
        fprintf(stderr, "seed %lld, %d threads, %s kernels, BLAS %s, data %s\n", (long long)cli.seed, sw_threads(),
                sw_cpu_name(), sw_blas_core(), sw_fashion_mnist_directory(asked.data));
        sw_model_print(r->model, stderr);
    }
    return train(r) && finish(r);
}

/* ---- A picture ---- */

/* Loads the picture before the training, so that an unreadable file is reported at once. */
static bool read_picture(run *r) {
    sw_array picture;
    if (asked.predict && sw_picture_load(asked.predict, 0, &picture) == SW_OK)
        sw_picture_subject(&picture, 28, &r->subject), sw_array_free(&picture);
    return !asked.predict || r->subject.data;
}

/* Prints the five most likely classes of the picture, with bars. */
static bool predict(run *r) {
    sw_array y = {0};
    float x[784];
    for (int i = 0; i < 784; i++)
        x[i] = (float)((const unsigned char *)r->subject.data)[i] / 255;
    const sw_array picture = sw_array_view(x, SW_F32, SW_SHAPE(1, 28, 28, 1)),
                   row = sw_array_view(x, SW_F32, SW_SHAPE(1, 784));
    bool good = sw_predict(r->model, model_takes_pictures(r->model) ? &picture : &row, &y) == SW_OK;
    double p[10];
    if (good)
        softmax(&y, 0, p);
    sw_array_free(&y);
    if (good)
        printf("%s: %s\n", asked.predict, sw_fashion_mnist_classes()[largest(p)]);
    for (int i = 0; good && i < 5; i++) {
        int k = largest(p);
        printf("  %-12s %5.1f%%  ", sw_fashion_mnist_classes()[k], 100 * p[k]);
        for (int cell = 0; cell < (int)(p[k] * 40 + 0.5); cell++)
            fputs("█", stdout);
        putchar('\n');
        p[k] = -1; /* already printed */
    }
    return good;
}

/* Mistakes in combinations of options. */
static void check_options(void) {
    if (asked.save_dtype && !asked.save)
        cli_fail(2, "--save-dtype needs --save FILE: it is the type of the weights in the file");
    save_type();
    model_check_options();
    if (asked.norms && !cli.out)
        cli_fail(2, "--norms needs --out DIR: the norms are written there");
    if (asked.load && asked.checkpoint && access(asked.checkpoint, F_OK) == 0)
        cli_fail(2, "--checkpoint %s exists, so the run resumes from it; remove --load", asked.checkpoint);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (asked.list) {
        sw_optim_list(stdout);
        return cli_end(0);
    }
    run r = {0};
    check_options();
    cli_check_files();
    report_check_names();
    cli.threads = sw_threads();
    const bool reports = asked.save || asked.checkpoint || asked.memory || cli.out;
    const bool only_predict = asked.predict && asked.load && asked.epochs < 0 && !reports;
    if (asked.epochs < 0)
        asked.epochs = asked.load ? 0 : 10;
    bool good = read_picture(&r) && make_model(&r) && (only_predict || learn(&r));
    if (good && asked.predict && !cli_signal)
        good = predict(&r);
    if (sw_error() && asked.load && strstr(sw_error(), "\"optim.x.\"")) {
        cli_say("%s", sw_error());
        cli_say("%s is a checkpoint: resume from it by --checkpoint; --save then writes its weights", asked.load);
        sw_clear_error();
    }
    report_free(&r.report);
    history_free(&r.history);
    sw_array_free(&r.subject);
    sw_optim_free(r.optim);
    sw_model_free(r.model);
    sw_source_free(r.train);
    sw_source_free(r.test);
    return cli_end(!good ? r.usage ? 2 : 1 : cli_exit_code());
}
