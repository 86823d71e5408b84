/* Planes: axes, gradients, training of a pattern. */
#define SAMPLES 37
#define POINTS_END 2
#include "helpers.h"
#include "points.h"
#include "quadratic.h"

#include <swale/nn.h>
#include <swale/plane.h>
#include <swale/train.h>

#include <float.h>

enum { POINTS = 5 };
static const double place_a[POINTS] = {0, 1, -1, 0.5, -0.75}, place_b[POINTS] = {0, 0.5, 1, -1, -0.5};

/* h_p(l) = (l - p)² */
static double squared_distance(void *user, int64_t point, double loss, double *slope) {
    (void)user;
    *slope = 2 * (loss - (double)point);
    return (loss - (double)point) * (loss - (double)point);
}

static double decreasing(int i) {
    return 2 - 0.03 * i;
}

typedef struct start {
    double o[QUADRATIC_DIM], u[QUADRATIC_DIM], v[QUADRATIC_DIM];
} start;

static start start_new(sw_dtype type) {
    start s;
    uint64_t seed = 17;
    for (int i = 0; i < QUADRATIC_DIM; i++) {
        vec_set(type, s.o, i, test_uniform(&seed, -0.5, 0.5));
        vec_set(type, s.u, i, test_uniform(&seed, -0.3, 0.5));
        vec_set(type, s.v, i, test_uniform(&seed, -0.3, 0.5));
    }
    return s;
}

static sw_plane_options plane_options(void) {
    return SW_OPTIONS(sw_plane_options, .points = POINTS, .a = place_a, .b = place_b, .pattern = squared_distance);
}

/* u is unchanged, v is orthogonal to it, has its length, and lies in the plane of both. 60 products up to 1: 60 units.
 * The parameters are three vectors with their roles and shapes. */
static void test_axes(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        const sw_dtype type = both_types[k];
        const double unit = type == SW_F64 ? DBL_EPSILON : FLT_EPSILON;
        quadratic q;
        double o[QUADRATIC_DIM], u[QUADRATIC_DIM], v[QUADRATIC_DIM];
        quadratic_init(&q, type, decreasing, true);
        const start s = start_new(type);
        const sw_plane_options how = plane_options();
        sw_plane *c = sw_plane_new(&q.f, s.o, s.u, s.v, &how);
        assert_non_null(c);
        assert_ok(sw_plane_axes(c, NULL, o, u, v));
        assert_memory_equal(o, s.o, QUADRATIC_DIM * sw_dtype_size(type));
        assert_memory_equal(u, s.u, QUADRATIC_DIM * sw_dtype_size(type));
        double uu = 0, uv = 0, vv = 0, old_u = 0, old_v = 0, old = 0;
        for (int i = 0; i < QUADRATIC_DIM; i++) {
            const double x = vec_get(type, u, i), y = vec_get(type, v, i), z = vec_get(type, s.v, i);
            uu += x * x, uv += x * y, vv += y * y, old_u += x * z, old_v += y * z, old += z * z;
        }
        assert_true(fabs(uv) < 60 * unit && fabs(uu - vv) < 60 * unit * uu);
        assert_true(old_v > 0);
        assert_true(fabs(old_u * old_u / uu + old_v * old_v / vv - old) < 60 * 4 * unit * old); /* Pythagoras */
        const sw_params *p = sw_plane_params(c);
        assert_int_equal(sw_params_dim(p), 3 * QUADRATIC_DIM);
        assert_int_equal(sw_params_find(p, "v.a")->shape[1], 6);
        assert_int_equal(sw_plane_objective(c)->n, POINTS);
        sw_plane_free(c);
        sw_params_free(q.f.params);
    }
}

/* The value is the mean of the pattern at points of the axes, and the gradient that of central differences with h =
 * 1e-5: h²/6 F''' + rounding ε|F|/h, for F of order 10 with derivatives of order 100: 1e-8. */
