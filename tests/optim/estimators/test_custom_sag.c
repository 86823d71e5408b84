/* A copy of SAG that the Makefile compiles outside the library, with the public headers alone and other names. On every
 * kind of objective it gives the same bits as the built-in SAG, so that custom estimators can do everything that
 * built-in ones do. */
#include "support.h"

#include <swale/optim.h>

extern const sw_estimator custom_sag;

enum { N = 150, D = 5 };

/* ---- The copy, which counts the steps of its loops ---- */

static int64_t in_loops;

static sw_status counting_run(sw_estimate *e, sw_estimate_run *run) {
    const sw_status status = custom_sag.run(e, run);
    in_loops += run->done;
    return status;
}

static sw_estimator counting_sag;

/* ---- Objectives ---- */

typedef struct samples {
    double a[N * D], y[N];
    int32_t label[N];
    int64_t start[N + 1];
    int32_t column[N * D];
    double number[N * D];
    sw_params *params;
    sw_glm *model;
    sw_objective objective;
} samples;

/* ½ (tanh(aᵀx) - y)², which is not convex and no generalized linear model: a table of gradients */
static sw_status bent_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                               double *value, void *g) {
    const samples *s = user;
    const double *at = x;
    double *slope = g;
    (void)draw;
    *value = 0;
    for (int j = 0; slope && j < D; j++)
        slope[j] = 0;
    for (int64_t i = 0; i < count; i++) {
        const double *a = s->a + ids[i] * D;
        double z = 0;
        for (int j = 0; j < D; j++)
            z += a[j] * at[j];
        const double t = tanh(z), r = t - s->y[ids[i]];
        *value += r * r / 2 / (double)count;
        for (int j = 0; slope && j < D; j++)
            slope[j] += r * (1 - t * t) * a[j] / (double)count;
    }
    return SW_OK;
}

typedef enum problem_kind { BENT, DENSE, SPARSE } problem_kind;

static samples *samples_new(problem_kind kind, sw_dtype type) {
    samples *s = calloc(1, sizeof *s);
    uint64_t seed = 7;
    int64_t k = 0;
    assert_non_null(s);
    for (int i = 0; i < N; i++) {
        double z = test_uniform(&seed, -1, 1);
        for (int j = 0; j < D; j++) {
            const double v = (i + j) % 3 == 0 ? 0 : test_uniform(&seed, -2, 2);
            s->a[i * D + j] = v;
            z += (j - 2) * v;
            if (v != 0) {
                s->column[k] = j;
                s->number[k++] = v;
            }
        }
        s->start[i + 1] = k;
        s->y[i] = tanh(z);
        s->label[i] = z > 0;
    }
    const sw_array x = sw_array_view(s->a, SW_F64, SW_SHAPE(N, D)), y = sw_array_view(s->label, SW_I32, SW_SHAPE(N));
    const sw_csr rows = {N, D, s->start, s->column, s->number, SW_F64};
    const sw_glm_options how = {.size = sizeof how, .head = SW_HEAD_LOGISTIC};
    if (kind == BENT) {
        s->params = sw_params_new(type, 1);
        assert_non_null(sw_params_add(s->params, "x", SW_SHAPE(D), NULL));
        assert_ok(sw_params_build(s->params));
        s->objective = (sw_objective){
            .size = sizeof(sw_objective), .n = N, .params = s->params, .user = s, .gradient = bent_gradient};
    } else {
        s->model = kind == DENSE ? sw_glm_new(type, &x, &y, &how) : sw_glm_new_sparse(type, &rows, &y, &how);
        if (!s->model)
            fail_msg("%s", sw_error());
        s->params = sw_glm_params(s->model);
        s->objective = *sw_glm_objective(s->model);
    }
    return s;
}

static void samples_free(samples *s) {
    if (s->model)
        sw_glm_free(s->model);
    else
        sw_params_free(s->params);
    free(s);
}

/* ---- A run ---- */

typedef struct setting {
    problem_kind kind;
    sw_dtype type;
    const char *options, *rule, *average;
} setting;

typedef struct finished {
    samples *samples;
    sw_optim *optim;
    sw_archive *state;
} finished;

static sw_optim *optim_of(samples *s, const char *estimator, const char *rule, const char *average) {
    return sw_optim_new_with_options(
        s->params,
        &(sw_optim_options){
            .size = sizeof(sw_optim_options), .estimator = estimator, .rule = rule, .average = average, .seed = 5});
}

