/* fashion_mnist, hello and extend on the command line: options, messages, exit codes, results, signals. */
#include "fashion_data.h"

#include <math.h>
#include <sys/stat.h>

/* A folder like `data` but for file `other`, which is missing or written by the caller. */
static const char *folder_without(int other) {
    static char folder[600];
    snprintf(folder, sizeof folder, "%s", in_folder("damaged"));
    assert_int_equal(mkdir(folder, 0700), 0);
    for (int i = 0; i < 4; i++) {
        char from[700], to[700];
        snprintf(from, sizeof from, "%s/%s", data, file_name[i]);
        snprintf(to, sizeof to, "%s/%s", folder, file_name[i]);
        if (i != other)
            assert_int_equal(symlink(from, to), 0);
    }
    return folder;
}

/* ---- Information ---- */

static void test_help_version_and_lists_are_printed(void **state) {
    (void)state;
    output o = FASHION("--help");
    says(&o, 0, "--epochs", NULL);
    static const char *const every[] = {
        "--model",      "--depth",   "--width",  "--data",    "--hidden",  "--batch",      "--estimator",  "--rule",
        "--schedule",   "--average", "--clip",   "--dropout", "--dtype",   "--seed",       "--threads",    "--out",
        "--verify",     "--quiet",   "--list",   "--help",    "--version", "example:",     "--save",       "--load",
        "--checkpoint", "--predict", "--norms",  "--check",   "--memory",  "--save-dtype", "--loss-scale", "--flip",
        "--shift",      "--rotate",  "--cutout", "--mixup"};
    for (size_t i = 0; i < sizeof every / sizeof *every; i++)
        assert_non_null(strstr(o.out, every[i]));
    assert_string_equal(o.err, "");
    o = FASHION("--version");
    says(&o, 0, "swale 0.2.0", NULL);
    assert_string_equal(o.err, "");
    o = FASHION("--list");
    says(&o, 0, "adamw", NULL);
    assert_non_null(strstr(o.out, "minibatch"));
    assert_non_null(strstr(o.out, "cosine"));
    assert_non_null(strstr(o.out, "ema"));
    assert_string_equal(o.err, "");
}

/* ---- Mistakes ---- */

static void mistake(const char *err, const char *one, const char *two) {
    const char *const word[] = {PROGRAM, one, two, NULL};
    output o = run_with(0, NULL, word);
    fails(&o, 2, err);
}

