/* Directions against plain loops; values along a line and in a plane; running statistics; errors. */
#define SAMPLES 37
#define POINTS_END 2
#include "quadratic.h"
#include "points.h"

#include <swale/nn.h>

/* ---- Directions ---- */

/* A matrix, a convolution, a bias, a frozen matrix, a second name of the first matrix, and a buffer. */
enum { DIRECTION_DIM = 12 + 24 + 3 + 4 + 2, FROZEN_AT = 39 };
static sw_params *direction_params(sw_dtype type) {
    sw_params *p = sw_params_new(type, 1);
    sw_param *matrix = sw_params_add(p, "matrix", SW_SHAPE(3, 4), NULL);
    sw_params_add(p, "running", SW_SHAPE(2), &SW_OPTIONS(sw_param_options, .buffer = true));
    sw_params_tie(p, "second", matrix);
    sw_params_add(p, "conv", SW_SHAPE(2, 2, 2, 3), NULL);
    sw_params_add(p, "bias", SW_SHAPE(3), NULL);
    sw_param_freeze(sw_params_add(p, "frozen", SW_SHAPE(2, 2), NULL), true);
    assert_ok(sw_params_build(p));
    uint64_t seed = 3;
    for (int i = 0; i < DIRECTION_DIM; i++)
        vec_set(type, sw_params_x(p), i, i / 4 == 1 ? 0 : test_uniform(&seed, -2, 2)); /* the second row is 0 */
    return p;
}

static void scale_part(sw_dtype type, const void *x, double *d, int begin, int length, bool zero) {
    double of_x = 0, of_d = 0;
    for (int i = begin; i < begin + length; i++) {
        of_x += vec_get(type, x, i) * vec_get(type, x, i);
        of_d += d[i] * d[i];
    }
    for (int i = begin; i < begin + length; i++)
        d[i] = zero ? 0 : d[i] * sqrt(of_x / of_d);
}

/* What the header says, in plain loops. */
static void expected_direction(sw_dtype type, const void *x, sw_direction_scale scale, double *d) {
    for (int i = FROZEN_AT; i < DIRECTION_DIM; i++)
        d[i] = 0;
    if (scale == SW_SCALE_UNIT) {
        double square = 0;
        for (int i = 0; i < DIRECTION_DIM; i++)
            square += d[i] * d[i];
        for (int i = 0; i < DIRECTION_DIM; i++)
            d[i] /= sqrt(square);
    } else if (scale == SW_SCALE_TENSORS) {
        scale_part(type, x, d, 0, 12, false);
        scale_part(type, x, d, 12, 24, false);
        scale_part(type, x, d, 36, 3, false);
    } else if (scale != SW_SCALE_NONE) {
        for (int row = 0; row < 3; row++)
            scale_part(type, x, d, 4 * row, 4, false);
        for (int row = 0; row < 2; row++)
            scale_part(type, x, d, 12 + 12 * row, 12, false);
        scale_part(type, x, d, 36, 3, scale == SW_SCALE_FILTERS);
    }
}

/* A product, a norm and a quotient, each rounded once in f32, and sums of at most 24 terms in f64: 4 units. */
static void test_scales_agree_with_plain_loops(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++)
        for (int scale = SW_SCALE_NONE; scale <= SW_SCALE_FILTERS_AND_BIASES; scale++) {
            sw_params *p = direction_params(both_types[k]);
            double random[DIRECTION_DIM], d[DIRECTION_DIM], expected[DIRECTION_DIM];
            assert_ok(sw_direction_random(p, sw_params_x(p), SW_SCALE_NONE, 7, random));
            assert_ok(sw_direction_random(p, sw_params_x(p), (sw_direction_scale)scale, 7, d));
            for (int i = 0; i < DIRECTION_DIM; i++)
                expected[i] = vec_get(both_types[k], random, i);
            expected_direction(both_types[k], sw_params_x(p), (sw_direction_scale)scale, expected);
            const double unit = both_types[k] == SW_F64 ? DBL_EPSILON : FLT_EPSILON;
            for (int i = 0; i < DIRECTION_DIM; i++)
                assert_true(fabs(vec_get(both_types[k], d, i) - expected[i]) <= 4 * unit * fabs(expected[i]));
            for (int i = 0; i < FROZEN_AT; i++)
                assert_true(vec_get(both_types[k], random, i) != 0);
            assert_ok(sw_direction_rescale(p, sw_params_x(p), (sw_direction_scale)scale, random));
            assert_memory_equal(d, random, params_bytes(p));
            sw_params_free(p);
        }
}

