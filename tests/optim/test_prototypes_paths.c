/* A line search for the strong Wolfe conditions, and a Bezier curve between two models, which is an objective that
 * wraps another one. J. Nocedal, S. Wright, Numerical Optimization, 2006, algorithms 3.5 and 3.6; T. Garipov et al.,
 * Loss surfaces, mode connectivity, NeurIPS 2018. */
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct curve {
    const void *w1, *theta, *w2;
    void *out;
    double a, b, c;
} curve;
#endif

#if SW_KERNEL_PASS

/* out = a w1 + b θ + c w2 */
static void SW_K(curve)(void *args, int64_t begin, int64_t end, double *sums) {
    const curve *s = args;
    const real *w1 = s->w1, *theta = s->theta, *w2 = s->w2;
    real *out = s->out;
    const real a = (real)s->a, b = (real)s->b, c = (real)s->c;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        out[i] = a * w1[i] + b * theta[i] + c * w2[i];
}

/* out = b θ */
static void SW_K(scale)(void *args, int64_t begin, int64_t end, double *sums) {
    const curve *s = args;
    const real *theta = s->theta;
    real *out = s->out;
    const real b = (real)s->b;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        out[i] = b * theta[i];
}

#else

#include "prototypes.h"

static const sw_kernels curve_kernels = SW_KERNEL_TABLE(curve), scale_kernels = SW_KERNEL_TABLE(scale);

/* ---- Strong Wolfe: f(α) ≤ f(0) + c1 α f'(0) and |f'(α)| ≤ c2 |f'(0)| ---- */

enum { C1, C2, GROWTH }; /* options */
enum { LAST };           /* scalars: the step accepted last */
static const char *const wolfe_scalars[] = {"last", NULL};
static const sw_option wolfe_options[] = {
    {.name = "c1", .value = 1e-4, .low = 0, .high = 1, .help = "share of the promised descent"},
    {.name = "c2", .value = 0.9, .low = 0, .high = 1, .help = "share of the slope that may stay"},
    {.name = "growth", .value = 3, .low = 1, .high = 100, .help = "next guess over the last step"},
    {0}};

typedef struct trial {
    double alpha, value, slope;
} trial;

static sw_status try_at(sw_search *s, double alpha, trial *t) {
    t->alpha = alpha;
    SW_TRY(sw_search_eval(s, alpha, &t->value, &t->slope));
    return isnan(t->value) ? SW_SKIPPED : SW_OK; /* Inf is too long a step; NaN is no step at all */
}

static bool too_long(const sw_search *s, const trial *t) {
    return !(t->value <= s->value + s->option[C1] * t->alpha * s->slope);
}

static bool flat(const sw_search *s, const trial *t) {
    return fabs(t->slope) <= -s->option[C2] * s->slope;
}

/* Between `low`, which descends enough, and `high` there is a good step. */
static sw_status zoom(sw_search *s, trial low, double high, double *alpha) {
    for (int i = 0; i < 60; i++) {
        trial t;
        SW_TRY(try_at(s, (low.alpha + high) / 2, &t));
        if (too_long(s, &t) || t.value >= low.value) {
            high = t.alpha;
            continue;
        }
        if (flat(s, &t)) {
            *alpha = t.alpha;
            return SW_OK;
        }
        if (t.slope * (high - low.alpha) >= 0)
            high = low.alpha;
        low = t;
    }
    return SW_SKIPPED;
}

static sw_status bracket(sw_search *s, double first, double *alpha) {
    trial before = {0, s->value, s->slope}, t;
    for (double a = first; a < 1e10; a *= 2) {
        SW_TRY(try_at(s, a, &t));
        if (too_long(s, &t) || (before.alpha > 0 && t.value >= before.value))
            return zoom(s, before, a, alpha);
        if (flat(s, &t)) {
            *alpha = a;
            return SW_OK;
        }
        if (t.slope >= 0)
            return zoom(s, t, before.alpha, alpha);
        before = t;
    }
    return SW_SKIPPED;
}

static sw_status wolfe_search(sw_search *s, double *alpha) {
    const double last = s->scalar[LAST];
    SW_TRY(bracket(s, last > 0 ? s->option[GROWTH] * last : s->initial, alpha));
    s->scalar[LAST] = *alpha;
    return SW_OK;
}

