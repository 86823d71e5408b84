/* A convolutional network for pictures of 28 x 28 pixels, and training by SGD in epochs, for the programs that examine
 * the loss around its minima. Not part of the library. */
#ifndef SWALE_EXAMPLES_CNN_H
#define SWALE_EXAMPLES_CNN_H

#include "cli.h"
#include <swale/swale.h>

typedef struct cnn_options {
    int64_t channels; /* of the first convolution; the second has twice as many */
    bool normalized;  /* batch normalization after each convolution */
    bool average;     /* average instead of max pooling */
    bool smooth;      /* tanh instead of ReLU */
    int64_t hidden;   /* units of a hidden layer before the last one; 0: there is none */
    double dropout;   /* before the hidden layer */
    sw_dtype type;
    uint64_t seed;
} cnn_options;

static inline sw_module *cnn_activation(sw_model *m, const cnn_options *o) {
    return o->smooth ? sw_nn_tanh(m) : sw_nn_relu(m);
}

/* [28,28,1] → 3 x 3 convolution, pool → [14,14,channels] → convolution, pool → [7,7,2 channels] → 10 classes. */
static inline sw_model *cnn_new(const cnn_options *o) {
    const sw_conv_options same = SW_OPTIONS(sw_conv_options, .same = true);
    sw_module *layer[16];
    int count = 0;
    sw_model *m = sw_model_new(o->type, o->seed);
    sw_model_set_input_shape(m, SW_SHAPE(28, 28, 1));
    for (int64_t stage = 1; stage <= 2; stage++) {
        const int64_t from = stage == 1 ? 1 : o->channels, to = stage * o->channels;
        layer[count++] = sw_nn_conv2d_with_options(m, from, to, 3, 3, &same);
        if (o->normalized)
            layer[count++] = sw_nn_batch_norm(m, to);
        layer[count++] = cnn_activation(m, o);
        layer[count++] = o->average ? sw_nn_avg_pool2d(m, 2) : sw_nn_max_pool2d(m, 2);
    }
    layer[count++] = sw_nn_flatten(m);
    int64_t features = 7 * 7 * 2 * o->channels;
    if (o->hidden > 0) {
        layer[count++] = sw_nn_dropout(m, o->dropout);
        layer[count++] = sw_nn_linear(m, features, o->hidden);
        layer[count++] = cnn_activation(m, o);
        features = o->hidden;
    }
    layer[count++] = sw_nn_linear(m, features, 10);
    sw_model_build(m, sw_nn_sequential_array(m, count, layer));
    return m;
}

typedef struct cnn_training {
    const char *estimator; /* NULL: minibatch */
    const char *rule, *schedule;
    int64_t batch, epochs; /* in an epoch, each sample of the objective is used once */
    uint64_t seed;         /* of the order of the samples */
    const char *what;      /* for the progress line */
} cnn_training;

/* Trains the parameters of the objective, or of a curve whose objective it is. */
static inline void cnn_train(const sw_objective *f, sw_params *params, const cnn_training *how,
                             cli_progress *progress) {
    char estimator[160];
    double loss = NAN;
    const int64_t steps = (f->n + how->batch - 1) / how->batch;
    snprintf(estimator, sizeof estimator, "%s batch=%lld", how->estimator ? how->estimator : "minibatch",
             (long long)how->batch);
    const sw_optim_options of =
        SW_OPTIONS(sw_optim_options, .estimator = estimator, .rule = how->rule, .schedule = how->schedule,
                   .seed = how->seed, .total_steps = how->epochs * steps);
    sw_optim *optim = sw_error() ? NULL : sw_optim_new_with_options(params, &of);
    for (int64_t epoch = 1; epoch <= how->epochs && !sw_error(); epoch++) {
        for (int64_t step = 0; step < steps && !sw_error(); step++)
            sw_optim_minimize(optim, f, &loss);
        cli_progress_draw(progress, how->what, epoch, how->epochs, epoch, how->epochs, loss);
    }
    sw_optim_free(optim);
}

/* The first pictures of a source, which must outlive them; NULL after an error. */
static inline sw_source *cnn_first(sw_source *source, int64_t count) {
    return sw_error() ? NULL : sw_take(source, count, NULL);
}

#endif
