/* Values and slopes of line searches are those of the objective: the loss on the samples of the step and the penalty
 * that the rules add, whatever gradient the rules receive. */
#include "helpers.h"

/* f = ½ Σ h_i (x_i - t_i)², h from 1 to 18, without a tape. Counts its evaluations. */
typedef struct bowl {
    sw_objective f;
    int64_t gradients, values;
} bowl;

static double bowl_h(int i) {
    return 1 + i;
}
static double bowl_t(int i) {
    return 2 - 0.25 * i;
}

static sw_status bowl_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                               double *value, void *g) {
    bowl *b = user;
    const sw_dtype type = sw_params_type(b->f.params);
    (void)ids, (void)count, (void)draw;
    *(g ? &b->gradients : &b->values) += 1;
    *value = 0;
    for (int i = 0; i < SMALL_DIM; i++) {
        const double d = vec_get(type, x, i) - bowl_t(i);
        *value += bowl_h(i) / 2 * d * d;
        if (g)
            vec_set(type, g, i, bowl_h(i) * d);
    }
    return SW_OK;
}

static void bowl_init(bowl *b, sw_params *p) {
    *b = (bowl){.f = {.size = sizeof b->f, .n = 4, .params = p, .user = b, .gradient = bowl_gradient}};
}

/* ---- A search that records its arguments, and takes a fixed step ---- */

static double seen_value, seen_slope, seen_trial, seen_trial_slope, step_length;
static int searches_run;

static sw_status recorder_search(sw_search *s, double *alpha) {
    searches_run++;
    seen_value = s->value;
    seen_slope = s->slope;
    SW_TRY(sw_search_eval(s, step_length, &seen_trial, NULL));
    double again;
    SW_TRY(sw_search_eval(s, step_length, &again, &seen_trial_slope));
    assert_true(again == seen_trial);
    *alpha = step_length;
    return SW_OK;
}
static const sw_line_search recorder = {.size = sizeof(sw_line_search), .name = "recorder", .search = recorder_search};

/* ---- Wrappers that change the gradient ---- */

static const sw_option of_options[] = {{.name = "of", .kind = SW_OPTION_SPEC}, {0}};

/* Half the gradient, scaled element by element: -g is still a descent direction. */
static sw_status scaled_estimate(sw_estimate *e, const void *x, void *g) {
    SW_TRY(sw_estimate_inner(e, x, g));
    for (int i = 0; i < SMALL_DIM; i++)
        vec_set(e->type, g, i, vec_get(e->type, g, i) / (2 + i));
    return SW_OK;
}
static const sw_estimator scaled = {.size = sizeof(sw_estimator),
                                    .name = "scaled",
                                    .options = of_options,
                                    .flags = SW_ESTIMATOR_WRAPPER,
                                    .estimate = scaled_estimate};

/* The gradient at a point that is not x. */
static sw_status elsewhere_estimate(sw_estimate *e, const void *x, void *g) {
    void *y = sw_estimate_scratch(e, 0, 0);
    if (!y)
        return SW_ERR_MEMORY;
    sw_vector_axpby(e->type, e->dim, 0.75, x, 0, NULL, y);
    return sw_estimate_inner(e, y, g);
}
static const sw_estimator elsewhere = {.size = sizeof(sw_estimator),
                                       .name = "elsewhere",
                                       .options = of_options,
                                       .flags = SW_ESTIMATOR_WRAPPER,
                                       .estimate = elsewhere_estimate};

static int register_all(void **state) {
    (void)state;
    return sw_line_search_register(&recorder) != SW_OK || sw_estimator_register(&scaled) != SW_OK ||
           sw_estimator_register(&elsewhere) != SW_OK;
}

/* ---- Expected values and slopes, in plain loops ---- */

/* decay[i]: the weight decay of element i; moves[i]: it is not frozen. */
typedef struct expected {
    double value, slope;
} expected;

static expected expect_at(const double *x, const double *d, const double *decay, const bool *moves) {
    expected e = {0};
    for (int i = 0; i < SMALL_DIM; i++) {
        const double away = x[i] - bowl_t(i);
        e.value += bowl_h(i) / 2 * away * away;
        if (!moves[i])
            continue;
        e.value += decay[i] / 2 * x[i] * x[i];
        e.slope += (bowl_h(i) * away + decay[i] * x[i]) * d[i];
    }
    return e;
}

