/* Curves between two vectors: points, gradients, training through several methods. */
#define SAMPLES 37
#define POINTS_END 2
#include "helpers.h"
#include "points.h"

#include <swale/curve.h>
#include <swale/nn.h>
#include <swale/train.h>

#include <float.h>

/* ---- A network with a buffer, a tied and a frozen parameter ---- */

typedef struct ends {
    sw_model *model;
    const sw_objective *f;
    sw_dtype type;
    int64_t dim, trained;
    double start[64], end[64]; /* of the type of x */
} ends;

static ends ends_new(sw_dtype type) {
    ends e = {.model = sw_model_new(type, 3)};
    sw_model *m = e.model;
    sw_params *p = sw_model_build(m, sw_nn_sequential(m, sw_nn_linear(m, FEATURES, 4), sw_nn_batch_norm(m, 0),
                                                      sw_nn_tanh(m), sw_nn_linear(m, 4, CLASSES), NULL));
    assert_non_null(p);
    e.f = sw_model_objective(m, &points, sw_cross_entropy);
    e.type = sw_params_type(p);
    e.dim = sw_params_dim(p);
    e.trained = e.dim - sw_params_buffer_dim(p);
    uint64_t seed = 11;
    assert_true(e.dim <= 64);
    for (int64_t i = 0; i < e.dim; i++) {
        vec_set(e.type, e.start, i, test_uniform(&seed, 0.5, 1.5));
        vec_set(e.type, e.end, i, test_uniform(&seed, -1.5, -0.5));
    }
    return e;
}

static double binomial(int n, int k) {
    return k == 0 ? 1 : binomial(n - 1, k - 1) * n / k;
}

/* c_k(t) of the header. */
static double weight(sw_curve_form form, int bends, int k, double t) {
    const int n = bends + 1;
    if (form == SW_CURVE_BEZIER)
        return binomial(n, k) * pow(t, k) * pow(1 - t, n - k);
    const double at = t * n - k;
    return at <= -1 || at >= 1 ? 0 : at < 0 ? 1 + at : 1 - at;
}

static double theta(const ends *e, const sw_curve *c, int bends, int k, int64_t i) {
    return k == 0           ? vec_get(e->type, e->start, i)
           : k == bends + 1 ? vec_get(e->type, e->end, i)
                            : vec_get(e->type, sw_params_x(sw_curve_params(c)), (k - 1) * e->trained + i);
}

/* At first the curve is the straight line; then the bends get random numbers. Sums of n + 2 terms up to 2, each rounded
 * once: 4 (n + 2) units. */
static void test_points_of_both_forms(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++)
        for (int form = 0; form < 2; form++)
            for (int bends = 1; bends <= 4; bends++) {
                ends e = ends_new(both_types[k]);
                double out[64];
                const double unit = e.type == SW_F64 ? DBL_EPSILON : FLT_EPSILON, tolerance = 4 * (bends + 2) * unit;
                sw_curve *c = sw_curve_new(e.f, e.start, e.end,
                                           &SW_OPTIONS(sw_curve_options, .form = (sw_curve_form)form, .bends = bends));
                void *x = sw_params_x(sw_curve_params(c));
                assert_int_equal(sw_params_dim(sw_curve_params(c)), bends * e.trained);
                for (int drawn = 0; drawn < 2; drawn++) {
                    for (double t = 0; t <= 1; t += 0.125) {
                        assert_ok(sw_curve_point(c, NULL, t, out));
                        for (int64_t i = 0; i < e.dim; i++) {
                            double expected = (1 - t) * vec_get(e.type, e.start, i) + t * vec_get(e.type, e.end, i);
                            if (drawn && i < e.trained) {
                                expected = 0;
                                for (int n = 0; n <= bends + 1; n++)
                                    expected += weight((sw_curve_form)form, bends, n, t) * theta(&e, c, bends, n, i);
                            }
                            assert_true(fabs(vec_get(e.type, out, i) - expected) <= tolerance);
                        }
                        if (t == 0 || t == 1)
                            assert_memory_equal(out, t == 0 ? e.start : e.end, (size_t)e.dim * sw_dtype_size(e.type));
                    }
                    uint64_t seed = 5;
                    for (int64_t i = 0; i < bends * e.trained; i++)
                        vec_set(e.type, x, i, test_uniform(&seed, -2, 2));
                }
                sw_curve_free(c);
                sw_model_free(e.model);
            }
}

