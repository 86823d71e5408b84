/* Does a network still learn after it has memorized its training data? Power et al., Grokking: Generalization Beyond
 * Overfitting on Small Algorithmic Datasets, 2022: on equations of arithmetic it does, long after every training
 * equation is known, if the weights decay.
 *
 * The data are all equations a ÷ b = c modulo a prime p with b ≠ 0, p (p - 1) of them, as sequences of four tokens: a,
 * ÷, b, =. A part of them is for training, the others are for validation. A transformer predicts c. It is trained twice
 * from the same initial weights, by AdamW with weight decay and without. During the training the program measures
 * accuracies and losses, the norm of the weights, and the trace of the Hessian of the training loss (Hutchinson's
 * estimate).
 *
 * The sizes of the paper are those of --faithful: p = 97, half of the 9312 equations, 2 layers, width 128, 4 heads. */
#include "cli.h"
#include "stored.h"
#include <swale/swale.h>

enum { WITH_DECAY, WITHOUT_DECAY, RUNS };
enum { TIME = 4, MOST_MODULUS = 997, MEASURED = 1000 /* equations of a trace */ };
/* The curves of each run. */
enum { TRAINING, VALIDATION, TRAINING_LOSS, VALIDATION_LOSS, NORM, TRACE, EACH };

static int64_t modulus = 29, layers = 1, width = 48, heads = 4, batch, steps = 2000, probes = 2;
static double fraction = 0.6, lr = 3e-3, decay = 2;
static bool faithful, alone;

static const cli_option options[] = {
    {"--modulus", "P", CLI_COUNT, &modulus, 3, MOST_MODULUS, "the prime p (29)"},
    {"--fraction", "X", CLI_REAL, &fraction, 0.01, 0.99, "fraction of the equations for training (0.6)"},
    {"--layers", "N", CLI_COUNT, &layers, 1, 12, "blocks of the transformer (1)"},
    {"--width", "N", CLI_COUNT, &width, 1, 1024, "features of a position, a multiple of the heads (48)"},
    {"--heads", "N", CLI_COUNT, &heads, 1, 64, "heads of each attention (4)"},
    {"--batch", "N", CLI_COUNT, &batch, 0, 1e6, "equations in a step; 0: all training equations (0)"},
    {"--steps", "N", CLI_COUNT, &steps, 1, 1e7, "steps of each run (2000)"},
    {"--lr", "X", CLI_REAL, &lr, 1e-9, 10, "learning rate of AdamW after 10 steps of warm-up (3e-3)"},
    {"--decay", "X", CLI_REAL, &decay, 1e-9, 100, "weight decay of the first run; the second has none (2)"},
    {"--probes", "N", CLI_COUNT, &probes, 1, 1000, "random vectors of each estimate of the trace (2)"},
    {"--no-comparison", NULL, CLI_FLAG, &alone, 0, 0, "only the run with weight decay"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0,
     "p = 97, fraction 0.5, 2 layers, width 128, batch 512, lr 1e-3, decay 1, 10000 steps"},
    STORED_FROM,
    CLI_COMMON("of the split, the initial weights and the batches (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (grokking.png)")};
static const cli_program program = {.name = "grokking",
                                    .example = "grokking --decay 0.5 --out grokking.png",
                                    .options = options,
                                    .out = "grokking.png",
                                    .numbers = true};

static int run_count(void) {
    return alone ? 1 : RUNS;
}

static void check_options(void) {
    for (int64_t k = 2; k * k <= modulus; k++)
        if (modulus % k == 0)
            cli_fail(2, "--modulus %lld: a prime is needed, and this is %lld times %lld", (long long)modulus,
                     (long long)k, (long long)(modulus / k));
    if (width % heads != 0)
        cli_fail(2, "--width %lld: a multiple of the %lld heads is needed", (long long)width, (long long)heads);
}

/* ---- Equations ---- */

typedef struct equations {
    int64_t count, training; /* the first `training` ids of the order are for training */
    int64_t *order;          /* [count], a random permutation */
    sw_source *all, *part[2];
} equations;

static void equations_free(equations *e) {
    for (int i = 0; i < 2; i++)
        sw_source_free(e->part[i]);
    sw_source_free(e->all);
    sw_free(e->order);
}

