/* What does the loss of a network look like around a point? Random directions show it, and their scale decides what one
 * sees (H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, Visualizing the loss landscape of neural nets, NeurIPS 2018).
 *
 *   - A convolutional network, trained on Fashion-MNIST without and with dropout: the loss along a random Gaussian
 *     direction, each tensor's part of which has the norm of this tensor, around the initial and the final point.
 *   - The plane of two such directions around the final point, and that of two filter-normalized ones.
 *   - The plane of two filter-normalized directions for a residual network, and for the same layers without the skip
 *     connections. Running statistics are estimated again at each point.
 *
 * --faithful: all pictures, 10000 of them shown, 16 channels, batch 512, 25 epochs, planes of 51 points a side; the
 * residual network has depth 56 and width 16, is trained for 20 epochs, and shown with 1000 pictures.
 *
 * `nonconvex` is the fraction of three successive points of a grid, along rows and columns, that bend downward by more
 * than a thousandth of the middle value. */
#include "cnn.h"
#include "stored.h"

enum { INITIAL, FINAL, DROPOUT, LINES };                 /* two curves each: training and test pictures */
enum { TENSORS, FILTERS, RESIDUAL, PLAIN, SURFACES };    /* planes */
enum { RESIDUAL_BATCH = 64, MOST_LAYERS = 6 * 200 + 2 }; /* MOST_LAYERS: convolutions and the linear layer */

static const char *data;
static int64_t samples = 3000, shown = 500, channels = 8, batch = 64, epochs = 15, places = 31, side = 15, depth = 20,
               width = 4, residual_samples = 1000, residual_shown = 150, residual_epochs = 6, residual_side = 11;
static bool faithful;

static const cli_option options[] = {
    {"--samples", "N", CLI_COUNT, &samples, 10, 60000, "training pictures of the first network (3000)"},
    {"--shown", "N", CLI_COUNT, &shown, 10, 60000, "training and test pictures whose loss is shown (500)"},
    {"--channels", "N", CLI_COUNT, &channels, 1, 64, "channels of its first convolution (8)"},
    {"--batch", "N", CLI_COUNT, &batch, 1, 60000, "its batch (64)"},
    {"--epochs", "N", CLI_COUNT, &epochs, 1, 1000, "its epochs (15)"},
    {"--places", "N", CLI_COUNT, &places, 3, 1001, "points of a line (31)"},
    {"--side", "N", CLI_COUNT, &side, 3, SURFACE_MOST, "points of each side of its planes (15)"},
    {"--depth", "6n+2", CLI_COUNT, &depth, 8, MOST_LAYERS, "layers of the residual network (20)"},
    {"--width", "N", CLI_COUNT, &width, 1, 64, "channels of its first stage (4)"},
    {"--residual-samples", "N", CLI_COUNT, &residual_samples, 10, 60000, "its training pictures (1000)"},
    {"--residual-shown", "N", CLI_COUNT, &residual_shown, 10, 60000, "training pictures whose loss is shown (150)"},
    {"--residual-epochs", "N", CLI_COUNT, &residual_epochs, 1, 1000, "its epochs (6)"},
    {"--residual-side", "N", CLI_COUNT, &residual_side, 3, SURFACE_MOST, "points of each side of its planes (11)"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0, "the sizes of the lecture, depth 56 and width 16: takes hours"},
    {"--data", "DIR", CLI_DATA, &data, 0, 0, "folder of the four IDX files (default: searched for)"},
    STORED_FROM,
    CLI_COMMON("of initial weights, training and directions (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (loss_surface.png)")};
static const cli_program program = {.name = "loss_surface",
                                    .example = "loss_surface --epochs 10 --out surface.png",
                                    .options = options,
                                    .out = "loss_surface.png",
                                    .numbers = true};

static curve curves[2 * LINES];
static surface surfaces[SURFACES];
static const char *const line_name[LINES] = {"initial", "final", "dropout"};
static const char *const surface_name[SURFACES] = {"tensors", "filters", "residual", "plain"};

