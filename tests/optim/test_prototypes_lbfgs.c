/* L-BFGS (lbfgs_rule.h) outside the library: its directions are those of the BFGS matrix; it finds solutions to 1e-10
 * with a tenth of the evaluations of gradient descent; it does not keep pairs without positive curvature; skipped
 * steps, threads. */
#include "lbfgs_rule.h"
#include "prototypes.h"

#include "logistic.h"

/* ---- Functions without a tape ---- */

enum { CHAIN = 18 };

typedef struct plain_problem {
    sw_objective f;
    sw_params *params;
    int64_t evaluations; /* with or without a gradient */
    double (*function)(const double *x, double *g, int64_t dim);
} plain_problem;

static sw_status plain_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                double *value, void *g) {
    plain_problem *p = user;
    double ignored[CHAIN];
    (void)ids, (void)count, (void)draw;
    p->evaluations++;
    *value = p->function(x, g ? g : ignored, sw_params_dim(p->params));
    return SW_OK;
}

static void plain_init(plain_problem *p, double (*function)(const double *, double *, int64_t), int64_t dim,
                       const double *x0) {
    *p = (plain_problem){.params = sw_params_new(SW_F64, 1), .function = function};
    assert_non_null(sw_params_add(p->params, "x", 1, &dim, NULL));
    assert_ok(sw_params_build(p->params));
    p->f = (sw_objective){.size = sizeof p->f, .n = 1, .params = p->params, .user = p, .gradient = plain_gradient};
    memcpy(sw_params_x(p->params), x0, (size_t)dim * sizeof *x0);
}

/* Σ (1 - x_i)² + 100 (x_{i+1} - x_i²)²; two variables: Rosenbrock's. */
static double rosenbrock(const double *x, double *g, int64_t dim) {
    double f = 0;
    memset(g, 0, (size_t)dim * sizeof *g);
    for (int64_t i = 0; i + 1 < dim; i++) {
        const double a = 1 - x[i], b = x[i + 1] - x[i] * x[i];
        f += a * a + 100 * b * b;
        g[i] += -2 * a - 400 * x[i] * b;
        g[i + 1] += 200 * b;
    }
    return f;
}

/* Σ h_i (x_i² - 1)²/4, h from 1: minima at ±1, and negative curvature for |x_i| < 0.58. */
static double wells(const double *x, double *g, int64_t dim) {
    double f = 0;
    for (int64_t i = 0; i < dim; i++) {
        const double h = 1 + (double)i / 4, square = x[i] * x[i];
        f += h * (square - 1) * (square - 1) / 4;
        g[i] = h * (square - 1) * x[i];
    }
    return f;
}

/* ---- The matrix ---- */

/* H from γ I by H ← (I - s yᵀ/⟨s,y⟩) H (I - y sᵀ/⟨s,y⟩) + s sᵀ/⟨s,y⟩ over the last `history` pairs, and d = -H g, in
 * the type `real`: the formula that the two loops evaluate (Nocedal, Wright 2006, 7.16). */
