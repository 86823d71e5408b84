/* Layers against torch.nn (output, gradients of input and parameters, f64 and f32), and initializers against the
 * statistics of those of torch.nn.init. golden/torch_layers.py wrote the numbers. */
#include "support.h"

#include <swale/nn.h>

#include "golden/torch_layers.h"

static const double root2 = 1.4142135623730951;

/* ---- Layers ---- */

/* As in core/ops/test_torch_ops.c, relative to the largest element of an array: fewer than 1000 roundings in
 * f64, about 80 in f32. No sum here has more than 40 terms. */
static const double tolerance[] = {[SW_F32] = 1e-5, [SW_F64] = 1e-12};

/* LAYER(name, the layer made in model m) */
#define LAYER(name, call)                        \
    static sw_module *make_##name(sw_model *m) { \
        return call;                             \
    }
LAYER(linear, sw_nn_linear(m, 0, 3))
LAYER(linear_no_bias, sw_nn_linear_no_bias(m, 0, 3))
LAYER(embedding, sw_nn_embedding(m, 9, 4))
LAYER(embedding_with_options,
      sw_nn_embedding_with_options(m, 9, 4, &SW_OPTIONS(sw_embedding_options, .padding = true, .padding_id = 6)))
LAYER(relu, sw_nn_relu(m))
LAYER(tanh, sw_nn_tanh(m))
LAYER(sigmoid, sw_nn_sigmoid(m))
LAYER(leaky_relu, sw_nn_leaky_relu(m, 0.2))
LAYER(elu, sw_nn_elu(m, 0.7))
LAYER(silu, sw_nn_silu(m))
LAYER(softplus, sw_nn_softplus(m))
LAYER(gelu, sw_nn_gelu(m))
LAYER(gelu_tanh, sw_nn_gelu_tanh(m))
LAYER(softmax, sw_nn_softmax(m, -1))
LAYER(log_softmax, sw_nn_log_softmax(m, 1))
LAYER(activation, sw_nn_activation(m, "leaky_relu"))
LAYER(dropout, sw_nn_dropout(m, 0.5))
LAYER(flatten, sw_nn_sequential(m, sw_nn_flatten(m), sw_nn_linear(m, 0, 2), NULL))
LAYER(reshape, sw_nn_sequential(m, sw_nn_reshape(m, SW_SHAPE(2, 6)), sw_nn_softmax(m, 1), NULL))
LAYER(sequential,
      sw_nn_sequential(m, sw_nn_linear(m, 0, 8), sw_nn_relu(m), sw_nn_dropout(m, 0.5), sw_nn_linear(m, 0, 3), NULL))
LAYER(residual, sw_nn_residual(m, sw_nn_sequential(m, sw_nn_linear(m, 0, 5), sw_nn_tanh(m), NULL)))

/* x Wᵀ + b times the logistic function of another one. */
static sw_tensor gated(sw_module *self, sw_tensor x) {
    sw_tensor value = sw_forward(sw_module_child(self, 0), x);
    return sw_mul(value, sw_sigmoid(sw_forward(sw_module_child(self, 1), x)));
}

LAYER(compose, sw_nn_compose(m, "gated", gated, sw_nn_linear(m, 0, 3), sw_nn_linear(m, 0, 3), NULL))

LAYER(conv2d, sw_nn_conv2d(m, 0, 3, 3))
LAYER(conv2d_with_options, sw_nn_conv2d_with_options(m, 4, 6, 2, 3,
                                                     &SW_OPTIONS(sw_conv_options, .stride = {2, 1}, .padding = {1, 2},
                                                                 .dilation = {1, 2}, .groups = 2, .no_bias = true)))
LAYER(conv2d_same, sw_nn_conv2d_with_options(m, 2, 3, 3, 1, &SW_OPTIONS(sw_conv_options, .same = true)))
LAYER(conv1d, sw_nn_conv1d(m, 3, 4, 3))
LAYER(conv1d_with_options, sw_nn_conv1d_with_options(m, 0, 4, 3,
                                                     &SW_OPTIONS(sw_conv_options, .stride = {2}, .padding = {3},
                                                                 .dilation = {2}, .groups = 2)))
LAYER(conv2d_transposed, sw_nn_conv2d_transposed(m, 0, 2, 2))
LAYER(conv2d_transposed_with_options,
      sw_nn_conv2d_transposed_with_options(m, 4, 6, 3, 2,
                                           &SW_OPTIONS(sw_conv_options, .stride = {2, 3}, .padding = {1, 0},
                                                       .output_padding = {1, 2}, .groups = 2)))

