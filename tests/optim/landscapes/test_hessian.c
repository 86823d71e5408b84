/* Products with the Hessian, its eigenvalues and trace, and the sharpness: on quadratics, where they are known, and on
 * a network, against its whole Hessian. */
#define SAMPLES 41
#define POINTS_END 1
#include "quadratic.h"
#include "points.h"

#include <swale/matrix.h>
#include <swale/nn.h>

static double spread(int i) { /* three large ones, a bulk of both signs */
    return i == 0 ? 8 : i == 1 ? 5 : i == 2 ? 4.5 : 1 - 2.0 * i / QUADRATIC_DIM;
}

static double eps_of(sw_dtype type) {
    return type == SW_F64 ? DBL_EPSILON : FLT_EPSILON;
}

/* Differences of a quadratic's gradients are exact but for rounding. Elements of x ± hv and of g are rounded to half a
 * unit: each gradient has the error ε/2 (‖A‖‖x‖ + ‖g‖), ‖A‖ = 8, ‖x‖ < 6, ‖g‖ < 48, at most. The difference has twice
 * this, and is divided by 2h. */
static double product_tolerance(sw_dtype type, double h) {
    return eps_of(type) / 2 * (8 * 6 + 48) / h;
}

static void test_products_with_a_known_matrix(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        quadratic q;
        double v[QUADRATIC_DIM], product[QUADRATIC_DIM], length = 0;
        uint64_t seed = 9;
        quadratic_init(&q, both_types[k], spread, true);
        sw_landscape *l = sw_landscape_new(&q.f, NULL, NULL);
        for (int i = 0; i < QUADRATIC_DIM; i++)
            vec_set(both_types[k], v, i, test_uniform(&seed, -3, 3));
        for (int i = 0; i < QUADRATIC_DIM; i++)
            length += vec_get(both_types[k], v, i) * vec_get(both_types[k], v, i);
        length = sqrt(length);
        assert_ok(sw_landscape_hessian(l, v, product));
        const double tolerance = length * product_tolerance(both_types[k], cbrt(eps_of(both_types[k])));
        for (int i = 0; i < QUADRATIC_DIM; i++) {
            double exact = 0;
            for (int j = 0; j < QUADRATIC_DIM; j++)
                exact += q.A[i][j] * vec_get(both_types[k], v, j);
            assert_true(fabs(vec_get(both_types[k], product, i) - exact) < tolerance);
        }
        memset(v, 0, sizeof v);
        assert_ok(sw_landscape_hessian(l, v, product));
        for (int i = 0; i < QUADRATIC_DIM; i++)
            assert_true(vec_get(both_types[k], product, i) == 0);
        sw_landscape_free(l);
        sw_params_free(q.f.params);
    }
}

/* An eigenvalue is off by at most its residual and the error of the products. With a basis of 6 vectors the method
 * restarts; with all 60 the basis spans the space, and all eigenvalues are those of A. */
static void test_eigenvalues_of_a_known_matrix(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++)
        for (int basis = 0; basis <= 6; basis += 6) {
            quadratic q;
            double value[3], residual[3], v[3 * QUADRATIC_DIM], product[QUADRATIC_DIM];
            const sw_dtype type = both_types[k];
            const double error = product_tolerance(type, cbrt(eps_of(type)));
            const sw_eigenvalues_options how = {.size = sizeof how, .basis = basis, .products = 200, .seed = 3};
            quadratic_init(&q, type, spread, true);
            sw_landscape *l = sw_landscape_new(&q.f, NULL, NULL);
            assert_ok(sw_landscape_eigenvalues(l, 3, &how, value, v, residual));
            for (int i = 0; i < 3; i++) {
                assert_true(residual[i] <= 1e-3 * 8 + error);
                assert_true(fabs(value[i] - q.lambda[i]) <= residual[i] + error);
                const void *row = (char *)v + (size_t)(i * QUADRATIC_DIM) * sw_dtype_size(type);
                double norm, distance = 0;
                assert_ok(sw_vector_norm(type, QUADRATIC_DIM, row, &norm));
                assert_true(fabs(norm - 1) < 100 * eps_of(type));
                assert_ok(sw_landscape_hessian(l, row, product));
                for (int j = 0; j < QUADRATIC_DIM; j++) {
                    const double d = vec_get(type, product, j) - value[i] * vec_get(type, row, j);
                    distance += d * d;
                }
                assert_true(sqrt(distance) <= residual[i] + 8 * error);
            }
            sw_landscape_free(l);
            sw_params_free(q.f.params);
        }
}

