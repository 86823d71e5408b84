/* Initial values: moments, bounds, orthogonality, equal for equal names, rounding to f32, mistakes. */
#include "helpers.h"

#include <float.h>

enum { OUT = 100, IN = 400, N = OUT * IN };

static sw_params *filled(sw_dtype type, const char *name, sw_init init, int64_t rows, int64_t columns) {
    sw_params *p = sw_params_new(type, 11);
    const sw_param_options options = {.size = sizeof options, .fan_in = columns, .fan_out = rows, .init = init};
    assert_non_null(sw_params_add(p, name, SW_SHAPE(rows, columns), &options));
    if (sw_params_build(p) != SW_OK)
        fail_msg("%s: %s", init.name, sw_error());
    return p;
}

/* The standard errors of mean and variance are s/√n and s² √((κ - 1)/n) with the kurtosis κ, at most 3 here
 * (normal; 1.8 for uniform numbers). Five of them. */
static void check_moments(sw_init init, double mean, double deviation, double low, double high) {
    sw_params *p = filled(SW_F64, "w", init, OUT, IN);
    const double *x = sw_params_x(p);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        if (!(x[i] >= low && x[i] <= high))
            fail_msg("%s: %.17g is outside %.17g to %.17g", init.name, x[i], low, high);
        sum += x[i];
        squares += (x[i] - mean) * (x[i] - mean);
    }
    double variance = deviation * deviation;
    if (!(fabs(sum / N - mean) <= 5 * deviation / sqrt(N)))
        fail_msg("%s: mean %g, %g expected", init.name, sum / N, mean);
    if (!(fabs(squares / N - variance) <= 5 * variance * sqrt(2.0 / N)))
        fail_msg("%s: variance %g, %g expected", init.name, squares / N, variance);
    sw_params_free(p);
}

static double density(double z) {
    return isinf(z) ? 0 : exp(-z * z / 2) / sqrt(2 * acos(-1));
}

/* Mean and variance of the truncated distribution: with α, β the bounds in deviations, Z = Φ(β) - Φ(α),
 * mean μ + σ (φ(α) - φ(β))/Z, variance σ² (1 + (αφ(α) - βφ(β))/Z - ((φ(α) - φ(β))/Z)²). */
static void check_truncated(double mean, double deviation, double low, double high) {
    double a = (low - mean) / deviation, b = (high - mean) / deviation;
    double mass = a > 0 ? (erfc(a / sqrt(2)) - erfc(b / sqrt(2))) / 2 : (erfc(-b / sqrt(2)) - erfc(-a / sqrt(2))) / 2;
    double shift = (density(a) - density(b)) / mass;
    double at_a = isinf(a) ? 0 : a * density(a), at_b = isinf(b) ? 0 : b * density(b);
    double variance = 1 + (at_a - at_b) / mass - shift * shift;
    sw_init init = sw_init_truncated_normal(mean, deviation, low, high);
    double m = mean + deviation * shift, s = deviation * sqrt(variance);
    /* A far tail is exponential, with kurtosis 9: √(8/n) is twice √(2/n). */
    if (variance > 0.2 || b - a < 2) {
        check_moments(init, m, s, low, high);
        return;
    }
    sw_params *p = filled(SW_F64, "w", init, OUT, IN);
    const double *x = sw_params_x(p);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        assert_true(x[i] >= low && x[i] <= high);
        sum += x[i];
        squares += (x[i] - m) * (x[i] - m);
    }
    assert_true(fabs(sum / N - m) <= 5 * s / sqrt(N));
    assert_true(fabs(squares / N - s * s) <= 5 * s * s * sqrt(8.0 / N));
    sw_params_free(p);
}

static void test_initializers_have_their_moments(void **state) {
    (void)state;
    const double in = 1 / sqrt(IN), root3 = sqrt(3), both = sqrt(2.0 / (IN + OUT));
    check_moments(sw_init_zeros(), 0, 0, 0, 0);
    check_moments(sw_init_constant(-2.5), -2.5, 0, -2.5, -2.5);
    check_moments(sw_init_normal(3, 0.5), 3, 0.5, 0, 6);
    check_moments(sw_init_normal(3, 0), 3, 0, 3, 3);
    check_moments(sw_init_uniform(-1, 3), 1, 4 / sqrt(12), -1, 3);
    check_moments(sw_init_uniform(0.125, 0.125), 0.125, 0, 0.125, 0.125);
    check_moments(sw_init_he_normal(2), 0, 2 * in, -1, 1);
    check_moments(sw_init_he_uniform(2), 0, 2 * in, -2 * root3 * in, 2 * root3 * in);
    check_moments(sw_init_xavier_normal(2), 0, 2 * both, -1, 1);
    check_moments(sw_init_xavier_uniform(2), 0, 2 * both, -2 * root3 * both, 2 * root3 * both);
    check_moments(sw_init_lecun_normal(), 0, in, -1, 1);
    check_moments(sw_init_lecun_uniform(), 0, in, -root3 * in, root3 * in);
    check_moments(sw_init_pytorch(), 0, in / root3, -in * (1 + 1e-15), in * (1 + 1e-15));
}

