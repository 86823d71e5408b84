/* A small problem, and runs on it that are stopped, saved, loaded and resumed. Include it first. */
#ifndef TEST_SAVED_RUNS_H
#define TEST_SAVED_RUNS_H

#define _GNU_SOURCE
#include "json_memory.h"

#include "files.h"

#include <swale/extend.h>
#include <swale/nn.h>
#include <swale/optim.h>

/* Replaces fsync by a function that does not wait for the disk, because hundreds of files are saved. */
int fsync(int file) {
    return file < 0 ? -1 : 0;
}

/* ---- A small problem: logistic regression, a generalized linear model optionally with dropout ---- */

enum { N = 12, FEATURES = 3, OUTPUTS = 2, STEPS = 7, STOP = 4 };

typedef struct problem {
    sw_params *params;
    sw_objective f;
    double a[N][FEATURES];
    int32_t y[N];
    bool plain;   /* not a generalized linear model, but a loss with dropout */
    int poisoned; /* the number of the evaluation that returns NaN; 0: none */
    int calls;
} problem;

static inline sw_array rows_of(problem *p, sw_dtype type, const int64_t *ids, int64_t count, void *out) {
    for (int64_t i = 0; i < count * FEATURES; i++) {
        const double v = p->a[ids ? ids[i / FEATURES] : i / FEATURES][i % FEATURES];
        if (type == SW_F32)
            ((float *)out)[i] = (float)v;
        else
            ((double *)out)[i] = v;
    }
    return sw_array_view(out, type, 2, (int64_t[]){count, FEATURES});
}

static inline sw_tensor rows(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    problem *p = user;
    double block[N * FEATURES];
    return sw_input_copy(tape, rows_of(p, sw_params_type(p->params), ids, count, block));
}

static inline sw_tensor head(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count) {
    problem *p = user;
    int32_t y[N];
    for (int64_t i = 0; i < count; i++)
        y[i] = p->y[ids ? ids[i] : i];
    sw_tensor loss = sw_cross_entropy(z, sw_input_copy(tape, sw_array_view(y, SW_I32, 1, &count)));
    return ++p->calls == p->poisoned ? sw_scale(loss, (double)NAN) : loss;
}

static inline sw_tensor loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    problem *p = user;
    sw_tensor x = rows(user, tape, ids, count);
    if (p->plain)
        x = sw_dropout(x, 0.3, 7);
    sw_tensor z = sw_linear(x, sw_param_use(tape, sw_params_find(p->params, "w")),
                            sw_param_use(tape, sw_params_find(p->params, "b")));
    return head(user, tape, z, ids, count);
}

static inline void open_problem(problem *p, sw_dtype type, bool plain) {
    *p = (problem){.plain = plain};
    uint64_t random = 5;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < FEATURES; j++)
            p->a[i][j] = (double)(float)test_uniform(&random, -1, 1);
        p->y[i] = p->a[i][0] + 0.3 * p->a[i][1] > 0;
    }
    p->params = sw_params_new(type, 3);
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT},
                           bias = {.size = sizeof bias, .role = SW_ROLE_BIAS};
    sw_params_add(p->params, "w", 2, (int64_t[]){OUTPUTS, FEATURES}, &weight);
    sw_params_add(p->params, "b", 1, (int64_t[]){OUTPUTS}, &bias);
    assert_int_equal(sw_params_build(p->params), SW_OK);
    for (int64_t i = 0; i < sw_params_dim(p->params); i++) {
        const double v = (double)(float)test_uniform(&random, -0.5, 0.5);
        if (sw_params_type(p->params) == SW_F32)
            ((float *)sw_params_x(p->params))[i] = (float)v;
        else
            ((double *)sw_params_x(p->params))[i] = v;
    }
    sw_params_mark_changed(p->params);
    p->f = (sw_objective){.size = sizeof p->f, .n = N, .params = p->params, .user = p, .loss = loss};
    if (!plain) {
        p->f.features = FEATURES;
        p->f.outputs = OUTPUTS;
        p->f.bias = true;
        p->f.rows = rows;
        p->f.head = head;
    }
}

/* ---- An uninterrupted run, and a run with a stop ---- */

typedef struct run {
    problem p;
    sw_optim *o;
} run;

