/* The average of ASGD: the point of evaluation, against the mean of the points of the run. */
#include "helpers.h"

enum { STEPS = 60 };

static void gradient_at(int t, double g[SMALL_DIM]) {
    uint64_t seed = (uint64_t)t + 1;
    for (int i = 0; i < SMALL_DIM; i++)
        g[i] = test_uniform(&seed, -1, 1);
}

/* With t0, the mean begins anew with the point of step t0 + 2, as in PyTorch: μ is 1 up to there. Until then it is the
 * point of the last step. A mean of n points in recursive form has n roundings of a number below 1, and the sum here
 * too. */
static void test_point_is_the_mean_since_t0(void **state) {
    (void)state;
    const int starts[] = {0, 7, 40, 1000};
    for (int k = 0; k < 4; k++) {
        char spec[100];
        snprintf(spec, sizeof spec, "asgd lr=0.05 lambda=0.1 t0=%d", starts[k]);
        sw_params *p = small_params(SW_F64);
        sw_optim *o = NEW_OPTIM(p, .rule = spec);
        double g[SMALL_DIM], sum[SMALL_DIM] = {0};
        assert_ptr_equal(sw_optim_point(o), sw_params_x(p));
        for (int t = 1; t <= STEPS; t++) {
            gradient_at(t, g);
            assert_ok(step_with(o, p, g));
            const double *x = sw_params_x(p), *point = sw_optim_point(o);
            assert_non_null(point);
            const int count = t - (starts[k] + 2) + 1;
            for (int i = 0; i < SMALL_DIM; i++) {
                sum[i] = count <= 1 ? x[i] : sum[i] + x[i];
                const double mean = count <= 1 ? x[i] : sum[i] / count;
                if (!(fabs(point[i] - mean) <= (count <= 1 ? 0 : 2 * STEPS * 0x1p-53)))
                    fail_msg("%s, step %d: the average is %.17g, the mean %.17g", spec, t, point[i], mean);
            }
        }
        const double last = ((const double *)sw_optim_point(o))[3];
        assert_ok(sw_optim_adopt_point(o));
        assert_true(vec_get(SW_F64, sw_params_x(p), 3) == last);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* Two averages of the points would exclude each other. */
static void test_other_averages_are_refused(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    assert_null(
        sw_optim_new_with_options(p, &SW_OPTIONS(sw_optim_options, .rule = "asgd", .average = "ema decay=0.9")));
    assert_int_equal(sw_error_status(), SW_ERR_ARGUMENT);
    assert_non_null(
        strstr(sw_error(), "average ema: rule asgd determines the point of evaluation itself; omit the average"));
    sw_clear_error();
    sw_params_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_point_is_the_mean_since_t0, test_clear),
        cmocka_unit_test_teardown(test_other_averages_are_refused, test_clear),
    };
    return cmocka_run_group_tests_name("asgd", tests, NULL, NULL);
}