LAYER(max_pool2d, sw_nn_max_pool2d(m, 2))
LAYER(max_pool2d_with_options,
      sw_nn_max_pool2d_with_options(m, 3, 2,
                                    &SW_OPTIONS(sw_pool_options, .stride = {2, 1}, .padding = {1, 0},
                                                .dilation = {1, 2}, .ceil_mode = true)))
LAYER(avg_pool2d, sw_nn_avg_pool2d(m, 2))
LAYER(avg_pool2d_with_options, sw_nn_avg_pool2d_with_options(m, 3, 2,
                                                             &SW_OPTIONS(sw_pool_options, .stride = {2, 1},
                                                                         .padding = {1, 1}, .exclude_padding = true)))
LAYER(max_pool1d, sw_nn_max_pool1d(m, 2))
LAYER(max_pool1d_with_options, sw_nn_max_pool1d_with_options(m, 3, &SW_OPTIONS(sw_pool_options, .stride = {2})))
LAYER(avg_pool1d, sw_nn_avg_pool1d(m, 2))
LAYER(avg_pool1d_with_options, sw_nn_avg_pool1d_with_options(m, 3, &SW_OPTIONS(sw_pool_options, .padding = {1})))
LAYER(adaptive_max_pool2d, sw_nn_adaptive_max_pool2d(m, 2, 3))
LAYER(adaptive_avg_pool2d, sw_nn_adaptive_avg_pool2d(m, 3, 2))
LAYER(global_max_pool2d, sw_nn_global_max_pool2d(m))
LAYER(global_avg_pool2d, sw_nn_global_avg_pool2d(m))
LAYER(lstm, sw_nn_lstm(m, 0, 4))
LAYER(lstm_with_options, sw_nn_lstm_with_options(m, 3, 4,
                                                 &SW_OPTIONS(sw_recurrent_layer_options, .layers = 2,
                                                             .bidirectional = true, .dropout = 0.3)))
LAYER(lstm_last,
      sw_nn_lstm_with_options(m, 0, 3,
                              &SW_OPTIONS(sw_recurrent_layer_options, .layers = 3, .no_bias = true, .last = true)))
LAYER(gru, sw_nn_gru(m, 0, 4))
LAYER(gru_with_options,
      sw_nn_gru_with_options(m, 3, 3, &SW_OPTIONS(sw_recurrent_layer_options, .bidirectional = true, .last = true)))
LAYER(batch_norm, sw_nn_batch_norm(m, 0)) /* in evaluation; training: test_batch_norm_training.c */
LAYER(batch_norm_batch,
      sw_nn_batch_norm_with_options(m, 3, &SW_OPTIONS(sw_batch_norm_options, .eps = 0.01, .no_statistics = true)))
LAYER(batch_norm_plain, sw_nn_batch_norm_with_options(m, 0,
                                                      &SW_OPTIONS(sw_batch_norm_options, .no_weight = true,
                                                                  .no_bias = true, .no_statistics = true)))
LAYER(layer_norm, sw_nn_layer_norm(m, 0))
LAYER(layer_norm_with_options,
      sw_nn_layer_norm_with_options(m, 3, &SW_OPTIONS(sw_norm_options, .eps = 0.01, .axes = 2)))
LAYER(layer_norm_no_bias, sw_nn_layer_norm_with_options(m, 0, &SW_OPTIONS(sw_norm_options, .no_bias = true)))
LAYER(rms_norm, sw_nn_rms_norm(m, 7))
LAYER(rms_norm_with_options, sw_nn_rms_norm_with_options(m, 0, &SW_OPTIONS(sw_norm_options, .eps = 0.1, .axes = 3)))
LAYER(rms_norm_plain, sw_nn_rms_norm_with_options(m, 0, &SW_OPTIONS(sw_norm_options, .no_weight = true)))
LAYER(group_norm, sw_nn_group_norm(m, 2, 0))
LAYER(group_norm_with_options, sw_nn_group_norm_with_options(m, 3, 6, &SW_OPTIONS(sw_norm_options, .eps = 0.02)))

LAYER(linear_with_options,
      sw_nn_linear_with_options(m, 0, 3, &SW_OPTIONS(sw_linear_options, .no_bias = true, .file_transposed = true)))