/* 10^5 numbers: mean and variance within 4 standard deviations, 4/sqrt(n) and 4 sqrt(2/n). */
static void test_random_directions_are_normal_and_named(void **state) {
    (void)state;
    enum { MANY = 100000 };
    sw_params *p = sw_params_new(SW_F64, 1), *other = sw_params_new(SW_F64, 2);
    sw_params_add(p, "a", SW_SHAPE(MANY), NULL);
    sw_params_add(p, "b", SW_SHAPE(4), NULL);
    sw_params_add(other, "b", SW_SHAPE(4), NULL);
    assert_ok(sw_params_build(p));
    assert_ok(sw_params_build(other));
    double *d = sw_alloc_array(MANY + 4, sizeof *d), mean = 0, square = 0, b[4];
    assert_ok(sw_direction_random(p, sw_params_x(p), SW_SCALE_NONE, 1, d));
    for (int i = 0; i < MANY; i++)
        mean += d[i] / MANY, square += d[i] * d[i] / MANY;
    assert_true(fabs(mean) < 4 / sqrt(MANY) && fabs(square - 1) < 4 * sqrt(2.0 / MANY));
    assert_ok(sw_direction_random(other, sw_params_x(other), SW_SCALE_NONE, 1, b));
    assert_memory_equal(b, d + MANY, sizeof b);
    assert_ok(sw_direction_random(other, sw_params_x(other), SW_SCALE_NONE, 2, b));
    assert_true(b[0] != d[MANY]);
    sw_free(d);
    sw_params_free(p), sw_params_free(other);
}

/* u and v have 4 roundings of elements up to 1; the places are sums of DIM terms. */
static void test_plane_through_three_points(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        const sw_dtype type = both_types[k];
        const double unit = type == SW_F64 ? DBL_EPSILON : FLT_EPSILON;
        sw_params *p = direction_params(type);
        double point[3][DIRECTION_DIM], u[DIRECTION_DIM], v[DIRECTION_DIM], place[3];
        for (uint64_t i = 0; i < 3; i++)
            assert_ok(sw_direction_random(p, sw_params_x(p), SW_SCALE_NONE, i, point[i]));
        assert_ok(sw_direction_plane(p, point[0], point[1], point[2], u, v, place));
        assert_true(fabs(sw_vector_dot(type, DIRECTION_DIM, u, v)) < 8 * unit);
        assert_true(fabs(sw_vector_dot(type, DIRECTION_DIM, u, u) - 1) < 8 * unit);
        assert_true(fabs(sw_vector_dot(type, DIRECTION_DIM, v, v) - 1) < 8 * unit);
        for (int i = 0; i < DIRECTION_DIM; i++) {
            const double a = vec_get(type, point[0], i);
            assert_true(fabs(a + place[0] * vec_get(type, u, i) - vec_get(type, point[1], i)) < 64 * unit);
            assert_true(fabs(a + place[1] * vec_get(type, u, i) + place[2] * vec_get(type, v, i) -
                             vec_get(type, point[2], i)) < 64 * unit);
        }
        sw_vector_axpby(type, DIRECTION_DIM, 3, point[0], -2, point[1], point[2]);
        assert_int_equal(sw_direction_plane(p, point[0], point[1], point[2], u, v, place), SW_ERR_ARGUMENT);
        assert_non_null(strstr(sw_error(), "direction_plane: the points lie on a line"));
        sw_clear_error();
        sw_params_free(p);
    }
}

/* ---- Lines and planes ---- */

static double spread(int i) {
    return 2 - 0.1 * i;
}

/* f(x + αu + βv) of a quadratic: about 60·60 products, whose absolute values add up to less than 500. In f32 the vector
 * has two roundings of elements below 5; |∇f| < 100. */
