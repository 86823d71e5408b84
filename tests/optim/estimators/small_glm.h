/* Small generalized linear models in memory: overlapping classes, sparse and dense rows of the same numbers. */
#ifndef TEST_SMALL_GLM_H
#define TEST_SMALL_GLM_H

#include "helpers.h"

#include <math.h>

enum { N = 90, D = 6, K = 3 };

typedef struct problem {
    double x[N * D], y[N];
    int32_t two[N], three[N];
    int64_t start[N + 1];
    int32_t column[N * D];
    double number[N * D];
} problem;

/* Approximately Gaussian features with standard deviation `scale`; classes that overlap. */
static inline problem *problem_new(double scale) {
    problem *p = calloc(1, sizeof *p);
    uint64_t seed = 3;
    int64_t k = 0;
    assert_non_null(p);
    for (int i = 0; i < N; i++) {
        double z = 0;
        for (int d = 0; d < D; d++) {
            const double v = (d + i) % 4 == 0 ? 0 : test_uniform(&seed, -1, 1) + test_uniform(&seed, -1, 1);
            p->x[i * D + d] = scale * v;
            z += (d - 2) * v;
            if (v != 0) {
                p->column[k] = d;
                p->number[k++] = scale * v;
            }
        }
        p->start[i + 1] = k;
        z += test_uniform(&seed, -2, 2);
        p->two[i] = z > 0;
        p->three[i] = z > 1 ? 2 : z > -1;
        p->y[i] = fabs(z);
    }
    return p;
}

static bool without_bias; /* for the models that are made next */

static inline sw_glm *glm_of(problem *p, sw_head head, sw_dtype type, bool sparse) {
    const sw_array x = sw_array_view(p->x, SW_F64, SW_SHAPE(N, D)),
                   y = head == SW_HEAD_MULTINOMIAL ? sw_array_view(p->three, SW_I32, SW_SHAPE(N))
                       : head == SW_HEAD_LOGISTIC || head == SW_HEAD_SQUARED_HINGE
                           ? sw_array_view(p->two, SW_I32, SW_SHAPE(N))
                           : sw_array_view(p->y, SW_F64, SW_SHAPE(N));
    const sw_csr csr = {N, D, p->start, p->column, p->number, SW_F64};
    const sw_glm_options how = {.size = sizeof how, .head = head, .no_bias = without_bias};
    sw_glm *m = sparse ? sw_glm_new_sparse(type, &csr, &y, &how) : sw_glm_new(type, &x, &y, &how);
    if (!m)
        fail_msg("%s", sw_error());
    return m;
}

static inline sw_optim *optim_of(sw_glm *m, const char *estimator, double decay, uint64_t seed) {
    char rule[128];
    snprintf(rule, sizeof rule,
             without_bias ? "sgd lr=auto weight_decay=%.17g"
                          : "role=weight: sgd lr=auto weight_decay=%.17g; sgd lr=auto",
             decay);
    return NEW_OPTIM(sw_glm_params(m), .estimator = estimator, .rule = rule, .seed = seed);
}

/* Computes ‖∇f + λW‖ in plain f64. */
static inline double norm_at(problem *p, sw_head head, sw_glm *m, double decay) {
    const sw_dtype type = sw_params_type(sw_glm_params(m));
    sw_glm *exact = glm_of(p, head, SW_F64, false);
    sw_params *q = sw_glm_params(exact);
    sw_gradient *g = sw_gradient_new(q);
    sw_tape *tape = sw_tape_new();
    double value, square = 0;
    const int64_t weights = sw_params_at(q, 0)->count;
    for (int64_t j = 0; j < sw_params_dim(q); j++)
        ((double *)sw_params_x(q))[j] = vec_get(type, sw_params_x(sw_glm_params(m)), j);
    assert_ok(sw_objective_gradient(sw_glm_objective(exact), tape, NULL, NULL, N, 0, &value, g));
    for (int64_t j = 0; j < sw_params_dim(q); j++) {
        const double v =
            ((const double *)sw_gradient_data(g))[j] + (j < weights ? decay * ((double *)sw_params_x(q))[j] : 0);
        square += v * v;
    }
    sw_gradient_free(g);
    sw_tape_free(tape);
    sw_glm_free(exact);
    return sqrt(square);
}

#endif
