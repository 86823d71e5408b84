/* sgd, adam, adamw and ema against NumPy: 100 steps on given gradients, f64 and f32. */
#include "helpers.h"

#include "golden/optim_steps.h"

/* Both sides do the same dozen operations a step, each rounding by 1.1e-16: over 100 steps errors
 * add to at most 100·12·1.1e-16 = 1.3e-13 where the problem does not magnify them; m/√v magnifies
 * those of m by up to about 3 where v is small. 1e-12 leaves room and is what was asked for. */
static const double F64_TOLERANCE = 1e-12;

/* max |point - golden| / max |golden| over the steps seen: for each parameter. */
typedef struct distances {
    double worst[3], largest[3];
} distances;

static void compare(distances *d, sw_params *p, const void *point, const double *golden_point) {
    for (int k = 0; k < 3; k++) {
        const sw_param *param = sw_params_at(p, k);
        for (int64_t i = param->offset; i < param->offset + param->count; i++) {
            double error = fabs(vec_get(sw_params_type(p), point, i) - golden_point[i]);
            if (!(error <= d->worst[k])) /* NaN stays */
                d->worst[k] = error;
            d->largest[k] = fmax(d->largest[k], fabs(golden_point[i]));
        }
    }
}

static void run(sw_dtype type, const golden *g) {
    sw_params *p = small_params(type);
    params_set(p, start);
    const sw_optim_options how = {
        .size = sizeof how, .rule = g->rule, .schedule = g->schedule, .average = g->average, .total_steps = STEPS};
    sw_optim *optim = sw_optim_new_with_options(p, &how);
    if (!optim)
        fail_msg("%s: %s", g->rule, sw_error());
    distances d = {{0}, {0}};
    for (int t = 0, at = 0; t < STEPS; t++) {
        assert_ok(step_with(optim, p, gradient[t]));
        if (t + 1 == checked[at])
            compare(&d, p, sw_optim_point(optim), g->point[at++]);
    }
    for (int k = 0; k < 3; k++) {
        double allowed = type == SW_F64 ? F64_TOLERANCE : g->tolerance;
        if (!(d.worst[k] <= allowed * d.largest[k]))
            fail_msg("%s, %s, %s, %s, parameter %d: %.3g away, %.3g allowed", g->rule, g->schedule, g->average,
                     sw_dtype_name(type), k, d.worst[k] / d.largest[k], allowed);
    }
    assert_int_equal(sw_optim_steps_taken(optim), STEPS);
    sw_optim_free(optim);
    sw_params_free(p);
}

static void follows(const char *rule, bool averages) {
    int cases = 0;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        bool averaged = strcmp(goldens[i].average, "none") != 0;
        size_t name = strcspn(goldens[i].rule, " ");
        if (averaged != averages || strlen(rule) != name || strncmp(goldens[i].rule, rule, name) != 0)
            continue;
        run(SW_F64, &goldens[i]);
        run(SW_F32, &goldens[i]);
        cases++;
    }
    assert_true(cases > 0);
}

static void test_sgd_agrees_with_numpy(void **state) {
    (void)state;
    follows("sgd", false);
}

static void test_adam_agrees_with_numpy(void **state) {
    (void)state;
    follows("adam", false);
}

static void test_adamw_agrees_with_numpy(void **state) {
    (void)state;
    follows("adamw", false);
}

static void test_ema_agrees_with_numpy(void **state) {
    (void)state;
    follows("sgd", true);
}

/* A rule whose name does not change what it does is a classic. */
static void test_every_golden_path_differs(void **state) {
    (void)state;
    int n = (int)(sizeof goldens / sizeof *goldens);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) {
            double apart = 0;
            for (int k = 0; k < CHECKED * DIM; k++)
                apart = fmax(apart, fabs(goldens[i].point[k / DIM][k % DIM] - goldens[j].point[k / DIM][k % DIM]));
            if (!(apart > 1e-3)) /* far above the tolerances: no case can pass for another */
                fail_msg("%s %s and %s %s end %g apart", goldens[i].rule, goldens[i].average, goldens[j].rule,
                         goldens[j].average, apart);
        }
}

/* Momentum 0 is plain SGD, weight decay 0 makes Adam of AdamW, decay 0 makes the average the last
 * iterate: bit for bit but for the average, which moves by w(x - e) with w = 1. */
