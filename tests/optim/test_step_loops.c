/* Loops of many steps, and the public structs that they read: a period of SVRG that exceeds the number of steps,
 * averages of an older struct size or without `begin`, and a rule whose proximal options are in another order than
 * those of sgd. */
#include "helpers.h"

#include <math.h>
#include <stddef.h>

enum { ROWS = 24, FEATURES = 3 };

/* A linear model with squared loss in f64, whose data have no noise. */
static sw_glm *loop_model(void) {
    static double a[ROWS][FEATURES], y[ROWS];
    sw_rng rng = {.key = 7};
    for (int i = 0; i < ROWS; i++) {
        y[i] = 0;
        for (int k = 0; k < FEATURES; k++) {
            a[i][k] = sw_rng_normal(&rng);
            y[i] += (k + 1) * a[i][k];
        }
    }
    const sw_array x = sw_array_view(a, SW_F64, SW_SHAPE(ROWS, FEATURES)),
                   targets = sw_array_view(y, SW_F64, SW_SHAPE(ROWS));
    sw_glm *glm = sw_glm_new(SW_F64, &x, &targets, &SW_OPTIONS(sw_glm_options, .head = SW_HEAD_SQUARED));
    assert_non_null(glm);
    return glm;
}

/* x after `steps` steps, in one loop or one by one. */
static void loop_run(const sw_optim_options *how, int steps, bool one_by_one, double x[FEATURES + 1]) {
    sw_glm *glm = loop_model();
    sw_optim *o = sw_optim_new_with_options(sw_glm_params(glm), how);
    for (int i = 0; i < steps && one_by_one; i++)
        assert_ok(sw_optim_minimize(o, sw_glm_objective(glm), NULL));
    if (!one_by_one)
        assert_ok(sw_optim_minimize_steps(o, sw_glm_objective(glm), steps, NULL));
    memcpy(x, sw_optim_point(o), (FEATURES + 1) * sizeof *x);
    expect_no_error();
    sw_optim_free(o);
    sw_glm_free(glm);
}

static void test_svrg_with_an_endless_period_takes_one_snapshot(void **state) {
    (void)state;
    sw_glm *glm = loop_model();
    sw_optim *o = sw_optim_new_with_options(
        sw_glm_params(glm),
        &SW_OPTIONS(sw_optim_options, .estimator = "svrg period=1e19 batch=2", .rule = "sgd lr=0.01"));
    for (int i = 0; i < 5; i++) {
        assert_ok(sw_optim_minimize(o, sw_glm_objective(glm), NULL));
        assert_true(sw_optim_scalar(o, -1, "since") == 1);
    }
    sw_optim_free(o);
    sw_glm_free(glm);
}

/* ---- Averages ---- */

/* The mean of x and its predecessors with weight ½, in slot 0. */
static sw_status half_begin(sw_step *step) {
    step->coefficient[0] = 0.5;
    return SW_OK;
}

static double half_weight(const double *coefficient) {
    (void)coefficient;
    return 0.5;
}

static void half_update(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        ((double *)s->slot[0])[i] += 0.5 * (((const double *)s->x)[i] - ((double *)s->slot[0])[i]);
}

static const sw_kernels half_kernels = {{half_update, half_update, half_update},
                                        {half_update, half_update, half_update}};
static const sw_slot half_slots[] = {{.name = "half", .start = SW_START_X}, {0}};
static const sw_option no_options[] = {{0}};

/* `weight` holds garbage, but the size says that it is not there. */
static const sw_average earlier = {.size = offsetof(sw_average, weight),
                                   .name = "half_earlier",
                                   .summary = "half of x, of an earlier version",
                                   .options = no_options,
                                   .slots = half_slots,
                                   .begin = half_begin,
                                   .update = &half_kernels,
                                   .weight = (double (*)(const double *))(uintptr_t)1};
static const sw_average without_begin = {.size = sizeof(sw_average),
                                         .name = "half_without_begin",
                                         .summary = "half of x, without begin",
                                         .options = no_options,
                                         .slots = half_slots,
                                         .update = &half_kernels,
                                         .weight = half_weight};

static void test_averages_of_an_earlier_size_and_without_begin_work_in_loops(void **state) {
    (void)state;
    const sw_average *const averages[] = {&earlier, &without_begin};
    for (int k = 0; k < 2; k++) {
        double single[FEATURES + 1], loop[FEATURES + 1];
        assert_ok(sw_average_register(averages[k]));
        const sw_optim_options how = SW_OPTIONS(sw_optim_options, .estimator = "saga batch=1", .rule = "sgd lr=0.01",
                                                .average = averages[k]->name);
        loop_run(&how, 20, true, single);
        loop_run(&how, 20, false, loop);
        for (int i = 0; i <= FEATURES; i++) /* 20 steps of some 50 roundings each, numbers below 8 */
            assert_true(fabs(single[i] - loop[i]) <= 20 * 50 * 8 * 0x1p-53);
    }
}

/* ---- A rule like sgd whose options are in another order ---- */

static sw_option box_options[SW_MAX_OPTIONS];
static int box_low, box_high;

/* x ← x - η g, then into [low, high] */
static void box_update(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const double low = s->option[box_low], high = s->option[box_high];
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        double *x = (double *)s->x + i;
        *x = fmin(fmax(*x - s->option[0] * ((const double *)s->g)[i], low), high);
    }
}

static const sw_kernels box_kernels = {{box_update, box_update, box_update}, {box_update, box_update, box_update}};
static const sw_rule box_rule = {.size = sizeof(sw_rule),
                                 .name = "box",
                                 .summary = "sgd in a box, with the options of sgd in another order",
                                 .options = box_options,
                                 .flags = SW_RULE_PROXIMAL_SGD,
                                 .update = &box_kernels};

static void test_proximal_options_are_found_by_name(void **state) {
    (void)state;
    const sw_option *sgd = sw_rule_find("sgd")->options;
    sw_option l1 = {0};
    int count = 0;
    for (int i = 0; sgd[i].name; i++) /* all in their order, but l1 goes to the end */
        if (strcmp(sgd[i].name, "l1") == 0)
            l1 = sgd[i];
        else
            box_options[count++] = sgd[i];
    assert_non_null(l1.name);
    box_options[count] = l1;
    assert_string_equal(box_options[0].name, "lr");
    for (int i = 0; i < count; i++) {
        box_low = strcmp(box_options[i].name, "low") == 0 ? i : box_low;
        box_high = strcmp(box_options[i].name, "high") == 0 ? i : box_high;
    }
    assert_ok(sw_rule_register(&box_rule));
    const sw_optim_options how =
        SW_OPTIONS(sw_optim_options, .estimator = "saga batch=1", .rule = "box lr=0.02 low=-0.5 high=2.5");
    double single[FEATURES + 1], loop[FEATURES + 1];
    loop_run(&how, 200, true, single);
    loop_run(&how, 200, false, loop);
    assert_true(single[2] == 2.5);      /* the third coefficient is 3 */
    for (int i = 0; i <= FEATURES; i++) /* 200 steps of some 50 roundings each, numbers below 8 */
        assert_true(fabs(single[i] - loop[i]) <= 200 * 50 * 8 * 0x1p-53);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_svrg_with_an_endless_period_takes_one_snapshot, test_clear),
        cmocka_unit_test_teardown(test_averages_of_an_earlier_size_and_without_begin_work_in_loops, test_clear),
        cmocka_unit_test_teardown(test_proximal_options_are_found_by_name, test_clear),
    };
    return cmocka_run_group_tests_name("loops of steps", tests, NULL, NULL);
}
