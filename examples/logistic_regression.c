/* Compares methods whose gradient noise is constant with methods whose noise converges to zero, on strongly convex
 * logistic regression:
 *
 *     f(x) = mu/2 |x|^2 + 1/m sum log(1 + exp(-y_i <a_i, x>)),  m = 200, n = 10
 *
 * A step of SGD costs a two-hundredth of a step of gradient descent, and its first steps are effective. Then the
 * noise of its gradients, which is not zero at the minimum, keeps f at a height that is proportional to the step.
 * SAG, SAGA and SVRG cost about as little, and their noise converges to zero with the distance from the minimum, so
 * that they converge linearly.
 *
 * The right panel has the theorem for SAG (Schmidt, Le Roux, Bach 2013) and 20 runs under its conditions. Evaluations
 * are gradients of one sample each, and include those for the full gradients of SVRG. */
#include "cli.h"
#include "curves.h"
#include <swale/swale.h>

enum { M = 200, N = 10, SEEDS = 20, PER_PASS = 4 /* PER_PASS: points of a curve per m evaluations */ };

static int64_t passes = 60;
static double mu = 0.1;

/* Step sizes are those of the theory. L is the largest Lipschitz constant of a sample's gradient, |a_i|^2/4 + mu. For
 * gradient descent it is that of f: mu plus the largest eigenvalue of 1/(4m) sum a_i a_i'. */
typedef struct method {
    const char *name, *result, *estimator;
    double step; /* in units of 1/L */
    unsigned color;
} method;
static const method methods[] = {
    {"SAG, step 1/L", "sag_gap", "sag", 1, PLOT_BLUE},
    {"SAGA, 1/(3L)", "saga_gap", "saga", 1.0 / 3, PLOT_SKY},
    {"SVRG, 1/(4L)", "svrg_gap", "svrg batch=1", 0.25, PLOT_GREEN},
    {"GD, 1/(L of f)", "gd_gap", "full", 1, PLOT_BLACK},
    {"SGD, 1/(2L)", "sgd_gap", "minibatch batch=1 order=replacement", 0.5, PLOT_RED},
    {"batch 10, 1/(2L)", "sgd10_gap", "minibatch batch=10 order=replacement", 0.5, PLOT_ORANGE},
    {"batch 50, 1/(2L)", "sgd50_gap", "minibatch batch=50 order=replacement", 0.5, PLOT_PURPLE},
    {"SGD, 1/(8L)", "sgd_quarter_gap", "minibatch batch=1 order=replacement", 0.125, PLOT_GRAY}};
enum { METHODS = sizeof methods / sizeof *methods, SVRG = 2, GD = 3, SGD = 4, QUARTER = 7 };

static void print_steps(void) {
    printf("\nSteps, with L the largest |a_i|^2/4 + mu:");
    for (const method *m = methods; m < methods + METHODS; m++)
        printf("%s %s", m == methods ? "" : ";", m->name);
    puts(".");
}

static const cli_option options[] = {
    {"--mu", "MU", CLI_REAL, &mu, 1e-3, 1e3, "strength of the penalty; 1 is easier (0.1)"},
    {"--passes", "N", CLI_COUNT, &passes, 4, 500, "gradient evaluations of each method, in units of m (60)"},
    CLI_COMMON("of the samples and their order (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (logistic_regression.png)")};
static const cli_program program = {.name = "logistic_regression",
                                    .example = "logistic_regression --mu 1 --out logistic_regression.png",
                                    .options = options,
                                    .out = "logistic_regression.png",
                                    .numbers = true,
                                    .notes = print_steps};

/* ---- The problem ---- */

static double row[M][N]; /* -y_i a_i: then f_i = log(1 + exp <row_i, x>) */
static double optimum[N], least, largest_l, l_of_f;
static int64_t evaluations;

static double dot(const double *a, const double *b) {
    double sum = 0;
    for (int j = 0; j < N; j++)
        sum += a[j] * b[j];
    return sum;
}

