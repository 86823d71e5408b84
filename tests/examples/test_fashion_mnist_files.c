/* The files that fashion_mnist writes and reads: weights, checkpoints, pictures, reports. */
#include "fashion_data.h"

#include <jansson.h>

#include <swale/datasets.h>

static bool is_file(const char *path) {
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0;
}

static char *contents(const char *path) {
    static char text[4][1 << 16];
    static int turn;
    char *to = text[turn++ % 4];
    read_all(path, to, sizeof text[0]);
    return to;
}

/* ---- Weights ---- */

static void test_saved_weights_are_loaded(void **state) {
    (void)state;
    const char *one = lasting_path("one.safetensors"), *two = lasting_path("two.safetensors");
    output trained = TRAIN("--quiet", "--hidden", "30,20", "--save", one, "--average", "ema decay=0.9");
    succeeds(&trained);
    char loss[64];
    snprintf(loss, sizeof loss, "\ntest_loss %.6f\n", result(&trained, "test_loss"));
    /* The layers are those of the file; nothing is trained; and what was evaluated was saved. */
    output loaded = FASHION("--data", data, "--quiet", "--load", one, "--save", two);
    says(&loaded, 0, loss, NULL);
    assert_true(result(&loaded, "epochs") == 0);
    assert_true(result(&loaded, "parameters") == result(&trained, "parameters"));
    expect_equal_files(one, two);
    /* Training goes on from them: better than from the start. */
    loaded = TRAIN("--quiet", "--load", one);
    succeeds(&loaded);
    assert_true(result(&loaded, "epochs") == 1);
    assert_true(result(&loaded, "train_loss") < result(&trained, "train_loss"));
    loaded = FASHION("--data", data, "--quiet", "--load", one, "--dtype", "f64");
    succeeds(&loaded);
    assert_true(fabs(result(&loaded, "test_loss") - result(&trained, "test_loss")) < 2e-6);
    loaded = FASHION("--data", data, "--quiet", "--load", one, "--hidden", "30");
    fails(&loaded, 1, "linear3.weight");
    assert_non_null(strstr(loaded.err, one));
    assert_non_null(strstr(loaded.err, "linear2.weight"));
    loaded = FASHION("--data", data, "--quiet", "--load", in_folder("nothing"));
    fails(&loaded, 1, "nothing: ");
    loaded = TRAIN("--quiet", "--save", "/dev/null/no");
    fails(&loaded, 1, "--save /dev/null/no: cannot be written: Not a directory\n");
    unlink(one);
    unlink(two);
}

/* The file of a convolutional network says which one it is, and has its sizes. */
static void test_saved_convolutional_networks_are_loaded(void **state) {
    (void)state;
    const char *one = lasting_path("one.safetensors"), *two = lasting_path("two.safetensors");
    output trained = TRAIN("--quiet", "--model", "lenet", "--save", one);
    succeeds(&trained);
    assert_true(result(&trained, "parameters") == 16 * 26 + 32 * 401 + 128 * 513 + 10 * 129);
    assert_true(result(&trained, "test_accuracy") > 0.9);
    output loaded = FASHION("--data", data, "--quiet", "--load", one, "--save", two);
    succeeds(&loaded);
    assert_true(result(&loaded, "test_loss") == result(&trained, "test_loss"));
    expect_equal_files(one, two);
    loaded = FASHION("--data", data, "--quiet", "--load", one, "--model", "mlp");
    fails(&loaded, 1, "linear1.weight is missing");
    output begun = FASHION("--data", data, "--quiet", "--model", "resnet", "--depth", "14", "--width", "1", "--epochs",
                           "0", "--save", one);
    succeeds(&begun);
    loaded = FASHION("--data", data, "--quiet", "--load", one, "--save", two);
    succeeds(&loaded);
    assert_true(result(&loaded, "parameters") == result(&begun, "parameters"));
    assert_true(result(&loaded, "test_loss") == result(&begun, "test_loss"));
    expect_equal_files(one, two);
    loaded = FASHION("--data", data, "--quiet", "--load", one, "--width", "2");
    fails(&loaded, 1, "conv1.weight is [2,3,3,1] here and [1,3,3,1] in the file");
    unlink(one);
    unlink(two);
}

