/* Represents letters as points in a plane. A network predicts the fourth letter from three letters. Each letter is
 * represented by two numbers, which the network learns: an embedding (Bengio et al., A neural probabilistic language
 * model, JMLR 2003). Letters with similar use get similar numbers, so that vowels and consonants separate, although
 * the data have no such labels. */
#include "cli.h"
#include "plot.h"
#include <swale/swale.h>

enum { LETTERS = 27, CONTEXT = 3, MOST = 4000, WRITTEN = 200, INPUTS = 2 * CONTEXT }; /* 26 letters and the blank */

static const char text[] =
    "Far out at sea a small boat rode over the long grey waves. An old man sat at the oars, and beside him "
    "his granddaughter kept a lamp alight. They had left the harbour before the sun was up, and now the "
    "land behind them was only a thin blue line. What are we looking for, she asked. For the deepest place, "
    "he said, where the water is still. Every night the tide goes down into it, and every morning it comes "
    "back with news of the other side. How shall we know when we have found it? You drop a stone and count. "
    "If the line runs out in a hundred, we are above a hill. If it takes a thousand, we may be near. But we "
    "cannot see the bottom from here, so we take one step, and measure, and turn to where it falls, and "
    "take the next. That seems slow, said the girl. It is slow at first. Later the boat has speed of its "
    "own and carries you over the little hollows in which a careless sailor would stay. She let the line "
    "slip through her fingers. A gull came down, looked at the lamp, and went away. Once there was fog, and "
    "they could do no better than trust the average of all the courses they had steered before. When the "
    "fog had gone the sea lay open and flat like a table, and the stone went down and down. Is this the "
    "place? The old man smiled and pulled in the oars. It is a place, he said. I have never met anyone who "
    "could prove that it is the lowest. But the valley is wide, the slopes are gentle, and whoever sleeps "
    "here will not be woken by every breeze. So they ate their bread and cheese, watched the stars come "
    "out, one after another, and the light of the lamp moved softly on the quiet water until the morning "
    "brought them home.";

static int64_t steps = 3000;

static const cli_option options[] = {{"--steps", "N", CLI_COUNT, &steps, 1, 1e6, "steps of Adam (3000)"},
                                     CLI_COMMON("of initial values, order and the printed words (1)", "FILE.png",
                                                CLI_PICTURE, "the picture (embedding.png)")};
static const cli_program program = {.name = "embedding",
                                    .example = "embedding --steps 5000 --out embedding.png",
                                    .options = options,
                                    .out = "embedding.png"};

static const char alphabet[LETTERS + 1] = " abcdefghijklmnopqrstuvwxyz";