LAYER(position, sw_nn_position(m, 7, 0))
LAYER(position_all, sw_nn_position(m, 5, 4))
LAYER(sinusoidal_position, sw_nn_sinusoidal_position(m))
LAYER(attention, sw_nn_attention(m, 6, 2))
LAYER(attention_with_options,
      sw_nn_attention_with_options(m, 6, 3, &SW_OPTIONS(sw_attention_layer_options, .causal = true, .no_bias = true)))
LAYER(attention_rotary,
      sw_nn_attention_with_options(m, 8, 2, &SW_OPTIONS(sw_attention_layer_options, .causal = true, .rotary = true)))
LAYER(linear_attention, sw_nn_linear_attention(m, 6, 2))
LAYER(linear_attention_with_options,
      sw_nn_linear_attention_with_options(m, 6, 3,
                                          &SW_OPTIONS(sw_linear_attention_layer_options, .causal = true,
                                                      .normalized = true, .map = SW_MAP_ELU)))
LAYER(transformer_block, sw_nn_transformer_block(m, 4, 2))
LAYER(transformer_block_with_options,
      sw_nn_transformer_block_with_options(m, 6, 3,
                                           &SW_OPTIONS(sw_transformer_block_options, .hidden = 7, .post_norm = true,
                                                       .activation = "relu", .causal = true)))
LAYER(transformer_block_relu2,
      sw_nn_transformer_block_with_options(m, 6, 1,
                                           &SW_OPTIONS(sw_transformer_block_options, .hidden = 7, .post_norm = true,
                                                       .activation = "relu2", .dropout = 0.5)))
LAYER(transformer_block_swiglu,
      sw_nn_transformer_block_with_options(m, 6, 2,
                                           &SW_OPTIONS(sw_transformer_block_options, .hidden = 5, .no_bias = true,
                                                       .activation = "swiglu")))

