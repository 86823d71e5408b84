/* Line searches: their conditions at every accepted step, on a quadratic, Rosenbrock's valley and a logistic
 * regression; trials of Inf and NaN; the exact minimizer of a quadratic; searches that find no step; refused
 * combinations. */
#include "helpers.h"

/* ---- Problems ---- */

typedef struct problem {
    sw_objective f;
    sw_params *params;
    int64_t ids[64], count; /* of the last evaluation */
    int64_t gradients, values;
    int64_t nan_at;                                           /* this evaluation is NaN; 0: none */
    double outside;                                           /* what a barrier is beyond its end */
    double (*plain)(const double *x, double *g, int64_t dim); /* for those without a tape */
} problem;

static sw_status evaluate_plain(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                double *value, void *g) {
    problem *p = user;
    double ignored[SMALL_DIM];
    (void)ids, (void)count, (void)draw;
    *(g ? &p->gradients : &p->values) += 1;
    *value = p->plain(x, g ? g : ignored, sw_params_dim(p->params));
    if (isnan(*value))
        *value = p->outside;
    if (p->nan_at && p->gradients + p->values == p->nan_at)
        *value = (double)NAN, ((double *)(g ? g : ignored))[0] = (double)NAN;
    return SW_OK;
}

/* ½ Σ λ x², λ from 1 to 52 */
static double quadratic(const double *x, double *g, int64_t dim) {
    double f = 0;
    for (int64_t i = 0; i < dim; i++) {
        g[i] = (double)(1 + 3 * i) * x[i];
        f += 0.5 * g[i] * x[i];
    }
    return f;
}

static double rosenbrock(const double *x, double *g, int64_t dim) {
    const double a = 1 - x[0], b = x[1] - x[0] * x[0];
    (void)dim;
    g[0] = -2 * a - 400 * x[0] * b;
    g[1] = 200 * b;
    return a * a + 100 * b * b;
}

/* Σ x - log x: NaN from 0 down. */
static double barrier(const double *x, double *g, int64_t dim) {
    double f = 0;
    for (int64_t i = 0; i < dim; i++) {
        g[i] = 1 - 1 / x[i];
        f += x[i] > 0 ? x[i] - log(x[i]) : (double)NAN;
    }
    return f;
}

static double line(const double *x, double *g, int64_t dim) { /* no lower bound */
    double f = 0;
    for (int64_t i = 0; i < dim; i++) {
        g[i] = 1;
        f += x[i];
    }
    return f;
}

static double liar(const double *x, double *g, int64_t dim) { /* its gradient points down */
    double f = line(x, g, dim);
    for (int64_t i = 0; i < dim; i++)
        g[i] = -1;
    return f;
}

static problem *plain_problem(double (*f)(const double *, double *, int64_t), int64_t dim, const double *x0) {
    problem *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->params = sw_params_new(SW_F64, 1);
    assert_non_null(sw_params_add(p->params, "x", 1, &dim, NULL));
    assert_ok(sw_params_build(p->params));
    params_set(p->params, x0);
    p->plain = f;
    p->outside = (double)NAN;
    p->f = (sw_objective){
        .size = sizeof(sw_objective), .n = 1, .params = p->params, .user = p, .gradient = evaluate_plain};
    return p;
}

static const double spread[SMALL_DIM] = {1, -1, 0.5, 2, -0.25, 0.125, 1, -3, 1.5, 0.75, -2, 1, -1, 0.5, 0.25, -1, 2, 1};

static problem *quadratic_problem(void) {
    return plain_problem(quadratic, SMALL_DIM, spread);
}

static problem *rosenbrock_problem(void) {
    return plain_problem(rosenbrock, 2, (const double[]){-1.2, 1});
}

static problem *barrier_problem(void) {
    double x[SMALL_DIM];
    for (int i = 0; i < SMALL_DIM; i++)
        x[i] = 0.5 + 0.25 * i;
    return plain_problem(barrier, SMALL_DIM, x);
}

