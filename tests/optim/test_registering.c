/* Methods that a program registers: names that exist already, tables that are incomplete or would be misread later,
 * threads that register at the same time. */
#define _GNU_SOURCE /* barriers */
#include "helpers.h"

#include <swale/description.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

static const sw_rule kinds = {.size = sizeof(sw_rule), .name = "kinds", .update = &no_kernels};
static const sw_option wrapper_options[] = {{.name = "of", .kind = SW_OPTION_SPEC}, {0}};
static const sw_estimator wrapper = {.size = sizeof(sw_estimator),
                                     .name = "wrapper",
                                     .options = wrapper_options,
                                     .flags = SW_ESTIMATOR_WRAPPER,
                                     .estimate = plain_estimate};

static sw_status search_none(sw_search *search, double *alpha) {
    (void)search;
    *alpha = 0;
    return SW_OK;
}

static int register_all(void **state) {
    (void)state;
    return sw_rule_register(&kinds) != SW_OK || sw_estimator_register(&wrapper) != SW_OK;
}

static void test_incomplete_rule_is_not_registered(void **state) {
    (void)state;
    static const sw_rule namesake = {.size = sizeof(sw_rule), .name = "kinds", .update = &no_kernels},
                         builtin = {.size = sizeof(sw_rule), .name = "sgd", .update = &no_kernels},
                         no_update = {.size = sizeof(sw_rule), .name = "no_update"},
                         no_tensor = {.size = sizeof(sw_rule),
                                      .name = "no_tensor",
                                      .unit = SW_UNIT_TENSOR,
                                      .update = &no_kernels},
                         no_name = {.size = sizeof(sw_rule), .update = &no_kernels},
                         empty_name = {.size = sizeof(sw_rule), .name = "", .update = &no_kernels},
                         no_size = {.name = "no_size", .update = &no_kernels},
                         no_size_vector = {.name = "no_size_vector", .unit = SW_UNIT_VECTOR},
                         sums = {.size = sizeof(sw_rule),
                                 .name = "sums",
                                 .update = &no_kernels,
                                 .measure = &no_kernels,
                                 .sums = SW_MAX_SUMS + 1};
    assert_ok(sw_rule_register(&kinds)); /* again: harmless */
    assert_int_equal(sw_rule_register(&namesake), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: the name kinds is taken by another rule");
    assert_int_equal(sw_rule_register(&builtin), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: the name sgd is taken by another rule");
    assert_int_equal(sw_rule_register(&no_update), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: rule no_update has no update");
    assert_int_equal(sw_rule_register(&no_tensor), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: rule no_tensor has no tensor or part");
    assert_int_equal(sw_rule_register(&no_name), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: the rule has no name");
    assert_int_equal(sw_rule_register(&empty_name), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: the rule has no name");
    assert_int_equal(sw_rule_register(NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: the rule has no name");
    assert_int_equal(sw_rule_register(&no_size), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: rule no_size: its size is 0; it must be sizeof(sw_rule)");
    assert_int_equal(sw_rule_register(&no_size_vector), SW_ERR_ARGUMENT); /* it does not report a missing `vector` */
    expect_error(SW_ERR_ARGUMENT, "register: rule no_size_vector: its size is 0; it must be sizeof(sw_rule)");
    assert_int_equal(sw_rule_register(&sums), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: rule sums has 9 sums; 0 to 8 are possible");
    assert_ptr_equal(sw_rule_find("kinds"), &kinds);
    assert_null(sw_rule_find("no_update"));
    assert_null(sw_rule_find("kind"));
    assert_ptr_equal(sw_estimator_find("wrapper"), &wrapper);
    assert_null(sw_estimator_find("sgd"));
    expect_no_error();
}

static void test_incomplete_methods_are_not_registered(void **state) {
    (void)state;
    static const char *const many[SW_MAX_SCALARS + 2] = {"s", "s", "s", "s", "s", "s", "s", "s", "s",
                                                         "s", "s", "s", "s", "s", "s", "s", "s", NULL};
    static const sw_estimator lame = {.size = sizeof(sw_estimator), .name = "lame"};
    static const sw_schedule flat = {.size = sizeof(sw_schedule), .name = "flat"};
    static const sw_line_search blind = {.size = sizeof(sw_line_search), .name = "blind"},
                                crowded = {.size = sizeof(sw_line_search),
                                           .name = "crowded",
                                           .scalars = many,
                                           .search = search_none};
    static const sw_estimator no_size = {.name = "no_size"};
    static const sw_average ema = {.size = sizeof(sw_average), .name = "ema"};
    static const sw_rule heavy = {.size = sizeof(sw_rule), .name = "heavy", .scalars = many, .update = &no_kernels};
    assert_int_equal(sw_estimator_register(&lame), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: estimator lame has no estimate");
    assert_int_equal(sw_estimator_register(&no_size), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: estimator no_size: its size is 0; it must be sizeof(sw_estimator)");
    assert_int_equal(sw_schedule_register(&flat), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: schedule flat has no factor");
    assert_int_equal(sw_line_search_register(&blind), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: line search blind has no search");
    assert_int_equal(sw_average_register(&ema), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: the name ema is taken by another average");
    assert_int_equal(sw_rule_register(&heavy), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: heavy has more than 24 options, 8 slots or 16 scalars");
    assert_int_equal(sw_line_search_register(&crowded), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: crowded has more than 24 options, 8 slots or 16 scalars");
    assert_int_equal(sw_estimator_register(NULL), SW_ERR_ARGUMENT);
    sw_clear_error();
    assert_int_equal(sw_average_register(NULL), SW_ERR_ARGUMENT);
    sw_clear_error();
}

static int64_t one_part(const sw_param *p, const double *option, sw_dtype type) {
    (void)p, (void)option, (void)type;
    return 1;
}
static sw_status no_part(sw_step *s, int64_t part, sw_worker *worker) {
    (void)s, (void)part, (void)worker;
    return SW_OK;
}

/* An update in parts needs both functions, and unit TENSOR. */
static void test_incomplete_parts_are_not_registered(void **state) {
    (void)state;
    static const sw_rule
        unparted = {.size = sizeof(sw_rule), .name = "unparted", .unit = SW_UNIT_TENSOR, .part = no_part},
        idle = {.size = sizeof(sw_rule), .name = "idle", .unit = SW_UNIT_TENSOR, .parts = one_part},
        elements = {.size = sizeof(sw_rule),
                    .name = "elements",
                    .update = &no_kernels,
                    .parts = one_part,
                    .part = no_part},
        older = {.size = offsetof(sw_rule, part), .name = "older_parts", .unit = SW_UNIT_TENSOR, .part = no_part},
        whole = {.size = sizeof(sw_rule), .name = "whole", .unit = SW_UNIT_TENSOR, .parts = one_part, .part = no_part};
    assert_int_equal(sw_rule_register(&unparted), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: rule unparted has part, but not parts; an update in parts needs both");
    assert_int_equal(sw_rule_register(&idle), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: rule idle has parts, but not part; an update in parts needs both");
    assert_int_equal(sw_rule_register(&elements), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: rule elements has parts, which need unit TENSOR");
    assert_int_equal(sw_rule_register(&older), SW_ERR_ARGUMENT); /* members beyond its size are not read */
    expect_error(SW_ERR_ARGUMENT, "register: rule older_parts has no tensor or part");
    assert_ok(sw_rule_register(&whole));
}

/* Tables that a spec, or a file of the state, would stumble over later. */
static void test_misleading_tables_are_not_registered(void **state) {
    (void)state;
    static const sw_option outside[] = {{.name = "lr", .value = 1e-3, .high = 1e-4}, {0}},
                           twice[] = {
                               {.name = "lr", .high = 1}, {.name = "mu", .high = 1}, {.name = "lr", .high = 1}, {0}};
    static const sw_slot slots[] = {{.name = "m"}, {.name = "v"}, {.name = "m"}, {0}};
    static const sw_rule
        spaced = {.size = sizeof(sw_rule), .name = "ada belief", .update = &no_kernels},
        of_default = {.size = sizeof(sw_rule), .name = "narrow", .options = outside, .update = &no_kernels},
        of_options = {.size = sizeof(sw_rule), .name = "doubled", .options = twice, .update = &no_kernels},
        of_slots = {.size = sizeof(sw_rule), .name = "crammed", .slots = slots, .update = &no_kernels};
    assert_int_equal(sw_rule_register(&spaced), SW_ERR_ARGUMENT);
    expect_error(
        SW_ERR_ARGUMENT,
        "register: the name of rule ada belief contains a blank or one of ; : = , which separate the parts of a spec");
    assert_int_equal(sw_rule_register(&of_default), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT,
                 "register: option lr of rule narrow is 0.001 by default, outside its range [0, 0.0001]");
    assert_int_equal(sw_rule_register(&of_options), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: rule doubled has two options lr");
    assert_int_equal(sw_rule_register(&of_slots), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: rule crammed has two slots m");
}

/* ---- Registering from several threads ---- */

enum { THREADS = 4, NAMES = 8 };
static sw_rule contenders[THREADS][NAMES];
static pthread_barrier_t barrier;

static void *contend(void *args) {
    const sw_rule *mine = args;
    int won = 0;
    for (int i = 0; i < NAMES; i++) {
        pthread_barrier_wait(&barrier);
        won |= (sw_rule_register(&mine[i]) == SW_OK) << i;
        sw_clear_error();
    }
    return (void *)(intptr_t)won;
}

static void test_name_is_registered_by_one_thread_only(void **state) {
    (void)state;
    static char names[NAMES][32];
    pthread_t threads[THREADS];
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (int i = 0; i < NAMES; i++)
        snprintf(names[i], sizeof names[i], "contended%d", i);
    for (int t = 0; t < THREADS; t++) {
        for (int i = 0; i < NAMES; i++)
            contenders[t][i] = (sw_rule){.size = sizeof(sw_rule), .name = names[i], .update = &no_kernels};
        assert_int_equal(pthread_create(&threads[t], NULL, contend, contenders[t]), 0);
    }
    int won[THREADS];
    for (int t = 0; t < THREADS; t++) {
        void *result;
        pthread_join(threads[t], &result);
        won[t] = (int)(intptr_t)result;
    }
    for (int i = 0; i < NAMES; i++) {
        int winners = 0;
        for (int t = 0; t < THREADS; t++) {
            winners += won[t] >> i & 1;
            if (won[t] >> i & 1)
                assert_ptr_equal(sw_rule_find(names[i]), &contenders[t][i]);
        }
        assert_int_equal(winners, 1);
    }
    pthread_barrier_destroy(&barrier);
}

/* A child of fork can look up methods and layer types, even if another thread was doing so at the time of the fork. */
static void *look_up(void *args) {
    const atomic_bool *end = args;
    while (!atomic_load(end))
        if (!sw_rule_find("adam") || !sw_module_type_find("linear"))
            return args;
    return NULL;
}

static void test_lookups_work_in_a_child_of_fork(void **state) {
    (void)state;
    atomic_bool end = false;
    pthread_t thread;
    void *failed;
    bool found = true;
    assert_int_equal(pthread_create(&thread, NULL, look_up, &end), 0);
    for (int i = 0; i < 200 && found; i++) {
        int status;
        const pid_t child = fork();
        if (child == 0) {
            alarm(5); /* ends a child that waits forever */
            _exit(sw_rule_find("kinds") == &kinds && sw_module_type_find("relu") ? 0 : 1);
        }
        found = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    }
    atomic_store(&end, true);
    pthread_join(thread, &failed);
    assert_true(found && !failed);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_incomplete_rule_is_not_registered),     TEST(test_incomplete_methods_are_not_registered),
        TEST(test_incomplete_parts_are_not_registered),   TEST(test_misleading_tables_are_not_registered),
        TEST(test_name_is_registered_by_one_thread_only), TEST(test_lookups_work_in_a_child_of_fork),
    };
    return cmocka_run_group_tests_name("registering", tests, register_all, NULL);
}
