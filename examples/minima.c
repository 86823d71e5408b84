/* Shows which of two minima gradient descent finds, and how noise helps it past small ones, on functions of one number:
 *
 *     f(x) = -[N(x; 0, 0.9) + 5 N(x; 13, 5)]            a narrow minimum near 0 and a wide one near 13
 *     r(x) = -N(x; 0, 1) (1 + 0.07 sin 15x)             one basin with ripples
 *
 * where N(x; m, s) is the density of the normal distribution. Near a minimum, gradient descent with step h converges
 * only if h f'' < 2. Both parts begin on the slope of the deepest minimum:
 *   1. on f from 2, at many learning rates. Test data shift a loss a little, and a narrow minimum suffers more from
 *      it: the test loss is f(x - 1);
 *   2. on r from 1.9, without noise, and 400 times with normal noise added to each gradient. */
#include "cli.h"
#include "curves.h"
#include <swale/swale.h>

enum { RATES = 121 /* 40 in each factor of 10, from 0.1 to 100 */, MOST_WALKS = 10000, SHOWN = 200, BINS = 50 };
enum { TOP = 40, SIDE = 250 }; /* panels of the picture, in units */

static int64_t steps = 2000, walks = 400;
static double noise = 0.9;
static bool faithful;

static const cli_option options[] = {
    {"--steps", "N", CLI_COUNT, &steps, 10, 1e6, "steps of each walk (2000)"},
    {"--walks", "N", CLI_COUNT, &walks, 2, MOST_WALKS, "walks with noise (400)"},
    {"--noise", "X", CLI_REAL, &noise, 0, 100, "standard deviation of the noise in a gradient (0.9)"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0, "the full experiment, which is the default"},
    CLI_COMMON("of the noise (1)", "FILE.png", CLI_PICTURE, "the picture, and FILE.csv with its numbers (minima.png)")};
static const cli_program program = {.name = "minima",
                                    .example = "minima --noise 0.5 --out minima.png",
                                    .options = options,
                                    .out = "minima.png",
                                    .numbers = true};

static const double SMALL = 0.1, LARGE = 12.9, FAR_START = 2, RIPPLE_START = 1.9, WIDE = 13;

/* ---- The functions ---- */

/* The density of the normal distribution, and its derivative. */
static double density(double x, double mean, double deviation, double *slope) {
    const double z = (x - mean) / deviation, value = exp(-z * z / 2) / (deviation * 2.5066282746310002); /* sqrt(2π) */
    *slope = -z / deviation * value;
    return value;
}

static double two_minima(double x, double *slope) {
    double narrow_slope, wide_slope;
    const double value = density(x, 0, 0.9, &narrow_slope) + 5 * density(x, WIDE, 5, &wide_slope);
    *slope = -(narrow_slope + 5 * wide_slope);
    return -value;
}

static double rippled(double x, double *slope) {
    double density_slope;
    const double value = density(x, 0, 1, &density_slope), ripple = 1 + 0.07 * sin(15 * x);
    *slope = -(density_slope * ripple + value * 0.07 * 15 * cos(15 * x));
    return -value * ripple;
}

typedef double function(double x, double *slope);

static double value_of(function *f, double x) {
    double slope;
    return f(x, &slope);
}

/* The second derivative, by differences of the first; their error is 1e-8 at most. */
static double curvature_of(function *f, double x) {
    double left, right;
    f(x - 1e-4, &left);
    f(x + 1e-4, &right);
    return (right - left) / 2e-4;
}

/* ---- Walks ---- */

typedef struct walker {
    function *f;
    double deviation; /* of the noise */
    uint64_t key;
    sw_params *params;
    sw_optim *optim;
    double *x; /* NULL after an error */
} walker;

/* The value without noise, and the gradient with noise that depends on `draw` alone. */
static sw_status walker_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                 double *value, void *g) {
    const walker *w = user;
    sw_rng rng = {.key = w->key, .position = 4 * draw}; /* a normal number takes four words */
    double slope;
    (void)ids, (void)count;
    *value = w->f(*(const double *)x, &slope);
    if (g)
        *(double *)g = slope + (w->deviation > 0 ? w->deviation * sw_rng_normal(&rng) : 0);
    return SW_OK;
}

