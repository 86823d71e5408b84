/* Can a loss surface look like any picture? The origin and two directions of a plane in the space of the parameters are
 * trained together, so that the loss of a small network on Fashion-MNIST is low where the picture is dark, and high
 * where it is bright (I. Skorokhodov, M. Burtsev, Loss landscape sightseeing with multi-point optimization, 2019):
 *
 *     minimize over o, u, v   mean of f(x) over dark pixels - mean of min(f(x), H) over bright ones
 *
 * where x = o + a u + b v is the point of the plane at the pixel (a, b).
 *
 * The directions are orthogonal and of equal length (sw_plane). Each step evaluates some of the pixels on a batch. The
 * picture is a file, or a face that the program draws. The loss is then computed on training and on test pictures.
 *
 * --faithful: the convolutional network of the authors' program on all pictures, and 32 by 32 pixels. Their sizes (50
 * by 50 pixels, 11,800 steps with 100 pixels and batches of 512) would take more than a day. */
#include "cli.h"
#include "stored.h"
#include <swale/swale.h>

enum { TARGET, TRAINING, TEST, SURFACES }; /* TARGET: 0 dark, 1 bright */

static const char *data, *picture;
static int64_t samples = 1000, shown = 500, hidden = 32, side = 20, batch = 64, points = 50, steps = 3000;
static double lr = 4e-3, high = 3;
static bool faithful;

static const cli_option options[] = {
    {"--picture", "FILE", CLI_INPUT, &picture, 0, 0, "the picture, PNG or JPEG (a face)"},
    {"--side", "N", CLI_COUNT, &side, 8, SURFACE_MOST, "points of each side of the surface (20)"},
    {"--samples", "N", CLI_COUNT, &samples, 10, 60000, "training pictures (1000)"},
    {"--shown", "N", CLI_COUNT, &shown, 10, 60000, "training and test pictures whose loss is shown (500)"},
    {"--hidden", "N", CLI_COUNT, &hidden, 1, 10000, "units of each of two hidden layers (32)"},
    {"--steps", "N", CLI_COUNT, &steps, 1, 1e7, "steps (3000)"},
    {"--points", "N", CLI_COUNT, &points, 1, SURFACE_MOST *SURFACE_MOST, "pixels of each step (50)"},
    {"--batch", "N", CLI_COUNT, &batch, 1, 60000, "training pictures of each step (64)"},
    {"--lr", "X", CLI_REAL, &lr, 1e-6, 1, "learning rate of Adam, at the beginning of a cosine schedule (4e-3)"},
    {"--high", "X", CLI_REAL, &high, 0.1, 100, "H, the loss that is high enough (3)"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0,
     "the convolutional network of the paper, all pictures, 32 by 32 pixels"},
    {"--data", "DIR", CLI_DATA, &data, 0, 0, "folder of the four IDX files (default: searched for)"},
    STORED_FROM,
    CLI_COMMON("of initial weights and training (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (drawn_surface.png)")};
static const cli_program program = {.name = "drawn_surface",
                                    .example = "drawn_surface --picture cat.png --out surface.png",
                                    .options = options,
                                    .out = "drawn_surface.png",
                                    .numbers = true};

static surface surfaces[SURFACES];
static const char *const surface_name[SURFACES] = {"picture", "training", "test"};

/* ---- The picture ---- */

/* A face: 0 in a disc, except for two eyes and a mouth. */
static double face(double x, double y) {
    const double radius = hypot(x, y), mouth = hypot(x, y - 0.05);
    const bool eye = hypot(fabs(x) - 0.37, y - 0.32) < 0.2;
    return radius > 0.92 || eye || (y < -0.2 && mouth > 0.4 && mouth < 0.65);
}