/* Central differences of the objective's value with h = 1e-5, for some draws: h²/6 f''' + ε/h < 1e-8 for f of order 1.
 * The value is that of f at the point, in training mode. */
static void test_gradient_agrees_with_differences(void **state) {
    (void)state;
    const int64_t ids[6] = {3, 1, 4, 10, 5, 9};
    for (int form = 0; form < 2; form++) {
        ends e = ends_new(SW_F64);
        const sw_curve_options how = {.size = sizeof how, .form = (sw_curve_form)form, .bends = 3, .seed = 2};
        sw_curve *c = sw_curve_new(e.f, e.start, e.end, &how);
        sw_params *p = sw_curve_params(c);
        const sw_objective *f = sw_curve_objective(c);
        sw_gradient *g = sw_gradient_new(p);
        sw_tape *tape = sw_tape_new();
        double *x = sw_params_x(p), point[64], value, expected, worst = 0;
        for (uint64_t draw = 0; draw < 3; draw++) {
            assert_ok(sw_objective_gradient(f, tape, NULL, ids, 6, draw, &value, g));
            assert_ok(sw_curve_point(c, NULL, sw_curve_t(c, draw), point));
            assert_ok(sw_objective_value(e.f, tape, point, ids, 6, draw, &expected));
            assert_true(value == expected);
            for (int64_t i = 0; i < sw_params_dim(p); i++) {
                const double kept = x[i], h = 1e-5;
                double up = 0, down = 0;
                x[i] = kept + h;
                assert_ok(sw_objective_value(f, tape, NULL, ids, 6, draw, &up));
                x[i] = kept - h;
                assert_ok(sw_objective_value(f, tape, NULL, ids, 6, draw, &down));
                x[i] = kept;
                worst = fmax(worst, fabs((up - down) / (2 * h) - ((double *)sw_gradient_data(g))[i]));
            }
        }
        print_message("form %d: %.1e from central differences\n", form, worst);
        assert_true(worst < 1e-8);
        sw_gradient_free(g);
        sw_tape_free(tape);
        sw_curve_free(c);
        sw_model_free(e.model);
    }
}

/* Names, roles and shapes; what is frozen stays on the line; buffers have no bends; t is uniform: its mean over 10^4
 * draws is within 4 sqrt(1/12/10^4). */
static void test_parameters_and_draws(void **state) {
    (void)state;
    ends e = ends_new(SW_F64);
    sw_param *from = sw_params_find(e.f->params, "linear2.weight");
    sw_param_freeze(from, true);
    sw_curve *c = sw_curve_new(e.f, e.start, e.end, &SW_OPTIONS(sw_curve_options, .bends = 2, .seed = 4));
    const sw_param *bend = sw_params_find(sw_curve_params(c), "bend2.linear2.weight");
    assert_non_null(bend);
    assert_true(bend->frozen && bend->role == from->role && bend->rank == 2 && bend->shape[1] == 4);
    assert_int_equal(bend->offset, e.trained + from->offset);
    assert_int_equal(bend->fan_in, from->fan_in);
    sw_optim *o = NEW_OPTIM(sw_curve_params(c), .rule = "sgd lr=0.1");
    for (int i = 0; i < 3; i++)
        assert_ok(sw_optim_minimize(o, sw_curve_objective(c), NULL));
    const double *x = sw_params_x(sw_curve_params(c));
    for (int64_t i = 0; i < 4 * FEATURES; i++) /* linear1.weight */
        assert_true(fabs(x[e.trained + i] - (e.start[i] + 2 * e.end[i]) / 3) > 1e-9);
    for (int64_t i = from->offset; i < from->offset + from->count; i++)
        assert_true(fabs(x[e.trained + i] - (e.start[i] + 2 * e.end[i]) / 3) < 1e-15);
    double mean = 0;
    for (uint64_t draw = 0; draw < 10000; draw++) {
        const double t = sw_curve_t(c, draw);
        assert_true(t >= 0 && t < 1);
        mean += t / 10000;
    }
    assert_true(fabs(mean - 0.5) < 4 * sqrt(1.0 / 12 / 10000));
    sw_optim_free(o);
    sw_curve_free(c);
    sw_model_free(e.model);
}

