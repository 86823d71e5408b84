/* Which options a schedule scales, and the length of the run that its factor sees. */
#include "helpers.h"

static const sw_option counted_options[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 10},
    {.name = "count", .kind = SW_OPTION_INTEGER, .value = 3, .low = 0, .high = 9},
    {0}};
static const sw_rule counted = {
    .size = sizeof(sw_rule), .name = "counted", .options = counted_options, .update = &no_kernels};

static double least_total, last_total;
static double watching_factor(const double *option, double t, double total) {
    (void)option, (void)t;
    least_total = fmin(least_total, total);
    last_total = total;
    return 1;
}
static const sw_schedule watching = {.size = sizeof(sw_schedule), .name = "watching", .factor = watching_factor};

static int register_all(void **state) {
    (void)state;
    return sw_rule_register(&counted) != SW_OK || sw_schedule_register(&watching) != SW_OK;
}

static void test_schedule_scales_real_options_only(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    options_refused(p, (sw_optim_options){.rule = "counted", .schedule = "constant on=count"},
                    "schedule: count of rule counted is not a real number and cannot be scaled");
    options_refused(p, (sw_optim_options){.rule = "sgd", .schedule = "constant on=nesterov"},
                    "schedule: nesterov of rule sgd is not a real number and cannot be scaled");
    sw_params_free(p);
}

static void test_schedule_never_sees_a_negative_length(void **state) {
    (void)state;
    static const struct {
        const char *schedule;
        int64_t steps;
        double last; /* the total that it sees in the end */
    } cases[] = {{"watching", 30, 30},          {"watching", 0, 0},           {"watching warmup=10", 30, 20},
                 {"watching warmup=40", 30, 0}, {"watching warmup=10", 0, 0}, {"watching warmup=30", 30, 0}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        sw_params *p = small_params(SW_F64);
        const sw_optim_options how = {.size = sizeof how, .schedule = cases[k].schedule, .total_steps = cases[k].steps};
        sw_optim *o = new_optim(p, &how);
        double c[SMALL_DIM] = {1};
        least_total = 0;
        last_total = -1;
        for (int i = 0; i < 50; i++)
            assert_ok(step_with(o, p, c));
        if (least_total < 0 || last_total != cases[k].last)
            fail_msg("%s of %d: %g, at least %g", cases[k].schedule, (int)cases[k].steps, last_total, least_total);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static sw_status leave_x(sw_step *s) {
    (void)s;
    return SW_OK;
}

/* A rule need not have an option lr where no schedule is asked for. */
static const sw_rule still = {.size = sizeof(sw_rule), .name = "still", .unit = SW_UNIT_TENSOR, .tensor = leave_x};
static void test_rule_without_lr_takes_no_schedule(void **state) {
    (void)state;
    assert_int_equal(sw_rule_register(&still), SW_OK);
    sw_params *p = small_params(SW_F64);
    sw_optim *o = sw_optim_new(p, "still");
    assert_non_null(o);
    const sw_optim_options how = {.size = sizeof how, .rule = "still", .schedule = "cosine"};
    assert_null(sw_optim_new_with_options(p, &how));
    expect_error(SW_ERR_ARGUMENT, "schedule: no rule of this optimizer has an option lr");
    sw_optim_free(o);
    sw_params_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_schedule_scales_real_options_only),
        TEST(test_schedule_never_sees_a_negative_length),
        TEST(test_rule_without_lr_takes_no_schedule),
    };
    return cmocka_run_group_tests_name("schedules_options", tests, register_all, NULL);
}