/* Logistic regression on a tape: a sample's features and class are functions of its id. */
enum { FEATURES = 3 };
static sw_tensor logistic_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    problem *p = user;
    const sw_dtype type = sw_params_type(p->params);
    sw_tensor a = sw_empty(tape, type, SW_SHAPE(count, FEATURES)), y = sw_empty(tape, type, SW_SHAPE(count, 1));
    p->count = count < 64 ? count : 64;
    memcpy(p->ids, ids, (size_t)p->count * sizeof *ids);
    *(sw_tape_switch(tape, SW_RECORD) ? &p->gradients : &p->values) += 1;
    for (int64_t i = 0; i < count; i++) {
        uint64_t state = 77 + (uint64_t)ids[i];
        double score = 0;
        for (int k = 0; k < FEATURES; k++) {
            double v = (double)(float)test_uniform(&state, -2, 2);
            vec_set(type, sw_value(a).data, i * FEATURES + k, v);
            score += v * (k - 0.5);
        }
        vec_set(type, sw_value(y).data, i, score + test_uniform(&state, -1.5, 1.5) > 0);
    }
    sw_tensor w = sw_param_use(tape, sw_params_at(p->params, 0)), b = sw_param_use(tape, sw_params_at(p->params, 1));
    return sw_bce_with_logits(sw_linear(a, w, b), y);
}

static problem *logistic_in(sw_dtype type, int64_t n) {
    problem *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->params = sw_params_new(type, 1);
    assert_non_null(sw_params_add(p->params, "w", 2, (const int64_t[]){1, FEATURES}, NULL));
    assert_non_null(sw_params_add(p->params, "b", 1, (const int64_t[]){1}, NULL));
    assert_ok(sw_params_build(p->params));
    params_set(p->params, (const double[]){1, -1, 2, 0.5});
    p->f = (sw_objective){.size = sizeof(sw_objective), .n = n, .params = p->params, .user = p, .loss = logistic_loss};
    return p;
}

static problem *logistic_of(int64_t n) {
    return logistic_in(SW_F64, n);
}

static problem *logistic_problem(void) {
    return logistic_of(60);
}

static void problem_free(problem *p) {
    sw_params_free(p->params);
    free(p);
}

static sw_optim *make(problem *p, const char *estimator, const char *rule, const char *search) {
    const sw_optim_options how = {.size = sizeof how, .estimator = estimator, .rule = rule, .schedule = search};
    sw_optim *o = sw_optim_new_with_options(p->params, &how);
    if (!o)
        fail_msg("%s, %s: %s", search, rule, sw_error());
    return o;
}

/* ---- The conditions, looked at from outside ---- */

typedef struct spot {
    double value, x[SMALL_DIM], g[SMALL_DIM];
} spot;

/* On the samples of the last evaluation. */
static spot look(problem *p, bool all) {
    spot s;
    const problem before = *p;
    const int64_t dim = sw_params_dim(p->params);
    sw_tape *tape = sw_tape_new();
    sw_gradient *g = sw_gradient_new(p->params);
    memcpy(s.x, sw_params_x(p->params), (size_t)dim * 8);
    assert_ok(sw_objective_gradient(&p->f, tape, NULL, p->f.loss && !all ? before.ids : NULL,
                                    p->f.loss && !all ? before.count : p->f.n, 0, &s.value, g));
    memcpy(s.g, sw_gradient_data(g), (size_t)dim * 8);
    sw_gradient_free(g);
    sw_tape_free(tape);
    *p = before;
    return s;
}

/* With s = αd = x' - x:  f' ≤ f + c1⟨g, s⟩  and  |⟨g', s⟩| ≤ c2 |⟨g, s⟩|, up to rounding: of f, of the 18
 * terms of a product, and of x' - x, which is as coarse as x. */
static void conditions(const char *name, int step, const spot *a, const spot *b, int64_t dim, double c1, double c2) {
    double before = 0, after = 0, size = 0;
    for (int64_t i = 0; i < dim; i++) {
        const double s = b->x[i] - a->x[i];
        before += a->g[i] * s;
        after += b->g[i] * s;
        size += (fabs(a->g[i]) + fabs(b->g[i])) * (20 * fabs(s) + fabs(a->x[i]) + fabs(b->x[i]));
    }
    const double slack = 0x1p-52 * (size + 40 * fabs(a->value));
    if (!(before < 0))
        fail_msg("%s, step %d: no descent, %g", name, step, before);
    if (!(b->value <= a->value + c1 * before + slack))
        fail_msg("%s, step %d: from %.17g to %.17g, slope %g", name, step, a->value, b->value, before);
    if (c2 > 0 && !(fabs(after) <= c2 * fabs(before) + slack))
        fail_msg("%s, step %d: slope %g of %g", name, step, after, before);
}