static void same_path(const char *one, const char *other) {
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]), *q = small_params(both_types[t]);
        sw_optim *a = sw_optim_new(p, one), *b = sw_optim_new(q, other);
        assert_non_null(a);
        assert_non_null(b);
        for (int i = 0; i < 20; i++) {
            assert_ok(step_with(a, p, gradient[i]));
            assert_ok(step_with(b, q, gradient[i]));
        }
        assert_memory_equal(sw_params_x(p), sw_params_x(q), params_bytes(p));
        sw_optim_free(a);
        sw_optim_free(b);
        sw_params_free(p);
        sw_params_free(q);
    }
}

static void test_special_options_coincide(void **state) {
    (void)state;
    same_path("sgd lr=0.05", "sgd lr=0.05 momentum=0 dampening=0.5");
    same_path("adam lr=0.05", "adamw lr=0.05 weight_decay=0");
    same_path("sgd lr=0.05 momentum=0.9", "sgd lr=0.05 momentum=0.9 dampening=0");
}

/* Nesterov's momentum without momentum is a mistake; with dampening it is no published method. */
static void test_nesterov_without_momentum_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"sgd nesterov", "sgd nesterov momentum=0 dampening=0",
                                      "sgd nesterov momentum=0.9 dampening=0.1"};
    sw_params *p = small_params(SW_F32);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(sw_optim_new(p, bad[i]));
        expect_error(SW_ERR_ARGUMENT, "sgd: nesterov needs momentum and no dampening");
    }
    sw_params_free(p);
}

/* By hand: x = 1, g = 0.5. */
static void first_step(const char *rule, double expected) {
    sw_params *p = small_params(SW_F64);
    double c[SMALL_DIM], x[SMALL_DIM];
    for (int i = 0; i < SMALL_DIM; i++) {
        c[i] = 0.5;
        x[i] = 1;
    }
    params_set(p, x);
    sw_optim *optim = sw_optim_new(p, rule);
    assert_ok(step_with(optim, p, c));
    for (int i = 0; i < SMALL_DIM; i++) /* a handful of roundings of numbers up to 1 */
        assert_true(fabs(vec_get(SW_F64, sw_params_x(p), i) - expected) <= 1e-15);
    sw_optim_free(optim);
    sw_params_free(p);
}

static void test_first_steps_agree_with_hand_computations(void **state) {
    (void)state;
    first_step("sgd lr=0.1", 1 - 0.1 * 0.5);
    first_step("sgd lr=0.1 weight_decay=0.5", 1 - 0.1 * (0.5 + 0.5));
    first_step("sgd lr=0.1 momentum=0.9 dampening=0.5", 1 - 0.1 * 0.5);
    first_step("sgd lr=0.1 momentum=0.9 nesterov", 1 - 0.1 * (0.5 + 0.9 * 0.5));
    /* Bias-corrected, Adam's first step is g/(|g| + ε). */
    first_step("adam lr=0.1 eps=0.5", 1 - 0.1 * 0.5 / (0.5 + 0.5));
    first_step("adam lr=0.1 eps=0.5 weight_decay=1", 1 - 0.1 * 1.5 / (1.5 + 0.5));
    first_step("adamw lr=0.1 eps=0.5 weight_decay=1", (1 - 0.1) - 0.1 * 0.5 / (0.5 + 0.5));
}

/* Amos and Fromage ask for directions alone: gradients whose squares leave f32 at either end move x as others
 * do. A power of 2 is exact; the sum of squares is rounded in f32 or in f64: 40 units a step are ample. */
static void test_amos_and_fromage_ignore_the_scale(void **state) {
    (void)state;
    static const char *const specs[] = {"amos", "amos momentum=0.9", "fromage min_norm=1e-30"};
    enum { TAKEN = 5 };
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++) {
        double x[3][SMALL_DIM];
        for (int k = 0; k < 3; k++) {
            sw_params *p = small_params(SW_F32);
            sw_optim *optim = sw_optim_new(p, specs[s]);
            uint64_t seed = 1;
            for (int step = 0; step < TAKEN; step++) {
                double g[SMALL_DIM];
                for (int i = 0; i < SMALL_DIM; i++)
                    g[i] = ldexp((double)(float)test_uniform(&seed, -1, 1), (int[]){0, -55, 70}[k]);
                assert_ok(step_with(optim, p, g));
            }
            for (int i = 0; i < SMALL_DIM; i++)
                x[k][i] = vec_get(SW_F32, sw_params_x(p), i);
            sw_optim_free(optim);
            sw_params_free(p);
        }
        for (int k = 1; k < 3; k++)
            for (int i = 0; i < SMALL_DIM; i++)
                if (!(fabs(x[k][i] - x[0][i]) <= TAKEN * 40 * 0x1p-24))
                    fail_msg("%s: x[%d] = %.9g, not %.9g", specs[s], i, x[k][i], x[0][i]);
    }
}