/* Options of other networks end the program before anything is read. */
static void test_options_belong_to_a_network(void **state) {
    (void)state;
    output o = TRAIN("--model", "lenet", "--hidden", "10");
    fails(&o, 2, "--hidden is for --model mlp, not for lenet\n");
    o = TRAIN("--model", "resnet", "--dropout", "0.1");
    fails(&o, 2, "--dropout is for --model mlp, not for resnet\n");
    o = TRAIN("--model", "lenet", "--width", "4");
    fails(&o, 2, "--width needs --model resnet\n");
    o = TRAIN("--model", "resnet", "--depth", "9");
    fails(&o, 2, "--depth 9: 6n + 2 is needed: 8, 14, 20, and so on\n");
}

/* ---- Pictures ---- */

/* A row of bright pixels like that of class k of the made-up data, `zoom` times as large, dark on light or
 * light on dark. Its corners are marked, so that it is not moved. */
static void write_picture(const char *path, int k, int zoom, bool dark_on_light) {
    static unsigned char pixels[28 * 28 * 64];
    const int side = 28 * zoom;
    for (int i = 0; i < side * side; i++) {
        int y = i / side / zoom, x = i % side / zoom, value = 0;
        if (y == 2 * k + 3 && x % 4 == 0)
            value = 220;
        if ((y == 0 || y == 27) && x == 14)
            value = 60;
        if ((x == 0 || x == 27) && y == 14)
            value = 60;
        pixels[i] = (unsigned char)(dark_on_light ? 255 - value : value);
    }
    const sw_array picture = sw_array_view(pixels, SW_U8, SW_SHAPE(side, side));
    assert_int_equal(sw_picture_save(path, &picture), SW_OK);
}

static void test_predict_classifies_a_picture(void **state) {
    (void)state;
    const char *weights = lasting_path("weights.safetensors"), *picture = lasting_path("picture.png");
    const char *const *names = sw_fashion_mnist_classes();
    output o = TRAIN("--quiet", "--epochs", "3", "--save", weights);
    succeeds(&o);
    int right = 0;
    for (int k = 0; k < 10; k++)
        for (int how = 0; how < 2; how++) {
            write_picture(picture, k, how ? 8 : 1, how);
            char begins[700];
            snprintf(begins, sizeof begins, "%s: %s\n", picture, names[k]);
            o = FASHION("--load", weights, "--predict", picture); /* without any data set */
            says(&o, 0, "%", NULL);
            assert_string_equal(o.err, "");
            right += strncmp(o.out, begins, strlen(begins)) == 0;
            int lines = 0;
            double before = 100;
            for (char *at = strchr(o.out, '\n') + 1; *at; at = strchr(at, '\n') + 1, lines++) {
                double percent = strtod(at + 14, NULL);
                assert_true(percent <= before && percent >= 0);
                before = percent;
            }
            assert_int_equal(lines, 5);
        }
    assert_true(right >= 16); /* of 20: the network is no perfect one */
    o = FASHION("--load", weights, "--predict", in_folder("no.png"));
    fails(&o, 1, "no.png: ");
    FILE *f = fopen(picture, "wb");
    fputs("no picture", f);
    fclose(f);
    o = FASHION("--load", weights, "--predict", picture);
    fails(&o, 1, "picture.png: ");
    unlink(weights);
    unlink(picture);
}

/* ---- Checkpoints ---- */

