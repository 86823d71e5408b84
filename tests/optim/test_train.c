/* sw_train: the same bits as the loop by hand in optim/README.md; every way in which it can end; callbacks; continuing
 * a run that was stopped. */
#include "helpers.h"

#include "train_by_hand.h"

/* Ten samples in batches of three: four steps an epoch. Evaluation number nan_from, and those after it up to
 * nan_to, are NaN. */
typedef struct problem {
    sw_objective f;
    sw_params *params;
    int64_t calls, nan_from, nan_to;
} problem;

static const double target_x[SMALL_DIM] = {1, 0.5, -1, 2, 0, 1, -2, 1, 3, 0.25, 1, -1, 0, 1, 2, -0.5, 1, 1};

/* f_i = ½ |x - (1 + i/10) t|²: no loss below that of the mean. */
static sw_status bowl(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                      void *g) {
    problem *p = user;
    const double *at = x;
    double *gradient = g, sum = 0;
    (void)draw;
    p->calls++;
    if (g)
        memset(g, 0, sizeof(double) * SMALL_DIM);
    for (int64_t k = 0; k < count; k++)
        for (int i = 0; i < SMALL_DIM; i++) {
            double d = at[i] - (1 + (double)ids[k] / 10) * target_x[i];
            sum += 0.5 * d * d;
            if (g)
                gradient[i] += d / (double)count;
        }
    *value = sum / (double)count;
    if (g && p->nan_from && p->calls >= p->nan_from && p->calls <= p->nan_to)
        gradient[3] = (double)NAN;
    return SW_OK;
}

static problem *problem_new(void) {
    problem *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->params = small_params(SW_F64);
    p->f = (sw_objective){.size = sizeof(sw_objective), .n = 10, .params = p->params, .user = p, .gradient = bowl};
    return p;
}

static void problem_free(problem *p) {
    sw_params_free(p->params);
    free(p);
}

enum { PER_EPOCH = 4 };
#define RULE .estimator = "minibatch batch=3", .rule = "sgd lr=0.1 momentum=0.5"
#define MAKE(p, ...) NEW_OPTIM((p)->params, __VA_ARGS__)
#define OPTIONS(...) (&(const sw_train_options){.size = sizeof(sw_train_options), __VA_ARGS__})

/* ---- By hand ---- */

static struct {
    double point[64][SMALL_DIM], loss[64];
    int count;
} noted[2], *note;

static sw_status by_hand_evaluates(const void *point, double mean_loss) {
    memcpy(note->point[note->count], point, sizeof note->point[0]);
    note->loss[note->count++] = mean_loss;
    return SW_OK;
}

static sw_status train_evaluates(void *user, sw_train_state *s) {
    (void)user;
    return by_hand_evaluates(s->point, s->mean_loss);
}

