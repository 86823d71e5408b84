/* L-BFGS against two other programs: the points of torch.optim.LBFGS without a line search, and the evaluations that
 * scipy's L-BFGS-B needs for logistic regression. test_rules_golden.c compares the steps with NumPy. */
#include "../logistic.h"

#include "golden/lbfgs.h"

#include <math.h>

/* An objective without a tape that counts its evaluations: a loss of the samples of logistic_golden, multiplied by
 * `scale`, and mu/2 ‖x‖². */
typedef struct counted {
    sw_objective f;
    logistic *samples;
    double mu, scale;
    bool squares;    /* ½ (⟨a_i, x⟩ - y_i)² instead of the logistic loss */
    int evaluations; /* of a value, of a gradient, or of both, as in scipy's nfev */
} counted;

static double counted_squares(const logistic *p, double mu, const double *x, double *g) {
    double value = 0;
    for (int64_t j = 0; j < p->n; j++) {
        value += mu / 2 * x[j] * x[j];
        g[j] = mu * x[j];
    }
    for (int64_t i = 0; i < p->m; i++) {
        double away = -p->y[i];
        for (int64_t j = 0; j < p->n; j++)
            away += p->a[i * p->n + j] * x[j];
        value += away * away / (2 * (double)p->m);
        for (int64_t j = 0; j < p->n; j++)
            g[j] += away / (double)p->m * p->a[i * p->n + j];
    }
    return value;
}

static sw_status counted_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                  double *value, void *g) {
    counted *c = user;
    double ignored[LOGISTIC_MOST], *gradient = g ? g : ignored;
    (void)ids, (void)count, (void)draw;
    c->evaluations++;
    *value = c->scale * (c->squares ? counted_squares(c->samples, c->mu, x, gradient)
                                    : logistic_part(c->samples, c->mu, x, 0, c->samples->m, gradient));
    for (int64_t j = 0; j < c->samples->n; j++)
        gradient[j] *= c->scale;
    return SW_OK;
}

/* by_columns: column j is multiplied by 2^⌊j/2⌋, as in golden/lbfgs.py. */
static void counted_open(counted *c, bool by_columns, bool squares, double mu, double scale) {
    *c = (counted){.samples = logistic_golden(mu, false), .mu = mu, .scale = scale, .squares = squares};
    logistic *p = c->samples;
    c->f = (sw_objective){
        .size = sizeof c->f, .n = 1, .params = p->params, .user = c, .gradient = counted_gradient, .fixed = true};
    for (int64_t i = 0; by_columns && i < p->m * p->n; i++)
        p->a[i] = ldexp(p->a[i], (int)(i % p->n / 2));
}

/* ---- PyTorch ---- */

/* golden/lbfgs.py derives the tolerance lbfgs_room. */
static void test_points_are_those_of_pytorch(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        counted c;
        char rule[64];
        counted_open(&c, true, k == 0, lbfgs_mu, lbfgs_scale);
        snprintf(rule, sizeof rule, "lbfgs lr=%.17g history=10", lbfgs_lr);
        sw_optim *o = NEW_OPTIM(c.samples->params, .rule = rule);
        const double *x = sw_params_x(c.samples->params);
        double worst = 0;
        for (int step = 1, next = 0; step <= LBFGS_STEPS; step++) {
            assert_ok(sw_optim_minimize(o, &c.f, NULL));
            if (step != lbfgs_checked[next])
                continue;
            for (int j = 0; j < OPTIMUM_N; j++) {
                const double away = fabs(x[j] - lbfgs_points[k][next][j]);
                worst = fmax(worst, away);
                if (!(away <= lbfgs_room[k]))
                    fail_msg("%s, step %d: x[%d] = %.17g, %.17g expected", k ? "logistic" : "squares", step, j, x[j],
                             lbfgs_points[k][next][j]);
            }
            next++;
        }
        print_message("%s: %.1e from PyTorch, %.1e allowed\n", k ? "logistic" : "squares", worst, lbfgs_room[k]);
        assert_true(sw_optim_scalar(o, 0, "left_out") == 0);
        sw_optim_free(o);
        logistic_free(c.samples);
    }
}

/* ---- The first step ---- */

/* The first direction is -g/‖g‖₁. For the largest gradients of f32, 1/‖g‖₁ is subnormal and has few digits. x[3] moves
 * by lr = 0.5. Three roundings of at most 2^-24 in units of the step, and one of x: */
