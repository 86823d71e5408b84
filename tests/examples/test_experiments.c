/* The programs that repeat experiments of lectures: each effect, in a small setting. */
#include "run.h"

#include "support.h"

#define AT(name) TEST_BUILD "/examples/" name

/* The picture, and the numbers beside it, in the folder. */
static const char *picture(void) {
    return in_folder("a.png");
}

static void forget_picture(void) {
    assert_int_equal(unlink(in_folder("a.png")), 0);
    assert_int_equal(unlink(in_folder("a.csv")), 0);
}

static void expect_success(const output *o) {
    if (o->code != 0)
        fail_msg("exit %d: %s", o->code, o->err);
    forget_picture();
}

/* ---- exponential_lr ---- */

/* The two runs are equal in exact arithmetic. Each step adds rounding errors of the size of the difference between the
 * first run and the third one, whose first weights differ in the last bit; 300 steps add at most 300 times as much. The
 * norms of the weights have the ratio a^steps, up to the same errors and 300 roundings of a power. */
static void growing_rate_replaces_weight_decay(void **state) {
    (void)state;
    static const char *const momentum[] = {"0.9", "0"};
    for (int i = 0; i < 2; i++) {
        output o = RUN(AT("exponential_lr"), "--momentum", momentum[i], "--out", picture());
        const double difference = result(&o, "largest_loss_difference");
        const double rounding = fmax(result(&o, "largest_loss_difference_last_bits"), 0x1p-52);
        expect_success(&o);
        assert_true(difference <= 300 * rounding);
        assert_true(rounding < 1e-11 && result(&o, "norm_ratio_error") < 1e-11);
        assert_true(result(&o, "last_loss") < 0.6 * result(&o, "first_loss")); /* it learns */
        assert_true(result(&o, "last_rate") > (i == 0 ? 20 * 0.1 : 1.3 * 0.1));
    }
    output o = RUN(AT("exponential_lr"), "--momentum", "0.9", "--decay", "0.1", "--out", picture());
    assert_int_equal(o.code, 2);
    assert_non_null(strstr(o.err, "a weight decay below 0.0263 is needed")); /* (1 - √0.9)²/0.1 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growing_rate_replaces_weight_decay),
    };
    return cmocka_run_group_tests_name("experiments", tests, run_setup, run_teardown);
}
