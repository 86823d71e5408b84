/* The common behavior of all programs in examples/: the same options, exit codes, and errors if a stream or a file
 * cannot be written. Every program must be in the table below; else a test fails. */
#include "fashion_data.h"

#include <dirent.h>
#include <glob.h>

#include <swale/core.h>

typedef struct program {
    const char *name;
    const char *quick[16]; /* options for a short run; "DATA": the folder of the data */
    const char *slow[6];   /* options for a run of many minutes: a program that begins it is caught by
                            the time */
    const char *out;       /* the name of its output */
} program;

static const program programs[] = {
    {"spirals", {"--samples", "30", "--every", "1"}, {"--every", "100000"}, "a.png"},
    {"regression", {"--steps", "2", "--passes", "2"}, {"--steps", "1000000"}, "a.png"},
    {"embedding", {"--steps", "2"}, {"--steps", "1000000"}, "a.png"},
    {"rosenbrock", {"--steps", "2"}, {"--steps", "10000000"}, "a.png"},
    {"least_squares", {"--steps", "100"}, {"--steps", "1000000"}, "a.png"},
    {"logistic_regression", {"--passes", "4"}, {"--passes", "500"}, "a.png"},
    {"minima", {"--steps", "10", "--walks", "2"}, {"--steps", "1000000"}, "a.png"},
    {"class_imbalance",
     {"--groups=2", "--dim=2", "--steps=2", "--text=LICENSE", "--words=5", "--width=2", "--word-steps=2"},
     {"--groups", "10", "--steps", "2000"},
     "a.png"},
    {"adam_gap",
     {"--only=attention", "--prompt-steps=2", "--rates=1", "--seeds=1", "--prompts=2"},
     {"--data", "/nowhere"},
     "a.png"},
    {"double_descent", {"--no-networks", "--degrees", "3", "--sets", "1"}, {"--data", "/nowhere"}, "a.png"},
    {"initialization",
     {"--samples", "512", "--epochs", "1", "--batch", "256", "--width", "2", "--seeds", "1", "--data", "DATA"},
     {"--data", "/nowhere"},
     "a.png"},
    {"exponential_lr", {"--steps", "2"}, {"--samples", "100000", "--width", "4096"}, "a.png"},
    {"algoperf_score", {"--fastest"}, {"--times", "/nowhere.csv"}, "a.png"},
    {"grokking",
     {"--modulus", "3", "--width", "4", "--steps", "1"},
     {"--modulus", "997", "--steps", "10000000"},
     "a.png"},
    {"muon_logreg", {"--epochs", "1"}, {"--epochs", "200"}, "a.png"},
    {"shampoo_muon",
     {"--target", "0.01", "--trials", "1", "--epochs", "1", "--seeds", "1", "--data", "DATA"},
     {"--data", "/nowhere"},
     "a.png"},
    {"glm", {"--path", "3", "--cv", "2"}, {"--data", "/nowhere.csv"}, "a.png"},
    {"sharpness",
     {"--samples", "100", "--test", "100", "--hidden", "2", "--epochs", "1", "--seeds", "1", "--data", "DATA"},
     {"--epochs", "1000", "--data", "/nowhere"},
     "a.png"},
    {"label_noise",
     {"--samples", "50", "--test", "50", "--channels", "1", "--hidden", "1", "--epochs", "1", "--data", "DATA"},
     {"--data", "/nowhere"},
     "a.png"},
    {"mode_connectivity",
     {"--samples", "100", "--epochs=1", "--bend-epochs=1", "--places=3", "--side=2", "--statistics=50", "--data",
      "DATA"},
     {"--epochs", "1000", "--data", "/nowhere"},
     "a.png"},
    {"loss_surface",
     {"--samples=100", "--shown=10", "--channels=1", "--epochs=1", "--side=3", "--depth=8", "--width=1",
      "--residual-samples=100", "--residual-shown=10", "--residual-epochs=1", "--residual-side=3", "--data", "DATA"},
     {"--epochs", "1000", "--data", "/nowhere"},
     "a.png"},
    {"drawn_surface",
     {"--samples=100", "--shown=10", "--hidden=2", "--side=8", "--steps=2", "--points=4", "--batch=10", "--data",
      "DATA"},
     {"--steps", "1000000", "--data", "/nowhere"},
     "a.png"},
    {"memory",
     {"--blocks", "1", "--batch", "4", "--steps", "2", "--rounds", "1", "--layers", "1"},
     {"--batch", "1000000"},
     "a.png"},
    {"lecture_mlp",
     {"--epochs", "1", "--samples", "2048", "--test", "1000", "--data", "DATA"},
     {"--data", "/nowhere"},
     "a.png"},
    {"optimizer_zoo",
     {"--rules", "sgd", "--trials", "1", "--epochs", "1", "--seeds", "1", "--data", "DATA"},
     {"--data", "/nowhere"},
     "a.png"},
    {"gpt",
     {"--steps", "2", "--layers", "1", "--width", "8", "--block", "8", "--text", "LICENSE", "--sample", "5"},
     {"--text", "/nowhere"},
     "a.safetensors"},
    {"muon_gpt",
     {"--width=8", "--doublings=1", "--layers=1", "--block=8", "--batch=2", "--most=2", "--every=1", "--trials=2",
      "--seeds=1", "--text", "LICENSE"},
     {"--text", "/nowhere"},
     "a.png"},
    {"own_data", {"--epochs", "2"}, {"--csv", "/nowhere"}, "a.safetensors"},
    {"fashion_mnist",
     {"--epochs", "1", "--batch", "500", "--hidden", "4", "--data", "DATA"},
     {"--data", "/nowhere"},
     "a"}};
