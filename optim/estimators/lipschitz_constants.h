/* Lipschitz constants of gradients: from the rows of a generalized linear model, or measured. */
#ifndef SWALE_ESTIMATORS_LIPSCHITZ_CONSTANTS_H
#define SWALE_ESTIMATORS_LIPSCHITZ_CONSTANTS_H

#include <swale/estimator.h>

/* The largest second derivative of the objective's loss; an error where it is not known. For lipschitz=auto. */
sw_status swo_head_curvature(const sw_estimate *e, double *curvature);
/* For objectives with samples in memory: ‖a_i‖² of all, kept with the estimator. */
sw_status swo_keep_squares(sw_estimate *e);
const double *swo_squares(const sw_estimate *e);
/* Whether all weights, and all biases, of a generalized linear model are frozen. */
void swo_find_rests(const sw_estimate *e, bool *weights_rest, bool *bias_rests);
/* L by the option lipschitz: as given, of the rows (NaN), or as measured (0). */
double swo_known_l(const sw_estimate *e, double given, double measured);
/* The expected smoothness of batches of n samples without replacement (Gower, Loizou, Richtarik et al., ICML 2019), whole:
 * L of the mean loss, most: the largest L of a sample. */
double swo_expected_l(double n, double batch, double whole, double most);
/* L of one sample's loss, given that. */
double swo_sample_l(const sw_estimate *e, int64_t id, double curvature);

/* The curvature of the mean loss of the step's samples, met on a step of 1/l along u (zero: along g) from x, where its
 * gradient is g: the least ℓ ≥ what was met that steps of 1/ℓ confirm; 0 if nothing could be told. l = 0: not known yet.
 * Takes a gradient of the samples, or a few where l was too small. */
sw_status swo_curvature(sw_estimate *e, const void *x, const void *g, const void *u, double l, double *curvature);

/* The factor that turns a sum of derivatives into the gradient of a loss of this weight: 1/w, 1 of a loss that is a
 * sum, 0 if all weights are 0. */
double swo_mean_factor(double weight);

/* A lower bound of the L of the mean loss of `batch` samples, at the point where s [n, outputs] are the derivatives;
 * 0 for losses other than Poisson's. There it is needed: steps measure the curvature of few samples, and e^z of the
 * others may be far greater. */
double swo_least_l(const sw_estimate *e, const void *s, double batch);

#endif
