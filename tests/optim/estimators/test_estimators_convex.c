/* SAG, SAGA and SVRG on strongly convex problems: linear convergence to the minimum with a constant step, the optimum
 * of scikit-learn, and the bound of the theorem. */
#include "logistic.h"

/* ---- Convergence ---- */

typedef struct run {
    const char *estimator;
    double step; /* times 1/L; 0: lr=auto */
    bool glm;
    int64_t per_epoch; /* steps */
} run;

static const run runs[] = {
    {"sag", 0, false, 200},
    {"sag", 0, true, 200},
    {"saga", 0, false, 200},
    {"saga", 0, true, 200},
    {"svrg batch=1", 0.25, false, 200},
    {"sag", 1, false, 200}, /* from here on: with mu = 0.1 alone */
    {"sag init=zero", 0.5, false, 200},
    {"sag init=full", 0.5, false, 200},
    {"sag init=centered", 0.5, true, 200},
    {"sag init=sgd", 0.1, false, 200},
    {"sag step=2/(L+n*l2)", 0, false, 200},
    {"sag sampling=lipschitz", 0, false, 200},
    {"sag sampling=lipschitz batch=3", 0, true, 67},
    {"sag batch=7", 0, false, 29}, /* 28 rows of 7 and one of 4 */
    {"sag batch=7", 0, true, 29},
    {"saga init=seen", 0.3, false, 200},
    {"saga init=full", 0.3, true, 200},
    {"saga init=centered", 0.3, false, 200},
    {"saga init=sgd", 0.1, true, 200},
    {"saga step=1/(2L+min(2n*l2,L))", 0, false, 200},
    {"saga sampling=lipschitz", 0, false, 200},
    {"saga sampling=lipschitz batch=3", 0, true, 67},
    {"saga batch=7", 0, false, 29},
    {"svrg batch=1 order=replacement", 0.25, false, 200},
    {"svrg batch=1 snapshot=random", 0.25, false, 200},
    {"svrg batch=1 snapshot=mean", 0.25, false, 200},
    {"svrg batch=7 period=3ep", 0.25, false, 29},
    {"full", 1, false, 1},
    {"full", 0, false, 1},
    {"full", 0, true, 1},
};

enum { WITH_BOTH = 5 };

static sw_optim *optim_for(const run *r, const logistic *p, double mu) {
    char rule[128], lr[32] = "auto";
    if (r->step > 0)
        snprintf(lr, sizeof lr, "%.17g", r->step / logistic_largest_l(p, mu));
    snprintf(rule, sizeof rule, "sgd lr=%s weight_decay=%g", lr, r->glm ? mu : 0);
    return optim_of(p->params, r->estimator, rule, 3);
}

/* Every 20 epochs the gradient is at most 0.8 of what it was, until it is at most 1e-12 (f64: rounding of a
 * mean of 200 terms near 1 is 1e-16·√200; the lr of 1/L with κ = L/μ up to 90 gives (1 - 1/(8·200))^4000 =
 * 0.08 in 20 epochs by the theorem, and full, with one step an epoch, (1 - 1/90)^20 = 0.8). */
static double converge(const run *r, sw_dtype type, double mu, double goal, int *epochs) {
    logistic *p = logistic_new(type, mu, r->glm);
    sw_optim *o = optim_for(r, p, mu);
    double norm = logistic_gradient_norm(p, mu);
    assert_int_equal(sw_optim_steps_per_epoch(o, &p->f), r->per_epoch);
    for (*epochs = 0; norm > goal && *epochs < 4000; *epochs += 20) {
        for (int64_t k = 0; k < 20 * r->per_epoch; k++)
            assert_ok(sw_optim_minimize(o, &p->f, NULL));
        const double now = logistic_gradient_norm(p, mu);
        if (!(now <= 0.8 * norm || now <= goal))
            fail_msg("%s, mu %g: %.3g became %.3g after epoch %d", r->estimator, mu, norm, now, *epochs);
        norm = now;
    }
    sw_optim_free(o);
    logistic_free(p);
    return norm;
}

