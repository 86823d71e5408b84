/* A run whose steps are all skipped ends with an error, even if the program calls every step itself and never checks a
 * status: 100 consecutive skipped steps are an error, whose message gives the reason of the skipping. */
#include "helpers.h"

enum { MOST = 100 }; /* as optim.h says */

#define NONFINITE_GRADIENT                                                                                        \
    "because the gradient contained Inf or NaN: look for them in the data, take a smaller lr, or set clip; with " \
    "SW_CHECK on, the tape names the operation that makes them"
#define TOO_MANY "optimizer: 100 steps in a row were skipped, " NONFINITE_GRADIENT

/* ---- By hand, with sw_optim_step ---- */

static const double good[SMALL_DIM] = {1, -1, 0.5};

/* n steps with a gradient that holds `bad`: all are skipped, without an error. */
static void skip_steps(sw_optim *o, sw_params *p, int n, double bad) {
    double c[SMALL_DIM] = {[7] = bad};
    for (int i = 0; i < n; i++) {
        assert_int_equal(step_with(o, p, c), SW_SKIPPED);
        expect_no_error();
    }
}

static void expect_too_many(sw_optim *o, sw_params *p, double bad) {
    const double c[SMALL_DIM] = {[7] = bad};
    assert_int_equal(step_with(o, p, c), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, TOO_MANY);
    assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
}

static void test_hundred_skipped_steps_by_hand_are_an_error(void **state) {
    (void)state;
    const double bad[2] = {(double)NAN, -(double)INFINITY};
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        sw_optim *o = NEW_OPTIM(p, .rule = "adam lr=0.1");
        assert_ok(step_with(o, p, good));
        char before[SMALL_DIM * sizeof(double)];
        memcpy(before, sw_params_x(p), params_bytes(p));
        for (int again = 0; again < 2; again++) { /* an error that is cleared allows as many again */
            skip_steps(o, p, MOST - 1, bad[t]);
            expect_too_many(o, p, bad[t]);
            assert_int_equal(sw_optim_steps_skipped(o), (again + 1) * MOST);
        }
        assert_memory_equal(before, sw_params_x(p), params_bytes(p));
        assert_int_equal(sw_optim_steps_taken(o), 1);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static void test_taken_step_resets_the_count(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.1");
    for (int i = 0; i < 3; i++) {
        skip_steps(o, p, MOST - 1, (double)NAN);
        assert_ok(step_with(o, p, good));
    }
    assert_int_equal(sw_optim_steps_taken(o), 3);
    assert_int_equal(sw_optim_steps_skipped(o), 3 * (MOST - 1));
    sw_optim_free(o);
    sw_params_free(p);
}

/* A step that fails for another reason is neither taken nor skipped. */
static void test_other_errors_do_not_count(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.1");
    skip_steps(o, p, MOST - 1, (double)NAN);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sw_optim_step(o), SW_ERR_STATE); /* no gradient */
        sw_clear_error();
    }
    expect_too_many(o, p, (double)NAN);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- On an objective ---- */

/* ½ |x|², with a gradient of NaN or of the wrong sign. */
typedef struct bowl {
    sw_objective f;
    bool nan, wrong;
} bowl;

static sw_status bowl_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                               double *value, void *g) {
    const bowl *b = user;
    const double *at = x;
    double *to = g, sum = 0;
    (void)ids, (void)count, (void)draw;
    for (int i = 0; i < SMALL_DIM; i++) {
        sum += 0.5 * at[i] * at[i];
        if (g)
            to[i] = b->nan ? (double)NAN : b->wrong ? -at[i] : at[i];
    }
    *value = sum;
    return SW_OK;
}

static bowl *bowl_new(void) {
    bowl *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->f = (sw_objective){
        .size = sizeof b->f, .n = 10, .params = small_params(SW_F64), .user = b, .gradient = bowl_gradient};
    return b;
}

static void bowl_free(bowl *b) {
    sw_params_free(b->f.params);
    free(b);
}

/* A loop that knows only how many steps it wants. Returns the steps it took part in before it ended. */
static int loop_until_error(bowl *b, sw_optim *o, int most) {
    int calls = 0;
    for (; calls < most && !sw_error(); calls++)
        sw_optim_minimize(o, &b->f, NULL);
    return calls;
}

static void expect_loop_ends(bowl *b, const sw_optim_options *how, const char *message) {
    sw_optim *o = new_optim(b->f.params, how);
    assert_int_equal(loop_until_error(b, o, 100000), MOST);
    expect_error(SW_ERR_NONFINITE, message);
    assert_true(sw_optim_steps_taken(o) == 0 && sw_optim_steps_skipped(o) == MOST);
    sw_optim_free(o);
}
#define EXPECT_LOOP_ENDS(message, ...) \
    expect_loop_ends(b, &(const sw_optim_options){.size = sizeof(sw_optim_options), __VA_ARGS__}, message)

static sw_status skips(sw_step *step) {
    (void)step;
    return SW_SKIPPED;
}
static sw_status decides_to_skip(sw_step *step, const double *sums) {
    (void)step, (void)sums;
    return SW_SKIPPED;
}
static sw_status samples_nothing(sw_estimate *e) {
    (void)e;
    return SW_SKIPPED;
}
static const sw_rule beginner = {.size = sizeof(sw_rule), .name = "beginner", .update = &no_kernels, .begin = skips},
                     decider = {
                         .size = sizeof(sw_rule), .name = "decider", .update = &no_kernels, .decide = decides_to_skip};
