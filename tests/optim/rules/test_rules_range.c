/* Gradients at the limits of the range of an element type: a step equals that of the same rule in f64, or it is refused
 * before anything has changed. The test runs every registered rule. */
#include "rule_specs.h"

#include <math.h>

/* ---- One parameter under a rule ---- */

typedef struct run {
    sw_params *p;
    sw_optim *o;
} run;

enum { LARGE_AT = 13 }; /* an element of "b" */

/* Whether the step for one element depends on all elements by the rounding errors of sums: by the eigenvectors of
 * Shampoo's factors, which are singular after a few gradients, and by the inner products of L-BFGS. All other elements
 * of x and of the gradient are then 0, so that the factors are diagonal, and the sums exact. */
static bool mixes_elements(const char *spec) {
    return strcmp(rule_of_spec(spec)->name, "shampoo") == 0 || rule_of_spec(spec)->unit == SW_UNIT_VECTOR;
}

static run run_new(sw_dtype type, const char *spec) {
    run r = {.p = small_params(type)};
    r.o = sw_optim_new(r.p, spec);
    if (!r.o)
        fail_msg("%s: %s", spec, sw_error());
    for (int i = 0; i < SMALL_DIM; i++)
        if (mixes_elements(spec) && i != LARGE_AT)
            vec_set(type, sw_params_x(r.p), i, 0);
    sw_params_mark_changed(r.p);
    return r;
}

static void run_free(run *r) {
    sw_optim_free(r->o);
    sw_params_free(r->p);
}

static double run_x(const run *r, int i) {
    return vec_get(sw_params_type(r->p), sw_params_x(r->p), i);
}

/* x, all slots of the rule, scalars, the number of steps. */
static uint64_t run_hash(const run *r, const sw_rule *rule) {
    const int64_t steps = sw_optim_steps_taken(r->o);
    uint64_t hash = test_hash(TEST_HASH, sw_params_x(r->p), params_bytes(r->p));
    hash = test_hash(hash, &steps, sizeof steps);
    for (int k = 0; k < sw_params_count(r->p); k++)
        for (int i = 0; rule->slots && rule->slots[i].name; i++) {
            sw_array a = sw_optim_param_slot(r->o, sw_params_at(r->p, k), rule->slots[i].name);
            if (a.data)
                hash = test_hash(hash, a.data, test_bytes(&a));
        }
    for (int i = 0; rule->scalars && rule->scalars[i]; i++) {
        double value = sw_optim_scalar(r->o, 0, rule->scalars[i]);
        hash = test_hash(hash, &value, sizeof value);
    }
    return hash;
}

/* Every rule, with each option that may choose another loop or state, and combinations of those. */
static rule_specs specs;

static int collect_specs(void **state) {
    static const char *const combined[] = {"sgd momentum=0.9 nesterov",
                                           "fista mu=1 low=-1e38",
                                           "sgd momentum=0.9 l1=0.5 low=-1e38",
                                           "rmsprop centered momentum=0.9 eps_in_root",
                                           "adagrad initial=0.1",
                                           "nadam decoupled weight_decay=0.1",
                                           "nadamp p=3",
                                           "nadamp p=2 eps_in_root",
                                           "nadamp p=4",
                                           "nadamp p=1",
                                           "radam beta2=0.5",
                                           "radam decoupled weight_decay=0.1",
                                           "amsgrad decoupled weight_decay=0.1",
                                           "asgd t0=2",
                                           "amos c=0"};
    (void)state;
    rule_specs_add_all(&specs, true);
    for (size_t i = 0; i < sizeof combined / sizeof *combined; i++)
        rule_specs_add(&specs, combined[i]);
    for (int i = 0; i < specs.count; i++) {
        const size_t length = strlen(specs.text[i]);
        snprintf(specs.text[i] + length, RULE_SPEC_LENGTH - length, " lr=0.01");
    }
    return 0;
}

/* ---- Large gradients ---- */

enum { LARGE_STEPS = 6 };

/* Step t's gradient: `large` at first, then such that the state must still be right. L-BFGS stores differences of
 * gradients; that of the first two must not consist of rounding errors. */
static void large_gradient(double g[SMALL_DIM], const char *spec, double large, int t) {
    for (int i = 0; i < SMALL_DIM; i++)
        g[i] = mixes_elements(spec) ? 0 : 0.5 * (i - 7);
    const double second = rule_of_spec(spec)->unit == SW_UNIT_VECTOR ? large / 2 : large;
    g[LARGE_AT] = (double)(float)(t == 0 ? large : t == 1 ? second : t % 2 ? large / 64 : large / 8);
}

