/* Conditions for `converged`: the tolerance that ends a run, the norm at its end, consecutive runs, penalties and
 * bounds under schedules, x outside its bounds. */
#define _GNU_SOURCE
#include "helpers.h"

#include "files.h"

/* ---- f_i(x) = ½ ‖x - (1 + i/10) t‖², i = 0 … 9: least at 1.45 t, with the gradient x - 1.45 t and L = 1 ---- */

typedef struct bowl {
    sw_objective f;
    sw_params *params;
} bowl;

static const double target[SMALL_DIM] = {1, 0.5, -1, 2, 0, 1, -2, 1, 3, 0.25, 1, -1, 0, 1, 2, -0.5, 1, 1};

static sw_status bowl_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                               double *value, void *g) {
    const sw_dtype type = sw_params_type(((bowl *)user)->params);
    (void)draw;
    *value = 0;
    for (int i = 0; i < SMALL_DIM; i++) {
        double sum = 0;
        for (int64_t k = 0; k < count; k++) {
            const double d = vec_get(type, x, i) - (1 + (double)(ids ? ids[k] : k) / 10) * target[i];
            *value += d * d / 2 / (double)count;
            sum += d;
        }
        if (g)
            vec_set(type, g, i, sum / (double)count);
    }
    return SW_OK;
}

static bowl *bowl_new(sw_dtype type) {
    bowl *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->params = small_params(type);
    p->f = (sw_objective){.size = sizeof p->f, .n = 10, .params = p->params, .user = p, .gradient = bowl_gradient};
    return p;
}

static void bowl_free(bowl *p) {
    sw_params_free(p->params);
    free(p);
}

static double bowl_x(const bowl *p, int i) {
    return vec_get(sw_params_type(p->params), sw_params_x(p->params), i);
}

static double bowl_norm(const bowl *p) {
    double sum = 0;
    for (int i = 0; i < SMALL_DIM; i++)
        sum += pow(bowl_x(p, i) - 1.45 * target[i], 2);
    return sqrt(sum);
}

#define OPTIONS(...) (&(const sw_train_options){.size = sizeof(sw_train_options), __VA_ARGS__})

static sw_train_result train(bowl *p, sw_optim *o, const sw_train_options *how) {
    sw_train_result r;
    assert_ok(sw_train(&p->f, o, how, &r));
    return r;
}

/* Sums of up to 100 numbers below 10. */
#define ASSERT_NORM(r, p) assert_true(fabs((r).full_norm - bowl_norm(p)) <= 1e-13)

/* ---- Runs after others ---- */

static void test_run_after_a_converged_one_continues(void **state) {
    (void)state;
    bowl *p = bowl_new(SW_F64);
    sw_optim *o = NEW_OPTIM(p->params, .estimator = "sag batch=1 tol=1e-2", .rule = "sgd lr=0.1");
    sw_train_result r = train(p, o, OPTIONS(.steps = 100000));
    assert_true(r.reason == SW_TRAIN_TOLERANCE && r.tolerance == 1e-2 && bowl_norm(p) > 1e-5);
    ASSERT_NORM(r, p);
    assert_ok(sw_optim_save(o, path_of("converged")));

    r = train(p, o, OPTIONS(.steps = 200000)); /* again at once */
    assert_true(r.reason == SW_TRAIN_TOLERANCE && r.full_norm <= 3e-2);
    ASSERT_NORM(r, p);

    for (int i = 0; i < SMALL_DIM; i++)
        ((double *)sw_params_x(p->params))[i] += 100;
    sw_params_mark_changed(p->params);
    assert_ok(sw_optim_minimize(o, &p->f, NULL)); /* by hand */
    assert_true(sw_optim_scalar(o, -1, "converged") == 0);
    r = train(p, o, OPTIONS(.steps = 300000));
    assert_true(r.reason == SW_TRAIN_TOLERANCE && r.full_norm <= 3e-2);
    ASSERT_NORM(r, p);
    sw_optim_free(o);

    o = NEW_OPTIM(p->params, .estimator = "sag batch=1 tol=1e-9", .rule = "sgd lr=0.1");
    assert_ok(sw_optim_bind(o, &p->f));
    assert_ok(sw_optim_load(o, path_of("converged")));
    r = train(p, o, OPTIONS(.steps = 100000));
    assert_true(r.reason == SW_TRAIN_TOLERANCE && r.tolerance == 1e-9 && r.full_norm <= 3e-9);
    ASSERT_NORM(r, p);
    assert_ok(sw_optim_load(o, path_of("converged")));
    assert_ok(sw_optim_minimize(o, &p->f, NULL));
    assert_true(sw_optim_scalar(o, -1, "converged") == 0);
    assert_int_equal(unlink(path_of("converged")), 0);
    sw_optim_free(o);
    bowl_free(p);
}

