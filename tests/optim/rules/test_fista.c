/* FISTA: the optima of scikit-learn and SciPy with the same zeros, the bounds of its theorems at each step, the gain of
 * restarts, its point and its residual, data of any scale, and refused combinations. */
#include "linear_models.h"

/* ---- Optima ---- */

static int to_optimum(linear_model *p, sw_optim *o, const char *how, double goal) {
    int steps = 0;
    while (linear_model_residual(p, sw_optim_point(o)) > goal) {
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
        if (++steps == 20000)
            fail_msg("%s, %s: residual %g", p->c->name, how, linear_model_residual(p, sw_optim_point(o)));
    }
    return steps;
}

static void test_fista_reaches_the_optima(void **state) {
    (void)state;
    static const char *const hows[] = {" lr=auto", " lr=auto restart=false", " lr=auto mu=0.01", NULL};
    for (int i = 0; i < PROX_CASES; i++)
        for (int k = 0; k < 4; k++) {
            linear_model *p = linear_model_new(SW_F64, &prox_cases[i], 1);
            char rule[100];
            snprintf(rule, sizeof rule, hows[k] ? "fista%s" : "fista lr=%s%.17g", hows[k] ? hows[k] : "",
                     1 / linear_model_largest(p));
            sw_optim *o = linear_model_optim(p, "full", rule, 1);
            const int steps = to_optimum(p, o, rule, 1e-10);
            const double *x = sw_optim_point(o);
            for (int j = 0; j < PROX_N + p->c->intercept; j++)
                assert_true(fabs(x[j] - (j < PROX_N ? p->c->w[j] : p->c->b)) <= 1e-6);
            for (int j = 0; j < PROX_N; j++)
                if ((x[j] == 0) != (p->c->w[j] == 0) || x[j] < p->c->low || x[j] > p->c->high)
                    fail_msg("%s, %s: x[%d] = %g, %g in the reference", p->c->name, rule, j, x[j], p->c->w[j]);
            if (k == 0) { /* a part of what proximal gradient steps of the same kind take */
                linear_model *q = linear_model_new(SW_F64, &prox_cases[i], 1);
                sw_optim *plain = linear_model_optim(q, "full", "sgd lr=auto", 1);
                const int others = to_optimum(q, plain, "sgd", 1e-10);
                print_message("%s: %d steps, of sgd %d\n", p->c->name, steps, others);
                assert_true(steps < others);
                sw_optim_free(plain);
                linear_model_free(q);
            }
            sw_optim_free(o);
            linear_model_free(p);
        }
}

/* By a power of 2 x keeps its bits; 1e5 and 1e-5 take about as many steps. */
static void test_fista_does_not_depend_on_the_scale(void **state) {
    (void)state;
    for (int i = 0; i < PROX_CASES; i++)
        for (int t = 0; t < 2 && !prox_cases[i].logistic; t++) {
            struct prox_case c = prox_cases[i];
            char first[PROX_N * sizeof(double)];
            c.intercept = 0; /* whose 1 would not be scaled */
            for (int e = -17; e <= 17; e += 17) {
                linear_model *p = linear_model_new(both_types[t], &c, ldexp(1, e));
                sw_optim *o = linear_model_optim(p, "full", "fista lr=auto", 1);
                for (int k = 0; k < 200; k++)
                    assert_ok(sw_optim_minimize(o, &p->f, NULL));
                if (e == -17)
                    memcpy(first, sw_params_x(p->params), params_bytes(p->params));
                assert_memory_equal(first, sw_params_x(p->params), params_bytes(p->params));
                sw_optim_free(o);
                linear_model_free(p);
            }
            for (int e = -5; e <= 5 && t; e += 10) {
                linear_model *p = linear_model_new(SW_F64, &c, pow(10, e));
                sw_optim *o = linear_model_optim(p, "full", "fista lr=auto", 1);
                assert_true(to_optimum(p, o, "fista lr=auto", 1e-10) < 1000);
                sw_optim_free(o);
                linear_model_free(p);
            }
        }
}

/* ---- A quadratic whose constants are known ---- */

/* f = ½ Σ h_i (x_i - c_i)², h from 1 down to `least` in equal factors. */
enum { DIM = 30 };
typedef struct bowl {
    sw_objective f;
    sw_params *params;
    double h[DIM], c[DIM], l1;
} bowl;

static double bowl_at(const bowl *b, const double *x, double *g) {
    double value = 0;
    for (int i = 0; i < DIM; i++) {
        value += b->h[i] * (x[i] - b->c[i]) * (x[i] - b->c[i]) / 2;
        if (g)
            g[i] = b->h[i] * (x[i] - b->c[i]);
    }
    return value;
}

static sw_status bowl_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                               double *value, void *g) {
    (void)ids, (void)count, (void)draw;
    *value = bowl_at(user, x, g);
    return SW_OK;
}