/* A step of f32 is a chain of some 20 roundings of its own size, and the states behind it are means
 * whose errors, relative to themselves, are at most one more rounding a step; with powers and
 * centered variances, which lose up to 7 bits by the difference v - ḡ² of the first steps, 2^-24 ·
 * 2^12 is an upper bound. Then x is rounded. */
static double large_bound(double moved, double x) {
    return 0x1p-12 * moved + LARGE_STEPS * 0x1p-23 * fabs(x);
}

static bool large_step(run *r, const char *spec, const double *g) {
    const sw_rule *rule = rule_of_spec(spec);
    const uint64_t before = run_hash(r, rule);
    sw_status status = step_with(r->o, r->p, g);
    if (status == SW_OK)
        return true;
    if (status != SW_ERR_NONFINITE || !sw_error() || !strstr(sw_error(), rule->name) ||
        (rule->reach && !strstr(sw_error(), "parameter b ")) || !strstr(sw_error(), "x is unchanged"))
        fail_msg("%s: status %d: %s", spec, (int)status, sw_error() ? sw_error() : "-");
    sw_clear_error();
    if (run_hash(r, rule) != before)
        fail_msg("%s: a step that was refused has moved something", spec);
    return false;
}

/* The largest power of 2 that passed for all steps. */
static double largest_accepted(const char *spec) {
    double accepted = 0;
    for (double large = 0x1p20; large < 0x1p128; large *= large < 0x1p50 ? 1024 : 2) {
        run r = run_new(SW_F32, spec), exact = run_new(SW_F64, spec);
        bool all = true;
        double moved = 0, before = run_x(&exact, LARGE_AT);
        for (int t = 0; t < LARGE_STEPS && all; t++) {
            double g[SMALL_DIM];
            large_gradient(g, spec, large, t);
            all = large_step(&r, spec, g);
            assert_ok(step_with(exact.o, exact.p, g));
            moved += fabs(run_x(&exact, LARGE_AT) - before);
            before = run_x(&exact, LARGE_AT);
            for (int i = 0; i < SMALL_DIM && all; i++)
                if (!isfinite(run_x(&r, i)))
                    fail_msg("%s: x[%d] is %g after a gradient of %g", spec, i, run_x(&r, i), large);
            if (all && !(fabs(run_x(&r, LARGE_AT) - before) <= large_bound(moved, before)))
                fail_msg("%s, step %d: x is %.9g after a gradient of %g, and %.9g in f64", spec, t, run_x(&r, LARGE_AT),
                         large, before);
        }
        accepted = all ? large : accepted;
        run_free(&r);
        run_free(&exact);
    }
    return accepted;
}

static void test_large_gradients_move_right_or_are_refused(void **state) {
    (void)state;
    for (int i = 0; i < specs.count; i++)
        largest_accepted(specs.text[i]);
}

/* What f32 can hold is accepted: (1 - β) g² below 3.4e38 in a mean, g² in a sum, g itself where
 * nothing is squared. A second such step adds as much. */
static void test_squares_that_f32_holds_are_accepted(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        double least; /* accepted at least */
    } cases[] = {
        {"adam", 3e20},    {"adamw", 3e20},  {"nadam", 3e20},   {"nadamw", 3e20},           {"amsgrad", 3e20},
        {"nadamp", 3e20},  {"radam", 3e20},  {"rmsprop", 1e20}, {"rmsprop centered", 1e20}, {"adadelta", 3e19},
        {"adagrad", 1e19}, {"adamax", 1e37}, {"lion", 1e37},    {"generalized_adam", 3e20},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double accepted = largest_accepted(cases[i].spec);
        if (!(2 * accepted > cases[i].least))
            fail_msg("%s: gradients above %g are refused", cases[i].spec, accepted);
    }
}

/* One gradient of 3e19 and then 1. The later ones do not count beside it, so that with the large
 * one factored out m̂ₜ/√v̂ₜ = 0.1·0.9^(t-1)/(1 - 0.9ᵗ) · √((1 - 0.999ᵗ)/(0.001·0.999^(t-1))). Each
 * step is at most 0.1 of x below 1; 32 half units of 1 a step bound its roundings. */
