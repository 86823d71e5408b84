/* A network with batch normalization after its first layer, so that the running statistics depend on the parameters,
 * and the expected statistics, computed in plain C and f64. Included first. */
#ifndef TEST_BATCH_NORM_NET_H
#define TEST_BATCH_NORM_NET_H

#include "support.h"

#include <swale/extend.h>
#include <swale/nn.h>
#include <swale/optim.h>

#include "batch_norm.h"

enum { FEATURES = 4, HIDDEN = 5, CLASSES = 3, FEW = 24, MANY = 2300, LOOKS = 4096 };
static const sw_dtype both_types[2] = {SW_F32, SW_F64};
static bool net_has_layer_of_library; /* else the layer of batch_norm.h */

typedef struct net {
    sw_source source; /* first: gather gets a pointer to it */
    sw_model *model;
    sw_params *params;
    sw_module *norm, *root;
    sw_param *weight, *bias, *mean, *variance;
    const sw_objective *plain; /* of sw_model_objective */
    sw_objective objective;    /* the same, watched */
    double x[MANY][FEATURES];
    /* The samples from which the statistics of the step come: the first `expected` ones that were evaluated at x, in
     * calls with at most as many samples. */
    int64_t expected, seen, ids[MANY];
    bool last;               /* the last ones instead of the first: a table is filled before them */
    int64_t calls, spoil_at; /* evaluations; the number of the one whose result is `spoil`, or which fails if `spoil` is
                              * 0; 0: none */
    double spoil;
} net;

static inline sw_status net_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                   sw_dtype type, void *x, void *y) {
    const net *n = (const net *)source;
    (void)draw;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; x && j < FEATURES; j++)
            sw_store_element(type, x, i * FEATURES + j, n->x[ids[i]][j]);
        if (y)
            ((int32_t *)y)[i] = (int32_t)(ids[i] % CLASSES);
    }
    return SW_OK;
}

/* Whether the vector that is bound to the tape has the numbers of x in the first layer. */
static inline bool net_is_at_x(const net *n, sw_tape *tape) {
    const sw_array w = sw_value(sw_param_use(tape, n->weight)), b = sw_value(sw_param_use(tape, n->bias));
    const size_t size = sw_dtype_size(w.type);
    return w.data && b.data && memcmp(w.data, sw_param_value(n->weight).data, (size_t)n->weight->count * size) == 0 &&
           memcmp(b.data, sw_param_value(n->bias).data, (size_t)n->bias->count * size) == 0;
}

static inline sw_tensor net_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    net *n = user;
    if (n->last && n->seen == n->expected)
        n->seen = 0;
    if (net_is_at_x(n, tape) && count <= n->expected - n->seen)
        for (int64_t i = 0; i < count; i++)
            n->ids[n->seen++] = ids[i];
    sw_tensor loss = n->plain->loss(n->plain->user, tape, ids, count);
    if (++n->calls != n->spoil_at)
        return loss;
    if (n->spoil != 0)
        return sw_scale(loss, n->spoil);
    sw_fail(SW_ERR_USER, "the loss failed");
    return (sw_tensor){0};
}

static inline sw_tensor net_tanh(sw_module *m, sw_tensor x) {
    (void)m;
    return sw_tanh(x);
}
static const sw_module_type net_tanh_type = {.size = sizeof(sw_module_type), .name = "tanh", .forward = net_tanh};

/* The buffers of the layer: mean, variance, count. */
static inline const char *net_buffer(int index) {
    static const char *const names[2][3] = {{"norm1.mean", "norm1.variance", "norm1.count"},
                                            {"norm1.running_mean", "norm1.running_var", "norm1.num_batches_tracked"}};
    return names[net_has_layer_of_library][index];
}

static inline sw_module *net_norm(sw_model *model, double momentum) {
    if (!net_has_layer_of_library)
        return batch_norm_new(model, momentum);
    const sw_batch_norm_options options = {
        .size = sizeof options, .eps = batch_norm_eps, .momentum = momentum, .cumulative = momentum == 0};
    return sw_module_set_name(sw_nn_batch_norm_with_options(model, 0, &options), "norm1");
}

static inline net *net_new(sw_dtype type, int64_t samples, double momentum) {
    net *n = calloc(1, sizeof *n);
    assert_non_null(n);
    uint64_t seed = 7;
    for (int64_t i = 0; i < MANY; i++)
        for (int j = 0; j < FEATURES; j++)
            n->x[i][j] = (double)(float)(test_uniform(&seed, -1, 1) + 0.3 * j + 0.2 * (double)(i % 3));
    n->source = (sw_source){.size = sizeof(sw_source),
                            .n = samples,
                            .x_rank = 1,
                            .x_shape = {FEATURES},
                            .y_type = SW_I32,
                            .classes = CLASSES,
                            .gather = net_gather,
                            .fixed = true};
    n->model = sw_model_new(type, 5);
    sw_module *first = sw_nn_linear(n->model, FEATURES, HIDDEN);
    n->norm = net_norm(n->model, momentum);
    n->root = sw_nn_sequential(n->model, first, n->norm, sw_module_new(n->model, &net_tanh_type, 0),
                               sw_nn_linear(n->model, HIDDEN, CLASSES));
    n->params = sw_model_build(n->model, n->root);
    if (!n->params)
        fail_msg("%s", sw_error());
    n->weight = sw_params_find(n->params, "linear1.weight");
    n->bias = sw_params_find(n->params, "linear1.bias");
    n->mean = sw_params_find(n->params, net_buffer(0));
    n->variance = sw_params_find(n->params, net_buffer(1));
    assert_true(n->weight && n->bias && n->mean && n->variance);
    n->plain = sw_model_objective(n->model, &n->source, sw_cross_entropy);
    assert_non_null(n->plain);
    n->objective =
        (sw_objective){.size = sizeof(sw_objective), .n = samples, .params = n->params, .user = n, .loss = net_loss};
    return n;
}