typedef struct claim {
    const char *search, *rule, *estimator;
    problem *(*make)(void);
    int steps;
    double c1, c2;  /* c2 = 0: no second condition */
    double reached; /* the loss is at most this in the end */
} claim;

#define ALL "minibatch batch=60 order=sequential"
static const claim claims[] = {
    {"armijo", "sgd lr=1", NULL, quadratic_problem, 100, 1e-4, 0, 1e-2},
    {"armijo c=0.3 shrink=0.5 growth=2", "sgd lr=0.01", NULL, quadratic_problem, 60, 0.3, 0, 1e-2},
    {"armijo", "sgd lr=1", NULL, rosenbrock_problem, 400, 1e-4, 0, 0.5},
    {"armijo", "sgd lr=10", NULL, barrier_problem, 60, 1e-4, 0, 18 + 1e-6},
    {"armijo", "sgd lr=1", ALL, logistic_problem, 40, 1e-4, 0, 0.5},
    {"armijo c=0.5", "sgd lr=1", "minibatch batch=30", logistic_problem, 40, 0.5, 0, 0.6},
    {"armijo", "adam beta1=0 lr=1", ALL, logistic_problem, 20, 1e-4, 0, 0.5},
    {"wolfe", "sgd lr=1", NULL, quadratic_problem, 60, 1e-4, 0.9, 1e-2},
    {"wolfe c2=0.1", "sgd lr=1", NULL, quadratic_problem, 60, 1e-4, 0.1, 1e-2},
    {"wolfe guess=last", "sgd lr=1e-5", NULL, quadratic_problem, 60, 1e-4, 0.9, 1e-2},
    {"wolfe c1=0.2 c2=0.3 guess=lr", "sgd lr=100", NULL, quadratic_problem, 60, 0.2, 0.3, 1e-2},
    {"wolfe", "sgd lr=1", NULL, rosenbrock_problem, 400, 1e-4, 0.9, 0.5},
    {"wolfe c2=0.1", "sgd lr=1e-3", NULL, rosenbrock_problem, 400, 1e-4, 0.1, 0.5},
    {"wolfe", "sgd lr=10", NULL, barrier_problem, 40, 1e-4, 0.9, 18 + 1e-6},
    {"wolfe", "sgd lr=1", ALL, logistic_problem, 20, 1e-4, 0.9, 0.5},
    {"wolfe", "sgd lr=1", "minibatch batch=30", logistic_problem, 40, 1e-4, 0.9, 0.7},
    {"wolfe c2=0.5", "adam beta1=0 lr=1", ALL, logistic_problem, 15, 1e-4, 0.5, 0.5},
};
#define EACH_CLAIM(c) for (const claim *c = claims; c < claims + sizeof claims / sizeof *claims; c++)

/* A minibatch's conditions are those of its own samples: x is put back to look at them there. */
static void conditions_hold(const claim *c) {
    problem *p = c->make();
    const int64_t dim = sw_params_dim(p->params);
    sw_optim *o = make(p, c->estimator, c->rule, c->search);
    int taken = 0;
    for (int t = 0; t < c->steps; t++) {
        double x[SMALL_DIM], value;
        memcpy(x, sw_params_x(p->params), (size_t)dim * 8);
        sw_status status = sw_optim_minimize(o, &p->f, &value);
        if (sw_optim_gradient_norm(o) <= 1e-6 * (1 + fabs(value)))
            break; /* at the minimum f cannot tell points apart */
        assert_ok(status);
        spot b = look(p, false);
        params_set(p->params, x);
        spot a = look(p, false);
        params_set(p->params, b.x);
        assert_true(fabs(a.value - value) <= 1e-13 * (1 + fabs(value)));
        conditions(c->search, t, &a, &b, dim, c->c1, c->c2);
        assert_true(sw_optim_scalar(o, -1, "last") > 0);
        taken++;
    }
    spot last = look(p, true);
    if (!(last.value <= c->reached) || taken < 8)
        fail_msg("%s, %s: ends at %g after %d of %d steps", c->search, c->rule, last.value, taken, c->steps);
    sw_optim_free(o);
    problem_free(p);
}