static void test_all_eigenvalues(void **state) {
    (void)state;
    quadratic q;
    double value[QUADRATIC_DIM], residual[QUADRATIC_DIM];
    quadratic_init(&q, SW_F64, spread, true);
    sw_landscape *l = sw_landscape_new(&q.f, NULL, NULL);
    assert_ok(sw_landscape_eigenvalues(l, QUADRATIC_DIM, NULL, value, NULL, residual));
    for (int i = 0; i < QUADRATIC_DIM; i++) {
        assert_true(residual[i] == 0); /* nothing is left of the space */
        assert_true(fabs(value[i] - q.lambda[i]) < 60 * product_tolerance(SW_F64, cbrt(DBL_EPSILON)));
    }
    sw_landscape_free(l);
    sw_params_free(q.f.params);
}

/* zᵀHz has the mean tr H and the variance 2 Σ H_ij² over i ≠ j: the mean of 400 is within 4 standard deviations. The
 * reported error is an estimate of it; a variance from 400 numbers is off by 4 sqrt(2/400) = 28 % at most. For a
 * diagonal matrix every probe is exact. */
static void test_trace_of_a_known_matrix(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++)
        for (int rotated = 0; rotated < 2; rotated++) {
            quadratic q;
            const int probes = rotated ? 400 : 2;
            double trace, error, exact = 0, variance = 0;
            quadratic_init(&q, both_types[k], spread, rotated);
            for (int i = 0; i < QUADRATIC_DIM; i++) {
                exact += q.lambda[i];
                for (int j = 0; j < QUADRATIC_DIM; j++)
                    variance += i == j ? 0 : 2 * q.A[i][j] * q.A[i][j];
            }
            const double rounding = QUADRATIC_DIM * product_tolerance(both_types[k], cbrt(eps_of(both_types[k]))),
                         deviation = sqrt(variance / probes);
            sw_landscape *l = sw_landscape_new(&q.f, NULL, NULL);
            assert_ok(sw_landscape_trace(l, probes, 1, &trace, &error));
            assert_true(fabs(trace - exact) <= 4 * deviation + rounding);
            assert_true(fabs(error - deviation) <= 0.15 * deviation + rounding);
            assert_ok(sw_landscape_trace(l, 1, 1, &trace, &error));
            assert_true(isnan(error));
            sw_landscape_free(l);
            sw_params_free(q.f.params);
        }
}

/* ---- Sharpness ---- */

static double diagonal(int i) {
    return i == 0 ? 8 : i == 1 ? 3 : i == 2 ? 0 : -1 - 0.01 * i;
}

/* With a tilt t along the axis of the eigenvalue 0, max over ‖e‖₂ ≤ r of 4 (r² - z²) + t z is 4 r² + t²/16, at z = t/8.
 * In the box, the elements of the positive eigenvalues and of the tilt are at the border, the others 0: 4 r² + 1.5 r² +
 * t r. The box is reached exactly, but for the elements with negative eigenvalues, which are halved 30 times at most,
 * and cost Σ|λ|/2 (r 2^-30)² = 1e-17. In the ball, 40 steps leave less than 1e-4. */
