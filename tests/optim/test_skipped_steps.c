/* A step is skipped because of its gradient, its value or a method. Nothing has changed then, and the run continues as
 * if there had been no such step. test_skipped_in_a_row.c tests many consecutive skipped steps. */
#include "spies.h"

/* The gradient a hundred times: no DIRECT one. */
static sw_status hundredfold_estimate(sw_estimate *e, const void *x, void *g) {
    SW_TRY(sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g));
    for (int64_t i = 0; i < e->dim; i++)
        vec_set(e->type, g, i, 100 * vec_get(e->type, g, i));
    return SW_OK;
}
static const sw_estimator hundredfold = {.size = sizeof(sw_estimator),
                                         .name = "hundredfold",
                                         .flags = SW_ESTIMATOR_OBJECTIVE,
                                         .estimate = hundredfold_estimate};

typedef struct snapshot {
    unsigned char x[SMALL_DIM * 8], m[SMALL_DIM * 8], v[SMALL_DIM * 8], ema[SMALL_DIM * 8];
} snapshot;

static snapshot snapshot_of(sw_optim *o, sw_params *p) {
    snapshot s;
    memset(&s, 0, sizeof s);
    const sw_param *a = sw_params_at(p, 0); /* the slots of one group lie in one block */
    memcpy(s.x, sw_params_x(p), params_bytes(p));
    memcpy(s.m, sw_optim_param_slot(o, a, "m").data, params_bytes(p));
    memcpy(s.v, sw_optim_param_slot(o, a, "v").data, params_bytes(p));
    memcpy(s.ema, sw_optim_slot(o, "ema").data, params_bytes(p));
    return s;
}

/* Two optimizers on the same stream, one of which sees bad gradients in between: the same bits. */
static void skip_of(sw_dtype type, double bad, int at, int before) {
    const sw_optim_options how = {.size = sizeof how,
                                  .rule = "adam lr=0.1",
                                  .average = "ema decay=0.5",
                                  .schedule = "cosine warmup=2",
                                  .total_steps = 10,
                                  .clip = 2};
    sw_params *p = small_params(type), *q = small_params(type);
    sw_optim *o = new_optim(p, &how), *clean = new_optim(q, &how);
    double c[SMALL_DIM];
    for (int i = 0; i < 6; i++) {
        for (int k = 0; k < SMALL_DIM; k++)
            c[k] = some_gradient[(k + i) % SMALL_DIM];
        assert_ok(step_with(clean, q, c));
        if (i == before) {
            double broken[SMALL_DIM];
            memcpy(broken, c, sizeof c);
            broken[at] = bad;
            snapshot s = snapshot_of(o, p);
            assert_int_equal(step_with(o, p, broken), SW_SKIPPED);
            expect_no_error();
            snapshot t = snapshot_of(o, p);
            assert_memory_equal(&s, &t, sizeof s);
            assert_int_equal(sw_optim_steps_taken(o), i);
            assert_int_equal(sw_optim_steps_skipped(o), 1);
            assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
        }
        assert_ok(step_with(o, p, c));
    }
    snapshot s = snapshot_of(o, p), t = snapshot_of(clean, q);
    assert_memory_equal(&s, &t, sizeof s);
    assert_int_equal(sw_optim_steps_taken(o), 6);
    assert_int_equal(sw_optim_steps_skipped(clean), 0);
    sw_optim_free(o);
    sw_optim_free(clean);
    sw_params_free(p);
    sw_params_free(q);
}

static void test_skipped_step_changes_no_bit(void **state) {
    (void)state;
    const double bad[3] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (int t = 0; t < 2; t++)
        for (int b = 0; b < 3; b++) {
            skip_of(both_types[t], bad[b], 0, 3);
            skip_of(both_types[t], bad[b], SMALL_DIM - 1, 3);
            skip_of(both_types[t], bad[b], 7, 0); /* before anything was done */
        }
}

/* A vector of one element, and long ones, where lanes, tails and tiles take turns. */
static void bad_in_vector(sw_dtype type, int64_t n, int64_t at, double bad) {
    sw_params *p = sw_params_new(type, 1);
    assert_non_null(sw_params_add(p, "w", 1, &n, NULL));
    assert_ok(sw_params_build(p));
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1");
    double *c = calloc((size_t)n, sizeof *c);
    assert_non_null(c);
    c[at] = bad;
    assert_int_equal(step_with(o, p, c), SW_SKIPPED);
    for (int64_t i = 0; i < n; i++)
        assert_true(vec_get(type, sw_params_x(p), i) == 0);
    free(c);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_nonfinite_element_anywhere_skips_the_step(void **state) {
    (void)state;
    const double bad[3] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    const int64_t lengths[] = {1, 31, 32, 33, SW_TILE - 1, SW_TILE, SW_TILE + 1, 3 * SW_TILE + 17};
    for (int t = 0; t < 2; t++)
        for (int b = 0; b < 3; b++)
            for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
                bad_in_vector(both_types[t], lengths[l], 0, bad[b]);
                bad_in_vector(both_types[t], lengths[l], lengths[l] - 1, bad[b]);
                bad_in_vector(both_types[t], lengths[l], lengths[l] / 2, bad[b]);
            }
}

