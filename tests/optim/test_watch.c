/* The norms of the last step by layer, exactly; the tape of the optimizer. */
#include "helpers.h"

/* linear1.weight [2], linear1.bias [1], linear10.weight [2], head [1], and linear1.weight again by the name
 * tied.weight: 6 elements. */
enum { DIM = 6 };
static sw_params *layered(sw_dtype type) {
    sw_params *p = sw_params_new(type, 1);
    sw_param *first = sw_params_add(p, "linear1.weight", 1, (const int64_t[]){2}, NULL);
    assert_non_null(first);
    assert_non_null(sw_params_add(p, "linear1.bias", 1, (const int64_t[]){1}, NULL));
    assert_non_null(sw_params_add(p, "linear10.weight", 1, (const int64_t[]){2}, NULL));
    assert_non_null(sw_params_add(p, "head", 1, (const int64_t[]){1}, NULL));
    assert_non_null(sw_params_tie(p, "tied.weight", first));
    assert_ok(sw_params_build(p));
    assert_int_equal(sw_params_dim(p), DIM);
    params_set(p, (const double[DIM]){8, 16, 64, 0, 0, 2});
    return p;
}

static void expect(const sw_optim *o, const char *layer, double parameter, double gradient, double update) {
    sw_norms n;
    assert_ok(sw_optim_norms(o, layer, &n));
    if (n.parameter != parameter || n.gradient != gradient || n.update != update)
        fail_msg("%s: %.17g %.17g %.17g; %.17g %.17g %.17g are expected", layer ? layer : "all", n.parameter,
                 n.gradient, n.update, parameter, gradient, update);
}

static void expect_nan(const sw_optim *o, const char *layer) {
    sw_norms n;
    assert_ok(sw_optim_norms(o, layer, &n));
    assert_true(isnan(n.parameter) && isnan(n.gradient) && isnan(n.update));
}

/* The tied name doubles the first two: gradient 3 4 12 6 8 84; steps of half of it, so that x becomes
 * 6.5 14 58 -3 -4 -40. */
static const double c[DIM] = {1.5, 2, 12, 6, 8, 84};