/* Equation b - 1 + (p - 1) c is a ÷ b = c with a = b c modulo p. The numbers are the tokens 0 to p - 1. */
static void equations_make(equations *e) {
    const sw_arrays_options how = SW_OPTIONS(sw_arrays_options, .classes = (int)modulus, .copy = true);
    sw_rng rng = {.key = sw_rng_key((uint64_t)cli.seed, "split")};
    *e = (equations){.count = modulus * (modulus - 1)};
    e->training = (int64_t)fmax(1, floor(fraction * (double)e->count));
    e->order = sw_alloc_array(e->count, sizeof *e->order);
    sw_array x = sw_array_new(SW_I32, SW_SHAPE(e->count, TIME)), y = sw_array_new(SW_I32, SW_SHAPE(e->count));
    for (int64_t i = 0; i < e->count && !sw_error(); i++) {
        const int64_t b = i % (modulus - 1) + 1, c = i / (modulus - 1);
        int32_t *token = (int32_t *)x.data + TIME * i;
        token[0] = (int32_t)(b * c % modulus), token[1] = (int32_t)modulus;
        token[2] = (int32_t)b, token[3] = (int32_t)modulus + 1;
        ((int32_t *)y.data)[i] = (int32_t)c;
        const int64_t k = (int64_t)sw_rng_below(&rng, (uint64_t)i + 1);
        e->order[i] = e->order[k], e->order[k] = i;
    }
    e->all = sw_error() ? NULL : sw_arrays(&x, &y, &how);
    for (int i = 0; i < 2 && e->all && !sw_error(); i++)
        e->part[i] = sw_subset(e->all, e->order + i * e->training, i ? e->count - e->training : e->training, NULL);
    sw_array_free(&x), sw_array_free(&y);
}

/* ---- Runs ---- */

/* The logits at the last position, [batch, tokens]. */
static sw_tensor last_position(sw_module *self, sw_tensor x) {
    const sw_tensor logits = sw_forward(sw_module_child(self, 0), x);
    return sw_reshape(sw_slice(logits, 1, -1, SW_END), SW_SHAPE(-1, modulus + 2));
}

static sw_model *network_make(void) {
    sw_model *model = sw_model_new(SW_F32, (uint64_t)cli.seed);
    const sw_gpt_options size =
        SW_OPTIONS(sw_gpt_options, .vocabulary = modulus + 2, .length = TIME, .layers = (int)layers,
                   .heads = (int)heads, .width = width, .untied = true, .activation = "relu");
    sw_module *gpt = sw_nn_gpt(model, &size);
    sw_model_set_input_shape(model, SW_SHAPE(TIME));
    sw_model_build(model, sw_nn_compose_with_options(model, "last", last_position, 1, &gpt,
                                                     &SW_OPTIONS(sw_compose_options, .takes_ids = true)));
    return model;
}

/* The index of the first point with y ≥ 0.99, or -1. */
static int first_known(const curve *c) {
    for (int i = 0; i < c->n; i++)
        if (c->y[i] >= 0.99)
            return i;
    return -1;
}

static void measure_trace(const sw_objective *f, int64_t step, curve *c) {
    double trace = NAN;
    const int64_t count = f->n < MEASURED ? f->n : MEASURED;
    sw_landscape *l = sw_landscape_new(f, NULL, &SW_OPTIONS(sw_landscape_options, .count = count));
    if (sw_landscape_trace(l, (int)probes, (uint64_t)step, &trace, NULL) == SW_OK)
        curve_add(c, (double)step, trace);
    sw_landscape_free(l);
}

static void measure(sw_model *model, const equations *e, int64_t step, curve *c) {
    const sw_params *params = sw_model_params(model);
    double norm = NAN;
    for (int i = 0; i < 2 && !sw_error(); i++) {
        sw_evaluation result = {0};
        sw_model_evaluate(model, NULL, e->part[i], sw_cross_entropy, &result);
        curve_add(&c[TRAINING + i], (double)step, result.accuracy);
        curve_add(&c[TRAINING_LOSS + i], (double)step, result.loss);
    }
    if (!sw_error() && sw_vector_norm(SW_F32, sw_params_dim(params), sw_params_x(params), &norm) == SW_OK)
        curve_add(&c[NORM], (double)step, norm);
}