static void test_resumed_run_equals_the_uninterrupted_one(void **state) {
    (void)state;
    const char *state_file = lasting_path("run.safetensors"), *whole = lasting_path("whole.safetensors"),
               *parts = lasting_path("parts.safetensors");
    output o = TRAIN("--quiet", "--epochs", "4", "--dropout", "0.2", "--shift", "2", "--mixup", "0.2", "--save", whole);
    succeeds(&o);
    /* Interrupted, and gone on with: the same weights. */
    const char *const word[] = {PROGRAM, "--data",       data,       "--epochs", "4",   "--batch",
                                "500",   "--dropout",    "0.2",      "--shift",  "2",   "--mixup",
                                "0.2",   "--checkpoint", state_file, "--save",   parts, NULL};
    o = run_with(SIGINT, "epoch 1/4: ", word);
    if (o.code == 130)
        assert_true(result(&o, "epochs") >= 1);
    assert_true(is_file(state_file));
    o = run_with(0, NULL, word);
    succeeds(&o);
    assert_true(result(&o, "epochs") == 4);
    expect_equal_files(whole, parts);
    o = TRAIN("--quiet", "--epochs", "4", "--dropout", "0.2", "--shift", "3", "--mixup", "0.2", "--checkpoint",
              state_file);
    fails(&o, 1, "run.safetensors: its run has --shift 2, not 3; give the same, or another file\n");
    /* Asked for more epochs, the run goes on under its schedule, which does not end where the first one did. */
    unlink(state_file);
    o = TRAIN("--quiet", "--epochs", "2", "--schedule", "cosine", "--checkpoint", state_file);
    succeeds(&o);
    const double before = result(&o, "train_loss");
    o = TRAIN("--quiet", "--epochs", "4", "--schedule", "cosine", "--checkpoint", state_file);
    succeeds(&o);
    assert_true(result(&o, "epochs") == 4 && result(&o, "train_loss") < before);
    /* Of a complete run nothing is left to train: the same command gives the same results. */
    const double after = result(&o, "train_loss");
    o = TRAIN("--quiet", "--epochs", "4", "--schedule", "cosine", "--checkpoint", state_file);
    succeeds(&o);
    assert_true(result(&o, "epochs") == 4 && result(&o, "train_loss") == after);
    o = TRAIN("--quiet", "--load", state_file, "--hidden", "100");
    fails(&o, 1, "is a checkpoint: resume from it by --checkpoint; --save then writes its weights\n");
    o = TRAIN("--quiet", "--load", whole, "--checkpoint", state_file);
    fails(&o, 2, "run.safetensors exists, so the run resumes from it; remove --load\n");
    unlink(state_file);
    o = TRAIN("--quiet", "--epochs", "4", "--dropout", "0.2", "--checkpoint", state_file);
    o = TRAIN("--quiet", "--epochs", "4", "--batch", "100", "--checkpoint", state_file);
    assert_int_equal(o.code, 1);
    unlink(state_file);
    unlink(whole);
    unlink(parts);
}

/* ---- Reports ---- */

static void expect_size(const char *path, int64_t height, int64_t width) {
    sw_array picture;
    assert_int_equal(sw_picture_load(path, 3, &picture), SW_OK);
    assert_int_equal(picture.shape[0], height);
    assert_int_equal(picture.shape[1], width);
    sw_array_free(&picture);
}

static void expect_run_json(const char *path, const output *o) {
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    const json_t *results = json_object_get(root, "results"), *given = json_object_get(root, "options");
    assert_true(json_number_value(json_object_get(results, "test_accuracy")) == result(o, "test_accuracy"));
    assert_true(json_integer_value(json_object_get(results, "epochs")) == 2);
    assert_string_equal(json_string_value(json_object_get(given, "hidden")), "12");
    assert_true(json_is_true(json_object_get(given, "norms")));
    /* What was not said: the values that were taken. */
    assert_int_equal(json_integer_value(json_object_get(given, "batch")), 500);
    assert_string_equal(json_string_value(json_object_get(given, "estimator")), "minibatch");
    assert_true(json_integer_value(json_object_get(given, "threads")) >= 1);
    assert_int_equal(strlen(json_string_value(json_object_get(json_object_get(root, "data_sha256"), "test_labels"))),
                     64);
    assert_non_null(json_string_value(json_object_get(root, "blas_core")));
    assert_true(json_is_false(json_object_get(root, "interrupted")));
    json_decref(root);
}

static void expect_json_lines(const char *text, int lines) {
    for (int i = 1; i <= lines; i++) {
        char line[4096];
        assert_int_equal(sscanf(text, "%4095[^\n]", line), 1);
        json_t *epoch = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(epoch);
        assert_true(json_integer_value(json_object_get(epoch, "epoch")) == i);
        const json_t *norms = json_object_get(json_object_get(epoch, "norms"), "linear2");
        assert_true(json_number_value(json_object_get(norms, "gradient")) > 0);
        assert_true(json_number_value(json_object_get(norms, "update")) > 0);
        json_decref(epoch);
        text = strchr(text, '\n') + 1;
    }
    assert_true(*text == 0);
}

