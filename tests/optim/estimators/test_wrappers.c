/* Wrappers: everything that a wrapper does not define is that of its inner estimator; and `skipped`, which may change
 * scalars after a skipped step. */
#include "../logistic.h"

/* ---- Wrappers that change nothing, or one thing ---- */

static const sw_option of_options[] = {{.name = "of", .kind = SW_OPTION_SPEC}, {0}};

/* Has no function at all. */
static const sw_estimator bare = {
    .size = sizeof(sw_estimator), .name = "bare", .options = of_options, .flags = SW_ESTIMATOR_WRAPPER};

static sw_status same_estimate(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_inner(e, x, g);
}
/* The same, with the flags DIRECT and EXACT. */
static const sw_estimator same = {.size = sizeof(sw_estimator),
                                  .name = "same",
                                  .options = of_options,
                                  .flags = SW_ESTIMATOR_WRAPPER | SW_ESTIMATOR_DIRECT | SW_ESTIMATOR_EXACT,
                                  .estimate = same_estimate};
/* Returns the inner gradient, without these flags. */
static const sw_estimator silent = {.size = sizeof(sw_estimator),
                                    .name = "silent",
                                    .options = of_options,
                                    .flags = SW_ESTIMATOR_WRAPPER,
                                    .estimate = same_estimate};

static sw_status tiny_estimate(sw_estimate *e, const void *x, void *g) {
    SW_TRY(sw_estimate_inner(e, x, g));
    sw_vector_axpby(e->type, e->dim, 0x1p-10, g, 0, NULL, g);
    return SW_OK;
}
static const sw_estimator tiny = {.size = sizeof(sw_estimator),
                                  .name = "tiny",
                                  .options = of_options,
                                  .flags = SW_ESTIMATOR_WRAPPER,
                                  .estimate = tiny_estimate};

static sw_status own_lr_estimate(sw_estimate *e, const void *x, void *g) {
    SW_TRY(sw_estimate_inner(e, x, g));
    e->lr = 0.125;
    return SW_OK;
}
static const sw_estimator own_lr = {.size = sizeof(sw_estimator),
                                    .name = "own_lr",
                                    .options = of_options,
                                    .flags = SW_ESTIMATOR_WRAPPER,
                                    .estimate = own_lr_estimate};

/* Multiplies the objective during the evaluation, and divides the gradient: it hands on the gradient of the loss. */
static void scaling_multiply(constant_problem *f, double factor) {
    for (int i = 0; i < SMALL_DIM; i++)
        f->g[i] *= factor;
    f->value *= factor;
}
static sw_status scaling_estimate(sw_estimate *e, const void *x, void *g) {
    const bool first = isnan(e->value) != 0;
    scaling_multiply(e->objective->user, 16);
    const sw_status status = sw_estimate_inner(e, x, g);
    scaling_multiply(e->objective->user, 0.0625);
    SW_TRY(status);
    sw_vector_axpby(e->type, e->dim, 0.0625, g, 0, NULL, g);
    e->gradient_norm /= 16;
    e->value /= first ? 16 : 1;
    return SW_OK;
}
static const sw_estimator scaling = {.size = sizeof(sw_estimator),
                                     .name = "scaling",
                                     .options = of_options,
                                     .flags = SW_ESTIMATOR_WRAPPER | SW_ESTIMATOR_DIRECT | SW_ESTIMATOR_EXACT,
                                     .estimate = scaling_estimate};

/* Evaluates by itself, in shards that are one by default. */
static const sw_option sharded_options[] = {
    {.name = "shards", .kind = SW_OPTION_INTEGER, .value = 1, .low = 1, .high = 9},
    {.name = "of", .kind = SW_OPTION_SPEC},
    {0}};
static const sw_estimator sharded = {.size = sizeof(sw_estimator),
                                     .name = "sharded",
                                     .options = sharded_options,
                                     .flags = SW_ESTIMATOR_WRAPPER,
                                     .estimate = plain_estimate};

static const sw_estimator no_wrapper = {.size = sizeof(sw_estimator), .name = "no_wrapper", .estimate = same_estimate};

