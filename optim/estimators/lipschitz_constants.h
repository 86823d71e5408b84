/* Lipschitz constants of gradients: from the rows of a generalized linear model, or measured. */
#ifndef SWALE_ESTIMATORS_LIPSCHITZ_CONSTANTS_H
#define SWALE_ESTIMATORS_LIPSCHITZ_CONSTANTS_H

#include <swale/estimator.h>

/* For lipschitz=auto: finds the largest second derivative of the objective's loss. An error if it is not known. */
sw_status swo_head_curvature(const sw_estimate *e, double *curvature);
/* For objectives with samples in memory: computes ‖a_i‖² of all samples, and stores them with the estimator. */
sw_status swo_keep_squares(sw_estimate *e);
const double *swo_squares(const sw_estimate *e);
/* Whether all weights, and all biases, of a generalized linear model are frozen. */
void swo_find_frozen_parts(const sw_estimate *e, bool *weights_frozen, bool *bias_frozen);
/* L according to the option lipschitz: `given`, the L of the rows if it is NaN, or `measured` if it is 0. */
double swo_known_l(const sw_estimate *e, double given, double measured);
/* The expected smoothness of batches from n samples without replacement (Gower, Loizou, Richtarik et al., ICML 2019).
 * whole: L of the mean loss; most: the largest L of a sample. */
double swo_expected_l(double n, double batch, double whole, double most);
/* L of the loss of one sample, given the largest second derivative of the loss. */
double swo_sample_l(const sw_estimate *e, int64_t id, double curvature);

/* Measures the curvature of the mean loss of the step's samples, along u (along g if u is zero), from x, where the
 * gradient is g. It begins with a step of 1/l (l = 0: not known yet), and finds the smallest ℓ, at least the measured
 * curvature, for which the curvature over a step of 1/ℓ is at most ℓ; 0 if it cannot be measured. Evaluates one
 * gradient of the samples, or a few if l was too small. */
sw_status swo_curvature(sw_estimate *e, const void *x, const void *g, const void *u, double l, double *curvature);

/* The factor by which a sum of derivatives is multiplied to give the gradient of a loss of weight w: 1/w; 1 if the loss
 * is a sum; 0 if all weights are 0. */
double swo_mean_factor(double weight);

/* A lower bound of the L of the mean loss of `batch` samples, at the point where the derivatives are s [n, outputs]; 0
 * for losses other than Poisson's. For the Poisson loss it is needed because steps measure the curvature of only a few
 * samples, and e^z of the others may be far larger. */
double swo_least_l(const sw_estimate *e, const void *s, double batch);

#endif