static void test_line_and_plane_of_a_quadratic(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        const sw_dtype type = both_types[k];
        const double tolerance = type == SW_F64 ? 500 * 60 * DBL_EPSILON : 100 * sqrt(60) * 5 * FLT_EPSILON;
        quadratic q;
        double u[QUADRATIC_DIM], v[QUADRATIC_DIM], line[3], plane[2][3], exact, at[QUADRATIC_DIM];
        const double alpha[3] = {-0.5, 0, 0.25}, beta[2] = {0, 1};
        quadratic_init(&q, type, spread, true);
        assert_ok(sw_direction_random(q.f.params, sw_params_x(q.f.params), SW_SCALE_UNIT, 1, u));
        assert_ok(sw_direction_random(q.f.params, sw_params_x(q.f.params), SW_SCALE_TENSORS, 2, v));
        sw_landscape *l = sw_landscape_new(&q.f, NULL, NULL);
        assert_ok(sw_landscape_line(l, u, 3, alpha, line));
        assert_ok(sw_landscape_plane(l, u, v, 3, alpha, 2, beta, plane[0]));
        assert_memory_equal(line, plane[0], sizeof line);
        sw_params *wide = sw_params_new(SW_F64, 1);
        sw_params_add(wide, "x", SW_SHAPE(QUADRATIC_DIM), NULL);
        assert_ok(sw_params_build(wide));
        quadratic f64 = q;
        f64.f.params = wide;
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 3; j++) {
                for (int n = 0; n < QUADRATIC_DIM; n++)
                    at[n] = vec_get(type, sw_params_x(q.f.params), n) + alpha[j] * vec_get(type, u, n) +
                            beta[i] * vec_get(type, v, n);
                assert_ok(quadratic_gradient(&f64, at, NULL, 0, 0, &exact, NULL));
                assert_true(fabs(plane[i][j] - exact) < tolerance);
            }
        sw_landscape_free(l);
        sw_params_free(wide), sw_params_free(q.f.params);
    }
}

/* ---- A network with batch normalization and dropout ---- */

static sw_model *norm_net(sw_dtype type, double dropout, const sw_objective **f) {
    sw_model *m = sw_model_new(type, 3);
    assert_non_null(
        sw_model_build(m, sw_nn_sequential(m, sw_nn_linear(m, FEATURES, 5), sw_nn_batch_norm(m, 0), sw_nn_relu(m),
                                           sw_nn_dropout(m, dropout), sw_nn_linear(m, 5, CLASSES), NULL)));
    *f = sw_model_objective(m, &points, sw_cross_entropy);
    return m;
}

/* The same statistics as those of sw_model_recalibrate with one batch, and the same loss as sw_model_evaluate: sums in
 * another order, of 37 terms of order 1. The parameters of the model do not change. */
static void test_statistics_are_estimated_at_each_point(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        const sw_dtype type = both_types[k];
        const double tolerance = 100 * (type == SW_F64 ? DBL_EPSILON : FLT_EPSILON), alpha[2] = {0.5, 1};
        const sw_objective *f;
        sw_model *model = norm_net(type, 0, &f);
        const size_t bytes = params_bytes(f->params);
        void *before = sw_alloc(bytes), *d = sw_alloc(bytes), *x = sw_alloc(bytes);
        memcpy(before, sw_params_x(f->params), bytes);
        assert_ok(sw_direction_random(f->params, before, SW_SCALE_TENSORS, 1, d));
        for (int estimated = 0; estimated < 2; estimated++) {
            double value[2];
            sw_landscape *l =
                sw_landscape_new(f, NULL, &SW_OPTIONS(sw_landscape_options, .statistics = estimated ? SAMPLES : 0));
            assert_ok(sw_landscape_line(l, d, 2, alpha, value));
            for (int i = 0; i < 2; i++) {
                sw_evaluation e;
                sw_vector_axpby(type, sw_params_dim(f->params), 1, before, alpha[i], d, x);
                if (estimated)
                    assert_ok(
                        sw_model_recalibrate(model, x, &points, &SW_OPTIONS(sw_recalibrate_options, .batch = SAMPLES)));
                assert_ok(sw_model_evaluate(model, x, &points, sw_cross_entropy, &e));
                assert_true(fabs(value[i] - e.loss) <= tolerance * e.loss);
            }
            sw_landscape_free(l);
        }
        assert_memory_equal(before, sw_params_x(f->params), bytes);
        sw_free(before), sw_free(d), sw_free(x);
        sw_model_free(model);
    }
}

