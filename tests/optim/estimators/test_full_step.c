/* lr=auto of the full gradient: 1/L from the gradients of the steps. Optima, cost, scales, L against the largest
 * eigenvalue, directions that are met only late, functions without L, freezing, resuming. */
#include "linear_models.h"

#include <float.h>

/* ---- Functions of two or more numbers, given as gradients ---- */

typedef struct smooth {
    sw_objective f;
    sw_params *params;
    int64_t calls, spoil_at; /* spoil_at: this evaluation's gradient has a NaN; 0: none */
    double scale;
} smooth;

typedef sw_status smooth_function(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                  double *value, void *g);
typedef double term_function(double x, int i, double scale, double *slope);

/* Σ term(x_i) */
static sw_status smooth_sum(smooth *p, const void *x, double *value, void *g, term_function *term) {
    const sw_dtype type = sw_params_type(p->params);
    *value = 0;
    for (int i = 0; i < (int)sw_params_dim(p->params); i++) {
        double slope;
        *value += term(vec_get(type, x, i), i, p->scale, &slope);
        if (g)
            vec_set(type, g, i, p->calls + 1 == p->spoil_at ? (double)NAN : slope);
    }
    p->calls += g != NULL;
    return SW_OK;
}

#define SMOOTH(name, ...)                                                                                             \
    static double name##_term(double x, int i, double scale, double *slope) {                                         \
        (void)x, (void)i, (void)scale;                                                                                \
        __VA_ARGS__                                                                                                   \
    }                                                                                                                 \
    static sw_status name(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value, \
                          void *g) {                                                                                  \
        (void)ids, (void)count, (void)draw;                                                                           \
        return smooth_sum(user, x, value, g, name##_term);                                                            \
    }

/* Curvatures 1, 0.1, …; the first is `scale` times larger. */
SMOOTH(valley, const double h = pow(10, -i) * (i ? 1 : scale), d = x - 1; *slope = h * d; return h * d * d / 2;)
SMOOTH(linear, *slope = i + 1.0; return (i + 1) * x;)
SMOOTH(level, *slope = 0; return 3;)
SMOOTH(steep, *slope = scale * exp(scale * x) - 1; return exp(scale * x) - x;)
SMOOTH(quartic, *slope = 4 * x * x * x; return x * x * x * x;)
SMOOTH(wave, *slope = cos(x) + 0.1 * x; return sin(x) + 0.05 * x * x;)

static smooth *smooth_new(sw_dtype type, int64_t dim, double at, smooth_function *gradient) {
    smooth *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->params = sw_params_new(type, 1);
    p->scale = 1;
    assert_non_null(sw_params_add(p->params, "x", SW_SHAPE(dim), NULL));
    assert_ok(sw_params_build(p->params));
    for (int64_t i = 0; i < dim; i++)
        vec_set(type, sw_params_x(p->params), i, at);
    p->f = (sw_objective){.size = sizeof p->f, .n = 1, .params = p->params, .user = p, .gradient = gradient};
    return p;
}

static void smooth_free(smooth *p) {
    sw_params_free(p->params);
    free(p);
}

/* ---- Optima ---- */

static void steps_to_optimum(linear_model *p, sw_optim *o, double goal, int most) {
    int steps = 0;
    while (linear_model_residual(p, sw_params_x(p->params)) > goal && steps < most) {
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
        steps++;
    }
    if (steps == most)
        fail_msg("%s, scale %g: residual %g after %d steps", p->c->name, p->scale,
                 linear_model_residual(p, sw_params_x(p->params)), steps);
    /* The first step takes a second gradient, or a third; the others one. */
    assert_true(p->evaluated <= (int64_t)PROX_M * (steps + 2));
}

static void test_full_gradient_reaches_the_optima(void **state) {
    (void)state;
    static const double scales[] = {1, 1e5, 1e-5};
    for (int i = 0; i < PROX_CASES; i++)
        for (int k = 0; k < (prox_cases[i].intercept ? 1 : 3); k++) {
            linear_model *p = linear_model_new(SW_F64, &prox_cases[i], scales[k]);
            sw_optim *o = linear_model_optim(p, "full", "sgd lr=auto", 1);
            steps_to_optimum(p, o, 1e-10, 4000);
            for (int j = 0; j < PROX_N; j++) {
                const double x = vec_get(SW_F64, sw_params_x(p->params), j);
                assert_true(fabs(x - p->c->w[j]) <= 1e-6 && (x == 0) == (p->c->w[j] == 0));
            }
            sw_optim_free(o);
            linear_model_free(p);
        }
}

/* By a power of 2 every number of the run is as before, times a power of 2: x itself is the same, bit for bit. */
static void test_scale_of_the_data_changes_no_bit(void **state) {
    (void)state;
    for (int i = 0; i < PROX_CASES; i++)
        for (int t = 0; t < 2 && !prox_cases[i].logistic; t++) {
            struct prox_case c = prox_cases[i];
            char first[PROX_N * sizeof(double)];
            c.intercept = 0; /* whose 1 would not be scaled */
            for (int e = -17; e <= 17; e += 17) {
                linear_model *p = linear_model_new(both_types[t], &c, ldexp(1, e));
                sw_optim *o = linear_model_optim(p, "full", "sgd lr=auto", 1);
                for (int k = 0; k < 200; k++)
                    assert_ok(sw_optim_minimize(o, &p->f, NULL));
                if (e == -17)
                    memcpy(first, sw_params_x(p->params), params_bytes(p->params));
                assert_memory_equal(first, sw_params_x(p->params), params_bytes(p->params));
                sw_optim_free(o);
                linear_model_free(p);
            }
        }
}

/* ---- L ---- */

/* A secant's ℓ is at most the largest curvature: of a quadratic, up to rounding of a few sums. L falls between, and
 * rises again before f is larger than it was. */
static void test_estimated_lipschitz_constant_is_within_bounds(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        smooth *p = smooth_new(both_types[t], 5, 3, valley);
        sw_optim *o = NEW_OPTIM(p->params, .rule = "sgd lr=auto", .estimator = "full");
        double value, first = NAN, least = INFINITY, most = 0;
        p->f.user = p;
        for (int k = 0; k < 300; k++) {
            assert_ok(sw_optim_minimize(o, &p->f, &value));
            const double l = sw_optim_scalar(o, -1, "L");
            first = k ? first : value;
            least = fmin(least, l);
            most = fmax(most, l);
            assert_true(sw_optim_option(o, 0, "lr") == 1 / l && l <= 1 + (t ? 1e-9 : 1e-3) && value <= first);
        }
        print_message("L from %g to %g of 1; %g of f is left\n", least, most, value / first);
        assert_true(most > 0.5 && value < 1e-3 * first); /* 1e-4 of f is along the two smallest curvatures */
        smooth_free(p);
        sw_optim_free(o);
    }
}