static void test_wrong_command_lines_are_explained(void **state) {
    (void)state;
    mistake("fashion_mnist: there is no option --epoch, did you mean --epochs?\n", "--epoch", "3");
    mistake("fashion_mnist: there is no option --sede, did you mean --seed?\n", "--sede=3", NULL);
    mistake("fashion_mnist: there is no option --dropot, did you mean --dropout?\n", "--dropot", NULL);
    mistake("fashion_mnist: there is no option --learning-rate; see --help\n", "--learning-rate", "1");
    mistake("fashion_mnist: there is no option 3", "3", NULL);
    mistake("--epochs needs a value: --epochs N\n", "--epochs", NULL);
    mistake("--quiet takes no value\n", "--quiet=1", NULL);
    mistake("--epochs -1: a whole number from 0 to 1e+06 is needed\n", "--epochs", "-1");
    mistake("--epochs", "--epochs", "ten");
    mistake("--epochs", "--epochs", "1.5");
    mistake("--epochs", "--epochs", "99999999999999999999");
    mistake("--epochs", "--epochs=", NULL);
    mistake("--batch", "--batch", "0");
    mistake("--batch", "--batch", "60001");
    mistake("--threads", "--threads", "0");
    mistake("--threads", "--threads", "65");
    mistake("--seed", "--seed", "-1");
    mistake("--dropout", "--dropout", "1");
    mistake("--dropout", "--dropout", "nan");
    mistake("--shift", "--shift", "29");
    mistake("--rotate", "--rotate", "181");
    mistake("--cutout", "--cutout", "-1");
    mistake("--mixup", "--mixup", "-0.1");
    mistake("--mixup 0.0001: 0, or a number from 0.001 to 1e6 is needed\n", "--mixup", "0.0001");
    mistake("--clip", "--clip", "-0.5");
    mistake("--clip", "--clip", "inf");
    mistake("--clip", "--clip", "1x");
    mistake("--dtype f8: f32, f16, bf16 or f64 is needed\n", "--dtype", "f8");
    mistake("--model cnn: mlp, lenet or resnet is needed\n", "--model", "cnn");
    mistake("--depth needs --model resnet\n", "--depth", "8");
    mistake("--width needs --model resnet\n", "--width=4", NULL);
    mistake("--depth 7: a whole number from 8 to 1202 is needed\n", "--depth", "7");
    mistake("--save-dtype needs --save FILE: it is the type of the weights in the file\n", "--save-dtype", "f16");
    mistake("--save-dtype f32: f16 or bf16 is needed\n", "--save=weights", "--save-dtype=f32");
    mistake("--hidden", "--hidden", "");
    mistake("--hidden 64,: a list of at most 16 layer sizes is needed, for example 100,50\n", "--hidden", "64,");
    mistake("--hidden", "--hidden", "64,0");
    mistake("--hidden", "--hidden", "-5");
    mistake("--hidden", "--hidden", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"); /* 17 */
    const char *const both[] = {PROGRAM, "--batch", "3", "--estimator", "minibatch batch=4", NULL};
    output o = run_with(0, NULL, both);
    fails(&o, 2, "the batch is given by --batch and by --estimator");
    /* A spec that would have to be cut: what is behind the blanks would be lost. */
    char spec[600];
    snprintf(spec, sizeof spec, "minibatch%*s", 540, "batch=4");
    mistake("--estimator: a spec of 549 bytes is too long", "--estimator", spec);
}

/* What a long run would only find out at its end. */
static void test_outputs_are_checked_before_training(void **state) {
    (void)state;
    mistake("--save \"\": the path is empty, FILE is needed\n", "--save", "");
    mistake("--norms needs --out DIR: the norms are written there\n", "--norms", NULL);
    static const char *const place[][3] = {{"--save", "/nowhere/shoes.safetensors", "No such file or directory"},
                                           {"--save", "/", "Is a directory"},
                                           {"--save", "/dev/null", "not an ordinary file"},
                                           {"--checkpoint", "/nowhere/run", "No such file or directory"}};
    output o;
    for (int i = 0; i < 4; i++) {
        char message[256];
        snprintf(message, sizeof message, "fashion_mnist: %s %s: cannot be written: %s\n", place[i][0], place[i][1],
                 place[i][2]);
        o = TRAIN(place[i][0], place[i][1]);
        fails(&o, 1, message);
        assert_null(strstr(o.err, "seed 1")); /* what is printed when the data have been read */
    }
    o = TRAIN("--predict", "/nowhere/photo.jpg");
    fails(&o, 1, "/nowhere/photo.jpg");
    assert_null(strstr(o.err, "epoch 1/"));
}

static void test_wrong_specs_are_explained(void **state) {
    (void)state;
    output o = TRAIN("--rule", "adm");
    fails(&o, 2, "fashion_mnist: there is no rule adm, did you mean adam?\n");
    o = TRAIN("--rule", "adam lr=-1");
    fails(&o, 2, "fashion_mnist: adam: lr=-1 is outside [0, 1e+06]\n");
    o = TRAIN("--rule", "role=norm: sgd; adam");
    fails(&o, 2, "fashion_mnist: rule: role=norm: sgd has no parameters: no remaining parameter matches\n");
    o = TRAIN("--loss-scale", "dynamc");
    fails(&o, 2, "dynamc");
    o = TRAIN("--schedule", "cosin");
    fails(&o, 2, "did you mean cosine?\n");
    o = TRAIN("--average", "ema decay=2");
    fails(&o, 2, "ema: decay=2 is outside [0, 1)\n");
    o = FASHION("--data", data, "--estimator", "minibach");
    fails(&o, 2, "did you mean minibatch?\n");
}

/* ---- Data ---- */

static void test_missing_data_are_reported(void **state) {
    (void)state;
    output o = FASHION("--data", "/dev/null/folder", "--quiet");
    fails(&o, 1, "/dev/null/folder (no train-images-idx3-ubyte)");
    for (int i = 0; i < 4; i++) {
        const char *folder = folder_without(i);
        o = FASHION("--data", folder, "--quiet");
        fails(&o, 1, file_name[i]);
        remove_data(folder);
    }
}

/* One byte of each file is wrong. In the headers that shows at once; in a picture only to --verify.
 */
static void test_damaged_data_are_reported(void **state) {
    (void)state;
    const long places[] = {2, 3, 7, -1};
    for (int i = 0; i < 4; i++) {
        const char *folder = folder_without(i);
        char from[700], to[700];
        snprintf(from, sizeof from, "%s/%s", data, file_name[i]);
        snprintf(to, sizeof to, "%s/%s", folder, file_name[i]);
        size_t size = (size_t)file_size[i];
        unsigned char *bytes = malloc(size);
        assert_non_null(bytes);
        FILE *f = fopen(from, "rb");
        assert_non_null(f);
        assert_int_equal(fread(bytes, 1, size, f), size);
        fclose(f);
        for (int k = 0; k < 4; k++) {
            size_t length = places[k] < 0 ? size - 1 : size; /* the last: a byte is missing */
            if (places[k] >= 0)
                bytes[places[k]] ^= 0x55;
            f = fopen(to, "wb");
            assert_non_null(f);
            assert_int_equal(fwrite(bytes, 1, length, f), length);
            fclose(f);
            if (places[k] >= 0)
                bytes[places[k]] ^= 0x55;
            output o = FASHION("--data", folder, "--epochs", "0");
            fails(&o, 1, to);
        }
        if (i % 2) { /* a label that is none */
            bytes[1000] = 10;
            f = fopen(to, "wb");
            assert_non_null(f);
            assert_int_equal(fwrite(bytes, 1, size, f), size);
            fclose(f);
            output o = FASHION("--data", folder, "--epochs", "0");
            fails(&o, 1, to);
        }
        free(bytes);
        remove_data(folder);
    }
    output o = TRAIN("--verify"); /* these pictures are not Zalando's */
    fails(&o, 1, "SHA-256");
}

/* The real files, compressed, each with one byte flipped: gzip's CRC notices. */
static void test_damaged_archives_are_reported(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        char path[700];
        snprintf(path, sizeof path, "/usr/share/datasets/fashion-mnist/%s.gz", file_name[i]);
        FILE *f = fopen(path, "rb");
        if (!f)
            skip();
        size_t most = 1 << 25;
        unsigned char *bytes = malloc(most);
        assert_non_null(bytes);
        size_t size = fread(bytes, 1, most, f);
        assert_true(size > 1000 && size < most);
        fclose(f);
        const char *folder = folder_without(i);
        snprintf(path, sizeof path, "%s/%s.gz", folder, file_name[i]);
        for (int good = i % 2; good >= 0; good--) { /* the small ones also as they are */
            bytes[size / 2] ^= good ? 0 : 1;
            f = fopen(path, "wb");
            assert_non_null(f);
            assert_int_equal(fwrite(bytes, 1, size, f), size);
            fclose(f);
            output o = FASHION("--data", folder, "--epochs", "0", "--quiet");
            if (good)
                succeeds(&o);
            else
                fails(&o, 1, path);
        }
        free(bytes);
        unlink(path);
        remove_data(folder);
    }
}

