/* Steps of rules of unit VECTOR: what a rule may keep from the last step; refused directions, skipped steps, and line
 * searches along the direction. */
#include "vector_rules.h"

/* ---- What a rule may keep ---- */

static void check_written(sw_optim *o, constant_problem *f, bool written, const char *when) {
    assert_ok(sw_optim_minimize(o, &f->f, NULL));
    if (seen.x_written != written)
        fail_msg("%s: x_written is %d", when, seen.x_written);
}

/* If the program writes to x, x_written is true in the next step that is taken, even if steps are skipped, or the run
 * is saved and resumed, in between. */
static void test_vector_knows_when_x_was_written(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
    constant_problem f, h;
    constant_problem_init(&f, p, 1, 1, 1);
    constant_problem_init(&h, q, 1, 1, 1);
    sw_optim *o = NEW_OPTIM(p, .rule = "spy lr=0.1"), *resumed = NEW_OPTIM(q, .rule = "spy lr=0.1");
    check_written(o, &f, false, "first step");
    check_written(o, &f, false, "second step");
    sw_params_mark_changed(p);
    check_written(o, &f, true, "after a change");
    check_written(o, &f, false, "after the step that followed it");
    sw_params_mark_changed(p);
    misdeed = NAN_SLOT; /* the step is refused, and the rule's scalars and slots are as before */
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_ERR_NONFINITE);
    sw_clear_error();
    misdeed = WELL;
    f.g[0] = INFINITY;
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
    f.g[0] = 1;
    for (int again = 0; again < 2; again++) {
        sw_archive *a = sw_archive_new();
        assert_ok(sw_optim_pack(o, a));
        if (!again)
            assert_ok(sw_optim_bind(resumed, &h.f));
        assert_ok(sw_optim_unpack(resumed, a));
        sw_archive_free(a);
        check_written(resumed, &h, again == 0, "resumed");
        check_written(o, &f, again == 0, "the uninterrupted run");
    }
    sw_optim_free(o);
    sw_optim_free(resumed);
    sw_params_free(p);
    sw_params_free(q);
}

/* While all parameters of its group are frozen, a rule is not called: it cannot know of changes of x in these steps,
 * nor of changes of the set of frozen parameters. x_written of the first step after them says so. */
static void test_vector_knows_of_steps_without_it(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) { /* with a change of x, or without; resumed, or not */
        sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
        constant_problem f, h;
        constant_problem_init(&f, p, 1, 1, 1);
        constant_problem_init(&h, q, 1, 1, 1);
        const sw_optim_options how = {.size = sizeof how, .rule = "name=b: spy lr=0.1; spy lr=0.1"};
        sw_optim *o = new_optim(p, &how), *resumed = new_optim(q, &how);
        sw_param_freeze(sw_params_at(p, 0), true); /* the other group is all frozen, and comes last */
        sw_param_freeze(sw_params_at(p, 2), true);
        check_written(o, &f, false, "first step");
        sw_param_freeze(sw_params_at(p, 1), true);
        sw_param_freeze(sw_params_at(p, 0), false);
        check_written(o, &f, true, "the first step of the other group");
        if (k & 1)
            sw_params_mark_changed(p);
        check_written(o, &f, k & 1, "its second step");
        if (k & 2) {
            sw_archive *a = sw_archive_new();
            assert_ok(sw_optim_bind(resumed, &h.f));
            assert_ok(sw_optim_pack(o, a));
            assert_ok(sw_optim_unpack(resumed, a));
            sw_archive_free(a);
        }
        sw_params *x = k & 2 ? q : p;
        sw_param_freeze(sw_params_at(x, 0), true);
        sw_param_freeze(sw_params_at(x, 2), true);
        sw_param_freeze(sw_params_at(x, 1), false);
        check_written(k & 2 ? resumed : o, k & 2 ? &h : &f, true, "the first step after those without it");
        check_written(k & 2 ? resumed : o, k & 2 ? &h : &f, false, "the next one");
        sw_optim_free(o);
        sw_optim_free(resumed);
        sw_params_free(p);
        sw_params_free(q);
    }
}

