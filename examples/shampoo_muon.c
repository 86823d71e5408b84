/* Shampoo and Muon compute the same step in different ways. With the decomposition G = USVᵀ of a gradient,
 *
 *     (GGᵀ)^(-1/4) G (GᵀG)^(-1/4) = U S^(-1/2) S S^(-1/2) Vᵀ = UVᵀ
 *
 * which is Shampoo's step for one gradient (without ε), and Muon's for any. The program has three parts:
 *   1. the largest error of this identity for several shapes, in f64;
 *   2. how Muon's Newton-Schulz iterations move the singular values of a matrix towards 1 (left panel);
 *   3. a race to a validation accuracy on Fashion-MNIST with 784-100-10: AdamW, Shampoo, SOAP and Muon, each tuned by
 *      the search of optimizer_zoo (right panel: validation accuracy against steps). */
#include "cli.h"
#include "search.h"
#include "stored.h"

enum { MOST_SEEDS = 16, LARGEST = 128, BATCH = 128, EVERY = 50 /* steps between evaluations */ };

static const char *data;
static int64_t trials = 4, epochs = 3, seeds = 3;
static double target = 0.87;
static bool quick;

static const cli_option options[] = {
    {"--data", "DIR", CLI_DATA, &data, 0, 0, "folder of the four IDX files (default: searched for)"},
    {"--target", "X", CLI_REAL, &target, 0, 1, "validation accuracy that ends a run (0.87)"},
    {"--trials", "N", CLI_COUNT, &trials, 1, 1000, "settings to try for each rule (4)"},
    {"--epochs", "N", CLI_COUNT, &epochs, 1, 1000, "a run without the target ends after as many epochs (3)"},
    {"--seeds", "N", CLI_COUNT, &seeds, 1, MOST_SEEDS, "runs of the best setting (3)"},
    {"--quick", NULL, CLI_FLAG, &quick, 0, 0, "target 0.75, 2 trials, 1 epoch, 1 seed"},
    STORED_FROM,
    CLI_COMMON("of the matrices, the search, initial values and order (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (shampoo_muon.png)")};
static const cli_program program = {.name = "shampoo_muon",
                                    .example = "shampoo_muon --target 0.85 --out shampoo_muon.png",
                                    .options = options,
                                    .out = "shampoo_muon.png",
                                    .numbers = true};

/* ---- Matrices ---- */

typedef double matrix[LARGEST * LARGEST];

static void normal_matrix(int64_t count, const char *site, double *x) {
    sw_rng rng = {.key = sw_rng_key((uint64_t)cli.seed, site)};
    for (int64_t i = 0; i < count; i++)
        x[i] = sw_rng_normal(&rng);
}

/* Memory for the functions of <swale/matrix.h>. The caller frees it. */
static void *workspace(int64_t n) {
    const size_t root = sw_inverse_root_work(SW_F64, n, NULL), eigen = sw_symmetric_eigen_work(SW_F64, n),
                 iterations = sw_newton_schulz_work(SW_F64, n, n, NULL), more = root > eigen ? root : eigen;
    return sw_alloc(more > iterations ? more : iterations);
}

/* root = A^(-1/order), where eigenvalues of 0 remain 0. */
static void pseudo_root(int64_t n, int order, const double *A, double *root, void *work) {
    sw_inverse_root(SW_F64, n, A, &SW_OPTIONS(sw_root_options, .order = order, .pseudo = true), root, work, NULL);
}

/* C = A B */
static void multiply(int64_t M, int64_t N, int64_t K, const double *A, const double *B, double *C) {
    sw_gemm(SW_F64, false, false, M, N, K, 1, A, K, B, N, 0, C, N);
}

/* ---- 1. The identity ---- */

/* The largest element of |(GGᵀ)^(-1/4) G (GᵀG)^(-1/4) - UVᵀ|, where UVᵀ = G (GᵀG)^(-1/2). The roots are pseudo-inverse,
 * because the larger of GGᵀ and GᵀG is singular unless G is square. */