/* ---- Networks ---- */

/* Writes a convolution, batch normalization and ReLU to the list, and returns their number. */
static int add_conv(sw_model *m, sw_module **list, int64_t inputs, int64_t outputs, int64_t stride) {
    list[0] = sw_nn_conv2d_with_options(
        m, inputs, outputs, 3, 3,
        &SW_OPTIONS(sw_conv_options, .stride = {stride, stride}, .padding = {1, 1}, .no_bias = true));
    list[1] = sw_nn_batch_norm(m, outputs);
    list[2] = sw_nn_relu(m);
    return 3;
}

/* The layers of sw_nn_resnet without the skip connections. */
static sw_module *plain_network(sw_model *m) {
    static sw_module *list[MOST_LAYERS * 3];
    int64_t inputs = width;
    int count = add_conv(m, list, 1, width, 1);
    for (int stage = 0; stage < 3; stage++)
        for (int64_t i = 0; i < (depth - 2) / 3; i++) {
            const int64_t outputs = width << stage;
            count += add_conv(m, list + count, inputs, outputs, stage > 0 && i == 0 ? 2 : 1);
            inputs = outputs;
        }
    list[count++] = sw_nn_global_avg_pool2d(m);
    list[count++] = sw_nn_linear(m, inputs, 10);
    return sw_nn_sequential_array(m, count, list);
}

static sw_model *residual_new(bool skips) {
    sw_model *m = sw_model_new(SW_F32, (uint64_t)cli.seed);
    sw_model_set_input_shape(m, SW_SHAPE(28, 28, 1));
    sw_model_build(m, skips ? sw_nn_resnet(m, (int)depth, width, 10) : plain_network(m));
    return m;
}

/* ---- Lines and planes ---- */

/* Computes the loss along one direction on training and on test pictures, both curves with the same direction. */
static void measure_line(const sw_objective *training, const sw_objective *test, int line) {
    const double most = 0.3;
    double *alpha = sw_alloc_array(2 * places, sizeof *alpha), *value = alpha ? alpha + places : NULL;
    float *d = sw_alloc_array(sw_params_dim(training->params), sizeof *d);
    if (!sw_error())
        sw_direction_random(training->params, sw_params_x(training->params), SW_SCALE_TENSORS, (uint64_t)cli.seed, d);
    for (int64_t i = 0; alpha && i < places; i++)
        alpha[i] = most * (2 * (double)i / (double)(places - 1) - 1);
    for (int k = 0; k < 2 && !sw_error(); k++) {
        const sw_objective *f = k ? test : training;
        sw_landscape *l =
            sw_landscape_new(f, NULL, &SW_OPTIONS(sw_landscape_options, .count = f->n < shown ? f->n : shown));
        sw_landscape_line(l, d, places, alpha, value);
        for (int64_t i = 0; i < places && !sw_error(); i++)
            curve_add(&curves[2 * line + k], alpha[i], value[i]);
        sw_landscape_free(l);
    }
    sw_free(alpha), sw_free(d);
}

static void measure_plane(const sw_objective *f, sw_direction_scale scale, double most, int64_t points, int64_t count,
                          surface *s) {
    const int64_t dim = sw_params_dim(f->params);
    count = count < f->n ? count : f->n;
    float *u = sw_alloc_array(2 * dim, sizeof *u), *v = u ? u + dim : NULL;
    sw_landscape *l = sw_landscape_new(f, NULL, &SW_OPTIONS(sw_landscape_options, .count = count, .statistics = count));
    surface_set_axes(s, (int)points, -most, most, (int)points, -most, most);
    if (!sw_error()) {
        sw_direction_random(f->params, sw_landscape_point(l), scale, (uint64_t)cli.seed, u);
        sw_direction_random(f->params, sw_landscape_point(l), scale, (uint64_t)cli.seed + 1, v);
        sw_landscape_plane(l, u, v, points, s->x, points, s->y, s->value);
    }
    sw_landscape_free(l), sw_free(u);
}