/* ---- Whose tolerance ---- */

static void test_either_tolerance_ends_the_run(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        bowl *p = bowl_new(SW_F64);
        sw_optim *o = NEW_OPTIM(p->params, .estimator = i % 2 ? "sag batch=1 tol=1e-9" : "sag batch=1 tol=1e-3",
                                .rule = "sgd lr=0.1");
        const sw_train_result r = train(p, o, OPTIONS(.steps = i < 2 ? 100000 : 3, .tolerance = i % 2 ? 1e-3 : 1e-9));
        assert_int_equal(r.reason, i < 2 ? SW_TRAIN_TOLERANCE : SW_TRAIN_NOT_CONVERGED);
        assert_true(r.tolerance == 1e-3 && (i > 1 || (r.full_norm <= 3e-3 && r.full_norm > 1e-6)));
        ASSERT_NORM(r, p);
        sw_optim_free(o);
        bowl_free(p);
    }
}

static sw_status whole_estimate(sw_estimate *e, const void *x, void *g) {
    if (e->method->scalars)
        e->scalar[0] = 1;
    return sw_estimate_gradient(e, x, NULL, e->n, &e->value, g);
}
static const sw_option tol_option[] = {{.name = "tol", .value = 1e-3, .low = 0, .high = 1}, {0}};
static const char *const converged_scalar[] = {"converged", NULL};
#define WHOLE .size = sizeof(sw_estimator), .flags = SW_ESTIMATOR_DIRECT, .estimate = whole_estimate
static const sw_estimator direct = {WHOLE, .name = "test_direct"},
                          hasty = {WHOLE, .name = "test_hasty", .options = tol_option, .scalars = converged_scalar},
                          vague = {WHOLE, .name = "test_vague", .scalars = converged_scalar};

/* What an estimator says is checked if its tolerance is known, and ends the run otherwise. */
static void test_estimators_own_test_is_checked(void **state) {
    (void)state;
    bowl *p = bowl_new(SW_F64);
    sw_optim *o = NEW_OPTIM(p->params, .estimator = "test_hasty", .rule = "sgd lr=0.5");
    sw_train_result r = train(p, o, OPTIONS(.steps = 4));
    assert_true(r.reason == SW_TRAIN_NOT_CONVERGED && r.steps == 4 && r.full_norm > 3e-3);
    ASSERT_NORM(r, p);
    r = train(p, o, OPTIONS(.steps = 100)); /* each step halves the norm */
    assert_true(r.reason == SW_TRAIN_TOLERANCE && r.full_norm <= 3e-3 && r.full_norm > 1.4e-3);
    ASSERT_NORM(r, p);
    sw_optim_free(o);
    o = NEW_OPTIM(p->params, .estimator = "test_vague", .rule = "sgd lr=0.5");
    r = train(p, o, OPTIONS(.steps = 100, .tolerance = 1e-9));
    char text[200];
    assert_true(r.reason == SW_TRAIN_TOLERANCE && r.steps == 1 && r.tolerance == 0 && isnan(r.full_norm));
    assert_string_equal(sw_train_result_text(&r, text, sizeof text), "converged after 1 epochs");
    sw_optim_free(o);
    bowl_free(p);
}

/* ---- The norm at the end ---- */

/* Of all samples, where the last step led to: also of a batch of n samples, some twice, and with momentum. */
static void test_norm_at_the_end_is_of_all_samples(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"minibatch batch=10 order=replacement", "sgd lr=0.05"},
                                           {"test_direct", "sgd lr=0.5 momentum=0.9"},
                                           {"full", "sgd lr=0.5 momentum=0.9"},
                                           {"full", "adam lr=0.1"},
                                           {"full", "sgd lr=0.5"}};
    for (int i = 0; i < 5; i++) {
        bowl *p = bowl_new(SW_F64);
        sw_optim *o = NEW_OPTIM(p->params, .estimator = cases[i][0], .rule = cases[i][1], .seed = 3);
        const sw_train_result r = train(p, o, OPTIONS(.steps = 100000, .tolerance = i ? 1e-6 : 0.2));
        assert_true(r.reason == SW_TRAIN_TOLERANCE && r.full_norm <= (i ? 1e-6 : 0.2));
        ASSERT_NORM(r, p);
        sw_optim_free(o);
        bowl_free(p);
    }
}