static inline void net_free(net *n) {
    if (n)
        sw_model_free(n->model);
    free(n);
}

static inline size_t net_bytes(const net *n) {
    return (size_t)sw_params_dim(n->params) * sw_dtype_size(sw_params_type(n->params));
}

/* ---- Expected running statistics ---- */

typedef struct moments {
    double mean[HIDDEN], variance[HIDDEN]; /* variance: unbiased */
} moments;

/* The moments of the first layer's outputs for these samples, with the parameters in `vector`. */
static inline moments net_moments(const net *n, const void *vector, const int64_t *ids, int64_t count) {
    const sw_dtype type = sw_params_type(n->params);
    moments m = {{0}, {0}};
    for (int k = 0; k < HIDDEN; k++) {
        double sum = 0, squares = 0;
        double *z = malloc((size_t)count * sizeof *z);
        assert_non_null(z);
        for (int64_t i = 0; i < count; i++) {
            z[i] = sw_load_element(type, vector, n->bias->offset + k);
            for (int j = 0; j < FEATURES; j++)
                z[i] += sw_load_element(type, vector, n->weight->offset + k * FEATURES + j) * n->x[ids[i]][j];
            sum += z[i];
        }
        m.mean[k] = sum / (double)count;
        for (int64_t i = 0; i < count; i++)
            squares += (z[i] - m.mean[k]) * (z[i] - m.mean[k]);
        m.variance[k] = squares / (double)(count - 1);
        free(z);
    }
    return m;
}

/* Outputs of the first layer are below 4, and each is the sum of 5 terms, so that its error is at most 5·4 u, where u
 * is the unit roundoff. The error of a variance is 2·4 times as large. A mean over many adds no error of that size,
 * because it is computed in f64. */
static inline double net_tolerance(sw_dtype type) {
    return (type == SW_F32 ? 0x1p-24 : MANY * 0x1p-53) * 2 * 4 * 5 * 4;
}

static inline void assert_close(const char *what, int step, double value, double expected, double tolerance) {
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%s, step %d: %.12g, %.12g expected, %.1g allowed", what, step, value, expected, tolerance);
}

/* Asserts that the buffers are those in `before`, updated once with these statistics. */
static inline void assert_moved(const net *n, const char *what, int step, const void *before, const moments *m,
                                double momentum) {
    const sw_dtype type = sw_params_type(n->params);
    const void *x = sw_params_x(n->params);
    for (int k = 0; k < HIDDEN; k++) {
        const double mean = sw_load_element(type, before, n->mean->offset + k),
                     variance = sw_load_element(type, before, n->variance->offset + k);
        assert_close(what, step, sw_load_element(type, x, n->mean->offset + k),
                     (1 - momentum) * mean + momentum * m->mean[k], net_tolerance(type));
        assert_close(what, step, sw_load_element(type, x, n->variance->offset + k),
                     (1 - momentum) * variance + momentum * m->variance[k], net_tolerance(type));
    }
}

/* Asserts that the buffers, the last elements of x, have the bits of `before`. */
static inline void assert_buffers_equal(const net *n, const void *before) {
    const size_t size = sw_dtype_size(sw_params_type(n->params));
    const size_t first = (size_t)(sw_params_dim(n->params) - sw_params_buffer_dim(n->params)) * size;
    assert_memory_equal((const char *)sw_params_x(n->params) + first, (const char *)before + first,
                        net_bytes(n) - first);
}

static inline void *net_copy(const net *n) {
    void *copy = malloc(net_bytes(n));
    assert_non_null(copy);
    memcpy(copy, sw_params_x(n->params), net_bytes(n));
    return copy;
}

/* ---- Steps ---- */

#define MOMENTUM 0.125 /* exact, and so is 1 - MOMENTUM */

typedef struct entry {
    const char *estimator, *rule, *schedule, *average;
    int64_t samples;
} entry;

static inline sw_optim *make_optim(const entry *e, const net *n) {
    sw_optim *o = sw_optim_new_with_options(n->params, &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                           .estimator = e->estimator,
                                                                           .rule = e->rule,
                                                                           .schedule = e->schedule,
                                                                           .average = e->average,
                                                                           .seed = 3,
                                                                           .total_steps = 7});
    if (!o)
        fail_msg("%s: %s", e->estimator, sw_error());
    assert_int_equal(sw_optim_bind(o, &n->objective), SW_OK);
    return o;
}

/* The number of samples of the step: a batch of the epoch, or all. */
static inline int64_t batch_of(const entry *e, const net *n, const sw_optim *o) {
    const char *at = strstr(e->estimator, "batch=");
    if (!at)
        return n->source.n;
    const int64_t batch = strtol(at + 6, NULL, 10);
    if (strstr(e->estimator, "sag") || strstr(e->estimator, "lipschitz"))
        return batch;
    const int64_t position = llround(sw_optim_epoch(o) * (double)n->source.n) % n->source.n;
    return n->source.n - position < batch ? n->source.n - position : batch;
}

static inline sw_status one_step(const entry *e, net *n, sw_optim *o) {
    n->expected = batch_of(e, n, o);
    n->seen = 0;
    n->last = strstr(e->estimator, "init=") != NULL;
    return sw_optim_minimize(o, &n->objective, NULL);
}

static inline void take_steps(const entry *e, net *n, sw_optim *o, int steps) {
    for (int i = 0; i < steps; i++)
        assert_int_equal(one_step(e, n, o), SW_OK);
}

#endif
