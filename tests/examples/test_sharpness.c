/* examples/sharpness.c: its results on Fashion-MNIST. */
#include "run.h"

#define SHARPNESS TEST_BUILD "/examples/sharpness"

static const char *csv_line(const char *text, const char *begin) {
    const char *at = strstr(text, begin);
    if (!at)
        fail_msg("no line with %s", begin);
    return at;
}

/* A fourth of the pictures and half of the units. SAM looks 0.2 far. By both measures the loss around its end is
 * flatter, by far more than runs differ (at full size: by a factor of 6 each), and it is more accurate on true
 * labels. Both measures are of one landscape: the quadratic part alone lets f rise by lambda rho^2/2, if what is
 * odd in the rise is taken out, which the better of two ends only adds to. */
static void test_sam_is_flatter_and_more_accurate(void **state) {
    (void)state;
    char first[sizeof((output *)0)->out];
    static char numbers[200000];
    for (int run = 0; run < 2; run++) {
        setenv("SW_THREADS", run ? "3" : "1", 1);
        output o = RUN(SHARPNESS, "--samples", "500", "--test", "1000", "--hidden", "32", "--seeds", "1", "--out",
                       in_folder("a.png"));
        unsetenv("SW_THREADS");
        if (o.code != 0 || *o.err)
            fail_msg("exit %d: %s", o.code, o.err);
        assert_true(result(&o, "sam_accuracy") > result(&o, "sgd_accuracy") + 0.03);
        assert_true(result(&o, "sam_sharpness") < 0.5 * result(&o, "sgd_sharpness"));
        assert_true(result(&o, "sam_eigenvalue") < 0.5 * result(&o, "sgd_eigenvalue"));
        assert_true(result(&o, "sam_eigenvalue") > 0);
        assert_true(result(&o, "sgd_sharpness") > 0.9 * 0.02 * result(&o, "sgd_eigenvalue"));
        assert_true(result(&o, "sam_sharpness") > 0.9 * 0.02 * result(&o, "sam_eigenvalue"));
        assert_true(result(&o, "sgd_accuracy_deviation") == 0);
        if (run == 0)
            strcpy(first, o.out);
        assert_string_equal(o.out, first); /* one thread or three */
        read_all(in_folder("a.csv"), numbers, sizeof numbers);
        csv_line(numbers, "name,x,y,value\nprogram,,,sharpness\n");
        csv_line(numbers, "\"SGD, test\",0,");
        csv_line(numbers, "\"SAM, training\",60,");
        csv_line(numbers, "\"SAM, rise of run 1\",0,,0\n");
        unlink(in_folder("a.png"));
        unlink(in_folder("a.csv"));
    }
}

/* Another norm of SAM's ball is another method: SGD is the same. */
static void test_norms_differ(void **state) {
    (void)state;
    static const char *const norm[] = {"1", "2", "inf"};
    double sgd[3], sam[3];
    for (int i = 0; i < 3; i++) {
        output o = RUN(SHARPNESS, "--samples", "100", "--test", "100", "--hidden", "4", "--seeds", "1", "--epochs", "5",
                       "--lr", "0.1", "--p", norm[i], "--out", in_folder("a.png"));
        assert_int_equal(o.code, 0);
        sgd[i] = result(&o, "sgd_loss"), sam[i] = result(&o, "sam_loss");
    }
    assert_true(sgd[0] == sgd[1] && sgd[1] == sgd[2]);
    assert_true(sam[0] != sam[1] && sam[1] != sam[2] && sam[0] != sam[2]);
    unlink(in_folder("a.png"));
    unlink(in_folder("a.csv"));
}

/* The same for a convolutional network: seeds 1 to 3 gave 0.51 to 0.56 times the rise, and 0.47 to 0.62 times the
 * eigenvalue. */
static void test_sam_is_flatter_with_convolutions(void **state) {
    (void)state;
    output o = RUN(SHARPNESS, "--channels", "2", "--samples", "100", "--test", "100", "--seeds", "1", "--epochs", "15",
                   "--lr", "0.1", "--out", in_folder("a.png"));
    if (o.code != 0 || *o.err)
        fail_msg("exit %d: %s", o.code, o.err);
    assert_true(result(&o, "sgd_loss") < 2); /* log 10 = 2.3 without training */
    assert_true(result(&o, "sam_sharpness") < 0.8 * result(&o, "sgd_sharpness"));
    assert_true(result(&o, "sam_eigenvalue") < 0.8 * result(&o, "sgd_eigenvalue"));
    unlink(in_folder("a.png"));
    unlink(in_folder("a.csv"));
}

static void test_sharpness_prints_its_table(void **state) {
    (void)state;
    output o = RUN(SHARPNESS, "--help");
    assert_int_equal(o.code, 0);
    assert_int_equal(strncmp(o.out, "example: sharpness --", 21), 0);
    o = RUN(SHARPNESS, "--rhoo", "1");
    assert_int_equal(o.code, 2);
    assert_string_equal(o.err, "sharpness: there is no option --rhoo, did you mean --rho?\n");
    o = RUN(SHARPNESS, "--data", "/nowhere", "--out", in_folder("a.png"));
    assert_int_equal(o.code, 1);
    assert_string_equal(o.out, "");
    assert_int_equal(strncmp(o.err, "sharpness: ", 11), 0);
    assert_non_null(strstr(o.err, "/nowhere"));
    assert_true(access(in_folder("a.png"), F_OK) != 0 && access(in_folder("a.csv"), F_OK) != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sharpness_prints_its_table),
                                       cmocka_unit_test(test_norms_differ),
                                       cmocka_unit_test(test_sam_is_flatter_with_convolutions),
                                       cmocka_unit_test(test_sam_is_flatter_and_more_accurate)};
    return cmocka_run_group_tests_name("sharpness", tests, run_setup, run_teardown);
}