/* The step of the next measurement: every step at first, then `growth` times the number of steps, and the last one. */
static int64_t next_step(int64_t step, double growth) {
    const int64_t next = (int64_t)((double)step * growth);
    return next <= step ? step + 1 : next < steps ? next : steps;
}

typedef struct training {
    sw_model *model;
    sw_optim *optim;
    const sw_objective *f; /* of the training equations */
    double loss;           /* of the last step */
} training;

static void training_start(training *r, const equations *e, double weight_decay) {
    char rule[96], estimator[48];
    snprintf(rule, sizeof rule, "adamw lr=%.17g beta1=0.9 beta2=0.98 weight_decay=%.17g", lr, weight_decay);
    snprintf(estimator, sizeof estimator, "minibatch batch=%lld",
             (long long)(batch && batch < e->training ? batch : e->training));
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .rule = rule, .estimator = estimator,
                                            .schedule = "constant warmup=10", .seed = (uint64_t)cli.seed);
    r->model = network_make();
    r->optim = sw_error() ? NULL : sw_optim_new_with_options(sw_model_params(r->model), &how);
    r->f = sw_error() ? NULL : sw_model_objective(r->model, e->part[0], sw_cross_entropy);
}

/* Trains both runs alternately, step by step, so that after a signal their results can be compared. */
static void train(const equations *e, curve *c) {
    cli_progress progress = cli_progress_start();
    training runs[RUNS] = {{0}};
    int64_t measured = 1, traced = 1;
    for (int i = 0; i < run_count(); i++)
        training_start(&runs[i], e, i == WITH_DECAY ? decay : 0);
    for (int64_t step = 1; step <= steps && !sw_error() && !cli_signal; step++) {
        for (int i = 0; i < run_count() && !sw_error(); i++) {
            sw_optim_minimize(runs[i].optim, runs[i].f, &runs[i].loss);
            if (step == measured && !sw_error())
                measure(runs[i].model, e, step, &c[i * EACH]);
            if (step == traced && !sw_error())
                measure_trace(runs[i].f, step, &c[i * EACH + TRACE]);
        }
        measured = step == measured ? next_step(step, 1.05) : measured;
        traced = step == traced ? next_step(step, 1.3) : traced;
        cli_progress_draw(&progress, "training", step, steps, step, steps, runs[WITH_DECAY].loss);
    }
    if (progress.live)
        cli_progress_line(&progress, "");
    for (int i = 0; i < RUNS; i++)
        sw_optim_free(runs[i].optim), sw_model_free(runs[i].model);
}

/* ---- Results ---- */

static const char *const run_name[RUNS] = {"decay", "no_decay"};

/* The last value of a curve whose x is at most `step`. */
static double value_at(const curve *c, double step) {
    double value = NAN;
    for (int i = 0; i < c->n && c->x[i] <= step; i++)
        value = c->y[i];
    return value;
}

static void print_run(const curve *c, const char *name) {
    const int known = first_known(&c[TRAINING]), understood = first_known(&c[VALIDATION]);
    const double last = c[TRAINING].n > 0 ? c[TRAINING].x[c[TRAINING].n - 1] : 0;
    double best = 0;
    for (int i = 0; i < c[VALIDATION].n; i++)
        best = fmax(best, c[VALIDATION].y[i]);
    printf("%s_steps %.0f\n", name, last);
    if (known >= 0) {
        const double then = c[TRAINING].x[known];
        printf("%s_steps_to_99_training %.0f\n%s_validation_then %.4f\n", name, then, name,
               value_at(&c[VALIDATION], then));
        printf("%s_norm_then %.3f\n%s_trace_then %.4g\n", name, value_at(&c[NORM], then), name,
               value_at(&c[TRACE], then));
    }
    if (understood >= 0)
        printf("%s_steps_to_99_validation %.0f\n", name, c[VALIDATION].x[understood]);
    printf("%s_best_validation %.4f\n", name, best);
    printf("%s_last_training %.4f\n%s_last_validation %.4f\n", name, value_at(&c[TRAINING], last), name,
           value_at(&c[VALIDATION], last));
    printf("%s_last_norm %.3f\n%s_last_trace %.4g\n", name, value_at(&c[NORM], last), name, value_at(&c[TRACE], last));
}

