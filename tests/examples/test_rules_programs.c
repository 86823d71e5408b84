/* lecture_mlp, optimizer_zoo and shampoo_muon, which compare rules, on a small job. (test_gallery tests rosenbrock.) */
#include "fashion_data.h"

#define LECTURE TEST_BUILD "/examples/lecture_mlp"
#define ZOO TEST_BUILD "/examples/optimizer_zoo"
#define SHAMPOO_MUON TEST_BUILD "/examples/shampoo_muon"

static int lines_of(const char *path, const char *begins) {
    char line[2048];
    int count = 0;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        count += strncmp(line, begins, strlen(begins)) == 0;
    fclose(f);
    return count;
}

static const char *at(const char *name) {
    static char path[4][600];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s", in_folder(name));
    return p;
}

static void test_lecture_mlp_writes_its_results(void **state) {
    (void)state;
    const char *picture = at("lecture.png"), *table = at("lecture.csv");
    output o = RUN(LECTURE, "--data", data, "--epochs", "1", "--samples", "6000", "--threads", "1", "--out", picture);
    says(&o, 0, "adam_test_accuracy", "nesterov, epoch 0: ");
    static char first[sizeof o.out];
    memcpy(first, o.out, sizeof first);
    static const char *const names[] = {"sgd_test_accuracy", "momentum_test_accuracy", "nesterov_test_accuracy",
                                        "adam_test_accuracy"};
    for (int i = 0; i < 4; i++)
        assert_true(result(&o, names[i]) > 0.05 && result(&o, names[i]) <= 1);
    /* The same start for all: four equal first lines. */
    double loss[4];
    const char *line = o.err;
    for (int i = 0; i < 4; i++) {
        line = strstr(line, "epoch 0: train loss ");
        assert_non_null(line);
        loss[i] = strtod(line += strlen("epoch 0: train loss "), NULL);
        assert_true(loss[i] == loss[0]);
    }
    assert_int_equal(lines_of(table, "\"adam test loss\","), 2);
    o = RUN(LECTURE, "--data", data, "--epochs", "1", "--samples", "6000", "--threads", "3", "--out", picture);
    assert_string_equal(o.out, first);
    unlink(picture);
    unlink(table);
    o = RUN(LECTURE, "--data", in_folder("nowhere"), "--out", picture);
    fails(&o, 1, "lecture_mlp: ");
    o = RUN(LECTURE, "--out", "/nowhere/lecture.png");
    fails(&o, 1, "--out /nowhere/lecture.png: cannot be written: No such file or directory\n");
    o = RUN(LECTURE, "--epoch", "1");
    fails(&o, 2, "did you mean --epochs?");
}

static void test_optimizer_zoo_writes_its_results(void **state) {
    (void)state;
    const char *picture = at("zoo.png"), *table = at("zoo.csv");
    output o = RUN(ZOO, "--data", data, "--rules", "sgd,adam", "--trials", "2", "--epochs", "1", "--seeds", "2",
                   "--out", picture);
    says(&o, 0, "adam ", "sgd: ");
    assert_non_null(strstr(o.out, "\nsgd "));
    assert_null(strstr(o.out, "lion"));
    assert_int_equal(lines_of(table, "sgd,"), 2);
    assert_int_equal(lines_of(table, "adam,"), 2);
    unlink(picture);
    unlink(table);
    o = RUN(ZOO, "--rules", "sdg");
    fails(&o, 2, "there is no rule sdg, did you mean sgd?");
    o = RUN(ZOO, "--rules", "adam,adm");
    fails(&o, 2, "there is no rule adm, did you mean adam?");
    o = RUN(ZOO, "--data", in_folder("nowhere"), "--out", picture);
    fails(&o, 1, "optimizer_zoo: ");
    o = RUN(ZOO, "--out", "/nowhere/zoo.png");
    fails(&o, 1, "--out /nowhere/zoo.png: cannot be written: No such file or directory\n");
    o = RUN(ZOO, "--help");
    says(&o, 0, "example: optimizer_zoo", NULL);
}

static void test_shampoo_muon_writes_its_results(void **state) {
    (void)state;
    static const char *const errors[] = {"identity_error_32x16", "identity_error_64x64", "identity_error_16x48",
                                         "identity_error_128x32"};
    static const char *const rules[] = {"adamw", "shampoo", "soap", "muon"};
    const char *picture = at("shampoo_muon.png"), *table = at("shampoo_muon.csv");
    int any = 0;
    output o = RUN(SHAMPOO_MUON, "--data", data, "--target", "0.5", "--trials", "2", "--epochs", "1", "--seeds", "1",
                   "--threads", "1", "--out", picture);
    says(&o, 0, "picture ", "Muon: muon lr=");
    /* A singular value s of G has the error 1e-16 (S/s)^2 after the roots, where S is the largest: G [64,64] has a
     * condition of some hundreds. The program's promise is 1e-6. */
    for (int i = 0; i < 4; i++)
        assert_true(result(&o, errors[i]) < 1e-6 && result(&o, errors[i]) > 0);
    /* Only singular values that were below 0.01 of the norm may be far from 1. */
    assert_true(result(&o, "muon_singular_values_outside_0.65_1.25") <= result(&o, "singular_values_below_0.01"));
    assert_true(result(&o, "singular_values_below_0.01") < 16);
    assert_true(result(&o, "muon_largest_singular_value") > 1 && result(&o, "muon_largest_singular_value") < 1.25);
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s_reached", rules[i]);
        const double reached = result(&o, name);
        assert_true(reached == 0 || reached == 1);
        snprintf(name, sizeof name, "%s_steps", rules[i]);
        if (reached > 0) /* 55,000/128 steps are an epoch */
            assert_true(result(&o, name) >= 50 && result(&o, name) <= 430);
        any += reached > 0;
    }
    assert_true(any >= 3);
    assert_int_equal(lines_of(table, "\"k = 5\","), 64);
    assert_true(lines_of(table, "\"SOAP\",") >= 1);
    unlink(picture);
    unlink(table);
    o = RUN(SHAMPOO_MUON, "--target", "2");
    fails(&o, 2, "--target 2: a number from 0 to 1 is needed");
}

