/* The point of evaluation of Schedule-Free rules that have not moved yet. */
#include "helpers.h"

#include <string.h>

/* Without a gradient, or with a learning rate of 0, Schedule-Free Prodigy waits, and x = y = z. */
static void test_the_point_of_a_rule_that_waits(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        sw_optim *o = NEW_OPTIM(p, .rule = "schedule_free_prodigy");
        const double zeros[SMALL_DIM] = {0};
        assert_ok(step_with(o, p, zeros));
        const void *point = sw_optim_point(o);
        assert_non_null(point);
        assert_memory_equal(point, sw_params_x(p), params_bytes(p));
        assert_ok(sw_optim_adopt_point(o));
        assert_ok(step_with(o, p, some_gradient));
        assert_non_null(sw_optim_point(o));
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* The group of "a" never moves; its 12 elements are the first ones. */
static void test_the_point_of_a_group_that_waits(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        sw_optim *o =
            NEW_OPTIM(p, .rule = "role=weight: schedule_free_prodigy lr=0 d0=0.1; schedule_free_prodigy d0=0.1");
        for (int i = 0; i < 3; i++)
            assert_ok(step_with(o, p, some_gradient));
        const void *point = sw_optim_point(o);
        assert_non_null(point);
        assert_memory_equal(point, sw_params_x(p), 12 * sw_dtype_size(both_types[t]));
        assert_true(vec_get(both_types[t], point, 12) != vec_get(both_types[t], sw_params_x(p), 12));
        sw_optim_free(o);
        sw_params_free(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_the_point_of_a_rule_that_waits, test_clear),
        cmocka_unit_test_teardown(test_the_point_of_a_group_that_waits, test_clear),
    };
    return cmocka_run_group_tests_name("schedule_free", tests, NULL, NULL);
}
