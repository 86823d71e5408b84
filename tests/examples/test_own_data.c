/* examples/own_data.c on the command line: training, early stopping, saving, and prediction with the saved file. */
#include "run.h"

#include <math.h>
#include <swale/swale.h>

#define OWN TEST_BUILD "/examples/own_data"

static void fails(const output *o, int code, const char *err) {
    assert_int_equal(o->code, code);
    assert_string_equal(o->out, "");
    if (!strstr(o->err, err))
        fail_msg("%s", o->err);
}

static void test_own_data_trains_and_predicts(void **state) {
    (void)state;
    char file[600]; /* in_folder's are used again */
    snprintf(file, sizeof file, "%s", in_folder("iris.safetensors"));
    output o = RUN(OWN, "--out", file, "--predict", "5.1,3.5,1.4,0.2");
    assert_int_equal(o.code, 0);
    assert_string_equal(o.err, "");
    /* 30 flowers; a linear classifier has 29 of them right. */
    assert_true(result(&o, "test_accuracy") >= 0.9 && result(&o, "validation_accuracy") >= 0.9);
    assert_true(result(&o, "epochs") >= 21 && result(&o, "epochs") < 200); /* stopped early */
    assert_true(result(&o, "class") == 0);
    output again = RUN(OWN, "--out", file, "--predict", "5.1,3.5,1.4,0.2");
    assert_string_equal(again.out, o.out);
    static const char *const rows[] = {"5.0,3.4,1.5,0.2", "5.9,3.0,4.2,1.3", "6.5,3.0,5.8,2.2"};
    for (int k = 0; k < 3; k++) {
        o = RUN(OWN, "--load", file, "--predict", rows[k]);
        assert_int_equal(o.code, 0);
        assert_true(result(&o, "class") == k);
    }
    o = RUN(OWN, "--load", file, "--predict", "1,2,3");
    fails(&o, 1, "own_data: --predict 1,2,3: 4 numbers between commas are needed\n");
    o = RUN(OWN, "--load", file, "--predict", "1,2,3,4,5");
    fails(&o, 1, "4 numbers between commas");
    o = RUN(OWN, "--load", file, "--predict", "nan,2,3,4");
    fails(&o, 1, "4 numbers between commas");
    /* A deviation of another type would be read as what it is not. */
    FILE *f = fopen(file, "r+b");
    assert_non_null(f);
    char head[2048];
    head[fread(head, 1, sizeof head - 1, f)] = 0;
    char *at = NULL;
    for (size_t i = 8; !at && i + 16 < sizeof head; i++)
        if (memcmp(head + i, "\"std\":{\"dtype\":\"F64\"", 20) == 0)
            at = head + i;
    assert_non_null(at);
    assert_int_equal(fseek(f, at - head + 16, SEEK_SET), 0);
    fputs("I64", f);
    fclose(f);
    o = RUN(OWN, "--load", file, "--predict", "1,2,3,4");
    fails(&o, 1, "iris.safetensors: was not written by own_data --out; --load needs such a file\n");
    unlink(file);
}

static void test_own_data_explains_mistakes(void **state) {
    (void)state;
    output o = RUN(OWN, "--load", "x");
    fails(&o, 2, "--load needs --predict");
    o = RUN(OWN, "--csv", "x.csv", "--out", "x.csv");
    fails(&o, 2, "--out x.csv is the file of --csv: another name is needed\n");
    o = RUN(OWN, "--csv", "examples/iris.csv", "--out", "examples/../examples/iris.csv");
    fails(&o, 2, "is the file of --csv");
    o = RUN(OWN, "--load", "x", "--predict", "1", "--out", "y");
    fails(&o, 2, "--load trains nothing");
    o = RUN(OWN, "--out", "/nowhere/x");
    fails(&o, 1, "--out /nowhere/x: cannot be written: No such file or directory");
    o = RUN(OWN, "--csv", in_folder("none.csv"));
    fails(&o, 1, "none.csv");
    o = RUN(OWN, "--load", in_folder("none"), "--predict", "1");
    fails(&o, 1, "none");
    o = RUN("/bin/sh", "-c", "p=$PWD/$0; cd / && exec \"$p\" --out /tmp/no-such-file", OWN);
    fails(&o, 1,
          "own_data: examples/iris.csv does not exist: run own_data in swale's source folder, or use --csv FILE\n");
    char bad[600], file[600];
    snprintf(bad, sizeof bad, "%s", in_folder("bad.csv"));
    snprintf(file, sizeof file, "%s", in_folder("out.safetensors"));
    FILE *f = fopen(bad, "w");
    assert_non_null(f);
    fputs("1,2,0\n3,x,1\n", f);
    fclose(f);
    o = RUN(OWN, "--csv", bad, "--out", file);
    fails(&o, 1, "line 2, column 2");
    f = fopen(bad, "w"); /* numbers of which f32 makes Inf */
    assert_non_null(f);
    for (int i = 0; i < 20; i++)
        fprintf(f, "%s,%d,%d\n", i % 3 ? "1e300" : "-1e300", i, i % 2);
    fclose(f);
    o = RUN(OWN, "--csv", bad, "--out", file, "--epochs", "3");
    assert_int_equal(o.code, 1);
    assert_string_equal(o.out, "");
    assert_int_not_equal(access(file, F_OK), 0);
    unlink(bad);
}