/* A combination that an optimizer refuses when it is made, or in its first step, is not tested. */
static inline bool open_run(run *r, sw_dtype type, bool plain, const sw_optim_options *how) {
    open_problem(&r->p, type, plain);
    r->o = sw_optim_new_with_options(r->p.params, how);
    return r->o && sw_optim_bind(r->o, &r->p.f) == SW_OK;
}

static inline void close_run(run *r) {
    sw_optim_free(r->o);
    sw_params_free(r->p.params);
}

static inline sw_status go(run *r, int steps) {
    for (int i = 0; i < steps; i++) {
        sw_status status = sw_optim_minimize(r->o, &r->p.f, NULL);
        if (status != SW_OK && status != SW_SKIPPED)
            return status;
    }
    return SW_OK;
}

static inline size_t params_size(const sw_params *p) {
    return (size_t)sw_params_dim(p) * sw_dtype_size(sw_params_type(p));
}

static inline uint64_t point_hash(run *r) {
    const void *point = sw_optim_point(r->o);
    assert_non_null(point);
    return test_hash(TEST_HASH, point, params_size(r->p.params));
}

static const char *save(run *r, const char *name) {
    const char *path = path_of(name);
    if (sw_optim_save(r->o, path) != SW_OK)
        fail_msg("%s", sw_error());
    return path;
}

static const char *text_of(const sw_optim_options *how) {
    static char text[600];
    snprintf(text, sizeof text, "estimator \"%s\", rule \"%s\", schedule \"%s\", average \"%s\"",
             how->estimator ? how->estimator : "", how->rule ? how->rule : "", how->schedule ? how->schedule : "",
             how->average ? how->average : "");
    return text;
}

/* False if the combination is refused. The files at the end of both runs contain all state, so that equal files mean
 * equal runs. */
static inline bool resumes(sw_dtype type, bool plain, int poisoned, const sw_optim_options *how) {
    run straight = {0}, first = {0}, second = {0};
    if (!open_run(&straight, type, plain, how) || go(&straight, 1) != SW_OK) {
        assert_non_null(sw_error());
        sw_clear_error();
        close_run(&straight);
        return false;
    }
    close_run(&straight);
    assert_true(open_run(&straight, type, plain, how));
    straight.p.poisoned = poisoned;
    if (go(&straight, STOP) != SW_OK)
        fail_msg("%s: %s", text_of(how), sw_error());
    const uint64_t point = point_hash(&straight);
    const double norm = sw_optim_gradient_norm(straight.o);
    if (go(&straight, STEPS - STOP) != SW_OK)
        fail_msg("%s: %s", text_of(how), sw_error());

    assert_true(open_run(&first, type, plain, how));
    first.p.poisoned = poisoned;
    assert_int_equal(go(&first, STOP), SW_OK);
    const char *stop = save(&first, "stop");
    assert_true(open_run(&second, type, plain, how));
    second.p.poisoned = poisoned;
    second.p.calls = first.p.calls;
    memset(sw_params_x(second.p.params), 0x11, params_size(second.p.params));
    if (sw_optim_load(second.o, stop) != SW_OK)
        fail_msg("%s: %s", text_of(how), sw_error());
    remove_file(stop);
    bytes stopped = read_file(save(&first, "first")), loaded = read_file(save(&second, "second"));
    if (stopped.size != loaded.size || memcmp(stopped.at, loaded.at, loaded.size) != 0)
        fail_msg("%s: the state is another after loading", text_of(how));
    free(stopped.at), free(loaded.at);
    if (point_hash(&second) != point)
        fail_msg("%s: the point is another after loading", text_of(how));
    assert_true(norm == sw_optim_gradient_norm(second.o) || isnan(norm));
    assert_int_equal(go(&second, STEPS - STOP), SW_OK);
    stopped = read_file(save(&straight, "first"));
    loaded = read_file(save(&second, "second"));
    if (stopped.size != loaded.size || memcmp(stopped.at, loaded.at, loaded.size) != 0 ||
        point_hash(&straight) != point_hash(&second))
        fail_msg("%s: the run went on in another way", text_of(how));
    free(stopped.at), free(loaded.at);
    remove_file(path_of("first"));
    remove_file(path_of("second"));
    close_run(&straight), close_run(&first), close_run(&second);
    expect_no_error();
    return true;
}

#define HOW(...) \
    (&(const sw_optim_options){.size = sizeof(sw_optim_options), .seed = 11, .total_steps = STEPS, __VA_ARGS__})

#endif