static void test_value_and_gradient(void **state) {
    (void)state;
    quadratic q;
    double u[QUADRATIC_DIM], v[QUADRATIC_DIM], at[QUADRATIC_DIM], value, loss, slope, expected = 0, worst = 0;
    quadratic_init(&q, SW_F64, decreasing, true);
    const start s = start_new(SW_F64);
    const sw_plane_options how = plane_options();
    const int64_t some[3] = {4, 1, 2};
    sw_plane *c = sw_plane_new(&q.f, s.o, s.u, s.v, &how);
    const sw_objective *f = sw_plane_objective(c);
    sw_tape *tape = sw_tape_new();
    sw_gradient *g = sw_gradient_new(f->params);
    assert_ok(sw_plane_axes(c, NULL, NULL, u, v));
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < QUADRATIC_DIM; i++)
            at[i] = s.o[i] + place_a[some[k]] * u[i] + place_b[some[k]] * v[i];
        assert_ok(quadratic_gradient(&q, at, NULL, 0, 0, &loss, NULL));
        expected += squared_distance(NULL, some[k], loss, &slope) / 3;
    }
    assert_ok(sw_objective_gradient(f, tape, NULL, some, 3, 0, &value, g));
    assert_true(fabs(value - expected) < 1e-11);
    double *x = sw_params_x(f->params);
    for (int i = 0; i < 3 * QUADRATIC_DIM; i++) {
        const double kept = x[i], h = 1e-5;
        double up = 0, down = 0;
        x[i] = kept + h;
        assert_ok(sw_objective_value(f, tape, NULL, some, 3, 0, &up));
        x[i] = kept - h;
        assert_ok(sw_objective_value(f, tape, NULL, some, 3, 0, &down));
        x[i] = kept;
        worst = fmax(worst, fabs((up - down) / (2 * h) - ((double *)sw_gradient_data(g))[i]));
    }
    print_message("%.1e from central differences\n", worst);
    assert_true(worst < 1e-8);
    sw_gradient_free(g);
    sw_tape_free(tape);
    sw_plane_free(c);
    sw_params_free(q.f.params);
}

/* On a plane, a quadratic function has six coefficients, so that five losses can be anything that a convex one can
 * have: here 1.5 + |(a, b)|² - 0.3a at the five points. L-BFGS makes the squares as small as
 * rounding allows. */
static double convex_pattern(void *user, int64_t p, double loss, double *slope) {
    (void)user;
    const double target = 1.5 + place_a[p] * place_a[p] + place_b[p] * place_b[p] - 0.3 * place_a[p];
    *slope = 2 * (loss - target);
    return (loss - target) * (loss - target);
}

static void test_exact_pattern(void **state) {
    (void)state;
    quadratic q;
    double loss = NAN, axis[3][QUADRATIC_DIM];
    quadratic_init(&q, SW_F64, decreasing, true);
    const start s = start_new(SW_F64);
    sw_plane_options how = plane_options();
    how.pattern = convex_pattern;
    sw_plane *c = sw_plane_new(&q.f, s.o, s.u, s.v, &how);
    sw_optim *optim = NEW_OPTIM(sw_plane_params(c), .estimator = "full", .rule = "lbfgs", .schedule = "wolfe");
    sw_status status = SW_OK; /* skipped: at the minimum, the search finds no step */
    for (int i = 0; i < 60 && status == SW_OK; i++)
        status = sw_optim_minimize(optim, sw_plane_objective(c), &loss);
    assert_true(status == SW_OK || status == SW_SKIPPED);
    assert_ok(sw_plane_axes(c, NULL, axis[0], axis[1], axis[2]));
    sw_landscape *l = sw_landscape_new(&q.f, axis[0], NULL);
    for (int p = 0; p < POINTS; p++) {
        double value, slope;
        assert_ok(sw_landscape_plane(l, axis[1], axis[2], 1, &place_a[p], 1, &place_b[p], &value));
        assert_true(convex_pattern(NULL, p, value, &slope) < 1e-19);
    }
    sw_landscape_free(l);
    sw_optim_free(optim);
    sw_plane_free(c);
    sw_params_free(q.f.params);
}

/* ---- A network with a buffer and a frozen parameter ---- */

typedef struct net {
    sw_model *model;
    const sw_objective *f;
    int64_t dim;
    double o[64], u[64], v[64]; /* of the type of x */
} net;

static net net_new(sw_dtype type) {
    net n = {.model = sw_model_new(type, 3)};
    sw_model *m = n.model;
    sw_params *p = sw_model_build(m, sw_nn_sequential(m, sw_nn_linear(m, FEATURES, 4), sw_nn_batch_norm(m, 0),
                                                      sw_nn_tanh(m), sw_nn_linear(m, 4, CLASSES), NULL));
    assert_non_null(p);
    n.f = sw_model_objective(m, &points, sw_cross_entropy);
    n.dim = sw_params_dim(p);
    assert_true(n.dim <= 64);
    memcpy(n.o, sw_params_x(p), params_bytes(p));
    assert_ok(sw_direction_random(p, n.o, SW_SCALE_TENSORS, 1, n.u));
    assert_ok(sw_direction_random(p, n.o, SW_SCALE_TENSORS, 2, n.v));
    return n;
}

/* Low loss at the first two points, high loss, up to 2, at the others; above 2 the slope is 0. */
static double low_or_high(void *user, int64_t point, double loss, double *slope) {
    ++*(int *)user;
    *slope = point < 2 ? 1 : loss < 2 ? -1 : 0;
    return point < 2 ? loss : -fmin(loss, 2);
}

