/* Frozen parameters do not change and are not part of the norm; tied names are one parameter; each group can have a
 * separate rule. */
#include "spies.h"

static bool part_moved(sw_params *p, const double *before, int index) {
    const sw_param *q = sw_params_at(p, index);
    bool any = false, all = true;
    for (int64_t i = q->offset; i < q->offset + q->count; i++) {
        bool moved = vec_get(sw_params_type(p), sw_params_x(p), i) != before[i];
        any |= moved;
        all &= moved;
    }
    if (any != all)
        fail_msg("parameter %s moved in part", q->name);
    return any;
}

static void frozen_step(sw_optim *o, sw_params *p, bool a, bool b, bool c) {
    double before[SMALL_DIM];
    for (int i = 0; i < SMALL_DIM; i++)
        before[i] = vec_get(sw_params_type(p), sw_params_x(p), i);
    assert_ok(step_with(o, p, some_gradient));
    assert_true(part_moved(p, before, 0) == a);
    assert_true(part_moved(p, before, 1) == b);
    assert_true(part_moved(p, before, 2) == c);
}

static void test_frozen_parameters_do_not_move(void **state) {
    (void)state;
    /* Momentum and decay would move a parameter without a gradient too. */
    static const char *const rules[] = {"adamw lr=0.1 weight_decay=0.5", "sgd lr=0.1 momentum=0.9 weight_decay=0.1",
                                        "name=b: spy; sgd lr=0.5"};
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
        calls[0] = 0;
        sw_params *p = small_params(SW_F32);
        for (int i = 0; i < SMALL_DIM; i++) /* decay leaves zeros alone, and must not cancel g */
            vec_set(SW_F32, sw_params_x(p), i, 100 + i);
        sw_param_freeze(sw_params_at(p, 1), true);
        sw_optim *o = NEW_OPTIM(p, .rule = rules[k]);
        frozen_step(o, p, true, false, true);
        sw_array own = sw_optim_param_slot(o, sw_params_at(p, 1), k == 0 ? "m" : k == 1 ? "momentum" : "count");
        for (int i = 0; i < 5; i++)
            assert_true(test_get(&own, i) == 0);
        sw_param_freeze(sw_params_at(p, 0), true);
        frozen_step(o, p, false, false, true);
        sw_param_freeze(sw_params_at(p, 1), false);
        frozen_step(o, p, false, true, true);
        sw_param_freeze(sw_params_at(p, 0), false);
        frozen_step(o, p, true, true, true);
        assert_true(test_get(&own, 0) != 0);
        for (int i = 0; i < 3; i++)
            sw_param_freeze(sw_params_at(p, i), true);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* A parameter that is frozen between sw_backward and sw_optim_step has no part in the step: neither in the norm
 * that clips, nor by a gradient that is not a number. The bits are those of one frozen before sw_backward. */
static void test_parameter_frozen_after_backward_has_no_part(void **state) {
    (void)state;
    const double broken[] = {1e6, (double)INFINITY, (double)NAN};
    for (int t = 0; t < 2; t++)
        for (size_t k = 0; k < sizeof broken / sizeof *broken; k++) {
            char x[2][SMALL_DIM * sizeof(double)];
            double norm[2];
            for (int late = 0; late < 2; late++) {
                double c[SMALL_DIM];
                memcpy(c, some_gradient, sizeof c);
                c[13] = broken[k]; /* of b */
                sw_params *p = small_params(both_types[t]);
                sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.5 momentum=0.9", .clip = 0.5);
                sw_tape *tape = sw_tape_new();
                sw_param_freeze(sw_params_at(p, 1), !late);
                assert_ok(sw_backward(inner_loss(tape, p, c)));
                sw_param_freeze(sw_params_at(p, 1), true);
                assert_ok(sw_optim_step(o));
                norm[late] = sw_optim_gradient_norm(o);
                memcpy(x[late], sw_params_x(p), params_bytes(p));
                memset(x[late] + params_bytes(p), 0, sizeof x[late] - params_bytes(p));
                sw_tape_free(tape);
                sw_optim_free(o);
                sw_params_free(p);
            }
            assert_memory_equal(x[0], x[1], sizeof x[0]);
            assert_true(norm[0] == norm[1] && norm[0] > 0);
        }
}

static void test_frozen_parameters_without_a_tape_have_no_part(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        for (int clipped = 0; clipped < 2; clipped++) {
            sw_params *p = small_params(both_types[t]);
            constant_problem f;
            constant_problem_init(&f, p, 1, 1, 1);
            sw_param *frozen = sw_params_find(p, "a"), *free_one = sw_params_find(p, "b");
            sw_param_freeze(frozen, true);
            for (int64_t i = 0; i < frozen->count; i++)
                f.g[frozen->offset + i] = 1000;
            const sw_optim_options how = {.size = sizeof how, .rule = "sgd lr=1", .clip = clipped ? 1 : 0};
            sw_optim *o = new_optim(p, &how);
            double was[SMALL_DIM];
            for (int i = 0; i < SMALL_DIM; i++)
                was[i] = vec_get(both_types[t], sw_params_x(p), i);
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
            double norm = sqrt(6), step = clipped ? 1 / norm : 1;
            assert_true(fabs(sw_optim_gradient_norm(o) - norm) <= 1e-6 * norm);
            for (int64_t i = 0; i < frozen->count; i++)
                assert_true(vec_get(both_types[t], sw_params_x(p), frozen->offset + i) == was[frozen->offset + i]);
            for (int64_t i = 0; i < free_one->count; i++) {
                int64_t k = free_one->offset + i;
                assert_true(fabs(vec_get(both_types[t], sw_params_x(p), k) - (was[k] - step)) <= 1e-6);
            }
            sw_optim_free(o);
            sw_params_free(p);
        }
}

static void test_tied_names_are_one_parameter(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F64, 1);
    sw_param *w = sw_params_add(p, "w", 1, (const int64_t[]){3}, NULL);
    sw_param *same = sw_params_tie(p, "same", w);
    assert_ok(sw_params_build(p));
    assert_int_equal(sw_params_dim(p), 3);
    /* A selector that would fit the second name alone finds nothing: it has no elements of its own.
     */
    assert_null(sw_optim_new(p, "name=same: spy; sgd"));
    expect_error(SW_ERR_ARGUMENT, "rule: name=same: spy has no parameters: no remaining parameter matches");
    sw_optim *o = sw_optim_new(p, "spy lr=0.5");
    const double c[3] = {1, 2, 4};
    assert_ok(step_with(o, p, c)); /* each name has gradient c: 2c in all, and one step */
    sw_array count = sw_optim_param_slot(o, w, "count"), other = sw_optim_param_slot(o, same, "count");
    assert_ptr_equal(count.data, other.data);
    for (int i = 0; i < 3; i++) {
        assert_true(vec_get(SW_F64, sw_params_x(p), i) == -c[i]);
        assert_true(test_get(&count, i) == 1);
    }
    sw_param_freeze(same, true); /* the one is the other */
    assert_int_equal(sw_optim_bytes(o).rule, 3 * 8);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_groups_have_their_own_lr(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    params_set(p, (const double[SMALL_DIM]){0});
    sw_optim *o = NEW_OPTIM(p, .rule = "name=b: sgd lr=0.5; role=weight: sgd lr=2; sgd lr=0.25");
    assert_ok(step_with(o, p, some_gradient));
    for (int i = 0; i < SMALL_DIM; i++) {
        double lr = i < 12 ? 2 : i < 17 ? 0.5 : 0.25;
        assert_true(vec_get(SW_F64, sw_params_x(p), i) == -lr * some_gradient[i]);
    }
    sw_optim_free(o);
    sw_params_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, spies_setup, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_frozen_parameters_do_not_move),
        TEST(test_parameter_frozen_after_backward_has_no_part),
        TEST(test_frozen_parameters_without_a_tape_have_no_part),
        TEST(test_tied_names_are_one_parameter),
        TEST(test_groups_have_their_own_lr),
    };
    return cmocka_run_group_tests_name("frozen_tied_groups", tests, register_spies, NULL);
}
