/* Estimators: where the gradient comes from. */
#ifndef SWALE_ESTIMATOR_H
#define SWALE_ESTIMATOR_H

#include <swale/method.h>
#include <swale/sampler.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SW_ESTIMATOR_OBJECTIVE = 1, /* evaluates by itself: not for sw_optim_step */
    SW_ESTIMATOR_WRAPPER = 2,   /* works through an inner estimator, named by its SPEC option */
    SW_ESTIMATOR_DIRECT = 4,    /* g is what sw_estimate_gradient gave, unchanged: a line search needs
                                 * that, since its trials are of the same samples */
    SW_ESTIMATOR_ONCE = 8,      /* `estimate` may run once a step only (its tables take what it saw) */
    SW_ESTIMATOR_AGAIN = 16,    /* a wrapper that runs the inner estimate more than once a step */
    SW_ESTIMATOR_OWN_IDS = 32,  /* `sample` makes its ids without a sampler */
    SW_ESTIMATOR_EXACT = 64     /* g is the gradient of f at x, the mean over all samples */
};

typedef struct sw_estimator sw_estimator;

/* An estimator at work. */
typedef struct sw_estimate sw_estimate;
struct sw_estimate {
    const sw_estimator *method;
    const double *option;
    double *scalar; /* kept from step to step; a skipped step undoes what was written */
    int64_t step;   /* this one's number, from 1 */
    const sw_objective *objective;
    sw_params *params;
    sw_tape *tape;
    sw_dtype type;
    int64_t n, dim;
    void *slot[SW_MAX_SLOTS];
    uint64_t seed;       /* of the optimizer: for a separate stream, sw_rng_key(seed, "sag") */
    sw_sampler *sampler; /* over n with option "batch"; NULL without one, or with OWN_IDS */
    int64_t per_epoch;   /* steps of an epoch: the sampler's, unless `start` sets another; 0: unknown */
    bool wants_lr;       /* a rule has lr=auto: what `lr` is, is asked for */
    const int64_t *ids;  /* set by `sample`; NULL with count n: all */
    int64_t count;
    uint64_t draw;      /* of random numbers: a new one for each sampling (skipped steps use one
                               * up), equal for all passes of the step; `sample` may replace it */
    double value;       /* set by `estimate`: the mean loss at the step's samples; NaN: unknown */
    double weight;      /* of that loss: set by sw_estimate_gradient and sw_estimate_glm_derivatives when they are
                               * given &e->value; NaN: `count` */
    double lr;          /* may be set: the step size it proposes, for lr=auto; NaN: none */
    sw_estimate *inner; /* of a wrapper */
    void *optim;        /* the pipeline's own */
};

struct sw_estimator {
    size_t size; /* sizeof(sw_estimator) */
    const char *name, *summary, *source;
    const sw_option *options;
    const sw_slot *slots;
    const char *const *scalars;
    unsigned flags;
    /* Once, before the first step with an objective: refuse what does not fit. May be NULL. */
    sw_status (*start)(sw_estimate *e);
    /* Chooses ids and count. NULL: the next batch of the sampler. */
    sw_status (*sample)(sw_estimate *e);
    /* The gradient estimate at x, into g (dim elements of the parameters' type). Tables are read, not
     * written; a slot may be rebuilt if a scalar that vouches for it is written too. Inside a wrapper
     * it may run several times a step, at different x, unless SW_ESTIMATOR_ONCE. Returns what
     * sw_estimate_gradient returns when that is not SW_OK. */
    sw_status (*estimate)(sw_estimate *e, const void *x, void *g);
    /* The step was taken: tables move. It cannot be skipped any more. May be NULL. */
    sw_status (*commit)(sw_estimate *e);
    const char *cost;  /* of a step, for the list: "2 gradients of a batch"; may be NULL */
    int added_scalars; /* at the end of `scalars`, in a later version: a file without them can be loaded, and they
                        * are 0 then */
};
/* A scalar named "converged" becomes 1 when the estimator's own test says that x is good enough, so that a
 * loop can end: sw_optim_scalar(optim, -1, "converged"). Each test sets it anew; sw_train sets it to 0 when it
 * begins.
 *
 * Options of kind DURATION reach every method's functions in steps (in an estimator's `start` a part of a
 * run whose length is not yet set is NaN). */

/* For `estimate`: the checked gradient of the mean loss of some samples at x. SW_SKIPPED if it holds
 * Inf or NaN. value may be NULL. ids NULL with count n: all, in chunks.
 * Running statistics (SW_UPDATE_BUFFERS) move in one evaluation of a step: the first by this function with
 * the step's own samples (ids is e->ids). */
SW_API sw_status sw_estimate_gradient(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value,
                                      void *g);
/* The mean loss alone, Inf or NaN included. */
SW_API sw_status sw_estimate_value(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value);
/* For a generalized linear model: the checked s_i [count, outputs]; see sw_objective_glm_derivatives. */
SW_API sw_status sw_estimate_glm_derivatives(sw_estimate *e, const void *x, const int64_t *ids, int64_t count,
                                             double *value, void *s);
/* … and back: g = beta·g + Σ c_i [a_i, 1] for coefficients c [count, outputs] (dim elements), also where
 * parameters are frozen: the pipeline sets the final gradient to 0 there. */
SW_API sw_status sw_estimate_glm_combine(sw_estimate *e, const int64_t *ids, int64_t count, const void *c, double beta,
                                         void *g);
/* For a wrapper: the inner one's estimate at x. The first call of a step fills e->value. A wrapper's
 * ids, count and draw are the inner one's unless it samples by itself; the inner one samples and
 * commits first; scalars of both are undone by a skip. */
SW_API sw_status sw_estimate_inner(sw_estimate *e, const void *x, void *g);
/* A vector of `count` elements (0: dim) of the parameters' type, kept from `sample` to the end of
 * `commit`; index 0 to 3. Asking for more elements moves it. Each estimator, also a wrapper and its
 * inner one, has its own. */
SW_API void *sw_estimate_scratch(sw_estimate *e, int index, int64_t count);
/* Room for `count` ids, for a `sample` that chooses by itself; kept until the next step. */
SW_API int64_t *sw_estimate_ids(sw_estimate *e, int64_t count);

/* Adds an estimator, and lists all: see Registration in method.h. */
SW_API sw_status sw_estimator_register(const sw_estimator *estimator);
SW_API const sw_estimator *sw_estimator_find(const char *name);
SW_API const sw_estimator *sw_estimator_at(int index);

#ifdef __cplusplus
}
#endif
#endif
