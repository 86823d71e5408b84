/* Draws the path of every registered rule from (0.1, 3) on Rosenbrock's function f(w) = (1 - w1)^2 + 100 (w2 -
 * w1^2)^2, with one learning rate for all except those that find their step sizes themselves. The minimum is 0 at
 * (1, 1). The valley w2 = w1^2 leads to it; its slope across is more than a hundred times as steep as along. A walk
 * consists of the points at which the model would be evaluated, which are not those of the gradients for Schedule-Free
 * rules. */
#include "cli.h"
#include "curves.h"
#include <swale/swale.h>

enum { MOST = 64, PLACES = 160 /* PLACES: positions of a walk that are drawn */ };
enum { ACROSS = 4, SIDE = 230, WIDE = SIDE + 26, HIGH = SIDE + 40 }; /* panels of the picture, in units */

static int64_t steps = 2000;
static double lr = 0.003;

static const cli_option options[] = {{"--steps", "N", CLI_COUNT, &steps, 1, 1e7, "steps of each rule (2000)"},
                                     {"--lr", "X", CLI_REAL, &lr, 1e-9, 1, "learning rate of all rules (0.003)"},
                                     CLI_COMMON("of rules that draw random numbers; no built-in rule does (1)",
                                                "FILE.png", CLI_PICTURE,
                                                "the picture; the walks go to FILE.csv (rosenbrock.png)")};
static const cli_program program = {.name = "rosenbrock",
                                    .example = "rosenbrock --steps 5000 --lr 0.001 --out valley.png",
                                    .options = options,
                                    .out = "rosenbrock.png",
                                    .numbers = true};

static const double start[2] = {0.1, 3};
static const plot_levels contours = {.low = 0.01, .factor = 4, .count = 9};

static double value_at(double w1, double w2) {
    return (1 - w1) * (1 - w1) + 100 * (w2 - w1 * w1) * (w2 - w1 * w1);
}

/* Value and gradient in the form of a sw_objective with one sample. */
static sw_status rosenbrock(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                            void *g) {
    const double *w = x, bend = w[1] - w[0] * w[0];
    double *to = g;
    (void)user, (void)ids, (void)count, (void)draw;
    *value = value_at(w[0], w[1]);
    if (to) {
        to[0] = -2 * (1 - w[0]) - 400 * w[0] * bend;
        to[1] = 200 * bend;
    }
    return SW_OK;
}

typedef struct end {
    double w1, w2, f;
    int64_t taken; /* number of steps; fewer than --steps if the gradient became Inf or NaN */
} end;

/* Whether the walk diverged: the gradient became Inf or NaN, or the walk ended at a larger value than it began with. */
static bool has_diverged(const end *e) {
    return e->taken < steps || !(e->f <= value_at(start[0], start[1]));
}

/* Rules whose lr is a factor of a step size that they find: it remains 1. The line search finds that of lbfgs. */
static bool finds_step_size(const sw_rule *rule) {
    static const char *const names[] = {"prodigy", "schedule_free_prodigy", "lbfgs"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(rule->name, names[i]) == 0)
            return true;
    return false;
}

static end walk(const sw_rule *rule, curve *path) {
    const char *search = strcmp(rule->name, "lbfgs") == 0 ? "wolfe guess=lr" : NULL;
    char spec[96];
    end e = {0};
    sw_params *params = sw_params_new(SW_F64, 0);
    const sw_param_options one = SW_OPTIONS(sw_param_options, .role = SW_ROLE_WEIGHT, .fan_in = 2, .fan_out = 1);
    sw_params_add(params, "w", SW_SHAPE(1, 2), &one); /* a matrix, so that matrix rules apply */
    sw_params_build(params);
    const sw_objective f = SW_OPTIONS(sw_objective, .n = 1, .params = params, .gradient = rosenbrock);
    snprintf(spec, sizeof spec, "%s lr=%.17g", rule->name, finds_step_size(rule) ? 1 : lr);
    sw_optim *optim =
        sw_error() ? NULL
                   : sw_optim_new_with_options(params, &SW_OPTIONS(sw_optim_options, .estimator = "full", .rule = spec,
                                                                   .schedule = search, .seed = (uint64_t)cli.seed));
    double *w = sw_error() ? NULL : sw_params_x(params);
    if (w) {
        w[0] = start[0], w[1] = start[1];
        sw_params_mark_changed(params);
    }
    const int64_t every = (steps + PLACES - 1) / PLACES;
    const double *point = w;
    for (; w && !sw_error(); e.taken++) {
        point = e.taken > 0 ? sw_optim_point(optim) : w;
        if (point && e.taken % every == 0)
            curve_add(path, point[0], point[1]);
        if (e.taken == steps || sw_optim_minimize(optim, &f, NULL) != SW_OK)
            break;
    }
    if (sw_error_status() == SW_ERR_NONFINITE) /* x or a state would become Inf or NaN: the rule has diverged */
        sw_clear_error();
    if (point)
        e.w1 = point[0], e.w2 = point[1], e.f = value_at(point[0], point[1]);
    sw_optim_free(optim), sw_params_free(params);
    return e;
}

