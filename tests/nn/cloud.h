/* A source of samples in classes, and a small classifier for them. */
#ifndef TEST_NN_CLOUD_H
#define TEST_NN_CLOUD_H

#include "helpers.h"

enum { FEATURES = 5, CLASSES = 3 };
typedef struct cloud {
    sw_source source;
    bool fails;
} cloud;

static inline sw_status cloud_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                     sw_dtype type, void *x, void *y) {
    (void)draw;
    const cloud *c = (const cloud *)(const void *)source;
    const sw_array out = {.data = x, .type = type}, real = {.data = y, .type = type};
    if (c->fails && ids[count - 1] >= 1500)
        return sw_fail(SW_ERR_IO, "the disk is on fire");
    for (int64_t i = 0; i < count; i++) {
        uint64_t seed = (uint64_t)ids[i];
        for (int64_t j = 0; x && j < FEATURES; j++)
            test_set(&out, i * FEATURES + j, (double)(float)test_uniform(&seed, -1, 1));
        if (y && source->y_type == SW_I32)
            ((int32_t *)y)[i] = (int32_t)(ids[i] % CLASSES);
        else if (y)
            for (int64_t j = 0; j < CLASSES; j++)
                test_set(&real, i * CLASSES + j, (double)(ids[i] % 7) / 8);
    }
    return SW_OK;
}

static inline cloud cloud_of(int64_t n) {
    return (cloud){.source = {.size = sizeof(sw_source),
                              .n = n,
                              .x_rank = 1,
                              .x_shape = {FEATURES},
                              .y_type = SW_I32,
                              .classes = CLASSES,
                              .gather = cloud_gather}};
}

static inline sw_model *classifier(sw_dtype type) {
    sw_model *model = sw_model_new(type, 7);
    built(model, sw_nn_sequential(model, sw_nn_linear(model, FEATURES, 8), sw_nn_relu(model), sw_nn_dropout(model, 0.5),
                                  sw_nn_linear(model, 8, CLASSES), NULL));
    return model;
}

#endif