#define ROW(name) \
    { #name, make_##name }
static const struct {
    const char *label; /* of the numbers: the function, and what else tells it apart */
    sw_module *(*make)(sw_model *m);
} layers[] = {
    ROW(linear),
    ROW(linear_no_bias),
    ROW(embedding),
    ROW(embedding_with_options),
    ROW(relu),
    ROW(tanh),
    ROW(sigmoid),
    ROW(leaky_relu),
    ROW(elu),
    ROW(silu),
    ROW(softplus),
    ROW(gelu),
    ROW(gelu_tanh),
    ROW(softmax),
    ROW(log_softmax),
    ROW(activation),
    ROW(dropout),
    ROW(flatten),
    ROW(reshape),
    ROW(sequential),
    ROW(residual),
    ROW(compose),
    ROW(conv2d),
    ROW(conv2d_with_options),
    {"conv2d_with_options same", make_conv2d_same},
    ROW(conv1d),
    ROW(conv1d_with_options),
    ROW(conv2d_transposed),
    ROW(conv2d_transposed_with_options),
    ROW(max_pool2d),
    ROW(max_pool2d_with_options),
    ROW(avg_pool2d),
    ROW(avg_pool2d_with_options),
    ROW(max_pool1d),
    ROW(max_pool1d_with_options),
    ROW(avg_pool1d),
    ROW(avg_pool1d_with_options),
    ROW(adaptive_max_pool2d),
    ROW(adaptive_avg_pool2d),
    ROW(global_max_pool2d),
    ROW(global_avg_pool2d),
    ROW(lstm),
    ROW(lstm_with_options),
    {"lstm_with_options last", make_lstm_last},
    ROW(gru),
    ROW(gru_with_options),
    ROW(batch_norm),
    {"batch_norm_with_options batch", make_batch_norm_batch},
    {"batch_norm_with_options plain", make_batch_norm_plain},
    ROW(layer_norm),
    ROW(layer_norm_with_options),
    {"layer_norm_with_options no bias", make_layer_norm_no_bias},
    ROW(rms_norm),
    ROW(rms_norm_with_options),
    {"rms_norm_with_options plain", make_rms_norm_plain},
    ROW(group_norm),
    ROW(group_norm_with_options),
    ROW(linear_with_options),
    ROW(position),
    {"position all", make_position_all},
    ROW(sinusoidal_position),
    ROW(attention),
    ROW(attention_with_options),
    {"attention_with_options rotary", make_attention_rotary},
    ROW(linear_attention),
    ROW(linear_attention_with_options),
    ROW(transformer_block),
    ROW(transformer_block_with_options),
    {"transformer_block_with_options relu2", make_transformer_block_relu2},
    {"transformer_block_with_options swiglu", make_transformer_block_swiglu},
};

/* Another way to write one, or another way to compute it with the same bits (test_recompute.c). */
static const char *const no_layers[] = {"sequential_array",     "sequential_listed", "sequential_with_options",
                                        "compose_with_options", "compose_listed",    "recompute"};

static void compare(const struct torch_layer *golden, const char *what, sw_dtype type, const double *own,
                    const double *expected, int count) {
    double worst = 0, scale = 0;
    for (int i = 0; i < count; i++) {
        assert_true(isfinite(own[i]));
        worst = fmax(worst, fabs(own[i] - expected[i]));
        scale = fmax(scale, fabs(expected[i]));
    }
    if (!(worst <= tolerance[type] * scale))
        fail_msg("%s, %s, %s: %.3g of the largest element away from PyTorch's, %.3g allowed", golden->label, what,
                 sw_dtype_name(type), worst / scale, tolerance[type]);
}

static void compare_array(const struct torch_layer *golden, const char *what, const sw_array *own,
                          const double *expected, int count) {
    assert_non_null(own->data);
    assert_int_equal(sw_array_count(own), count);
    double wide[512];
    assert_true(count <= (int)(sizeof wide / sizeof *wide));
    for (int i = 0; i < count; i++)
        wide[i] = test_get(own, i);
    compare(golden, what, own->type, wide, expected, count);
}

static void follow(const struct torch_layer *golden, sw_module *(*make)(sw_model *m), sw_dtype type) {
    sw_model *model = sw_model_new(type, 1);
    assert_int_equal(sw_model_set_input_shape(model, golden->rank - 1, golden->shape + 1), SW_OK);
    sw_params *params = sw_model_build(model, make(model));
    if (!params)
        fail_msg("%s: %s", golden->label, sw_error());
    assert_int_equal(sw_params_dim(params) - sw_params_buffer_dim(params), golden->parameters);
    const sw_array w = sw_array_view(sw_params_x(params), type, SW_SHAPE(golden->parameters));
    test_fill(&w, -0.6, 0.6, 22);
    sw_array x = test_array(golden->ids ? SW_I32 : type, golden->rank, golden->shape);
    uint64_t seed = 21;
    if (golden->ids)
        for (int64_t i = 0; i < sw_array_count(&x); i++)
            test_set(&x, i, (double)(test_random(&seed) % (uint64_t)golden->ids));
    else
        test_fill(&x, -2, 2, seed);
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_TRAIN, false); /* dropout is the identity */
    sw_tensor in = golden->ids ? sw_input(tape, x) : sw_variable(tape, x);
    sw_tensor y = sw_forward(sw_model_root(model), in);
    sw_array value = sw_value(y);
    if (sw_error())
        fail_msg("%s: %s", golden->label, sw_error());
    const double *expected = torch_layer_numbers + golden->at;
    compare_array(golden, "output", &value, expected, golden->outputs);
    sw_array cotangent = test_filled(type, value.rank, value.shape, -1, 1, 23);
    assert_int_equal(sw_backward_from(y, cotangent), SW_OK);
    expected += golden->outputs;
    if (golden->inputs) {
        sw_array gradient = sw_grad(in);
        compare_array(golden, "gradient of the input", &gradient, expected, golden->inputs);
        expected += golden->inputs;
    }
    for (int i = 0; i < sw_params_count(params); i++) { /* each with a scale of its own */
        const sw_param *p = sw_params_at(params, i);
        if (p->buffer)
            continue;
        sw_array gradient = sw_param_grad(p);
        compare_array(golden, p->name, &gradient, expected + p->offset, (int)p->count);
    }
    test_array_free(&cotangent);
    test_array_free(&x);
    sw_tape_free(tape);
    sw_model_free(model);
}

enum { LAYERS = sizeof layers / sizeof *layers, GOLDEN_LAYERS = sizeof torch_layers / sizeof *torch_layers };

static void test_layers_agree_with_torch(void **state) {
    (void)state;
    for (int g = 0; g < GOLDEN_LAYERS; g++) {
        int found = 0;
        for (int i = 0; i < LAYERS; i++)
            if (strcmp(layers[i].label, torch_layers[g].label) == 0) {
                follow(&torch_layers[g], layers[i].make, SW_F64);
                follow(&torch_layers[g], layers[i].make, SW_F32);
                found++;
            }
        if (found != 1)
            fail_msg("golden/torch_layers.h has \"%s\", this file %d", torch_layers[g].label, found);
    }
    assert_int_equal(LAYERS, GOLDEN_LAYERS);
}