/* x starts where the steepest direction has next to no gradient, so that the first L is 1000 times too small. What
 * is lost until it is seen is less than what there was to gain. */
static void test_late_steep_direction_is_survived(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        smooth *p = smooth_new(both_types[t], 5, 3, valley);
        p->scale = 1e3;
        vec_set(both_types[t], sw_params_x(p->params), 0, 1 + (t ? 1e-12 : 1e-6));
        sw_optim *o = NEW_OPTIM(p->params, .rule = "sgd lr=auto", .estimator = "full");
        double value, first = NAN, worst = 0, l = 0;
        for (int k = 0; k < 4000; k++) {
            assert_ok(sw_optim_minimize(o, &p->f, &value));
            first = k ? first : value;
            worst = fmax(worst, value);
            l = fmax(l, sw_optim_scalar(o, -1, "L"));
        }
        print_message("%s: L up to %g of 1000, f from %g to %g at most, %g at the end\n", sw_dtype_name(both_types[t]),
                      l, first, worst, value);
        assert_true(l > 500 && l < 1001 && worst <= 2 * first && value < 0.1 * first);
        sw_optim_free(o);
        smooth_free(p);
    }
}

/* The penalty of weight_decay comes to L. */
static void test_given_lipschitz_constant_is_used(void **state) {
    (void)state;
    smooth *p = smooth_new(SW_F64, 3, 3, valley);
    sw_optim *o = NEW_OPTIM(p->params, .rule = "sgd lr=auto", .estimator = "full lipschitz=8");
    assert_ok(sw_optim_bind(o, &p->f));
    assert_true(sw_optim_option(o, 0, "lr") == 0.125);
    assert_ok(sw_optim_minimize(o, &p->f, NULL));
    assert_true(sw_optim_option(o, 0, "lr") == 0.125 && p->calls == 1 && sw_optim_bytes(o).estimator == 0);
    sw_optim_free(o);
    o = NEW_OPTIM(p->params, .rule = "sgd lr=auto weight_decay=3", .estimator = "full lipschitz=1 l2=3");
    assert_ok(sw_optim_minimize(o, &p->f, NULL));
    assert_true(sw_optim_option(o, 0, "lr") == 0.25);
    sw_optim_free(o);
    o = NEW_OPTIM(p->params, .rule = "sgd lr=auto weight_decay=3", .estimator = "full l2=3");
    assert_ok(sw_optim_minimize(o, &p->f, NULL));
    assert_true(fabs(1 / sw_optim_option(o, 0, "lr") - 3 - sw_optim_scalar(o, -1, "L")) <= 4 * 0x1p-52 * 4);
    sw_optim_free(o);
    smooth_free(p);
}