static void test_conditions_hold_at_every_step(void **state) {
    (void)state;
    EACH_CLAIM(c)
    conditions_hold(c);
}

static void test_every_search_is_in_the_table(void **state) {
    (void)state;
    char text[512], name[64];
    bool inside = false;
    int count = 0;
    FILE *list = tmpfile();
    assert_non_null(list);
    sw_optim_list(list);
    rewind(list);
    while (fgets(text, sizeof text, list)) {
        if (text[0] != ' ') {
            inside = strcmp(text, "line searches\n") == 0;
        } else if (inside && text[2] != ' ') {
            assert_int_equal(sscanf(text, "%63s", name), 1);
            int claimed = 0;
            EACH_CLAIM(c)
            claimed += strncmp(c->search, name, strlen(name)) == 0 && strchr(" ", c->search[strlen(name)]);
            if (claimed < 4)
                fail_msg("line search %s has %d claims here: one for each kind of problem is needed", name, claimed);
            count++;
        }
    }
    fclose(list);
    assert_true(count >= 2);
}

/* ---- Backtracking by hand: f = ½x², from x = 1 the step α is taken if α ≤ 2(1 - c) ---- */

static double parabola(const double *x, double *g, int64_t dim) {
    (void)dim;
    g[0] = x[0];
    return 0.5 * x[0] * x[0];
}

static void test_armijo_shortens_the_step(void **state) {
    (void)state;
    problem *p = plain_problem(parabola, 1, (const double[]){1});
    sw_optim *o = make(p, NULL, "sgd lr=10", "armijo");
    double a = 10;
    assert_ok(sw_optim_minimize(o, &p->f, NULL));
    for (int i = 0; i < 8; i++) /* 10·0.8⁷ = 2.1, 10·0.8⁸ = 1.68 */
        a *= 0.8;
    assert_true(sw_optim_scalar(o, -1, "last") == a);
    assert_true(*(double *)sw_params_x(p->params) == 1 - a);
    assert_true(p->gradients == 1 && p->values == 9); /* no trial costs a backward pass */
    assert_ok(sw_optim_minimize(o, &p->f, NULL));     /* 1.5·1.68 = 2.52, 2.01, 1.61 */
    a *= 1.5;
    a *= 0.8;
    a *= 0.8;
    assert_true(sw_optim_scalar(o, -1, "last") == a);
    assert_true(p->gradients == 2 && p->values == 12);
    sw_optim_free(o);
    problem_free(p);
}

/* ---- The minimizer along a line of a quadratic: α = ⟨g, g⟩/⟨g, Ag⟩ ---- */

static void test_wolfe_finds_the_minimizer_of_a_quadratic(void **state) {
    (void)state;
    for (int k = -8; k <= 6; k++) {
        problem *p = quadratic_problem();
        spot a = look(p, true);
        double gg = 0, gAg = 0, rule[1];
        for (int i = 0; i < SMALL_DIM; i++) {
            gg += a.g[i] * a.g[i];
            gAg += (1 + 3 * i) * a.g[i] * a.g[i];
        }
        rule[0] = gg / gAg * pow(10, k);
        char text[64];
        snprintf(text, sizeof text, "sgd lr=%.17g", rule[0]);
        sw_optim *o = make(p, NULL, text, "wolfe c1=1e-10 c2=1e-9");
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
        /* |f'(α)| ≤ c2 |f'(0)| says |α - α*| ≤ c2 α*; rounding of x and of 18 terms is far below. */
        const double error = fabs(sw_optim_scalar(o, -1, "last") / (gg / gAg) - 1);
        if (!(error <= 1.001e-9))
            fail_msg("from %g times the minimizer: off by %g", pow(10, k), error);
        if (!(p->gradients <= 6 + 2 * abs(k))) /* one trial to scale by ten each, and a few at the end */
            fail_msg("from %g times the minimizer: %d trials", pow(10, k), (int)p->gradients);
        sw_optim_free(o);
        problem_free(p);
    }
}