/* ---- Results ---- */

static void test_results_are_printed(void **state) {
    (void)state;
    output o = TRAIN("--quiet");
    succeeds(&o);
    assert_string_equal(o.err, "");
    static const char *const names[] = {"parameters", "epochs",    "epoch_seconds",
                                        "train_loss", "test_loss", "test_accuracy"};
    const char *line = o.out;
    for (int i = 0; i < 6; i++) {
        size_t length = strlen(names[i]);
        assert_true(strncmp(line, names[i], length) == 0 && line[length] == ' ');
        char *end;
        double value = strtod(line + length + 1, &end);
        assert_true(*end == '\n' && isfinite(value) && value >= 0);
        line = end + 1;
    }
    assert_true(*line == 0);
    assert_true(result(&o, "parameters") == 79510);
    assert_true(result(&o, "epochs") == 1);
    assert_true(result(&o, "test_accuracy") > 0.9); /* a row of pixels that says the class is easy */
    o = TRAIN("--epochs", "0", "--quiet");
    succeeds(&o);
    assert_true(result(&o, "epochs") == 0 && result(&o, "epoch_seconds") == 0);
    assert_true(fabs(result(&o, "train_loss") - log(10)) < 1); /* about as good as guessing */
    o = TRAIN("--seed", "1");
    says(&o, 0, "test_accuracy", "epoch 1/1: ");
    assert_non_null(strstr(o.err, "linear1"));
    assert_non_null(strstr(o.err, "seed 1, "));
}

