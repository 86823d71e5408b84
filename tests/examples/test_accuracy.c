/* 784-100-10, ten epochs of Adam: the accuracy on Fashion-MNIST that README.md states, in f32, f16 and bf16. */
#include "run.h"

#include <math.h>

/* The mean of the seeds 1, 2 and 3. */
static double mean_accuracy(const char *type) {
    static const char *const seeds[3] = {"1", "2", "3"};
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        output o = FASHION("--hidden", "100", "--epochs", "10", "--rule", "adam lr=1e-3", "--batch", "64", "--dtype",
                           type, "--seed", seeds[i], "--threads", "1", "--quiet");
        if (o.code != 0)
            fail_msg("exit %d: %s", o.code, o.err);
        double accuracy = result(&o, "test_accuracy");
        printf("%s, seed %s: test accuracy %.4f\n", type, seeds[i], accuracy);
        sum += accuracy;
    }
    printf("%s, mean %.4f\n", type, sum / 3);
    return sum / 3;
}

static double wide; /* the mean in f32 */

static void test_mean_accuracy_of_three_seeds(void **state) {
    (void)state;
    wide = mean_accuracy("f32");
    assert_true(wide >= 0.875);
}

/* In all types, seeds differ by 0.002 to 0.006 and means of three seeds by about 0.002, so that 0.005 is above the
 * noise. f16 has the dynamic loss scale, which is its default. */
static void test_accuracy_in_16_bits_is_that_in_f32(void **state) {
    (void)state;
    assert_true(wide > 0);
    assert_true(fabs(mean_accuracy("f16") - wide) <= 0.005);
    assert_true(fabs(mean_accuracy("bf16") - wide) <= 0.005);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean_accuracy_of_three_seeds),
        cmocka_unit_test(test_accuracy_in_16_bits_is_that_in_f32),
    };
    return cmocka_run_group_tests_name("accuracy", tests, run_setup, run_teardown);
}
