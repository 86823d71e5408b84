/* Objectives: functions f(x) = 1/n Σ f_i(x) of the parameters x, one term for each sample. Optimizers minimize them.
 *
 * A program gets an objective from sw_model_objective (nn.h) or sw_glm_objective (glm.h), or fills in the struct
 * itself:
 *
 *     static sw_tensor my_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
 *         ... compute the mean loss of these samples on the tape ...
 *     }
 *     sw_objective f = {.size = sizeof f, .n = n, .params = params, .user = &data, .loss = my_loss};
 */
#ifndef SWALE_OBJECTIVE_H
#define SWALE_OBJECTIVE_H

#include <swale/csr.h>
#include <swale/gradient_tree.h>
#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Losses of generalized linear models ---- */

/* Losses l(z, y) of predictions z = W a + b for which the library knows the derivatives by z. */
typedef enum sw_head {
    SW_HEAD_LOGISTIC = 1,  /* log(1 + e^z) - y z, y 0 or 1 */
    SW_HEAD_MULTINOMIAL,   /* log Σ_k e^(z_k) - z_y, y a class id */
    SW_HEAD_SQUARED,       /* ½ Σ_k (z_k - y_k)² */
    SW_HEAD_HUBER,         /* Σ_k, with r = z_k - y_k: ½ r² where |r| ≤ δ, else δ|r| - ½δ² */
    SW_HEAD_SQUARED_HINGE, /* max(0, 1 - s z)², s = 2y - 1, y 0 or 1 */
    SW_HEAD_POISSON        /* e^z - y z, y ≥ 0 */
} sw_head;
SW_API const char *sw_head_name(sw_head head); /* "logistic"; "none" for an invalid head */
/* The largest second derivative of the loss by z, for MULTINOMIAL along any direction: ¼, ½, 1, 1, 2 in the order
 * above; 0 if there is no bound (POISSON). */
SW_API double sw_head_curvature(sw_head head);

/* The samples of a generalized linear model in memory: f_i(x) = weight_i·scale·l(W a_i + b, y_i). The arrays must
 * outlive all objects that use them, and satisfy the conditions below, which sw_objective_check checks. Objectives with
 * such data (`glm` in sw_objective) are evaluated without a tape, and the estimators sag, saga and svrg have special
 * loops for them. */
typedef struct sw_glm_data {
    size_t size; /* sizeof(sw_glm_data) */
    sw_head head;
    double delta;         /* δ of HUBER, above 0 */
    double scale;         /* above 0 */
    const void *dense;    /* a: [n, features], of the parameters' type; NULL if `sparse` is given */
    const sw_csr *sparse; /* a: n rows, `features` columns, of the parameters' type; NULL if `dense` is given */
    const int32_t *label; /* [n]: y of LOGISTIC, MULTINOMIAL, SQUARED_HINGE */
    const void *target;   /* [n, outputs], of the parameters' type: y of the other heads */
    const double *weight; /* [n], not negative, with mean 1 (which is not checked); NULL: 1 each */
} sw_glm_data;

/* ---- Objectives ---- */

/* f(x) = 1/n Σ f_i(x). At least one of `loss`, `gradient`, `glm`, and `rows` together with `head` is required. `glm`,
 * and `rows` with `head`, make it a generalized linear model, f_i(x) = l(W a_i + b, y_i): `glm` for samples in memory
 * with a loss of sw_head, `rows` and `head` for any loss, computed on the tape. */
