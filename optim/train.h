/* Training: a loop of optimizer steps, with evaluation, callbacks, and conditions for its end.
 *
 *     sw_train_result result;
 *     sw_train(objective, optim, &SW_OPTIONS(sw_train_options, .epochs = 10), &result);
 */
#ifndef SWALE_TRAIN_H
#define SWALE_TRAIN_H

#include <swale/optim.h>
#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The state of a run, which sw_train passes to callbacks. Steps and epochs include skipped steps, and those that the
 * optimizer took before this call. */
typedef struct sw_train_state {
    sw_optim *optim;
    int64_t step, total_steps;      /* steps so far; steps of the whole run, 0 if no length is set */
    int64_t steps_per_epoch, epoch; /* epoch: the number of complete epochs */
    double loss;                    /* of this step; NaN if it was skipped or the loss is not known */
    double mean_loss;               /* over the steps since the last evaluation, by the weights of their losses
                                     * (loss_mean.h), including steps of an earlier call that was stopped and of a run
                                     * that was saved and loaded; the sum if the losses are sums */
    double gradient_norm;           /* of the last step taken, before clipping */
    bool skipped;                   /* this step was skipped */
    double seconds, period_seconds; /* time spent on steps, without callbacks: in this call; since the last
                                     * evaluation */
    const void *point;              /* for `evaluate`: the vector to evaluate, as sw_optim_point; else NULL */
    double metric;                  /* for `evaluate`: mean_loss; the callback may set the number for the target */
    bool stop;                      /* a callback may set it: the run ends after this step */
    double loss_scale;              /* after this step, as sw_optim_loss_scale */
    int64_t steps_skipped;          /* so far, including those before this call, as sw_optim_steps_skipped */
} sw_train_state;

/* A callback. If it returns a status other than SW_OK, or SW_OK with an error pending, the run ends and sw_train
 * returns this error. A callback that handles an error must clear it by sw_clear_error. */
typedef sw_status sw_train_callback(void *user, sw_train_state *state);

/* How the metric is compared with the target. */
typedef enum sw_goal { SW_GOAL_NONE = 0, SW_GOAL_BELOW, SW_GOAL_ABOVE } sw_goal;

/* Options of sw_train. */
typedef struct sw_train_options {
    size_t size; /* sizeof(sw_train_options) */
    /* The length of the whole run, counted from the optimizer's first step. Set at most one of the two. If both are 0,
     * the length is that of the optimizer, if the program or a file has set one (sw_optim_total_steps); else the run
     * continues until a condition below ends it. If the optimizer has done a part of the run, in an earlier call or
     * before it was saved, the run continues from there: to train e more epochs, set epochs to the number already done
     * plus e. A call with nothing left to do is an error (SW_ERR_STATE); sw_train_remaining returns the number of steps
     * left. An epoch of an estimator without batches is one step. */
    int64_t epochs, steps;
    void *user;             /* passed to the callbacks, each of which may be NULL */
    sw_train_callback *log; /* called after every log_every-th step (0: every step) */
    int64_t log_every;
    /* Called after every evaluate_every-th step (0: every epoch), and at the end, unless the stop flag or a callback
     * ended the run. */
    sw_train_callback *evaluate;
    int64_t evaluate_every;
    sw_train_callback *progress; /* called every progress_every steps (0: 16), after every epoch and the last step */
    int64_t progress_every;
    /* The run ends when the metric of an evaluation is at most (BELOW) or at least (ABOVE) the target. Without
     * `evaluate` the metric is the mean loss since the last evaluation. */
    sw_goal goal;
    double target;
    /* The run ends when the norm of the gradient of all samples is at most this; 0: never. The gradient includes the
     * terms that the rules add to the objective (weight_decay, l1 and bounds of sgd, as scaled by schedules). It is
     * computed after a step whose gradient has a norm of at most this, at most eight times per epoch. The run also ends
     * if the estimator's own test is passed in this run ("sag tol=1e-8"), unless the norm after that step is above 3
     * tol. */
    double tolerance;
    /* The number of steps skipped in a row, including those before the call, that is an error; 0: 100. */
    int64_t most_skipped;
    /* If not NULL: the run ends when *stop is not 0, before the next step, or, if many steps are taken in one loop,
     * after this loop, within an epoch. A signal handler may set it. */
    const volatile sig_atomic_t *stop;
} sw_train_options;

/* Why a run ended. */
typedef enum sw_train_reason {
    SW_TRAIN_COMPLETE = 0, /* all steps were done */
    SW_TRAIN_TARGET,       /* the metric reached the target */
    SW_TRAIN_TOLERANCE,    /* the gradient is within the tolerance */
    SW_TRAIN_CALLBACK,     /* a callback set `stop` */
    SW_TRAIN_STOP,         /* the stop flag was set; the incomplete period is not evaluated */
    SW_TRAIN_SKIPPED,      /* an error: too many steps were skipped in a row, or all steps of this call */
    SW_TRAIN_ERROR,        /* another error */
    SW_TRAIN_NOT_CONVERGED /* all steps were done, and the gradient is above the tolerance */
} sw_train_reason;

/* The result of sw_train. */
typedef struct sw_train_result {
    sw_train_reason reason;
    int64_t steps, skipped; /* steps taken, and steps skipped, by this call */
    double epochs;          /* done by this call */
    double seconds;         /* time spent on steps */
    double mean_loss;       /* over the last period between evaluations, complete or not */
    double metric;          /* of the last evaluation; NaN if there was no evaluation */
    double gradient_norm;   /* of the last step taken */
    /* The tolerance that ended the run: that of the options, or that of the estimator ("sag tol="), which is 0 if it is
     * not known. If the run ended for another reason, the larger of the two; 0 if there is none. */
    double tolerance;
    /* With a tolerance: the norm of the gradient of all samples at the end, including the penalties of the rules.
     * INFINITY if x is outside its bounds; NaN if the norm was not computed. */
    double full_norm;
} sw_train_result;

/* Describes how a run ended, in one line: "not converged after 50 epochs: the gradient's norm is 3.1e-05, 31 times the
 * tolerance 1e-06". Writes at most `size` bytes to `text`, and returns it. */
SW_API const char *sw_train_result_text(const sw_train_result *result, char *text, size_t size);

/* Takes steps on the objective until the run is complete or a condition of the options ends it. The length in the
 * options is also the length for schedules, unless the program has set the length of the optimizer
 * (sw_optim_options.total_steps, sw_optim_set_total_steps), which takes precedence. After a call with epochs = 5, a
 * call with epochs = 10 trains five more epochs, and the schedules continue at the middle of a run of ten epochs.
 *
 * options may be NULL if the optimizer has a length. `result`, unless NULL, is filled in any case. An error that is
 * pending (error.h) at the call, or that the objective or a callback leaves pending, ends the run: no further step is
 * taken. optim/README.md shows an equivalent loop of public functions. */
SW_API sw_status sw_train(const sw_objective *objective, sw_optim *optim, const sw_train_options *options,
                          sw_train_result *result);
/* The number of steps, including skipped ones, that sw_train with these options (or NULL) would still take; 0 if the
 * run is complete, for example after loading; INT64_MAX if no length is set. It binds the objective and takes no step.
 * -1 after an error, and while an error is pending, because no step would be taken then: a loop
 * `while (sw_train_remaining(f, o, how) > 0)` ends. */
SW_API int64_t sw_train_remaining(const sw_objective *objective, sw_optim *optim, const sw_train_options *options);

#ifdef __cplusplus
}
#endif
#endif
