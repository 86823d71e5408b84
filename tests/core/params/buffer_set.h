/* A set of parameters with buffers, and rows of data whose mean and variance are computed in plain C. Included after
 * support.h. */
#ifndef TEST_BUFFER_SET_H
#define TEST_BUFFER_SET_H

#include <swale/archive.h>
#include <swale/extend.h>

#include "helpers.h"

static const sw_dtype types[2] = {SW_F32, SW_F64};

/* w [2,3] and b [2]; the buffers mean [4] and variance [4], declared before and between them, and the scalar count. */
enum { CHANNELS = 4, DIM = 6 + 2 + CHANNELS + CHANNELS + 1 };
typedef struct set {
    sw_params *p;
    sw_param *w, *mean, *b, *variance, *count;
    sw_tape *tape;
} set;

static inline sw_param *add(sw_params *p, const char *name, int rank, const int64_t *shape, bool buffer) {
    const sw_param_options options = {.size = sizeof options, .buffer = buffer};
    sw_param *param = sw_params_add(p, name, rank, shape, &options);
    assert_non_null(param);
    return param;
}

static inline void fill(const sw_param *p, double value) {
    const sw_array a = sw_param_value(p);
    for (int64_t i = 0; i < p->count; i++)
        test_set(&a, i, value);
}

static inline set set_new(sw_dtype type) {
    set s = {.p = sw_params_new(type, 3)};
    s.mean = add(s.p, "norm.mean", SW_SHAPE(CHANNELS), true);
    s.w = add(s.p, "w", SW_SHAPE(2, 3), false);
    s.variance = add(s.p, "norm.variance", SW_SHAPE(CHANNELS), true);
    s.b = add(s.p, "b", SW_SHAPE(2), false);
    s.count = add(s.p, "norm.count", 0, NULL, true);
    assert_int_equal(sw_params_build(s.p), SW_OK);
    fill(s.variance, 1);
    s.tape = sw_tape_new();
    assert_non_null(s.tape);
    return s;
}

static inline void set_free(set *s) {
    sw_tape_free(s->tape);
    sw_params_free(s->p);
}

static inline double at(const sw_param *p, int64_t i) {
    const sw_array a = sw_param_value(p);
    return test_get(&a, i);
}

/* ---- Data and their statistics, in plain C ---- */

enum { ROWS = 37 };
typedef struct data {
    double x[ROWS][CHANNELS];
} data;

static inline data some_data(void) {
    data d;
    uint64_t seed = 11;
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < CHANNELS; k++)
            d.x[i][k] = test_uniform(&seed, -1, 1) * (k + 1) + 100.0 * k + 0.5 * i; /* the means of the parts differ */
    return d;
}

static inline void moments_of(const data *d, int first, int count, double *mean, double *variance) {
    for (int k = 0; k < CHANNELS; k++) {
        double sum = 0, squares = 0;
        for (int i = first; i < first + count; i++)
            sum += d->x[i][k];
        mean[k] = sum / count;
        for (int i = first; i < first + count; i++)
            squares += (d->x[i][k] - mean[k]) * (d->x[i][k] - mean[k]);
        variance[k] = squares / count;
    }
}

static inline sw_array channels(double *values) {
    return sw_array_view(values, SW_F64, SW_SHAPE(CHANNELS));
}

static inline sw_status put_rows(const set *s, sw_tape *tape, const data *d, int first, int count, bool unbiased,
                                 double momentum) {
    double mean[CHANNELS], variance[CHANNELS];
    moments_of(d, first, count, mean, variance);
    return sw_tape_put_moments(tape, s->mean, s->variance,
                               &SW_OPTIONS(sw_batch_moments, .mean = channels(mean), .variance = channels(variance),
                                           .weight = count, .unbiased = unbiased),
                               momentum);
}

static inline void assert_close(double value, double expected, double tolerance) {
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.17g, %.17g expected, %.1g allowed", value, expected, tolerance);
}

/* ---- Reports ---- */

static inline void put_mean(const set *s) {
    double values[CHANNELS] = {1, 2, 3, 4};
    assert_int_equal(sw_tape_put_statistic(s->tape, s->mean, channels(values), 5, 0.5), SW_OK);
}

static inline void assert_nothing_pending(const set *s) {
    double x[DIM], copy[DIM];
    memcpy(x, sw_params_x(s->p), sizeof x);
    memcpy(copy, x, sizeof x);
    assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(s->p), x, NAN), SW_OK);
    assert_memory_equal(x, copy, sizeof x);
}

static inline sw_status like_input(sw_call *c) {
    return sw_call_set_shape_like(c, 0);
}
static inline sw_status copy_forward(sw_call *c) {
    memcpy(c->out->data, c->in[0]->data, (size_t)c->out->count * sw_dtype_size(c->out->type));
    return SW_OK;
}
static inline void refused(sw_status status, sw_status expected, const char *message) {
    assert_int_equal(status, expected);
    expect_error(expected, message);
}

#endif
