/* Landscapes: the loss in the neighborhood of a point x of the parameter vector. Values along a line and in a plane,
 * the largest rise in a ball, the largest eigenvalues of the Hessian, and its trace.
 *
 *     sw_landscape *l = sw_landscape_new(objective, sw_params_x(params), NULL);
 *     sw_direction_random(params, sw_params_x(params), SW_SCALE_FILTERS, 1, d);
 *     sw_landscape_line(l, d, 31, alpha, loss);
 *     sw_landscape_eigenvalues(l, 3, NULL, eigenvalue, NULL, NULL);
 *     sw_landscape_free(l);
 *
 * A landscape has its own tape and a copy of the point, so that a program may continue the training. It evaluates the
 * objective at other vectors, and never writes to the parameters. All samples are evaluated in chunks, which bounds the
 * memory of the tape, and averaged by weight. Vectors have dim elements of the type of x (sw_params_type), f32 or f64.
 *
 * Results depend on the objective, the point, the options and seeds, and have the same bits for every number of
 * threads. The functions return a status; after an error results are undefined. Only one thread at a time may use a
 * landscape. */
#ifndef SWALE_LANDSCAPE_H
#define SWALE_LANDSCAPE_H

#include <swale/objective.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Directions ---- */

/* To which length the parts of a direction d are scaled. */
typedef enum sw_direction_scale {
    SW_SCALE_NONE = 0, /* none: for random directions, standard normal elements */
    SW_SCALE_UNIT,     /* the 2-norm of d is 1 */
    SW_SCALE_TENSORS,  /* each parameter's part of d has the 2-norm of the parameter in x */
    /* Filter normalization (Li et al., Visualizing the loss landscape of neural nets, NeurIPS 2018, section 4): each
     * row of axis 0 of a parameter with two or more axes has the 2-norm of this row in x. In a linear layer and in a
     * convolution, a row belongs to one output unit. The part of a parameter with fewer axes (biases, and weights of
     * normalizations) is 0. */
    SW_SCALE_FILTERS,
    /* As SW_SCALE_FILTERS, but a parameter with fewer than two axes counts as one row. */
    SW_SCALE_FILTERS_AND_BIASES
} sw_direction_scale;
/* Scales a direction d at the point x. Elements of frozen parameters and of buffers become 0. A part whose norm is 0
 * remains 0. */
SW_API sw_status sw_direction_rescale(const sw_params *params, const void *x, sw_direction_scale scale, void *d);
/* Makes a random direction at the point x: independent standard normal elements, scaled. The part of a parameter
 * depends on the seed and the parameter's name. Elements of frozen parameters and of buffers are 0. */
SW_API sw_status sw_direction_random(const sw_params *params, const void *x, sw_direction_scale scale, uint64_t seed,
                                     void *d);
/* Makes orthonormal directions u and v of the plane through the points a, b and c: b = a + place[0] u, and c = a +
 * place[1] u + place[2] v. Elements of buffers are 0 in u and v. SW_ERR_ARGUMENT if the points lie on a line, to
 * within 1e-5 (f64: 1e-12) of the distance of a and b or a and c. */
SW_API sw_status sw_direction_plane(const sw_params *params, const void *a, const void *b, const void *c, void *u,
                                    void *v, double place[3]);

/* ---- Landscapes ---- */

typedef struct sw_landscape sw_landscape;

/* Options of a landscape. */
typedef struct sw_landscape_options {
    size_t size;        /* sizeof(sw_landscape_options) */
    const int64_t *ids; /* the samples, which must be valid as long as the landscape; NULL: 0 to count - 1 */
    int64_t count;      /* the number of samples; 0: all of the objective (with ids NULL) */
    int64_t chunk;      /* the largest number of samples that are evaluated at once; 0: 1000 */
    uint64_t draw;      /* selects the random numbers of all evaluations */
    /* Whether the objective is evaluated as in training: with dropout, with the draw above, and normalized by the
     * statistics of each chunk. False: evaluation mode, without dropout, and with the buffers of the vector. */
    bool train;
    /* The number of samples (the first ones) on which running statistics are estimated again for every point at which
     * a value is computed; 0: the buffers of the point x are used everywhere, which is not what a network with batch
     * normalization would do at another point. The samples are processed in chunks, in training mode, pooled as by
     * sw_model_recalibrate. Derivatives (Hessian products, eigenvalues, trace) use the statistics at x. No effect if
     * the parameters have no buffers. */
    int64_t statistics;
    /* The length h of the step in differences of gradients; 0: ε^(1/3) max(1, max |x_i|) over parameters that
     * are not frozen, where ε is 2^-23 for f32 and 2^-52 for f64: 0.005 and 6e-6 for parameters up to 1. See
     * sw_landscape_hessian. */
    double step;
} sw_landscape_options;

/* Makes a landscape of the objective f around the point x (NULL: the vector of the parameters), of which it makes a
 * copy. The objective must be valid as long as the landscape. options NULL: the defaults. NULL after an error. */
SW_API sw_landscape *sw_landscape_new(const sw_objective *f, const void *x, const sw_landscape_options *options);
/* Frees the landscape. Accepts NULL. */
SW_API void sw_landscape_free(sw_landscape *landscape);
/* Moves to another point x (NULL: the vector of the parameters), without allocating. */
SW_API sw_status sw_landscape_set_point(sw_landscape *landscape, const void *x);
/* The copy of the point, with the statistics that were estimated at it; NULL for NULL. */
SW_API const void *sw_landscape_point(const sw_landscape *landscape);