static bowl *bowl_new(double least, double l1) {
    bowl *b = calloc(1, sizeof *b);
    uint64_t seed = 6;
    assert_non_null(b);
    *b = (bowl){.params = sw_params_new(SW_F64, 1), .l1 = l1};
    assert_non_null(sw_params_add(b->params, "x", SW_SHAPE(DIM), NULL));
    assert_ok(sw_params_build(b->params));
    for (int i = 0; i < DIM; i++) {
        b->h[i] = pow(least, i / (DIM - 1.0));
        b->c[i] = test_uniform(&seed, -1, 1);
    }
    memset(sw_params_x(b->params), 0, params_bytes(b->params));
    b->f = (sw_objective){.size = sizeof b->f, .n = 1, .params = b->params, .user = b, .gradient = bowl_gradient};
    return b;
}

static void bowl_free(bowl *b) {
    sw_params_free(b->params);
    free(b);
}

/* F - F*, without cancellation: each element has a minimum x* of its own. square: ‖x - x*‖². */
static double bowl_gap(const bowl *b, const double *x, double *square) {
    double gap = 0;
    *square = 0;
    for (int i = 0; i < DIM; i++) {
        const double best = prox_by_trial(b->c[i], b->l1 / b->h[i], -INFINITY, INFINITY), d = x[i] - best,
                     slope = b->h[i] * (best - b->c[i]); /* of f at x*: -l1 sign(x*), or within ±l1 */
        gap += b->h[i] * d * d / 2 + slope * d + b->l1 * (fabs(x[i]) - fabs(best));
        *square += d * d;
    }
    return gap;
}

static sw_optim *bowl_optim(const bowl *b, const char *rule) {
    char spec[160];
    snprintf(spec, sizeof spec, "%s l1=%.17g", rule, b->l1);
    return NEW_OPTIM(b->params, .rule = spec, .estimator = "full");
}

/* Beck and Teboulle's theorem 4.4: 2L ‖x⁰ - x*‖²/(k + 1)² at every step k, L = 1; 1e-15: rounding near 1. */
static void test_fista_keeps_the_bound_of_its_theorem(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        bowl *b = bowl_new(k % 2 ? 1e-6 : 1e-3, k / 2 ? 0.01 : 0);
        double first, square, last = 0, bound = 0, closest = INFINITY;
        sw_optim *o = bowl_optim(b, "fista lr=1 restart=false");
        bowl_gap(b, sw_params_x(b->params), &first);
        for (int t = 1; t <= 2000; t++) {
            assert_ok(sw_optim_minimize(o, &b->f, NULL));
            bound = 2 * first / ((t + 1.0) * (t + 1.0));
            last = bowl_gap(b, sw_optim_point(o), &square);
            closest = fmin(closest, bound / last);
            if (!(last <= bound + 1e-15))
                fail_msg("step %d: F - F* = %g, above %g", t, last, bound);
        }
        bowl *q = bowl_new(k % 2 ? 1e-6 : 1e-3, b->l1);
        sw_optim *plain = bowl_optim(q, "sgd lr=1");
        for (int t = 1; t <= 2000; t++)
            assert_ok(sw_optim_minimize(plain, &q->f, NULL));
        const double of_plain = bowl_gap(q, sw_params_x(q->params), &square);
        print_message("F - F* after 2000 steps: %.2g, of sgd %.2g; the bound is %.2g times as large at least\n", last,
                      of_plain, closest);
        if (b->l1 == 0) /* plain steps do not keep to it */
            assert_true(of_plain > bound);
        sw_optim_free(plain);
        sw_optim_free(o);
        bowl_free(q);
        bowl_free(b);
    }
}

/* Nesterov: (1 - √(μ/L))^k (F(x⁰) - F* + μ/2 ‖x⁰ - x*‖²) at every step k. */
static void test_fista_with_mu_keeps_the_linear_bound(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        const double mu = 1e-3;
        bowl *b = bowl_new(mu, k ? 0.01 : 0);
        sw_optim *o = bowl_optim(b, "fista lr=1 mu=1e-3 restart=false");
        double square, first = bowl_gap(b, sw_params_x(b->params), &square);
        first += mu / 2 * square;
        for (int t = 1; t <= 1000; t++) {
            assert_ok(sw_optim_minimize(o, &b->f, NULL));
            const double gap = bowl_gap(b, sw_optim_point(o), &square), bound = pow(1 - sqrt(mu), t) * first;
            if (!(gap <= bound + 1e-15))
                fail_msg("step %d: F - F* = %g, above %g", t, gap, bound);
        }
        sw_optim_free(o);
        bowl_free(b);
    }
}

