/* examples/glm.c on the command line: messages for mistakes, names of columns, and the report of fits that did not
 * converge. */
#include "run.h"

#include "glm_files.h"

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

typedef struct mistake {
    const char *name, *text; /* a file that is written; NULL: none */
    const char *option[6];
    int code;
    const char *message;
} mistake;

/* clang-format off */
static const mistake mistakes[] = {
    {"none.csv", NULL, {NULL}, 1, "none.csv"},
    {"a.csv", "x,y\n1,yes\n2,no\n3,no\n", {NULL}, 1,
     "--loss squared needs numbers as targets, and they are classes; use --loss logistic or multinomial\n"},
    {"a.csv", "x,y\n1,1.5\n2,1\n3,2\n", {"--loss", "logistic"}, 1,
     "--loss logistic needs classes as targets, and they are numbers that are not whole; use --loss squared or "
     "huber\n"},
    {"a.svm", "1.5 1:2\n1 2:3\n", {"--loss", "multinomial"}, 1, "--loss multinomial needs classes as targets"},
    {"a.csv", "x,y\n1,0\n2,1\n3,2\n", {"--loss", "logistic"}, 1,
     "--loss logistic is for two classes, and the targets have 3: use --loss multinomial, or squared for "
     "numbers\n"},
    {"a.csv", "x,y\n1,0\n2,0\n3,0\n", {"--loss", "multinomial"}, 1,
     "all targets are of the class 0; two classes are needed\n"},
    {"a.csv", "x,y\n1,0\n2,-1\n3,2\n", {"--loss", "poisson"}, 1,
     "the target of sample 2 is -1, and --loss poisson needs counts, 0 or more\n"},
    {"a.csv", "x,y\n1,0\ntwo,1\n3,2\n", {NULL}, 1, "a.csv: line 3, column 1: 'two' is not a number\n"},
    {"a.csv", "x,y\n1,0\n2,1\n3,2\n", {"--target", "z"}, 1, "no column is named 'z'"},
    {"a.csv", "x,y\n1,0\n2,1\n3,2\n", {"--path", "3", "--cv", "4"}, 1, "--cv 4: "},
    {"a.csv", "x,y\n1,3\n2,3\n3,3\n", {"--path", "3"}, 1,
     "the gradient at w = 0 is 0, so that w is 0 for every penalty\n"},
    {"a.txt", "1 1:2\n", {NULL}, 2, "the name ends neither in .csv nor in .svm: --format is needed\n"},
    {"a.txt", "1 1:2\n", {"--format", "cvs"}, 2, "there is no --format cvs, did you mean csv?\n"},
    {"a.csv", "1,2\n", {"--loss", "logistics"}, 2, "there is no --loss logistics, did you mean logistic?\n"},
    {"a.csv", "1,2\n", {"--method", "lbfgs"}, 2, "there is no --method lbfgs; see --help\n"},
    {"a.csv", "1,2\n", {"--method", "fista", "--batch", "2"}, 2, "--batch 2: a step of fista takes all samples"},
    {"a.csv", "1,2\n", {"--path", "3", "--l1", "0.5"}, 2, "--path sets the penalties: leave out --l1 and --l2"},
    {"a.csv", "1,2\n", {"--cv", "3"}, 2, "--cv needs --path N\n"},
    {"a.csv", "1,2\n", {"--l1-ratio", "0.5"}, 2, "--l1-ratio needs --path N\n"}};
/* clang-format on */

static void test_mistakes_are_explained(void **state) {
    (void)state;
    char path[512], picture[512];
    snprintf(picture, sizeof picture, "%s", in_folder("glm.png"));
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const mistake *m = &mistakes[i];
        snprintf(path, sizeof path, "%s", in_folder(m->name));
        if (m->text)
            write_text(path, m->text);
        const char *word[16] = {GLM, "--data", path, "--out", picture};
        for (int k = 0; m->option[k]; k++)
            word[5 + k] = m->option[k];
        output o = run_with(0, NULL, word);
        if (o.code != m->code || !strstr(o.err, m->message) || strncmp(o.err, "glm: ", 5) != 0 || *o.out)
            fail_msg("mistake %d: exit %d, %s", (int)i, o.code, o.err);
        assert_true(access(picture, F_OK) != 0 && access(in_folder("glm.csv"), F_OK) != 0);
        unlink(path);
    }
    output o = RUN("/bin/sh", "-c", "p=$PWD/$0; cd / && exec \"$p\" --out /tmp/no-such-file", GLM);
    assert_int_equal(o.code, 1);
    assert_string_equal(o.err, "glm: examples/diabetes.csv does not exist: run glm in swale's source folder, or "
                               "use --data FILE\n");
}