/* ---- Rules by blocks, and rows by parts ---- */

/* g from the bits of its place, so that every length asks for something else. */
static double drawn(int64_t i, double scale) {
    return (double)(float)((double)(i * 7919 % 1009) / 1009 - 0.3) * scale;
}

typedef struct field {
    sw_params *params;
    double scale[2]; /* of gradients, in the first half of each row of 5000 and elsewhere */
} field;

static sw_status field_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                double *value, void *g) {
    const field *f = user;
    (void)x, (void)ids, (void)count, (void)draw;
    *value = 0;
    for (int64_t i = 0; g && i < sw_params_dim(f->params); i++)
        vec_set(sw_params_type(f->params), g, i, drawn(i, f->scale[i % 5000 >= 2500]));
    return SW_OK;
}

static void take_steps(const field *f, sw_optim *optim, int steps) {
    const sw_objective objective = {
        .size = sizeof objective, .n = 1, .params = f->params, .user = (void *)f, .gradient = field_gradient};
    for (int i = 0; i < steps; i++)
        assert_ok(sw_optim_minimize(optim, &objective, NULL));
}

/* Amos's v after one step is (1 - β) times a row's mean square, in f64: short and long rows, whole parts of 4096 and
 * others, squares that f32 cannot hold. Sums of n squares in 32 partial sums of f32 have at most n/32 + 40 roundings.
 * */
static void test_amos_handles_rows_separately(void **state) {
    (void)state;
    static const int64_t length[] = {3, 64, 100, 4096, 5000};
    static const double scale[][2] = {{1, 1}, {0x1p-70, 0x1p-70}, {0x1p70, 0x1p70}, {0x1p-70, 1}, {1, 0x1p70}};
    for (size_t k = 0; k < sizeof length / sizeof *length; k++)
        for (size_t s = 0; s < sizeof scale / sizeof *scale; s++)
            for (int t = 0; t < 2; t++) {
                field f = {.params = sw_params_new(both_types[t], 1), .scale = {scale[s][0], scale[s][1]}};
                sw_param *w = sw_params_add(f.params, "w", 2, (const int64_t[]){2, length[k]}, NULL);
                assert_ok(sw_params_build(f.params));
                sw_optim *optim = sw_optim_new(f.params, "amos beta=0.5");
                take_steps(&f, optim, 1);
                const double *v = sw_optim_param_slot(optim, w, "v").data;
                for (int64_t row = 0; row < 2; row++) {
                    double square = 0;
                    for (int64_t j = row * length[k]; j < (row + 1) * length[k]; j++) {
                        const double g = drawn(j, f.scale[j % 5000 >= 2500]);
                        square += g * g;
                    }
                    const double unit = t ? 0x1p-53 : 0x1p-24, expected = 0.5 * square / (double)length[k];
                    if (!(fabs(v[row] / expected - 1) <= ((double)length[k] / 32 + 40) * unit))
                        fail_msg("%s, rows of %lld, %g and %g: v = %.9g, not %.9g", sw_dtype_name(both_types[t]),
                                 (long long)length[k], f.scale[0], f.scale[1], v[row], expected);
                }
                sw_optim_free(optim);
                sw_params_free(f.params);
            }
}

