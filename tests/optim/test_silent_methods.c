/* A function of a method that returns an error without sw_fail: the caller gets this status, and a message that names
 * the method and the function. A program that checks only sw_error() must not take the call for a success. */
#include "helpers.h"

static const double slope[SMALL_DIM] = {1, 2, -1, 0.5, 1, 1, -2, 1, 3, 0.25, 1, -1, 2, 1, 2, -0.5, 1, 1};

/* Which function fails, and with what. */
static const char *failing = "";
static sw_status silent;

static sw_status result_of(const char *function) {
    return strcmp(failing, function) == 0 ? silent : SW_OK;
}

/* ---- Methods, each of whose functions can fail ---- */

static sw_status mute_check(const double *option) {
    (void)option;
    return result_of("check");
}
static sw_status mute_begin(sw_step *s) {
    (void)s;
    return result_of("begin");
}
static sw_status mute_decide(sw_step *s, const double *sums) {
    (void)s, (void)sums;
    return result_of("decide");
}
static sw_status mute_tensor(sw_step *s) {
    (void)s;
    return result_of("tensor");
}
static int64_t mute_parts(const sw_param *p, const double *option, sw_dtype type) {
    (void)p, (void)option, (void)type;
    return 1;
}
static sw_status mute_part(sw_step *s, int64_t part, sw_worker *worker) {
    (void)s, (void)part, (void)worker;
    return result_of("part");
}
static sw_status mute_accepted(sw_step *s) {
    (void)s;
    return result_of("accepted");
}
static sw_status mute_adopted(sw_step *s) {
    (void)s;
    return result_of("adopted");
}
static const sw_rule mute_rule = {.size = sizeof(sw_rule),
                                  .name = "mute",
                                  .check = mute_check,
                                  .unit = SW_UNIT_TENSOR,
                                  .begin = mute_begin,
                                  .decide = mute_decide,
                                  .tensor = mute_tensor,
                                  .parts = mute_parts,
                                  .part = mute_part,
                                  .accepted = mute_accepted,
                                  .adopted = mute_adopted};

static sw_status mute_start(sw_estimate *e) {
    (void)e;
    return result_of("start");
}
static sw_status mute_sample(sw_estimate *e) {
    e->ids = NULL;
    e->count = e->n;
    return result_of("sample");
}
static sw_status mute_estimate(sw_estimate *e, const void *x, void *g) {
    SW_TRY(sw_estimate_gradient(e, x, NULL, e->n, &e->value, g));
    return result_of("estimate");
}
static sw_status mute_commit(sw_estimate *e) {
    (void)e;
    return result_of("commit");
}
static const sw_estimator mute_estimator = {.size = sizeof(sw_estimator),
                                            .name = "mute",
                                            .flags = SW_ESTIMATOR_OBJECTIVE,
                                            .start = mute_start,
                                            .sample = mute_sample,
                                            .estimate = mute_estimate,
                                            .commit = mute_commit};

static int64_t mute_size(const sw_slot_sizes *sizes) {
    return strcmp(failing, "count") == 0 ? -1 : sizes->dim;
}
static const sw_slot mute_slots[] = {{.name = "state", .count = mute_size}, {0}};
static const sw_estimator mute_sized = {.size = sizeof(sw_estimator),
                                        .name = "mute_sized",
                                        .slots = mute_slots,
                                        .flags = SW_ESTIMATOR_OBJECTIVE,
                                        .estimate = mute_estimate};

static sw_status mute_search(sw_search *s, double *alpha) {
    *alpha = 1e-3 * s->initial;
    return result_of("search");
}
static sw_status mute_search_check(const double *option) {
    (void)option;
    return result_of("search check");
}
static const sw_line_search mute_line_search = {
    .size = sizeof(sw_line_search), .name = "mute", .search = mute_search, .check = mute_search_check};

static sw_status mute_point_begin(sw_step *s) {
    (void)s;
    return result_of("point_begin");
}
static sw_status mute_average_begin(sw_step *s) {
    (void)s;
    return result_of("average begin");
}
static const sw_average mute_average = {
    .size = sizeof(sw_average), .name = "mute", .begin = mute_average_begin, .point_begin = mute_point_begin};

/* ---- Every one of them ---- */

typedef struct silent_case {
    const char *function, *estimator, *rule, *schedule, *average, *who;
} silent_case;

