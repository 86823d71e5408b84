/* The loss of all samples in the neighborhood of a point: value and gradient along a direction, the sharpest direction,
 * and the largest rise within a ball. For models in f64. Not part of the library. */
#ifndef SWALE_EXAMPLES_LANDSCAPE_H
#define SWALE_EXAMPLES_LANDSCAPE_H

#include <swale/core.h>
#include <swale/extend.h>

#include <math.h>
#include <string.h>

typedef struct landscape {
    const sw_objective *f;
    sw_tape *tape;
    sw_gradient *g;
    int64_t dim;
    double *x, *e, *v, *there; /* the point; a displacement; the sharpest direction; scratch memory */
    double loss;               /* at x */
} landscape;

static inline double landscape_norm(const double *v, int64_t dim) {
    double square = 0;
    for (int64_t i = 0; i < dim; i++)
        square += v[i] * v[i];
    return sqrt(square);
}

static inline void landscape_scale(double *v, int64_t dim, double factor) {
    for (int64_t i = 0; i < dim; i++)
        v[i] *= factor;
}

/* Returns f(x + c d). If g is not NULL, *g becomes the gradient there, which the next call overwrites. */
static inline double landscape_value(landscape *a, const double *d, double c, const double **gradient) {
    double value = NAN;
    for (int64_t i = 0; i < a->dim; i++)
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): not after an error */
        a->there[i] = a->x[i] + c * d[i];
    if (!gradient)
        sw_objective_value_chunked(a->f, a->tape, a->there, NULL, a->f->n, 0, 0, &value);
    else if (sw_objective_gradient_chunked(a->f, a->tape, a->there, NULL, a->f->n, 0, 0, &value, a->g) == SW_OK)
        *gradient = sw_gradient_data(a->g);
    return value;
}

static inline void landscape_random(double *d, int64_t dim, sw_rng *rng) {
    for (int64_t i = 0; i < dim; i++)
        d[i] = sw_rng_normal(rng);
    landscape_scale(d, dim, 1 / landscape_norm(d, dim));
}

/* Returns the eigenvalue of the Hessian H with the largest absolute value, by power iteration until a step changes it
 * by less than a ten-thousandth; v becomes its direction. The differences of gradients have an error of h^2/6 times a
 * fourth derivative, and a rounding error of about 1e-12. */
static inline double landscape_eigenvalue(landscape *a, uint64_t seed) {
    const double h = 1e-4;
    double eigenvalue = 0, before = INFINITY;
    sw_rng rng = {.key = sw_rng_key(seed, "power iteration")};
    landscape_random(a->v, a->dim, &rng);
    for (int step = 0; step < 100 && !sw_error(); step++) {
        const double *g = a->v; /* used only after an error */
        before = eigenvalue;
        landscape_value(a, a->v, h, &g);
        memcpy(a->e, g, (size_t)a->dim * sizeof *g);
        landscape_value(a, a->v, -h, &g);
        eigenvalue = 0;
        for (int64_t i = 0; i < a->dim; i++) {
            a->e[i] = (a->e[i] - g[i]) / (2 * h);
            eigenvalue += a->v[i] * a->e[i];
        }
        memcpy(a->v, a->e, (size_t)a->dim * sizeof *g);
        const double length = landscape_norm(a->v, a->dim);
        landscape_scale(a->v, a->dim, length > 0 ? 1 / length : 0);
        if (fabs(eigenvalue - before) <= 1e-4 * fabs(eigenvalue))
            break;
    }
    return eigenvalue;
}

/* Estimates max f(x + e) - f(x) over |e| <= radius by projected gradient ascent with steps of half a radius. It starts
 * from five points on the sphere: along the gradient, in both directions along v, and in two random directions. Call
 * landscape_eigenvalue before, which computes v; `loss` must be f(x). */
static inline double landscape_rise(landscape *a, double radius, uint64_t seed) {
    double worst = 0;
    sw_rng rng = {.key = sw_rng_key(seed, "ascent")};
    for (int start = 0; start < 5 && !sw_error(); start++) {
        const double *g = a->v;
        if (start == 0)
            landscape_value(a, a->v, 0, &g);
        if (start < 3)
            memcpy(a->e, g, (size_t)a->dim * sizeof *g);
        else
            landscape_random(a->e, a->dim, &rng);
        const double length = landscape_norm(a->e, a->dim);
        landscape_scale(a->e, a->dim, length > 0 ? (start == 1 ? -radius : radius) / length : 0);
        for (int step = 0; step < 10 && !sw_error(); step++) {
            worst = fmax(worst, landscape_value(a, a->e, 1, &g) - a->loss);
            const double slope = landscape_norm(g, a->dim);
            for (int64_t i = 0; i < a->dim && slope > 0; i++)
                a->e[i] += radius / 2 * g[i] / slope;
            landscape_scale(a->e, a->dim, radius / fmax(landscape_norm(a->e, a->dim), radius));
        }
    }
    return worst;
}

#endif
