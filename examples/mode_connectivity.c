/* Are two minima connected? (T. Garipov, P. Izmailov, D. Podoprikhin, D. Vetrov, A. G. Wilson, Loss surfaces, mode
 * connectivity, and fast ensembling of DNNs, NeurIPS 2018.) Two convolutional networks are trained on Fashion-MNIST
 * from different seeds. The loss is measured along three paths between them:
 *
 *     line       φ(t) = (1-t) w1 + t w2
 *     polychain  from w1 to θ for t ≤ 1/2, then from θ to w2
 *     bezier     φ(t) = (1-t)² w1 + 2t(1-t) θ + t² w2
 *
 * The bend θ is trained: each step draws t uniformly and takes the gradient of the loss of a batch at φ(t). At every
 * point that is evaluated, the running statistics of batch normalization are estimated again. The picture also has the
 * loss in the plane through w1, w2 and θ. */
#include "cnn.h"
#include "stored.h"

enum { LINE, POLYCHAIN, BEZIER, PATHS };
enum { TRAIN_LOSS, TEST_ERROR, MEASURES, BATCH = 128 };

static const char *data;
static int64_t samples = 6000, test_samples = 2000, statistics = 1000, channels = 8, epochs = 8, bend_epochs = 16,
               places = 21, side = 21;
static double lr = 0.05;
static bool faithful;

static const cli_option options[] = {
    {"--samples", "N", CLI_COUNT, &samples, 10, 60000, "training pictures (6000)"},
    {"--test", "N", CLI_COUNT, &test_samples, 10, 10000, "test pictures (2000)"},
    {"--statistics", "N", CLI_COUNT, &statistics, 10, 60000, "training pictures for running statistics (1000)"},
    {"--channels", "N", CLI_COUNT, &channels, 1, 64, "channels of the first convolution (8)"},
    {"--epochs", "N", CLI_COUNT, &epochs, 1, 1000, "epochs of each network (8)"},
    {"--bend-epochs", "N", CLI_COUNT, &bend_epochs, 1, 1000, "epochs of each bend (16)"},
    {"--places", "N", CLI_COUNT, &places, 3, 1001, "points of each path that are evaluated (21)"},
    {"--side", "N", CLI_COUNT, &side, 2, SURFACE_MOST, "points of each side of a plane (21)"},
    {"--lr", "LR", CLI_REAL, &lr, 1e-6, 10, "learning rate of sgd, with momentum 0.9 and cosine decay (0.05)"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0,
     "all pictures, 16 channels, 25 and 50 epochs, 61 places, planes of 25 points a side"},
    {"--data", "DIR", CLI_DATA, &data, 0, 0, "folder of the four IDX files (default: searched for)"},
    STORED_FROM,
    CLI_COMMON("of the first network and of the curves; the second network has the next (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (mode_connectivity.png)")};
static const cli_program program = {.name = "mode_connectivity",
                                    .example = "mode_connectivity --epochs 4 --out modes.png",
                                    .options = options,
                                    .out = "mode_connectivity.png",
                                    .numbers = true};

static const char *const path_name[PATHS] = {"line", "polychain", "bezier"};
static curve curves[PATHS * MEASURES]; /* of each path: loss, then error */
static char curve_name[PATHS * MEASURES][48];
static surface planes[2];   /* of polychain and bezier */
static double corner[2][3]; /* the places of w2 and θ in them: see sw_direction_plane */

/* ---- Networks ---- */

typedef struct problem {
    sw_source *training, *statistics, *test;
    sw_model *model;       /* the first network, which evaluates all points */
    const sw_objective *f; /* of the training set, with `model` */
    void *end[2], *point;  /* vectors of its parameters */
} problem;

/* The training of a network or of a bend, with the seed of the first or second network. */
static void train(const sw_objective *f, sw_params *params, int second, int64_t length, const char *what,
                  cli_progress *progress) {
    char rule[96];
    snprintf(rule, sizeof rule, "sgd lr=%.17g momentum=0.9 weight_decay=5e-4", lr);
    cnn_train(f, params,
              &(cnn_training){.rule = rule,
                              .schedule = "cosine",
                              .batch = BATCH,
                              .epochs = length,
                              .seed = (uint64_t)(cli.seed + second),
                              .what = what},
              progress);
}

/* Trains the two networks and copies their parameters. The first one remains. */
static void train_ends(problem *p, cli_progress *progress) {
    for (int i = 0; i < 2 && !sw_error(); i++) {
        sw_model *m = cnn_new(
            &(cnn_options){.channels = channels, .normalized = true, .type = SW_F32, .seed = (uint64_t)(cli.seed + i)});
        const sw_objective *f = sw_error() ? NULL : sw_model_objective(m, p->training, sw_cross_entropy);
        if (f) {
            const size_t bytes = (size_t)sw_params_dim(f->params) * sizeof(float);
            train(f, f->params, i, epochs, i ? "second network" : "first network", progress);
            p->end[i] = sw_alloc(bytes);
            if (p->end[i])
                memcpy(p->end[i], sw_params_x(f->params), bytes);
            if (i == 0) {
                p->model = m, p->f = f;
                p->point = sw_alloc(bytes);
            }
        }
        if (m != p->model)
            sw_model_free(m);
    }
}

