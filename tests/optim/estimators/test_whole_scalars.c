/* Integer scalars: int64_t in the code, doubles in files and for programs that read them by name. */
#include "support.h"

#include <swale/optim.h>

enum { N = 12 };

/* ---- An estimator that counts, with batches of one ---- */

typedef struct counting_scalars {
    double half;
    int64_t steps, large;
} counting_scalars;
static const char *const counting_names[] = {"half", "steps", "large", NULL};
SW_MATCH_SCALARS(counting_scalars, counting_names);

static int64_t large = ((int64_t)1 << 53) - 1;
static bool skips;

static sw_status counting_estimate(sw_estimate *e, const void *x, void *g) {
    counting_scalars *s = SW_SCALARS_AS(e->scalar, counting_scalars);
    s->steps++;
    s->half = (double)s->steps / 2;
    s->large = large - s->steps;
    SW_TRY(sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g));
    return skips ? SW_SKIPPED : SW_OK;
}

static const sw_option counting_options[] = {
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 1, .low = 1, .high = 100}, {0}};
static const sw_estimator counting = {.size = sizeof(sw_estimator),
                                      .name = "counting",
                                      .options = counting_options,
                                      .scalars = counting_names,
                                      .whole_scalars = SW_WHOLE_SCALAR(counting_scalars, steps) |
                                                       SW_WHOLE_SCALAR(counting_scalars, large),
                                      .estimate = counting_estimate};

/* ½ (x - i)² */
static sw_status square_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                 double *value, void *g) {
    const double at = *(const double *)x;
    double sum = 0;
    (void)user, (void)draw;
    *value = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += (at - (double)ids[i]) / (double)count;
        *value += (at - (double)ids[i]) * (at - (double)ids[i]) / 2 / (double)count;
    }
    if (g)
        *(double *)g = sum;
    return SW_OK;
}

typedef struct trained {
    sw_params *params;
    sw_objective objective;
    sw_optim *optim;
} trained;

static trained *trained_new(int steps) {
    trained *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->params = sw_params_new(SW_F64, 1);
    assert_non_null(sw_params_add(t->params, "x", SW_SHAPE(1), NULL));
    assert_ok(sw_params_build(t->params));
    t->objective =
        (sw_objective){.size = sizeof(sw_objective), .n = N, .params = t->params, .gradient = square_gradient};
    t->optim = sw_optim_new_with_options(
        t->params,
        &(sw_optim_options){.size = sizeof(sw_optim_options), .estimator = "counting", .rule = "sgd lr=0.1"});
    if (!t->optim)
        fail_msg("%s", sw_error());
    assert_ok(sw_optim_bind(t->optim, &t->objective));
    for (int i = 0; i < steps; i++)
        assert_ok(sw_optim_minimize(t->optim, &t->objective, NULL));
    return t;
}

static void trained_free(trained *t) {
    sw_optim_free(t->optim);
    sw_params_free(t->params);
    free(t);
}

static void assert_counts(const trained *t, int64_t steps) {
    assert_true(sw_optim_scalar(t->optim, -1, "steps") == (double)steps);
    assert_true(sw_optim_scalar(t->optim, -1, "half") == (double)steps / 2);
    assert_true(sw_optim_scalar(t->optim, -1, "large") == (double)(steps > 0 ? large - steps : 0));
}

/* ---- Tests ---- */

static void asked_by_name(void **state) {
    (void)state;
    trained *t = trained_new(0);
    assert_counts(t, 0);
    trained_free(t);
    t = trained_new(5);
    assert_counts(t, 5);
    trained_free(t);
}

static void undone_by_a_skip(void **state) {
    (void)state;
    trained *t = trained_new(3);
    skips = true;
    assert_int_equal(sw_optim_minimize(t->optim, &t->objective, NULL), SW_SKIPPED);
    skips = false;
    assert_counts(t, 3);
    assert_ok(sw_optim_minimize(t->optim, &t->objective, NULL));
    assert_counts(t, 4);
    trained_free(t);
}

/* Files have a double, as those of versions in which it was one. */
static void saved_as_a_double(void **state) {
    (void)state;
    trained *t = trained_new(7), *u = trained_new(2);
    sw_archive *a = sw_archive_new();
    assert_ok(sw_optim_pack(t->optim, a));
    const sw_array steps = sw_archive_get(a, "optim.estimator.scalar.steps"),
                   much = sw_archive_get(a, "optim.estimator.scalar.large");
    assert_true(steps.data && steps.type == SW_F64 && *(const double *)steps.data == 7);
    assert_true(much.data && much.type == SW_F64 && *(const double *)much.data == 0x1p53 - 8);
    assert_ok(sw_optim_unpack(u->optim, a));
    assert_counts(u, 7);
    for (int i = 0; i < 3; i++) {
        assert_ok(sw_optim_minimize(t->optim, &t->objective, NULL));
        assert_ok(sw_optim_minimize(u->optim, &u->objective, NULL));
    }
    assert_counts(u, 10);
    assert_memory_equal(sw_params_x(t->params), sw_params_x(u->params), sizeof(double));
    sw_archive_free(a);
    trained_free(t);
    trained_free(u);
}

/* A number in a file that is not whole is refused, and nothing changes. */
static void refused_if_not_whole(void **state) {
    const double wrong[] = {2.5, NAN, INFINITY, 0x1p60};
    const char *const text[] = {"2.5", "nan", "inf", "1.15292e+18"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        trained *t = trained_new(4), *u = trained_new(2);
        sw_archive *a = sw_archive_new();
        char message[200];
        assert_ok(sw_optim_pack(t->optim, a));
        const sw_array steps = sw_archive_get(a, "optim.estimator.scalar.steps");
        *(double *)steps.data = wrong[i];
        assert_int_equal(sw_optim_unpack(u->optim, a), SW_ERR_FORMAT);
        snprintf(
            message, sizeof message,
            "archive: does not fit the optimizer: estimator.scalar.steps is %s in the file, which is not an integer",
            text[i]);
        expect_error(SW_ERR_FORMAT, message);
        assert_counts(u, 2);
        sw_archive_free(a);
        trained_free(t);
        trained_free(u);
    }
}

int main(void) {
    if (sw_estimator_register(&counting) != SW_OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(asked_by_name, test_clear),
                                       cmocka_unit_test_setup(undone_by_a_skip, test_clear),
                                       cmocka_unit_test_setup(saved_as_a_double, test_clear),
                                       cmocka_unit_test_setup(refused_if_not_whole, test_clear)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
