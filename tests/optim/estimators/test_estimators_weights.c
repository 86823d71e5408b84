#define _GNU_SOURCE /* mkstemp */
/* Estimators on a loss that divides by something else than samples: class weights and ignored ids. All of them
 * go to the minimum of Σ weight·loss / Σ weight, however the samples are cut into batches and rows. */
#include "helpers.h"

#include "golden/state_of_plain_sag.h"

#include <unistd.h>

enum { SAMPLES = 10, FEATURES = 2, CLASSES = 2, DIM = CLASSES * (FEATURES + 1) };

/* Two classes that no line separates; every third id is ignored, and class 1 weighs four times as much. */
static const double rows[SAMPLES * FEATURES] = {1,    0.5,  -1,   0.25, 0.5, -1, -0.5, 1, 2,   -1,
                                                -1.5, -0.5, 0.25, 1.5,  1,   -1, -1,   2, 0.5, 0.5};
static const int32_t ids[SAMPLES] = {0, 1, -1, 1, 0, -1, 0, 1, 1, 0};
static const double class_weights[CLASSES] = {0.5, 2};
static const double mu = 0.125; /* of the penalty mu/2 |x|² */

typedef struct problem {
    sw_objective f;
    sw_params *params;
    bool whole_sum;
} problem;

static sw_tensor problem_rows(void *user, sw_tape *tape, const int64_t *list, int64_t count) {
    (void)user;
    sw_tensor t = sw_empty(tape, SW_F64, 2, (int64_t[]){count, FEATURES});
    double *to = sw_value(t).data;
    for (int64_t i = 0; to && i < count * FEATURES; i++)
        to[i] = rows[list[i / FEATURES] * FEATURES + i % FEATURES];
    return t;
}

static sw_tensor problem_head(void *user, sw_tape *tape, sw_tensor z, const int64_t *list, int64_t count) {
    const problem *p = user;
    sw_tensor t = sw_empty(tape, SW_I32, 1, &count);
    int32_t *to = sw_value(t).data;
    for (int64_t i = 0; to && i < count; i++)
        to[i] = ids[list[i]];
    const sw_cross_entropy_options o = {.size = sizeof o,
                                        .ignore = true,
                                        .ignored_id = -1,
                                        .class_weights = class_weights,
                                        .classes = CLASSES,
                                        .reduction = p->whole_sum ? SW_SUM : SW_MEAN};
    return sw_cross_entropy_with_options(z, t, &o);
}

static sw_tensor problem_loss(void *user, sw_tape *tape, const int64_t *list, int64_t count) {
    problem *p = user;
    sw_tensor w = sw_param_use(tape, sw_params_at(p->params, 0)), b = sw_param_use(tape, sw_params_at(p->params, 1));
    return problem_head(user, tape, sw_linear(problem_rows(user, tape, list, count), w, b), list, count);
}

static problem *problem_new(bool glm) {
    problem *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->params = sw_params_new(SW_F64, 1);
    assert_non_null(sw_params_add(p->params, "w", SW_SHAPE(CLASSES, FEATURES), NULL));
    assert_non_null(sw_params_add(p->params, "b", SW_SHAPE(CLASSES), NULL));
    assert_ok(sw_params_build(p->params));
    p->f = (sw_objective){.size = sizeof p->f, .n = SAMPLES, .params = p->params, .user = p};
    if (glm) {
        p->f.features = FEATURES;
        p->f.outputs = CLASSES;
        p->f.bias = true;
        p->f.rows = problem_rows;
        p->f.head = problem_head;
    } else {
        p->f.loss = problem_loss;
    }
    return p;
}

static void problem_free(problem *p) {
    sw_params_free(p->params);
    free(p);
}

/* The gradient in plain loops: 1/W Σ w_id (softmax(z) - e_id) [a, 1] + mu x, W = Σ w_id of those that are not
 * ignored. Returns its largest element. */
static double gradient_by_hand(const double *x) {
    double g[DIM] = {0}, total = 0, most = 0;
    for (int i = 0; i < SAMPLES; i++) {
        if (ids[i] < 0)
            continue;
        const double *a = rows + i * FEATURES, weight = class_weights[ids[i]];
        double z[CLASSES];
        for (int c = 0; c < CLASSES; c++)
            z[c] = a[0] * x[2 * c] + a[1] * x[2 * c + 1] + x[4 + c];
        for (int c = 0; c < CLASSES; c++) {
            double s = weight * (exp(z[c]) / (exp(z[0]) + exp(z[1])) - (ids[i] == c));
            g[2 * c] += s * a[0];
            g[2 * c + 1] += s * a[1];
            g[4 + c] += s;
        }
        total += weight;
    }
    for (int i = 0; i < DIM; i++)
        most = fmax(most, fabs(g[i] / total + mu * x[i]));
    return most;
}