/* ---- Penalties ---- */

static double soft(double v, double t) {
    return v > t ? v - t : v < -t ? v + t : 0;
}

/* l1 or weight_decay falls from 0.5 to 0.005 within 874 steps. The minimum is that of the last value, and the step size
 * 1/(L + λ) has that λ. As L = 1, the norm bounds the distance to the minimum, at most 3 tolerances. */
static void test_scheduled_penalties_are_respected(void **state) {
    (void)state;
    static const char *const estimators[] = {"full lipschitz=1", "full", "sag batch=1 tol=1e-6",
                                             "sag batch=1 lipschitz=1"};
    for (int i = 0; i < 8; i++) {
        const bool decays = i % 2;
        bowl *p = bowl_new(SW_F64);
        sw_optim *o = NEW_OPTIM(p->params, .estimator = estimators[i / 2],
                                .rule = decays ? "sgd lr=auto weight_decay=0.5" : "sgd lr=auto l1=0.5",
                                .schedule = decays ? "exponential factor=0.9 per=20 bound=0.01 on=weight_decay"
                                                   : "exponential factor=0.9 per=20 bound=0.01 on=l1");
        const sw_train_result r = train(p, o, OPTIONS(.steps = 20000, .tolerance = i / 2 == 2 ? 0 : 1e-6));
        if (r.reason != SW_TRAIN_TOLERANCE)
            fail_msg("%s: ended with a norm of %g", estimators[i / 2], r.full_norm);
        assert_true(r.steps > 800);
        for (int k = 0; k < SMALL_DIM; k++) {
            const double mean = 1.45 * target[k], wanted = decays ? mean / 1.005 : soft(mean, 0.005);
            assert_true(fabs(bowl_x(p, k) - wanted) <= 3e-6);
        }
        if (strstr(estimators[i / 2], "lipschitz"))
            assert_true(fabs(sw_optim_option(o, 0, "lr") * (decays ? 1.005 : 1) - 1) <= 1e-12);
        sw_optim_free(o);
        bowl_free(p);
    }
}

/* The penalty of a frozen group makes no step shorter. */
static void test_penalty_of_a_frozen_group_changes_no_step(void **state) {
    (void)state;
    bowl *p = bowl_new(SW_F64);
    sw_optim *o = NEW_OPTIM(p->params, .estimator = "full lipschitz=1",
                            .rule = "role=weight: sgd lr=auto weight_decay=9; sgd lr=auto");
    sw_param_freeze(sw_params_find(p->params, "a"), true);
    assert_ok(sw_optim_minimize(o, &p->f, NULL));
    assert_true(sw_optim_option(o, 1, "lr") == 1);
    sw_param_freeze(sw_params_find(p->params, "a"), false);
    assert_ok(sw_optim_minimize(o, &p->f, NULL));
    assert_true(sw_optim_option(o, 1, "lr") == 0.1);
    sw_optim_free(o);
    bowl_free(p);
}

static sw_status clipper_tensor(sw_step *s) {
    for (int64_t i = 0; i < s->count; i++)
        ((double *)s->x)[i] -= s->option[0] * ((const double *)s->g)[i];
    return SW_OK;
}
static const sw_option clipper_options[] = {{.name = "lr", .value = 0.5, .low = 0, .high = 1},
                                            {.name = "high", .value = 0.5, .low = 0, .high = 1},
                                            {.name = "l1", .value = 0.5, .low = 0, .high = 1},
                                            {0}};
static const sw_rule clipper = {.size = sizeof(sw_rule),
                                .name = "test_clipper",
                                .options = clipper_options,
                                .unit = SW_UNIT_TENSOR,
                                .tensor = clipper_tensor};

/* A custom rule's options may have the same names, and mean something else. */
static void test_options_of_custom_rules_mean_their_own(void **state) {
    (void)state;
    bowl *p = bowl_new(SW_F64);
    sw_optim *o = NEW_OPTIM(p->params, .estimator = "full", .rule = "test_clipper");
    const sw_train_result r = train(p, o, OPTIONS(.steps = 1000, .tolerance = 1e-6));
    assert_true(r.reason == SW_TRAIN_TOLERANCE && r.full_norm <= 1e-6);
    ASSERT_NORM(r, p);
    sw_optim_free(o);
    bowl_free(p);
}

