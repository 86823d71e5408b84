/* Estimators compute the gradient of a step. */
#ifndef SWALE_ESTIMATOR_H
#define SWALE_ESTIMATOR_H

#include <swale/method.h>
#include <swale/sampler.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SW_ESTIMATOR_OBJECTIVE = 1, /* it evaluates the objective itself, and cannot be used with sw_optim_step. A wrapper
                                 * need not set it. Without the flag, sw_optim_step takes the gradient
                                 * of the block in place of `estimate` */
    SW_ESTIMATOR_WRAPPER = 2,   /* it calls an inner estimator, which its SPEC option names */
    SW_ESTIMATOR_DIRECT = 4,    /* g is the unchanged result of sw_estimate_gradient. A line search requires this of the
                                 * innermost estimator, because its trials use the same samples */
    SW_ESTIMATOR_ONCE = 8,      /* `estimate` may be called only once per step, because `commit` stores the results of
                                 * this call in tables */
    SW_ESTIMATOR_AGAIN = 16,    /* a wrapper that calls the inner `estimate` more than once per step */
    SW_ESTIMATOR_OWN_IDS = 32,  /* `sample` chooses its ids without a sampler */
    SW_ESTIMATOR_EXACT = 64     /* g is the gradient of f at x, the mean over all samples */
};

/* Why a step was skipped. */
typedef enum sw_skip_cause {
    SW_SKIP_GRADIENT = 0, /* Inf or NaN in a gradient, or `estimate` of an estimator returned SW_SKIPPED */
    SW_SKIP_SEARCH,       /* the line search found no step */
    SW_SKIP_RULE,         /* `begin` or `decide` of a rule returned SW_SKIPPED */
    SW_SKIP_SAMPLE        /* `sample` of an estimator returned SW_SKIPPED */
} sw_skip_cause;

typedef struct sw_estimator sw_estimator;

/* The state of an estimator of an optimizer: the argument of its functions. */
typedef struct sw_estimate sw_estimate;
struct sw_estimate {
    const sw_estimator *method;
    const double *option;
    double *scalar; /* initially 0, kept from step to step; a skipped step restores the values before it */
    int64_t step;   /* the number of this step, from 1 */
    const sw_objective *objective;
    sw_params *params;
    sw_tape *tape;
    sw_dtype type;
    int64_t n, dim;
    void *slot[SW_MAX_SLOTS];
    uint64_t seed;       /* of the optimizer: for a separate stream, sw_rng_key(seed, "sag") */
    sw_sampler *sampler; /* of n samples, if there is an option "batch"; else, and with OWN_IDS, NULL */
    int64_t per_epoch;   /* steps per epoch: those of the sampler, unless `start` sets another number; 0: not known */
    bool wants_lr;       /* a rule has lr=auto, so that `lr` will be read */
    const int64_t *ids;  /* set by `sample`; NULL with count n: all samples */
    int64_t count;
    uint64_t draw;      /* selects the random numbers of the objective: a new value for each sampling, including those
                           * of skipped steps, and the same for all passes of a step; `sample` may replace it */
    double value;       /* set by `estimate`: the mean loss of the samples of the step; NaN: not known */
    double weight;      /* the weight of that loss. sw_estimate_gradient and sw_estimate_glm_derivatives set it if their
                           * argument `value` is &e->value; NaN: `count` */
    double lr;          /* the method may set it to the step size that it proposes for lr=auto; NaN: none */
    sw_estimate *inner; /* of a wrapper */
    void *optim;        /* the optimizer, for use by the pipeline only */
    double penalty;     /* λ, the largest weight_decay in the specs of the rules that add it to the gradient
                           * (SW_RULE_PENALTY); 0: none */
    double gradient_norm; /* of the gradient that sw_estimate_gradient checked last. With SW_ESTIMATOR_DIRECT it must be
                           * ‖g‖ when `estimate` returns */
    uint64_t draws;       /* the number of samplings so far, including this one and those of skipped steps: a `sample`
                           * that generates random numbers can use it as their counter */
    bool x_written;       /* the program has written to x since the last step */
    /* `start` may set the following members. */
    void *own;   /* a pointer to memory of the method: see sw_estimate_memory */
    void *x_low; /* in f32, a slot of dim elements: the low-order part of x, so that x + x_low is the compensated sum of
                  * all changes of x. The rule sgd without momentum updates it together with x */
    bool runs;   /* `run` can take steps of this objective */
    /* For `skipped`. */
    sw_skip_cause skip_cause; /* why the step was skipped */
    /* `start` may set it: `estimate` does not read or write g, but passes it to one call of sw_estimate_gradient. Then
     * g may be the gradient block of the parameters in f16 or bf16, if this is their storage type and no other part of
     * the step needs the gradient in the type of x. The step then allocates no f32 vector for it. */
    bool passes_g;
};

