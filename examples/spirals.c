/* Trains a network to classify the points of three spirals, and draws the predicted class of each point of the plane
 * at several moments of the training.
 *
 * A network without hidden layers has only straight boundaries. Two hidden layers of 32 units are enough for the
 * spirals. The picture shows how the boundaries bend during training, at first roughly and then into the arms. */
#include "cli.h"
#include "plot.h"
#include <swale/swale.h>

enum { CLASSES = 3, SIDE = 176, PANELS = 5, GAP = 12, TOP = 34, GRID = PLOT_SCALE * SIDE, PIXELS = GRID * GRID };
static const unsigned class_color[CLASSES] = {PLOT_BLUE, PLOT_ORANGE, PLOT_GREEN};

static int64_t samples = 300, every = 200;
static double noise = 0.02;

static const cli_option options[] = {
    {"--samples", "N", CLI_COUNT, &samples, 3, 100000, "points on the three arms (300)"},
    {"--noise", "S", CLI_REAL, &noise, 0, 1, "standard deviation of the points about the arms (0.02)"},
    {"--every", "K", CLI_COUNT, &every, 1, 100000, "steps between panels (200)"},
    CLI_COMMON("of the noise and of the initial weights (1)", "FILE.png", CLI_PICTURE, "the picture (spirals.png)")};
static const cli_program program = {
    .name = "spirals", .example = "spirals --every 100 --out spirals.png", .options = options, .out = "spirals.png"};

/* The color of the most likely class, paler if its probability is lower, in steps that look like contour lines. */
static unsigned color_of(const double *probability) {
    int best = 0;
    for (int c = 1; c < CLASSES; c++)
        if (probability[c] > probability[best])
            best = c;
    const double sure = (probability[best] - 1.0 / CLASSES) / (1 - 1.0 / CLASSES);
    return color_mix(PLOT_WHITE, class_color[best], 0.08 + 0.42 * floor(sure * 5.999) / 5);
}

/* Computes the predicted class of every pixel of a panel, in one pass. */
static void draw_field(plot *p, sw_module *net, sw_tape *tape) {
    sw_tape_reset(tape);
    sw_tensor points = sw_empty(tape, SW_F64, SW_SHAPE(PIXELS, 2));
    double *xy = sw_value(points).data;
    for (int64_t i = 0; xy && i < PIXELS; i++) {
        const int64_t row = i / GRID, column = i % GRID; /* row 0 is at the top of the panel */
        xy[2 * i] = p->x0 + (p->x1 - p->x0) * ((double)column + 0.5) / GRID;
        xy[2 * i + 1] = p->y1 - (p->y1 - p->y0) * ((double)row + 0.5) / GRID;
    }
    const double *probability = sw_value(sw_softmax(sw_forward(net, points), -1)).data;
    static unsigned color[PIXELS];
    for (int64_t i = 0; probability && i < PIXELS; i++)
        color[i] = color_of(probability + CLASSES * i);
    plot_field(p, GRID, GRID, color);
}

static void draw_points(plot *p, const sw_source *source) {
    double xy[2];
    int32_t class;
    for (int64_t i = 0; i < samples; i++)
        if (sw_source_gather(source, SW_F64, 0, &i, 1, xy, &class) == SW_OK)
            plot_point(p, xy[0], xy[1], 2, class_color[class]);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    cli_check_files();

    /* Data, network and optimizer. The type is f64, so that the picture does not depend on the processor. */
    const sw_spirals_options arms = SW_OPTIONS(sw_spirals_options, .n = samples, .classes = CLASSES, .turns = 1.4,
                                               .noise = noise, .seed = (uint64_t)cli.seed);
    sw_source *source = sw_spirals(&arms);
    sw_model *model = sw_model_new(SW_F64, (uint64_t)cli.seed);
    sw_module *net = sw_nn_sequential(model, sw_nn_linear(model, 2, 32), sw_nn_tanh(model), sw_nn_linear(model, 32, 32),
                                      sw_nn_tanh(model), sw_nn_linear(model, 32, CLASSES), NULL);
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .estimator = "minibatch batch=100",
                                            .rule = "adam lr=0.01", .seed = (uint64_t)cli.seed);
    sw_optim *optim = sw_optim_new_with_options(sw_model_build(model, net), &how);
    const sw_objective *loss = sw_model_objective(model, source, sw_cross_entropy);
    sw_tape *tape = sw_tape_new();
    sw_evaluation result = {0};

    plot p = plot_new(PANELS * (SIDE + GAP) + GAP, TOP + SIDE + GAP);
    for (int i = 0; i < PANELS && !sw_error(); i++) {
        char title[64];
        for (int64_t step = 0; i > 0 && step < every && !sw_error(); step++)
            sw_optim_minimize(optim, loss, NULL);
        sw_model_evaluate(model, NULL, source, sw_cross_entropy, &result);
        snprintf(title, sizeof title, "step %lld: %.0f %% right", (long long)i * every, 100 * result.accuracy);
        plot_panel(&p, GAP + i * (SIDE + GAP), TOP, SIDE, SIDE, -1.15, 1.15, -1.15, 1.15);
        draw_field(&p, net, tape);
        draw_points(&p, source);
        plot_frame(&p, PLOT_GRAY);
        plot_axes(&p, title, NULL, NULL);
    }
    if (!sw_error())
        printf("loss %.4f\naccuracy %.4f\n", result.loss, result.accuracy), cli_flush();
    plot_save(&p, cli.out);
    if (!sw_error())
        printf("picture %s\n", cli.out);
    sw_tape_free(tape), sw_optim_free(optim), sw_model_free(model), sw_source_free(source);
    return cli_end(0);
}
