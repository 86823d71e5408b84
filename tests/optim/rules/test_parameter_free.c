/* Schedule-Free rules and Prodigy: the point of evaluation, adoption, refusals, groups, steps without a gradient, and d
 * beside the best step size. test_rules_golden.c and test_references.c compare the steps with schedulefree,
 * prodigyopt and NumPy. */
#include "../logistic.h"

#include <math.h>

enum { TAKEN = 40 };
static const char *const free_rules[] = {"schedule_free_sgd lr=0.1 warmup=5 weight_decay=0.1",
                                         "schedule_free_adamw lr=0.02 r=1 weight_decay=0.1 decay_at=x",
                                         "schedule_free_prodigy d0=0.05 weight_decay=0.1"};
enum { FREE_RULES = sizeof free_rules / sizeof *free_rules };

static void random_gradient(double g[SMALL_DIM], uint64_t *seed) {
    for (int i = 0; i < SMALL_DIM; i++)
        g[i] = (double)(float)test_uniform(seed, -1, 1);
}

static double z_at(sw_optim *o, sw_params *p, int64_t i) {
    for (int k = 0; k < sw_params_count(p); k++) {
        const sw_param *param = sw_params_at(p, k);
        if (i >= param->offset && i < param->offset + param->count)
            return vec_get(sw_params_type(p), sw_optim_param_slot(o, param, "z").data, i - param->offset);
    }
    fail();
    return NAN;
}

/* ---- The point of evaluation ---- */

/* x is the mean of all z, with the weights of the steps, and y is β x + (1 - β) z, also if a schedule changes β. The
 * mean is computed here in f64 from the z that the rule stores. Errors of y are those of some 10 roundings of numbers
 * up to 4 in each step, and β ≥ 0.5 magnifies them by at most 2 in x. */