static void write_precious(const char *path) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("precious", f);
    assert_int_equal(fclose(f), 0);
}

static void is_precious(const char *path) {
    char text[16];
    read_all(path, text, sizeof text);
    assert_string_equal(text, "precious");
    unlink(path);
}

/* Ctrl-C before there is a result: the files of an earlier run are kept. */
static void test_interrupted_run_keeps_the_files(void **state) {
    (void)state;
    const char *picture = at("kept.png"), *table = at("kept.csv");
    write_precious(picture);
    write_precious(table);
    const char *const lecture[] = {LECTURE, "--data", data, "--epochs", "1000", "--out", picture, NULL};
    output o = run_with(SIGINT, "sgd, epoch 0: ", lecture);
    fails(&o, 130, "lecture_mlp: interrupted before the first method was completed: nothing was written\n");
    is_precious(picture);
    is_precious(table);
    /* The zoo's table appears with the first of many trials; SIGTERM, since a shell's background ignores SIGINT. */
    write_precious(picture);
    char script[1024];
    snprintf(script, sizeof script,
             "\"$0\" \"$@\" & i=0; while [ ! -e %s ] && [ $i -lt 1500 ]; do sleep 0.02; i=$((i + 1)); done\n"
             "kill -TERM $!; wait $!",
             table);
    o = RUN("/bin/sh", "-c", script, ZOO, "--data", data, "--rules", "sgd", "--trials", "1000", "--epochs", "1",
            "--out", picture);
    fails(&o, 128 + SIGTERM, "interrupted before the first rule was completed: ");
    is_precious(picture);
    assert_true(lines_of(table, "sgd,") >= 1);
    unlink(table);
}

/* A table that cannot be written for a while is no reason to throw the search away. */
static void test_search_outlives_its_table(void **state) {
    (void)state;
    const char *picture = at("full.png"), *table = at("full.csv"), *err = at("err");
    char script[2048];
    snprintf(script, sizeof script,
             "\"$0\" \"$@\" & i=0; while [ ! -e %s ] && [ $i -lt 1500 ]; do sleep 0.02; i=$((i + 1)); done\n"
             "chmod 444 %s; i=0\n"
             "while ! grep -q write-protected %s && [ $i -lt 1500 ]; do sleep 0.02; i=$((i + 1)); done\n"
             "chmod 644 %s; wait $!",
             table, table, err, table);
    output o = RUN("/bin/sh", "-c", script, ZOO, "--data", data, "--rules", "sgd", "--trials", "8", "--epochs", "1",
                   "--seeds", "1", "--out", picture);
    says(&o, 1, "\nsgd ", "full.csv: cannot be written: the file there is write-protected\n");
    assert_null(strstr(strstr(o.err, "write-protected") + 1, "write-protected"));
    assert_int_equal(lines_of(table, "sgd,"), 8);
    unlink(table);
    assert_int_equal(unlink(picture), 0);
}

/* A walk that ends higher than it began, at f(0.1, 3) = 0.9^2 + 100 (3 - 0.01)^2 = 894.82, has diverged, and so has
 * one that ends at no number; no other has. */
static void test_rosenbrock_marks_diverged_runs(void **state) {
    (void)state;
    static const char *const lr[] = {"1", "0.05"}, *const steps[] = {"20", "3"};
    for (int i = 0; i < 2; i++) {
        const char *picture = at("walks.png"), *table = at("walks.csv");
        int rules = 0, finite = 0, lower = 0;
        output o = RUN(TEST_BUILD "/examples/rosenbrock", "--lr", lr[i], "--steps", steps[i], "--out", picture);
        says(&o, 0, "rule w1 w2 f\n", NULL);
        for (const char *line = strchr(o.out, '\n') + 1; strncmp(line, "picture", 7) != 0; rules++) {
            char name[64], mark[16] = "";
            double w1, w2, f;
            const char *const next = strchr(line, '\n') + 1;
            char one[256];
            snprintf(one, sizeof one, "%.*s", (int)(next - line), line);
            assert_true(sscanf(one, "%63s %lf %lf %lf %15s", name, &w1, &w2, &f, mark) >= 4);
            assert_int_equal(strcmp(mark, "(diverged)") == 0, !(f <= 894.82));
            finite += f > 894.82 && isfinite(f);
            lower += f <= 894.82;
            line = next;
        }
        assert_true(rules > 10 && lower > 0 && (i == 0 || finite > 0));
        unlink(picture);
        unlink(table);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lecture_mlp_writes_its_results),  cmocka_unit_test(test_optimizer_zoo_writes_its_results),
        cmocka_unit_test(test_shampoo_muon_writes_its_results), cmocka_unit_test(test_interrupted_run_keeps_the_files),
        cmocka_unit_test(test_search_outlives_its_table),       cmocka_unit_test(test_rosenbrock_marks_diverged_runs),
    };
    return cmocka_run_group_tests_name("rules_programs", tests, setup, teardown);
}