/* Reads the picture, row 0 at the top; a pixel is bright if it is above the middle of the darkest and the brightest. */
static void read_picture(surface *s) {
    sw_array whole = {0}, small = {0};
    if (sw_picture_load(picture, 1, &whole) == SW_OK && sw_picture_resize(&whole, side, side, &small) == SW_OK) {
        const unsigned char *pixel = small.data;
        int darkest = 255, brightest = 0;
        for (int64_t i = 0; i < side * side; i++) {
            darkest = pixel[i] < darkest ? pixel[i] : darkest;
            brightest = pixel[i] > brightest ? pixel[i] : brightest;
        }
        for (int64_t i = 0; i < side * side; i++)
            s->value[(side - 1 - i / side) * side + i % side] = 2 * pixel[i] > darkest + brightest;
        if (darkest == brightest)
            sw_fail(SW_ERR_ARGUMENT,
                    "%s: all %lld by %lld pixels are equal; a picture with dark and bright parts is "
                    "needed",
                    picture, (long long)side, (long long)side);
    }
    sw_array_free(&whole), sw_array_free(&small);
}

static void make_target(void) {
    for (int k = 0; k < SURFACES; k++) {
        surfaces[k].name = surface_name[k];
        surface_set_axes(&surfaces[k], (int)side, -1, 1, (int)side, -1, 1);
    }
    surface *s = &surfaces[TARGET];
    for (int i = 0; i < s->rows; i++)
        for (int j = 0; j < s->columns; j++)
            s->value[i * s->columns + j] = face(s->x[j], s->y[i]);
    if (picture)
        read_picture(s);
}

static int pixel_count(void) {
    return surfaces[TARGET].rows * surfaces[TARGET].columns;
}

/* The fraction of bright pixels. */
static double bright_fraction(void) {
    double sum = 0;
    for (int i = 0; i < pixel_count(); i++)
        sum += surfaces[TARGET].value[i];
    return sum / pixel_count();
}

/* ---- Likeness ---- */

/* Mean losses at dark and bright pixels, the correlation of min(loss, H) with the picture, and the fraction of pixels
 * on the right side of the middle of the two means. */
typedef struct likeness {
    double low, high, correlation, accuracy;
} likeness;

static likeness before; /* before the training, on training pictures */

static double capped(double loss) {
    return loss < high ? loss : high; /* NaN is high */
}

static likeness likeness_of(const surface *s) {
    const double bright = bright_fraction(), pixels = pixel_count();
    likeness r = {0};
    double mean = 0, square = 0, product = 0;
    for (int i = 0; i < pixel_count(); i++) {
        const double loss = capped(s->value[i]), target = surfaces[TARGET].value[i];
        r.low += (1 - target) * loss / (pixels * (1 - bright));
        r.high += target * loss / (pixels * bright);
        mean += loss / pixels;
    }
    for (int i = 0; i < pixel_count(); i++) {
        const double loss = capped(s->value[i]), target = surfaces[TARGET].value[i];
        square += (loss - mean) * (loss - mean);
        product += (loss - mean) * (target - bright);
        r.accuracy += (loss > (r.low + r.high) / 2) == (target > 0);
    }
    r.accuracy /= pixels;
    r.correlation = product / sqrt(square * pixels * bright * (1 - bright));
    return r;
}

/* ---- Training ---- */

/* The network, and vectors of its parameters. */
typedef struct network {
    sw_model *model;
    const sw_objective *f, *test;
    float *o, *u, *v;
} network;

static sw_module *conv_block(sw_model *m, int64_t inputs, int64_t outputs) {
    return sw_nn_sequential(
        m, sw_nn_conv2d_with_options(m, inputs, outputs, 3, 3, &SW_OPTIONS(sw_conv_options, .same = true)),
        sw_nn_relu(m), sw_nn_max_pool2d(m, 2), NULL);
}

static sw_model *model_new(uint64_t seed) {
    sw_model *m = sw_model_new(SW_F32, seed);
    sw_model_set_input_shape(m, SW_SHAPE(28, 28, 1));
    if (faithful)
        sw_model_build(m, sw_nn_sequential(m, conv_block(m, 1, 8), conv_block(m, 8, 32), sw_nn_flatten(m),
                                           sw_nn_linear(m, 7 * 7 * 32, 128), sw_nn_relu(m), sw_nn_linear(m, 128, 10),
                                           NULL));
    else
        sw_model_build(m, sw_nn_sequential(m, sw_nn_flatten(m), sw_nn_linear(m, 784, hidden), sw_nn_relu(m),
                                           sw_nn_linear(m, hidden, hidden), sw_nn_relu(m), sw_nn_linear(m, hidden, 10),
                                           NULL));
    return m;
}

