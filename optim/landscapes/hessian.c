/* Products with the Hessian by differences of gradients, and an estimate of its trace. */
#include "optim/landscapes/landscape_state.h"

#include <math.h>

sw_status swo_landscape_check_hessian(const sw_landscape *l, const char *who) {
    const sw_dtype storage = sw_params_storage(l->f->params);
    if (storage != l->type)
        return sw_fail(SW_ERR_TYPE,
                       "%s: the parameters are stored as %s, and differences of gradients would be lost in rounding; "
                       "make a model in f32 or f64 from them",
                       who, sw_dtype_name(storage));
    return l->free_dim > 0 ? SW_OK : sw_fail(SW_ERR_STATE, "%s: all parameters are frozen", who);
}

static sw_status hessian_norm(const sw_landscape *l, const void *v, const char *what, double *norm) {
    return sw_vector_norm(l->type, l->dim, v, norm) == SW_OK
               ? SW_OK
               : sw_fail(SW_ERR_NONFINITE, "landscape: %s holds Inf or NaN", what);
}

sw_status swo_landscape_hessian(sw_landscape *l, const void *v, void *product, void *work) {
    double length, unused;
    SW_TRY(hessian_norm(l, v, "the vector of a Hessian product", &length));
    if (length == 0) {
        sw_vector_fill(l->type, l->dim, 0, product);
        return SW_OK;
    }
    swo_landscape_move(l, l->step / length, v);
    SW_TRY(swo_landscape_gradient(l, false, NULL, product));
    swo_landscape_move(l, -l->step / length, v);
    SW_TRY(swo_landscape_gradient(l, false, NULL, work));
    const double factor = length / (2 * l->step);
    sw_vector_axpby(l->type, l->dim, factor, product, -factor, work, product);
    return hessian_norm(l, product, "a difference of gradients", &unused);
}

sw_status sw_landscape_hessian(sw_landscape *l, const void *v, void *product) {
    SW_TRY(swo_landscape_check("landscape_hessian", l, "v", v));
    SW_TRY(swo_landscape_check("landscape_hessian", l, "product", product));
    SW_TRY(swo_landscape_check_hessian(l, "landscape_hessian"));
    void *work = swo_landscape_vectors(l, 2);
    if (!work)
        return sw_last_failure();
    void *direction = swo_landscape_vector(l, work, 1);
    sw_vector_axpby(l->type, l->dim, 1, v, 0, NULL, direction);
    swo_landscape_mask(l, direction);
    const sw_status status = swo_landscape_hessian(l, direction, product, work);
    sw_free(work);
    return status;
}

static sw_status trace_probe(sw_landscape *l, sw_rng *rng, void *vectors, double *value) {
    void *z = swo_landscape_vector(l, vectors, 0), *product = swo_landscape_vector(l, vectors, 1);
    swo_landscape_random(l, true, rng, z);
    SW_TRY(swo_landscape_hessian(l, z, product, swo_landscape_vector(l, vectors, 2)));
    *value = sw_vector_dot(l->type, l->dim, z, product);
    return SW_OK;
}

sw_status sw_landscape_trace(sw_landscape *l, int probes, uint64_t seed, double *trace, double *error) {
    SW_TRY(swo_landscape_check("landscape_trace", l, "trace", trace));
    if (probes < 1)
        return sw_fail(SW_ERR_ARGUMENT, "landscape_trace: %d probes; at least 1 is needed", probes);
    SW_TRY(swo_landscape_check_hessian(l, "landscape_trace"));
    void *vectors = swo_landscape_vectors(l, 3);
    sw_rng rng = {.key = sw_rng_key(seed, "trace")};
    double mean = 0, squares = 0; /* squares: Σ (value - mean)² (Welford) */
    sw_status status = vectors ? SW_OK : sw_last_failure();
    for (int i = 0; i < probes && status == SW_OK; i++) {
        double value = 0;
        status = trace_probe(l, &rng, vectors, &value);
        const double change = value - mean;
        mean += change / (i + 1);
        squares += change * (value - mean);
    }
    sw_free(vectors);
    *trace = mean;
    if (error)
        *error = probes > 1 ? sqrt(squares / (probes - 1) / probes) : (double)NAN;
    return status;
}
