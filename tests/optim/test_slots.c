/* Slots of rules, estimators and averages: custom sizes, the types that they may have, and the copies of x that fit. */
#include "shaped_rule.h"

static void test_slots_have_sizes_of_their_own(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        sw_optim *o = sw_optim_new(p, "shaped");
        assert_non_null(o);
        double c[SMALL_DIM];
        for (int i = 0; i < SMALL_DIM; i++)
            c[i] = i;
        enum { STEPS = 3 };
        shaped_zero = true;
        for (int i = 0; i < STEPS; i++)
            assert_ok(step_with(o, p, c));
        assert_true(shaped_zero);
        static const int64_t rows[3] = {3, 5, 1};
        size_t bytes = 0;
        for (int k = 0; k < 3; k++) {
            const sw_param *param = sw_params_at(p, k);
            sw_array left = sw_optim_param_slot(o, param, "left"), note = sw_optim_param_slot(o, param, "note"),
                     sum = sw_optim_param_slot(o, param, "sum");
            assert_int_equal(left.type, both_types[t]);
            assert_int_equal(left.rank, 1);
            assert_int_equal(left.shape[0], rows[k] * rows[k]);
            for (int64_t i = 0; i < left.shape[0]; i++)
                assert_true(test_get(&left, i) == (double)(STEPS * (100 * (k + 1) + i)));
            assert_int_equal(note.type, SW_U8);
            assert_int_equal(note.shape[0], 7);
            for (int64_t i = 0; i < 7; i++)
                assert_true(test_get(&note, i) == STEPS * (k + 1));
            assert_int_equal(sum.rank, param->rank); /* of the parameter's own shape */
            for (int64_t i = 0; i < param->count; i++)
                assert_true(test_get(&sum, i) == STEPS * c[param->offset + i]);
            bytes += test_bytes(&left) + test_bytes(&note) + test_bytes(&sum);
        }
        assert_int_equal(sw_optim_bytes(o).rule, bytes);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static void test_sized_slot_needs_unit_tensor(void **state) {
    (void)state;
    static const sw_slot sized[] = {{.name = "left", .count = seven}, {0}},
                         odd[] = {{.name = "z", .type = SW_SLOT_F64, .start = SW_START_X}, {0}};
    static const sw_rule by_element = {.size = sizeof(sw_rule),
                                       .name = "by_element",
                                       .slots = sized,
                                       .update = &no_kernels},
                         odd_start = {
                             .size = sizeof(sw_rule), .name = "odd_start", .slots = odd, .update = &no_kernels};
    assert_int_equal(sw_rule_register(&by_element), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: slot left of rule by_element: count requires unit TENSOR or VECTOR");
    assert_int_equal(sw_rule_register(&odd_start), SW_ERR_ARGUMENT);
    assert_non_null(strstr(sw_error(), "register: slot z of rule odd_start"));
    sw_clear_error();
    assert_null(sw_rule_find("by_element"));
    assert_null(sw_rule_find("odd_start"));
}

/* measure goes over stretches of many parameters, where a part of a slot with a size of its own is not to be found:
 * it got a wild pointer. */
static int64_t seen_type;
static int64_t sized_by_type(const sw_slot_sizes *sizes) {
    seen_type = sizes->type;
    return 2;
}
static const sw_slot typed_slots[] = {{.name = "state", .count = sized_by_type}, {0}};
static sw_status typed_tensor(sw_step *s) {
    (void)s;
    return SW_OK;
}
static void typed_measure(void *args, int64_t begin, int64_t end, double *sums) {
    (void)args, (void)begin, (void)end, (void)sums;
}

static void test_sized_slot_is_refused_with_measure(void **state) {
    (void)state;
    static const sw_kernels kernels = {{typed_measure, typed_measure, typed_measure},
                                       {typed_measure, typed_measure, typed_measure}};
    static const sw_rule typed = {.size = sizeof(sw_rule),
                                  .name = "typed",
                                  .unit = SW_UNIT_TENSOR,
                                  .tensor = typed_tensor,
                                  .slots = typed_slots},
                         measured = {.size = sizeof(sw_rule),
                                     .name = "measured",
                                     .unit = SW_UNIT_TENSOR,
                                     .tensor = typed_tensor,
                                     .slots = typed_slots,
                                     .measure = &kernels,
                                     .sums = 1};
    assert_int_equal(sw_rule_register(&measured), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: slot state of rule measured: its count cannot be combined with measure "
                                  "and point, which process many parameters per call; tensor processes one");
    assert_ok(sw_rule_register(&typed));
    for (int t = 0; t < 2; t++) { /* the element type is among what the size may depend on */
        sw_params *p = small_params(both_types[t]);
        seen_type = -1;
        sw_optim_free(sw_optim_new(p, "typed"));
        assert_int_equal(seen_type, both_types[t]);
        sw_params_free(p);
    }
}

static sw_status leave_x(sw_step *s) {
    (void)s;
    return SW_OK;
}

/* A copy of x fits a slot of x's type and size only. Whoever asks for another is refused, when the
 * method is registered or at the latest when memory is made, and nothing is written past an end. */
static int64_t two(const sw_slot_sizes *sizes) {
    (void)sizes;
    return 2;
}

static void test_copy_of_x_that_does_not_fit_is_refused(void **state) {
    (void)state;
    static const sw_slot few[] = {{.name = "z", .start = SW_START_X, .count = two}, {0}},
                         bytes[] = {{.name = "z", .start = SW_START_X, .type = SW_SLOT_U8}, {0}},
                         wide[] = {{.name = "z", .start = SW_START_X, .type = SW_SLOT_F64}, {0}};
    static const sw_slot *const slots[] = {few, bytes, wide};
    static sw_rule rule[3];
    static sw_estimator estimator[3];
    static sw_average average[3];
    static const char *const names[] = {"copy_few", "copy_bytes", "copy_wide"};
    for (int i = 0; i < 3; i++) {
        rule[i] = (sw_rule){.size = sizeof(sw_rule),
                            .name = names[i],
                            .options = lr_options,
                            .slots = slots[i],
                            .unit = SW_UNIT_TENSOR,
                            .tensor = leave_x};
        estimator[i] = (sw_estimator){
            .size = sizeof(sw_estimator), .name = names[i], .slots = slots[i], .estimate = plain_estimate};
        average[i] = (sw_average){.size = sizeof(sw_average), .name = names[i], .slots = slots[i]};
        for (int kind = 0; kind < 3; kind++) {
            sw_status status = kind == 0   ? sw_rule_register(&rule[i])
                               : kind == 1 ? sw_estimator_register(&estimator[i])
                                           : sw_average_register(&average[i]);
            sw_params *p = small_params(SW_F32);
            constant_problem f;
            constant_problem_init(&f, p, 1, 1, 1);
            const sw_optim_options how = {.size = sizeof how,
                                          .rule = kind == 0 ? names[i] : NULL,
                                          .estimator = kind == 1 ? names[i] : NULL,
                                          .average = kind == 2 ? names[i] : NULL};
            sw_optim *o = status == SW_OK ? sw_optim_new_with_options(p, &how) : NULL;
            if (o && sw_optim_minimize(o, &f.f, NULL) == SW_OK)
                fail_msg("%s of kind %d was taken", names[i], kind);
            assert_non_null(sw_error());
            sw_clear_error();
            sw_optim_free(o);
            sw_params_free(p);
        }
    }
}

static int register_all(void **state) {
    (void)state;
    return sw_rule_register(&shaped) != SW_OK;
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_slots_have_sizes_of_their_own), TEST(test_sized_slot_needs_unit_tensor),
        TEST(test_sized_slot_is_refused_with_measure),
        TEST(test_copy_of_x_that_does_not_fit_is_refused), /* last: a library that fails it spoils memory */
    };
    return cmocka_run_group_tests_name("slots", tests, register_all, NULL);
}