/* A point at which the statistics overflow has no finite loss, and the others of the line have theirs. A chunk of any
 * size is allowed. */
static void test_statistics_that_overflow(void **state) {
    (void)state;
    const double alpha[3] = {0, 1e25, 0.5};
    double value[3];
    const sw_objective *f;
    sw_model *model = norm_net(SW_F32, 0, &f);
    void *d = sw_alloc(params_bytes(f->params));
    assert_ok(sw_direction_random(f->params, sw_params_x(f->params), SW_SCALE_TENSORS, 1, d));
    sw_landscape *l =
        sw_landscape_new(f, NULL, &SW_OPTIONS(sw_landscape_options, .statistics = SAMPLES, .chunk = INT64_MAX));
    assert_ok(sw_landscape_line(l, d, 3, alpha, value));
    assert_true(isfinite(value[0]) && isnan(value[1]) && isfinite(value[2]));
    double rise;
    assert_ok(sw_landscape_sharpness(l, &SW_OPTIONS(sw_sharpness_options, .radius = 1e25), &rise));
    assert_true(isinf(rise) && rise > 0);
    sw_landscape_free(l);
    sw_free(d);
    sw_model_free(model);
}

/* The point has the statistics at the point, and derivatives keep them: the gradient is that of the loss with constant
 * statistics, by central differences of values at which the buffers are copied. h²/6 f''' and rounding ε/h: 1e-9. */
static void test_gradient_with_statistics(void **state) {
    (void)state;
    const sw_objective *f;
    sw_model *model = norm_net(SW_F64, 0, &f);
    double *x = sw_params_x(f->params), g[64], value;
    const int64_t dim = sw_params_dim(f->params), trained = dim - sw_params_buffer_dim(f->params);
    assert_true(dim <= 64);
    sw_landscape *l = sw_landscape_new(f, x, &SW_OPTIONS(sw_landscape_options, .statistics = SAMPLES, .chunk = 19));
    assert_ok(sw_landscape_gradient(l, NULL, &value, g));
    memcpy(x, sw_landscape_point(l), (size_t)dim * sizeof *x);
    sw_landscape *fixed = sw_landscape_new(f, NULL, NULL);
    double again;
    assert_ok(sw_landscape_value(fixed, NULL, &again));
    assert_true(fabs(value - again) < 1e-14);
    for (int64_t i = 0; i < dim; i++) {
        double up = 0, down = 0, at[64];
        memcpy(at, x, sizeof *x * (size_t)dim);
        at[i] = x[i] + 1e-5;
        assert_ok(sw_landscape_value(fixed, at, &up));
        at[i] = x[i] - 1e-5;
        assert_ok(sw_landscape_value(fixed, at, &down));
        assert_true(fabs((i < trained ? (up - down) / 2e-5 : 0) - g[i]) < 1e-9);
    }
    sw_landscape_free(l), sw_landscape_free(fixed);
    sw_model_free(model);
}

/* Training mode has dropout, by the draw; evaluation mode has none. Chunks and threads change nothing but rounding, and
 * threads no bit. */
