/* Regression tests of variance reduction: infinite steps that end at bounds, runs resumed with other options, step
 * sizes if nothing moves, frozen parameters. */
#include "small_glm.h"

static const char *const tables_and_svrg[] = {"sag batch=8", "saga batch=8", "svrg batch=8"};

/* A step that is infinite in f32 ends in the box, also where x is kept in two numbers. */
static void test_infinite_step_ends_within_the_bounds(void **state) {
    (void)state;
    problem *p = problem_new(1);
    for (int i = 0; i < N; i++)
        p->y[i] *= 1e34;
    for (int i = 0; i < 3; i++) {
        sw_glm *m = glm_of(p, SW_HEAD_SQUARED, SW_F32, false);
        sw_optim *o =
            NEW_OPTIM(sw_glm_params(m), .estimator = tables_and_svrg[i], .rule = "sgd lr=1e6 low=-0.1 high=0.2");
        for (int k = 0; k < 3; k++)
            assert_ok(sw_optim_minimize(o, sw_glm_objective(m), NULL));
        for (int64_t j = 0; j < D + 1; j++) {
            const float x = ((const float *)sw_params_x(sw_glm_params(m)))[j];
            assert_true(x >= -0.1f && x <= 0.2f);
        }
        sw_optim_free(o);
        sw_glm_free(m);
    }
    free(p);
}

/* Saved with one spec, read with another: refused where the table would be of other rows. */
static sw_status resumed(const char *saved, const char *read, const char *rule, sw_glm *m, sw_optim **to) {
    sw_optim *o = NEW_OPTIM(sw_glm_params(m), .estimator = saved, .rule = "sgd lr=0.05", .seed = 2);
    sw_archive *file = sw_archive_new();
    assert_ok(sw_optim_minimize_steps(o, sw_glm_objective(m), 30, NULL));
    assert_ok(sw_optim_pack(o, file));
    *to = NEW_OPTIM(sw_glm_params(m), .estimator = read, .rule = rule, .seed = 2);
    assert_ok(sw_optim_bind(*to, sw_glm_objective(m)));
    const sw_status status = sw_optim_unpack(*to, file);
    sw_clear_error();
    sw_archive_free(file); /* which refers to what the first one has */
    sw_optim_free(o);
    return status;
}

static void test_batch_of_a_saved_run_must_fit(void **state) {
    (void)state;
    static const struct {
        const char *saved, *read;
        bool fits;
    } of[] = {{"svrg", "svrg batch=64", true}, {"svrg batch=64", "svrg", true},        {"svrg", "svrg batch=1", false},
              {"svrg batch=1", "svrg", false}, {"svrg batch=1", "svrg batch=1", true}, {"sag", "sag batch=1", true},
              {"sag batch=1", "sag", true},    {"sag batch=2", "sag", false}};
    problem *p = problem_new(1);
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        sw_glm *m = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, false);
        sw_optim *o;
        if ((resumed(of[i].saved, of[i].read, "sgd lr=0.05", m, &o) == SW_OK) != of[i].fits)
            fail_msg("a file of %s read by %s", of[i].saved, of[i].read);
        sw_optim_free(o);
        sw_glm_free(m);
    }
    free(p);
}

/* L of the rows, or a given L, is that of the present options, not of those in the file. */
static void test_resumed_run_keeps_the_step_size(void **state) {
    (void)state;
    static const char *const kinds[] = {"sag batch=8", "saga batch=8", "svrg batch=8"};
    problem *p = problem_new(1);
    for (int i = 0; i < 6; i++) {
        char spec[64];
        snprintf(spec, sizeof spec, "%s lipschitz=%s", kinds[i % 3], i < 3 ? "auto" : "5");
        sw_glm *m = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, false), *fresh = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, false);
        sw_optim *o, *other = NEW_OPTIM(sw_glm_params(fresh), .estimator = spec, .rule = "sgd lr=auto");
        assert_ok(resumed(kinds[i % 3], spec, "sgd lr=auto", m, &o));
        assert_ok(sw_optim_minimize(o, sw_glm_objective(m), NULL));
        assert_ok(sw_optim_minimize(other, sw_glm_objective(fresh), NULL));
        assert_true(sw_optim_option(o, 0, "lr") > 0);
        assert_true(sw_optim_option(o, 0, "lr") == sw_optim_option(other, 0, "lr"));
        sw_optim_free(o);
        sw_optim_free(other);
        sw_glm_free(m);
        sw_glm_free(fresh);
    }
    free(p);
}