static void test_train_equals_the_loop_by_hand(void **state) {
    (void)state;
    static const struct {
        const char *rule, *schedule, *average;
        int64_t nan_from, nan_to;
    } cases[] = {{"sgd lr=0.1", NULL, NULL, 0, 0},
                 {"adam lr=0.05", "cosine warmup=10%", "ema decay=0.9", 7, 9},
                 {"sgd lr=0.1 momentum=0.9", "step every=1ep", "lawa_queue length=2 start=0 every=1", 1, 1},
                 {"sgd", "armijo", "swa", 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(noted, 0, sizeof noted);
        double x[2][SMALL_DIM];
        for (int hand = 0; hand < 2; hand++) {
            problem *p = problem_new();
            p->nan_from = cases[i].nan_from;
            p->nan_to = cases[i].nan_to;
            sw_optim *o = MAKE(p, .estimator = "minibatch batch=3", .rule = cases[i].rule,
                               .schedule = cases[i].schedule, .average = cases[i].average, .seed = 7);
            note = &noted[hand];
            if (hand)
                assert_ok(train_by_hand(&p->f, o, 6, by_hand_evaluates));
            else
                assert_ok(sw_train(&p->f, o, OPTIONS(.epochs = 6, .evaluate = train_evaluates), NULL));
            memcpy(x[hand], sw_params_x(p->params), sizeof x[hand]);
            assert_int_equal(sw_optim_steps_taken(o) + sw_optim_steps_skipped(o), 24);
            sw_optim_free(o);
            problem_free(p);
        }
        assert_int_equal(noted[0].count, 6);
        assert_memory_equal(&noted[0], &noted[1], sizeof noted[0]);
        assert_memory_equal(x[0], x[1], sizeof x[0]);
    }
}

static char *text_of(const char *path) {
    FILE *f = fopen(path, "rb"); /* tests run in the top folder */
    if (!f)
        fail_msg("%s cannot be read", path);
    char *text = calloc(1, 1 << 16);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    return text;
}

static void test_readme_shows_the_loop_by_hand(void **state) {
    (void)state;
    char *readme = text_of("optim/README.md"), *loop = text_of("tests/optim/train_by_hand.h");
    const char *at = strstr(readme, loop);
    assert_non_null(at);
    assert_memory_equal(at - 5, "```c\n", 5);
    assert_memory_equal(at + strlen(loop), "```", 3);
    free(readme);
    free(loop);
}

/* ---- How long ---- */

static void test_train_runs_the_stated_length(void **state) {
    (void)state;
    static const struct {
        int64_t epochs, steps, of_optim, done;
    } cases[] = {{3, 0, 0, 12}, {0, 7, 0, 7}, {0, 0, 9, 9}, {2, 0, 100, 8}, {0, 5, 100, 5}, {0, 1, 0, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        problem *p = problem_new();
        sw_optim *o = MAKE(p, RULE, .schedule = "linear", .total_steps = cases[i].of_optim);
        sw_train_result r;
        assert_ok(sw_train(&p->f, o, OPTIONS(.epochs = cases[i].epochs, .steps = cases[i].steps), &r));
        assert_int_equal(r.reason, SW_TRAIN_COMPLETE);
        assert_int_equal(r.steps, cases[i].done);
        assert_int_equal(sw_optim_steps_taken(o), cases[i].done);
        assert_int_equal(p->calls, cases[i].done);
        assert_true(r.epochs == (double)cases[i].done / PER_EPOCH);
        assert_true(r.seconds >= 0 && r.skipped == 0);
        assert_true(r.gradient_norm == sw_optim_gradient_norm(o));
        /* The optimizer's own length stays where it was set. */
        double total = (double)(cases[i].of_optim ? cases[i].of_optim : cases[i].done);
        double factor = 1 - (double)(cases[i].done - 1) / total;
        assert_true(fabs(sw_optim_option(o, 0, "lr") - 0.1 * factor) <= 1e-16);
        /* Complete is complete, and to ask for the same again is a mistake. */
        const sw_train_options *again = OPTIONS(.epochs = cases[i].epochs, .steps = cases[i].steps);
        assert_int_equal(sw_train_remaining(&p->f, o, again), 0);
        assert_int_equal(sw_train(&p->f, o, again, &r), SW_ERR_STATE);
        assert_non_null(sw_error());
        assert_memory_equal(sw_error(), "train: nothing is left to do: ", 30);
        sw_clear_error();
        assert_true(r.steps == 0 && r.reason == SW_TRAIN_ERROR && p->calls == cases[i].done);
        sw_optim_free(o);
        problem_free(p);
    }
}

/* The message for a loop that means "one epoch more" each time says what to pass instead. */
static void test_run_with_nothing_left_is_explained(void **state) {
    (void)state;
    problem *p = problem_new();
    sw_optim *o = MAKE(p, RULE);
    sw_train_result r;
    assert_int_equal(sw_train_remaining(&p->f, o, OPTIONS(.epochs = 3)), 12);
    assert_int_equal(sw_train_remaining(&p->f, o, OPTIONS(.steps = 5)), 5);
    assert_true(sw_train_remaining(&p->f, o, NULL) == INT64_MAX);
    assert_int_equal(p->calls, 0);
    assert_ok(sw_train(&p->f, o, OPTIONS(.epochs = 1), &r));
    assert_int_equal(sw_train(&p->f, o, OPTIONS(.epochs = 1), &r), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "train: nothing is left to do: the optimizer has done 4 steps, 1 whole epochs, and the "
                               "length in the options is 1 epochs of the whole run; for 1 more give epochs = 2");
    assert_int_equal(r.reason, SW_TRAIN_ERROR);
    assert_ok(sw_train(&p->f, o, OPTIONS(.epochs = 2), &r)); /* as the message says */
    assert_true(r.steps == 4 && r.reason == SW_TRAIN_COMPLETE && p->calls == 8);
    assert_int_equal(sw_train(&p->f, o, OPTIONS(.steps = 3), &r), SW_ERR_STATE);
    expect_error(SW_ERR_STATE,
                 "train: nothing is left to do: the optimizer has done 8 steps, and the length in the options "
                 "is 3 steps of the whole run; for 3 more give steps = 11");
    assert_ok(sw_train(&p->f, o, OPTIONS(.steps = 11), &r));
    assert_int_equal(r.steps, 3);
    assert_ok(sw_optim_set_total_steps(o, 11));
    assert_int_equal(sw_train(&p->f, o, NULL, &r), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "train: nothing is left to do: the optimizer has done 11 steps, and the length that the "
                               "optimizer has is 11 steps of the whole run; for 11 more give steps = 22");
    assert_int_equal(sw_train_remaining(&p->f, o, NULL), 0);
    assert_int_equal(sw_train_remaining(&p->f, NULL, NULL), -1);
    expect_error(SW_ERR_ARGUMENT, "train_remaining: the optimizer is NULL");
    assert_int_equal(sw_train_remaining(&p->f, o, OPTIONS(.epochs = -1)), -1);
    expect_error(SW_ERR_ARGUMENT, "train: -1 epochs, 0 steps; 0 (not given) or more is needed");
    sw_optim_free(o);
    problem_free(p);
}

static double rate_after(sw_optim *o, problem *p, const sw_train_options *how) {
    assert_ok(sw_train(&p->f, o, how, NULL));
    return sw_optim_option(o, 0, "lr");
}

/* Schedules have the length that was asked for last; one that the program itself has set stays. */
static void test_longer_runs_have_longer_schedules(void **state) {
    (void)state;
    for (int loaded = 0; loaded < 2; loaded++) { /* one that comes from a file is as one of an earlier call */
        problem *p = problem_new();
        sw_optim *o = MAKE(p, RULE, .schedule = "linear");
        /* Step t (from 0) of T has 0.1 (1 - t/T); each side rounds four times, by 1.1e-16 of at most 0.1. */
        assert_true(fabs(rate_after(o, p, OPTIONS(.epochs = 2)) - 0.1 * (1 - 7.0 / 8)) <= 1e-16);
        if (loaded) {
            sw_archive *a = sw_archive_new();
            assert_ok(sw_optim_pack(o, a));
            sw_optim *again = MAKE(p, RULE, .schedule = "linear");
            assert_ok(sw_optim_bind(again, &p->f));
            assert_ok(sw_optim_unpack(again, a));
            sw_archive_free(a);
            sw_optim_free(o);
            o = again;
            assert_int_equal(sw_train_remaining(&p->f, o, NULL), 0); /* the file's length */
        }
        assert_int_equal(sw_train_remaining(&p->f, o, OPTIONS(.epochs = 3)), 4);
        assert_true(fabs(rate_after(o, p, OPTIONS(.epochs = 3)) - 0.1 * (1 - 11.0 / 12)) <= 1e-16);
        assert_ok(sw_optim_set_total_steps(o, 100));
        assert_true(fabs(rate_after(o, p, OPTIONS(.epochs = 4)) - 0.1 * (1 - 15.0 / 100)) <= 1e-16);
        sw_optim_free(o);
        problem_free(p);
    }
    /* A call without a length after one with 8 steps: the 8 are not the optimizer's own. */
    problem *p = problem_new();
    sw_optim *o = MAKE(p, RULE);
    sw_train_result r;
    assert_ok(sw_train(&p->f, o, OPTIONS(.epochs = 2), &r));
    assert_ok(sw_train(&p->f, o, OPTIONS(.goal = SW_GOAL_BELOW, .target = 1e9), &r));
    assert_true(r.reason == SW_TRAIN_TARGET && r.steps == PER_EPOCH);
    sw_optim_free(o);
    problem_free(p);
}

static sw_status whole_estimate(sw_estimate *e, const void *x, void *g) {
    static const int64_t ids[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    return sw_estimate_gradient(e, x, ids, 10, &e->value, g);
}
static const sw_estimator whole = {
    .size = sizeof(sw_estimator), .name = "whole", .flags = SW_ESTIMATOR_DIRECT, .estimate = whole_estimate};

/* An estimator without batches: a step is an epoch. */
static void test_step_without_batches_is_an_epoch(void **state) {
    (void)state;
    problem *p = problem_new();
    sw_optim *o = MAKE(p, .estimator = "whole", .rule = "sgd lr=0.5");
    sw_train_result r;
    assert_ok(sw_train(&p->f, o, OPTIONS(.epochs = 5), &r));
    assert_true(r.steps == 5 && r.epochs == 5);
    sw_optim_free(o);
    problem_free(p);
}

/* ---- Callbacks ---- */

typedef struct diary {
    char text[2000];
    int64_t stop_at;  /* a callback asks to stop after this step */
    const char *who;  /* that one */
    sw_status status; /* … or returns this */
    double metric;    /* `evaluate` sets it; 0: leaves it */
    volatile sig_atomic_t flag;
    int64_t flag_at;
    double loss_sum, seconds;
    int64_t samples; /* of those losses: three a step, and one in the epoch's last */
} diary;

static sw_status write_down(diary *d, const char *who, sw_train_state *s) {
    size_t used = strlen(d->text);
    snprintf(d->text + used, sizeof d->text - used, "%s%s%lld", used ? " " : "", who, (long long)s->step);
    assert_true((s->point != NULL) == (*who == 'e'));
    assert_true(s->epoch == s->step / s->steps_per_epoch && s->steps_per_epoch == PER_EPOCH);
    assert_true(s->seconds >= d->seconds && s->period_seconds <= s->seconds);
    assert_int_equal(sw_optim_steps_taken(s->optim) + sw_optim_steps_skipped(s->optim), s->step);
    d->seconds = s->seconds;
    if (s->step == d->flag_at)
        d->flag = 1;
    if (s->step == d->stop_at && *who == *d->who) {
        s->stop = d->status == SW_OK;
        return d->status;
    }
    return SW_OK;
}

static sw_status on_log(void *user, sw_train_state *s) {
    diary *d = user;
    assert_true(isnan(s->loss) == s->skipped);
    if (!s->skipped) {
        const int64_t count = s->step % PER_EPOCH ? 3 : 1;
        assert_true(sw_optim_loss_weight(s->optim) == (double)count);
        d->loss_sum += s->loss * (double)count;
        d->samples += count;
        /* losses are above 0: up to 16 of them, each multiplied, added and divided */
        assert_true(fabs(s->mean_loss / (d->loss_sum / (double)d->samples) - 1) <= 48 * 0x1p-53);
        assert_true(s->gradient_norm == sw_optim_gradient_norm(s->optim));
    }
    return write_down(d, "l", s);
}

static sw_status on_evaluate(void *user, sw_train_state *s) {
    diary *d = user;
    assert_ptr_equal(s->point, sw_optim_point(s->optim));
    assert_true(s->metric == s->mean_loss);
    d->loss_sum = 0;
    d->samples = 0;
    if (d->metric != 0)
        s->metric = d->metric * (double)s->step;
    return write_down(d, "e", s);
}

static sw_status on_progress(void *user, sw_train_state *s) {
    return write_down(user, "p", s);
}

#define ALL_CALLBACKS(d) .user = &(d), .log = on_log, .evaluate = on_evaluate, .progress = on_progress

static void told(const char *expected, const sw_train_options *how, diary *d, sw_train_reason reason) {
    problem *p = problem_new();
    p->nan_from = 2;
    p->nan_to = 2;
    sw_optim *o = MAKE(p, RULE, .average = "ema decay=0.5");
    sw_train_result r;
    sw_status status = sw_train(&p->f, o, how, &r);
    assert_int_equal(status, d->status);
    assert_string_equal(d->text, expected);
    assert_int_equal(r.reason, reason);
    sw_optim_free(o);
    problem_free(p);
}

static sw_status on_sparse_log(void *user, sw_train_state *s) {
    return write_down(user, "l", s);
}

static void test_callbacks_are_called_in_order(void **state) {
    (void)state;
    diary d = {.who = ""};
    told("l1 l2 l3 l4 p4 e4 l5 l6 l7 l8 p8 e8", OPTIONS(ALL_CALLBACKS(d), .epochs = 2), &d, SW_TRAIN_COMPLETE);
    d = (diary){.who = ""};
    told("l3 p4 l6 e6 p8 l9 p10 e10", /* each epoch, every so many, and at the end */
         OPTIONS(.user = &d, .progress = on_progress, .evaluate = on_evaluate, .log = on_sparse_log, .steps = 10,
                 .log_every = 3, .evaluate_every = 6),
         &d, SW_TRAIN_COMPLETE);
    d = (diary){.who = ""};
    told("p2 p4 p6 p7", OPTIONS(.user = &d, .progress = on_progress, .steps = 7, .progress_every = 2), &d,
         SW_TRAIN_COMPLETE);
}

static void test_callbacks_stop_a_run(void **state) {
    (void)state;
    diary d = {.who = "l", .stop_at = 6}; /* what is cut short is not evaluated */
    told("l1 l2 l3 l4 p4 e4 l5 l6 p6", OPTIONS(ALL_CALLBACKS(d), .epochs = 4), &d, SW_TRAIN_CALLBACK);
    d = (diary){.who = "e", .stop_at = 4};
    told("l1 l2 l3 l4 p4 e4", OPTIONS(ALL_CALLBACKS(d)), &d, SW_TRAIN_CALLBACK); /* else without an end */
    d = (diary){.who = "p", .stop_at = 8};
    told("l1 l2 l3 l4 p4 e4 l5 l6 l7 l8 p8 e8", OPTIONS(ALL_CALLBACKS(d), .epochs = 4), &d, SW_TRAIN_CALLBACK);
    static const char *const who[] = {"l", "e", "p"};
    for (int i = 0; i < 3; i++) { /* an error is handed on */
        d = (diary){.who = who[i], .stop_at = 4, .status = SW_ERR_USER};
        told(i == 0   ? "l1 l2 l3 l4"
             : i == 1 ? "l1 l2 l3 l4 p4 e4"
                      : "l1 l2 l3 l4 p4",
             OPTIONS(ALL_CALLBACKS(d), .epochs = 4), &d, SW_TRAIN_ERROR);
        static const char *const messages[] = {"train callback: log returned status 11 without a message",
                                               "train callback: evaluate returned status 11 without a message",
                                               "train callback: progress returned status 11 without a message"};
        expect_error(SW_ERR_USER, messages[i]);
    }
}

/* ---- Other ends ---- */

static void test_target_ends_the_run(void **state) {
    (void)state;
    diary d = {.who = "", .metric = 0.25}; /* the metric is a quarter of the step's number */
    told("e4 e8 e12", OPTIONS(.user = &d, .evaluate = on_evaluate, .epochs = 9, .goal = SW_GOAL_ABOVE, .target = 3), &d,
         SW_TRAIN_TARGET);
    d = (diary){.who = "", .metric = -1};
    told("e4 e8", OPTIONS(.user = &d, .evaluate = on_evaluate, .goal = SW_GOAL_BELOW, .target = -7), &d,
         SW_TRAIN_TARGET);
    d = (diary){.who = "", .metric = 1}; /* reached in the last step */
    told("e4 e8", OPTIONS(.user = &d, .evaluate = on_evaluate, .epochs = 2, .goal = SW_GOAL_ABOVE, .target = 8), &d,
         SW_TRAIN_TARGET);
    d = (diary){.who = "", .metric = (double)NAN};
    told("e4 e8", OPTIONS(.user = &d, .evaluate = on_evaluate, .epochs = 2, .goal = SW_GOAL_ABOVE, .target = -1e300),
         &d, SW_TRAIN_COMPLETE);
    /* Without `evaluate`: the mean loss of an epoch. */
    problem *p = problem_new();
    sw_optim *o = MAKE(p, RULE);
    sw_train_result r;
    assert_ok(sw_train(&p->f, o, OPTIONS(.epochs = 100, .goal = SW_GOAL_BELOW, .target = 10), &r));
    assert_int_equal(r.reason, SW_TRAIN_TARGET);
    assert_true(r.steps % PER_EPOCH == 0 && r.steps < 100 && r.metric <= 10 && r.metric == r.mean_loss);
    sw_optim_free(o);
    problem_free(p);
}

static void test_tolerance_ends_the_run(void **state) {
    (void)state;
    problem *p = problem_new();
    sw_optim *o = MAKE(p, .estimator = "whole", .rule = "sgd lr=0.5");
    diary d = {.who = ""};
    sw_train_result r;
    /* x - mean halves in each step: ‖g‖ of step t is ‖g‖ of the first over 2^(t-1). */
    assert_ok(sw_train(&p->f, o, OPTIONS(.steps = 1), &r));
    const double first = r.gradient_norm;
    int64_t steps = 1;
    for (double norm = first; norm > 1e-3; norm /= 2)
        steps++;
    assert_ok(sw_train(&p->f, o, OPTIONS(.steps = 1000, .tolerance = 1e-3, .user = &d), &r));
    assert_int_equal(r.reason, SW_TRAIN_TOLERANCE);
    assert_int_equal(sw_optim_steps_taken(o), steps);
    assert_true(r.gradient_norm <= 1e-3 && r.gradient_norm > 4e-4);
    sw_optim_free(o);
    problem_free(p);
}

/* An estimator's own test ends the run too. */
static void test_converged_estimator_ends_the_run(void **state) {
    (void)state;
    problem *p = problem_new();
    sw_optim *o = MAKE(p, .estimator = "sag batch=1 tol=1e-6", .rule = "sgd lr=0.1");
    sw_train_result r;
    assert_ok(sw_train(&p->f, o, OPTIONS(.steps = 100000), &r));
    assert_int_equal(r.reason, SW_TRAIN_TOLERANCE);
    assert_true(r.steps < 10000 && sw_optim_scalar(o, -1, "norm") <= 1e-6);
    sw_optim_free(o);
    problem_free(p);
}

#define NONFINITE_GRADIENT                                                                                        \
    "because the gradient contained Inf or NaN: look for them in the data, take a smaller lr, or set clip; with " \
    "SW_CHECK on, the tape names the operation that makes them"

/* A skipped step leaves the learning rate of the last one, whatever is scheduled. */
static void test_lr_after_a_skipped_step_is_that_of_the_next(void **state) {
    (void)state;
    problem *p = problem_new();
    p->nan_from = p->nan_to = 3;
    sw_optim *o = MAKE(p, .estimator = "minibatch batch=3", .rule = "sgd lr=0.5 weight_decay=0.25",
                       .schedule = "exponential factor=0.5 per=1; exponential factor=0.5 per=1 on=weight_decay");
    for (int i = 0; i < 2; i++)
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
    assert_int_equal(sw_optim_minimize(o, &p->f, NULL), SW_SKIPPED);
    assert_true(sw_optim_option(o, 0, "lr") == 0.25);
    assert_ok(sw_optim_minimize(o, &p->f, NULL));
    assert_true(sw_optim_option(o, 0, "lr") == 0.125 && sw_optim_option(o, 0, "weight_decay") == 0.0625);
    sw_optim_free(o);
    problem_free(p);
}

/* Limits below and above the optimizer's own, 100. */
static void test_too_many_skipped_steps_end_the_run(void **state) {
    (void)state;
    static const int64_t limits[] = {0, 1, 5, 130};
    for (int i = 0; i < 4; i++) {
        const int64_t limit = limits[i] ? limits[i] : 100;
        problem *p = problem_new();
        p->nan_from = 3;
        p->nan_to = 1000;
        sw_optim *o = MAKE(p, RULE);
        sw_train_result r;
        char text[256];
        snprintf(text, sizeof text, "optimizer: %d steps in a row were skipped, " NONFINITE_GRADIENT, (int)limit);
        assert_int_equal(sw_train(&p->f, o, OPTIONS(.epochs = 100, .most_skipped = limits[i]), &r), SW_ERR_NONFINITE);
        expect_error(SW_ERR_NONFINITE, text);
        assert_int_equal(r.reason, SW_TRAIN_SKIPPED);
        assert_true(r.steps == 2 && r.skipped == limit && isfinite(r.gradient_norm));
        sw_optim_free(o);
        /* One fewer in a row is none of that. */
        sw_params_reinitialize(p->params);
        p->calls = 0;
        p->nan_to = 3 + limit - 2;
        o = MAKE(p, RULE);
        assert_ok(sw_train(&p->f, o, OPTIONS(.epochs = 50, .most_skipped = limits[i]), &r));
        assert_true(r.skipped == limit - 1 && r.steps == 200 - r.skipped && r.reason == SW_TRAIN_COMPLETE);
        sw_optim_free(o);
        problem_free(p);
    }
}

/* A run without a single step did not train: no success, however short it was. */
static void test_run_of_skipped_steps_is_no_success(void **state) {
    (void)state;
    problem *p = problem_new();
    p->nan_from = 1;
    p->nan_to = 1000;
    sw_optim *o = MAKE(p, RULE);
    sw_train_result r;
    assert_int_equal(sw_train(&p->f, o, OPTIONS(.steps = 6), &r), SW_ERR_NONFINITE);
    expect_error(SW_ERR_NONFINITE, "train: all 6 steps were skipped, " NONFINITE_GRADIENT);
    assert_true(r.reason == SW_TRAIN_SKIPPED && r.steps == 0 && r.skipped == 6);
    sw_optim_free(o);
    /* After good steps of an earlier call too. */
    sw_params_reinitialize(p->params);
    p->calls = 0;
    p->nan_from = 3;
    o = MAKE(p, RULE);
    assert_ok(sw_train(&p->f, o, OPTIONS(.steps = 2), &r));
    assert_ok(sw_optim_set_total_steps(o, 9));
    assert_int_equal(sw_train(&p->f, o, OPTIONS(.steps = 9), &r), SW_ERR_NONFINITE);
    sw_clear_error();
    assert_true(r.reason == SW_TRAIN_SKIPPED && r.steps == 0 && r.skipped == 7);
    sw_optim_free(o);
    problem_free(p);
}

/* ---- Stopped by a flag and resumed: the bits of an uninterrupted run ---- */

static void test_stopped_run_resumes_with_the_same_bits(void **state) {
    (void)state;
    problem *p = problem_new(), *q = problem_new();
    p->nan_from = p->nan_to = q->nan_from = q->nan_to = 5;
    diary d = {.who = "", .flag_at = 6}, e = {.who = ""};
#define RUN RULE, .schedule = "cosine", .average = "polyak start=2"
    sw_optim *o = MAKE(p, RUN), *whole_run = MAKE(q, RUN);
    const sw_train_options how = {.size = sizeof how, ALL_CALLBACKS(d), .epochs = 3, .stop = &d.flag},
                           same = {.size = sizeof how, ALL_CALLBACKS(e), .epochs = 3};
    sw_train_result r;
    assert_ok(sw_train(&p->f, o, &how, &r));
    assert_int_equal(r.reason, SW_TRAIN_STOP);
    assert_string_equal(d.text, "l1 l2 l3 l4 p4 e4 l5 l6");
    assert_true(r.steps == 5 && r.skipped == 1 && r.epochs == 1.5);
    assert_ok(sw_train(&p->f, o, &how, &r)); /* the flag is still up */
    assert_true(r.reason == SW_TRAIN_STOP && r.steps == 0 && r.epochs == 0);
    d.flag = 0;
    d.seconds = 0;
    d.flag_at = 0; /* the sum of the losses goes on: mean_loss is of all steps since the last evaluation */
    assert_ok(sw_train(&p->f, o, &how, &r));
    assert_int_equal(r.reason, SW_TRAIN_COMPLETE);
    assert_true(r.steps == 6 && r.epochs == 1.5);
    assert_ok(sw_train(&q->f, whole_run, &same, &r));
    assert_string_equal(d.text, e.text);
    assert_memory_equal(sw_params_x(p->params), sw_params_x(q->params), params_bytes(p->params));
    assert_memory_equal(sw_optim_point(o), sw_optim_point(whole_run), params_bytes(p->params));
    sw_optim_free(o);
    sw_optim_free(whole_run);
    problem_free(p);
    problem_free(q);
}

typedef struct means {
    double loss[3], norm[3 * PER_EPOCH]; /* by epoch; by step */
    int evaluations;
    int64_t flag_at;
    volatile sig_atomic_t flag;
} means;

static sw_status on_means_log(void *user, sw_train_state *s) {
    means *m = user;
    m->norm[s->step - 1] = s->gradient_norm;
    m->flag = s->step == m->flag_at;
    return SW_OK;
}

static sw_status on_means(void *user, sw_train_state *s) {
    means *m = user;
    m->loss[m->evaluations++] = s->mean_loss;
    return SW_OK;
}

/* Saved after any step, and loaded by another optimizer: every epoch's mean loss has the bits of a run that was not
 * interrupted, and so has every step's gradient norm, which is that of the step before where one is skipped. */
static void test_saved_run_keeps_its_mean_loss(void **state) {
    (void)state;
    means expected = {.flag_at = -1};
    for (int64_t at = 0; at < 3 * PER_EPOCH; at++) {
        problem *p = problem_new(), *q = problem_new();
        means parts = {.flag_at = at ? at : -1};
        sw_optim *o = MAKE(p, RULE), *next = MAKE(q, RULE);
        p->nan_from = q->nan_from = 2 * PER_EPOCH + 2;
        p->nan_to = q->nan_to = 3 * PER_EPOCH - 1;
        const sw_train_options how = {.size = sizeof how,
                                      .epochs = 3,
                                      .user = &parts,
                                      .log = on_means_log,
                                      .evaluate = on_means,
                                      .stop = &parts.flag};
        assert_ok(sw_train(&p->f, o, &how, NULL));
        if (at > 0) {
            sw_archive *a = sw_archive_new();
            assert_ok(sw_optim_pack(o, a));
            assert_ok(sw_optim_bind(next, &q->f));
            assert_ok(sw_optim_unpack(next, a));
            sw_archive_free(a);
            parts.flag = 0, parts.flag_at = -1;
            q->calls = p->calls;
            assert_ok(sw_train(&q->f, next, &how, NULL));
        } else {
            expected = parts;
        }
        assert_int_equal(parts.evaluations, 3);
        assert_memory_equal(parts.loss, expected.loss, sizeof expected.loss);
        assert_memory_equal(parts.norm, expected.norm, sizeof expected.norm);
        assert_true(expected.norm[3 * PER_EPOCH - 2] == expected.norm[2 * PER_EPOCH]);
        sw_optim_free(o);
        sw_optim_free(next);
        problem_free(p);
        problem_free(q);
    }
}

/* ---- What is refused ---- */

static void refused(problem *p, sw_optim *o, sw_train_options how, const char *text) {
    sw_train_result r;
    how.size = sizeof how;
    assert_int_equal(sw_train(&p->f, o, &how, &r), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, text);
    assert_int_equal(r.reason, SW_TRAIN_ERROR);
    assert_int_equal(p->calls, 0);
}
#define REFUSED(text, ...) refused(p, o, (sw_train_options){__VA_ARGS__}, text)

static void test_train_refuses_wrong_options(void **state) {
    (void)state;
    problem *p = problem_new();
    sw_optim *o = MAKE(p, RULE);
    const char *const endless =
        "train: no condition would end the run: set epochs, steps, a target, a tolerance, a stop flag "
        "or a callback";
    REFUSED(endless, .epochs = 0);
    assert_int_equal(sw_train(&p->f, o, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, endless);
    REFUSED("train: 2 epochs and 3 steps; set only one of the two", .epochs = 2, .steps = 3);
    REFUSED("train: -1 epochs, 0 steps; 0 (not given) or more is needed", .epochs = -1);
    REFUSED("train: 4611686018427387904 epochs of 4 steps are too many", .epochs = (int64_t)1 << 62);
    REFUSED("train: tolerance = nan; 0 (never) or more is needed", .epochs = 1, .tolerance = (double)NAN);
    REFUSED("train: log_every, evaluate_every, progress_every and most_skipped must be 0 (the default) or more",
            .epochs = 1, .log_every = -1);
    REFUSED("train: goal = 2, target = nan; a target needs SW_GOAL_BELOW or SW_GOAL_ABOVE", .epochs = 1,
            .goal = SW_GOAL_ABOVE, .target = (double)NAN);
    sw_train_options odd = {.size = 3, .epochs = 1};
    assert_int_equal(sw_train(&p->f, o, &odd, NULL), SW_ERR_ARGUMENT);
    char text[128];
    snprintf(text, sizeof text, "train: options.size is 3; sizeof(sw_train_options) is %zu", sizeof odd);
    expect_error(SW_ERR_ARGUMENT, text);
    assert_int_equal(sw_train(&p->f, NULL, OPTIONS(.epochs = 1), NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "train: the optimizer is NULL");
    assert_int_equal(sw_train(NULL, o, OPTIONS(.epochs = 1), NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_bind: the objective is NULL");
    sw_optim_free(o);
    problem_free(p);
}

/* Every request for memory fails once: an error, and nothing leaks. */
static void test_train_survives_every_failed_allocation(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    for (long long k = 1;; k++) {
        problem *p = problem_new();
        sw_optim *o = MAKE(p, .estimator = "minibatch batch=3", .schedule = "wolfe", .average = "lawa_queue");
        sw_train_result r;
        test_allocator_fail(&a, k, false);
        sw_status status = sw_train(&p->f, o, OPTIONS(.epochs = 3), &r);
        bool failed = atomic_load(&a.failed) > 0;
        test_allocator_fail(&a, 0, false);
        assert_int_equal(status, failed ? SW_ERR_MEMORY : SW_OK);
        assert_int_equal(r.reason, failed ? SW_TRAIN_ERROR : SW_TRAIN_COMPLETE);
        sw_clear_error();
        sw_optim_free(o);
        problem_free(p);
        if (!failed)
            break;
        assert_true(k < 200);
    }
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

static int set_up(void **state) {
    (void)state;
    return sw_estimator_register(&whole) != SW_OK;
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_train_equals_the_loop_by_hand),
        TEST(test_readme_shows_the_loop_by_hand),
        TEST(test_train_runs_the_stated_length),
        TEST(test_step_without_batches_is_an_epoch),
        TEST(test_run_with_nothing_left_is_explained),
        TEST(test_longer_runs_have_longer_schedules),
        TEST(test_callbacks_are_called_in_order),
        TEST(test_callbacks_stop_a_run),
        TEST(test_target_ends_the_run),
        TEST(test_tolerance_ends_the_run),
        TEST(test_converged_estimator_ends_the_run),
        TEST(test_lr_after_a_skipped_step_is_that_of_the_next),
        TEST(test_too_many_skipped_steps_end_the_run),
        TEST(test_run_of_skipped_steps_is_no_success),
        TEST(test_stopped_run_resumes_with_the_same_bits),
        TEST(test_saved_run_keeps_its_mean_loss),
        TEST(test_train_refuses_wrong_options),
        TEST(test_train_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests_name("train", tests, set_up, NULL);
}