static int steps_to(const char *rule, double least, double goal, int *restarts) {
    bowl *b = bowl_new(least, 0);
    sw_optim *o = bowl_optim(b, rule);
    const double again = (1 + sqrt(5)) / 2; /* t after a step from t = 1 */
    double square;
    int steps = 0;
    *restarts = -1;
    do {
        assert_ok(sw_optim_minimize(o, &b->f, NULL));
        *restarts += sw_optim_scalar(o, 0, "t") == again;
        steps++;
    } while (bowl_gap(b, sw_optim_point(o), &square) > goal && steps < 100000);
    sw_optim_free(o);
    bowl_free(b);
    return steps;
}

/* Of a strongly convex f restarts make the rate linear without knowing μ. */
static void test_fista_restarts_make_the_rate_linear(void **state) {
    (void)state;
    int restarts, none;
    const int with = steps_to("fista lr=1", 1e-4, 1e-12, &restarts),
              without = steps_to("fista lr=1 restart=false", 1e-4, 1e-12, &none),
              known = steps_to("fista lr=1 mu=1e-4", 1e-4, 1e-12, &none),
              found = steps_to("fista lr=auto", 1e-4, 1e-12, &none);
    print_message("steps: %d with %d restarts, %d without, %d with mu, %d with lr=auto\n", with, restarts, without,
                  known, found);
    assert_true(restarts >= 2 && with * 3 < without && with < 3 * known && found < 2 * with);
}

/* ---- Point, residual, the loop by hand ---- */

static void test_fista_point_is_where_zeros_are_exact(void **state) {
    (void)state;
    linear_model *p = linear_model_new(SW_F64, &prox_cases[0], 1);
    sw_optim *o = linear_model_optim(p, "full", "fista lr=auto", 1);
    int in_point = 0, in_y = 0;
    assert_true(sw_optim_point(o) == sw_params_x(p->params)); /* before the first step */
    for (int k = 0; k < 12; k++) {
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
        const double *x = sw_optim_point(o), *y = sw_params_x(p->params);
        const sw_array slot = sw_optim_param_slot(o, sw_params_at(p->params, 0), "x");
        assert_memory_equal(x, slot.data, PROX_N * sizeof(double));
        for (int j = 0; j < PROX_N; j++) {
            in_point += x[j] == 0;
            in_y += y[j] == 0;
        }
    }
    assert_true(in_y < in_point);
    double x[PROX_N + 1];
    memcpy(x, sw_optim_point(o), sizeof x);
    assert_ok(sw_optim_adopt_point(o));
    assert_memory_equal(x, sw_params_x(p->params), sizeof x);
    to_optimum(p, o, "after adopting the point", 1e-10); /* goes on from there */
    sw_optim_free(o);
    linear_model_free(p);
}

/* residual = ‖(y - x')/η‖, with y from before the step and x' after it: a loop ends by it. */
static void test_fista_residual_is_the_subgradient(void **state) {
    (void)state;
    linear_model *p = linear_model_new(SW_F64, &prox_cases[2], 1);
    sw_optim *o = linear_model_optim(p, "full", "fista lr=auto", 1);
    int steps = 0;
    do {
        double y[PROX_N + 1], square = 0;
        memcpy(y, sw_params_x(p->params), sizeof y);
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
        const double *x = sw_optim_point(o), lr = sw_optim_option(o, 0, "lr");
        for (int j = 0; j <= PROX_N; j++)
            square += (y[j] - x[j]) / lr * ((y[j] - x[j]) / lr);
        const double residual = sw_optim_scalar(o, 0, "residual");
        /* a difference of numbers near 1, over η */
        assert_true(fabs(residual - sqrt(square)) <= 1e-12 * residual + 16 * 0x1p-53 / lr);
        assert_true(residual == sw_optim_scalar(o, 1, "residual")); /* of both groups */
        steps++;
    } while (sw_optim_scalar(o, 0, "residual") > 1e-11 && steps < 2000);
    assert_true(steps < 2000 && linear_model_residual(p, sw_optim_point(o)) < 1e-10);
    sw_optim_free(o);
    linear_model_free(p);
}

/* sw_train's tolerance is of the subgradient of least norm, which goes to 0 where zeros are exact. */
static void test_fista_tolerance_bounds_the_subgradient(void **state) {
    (void)state;
    static const char *const rules[] = {"fista lr=auto", "sgd lr=auto"};
    for (int i = 0; i < PROX_CASES; i++)
        for (int k = 0; k < 2; k++) {
            linear_model *p = linear_model_new(SW_F64, &prox_cases[i], 1);
            sw_optim *o = linear_model_optim(p, "full", rules[k], 1);
            sw_train_result result;
            assert_ok(sw_train(&p->f, o,
                               &(sw_train_options){.size = sizeof(sw_train_options), .epochs = 2000, .tolerance = 1e-9},
                               &result));
            assert_int_equal(result.reason, SW_TRAIN_TOLERANCE);
            assert_true(result.steps < 500 && linear_model_residual(p, sw_optim_point(o)) <= 1e-8);
            sw_optim_free(o);
            linear_model_free(p);
        }
}

