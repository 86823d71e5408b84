/* Generalized linear models, evaluated without a tape. */
#ifndef SWALE_OBJECTIVES_GLM_EVALUATE_H
#define SWALE_OBJECTIVES_GLM_EVALUATE_H

#include <swale/objective.h>

/* Σ f_i over samples, and unless s is NULL the derivatives ∂f_i/∂z [count, outputs]. Memory is the tape's. */
sw_status swi_glm_derivatives(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids, int64_t count,
                              double *sum, void *s);
/* g = beta·g + Σ c_i [a_i, 1] */
sw_status swi_glm_combine(const sw_objective *f, sw_tape *tape, const int64_t *ids, int64_t count, const void *c,
                          double beta, void *g);
/* Predictions of samples 0 to count - 1, whose ids are given. */
sw_status swi_glm_predict(const sw_objective *f, const void *x, const int64_t *ids, int64_t count, void *z);
/* (glm.c) */
sw_status swi_glm_check(const sw_objective *f);
sw_status swi_glm_check_samples(const sw_objective *f); /* and each label, target and weight */

#endif