static void test_norms_by_layer_are_exact(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_params *p = layered(both_types[t]);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.5");
        assert_ok(sw_optim_record_norms(o, true));
        expect_nan(o, "linear1");
        expect_nan(o, NULL);
        assert_ok(step_with(o, p, c));
        const double x0 = 6.5, x1 = 14, x2 = 58; /* √(42.25 + 196 + 3364) = √3602.25 and below, not whole */
        sw_norms n;
        assert_ok(sw_optim_norms(o, "linear1", &n));
        assert_true(fabs(n.parameter / sqrt(x0 * x0 + x1 * x1 + x2 * x2) - 1) <= (t ? 1e-15 : 2e-7));
        assert_true(n.gradient == 13 && n.update == 6.5); /* 5 and 12; half of it */
        expect(o, "linear10", 5, 10, 5);
        expect(o, "linear10.weight", 5, 10, 5);
        expect(o, "head", 40, 84, 42);
        expect(o, "linear1.bias", 58, 12, 6);
        assert_ok(sw_optim_norms(o, "tied", &n)); /* another name of the same elements */
        assert_true(n.gradient == 5 && n.update == 2.5);
        assert_ok(sw_optim_norms(o, NULL, &n)); /* 13 10 84: counted once */
        assert_true(fabs(n.gradient - sqrt(13 * 13 + 10 * 10 + 84 * 84)) <= 1e-13);
        assert_true(fabs(n.update - n.gradient / 2) <= 1e-13);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* The rule sees a clipped gradient: 3 4 of norm 5, clipped to 2.5. */
static void test_watched_gradient_is_clipped(void **state) {
    (void)state;
    sw_params *p = layered(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1", .clip = 2.5);
    assert_ok(sw_optim_record_norms(o, true));
    assert_ok(step_with(o, p, (const double[DIM]){1.5, 2}));
    sw_norms n;
    assert_ok(sw_optim_norms(o, NULL, &n));
    assert_true(n.gradient == 2.5 && n.update == 2.5);
    assert_true(sw_optim_gradient_norm(o) == 5);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_watched_norms_of_skipped_and_frozen_are_right(void **state) {
    (void)state;
    sw_params *p = layered(SW_F32);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.5");
    assert_ok(sw_optim_record_norms(o, true));
    double bad[DIM] = {1, 1, 1, 1, 1, (double)NAN};
    assert_int_equal(step_with(o, p, bad), SW_SKIPPED);
    expect_nan(o, "head");
    assert_ok(step_with(o, p, c));
    assert_int_equal(step_with(o, p, bad), SW_SKIPPED);
    expect(o, "linear10", 5, 10, 5);
    expect(o, "head", 40, 84, 42);
    sw_param_freeze(sw_params_find(p, "linear10.weight"), true);
    assert_ok(step_with(o, p, c));
    expect(o, "linear10", 5, 0, 0);
    expect(o, "head", 82, 84, 42);
    /* Off and on again: as at first. */
    assert_ok(sw_optim_record_norms(o, true));
    expect(o, "head", 82, 84, 42);
    assert_ok(sw_optim_record_norms(o, false));
    assert_ok(sw_optim_record_norms(o, true));
    expect_nan(o, "head");
    sw_optim_free(o);
    sw_params_free(p);
}

/* Squares that overflow. sqrt, scaling and hypot: five roundings. */
static void test_large_norms_do_not_overflow(void **state) {
    (void)state;
    const double huge[2] = {1e30, 1e200};
    for (int t = 0; t < 2; t++) {
        sw_params *p = layered(both_types[t]);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0");
        assert_ok(sw_optim_record_norms(o, true));
        assert_ok(step_with(o, p, (const double[DIM]){0, 0, 3 * huge[t], 4 * huge[t]}));
        sw_norms n;
        assert_ok(sw_optim_norms(o, NULL, &n));
        assert_true(fabs(n.gradient / (5 * huge[t]) - 1) <= (t ? 1e-15 : 1e-7) && n.update == 0);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* Watching changes no bit of the training, and costs a vector. */
static void test_watching_changes_nothing(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_params *p = layered(both_types[t]), *q = layered(both_types[t]);
        sw_optim *o = NEW_OPTIM(p, .rule = "adam lr=0.1"), *bare = NEW_OPTIM(q, .rule = "adam lr=0.1");
        size_t before = sw_optim_bytes(o).work;
        assert_ok(sw_optim_record_norms(o, true));
        assert_int_equal(sw_optim_bytes(o).work - before, params_bytes(p));
        for (int i = 0; i < 10; i++) {
            double x[DIM], norm = 0;
            for (int k = 0; k < DIM; k++)
                x[k] = vec_get(both_types[t], sw_params_x(p), k);
            assert_ok(step_with(o, p, c));
            assert_ok(step_with(bare, q, c));
            assert_memory_equal(sw_params_x(p), sw_params_x(q), params_bytes(p));
            for (int k = 0; k < DIM; k++)
                norm += pow(vec_get(both_types[t], sw_params_x(p), k) - x[k], 2);
            sw_norms n;
            assert_ok(sw_optim_norms(o, NULL, &n)); /* f32: a norm of six squares, each to 1e-7 */
            assert_true(fabs(n.update / sqrt(norm) - 1) <= (t ? 1e-14 : 1e-6));
        }
        assert_ok(sw_optim_record_norms(o, false));
        assert_int_equal(sw_optim_bytes(o).work, before);
        sw_optim_free(o);
        sw_optim_free(bare);
        sw_params_free(p);
        sw_params_free(q);
    }
}

static void test_norms_refuse_wrong_calls(void **state) {
    (void)state;
    sw_params *p = layered(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd");
    sw_norms n;
    assert_int_equal(sw_optim_norms(o, NULL, &n), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "norms: call sw_optim_record_norms(optim, true) before the step");
    assert_ok(sw_optim_record_norms(o, true));
    static const char *const bad[][2] = {
        {"linear2", "norms: there is no layer linear2, did you mean linear1?"},
        {"haed", "norms: there is no layer haed, did you mean head?"},
        {"linear1.wieght", "norms: there is no layer linear1.wieght, did you mean linear1.weight?"},
        {"linear", "norms: there is no layer linear, did you mean linear1?"},
        {"", "norms: there is no layer "},
        {"convolution", "norms: there is no layer convolution"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(sw_optim_norms(o, bad[i][0], &n), SW_ERR_ARGUMENT);
        expect_error(SW_ERR_ARGUMENT, bad[i][1]);
    }
    assert_int_equal(sw_optim_norms(NULL, NULL, &n), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "norms: an argument is NULL");
    assert_int_equal(sw_optim_record_norms(NULL, true), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_record_norms: the optimizer is NULL");
    assert_null(sw_optim_tape(NULL));
    expect_error(SW_ERR_ARGUMENT, "optim_tape: the optimizer is NULL");
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- The tape ---- */

typedef struct seen {
    sw_objective f;
    sw_tape *tape;
    bool checked;
} seen;

static sw_tensor seeing_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    seen *s = user;
    (void)ids, (void)count;
    s->tape = tape;
    s->checked = sw_tape_switch(tape, SW_CHECK);
    return inner_loss(tape, s->f.params, c);
}

/* A switch of the optimizer's tape is on where the objective is evaluated. */
static void test_switches_of_the_tape_are_on_for_the_objective(void **state) {
    (void)state;
    for (int on = 0; on < 2; on++)
        for (int bound = 0; bound < 2; bound++) {
            sw_params *p = layered(SW_F64);
            seen s = {.f = {.size = sizeof s.f, .n = 1, .params = p, .user = &s, .loss = seeing_loss}};
            sw_optim *o = NEW_OPTIM(p, .rule = "sgd");
            if (bound)
                assert_ok(sw_optim_bind(o, &s.f));
            sw_tape *tape = sw_optim_tape(o);
            assert_non_null(tape);
            sw_tape_set_switch(tape, SW_CHECK, on);
            assert_ok(sw_optim_minimize(o, &s.f, NULL));
            assert_ptr_equal(s.tape, tape);
            assert_ptr_equal(sw_optim_tape(o), tape);
            assert_int_equal(s.checked, on);
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* Every request for memory fails once. */
static void test_watch_survives_every_failed_allocation(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    for (long long k = 1;; k++) {
        sw_params *p = layered(SW_F64);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd");
        test_allocator_fail(&a, k, false);
        sw_status watched = sw_optim_record_norms(o, true);
        sw_tape *tape = watched == SW_OK ? sw_optim_tape(o) : NULL;
        bool failed = atomic_load(&a.failed) > 0;
        test_allocator_fail(&a, 0, false);
        assert_true(failed == (sw_error() != NULL) && failed == !tape);
        sw_clear_error();
        assert_ok(sw_optim_record_norms(o, true)); /* nothing is left half done */
        assert_non_null(sw_optim_tape(o));
        sw_optim_free(o);
        sw_params_free(p);
        if (!failed)
            break;
        assert_true(k < 100);
    }
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_norms_by_layer_are_exact),
        TEST(test_watched_gradient_is_clipped),
        TEST(test_watched_norms_of_skipped_and_frozen_are_right),
        TEST(test_large_norms_do_not_overflow),
        TEST(test_watching_changes_nothing),
        TEST(test_norms_refuse_wrong_calls),
        TEST(test_switches_of_the_tape_are_on_for_the_objective),
        TEST(test_watch_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