/* ---- Paths ---- */

/* Measures loss and error at `places` points of the curve. */
static void measure(const problem *p, const sw_curve *c, int path) {
    for (int64_t i = 0; i < places && !sw_error(); i++) {
        const double t = (double)i / (double)(places - 1);
        sw_evaluation training = {0}, test = {0};
        sw_curve_point(c, NULL, t, p->point);
        sw_model_recalibrate(p->model, p->point, p->statistics, NULL);
        sw_model_evaluate(p->model, p->point, p->training, sw_cross_entropy, &training);
        sw_model_evaluate(p->model, p->point, p->test, sw_cross_entropy, &test);
        curve_add(&curves[path * MEASURES + TRAIN_LOSS], t, training.loss);
        curve_add(&curves[path * MEASURES + TEST_ERROR], t, 1 - test.accuracy);
    }
}

/* Computes the loss on the training pictures in the plane through the ends and the bend. */
static void measure_plane(const problem *p, const sw_curve *c, surface *s, double at[3]) {
    const int64_t dim = sw_params_dim(p->f->params);
    float *room = sw_alloc_array(3 * dim, sizeof *room);
    sw_landscape *l = sw_landscape_new(p->f, p->end[0],
                                       &SW_OPTIONS(sw_landscape_options, .count = samples < 2000 ? samples : 2000,
                                                   .statistics = statistics < 2000 ? statistics : 2000));
    if (!sw_error()) {
        float *u = room, *v = room + dim, *bend = room + 2 * dim;
        memcpy(bend, p->end[0], (size_t)dim * sizeof *bend); /* the buffers, which are not part of the bend */
        memcpy(bend, sw_params_x(sw_curve_params(c)), (size_t)sw_params_dim(sw_curve_params(c)) * sizeof *bend);
        if (sw_direction_plane(p->f->params, p->end[0], p->end[1], bend, u, v, at) == SW_OK) {
            const double left = fmin(at[1], 0), right = fmax(at[1], at[0]), wide = right - left;
            surface_set_axes(s, (int)side, left - 0.2 * wide, right + 0.2 * wide, (int)side, -0.25 * at[2],
                             1.25 * at[2]);
            sw_landscape_plane(l, u, v, side, s->x, side, s->y, s->value);
        }
    }
    sw_landscape_free(l), sw_free(room);
}

static void run_path(const problem *p, int path, cli_progress *progress) {
    const sw_curve_options how = SW_OPTIONS(
        sw_curve_options, .form = path == POLYCHAIN ? SW_CURVE_POLYCHAIN : SW_CURVE_BEZIER, .seed = (uint64_t)cli.seed);
    sw_curve *c = sw_error() ? NULL : sw_curve_new(p->f, p->end[0], p->end[1], &how);
    if (c && path == POLYCHAIN)
        measure(p, c, LINE); /* before the training the bend is on the line */
    if (c)
        train(sw_curve_objective(c), sw_curve_params(c), 0, bend_epochs, path_name[path], progress);
    if (!sw_error()) {
        measure(p, c, path);
        measure_plane(p, c, &planes[path - POLYCHAIN], corner[path - POLYCHAIN]);
    }
    sw_curve_free(c);
}

/* ---- Results ---- */

static void clear_results(void) {
    static const unsigned color[PATHS] = {PLOT_RED, PLOT_BLUE, PLOT_GREEN};
    for (int i = 0; i < PATHS * MEASURES; i++) {
        snprintf(curve_name[i], sizeof curve_name[i], "%s, %s", path_name[i / MEASURES],
                 i % MEASURES == TRAIN_LOSS ? "training loss" : "test error");
        curves[i] = (curve){.name = curve_name[i], .color = color[i / MEASURES], .width = 2.2};
    }
    planes[0].name = "plane of the polychain", planes[1].name = "plane of the bezier curve";
}

static void list_results(stored *s) {
    static const char *const name[2][3] = {
        {"second network in the plane of the polychain, x", "its bend, x", "its bend, y"},
        {"second network in the plane of the bezier curve, x", "its control point, x", "its control point, y"}};
    stored_curves(s, PATHS * MEASURES, 3, curves);
    stored_surfaces(s, 2, planes);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 3; k++)
            stored_number(s, name[i][k], &corner[i][k]);
}

static double curve_most(const curve *c) {
    double most = 0;
    for (int i = 0; i < c->n; i++)
        most = isfinite(c->y[i]) ? fmax(most, c->y[i]) : INFINITY;
    return most;
}

static double curve_mean(const curve *c) {
    double sum = 0;
    for (int i = 0; i < c->n; i++)
        sum += c->y[i] / c->n;
    return sum;
}

