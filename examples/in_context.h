/* Linear regression in context by linear attention (K. Ahn, X. Cheng, M. Song, C. Yun, A. Jadbabaie, S. Sra, Linear
 * attention is (maybe) all you need, ICLR 2024). Not part of the library.
 *
 * A sample is a prompt of N + 1 rows [x_i, y_i] with x_i ~ N(0, I_d), y_i = w·x_i, and a separate w ~ N(0, I_d) for
 * each prompt. The last row has 0 in place of y, which is the target. A layer has the matrices Q and P [d, d], and
 * changes all rows:
 *
 *     row_i ← row_i + 1/N Σ_{j <= N} (Q x_i · x_j) [P x_j, y_j]
 *
 * The prediction is the last element of the last row after all layers, with the opposite sign. A layer with Q = -η I
 * and P = 0 is a step of gradient descent with step size η on the mean of ½ (w·x_j - y_j)² over this prompt, beginning
 * with w = 0: the last column holds y_i minus its prediction. */
#ifndef SWALE_EXAMPLES_IN_CONTEXT_H
#define SWALE_EXAMPLES_IN_CONTEXT_H

#include <swale/attention.h>
#include <swale/extend.h>
#include <swale/swale.h>

enum { IN_CONTEXT_DIM = 64, IN_CONTEXT_LAYERS = 16 }; /* at most */

/* ---- Prompts ---- */

/* Draws a prompt: x [length + 1, dim + 1], and its target y. */
static inline void prompt_draw(sw_rng *rng, int64_t length, int64_t dim, float *x, float *y) {
    double w[IN_CONTEXT_DIM], sum = 0;
    for (int64_t k = 0; k < dim; k++)
        w[k] = sw_rng_normal(rng);
    for (int64_t i = 0; i <= length; i++, x += dim + 1) {
        sum = 0;
        for (int64_t k = 0; k < dim; k++) {
            x[k] = (float)sw_rng_normal(rng);
            sum += w[k] * (double)x[k];
        }
        x[dim] = (float)sum;
    }
    *y = x[-1];
    x[-1] = 0;
}

/* A source of n prompts in memory: x [length + 1, dim + 1], y [1]; dim <= IN_CONTEXT_DIM. NULL after an error. */
static inline sw_source *prompts_new(int64_t n, int64_t length, int64_t dim, uint64_t seed) {
    sw_array x = sw_array_new(SW_F32, SW_SHAPE(n, length + 1, dim + 1)), y = sw_array_new(SW_F32, SW_SHAPE(n, 1));
    sw_rng rng = {.key = sw_rng_key(seed, "prompts")};
    sw_source *source = NULL;
    for (int64_t i = 0; x.data && y.data && i < n; i++)
        prompt_draw(&rng, length, dim, (float *)x.data + i * (length + 1) * (dim + 1), (float *)y.data + i);
    if (!sw_error())
        source = sw_arrays(&x, &y, &SW_OPTIONS(sw_arrays_options, .copy = true));
    sw_array_free(&x), sw_array_free(&y);
    return source;
}

/* ---- The network ---- */

/* One layer; its inner layers are Q and P. z: [batch, N + 1, d + 1]. */
static inline sw_tensor in_context_layer(sw_module *self, sw_tensor z) {
    const int64_t length = sw_value(z).shape[1] - 1, dim = sw_value(z).shape[2] - 1;
    const sw_tensor x = sw_slice(z, -1, 0, dim), known = sw_slice(z, 1, 0, length);
    const sw_tensor query = sw_forward(sw_module_child(self, 0), x), key = sw_slice(known, -1, 0, dim);
    const sw_tensor moved = sw_forward(sw_module_child(self, 1), key);
    const sw_tensor value = sw_concat(SW_TENSORS(moved, sw_slice(known, -1, dim, dim + 1)), -1);
    const sw_linear_attention_options mean = SW_OPTIONS(sw_linear_attention_options, .scale = 1 / (double)length);
    return sw_add(z, sw_linear_attention(query, key, value, &mean));
}

/* [batch, N + 1, d + 1] → [batch, 1] */
static inline sw_tensor in_context_prediction(sw_module *self, sw_tensor z) {
    const int64_t length = sw_value(z).shape[1] - 1, dim = sw_value(z).shape[2] - 1;
    const sw_tensor last = sw_slice(sw_slice(z, 1, length, length + 1), -1, dim, dim + 1);
    (void)self;
    return sw_neg(sw_reshape(last, SW_SHAPE(sw_value(z).shape[0], 1)));
}

/* Builds a network of up to IN_CONTEXT_LAYERS layers. The elements of Q and P have initial values from N(0, 0.05²). */
static inline sw_params *in_context_build(sw_model *model, int64_t length, int64_t dim, int layers) {
    sw_module *list[IN_CONTEXT_LAYERS + 1];
    for (int i = 0; i < layers; i++) {
        sw_module *q = sw_module_set_init(sw_nn_linear_no_bias(model, dim, dim), sw_init_normal(0, 0.05));
        sw_module *v = sw_module_set_init(sw_nn_linear_no_bias(model, dim, dim), sw_init_normal(0, 0.05));
        list[i] = sw_nn_compose(model, "attention", in_context_layer, q, v, NULL);
    }
    list[layers] = sw_nn_compose(model, "prediction", in_context_prediction, NULL);
    sw_model_set_input_shape(model, SW_SHAPE(length + 1, dim + 1));
    return sw_model_build(model, sw_nn_sequential_array(model, layers + 1, list));
}

#endif