static void test_table_methods_converge_linearly(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        for (int k = i < WITH_BOTH ? 0 : 1; k < 2; k++) {
            int epochs;
            const double mu = k ? 0.1 : 1, norm = converge(&runs[i], SW_F64, mu, 1e-12, &epochs);
            assert_true(norm <= 1e-12);
            print_message("%-34s mu %-3g %s: %.1e after %d epochs\n", runs[i].estimator, mu,
                          runs[i].glm ? "glm" : "   ", norm, epochs);
        }
}

/* In f32 down to its rounding: the sum d collects an error of 2⁻²⁴‖d‖ at each of a few thousand steps, at
 * most 2⁻²⁴·√4000·‖d‖/n = 4e-6 of a gradient that starts near 1. */
static void test_table_methods_converge_to_rounding_in_f32(void **state) {
    (void)state;
    for (size_t i = 0; i < WITH_BOTH; i++) {
        int epochs;
        assert_true(converge(&runs[i], SW_F32, 1, 4e-6, &epochs) <= 4e-6);
    }
}

static void test_sgd_does_not_converge_linearly(void **state) {
    (void)state;
    const run sgd = {"minibatch batch=1", 0.25, false, 200};
    logistic *p = logistic_new(SW_F64, 1, false);
    sw_optim *o = optim_for(&sgd, p, 1);
    for (int k = 0; k < 100 * 200; k++)
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
    assert_true(logistic_gradient_norm(p, 1) > 1e-3);
    sw_optim_free(o);
    logistic_free(p);
}