/* The range of the positive values of curve `kind` of both runs. */
static void find_range(const curve *c, int kind, double *low, double *high) {
    for (int i = kind; i < run_count() * EACH; i += EACH)
        for (int k = 0; k < c[i].n; k++)
            if (c[i].y[k] > 0 && isfinite(c[i].y[k]))
                *low = fmin(*low, c[i].y[k]), *high = fmax(*high, c[i].y[k]);
}

/* A panel with the curves `first` to first + count - 1 of both runs. */
static void draw_panel(plot *p, const curve *c, int place, int first, int count, const char *title) {
    const int column = place % 2, row = place / 2;
    const bool logarithmic = first == TRAINING_LOSS || first == TRACE;
    double low = INFINITY, high = 0, last = 2;
    for (int kind = first; kind < first + count; kind++)
        find_range(c, kind, &low, &high);
    if (!(high > 0))
        low = 0.5, high = 1;
    for (int i = 0; i < run_count(); i++)
        last = c[i * EACH].n > 0 ? fmax(last, c[i * EACH].x[c[i * EACH].n - 1]) : last;
    plot_panel(p, 80 + 510 * column, 40 + 380 * row, 410, 290, 1, last, logarithmic ? low / 1.5 : 0,
               logarithmic ? 1.5 * high : 1.05 * high);
    plot_logarithmic(p, true, logarithmic);
    plot_axes(p, title, "step", "");
    for (int i = run_count() - 1; i >= 0; i--)
        curves_draw(p, count, &c[i * EACH + first]);
}

static void draw_legend(plot *p, const curve *c, int first, int count) {
    static const char *const part[2] = {"training, ", "validation, "};
    legend_entry entry[2 * RUNS];
    char text[2 * RUNS][48];
    for (int i = 0; i < run_count() * count; i++) {
        const int run = i / count;
        snprintf(text[i], sizeof text[i], "%sdecay %g", count == 2 ? part[i % 2] : "", run == WITH_DECAY ? decay : 0);
        entry[i] = (legend_entry){text[i], c[run * EACH + first + i % count].color, 2.4, LEGEND_LINE, {0}};
    }
    plot_legend(p, run_count() * count, entry);
}

static void draw(const curve *c) {
    plot p = plot_new(1010, 780);
    draw_panel(&p, c, 0, TRAINING, 2, "accuracy");
    draw_panel(&p, c, 1, TRAINING_LOSS, 2, "loss");
    draw_legend(&p, c, TRAINING_LOSS, 2);
    draw_panel(&p, c, 2, NORM, 1, "norm of the weights");
    draw_legend(&p, c, NORM, 1);
    draw_panel(&p, c, 3, TRACE, 1, "trace of the Hessian of the training loss");
    draw_legend(&p, c, TRACE, 1);
    plot_save(&p, cli.out);
}

/* ---- The program ---- */

static curve curves[RUNS * EACH];

static void name_curves(void) {
    static const char *const quantity[EACH] = {
        "training accuracy", "validation accuracy", "training loss", "validation loss", "norm", "trace"};
    static const unsigned dark[RUNS] = {PLOT_BLUE, PLOT_RED}, light[RUNS] = {PLOT_SKY, PLOT_ORANGE};
    for (int i = 0; i < RUNS * EACH; i++) {
        const int run = i / EACH, kind = i % EACH;
        curves[i] = (curve){.name = quantity[kind], .width = 1.8};
        curves[i].color = kind == TRAINING || kind == TRAINING_LOSS ? light[run] : dark[run];
        snprintf(curves[i].key, sizeof curves[i].key, "%s, %s", run_name[run], quantity[kind]);
    }
}

static void list_results(stored *s) {
    stored_curves(s, run_count() * EACH, 1, curves);
}

static void run_experiment(void) {
    equations e;
    equations_make(&e);
    cli_catch_signals();
    train(&e, curves);
    cli_release_signals();
    equations_free(&e);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (faithful)
        modulus = 97, fraction = 0.5, layers = 2, width = 128, heads = 4, batch = 512, lr = 1e-3, decay = 1,
        steps = 10000;
    check_options();
    cli_check_files();
    name_curves();
    if (cli.from)
        stored_load(list_results);
    else
        run_experiment();
    if (!sw_error()) {
        for (int run = 0; run < run_count(); run++)
            print_run(curves + run * EACH, run_name[run]);
        cli_flush();
        draw(curves);
        stored_save(list_results);
    }
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(cli_exit_code());
}
