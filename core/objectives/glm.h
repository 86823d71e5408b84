/* Generalized linear models, made from samples in memory. */
#ifndef SWALE_GLM_H
#define SWALE_GLM_H

#include <swale/objective.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A generalized linear model with its parameters: "weight" [outputs, features] and "bias" [outputs], zeros. */
typedef struct sw_glm sw_glm;
typedef struct sw_glm_options {
    size_t size; /* sizeof(sw_glm_options) */
    sw_head head;
    double delta;    /* δ of HUBER; 0: 1.35 */
    int64_t outputs; /* of MULTINOMIAL: the classes; 0: the largest class id + 1. Others: as y has columns */
    bool no_bias;
    /* [n] weights of the samples, not negative and not all 0; NULL: equal. They are copied, divided by their mean:
     * f = Σ w_i l_i / Σ w_i, whatever the batches. */
    const double *weight;
    const double *class_weight; /* [outputs], or 2 for a head with two classes: multiplies the sample's weight */
} sw_glm_options;
/* x [n, features] and y in memory: class ids (i32, u8) [n] for LOGISTIC, MULTINOMIAL and SQUARED_HINGE; else real
 * numbers (f32, f64) [n] or [n, outputs]. type: of the parameters, SW_F32 or SW_F64. An x or y of that type is read in
 * place and must outlive the model; others are converted to a copy (of sparse rows the numbers: start and index are always
 * read in place). NULL and an error for what does not fit, and for
 * numbers that are not finite. */
SW_API sw_glm *sw_glm_new(sw_dtype type, const sw_array *x, const sw_array *y, const sw_glm_options *options);
/* The same for sparse rows. */
SW_API sw_glm *sw_glm_new_sparse(sw_dtype type, const sw_csr *x, const sw_array *y, const sw_glm_options *options);
SW_API void sw_glm_free(sw_glm *glm); /* after all that was made from it */
SW_API sw_params *sw_glm_params(const sw_glm *glm);
SW_API const sw_objective *sw_glm_objective(const sw_glm *glm);
/* Predictions z = W a + b, [n, outputs] of the parameters' type, for rows [n, features] of any of the two types, at x
 * (NULL: the parameters' own vector). z->data NULL: *z becomes a new array, to be freed by sw_array_free. */
SW_API sw_status sw_glm_predict(const sw_glm *glm, const void *x, const sw_array *rows, sw_array *z);
SW_API sw_status sw_glm_predict_sparse(const sw_glm *glm, const void *x, const sw_csr *rows, sw_array *z);

#ifdef __cplusplus
}
#endif
#endif