/* An inner estimator that records the norm that `fits` receives. */
static double seen_norm;
static sw_status measured_fits(sw_estimate *e, double norm) {
    (void)e;
    seen_norm = norm;
    return SW_OK;
}
static const sw_estimator measured = {.size = sizeof(sw_estimator),
                                      .name = "measured",
                                      .flags = SW_ESTIMATOR_OBJECTIVE,
                                      .estimate = plain_estimate,
                                      .fits = measured_fits};

/* ---- Estimators whose `skipped` is watched ---- */

static char calls[400];
static sw_skip_cause seen_cause;
static int64_t seen_step;
static enum { BACK_OFF, WRITE_NAN, FAIL, PROPOSE_INFINITY } misdeed;

static void watch(sw_estimate *e) {
    const size_t used = strlen(calls);
    snprintf(calls + used, sizeof calls - used, "%s%s", used ? " " : "", e->method->name);
    seen_cause = e->skip_cause;
    seen_step = e->step;
    assert_true(e->scalar[1] == 0 || e->scalar[1] == 1); /* the scalar of the skipped step is restored */
    switch (misdeed) {
    case BACK_OFF: e->scalar[0]++; break;
    case WRITE_NAN: e->scalar[0] = NAN; break;
    case FAIL: sw_fail(SW_ERR_USER, "watched: no more"); break;
    case PROPOSE_INFINITY: e->lr = INFINITY; break;
    }
}
static sw_status watched_estimate(sw_estimate *e, const void *x, void *g) {
    e->scalar[1] += 100;
    return e->inner ? sw_estimate_inner(e, x, g) : plain_estimate(e, x, g);
}
static sw_status watched_commit(sw_estimate *e) {
    e->scalar[1] = 1;
    return SW_OK;
}
static const char *const watched_scalars[] = {"skips", "taken", NULL};
static const char *const inner_scalars[] = {"inner_skips", "inner_taken", NULL};
#define WATCHED .estimate = watched_estimate, .commit = watched_commit, .skipped = watch
static const sw_estimator watched_inner = {.size = sizeof(sw_estimator),
                                           .name = "watched_inner",
                                           .scalars = inner_scalars,
                                           .flags = SW_ESTIMATOR_DIRECT,
                                           WATCHED};
static const sw_estimator watched = {.size = sizeof(sw_estimator),
                                     .name = "watched",
                                     .options = of_options,
                                     .scalars = watched_scalars,
                                     .flags = SW_ESTIMATOR_WRAPPER | SW_ESTIMATOR_DIRECT,
                                     WATCHED};

static bool skip_begin, skip_sample;
static sw_status moody_begin(sw_step *s) {
    (void)s;
    return skip_begin ? SW_SKIPPED : SW_OK;
}
static const sw_rule moody = {.size = sizeof(sw_rule), .name = "moody", .begin = moody_begin, .update = &no_kernels};
static sw_status moody_sample(sw_estimate *e) {
    e->ids = NULL;
    e->count = e->n;
    return skip_sample ? SW_SKIPPED : SW_OK;
}
static const sw_estimator sampling = {
    .size = sizeof(sw_estimator), .name = "sampling", .scalars = inner_scalars, .sample = moody_sample, WATCHED};
static sw_status giving_up(sw_search *search, double *alpha) {
    (void)search, (void)alpha;
    return SW_SKIPPED;
}
static const sw_line_search quitter = {.size = sizeof(sw_line_search), .name = "quitter", .search = giving_up};

static double seen_slope, seen_value;
static sw_status slope_search(sw_search *s, double *alpha) {
    seen_slope = s->slope;
    seen_value = s->value;
    *alpha = 0;
    return SW_OK;
}
static const sw_line_search slope_spy = {.size = sizeof(sw_line_search), .name = "slope_spy", .search = slope_search};

static int register_all(void **state) {
    (void)state;
    static const sw_estimator *const estimators[] = {&bare,    &same,       &silent,   &tiny,
                                                     &own_lr,  &no_wrapper, &measured, &watched_inner,
                                                     &watched, &sampling,   &scaling,  &sharded};
    for (size_t i = 0; i < sizeof estimators / sizeof *estimators; i++)
        if (sw_estimator_register(estimators[i]) != SW_OK)
            return -1;
    return sw_rule_register(&moody) != SW_OK || sw_line_search_register(&quitter) != SW_OK ||
           sw_line_search_register(&slope_spy) != SW_OK;
}

