/* Durations that are given as a fraction of the run, against integer arithmetic: every percentage from 1 to 100 of
 * several totals, in every kind of method that has a duration. */
#include "helpers.h"

/* 7% of 100 is 7.000000000000001 in floating point if 7/100 is rounded first. 50 and 997 give fractions of a
 * step. */
static const int64_t totals[] = {50, 100, 128, 997, 1000};
enum { TOTALS = sizeof totals / sizeof *totals };

typedef struct one_number {
    sw_objective f;
    sw_params *params;
    sw_optim *optim;
} one_number;

static sw_status constant_slope(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                double *value, void *g) {
    (void)user, (void)ids, (void)count, (void)draw;
    *value = *(const double *)x;
    if (g)
        *(double *)g = 1;
    return SW_OK;
}

static void one_number_init(one_number *p, int64_t total, const char *estimator, const char *schedule,
                            const char *average) {
    p->params = sw_params_new(SW_F64, 1);
    assert_non_null(sw_params_add(p->params, "x", 1, (const int64_t[]){1}, NULL));
    assert_ok(sw_params_build(p->params));
    p->f = (sw_objective){.size = sizeof p->f, .n = 1, .params = p->params, .gradient = constant_slope};
    p->optim = NEW_OPTIM(p->params, .estimator = estimator, .rule = "sgd lr=1", .schedule = schedule,
                         .average = average, .total_steps = total);
}

static void one_number_free(one_number *p) {
    sw_optim_free(p->optim);
    sw_params_free(p->params);
}

/* ⌈percent·total/100⌉ */
static int64_t rounded_up(int64_t percent, int64_t total) {
    return (percent * total + 99) / 100;
}

typedef void check_duration(int64_t percent, int64_t total);

static void every_percentage(check_duration *check) {
    for (int i = 0; i < TOTALS; i++)
        for (int64_t percent = 1; percent <= 100; percent++)
            check(percent, totals[i]);
}

/* Calls see(optim, t, percent, total) after each step t = 0, 1, … of a run that is half as long again. */
typedef void see_step(const sw_optim *optim, int64_t t, int64_t percent, int64_t total);

static void follow(int64_t percent, int64_t total, const char *estimator, const char *schedule, const char *average,
                   see_step *see) {
    one_number p;
    one_number_init(&p, total, estimator, schedule, average);
    for (int64_t t = 0; t < total + total / 2; t++) {
        assert_ok(sw_optim_minimize(p.optim, &p.f, NULL));
        see(p.optim, t, percent, total);
    }
    one_number_free(&p);
}

#define FAIL_AT(what, expected)                                                                                      \
    fail_msg("%lld%% of %lld, step %lld: %s, expected %s", (long long)percent, (long long)total, (long long)t, what, \
             expected)

/* ---- Schedules ---- */

/* The drops by step t: t/(percent·total/100), rounded down. */
static void sees_drops(const sw_optim *o, int64_t t, int64_t percent, int64_t total) {
    const int64_t drops = 100 * t / (percent * total);
    if (sw_optim_option(o, 0, "lr") != ldexp(1, -(int)drops))
        FAIL_AT("the factor is another", "2 to the minus number of whole periods");
}

static void check_step(int64_t percent, int64_t total) {
    char schedule[64];
    snprintf(schedule, sizeof schedule, "step factor=0.5 every=%lld%%", (long long)percent);
    follow(percent, total, "full", schedule, NULL, sees_drops);
}

static void test_step_drops_at_exact_steps(void **state) {
    (void)state;
    every_percentage(check_step);
}

/* The factor is 1 at a step that ends a period exactly, and below 1 at every other. */
static void sees_restarts(const sw_optim *o, int64_t t, int64_t percent, int64_t total) {
    const bool seam = 100 * t % (percent * total) == 0;
    if ((sw_optim_option(o, 0, "lr") == 1) != seam)
        FAIL_AT(seam ? "no restart" : "a restart", seam ? "one" : "none");
}

static void check_restarts(int64_t percent, int64_t total) {
    char schedule[64];
    snprintf(schedule, sizeof schedule, "restarts period=%lld%%", (long long)percent);
    follow(percent, total, "full", schedule, NULL, sees_restarts);
}

static void test_restarts_at_exact_steps(void **state) {
    (void)state;
    every_percentage(check_restarts);
}

/* up = down = percent: at 2k·up the lowest value, and the heights halve from one cycle to the next. */
static void sees_cycles(const sw_optim *o, int64_t t, int64_t percent, int64_t total) {
    const int64_t length = 2 * percent * total, cycle = 100 * t / length, in_cycle = 100 * t % length;
    const double up = (double)(percent * total), at = (double)in_cycle,
                 triangle = in_cycle <= percent * total ? at / up : ((double)length - at) / up,
                 expected = 0.5 + 0.5 * triangle * ldexp(1, -(int)cycle), factor = sw_optim_option(o, 0, "lr");
    /* Both sides round a handful of numbers of at most `t`/up cycles: 10 roundings of 1.1e-16 each, times the
     * number of cycles (at most 75), whose product with the length is subtracted from t. */
    if (!(fabs(factor - expected) <= 1e-13) || (in_cycle == 0 && factor != 0.5))
        FAIL_AT("another height", "that of the triangle");
}