static double identity_error(int64_t m, int64_t n, void *work) {
    static matrix G, left, right, root, product, step, exact;
    double worst = 0;
    normal_matrix(m * n, "identity", G);
    sw_symmetric_product(SW_F64, false, m, n, 1, G, n, 0, left, m);
    sw_symmetric_product(SW_F64, true, n, m, 1, G, n, 0, right, n);
    pseudo_root(m, 4, left, root, work);
    multiply(m, n, m, root, G, product);
    pseudo_root(n, 4, right, root, work);
    multiply(m, n, n, product, root, step);
    pseudo_root(n, 2, right, root, work);
    multiply(m, n, n, G, root, exact);
    for (int64_t i = 0; i < m * n; i++)
        worst = fmax(worst, fabs(step[i] - exact[i]));
    return worst;
}

enum { SHAPES = 4 };
static const int shapes[SHAPES][2] = {{32, 16}, {64, 64}, {16, 48}, {128, 32}};
static double identity_errors[SHAPES];

static void measure_identity(void *work) {
    for (int i = 0; i < SHAPES && !sw_error(); i++)
        identity_errors[i] = identity_error(shapes[i][0], shapes[i][1], work);
}

static void print_identity(void) {
    for (int i = 0; i < SHAPES; i++)
        printf("identity_error_%dx%d %.2g\n", shapes[i][0], shapes[i][1], identity_errors[i]);
}

/* ---- 2. The iterations ---- */

enum { SIDE = 64, ITERATIONS = 6, MUON = 5 /* iterations of Muon */ };
/* MUON iterations bring every singular value of at least SMALLEST ‖G‖ between LOW and HIGH. */
static const double SMALLEST = 0.01, LOW = 0.65, HIGH = 1.25;

/* The singular values of X [SIDE, SIDE], in ascending order. */
static void singular_values(const double *X, double *value, void *work) {
    static matrix square;
    sw_symmetric_product(SW_F64, false, SIDE, SIDE, 1, X, SIDE, 0, square, SIDE);
    sw_symmetric_eigen(SW_F64, SIDE, square, value, square, work, NULL);
    for (int i = 0; i < SIDE; i++)
        value[i] = sqrt(fmax(value[i], 0));
}

/* A curve of singular values for each number of iterations, beginning with none: X = G/‖G‖. */
static curve values[ITERATIONS + 1];

static void iterate(void *work) {
    static matrix G, X;
    double value[SIDE] = {0}, norm = 0;
    normal_matrix(SIDE * SIDE, "singular values", G);
    for (int i = 0; i < SIDE * SIDE; i++)
        norm += G[i] * G[i];
    for (int k = 0; k <= ITERATIONS && !sw_error(); k++) {
        for (int i = 0; i < SIDE * SIDE; i++)
            X[i] = G[i] / sqrt(norm);
        if (k > 0)
            sw_newton_schulz(SW_F64, SIDE, SIDE, G, &SW_OPTIONS(sw_newton_schulz_options, .iterations = k), X, work);
        singular_values(X, value, work);
        for (int i = 0; i < SIDE; i++)
            curve_add(&values[k], i + 1, fmax(value[i], 1e-6));
    }
}

static void print_values(void) {
    int small = 0, outside = 0;
    for (int i = 0; i < SIDE; i++) {
        small += values[0].y[i] < SMALLEST;
        outside += !(values[MUON].y[i] >= LOW && values[MUON].y[i] <= HIGH);
    }
    printf("singular_values_below_%g %d\nmuon_singular_values_outside_%g_%g %d\nmuon_largest_singular_value %.3f\n",
           SMALLEST, small, LOW, HIGH, outside, values[MUON].y[SIDE - 1]);
}

/* ---- 3. The race ---- */

typedef struct racer {
    const char *name, *rule;
    unsigned color;
    char spec[SEARCH_SPEC];         /* the best setting so far */
    sw_train_result chosen;         /* its run */
    double steps, seconds, reached; /* means over the seeds that reached the target, and the number of these */
} racer;
static racer racers[] = {{.name = "AdamW", .rule = "adamw", .color = PLOT_RED},
                         {.name = "Shampoo", .rule = "shampoo", .color = PLOT_ORANGE},
                         {.name = "SOAP", .rule = "soap", .color = PLOT_GREEN},
                         {.name = "Muon", .rule = "muon", .color = PLOT_BLUE}};
enum { RACERS = sizeof racers / sizeof *racers };
static curve accuracy[RACERS]; /* of the first seed; none if all settings diverged */

typedef struct judge {
    sw_model *model;
    const sw_source *source;
    curve *record; /* NULL, or receives the accuracies */
} judge;

