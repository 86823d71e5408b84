/* Rules of unit VECTOR: the vectors that they receive for groups of all kinds; slots of any size; functions for rules;
 * memory. test_vector_steps.c has their steps, and test_prototypes_lbfgs.c has L-BFGS, for which they exist. */
#include "vector_rules.h"

/* ---- Groups ---- */

/* Groups without and with gaps, parameters that are frozen in some steps, schedules: x ← x + lr (-g) is x ← x - lr g in
 * every bit. */
static void test_vector_descent_is_sgd(void **state) {
    (void)state;
    static const struct {
        const char *vector, *sgd, *schedule;
    } cases[] = {
        {"descent lr=0.3", "sgd lr=0.3", NULL},
        {"descent lr=0.3", "sgd lr=0.3", "exponential factor=0.7"},
        {"unit_descent", "sgd lr=1", NULL},
        {"name=b: descent lr=0.1; descent lr=0.3", "name=b: sgd lr=0.1; sgd lr=0.3", NULL},
        {"role=weight: descent lr=0.1; sgd lr=0.3", "role=weight: sgd lr=0.1; sgd lr=0.3", NULL},
        {"name=b: adam; descent lr=0.3", "name=b: adam; sgd lr=0.3", NULL},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int t = 0; t < 2; t++)
            for (int set = 0; set < 8; set++) { /* which parameters are frozen in steps 2 and 3 */
                sw_params *p = small_params(both_types[t]), *q = small_params(both_types[t]);
                sw_optim *o = NEW_OPTIM(p, .rule = cases[k].vector, .schedule = cases[k].schedule),
                         *sgd = NEW_OPTIM(q, .rule = cases[k].sgd, .schedule = cases[k].schedule);
                for (int step = 0; step < 6; step++) {
                    double c[SMALL_DIM];
                    for (int i = 0; i < SMALL_DIM; i++)
                        c[i] = some_gradient[(i + step) % SMALL_DIM];
                    for (int i = 0; i < 3; i++) {
                        sw_param_freeze(sw_params_at(p, i), (step == 2 || step == 3) && (set >> i & 1));
                        sw_param_freeze(sw_params_at(q, i), (step == 2 || step == 3) && (set >> i & 1));
                    }
                    if (set == 7 && (step == 2 || step == 3))
                        continue; /* nothing has a gradient */
                    assert_ok(step_with(o, p, c));
                    assert_ok(step_with(sgd, q, c));
                    if (memcmp(sw_params_x(p), sw_params_x(q), params_bytes(p)) != 0)
                        fail_msg("%s, frozen set %d, step %d: not the bits of %s", cases[k].vector, set, step,
                                 cases[k].sgd);
                }
                sw_optim_free(o);
                sw_optim_free(sgd);
                sw_params_free(p);
                sw_params_free(q);
            }
}

/* x, g, slots without `count` and rows have one layout: all parameters of the group in the order of the vector, frozen
 * ones as zeros. */