/* Adadelta's quotient of roots where that of the numbers beneath leaves f32: f32 against f64. */
static void test_adadelta_of_small_quotients_is_accurate(void **state) {
    (void)state;
    static const char *const specs[] = {"adadelta", "adadelta eps=1e-8", "adadelta eps=1e-30 lr=1e6",
                                        "adadelta eps_in_root=0"};
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
        for (int exponent = -10; exponent <= 18; exponent += 2) {
            double x[2][SMALL_DIM];
            for (int t = 0; t < 2; t++) {
                sw_params *p = small_params(both_types[t]);
                double g[SMALL_DIM], zero[SMALL_DIM] = {0};
                params_set(p, zero);
                sw_optim *optim = sw_optim_new(p, specs[k]);
                for (int i = 0; i < SMALL_DIM; i++) /* large and small ones in one block */
                    g[i] = (double)(float)((i % 3 ? pow(10, exponent) : 1) * (1 + 0.1 * i));
                for (int step = 0; step < 5; step++)
                    assert_ok(step_with(optim, p, g));
                for (int i = 0; i < SMALL_DIM; i++)
                    x[t][i] = vec_get(both_types[t], sw_params_x(p), i);
                sw_optim_free(optim);
                sw_params_free(p);
            }
            for (int i = 0; i < SMALL_DIM; i++) /* 5 steps of about 20 roundings, each amplified by at most 2 */
                if (!(fabs(x[0][i] - x[1][i]) <= 200 * 0x1p-24 * fabs(x[1][i])) || x[1][i] == 0)
                    fail_msg("%s, 1e%d: x[%d] = %.9g in f32, %.9g in f64", specs[k], exponent, i, x[0][i], x[1][i]);
        }
}

/* A vector too long for the cache is fetched ahead; in two groups, each half of it is not: equal bits. */
static void test_prefetching_changes_no_bit(void **state) {
    (void)state;
    static const char *const rules[] = {"adam", "rmsprop centered momentum=0.5", "adagrad", "adadelta", "nadamp"};
    enum { ROWS = 2, LENGTH = (1 << 17) + 37 };
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
        float *x[2];
        sw_params *p[2];
        for (int halves = 0; halves < 2; halves++) {
            char spec[200];
            const sw_param_options other = {.size = sizeof other, .role = halves ? SW_ROLE_BIAS : SW_ROLE_WEIGHT};
            field f = {.params = p[halves] = sw_params_new(SW_F32, 1), .scale = {1, 1e-3}};
            sw_params_add(p[halves], "a", 1, (const int64_t[]){LENGTH},
                          &(sw_param_options){.size = sizeof(sw_param_options), .role = SW_ROLE_WEIGHT});
            sw_params_add(p[halves], "b", 1, (const int64_t[]){LENGTH}, &other);
            assert_ok(sw_params_build(p[halves]));
            x[halves] = sw_params_x(p[halves]);
            for (int64_t i = 0; i < ROWS * LENGTH; i++)
                x[halves][i] = (float)drawn(i + 5, 1);
            snprintf(spec, sizeof spec, halves ? "role=bias: %s; %s" : "%s", rules[k], rules[k]);
            sw_optim *optim = sw_optim_new(p[halves], spec);
            take_steps(&f, optim, 2);
            sw_optim_free(optim);
        }
        if (memcmp(x[0], x[1], ROWS * LENGTH * sizeof(float)) != 0)
            fail_msg("%s: other bits in halves", rules[k]);
        sw_params_free(p[0]);
        sw_params_free(p[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_sgd_agrees_with_numpy, test_clear),
        cmocka_unit_test_teardown(test_adam_agrees_with_numpy, test_clear),
        cmocka_unit_test_teardown(test_adamw_agrees_with_numpy, test_clear),
        cmocka_unit_test_teardown(test_ema_agrees_with_numpy, test_clear),
        cmocka_unit_test_teardown(test_every_golden_path_differs, test_clear),
        cmocka_unit_test_teardown(test_special_options_coincide, test_clear),
        cmocka_unit_test_teardown(test_nesterov_without_momentum_is_refused, test_clear),
        cmocka_unit_test_teardown(test_first_steps_agree_with_hand_computations, test_clear),
        cmocka_unit_test_teardown(test_amos_and_fromage_ignore_the_scale, test_clear),
        cmocka_unit_test_teardown(test_amos_handles_rows_separately, test_clear),
        cmocka_unit_test_teardown(test_adadelta_of_small_quotients_is_accurate, test_clear),
        cmocka_unit_test_teardown(test_prefetching_changes_no_bit, test_clear),
    };
    return cmocka_run_group_tests_name("optim_rules", tests, NULL, NULL);
}
