/* Code that the tests of core share: a tape as the state of a test, and a set of parameters with one vector of three
 * elements. Include it after support.h. */
#ifndef TEST_CORE_HELPERS_H
#define TEST_CORE_HELPERS_H

#include <swale/extend.h>

/* A tape as the state of each test. */
static inline int tape_setup(void **state) {
    sw_clear_error();
    *state = sw_tape_new();
    return *state ? 0 : -1;
}

static inline int tape_teardown(void **state) {
    sw_tape_free(*state);
    return test_no_error_left(state);
}

/* A set of parameters with one f64 vector, of three elements. */
static inline sw_params *vector_params(const char *name, double a, double b, double c) {
    sw_params *p = sw_params_new(SW_F64, 1);
    assert_non_null(sw_params_add(p, name, SW_SHAPE(3), NULL));
    assert_int_equal(sw_params_build(p), SW_OK);
    double *x = sw_params_x(p);
    x[0] = a, x[1] = b, x[2] = c;
    return p;
}

static inline sw_tensor use_vector(sw_tape *tape, sw_params *p) {
    return sw_param_use(tape, sw_params_at(p, 0));
}

static inline const double *gradient_of(sw_params *p) {
    return sw_gradient_data(sw_params_gradient(p));
}

static inline void assert_near(const double *v, const double *expected, int n) {
    for (int i = 0; i < n; i++)
        if (!(fabs(v[i] - expected[i]) <= 1e-14 * fmax(1, fabs(expected[i]))))
            fail_msg("element %d: %.17g, %.17g expected", i, v[i], expected[i]);
}

static inline sw_tensor vector_variable(sw_tape *tape, double *values, int64_t n) {
    return sw_variable(tape, sw_array_view(values, SW_F64, 1, &n));
}

#endif