#define DEFINE_MATRIX(name, real)                                                                               \
    static void name(int pairs, int history, const double(*s)[CHAIN], const double(*y)[CHAIN], const double *g, \
                     double *d) {                                                                               \
        static real h[CHAIN][CHAIN], left[CHAIN][CHAIN];                                                        \
        memset(h, 0, sizeof h);                                                                                 \
        for (int k = pairs > history ? pairs - history : 0; k < pairs || pairs == 0; k++) {                     \
            real sy = 0, yy = 0, gamma = 1;                                                                     \
            if (pairs > 0) {                                                                                    \
                const int last = pairs - 1;                                                                     \
                for (int i = 0; i < CHAIN; i++)                                                                 \
                    sy += (real)s[last][i] * (real)y[last][i], yy += (real)y[last][i] * (real)y[last][i];       \
                gamma = sy / yy;                                                                                \
            }                                                                                                   \
            if (k == (pairs > history ? pairs - history : 0))                                                   \
                for (int i = 0; i < CHAIN; i++)                                                                 \
                    h[i][i] = gamma;                                                                            \
            if (pairs == 0)                                                                                     \
                break;                                                                                          \
            sy = 0;                                                                                             \
            for (int i = 0; i < CHAIN; i++)                                                                     \
                sy += (real)s[k][i] * (real)y[k][i];                                                            \
            for (int i = 0; i < CHAIN; i++) /* H - s (yᵀH)/sy */                                              \
                for (int j = 0; j < CHAIN; j++) {                                                               \
                    real yh = 0;                                                                                \
                    for (int l = 0; l < CHAIN; l++)                                                             \
                        yh += (real)y[k][l] * h[l][j];                                                          \
                    left[i][j] = h[i][j] - (real)s[k][i] * yh / sy;                                             \
                }                                                                                               \
            for (int i = 0; i < CHAIN; i++) /* … times I - y sᵀ/sy, and s sᵀ/sy */                        \
                for (int j = 0; j < CHAIN; j++) {                                                               \
                    real hy = 0;                                                                                \
                    for (int l = 0; l < CHAIN; l++)                                                             \
                        hy += left[i][l] * (real)y[k][l];                                                       \
                    h[i][j] = left[i][j] - hy * (real)s[k][j] / sy + (real)s[k][i] * (real)s[k][j] / sy;        \
                }                                                                                               \
        }                                                                                                       \
        for (int i = 0; i < CHAIN; i++) {                                                                       \
            real sum = 0;                                                                                       \
            for (int j = 0; j < CHAIN; j++)                                                                     \
                sum += h[i][j] * (real)g[j];                                                                    \
            d[i] = (double)-sum;                                                                                \
        }                                                                                                       \
    }
DEFINE_MATRIX(matrix_direction, double)
DEFINE_MATRIX(matrix_direction_long, long double)

static double largest_difference(const double *a, const double *b) {
    double worst = 0, largest = 0;
    for (int i = 0; i < CHAIN; i++) {
        worst = fmax(worst, fabs(a[i] - b[i]));
        largest = fmax(largest, fabs(b[i]));
    }
    return worst / largest;
}

/* Each step is α d with the d of the matrix in long double. The tolerance is that of golden/prototypes.py: 16 times the
 * distance of the matrix in double, because the two loops have other rounding errors, and at least 1e-12: x is known to
 * half a unit in the last place, 1e-16, and a step is at least 1e-3 here, so that its quotient by α has an error of at
 * most 1e-13. */