/* Vectors only where lr=auto asks for them. */
static void test_vectors_are_allocated_for_lr_auto_only(void **state) {
    (void)state;
    smooth *p = smooth_new(SW_F64, 100, 3, valley);
    static const char *const rules[] = {"sgd lr=0.1", "sgd lr=auto"};
    for (int k = 0; k < 2; k++) {
        sw_optim *o = NEW_OPTIM(p->params, .rule = rules[k], .estimator = "full");
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
        assert_int_equal(sw_optim_bytes(o).estimator, (size_t)k * 2 * 100 * sizeof(double));
        assert_int_equal(sw_optim_bytes(o).work, (size_t)k * 2 * 100 * sizeof(double));
        sw_optim_free(o);
    }
    smooth_free(p);
}

/* ---- Functions for which there is no L, or hardly one ---- */

static void test_hard_functions_are_minimized(void **state) {
    (void)state;
    static const struct {
        const char *name;
        smooth_function *gradient;
        double at, scale, goal; /* of ‖g‖ after 3000 steps, to that at the start; INFINITY: none */
    } cases[] = {
        {"linear", linear, 0, 1, INFINITY},  {"linear", linear, 5, 1, INFINITY},  {"level", level, 0, 1, INFINITY},
        {"level", level, 2, 1, INFINITY},    {"steep", steep, 0, 1, 1e-6},        {"steep", steep, 3, 20, 1e-3},
        {"steep", steep, -1, 1e3, INFINITY}, {"steep", steep, -5, 1, 1e-6},       {"quartic", quartic, 1, 1, 1e-6},
        {"quartic", quartic, 1e8, 1, 1e-6},  {"quartic", quartic, 1e-6, 1, 1e-3}, {"wave", wave, 0.3, 1, 1e-6},
        {"wave", wave, 1.6, 1, 1e-4},        {"valley", valley, 1e12, 1e6, 1e-3}, {"valley", valley, 1, 1, INFINITY},
        {"valley", valley, 1e-30, 1, 1e-3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int t = 0; t < 2; t++) {
            smooth *p = smooth_new(both_types[t], 3, cases[i].at, cases[i].gradient);
            p->scale = cases[i].scale;
            sw_optim *o = NEW_OPTIM(p->params, .rule = "sgd lr=auto", .estimator = "full");
            double first = NAN, last = NAN;
            int taken = 0;
            for (; taken < 3000; taken++) {
                const sw_status status = sw_optim_minimize(o, &p->f, NULL);
                if (status == SW_SKIPPED)
                    break; /* e^x where it has no number */
                assert_ok(status);
                last = sw_optim_gradient_norm(o);
                first = taken ? first : last;
                const double lr = sw_optim_option(o, 0, "lr");
                if (!(isfinite(lr) && lr > 0))
                    fail_msg("%s from %g: lr = %g in step %d", cases[i].name, cases[i].at, lr, taken + 1);
            }
            /* f32 ends at the rounding of x, whose part in g is at most 2^-24 L|x| */
            const double goal = fmax(cases[i].goal, t ? 0 : 1e-3);
            if (isfinite(goal) && !(taken == 3000 && last <= goal * first))
                fail_msg("%s of %g from %g, %s: ‖g‖ from %g to %g in %d steps", cases[i].name, cases[i].scale,
                         cases[i].at, sw_dtype_name(both_types[t]), first, last, taken);
            sw_optim_free(o);
            smooth_free(p);
        }
}

/* ---- Steps that are not taken; parameters that are frozen ---- */

/* A NaN is either in the step's own gradient, which skips the step, or in one of the two trials, which become
 * shorter. */
static void test_skipped_step_changes_nothing(void **state) {
    (void)state;
    double clean[5];
    for (int64_t at = 0; at < 9; at++) {
        smooth *p = smooth_new(SW_F64, 5, 3, valley);
        sw_optim *o = NEW_OPTIM(p->params, .rule = "sgd lr=auto", .estimator = "full");
        p->spoil_at = at;
        for (int k = 0; k < 20;) {
            const sw_status status = sw_optim_minimize(o, &p->f, NULL);
            assert_true(status == SW_OK || status == SW_SKIPPED);
            k += status == SW_OK;
        }
        assert_int_equal(sw_optim_steps_skipped(o), at == 0 || at == 2 || at == 3 ? 0 : 1);
        if (at == 0)
            memcpy(clean, sw_params_x(p->params), sizeof clean);
        else if (at != 2 && at != 3)
            assert_memory_equal(clean, sw_params_x(p->params), sizeof clean);
        sw_optim_free(o);
        smooth_free(p);
    }
}

/* A parameter that thaws brings a gradient, but no secant. */
static void test_freezing_between_steps_is_survived(void **state) {
    (void)state;
    linear_model *p = linear_model_new(SW_F64, &prox_cases[0], 1);
    sw_optim *o = linear_model_optim(p, "full", "sgd lr=auto", 1);
    sw_param *w = sw_params_find(p->params, "w");
    for (int k = 0; k < 40; k++) {
        sw_param_freeze(w, k % 7 == 3);
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
        if (!(sw_optim_scalar(o, -1, "L") <= linear_model_largest(p)))
            fail_msg("step %d: L = %g", k + 1, sw_optim_scalar(o, -1, "L"));
    }
    sw_param_freeze(w, false);
    p->evaluated = 0;
    steps_to_optimum(p, o, 1e-10, 4000);
    sw_optim_free(o);
    linear_model_free(p);
}

/* All of it frozen, and all gradients 0. */
static void test_frozen_parameters_and_zero_gradients_do_not_move(void **state) {
    (void)state;
    linear_model *p = linear_model_new(SW_F64, &prox_cases[4], 1);
    sw_optim *o = linear_model_optim(p, "full", "sgd lr=auto", 1);
    sw_param_freeze(sw_params_at(p->params, 0), true);
    for (int k = 0; k < 3; k++)
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
    sw_param_freeze(sw_params_at(p->params, 0), false);
    p->evaluated = 0;
    steps_to_optimum(p, o, 1e-10, 4000);
    sw_optim_free(o);
    linear_model_free(p);
}

static void test_lr_before_the_first_step_is_unknown(void **state) {
    (void)state;
    smooth *p = smooth_new(SW_F64, 3, 3, valley);
    sw_optim *o = NEW_OPTIM(p->params, .rule = "sgd lr=auto", .estimator = "full");
    assert_true(isnan(sw_optim_option(o, 0, "lr")));
    expect_error(SW_ERR_ARGUMENT, "rule sgd: lr=auto, but estimator full proposes no step size");
    sw_clear_error();
    assert_ok(sw_optim_minimize(o, &p->f, NULL));
    assert_true(sw_optim_option(o, 0, "lr") > 0);
    sw_optim_free(o);
    smooth_free(p);
}

/* A run with lr=auto goes on with a given step size or L, and the other way round. */
static void test_other_step_sizes_after_loading_are_taken(void **state) {
    (void)state;
    static const char *const hows[][2] = {
        {"full", "sgd lr=auto"}, {"full", "sgd lr=0.125"}, {"full lipschitz=4", "sgd lr=auto"}};
    for (int from = 0; from < 3; from++)
        for (int to = 0; to < 3; to++) {
            smooth *p = smooth_new(SW_F64, 3, 3, valley);
            sw_optim *o[2];
            sw_archive *a = sw_archive_new();
            for (int k = 0; k < 2; k++) {
                const int how = k ? to : from;
                o[k] = NEW_OPTIM(p->params, .estimator = hows[how][0], .rule = hows[how][1]);
                assert_ok(sw_optim_bind(o[k], &p->f));
                for (int i = 0; i < 5; i++)
                    assert_ok(k && i == 0 ? sw_optim_unpack(o[1], a) : sw_optim_minimize(o[k], &p->f, NULL));
                if (k == 0)
                    assert_ok(sw_optim_pack(o[0], a));
            }
            const double lr = sw_optim_option(o[1], 0, "lr"), l = 1; /* of the valley */
            assert_int_equal(sw_optim_steps_taken(o[1]), 9);
            assert_true(to == 0 ? lr >= 0.5 / l && isfinite(lr) : lr == (to == 1 ? 0.125 : 0.25));
            sw_archive_free(a);
            sw_optim_free(o[0]);
            sw_optim_free(o[1]);
            smooth_free(p);
        }
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_full_gradient_reaches_the_optima),
        TEST(test_scale_of_the_data_changes_no_bit),
        TEST(test_estimated_lipschitz_constant_is_within_bounds),
        TEST(test_late_steep_direction_is_survived),
        TEST(test_given_lipschitz_constant_is_used),
        TEST(test_vectors_are_allocated_for_lr_auto_only),
        TEST(test_hard_functions_are_minimized),
        TEST(test_skipped_step_changes_nothing),
        TEST(test_freezing_between_steps_is_survived),
        TEST(test_frozen_parameters_and_zero_gradients_do_not_move),
        TEST(test_lr_before_the_first_step_is_unknown),
        TEST(test_other_step_sizes_after_loading_are_taken),
    };
    return cmocka_run_group_tests_name("full_step", tests, NULL, NULL);
}
