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
    uint64_t draw;        /* of random numbers: a new one for each sampling (skipped steps use one
                               * up), equal for all passes of the step; `sample` may replace it */
    double value;         /* set by `estimate`: the mean loss at the step's samples; NaN: unknown */
    double weight;        /* of that loss: set by sw_estimate_gradient and sw_estimate_glm_derivatives when they are
                               * given &e->value; NaN: `count` */
    double lr;            /* may be set: the step size it proposes, for lr=auto; NaN: none */
    sw_estimate *inner;   /* of a wrapper */
    void *optim;          /* the pipeline's own */
    double penalty;       /* λ, the largest weight_decay of the rules that add it to the gradient (SW_RULE_PENALTY), as
                           * their specs state it; 0: none */
    double gradient_norm; /* of the gradient that sw_estimate_gradient checked last. With SW_ESTIMATOR_DIRECT it must be
                           * ‖g‖ when `estimate` returns */
    uint64_t draws;       /* samplings so far, this one included, also those of skipped steps: for a `sample` that makes
                           * random numbers of its own */
    bool x_written;       /* x was written from outside since the last step */
    /* `start` may set these. */
    void *own;   /* the method's own: see sw_estimate_memory */
    void *x_low; /* a slot of dim elements, in f32: the low-order part of x, so that x + x_low is what compensated
                  * summation of the moves gives. The rule sgd without momentum updates it with x */
    bool runs;   /* `run` can take steps of this objective */
};

/* ---- Many steps in one loop ----
 *
 * Where the pipeline would do nothing but the rule sgd without momentum and a running average, an estimator may take many
 * steps in a loop of its own, `run`. With λ the decay and g the estimate, each stretch of x moves by
 *     x ← x - lr (g + λx)          or prox of that, where it is proximal: l1 and bounds as those of sgd */
enum { SW_MAX_STRETCHES = 8 };
typedef struct sw_run_stretch {
    int64_t offset, count; /* in x */
    double lr, decay;      /* lr NaN: what the estimator proposes */
    bool moves;            /* not frozen */
    bool proximal;         /* l1 or bounds */
    double l1, low, high;
} sw_run_stretch;

/* What `run` gets. */
typedef struct sw_estimate_run {
    int64_t most;  /* steps at most */
    int64_t done;  /* steps taken: sw_run_end_step counts them */
    int stretches; /* in the order of x, all of it together */
    sw_run_stretch stretch[SW_MAX_STRETCHES];
    void *mean, *mean_low; /* the running average of x, which the loop moves, e ← e + w (x - e), and its low-order part
                            * (f32, else NULL); NULL: there is none */
} sw_estimate_run;

/* Each step of the loop: sw_run_begin_step; the estimate and the move of x, of the average and of the method's tables; then
 * sw_run_end_step. Or, before anything of that has moved, sw_run_undo_step. */
/* Sets e->step and e->draws. */
SW_API void sw_run_begin_step(sw_estimate_run *run);
/* If there is a mean: the weight w of x in it after this step, 0 if the average leaves the step out. False: the average
 * refuses the step, which must be undone; the pipeline will take it and report why. */
SW_API bool sw_run_average_weight(sw_estimate_run *run, double *weight);
/* The step was taken, of so many samples, with their mean loss at x before it. Returns an error of a callback, which
 * `run` returns. */
SW_API sw_status sw_run_end_step(sw_estimate_run *run, int64_t samples, double loss);
/* The step is not taken: scalars of the estimator and of the average are as before sw_run_begin_step. */
SW_API void sw_run_undo_step(sw_estimate_run *run);

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
    /* For the option "batch" where it is 0, before `start`: the samples of a step for this objective. The number then
     * counts as given. NULL: 0 stays. */
    int64_t (*choose_batch)(const sw_estimate *e);
    /* The step size that e->lr is, for parameters with another penalty than e->penalty. Curvatures of the loss and of
     * the penalty add up in each parameter by itself, so that a free intercept need not wait for the penalty of the
     * weights. NULL: e->lr. */
    double (*lr_with)(const sw_estimate *e, double penalty);
    /* Before the rules move x: whether the tables can take this step, whose gradient has the norm. An error refuses the
     * step. NULL: they can. */
    sw_status (*fits)(sw_estimate *e, double norm);
    /* Where e->runs: up to run->most steps in one loop, equal to as many single ones up to rounding. It may end before
     * any step, which the pipeline then takes, or refuses. NULL: there is none. */
    sw_status (*run)(sw_estimate *e, sw_estimate_run *run);
    /* A bit for each scalar that is a whole number, SW_WHOLE_SCALAR: it is kept as an int64_t in its place of `scalar`,
     * below 2^53 in absolute value. Files and sw_optim_scalar have it as a double. */
    uint32_t whole_scalars;
};
/* The bit of a field in a struct of scalars whose fields are double or int64_t. */
#define SW_WHOLE_SCALAR(type, field) ((uint32_t)1 << (offsetof(type, field) / sizeof(double)))
/* A scalar named "converged" becomes 1 when the estimator's own test says that x is good enough, so that a
 * loop can end: sw_optim_scalar(optim, -1, "converged"). Each test sets it anew; sw_train sets it to 0 when it
 * begins.
 *
 * Options of kind DURATION reach every method's functions in steps (in an estimator's `start` a part of a
 * run whose length is not yet set is NaN). */

/* For `estimate`: the checked gradient of the mean loss of some samples at x. SW_SKIPPED if it holds
 * Inf or NaN. value may be NULL. ids NULL with count n: all, in chunks.
 * Running statistics (SW_UPDATE_BUFFERS) are updated in one evaluation of a step: the first call of this function
 * with ids equal to e->ids. An estimator that evaluates parts of its samples one after the other makes that call with
 * the first part, so that the statistics are those of this part. */
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
 * `commit`; index 0 to 3. Those of index 4 to 6 are kept until the function returns. Asking for more elements moves it.
 * Each estimator, also a wrapper and its inner one, has its own. */
SW_API void *sw_estimate_scratch(sw_estimate *e, int index, int64_t count);
/* Memory of the method's own, zero at first, kept as long as the optimizer is bound, and not saved; index 0 to 3. Asking
 * for another size makes it anew. sw_optim_bytes counts it as work. */
SW_API void *sw_estimate_memory(sw_estimate *e, int index, size_t bytes);
/* For `start`: makes the slot, which its `needed` has left NULL, because it depends on more than the options. */
SW_API sw_status sw_estimate_make_slot(sw_estimate *e, int slot);
/* Zeros where parameters are frozen: they must not count in norms and products. */
SW_API void sw_estimate_zero_frozen(const sw_estimate *e, void *g);
/* Which parameters are frozen, as a whole number below 2^53: a bit for each, and after the 52nd a hash of them. */
SW_API int64_t sw_estimate_frozen_set(const sw_estimate *e);
/* An error unless l2, an option that states the penalty, is 0 or e->penalty. */
SW_API sw_status sw_estimate_check_penalty(const sw_estimate *e, double l2);
/* The penalty as schedules have it in this step, over groups that are not frozen as a whole. */
SW_API double sw_estimate_penalty_now(const sw_estimate *e);
/* For tests of convergence: g ← g + λx, each group's own λ, and of l1 and bounds the subgradient that is nearest to 0; 0
 * where frozen. And its norm: INFINITY if x is outside the bounds. SW_SKIPPED: g holds Inf or NaN. */
SW_API sw_status sw_estimate_penalized_norm(sw_estimate *e, const void *x, void *g, double *norm);
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
