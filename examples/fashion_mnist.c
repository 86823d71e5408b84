/* Trains a multilayer perceptron, LeNet or a residual network on Fashion-MNIST with any estimator, rule, schedule and
 * average; saves it, resumes from a checkpoint, and classifies a picture. */
#include "training.h"

typedef struct settings {
    const char *data, *model, *hidden, *save, *save_dtype, *load, *predict;
    int64_t depth, width, epochs, shift, cutout;
    double dropout, rotate, mixup;
    bool verify, norms, flip;
} settings;

static settings asked = {.epochs = -1};

static const cli_option options[] = {
    {"--data", "DIR", CLI_DATA, &asked.data, 0, 0, "folder of the four IDX files (default: searched for)"},
    {"--model", "mlp|lenet|resnet", CLI_TEXT, &asked.model, 0, 0,
     "a multilayer perceptron, LeNet, or a residual network (mlp; with --load that of the file)"},
    {"--hidden", "N,N,...", CLI_TEXT, &asked.hidden, 0, 0, "mlp: units of the hidden layers (100); 0: none"},
    {"--depth", "N", CLI_COUNT, &asked.depth, 8, 1202, "resnet: layers, 6n + 2 (8)"},
    {"--width", "N", CLI_COUNT, &asked.width, 1, 4096, "resnet: channels of the first layers (16)"},
    {"--epochs", "N", CLI_COUNT, &asked.epochs, 0, 1e6, "passes over the training set (10; with --load 0)"},
    TRAINING_METHODS("64", 60000, "adam lr=1e-3", "constant", "0: no limit"),
    {"--dropout", "P", CLI_REAL, &asked.dropout, 0, 0.999, "mlp: probability of dropout after each hidden layer (0)"},
    {"--flip", NULL, CLI_FLAG, &asked.flip, 0, 0, "exchange left and right in half of the training pictures"},
    {"--shift", "N", CLI_COUNT, &asked.shift, 0, 28, "move each training picture by up to N pixels each way (0)"},
    {"--rotate", "DEGREES", CLI_REAL, &asked.rotate, 0, 180, "rotate each by up to this angle (0)"},
    {"--cutout", "N", CLI_COUNT, &asked.cutout, 0, 28, "replace a random square of N by N pixels by zeros (0: none)"},
    {"--mixup", "A", CLI_REAL, &asked.mixup, 0, 1e6, "mix each with another one, by a fraction from Beta(A, A) (0)"},
    TRAINING_TYPES,
    {"--save", "FILE", CLI_OUTPUT, &asked.save, 0, 0, "write the weights to this file at the end (safetensors)"},
    {"--save-dtype", "f16|bf16", CLI_TEXT, &asked.save_dtype, 0, 0,
     "with --save: round the weights to this type (default: f32, the masters, or f64)"},
    {"--load", "FILE", CLI_INPUT, &asked.load, 0, 0,
     "start from these weights; the file gives the model and its sizes"},
    TRAINING_CHECKPOINT,
    {"--predict", "PICTURE", CLI_INPUT, &asked.predict, 0, 0, "classify a PNG or JPEG of any size"},
    {"--norms", NULL, CLI_FLAG, &asked.norms, 0, 0,
     "with --out: write norms of weights, gradients and updates by layer"},
    TRAINING_CHECKS,
    {"--verify", NULL, CLI_FLAG, &asked.verify, 0, 0, "check the data by SHA-256 first"},
    TRAINING_LIST,
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
    sw_source *changed; /* `train` with the random changes of --flip to --mixup, or NULL without them */
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
    return asked.save_dtype ? training_type("--save-dtype", asked.save_dtype, 2, "f16 or bf16") : 0;
}

static bool make_model(run *r) {
    r->model = model_make();
    return r->model != NULL;
}

/* Makes the source of randomly changed pictures, which the gradients are computed from. */
static bool change_pictures(run *r) {
    if (!asked.flip && asked.shift == 0 && asked.rotate == 0 && asked.cutout == 0 && asked.mixup == 0)
        return true;
    sw_augment_options how =
        SW_OPTIONS(sw_augment_options, .padding = asked.shift, .height = 28, .width = 28, .flip = asked.flip,
                   .rotation = asked.rotate, .cutout = asked.cutout, .mixup = asked.mixup, .seed = (uint64_t)cli.seed);
    if (!model_takes_pictures(r->model))
        how.from_channels = 1, how.from_height = how.from_width = 28;
    r->changed = sw_augment(r->train, &how);
    return r->changed != NULL;
}