/* Classes that are names, names with a comma, a target that is not last, a file without a header. */
static void test_names_of_columns_and_classes_are_kept(void **state) {
    (void)state;
    char path[512];
    output o;
    snprintf(path, sizeof path, "%s", in_folder("names.csv"));
    write_text(path, "kind,\"a, b\",c\nno,0,1\nyes,4,3\nno,1,2\nyes,3,1\nyes,2,2\nno,2,3\n");
    fits f = FITS(&o, "--data", path, "--target", "kind", "--loss", "logistic", "--l2", "0.1");
    assert_non_null(strstr(o.out, "classes no yes\nintercept "));
    assert_true(result(&o, "coef a, b") > 0.1); /* yes is where it is large */
    assert_non_null(strstr(f.header, ",intercept,\"a, b\",c\n"));
    free(f.value);
    f = FITS(&o, "--data", path, "--target", "kind", "--loss", "multinomial", "--l2", "0.1");
    assert_non_null(strstr(f.header, ",intercept (no),intercept (yes),\"a, b (no)\",c (no),\"a, b (yes)\",c (yes)\n"));
    free(f.value);
    write_text(path, "0,1,-1.5\n4,3,2\n1,2,0\n");
    f = FITS(&o, "--data", path, "--l2", "0.1");
    assert_non_null(strstr(f.header, ",intercept,x0,x1\n"));
    free(f.value);
    unlink(path);
}

/* A fit that does not converge says so and has its results all the same; Ctrl-C ends it likewise. */
static void test_unfinished_fits_are_reported(void **state) {
    (void)state;
    char picture[512];
    output o;
    fits f = FITS(&o, "--data", "examples/diabetes.csv", "--l1", "1", "--epochs", "3");
    assert_true(fits_row(&f, 0)[CONVERGED] == 0 && fits_row(&f, 0)[EPOCHS] == 3 && result(&o, "converged") == 0);
    assert_non_null(strstr(o.out, "fit not converged after 3 epochs: the gradient's norm is "));
    assert_non_null(strstr(o.err, "1 of 1 fits did not converge: raise --epochs"));
    free(f.value);
    snprintf(picture, sizeof picture, "%s", in_folder("glm.png"));
    /* Without --foreground it sends two signals, and the second ends the program at once. */
    o = RUN("/usr/bin/timeout", "--foreground", "--preserve-status", "-s", "INT", "1", GLM, "--data",
            "examples/diabetes.csv", "--l2", "0.01", "--tol", "1e-300", "--epochs", "1000000", "--method", "saga",
            "--out", picture);
    assert_int_equal(o.code, 128 + SIGINT);
    assert_non_null(strstr(o.out, "fit stopped after "));
    assert_string_equal(o.err, "glm: interrupted: 0 of 1 fits were completed\n");
    assert_int_equal(unlink(picture), 0);
    assert_int_equal(unlink(in_folder("glm.csv")), 0);
    o = RUN("/usr/bin/timeout", "--foreground", "--preserve-status", "-s", "INT", "1", GLM, "--data",
            "examples/diabetes.csv", "--path", "1000", "--tol", "1e-300", "--epochs", "300", "--method", "saga",
            "--out", picture);
    assert_int_equal(o.code, 128 + SIGINT);
    assert_non_null(strstr(o.out, "penalty nonzero epochs"));
    assert_non_null(strstr(o.err, "interrupted: "));
    unlink(picture), unlink(in_folder("glm.csv"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes_are_explained),
        cmocka_unit_test(test_names_of_columns_and_classes_are_kept),
        cmocka_unit_test(test_unfinished_fits_are_reported),
    };
    return cmocka_run_group_tests_name("glm_cli", tests, run_setup, run_teardown);
}