static void test_report_is_written(void **state) {
    (void)state;
    char folder[600];
    snprintf(folder, sizeof folder, "%s", in_folder("report"));
    output o = TRAIN("--quiet", "--epochs", "2", "--hidden", "12", "--norms", "--out", folder);
    succeeds(&o);
    expect_run_json(in_report(folder, "run.json"), &o);
    expect_json_lines(contents(in_report(folder, "metrics.jsonl")), 2);
    const char *norms = contents(in_report(folder, "norms.csv"));
    assert_true(strncmp(norms, "epoch,layer,parameter,gradient,update\n1,linear1,", 48) == 0);
    assert_non_null(strstr(norms, "\n2,linear2,"));
    /* The confusion matrix adds up, and its diagonal is the accuracy. */
    const char *at = contents(in_report(folder, "confusion.csv"));
    long sum = 0, diagonal = 0;
    for (int truth = 0; truth < 10; truth++) {
        at = strchr(at, '\n') + 1;
        const char *cell = at;
        for (int given = 0; given < 10; given++) {
            cell = strchr(cell, ',') + 1;
            sum += strtol(cell, NULL, 10);
            diagonal += given == truth ? strtol(cell, NULL, 10) : 0;
        }
    }
    assert_int_equal(sum, 10000);
    assert_true(fabs((double)diagonal / 1e4 - result(&o, "test_accuracy")) < 1e-9);
    expect_size(in_report(folder, "misread.png"), 2 * (4 * 134 + 30), 2 * (8 * 100 + 8));
    expect_size(in_report(folder, "weights.png"), 2 * (2 * 62 + 6), 2 * (10 * 62 + 6));
    if (system("command -v gnuplot >/dev/null 2>&1") == 0) {
        expect_size(in_report(folder, "curves.png"), 800, 2000);
        expect_size(in_report(folder, "confusion.png"), 1440, 1600);
    }
    remove_report(folder);
}

/* Removes what follows `name` up to the next comma or line's end, wherever it is: times. */
static void mask(char *text, const char *name) {
    for (char *at = text; (at = strstr(at, name));) {
        at += strlen(name);
        memmove(at, at + strcspn(at, ",\n"), strlen(at + strcspn(at, ",\n")) + 1);
    }
}