static const sw_line_search proto_wolfe = {.size = sizeof(sw_line_search),
                                           .name = "proto_wolfe",
                                           .summary = "strong Wolfe conditions",
                                           .source = "Nocedal, Wright 2006",
                                           .options = wolfe_options,
                                           .scalars = wolfe_scalars,
                                           .search = wolfe_search};

/* Value and gradient at x by core alone, for the checks below. */
static struct {
    double value, slope;
    double g[NET_DIM];
} start;

static double value_and_gradient(problem *p, double *g) {
    double value;
    sw_tape *tape = sw_tape_new();
    sw_gradient *gradient = sw_gradient_new(p->params);
    assert_ok(sw_objective_gradient(p->plain, tape, NULL, NULL, SAMPLES, 0, &value, gradient));
    for (int i = 0; i < NET_DIM; i++)
        g[i] = vec_get(sw_params_type(p->params), sw_gradient_data(gradient), i);
    sw_gradient_free(gradient);
    sw_tape_free(tape);
    return value;
}

static void stand_at_start(problem *p, sw_optim *optim, int step) {
    (void)optim, (void)step;
    start.value = value_and_gradient(p, start.g);
    start.slope = 0;
    for (int i = 0; i < NET_DIM; i++)
        start.slope -= start.g[i] * start.g[i];
}

static void check_conditions(problem *p, sw_optim *optim, int step) {
    const sw_dtype type = sw_params_type(p->params);
    /* Equal but for rounding: of f, and of d = x(1) - x, which is as coarse as x. */
    const double slack = type == SW_F64 ? 1e-14 : 1e-5;
    double g[NET_DIM], slope = 0, alpha = sw_optim_scalar(optim, -1, "last");
    double value = value_and_gradient(p, g);
    for (int i = 0; i < NET_DIM; i++)
        slope -= g[i] * start.g[i];
    assert_near("wolfe's step", step, fabs(alpha - wolfe_alpha[step]) / wolfe_alpha[step], wolfe_alpha_tolerance[type]);
    assert_true(value <= start.value + 1e-4 * alpha * start.slope + slack); /* Armijo */
    assert_true(fabs(slope) <= 0.9 * fabs(start.slope) + slack);            /* curvature */
}

static int64_t trials(void) {
    int64_t total = 0;
    for (int k = 0; k < 6; k++)
        total += wolfe_trials[k];
    return total;
}

#define WOLFE(RULE)                                                                                                    \
    {                                                                                                                  \
        .name = "strong wolfe, " RULE, .estimator = "proto_batch script=all", .rule = RULE, .schedule = "proto_wolfe", \
        .scalars = (const char *const[]){"last", "cursor", NULL},                                                      \
        .slots = (const char *const[]){"momentum", "buf", "m", NULL}, .steps = 6, .expected = &wolfe_x[0][0],          \
        .tolerance = wolfe_x_tolerance, .make = net_problem                                                            \
    }

static void test_wolfe_agrees_with_numpy(void **state) {
    (void)state;
    claim wolfe = WOLFE("sgd lr=0.05");
    wolfe.before = stand_at_start;
    wolfe.after = check_conditions;
    prove_numpy(&wolfe, SW_F64);
    prove_numpy(&wolfe, SW_F32);
}

/* Also where a rule has moved its state to find a direction: the skip puts it back. */
static void test_wolfe_survives_skipped_steps(void **state) {
    (void)state;
    claim wolfe = WOLFE("sgd lr=0.05"), heavy = WOLFE("sgd lr=0.05 momentum=0.5");
    assert_int_equal(prove_skips(&wolfe, SW_F64), 6 + trials());
    prove_skips(&wolfe, SW_F32);
    prove_skips(&heavy, SW_F64);
}

/* The trials leave the estimator's notes alone. */
static void test_wolfe_leaves_the_estimators_scratch_alone(void **state) {
    (void)state;
    claim wolfe = WOLFE("sgd lr=0.05"), kept = WOLFE("sgd lr=0.05");
    kept.estimator = "proto_keeper script=all";
    prove_equal(&wolfe, &kept, SW_F64);
}