typedef struct subject {
    const char *estimator;
    double lr;
    int steps;
    bool glm;
} subject;

/* f is 2 · 4 smooth at most (weights against their mean 1.25, rows below 2.3 long), curved by mu at least:
 * linear rates of some (1 - mu/8 /SAMPLES) a step. */
static const subject subjects[] = {{"full", 0.5, 1000, false},
                                   {"full", 0.5, 1000, true},
                                   {"sag batch=1", 0.02, 20000, false},
                                   {"sag batch=1", 0.02, 20000, true},
                                   {"sag batch=3", 0.02, 20000, false},
                                   {"sag batch=3", 0.02, 20000, true},
                                   {"sag batch=1 init=zero", 0.02, 20000, false},
                                   {"sag batch=4 init=full", 0.02, 20000, true},
                                   {"sag batch=4 init=full", 0.02, 20000, false},
                                   {"sag batch=1 init=centered", 0.02, 20000, true},
                                   {"sag batch=1 init=sgd", 0.02, 20000, false},
                                   {"saga batch=1", 0.02, 20000, false},
                                   {"saga batch=1", 0.02, 20000, true},
                                   {"saga batch=3 init=seen", 0.02, 20000, true},
                                   {"saga batch=4 init=full", 0.02, 20000, false},
                                   {"saga batch=3 init=sgd", 0.02, 20000, true},
                                   {"svrg batch=1 period=2ep", 0.02, 20000, false},
                                   {"svrg batch=3 period=2ep", 0.02, 20000, false}};

static void test_estimators_reach_the_weighted_minimum(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof subjects / sizeof *subjects; k++) {
        const subject *s = &subjects[k];
        problem *p = problem_new(s->glm);
        char rule[64];
        snprintf(rule, sizeof rule, "sgd lr=%g weight_decay=%g", s->lr, mu);
        sw_optim *o = NEW_OPTIM(p->params, .estimator = s->estimator, .rule = rule, .seed = 3);
        for (int i = 0; i < s->steps; i++)
            if (sw_optim_minimize(o, &p->f, NULL) != SW_OK)
                fail_msg("%s: %s", s->estimator, sw_error());
        /* what is left of the steps is below the rounding of sums of 10 terms below 4 */
        double most = gradient_by_hand(sw_params_x(p->params));
        if (!(most <= 1e-13))
            fail_msg("%s%s: the gradient at the end is %g", s->estimator, s->glm ? " (glm)" : "", most);
        sw_optim_free(o);
        problem_free(p);
    }
}

/* lr=auto: no row's L is below what its weight makes of it, so that heavy classes do not diverge. */
static void test_searched_step_respects_the_weights(void **state) {
    (void)state;
    static const char *const estimators[] = {"sag batch=1", "saga batch=1", "sag batch=1 sampling=lipschitz"};
    for (int k = 0; k < 6; k++) {
        problem *p = problem_new(k % 2);
        sw_optim *o =
            NEW_OPTIM(p->params, .estimator = estimators[k / 2], .seed = 3, .rule = "sgd lr=auto weight_decay=0.125");
        for (int i = 0; i < 3000; i++)
            if (sw_optim_minimize(o, &p->f, NULL) != SW_OK)
                fail_msg("%s: %s", estimators[k / 2], sw_error());
        double most = gradient_by_hand(sw_params_x(p->params));
        if (!(most <= 1e-6)) /* the thresholds of the search are absolute: 1.2e-4² */
            fail_msg("%s%s: the gradient at the end is %g", estimators[k / 2], k % 2 ? " (glm)" : "", most);
        sw_optim_free(o);
        problem_free(p);
    }
}

/* A table of sums is refused; the others take sums as they are. */
static void test_table_of_sums_is_refused(void **state) {
    (void)state;
    static const char *const estimators[] = {"sag", "saga", "sag init=full", "minibatch batch=3", "svrg", "full"};
    for (int k = 0; k < 12; k++) {
        problem *p = problem_new(k % 2);
        p->whole_sum = true;
        sw_optim *o = NEW_OPTIM(p->params, .estimator = estimators[k / 2], .rule = "sgd lr=0.01");
        sw_status status = sw_optim_minimize(o, &p->f, NULL);
        if (k < 6) {
            assert_int_equal(status, SW_ERR_ARGUMENT);
            assert_non_null(strstr(sw_error(), "the loss is a sum over the samples"));
            sw_clear_error();
        } else {
            assert_ok(status);
            assert_true(sw_optim_loss_weight(o) == SW_SUMMED);
        }
        sw_optim_free(o);
        problem_free(p);
    }
}

/* ---- States saved before there were weights ---- */

static int64_t visited; /* by the evaluation before */

