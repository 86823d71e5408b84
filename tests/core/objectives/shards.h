/* The problem of the tests of shards: softmax regression with class weights, ignored samples and dropout. */
#ifndef TEST_OBJECTIVES_SHARDS_H
#define TEST_OBJECTIVES_SHARDS_H

#include "support.h"

#include <swale/extend.h>

enum { SAMPLES = 37, FEATURES = 9, CLASSES = 3, DIM = CLASSES * (FEATURES + 1), MOST_SHARDS = 9 };
static const sw_dtype types[2] = {SW_F32, SW_F64};

typedef enum kind { WEIGHTED, SUMMED, TWO_RATIOS, MEAN_OR_SUM } kind;

typedef struct problem {
    sw_objective f;
    sw_params *params;
    sw_tape *tape;
    sw_gradient *g;
    double rows[SAMPLES][FEATURES];
    int32_t label[SAMPLES];
    kind kind;
    bool ignore_all;
    int evaluations;
} problem;

static const double class_weights[CLASSES] = {0.5, 2, 3};

static inline sw_tensor problem_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    problem *p = user;
    const sw_dtype type = sw_params_type(p->params);
    sw_tensor x = sw_empty(tape, type, 2, (int64_t[]){count, FEATURES}), y = sw_empty(tape, SW_I32, 1, &count);
    sw_array a = sw_value(x), b = sw_value(y);
    for (int64_t i = 0; a.data && b.data && i < count; i++) {
        for (int j = 0; j < FEATURES; j++)
            test_set(&a, i * FEATURES + j, p->rows[ids[i]][j]);
        test_set(&b, i, p->ignore_all ? -1 : p->label[ids[i]]);
    }
    p->evaluations++;
    x = sw_dropout(sw_reshape(x, SW_SHAPE(3 * count, FEATURES / 3)), 0.4, 3); /* three tokens of a sample */
    sw_tensor z = sw_linear(sw_reshape(x, SW_SHAPE(count, FEATURES)), sw_param_use(tape, sw_params_at(p->params, 0)),
                            sw_param_use(tape, sw_params_at(p->params, 1)));
    const bool sum = p->kind == SUMMED || (p->kind == MEAN_OR_SUM && ids[0] != 0);
    sw_tensor loss = sw_cross_entropy_with_options(
        z, y,
        &SW_OPTIONS(sw_cross_entropy_options, .reduction = sum ? SW_SUM : SW_MEAN, .ignore = true, .ignored_id = -1,
                    .class_weights = class_weights, .classes = CLASSES));
    return p->kind == TWO_RATIOS ? sw_add(loss, sw_mse(z, sw_detach(sw_scale(z, 0.5)))) : loss;
}

static inline problem *problem_new(sw_dtype type) {
    problem *p = calloc(1, sizeof *p);
    uint64_t random = 5;
    assert_non_null(p);
    p->params = sw_params_new(type, 1);
    assert_non_null(sw_params_add(p->params, "w", SW_SHAPE(CLASSES, FEATURES), NULL));
    assert_non_null(sw_params_add(p->params, "b", SW_SHAPE(CLASSES), NULL));
    assert_ok(sw_params_build(p->params));
    for (int i = 0; i < DIM; i++)
        vec_set(type, sw_params_x(p->params), i, (double)(float)test_uniform(&random, -1, 1));
    for (int i = 0; i < SAMPLES; i++) {
        for (int j = 0; j < FEATURES; j++)
            p->rows[i][j] = (double)(float)test_uniform(&random, -1, 1);
        p->label[i] = (int32_t)(test_random(&random) % (CLASSES + 1)) - 1;
    }
    for (int i = 10; i < 14; i++) /* a shard of four samples, of 9 shards, without weight */
        p->label[i] = -1;
    p->tape = sw_tape_new();
    p->g = sw_gradient_new(p->params);
    assert_true(p->tape && p->g);
    p->f = (sw_objective){.size = sizeof p->f, .n = SAMPLES, .params = p->params, .user = p, .loss = problem_loss};
    return p;
}

static inline void problem_free(problem *p) {
    sw_gradient_free(p->g);
    sw_tape_free(p->tape);
    sw_params_free(p->params);
    free(p);
}

static inline size_t vector_bytes(const problem *p) {
    return DIM * sw_dtype_size(sw_params_type(p->params));
}

#define SHARDS(n) (&SW_OPTIONS(sw_shard_options, .shards = (n)))
enum { DRAW = 77 };

#define REFUSED(status, call, text)         \
    do {                                    \
        assert_int_equal((call), (status)); \
        expect_error(status, text);         \
    } while (0)

static inline sw_gradient_node new_node(const problem *p) {
    sw_gradient_node n = {.size = sizeof n, .gradient = malloc(vector_bytes(p))};
    assert_non_null(n.gradient);
    return n;
}

#endif