static void test_lbfgs_directions_are_those_of_the_matrix(void **state) {
    (void)state;
    static const struct {
        double (*function)(const double *, double *, int64_t);
        int history;
        const char *search;
    } cases[] = {{rosenbrock, 5, "armijo"}, {rosenbrock, 64, "wolfe guess=lr"}, {wells, 3, "armijo"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        enum { TAKEN = 30 };
        double x0[CHAIN], s[TAKEN][CHAIN], y[TAKEN][CHAIN], before[CHAIN], g_before[CHAIN], worst = 0;
        int pairs = 0, compared = 0;
        for (int i = 0; i < CHAIN; i++)
            x0[i] = cases[c].function == wells ? 0.03 * (i - 8.3) : i % 2 ? 1 : -1.2;
        plain_problem p;
        plain_init(&p, cases[c].function, CHAIN, x0);
        char rule[64];
        snprintf(rule, sizeof rule, "proto_lbfgs history=%d", cases[c].history);
        sw_optim *o = NEW_OPTIM(p.params, .rule = rule, .schedule = cases[c].search);
        const double *x = sw_params_x(p.params);
        for (int k = 0; k < TAKEN; k++) {
            double g[CHAIN], d[CHAIN], exact[CHAIN], step[CHAIN], sy = 0, ss = 0, yy = 0;
            cases[c].function(x, g, CHAIN);
            for (int i = 0; k > 0 && i < CHAIN; i++) {
                s[pairs][i] = x[i] - before[i];
                y[pairs][i] = g[i] - g_before[i];
                sy += s[pairs][i] * y[pairs][i], ss += s[pairs][i] * s[pairs][i], yy += y[pairs][i] * y[pairs][i];
            }
            pairs += k > 0 && sy > 1e-10 * sqrt(ss) * sqrt(yy);
            memcpy(before, x, sizeof before);
            memcpy(g_before, g, sizeof g);
            matrix_direction(pairs, cases[c].history, (const double(*)[CHAIN])s, (const double(*)[CHAIN])y, g, d);
            matrix_direction_long(pairs, cases[c].history, (const double(*)[CHAIN])s, (const double(*)[CHAIN])y, g,
                                  exact);
            assert_ok(sw_optim_minimize(o, &p.f, NULL));
            assert_true(sw_optim_scalar(o, 0, "pairs") == fmin(pairs, cases[c].history));
            double length = 0;
            for (int i = 0; i < CHAIN; i++) {
                step[i] = (x[i] - before[i]) / sw_optim_scalar(o, -1, "last");
                length = fmax(length, fabs(x[i] - before[i]));
            }
            if (length < 1e-3)
                continue;
            compared++;
            const double allowed = fmax(1e-12, 16 * largest_difference(d, exact)),
                         difference = largest_difference(step, exact);
            worst = fmax(worst, difference / allowed);
            if (!(difference <= allowed))
                fail_msg("case %d, step %d, %d pairs: %.3g from the matrix, %.3g allowed", (int)c, k, pairs, difference,
                         allowed);
        }
        assert_true(compared >= 10);
        print_message("L-BFGS, history %d: %d steps, at most %.2g of the tolerance from the BFGS matrix\n",
                      cases[c].history, compared, worst);
        sw_optim_free(o);
        sw_params_free(p.params);
    }
}

/* ---- Evaluations until a solution to 1e-10 ---- */

enum { FEWER = 10 };

/* Takes steps until ‖x - x*‖∞ ≤ 1e-10 or `most` evaluations; returns the number of evaluations. */
static int64_t rosenbrock_evaluations(const char *rule, const char *search, int64_t most, double *away) {
    plain_problem p;
    plain_init(&p, rosenbrock, 2, (const double[]){-1.2, 1});
    sw_optim *o = NEW_OPTIM(p.params, .rule = rule, .estimator = "full", .schedule = search);
    const double *x = sw_params_x(p.params);
    sw_status status = SW_OK;
    do {
        *away = fmax(fabs(x[0] - 1), fabs(x[1] - 1));
        if (*away <= 1e-10)
            break;
        status = sw_optim_minimize(o, &p.f, NULL);
    } while (status == SW_OK && p.evaluations < most);
    assert_null(sw_error());
    sw_optim_free(o);
    sw_params_free(p.params);
    return p.evaluations;
}

/* The evaluations of gradient descent: with the searches, and with the best constant step among those that do not
 * diverge at the start. */
static void test_lbfgs_solves_rosenbrock(void **state) {
    (void)state;
    static const char *const searches[] = {"wolfe guess=lr", "wolfe guess=lr c2=0.5"};
    static const struct {
        const char *rule, *search;
    } descents[] = {{"sgd lr=1", "armijo"}, {"sgd lr=1", "wolfe"}, {"sgd lr=0.001", NULL}, {"sgd lr=0.002", NULL}};
    for (int k = 0; k < 2; k++) {
        double away;
        const int64_t used = rosenbrock_evaluations("proto_lbfgs", searches[k], 1000, &away);
        print_message("Rosenbrock, %s: %d evaluations, %.1e away\n", searches[k], (int)used, away);
        assert_true(away <= 1e-10);
        for (size_t d = 0; d < sizeof descents / sizeof *descents; d++) {
            rosenbrock_evaluations(descents[d].rule, descents[d].search, FEWER * used, &away);
            if (!(away > 1e-10))
                fail_msg("%s, %s: %g away after %d evaluations", descents[d].rule,
                         descents[d].search ? descents[d].search : "", away, (int)(FEWER * used));
        }
    }
}

/* A generalized linear model with columns of different scales. */
static logistic *scaled_logistic(double most) {
    logistic *p = logistic_golden(0, true);
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++)
            p->a[i * p->n + j] *= pow(most, (double)j / (double)(p->n - 1));
    return p;
}