static void test_vector_knows_the_set_of_frozen_parameters(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "name=b: sgd; spy");
    int64_t sets[7];
    for (int set = 0; set < 7; set++) {
        for (int i = 0; i < 3; i++)
            sw_param_freeze(sw_params_at(p, i), set >> i & 1);
        seen.frozen_set = -1;
        assert_ok(step_with(o, p, some_gradient));
        sets[set] = seen.frozen_set;
        if (set == 5) { /* all of the group: not called */
            assert_int_equal(sets[set], -1);
            continue;
        }
        assert_true(sets[set] >= 0 && sets[set] < INT64_C(1) << 53);
        for (int before = 0; before < set; before++) /* "b", the second parameter, belongs to another group */
            if (before != 5)
                assert_true((sets[before] == sets[set]) == ((before & 5) == (set & 5)));
    }
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Steps that are not taken ---- */

typedef struct state_bytes {
    unsigned char x[SMALL_DIM * 8], rows[3 * SMALL_DIM * 8], sum[SMALL_DIM * 8];
    int32_t notes[5];
    double count;
} state_bytes;

static state_bytes state_of(sw_optim *o, sw_params *p) {
    state_bytes s;
    memset(&s, 0, sizeof s);
    memcpy(s.x, sw_params_x(p), params_bytes(p));
    memcpy(s.rows, sw_optim_group_slot(o, 0, "rows").data, 3 * params_bytes(p));
    memcpy(s.sum, sw_optim_param_slot(o, sw_params_at(p, 0), "sum").data, params_bytes(p)); /* one block */
    memcpy(s.notes, sw_optim_group_slot(o, 0, "notes").data, sizeof s.notes);
    s.count = sw_optim_scalar(o, 0, "count");
    return s;
}

static void test_refused_directions_change_nothing(void **state) {
    (void)state;
    static const struct {
        int misdeed;
        sw_status status;
        const char *message;
    } cases[] = {
        {SKIP, SW_ERR_STATE, "rule spy: vector returned SW_SKIPPED"},
        {MUTE, SW_ERR_USER, "rule spy: vector returned status"},
        {NAN_DIRECTION, SW_ERR_NONFINITE, "rule spy: step 3 would make its direction Inf or NaN"},
        {NAN_SLOT, SW_ERR_NONFINITE, "rule spy: step 3 would make its state rows Inf or NaN"},
        {NAN_SCALAR, SW_ERR_NONFINITE, "rule spy: count is nan in step 3"},
        {NEW_SCALAR, SW_ERR_STATE, "rule spy writes scalar 1, which its table does not name"},
    };
    static const char *const searches[] = {NULL, "full_step"};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int s = 0; s < 2; s++)
            for (int t = 0; t < 2; t++) {
                sw_params *p = small_params(both_types[t]);
                constant_problem f;
                constant_problem_init(&f, p, 1, 1, 0x1p-10);
                sw_optim *o = NEW_OPTIM(p, .rule = "spy lr=0.125", .schedule = searches[s]);
                for (int step = 0; step < 2; step++)
                    assert_ok(sw_optim_minimize(o, &f.f, NULL));
                const state_bytes before = state_of(o, p);
                misdeed = (int)cases[k].misdeed;
                assert_int_equal(sw_optim_minimize(o, &f.f, NULL), cases[k].status);
                if (!sw_error() || strncmp(sw_error(), cases[k].message, strlen(cases[k].message)) != 0)
                    fail_msg("%s, \"%s\" expected", sw_error() ? sw_error() : "no error", cases[k].message);
                sw_clear_error();
                const state_bytes after = state_of(o, p);
                assert_memory_equal(&before, &after, sizeof before);
                misdeed = WELL;
                assert_ok(sw_optim_minimize(o, &f.f, NULL)); /* the run continues */
                assert_true(sw_optim_scalar(o, 0, "count") == 3);
                sw_optim_free(o);
                sw_params_free(p);
            }
}

static void test_search_that_gives_up_restores_the_history(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    constant_problem f;
    constant_problem_init(&f, p, 1, 1, 1);
    sw_optim *o = NEW_OPTIM(p, .rule = "spy", .schedule = "quitter");
    const state_bytes before = state_of(o, p);
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
    assert_int_equal(vector_calls, 1);
    const state_bytes after = state_of(o, p);
    assert_memory_equal(&before, &after, sizeof before);
    sw_optim_free(o);
    sw_params_free(p);
}