static void test_adam_continues_after_a_large_gradient(void **state) {
    (void)state;
    run r = run_new(SW_F32, "adam lr=0.1");
    double x = run_x(&r, LARGE_AT);
    for (int t = 1; t <= 20; t++) {
        double g[SMALL_DIM] = {0};
        g[LARGE_AT] = t == 1 ? 3e19 : 1;
        assert_ok(step_with(r.o, r.p, g));
        x -=
            0.1 * (0.1 * pow(0.9, t - 1) / (1 - pow(0.9, t))) * sqrt((1 - pow(0.999, t)) / (0.001 * pow(0.999, t - 1)));
        if (!(fabs(run_x(&r, LARGE_AT) - x) <= t * 32 * 0x1p-24))
            fail_msg("step %d: x is %.9g, not %.9g", t, run_x(&r, LARGE_AT), x);
    }
    run_free(&r);
}

/* The sums of AdaGrad reach the end by many steps of permitted size; with clipping the gradient is
 * small again. */
static void test_refusal_depends_on_state_and_clip(void **state) {
    (void)state;
    run r = run_new(SW_F32, "adagrad lr=0.1");
    double g[SMALL_DIM] = {0};
    g[LARGE_AT] = 9e18; /* squared 8.1e37: four fit, not five */
    for (int t = 0; t < 4; t++)
        assert_ok(step_with(r.o, r.p, g));
    const uint64_t before = run_hash(&r, rule_of_spec("adagrad"));
    assert_int_equal(step_with(r.o, r.p, g), SW_ERR_NONFINITE);
    assert_non_null(strstr(sw_error(), "rule adagrad: step 5 would make the state v of parameter b Inf or NaN"));
    sw_clear_error();
    assert_true(run_hash(&r, rule_of_spec("adagrad")) == before);
    g[LARGE_AT] = 1; /* and goes on */
    assert_ok(step_with(r.o, r.p, g));
    run_free(&r);

    sw_params *p = small_params(SW_F32);
    sw_optim *o = NEW_OPTIM(p, .rule = "adagrad lr=0.1", .clip = 1);
    g[LARGE_AT] = 3e38;
    const double x = vec_get(SW_F32, sw_params_x(p), LARGE_AT);
    assert_ok(step_with(o, p, g)); /* the first step is lr, whatever g; two roundings of it and one of x */
    assert_true(fabs(vec_get(SW_F32, sw_params_x(p), LARGE_AT) - (x - 0.1)) <= 4 * 0x1p-24);
    sw_optim_free(o);
    sw_params_free(p);
}