/* The fourth column of a table. */
static void mask_seconds(char *table) {
    for (char *line = strchr(table, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
        char *at = line;
        for (int column = 0; column < 3; column++)
            at = strchr(at + 1, ',');
        memmove(at + 1, strchr(at + 1, ','), strlen(strchr(at + 1, ',')) + 1);
    }
}

enum { REPORTS = 4 };
/* What a report says, but for times. */
static char (*report_of(const char *folder))[1 << 15] {
    static char text[2][REPORTS][1 << 15];
    static int turn;
    static const char *const name[REPORTS] = {"metrics.csv", "metrics.jsonl", "norms.csv", "run.json"};
    char(*to)[1 << 15] = text[turn++ % 2];
    for (int i = 0; i < REPORTS; i++)
        read_all(in_report(folder, name[i]), to[i], sizeof to[i]);
    mask_seconds(to[0]);
    mask(to[1], "\"seconds\":");
    mask(to[3], "\"epoch_seconds\": ");
    return to;
}

/* However often a run was interrupted, by a signal within an epoch or by the end of its process, and whatever became
 * of the report's files meanwhile: its report is that of a run that was not, but for times. */
static void test_report_of_a_resumed_run_is_complete(void **state) {
    (void)state;
    char folder[600];
    const char *checkpoint = lasting_path("run.safetensors"), *whole = lasting_path("whole.safetensors"),
               *parts = lasting_path("parts.safetensors");
    snprintf(folder, sizeof folder, "%s", in_folder("resumed"));
    const char *word[] = {PROGRAM,        "--data",   data,      "--epochs",  "4",   "--batch", "100",
                          "--hidden",     "12",       "--norms", "--dropout", "0.2", "--out",   folder,
                          "--checkpoint", checkpoint, "--save",  whole,       NULL};
    output o = run_with(0, NULL, word);
    succeeds(&o);
    char(*expected)[1 << 15] = report_of(folder);
    mask(expected[3], "\"save\": ");
    remove_report(folder);
    unlink(checkpoint);
    word[17] = parts;
    static const struct {
        int number;
        const char *when;
    } interruption[] = {
        {SIGINT, "epoch 1/4: "}, {SIGKILL, "epoch 2/4: "}, {SIGTERM, "total "}, {SIGKILL, "epoch 3/4: "}};
    bool within = false;
    for (int i = 0; i < 4; i++) {
        o = run_with(interruption[i].number, interruption[i].when, word);
        if (o.code == 0) /* the machine was too quick for the signal */
            break;
        const char *steps = strstr(o.err, " epochs and ");
        within = within || (steps && strtol(steps + strlen(" epochs and "), NULL, 10) > 0);
        if (i == 1) { /* half a line, and then nothing: the files are made anew */
            FILE *f = fopen(in_report(folder, "metrics.csv"), "a");
            assert_non_null(f);
            fputs("3,18", f);
            fclose(f);
            assert_int_equal(unlink(in_report(folder, "norms.csv")), 0);
        }
    }
    assert_true(within);
    for (int again = 0; again < 2; again++) { /* once more when nothing is left to do */
        o = run_with(0, NULL, word);
        succeeds(&o);
        char(*report)[1 << 15] = report_of(folder);
        mask(report[3], "\"save\": ");
        for (int i = 0; i < REPORTS; i++)
            assert_string_equal(report[i], expected[i]);
        expect_equal_files(whole, parts);
        assert_true(result(&o, "epochs") == 4 && result(&o, "epoch_seconds") > 0);
    }
    assert_non_null(strstr(o.err, "the run is complete; give a larger --epochs to continue it\n"));
    remove_report(folder);
    unlink(checkpoint);
    unlink(whole);
    unlink(parts);
}

/* Ctrl-C: the step ends, and all that there is to tell is written. */
static void test_report_of_an_interrupted_run_is_complete(void **state) {
    (void)state;
    char folder[600];
    snprintf(folder, sizeof folder, "%s", in_folder("stopped"));
    const char *const word[] = {PROGRAM, "--data",   data, "--epochs", "1000", "--batch",
                                "500",   "--hidden", "12", "--out",    folder, NULL};
    output o = run_with(SIGINT, "epoch 1/1000: ", word);
    says(&o, 130, "test_accuracy", NULL);
    assert_non_null(strstr(contents(in_report(folder, "run.json")), "\"interrupted\": true"));
    assert_true(is_file(in_report(folder, "metrics.csv")));
    assert_true(is_file(in_report(folder, "confusion.csv")));
    assert_true(is_file(in_report(folder, "weights.png")));
    remove_report(folder);
}

/* Weights and checkpoint may lie in the folder that --out creates, under other names than the report's. */
static void test_outputs_go_to_a_new_folder(void **state) {
    (void)state;
    char parent[600], folder[650], weights[700], checkpoint[700], path[700];
    snprintf(parent, sizeof parent, "%s", in_folder("new"));
    snprintf(folder, sizeof folder, "%s/run", parent);
    snprintf(weights, sizeof weights, "%s/weights.safetensors", folder);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.safetensors", folder);
    output o = TRAIN("--quiet", "--hidden", "4", "--save", weights, "--checkpoint", checkpoint, "--out", folder);
    succeeds(&o);
    assert_true(is_file(weights) && is_file(checkpoint) && is_file(in_report(folder, "run.json")));
    const char *const before = contents(in_report(folder, "run.json"));
    static const char *const option[] = {"--save", "--checkpoint"}, *const name[] = {"run.json", "./metrics.csv"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, name[i]);
        o = TRAIN("--quiet", "--hidden", "4", "--out", folder, option[i], path);
        fails(&o, 2, "is a file of the report that --out writes: another name is needed\n");
        assert_non_null(strstr(o.err, option[i]));
    }
    assert_string_equal(contents(in_report(folder, "run.json")), before);
    unlink(weights);
    unlink(checkpoint);
    remove_report(folder);
    rmdir(parent);
}

/* The tables of an earlier run are replaced once there is an epoch, and not by a run that trains none. */
static void test_tables_of_an_earlier_run_are_kept(void **state) {
    (void)state;
    char folder[600];
    const char *weights = lasting_path("weights.safetensors");
    snprintf(folder, sizeof folder, "%s", in_folder("kept"));
    output o = TRAIN("--quiet", "--epochs", "2", "--hidden", "4", "--norms", "--save", weights, "--out", folder);
    succeeds(&o);
    char *before[3], *after[3];
    for (int i = 0; i < 3; i++)
        before[i] = strdup(contents(in_report(folder, report_files[i])));
    for (int how = 0; how < 2; how++) {
        if (how == 0) {
            o = FASHION("--data", data, "--quiet", "--load", weights, "--norms", "--out", folder);
            succeeds(&o);
        } else { /* Ctrl-C in the first of 60000 steps */
            const char *const word[] = {PROGRAM, "--data",  data,    "--batch", "1", "--hidden",
                                        "4",     "--norms", "--out", folder,    NULL};
            o = run_with(SIGINT, "total ", word);
            assert_int_equal(o.code, 130);
        }
        for (int i = 0; i < 3; i++) {
            after[i] = contents(in_report(folder, report_files[i]));
            assert_true(*before[i] != 0);
            assert_string_equal(after[i], before[i]);
        }
    }
    for (int i = 0; i < 3; i++)
        free(before[i]);
    remove_report(folder);
    unlink(weights);
}

