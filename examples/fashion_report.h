/* The files that fashion_mnist --out DIR writes:
 *
 *     metrics.csv, metrics.jsonl   a line for each epoch (and norms.csv with --norms: one for each layer)
 *     run.json                     options, versions, seed, processor, checksums of the data, results
 *     curves.gp, curves.png        learning curves; the picture if gnuplot is installed
 *     confusion.csv, .gp, .png     the confusion matrix
 *     misread.png                  the misclassified test pictures with the highest probabilities
 *     weights.png                  the first layer's weights as pictures
 *
 * Included once, by fashion_mnist.c, whose settings `asked` and `options` it reads. */
#include "fashion_history.h"
#include "plot.h"

#include <jansson.h>
#include <sys/wait.h>

/* The tables with a row or rows for each epoch. */
enum { METRICS_CSV, METRICS_JSONL, NORMS_CSV, TABLES };

typedef struct report {
    output table[TABLES]; /* not open without --out; norms.csv only with --norms */
    bool lost[TABLES];    /* the last attempt to write it failed */
} report;

/* ---- Files ---- */

/* Names of the files; the first TABLES of them are the tables with a row for each epoch. */
static const char *const report_files[] = {"metrics.csv",   "metrics.jsonl", "norms.csv",     "run.json",
                                           "curves.gp",     "curves.png",    "confusion.csv", "confusion.gp",
                                           "confusion.png", "misread.png",   "weights.png"};
enum { REPORT_FILES = sizeof report_files / sizeof *report_files };

/* The path of a file of the report. Ends the program if it is too long. */
static void report_path(int i, char path[OUTPUT_PATH]) {
    if (snprintf(path, OUTPUT_PATH, "%s/%s", cli.out, report_files[i]) >= OUTPUT_PATH)
        cli_fail(1, "--out: a path of %zu bytes is too long", strlen(cli.out));
}

/* Ends the program if an option names a file of the report, because the report would replace it. Call it after
 * cli_check_files, which creates the folder. */
static void report_check_names(void) {
    char path[OUTPUT_PATH];
    for (const cli_option *o = options; cli.out && o->name; o++) {
        const bool file = (o->kind == CLI_INPUT || o->kind == CLI_OUTPUT) && cli_path_of(o);
        for (int i = 0; file && i < REPORT_FILES; i++) {
            report_path(i, path);
            if (output_same(cli_path_of(o), path))
                cli_fail(2, "%s %s is a file of the report that --out writes: another name is needed", o->name,
                         cli_path_of(o));
        }
    }
}

/* Checks that every file of the report can be written. */
static void report_check_files(void) {
    char path[OUTPUT_PATH];
    for (int i = 0; cli.out && i < REPORT_FILES; i++) {
        report_path(i, path);
        cli_try_output("--out", path);
    }
}

/* ---- run.json ---- */

/* A JSON string, null for NULL. JSON holds only UTF-8: each byte of another encoding, which a path may
 * contain, becomes U+FFFD. */
static json_t *json_text(const char *text) {
    static const char replacement[] = "\xEF\xBF\xBD";
    json_t *value = text ? json_string(text) : json_null();
    char *copy = value ? NULL : calloc(strlen(text) + 1, sizeof replacement - 1), *to = copy;
    for (const char *at = text; copy && *at;) {
        size_t length = 1; /* length of a character in bytes; json_stringn refuses invalid UTF-8 */
        json_t *one = json_stringn(at, 1);
        while (!one && length < 4 && at[length])
            one = json_stringn(at, ++length);
        memcpy(to, one ? at : replacement, one ? length : sizeof replacement - 1);
        to += one ? length : sizeof replacement - 1;
        at += one ? length : 1;
        json_decref(one);
    }
    if (copy)
        value = json_string(copy);
    free(copy);
    return value;
}

static json_t *option_value(const cli_option *o) {
    switch (o->kind) {
    case CLI_COUNT: {
        const int64_t n = *(const int64_t *)o->value;
        return (double)n < o->low ? json_null() : json_integer((json_int_t)n);
    }
    case CLI_REAL: return json_real(*(const double *)o->value);
    case CLI_FLAG: return json_boolean(*(const bool *)o->value);
    default: return json_text(*(const char *const *)o->value);
    }
}

/* The number, rounded to the digits that stdout shows. */
static json_t *rounded(double value, int digits) {
    char text[64];
    sw_format(text, sizeof text, "%.*f", digits, value);
    return isfinite(value) ? digits ? json_real(sw_parse_number(text, NULL)) : json_integer((json_int_t)value)
                           : json_null();
}

