/* Every schedule against PyTorch and optax; durations in steps, epochs and fractions of the run; the ends and joints of
 * schedules. */
#include "helpers.h"

#include "golden/schedules.h"

/* Asked for. Both sides make a value with about ten operations, each rounding by 1.1e-16; torch's recursive
 * forms do so a hundred times over, and cos loses digits where 1 + cos is small: 5e-4 at the step before the
 * last one. 100·1.1e-16/5e-4 = 2e-11 is the worst that could add up where every step's error has one sign. */
static const double TOLERANCE = 1e-12;
/* optax's lines begin and end as differences of numbers of the option's own size, 0.7. */
static const double ULP = 2.3e-16;

static sw_optim *make(sw_params *p, const char *rule, const char *schedule, int64_t steps) {
    const sw_optim_options how = {
        .size = sizeof how, .rule = rule, .schedule = schedule, .total_steps = steps, .estimator = "minibatch batch=1"};
    sw_optim *o = sw_optim_new_with_options(p, &how);
    if (!o)
        fail_msg("%s: %s", schedule, sw_error());
    return o;
}

/* The option's value in each of n steps. */
static void follow(const char *rule, const char *schedule, const char *option, int64_t steps, int n, double *value) {
    static const double c[SMALL_DIM] = {0};
    sw_params *p = small_params(SW_F64);
    sw_optim *o = make(p, rule, schedule, steps);
    for (int t = 0; t < n; t++) {
        assert_ok(step_with(o, p, c));
        value[t] = sw_optim_option(o, 0, option);
    }
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_schedules_agree_with_torch(void **state) {
    (void)state;
    double worst = 0;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        const golden *g = &goldens[i];
        double value[STEPS];
        follow(g->rule, g->schedule, g->option, STEPS, STEPS, value);
        for (int k = 0; k < CHECKED; k++) {
            double error = fabs(value[checked[k]] - g->value[k]), scale = fabs(g->value[k]);
            worst = scale > 1e-9 ? fmax(worst, error / scale) : worst;
            if (!(error <= TOLERANCE * scale + ULP))
                fail_msg("%s: step %d has %s %.17g, %.17g is expected", g->schedule, checked[k], g->option,
                         value[checked[k]], g->value[k]);
        }
    }
    print_message("schedules: %.1e from torch and optax at most\n", worst);
}

/* The names of a section of sw_optim_list: lines of two blanks and a word. */
static int each_listed(const char *section, void (*see)(const char *name)) {
    char line[512], name[64];
    int count = 0;
    bool inside = false;
    FILE *list = tmpfile();
    assert_non_null(list);
    sw_optim_list(list);
    rewind(list);
    while (fgets(line, sizeof line, list)) {
        if (line[0] != ' ') {
            inside = strncmp(line, section, strlen(section)) == 0 && line[strlen(section)] == '\n';
        } else if (inside && line[2] != ' ') {
            assert_int_equal(sscanf(line, "%63s", name), 1);
            see(name);
            count++;
        }
    }
    fclose(list);
    return count;
}

static void has_golden(const char *name) {
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++)
        if (strncmp(goldens[i].schedule, name, length) == 0 && strchr(" ", goldens[i].schedule[length]))
            return;
    fail_msg("schedule %s has no values: a line in golden/schedules.py", name);
}

static void test_every_schedule_has_golden_numbers(void **state) {
    (void)state;
    assert_true(each_listed("schedules", has_golden) >= 12);
}

/* A schedule whose name changes nothing is a classic. */
static void test_every_golden_path_differs(void **state) {
    (void)state;
    int n = (int)(sizeof goldens / sizeof *goldens), same = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) {
            double apart = 0;
            for (int k = 0; k < CHECKED; k++)
                apart = fmax(apart, fabs(goldens[i].value[k] - goldens[j].value[k]));
            same += apart < 1e-6;
        }
    assert_int_equal(same, 1); /* "step" is "step every=30 factor=0.1" in a run of 100 steps */
}

/* ---- Durations ---- */