static sw_status steps_away(void *user, const void *x, const int64_t *list, int64_t count, uint64_t draw, double *value,
                            void *g) {
    const double *w = x;
    double *out = g;
    (void)user, (void)draw;
    visited = list[0];
    *value = 0;
    if (g)
        memset(g, 0, 3 * sizeof *out);
    for (int64_t k = 0; k < count; k++)
        for (int i = 0; i < 3; i++) {
            const double d = w[i] - (double)(list[k] * (i + 1));
            *value += 0.5 * d * d / (double)count;
            if (g)
                out[i] += d / (double)count;
        }
    return SW_OK;
}

/* All samples weighed alike: such a file goes on as SAG does, from its table and its count of what was seen. */
static void test_state_saved_without_weights_is_loaded(void **state) {
    (void)state;
    char path[] = "/tmp/swale_plain_sag_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, state_of_plain_sag, sizeof state_of_plain_sag), sizeof state_of_plain_sag);
    close(file);
    sw_params *p = sw_params_new(SW_F64, 1);
    assert_non_null(sw_params_add(p, "w", SW_SHAPE(3), NULL));
    assert_ok(sw_params_build(p));
    const sw_objective f = {.size = sizeof f, .n = 4, .params = p, .gradient = steps_away};
    sw_optim *o = NEW_OPTIM(p, .estimator = "sag batch=1", .rule = "sgd lr=0.125", .seed = 3);
    assert_ok(sw_optim_bind(o, &f));
    if (sw_optim_load(o, path) != SW_OK)
        fail_msg("%s", sw_error());
    unlink(path);
    double y[4][3], w[3], sum[3];
    bool seen[4] = {0};
    memcpy(y, sw_optim_slot(o, "table").data, sizeof y);
    memcpy(sum, sw_optim_slot(o, "sum").data, sizeof sum);
    memcpy(w, sw_params_x(p), sizeof w);
    double m = sw_optim_scalar(o, -1, "seen");
    assert_true(m >= 1 && m <= 3); /* three steps were taken */
    for (int k = 0; k < (int)m; k++)
        seen[((const int32_t *)sw_optim_slot(o, "order").data)[k]] = true;
    for (int step = 0; step < 20; step++) {
        assert_ok(sw_optim_minimize(o, &f, NULL));
        m += !seen[visited];
        seen[visited] = true;
        for (int i = 0; i < 3; i++) {
            const double g = w[i] - (double)(visited * (i + 1));
            sum[i] += g - y[visited][i];
            y[visited][i] = g;
            w[i] -= 0.125 * sum[i] / m;
            /* some ten operations a step on numbers below 16, of which the sum is compensated */
            assert_true(fabs(((const double *)sw_params_x(p))[i] - w[i]) <= (step + 1) * 10 * 16 * 0x1p-53);
        }
    }
    assert_true(m == 4);
    sw_optim_free(o);
    sw_params_free(p);
}

/* A loss that is a sum over its samples, with and without a table of derivatives, reaches the minimum of the mean: its
 * gradient is W times as large, W the weight of all samples, and so is its penalty, mu W in place of mu. */
static void test_svrg_of_a_sum_reaches_the_minimum(void **state) {
    (void)state;
    double early[SAMPLES][DIM]; /* x after 25 steps, equal for both forms up to the rounding of sums of 10 terms */
    for (int glm = 0; glm < 2; glm++)
        for (int batch = 1; batch <= SAMPLES; batch += 3) {
            problem *p = problem_new(glm);
            char estimator[64], rule[64];
            double total = 0;
            for (int i = 0; i < SAMPLES; i++)
                total += ids[i] >= 0 ? class_weights[ids[i]] : 0;
            p->whole_sum = true;
            snprintf(estimator, sizeof estimator, "svrg batch=%d period=2ep", batch);
            snprintf(rule, sizeof rule, "sgd lr=%g weight_decay=%g", 0.02 / total, mu * total);
            sw_optim *o = NEW_OPTIM(p->params, .estimator = estimator, .rule = rule, .seed = 3);
            for (int i = 0; i < 20000; i++) {
                assert_ok(sw_optim_minimize(o, &p->f, NULL));
                for (int j = 0; i == 24 && j < DIM; j++) {
                    const double x = ((const double *)sw_params_x(p->params))[j];
                    early[batch - 1][j] = glm ? early[batch - 1][j] : x;
                    assert_true(fabs(early[batch - 1][j] - x) < 1e-12);
                }
            }
            const double most = gradient_by_hand(sw_params_x(p->params));
            if (!(most <= 1e-13))
                fail_msg("%s%s: the gradient at the end is %g", estimator, glm ? " (glm)" : "", most);
            sw_optim_free(o);
            problem_free(p);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_state_saved_without_weights_is_loaded),
                                       cmocka_unit_test(test_estimators_reach_the_weighted_minimum),
                                       cmocka_unit_test(test_svrg_of_a_sum_reaches_the_minimum),
                                       cmocka_unit_test(test_searched_step_respects_the_weights),
                                       cmocka_unit_test(test_table_of_sums_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