/* Squares that overflow are no Inf: the step is taken, and the norm is right. */
static void test_large_finite_gradient_is_not_skipped(void **state) {
    (void)state;
    const double large[2] = {1e30, 1e200}, larger[2] = {(double)3e38f, 1e308};
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0");
        double c[SMALL_DIM] = {0};
        c[3] = (double)(float)3e0 * large[t];
        c[5] = 4 * large[t];
        assert_ok(step_with(o, p, c));
        double norm = sw_optim_gradient_norm(o); /* f32 rounds c by 6e-8 each */
        assert_true(fabs(norm / (5 * large[t]) - 1) <= (t == 0 ? 1e-7 : 1e-15));
        for (int i = 0; i < SMALL_DIM; i++)
            c[i] = larger[t];
        assert_ok(step_with(o, p, c)); /* also where the norm is larger than any number of the type */
        assert_int_equal(sw_optim_steps_skipped(o), 0);
        sw_optim_free(o);
        /* Clipping such a gradient: of norm 1, not zero. */
        params_set(p, (const double[SMALL_DIM]){0});
        o = NEW_OPTIM(p, .rule = "sgd lr=1", .clip = 1);
        assert_ok(step_with(o, p, c));
        for (int i = 0; i < SMALL_DIM; i++) { /* sqrt, division, product: three roundings */
            double each = vec_get(both_types[t], sw_params_x(p), i);
            if (!(fabs(each * sqrt(18) + 1) <= (t == 0 ? 4e-7 : 1e-15)))
                fail_msg("%s: clipped to %g", sw_dtype_name(both_types[t]), each);
        }
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static void test_begin_and_decide_may_skip(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 4, some_gradient);
    sw_optim *o = NEW_OPTIM(p, .rule = "spy", .estimator = "spy", .average = "spy");
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    double before[SMALL_DIM];
    memcpy(before, sw_params_x(p), sizeof before);
    for (int k = 0; k < 2; k++) {
        calls[0] = 0;
        skip_begin = k == 0;
        skip_decide = k == 1;
        assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
        expect_no_error();
        assert_string_equal(calls, k == 0 ? "sample estimate begin" : "sample estimate begin measure decide");
        assert_memory_equal(before, sw_params_x(p), sizeof before);
        assert_true(sw_optim_scalar(o, 0, "begun") == 1); /* what they wrote is undone */
        assert_true(sw_optim_scalar(o, -1, "samples") == 1);
        assert_int_equal(sw_optim_steps_skipped(o), k + 1);
        assert_int_equal(sw_optim_steps_taken(o), 1);
    }
    skip_begin = skip_decide = false;
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    assert_true(seen_step == 2);
    sw_optim_free(o);
    o = NEW_OPTIM(p, .rule = "tensor_spy"); /* too late to skip */
    skip_decide = true;
    assert_int_equal(step_with(o, p, some_gradient), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "rule tensor_spy: only begin and decide may skip a step");
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_nonfinite_combined_gradient_skips_the_step(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    constant_problem f;
    constant_problem_init(&f, p, 1, 1, 0.5);
    f.g[11] = 1e37; /* fine, until it is taken a hundred times */
    const sw_optim_options how = {.size = sizeof how, .estimator = "hundredfold"};
    sw_optim *o = new_optim(p, &how);
    float before[SMALL_DIM];
    memcpy(before, sw_params_x(p), sizeof before);
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
    assert_memory_equal(before, sw_params_x(p), sizeof before);
    assert_int_equal(sw_optim_steps_skipped(o), 1);
    assert_int_equal(sw_optim_steps_taken(o), 0);
    f.g[11] = 1;
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    assert_int_equal(sw_optim_steps_taken(o), 1);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_skipped_step_reports_its_value(void **state) {
    (void)state;
    static const double bad[] = {INFINITY, -INFINITY, (double)NAN};
    sw_params *p = small_params(SW_F32);
    sw_optim *o = sw_optim_new(p, "sgd");
    constant_problem f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double value = 7;
        if (i == 0)
            constant_problem_init(&f, p, 1, 0, (double)NAN);
        f.value = bad[i];
        assert_int_equal(sw_optim_minimize(o, &f.f, &value), SW_SKIPPED);
        assert_true(isnan(bad[i]) ? isnan(value) : value == bad[i]);
    }
    sw_optim_free(o);
    sw_params_free(p);
}

static int register_methods(void **state) {
    return register_spies(state) || sw_estimator_register(&hundredfold) != SW_OK;
}

/* A rule whose point depends on an option that a schedule scales, and on a coefficient. */
static sw_status pointing_begin(sw_step *s) {
    s->coefficient[0] = (double)s->step;
    return SW_OK;
}
static sw_status pointing_decide(sw_step *s, const double *sums) {
    (void)s, (void)sums;
    return skip_decide ? SW_SKIPPED : SW_OK;
}
static void pointing_point(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        vec_set(s->type, s->out, i, s->option[0] * s->coefficient[0]);
}
static const sw_kernels pointing_kernels = ALL_LEVELS(pointing_point);
static const sw_option pointing_options[] = {{.name = "scale", .value = 1, .low = 0, .high = 10}, {0}};
static const sw_rule pointing = {.size = sizeof(sw_rule),
                                 .name = "pointing",
                                 .options = pointing_options,
                                 .begin = pointing_begin,
                                 .decide = pointing_decide,
                                 .update = &no_kernels,
                                 .point = &pointing_kernels};

static void assert_point(sw_optim *o, sw_dtype type, double value) {
    for (int i = 0; i < SMALL_DIM; i++)
        assert_true(vec_get(type, sw_optim_point(o), i) == value);
}

static void test_skipped_step_leaves_the_point(void **state) {
    (void)state;
    assert_ok(sw_rule_register(&pointing));
    for (int t = 0; t < 2; t++)
        for (int resumed = 0; resumed < 2; resumed++) {
            sw_params *p = small_params(both_types[t]);
            constant_problem f;
            constant_problem_init(&f, p, 4, 1, 0.5);
            sw_optim *o = NEW_OPTIM(p, .rule = "pointing", .schedule = "exponential factor=0.5 per=1 on=scale");
            for (int i = 0; i < 3; i++)
                assert_ok(sw_optim_minimize(o, &f.f, NULL));
            assert_point(o, both_types[t], 0.75);
            if (resumed) {
                sw_archive *a = sw_archive_new();
                assert_ok(sw_optim_pack(o, a));
                assert_ok(sw_optim_unpack(o, a));
                sw_archive_free(a);
            }
            f.g[3] = (double)NAN;
            assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
            assert_point(o, both_types[t], 0.75);
            f.g[3] = 0.5;
            skip_decide = true;
            assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
            assert_point(o, both_types[t], 0.75);
            assert_int_equal(step_with(o, p, some_gradient), SW_SKIPPED);
            assert_point(o, both_types[t], 0.75);
            skip_decide = false;
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
            assert_point(o, both_types[t], 0.5);
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* x_written is true until a step is taken, also after a skipped step and in a resumed run. Otherwise an estimator would
 * keep data that belongs to the old x. */
static bool told_written;
static sw_status told_estimate(sw_estimate *e, const void *x, void *g) {
    told_written = e->x_written;
    return plain_estimate(e, x, g);
}
static const sw_estimator told = {.size = sizeof(sw_estimator), .name = "told", .estimate = told_estimate};

static void expect_written(sw_optim *o, const constant_problem *f, sw_status status, bool written) {
    told_written = !written;
    assert_int_equal(sw_optim_minimize(o, &f->f, NULL), status);
    assert_true(told_written == written);
}

static void test_estimator_is_told_of_a_written_x_until_a_step(void **state) {
    (void)state;
    assert_ok(sw_estimator_register(&told));
    assert_ok(sw_rule_register(&pointing));
    for (int resumed = 0; resumed < 2; resumed++) {
        sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
        constant_problem f, h;
        constant_problem_init(&f, p, 4, 1, 0.5);
        constant_problem_init(&h, q, 4, 1, 0.5);
        sw_optim *o = NEW_OPTIM(p, .rule = "pointing", .estimator = "told"),
                 *other = NEW_OPTIM(q, .rule = "pointing", .estimator = "told");
        expect_written(o, &f, SW_OK, true); /* true in the first step */
        expect_written(o, &f, SW_OK, false);
        sw_params_mark_changed(p);
        skip_decide = true;
        expect_written(o, &f, SW_SKIPPED, true);
        expect_written(o, &f, SW_SKIPPED, true);
        skip_decide = false;
        if (resumed) {
            sw_archive *a = sw_archive_new();
            assert_ok(sw_optim_bind(other, &h.f));
            assert_ok(sw_optim_pack(o, a));
            assert_ok(sw_optim_unpack(other, a));
            sw_archive_free(a);
        }
        expect_written(resumed ? other : o, resumed ? &h : &f, SW_OK, true);
        expect_written(resumed ? other : o, resumed ? &h : &f, SW_OK, false);
        sw_optim_free(o);
        sw_optim_free(other);
        sw_params_free(p);
        sw_params_free(q);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, spies_setup, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_skipped_step_changes_no_bit),
        TEST(test_nonfinite_element_anywhere_skips_the_step),
        TEST(test_large_finite_gradient_is_not_skipped),
        TEST(test_begin_and_decide_may_skip),
        TEST(test_nonfinite_combined_gradient_skips_the_step),
        TEST(test_skipped_step_reports_its_value),
        TEST(test_skipped_step_leaves_the_point),
        TEST(test_estimator_is_told_of_a_written_x_until_a_step),
    };
    return cmocka_run_group_tests_name("skipped_steps", tests, register_methods, NULL);
}