static void test_sharpness_of_a_quadratic(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++)
        for (double t = 0; t <= 0.4; t += 0.2) {
            quadratic q;
            const double r = 0.3;
            double rise;
            quadratic_init(&q, both_types[k], diagonal, false);
            q.b[2] = t;
            memset(sw_params_x(q.f.params), 0, params_bytes(q.f.params));
            sw_landscape *l = sw_landscape_new(&q.f, NULL, NULL);
            sw_sharpness_options how = {.size = sizeof how, .radius = r, .steps = 40, .seed = 2};
            assert_ok(sw_landscape_sharpness(l, &how, &rise));
            const double ball = 4 * r * r + t * t / 16, box = 5.5 * r * r + t * r,
                         rounding = 20 * eps_of(both_types[k]);
            if (!(rise <= ball * (1 + rounding) && rise >= ball * (1 - 1e-4 - rounding)))
                fail_msg("ball, tilt %g: %.17g instead of %.17g", t, rise, ball);
            how.norm = INFINITY;
            assert_ok(sw_landscape_sharpness(l, &how, &rise));
            if (!(rise <= box * (1 + rounding) && rise >= box * (1 - 1e-12 - rounding)))
                fail_msg("box, tilt %g: %.17g instead of %.17g", t, rise, box);
            sw_landscape_free(l);
            sw_params_free(q.f.params);
        }
}

/* One step from each sign of a direction: the values at x ± r d are the only ones. At a maximum nothing rises. */
static void test_sharpness_starts_along_a_direction(void **state) {
    (void)state;
    quadratic q;
    double d[QUADRATIC_DIM] = {0}, rise;
    quadratic_init(&q, SW_F64, diagonal, false);
    memset(sw_params_x(q.f.params), 0, params_bytes(q.f.params));
    sw_landscape *l = sw_landscape_new(&q.f, NULL, NULL);
    d[1] = -7;
    assert_ok(sw_landscape_sharpness(
        l, &SW_OPTIONS(sw_sharpness_options, .radius = 2, .steps = 1, .starts = -1, .direction = d), &rise));
    assert_true(fabs(rise - 6) < 1e-13); /* 3/2 2² */
    sw_landscape_free(l);
    for (int i = 0; i < QUADRATIC_DIM; i++)
        q.A[i][i] = -1;
    l = sw_landscape_new(&q.f, NULL, NULL);
    assert_ok(sw_landscape_sharpness(l, NULL, &rise));
    assert_true(rise == 0);
    for (int i = 0; i < QUADRATIC_DIM; i++)
        q.A[i][i] = 1e300;
    assert_ok(sw_landscape_sharpness(l, &SW_OPTIONS(sw_sharpness_options, .radius = 1e10), &rise));
    assert_true(isinf(rise) && rise > 0);
    sw_landscape_free(l);
    sw_params_free(q.f.params);
}

/* ---- A network ---- */

enum { NET_DIM = FEATURES * 5 + 5 + 5 * CLASSES + CLASSES };

static sw_model *tanh_net(sw_dtype type, const sw_objective **f) {
    sw_model *model = sw_model_new(type, 3);
    assert_non_null(sw_model_build(model, sw_nn_sequential(model, sw_nn_linear(model, FEATURES, 5), sw_nn_tanh(model),
                                                           sw_nn_linear(model, 5, CLASSES), NULL)));
    *f = sw_model_objective(model, &points, sw_cross_entropy);
    return model;
}

/* The whole Hessian by products with the unit vectors. The same differences make it and the eigenvalues: they agree to
 * the accuracy of products in f64, which for a loss of order 1 is far better than 1e-7, and to that of the residuals,
 * 1e-6. Frozen parameters are not part of it. Several chunks, on one thread or three. */
