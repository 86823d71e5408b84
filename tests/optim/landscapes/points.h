/* A source of random points with classes for networks on landscapes. Before it is included, SAMPLES is their number,
 * and POINTS_END the end of the interval [-1, POINTS_END) of their features. */
#ifndef TEST_OPTIM_POINTS_H
#define TEST_OPTIM_POINTS_H

#include "helpers.h"

enum { FEATURES = 4, CLASSES = 3 };

static sw_status points_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                               void *x, void *y) {
    (void)source, (void)draw;
    for (int64_t i = 0; i < count; i++) {
        uint64_t seed = (uint64_t)ids[i] + 100;
        for (int64_t j = 0; x && j < FEATURES; j++)
            vec_set(type, x, i * FEATURES + j, test_uniform(&seed, -1, POINTS_END));
        if (y)
            ((int32_t *)y)[i] = (int32_t)(ids[i] % CLASSES);
    }
    return SW_OK;
}

static const sw_source points = {.size = sizeof(sw_source),
                                 .n = SAMPLES,
                                 .x_rank = 1,
                                 .x_shape = {FEATURES},
                                 .y_type = SW_I32,
                                 .classes = CLASSES,
                                 .gather = points_gather};

#endif