static void test_first_step_after_a_large_gradient(void **state) {
    (void)state;
    double g[SMALL_DIM] = {0};
    sw_params *p = small_params(SW_F32);
    const double before = vec_get(SW_F32, sw_params_x(p), 3);
    sw_optim *o = NEW_OPTIM(p, .rule = "lbfgs lr=0.5");
    g[3] = 0x1p127;
    assert_ok(step_with(o, p, g));
    const double moved = before - vec_get(SW_F32, sw_params_x(p), 3);
    if (!(fabs(moved - 0.5) <= 4 * 0x1p-24))
        fail_msg("x[3] moved by %.9g, 0.5 expected", moved);
    sw_optim_free(o);
    sw_params_free(p);
}

/* The norms of these gradients overflow, or their squares underflow. All elements move equally: by 1/18 or
 * 1/√18, or by |g| itself if ‖g‖₁ is below 1. The factor, the product and x are rounded. */
static void test_first_step_after_an_extreme_gradient(void **state) {
    (void)state;
    static const struct {
        sw_dtype type;
        double g;
    } cases[] = {{SW_F64, 1e308}, {SW_F64, 0x1p-1022}, {SW_F32, 3e38}, {SW_F32, 0x1p-126}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int l2 = 0; l2 < 2; l2++) {
            const sw_dtype type = cases[i].type;
            const double unit = type == SW_F32 ? 0x1p-24 : 0x1p-53;
            double g[SMALL_DIM];
            sw_params *p = small_params(type);
            sw_optim *o = NEW_OPTIM(p, .rule = l2 ? "lbfgs first=l2" : "lbfgs");
            for (int j = 0; j < SMALL_DIM; j++) {
                g[j] = cases[i].g;
                vec_set(type, sw_params_x(p), j, 0);
            }
            sw_params_mark_changed(p);
            assert_ok(step_with(o, p, g));
            const double step = l2 ? 1 / sqrt(SMALL_DIM) : cases[i].g < 1 ? cases[i].g : 1.0 / SMALL_DIM;
            for (int j = 0; j < SMALL_DIM; j++) {
                const double moved = -vec_get(type, sw_params_x(p), j);
                if (!(fabs(moved - step) <= 4 * unit * step))
                    fail_msg("%s, g = %g: x[%d] moved by %.17g, %.17g expected", l2 ? "l2" : "l1", cases[i].g, j, moved,
                             step);
            }
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* ---- scipy ---- */

/* The evaluations until ‖∇f‖ ≤ 1e-12. The option noise is 1e-14, because f is a mean of 200 numbers, and its values
 * cannot show a descent below 1e-16. */
static int evaluations_of_logistic_regression(bool by_columns, double mu) {
    counted c;
    counted_open(&c, by_columns, false, mu, 1);
    sw_optim *o = NEW_OPTIM(c.samples->params, .rule = "lbfgs history=10 first=l2", .estimator = "full",
                            .schedule = "wolfe guess=lr noise=1e-14");
    while (logistic_gradient_norm(c.samples, mu) > 1e-12 && c.evaluations < 1000)
        assert_ok(sw_optim_minimize(o, &c.f, NULL));
    assert_true(logistic_gradient_norm(c.samples, mu) <= 1e-12);
    sw_optim_free(o);
    logistic_free(c.samples);
    return c.evaluations;
}

/* scipy receives exact differences of f. Because the objective is `fixed`, a step does not compute the gradient at its
 * start again. With scaled columns, both programs need about 100 evaluations, and small differences of the line
 * searches change a number by a few: these problems are compared together. */
static void test_logistic_regression_needs_no_more_evaluations_than_scipy(void **state) {
    (void)state;
    int all = 0, all_scipy = 0;
    for (int scaled = 0; scaled < 2; scaled++)
        for (size_t k = 0; k < sizeof lbfgs_mus / sizeof *lbfgs_mus; k++) {
            const int scipy = lbfgs_evaluations[scaled][k],
                      used = evaluations_of_logistic_regression(scaled, lbfgs_mus[k]);
            print_message("%s columns, μ = %g: %d evaluations, scipy %d\n", scaled ? "scaled" : "plain", lbfgs_mus[k],
                          used, scipy);
            if (!scaled && used > scipy)
                fail_msg("plain columns, μ = %g: %d evaluations, scipy %d", lbfgs_mus[k], used, scipy);
            all += used;
            all_scipy += scipy;
        }
    print_message("together: %d evaluations, scipy %d\n", all, all_scipy);
    assert_true(all <= all_scipy);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_points_are_those_of_pytorch),
        TEST(test_first_step_after_a_large_gradient),
        TEST(test_first_step_after_an_extreme_gradient),
        TEST(test_logistic_regression_needs_no_more_evaluations_than_scipy),
    };
    return cmocka_run_group_tests_name("lbfgs", tests, NULL, NULL);
}