static void check_cyclic(int64_t percent, int64_t total) {
    char schedule[64];
    snprintf(schedule, sizeof schedule, "cyclic low=0.5 height=triangular2 up=%lld%%", (long long)percent);
    follow(percent, total, "full", schedule, NULL, sees_cycles);
}

static void test_cyclic_turns_at_exact_steps(void **state) {
    (void)state;
    every_percentage(check_cyclic);
}

/* Warm-up is rounded up to W steps: (t + 1)/W. `over` after it: a straight line that is 0 from its end on. */
static void sees_warmup_and_end(const sw_optim *o, int64_t t, int64_t percent, int64_t total) {
    const int64_t warmup = rounded_up(percent, total), after = t - warmup;
    const double factor = sw_optim_option(o, 0, "lr");
    if (t < warmup && factor != (double)(t + 1) / (double)warmup)
        FAIL_AT("another factor", "(t + 1)/W");
    if (t >= warmup && (factor == 0) != (100 * after >= percent * total))
        FAIL_AT("0 too early or too late", "0 from the end of the line on");
}

static void check_warmup(int64_t percent, int64_t total) {
    char schedule[64];
    snprintf(schedule, sizeof schedule, "linear warmup=%lld%% over=%lld%%", (long long)percent, (long long)percent);
    follow(percent, total, "full", schedule, NULL, sees_warmup_and_end);
}

static void test_warmup_and_length_count_exact_steps(void **state) {
    (void)state;
    every_percentage(check_warmup);
}

/* Exactly half of what it was after each `per`, wherever that is a whole number of steps. */
static void sees_decay(const sw_optim *o, int64_t t, int64_t percent, int64_t total) {
    const int64_t in_period = 100 * t % (percent * total), periods = 100 * t / (percent * total);
    if (in_period == 0 && sw_optim_option(o, 0, "lr") != ldexp(1, -(int)periods))
        FAIL_AT("another factor", "2 to the minus number of periods");
}

static void check_exponential(int64_t percent, int64_t total) {
    char schedule[64];
    if (percent * total % 100 != 0) /* then no step but 0 need have a power of 2 that is exact */
        return;
    snprintf(schedule, sizeof schedule, "exponential factor=0.5 per=%lld%%", (long long)percent);
    follow(percent, total, "full", schedule, NULL, sees_decay);
}

static void test_exponential_halves_at_exact_steps(void **state) {
    (void)state;
    every_percentage(check_exponential);
}

/* ---- Averages ---- */

/* Iterates counted by step t + 1: multiples of ⌈every⌉ from ⌈start⌉ on. */
static void sees_count(const sw_optim *o, int64_t t, int64_t percent, int64_t total) {
    const int64_t period = rounded_up(percent, total), counted = (t + 1) / period;
    if (sw_optim_scalar(o, -1, "count") != (double)counted)
        FAIL_AT("another number of iterates", "the multiples of the period");
}

static void check_averages(int64_t percent, int64_t total) {
    static const char *const names[] = {"swa", "lawa_ema", "lawa_queue length=2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char average[64];
        snprintf(average, sizeof average, "%s start=%lld%% every=%lld%%", names[i], (long long)percent,
                 (long long)percent);
        follow(percent, total, "full", NULL, average, sees_count);
    }
}

static void test_averages_count_exact_steps(void **state) {
    (void)state;
    every_percentage(check_averages);
}

/* ---- Estimators ---- */

/* The step that took the snapshot: the first of every ⌈period⌉. */
static void sees_snapshot(const sw_optim *o, int64_t t, int64_t percent, int64_t total) {
    const int64_t period = rounded_up(percent, total);
    if (sw_optim_scalar(o, -1, "since") != (double)(t / period * period + 1))
        FAIL_AT("another snapshot", "one every period");
}

static void check_svrg(int64_t percent, int64_t total) {
    char estimator[64];
    snprintf(estimator, sizeof estimator, "svrg batch=1 period=%lld%%", (long long)percent);
    follow(percent, total, estimator, NULL, NULL, sees_snapshot);
}

static void test_svrg_snapshots_at_exact_steps(void **state) {
    (void)state;
    every_percentage(check_svrg);
}

/* Parts of an epoch, too: 0.07 ep of 100 steps are 7, not 7.000000000000001. */
static void test_parts_of_an_epoch_are_exact(void **state) {
    (void)state;
    one_number p;
    one_number_init(&p, 0, "minibatch batch=1", "step factor=0.5 every=0.07ep", NULL);
    p.f.n = 100;
    for (int t = 0; t < 100; t++) {
        assert_ok(sw_optim_minimize(p.optim, &p.f, NULL));
        assert_true(sw_optim_option(p.optim, 0, "lr") == ldexp(1, -(t / 7)));
    }
    one_number_free(&p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_step_drops_at_exact_steps),         TEST(test_restarts_at_exact_steps),
        TEST(test_cyclic_turns_at_exact_steps),       TEST(test_warmup_and_length_count_exact_steps),
        TEST(test_exponential_halves_at_exact_steps), TEST(test_averages_count_exact_steps),
        TEST(test_svrg_snapshots_at_exact_steps),     TEST(test_parts_of_an_epoch_are_exact),
    };
    return cmocka_run_group_tests_name("durations", tests, NULL, NULL);
}
