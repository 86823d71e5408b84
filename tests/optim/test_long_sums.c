#define _GNU_SOURCE
/* Means and sums over up to a million steps in f32. In f32 alone they stand still where a change is below
 * half a unit in the last place; here they are compared with what they mean, in f64. */
#include "helpers.h"

#include "golden/state_of_one_vector.h"

#include <math.h>
#include <unistd.h>

static const double HALF = 0x1p-24; /* half a unit in the last place, relative, of f32 */

/* ---- A run whose iterates the test sets ---- */

static sw_status no_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                             void *g) {
    (void)x, (void)ids, (void)count, (void)draw;
    *value = 0;
    if (g)
        memset(g, 0, params_bytes(user));
    return SW_OK;
}

enum { WIDTH = 3 };

static sw_params *three_params(void) {
    sw_params *p = sw_params_new(SW_F32, 1);
    assert_non_null(sw_params_add(p, "w", 1, (const int64_t[]){WIDTH}, NULL));
    assert_ok(sw_params_build(p));
    return p;
}

/* x goes from 1 to 1.05, from -1 to -1.05, and around 1e-3. */
static void set_iterate(sw_params *p, int64_t t, int64_t steps) {
    float *x = sw_params_x(p);
    const double part = (double)t / (double)steps;
    x[0] = (float)(1 + 0.05 * part);
    x[1] = (float)(-1 - 0.05 * part);
    x[2] = (float)(1e-3 * cos(40 * part));
}

/* ---- Averages ---- */

typedef struct long_average {
    const char *spec;
    int64_t steps;
    double decay; /* of an EMA; 0: the mean */
    int64_t last; /* only of so many latest iterates; 0: of all */
    double first; /* what the mean of the first element is; 0: not asked */
} long_average;

/* A step adds t = w (x - e - low), rounded three times, and rounds low, which is half a unit of e at most. So the error
 * of e + low grows by 3 u |t| + u² |e| a step, and by one rounding of w, u |t|; the vector e is rounded once more. For
 * a mean Σ |t| ≤ D (1 + log N), for an EMA N w D, with D the largest distance, which is below 0.11 here. */
static double long_bound(const long_average *a, double e) {
    const double n = (double)a->steps, moved = a->decay > 0 ? n * (1 - a->decay) : 1 + log(n);
    return HALF * fabs(e) + 4 * HALF * 0.11 * moved + n * HALF * HALF * fabs(e);
}