enum { PROGRAMS = sizeof programs / sizeof *programs };
/* Programs of one page, which take no options. */
static const char *const minimal[] = {"hello", "extend"};

static bool is_folder(const program *p) {
    return strcmp(p->name, "fashion_mnist") == 0;
}

static char work[600]; /* a folder in which each test puts what a program writes */

/* Runs `p` by a shell, which gives it `limits` (commands before it) and `redirections`, for at most
 * 60 s. options: quick or slow of the table or NULL; one and two: further options, or NULL. */
static output launch(const program *p, const char *limits, const char *redirections, const char *const *options,
                     const char *one, const char *two) {
    char script[256];
    const char *word[40] = {"/bin/sh", "-c", script, "timeout", "60"};
    char path[256];
    int count = 5;
    snprintf(path, sizeof path, TEST_BUILD "/examples/%s", p->name);
    snprintf(script, sizeof script, "%s exec \"$0\" \"$@\" %s", limits, redirections);
    word[count++] = path;
    for (int i = 0; options && options[i]; i++)
        word[count++] = strcmp(options[i], "DATA") == 0 ? data : options[i];
    word[count++] = one;
    word[one ? count++ : count - 1] = one ? two : NULL;
    return run_with(0, NULL, word);
}

static const char *at(const char *name) {
    static char path[8][900];
    static int turn;
    char *p = path[turn++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", work, name);
    return p;
}

/* The number of files in `work`, or in its folder `below`; -1: there is none. They are removed. */
static int clear(const char *below) {
    const char *folder = below ? at(below) : work;
    int count = 0;
    DIR *d = opendir(folder);
    if (!d)
        return -1;
    for (const struct dirent *e; (e = readdir(d));) {
        char path[1000];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        count++;
        if (remove(path) != 0) {
            clear(e->d_name);
            remove(path);
        }
    }
    closedir(d);
    return count;
}

static int work_setup(void **state) {
    if (setup(state) != 0)
        return -1;
    snprintf(work, sizeof work, "%s", in_folder("work"));
    return mkdir(work, 0700);
}

static int work_teardown(void **state) {
    clear(NULL);
    rmdir(work);
    return teardown(state);
}

static void expect(const program *p, const output *o, int code, const char *out, const char *err) {
    if (o->code != code || (out && strcmp(o->out, out) != 0) || (err && !strstr(o->err, err)))
        fail_msg("%s: exit %d instead of %d, expected \"%s\" on stderr; stdout:\n%sstderr:\n%s", p->name, o->code, code,
                 err ? err : "", o->out, o->err);
}

#define EACH_PROGRAM(p) for (const program *p = programs; p < programs + PROGRAMS; p++)

/* ---- Options ---- */

static void test_every_program_is_in_the_table(void **state) {
    (void)state;
    glob_t found;
    assert_int_equal(glob("examples/*.c", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char name[64];
        bool known = false;
        snprintf(name, sizeof name, "%.*s", (int)strlen(found.gl_pathv[i]) - 11, found.gl_pathv[i] + 9);
        EACH_PROGRAM(p) known = known || strcmp(p->name, name) == 0;
        for (size_t k = 0; k < sizeof minimal / sizeof *minimal; k++)
            known = known || strcmp(minimal[k], name) == 0;
        if (!known)
            fail_msg("%s is in no table of this test", name);
    }
    globfree(&found);
}

static void test_help_lists_the_common_options(void **state) {
    (void)state;
    static const char *const common[] = {"\n  --seed N ", "\n  --threads N ", "\n  --out ",
                                         "\n  --quiet ",  "\n  --help ",      "\n  --version "};
    EACH_PROGRAM(p) {
        char begin[64];
        for (int brief = 0; brief < 2; brief++) {
            output o = launch(p, "", "", NULL, brief ? "-h" : "--help", NULL);
            expect(p, &o, 0, NULL, NULL);
            snprintf(begin, sizeof begin, "example: %s --", p->name);
            assert_int_equal(strncmp(o.out, begin, strlen(begin)), 0);
            for (int i = 0; i < 6; i++)
                if (!strstr(o.out, common[i]))
                    fail_msg("%s --help does not list%s", p->name, common[i]);
            assert_string_equal(o.err, "");
        }
    }
}

static void test_version_names_library_compiler_and_blas(void **state) {
    (void)state;
    EACH_PROGRAM(p) {
        char line[300];
        snprintf(line, sizeof line, "%s\n", sw_build_info());
        output o = launch(p, "", "", NULL, "--version", NULL);
        expect(p, &o, 0, line, NULL);
        assert_non_null(strstr(o.out, "OpenBLAS"));
        assert_string_equal(o.err, "");
    }
}

/* --seed, --threads, --out and --quiet in one short run: results on stdout, and nothing else
 * anywhere. */
static void test_common_options_are_accepted(void **state) {
    (void)state;
    EACH_PROGRAM(p) {
        const char *word[24];
        int count = 0;
        for (; p->quick[count]; count++)
            word[count] = p->quick[count];
        word[count++] = "--seed", word[count++] = "3", word[count++] = "--threads", word[count++] = "2";
        word[count++] = "--out", word[count++] = at(p->out), word[count] = NULL;
        output o = launch(p, "", "", word, "--quiet", NULL);
        expect(p, &o, 0, NULL, NULL);
        assert_string_equal(o.err, "");
        assert_true(strlen(o.out) > 0);
        assert_int_equal(access(at(p->out), F_OK), 0);
        clear(NULL);
    }
}

static void test_mistakes_end_with_exit_code_2(void **state) {
    (void)state;
    static const struct {
        const char *one, *two, *err;
    } mistake[] = {{"--versin", NULL, "there is no option --versin, did you mean --version?\n"},
                   {"--thread", "1", "there is no option --thread, did you mean --threads?\n"},
                   {"nonsense", NULL, "there is no option nonsense"},
                   {"--seed", "-1", "--seed -1: a whole number from 0 to 9e+15 is needed\n"},
                   {"--threads", "0", "--threads 0: a whole number from 1 to 64 is needed\n"},
                   {"--threads", "65", "--threads 65: a whole number from 1 to 64 is needed\n"},
                   {"--threads", "two", "--threads two: a whole number from 1 to 64 is needed\n"},
                   {"--quiet=yes", NULL, "--quiet takes no value\n"},
                   {"--seed", NULL, "--seed needs a value: --seed N\n"}};
    EACH_PROGRAM(p)
    for (size_t i = 0; i < sizeof mistake / sizeof *mistake; i++) {
        char begin[64];
        output o = launch(p, "", "", NULL, mistake[i].one, mistake[i].two);
        expect(p, &o, 2, "", mistake[i].err);
        snprintf(begin, sizeof begin, "%s: ", p->name);
        assert_int_equal(strncmp(o.err, begin, strlen(begin)), 0);
    }
}

static void test_programs_without_options_refuse_arguments(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof minimal / sizeof *minimal; k++) {
        const program p = {.name = minimal[k]};
        output o = launch(&p, "", "", NULL, "--seed", "3");
        expect(&p, &o, 2, "", "takes no arguments, but got --seed\n");
    }
}

static void test_picture_has_the_suffix_of_its_format(void **state) {
    (void)state;
    EACH_PROGRAM(p)
    if (strstr(p->out, ".png")) {
        output o = launch(p, "", "", p->slow, "--out", at("a.jpg"));
        expect(p, &o, 2, "", "a.jpg: the picture is a PNG, and its name must end with .png, not .jpg\n");
        assert_int_equal(clear(NULL), 0);
    }
}

/* ---- Paths ---- */

typedef void path_function(const program *p, const char *option, bool written);

/* Calls f for every option of every program that is a path, as --help has them. */
static void for_each_path(path_function *f) {
    int paths = 0;
    EACH_PROGRAM(p) {
        output o = launch(p, "", "", NULL, "--help", NULL);
        for (const char *line = o.out; line; line = strchr(line + 1, '\n')) {
            char option[64], argument[64];
            if (sscanf(line, "\n  --%60s %60s", option + 2, argument) != 2)
                continue;
            memcpy(option, "--", 2);
            const bool written =
                strcmp(option, "--out") == 0 || strcmp(option, "--save") == 0 || strcmp(option, "--checkpoint") == 0;
            if (strncmp(argument, "FILE", 4) == 0 || strcmp(argument, "DIR") == 0 || strcmp(argument, "PICTURE") == 0)
                f(p, option, written), paths++;
        }
    }
    assert_true(paths >= PROGRAMS + 8); /* --out of each; --data, --csv, --load, --save, --checkpoint, --predict */
}

static void refuse_empty(const program *p, const char *option, bool written) {
    char message[128];
    (void)written;
    snprintf(message, sizeof message, "%s: %s \"\": the path is empty", p->name, option);
    output o = launch(p, "", "", p->slow, option, "");
    expect(p, &o, 2, "", message);
    snprintf(message, sizeof message, "%s=", option);
    o = launch(p, "", "", p->slow, message, NULL);
    expect(p, &o, 2, "", "the path is empty");
}
static void test_empty_paths_are_refused(void **state) {
    (void)state;
    for_each_path(refuse_empty);
}

static void refuse_fifo(const program *p, const char *option, bool written) {
    char message[128];
    const char *fifo = at("a.png");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    snprintf(message, sizeof message, "%s: %s %s: ", p->name, option, fifo);
    /* own_data --load is of use with --predict alone. */
    const bool asks = strcmp(p->name, "own_data") == 0 && strcmp(option, "--load") == 0;
    const char *const predict[] = {"--predict", "1", NULL};
    output o = launch(p, "", "", asks ? predict : written ? p->slow : NULL, option, fifo);
    expect(p, &o, 1, "", message);
    struct stat there;
    assert_true(stat(fifo, &there) == 0 && S_ISFIFO(there.st_mode));
    assert_int_equal(clear(NULL), 1);
}
static void test_fifo_is_refused_at_once(void **state) {
    (void)state;
    for_each_path(refuse_fifo);
}

static void refuse_unwritable(const program *p, const char *option, bool written) {
    if (!written)
        return;
    char message[128];
    snprintf(message, sizeof message, "%s: %s /dev/null/x", p->name, option);
    output o = launch(p, "", "", p->slow, option, "/dev/null/x.png");
    expect(p, &o, 1, "", message);
    assert_non_null(strstr(o.err, "Not a directory\n"));
}
/* The run would take minutes, or fail for want of data: neither happens. */
static void test_outputs_are_opened_before_any_work(void **state) {
    (void)state;
    for_each_path(refuse_unwritable);
}

static void refuse_missing(const program *p, const char *option, bool written) {
    const bool folder = strcmp(option, "--data") == 0 && strcmp(p->name, "glm") != 0;
    const bool table = strcmp(option, "--table") == 0; /* an output */
    const bool asks = strcmp(p->name, "own_data") == 0 && strcmp(option, "--load") == 0;
    const char *const predict[] = {"--predict", "1", NULL};
    char message[800];
    if (written || folder || table)
        return;
    snprintf(message, sizeof message, "%s: %s: cannot be opened: No such file or directory\n", p->name, at("none"));
    output o = launch(p, "", "", asks ? predict : NULL, option, at("none"));
    expect(p, &o, 1, "", message);
}
/* Also where other parts of the program, which take a minute, do not need the file. */
static void test_inputs_are_opened_before_any_work(void **state) {
    (void)state;
    for_each_path(refuse_missing);
}

static void keep_protected(const program *p, const char *option, bool written) {
    const bool folder = is_folder(p) && strcmp(option, "--out") == 0;
    char path[700], text[16];
    if (!written)
        return;
    snprintf(path, sizeof path, "%s", at(folder ? "metrics.csv" : "a.png"));
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("precious", f);
    assert_int_equal(fchmod(fileno(f), 0444), 0);
    fclose(f);
    output o = launch(p, "", "", p->slow, option, folder ? work : path);
    expect(p, &o, 1, "", "cannot be written: the file there is write-protected\n");
    read_all(path, text, sizeof text);
    assert_string_equal(text, "precious");
    assert_int_equal(clear(NULL), 1);
}
static void test_protected_file_is_not_replaced(void **state) {
    (void)state;
    for_each_path(keep_protected);
}

/* A name of 255 bytes, the longest of Linux's file systems: what is written first has a name that is not longer. */
static void test_longest_names_are_written(void **state) {
    (void)state;
    static const char *const kinds[] = {"spirals", "rosenbrock", "own_data", "fashion_mnist"};
    EACH_PROGRAM(p)
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char name[256];
        const char *const ending = is_folder(p) ? ".safetensors" : strrchr(p->out, '.');
        if (strcmp(p->name, kinds[k]) != 0)
            continue;
        memset(name, 'a', 255);
        strcpy(name + 255 - strlen(ending), ending);
        output o = launch(p, "", "", p->quick, is_folder(p) ? "--save" : "--out", at(name));
        expect(p, &o, 0, NULL, NULL);
        assert_int_equal(access(at(name), F_OK), 0);
        /* And its numbers: nothing else is there. */
        assert_int_equal(clear(NULL), strcmp(p->name, "rosenbrock") == 0 ? 2 : 1);
    }
}

