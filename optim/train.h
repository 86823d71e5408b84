/* Training: the loop around steps. */
#ifndef SWALE_TRAIN_H
#define SWALE_TRAIN_H

#include <swale/optim.h>
#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What callbacks of sw_train see. Steps are counted with the skipped ones, as epochs are: of the whole run,
 * also what the optimizer did before this call. */
typedef struct sw_train_state {
    sw_optim *optim;
    int64_t step, total_steps;      /* done; of the whole run, 0: no end is set */
    int64_t steps_per_epoch, epoch; /* epochs: complete ones */
    double loss;                    /* of this step; NaN: skipped, or not known */
    double mean_loss;               /* over the steps since the last evaluation, by the weights of their losses;
                                     * also those of an earlier call that was stopped before it and of one
                                     * that was saved and loaded. Of losses that are sums: their sum */
    double gradient_norm;           /* of the last step taken, before clipping */
    bool skipped;                   /* this step was */
    double seconds, period_seconds; /* spent on steps, not in callbacks: in this call; since the last
                                     * evaluation */
    const void *point;              /* `evaluate`: where to; else NULL */
    double metric;                  /* `evaluate`: mean_loss; may be set to what the target is compared with */
    bool stop;                      /* may be set: the run ends here */
} sw_train_state;

/* An error (any status but SW_OK, or SW_OK with an error left pending) ends the run and is what sw_train
 * returns. A callback that handles an error clears it by sw_clear_error. */
typedef sw_status sw_train_callback(void *user, sw_train_state *state);

typedef enum sw_goal { SW_GOAL_NONE = 0, SW_GOAL_BELOW, SW_GOAL_ABOVE } sw_goal;

typedef struct sw_train_options {
    size_t size; /* sizeof(sw_train_options) */
    /* Length of the whole run, from the optimizer's first step: one of the two, or neither: the optimizer's own
     * steps if the program or a file has set them, else until something below ends it. An optimizer that has
     * done part of it, in an earlier call or before it was saved, continues from there: to train e more
     * epochs, set epochs to those already done plus e. A call with nothing left to do is an error
     * (SW_ERR_STATE); sw_train_remaining tells beforehand. An epoch of an estimator without batches is one
     * step. */
    int64_t epochs, steps;
    void *user;             /* for the callbacks, each of which may be NULL */
    sw_train_callback *log; /* after every log_every-th step (0: each) */
    int64_t log_every;
    /* After every evaluate_every-th step (0: each epoch), and at the end of a run that is complete. */
    sw_train_callback *evaluate;
    int64_t evaluate_every;
    sw_train_callback *progress; /* every progress_every-th step (0: 16), each epoch, and the last step */
    int64_t progress_every;
    /* Ends the run when the metric of an evaluation is at most, or at least, the target; without `evaluate`
     * it is the mean loss since the last time. */
    sw_goal goal;
    double target;
    double tolerance; /* ends the run when the norm of the gradient of all samples, with what the rules add to the
                       * objective (weight_decay, l1 and bounds of sgd, as schedules have them), is at most this;
                       * 0: never. It is taken after a step whose own gradient's is at most this, at most eight
                       * times an epoch. So does an estimator whose own test, in this run, says that x is good
                       * enough: "sag tol=1e-8". If the norm after that step is above 3 tol, the run goes on */
    /* So many steps skipped in a row, counting those just before the call, are an error; 0: 100. */
    int64_t most_skipped;
    const volatile sig_atomic_t *stop; /* not 0: the run ends before the next step, or where many steps are taken in one
                                        * loop, after it: within an epoch. For signals */
} sw_train_options;

typedef enum sw_train_reason {
    SW_TRAIN_COMPLETE = 0, /* all steps were done */
    SW_TRAIN_TARGET,
    SW_TRAIN_TOLERANCE,
    SW_TRAIN_CALLBACK, /* a callback asked for it */
    SW_TRAIN_STOP,     /* the stop flag: what was cut short is not evaluated */
    SW_TRAIN_SKIPPED,  /* too many in a row, or all of this call: an error */
    SW_TRAIN_ERROR,
    SW_TRAIN_NOT_CONVERGED /* all steps were done, and the gradient is above the tolerance that was asked for */
} sw_train_reason;

typedef struct sw_train_result {
    sw_train_reason reason;
    int64_t steps, skipped; /* taken and skipped by this call */
    double epochs;          /* done by this call */
    double seconds;         /* spent on steps */
    double mean_loss;       /* over the steps of the last period between evaluations, whole or not */
    double metric;          /* of the last evaluation (or the mean loss then); NaN: there was none */
    double gradient_norm;   /* of the last step taken */
    double tolerance;       /* that ended the run: the option, or the estimator's ("sag tol="), 0 if that is
                                 * not known; if neither did, the larger one; 0: there is none */
    double full_norm;       /* with a tolerance: the norm at the end of the gradient of all samples, with the
                                 * penalty; INFINITY where x is outside its bounds; NaN: it was not taken */
} sw_train_result;

/* How the run ended, in a line: "not converged after 50 epochs: the gradient's norm is 3.1e-05, 31 times the tolerance
 * 1e-06". Writes at most `size` bytes to text, and returns it. */
SW_API const char *sw_train_result_text(const sw_train_result *result, char *text, size_t size);

/* Takes steps on the objective until the run is complete or one of the options ends it. A length given here
 * is also the length of the schedules, unless the program has set the optimizer's own length
 * (sw_optim_options.total_steps, sw_optim_set_total_steps), which takes precedence. After a call with epochs = 5, a call
 * with epochs = 10 trains five more epochs, and the schedules continue at the middle of a run of ten.
 * `result`, unless NULL, is filled whatever happens. README.md shows the same by public calls. An error that
 * is pending (core.h, "Errors") when it is called, or that the objective or a callback leaves pending, ends
 * it: no step is taken after it. */
SW_API sw_status sw_train(const sw_objective *objective, sw_optim *optim, const sw_train_options *options,
                          sw_train_result *result);
/* The steps that sw_train with these options (or NULL) still has to take, counting skipped steps; 0 if the
 * run is complete, also one that was loaded; INT64_MAX where no length is set. Binds the objective, takes no
 * step. -1 after an error, and while one is pending, since then no step would be taken: a loop
 * `while (sw_train_remaining(f, o, how) > 0)` ends. */
SW_API int64_t sw_train_remaining(const sw_objective *objective, sw_optim *optim, const sw_train_options *options);

#ifdef __cplusplus
}
#endif
#endif