static void test_truncated_normal_has_its_moments(void **state) {
    (void)state;
    check_truncated(0, 1, -2, 2);
    check_truncated(1, 0.02, 0.97, 1.5);
    check_truncated(0, 1, -INFINITY, INFINITY);
    check_truncated(0, 1, -INFINITY, 0.5);
    check_truncated(0, 1, 0.1, 0.2); /* narrow: from a uniform proposal */
    check_truncated(0, 1, -0.05, 0.04);
    check_truncated(0, 1, 2, 2.6);
    check_truncated(0, 1, 4, INFINITY); /* a tail: from an exponential one */
    check_truncated(5, 2, -INFINITY, -5);
    check_truncated(0, 1, 30, 31);
}

/* Rows or columns orthonormal: LAPACK's bound is a small multiple of m·n·2^-53 = 1.1e-16·m·n; in practice
 * about √n. The largest side n here: 1e-13·n. */
static void check_orthogonal(int rank, const int64_t *shape, double gain) {
    sw_params *p = sw_params_new(SW_F64, 4);
    const sw_param_options options = {.size = sizeof options, .init = sw_init_orthogonal(gain)};
    sw_param *param = sw_params_add(p, "w", rank, shape, &options);
    assert_int_equal(sw_params_build(p), SW_OK);
    const double *w = sw_params_x(p);
    int64_t rows = shape[0], columns = param->count / rows, n = rows < columns ? rows : columns,
            m = rows < columns ? columns : rows;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double product = 0;
            for (int64_t k = 0; k < m; k++)
                product +=
                    rows < columns ? w[i * columns + k] * w[j * columns + k] : w[k * columns + i] * w[k * columns + j];
            double expected = i == j ? gain * gain : 0;
            if (!(fabs(product - expected) <= 1e-13 * (double)m * fmax(gain * gain, 1)))
                fail_msg("product %d, %d: %.17g", (int)i, (int)j, product);
        }
    sw_params_free(p);
}

static void test_orthogonal_values_are_orthogonal(void **state) {
    (void)state;
    check_orthogonal(SW_SHAPE(1, 1), 1);
    check_orthogonal(SW_SHAPE(1, 7), 1);
    check_orthogonal(SW_SHAPE(7, 1), -2);
    check_orthogonal(SW_SHAPE(30, 30), sqrt(2));
    check_orthogonal(SW_SHAPE(30, 70), 1);
    check_orthogonal(SW_SHAPE(70, 30), 5.0 / 3);
    check_orthogonal(SW_SHAPE(8, 3, 5, 5), 1);
    /* Uniform among rotations: over 400 matrices 2×2 the diagonal has mean 0 and variance 1/2. Without the
     * signs of R the first would never be positive. cos² has variance 1/8. Five standard errors. */
    double mean = 0, square = 0;
    enum { DRAWS = 400 };
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        sw_params *p = sw_params_new(SW_F64, seed);
        const sw_param_options options = {.size = sizeof options, .init = sw_init_orthogonal(1)};
        sw_params_add(p, "w", SW_SHAPE(2, 2), &options);
        assert_int_equal(sw_params_build(p), SW_OK);
        const double *w = sw_params_x(p);
        mean += w[0] / DRAWS;
        square += w[0] * w[0] / DRAWS;
        sw_params_free(p);
    }
    assert_true(fabs(mean) <= 5 * sqrt(0.5 / DRAWS));
    assert_true(fabs(square - 0.5) <= 5 * sqrt(0.125 / DRAWS));
}

static void test_orthogonal_survives_every_failed_allocation(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    long long requests = 1;
    for (long long k = 0; k <= requests; k++) {
        sw_params *p = sw_params_new(SW_F64, 1);
        const sw_param_options options = {.size = sizeof options, .init = sw_init_orthogonal(1)};
        sw_params_add(p, "w", SW_SHAPE(5, 3), &options);
        test_allocator_fail(&a, k, false);
        sw_status status = sw_params_build(p);
        if (k == 0)
            requests = atomic_load(&a.calls);
        test_allocator_fail(&a, 0, false);
        assert_int_equal(status, k ? SW_ERR_MEMORY : SW_OK);
        sw_clear_error();
        sw_params_free(p);
        assert_int_equal(atomic_load(&a.live), 0);
    }
    assert_true(requests > 5);
    sw_set_allocator(NULL);
}