/* Five steps of two or more points each, except for the last batch of an epoch: at least 9 losses. */
static uint64_t trained_plane(sw_dtype type, const char *estimator, const char *rule, double *loss) {
    int calls = 0;
    net n = net_new(type);
    sw_plane_options how = plane_options();
    how.pattern = low_or_high, how.user = &calls, how.batch = 8;
    sw_plane *c = sw_plane_new(n.f, n.o, n.u, n.v, &how);
    sw_params *p = sw_plane_params(c);
    sw_optim *o = NEW_OPTIM(p, .estimator = estimator, .rule = rule, .seed = 3);
    for (int i = 0; i < 5; i++)
        assert_ok(sw_optim_minimize(o, sw_plane_objective(c), loss));
    if (!isfinite(*loss))
        fail_msg("%s, %s: %g", estimator, rule, *loss);
    assert_true(calls >= 9);
    const uint64_t hash = test_hash(TEST_HASH, sw_params_x(p), params_bytes(p));
    sw_optim_free(o);
    sw_plane_free(c);
    sw_model_free(n.model);
    return hash;
}

static void test_any_optimizer_trains_it(void **state) {
    (void)state;
    static const char *const how[][2] = {{"minibatch batch=2", "adamw lr=1e-2"},
                                         {"full", "muon lr=1e-2"},
                                         {"full shards=2", "shampoo lr=1e-2"},
                                         {"sam rho=0.05 of=minibatch batch=2", "sgd lr=0.1 momentum=0.9"}};
    const sw_dtype types[3] = {SW_F32, SW_F64, SW_BF16};
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
            uint64_t hash[3];
            double loss[3];
            for (int threads = 1; threads <= 3; threads++) {
                assert_ok(sw_set_threads(threads));
                hash[threads - 1] = trained_plane(types[k], how[i][0], how[i][1], &loss[threads - 1]);
            }
            assert_true(hash[0] == hash[1] && hash[1] == hash[2] && loss[0] == loss[2]);
        }
}

/* Frozen elements have directions of 0; buffers belong to the origin, and are 0 in the axes. A batch depends on the
 * draw; all samples do not. The mean of 4000 batches of 8 is within four of its standard errors, 0.02 each, of the mean
 * over all samples, without batch normalization, which would be computed by batches. */
static void test_frozen_buffers_and_batches(void **state) {
    (void)state;
    net n = net_new(SW_F64);
    sw_param *bias = sw_params_find(n.f->params, "linear2.bias");
    sw_param_freeze(bias, true);
    double o[64], u[64], v[64], value[3], mean = 0, square = 0, whole;
    sw_plane_options how = plane_options();
    how.pattern = NULL, how.batch = 8;
    sw_plane *c = sw_plane_new(n.f, n.o, n.u, n.v, &how);
    assert_true(sw_params_find(sw_plane_params(c), "u.linear2.bias")->frozen);
    assert_ok(sw_plane_axes(c, NULL, o, u, v));
    assert_memory_equal(o, n.o, (size_t)n.dim * sizeof *o);
    for (int64_t i = 0; i < n.dim; i++)
        if (i >= n.dim - sw_params_buffer_dim(n.f->params) || (i >= bias->offset && i < bias->offset + bias->count))
            assert_true(u[i] == 0 && v[i] == 0);
    sw_tape *tape = sw_tape_new();
    for (int i = 0; i < 3; i++)
        assert_ok(sw_objective_value(sw_plane_objective(c), tape, NULL, NULL, POINTS, (uint64_t)i / 2, &value[i]));
    assert_true(value[0] == value[1] && value[0] != value[2]);
    sw_plane_free(c);
    sw_model *m = sw_model_new(SW_F64, 1);
    assert_non_null(sw_model_build(m, sw_nn_linear(m, FEATURES, CLASSES)));
    const sw_objective *f = sw_model_objective(m, &points, sw_cross_entropy);
    how.points = 1; /* the origin */
    c = sw_plane_new(f, sw_params_x(f->params), n.u, n.v, &how);
    for (uint64_t draw = 0; draw < 4000; draw++) {
        assert_ok(sw_objective_value(sw_plane_objective(c), tape, NULL, NULL, 1, draw, value));
        mean += value[0] / 4000;
        square += value[0] * value[0] / 4000;
    }
    assert_ok(sw_objective_value(f, tape, NULL, NULL, SAMPLES, 0, &whole));
    assert_true(fabs(mean - whole) < 4 * sqrt((square - mean * mean) / 4000));
    sw_tape_free(tape);
    sw_plane_free(c);
    sw_model_free(m);
    sw_model_free(n.model);
}

/* ---- Errors ---- */

static double no_slope(void *user, int64_t point, double loss, double *slope) {
    (void)user, (void)point;
    *slope = 0;
    return isfinite(loss) ? 0 : 1;
}