static void follow_long_average(const long_average *a) {
    sw_params *p = three_params();
    const sw_objective f = {.size = sizeof f, .n = 1, .params = p, .user = p, .gradient = no_gradient};
    double e[WIDTH];
    set_iterate(p, 0, a->steps);
    for (int i = 0; i < WIDTH; i++)
        e[i] = a->decay > 0 ? vec_get(SW_F32, sw_params_x(p), i) : 0;
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0", .average = a->spec, .total_steps = a->steps);
    for (int64_t t = 1; t <= a->steps; t++) {
        if (t > 1)
            set_iterate(p, t, a->steps);
        assert_ok(sw_optim_minimize(o, &f, NULL));
        const int64_t before = a->last ? a->steps - a->last : 0;
        for (int i = 0; i < WIDTH && t > before; i++) {
            const double x = vec_get(SW_F32, sw_params_x(p), i);
            e[i] += (a->decay > 0 ? 1 - a->decay : 1 / (double)(t - before)) * (x - e[i]);
        }
    }
    for (int i = 0; i < WIDTH; i++) {
        const double is = vec_get(SW_F32, sw_optim_point(o), i);
        if (!(fabs(is - e[i]) <= long_bound(a, e[i])))
            fail_msg("%s: element %d is %.9g after %lld steps, not %.9g", a->spec, i, is, (long long)a->steps, e[i]);
    }
    if (a->first > 0) /* the sum of an arithmetic series; iterates are rounded by half a unit */
        assert_true(fabs(e[0] - a->first) <= 0x1p-24 * 1.05 + 0.05 / (double)a->steps);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_averages_over_many_steps_are_accurate(void **state) {
    (void)state;
    static const long_average cases[] = {
        {"polyak", 1000000, 0, 0, 1.025},
        {"swa start=1 every=1", 1000000, 0, 0, 1.025},
        {"ema decay=0.999999", 1000000, 0.999999, 0, 0},
        {"ema decay=0.99999", 300000, 0.99999, 0, 0},
        {"lawa_queue length=50000 start=1 every=1", 60000, 0, 50000, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        follow_long_average(&cases[i]);
}

/* lawa_ema begins with the first iterate it takes, not with x before the run. */
static void test_lawa_ema_over_many_steps_is_accurate(void **state) {
    (void)state;
    const long_average a = {"lawa_ema decay=0.99999 start=1 every=1", 300000, 0.99999, 0, 0};
    sw_params *p = three_params();
    const sw_objective f = {.size = sizeof f, .n = 1, .params = p, .user = p, .gradient = no_gradient};
    double e[WIDTH];
    set_iterate(p, 1, a.steps);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0", .average = a.spec, .total_steps = a.steps);
    for (int64_t t = 1; t <= a.steps; t++) {
        set_iterate(p, t, a.steps);
        assert_ok(sw_optim_minimize(o, &f, NULL));
        for (int i = 0; i < WIDTH; i++) {
            const double x = vec_get(SW_F32, sw_params_x(p), i);
            e[i] = t == 1 ? x : e[i] + (1 - a.decay) * (x - e[i]);
        }
    }
    for (int i = 0; i < WIDTH; i++)
        assert_true(fabs(vec_get(SW_F32, sw_optim_point(o), i) - e[i]) <= long_bound(&a, e[i]));
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Estimators ---- */

static void test_svrg_mean_snapshot_is_accurate(void **state) {
    (void)state;
    const long_average a = {"svrg snapshot=mean", 300000, 0, 0, 0};
    sw_params *p = three_params();
    const sw_objective f = {.size = sizeof f, .n = 4, .params = p, .user = p, .gradient = no_gradient};
    double mean[WIDTH] = {0};
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0", .estimator = "svrg batch=1 snapshot=mean period=1000000");
    for (int64_t t = 1; t <= a.steps; t++) {
        set_iterate(p, t, a.steps);
        assert_ok(sw_optim_minimize(o, &f, NULL));
        for (int i = 0; i < WIDTH; i++)
            mean[i] += (vec_get(SW_F32, sw_params_x(p), i) - mean[i]) / (double)t;
    }
    const sw_array next = sw_optim_slot(o, "next");
    for (int i = 0; i < WIDTH; i++)
        if (!(fabs(vec_get(SW_F32, next.data, i) - mean[i]) <= long_bound(&a, mean[i])))
            fail_msg("element %d of the mean is %.9g, not %.9g", i, vec_get(SW_F32, next.data, i), mean[i]);
    sw_optim_free(o);
    sw_params_free(p);
}

/* Each sample's gradient is 100 plus the iterate's hundredth: beside the sum of 1000 of them, 1e5, with half a unit of
 * 0.004, a change of one is nothing in f32. */
enum { ROWS = 1000 };
static sw_status nearly_constant(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                 double *value, void *g) {
    (void)user, (void)ids, (void)draw;
    *value = 0;
    for (int i = 0; i < WIDTH && g && count > 0; i++)
        vec_set(SW_F32, g, i, 100 + 1e-2 * vec_get(SW_F32, x, i));
    return SW_OK;
}

/* t = g - y is exact: both are within a factor 2. So e + low has only the roundings of low, u² of the sum a step,
 * and the sum is within half a unit of Σ y. */
static void table_sum(const char *estimator) {
    enum { VISITS = 100000 };
    sw_params *p = three_params();
    const sw_objective f = {.size = sizeof f, .n = ROWS, .params = p, .user = p, .gradient = nearly_constant};
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0", .estimator = estimator);
    for (int64_t t = 1; t <= VISITS; t++) {
        set_iterate(p, t, VISITS);
        assert_ok(sw_optim_minimize(o, &f, NULL));
    }
    const sw_array table = sw_optim_slot(o, "table"), sum = sw_optim_slot(o, "sum");
    for (int i = 0; i < WIDTH; i++) {
        double exact = 0;
        for (int row = 0; row < ROWS; row++)
            exact += vec_get(SW_F32, table.data, row * WIDTH + i);
        const double is = vec_get(SW_F32, sum.data, i), bound = exact * (HALF + VISITS * HALF * HALF);
        if (!(fabs(is - exact) <= bound))
            fail_msg("%s: the sum is %.9g, and Σ y %.9g", estimator, is, exact);
    }
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_sag_sum_over_many_steps_is_accurate(void **state) {
    (void)state;
    table_sum("sag");
    table_sum("saga init=full");
}

/* ---- States saved with one vector ---- */

static void test_state_of_one_vector_is_loaded(void **state) {
    (void)state;
    char path[] = "/tmp/swale_one_vector_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, state_of_one_vector, sizeof state_of_one_vector), sizeof state_of_one_vector);
    close(file);
    sw_params *p = three_params();
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.1", .average = "ema decay=0.75");
    const float ema[WIDTH] = {0x1.bf3332p-1f, -0x1.103332p+1f, 0x1.7e6668p-2f}, none[WIDTH] = {0};
    float *low = sw_optim_slot(o, "ema_low").data;
    low[0] = low[1] = low[2] = 1; /* what was there before is not kept */
    assert_ok(sw_optim_load(o, path));
    unlink(path);
    assert_int_equal(sw_optim_steps_taken(o), 3);
    assert_memory_equal(sw_optim_slot(o, "ema").data, ema, sizeof ema);
    assert_memory_equal(sw_optim_slot(o, "ema_low").data, none, sizeof none);
    const double g[WIDTH] = {1, 1, 1};
    assert_ok(step_with(o, p, g)); /* and goes on */
    for (int i = 0; i < WIDTH; i++) {
        const double x = vec_get(SW_F32, sw_params_x(p), i), wanted = ema[i] + 0.25 * (x - ema[i]);
        assert_true(fabs(vec_get(SW_F32, sw_optim_point(o), i) - wanted) <= 2 * HALF * fabs(wanted));
    }
    sw_optim_free(o);
    sw_params_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_averages_over_many_steps_are_accurate), TEST(test_lawa_ema_over_many_steps_is_accurate),
        TEST(test_svrg_mean_snapshot_is_accurate),        TEST(test_sag_sum_over_many_steps_is_accurate),
        TEST(test_state_of_one_vector_is_loaded),
    };
    return cmocka_run_group_tests_name("long sums", tests, NULL, NULL);
}