typedef struct counted {
    sw_objective f;
    const sw_objective *inner;
    sw_tape *tape;
    sw_gradient *view;
    int64_t evaluations;
} counted;

static sw_status counted_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                  double *value, void *g) {
    counted *c = user;
    c->evaluations++;
    if (!g)
        return sw_objective_value(c->inner, c->tape, x, ids, count, draw, value);
    sw_gradient_set_data(c->view, g);
    return sw_objective_gradient(c->inner, c->tape, x, ids, count, draw, value, c->view);
}

/* F = f + λ/2 ‖x‖² is λ-strongly convex: ‖x - x*‖ ≤ ‖∇F(x)‖/λ, with the gradient in plain loops. The penalty is the
 * option weight_decay of the rule. Returns the evaluations until this bound is 1e-10, at most `most`. */
static int64_t logistic_evaluations(double scale, double lambda, const char *rule, const char *search, int64_t most,
                                    double *away, double *x) {
    logistic *p = scaled_logistic(scale);
    counted c = {.inner = &p->f, .tape = sw_tape_new(), .view = sw_gradient_view(p->params)};
    c.f = (sw_objective){.size = sizeof c.f, .n = p->m, .params = p->params, .user = &c, .gradient = counted_gradient};
    char spec[100];
    snprintf(spec, sizeof spec, "%s weight_decay=%.17g", rule, lambda);
    sw_optim *o = NEW_OPTIM(p->params, .rule = spec, .estimator = "full", .schedule = search);
    sw_status status = SW_OK;
    do {
        *away = logistic_gradient_norm(p, lambda) / lambda;
        if (*away <= 1e-10)
            break;
        status = sw_optim_minimize(o, &c.f, NULL);
    } while (status == SW_OK && c.evaluations < most);
    assert_null(sw_error());
    if (x)
        logistic_x(p, x);
    sw_optim_free(o);
    sw_tape_free(c.tape);
    sw_gradient_free(c.view);
    logistic_free(p);
    return c.evaluations;
}

static void test_lbfgs_solves_logistic_regression(void **state) {
    (void)state;
    static const struct {
        const char *rule, *search;
    } descents[] = {{"sgd lr=1", "armijo"}, {"sgd lr=1", "wolfe"}, {"sgd lr=auto", NULL}};
    static const struct {
        const char *search;
        double scale, lambda;
    } cases[] = {{"wolfe guess=lr noise=1e-14", 30, 0.1}, {"wolfe guess=lr noise=1e-14", 100, 0.01}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double away;
        const int64_t used =
            logistic_evaluations(cases[k].scale, cases[k].lambda, "proto_lbfgs", cases[k].search, 1000, &away, NULL);
        print_message("logistic regression, scale %g, λ = %g, %s: %d evaluations, at most %.1e away\n", cases[k].scale,
                      cases[k].lambda, cases[k].search, (int)used, away);
        assert_true(away <= 1e-10);
        for (size_t d = 0; d < sizeof descents / sizeof *descents; d++) {
            logistic_evaluations(cases[k].scale, cases[k].lambda, descents[d].rule, descents[d].search, FEWER * used,
                                 &away, NULL);
            if (!(away > 1e-10))
                fail_msg("%s, %s: %g away after %d evaluations", descents[d].rule,
                         descents[d].search ? descents[d].search : "", away, (int)(FEWER * used));
        }
    }
}

