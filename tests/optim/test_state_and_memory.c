/* The point and the state of an optimizer, by name; their memory; every allocation that fails in turn. */
#include "spies.h"

static void test_point_is_x_or_the_average(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1");
    assert_ptr_equal(sw_optim_point(o), sw_params_x(p));
    assert_ok(step_with(o, p, some_gradient));
    assert_ptr_equal(sw_optim_point(o), sw_params_x(p));
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "sgd lr=1", .average = "ema decay=0.5");
    params_set(p, (const double[SMALL_DIM]){8, 4}); /* after it was made, before the first step */
    assert_ptr_equal(sw_optim_point(o), sw_params_x(p));
    assert_ok(step_with(o, p, some_gradient));
    const double *e = sw_optim_point(o), *x = sw_params_x(p);
    double copy[SMALL_DIM];
    memcpy(copy, x, sizeof copy);
    assert_true(e != x);
    assert_true(x[0] == 7 && e[0] == 7.5); /* (8 + 7)/2 */
    assert_true(x[1] == 6 && e[1] == 5);
    assert_ptr_equal(sw_optim_slot(o, "ema").data, e);
    assert_memory_equal(copy, sw_params_x(p), sizeof copy);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_state_is_found_by_name(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    sw_optim *o = NEW_OPTIM(p, .rule = "role=weight: adam; sgd momentum=0.5");
    assert_ok(step_with(o, p, some_gradient));
    sw_array m = sw_optim_param_slot(o, sw_params_at(p, 0), "m");
    assert_true(m.type == SW_F32 && m.rank == 2 && m.shape[0] == 3 && m.shape[1] == 4);
    for (int i = 0; i < 12; i++) /* 0.1·g: rounding of 1 - 0.9 and of the product */
        assert_true(fabs(test_get(&m, i) - 0.1 * some_gradient[i]) <= 1.2e-7 * 0.1 * fabs(some_gradient[i]));
    sw_array momentum = sw_optim_param_slot(o, sw_params_at(p, 2), "momentum");
    assert_true(momentum.rank == 0 && test_get(&momentum, 0) == some_gradient[17]);
    momentum = sw_optim_param_slot(o, sw_params_at(p, 1), "momentum");
    assert_true(momentum.shape[0] == 5 && test_get(&momentum, 4) == some_gradient[16]);
    assert_null(sw_optim_param_slot(o, sw_params_at(p, 1), "m").data);
    assert_null(sw_optim_param_slot(o, NULL, "m").data);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_state_takes_the_stated_bytes(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 4, some_gradient);
    sw_optim *o = NEW_OPTIM(p, .rule = "role=weight: adam; sgd", .estimator = "spy", .average = "ema");
    sw_optim_memory bytes = sw_optim_bytes(o);
    assert_int_equal(bytes.rule, 2 * 12 * 8);
    assert_int_equal(bytes.average, SMALL_DIM * 8);
    assert_int_equal(bytes.estimator, 0); /* not bound yet */
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    assert_int_equal(sw_optim_bytes(o).estimator, SMALL_DIM * 8);
    sw_optim_free(o);
    bytes = sw_optim_bytes(NULL);
    assert_int_equal(bytes.rule + bytes.estimator + bytes.average, 0);
    sw_params_free(p);
}

/* Create and three steps; returns whether all went well. */
static bool whole_life(sw_params *p, const sw_objective *f) {
    const sw_optim_options how = {.size = sizeof how,
                                  .rule = "role=weight: adam; sgd momentum=0.5",
                                  .estimator = "outer of=minibatch batch=2",
                                  .average = "ema",
                                  .clip = 1,
                                  .schedule = "constant warmup=2; cosine on=weight_decay",
                                  .total_steps = 3};
    sw_optim *o = sw_optim_new_with_options(p, &how);
    bool good = o != NULL;
    for (int i = 0; i < 3 && good; i++)
        good = sw_optim_minimize(o, f, NULL) == SW_OK;
    sw_optim_free(o);
    return good;
}

static void test_optimizer_survives_every_failed_allocation(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 5, some_gradient);
    test_allocator_fail(&a, 0, false);
    calls[0] = 0;
    long long live = atomic_load(&a.live);
    assert_true(whole_life(p, &f.f));
    long long requests = atomic_load(&a.calls);
    assert_true(requests > 10);
    for (int for_good = 0; for_good < 2; for_good++)
        for (long long k = 1; k <= requests; k++) {
            calls[0] = 0;
            test_allocator_fail(&a, k, for_good != 0);
            bool good = whole_life(p, &f.f);
            test_allocator_fail(&a, 0, false);
            if (good)
                fail_msg("request %lld of %lld failed unnoticed", k, requests);
            assert_non_null(sw_error());
            assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
            sw_clear_error();
            assert_int_equal(atomic_load(&a.live), live);
        }
    sw_params_free(p);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

/* After a first minimize that ran out of memory the same optimizer can try again, and then does
 * what it would have done. */
static void test_failed_minimize_can_be_repeated(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
    linear_problem f, g;
    linear_problem_init(&f, p, 5, some_gradient);
    linear_problem_init(&g, q, 5, some_gradient);
    const sw_optim_options how = {.size = sizeof how, .rule = "adam lr=0.1", .estimator = "minibatch batch=2"};
    sw_optim *clean = new_optim(q, &how);
    assert_ok(sw_optim_minimize(clean, &g.f, NULL));
    for (long long k = 1; k < 200; k++) {
        params_set(p, (const double[SMALL_DIM]){0});
        for (int64_t i = 0; i < SMALL_DIM; i++)
            vec_set(SW_F64, sw_params_x(p), i, 0.125 * (double)(i - 7));
        sw_optim *o = new_optim(p, &how);
        test_allocator_fail(&a, k, false);
        sw_status status = sw_optim_minimize(o, &f.f, NULL);
        bool reached = atomic_load(&a.failed) > 0;
        test_allocator_fail(&a, 0, false);
        assert_true(reached == (status == SW_ERR_MEMORY));
        sw_clear_error();
        if (!reached) {
            assert_true(k > 3);
            k = 200;
        } else {
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
            assert_int_equal(sw_optim_steps_taken(o), 1);
            assert_int_equal(sw_optim_steps_skipped(o), 0);
        }
        sw_optim_free(o);
    }
    /* The sampler may have gone on by the batch that was lost; the moves of x are by ±lr either
     * way. */
    for (int64_t i = 0; i < SMALL_DIM; i++)
        assert_true(fabs(vec_get(SW_F64, sw_params_x(p), i) - vec_get(SW_F64, sw_params_x(q), i)) <=
                    1e-7); /* ε/|g| of the two steps */
    sw_optim_free(clean);
    sw_params_free(p);
    sw_params_free(q);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, spies_setup, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_point_is_x_or_the_average),       TEST(test_state_is_found_by_name),
        TEST(test_state_takes_the_stated_bytes),    TEST(test_optimizer_survives_every_failed_allocation),
        TEST(test_failed_minimize_can_be_repeated),
    };
    return cmocka_run_group_tests_name("state_and_memory", tests, register_spies, NULL);
}