/* A table that cannot be written does not end the run: it is reported once, and the others are written. Once it can be
 * written again no epoch is missing. */
static void test_unwritable_table_is_an_error(void **state) {
    (void)state;
    char folder[600];
    snprintf(folder, sizeof folder, "%s", in_folder("protected"));
    static const char script[] = /* says(): waits until stderr, or the file $2, holds $1; for 30 s at most */
        "says() { i=0; while ! grep -q \"$1\" \"$2\" && [ $i -lt 1500 ]; do sleep 0.02; i=$((i + 1)); done; }\n"
        "\"$@\" &\n"
        "says '^epoch 1/' $err; chmod 444 $table; says 'write-protected' $err; says 'epoch 7/' $err\n"
        "chmod 644 $table; wait $!";
    char given[1300 + sizeof script];
    snprintf(given, sizeof given, "err=%s table=%s/metrics.csv\n%s", lasting_path("err"), folder, script);
    output o = RUN("/bin/sh", "-c", given, "sh", PROGRAM, "--data", data, "--epochs", "40", "--batch", "100",
                   "--hidden", "4", "--out", folder);
    says(&o, 1, "test_accuracy", "metrics.csv: cannot be written: the file there is write-protected\n");
    assert_null(strstr(strstr(o.err, "write-protected") + 1, "write-protected"));
    const char *const csv = contents(in_report(folder, "metrics.csv"));
    char line[16];
    for (int epoch = 1; epoch <= 40; epoch++) {
        snprintf(line, sizeof line, "\n%d,", epoch);
        assert_non_null(strstr(csv, line));
    }
    assert_non_null(strstr(contents(in_report(folder, "metrics.jsonl")), "{\"epoch\":40,"));
    assert_true(is_file(in_report(folder, "weights.png")));
    remove_report(folder);
}

/* A path that is not UTF-8 is in run.json, as far as JSON can hold it. */
static void test_path_that_is_not_utf8_is_written(void **state) {
    (void)state;
    char folder[600];
    /* 0xFF, an e with an acute accent, and half a character. */
    const char *weights = lasting_path("w\xFF\xC3\xA9\xC3.safetensors");
    snprintf(folder, sizeof folder, "%s", in_folder("latin"));
    output o = TRAIN("--quiet", "--hidden", "4", "--save", weights, "--out", folder);
    succeeds(&o);
    json_t *root = json_load_file(in_report(folder, "run.json"), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    const char *saved = json_string_value(json_object_get(json_object_get(root, "options"), "save"));
    assert_non_null(saved);
    assert_string_equal(strrchr(saved, '/'), "/w\uFFFD\u00E9\uFFFD.safetensors");
    json_decref(root);
    assert_int_equal(unlink(weights), 0);
    remove_report(folder);
}

/* The check mode changes no bit where all is well, and names who was first where it is not. */
static void test_check_mode_names_the_first_nonfinite_operation(void **state) {
    (void)state;
    output plain = TRAIN("--quiet"), checked;
    double loss = result(&plain, "test_loss");
    checked = TRAIN("--quiet", "--check");
    succeeds(&checked);
    assert_true(result(&checked, "test_loss") == loss);
    checked = TRAIN("--rule", "sgd lr=1e6", "--hidden", "50,50,50,50,50,50,50,50", "--check", "--quiet");
    fails(&checked, 1, "fashion_mnist: layer linear");
    assert_non_null(strstr(checked.err, "Inf at "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saved_weights_are_loaded),
        cmocka_unit_test(test_saved_convolutional_networks_are_loaded),
        cmocka_unit_test(test_options_belong_to_a_network),
        cmocka_unit_test(test_predict_classifies_a_picture),
        cmocka_unit_test(test_resumed_run_equals_the_uninterrupted_one),
        cmocka_unit_test(test_report_is_written),
        cmocka_unit_test(test_report_of_an_interrupted_run_is_complete),
        cmocka_unit_test(test_report_of_a_resumed_run_is_complete),
        cmocka_unit_test(test_outputs_go_to_a_new_folder),
        cmocka_unit_test(test_tables_of_an_earlier_run_are_kept),
        cmocka_unit_test(test_unwritable_table_is_an_error),
        cmocka_unit_test(test_path_that_is_not_utf8_is_written),
        cmocka_unit_test(test_check_mode_names_the_first_nonfinite_operation),
    };
    return cmocka_run_group_tests_name("fashion_mnist_files", tests, setup, teardown);
}