static void test_vector_sees_its_group_without_gaps(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        for (int frozen = -1; frozen < 3; frozen++) {
            sw_params *p = small_params(both_types[t]);
            sw_optim *o = NEW_OPTIM(p, .rule = "name=b: sgd; spy"); /* "a" and "c" */
            assert_int_equal(seen_sizes, 1);
            assert_int_equal(asked_dim, 13);
            seen_sizes = 0;
            double before[SMALL_DIM];
            for (int i = 0; i < SMALL_DIM; i++)
                before[i] = vec_get(both_types[t], sw_params_x(p), i);
            if (frozen >= 0)
                sw_param_freeze(sw_params_at(p, frozen), true);
            assert_ok(step_with(o, p, some_gradient));
            assert_int_equal(seen.count, 13);
            assert_null(seen.param);
            assert_null(seen.x_low);
            const sw_array rows = sw_optim_group_slot(o, 1, "rows"), notes = sw_optim_group_slot(o, 1, "notes");
            assert_int_equal(sw_array_count(&rows), 3 * 13);
            assert_int_equal(rows.type, both_types[t]);
            assert_int_equal(notes.type, SW_I32);
            for (int i = 0; i < 5; i++)
                assert_true(test_get(&notes, i) == (i == 4));
            for (int k = 0; k < 13; k++) {
                const int i = k < 12 ? k : 17;
                const bool moves = frozen < 0 || (i < 12 ? frozen != 0 : frozen != 2);
                assert_true(vec_get(both_types[t], seen.g, k) == (moves ? some_gradient[i] : 0));
                assert_true(test_get(&rows, k) == (moves ? before[i] : 0));
            }
            for (int64_t k = 13; k < 39; k++)
                assert_true(test_get(&rows, k) == 0);
            const sw_array sum = sw_optim_param_slot(o, sw_params_at(p, 2), "sum"),
                           whole = sw_optim_param_slot(o, sw_params_at(p, 2), "rows"),
                           other = sw_optim_group_slot(o, 1, "sum"), none = sw_optim_group_slot(o, 0, "rows");
            assert_true(test_get(&sum, 0) == (frozen == 2 ? 0 : some_gradient[17]));
            assert_true(!whole.data && !other.data && !none.data && !sw_optim_group_slot(o, 2, "rows").data);
            const sw_array start = sw_optim_param_slot(o, sw_params_at(p, 0), "start");
            for (int i = 0; i < 12; i++)
                assert_true(test_get(&start, i) == before[i]);
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* The rule does not receive an infinite frozen parameter, such as an attention mask, and does not change it. */
static void test_infinite_frozen_parameter_is_zero_in_x(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    double *x = sw_params_x(p);
    x[13] = -INFINITY;
    sw_param_freeze(sw_params_at(p, 1), true);
    sw_optim *o = NEW_OPTIM(p, .rule = "spy");
    assert_ok(step_with(o, p, some_gradient));
    for (int i = 12; i < 17; i++)
        assert_true(vec_get(SW_F64, seen.x, i) == 0 && vec_get(SW_F64, seen.g, i) == 0);
    assert_true(x[13] == -INFINITY && x[12] == 0.125 * 5);
    sw_optim_free(o);
    sw_params_free(p);
}

/* Buffers belong to no group. */
static void test_vector_does_not_see_buffers(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F64, 1);
    const sw_param_options statistics = {.size = sizeof statistics, .buffer = true};
    assert_non_null(sw_params_add(p, "a", 1, (const int64_t[]){3}, NULL));
    assert_non_null(sw_params_add(p, "mean", 1, (const int64_t[]){4}, &statistics));
    assert_non_null(sw_params_add(p, "b", 1, (const int64_t[]){2}, NULL));
    assert_ok(sw_params_build(p));
    double *x = sw_params_x(p), g[9] = {1, 2, 3, 4, 5};
    for (int i = 0; i < 9; i++)
        x[i] = 10 + i;
    sw_optim *o = NEW_OPTIM(p, .rule = "spy");
    assert_int_equal(asked_dim, 5);
    sw_tape *tape = sw_tape_new();
    const sw_tensor of_a = sw_input_copy(tape, sw_array_view(g, SW_F64, SW_SHAPE(3))),
                    of_b = sw_input_copy(tape, sw_array_view(g + 3, SW_F64, SW_SHAPE(2)));
    assert_ok(sw_backward(sw_add(sw_sum(sw_mul(sw_param_use(tape, sw_params_find(p, "a")), of_a)),
                                 sw_sum(sw_mul(sw_param_use(tape, sw_params_find(p, "b")), of_b)))));
    assert_ok(sw_optim_step(o));
    assert_int_equal(seen.count, 5);
    for (int i = 0; i < 9; i++)
        assert_true(x[i] == 10 + i - g[i]);
    sw_tape_free(tape);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_all_frozen_group_is_not_called(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "name=b: spy; sgd");
    sw_param_freeze(sw_params_at(p, 1), true);
    assert_ok(step_with(o, p, some_gradient));
    assert_int_equal(vector_calls, 0);
    sw_param_freeze(sw_params_at(p, 1), false);
    assert_ok(step_with(o, p, some_gradient));
    assert_int_equal(vector_calls, 1);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Functions for rules ---- */

static void test_step_functions_compute_what_they_say(void **state) {
    (void)state;
    enum { COUNT = 100003 }; /* several tiles, and a part of one */
    const int before = sw_threads();
    for (int t = 0; t < 2; t++) {
        const sw_dtype type = both_types[t];
        const size_t size = sw_dtype_size(type);
        char *a = calloc(2 * COUNT, size), *b = calloc(COUNT, size), *c = calloc(COUNT, size);
        assert_true(a && b && c);
        const sw_step s = {.type = type, .count = COUNT};
        uint64_t random = 3;
        double dot[3] = {0}, sum = 0;
        char *row = sw_step_row(&s, a, 1);
        assert_true(row == a + COUNT * size && sw_step_row(&s, a, 0) == a);
        for (int64_t i = 0; i < COUNT; i++) {
            vec_set(type, row, i, floor(test_uniform(&random, -8, 8)));
            vec_set(type, b, i, floor(test_uniform(&random, -8, 8)));
            sum += vec_get(type, row, i) * vec_get(type, b, i);
        }
        for (int k = 0; k < 3; k++) {
            static const int threads[] = {1, 2, 8};
            assert_ok(sw_set_threads(threads[k]));
            dot[k] = sw_step_dot(&s, row, b);
            sw_step_scale(&s, 0.5, row, c);
            sw_step_axpy(&s, -2, b, c);
            for (int64_t i = 0; i < COUNT; i++)
                assert_true(vec_get(type, c, i) == 0.5 * vec_get(type, row, i) - 2 * vec_get(type, b, i));
        }
        assert_true(dot[0] == sum && dot[1] == sum && dot[2] == sum); /* integers below 2^53: exact in any order */
        free(a), free(b), free(c);
    }
    assert_ok(sw_set_threads(before));
}

/* ---- Refused rules, memory ---- */

static int64_t negative(const sw_slot_sizes *sizes) {
    (void)sizes;
    return -3;
}

static void test_incomplete_vector_rules_are_refused(void **state) {
    (void)state;
    static const sw_slot few[] = {{.name = "z", .count = five}, {0}}, minus[] = {{.name = "z", .count = negative}, {0}},
                         copy[] = {{.name = "z", .start = SW_START_X, .count = five}, {0}};
    static const sw_rule
        none = {.size = sizeof(sw_rule), .name = "none", .unit = SW_UNIT_VECTOR, .update = &no_kernels},
        old = {.size = offsetof(sw_rule, vector), .name = "old", .unit = SW_UNIT_VECTOR, .vector = descent_vector},
        strange = {.size = sizeof(sw_rule), .name = "strange", .unit = (sw_unit)3, .update = &no_kernels},
        measured = {.size = sizeof(sw_rule),
                    .name = "measured",
                    .unit = SW_UNIT_VECTOR,
                    .vector = descent_vector,
                    .slots = few,
                    .measure = &no_kernels},
        copied = {.size = sizeof(sw_rule),
                  .name = "copied",
                  .unit = SW_UNIT_VECTOR,
                  .vector = descent_vector,
                  .slots = copy},
        minus_three = {.size = sizeof(sw_rule),
                       .name = "minus_three",
                       .unit = SW_UNIT_VECTOR,
                       .vector = descent_vector,
                       .slots = minus};
    static const sw_slot ring[] = {{.name = "z", .valid_by_scalars = true}, {0}};
    static const sw_rule elementwise = {
        .size = sizeof(sw_rule), .name = "elementwise", .slots = ring, .update = &no_kernels};
    static const struct {
        const sw_rule *rule;
        const char *message;
    } cases[] = {
        {&elementwise, "register: slot z of rule elementwise: valid_by_scalars requires unit VECTOR"},
        {&none, "register: rule none has no vector"},
        {&old, "register: rule old has no vector"},
        {&strange, "register: rule strange has no unit of sw_unit"},
        {&measured, "register: slot z of rule measured: its count cannot be combined with measure and point, which "
                    "process many parameters per call; tensor processes one"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        assert_int_equal(sw_rule_register(cases[k].rule), SW_ERR_ARGUMENT);
        expect_error(SW_ERR_ARGUMENT, cases[k].message);
    }
    assert_int_equal(sw_rule_register(&copied), SW_ERR_ARGUMENT);
    assert_non_null(strstr(sw_error(), "slot z of rule copied starts as a copy of x"));
    sw_clear_error();
    assert_ok(sw_rule_register(&minus_three));
    sw_params *p = small_params(SW_F64);
    options_refused(p, (sw_optim_options){.rule = "minus_three"},
                    "rule minus_three: slot z has no size: its count returned -3");
    sw_params_free(p);
}

/* A group that is one contiguous range of x needs a direction; other groups also need copies of x and g from the first
 * step on. */
static void test_vector_memory_is_counted(void **state) {
    (void)state;
    static const struct {
        const char *rule;
        size_t made, stepped; /* elements */
    } cases[] = {{"descent", 18, 18 + 18 /* x, to undo the step */}, {"name=b: sgd; descent", 13, 3 * 13 + 18}};
    for (int k = 0; k < 2; k++) {
        sw_params *p = small_params(SW_F64);
        sw_optim *o = NEW_OPTIM(p, .rule = cases[k].rule);
        assert_int_equal(sw_optim_bytes(o).work, cases[k].made * 8);
        assert_ok(step_with(o, p, some_gradient));
        assert_int_equal(sw_optim_bytes(o).work, cases[k].stepped * 8);
        assert_ok(step_with(o, p, some_gradient));
        assert_int_equal(sw_optim_bytes(o).work, cases[k].stepped * 8);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* Every allocation fails once: an error, no leak, and x is unchanged by the step that fails. */
static void test_vector_survives_failing_allocations(void **state) {
    (void)state;
    static test_allocator a;
    test_allocator_install(&a);
    for (int s = 0; s < 2; s++) {
        bool failed = true;
        for (int k = 1; failed; k++) {
            sw_params *p = small_params(SW_F64);
            constant_problem f;
            constant_problem_init(&f, p, 1, 1, 0x1p-10);
            char x[SMALL_DIM * 8];
            memcpy(x, sw_params_x(p), sizeof x);
            test_allocator_fail(&a, k, false);
            const sw_optim_options how = {
                .size = sizeof how, .rule = "name=b: sgd; spy lr=0.5", .schedule = s ? "full_step" : NULL};
            sw_optim *o = sw_optim_new_with_options(p, &how);
            const sw_status status = o ? sw_optim_minimize(o, &f.f, NULL) : SW_ERR_MEMORY;
            failed = atomic_load(&a.failed) > 0;
            test_allocator_fail(&a, 0, false);
            assert_int_equal(status, failed ? SW_ERR_MEMORY : SW_OK);
            assert_int_equal(sw_error() != NULL, failed);
            if (failed)
                assert_memory_equal(x, sw_params_x(p), sizeof x);
            sw_clear_error();
            sw_optim_free(o);
            sw_params_free(p);
            assert_true(k < 200);
        }
    }
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

static void test_list_has_vector_rules(void **state) {
    (void)state;
    char *text = calloc(1, 200000);
    FILE *to = tmpfile();
    assert_true(text && to);
    sw_optim_list(to);
    rewind(to);
    assert_true(fread(text, 1, 199999, to) > 0);
    fclose(to);
    assert_non_null(strstr(text, "state 20 bytes a parameter of a group of 1000000: sum, rows, notes, start;"));
    free(text);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, vector_set_up, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_vector_descent_is_sgd),
        TEST(test_vector_sees_its_group_without_gaps),
        TEST(test_infinite_frozen_parameter_is_zero_in_x),
        TEST(test_vector_does_not_see_buffers),
        TEST(test_all_frozen_group_is_not_called),
        TEST(test_step_functions_compute_what_they_say),
        TEST(test_incomplete_vector_rules_are_refused),
        TEST(test_vector_memory_is_counted),
        TEST(test_vector_survives_failing_allocations),
        TEST(test_list_has_vector_rules),
    };
    return cmocka_run_group_tests_name("vector_rules", tests, register_vector_rules, NULL);
}