/* The ends, then the largest and the mean value of each path. */
static void print_results(void) {
    for (int m = 0; m < MEASURES; m++) {
        const char *const name = m == TRAIN_LOSS ? "loss" : "test_error";
        const curve *line = &curves[LINE * MEASURES + m];
        printf("first_%s %.4f\nsecond_%s %.4f\n", name, line->y[0], name, line->y[line->n - 1]);
        for (int path = 0; path < PATHS; path++)
            printf("%s_largest_%s %.4f\n%s_mean_%s %.4f\n", path_name[path], name,
                   curve_most(&curves[path * MEASURES + m]), path_name[path], name,
                   curve_mean(&curves[path * MEASURES + m]));
    }
    cli_flush();
}

static void draw_measure(plot *p, int measure_index, double left, const char *title) {
    double most = 0;
    curve shown[PATHS];
    for (int path = 0; path < PATHS; path++) {
        const double largest = curve_most(&curves[path * MEASURES + measure_index]);
        most = isfinite(largest) ? fmax(most, largest) : most;
    }
    plot_panel(p, left, 40, 240, 260, 0, 1, 0, most > 0 ? 1.08 * most : 1);
    plot_axes(p, title, "t", measure_index == TRAIN_LOSS ? "loss" : "error");
    for (int path = 0; path < PATHS; path++) {
        shown[path] = curves[path * MEASURES + measure_index];
        shown[path].name = path_name[path];
    }
    curves_draw(p, PATHS, shown);
    if (measure_index == TEST_ERROR)
        curves_legend(p, PATHS, shown);
}

/* Draws a plane with the path in it: w1 is at 0, w2 at (corner[0], 0), θ at (corner[1], corner[2]). */
static void draw_plane(plot *p, int i, double left, const plot_levels *levels) {
    enum { POINTS = 61 };
    const surface *s = &planes[i];
    double x[POINTS], y[POINTS];
    for (int k = 0; k < POINTS; k++) {
        const double t = (double)k / (POINTS - 1), end = i ? t * t : fmax(0, 2 * t - 1),
                     bend = i ? 2 * t * (1 - t) : 1 - fabs(2 * t - 1);
        x[k] = end * corner[i][0] + bend * corner[i][1];
        y[k] = bend * corner[i][2];
    }
    plot_panel(p, left, 40, 240, 260, s->x[0], s->x[s->columns - 1], s->y[0], s->y[s->rows - 1]);
    plot_axes(p, i ? "loss, plane of the Bezier curve" : "loss, plane of the polychain", "distance",
              i ? NULL : "distance");
    surface_draw(p, s, levels);
    plot_curve(p, 2, (const double[]){0, corner[i][0]}, (const double[]){0, 0}, 2, PLOT_RED);
    plot_curve(p, POINTS, x, y, 2, i ? PLOT_GREEN : PLOT_BLUE);
    plot_point(p, 0, 0, 4, PLOT_BLACK);
    plot_point(p, corner[i][0], 0, 4, PLOT_BLACK);
    plot_point(p, corner[i][1], corner[i][2], 4, PLOT_SKY);
}

static void draw(void) {
    const plot_levels levels = surface_levels(2, planes, 12, 1000);
    plot p = plot_new(1310, 360);
    draw_measure(&p, TRAIN_LOSS, 70, "training loss");
    draw_measure(&p, TEST_ERROR, 380, "test error");
    draw_plane(&p, 0, 690, &levels);
    draw_plane(&p, 1, 970, &levels);
    plot_color_bar(&p, 1250, 40, 260, &levels, "loss");
    plot_save(&p, cli.out);
}

static void train_all(void) {
    cli_progress progress = cli_progress_start();
    sw_source *training = sw_fashion_mnist_pictures(data, SW_TRAINING);
    sw_source *test = sw_error() ? NULL : sw_fashion_mnist_pictures(data, SW_TEST);
    problem p = {.training = cnn_first(training, samples)};
    p.statistics = cnn_first(p.training, statistics);
    p.test = cnn_first(test, test_samples);
    train_ends(&p, &progress);
    run_path(&p, POLYCHAIN, &progress);
    run_path(&p, BEZIER, &progress);
    if (progress.live)
        cli_progress_line(&progress, "");
    sw_model_free(p.model);
    sw_free(p.end[0]), sw_free(p.end[1]), sw_free(p.point);
    sw_source_free(p.test), sw_source_free(p.statistics), sw_source_free(p.training);
    sw_source_free(test), sw_source_free(training);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (faithful)
        samples = 60000, test_samples = 10000, statistics = 5000, channels = 16, epochs = 25, bend_epochs = 50,
        places = 61, side = 25;
    statistics = statistics < samples ? statistics : samples;
    cli_check_files();
    clear_results();
    if (cli.from)
        stored_load(list_results);
    else
        train_all();
    if (!sw_error()) {
        print_results();
        draw();
        stored_save(list_results);
    }
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