static int set_up(void **state) {
    (void)state;
    calls[0] = 0;
    misdeed = BACK_OFF;
    skip_begin = skip_sample = false;
    return 0;
}

/* ---- Inheritance ---- */

/* Every built-in estimator inside wrappers that change nothing, with everything that it may propose: x has the bits of
 * the estimator without a wrapper. Two groups with different penalties use lr_with, and batch=0 uses choose_batch. */
static void test_wrapper_without_functions_is_its_inner_estimator(void **state) {
    (void)state;
    static const struct {
        const char *inner, *rule;
        bool glm;
    } cases[] = {
        {"minibatch batch=7", "adam lr=0.01", false},
        {"minibatch batch=7 order=sequential", "sgd lr=0.1", false},
        {"full", "sgd lr=auto weight_decay=0.1", false},
        {"full", "fista lr=auto", false},
        {"sag", "sgd lr=auto weight_decay=0.1", true},
        {"sag batch=3 init=full", "sgd lr=auto", true},
        {"saga", "sgd lr=auto weight_decay=0.1", true},
        {"saga sampling=lipschitz", "sgd lr=auto", true},
        {"svrg batch=5", "sgd lr=auto", true},
        {"svrg", "sgd lr=0.05", false},
        {"sam rho=0.1 of=minibatch batch=9", "sgd lr=0.1", false},
        {"asam of=full", "sgd lr=0.1", false},
        {"sam of=svrg batch=5", "adam lr=0.01", false},
    };
    static const char *const wrappers[] = {"%s", "bare of=%s", "bare of=bare of=%s", "same of=%s",
                                           "bare of=silent of=%s"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double first[LOGISTIC_MOST];
        for (int w = 0; w < 5; w++) {
            if (w == 4 && strncmp(cases[i].rule, "fista", 5) == 0)
                continue; /* silent does not have the flag EXACT */
            char spec[200];
            logistic *p = logistic_new(SW_F64, 0.1, cases[i].glm);
            snprintf(spec, sizeof spec, wrappers[w], cases[i].inner);
            sw_optim *o = optim_of(p->params, spec, cases[i].rule, 3);
            for (int step = 0; step < 250; step++)
                assert_ok(sw_optim_minimize(o, &p->f, NULL));
            double x[LOGISTIC_MOST];
            logistic_x(p, x);
            if (w == 0)
                memcpy(first, x, sizeof first);
            else if (memcmp(first, x, (size_t)p->n * sizeof *x) != 0)
                fail_msg("%s, %s: not the bits of the inner estimator", spec, cases[i].rule);
            sw_optim_free(o);
            logistic_free(p);
        }
    }
}

/* lr_with: two groups with different penalties have different step sizes, also inside a wrapper, unless the wrapper
 * proposes a step size. */