/* Returns f, computed with plain loops. If they are not NULL, g receives the gradient, and s the second derivatives of
 * the losses with respect to <row_i, x>. */
static double value_at(const double *x, double *g, double *s) {
    double value = mu / 2 * dot(x, x);
    for (int j = 0; g && j < N; j++)
        g[j] = mu * x[j];
    for (int i = 0; i < M; i++) {
        const double z = dot(row[i], x), e = exp(-fabs(z)), p = z > 0 ? 1 / (1 + e) : e / (1 + e);
        value += ((z > 0 ? z : 0) + log1p(e)) / M;
        for (int j = 0; g && j < N; j++)
            g[j] += p / M * row[i][j];
        if (s)
            s[i] = p * (1 - p);
    }
    return value;
}

/* Computes (mu + 1/m sum s_i a_i a_i') v. */
static void hessian_times(const double *s, const double *v, double *to) {
    for (int j = 0; j < N; j++)
        to[j] = mu * v[j];
    for (int i = 0; i < M; i++) {
        const double c = s[i] * dot(row[i], v) / M;
        for (int j = 0; j < N; j++)
            to[j] += c * row[i][j];
    }
}

/* Finds the minimum by Newton's method, whose linear systems are solved by conjugate gradients in N steps. f - f* is at
 * most |gradient|^2 / (2 mu): a gradient of 1e-8 is enough for 1e-15. Returns the norm of the gradient. */
static double find_optimum(void) {
    double g[N] = {0}, s[M];
    memset(optimum, 0, sizeof optimum);
    for (int step = 0; step < 50; step++) {
        double r[N], p[N], q[N], d[N] = {0};
        least = value_at(optimum, g, s);
        for (int j = 0; j < N; j++)
            r[j] = p[j] = -g[j];
        for (int k = 0; k < 2 * N && dot(r, r) > 1e-60; k++) {
            const double square = dot(r, r);
            hessian_times(s, p, q);
            const double alpha = square / dot(p, q);
            for (int j = 0; j < N; j++)
                d[j] += alpha * p[j], r[j] -= alpha * q[j];
            for (int j = 0; j < N; j++)
                p[j] = r[j] + dot(r, r) / square * p[j];
        }
        if (dot(d, d) < 1e-30)
            break;
        double trial[N], t = 2; /* step length, which is halved if f would increase */
        do
            for (int j = (t /= 2, 0); j < N; j++)
                trial[j] = optimum[j] + t * d[j];
        while (value_at(trial, NULL, NULL) > least + 1e-15 && t > 1e-6);
        memcpy(optimum, trial, sizeof optimum);
    }
    return sqrt(dot(g, g));
}

static void make_problem(void) {
    const sw_logistic_samples_options how =
        SW_OPTIONS(sw_logistic_samples_options, .n = M, .features = N, .seed = (uint64_t)cli.seed);
    sw_source *source = sw_logistic_samples(&how);
    double y, quarter[M], v[N], w[N];
    largest_l = 0;
    for (int64_t i = 0; i < M; i++) {
        if (sw_source_gather(source, SW_F64, 0, &i, 1, row[i], &y) != SW_OK)
            break;
        for (int j = 0; j < N; j++)
            row[i][j] *= -y;
        largest_l = fmax(largest_l, dot(row[i], row[i]) / 4 + mu);
        quarter[i] = 0.25;
    }
    sw_source_free(source);
    for (int j = 0; j < N; j++)
        v[j] = 1;
    for (int k = 0; k < 300 && !sw_error(); k++) { /* power iteration */
        hessian_times(quarter, v, w);
        l_of_f = sqrt(dot(w, w) / dot(v, v));
        for (int j = 0; j < N; j++)
            v[j] = w[j] / l_of_f;
    }
}

/* ---- The problem as an objective ---- */