/* x + d would be infinite, but the direction is not, and the search may take a short step along it. */
static sw_status short_step_search(sw_search *s, double *alpha) {
    (void)s;
    *alpha = 1e-30;
    return SW_OK;
}
static const sw_line_search short_step = {
    .size = sizeof(sw_line_search), .name = "short_step", .search = short_step_search};

static void test_search_needs_only_a_finite_direction(void **state) {
    (void)state;
    assert_ok(sw_line_search_register(&short_step));
    sw_params *p = small_params(SW_F32);
    constant_problem f;
    constant_problem_init(&f, p, 1, 1, 0);
    vec_set(SW_F32, sw_params_x(p), 0, -3e38);
    f.g[0] = 3e38;
    sw_optim *o = NEW_OPTIM(p, .rule = "descent", .schedule = "short_step");
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "descent");
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_ERR_NONFINITE);
    assert_non_null(strstr(sw_error(), "rule descent: step 1 would make x of parameter a Inf or NaN"));
    sw_clear_error();
    assert_true(vec_get(SW_F32, sw_params_x(p), 0) == (double)-3e38f);
    sw_optim_free(o);
    sw_params_free(p);
}

/* In f32, numbers near x = 4096 differ by 2^-11, so that x + d - x is 0 for d = 2^-20. The search uses the direction of
 * the rule itself, and the slope along it. */
static void test_search_has_the_exact_direction(void **state) {
    (void)state;
    static const char *const rules[] = {"descent", "name=b: descent; descent", "sgd lr=1"};
    for (int k = 0; k < 3; k++) {
        sw_params *p = small_params(SW_F32);
        constant_problem f;
        constant_problem_init(&f, p, 1, 1, 0x1p-20);
        for (int i = 0; i < SMALL_DIM; i++)
            vec_set(SW_F32, sw_params_x(p), i, 4096);
        seen_slope = 1;
        sw_optim *o = NEW_OPTIM(p, .rule = rules[k], .schedule = "full_step");
        assert_ok(sw_optim_minimize(o, &f.f, NULL));
        assert_true(seen_slope == (k < 2 ? -SMALL_DIM * 0x1p-40 : 1)); /* sgd: a slope of 0, and no search */
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* The first guess is the largest lr. A step of this length equals the step without a search, for each group, also for a
 * group without an lr. The numbers are powers of 2, so that nothing is rounded. */
static sw_status initial_search(sw_search *s, double *alpha) {
    *alpha = s->initial;
    return SW_OK;
}
static const sw_line_search initial_step = {
    .size = sizeof(sw_line_search), .name = "initial_step", .search = initial_search};

static void test_search_keeps_the_ratios_of_groups(void **state) {
    (void)state;
    assert_ok(sw_line_search_register(&initial_step));
    static const char *const rules[] = {"name=b: unit_descent; sgd lr=4", "name=b: unit_descent; sgd lr=0.25",
                                        "name=b: unit_descent; descent lr=4", "name=b: descent lr=2; sgd lr=0.5"};
    for (int k = 0; k < 4; k++) {
        sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
        constant_problem f, h;
        constant_problem_init(&f, p, 1, 1, 0.125);
        constant_problem_init(&h, q, 1, 1, 0.125);
        sw_optim *o = NEW_OPTIM(p, .rule = rules[k], .schedule = "initial_step"),
                 *plain = NEW_OPTIM(q, .rule = rules[k]);
        assert_ok(sw_optim_minimize(o, &f.f, NULL));
        assert_ok(sw_optim_minimize(plain, &h.f, NULL));
        assert_memory_equal(sw_params_x(p), sw_params_x(q), params_bytes(p));
        sw_optim_free(o);
        sw_optim_free(plain);
        sw_params_free(p);
        sw_params_free(q);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, vector_set_up, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_vector_knows_of_steps_without_it),
        TEST(test_vector_knows_when_x_was_written),
        TEST(test_vector_knows_the_set_of_frozen_parameters),
        TEST(test_refused_directions_change_nothing),
        TEST(test_search_that_gives_up_restores_the_history),
        TEST(test_search_needs_only_a_finite_direction),
        TEST(test_search_has_the_exact_direction),
        TEST(test_search_keeps_the_ratios_of_groups),
    };
    return cmocka_run_group_tests_name("vector_steps", tests, register_vector_rules, NULL);
}