/* A frozen parameter that is infinite at both ends, such as an attention mask, stays so. */
static void test_frozen_infinity(void **state) {
    (void)state;
    ends e = ends_new(SW_F64);
    sw_param *bias = sw_params_find(e.f->params, "linear2.bias");
    double out[64];
    sw_param_freeze(bias, true);
    e.start[bias->offset] = e.end[bias->offset] = -INFINITY;
    sw_curve *c = sw_curve_new(e.f, e.start, e.end, &SW_OPTIONS(sw_curve_options, .bends = 2));
    for (double t = 0; t <= 1; t += 0.25) {
        assert_ok(sw_curve_point(c, NULL, t, out));
        assert_true(out[bias->offset] == -INFINITY && isfinite(out[bias->offset + 1]));
    }
    sw_curve_free(c);
    sw_model_free(e.model);
}

/* Chunks of a network without batch normalization give the value and gradient of the whole up to rounding: means of
 * 3000 terms of order 1. More samples need no more memory on the tape: with the default chunk 3000 samples need as much
 * as 1000, and in one chunk more than twice as much. */
static void test_chunks(void **state) {
    (void)state;
    enum { MANY = 3000 };
    static const struct { int64_t chunk, count; } runs[] = {{MANY, MANY}, {0, MANY}, {0, 1000}};
    sw_model *m = sw_model_new(SW_F64, 3);
    sw_source many = points;
    many.n = MANY;
    assert_non_null(sw_model_build(
        m, sw_nn_sequential(m, sw_nn_linear(m, FEATURES, 20), sw_nn_tanh(m), sw_nn_linear(m, 20, CLASSES), NULL)));
    const sw_objective *f = sw_model_objective(m, &many, sw_cross_entropy);
    double start[200] = {0}, g[2][200], value[3];
    size_t bytes[3];
    sw_tape *tape = sw_tape_new();
    for (int i = 0; i < 3; i++) {
        const size_t before = sw_memory_live(SW_ACCOUNT_TAPE);
        sw_curve *c =
            sw_curve_new(f, sw_params_x(f->params), start, &SW_OPTIONS(sw_curve_options, .chunk = runs[i].chunk));
        sw_gradient *block = sw_gradient_new(sw_curve_params(c));
        const int64_t dim = sw_params_dim(sw_curve_params(c));
        assert_true(dim <= 200);
        assert_ok(sw_objective_gradient(sw_curve_objective(c), tape, NULL, NULL, runs[i].count, 0, &value[i], block));
        if (i < 2)
            memcpy(g[i], sw_gradient_data(block), (size_t)dim * sizeof *start);
        for (int64_t k = 0; i == 1 && k < dim; k++)
            assert_true(fabs(g[0][k] - g[1][k]) < MANY * DBL_EPSILON);
        bytes[i] = sw_memory_live(SW_ACCOUNT_TAPE) - before;
        double alone;
        assert_ok(sw_objective_value(sw_curve_objective(c), tape, NULL, NULL, runs[i].count, 0, &alone));
        assert_true(alone == value[i]);
        sw_gradient_free(block);
        sw_curve_free(c);
    }
    assert_true(fabs(value[0] - value[1]) < MANY * DBL_EPSILON);
    assert_true(bytes[1] == bytes[2] && bytes[0] > 2 * bytes[1]);
    sw_tape_free(tape);
    sw_model_free(m);
}

static uint64_t trained_bends(sw_dtype type, const char *estimator, const char *rule, double *loss) {
    ends e = ends_new(type);
    sw_curve *c = sw_curve_new(e.f, e.start, e.end, NULL);
    sw_params *p = sw_curve_params(c);
    sw_optim *o = NEW_OPTIM(p, .estimator = estimator, .rule = rule, .seed = 3);
    for (int i = 0; i < 8; i++)
        assert_ok(sw_optim_minimize(o, sw_curve_objective(c), loss));
    assert_true(isfinite(*loss));
    const uint64_t hash = test_hash(TEST_HASH, sw_params_x(p), params_bytes(p));
    sw_optim_free(o);
    sw_curve_free(c);
    sw_model_free(e.model);
    return hash;
}