static void read_x(const sw_params *p, double *x) {
    for (int i = 0; i < SMALL_DIM; i++)
        x[i] = vec_get(sw_params_type(p), sw_params_x(p), i);
}

/* Values and slopes of one step against the plain loops. In f64 each is a sum of at most 36 terms. The direction is the
 * difference of x after and before the step, which has the rounding error of x. All numbers are below 1e3, and 1e-11
 * allows 36 rounding errors of the largest. */
static void check_step(sw_optim *o, bowl *b, const double *decay, const bool *moves) {
    sw_params *p = b->f.params;
    double before[SMALL_DIM], after[SMALL_DIM], d[SMALL_DIM];
    searches_run = 0;
    read_x(p, before);
    assert_ok(sw_optim_minimize(o, &b->f, NULL));
    read_x(p, after);
    assert_int_equal(searches_run, 1);
    for (int i = 0; i < SMALL_DIM; i++)
        d[i] = (after[i] - before[i]) / step_length;
    const expected at = expect_at(before, d, decay, moves), there = expect_at(after, d, decay, moves);
    assert_true(fabs(seen_value - at.value) <= 1e-11);
    assert_true(fabs(seen_slope - at.slope) <= 1e-11 * fabs(at.slope) / step_length);
    assert_true(fabs(seen_trial - there.value) <= 1e-11);
    assert_true(fabs(seen_trial_slope - there.slope) <= 1e-11 * fabs(at.slope) / step_length);
}

static void all_move(bool *moves) {
    for (int i = 0; i < SMALL_DIM; i++)
        moves[i] = true;
}

/* Two groups with different penalties, and one without; a frozen parameter has no penalty. */
static void test_values_and_slopes_include_the_penalty(void **state) {
    (void)state;
    static const char *const rules[] = {"sgd lr=1 weight_decay=3",
                                        "role=weight: sgd lr=1 weight_decay=3; sgd lr=1 weight_decay=0.5",
                                        "role=weight: sgd lr=1 weight_decay=3; sgd lr=1"};
    const double other[] = {3, 0.5, 0};
    step_length = 0x1p-6;
    for (int k = 0; k < 3; k++)
        for (int frozen = -1; frozen < 2; frozen++) {
            sw_params *p = small_params(SW_F64);
            bowl b;
            bowl_init(&b, p);
            sw_optim *o = NEW_OPTIM(p, .rule = rules[k], .estimator = "full", .schedule = "recorder");
            double decay[SMALL_DIM];
            bool moves[SMALL_DIM];
            all_move(moves);
            if (frozen >= 0)
                sw_param_freeze(sw_params_at(p, frozen), true);
            for (int i = 0; i < SMALL_DIM; i++) {
                decay[i] = i < 12 ? 3 : other[k]; /* "a", of 12 elements, is the weight */
                moves[i] = frozen < 0 || (i < 12 ? frozen != 0 : i < 17 ? frozen != 1 : true);
            }
            for (int step = 0; step < 3; step++)
                check_step(o, &b, decay, moves);
            sw_optim_free(o);
            sw_params_free(p);
        }
}

static void test_schedule_of_the_penalty_is_in_the_slope(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    bowl b;
    bowl_init(&b, p);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1 weight_decay=4", .estimator = "full",
                            .schedule = "recorder; exponential factor=0.5 on=weight_decay");
    step_length = 0x1p-6;
    for (int step = 0; step < 3; step++) {
        double decay[SMALL_DIM];
        bool moves[SMALL_DIM];
        all_move(moves);
        for (int i = 0; i < SMALL_DIM; i++)
            decay[i] = 4 * pow(0.5, step);
        check_step(o, &b, decay, moves);
    }
    sw_optim_free(o);
    sw_params_free(p);
}

/* Near the minimum of loss plus penalty, the slope of the loss alone along the step may have either sign. If the search
 * used it, it would end with an error, "the rule's direction is not a descent direction", or with a skipped step. */