/* scikit-learn's own gradient there is below 5e-12, so that it is within 5e-11 of the optimum (mu ≥ 0.1). */
static void test_optimum_is_that_of_scikit_learn(void **state) {
    (void)state;
    static const run of[] = {{"sag", 0, false, 200},
                             {"sag", 0, true, 200},
                             {"saga", 0, true, 200},
                             {"sag batch=7", 0, false, 29},
                             {"svrg batch=1", 0.25, false, 200}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        for (int k = 0; k < 2; k++) {
            logistic *p = logistic_golden(optimum_mu[k], of[i].glm);
            sw_optim *o = optim_for(&of[i], p, optimum_mu[k]);
            double x[LOGISTIC_MOST], worst = 0;
            for (int step = 0; step < 400 * of[i].per_epoch && logistic_gradient_norm(p, optimum_mu[k]) > 1e-11;
                 step += 100)
                for (int j = 0; j < 100; j++)
                    assert_ok(sw_optim_minimize(o, &p->f, NULL));
            logistic_x(p, x);
            for (int64_t j = 0; j < p->n; j++)
                worst = fmax(worst, fabs(x[j] - optimum_x[k][j]));
            if (!(worst <= 1e-8))
                fail_msg("%s, mu %g: %.3g away", of[i].estimator, optimum_mu[k], worst);
            sw_optim_free(o);
            logistic_free(p);
        }
}

/* ---- The theorem: step 1/(16L), y_i = ∇f_i(x⁰) - ∇f(x⁰); both bounds on the mean over 20 seeds, of the
 * mean iterate x̄ and of the last. ---- */

/* f*, and ‖x⁰ - x*‖² from x⁰ = 0. */
static double minimum(double mu, double *square) {
    const run newton = {"full", 1, false, 1};
    logistic *p = logistic_new(SW_F64, mu, false);
    sw_optim *o = optim_for(&newton, p, mu);
    double x[LOGISTIC_MOST];
    for (int k = 0; k < 4000 && logistic_gradient_norm(p, mu) > 1e-13; k++)
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
    logistic_x(p, x);
    double value = logistic_part(p, mu, x, 0, p->m, NULL);
    *square = 0;
    for (int64_t j = 0; j < p->n; j++)
        *square += x[j] * x[j];
    sw_optim_free(o);
    logistic_free(p);
    return value;
}

static void test_bound_of_the_sag_theorem_holds(void **state) {
    (void)state;
    enum { SEEDS = 20, STEPS = 4000, EVERY = 500 };
    double square;
    const double mu = 0.1, least = minimum(mu, &square);
    double last[STEPS / EVERY] = {0}, mean[STEPS / EVERY] = {0}, x0_gap = 0, l = 0;
    for (int seed = 0; seed < SEEDS; seed++) {
        logistic *p = logistic_new(SW_F64, mu, false);
        l = logistic_largest_l(p, mu);
        char spec[128];
        snprintf(spec, sizeof spec, "sag init=centered step=1/(16L) lipschitz=%.17g", l);
        sw_optim *o = optim_of(p->params, spec, "sgd lr=auto", (uint64_t)seed);
        double x[LOGISTIC_MOST], sum[LOGISTIC_MOST] = {0}, at[LOGISTIC_MOST];
        logistic_x(p, x);
        x0_gap = logistic_part(p, mu, x, 0, p->m, NULL) - least;
        for (int k = 1; k <= STEPS; k++) {
            logistic_x(p, x);
            for (int64_t j = 0; j < p->n; j++)
                sum[j] += x[j];
            assert_ok(sw_optim_minimize(o, &p->f, NULL));
            if (k == 1)
                assert_true(fabs(sw_optim_option(o, 0, "lr") * 16 * l - 1) < 1e-15);
            if (k % EVERY)
                continue;
            logistic_x(p, x);
            for (int64_t j = 0; j < p->n; j++)
                at[j] = sum[j] / k;
            last[k / EVERY - 1] += (logistic_part(p, mu, x, 0, p->m, NULL) - least) / SEEDS;
            mean[k / EVERY - 1] += (logistic_part(p, mu, at, 0, p->m, NULL) - least) / SEEDS;
        }
        sw_optim_free(o);
        logistic_free(p);
    }
    for (int i = 0; i < STEPS / EVERY; i++) {
        const double k = (i + 1) * EVERY, rate = fmin(mu / (16 * l), 1 / (8 * 200.0));
        const double sublinear = 48 * 200 / k * x0_gap + 128 * l / k * square,
                     linear = pow(1 - rate, k) * (1.5 * x0_gap + 4 * l / 200 * square);
        if (!(mean[i] <= sublinear && last[i] <= linear))
            fail_msg("step %g: mean iterate %.3g of %.3g, last %.3g of %.3g", k, mean[i], sublinear, last[i], linear);
    }
    print_message("f - f* after %d steps: %.2e of the mean iterate, %.2e of the last\n", STEPS, mean[STEPS / EVERY - 1],
                  last[STEPS / EVERY - 1]);
}

/* ---- The full gradient ---- */

/* x ← 0 - g from 2300 samples, at most 1000 at once. Sums of 2300 numbers below 4: 1e-12. */
static void test_full_gradient_is_computed_in_chunks(void **state) {
    (void)state;
    for (int glm = 0; glm < 2; glm++) {
        logistic *p = logistic_of(SW_F64, 2300, 3, 0, glm);
        uint64_t seed = 8;
        for (int64_t i = 0; i < p->m * p->n; i++)
            p->a[i] = test_uniform(&seed, -1, 2);
        for (int64_t i = 0; i < p->m; i++)
            p->y[i] = i < 1100 ? 1 : -1; /* chunks that differ, of 1000, 1000 and 300 */
        sw_optim *o = optim_of(p->params, "full", "sgd lr=1", 1);
        double x[LOGISTIC_MOST] = {0}, g[LOGISTIC_MOST], value, expected;
        expected = logistic_part(p, 0, x, 0, p->m, g);
        assert_ok(sw_optim_minimize(o, &p->f, &value));
        logistic_x(p, x);
        assert_int_equal(p->most, 1000);
        assert_true(fabs(value - expected) < 1e-12);
        for (int64_t j = 0; j < p->n; j++)
            assert_true(fabs(x[j] + g[j]) < 1e-12);
        sw_optim_free(o);
        logistic_free(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_methods_converge_linearly),
        cmocka_unit_test(test_table_methods_converge_to_rounding_in_f32),
        cmocka_unit_test(test_sgd_does_not_converge_linearly),
        cmocka_unit_test(test_optimum_is_that_of_scikit_learn),
        cmocka_unit_test(test_bound_of_the_sag_theorem_holds),
        cmocka_unit_test(test_full_gradient_is_computed_in_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