/* Any estimator and rule trains a curve, with equal bits for equal seeds and every number of threads. The bends of a
 * model in 16 bits are f32. */
static void test_any_optimizer_trains_it(void **state) {
    (void)state;
    static const char *const how[][2] = {{"minibatch batch=8", "adamw lr=1e-2"},
                                         {"minibatch batch=8 shards=2", "muon lr=1e-2"},
                                         {"sam rho=0.05 of=minibatch batch=8", "sgd lr=0.1 momentum=0.9"},
                                         {"full", "shampoo lr=1e-2"},
                                         {"svrg batch=8", "sgd lr=0.1"}};
    const sw_dtype types[3] = {SW_F32, SW_F64, SW_BF16};
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
            uint64_t hash[3];
            double loss[3];
            for (int threads = 1; threads <= 3; threads++) {
                assert_ok(sw_set_threads(threads));
                hash[threads - 1] = trained_bends(types[k], how[i][0], how[i][1], &loss[threads - 1]);
            }
            assert_true(hash[0] == hash[1] && hash[1] == hash[2] && loss[0] == loss[2]);
        }
}

/* ---- f(x, y) = (x² + y² - 1)², which is 0 on a circle ---- */

static sw_status ring_gradient(void *user, const void *at, const int64_t *ids, int64_t count, uint64_t draw,
                               double *value, void *g) {
    const double *x = at, excess = x[0] * x[0] + x[1] * x[1] - 1;
    (void)user, (void)ids, (void)count, (void)draw;
    *value = excess * excess;
    for (int i = 0; g && i < 2; i++)
        ((double *)g)[i] = 4 * excess * x[i];
    return SW_OK;
}

static double ring(double x, double y) {
    return (x * x + y * y - 1) * (x * x + y * y - 1);
}

/* Mean and maximum of f along a curve from (-0.8, 0.6) to (0.8, 0.6) with one bend at (0, y). */
static double along_ring(sw_curve_form form, double y, double *most) {
    double mean = 0;
    *most = 0;
    for (int i = 0; i < 1000; i++) {
        const double t = (i + 0.5) / 1000, a = weight(form, 1, 0, t), b = weight(form, 1, 1, t),
                     c = weight(form, 1, 2, t), value = ring(0.8 * (c - a), 0.6 * (a + c) + y * b);
        mean += value / 1000;
        *most = fmax(*most, value);
    }
    return mean;
}

/* The straight line has the barrier (0.6² - 1)² = 0.41. The best bend is (0, y) for symmetry, with y by a search in
 * steps of 0.001. Adam with a step that decreases to 0 over 3000 steps reaches the minimum of the mean up to noise: the
 * mean at its end may be 2 % above the best one, far below the distance from the line. */
static void test_bend_around_a_barrier(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F64, 1);
    sw_params_add(p, "x", SW_SHAPE(2), NULL);
    assert_ok(sw_params_build(p));
    const sw_objective f = {.size = sizeof f, .n = 1, .params = p, .gradient = ring_gradient};
    const double start[2] = {-0.8, 0.6}, end[2] = {0.8, 0.6};
    for (int form = 0; form < 2; form++) {
        sw_curve *c = sw_curve_new(&f, start, end, &SW_OPTIONS(sw_curve_options, .form = (sw_curve_form)form));
        sw_optim *o = NEW_OPTIM(sw_curve_params(c), .rule = "adam lr=0.02", .schedule = "cosine", .total_steps = 3000);
        for (int i = 0; i < 3000; i++)
            assert_ok(sw_optim_minimize(o, sw_curve_objective(c), NULL));
        const double *bend = sw_params_x(sw_curve_params(c));
        double best = INFINITY, best_y = 0, most, line_most;
        for (double y = 0.6; y < 3; y += 0.001) {
            const double mean = along_ring((sw_curve_form)form, y, &most);
            if (mean < best)
                best = mean, best_y = y;
        }
        along_ring((sw_curve_form)form, 0.6, &line_most);
        const double mean = along_ring((sw_curve_form)form, bend[1], &most);
        print_message("form %d: bend (%.3f, %.3f), best (0, %.3f); mean %.5f, best %.5f; maximum %.4f, line %.4f\n",
                      form, bend[0], bend[1], best_y, mean, best, most, line_most);
        assert_true(fabs(line_most - 0.4096) < 1e-5);
        assert_true(fabs(bend[0]) < 0.05 && fabs(bend[1] - best_y) < 0.05);
        assert_true(mean < 1.02 * best && most < 0.25 * line_most);
        sw_optim_free(o);
        sw_curve_free(c);
    }
    sw_params_free(p);
}