static sw_status evaluate(void *user, sw_train_state *state) {
    judge *j = user;
    sw_evaluation now = {0};
    sw_status status = sw_model_evaluate(j->model, state->point, j->source, sw_cross_entropy, &now);
    state->metric = now.accuracy;
    if (status == SW_OK && j->record)
        curve_add(j->record, (double)state->step, now.accuracy);
    return status;
}

/* Trains until the target or `most` steps. False if the setting diverged, which is not an error. */
static bool run(const char *spec, uint64_t seed, sw_source *const *part, int64_t most, curve *record,
                sw_train_result *result) {
    sw_model *model = sw_model_new(SW_F32, seed);
    sw_params *params = sw_model_build(model, sw_nn_sequential(model, sw_nn_linear(model, 784, 100), sw_nn_relu(model),
                                                               sw_nn_linear(model, 100, 10), NULL));
    sw_optim *optim =
        sw_error() ? NULL
                   : sw_optim_new_with_options(params, &SW_OPTIONS(sw_optim_options, .rule = spec,
                                                                   .estimator = "minibatch batch=128", .seed = seed));
    const sw_objective *f = sw_error() ? NULL : sw_model_objective(model, part[0], sw_cross_entropy);
    judge j = {model, part[1], record};
    if (!sw_error())
        sw_train(f, optim,
                 &SW_OPTIONS(sw_train_options, .steps = most, .user = &j, .evaluate = evaluate, .evaluate_every = EVERY,
                             .goal = SW_GOAL_ABOVE, .target = target, .stop = &cli_signal),
                 result);
    const bool diverged = sw_error_status() == SW_ERR_NONFINITE;
    if (diverged)
        sw_clear_error();
    sw_optim_free(optim), sw_model_free(model);
    return !diverged && !sw_error() && !cli_signal;
}

/* Whether run a is better than b: fewer steps to the target, or, if none reaches it, the higher accuracy. */
static bool is_better(const sw_train_result *a, const sw_train_result *b) {
    const bool a_reached = a->reason == SW_TRAIN_TARGET, b_reached = b->reason == SW_TRAIN_TARGET;
    if (a_reached != b_reached)
        return a_reached;
    return a_reached ? a->steps < b->steps : a->metric > b->metric;
}

/* A trial may not take more steps than the best one so far. */
static void tune(racer *r, sw_source *const *part, int64_t most) {
    const sw_rule *rule = sw_rule_find(r->rule);
    for (int64_t t = 0; t < trials && !sw_error() && !cli_signal; t++) {
        char spec[SEARCH_SPEC];
        sw_train_result now = {0};
        const int64_t limit = r->chosen.reason == SW_TRAIN_TARGET ? r->chosen.steps : most;
        search_spec(rule, search_fixed(rule), t, (uint64_t)cli.seed, spec, sizeof spec);
        if (run(spec, (uint64_t)cli.seed, part, limit, NULL, &now) && (!*r->spec || is_better(&now, &r->chosen))) {
            snprintf(r->spec, sizeof r->spec, "%s", spec);
            r->chosen = now;
        }
    }
}

static void print_racer(const racer *r) {
    printf("%s_reached %g\n", r->rule, r->reached);
    if (r->reached > 0)
        printf("%s_steps %.0f\n", r->rule, r->steps);
    if (r->reached > 0 && !cli.from)
        printf("%s_seconds %.3f\n", r->rule, r->seconds);
    cli_flush();
}

static void race(racer *r, sw_source *const *part, int64_t most, curve *record) {
    tune(r, part, most);
    for (int64_t k = 0; k < seeds && *r->spec && !sw_error() && !cli_signal; k++) {
        sw_train_result now = {0};
        if (run(r->spec, (uint64_t)(cli.seed + 1 + k), part, most, k == 0 ? record : NULL, &now) &&
            now.reason == SW_TRAIN_TARGET) {
            r->reached++;
            r->steps += ((double)now.steps - r->steps) / r->reached;
            r->seconds += (now.seconds - r->seconds) / r->reached;
        }
    }
    if (sw_error() || cli_signal)
        return;
    print_racer(r);
    cli_note("%s: %s\n", r->name, *r->spec ? r->spec : "all settings diverged");
}