/* scikit-learn's coefficients have a gradient below 5e-12 and are therefore within 5e-11 of the optimum (μ ≥ 0.1). */
static void test_lbfgs_solution_is_that_of_scikit_learn(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        double away, x[LOGISTIC_MOST] = {0}, worst = 0;
        logistic_evaluations(1, optimum_mu[k], "proto_lbfgs", "wolfe guess=lr noise=1e-14", 1000, &away, x);
        assert_true(away <= 1e-10);
        for (int i = 0; i < OPTIMUM_N; i++)
            worst = fmax(worst, fabs(x[i] - optimum_x[k][i]));
        print_message("logistic regression, μ = %g: %.1e from scikit-learn\n", optimum_mu[k], worst);
        assert_true(worst <= 1.5e-10);
    }
}

/* ---- Pairs without positive curvature ---- */

static void test_lbfgs_leaves_out_pairs_of_negative_curvature(void **state) {
    (void)state;
    for (int history = 1; history <= 10; history += 3) {
        double x0[CHAIN];
        for (int i = 0; i < CHAIN; i++)
            x0[i] = 0.001 * (i - 8.5);
        plain_problem p;
        plain_init(&p, wells, CHAIN, x0);
        char rule[64];
        snprintf(rule, sizeof rule, "proto_lbfgs history=%d", history);
        sw_optim *o = NEW_OPTIM(p.params, .rule = rule, .schedule = "armijo");
        const double *x = sw_params_x(p.params);
        double away = 1, left_out = 0;
        int kept = 0, steps = 0;
        while (away > 1e-10 && steps < 500) {
            const int64_t rows = history + 1, next = (int64_t)sw_optim_scalar(o, 0, "next");
            const sw_array s = sw_optim_group_slot(o, 0, "s"), y = sw_optim_group_slot(o, 0, "y");
            assert_int_equal(sw_array_count(&s), rows * CHAIN);
            double *old = malloc(2 * (size_t)(rows * CHAIN) * sizeof *old);
            assert_non_null(old);
            memcpy(old, s.data, (size_t)(rows * CHAIN) * sizeof *old);
            memcpy(old + rows * CHAIN, y.data, (size_t)(rows * CHAIN) * sizeof *old);
            assert_ok(sw_optim_minimize(o, &p.f, NULL));
            const bool left = sw_optim_scalar(o, 0, "left_out") > left_out;
            left_out = sw_optim_scalar(o, 0, "left_out");
            kept += steps > 0 && !left;
            steps++;
            assert_true(left_out + kept == steps - 1); /* each step except the first has a pair */
            assert_true(sw_optim_scalar(o, 0, "pairs") == (kept < history ? kept : history));
            for (int64_t i = 0; i < rows * CHAIN; i++) /* the stored pairs have not changed */
                if (i / CHAIN != next)
                    assert_true(((double *)s.data)[i] == old[i] && ((double *)y.data)[i] == old[rows * CHAIN + i]);
            free(old);
            away = 0;
            for (int i = 0; i < CHAIN; i++)
                away = fmax(away, fabs(fabs(x[i]) - 1));
        }
        print_message("two wells, history %d: %d steps, %d pairs left out, %.1e away\n", history, steps, (int)left_out,
                      away);
        assert_true(left_out >= 2 && away <= 1e-10);
        sw_optim_free(o);
        sw_params_free(p.params);
    }
}

/* ---- Steps that are not taken after the rule has run ---- */

static int searches_run, refuse_every; /* 0: none */
static sw_status stubborn_search(sw_search *s, double *alpha) {
    *alpha = 1;
    return refuse_every && ++searches_run % refuse_every == 0 ? SW_SKIPPED : s->slope < 0 ? SW_OK : SW_SKIPPED;
}
static const sw_line_search stubborn = {.size = sizeof(sw_line_search), .name = "stubborn", .search = stubborn_search};