static void test_modes_chunks_and_threads(void **state) {
    (void)state;
    const sw_objective *f;
    sw_model *model = norm_net(SW_F64, 0.5, &f);
    double plain, trained[2], other, chunked, value;
    sw_evaluation e;
    sw_landscape *l = sw_landscape_new(f, NULL, NULL);
    assert_ok(sw_landscape_value(l, NULL, &plain));
    assert_ok(sw_model_evaluate(model, NULL, &points, sw_cross_entropy, &e));
    assert_true(plain == e.loss);
    sw_landscape_free(l);
    l = sw_landscape_new(f, NULL, &SW_OPTIONS(sw_landscape_options, .train = true));
    for (int i = 0; i < 2; i++)
        assert_ok(sw_landscape_value(l, NULL, &trained[i]));
    sw_landscape_free(l);
    l = sw_landscape_new(f, NULL, &SW_OPTIONS(sw_landscape_options, .train = true, .draw = 1));
    assert_ok(sw_landscape_value(l, NULL, &other));
    sw_landscape_free(l);
    assert_true(trained[0] == trained[1] && trained[0] != plain && other != trained[0]);
    const int64_t ids[2] = {30, 3};
    l = sw_landscape_new(f, NULL, &SW_OPTIONS(sw_landscape_options, .chunk = 1, .ids = ids, .count = 2));
    assert_ok(sw_landscape_value(l, NULL, &chunked));
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_TRAIN, false);
    assert_ok(sw_objective_value(f, tape, NULL, ids, 2, 0, &value));
    assert_true(fabs(chunked - value) < 4 * DBL_EPSILON * value);
    sw_tape_free(tape);
    sw_landscape_free(l);
    sw_model_free(model);
}

static void test_threads_give_equal_bits(void **state) {
    (void)state;
    enum { WIDE = 300 };
    double value[2], rise[2], first[3] = {0};
    for (int threads = 1; threads <= 4; threads *= 2) {
        assert_ok(sw_set_threads(threads));
        sw_model *m = sw_model_new(SW_F32, 3);
        assert_non_null(sw_model_build(m, sw_nn_sequential(m, sw_nn_linear(m, FEATURES, WIDE), sw_nn_tanh(m),
                                                           sw_nn_linear(m, WIDE, WIDE), sw_nn_batch_norm(m, 0),
                                                           sw_nn_linear(m, WIDE, CLASSES), NULL)));
        const sw_objective *f = sw_model_objective(m, &points, sw_cross_entropy);
        void *d = sw_alloc(params_bytes(f->params));
        sw_landscape *l = sw_landscape_new(f, NULL, &SW_OPTIONS(sw_landscape_options, .statistics = 20));
        assert_ok(sw_direction_random(f->params, sw_landscape_point(l), SW_SCALE_FILTERS, 1, d));
        assert_ok(sw_landscape_line(l, d, 2, (const double[]){-0.1, 0.2}, value));
        assert_ok(sw_landscape_sharpness(l, &SW_OPTIONS(sw_sharpness_options, .steps = 2), rise));
        assert_ok(sw_landscape_sharpness(l, &SW_OPTIONS(sw_sharpness_options, .steps = 2, .norm = INFINITY), rise + 1));
        if (threads > 1)
            assert_true(value[1] == first[0] && rise[0] == first[1] && rise[1] == first[2]);
        first[0] = value[1], first[1] = rise[0], first[2] = rise[1];
        sw_free(d);
        sw_landscape_free(l);
        sw_model_free(m);
    }
}

/* ---- Errors ---- */