static sw_tensor rows(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    sw_tensor t = sw_empty(tape, SW_F64, SW_SHAPE(count, N));
    double *to = sw_value(t).data;
    (void)user;
    for (int64_t i = 0; to && i < count; i++)
        memcpy(to + N * i, row[ids[i]], sizeof row[0]);
    return t;
}

static sw_tensor head(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count) {
    (void)user, (void)tape, (void)ids;
    evaluations += count;
    return sw_mean(sw_softplus(z));
}

/* The loss with the penalty in each f_i, as the theorem assumes. */
static sw_tensor penalized(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    sw_tensor x = sw_param_use(tape, sw_params_at(user, 0));
    sw_tensor z = sw_linear(rows(NULL, tape, ids, count), x, (sw_tensor){0});
    return sw_add(head(NULL, tape, z, ids, count), sw_scale(sw_sum(sw_mul(x, x)), mu / 2));
}

/* Runs an estimator from x = 0, and calls `look` with x and the number of steps, at the start and after each step,
 * until it returns false. For a generalized linear model (glm), whose tables have one number per sample, the penalty is
 * the weight decay of the rule. */
typedef bool look_function(void *user, const double *x, int64_t step);

static void run_estimator(const char *estimator, double lr, bool glm, int64_t order, look_function *look, void *user) {
    char rule[96];
    sw_params *params = sw_params_new(SW_F64, 0);
    sw_params_add(params, "x", SW_SHAPE(1, N), NULL);
    sw_params_build(params);
    sw_objective f = SW_OPTIONS(sw_objective, .n = M, .params = params, .user = params);
    if (glm)
        f.features = N, f.outputs = 1, f.rows = rows, f.head = head;
    else
        f.loss = penalized;
    snprintf(rule, sizeof rule, "sgd lr=%.17g weight_decay=%.17g", lr, glm ? mu : 0);
    const sw_optim_options how =
        SW_OPTIONS(sw_optim_options, .estimator = estimator, .rule = rule, .seed = (uint64_t)order);
    sw_optim *optim = sw_error() ? NULL : sw_optim_new_with_options(params, &how);
    evaluations = 0;
    for (int64_t step = 0; !sw_error() && look(user, sw_params_x(params), step); step++)
        sw_optim_minimize(optim, &f, NULL);
    sw_optim_free(optim), sw_params_free(params);
}

/* ---- The two panels ---- */

static bool watch(void *user, const double *x, int64_t step) {
    curve *c = user;
    (void)step;
    if (evaluations * PER_PASS >= (int64_t)c->n * M)
        curve_add(c, (double)evaluations / M, value_at(x, NULL, NULL) - least);
    return evaluations < passes * M;
}

/* Curves of the theorem: means over the seeds of f - f* at the last iterate and at the mean iterate, and the bounds. */
enum { LAST, LAST_BOUND, MEAN, MEAN_BOUND, THEOREM };
typedef struct theorem_run {
    curve *curve;
    double sum[N];
} theorem_run;

static bool watch_theorem(void *user, const double *x, int64_t step) {
    theorem_run *t = user;
    double mean[N];
    const int at = (int)(step / (M / PER_PASS)) - 1;
    if (at >= 0 && step % (M / PER_PASS) == 0) {
        for (int j = 0; j < N; j++)
            mean[j] = t->sum[j] / (double)step; /* the mean of x_0 to x_(k-1) */
        t->curve[LAST].y[at] += (value_at(x, NULL, NULL) - least) / SEEDS;
        t->curve[MEAN].y[at] += (value_at(mean, NULL, NULL) - least) / SEEDS;
    }
    for (int j = 0; j < N; j++)
        t->sum[j] += x[j];
    return step < passes / 2 * M;
}

/* Whether the means of the runs are below both bounds at every point. Half as many passes as in the other panel are
 * enough. */