typedef struct sw_objective {
    size_t size; /* sizeof(sw_objective) */
    int64_t n;   /* samples; 1 for a function without samples */
    sw_params *params;
    void *user; /* passed to the functions below */
    /* Computes the mean loss of the given samples on the tape, on which their ids are set already
     * (sw_tape_set_sample_ids), so that a sample draws the same random numbers in every batch. If the mean was divided
     * by another number than `count`, the result is that of sw_loss_with_weight (ops.h; the contract is in
     * loss_mean.h). */
    sw_tensor (*loss)(void *user, sw_tape *tape, const int64_t *ids, int64_t count);
    /* Computes, without a tape, the value of the mean over the samples at x and, unless g is NULL, its gradient, with
     * the random numbers of `draw`. x and g have the parameters' type; ids is never NULL. */
    sw_status (*gradient)(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                          void *g);
    /* For a generalized linear model: `rows` returns the rows a_i of the data matrix, [count, features], on the tape,
     * and `head` the mean loss of the predictions z [count, outputs]. x consists of W [outputs, features], followed by
     * b [outputs] if `bias`. All of rows, head, features and outputs are required then. */
    int64_t features, outputs;
    bool bias;
    sw_tensor (*rows)(void *user, sw_tape *tape, const int64_t *ids, int64_t count);
    sw_tensor (*head)(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count);
    /* Optional: announces the samples that will be evaluated next. */
    void (*prefetch)(void *user, const int64_t *ids, int64_t count);
    /* For a generalized linear model without a tape, with features, outputs and bias as above. It takes precedence over
     * `rows` and `head`. If `loss` is given too, values and gradients are computed by `loss`. */
    const sw_glm_data *glm;
    /* Optional, for an objective that is evaluated by `gradient`: returns the divisor of the mean over the samples in
     * this draw, which is the sum of their weights (class weights; 0 for a sample that does not count), finite and at
     * least 0; or SW_SUMMED if value and g are sums. Means over batches, shards and evaluations are averaged by this
     * weight (loss_mean.h). NULL: the weight is `count`. With `loss`, the loss tensor has the weight. */
    double (*weight)(void *user, const int64_t *ids, int64_t count, uint64_t draw);
    /* Values and gradients depend on x, the ids and random operations on the tape, and on nothing else: not on `draw`
     * in another way, and not on data that the program changes. A line search over all samples then computes the
     * gradient at the start of a step only once (line_search.h). */
    bool fixed;
} sw_objective;

/* ---- Evaluation ---- */
/* A function that takes a tape resets the tape before and after it computes, keeps its switches and bindings, and uses
 * the random numbers of `draw`. A function that computes a gradient lets layers report running statistics to the block
 * g if SW_UPDATE_BUFFERS is on, pooled over all chunks. x is a parameter vector; NULL stands for the vector of the
 * parameters. ids NULL stands for the samples 0 to count - 1. */

/* Computes the mean loss of the samples at x, without recording and without updating running statistics. */
SW_API sw_status sw_objective_value(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                    int64_t count, uint64_t draw, double *value);
/* As sw_objective_value, for many samples: evaluates them in chunks of at most `chunk` samples (0: 1000), in order, and
 * averages by the weights of the chunks' losses (loss_mean.h). `gradient` gets all samples in one call. */
SW_API sw_status sw_objective_value_chunked(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                            int64_t count, int64_t chunk, uint64_t draw, double *value);
/* Computes the mean loss (unless `value` is NULL) of the samples at x and its gradient. g is overwritten: it need not
 * be fresh. */
SW_API sw_status sw_objective_gradient(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                       int64_t count, uint64_t draw, double *value, sw_gradient *g);
/* As sw_objective_gradient, for many samples, in chunks of at most `chunk` samples (0: 1000), in order. */
SW_API sw_status sw_objective_gradient_chunked(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                               int64_t count, int64_t chunk, uint64_t draw, double *value,
                                               sw_gradient *g);
/* Options of evaluations in shards. */
typedef struct sw_shard_options {
    size_t size;    /* sizeof(sw_shard_options) */
    int64_t shards; /* the number of shards; 0: 1. Shards beyond the number of samples are empty */
    int64_t chunk;  /* the largest number of samples of a shard that are evaluated at once; 0: all */
    /* For gradients: memory of sw_shard_levels(shards)·dim elements of the parameters' type; for a node of level l,
     * l·dim are enough. NULL: allocated in the call. */
    void *work;
} sw_shard_options;
/* As sw_objective_value and sw_objective_gradient, in shards (gradient_tree.h): losses and gradients are averaged by
 * weight, in a fixed binary tree. The functions evaluate one shard after the other, so that the tape holds one shard at
 * a time. Random numbers and data depend on the samples' ids, so that the result equals that of the whole batch up to
 * rounding, unless an operation combines several samples (batch normalization). how NULL: one shard. */