/* A file to which stdout or stderr was redirected, by its name or by that of the stream. */
static void refuse_stream(const program *p, const char *option, bool written) {
    const bool folder = is_folder(p) && strcmp(option, "--out") == 0;
    static const char *const stream[] = {"stdout", "stderr"};
    for (int i = 0; written && i < (folder ? 2 : 4); i++) {
        char redirection[800], message[128], device[16], text[2048] = "";
        const char *const file = at(folder ? "run.json" : "a.png");
        snprintf(redirection, sizeof redirection, "%s'%s'", i % 2 ? "2>" : ">", file);
        snprintf(device, sizeof device, "/dev/%s", stream[i % 2]);
        snprintf(message, sizeof message, "%s was redirected to this file: another name is needed\n", stream[i % 2]);
        output o = launch(p, "", redirection, p->slow, option, folder ? work : i < 2 ? file : device);
        expect(p, &o, 2, "", i % 2 ? "" : message);
        read_all(file, text, sizeof text);
        if (i % 2 && !strstr(text, message)) /* it was printed there */
            fail_msg("%s: expected \"%s\", got \"%s\"", p->name, message, text);
        assert_true(i % 2 || !*text);
        assert_int_equal(clear(NULL), 1);
    }
}
static void test_output_equal_to_a_stream_is_refused(void **state) {
    (void)state;
    for_each_path(refuse_stream);
}

