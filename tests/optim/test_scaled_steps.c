/* The loss scale and the methods of an optimizer. In bf16, which has the range of f32, a run with a scale has the bits
 * of one without, for all rules, estimators, averages and line searches. In f16, an overflow in any evaluation of a
 * step changes nothing but the scale, the count of skips and the sampler. */
#include "scaled_problem.h"

static const char *const estimators[] = {"minibatch batch=2",
                                         "full",
                                         "minibatch batch=4 shards=3",
                                         "sag batch=2",
                                         "saga batch=1",
                                         "svrg batch=2 period=3",
                                         "sam of=minibatch batch=2",
                                         "asam of=full",
                                         "sam of=svrg batch=2 period=3"};
enum { ESTIMATORS = sizeof estimators / sizeof *estimators };

/* Calls `see` for each combination of a rule, an estimator and an average; returns how many of them it accepts. */
static int each_combination(bool (*see)(const sw_optim_options *how)) {
    int accepted = 0;
    for (int r = 0; sw_rule_at(r); r++)
        for (int e = 0; e < ESTIMATORS; e++)
            for (int a = 0; sw_average_at(a); a++) {
                const sw_optim_options how = {.size = sizeof how,
                                              .rule = sw_rule_at(r)->name,
                                              .estimator = estimators[e],
                                              .average = sw_average_at(a)->name,
                                              .clip = (r + e) % 2 ? 3 : 0,
                                              .schedule = "cosine warmup=2",
                                              .total_steps = 20};
                accepted += see(&how);
            }
    return accepted;
}

static void fail_run(const sw_optim_options *how, const char *what) {
    fail_msg("rule %s, estimator %s, average %s: %s", how->rule, how->estimator, how->average, what);
}

/* ---- Bits ---- */

static const char *const of_scale[] = {"optim.loss_scale.scale", "optim.loss_scale.clean", NULL};

enum { SCALED_STEPS = 7 };

static bool scaled_bits(const sw_optim_options *how) {
    static const char *const specs[] = {"none", "1024", "dynamic initial=0x1p10 interval=2"};
    scaled_run r[3];
    sw_archive *a[3];
    double value[3][SCALED_STEPS];
    for (int k = 0; k < 3; k++) {
        sw_optim_options scaled = *how;
        scaled.loss_scale = specs[k];
        scaled_open(&r[k], SW_BF16, &scaled);
        if (!r[k].o) {
            assert_int_equal(k, 0);
            scaled_close(&r[k]);
            return false;
        }
        assert_ok(sw_optim_record_norms(r[k].o, true));
        int taken = 0;
        for (int step = 0; step < SCALED_STEPS; step++) { /* a line search may find no step */
            const sw_status status = sw_optim_minimize(r[k].o, &r[k].p.f, &value[k][step]);
            taken += status == SW_OK;
            if (status != SW_OK && (status != SW_SKIPPED || !strstr("armijo wolfe", how->schedule)))
                fail_run(&scaled, sw_error() ? sw_error() : "skipped");
        }
        assert_true(taken >= 2);
        if (k == 2)
            assert_true(sw_optim_loss_scale(r[k].o) == ldexp(1024, taken / 2));
        assert_memory_equal(value[k], value[0], sizeof value[0]);
        a[k] = scaled_pack(&r[k]);
        sw_norms norms[2];
        assert_ok(sw_optim_norms(r[0].o, NULL, &norms[0]));
        assert_ok(sw_optim_norms(r[k].o, NULL, &norms[1]));
        assert_memory_equal(&norms[0], &norms[1], sizeof norms[0]);
        assert_true(sw_optim_gradient_norm(r[0].o) == sw_optim_gradient_norm(r[k].o));
        const char *difference = archives_difference(a[k], a[0], of_scale);
        if (difference)
            fail_run(&scaled, difference);
    }
    for (int k = 0; k < 3; k++) {
        sw_archive_free(a[k]);
        scaled_close(&r[k]);
    }
    return true;
}

static void test_scaled_runs_have_the_bits_of_plain_ones(void **state) {
    (void)state;
    const int runs = each_combination(scaled_bits);
    print_message("%d combinations with and without a scale\n", runs);
    assert_true(runs >= 500);
}

/* Values, slopes and trial points of line searches, and the gradient that they keep with a wrapper and with
 * clipping. */
static void test_scaled_searches_have_the_bits_of_plain_ones(void **state) {
    (void)state;
    static const struct {
        const char *rule, *estimator;
        double clip;
    } cases[] = {{"sgd lr=1", "full", 0},
                 {"sgd lr=1", "full", 1},
                 {"sgd lr=1", "sam of=full", 0},
                 {"sgd lr=1 weight_decay=0.01", "minibatch batch=2", 0}};
    for (int i = 0; sw_line_search_at(i); i++)
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            const sw_optim_options how = {.size = sizeof how,
                                          .rule = cases[k].rule,
                                          .estimator = cases[k].estimator,
                                          .clip = cases[k].clip,
                                          .average = "none",
                                          .schedule = sw_line_search_at(i)->name};
            if (!scaled_bits(&how))
                fail_run(&how, how.schedule);
        }
}