SW_API sw_status sw_objective_value_sharded(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                            int64_t count, const sw_shard_options *how, uint64_t draw, double *value);
SW_API sw_status sw_objective_gradient_sharded(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                               int64_t count, const sw_shard_options *how, uint64_t draw, double *value,
                                               sw_gradient *g);
/* Computes one node of the tree, so that several processes can share the shards of a batch. node->size and
 * node->gradient must be set. `view` is a block of sw_gradient_view, which the function uses and leaves fresh. A node
 * without samples has the weight 0 and the gradient 0. If the nodes are added by sw_gradient_node_add in the order of
 * the tree, and the root is passed to sw_gradient_node_close, the result has the bits of sw_objective_gradient_sharded.
 * The running statistics of the node's shards are pending in `view` afterwards, pooled in the same tree: add those of
 * two neighboring nodes by sw_gradient_add_statistics. */
SW_API sw_status sw_objective_gradient_node(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                            int64_t count, const sw_shard_options *how, int level, int64_t index,
                                            uint64_t draw, sw_gradient *view, sw_gradient_node *node);
/* The weight of the loss that one of these functions evaluated most recently on the tape, for all chunks together: Σ
 * weight, or SW_SUMMED; for an objective that is evaluated by `gradient`, the result of its `weight`, or the number of
 * samples. NaN before the first evaluation. */
SW_API double sw_tape_loss_weight(const sw_tape *tape);
/* Whether the objective is a generalized linear model: it has `glm`, or `rows` and `head`, and features and outputs. */
SW_API bool sw_objective_is_glm(const sw_objective *f);
/* Checks an objective: all required members are given, x has the length that features, outputs and bias imply, and the
 * labels, targets and weights of `glm` are in their ranges. An optimizer calls this when it is bound. O(n) for
 * `glm`. */
SW_API sw_status sw_objective_check(const sw_objective *f);
/* For a generalized linear model: computes the numbers s_i = weight·∂loss/∂z_i with one backward pass to z, where
 * `weight` is that of the loss (sw_tape_loss_weight). s is [count, outputs] of the parameters' type. If the loss is a
 * mean over the samples, s_i = ∂l_i/∂z_i and ∇f_i = s_i a_iᵀ (and s_i for the bias). */
SW_API sw_status sw_objective_glm_derivatives(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                              int64_t count, uint64_t draw, double *value, void *s);
/* The inverse direction: computes g = beta·g + Σ_i c_i [a_i, 1] for coefficients c [count, outputs], so that c =
 * s/weight gives the gradient of the mean. g has dim elements; c and g are of the parameters' type. */
SW_API sw_status sw_objective_glm_combine(const sw_objective *f, sw_tape *tape, const int64_t *ids, int64_t count,
                                          const void *c, double beta, void *g);

/* Bounds the curvature of an objective with `glm`: the gradient of f_i has the Lipschitz constant
 * L_i = weight_i·scale·h·(‖a_i‖² + 1 if there is a bias), where h is sw_head_curvature. Returns the largest and the
 * mean L_i; either pointer may be NULL. An error for POISSON, which has no bound, and for objectives without `glm`. */
SW_API sw_status sw_objective_lipschitz(const sw_objective *f, double *largest, double *mean);

/* Computes ‖a_i‖² of all n samples of an objective with `glm`: squares [n]. */
SW_API void sw_objective_squared_norms(const sw_objective *f, double *squares);

#ifdef __cplusplus
}
#endif
#endif