/* clip/‖g‖ is no number of f32 here, and the clipped gradient is one: its length is clip, by 8 roundings. */
static void test_clip_of_a_large_gradient_to_a_small_one(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    const double none[SMALL_DIM] = {0};
    double g[SMALL_DIM] = {0}, square = 0;
    params_set(p, none);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1", .clip = 1e-30);
    g[3] = 3e20;
    g[LARGE_AT] = -4e20;
    assert_ok(step_with(o, p, g));
    for (int i = 0; i < SMALL_DIM; i++)
        square += pow(vec_get(SW_F32, sw_params_x(p), i) / 1e-30, 2);
    assert_true(fabs(sqrt(square) - 1) <= 8 * 0x1p-24);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Small gradients and small eps ---- */

enum { SMALL_STEPS = 10 };

/* Rules in f32 keep the denominator within 2^-15 of itself (second_moments.h); Adadelta's next numerator is made of
 * that, so that it may grow by as much in each step. A step has 20 roundings besides, fewer than that. x is rounded,
 * and what is below 2^-126 of the numerator's mean, of weight 0.1, is nothing beside the smallest eps, 1e-30. */
static void small_step_is_right(const char *spec, double eps, double g) {
    char with_eps[200];
    snprintf(with_eps, sizeof with_eps, "%s eps=%g", spec, eps);
    run r = run_new(SW_F32, with_eps), exact = run_new(SW_F64, with_eps);
    double gradient[SMALL_DIM] = {0}, moved = 0, before = run_x(&exact, LARGE_AT), largest = fabs(before);
    gradient[LARGE_AT] = (double)(float)g;
    for (int t = 0; t < SMALL_STEPS; t++) {
        assert_ok(step_with(r.o, r.p, gradient));
        assert_ok(step_with(exact.o, exact.p, gradient));
        moved += fabs(run_x(&exact, LARGE_AT) - before);
        before = run_x(&exact, LARGE_AT);
        largest = fmax(largest, fabs(before));
    }
    const double bound = moved * 2 * SMALL_STEPS * 0x1p-15 + SMALL_STEPS * 0x1p-23 * largest + 1e-7 * moved;
    if (!(fabs(run_x(&r, LARGE_AT) - before) <= bound))
        fail_msg("%s, g = %g: x is %.9g, and %.9g in f64; %g allowed", with_eps, g, run_x(&r, LARGE_AT), before, bound);
    run_free(&r);
    run_free(&exact);
}

/* The smallest ε that a rule accepts; Inf if it has none. */
static double least_eps(const sw_rule *rule) {
    for (const sw_option *o = rule->options; o->name; o++)
        if (strcmp(o->name, "eps") == 0)
            return fmax(o->low, 1e-30);
    return INFINITY;
}

static void test_small_eps_is_right(void **state) {
    (void)state;
    int tried = 0;
    for (int i = 0; i < specs.count; i++)
        for (double eps = least_eps(rule_of_spec(specs.text[i])); eps <= 1; eps *= 80)
            for (double g = 1; g > 1e-36; g *= 0.003, tried++)
                small_step_is_right(specs.text[i], eps, g);
    assert_true(tried > 15 * 14 * 10);
}

/* As in f64, by hand: ten steps of lr = 0.1 with a constant gradient far above eps; the root's error is 1e-20/3e-18. */
static void test_adam_with_squares_below_f32(void **state) {
    (void)state;
    run r = run_new(SW_F32, "adam lr=0.1 eps=1e-20");
    double g[SMALL_DIM] = {0};
    const double start = run_x(&r, LARGE_AT);
    g[LARGE_AT] = 3e-18;
    for (int t = 0; t < 10; t++)
        assert_ok(step_with(r.o, r.p, g));
    const double moved = run_x(&r, LARGE_AT) - start, wanted = -10 * 0.1 / (1 + 1e-20 / 3e-18);
    if (!(fabs(moved - wanted) <= 10 * 32 * 0x1p-24)) /* 32 roundings of a step of 0.1, below 1, and of x */
        fail_msg("x moved by %.9g, not by %.9g", moved, wanted);
    run_free(&r);
}

/* Means over a million steps: the gradient halves after 1000 of 20000 steps. What v lacks then is 1e-6 of it in a step;
 * in f32 that is 16 units in the last place, by which v is wrong by 1 %, and β2 = 0.999999 itself by 1 %. Here the
 * steps of f32 have 20 roundings each, and x is rounded in each. */
static void test_second_moments_over_many_steps_are_accurate(void **state) {
    (void)state;
    static const char *const cases[] = {"adam lr=1e-4 beta2=0.999999", "amsgrad lr=1e-4 beta2=0.999999",
                                        "nadamp lr=1e-4 beta2=0.999999", "rmsprop lr=1e-5 alpha=0.999999",
                                        "adadelta lr=1 rho=0.999999"};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        run r = run_new(SW_F32, cases[k]), exact = run_new(SW_F64, cases[k]);
        double before = run_x(&exact, LARGE_AT), moved = 0, roundings = 0;
        for (int t = 0; t < 20000; t++) {
            double g[SMALL_DIM] = {0};
            g[LARGE_AT] = t < 1000 ? 1 : t % 2 ? 0.5 : -0.25;
            assert_ok(step_with(r.o, r.p, g));
            assert_ok(step_with(exact.o, exact.p, g));
            moved += fabs(run_x(&exact, LARGE_AT) - before);
            before = run_x(&exact, LARGE_AT);
            roundings += 0x1p-24 * fabs(before);
        }
        if (!(fabs(run_x(&r, LARGE_AT) - before) <= 20 * 0x1p-24 * moved + roundings))
            fail_msg("%s: x is %.9g, and %.9g in f64", cases[k], run_x(&r, LARGE_AT), before);
        run_free(&r);
        run_free(&exact);
    }
}

/* What it costs: nothing by default, 4 bytes a second moment more where eps asks for it. */
static void test_small_eps_takes_the_stated_memory(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        size_t bytes; /* a parameter in f32 */
    } cases[] = {{"adam", 8},
                 {"adam eps=1e-12", 8},
                 {"adam eps=1e-20", 12},
                 {"adagrad", 4},
                 {"adagrad eps=1e-20", 8},
                 {"rmsprop centered", 8},
                 {"nadamp p=4", 12},
                 {"rmsprop centered eps=1e-20", 16},
                 {"amsgrad eps=1e-20", 20},
                 {"adadelta eps=1e-30", 8},
                 {"adam eps=1e-30 eps_in_root", 8},
                 {"generalized_adam disable_preconditioning eps=1e-30", 4},
                 {"adam beta2=0.9999", 8},
                 {"adam beta2=0.99999", 12}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run r = run_new(SW_F32, cases[i].spec);
        if (sw_optim_bytes(r.o).rule != cases[i].bytes * SMALL_DIM)
            fail_msg("%s: %zu bytes", cases[i].spec, sw_optim_bytes(r.o).rule / SMALL_DIM);
        run_free(&r);
    }
}