static void run_cnn(const sw_source *training, const sw_source *test, cli_progress *progress) {
    for (int dropout = 0; dropout < 2 && !sw_error(); dropout++) {
        /* The network of the lecture: 105,866 parameters with 16 channels. */
        sw_model *m = cnn_new(&(cnn_options){.channels = channels,
                                             .average = true,
                                             .hidden = 64,
                                             .dropout = dropout ? 0.2 : 0,
                                             .type = SW_F32,
                                             .seed = (uint64_t)cli.seed});
        const cnn_training how = {.rule = "sgd lr=0.01 momentum=0.9",
                                  .batch = batch,
                                  .epochs = epochs,
                                  .seed = (uint64_t)cli.seed,
                                  .what = dropout ? "with dropout" : "without dropout"};
        const sw_objective *f = sw_error() ? NULL : sw_model_objective(m, training, sw_cross_entropy),
                           *g = sw_error() ? NULL : sw_model_objective(m, test, sw_cross_entropy);
        if (f && g && !dropout)
            measure_line(f, g, INITIAL);
        if (f && g)
            cnn_train(f, f->params, &how, progress);
        if (f && g && !sw_error())
            measure_line(f, g, dropout ? DROPOUT : FINAL);
        if (f && g && !dropout && !sw_error()) {
            measure_plane(f, SW_SCALE_TENSORS, 1, side, shown, &surfaces[TENSORS]);
            measure_plane(f, SW_SCALE_FILTERS, 1, side, shown, &surfaces[FILTERS]);
        }
        sw_model_free(m);
    }
}

static void run_residual(sw_source *training, cli_progress *progress) {
    sw_source *some = cnn_first(training, residual_samples);
    for (int skips = 1; skips >= 0 && !sw_error(); skips--) {
        sw_model *m = residual_new(skips);
        const cnn_training how = {.rule = "sgd lr=0.1 momentum=0.9 weight_decay=5e-4",
                                  .batch = RESIDUAL_BATCH,
                                  .epochs = residual_epochs,
                                  .seed = (uint64_t)cli.seed,
                                  .what = skips ? "with skips" : "without skips"};
        const sw_objective *f = sw_error() ? NULL : sw_model_objective(m, some, sw_cross_entropy);
        if (f)
            cnn_train(f, f->params, &how, progress);
        if (f && !sw_error())
            measure_plane(f, SW_SCALE_FILTERS, 1, residual_side, residual_shown, &surfaces[skips ? RESIDUAL : PLAIN]);
        sw_model_free(m);
    }
    sw_source_free(some);
}

/* ---- Results ---- */

static void clear_results(void) {
    static char name[2 * LINES][48];
    static const unsigned color[2 * LINES] = {PLOT_BLUE, PLOT_SKY, PLOT_BLUE, PLOT_SKY, PLOT_RED, PLOT_ORANGE};
    for (int i = 0; i < 2 * LINES; i++) {
        snprintf(name[i], sizeof name[i], "%s, %s", line_name[i / 2], i % 2 ? "test" : "training");
        curves[i] = (curve){.name = name[i], .color = color[i], .width = i % 2 ? 1.5 : 2.2};
    }
    for (int i = 0; i < SURFACES; i++)
        surfaces[i].name = surface_name[i];
}

static void list_results(stored *s) {
    stored_curves(s, 2 * LINES, 3, curves);
    stored_surfaces(s, SURFACES, surfaces);
}

/* The fraction of triples along an axis that bend downward. */
static double nonconvex(const surface *s) {
    int bent = 0, triples = 0;
    for (int i = 0; i < s->rows; i++)
        for (int j = 0; j < s->columns; j++)
            for (int k = 0; k < 2; k++) {
                const int step = k ? s->columns : 1, at = i * s->columns + j;
                if (k ? i == 0 || i == s->rows - 1 : j == 0 || j == s->columns - 1)
                    continue;
                const double middle = s->value[at];
                bent += !(s->value[at - step] + s->value[at + step] - 2 * middle >= -1e-3 * middle);
                triples++;
            }
    return (double)bent / triples;
}