/* Where x does not move from snapshot to snapshot nothing is learned of the step size. */
static void test_unmoved_snapshots_leave_the_step_size(void **state) {
    (void)state;
    problem *p = problem_new(1);
    without_bias = true;
    for (int i = 0; i < 2; i++) {
        sw_glm *m = glm_of(p, SW_HEAD_LOGISTIC, both_types[i], false);
        sw_optim *o = NEW_OPTIM(sw_glm_params(m), .estimator = "svrg batch=8 period=5", .rule = "sgd lr=auto l1=1000");
        assert_ok(sw_optim_minimize_steps(o, sw_glm_objective(m), 100, NULL));
        assert_true(sw_optim_scalar(o, -1, "divisor") <= 1);
        sw_optim_free(o);
        sw_glm_free(m);
    }
    without_bias = false;
    free(p);
}

/* A frozen bias has no part in L, however small the features are: L is in proportion to their squares. */
static void test_frozen_bias_has_no_part_in_the_step_size(void **state) {
    (void)state;
    static const double scale[] = {1, 1e-4, 1e-8, 1e4};
    for (int i = 0; i < 6; i++) {
        double first = 0;
        for (int k = 0; k < 4; k++) {
            problem *p = problem_new(scale[k]);
            sw_glm *m = glm_of(p, SW_HEAD_SQUARED, both_types[i / 3], false);
            sw_param_freeze(sw_params_find(sw_glm_params(m), "bias"), true);
            sw_optim *o =
                NEW_OPTIM(sw_glm_params(m), .estimator = tables_and_svrg[i % 3], .rule = "sgd lr=auto", .seed = 3);
            assert_ok(sw_optim_minimize_steps(o, sw_glm_objective(m), 16, NULL));
            const double l = sw_optim_scalar(o, -1, "L") / scale[k] / scale[k];
            first = k == 0 ? l : first;
            if (!(fabs(l / first - 1) < (both_types[i / 3] == SW_F32 ? 1e-3 : 1e-9)))
                fail_msg("%s in %s, features of %g: L %g of what it is at 1", tables_and_svrg[i % 3],
                         sw_dtype_name(both_types[i / 3]), scale[k], l / first);
            sw_optim_free(o);
            sw_glm_free(m);
            free(p);
        }
    }
}

/* SAM's ascent leaves frozen parameters out. With frozen weights, which are 0, a squared loss depends on the bias
 * alone, and each step of sam is known: b ← b - lr (b ± ρ - mean target). */
static void test_sam_of_svrg_respects_frozen_weights(void **state) {
    (void)state;
    problem *p = problem_new(1);
    double mean = 0;
    for (int i = 0; i < N; i++)
        mean += p->y[i] / N;
    sw_glm *m = glm_of(p, SW_HEAD_SQUARED, SW_F64, false);
    sw_param_freeze(sw_params_find(sw_glm_params(m), "weight"), true);
    sw_optim *o = NEW_OPTIM(sw_glm_params(m), .estimator = "sam rho=0.5 of=svrg batch=90", .rule = "sgd lr=0.1");
    double b = 0;
    for (int k = 0; k < 12; k++) {
        assert_ok(sw_optim_minimize(o, sw_glm_objective(m), NULL));
        b -= 0.1 * (b - mean + (b > mean ? 0.5 : -0.5));
        const double bias = ((const double *)sw_params_x(sw_glm_params(m)))[D];
        if (!(fabs(bias - b) < 1e-12))
            fail_msg("step %d: the bias is %g, not %g", k + 1, bias, b);
    }
    sw_optim_free(o);
    sw_glm_free(m);
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_infinite_step_ends_within_the_bounds),
                                       cmocka_unit_test(test_batch_of_a_saved_run_must_fit),
                                       cmocka_unit_test(test_resumed_run_keeps_the_step_size),
                                       cmocka_unit_test(test_unmoved_snapshots_leave_the_step_size),
                                       cmocka_unit_test(test_frozen_bias_has_no_part_in_the_step_size),
                                       cmocka_unit_test(test_sam_of_svrg_respects_frozen_weights)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