/* ---- Overflow ---- */

/* Copies of all arrays of a checkpoint: sw_optim_pack does not copy them. */
static sw_archive *copies_of(const scaled_run *r) {
    sw_archive *a = scaled_pack(r), *copies = sw_archive_new();
    for (int i = 0; i < sw_archive_count(a); i++)
        if (sw_archive_at(a, i).array.data)
            assert_ok(sw_archive_put_copy(copies, sw_archive_at(a, i).name, sw_archive_at(a, i).array));
    sw_archive_free(a);
    return copies;
}

/* What a skipped step may change. */
static const char *const of_a_skip[] = {
    "optim.loss_scale.scale", "optim.loss_scale.clean",      "optim.counter.skipped",          "optim.counter.samples",
    "optim.counter.draws",    "optim.counter.sampler_epoch", "optim.counter.sampler_position", NULL};

/* SVRG may have begun a new snapshot. Scalars, which are restored, tell the next step that it is not valid, so that the
 * step never reads it: it is filled with NaN here. */
static void poison_snapshot(const scaled_run *r, const char *const *names) {
    for (; *names; names++) {
        const sw_array slot = sw_optim_slot(r->o, *names);
        for (int64_t i = 0; slot.data && i < sw_array_count(&slot); i++)
            test_set(&slot, i, (double)NAN);
    }
}

static void expect_unchanged(const sw_optim_options *how, const scaled_run *r, const sw_archive *was, bool snapshot) {
    static const char *const slots[] = {"snapshot", "full", NULL};
    const char *except[32];
    char names[4][64];
    int count = 0;
    for (const char *const *name = of_a_skip; *name; name++)
        except[count++] = *name;
    for (int i = 0; snapshot && i < 4; i++) {
        snprintf(names[i], sizeof names[i], "optim.estimator.%s%s", i / 2 ? "inner." : "", slots[i % 2]);
        except[count++] = names[i];
    }
    except[count] = NULL;
    sw_archive *is = copies_of(r);
    const char *difference = archives_difference(is, was, except);
    if (difference)
        fail_run(how, difference);
    assert_int_equal(sw_archive_count(was), sw_archive_count(is));
    sw_archive_free(is);
    if (snapshot)
        poison_snapshot(r, slots);
}

/* The step with the overflow, after `before` steps. */
static void expect_skip(const sw_optim_options *how, scaled_run *r, int before, const sw_archive *was, double norm) {
    expect_unchanged(how, r, was, strstr(how->estimator, "svrg") && before % 3 == 0);
    assert_int_equal(sw_optim_steps_taken(r->o), before);
    assert_int_equal(sw_optim_steps_skipped(r->o), 1);
    assert_true(sw_optim_loss_scale(r->o) == 8); /* halved once */
    assert_true(sw_optim_gradient_norm(r->o) == norm || (isnan(norm) && isnan(sw_optim_gradient_norm(r->o))));
    for (int i = 0; i < 4; i++)
        if (sw_optim_minimize(r->o, &r->p.f, NULL) != SW_OK)
            fail_run(how, sw_error() ? sw_error() : "a step after the overflow was skipped");
}

/* Takes `before` steps, and one in which evaluation number `evaluation` of the objective overflows. Returns false if
 * the step has fewer evaluations. */
static bool overflow_in(const sw_optim_options *how, int before, int evaluation, bool *accepted) {
    scaled_run r;
    bool reached = false;
    scaled_open(&r, SW_F16, how);
    *accepted = r.o != NULL;
    for (int i = 0; r.o && i < before; i++)
        assert_ok(sw_optim_minimize(r.o, &r.p.f, NULL));
    if (r.o) {
        sw_archive *was = copies_of(&r);
        const double norm = sw_optim_gradient_norm(r.o);
        r.p.overflow = r.p.calls + evaluation;
        const sw_status status = sw_optim_minimize(r.o, &r.p.f, NULL);
        reached = r.p.calls >= r.p.overflow;
        if (status != (reached ? SW_SKIPPED : SW_OK))
            fail_run(how, sw_error() ? sw_error() : "the step with the overflow was not skipped");
        if (reached)
            expect_skip(how, &r, before, was, norm);
        sw_archive_free(was);
    }
    scaled_close(&r);
    return reached;
}

static int overflows;

