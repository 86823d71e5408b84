/* Activations at arguments where simple formulas lose digits or give NaN: far below 0, and at NaN. */
#include "support.h"

#include <float.h>

enum { N = 12 };
static const double places[N] = {-9.99, -9, -7.5, -6.5, -5, -3.5, -1, -0.25, 0.5, 4, 12, 45};

/* Value and derivative of v σ(2u), in long double. */
static void gelu_tanh_exact(long double v, long double *value, long double *slope, long double *u) {
    const long double root = 0.797884560802865355879892119868763737L; /* √(2/π) */
    *u = root * (v + 0.044715L * v * v * v);
    long double s = 1 / (1 + expl(-2 * *u)), rest = 1 / (1 + expl(2 * *u));
    *value = v * s;
    *slope = s + v * s * rest * 2 * root * (1 + 3 * 0.044715L * v * v);
}

/* The relative error of σ(2u) below 0 is that of 2u, about 4 roundings, times |2u|, and 16 roundings more
 * for the exponential and the products; the derivative is a sum of two terms, v 2u' (1 - s) times as large
 * as each other. Below -10, results in f32 are 0. */
static void test_gelu_tanh_keeps_its_digits(void **state) {
    (void)state;
    for (sw_dtype type = SW_F32; type <= SW_F64; type++) {
        const double unit = type == SW_F32 ? FLT_EPSILON / 2 : DBL_EPSILON / 2;
        float in_f32[N], ones_f32[N];
        double ones_f64[N];
        for (int i = 0; i < N; i++) {
            in_f32[i] = (float)places[i];
            ones_f32[i] = 1;
            ones_f64[i] = 1;
        }
        sw_tape *tape = sw_tape_new();
        const void *in = type == SW_F32 ? (const void *)in_f32 : (const void *)places;
        const void *ones = type == SW_F32 ? (const void *)ones_f32 : (const void *)ones_f64;
        sw_tensor x = sw_variable(tape, sw_array_view(in, type, SW_SHAPE(N)));
        sw_tensor y = sw_gelu_tanh(x);
        assert_int_equal(sw_backward_from(y, sw_array_view(ones, type, SW_SHAPE(N))), SW_OK);
        sw_array value = sw_value(y), gradient = sw_grad(x);
        for (int i = 0; i < N; i++) {
            long double exact, slope, u;
            gelu_tanh_exact((long double)places[i], &exact, &slope, &u);
            double got = type == SW_F32 ? (double)((float *)value.data)[i] : ((double *)value.data)[i];
            double d = type == SW_F32 ? (double)((float *)gradient.data)[i] : ((double *)gradient.data)[i];
            double bound = (4 * fabs(2 * (double)u) + 16) * unit;
            long double terms = fabsl(exact / (long double)places[i]) + fabsl(slope - exact / places[i]);
            if (fabsl((long double)got - exact) > bound * fabsl(exact))
                fail_msg("gelu_tanh(%g): %.17g, %.17Lg is right", places[i], got, exact);
            if (fabsl((long double)d - slope) > bound * terms)
                fail_msg("derivative at %g: %.17g, %.17Lg is right", places[i], d, slope);
        }
        sw_tape_free(tape);
    }
}

/* The derivative of an exponential at NaN is NaN, on whatever side of a comparison a NaN falls. */
static void test_derivative_of_elu_at_nan(void **state) {
    (void)state;
    const double in[3] = {(double)NAN, -1, 1}, ones[3] = {1, 1, 1};
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_variable(tape, sw_array_view(in, SW_F64, SW_SHAPE(3)));
    sw_tensor y = sw_elu(x, 0.5);
    assert_true(isnan(((double *)sw_value(y).data)[0]));
    assert_int_equal(sw_backward_from(y, sw_array_view(ones, SW_F64, SW_SHAPE(3))), SW_OK);
    const double *dx = sw_grad(x).data;
    assert_true(isnan(dx[0]));
    assert_true(fabs(dx[1] - 0.5 * exp(-1)) < 1e-15 && dx[2] == 1);
    sw_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_gelu_tanh_keeps_its_digits, test_clear),
        cmocka_unit_test_teardown(test_derivative_of_elu_at_nan, test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
