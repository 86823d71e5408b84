/* Why is Adam ahead of gradient descent on language? Kunstner et al., Heavy-Tailed Class Imbalance and Why Adam
 * Outperforms Gradient Descent on Language Models, NeurIPS 2024: because most words are rare. The program repeats their
 * smallest example, in which nothing else of a language is left: a linear model whose classes have very different
 * frequencies, trained on all samples in each step.
 *
 *     m = 7; group i < m has 2^i classes of 2^(m - i) samples: 127 classes, 896 samples
 *     x ~ U[0, 1] in d = 1024 dimensions, independent of the class; d > n, so that a perfect fit exists
 *
 * These are the sizes of --faithful; by default m = 6 (63 classes, 384 samples) and d = 512. Each method has the
 * best of several learning rates, by the loss at the end. The loss is shown for each group. For comparison, the
 * same is done with as many balanced classes, 127 of 7 or 8 samples. */
#include "cli.h"

#include "curves.h"
#include <swale/swale.h>

enum { MOST_GROUPS = 10, GD, ADAM, METHODS = 2, TABLES = 2, MOST_RATES = 9 };

static int64_t groups = 6, dim = 512, steps = 30;
static double momentum = 0.9;
static bool faithful;

static const cli_option options[] = {
    {"--groups", "N", CLI_COUNT, &groups, 2, MOST_GROUPS, "groups of classes, m (6)"},
    {"--dim", "N", CLI_COUNT, &dim, 1, 100000, "dimensions of x, d (512)"},
    {"--steps", "N", CLI_COUNT, &steps, 2, 2000, "steps of each run (30)"},
    {"--momentum", "X", CLI_REAL, &momentum, 0, 0.999, "momentum of both methods (0.9)"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0, "7 groups in 1024 dimensions, 30 steps"},
    CLI_COMMON("of the samples (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (class_imbalance.png)")};
static const cli_program program = {.name = "class_imbalance",
                                    .example = "class_imbalance --faithful --out class_imbalance.png",
                                    .options = options,
                                    .out = "class_imbalance.png",
                                    .numbers = true};

/* ---- The samples ---- */

typedef struct table {
    int64_t n, classes, group_size;
    sw_array x, y;
    int *group; /* [n]: of each sample; balanced classes: 0 */
    sw_source *source;
} table;

static void table_free(table *t) {
    sw_source_free(t->source);
    sw_array_free(&t->x), sw_array_free(&t->y), sw_free(t->group);
}

/* Sample i belongs to group i / 2^m, and there to a class of 2^(m - group) samples. The source reads the arrays. */
static void table_make(table *t, bool balanced) {
    sw_rng rng = {.key = sw_rng_key((uint64_t)cli.seed, "samples")};
    t->group_size = (int64_t)1 << groups;
    t->n = groups * t->group_size, t->classes = t->group_size - 1;
    t->x = sw_array_new(SW_F32, SW_SHAPE(t->n, dim)), t->y = sw_array_new(SW_I32, SW_SHAPE(t->n));
    t->group = sw_alloc_array(t->n, sizeof *t->group);
    if (sw_error())
        return;
    for (int64_t i = 0; i < t->n * dim; i++)
        ((float *)t->x.data)[i] = (float)sw_rng_uniform(&rng);
    for (int64_t i = 0; i < t->n; i++) {
        const int64_t group = i / t->group_size, of_class = t->group_size >> group;
        t->group[i] = balanced ? 0 : (int)group;
        ((int32_t *)t->y.data)[i] =
            (int32_t)(balanced ? i % t->classes : ((int64_t)1 << group) - 1 + i % t->group_size / of_class);
    }
    t->source = sw_arrays(&t->x, &t->y, &SW_OPTIONS(sw_arrays_options, .classes = (int)t->classes));
}

/* ---- Runs ---- */

typedef struct outcome {
    double rate, loss;
    curve whole, group[MOST_GROUPS];
} outcome;

