/* Estimators that a program registers: the functions that may skip a step, the durations that `start` receives, the lr
 * that a wrapped estimator proposes, and vectors of every type. */
#include "helpers.h"

static sw_status return_skipped(sw_estimate *e) {
    (void)e;
    return SW_SKIPPED;
}
static const sw_estimator late_skip = {
    .size = sizeof(sw_estimator), .name = "late_skip", .estimate = plain_estimate, .commit = return_skipped};

static bool sample_skips;
static sw_status moody_sample(sw_estimate *e) {
    e->ids = NULL;
    e->count = e->n;
    e->scalar[0]++;
    return sample_skips ? SW_SKIPPED : SW_OK;
}
static const char *const moody_scalars[] = {"samples", NULL};
static const sw_estimator moody = {.size = sizeof(sw_estimator),
                                   .name = "moody",
                                   .scalars = moody_scalars,
                                   .sample = moody_sample,
                                   .estimate = plain_estimate};

static sw_status proposing_estimate(sw_estimate *e, const void *x, void *g) {
    e->lr = 0.25;
    return plain_estimate(e, x, g);
}
static const sw_estimator proposing = {
    .size = sizeof(sw_estimator), .name = "proposing", .estimate = proposing_estimate};
static sw_status inner_estimate(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_inner(e, x, g);
}
static const sw_option of_options[] = {{.name = "of", .kind = SW_OPTION_SPEC}, {0}};
static const sw_estimator around = {.size = sizeof(sw_estimator),
                                    .name = "around",
                                    .options = of_options,
                                    .flags = SW_ESTIMATOR_WRAPPER,
                                    .estimate = inner_estimate};

static double started_with[2];
static sw_status patient_start(sw_estimate *e) {
    started_with[0] = e->option[1];
    started_with[1] = e->option[2];
    return SW_OK;
}
static const sw_option patient_options[] = {
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 4, .low = 1, .high = 100},
    {.name = "wait", .kind = SW_OPTION_DURATION, .value = 7},
    {.name = "rest", .kind = SW_OPTION_DURATION, .value = 9},
    {0}};
static int64_t one_each(const sw_slot_sizes *sizes) {
    return sizes->n;
}
static const sw_slot patient_slots[] = {{.name = "when", .type = SW_SLOT_I32, .count = one_each},
                                        {.name = "seen", .type = SW_SLOT_U8, .count = one_each},
                                        {.name = "exact", .type = SW_SLOT_F64},
                                        {.name = "single", .type = SW_SLOT_F32},
                                        {.name = "plain"},
                                        {0}};
static sw_status patient_commit(sw_estimate *e) {
    for (int64_t i = 0; i < e->count; i++) {
        ((int32_t *)e->slot[0])[e->ids[i]] = (int32_t)e->step;
        ((uint8_t *)e->slot[1])[e->ids[i]] = 255;
    }
    for (int64_t i = 0; i < e->dim; i++)
        ((double *)e->slot[2])[i] += 0.1;
    return SW_OK;
}
static const sw_estimator patient = {.size = sizeof(sw_estimator),
                                     .name = "patient",
                                     .options = patient_options,
                                     .slots = patient_slots,
                                     .start = patient_start,
                                     .estimate = plain_estimate,
                                     .commit = patient_commit};

static int register_all(void **state) {
    (void)state;
    static const sw_estimator *const estimators[] = {&late_skip, &moody, &proposing, &around, &patient};
    for (size_t i = 0; i < sizeof estimators / sizeof *estimators; i++)
        if (sw_estimator_register(estimators[i]) != SW_OK)
            return -1;
    return 0;
}

