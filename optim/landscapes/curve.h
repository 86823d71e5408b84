/* Curves φ(t), 0 ≤ t ≤ 1, between two vectors of parameters, whose bends θ are trained so that the loss along the curve
 * is small (T. Garipov et al., Loss surfaces, mode connectivity, and fast ensembling of DNNs, NeurIPS 2018):
 *
 *     minimize over θ   E f(φ_θ(t)),   t uniform in [0, 1]
 *
 * A curve has a separate objective, whose parameters are the bends, so that any optimizer trains it.
 *
 *     sw_curve *curve = sw_curve_new(objective, w1, w2, NULL);
 *     sw_optim *optim = sw_optim_new(sw_curve_params(curve), "adam lr=1e-3");
 *     sw_train(sw_curve_objective(curve), optim, &SW_OPTIONS(sw_train_options, .epochs = 20), &result);
 *     sw_curve_point(curve, NULL, 0.5, x);
 *     sw_model_recalibrate(model, x, source, NULL); // if the model has running statistics
 *     sw_model_evaluate(model, x, test, sw_cross_entropy, &evaluation);
 *     sw_optim_free(optim), sw_curve_free(curve);
 */
#ifndef SWALE_CURVE_H
#define SWALE_CURVE_H

#include <swale/objective.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sw_curve sw_curve;

/* The form of a curve with n bends θ_1 … θ_n; θ_0 and θ_(n+1) are its ends. */
typedef enum sw_curve_form {
    SW_CURVE_BEZIER = 0, /* the Bezier curve of degree n + 1: φ(t) = Σ_k C(n+1, k) t^k (1-t)^(n+1-k) θ_k */
    SW_CURVE_POLYCHAIN   /* segments from θ_k to θ_(k+1), each for t in an interval of length 1/(n+1) */
} sw_curve_form;

/* Options of a curve. */
typedef struct sw_curve_options {
    size_t size; /* sizeof(sw_curve_options) */
    sw_curve_form form;
    int bends;     /* n, 1 to 16; 0: 1 */
    uint64_t seed; /* of the numbers t */
    int64_t chunk; /* the largest number of samples that are evaluated at once; 0: 1000 */
} sw_curve_options;

/* Makes a curve from `start` to `end`, vectors of f->params, which are copied. The bends begin on the straight line, at
 * equal distances. The objective f must be valid as long as the curve. options NULL: the defaults. NULL after an
 * error. */
SW_API sw_curve *sw_curve_new(const sw_objective *f, const void *start, const void *end,
                              const sw_curve_options *options);
/* Frees the curve with its parameters and its objective: free its optimizers before. Accepts NULL. */
SW_API void sw_curve_free(sw_curve *curve);
/* The parameters of the curve, which the curve owns: for each bend all parameters of f, except buffers and tied names,
 * in their order, with their roles and shapes: "bend1.linear1.weight". What is frozen when the curve is made is frozen
 * in the bends and stays on the line. Their type is that of the vector x of f, without a 16-bit copy. NULL for NULL. */
SW_API sw_params *sw_curve_params(const sw_curve *curve);
/* The objective E f(φ_θ(t)), which the curve owns. An evaluation with the number `draw` uses one t for all of its
 * samples, sw_curve_t(curve, draw); estimators use another draw for each step, so that a run depends only on the seed.
 * svrg has one draw, hence one t, for a whole period unless replay=step. All passes of a step, such as those of sam and
 * svrg, have the same t. The gradient is that of f at φ(t), times ∂φ/∂θ_k. f is evaluated in training mode, on a tape
 * of the curve, and running statistics are not updated: only one thread at a time may use it. More samples than
 * `chunk` are evaluated in chunks, in order, so that estimators which need the gradient of all samples (full, svrg) do
 * not put all of them on the tape; batch normalization normalizes each chunk by the chunk's own statistics. */
SW_API const sw_objective *sw_curve_objective(const sw_curve *curve);
/* The number t of an evaluation with this draw. */
SW_API double sw_curve_t(const sw_curve *curve, uint64_t draw);
/* Computes φ(t) for 0 ≤ t ≤ 1 and the bends `bends`, a vector of the curve's parameters (NULL: their x): out, a vector
 * of f->params. The ends are exact. Buffers are interpolated linearly between the ends, which are not the statistics of
 * the network at φ(t): estimate them again before an evaluation (sw_model_recalibrate). */
SW_API sw_status sw_curve_point(const sw_curve *curve, const void *bends, double t, void *out);

#ifdef __cplusplus
}
#endif
#endif