static void test_metrics_are_written(void **state) {
    (void)state;
    char folder[600], path[700];
    static char text[8192];
    snprintf(folder, sizeof folder, "%s", in_folder("metrics"));
    snprintf(path, sizeof path, "%s/metrics.csv", folder);
    for (int again = 0; again < 2; again++) { /* the folder may be there */
        output o = TRAIN("--epochs", "3", "--out", folder, "--quiet");
        succeeds(&o);
        read_all(path, text, sizeof text);
        const char *header = "epoch,steps,skipped,seconds,train_loss,test_loss,test_accuracy,"
                             "gradient_norm,loss_scale\n";
        assert_true(strncmp(text, header, strlen(header)) == 0);
        char *line = text + strlen(header);
        for (int epoch = 1; epoch <= 3; epoch++) {
            double value[9];
            for (int i = 0; i < 9; i++) {
                char *end;
                value[i] = strtod(line, &end);
                assert_true(end != line && *end == (i < 8 ? ',' : '\n'));
                line = end + 1;
            }
            assert_true(value[0] == epoch && value[1] == 120 * epoch && value[2] == 0);
            assert_true(value[3] > 0 && value[4] > 0 && value[5] > 0 && value[7] > 0 && value[8] == 1);
            if (epoch == 3) {
                assert_true(fabs(value[5] - result(&o, "test_loss")) < 1e-6);
                assert_true(fabs(value[6] - result(&o, "test_accuracy")) < 1e-4);
            }
        }
        assert_true(*line == 0);
    }
    remove_report(folder);
    output o = TRAIN("--out", "/dev/null/folder", "--quiet");
    fails(&o, 1, "--out /dev/null/folder: the folder cannot be created: Not a directory\n");
}

/* ---- Signals ---- */

static void stopped_by(int number) {
    const char *const word[] = {PROGRAM, "--data", data, "--epochs", "1000", "--batch", "100", NULL};
    output o = run_with(number, "epoch 1/1000: ", word);
    says(&o, 128 + number, "test_accuracy", NULL);
    double epochs = result(&o, "epochs");
    assert_true(epochs >= 1 && epochs < 1000);
    /* Whole epochs are counted, each of which has said its line. */
    char line[32];
    snprintf(line, sizeof line, "\nepoch %.0f/1000: ", epochs);
    assert_non_null(strstr(o.err, line));
    snprintf(line, sizeof line, "\nepoch %.0f/1000: ", epochs + 1);
    assert_null(strstr(o.err, line));
    assert_true(result(&o, "epoch_seconds") > 0);
    snprintf(line, sizeof line, "\ninterrupted after %.0f of 1000", epochs);
    assert_non_null(strstr(o.err, line));
}

static void test_signal_ends_the_run_with_results(void **state) {
    (void)state;
    stopped_by(SIGINT);
    stopped_by(SIGTERM);
    /* In the first epoch: none is done. */
    const char *const word[] = {PROGRAM, "--data", data, "--epochs", "2", "--batch", "1", NULL};
    output o = run_with(SIGINT, "total ", word);
    if (o.code == 130 && *o.out) { /* the table is written a moment before signals are caught */
        assert_true(result(&o, "epochs") == 0);
        assert_true(isfinite(result(&o, "test_accuracy")));
    }
    assert_int_equal(o.code, 130);
}