/* A refused step leaves its pair in the spare row, and the next step overwrites it. */
static void test_lbfgs_forgets_steps_that_a_search_refuses(void **state) {
    (void)state;
    enum { TAKEN = 40 };
    static double x[3][TAKEN][CHAIN];
    assert_ok(sw_line_search_register(&stubborn));
    for (int run = 0; run < 3; run++) {
        double x0[CHAIN];
        for (int i = 0; i < CHAIN; i++)
            x0[i] = 0.9 + 0.01 * i;
        plain_problem p;
        plain_init(&p, wells, CHAIN, x0);
        searches_run = 0;
        refuse_every = run == 0 ? 0 : run + 1;
        sw_optim *o = NEW_OPTIM(p.params, .rule = "proto_lbfgs lr=0.5 history=3", .schedule = "stubborn");
        for (int k = 0; k < TAKEN;) {
            const sw_status status = sw_optim_minimize(o, &p.f, NULL);
            assert_true(status == SW_OK || status == SW_SKIPPED);
            if (status == SW_OK)
                memcpy(x[run][k++], sw_params_x(p.params), sizeof x0);
        }
        assert_true(run == 0 || sw_optim_steps_skipped(o) >= TAKEN / (refuse_every + 1));
        assert_memory_equal(x[0], x[run], sizeof x[0]);
        sw_optim_free(o);
        sw_params_free(p.params);
    }
}

/* The history is not copied: undoing a step needs copies of x and two vectors; a line search needs four vectors and
 * these two. */
static void test_lbfgs_does_not_copy_its_history(void **state) {
    (void)state;
    for (int searched = 0; searched < 2; searched++) {
        plain_problem p;
        double x0[CHAIN] = {0.5};
        plain_init(&p, wells, CHAIN, x0);
        sw_optim *o = NEW_OPTIM(p.params, .rule = "proto_lbfgs lr=0.1", .schedule = searched ? "wolfe" : NULL);
        assert_ok(sw_optim_minimize(o, &p.f, NULL));
        const sw_optim_memory memory = sw_optim_bytes(o);
        assert_int_equal(memory.rule, 8 * (2 * CHAIN + 2 * 11 * CHAIN + 11));
        assert_int_equal(memory.work, 8 * CHAIN * (1 /* direction */ + 2 + (searched ? 4 : 1)));
        sw_optim_free(o);
        sw_params_free(p.params);
    }
}

/* ---- Networks: skipped steps and threads ---- */

static const claim lbfgs = {.name = "L-BFGS",
                            .estimator = "full",
                            .rule = "proto_lbfgs lr=0.5 history=3",
                            .slots = (const char *const[]){"x_last", "g_last", NULL},
                            .scalars = lbfgs_scalar_names,
                            .steps = 8,
                            .make = net_problem};

static void test_lbfgs_survives_skipped_steps(void **state) {
    (void)state;
    assert_int_equal(prove_skips(&lbfgs, SW_F64), 8);
    assert_int_equal(prove_skips(&lbfgs, SW_F32), 8);
}

static void test_lbfgs_has_equal_bits_on_threads(void **state) {
    (void)state;
    claim large = lbfgs;
    large.make = large_problem;
    for (int searched = 0; searched < 2; searched++) {
        large.schedule = searched ? "wolfe guess=lr" : NULL;
        prove_threads(&large, SW_F64);
        prove_threads(&large, SW_F32);
    }
}

static int set_up(void **state) {
    (void)state;
    return sw_rule_register(&proto_lbfgs);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_lbfgs_directions_are_those_of_the_matrix),
        TEST(test_lbfgs_solves_rosenbrock),
        TEST(test_lbfgs_solves_logistic_regression),
        TEST(test_lbfgs_solution_is_that_of_scikit_learn),
        TEST(test_lbfgs_leaves_out_pairs_of_negative_curvature),
        TEST(test_lbfgs_forgets_steps_that_a_search_refuses),
        TEST(test_lbfgs_does_not_copy_its_history),
        TEST(test_lbfgs_survives_skipped_steps),
        TEST(test_lbfgs_has_equal_bits_on_threads),
    };
    return cmocka_run_group_tests_name("prototypes_lbfgs", tests, set_up, NULL);
}