/* ---- Many steps in one loop ----
 *
 * If the pipeline would only run the rule sgd without momentum and a running average, an estimator may take many steps
 * in one loop, `run`. A stretch is a contiguous range of x with equal options. With the gradient g and the decay λ, the
 * loop computes for each stretch
 *     x ← x - lr (g + λx)          if it is not proximal
 *     x ← prox(x - lr (g + λx))    if it is: with l1 and bounds, as sgd does */
enum { SW_MAX_STRETCHES = 8 };
typedef struct sw_run_stretch {
    int64_t offset, count; /* in x */
    double lr, decay;      /* lr NaN: the step size that the estimator proposes */
    bool moves;            /* false if it is frozen */
    bool proximal;         /* it has l1 or bounds */
    double l1, low, high;
} sw_run_stretch;

/* The argument of `run`. */
typedef struct sw_estimate_run {
    int64_t most;  /* the largest number of steps to take */
    int64_t done;  /* the number of steps taken, which sw_run_end_step counts */
    int stretches; /* in the order of x; together they are the whole of x */
    sw_run_stretch stretch[SW_MAX_STRETCHES];
    void *mean, *mean_low; /* the running average of x, which the loop updates by e ← e + w (x - e), and in f32 its
                            * low-order part. mean NULL: there is no average; mean_low NULL: there is no low-order
                            * part */
} sw_estimate_run;

/* Each step of the loop calls sw_run_begin_step; computes the gradient and updates x, the average and the tables of the
 * method; and calls sw_run_end_step. To abandon a step, it calls sw_run_undo_step before it has changed any of
 * these. */
/* Begins a step. Sets e->step and e->draws. */
SW_API void sw_run_begin_step(sw_estimate_run *run);
/* Computes the weight w of x in the mean after this step; 0 if there is no mean, or if the average omits this step.
 * Returns false if the average refuses the step, which must then be undone; the pipeline then takes the step, and
 * reports the reason. */
SW_API bool sw_run_average_weight(sw_estimate_run *run, double *weight);
/* Ends a step that was taken: `samples` is the number of its samples, and `loss` their mean loss at x before the step.
 * Returns the error of a callback, which `run` must return. */
SW_API sw_status sw_run_end_step(sw_estimate_run *run, int64_t samples, double loss);
/* Abandons a step: restores the scalars of the estimator and of the average to their values before
 * sw_run_begin_step. */
SW_API void sw_run_undo_step(sw_estimate_run *run);