/* ---- Bounds ---- */

/* ½ xᵀ [[1, -2], [-2, 5]] x + 0.1 (x₁ + x₂): within x ≥ 1 least at (1.9, 1). At x = 0 both derivatives are
 * positive. */
static sw_status tilted(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                        void *g) {
    const double *a = x, slope[2] = {a[0] - 2 * a[1] + 0.1, 5 * a[1] - 2 * a[0] + 0.1};
    (void)user, (void)ids, (void)count, (void)draw;
    *value = (a[0] * (slope[0] + 0.1) + a[1] * (slope[1] + 0.1)) / 2;
    if (g)
        memcpy(g, slope, sizeof slope);
    return SW_OK;
}

static void test_start_outside_the_bounds_converges_within_them(void **state) {
    (void)state;
    sw_params *params = sw_params_new(SW_F64, 1);
    assert_non_null(sw_params_add(params, "x", SW_SHAPE(2), NULL));
    assert_ok(sw_params_build(params));
    sw_objective f = {.size = sizeof f, .n = 1, .params = params, .gradient = tilted};
    double *x = sw_params_x(params);
    x[0] = x[1] = 0;
    sw_optim *o = NEW_OPTIM(params, .estimator = "full", .rule = "sgd lr=0.1 low=1");
    sw_train_result r;
    assert_ok(sw_train(&f, o, OPTIONS(.steps = 5000, .tolerance = 1e-6), &r));
    assert_int_equal(r.reason, SW_TRAIN_TOLERANCE);
    assert_true(fabs(x[0] - 1.9) <= 1e-6 + 1e-15 && x[1] == 1); /* the derivative by x₁ is x₁ - 1.9 there */
    sw_optim_free(o);
    sw_params_free(params);

    /* An estimator's own test, in the first step already. */
    bowl *p = bowl_new(SW_F64);
    o = NEW_OPTIM(p->params, .estimator = "sag batch=10 init=full tol=1e-6", .rule = "sgd lr=0.5 low=3");
    r = train(p, o, OPTIONS(.steps = 1000));
    assert_true(r.reason == SW_TRAIN_TOLERANCE && r.skipped == 0 && r.steps > 1);
    for (int i = 0; i < SMALL_DIM; i++)
        assert_true(fabs(bowl_x(p, i) - fmax(1.45 * target[i], 3)) <= 3e-6);
    sw_optim_free(o);
    bowl_free(p);
}

/* In f32 a bound may be rounded up or down, and x stops at the rounded one. */
static void test_bounds_are_rounded_to_the_type(void **state) {
    (void)state;
    static const char *const rules[] = {"sgd lr=0.5 low=5.3", "sgd lr=0.5 low=5.7", "sgd lr=0.5 high=-5.3",
                                        "sgd lr=0.5 high=-5.7", "sgd lr=0.5 high=1e300 low=-1e300"};
    for (int i = 0; i < 5; i++) {
        bowl *p = bowl_new(SW_F32);
        sw_optim *o = NEW_OPTIM(p->params, .estimator = "full", .rule = rules[i]);
        const sw_train_result r = train(p, o, OPTIONS(.steps = 200, .tolerance = 1e-5));
        assert_int_equal(r.reason, SW_TRAIN_TOLERANCE);
        sw_optim_free(o);
        bowl_free(p);
    }
}

static int set_up(void **state) {
    return sw_estimator_register(&direct) != SW_OK || sw_estimator_register(&hasty) != SW_OK ||
           sw_estimator_register(&vague) != SW_OK || sw_rule_register(&clipper) != SW_OK || make_folder(state);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_run_after_a_converged_one_continues),    TEST(test_either_tolerance_ends_the_run),
        TEST(test_estimators_own_test_is_checked),         TEST(test_norm_at_the_end_is_of_all_samples),
        TEST(test_scheduled_penalties_are_respected),      TEST(test_penalty_of_a_frozen_group_changes_no_step),
        TEST(test_options_of_custom_rules_mean_their_own), TEST(test_start_outside_the_bounds_converges_within_them),
        TEST(test_bounds_are_rounded_to_the_type),
    };
    return cmocka_run_group_tests_name("converged", tests, set_up, remove_folder);
}
