/* Shows how the noise of gradients and a constant step size determine the final loss. The problem is a straight line
 * w t + b through 100 points, so that the iterates can be drawn in the plane of w and b.
 *
 * Gradient descent and two line searches converge to the minimum. SGD with two samples per step approaches it and
 * then fluctuates around it, at a height that is proportional to the step h. If C is the covariance of its gradients
 * at the minimum and H the Hessian, the covariance S of x converges to the solution of H S + S H = h C, and f - f*
 * has the mean
 *
 *     tr(H S)/2 = h tr(C)/4
 *
 * (Mandt, Hoffman, Blei, JMLR 2017), and a little more for steps that are not small. */
#include "cli.h"
#include "curves.h"
#include <swale/swale.h>

enum { M = 100, FLOORS = 5, PLACES = 4000, SIDE = 330, SHOWN = 700 };

static int64_t steps = 20000;

static const cli_option options[] = {
    {"--steps", "N", CLI_COUNT, &steps, 100, 1e6, "steps of SGD at each step size (20000)"},
    CLI_COMMON("of the points and their order (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (least_squares.png)")};
static const cli_program program = {.name = "least_squares",
                                    .example = "least_squares --steps 5000 --out least_squares.png",
                                    .options = options,
                                    .out = "least_squares.png",
                                    .numbers = true};

static const double floor_step[FLOORS] = {0.1, 0.05, 0.02, 0.01, 0.005};
static const unsigned floor_color[FLOORS] = {PLOT_RED, PLOT_ORANGE, PLOT_PURPLE, PLOT_GREEN, PLOT_SKY};
static const double beginning[2] = {-0.5, 3.5}; /* w, b */
static double t[M], y[M];

/* ---- The problem in closed form: f(x) = 1/m sum (w t_i + b - y_i)^2 ---- */

static double mean_t, mean_tt;                              /* means of t and of t^2 */
static double optimum[2], least, largest_eigenvalue, noise; /* noise: tr C of two samples at the optimum */

static double value_at(const double *x) {
    double sum = 0;
    for (int i = 0; i < M; i++)
        sum += (x[0] * t[i] + x[1] - y[i]) * (x[0] * t[i] + x[1] - y[i]) / M;
    return sum;
}

static sw_source *make_problem(void) {
    sw_rng rng = {.key = sw_rng_key((uint64_t)cli.seed, "points")};
    double mean_y = 0, ty = 0;
    mean_t = mean_tt = 0;
    for (int i = 0; i < M; i++) {
        t[i] = 2 * sw_rng_uniform(&rng);
        y[i] = 1 + t[i] + 0.5 * sw_rng_normal(&rng);
        mean_t += t[i] / M, mean_y += y[i] / M, mean_tt += t[i] * t[i] / M, ty += t[i] * y[i] / M;
    }
    optimum[0] = (ty - mean_t * mean_y) / (mean_tt - mean_t * mean_t);
    optimum[1] = mean_y - optimum[0] * mean_t;
    least = value_at(optimum);
    /* The Hessian is 2 [mean_tt mean_t; mean_t 1]. */
    largest_eigenvalue = mean_tt + 1 + sqrt((mean_tt - 1) * (mean_tt - 1) + 4 * mean_t * mean_t);
    noise = 0;
    for (int i = 0; i < M; i++) {
        const double r = 2 * (optimum[0] * t[i] + optimum[1] - y[i]);
        noise += r * r * (t[i] * t[i] + 1) / M / 2;
    }
    const sw_array inputs = sw_array_view(t, SW_F64, SW_SHAPE(M, 1));
    const sw_array targets = sw_array_view(y, SW_F64, SW_SHAPE(M, 1));
    return sw_arrays(&inputs, &targets, NULL);
}

/* ---- Walks ---- */

typedef struct walk {
    const char *name, *estimator, *schedule;
    double lr; /* 0 means 1 / the largest eigenvalue */
    unsigned color;
    curve *gap;  /* NULL, or the curve of f - f*, averaged over blocks of a two-hundredth of the steps */
    double goal; /* the walk ends when f - f* is at most this */
    int64_t taken;
    double floor; /* mean of f - f* over the last three quarters */
    int n;        /* number of positions in w and b, the first ones of the walk */
    double w[PLACES], b[PLACES];
} walk;

/* Records the position after `step` steps. */
static void walk_record(walk *k, const double *x, int64_t step) {
    const int64_t block = (steps + 199) / 200, settled = steps - steps / 4;
    static double sum;
    const double gap = value_at(x) - least;
    if (k->n < PLACES)
        k->w[k->n] = x[0], k->b[k->n++] = x[1];
    if (step == 0 && k->gap)
        curve_add(k->gap, 0, gap);
    sum = step % block == 1 || block == 1 ? gap : sum + gap;
    if (step > 0 && step % block == 0 && k->gap)
        curve_add(k->gap, (double)step - (double)block / 2, sum / (double)block);
    if (step > steps / 4)
        k->floor += gap / (double)settled;
}

static void walk_run(walk *k, const sw_source *source) {
    char rule[64];
    k->taken = 0, k->n = 0, k->floor = 0;
    sw_model *model = sw_model_new(SW_F64, 0);
    sw_params *params = sw_model_build(model, sw_nn_linear(model, 1, 1));
    snprintf(rule, sizeof rule, "sgd lr=%.17g", k->lr > 0 ? k->lr : 1 / largest_eigenvalue);
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .estimator = k->estimator, .rule = rule,
                                            .schedule = k->schedule, .seed = (uint64_t)cli.seed);
    sw_optim *optim = sw_error() ? NULL : sw_optim_new_with_options(params, &how);
    const sw_objective *f = sw_model_objective(model, source, sw_mse);
    double *x = sw_error() ? NULL : sw_params_x(params);
    if (x) {
        memcpy(x, beginning, sizeof beginning);
        sw_params_mark_changed(params);
    }
    for (; x && !sw_error(); k->taken++) {
        walk_record(k, x, k->taken);
        if (k->taken == steps || value_at(x) - least <= k->goal)
            break;
        sw_optim_minimize(optim, f, NULL);
    }
    sw_optim_free(optim), sw_model_free(model);
}