struct sw_estimator {
    size_t size; /* sizeof(sw_estimator) */
    const char *name, *summary, *source;
    const sw_option *options;
    const sw_slot *slots;
    const char *const *scalars;
    unsigned flags;
    /* Called once, before the first step with an objective; returns an error if the method cannot be used with this
     * objective. It may write initial values to the scalars; those of a checkpoint, which is loaded later, replace
     * them. May be NULL. */
    sw_status (*start)(sw_estimate *e);
    /* Chooses ids and count. NULL: the next batch of the sampler. */
    sw_status (*sample)(sw_estimate *e);
    /* Writes the estimate of the gradient at x to g (dim elements of the type of x, except with e->passes_g). It may
     * read tables, but not change them, because the step may still be skipped. It may compute a slot anew if it also
     * sets a scalar which states that the slot is valid, because a skipped step restores that scalar. Inside a wrapper
     * it may be called several times per step, with different x, unless SW_ESTIMATOR_ONCE is set. If
     * sw_estimate_gradient returns a status other than SW_OK, it must return that status. */
    sw_status (*estimate)(sw_estimate *e, const void *x, void *g);
    /* Updates the tables after a step was taken, which can no longer be skipped. May be NULL. */
    sw_status (*commit)(sw_estimate *e);
    const char *cost;  /* of a step, for the list: "2 gradients of a batch"; may be NULL */
    int added_scalars; /* the number of scalars, at the end of `scalars`, that a later version added: a file without
                        * them can be loaded, and they are 0 then */
    /* If the option "batch" is 0: returns the number of samples per step for this objective. It is called before
     * `start`, and the option has this value from then on. NULL: the option remains 0. */
    int64_t (*choose_batch)(const sw_estimate *e);
    /* Returns the step size that corresponds to e->lr for parameters with another penalty than e->penalty. The
     * curvature of a parameter is the sum of those of the loss and of the penalty on this parameter, so that an
     * intercept without penalty may take larger steps than the weights. NULL: e->lr. */
    double (*lr_with)(const sw_estimate *e, double penalty);
    /* Called before the rules update x, with the norm of the gradient of the step, or, inside a wrapper, with the norm
     * of the estimate of this estimator. Returns an error, which refuses the step, if the tables would become infinite.
     * NULL: they cannot. */
    sw_status (*fits)(sw_estimate *e, double norm);
    /* If e->runs: takes up to run->most steps in one loop, with the results of single steps up to rounding. It may end
     * before any step; the pipeline then takes that step, or refuses it. NULL: the method has no such loop. */
    sw_status (*run)(sw_estimate *e, sw_estimate_run *run);
    /* A bit (SW_WHOLE_SCALAR) for each scalar that is an integer. Its element of `scalar` contains an int64_t, below
     * 2^53 in absolute value. In files and in sw_optim_scalar it is a double. */
    uint32_t whole_scalars;
    /* Called once after a step of this objective that was skipped, when all scalars and step sizes are again those
     * before the step; e->skip_cause says why. What it writes to its scalars and to e->lr stays, so that a loss scale
     * can back off (e->lr of a wrapper until the next step: see Wrappers); nothing else may change. The innermost
     * estimator is called first. It is not called after an error. If it calls sw_fail, or if a scalar becomes Inf or
     * NaN, the step ends with that error. NULL: a skipped step changes nothing. */
    void (*skipped)(sw_estimate *e);
};

/* ---- Wrappers ---- */

/* A wrapper (SW_ESTIMATOR_WRAPPER) defines only what it changes. The rest is that of its inner estimator, which may be
 * a wrapper too:
 *
 * - `estimate`: if it is NULL, g is the inner estimate, and SW_ESTIMATOR_DIRECT and SW_ESTIMATOR_EXACT are those of the
 *   inner estimator. A wrapper whose `estimate` returns the inner estimate unchanged sets these flags; they hold only
 *   if the inner estimator has them too.
 * - `sample`: if it is NULL, ids, count and draw are those of the inner estimator, which samples first in any case.
 * - `start`, `commit`, `fits`, `skipped`: those of both estimators are called, first that of the inner estimator.
 * - The option batch, `choose_batch`, sampler, per_epoch, shards: those of the inner estimator.
 * - e->lr and `lr_with`: those of the inner estimator, unless the wrapper sets e->lr to another value in `estimate` (in
 *   every step, because e->lr of a wrapper is NaN when a step begins) or has `lr_with`.
 * - e->value, e->weight, e->gradient_norm: sw_estimate_inner sets them from the inner estimator. A wrapper that
 *   multiplies g by a number multiplies gradient_norm too, and one that has made the objective scale its loss divides
 *   value.
 * - SW_ESTIMATOR_ONCE: such an estimator is refused inside a wrapper with SW_ESTIMATOR_AGAIN, at any depth.
 * - Slots and scalars of all estimators are found by name; the outermost comes first.
 *
 * A wrapper takes its steps one by one (`run` is not used), and x_low is not kept. A line search works with a wrapper
 * if the innermost estimator has SW_ESTIMATOR_DIRECT: the direction follows the estimate of the wrapper, and values and
 * slopes are those of the objective. */

/* The bit of a field in a struct of scalars whose fields are double or int64_t. */
#define SW_WHOLE_SCALAR(type, field) ((uint32_t)1 << (offsetof(type, field) / sizeof(double)))
/* An estimator with a test of convergence sets a scalar named "converged" to 1 if x passes the test and to 0 if it
 * fails, so that a loop can end: sw_optim_scalar(optim, -1, "converged"). sw_train sets it to 0 when it begins.
 *
 * The functions of all methods receive options of kind DURATION in steps. In `start` of an estimator, a percentage of a
 * run whose length is not yet set is NaN. */