static void test_wolfe_has_equal_bits_on_threads(void **state) {
    (void)state;
    claim large = WOLFE("sgd lr=0.05");
    large.make = large_problem;
    large.steps = 3;
    prove_threads(&large, SW_F64);
    prove_threads(&large, SW_F32);
}

/* An infinite trial is too long a step: the search comes closer, and the step is taken. */
static void test_wolfe_survives_infinity(void **state) {
    (void)state;
    problem *p = net_problem(SW_F64);
    p->poison_at = 2; /* the first trial */
    p->poison = (double)INFINITY;
    sw_optim *optim = sw_optim_new_with_options(p->params, &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                               .rule = "sgd lr=0.8",
                                                                               .estimator = "proto_batch script=all",
                                                                               .schedule = "proto_wolfe"});
    assert_ok(sw_optim_minimize(optim, &p->objective, NULL));
    assert_true(p->calls == 3 && sw_optim_scalar(optim, -1, "last") == 0.4);
    sw_optim_free(optim);
    problem_free(p);
}

/* A search needs a step that is the learning rate times a direction: other rules are refused. */
static const sw_rule proto_fixed = {
    .size = sizeof(sw_rule), .name = "proto_fixed", .summary = "moves as it likes", .update = &scale_kernels};

static void test_wolfe_refuses_a_rule(void **state) {
    (void)state;
    problem *p = net_problem(SW_F64);
    assert_null(sw_optim_new_with_options(
        p->params,
        &(sw_optim_options){.size = sizeof(sw_optim_options), .rule = "proto_fixed", .schedule = "proto_wolfe"}));
    assert_non_null(strstr(sw_error(), "proto_fixed"));
    sw_clear_error();
    problem_free(p);
}

/* ---- φ(t) = (1-t)² w1 + 2t(1-t) θ + t² w2: f(φ(t)) as a function of θ, t from the draw ---- */

static struct {
    problem *of;
    sw_objective objective;
    sw_tape *tape;
    sw_gradient *view;
    void *w1, *w2, *phi;
    double t;
} bend;

static sw_status bend_gradient(void *user, const void *theta, const int64_t *ids, int64_t count, uint64_t draw,
                               double *value, void *g) {
    const sw_objective *f = user;
    const sw_dtype type = sw_params_type(f->params);
    sw_rng rng = {.key = sw_rng_key(draw, "bezier")};
    const double t = bend.t = sw_rng_uniform(&rng), of_theta = 2 * t * (1 - t);
    curve phi = {.w1 = bend.w1,
                 .theta = theta,
                 .w2 = bend.w2,
                 .out = bend.phi,
                 .a = (1 - t) * (1 - t),
                 .b = of_theta,
                 .c = t * t};
    sw_kernel_run(&curve_kernels, type, &phi, sw_params_dim(f->params));
    if (!g)
        return sw_objective_value(f, bend.tape, bend.phi, ids, count, draw, value);
    sw_gradient_set_data(bend.view, g);
    SW_TRY(sw_objective_gradient(f, bend.tape, bend.phi, ids, count, draw, value, bend.view));
    curve chain = {.theta = g, .out = g, .b = of_theta}; /* ∂φ/∂θ */
    sw_kernel_run(&scale_kernels, type, &chain, sw_params_dim(f->params));
    return SW_OK;
}

static void bend_free(void) {
    sw_tape_free(bend.tape);
    sw_gradient_free(bend.view);
    sw_free(bend.w1);
    sw_free(bend.w2);
    sw_free(bend.phi);
    memset(&bend, 0, sizeof bend);
}

static const sw_objective *bend_of(problem *p) {
    const sw_dtype type = sw_params_type(p->params);
    const int64_t dim = sw_params_dim(p->params);
    bend_free();
    bend.of = p;
    bend.tape = sw_tape_new();
    bend.view = sw_gradient_view(p->params);
    bend.w1 = sw_alloc_array(dim, sw_dtype_size(type));
    bend.w2 = sw_alloc_array(dim, sw_dtype_size(type));
    bend.phi = sw_alloc_array(dim, sw_dtype_size(type));
    for (int64_t i = 0; i < dim; i++) {
        double x = vec_get(type, sw_params_x(p->params), i);
        vec_set(type, bend.w1, i, dim == NET_DIM ? bezier_ends[0][i] : 1.5 * x);
        vec_set(type, bend.w2, i, dim == NET_DIM ? bezier_ends[1][i] : -0.5 * x);
    }
    bend.objective = (sw_objective){.size = sizeof(sw_objective),
                                    .n = p->objective.n,
                                    .params = p->params,
                                    .user = &p->objective,
                                    .gradient = bend_gradient};
    return &bend.objective;
}