static void test_point_is_the_mean_of_z(void **state) {
    (void)state;
    for (int k = 0; k < FREE_RULES; k++)
        for (int t = 0; t < 4; t++) {
            const sw_dtype type = both_types[t % 2];
            const char *beta_name = k == 0 ? "momentum" : "beta1";
            char schedule[64];
            snprintf(schedule, sizeof schedule, "linear final=0.6 over=%d on=%s", TAKEN, beta_name);
            sw_params *p = small_params(type);
            sw_optim *o = NEW_OPTIM(p, .rule = free_rules[k], .schedule = t < 2 ? NULL : schedule);
            const double room = TAKEN * 10 * 4 * 2 * (type == SW_F32 ? 0x1p-24 : 0x1p-53);
            double sum = 0, mean[SMALL_DIM] = {0}, g[SMALL_DIM];
            uint64_t seed = 5;
            for (int step = 0; step < TAKEN; step++) {
                unsigned char y[SMALL_DIM * sizeof(double)];
                random_gradient(g, &seed);
                assert_ok(step_with(o, p, g));
                const double all = sw_optim_scalar(o, 0, "weight_sum"), beta = sw_optim_scalar(o, 0, "beta");
                memcpy(y, sw_params_x(p), params_bytes(p));
                const void *point = sw_optim_point(o);
                assert_non_null(point);
                assert_memory_equal(y, sw_params_x(p), params_bytes(p)); /* an evaluation does not move y */
                for (int i = 0; i < SMALL_DIM; i++) {
                    const double z = z_at(o, p, i), x = vec_get(type, point, i), at = vec_get(type, sw_params_x(p), i);
                    mean[i] += (all - sum) / all * (z - mean[i]);
                    assert_true(fabs(z) < 4 && fabs(at) < 4);
                    if (!(fabs(x - mean[i]) <= room) || !(fabs(at - (beta * mean[i] + (1 - beta) * z)) <= room))
                        fail_msg("%s, %s, step %d: x = %.17g, the mean of z is %.17g, y = %.17g", free_rules[k],
                                 sw_dtype_name(type), step + 1, x, mean[i], at);
                }
                sum = all;
            }
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* After the adoption, the parameters and z are x, and a new mean begins: the next x is the next z. */
static void test_adoption_starts_a_new_mean(void **state) {
    (void)state;
    for (int k = 0; k < FREE_RULES; k++)
        for (int t = 0; t < 2; t++) {
            sw_params *p = small_params(both_types[t]);
            sw_optim *o = NEW_OPTIM(p, .rule = free_rules[k]);
            double g[SMALL_DIM], point[SMALL_DIM];
            uint64_t seed = 6;
            for (int step = 0; step < 10; step++) {
                random_gradient(g, &seed);
                assert_ok(step_with(o, p, g));
            }
            memcpy(point, sw_optim_point(o), params_bytes(p));
            assert_memory_not_equal(point, sw_params_x(p), params_bytes(p));
            assert_ok(sw_optim_adopt_point(o));
            assert_memory_equal(point, sw_params_x(p), params_bytes(p));
            assert_memory_equal(point, sw_optim_point(o), params_bytes(p));
            for (int i = 0; i < SMALL_DIM; i++)
                assert_true(z_at(o, p, i) == vec_get(both_types[t], sw_params_x(p), i));
            random_gradient(g, &seed);
            assert_ok(step_with(o, p, g));
            const double room = 16 * (t ? 0x1p-53 : 0x1p-24) * 4; /* some roundings of numbers up to 4 */
            const void *next = sw_optim_point(o);
            for (int i = 0; i < SMALL_DIM; i++)
                assert_true(fabs(z_at(o, p, i) - vec_get(both_types[t], next, i)) <= room);
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* ---- Groups of Prodigy ---- */

static const char *const prodigies[] = {"prodigy", "schedule_free_prodigy"};

/* d is that of one group, and a group with lr=0 neither moves nor counts. */
static void test_groups_share_d(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        char one[100], two[200];
        snprintf(one, sizeof one, "%s d0=0.01", prodigies[k]);
        snprintf(two, sizeof two, "role=bias: %s d0=0.01 lr=0; %s d0=0.01", prodigies[k], prodigies[k]);
        sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
        const sw_param *bias = sw_params_at(p, 1);
        sw_optim *a = NEW_OPTIM(p, .rule = two), *b = NEW_OPTIM(q, .rule = one);
        double g[SMALL_DIM], start[SMALL_DIM];
        memcpy(start, sw_params_x(p), sizeof start);
        for (int step = 0; step < 30; step++) {
            for (int i = 0; i < SMALL_DIM; i++)
                g[i] = vec_get(SW_F64, sw_params_x(p), i) - 2;
            assert_ok(step_with(a, p, g));
            for (int64_t i = bias->offset; i < bias->offset + bias->count; i++)
                g[i] = 0;
            assert_ok(step_with(b, q, g));
            const double d = sw_optim_scalar(a, 0, "d");
            assert_true(d == sw_optim_scalar(a, 1, "d"));
            /* the sums of b are added in another order: 18 terms in each of 30 steps */
            assert_true(fabs(d - sw_optim_scalar(b, 0, "d")) <= 30 * 18 * 0x1p-53 * d);
        }
        assert_true(sw_optim_scalar(a, 0, "d") > 0.02); /* it has grown */
        for (int64_t i = 0; i < SMALL_DIM; i++)
            if (i >= bias->offset && i < bias->offset + bias->count)
                assert_true(vec_get(SW_F64, sw_params_x(p), i) == start[i]);
        sw_optim_free(a), sw_optim_free(b);
        sw_params_free(p), sw_params_free(q);
    }
}

/* Without a gradient the rule waits, while the parameters of another rule move. Then it takes the steps of a run that
 * begins with the first gradient, with the bias correction as well. */
static void test_prodigy_waits_for_a_gradient(void **state) {
    (void)state;
    static const char *const specs[] = {"role=bias: sgd lr=0.1; prodigy d0=0.01 use_bias_correction weight_decay=0.1",
                                        "role=bias: sgd lr=0.1; schedule_free_prodigy d0=0.01 weight_decay=0.1"};
    for (int k = 0; k < 2; k++) {
        sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
        const sw_param *bias = sw_params_at(p, 1);
        sw_optim *a = NEW_OPTIM(p, .rule = specs[k]), *b = NEW_OPTIM(q, .rule = specs[k]);
        double g[SMALL_DIM] = {0}, start[SMALL_DIM];
        uint64_t seed = 7;
        memcpy(start, sw_params_x(p), sizeof start);
        for (int64_t i = bias->offset; i < bias->offset + bias->count; i++)
            g[i] = 1;
        for (int step = 0; step < 5; step++)
            assert_ok(step_with(a, p, g));
        for (int64_t i = 0; i < SMALL_DIM; i++)
            assert_true((vec_get(SW_F64, sw_params_x(p), i) != start[i]) ==
                        (i >= bias->offset && i < bias->offset + bias->count));
        assert_true(sw_optim_scalar(a, 1, "k") == 0 && sw_optim_scalar(a, 1, "d") == 0.01);
        for (int step = 0; step < 10; step++) {
            random_gradient(g, &seed);
            assert_ok(step_with(a, p, g));
            assert_ok(step_with(b, q, g));
        }
        assert_true(sw_optim_scalar(a, 1, "k") == 10);
        for (int64_t i = 0; i < SMALL_DIM; i++)
            if (i < bias->offset || i >= bias->offset + bias->count)
                assert_true(vec_get(SW_F64, sw_params_x(p), i) == vec_get(SW_F64, sw_params_x(q), i));
        sw_optim_free(a), sw_optim_free(b);
        sw_params_free(p), sw_params_free(q);
    }
}

/* ---- d and the best step size ---- */

/* The mean of f after each of 100 steps, the quantity that the theory bounds, of logistic regression with the features
 * divided by `unit`. d: if not NULL, receives d of the rule. */
static double mean_of_f(double unit, const char *rule, double *d) {
    enum { FITTED = 100 };
    const double mu = 0.01 / (unit * unit);
    logistic *p = logistic_golden(mu, false);
    for (int64_t i = 0; i < p->m * p->n; i++)
        p->a[i] /= unit;
    sw_optim *o = NEW_OPTIM(p->params, .rule = rule, .estimator = "full");
    double sum = 0, x[LOGISTIC_MOST];
    for (int step = 0; step < FITTED; step++) {
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
        logistic_x(p, x);
        sum += logistic_part(p, mu, x, 0, p->m, NULL);
    }
    if (d)
        *d = sw_optim_scalar(o, 0, "d");
    sw_optim_free(o);
    logistic_free(p);
    return sum / FITTED;
}

/* With a constant d, Prodigy is Adam with the learning rate d. The best one of a grid is compared with d, for features
 * of three sizes, whose best learning rates are proportional to `unit`; d0 is far below it, or a tenth of it. */
static void test_d_is_near_the_best_step_size(void **state) {
    (void)state;
    static const double units[] = {1, 64, 1024};
    for (int u = 0; u < 3; u++) {
        double best = 0, least = INFINITY;
        char rule[64];
        for (int k = -16; k <= 24; k++) { /* 2^-8 to 2^12 */
            snprintf(rule, sizeof rule, "adam lr=%.17g", exp2(0.5 * k));
            const double mean = mean_of_f(units[u], rule, NULL);
            best = mean < least ? exp2(0.5 * k) : best;
            least = fmin(mean, least);
        }
        const double starts[] = {1e-6, best / 10};
        for (int i = 0; i < 2; i++) {
            double d = 0;
            snprintf(rule, sizeof rule, "prodigy use_bias_correction d0=%.17g", starts[i]);
            mean_of_f(units[u], rule, &d);
            print_message("features / %g: best learning rate %g, d = %g from d0 = %g\n", units[u], best, d, starts[i]);
            assert_true(best >= 10 * starts[i] && d >= best / 2 && d <= 2 * best);
        }
    }
}

/* ---- Refusals ---- */

static void refused(const sw_optim_options *how, const char *message) {
    sw_params *p = small_params(SW_F64);
    assert_null(sw_optim_new_with_options(p, how));
    expect_error(SW_ERR_ARGUMENT, message);
    sw_params_free(p);
}
#define REFUSED(message, ...) refused(&(sw_optim_options){.size = sizeof(sw_optim_options), __VA_ARGS__}, message)

static void test_wrong_combinations_are_refused(void **state) {
    (void)state;
    static const char *const averages[] = {"ema", "polyak", "swa", "lawa_queue", "lawa_ema"};
    for (int k = 0; k < FREE_RULES; k++) {
        char message[200];
        for (size_t i = 0; i < sizeof averages / sizeof *averages; i++) {
            snprintf(message, sizeof message,
                     "average %s: rule %.*s determines the point of evaluation itself; omit the average, or choose "
                     "another rule",
                     averages[i], (int)strcspn(free_rules[k], " "), free_rules[k]);
            REFUSED(message, .rule = free_rules[k], .average = averages[i]);
        }
        snprintf(message, sizeof message,
                 "line search wolfe: the step of rule %.*s is not its learning rate times a "
                 "direction; use a schedule, or another rule, such as lbfgs",
                 (int)strcspn(free_rules[k], " "), free_rules[k]);
        REFUSED(message, .rule = free_rules[k], .schedule = "wolfe");
    }
    REFUSED("line search wolfe: the step of rule prodigy is not its learning rate times a direction; use a schedule, "
            "or another rule, such as lbfgs",
            .rule = "prodigy", .schedule = "wolfe");
    REFUSED("prodigy: lr=auto; the rule finds its step size itself: leave lr at 1", .rule = "prodigy lr=auto");
    REFUSED("schedule_free_prodigy: lr=auto; the rule finds its step size itself: leave lr at 1",
            .rule = "schedule_free_prodigy lr=auto");
    REFUSED("rule prodigy: lr = 0.5 for role=bias, and 1 for the other parameters; the rule computes one step for all "
            "of its groups, and needs the same value, or 0, in each of them",
            .rule = "role=bias: prodigy lr=0.5; prodigy");
    REFUSED("rule prodigy: d0 = 0.01 for role=bias, and 1e-06 for the other parameters; the rule computes one step for "
            "all of its groups, and needs the same value in each of them",
            .rule = "role=bias: prodigy d0=0.01; prodigy");
    REFUSED("rule schedule_free_prodigy: warmup = 5 for role=bias, and 0 for the other parameters; the rule computes "
            "one step for all of its groups, and needs the same value in each of them",
            .rule = "role=bias: schedule_free_prodigy warmup=5; schedule_free_prodigy");
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_point_is_the_mean_of_z),
        TEST(test_adoption_starts_a_new_mean),
        TEST(test_groups_share_d),
        TEST(test_prodigy_waits_for_a_gradient),
        TEST(test_d_is_near_the_best_step_size),
        TEST(test_wrong_combinations_are_refused),
    };
    return cmocka_run_group_tests_name("parameter-free rules", tests, NULL, NULL);
}
