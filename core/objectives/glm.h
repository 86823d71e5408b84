/* Generalized linear models (linear, logistic, softmax, Poisson regression and others) of samples in memory.
 *
 *     sw_glm *model = sw_glm_new(SW_F64, &x, &y, &SW_OPTIONS(sw_glm_options, .head = SW_HEAD_LOGISTIC));
 *     sw_optim *optim = sw_optim_new_with_options(
 *         sw_glm_params(model), &SW_OPTIONS(sw_optim_options, .rule = "sgd lr=auto", .estimator = "saga"));
 *     sw_optim_minimize_steps(optim, sw_glm_objective(model), steps, NULL);
 *     sw_array z = {0};
 *     sw_glm_predict(model, NULL, &x, &z);
 */
#ifndef SWALE_GLM_H
#define SWALE_GLM_H

#include <swale/objective.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A generalized linear model with its parameters "weight" [outputs, features] and "bias" [outputs], which start at
 * 0. */
typedef struct sw_glm sw_glm;
/* Options of a model. */
typedef struct sw_glm_options {
    size_t size; /* sizeof(sw_glm_options) */
    sw_head head;
    double delta;    /* δ of HUBER; 0: 1.35 */
    int64_t outputs; /* MULTINOMIAL: the number of classes; 0: the largest id + 1. Other heads: the columns of y */
    bool no_bias;
    /* [n] weights of the samples, not negative and not all 0; NULL: equal weights. They are copied and divided by their
     * mean: f = Σ w_i l_i / Σ w_i, whatever the batches. */
    const double *weight;
    const double *class_weight; /* [outputs], or [2] for a head with two classes: factors of the samples' weights */
} sw_glm_options;
/* Makes a model of type f32 or f64 from x [n, features] and y: class ids (i32, u8) [n] for LOGISTIC, MULTINOMIAL and
 * SQUARED_HINGE; numbers [n] or [n, outputs] for the other heads. The model reads an x or y of its type in place, and
 * the array must outlive it; it converts arrays of other types (f32, f64, i32, u8) to a copy. Class ids are always
 * copied. NULL and an error for shapes and types that do not match, ids out of range, negative targets of POISSON, and
 * numbers that are not finite. `options` must not be NULL: a head is required. */
SW_API sw_glm *sw_glm_new(sw_dtype type, const sw_array *x, const sw_array *y, const sw_glm_options *options);
/* As sw_glm_new, for sparse rows. `start` and `index` are always read in place. */
SW_API sw_glm *sw_glm_new_sparse(sw_dtype type, const sw_csr *x, const sw_array *y, const sw_glm_options *options);
/* Frees the model with its parameters and objective; free all objects that use them before. Accepts NULL. */
SW_API void sw_glm_free(sw_glm *glm);
/* The parameters and the objective, which the model owns. */
SW_API sw_params *sw_glm_params(const sw_glm *glm);
SW_API const sw_objective *sw_glm_objective(const sw_glm *glm);
/* Computes the predictions z = W a + b, [n, outputs] of the parameters' type, for each row a of `rows` [n, features]
 * (f32, f64, i32 or u8), at the parameter vector x (NULL: the vector of the parameters). If z->data is NULL, *z becomes
 * a new array, which the caller frees by sw_array_free; else z must have the right type and shape. */
SW_API sw_status sw_glm_predict(const sw_glm *glm, const void *x, const sw_array *rows, sw_array *z);
/* As sw_glm_predict, for sparse rows with at most as many columns as the model has features. */
SW_API sw_status sw_glm_predict_sparse(const sw_glm *glm, const void *x, const sw_csr *rows, sw_array *z);

#ifdef __cplusplus
}
#endif
#endif
