/* The norm of the gradient, and clipping of the gradient to a largest norm. */
#include "helpers.h"

static void test_gradient_is_clipped_to_the_norm(void **state) {
    (void)state;
    double norm = 0;
    for (int i = 0; i < SMALL_DIM; i++)
        norm += some_gradient[i] * some_gradient[i];
    norm = sqrt(norm);
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        params_set(p, (const double[SMALL_DIM]){0});
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1", .clip = 0.75);
        assert_ok(step_with(o, p, some_gradient));
        double moved = 0;
        for (int i = 0; i < SMALL_DIM; i++) {
            double x = vec_get(both_types[t], sw_params_x(p), i);
            moved += x * x;
            /* one rounding of the factor and one of the product, of numbers up to 0.75 */
            assert_true(fabs(x + 0.75 / norm * some_gradient[i]) <= (t == 0 ? 9e-8 : 2e-16));
        }
        assert_true(fabs(sqrt(moved) / 0.75 - 1) <= (t == 0 ? 1.2e-7 : 5e-16));
        assert_true(fabs(sw_optim_gradient_norm(o) / norm - 1) <= (t == 0 ? 2e-6 : 4e-15));
        sw_optim_free(o);
        /* A gradient within the limit goes through bit for bit. */
        params_set(p, (const double[SMALL_DIM]){0});
        o = NEW_OPTIM(p, .rule = "sgd lr=1", .clip = norm * 1.001);
        assert_ok(step_with(o, p, some_gradient));
        for (int i = 0; i < SMALL_DIM; i++)
            assert_true(vec_get(both_types[t], sw_params_x(p), i) == -some_gradient[i]);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static void test_gradient_norm_is_exact(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd");
    assert_true(isnan(sw_optim_gradient_norm(o)));
    assert_true(isnan(sw_optim_gradient_norm(NULL)));
    double c[SMALL_DIM] = {0};
    assert_ok(step_with(o, p, c));
    assert_true(sw_optim_gradient_norm(o) == 0);
    c[2] = 3;
    c[17] = -4;
    assert_ok(step_with(o, p, c));
    assert_true(sw_optim_gradient_norm(o) == 5);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_norm_of_tiny_gradients_is_accurate(void **state) {
    (void)state;
    static const struct {
        sw_dtype type;
        double size;
    } cases[] = {{SW_F32, 1e-24}, {SW_F32, 1e-19},  {SW_F32, 1e-14},  {SW_F32, 1e-36},
                 {SW_F64, 1e-24}, {SW_F64, 1e-150}, {SW_F64, 1e-170}, {SW_F64, 1e-290}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        sw_params *p = small_params(cases[k].type);
        sw_optim *o = sw_optim_new(p, "sgd");
        double c[SMALL_DIM], sum = 0;
        for (int i = 0; i < SMALL_DIM; i++) {
            c[i] = cases[k].size * (1 + 0.1 * i);
            sum += (1 + 0.1 * i) * (1 + 0.1 * i);
        }
        assert_ok(step_with(o, p, c));
        double expected = cases[k].size * sqrt(sum), norm = sw_optim_gradient_norm(o);
        if (!(fabs(norm - expected) <= 1e-6 * expected))
            fail_msg("%g, %g expected", norm, expected);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_gradient_is_clipped_to_the_norm),
        TEST(test_gradient_norm_is_exact),
        TEST(test_norm_of_tiny_gradients_is_accurate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