static void race_all(void) {
    sw_source *all = sw_fashion_mnist(data, SW_TRAINING), *part[2] = {0};
    const int64_t counts[2] = {55000, 5000}, most = epochs * ((counts[0] + BATCH - 1) / BATCH);
    if (all)
        sw_split_source(
            all, 2, &SW_OPTIONS(sw_split_options, .counts = counts, .owns_source = true, .seed = (uint64_t)cli.seed),
            part);
    cli_catch_signals();
    for (int i = 0; i < RACERS && !sw_error() && !cli_signal; i++)
        race(&racers[i], part, most, &accuracy[i]);
    cli_release_signals();
    sw_source_free(part[0]), sw_source_free(part[1]);
}

/* ---- The picture ---- */

static void draw(void) {
    double most = EVERY;
    plot p = plot_new(1040, 460);
    plot_panel(&p, 80, 40, 400, 360, 1, SIDE, 1e-4, 2);
    plot_logarithmic(&p, false, true);
    plot_axes(&p, "singular values after k Newton-Schulz iterations", "index", "singular value");
    curves_draw(&p, ITERATIONS + 1, values);
    curves_legend(&p, ITERATIONS + 1, values);
    for (int i = 0; i < RACERS; i++)
        most = accuracy[i].n ? fmax(most, accuracy[i].x[accuracy[i].n - 1]) : most;
    plot_panel(&p, 592, 40, 428, 360, 0, most, 0.5, 1);
    plot_axes(&p, "784-100-10 on Fashion-MNIST, tuned", "step", "validation accuracy");
    curves_draw(&p, RACERS, accuracy);
    curves_legend(&p, RACERS, accuracy);
    plot_save(&p, cli.out);
}

/* ---- The program ---- */

static void clear_results(void) {
    static const unsigned hue[ITERATIONS + 1] = {PLOT_BLACK, PLOT_GRAY, PLOT_PURPLE, PLOT_SKY,
                                                 PLOT_GREEN, PLOT_BLUE, PLOT_RED};
    static const char *const name[ITERATIONS + 1] = {"k = 0", "k = 1", "k = 2", "k = 3", "k = 4", "k = 5", "k = 6"};
    for (int k = 0; k <= ITERATIONS; k++)
        values[k] = (curve){.name = name[k], .color = hue[k], .width = 1.8};
    for (int i = 0; i < RACERS; i++)
        accuracy[i] = (curve){.name = racers[i].name, .color = racers[i].color, .width = 1.8};
}

/* Without the seconds, which differ in each run. */
static void list_results(stored *s) {
    static char shape_name[SHAPES][40], reached_name[RACERS][32], steps_name[RACERS][32];
    for (int i = 0; i < SHAPES; i++) {
        snprintf(shape_name[i], sizeof shape_name[i], "identity_error_%dx%d", shapes[i][0], shapes[i][1]);
        stored_number(s, shape_name[i], &identity_errors[i]);
    }
    for (int i = 0; i < RACERS; i++) {
        snprintf(reached_name[i], sizeof reached_name[i], "%s_reached", racers[i].rule);
        snprintf(steps_name[i], sizeof steps_name[i], "%s_steps", racers[i].rule);
        stored_number(s, reached_name[i], &racers[i].reached);
        stored_number(s, steps_name[i], &racers[i].steps);
    }
    stored_curves(s, ITERATIONS + 1, SIDE, values);
    stored_curves(s, RACERS, 0, accuracy);
}

/* Prints each part when it is complete. */
static void compute_all(void) {
    void *work = workspace(LARGEST);
    if (!sw_error())
        measure_identity(work);
    if (!sw_error())
        iterate(work);
    sw_free(work);
    if (sw_error())
        return;
    print_identity();
    print_values();
    cli_flush();
    race_all();
}

static void load_all(void) {
    if (stored_load(list_results) != SW_OK)
        return;
    print_identity();
    print_values();
    for (int i = 0; i < RACERS; i++)
        print_racer(&racers[i]);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (quick)
        target = 0.75, trials = 2, epochs = 1, seeds = 1;
    cli_check_files();
    clear_results();
    if (cli.from)
        load_all();
    else
        compute_all();
    if (!sw_error() && !cli_signal) {
        draw();
        stored_save(list_results);
        if (!sw_error())
            printf("picture %s\n", cli.out);
    }
    return cli_end(cli_exit_code());
}