static const silent_case cases[] = {
    {"check", NULL, "mute", NULL, NULL, "rule mute: check"},
    {"begin", NULL, "mute", NULL, NULL, "rule mute: begin"},
    {"decide", NULL, "mute", NULL, NULL, "rule mute: decide"},
    {"tensor", NULL, "mute", NULL, NULL, "rule mute: tensor"},
    {"part", NULL, "mute", NULL, NULL, "rule mute: part"},
    {"accepted", NULL, "mute", NULL, NULL, "rule mute: accepted"},
    {"adopted", NULL, "mute", NULL, "ema", "rule mute: adopted"},
    {"start", "mute", "sgd", NULL, NULL, "estimator mute: start"},
    {"sample", "mute", "sgd", NULL, NULL, "estimator mute: sample"},
    {"estimate", "mute", "sgd", NULL, NULL, "estimator mute: estimate"},
    {"estimate", "sam of=mute", "sgd", NULL, NULL, "estimator mute: estimate"},
    {"commit", "mute", "sgd", NULL, NULL, "estimator mute: commit"},
    {"search", "full", "sgd", "mute", NULL, "line search mute: search"},
    {"search check", "full", "sgd", "mute", NULL, "line search mute: check"},
    {"average begin", NULL, "sgd", NULL, "mute", "average mute: begin"},
    {"point_begin", NULL, "sgd", NULL, "mute", "average mute: point_begin"},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Makes the optimizer, takes a step, asks for the point: the first status but SW_OK. */
static sw_status attempt(const silent_case *c, sw_params *p) {
    linear_problem f;
    linear_problem_init(&f, p, 4, slope);
    const sw_optim_options how = {
        .size = sizeof how, .estimator = c->estimator, .rule = c->rule, .schedule = c->schedule, .average = c->average};
    sw_optim *o = sw_optim_new_with_options(p, &how);
    if (!o)
        return sw_error_status();
    sw_status status = sw_optim_minimize(o, &f.f, NULL);
    if (status == SW_OK && !sw_optim_point(o))
        status = sw_error_status();
    if (status == SW_OK)
        status = sw_optim_adopt_point(o);
    sw_optim_free(o);
    return status;
}

static void test_error_without_a_message_names_the_method(void **state) {
    (void)state;
    static const sw_status statuses[] = {SW_ERR_USER, SW_ERR_MEMORY, SW_ERR_ARGUMENT};
    for (int i = 0; i < CASES; i++)
        for (size_t k = 0; k < sizeof statuses / sizeof *statuses; k++) {
            sw_params *p = small_params(SW_F64);
            failing = cases[i].function;
            silent = statuses[k];
            const sw_status status = attempt(&cases[i], p);
            failing = "";
            char text[128];
            snprintf(text, sizeof text, "%s returned status %d without a message", cases[i].who, (int)statuses[k]);
            assert_int_equal(status, statuses[k]);
            expect_error(statuses[k], text);
            assert_ok(attempt(&cases[i], p)); /* the case itself is sound */
            sw_params_free(p);
        }
}

/* SW_SKIPPED where no step can be skipped. */
static void test_skip_where_none_is_allowed_is_refused(void **state) {
    (void)state;
    static const char *const none[] = {"check", "tensor", "start", "commit", "search check"};
    silent = SW_SKIPPED;
    for (int i = 0; i < CASES; i++)
        for (size_t k = 0; k < sizeof none / sizeof *none; k++)
            if (strcmp(cases[i].function, none[k]) == 0) {
                sw_params *p = small_params(SW_F64);
                failing = none[k];
                assert_int_equal(attempt(&cases[i], p), SW_ERR_STATE);
                failing = "";
                assert_non_null(sw_error());
                assert_non_null(strstr(sw_error(), "skip"));
                sw_clear_error();
                sw_params_free(p);
            }
}

/* An error that is pending stays, with its own message; what failed now is sw_last_failure. */
static void test_pending_error_is_kept(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .average = "mute");
    assert_ok(step_with(o, p, slope));
    sw_fail(SW_ERR_IO, "an earlier error");
    failing = "point_begin";
    silent = SW_ERR_USER;
    assert_null(sw_optim_point(o));
    assert_int_equal(sw_last_failure(), SW_ERR_USER);
    assert_int_equal(sw_optim_adopt_point(o), SW_ERR_USER);
    failing = "";
    expect_error(SW_ERR_IO, "an earlier error");
    sw_optim_free(o);
    sw_params_free(p);
}

static sw_status own_message(sw_step *s) {
    (void)s;
    return sw_fail(SW_ERR_USER, "the rule's own words");
}
static const sw_rule talking_rule = {
    .size = sizeof(sw_rule), .name = "talking", .unit = SW_UNIT_TENSOR, .begin = own_message, .tensor = mute_tensor};

static void test_message_of_the_method_is_kept(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = sw_optim_new(p, "talking");
    assert_int_equal(step_with(o, p, slope), SW_ERR_USER);
    expect_error(SW_ERR_USER, "the rule's own words");
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_slot_without_a_size_is_refused(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 4, slope);
    sw_optim *o = NEW_OPTIM(p, .estimator = "mute_sized");
    failing = "count";
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_ERR_ARGUMENT);
    failing = "";
    expect_error(SW_ERR_ARGUMENT, "estimator mute_sized: slot state has no size");
    sw_optim_free(o);
    sw_params_free(p);
}

static int set_up(void **state) {
    (void)state;
    return sw_rule_register(&mute_rule) || sw_rule_register(&talking_rule) || sw_estimator_register(&mute_estimator) ||
           sw_estimator_register(&mute_sized) || sw_line_search_register(&mute_line_search) ||
           sw_average_register(&mute_average);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_error_without_a_message_names_the_method),
        TEST(test_skip_where_none_is_allowed_is_refused),
        TEST(test_pending_error_is_kept),
        TEST(test_message_of_the_method_is_kept),
        TEST(test_slot_without_a_size_is_refused),
    };
    return cmocka_run_group_tests_name("silent methods", tests, set_up, NULL);
}
