/* f(x) = ½ xᵀAx + bᵀx without a tape, where A = QΛQ with Q = I - 2uuᵀ/‖u‖², so that the eigenvalues are known. */
#ifndef TEST_OPTIM_QUADRATIC_H
#define TEST_OPTIM_QUADRATIC_H

#include "helpers.h"

#include <swale/landscape.h>

#include <float.h>

enum { QUADRATIC_DIM = 60 };

typedef struct quadratic {
    sw_objective f;
    double lambda[QUADRATIC_DIM], b[QUADRATIC_DIM], A[QUADRATIC_DIM][QUADRATIC_DIM];
} quadratic;

static inline sw_status quadratic_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                           double *value, void *g) {
    const quadratic *q = user;
    const sw_dtype type = sw_params_type(q->f.params);
    (void)ids, (void)count, (void)draw;
    *value = 0;
    for (int i = 0; i < QUADRATIC_DIM; i++) {
        double row = 0;
        for (int j = 0; j < QUADRATIC_DIM; j++)
            row += q->A[i][j] * vec_get(type, x, j);
        *value += vec_get(type, x, i) * (row / 2 + q->b[i]);
        if (g)
            vec_set(type, g, i, row + q->b[i]);
    }
    return SW_OK;
}

/* Eigenvalues in descending order; `rotated`: A is not diagonal. b is 0. */
static inline void quadratic_init(quadratic *q, sw_dtype type, double (*eigenvalue)(int i), bool rotated) {
    double u[QUADRATIC_DIM], square = 0;
    uint64_t seed = 5;
    for (int i = 0; i < QUADRATIC_DIM; i++) {
        q->lambda[i] = eigenvalue(i);
        u[i] = rotated ? test_uniform(&seed, -1, 1) : 0;
        square += u[i] * u[i];
        q->b[i] = 0;
    }
    for (int i = 0; i < QUADRATIC_DIM; i++)
        for (int j = 0; j < QUADRATIC_DIM; j++) {
            q->A[i][j] = 0;
            for (int k = 0; k < QUADRATIC_DIM; k++) {
                const double left = (i == k) - (rotated ? 2 * u[i] * u[k] / square : 0),
                             right = (j == k) - (rotated ? 2 * u[j] * u[k] / square : 0);
                q->A[i][j] += left * q->lambda[k] * right;
            }
        }
    sw_params *params = sw_params_new(type, 1);
    sw_params_add(params, "a", SW_SHAPE(5, 6), NULL);
    sw_params_add(params, "b", SW_SHAPE(QUADRATIC_DIM - 30), NULL);
    assert_ok(sw_params_build(params));
    for (int i = 0; i < QUADRATIC_DIM; i++)
        vec_set(type, sw_params_x(params), i, test_uniform(&seed, -1, 1));
    q->f = (sw_objective){
        .size = sizeof(sw_objective), .n = 1, .params = params, .user = q, .gradient = quadratic_gradient};
}

#endif
