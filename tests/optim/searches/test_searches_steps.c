/* Steps with a line search: no search from a stationary point, and every slot is restored if the search finds no
 * step. */
#include "shaped_rule.h"

static int searched;
static sw_status eager_search(sw_search *search, double *alpha) {
    searched++;
    assert_true(search->slope < 0);
    *alpha = 1;
    return SW_OK;
}
static const sw_line_search eager = {.size = sizeof(sw_line_search), .name = "eager", .search = eager_search};

static int register_all(void **state) {
    (void)state;
    return sw_line_search_register(&eager) != SW_OK || sw_rule_register(&shaped) != SW_OK;
}

static void test_stationary_point_is_not_searched(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        constant_problem f;
        constant_problem_init(&f, p, 1, 3, 0);
        const sw_optim_options how = {.size = sizeof how, .rule = "sgd lr=0.1", .schedule = "eager"};
        sw_optim *o = new_optim(p, &how);
        char before[SMALL_DIM * sizeof(double)];
        memcpy(before, sw_params_x(p), params_bytes(p));
        searched = 0;
        double value;
        assert_ok(sw_optim_minimize(o, &f.f, &value));
        assert_true(value == 3);
        assert_int_equal(searched, 0);
        assert_int_equal(sw_optim_steps_taken(o), 1);
        assert_memory_equal(before, sw_params_x(p), params_bytes(p));
        for (int i = 0; i < SMALL_DIM; i++)
            f.g[i] = 1;
        assert_ok(sw_optim_minimize(o, &f.f, &value)); /* the run continues from a slope */
        assert_int_equal(searched, 1);
        expect_no_error();
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* A search that gives up puts them back, all of them. */
static sw_status giving_up(sw_search *search, double *alpha) {
    (void)search, (void)alpha;
    return SW_SKIPPED;
}
static const sw_line_search quitter = {.size = sizeof(sw_line_search), .name = "quitter", .search = giving_up};

static sw_status descending_tensor(sw_step *s) {
    for (int64_t i = 0; i < s->count; i++) {
        double step = s->option[0] * vec_get(s->type, s->g, i);
        vec_set(s->type, s->x, i, vec_get(s->type, s->x, i) - step);
    }
    return shaped_tensor(s);
}
static const sw_rule descending = {.size = sizeof(sw_rule),
                                   .name = "descending",
                                   .options = lr_options,
                                   .slots = shaped_slots,
                                   .unit = SW_UNIT_TENSOR,
                                   .tensor = descending_tensor,
                                   .flags = SW_RULE_LINEAR};

static void test_search_that_gives_up_restores_every_slot(void **state) {
    (void)state;
    assert_ok(sw_line_search_register(&quitter));
    assert_ok(sw_rule_register(&descending));
    sw_params *p = small_params(SW_F64);
    constant_problem f;
    constant_problem_init(&f, p, 1, 1, 1);
    const sw_optim_options how = {.size = sizeof how, .rule = "descending", .schedule = "quitter"};
    sw_optim *o = new_optim(p, &how);
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
    static const char *const slots[] = {"left", "note", "sum"};
    for (int k = 0; k < 3; k++)
        for (int s = 0; s < 3; s++) {
            sw_array a = sw_optim_param_slot(o, sw_params_at(p, k), slots[s]);
            for (int64_t i = 0; i < sw_array_count(&a); i++)
                assert_true(test_get(&a, i) == 0);
        }
    sw_optim_free(o);
    sw_params_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_stationary_point_is_not_searched),
        TEST(test_search_that_gives_up_restores_every_slot),
    };
    return cmocka_run_group_tests_name("searches_steps", tests, register_all, NULL);
}