static problem *bend_problem(sw_dtype type) {
    return problem_new(type, net_sizes, &bezier_x0[0], 0, NULL);
}

static void look_at_t(problem *p, sw_optim *optim, int step) {
    (void)p, (void)optim;
    assert_true(bend.t == bezier_t[step]);
}

static const claim bezier = {.name = "bezier curve",
                             .estimator = "proto_batch",
                             .rule = "adam lr=0.05",
                             .slots = (const char *const[]){"m", "v", NULL},
                             .scalars = script_scalars,
                             .steps = 6,
                             .expected = &bezier_x[0][0],
                             .tolerance = bezier_x_tolerance,
                             .make = bend_problem,
                             .objective = bend_of,
                             .after = look_at_t};

static void test_bezier_agrees_with_numpy(void **state) {
    (void)state;
    prove_numpy(&bezier, SW_F64);
    prove_numpy(&bezier, SW_F32);
}

/* Central differences with h = 1e-6: truncation and rounding stay below 1e-8 for f of order 1. */
static void test_bezier_gradient_agrees_with_differences(void **state) {
    (void)state;
    problem *p = bend_problem(SW_F64);
    const sw_objective *f = bend_of(p);
    sw_tape *tape = sw_tape_new();
    sw_gradient *g = sw_gradient_new(p->params);
    double *x = sw_params_x(p->params), worst = 0;
    for (uint64_t draw = 1; draw <= 3; draw++) {
        assert_ok(sw_objective_gradient(f, tape, NULL, batch_ids[0], 4, draw, NULL, g));
        for (int i = 0; i < NET_DIM; i++) {
            const double h = 1e-6, kept = x[i];
            double up, down;
            x[i] = kept + h;
            assert_ok(sw_objective_value(f, tape, NULL, batch_ids[0], 4, draw, &up));
            x[i] = kept - h;
            assert_ok(sw_objective_value(f, tape, NULL, batch_ids[0], 4, draw, &down));
            x[i] = kept;
            worst = fmax(worst, fabs((up - down) / (2 * h) - ((double *)sw_gradient_data(g))[i]));
        }
    }
    print_message("bezier curve: %.1e from central differences\n", worst);
    assert_true(worst < 1e-8);
    sw_gradient_free(g);
    sw_tape_free(tape);
    problem_free(p);
}

static void test_bezier_survives_skipped_steps(void **state) {
    (void)state;
    assert_int_equal(prove_skips(&bezier, SW_F64), 6);
    prove_skips(&bezier, SW_F32);
}

static void test_bezier_has_equal_bits_on_threads(void **state) {
    (void)state;
    claim large = bezier;
    large.make = large_problem;
    large.steps = 4;
    prove_threads(&large, SW_F64);
    prove_threads(&large, SW_F32);
}

static int set_up(void **state) {
    (void)state;
    return sw_estimator_register(&proto_batch) || sw_estimator_register(&proto_keeper) ||
           sw_line_search_register(&proto_wolfe) || sw_rule_register(&proto_fixed);
}

static int tear_down(void **state) {
    (void)state;
    bend_free();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wolfe_agrees_with_numpy),
        cmocka_unit_test(test_wolfe_survives_skipped_steps),
        cmocka_unit_test(test_wolfe_leaves_the_estimators_scratch_alone),
        cmocka_unit_test(test_wolfe_has_equal_bits_on_threads),
        cmocka_unit_test(test_wolfe_survives_infinity),
        cmocka_unit_test(test_wolfe_refuses_a_rule),
        cmocka_unit_test(test_bezier_agrees_with_numpy),
        cmocka_unit_test(test_bezier_gradient_agrees_with_differences),
        cmocka_unit_test(test_bezier_survives_skipped_steps),
        cmocka_unit_test(test_bezier_has_equal_bits_on_threads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

#endif