static void walker_make(walker *w, function *f, double lr, double deviation, int64_t number) {
    char rule[64], site[32];
    snprintf(rule, sizeof rule, "sgd lr=%.17g", lr);
    snprintf(site, sizeof site, "walk %lld", (long long)number);
    *w = (walker){.f = f, .deviation = deviation, .key = sw_rng_key((uint64_t)cli.seed, site)};
    w->params = sw_params_new(SW_F64, 0);
    sw_params_add(w->params, "x", SW_SHAPE(1), NULL);
    sw_params_build(w->params);
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .estimator = "full", .rule = rule);
    w->optim = sw_error() ? NULL : sw_optim_new_with_options(w->params, &how);
    w->x = sw_error() ? NULL : sw_params_x(w->params);
}

static void walker_start(walker *w, double x) {
    if (w->x) {
        *w->x = x;
        sw_params_mark_changed(w->params);
    }
}

/* Returns x after the step. */
static double walker_step(walker *w) {
    const sw_objective f =
        SW_OPTIONS(sw_objective, .n = 1, .params = w->params, .user = w, .gradient = walker_gradient);
    if (!w->x || sw_optim_minimize(w->optim, &f, NULL) != SW_OK)
        return NAN;
    return *w->x;
}

static void walker_free(walker *w) {
    sw_optim_free(w->optim), sw_params_free(w->params);
}

/* ---- 1. Two minima ---- */

/* The x of the last quarter of a walk at one learning rate. */
typedef struct ending {
    double lr, low, high, last;
} ending;

/* `path` is NULL, or gets the first x with their values. */
static ending descend(double lr, curve *path) {
    walker w;
    ending e = {.lr = lr, .low = INFINITY, .high = -INFINITY};
    walker_make(&w, two_minima, lr, 0, 0);
    walker_start(&w, FAR_START);
    double x = FAR_START;
    for (int64_t t = 1; t <= steps && !sw_error(); t++) {
        if (path && path->n < SHOWN)
            curve_add(path, x, value_of(two_minima, x));
        x = walker_step(&w);
        if (t > steps - steps / 4)
            e.low = fmin(e.low, x), e.high = fmax(e.high, x);
    }
    e.last = x;
    walker_free(&w);
    return e;
}

/* Whether a walk has converged to the wide minimum. */
static bool is_wide(const ending *e) {
    return e->low > WIDE - 0.5 && e->high < WIDE + 0.5;
}

static void print_two_minima(const ending *small, const ending *large, const ending *all) {
    int wide = -1, unsettled = -1; /* the least rates that end in the wide minimum, or that do not settle */
    for (int i = RATES - 1; i >= 0; i--) {
        wide = is_wide(&all[i]) ? i : wide;
        unsettled = all[i].high - all[i].low > 0.01 ? i : unsettled;
    }
    const ending *const end[2] = {small, large};
    static const char *const name[2] = {"small_rate", "large_rate"};
    for (int i = 0; i < 2; i++)
        printf("%s %g\n%s_x %.4f\n%s_loss %.4f\n%s_test_loss %.4f\n", name[i], end[i]->lr, name[i], end[i]->last,
               name[i], value_of(two_minima, end[i]->last), name[i], value_of(two_minima, end[i]->last - 1));
    printf("narrow_curvature %.4f\nwide_curvature %.4f\n", curvature_of(two_minima, small->last),
           curvature_of(two_minima, WIDE));
    printf("narrow_stable_below %.3f\nwide_stable_below %.3f\n", 2 / curvature_of(two_minima, small->last),
           2 / curvature_of(two_minima, WIDE));
    if (unsettled >= 0)
        printf("unsettled_from_rate %.3f\n", all[unsettled].lr);
    if (wide >= 0)
        printf("wide_from_rate %.3f\n", all[wide].lr);
}

/* ---- 2. Ripples ---- */

typedef struct ripples {
    double descent, best; /* where gradient descent ends; the deepest point */
    double loss, escaped, inside, lost;
    double last[MOST_WALKS];
} ripples;

/* The deepest point of r on a grid. */
static double deepest(void) {
    double best = 0;
    for (int i = -4000; i <= 4000; i++)
        best = value_of(rippled, i * 0.001) < value_of(rippled, best) ? i * 0.001 : best;
    return best;
}

