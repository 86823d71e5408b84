/* Logistic regression for the tests of estimators: a loss on the tape with its penalty, or a generalized linear model
 * whose penalty is in the rule; and value and gradient in plain loops. */
#ifndef TEST_LOGISTIC_H
#define TEST_LOGISTIC_H

#include "helpers.h"

#include "golden/logistic_optimum.h"
#include <swale/datasets.h>

typedef struct logistic {
    sw_objective f;
    sw_params *params;
    int64_t m, n;
    double mu;     /* the penalty in the loss; 0 for a generalized linear model */
    double *a, *y; /* [m, n], [m] of -1 and 1 */
    int64_t most;  /* the largest number of rows in one call */
} logistic;

static inline sw_tensor logistic_rows(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    logistic *p = user;
    const sw_dtype type = sw_params_type(p->params);
    p->most = count > p->most ? count : p->most;
    sw_tensor rows = sw_empty(tape, type, SW_SHAPE(count, p->n));
    void *data = sw_value(rows).data;
    for (int64_t i = 0; data && i < count; i++)
        for (int64_t j = 0; j < p->n; j++)
            vec_set(type, data, i * p->n + j, p->a[ids[i] * p->n + j]);
    return rows;
}

static inline sw_tensor logistic_head(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count) {
    const logistic *p = user;
    const sw_dtype type = sw_params_type(p->params);
    sw_tensor minus_y = sw_empty(tape, type, SW_SHAPE(count, 1));
    void *data = sw_value(minus_y).data;
    for (int64_t i = 0; data && i < count; i++)
        vec_set(type, data, i, -p->y[ids[i]]);
    return sw_mean(sw_softplus(sw_mul(minus_y, z)));
}

static inline sw_tensor logistic_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const logistic *p = user;
    sw_tensor w = sw_param_use(tape, sw_params_at(p->params, 0));
    sw_tensor z = sw_linear(logistic_rows(user, tape, ids, count), w, (sw_tensor){0});
    sw_tensor loss = logistic_head(user, tape, z, ids, count);
    return p->mu > 0 ? sw_add(loss, sw_scale(sw_sum(sw_mul(w, w)), p->mu / 2)) : loss;
}

/* glm: the problem has rows and head instead of the loss, and mu is an option of the rule. x starts at 0. */
static inline logistic *logistic_of(sw_dtype type, int64_t m, int64_t n, double mu, bool glm) {
    logistic *p = calloc(1, sizeof *p);
    assert_non_null(p);
    *p = (logistic){.params = sw_params_new(type, 1),
                    .m = m,
                    .n = n,
                    .mu = glm ? 0 : mu,
                    .a = calloc((size_t)(m * n), sizeof(double)),
                    .y = calloc((size_t)m, sizeof(double))};
    assert_non_null(p->a);
    assert_non_null(p->y);
    assert_non_null(sw_params_add(p->params, "w", SW_SHAPE(1, n), NULL));
    assert_ok(sw_params_build(p->params));
    p->f = (sw_objective){.size = sizeof p->f, .n = m, .params = p->params, .user = p};
    if (glm) {
        p->f.features = n;
        p->f.outputs = 1;
        p->f.rows = logistic_rows;
        p->f.head = logistic_head;
    } else {
        p->f.loss = logistic_loss;
    }
    return p;
}

/* The problem of the lecture: m = 200, n = 10. */
static inline logistic *logistic_new(sw_dtype type, double mu, bool glm) {
    logistic *p = logistic_of(type, 200, 10, mu, glm);
    sw_source *source = sw_logistic_samples(&(sw_logistic_samples_options){
        .size = sizeof(sw_logistic_samples_options), .n = p->m, .features = p->n, .seed = 5});
    assert_non_null(source);
    for (int64_t i = 0; i < p->m; i++)
        assert_ok(sw_source_gather(source, SW_F64, 0, &i, 1, p->a + i * p->n, p->y + i));
    sw_source_free(source);
    return p;
}

static inline logistic *logistic_golden(double mu, bool glm) {
    logistic *p = logistic_of(SW_F64, OPTIMUM_M, OPTIMUM_N, mu, glm);
    for (int64_t i = 0; i < p->m * p->n; i++)
        p->a[i] = optimum_a[i] / 1024.0;
    for (int64_t i = 0; i < p->m; i++)
        p->y[i] = optimum_y[i];
    return p;
}

static inline void logistic_free(logistic *p) {
    if (p) {
        sw_params_free(p->params);
        free(p->a);
        free(p->y);
        free(p);
    }
}

/* L of f_i with its penalty, ¼‖a_i‖² + μ. */
static inline double logistic_l(const logistic *p, int64_t i, double mu) {
    double square = 0;
    for (int64_t j = 0; j < p->n; j++)
        square += p->a[i * p->n + j] * p->a[i * p->n + j];
    return square / 4 + mu;
}

static inline double logistic_largest_l(const logistic *p, double mu) {
    double most = 0;
    for (int64_t i = 0; i < p->m; i++)
        most = fmax(most, logistic_l(p, i, mu));
    return most;
}

/* Returns f(x) over samples [first, last), in f64; if g is not NULL, it receives the gradient. */
static inline double logistic_part(const logistic *p, double mu, const double *x, int64_t first, int64_t last,
                                   double *g) {
    double value = 0, m = (double)(last - first);
    for (int64_t j = 0; j < p->n; j++) {
        value += mu / 2 * x[j] * x[j];
        if (g)
            g[j] = mu * x[j];
    }
    for (int64_t i = first; i < last; i++) {
        double z = 0;
        for (int64_t j = 0; j < p->n; j++)
            z += p->a[i * p->n + j] * x[j];
        z *= p->y[i];
        value += (z > 0 ? log1p(exp(-z)) : log1p(exp(z)) - z) / m;
        for (int64_t j = 0; g && j < p->n; j++)
            g[j] -= p->y[i] / (1 + exp(z)) / m * p->a[i * p->n + j];
    }
    return value;
}

enum { LOGISTIC_MOST = 64 };

static inline void logistic_x(const logistic *p, double *x) {
    for (int64_t j = 0; j < p->n; j++)
        x[j] = vec_get(sw_params_type(p->params), sw_params_x(p->params), j);
}

/* ‖∇f‖ at the parameters. */
static inline double logistic_gradient_norm(const logistic *p, double mu) {
    double x[LOGISTIC_MOST] = {0}, g[LOGISTIC_MOST] = {0}, square = 0;
    logistic_x(p, x);
    logistic_part(p, mu, x, 0, p->m, g);
    for (int64_t j = 0; j < p->n; j++)
        square += g[j] * g[j];
    return sqrt(square);
}

static inline sw_optim *optim_of(sw_params *params, const char *estimator, const char *rule, uint64_t seed) {
    sw_optim *o = sw_optim_new_with_options(
        params,
        &(sw_optim_options){.size = sizeof(sw_optim_options), .rule = rule, .estimator = estimator, .seed = seed});
    if (!o)
        fail_msg("%s: %s", estimator, sw_error());
    return o;
}

#endif