/* ---- Initialisers ---- */

/* Two samples of n numbers each of one distribution: the difference of two estimates has √2 times
 * the standard error of one, and 5 of those are allowed (one in 2 million would be outside; seeds are
 * fixed). The standard error of the mean is σ/√n, of the standard deviation σ √((κ - 1)/4n) with
 * kurtosis κ, of the share below a point √(p (1 - p)/n). Of 2n numbers in random order the INIT_RANK
 * largest are all one side's with probability 2^-INIT_RANK, 2^-21 = 5e-7: so the largest of each
 * side is at least the INIT_RANK-th largest of the other. */
static const double standard_errors = 5;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void near(const char *label, const char *what, double own, double golden, double error) {
    if (!(fabs(own - golden) <= standard_errors * root2 * error))
        fail_msg("%s: %s is %.9g, PyTorch's %.9g, with a standard error of %.2g", label, what, own, golden, error);
}

static void compare_extremes(const struct torch_init *golden, const double *sorted) {
    const int n = INIT_DRAWS, r = INIT_RANK;
    assert_true(sorted[n - 1] >= golden->high && golden->largest >= sorted[n - r]);
    assert_true(sorted[0] <= golden->low && golden->least <= sorted[r - 1]);
}

static void compare_distribution(const struct torch_init *golden, double *x) {
    const double n = INIT_DRAWS, std = golden->std;
    double mean = 0, square = 0, diagonal = 0;
    for (int i = 0; i < INIT_DRAWS; i++)
        mean += x[i] / n;
    for (int i = 0; i < INIT_DRAWS; i++)
        square += (x[i] - mean) * (x[i] - mean) / n;
    for (int i = 0; i < INIT_OUT; i++)
        diagonal += x[i * (INIT_IN + 1)] / INIT_OUT;
    near(golden->label, "the mean", mean, golden->mean, std / sqrt(n));
    near(golden->label, "the standard deviation", sqrt(square), std, std * sqrt((golden->kurtosis - 1) / (4 * n)));
    near(golden->label, "the mean of the diagonal", diagonal, golden->diagonal, std / sqrt(INIT_OUT));
    qsort(x, INIT_DRAWS, sizeof *x, ascending);
    for (int q = 0, below = 0; q < INIT_QUANTILES; q++) {
        double p = (q + 1.0) / (INIT_QUANTILES + 1);
        while (below < INIT_DRAWS && x[below] <= golden->quantile[q])
            below++;
        near(golden->label, "a share below a quantile", below / n, p, sqrt(p * (1 - p) / n));
    }
    compare_extremes(golden, x);
}

/* Rows of W [INIT_OUT, INIT_IN], fewer than columns, are orthogonal and of length `gain`:
 * W Wᵀ = gain² I. The Q of Householder's QR is orthogonal to a small multiple of m 2^-53 for m =
 * INIT_OUT vectors (Higham, Accuracy and Stability, 2002, section 19.3; 10 is taken for it). */
static void expect_orthogonal(const double *w, double gain) {
    for (int i = 0; i < INIT_OUT; i += 7)
        for (int j = 0; j <= i; j++) {
            double product = 0;
            for (int k = 0; k < INIT_IN; k++)
                product += w[i * INIT_IN + k] * w[j * INIT_IN + k];
            assert_true(fabs(product - (i == j) * gain * gain) <= 10 * INIT_OUT * 0x1p-53 * gain * gain);
        }
}

static void follow_init(const struct torch_init *golden, sw_init init) {
    sw_params *params = sw_params_new(SW_F64, 3);
    const sw_param_options options = {.size = sizeof options, .fan_in = INIT_IN, .fan_out = INIT_OUT, .init = init};
    assert_non_null(sw_params_add(params, "w", SW_SHAPE(INIT_OUT, INIT_IN), &options));
    if (sw_params_build(params) != SW_OK)
        fail_msg("%s: %s", golden->label, sw_error());
    double *w = sw_params_x(params);
    if (strncmp(golden->label, "orthogonal", 10) == 0)
        expect_orthogonal(w, init.a);
    if (golden->std > 0)
        compare_distribution(golden, w);
    else /* a constant: no chance in it */
        for (int i = 0; i < INIT_DRAWS; i++)
            assert_true(w[i] == golden->mean);
    sw_params_free(params);
}