static void test_refusals(void **state) {
    (void)state;
    quadratic q;
    double x[QUADRATIC_DIM] = {0}, value;
    const int64_t ids[1] = {0};
    quadratic_init(&q, SW_F64, spread, false);
    assert_null(sw_landscape_new(&q.f, NULL, &SW_OPTIONS(sw_landscape_options, .count = 2)));
    expect_error(SW_ERR_ARGUMENT, "landscape: count = 2; the objective has 1 samples");
    assert_null(sw_landscape_new(&q.f, NULL, &SW_OPTIONS(sw_landscape_options, .ids = ids)));
    expect_error(SW_ERR_ARGUMENT, "landscape: there are ids, but count is 0; set it to the number of ids");
    assert_null(sw_landscape_new(&q.f, NULL, &SW_OPTIONS(sw_landscape_options, .statistics = 2)));
    expect_error(SW_ERR_ARGUMENT, "landscape: statistics = 2; at most the 1 samples of the landscape");
    assert_null(sw_landscape_new(&q.f, NULL, &SW_OPTIONS(sw_landscape_options, .step = -1)));
    expect_error(SW_ERR_ARGUMENT,
                 "landscape: count = 0, chunk = 0, statistics = 0, step = -1; none may be negative, and "
                 "step must be finite");
    assert_null(sw_landscape_new(NULL, NULL, NULL));
    sw_clear_error();
    sw_landscape *l = sw_landscape_new(&q.f, NULL, NULL);
    assert_int_equal(sw_landscape_line(l, NULL, 1, &value, &value), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "landscape_line: d is NULL");
    assert_int_equal(sw_landscape_line(l, x, 1, NULL, &value), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "landscape_line: alpha is NULL");
    assert_int_equal(sw_landscape_line(l, x, 1, &value, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "landscape_line: values is NULL");
    assert_ok(sw_landscape_line(l, x, 0, NULL, NULL));
    assert_int_equal(sw_landscape_plane(l, NULL, x, 1, &value, 1, &value, &value), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "landscape_plane: u is NULL");
    assert_int_equal(sw_landscape_plane(l, x, x, 1, &value, 1, NULL, &value), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "landscape_plane: beta is NULL");
    assert_int_equal(sw_landscape_plane(l, x, x, -1, &value, 1, NULL, &value), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "landscape_plane: -1 columns and 1 rows; neither may be negative");
    assert_int_equal(sw_landscape_gradient(l, x, &value, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "landscape_gradient: g is NULL");
    assert_int_equal(sw_landscape_value(NULL, x, &value), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "landscape_value: the landscape is NULL");
    assert_int_equal(sw_direction_random(q.f.params, x, (sw_direction_scale)9, 1, x), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "direction_rescale: scale 9; a value of sw_direction_scale is needed");
    assert_null(sw_landscape_point(NULL));
    sw_landscape_free(NULL);
    sw_landscape_free(l);
    sw_params_free(q.f.params);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    for (long long k = 1, done = 0; !done; k++) {
        double value, d[64] = {0};
        const sw_objective *f = NULL;
        test_allocator_fail(&a, 0, false);
        sw_model *model = norm_net(SW_F64, 0.5, &f);
        test_allocator_fail(&a, k, true);
        sw_landscape *l = sw_landscape_new(f, NULL, &SW_OPTIONS(sw_landscape_options, .statistics = SAMPLES));
        const bool all = l && sw_landscape_line(l, d, 1, (const double[]){1}, &value) == SW_OK &&
                         sw_landscape_gradient(l, NULL, &value, d) == SW_OK;
        done = atomic_load(&a.failed) == 0;
        assert_true(all == (done != 0));
        assert_int_equal(sw_error_status(), done ? SW_OK : SW_ERR_MEMORY);
        sw_clear_error();
        if (done) { /* the second evaluation allocates nothing */
            test_allocator_fail(&a, 1, true);
            assert_ok(sw_landscape_line(l, d, 1, (const double[]){1}, &value));
            assert_ok(sw_landscape_gradient(l, NULL, &value, d));
        }
        sw_landscape_free(l);
        sw_model_free(model);
        assert_int_equal(atomic_load(&a.live), 0);
    }
    sw_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_scales_agree_with_plain_loops, test_no_error_left),
        cmocka_unit_test_teardown(test_random_directions_are_normal_and_named, test_no_error_left),
        cmocka_unit_test_teardown(test_plane_through_three_points, test_no_error_left),
        cmocka_unit_test_teardown(test_line_and_plane_of_a_quadratic, test_no_error_left),
        cmocka_unit_test_teardown(test_statistics_are_estimated_at_each_point, test_no_error_left),
        cmocka_unit_test_teardown(test_statistics_that_overflow, test_no_error_left),
        cmocka_unit_test_teardown(test_gradient_with_statistics, test_no_error_left),
        cmocka_unit_test_teardown(test_modes_chunks_and_threads, test_no_error_left),
        cmocka_unit_test_teardown(test_threads_give_equal_bits, test_no_error_left),
        cmocka_unit_test_teardown(test_refusals, test_no_error_left),
        cmocka_unit_test_teardown(test_every_allocation_fails, test_no_error_left),
    };
    return cmocka_run_group_tests_name("landscape", tests, NULL, NULL);
}