/* Equal bits for equal seed and name, other numbers for another name; f32 are the f64 rounded. */
static void test_initial_values_depend_on_seed_and_name_alone(void **state) {
    (void)state;
    const sw_init all[] = {
        sw_init_constant(0.1),  sw_init_normal(0.1, 1),  sw_init_uniform(-1, 2), sw_init_truncated_normal(0, 1, -1, 3),
        sw_init_lecun_normal(), sw_init_lecun_uniform(), sw_init_pytorch(),      sw_init_orthogonal(1)};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        sw_params *p = filled(SW_F64, "a", all[k], 20, 30), *q = filled(SW_F64, "a", all[k], 20, 30),
                  *r = filled(SW_F64, "b", all[k], 20, 30), *s = filled(SW_F32, "a", all[k], 20, 30);
        const double *x = sw_params_x(p), *y = sw_params_x(q), *other = sw_params_x(r);
        const float *z = sw_params_x(s);
        int different = 0;
        for (int i = 0; i < 600; i++) {
            assert_true(x[i] == y[i]);
            assert_true(z[i] == (float)x[i]);
            different += x[i] != other[i];
        }
        assert_true(k == 0 ? different == 0 : different == 600);
        assert_int_equal(sw_params_reinitialize(q), SW_OK);
        assert_memory_equal(x, sw_params_x(q), 600 * sizeof *x);
        sw_params_free(p);
        sw_params_free(q);
        sw_params_free(r);
        sw_params_free(s);
    }
}

static void refused_init(sw_init init, const char *message) {
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_null(sw_model_build(model, sw_module_set_init(sw_nn_linear(model, 3, 2), init)));
    expect_error(SW_ERR_ARGUMENT, message);
    sw_model_free(model);
}

static void test_initializers_refuse_wrong_arguments(void **state) {
    (void)state;
    refused_init(sw_init_normal(0, -1), "parameter linear1.weight: initial values normal: a finite mean and a "
                                        "standard deviation of 0 or more are needed");
    refused_init(sw_init_normal(NAN, 1), "parameter linear1.weight: initial values normal: a finite mean and a "
                                         "standard deviation of 0 or more are needed");
    refused_init(sw_init_uniform(1, 0), "parameter linear1.weight: initial values uniform: low must not be "
                                        "above high, and both are finite");
    refused_init(sw_init_truncated_normal(0, 0, -1, 1),
                 "parameter linear1.weight: initial values truncated_normal: a finite mean and a standard "
                 "deviation above 0 are needed");
    refused_init(sw_init_truncated_normal(0, 1, 1, 1),
                 "parameter linear1.weight: initial values truncated_normal: low must be below high");
    refused_init(sw_init_truncated_normal(0, 1e-9, 1, 2),
                 "parameter linear1.weight: initial values truncated_normal: the interval is too narrow, or a "
                 "million deviations from the mean");
    refused_init(sw_init_he_normal(INFINITY),
                 "parameter linear1.weight: initial values he_normal: the gain is not finite");
    refused_init(sw_init_orthogonal(NAN),
                 "parameter linear1.weight: initial values orthogonal: the gain is not finite");
    refused_init((sw_init){.name = "none"}, "layer linear: the initial values have no fill function");
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_null(
        sw_model_build(model, sw_module_set_param_init(sw_nn_linear(model, 3, 2), "bias", sw_init_orthogonal(1))));
    expect_error(SW_ERR_ARGUMENT, "parameter linear1.bias: initial values orthogonal: two axes or more are needed");
    sw_model_free(model);
    sw_params *p = sw_params_new(SW_F64, 1);
    const sw_param_options options = {.size = sizeof options, .init = sw_init_pytorch()};
    sw_params_add(p, "w", SW_SHAPE(2, 2), &options);
    assert_int_equal(sw_params_build(p), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "parameter w: initial values pytorch: its fan_in is not known");
    sw_params_free(p);
}

/* 1, 2, 3, …, but at element 4 the number a. */
static sw_status fill_one(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    (void)rng;
    for (int64_t i = 0; i < param->count; i++)
        out[i] = i == 4 ? init->a : (double)i + 1;
    return SW_OK;
}

static sw_status build_with(sw_dtype type, double value, bool frozen) {
    sw_params *p = sw_params_new(type, 1);
    const sw_param_options options = {.size = sizeof options,
                                      .init = {.size = sizeof(sw_init), .name = "mine", .fill = fill_one, .a = value}};
    assert_non_null(sw_params_add(p, "good", SW_SHAPE(3), NULL));
    sw_param_freeze(sw_params_add(p, "mask", SW_SHAPE(2, 3), &options), frozen);
    const sw_status status = sw_params_build(p);
    if (status == SW_OK) {
        const sw_array x = sw_param_value(sw_params_find(p, "mask"));
        assert_true(test_get(&x, 4) == (type == SW_F32 ? (double)(float)value : value) && test_get(&x, 5) == 6);
    } else {
        assert_null(sw_params_x(p));
    }
    sw_params_free(p);
    return status;
}