/* A schedule that makes eps so small only later is refused there, and nothing moves. */
static void test_scheduled_small_eps_is_refused(void **state) {
    (void)state;
    const double g[SMALL_DIM] = {1};
    sw_params *p = small_params(SW_F32);
    sw_optim *o = NEW_OPTIM(p, .rule = "adam eps=1e-8", .schedule = "exponential factor=1e-6 on=eps");
    assert_ok(step_with(o, p, g));
    const double x = vec_get(SW_F32, sw_params_x(p), 0);
    assert_int_equal(step_with(o, p, g), SW_ERR_ARGUMENT);
    assert_non_null(
        strstr(sw_error(), "rule adam: the second moments of step 2, with eps = 1e-14, are not precise enough"));
    sw_clear_error();
    assert_true(vec_get(SW_F32, sw_params_x(p), 0) == x && sw_optim_steps_taken(o) == 1);
    sw_optim_free(o);
    sw_params_free(p);
}

static bool has_slot_of_f64(const sw_rule *rule) {
    for (int i = 0; rule->slots && rule->slots[i].name; i++)
        if (strstr(rule->slots[i].name, "_f64"))
            return true;
    return false;
}

/* An optimizer of f64 with `large`, and one with `small` as eps and `options`, have the same slots, and the second
 * takes the state of the first. */
static void same_slots(const sw_rule *rule, const char *options) {
    static const double g[SMALL_DIM] = {1, -2, 0.5};
    char small[100], large[100];
    snprintf(small, sizeof small, "%s eps=1e-30 %s", rule->name, options);
    snprintf(large, sizeof large, "%s eps=1e-3%s", rule->name, strstr(options, "centered") ? " centered" : "");
    sw_params *p[2] = {small_params(SW_F64), small_params(SW_F64)};
    sw_optim *o[2] = {NEW_OPTIM(p[0], .rule = large), NEW_OPTIM(p[1], .rule = small)};
    for (int i = 0; rule->slots[i].name; i++) {
        const bool of_f32 = strstr(rule->slots[i].name, "_f64") != NULL;
        const void *state_of[2];
        for (int j = 0; j < 2; j++)
            state_of[j] = sw_optim_param_slot(o[j], sw_params_at(p[j], 0), rule->slots[i].name).data;
        if ((of_f32 && state_of[1]) || !state_of[0] != !state_of[1])
            fail_msg("%s: slot %s is %s", small, rule->slots[i].name, state_of[1] ? "there" : "missing");
    }
    assert_ok(step_with(o[0], p[0], g));
    sw_archive *a = sw_archive_new();
    assert_ok(sw_optim_pack(o[0], a));
    assert_ok(sw_optim_unpack(o[1], a));
    sw_archive_free(a);
    assert_ok(step_with(o[1], p[1], g));
    for (int i = 0; i < 2; i++) {
        sw_optim_free(o[i]);
        sw_params_free(p[i]);
    }
}

/* They are the same for all options, so that a file fits whatever eps and the decays are. */
static void test_slots_of_f64_do_not_depend_on_eps(void **state) {
    (void)state;
    static const char *const long_means[][2] = {{"adam", "beta2=0.9999999"},
                                                {"rmsprop", "centered"},
                                                {"rmsprop", "alpha=0.9999999 centered"},
                                                {"adadelta", "rho=0.9999999"}};
    const sw_rule *rule;
    int rules = 0;
    for (int r = 0; (rule = sw_rule_at(r)) != NULL; r++)
        if (has_slot_of_f64(rule)) {
            same_slots(rule, "");
            rules++;
        }
    assert_true(rules >= 11);
    for (size_t k = 0; k < sizeof long_means / sizeof *long_means; k++)
        same_slots(sw_rule_find(long_means[k][0]), long_means[k][1]);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_large_gradients_move_right_or_are_refused),
        TEST(test_squares_that_f32_holds_are_accepted),
        TEST(test_adam_continues_after_a_large_gradient),
        TEST(test_refusal_depends_on_state_and_clip),
        TEST(test_clip_of_a_large_gradient_to_a_small_one),
        TEST(test_small_eps_is_right),
        TEST(test_adam_with_squares_below_f32),
        TEST(test_second_moments_over_many_steps_are_accurate),
        TEST(test_small_eps_takes_the_stated_memory),
        TEST(test_scheduled_small_eps_is_refused),
        TEST(test_slots_of_f64_do_not_depend_on_eps),
    };
    return cmocka_run_group_tests_name("range of the rules", tests, collect_specs, NULL);
}