/* The mean losses of the groups, and of all samples, at the parameters of the model. */
static double group_losses(sw_model *model, const table *t, sw_tape *tape, double *loss) {
    sw_batch b;
    double all = 0;
    int64_t count[MOST_GROUPS] = {0}, *ids = sw_alloc_array(t->n, sizeof *ids);
    for (int64_t i = 0; ids && i < t->n; i++)
        ids[i] = i;
    for (int k = 0; k < groups; k++)
        loss[k] = 0;
    if (ids && sw_source_batch(t->source, tape, SW_F32, ids, t->n, &b) == SW_OK) {
        const sw_array z = sw_value(sw_forward(sw_model_root(model), b.x));
        const float *logit = z.data; /* [n, classes]; NULL after an error */
        for (int64_t i = 0; logit && i < t->n; i++, logit += t->classes) {
            double most = logit[0], sum = 0; /* 1 at least: the largest term */
            for (int64_t k = 0; k < t->classes; k++)
                most = fmax(most, (double)logit[k]);
            for (int64_t k = 0; k < t->classes; k++)
                sum += exp((double)logit[k] - most);
            const double of_sample = log(fmax(sum, 1)) + most - (double)logit[((const int32_t *)t->y.data)[i]];
            loss[t->group[i]] += of_sample, count[t->group[i]]++, all += of_sample;
        }
    }
    for (int k = 0; k < groups; k++)
        loss[k] /= count[k] ? (double)count[k] : 1;
    sw_tape_reset(tape);
    sw_free(ids);
    return all / (double)t->n;
}

/* Trains with one learning rate. Infinite loss: it diverged. */
static void train(const table *t, int method, double rate, outcome *o) {
    char rule[96];
    const int64_t every = (steps + 74) / 75;
    snprintf(rule, sizeof rule, method == ADAM ? "adam lr=%.17g beta1=%.17g" : "sgd lr=%.17g momentum=%.17g", rate,
             momentum);
    sw_model *model = sw_model_new(SW_F32, (uint64_t)cli.seed);
    sw_model_set_init(model, sw_init_zeros());
    sw_params *params = sw_model_build(model, sw_nn_linear(model, dim, t->classes));
    sw_optim *optim =
        sw_error()
            ? NULL
            : sw_optim_new_with_options(params, &SW_OPTIONS(sw_optim_options, .estimator = "full", .rule = rule));
    const sw_objective *f = sw_error() ? NULL : sw_model_objective(model, t->source, sw_cross_entropy);
    sw_tape *tape = sw_tape_new();
    if (!sw_error())
        sw_tape_set_switch(tape, SW_RECORD, false);
    o->rate = rate, o->loss = INFINITY;
    for (int64_t step = 0; step <= steps && !sw_error(); step++) {
        double loss[MOST_GROUPS];
        if (step % every == 0 || step == steps) {
            o->loss = group_losses(model, t, tape, loss);
            curve_add(&o->whole, (double)step, o->loss);
            for (int k = 0; k < groups; k++)
                curve_add(&o->group[k], (double)step, loss[k]);
        }
        if (step < steps)
            sw_optim_minimize(optim, f, NULL);
    }
    if (sw_error_status() == SW_ERR_NONFINITE) {
        o->loss = INFINITY;
        sw_clear_error();
    }
    o->loss = isnan(o->loss) ? INFINITY : o->loss;
    sw_tape_free(tape), sw_optim_free(optim), sw_model_free(model);
}

static void reset_curves(outcome *o) {
    o->whole.n = 0;
    for (int k = 0; k < MOST_GROUPS; k++)
        o->group[k].n = 0;
}

/* Finds the best of the learning rates, each about three times the previous one. */
static void tune(const table *t, int method, outcome *best) {
    static outcome now;
    const double first = method == ADAM ? 1e-4 : 1e-3;
    best->loss = INFINITY;
    for (int i = 0; i < MOST_RATES && !sw_error(); i++) {
        const int decade = i / 2;
        const double rate = first * pow(10, decade) * (i % 2 ? 3 : 1);
        reset_curves(&now);
        train(t, method, rate, &now);
        cli_note("%s, rate %g: loss %.4f\n", method == ADAM ? "Adam" : "GD", rate, now.loss);
        if (now.loss < best->loss)
            *best = now;
    }
}

