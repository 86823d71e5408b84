/* 784-100-10, ten epochs of Adam: the accuracy on Fashion-MNIST that README.md states. */
#include "run.h"

static void test_mean_accuracy_of_three_seeds(void **state) {
    (void)state;
    static const char *const seeds[3] = {"1", "2", "3"};
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        output o = FASHION("--hidden", "100", "--epochs", "10", "--rule", "adam lr=1e-3", "--batch", "64", "--seed",
                           seeds[i], "--quiet");
        if (o.code != 0)
            fail_msg("exit %d: %s", o.code, o.err);
        double accuracy = result(&o, "test_accuracy");
        printf("seed %s: test accuracy %.4f\n", seeds[i], accuracy);
        sum += accuracy;
    }
    printf("mean %.4f\n", sum / 3);
    assert_true(sum / 3 >= 0.875);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mean_accuracy_of_three_seeds)};
    return cmocka_run_group_tests_name("accuracy", tests, run_setup, run_teardown);
}