static bool read_data(run *r) {
    if (asked.verify && sw_fashion_mnist_verify(asked.data) != SW_OK)
        return false;
    sw_source *(*const read)(const char *, sw_data_split) =
        model_takes_pictures(r->model) ? sw_fashion_mnist_pictures : sw_fashion_mnist;
    r->train = read(asked.data, SW_TRAINING);
    r->test = read(asked.data, SW_TEST);
    if (!r->train || !r->test || !change_pictures(r))
        return false;
    r->objective = sw_model_objective(r->model, r->changed ? r->changed : r->train, sw_cross_entropy);
    return r->objective != NULL;
}

static bool make_optimizer(run *r) {
    r->optim = training_optimizer(sw_model_params(r->model), 64, &r->usage);
    return r->optim && (!asked.norms || sw_optim_record_norms(r->optim, true) == SW_OK);
}

/* ---- Training ---- */

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
    return cli_tolerate(history_save(&r->history, r->optim, training.checkpoint), &r->lost.checkpoint);
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
    if (training.checkpoint)
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

/* The number of steps per epoch; 1 for an estimator without batches. */
static int64_t steps_of_epoch(const run *r) {
    const int64_t each = sw_optim_steps_per_epoch(r->optim, r->objective);
    return each > 0 ? each : 1;
}

/* A run whose checkpoint exists resumes from it. */
static bool resume(run *r) {
    history_start(&r->history, r->model);
    const double changes[HISTORY_CHANGES] = {asked.flip, (double)asked.shift, asked.rotate, (double)asked.cutout,
                                             asked.mixup};
    memcpy(r->history.changes, changes, sizeof changes);
    if (!training.checkpoint || access(training.checkpoint, F_OK) != 0)
        return true;
    const int64_t each = steps_of_epoch(r);
    /* The length of the run is that of the command line, not that of the file, with which a schedule would end too
     * early. */
    if (sw_error() || (asked.epochs > 0 && sw_optim_set_total_steps(r->optim, asked.epochs * each) != SW_OK) ||
        history_load(&r->history, r->optim, training.checkpoint) != SW_OK)
        return false;
    r->epochs = training_steps(r->optim) / each;
    cli_note("resuming from %s after %lld epochs and %lld steps\n", training.checkpoint, (long long)r->epochs,
             (long long)(training_steps(r->optim) % each));
    return true;
}

static void say_how_to_resume(const run *r) {
    char progress[96];
    snprintf(progress, sizeof progress, "%lld of %lld epochs and %lld steps", (long long)r->epochs,
             (long long)asked.epochs, (long long)(training_steps(r->optim) % steps_of_epoch(r)));
    training_say_how_to_resume(&r->progress, progress);
}

static bool train(run *r) {
    r->progress = cli_progress_start();
    const sw_train_options how = SW_OPTIONS(sw_train_options, .epochs = asked.epochs, .user = r, .evaluate = evaluate,
                                            .log = note_seconds, .progress = show, .stop = &cli_signal);
    if (!training_run(r->objective, r->optim, &how, asked.epochs, r->epochs, "--epochs", NULL))
        return false;
    if (training.checkpoint && (cli_signal || r->lost.checkpoint) && save_checkpoint(r) != SW_OK)
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
    const double middle = seconds ? training_median(seconds, h->epochs) : 0;
    free(seconds);
    return middle;
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
    const result results[] = {{"parameters", (double)sw_params_dim(sw_model_params(r->model)), 0},
                              {"epochs", (double)r->epochs, 0},
                              {"epoch_seconds", epoch_seconds(&r->history), 4},
                              {"train_loss", on_train.loss, 6},
                              {"test_loss", r->result.loss, 6},
                              {"test_accuracy", r->result.accuracy, 4},
                              {0}};
    training_print_results(results, sw_model_params(r->model), r->optim);
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
    if (asked.mixup > 0 && asked.mixup < 0.001)
        cli_fail(2, "--mixup %g: 0, or a number from 0.001 to 1e6 is needed", asked.mixup);
    if (asked.norms && !cli.out)
        cli_fail(2, "--norms needs --out DIR: the norms are written there");
    if (asked.load && training.checkpoint && access(training.checkpoint, F_OK) == 0)
        cli_fail(2, "--checkpoint %s exists, so the run resumes from it; remove --load", training.checkpoint);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (training.list) {
        sw_optim_list(stdout);
        return cli_end(0);
    }
    run r = {0};
    check_options();
    cli_check_files();
    report_check_names();
    cli.threads = sw_threads();
    const bool reports = asked.save || training.checkpoint || training.memory || cli.out;
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
    sw_source_free(r.changed);
    sw_source_free(r.train);
    sw_source_free(r.test);
    return cli_end(!good ? r.usage ? 2 : 1 : cli_exit_code());
}