/* ---- Results ---- */

static void print_outcome(const char *name, const outcome *o, bool by_group) {
    printf("%s_rate %g\n%s_loss %.4f\n", name, o->rate, name, o->loss);
    for (int k = 0; by_group && k < groups; k++)
        printf("%s_loss_of_classes_with_%d_samples %.4f\n", name, 1 << (groups - k), o->group[k].y[o->group[k].n - 1]);
}

static void draw_groups(plot *p, double left, const char *title, const outcome *o, double most) {
    static char name[MOST_GROUPS][32];
    curve c[MOST_GROUPS];
    for (int k = 0; k < groups; k++) {
        c[k] = o->group[k];
        snprintf(name[k], sizeof name[k], "%d samples", 1 << (groups - k));
        c[k].name = name[k], c[k].width = 1.8, c[k].color = color_viridis(0.9 * k / (double)(groups - 1));
    }
    plot_panel(p, left, 40, 240, 210, 0, (double)steps, 0, most);
    plot_axes(p, title, "steps", "loss");
    curves_draw(p, (int)groups, c);
    curves_legend(p, (int)groups, c);
}

static void draw(const outcome *o) {
    const double most = 1.15 * log((double)(((int64_t)1 << groups) - 1));
    plot p = plot_new(940, 320);
    draw_groups(&p, 60, "gradient descent, by class size", &o[0], most);
    draw_groups(&p, 370, "Adam, by class size", &o[1], most);
    plot_panel(&p, 680, 40, 240, 210, 0, (double)steps, 0, most);
    plot_axes(&p, "all samples", "steps", "");
    for (int i = 0; i < TABLES * METHODS; i++)
        plot_curve(&p, o[i].whole.n, o[i].whole.x, o[i].whole.y, i < METHODS ? 2.2 : 1.2,
                   i % METHODS ? PLOT_RED : PLOT_BLUE);
    plot_legend(&p, 4,
                (legend_entry[]){{"GD", PLOT_BLUE, 2.6, LEGEND_LINE, {0}},
                                 {"Adam", PLOT_RED, 2.6, LEGEND_LINE, {0}},
                                 {"GD, balanced", PLOT_BLUE, 1.4, LEGEND_LINE, {0}},
                                 {"Adam, balanced", PLOT_RED, 1.4, LEGEND_LINE, {0}}});
    plot_save(&p, cli.out);
}

int main(int argc, char **argv) {
    static const char *const name[TABLES * METHODS] = {"gd", "adam", "balanced_gd", "balanced_adam"};
    static outcome o[TABLES * METHODS];
    static curve all[TABLES * METHODS + METHODS * MOST_GROUPS];
    static char label[TABLES * METHODS + METHODS * MOST_GROUPS][48];
    cli_start(&program, argc, argv);
    if (faithful)
        groups = 7, dim = 1024, steps = 30;
    cli_check_files();
    memset(o, 0, sizeof o);
    for (int i = 0; i < TABLES * METHODS && !sw_error(); i++) {
        table t = {0};
        table_make(&t, i >= METHODS);
        if (!sw_error())
            tune(&t, i % METHODS ? ADAM : GD, &o[i]);
        table_free(&t);
    }
    if (!sw_error()) {
        int count = 0;
        for (int i = 0; i < TABLES * METHODS; i++)
            print_outcome(name[i], &o[i], i < METHODS);
        cli_flush();
        draw(o);
        for (int i = 0; i < TABLES * METHODS; i++)
            for (int k = -1; k < (i < METHODS ? groups : 0); k++, count++) {
                if (k < 0)
                    snprintf(label[count], sizeof label[0], "%s, all samples", name[i]);
                else
                    snprintf(label[count], sizeof label[0], "%s, %d samples", name[i], 1 << (groups - k));
                all[count] = k < 0 ? o[i].whole : o[i].group[k];
                all[count].name = label[count];
            }
        curves_save(cli.out, "step", "loss", count, all);
        if (!sw_error())
            printf("picture %s\n", cli.out);
    }
    return cli_end(0);
}