/* For `estimate`: computes the gradient of the mean loss of some samples at x, and checks it. SW_SKIPPED if it contains
 * Inf or NaN. value may be NULL. ids NULL with count n: all samples, in chunks.
 * If the estimator, or for a wrapper the inner one, has an integer option "shards" with a value above 1, the gradient
 * and the loss are computed in this number of shards, which are added in a fixed tree (sw_objective_gradient_sharded).
 * The same holds for sw_estimate_value. A custom estimator only needs to list the option. Running statistics ("Buffers"
 * in params.h) come from one evaluation of each of the step's samples: from the first call of this function with ids
 * equal to e->ids. An estimator that evaluates its samples in several parts passes the parts in the order of e->ids, as
 * e->ids + k, where k is the number of samples in the earlier parts; the statistics of all parts are pooled. All other
 * calls (at other points, with other samples, or with the same samples again) do not change running statistics. */
SW_API sw_status sw_estimate_gradient(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value,
                                      void *g);
/* Computes only the mean loss, which may be Inf or NaN. */
SW_API sw_status sw_estimate_value(sw_estimate *e, const void *x, const int64_t *ids, int64_t count, double *value);
/* For a generalized linear model: computes s_i [count, outputs], and checks them; see sw_objective_glm_derivatives. */
SW_API sw_status sw_estimate_glm_derivatives(sw_estimate *e, const void *x, const int64_t *ids, int64_t count,
                                             double *value, void *s);
/* For a generalized linear model: g = beta·g + Σ c_i [a_i, 1], with dim elements, for coefficients c [count, outputs].
 * It also writes the elements of frozen parameters; the pipeline sets them to 0 in the final gradient. */
SW_API sw_status sw_estimate_glm_combine(sw_estimate *e, const int64_t *ids, int64_t count, const void *c, double beta,
                                         void *g);
/* For a wrapper: computes the estimate of the inner estimator at x. The first call in a step sets e->value. The ids,
 * count and draw of a wrapper are those of the inner estimator, unless the wrapper has `sample`. The inner estimator
 * samples and commits first. A skipped step restores the scalars of both. */
SW_API sw_status sw_estimate_inner(sw_estimate *e, const void *x, void *g);
/* Returns a vector of `count` elements (0: dim) of the parameters' type. With an index from 0 to 3 its contents are
 * kept from `sample` to the end of `commit`; with an index from 4 to 6, until the function of the method returns. A
 * call with a larger count keeps the contents but may return another address. A wrapper and its inner estimator have
 * different vectors. NULL after an error. */
SW_API void *sw_estimate_scratch(sw_estimate *e, int index, int64_t count);
/* Returns memory that is initially zero, is kept as long as the optimizer is bound, and is not saved; index 0 to 3. A
 * call with another size frees it and allocates it again. sw_optim_bytes counts it as work. NULL after an error. */
SW_API void *sw_estimate_memory(sw_estimate *e, int index, size_t bytes);
/* For `start`: makes a slot that is NULL because its `needed` returned false. Use it if the decision depends on more
 * than the options. */
SW_API sw_status sw_estimate_make_slot(sw_estimate *e, int slot);
/* Sets the elements of frozen parameters in g to 0, so that norms and products exclude them. */
SW_API void sw_estimate_zero_frozen(const sw_estimate *e, void *g);
/* Returns the set of frozen parameters as an integer below 2^53: one bit for each of the first 52 parameters, combined
 * with a hash of the others. */
SW_API int64_t sw_estimate_frozen_set(const sw_estimate *e);
/* An error unless l2, an option that repeats the penalty, is 0 or equal to e->penalty. */
SW_API sw_status sw_estimate_check_penalty(const sw_estimate *e, double l2);
/* The largest penalty in this step, after schedules, over the groups that are not completely frozen. */
SW_API double sw_estimate_penalty_now(const sw_estimate *e);
/* For tests of convergence: adds to g the gradient of the penalty, λx with the λ of each group, and the subgradient of
 * l1 and bounds that is nearest to 0. Elements of frozen parameters become 0. `norm` receives the norm of the result,
 * or INFINITY if x is outside the bounds. SW_SKIPPED if g contains Inf or NaN. */
SW_API sw_status sw_estimate_penalized_norm(sw_estimate *e, const void *x, void *g, double *norm);
/* Returns memory for `count` ids, for a `sample` that chooses them without a sampler. It is kept until the next step.
 * NULL after an error. */
SW_API int64_t *sw_estimate_ids(sw_estimate *e, int64_t count);

/* Registers an estimator; finds one by name or by index: see Registration in method.h. */
SW_API sw_status sw_estimator_register(const sw_estimator *estimator);
SW_API const sw_estimator *sw_estimator_find(const char *name);
SW_API const sw_estimator *sw_estimator_at(int index);

#ifdef __cplusplus
}
#endif
#endif
