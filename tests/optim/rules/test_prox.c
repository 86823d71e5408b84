/* l1, nonnegative, low and high of sgd: the proximal step alone, the optima of scikit-learn and SciPy with every
 * estimator, exact zeros, momentum, the effect of the noise of batches, and refused combinations. */
#include "linear_models.h"

/* ---- The step ---- */

typedef struct step_case {
    const char *options;
    double l1, low, high;
} step_case;
static const step_case step_cases[] = {
    {"l1=0.75", 0.75, -INFINITY, INFINITY},         {"nonnegative", 0, 0, INFINITY},
    {"low=-0.5 high=0.25", 0, -0.5, 0.25},          {"l1=0.75 low=-0.5 high=0.25", 0.75, -0.5, 0.25},
    {"l1=0.75 nonnegative", 0.75, 0, INFINITY},     {"l1=0.75 low=0.125", 0.75, 0.125, INFINITY}, /* 0 outside */
    {"l1=0.75 low=-3 high=-0.25", 0.75, -3, -0.25}, {"l1=0.75 low=0.5 high=0.5", 0.75, 0.5, 0.5},
    {"nonnegative low=-7 high=0.25", 0, 0, 0.25},   {"nonnegative low=0.25", 0, 0.25, INFINITY},
};

/* Numbers of few digits: all sums are exact, and so is where |v| = ηλ₁. */
static void test_proximal_step_agrees_with_a_search(void **state) {
    (void)state;
    const double lr = 0.5, decay = 0.25;
    for (size_t k = 0; k < sizeof step_cases / sizeof *step_cases; k++)
        for (int t = 0; t < 2; t++) {
            const step_case *c = &step_cases[k];
            sw_params *p = small_params(both_types[t]);
            char spec[160];
            double g[SMALL_DIM], x[SMALL_DIM];
            int zeros = 0;
            snprintf(spec, sizeof spec, "sgd lr=0.5 weight_decay=0.25 %s", c->options);
            sw_optim *o = sw_optim_new(p, spec);
            assert_non_null(o);
            for (int i = 0; i < SMALL_DIM; i++) {
                x[i] = 0.25 * (i % 9 - 4);
                g[i] = 0.125 * (i * 5 % 17 - 8);
            }
            params_set(p, x);
            assert_ok(step_with(o, p, g));
            for (int i = 0; i < SMALL_DIM; i++) {
                const double v = x[i] - lr * (g[i] + decay * x[i]),
                             wanted = prox_by_trial(v, lr * c->l1, c->low, c->high),
                             now = vec_get(both_types[t], sw_params_x(p), i);
                zeros += now == 0;
                assert_false(now == 0 && signbit(now));
                if (now != wanted)
                    fail_msg("%s, %s: %g became %g by way of %g, not %g", spec, sw_dtype_name(both_types[t]), x[i], now,
                             v, wanted);
            }
            assert_true(c->low > 0 || c->high < 0 ? zeros == 0 : c->l1 > 0 || c->low == 0 ? zeros >= 4 : true);
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* A box that nothing touches: the bits of the rule without one, through the other loop. */
static void test_wide_bounds_change_no_bit(void **state) {
    (void)state;
    static const char *const rules[] = {"sgd lr=0.1 weight_decay=0.1", "sgd lr=0.1 momentum=0.9 weight_decay=0.1"};
    for (int k = 0; k < 2; k++)
        for (int t = 0; t < 2; t++) {
            sw_params *p[2] = {small_params(both_types[t]), small_params(both_types[t])};
            char spec[120];
            snprintf(spec, sizeof spec, "%s low=-1e30 high=1e30", rules[k]);
            sw_optim *o[2] = {sw_optim_new(p[0], rules[k]), sw_optim_new(p[1], spec)};
            uint64_t seed = 3;
            for (int step = 0; step < 50; step++) {
                double g[SMALL_DIM];
                for (int i = 0; i < SMALL_DIM; i++)
                    g[i] = test_uniform(&seed, -1, 1);
                for (int i = 0; i < 2; i++)
                    assert_ok(step_with(o[i], p[i], g));
            }
            assert_memory_equal(sw_params_x(p[0]), sw_params_x(p[1]), params_bytes(p[0]));
            for (int i = 0; i < 2; i++) {
                sw_optim_free(o[i]);
                sw_params_free(p[i]);
            }
        }
}

/* iPiano in its own terms: θ' = prox(θ - η g + μ (θ - θ before)), whatever η was before. */
static void test_momentum_follows_the_moves_taken(void **state) {
    (void)state;
    const double l1 = 0.3, low = -0.4, high = 0.6, mu = 0.5;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.5 momentum=0.5 l1=0.3 low=-0.4 high=0.6");
    double before[SMALL_DIM], now[SMALL_DIM];
    uint64_t seed = 4;
    memcpy(now, sw_params_x(p), sizeof now);
    memcpy(before, now, sizeof before);
    for (int step = 0; step < 30; step++) {
        double g[SMALL_DIM];
        for (int i = 0; i < SMALL_DIM; i++)
            g[i] = test_uniform(&seed, -1, 1);
        assert_ok(step_with(o, p, g));
        for (int i = 0; i < SMALL_DIM; i++) {
            const double v = now[i] - 0.5 * g[i] + mu * (now[i] - before[i]),
                         next = prox_by_trial(v, 0.5 * l1, low, high);
            before[i] = now[i];
            now[i] = next;
            /* the two forms differ by a few roundings of numbers below 4 in each step, which μ forgets */
            const double is = vec_get(SW_F64, sw_params_x(p), i);
            if (!(fabs(is - next) <= 64 * 0x1p-52))
                fail_msg("step %d: %.17g, not %.17g", step, is, next);
            now[i] = is;
        }
    }
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- The optimum of scikit-learn and SciPy ---- */

typedef struct way {
    const char *estimator;
    double step; /* of 1/(largest ‖a_i‖²) */
    const char *more;
    int64_t per_epoch;
} way;
static const way ways[] = {
    {"full", 1, "", 1},
    {"full", 1, " momentum=0.5", 1},
    {"sag", 0.25, "", PROX_M},
    {"saga", 0.25, "", PROX_M},
    {"saga batch=4", 0.25, "", PROX_M / 4},
    {"sag", 0, "", PROX_M}, /* lr=auto */
    {"saga", 0, "", PROX_M},
    {"svrg batch=1", 0.2, "", PROX_M},
    {"svrg batch=5 snapshot=mean", 0.25, "", PROX_M / 5},
};

static const void *reach_optimum(linear_model *p, sw_optim *o, const way *w, double goal) {
    double left = linear_model_residual(p, sw_params_x(p->params));
    for (int epoch = 0; epoch < 40000 && left > goal; epoch += 20) {
        for (int64_t k = 0; k < 20 * w->per_epoch; k++)
            assert_ok(sw_optim_minimize(o, &p->f, NULL));
        left = linear_model_residual(p, sw_params_x(p->params));
    }
    if (!(left <= goal))
        fail_msg("%s: %s%s ends at a residual of %g", p->c->name, w->estimator, w->more, left);
    return sw_params_x(p->params);
}

/* The references' own residuals are below 1e-9. Equal patterns of zeros, and of what is at the ends of the box. */
static void compare_with_reference(const linear_model *p, const char *how, const double *x, double tolerance) {
    for (int j = 0; j < PROX_N + p->c->intercept; j++) {
        const double wanted = j < PROX_N ? p->c->w[j] : p->c->b;
        if (!(fabs(x[j] - wanted) <= tolerance))
            fail_msg("%s, %s: x[%d] = %.12g, not %.12g", p->c->name, how, j, x[j], wanted);
        const bool same = (x[j] == 0) == (wanted == 0) && (x[j] == p->c->low) == (wanted == p->c->low) &&
                          (x[j] == p->c->high) == (wanted == p->c->high);
        if (j < PROX_N && !same)
            fail_msg("%s, %s: x[%d] = %.17g where the reference has %.17g", p->c->name, how, j, x[j], wanted);
    }
}

static void test_proximal_rules_reach_the_optima(void **state) {
    (void)state;
    for (int i = 0; i < PROX_CASES; i++)
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
            linear_model *p = linear_model_new(SW_F64, &prox_cases[i], 1);
            char rule[100] = "sgd lr=auto";
            if (ways[k].step > 0)
                snprintf(rule, sizeof rule, "sgd lr=%.17g%s", ways[k].step / linear_model_largest(p), ways[k].more);
            sw_optim *o = linear_model_optim(p, ways[k].estimator, rule, 7);
            compare_with_reference(p, ways[k].estimator, reach_optimum(p, o, &ways[k], 1e-10), 1e-6);
            sw_optim_free(o);
            linear_model_free(p);
        }
}

/* With a fixed step a batch's noise keeps x away from the optimum, and its zeros change; with a falling step it
 * comes near, as slowly as 1/√t. optim/README.md says so. */
static double after_batches(const char *schedule, int *changes) {
    linear_model *p = linear_model_new(SW_F64, &prox_cases[0], 1);
    char rule[100];
    snprintf(rule, sizeof rule, "role=weight: sgd lr=0.05 l1=%g; sgd lr=0.05", p->c->l1);
    sw_optim *o = NEW_OPTIM(p->params, .rule = rule, .estimator = "minibatch batch=4", .schedule = schedule, .seed = 1);
    bool zero[PROX_N] = {false};
    double mean = 0;
    *changes = 0;
    for (int t = 0; t < 20000; t++) {
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
        for (int j = 0; j < PROX_N; j++) {
            const bool now = vec_get(SW_F64, sw_params_x(p->params), j) == 0;
            *changes += t >= 19000 && now != zero[j];
            zero[j] = now;
        }
        if (t >= 19000)
            mean += linear_model_residual(p, sw_params_x(p->params)) / 1000;
    }
    sw_optim_free(o);
    linear_model_free(p);
    return mean;
}

static void test_falling_lr_quiets_the_noise_of_batches(void **state) {
    (void)state;
    int changes, of_falling;
    const double constant = after_batches(NULL, &changes),
                 falling = after_batches("inverse_time scale=100", &of_falling);
    print_message("residual %.2g with a fixed step (%d zeros change), %.2g with a falling one (%d)\n", constant,
                  changes, falling, of_falling);
    assert_true(constant > 1e-2 && changes > 100);
    assert_true(falling < constant / 10);
}

/* ---- Groups, frozen parameters, averages, clipping ---- */

static void test_frozen_parameter_stays_outside_its_bounds(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_param_freeze(sw_params_find(p, "a"), true);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.1 l1=1 nonnegative momentum=0.5");
    static const double g[SMALL_DIM] = {1, -1};
    double before[SMALL_DIM];
    memcpy(before, sw_params_x(p), sizeof before);
    for (int t = 0; t < 20; t++)
        assert_ok(step_with(o, p, g));
    const double *x = sw_params_x(p);
    for (int i = 0; i < SMALL_DIM; i++)
        assert_true(i < 12 ? x[i] == before[i] : x[i] >= 0 && x[i] < before[i]);
    assert_true(before[0] < 0);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_average_has_no_exact_zeros(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.1 l1=1", .average = "ema decay=0.9");
    static const double g[SMALL_DIM] = {0};
    for (int t = 0; t < 15; t++) /* 0.1 nearer to 0 in each, from 1.25 at most */
        assert_ok(step_with(o, p, g));
    const double *x = sw_params_x(p), *point = sw_optim_point(o);
    for (int i = 0; i < SMALL_DIM; i++)
        assert_true(x[i] == 0 && (i == 7 || point[i] != 0));
    sw_optim_free(o);
    sw_params_free(p);
}

/* The gradient of f is clipped, and the prox follows: l1 is as strong as before. */
static void test_clipping_comes_before_the_proximal_step(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.5 l1=0.5", .clip = 1);
    double g[SMALL_DIM] = {0}, before[SMALL_DIM];
    g[3] = 1024;
    memcpy(before, sw_params_x(p), sizeof before);
    assert_ok(step_with(o, p, g));
    for (int i = 0; i < SMALL_DIM; i++)
        assert_true(vec_get(SW_F64, sw_params_x(p), i) ==
                    prox_by_trial(before[i] - (i == 3 ? 0.5 : 0), 0.25, -INFINITY, INFINITY));
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Schedules ---- */

static void test_schedule_scales_l1(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    const double ones[SMALL_DIM] = {8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8}, none[SMALL_DIM] = {0};
    params_set(p, ones);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.5 l1=2",
                            .schedule = "exponential factor=0.5 on=l1; "
                                        "exponential factor=0.25");
    double wanted = 8;
    for (int t = 0; t < 5; t++) { /* η λ₁ falls by 8 */
        assert_ok(step_with(o, p, none));
        wanted -= ldexp(1, -3 * t);
        assert_true(vec_get(SW_F64, sw_params_x(p), 5) == wanted);
    }
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "sgd low=1 high=3", .schedule = "exponential factor=2 on=low");
    assert_ok(step_with(o, p, none));
    assert_ok(step_with(o, p, none));
    assert_int_equal(step_with(o, p, none), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "sgd: no number lies between low = 4 and high = 3");
    sw_optim_free(o);
    sw_params_free(p);
}

/* At lr = 0, where a schedule may end, or one that is subnormal, nothing moves but what is outside the box; m keeps
 * what it is. */
static void test_lr_of_zero_moves_into_the_bounds_only(void **state) {
    (void)state;
    static const double g[SMALL_DIM] = {1};
    for (int k = 0; k < 2; k++)
        for (int t = 0; t < 2; t++) {
            sw_params *p = small_params(both_types[t]);
            char spec[100];
            snprintf(spec, sizeof spec, "sgd lr=%g momentum=0.5 l1=1 low=-0.5", k ? t ? 1e-310 : 1e-45 : 0);
            sw_optim *o = sw_optim_new(p, spec);
            for (int step = 0; step < 3; step++)
                assert_ok(step_with(o, p, g));
            for (int i = 0; i < SMALL_DIM; i++)
                if (vec_get(both_types[t], sw_params_x(p), i) != fmax(-0.5, 0.125 * (i - 7)))
                    fail_msg("%s, %s: x[%d] = %g", spec, sw_dtype_name(both_types[t]), i,
                             vec_get(both_types[t], sw_params_x(p), i));
            const sw_array m = sw_optim_param_slot(o, sw_params_at(p, 0), "momentum");
            assert_true(test_get(&m, 0) == 1.75);
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* ---- Bounds ---- */

/* Half-open boxes with momentum are where bounds grow fastest: steps of ordinary size take no memory for copies. */
static void test_proximal_step_takes_no_copies(void **state) {
    (void)state;
    static const char *const specs[] = {"sgd l1=0.1", "sgd nonnegative", "sgd momentum=0.9 nonnegative l1=0.1",
                                        "sgd momentum=0.9 low=-1 high=2", "sgd momentum=0.9 low=2"};
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

/* A box that f32 cannot hold is refused before anything moves, if x would have to be there; else it is no box. */
static void test_bounds_beyond_the_type_are_refused(void **state) {
    (void)state;
    static const double none[SMALL_DIM] = {0};
    sw_params *p = small_params(SW_F32);
    double before[SMALL_DIM], after[SMALL_DIM];
    memcpy(before, sw_params_x(p), params_bytes(p));
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd low=1e39");
    assert_int_equal(step_with(o, p, none), SW_ERR_NONFINITE);
    sw_clear_error();
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "sgd high=1e39");
    assert_ok(step_with(o, p, none));
    memcpy(after, sw_params_x(p), params_bytes(p));
    assert_memory_equal(before, after, params_bytes(p));
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Refusals ---- */

static void refused(const char *rule, const char *schedule, const char *message) {
    sw_params *p = small_params(SW_F64);
    sw_optim *o = sw_optim_new_with_options(
        p,
        &(sw_optim_options){.size = sizeof(sw_optim_options), .rule = rule, .estimator = "full", .schedule = schedule});
    if (o)
        fail_msg("%s, %s was accepted", rule, schedule ? schedule : "-");
    expect_error(SW_ERR_ARGUMENT, message);
    sw_params_free(p);
}

static void test_proximal_options_refuse_wrong_values(void **state) {
    (void)state;
    refused("sgd l1=-1", NULL, "sgd: l1=-1 is outside [0, inf)");
    refused("sgd l1=inf", NULL, "sgd: l1=inf is outside [0, inf)");
    refused("sgd low=1 high=-1", NULL, "sgd: no number lies between low = 1 and high = -1");
    refused("sgd nonnegative high=-1", NULL,
            "sgd: no number lies between low = 0 and high = -1 (nonnegative makes low at least 0)");
    refused("sgd low=inf", NULL, "sgd: low=inf is outside (-inf, inf)");
    refused("sgd high=-inf", NULL, "sgd: high=-inf is outside (-inf, inf)");
    refused("sgd momentum=0.9 nesterov l1=1", NULL,
            "sgd: nesterov with l1 or a box: its parameters would be the extrapolated point, which has no exact zeros; "
            "use rule fista, which is Nesterov's method with l1 and boxes");
    refused("sgd momentum=0.9 dampening=0.5 low=0", NULL,
            "sgd: dampening = 0.5 with l1 or a box would take the gradient of a smaller f, but all of the penalty; "
            "use a smaller lr instead");
    refused("sgd l1=1", "armijo",
            "line search armijo: the step of rule sgd is not its learning rate times a direction: the proximal step "
            "of l1, nonnegative, low and high is not linear in lr; use a schedule, or another rule, such as lbfgs");
    refused("role=bias: sgd; sgd high=3", "wolfe",
            "line search wolfe: the step of rule sgd is not its learning rate times a direction: the proximal step "
            "of l1, nonnegative, low and high is not linear in lr; use a schedule, or another rule, such as lbfgs");
    sw_params *p = small_params(SW_F64);
    sw_optim_free(NEW_OPTIM(p, .rule = "sgd", .estimator = "full", .schedule = "armijo"));
    sw_params_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_proximal_step_agrees_with_a_search),
        TEST(test_wide_bounds_change_no_bit),
        TEST(test_momentum_follows_the_moves_taken),
        TEST(test_proximal_rules_reach_the_optima),
        TEST(test_falling_lr_quiets_the_noise_of_batches),
        TEST(test_frozen_parameter_stays_outside_its_bounds),
        TEST(test_average_has_no_exact_zeros),
        TEST(test_clipping_comes_before_the_proximal_step),
        TEST(test_schedule_scales_l1),
        TEST(test_lr_of_zero_moves_into_the_bounds_only),
        TEST(test_proximal_step_takes_no_copies),
        TEST(test_bounds_beyond_the_type_are_refused),
        TEST(test_proximal_options_refuse_wrong_values),
    };
    return cmocka_run_group_tests_name("prox", tests, NULL, NULL);
}