/* Messages about a table name options of the program, not members of sw_csv_options. */
static void test_own_data_explains_tables(void **state) {
    (void)state;
    static const struct {
        const char *table, *message;
    } wrong[] = {
        {"1;2;0\n3;4;1\n", " (is the delimiter ';'? --delimiter)\n"},
        {"1,2,0\n3,inf,1\n", "'inf' is not finite (remove the row)\n"},
        {"1,2,0\n3,4,1.5\n", " (the last column must be a class)\n"},
        {"1,2,0\n3,4,0\n5,6,0\n7,8,0\n",
         ": every row has class 0; two classes or more are needed in the last column\n"},
        {"1,2,0\n3,4,1\n", ": 2 rows are too few: 0.6, 0.2 and 0.2 of them are for training, validation and test\n"},
    };
    const char *table = lasting_path("wrong.csv"), *file = lasting_path("wrong.safetensors");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        FILE *f = fopen(table, "w");
        assert_non_null(f);
        fputs(wrong[i].table, f);
        fclose(f);
        output o = RUN(OWN, "--csv", table, "--out", file);
        fails(&o, 1, wrong[i].message);
        assert_non_null(strstr(o.err, "wrong.csv: "));
        assert_int_not_equal(access(file, F_OK), 0);
    }
    output o = RUN(OWN, "--csv", table, "--delimiter", "ab");
    fails(&o, 2, "own_data: --delimiter ab: one character, or tab, is needed\n");
    unlink(table);
}

/* A table between whose numbers are tabs. */
static void test_own_data_reads_tabs(void **state) {
    (void)state;
    const char *table = lasting_path("tabs.tsv"), *file = lasting_path("tabs.safetensors");
    FILE *f = fopen(table, "w");
    assert_non_null(f);
    for (int i = 0; i < 60; i++)
        fprintf(f, "%d\t%d\t%d\n", i % 2 ? 10 + i % 7 : -10 - i % 5, i % 3, i % 2);
    fclose(f);
    output o = RUN(OWN, "--csv", table, "--delimiter", "tab", "--out", file, "--epochs", "20", "--predict", "-11,1");
    assert_int_equal(o.code, 0);
    assert_non_null(strstr(o.out, "class 0\n"));
    unlink(table);
    unlink(file);
}

/* A file of another program. */
static void test_own_data_explains_other_files(void **state) {
    (void)state;
    const char *file = lasting_path("other.safetensors");
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_non_null(sw_model_build(model, sw_nn_linear(model, 2, 2)));
    assert_int_equal(sw_model_save(model, file), SW_OK);
    sw_model_free(model);
    output o = RUN(OWN, "--load", file, "--predict", "1,2");
    fails(&o, 1, "other.safetensors: was not written by own_data --out; --load needs such a file\n");
    unlink(file);
}

/* The answer is the label of the table, whatever its number. */
static void test_own_data_answers_with_the_label(void **state) {
    (void)state;
    char table[600], file[600];
    snprintf(table, sizeof table, "%s", in_folder("names.csv"));
    snprintf(file, sizeof file, "%s", in_folder("names.safetensors"));
    FILE *f = fopen(table, "w");
    assert_non_null(f);
    for (int i = 0; i < 60; i++)
        fprintf(f, "%d,%d,%s\n", i % 2 ? 10 + i % 7 : -10 - i % 5, i % 3, i % 2 ? "right" : "left");
    fclose(f);
    output o = RUN(OWN, "--csv", table, "--out", file, "--epochs", "20", "--predict", "-11,1");
    assert_int_equal(o.code, 0);
    assert_non_null(strstr(o.out, "class left\n"));
    o = RUN(OWN, "--load", file, "--predict", "12,0");
    assert_string_equal(o.out, "class right\n");
    unlink(table);
    unlink(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_data_trains_and_predicts),  cmocka_unit_test(test_own_data_explains_mistakes),
        cmocka_unit_test(test_own_data_explains_tables),      cmocka_unit_test(test_own_data_reads_tabs),
        cmocka_unit_test(test_own_data_explains_other_files), cmocka_unit_test(test_own_data_answers_with_the_label)};
    return cmocka_run_group_tests_name("own_data", tests, run_setup, run_teardown);
}
