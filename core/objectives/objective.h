/* Objectives: f(x) = 1/n Σ f_i(x), which is evaluated by whoever needs it. */
#ifndef SWALE_OBJECTIVE_H
#define SWALE_OBJECTIVE_H

#include <swale/csr.h>
#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Losses of generalized linear models ---- */

/* Losses l(z, y) of predictions z = W a + b whose derivatives by z are known. */
typedef enum sw_head {
    SW_HEAD_LOGISTIC = 1,  /* log(1 + e^z) - y z, y 0 or 1 */
    SW_HEAD_MULTINOMIAL,   /* log Σ_k e^(z_k) - z_y, y a class id */
    SW_HEAD_SQUARED,       /* ½ Σ_k (z_k - y_k)² */
    SW_HEAD_HUBER,         /* Σ_k, with r = z_k - y_k: ½ r² where |r| ≤ δ, else δ|r| - ½δ² */
    SW_HEAD_SQUARED_HINGE, /* max(0, 1 - s z)², s = 2y - 1, y 0 or 1 */
    SW_HEAD_POISSON        /* e^z - y z, y ≥ 0 */
} sw_head;
SW_API const char *sw_head_name(sw_head head); /* "logistic" */
/* The largest second derivative by z, for MULTINOMIAL along any direction: ¼, ½, 1, 1, 2; 0: there is no bound. */
SW_API double sw_head_curvature(sw_head head);

/* Samples in memory of such a model: f_i(x) = weight_i·scale·l(W a_i + b, y_i). The arrays must outlive whatever uses
 * them, and hold what is said here (sw_objective_check). Objectives that have this (see sw_objective) are evaluated without a tape, and the estimators sag, saga and
 * svrg have loops of their own for them. */
typedef struct sw_glm_data {
    size_t size; /* sizeof(sw_glm_data) */
    sw_head head;
    double delta;         /* δ of HUBER, above 0 */
    double scale;         /* above 0 */
    const void *dense;    /* a: [n, features], of the parameters' type; NULL: */
    const sw_csr *sparse; /* n rows, `features` columns, of the parameters' type */
    const int32_t *label; /* [n]: y of LOGISTIC, MULTINOMIAL, SQUARED_HINGE */
    const void *target;   /* [n, outputs], of the parameters' type: y of the others */
    const double *weight; /* [n], not negative, with mean 1; NULL: 1 each */
} sw_glm_data;

/* ---- Objectives ---- */

/* f(x) = 1/n Σ f_i(x). One of `loss`, `gradient`, `glm`, and `rows` with `head` is needed. The last two make it a
 * generalized linear model, f_i(x) = l(W a_i + b, y_i): `glm` one whose loss is known and whose samples are in
 * memory, `rows` and `head` one with any loss, on the tape. */
typedef struct sw_objective {
    size_t size; /* sizeof(sw_objective) */
    int64_t n;   /* samples; 1 for a plain function */
    sw_params *params;
    void *user;
    /* The mean loss of the given samples, on the tape. */
    sw_tensor (*loss)(void *user, sw_tape *tape, const int64_t *ids, int64_t count);
    /* With no tape: value and, unless g is NULL, gradient of the mean over the samples at x, with the
     * random numbers of `draw`. x and g have the parameters' type; ids is never NULL. */
    sw_status (*gradient)(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                          void *g);
    /* Generalized linear model: rows a_i of the data matrix, [count, features], on the tape, and
     * the mean loss of predictions z [count, outputs]. x is W [outputs, features] first, then b
     * [outputs] if `bias`. All of rows, head, features and outputs are needed then. */
    int64_t features, outputs;
    bool bias;
    sw_tensor (*rows)(void *user, sw_tape *tape, const int64_t *ids, int64_t count);
    sw_tensor (*head)(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count);
    /* Optional: these samples come next. */
    void (*prefetch)(void *user, const int64_t *ids, int64_t count);
    /* Generalized linear model without a tape, with features, outputs and bias as above. It goes before rows and head;
     * with a `loss` besides, values and gradients are taken from that. */
    const sw_glm_data *glm;
} sw_objective;

/* All of the following reset the tape, keep its switches and bindings, and see the random numbers of
 * `draw`.
 * x NULL means the parameters' own vector. ids NULL with count n means all samples in order. */

/* Mean loss at x; records nothing. */
SW_API sw_status sw_objective_value(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                    int64_t count, uint64_t draw, double *value);
/* The same over many samples, in chunks of at most `chunk` (0: 1000), in a fixed order: the mean by the
 * weights of the chunks' losses. */
SW_API sw_status sw_objective_value_chunked(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                            int64_t count, int64_t chunk, uint64_t draw, double *value);
/* Mean loss (unless NULL) and its gradient at x. g is overwritten: it need not be fresh. */
SW_API sw_status sw_objective_gradient(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                       int64_t count, uint64_t draw, double *value, sw_gradient *g);
/* The same over many samples, in chunks of at most `chunk` (0: 1000), in a fixed order. */
SW_API sw_status sw_objective_gradient_chunked(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                               int64_t count, int64_t chunk, uint64_t draw, double *value,
                                               sw_gradient *g);
/* The weight of the loss that one of these functions evaluated last on the tape, all chunks together: Σ
 * weight, or SW_SUMMED; for an objective without a tape, the number of samples. NaN before the first. */
SW_API double sw_tape_loss_weight(const sw_tape *tape);
SW_API bool sw_objective_is_glm(const sw_objective *f);
/* Whether the members fit together: what is needed is there, x has the length that features, outputs and bias say, and of
 * `glm` labels, targets and weights are in their ranges. An optimizer does it when it is bound. O(n) for `glm`. */
SW_API sw_status sw_objective_check(const sw_objective *f);
/* For a generalized linear model, the n·k numbers s_i = weight·∂loss/∂z_i with one backward to z, weight
 * that of the loss (sw_tape_loss_weight): s is [count, outputs] in the parameters' type. For a plain mean
 * s_i = ∂l_i/∂z_i and ∇f_i = s_i a_iᵀ (and s_i for the bias). */
SW_API sw_status sw_objective_glm_derivatives(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                              int64_t count, uint64_t draw, double *value, void *s);
/* And back: g = beta·g + Σ_i c_i [a_i, 1] for coefficients c [count, outputs], so that c = s/weight
 * gives the mean gradient. g has dim elements; c and g are in the parameters' type. */
SW_API sw_status sw_objective_glm_combine(const sw_objective *f, sw_tape *tape, const int64_t *ids, int64_t count,
                                          const void *c, double beta, void *g);

/* Bounds on the curvature of a generalized linear model with known loss: f_i has a gradient with the Lipschitz constant
 * L_i = weight_i·scale·h·(‖a_i‖² + 1 if there is a bias), h the sw_head_curvature. Gives the largest and the mean L_i; either may
 * be NULL. An error for POISSON, which has none, and for objectives without `glm`. */
SW_API sw_status sw_objective_lipschitz(const sw_objective *f, double *largest, double *mean);

/* Of an objective with `glm`: ‖a_i‖² of all n samples. */
SW_API void sw_objective_squared_norms(const sw_objective *f, double *squares);

#ifdef __cplusplus
}
#endif
#endif