/* ---- The picture: a panel for each rule, with contours that differ by factors of 4 ---- */

static void draw_panel(plot *p, int i, int rules, const curve *path, const end *e) {
    char number[64], title[128];
    const int column = i % ACROSS, row = i / ACROSS;
    snprintf(number, sizeof number, "%.1e", e->f);
    plot_number(strtod(number, NULL), number); /* the value rounded to two digits */
    if (has_diverged(e))
        snprintf(title, sizeof title, "%s: diverged", path->name);
    else
        snprintf(title, sizeof title, "%s: f = %s", path->name, number);
    plot_panel(p, column * WIDE + 66, row * HIGH + 34, SIDE, SIDE, -2, 2, -1, 3.5);
    plot_axes(p, title, i + ACROSS >= rules ? "w₁" : NULL, column == 0 ? "w₂" : NULL);
    plot_contours(p, value_at, &contours);
    plot_curve(p, path->n, path->x, path->y, 2, PLOT_RED);
    p->clipped = true;
    plot_point(p, 1, 1, 4, PLOT_SKY);
    plot_point(p, start[0], start[1], 4, PLOT_BLACK);
    p->clipped = false;
    plot_frame(p, PLOT_GRAY);
}

/* Draws the scale of the contours and the legend in the place after the last panel. */
static void draw_legend(plot *p, int rules) {
    const legend_entry entry[] = {{"start", PLOT_BLACK, 4, LEGEND_POINT, {0}},
                                  {"minimum", PLOT_SKY, 4, LEGEND_POINT, {0}},
                                  {"walk", PLOT_RED, 2, LEGEND_LINE, {0}}};
    const int column = rules % ACROSS, row = rules / ACROSS;
    const double left = column * WIDE + 66, top = row * HIGH + 34;
    plot_color_bar(p, left + 20, top + 40, SIDE - 40, &contours, "f(w)");
    plot_panel(p, left + 90, top + 30, SIDE - 90, SIDE, 0, 1, 0, 1);
    plot_legend(p, sizeof entry / sizeof *entry, entry);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    cli_check_files();
    static curve path[MOST];
    end ends[MOST];
    int rules = 0;
    for (; rules < MOST && sw_rule_at(rules) && !sw_error(); rules++) {
        path[rules].name = sw_rule_at(rules)->name;
        ends[rules] = walk(sw_rule_at(rules), &path[rules]);
    }
    if (sw_error())
        return cli_end(1);
    printf("rule w1 w2 f\n");
    for (int i = 0; i < rules; i++)
        printf("%s %.7g %.7g %.3e%s\n", path[i].name, ends[i].w1, ends[i].w2, ends[i].f,
               has_diverged(&ends[i]) ? " (diverged)" : "");
    cli_flush();
    plot p = plot_new(ACROSS * WIDE + 60, (rules / ACROSS + 1) * HIGH + 50);
    for (int i = 0; i < rules; i++)
        draw_panel(&p, i, rules, &path[i], &ends[i]);
    draw_legend(&p, rules);
    plot_save(&p, cli.out);
    curves_save(cli.out, "w1", "w2", rules, path);
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