static int compare_numbers(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Adds a point to four curves: gradient descent, the mean with noise, the tenth and the ninetieth percentile. Sorts the
 * values. */
static void record(curve *c, double step, double descent, double *value) {
    double mean = 0;
    for (int64_t i = 0; i < walks; i++)
        mean += value[i] / (double)walks;
    qsort(value, (size_t)walks, sizeof *value, compare_numbers);
    curve_add(&c[0], step, descent);
    curve_add(&c[1], step, mean);
    curve_add(&c[2], step, value[walks / 10]);
    curve_add(&c[3], step, value[walks - 1 - walks / 10]);
}

/* Runs all walks together, so that their mean is known after each step. */
static void walk_ripples(ripples *r, curve *c) {
    static double value[MOST_WALKS];
    const int64_t every = (steps + SHOWN - 1) / SHOWN;
    walker w[2];
    walker_make(&w[0], rippled, SMALL, 0, 0);
    walker_make(&w[1], rippled, SMALL, noise, 1);
    walker_start(&w[0], r->descent = RIPPLE_START);
    for (int64_t i = 0; i < walks; i++)
        r->last[i] = RIPPLE_START;
    for (int64_t t = 0; !sw_error(); t++) {
        for (int64_t i = 0; i < walks; i++)
            value[i] = value_of(rippled, r->last[i]);
        if (t % every == 0 || t == steps)
            record(c, (double)t, value_of(rippled, r->descent), value);
        if (t == steps)
            break;
        r->descent = walker_step(&w[0]);
        for (int64_t i = 0; i < walks && !sw_error(); i++) {
            walker_start(&w[1], r->last[i]);
            r->last[i] = walker_step(&w[1]);
        }
    }
    walker_free(&w[0]), walker_free(&w[1]);
    r->best = deepest();
    for (int64_t i = 0; i < walks; i++) {
        const double v = value_of(rippled, r->last[i]), share = 1 / (double)walks;
        r->loss += v * share;
        r->escaped += v < value_of(rippled, r->descent) ? share : 0;
        r->inside += fabs(r->last[i] - r->best) < 0.5 ? share : 0;
        r->lost += fabs(r->last[i]) > 3 ? share : 0;
    }
}

static void print_ripples(const ripples *r) {
    printf("descent_x %.4f\ndescent_loss %.4f\nleast_x %.3f\nleast_loss %.4f\nnoisy_mean_loss %.4f\n", r->descent,
           value_of(rippled, r->descent), r->best, value_of(rippled, r->best), r->loss);
    printf("noisy_below_descent %.4f\nnoisy_near_least %.4f\nnoisy_lost %.4f\n", r->escaped, r->inside, r->lost);
}

/* ---- The picture ---- */

static void draw_function(plot *p, function *f, double shift, double width, unsigned color) {
    enum { POINTS = 400 };
    double x[POINTS + 1], y[POINTS + 1];
    for (int i = 0; i <= POINTS; i++) {
        x[i] = p->x0 + (p->x1 - p->x0) * i / POINTS;
        y[i] = value_of(f, x[i] - shift);
    }
    plot_curve(p, POINTS + 1, x, y, width, color);
}

static void draw_paths(plot *p, const curve *path) {
    const legend_entry entry[] = {{"f(x)", PLOT_BLACK, 2, LEGEND_LINE, {0}},
                                  {"f(x − 1), test", PLOT_GRAY, 2, LEGEND_LINE, {0}},
                                  {path[0].name, path[0].color, 4, LEGEND_POINT, {0}},
                                  {path[1].name, path[1].color, 4, LEGEND_POINT, {0}}};
    plot_panel(p, 70, TOP, SIDE, SIDE, -5, 22, -0.5, 0.05);
    plot_axes(p, "two minima: gradient descent from 2", "x", "f");
    draw_function(p, two_minima, 1, 1.4, PLOT_GRAY);
    draw_function(p, two_minima, 0, 1.8, PLOT_BLACK);
    for (int k = 1; k >= 0; k--)
        for (int i = 0; i < path[k].n; i += k ? 1 : 5)
            plot_point(p, path[k].x[i], path[k].y[i], 2.6, path[k].color);
    plot_legend(p, 4, entry);
}

/* A vertical line from the least to the largest x at the end, for each rate. */
static void draw_rates(plot *p, const ending *all, double stable) {
    const double line_x[2] = {stable, stable}, line_y[2] = {-4, 28};
    const legend_entry entry[] = {{"last quarter of x", PLOT_BLUE, 2.6, LEGEND_LINE, {0}},
                                  {"2 / f''(0)", PLOT_GRAY, 1.4, LEGEND_LINE, {0}}};
    plot_panel(p, 390, TOP, SIDE, SIDE, 0.1, 100, -4, 28);
    plot_logarithmic(p, true, false);
    plot_axes(p, "where it ends", "learning rate", "x");
    plot_curve(p, 2, line_x, line_y, 1.4, PLOT_GRAY);
    for (int i = 0; i < RATES; i++) {
        const double x[2] = {all[i].lr, all[i].lr}, y[2] = {all[i].low, all[i].high};
        plot_curve(p, 2, x, y, 2.6, PLOT_BLUE);
    }
    plot_legend(p, 2, entry);
}

/* The function, where gradient descent ends, and how many walks end where. */
static void draw_ripples(plot *p, const ripples *r) {
    double count[BINS] = {0}, most = 0;
    for (int64_t i = 0; i < walks; i++) {
        const double at = (r->last[i] + 2.5) / 5 * BINS;
        if (at >= 0 && at < BINS)
            most = fmax(most, ++count[(int)at]);
    }
    const legend_entry entry[] = {{"r(x)", PLOT_BLACK, 2, LEGEND_LINE, {0}},
                                  {"without noise", PLOT_RED, 4, LEGEND_POINT, {0}},
                                  {"ends with noise", PLOT_SKY, 4, LEGEND_AREA, {0}}};
    plot_panel(p, 710, TOP, SIDE, SIDE, -2.5, 2.5, -0.6, 0.05);
    plot_axes(p, "ripples, from 1.9", "x", "r");
    for (int i = 0; i < BINS && most > 0; i++) {
        const double left = plot_x(p, -2.5 + 5.0 * i / BINS), right = plot_x(p, -2.5 + 5.0 * (i + 1) / BINS);
        const double high = 90 * count[i] / most;
        plot_rectangle(p, left, p->bottom - high, right - left, high, PLOT_SKY, 1);
    }
    draw_function(p, rippled, 0, 1.8, PLOT_BLACK);
    plot_point(p, RIPPLE_START, value_of(rippled, RIPPLE_START), 3, PLOT_RED);
    plot_point(p, r->descent, value_of(rippled, r->descent), 5, PLOT_RED);
    plot_legend(p, 3, entry);
}

static void draw_losses(plot *p, const curve *c) {
    const legend_entry entry[] = {{"without noise", c[0].color, 2.4, LEGEND_LINE, {0}},
                                  {"mean with noise", c[1].color, 2.4, LEGEND_LINE, {0}},
                                  {"80 % of the walks", PLOT_SKY, 4, LEGEND_AREA, {0}}};
    plot_panel(p, 1040, TOP, SIDE, SIDE, 0, (double)steps, -0.5, 0.05);
    plot_axes(p, "the loss on ripples", "steps", "r");
    plot_band(p, c[2].n, c[2].x, c[2].y, c[3].y, PLOT_SKY, 0.4);
    curves_draw(p, 2, c);
    plot_legend(p, 3, entry);
}

int main(int argc, char **argv) {
    static curve c[6 + 2]; /* two paths, four losses, the ends by rate */
    static ending all[RATES];
    static ripples r;
    cli_start(&program, argc, argv);
    if (faithful)
        steps = 2000, walks = 400, noise = 0.9;
    cli_check_files();
    static const char *const name[] = {"rate 0.1",    "rate 12.9",       "descent",   "noisy mean",
                                       "noisy tenth", "noisy ninetieth", "least end", "largest end"};
    static const unsigned color[] = {PLOT_BLUE, PLOT_RED, PLOT_RED, PLOT_BLUE, PLOT_SKY, PLOT_SKY, 0, 0};
    memset(&r, 0, sizeof r);
    for (int i = 0; i < 8; i++)
        c[i].n = 0, c[i].name = name[i], c[i].color = color[i], c[i].width = 1.8;
    const ending small = descend(SMALL, &c[0]), large = descend(LARGE, &c[1]);
    for (int i = 0; i < RATES && !sw_error(); i++) {
        all[i] = descend(pow(10, i / 40.0 - 1), NULL);
        curve_add(&c[6], all[i].lr, all[i].low);
        curve_add(&c[7], all[i].lr, all[i].high);
    }
    walk_ripples(&r, &c[2]);
    if (sw_error())
        return cli_end(1);
    print_two_minima(&small, &large, all);
    print_ripples(&r);
    cli_flush();
    plot p = plot_new(1310, 350);
    draw_paths(&p, c);
    draw_rates(&p, all, 2 / curvature_of(two_minima, small.last));
    draw_ripples(&p, &r);
    draw_losses(&p, c + 2);
    plot_save(&p, cli.out);
    curves_save(cli.out, "x", "y", 8, c);
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
