/* GPT-2 (Radford et al., 2019) from ordinary layers and operations, for dry runs: memory.c predicts with it what a
 * training step of the largest model needs. Not part of the library.
 *
 * A block is x + attention(norm(x)), and then x + mlp(norm(x)), with four times as many features inside the mlp.
 * Queries, keys and values are split into heads; the scores of a head are softmax(Q Kᵀ/√d + mask). Every intermediate
 * value is a tensor: the operations are not fused, as they are in flash attention. */
#ifndef SWALE_EXAMPLES_TRANSFORMER_H
#define SWALE_EXAMPLES_TRANSFORMER_H

#include <swale/extend.h>
#include <swale/nn.h>

#include <math.h>

typedef struct transformer {
    int64_t layers, width, heads, vocabulary, length; /* length: the tokens of a sample */
    int64_t batch;
    sw_tensor mask; /* [length, length], of the current pass: 0, and -∞ for later tokens */
} transformer;

/* ---- Layer normalization: (x - mean) / √(variance + 1e-5) · weight + bias, over the last axis ---- */

typedef struct norm {
    int64_t width;
    sw_param *weight, *bias;
} norm;

static inline sw_status norm_build(sw_module *m, sw_sample_shape *shape) {
    norm *n = m->data;
    const int64_t width[] = {n->width};
    (void)shape;
    n->weight = sw_module_add_param(m, "weight", 1, width,
                                    &SW_OPTIONS(sw_param_options, .role = SW_ROLE_NORM, .init = sw_init_constant(1)));
    n->bias = sw_module_add_param(m, "bias", 1, width, &SW_OPTIONS(sw_param_options, .role = SW_ROLE_NORM));
    return n->weight && n->bias ? SW_OK : sw_error_status();
}

static inline sw_tensor norm_forward(sw_module *m, sw_tensor x) {
    const norm *n = m->data;
    const int last[] = {-1};
    sw_tensor mean = sw_mean_over(x, 1, last, true), centered = sw_sub(x, mean);
    sw_tensor square = sw_var_over(x, 1, last, true, 0);
    sw_tensor safe = sw_add(square, sw_constant(x.tape, sw_value(square).type, 1e-5)), factor = sw_pow(safe, -0.5);
    sw_tensor normal = sw_mul(centered, factor), scaled = sw_mul(normal, sw_param_use(x.tape, n->weight));
    sw_tensor y = sw_add(scaled, sw_param_use(x.tape, n->bias));
    sw_tensor done[] = {mean, centered, square, safe, factor, normal, scaled};
    for (size_t i = 0; i < sizeof done / sizeof *done; i++)
        sw_release(done[i]);
    return y;
}

static const sw_module_type norm_type = {
    .size = sizeof(sw_module_type), .name = "norm", .build = norm_build, .forward = norm_forward};

static inline sw_module *norm_new(sw_model *model, int64_t width) {
    sw_module *m = sw_module_new(model, &norm_type, sizeof(norm));
    if (sw_module_is(m, &norm_type))
        ((norm *)m->data)->width = width;
    return m;
}

/* ---- Attention ---- */

/* Queries, keys or values: columns [from, from + width) of x [batch, length, 3 width], as [batch, heads, length,
 * width / heads]. */
static inline sw_tensor attention_heads(const transformer *t, sw_tensor x, int64_t from) {
    sw_tensor part = sw_slice(x, 2, from, from + t->width);
    sw_tensor split = sw_reshape(part, SW_SHAPE(t->batch, t->length, t->heads, t->width / t->heads));
    sw_tensor heads = sw_transpose(split, 1, 2);
    sw_release(split);
    sw_release(part);
    return heads;
}

static inline sw_tensor attention_forward(sw_module *self, sw_tensor x) {
    const transformer *t = sw_module_user(self);
    sw_tensor all = sw_forward(sw_module_child(self, 0), x);
    sw_tensor q = attention_heads(t, all, 0), k = attention_heads(t, all, t->width),
              v = attention_heads(t, all, 2 * t->width);
    sw_release(all);
    sw_tensor product = sw_matmul_transposed(q, k, false, true);
    const int64_t features = t->width / t->heads;
    sw_tensor scaled = sw_scale(product, 1 / sqrt((double)features));
    sw_release(product);
    sw_tensor masked = sw_add(scaled, t->mask);
    sw_release(scaled);
    sw_tensor scores = sw_softmax(masked, -1);
    sw_release(masked);
    sw_tensor mixed = sw_matmul(scores, v), rows = sw_transpose(mixed, 1, 2);
    sw_release(mixed), sw_release(scores), sw_release(q), sw_release(k), sw_release(v);
    sw_tensor joined = sw_reshape(rows, SW_SHAPE(t->batch, t->length, t->width));
    sw_tensor y = sw_forward(sw_module_child(self, 1), joined);
    sw_release(joined), sw_release(rows);
    return y;
}