/* ---- Streams ---- */

static void test_closed_stream_is_reported(void **state) {
    (void)state;
    EACH_PROGRAM(p) {
        output o = launch(p, "", ">&-", p->quick, "--out", at(p->out));
        expect(p, &o, 1, "", "stdout is closed");
        assert_int_equal(clear(NULL), 0);
        o = launch(p, "", "2>&-", p->quick, "--out", at(p->out));
        expect(p, &o, 1, NULL, NULL);
        assert_non_null(strstr(o.out, "stderr is closed"));
        assert_int_equal(clear(NULL), 0);
        o = launch(p, "", ">&- 2>&-", p->quick, "--out", at(p->out));
        expect(p, &o, 1, "", NULL);
        assert_int_equal(clear(NULL), 0);
        o = launch(p, "", "<&-", NULL, "--version", NULL); /* nothing is read from it */
        expect(p, &o, 0, NULL, NULL);
    }
}

static void test_full_stdout_is_reported(void **state) {
    (void)state;
    EACH_PROGRAM(p) {
        static const char *const information[] = {"--help", "--version"};
        const char *message = "stdout could not be written: No space left on device\n";
        output o = launch(p, "", ">/dev/full", p->quick, "--out", at(p->out));
        expect(p, &o, 1, "", message);
        clear(NULL);
        for (int i = 0; i < 2; i++) {
            o = launch(p, "", ">/dev/full", NULL, information[i], NULL);
            expect(p, &o, 1, "", message);
        }
    }
    const program extend = {.name = "extend"}, hello = {.name = "hello"};
    output o = launch(&extend, "", ">/dev/full", NULL, NULL, NULL);
    expect(&extend, &o, 1, "", "extend: the result could not be printed\n");
    setenv("SW_FASHION_MNIST", data, 1);
    o = launch(&hello, "", ">/dev/full", NULL, NULL, NULL);
    expect(&hello, &o, 1, "", "the result could not be printed\n");
    o = launch(&hello, "", ">&-", NULL, NULL, NULL);
    expect(&hello, &o, 1, "", "the result could not be printed\n");
    unsetenv("SW_FASHION_MNIST");
}

