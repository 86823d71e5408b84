/* Special cases of variance reduction on generalized linear models in memory: durations in a resumed run, frozen
 * parameters, losses that overflow, calls of bind that fail, data of other programs. */
#include "small_glm.h"

#include <stddef.h>

/* A run with durations in % of it is the same when it is saved and continued. */
static void test_durations_of_a_resumed_run_are_kept(void **state) {
    (void)state;
    static const char *const specs[] = {"svrg batch=9 period=5%", "svrg batch=9 over=100%", "svrg batch=9 period=40"};
    problem *p = problem_new(1);
    for (int i = 0; i < 3; i++) {
        double whole[D + 1];
        for (int resumed = 0; resumed < 2; resumed++) {
            sw_glm *m = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, false);
            sw_optim *o = optim_of(m, specs[i], 0.05, 2);
            sw_train_options how = {.size = sizeof how, .steps = 400};
            if (resumed) {
                volatile sig_atomic_t none = 0;
                sw_archive *file = sw_archive_new();
                assert_ok(sw_optim_bind(o, sw_glm_objective(m)));
                assert_ok(sw_optim_set_total_steps(o, 400));
                how.steps = 80;
                how.stop = &none;
                assert_ok(sw_train(sw_glm_objective(m), o, &how, NULL));
                assert_ok(sw_optim_pack(o, file));
                sw_optim *other = optim_of(m, specs[i], 0.05, 2);
                assert_ok(sw_optim_bind(other, sw_glm_objective(m)));
                assert_ok(sw_optim_unpack(other, file));
                how.steps = 400;
                assert_ok(sw_train(sw_glm_objective(m), other, &how, NULL));
                assert_memory_equal(whole, sw_params_x(sw_glm_params(m)), sizeof whole);
                sw_archive_free(file);
                sw_optim_free(other);
            } else {
                assert_ok(sw_train(sw_glm_objective(m), o, &how, NULL));
                memcpy(whole, sw_params_x(sw_glm_params(m)), sizeof whole);
            }
            sw_optim_free(o);
            sw_glm_free(m);
        }
    }
    free(p);
}

/* Frozen weights have no part in L: the intercept alone has curvature ¼, and goes to its minimum in a few epochs. */
static void test_frozen_weights_have_no_part_in_the_step_size(void **state) {
    (void)state;
    static const char *const specs[] = {"sag batch=1", "saga batch=7", "svrg batch=7", "sag batch=90"};
    problem *p = problem_new(100);
    for (int i = 0; i < 8; i++) {
        sw_glm *m = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, i / 4);
        sw_param_freeze(sw_params_at(sw_glm_params(m), 0), true);
        sw_optim *o = NEW_OPTIM(sw_glm_params(m), .estimator = specs[i % 4], .rule = "sgd lr=auto", .seed = 1);
        const int64_t per_epoch = sw_optim_steps_per_epoch(o, sw_glm_objective(m));
        assert_ok(sw_optim_minimize_steps(o, sw_glm_objective(m), 200 * per_epoch, NULL));
        int ones = 0;
        for (int k = 0; k < N; k++)
            ones += p->two[k];
        const double bias = ((double *)sw_params_x(sw_glm_params(m)))[D], best = log((double)ones / (N - ones));
        if (!(fabs(bias - best) < 1e-6))
            fail_msg("%s: %g, not %g; L is %g", specs[i % 4], bias, best, sw_optim_scalar(o, -1, "L"));
        sw_optim_free(o);
        sw_glm_free(m);
    }
    free(p);
}

/* An attention mask's -Inf beside parameters that move: L is found all the same. */
static sw_status quadratic(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                           void *g) {
    const double *w = x;
    (void)user, (void)draw;
    *value = 0;
    if (g)
        memset(g, 0, 4 * sizeof(double));
    for (int64_t i = 0; i < count; i++)
        for (int k = 0; k < 3; k++) {
            const double d = w[k] - (double)(ids[i] % 5);
            *value += 0.5 * d * d / (double)count;
            if (g)
                ((double *)g)[k] += d / (double)count;
        }
    return SW_OK;
}

static void test_frozen_infinite_weight_is_survived(void **state) {
    (void)state;
    static const char *const specs[] = {"sag", "saga", "svrg batch=4", "full"};
    for (int i = 0; i < 4; i++) {
        sw_params *q = sw_params_new(SW_F64, 1);
        assert_non_null(sw_params_add(q, "w", SW_SHAPE(3), NULL));
        sw_param *mask = sw_params_add(q, "mask", SW_SHAPE(1), NULL);
        assert_non_null(mask);
        assert_ok(sw_params_build(q));
        sw_param_freeze(mask, true);
        ((double *)sw_params_x(q))[3] = -INFINITY;
        const sw_objective f = {.size = sizeof f, .n = 20, .params = q, .gradient = quadratic};
        sw_optim *o = NEW_OPTIM(q, .estimator = specs[i], .rule = "sgd lr=auto");
        for (int k = 0; k < 2000; k++)
            assert_ok(sw_optim_minimize(o, &f, NULL));
        for (int k = 0; k < 3; k++)
            assert_true(fabs(((double *)sw_params_x(q))[k] - 2) < 1e-9);
        sw_optim_free(o);
        sw_params_free(q);
    }
}

