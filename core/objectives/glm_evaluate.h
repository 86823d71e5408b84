/* Generalized linear models with samples in memory, evaluated without operations of a tape. */
#ifndef SWALE_OBJECTIVES_GLM_EVALUATE_H
#define SWALE_OBJECTIVES_GLM_EVALUATE_H

#include <swale/objective.h>

/* Computes Σ f_i over the samples and, unless s is NULL, the derivatives s = ∂f_i/∂z [count, outputs]. Temporary memory
 * is allocated from the tape. */
sw_status swi_glm_derivatives(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids, int64_t count,
                              double *sum, void *s);
/* g = beta·g + Σ c_i [a_i, 1] */
sw_status swi_glm_combine(const sw_objective *f, sw_tape *tape, const int64_t *ids, int64_t count, const void *c,
                          double beta, void *g);
/* Computes the predictions z [count, outputs] of the samples 0 to count - 1. ids must be 0 to count - 1. */
sw_status swi_glm_predict(const sw_objective *f, const void *x, const int64_t *ids, int64_t count, void *z);
/* Checks the members of f->glm (glm.c). */
sw_status swi_glm_check(const sw_objective *f);
/* Checks the same, and each label, target and weight (glm.c). */
sw_status swi_glm_check_samples(const sw_objective *f);

#endif