/* As under nohup, or in the background of a script. */
static void test_ignored_signals_stay_ignored(void **state) {
    (void)state;
    static const int number[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        const char *const word[] = {"/bin/sh",  "-c",       "trap '' INT TERM HUP; exec \"$0\" \"$@\"",
                                    PROGRAM,    "--data",   data,
                                    "--epochs", "3",        "--batch",
                                    "100",      "--hidden", "4",
                                    NULL};
        output o = run_with(number[i], "epoch 1/3: ", word);
        says(&o, 0, "test_accuracy", NULL);
        assert_true(result(&o, "epochs") == 3);
        assert_null(strstr(o.err, "interrupted"));
    }
}

/* A step on all samples takes some seconds: the first signal waits for its end, and the second, another one, does not
 * but kills the program, which a caught signal never does. */
static void test_second_signal_ends_at_once(void **state) {
    (void)state;
    const char *const word[] = {PROGRAM,       "--data", data,       "--epochs", "3",
                                "--estimator", "full",   "--hidden", "500",      NULL};
    const char *out = in_folder("out"), *err = in_folder("err");
    const struct timespec pause = {.tv_nsec = 100000000};
    static char text[32768];
    int status = 0;
    remove(err);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        if (!freopen(out, "w", stdout) || !freopen(err, "w", stderr))
            _exit(126);
        execv(word[0], (char *const *)(uintptr_t)word);
        _exit(127);
    }
    for (int i = 0; i < 300 && !strstr(text, "total "); i++) {
        nanosleep(&pause, NULL);
        FILE *f = fopen(err, "rb");
        text[f ? fread(text, 1, sizeof text - 1, f) : 0] = 0;
        if (f)
            fclose(f);
    }
    nanosleep(&pause, NULL); /* the table is written a moment before signals are caught */
    assert_int_equal(kill(child, SIGTERM), 0);
    nanosleep(&pause, NULL);
    assert_int_equal(kill(child, SIGINT), 0);
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    read_all(out, text, sizeof text);
    assert_string_equal(text, "");
}

/* Once the training is over a signal has its default action: here while the report is drawn, by a gnuplot that sends
 * it and then waits for the program's end, for 20 s at most. */
static void test_signal_after_the_run_ends_at_once(void **state) {
    (void)state;
    char folder[600], gnuplot[700], path[4096];
    const char *const before = getenv("PATH");
    snprintf(path, sizeof path, "%s", before ? before : "/usr/bin:/bin");
    snprintf(folder, sizeof folder, "%s", in_folder("bin"));
    snprintf(gnuplot, sizeof gnuplot, "%s/gnuplot", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    FILE *f = fopen(gnuplot, "w");
    assert_non_null(f);
    fputs("#!/bin/sh\nkill -TERM $PPID\ni=0\n"
          "while [ $i -lt 200 ] && kill -0 $PPID 2>/dev/null; do sleep 0.1; i=$((i + 1)); done\ntouch \"$0.waited\"\n",
          f);
    assert_int_equal(fchmod(fileno(f), 0700), 0);
    fclose(f);
    char with[5000], report[600], waited[720];
    snprintf(with, sizeof with, "%s:%s", folder, path);
    snprintf(report, sizeof report, "%s", in_folder("report"));
    setenv("PATH", with, 1);
    const time_t begin = time(NULL);
    output o = TRAIN("--hidden", "4", "--out", report);
    const time_t end = time(NULL);
    setenv("PATH", path, 1);
    says(&o, 128 + SIGTERM, "test_accuracy", NULL);
    assert_null(strstr(o.err, "interrupted"));
    assert_true(end - begin < 20);
    snprintf(waited, sizeof waited, "%s.waited", gnuplot);
    for (int i = 0; i < 300 && access(waited, F_OK) != 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    unlink(waited);
    unlink(gnuplot);
    rmdir(folder);
    remove_report(report);
}

/* Ctrl-C under `2>&1 | tee log` ends tee, too: what is printed then has no reader, but what the options ask for is
 * written. */
static void test_interrupt_without_a_reader_writes_the_files(void **state) {
    (void)state;
    char weights[600], report[600];
    static char text[32768];
    snprintf(weights, sizeof weights, "%s", in_folder("weights.safetensors"));
    snprintf(report, sizeof report, "%s", in_folder("report"));
    const char *const word[] = {PROGRAM,    "--data", data,     "--epochs", "1000",  "--batch", "100",
                                "--hidden", "4",      "--save", weights,    "--out", report,    NULL};
    int ends[2], status = 0;
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGINT, SIG_DFL), signal(SIGPIPE, SIG_DFL);
        if (dup2(ends[1], 1) < 0 || dup2(ends[1], 2) < 0 || close(ends[0]) != 0 || close(ends[1]) != 0)
            _exit(126);
        execv(word[0], (char *const *)(uintptr_t)word);
        _exit(127);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t n = 1; n > 0 && !strstr(text, "epoch 1/1000: "); length += n > 0 ? (size_t)n : 0)
        n = read(ends[0], text + length, sizeof text - 1 - length);
    assert_non_null(strstr(text, "epoch 1/1000: "));
    close(ends[0]);
    assert_int_equal(kill(child, SIGINT), 0);
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1); /* the results could not be printed */
    assert_int_equal(unlink(weights), 0);
    read_all(in_report(report, "run.json"), text, sizeof text);
    assert_non_null(strstr(text, "\"interrupted\": true"));
    assert_non_null(strstr(text, "\"results\": {"));
    assert_int_equal(access(in_report(report, "weights.png"), F_OK), 0);
    remove_report(report);
}