static const sw_estimator sleeper = {
    .size = sizeof(sw_estimator), .name = "sleeper", .sample = samples_nothing, .estimate = plain_estimate};

static int register_all(void **state) {
    (void)state;
    return sw_rule_register(&beginner) != SW_OK || sw_rule_register(&decider) != SW_OK ||
           sw_estimator_register(&sleeper) != SW_OK;
}

static void test_message_names_the_cause(void **state) {
    (void)state;
    bowl *b = bowl_new();
    EXPECT_LOOP_ENDS("optimizer: 100 steps in a row were skipped by rule beginner, whose begin or decide returned "
                     "SW_SKIPPED",
                     .rule = "beginner");
    EXPECT_LOOP_ENDS("optimizer: 100 steps in a row were skipped by rule decider, whose begin or decide returned "
                     "SW_SKIPPED",
                     .rule = "decider");
    EXPECT_LOOP_ENDS("optimizer: 100 steps in a row were skipped by estimator sleeper, whose sample returned "
                     "SW_SKIPPED",
                     .estimator = "sleeper");
    b->wrong = true;
    EXPECT_LOOP_ENDS(
        "optimizer: 100 steps in a row were skipped, because line search armijo found no step: the loss may be at a "
        "minimum up to the rounding of f64 (then end the run at the first skipped step, or use \"wolfe "
        "noise=1e-14\"), or its gradient may be wrong (sw_gradcheck)",
        .estimator = "full", .schedule = "armijo");
    b->nan = true;
    static const char *const estimators[] = {"minibatch batch=3", "full", "svrg batch=3", "sam of=minibatch batch=3",
                                             "sag batch=1"};
    for (size_t i = 0; i < sizeof estimators / sizeof *estimators; i++)
        EXPECT_LOOP_ENDS(TOO_MANY, .estimator = estimators[i], .rule = "adam lr=0.1");
    EXPECT_LOOP_ENDS(TOO_MANY, .estimator = "full", .schedule = "wolfe");
    bowl_free(b);
}

/* ---- One counter, also for sw_train ---- */

#define OPTIONS(...) (&(const sw_train_options){.size = sizeof(sw_train_options), __VA_ARGS__})

static sw_status turn_nan(void *user, sw_train_state *s) {
    ((bowl *)user)->nan = s->step >= 1;
    return SW_OK;
}

static void test_train_and_steps_by_hand_share_the_count(void **state) {
    (void)state;
    bowl *b = bowl_new();
    sw_optim *o = NEW_OPTIM(b->f.params, .estimator = "full", .rule = "sgd lr=0.1");
    sw_train_result r;
    assert_ok(sw_train(&b->f, o, OPTIONS(.steps = 1 + 150, .most_skipped = 1000, .user = b, .log = turn_nan), &r));
    assert_true(r.steps == 1 && r.skipped == 150);
    /* By hand 100 are too many again, and these were. */
    assert_int_equal(sw_optim_minimize(o, &b->f, NULL), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "optimizer: 151 steps in a row were skipped, " NONFINITE_GRADIENT);
    for (int i = 0; i < 60; i++)
        assert_int_equal(sw_optim_minimize(o, &b->f, NULL), SW_SKIPPED);
    assert_int_equal(sw_train(&b->f, o, OPTIONS(.steps = 1000), &r), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, TOO_MANY);
    assert_true(r.reason == SW_TRAIN_SKIPPED && r.skipped == MOST - 60);
    sw_optim_free(o);
    bowl_free(b);
}

/* A file knows nothing of the count: a resumed run counts anew. */
static void test_resumed_run_resets_the_count(void **state) {
    (void)state;
    sw_archive *file = sw_archive_new();
    sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.1"), *resumed = NEW_OPTIM(q, .rule = "sgd lr=0.1");
    skip_steps(o, p, MOST - 1, (double)NAN);
    skip_steps(resumed, q, MOST / 2, (double)NAN);
    assert_ok(sw_optim_pack(o, file));
    assert_ok(sw_optim_unpack(resumed, file));
    assert_int_equal(sw_optim_steps_skipped(resumed), MOST - 1);
    skip_steps(resumed, q, MOST - 1, (double)NAN);
    expect_too_many(resumed, q, (double)NAN);
    expect_too_many(o, p, (double)NAN); /* saving has not changed it */
    sw_archive_free(file);
    sw_optim_free(o);
    sw_optim_free(resumed);
    sw_params_free(p);
    sw_params_free(q);
}

#define TEST(name) cmocka_unit_test_teardown(name, test_clear)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_hundred_skipped_steps_by_hand_are_an_error),
        TEST(test_taken_step_resets_the_count),
        TEST(test_other_errors_do_not_count),
        TEST(test_message_names_the_cause),
        TEST(test_train_and_steps_by_hand_share_the_count),
        TEST(test_resumed_run_resets_the_count),
    };
    return cmocka_run_group_tests(tests, register_all, NULL);
}