static void test_commit_cannot_skip_a_step(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    constant_problem f;
    constant_problem_init(&f, p, 1, 1, 1);
    const sw_optim_options how = {.size = sizeof how, .estimator = "late_skip"};
    sw_optim *o = new_optim(p, &how);
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "estimator late_skip: commit cannot skip a step that was taken");
    assert_int_equal(sw_optim_steps_skipped(o), 0);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_sample_may_skip_a_step(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    constant_problem f;
    constant_problem_init(&f, p, 3, 1, 1);
    const sw_optim_options how = {.size = sizeof how, .estimator = "moody"};
    sw_optim *o = new_optim(p, &how);
    double before[SMALL_DIM], value = 7;
    memcpy(before, sw_params_x(p), sizeof before);
    sample_skips = true;
    assert_int_equal(sw_optim_minimize(o, &f.f, &value), SW_SKIPPED);
    assert_true(isnan(value));
    assert_int_equal(sw_optim_steps_skipped(o), 1);
    assert_int_equal(sw_optim_steps_taken(o), 0);
    assert_true(sw_optim_scalar(o, -1, "samples") == 0); /* undone */
    assert_memory_equal(before, sw_params_x(p), sizeof before);
    sample_skips = false;
    assert_ok(sw_optim_minimize(o, &f.f, &value));
    assert_true(sw_optim_scalar(o, -1, "samples") == 1);
    assert_int_equal(sw_optim_steps_taken(o), 1);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_proposed_lr_passes_through_wrappers(void **state) {
    (void)state;
    static const char *const estimators[] = {"proposing", "around of=proposing", "around of=around of=proposing"};
    for (size_t i = 0; i < sizeof estimators / sizeof *estimators; i++) {
        sw_params *p = small_params(SW_F64);
        constant_problem f;
        constant_problem_init(&f, p, 1, 1, 1);
        const sw_optim_options how = {.size = sizeof how, .estimator = estimators[i], .rule = "sgd lr=auto"};
        sw_optim *o = new_optim(p, &how);
        double before = vec_get(SW_F64, sw_params_x(p), 0);
        assert_ok(sw_optim_minimize(o, &f.f, NULL));
        assert_true(vec_get(SW_F64, sw_params_x(p), 0) == before - 0.25);
        assert_true(sw_optim_option(o, 0, "lr") == 0.25);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static void start_sees(const char *estimator, int64_t steps, double wait, double rest) {
    sw_params *p = small_params(SW_F32);
    constant_problem f;
    constant_problem_init(&f, p, 10, 1, 1); /* 3 steps an epoch */
    const sw_optim_options how = {.size = sizeof how, .estimator = estimator, .total_steps = steps};
    sw_optim *o = new_optim(p, &how);
    started_with[0] = started_with[1] = -1;
    assert_ok(sw_optim_bind(o, &f.f));
    const double expected[2] = {wait, rest};
    for (int i = 0; i < 2; i++)
        if (!(isnan(expected[i]) ? isnan(started_with[i]) : started_with[i] == expected[i]))
            fail_msg("%s, %d steps: %g, %g expected", estimator, (int)steps, started_with[i], expected[i]);
    expect_no_error();
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_start_sees_durations_in_steps(void **state) {
    (void)state;
    start_sees("patient", 0, 7, 9);
    start_sees("patient wait=2ep rest=10%", 50, 6, 5);
    start_sees("patient wait=2.5ep rest=10%", 0, 7.5, (double)NAN);
    start_sees("patient batch=10 wait=2ep rest=100%", 8, 2, 8);
    start_sees("around of=patient wait=2ep rest=50%", 8, 6, 4);
}

static void test_slots_of_every_type_are_kept(void **state) {
    (void)state;
    enum { N = 10 };
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        constant_problem f;
        constant_problem_init(&f, p, N, 1, 1);
        const sw_optim_options how = {.size = sizeof how, .estimator = "patient"};
        sw_optim *o = new_optim(p, &how);
        assert_ok(sw_optim_bind(o, &f.f));
        static const struct {
            const char *name;
            sw_dtype type[2];
            int64_t count;
        } expected[] = {{"when", {SW_I32, SW_I32}, N},
                        {"seen", {SW_U8, SW_U8}, N},
                        {"exact", {SW_F64, SW_F64}, SMALL_DIM},
                        {"single", {SW_F32, SW_F32}, SMALL_DIM},
                        {"plain", {SW_F32, SW_F64}, SMALL_DIM}};
        size_t bytes = 0;
        for (size_t k = 0; k < sizeof expected / sizeof *expected; k++) {
            sw_array a = sw_optim_slot(o, expected[k].name);
            assert_non_null(a.data);
            assert_int_equal(a.type, expected[k].type[t]);
            assert_int_equal(a.rank, 1);
            assert_int_equal(a.shape[0], expected[k].count);
            for (int64_t i = 0; i < a.shape[0]; i++)
                assert_true(test_get(&a, i) == 0);
            bytes += test_bytes(&a);
        }
        assert_int_equal(sw_optim_bytes(o).estimator, bytes);
        for (int i = 0; i < 3; i++) /* an epoch: every sample is seen once */
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
        sw_array when = sw_optim_slot(o, "when"), seen = sw_optim_slot(o, "seen"), exact = sw_optim_slot(o, "exact");
        int times[4] = {0};
        for (int i = 0; i < N; i++) {
            assert_true(test_get(&seen, i) == 255);
            assert_in_range((int)test_get(&when, i), 1, 3);
            times[(int)test_get(&when, i)]++;
        }
        assert_true(times[1] == 4 && times[2] == 4 && times[3] == 2);
        assert_true(test_get(&exact, SMALL_DIM - 1) == 0.1 + 0.1 + 0.1); /* no f32 can hold it */
        sw_optim_free(o);
        sw_params_free(p);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_commit_cannot_skip_a_step),           TEST(test_sample_may_skip_a_step),
        TEST(test_proposed_lr_passes_through_wrappers), TEST(test_start_sees_durations_in_steps),
        TEST(test_slots_of_every_type_are_kept),
    };
    return cmocka_run_group_tests_name("custom_estimators", tests, register_all, NULL);
}