/* ---- A decrease of f below its rounding error ---- */

/* Σ (log(1 + e^(hx)) + log(1 + e^(-hx)))/h, whose minimum is 0, with values of about 13 and their rounding. */
static double bowls(const double *x, double *g, int64_t dim) {
    double f = 0;
    for (int64_t i = 0; i < dim; i++) {
        const double h = (double)(1 + i % 3);
        f += (log(1 + exp(h * x[i])) + log(1 + exp(-h * x[i]))) / h;
        g[i] = tanh(h * x[i] / 2);
    }
    return f;
}

/* The number of steps until ‖g‖ ≤ `goal`, or until the search finds no step. */
static double bowls_norm(const char *search, double goal, int *steps) {
    double x[SMALL_DIM], norm = 1;
    for (int i = 0; i < SMALL_DIM; i++)
        x[i] = 0.3 + 0.02 * i;
    problem *p = plain_problem(bowls, SMALL_DIM, x);
    sw_optim *o = make(p, NULL, "sgd lr=0.5", search);
    for (*steps = 0; norm > goal && *steps < 300; ++*steps) {
        if (sw_optim_minimize(o, &p->f, NULL) != SW_OK)
            break;
        const spot at = look(p, true);
        norm = 0;
        for (int i = 0; i < SMALL_DIM; i++)
            norm = fmax(norm, fabs(at.g[i]));
    }
    expect_no_error();
    sw_optim_free(o);
    problem_free(p);
    return norm;
}

/* f rises by h x²/4: below x = 1e-8 its values differ only by rounding errors, and the search finds no step. Slopes
 * remain accurate. */
static void test_wolfe_lets_slopes_decide_within_the_noise(void **state) {
    (void)state;
    int steps, plain_steps;
    const double plain = bowls_norm("wolfe guess=lr", 1e-14, &plain_steps),
                 noisy = bowls_norm("wolfe guess=lr noise=1e-14", 1e-14, &steps);
    print_message("bowls: |g| = %.1e after %d steps, with noise=1e-14 %.1e after %d\n", plain, plain_steps, noisy,
                  steps);
    assert_true(plain > 1e-12 && noisy <= 1e-14);
    /* Far from the minimum the option has no effect. */
    int far, again;
    assert_true(bowls_norm("wolfe guess=lr", 1e-3, &far) == bowls_norm("wolfe guess=lr noise=1e-14", 1e-3, &again));
    assert_int_equal(far, again);
}

/* ---- Inf and NaN are too long a step ---- */

