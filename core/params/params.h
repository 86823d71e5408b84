/* Parameters: one vector x, and its gradient. */
#ifndef SWALE_PARAMS_H
#define SWALE_PARAMS_H

#include <swale/array.h>
#include <swale/random.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sw_params sw_params;
typedef struct sw_param sw_param;
typedef struct sw_gradient sw_gradient;

/* All parameters lie in one vector x without padding. A parameter is a name, a role, a shape and
 * an offset into it. Declared first, then built once. */

typedef enum sw_role {
    SW_ROLE_WEIGHT = 0, /* a hidden layer's matrix */
    SW_ROLE_BIAS,
    SW_ROLE_NORM,
    SW_ROLE_EMBEDDING,
    SW_ROLE_HEAD, /* the last layer's matrix */
    SW_ROLE_OTHER
} sw_role;
SW_API const char *sw_role_name(sw_role role); /* "weight" */

struct sw_param {
    const char *name; /* unique: "linear1.weight" */
    sw_role role;
    int rank;
    int64_t shape[SW_MAX_RANK];
    int64_t count;           /* elements */
    int64_t offset;          /* of the first element in the vector; -1 before the build */
    int64_t fan_in, fan_out; /* 0 where it makes no sense */
    bool frozen;             /* no gradient, no update: sw_param_freeze */
    int index;               /* in the order of declaration */
    sw_params *owner;
    sw_param *tied; /* shares that one's elements, or NULL */
};

/* How initial values are made: fills `out`, `count` values, from the stream, or fails, and the build with
 * it. NaN, or a number that is infinite in the parameters' type, is refused with SW_ERR_NONFINITE; a parameter
 * that is frozen before the build may hold Inf, as an attention mask does. nn has the usual ones. */
typedef struct sw_init {
    size_t size; /* sizeof(sw_init) */
    const char *name;
    sw_status (*fill)(const struct sw_init *init, const sw_param *param, sw_rng *rng, double *out);
    double a, b, c, d; /* the method's own numbers */
} sw_init;

/* An empty set. type: f32 or f64. Initial values depend on seed and name alone. */
SW_API sw_params *sw_params_new(sw_dtype type, uint64_t seed);
SW_API void sw_params_free(sw_params *params);

typedef struct sw_param_options {
    size_t size; /* sizeof(sw_param_options) */
    sw_role role;
    int64_t fan_in, fan_out;
    sw_init init; /* fill NULL: zeros */
} sw_param_options;
/* Declares a parameter; the name and the options are copied. NULL after an error. */
SW_API sw_param *sw_params_add(sw_params *params, const char *name, int rank, const int64_t *shape,
                               const sw_param_options *options);
/* Declares a name for the elements of `target` (equal shape), stored and saved once. */
SW_API sw_param *sw_params_tie(sw_params *params, const char *name, sw_param *target);
/* Lays out the vector, makes gradient and initial values. Once. */
SW_API sw_status sw_params_build(sw_params *params);
/* The initial values again, as after the build. After an error some of them may be missing. */
SW_API sw_status sw_params_reinitialize(sw_params *params);

SW_API bool sw_params_built(const sw_params *params);                       /* sw_params_build has succeeded */
SW_API sw_dtype sw_params_type(const sw_params *params);                    /* SW_F32 or SW_F64 */
SW_API uint64_t sw_params_seed(const sw_params *params);                    /* of initial values */
SW_API int64_t sw_params_dim(const sw_params *params);                      /* elements of the vector */
SW_API int sw_params_count(const sw_params *params);                        /* parameters, tied names included */
SW_API sw_param *sw_params_at(const sw_params *params, int index);          /* in the order of declaration, from 0 */
SW_API sw_param *sw_params_find(const sw_params *params, const char *name); /* NULL: no such name */
SW_API void *sw_params_x(const sw_params *params);                          /* the vector */
/* To be called after writing to the vector by hand: what was recorded before is then refused. */
SW_API void sw_params_mark_changed(sw_params *params);
/* A number that grows whenever the vector changes: by a step, by loading, by sw_params_mark_changed. */
SW_API uint64_t sw_params_version(const sw_params *params);
SW_API sw_gradient *sw_params_gradient(const sw_params *params); /* its own gradient block */
SW_API sw_array sw_param_value(const sw_param *param);           /* a view of its elements in x */
/* A view of the parameter's gradient: the mean that the block holds, also after a step (clipped, if it was). */
SW_API sw_array sw_param_grad(const sw_param *param);
/* Both record an error for NULL: a name that sw_params_find does not know would otherwise train in silence. */
SW_API void sw_param_freeze(sw_param *param, bool frozen);
SW_API void sw_param_set_role(sw_param *param, sw_role role);

/* A gradient block: a vector like x that knows what it holds. Fresh: the next backward stores, and
 * parameters it does not reach become zero. Taking a step makes it fresh; it need not be zeroed. While
 * several passes add to a block it holds a weighted sum (in f32 with the rounding errors in a second vector,
 * made at the second pass, so that 1e5 passes lose no digits). sw_gradient_data, sw_param_grad and sw_grad
 * turn it into the mean: ask for them again after a further backward. */
SW_API sw_gradient *sw_gradient_new(sw_params *params);
/* One without memory of its own, for vectors that are somebody else's: fresh, and pointed at one of
 * them (dim elements) by sw_gradient_set_data before use. */
SW_API sw_gradient *sw_gradient_view(sw_params *params);
SW_API void sw_gradient_set_data(sw_gradient *view, void *vector);
SW_API void sw_gradient_free(sw_gradient *gradient);
/* The mean so far: dim elements of the parameters' type, for reading or for filling as a whole. */
SW_API void *sw_gradient_data(sw_gradient *gradient);
SW_API void sw_gradient_make_fresh(sw_gradient *gradient);
SW_API bool sw_gradient_is_fresh(const sw_gradient *gradient);
SW_API int64_t sw_gradient_samples(const sw_gradient *gradient); /* seen since fresh */
/* The sum of the weights seen since fresh, or SW_SUMMED; 0 while fresh. */
SW_API double sw_gradient_weight(const sw_gradient *gradient);

#ifdef __cplusplus
}
#endif
#endif