static void test_searches_find_the_minimum_of_loss_and_penalty(void **state) {
    (void)state;
    static const char *const searches[] = {"armijo", "wolfe", "wolfe c2=0.1"};
    static const char *const rules[] = {"sgd lr=0.1 weight_decay=5",
                                        "role=weight: sgd lr=0.1 weight_decay=5; sgd lr=0.1"};
    for (int k = 0; k < 3; k++)
        for (int r = 0; r < 2; r++) {
            sw_params *p = small_params(SW_F64);
            bowl b;
            bowl_init(&b, p);
            sw_optim *o = NEW_OPTIM(p, .rule = rules[r], .estimator = "full", .schedule = searches[k]);
            double worst = INFINITY;
            for (int step = 0; step < 400 && worst > 1e-6; step++) {
                const sw_status status = sw_optim_minimize(o, &b.f, NULL);
                if (status != SW_OK)
                    fail_msg("%s, %s, step %d: status %d, %s", searches[k], rules[r], step, (int)status,
                             sw_error() ? sw_error() : "skipped");
                worst = 0;
                for (int i = 0; i < SMALL_DIM; i++) {
                    const double decay = r == 0 || i < 12 ? 5 : 0,
                                 minimum = bowl_h(i) * bowl_t(i) / (bowl_h(i) + decay);
                    worst = fmax(worst, fabs(vec_get(SW_F64, sw_params_x(p), i) - minimum));
                }
            }
            if (!(worst <= 1e-6))
                fail_msg("%s, %s: %g away from the minimum", searches[k], rules[r], worst);
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* ---- Another gradient for the rules ---- */

static const double no_decay[SMALL_DIM];

static void test_wrapped_gradient_has_the_true_slope(void **state) {
    (void)state;
    static const char *const estimators[] = {"scaled of=full", "scaled of=scaled of=full",
                                             "scaled of=minibatch batch=4", "sam rho=0.01 of=full",
                                             "elsewhere of=full"};
    step_length = 0x1p-7;
    for (int k = 0; k < 5; k++) {
        sw_params *p = small_params(SW_F64);
        bowl b;
        bool moves[SMALL_DIM];
        all_move(moves);
        bowl_init(&b, p);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1", .estimator = estimators[k], .schedule = "recorder");
        for (int step = 0; step < 3; step++) {
            const int64_t before = b.gradients;
            check_step(o, &b, no_decay, moves);
            /* The number of gradients: the estimate, one trial with a slope, and one at x if the wrapper did not
             * evaluate there. */
            assert_int_equal(b.gradients - before, k < 3 ? 2 : 3);
        }
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* The direction follows the clipped gradient, whose norm is 1; the slope is computed from the unclipped gradient. */
static void test_clipped_gradient_has_the_true_slope(void **state) {
    (void)state;
    static const char *const estimators[] = {"full", "scaled of=full"};
    step_length = 0x1p-2;
    for (int k = 0; k < 2; k++) {
        sw_params *p = small_params(SW_F64);
        bowl b;
        bool moves[SMALL_DIM];
        double x[SMALL_DIM], y[SMALL_DIM], square = 0;
        all_move(moves);
        bowl_init(&b, p);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1", .estimator = estimators[k], .schedule = "recorder", .clip = 1);
        read_x(p, x);
        check_step(o, &b, no_decay, moves);
        read_x(p, y);
        for (int i = 0; i < SMALL_DIM; i++)
            square += (y[i] - x[i]) * (y[i] - x[i]);
        assert_true(fabs(sqrt(square) - step_length) <= 1e-12);
        assert_true(sw_optim_gradient_norm(o) > 1);
        if (k == 0) /* ⟨g, -g/‖g‖⟩ */
            assert_true(fabs(seen_slope / sw_optim_gradient_norm(o) + 1) <= 1e-12);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* Estimators with tables or snapshots, which use other samples than those of the step, are refused. */
static void test_searches_refuse_gradients_of_other_samples(void **state) {
    (void)state;
    static const char *const refused[] = {"sag", "svrg", "scaled of=saga", "sam of=svrg"};
    static const char *const inner[] = {"sag", "svrg", "saga", "svrg"};
    for (int k = 0; k < 4; k++) {
        sw_params *p = small_params(SW_F64);
        char message[200];
        snprintf(message, sizeof message,
                 "line search armijo: the gradient of estimator %s is not that of the loss which the search would "
                 "evaluate",
                 inner[k]);
        options_refused(p, (sw_optim_options){.rule = "sgd", .estimator = refused[k], .schedule = "armijo"}, message);
        sw_params_free(p);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_values_and_slopes_include_the_penalty),         TEST(test_schedule_of_the_penalty_is_in_the_slope),
        TEST(test_searches_find_the_minimum_of_loss_and_penalty), TEST(test_wrapped_gradient_has_the_true_slope),
        TEST(test_clipped_gradient_has_the_true_slope),           TEST(test_searches_refuse_gradients_of_other_samples),
    };
    return cmocka_run_group_tests_name("searches_slopes", tests, register_all, NULL);
}