static void equal_paths(const char *one, const char *other, int64_t steps) {
    double a[60], b[60];
    const double c[SMALL_DIM] = {1};
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 5, c); /* five steps of one sample are an epoch */
    for (int k = 0; k < 2; k++) {
        sw_optim *o = make(p, "sgd lr=1e-3", k ? other : one, steps);
        for (int t = 0; t < 60; t++) {
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
            (k ? b : a)[t] = sw_optim_option(o, 0, "lr");
        }
        sw_optim_free(o);
    }
    for (int t = 0; t < 60; t++)
        if (a[t] != b[t])
            fail_msg("%s and %s differ in step %d: %g and %g", one, other, t, a[t], b[t]);
    sw_params_free(p);
}

static void test_durations_in_every_unit_agree(void **state) {
    (void)state;
    static const char *const equal[][2] = {
        {"step every=2ep", "step every=10"},
        {"step every=25%", "step every=10"},
        {"step", "step every=12"},
        {"constant warmup=1ep", "constant warmup=5"},
        {"exponential per=50% factor=0.1", "exponential per=4ep factor=0.1"},
        {"restarts period=1ep growth=2", "restarts period=5 growth=2"},
        {"restarts", "restarts period=4"},
        {"cyclic up=2ep down=10%", "cyclic up=10 down=4"},
        {"cyclic", "cyclic up=2"},
        {"inverse_time scale=3ep", "inverse_time scale=15"},
        {"inverse_sqrt warmup=2ep", "inverse_sqrt warmup=10 scale=10"},
        {"cosine over=4ep", "cosine over=50%"},
        {"linear warmup=10% over=90%", "linear warmup=4 over=36"},
        {"one_cycle over=40", "one_cycle"},
    };
    for (size_t i = 0; i < sizeof equal / sizeof *equal; i++)
        equal_paths(equal[i][0], equal[i][1], 40);
}