static void print_results(void) {
    for (int i = 0; i < 2 * LINES; i++) {
        const curve *c = &curves[i];
        const double middle = c->y[c->n / 2];
        printf("%s_%s_loss %.4f\n%s_%s_rise %.4f\n", line_name[i / 2], i % 2 ? "test" : "training", middle,
               line_name[i / 2], i % 2 ? "test" : "training", (c->y[0] + c->y[c->n - 1]) / 2 - middle);
    }
    for (int i = 0; i < SURFACES; i++) {
        const surface *s = &surfaces[i];
        double most = 0;
        for (int k = 0; k < s->rows * s->columns; k++)
            most = fmax(most, isfinite(s->value[k]) ? s->value[k] : INFINITY);
        printf("%s_middle %.4f\n%s_largest %.4g\n%s_nonconvex %.3f\n", s->name, s->value[s->rows * s->columns / 2],
               s->name, most, s->name, nonconvex(s));
    }
    cli_flush();
}

static void draw_lines(plot *p, double left, int first, int count, const char *title) {
    double least = INFINITY, most = 0;
    for (int i = first; i < first + count; i++)
        for (int k = 0; k < curves[i].n; k++) {
            least = fmin(least, curves[i].y[k]);
            most = isfinite(curves[i].y[k]) ? fmax(most, curves[i].y[k]) : most;
        }
    const double edge = fmax(0.05 * (most - least), 1e-3), room = 0.3 * count * (most - least); /* for the legend */
    plot_panel(p, left, 40, 190, 190, -0.3, 0.3, least - edge, most + edge + room);
    plot_axes(p, title, "α", "loss");
    curves_draw(p, count, curves + first);
    curves_legend(p, count, curves + first);
}

static void draw_surface(plot *p, double left, double top, const surface *s, const char *title) {
    const plot_levels levels = surface_levels(1, s, 8, 1e3);
    plot_panel(p, left, top, 190, 190, s->x[0], s->x[s->columns - 1], s->y[0], s->y[s->rows - 1]);
    plot_axes(p, title, "α", NULL);
    surface_draw(p, s, &levels);
    plot_point(p, 0, 0, 3, PLOT_BLACK);
    plot_color_bar(p, left + 202, top, 190, &levels, "");
}

static void draw(void) {
    plot p = plot_new(900, 560);
    draw_lines(&p, 80, 0, 2, "around the initial point");
    draw_lines(&p, 370, 2, 4, "around the final point");
    draw_surface(&p, 630, 40, &surfaces[TENSORS], "scaled by tensor");
    draw_surface(&p, 60, 320, &surfaces[FILTERS], "filter-normalized");
    draw_surface(&p, 355, 320, &surfaces[RESIDUAL], "with skip connections");
    draw_surface(&p, 630, 320, &surfaces[PLAIN], "without skip connections");
    plot_save(&p, cli.out);
}

static void train_all(void) {
    cli_progress progress = cli_progress_start();
    sw_source *every = sw_fashion_mnist_pictures(data, SW_TRAINING);
    sw_source *test = sw_error() ? NULL : sw_fashion_mnist_pictures(data, SW_TEST);
    sw_source *training = cnn_first(every, samples);
    if (training && test)
        run_cnn(training, test, &progress);
    run_residual(every, &progress);
    if (progress.live)
        cli_progress_line(&progress, "");
    sw_source_free(training), sw_source_free(test), sw_source_free(every);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (faithful)
        samples = 60000, shown = 10000, channels = 16, batch = 512, epochs = 25, places = 31, side = 51, depth = 56,
        width = 16, residual_samples = 60000, residual_shown = 1000, residual_epochs = 20, residual_side = 51;
    if (depth % 6 != 2)
        cli_fail(2, "--depth %lld: 6n + 2 is needed: 8, 14, 20, …", (long long)depth);
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