/* Writes run.json. results NULL: the run has only begun. */
static sw_status write_run_json(const result *results) {
    static const char *const name[4] = {"train_images", "train_labels", "test_images", "test_labels"};
    char sha256[4][65];
    SW_TRY(sw_fashion_mnist_checksums(asked.data, sha256));
    json_t *root = json_object(), *given = json_object(), *sums = json_object();
    for (const cli_option *o = options; o->name; o++)
        if (o->value != &cli.help && o->value != &training.list && o->value != &cli.version)
            json_object_set_new(given, o->name + 2, option_value(o));
    for (int i = 0; i < 4; i++)
        json_object_set_new(sums, name[i], json_string(sha256[i]));
    json_object_set_new(root, "program", json_string("fashion_mnist"));
    json_object_set_new(root, "version", json_string(sw_version()));
    json_object_set_new(root, "build", json_string(sw_build_info()));
    json_object_set_new(root, "kernels", json_string(sw_cpu_name()));
    json_object_set_new(root, "blas_core", json_string(sw_blas_core()));
    json_object_set_new(root, "threads", json_integer(sw_threads()));
    json_object_set_new(root, "seed", json_integer(cli.seed));
    json_object_set_new(root, "options", given);
    json_object_set_new(root, "data", json_text(sw_fashion_mnist_directory(asked.data)));
    json_object_set_new(root, "data_sha256", sums);
    json_object_set_new(root, "interrupted", json_boolean(cli_signal != 0));
    json_t *values = results ? json_object() : json_null();
    for (const result *r = results; r && r->name; r++)
        json_object_set_new(values, r->name, rounded(r->value, r->digits));
    json_object_set_new(root, "results", values);
    output o;
    bool good = root && output_open(&o, "%s/run.json", cli.out) &&
                json_dumpf(root, o.file, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0 && fputc('\n', o.file) != EOF;
    json_decref(root);
    if (!good)
        sw_fail(SW_ERR_MEMORY, "%s/run.json: out of memory", cli.out);
    return output_close(&o);
}

/* ---- An epoch ---- */

static void set_number(json_t *object, const char *name, double value) {
    json_object_set_new(object, name, isfinite(value) ? json_real(value) : json_null()); /* JSON has no NaN */
}

/* Adds a line to norms.csv, and a member to the epoch's object, for each layer. */
static void report_add_norms(report *r, const history *h, int64_t i, json_t *epoch) {
    FILE *table = r->table[NORMS_CSV].file;
    json_t *layers = json_object();
    json_object_set_new(epoch, "norms", layers);
    for (int k = 0; k < h->layers; k++) {
        const double *norm = h->norm[i * h->layers + k];
        json_t *layer = json_object();
        fprintf(table, "%.0f,%s,%.9g,%.9g,%.9g\n", h->row[i][EPOCH], h->layer[k], norm[0], norm[1], norm[2]);
        set_number(layer, "parameter", norm[0]);
        set_number(layer, "gradient", norm[1]);
        set_number(layer, "update", norm[2]);
        json_object_set_new(layers, h->layer[k], layer);
    }
}

/* Adds the lines of epoch i of the history to the tables in memory. */
static sw_status report_add(report *r, const history *h, int64_t i) {
    static const char *const name[] = {"seconds", "train_loss", "test_loss", "test_accuracy", "gradient_norm"};
    if (!r->table[METRICS_CSV].file)
        return SW_OK;
    const double *row = h->row[i];
    FILE *csv = r->table[METRICS_CSV].file, *jsonl = r->table[METRICS_JSONL].file;
    fprintf(csv, "%.0f,%.0f,%.0f,%.6f,%.9g,%.9g,%.6f,%.9g,%.9g\n", row[EPOCH], row[STEPS], row[SKIPPED], row[SECONDS],
            row[TRAIN_LOSS], row[TEST_LOSS], row[TEST_ACCURACY], row[GRADIENT_NORM], row[LOSS_SCALE]);
    json_t *line = json_object();
    json_object_set_new(line, "epoch", json_integer((json_int_t)row[EPOCH]));
    json_object_set_new(line, "steps", json_integer((json_int_t)row[STEPS]));
    json_object_set_new(line, "skipped", json_integer((json_int_t)row[SKIPPED]));
    for (int k = 0; k < 5; k++)
        set_number(line, name[k], row[SECONDS + k]);
    set_number(line, "loss_scale", row[LOSS_SCALE]);
    if (r->table[NORMS_CSV].file && row[WATCHED] == 1)
        report_add_norms(r, h, i, line);
    const bool bad = json_dumpf(line, jsonl, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0;
    json_decref(line);
    fputc('\n', jsonl);
    return bad ? sw_fail(SW_ERR_MEMORY, "%s/metrics.jsonl: out of memory", cli.out) : SW_OK;
}

/* Writes each table anew with all epochs. A file is therefore always complete, in its old or its new version, and the
 * attempt after the next epoch replaces one that failed. */
static sw_status report_save(report *r) {
    for (int i = 0; i < TABLES; i++)
        if (r->table[i].file)
            SW_TRY(cli_tolerate(output_save(&r->table[i]), &r->lost[i]));
    return SW_OK;
}

static sw_status report_epoch(report *r, const history *h, int64_t i) {
    SW_TRY(report_add(r, h, i));
    return report_save(r);
}

/* Begins the tables with the epochs of a resumed run. Until there is an epoch, the files of an earlier run stay
 * unchanged. */
static sw_status report_start(report *r, const history *h) {
    if (!cli.out)
        return SW_OK;
    for (int i = 0; i < (asked.norms ? TABLES : NORMS_CSV); i++)
        if (!output_open(&r->table[i], "%s/%s", cli.out, report_files[i]))
            return sw_error_status();
    fprintf(r->table[METRICS_CSV].file,
            "epoch,steps,skipped,seconds,train_loss,test_loss,test_accuracy,gradient_norm,loss_scale\n");
    if (asked.norms)
        fprintf(r->table[NORMS_CSV].file, "epoch,layer,parameter,gradient,update\n");
    for (int64_t i = 0; i < h->epochs; i++)
        SW_TRY(report_add(r, h, i));
    SW_TRY(write_run_json(NULL));
    return h->epochs > 0 ? report_save(r) : SW_OK;
}

/* ---- Predictions ---- */

static int largest(const double p[10]) {
    int best = 0;
    for (int k = 1; k < 10; k++)
        best = p[k] > p[best] ? k : best;
    return best;
}

/* Computes the probabilities from row i of outputs y [n, 10]. */
static void softmax(const sw_array *y, int64_t i, double p[10]) {
    double top = -INFINITY, sum = 0;
    for (int k = 0; k < 10; k++) {
        p[k] = sw_load_element(y->type, y->data, 10 * i + k);
        top = p[k] > top ? p[k] : top;
    }
    for (int k = 0; k < 10; k++)
        sum += p[k] = exp(p[k] - top);
    for (int k = 0; k < 10; k++)
        p[k] /= sum;
}

enum { ACROSS = 8, DOWN = 4, SHEET = ACROSS * DOWN };

typedef struct misreading {
    int64_t id;
    int truth, given;
    double sure;
} misreading;

typedef struct readings {
    int64_t confusion[10][10]; /* [true class][predicted class] */
    misreading worst[SHEET];   /* in descending order of the probability */
    int misread;               /* number of elements in `worst` */
} readings;

static void keep_if_sure(readings *r, const misreading *m) {
    int at = r->misread;
    if (at < SHEET)
        r->misread++;
    else if (r->worst[--at].sure >= m->sure)
        return;
    for (; at > 0 && r->worst[at - 1].sure < m->sure; at--)
        r->worst[at] = r->worst[at - 1];
    r->worst[at] = *m;
}

static sw_status read_test_set(sw_model *model, const sw_source *test, readings *r) {
    sw_array y = {0};
    int64_t *ids = calloc((size_t)test->n, sizeof *ids);
    int32_t *truth = calloc((size_t)test->n, sizeof *truth);
    for (int64_t i = 0; ids && i < test->n; i++)
        ids[i] = i;
    sw_status status = ids && truth ? sw_source_gather(test, SW_F32, 0, ids, test->n, NULL, truth)
                                    : sw_fail(SW_ERR_MEMORY, "out of memory");
    if (status == SW_OK)
        status = sw_predict_source(model, test, &y);
    for (int64_t i = 0; truth && status == SW_OK && i < test->n; i++) {
        double p[10];
        softmax(&y, i, p);
        const misreading m = {i, truth[i], largest(p), p[largest(p)]};
        r->confusion[m.truth][m.given]++;
        if (m.given != m.truth)
            keep_if_sure(r, &m);
    }
    sw_array_free(&y);
    free(ids);
    free(truth);
    return status;
}

/* ---- Plots by gnuplot ---- */

/* Runs gnuplot on a script in the folder. Returns the status of waitpid, or -1 if gnuplot could not be started. */
static int run_gnuplot(const char *script, const char *picture) {
    char set_picture[OUTPUT_PATH];
    int status = -1;
    snprintf(set_picture, sizeof set_picture, "picture='%s'", picture);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_DFL), signal(SIGPIPE, SIG_DFL);
        if (chdir(cli.out) == 0 && freopen("/dev/null", "w", stderr))
            execlp("gnuplot", "gnuplot", "-e", set_picture, script, (char *)NULL);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return child > 0 ? status : -1;
}

static bool is_whole_picture(const char *path) {
    sw_array pixels;
    const bool whole = sw_picture_load(path, 0, &pixels) == SW_OK;
    if (whole)
        sw_array_free(&pixels);
    else
        sw_clear_error(); /* the caller reports a more specific message */
    return whole;
}

/* Makes NAME.png from NAME.gp, under another name until the picture is complete. Without gnuplot, or if no value is
 * finite, only the script remains. */
static sw_status plot_script(const char *name) {
    enum { NOT_INSTALLED = 127 };
    char script[64], temporary[64], picture[OUTPUT_PATH], path[OUTPUT_PATH];
    snprintf(script, sizeof script, "%s.gp", name);
    snprintf(temporary, sizeof temporary, "%s.png.%ld.tmp", name, (long)getpid());
    snprintf(picture, sizeof picture, "%s/%s.png", cli.out, name);
    snprintf(path, sizeof path, "%s/%s", cli.out, temporary);
    const int status = run_gnuplot(script, temporary);
    const bool ended = status != -1 && WIFEXITED(status), good = ended && WEXITSTATUS(status) == 0;
    if (good && is_whole_picture(path) && rename(path, picture) == 0)
        return SW_OK;
    const bool broken = !ended || good || (access(path, F_OK) == 0 && !is_whole_picture(path));
    unlink(path);
    if (broken)
        return sw_fail(SW_ERR_IO, "%s: gnuplot could not write it; `gnuplot %s` in that folder tries again", picture,
                       script);
    if (WEXITSTATUS(status) != NOT_INSTALLED)
        cli_note("%s: gnuplot has no finite data to draw\n", picture);
    return SW_OK;
}

/* Writes NAME.gp and runs it. */
static sw_status write_script(const char *name, const char *first, const char *text) {
    output o;
    if (output_open(&o, "%s/%s.gp", cli.out, name))
        fprintf(o.file, "# gnuplot %s.gp\nif (!exists('picture')) picture = '%s.png'\n%s%s", name, name, first, text);
    SW_TRY(output_close(&o));
    return plot_script(name);
}

static sw_status plot_curves(void) {
    char tics[64]; /* about ten tics, at whole epochs */
    snprintf(tics, sizeof tics, "set xtics %lld\n", (long long)(asked.epochs + 9) / 10);
    return write_script("curves", tics,
                        "set terminal pngcairo size 2000,800 fontscale 2 linewidth 2 pointscale 2\n"
                        "set output picture\n"
                        "set datafile separator ','\n"
                        "set key autotitle columnhead\n"
                        "set grid\n"
                        "set xlabel 'epoch'\n"
                        "set multiplot layout 1,2\n"
                        "set ylabel 'loss'\n"
                        "plot 'metrics.csv' using 1:5 with linespoints lw 2 title 'training', \\\n"
                        "     '' using 1:6 with linespoints lw 2 title 'test'\n"
                        "set ylabel 'test accuracy'\n"
                        "set key off\n"
                        "plot 'metrics.csv' using 1:7 with linespoints lw 2 lc 3\n"
                        "unset multiplot\n");
}

static sw_status plot_confusion(const readings *r) {
    const char *const *names = sw_fashion_mnist_classes();
    output o;
    FILE *file = output_open(&o, "%s/confusion.csv", cli.out);
    for (int k = 0; file && k < 10; k++)
        fprintf(file, "%s%s", k ? "," : "truth,", names[k]);
    for (int truth = 0; file && truth < 10; truth++) {
        fprintf(file, "\n%s", names[truth]);
        for (int given = 0; given < 10; given++)
            fprintf(file, ",%lld", (long long)r->confusion[truth][given]);
    }
    if (file)
        fputc('\n', file);
    SW_TRY(output_close(&o));
    return write_script("confusion", "",
                        "set terminal pngcairo size 1600,1440 fontscale 2 linewidth 2\n"
                        "set output picture\n"
                        "set datafile separator ','\n"
                        "set xlabel 'taken for'\n"
                        "set ylabel 'is'\n"
                        "set xtics rotate by 45 right\n"
                        "set yrange [9.5:-0.5]\n"
                        "set xrange [-0.5:9.5]\n"
                        "set palette defined (0 'white', 1 '#0072b2')\n"
                        "set logscale cb\n"
                        "set cbrange [1:1000]\n"
                        "unset key\n"
                        "plot 'confusion.csv' matrix rowheaders columnheaders using 1:2:($3 > 0 ? $3 : 1) "
                        "with image, \\\n"
                        "     '' matrix rowheaders columnheaders using 1:2:($3 > 0 ? sprintf('%d', $3) : '') "
                        "with labels\n");
}

/* ---- Sheets of pictures ---- */

static sw_status draw_misread(const sw_source *test, const readings *r) {
    enum { CELL = 100, HIGH = 134, PICTURE = 84 };
    const char *const *names = sw_fashion_mnist_classes();
    char path[OUTPUT_PATH];
    plot p = plot_new(ACROSS * CELL + 8, DOWN * HIGH + 30);
    plot_text(&p, 10, 20, 9, PLOT_LEFT, false, PLOT_BLACK,
              "what it is, and what it was taken for: the surest mistakes");
    for (int i = 0; i < r->misread; i++) {
        const misreading *m = &r->worst[i];
        const int column = i % ACROSS, row = i / ACROSS;
        const double left = column * CELL + 8, top = row * HIGH + 32, middle = left + 46;
        float x[784];
        unsigned color[784];
        if (sw_source_gather(test, SW_F32, 0, &m->id, 1, x, NULL) != SW_OK)
            break; /* then plot_save only frees the picture */
        for (int k = 0; k < 784; k++)
            color[k] = color_mix(PLOT_WHITE, PLOT_BLACK, (double)x[k]);
        plot_panel(&p, left + 4, top, PICTURE, PICTURE, 0, 1, 0, 1);
        plot_field(&p, 28, 28, color);
        plot_text(&p, middle, top + PICTURE + 16, 8, PLOT_CENTER, false, PLOT_GREEN, names[m->truth]);
        plot_text(&p, middle, top + PICTURE + 32, 8, PLOT_CENTER, false, PLOT_RED, names[m->given]);
    }
    snprintf(path, sizeof path, "%s/misread.png", cli.out);
    plot_save(&p, path);
    return sw_error_status();
}

/* Draws the weights of each unit, or of each channel of a convolution, at most 100, blue below 0 and orange above,
 * each unit on a separate scale. */
static sw_status draw_weights(const sw_model *model) {
    enum { CELL = 62, PICTURE = 56 };
    const sw_param *weight = sw_params_at(sw_model_params(model), 0);
    const sw_array w = sw_param_value(weight);
    const int units = w.shape[0] < 100 ? (int)w.shape[0] : 100, across = units < 10 ? units : 10;
    const int side = w.rank == 4 ? (int)w.shape[1] : 28, size = side * side; /* of pictures with one channel */
    char path[OUTPUT_PATH];
    plot p = plot_new(across * CELL + 6, (units + across - 1) / across * CELL + 6);
    for (int u = 0; u < units; u++) {
        double x[784], most = 0;
        unsigned color[784];
        for (int k = 0; k < size; k++) {
            x[k] = sw_load_element(w.type, w.data, size * u + k);
            most = fabs(x[k]) > most ? fabs(x[k]) : most;
        }
        for (int k = 0; k < size; k++)
            color[k] = color_mix(PLOT_WHITE, x[k] < 0 ? PLOT_BLUE : PLOT_RED, most > 0 ? fabs(x[k]) / most : 0);
        const int column = u % across, row = u / across;
        plot_panel(&p, column * CELL + 6, row * CELL + 6, PICTURE, PICTURE, 0, 1, 0, 1);
        plot_field(&p, side, side, color);
        plot_frame(&p, PLOT_LIGHT);
    }
    snprintf(path, sizeof path, "%s/weights.png", cli.out);
    plot_save(&p, path);
    return sw_error_status();
}

/* ---- The end ---- */

static void report_free(report *r) {
    for (int i = 0; i < TABLES; i++)
        output_free(&r->table[i]);
}

static sw_status report_end(report *r, sw_model *model, const sw_source *test, const history *h,
                            const result *results) {
    readings read = {0};
    if (r->lost[METRICS_CSV] || r->lost[METRICS_JSONL] || r->lost[NORMS_CSV])
        SW_TRY(report_save(r)); /* the last attempt */
    SW_TRY(write_run_json(results));
    SW_TRY(read_test_set(model, test, &read));
    if (h->epochs > 0)
        SW_TRY(plot_curves());
    SW_TRY(plot_confusion(&read));
    SW_TRY(draw_misread(test, &read));
    return draw_weights(model);
}