/* What cannot be said on stderr is said on stdout. */
static void test_full_stderr_is_reported(void **state) {
    (void)state;
    EACH_PROGRAM(p) {
        output o = launch(p, "", "2>/dev/full", NULL, "--versin", NULL);
        expect(p, &o, 2, NULL, NULL);
        assert_non_null(strstr(o.out, "there is no option --versin, did you mean --version?\n"));
        o = launch(p, "", "2>/dev/full", p->slow, "--out", "/dev/null/x.png");
        expect(p, &o, 1, NULL, NULL);
        assert_non_null(strstr(o.out, "/dev/null/x"));
    }
}

/* ---- A limit on the size of files, or a full disk ---- */

/* One block of 512 bytes. Results are on stdout before anything is written; what could not be
 * written whole is not there, nor is any other file that is not wanted. */
static void test_file_size_limit_is_an_error_with_a_message(void **state) {
    (void)state;
    EACH_PROGRAM(p) {
        /* fashion_mnist tries its folder's run.json before the training. */
        const char *const option = is_folder(p) ? "--save" : "--out";
        /* The limit is one for redirections too: a pipe is none. */
        output o = launch(p, "(ulimit -f 1;", ") 2>&1 | cat", p->quick, option, at(p->out));
        if (!strstr(o.out, "cannot be written: File too large\n"))
            fail_msg("%s says nothing of the limit:\n%s", p->name, o.out);
        if (strncmp(o.out, p->name, strlen(p->name)) == 0) /* a message, before any result */
            fail_msg("%s prints no results first:\n%s", p->name, o.out);
        if (access(at("a.csv"), F_OK) == 0) /* it may be short enough */
            assert_int_equal(remove(at("a.csv")), 0);
        assert_int_equal(clear(NULL), 0);
        /* The status, which a pipe hides. */
        o = launch(p, "ulimit -f 1;", ">/dev/null", p->quick, option, at(p->out));
        assert_int_equal(o.code, 1);
        clear(NULL);
        if (is_folder(p)) {
            o = launch(p, "(ulimit -f 1;", ") 2>&1 | cat", p->quick, "--out", at(p->out));
            assert_non_null(strstr(o.out, "run.json: cannot be written: File too large\n"));
            assert_null(strstr(o.out, "seed "));
            assert_int_not_equal(access(at("a/run.json"), F_OK), 0);
            clear(NULL);
        }
    }
}

/* Each begins with an empty folder, also after one that failed. */
static int begin(void **state) {
    (void)state;
    clear(NULL);
    return 0;
}
#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_every_program_is_in_the_table),
        TEST(test_help_lists_the_common_options),
        TEST(test_version_names_library_compiler_and_blas),
        TEST(test_common_options_are_accepted),
        TEST(test_mistakes_end_with_exit_code_2),
        TEST(test_programs_without_options_refuse_arguments),
        TEST(test_picture_has_the_suffix_of_its_format),
        TEST(test_empty_paths_are_refused),
        TEST(test_fifo_is_refused_at_once),
        TEST(test_outputs_are_opened_before_any_work),
        TEST(test_inputs_are_opened_before_any_work),
        TEST(test_protected_file_is_not_replaced),
        TEST(test_longest_names_are_written),
        TEST(test_output_equal_to_a_stream_is_refused),
        TEST(test_closed_stream_is_reported),
        TEST(test_full_stdout_is_reported),
        TEST(test_full_stderr_is_reported),
        TEST(test_file_size_limit_is_an_error_with_a_message),
    };
    return cmocka_run_group_tests_name("every_program", tests, work_setup, work_teardown);
}
