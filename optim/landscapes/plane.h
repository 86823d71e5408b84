/* Planes x(a, b) = o + a u + b v in the space of the parameters whose origin o and directions u, v are trained, so that
 * the losses at many points of the plane form a pattern (I. Skorokhodov, M. Burtsev, Loss landscape sightseeing with
 * multi-point optimization, 2019):
 *
 *     minimize over o, u, v   1/P Σ_p h_p(f(x(a_p, b_p)))
 *
 * A plane has a separate objective, whose parameters are o, u and v and whose samples are the P points, so that any
 * optimizer trains it.
 *
 *     sw_plane *plane = sw_plane_new(objective, x, d1, d2, &SW_OPTIONS(sw_plane_options, .points = 144, .a = a, .b = b,
 *                                                                      .pattern = pattern, .batch = 128));
 *     sw_optim *optim = sw_optim_new(sw_plane_params(plane), "adam lr=1e-3");
 *     sw_train(sw_plane_objective(plane), optim, &SW_OPTIONS(sw_train_options, .epochs = 20), &result);
 *     sw_plane_axes(plane, NULL, x, d1, d2);
 *     sw_landscape_set_point(landscape, x);
 *     sw_landscape_plane(landscape, d1, d2, 12, alpha, 12, beta, values);
 *     sw_optim_free(optim), sw_plane_free(plane);
 */
#ifndef SWALE_PLANE_H
#define SWALE_PLANE_H

#include <swale/objective.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sw_plane sw_plane;

/* Options of a plane. */
typedef struct sw_plane_options {
    size_t size;         /* sizeof(sw_plane_options) */
    int64_t points;      /* P, at least 1 */
    const double *a, *b; /* [points]: the coordinates of the points, finite; they are copied */
    /* h: returns h_p(loss) of point p, and sets *slope to its derivative by the loss. A point whose slope is 0 adds
     * nothing to the gradient, even if its loss or its gradient is not finite. NULL: the loss itself. */
    double (*pattern)(void *user, int64_t point, double loss, double *slope);
    void *user; /* passed to `pattern` */
    /* The number of samples of f with which an evaluation computes the losses of all its points, drawn with replacement
     * from the seed and the number of the draw; estimators use another draw for each step. 0: all samples of f. */
    int64_t batch;
    int64_t chunk; /* the largest number of samples of f that are evaluated at once; 0: 1000 */
    uint64_t seed; /* of the batches */
} sw_plane_options;

/* Makes a plane with the origin o and the directions u and v, vectors of f->params, which are copied. Elements of
 * frozen parameters and of buffers are 0 in the directions and keep their values in the origin. The objective f must be
 * valid as long as the plane. SW_ERR_ARGUMENT if u is 0 or v is a multiple of u. NULL after an error. */
SW_API sw_plane *sw_plane_new(const sw_objective *f, const void *o, const void *u, const void *v,
                              const sw_plane_options *options);
/* Frees the plane with its parameters and its objective: free its optimizers before. Accepts NULL. */
SW_API void sw_plane_free(sw_plane *plane);
/* The parameters of the plane, which the plane owns: three vectors with all parameters of f, except buffers and tied
 * names, with their roles and shapes: "o.linear1.weight", "u.linear1.weight", "v.linear1.weight". What is frozen when
 * the plane is made is frozen in all three. Their type is that of the vector x of f, without a 16-bit copy. NULL for
 * NULL. */
SW_API sw_params *sw_plane_params(const sw_plane *plane);
/* The objective, which the plane owns; n is the number of points. The coordinates of points refer to the axes of
 * sw_plane_axes: neither the part of v along u nor the length of v has an effect, and the gradient is that of this
 * parametrization. With u and v themselves as axes, the training could distort the pattern. f is evaluated in training
 * mode, on a tape of the plane, with the buffers of the origin, which are not updated: only one thread at a time may
 * use it. An evaluation at which u is 0 or v is a multiple of u is an error (SW_ERR_NONFINITE). */
SW_API const sw_objective *sw_plane_objective(const sw_plane *plane);
/* Computes the origin o and orthogonal axes u and v of equal length, vectors of f->params, from a vector x of the
 * plane's parameters (NULL: their current values): u is unchanged, and v becomes (|u|/|w|) w, where w is the
 * part of v that is orthogonal to u. Any of the three may be NULL. */
SW_API sw_status sw_plane_axes(sw_plane *plane, const void *x, void *o, void *u, void *v);

#ifdef __cplusplus
}
#endif
#endif