static void test_nonfinite_trials_are_survived(void **state) {
    (void)state;
    static const char *const searches[] = {"armijo", "wolfe", "armijo shrink=0.1", "wolfe guess=lr"};
    const double outside[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (int s = 0; s < 4; s++)
        for (int k = 0; k < 3; k++) {
            problem *p = barrier_problem();
            p->outside = outside[k];
            sw_optim *o = make(p, NULL, "sgd lr=1e6", searches[s]);
            spot a = look(p, true);
            assert_ok(sw_optim_minimize(o, &p->f, NULL));
            assert_true(p->gradients + p->values > 3);
            spot b = look(p, true);
            conditions(searches[s], 0, &a, &b, SMALL_DIM, 1e-4, strchr(searches[s], 'w') ? 0.9 : 0);
            for (int i = 0; i < SMALL_DIM; i++)
                assert_true(b.x[i] > 0);
            sw_optim_free(o);
            problem_free(p);
        }
}

/* ---- In f32: the loss falls in every step, by f32's own numbers, to where f64 ends ---- */

static void test_search_in_f32_agrees_with_f64(void **state) {
    (void)state;
    static const char *const searches[] = {"armijo c=0.5", "wolfe"};
    for (int s = 0; s < 2; s++) {
        double end[2];
        for (int t = 0; t < 2; t++) {
            problem *p = logistic_in(both_types[t], 60);
            sw_optim *o = make(p, ALL, "sgd lr=1", searches[s]);
            double value, before = (double)INFINITY;
            for (int i = 0; i < 60; i++) {
                sw_status status = sw_optim_minimize(o, &p->f, &value);
                assert_true(status == SW_OK || status == SW_SKIPPED);
                assert_true(value <= before);
                before = value;
            }
            end[t] = value;
            sw_optim_free(o);
            problem_free(p);
        }
        /* f is flat where f32 stops: within some of its ulps, 6e-8 each. */
        assert_true(fabs(end[0] - end[1]) <= 1e-6);
    }
}

/* ---- Giving up moves nothing ---- */

static void gives_up(double (*f)(const double *, double *, int64_t), const char *search, int64_t evaluations) {
    problem *p = plain_problem(f, SMALL_DIM, spread);
    sw_optim *o = make(p, NULL, "sgd lr=1 momentum=0.5", search);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sw_optim_minimize(o, &p->f, NULL), SW_SKIPPED);
        assert_memory_equal(sw_params_x(p->params), spread, sizeof spread);
        assert_int_equal(sw_optim_steps_taken(o), 0);
        assert_true(sw_optim_scalar(o, -1, "last") == 0);
        sw_array m = sw_optim_param_slot(o, sw_params_at(p->params, 0), "momentum");
        for (int k = 0; m.data && k < SMALL_DIM; k++)
            assert_true(test_get(&m, k) == 0);
        assert_int_equal(p->gradients + p->values, (i + 1) * evaluations);
    }
    sw_optim_free(o);
    problem_free(p);
}

static void test_search_gives_up_after_its_trials(void **state) {
    (void)state;
    gives_up(liar, "armijo", 101);
    gives_up(liar, "armijo trials=5", 6);
    gives_up(liar, "wolfe trials=20", 21);
    gives_up(line, "wolfe trials=10", 11); /* the slope never gets flat */
}

/* A step that is skipped because of the gradient leaves the search's memory alone too. */
static void test_nonfinite_gradient_leaves_the_search_alone(void **state) {
    (void)state;
    static const char *const searches[] = {"armijo", "wolfe"};
    for (int s = 0; s < 2; s++) {
        problem *p = quadratic_problem(), *q = quadratic_problem();
        sw_optim *o = make(p, NULL, "sgd lr=1", searches[s]), *clean = make(q, NULL, "sgd lr=1", searches[s]);
        for (int t = 0; t < 5; t++) {
            p->nan_at = p->gradients + p->values + 1;
            double last = sw_optim_scalar(o, -1, "last");
            assert_int_equal(sw_optim_minimize(o, &p->f, NULL), SW_SKIPPED);
            assert_true(sw_optim_scalar(o, -1, "last") == last);
            assert_ok(sw_optim_minimize(o, &p->f, NULL));
            assert_ok(sw_optim_minimize(clean, &q->f, NULL));
            assert_memory_equal(sw_params_x(p->params), sw_params_x(q->params), params_bytes(p->params));
        }
        sw_optim_free(o);
        sw_optim_free(clean);
        problem_free(p);
        problem_free(q);
    }
}

/* ---- All samples, in parts of a thousand: f(0) and the trials are the same sums ---- */

static sw_status all_estimate(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_gradient(e, x, NULL, e->n, &e->value, g);
}
static const sw_estimator all = {.size = sizeof(sw_estimator),
                                 .name = "all",
                                 .flags = SW_ESTIMATOR_DIRECT,
                                 .estimate = all_estimate},
                          other = {.size = sizeof(sw_estimator), .name = "other", .estimate = all_estimate};
static void still_update(void *args, int64_t begin, int64_t end, double *sums) {
    (void)args, (void)begin, (void)end, (void)sums;
}
static const sw_kernels still_kernels = {{still_update, still_update, still_update},
                                         {still_update, still_update, still_update}};
static const sw_option lr_options[] = {{.name = "lr", .value = 1, .low = 0, .high = 10}, {0}};
static const sw_rule crooked = {
    .size = sizeof(sw_rule), .name = "crooked", .options = lr_options, .update = &still_kernels};