/* The number of a letter in the alphabet, upper or lower case; every other character is the blank, 0. */
static int32_t id_of(char c) {
    const char *at = strchr(alphabet, c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    return at ? (int32_t)(at - alphabet) : 0;
}
static bool is_vowel(int32_t id) {
    return id && strchr("aeiou", alphabet[id]);
}

/* Converts the text to ids, with one blank between words. Sample i consists of letters i to i + 2; its target is letter
 * i + 3. */
static int64_t read_text(int32_t *x, int32_t *y) {
    static int32_t id[MOST];
    int64_t n = 0;
    for (const char *c = text; *c; c++)
        if (n == 0 || id_of(*c) || id[n - 1])
            id[n++] = id_of(*c);
    for (int64_t i = 0; i + CONTEXT < n; i++) {
        memcpy(x + CONTEXT * i, id + i, CONTEXT * sizeof *x);
        y[i] = id[i + CONTEXT];
    }
    return n - CONTEXT;
}

/* Generates text: draws each letter from the probabilities that the network computes from the three letters before. */
static void write_sample(sw_module *net, char *to) {
    sw_tape *tape = sw_tape_new();
    sw_rng rng = {.key = sw_rng_key((uint64_t)cli.seed, "writing")};
    int32_t context[CONTEXT] = {0};
    for (int64_t i = 0; i < WRITTEN && !sw_error(); i++, sw_tape_reset(tape)) {
        sw_tensor x = sw_input(tape, sw_array_view(context, SW_I32, SW_SHAPE(1, CONTEXT)));
        const double *probability = sw_value(sw_softmax(sw_forward(net, x), -1)).data;
        double left = sw_rng_uniform(&rng);
        int32_t next = 0;
        while (probability && next < LETTERS - 1 && (left -= probability[next]) >= 0)
            next++;
        memmove(context, context + 1, (CONTEXT - 1) * sizeof *context);
        context[CONTEXT - 1] = next;
        to[i] = alphabet[next];
    }
    sw_tape_free(tape);
}

/* The distance between the means of the vowels and of the consonants. */
static double vowel_distance(const double *place) {
    double middle[2][2] = {{0}};
    for (int32_t i = 1; i < LETTERS; i++)
        for (int k = 0; k < 2; k++)
            middle[is_vowel(i)][k] += place[2 * i + k] / (is_vowel(i) ? 5 : 21);
    return hypot(middle[0][0] - middle[1][0], middle[0][1] - middle[1][1]);
}

static void draw(const double *place) {
    double most[2] = {0};
    for (int i = 2; i < 2 * LETTERS; i++)
        most[i % 2] = fmax(most[i % 2], 1.15 * fabs(place[i]));
    plot p = plot_new(640, 520);
    plot_panel(&p, 70, 40, 550, 420, -most[0], most[0], -most[1], most[1]);
    plot_axes(&p, "letters, by a network that guesses the next one", "first number", "second number");
    for (int64_t i = 1; i < LETTERS; i++)
        plot_text(&p, plot_x(&p, place[2 * i]), plot_y(&p, place[2 * i + 1]) + 5, 12, PLOT_CENTER, false,
                  is_vowel((int32_t)i) ? PLOT_RED : PLOT_BLUE, (const char[]){alphabet[i], 0});
    const legend_entry entry[] = {{"vowels", PLOT_RED, 5, LEGEND_POINT, {0}},
                                  {"consonants", PLOT_BLUE, 5, LEGEND_POINT, {0}}};
    plot_legend(&p, 2, entry);
    plot_save(&p, cli.out);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    cli_check_files();
    static int32_t x[MOST * CONTEXT], y[MOST];
    static char written[WRITTEN + 1];
    const int64_t n = read_text(x, y);
    const sw_array inputs = sw_array_view(x, SW_I32, SW_SHAPE(n, CONTEXT));
    const sw_array targets = sw_array_view(y, SW_I32, SW_SHAPE(n));
    const sw_arrays_options kind = SW_OPTIONS(sw_arrays_options, .classes = LETTERS);
    sw_source *source = sw_arrays(&inputs, &targets, &kind);

    sw_model *model = sw_model_new(SW_F64, (uint64_t)cli.seed);
    sw_module *letters = sw_nn_embedding(model, LETTERS, 2);
    sw_module *net = sw_nn_sequential(model, letters, sw_nn_flatten(model), sw_nn_linear(model, INPUTS, 32),
                                      sw_nn_tanh(model), sw_nn_linear(model, 32, LETTERS), NULL);
    sw_model_set_input_shape(model, SW_SHAPE(CONTEXT));
    const sw_optim_options how =
        SW_OPTIONS(sw_optim_options, .estimator = "minibatch batch=100", .rule = "adamw lr=5e-3", .schedule = "cosine",
                   .seed = (uint64_t)cli.seed, .total_steps = steps);
    sw_optim *optim = sw_optim_new_with_options(sw_model_build(model, net), &how);
    const sw_objective *f = sw_model_objective(model, source, sw_cross_entropy);
    for (int64_t step = 0; step < steps && !sw_error(); step++)
        sw_optim_minimize(optim, f, NULL);

    sw_evaluation result = {0};
    sw_model_evaluate(model, NULL, source, sw_cross_entropy, &result);
    write_sample(net, written);
    sw_param *weight = sw_module_find_param(letters, "weight");
    const double *place = weight ? sw_param_value(weight).data : NULL;
    if (place && !sw_error()) {
        printf("loss %.4f\naccuracy %.4f\ndistance %.4f\nwritten %s\n", result.loss, result.accuracy,
               vowel_distance(place), written);
        cli_flush();
        draw(place);
    }
    if (!sw_error())
        printf("picture %s\n", cli.out);
    sw_optim_free(optim), sw_model_free(model), sw_source_free(source);
    return cli_end(0);
}