typedef struct named_init {
    const char *label; /* function, and what else tells it apart */
    sw_init init;
} named_init;

/* All of them; `see` gets each. Returns how many. */
static int each_init(void (*see)(const named_init *each)) {
    const named_init inits[] = {
        {"he_normal", sw_init_he_normal(root2)},
        {"he_normal tanh", sw_init_he_normal(5.0 / 3)},
        {"he_uniform", sw_init_he_uniform(root2)},
        {"xavier_normal", sw_init_xavier_normal(1)},
        {"xavier_uniform", sw_init_xavier_uniform(5.0 / 3)},
        {"zeros", sw_init_zeros()},
        {"constant", sw_init_constant(0.3)},
        {"normal", sw_init_normal(0.2, 1.7)},
        {"uniform", sw_init_uniform(-0.4, 1.1)},
        {"truncated_normal", sw_init_truncated_normal(0.5, 2, -1, 2)},
        {"truncated_normal tail", sw_init_truncated_normal(0, 1, 2, 4)},
        {"truncated_normal slice", sw_init_truncated_normal(0.1, 1, -1.9, -1.4)},
        {"lecun_normal", sw_init_lecun_normal()},
        {"lecun_uniform", sw_init_lecun_uniform()},
        {"pytorch", sw_init_pytorch()},
        {"pytorch bias", sw_init_pytorch()},
        {"orthogonal", sw_init_orthogonal(1.5)},
    };
    const int count = sizeof inits / sizeof *inits;
    for (int i = 0; i < count; i++)
        see(&inits[i]);
    return count;
}

enum { GOLDEN_INITS = sizeof torch_inits / sizeof *torch_inits };

static void find_and_follow(const named_init *each) {
    for (int g = 0; g < GOLDEN_INITS; g++)
        if (strcmp(torch_inits[g].label, each->label) == 0) {
            follow_init(&torch_inits[g], each->init);
            return;
        }
    fail_msg("golden/torch_layers.h has no initializer \"%s\"", each->label);
}

static void test_initializers_agree_with_torch(void **state) {
    (void)state;
    assert_int_equal(each_init(find_and_follow), GOLDEN_INITS);
}

/* ---- Nothing of nn.h is left out ---- */

static const char *sought;
static bool seen;

static bool begins_with_word(const char *label, const char *word) {
    size_t length = strlen(word);
    return strncmp(label, word, length) == 0 && (label[length] == 0 || label[length] == ' ');
}

static void look(const named_init *each) {
    seen |= begins_with_word(each->label, sought);
}

/* Calls `known` with NAME of every function that begins with `prefix` in a header. Returns how many. */
static int each_function(const char *header, const char *prefix, bool (*known)(const char *name)) {
    static char text[1 << 16];
    FILE *file = fopen(header, "r"); /* tests run in the top folder */
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    int count = 0;
    for (const char *at = text; (at = strstr(at, prefix)) != NULL; count++) {
        char name[64];
        at += strlen(prefix);
        assert_int_equal(sscanf(at, "%63[a-z0-9_]", name), 1);
        if (!known(name))
            fail_msg("%s%s has no numbers of PyTorch's: golden/torch_layers.py", prefix, name);
    }
    return count;
}

static bool layer_known(const char *name) {
    for (size_t i = 0; i < sizeof no_layers / sizeof *no_layers; i++)
        if (strcmp(no_layers[i], name) == 0)
            return true;
    for (int i = 0; i < LAYERS; i++)
        if (begins_with_word(layers[i].label, name))
            return true;
    return false;
}

static bool init_known(const char *name) {
    sought = name;
    seen = false;
    each_init(look);
    return seen;
}

static void test_every_layer_and_initializer_has_golden_numbers(void **state) {
    (void)state;
    assert_true(each_function("nn/nn.h", "SW_API sw_module *sw_nn_", layer_known) > 4);
    assert_true(each_function("nn/transformer.h", "SW_API sw_module *sw_nn_", layer_known) > 4);
    assert_true(each_function("nn/init.h", "SW_API sw_init sw_init_", init_known) > 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_layers_agree_with_torch, test_clear),
        cmocka_unit_test_teardown(test_initializers_agree_with_torch, test_clear),
        cmocka_unit_test_teardown(test_every_layer_and_initializer_has_golden_numbers, test_clear),
    };
    return cmocka_run_group_tests_name("torch_layers", tests, NULL, NULL);
}