/* Computes the loss at the vector x (NULL: the point). */
SW_API sw_status sw_landscape_value(sw_landscape *landscape, const void *x, double *value);
/* Computes the loss (unless `value` is NULL) and its gradient g [dim] at the vector x (NULL: the point). Elements of
 * frozen parameters and of buffers are 0. If the statistics at x overflow, the loss and the other elements are NaN. */
SW_API sw_status sw_landscape_gradient(sw_landscape *landscape, const void *x, double *value, void *g);
/* Computes the loss at x + alpha[i] d for `count` numbers alpha: values [count]. A value may be Inf or NaN. */
SW_API sw_status sw_landscape_line(sw_landscape *landscape, const void *d, int64_t count, const double *alpha,
                                   double *values);
/* Computes the loss on a grid: values[i·columns + j] at x + alpha[j] u + beta[i] v. */
SW_API sw_status sw_landscape_plane(sw_landscape *landscape, const void *u, const void *v, int64_t columns,
                                    const double *alpha, int64_t rows, const double *beta, double *values);

/* ---- Sharpness ---- */

/* Options of sw_landscape_sharpness. */
typedef struct sw_sharpness_options {
    size_t size;   /* sizeof(sw_sharpness_options) */
    double radius; /* rho; 0: 0.05 */
    double norm;   /* p: 2 or INFINITY; 0: 2 */
    int steps;     /* gradients of each ascent; 0: 10 */
    int starts;    /* random starts, besides that along the gradient; 0: 2; -1: none */
    uint64_t seed; /* of the random starts */
    /* NULL, or a direction along which two more ascents start, one with each sign: that of the largest eigenvalue, for
     * example, which random starts need many steps to find. */
    const void *direction;
} sw_sharpness_options;
/* Estimates the sharpness max f(x + e) - f(x) over ‖e‖_p ≤ rho, a lower bound of it: *rise is the largest value that
 * projected gradient ascent finds from several starts on the sphere. A step of length rho/2 goes in the direction that
 * has the largest inner product with the gradient for this norm, g/‖g‖ or sign g; after a step without a larger value,
 * the ascent continues with half the length. If a value is Inf or NaN, *rise is INFINITY. options NULL: the defaults.
 * P. Foret et al., Sharpness-aware minimization, ICLR 2021. */
SW_API sw_status sw_landscape_sharpness(sw_landscape *landscape, const sw_sharpness_options *options, double *rise);

/* ---- Hessian ---- */
/* The functions need gradients in f32 or f64: parameters that are stored in 16 bits are an error (SW_ERR_TYPE), because
 * their differences are lost in rounding. Frozen parameters are constants: H is the matrix of the other parameters. */

/* Computes H v by central differences: Hv ≈ ‖v‖ (g(x + h v/‖v‖) - g(x - h v/‖v‖))/2h. The error has two parts, h²/6
 * times a third derivative of the gradient, and rounding of about ε(‖g‖ + ‖H‖‖x‖)/h: with the default step a relative
 * error of about 1e-4 in f32 and 1e-9 in f64 for smooth losses of moderate size. A network with ReLU has kinks in its
 * gradient, which add an error that does not become smaller with h. SW_ERR_NONFINITE if a gradient is not finite. */
SW_API sw_status sw_landscape_hessian(sw_landscape *landscape, const void *v, void *product);

/* Options of sw_landscape_eigenvalues. */
typedef struct sw_eigenvalues_options {
    size_t size;      /* sizeof(sw_eigenvalues_options) */
    double tolerance; /* of the residuals, relative to the largest |eigenvalue|; 0: 1e-3 */
    int products;     /* the largest number of Hessian products; 0: 20 + 10 count */
    int basis;        /* the number of vectors in memory, above `count`; 0: 20 + 2 count */
    uint64_t seed;    /* of the start */
} sw_eigenvalues_options;
/* Computes the `count` largest eigenvalues of H in descending order: values [count], and unit eigenvectors in the rows
 * of vectors [count, dim] (NULL: not needed), by the Lanczos method with full orthogonalization and thick restarts (K.
 * Wu, H. Simon, SIAM J. Matrix Anal. Appl. 22, 2000). residuals [count] (NULL: not needed) receives ‖H v - λ v‖ of each
 * pair, which bounds the distance of λ from an eigenvalue; the error of λ itself is usually of the order of its square.
 * The function ends when all residuals are within the tolerance or after `products` products: compare the residuals.
 * They do not contain the error of the differences. SW_ERR_ARGUMENT if `count` is above the number of parameters that
 * are not frozen. An eigenvalue that is multiple in exact arithmetic may be returned once only. options NULL: the
 * defaults. */
SW_API sw_status sw_landscape_eigenvalues(sw_landscape *landscape, int count, const sw_eigenvalues_options *options,
                                          double *values, void *vectors, double *residuals);
/* Estimates the trace of H: the mean of zᵀHz over `probes` random vectors z of elements ±1 (M. Hutchinson, Commun.
 * Statist. Simula. 19, 1990). *error (unless NULL) receives the standard error of the mean, NaN for one probe. The
 * variance of a probe is 2 Σ H_ij² over i ≠ j. */
SW_API sw_status sw_landscape_trace(sw_landscape *landscape, int probes, uint64_t seed, double *trace, double *error);

#ifdef __cplusplus
}
#endif
#endif