static void test_eigenvalues_and_trace_of_a_network(void **state) {
    (void)state;
    const sw_objective *f;
    sw_model *model = tanh_net(SW_F64, &f);
    sw_param_freeze(sw_params_find(f->params, "linear2.bias"), true);
    static double H[NET_DIM * NET_DIM], values[NET_DIM], unit[NET_DIM];
    double top[2], again[2], trace, error, diagonal_sum = 0;
    sw_landscape *l = sw_landscape_new(f, NULL, &SW_OPTIONS(sw_landscape_options, .chunk = 10));
    const sw_eigenvalues_options how = {.size = sizeof how, .tolerance = 1e-6, .products = 100};
    for (int i = 0; i < NET_DIM; i++) {
        memset(unit, 0, sizeof unit);
        unit[i] = 1;
        assert_ok(sw_landscape_hessian(l, unit, H + i * NET_DIM));
        diagonal_sum += H[i * NET_DIM + i];
    }
    for (int i = 0; i < NET_DIM * CLASSES; i++)
        assert_true(H[NET_DIM * (NET_DIM - CLASSES) + i] == 0); /* the frozen rows */
    void *work = sw_alloc(sw_symmetric_eigen_work(SW_F64, NET_DIM));
    assert_ok(sw_symmetric_eigen(SW_F64, NET_DIM, H, values, H, work, NULL));
    assert_ok(sw_landscape_eigenvalues(l, 2, &how, top, NULL, NULL));
    for (int i = 0; i < 2; i++)
        assert_true(fabs(top[i] - values[NET_DIM - 1 - i]) < 1e-6 * values[NET_DIM - 1] + 1e-7);
    assert_ok(sw_landscape_trace(l, 50, 4, &trace, &error));
    assert_true(fabs(trace - diagonal_sum) < 4 * error);
    for (int threads = 1; threads <= 3; threads += 2) {
        assert_ok(sw_set_threads(threads));
        assert_ok(sw_landscape_eigenvalues(l, 2, &how, again, NULL, NULL));
        assert_memory_equal(top, again, sizeof top);
    }
    sw_free(work);
    sw_landscape_free(l);
    sw_model_free(model);
}

/* A frozen -Inf, as in an attention mask, does not change the step of the differences. The class has no probability,
 * and the Hessian of the others is finite. */
static void test_frozen_infinity(void **state) {
    (void)state;
    const sw_objective *f;
    double trace, value, top;
    sw_model *model = tanh_net(SW_F64, &f);
    sw_param *bias = sw_params_find(f->params, "linear2.bias");
    sw_param_freeze(bias, true);
    ((double *)sw_params_x(f->params))[bias->offset] = -INFINITY;
    const int64_t ids[4] = {1, 2, 4, 5}; /* of the other classes */
    sw_landscape *l = sw_landscape_new(f, NULL, &SW_OPTIONS(sw_landscape_options, .ids = ids, .count = 4));
    assert_ok(sw_landscape_value(l, NULL, &value));
    assert_ok(sw_landscape_eigenvalues(l, 1, NULL, &top, NULL, NULL));
    assert_ok(sw_landscape_trace(l, 2, 0, &trace, NULL));
    assert_true(isfinite(value) && isfinite(top) && isfinite(trace) && top > 0);
    sw_landscape_free(l);
    sw_model_free(model);
}