/* A sample whose loss is infinite is skipped and counted, in loops as in single steps. */
static void test_infinite_losses_are_counted(void **state) {
    (void)state;
    problem *p = problem_new(1);
    p->x[17 * D + 2] = 1000; /* e^1000 as soon as its weight is 1 */
    for (int i = 0; i < 3; i++) {
        sw_glm *m = glm_of(p, SW_HEAD_POISSON, SW_F64, false);
        ((double *)sw_params_x(sw_glm_params(m)))[2] = 1;
        sw_optim *o = NEW_OPTIM(sw_glm_params(m),
                                .estimator = i == 0   ? "svrg batch=9 lipschitz=50"
                                             : i == 1 ? "sag batch=9 lipschitz=50 init=seen"
                                                      : "saga batch=9 lipschitz=50 init=zero",
                                .rule = "role=weight: sgd lr=0; sgd lr=1e-4", .seed = 1);
        sw_train_result r;
        const sw_status status =
            sw_train(sw_glm_objective(m), o, &(sw_train_options){.size = sizeof(sw_train_options), .steps = 40}, &r);
        sw_clear_error();
        assert_true(r.skipped > 0 || status != SW_OK);
        assert_true(r.steps + r.skipped <= 40);
        sw_optim_free(o);
        sw_glm_free(m);
    }
    free(p);
}

/* Squares beyond f32 of derivatives that are not. */
static void test_large_targets_are_fitted_in_f32(void **state) {
    (void)state;
    problem *p = problem_new(1);
    for (int i = 0; i < N; i++)
        p->y[i] *= 1e20;
    for (int i = 0; i < 3; i++) {
        static const char *const specs[] = {"sag batch=1", "saga batch=9", "svrg batch=9"};
        sw_glm *m = glm_of(p, SW_HEAD_SQUARED, SW_F32, false);
        sw_optim *o = optim_of(m, specs[i], 0.05, 1);
        const double first = norm_at(p, SW_HEAD_SQUARED, m, 0.05);
        const int64_t per_epoch = sw_optim_steps_per_epoch(o, sw_glm_objective(m));
        assert_ok(sw_optim_minimize_steps(o, sw_glm_objective(m), 300 * per_epoch, NULL));
        assert_true(norm_at(p, SW_HEAD_SQUARED, m, 0.05) <= 3e-6 * first);
        sw_optim_free(o);
        sw_glm_free(m);
    }
    free(p);
}

/* A bind that fails leaves the choice of the batch to the next one. */
static void test_failed_bind_leaves_the_batch_open(void **state) {
    (void)state;
    enum { MANY = 20000 };
    double *x = calloc(MANY, sizeof *x);
    int32_t *y = calloc(MANY, sizeof *y);
    sw_params *q = sw_params_new(SW_F64, 1);
    assert_non_null(sw_params_add(q, "w", SW_SHAPE(1, 1), NULL));
    assert_ok(sw_params_build(q));
    for (int i = 0; i < MANY; i++)
        x[i] = 1 + i % 3, y[i] = i % 2;
    const sw_glm_data data = {.size = sizeof data, .head = SW_HEAD_LOGISTIC, .scale = 1, .dense = x, .label = y};
    sw_objective f = {.size = sizeof f, .n = MANY, .params = q, .features = 1, .outputs = 1, .glm = &data};
    sw_optim *o = NEW_OPTIM(q, .estimator = "saga table_limit=0.01", .rule = "sgd lr=auto");
    assert_int_equal(sw_optim_bind(o, &f), SW_ERR_ARGUMENT);
    assert_non_null(strstr(sw_error(), "table_limit"));
    sw_clear_error();
    f.n = 100;
    assert_int_equal(sw_optim_steps_per_epoch(o, &f), 100);
    assert_ok(sw_optim_minimize_steps(o, &f, 200, NULL));
    sw_optim_free(o);
    /* An objective whose parts do not fit is refused before anything is read. */
    f.bias = true;
    o = NEW_OPTIM(q, .estimator = "saga", .rule = "sgd lr=auto");
    assert_int_equal(sw_optim_bind(o, &f), SW_ERR_SHAPE);
    sw_clear_error();
    f.bias = false;
    f.size = offsetof(sw_objective, glm);
    assert_int_equal(sw_optim_bind(o, &f), SW_ERR_ARGUMENT);
    sw_clear_error();
    sw_optim_free(o);
    sw_params_free(q);
    free(x);
    free(y);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_durations_of_a_resumed_run_are_kept),
                                       cmocka_unit_test(test_frozen_weights_have_no_part_in_the_step_size),
                                       cmocka_unit_test(test_frozen_infinite_weight_is_survived),
                                       cmocka_unit_test(test_infinite_losses_are_counted),
                                       cmocka_unit_test(test_large_targets_are_fitted_in_f32),
                                       cmocka_unit_test(test_failed_bind_leaves_the_batch_open)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
