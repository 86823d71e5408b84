/* Rprop beyond the equations of test_references.c: options that exclude each other, and gradients whose product is
 * outside the range of the type. */
#include "helpers.h"

static void test_range_of_steps_is_checked(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    assert_null(sw_optim_new(p, "rprop min_step=1 max_step=0.5"));
    expect_error(SW_ERR_ARGUMENT, "rule rprop: min_step = 1 is above max_step = 0.5");
    sw_clear_error();
    /* In f32 it would be 0, which stands for the first step size: a step size that shrinks would become lr again. */
    assert_null(sw_optim_new(p, "rprop min_step=1e-60"));
    expect_error(SW_ERR_ARGUMENT, "rprop: min_step=1e-60 is outside [1e-30, 1e+06]");
    sw_params_free(p);
}

/* A product of two gradients of 1e-30 is 0 in f32, and one of 1e30 is infinite; the signs are the same. Steps of 1, 2,
 * 4 and, after a change of sign, 0. */
static void test_signs_do_not_depend_on_the_size_of_gradients(void **state) {
    (void)state;
    const double sizes[] = {1e-30, 1, 1e30}, moved[] = {-1, -3, -7, -7};
    for (int k = 0; k < 3; k++) {
        sw_params *p = small_params(SW_F32);
        sw_optim *o = sw_optim_new(p, "rprop lr=1 eta_plus=2");
        double g[SMALL_DIM] = {0}, x[SMALL_DIM] = {0};
        params_set(p, x);
        for (int t = 0; t < 4; t++) {
            g[5] = t < 3 ? sizes[k] : -sizes[k];
            assert_ok(step_with(o, p, g));
            assert_true(vec_get(SW_F32, sw_params_x(p), 5) == moved[t]);
            assert_true(vec_get(SW_F32, sw_params_x(p), 4) == 0);
        }
        sw_optim_free(o);
        sw_params_free(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_range_of_steps_is_checked, test_clear),
        cmocka_unit_test_teardown(test_signs_do_not_depend_on_the_size_of_gradients, test_clear),
    };
    return cmocka_run_group_tests_name("rprop", tests, NULL, NULL);
}
