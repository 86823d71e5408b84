/* Single layers for the benchmarks: pools, normalizations, grouped convolutions and recurrent networks, forward and
 * backward. */
#ifndef SWALE_BENCH_LAYERS_H
#define SWALE_BENCH_LAYERS_H

#include <stdlib.h>
#include <string.h>
#include <swale/swale.h>

/* x [shape], weight and bias: from the tape, or null. */
typedef struct bench_layer {
    const char *name;
    int rank;
    int64_t shape[4];
    int weight_rank; /* 0: no weight and no bias */
    int64_t weight_shape[4], bias_length;
    sw_tensor (*apply)(sw_tensor x, sw_tensor weight, sw_tensor bias);
} bench_layer;

static inline sw_tensor bench_max_pool_2(sw_tensor x, sw_tensor w, sw_tensor b) {
    return (void)w, (void)b, sw_max_pool2d(x, 2, 2, NULL);
}
static inline sw_tensor bench_max_pool_3(sw_tensor x, sw_tensor w, sw_tensor b) {
    return (void)w, (void)b, sw_max_pool2d(x, 3, 3, &SW_OPTIONS(sw_pool_options, .stride = {2, 2}, .padding = {1, 1}));
}
static inline sw_tensor bench_avg_pool_2(sw_tensor x, sw_tensor w, sw_tensor b) {
    return (void)w, (void)b, sw_avg_pool2d(x, 2, 2, NULL);
}
static inline sw_tensor bench_batch_norm(sw_tensor x, sw_tensor w, sw_tensor b) {
    return sw_batch_norm(x, w, b, NULL);
}
static inline sw_tensor bench_layer_norm(sw_tensor x, sw_tensor w, sw_tensor b) {
    return sw_layer_norm(x, w, b, 0);
}
static inline sw_tensor bench_group_norm(sw_tensor x, sw_tensor w, sw_tensor b) {
    return sw_group_norm(x, 8, w, b, 0);
}
static inline sw_tensor bench_depthwise(sw_tensor x, sw_tensor w, sw_tensor b) {
    return sw_conv2d(x, w, b, &SW_OPTIONS(sw_conv_options, .groups = 64, .padding = {1, 1}));
}
static inline sw_tensor bench_groups_4(sw_tensor x, sw_tensor w, sw_tensor b) {
    return sw_conv2d(x, w, b, &SW_OPTIONS(sw_conv_options, .groups = 4, .padding = {1, 1}));
}
/* The weight is that of the inputs and that of the states, which have equal shapes, and so is the bias. */
static inline sw_tensor bench_lstm(sw_tensor x, sw_tensor w, sw_tensor b) {
    return sw_lstm(x, w, w, &SW_OPTIONS(sw_recurrent_options, .bias_ih = b, .bias_hh = b));
}
static inline sw_tensor bench_gru(sw_tensor x, sw_tensor w, sw_tensor b) {
    return sw_gru(x, w, w, &SW_OPTIONS(sw_recurrent_options, .bias_ih = b, .bias_hh = b));
}

static const bench_layer bench_layers[] = {
    {"max_pool_2", 4, {64, 28, 28, 16}, 0, {0}, 0, bench_max_pool_2},
    {"max_pool_3_stride_2", 4, {8, 112, 112, 64}, 0, {0}, 0, bench_max_pool_3},
    {"avg_pool_2", 4, {64, 28, 28, 16}, 0, {0}, 0, bench_avg_pool_2},
    {"batch_norm", 4, {64, 28, 28, 16}, 1, {16}, 16, bench_batch_norm},
    {"layer_norm_768x128", 2, {768, 128}, 1, {128}, 128, bench_layer_norm},
    {"layer_norm_2048x32", 2, {2048, 32}, 1, {32}, 32, bench_layer_norm},
    {"group_norm", 4, {64, 14, 14, 64}, 1, {64}, 64, bench_group_norm},
    {"depthwise_3x3", 4, {64, 28, 28, 64}, 4, {64, 3, 3, 1}, 64, bench_depthwise},
    {"groups_4_3x3", 4, {64, 28, 28, 64}, 4, {64, 3, 3, 16}, 64, bench_groups_4},
    {"lstm_128", 3, {32, 64, 128}, 2, {512, 128}, 512, bench_lstm},
    {"gru_128", 3, {32, 64, 128}, 2, {384, 128}, 384, bench_gru},
};
enum { BENCH_LAYERS = sizeof bench_layers / sizeof *bench_layers };

/* A layer with its arrays. */
typedef struct bench_layer_run {
    const bench_layer *layer;
    sw_tape *tape;
    sw_array x, weight, bias, cotangent;
    double check; /* the first element of y */
} bench_layer_run;

static inline sw_array bench_layer_array(int rank, const int64_t *shape) {
    sw_array a = sw_array_new(SW_F32, rank, shape);
    for (int64_t i = 0; a.data && i < sw_array_count(&a); i++)
        ((float *)a.data)[i] = (float)(i * 7919 % 1999) / 1999 - 0.5f;
    return a;
}

/* The result of the layer; the variables are recorded before it. */
static inline sw_tensor bench_layer_apply(const bench_layer_run *r) {
    const sw_tensor none = {0};
    const bool weights = r->layer->weight_rank > 0;
    return r->layer->apply(sw_variable(r->tape, r->x), weights ? sw_variable(r->tape, r->weight) : none,
                           weights ? sw_variable(r->tape, r->bias) : none);
}

static inline bench_layer_run bench_layer_new(const bench_layer *layer) {
    bench_layer_run r = {.layer = layer, .tape = sw_tape_new(), .x = bench_layer_array(layer->rank, layer->shape)};
    if (layer->weight_rank > 0) {
        r.weight = bench_layer_array(layer->weight_rank, layer->weight_shape);
        r.bias = bench_layer_array(1, &layer->bias_length);
    }
    const sw_array y = sw_value(bench_layer_apply(&r));
    r.cotangent = bench_layer_array(y.rank, y.shape);
    sw_tape_reset(r.tape);
    return r;
}

static inline void bench_layer_free(bench_layer_run *r) {
    sw_tape_free(r->tape);
    sw_array_free(&r->x), sw_array_free(&r->weight), sw_array_free(&r->bias), sw_array_free(&r->cotangent);
}

/* Forward, and backward if `gradient`. */
static inline void bench_layer_step(bench_layer_run *r, bool gradient) {
    const sw_tensor y = bench_layer_apply(r);
    if (gradient)
        sw_backward_from(y, r->cotangent);
    const sw_array value = sw_value(y);
    r->check = value.data ? *(const float *)value.data : 0;
    sw_tape_reset(r->tape);
}

#endif