/* Makes the network. The directions are initial weights of other seeds, twice as long. */
static network network_new(const sw_source *training, const sw_source *test) {
    network n = {.model = model_new((uint64_t)cli.seed)};
    n.f = sw_error() ? NULL : sw_model_objective(n.model, training, sw_cross_entropy);
    n.test = n.f ? sw_model_objective(n.model, test, sw_cross_entropy) : NULL;
    const int64_t dim = n.f ? sw_params_dim(n.f->params) : 0;
    n.o = n.test ? sw_alloc_array(3 * dim, sizeof *n.o) : NULL;
    for (int k = 0; n.o && k < 3 && !sw_error(); k++) {
        sw_model *other = model_new((uint64_t)cli.seed + 1000003 * (uint64_t)k);
        if (!sw_error())
            memcpy(n.o + k * dim, sw_params_x(sw_model_params(other)), (size_t)dim * sizeof *n.o);
        sw_model_free(other);
    }
    for (int64_t i = dim; n.o && i < 3 * dim; i++)
        n.o[i] *= 2;
    n.u = n.o ? n.o + dim : NULL, n.v = n.o ? n.u + dim : NULL;
    return n;
}

/* The objective at a pixel, weighted so that dark and bright pixels count equally. */
static double pixel_pattern(void *user, int64_t point, double loss, double *slope) {
    const double bright = *(const double *)user;
    const double weight = surfaces[TARGET].value[point] > 0 ? -0.5 / bright : 0.5 / (1 - bright);
    *slope = weight > 0 || loss < high ? weight : 0;
    return weight * (weight > 0 ? loss : fmin(loss, high));
}

static void train_plane(sw_plane *plane, cli_progress *progress) {
    char estimator[64], rule[64];
    double loss = NAN;
    snprintf(estimator, sizeof estimator, "minibatch batch=%lld", (long long)points);
    snprintf(rule, sizeof rule, "adam lr=%.17g", lr);
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .estimator = estimator, .rule = rule, .clip = 100,
                                            .schedule = "cosine", .total_steps = steps, .seed = (uint64_t)cli.seed);
    sw_optim *optim = sw_optim_new_with_options(sw_plane_params(plane), &how);
    for (int64_t step = 0; step < steps && !sw_error(); step++) {
        sw_optim_minimize(optim, sw_plane_objective(plane), &loss);
        cli_progress_draw(progress, "drawing", step + 1, steps, step + 1, steps, loss);
    }
    sw_optim_free(optim);
}

/* Computes the losses at all pixels. */
static void measure_surface(const network *n, const sw_objective *f, surface *s) {
    const int64_t count = f->n < shown ? f->n : shown;
    sw_landscape *l = sw_error() ? NULL : sw_landscape_new(f, n->o, &SW_OPTIONS(sw_landscape_options, .count = count));
    if (l)
        sw_landscape_plane(l, n->u, n->v, side, s->x, side, s->y, s->value);
    sw_landscape_free(l);
}

static void draw_on_surface(const network *n, cli_progress *progress) {
    const int64_t pixels = side * side;
    double bright = bright_fraction();
    double *a = sw_alloc_array(2 * pixels, sizeof *a), *b = a ? a + pixels : NULL;
    for (int64_t i = 0; a && i < pixels; i++)
        a[i] = surfaces[TARGET].x[i % side], b[i] = surfaces[TARGET].y[i / side];
    const sw_plane_options how = SW_OPTIONS(sw_plane_options, .points = pixels, .a = a, .b = b, .batch = batch,
                                            .pattern = pixel_pattern, .user = &bright, .seed = (uint64_t)cli.seed);
    sw_plane *plane = a ? sw_plane_new(n->f, n->o, n->u, n->v, &how) : NULL;
    if (plane && sw_plane_axes(plane, NULL, n->o, n->u, n->v) == SW_OK)
        measure_surface(n, n->f, &surfaces[TRAINING]);
    before = likeness_of(&surfaces[TRAINING]);
    if (plane && !sw_error())
        train_plane(plane, progress);
    if (plane && !sw_error() && sw_plane_axes(plane, NULL, n->o, n->u, n->v) == SW_OK) {
        measure_surface(n, n->f, &surfaces[TRAINING]);
        measure_surface(n, n->test, &surfaces[TEST]);
    }
    sw_plane_free(plane), sw_free(a);
}