/* With its own length a schedule needs none of the run. */
static void test_schedule_with_its_own_length_needs_no_run(void **state) {
    (void)state;
    equal_paths("cosine warmup=5 over=30", "cosine warmup=5 over=30 final=0", 0);
    static const char *const needy[] = {"cosine", "linear", "polynomial", "one_cycle", "cosine_cycles"};
    for (size_t i = 0; i < sizeof needy / sizeof *needy; i++) {
        sw_params *p = small_params(SW_F64);
        sw_optim *o = make(p, "sgd", needy[i], 0);
        const double c[SMALL_DIM] = {1};
        char text[128];
        snprintf(text, sizeof text, "schedule %s needs the length of the run: set total_steps of the optimizer",
                 needy[i]);
        assert_int_equal(step_with(o, p, c), SW_ERR_STATE);
        expect_error(SW_ERR_STATE, text);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* ---- Ends and seams ---- */

/* In and after the last step of a run that goes on: the end's value, and always a number. */
static void test_schedule_stays_at_its_end(void **state) {
    (void)state;
    static const struct {
        const char *schedule;
        double after;
    } cases[] = {{"cosine final=0.25", 0.25},
                 {"linear final=0.5", 0.5},
                 {"polynomial final=0.125", 0.125},
                 {"one_cycle div=4 final_div=8", 0.03125},
                 {"cosine_cycles cycles=3 low=0.5", 0.5},
                 {"one_cycle phases=3 div=4 final_div=8", 0.03125},
                 {"cosine over=3", 0},
                 {"one_cycle over=1 div=2 final_div=2", 0.25},
                 {"one_cycle rise=1 over=1 div=2 final_div=2", 0.25},
                 {"one_cycle rise=0 div=2 final_div=2", 0.25},
                 {"exponential factor=10 bound=1000", 1000},
                 {"exponential factor=1e6", 1e300},
                 {"exponential factor=1e-3", 0},
                 {"cyclic height=triangular2 up=1 low=0.5", 0.5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double value[200];
        follow("sgd lr=1", cases[i].schedule, "lr", 20, 200, value);
        for (int t = 0; t < 200; t++)
            assert_true(isfinite(value[t]));
        if (!(fabs(value[199] - cases[i].after) <= 1e-15 * cases[i].after))
            fail_msg("%s ends at %g", cases[i].schedule, value[199]);
        if (value[199] != value[198] && i != 13)
            fail_msg("%s does not stay", cases[i].schedule);
    }
}

/* Restarts fall on whole steps for thousands of cycles, and with real growth. */
static void test_restarts_fall_on_whole_steps(void **state) {
    (void)state;
    enum { N = 3000 };
    static double value[N];
    follow("sgd lr=1", "restarts period=3", "lr", 0, N, value);
    for (int t = 0; t < N; t++)
        assert_true((value[t] == 1) == (t % 3 == 0));
    follow("sgd lr=1", "restarts period=2 growth=2", "lr", 0, N, value);
    for (int t = 0; t < N; t++) /* 0, 2, 6, 14: 2^i - 2 */
        assert_true((value[t] == 1) == (((t + 2) & (t + 1)) == 0));
    follow("sgd lr=1", "restarts period=50 growth=1.0001", "lr", 0, N, value);
    for (int t = 1; t < N; t++)
        assert_true(value[t] >= 0 && value[t] <= 1 && (value[t] < value[t - 1] || value[t] > 0.9));
}

/* ---- What is refused ---- */

static void test_schedules_refuse_wrong_options(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"step every=0", "step: every=0; more than 0 is needed"},
        {"restarts period=0%", "restarts: period=0%; more than 0 is needed"},
        {"exponential factor=0", "exponential: factor=0 is outside (0, 1e+06]"},
        {"exponential per=0ep", "exponential: per=0ep; more than 0 is needed"},
        {"restarts growth=0.5", "restarts: growth=0.5 is outside [1, 1000]"},
        {"cyclic height=square", "cyclic: height=square; one of triangular|triangular2|exp_range is needed"},
        {"one_cycle phases=4", "one_cycle: phases=4 is outside [2, 3]"},
        {"cosine_cycles cycles=1.5", "cosine_cycles: cycles=1.5 is not a whole number"},
        {"inverse_root", "there is no schedule inverse_root; known are constant, step, exponential, linear, "
                         "polynomial, inverse_sqrt, inverse_time, cosine, restarts, cosine_cycles, cyclic, one_cycle, "
                         "armijo, wolfe"},
        {"polynomal", "there is no schedule polynomal, did you mean polynomial?"},
        {"linear ovr=3", "schedule linear has no option ovr, did you mean over?"},
        {"step every=-1", "step: every=-1; steps (500), a percentage of the run (10%) or epochs (3ep) are needed"},
    };
    sw_params *p = small_params(SW_F32);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sw_optim_options how = {.size = sizeof how, .schedule = cases[i][0]};
        assert_null(sw_optim_new_with_options(p, &how));
        expect_error(SW_ERR_ARGUMENT, cases[i][1]);
    }
    sw_params_free(p);
}

/* Defaults of durations are listed in their units. */
static void test_listed_durations_have_units(void **state) {
    (void)state;
    static char text[40000];
    FILE *to = tmpfile();
    assert_non_null(to);
    sw_optim_list(to);
    rewind(to);
    text[fread(text, 1, sizeof text - 1, to)] = 0;
    fclose(to);
    assert_non_null(strstr(text, "\n      every=30%  (steps, % or ep)  time between two drops\n"));
    assert_non_null(strstr(text, "\n      per=1  (steps, % or ep)  time in which the re"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_schedules_agree_with_torch),
        TEST(test_every_schedule_has_golden_numbers),
        TEST(test_every_golden_path_differs),
        TEST(test_durations_in_every_unit_agree),
        TEST(test_schedule_with_its_own_length_needs_no_run),
        TEST(test_schedule_stays_at_its_end),
        TEST(test_restarts_fall_on_whole_steps),
        TEST(test_schedules_refuse_wrong_options),
        TEST(test_listed_durations_have_units),
    };
    return cmocka_run_group_tests_name("schedules", tests, NULL, NULL);
}
