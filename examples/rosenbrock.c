/* How do the rules walk down a curved valley? Every rule that is registered, from (0.1, 3) on Rosenbrock's
 * function f(w) = (1 - w1)^2 + 100 (w2 - w1^2)^2, all with one learning rate. The minimum is 0 at (1, 1); the
 * valley w2 = w1^2 that leads there is steep across, a hundred times and more steeper than along. */
#include "cli.h"
#include "curves.h"
#include <swale/swale.h>

enum { MOST = 64, ACROSS = 6, SIDE = 160, PIXELS = SIDE * SIDE, PLACES = 160 /* of a walk that are drawn */ };

static int64_t steps = 2000;
static double lr = 0.003;

static const cli_option options[] = {{"--steps", "N", CLI_COUNT, &steps, 1, 1e7, "of each rule (2000)"},
                                     {"--lr", "X", CLI_REAL, &lr, 1e-9, 1, "learning rate of all (0.003)"},
                                     CLI_COMMON("for rules that draw random numbers: none so far (1)", "FILE.png",
                                                CLI_PICTURE, "the picture; the walks go to FILE.csv (rosenbrock.png)")};
static const cli_program program = {.name = "rosenbrock",
                                    .example = "rosenbrock --steps 5000 --lr 0.001 --out valley.png",
                                    .options = options,
                                    .out = "rosenbrock.png",
                                    .numbers = true};

static const double start[2] = {0.1, 3};

static double value_at(double w1, double w2) {
    return (1 - w1) * (1 - w1) + 100 * (w2 - w1 * w1) * (w2 - w1 * w1);
}

/* Value and gradient, as sw_objective wants them; one sample, no chance. */
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
    int64_t taken; /* fewer than asked for: the gradient was no number any more */
} end;

/* The gradient was no number any more, or the walk ended higher than it began. */
static bool has_diverged(const end *e) {
    return e->taken < steps || !(e->f <= value_at(start[0], start[1]));
}

static end walk(const sw_rule *rule, curve *path) {
    char spec[96];
    end e = {0};
    sw_params *params = sw_params_new(SW_F64, 0);
    const sw_param_options one = {.size = sizeof one, .role = SW_ROLE_WEIGHT, .fan_in = 2, .fan_out = 1};
    sw_params_add(params, "w", SW_SHAPE(2), &one);
    sw_params_build(params);
    const sw_objective f = {.size = sizeof f, .n = 1, .params = params, .gradient = rosenbrock};
    snprintf(spec, sizeof spec, "%s lr=%.17g", rule->name, lr);
    sw_optim *optim = sw_error()
                          ? NULL
                          : sw_optim_new_with_options(params, &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                                  .estimator = "full",
                                                                                  .rule = spec,
                                                                                  .seed = (uint64_t)cli.seed});
    double *w = sw_error() ? NULL : sw_params_x(params);
    if (w) {
        w[0] = start[0], w[1] = start[1];
        sw_params_mark_changed(params);
    }
    const int64_t every = (steps + PLACES - 1) / PLACES;
    for (; w && !sw_error(); e.taken++) {
        if (e.taken % every == 0)
            curve_add(path, w[0], w[1]);
        if (e.taken == steps || sw_optim_minimize(optim, &f, NULL) != SW_OK)
            break;
    }
    if (sw_error_status() == SW_ERR_NONFINITE) /* a state or x would be Inf: this rule has diverged */
        sw_clear_error();
    if (w)
        e.w1 = w[0], e.w2 = w[1], e.f = value_at(w[0], w[1]);
    sw_optim_free(optim), sw_params_free(params);
    return e;
}

/* ---- The picture: a panel for each rule, over contours by factors of 4 ---- */

static void draw_panel(plot *p, int i, const curve *path, const end *e) {
    static unsigned color[PIXELS];
    char title[64];
    const int column = i % ACROSS, row = i / ACROSS;
    plot_panel(p, column * 195 + 36, row * 215 + 30, SIDE, SIDE, -2, 2, -1, 3.5);
    for (int k = 0; k < PIXELS; k++) {
        const int x = k % SIDE, y = k / SIDE;
        const double f =
            value_at(p->x0 + (p->x1 - p->x0) * (x + 0.5) / SIDE, p->y1 - (p->y1 - p->y0) * (y + 0.5) / SIDE);
        const double level = floor(plot_log2(f + 1e-3) / 2 + 5);
        color[k] = plot_mix(PLOT_WHITE, PLOT_GRAY, level < 0 ? 0 : level > 11 ? 0.88 : level * 0.08);
    }
    plot_field(p, SIDE, SIDE, color);
    plot_curve(p, path->n, path->x, path->y, 1.6, PLOT_RED);
    p->clipped = true;
    plot_point(p, 1, 1, 3, PLOT_GREEN);
    plot_point(p, start[0], start[1], 3, PLOT_BLUE);
    p->clipped = false;
    plot_frame(p, PLOT_GRAY);
    snprintf(title, sizeof title, "%s: %.1e", path->name, e->f);
    plot_text(p, (p->left + p->right) / 2, p->top - 8, 8, PLOT_CENTER, false, PLOT_BLACK, title);
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
    plot p = plot_new(ACROSS * 195 + 30, (rules + ACROSS - 1) / ACROSS * 215);
    for (int i = 0; i < rules; i++)
        draw_panel(&p, i, &path[i], &ends[i]);
    plot_save(&p, cli.out);
    curves_save(cli.out, "w1", "w2", rules, path);
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
