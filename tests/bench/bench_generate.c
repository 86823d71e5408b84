/* Generation token by token with a state: GPT with 4 layers and width 128, one sequence of up to 256 characters, beside
 * the bare products of a matrix and a vector of a token. All figures are for one thread, in f32. */
#include "bench.h"

#include <cblas.h>
#include <swale/swale.h>

enum { ROUNDS = 21, VOCABULARY = 65, LENGTH = 256, LAYERS = 4, HEADS = 4, WIDTH = 128, TOKENS = 250 };

/* The products of a block: outputs and inputs. */
static const int products[][2] = {{3 * WIDTH, WIDTH}, {WIDTH, WIDTH}, {4 * WIDTH, WIDTH}, {WIDTH, 4 * WIDTH}};
enum { PRODUCTS = sizeof products / sizeof *products };

/* Seconds for the products of a token, with the weights of the model. */
static double bare_time(const float *weights, float *x, float *y) {
    const double start = now();
    for (int token = 0; token < TOKENS; token++) {
        const float *w = weights;
        for (int layer = 0; layer < LAYERS; layer++)
            for (int i = 0; i < PRODUCTS; i++) {
                const int outputs = products[i][0], inputs = products[i][1];
                cblas_sgemv(CblasRowMajor, CblasNoTrans, outputs, inputs, 1, w, inputs, x, 1, 0, y, 1);
                w += outputs * inputs;
            }
        cblas_sgemv(CblasRowMajor, CblasNoTrans, VOCABULARY, WIDTH, 1, w, WIDTH, x, 1, 0, y, 1);
    }
    return (now() - start) / TOKENS;
}

static double generate_time(sw_model *model, int32_t *out) {
    const int32_t prompt[1] = {1};
    const double start = now();
    sw_generate(model, 1, prompt, TOKENS, out, NULL, NULL);
    return (now() - start) / TOKENS;
}

int main(void) {
    double ours[ROUNDS], bare[ROUNDS], ratio[ROUNDS];
    static float x[4 * WIDTH], y[4 * WIDTH];
    static int32_t out[TOKENS];
    sw_set_threads(1);
    openblas_set_num_threads(1); /* of the bare products, which do not go through swale */
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_params *params =
        sw_model_build(model, sw_nn_gpt(model, &SW_OPTIONS(sw_gpt_options, .vocabulary = VOCABULARY, .length = LENGTH,
                                                           .layers = LAYERS, .heads = HEADS, .width = WIDTH)));
    generate_time(model, out);
    for (int r = 0; r < ROUNDS && params; r++) {
        ours[r] = generate_time(model, out);
        bare[r] = bare_time(sw_params_x(params), x, y);
        ratio[r] = ours[r] / bare[r];
    }
    if (sw_error())
        return fprintf(stderr, "%s\n", sw_error()), 1;
    note("a token: sw_generate %.1f us, the products by sgemv %.1f us; %.0f tokens/s", median(ours, ROUNDS) * 1e6,
         median(bare, ROUNDS) * 1e6, 1 / median(ours, ROUNDS));
    figure("generate_over_sgemv", median(ratio, ROUNDS), 2.5, AT_MOST);
    sw_model_free(model);
    return 0;
}
