/* The state of a landscape, for the files of this folder. */
#ifndef SWALE_OPTIM_LANDSCAPE_STATE_H
#define SWALE_OPTIM_LANDSCAPE_STATE_H

#include <swale/landscape.h>
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/vector.h>

struct sw_landscape {
    const sw_objective *f;
    sw_landscape_options options;
    sw_dtype type;
    int64_t dim;
    int64_t free_dim; /* elements that are neither frozen nor buffers */
    double step;      /* h of differences of gradients at this point */
    sw_tape *tape;
    sw_gradient *view;       /* for gradients in memory of the caller */
    sw_gradient *statistics; /* receives running statistics; NULL if they are not estimated again */
    void *x;                 /* the point */
    void *trial;             /* the vector at which the objective is evaluated */
    int64_t *ids;            /* [statistics chunk]: sample ids of a chunk, if the options have none */
};

/* An error that begins with `who` if the landscape, or the argument called `name`, is NULL. */
sw_status swo_landscape_check(const char *who, const sw_landscape *l, const char *name, const void *argument);
/* trial = x + a d. d NULL: x. */
void swo_landscape_move(sw_landscape *l, double a, const void *d);
/* Estimates the statistics at the trial vector, if they are estimated again, and computes its loss. */
sw_status swo_landscape_value(sw_landscape *l, double *value);
/* The same with the gradient, [dim]; without estimating the statistics, those of the point are used. `value` may be
 * NULL. */
sw_status swo_landscape_gradient(sw_landscape *l, bool statistics, double *value, void *g);
/* Sets elements of frozen parameters and of buffers to 0. */
void swo_landscape_mask(const sw_landscape *l, void *v);
/* Fills v with random numbers, normal or, if `signs`, ±1. Masked elements are 0. */
void swo_landscape_random(const sw_landscape *l, bool signs, sw_rng *rng, void *v);
/* An error that begins with `who` if derivatives are too coarse for second differences, or no parameter is free. */
sw_status swo_landscape_check_hessian(const sw_landscape *l, const char *who);
/* product = H v; `work` [dim] is scratch. */
sw_status swo_landscape_hessian(sw_landscape *l, const void *v, void *product, void *work);
/* Allocates `count` vectors. */
static inline void *swo_landscape_vectors(const sw_landscape *l, int64_t count) {
    return count > INT64_MAX / (l->dim > 0 ? l->dim : 1)
               ? (sw_fail(SW_ERR_MEMORY, "landscape: %lld vectors are too many", (long long)count), NULL)
               : sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, count * l->dim, sw_dtype_size(l->type));
}
/* Element i·dim of an array of vectors. */
static inline void *swo_landscape_vector(const sw_landscape *l, void *vectors, int64_t i) {
    return (char *)vectors + (size_t)(i * l->dim) * sw_dtype_size(l->type);
}

#endif