/* ---- Same results ---- */

/* What is printed, without the time. */
static const char *without_time(const output *o) {
    static char text[4][2048];
    static int turn;
    char *to = text[turn++ % 4];
    const char *cut = strstr(o->out, "epoch_seconds"), *rest = strstr(o->out, "train_loss");
    assert_true(cut && rest);
    snprintf(to, sizeof text[0], "%.*s%s", (int)(cut - o->out), o->out, rest);
    return to;
}

static void test_same_seed_gives_the_same_results(void **state) {
    (void)state;
    static const char *const threads[] = {"1", "2", "4"};
    const char *first = NULL;
    for (int i = 0; i < 4; i++) {
        output o = TRAIN("--quiet", "--dropout", "0.2", "--flip", "--shift", "2", "--rotate", "9", "--cutout", "4",
                         "--mixup", "0.3", "--seed", "7", "--threads", threads[i % 3]);
        succeeds(&o);
        const char *text = without_time(&o);
        if (!first)
            first = strdup(text);
        assert_string_equal(text, first);
    }
    output o = TRAIN("--quiet", "--dropout", "0.2", "--flip", "--shift", "2", "--rotate", "9", "--cutout", "4",
                     "--mixup", "0.3", "--seed", "8");
    assert_string_not_equal(without_time(&o), first);
    free((char *)(uintptr_t)first);
}

static void test_every_option_has_an_effect(void **state) {
    (void)state;
    output plain = TRAIN("--quiet");
    char base[2048];
    snprintf(base, sizeof base, "%s", without_time(&plain));
    static const struct {
        const char *option, *value;
        double parameters;
    } change[] = {{"--dtype", "f64", 79510},
                  {"--dropout", "0.5", 79510},
                  {"--flip", "--check", 79510},
                  {"--shift", "1", 79510},
                  {"--rotate", "2", 79510},
                  {"--cutout", "4", 79510},
                  {"--mixup", "0.2", 79510},
                  {"--hidden", "0", 7850},
                  {"--hidden", "64,32", 784 * 64 + 64 + 64 * 32 + 32 + 32 * 10 + 10},
                  {"--average", "ema decay=0.9 debias", 79510},
                  {"--schedule", "cosine warmup=10%", 79510},
                  {"--schedule", "cosine warmup=0.5ep final=0.1", 79510},
                  {"--rule", "role=weight: sgd lr=0.1 momentum=0.9; adamw", 79510},
                  {"--rule", "sgd lr=0.5", 79510},
                  {"--clip", "0.1", 79510},
                  {"--batch", "100", 79510}};
    /* --batch reaches the innermost estimator: the same run, written in two ways. */
    output by_option = TRAIN("--quiet", "--estimator", "sam rho=0.01"),
           by_spec = FASHION("--data", data, "--quiet", "--epochs", "1", "--estimator",
                             "sam rho=0.01 of=minibatch batch=500"),
           of_svrg = TRAIN("--quiet", "--estimator", "sam rho=0.01 of=svrg period=1ep");
    assert_string_equal(without_time(&by_option), without_time(&by_spec));
    assert_string_not_equal(without_time(&by_option), base);
    succeeds(&of_svrg);
    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        output o =
            FASHION("--data", data, "--quiet", "--epochs", "1", "--batch", "500", change[i].option, change[i].value);
        succeeds(&o);
        if (!(result(&o, "parameters") == change[i].parameters))
            fail_msg("%s %s: %g parameters", change[i].option, change[i].value, result(&o, "parameters"));
        if (i > 0 && strcmp(without_time(&o), base) == 0) /* f64 differs, but not in six digits */
            fail_msg("%s %s changes nothing", change[i].option, change[i].value);
        assert_true(result(&o, "test_accuracy") > 0.5);
    }
}