static bool theorem_bounds_hold(curve c[THEOREM]) {
    const double zero[N] = {0}, gap = value_at(zero, NULL, NULL) - least, square = dot(optimum, optimum);
    const double rate = fmin(mu / (16 * largest_l), 1 / (8.0 * M));
    bool holds = true;
    for (int i = 0; i < THEOREM; i++)
        c[i].n = 0;
    const int64_t points = passes / 2 * PER_PASS;
    for (int64_t i = 1; i <= points; i++) {
        const int64_t step = i * (M / PER_PASS);
        const double k = (double)step, pass = k / M;
        curve_add(&c[LAST], pass, 0), curve_add(&c[MEAN], pass, 0);
        curve_add(&c[LAST_BOUND], pass, pow(1 - rate, k) * (1.5 * gap + 4 * largest_l / M * square));
        curve_add(&c[MEAN_BOUND], pass, 48.0 * M / k * gap + 128 * largest_l / k * square);
    }
    for (int64_t i = 0; i < SEEDS; i++) {
        theorem_run t = {.curve = c};
        run_estimator("sag init=centered", 1 / (16 * largest_l), false, cli.seed + i, watch_theorem, &t);
    }
    for (int i = 0; i < c[LAST].n; i++)
        holds = holds && c[LAST].y[i] <= c[LAST_BOUND].y[i] && c[MEAN].y[i] <= c[MEAN_BOUND].y[i];
    return holds;
}

static void draw(curve *c) {
    char title[80];
    snprintf(title, sizeof title, "logistic regression, μ = %g", mu);
    plot p = plot_new(1040, 460);
    plot_panel(&p, 80, 40, 520, 360, 0, (double)passes, 1e-14, 10);
    plot_logarithmic(&p, false, true);
    plot_axes(&p, title, "gradient evaluations / m", "f − f*");
    curves_draw(&p, METHODS, c);
    curves_legend(&p, METHODS, c);
    const int64_t half = passes / 2;
    plot_panel(&p, 712, 40, 308, 360, 0, (double)half, 1e-14, 1e8);
    plot_logarithmic(&p, false, true);
    plot_axes(&p, "SAG, step 1/(16L), mean of 20 seeds", "steps / m", "f − f*");
    curves_draw(&p, THEOREM, c + METHODS);
    curves_legend(&p, THEOREM, c + METHODS);
    plot_save(&p, cli.out);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    cli_check_files();
    static curve c[METHODS + THEOREM] = {
        [METHODS + LAST] = {.name = "the last iterate", .color = PLOT_BLUE, .width = 2},
        [METHODS + LAST_BOUND] = {.name = "bound on the last", .color = PLOT_SKY, .width = 1},
        [METHODS + MEAN] = {.name = "the mean iterate", .color = PLOT_RED, .width = 2},
        [METHODS + MEAN_BOUND] = {.name = "bound on the mean", .color = PLOT_ORANGE, .width = 1}};
    make_problem();
    const double norm = sw_error() ? 0 : find_optimum();
    for (int i = 0; i < METHODS; i++) {
        const method *m = &methods[i];
        c[i].n = 0, c[i].name = m->name, c[i].color = m->color, c[i].width = i < SGD ? 2 : 1;
        run_estimator(m->estimator, m->step / (i == GD ? l_of_f : largest_l), true, cli.seed, watch, &c[i]);
    }
    const bool holds = theorem_bounds_hold(c + METHODS);
    if (sw_error())
        return cli_end(1);
    for (int i = 0; i < METHODS; i++) /* for SGD, the mean over the second half, when it fluctuates around its floor */
        printf("%s %.3e\n", methods[i].result, i < SGD ? c[i].y[c[i].n - 1] : curve_end(&c[i], 0.5));
    printf("floor_ratio %.2f\nbound_holds %d\ngradient_norm %.1e\nL %.4f\nL_of_f %.4f\n",
           curve_end(&c[SGD], 0.5) / curve_end(&c[QUARTER], 0.5), holds, norm, largest_l, l_of_f);
    cli_flush();
    draw(c);
    curves_save(cli.out, "passes", "gap", METHODS + THEOREM, c);
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