/* Without an estimator's name it is full; a loop by hand brings its own gradients. */
static void test_fista_runs_in_a_loop_by_hand(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        sw_optim *o = sw_optim_new(p, "fista lr=0.25 l1=1 nonnegative");
        assert_non_null(o);
        for (int k = 0; k < 300; k++) { /* f = ½ ‖x - 2 [i odd]‖²: x* = 1 or 0 */
            double g[SMALL_DIM];
            for (int i = 0; i < SMALL_DIM; i++)
                g[i] = vec_get(both_types[t], sw_params_x(p), i) - (i % 2 ? 2 : 0);
            assert_ok(step_with(o, p, g));
        }
        const void *x = sw_optim_point(o);
        for (int i = 0; i < SMALL_DIM; i++)
            assert_true(i % 2 ? fabs(vec_get(both_types[t], x, i) - 1) < (t ? 1e-12 : 1e-6)
                              : vec_get(both_types[t], x, i) == 0);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* ---- Bounds ---- */

static void test_fista_takes_no_copies(void **state) {
    (void)state;
    static const char *const specs[] = {"fista", "fista l1=0.1 mu=0.1", "fista nonnegative restart=false",
                                        "fista low=1 high=2"};
    static const double g[SMALL_DIM] = {1, -2, 0.5, 0, 3, -1, 1e-3, 2, 1, -1, 0.25, 4, -3, 1, 0.125, -2, 1e-6, 1};
    test_allocator a;
    test_allocator_install(&a);
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++) {
        sw_params *p = small_params(SW_F32);
        sw_optim *o = sw_optim_new(p, specs[k]);
        sw_tape *tape = sw_tape_new();
        for (int t = 0; t < 400; t++) {
            sw_tape_reset(tape);
            assert_ok(sw_backward(inner_loss(tape, p, g)));
            const long long calls = atomic_load(&a.calls);
            assert_ok(sw_optim_step(o));
            if (atomic_load(&a.calls) != calls)
                fail_msg("%s: step %d took memory", specs[k], t + 1);
        }
        sw_tape_free(tape);
        sw_optim_free(o);
        sw_params_free(p);
    }
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

/* ---- Refusals ---- */

static void refused(const sw_optim_options *how, const char *message) {
    sw_params *p = small_params(SW_F64);
    assert_null(sw_optim_new_with_options(p, how));
    expect_error(SW_ERR_ARGUMENT, message);
    sw_params_free(p);
}

static void test_fista_refuses_wrong_combinations(void **state) {
    (void)state;
#define REFUSED(message, ...) refused(&(sw_optim_options){.size = sizeof(sw_optim_options), __VA_ARGS__}, message)
    REFUSED("rule fista: errors of gradients accumulate in its steps, and the gradients of estimator minibatch are "
            "not exact; use estimator full, or another rule",
            .rule = "fista", .estimator = "minibatch");
    REFUSED("rule fista: errors of gradients accumulate in its steps, and the gradients of estimator saga are not "
            "exact; use estimator full, or another rule",
            .rule = "fista", .estimator = "saga");
    REFUSED("rule fista: errors of gradients accumulate in its steps, and the gradients of estimator sam are not "
            "exact; use estimator full, or another rule",
            .rule = "fista", .estimator = "sam of=full");
    REFUSED("rule fista: errors of gradients accumulate in its steps, and the gradients of estimator svrg are not "
            "exact; use estimator full, or another rule",
            .estimator = "svrg", .rule = "role=bias: sgd; fista");
    REFUSED("line search armijo: the step of rule fista is not its learning rate times a direction; use a schedule, or "
            "another rule, such as lbfgs",
            .rule = "fista", .schedule = "armijo");
    REFUSED(
        "average ema: rule fista determines the point of evaluation itself; omit the average, or choose another rule",
        .rule = "fista", .average = "ema");
    REFUSED("fista: no number lies between low = 2 and high = 1", .rule = "fista low=2 high=1");
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_fista_reaches_the_optima),
        TEST(test_fista_does_not_depend_on_the_scale),
        TEST(test_fista_keeps_the_bound_of_its_theorem),
        TEST(test_fista_with_mu_keeps_the_linear_bound),
        TEST(test_fista_restarts_make_the_rate_linear),
        TEST(test_fista_point_is_where_zeros_are_exact),
        TEST(test_fista_residual_is_the_subgradient),
        TEST(test_fista_tolerance_bounds_the_subgradient),
        TEST(test_fista_runs_in_a_loop_by_hand),
        TEST(test_fista_takes_no_copies),
        TEST(test_fista_refuses_wrong_combinations),
    };
    return cmocka_run_group_tests_name("fista", tests, NULL, NULL);
}