static inline sw_module *attention_new(sw_model *model, transformer *t) {
    const sw_sample_shape out = {.rank = 1, .length = {t->width}}; /* the last axis, as linear layers state it */
    sw_module *inner[] = {sw_nn_linear(model, t->width, 3 * t->width), sw_nn_linear(model, t->width, t->width)};
    return sw_nn_compose_with_options(model, "attention", attention_forward, 2, inner,
                                      &SW_OPTIONS(sw_compose_options, .user = t, .out = &out));
}

/* ---- The network ---- */

enum { TRANSFORMER_LAYERS = 96 };

static inline sw_module *transformer_block(sw_model *model, transformer *t) {
    const int64_t w = t->width;
    sw_module *attention = sw_nn_sequential(model, norm_new(model, w), attention_new(model, t), NULL),
              *mlp = sw_nn_sequential(model, norm_new(model, w), sw_nn_linear(model, w, 4 * w), sw_nn_gelu_tanh(model),
                                      sw_nn_linear(model, 4 * w, w), NULL);
    return sw_nn_sequential(model, sw_nn_residual(model, attention), sw_nn_residual(model, mlp), NULL);
}

/* x: i32 [batch, length]. The table of tokens is also the matrix of the last layer. */
static inline sw_tensor transformer_forward(sw_module *self, sw_tensor x) {
    transformer *t = sw_module_user(self);
    sw_tensor places = sw_empty(x.tape, SW_I32, SW_SHAPE(t->length));
    int32_t *place = sw_value(places).data;
    for (int64_t i = 0; place && i < t->length; i++)
        place[i] = (int32_t)i;
    sw_tensor token = sw_forward(sw_module_child(self, 0), x), position = sw_forward(sw_module_child(self, 1), places);
    sw_tensor sum = sw_add(token, position);
    sw_release(token), sw_release(position);
    t->mask = sw_empty(x.tape, sw_value(sum).type, SW_SHAPE(t->length, t->length));
    sw_tensor blocks = sw_forward(sw_module_child(self, 2), sum);
    sw_release(sum);
    sw_tensor last = sw_forward(sw_module_child(self, 3), blocks);
    sw_release(blocks);
    sw_tensor logits = sw_forward(sw_module_child(self, 4), last);
    sw_release(last);
    return logits;
}

static inline sw_module *transformer_new(sw_model *model, transformer *t, bool recompute) {
    static const sw_sample_shape unknown = {.rank = -1};
    sw_module *block[TRANSFORMER_LAYERS];
    for (int64_t i = 0; i < t->layers; i++)
        block[i] = transformer_block(model, t);
    sw_module *token = sw_nn_embedding(model, t->vocabulary, t->width),
              *head = sw_module_tie(sw_nn_linear_no_bias(model, t->width, t->vocabulary), token);
    sw_module *inner[] = {
        token, sw_nn_embedding(model, t->length, t->width),
        sw_nn_sequential_with_options(model, (int)t->layers, block,
                                      &SW_OPTIONS(sw_sequential_options, .recompute = recompute ? 1 : 0)),
        norm_new(model, t->width), head};
    return sw_nn_compose_with_options(model, "gpt2", transformer_forward, 5, inner,
                                      &SW_OPTIONS(sw_compose_options, .user = t, .out = &unknown, .takes_ids = true));
}

/* The mean loss of the next token. */
static inline sw_tensor transformer_loss(const transformer *t, sw_module *net, sw_tape *tape) {
    sw_tensor x = sw_empty(tape, SW_I32, SW_SHAPE(t->batch, t->length)),
              y = sw_empty(tape, SW_I32, SW_SHAPE(t->batch * t->length));
    for (int i = 0; i < 2; i++) {
        const sw_array ids = sw_value(i ? y : x);
        if (ids.data)
            memset(ids.data, 0, (size_t)sw_array_count(&ids) * sizeof(int32_t));
    }
    sw_tensor logits = sw_forward(net, x);
    sw_tensor rows = sw_reshape(logits, SW_SHAPE(t->batch * t->length, t->vocabulary));
    sw_release(logits);
    sw_tensor loss = sw_cross_entropy(rows, y);
    sw_release(rows);
    return loss;
}

#endif
