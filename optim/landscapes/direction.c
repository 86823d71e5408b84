/* Directions in the space of the parameters: random ones, their scale, and those of a plane through three points. */
#include <swale/landscape.h>
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/vector.h>

#include <float.h>
#include <math.h>
#include <string.h>

static sw_status direction_check(const char *who, const sw_params *params, const void *x, const void *d) {
    if (!params || !x || !d)
        return sw_fail(SW_ERR_ARGUMENT, "%s: the %s NULL", who,
                       !params ? "parameters are"
                       : !x    ? "point is"
                               : "direction is");
    if (!sw_params_built(params))
        return sw_fail(SW_ERR_STATE, "%s: the parameters are not built", who);
    return SW_OK;
}

static void *direction_at(const sw_params *params, const void *vector, int64_t offset) {
    return (char *)(uintptr_t)vector + (size_t)offset * sw_dtype_size(sw_params_type(params));
}

static sw_status direction_norm(sw_dtype type, int64_t n, const void *v, double *norm) {
    return sw_vector_norm(type, n, v, norm) == SW_OK
               ? SW_OK
               : sw_fail(SW_ERR_NONFINITE, "direction: a vector of %lld elements holds Inf or NaN", (long long)n);
}

/* Gives `rows` rows of d of `length` elements the norms of the rows of x. */
static sw_status direction_match_rows(const sw_params *params, int64_t offset, int64_t rows, int64_t length,
                                      const void *x, void *d) {
    const sw_dtype type = sw_params_type(params);
    for (int64_t i = 0; i < rows; i++) {
        double of_x, of_d;
        void *row = direction_at(params, d, offset + i * length);
        SW_TRY(direction_norm(type, length, direction_at(params, x, offset + i * length), &of_x));
        SW_TRY(direction_norm(type, length, row, &of_d));
        sw_vector_axpby(type, length, of_d > 0 ? of_x / of_d : 0, row, 0, NULL, row);
    }
    return SW_OK;
}

static sw_status direction_rescale_param(const sw_params *params, const sw_param *p, const void *x,
                                         sw_direction_scale scale, void *d) {
    const bool filters = scale == SW_SCALE_FILTERS || scale == SW_SCALE_FILTERS_AND_BIASES;
    if (p->frozen || (scale == SW_SCALE_FILTERS && p->rank < 2)) {
        memset(direction_at(params, d, p->offset), 0, (size_t)p->count * sw_dtype_size(sw_params_type(params)));
        return SW_OK;
    }
    if ((!filters && scale != SW_SCALE_TENSORS) || p->count == 0)
        return SW_OK;
    const int64_t rows = filters && p->rank >= 2 ? p->shape[0] : 1;
    return direction_match_rows(params, p->offset, rows, p->count / rows, x, d);
}

sw_status sw_direction_rescale(const sw_params *params, const void *x, sw_direction_scale scale, void *d) {
    SW_TRY(direction_check("direction_rescale", params, x, d));
    if ((int)scale < SW_SCALE_NONE || scale > SW_SCALE_FILTERS_AND_BIASES)
        return sw_fail(SW_ERR_ARGUMENT, "direction_rescale: scale %d; a value of sw_direction_scale is needed",
                       (int)scale);
    for (int i = 0; i < sw_params_count(params); i++) {
        const sw_param *p = sw_params_at(params, i);
        if (!p->tied)
            SW_TRY(direction_rescale_param(params, p, x, scale, d));
    }
    if (scale == SW_SCALE_UNIT) {
        double norm;
        SW_TRY(direction_norm(sw_params_type(params), sw_params_dim(params), d, &norm));
        sw_vector_axpby(sw_params_type(params), sw_params_dim(params), norm > 0 ? 1 / norm : 0, d, 0, NULL, d);
    }
    return SW_OK;
}

sw_status sw_direction_random(const sw_params *params, const void *x, sw_direction_scale scale, uint64_t seed,
                              void *d) {
    SW_TRY(direction_check("direction_random", params, x, d));
    const uint64_t key = sw_rng_key(seed, "direction");
    for (int i = 0; i < sw_params_count(params); i++) {
        const sw_param *p = sw_params_at(params, i);
        sw_rng rng = {.key = sw_rng_key(key, p->name)};
        for (int64_t k = 0; !p->tied && k < p->count; k++)
            sw_store_element(sw_params_type(params), d, p->offset + k, sw_rng_normal(&rng));
    }
    return sw_direction_rescale(params, x, scale, d);
}

/* ---- The plane through three points ---- */

/* out = to - from without buffers */
static void plane_difference(const sw_params *params, const void *to, const void *from, void *out) {
    const sw_dtype type = sw_params_type(params);
    const int64_t dim = sw_params_dim(params), buffers = sw_params_buffer_dim(params);
    sw_vector_axpby(type, dim - buffers, 1, to, -1, from, out);
    memset(direction_at(params, out, dim - buffers), 0, (size_t)buffers * sw_dtype_size(type));
}

/* v = v - ⟨u, v⟩u; returns ⟨u, v⟩ */
static double plane_project(sw_dtype type, int64_t dim, const void *u, void *v) {
    const double along = sw_vector_dot(type, dim, u, v);
    sw_vector_axpby(type, dim, 1, v, -along, u, v);
    return along;
}

sw_status sw_direction_plane(const sw_params *params, const void *a, const void *b, const void *c, void *u, void *v,
                             double place[3]) {
    SW_TRY(direction_check("direction_plane", params, a, u));
    if (!b || !c || !v || !place)
        return sw_fail(SW_ERR_ARGUMENT, "direction_plane: %s is NULL", !b ? "b" : !c ? "c" : !v ? "v" : "place");
    const sw_dtype type = sw_params_type(params);
    const int64_t dim = sw_params_dim(params);
    const double least = type == SW_F64 ? 1e-12 : 1e-5;
    double distance;
    plane_difference(params, b, a, u);
    plane_difference(params, c, a, v);
    SW_TRY(direction_norm(type, dim, u, &place[0]));
    SW_TRY(direction_norm(type, dim, v, &distance));
    sw_vector_axpby(type, dim, place[0] > 0 ? 1 / place[0] : 0, u, 0, NULL, u);
    place[1] = plane_project(type, dim, u, v);
    place[1] += plane_project(type, dim, u, v); /* the second time removes the rounding error of the first */
    SW_TRY(direction_norm(type, dim, v, &place[2]));
    if (!(place[0] > 0 && place[2] > least * fmax(place[0], distance)))
        return sw_fail(SW_ERR_ARGUMENT,
                       "direction_plane: the points lie on a line: b has the distance %g from a, and c the distance %g "
                       "from the line through a and b",
                       place[0], place[2]);
    sw_vector_axpby(type, dim, 1 / place[2], v, 0, NULL, v);
    return SW_OK;
}