static void test_refusals(void **state) {
    (void)state;
    net n = net_new(SW_F64);
    sw_plane_options how = plane_options();
    assert_null(sw_plane_new(n.f, n.o, NULL, n.v, &how));
    expect_error(SW_ERR_ARGUMENT, "plane: u is NULL");
    assert_null(sw_plane_new(n.f, n.o, n.u, n.u, &how));
    expect_error(SW_ERR_ARGUMENT, "plane: u is 0, v is a multiple of u, or one of them is not finite");
    assert_null(sw_plane_new(n.f, n.o, n.u, n.v, NULL));
    expect_error(SW_ERR_ARGUMENT,
                 "plane: 0 points without coordinates; at least 1 is needed, with the coordinates a and b");
    sw_plane_options one = how;
    one.points = 1, one.a = (double[]){0.5}, one.b = (double[]){INFINITY};
    assert_null(sw_plane_new(n.f, n.o, n.u, n.v, &one));
    expect_error(SW_ERR_ARGUMENT, "plane: point 0 is (0.5, inf); finite coordinates are needed");
    how.batch = -1;
    assert_null(sw_plane_new(n.f, n.o, n.u, n.v, &how));
    expect_error(SW_ERR_ARGUMENT, "plane: batch = -1, chunk = 0; neither may be negative");
    sw_objective empty = *n.f;
    empty.n = 0, how.batch = 1;
    assert_null(sw_plane_new(&empty, n.o, n.u, n.v, &how));
    expect_error(SW_ERR_ARGUMENT, "plane: the objective has 0 samples; at least 1 is needed");
    how.batch = 0, how.pattern = no_slope;
    sw_plane *c = sw_plane_new(n.f, n.o, n.u, n.v, &how);
    sw_params *p = sw_plane_params(c);
    sw_gradient *g = sw_gradient_new(p);
    sw_tape *tape = sw_tape_new();
    double *x = sw_params_x(p), value;
    x[0] = INFINITY; /* no loss is finite, and no slope is positive */
    assert_ok(sw_objective_gradient(sw_plane_objective(c), tape, NULL, NULL, POINTS, 0, &value, g));
    assert_true(value == 1);
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        assert_true(((double *)sw_gradient_data(g))[i] == 0);
    memset(x, 0, params_bytes(p));
    assert_int_equal(sw_objective_value(sw_plane_objective(c), tape, NULL, NULL, POINTS, 0, &value), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "plane: u is 0, v is a multiple of u, or one of them is not finite");
    assert_int_equal(sw_plane_axes(NULL, x, NULL, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "plane_axes: the plane is NULL");
    assert_true(!sw_plane_params(NULL) && !sw_plane_objective(NULL));
    sw_gradient_free(g);
    sw_tape_free(tape);
    sw_plane_free(NULL);
    sw_plane_free(c);
    sw_model_free(n.model);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    for (long long k = 1, done = 0; !done; k++) {
        test_allocator_fail(&a, 0, false);
        net n = net_new(SW_F64);
        sw_plane_options how = plane_options();
        how.batch = 5;
        sw_tape *tape = sw_tape_new();
        test_allocator_fail(&a, k, true);
        sw_plane *c = sw_plane_new(n.f, n.o, n.u, n.v, &how);
        sw_gradient *g = c ? sw_gradient_new(sw_plane_params(c)) : NULL;
        const bool all =
            c && g && sw_objective_gradient(sw_plane_objective(c), tape, NULL, NULL, POINTS, 0, NULL, g) == SW_OK;
        done = atomic_load(&a.failed) == 0;
        assert_true(all == (done != 0));
        assert_int_equal(sw_error_status(), done ? SW_OK : SW_ERR_MEMORY);
        sw_clear_error();
        if (done) { /* the second evaluation allocates nothing */
            test_allocator_fail(&a, 1, true);
            assert_ok(sw_objective_gradient(sw_plane_objective(c), tape, NULL, NULL, POINTS, 1, NULL, g));
        }
        sw_gradient_free(g);
        sw_plane_free(c);
        sw_tape_free(tape);
        sw_model_free(n.model);
        assert_int_equal(atomic_load(&a.live), 0);
    }
    sw_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_axes, test_no_error_left),
        cmocka_unit_test_teardown(test_value_and_gradient, test_no_error_left),
        cmocka_unit_test_teardown(test_exact_pattern, test_no_error_left),
        cmocka_unit_test_teardown(test_any_optimizer_trains_it, test_no_error_left),
        cmocka_unit_test_teardown(test_frozen_buffers_and_batches, test_no_error_left),
        cmocka_unit_test_teardown(test_refusals, test_no_error_left),
        cmocka_unit_test_teardown(test_every_allocation_fails, test_no_error_left),
    };
    return cmocka_run_group_tests_name("plane", tests, NULL, NULL);
}