/* Nothing but Inf and NaN: the program gives up and says so. */
static void test_divergence_is_reported(void **state) {
    (void)state;
    output o = TRAIN("--rule", "sgd lr=1e6", "--hidden", "50,50,50,50,50,50,50,50", "--quiet");
    fails(&o, 1, "would make the value of parameter linear1.weight Inf or NaN"); /* before x is touched */
}

/* ---- hello ---- */

static void test_hello_trains(void **state) {
    (void)state;
    setenv("SW_FASHION_MNIST", data, 1);
    output o = RUN(HELLO);
    unsetenv("SW_FASHION_MNIST");
    says(&o, 0, "mean loss of the first epoch: ", NULL);
    assert_string_equal(o.err, "");
    double loss = strtod(o.out + strlen("mean loss of the first epoch: "), NULL);
    assert_true(loss > 0 && loss < 1);
    const char *end = strchr(o.out, '\n');
    assert_true(end && !end[1]);
}

/* A folder with damaged files is found, and then refused: no silent success. */
/* A custom operation, layer, rule and estimator work together: sin 3x to 1e-4. */
static void test_extend_reaches_its_error(void **state) {
    (void)state;
    output o = RUN(TEST_BUILD "/examples/extend");
    says(&o, 0, "gradcheck: ", NULL);
    assert_string_equal(o.err, "");
    const char *mse = strstr(o.out, "\nmse ");
    assert_non_null(mse);
    assert_true(strtod(mse + 5, NULL) < 1e-3);
}

static void test_hello_without_data_is_explained(void **state) {
    (void)state;
    const char *folder = folder_without(0);
    char path[700];
    snprintf(path, sizeof path, "%s/%s", folder, file_name[0]);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fclose(f);
    setenv("SW_FASHION_MNIST", folder, 1);
    output o = RUN(HELLO);
    unsetenv("SW_FASHION_MNIST");
    fails(&o, 1, path);
    remove_data(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_version_and_lists_are_printed),
        cmocka_unit_test(test_wrong_command_lines_are_explained),
        cmocka_unit_test(test_outputs_are_checked_before_training),
        cmocka_unit_test(test_wrong_specs_are_explained),
        cmocka_unit_test(test_missing_data_are_reported),
        cmocka_unit_test(test_damaged_data_are_reported),
        cmocka_unit_test(test_damaged_archives_are_reported),
        cmocka_unit_test(test_results_are_printed),
        cmocka_unit_test(test_metrics_are_written),
        cmocka_unit_test(test_signal_ends_the_run_with_results),
        cmocka_unit_test(test_ignored_signals_stay_ignored),
        cmocka_unit_test(test_second_signal_ends_at_once),
        cmocka_unit_test(test_signal_after_the_run_ends_at_once),
        cmocka_unit_test(test_interrupt_without_a_reader_writes_the_files),
        cmocka_unit_test(test_same_seed_gives_the_same_results),
        cmocka_unit_test(test_every_option_has_an_effect),
        cmocka_unit_test(test_divergence_is_reported),
        cmocka_unit_test(test_hello_trains),
        cmocka_unit_test(test_extend_reaches_its_error),
        cmocka_unit_test(test_hello_without_data_is_explained),
    };
    return cmocka_run_group_tests_name("fashion_mnist_cli", tests, setup, teardown);
}