/* ---- Results ---- */

static void print_likeness(const char *name, likeness r) {
    printf("%s_low %.4f\n%s_high %.4f\n%s_correlation %.4f\n%s_accuracy %.4f\n", name, r.low, name, r.high, name,
           r.correlation, name, r.accuracy);
}

static void print_results(void) {
    printf("bright_fraction %.4f\n", bright_fraction());
    print_likeness("before", before);
    print_likeness("training", likeness_of(&surfaces[TRAINING]));
    print_likeness("test", likeness_of(&surfaces[TEST]));
    cli_flush();
}

/* Draws the pixels as squares, the first row at the bottom. */
static void draw_pixels(plot *p, const surface *s, const plot_levels *levels) {
    static unsigned color[SURFACE_MOST * SURFACE_MOST];
    for (int i = 0; i < s->rows; i++)
        for (int j = 0; j < s->columns; j++) {
            const double value = s->value[i * s->columns + j];
            const unsigned black_or_white = value > 0 ? PLOT_WHITE : PLOT_BLACK;
            color[(s->rows - 1 - i) * s->columns + j] =
                levels ? plot_value_color(levels, capped(value)) : black_or_white;
        }
    plot_field(p, s->rows, s->columns, color);
    plot_frame(p, PLOT_GRAY);
}

static void draw_panel(plot *p, double left, const surface *s, const plot_levels *levels, const char *title) {
    plot_panel(p, left, 40, 220, 220, -1, 1, -1, 1);
    plot_axes(p, title, "a", levels ? NULL : "b");
    draw_pixels(p, s, levels);
}

static void draw(void) {
    plot_levels levels = surface_levels(2, &surfaces[TRAINING], 12, 1e3);
    levels.low = fmin(levels.low, high / 2);
    levels.factor = pow(high / levels.low, 1.0 / levels.count);
    plot p = plot_new(895, 310);
    draw_panel(&p, 75, &surfaces[TARGET], NULL, "the picture");
    draw_panel(&p, 335, &surfaces[TRAINING], &levels, "loss on training pictures");
    draw_panel(&p, 595, &surfaces[TEST], &levels, "loss on test pictures");
    plot_color_bar(&p, 831, 40, 220, &levels, "");
    plot_save(&p, cli.out);
}

static void list_results(stored *s) {
    stored_number(s, "before_low", &before.low);
    stored_number(s, "before_high", &before.high);
    stored_number(s, "before_correlation", &before.correlation);
    stored_number(s, "before_accuracy", &before.accuracy);
    stored_surfaces(s, SURFACES, surfaces);
}

/* ---- The program ---- */

static void run(cli_progress *progress) {
    sw_source *every = sw_error() ? NULL : sw_fashion_mnist_pictures(data, SW_TRAINING);
    sw_source *test = every ? sw_fashion_mnist_pictures(data, SW_TEST) : NULL;
    sw_source *training = test ? sw_take(every, samples, NULL) : NULL;
    network n = {0};
    if (training && !sw_error())
        n = network_new(training, test);
    if (training && !sw_error())
        draw_on_surface(&n, progress);
    sw_free(n.o), sw_model_free(n.model);
    sw_source_free(training), sw_source_free(test), sw_source_free(every);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (faithful)
        samples = 60000, shown = 1000, side = 32, steps = 6000, lr = 1e-3;
    cli_check_files();
    cli_progress progress = cli_progress_start();
    make_target();
    if (cli.from)
        stored_load(list_results);
    else
        run(&progress);
    if (progress.live)
        cli_progress_line(&progress, "");
    if (!sw_error()) {
        print_results();
        draw();
        stored_save(list_results);
    }
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
