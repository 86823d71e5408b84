/* The pipeline of a step: the order in which it calls the methods, the arguments that it refuses, and the check that a
 * rule declares the scalars that it writes. */
#include "spies.h"

static void test_minimize_calls_methods_in_order(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 4, some_gradient);
    sw_optim *o = NEW_OPTIM(p, .rule = "spy", .estimator = "outer of=spy", .average = "spy", .clip = 1);
    double value = 0, x[SMALL_DIM], inner = 0, norm = 0;
    memcpy(x, sw_params_x(p), sizeof x);
    for (int i = 0; i < SMALL_DIM; i++) {
        inner += some_gradient[i] * x[i];
        norm += some_gradient[i] * some_gradient[i];
    }
    assert_ok(sw_optim_minimize(o, &f.f, &value));
    assert_string_equal(calls, "sample outer-sample outer-estimate estimate begin measure decide update "
                               "average average-update commit outer-commit");
    /* ids 0 and 1 of 4: the factor is the mean of 1 and 1.25. The sums have 18 terms up to 4·1.25.
     */
    assert_true(fabs(value - 1.125 * inner) <= 1e-13);
    assert_true(fabs(sw_optim_gradient_norm(o) - 1.125 * sqrt(norm)) <= 1e-13);
    assert_true(fabs(seen_gradient - some_gradient[0] / sqrt(norm)) <= 1e-15); /* clipped before the rule */
    assert_true(seen_step == 1);
    assert_int_equal(sw_optim_steps_taken(o), 1);
    assert_true(sw_optim_epoch(o) == 0.5);
    assert_true(sw_optim_scalar(o, 0, "begun") == 1);
    assert_true(sw_optim_scalar(o, -1, "samples") == 1);
    assert_true(sw_optim_scalar(o, -1, "averaged") == 1);
    assert_true(isnan(sw_optim_scalar(o, 0, "samples")));
    assert_true(isnan(sw_optim_scalar(o, 1, "begun")));
    sw_array table = sw_optim_slot(o, "table");
    assert_true(table.rank == 1 && table.shape[0] == SMALL_DIM && test_get(&table, 0) == 1);
    assert_null(sw_optim_slot(o, "tables").data);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_step_calls_methods_in_order(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    sw_optim *o = NEW_OPTIM(p, .rule = "spy", .average = "spy");
    assert_ok(step_with(o, p, some_gradient));
    assert_ok(step_with(o, p, some_gradient));
    assert_string_equal(calls, "begin measure decide update average average-update "
                               "begin measure decide update average average-update");
    assert_true(seen_step == 2);
    sw_optim_free(o);
    sw_params_free(p);
}

/* begin of all groups, then the sums of all groups of a rule together, then updates in order. */
static void test_groups_are_called_in_order(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "name=a: spy; name=b: tensor_spy; spy lr=2");
    assert_ok(step_with(o, p, some_gradient));
    assert_string_equal(calls, "begin begin measure measure decide decide update b update");
    double sum = 0;
    for (int i = 0; i < SMALL_DIM; i++)
        sum += i < 12 || i == 17 ? some_gradient[i] : 0;
    assert_true(decided == sum); /* multiples of 1/8: exact */
    assert_true(sw_optim_scalar(o, 0, "decided") == sum && sw_optim_scalar(o, 2, "decided") == sum);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Refusals at the step ---- */

static void test_step_refuses_wrong_calls(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
    linear_problem f, g, other;
    linear_problem_init(&f, p, 4, some_gradient);
    linear_problem_init(&g, p, 4, some_gradient);
    linear_problem_init(&other, q, 4, some_gradient);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd");
    assert_int_equal(sw_optim_step(o), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "optim_step: there is no gradient; run sw_backward first");
    assert_ok(step_with(o, p, some_gradient));
    assert_int_equal(sw_optim_step(o), SW_ERR_STATE); /* it was used up */
    expect_error(SW_ERR_STATE, "optim_step: there is no gradient; run sw_backward first");
    assert_int_equal(sw_optim_minimize(o, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_bind: the objective is NULL");
    assert_int_equal(sw_optim_minimize(o, &other.f, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_bind: the objective is of other parameters");
    f.f.params = NULL;
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "objective: it or its parameters are NULL");
    f.f.params = p;
    f.f.n = 0;
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_bind: the objective has 0 samples");
    f.f.n = 4;
    assert_ok(sw_optim_minimize(o, &f.f, NULL)); /* none of these has bound it */
    assert_int_equal(sw_optim_minimize(o, &g.f, NULL), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "optim_bind: the optimizer is bound to another objective");
    assert_int_equal(sw_optim_minimize(o, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_bind: the objective is NULL");
    assert_int_equal(sw_optim_steps_per_epoch(o, &f.f), 1);
    assert_ok(step_with(o, p, some_gradient)); /* by hand in between */
    assert_int_equal(sw_optim_steps_taken(o), 3);
    assert_int_equal(sw_optim_set_total_steps(o, -1), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_set_total_steps: -1 steps");
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "sgd", .estimator = "hungry");
    assert_int_equal(sw_optim_step(o), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "optim_step: hungry evaluates the objective itself: call "
                               "sw_optim_minimize instead");
    assert_ok(sw_optim_minimize(o, &f.f, NULL)); /* no batch option: all samples */
    assert_true(sw_optim_epoch(o) == 1);
    assert_int_equal(sw_optim_steps_per_epoch(o, &f.f), 0);
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "sgd", .estimator = "outer of=hungry");
    assert_int_equal(sw_optim_step(o), SW_ERR_STATE);
    sw_clear_error();
    sw_optim_free(o);
    assert_int_equal(sw_optim_step(NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_step: the optimizer is NULL");
    assert_int_equal(sw_optim_minimize(NULL, &f.f, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_minimize: the optimizer is NULL");
    assert_null(sw_optim_point(NULL));
    assert_int_equal(sw_optim_steps_taken(NULL) + sw_optim_steps_skipped(NULL) + sw_optim_group_count(NULL), 0);
    sw_params_free(p);
    sw_params_free(q);
}

/* Keeps something where its table, which has one scalar, names none. */
static sw_status careless_begin(sw_step *s) {
    s->scalar[0] = 1;
    s->scalar[1] = 2;
    return SW_OK;
}
static const char *const one_scalar[] = {"one", NULL};
static const sw_rule careless = {.size = sizeof(sw_rule),
                                 .name = "careless",
                                 .options = lr_options,
                                 .scalars = one_scalar,
                                 .begin = careless_begin,
                                 .update = &update_kernels};

/* The last one: other tests ask every rule that is registered. */
static void test_undeclared_scalar_is_refused(void **state) {
    (void)state;
    assert_ok(sw_rule_register(&careless));
    sw_params *p = small_params(SW_F64);
    sw_optim *o = sw_optim_new(p, "careless");
    double before[SMALL_DIM], g[SMALL_DIM] = {1};
    memcpy(before, sw_params_x(p), sizeof before);
    assert_int_equal(step_with(o, p, g), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "rule careless writes scalar 1, which its table does not name: it would not be saved");
    assert_memory_equal(before, sw_params_x(p), sizeof before);
    sw_optim_free(o);
    sw_params_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, spies_setup, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_minimize_calls_methods_in_order), TEST(test_step_calls_methods_in_order),
        TEST(test_groups_are_called_in_order),      TEST(test_step_refuses_wrong_calls),
        TEST(test_undeclared_scalar_is_refused),
    };
    return cmocka_run_group_tests_name("pipeline", tests, register_spies, NULL);
}