/* ---- Errors ---- */

static void test_refusals(void **state) {
    (void)state;
    ends e = ends_new(SW_F64);
    double out[64];
    assert_null(sw_curve_new(e.f, e.start, NULL, NULL));
    expect_error(SW_ERR_ARGUMENT, "curve: the end is NULL");
    assert_null(sw_curve_new(e.f, e.start, e.end, &SW_OPTIONS(sw_curve_options, .bends = 17)));
    expect_error(SW_ERR_ARGUMENT, "curve: 17 bends; it needs 1 to 16");
    assert_null(sw_curve_new(e.f, e.start, e.end, &SW_OPTIONS(sw_curve_options, .form = (sw_curve_form)2)));
    expect_error(SW_ERR_ARGUMENT, "curve: form 2; SW_CURVE_BEZIER or SW_CURVE_POLYCHAIN is needed");
    assert_null(sw_curve_new(e.f, e.start, e.end, &SW_OPTIONS(sw_curve_options, .chunk = -1)));
    expect_error(SW_ERR_ARGUMENT, "curve: chunk = -1; it must be positive, or 0 for 1000");
    sw_curve *c = sw_curve_new(e.f, e.start, e.end, NULL);
    assert_int_equal(sw_curve_point(c, NULL, 1.5, out), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "curve_point: t = 1.5; it must be from 0 to 1");
    assert_int_equal(sw_curve_point(c, NULL, 0, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "curve_point: out is NULL");
    assert_true(!sw_curve_params(NULL) && !sw_curve_objective(NULL));
    sw_curve_free(NULL);
    sw_curve_free(c);
    sw_model_free(e.model);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    for (long long k = 1, done = 0; !done; k++) {
        test_allocator_fail(&a, 0, false);
        ends e = ends_new(SW_F64);
        sw_tape *tape = sw_tape_new();
        test_allocator_fail(&a, k, true);
        sw_curve *c = sw_curve_new(e.f, e.start, e.end, NULL);
        sw_gradient *g = c ? sw_gradient_new(sw_curve_params(c)) : NULL;
        const bool all =
            c && g && sw_objective_gradient(sw_curve_objective(c), tape, NULL, NULL, 9, 0, NULL, g) == SW_OK;
        done = atomic_load(&a.failed) == 0;
        assert_true(all == (done != 0));
        assert_int_equal(sw_error_status(), done ? SW_OK : SW_ERR_MEMORY);
        sw_clear_error();
        if (done) {
            test_allocator_fail(&a, 1, true);
            assert_ok(sw_objective_gradient(sw_curve_objective(c), tape, NULL, NULL, 9, 1, NULL, g));
        }
        sw_gradient_free(g);
        sw_curve_free(c);
        sw_tape_free(tape);
        sw_model_free(e.model);
        assert_int_equal(atomic_load(&a.live), 0);
    }
    sw_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_points_of_both_forms, test_no_error_left),
        cmocka_unit_test_teardown(test_gradient_agrees_with_differences, test_no_error_left),
        cmocka_unit_test_teardown(test_parameters_and_draws, test_no_error_left),
        cmocka_unit_test_teardown(test_frozen_infinity, test_no_error_left),
        cmocka_unit_test_teardown(test_chunks, test_no_error_left),
        cmocka_unit_test_teardown(test_any_optimizer_trains_it, test_no_error_left),
        cmocka_unit_test_teardown(test_bend_around_a_barrier, test_no_error_left),
        cmocka_unit_test_teardown(test_refusals, test_no_error_left),
        cmocka_unit_test_teardown(test_every_allocation_fails, test_no_error_left),
    };
    return cmocka_run_group_tests_name("curve", tests, NULL, NULL);
}