/* What is not finite is refused when it is made, and not in the first loss. */
static void test_initial_values_that_are_not_finite_are_refused(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        const sw_dtype type = t ? SW_F64 : SW_F32;
        for (int frozen = 0; frozen < 2; frozen++) {
            assert_int_equal(build_with(type, (double)NAN, frozen), SW_ERR_NONFINITE);
            expect_error(SW_ERR_NONFINITE,
                         "parameter mask: initial values mine: element 4 is nan; finite numbers are needed");
        }
        assert_int_equal(build_with(type, -(double)INFINITY, false), SW_ERR_NONFINITE);
        expect_error(SW_ERR_NONFINITE, "parameter mask: initial values mine: element 4 is -inf; finite numbers "
                                       "are needed (freeze a parameter that holds a mask before the build)");
        assert_int_equal(build_with(type, -(double)INFINITY, true), SW_OK);
        assert_int_equal(build_with(type, type == SW_F32 ? FLT_MAX : DBL_MAX, false), SW_OK);
    }
    assert_int_equal(build_with(SW_F64, 1e300, false), SW_OK);
    for (int frozen = 0; frozen < 2; frozen++) {
        assert_int_equal(build_with(SW_F32, 1e300, frozen), SW_ERR_NONFINITE);
        expect_error(SW_ERR_NONFINITE, "parameter mask: initial values mine: element 4 is 1e+300, too large for f32");
    }
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_null(sw_model_build(model, sw_module_set_init(sw_nn_linear(model, 3, 2), sw_init_constant((double)NAN))));
    expect_error(SW_ERR_NONFINITE, "parameter linear1.weight: initial values constant: element 0 is nan; finite "
                                   "numbers are needed");
    sw_model_free(model);
}

/* ---- Who says how a parameter starts ---- */

static sw_module *two_layers(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_linear(m, 2, 3),
                            sw_module_set_param_init(sw_module_set_init(sw_nn_linear(m, 3, 2), sw_init_constant(1)),
                                                     "bias", sw_init_constant(2)),
                            NULL);
}

static void expect_constant(sw_params *p, const char *name, double value) {
    sw_array a = sw_param_value(sw_params_find(p, name));
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        assert_true(test_get(&a, i) == value);
}

static void test_model_has_a_default_initializer(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    assert_int_equal(sw_model_set_init(model, sw_init_constant(3)), SW_OK);
    assert_int_equal(sw_model_set_role_init(model, SW_ROLE_BIAS, sw_init_constant(4)), SW_OK);
    sw_params *p = built(model, two_layers(model));
    expect_constant(p, "linear1.weight", 3);
    expect_constant(p, "linear1.bias", 4);
    expect_constant(p, "linear2.weight", 1); /* the layer's own word counts more */
    expect_constant(p, "linear2.bias", 2);
    assert_int_equal(sw_model_set_init(model, sw_init_zeros()), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "model_set_init: the model is built already");
    sw_module_set_init(sw_model_root(model), sw_init_zeros());
    expect_error(SW_ERR_ARGUMENT, "layer sequential1: it is built already, so that its initial values cannot change");
    sw_model_free(model);
    assert_int_equal(sw_model_set_init(NULL, sw_init_zeros()), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_set_init: the model is NULL");
    model = sw_model_new(SW_F64, 1);
    assert_int_equal(sw_model_set_role_init(model, (sw_role)6, sw_init_zeros()), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_set_init: 6 is not a role");
    assert_int_equal(sw_model_set_init(model, (sw_init){0}), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_set_init: the initial values have no fill function");
    sw_module_set_param_init(sw_nn_relu(model), NULL, sw_init_zeros());
    expect_error(SW_ERR_ARGUMENT, "layer relu: the suffix of the parameter is missing");
    sw_model_free(model);
    model = sw_model_new(SW_F64, 1);
    assert_null(sw_model_build(model, sw_module_set_init(sw_nn_relu(model), sw_init_zeros())));
    expect_error(SW_ERR_ARGUMENT, "layer relu1: it has no parameter weight, which is given initial values");
    sw_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_initializers_have_their_moments),
        TEST(test_truncated_normal_has_its_moments),
        TEST(test_orthogonal_values_are_orthogonal),
        TEST(test_orthogonal_survives_every_failed_allocation),
        TEST(test_initial_values_depend_on_seed_and_name_alone),
        TEST(test_initializers_refuse_wrong_arguments),
        TEST(test_initial_values_that_are_not_finite_are_refused),
        TEST(test_model_has_a_default_initializer),
    };
    return cmocka_run_group_tests_name("init", tests, NULL, NULL);
}