/* ---- The picture ---- */

/* f(w, b) - f*, computed with the Hessian, for the contours. */
static double gap_at(double w, double b) {
    const double dw = w - optimum[0], db = b - optimum[1];
    return mean_tt * dw * dw + 2 * mean_t * dw * db + db * db;
}

/* Draws the positions of a walk, except those that would lie on the previous one. */
static void draw_places(plot *p, const walk *k) {
    for (int j = 0, last = 0; j < k->n; j++) {
        const double dx = plot_x(p, k->w[j]) - plot_x(p, k->w[last]), dy = plot_y(p, k->b[j]) - plot_y(p, k->b[last]);
        if (j == 0 || sqrt(dx * dx + dy * dy) > 3)
            plot_point(p, k->w[last = j], k->b[j], 2, k->color);
    }
}

static void draw(const walk *k, int searches, const curve *gap) {
    const double h[2] = {0.004, 0.15}, theory[2] = {h[0] * noise / 4, h[1] * noise / 4};
    const plot_levels contours = {.low = 0.01, .factor = 2, .count = 12};
    legend_entry entry[8] = {{0}};
    plot p = plot_new(1300, 440);
    plot_panel(&p, 60, 40, SIDE, SIDE, -1.25, 1.75, 0, 3.8);
    plot_axes(&p, "f(w, b), and ways down", "w", "b");
    plot_contours(&p, gap_at, &contours);
    for (int i = searches; i >= 0; i--) /* the first steps of SGD are drawn below the others */
        plot_curve(&p,
                   i < searches     ? k[i].n
                   : k[i].n < SHOWN ? k[i].n
                                    : SHOWN,
                   k[i].w, k[i].b, i < searches ? 2 : 0.8, k[i].color);
    for (int i = 0; i < searches; i++)
        draw_places(&p, &k[i]);
    for (int i = 0; i <= searches; i++)
        entry[i] = (legend_entry){i < searches ? k[i].name : "SGD, step 0.1", k[i].color, 2.4, LEGEND_LINE, {0}};
    plot_frame(&p, PLOT_GRAY);
    plot_legend(&p, searches + 1, entry);
    plot_color_bar(&p, 404, 40, SIDE, &contours, "f − f*");
    plot_panel(&p, 565, 40, 330, SIDE, 0, (double)steps, 1e-4, 100);
    plot_logarithmic(&p, false, true);
    plot_axes(&p, "SGD, batch 2", "steps", "f − f*");
    curves_draw(&p, FLOORS, gap);
    curves_legend(&p, FLOORS, gap);
    plot_panel(&p, 1000, 40, 280, SIDE, h[0], h[1], 1e-4, 1);
    plot_logarithmic(&p, true, true);
    plot_axes(&p, "the noise floor", "step", "mean of f − f*");
    plot_curve(&p, 2, h, theory, 1.2, PLOT_GRAY);
    for (int i = 0; i < FLOORS; i++)
        plot_point(&p, k[searches + i].lr, k[searches + i].floor, 5, k[searches + i].color);
    const legend_entry theirs[] = {{"measured", floor_color[0], 5, LEGEND_POINT, {0}},
                                   {"step · tr(C) / 4", PLOT_GRAY, 1.6, LEGEND_LINE, {0}}};
    plot_legend(&p, 2, theirs);
    plot_save(&p, cli.out);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    cli_check_files();
    enum { SEARCHES = 3 };
    static walk k[SEARCHES + FLOORS] = {
        {.name = "GD", .estimator = "full", .goal = 1e-10, .color = PLOT_BLACK},
        {.name = "Armijo", .estimator = "full", .schedule = "armijo", .lr = 1, .goal = 1e-10, .color = PLOT_BLUE},
        {.name = "Wolfe", .estimator = "full", .schedule = "wolfe", .lr = 1, .goal = 1e-10, .color = PLOT_GREEN}};
    static curve gap[FLOORS];
    static char name[FLOORS][32];
    sw_source *source = make_problem();
    for (int i = 0; i < SEARCHES + FLOORS; i++) {
        const int j = i - SEARCHES;
        if (j >= 0) {
            snprintf(name[j], sizeof name[j], "step %g", floor_step[j]);
            gap[j].n = 0, gap[j].name = name[j], gap[j].width = 1.4, gap[j].color = floor_color[j];
            k[i].name = name[j], k[i].estimator = "minibatch batch=2 order=replacement";
            k[i].lr = floor_step[j], k[i].color = floor_color[j], k[i].gap = &gap[j], k[i].goal = -1;
        }
        walk_run(&k[i], source);
    }
    sw_source_free(source);
    if (sw_error())
        return cli_end(1);
    printf("gd_steps %lld\narmijo_steps %lld\nwolfe_steps %lld\n", (long long)k[0].taken, (long long)k[1].taken,
           (long long)k[2].taken);
    for (int i = 0; i < FLOORS; i++)
        printf("floor_%g %.3e\n", floor_step[i], k[SEARCHES + i].floor);
    for (int i = 0; i < FLOORS; i++)
        printf("theory_%g %.3e\n", floor_step[i], floor_step[i] * noise / 4);
    cli_flush();
    draw(k, SEARCHES, gap);
    curves_save(cli.out, "steps", "gap", FLOORS, gap);
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