static bool overflows_change_nothing(const sw_optim_options *how) {
    sw_optim_options scaled = *how;
    if (strcmp(how->rule, "lbfgs") == 0)
        scaled.rule = "lbfgs lr=1e-6"; /* dropout makes differences of gradients random, and steps of lr=1 long */
    scaled.loss_scale = "dynamic initial=16";
    bool accepted = true;
    static const int steps[] = {0, 2, 3};
    for (size_t k = 0; k < sizeof steps / sizeof *steps && accepted; k++)
        for (int evaluation = 1; overflow_in(&scaled, steps[k], evaluation, &accepted); evaluation++)
            overflows++;
    return accepted;
}

static void test_overflow_changes_nothing_but_the_scale(void **state) {
    (void)state;
    const int runs = each_combination(overflows_change_nothing);
    print_message("%d combinations, an overflow in each of %d evaluations\n", runs, overflows);
    assert_true(runs >= 500 && overflows >= 3 * runs);
}

/* ---- Line searches and loops ---- */

/* If the gradients at all trial points overflow, the search finds no step, and the reason is the scale. */
static void test_overflow_at_trial_points_reduces_the_scale(void **state) {
    (void)state;
    for (int lasts = 0; lasts < 2; lasts++) {
        const sw_optim_options how = {.size = sizeof how,
                                      .rule = "sgd lr=0.01",
                                      .estimator = "full",
                                      .schedule = "wolfe",
                                      .loss_scale = "dynamic initial=8 interval=2"};
        scaled_run r;
        scaled_open(&r, SW_F16, &how);
        assert_ok(sw_optim_minimize(r.o, &r.p.f, NULL)); /* one clean step */
        r.p.overflow = r.p.calls + 2;                    /* the first trial */
        r.p.lasts = lasts;
        assert_int_equal(sw_optim_minimize(r.o, &r.p.f, NULL), lasts ? SW_SKIPPED : SW_OK);
        assert_true(r.p.calls >= r.p.overflow);
        assert_true(sw_optim_loss_scale(r.o) == (lasts ? 4 : 8)); /* a step with a failed trial is not clean */
        r.p.overflow = 0;
        assert_ok(sw_optim_minimize(r.o, &r.p.f, NULL));
        assert_true(sw_optim_loss_scale(r.o) == (lasts ? 4 : 8));
        assert_ok(sw_optim_minimize(r.o, &r.p.f, NULL));
        assert_true(sw_optim_loss_scale(r.o) == (lasts ? 8 : 16));
        scaled_close(&r);
    }
}

/* Many steps in one loop count as many clean steps. */
static void test_steps_of_loops_are_clean(void **state) {
    (void)state;
    enum { SAMPLES = 10, WIDTH = 3 };
    float rows[SAMPLES * WIDTH];
    int32_t labels[SAMPLES];
    uint64_t random = 4;
    for (int i = 0; i < SAMPLES * WIDTH; i++)
        rows[i] = (float)test_uniform(&random, -1, 1);
    for (int i = 0; i < SAMPLES; i++)
        labels[i] = i % 2;
    float x[2][WIDTH];
    for (int k = 0; k < 2; k++) {
        sw_params *p = sw_params_new(SW_F32, 1);
        const sw_glm_data data = {
            .size = sizeof data, .head = SW_HEAD_LOGISTIC, .scale = 1, .dense = rows, .label = labels};
        assert_non_null(sw_params_add(p, "w", SW_SHAPE(1, WIDTH), NULL));
        assert_ok(sw_params_build(p));
        const sw_objective f = {
            .size = sizeof f, .n = SAMPLES, .params = p, .features = WIDTH, .outputs = 1, .glm = &data};
        sw_optim *o =
            NEW_OPTIM(p, .rule = "sgd lr=0.1", .estimator = "saga", .loss_scale = "dynamic initial=2 interval=5");
        for (int i = 0; i < 28 && k == 0; i++)
            assert_ok(sw_optim_minimize(o, &f, NULL));
        if (k == 1) {
            assert_ok(sw_optim_minimize(o, &f, NULL)); /* the first step binds the objective */
            assert_ok(sw_optim_minimize_steps(o, &f, 27, NULL));
        }
        assert_int_equal(sw_optim_steps_taken(o), 28);
        assert_true(sw_optim_loss_scale(o) == 64); /* 2·2^5 */
        memcpy(x[k], sw_params_x(p), sizeof x[k]);
        sw_optim_free(o);
        sw_params_free(p);
    }
    assert_memory_equal(x[0], x[1], sizeof x[0]);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_no_error_left)
    const struct CMUnitTest tests[] = {
        TEST(test_scaled_runs_have_the_bits_of_plain_ones),
        TEST(test_scaled_searches_have_the_bits_of_plain_ones),
        TEST(test_overflow_changes_nothing_but_the_scale),
        TEST(test_overflow_at_trial_points_reduces_the_scale),
        TEST(test_steps_of_loops_are_clean),
    };
    return cmocka_run_group_tests_name("scaled_steps", tests, NULL, NULL);
}