static void test_step_sizes_by_penalty_come_from_the_inner_estimator(void **state) {
    (void)state;
    static const char *const specs[] = {"full lipschitz=3", "sag lipschitz=3", "bare of=sag lipschitz=3",
                                        "same of=bare of=sag lipschitz=3", "own_lr of=sag lipschitz=3"};
    const double expected[5][2] = {{0}, {1 / 3.5, 1 / 3.0}, {1 / 3.5, 1 / 3.0}, {1 / 3.5, 1 / 3.0}, {0.125, 0.125}};
    for (int k = 1; k < 5; k++) {
        sw_params *p = small_params(SW_F64);
        constant_problem f;
        constant_problem_init(&f, p, 4, 1, 1);
        sw_optim *o =
            NEW_OPTIM(p, .estimator = specs[k], .rule = "role=weight: sgd lr=auto weight_decay=0.5; sgd lr=auto");
        assert_ok(sw_optim_minimize(o, &f.f, NULL));
        for (int group = 0; group < 2; group++) /* a quotient of numbers near 3: one rounding each */
            if (!(fabs(sw_optim_option(o, group, "lr") - expected[k][group]) <= 0x1p-52))
                fail_msg("%s: lr of group %d is %.17g", specs[k], group, sw_optim_option(o, group, "lr"));
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static bool accepted(sw_params *p, sw_optim_options how) {
    how.size = sizeof how;
    sw_optim *o = sw_optim_new_with_options(p, &how);
    sw_optim_free(o);
    sw_clear_error();
    return o != NULL;
}

/* DIRECT and EXACT of a wrapper hold only with an inner estimator that has them. */
static void test_flags_of_the_gradient_need_the_inner_estimator(void **state) {
    (void)state;
    static const struct {
        const char *estimator;
        bool exact, direct;
    } cases[] = {
        {"full", true, true},
        {"minibatch", false, true},
        {"bare of=full", true, true},
        {"same of=full", true, true},
        {"bare of=same of=bare of=full", true, true},
        {"same of=minibatch", false, true},
        {"bare of=minibatch", false, true},
        {"silent of=full", false, true}, /* a search has its own gradient */
        {"bare of=silent of=full", false, true},
        {"same of=saga", false, false},
        {"bare of=svrg", false, false},
        {"same of=sam of=full", false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sw_params *p = small_params(SW_F64);
        if (accepted(p, (sw_optim_options){.rule = "fista", .estimator = cases[i].estimator}) != cases[i].exact)
            fail_msg("fista with %s", cases[i].estimator);
        if (accepted(p, (sw_optim_options){.rule = "sgd", .schedule = "wolfe", .estimator = cases[i].estimator}) !=
            cases[i].direct)
            fail_msg("wolfe with %s", cases[i].estimator);
        sw_params_free(p);
    }
    sw_params *p = small_params(SW_F64);
    options_refused(p, (sw_optim_options){.rule = "sgd", .estimator = "sam of=bare of=saga"},
                    "estimator sam of=saga: sam evaluates more than once per step, but the tables of saga allow one "
                    "evaluation");
    sw_params_free(p);
}

/* The tables of the inner estimator receive its estimate, not the estimate of the wrapper. */
static void test_fits_receives_the_norm_of_its_own_estimate(void **state) {
    (void)state;
    static const char *const specs[] = {"measured", "bare of=measured", "tiny of=measured", "tiny of=tiny of=measured"};
    for (int k = 0; k < 4; k++) {
        sw_params *p = small_params(SW_F64);
        constant_problem f;
        constant_problem_init(&f, p, 1, 1, 0);
        f.g[0] = 3;
        f.g[1] = -4;
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd", .estimator = specs[k]);
        seen_norm = -1;
        assert_ok(sw_optim_minimize(o, &f.f, NULL));
        assert_true(seen_norm == 5);
        assert_true(sw_optim_gradient_norm(o) == 5 * pow(0x1p-10, k < 2 ? 0 : k - 1));
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static void test_wrappers_that_are_none_are_refused(void **state) {
    (void)state;
    static const sw_estimator nothing = {.size = sizeof(sw_estimator), .name = "nothing"};
    assert_int_equal(sw_estimator_register(&nothing), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: estimator nothing has no estimate");
    sw_params *p = small_params(SW_F64);
    constant_problem f;
    constant_problem_init(&f, p, 1, 1, 1);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd", .estimator = "no_wrapper");
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "estimate_inner: estimator no_wrapper is not a wrapper: its flags need "
                               "SW_ESTIMATOR_WRAPPER");
    sw_optim_free(o);
    sw_params_free(p);
}

/* The slope has the gradient that the outermost wrapper with DIRECT hands on, not what an estimator inside it has
 * computed of a multiple of the loss. Powers of 2: exact. */
static void test_slopes_have_the_gradient_of_the_loss(void **state) {
    (void)state;
    static const char *const specs[] = {"full",
                                        "scaling of=full",
                                        "silent of=scaling of=full",
                                        "sam of=full",
                                        "sam of=scaling of=full",
                                        "tiny of=full",
                                        "tiny of=scaling of=bare of=scaling of=full"};
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
        for (int clip = 0; clip < 2; clip++) {
            sw_params *p = small_params(SW_F64);
            constant_problem f;
            constant_problem_init(&f, p, 1, 1, 0);
            f.g[2] = 2;
            f.g[13] = -2;
            sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1", .estimator = specs[k], .schedule = "slope_spy",
                                    .clip = clip ? 0x1p-20 : 0);
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
            /* ⟨g, d⟩, d = -g times the factors of clip and of the wrapper; x has 52 bits for d. */
            const double factor = clip ? 0x1p-20 / sqrt(8) : strstr(specs[k], "tiny") ? 0x1p-10 : 1;
            if (!(fabs(seen_slope + 8 * factor) <= 4 * 0x1p-52))
                fail_msg("%s: slope %.17g, %.17g expected", specs[k], seen_slope, -8 * factor);
            assert_true(seen_value == 1);
            sw_optim_free(o);
            sw_params_free(p);
        }
}

static void test_wrapper_with_one_shard_has_those_of_the_inner_estimator(void **state) {
    (void)state;
    static const struct {
        const char *estimator;
        int calls;
    } cases[] = {{"minibatch batch=8 shards=4", 4},
                 {"bare of=minibatch batch=8 shards=4", 4},
                 {"sharded of=minibatch batch=8 shards=4", 4},
                 {"sharded shards=2 of=minibatch batch=8", 2},
                 {"sharded of=bare of=minibatch batch=8 shards=3", 3},
                 {"sharded of=minibatch batch=8", 1}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        sw_params *p = small_params(SW_F64);
        linear_problem f;
        linear_problem_init(&f, p, 8, some_gradient);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.1", .estimator = cases[k].estimator);
        assert_ok(sw_optim_minimize(o, &f.f, NULL));
        if (f.calls != cases[k].calls)
            fail_msg("%s: %lld evaluations", cases[k].estimator, (long long)f.calls);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* ---- skipped ---- */

static void test_skipped_is_called_once_with_the_cause(void **state) {
    (void)state;
    static const struct {
        const char *estimator, *rule, *schedule, *calls;
        sw_skip_cause cause;
    } cases[] = {
        {"watched of=watched_inner", "sgd", NULL, "watched_inner watched", SW_SKIP_GRADIENT},
        {"watched_inner", "moody", NULL, "watched_inner", SW_SKIP_RULE},
        {"bare of=watched of=watched_inner", "sgd", "quitter", "watched_inner watched", SW_SKIP_SEARCH},
        {"sampling", "sgd", NULL, "sampling", SW_SKIP_SAMPLE},
        {"watched of=sampling", "sgd", NULL, "sampling watched", SW_SKIP_SAMPLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sw_params *p = small_params(SW_F64);
        constant_problem f;
        constant_problem_init(&f, p, 1, 1, 1);
        sw_optim *o =
            NEW_OPTIM(p, .rule = cases[i].rule, .estimator = cases[i].estimator, .schedule = cases[i].schedule);
        if (cases[i].cause != SW_SKIP_SEARCH) {
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
            assert_string_equal(calls, "");
        }
        const int64_t taken = sw_optim_steps_taken(o);
        f.g[3] = cases[i].cause == SW_SKIP_GRADIENT ? INFINITY : 1;
        skip_begin = cases[i].cause == SW_SKIP_RULE;
        skip_sample = cases[i].cause == SW_SKIP_SAMPLE;
        for (int k = 1; k <= 3; k++) {
            calls[0] = 0;
            assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
            assert_string_equal(calls, cases[i].calls);
            assert_int_equal(seen_cause, cases[i].cause);
            assert_int_equal(seen_step, taken + 1);
            assert_int_equal(sw_optim_steps_taken(o), taken);
            assert_int_equal(sw_optim_steps_skipped(o), k);
            if (strstr(cases[i].calls, "inner"))
                assert_true(sw_optim_scalar(o, -1, "inner_skips") == k); /* it stays */
            if (strstr(cases[i].calls, " watched"))
                assert_true(sw_optim_scalar(o, -1, "skips") == k);
        }
        sw_optim_free(o);
        sw_params_free(p);
        set_up(state);
    }
}

/* The count increases with each skipped step, is not changed by steps that are taken, and is restored from a file. */
static void test_scalars_of_skipped_are_saved(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
    constant_problem f, h;
    constant_problem_init(&f, p, 1, 1, 1);
    constant_problem_init(&h, q, 1, 1, 1);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd", .estimator = "watched of=watched_inner"),
             *resumed = NEW_OPTIM(q, .rule = "sgd", .estimator = "watched of=watched_inner");
    for (int k = 0; k < 7; k++) {
        f.g[0] = k % 3 == 1 ? (double)NAN : 1;
        sw_optim_minimize(o, &f.f, NULL);
    }
    expect_no_error();
    assert_true(sw_optim_scalar(o, -1, "skips") == 2 && sw_optim_scalar(o, -1, "inner_skips") == 2);
    sw_archive *a = sw_archive_new();
    assert_ok(sw_optim_pack(o, a));
    assert_ok(sw_optim_bind(resumed, &h.f));
    assert_ok(sw_optim_unpack(resumed, a));
    assert_true(sw_optim_scalar(resumed, -1, "skips") == 2 && sw_optim_scalar(resumed, -1, "inner_skips") == 2);
    sw_archive_free(a);
    sw_optim_free(o);
    sw_optim_free(resumed);
    sw_params_free(p);
    sw_params_free(q);
}

/* If `skipped` fails, or makes a scalar NaN, the step ends with an error, and the scalars are those before the step. */
static void test_errors_of_skipped_end_the_step(void **state) {
    (void)state;
    static const struct {
        int misdeed;
        sw_status status;
        const char *message;
    } cases[] = {
        {WRITE_NAN, SW_ERR_NONFINITE, "estimator watched_inner: inner_skips is nan in step 2"},
        {FAIL, SW_ERR_USER, "watched: no more"},
        {PROPOSE_INFINITY, SW_ERR_NONFINITE,
         "estimator watched_inner: the step size that it proposes is inf in step 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sw_params *p = small_params(SW_F64);
        constant_problem f;
        constant_problem_init(&f, p, 1, 1, 1);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd", .estimator = "watched_inner");
        assert_ok(sw_optim_minimize(o, &f.f, NULL));
        f.g[0] = INFINITY;
        misdeed = BACK_OFF;
        assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
        misdeed = (int)cases[i].misdeed;
        calls[0] = 0;
        assert_int_equal(sw_optim_minimize(o, &f.f, NULL), cases[i].status);
        if (!sw_error() || strncmp(sw_error(), cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("%s, \"%s\" expected", sw_error() ? sw_error() : "no error", cases[i].message);
        sw_clear_error();
        assert_string_equal(calls, "watched_inner");
        assert_true(sw_optim_scalar(o, -1, "inner_skips") == 1);
        assert_int_equal(sw_optim_steps_skipped(o), 1);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* A step that ends with an error does not count as skipped. The hundredth skipped step in a row counts, and is an
 * error. */
static void test_skipped_is_not_called_after_an_error(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    constant_problem f;
    constant_problem_init(&f, p, 1, 1, 1);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1e6", .estimator = "watched_inner");
    for (int i = 0; i < SMALL_DIM; i++)
        f.g[i] = 1e305;
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_ERR_NONFINITE);
    assert_string_equal(calls, "");
    sw_clear_error();
    f.g[0] = NAN;
    for (int k = 1; k <= 100; k++) {
        calls[0] = 0;
        assert_int_equal(sw_optim_minimize(o, &f.f, NULL), k < 100 ? SW_SKIPPED : SW_ERR_NONFINITE);
        assert_string_equal(calls, "watched_inner");
    }
    assert_true(sw_optim_scalar(o, -1, "inner_skips") == 100);
    sw_clear_error();
    sw_optim_free(o);
    sw_params_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_wrapper_without_functions_is_its_inner_estimator),
        TEST(test_step_sizes_by_penalty_come_from_the_inner_estimator),
        TEST(test_flags_of_the_gradient_need_the_inner_estimator),
        TEST(test_slopes_have_the_gradient_of_the_loss),
        TEST(test_wrapper_with_one_shard_has_those_of_the_inner_estimator),
        TEST(test_fits_receives_the_norm_of_its_own_estimate),
        TEST(test_wrappers_that_are_none_are_refused),
        TEST(test_skipped_is_called_once_with_the_cause),
        TEST(test_scalars_of_skipped_are_saved),
        TEST(test_errors_of_skipped_end_the_step),
        TEST(test_skipped_is_not_called_after_an_error),
    };
    return cmocka_run_group_tests_name("wrappers", tests, register_all, NULL);
}