/* Three epochs, then single steps. */
static finished run_of(const setting *how, const char *estimator) {
    finished r = {.samples = samples_new(how->kind, how->type), .state = sw_archive_new()};
    const sw_objective *f = &r.samples->objective;
    char spec[200];
    snprintf(spec, sizeof spec, "%s%s", estimator, how->options);
    r.optim = optim_of(r.samples, spec, how->rule, how->average);
    if (!r.optim)
        fail_msg("%s", sw_error());
    assert_ok(sw_train(f, r.optim, &(sw_train_options){.size = sizeof(sw_train_options), .epochs = 3}, NULL));
    for (int i = 0; i < 5; i++)
        assert_ok(sw_optim_minimize(r.optim, f, NULL));
    assert_true(sw_optim_scalar(r.optim, -1, "seen") > 1);
    assert_ok(sw_optim_pack(r.optim, r.state));
    return r;
}

static void finished_free(finished *r) {
    sw_archive_free(r->state);
    sw_optim_free(r->optim);
    samples_free(r->samples);
}

/* Parameters, tables, scalars, counters and the average. */
static void assert_same_state(const setting *how, const sw_archive *a, const sw_archive *b) {
    int of_estimator = 0;
    assert_int_equal(sw_archive_count(a), sw_archive_count(b));
    for (int i = 0; i < sw_archive_count(a); i++) {
        const sw_archive_item item = sw_archive_at(a, i);
        const sw_array other = sw_archive_get(b, item.name);
        expect_no_error();
        of_estimator += strncmp(item.name, "optim.estimator.", 16) == 0;
        if (test_bytes(&item.array) != test_bytes(&other) ||
            (test_bytes(&other) > 0 && memcmp(item.array.data, other.data, test_bytes(&other)) != 0))
            fail_msg("objective %d, \"sag%s\", rule \"%s\": %s differs", (int)how->kind, how->options, how->rule,
                     item.name);
    }
    assert_true(of_estimator >= 10);
}

static void copy_has_the_bits(void **state) {
    const setting settings[] = {
        {BENT, SW_F64, "", "sgd lr=auto", NULL},
        {BENT, SW_F64, " batch=4 init=full tol=1e-3", "adam", NULL},
        {BENT, SW_F64, " sampling=lipschitz step=1/(16L)", "sgd lr=auto", "ema"},
        {DENSE, SW_F64, "", "sgd lr=auto weight_decay=0.01", NULL}, /* batch=0: the copy chooses it */
        {DENSE, SW_F32, " batch=1 tol=1e-6", "role=weight: sgd lr=auto weight_decay=0.1; sgd lr=auto", "polyak"},
        {DENSE, SW_F64, " init=centered", "sgd lr=auto momentum=0.5", NULL},
        {DENSE, SW_F64, " sampling=lipschitz init=sgd", "sgd lr=auto", NULL},
        {SPARSE, SW_F64, "", "role=weight: sgd lr=auto l1=0.01; sgd lr=auto", "ema decay=0.9"},
        {SPARSE, SW_F32, " lipschitz=auto init=zero", "sgd lr=auto weight_decay=0.01", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        in_loops = 0;
        finished own = run_of(&settings[i], "sag");
        assert_int_equal(in_loops, 0);
        finished copy = run_of(&settings[i], "custom_sag");
        /* The loops of many steps are the copy's own, where the pipeline would do nothing but sgd. */
        const bool looped = settings[i].kind != BENT && !strstr(settings[i].rule, "momentum");
        assert_true(looped ? in_loops > 20 : in_loops == 0);
        assert_same_state(&settings[i], own.state, copy.state);
        finished_free(&own);
        finished_free(&copy);
    }
}

/* The message without "custom_". */
static void take_message(char *to, size_t size) {
    assert_non_null(sw_error());
    size_t length = 0;
    for (const char *from = sw_error(); *from && length + 1 < size; from++) {
        if (strncmp(from, "custom_sag", 10) == 0)
            from += strlen("custom_");
        to[length++] = *from;
    }
    to[length] = 0;
    sw_clear_error();
}

/* What the built-in one refuses, for the same reason. */
static void copy_refuses_the_same(void **state) {
    const char *const specs[] = {"%s l2=0.5", "%s sampling=lipschitz lipschitz=3", "%s table_limit=0.0001",
                                 "%s lipschitz=auto", "sam of=%s"};
    (void)state;
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        char message[2][400];
        for (int k = 0; k < 2; k++) {
            samples *s = samples_new(BENT, SW_F64);
            char spec[100];
            snprintf(spec, sizeof spec, specs[i], k == 0 ? "sag" : "custom_sag");
            sw_optim *o = optim_of(s, spec, "sgd lr=auto", NULL);
            if (o)
                assert_int_not_equal(sw_optim_bind(o, &s->objective), SW_OK);
            take_message(message[k], sizeof message[k]);
            sw_optim_free(o);
            samples_free(s);
        }
        assert_string_equal(message[0], message[1]);
    }
}

int main(void) {
    counting_sag = custom_sag;
    counting_sag.run = counting_run;
    if (sw_estimator_register(&counting_sag) != SW_OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(copy_has_the_bits, test_clear, test_clear),
                                       cmocka_unit_test_setup_teardown(copy_refuses_the_same, test_clear, test_clear)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