static void test_search_evaluates_all_samples(void **state) {
    (void)state;
    problem *p = logistic_of(2500);
    sw_tape *tape = sw_tape_new();
    sw_gradient *g = sw_gradient_new(p->params);
    double value, chunked, whole;
    assert_ok(sw_objective_gradient_chunked(&p->f, tape, NULL, NULL, 2500, 0, 0, &value, g));
    assert_ok(sw_objective_value_chunked(&p->f, tape, NULL, NULL, 2500, 0, 0, &chunked));
    assert_ok(sw_objective_value(&p->f, tape, NULL, NULL, 2500, 0, &whole));
    assert_true(value == chunked);
    assert_true(fabs(whole - value) <= 1e-12);
    assert_int_equal(p->gradients, 3);
    assert_int_equal(p->values, 4);
    sw_gradient_free(g);
    sw_tape_free(tape);
    sw_optim *o = make(p, "all", "sgd lr=1", "armijo");
    for (int t = 0; t < 5; t++) {
        double next;
        assert_ok(sw_optim_minimize(o, &p->f, &next));
        assert_true(next <= value);
        value = next;
    }
    assert_int_equal(p->count, 64); /* the last part was of 500 */
    sw_optim_free(o);
    problem_free(p);
}

/* ---- What is refused ---- */

static void refused(problem *p, sw_optim_options how, const char *message) {
    how.size = sizeof how;
    assert_null(sw_optim_new_with_options(p->params, &how));
    expect_error(SW_ERR_ARGUMENT, message);
}

static void test_searches_refuse_wrong_options(void **state) {
    (void)state;
    problem *p = quadratic_problem();
    refused(p, (sw_optim_options){.schedule = "wolfe c1=0.5 c2=0.4"}, "wolfe: c1=0.5 must be below c2=0.4");
    refused(p, (sw_optim_options){.schedule = "wolfe c2=1"}, "wolfe: c2=1 is outside (0, 1)");
    refused(p, (sw_optim_options){.schedule = "armijo shrink=1"}, "armijo: shrink=1 is outside (0, 1)");
    refused(p, (sw_optim_options){.schedule = "armijo growth=0.9"}, "armijo: growth=0.9 is outside [1, 1000]");
    refused(p, (sw_optim_options){.schedule = "armijo c1=0.1"},
            "line search armijo has no option c1; it has c, shrink, growth, trials");
    refused(p, (sw_optim_options){.schedule = "armijo; wolfe"}, "schedule: two line searches");
    refused(p, (sw_optim_options){.schedule = "wolfe", .estimator = "other"},
            "line search wolfe: the gradient of estimator other is not that of the loss which the search would "
            "evaluate");
    refused(p, (sw_optim_options){.schedule = "armijo", .rule = "crooked"},
            "line search armijo: the step of rule crooked is not its learning rate times a direction; use a schedule, "
            "or another rule, such as lbfgs");
    const sw_optim_options how = {.size = sizeof how, .schedule = "wolfe"};
    sw_optim *o = sw_optim_new_with_options(p->params, &how);
    assert_int_equal(sw_optim_step(o), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "optim_step: wolfe evaluates the objective itself: call sw_optim_minimize instead");
    sw_optim_free(o);
    problem_free(p);
}

static int set_up(void **state) {
    (void)state;
    return sw_estimator_register(&all) || sw_estimator_register(&other) || sw_rule_register(&crooked);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_conditions_hold_at_every_step),
        TEST(test_every_search_is_in_the_table),
        TEST(test_armijo_shortens_the_step),
        TEST(test_wolfe_finds_the_minimizer_of_a_quadratic),
        TEST(test_wolfe_lets_slopes_decide_within_the_noise),
        TEST(test_nonfinite_trials_are_survived),
        TEST(test_search_gives_up_after_its_trials),
        TEST(test_search_in_f32_agrees_with_f64),
        TEST(test_nonfinite_gradient_leaves_the_search_alone),
        TEST(test_search_evaluates_all_samples),
        TEST(test_searches_refuse_wrong_options),
    };
    return cmocka_run_group_tests_name("searches", tests, set_up, NULL);
}