static void test_refusals(void **state) {
    (void)state;
    const sw_objective *f;
    double value[40];
    sw_model *model = tanh_net(SW_BF16, &f);
    sw_landscape *l = sw_landscape_new(f, NULL, NULL);
    assert_int_equal(sw_landscape_eigenvalues(l, 1, NULL, value, NULL, NULL), SW_ERR_TYPE);
    expect_error(SW_ERR_TYPE, "landscape_eigenvalues: the parameters are stored as bf16, and differences of gradients "
                              "would be lost in rounding; make a model in f32 or f64 from them");
    assert_ok(sw_landscape_value(l, NULL, value));
    sw_landscape_free(l);
    sw_model_free(model);
    model = tanh_net(SW_F64, &f);
    l = sw_landscape_new(f, NULL, NULL);
    sw_landscape_eigenvalues(l, NET_DIM + 1, NULL, value, NULL, NULL);
    expect_error(SW_ERR_ARGUMENT, "landscape_eigenvalues: count = 44; 43 parameters are not frozen");
    sw_landscape_eigenvalues(l, 4, &SW_OPTIONS(sw_eigenvalues_options, .basis = 4), value, NULL, NULL);
    expect_error(SW_ERR_ARGUMENT, "landscape_eigenvalues: basis = 4; it must be above count = 4");
    sw_landscape_eigenvalues(l, 0, NULL, value, NULL, NULL);
    expect_error(SW_ERR_ARGUMENT, "landscape_eigenvalues: count = 0, tolerance = 0, products = 0, basis = 0; count and "
                                  "basis are at most 10000, and none is negative");
    sw_landscape_trace(l, 0, 0, value, NULL);
    expect_error(SW_ERR_ARGUMENT, "landscape_trace: 0 probes; at least 1 is needed");
    sw_landscape_sharpness(l, &SW_OPTIONS(sw_sharpness_options, .norm = 1), value);
    expect_error(SW_ERR_ARGUMENT, "landscape_sharpness: radius = 0.05, norm = 1, steps = 10, starts = 2; the radius is "
                                  "positive, the norm 2 or INFINITY, and steps and starts are not negative (starts -1: "
                                  "none)");
    sw_landscape_hessian(l, NULL, value);
    expect_error(SW_ERR_ARGUMENT, "landscape_hessian: v is NULL");
    double *x = sw_params_x(f->params);
    x[0] = NAN;
    assert_ok(sw_landscape_set_point(l, NULL));
    assert_int_equal(sw_landscape_trace(l, 1, 0, value, NULL), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "landscape: a difference of gradients holds Inf or NaN");
    assert_int_equal(sw_landscape_sharpness(l, NULL, value), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "landscape_sharpness: the loss at the point is nan");
    sw_landscape_free(l);
    sw_model_free(model);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    for (long long k = 1, done = 0; !done; k++) {
        double value[2], x[NET_DIM];
        const sw_objective *f = NULL;
        test_allocator_fail(&a, 0, false);
        sw_model *model = tanh_net(SW_F64, &f);
        test_allocator_fail(&a, k, true);
        sw_landscape *l = sw_landscape_new(f, NULL, NULL);
        const bool all = l && sw_landscape_eigenvalues(l, 1, NULL, value, x, NULL) == SW_OK &&
                         sw_landscape_trace(l, 1, 1, value, NULL) == SW_OK &&
                         sw_landscape_sharpness(l, NULL, value) == SW_OK && sw_landscape_hessian(l, x, x) == SW_OK;
        done = atomic_load(&a.failed) == 0;
        assert_true(all == (done != 0));
        assert_int_equal(sw_error_status(), done ? SW_OK : SW_ERR_MEMORY);
        sw_clear_error();
        sw_landscape_free(l);
        sw_model_free(model);
        assert_int_equal(atomic_load(&a.live), 0);
    }
    sw_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_products_with_a_known_matrix, test_no_error_left),
        cmocka_unit_test_teardown(test_eigenvalues_of_a_known_matrix, test_no_error_left),
        cmocka_unit_test_teardown(test_all_eigenvalues, test_no_error_left),
        cmocka_unit_test_teardown(test_trace_of_a_known_matrix, test_no_error_left),
        cmocka_unit_test_teardown(test_sharpness_of_a_quadratic, test_no_error_left),
        cmocka_unit_test_teardown(test_sharpness_starts_along_a_direction, test_no_error_left),
        cmocka_unit_test_teardown(test_eigenvalues_and_trace_of_a_network, test_no_error_left),
        cmocka_unit_test_teardown(test_frozen_infinity, test_no_error_left),
        cmocka_unit_test_teardown(test_refusals, test_no_error_left),
        cmocka_unit_test_teardown(test_every_allocation_fails, test_no_error_left),
    };
    return cmocka_run_group_tests_name("hessian", tests, NULL, NULL);
}
